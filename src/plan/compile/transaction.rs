//! A transaction: a plan for each step, and which of them can be sent together.
//!
//! A step that is bound to an earlier one's row is sent when that one was answered. The id of a new row is made
//! before the row is, so a step that takes nothing else from it need not wait.

use rowgate_schema_dsl::function::{Body, Conflict, Function, Step};
use rowgate_schema_dsl::model::{Model, Table};

use crate::plan::answer::Shape;
use crate::plan::argument::Arguments;
use crate::plan::compile::{CompileError, compile};
use crate::plan::statement::Binding;
use crate::plan::{Plan, PlanStep};

pub(super) fn plan(model: &Model, table: &Table, function: &Function, steps: &[Step]) -> Result<Plan, CompileError> {
    let mut compiled: Vec<PlanStep> = Vec::with_capacity(steps.len());
    let (mut together_from, mut lists) = (0, 0);
    for (place, Step { name, function: step }) in steps.iter().enumerate() {
        let plan = compile(model, step)?;
        let waits = compiled.last().is_some_and(|before| settles_late(&before.plan))
            || asks(&plan, &|of, column| {
                of >= together_from && !compiled.get(of).is_some_and(|of| of.makes_row && column == "id")
            });
        if waits {
            together_from = place;
        }
        let list = step.body.rows().map(|_| lists);
        lists += usize::from(list.is_some());
        let makes_row = matches!(&step.body, Body::InsertRow { conflict: Conflict::Error, .. });
        let takes = if list.is_some() { Vec::new() } else { takes(&plan) };
        compiled.push(PlanStep { name: name.as_str().into(), plan, waits, makes_row, takes, list });
    }
    let of_rows = steps.iter().filter_map(|step| Some((step.name.as_str(), step.function.body.rows()?)));
    Ok(Plan {
        access: function.access,
        kind: function.body.word(),
        writes: true,
        scans: false,
        table: table.name.as_str().into(),
        rows_max: None,
        bytes_max: None,
        scope: table.scope,
        arguments: Arguments::new(&function.arguments).with_lists(of_rows),
        optional: Vec::new(),
        variants: Vec::new(),
        guard: None,
        repeats_when_empty: false,
        empty_is_conflict: false,
        needs_one_of: Vec::new(),
        accepted_rows_max: None,
        unmet: None,
        steps: compiled,
        shape: Shape::Steps,
        constraints: Vec::new(),
    })
}

/// Whether it may take a second statement to know what became of it.
fn settles_late(plan: &Plan) -> bool {
    plan.repeats_when_empty || plan.guard.as_ref().is_some_and(|guard| guard.argument.is_some())
}

/// Whether something is bound to a column of an earlier step that `is_it`.
fn asks(plan: &Plan, is_it: &impl Fn(usize, &str) -> bool) -> bool {
    plan.statements()
        .flat_map(|statement| &statement.bindings)
        .any(|binding| matches!(binding, Binding::Row { step, column } if is_it(*step, column.as_str())))
}

/// The places of the arguments that the statements of `plan` are bound to, or are chosen by.
fn takes(plan: &Plan) -> Vec<usize> {
    let mut places = plan.needs_one_of.clone();
    places.extend(plan.guard.iter().filter_map(|guard| guard.argument));
    for binding in plan.statements().flat_map(|statement| &statement.bindings) {
        match binding {
            Binding::Argument(place)
            | Binding::ArgumentOr(place, _)
            | Binding::Pattern { argument: place, .. }
            | Binding::Element { argument: place, .. }
            | Binding::Given(place)
            | Binding::Version(Some(place)) => places.push(*place),
            Binding::Scope
            | Binding::NewId
            | Binding::RowIds
            | Binding::Rows { .. }
            | Binding::RowsGiven(_)
            | Binding::RowIdsGiven(_)
            | Binding::Cursor(_)
            | Binding::PageRows
            | Binding::Version(None)
            | Binding::Row { .. }
            | Binding::Identity { .. }
            | Binding::Literal(_) => {}
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}
