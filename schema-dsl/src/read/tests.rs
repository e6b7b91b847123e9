#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::definition::{Definition, json_schema};
use crate::diagnostic::Diagnostic;
use crate::generate;
use crate::read::{COMPLAINTS_MAX, read};

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
        "access",
        "editorOnly",
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
