//! Two models of one extension become the changes that lead from the first to the second.
//!
//! The order is fixed: what is refused first, then the Postgres schema, tables, columns, indexes,
//! references, what a new index made superfluous, and last what counts rows; within each, by table and column.
//! Functions, `private` and the order of columns or enum values concern no table: no change.
//! `ddl` turns changes into statements; whoever runs them first asks each for its [`refusal`].
//!
//! [`refusal`]: Change::refusal

mod complaint;

use crate::column_type::ColumnType;
use crate::diagnostic::pointer_to;
use crate::model::{Column, Index, Model, Origin, Table};

/// One step from a model to the next. The later model's parts are `table`, `column`, `index`;
/// the earlier one's are `before`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'a> {
    CreatePostgresSchema {
        name: &'a str,
    },
    /// With its columns and checks; its indexes and references are changes of their own.
    CreateTable {
        table: &'a Table,
    },
    /// Refused where rows may exist that it has no value for.
    AddColumn {
        table: &'a Table,
        column: &'a Column,
    },
    /// The column `owner_id`; rows that were there get the empty text, which is nobody's id.
    AddOwner {
        table: &'a Table,
    },
    /// From here on a new row must say whose it is.
    DropOwnerDefault {
        table: &'a Table,
    },
    /// The index over owners that functions with `own = true` read by.
    AddOwnerIndex {
        table: &'a Table,
    },
    /// A declared index does the same now; no row is touched.
    DropOwnerIndex {
        table: &'a Table,
    },
    /// Whose rows they are would be forgotten.
    DropOwner {
        table: &'a Table,
    },
    AddIndex {
        table: &'a Table,
        index: &'a Index,
    },
    /// The index that a delete of a referenced row needs to find the rows that refer to it.
    AddReferenceIndex {
        table: &'a Table,
        column: &'a Column,
    },
    AddReference {
        table: &'a Table,
        column: &'a Column,
    },
    /// Another index leads with the column now; no row is touched.
    DropReferenceIndex {
        table: &'a Table,
        column: &'a Column,
    },
    /// What counts the rows of tables that have a quota.
    CreateCounts {
        name: &'a str,
    },
    /// The rows of each scope are counted from here on, with those that are there.
    CountRows {
        table: &'a Table,
        rows_max: u32,
        has_rows: bool,
    },
    /// Another quota; rows beyond a lower one stay.
    ChangeQuota {
        table: &'a Table,
        rows_max: u32,
    },
    /// The table has no quota any more.
    ForgetCount {
        table: &'a Table,
    },
    /// No table has one.
    DropCounts {
        name: &'a str,
    },
    /// What counts the bytes of all tables, where the extension has a quota of them.
    CreateByteCounts {
        bytes_max: u64,
    },
    /// The bytes of each scope are counted from here on, with those that are there.
    CountBytes {
        table: &'a Table,
        has_rows: bool,
    },
    /// What a new column adds to rows that are there.
    CountColumnBytes {
        table: &'a Table,
        column: &'a str,
    },
    /// Another quota; rows beyond a lower one stay.
    ChangeByteQuota {
        bytes_max: u64,
    },
    /// The extension has no such quota any more.
    ForgetBytes {
        table: &'a Table,
    },
    DropByteCounts,
    DropTable {
        before: &'a Table,
    },
    ChangeScope {
        table: &'a Table,
        before: &'a Table,
    },
    DropColumn {
        table: &'a Table,
        before: &'a Column,
    },
    ChangeColumnType {
        table: &'a Table,
        column: &'a Column,
        before: &'a Column,
    },
    ChangeOptional {
        table: &'a Table,
        column: &'a Column,
    },
    ChangeDefault {
        table: &'a Table,
        column: &'a Column,
    },
    /// Lengths, bounds, pattern, enum values or the shape of an object.
    ChangeConstraint {
        table: &'a Table,
        column: &'a Column,
    },
    /// What the column refers to, whether it refers at all, or what a delete does.
    ChangeReference {
        table: &'a Table,
        column: &'a Column,
    },
    DropIndex {
        table: &'a Table,
        before: &'a Index,
    },
    ChangeIndex {
        table: &'a Table,
        index: &'a Index,
        before: &'a Index,
    },
}

