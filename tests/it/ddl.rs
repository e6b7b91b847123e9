//! What `schema_dsl::ddl` writes, judged by Postgres: the corpus applies and ends where a fresh
//! build does, hostile text survives, and a column's constraint accepts what `value::parse` does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rowgate_schema_dsl::column_type::{ColumnType, Field, SHAPE_DEPTH_MAX};
use rowgate_schema_dsl::ddl::build;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::pattern::Pattern;
use rowgate_schema_dsl::value::{self, Typed};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::understand::understand;

const EXTENSION: &str = "7d3f1c52-9a34-4a57-8e10-0c5b6d2f9a11";

#[tokio::test]
async fn hostile_text_in_a_definition_survives_unchanged() {
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema-dsl/tests/cases/create_hostile_text/after.json");
    let document: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let columns = &document["tables"]["things"]["columns"];
    let model = understand(&document).1;
    run(&client, &model).await;
    let table = format!("\"{}\".things", model.postgres_schema);
    let (scope, id) = (Uuid::now_v7(), Uuid::now_v7());

    client
        .execute(&format!("INSERT INTO {table} (scope_key, id, words) VALUES ($1, $2, '{{}}')"), &[&scope, &id])
        .await
        .unwrap();
    let select = format!("SELECT choice, many, pattern, shape, document FROM {table}");
    let row = client.query_one(&select, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), columns["choice"]["default"].as_str().unwrap());
    assert_eq!(json!(row.get::<_, Vec<String>>(1)), columns["many"]["default"]);
    assert_eq!(row.get::<_, String>(2), columns["pattern"]["default"].as_str().unwrap());
    assert_eq!(row.get::<_, Value>(3), columns["shape"]["default"]["literal"]);
    assert_eq!(row.get::<_, Value>(4), columns["document"]["default"]["literal"]);

    let update = format!("UPDATE {table} SET choice = $1");
    for choice in columns["choice"]["values"].as_array().unwrap() {
        let choice = choice.as_str().unwrap();
        client.execute(&update, &[&choice]).await.unwrap();
        let refused = client.execute(&update, &[&format!("{choice}'")]).await.unwrap_err();
        assert_eq!(refused.code(), Some(&SqlState::CHECK_VIOLATION), "{choice}");
    }
}

#[tokio::test]
async fn a_reference_cannot_leave_its_scope_and_a_delete_does_what_was_declared() {
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let (_, model) = understand(&json!({
        "rowgate": 1,
        "extension": { "id": EXTENSION, "name": "e", "version": "1" },
        "tables": {
            "parents": { "columns": { "name": { "type": "string", "optional": true } } },
            "bound": { "columns": { "parent": { "type": "id", "table": "parents" } } },
            "followers": { "columns": { "parent": { "type": "id", "table": "parents", "onDelete": "cascade" } } },
            "orphans": { "columns": { "parent": { "type": "id", "table": "parents", "onDelete": "setNull", "optional": true } } },
        },
    }));
    run(&client, &model).await;
    let schema = &model.postgres_schema;
    let (scope, other, parent, bound) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    client
        .execute(&format!("INSERT INTO \"{schema}\".parents (scope_key, id) VALUES ($1, $2)"), &[&scope, &parent])
        .await
        .unwrap();
    let insert =
        |table: &str| format!("INSERT INTO \"{schema}\".\"{table}\" (scope_key, id, parent) VALUES ($1, $2, $3)");
    let refused = client.execute(&insert("bound"), &[&other, &bound, &parent]).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION));
    for table in ["bound", "followers", "orphans"] {
        client.execute(&insert(table), &[&scope, &bound, &parent]).await.unwrap();
    }
    let delete = format!("DELETE FROM \"{schema}\".parents");
    let refused = client.execute(&delete, &[]).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::FOREIGN_KEY_VIOLATION));
    client.execute(&format!("DELETE FROM \"{schema}\".bound"), &[]).await.unwrap();
    client.execute(&delete, &[]).await.unwrap();
    let count = |table: &str| format!("SELECT count(*) FROM \"{schema}\".\"{table}\"");
    assert_eq!(client.query_one(&count("followers"), &[]).await.unwrap().get::<_, i64>(0), 0);
    let orphans = format!("SELECT scope_key, parent FROM \"{schema}\".orphans");
    let orphan = client.query_one(&orphans, &[]).await.unwrap();
    assert_eq!((orphan.get(0), orphan.get(1)), (scope, None::<Uuid>));
}

