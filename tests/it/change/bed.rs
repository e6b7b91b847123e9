//! A case of the corpus on a database: deployed, filled with rows, changed, and looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rowgate::db::catalog;
use rowgate::deploy::apply::{Applied, ApplyError, Patience, Scans, Terms, apply};
use rowgate::deploy::drift::{Difference, find, wanted};
use rowgate::record;
use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::model::{Column, Model, Origin, Table};
use serde_json::{Map, Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::understand::understand;

/// Scopes with rows, and rows in each.
const SCOPES: u8 = 3;
const ROWS: u8 = 6;

pub(super) struct Case {
    pub(super) name: String,
    pub(super) before: Option<(Definition, Model)>,
    pub(super) after: (Definition, Model),
    pub(super) allowed: BTreeSet<String>,
}

pub(super) fn cases() -> Vec<Case> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema-dsl/tests/cases");
    let mut directories: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    let only = std::env::var("ROWGATE_CASE").ok();
    let read = |file: PathBuf| fs::read_to_string(file).ok().map(|text| serde_json::from_str::<Value>(&text).unwrap());
    directories
        .iter()
        .map(|directory| Case {
            name: directory.file_name().unwrap().to_string_lossy().into_owned(),
            before: read(directory.join("before.json")).map(|document| understand(&document)),
            after: understand(&read(directory.join("after.json")).unwrap()),
            allowed: read(directory.join("allow.json"))
                .map(|allowed| serde_json::from_value(allowed).unwrap())
                .unwrap_or_default(),
        })
        .filter(|case| only.as_ref().is_none_or(|only| *only == case.name))
        .collect()
}

pub(super) fn terms(case: &Case, blocking_rows_max: u64) -> Terms {
    let patience = Patience { wait_ms_max: 20_000, pause_ms: 10 };
    Terms { patience, scans: Scans::Uncertified, allowed: case.allowed.clone(), blocking_rows_max, ..Terms::default() }
}

/// As the gateway, whatever the connection looks into before and after.
pub(super) async fn deploy(
    client: &mut Client,
    to: &(Definition, Model),
    terms: &Terms,
) -> Result<Applied, ApplyError> {
    apply(client, &to.0, &to.1, |recorded| Ok(understand(recorded).1), terms).await
}

/// Everything of the extension goes.
pub(super) async fn forget(client: &Client, model: &Model) {
    let schema = &model.postgres_schema;
    let sql = format!(
        "SET client_min_messages = warning; DROP SCHEMA IF EXISTS \"{schema}\" CASCADE; DELETE FROM rowgate.extensions"
    );
    client.batch_execute(&sql).await.unwrap();
}

/// Puts rows into every table, such as `after` can take over where that is possible at all.
pub(super) async fn fill(client: &Client, before: &Model, after: &Model, allowed: &BTreeSet<String>) {
    let aligned = align(before, after);
    let mut left: Vec<&Table> = before.tables.iter().collect();
    let mut done: BTreeSet<String> = BTreeSet::new();
    while !left.is_empty() {
        let ready = |table: &&Table| {
            table.columns.iter().all(|column| {
                column
                    .reference()
                    .is_none_or(|(to, _)| column.optional || to == table.name.as_str() || done.contains(to))
            })
        };
        let at = left.iter().position(ready).unwrap();
        let table = left.remove(at);
        let next =
            after.tables.iter().find(|next| aligned.deployed(&next.name).is_some_and(|was| was.name == table.name));
        let mut rows = Vec::new();
        for scope in 0..SCOPES {
            for row in 0..ROWS.min(table.rows_max.map_or(ROWS, |max| u8::try_from(max).unwrap_or(ROWS))) {
                rows.push(a_row(table, next, &aligned, scope, row, &done, allowed));
            }
        }
        let name = format!("\"{}\".\"{}\"", before.postgres_schema, table.name);
        let sql = format!("INSERT INTO {name} SELECT * FROM jsonb_populate_recordset(NULL::{name}, $1)");
        client.execute(&sql, &[&Value::Array(rows)]).await.unwrap_or_else(|error| panic!("{}: {error:?}", table.name));
        done.insert(table.name.to_string());
    }
}

/// Rows have the same ids in every table, so that they can refer to each other.
fn id_of(scope: u8, row: u8) -> Uuid {
    Uuid::from_u128(0x1000 + (u128::from(scope) << 8) + u128::from(row))
}

