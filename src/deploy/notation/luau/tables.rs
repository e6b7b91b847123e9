//! `defineSchema`, `defineTable` and the columns: the document's `tables`.

use rowgate_schema_dsl::diagnostic::nearest;
use serde_json::{Map, Value};

use crate::deploy::notation::luau::builders::{COLUMN_METHODS, TABLE_METHODS, is_validator};
use crate::deploy::notation::luau::draft::{Draft, Spot};
use crate::deploy::notation::luau::values::{Empty, literal, operand, option, place_of};
use crate::deploy::notation::luau::written::{Call, Method, Written, shortened};

const TABLES: &str = "/tables";

/// The tables of what a schema file returned; `end` is where it would have returned it.
pub(super) fn tables(draft: &mut Draft, returned: &Written, end: &Spot) -> Map<String, Value> {
    let Some((table, near)) = defined(draft, returned, end) else { return Map::new() };
    let mut tables = Map::new();
    for member in draft.members(table, &near.place) {
        let spot = near.member(member.name, &member.place);
        draft.mark(&spot);
        if let Some(call) = member.value.call_of("defineTable") {
            if let Some(table) = define_table(draft, &spot, call) {
                tables.insert(member.name.to_owned(), Value::Object(table));
            }
        } else {
            draft.unexpected(&spot, "`defineTable({ … })`", member.value);
        }
    }
    tables
}

/// A validator such as `v.string():max(280)`, of a column, an argument, a list's items or a field.
pub(super) fn validator(draft: &mut Draft, spot: &Spot, written: &Written) -> Option<Map<String, Value>> {
    draft.mark(spot);
    let Written::Call(call) = written else {
        draft.unexpected(spot, "a type such as `v.string()`", written);
        return None;
    };
    let Some(word) = call.name.strip_prefix("v.").filter(|_| is_validator(&call.name)) else {
        draft.unexpected(spot, "a type such as `v.string()`", written);
        return None;
    };
    let mut column = Map::new();
    column.insert("type".to_owned(), Value::String(word.to_owned()));
    let mut whole = true;
    match word {
        "enum" => {
            let listed = match call.arguments.as_slice() {
                [Written::List(values)] => values.as_slice(),
                values => values,
            };
            let at = spot.member("values", &call.place);
            let values: Vec<_> = listed.iter().map(|value| literal(draft, &at, value, Empty::Table)).collect();
            whole = values.iter().all(Option::is_some);
            column.insert("values".to_owned(), values.into_iter().flatten().collect());
        }
        "id" => {
            draft.at_most(spot, call, 1, "v.id(\"table\")");
            let table = call.arguments.first().unwrap_or(&Written::Nil);
            if let Some(table) = table.as_text() {
                column.insert("table".to_owned(), Value::String(table.to_owned()));
            } else {
                let message = format!("expected a table's name, got {}", table.described());
                draft.complain("wrong_argument", spot, message, "write `v.id(\"table\")`");
                whole = false;
            }
        }
        "array" => {
            draft.at_most(spot, call, 1, "v.array(v.string())");
            let items = call.arguments.first().unwrap_or(&Written::Nil);
            match validator(draft, &spot.member("items", place_of(items, spot)), items) {
                Some(items) => drop(column.insert("items".to_owned(), Value::Object(items))),
                None => whole = false,
            }
        }
        "object" => {
            draft.at_most(spot, call, 1, "v.object({ name = v.string() })");
            let at = spot.member("fields", &call.place);
            if let Some(Written::Table(fields)) = call.arguments.first() {
                let (fields, all) = validators(draft, &at, fields);
                column.insert("fields".to_owned(), Value::Object(fields));
                whole = all;
            } else {
                let got = call.arguments.first().unwrap_or(&Written::Nil);
                draft.unexpected(&at, "the fields, as in `v.object({ name = v.string() })`", got);
                whole = false;
            }
        }
        _ => draft.at_most(spot, call, 0, &format!("{}()", call.name)),
    }
    for method in &call.methods {
        column_method(draft, spot, method, &mut column);
    }
    whole.then_some(column)
}

/// The table that `defineSchema` was given, and where.
fn defined<'w>(draft: &mut Draft, returned: &'w Written, end: &Spot) -> Option<(&'w [(String, Written)], Spot)> {
    if let Written::Table(table) = returned {
        let message = "expected `defineSchema({ … })`, got a plain table";
        draft.complain("builder_expected", end, message, "write `return defineSchema({ … })`");
        return Some((table, end.clone()));
    }
    let Some(call) = returned.call_of("defineSchema") else {
        draft.unexpected(end, "`return defineSchema({ … })`", returned);
        return None;
    };
    let spot = Spot::new(TABLES, call.place.clone());
    draft.mark(&spot);
    draft.without_methods(&spot, call);
    draft.at_most(&spot, call, 1, "defineSchema({ … })");
    if let Some(Written::Table(table)) = call.arguments.first() {
        return Some((table, spot));
    }
    let got = call.arguments.first().unwrap_or(&Written::Nil);
    draft.unexpected(&spot, "a table of tables, `defineSchema({ name = defineTable({ … }) })`", got);
    None
}

fn define_table(draft: &mut Draft, spot: &Spot, call: &Call) -> Option<Map<String, Value>> {
    draft.at_most(spot, call, 1, "defineTable({ … }):index(\"name\", { \"column\" })");
    let Some(Written::Table(columns)) = call.arguments.first() else {
        let got = call.arguments.first().unwrap_or(&Written::Nil);
        draft.unexpected(spot, "the columns, as in `defineTable({ name = v.string() })`", got);
        return None;
    };
    let mut table = Map::new();
    let at = spot.member("columns", &call.place);
    table.insert("columns".to_owned(), Value::Object(validators(draft, &at, columns).0));
    for method in &call.methods {
        table_method(draft, spot, method, &mut table);
    }
    Some(table)
}

