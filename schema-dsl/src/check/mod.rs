//! Definition to model: every complaint about a definition at once, or the sound model.
//!
//! `tables` and `functions` walk the document in the author's order; each rule is judged in one
//! place, and what is broken stays in view for the rest, so that one slip gives one diagnostic.
//! Pointers lead into the document that [`Definition`] serialises to. Nothing here knows of files
//! and lines, of Postgres's catalog, or of what was deployed before.
//!
//! A decision worth knowing: a declarative function never lets a caller probe a private column.
//! No order may use one, and no condition may, but for `=` with a fact about the caller.

mod agreement;
mod arguments;
mod fields;
mod filters;
mod functions;
mod ground;
mod handlers;
mod indexes;
mod names;
mod operands;
pub mod outside;
mod pages;
mod tables;
mod types;

pub use crate::check::handlers::{SOURCE_BYTES_MAX, SOURCES_MAX};

use crate::definition::{self, Definition, Extension, FORMAT};
use crate::diagnostic::Diagnostic;
use crate::function::Function;
use crate::model::{Model, postgres_schema};

/// Columns an author may declare in one table: a row of as many values must fit a Postgres page
/// of 8 KiB even when each of them is stored elsewhere and leaves 18 bytes behind.
pub const TABLE_COLUMNS_MAX: usize = 400;
/// Values of an enum: each call looks for its value among them, and a refusal lists them all.
pub const ENUM_VALUES_MAX: usize = 1_000;
/// Columns of an index: Postgres takes 32, the scope leads, and `id` ends it.
pub const INDEX_COLUMNS_MAX: usize = 30;

/// The model of `definition`, or all that is wrong with it in the document's order.
pub fn check(definition: &Definition) -> Result<Model, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    if definition.rowgate != FORMAT {
        let message = format!("format `{}` is not known; expected `{FORMAT}`", definition.rowgate);
        diagnostics.push(Diagnostic::new("unknown_format", "/rowgate", message));
    }
    extension(&definition.extension, &mut diagnostics);
    outside::outside(&definition.extension, &mut diagnostics);
    let tables = tables::tables(definition, &mut diagnostics);
    let functions = functions::functions(definition, &tables, &mut diagnostics);
    let handlers = handlers::handlers(definition, &mut diagnostics);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    Ok(Model {
        extension: definition.extension.clone(),
        postgres_schema: postgres_schema(definition.extension.id),
        tables,
        functions,
        handlers,
        sources: definition.sources.iter().map(|(name, text)| (name.clone(), text.clone())).collect(),
    })
}

/// The function `name` over the tables of `model`, which `definition` became, or all that is wrong
/// with it.
pub fn check_function(
    definition: &Definition,
    model: &Model,
    name: &str,
    declared: &definition::Function,
) -> Result<Function, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let function = functions::one(definition, &model.tables, name, declared, &mut diagnostics);
    match function {
        Some(function) if diagnostics.is_empty() => Ok(function),
        Some(_) | None => Err(diagnostics),
    }
}

fn extension(extension: &Extension, diagnostics: &mut Vec<Diagnostic>) {
    for (member, text) in [("name", &extension.name), ("version", &extension.version)] {
        let pointer = format!("/extension/{member}");
        if text.trim().is_empty() {
            let message = format!("the extension's `{member}` is empty");
            diagnostics.push(
                Diagnostic::new("empty_name", pointer, message).with_hint(format!("give the extension a {member}")),
            );
        } else if text.contains('\0') {
            diagnostics.push(names::nul_character(&format!("the extension's `{member}`"), pointer));
        }
    }
}
