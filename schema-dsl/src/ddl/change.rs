//! Each change becomes its steps.
//!
//! What prepares and what goes is written with the names that are deployed, what is built and what
//! finishes with the next ones: names change in between, within the swap. [`online`](super::online) has
//! the ways that leave a table with many rows open to its callers.

use std::collections::BTreeSet;

use super::obstacle;
use super::step::{Cost, DdlPlan, Hazard, Lock, Phase, Step, Work};
use super::{bytes, constraint_text, quota, raw};
use crate::diff::Change;
use crate::diff::align::{Aligned, Rename};
use crate::model::{Column, Index, Model, Origin, Table};
use crate::name::{Name, OWNER_COLUMN};

/// On what terms a change is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Deployed tables, as they are called now, that have too many rows to keep callers from while each
    /// is read.
    pub large: BTreeSet<String>,
    /// What is allowed by name, such as `deletes-data:rules.text`.
    pub allowed: BTreeSet<String>,
}

/// The steps of `changes`, which lead from `before` to `after`; a refused change has none.
pub fn plan(before: Option<&Aligned>, after: &Model, changes: &[Change<'_>], terms: &Terms) -> DdlPlan {
    let both = |model: &Model| model.extension.limits.bytes.is_some();
    let counts_bytes = both(after) && before.is_some_and(|aligned| both(&aligned.before));
    let mut writer =
        Writer { schema: &after.postgres_schema, before, after, changes, terms, counts_bytes, made: Made::default() };
    for change in changes.iter().filter(|change| change.refusal().is_none()) {
        for obstacle in obstacle::obstacles(&writer, change) {
            writer.stands(change, obstacle);
        }
        writer.change(change);
    }
    writer.rename_identifiers();
    let Made { obstacles, prepare, guards, unbind, drops, names, builds, finish } = writer.made;
    let names = [names.tables, names.columns, names.identifiers].concat();
    DdlPlan { obstacles, steps: [prepare, guards, unbind, drops, names, builds, finish].concat() }
}

/// Steps by when they are made; all between preparing and finishing are the swap.
#[derive(Default)]
pub(super) struct Made {
    pub obstacles: Vec<super::step::Obstacle>,
    pub prepare: Vec<Step>,
    guards: Vec<Step>,
    /// What refers to something that goes or is made anew.
    pub unbind: Vec<Step>,
    pub drops: Vec<Step>,
    pub names: Names,
    pub builds: Vec<Step>,
    pub finish: Vec<Step>,
}

/// Renames in the order they need.
#[derive(Default)]
pub(super) struct Names {
    tables: Vec<Step>,
    pub columns: Vec<Step>,
    pub identifiers: Vec<Step>,
}

pub(super) struct Writer<'a> {
    pub schema: &'a str,
    pub before: Option<&'a Aligned>,
    pub after: &'a Model,
    pub changes: &'a [Change<'a>],
    pub terms: &'a Terms,
    /// Bytes are counted before and after.
    pub counts_bytes: bool,
    pub made: Made,
}