/// A table of validators, and whether none of them was left out.
fn validators(draft: &mut Draft, spot: &Spot, written: &[(String, Written)]) -> (Map<String, Value>, bool) {
    let mut validators = Map::new();
    for member in draft.members(written, &spot.place) {
        if let Some(column) = validator(draft, &spot.member(member.name, &member.place), member.value) {
            validators.insert(member.name.to_owned(), Value::Object(column));
        }
    }
    let all = validators.len() == written.len();
    (validators, all)
}

fn column_method(draft: &mut Draft, column_spot: &Spot, method: &Method, column: &mut Map<String, Value>) {
    let spot = Spot::new(&column_spot.pointer, method.place.clone());
    let name = method.name.as_str();
    if !COLUMN_METHODS.contains(&name) {
        let other = TABLE_METHODS.contains(&name).then_some("it follows `defineTable({ … })`");
        unknown_method(draft, &spot, name, &COLUMN_METHODS, other);
        return;
    }
    let at = spot.member(name, &method.place);
    let value = match (name, method.arguments.as_slice()) {
        ("optional" | "private" | "unique", []) => Some(Value::Bool(true)),
        ("optional" | "private" | "unique", _) => {
            draft.complain("wrong_argument", &at, format!("`{name}` takes no argument"), &format!("write `:{name}()`"));
            None
        }
        (_, [value]) if *value != Written::Nil => {
            let is_list = column.get("type").is_some_and(|word| word == "array");
            let empty = if is_list { Empty::List } else { Empty::Table };
            if name == "default" { operand(draft, &at, value, empty) } else { option(draft, &at, value, empty) }
        }
        (_, arguments) => {
            let message = format!("`{name}` takes one value, got {}", arguments_described(arguments));
            draft.complain("wrong_argument", &at, message, "");
            None
        }
    };
    let Some(value) = value else { return };
    draft.mark(&at);
    if column.insert(name.to_owned(), value).is_some() {
        draft.complain("duplicate_name", &at, format!("`{name}` is given twice"), "keep one of them");
    }
}

fn table_method(draft: &mut Draft, table_spot: &Spot, method: &Method, table: &mut Map<String, Value>) {
    let spot = Spot::new(&table_spot.pointer, method.place.clone());
    let name = method.name.as_str();
    let (member, arguments) = match (name, method.arguments.as_slice()) {
        ("storage" | "rows" | "renamedFrom", [value]) => {
            let at = spot.member(name, &method.place);
            let Some(value) = option(draft, &at, value, Empty::Table) else { return };
            if table.insert(name.to_owned(), value).is_some() {
                draft.complain("duplicate_name", &at, format!("`{name}` is given twice"), "keep one of them");
            }
            return;
        }
        ("rows", _) => {
            let hint = "write `:rows(100000)`";
            draft.complain("wrong_argument", &spot, "`rows` takes one number", hint);
            return;
        }
        ("renamedFrom", _) => {
            let hint = "write `:renamedFrom(\"former_name\")`";
            draft.complain("wrong_argument", &spot, "`renamedFrom` takes one name", hint);
            return;
        }
        ("storage", _) => {
            let hint = "write `:storage(\"instance\")`";
            draft.complain("wrong_argument", &spot, "`storage` takes one word", hint);
            return;
        }
        ("owned", arguments) => {
            let at = spot.member("owned", &method.place);
            if !arguments.is_empty() {
                draft.complain("wrong_argument", &at, "`owned` takes no argument", "write `:owned()`");
            }
            draft.mark(&at);
            if table.insert("owned".to_owned(), Value::Bool(true)).is_some() {
                draft.complain("duplicate_name", &at, "`owned` is given twice", "keep one of them");
            }
            return;
        }
        ("index", arguments) => ("indexes", arguments),
        ("unique", arguments) => ("uniques", arguments),
        _ => {
            let other = COLUMN_METHODS.contains(&name).then_some("it follows a column's type such as `v.string()`");
            unknown_method(draft, &spot, name, &TABLE_METHODS, other);
            return;
        }
    };
    let [Written::Text(rule), columns] = arguments else {
        let message = format!("`{name}` takes a name and a list of columns, got {}", arguments_described(arguments));
        let hint = format!("write `:{name}(\"by_score\", {{ \"score\" }})`");
        draft.complain("wrong_argument", &spot, message, &hint);
        return;
    };
    let at = spot.member(member, &method.place).member(rule, &method.place);
    let Some(columns) = option(draft, &at, columns, Empty::List) else { return };
    let rules = table.entry(member).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(rules) = rules
        && rules.insert(rule.clone(), columns).is_some()
    {
        let message = format!("`{name}` is given twice for `{}`", shortened(rule));
        draft.complain("duplicate_name", &at, message, "rename one of them");
    }
}

fn unknown_method(draft: &mut Draft, spot: &Spot, name: &str, served: &[&str], belongs: Option<&str>) {
    let shown = shortened(name);
    let hint = match (belongs, nearest(name, served.iter().copied())) {
        (Some(belongs), _) => belongs.to_owned(),
        (None, Some(near)) => format!("did you mean `:{near}`?"),
        (None, None) => format!("use one of {}", served.join(", ")),
    };
    draft.complain("unknown_method", spot, format!("there is no `:{shown}` here"), &hint);
}

fn arguments_described(arguments: &[Written]) -> String {
    match arguments {
        [] => "nothing".to_owned(),
        [one] => one.described(),
        many => format!("{} arguments", many.len()),
    }
}
