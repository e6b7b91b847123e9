//! A bundle's folder, all the way to a model whose functions compile; or everything that is wrong.

use std::path::Path;

use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::{Diagnostic, SourceMap, pointer_to};
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use serde_json::Value;

use crate::cli::{Failed, own_name};
use crate::deploy::bundle::read_bundle;
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
    let bundle = read_bundle(folder);
    let mut complaints = bundle.diagnostics;
    let checked = check(&bundle.definition);
    let model = match checked {
        Ok(model) if complaints.is_empty() => {
            complaints.extend(not_compiled(&model));
            Some(model)
        }
        Ok(_) => None,
        Err(more) => {
            complaints.extend(more);
            None
        }
    };
    match model {
        Some(model) if complaints.is_empty() => {
            Ok(Loaded { definition: bundle.definition, model, source_map: bundle.source_map })
        }
        Some(_) | None => {
            bundle.source_map.place(&mut complaints);
            complaints.dedup();
            Err(complaints)
        }
    }
}

/// The model of a document that an earlier deploy recorded.
pub(super) fn recall(document: &Value) -> Result<Model, Vec<Diagnostic>> {
    let (definition, complaints) = read(document);
    if complaints.is_empty() { check(&definition) } else { Err(complaints) }
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
