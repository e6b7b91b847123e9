//! `rowgate check`: everything that is wrong with a bundle, at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::Failed;
use crate::cli::bundle::{Loaded, load, must_be_folder};
use crate::cli::output::{self, Style, counted};

/// Print everything that is wrong with a bundle, each with its file and line
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate check my-extension
  rowgate check my-extension --json | jq .functions")]
pub(super) struct Check {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print the definition as JSON, or {"diagnostics": […]} where there are complaints
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Check) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    match load(&options.folder) {
        Ok(loaded) if options.json => output::result(&serde_json::to_string_pretty(&loaded.definition)?),
        Ok(loaded) => output::result(&summary(&loaded)),
        Err(diagnostics) => {
            if options.json {
                output::result(&serde_json::to_string_pretty(&json!({ "diagnostics": diagnostics }))?)?;
            } else {
                output::result(&output::complaints(&diagnostics, Style::of_stdout()))?;
            }
            Err(Failed::Said)
        }
    }
}

fn summary(loaded: &Loaded) -> String {
    let model = &loaded.model;
    let mut text = format!(
        "{}: {} {} has {} and {}\n",
        Style::of_stdout().good("no complaints"),
        model.extension.name,
        model.extension.version,
        counted(model.tables.len(), "table"),
        counted(model.functions.len(), "function"),
    );
    for table in &model.tables {
        let authored = table.columns.len().saturating_sub(4);
        text.push_str(&format!(
            "  table {}: {} per {}\n",
            table.name,
            counted(authored, "column"),
            table.scope.as_str()
        ));
    }
    text.push_str(&functions(loaded));
    text
}

/// A line for each function: name, kind, table, who may call it.
pub(super) fn functions(loaded: &Loaded) -> String {
    let functions = &loaded.model.functions;
    let width = functions.iter().map(|function| function.name.as_str().len()).max().unwrap_or(0);
    let table_width = functions.iter().map(|function| function.body.table().as_str().len()).max().unwrap_or(0);
    functions
        .iter()
        .map(|function| {
            format!(
                "  {:width$}  {:10}  {:table_width$}  {}\n",
                function.name.as_str(),
                function.body.word(),
                function.body.table().as_str(),
                function.access.as_str(),
            )
        })
        .collect()
}
