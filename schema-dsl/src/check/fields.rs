//! The columns that a function answers with.

use crate::check::ground::Ground;
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::model::Table;
use crate::name::{Name, OWNER_COLUMN};

/// The `declared` columns of `table` as far as they are sound; every visible one where none is.
pub(crate) fn fields<'a>(
    ground: Ground<'a>,
    table: &'a Table,
    declared: &[String],
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Name> {
    if declared.is_empty() {
        return table.visible_columns().map(|column| column.name.clone()).collect();
    }
    let mut fields: Vec<Name> = Vec::with_capacity(declared.len());
    for (index, name) in declared.iter().enumerate() {
        let pointer = pointer_to(pointer, index);
        let Some(column) = ground.column(table, name, &pointer, diagnostics) else { continue };
        if column.private {
            let message = format!("column `{name}` is private: no declarative function answers with it");
            let hint = if column.name == OWNER_COLUMN {
                "leave it out; to show who it was, keep the user in a column of its own"
            } else {
                "leave it out, or make the column visible"
            };
            diagnostics.push(Diagnostic::new("private_column", pointer, message).with_hint(hint));
        } else if fields.contains(&column.name) {
            let message = format!("`fields` lists column `{name}` twice");
            diagnostics.push(Diagnostic::new("duplicate_column", pointer, message).with_hint("remove one"));
        } else {
            fields.push(column.name.clone());
        }
    }
    fields
}
