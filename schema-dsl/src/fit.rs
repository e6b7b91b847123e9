//! Whether an older revision's functions still work over the tables of a newer one.
//!
//! What an older revision uses must be there and be stored the same way, and nothing may have become
//! narrower than what its writes keep to: its calls would fail where their arguments are right. What
//! became wider, and what its functions do not use, is no matter. A revision with handlers may use
//! everything, since what they will ask is not known before they run.

#[cfg(test)]
mod tests;
mod uses;

use crate::column_type::{ColumnType, Field};
use crate::diagnostic::{Diagnostic, nearest, pointer_to};
use crate::fit::uses::{Use, uses};
use crate::model::{Column, Model, Origin, Table};

/// Every reason why functions of `old` would no longer work over the tables of `current`; the places are
/// in the definition of `current`.
pub fn fits(old: &Model, current: &Model) -> Vec<Diagnostic> {
    let mut complaints = Vec::new();
    for (name, used) in uses(old) {
        let Some(before) = old.table(name) else { continue };
        let by = used.by();
        let Some(after) = current.table(name) else {
            let message = format!("{by} needs table `{name}`, which is not there");
            let hint = match nearest(name, current.tables.iter().map(|table| table.name.as_str())) {
                Some(nearest) => format!("keep the table; if it is called `{nearest}` now, {UNPIN}"),
                None => format!("keep the table, or {UNPIN}"),
            };
            complaints.push(Diagnostic::new("pinned_missing", "/tables", message).with_hint(hint));
            continue;
        };
        Fit { before, after, used: &used, pointer: pointer_to("/tables", name), complaints: &mut complaints }.judge();
    }
    complaints
}

const UNPIN: &str = "unpin the installs";

/// A table as it was and as it is to be.
struct Fit<'a> {
    before: &'a Table,
    after: &'a Table,
    used: &'a Use<'a>,
    pointer: String,
    complaints: &'a mut Vec<Diagnostic>,
}

