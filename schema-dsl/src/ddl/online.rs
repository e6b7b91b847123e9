//! The ways that leave a table with many rows open to its callers.
//!
//! A column is added without its check, which is made sure of later; an index is built while rows are
//! written. What must be set in every row is filled in batches while a trigger keeps new rows right, so
//! that the swap finds nothing left to do. Everything that was prepared has names that begin with `_`,
//! or that nothing deployed asks for, and can be taken back.

use super::change::Writer;
use super::step::{Cost, Hazard, Lock, Phase, Step, Work};
use super::{bytes, constraint_text, raw};
use crate::diff::Change;
use crate::model::{Column, Index, Table};
use crate::name::{Name, identifier};

impl Writer<'_> {
    /// Whether the column is there before the swap.
    pub(super) fn is_added_early(&self, table: &Table, column: &Name) -> bool {
        let is_free = self.deployed(&table.name).is_some_and(|deployed| deployed.column(column.as_str()).is_none());
        is_free && self.is_large(table)
    }

    /// Whether an index over `columns` can be built before the swap.
    pub(super) fn is_built_early(&self, table: &Table, columns: &[Name]) -> bool {
        let before = self.before.and_then(|aligned| aligned.before.table(table.name.as_str()));
        let is_there = |name: &Name| {
            let Some(column) = table.column(name.as_str()) else { return false };
            if before.is_some_and(|before| before.column(name.as_str()).is_some()) {
                return !self.is_converted(table, column) || self.is_converted_online(table, column);
            }
            self.is_added_early(table, name)
        };
        self.is_large(table) && columns.iter().all(is_there)
    }

    /// Whether the column's type changes.
    pub(super) fn is_converted(&self, table: &Table, column: &Column) -> bool {
        let before = self.before.and_then(|aligned| aligned.before.table(table.name.as_str()));
        before
            .and_then(|before| before.column(column.name.as_str()))
            .is_some_and(|before| before.column_type.storage() != column.column_type.storage())
    }

    /// Whether its values are converted beside it before the swap. One that changes in other ways, too,
    /// is converted under a lock.
    pub(super) fn is_converted_online(&self, table: &Table, column: &Column) -> bool {
        let Some(before) = self.deployed_column(table, column) else { return false };
        self.is_converted(table, column)
            && self.is_large(table)
            && before.name == column.name
            && before.optional == column.optional
    }

    /// Whether the index is built anew because a column under it is.
    pub(super) fn is_rebuilt(&self, table: &Table, index: &Index) -> bool {
        let columns = index.columns.iter().filter_map(|name| table.column(name.as_str()));
        columns.into_iter().any(|column| self.is_converted_online(table, column))
    }

    /// What a column is called while its values are converted.
    pub(super) fn next_column(column: &Column) -> String {
        identifier(&["_new", column.name.as_str()])
    }

    /// What an index is called until the former one has gone.
    pub(super) fn next_index(index: &str) -> String {
        identifier(&["_new", index])
    }

    /// Adds the index that `build` writes for the table as it is called then, with this identifier.
    pub(super) fn add_index(
        &mut self,
        change: &Change<'_>,
        table: &Table,
        identifier: &str,
        columns: &[Name],
        build: impl Fn(&str, &Table, &str) -> String,
    ) {
        if !self.is_built_early(table, columns) {
            let sql = build(self.schema, table, identifier);
            let step = self.of(change, Phase::Swap, Some(table), vec![sql]).locks(Lock::Share, Cost::Index);
            self.made.builds.push(step);
            return;
        }
        let create = raw::concurrently(&build(self.schema, &self.now(table), identifier));
        let step = self.of(change, Phase::Prepare, Some(table), Vec::new());
        let step = step.locks(Lock::ShareUpdateExclusive, Cost::Index);
        let work = Work::Concurrently { create, index: identifier.to_owned() };
        let undo = vec![raw::drop_index_concurrently(self.schema, identifier)];
        self.made.prepare.push(Step { work, undo, ..step });
    }

    pub(super) fn add_column_online(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let now = self.now(table);
        let (schema, on, of) = (self.schema, now.name.as_str(), column.name.as_str());
        let mut statements = vec![super::add_unchecked_column(schema, &now, column)];
        let mut undo = Vec::new();
        if self.counts_bytes {
            statements.push(bytes::count_column(schema, &now, of));
            undo.push(bytes::discount_column(schema, &now, of));
        }
        undo.push(raw::alter_table(schema, on, &format!("DROP COLUMN {}", raw::quoted(of))));
        let cost = if self.counts_bytes { Cost::Scan } else { Cost::Constant };
        let mut steps =
            vec![Step { undo, ..self.prepares(change, table, statements).locks(Lock::AccessExclusive, cost) }];
        if let Some(condition) = constraint_text(column) {
            let name = table.check_identifier(column);
            let add = raw::add_check(schema, on, &name, &condition, false);
            steps.push(self.prepares(change, table, vec![add]).locks(Lock::AccessExclusive, Cost::Constant));
            let validate = raw::validate(schema, on, &name);
            steps.push(self.prepares(change, table, vec![validate]).locks(Lock::ShareUpdateExclusive, Cost::Scan));
        }
        self.made.prepare.extend(steps);
    }

    /// The values of the new type are kept in a column beside the former one, which then goes.
    pub(super) fn convert_online(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let (Some(conversion), Some(deployed)) = (change.conversion(), self.deployed(&table.name)) else { return };
        let (schema, on, of) = (self.schema, deployed.name.as_str(), column.name.as_str());
        let next = Self::next_column(column);
        let keeper = identifier(&["_keep", table.name.as_str(), of]);
        let (quoted, quoted_next) = (raw::quoted(of), raw::quoted(&next));
        let drop_next = format!("DROP COLUMN {quoted_next}");
        let add = format!("ADD COLUMN {quoted_next} {}", super::type_of(column));
        let mut statements = vec![raw::alter_table(schema, on, &add)];
        let mut undo = raw::drop_keep_set(schema, on, &keeper);
        let mut drops = raw::drop_keep_set(schema, on, &keeper);
        if self.counts_bytes {
            statements.push(bytes::count_column(schema, deployed, &next));
            undo.push(bytes::discount_column(schema, deployed, &next));
            drops.push(bytes::discount_column(schema, deployed, of));
        }
        let value = conversion.of(&format!("NEW.{quoted}"));
        statements.extend(raw::keep_set(schema, on, &keeper, &next, &value));
        undo.push(raw::alter_table(schema, on, &drop_next));
        drops.push(raw::alter_table(schema, on, &format!("DROP COLUMN {quoted}")));
        let cost = if self.counts_bytes { Cost::Scan } else { Cost::Constant };
        let add = Step { undo, ..self.prepares(change, table, statements).locks(Lock::AccessExclusive, cost) };

        let row = format!("t.{quoted}");
        let fails = conversion.failure_of(&row).map_or_else(String::new, |fails| format!(" AND ({fails}) IS FALSE"));
        let needed = format!("{row} IS NOT NULL AND t.{quoted_next} IS NULL{fails}");
        let fill = self.fills(change, table, &next, &conversion.of(&row), &needed);
        let drop = self.of(change, Phase::Swap, Some(table), drops);
        let cost = if self.counts_bytes { Cost::Scan } else { Cost::Constant };
        let drop = drop.locks(Lock::AccessExclusive, cost);
        let rename = format!("RENAME COLUMN {quoted_next} TO {quoted}");
        let rename = raw::alter_table(schema, table.name.as_str(), &rename);
        let rename = self.of(change, Phase::Swap, Some(table), vec![rename]);
        let mut sets = Vec::new();
        if column.default.is_some() {
            sets.push(self.set_default(table, column));
        }
        if !column.optional {
            sets.push(raw::alter_column(schema, table.name.as_str(), of, "SET NOT NULL"));
        }
        let cost = if column.optional { Cost::Constant } else { Cost::Scan };
        let set = self.of(change, Phase::Swap, Some(table), sets.clone()).locks(Lock::AccessExclusive, cost);
        self.made.prepare.extend([add, fill]);
        self.made.drops.push(drop);
        self.made.names.columns.push(rename.locks(Lock::AccessExclusive, Cost::Constant));
        self.made.builds.extend((!sets.is_empty()).then_some(set));
        self.rebuild(change, table, column);
        self.add_check(change, table, column);
    }

    /// The indexes over the column that were there and stay.
    fn rebuild(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let changed = |index: &Index| {
            self.changes.iter().any(|change| match change {
                Change::AddIndex { table: of, index: other } | Change::ChangeIndex { table: of, index: other, .. } => {
                    of.name == table.name && other.name == index.name
                }
                _ => false,
            })
        };
        // Where two columns of an index are converted, the first has it built.
        let first = |index: &Index| {
            let mut columns = index.columns.iter().filter_map(|name| table.column(name.as_str()));
            columns.find(|column| self.is_converted_online(table, column)).map(|column| column.name.clone())
        };
        let rebuilt: Vec<Index> = table
            .indexes
            .iter()
            .filter(|index| !changed(index) && first(index).as_ref() == Some(&column.name))
            .cloned()
            .collect();
        for index in rebuilt {
            let name = table.index_identifier(&index);
            let next = Self::next_index(&name);
            self.add_declared(change, table, &index, &next);
            let rename = raw::rename_index(self.schema, &next, &name);
            let rename = self.of(change, Phase::Swap, Some(table), vec![rename]);
            self.made.names.identifiers.push(rename.locks(Lock::ShareUpdateExclusive, Cost::Constant));
        }
    }

    pub(super) fn require_online(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let now = self.now(table);
        let Some(deployed) = self.deployed_column(table, column) else { return };
        let (schema, on, of) = (self.schema, now.name.as_str(), deployed.name.as_str());
        let name = identifier(&["_set", table.name.as_str(), column.name.as_str()]);
        let (next_on, next_of) = (table.name.as_str(), column.name.as_str());
        let set = raw::alter_column(schema, next_on, next_of, "SET NOT NULL");
        let drop_check = raw::drop_constraint(schema, next_on, &name);
        let condition = |column: &str| format!("{} IS NOT NULL", raw::quoted(column));
        let Some(value) = self.filling(table, column) else {
            let add = raw::add_check(schema, next_on, &name, &condition(next_of), false);
            let add = self.of(change, Phase::Swap, Some(table), vec![add]);
            let finish = self.of(change, Phase::Finish, Some(table), vec![set, drop_check]);
            self.made.builds.push(add.locks(Lock::AccessExclusive, Cost::Constant));
            self.validate_later(change, table, &name);
            self.made.finish.push(finish.locks(Lock::AccessExclusive, Cost::Constant));
            return;
        };
        let new = format!("NEW.{}", raw::quoted(of));
        let keep = raw::keep_set(schema, on, &name, of, &format!("coalesce({new}, {value})"));
        let keep = self.prepares(change, table, keep).locks(Lock::ShareRowExclusive, Cost::Constant);
        let keep = Step { undo: raw::drop_keep_set(schema, on, &name), ..keep };
        let fill = self.fills(change, table, of, &value, &format!("t.{} IS NULL", raw::quoted(of)));
        let fill = Step { hazard: Some(Hazard::FillsNulls), ..fill };
        let add = self.prepares(change, table, vec![raw::add_check(schema, on, &name, &condition(of), false)]);
        let add = add.locks(Lock::AccessExclusive, Cost::Constant);
        let add = Step { undo: vec![raw::drop_constraint(schema, on, &name)], ..add };
        let validate = self.prepares(change, table, vec![raw::validate(schema, on, &name)]);
        let validate = validate.locks(Lock::ShareUpdateExclusive, Cost::Scan);
        let mut sets = vec![set, drop_check];
        sets.extend(raw::drop_keep_set(schema, next_on, &name));
        let sets = self.of(change, Phase::Swap, Some(table), sets).locks(Lock::AccessExclusive, Cost::Constant);
        self.made.prepare.extend([keep, fill, add, validate]);
        self.made.builds.push(sets);
    }

    fn prepares(&self, change: &Change<'_>, table: &Table, statements: Vec<String>) -> Step {
        self.of(change, Phase::Prepare, Some(table), statements)
    }

    /// `column` becomes `value` wherever it is `needed`, both over the deployed row `t`.
    fn fills(&self, change: &Change<'_>, table: &Table, column: &str, value: &str, needed: &str) -> Step {
        let now = self.now(table);
        let on = raw::qualified(self.schema, now.name.as_str());
        let work = Work::Backfill {
            batch: raw::backfill(self.schema, now.name.as_str(), column, value, needed),
            remains: format!("SELECT 1 FROM {on} t WHERE {needed} LIMIT 1"),
        };
        Step { work, ..self.prepares(change, table, Vec::new()).locks(Lock::RowExclusive, Cost::Fill) }
    }
}