/// The changes from `before` (nothing is deployed where `None`) to `after`.
pub fn diff<'a>(before: Option<&'a Model>, after: &'a Model) -> Vec<Change<'a>> {
    let mut refused = Vec::new();
    let mut schemas = Vec::new();
    let mut columns = Vec::new();
    let mut indexes = Vec::new();
    let mut references = Vec::new();
    let mut superfluous = Vec::new();

    let counts = |model: &Model| model.tables.iter().any(|table| table.rows_max.is_some());
    let mut quotas = Vec::new();
    let mut bytes = Vec::new();
    let bytes_before = before.and_then(|before| before.extension.limits.bytes);
    let bytes_after = after.extension.limits.bytes;
    match (bytes_before, bytes_after) {
        (None, Some(bytes_max)) => bytes.push(Change::CreateByteCounts { bytes_max }),
        (Some(before), Some(bytes_max)) if before != bytes_max => bytes.push(Change::ChangeByteQuota { bytes_max }),
        (Some(_), Some(_) | None) | (None, None) => {}
    }
    if counts(after) && !before.is_some_and(counts) {
        quotas.push(Change::CreateCounts { name: &after.postgres_schema });
    }
    if before.is_none() {
        schemas.push(Change::CreatePostgresSchema { name: &after.postgres_schema });
    }
    let known = before.map_or(&[][..], |before| &before.tables);
    for old in known {
        if after.table(old.name.as_str()).is_none() {
            refused.push(Change::DropTable { before: old });
        }
    }
    for table in &after.tables {
        let old = known.iter().find(|old| old.name == table.name);
        match old {
            None => schemas.push(Change::CreateTable { table }),
            Some(old) => {
                if old.scope != table.scope {
                    refused.push(Change::ChangeScope { table, before: old });
                }
                diff_columns(old, table, &mut refused, &mut columns);
                match (old.owner().is_some(), table.owner().is_some()) {
                    (false, true) => columns.extend([Change::AddOwner { table }, Change::DropOwnerDefault { table }]),
                    (true, false) => refused.push(Change::DropOwner { table }),
                    (true, true) | (false, false) => {}
                }
                diff_indexes(old, table, &mut refused);
            }
        }
        match (old.and_then(|old| old.rows_max), table.rows_max) {
            (None, Some(rows_max)) => quotas.push(Change::CountRows { table, rows_max, has_rows: old.is_some() }),
            (Some(_), None) => quotas.push(Change::ForgetCount { table }),
            (Some(before), Some(rows_max)) if before != rows_max => {
                quotas.push(Change::ChangeQuota { table, rows_max });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        match (old, bytes_before, bytes_after) {
            (_, None, Some(_)) | (None, Some(_), Some(_)) => {
                bytes.push(Change::CountBytes { table, has_rows: old.is_some() });
            }
            (Some(old), Some(_), Some(_)) => {
                let added = table.columns.iter().map(|column| column.name.as_str());
                let added = added.filter(|name| old.column(name).is_none());
                bytes.extend(added.map(|column| Change::CountColumnBytes { table, column }));
            }
            (Some(_), Some(_), None) => bytes.push(Change::ForgetBytes { table }),
            (None, Some(_), None) | (_, None, None) => {}
        }
        let old_index = |index: &Index| old.and_then(|old| old.indexes.iter().find(|old| old.name == index.name));
        indexes.extend(
            table
                .indexes
                .iter()
                .filter(|index| old_index(index).is_none())
                .map(|index| Change::AddIndex { table, index }),
        );
        match (old.is_some_and(Table::needs_owner_index), table.needs_owner_index()) {
            (false, true) => indexes.push(Change::AddOwnerIndex { table }),
            // Of a table that is no longer owned it is refused to forget the owners.
            (true, false) if table.owner().is_some() => superfluous.push(Change::DropOwnerIndex { table }),
            (true, false) | (true, true) | (false, false) => {}
        }
        for column in table.columns.iter().filter(|column| column.reference().is_some()) {
            let old_column = old.and_then(|old| old.column(column.name.as_str()));
            // A column that refers to something else than before was refused above.
            if old_column.is_none() {
                references.push(Change::AddReference { table, column });
            }
            let had = old_column.is_some() && old.is_some_and(|old| old.needs_reference_index(column));
            match (had, table.needs_reference_index(column)) {
                (false, true) if old_column.is_none() => indexes.push(Change::AddReferenceIndex { table, column }),
                (true, false) => superfluous.push(Change::DropReferenceIndex { table, column }),
                (false, true | false) | (true, true) => {}
            }
        }
    }

    if before.is_some_and(counts) && !counts(after) {
        quotas.push(Change::DropCounts { name: &after.postgres_schema });
    }

    if bytes_before.is_some() && bytes_after.is_none() {
        bytes.push(Change::DropByteCounts);
    }

    [refused, schemas, columns, indexes, references, superfluous, quotas, bytes].concat()
}

fn diff_columns<'a>(before: &'a Table, table: &'a Table, refused: &mut Vec<Change<'a>>, added: &mut Vec<Change<'a>>) {
    let authored = |table: &'a Table| table.columns.iter().filter(|column| column.origin == Origin::Author);
    for old in authored(before) {
        if table.column(old.name.as_str()).is_none() {
            refused.push(Change::DropColumn { table, before: old });
        }
    }
    for column in authored(table) {
        let Some(old) = before.column(column.name.as_str()) else {
            let change = Change::AddColumn { table, column };
            if change.is_additive() {
                added.push(change)
            } else {
                refused.push(change)
            }
            continue;
        };
        if old.column_type.storage() != column.column_type.storage() {
            // The default changed with it.
            refused.push(Change::ChangeColumnType { table, column, before: old });
        } else {
            if old.reference() != column.reference() {
                refused.push(Change::ChangeReference { table, column });
            } else if !same_constraint(&old.column_type, &column.column_type) {
                refused.push(Change::ChangeConstraint { table, column });
            }
            if old.default != column.default {
                refused.push(Change::ChangeDefault { table, column });
            }
        }
        if old.optional != column.optional {
            refused.push(Change::ChangeOptional { table, column });
        }
    }
}

fn diff_indexes<'a>(before: &'a Table, table: &'a Table, refused: &mut Vec<Change<'a>>) {
    for old in &before.indexes {
        match table.indexes.iter().find(|index| index.name == old.name) {
            None => refused.push(Change::DropIndex { table, before: old }),
            Some(index) if index != old => refused.push(Change::ChangeIndex { table, index, before: old }),
            Some(_) => {}
        }
    }
}

