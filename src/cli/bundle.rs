//! A bundle's folder, all the way to a model whose functions compile; or everything that is wrong.

use std::path::Path;

use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::{Diagnostic, SourceMap, pointer_to};
use rowgate_schema_dsl::model::Model;

use crate::cli::{Failed, own_name};
use crate::deploy::bundle::{BundleRead, read_bundle};
use crate::plan::compile::compile;

/// A bundle that can be deployed.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) definition: Definition,
    pub(super) model: Model,
    pub(super) source_map: SourceMap,
}

/// Refuses a path that is no folder, with what to do instead.
pub(super) fn must_be_folder(folder: &Path) -> Result<(), Failed> {
    let shown = folder.display();
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failed::Because(if folder.exists() {
        format!("`{shown}` is a file; expected the folder of a bundle, which holds extension.json")
    } else {
        format!("there is no folder `{shown}`; `{} init {shown}` makes one with a small bundle", own_name())
    }))
}

/// Reads, checks and compiles. Blocks its thread: Luau may run for a second.
pub(super) fn load(folder: &Path) -> Result<Loaded, Vec<Diagnostic>> {
    let BundleRead { definition, source_map, diagnostics: mut complaints, complete } = read_bundle(folder)?;
    match check(&definition) {
        Ok(model) => {
            complaints.extend(not_compiled(&model));
            if complaints.is_empty() {
                return Ok(Loaded { definition, model, source_map });
            }
        }
        Err(more) if complete || complaints.is_empty() => complaints.extend(more),
        // Most of these would be about the part that could not be read.
        Err(_) => {}
    }
    source_map.place(&mut complaints);
    Err(complaints)
}

/// A function that is sound but has no proven statement; there should be none.
fn not_compiled(model: &Model) -> Vec<Diagnostic> {
    model
        .functions
        .iter()
        .filter_map(|function| {
            let error = compile(model, function).err()?;
            let message = format!("function `{}` cannot be compiled: {error}", function.name);
            Some(Diagnostic::new("not_compiled", pointer_to("/functions", &function.name), message))
        })
        .collect()
}
