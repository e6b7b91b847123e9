//! The pieces of DDL that sea-query has no node for, with its own quoting.

use sea_query::{Alias, IntoIden, PostgresQueryBuilder, QuotedBuilder};

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
