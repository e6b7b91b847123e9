//! Conditions on what is written, and on the rows that it refers to.

use indexmap::IndexMap;

use crate::check::filters;
use crate::check::functions::Reading;
use crate::definition::{self, OnConflict, Operand};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Absence, Argument, Body, FILTER_COMPARISONS_MAX, Filter, Referred, Source, When};
use crate::model::Table;

/// What a column's value is to a condition on the row that it refers to.
enum Reference<'d> {
    /// The column is among the values of a new row, or it refers to nothing.
    New(&'d IndexMap<String, Operand>),
    /// The row is there; it must not come to refer to another.
    There(Option<&'d IndexMap<String, Operand>>),
}

impl<'a> Reading<'_, 'a, '_> {
    /// What must hold for the function to write; `None` where it is broken.
    pub(super) fn when(&mut self, declared: &definition::Function) -> Option<When> {
        if declared.when.is_empty() {
            return Some(When::default());
        }
        let pointer = pointer_to(self.pointer, "when");
        let table = self.ground.tables.iter().find(|table| table.name == *declared.body.table())?;
        let Some((changes, reference)) = parts(&declared.body) else {
            let message = format!("`when` is a condition of a write, and {} writes nothing", declared.body.word());
            let diagnostic = Diagnostic::new("misplaced_condition", pointer, message);
            self.diagnostics.push(diagnostic.with_hint("write it as `filter`"));
            return None;
        };
        let (mut row, mut referred, mut whole) = (Vec::new(), Vec::new(), true);
        for (index, when) in declared.when.iter().enumerate() {
            let pointer = pointer_to(&pointer, index);
            match when {
                definition::When::Row(_) if !changes => {
                    let message = format!("{} meets no row that the condition could be on", declared.body.word());
                    let hint = "name a column that refers to the row, such as `when = { poll = filter(…) }`";
                    self.diagnostics.push(Diagnostic::new("misplaced_condition", pointer, message).with_hint(hint));
                    whole = false;
                }
                definition::When::Row(filter) => {
                    match filters::filter(self.ground, table, filter, &pointer, self.arguments, self.diagnostics) {
                        Some(filter) => row.push(filter),
                        None => whole = false,
                    }
                }
                definition::When::Referred(filters) => {
                    for (column, filter) in filters {
                        match self.referred(table, &reference, column, filter, &pointer_to(&pointer, column)) {
                            Some(read) => referred.push(read),
                            None => whole = false,
                        }
                    }
                }
            }
        }
        whole &= self.few(&row, &referred, &pointer);
        let row = if row.len() > 1 { Some(Filter::All(row)) } else { row.pop() };
        whole.then_some(When { row, referred })
    }

    fn referred(
        &mut self,
        table: &'a Table,
        reference: &Reference<'_>,
        name: &str,
        filter: &definition::Filter,
        pointer: &str,
    ) -> Option<Referred> {
        let column = self.ground.column(table, name, pointer, self.diagnostics)?;
        let Some((referred, _)) = column.reference() else {
            let message = format!("column `{name}` refers to no row that a condition could be on");
            let hint = "name a column whose type is `v.id(\"table\")`";
            self.diagnostics.push(Diagnostic::new("no_reference", pointer, message).with_hint(hint));
            return None;
        };
        match reference {
            Reference::New(values) if !values.contains_key(name) => {
                let message = format!("column `{name}` gets no value, so it refers to no row");
                let hint = format!("add `{name} = arg(\"{name}\")` to the values");
                self.diagnostics.push(Diagnostic::new("missing_value", pointer, message).with_hint(hint));
                return None;
            }
            Reference::There(Some(values)) if values.contains_key(name) => {
                let message =
                    format!("column `{name}` is changed, so it refers to one row before and to another after");
                let hint = format!("leave `{name}` out of the values, or out of `when`");
                self.diagnostics.push(Diagnostic::new("ambiguous_condition", pointer, message).with_hint(hint));
                return None;
            }
            Reference::New(_) | Reference::There(_) => {}
        }
        let referred = self.ground.table(referred, pointer, self.diagnostics)?;
        let filter = filters::filter(self.ground, referred, filter, pointer, self.arguments, self.diagnostics)?;
        Some(Referred { column: column.name.clone(), table: referred.name.clone(), filter })
    }

    /// Whether the conditions together are no more than one filter may be.
    fn few(&mut self, row: &[Filter], referred: &[Referred], pointer: &str) -> bool {
        let comparisons: usize = row.iter().chain(referred.iter().map(|of| &of.filter)).map(comparisons).sum();
        if comparisons > FILTER_COMPARISONS_MAX {
            let message =
                format!("the conditions have {comparisons} comparisons; at most {FILTER_COMPARISONS_MAX} are accepted");
            let hint = "compare one column with many values by `in`";
            self.diagnostics.push(Diagnostic::new("filter_too_large", pointer, message).with_hint(hint));
        }
        comparisons <= FILTER_COMPARISONS_MAX
    }
}

/// Whether a write changes or meets rows that are there, and what its references refer by; `None` for reads.
fn parts(body: &definition::Body) -> Option<(bool, Reference<'_>)> {
    match body {
        definition::Body::InsertRow { values, on_conflict, .. }
        | definition::Body::InsertRows { values, on_conflict, .. } => {
            Some((*on_conflict == OnConflict::Update, Reference::New(values)))
        }
        definition::Body::UpsertRow { values, .. } => Some((true, Reference::New(values))),
        definition::Body::PatchRow { values, .. } | definition::Body::PatchRows { values, .. } => {
            Some((true, Reference::There(Some(values))))
        }
        definition::Body::DeleteRow { .. } | definition::Body::DeleteRows { .. } => {
            Some((true, Reference::There(None)))
        }
        definition::Body::QueryRows { .. }
        | definition::Body::GetRow { .. }
        | definition::Body::CountRows { .. }
        | definition::Body::AggregateRows { .. } => None,
    }
}

/// Complains about each argument of a write's conditions that a call may leave out, or that differs
/// from row to row where a condition is asked once.
pub(super) fn needed(
    body: &Body,
    when: &When,
    arguments: &[Argument],
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let filters = when.row.iter().chain(when.referred.iter().map(|of| &of.filter));
    let conditions =
        filters.map(|filter| ("when", filter)).chain(written(body).into_iter().map(|filter| ("filter", filter)));
    for (member, filter) in conditions {
        let pointer = pointer_to(pointer, member);
        let mut places = Vec::new();
        sources(filter, &mut places);
        for argument in places.iter().filter_map(|place| arguments.get(*place)) {
            let name = &argument.name;
            if body.rows().is_some() {
                let message = format!("argument `{name}` is of each row, and the condition is asked once for all rows");
                let hint = "compare with a literal, with `identity(…)` or with `now()`";
                diagnostics.push(Diagnostic::new("misplaced_argument", pointer.as_str(), message).with_hint(hint));
            } else if argument.absence == Absence::Dropped {
                let message = if member == "when" {
                    format!("argument `{name}` cannot be optional: without it the condition would ask less")
                } else {
                    format!("argument `{name}` cannot be optional: without it more rows would be written")
                };
                let hint = "leave `optional` out, or give the argument a default";
                diagnostics.push(Diagnostic::new("argument_needed", pointer.as_str(), message).with_hint(hint));
            }
        }
    }
}

/// Which rows a function writes.
fn written(body: &Body) -> Option<&Filter> {
    match body {
        Body::PatchRows { filter, .. } | Body::DeleteRows { filter, .. } => Some(filter),
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. } => None,
    }
}

fn sources(filter: &Filter, places: &mut Vec<usize>) {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().for_each(|part| sources(part, places)),
        Filter::Negate(part) => sources(part, places),
        Filter::Compare { value: Source::Argument(place), .. } if !places.contains(place) => places.push(*place),
        Filter::Compare { .. } => {}
    }
}

fn comparisons(filter: &Filter) -> usize {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().map(comparisons).sum(),
        Filter::Negate(part) => comparisons(part),
        Filter::Compare { .. } => 1,
    }
}
