//! `expand`: what a row is answered with besides its own columns.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::definition::Expand;
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::read::complaints::{Complaints, object, refuse_unknown, required, text, wrong_type};
use crate::read::function::{names, orders};

const WHAT: &str = "columns' names, or an object such as `{\"author\": {\"fields\": [\"name\"]}}`";
const OF_ROW: &[&str] = &["as", "fields"];
const OF_LIST: &[&str] = &["table", "by", "fields", "orderBy", "orderDir", "limit"];

/// A list of columns, or an object: a column or a list's name with what is wanted of it.
pub(super) fn expand(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> IndexMap<String, Expand> {
    let Some(value) = map.get("expand") else { return IndexMap::new() };
    let at = pointer_to(at, "expand");
    let mut expand = IndexMap::new();
    match value {
        Value::Array(columns) => {
            for (index, column) in columns.iter().enumerate() {
                let at = pointer_to(&at, index);
                let Some(column) = text(column, &at, "a column's name", complaints) else { continue };
                if expand.insert(column.to_owned(), Expand::default()).is_some() {
                    let message = format!("`expand` lists column `{column}` twice");
                    complaints.push(Diagnostic::new("duplicate_column", at, message).with_hint("remove one"));
                }
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                if let Some(one) = one(value, &pointer_to(&at, name), complaints) {
                    expand.insert(name.clone(), one);
                }
            }
        }
        other => complaints.push(wrong_type(other, &at, WHAT)),
    }
    let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    if is_empty {
        let diagnostic = Diagnostic::new("missing_member", at, "`expand` names nothing");
        complaints.push(diagnostic.with_hint("name a reference, or leave it out"));
    }
    expand
}

fn one(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Expand> {
    if *value == Value::Bool(true) {
        return Some(Expand::default());
    }
    let map = object(value, at, "`true`, or an object with `as`, `fields`, or with `table` and `by`", complaints)?;
    if !map.contains_key("table") && !map.contains_key("by") {
        refuse_unknown(map, at, "an expanded reference", OF_ROW, &[], complaints);
        let member = match map.get("as") {
            Some(member) => Some(text(member, &pointer_to(at, "as"), "a member's name", complaints)?.to_owned()),
            None => None,
        };
        return Some(Expand::Row { member, fields: names(map, "fields", at, complaints) });
    }
    refuse_unknown(map, at, "a list of rows", OF_LIST, &[], complaints);
    let name = |member: &str, what: &str, complaints: &mut Complaints| {
        let value = required(map, member, what, at, complaints)?;
        text(value, &pointer_to(at, member), what, complaints).map(str::to_owned)
    };
    let table = name("table", "the table whose rows are listed", complaints);
    let by = name("by", "the column that refers to the row", complaints);
    let fields = names(map, "fields", at, complaints);
    let order_by = orders(map, at, complaints);
    let limit = match map.get("limit").map(|limit| (limit, limit.as_u64())) {
        None => None,
        Some((_, Some(limit))) => Some(limit),
        Some((limit, None)) => {
            complaints.push(wrong_type(limit, &pointer_to(at, "limit"), "a number of rows"));
            None
        }
    };
    Some(Expand::List { table: table?, by: by?, fields, order_by, limit })
}
