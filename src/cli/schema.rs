//! `rowgate schema`: the JSON Schema of the definition document.

use clap::Args;

use crate::cli::{Failed, output};

/// Print the JSON Schema of the definition, for editors and tools
#[derive(Debug, Args)]
#[command(after_help = "Example:
  rowgate schema > definition.schema.json     # then \"$schema\": \"./definition.schema.json\"")]
pub(super) struct Schema {}

pub(super) fn run() -> Result<(), Failed> {
    output::result(&serde_json::to_string_pretty(&rowgate_schema_dsl::definition::json_schema())?)
}
