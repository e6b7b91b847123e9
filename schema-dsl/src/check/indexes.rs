//! Indexes and unique rules: their names, and the columns they are over.

use crate::check::{INDEX_COLUMNS_MAX, ground, names};
use crate::definition;
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::model::{Column, Index};
use crate::name::Name;

/// The indexes and unique rules of `declared`, those of `unique` columns too, sorted by name.
pub(crate) fn indexes(
    table: &str,
    declared: &definition::Table,
    columns: &[Column],
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Index> {
    let at_columns = pointer_to(pointer, "columns");
    let at_indexes = pointer_to(pointer, "indexes");
    let at_uniques = pointer_to(pointer, "uniques");
    let unique_columns = declared.columns.iter().filter(|(_, column)| column.unique).map(|(name, _)| name.as_str());
    let of_columns = unique_columns
        .clone()
        .map(|name| ("unique column", name, pointer_to(&pointer_to(&at_columns, name), "unique")));
    let of_indexes = declared.indexes.keys().map(|name| ("index", name.as_str(), pointer_to(&at_indexes, name)));
    let of_uniques = declared.uniques.keys().map(|name| ("unique rule", name.as_str(), pointer_to(&at_uniques, name)));
    names::distinct(of_columns.chain(of_indexes).chain(of_uniques), diagnostics);

    let mut indexes = Vec::new();
    for name in unique_columns {
        let pointer = pointer_to(&pointer_to(&at_columns, name), "unique");
        let column = columns.iter().find(|column| column.name == *name);
        if let Some(column) = column.filter(|column| is_indexable(column, "unique rule", &pointer, diagnostics)) {
            indexes.push(Index { name: column.name.clone(), columns: vec![column.name.clone()], unique: true });
        }
    }
    for (rules, what, at_rules, unique) in
        [(&declared.indexes, "index", &at_indexes, false), (&declared.uniques, "unique rule", &at_uniques, true)]
    {
        for (text, over) in rules {
            let pointer = pointer_to(at_rules, text);
            let name = names::name(what, text, &pointer, diagnostics);
            let over = over_columns(table, declared, columns, what, over, &pointer, diagnostics);
            indexes.extend(name.map(|name| Index { name, columns: over, unique }));
        }
    }
    indexes.sort_by(|a, b| a.name.cmp(&b.name));
    indexes
}

fn over_columns(
    table: &str,
    declared: &definition::Table,
    columns: &[Column],
    what: &str,
    over: &[String],
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Name> {
    if over.is_empty() {
        let message = format!("the {what} is over no column");
        diagnostics.push(Diagnostic::new("no_columns", pointer, message).with_hint("list its columns"));
    }
    if over.len() > INDEX_COLUMNS_MAX {
        let message = format!("the {what} is over {} columns; at most {INDEX_COLUMNS_MAX} are accepted", over.len());
        diagnostics.push(Diagnostic::new("too_many_columns", pointer, message).with_hint("keep those that tell most"));
    }
    let mut names: Vec<Name> = Vec::with_capacity(over.len());
    for (position, text) in over.iter().enumerate() {
        let pointer = pointer_to(pointer, position);
        let is_declared = declared.columns.contains_key(text);
        let Some(column) = ground::column(table, columns, is_declared, text, &pointer, diagnostics) else { continue };
        if names.contains(&column.name) {
            let message = format!("the {what} lists column `{text}` twice");
            diagnostics.push(Diagnostic::new("duplicate_column", pointer, message).with_hint("remove one"));
        } else if is_indexable(column, what, &pointer, diagnostics) {
            names.push(column.name.clone());
        }
    }
    names
}

fn is_indexable(column: &Column, what: &str, pointer: &str, diagnostics: &mut Vec<Diagnostic>) -> bool {
    if column.column_type.is_comparable() {
        return true;
    }
    let word = column.column_type.word();
    let message = format!("column `{}` is a document of type {word}; no {what} can be over it", column.name);
    let hint = "keep what you look for in a column of its own";
    diagnostics.push(Diagnostic::new("column_not_indexable", pointer, message).with_hint(hint));
    false
}