impl Fit<'_> {
    fn judge(mut self) {
        let (before, after, used) = (self.before, self.after, self.used);
        if before.scope != after.scope {
            let (was, is) = (before.scope.as_str(), after.scope.as_str());
            let message = format!("{} needs rows of table `{}` per {was}, not per {is}", used.by(), before.name);
            self.complain("pinned_type", self.pointer.clone(), message);
            return;
        }
        for (name, by) in &used.columns {
            self.column(name, by);
        }
        for (name, by) in &used.answered {
            if after.column(name).is_some_and(|column| column.private)
                && before.column(name).is_some_and(|column| !column.private)
            {
                let message =
                    format!("`{by}` answers with column `{name}` of table `{}`, which is private", before.name);
                self.complain("pinned_private", self.column_pointer(name), message);
            }
        }
        for (name, by) in &used.written {
            self.written(name, by);
        }
        if let Some(by) = used.inserts {
            self.inserts(by);
        }
        self.rules();
        self.indexes();
    }

    /// A column must be there, and hold values of the same form.
    fn column(&mut self, name: &str, by: &str) {
        let (before, after) = (self.before, self.after);
        let Some(was) = before.column(name) else { return };
        let Some(is) = after.column(name) else {
            let message = format!("`{by}` needs column `{name}` of table `{}`, which is not there", before.name);
            return self.complain("pinned_missing", pointer_to(&self.pointer, "columns"), message);
        };
        if was.column_type.storage() != is.column_type.storage() {
            let (expected, found) = (was.column_type.phrase(), is.column_type.phrase());
            let message = format!("`{by}` needs {expected} in column `{name}` of table `{}`, not {found}", before.name);
            return self.complain("pinned_type", self.column_pointer(name), message);
        }
        let target = |column: &Column| column.reference().map(|(table, _)| table.to_owned());
        // Where it is written, that says the same.
        if let Some(table) = target(was).filter(|_| target(was) != target(is) && !self.used.written.contains_key(name))
        {
            let message =
                format!("`{by}` needs a reference to table `{table}` in column `{name}` of table `{}`", before.name);
            self.complain("pinned_type", self.column_pointer(name), message);
        }
    }

    /// A column that is written must take every value that it took.
    fn written(&mut self, name: &str, by: &str) {
        let (Some(was), Some(is)) = (self.before.column(name), self.after.column(name)) else { return };
        let what = if was.optional && !is.optional {
            "takes no null any more"
        } else if was.column_type.storage() == is.column_type.storage() && !takes(&is.column_type, &was.column_type) {
            "takes fewer values than before"
        } else {
            return;
        };
        let message = format!("`{by}` writes column `{name}` of table `{}`, which {what}", self.before.name);
        self.complain("pinned_tightened", self.column_pointer(name), message);
    }

    /// A row without what is new, and without what it left out before, must still be one.
    fn inserts(&mut self, by: &str) {
        let (before, after) = (self.before, self.after);
        let needs = |column: &&Column| column.origin == Origin::Author && !column.optional && column.default.is_none();
        for column in after.columns.iter().filter(needs) {
            let was = before.column(column.name.as_str());
            // A value that it always gives needs no default.
            if was.is_some_and(|was| !was.optional && was.default.is_none()) {
                continue;
            }
            let message = match was {
                None => "which it does not know and every row needs",
                Some(_) => "which it may leave out and every row needs",
            };
            let message =
                format!("`{by}` inserts into table `{}` without column `{}`, {message}", before.name, column.name);
            self.complain("pinned_tightened", self.column_pointer(column.name.as_str()), message);
        }
        if before.owner().is_none() && after.owner().is_some() {
            let message =
                format!("`{by}` inserts into table `{}` without an owner, which every row needs", before.name);
            self.complain("pinned_tightened", self.pointer.clone(), message);
        }
    }

    /// A rule it names must be there, and none may be new to what it writes.
    fn rules(&mut self) {
        let (before, after, used) = (self.before, self.after, self.used);
        for (name, by) in &used.rules {
            let was = before.indexes.iter().find(|index| index.unique && index.name == *name);
            let is = after.indexes.iter().find(|index| index.unique && index.name == *name);
            if was.map(|index| &index.columns) != is.map(|index| &index.columns) {
                let what = if is.is_some() { "is over other columns" } else { "is not there" };
                let message = format!("`{by}` needs unique rule `{name}` of table `{}`, which {what}", before.name);
                self.complain("pinned_missing", self.pointer.clone(), message);
            }
        }
        for rule in after.indexes.iter().filter(|index| index.unique) {
            let was_there = before.indexes.iter().any(|index| {
                index.unique
                    && !index.columns.is_empty()
                    && index.columns.iter().all(|column| rule.columns.contains(column))
            });
            let touched = rule.columns.iter().find_map(|column| used.written.get(column.as_str()).copied());
            if let Some(by) = used.inserts.or(touched).filter(|_| !was_there) {
                let (rule, table) = (&rule.name, &before.name);
                let message = format!("`{by}` writes table `{table}`, which has a new unique rule `{rule}`");
                self.complain("pinned_tightened", self.pointer.clone(), message);
            }
        }
    }

    /// What it reads by an index must not become a walk through the scope.
    fn indexes(&mut self) {
        let (before, after) = (self.before, self.after);
        let Some(by) = self.used.columns.values().next() else { return };
        for index in before.indexes.iter().filter(|index| !index.unique) {
            let serves = after.indexes.iter().any(|known| known.columns.starts_with(&index.columns));
            let is_whole = index.columns.iter().all(|column| after.column(column.as_str()).is_some());
            if !serves && is_whole && index.columns.iter().any(|column| self.used.columns.contains_key(column.as_str()))
            {
                let message =
                    format!("`{by}` may read table `{}` by index `{}`, which is not there", before.name, index.name);
                self.complain("pinned_missing", self.pointer.clone(), message);
            }
        }
    }

    fn column_pointer(&self, name: &str) -> String {
        pointer_to(&pointer_to(&self.pointer, "columns"), name)
    }

    fn complain(&mut self, code: &'static str, pointer: String, message: String) {
        let hint = match code {
            "pinned_missing" => format!("keep it, or {UNPIN}"),
            "pinned_type" | "pinned_private" => format!("leave it as it was, or {UNPIN}"),
            _ => format!("take what it took before, or {UNPIN}"),
        };
        self.complaints.push(Diagnostic::new(code, pointer, message).with_hint(hint));
    }
}

