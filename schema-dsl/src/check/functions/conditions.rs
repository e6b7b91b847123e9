//! Conditions on what is written: an argument that is left out may not make it more.

use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Absence, Argument, Body, Filter, Source};

/// Complains about each argument of a write's conditions that a call may leave out.
pub(super) fn needed(body: &Body, arguments: &[Argument], pointer: &str, diagnostics: &mut Vec<Diagnostic>) {
    for (member, filter) in written(body) {
        let mut places = Vec::new();
        sources(filter, &mut places);
        for argument in places.iter().filter_map(|place| arguments.get(*place)) {
            if argument.absence == Absence::Dropped {
                let name = &argument.name;
                let message = format!("argument `{name}` cannot be optional: without it more rows would be written");
                let hint = "leave `optional` out, or give the argument a default";
                diagnostics
                    .push(Diagnostic::new("argument_needed", pointer_to(pointer, member), message).with_hint(hint));
            }
        }
    }
}

/// The filters of a function that writes, by the member that holds each.
fn written(body: &Body) -> Vec<(&'static str, &Filter)> {
    match body {
        Body::PatchRows { filter, .. } | Body::DeleteRows { filter, .. } => vec![("filter", filter)],
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. } => Vec::new(),
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
