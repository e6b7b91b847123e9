//! The published JSON Schema of the definition document.
//!
//! It is made from the types of `definition` and then says what `read` says besides: no member is
//! unknown, an option that is not given is left out and never null, and some things have a second
//! spelling. What `read` accepts, the JSON Schema accepts; the reverse needs more than it can say.

use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::definition::{Definition, FORMAT};
use crate::function::LIST_ROWS_MAX;
use crate::read::EXTENSION_TEXT_CHARACTERS_MAX;

/// The JSON Schema (draft 2020-12) of a definition document.
pub fn json_schema() -> Schema {
    let mut schema = schemars::schema_for!(Definition);
    if let Some(root) = schema.as_object_mut() {
        let mut document = Value::Object(std::mem::take(root));
        drop_null(&mut document);
        second_spellings(&mut document);
        close(&mut document);
        if let Value::Object(closed) = document {
            *root = closed;
        }
    }
    schema
}

/// An `Option` that is skipped when empty is not nullable, as serde's derive cannot tell.
fn drop_null(schema: &mut Value) {
    let null = json!({ "type": "null" });
    if let Value::Object(members) = schema {
        if let Some(Value::Array(types)) = members.get_mut("type")
            && types.len() == 2
        {
            types.retain(|one| *one != "null");
            if let Some(only) = types.pop() {
                members.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(mut choices)) = members.remove("anyOf") {
            choices.retain(|choice| *choice != null);
            match (choices.len(), choices.pop()) {
                (1, Some(Value::Object(only))) => members.extend(only),
                (_, Some(last)) => {
                    choices.push(last);
                    members.insert("anyOf".to_owned(), Value::Array(choices));
                }
                (_, None) => {}
            }
        }
    }
    children(schema).for_each(drop_null);
}

/// Refuses unknown members in every object with named members. The variants of a `oneOf` share
/// an object with their parent, which sees what they evaluated and closes for all.
fn close(schema: &mut Value) {
    if let Value::Object(members) = schema
        && members.contains_key("properties")
        && !members.contains_key("$ref")
    {
        let word = if members.contains_key("oneOf") { "unevaluatedProperties" } else { "additionalProperties" };
        members.insert(word.to_owned(), Value::Bool(false));
    } else if let Value::Object(members) = schema
        && members.contains_key("oneOf")
        && members.get("oneOf").and_then(|variants| variants.pointer("/0/properties")).is_some()
    {
        members.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
    let mut variants = schema.as_object_mut().and_then(|members| members.remove("oneOf"));
    children(schema).for_each(close);
    for variant in variants.iter_mut().filter_map(Value::as_array_mut).flatten() {
        children(variant).for_each(close);
    }
    if let (Some(members), Some(variants)) = (schema.as_object_mut(), variants) {
        members.insert("oneOf".to_owned(), variants);
    }
}

fn children(schema: &mut Value) -> Box<dyn Iterator<Item = &mut Value> + '_> {
    match schema {
        Value::Object(members) => Box::new(members.values_mut()),
        Value::Array(elements) => Box::new(elements.iter_mut()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Box::new(std::iter::empty()),
    }
}

fn second_spellings(document: &mut Value) {
    extend(
        document,
        "/properties",
        json!({
            "$schema": { "type": "string", "description": "Where this JSON Schema is, for editors." },
            "rowgate": { "const": FORMAT, "description": "The format's version." },
        }),
    );
    let text = json!({ "type": "string", "minLength": 1, "maxLength": EXTENSION_TEXT_CHARACTERS_MAX });
    extend(
        document,
        "/$defs/Extension/properties",
        json!({
            "$schema": { "type": "string" },
            "name": text,
            "version": text,
        }),
    );
    let port = json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX });
    let ports = json!({ "type": "array", "items": port, "description": "Ports besides 443." });
    let hosts = json!({
        "type": "array",
        "items": { "type": "string" },
        "description": "Hosts in lower case; a `*` is exactly one label, such as `*.example.com`.",
    });
    extend(
        document,
        "/$defs/Egress/properties",
        json!({ "allowHosts": hosts, "allow_hosts": hosts, "allowPorts": ports, "allow_ports": ports }),
    );
    let twice = ["Hosts", "Ports"]
        .map(|one| json!({ "not": { "required": [format!("allow{one}"), format!("allow_{}", one.to_lowercase())] } }));
    extend(document, "/$defs/Egress", json!({ "allOf": twice }));
    for holder in ["Column", "Validator", "Field", "ColumnType"] {
        types(document, &format!("/$defs/{holder}/oneOf"));
    }
    extend(document, "/$defs/Function", json!({ "not": { "required": ["access", "editorOnly"] } }));
    extend(
        document,
        "/$defs/Function/properties",
        json!({
            "editorOnly": { "type": "boolean", "description": "True is short for `\"access\": \"editor\"`." },
            "when": {
                "description": "What must hold for a write: of its row, or by column of the row that it refers to, or a list of either.",
                "anyOf": [
                    { "$ref": "#/$defs/When" },
                    { "type": "array", "items": { "$ref": "#/$defs/When" } },
                ],
            },
        }),
    );
    for kind in ["queryRows", "aggregateRows"] {
        let Some(query) = variant(document, "/$defs/Function/oneOf", "kind", kind) else { continue };
        extend(
            query,
            "/properties/groupBy",
            json!({
                "type": ["string", "array"],
                "description": "Rows that share the values of this column, or of these, are one group.",
            }),
        );
        let one = json!([{ "type": "string" }, { "$ref": "#/$defs/Order" }]);
        extend(
            query,
            "/properties",
            json!({
                "orderBy": {
                    "description": "A column, a column with its direction, or a list of either.",
                    "anyOf": [
                        { "type": "string" },
                        { "$ref": "#/$defs/Order" },
                        { "type": "array", "items": { "anyOf": one } },
                    ],
                },
                "orderDir": { "description": "The direction of columns that name none.", "$ref": "#/$defs/Direction" },
            }),
        );
        extend(query, "", json!({ "dependentRequired": { "orderDir": ["orderBy"] } }));
    }
    expand(document);
    // `isNull` alone goes without a value.
    if let Some(Value::Array(required)) = document.pointer_mut("/$defs/Comparison/required") {
        required.retain(|member| *member != "value");
    }
    if let Some(Value::Array(filters)) = document.pointer_mut("/$defs/Filter/anyOf") {
        let list =
            json!({ "type": "array", "items": { "$ref": "#/$defs/Filter" }, "description": "Every one of these." });
        filters.push(list);
    }
}

