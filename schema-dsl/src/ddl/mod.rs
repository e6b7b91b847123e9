//! Changes become Postgres statements.
//!
//! A table's primary key, indexes, unique rules and references all lead with the scope, so every
//! statement of a function is one narrow index range and no reference leaves its scope. Limits of
//! columns are check constraints ([`constraint`], [`shape`]), so that data which came another way
//! is still right. sea-query writes every identifier and literal; [`raw`] holds the clauses it
//! has no node for. Statements of changes that `diff` marks as refused do not exist.

pub mod bytes;
mod constraint;
mod literal;
pub mod quota;
mod raw;
mod shape;
pub mod views;

use sea_query::{
    Alias, Check, ColumnDef, Expr, ForeignKey, ForeignKeyAction, Index as IndexStatement, IntoTableRef,
    PostgresQueryBuilder, Table as TableStatement, TableRef,
};

use crate::column_type::{OnDelete, PostgresType};
use crate::diff::Change;
use crate::model::{Column, DefaultValue, Index, Model, Origin, Table, postgres_schema};
use crate::name::{OWNER_COLUMN, SCOPE_COLUMN};

/// What to run, in this order, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DdlPlan {
    pub statements: Vec<DdlStatement>,
}

/// One statement, and what to say of it when rows stand in its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DdlStatement {
    /// One statement without a semicolon.
    pub sql: String,
    /// JSON pointer into the definition document at what the statement makes.
    pub pointer: String,
    /// What is being made, such as ``unique rule `one_text` of table `rules` ``.
    pub subject: String,
}

