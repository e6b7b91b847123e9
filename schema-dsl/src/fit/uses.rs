//! What the functions of a model ask of its tables: columns, unique rules, and whether rows are inserted.

use std::collections::BTreeMap;

use crate::function::{Assigned, Assignment, Body, Conflict, Expand, Filter, Function, Link, Order, Source};
use crate::model::{Model, Origin};
use crate::name::{Name, OWNER_COLUMN};

/// What is asked of one table; each thing with the first function that asks for it.
#[derive(Debug, Default)]
pub(super) struct Use<'m> {
    /// Read or written in any way.
    pub(super) columns: BTreeMap<&'m str, &'m str>,
    /// Answered by declarative functions, which never answer what is private.
    pub(super) answered: BTreeMap<&'m str, &'m str>,
    pub(super) written: BTreeMap<&'m str, &'m str>,
    /// Unique rules that are named.
    pub(super) rules: BTreeMap<&'m str, &'m str>,
    pub(super) inserts: Option<&'m str>,
    /// Any function that uses it at all.
    first: Option<&'m str>,
}

impl Use<'_> {
    /// Who uses it, as a complaint begins.
    pub(super) fn by(&self) -> String {
        self.first.map_or_else(|| "a function".to_owned(), |name| format!("`{name}`"))
    }
}

/// What each table of `model` is asked for; those that no function uses are left out.
pub(super) fn uses(model: &Model) -> BTreeMap<&str, Use<'_>> {
    let mut uses = Uses { model, tables: BTreeMap::new() };
    for function in &model.functions {
        uses.function(function, function.name.as_str());
    }
    if let Some(handler) = model.handlers.first() {
        uses.everything(handler.name.as_str());
    }
    uses.tables
}

struct Uses<'m> {
    model: &'m Model,
    tables: BTreeMap<&'m str, Use<'m>>,
}

impl<'m> Uses<'m> {
    fn of(&mut self, table: &'m Name, by: &'m str) -> &mut Use<'m> {
        let used = self.tables.entry(table.as_str()).or_default();
        used.first.get_or_insert(by);
        used
    }

    /// A handler may ask for anything that there is.
    fn everything(&mut self, by: &'m str) {
        let model = self.model;
        for table in &model.tables {
            let used = self.of(&table.name, by);
            used.inserts.get_or_insert(by);
            for column in &table.columns {
                used.columns.entry(column.name.as_str()).or_insert(by);
                if column.origin == Origin::Author {
                    used.written.entry(column.name.as_str()).or_insert(by);
                }
            }
            for rule in table.indexes.iter().filter(|index| index.unique) {
                used.rules.entry(rule.name.as_str()).or_insert(by);
            }
        }
    }

    fn function(&mut self, function: &'m Function, by: &'m str) {
        let table = function.body.table();
        self.of(table, by);
        match &function.body {
            Body::QueryRows { filter, order_by, fields, expand, .. } => {
                self.filter(table, filter.as_ref(), by);
                self.orders(table, order_by, by);
                self.answer(table, fields, by);
                self.expand(table, expand, by);
            }
            Body::GetRow { fields, expand, .. } => {
                self.answer(table, fields, by);
                self.expand(table, expand, by);
            }
            Body::CountRows { filter, .. } => self.filter(table, filter.as_ref(), by),
            Body::AggregateRows { filter, groups, select, .. } => {
                self.filter(table, filter.as_ref(), by);
                self.answer(table, groups, by);
                for column in select.iter().filter_map(|selected| selected.column.as_ref()) {
                    self.answer(table, std::slice::from_ref(column), by);
                }
            }
            Body::InsertRow { values, fields, conflict, .. }
            | Body::InsertRows { values, fields, conflict, .. }
            | Body::UpsertRow { values, fields, conflict, .. } => {
                self.of(table, by).inserts.get_or_insert(by);
                self.assign(table, values, by);
                self.answer(table, fields, by);
                match conflict {
                    Conflict::Error => {}
                    Conflict::Ignore(rule) | Conflict::Update(rule) => {
                        self.of(table, by).rules.entry(rule.as_str()).or_insert(by);
                    }
                }
            }
            Body::PatchRow { values, fields, .. } => {
                self.assign(table, values, by);
                self.answer(table, fields, by);
            }
            Body::PatchRows { filter, values, fields, .. } => {
                self.filter(table, Some(filter), by);
                self.assign(table, values, by);
                self.answer(table, fields, by);
            }
            Body::DeleteRow { .. } => {}
            Body::DeleteRows { filter, .. } => self.filter(table, Some(filter), by),
            Body::Transaction { steps, .. } => {
                for step in steps {
                    self.function(&step.function, by);
                }
            }
        }
        if let Some(row) = &function.when.row {
            self.filter(table, Some(row), by);
        }
        for referred in &function.when.referred {
            self.column(table, &referred.column, by);
            self.filter(&referred.table, Some(&referred.filter), by);
        }
        for kept in &function.kept {
            self.column(table, kept, by);
        }
        if self.model.table(table.as_str()).is_some_and(|table| table.owner().is_some()) {
            self.of(table, by).columns.entry(OWNER_COLUMN).or_insert(by);
        }
    }

    fn column(&mut self, table: &'m Name, column: &'m Name, by: &'m str) {
        self.of(table, by).columns.entry(column.as_str()).or_insert(by);
    }

    fn answer(&mut self, table: &'m Name, columns: &'m [Name], by: &'m str) {
        for column in columns {
            self.column(table, column, by);
            self.of(table, by).answered.entry(column.as_str()).or_insert(by);
        }
    }

    fn orders(&mut self, table: &'m Name, orders: &'m [Order], by: &'m str) {
        for order in orders {
            self.column(table, &order.column, by);
        }
    }

    fn assign(&mut self, table: &'m Name, values: &'m [Assignment], by: &'m str) {
        for Assignment { column, value } in values {
            self.column(table, column, by);
            self.of(table, by).written.entry(column.as_str()).or_insert(by);
            match value {
                Assigned::Source(source)
                | Assigned::Increment(source)
                | Assigned::Append(source)
                | Assigned::Remove(source) => match source {
                    // A column of a step's row is among what that step answers or keeps.
                    Source::Row { .. }
                    | Source::Literal(_)
                    | Source::Argument(_)
                    | Source::Identity(_)
                    | Source::Now => {}
                },
            }
        }
    }

    fn filter(&mut self, table: &'m Name, filter: Option<&'m Filter>, by: &'m str) {
        match filter {
            None => {}
            Some(Filter::All(parts) | Filter::Any(parts)) => {
                for part in parts {
                    self.filter(table, Some(part), by);
                }
            }
            Some(Filter::Negate(part)) => self.filter(table, Some(part), by),
            Some(Filter::Compare { column, .. }) => self.column(table, column, by),
        }
    }

    fn expand(&mut self, table: &'m Name, expand: &'m [Expand], by: &'m str) {
        for Expand { table: of, fields, link, .. } in expand {
            self.answer(of, fields, by);
            match link {
                Link::Row { column } => self.column(table, column, by),
                Link::Rows { by: column, order_by, .. } => {
                    self.column(of, column, by);
                    self.orders(of, order_by, by);
                }
            }
        }
    }
}