#[tokio::test]
async fn what_json_cannot_say_is_refused() {
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let number = json!({ "type": "number" });
    let bounded = json!({ "type": "number", "min": 0 });
    let numbers = json!({ "type": "array", "items": { "type": "number" } });
    let decimals = json!({ "type": "array", "items": { "type": "decimal", "max": "5" } });
    let timestamps = json!({ "type": "array", "items": { "type": "timestamp" } });
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let object = json!({ "type": "object", "fields": { "x": { "type": "json" } } });
    for (column, refused) in [
        (&number, &["'NaN'", "'Infinity'", "'-Infinity'"][..]),
        (&bounded, &["'NaN'", "'Infinity'", "-1"]),
        (&json!({ "type": "decimal" }), &["'NaN'", "'Infinity'", "'-Infinity'"]),
        (&json!({ "type": "timestamp" }), &["'infinity'", "'-infinity'", "'0001-01-01 BC'", "'10000-01-01'"]),
        (&json!({ "type": "date" }), &["'infinity'", "'0001-01-01 BC'", "'10000-01-01'"]),
        (&numbers, &["'{NaN}'", "'{1,Infinity}'", "'{-Infinity}'", "'{{1,2},{3,4}}'", "'{NULL}'", "'[2:3]={1,2}'"]),
        (&decimals, &["'{NaN}'", "'{6}'", "'{NULL,1}'"]),
        (&timestamps, &["'{infinity}'", "'{-infinity}'"]),
        (&texts, &["'{{a},{b}}'", "'{a,NULL}'", "'[0:0]={a}'"]),
        (&object, &["'null'", "'[]'", "'{}'", "'{\"x\":null}'", "'{\"x\":1,\"y\":1}'", "'1'"]),
    ] {
        let model = one_column(column);
        run(&client, &model).await;
        for literal in refused {
            let insert = format!(
                "INSERT INTO \"{}\".t (scope_key, id, c) VALUES (gen_random_uuid(), gen_random_uuid(), {literal})",
                model.postgres_schema
            );
            let error = client.execute(&insert, &[]).await.expect_err(literal);
            assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION), "{column}: {literal}");
        }
        drop_schema(&client, &model).await;
    }
}

#[tokio::test]
async fn an_object_of_very_many_fields_and_levels_is_built() {
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let wide: serde_json::Map<String, Value> =
        (0..1_000).map(|field| (format!("f{field}"), json!({ "type": "integer", "optional": true }))).collect();
    let mut shape = json!({ "type": "object", "fields": wide });
    for _ in 1..SHAPE_DEPTH_MAX {
        shape = json!({ "type": "object", "fields": { "inner": shape } });
    }
    let model = one_column(&shape);
    run(&client, &model).await;
}

#[test]
fn a_constraint_accepts_what_parse_accepts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let database = TestDatabase::new().await;
        (database.client().await, database)
    });
    let config = Config { cases: 250, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let strategy = (column_type(), any::<bool>()).prop_flat_map(|(column_type, optional)| {
        let values = proptest::collection::vec(raw_value(&column_type), 1..24);
        (Just(column_type), Just(optional), values)
    });
    TestRunner::new(config)
        .run(&strategy, |(column_type, optional, values)| {
            runtime.block_on(agree(&client.0, &column_type, optional, &values))
        })
        .unwrap();
}