/// The statements of `changes`, which lead to `after`; a refused change has none.
pub fn ddl(after: &Model, changes: &[Change<'_>]) -> DdlPlan {
    let statements = changes.iter().filter(|change| change.is_additive()).flat_map(|change| {
        let (statements, subject) = statements(&after.postgres_schema, change).unwrap_or_default();
        let of_change = move |sql| DdlStatement { sql, pointer: change.pointer(), subject: subject.clone() };
        statements.into_iter().map(of_change)
    });
    DdlPlan { statements: statements.collect() }
}

/// What removes an extension's Postgres schema with all of its tables.
pub fn drop_postgres_schema(extension: uuid::Uuid) -> String {
    raw::drop_schema(&postgres_schema(extension))
}

/// The statements of a change and what they make.
fn statements(schema: &str, change: &Change<'_>) -> Option<(Vec<String>, String)> {
    let quota_of = |table: &Table| format!("the quota of table `{}`", table.name);
    let bytes_of = |table: &Table| format!("the bytes of table `{}`", table.name);
    let of =
        |kind: &str, name: &dyn std::fmt::Display, table: &Table| format!("{kind} `{name}` of table `{}`", table.name);
    let (sql, subject) = match change {
        Change::CreatePostgresSchema { name } => (raw::create_schema(name), format!("Postgres schema `{name}`")),
        Change::CreateTable { table } => (create_table(schema, table), format!("table `{}`", table.name)),
        Change::AddColumn { table, column } => (add_column(schema, table, column), of("column", &column.name, table)),
        Change::AddIndex { table, index } => {
            let kind = if index.unique { "unique rule" } else { "index" };
            (add_index(schema, table, index), of(kind, &index.name, table))
        }
        Change::AddOwner { table } => (add_owner(schema, table)?, format!("the owner of table `{}`", table.name)),
        Change::DropOwnerDefault { table } => {
            (drop_owner_default(schema, table), format!("the owner of table `{}`", table.name))
        }
        Change::AddOwnerIndex { table } => {
            (add_owner_index(schema, table), format!("the index of the owners of table `{}`", table.name))
        }
        Change::DropOwnerIndex { table } => {
            (drop_owner_index(schema, table), format!("the index of the owners of table `{}`", table.name))
        }
        Change::AddReferenceIndex { table, column } => {
            (add_reference_index(schema, table, column), of("index under the reference", &column.name, table))
        }
        Change::AddReference { table, column } => {
            (add_reference(schema, table, column)?, of("reference", &column.name, table))
        }
        Change::DropReferenceIndex { table, column } => {
            (drop_reference_index(schema, table, column), of("index under the reference", &column.name, table))
        }
        Change::CreateCounts { .. } => {
            return Some((quota::create_counts(schema), "the counts of rows".to_owned()));
        }
        Change::DropCounts { .. } => return Some((quota::drop_counts(schema), "the counts of rows".to_owned())),
        Change::CountRows { table, rows_max, has_rows } => {
            return Some((quota::count(schema, table, *rows_max, *has_rows), quota_of(table)));
        }
        Change::ChangeQuota { table, rows_max } => (quota::limit(schema, table, *rows_max), quota_of(table)),
        Change::ForgetCount { table } => return Some((quota::forget(schema, table), quota_of(table))),
        Change::CreateByteCounts { bytes_max } => {
            let statements = vec![bytes::create_counts(schema), bytes::count_function(schema, *bytes_max)];
            return Some((statements, "the counts of bytes".to_owned()));
        }
        Change::DropByteCounts => return Some((bytes::drop_counts(schema), "the counts of bytes".to_owned())),
        Change::CountBytes { table, has_rows } => {
            return Some((bytes::count(schema, table, *has_rows), bytes_of(table)));
        }
        Change::CountColumnBytes { table, column } => (bytes::count_column(schema, table, column), bytes_of(table)),
        Change::ChangeByteQuota { bytes_max } => {
            (bytes::count_function(schema, *bytes_max), "the quota of bytes".to_owned())
        }
        Change::ForgetBytes { table } => return Some((bytes::forget(schema, table), bytes_of(table))),
        Change::DropTable { .. }
        | Change::ChangeScope { .. }
        | Change::DropOwner { .. }
        | Change::DropColumn { .. }
        | Change::ChangeColumnType { .. }
        | Change::ChangeOptional { .. }
        | Change::ChangeDefault { .. }
        | Change::ChangeConstraint { .. }
        | Change::ChangeReference { .. }
        | Change::DropIndex { .. }
        | Change::ChangeIndex { .. } => return None,
    };
    Some((vec![sql], subject))
}

fn create_table(schema: &str, table: &Table) -> String {
    let mut create = TableStatement::create();
    create.table(table_ref(schema, table.name.as_str()));
    create.col(ColumnDef::new(Alias::new(SCOPE_COLUMN)).custom("uuid").not_null());
    create.col(ColumnDef::new(Alias::new("id")).custom("uuid").not_null());
    for column in table.columns.iter().filter(|column| column.origin == Origin::Author) {
        create.col(column_def(table, column));
    }
    if let Some(owner) = table.owner() {
        create.col(owner_def(owner));
    }
    for name in ["created_at", "updated_at"] {
        create.col(
            ColumnDef::new(Alias::new(name)).timestamp_with_time_zone().not_null().default(Expr::current_timestamp()),
        );
    }
    create.col(ColumnDef::new(Alias::new("version")).big_integer().not_null().default(1));
    create.primary_key(
        IndexStatement::create()
            .name(table.primary_key_identifier())
            .col(Alias::new(SCOPE_COLUMN))
            .col(Alias::new("id"))
            .primary(),
    );
    create.to_string(PostgresQueryBuilder)
}

fn add_column(schema: &str, table: &Table, column: &Column) -> String {
    TableStatement::alter()
        .table(table_ref(schema, table.name.as_str()))
        .add_column(column_def(table, column))
        .to_string(PostgresQueryBuilder)
}

fn column_def(table: &Table, column: &Column) -> ColumnDef {
    let mut def = ColumnDef::new(Alias::new(column.name.as_str()));
    def.custom(Alias::new(type_of(column)));
    if !column.optional {
        def.not_null();
    }
    match &column.default {
        None => {}
        Some(DefaultValue::Value(value)) => {
            def.default(literal::expression(value, column.column_type.storage()));
        }
        Some(DefaultValue::Now) => {
            def.default(literal::now(column.column_type.storage().element));
        }
    }
    if let Some(expression) = constraint::check(column) {
        def.check(Check::named(Alias::new(table.check_identifier(column)), expression));
    }
    def
}

/// Text is ordered by code points: the same on every machine and after every upgrade of its
/// locales, which would otherwise break indexes and cursors, and an index can serve a prefix.
fn type_of(column: &Column) -> String {
    let storage = column.column_type.storage();
    let name = literal::type_name(storage);
    if storage.element == PostgresType::Text { format!("{name} COLLATE \"C\"") } else { name.to_string() }
}

fn add_index(schema: &str, table: &Table, index: &Index) -> String {
    let mut create = IndexStatement::create();
    create.name(table.index_identifier(index)).table(table_ref(schema, table.name.as_str()));
    create.col(Alias::new(SCOPE_COLUMN));
    for column in &index.columns {
        create.col(Alias::new(column.as_str()));
    }
    if index.unique {
        create.unique();
    } else if !index.columns.iter().any(|column| *column == "id") {
        // Every order ends in `id`, so an index that does serves it without a sort.
        create.col(Alias::new("id"));
    }
    create.to_string(PostgresQueryBuilder)
}

fn owner_def(owner: &Column) -> ColumnDef {
    let mut def = ColumnDef::new(Alias::new(OWNER_COLUMN));
    def.custom(Alias::new(type_of(owner)));
    if !owner.optional {
        def.not_null();
    }
    def
}

/// With nobody as the owner of the rows that are there: no token has an empty user id.
fn add_owner(schema: &str, table: &Table) -> Option<String> {
    let mut def = owner_def(table.owner()?);
    def.default("");
    Some(
        TableStatement::alter()
            .table(table_ref(schema, table.name.as_str()))
            .add_column(def)
            .to_string(PostgresQueryBuilder),
    )
}

fn drop_owner_default(schema: &str, table: &Table) -> String {
    raw::drop_default(schema, table.name.as_str(), OWNER_COLUMN)
}

fn add_owner_index(schema: &str, table: &Table) -> String {
    IndexStatement::create()
        .name(table.owner_index_identifier())
        .table(table_ref(schema, table.name.as_str()))
        .col(Alias::new(SCOPE_COLUMN))
        .col(Alias::new(OWNER_COLUMN))
        .col(Alias::new("id"))
        .to_string(PostgresQueryBuilder)
}

fn drop_owner_index(schema: &str, table: &Table) -> String {
    IndexStatement::drop()
        .name(table.owner_index_identifier())
        .table(table_ref(schema, table.name.as_str()))
        .to_string(PostgresQueryBuilder)
}

fn add_reference_index(schema: &str, table: &Table, column: &Column) -> String {
    IndexStatement::create()
        .name(table.reference_index_identifier(column))
        .table(table_ref(schema, table.name.as_str()))
        .col(Alias::new(SCOPE_COLUMN))
        .col(Alias::new(column.name.as_str()))
        .to_string(PostgresQueryBuilder)
}

fn drop_reference_index(schema: &str, table: &Table, column: &Column) -> String {
    IndexStatement::drop()
        .name(table.reference_index_identifier(column))
        .table(table_ref(schema, table.name.as_str()))
        .to_string(PostgresQueryBuilder)
}

fn add_reference(schema: &str, table: &Table, column: &Column) -> Option<String> {
    let (target, on_delete) = column.reference()?;
    let action = match on_delete {
        // NO ACTION refuses at the statement's end, so that a cascade which removes both rows works.
        OnDelete::Restrict => ForeignKeyAction::NoAction,
        OnDelete::Cascade => ForeignKeyAction::Cascade,
        OnDelete::SetNull => ForeignKeyAction::SetNull,
    };
    let sql = ForeignKey::create()
        .name(table.foreign_key_identifier(column))
        .from_tbl(table_ref(schema, table.name.as_str()))
        .from_col(Alias::new(SCOPE_COLUMN))
        .from_col(Alias::new(column.name.as_str()))
        .to_tbl(table_ref(schema, target))
        .to_col(Alias::new(SCOPE_COLUMN))
        .to_col(Alias::new("id"))
        .on_delete(action)
        .to_string(PostgresQueryBuilder);
    Some(match on_delete {
        OnDelete::Restrict | OnDelete::Cascade => sql,
        OnDelete::SetNull => raw::set_null_only(sql, column.name.as_str()),
    })
}

fn table_ref(schema: &str, table: &str) -> TableRef {
    (Alias::new(schema), Alias::new(table)).into_table_ref()
}
