//! Values and conditions: what may stand in a function's options and in a column's default.
//!
//! Each function answers the JSON of the definition document, or complains and answers nothing.

use rowgate_schema_dsl::diagnostic::Place;
use serde_json::{Map, Number, Value, json};

use crate::deploy::notation::luau::draft::{Draft, Spot};
use crate::deploy::notation::luau::tables::validator;
use crate::deploy::notation::luau::written::{Call, Written};

/// What Lua's `{}` stands for: it is both a list and a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    List,
    Table,
}

/// An option as it was written, unjudged; a later stage knows which there are.
pub(super) fn option(draft: &mut Draft, spot: &Spot, written: &Written, empty: Empty) -> Option<Value> {
    draft.mark(spot);
    match written {
        Written::Table(table) if !table.is_empty() || empty == Empty::Table => {
            let mut object = Map::new();
            for member in draft.members(table, &spot.place) {
                let at = spot.member(member.name, &member.place);
                object.insert(member.name.to_owned(), option(draft, &at, member.value, empty)?);
            }
            Some(Value::Object(object))
        }
        Written::List(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| option(draft, &spot.member(index, place_of(item, spot)), item, empty)).collect()
        }
        Written::Call(call) => operand_call(draft, spot, call),
        Written::Nil
        | Written::Null
        | Written::Boolean(_)
        | Written::Number(_)
        | Written::Text(_)
        | Written::Table(_)
        | Written::Uncalled { .. }
        | Written::Function
        | Written::Refused(_) => literal(draft, spot, written, empty),
    }
}

/// Where a value comes from: a literal, an argument, the caller's identity, the time.
pub(super) fn operand(draft: &mut Draft, spot: &Spot, written: &Written, empty: Empty) -> Option<Value> {
    draft.mark(spot);
    if let Written::Call(call) = written {
        return operand_call(draft, spot, call);
    }
    let value = literal(draft, spot, written, empty)?;
    Some(if value.is_object() { json!({ "literal": value }) } else { value })
}

/// A condition on rows; a list of them means all.
pub(super) fn condition(draft: &mut Draft, spot: &Spot, written: &Written) -> Option<Value> {
    draft.mark(spot);
    match written {
        Written::List(items) => conditions(draft, spot, "all", items),
        Written::Table(table) if table.is_empty() => Some(json!({ "all": [] })),
        Written::Table(table) => {
            let mut object = Map::new();
            for member in draft.members(table, &spot.place) {
                let at = spot.member(member.name, &member.place);
                let value = match (member.name, member.value) {
                    ("value", value) => operand(draft, &at, value, Empty::List)?,
                    (_, value) => option(draft, &at, value, Empty::Table)?,
                };
                object.insert(member.name.to_owned(), value);
            }
            Some(Value::Object(object))
        }
        Written::Call(call) if matches!(call.name.as_str(), "filter" | "all" | "any" | "negate") => {
            draft.without_methods(spot, call);
            match (call.name.as_str(), call.arguments.as_slice()) {
                ("filter", arguments) => comparison(draft, spot, call, arguments),
                ("negate", arguments) => {
                    draft.at_most(spot, call, 1, "negate(filter(…))");
                    let inner = arguments.first().unwrap_or(&Written::Nil);
                    let inner = condition(draft, &spot.member("negate", place_of(inner, spot)), inner)?;
                    Some(json!({ "negate": inner }))
                }
                (group, [Written::List(items)]) => conditions(draft, spot, group, items),
                (group, [Written::Table(items)]) if items.is_empty() => Some(json!({ group: [] })),
                (group, items) => conditions(draft, spot, group, items),
            }
        }
        Written::Nil
        | Written::Null
        | Written::Boolean(_)
        | Written::Number(_)
        | Written::Text(_)
        | Written::Call(_)
        | Written::Uncalled { .. }
        | Written::Function
        | Written::Refused(_) => {
            draft.unexpected(spot, "a condition such as `filter(\"score\", \">=\", 10)`", written);
            None
        }
    }
}

/// Plain JSON; a builder cannot stand in it.
pub(super) fn literal(draft: &mut Draft, spot: &Spot, written: &Written, empty: Empty) -> Option<Value> {
    match written {
        Written::Null => Some(Value::Null),
        Written::Boolean(value) => Some(Value::Bool(*value)),
        Written::Text(text) => Some(Value::String(text.clone())),
        Written::Number(value) => match number(*value) {
            Some(number) => Some(Value::Number(number)),
            None => {
                draft.complain("value_refused", spot, format!("`{value}` is no number that JSON has"), "");
                None
            }
        },
        Written::List(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| literal(draft, &spot.member(index, place_of(item, spot)), item, empty)).collect()
        }
        Written::Table(table) if table.is_empty() && empty == Empty::List => Some(json!([])),
        Written::Table(table) => {
            let mut object = Map::new();
            for member in draft.members(table, &spot.place) {
                let at = spot.member(member.name, &member.place);
                object.insert(member.name.to_owned(), literal(draft, &at, member.value, empty)?);
            }
            Some(Value::Object(object))
        }
        Written::Nil | Written::Call(_) | Written::Uncalled { .. } | Written::Function | Written::Refused(_) => {
            draft.unexpected(spot, "a literal", written);
            None
        }
    }
}

