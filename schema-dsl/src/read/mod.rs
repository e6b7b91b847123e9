//! A JSON document becomes a [`Definition`], with every structural complaint at once.
//!
//! Structural is what can be said of one place without looking at another: unknown options and
//! words, wrong JSON types, missing members, limits that are none. What a name refers to, and
//! whether a literal fits its column, is for `check`. The answer is a best effort: what is broken
//! is left out or replaced by what was probably meant, so that `check` can be run on it as well
//! and says nothing that was said here. Other spellings (`orderDir`, `editorOnly`, a filter that
//! is a list) end here: a definition has one.

mod column;
mod complaints;
mod egress;
mod function;
mod handler;
mod operand;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::definition::{Definition, Extension, FORMAT, Function, Limits, Scope, Table};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::egress::Egress;
use crate::read::complaints::{
    Choices, Complaints, choice, flag, object, quoted, refuse_unknown, required, text, wrong_type,
};

pub use crate::read::complaints::COMPLAINTS_MAX;

/// Characters of an extension's name and of its version.
pub const EXTENSION_TEXT_CHARACTERS_MAX: usize = 200;

/// Rows that a scope may be allowed to hold; more are better left without a quota.
pub const ROWS_MAX: u32 = 1_000_000_000;

/// Bytes that a scope may be allowed to hold.
pub const BYTES_MAX: u64 = 1_000_000_000_000_000;

const SCOPES: Choices<'static, Scope> = Choices {
    noun: "storage",
    code: "unknown_storage",
    all: &[
        ("instance", Scope::Instance),
        ("overlay", Scope::Overlay),
        ("account", Scope::Account),
        ("global", Scope::Global),
    ],
    synonyms: &[("install", "instance"), ("shared", "global"), ("user", "account")],
    later: &[],
};

/// Reads a definition document; complaints carry JSON pointers into it.
pub fn read(document: &Value) -> (Definition, Vec<Diagnostic>) {
    let mut complaints = Complaints::default();
    let nothing = Map::new();
    let map = object(document, "", "a definition: an object", &mut complaints);
    let members = map.unwrap_or(&nothing);
    refuse_unknown(
        members,
        "",
        "a definition",
        &["$schema", "rowgate", "extension", "tables", "functions", "handlers", "sources"],
        &[],
        &mut complaints,
    );
    schema_reference(members, "", &mut complaints);
    let mut extension = placeholder();
    if map.is_some() {
        format(members, &mut complaints);
        if let Some(value) =
            required(members, "extension", "an object with `id`, `name` and `version`", "", &mut complaints)
        {
            extension = read_extension(value, "/extension", &mut complaints);
        }
    }
    let tables = named(members, "tables", "tables by name: an object", &mut complaints, table);
    let functions = named(members, "functions", "functions by name: an object", &mut complaints, function::function);
    let handlers = named(members, "handlers", "handlers by name: an object", &mut complaints, handler::handler);
    let sources = named(members, "sources", "Luau files by module name: an object", &mut complaints, handler::source);
    (Definition { rowgate: FORMAT, extension, tables, functions, handlers, sources }, complaints.into_list())
}

/// Reads one function's declaration by itself; complaints carry JSON pointers that begin with `at`.
pub fn read_function(value: &Value, at: &str) -> Result<Function, Vec<Diagnostic>> {
    let mut complaints = Complaints::default();
    let function = function::function(value, at, &mut complaints);
    match (function, complaints.into_list()) {
        (Some(function), complaints) if complaints.is_empty() => Ok(function),
        (_, complaints) => Err(complaints),
    }
}

/// Where an editor finds the JSON Schema; of no meaning here.
fn schema_reference(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) {
    if let Some(value) = map.get("$schema") {
        text(value, &pointer_to(at, "$schema"), "where the JSON Schema is, as text", complaints);
    }
}

fn format(document: &Map<String, Value>, complaints: &mut Complaints) {
    let Some(value) = required(document, "rowgate", "the format's version: `1`", "", complaints) else { return };
    if !value.is_number() {
        complaints.push(wrong_type(value, "/rowgate", "the format's version: `1`"));
    } else if column::integral(value) != Some(i64::from(FORMAT)) {
        let message = format!("format `{value}` is not known; expected `{FORMAT}`");
        complaints.push(Diagnostic::new("unknown_format", "/rowgate", message));
    }
}

fn read_extension(value: &Value, at: &str, complaints: &mut Complaints) -> Extension {
    let mut extension = placeholder();
    let Some(map) = object(value, at, "an object with `id`, `name` and `version`", complaints) else {
        return extension;
    };
    let known = ["$schema", "id", "name", "version", "egress", "secrets", "limits"];
    refuse_unknown(map, at, "an extension", &known, &[], complaints);
    schema_reference(map, at, complaints);
    if let Some(id) = required(map, "id", "a UUID", at, complaints)
        && let Some(id) = extension_id(id, &pointer_to(at, "id"), complaints)
    {
        extension.id = id;
    }
    for (member, place) in [("name", &mut extension.name), ("version", &mut extension.version)] {
        if let Some(value) = required(map, member, "text", at, complaints)
            && let Some(read) = extension_text(value, &pointer_to(at, member), complaints)
        {
            *place = read;
        }
    }
    extension.egress = egress::egress(map, at, complaints);
    extension.secrets = egress::secrets(map, at, complaints);
    if let Some(limits) = map.get("limits") {
        extension.limits = read_limits(limits, &pointer_to(at, "limits"), complaints);
    }
    extension
}

