//! Changes become Postgres statements.
//!
//! A table's primary key, indexes, unique rules and references all lead with the scope, so every
//! statement of a function is one narrow index range and no reference leaves its scope. Limits of
//! columns are check constraints ([`constraint`], [`shape`]), so that data which came another way
//! is still right. sea-query writes every identifier and literal; [`raw`] holds the clauses it
//! has no node for. [`change`] puts statements into the order and the phases of [`step`], [`online`] has
//! the ways for tables with many rows, [`obstacle`] what rows may stand in the way.

pub mod bytes;
pub mod change;
mod constraint;
mod literal;
mod obstacle;
mod online;
pub mod quota;
mod raw;
mod shape;
pub mod step;
pub mod views;

use sea_query::{
    Alias, Check, ColumnDef, Expr, ForeignKey, ForeignKeyAction, Index as IndexStatement, IntoTableRef,
    PostgresQueryBuilder, Table as TableStatement, TableRef,
};

use crate::column_type::{OnDelete, PostgresType};
use crate::ddl::change::{Terms, plan};
use crate::ddl::step::DdlPlan;
use crate::diff::diff;
use crate::model::{Column, DefaultValue, Index, Model, Origin, Table, postgres_schema};
use crate::name::{OWNER_COLUMN, SCOPE_COLUMN};

/// What builds `model` where nothing is deployed of it.
pub fn build(model: &Model) -> DdlPlan {
    plan(None, model, &diff(None, model), &Terms::default())
}

/// The condition that every value of the column fulfils, as it is stored; none where the type says all.
pub(crate) fn constraint_text(column: &Column) -> Option<String> {
    constraint::check(column).map(raw::expression)
}

/// What removes an extension's Postgres schema with all of its tables.
pub fn drop_postgres_schema(extension: uuid::Uuid) -> String {
    raw::drop_schema(&postgres_schema(extension))
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
    alter_by(schema, table, column_def(table, column))
}

/// Without its check.
fn add_unchecked_column(schema: &str, table: &Table, column: &Column) -> String {
    alter_by(schema, table, unchecked_def(column))
}

fn alter_by(schema: &str, table: &Table, def: ColumnDef) -> String {
    TableStatement::alter()
        .table(table_ref(schema, table.name.as_str()))
        .add_column(def)
        .to_string(PostgresQueryBuilder)
}

fn column_def(table: &Table, column: &Column) -> ColumnDef {
    let mut def = unchecked_def(column);
    if let Some(expression) = constraint::check(column) {
        def.check(Check::named(Alias::new(table.check_identifier(column)), expression));
    }
    def
}

fn unchecked_def(column: &Column) -> ColumnDef {
    let mut def = ColumnDef::new(Alias::new(column.name.as_str()));
    def.custom(Alias::new(type_of(column)));
    if !column.optional {
        def.not_null();
    }
    if let Some(default) = &column.default {
        def.default(default_expression(default, column));
    }
    def
}

fn default_expression(default: &DefaultValue, column: &Column) -> Expr {
    match default {
        DefaultValue::Value(value) => literal::expression(value, column.column_type.storage()),
        DefaultValue::Now => literal::now(column.column_type.storage().element),
    }
}

/// The default as an expression.
fn default_text(default: &DefaultValue, column: &Column) -> String {
    raw::expression(default_expression(default, column))
}

/// Text is ordered by code points: the same on every machine and after every upgrade of its
/// locales, which would otherwise break indexes and cursors, and an index can serve a prefix.
fn type_of(column: &Column) -> String {
    let storage = column.column_type.storage();
    let name = literal::type_name(storage);
    if storage.element == PostgresType::Text { format!("{name} COLLATE \"C\"") } else { name.to_string() }
}

fn declared_index(schema: &str, table: &Table, index: &Index, identifier: &str) -> String {
    let mut create = IndexStatement::create();
    create.name(identifier).table(table_ref(schema, table.name.as_str()));
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
    Some(alter_by(schema, table, def))
}

fn owner_index(schema: &str, table: &Table, identifier: &str) -> String {
    IndexStatement::create()
        .name(identifier)
        .table(table_ref(schema, table.name.as_str()))
        .col(Alias::new(SCOPE_COLUMN))
        .col(Alias::new(OWNER_COLUMN))
        .col(Alias::new("id"))
        .to_string(PostgresQueryBuilder)
}

fn reference_index(schema: &str, table: &Table, column: &Column, identifier: &str) -> String {
    IndexStatement::create()
        .name(identifier)
        .table(table_ref(schema, table.name.as_str()))
        .col(Alias::new(SCOPE_COLUMN))
        .col(Alias::new(column.name.as_str()))
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