/// The line of a value where it has one, of what it stands in where not.
pub(super) fn place_of<'a>(written: &'a Written, around: &'a Spot) -> &'a Place {
    written.place().unwrap_or(&around.place)
}

fn operand_call(draft: &mut Draft, spot: &Spot, call: &Call) -> Option<Value> {
    let first = call.arguments.first().unwrap_or(&Written::Nil);
    match call.name.as_str() {
        "arg" => {
            draft.without_methods(spot, call);
            draft.at_most(spot, call, 2, "arg(\"name\", v.string())");
            let Some(name) = first.as_text() else {
                let message = format!("expected an argument's name, got {}", first.described());
                draft.complain("wrong_argument", spot, message, "write `arg(\"name\")`");
                return None;
            };
            let mut object = Map::new();
            object.insert("arg".to_owned(), Value::String(name.to_owned()));
            if let Some(written) = call.arguments.get(1).filter(|written| **written != Written::Nil) {
                let at = spot.member("validator", place_of(written, spot));
                object.insert("validator".to_owned(), Value::Object(validator(draft, &at, written)?));
            }
            Some(Value::Object(object))
        }
        "identity" => {
            draft.without_methods(spot, call);
            draft.at_most(spot, call, 1, "identity(\"userId\")");
            let field = literal(draft, &spot.member("identity", &call.place), first, Empty::Table)?;
            Some(json!({ "identity": field }))
        }
        "now" => {
            draft.without_methods(spot, call);
            draft.at_most(spot, call, 0, "now()");
            Some(json!({ "now": true }))
        }
        word @ ("increment" | "append" | "remove") => {
            draft.without_methods(spot, call);
            let usage = if word == "increment" { "increment(1)".to_owned() } else { format!("{word}(arg(\"name\"))") };
            draft.at_most(spot, call, 1, &usage);
            let with = operand(draft, &spot.member(word, place_of(first, spot)), first, Empty::Table)?;
            Some(json!({ word: with }))
        }
        "count" | "sum" | "avg" | "min" | "max" => {
            let message =
                format!("`{}(…)` is made of rows, which only `select = {{ … }}` of aggregateRows takes", call.name);
            draft.complain("builder_expected", spot, message, "");
            None
        }
        "filter" | "all" | "any" | "negate" => {
            let message = format!("`{}(…)` is a condition, which only `filter = …` and `when = …` take", call.name);
            draft.complain("builder_expected", spot, message, "");
            None
        }
        _ => {
            let expected = "a value: a literal, `arg(…)`, `identity(…)`, `now()` or `increment(…)`";
            draft.unexpected(spot, expected, &Written::Call(Box::new(call.clone())));
            None
        }
    }
}

fn comparison(draft: &mut Draft, spot: &Spot, call: &Call, arguments: &[Written]) -> Option<Value> {
    let null = [Written::Text("isNull".to_owned()), Written::Boolean(true)];
    let (column, operator, value) = match (arguments, &null) {
        ([column, operator, value], _) => (column, operator, value),
        ([column, operator], [is_null, yes]) if operator == is_null => (column, operator, yes),
        (_, _) => {
            let message =
                format!("`filter` takes a column, an operator and a value, got {} arguments", arguments.len());
            draft.complain("wrong_argument", spot, message, "write `filter(\"score\", \">=\", 10)`");
            return None;
        }
    };
    let column = literal(draft, &spot.member("column", &call.place), column, Empty::Table)?;
    let operator = literal(draft, &spot.member("op", &call.place), operator, Empty::Table)?;
    let value = operand(draft, &spot.member("value", place_of(value, spot)), value, Empty::List)?;
    Some(json!({ "column": column, "op": operator, "value": value }))
}

fn conditions(draft: &mut Draft, spot: &Spot, group: &str, items: &[Written]) -> Option<Value> {
    let list = spot.member(group, &spot.place);
    let items = items.iter().enumerate();
    let items: Vec<Option<Value>> =
        items.map(|(index, item)| condition(draft, &list.member(index, place_of(item, spot)), item)).collect();
    let items = items.into_iter().collect::<Option<Vec<Value>>>()?;
    Some(json!({ group: items }))
}

/// Whole numbers without a fraction's point, as they were written.
fn number(value: f64) -> Option<Number> {
    const WHOLE_BELOW: f64 = 9_223_372_036_854_775_808.0;
    if value.fract() == 0.0 && value.abs() < WHOLE_BELOW {
        #[allow(clippy::cast_possible_truncation)] // whole, and within i64
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}
