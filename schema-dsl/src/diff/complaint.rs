//! What an author is told of a change that cannot be applied.

use crate::column_type::ColumnType;
use crate::diagnostic::Diagnostic;
use crate::diff::Change;
use crate::model::{Column, Index, Table};

impl Change<'_> {
    /// The complaint about a change that cannot be applied; `None` for one that can.
    pub fn refusal(&self) -> Option<Diagnostic> {
        if self.is_additive() {
            return None;
        }
        let (message, hint) = self.complaint()?;
        Some(Diagnostic::new("change_refused", self.pointer(), message).with_hint(hint))
    }

    fn complaint(&self) -> Option<(String, String)> {
        let complaint = match self {
            Change::CreatePostgresSchema { .. }
            | Change::CreateTable { .. }
            | Change::CreateCounts { .. }
            | Change::CountRows { .. }
            | Change::ChangeQuota { .. }
            | Change::ForgetCount { .. }
            | Change::DropCounts { .. }
            | Change::CreateByteCounts { .. }
            | Change::CountBytes { .. }
            | Change::CountColumnBytes { .. }
            | Change::ChangeByteQuota { .. }
            | Change::ForgetBytes { .. }
            | Change::DropByteCounts
            | Change::AddOwner { .. }
            | Change::DropOwnerDefault { .. }
            | Change::AddOwnerIndex { .. }
            | Change::DropOwnerIndex { .. }
            | Change::AddIndex { .. }
            | Change::AddReferenceIndex { .. }
            | Change::AddReference { .. }
            | Change::DropReferenceIndex { .. } => return None,
            Change::AddColumn { table, column } => (
                format!(
                    "the new column `{}` of table `{}` has no value for rows that exist already",
                    column.name, table.name
                ),
                "make it optional or give it a default".to_owned(),
            ),
            Change::DropTable { before } => (
                format!(
                    "table `{}` is deployed but no longer declared; dropping it would delete its rows",
                    before.name
                ),
                format!("declare `{}` again; functions that used it may go", before.name),
            ),
            Change::ChangeScope { table, before } => (
                format!(
                    "the storage of table `{}` changed from `{}` to `{}`; its rows would belong to nobody",
                    table.name,
                    before.scope.as_str(),
                    table.scope.as_str()
                ),
                format!("keep `{}`, or declare a new table", before.scope.as_str()),
            ),
            Change::DropOwner { table } => (
                format!(
                    "table `{}` is deployed as owned and no longer is; whose its rows are would be forgotten",
                    table.name
                ),
                "declare it `:owned()` again; functions without `own` reach the rows of all users".to_owned(),
            ),
            Change::DropColumn { table, before } => (
                format!(
                    "column `{}` of table `{}` is deployed but no longer declared; dropping it would delete its values",
                    before.name, table.name
                ),
                format!("declare `{}` again; `private` hides it", before.name),
            ),
            Change::ChangeColumnType { table, column, before } => type_changed(table, column, before),
            Change::ChangeOptional { table, column } => (
                format!(
                    "column `{}` of table `{}` became {}",
                    column.name,
                    table.name,
                    if column.optional { "optional" } else { "required" }
                ),
                format!("keep it {}", if column.optional { "required" } else { "optional" }),
            ),
            Change::ChangeDefault { table, column } => (
                format!("the default of column `{}` of table `{}` changed", column.name, table.name),
                "keep the default, or give the value in the function that inserts".to_owned(),
            ),
            Change::ChangeConstraint { table, column } => (
                format!("the limits of column `{}` of table `{}` changed", column.name, table.name),
                "keep the limits, or give narrower ones to the function's argument".to_owned(),
            ),
            Change::ChangeReference { table, column } => reference_changed(table, column),
            Change::DropIndex { table, before } => (
                format!(
                    "{} `{}` of table `{}` is deployed but no longer declared",
                    kind(before),
                    before.name,
                    table.name
                ),
                format!("declare `{}` again", before.name),
            ),
            Change::ChangeIndex { table, index, before } => index_changed(table, index, before),
        };
        Some(complaint)
    }
}

fn type_changed(table: &Table, column: &Column, before: &Column) -> (String, String) {
    let message = format!(
        "the type of column `{}` of table `{}` changed from {} to {}",
        column.name,
        table.name,
        type_words(&before.column_type),
        type_words(&column.column_type)
    );
    (message, "keep the type, or add a new column of the new type".to_owned())
}

fn reference_changed(table: &Table, column: &Column) -> (String, String) {
    let message = match column.reference() {
        Some((target, _)) => format!(
            "the reference of column `{}` of table `{}` to `{target}` is not the deployed one",
            column.name, table.name
        ),
        None => format!("column `{}` of table `{}` no longer is a reference", column.name, table.name),
    };
    (message, "keep the reference and its `onDelete`, or add a new column".to_owned())
}

fn index_changed(table: &Table, index: &Index, before: &Index) -> (String, String) {
    let message = format!(
        "`{}` of table `{}` changed from {} over {} to {} over {}",
        index.name,
        table.name,
        kind(before),
        column_list(before),
        kind(index),
        column_list(index)
    );
    (message, "keep it, and give the new one another name".to_owned())
}

fn type_words(column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Array { items, .. } => format!("`array` of `{}`", items.word()),
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
        | ColumnType::Id { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => format!("`{}`", column_type.word()),
    }
}

fn kind(index: &Index) -> &'static str {
    if index.unique { "unique rule" } else { "index" }
}

fn column_list(index: &Index) -> String {
    let columns: Vec<String> = index.columns.iter().map(|column| format!("`{column}`")).collect();
    columns.join(", ")
}
