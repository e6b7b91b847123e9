//! Columns of rows of earlier steps, as values of later ones.

use crate::check::agreement;
use crate::check::arguments::{Arguments, StepRows, phrase};
use crate::check::functions::value_type;
use crate::check::ground::unknown;
use crate::check::operands::Target;
use crate::diagnostic::{Diagnostic, nearest, pointer_to};
use crate::function::Source;

/// The source that `column` of the row of `step` is for `target`.
pub(super) fn source(
    step: &str,
    column: &str,
    target: &Target,
    pointer: &str,
    arguments: &mut Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Source> {
    let what = &target.what;
    let at_step = pointer_to(pointer, "row");
    let Some(place) = arguments.earlier().iter().position(|earlier| earlier.name == step) else {
        diagnostics.push(not_earlier(step, &at_step, arguments));
        return None;
    };
    let known = arguments.earlier().get(place)?;
    let StepRows::One(table) = known.rows else {
        let message =
            format!("step `{step}` is a {}, which has no one row that {what} could be taken from", known.word);
        let hint = "take it from an insertRow, upsertRow, patchRow, deleteRow or getRow";
        diagnostics.push(Diagnostic::new("no_single_row", at_step, message).with_hint(hint));
        return None;
    };
    let table = table?;
    let Some(found) = table.column(column) else {
        let names = table.columns.iter().map(|column| column.name.as_str());
        let message =
            format!("column `{column}` does not exist in table `{}`, whose row step `{step}` has", table.name);
        diagnostics.push(unknown("unknown_column", &pointer_to(pointer, "column"), message, column, names, "columns"));
        return None;
    };
    let column_type = value_type(table, found);
    let is_stored_alike = column_type.storage() == target.column_type.storage();
    if !is_stored_alike || !agreement::takes(&target.column_type, &column_type) {
        let (is, takes) = (phrase(&column_type), phrase(&target.column_type));
        let message = format!("column `{column}` of step `{step}` is {is}, but {what} takes {takes}");
        diagnostics.push(Diagnostic::new("row_type", pointer, message).with_hint("take another column"));
        return None;
    }
    if found.optional && !target.nullable {
        let message = format!("column `{column}` of step `{step}` may be null, but {what} takes no null");
        let hint = "take a column that is not optional";
        diagnostics.push(Diagnostic::new("row_type", pointer, message).with_hint(hint));
        return None;
    }
    let column = found.name.clone();
    arguments.ask(place, &column);
    Some(Source::Row { step: place, column })
}

fn not_earlier(step: &str, pointer: &str, arguments: &Arguments<'_>) -> Diagnostic {
    if arguments.steps().is_empty() {
        let message = "`row` names a step of a transaction, and this function is none";
        let hint = "write the function as a step, `transaction({ step(\"name\", …), … })`";
        return Diagnostic::new("misplaced_row", pointer, message).with_hint(hint);
    }
    if arguments.steps().iter().any(|known| known.name == step) {
        let message = format!("step `{step}` does not come before this one, so its row is not known yet");
        return Diagnostic::new("later_step", pointer, message).with_hint("put the steps in their order");
    }
    let names = arguments.earlier().iter().map(|earlier| earlier.name);
    let message = format!("there is no step `{step}` before this one");
    let diagnostic = Diagnostic::new("unknown_step", pointer, message);
    match nearest(step, names.clone()) {
        Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
        None if arguments.earlier().is_empty() => diagnostic.with_hint("the first step has no row to take from"),
        None => {
            let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
            diagnostic.with_hint(format!("the steps before it are {}", names.join(", ")))
        }
    }
}
