//! A definition after every check: names resolved, literals typed, defaults filled in.
//!
//! Only `check` makes a [`Model`], so holding one means the definition is sound. `plan`, `ddl`
//! and `row_schema` read it; nobody changes it.

use crate::column_type::{ColumnType, OnDelete};
use crate::definition::{Extension, Scope};
use crate::function::{Function, Handler};
use crate::name::{Name, OWNER_COLUMN, identifier};
use crate::value::Typed;

/// One sound extension. Tables and functions are sorted by name.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub extension: Extension,
    /// `ext_` and the extension's UUID with `_` for `-`.
    pub postgres_schema: String,
    pub tables: Vec<Table>,
    pub functions: Vec<Function>,
    /// Sorted by name.
    pub handlers: Vec<Handler>,
    /// The handlers' Luau files: module name and text.
    pub sources: Vec<(String, String)>,
}

/// A table with its system columns: `id` first, then the author's in their order, then
/// the private `owner_id` where the table is owned, and `created_at`, `updated_at` and `version`.
/// The hidden `scope_key` is not among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    pub name: Name,
    /// What it may be called in what is deployed.
    pub renamed_from: Option<Name>,
    pub scope: Scope,
    pub columns: Vec<Column>,
    /// How many rows each scope may hold, where that is said.
    pub rows_max: Option<u32>,
    /// Plain and unique ones, sorted by name; a `unique` column is one of these.
    pub indexes: Vec<Index>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub name: Name,
    /// What it may be called in what is deployed.
    pub renamed_from: Option<Name>,
    pub column_type: ColumnType,
    /// Whether it may be null.
    pub optional: bool,
    pub default: Option<DefaultValue>,
    pub private: bool,
    pub origin: Origin,
}

/// Who fills a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    System,
    Author,
}

#[derive(Debug, Clone, PartialEq)]
pub enum DefaultValue {
    Value(Typed),
    Now,
}

/// An index or a unique rule; `scope_key` leads it without being listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub name: Name,
    pub columns: Vec<Name>,
    pub unique: bool,
}

impl Model {
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == *name)
    }

    pub fn handler(&self, name: &str) -> Option<&Handler> {
        self.handlers.iter().find(|handler| handler.name == *name)
    }
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == *name)
    }

    /// The column `owner_id`, where the table is owned.
    pub fn owner(&self) -> Option<&Column> {
        self.column(OWNER_COLUMN)
    }

    /// The columns a declarative function may answer with, in their order.
    pub fn visible_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !column.private)
    }

    /// The columns with these names, in the order of the names.
    pub fn columns_named<'a>(&'a self, names: &'a [Name]) -> impl Iterator<Item = &'a Column> {
        names.iter().filter_map(|name| self.column(name.as_str()))
    }

    /// The name of the primary key's constraint.
    pub fn primary_key_identifier(&self) -> String {
        identifier(&[self.name.as_str(), "pkey"])
    }

    /// The name in the database of an index or a unique rule's index.
    pub fn index_identifier(&self, index: &Index) -> String {
        identifier(&[self.name.as_str(), index.name.as_str(), if index.unique { "key" } else { "idx" }])
    }

    /// The name of a column's check constraint.
    pub fn check_identifier(&self, column: &Column) -> String {
        identifier(&[self.name.as_str(), column.name.as_str(), "check"])
    }

    /// The name of a reference's foreign key.
    pub fn foreign_key_identifier(&self, column: &Column) -> String {
        identifier(&[self.name.as_str(), column.name.as_str(), "fkey"])
    }

    /// The name in the database of the index under a reference that [`needs_reference_index`].
    ///
    /// [`needs_reference_index`]: Table::needs_reference_index
    pub fn reference_index_identifier(&self, column: &Column) -> String {
        identifier(&[self.name.as_str(), column.name.as_str(), "ref"])
    }

    /// The name in the database of the index over the owner and `id` of a table that
    /// [`needs_owner_index`].
    ///
    /// [`needs_owner_index`]: Table::needs_owner_index
    pub fn owner_index_identifier(&self) -> String {
        identifier(&[self.name.as_str(), OWNER_COLUMN, "ref"])
    }

    /// Whether it is owned and no declared index yields a user's rows in the order of `id`: functions
    /// with `own = true` would read the whole scope.
    pub fn needs_owner_index(&self) -> bool {
        let yields = |index: &Index| match index.columns.as_slice() {
            [owner] => !index.unique && *owner == OWNER_COLUMN,
            [owner, id] => *owner == OWNER_COLUMN && *id == "id",
            _ => false,
        };
        self.owner().is_some() && !self.indexes.iter().any(yields)
    }

    /// Whether `column` is a reference that no declared index leads with: a delete of the row it
    /// refers to would read the whole scope.
    pub fn needs_reference_index(&self, column: &Column) -> bool {
        column.reference().is_some() && !self.indexes.iter().any(|index| index.columns.first() == Some(&column.name))
    }
}

impl Column {
    /// The table an `id` column refers to, and what a delete there does here.
    pub fn reference(&self) -> Option<(&str, OnDelete)> {
        match &self.column_type {
            ColumnType::Id { table, on_delete } => Some((table, *on_delete)),
            ColumnType::String { .. }
            | ColumnType::Integer { .. }
            | ColumnType::Number { .. }
            | ColumnType::Boolean
            | ColumnType::Decimal { .. }
            | ColumnType::Timestamp
            | ColumnType::Date
            | ColumnType::Uuid
            | ColumnType::Bytes { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Array { .. }
            | ColumnType::Object { .. }
            | ColumnType::Json => None,
        }
    }
}

/// The Postgres schema of an extension: `ext_` and its UUID with `_` for `-`.
pub fn postgres_schema(extension: uuid::Uuid) -> String {
    format!("ext_{}", extension.hyphenated().to_string().replace('-', "_"))
}
