//! Conditions of writes: on the row that is written, and on rows that its columns refer to.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::definition::{Filter, When};
use crate::diagnostic::pointer_to;
use crate::read::complaints::{Complaints, object};
use crate::read::function::{GROUPS, filter};

/// `when` as one condition, as conditions by column, or as a list of either; those that are broken are left out.
pub(super) fn when(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Vec<When> {
    let Some(value) = map.get("when") else { return Vec::new() };
    let at = pointer_to(at, "when");
    match value {
        Value::Array(parts) => {
            let parts = parts.iter().enumerate();
            parts.filter_map(|(index, part)| one(part, &pointer_to(&at, index), complaints)).collect()
        }
        one_alone => one(one_alone, &at, complaints).into_iter().collect(),
    }
}

/// Whether an object is a condition, and not conditions by column.
fn is_condition(map: &Map<String, Value>) -> bool {
    map.get("op").is_some_and(Value::is_string)
        || map.get("column").is_some_and(Value::is_string)
        || GROUPS.iter().any(|group| map.contains_key(*group))
}

fn one(value: &Value, at: &str, complaints: &mut Complaints) -> Option<When> {
    let conditions = match value {
        Value::Object(map) if !is_condition(map) && !map.is_empty() => {
            object(value, at, "conditions by column", complaints)?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return filter(value, at, 0, complaints).map(When::Row);
        }
    };
    let read = conditions.iter().map(|(column, value)| {
        let filter = filter(value, &pointer_to(at, column), 0, complaints)?;
        Some((column.clone(), filter))
    });
    let read: Vec<Option<(String, Filter)>> = read.collect();
    let sound: IndexMap<String, Filter> = read.into_iter().flatten().collect();
    (!sound.is_empty()).then_some(When::Referred(sound))
}
