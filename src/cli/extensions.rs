//! `rowgate extensions`: what is deployed, and the removal of what nobody has installed.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use crate::cli::Failed;
use crate::cli::admin::{AdminAt, confirm, listed, text};
use crate::cli::installs::told;
use crate::cli::output::{self, counted};

/// List the extensions, and remove one that nobody has installed
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate extensions list
  rowgate extensions remove 6f1c2a54-…

The gateway is found by ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY.")]
pub(super) struct Extensions {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what is deployed: id, name, revision
    List(List),
    /// Remove an extension that has no installs, with its tables; asks for its name
    Remove(Remove),
}

#[derive(Debug, Args)]
struct List {
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: AdminAt,
}

#[derive(Debug, Args)]
struct Remove {
    /// The extension's id
    #[arg(value_name = "EXTENSION")]
    extension: Uuid,
    /// Do not ask for its name
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: AdminAt,
}

pub(super) async fn run(options: Extensions) -> Result<(), Failed> {
    match options.command {
        Command::List(List { json, at }) => {
            for extension in all(&at).await? {
                let revision = extension.get("revision").and_then(Value::as_i64).unwrap_or_default();
                let functions = extension.get("functions").and_then(Value::as_array).map_or(0, Vec::len);
                let (id, name) = (text(&extension, "id"), text(&extension, "name"));
                let functions = counted(functions, "function");
                let line = format!("{id}\t{name}\trevision {revision}\t{functions}");
                output::result(&if json { extension.to_string() } else { line })?;
            }
            Ok(())
        }
        Command::Remove(Remove { extension: id, yes, at }) => {
            let id = id.to_string();
            let known = all(&at).await?;
            let Some(extension) = known.iter().find(|extension| text(extension, "id") == id) else {
                return Err(Failed::Because(format!("there is no extension {id}; `rowgate extensions list` has all")));
            };
            let name = text(extension, "name");
            confirm(name, &format!("every table of {name} will be removed, and each of its revisions"), yes)?;
            let query = [("name", name.to_owned())];
            let receipt = at.ask(Method::DELETE, &["extensions", &id], &query, None).await?;
            output::result(&told(&receipt))
        }
    }
}

async fn all(at: &AdminAt) -> Result<Vec<Value>, Failed> {
    at.ask(Method::GET, &["extensions"], &[], None).await.map(listed)
}