fn read_limits(value: &Value, at: &str, complaints: &mut Complaints) -> Limits {
    let mut limits = Limits::default();
    let Some(map) = object(value, at, "an object with `bytes`", complaints) else { return limits };
    refuse_unknown(map, at, "an extension's limits", &["bytes"], &[], complaints);
    if let Some(value) = map.get("bytes") {
        let bytes = column::integral(value).and_then(|bytes| u64::try_from(bytes).ok());
        limits.bytes = bytes.filter(|bytes| (1..=BYTES_MAX).contains(bytes));
        if limits.bytes.is_none() {
            let what = format!("a number of bytes from 1 to {BYTES_MAX}");
            complaints.push(wrong_type(value, &pointer_to(at, "bytes"), &what));
        }
    }
    limits
}

/// What stands where the extension could not be read; it draws no complaint of its own.
fn placeholder() -> Extension {
    Extension {
        id: Uuid::from_u128(1),
        name: "unnamed".to_owned(),
        version: "0".to_owned(),
        egress: Egress::default(),
        secrets: Vec::new(),
        limits: Limits::default(),
    }
}

fn extension_id(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Uuid> {
    let written = text(value, at, "a UUID as text", complaints)?;
    // The hyphenated form alone: an id is compared by eye in logs and in names of Postgres schemas.
    let id = Uuid::try_parse(written).ok().filter(|id| written.len() == 36 && !id.is_nil());
    if id.is_none() {
        let message = format!("{} is not a UUID", quoted(written));
        let hint = "write one such as `0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c`; `uuidgen` makes them";
        complaints.push(Diagnostic::new("malformed_uuid", at, message).with_hint(hint));
    }
    id
}

fn extension_text(value: &Value, at: &str, complaints: &mut Complaints) -> Option<String> {
    let written = text(value, at, "text", complaints)?;
    let characters = written.chars().count();
    if written.trim().is_empty() || characters > EXTENSION_TEXT_CHARACTERS_MAX || written.contains(char::is_control) {
        let message = format!("expected 1 to {EXTENSION_TEXT_CHARACTERS_MAX} printable characters");
        complaints.push(Diagnostic::new("malformed_text", at, message));
        return None;
    }
    Some(written.to_owned())
}

/// The members of `map.name`, each read by `one`; those that could not be read are left out.
fn named<T>(
    map: &Map<String, Value>,
    name: &str,
    what: &str,
    complaints: &mut Complaints,
    one: fn(&Value, &str, &mut Complaints) -> Option<T>,
) -> IndexMap<String, T> {
    let at = pointer_to("", name);
    let members = map.get(name).and_then(|value| object(value, &at, what, complaints));
    let mut read = IndexMap::new();
    for (name, value) in members.into_iter().flatten() {
        if let Some(value) = one(value, &pointer_to(&at, name), complaints) {
            read.insert(name.clone(), value);
        }
    }
    read
}

fn table(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Table> {
    let map = object(value, at, "a table: an object with `columns`", complaints)?;
    let known = ["columns", "storage", "owned", "rows", "indexes", "uniques", "renamedFrom"];
    refuse_unknown(map, at, "a table", &known, &[], complaints);
    let columns = required(map, "columns", "columns by name", at, complaints)?;
    let at_columns = pointer_to(at, "columns");
    let columns = object(columns, &at_columns, "columns by name: an object", complaints)?;
    let columns = columns
        .iter()
        .map(|(name, value)| (name.clone(), column::column(value, &pointer_to(&at_columns, name), complaints)))
        .collect();
    let storage = map
        .get("storage")
        .map_or(Ok(Scope::default()), |value| choice(value, &pointer_to(at, "storage"), &SCOPES, complaints));
    Some(Table {
        columns,
        storage: storage.unwrap_or_else(Option::unwrap_or_default),
        renamed_from: former_name(map, at, complaints),
        owned: flag(map, "owned", at, complaints),
        rows: rows(map, at, complaints),
        indexes: column_lists(map, "indexes", at, complaints),
        uniques: column_lists(map, "uniques", at, complaints),
    })
}

/// What a table or a column was called before.
fn former_name(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<String> {
    let value = map.get("renamedFrom")?;
    text(value, &pointer_to(at, "renamedFrom"), "the name it had before", complaints).map(str::to_owned)
}

/// How many rows a scope may hold.
fn rows(table: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<u32> {
    let value = table.get("rows")?;
    let rows = column::integral(value).and_then(|rows| u32::try_from(rows).ok());
    let rows = rows.filter(|rows| (1..=ROWS_MAX).contains(rows));
    if rows.is_none() {
        let what = format!("a number of rows from 1 to {ROWS_MAX}");
        complaints.push(wrong_type(value, &pointer_to(at, "rows"), &what));
    }
    rows
}

/// Lists of column names by name; a list with something else in it is left out.
fn column_lists(
    table: &Map<String, Value>,
    member: &str,
    at: &str,
    complaints: &mut Complaints,
) -> IndexMap<String, Vec<String>> {
    let at = pointer_to(at, member);
    let mut lists = IndexMap::new();
    let members =
        table.get(member).and_then(|value| object(value, &at, "lists of columns by name: an object", complaints));
    for (name, value) in members.into_iter().flatten() {
        let at = pointer_to(&at, name);
        let Some(elements) = array_of_columns(value, &at, complaints) else { continue };
        lists.insert(name.clone(), elements);
    }
    lists
}

fn array_of_columns(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Vec<String>> {
    let elements = complaints::array(value, at, "an array of column names", complaints)?;
    let mut columns = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        columns.extend(text(element, &pointer_to(at, index), "a column's name", complaints).map(str::to_owned));
    }
    (columns.len() == elements.len()).then_some(columns)
}
