//! Postgres's plans over a hollow copy of an extension's tables.
//!
//! The copy is a Postgres schema under a name of its own, made in a transaction that is always
//! rolled back: nobody else ever sees it, nothing of it stays, two deploys never meet in it, and it
//! takes no right but the one that a deploy needs anyway. Each statement is prepared with the types
//! it is served with and planned generically, as it is when it is served; that works on every
//! version of Postgres alike.
//!
//! The planner takes the number of rows from a table's size alone. For an empty one it assumes so
//! few rows in a scope that every index is as good as any other, so the copies are filled with some
//! pages of nothing: one row on each, null but for its key.

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use serde_json::Value;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::plan::statement::Statement;

/// A plan that sorts, or reads a table from end to end, is chosen where there is no other: for few
/// rows such a plan would often be the cheaper one.
const SETTINGS: &str = "
SET LOCAL search_path = '';
SET LOCAL standard_conforming_strings = on;
SET LOCAL statement_timeout = '60s';
SET LOCAL plan_cache_mode = force_generic_plan;
SET LOCAL jit = off;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off";

/// Pages of each copy: the planner takes this for some ten thousand rows, and some fifty in a scope.
const PAGES: u32 = 160;
/// A page takes rows until so much of it is full, and a row is so long that one is enough. Rows that fill
/// half a page each make as many pages by eight times the writes.
const FILL_PERCENT: u32 = 10;
const FILLER_BYTES: u32 = 700;
const FILLER: &str = "rowgate_filler";

/// A table of the copy; all its columns but the scope's and `id` may be null.
#[derive(Debug, Clone)]
pub struct Hollow {
    pub postgres_schema: String,
    pub table: String,
    /// Those that may be null.
    pub columns: Vec<String>,
}

/// `EXPLAIN (FORMAT JSON)` of each of `statements` over what `ddl` makes, which is rolled back.
pub async fn explain(
    client: &mut Client,
    ddl: &[String],
    tables: &[Hollow],
    statements: &[&Statement],
) -> Result<Vec<Value>, Error> {
    // Dropping the transaction on any way out rolls it back.
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    transaction.batch_execute(&ddl.join(";\n")).await?;
    for table in tables {
        transaction.batch_execute(&filled(table)).await?;
    }
    let mut plans = Vec::with_capacity(statements.len());
    for statement in statements {
        let answer = transaction.simple_query(&explained(statement)).await?;
        let text = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        // Postgres writes JSON; what is none is read as a plan of nothing, which is refused.
        plans.push(text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default());
    }
    transaction.rollback().await?;
    Ok(plans)
}

/// A column that is stored in its row, and a row for each page.
fn filled(table: &Hollow) -> String {
    let name = format!("{}.{}", quoted(&table.postgres_schema), quoted(&table.table));
    let columns: String = table.columns.iter().map(|column| format!(", {}", quoted(column))).collect();
    let nulls = ", NULL".repeat(table.columns.len());
    format!(
        "ALTER TABLE {name} SET (fillfactor = {FILL_PERCENT});
         ALTER TABLE {name} ADD COLUMN {FILLER} text;
         INSERT INTO {name} ({SCOPE_COLUMN}, id, {FILLER}{columns})
         SELECT gen_random_uuid(), gen_random_uuid(), repeat(' ', {FILLER_BYTES}){nulls} FROM generate_series(1, {PAGES});
         ALTER TABLE {name} RESET (fillfactor)"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Prepared statements outlive a transaction, so each goes before the next comes.
fn explained(statement: &Statement) -> String {
    let types: Vec<String> = statement.types.iter().map(|of| format!("pg_catalog.{}", of.name())).collect();
    let types = if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) };
    let nulls = vec!["NULL"; statement.types.len()];
    let nulls = if nulls.is_empty() { String::new() } else { format!("({})", nulls.join(", ")) };
    format!(
        "PREPARE rowgate_shadow {types} AS {}; EXPLAIN (FORMAT JSON) EXECUTE rowgate_shadow {nulls}; \
         DEALLOCATE rowgate_shadow",
        statement.sql
    )
}
