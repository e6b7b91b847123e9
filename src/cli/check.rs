//! `rowgate check`: everything that is wrong with a bundle, at once.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::bundle::{Loaded, load, must_be_folder};
use crate::cli::certificate::AllowScan;
use crate::cli::output::{self, Style, counted};
use crate::cli::{Failed, database};
use crate::config;

/// Print everything that is wrong with a bundle, each with its file and line
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate check my-extension
  rowgate check my-extension --json | jq .functions
  rowgate check my-extension --database-url postgres://…    # what each function costs, too")]
pub(super) struct Check {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print the definition as JSON, or {"diagnostics": […]} where there are complaints
    #[arg(long)]
    json: bool,
    /// Have this Postgres explain each function, and complain of those without bound; it is not changed
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    #[command(flatten)]
    allow_scan: AllowScan,
}

pub(super) async fn run(options: &Check) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let loaded = match (load(&options.folder), &options.database_url) {
        (Ok(loaded), Some(url)) => {
            let settings = config::Database { url: Some(url.clone()), ..config::Database::default() };
            let mut client = database::connect(&settings).await?;
            let refused = options.allow_scan.refusals(&mut client, &loaded).await?;
            if refused.is_empty() { Ok(loaded) } else { Err(refused) }
        }
        (loaded, _) => loaded,
    };
    match loaded {
        Ok(loaded) if options.json => output::result(&serde_json::to_string_pretty(&loaded.definition)?),
        Ok(loaded) => output::result(&summary(&loaded, options.database_url.is_some())),
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

/// `judged` says whether a Postgres told what the functions cost.
fn summary(loaded: &Loaded, judged: bool) -> String {
    let model = &loaded.model;
    let mut text = format!(
        "{}: {} {} has {} and {}\n",
        Style::of_stdout().good("no complaints"),
        model.extension.name,
        model.extension.version,
        counted(model.tables.len(), "table"),
        counted(model.functions.len() + model.handlers.len(), "function"),
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
    if !judged {
        text.push_str("what the functions cost was not judged: give a Postgres by `--database-url postgres://…`\n");
    }
    text
}

/// A line for each function: name, kind, table, who may call it; handlers have no table of their own.
pub(super) fn functions(loaded: &Loaded) -> String {
    let declared = loaded.model.functions.iter();
    let declared = declared.map(|function| {
        let (word, table) = (function.body.word(), function.body.table().as_str());
        [function.name.as_str(), word, table, function.access.as_str()]
    });
    let handlers = loaded.model.handlers.iter();
    let handlers = handlers.map(|handler| [handler.name.as_str(), handler.kind.as_str(), "", handler.access.as_str()]);
    let lines: Vec<[&str; 4]> = declared.chain(handlers).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.len()).max();
    let [name_width, word_width, table_width] = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    lines
        .iter()
        .map(|[name, word, table, access]| {
            format!("  {name:name_width$}  {word:word_width$}  {table:table_width$}  {access}\n")
        })
        .collect()
}