/// `expand` as a list of columns, or with `true` for a column.
fn expand(document: &mut Value) {
    let one_order = json!([{ "type": "string" }, { "$ref": "#/$defs/Order" }]);
    extend(
        document,
        "/$defs/Expand/anyOf/0/properties",
        json!({
            "orderBy": {
                "description": "A column, a column with its direction, or a list of either.",
                "anyOf": [
                    { "type": "string" },
                    { "$ref": "#/$defs/Order" },
                    { "type": "array", "items": { "anyOf": one_order } },
                ],
            },
            "orderDir": { "description": "The direction of columns that name none.", "$ref": "#/$defs/Direction" },
            "limit": { "type": "integer", "minimum": 1, "maximum": LIST_ROWS_MAX, "description": "Rows listed at most." },
        }),
    );
    for kind in ["queryRows", "getRow"] {
        let Some(read) = variant(document, "/$defs/Function/oneOf", "kind", kind) else { continue };
        extend(
            read,
            "/properties",
            json!({
                "expand": {
                    "description": "Rows that each row is answered with: columns that refer to one, or an object of these and of lists of rows that refer to it.",
                    "anyOf": [
                        { "type": "array", "items": { "type": "string" } },
                        {
                            "type": "object",
                            "additionalProperties": { "anyOf": [{ "const": true }, { "$ref": "#/$defs/Expand" }] },
                        },
                    ],
                },
            }),
        );
    }
}

/// What the options of types may be, beyond their Rust types.
fn types(document: &mut Value, variants: &str) {
    let length = json!({ "type": "integer", "minimum": 0, "maximum": i32::MAX });
    let decimal =
        json!({ "type": ["string", "number"], "description": "Digits such as `\"12.50\"`, without an exponent." });
    let elements = json!({
        "$ref": "#/$defs/ColumnType",
        "properties": { "type": { "not": { "enum": ["array", "object", "json"] } } },
    });
    for (word, options) in [
        ("string", json!({ "min": length, "max": length })),
        ("bytes", json!({ "min": length, "max": length })),
        ("decimal", json!({ "min": decimal, "max": decimal })),
        (
            "enum",
            json!({ "values": { "type": "array", "items": { "type": "string" }, "minItems": 1, "uniqueItems": true } }),
        ),
        ("array", json!({ "items": elements, "min": length, "max": length })),
    ] {
        if let Some(variant) = variant(document, variants, "type", word) {
            extend(variant, "/properties", options);
        }
    }
}

/// The variant of a `oneOf` whose member `tag` is always `word`.
fn variant<'a>(document: &'a mut Value, variants: &str, tag: &str, word: &str) -> Option<&'a mut Value> {
    let at = format!("/properties/{tag}/const");
    let variants = document.pointer_mut(variants)?.as_array_mut()?;
    variants.iter_mut().find(|variant| variant.pointer(&at).is_some_and(|found| found == word))
}

fn extend(document: &mut Value, at: &str, members: Value) {
    let (Some(Value::Object(object)), Value::Object(members)) = (document.pointer_mut(at), members) else { return };
    let members: Map<String, Value> = members;
    object.extend(members);
}
