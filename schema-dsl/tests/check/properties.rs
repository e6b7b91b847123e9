//! What holds of the check whatever an author writes.

use std::collections::HashSet;

use proptest::prelude::*;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::function::{Assigned, Body, Filter, Source};
use rowgate_schema_dsl::model::{DefaultValue, Model, Origin};
use rowgate_schema_dsl::name::{NAME_BYTES_MAX, identifier};
use rowgate_schema_dsl::row_schema::{arguments_schema, json_of, result_schema};
use rowgate_schema_dsl::value::parse_literal;
use serde_json::{Map, Value, json};

use crate::document::{definition, model};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever text stands where a name is expected, the check ends, and what it lets through
    /// has identifiers that Postgres neither cuts nor confuses.
    #[test]
    fn names_are_sound_or_complained_about(texts in prop::collection::vec(a_name(), 14)) {
        let document = with_names(&texts);
        let definition = definition(&document);
        match check(&definition) {
            Ok(model) => {
                prop_assert_eq!(model.tables.len(), definition.tables.len());
                prop_assert_eq!(model.functions.len(), definition.functions.len());
                identifiers_are_sound(&model)?;
                describes(&model);
            }
            Err(diagnostics) => {
                prop_assert!(!diagnostics.is_empty());
                let written = serde_json::to_value(&definition).unwrap();
                for diagnostic in diagnostics {
                    prop_assert!(points_into(&written, &diagnostic.pointer), "{diagnostic:?}");
                }
            }
        }
    }

    /// Names that are sound by themselves may still make one identifier of two.
    #[test]
    fn joined_names_are_distinct_or_complained_about(
        tables in prop::collection::btree_set(of_letters(), 2..4),
        indexes in prop::collection::btree_set(of_letters(), 1..3),
        columns in prop::collection::btree_set(of_letters(), 1..3),
        unique in any::<bool>(),
    ) {
        let over = json!([columns.first()]);
        let rules: Value = indexes.iter().map(|name| (name.clone(), over.clone())).collect::<Map<_, _>>().into();
        let references: Value = columns
            .iter()
            .map(|name| (name.clone(), json!({ "type": "id", "table": tables.first(), "optional": true })))
            .collect::<Map<_, _>>()
            .into();
        let table = json!({ "columns": references, if unique { "uniques" } else { "indexes" }: rules });
        let all: Value = tables.iter().map(|name| (name.clone(), table.clone())).collect::<Map<_, _>>().into();
        match check(&definition(&json!({ "tables": all }))) {
            Ok(model) => identifiers_are_sound(&model)?,
            Err(diagnostics) => prop_assert!(diagnostics.iter().all(|diagnostic| diagnostic.code == "identifier_collision")),
        }
    }

    /// Whatever JSON stands where a literal is expected, the check ends; and it complains at
    /// places that the document has.
    #[test]
    fn literals_are_sound_or_complained_about(values in prop::collection::vec(any_json(), 8), column_type in a_type()) {
        let document = with_literals(&values, &column_type);
        let definition = definition(&document);
        match check(&definition) {
            Ok(model) => describes(&model),
            Err(diagnostics) => {
                let written = serde_json::to_value(&definition).unwrap();
                for diagnostic in diagnostics {
                    prop_assert!(points_into(&written, &diagnostic.pointer), "{diagnostic:?}");
                }
            }
        }
    }

    /// A literal of a type means in the model what it meant in the document.
    #[test]
    fn literals_keep_their_meaning((column_type, value) in a_type_and_its_value()) {
        let wrapped = json!({ "literal": value });
        let mut column = column_type.clone();
        column["default"] = wrapped.clone();
        let is_document = matches!(column_type["type"].as_str(), Some("json" | "object"));
        let filter = if is_document {
            json!({ "all": [] })
        } else {
            json!({ "column": "c", "op": "=", "value": wrapped })
        };
        let model = model(&json!({
            "tables": { "t": { "columns": { "c": column } } },
            "functions": {
                "find": { "kind": "countRows", "table": "t", "filter": filter },
                "add": { "kind": "insertRow", "table": "t", "values": { "c": wrapped } }
            }
        }));
        let Some(DefaultValue::Value(default)) = &model.table("t").unwrap().column("c").unwrap().default else {
            return Err(TestCaseError::fail("no default"));
        };
        prop_assert_eq!(json_of(default), value.clone());
        let Body::InsertRow { values, .. } = &model.function("add").unwrap().body else { unreachable!() };
        prop_assert_eq!(&values[0].value, &Assigned::Source(Source::Literal(default.clone())));
        let Body::CountRows { filter: Some(filter), .. } = &model.function("find").unwrap().body else { unreachable!() };
        if let Filter::Compare { value: Source::Literal(literal), .. } = filter {
            prop_assert_eq!(json_of(literal), value);
        } else {
            prop_assert!(is_document);
        }
    }

    /// An argument written to two columns takes exactly what both of them take.
    #[test]
    fn an_argument_takes_what_all_its_columns_take(a in bounds(), b in bounds(), value in -12_i64..12) {
        let column = |(min, max): (i64, i64)| json!({ "type": "integer", "min": min, "max": max });
        let definition = definition(&json!({
            "tables": { "t": { "columns": { "a": column(a), "b": column(b) } } },
            "functions": { "add": { "kind": "insertRow", "table": "t", "values": { "a": { "arg": "x" }, "b": { "arg": "x" } } } }
        }));
        let fits = |(min, max): (i64, i64)| (min..=max).contains(&value);
        match check(&definition) {
            Ok(model) => {
                let column_type = &model.function("add").unwrap().arguments[0].column_type;
                prop_assert_eq!(parse_literal(column_type, &json!(value)).is_ok(), fits(a) && fits(b));
            }
            Err(diagnostics) => {
                prop_assert!(a.0.max(b.0) > a.1.min(b.1), "{:?}", diagnostics);
                prop_assert_eq!(diagnostics[0].code, "argument_type_conflict");
            }
        }
    }
}