/// Whether both allow the same values: the order of enum values and of fields means nothing.
fn same_constraint(a: &ColumnType, b: &ColumnType) -> bool {
    match (a, b) {
        (ColumnType::Enum { values: a }, ColumnType::Enum { values: b }) => {
            a.iter().all(|value| b.contains(value)) && b.iter().all(|value| a.contains(value))
        }
        (
            ColumnType::Array { items: a, min: a_min, max: a_max },
            ColumnType::Array { items: b, min: b_min, max: b_max },
        ) => a_min == b_min && a_max == b_max && same_constraint(a, b),
        (ColumnType::Object { fields: a }, ColumnType::Object { fields: b }) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| {
                    b.get(name)
                        .is_some_and(|b| a.optional == b.optional && same_constraint(&a.column_type, &b.column_type))
                })
        }
        (a, b) => a == b,
    }
}

impl Change<'_> {
    /// Whether it can be applied: it needs no value that rows lack and takes nothing away.
    pub fn is_additive(&self) -> bool {
        match self {
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
            | Change::DropReferenceIndex { .. } => true,
            Change::AddColumn { column, .. } => column.optional || column.default.is_some(),
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
            | Change::ChangeIndex { .. } => false,
        }
    }

    /// Where in the later definition the change was written, or would have been.
    pub fn pointer(&self) -> String {
        match self {
            Change::CreatePostgresSchema { .. } | Change::CreateCounts { .. } | Change::DropCounts { .. } => {
                String::new()
            }
            Change::CountRows { table, .. } | Change::ChangeQuota { table, .. } | Change::ForgetCount { table } => {
                pointer_to(&table_pointer(table), "rows")
            }
            Change::CreateByteCounts { .. }
            | Change::CountBytes { .. }
            | Change::ChangeByteQuota { .. }
            | Change::ForgetBytes { .. }
            | Change::DropByteCounts => "/extension/limits/bytes".to_owned(),
            Change::CountColumnBytes { table, column } => column_pointer(table, column),
            Change::DropTable { .. } => "/tables".to_owned(),
            Change::CreateTable { table } | Change::DropOwner { table } => table_pointer(table),
            Change::AddOwner { table }
            | Change::DropOwnerDefault { table }
            | Change::AddOwnerIndex { table }
            | Change::DropOwnerIndex { table } => pointer_to(&table_pointer(table), "owned"),
            Change::ChangeScope { table, .. } => pointer_to(&table_pointer(table), "storage"),
            Change::AddColumn { table, column }
            | Change::AddReference { table, column }
            | Change::AddReferenceIndex { table, column }
            | Change::DropReferenceIndex { table, column }
            | Change::ChangeColumnType { table, column, .. }
            | Change::ChangeOptional { table, column }
            | Change::ChangeDefault { table, column }
            | Change::ChangeConstraint { table, column }
            | Change::ChangeReference { table, column } => column_pointer(table, column.name.as_str()),
            Change::DropColumn { table, .. } => pointer_to(&table_pointer(table), "columns"),
            Change::AddIndex { table, index } | Change::ChangeIndex { table, index, .. } => index_pointer(table, index),
            Change::DropIndex { table, before } => {
                pointer_to(&table_pointer(table), if before.unique { "uniques" } else { "indexes" })
            }
        }
    }
}

fn table_pointer(table: &Table) -> String {
    pointer_to("/tables", &table.name)
}

fn column_pointer(table: &Table, column: &str) -> String {
    pointer_to(&pointer_to(&table_pointer(table), "columns"), column)
}

fn index_pointer(table: &Table, index: &Index) -> String {
    // A unique column is a unique rule named after it, written at the column.
    if index.unique && index.columns == [index.name.clone()] {
        return column_pointer(table, index.name.as_str());
    }
    let member = if index.unique { "uniques" } else { "indexes" };
    pointer_to(&pointer_to(&table_pointer(table), member), &index.name)
}
