//! Judges names: alone, beside their neighbours, and as the identifiers made from them.
//!
//! Postgres tells `Rules` and `rules` apart where they are quoted, people do not; so two names
//! that differ in case alone are one too many.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, pointer_to};
use crate::model::{Origin, Table};
use crate::name::{NAME_BYTES_MAX, Name, NameError, identifier};

/// The name `text` of a `what` such as `table`.
pub(crate) fn name(what: &str, text: &str, pointer: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Name> {
    let error = match Name::new(text) {
        Ok(name) => return Some(name),
        Err(error) => error,
    };
    let (code, hint) = match &error {
        NameError::Empty => ("empty_name", Some(format!("give the {what} a name"))),
        NameError::TooLong(_, _) => ("name_too_long", Some(format!("shorten it to {NAME_BYTES_MAX} bytes"))),
        NameError::Malformed(text) => {
            ("malformed_name", well_formed(text).map(|better| format!("call the {what} `{better}`")))
        }
    };
    let diagnostic = Diagnostic::new(code, pointer, error.to_string());
    diagnostics.push(match hint {
        Some(hint) => diagnostic.with_hint(hint),
        None => diagnostic,
    });
    None
}

/// Complains about each name that equals an earlier one when case is ignored. `names` come with
/// their kind, such as `index`, and their pointer.
pub(crate) fn distinct<'a>(
    names: impl IntoIterator<Item = (&'static str, &'a str, String)>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut first_by_folded: HashMap<String, (&'static str, &str)> = HashMap::new();
    for (what, text, pointer) in names {
        let Some((first_what, first)) = first_by_folded.get(&text.to_lowercase()) else {
            first_by_folded.insert(text.to_lowercase(), (what, text));
            continue;
        };
        let message = if *first == text {
            format!("{first_what} `{first}` and {what} `{text}` have the same name")
        } else {
            format!("{first_what} `{first}` and {what} `{text}` differ in upper and lower case only")
        };
        diagnostics.push(Diagnostic::new("duplicate_name", pointer, message).with_hint("rename or remove one of them"));
    }
}

/// Complains about each identifier in the database that two parts of the model would share:
/// tables and indexes over the whole extension, constraints within their table.
pub(crate) fn identifiers(tables: &[Table], diagnostics: &mut Vec<Diagnostic>) {
    let mut relations = HashMap::new();
    for table in tables {
        let pointer = pointer_to("/tables", &table.name);
        let what = format!("table `{}`", table.name);
        claim(&mut relations, table.name.as_str().to_owned(), &what, &pointer, diagnostics);
    }
    for table in tables {
        let mut constraints = HashMap::new();
        let pointer = pointer_to("/tables", &table.name);
        let what = format!("the primary key of table `{}`", table.name);
        claim(&mut relations, table.primary_key_identifier(), &what, &pointer, diagnostics);
        constraints.insert(table.primary_key_identifier(), what);
        for index in &table.indexes {
            let kind = if index.unique { "unique rule" } else { "index" };
            let what = format!("{kind} `{}` of table `{}`", index.name, table.name);
            claim(&mut relations, table.index_identifier(index), &what, &pointer, diagnostics);
            constraints.insert(table.index_identifier(index), what);
        }
        if table.owner().is_some() {
            let what = format!("the index of the owners of table `{}`", table.name);
            claim(&mut relations, table.owner_index_identifier(), &what, &pointer, diagnostics);
        }
        for column in table.columns.iter().filter(|column| column.origin == Origin::Author) {
            let pointer = pointer_to(&pointer_to(&pointer, "columns"), &column.name);
            let what = format!("the check of column `{}`", column.name);
            claim(&mut constraints, table.check_identifier(column), &what, &pointer, diagnostics);
            if column.reference().is_some() {
                // Where no declared index leads with the reference, it gets one of this name.
                let index = identifier(&[table.name.as_str(), column.name.as_str(), "ref"]);
                let what = format!("the index of reference `{}` of table `{}`", column.name, table.name);
                claim(&mut relations, index, &what, &pointer, diagnostics);
                let what = format!("the reference of column `{}`", column.name);
                claim(&mut constraints, table.foreign_key_identifier(column), &what, &pointer, diagnostics);
            }
        }
    }
}

/// Text with U+0000 is refused wherever it would reach Postgres, which cannot hold it.
pub(crate) fn nul_character(what: &str, pointer: impl Into<String>) -> Diagnostic {
    Diagnostic::new("nul_character", pointer, format!("{what} holds the character U+0000, which Postgres cannot store"))
        .with_hint("remove the character")
}

fn claim(
    claimed: &mut HashMap<String, String>,
    identifier: String,
    what: &str,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let Some(first) = claimed.get(&identifier) {
        let message = format!("{first} and {what} would both be called `{identifier}` in the database");
        diagnostics.push(Diagnostic::new("identifier_collision", pointer, message).with_hint("rename one of them"));
    } else {
        claimed.insert(identifier, what.to_owned());
    }
}

/// `text` with `_` for what a name cannot hold, if that makes it one.
fn well_formed(text: &str) -> Option<String> {
    let replaced: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let trimmed = replaced.trim_matches(|c: char| c == '_' || c.is_ascii_digit());
    Name::new(trimmed).ok().map(|name| name.as_str().to_owned())
}