/// Compares Postgres with `value::parse` on each of `values` that the storage type can hold at all.
async fn agree(
    client: &Client,
    column_type: &ColumnType,
    optional: bool,
    values: &[String],
) -> Result<(), TestCaseError> {
    // Put in afterwards: `check` would refuse a minimum above the maximum, which is a fine test here.
    let mut model = one_column(&json!({ "type": "json" }));
    for column in model.tables[0].columns.iter_mut().filter(|column| column.name == "c") {
        column.column_type = column_type.clone();
        column.optional = optional;
    }
    // A failed case before this one may have left it.
    drop_schema(client, &model).await;
    run(client, &model).await;
    let storage = column_type.storage();
    let brackets = if storage.is_array { "[]" } else { "" };
    let insert = format!(
        "INSERT INTO \"{}\".t (scope_key, id, c) VALUES (gen_random_uuid(), gen_random_uuid(), CAST($1::text{brackets} AS {}{brackets}))",
        model.postgres_schema,
        storage.element.sql(),
    );
    let insert = client.prepare(&insert).await.unwrap();
    let mut outcome = Ok(());
    for raw in values {
        let Ok(typed) = value::parse(&loose(column_type), raw) else { continue };
        let expected = value::parse(column_type, raw);
        // `ddl::constraint` leaves the lengths of bytes within arrays to the gateway.
        let bytes =
            matches!(column_type, ColumnType::Array { items, .. } if matches!(**items, ColumnType::Bytes { .. }));
        if bytes && gateway_alone(column_type, raw) {
            continue;
        }
        let inserted = match &typed {
            Typed::Array(_, elements) => {
                let elements: Vec<String> = elements.iter().map(text_of).collect();
                client.execute(&insert, &[&elements]).await
            }
            scalar => client.execute(&insert, &[&text_of(scalar)]).await,
        };
        let agreed = match &inserted {
            Ok(_) => expected.is_ok(),
            Err(error) => expected.is_err() && error.code() == Some(&SqlState::CHECK_VIOLATION),
        };
        if !agreed {
            let message = format!("{column_type:?}\n{raw}\nparse: {expected:?}\nPostgres: {inserted:?}");
            outcome = Err(TestCaseError::fail(message));
            break;
        }
    }
    let null = format!(
        "INSERT INTO \"{}\".t (scope_key, id) VALUES (gen_random_uuid(), gen_random_uuid())",
        model.postgres_schema
    );
    let null_accepted = client.execute(&null, &[]).await.is_ok();
    drop_schema(client, &model).await;
    prop_assert_eq!(null_accepted, optional);
    outcome
}

/// The type without what its constraint says: what a value must be to reach the constraint.
fn loose(column_type: &ColumnType) -> ColumnType {
    match column_type {
        ColumnType::Enum { .. } => ColumnType::String { min: None, max: None, pattern: None },
        ColumnType::Array { items, .. } => ColumnType::Array { items: Box::new(loose(items)), min: None, max: None },
        ColumnType::Object { .. } => ColumnType::Json,
        other => other.without_limits(),
    }
}

fn text_of(typed: &Typed) -> String {
    match typed {
        Typed::Text(text) | Typed::Numeric(text) | Typed::Jsonb(text) => text.clone(),
        Typed::Int8(number) => number.to_string(),
        Typed::Float8(number) => number.to_string(),
        Typed::Bool(truth) => truth.to_string(),
        Typed::Timestamptz(microseconds) => {
            let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
            format!("{}Z", epoch + jiff::Span::new().microseconds(*microseconds))
        }
        Typed::Date(days) => (jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(*days)).to_string(),
        Typed::Uuid(uuid) => uuid.to_string(),
        Typed::Bytea(bytes) => bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        Typed::Null | Typed::Array(..) => unreachable!("parse makes neither here"),
    }
}

fn column_type() -> impl Strategy<Value = ColumnType> {
    prop_oneof![
        3 => scalar(),
        2 => (scalar(), length(), length()).prop_map(|(items, min, max)| ColumnType::Array { items: Box::new(items), min, max }),
        2 => object(),
        1 => Just(ColumnType::Json),
    ]
}

fn length() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0..4u32).prop_map(Some), Just(Some(300))]
}