fn a_row(
    table: &Table,
    next: Option<&Table>,
    aligned: &rowgate_schema_dsl::diff::align::Aligned,
    scope: u8,
    row: u8,
    done: &BTreeSet<String>,
    allowed: &BTreeSet<String>,
) -> Value {
    let mut members = Map::new();
    members.insert("scope_key".to_owned(), json!(Uuid::from_u128(u128::from(scope) + 1)));
    members.insert("id".to_owned(), json!(id_of(scope, row)));
    for system in ["created_at", "updated_at"] {
        members.insert(system.to_owned(), json!("2026-01-02T03:04:05Z"));
    }
    members.insert("version".to_owned(), json!(1));
    if table.owner().is_some() {
        members.insert("owner_id".to_owned(), json!(format!("user-{row}")));
    }
    for column in table.columns.iter().filter(|column| column.origin == Origin::Author) {
        let next = next.and_then(|next| {
            next.columns.iter().find(|other| *aligned.deployed_column(&next.name, &other.name) == column.name)
        });
        let may_lack = next.is_none_or(|next| {
            next.optional
                || allowed.iter().any(|allow| allow.starts_with("fills-nulls:") && allow.ends_with(next.name.as_str()))
        });
        let referred = column.reference().is_some_and(|(to, _)| to != table.name.as_str() && done.contains(to));
        let lacks = column.optional && may_lack && (row % 2 == 1 || column.reference().is_some() && !referred)
            || column.optional && column.reference().is_some() && !referred;
        let value = if lacks { Value::Null } else { a_value(column, next, scope, row) };
        members.insert(column.name.to_string(), value);
    }
    Value::Object(members)
}

fn a_value(column: &Column, next: Option<&Column>, scope: u8, row: u8) -> Value {
    let becomes = next.map(|next| &next.column_type);
    of_type(&column.column_type, becomes, scope, row)
}

/// A value that a call gives, which the next type takes, too.
pub(super) fn a_value_of(column_type: &ColumnType, becomes: Option<&ColumnType>, row: u8) -> Value {
    match (column_type, of_type(column_type, becomes, 9, row % 6)) {
        // Rows tell apart by their texts and numbers.
        (ColumnType::String { .. }, Value::String(text))
            if text.starts_with('x') && becomes.is_none_or(|next| matches!(next, ColumnType::String { .. })) =>
        {
            json!(format!("y{row}"))
        }
        (ColumnType::Decimal { .. }, Value::Number(number)) => json!(number.to_string()),
        (ColumnType::Bytes { .. }, _) => json!("Cg=="),
        (_, value) => value,
    }
}

fn of_type(column_type: &ColumnType, becomes: Option<&ColumnType>, scope: u8, row: u8) -> Value {
    match column_type {
        ColumnType::String { .. } => match becomes {
            Some(ColumnType::Integer { .. } | ColumnType::Decimal { .. } | ColumnType::Number { .. }) => {
                json!(row.to_string())
            }
            Some(ColumnType::Uuid | ColumnType::Id { .. }) => json!(id_of(scope, row)),
            Some(ColumnType::Boolean) => json!(row.is_multiple_of(2).to_string()),
            Some(ColumnType::Enum { values }) => json!(values[usize::from(row) % values.len()]),
            _ => json!(format!("x{row}")),
        },
        ColumnType::Integer { .. } | ColumnType::Number { .. } => json!(row),
        ColumnType::Decimal { .. } => match becomes {
            Some(ColumnType::Integer { .. }) => json!(row),
            _ => json!(f64::from(row) + 0.5),
        },
        ColumnType::Boolean => json!(row.is_multiple_of(2)),
        ColumnType::Timestamp => json!(format!("2026-01-0{}T00:00:00Z", row + 1)),
        ColumnType::Date => json!(format!("2026-01-0{}", row + 1)),
        ColumnType::Uuid | ColumnType::Id { .. } => json!(id_of(scope, row)),
        ColumnType::Bytes { min, .. } => json!(format!("\\x{}", "0a".repeat(min.unwrap_or(1).max(1) as usize))),
        ColumnType::Enum { values } => match becomes {
            Some(ColumnType::Enum { values: next }) => json!(values.iter().find(|value| next.contains(value)).unwrap()),
            _ => json!(values[usize::from(row) % values.len()]),
        },
        ColumnType::Array { items, min, .. } => {
            let elements = (0..min.unwrap_or(1).max(1)).map(|_| of_type(items, None, scope, row));
            Value::Array(elements.collect())
        }
        ColumnType::Object { fields } => {
            let fields = fields.iter().filter(|(_, field)| !field.optional);
            Value::Object(
                fields.map(|(name, field)| (name.clone(), of_type(&field.column_type, None, scope, row))).collect(),
            )
        }
        ColumnType::Json => json!({ "n": row }),
    }
}

