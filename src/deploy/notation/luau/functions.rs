//! `queryRows`, `insertRow` and the others: the document's `functions`; `query`, `mutation` and
//! `action`: its `handlers`, of which it holds what is declared and not the Luau.

use serde_json::{Map, Value};

use crate::deploy::notation::luau::aggregate;
use crate::deploy::notation::luau::builders::{NOT_YET_SERVED, is_function, is_handler};
use crate::deploy::notation::luau::draft::{Draft, Spot};
use crate::deploy::notation::luau::tables::validator;
use crate::deploy::notation::luau::values::{Empty, condition, operand, option, place_of};
use crate::deploy::notation::luau::when::when;
use crate::deploy::notation::luau::written::{Call, Written};

const FUNCTIONS: &str = "/functions";
const HANDLERS: &str = "/handlers";

/// Members of a function that are arguments of its builder, not options.
const NOT_OPTIONS: [&str; 4] = ["kind", "table", "id", "values"];

/// What a file returned, as two members of the document.
#[derive(Debug, Default)]
pub(super) struct Returned {
    pub(super) functions: Map<String, Value>,
    pub(super) handlers: Map<String, Value>,
}

/// The functions that a file returned; `end` is where it returned them. `tables` are the
/// document's, to tell what `{}` means for a column.
pub(super) fn functions(draft: &mut Draft, returned: &Written, end: &Spot, tables: &Map<String, Value>) -> Returned {
    let mut read = Returned::default();
    let Written::Table(table) = returned else {
        draft.unexpected(end, "a table of functions, `return functions`", returned);
        return read;
    };
    for member in draft.functions(table, &end.place) {
        if let Written::Call(call) = member.value
            && is_handler(&call.name)
        {
            let spot = Spot::new(HANDLERS, end.place.clone()).member(member.name, &member.place);
            draft.mark(&spot);
            if let Some(handler) = handler(draft, &spot, call) {
                read.handlers.insert(member.name.to_owned(), Value::Object(handler));
            }
            continue;
        }
        let spot = Spot::new(FUNCTIONS, end.place.clone()).member(member.name, &member.place);
        draft.mark(&spot);
        if let Some(function) = function(draft, &spot, member.value, tables) {
            read.functions.insert(member.name.to_owned(), Value::Object(function));
        }
    }
    read
}

/// What is declared of a handler: its options, and that it is a Lua function.
fn handler(draft: &mut Draft, spot: &Spot, call: &Call) -> Option<Map<String, Value>> {
    let usage = format!("{}({{ args = {{ … }}, handler = function(ctx, args) … end }})", call.name);
    draft.without_methods(spot, call);
    draft.at_most(spot, call, 1, &usage);
    let Some(Written::Table(written)) = call.arguments.first() else {
        let message = format!("`{}` takes one table", call.name);
        draft.complain(
            "wrong_argument",
            &Spot::new(&spot.pointer, call.place.clone()),
            message,
            &format!("write `{usage}`"),
        );
        return None;
    };
    let mut handler = Map::new();
    handler.insert("kind".to_owned(), Value::String(call.name.clone()));
    let (mut whole, mut is_there) = (true, false);
    for member in draft.members(written, &call.place) {
        let at = spot.member(member.name, &member.place);
        let value = match (member.name, member.value) {
            ("handler", Written::Function) => {
                is_there = true;
                continue;
            }
            ("handler", other) => {
                is_there = true;
                draft.unexpected(&at, "a Lua function, `handler = function(ctx, args) … end`", other);
                None
            }
            ("args", Written::Table(args)) => arguments(draft, &at, args),
            ("args", other) => {
                draft.unexpected(&at, "a table of types, such as `{ seed = v.integer() }`", other);
                None
            }
            (_, value) => option(draft, &at, value, Empty::Table),
        };
        match value {
            Some(value) => drop(handler.insert(member.name.to_owned(), value)),
            None => whole = false,
        }
    }
    if !is_there {
        let message = format!("`{}` lacks its handler", call.name);
        draft.complain(
            "wrong_argument",
            &Spot::new(&spot.pointer, call.place.clone()),
            message,
            &format!("write `{usage}`"),
        );
    }
    (whole && is_there).then_some(handler)
}

fn arguments(draft: &mut Draft, spot: &Spot, written: &[(String, Written)]) -> Option<Value> {
    draft.mark(spot);
    let mut arguments = Map::new();
    let mut whole = true;
    for member in draft.members(written, &spot.place) {
        match validator(draft, &spot.member(member.name, &member.place), member.value) {
            Some(validator) => drop(arguments.insert(member.name.to_owned(), Value::Object(validator))),
            None => whole = false,
        }
    }
    whole.then_some(Value::Object(arguments))
}