/// Boxed, here and below: proptest's unions lie on the stack whole, and a test's thread has little.
fn scalar() -> BoxedStrategy<ColumnType> {
    let pattern = prop_oneof![
        Just(None),
        proptest::sample::select(
            &[
                "^[a-c]+$",
                "^a.b$",
                "x\\d",
                "[^ab]",
                "^$",
                "^(ab|c){2}",
                "\\.",
                "^[^\\n]*$",
                "é|😀",
                "\\W",
                "^\\s*$",
                "'|\"|\\\\",
                "a{2,3}b?$",
            ][..]
        )
        .prop_map(|source| Some(Pattern::new(source).unwrap())),
    ];
    let integer = || prop_oneof![Just(None), (-5..5i64).prop_map(Some), Just(Some(i64::MIN)), Just(Some(i64::MAX))];
    let number =
        || prop_oneof![Just(None), (-5..5i64).prop_map(|n| Some(n as f64 / 2.0)), Just(Some(1e-7)), Just(Some(-1e300))];
    let decimal = || {
        prop_oneof![
            Just(None),
            proptest::sample::select(&["-1.5", "0", "2", "2.000000000000000000001"][..])
                .prop_map(|d| Some(d.to_owned()))
        ]
    };
    prop_oneof![
        3 => (length(), length(), pattern).prop_map(|(min, max, pattern)| ColumnType::String { min, max, pattern }),
        2 => (integer(), integer()).prop_map(|(min, max)| ColumnType::Integer { min, max }),
        2 => (number(), number()).prop_map(|(min, max)| ColumnType::Number { min, max }),
        2 => (decimal(), decimal()).prop_map(|(min, max)| ColumnType::Decimal { min, max }),
        1 => Just(ColumnType::Boolean),
        1 => Just(ColumnType::Timestamp),
        1 => Just(ColumnType::Date),
        1 => Just(ColumnType::Uuid),
        1 => (length(), length()).prop_map(|(min, max)| ColumnType::Bytes { min, max }),
        2 => proptest::collection::btree_set(text(), 1..4).prop_map(|values| ColumnType::Enum { values: values.into_iter().collect() }),
    ]
    .boxed()
}

fn object() -> BoxedStrategy<ColumnType> {
    let array = (scalar(), length(), length()).prop_map(|(items, min, max)| ColumnType::Array {
        items: Box::new(items),
        min,
        max,
    });
    let leaf = prop_oneof![4 => scalar(), 2 => array, 1 => Just(ColumnType::Json)].boxed();
    let shape = |field: BoxedStrategy<ColumnType>| {
        let name = proptest::sample::select(&["a", "b", "it's", "0", "é"][..]).prop_map(str::to_owned);
        proptest::collection::hash_map(name, (field, any::<bool>()), 0..4)
            .prop_map(|fields| ColumnType::Object {
                fields: fields
                    .into_iter()
                    .map(|(name, (column_type, optional))| (name, Field { column_type, optional }))
                    .collect(),
            })
            .boxed()
    };
    shape(prop_oneof![3 => leaf.clone(), 1 => shape(leaf)].boxed())
}

/// Short text of characters that patterns, SQL, JSON or counting could get wrong.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[abcx01.\\n é😀'\"\\\\$?-]{0,5}",
        1 => "[a-c]{1,4}",
        1 => "é{298,302}",
    ]
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// JSON that is often, but not always, a value of the type.
fn raw_value(column_type: &ColumnType) -> BoxedStrategy<String> {
    let number = proptest::sample::select(
        &[
            "0",
            "-0",
            "1",
            "-1",
            "2",
            "3",
            "-5",
            "4",
            "0.5",
            "-1.5",
            "1e2",
            "1e-7",
            "-1e300",
            "1e300",
            "1.0",
            "9223372036854775807",
            "-9223372036854775808",
            "2.5",
            "1e-300",
        ][..],
    )
    .prop_map(str::to_owned);
    match column_type {
        ColumnType::String { .. } => text().prop_map(|text| quoted(&text)).boxed(),
        ColumnType::Integer { .. } | ColumnType::Number { .. } => number.boxed(),
        ColumnType::Boolean => proptest::sample::select(&["true", "false", "1"][..]).prop_map(str::to_owned).boxed(),
        ColumnType::Decimal { .. } => proptest::sample::select(
            &[
                "\"0\"",
                "\"-0.0\"",
                "\"2\"",
                "\"2.000\"",
                "\"2.0000000000000000000001\"",
                "\"-1.50\"",
                "\"-1.51\"",
                "1.5",
                "\"1e5\"",
                "\"x\"",
                "\"123456789012345678901234567890.5\"",
            ][..],
        )
        .prop_map(str::to_owned)
        .boxed(),
        ColumnType::Timestamp => proptest::sample::select(
            &["\"2026-01-31T12:00:00Z\"", "\"0001-01-01T00:00:00Z\"", "\"9999-12-31T23:59:59.999999Z\"", "true"][..],
        )
        .prop_map(str::to_owned)
        .boxed(),
        ColumnType::Date => {
            proptest::sample::select(&["\"2026-01-31\"", "\"0001-01-01\"", "\"9999-12-31\"", "\"26-1-1\"", "3"][..])
                .prop_map(str::to_owned)
                .boxed()
        }
        ColumnType::Uuid | ColumnType::Id { .. } => proptest::sample::select(
            &[
                "\"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c\"",
                "\"0190A5C8-7D3A-7C4E-9B1F-2F6D8E4A1B3C\"",
                "\"0190a5c87d3a7c4e9b1f2f6d8e4a1b3c\"",
                "\"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3\"",
            ][..],
        )
        .prop_map(str::to_owned)
        .boxed(),
        ColumnType::Bytes { .. } => proptest::sample::select(
            &["\"\"", "\"AA==\"", "\"AAA=\"", "\"AAAA\"", "\"AAAAAAA=\"", "\"A\"", "\"é\""][..],
        )
        .prop_map(str::to_owned)
        .boxed(),
        ColumnType::Enum { values } => prop_oneof![3 => proptest::sample::select(values.clone()), 1 => text()]
            .prop_map(|text| quoted(&text))
            .boxed(),
        ColumnType::Array { items, .. } => proptest::collection::vec(raw_value(items), 0..5)
            .prop_map(|elements| format!("[{}]", elements.join(",")))
            .boxed(),
        ColumnType::Object { fields } => {
            object_value(fields.iter().map(|(name, field)| (name.clone(), field.clone())).collect())
        }
        ColumnType::Json => proptest::sample::select(&["1", "{}", "[null]", "\"x\"", "{\"a\":{\"b\":[1e5,true]}}"][..])
            .prop_map(str::to_owned)
            .boxed(),
    }
}

