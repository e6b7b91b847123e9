//! Resolves the names of tables and columns that an author mentions, or says what was meant.
//!
//! A name that the document declares, but whose declaration is itself broken, resolves to nothing
//! without a word: its declaration has been complained about already.

use crate::definition::Definition;
use crate::diagnostic::{Diagnostic, nearest};
use crate::model::{Column, Table};
use crate::name::OWNER_COLUMN;

/// What functions stand on: the document as written, and the tables as understood so far.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) tables: &'a [Table],
}

impl<'a> Ground<'a> {
    pub(crate) fn table(self, name: &str, pointer: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<&'a Table> {
        let found = self.tables.iter().find(|table| table.name == *name);
        if found.is_none() {
            declared_table(self.definition, name, pointer, diagnostics);
        }
        found
    }

    pub(crate) fn column(
        self,
        table: &'a Table,
        name: &str,
        pointer: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<&'a Column> {
        let declared = self.definition.tables.get(table.name.as_str());
        let is_declared = declared.is_some_and(|declared| declared.columns.contains_key(name));
        column(table.name.as_str(), &table.columns, is_declared, name, pointer, diagnostics)
    }
}

/// The table `name` as the author wrote it.
pub(crate) fn declared_table<'a>(
    definition: &'a Definition,
    name: &str,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'a crate::definition::Table> {
    let found = definition.tables.get(name);
    if found.is_none() {
        let names = definition.tables.keys().map(String::as_str);
        let message = format!("table `{name}` does not exist");
        diagnostics.push(unknown("unknown_table", pointer, message, name, names, "tables"));
    }
    found
}

/// The column `name` among `columns`; one that `is_declared` yet missing is broken.
pub(crate) fn column<'a>(
    table: &str,
    columns: &'a [Column],
    is_declared: bool,
    name: &str,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'a Column> {
    let found = columns.iter().find(|column| column.name == *name);
    if found.is_none() && !is_declared {
        let names = columns.iter().map(|column| column.name.as_str());
        let message = format!("column `{name}` does not exist in table `{table}`");
        diagnostics.push(if name == OWNER_COLUMN {
            let hint = format!("declare table `{table}` as `:owned()`");
            Diagnostic::new("unknown_column", pointer, message).with_hint(hint)
        } else {
            unknown("unknown_column", pointer, message, name, names, "columns")
        });
    }
    found
}

/// Names to choose from are listed while a reader can take them in at a glance.
const LISTED_MAX: usize = 12;

pub(crate) fn unknown<'a>(
    code: &'static str,
    pointer: &str,
    message: String,
    wrong: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    what: &str,
) -> Diagnostic {
    let diagnostic = Diagnostic::new(code, pointer, message);
    if let Some(near) = nearest(wrong, names.clone()) {
        return diagnostic.with_hint(format!("did you mean `{near}`?"));
    }
    let mut listed: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    listed.sort();
    match listed.len() {
        0 => diagnostic.with_hint(format!("there are no {what}; declare one first")),
        1..=LISTED_MAX => diagnostic.with_hint(format!("the {what} are {}", listed.join(", "))),
        _ => diagnostic,
    }
}
