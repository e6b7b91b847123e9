//! The members of an aggregateRows.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::aggregate::{Aggregate, AggregateFunction};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::read::complaints::{Complaints, object, one_of, refuse_unknown, text, wrong_type};

const WORDS: &[&str] = &["count", "sum", "avg", "min", "max"];

/// What is selected, by the name of its member; one that is broken is left out.
pub(super) fn select(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> IndexMap<String, Aggregate> {
    let Some(select) = map.get("select") else { return IndexMap::new() };
    let at = pointer_to(at, "select");
    let what = "an object such as `{\"n\": {\"count\": true}}`";
    let Some(members) = object(select, &at, what, complaints) else { return IndexMap::new() };
    let mut select = IndexMap::with_capacity(members.len());
    for (name, value) in members {
        if let Some(aggregate) = aggregate(value, &pointer_to(&at, name), complaints) {
            select.insert(name.clone(), aggregate);
        }
    }
    select
}

fn aggregate(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Aggregate> {
    let map = object(value, at, "what is made of the rows, such as `{\"sum\": \"score\"}`", complaints)?;
    let mut found =
        AggregateFunction::ALL.into_iter().filter_map(|function| Some((function, map.get(function.as_str())?)));
    let Some((function, of)) = found.next() else {
        let message = format!("expected one of {}", one_of(WORDS.iter().copied()));
        complaints.push(Diagnostic::new("missing_member", at, message));
        return None;
    };
    if found.next().is_some() {
        let message = "a member is one function of the rows, not several at once";
        complaints.push(Diagnostic::new("ambiguous_value", at, message).with_hint("give each a member of its own"));
        return None;
    }
    refuse_unknown(map, at, &format!("`{}`", function.as_str()), &[function.as_str()], &[], complaints);
    let at = pointer_to(at, function.as_str());
    match (function, of) {
        (AggregateFunction::Count, Value::Bool(true)) => Some(Aggregate { function, column: None }),
        (AggregateFunction::Count, Value::String(_))
        | (AggregateFunction::Sum | AggregateFunction::Avg | AggregateFunction::Min | AggregateFunction::Max, _) => {
            let column = text(of, &at, "a column's name", complaints)?.to_owned();
            Some(Aggregate { function, column: Some(column) })
        }
        (AggregateFunction::Count, _) => {
            complaints.push(wrong_type(of, &at, "`true` for rows, or a column's name"));
            None
        }
    }
}
