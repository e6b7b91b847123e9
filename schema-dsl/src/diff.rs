//! Two models of one extension become the changes that lead from the first to the second.
//!
//! [`align`] finds first what goes on under another name; the rest compares by name. The order is fixed:
//! names, what goes, the Postgres schema, tables, columns, indexes, references, what a new index made
//! superfluous, and last what counts rows and bytes; within each, by table and column. Functions, `private`
//! and the order of columns or enum values concern no table: no change. `ddl` turns changes into
//! steps, and says what rows may stand in their way; whoever runs them first asks each for its [`refusal`].
//!
//! [`refusal`]: Change::refusal

pub mod align;
mod complaint;
pub mod conversion;

use crate::column_type::ColumnType;
use crate::ddl::constraint_text;
use crate::diagnostic::pointer_to;
use crate::diff::align::{Aligned, Rename};
use crate::diff::conversion::Conversion;
use crate::model::{Column, Index, Model, Origin, Table};

/// One step from a model to the next. The later model's parts are `table`, `column`, `index`;
/// the earlier one's, under the later one's names, are `before`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'a> {
    /// No row is touched. The pointer is to what has the name now.
    Rename {
        rename: &'a Rename,
    },
    DropTable {
        before: &'a Table,
    },
    DropColumn {
        table: &'a Table,
        before: &'a Column,
    },
    /// Whose rows they are is forgotten.
    DropOwner {
        table: &'a Table,
        before: &'a Table,
    },
    DropIndex {
        table: &'a Table,
        before: &'a Index,
    },
    DropReference {
        table: &'a Table,
        before: &'a Column,
    },
    /// Rows that are there belong to nobody under the new one.
    ChangeScope {
        table: &'a Table,
        before: &'a Table,
    },
    CreatePostgresSchema {
        name: &'a str,
    },
    /// With its columns and checks; its indexes and references are changes of their own.
    CreateTable {
        table: &'a Table,
    },
    /// Where rows exist, it needs a value for them: null or a default.
    AddColumn {
        table: &'a Table,
        column: &'a Column,
    },
    /// The default, the constraint and whether it may be null are of the new type, too.
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
        before: &'a Column,
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
    AddIndex {
        table: &'a Table,
        index: &'a Index,
    },
    /// Over other columns, or unique and not before, or the other way round.
    ChangeIndex {
        table: &'a Table,
        index: &'a Index,
        before: &'a Index,
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
    /// Another quota, or another name of the table; rows beyond a lower one stay.
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
    /// Another quota; rows beyond a lower one stay.
    ChangeByteQuota {
        bytes_max: u64,
    },
    /// The extension has no such quota any more.
    ForgetBytes {
        table: &'a Table,
    },
    DropByteCounts,
}

/// The changes from `before` (nothing is deployed where `None`) to `after`.
pub fn diff<'a>(before: Option<&'a Aligned>, after: &'a Model) -> Vec<Change<'a>> {
    let mut found = Found::default();
    for rename in before.iter().flat_map(|aligned| &aligned.renames) {
        found.names.push(Change::Rename { rename });
    }
    let before = before.map(|aligned| (aligned, &aligned.before));
    let known = before.map_or(&[][..], |(_, before)| &before.tables);
    let bytes = (before.and_then(|(_, before)| before.extension.limits.bytes), after.extension.limits.bytes);
    found.counts(before.map(|(_, before)| before), after, bytes);
    if before.is_none() {
        found.tables.push(Change::CreatePostgresSchema { name: &after.postgres_schema });
    }
    for old in known.iter().filter(|old| after.table(old.name.as_str()).is_none()) {
        found.gone.push(Change::DropTable { before: old });
    }
    for table in &after.tables {
        let old = known.iter().find(|old| old.name == table.name);
        let is_renamed = before.is_some_and(|(aligned, _)| {
            aligned.deployed(&table.name).is_some_and(|deployed| deployed.name != table.name)
        });
        match old {
            None => found.tables.push(Change::CreateTable { table }),
            Some(old) => {
                if old.scope != table.scope {
                    found.gone.push(Change::ChangeScope { table, before: old });
                }
                found.columns_of(old, table);
                match (old.owner().is_some(), table.owner().is_some()) {
                    (false, true) => {
                        found.columns.extend([Change::AddOwner { table }, Change::DropOwnerDefault { table }]);
                    }
                    (true, false) => found.gone.push(Change::DropOwner { table, before: old }),
                    (true, true) | (false, false) => {}
                }
            }
        }
        found.indexes_of(old, table);
        found.references_of(old, table);
        found.quotas_of(old, table, is_renamed, bytes);
    }
    if before.is_some_and(|(_, before)| has_quota(before)) && !has_quota(after) {
        found.quotas.push(Change::DropCounts { name: &after.postgres_schema });
    }
    if bytes.0.is_some() && bytes.1.is_none() {
        found.bytes.push(Change::DropByteCounts);
    }
    found.in_order()
}

