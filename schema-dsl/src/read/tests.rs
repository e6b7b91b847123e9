#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::too_many_lines, clippy::wildcard_enum_match_arm)]

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::definition::{Definition, json_schema};
use crate::diagnostic::Diagnostic;
use crate::generate;
use crate::read::{BYTES_MAX, COMPLAINTS_MAX, read};

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(json_schema().as_value()).expect("a sound JSON Schema"));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_is_read_back(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let definition = generate::definition(&choices);
        let document = serde_json::to_value(&definition).unwrap();
        let (read, complaints) = read(&document);
        prop_assert_eq!(complaints, vec![]);
        prop_assert_eq!(read, definition);
    }

    #[test]
    fn written_definitions_follow_the_json_schema(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let document = serde_json::to_value(generate::definition(&choices)).unwrap();
        prop_assert!(VALIDATOR.is_valid(&document), "{:?}", VALIDATOR.iter_errors(&document).next());
    }

    /// An editor that follows the JSON Schema never marks what `read` accepts; and what `read`
    /// answers about a document with complaints is free of them.
    #[test]
    fn changed_documents_are_read_as_the_json_schema_says(
        choices in prop::collection::vec(any::<u32>(), 0..200),
        changes in prop::collection::vec((any::<prop::sample::Index>(), change()), 1..4),
    ) {
        let mut document = serde_json::to_value(generate::definition(&choices)).unwrap();
        for (place, change) in changes {
            apply(&mut document, place, change);
        }
        let (definition, complaints) = read(&document);
        if complaints.is_empty() {
            prop_assert!(VALIDATOR.is_valid(&document), "{:?}", VALIDATOR.iter_errors(&document).next());
        }
        prop_assert_eq!(read_again(&definition), vec![]);
        for complaint in complaints {
            prop_assert!(complaint.pointer.is_empty() || parent_exists(&document, &complaint.pointer), "{}", complaint);
        }
    }

    #[test]
    fn any_json_is_read_without_a_panic(document in any_json()) {
        let (definition, _) = read(&document);
        prop_assert_eq!(read_again(&definition), vec![]);
    }
}

#[derive(Debug, Clone)]
enum Change {
    Replace(Value),
    Remove,
    Add(String, Value),
}

fn change() -> impl Strategy<Value = Change> {
    let words = prop::sample::select(vec![
        "type",
        "min",
        "max",
        "pattern",
        "optional",
        "default",
        "private",
        "unique",
        "items",
        "values",
        "fields",
        "table",
        "onDelete",
        "kind",
        "filter",
        "orderBy",
        "orderDir",
        "limit",
        "offset",
        "page",
        "access",
        "editorOnly",
        "scan",
        "version",
        "all",
        "any",
        "negate",
        "column",
        "op",
        "value",
        "arg",
        "validator",
        "identity",
        "now",
        "increment",
        "literal",
        "$schema",
        "storage",
        "dir",
        "oops",
    ]);
    let values = prop_oneof![
        any_json(),
        prop::sample::select(vec![
            json!("string"),
            json!("boolean"),
            json!("id"),
            json!("array"),
            json!("desc"),
            json!("viewer"),
            json!("="),
            json!(true),
            json!(1),
            json!(1.0),
            json!(-1),
            json!("score"),
            json!({ "arg": "a" }),
            json!({ "now": true }),
            json!({ "type": "integer", "min": 0 }),
            json!(["a"]),
            json!([{ "column": "a", "op": "=", "value": 1 }]),
            json!({ "literal": {} }),
            json!({ "column": "a", "dir": "asc" }),
            json!("1.5"),
            json!(null),
        ]),
    ];
    prop_oneof![
        values.clone().prop_map(Change::Replace),
        Just(Change::Remove),
        (words, values).prop_map(|(word, value)| Change::Add(word.to_owned(), value)),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        let word =
            prop::sample::select(vec!["tables", "functions", "columns", "type", "filter", "all", "arg", "a/~b", ""]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((word, inner), 0..5)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

/// Changes one of all the values of the document.
fn apply(document: &mut Value, place: prop::sample::Index, change: Change) {
    let mut pointers = Vec::new();
    list(document, String::new(), &mut pointers);
    let pointer = place.get(&pointers).clone();
    match change {
        Change::Replace(value) => *document.pointer_mut(&pointer).unwrap() = value,
        Change::Add(name, value) => {
            if let Value::Object(members) = document.pointer_mut(&pointer).unwrap() {
                members.insert(name, value);
            }
        }
        Change::Remove => {
            let Some((parent, name)) = pointer.rsplit_once('/') else { return };
            let name = name.replace("~1", "/").replace("~0", "~");
            match document.pointer_mut(parent).unwrap() {
                Value::Object(members) => drop(members.shift_remove(&name)),
                Value::Array(elements) => drop(elements.remove(name.parse().unwrap())),
                other => panic!("{other} has no members"),
            }
        }
    }
}

fn list(value: &Value, pointer: String, pointers: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                list(value, crate::diagnostic::pointer_to(&pointer, name), pointers);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                list(value, crate::diagnostic::pointer_to(&pointer, index), pointers);
            }
        }
        _ => {}
    }
    pointers.push(pointer);
}

fn read_again(definition: &Definition) -> Vec<Diagnostic> {
    read(&serde_json::to_value(definition).unwrap()).1
}

fn parent_exists(document: &Value, pointer: &str) -> bool {
    pointer.rsplit_once('/').is_some_and(|(parent, _)| document.pointer(parent).is_some())
}

/// A document with one table and one function, and the complaints about it, one a line.
fn complaints(columns: Value, function: Value) -> String {
    let document = json!({
        "rowgate": 1,
        "extension": { "id": "0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c", "name": "poll", "version": "0.1.0" },
        "tables": { "rules": { "columns": columns } },
        "functions": { "f": function },
    });
    render(&document)
}

