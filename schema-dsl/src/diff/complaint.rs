//! What an author is told of a change that nothing can make.

use crate::diagnostic::Diagnostic;
use crate::diff::{Change, type_words};

impl Change<'_> {
    /// The complaint about a change that no statement makes; `None` for all others, in whose way at most
    /// rows may stand.
    pub fn refusal(&self) -> Option<Diagnostic> {
        let Change::ChangeColumnType { table, column, before } = self else { return None };
        if self.conversion().is_some() {
            return None;
        }
        let message = format!(
            "the type of column `{}` of table `{}` changed from {} to {}, and no value of the one is exactly one of \
             the other",
            column.name,
            table.name,
            type_words(&before.column_type),
            type_words(&column.column_type)
        );
        let hint = "keep the type, or add a new column of the new type";
        Some(Diagnostic::new("change_refused", self.pointer(), message).with_hint(hint))
    }
}
