//! Transactions: each step read like a function, with what it may know of those before it.

use crate::check::arguments::{Arguments, StepRow, StepRows};
use crate::check::functions::{Reading, conditions, must_be_owned};
use crate::check::ground::Ground;
use crate::check::names;
use crate::definition::{self, Role};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Body, Function, Step, TRANSACTION_STEPS_MAX, When};
use crate::model::Table;
use crate::name::Name;

/// A step while the others are read.
struct Read {
    name: Option<Name>,
    body: Option<Body>,
    when: Option<When>,
}

/// The transaction `text` of these steps; `None` where one is broken.
pub(super) fn transaction<'a>(
    ground: Ground<'a>,
    text: &'a str,
    declared: &'a definition::Function,
    steps: &'a [definition::Step],
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Function> {
    let pointer = pointer_to("/functions", text);
    let name = names::name("function", text, &pointer, diagnostics);
    let at_steps = pointer_to(&pointer, "steps");
    if steps.is_empty() || steps.len() > TRANSACTION_STEPS_MAX {
        let message = format!("a transaction has 1 to {TRANSACTION_STEPS_MAX} steps, got {}", steps.len());
        let hint = if steps.is_empty() { "name what is to happen" } else { "write many rows of a table by insertRows" };
        diagnostics.push(Diagnostic::new("step_count", at_steps, message).with_hint(hint));
        return None;
    }
    let places: Vec<String> = (0..steps.len()).map(|index| pointer_to(&at_steps, index)).collect();
    let functions: Vec<String> = places.iter().map(|at| pointer_to(at, "function")).collect();
    let named = steps.iter().zip(&places).map(|(step, at)| ("step", step.name.as_str(), pointer_to(at, "name")));
    names::distinct(named, diagnostics);
    // The rows of an insertRows have arguments of their own.
    let is_many = |step: &definition::Step| matches!(step.function.body, definition::Body::InsertRows { .. });
    let shared: Vec<(&definition::Function, &str)> = steps
        .iter()
        .zip(&functions)
        .filter(|(step, _)| !is_many(step))
        .map(|(step, at)| (&step.function, at.as_str()))
        .collect();
    let mut arguments = Arguments::of(&shared, ground.definition, diagnostics);
    arguments.within(rows(ground, steps));
    let mut lists = Vec::with_capacity(steps.len());
    let mut read = Vec::with_capacity(steps.len());
    for (place, ((step, at), at_function)) in steps.iter().zip(&places).zip(&functions).enumerate() {
        let name = names::name("step", &step.name, &pointer_to(at, "name"), diagnostics);
        let mut of_rows = is_many(step).then(|| {
            let mut of_rows = Arguments::of(&[(&step.function, at_function)], ground.definition, diagnostics);
            of_rows.within(rows(ground, steps));
            of_rows
        });
        if of_rows.is_some() && arguments.has(&step.name) {
            let message = format!("`{}` is an argument, and what the rows of this step are given by", step.name);
            let diagnostic = Diagnostic::new("reserved_argument", pointer_to(at, "name"), message);
            diagnostics.push(diagnostic.with_hint("give the step another name"));
        }
        must_serve(&step.function.body, at_function, diagnostics);
        must_be_owned(ground, &step.function, at_function, diagnostics);
        let known = of_rows.as_mut().unwrap_or(&mut arguments);
        known.at_step(place);
        let mut reading = Reading { ground, pointer: at_function, arguments: known, diagnostics };
        let body = reading.body(&step.function.body);
        let when = reading.when(&step.function);
        lists.push(of_rows);
        read.push(Read { name, body, when });
    }
    let asked: Vec<(usize, Name)> =
        lists.iter().flatten().chain([&arguments]).flat_map(|arguments| arguments.asked().to_vec()).collect();
    let arguments = arguments.resolve(text, &pointer, false, diagnostics);
    let access = declared.access.unwrap_or(Role::Editor);
    let mut whole = Vec::with_capacity(steps.len());
    for (place, ((Read { name, body, when }, of_rows), step)) in read.into_iter().zip(lists).zip(steps).enumerate() {
        let at = functions.get(place)?;
        let members = of_rows.map(|of_rows| of_rows.resolve(text, at, false, diagnostics));
        let (Some(name), Some(mut body), Some(when)) = (name, body, when) else { continue };
        conditions::needed(&body, &when, members.as_ref().unwrap_or(&arguments), at, diagnostics);
        let arguments = match (&mut body, members) {
            (Body::InsertRows { rows, .. }, Some(members)) => {
                rows.members = members;
                Vec::new()
            }
            (_, _) => arguments.clone(),
        };
        let kept = asked.iter().filter(|(step, _)| *step == place).map(|(_, column)| column.clone()).collect();
        let scan_allowed = step.function.scan == Some(definition::Scan::Allowed);
        let own = step.function.own;
        let function = Function { name: name.clone(), access, own, scan_allowed, arguments, when, kept, body };
        whole.push(Step { name, function });
    }
    let table = whole.first().map(|step| step.function.body.table().clone());
    let body = Body::Transaction { table: table?, steps: whole };
    if body.steps().len() < steps.len() {
        return None;
    }
    let (when, kept) = (When::default(), Vec::new());
    Some(Function { name: name?, access, own: false, scan_allowed: false, arguments, when, kept, body })
}

/// What each step has for those behind it.
fn rows<'a>(ground: Ground<'a>, steps: &'a [definition::Step]) -> Vec<StepRow<'a>> {
    let table = |name: &str| -> Option<&'a Table> { ground.tables.iter().find(|table| table.name == *name) };
    let of = |step: &'a definition::Step| {
        let body = &step.function.body;
        let rows = match body {
            definition::Body::InsertRow { .. }
            | definition::Body::UpsertRow { .. }
            | definition::Body::PatchRow { .. }
            | definition::Body::DeleteRow { .. }
            | definition::Body::GetRow { .. } => StepRows::One(table(body.table())),
            definition::Body::InsertRows { .. }
            | definition::Body::PatchRows { .. }
            | definition::Body::DeleteRows { .. }
            | definition::Body::QueryRows { .. }
            | definition::Body::CountRows { .. }
            | definition::Body::AggregateRows { .. }
            | definition::Body::Transaction { .. } => StepRows::Other,
        };
        StepRow { name: &step.name, word: body.word(), rows }
    };
    steps.iter().map(of).collect()
}

/// Refuses what has no place among writes.
fn must_serve(body: &definition::Body, pointer: &str, diagnostics: &mut Vec<Diagnostic>) {
    let refused = match body {
        definition::Body::QueryRows { .. }
        | definition::Body::CountRows { .. }
        | definition::Body::AggregateRows { .. }
        | definition::Body::Transaction { .. } => {
            Some((format!("{} cannot be a step of a transaction", body.word()), "call it beside the transaction"))
        }
        definition::Body::GetRow { expand, .. } if !expand.is_empty() => {
            Some(("a getRow that is a step has no `expand`".to_owned(), "leave `expand` out"))
        }
        definition::Body::GetRow { .. }
        | definition::Body::InsertRow { .. }
        | definition::Body::InsertRows { .. }
        | definition::Body::UpsertRow { .. }
        | definition::Body::PatchRow { .. }
        | definition::Body::PatchRows { .. }
        | definition::Body::DeleteRow { .. }
        | definition::Body::DeleteRows { .. } => None,
    };
    if let Some((message, hint)) = refused {
        diagnostics.push(Diagnostic::new("misplaced_step", pointer_to(pointer, "kind"), message).with_hint(hint));
    }
}