fn render(document: &Value) -> String {
    let lines = read(document).1.into_iter().map(|complaint| complaint.to_string().replace("\n  hint: ", "; "));
    lines.collect::<Vec<_>>().join("\n")
}

fn of_columns(columns: Value) -> String {
    complaints(columns, json!({ "kind": "countRows", "table": "rules" }))
}

fn of_function(function: Value) -> String {
    complaints(json!({ "text": { "type": "string" } }), function)
}

/// The function as it is written after it was read, without its kind and table.
fn normal(mut function: Value) -> Value {
    function["table"] = json!("rules");
    let document = json!({
        "rowgate": 1,
        "extension": { "id": "0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c", "name": "poll", "version": "0.1.0" },
        "functions": { "f": function },
    });
    let (definition, complaints) = read(&document);
    assert_eq!(complaints, vec![]);
    assert!(VALIDATOR.is_valid(&document), "{document}");
    let mut written = serde_json::to_value(&definition.functions["f"]).unwrap();
    written.as_object_mut().unwrap().retain(|name, _| name != "kind" && name != "table");
    written
}

/// Transactions and conditions in each of their spellings, and what an editor would mark.
#[test]
fn transactions_follow_the_json_schema() {
    let open = json!({ "column": "open", "op": "=", "value": true });
    let insert =
        json!({ "kind": "insertRow", "table": "votes", "values": { "poll": { "row": "poll", "column": "id" } } });
    let with = |when: &Value| {
        let mut function = insert.clone();
        function.as_object_mut().unwrap().insert("when".to_owned(), when.clone());
        json!({
            "rowgate": 1,
            "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "live poll", "version": "1.0.0" },
            "functions": { "f": { "kind": "transaction", "steps": [{ "name": "vote", "function": function }] } },
        })
    };
    let spellings =
        [json!({ "poll": open }), json!([open, { "poll": { "all": [open] } }]), json!({ "any": [open] }), json!([])];
    for document in spellings.iter().map(with) {
        let (definition, complaints) = read(&document);
        assert_eq!(complaints, vec![]);
        assert!(VALIDATOR.is_valid(&document), "{document}");
        let written = serde_json::to_value(&definition).unwrap();
        assert!(VALIDATOR.is_valid(&written), "{written}");
        assert_eq!(read(&written), (definition, vec![]));
    }
    let document = with(&json!({ "poll": open }));
    for (at, member) in [
        ("/functions/f", "table"),
        ("/functions/f/steps/0", "kind"),
        ("/functions/f/steps/0/function", "step"),
        ("/functions/f/steps/0/function/values/poll", "arg"),
    ] {
        let mut changed = document.clone();
        changed.pointer_mut(at).unwrap().as_object_mut().unwrap().insert(member.to_owned(), json!("x"));
        assert!(!VALIDATOR.is_valid(&changed), "{at}");
        assert!(!read(&changed).1.is_empty(), "{at}");
    }
}

/// A condition that is broken leaves nothing behind that is broken in another way.
#[test]
fn conditions_by_column_that_are_all_broken_are_left_out() {
    for when in [
        json!({ "poll": 5 }),
        json!([{ "poll": { "column": 1 } }]),
        json!([{ "poll": null, "other": [] }]),
        json!([{}]),
    ] {
        let document = json!({
            "rowgate": 1,
            "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "poll", "version": "1.0.0" },
            "functions": { "f": { "kind": "deleteRow", "table": "votes", "id": { "arg": "id" }, "when": when } },
        });
        let (definition, complaints) = read(&document);
        assert!(!complaints.is_empty(), "{document}");
        assert_eq!(read_again(&definition), vec![], "{document}");
    }
}