/// Text of every kind: mostly names, often alike, some reserved, some no names at all.
fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        30 => "[a-e]{1,2}(_[a-e]){0,2}",
        2 => Just("a_b".to_owned()),
        1 => prop::sample::select(vec!["id", "Version", "scope_key", "ctid", "a_pkey", "a_b_idx", "a_b_key", ""]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![60, 61, 62, 63, 64, 200]).prop_map(|length| "a".repeat(length)),
        1 => ".{0,80}",
        1 => Just("'; DROP TABLE x; --\0\"$$".to_owned()),
    ]
}

fn of_letters() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab](_[ab]){0,2}", 1 => "[ab](_[ab]){0,2}_(pkey|idx|key|ref)"]
}

fn with_names(texts: &[String]) -> Value {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = texts else { unreachable!() };
    let mut tables = json!({});
    let reference = json!({ "type": "id", "table": a, "optional": true });
    tables[a] = json!({
        "columns": { c: { "type": "integer", "optional": true }, d: reference, e: { "type": "string", "unique": true, "optional": true } },
        "indexes": { f: [c], g: [d, e] }, "uniques": { h: [e, c] }
    });
    tables[b] = json!({ "columns": { i: { "type": "enum", "values": [j], "optional": true } }, "indexes": { k: [i], f: ["id"] } });
    json!({ "tables": tables, "functions": {
        l: { "kind": "queryRows", "table": a, "filter": { "column": c, "op": "=", "value": { "arg": m } }, "orderBy": [{ "column": e }], "limit": { "arg": n } },
        m: { "kind": "insertRow", "table": b, "values": { i: { "arg": l } } },
        n: { "kind": "patchRow", "table": a, "id": { "arg": k }, "values": { d: { "arg": k }, e: { "arg": j } } }
    } })
}