fn object_value(fields: Vec<(String, Field)>) -> BoxedStrategy<String> {
    let members: Vec<BoxedStrategy<Option<String>>> = fields
        .into_iter()
        .map(|(name, field)| {
            let member = move |raw: String| Some(format!("{}:{raw}", quoted(&name)));
            prop_oneof![
                8 => raw_value(&field.column_type).prop_filter("known to be the gateway's alone", {
                    let column_type = field.column_type.clone();
                    move |raw| !gateway_alone(&column_type, raw)
                }).prop_map(member.clone()),
                1 => proptest::sample::select(&["null", "1", "\"x\"", "[]", "{}", "true"][..])
                    .prop_filter("known to be the gateway's alone", {
                        let column_type = field.column_type.clone();
                        move |raw| !gateway_alone(&column_type, raw)
                    })
                    .prop_map(str::to_owned).prop_map(member),
                1 => Just(None),
            ]
            .boxed()
        })
        .collect();
    let other = prop_oneof![9 => Just(None), 1 => Just(Some("\"other\":1".to_owned()))];
    (members, other)
        .prop_map(|(members, other)| {
            let members: Vec<String> = members.into_iter().chain([other]).flatten().collect();
            format!("{{{}}}", members.join(","))
        })
        .boxed()
}

/// What `ddl::shape` documents as beyond a constraint within an object.
fn gateway_alone(column_type: &ColumnType, raw: &str) -> bool {
    match column_type {
        ColumnType::Timestamp => value::parse(column_type, raw).is_err() && raw.starts_with('"'),
        ColumnType::Array { items, .. } => {
            let limits_differ =
                |raw: &str| value::parse(items, raw).is_ok() != value::parse(&items.without_limits(), raw).is_ok();
            let elements: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw).unwrap_or_default();
            matches!(**items, ColumnType::Decimal { .. } | ColumnType::Bytes { .. })
                && elements.iter().any(|element| limits_differ(element.get()))
                || elements.iter().any(|element| gateway_alone(items, element.get()))
        }
        _ => false,
    }
}

fn one_column(column: &Value) -> Model {
    let document = json!({
        "rowgate": 1,
        "extension": { "id": EXTENSION, "name": "e", "version": "1" },
        "tables": { "t": { "columns": { "c": column } } },
    });
    understand(&document).1
}

async fn run(client: &Client, after: &Model) {
    client.batch_execute("BEGIN; SET LOCAL search_path = ''").await.unwrap();
    for sql in build(after).statements() {
        if let Err(error) = client.batch_execute(sql).await {
            client.batch_execute("ROLLBACK").await.unwrap();
            panic!("{error:?}\n{sql}");
        }
    }
    client.batch_execute("COMMIT").await.unwrap();
}

async fn drop_schema(client: &Client, model: &Model) {
    client
        .batch_execute(&format!(
            "SET client_min_messages = warning; DROP SCHEMA IF EXISTS \"{}\" CASCADE",
            model.postgres_schema
        ))
        .await
        .unwrap();
}
