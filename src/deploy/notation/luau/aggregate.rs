//! `select = { n = count(), total = sum("score") }` of aggregateRows.

use serde_json::{Map, Value, json};

use crate::deploy::notation::luau::draft::{Draft, Spot};
use crate::deploy::notation::luau::values::{Empty, literal, place_of};
use crate::deploy::notation::luau::written::{Call, Written};

pub(super) fn select(draft: &mut Draft, spot: &Spot, written: &Written) -> Option<Value> {
    draft.mark(spot);
    let Written::Table(members) = written else {
        draft.unexpected(spot, "a table such as `{ n = count() }`", written);
        return None;
    };
    let mut select = Map::new();
    let mut whole = true;
    for member in draft.members(members, &spot.place) {
        let at = spot.member(member.name, &member.place);
        draft.mark(&at);
        match member.value {
            Written::Call(call) if matches!(call.name.as_str(), "count" | "sum" | "avg" | "min" | "max") => {
                match aggregate(draft, &at, call) {
                    Some(value) => drop(select.insert(member.name.to_owned(), value)),
                    None => whole = false,
                }
            }
            other => {
                whole = false;
                let expected = "`count()`, or `sum`, `avg`, `min` or `max` of a column such as `sum(\"score\")`";
                draft.unexpected(&at, expected, other);
            }
        }
    }
    whole.then_some(Value::Object(select))
}

fn aggregate(draft: &mut Draft, spot: &Spot, call: &Call) -> Option<Value> {
    draft.without_methods(spot, call);
    let usage = if call.name == "count" { "count()".to_owned() } else { format!("{}(\"column\")", call.name) };
    draft.at_most(spot, call, 1, &usage);
    match call.arguments.first() {
        None | Some(Written::Nil) if call.name == "count" => Some(json!({ "count": true })),
        None | Some(Written::Nil) => {
            let message = format!("`{}` lacks its column", call.name);
            draft.complain("wrong_argument", spot, message, &format!("write `{usage}`"));
            None
        }
        Some(column) => {
            let at = spot.member(&call.name, place_of(column, spot));
            let column = literal(draft, &at, column, Empty::Table)?;
            Some(json!({ call.name.as_str(): column }))
        }
    }
}