/// The changes by what they are about.
#[derive(Default)]
struct Found<'a> {
    names: Vec<Change<'a>>,
    gone: Vec<Change<'a>>,
    tables: Vec<Change<'a>>,
    columns: Vec<Change<'a>>,
    indexes: Vec<Change<'a>>,
    references: Vec<Change<'a>>,
    superfluous: Vec<Change<'a>>,
    quotas: Vec<Change<'a>>,
    bytes: Vec<Change<'a>>,
}

impl<'a> Found<'a> {
    fn in_order(self) -> Vec<Change<'a>> {
        [
            self.names,
            self.gone,
            self.tables,
            self.columns,
            self.indexes,
            self.references,
            self.superfluous,
            self.quotas,
            self.bytes,
        ]
        .concat()
    }

    fn counts(&mut self, before: Option<&'a Model>, after: &'a Model, bytes: (Option<u64>, Option<u64>)) {
        match bytes {
            (None, Some(bytes_max)) => self.bytes.push(Change::CreateByteCounts { bytes_max }),
            (Some(before), Some(bytes_max)) if before != bytes_max => {
                self.bytes.push(Change::ChangeByteQuota { bytes_max });
            }
            (Some(_), Some(_) | None) | (None, None) => {}
        }
        if has_quota(after) && !before.is_some_and(has_quota) {
            self.quotas.push(Change::CreateCounts { name: &after.postgres_schema });
        }
    }

    fn columns_of(&mut self, old_table: &'a Table, table: &'a Table) {
        for before in authored(old_table).filter(|old| table.column(old.name.as_str()).is_none()) {
            if before.reference().is_some() {
                self.gone.push(Change::DropReference { table, before });
            }
            self.gone.push(Change::DropColumn { table, before });
        }
        for column in authored(table) {
            let Some(before) = old_table.column(column.name.as_str()) else {
                self.columns.push(Change::AddColumn { table, column });
                continue;
            };
            if before.reference().is_some() && before.reference() != column.reference() {
                self.gone.push(Change::DropReference { table, before });
            }
            if before.column_type.storage() != column.column_type.storage() {
                self.columns.push(Change::ChangeColumnType { table, column, before });
            } else {
                if constraint_text(before) != constraint_text(column) {
                    self.columns.push(Change::ChangeConstraint { table, column, before });
                }
                if before.default != column.default {
                    self.columns.push(Change::ChangeDefault { table, column });
                }
            }
            if before.optional != column.optional {
                self.columns.push(Change::ChangeOptional { table, column });
            }
        }
    }

    fn indexes_of(&mut self, old: Option<&'a Table>, table: &'a Table) {
        for before in old.into_iter().flat_map(|old| &old.indexes) {
            match table.indexes.iter().find(|index| index.name == before.name) {
                None => self.gone.push(Change::DropIndex { table, before }),
                Some(index) if index != before => self.indexes.push(Change::ChangeIndex { table, index, before }),
                Some(_) => {}
            }
        }
        let had = |index: &&Index| old.is_some_and(|old| old.indexes.iter().any(|old| old.name == index.name));
        let added = table.indexes.iter().filter(|index| !had(index));
        self.indexes.extend(added.map(|index| Change::AddIndex { table, index }));
        match (old.is_some_and(Table::needs_owner_index), table.needs_owner_index()) {
            (false, true) => self.indexes.push(Change::AddOwnerIndex { table }),
            // Of a table that is no longer owned it goes with the column.
            (true, false) if table.owner().is_some() => self.superfluous.push(Change::DropOwnerIndex { table }),
            (true, false) | (true, true) | (false, false) => {}
        }
    }

    fn references_of(&mut self, old: Option<&'a Table>, table: &'a Table) {
        for column in &table.columns {
            let before = old.and_then(|old| old.column(column.name.as_str()));
            if column.reference().is_some() && before.and_then(Column::reference) != column.reference() {
                self.references.push(Change::AddReference { table, column });
            }
            let had = before.zip(old).is_some_and(|(before, old)| old.needs_reference_index(before));
            match (had, table.needs_reference_index(column)) {
                (false, true) => self.indexes.push(Change::AddReferenceIndex { table, column }),
                (true, false) => self.superfluous.push(Change::DropReferenceIndex { table, column }),
                (false, false) | (true, true) => {}
            }
        }
    }

    fn quotas_of(
        &mut self,
        old: Option<&'a Table>,
        table: &'a Table,
        is_renamed: bool,
        bytes: (Option<u64>, Option<u64>),
    ) {
        match (old.and_then(|old| old.rows_max), table.rows_max) {
            (None, Some(rows_max)) => self.quotas.push(Change::CountRows { table, rows_max, has_rows: old.is_some() }),
            (Some(_), None) => self.quotas.push(Change::ForgetCount { table }),
            (Some(before), Some(rows_max)) if before != rows_max || is_renamed => {
                self.quotas.push(Change::ChangeQuota { table, rows_max });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let other_scope = old.is_some_and(|old| old.scope != table.scope);
        match (old, bytes.0, bytes.1) {
            (_, None, Some(_)) | (None, Some(_), Some(_)) => {
                self.bytes.push(Change::CountBytes { table, has_rows: old.is_some() });
            }
            (Some(_), Some(_), Some(_)) if other_scope => {
                self.bytes.extend([Change::ForgetBytes { table }, Change::CountBytes { table, has_rows: false }]);
            }
            (Some(_), Some(_), None) => self.bytes.push(Change::ForgetBytes { table }),
            (Some(_), Some(_), Some(_)) | (None, Some(_), None) | (_, None, None) => {}
        }
    }
}

fn has_quota(model: &Model) -> bool {
    model.tables.iter().any(|table| table.rows_max.is_some())
}

fn authored(table: &Table) -> impl Iterator<Item = &Column> {
    table.columns.iter().filter(|column| column.origin == Origin::Author)
}

impl<'a> Change<'a> {
    /// How the values of a column whose type changed become those of the new one.
    pub fn conversion(&self) -> Option<Conversion> {
        match self {
            Change::ChangeColumnType { column, before, .. } => {
                Conversion::between(before.column_type.storage(), column.column_type.storage())
            }
            Change::Rename { .. }
            | Change::DropTable { .. }
            | Change::DropColumn { .. }
            | Change::DropOwner { .. }
            | Change::DropIndex { .. }
            | Change::DropReference { .. }
            | Change::ChangeScope { .. }
            | Change::CreatePostgresSchema { .. }
            | Change::CreateTable { .. }
            | Change::AddColumn { .. }
            | Change::ChangeOptional { .. }
            | Change::ChangeDefault { .. }
            | Change::ChangeConstraint { .. }
            | Change::AddOwner { .. }
            | Change::DropOwnerDefault { .. }
            | Change::AddOwnerIndex { .. }
            | Change::DropOwnerIndex { .. }
            | Change::AddIndex { .. }
            | Change::ChangeIndex { .. }
            | Change::AddReferenceIndex { .. }
            | Change::AddReference { .. }
            | Change::DropReferenceIndex { .. }
            | Change::CreateCounts { .. }
            | Change::CountRows { .. }
            | Change::ChangeQuota { .. }
            | Change::ForgetCount { .. }
            | Change::DropCounts { .. }
            | Change::CreateByteCounts { .. }
            | Change::CountBytes { .. }
            | Change::ChangeByteQuota { .. }
            | Change::ForgetBytes { .. }
            | Change::DropByteCounts => None,
        }
    }

    /// Where in the later definition the change was written, or would have been.
    pub fn pointer(&self) -> String {
        match self {
            Change::Rename { rename } => match rename {
                Rename::Table { to, .. } => pointer_to("/tables", to),
                Rename::Column { table, to, .. } => {
                    pointer_to(&pointer_to(&pointer_to("/tables", table), "columns"), to)
                }
                Rename::Index { table, unique, .. } => {
                    pointer_to(&pointer_to("/tables", table), if *unique { "uniques" } else { "indexes" })
                }
            },
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
            Change::DropTable { .. } => "/tables".to_owned(),
            Change::CreateTable { table } | Change::DropOwner { table, .. } => table_pointer(table),
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
            | Change::ChangeConstraint { table, column, .. } => column_pointer(table, column.name.as_str()),
            Change::DropReference { table, before } => match table.column(before.name.as_str()) {
                Some(column) => column_pointer(table, column.name.as_str()),
                None => pointer_to(&table_pointer(table), "columns"),
            },
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

/// The column's type as authors know it.
pub(crate) fn type_words(column_type: &ColumnType) -> String {
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