/// What the rows come to: for each table its rows, by table; each column's values as text, where they
/// can be compared.
pub(super) async fn contents(client: &Client, model: &Model) -> Vec<(String, Value)> {
    let mut contents = Vec::new();
    for table in &model.tables {
        let sql = format!(
            "SELECT coalesce(jsonb_agg(to_jsonb(t) - 'created_at' - 'updated_at' ORDER BY scope_key, id), '[]') FROM \"{}\".\"{}\" t",
            model.postgres_schema, table.name
        );
        let rows: Value = client.query_one(&sql, &[]).await.unwrap().get(0);
        contents.push((table.name.to_string(), rows));
    }
    contents
}

/// The proofs of a change: what Postgres has is what a fresh build has, nothing is under way or left.
pub(super) async fn prove(client: &mut Client, what: &str, (definition, model): &(Definition, Model)) {
    let extension = record::extension(&*client, definition.extension.id).await.unwrap().unwrap();
    assert_eq!(extension.definition_sha256, record::definition_sha256(definition), "{what}: another is deployed");
    let pending = record::changes::pending(&*client, definition.extension.id).await.unwrap();
    assert_eq!(pending, None, "{what}: a change is under way");
    let role = extension.role;
    let transaction = client.transaction().await.unwrap();
    let drift: Vec<Difference> = find(&transaction, model, role.as_deref()).await.unwrap();
    assert_eq!(drift, [], "{what}");
    let (is, should) = (
        catalog::read(&transaction, &model.postgres_schema).await.unwrap(),
        wanted(&transaction, model).await.unwrap(),
    );
    let names = |catalog: &catalog::Catalog| catalog.objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&is), names(&should), "{what}");
}

/// Everything a change could have touched.
pub(super) async fn state(
    client: &mut Client,
    model: &Model,
) -> (Vec<record::Extension>, catalog::Catalog, Vec<(String, Value)>) {
    let extensions = record::extensions(&*client).await.unwrap();
    let rows = contents(client, model).await;
    let transaction = client.transaction().await.unwrap();
    (extensions, catalog::read(&transaction, &model.postgres_schema).await.unwrap(), rows)
}

/// Deletes every row, by statements that triggers see.
pub(super) async fn empty(client: &Client, model: &Model) {
    // In an order that references allow, which a few rounds find.
    for _ in &model.tables {
        for table in &model.tables {
            client.batch_execute(&format!("DELETE FROM \"{}\".\"{}\"", model.postgres_schema, table.name)).await.ok();
        }
    }
}

/// What was counted of rows and bytes is what there is.
pub(super) async fn counts_are_right(client: &Client, what: &str, model: &Model) {
    let schema = &model.postgres_schema;
    for table in model.tables.iter().filter(|table| table.rows_max.is_some()) {
        let sql = format!(
            "SELECT count(*) FROM (SELECT scope_key, count(*) AS rows FROM \"{schema}\".\"{0}\" GROUP BY scope_key) t
             FULL JOIN (SELECT * FROM \"{schema}\"._rows WHERE table_name = '{0}' AND rows <> 0) c USING (scope_key)
             WHERE t.rows IS DISTINCT FROM c.rows",
            table.name
        );
        let wrong: i64 = client.query_one(&sql, &[]).await.unwrap().get(0);
        assert_eq!(wrong, 0, "{what}: rows of {}", table.name);
    }
    if model.extension.limits.bytes.is_none() {
        return;
    }
    let of = |table: &Table| {
        format!(
            "SELECT scope_key, '{}' AS storage, octet_length(record_send(t)) AS bytes FROM \"{schema}\".\"{}\" t",
            table.scope.as_str(),
            table.name
        )
    };
    let rows: Vec<String> = model.tables.iter().map(of).collect();
    let sql = format!(
        "SELECT count(*) FROM (SELECT scope_key, storage, sum(bytes) AS bytes FROM ({}) r GROUP BY 1, 2) t
         FULL JOIN (SELECT scope_key, storage, sum(bytes) AS bytes FROM \"{schema}\"._bytes GROUP BY 1, 2
                    HAVING sum(bytes) <> 0) c USING (scope_key, storage)
         WHERE t.bytes IS DISTINCT FROM c.bytes",
        rows.join(" UNION ALL ")
    );
    let wrong: i64 = client.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(wrong, 0, "{what}: bytes");
}