#[test]
fn documents() {
    insta::assert_snapshot!(render(&json!([])), @"error[wrong_type]: expected a definition: an object, got an array");
    insta::assert_snapshot!(render(&json!({})), @"
    error[missing_member]: `rowgate` is missing; expected the format's version: `1`
    error[missing_member]: `extension` is missing; expected an object with `id`, `name` and `version`
    ");
    insta::assert_snapshot!(render(&json!({
        "$schema": "definition.schema.json", "rowgate": 2, "tabels": {}, "functions": [],
        "extension": {
            "id": "not-a-uuid", "name": " ", "version": 1, "nmae": "poll", "egress": [], "secrets": ["a", 1], "limits": {},
        },
    })), @"
    /tabels: error[unknown_option]: `tabels` is not an option of a definition; did you mean `tables`?
    /rowgate: error[unknown_format]: format `2` is not known; expected `1`
    /extension/nmae: error[unknown_option]: `nmae` is not an option of an extension; did you mean `name`?
    /extension/id: error[malformed_uuid]: `not-a-uuid` is not a UUID; write one such as `0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c`; `uuidgen` makes them
    /extension/name: error[malformed_text]: expected 1 to 200 printable characters
    /extension/version: error[wrong_type]: expected text, got the number `1`
    /extension/egress: error[wrong_type]: expected an object, got an array
    /extension/secrets/1: error[wrong_type]: expected a secret's name, got the number `1`
    /functions: error[wrong_type]: expected functions by name: an object, got an array
    ");
}

#[test]
fn tables() {
    let table = |table: Value| {
        render(&json!({
            "rowgate": 1,
            "extension": { "id": "0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c", "name": "poll", "version": "0.1.0" },
            "tables": { "rules": table, "a/b": {} },
        }))
    };
    insta::assert_snapshot!(table(json!("rules")), @"
    /tables/rules: error[wrong_type]: expected a table: an object with `columns`, got the text `rules`
    /tables/a~1b: error[missing_member]: `columns` is missing; expected columns by name
    ");
    insta::assert_snapshot!(table(json!({
        "columns": {}, "storage": "install", "index": {}, "rows": 5,
        "indexes": { "by_text": "text", "by_more": ["text", 1] }, "uniques": [],
    })), @"
    /tables/rules/index: error[unknown_option]: `index` is not an option of a table; did you mean `indexes`?
    /tables/rules/storage: error[unknown_storage]: `install` is not a storage; did you mean `instance`?
    /tables/rules/indexes/by_text: error[wrong_type]: expected an array of column names, got the text `text`
    /tables/rules/indexes/by_more/1: error[wrong_type]: expected a column's name, got the number `1`
    /tables/rules/uniques: error[wrong_type]: expected lists of columns by name: an object, got an array
    /tables/a~1b: error[missing_member]: `columns` is missing; expected columns by name
    ");
    insta::assert_snapshot!(table(json!({ "columns": {}, "storage": "galactic" })), @"
    /tables/rules/storage: error[unknown_storage]: `galactic` is not a storage; expected `instance`, `overlay`, `account` or `global`
    /tables/a~1b: error[missing_member]: `columns` is missing; expected columns by name
    ");
}

#[test]
fn columns() {
    insta::assert_snapshot!(of_columns(json!({
        "a": { "type": "strng" }, "b": { "type": "text" }, "c": { "type": 5 }, "d": {}, "e": "string", "f": { "type": "quux" },
    })), @"
    /tables/rules/columns/a/type: error[unknown_type]: `strng` is not a type; did you mean `string`?
    /tables/rules/columns/b/type: error[unknown_type]: `text` is not a type; did you mean `string`?
    /tables/rules/columns/c/type: error[wrong_type]: expected a type as text, got the number `5`
    /tables/rules/columns/d: error[missing_member]: `type` is missing; expected a type such as `string`
    /tables/rules/columns/e: error[wrong_type]: expected a column: an object with `type`, got the text `string`
    /tables/rules/columns/f/type: error[unknown_type]: `quux` is not a type; expected `string`, `integer`, `number`, `boolean`, `decimal`, `timestamp`, `date`, `uuid`, `bytes`, `enum`, `id`, `array`, `object` or `json`
    ");
    insta::assert_snapshot!(of_columns(json!({
        "a": { "type": "string", "mx": 5, "optionl": true, "renamedFrom": 5, "unqiue": true },
        "b": { "type": "boolean", "max": 5, "pattern": "a" },
        "c": { "type": "string", "optional": "yes", "private": 1, "unique": null, "xyzzy": 1 },
        "d": { "type": "array", "items": { "type": "string", "optional": true, "mn": 3 } },
        "e": { "type": "object", "fields": { "x": { "type": "string", "private": true }, "y": 1 } },
    })), @"
    /tables/rules/columns/a/mx: error[unknown_option]: `mx` is not an option of a column of type `string`; did you mean `max`?
    /tables/rules/columns/a/optionl: error[unknown_option]: `optionl` is not an option of a column of type `string`; did you mean `optional`?
    /tables/rules/columns/a/unqiue: error[unknown_option]: `unqiue` is not an option of a column of type `string`; did you mean `unique`?
    /tables/rules/columns/a/renamedFrom: error[wrong_type]: expected the name it had before, got the number `5`
    /tables/rules/columns/b/max: error[option_not_for_type]: `max` means nothing for type `boolean`; it is for `string`, `integer`, `number`, `decimal`, `bytes` or `array`
    /tables/rules/columns/b/pattern: error[option_not_for_type]: `pattern` means nothing for type `boolean`; it is for `string`
    /tables/rules/columns/c/xyzzy: error[unknown_option]: `xyzzy` is not an option of a column of type `string`; expected `min`, `max`, `pattern`, `type`, `optional`, `default`, `private`, `unique` or `renamedFrom`
    /tables/rules/columns/c/private: error[wrong_type]: expected true or false, got the number `1`
    /tables/rules/columns/c/unique: error[wrong_type]: expected true or false, got null
    /tables/rules/columns/c/optional: error[wrong_type]: expected true or false, got the text `yes`
    /tables/rules/columns/d/items/optional: error[option_not_for_type]: `optional` means nothing for an array's element; say it of the array
    /tables/rules/columns/d/items/mn: error[unknown_option]: `mn` is not an option of an array's element of type `string`; did you mean `min`?
    /tables/rules/columns/e/fields/x/private: error[option_not_for_type]: `private` means nothing for a field; say it of the column
    /tables/rules/columns/e/fields/y: error[wrong_type]: expected a field: an object with `type`, got the number `1`
    ");
    insta::assert_snapshot!(of_columns(json!({
        "a": { "type": "string", "min": -1, "max": 1.5 },
        "b": { "type": "integer", "min": 9_223_372_036_854_775_808_u64, "max": "5" },
        "c": { "type": "number", "min": "0", "max": [] },
        "d": { "type": "decimal", "min": "1e5", "max": true },
        "e": { "type": "bytes", "max": 4_294_967_296_u64 },
        "f": { "type": "string", "pattern": "(" },
        "g": { "type": "string", "pattern": "\\bword\\b" },
        "h": { "type": "string", "pattern": 5 },
    })), @r#"
    /tables/rules/columns/a/min: error[out_of_range]: `-1` is not a length; expected an integer from 0 to 2147483647
    /tables/rules/columns/a/max: error[out_of_range]: `1.5` is not a length; expected an integer from 0 to 2147483647
    /tables/rules/columns/b/min: error[out_of_range]: `9223372036854775808` is not an integer from -9223372036854775808 to 9223372036854775807
    /tables/rules/columns/b/max: error[wrong_type]: expected an integer, got the text `5`
    /tables/rules/columns/c/min: error[wrong_type]: expected a number, got the text `0`
    /tables/rules/columns/c/max: error[wrong_type]: expected a number, got an array
    /tables/rules/columns/d/min: error[malformed_decimal]: `1e5` is not a decimal; write digits such as `"12.50"`, without an exponent
    /tables/rules/columns/d/max: error[wrong_type]: expected a decimal such as `"12.50"`, got `true`
    /tables/rules/columns/e/max: error[out_of_range]: `4294967296` is not a length; expected an integer from 0 to 2147483647
    /tables/rules/columns/f/pattern: error[malformed_pattern]: `(` is not a pattern: unclosed group
    /tables/rules/columns/g/pattern: error[malformed_pattern]: `\bword\b` is not a pattern: only `^` and `$` are accepted as assertions
    /tables/rules/columns/h/pattern: error[wrong_type]: expected a regular expression as text, got the number `5`
    "#);
    insta::assert_snapshot!(of_columns(json!({
        "a": { "type": "enum" }, "b": { "type": "enum", "values": [] }, "c": { "type": "enum", "values": ["x", "y", "x", 1] },
        "d": { "type": "enum", "values": "x" }, "e": { "type": "enum", "values": ["a\u{0}b"] },
        "f": { "type": "id" }, "g": { "type": "id", "table": 5 }, "h": { "type": "id", "table": "rules", "onDelete": "set null" },
        "i": { "type": "array" }, "j": { "type": "array", "items": { "type": "array", "items": { "type": "string" } } },
        "k": { "type": "array", "items": { "type": "json" } }, "l": { "type": "object" }, "m": { "type": "object", "fields": [] },
    })), @"
    /tables/rules/columns/a: error[missing_member]: `values` is missing; expected an array of texts
    /tables/rules/columns/b/values: error[empty_enum]: an enum needs at least one value
    /tables/rules/columns/c/values/2: error[duplicate_value]: `x` is given twice
    /tables/rules/columns/c/values/3: error[wrong_type]: expected text, got the number `1`
    /tables/rules/columns/d/values: error[wrong_type]: expected an array of texts, got the text `x`
    /tables/rules/columns/e/values/0: error[nul_character]: text cannot hold the character U+0000
    /tables/rules/columns/f: error[missing_member]: `table` is missing; expected the name of the table it refers to
    /tables/rules/columns/g/table: error[wrong_type]: expected a table's name, got the number `5`
    /tables/rules/columns/h/onDelete: error[unknown_on_delete]: `set null` is not a choice for `onDelete`; did you mean `setNull`?
    /tables/rules/columns/i: error[missing_member]: `items` is missing; expected the type of the elements
    /tables/rules/columns/j/items: error[array_of_documents]: an array holds single values, not an array; use type `json`, or a table of its own
    /tables/rules/columns/k/items: error[array_of_documents]: an array holds single values, not a json; use type `json`, or a table of its own
    /tables/rules/columns/l: error[missing_member]: `fields` is missing; expected types by field name
    /tables/rules/columns/m/fields: error[wrong_type]: expected types by field name: an object, got an array
    ");
    insta::assert_snapshot!(of_columns(json!({
        "a": { "type": "timestamp", "default": { "now": false } },
        "b": { "type": "json", "default": { "x": 1 } },
        "c": { "type": "json", "default": { "litral": 1 } },
        "d": { "type": "json", "default": { "literal": 1, "now": true } },
        "e": { "type": "json", "default": { "literal": { "fine": true }, "more": 1 } },
    })), @r#"
    /tables/rules/columns/a/default/now: error[wrong_type]: expected `true`, got `false`
    /tables/rules/columns/b/default: error[unknown_value]: an object as a default is one of `now` or `literal`; write an object that is the value itself as `{"literal": …}`
    /tables/rules/columns/c/default/litral: error[unknown_option]: `litral` is not an option of a default; did you mean `literal`?
    /tables/rules/columns/d/default: error[ambiguous_value]: a default cannot be `now` and `literal` at once; keep one of them
    /tables/rules/columns/e/default/more: error[unknown_option]: `more` is not an option of `literal`; leave it out
    "#);
}

#[test]
fn objects_nest_to_a_maximum() {
    let nested = |levels| {
        (0..levels).fold(json!({ "type": "string" }), |inner, _| json!({ "type": "object", "fields": { "a": inner } }))
    };
    assert_eq!(of_columns(json!({ "a": nested(crate::column_type::SHAPE_DEPTH_MAX) })), "");
    insta::assert_snapshot!(of_columns(json!({ "a": nested(crate::column_type::SHAPE_DEPTH_MAX + 1) })), @"/tables/rules/columns/a/fields/a/fields/a/fields/a/fields/a/fields/a/fields/a/fields/a/fields/a: error[too_deep]: objects nest 8 deep at most; use type `json` for the inner ones");
}

#[test]
fn functions() {
    insta::assert_snapshot!(of_function(json!(1)), @"/functions/f: error[wrong_type]: expected a function: an object with `kind` and `table`, got the number `1`");
    insta::assert_snapshot!(of_function(json!({ "table": "rules" })), @"/functions/f: error[missing_member]: `kind` is missing; expected a kind of function such as `queryRows`");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRow" })), @"
    /functions/f/kind: error[unknown_kind]: `queryRow` is not a kind of function; did you mean `queryRows`?
    /functions/f: error[missing_member]: `table` is missing; expected a table's name
    ");
    insta::assert_snapshot!(of_function(json!({ "kind": "update", "table": "rules" })), @r#"
    /functions/f/kind: error[unknown_kind]: `update` is not a kind of function; did you mean `patchRow`?
    /functions/f: error[missing_member]: `id` is missing; expected which row, such as `{"arg": "id"}`
    /functions/f: error[missing_member]: `values` is missing; expected values by column
    "#);
    insta::assert_snapshot!(of_function(json!({ "kind": "upsertRow", "table": "rules" })), @r#"
    /functions/f: error[missing_member]: `unique` is missing; expected the unique rule by which the row is found
    /functions/f: error[missing_member]: `values` is missing; expected values by column
    "#);
    insta::assert_snapshot!(of_function(json!({ "kind": "frobnicate" })), @r#"/functions/f/kind: error[unknown_kind]: `frobnicate` is not a kind of function; expected `queryRows`, `getRow`, `countRows`, `aggregateRows`, `insertRow`, `insertRows`, `upsertRow`, `patchRow`, `patchRows`, `deleteRow`, `deleteRows` or `transaction`"#);
    insta::assert_snapshot!(of_function(json!({
        "kind": "queryRows", "table": "rules", "limitt": 5, "rateLimit": true, "description": "", "values": {}, "access": "edtior", "editorOnly": "yes",
    })), @r#"
    /functions/f/limitt: error[unknown_option]: `limitt` is not an option of `queryRows`; did you mean `limit`?
    /functions/f/description: error[not_yet_served]: `description` is not served yet; leave it out for now
    /functions/f/values: error[unknown_option]: `values` is not an option of `queryRows`; expected `kind`, `table`, `filter`, `orderBy`, `orderDir`, `limit`, `offset`, `page`, `fields`, `expand`, `own`, `scan`, `access`, `editorOnly` or `rateLimit`
    /functions/f/editorOnly: error[wrong_type]: expected true or false, got the text `yes`
    /functions/f: error[given_twice]: `access` and `editorOnly` say the same thing twice; keep `access`
    /functions/f/access: error[unknown_role]: `edtior` is not a role; did you mean `editor`?
    /functions/f/rateLimit: error[wrong_type]: expected calls a minute, such as `{ "perMinute": 10 }`, got `true`
    "#);
    insta::assert_snapshot!(of_function(json!({
        "kind": "deleteRow", "table": 5, "access": "editor", "editorOnly": true, "filter": {},
    })), @r#"
    /functions/f/filter: error[unknown_option]: `filter` is not an option of `deleteRow`; expected `kind`, `table`, `id`, `version`, `when`, `own`, `scan`, `access`, `editorOnly` or `rateLimit`
    /functions/f: error[given_twice]: `access` and `editorOnly` say the same thing twice; keep `access`
    /functions/f/table: error[wrong_type]: expected a table's name, got the number `5`
    /functions/f: error[missing_member]: `id` is missing; expected which row, such as `{"arg": "id"}`
    "#);
    insta::assert_snapshot!(of_function(json!({
        "kind": "patchRow", "table": "rules", "values": { "a": { "inc": 1 }, "b": { "increment": { "now": true } } },
    })), @r#"
    /functions/f: error[missing_member]: `id` is missing; expected which row, such as `{"arg": "id"}`
    /functions/f/values/a: error[unknown_value]: an object as a value is one of `arg`, `identity`, `now`, `row`, `increment`, `append`, `remove` or `literal`; write an object that is the value itself as `{"literal": …}`
    /functions/f/values/b/increment: error[wrong_type]: expected a number or `{"arg": …}`, got an object
    "#);
}

#[test]
fn operands() {
    insta::assert_snapshot!(of_function(json!({ "kind": "insertRow", "table": "rules", "values": {
        "a": { "ag": "x" },
        "b": { "arg": "x", "identity": "userId" },
        "c": { "arg": 5 },
        "d": { "arg": "x", "validater": {} },
        "e": { "arg": "x", "validator": { "type": "string", "private": true, "optional": 1 } },
        "f": { "identity": "usrId" },
        "g": { "identity": "user" },
        "h": { "now": 1 },
        "i": { "increment": "much" },
        "j": { "increment": { "increment": 1 } },
        "k": { "increment": [1] },
        "l": { "some": "data", "more": 1 },
        "m": {},
        "n": { "literal": { "some": "data" }, "arg2": 1 },
        "o": [{ "arg": "an element is itself" }],
    } })), @r#"
    /functions/f/values/a/ag: error[unknown_option]: `ag` is not an option of a value; did you mean `arg`?
    /functions/f/values/b: error[ambiguous_value]: a value cannot be `arg` and `identity` at once; keep one of them
    /functions/f/values/c/arg: error[wrong_type]: expected an argument's name, got the number `5`
    /functions/f/values/d/validater: error[unknown_option]: `validater` is not an option of `arg`; did you mean `validator`?
    /functions/f/values/e/validator/private: error[option_not_for_type]: `private` means nothing for an argument; say it of the column
    /functions/f/values/e/validator/optional: error[wrong_type]: expected true or false, got the number `1`
    /functions/f/values/f/identity: error[unknown_identity]: `usrId` is not an identity field; did you mean `userId`?
    /functions/f/values/g/identity: error[unknown_identity]: `user` is not an identity field; did you mean `userId`?
    /functions/f/values/h/now: error[wrong_type]: expected `true`, got the number `1`
    /functions/f/values/j/increment: error[wrong_type]: expected a number or `{"arg": …}`, got an object
    /functions/f/values/k/increment: error[wrong_type]: expected a number or `{"arg": …}`, got an array
    /functions/f/values/l: error[unknown_value]: an object as a value is one of `arg`, `identity`, `now`, `row`, `increment`, `append`, `remove` or `literal`; write an object that is the value itself as `{"literal": …}`
    /functions/f/values/m: error[unknown_value]: an object as a value is one of `arg`, `identity`, `now`, `row`, `increment`, `append`, `remove` or `literal`; write an object that is the value itself as `{"literal": …}`
    /functions/f/values/n/arg2: error[unknown_option]: `arg2` is not an option of `literal`; leave it out
    "#);
}

#[test]
fn aggregates() {
    insta::assert_snapshot!(of_function(json!({ "kind": "aggregateRows", "table": "rules", "groupBy": [1], "having": [], "select": {
        "a": {}, "b": { "count": false }, "c": { "sum": true }, "d": { "sum": "a", "min": "a" }, "e": { "count": "a", "of": "b" }, "f": "count",
    } })), @r#"
    /functions/f/groupBy/0: error[wrong_type]: expected a column's name, got the number `1`
    /functions/f/select/a: error[missing_member]: expected one of `count`, `sum`, `avg`, `min` or `max`
    /functions/f/select/b/count: error[wrong_type]: expected `true` for rows, or a column's name, got `false`
    /functions/f/select/c/sum: error[wrong_type]: expected a column's name, got `true`
    /functions/f/select/d: error[ambiguous_value]: a member is one function of the rows, not several at once; give each a member of its own
    /functions/f/select/e/of: error[unknown_option]: `of` is not an option of `count`; leave it out
    /functions/f/select/f: error[wrong_type]: expected what is made of the rows, such as `{"sum": "score"}`, got the text `count`
    "#);
    insta::assert_snapshot!(of_function(json!({ "kind": "aggregateRows", "table": "rules", "groupBy": [], "select": [], "fields": ["a"] })), @r#"
    /functions/f/fields: error[unknown_option]: `fields` is not an option of `aggregateRows`; expected `kind`, `table`, `filter`, `groupBy`, `select`, `having`, `orderBy`, `orderDir`, `limit`, `own`, `scan`, `access`, `editorOnly` or `rateLimit`
    /functions/f/groupBy: error[missing_member]: `groupBy` names no column; name one, or leave it out
    /functions/f/select: error[wrong_type]: expected an object such as `{"n": {"count": true}}`, got an array
    "#);
    let written = normal(
        json!({ "kind": "aggregateRows", "groupBy": "a", "select": { "n": { "count": true } }, "orderBy": "n" }),
    );
    assert_eq!(
        written,
        json!({ "groupBy": ["a"], "select": { "n": { "count": true } }, "orderBy": [{ "column": "n", "dir": "asc" }] })
    );
}

#[test]
fn expansions() {
    insta::assert_snapshot!(of_function(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" }, "expand": {
        "a": 1, "b": { "as": 2, "table2": 1 }, "c": { "table": "votes" }, "d": { "by": "rule" },
        "e": { "table": 1, "by": 2, "as": "x", "limit": -1, "orderDir": "desc" }, "f": { "table": "votes", "by": "rule", "limit": { "arg": "n" } },
    } })), @"
    /functions/f/expand/a: error[wrong_type]: expected `true`, or an object with `as`, `fields`, or with `table` and `by`, got the number `1`
    /functions/f/expand/b/table2: error[unknown_option]: `table2` is not an option of an expanded reference; expected `as` or `fields`
    /functions/f/expand/b/as: error[wrong_type]: expected a member's name, got the number `2`
    /functions/f/expand/c: error[missing_member]: `by` is missing; expected the column that refers to the row
    /functions/f/expand/d: error[missing_member]: `table` is missing; expected the table whose rows are listed
    /functions/f/expand/e/as: error[unknown_option]: `as` is not an option of a list of rows; expected `table`, `by`, `fields`, `orderBy`, `orderDir` or `limit`
    /functions/f/expand/e/table: error[wrong_type]: expected the table whose rows are listed, got the number `1`
    /functions/f/expand/e/by: error[wrong_type]: expected the column that refers to the row, got the number `2`
    /functions/f/expand/e/orderDir: error[missing_member]: `orderDir` without `orderBy` orders nothing; add `orderBy`
    /functions/f/expand/e/limit: error[wrong_type]: expected a number of rows, got the number `-1`
    /functions/f/expand/f/limit: error[wrong_type]: expected a number of rows, got an object
    ");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "expand": [1, "a", "a"] })), @"
    /functions/f/expand/0: error[wrong_type]: expected a column's name, got the number `1`
    /functions/f/expand/2: error[duplicate_column]: `expand` lists column `a` twice; remove one
    ");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "expand": [] })), @"/functions/f/expand: error[missing_member]: `expand` names nothing; name a reference, or leave it out");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "expand": "author" })), @r#"/functions/f/expand: error[wrong_type]: expected columns' names, or an object such as `{"author": {"fields": ["name"]}}`, got the text `author`"#);
    assert_eq!(normal(json!({ "kind": "queryRows", "expand": ["author"] })), json!({ "expand": { "author": {} } }));
    let written = normal(json!({ "kind": "queryRows", "expand": {
        "rule": true, "author": { "as": "writer", "fields": ["name"] },
        "votes": { "table": "votes", "by": "rule", "orderBy": "at", "orderDir": "desc", "limit": 5 },
    } }));
    assert_eq!(
        written,
        json!({ "expand": {
            "rule": {}, "author": { "as": "writer", "fields": ["name"] },
            "votes": { "table": "votes", "by": "rule", "orderBy": [{ "column": "at", "dir": "desc" }], "limit": 5 },
        } })
    );
}

#[test]
fn filters_and_orders() {
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "filter": { "all": [
        { "column": "a", "op": "==", "value": 1 },
        { "column": "a", "op": "~=", "value": 1 },
        { "column": "a", "op": "like", "value": "x" },
        { "column": "a", "op": "near", "value": 1 },
        { "column": 5, "op": 6 },
        { "colum": "a" },
        { "revealed": false },
        {},
        5,
        { "all": [], "any": [] },
        { "all": [], "column": "a" },
        { "any": { "column": "a" } },
        { "negate": [] , "x": 1 },
    ] } })), @r#"
    /functions/f/filter/all/0/op: error[unknown_operator]: `==` is not an operator; did you mean `=`?
    /functions/f/filter/all/1/op: error[unknown_operator]: `~=` is not an operator; did you mean `!=`?
    /functions/f/filter/all/3/op: error[unknown_operator]: `near` is not an operator; expected `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `like`, `ilike`, `startsWith`, `contains` or `isNull`
    /functions/f/filter/all/4/column: error[wrong_type]: expected a column's name, got the number `5`
    /functions/f/filter/all/4/op: error[wrong_type]: expected an operator as text, got the number `6`
    /functions/f/filter/all/4: error[missing_member]: `value` is missing; expected what the column is compared with
    /functions/f/filter/all/5/colum: error[unknown_option]: `colum` is not an option of a condition; did you mean `column`?
    /functions/f/filter/all/6/revealed: error[unknown_option]: `revealed` is not part of a condition; write each as `{"column": …, "op": "=", "value": …}`
    /functions/f/filter/all/7: error[missing_member]: the condition is empty; leave it out, or write `{"column": …, "op": "=", "value": …}`
    /functions/f/filter/all/8: error[wrong_type]: expected a condition: an object with `column`, `op` and `value`, or a group, got the number `5`
    /functions/f/filter/all/9: error[ambiguous_filter]: a condition is one comparison or one of `all`, `any` and `negate`, not several at once; put them into one `all`
    /functions/f/filter/all/10: error[ambiguous_filter]: a condition is one comparison or one of `all`, `any` and `negate`, not several at once; put them into one `all`
    /functions/f/filter/all/11/any: error[wrong_type]: expected an array of conditions, got an object
    /functions/f/filter/all/12/x: error[unknown_option]: `x` is not an option of `negate`; leave it out
    "#);
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "fields": [] })), @"/functions/f/fields: error[missing_member]: `fields` names no column; name one, or leave it out");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "fields": "text" })), @"/functions/f/fields: error[wrong_type]: expected an array of columns' names, got the text `text`");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "fields": ["text", 1] })), @"/functions/f/fields/1: error[wrong_type]: expected a column's name, got the number `1`");
    insta::assert_snapshot!(of_function(json!({ "kind": "queryRows", "table": "rules", "orderDir": "up" })), @"
    /functions/f/orderDir: error[unknown_direction]: `up` is not a direction; expected `asc` or `desc`
    /functions/f/orderDir: error[missing_member]: `orderDir` without `orderBy` orders nothing; add `orderBy`
    ");
    insta::assert_snapshot!(of_function(json!({
        "kind": "queryRows", "table": "rules", "orderDir": "desc",
        "orderBy": ["a", { "column": "b", "dir": "DESC" }, { "dir": "asc", "nulls": "last" }, 5],
    })), @"
    /functions/f/orderBy/1/dir: error[unknown_direction]: `DESC` is not a direction; did you mean `desc`?
    /functions/f/orderBy/2/nulls: error[unknown_option]: `nulls` is not an option of `orderBy`; expected `column` or `dir`
    /functions/f/orderBy/2: error[missing_member]: `column` is missing; expected a column's name
    /functions/f/orderBy/3: error[wrong_type]: expected a column's name, or an object with `column` and `dir`, got the number `5`
    /functions/f/orderDir: error[given_twice]: `orderDir` and `dir` say the direction twice; keep `dir`
    ");
}

#[test]
fn other_spellings_become_the_one() {
    let query = |options: Value| {
        let mut function = json!({ "kind": "queryRows" });
        function.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        normal(function)
    };
    let by_score = json!({ "orderBy": [{ "column": "score", "dir": "desc" }] });
    assert_eq!(query(json!({ "orderBy": "score", "orderDir": "desc" })), by_score);
    assert_eq!(query(json!({ "orderBy": { "column": "score", "dir": "desc" } })), by_score);
    assert_eq!(query(json!({ "orderBy": ["score"], "orderDir": "desc" })), by_score);
    assert_eq!(query(json!({ "orderBy": "score" })), json!({ "orderBy": [{ "column": "score", "dir": "asc" }] }));
    assert_eq!(query(json!({ "editorOnly": true })), json!({ "access": "editor" }));
    assert_eq!(query(json!({ "editorOnly": false })), json!({}));
    let condition = json!({ "column": "a", "op": "=", "value": 1 });
    assert_eq!(query(json!({ "filter": [condition] })), json!({ "filter": { "all": [condition] } }));
    let is_null = json!({ "column": "a", "op": "isNull", "value": true });
    assert_eq!(query(json!({ "filter": { "column": "a", "op": "isNull" } })), json!({ "filter": is_null }));
}

/// What the JSON Schema refuses where `read` does: one misspelt member in each kind of object.
#[test]
fn the_json_schema_refuses_unknown_members() {
    let tried: usize = (0..4).map(refused_unknown_members).sum();
    assert!(tried > 100, "only {tried} objects");
}

fn refused_unknown_members(seed: u32) -> usize {
    let choices: Vec<u32> = (seed..seed + 400).map(|n| n.wrapping_mul(2_654_435_761)).collect();
    let document = serde_json::to_value(generate::definition(&choices)).unwrap();
    assert!(VALIDATOR.is_valid(&document));
    let mut pointers = Vec::new();
    list(&document, String::new(), &mut pointers);
    let free = |pointer: &str| {
        let by_name = ["/tables", "/functions", "/columns", "/indexes", "/uniques", "/values", "/fields"];
        by_name.iter().any(|end| pointer.ends_with(end)) || pointer.contains("/literal") || pointer.contains("/value/")
    };
    let mut tried = 0;
    for pointer in pointers.iter().filter(|pointer| !free(pointer)) {
        let mut changed = document.clone();
        let Some(Value::Object(members)) = changed.pointer_mut(pointer) else { continue };
        members.insert("limitt".to_owned(), json!(1));
        assert!(!VALIDATOR.is_valid(&changed), "{pointer}");
        assert!(!read(&changed).1.is_empty(), "{pointer}");
        tried += 1;
    }
    tried
}

#[test]
fn complaints_are_bounded_in_number_and_length() {
    let columns: Value =
        (0..2 * COMPLAINTS_MAX).map(|n| (format!("c{n}"), json!({ "type": "x".repeat(100_000) }))).collect();
    let document = json!({ "rowgate": 1, "tables": { "t": { "columns": columns } } });
    let complaints = read(&document).1;
    assert_eq!(complaints.len(), COMPLAINTS_MAX + 1);
    assert_eq!(complaints.last().unwrap().code, "too_many_complaints");
    assert!(complaints.iter().all(|complaint| complaint.message.len() < 300));
}

#[test]
fn a_column_of_an_unknown_type_stays_known() {
    let (definition, complaints) = read(&json!({ "rowgate": 1, "tables": { "t": { "columns": {
        "a": { "type": "integr", "default": "not judged" }, "b": { "type": "?" }, "c": 5,
    } } } }));
    assert_eq!(complaints.len(), 4);
    insta::assert_snapshot!(serde_json::to_string(&definition.tables["t"].columns).unwrap(), @r#"{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"string"}}"#);
}

#[test]
fn a_quota_is_a_number_of_rows() {
    let complaints = |rows: Value| {
        let columns = json!({ "a": { "type": "string" } });
        let (definition, complaints) = read(&document_of(json!({ "t": { "columns": columns, "rows": rows } })));
        (definition.tables["t"].rows, complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    };
    for (written, read) in [(json!(1), 1), (json!(100_000.0), 100_000), (json!(1_000_000_000), 1_000_000_000)] {
        assert_eq!(complaints(written), (Some(read), String::new()));
    }
    for written in [json!(0), json!(-1), json!(1.5), json!(1_000_000_001), json!("many"), json!(true)] {
        assert_eq!(complaints(written.clone()).0, None, "{written}");
    }
    insta::assert_snapshot!(complaints(json!(0)).1, @"/tables/t/rows: error[wrong_type]: expected a number of rows from 1 to 1000000000, got the number `0`");
}

#[test]
fn an_extension_is_limited_to_a_number_of_bytes() {
    let complaints = |limits: Value| {
        let mut document = document_of(json!({}));
        document["extension"]["limits"] = limits;
        let (definition, complaints) = read(&document);
        let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        (definition.extension.limits.bytes, complaints.join("\n"))
    };
    for (written, read) in [(json!(1), 1), (json!(1e6), 1_000_000), (json!(BYTES_MAX), BYTES_MAX)] {
        assert_eq!(complaints(json!({ "bytes": written })), (Some(read), String::new()));
    }
    assert_eq!(complaints(json!({})), (None, String::new()));
    for written in [json!(0), json!(-1), json!(1.5), json!(BYTES_MAX + 1), json!("10 MB"), json!(null)] {
        assert_eq!(complaints(json!({ "bytes": written })).0, None, "{written}");
    }
    insta::assert_snapshot!(complaints(json!({ "bytes": "10 MB", "byte": 1 })).1, @"
    /extension/limits/byte: error[unknown_option]: `byte` is not an option of an extension's limits
      hint: did you mean `bytes`?
    /extension/limits/bytes: error[wrong_type]: expected a number of bytes from 1 to 1000000000000000, got the text `10 MB`
    ");
    insta::assert_snapshot!(complaints(json!(5)).1, @"/extension/limits: error[wrong_type]: expected an object with `bytes`, got the number `5`");
}

fn document_of(tables: Value) -> Value {
    let extension = json!({ "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "n", "version": "1" });
    json!({ "rowgate": 1, "extension": extension, "tables": tables })
}

#[test]
fn a_rate_limit_says_calls_and_nothing_else() {
    let with = |rate_limit: Value| {
        of_function(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" }, "rateLimit": rate_limit }))
    };
    assert_eq!(with(json!({ "perMinute": 10 })), "");
    assert_eq!(with(json!({ "perMinute": 10, "burst": 14_400 })), "");
    let complaints: Vec<String> = [
        json!(10),
        json!({}),
        json!({ "perMinute": 0, "burst": 0 }),
        json!({ "perMinute": 1.5, "burst": "5" }),
        json!({ "perMinute": 10, "burst": 14_401 }),
        json!({ "perMinutes": 10 }),
    ]
    .into_iter()
    .map(with)
    .collect();
    insta::assert_snapshot!(complaints.join("\n"), @r#"
    /functions/f/rateLimit: error[wrong_type]: expected calls a minute, such as `{ "perMinute": 10 }`, got the number `10`
    /functions/f/rateLimit: error[missing_member]: `perMinute` is missing; expected how many calls a minute
    /functions/f/rateLimit/perMinute: error[invalid_rate_limit]: `0` is no number of calls; write a whole number, from 1; who may call at all is said by `access`
    /functions/f/rateLimit/burst: error[invalid_rate_limit]: `0` is no number of calls; write a whole number, from 1; who may call at all is said by `access`
    /functions/f/rateLimit/perMinute: error[invalid_rate_limit]: `1.5` is no number of calls; write a whole number, from 1; who may call at all is said by `access`
    /functions/f/rateLimit/burst: error[wrong_type]: expected a number of calls, from 1, got the text `5`
    /functions/f/rateLimit/burst: error[invalid_rate_limit]: a `burst` as large takes more than a day to be there again; lower `burst` or raise `perMinute`
    /functions/f/rateLimit/perMinutes: error[unknown_option]: `perMinutes` is not an option of `rateLimit`; did you mean `perMinute`?
    /functions/f/rateLimit: error[missing_member]: `perMinute` is missing; expected how many calls a minute
    "#);
}
