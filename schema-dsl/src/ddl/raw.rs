//! The pieces of DDL that sea-query has no node for, with its own quoting.

use sea_query::{Alias, Expr, IntoIden, PostgresQueryBuilder, Query, QuotedBuilder};

/// `CREATE SCHEMA`.
pub(super) fn create_schema(name: &str) -> String {
    format!("CREATE SCHEMA {}", quoted(name))
}

/// `DROP SCHEMA`, with all that is in it.
pub(super) fn drop_schema(name: &str) -> String {
    format!("DROP SCHEMA {} CASCADE", quoted(name))
}

/// `foreign_key`, which ends in `ON DELETE SET NULL`, made to clear this column alone: the scope
/// is part of the key and is never null.
pub(super) fn set_null_only(foreign_key: String, column: &str) -> String {
    format!("{foreign_key} ({})", quoted(column))
}

/// `ALTER COLUMN … DROP DEFAULT`.
pub(super) fn drop_default(schema: &str, table: &str, column: &str) -> String {
    format!("ALTER TABLE {}.{} ALTER COLUMN {} DROP DEFAULT", quoted(schema), quoted(table), quoted(column))
}

/// A name within a Postgres schema.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

/// `name` as an identifier.
pub(super) fn quoted(name: &str) -> String {
    let mut sql = String::new();
    PostgresQueryBuilder.prepare_iden(&Alias::new(name).into_iden(), &mut sql);
    sql
}

/// The expression as SQL.
pub(super) fn expression(expression: Expr) -> String {
    let select = Query::select().expr(expression).to_string(PostgresQueryBuilder);
    select.strip_prefix("SELECT ").map_or(select.clone(), str::to_owned)
}

/// `ALTER TABLE` with what follows.
pub(super) fn alter_table(schema: &str, table: &str, what: &str) -> String {
    format!("ALTER TABLE {} {what}", qualified(schema, table))
}

/// `ALTER TABLE … ALTER COLUMN` with what follows.
pub(super) fn alter_column(schema: &str, table: &str, column: &str, what: &str) -> String {
    alter_table(schema, table, &format!("ALTER COLUMN {} {what}", quoted(column)))
}

/// `ALTER TABLE … ADD CONSTRAINT … CHECK`.
pub(super) fn add_check(schema: &str, table: &str, name: &str, condition: &str, is_valid: bool) -> String {
    let later = if is_valid { "" } else { " NOT VALID" };
    alter_table(schema, table, &format!("ADD CONSTRAINT {} CHECK ({condition}){later}", quoted(name)))
}

/// `ALTER TABLE … VALIDATE CONSTRAINT`.
pub(super) fn validate(schema: &str, table: &str, constraint: &str) -> String {
    alter_table(schema, table, &format!("VALIDATE CONSTRAINT {}", quoted(constraint)))
}

/// `ALTER TABLE … DROP CONSTRAINT`.
pub(super) fn drop_constraint(schema: &str, table: &str, constraint: &str) -> String {
    alter_table(schema, table, &format!("DROP CONSTRAINT {}", quoted(constraint)))
}

/// `DROP INDEX`.
pub(super) fn drop_index(schema: &str, index: &str) -> String {
    format!("DROP INDEX {}", qualified(schema, index))
}

/// `DROP INDEX CONCURRENTLY`, where there is one.
pub(super) fn drop_index_concurrently(schema: &str, index: &str) -> String {
    format!("DROP INDEX CONCURRENTLY IF EXISTS {}", qualified(schema, index))
}

/// `create`, a `CREATE INDEX`, while the table is written to.
pub(super) fn concurrently(create: &str) -> String {
    create.replacen("INDEX ", "INDEX CONCURRENTLY ", 1)
}

/// `ALTER INDEX … RENAME TO`.
pub(super) fn rename_index(schema: &str, from: &str, to: &str) -> String {
    format!("ALTER INDEX {} RENAME TO {}", qualified(schema, from), quoted(to))
}

/// A trigger that sets `column` to `value` in each row that is written, and its function.
///
/// `value` is over the row, called `NEW`; where it fails the column becomes null.
pub(super) fn keep_set(schema: &str, table: &str, name: &str, column: &str, value: &str) -> Vec<String> {
    let function = qualified(schema, name);
    let column = quoted(column);
    vec![
        format!(
            "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
BEGIN
    BEGIN
        NEW.{column} := {value};
    EXCEPTION WHEN data_exception THEN
        NEW.{column} := NULL;
    END;
    RETURN NEW;
END
$rowgate$"
        ),
        format!(
            "CREATE TRIGGER {} BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION {function}()",
            quoted(name),
            qualified(schema, table)
        ),
    ]
}

/// What [`keep_set`] made goes.
pub(super) fn drop_keep_set(schema: &str, table: &str, name: &str) -> Vec<String> {
    vec![
        format!("DROP TRIGGER {} ON {}", quoted(name), qualified(schema, table)),
        format!("DROP FUNCTION {}()", qualified(schema, name)),
    ]
}

/// Rows of a batch of a backfill that are walked over.
const BATCH_ROWS: u32 = 1_000;

/// A batch of a backfill behind the scope `$1` and the id `$2`: sets `column` to `value` where `needed`,
/// both over the row `t`. Rows that are locked are passed by. See [`Work::Backfill`] for the answer.
///
/// [`Work::Backfill`]: crate::ddl::step::Work::Backfill
pub(super) fn backfill(schema: &str, table: &str, column: &str, value: &str, needed: &str) -> String {
    let (on, column) = (qualified(schema, table), quoted(column));
    format!(
        "WITH batch AS MATERIALIZED (
    SELECT \"scope_key\", \"id\" FROM {on} WHERE (\"scope_key\", \"id\") > ($1, $2)
    ORDER BY \"scope_key\", \"id\" LIMIT {BATCH_ROWS}
), free AS MATERIALIZED (
    SELECT t.\"scope_key\", t.\"id\" FROM {on} t JOIN batch b ON b.\"scope_key\" = t.\"scope_key\" AND b.\"id\" = t.\"id\"
    WHERE {needed} FOR NO KEY UPDATE OF t SKIP LOCKED
), filled AS (
    UPDATE {on} t SET {column} = {value} FROM free f
    WHERE t.\"scope_key\" = f.\"scope_key\" AND t.\"id\" = f.\"id\" RETURNING 1
)
SELECT \"scope_key\", \"id\", (SELECT count(*) FROM batch) >= {BATCH_ROWS} AS \"is_full\" FROM batch
ORDER BY \"scope_key\" DESC, \"id\" DESC LIMIT 1"
    )
}