fn with_literals(values: &[Value], column_type: &Value) -> Value {
    let literal = |value: &Value| json!({ "literal": value });
    let [a, b, c, d, e, f, g, h] = values else { unreachable!() };
    let mut column = column_type.clone();
    column["default"] = literal(a);
    let mut validator = column_type.clone();
    validator["default"] = literal(h);
    json!({
        "tables": { "t": { "columns": { "c": column, "d": column_type } } },
        "functions": {
            "q": { "kind": "queryRows", "table": "t", "limit": literal(b), "offset": literal(c), "filter": { "any": [
                { "column": "c", "op": "=", "value": literal(d) }, { "column": "d", "op": "in", "value": literal(e) },
                { "column": "d", "op": "=", "value": { "arg": "x", "validator": validator } }
            ] } },
            "p": { "kind": "patchRow", "table": "t", "id": literal(f), "values": { "c": literal(g), "d": { "increment": literal(h) } } }
        }
    })
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0_i64..5).prop_map(Value::from),
        // Sixteenths, since reading JSON into a tree may be off by the last bit of other numbers.
        any::<i32>().prop_map(|number| json!(f64::from(number) / 16.0)),
        ".{0,12}".prop_map(Value::from),
        Just(json!("0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn a_type() -> impl Strategy<Value = Value> {
    a_type_and_its_value().prop_map(|(column_type, _)| column_type)
}

/// A column type, and a value of it in the form in which the gateway answers it.
fn a_type_and_its_value() -> impl Strategy<Value = (Value, Value)> {
    let scalar = a_scalar_and_its_value();
    prop_oneof![
        6 => scalar.clone(),
        1 => scalar.prop_map(|(items, value)| (json!({ "type": "array", "items": items }), json!([value, value]))),
        1 => any_json().prop_filter("null is no default", |value| !value.is_null() && !value.to_string().contains("\\u0000"))
            .prop_map(|value| (json!({ "type": "json" }), value)),
        1 => (any::<i64>(), "[^\0]{0,9}").prop_map(|(x, y)| (
            json!({ "type": "object", "fields": { "x": { "type": "integer" }, "y": { "type": "string", "optional": true } } }),
            json!({ "x": x, "y": y }),
        )),
    ]
}

fn a_scalar_and_its_value() -> impl Strategy<Value = (Value, Value)> + Clone {
    prop_oneof![
        "[^\0]{0,20}".prop_map(|text| (json!({ "type": "string" }), json!(text))),
        "[^\0]{1,9}"
            .prop_map(|text| (json!({ "type": "enum", "values": ["other", text] }), json!(text)))
            .prop_filter("values differ", |(_, value)| value != "other"),
        any::<i64>().prop_map(|number| (json!({ "type": "integer" }), json!(number))),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(|number| (json!({ "type": "number" }), json!(number))),
        any::<bool>().prop_map(|truth| (json!({ "type": "boolean" }), json!(truth))),
        "-?[0-9]{1,30}(\\.[0-9]{1,30})?".prop_map(|digits| (json!({ "type": "decimal" }), json!(digits))),
        (-62_135_596_800_000_000_i64..253_402_207_200_000_000).prop_map(|at| {
            let at = jiff::Timestamp::from_microsecond(at).unwrap();
            (json!({ "type": "timestamp" }), json!(format!("{at:.6}")))
        }),
        (1_i16..=9999, 1_i8..=12, 1_i8..=28)
            .prop_map(|(y, m, d)| (json!({ "type": "date" }), json!(format!("{y:04}-{m:02}-{d:02}")))),
        any::<u128>().prop_map(|bits| (json!({ "type": "uuid" }), json!(uuid::Uuid::from_u128(bits).to_string()))),
        prop::sample::select(vec!["", "AA==", "AAE=", "////", "+/+/AAEC"])
            .prop_map(|text| (json!({ "type": "bytes" }), json!(text))),
    ]
}

fn bounds() -> impl Strategy<Value = (i64, i64)> {
    (-10_i64..10, 0_i64..8).prop_map(|(min, width)| (min, min + width))
}

fn identifiers_are_sound(model: &Model) -> Result<(), TestCaseError> {
    let mut relations = HashSet::new();
    for table in &model.tables {
        let mut constraints = HashSet::new();
        let fits = |identifier: &str| identifier.len() <= NAME_BYTES_MAX;
        prop_assert!(fits(table.name.as_str()) && relations.insert(table.name.to_string()));
        prop_assert!(constraints.insert(table.primary_key_identifier()));
        prop_assert!(relations.insert(table.primary_key_identifier()));
        for index in &table.indexes {
            let identifier = table.index_identifier(index);
            prop_assert!(fits(&identifier) && !index.columns.is_empty());
            prop_assert!(relations.insert(identifier.clone()) && constraints.insert(identifier));
        }
        let mut columns = HashSet::from(["scope_key".to_owned()]);
        for column in &table.columns {
            prop_assert!(fits(column.name.as_str()) && columns.insert(column.name.as_str().to_lowercase()));
            if column.origin == Origin::Author {
                if column.reference().is_some() {
                    prop_assert!(relations.insert(identifier(&[table.name.as_str(), column.name.as_str(), "ref"])));
                }
                prop_assert!(constraints.insert(table.check_identifier(column)));
                prop_assert!(constraints.insert(table.foreign_key_identifier(column)));
            }
        }
        prop_assert!(constraints.iter().chain(&relations).all(|identifier| fits(identifier)));
    }
    Ok(())
}

fn describes(model: &Model) {
    for function in &model.functions {
        assert!(arguments_schema(function, model).get("properties").is_some());
        assert!(result_schema(function, model).get("$schema").is_some());
    }
}

/// Whether the document has the place, or the object that could have it.
fn points_into(document: &Value, pointer: &str) -> bool {
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    document.pointer(pointer).is_some() || document.pointer(parent).is_some_and(Value::is_object)
}