impl Writer<'_> {
    fn change(&mut self, change: &Change<'_>) {
        match *change {
            Change::Rename { rename } => self.rename(change, rename),
            Change::DropTable { before } => self.drop_table(change, before),
            Change::DropColumn { table, before } => self.drop_column(change, table, &before.name),
            Change::DropOwner { table, before } => {
                if let Some(owner) = before.owner() {
                    self.drop_column(change, table, &owner.name);
                }
            }
            Change::ChangeScope { table, .. } => self.empty(change, table),
            Change::DropIndex { .. }
            | Change::DropReference { .. }
            | Change::DropOwnerIndex { .. }
            | Change::DropReferenceIndex { .. } => self.unbind(change),
            Change::CreatePostgresSchema { name } => self.builds(change, vec![raw::create_schema(name)]),
            Change::CreateTable { table } => self.builds(change, vec![super::create_table(self.schema, table)]),
            Change::AddColumn { table, column } => self.add_column(change, table, column),
            Change::ChangeColumnType { table, column, .. } if self.is_converted_online(table, column) => {
                self.convert_online(change, table, column);
            }
            Change::ChangeColumnType { table, column, before } => self.convert(change, table, column, before),
            Change::ChangeOptional { table, column } => self.change_optional(change, table, column),
            Change::ChangeDefault { table, column } => {
                let sql = self.set_default(table, column);
                self.alters(change, table, sql);
            }
            Change::ChangeConstraint { table, column, before } => {
                self.drop_check(change, table, before);
                self.add_check(change, table, column);
            }
            Change::AddOwner { table } => self.add_owner(change, table),
            Change::DropOwnerDefault { table } => {
                let sql = raw::drop_default(self.schema, table.name.as_str(), OWNER_COLUMN);
                self.alters(change, table, sql);
            }
            Change::AddOwnerIndex { table } => {
                let owner = table.owner().map(|owner| owner.name.clone());
                let build = |schema: &str, now: &Table, name: &str| super::owner_index(schema, now, name);
                self.add_index(change, table, &table.owner_index_identifier(), owner.as_slice(), build);
            }
            Change::AddReferenceIndex { table, column } => {
                let place = table.columns.iter().position(|other| other.name == column.name);
                let build = |schema: &str, now: &Table, name: &str| {
                    let column = place.and_then(|place| now.columns.get(place)).unwrap_or(column);
                    super::reference_index(schema, now, column, name)
                };
                let names = std::slice::from_ref(&column.name);
                self.add_index(change, table, &table.reference_index_identifier(column), names, build);
            }
            Change::AddIndex { table, index } => {
                self.add_declared(change, table, index, &table.index_identifier(index));
            }
            Change::ChangeIndex { table, index, before } => self.change_index(change, table, index, before),
            Change::AddReference { table, column } => self.add_reference(change, table, column),
            Change::CreateCounts { .. } => self.builds(change, quota::create_counts(self.schema)),
            Change::DropCounts { .. } => self.builds(change, quota::drop_counts(self.schema)),
            Change::CountRows { table, rows_max, has_rows } => {
                self.counts(change, table, quota::count(self.schema, table, rows_max, has_rows), Cost::Scan);
            }
            Change::ChangeQuota { table, rows_max } => {
                let mut sql = vec![quota::limit(self.schema, table, rows_max)];
                let former = self.deployed(&table.name).map(|deployed| deployed.name.to_string());
                if let Some(former) = former.filter(|former| table.name != former.as_str()) {
                    sql.extend(quota::rename(self.schema, table, &former));
                }
                self.counts(change, table, sql, Cost::Constant);
            }
            Change::ForgetCount { table } => self.forget(change, table, quota::forget),
            Change::CreateByteCounts { bytes_max } => {
                let sql = vec![bytes::create_counts(self.schema), bytes::count_function(self.schema, bytes_max)];
                self.builds(change, sql);
            }
            Change::CountBytes { table, has_rows } => {
                self.counts(change, table, bytes::count(self.schema, table, has_rows), Cost::Scan);
            }
            Change::ChangeByteQuota { bytes_max } => {
                self.builds(change, vec![bytes::count_function(self.schema, bytes_max)]);
            }
            Change::ForgetBytes { table } => self.forget(change, table, bytes::forget),
            Change::DropByteCounts => self.builds(change, bytes::drop_counts(self.schema)),
        }
    }

    /// What touches no table that is there.
    fn builds(&mut self, change: &Change<'_>, sql: Vec<String>) {
        let step = self.of(change, Phase::Swap, None, sql);
        self.made.builds.push(step);
    }

    /// What Postgres notes down of a table in no time.
    fn alters(&mut self, change: &Change<'_>, table: &Table, sql: String) {
        let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
        self.made.builds.push(step.locks(Lock::AccessExclusive, Cost::Constant));
    }

    /// What triggers count from here on.
    fn counts(&mut self, change: &Change<'_>, table: &Table, sql: Vec<String>, cost: Cost) {
        let step = self.of(change, Phase::Swap, Some(table), sql);
        self.made.builds.push(step.locks(Lock::ShareRowExclusive, cost));
    }

    fn forget(&mut self, change: &Change<'_>, table: &Table, sql: impl Fn(&str, &Table) -> Vec<String>) {
        let Some(deployed) = self.deployed(&table.name) else { return };
        let step = self.of(change, Phase::Swap, Some(table), sql(self.schema, deployed));
        self.made.unbind.push(step.locks(Lock::AccessExclusive, Cost::Constant));
    }

    /// An index or a reference goes.
    fn unbind(&mut self, change: &Change<'_>) {
        let (table, sql) = match *change {
            Change::DropIndex { table, before } => (table, self.drop_index(table, before)),
            Change::DropReference { table, before } => {
                let of = self.deployed(&table.name).zip(self.deployed_column(table, before));
                let drop = |(deployed, column): (&Table, &Column)| {
                    let name = deployed.foreign_key_identifier(column);
                    raw::drop_constraint(self.schema, deployed.name.as_str(), &name)
                };
                (table, of.map(drop))
            }
            Change::DropOwnerIndex { table } => {
                let name = self.deployed(&table.name).map(Table::owner_index_identifier);
                (table, name.map(|name| raw::drop_index(self.schema, &name)))
            }
            Change::DropReferenceIndex { table, column } => {
                let of = self.deployed(&table.name).zip(self.deployed_column(table, column));
                let name = of.map(|(deployed, column)| deployed.reference_index_identifier(column));
                (table, name.map(|name| raw::drop_index(self.schema, &name)))
            }
            _ => return,
        };
        let Some(sql) = sql else { return };
        let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
        self.made.unbind.push(step.locks(Lock::AccessExclusive, Cost::Constant));
    }

    /// A step of `change`; of `table` where it costs time by its rows.
    pub(super) fn of(&self, change: &Change<'_>, phase: Phase, table: Option<&Table>, statements: Vec<String>) -> Step {
        let deployed = table.and_then(|table| self.deployed(&table.name));
        Step {
            phase,
            work: Work::Statements(statements),
            pointer: change.pointer(),
            subject: subject(change),
            table: deployed.map(|table| table.name.to_string()),
            lock: Lock::None,
            cost: Cost::Constant,
            hazard: None,
            undo: Vec::new(),
        }
    }

    /// The table with this next name, as it is deployed.
    pub(super) fn deployed(&self, name: &Name) -> Option<&Table> {
        self.before.and_then(|aligned| aligned.deployed(name))
    }

    /// The column of `table` that goes on as `column`, as it is deployed.
    pub(super) fn deployed_column(&self, table: &Table, column: &Column) -> Option<&Column> {
        let aligned = self.before?;
        aligned.deployed(&table.name)?.column(aligned.deployed_column(&table.name, &column.name).as_str())
    }

    /// Whether callers cannot be kept from the table while its rows are read.
    pub(super) fn is_large(&self, table: &Table) -> bool {
        self.deployed(&table.name).is_some_and(|deployed| self.terms.large.contains(deployed.name.as_str()))
    }

    /// `table` as it is while the change is prepared: under its deployed names, with what prepares in it.
    pub(super) fn now(&self, table: &Table) -> Table {
        let Some(aligned) = self.before else { return table.clone() };
        let mut now = aligned.as_deployed(table);
        for column in table.columns.iter().filter(|column| self.is_converted_online(table, column)) {
            let deployed = aligned.deployed_column(&table.name, &column.name).clone();
            let next = Name::of_the_gateway(Self::next_column(column));
            let in_indexes = now.indexes.iter_mut().flat_map(|index| &mut index.columns);
            let columns = now.columns.iter_mut().map(|column| &mut column.name);
            for name in columns.chain(in_indexes).filter(|name| **name == deployed) {
                *name = next.clone();
            }
        }
        now
    }

    fn stands(&mut self, change: &Change<'_>, obstacle: super::step::Obstacle) {
        let allowed = obstacle.allow.as_ref().is_some_and(|allow| self.terms.allowed.contains(allow));
        if allowed {
            return;
        }
        // Postgres itself refuses all others that come meanwhile.
        if obstacle.is_asked_again {
            let table = raw::qualified(self.schema, &obstacle.table);
            let guard = Step {
                work: Work::Guard {
                    lock: format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"),
                    obstacle: obstacle.clone(),
                },
                table: Some(obstacle.table.clone()),
                ..self.of(change, Phase::Swap, None, Vec::new())
            };
            self.made.guards.push(guard.locks(Lock::AccessExclusive, Cost::Scan));
        }
        self.made.obstacles.push(obstacle);
    }

    fn rename(&mut self, change: &Change<'_>, rename: &Rename) {
        let (table, sql) = match rename {
            Rename::Table { from, to } => {
                (to, raw::alter_table(self.schema, from.as_str(), &format!("RENAME TO {}", raw::quoted(to.as_str()))))
            }
            Rename::Column { table, from, to } => {
                let what = format!("RENAME COLUMN {} TO {}", raw::quoted(from.as_str()), raw::quoted(to.as_str()));
                (table, raw::alter_table(self.schema, table.as_str(), &what))
            }
            // With the other identifiers.
            Rename::Index { .. } => return,
        };
        let table = self.after.table(table.as_str());
        let step = self.of(change, Phase::Swap, table, vec![sql]).locks(Lock::AccessExclusive, Cost::Constant);
        match rename {
            Rename::Table { .. } => self.made.names.tables.push(step),
            Rename::Column { .. } | Rename::Index { .. } => self.made.names.columns.push(step),
        }
    }

    /// What is named after a table, a column or an index that has another name now.
    fn rename_identifiers(&mut self) {
        let Some(aligned) = self.before.filter(|aligned| !aligned.renames.is_empty()) else { return };
        let mut steps = Vec::new();
        for table in &self.after.tables {
            let (Some(deployed), Some(before)) =
                (aligned.deployed(&table.name), aligned.before.table(table.name.as_str()))
            else {
                continue;
            };
            let mut indexes = vec![(deployed.primary_key_identifier(), before.primary_key_identifier())];
            let mut constraints = Vec::new();
            for (was, is) in deployed.columns.iter().zip(&before.columns) {
                let Some(next) = table.column(is.name.as_str()).filter(|_| is.origin == Origin::Author) else {
                    continue;
                };
                if self.is_converted_online(table, next) {
                    continue;
                }
                if constraint_text(is).is_some()
                    && constraint_text(is) == constraint_text(next)
                    && is.column_type.storage() == next.column_type.storage()
                {
                    constraints.push((deployed.check_identifier(was), before.check_identifier(is)));
                }
                if is.reference().is_some() && is.reference() == next.reference() {
                    constraints.push((deployed.foreign_key_identifier(was), before.foreign_key_identifier(is)));
                }
                if deployed.needs_reference_index(was) && table.needs_reference_index(next) {
                    indexes.push((deployed.reference_index_identifier(was), before.reference_index_identifier(is)));
                }
            }
            for index in before.indexes.iter().filter(|index| table.indexes.contains(index)) {
                let name = aligned.deployed_index(&table.name, &index.name);
                let was = deployed.indexes.iter().find(|was| was.name == *name);
                if let Some(was) = was.filter(|_| !self.is_rebuilt(table, index)) {
                    indexes.push((deployed.index_identifier(was), before.index_identifier(index)));
                }
            }
            if deployed.needs_owner_index() && table.needs_owner_index() {
                indexes.push((deployed.owner_index_identifier(), before.owner_index_identifier()));
            }
            let indexes = indexes.into_iter().filter(|(from, to)| from != to);
            let indexes = indexes.map(|(from, to)| raw::rename_index(self.schema, &from, &to));
            let constraints = constraints.into_iter().filter(|(from, to)| from != to).map(|(from, to)| {
                let what = format!("RENAME CONSTRAINT {} TO {}", raw::quoted(&from), raw::quoted(&to));
                raw::alter_table(self.schema, table.name.as_str(), &what)
            });
            let statements: Vec<String> = indexes.chain(constraints).collect();
            if !statements.is_empty() {
                let renamed = aligned.renames.iter().find(|rename| match rename {
                    Rename::Table { to, .. } => *to == table.name,
                    Rename::Column { table: of, .. } | Rename::Index { table: of, .. } => *of == table.name,
                });
                let Some(rename) = renamed else { continue };
                let step = self.of(&Change::Rename { rename }, Phase::Swap, Some(table), statements);
                steps.push(step.locks(Lock::AccessExclusive, Cost::Constant));
            }
        }
        self.made.names.identifiers.extend(steps);
    }

    fn drop_table(&mut self, change: &Change<'_>, before: &Table) {
        let Some(deployed) = self.deployed(&before.name) else { return };
        let (schema, name) = (self.schema, deployed.name.as_str());
        let references = deployed.columns.iter().filter(|column| column.reference().is_some());
        let mut unbind: Vec<String> = references
            .map(|column| raw::drop_constraint(schema, name, &deployed.foreign_key_identifier(column)))
            .collect();
        if self.counts_bytes {
            unbind.push(bytes::discount(schema, deployed));
        }
        if deployed.rows_max.is_some() {
            unbind.push(quota::discount(schema, deployed));
        }
        let drop = vec![format!("DROP TABLE {}", raw::qualified(schema, name))];
        if !unbind.is_empty() {
            let step = self.of(change, Phase::Swap, Some(before), unbind).locks(Lock::AccessExclusive, Cost::Constant);
            self.made.unbind.push(step);
        }
        let step = self.of(change, Phase::Swap, Some(before), drop).locks(Lock::AccessExclusive, Cost::Constant);
        self.made.drops.push(Step { hazard: Some(Hazard::DeletesData), ..step });
    }

    fn drop_column(&mut self, change: &Change<'_>, table: &Table, column: &Name) {
        let Some(deployed) = self.deployed(&table.name) else { return };
        let mut statements = Vec::new();
        let cost = if self.counts_bytes { Cost::Scan } else { Cost::Constant };
        if self.counts_bytes {
            statements.push(bytes::discount_column(self.schema, deployed, column.as_str()));
        }
        let drop = format!("DROP COLUMN {}", raw::quoted(column.as_str()));
        statements.push(raw::alter_table(self.schema, deployed.name.as_str(), &drop));
        let step = self.of(change, Phase::Swap, Some(table), statements).locks(Lock::AccessExclusive, cost);
        self.made.drops.push(Step { hazard: Some(Hazard::DeletesData), ..step });
    }

    /// The rows of tables that keep other scopes go together, since they may refer to each other.
    fn empty(&mut self, change: &Change<'_>, table: &Table) {
        let allowed = |name: &Name| self.terms.allowed.contains(&obstacle::deletes(name, None));
        let emptied: Vec<String> = self
            .changes
            .iter()
            .filter_map(|change| match change {
                Change::ChangeScope { table, .. } if allowed(&table.name) => self.deployed(&table.name),
                _ => None,
            })
            .map(|deployed| raw::qualified(self.schema, deployed.name.as_str()))
            .collect();
        let Some((last, others)) = emptied.split_last() else { return };
        if self.deployed(&table.name).map(|deployed| raw::qualified(self.schema, deployed.name.as_str())).as_ref()
            != Some(last)
        {
            return;
        }
        let others: Vec<String> =
            others.iter().enumerate().map(|(n, other)| format!("_{n} AS ( DELETE FROM {other} )")).collect();
        let with = if others.is_empty() { String::new() } else { format!("WITH {} ", others.join(", ")) };
        let step = self.of(change, Phase::Swap, Some(table), vec![format!("{with}DELETE FROM {last}")]);
        let step = step.locks(Lock::RowExclusive, Cost::Rewrite);
        self.made.unbind.insert(0, Step { hazard: Some(Hazard::DeletesData), ..step });
    }

    fn add_column(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        if self.is_added_early(table, &column.name) && (column.optional || column.default.is_some()) {
            self.add_column_online(change, table, column);
            return;
        }
        let mut statements = vec![super::add_column(self.schema, table, column)];
        if self.counts_bytes {
            statements.push(bytes::count_column(self.schema, table, column.name.as_str()));
        }
        let reads = self.counts_bytes || constraint_text(column).is_some();
        let cost = if reads { Cost::Scan } else { Cost::Constant };
        let step = self.of(change, Phase::Swap, Some(table), statements).locks(Lock::AccessExclusive, cost);
        self.made.builds.push(step);
    }

    /// Everything about the column is of the new type at once, under a lock.
    fn convert(&mut self, change: &Change<'_>, table: &Table, column: &Column, before: &Column) {
        let Some(conversion) = change.conversion() else { return };
        self.drop_check(change, table, before);
        let (schema, name, of) = (self.schema, table.name.as_str(), column.name.as_str());
        let mut statements = Vec::new();
        if self.counts_bytes {
            statements.push(bytes::discount_column(schema, table, of));
        }
        if before.default.is_some() {
            statements.push(raw::drop_default(schema, name, of));
        }
        let becomes = conversion.of(&raw::quoted(of));
        let what = format!("TYPE {} USING {becomes}", super::type_of(column));
        statements.push(raw::alter_column(schema, name, of, &what));
        if column.default.is_some() {
            statements.push(self.set_default(table, column));
        }
        if self.counts_bytes {
            statements.push(bytes::count_column(schema, table, of));
        }
        let step = self.of(change, Phase::Swap, Some(table), statements);
        self.made.builds.push(step.locks(Lock::AccessExclusive, Cost::Rewrite));
        self.add_check(change, table, column);
    }

    fn change_optional(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let (schema, name, of) = (self.schema, table.name.as_str(), column.name.as_str());
        if column.optional {
            let sql = raw::alter_column(schema, name, of, "DROP NOT NULL");
            let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
            self.made.builds.push(step.locks(Lock::AccessExclusive, Cost::Constant));
            return;
        }
        if self.is_large(table) && !self.is_converted(table, column) {
            self.require_online(change, table, column);
            return;
        }
        let mut statements = Vec::new();
        let mut hazard = None;
        if let Some(value) = self.filling(table, column) {
            let quoted = raw::quoted(of);
            let table = raw::qualified(schema, name);
            statements.push(format!("UPDATE {table} SET {quoted} = {value} WHERE {quoted} IS NULL"));
            hazard = Some(Hazard::FillsNulls);
        }
        statements.push(raw::alter_column(schema, name, of, "SET NOT NULL"));
        let step = self.of(change, Phase::Swap, Some(table), statements).locks(Lock::AccessExclusive, Cost::Scan);
        self.made.builds.push(Step { hazard, ..step });
    }

    /// What rows without a value get, where that is allowed.
    pub(super) fn filling(&self, table: &Table, column: &Column) -> Option<String> {
        let allowed = self.terms.allowed.contains(&obstacle::fills(table, column));
        column.default.as_ref().filter(|_| allowed).map(|default| super::default_text(default, column))
    }

    pub(super) fn set_default(&self, table: &Table, column: &Column) -> String {
        match &column.default {
            Some(default) => {
                let what = format!("SET DEFAULT {}", super::default_text(default, column));
                raw::alter_column(self.schema, table.name.as_str(), column.name.as_str(), &what)
            }
            None => raw::drop_default(self.schema, table.name.as_str(), column.name.as_str()),
        }
    }

    fn drop_check(&mut self, change: &Change<'_>, table: &Table, before: &Column) {
        if constraint_text(before).is_none() {
            return;
        }
        let Some(deployed) = self.deployed(&table.name) else { return };
        let Some(column) = self.deployed_column(table, before) else { return };
        let name = deployed.check_identifier(column);
        let sql = raw::drop_constraint(self.schema, deployed.name.as_str(), &name);
        let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
        self.made.unbind.push(step.locks(Lock::AccessExclusive, Cost::Constant));
    }

    pub(super) fn add_check(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let Some(condition) = constraint_text(column) else { return };
        let name = table.check_identifier(column);
        let large = self.is_large(table);
        let sql = raw::add_check(self.schema, table.name.as_str(), &name, &condition, !large);
        let cost = if large { Cost::Constant } else { Cost::Scan };
        let step = self.of(change, Phase::Swap, Some(table), vec![sql]).locks(Lock::AccessExclusive, cost);
        self.made.builds.push(step);
        if large {
            self.validate_later(change, table, &name);
        }
    }

    pub(super) fn validate_later(&mut self, change: &Change<'_>, table: &Table, constraint: &str) {
        let sql = raw::validate(self.schema, table.name.as_str(), constraint);
        let step = self.of(change, Phase::Finish, Some(table), vec![sql]);
        self.made.finish.push(step.locks(Lock::ShareUpdateExclusive, Cost::Scan));
    }

    fn add_owner(&mut self, change: &Change<'_>, table: &Table) {
        let Some(owner) = table.owner() else { return };
        let early = self.is_added_early(table, &owner.name);
        let now = if early { self.now(table) } else { table.clone() };
        let Some(add) = super::add_owner(self.schema, &now) else { return };
        let mut statements = vec![add];
        let mut undo = Vec::new();
        if self.counts_bytes {
            statements.push(bytes::count_column(self.schema, &now, OWNER_COLUMN));
            undo.push(bytes::discount_column(self.schema, &now, OWNER_COLUMN));
        }
        undo.push(raw::alter_table(
            self.schema,
            now.name.as_str(),
            &format!("DROP COLUMN {}", raw::quoted(OWNER_COLUMN)),
        ));
        let cost = if self.counts_bytes { Cost::Scan } else { Cost::Constant };
        let phase = if early { Phase::Prepare } else { Phase::Swap };
        let step = self.of(change, phase, Some(table), statements).locks(Lock::AccessExclusive, cost);
        if early {
            self.made.prepare.push(Step { undo, ..step });
        } else {
            self.made.builds.push(step);
        }
    }

    pub(super) fn add_declared(&mut self, change: &Change<'_>, table: &Table, index: &Index, identifier: &str) {
        let place = table.indexes.iter().position(|other| other.name == index.name);
        self.add_index(change, table, identifier, &index.columns, |schema, now, identifier| {
            let index = place.and_then(|place| now.indexes.get(place)).unwrap_or(index);
            super::declared_index(schema, now, index, identifier)
        });
    }

    fn change_index(&mut self, change: &Change<'_>, table: &Table, index: &Index, before: &Index) {
        let identifier = table.index_identifier(index);
        if let Some(sql) = self.drop_index(table, before) {
            let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
            self.made.unbind.push(step.locks(Lock::AccessExclusive, Cost::Constant));
        }
        if self.is_built_early(table, &index.columns) {
            let next = Self::next_index(&identifier);
            self.add_declared(change, table, index, &next);
            let sql = raw::rename_index(self.schema, &next, &identifier);
            let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
            self.made.names.identifiers.push(step.locks(Lock::ShareUpdateExclusive, Cost::Constant));
        } else {
            self.add_declared(change, table, index, &identifier);
        }
    }

    fn drop_index(&self, table: &Table, before: &Index) -> Option<String> {
        let aligned = self.before?;
        let deployed = aligned.deployed(&table.name)?;
        let name = aligned.deployed_index(&table.name, &before.name);
        let index = deployed.indexes.iter().find(|index| index.name == *name)?;
        Some(raw::drop_index(self.schema, &deployed.index_identifier(index)))
    }

    fn add_reference(&mut self, change: &Change<'_>, table: &Table, column: &Column) {
        let Some(sql) = super::add_reference(self.schema, table, column) else { return };
        if self.is_large(table) {
            let step = self.of(change, Phase::Swap, Some(table), vec![format!("{sql} NOT VALID")]);
            self.made.builds.push(step.locks(Lock::ShareRowExclusive, Cost::Constant));
            self.validate_later(change, table, &table.foreign_key_identifier(column));
        } else {
            let step = self.of(change, Phase::Swap, Some(table), vec![sql]);
            self.made.builds.push(step.locks(Lock::ShareRowExclusive, Cost::Scan));
        }
    }
}

