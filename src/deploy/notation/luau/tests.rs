//! The notation as authors meet it: documents, complaints with their lines, hostile files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A snapshot is as long as what it shows.
#![allow(clippy::too_many_lines)]

mod documents;
mod hostile;
mod misuse;

use crate::deploy::notation::luau::{LuauFiles, Notation, Source, builders, read};
use crate::script::machine::BUILDERS;

fn source(name: &str, text: &str) -> Source {
    Source { name: format!("server/{name}.luau"), text: text.to_owned() }
}

fn read_schema(text: &str) -> Notation {
    read(&LuauFiles { schema: Some(source("schema", text)), ..LuauFiles::default() })
}

fn read_functions(text: &str) -> Notation {
    read(&LuauFiles { functions: Some(source("functions", text)), ..LuauFiles::default() })
}

/// Every complaint as `rowgate check` prints it, with its pointer behind.
fn complaints(notation: &Notation) -> String {
    let lines = notation.diagnostics.iter().map(|diagnostic| format!("{diagnostic}\n  at {}", diagnostic.pointer));
    lines.collect::<Vec<_>>().join("\n")
}

/// A file of handlers is run anew for each call, where a builder that is missing would be nil.
#[test]
fn each_builder_is_there_when_a_handler_runs() {
    let builders = builders::SERVED.into_iter();
    let kinds = ["query", "mutation", "action"];
    for name in builders.filter(|name| !name.contains('.') && !kinds.contains(name)) {
        assert!(BUILDERS.contains(&name), "`{name}` is nil where handlers run");
    }
}

/// An editor knows every builder by the file of types.
#[test]
fn each_builder_has_a_type_for_editors() {
    let types = include_str!("../../../../types/rowgate.d.luau");
    for name in builders::SERVED.into_iter().filter(|name| !name.contains('.')) {
        assert!(types.contains(&format!("declare function {name}(")), "`{name}` has no type");
    }
}