fn function(
    draft: &mut Draft,
    spot: &Spot,
    written: &Written,
    tables: &Map<String, Value>,
) -> Option<Map<String, Value>> {
    let call = match written {
        Written::Call(call) if is_function(&call.name) => call,
        Written::Call(call) if NOT_YET_SERVED.contains(&call.name.as_str()) => {
            let message = format!("`{}` is part of the language, but not served yet by this version", call.name);
            draft.complain("not_yet_served", spot, message, "leave it out for now");
            return None;
        }
        Written::Nil
        | Written::Null
        | Written::Boolean(_)
        | Written::Number(_)
        | Written::Text(_)
        | Written::List(_)
        | Written::Table(_)
        | Written::Call(_)
        | Written::Uncalled { .. }
        | Written::Function
        | Written::Refused(_) => {
            draft.unexpected(spot, "a function such as `queryRows(\"table\", { … })`", written);
            return None;
        }
    };
    draft.without_methods(spot, call);
    let required = required_members(&call.name);
    let usage = usage(call, required);
    draft.at_most(spot, call, required.len() + 2, &usage);
    let mut arguments = call.arguments.iter();
    let table = arguments.next().unwrap_or(&Written::Nil);
    let Some(table) = table.as_text() else {
        let message = format!("expected a table's name, got {}", table.described());
        draft.complain("wrong_argument", &spot.member("table", &call.place), message, &format!("write `{usage}`"));
        return None;
    };
    let mut function = Map::new();
    function.insert("kind".to_owned(), Value::String(call.name.clone()));
    function.insert("table".to_owned(), Value::String(table.to_owned()));
    draft.mark(&spot.member("table", &call.place));
    let mut whole = true;
    for name in required {
        let written = arguments.next().unwrap_or(&Written::Nil);
        let at = spot.member(name, place_of(written, &Spot::new("", call.place.clone())));
        let value = match (*name, written) {
            (_, Written::Nil) => {
                let message = format!("`{}` lacks its {name}", call.name);
                draft.complain("wrong_argument", &at, message, &format!("write `{usage}`"));
                None
            }
            ("filter", written) => condition(draft, &at, written),
            ("values", written) => values(draft, &at, written, columns_of(tables, table)),
            (_, written) => operand(draft, &at, written, Empty::Table),
        };
        match value {
            Some(value) => drop(function.insert((*name).to_owned(), value)),
            None => whole = false,
        }
    }
    match arguments.next() {
        None | Some(Written::Nil) => {}
        Some(Written::Table(written)) => whole &= options(draft, spot, call, written, &mut function),
        Some(other) => {
            let message = format!("expected a table of options, got {}", other.described());
            let at = Spot::new(&spot.pointer, call.place.clone());
            draft.complain("wrong_argument", &at, message, &format!("write `{usage}`"));
            whole = false;
        }
    }
    whole.then_some(function)
}

/// Adds the options as they were written; answers whether all could be.
fn options(
    draft: &mut Draft,
    spot: &Spot,
    call: &Call,
    written: &[(String, Written)],
    function: &mut Map<String, Value>,
) -> bool {
    let mut whole = true;
    for member in draft.members(written, &call.place) {
        let at = spot.member(member.name, &member.place);
        if NOT_OPTIONS.contains(&member.name) || required_members(&call.name).contains(&member.name) {
            let message = format!("`{}` is no option of `{}`", member.name, call.name);
            let hint = format!("write `{}`", usage(call, required_members(&call.name)));
            draft.complain("unknown_option", &at, message, &hint);
            continue;
        }
        let value = match member.name {
            "filter" | "having" => condition(draft, &at, member.value),
            "when" => when(draft, &at, member.value),
            "select" => aggregate::select(draft, &at, member.value),
            "orderBy" | "fields" | "groupBy" => option(draft, &at, member.value, Empty::List),
            _ => option(draft, &at, member.value, Empty::Table),
        };
        match value {
            Some(value) => drop(function.insert(member.name.to_owned(), value)),
            None => whole = false,
        }
    }
    whole
}

fn values(draft: &mut Draft, spot: &Spot, written: &Written, columns: Option<&Map<String, Value>>) -> Option<Value> {
    draft.mark(spot);
    let Written::Table(written) = written else {
        let message = format!("expected a table of columns, got {}", written.described());
        draft.complain("wrong_argument", spot, message, "write `{ column = arg(\"column\") }`");
        return None;
    };
    let mut values = Map::new();
    for member in draft.members(written, &spot.place) {
        let column = columns.and_then(|columns| columns.get(member.name));
        let is_list = column.and_then(|column| column.get("type")).is_some_and(|word| word == "array");
        let empty = if is_list { Empty::List } else { Empty::Table };
        let value = operand(draft, &spot.member(member.name, &member.place), member.value, empty);
        values.insert(member.name.to_owned(), value?);
    }
    Some(Value::Object(values))
}

fn columns_of<'a>(tables: &'a Map<String, Value>, table: &str) -> Option<&'a Map<String, Value>> {
    tables.get(table)?.get("columns")?.as_object()
}

fn required_members(builder: &str) -> &'static [&'static str] {
    match builder {
        "getRow" | "deleteRow" => &["id"],
        "insertRow" | "insertRows" => &["values"],
        "upsertRow" => &["unique", "values"],
        "patchRow" => &["id", "values"],
        "patchRows" => &["filter", "values"],
        "deleteRows" => &["filter"],
        _ => &[],
    }
}

fn usage(call: &Call, required: &[&str]) -> String {
    let mut usage = format!("{}(\"table\"", call.name);
    for member in required {
        usage.push_str(match *member {
            "id" => ", arg(\"id\")",
            "unique" => ", \"one_of_each\"",
            "filter" => ", filter(\"column\", \"=\", arg(\"column\"))",
            _ => ", { column = arg(\"column\") }",
        });
    }
    usage + ", { … })"
}