/// Whether a column of type `wide` takes every value that one of type `narrow` takes.
pub fn takes(wide: &ColumnType, narrow: &ColumnType) -> bool {
    match (wide, narrow) {
        (ColumnType::String { min, max, pattern }, ColumnType::String { min: from, max: to, pattern: like }) => {
            at_least(*min, *from) && at_most(*max, *to) && (pattern.is_none() || pattern == like)
        }
        (ColumnType::String { min: None, max: None, pattern: None }, ColumnType::Enum { .. }) => true,
        (ColumnType::Integer { min, max }, ColumnType::Integer { min: from, max: to }) => {
            at_least(*min, *from) && at_most(*max, *to)
        }
        (ColumnType::Number { min, max }, ColumnType::Number { min: from, max: to }) => {
            at_least(*min, *from) && at_most(*max, *to)
        }
        (ColumnType::Decimal { min, max }, ColumnType::Decimal { min: from, max: to }) => {
            use crate::value::compare_decimals;
            let is_within =
                |limit: &Option<String>, bound: &Option<String>, outside: std::cmp::Ordering| match (limit, bound) {
                    (None, _) => true,
                    (Some(limit), Some(bound)) => compare_decimals(bound, limit) != outside,
                    (Some(_), None) => false,
                };
            is_within(min, from, std::cmp::Ordering::Less) && is_within(max, to, std::cmp::Ordering::Greater)
        }
        (ColumnType::Bytes { min, max }, ColumnType::Bytes { min: from, max: to }) => {
            at_least(*min, *from) && at_most(*max, *to)
        }
        (ColumnType::Enum { values }, ColumnType::Enum { values: taken }) => {
            taken.iter().all(|value| values.contains(value))
        }
        (ColumnType::Id { table, .. }, ColumnType::Id { table: to, .. }) => table == to,
        (ColumnType::Uuid, ColumnType::Id { .. }) => true,
        (ColumnType::Array { items, min, max }, ColumnType::Array { items: of, min: from, max: to }) => {
            takes(items, of) && at_least(*min, *from) && at_most(*max, *to)
        }
        (ColumnType::Object { fields }, ColumnType::Object { fields: given }) => {
            let is_taken = |(name, given): (&String, &Field)| {
                fields.get(name).is_some_and(|field| {
                    takes(&field.column_type, &given.column_type) && (field.optional || !given.optional)
                })
            };
            given.iter().all(is_taken) && fields.iter().all(|(name, field)| field.optional || given.contains_key(name))
        }
        (ColumnType::Json, ColumnType::Object { .. } | ColumnType::Json)
        | (ColumnType::Boolean, ColumnType::Boolean)
        | (ColumnType::Timestamp, ColumnType::Timestamp)
        | (ColumnType::Date, ColumnType::Date)
        | (ColumnType::Uuid, ColumnType::Uuid) => true,
        (
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
            | ColumnType::Array { .. }
            | ColumnType::Object { .. }
            | ColumnType::Json,
            _,
        ) => false,
    }
}

/// Whether nothing from `from` on is below `min`.
fn at_least<T: PartialOrd>(min: Option<T>, from: Option<T>) -> bool {
    match (min, from) {
        (None, _) => true,
        (Some(min), Some(from)) => from >= min,
        (Some(_), None) => false,
    }
}

/// Whether nothing up to `to` is above `max`.
fn at_most<T: PartialOrd>(max: Option<T>, to: Option<T>) -> bool {
    match (max, to) {
        (None, _) => true,
        (Some(max), Some(to)) => to <= max,
        (Some(_), None) => false,
    }
}
