//! What is deployed, under the names of what comes: so that everything after compares by name.
//!
//! A table or a column is the former one where its `renamedFrom` says so, or where the deployed one
//! said so of what it is called again (an author went back). An index or a unique rule is where it is
//! over the same columns and its name is new, since a name is all that would change.

use std::collections::HashMap;

use crate::column_type::ColumnType;
use crate::model::{Column, Index, Model, Origin, Table};
use crate::name::Name;

/// A deployed model under the next one's names, and what it is called until then.
#[derive(Debug, Clone, PartialEq)]
pub struct Aligned {
    /// The deployed model: tables, columns and indexes have the next model's names where they go on.
    pub before: Model,
    pub renames: Vec<Rename>,
    /// Each deployed table as it is called and was declared, by its next name.
    deployed: HashMap<Name, Table>,
}

/// What goes on under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rename {
    Table {
        from: Name,
        to: Name,
    },
    /// `table` is the table's next name.
    Column {
        table: Name,
        from: Name,
        to: Name,
    },
    /// An index or a unique rule.
    Index {
        table: Name,
        from: Name,
        to: Name,
        unique: bool,
    },
}

/// `before` under the names of `after`.
pub fn align(before: &Model, after: &Model) -> Aligned {
    let mut aligned = before.clone();
    let mut renames = Vec::new();
    let mut deployed = HashMap::new();
    let former_tables: Vec<(Name, Name)> =
        after.tables.iter().filter_map(|table| former_table(before, after, table)).collect();
    for (from, to) in &former_tables {
        renames.push(Rename::Table { from: from.clone(), to: to.clone() });
    }
    for table in &mut aligned.tables {
        let declared = table.clone();
        if let Some((_, to)) = former_tables.iter().find(|(from, _)| *from == table.name) {
            table.name = to.clone();
        }
        for column in &mut table.columns {
            refer(&mut column.column_type, &former_tables);
        }
        if let Some(next) = after.table(table.name.as_str()) {
            rename_columns(table, next, &mut renames);
            rename_indexes(table, next, &mut renames);
        }
        deployed.insert(table.name.clone(), declared);
    }
    aligned.tables.sort_by(|a, b| a.name.cmp(&b.name));
    Aligned { before: aligned, renames, deployed }
}

impl Aligned {
    /// The deployed table whose next name is `name`, as it is called and was declared.
    pub fn deployed(&self, name: &Name) -> Option<&Table> {
        self.deployed.get(name)
    }

    /// What the column `column` of the table whose next name is `table` is called now.
    pub fn deployed_column<'a>(&'a self, table: &Name, column: &'a Name) -> &'a Name {
        let of = |rename: &'a Rename| match rename {
            Rename::Column { table: of, from, to } => (of == table && to == column).then_some(from),
            Rename::Table { .. } | Rename::Index { .. } => None,
        };
        self.renames.iter().find_map(of).unwrap_or(column)
    }

    /// What the index `index` of the table whose next name is `table` is called now.
    pub fn deployed_index<'a>(&'a self, table: &Name, index: &'a Name) -> &'a Name {
        let of = |rename: &'a Rename| match rename {
            Rename::Index { table: of, from, to, .. } => (of == table && to == index).then_some(from),
            Rename::Table { .. } | Rename::Column { .. } => None,
        };
        self.renames.iter().find_map(of).unwrap_or(index)
    }

    /// `table` of the next model with the names that its parts have now, where they are there already.
    pub fn as_deployed(&self, table: &Table) -> Table {
        let Some(deployed) = self.deployed(&table.name) else { return table.clone() };
        let mut now = table.clone();
        now.name = deployed.name.clone();
        for column in &mut now.columns {
            column.name = self.deployed_column(&table.name, &column.name).clone();
        }
        for index in &mut now.indexes {
            index.name = self.deployed_index(&table.name, &index.name).clone();
            for column in &mut index.columns {
                *column = self.deployed_column(&table.name, column).clone();
            }
        }
        now
    }
}

/// The name that `next` has now and its next, where they differ.
fn former_table(before: &Model, after: &Model, next: &Table) -> Option<(Name, Name)> {
    if before.table(next.name.as_str()).is_some() {
        return None;
    }
    let goes = |name: &Name| before.table(name.as_str()).is_some() && after.table(name.as_str()).is_none();
    let said = next.renamed_from.as_ref().filter(|from| goes(from));
    let back = || {
        let was = |table: &&Table| table.renamed_from.as_ref() == Some(&next.name) && goes(&table.name);
        before.tables.iter().find(was).map(|table| &table.name)
    };
    said.or_else(back).map(|from| (from.clone(), next.name.clone()))
}

fn refer(column_type: &mut ColumnType, renamed: &[(Name, Name)]) {
    match column_type {
        ColumnType::Id { table, .. } => {
            if let Some((_, to)) = renamed.iter().find(|(from, _)| *from == table.as_str()) {
                *table = to.to_string();
            }
        }
        ColumnType::Array { items, .. } => refer(items, renamed),
        ColumnType::Object { fields } => {
            fields.values_mut().for_each(|field| refer(&mut field.column_type, renamed));
        }
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
        | ColumnType::Json => {}
    }
}

fn rename_columns(table: &mut Table, next: &Table, renames: &mut Vec<Rename>) {
    let authored = |table: &Table| -> Vec<Column> {
        table.columns.iter().filter(|column| column.origin == Origin::Author).cloned().collect()
    };
    let (old, new) = (authored(table), authored(next));
    let is = |columns: &[Column], name: &Name| columns.iter().any(|column| column.name == *name);
    let goes = |name: &Name| is(&old, name) && !is(&new, name);
    let mut found: Vec<(Name, Name)> = Vec::new();
    for column in new.iter().filter(|column| !is(&old, &column.name)) {
        let said = column.renamed_from.as_ref().filter(|from| goes(from));
        let back = || {
            let was = |old: &&Column| old.renamed_from.as_ref() == Some(&column.name) && goes(&old.name);
            old.iter().find(was).map(|old| &old.name)
        };
        found.extend(said.or_else(back).map(|from| (from.clone(), column.name.clone())));
    }
    let next_name = |name: &Name| found.iter().find(|(from, _)| from == name).map(|(_, to)| to.clone());
    for column in &mut table.columns {
        if let Some(to) = next_name(&column.name) {
            column.name = to;
        }
    }
    for column in table.indexes.iter_mut().flat_map(|index| &mut index.columns) {
        if let Some(to) = next_name(column) {
            *column = to;
        }
    }
    let renamed = |(from, to)| Rename::Column { table: next.name.clone(), from, to };
    renames.extend(found.into_iter().map(renamed));
}

fn rename_indexes(table: &mut Table, next: &Table, renames: &mut Vec<Rename>) {
    let is = |indexes: &[Index], name: &Name| indexes.iter().any(|index| index.name == *name);
    let old = table.indexes.clone();
    for index in next.indexes.iter().filter(|index| !is(&old, &index.name)) {
        let same = |old: &&mut Index| {
            old.unique == index.unique && old.columns == index.columns && !is(&next.indexes, &old.name)
        };
        if let Some(old) = table.indexes.iter_mut().find(same) {
            let from = std::mem::replace(&mut old.name, index.name.clone());
            let (table, to) = (next.name.clone(), index.name.clone());
            renames.push(Rename::Index { table, from, to, unique: index.unique });
        }
    }
    table.indexes.sort_by(|a, b| a.name.cmp(&b.name));
}