impl Step {
    #[must_use]
    pub(super) fn locks(self, lock: Lock, cost: Cost) -> Step {
        // Nothing that is being made has callers.
        if self.table.is_some() { Step { lock, cost, ..self } } else { self }
    }
}

/// What a change makes or takes, such as ``column `text` of table `rules` ``.
pub(super) fn subject(change: &Change<'_>) -> String {
    let of = |kind: &str, name: &Name, table: &Table| format!("{kind} `{name}` of table `{}`", table.name);
    let rule = |index: &Index| if index.unique { "unique rule" } else { "index" };
    match change {
        Change::Rename { rename } => match rename {
            Rename::Table { from, to } => format!("the name of table `{to}`, which was `{from}`"),
            Rename::Column { table, from, to } => {
                format!("the name of column `{to}` of table `{table}`, which was `{from}`")
            }
            Rename::Index { table, from, to, unique } => {
                let rule = if *unique { "unique rule" } else { "index" };
                format!("the name of {rule} `{to}` of table `{table}`, which was `{from}`")
            }
        },
        Change::DropTable { before } => format!("table `{}`", before.name),
        Change::CreateTable { table } => format!("table `{}`", table.name),
        Change::DropColumn { table, before } | Change::ChangeColumnType { table, before, .. } => {
            of("column", &before.name, table)
        }
        Change::AddColumn { table, column } | Change::ChangeOptional { table, column } => {
            of("column", &column.name, table)
        }
        Change::ChangeDefault { table, column } => of("the default of column", &column.name, table),
        Change::ChangeConstraint { table, column, .. } => of("the limits of column", &column.name, table),
        Change::DropOwner { table, .. } | Change::AddOwner { table } | Change::DropOwnerDefault { table } => {
            format!("the owner of table `{}`", table.name)
        }
        Change::ChangeScope { table, .. } => format!("the storage of table `{}`", table.name),
        Change::CreatePostgresSchema { name } => format!("Postgres schema `{name}`"),
        Change::AddOwnerIndex { table } | Change::DropOwnerIndex { table } => {
            format!("the index of the owners of table `{}`", table.name)
        }
        Change::DropIndex { table, before: index }
        | Change::AddIndex { table, index }
        | Change::ChangeIndex { table, index, .. } => of(rule(index), &index.name, table),
        Change::AddReferenceIndex { table, column } | Change::DropReferenceIndex { table, column } => {
            of("index under the reference", &column.name, table)
        }
        Change::AddReference { table, column } | Change::DropReference { table, before: column } => {
            of("reference", &column.name, table)
        }
        Change::CreateCounts { .. } | Change::DropCounts { .. } => "the counts of rows".to_owned(),
        Change::CountRows { table, .. } | Change::ChangeQuota { table, .. } | Change::ForgetCount { table } => {
            format!("the quota of table `{}`", table.name)
        }
        Change::CreateByteCounts { .. } | Change::DropByteCounts => "the counts of bytes".to_owned(),
        Change::CountBytes { table, .. } | Change::ForgetBytes { table } => {
            format!("the bytes of table `{}`", table.name)
        }
        Change::ChangeByteQuota { .. } => "the quota of bytes".to_owned(),
    }
}
