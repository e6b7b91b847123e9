//! `rowgate revisions`, `rowgate rollback`: what was deployed of an extension, and the way back.

use std::path::{Path, PathBuf};

use clap::Args;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::cli::allow::Allow;
use crate::cli::certificate::failed;
use crate::cli::output::{self, Style, counted};
use crate::cli::state::DATA_DIR;
use crate::cli::{Failed, database, read_config};
use crate::deploy::apply::{ApplyError, Patience, Scans, Terms, apply};
use crate::deploy::bundle::read_bundle;
use crate::record;
use crate::registry::recall;

/// Print what was ever deployed of an extension, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate revisions                     # of the bundle here, in the running `rowgate dev`
  DATABASE_URL=postgres://… rowgate revisions 7d3f1c52-9a34-4a57-8e10-0c5b6d2f9a11 --json")]
pub(super) struct Revisions {
    /// The bundle's folder, or the extension's id
    #[arg(value_name = "EXTENSION", default_value = ".")]
    extension: String,
    /// Print them as JSON, with the statements of each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Deploy a former revision again, where no value is lost by it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate rollback                      # to the revision before the current one
  DATABASE_URL=postgres://… rowgate rollback my-extension --to 3

The former definition is deployed as a new revision: what it would delete has to be allowed by name, as
by `rowgate apply`. `rowgate revisions` lists them.")]
pub(super) struct Rollback {
    /// The bundle's folder, or the extension's id
    #[arg(value_name = "EXTENSION", default_value = ".")]
    extension: String,
    /// The revision to return to; the one before the current unless given
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    to: Option<i64>,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    place: Place,
}

/// Which database.
#[derive(Debug, Args)]
struct Place {
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Revisions) -> Result<(), Failed> {
    let config = read_config(options.place.config.as_deref())?;
    let client = database::open_here(&config.database, &options.place.data_dir).await?;
    let extension = deployed(&client, &options.extension).await?;
    let revisions = record::revisions(&client, extension.id).await?;
    if options.json {
        let revisions: Vec<_> = revisions
            .iter()
            .map(|revision| {
                json!({
                    "revision": revision.revision,
                    "is_current": revision.revision == extension.revision,
                    "created_at": time(revision),
                    "version": version(revision),
                    "statements": revision.statements,
                })
            })
            .collect();
        return output::result(&serde_json::to_string_pretty(&revisions).unwrap_or_default());
    }
    let style = Style::of_stdout();
    let mut text = String::new();
    for revision in &revisions {
        let is_current = revision.revision == extension.revision;
        let number = format!("{:4}", revision.revision);
        text.push_str(&format!(
            "{}  {}  version {}, {}{}\n",
            if is_current { style.good(&number) } else { number },
            time(revision),
            version(revision),
            counted(revision.statements.len(), "statement"),
            if is_current { ", current" } else { "" },
        ));
    }
    output::result(&text)
}

pub(super) async fn rollback(options: &Rollback) -> Result<(), Failed> {
    let config = read_config(options.place.config.as_deref())?;
    // It was certified, or let pass, when it was deployed first.
    let terms = Terms { scans: Scans::Uncertified, ..options.allow.terms(Patience::default(), &config)? };
    let mut client = database::open_here(&config.database, &options.place.data_dir).await?;
    let extension = deployed(&client, &options.extension).await?;
    let name = &extension.name;
    let to = options.to.unwrap_or(extension.revision - 1);
    let revisions = record::revisions(&client, extension.id).await?;
    let Some(former) = revisions.iter().find(|revision| revision.revision == to) else {
        let message = match (options.to, extension.revision) {
            (None, 1) => format!("{name} has one revision alone; there is nothing to return to"),
            _ => format!("{name} has no revision {to}; `{} revisions` lists them", super::own_name()),
        };
        return Err(Failed::Because(message));
    };
    let model = recall(&former.definition).map_err(|diagnostics| {
        output::note(&output::complaints(&diagnostics, Style::of_stderr()));
        Failed::Because(format!("revision {to} of {name} is no sound definition for this version"))
    })?;
    let (definition, _) = read(&former.definition);
    match apply(&mut client, &definition, &model, recall, &terms).await {
        Ok(applied) if !applied.changed => {
            output::result(&format!("nothing to do: revision {} of {name} is the same", applied.revision))
        }
        Ok(applied) => output::result(&format!(
            "{} of {name} is deployed: the definition of revision {to}, {}",
            Style::of_stdout().good(&format!("revision {}", applied.revision)),
            counted(applied.statements.len(), "statement")
        )),
        Err(ApplyError::Refused(diagnostics)) => {
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            output::note("nothing was changed");
            Err(Failed::Said)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The extension that `named` is the id of, or the bundle's folder.
async fn deployed(client: &Client, named: &str) -> Result<record::Extension, Failed> {
    let id = match Uuid::parse_str(named) {
        Ok(id) => id,
        Err(_) => {
            crate::cli::bundle::must_be_folder(Path::new(named))?;
            let read = read_bundle(Path::new(named)).map_err(|diagnostics| {
                output::note(&output::complaints(&diagnostics, Style::of_stderr()));
                Failed::Said
            })?;
            read.definition.extension.id
        }
    };
    let extension = record::extension(client, id).await?;
    extension.ok_or_else(|| Failed::Because(format!("nothing is deployed of the extension {id}")))
}

/// The version that its author gave it.
fn version(revision: &record::Revision) -> &str {
    revision.definition.pointer("/extension/version").and_then(Value::as_str).unwrap_or_default()
}

/// To the second.
fn time(revision: &record::Revision) -> String {
    jiff::Timestamp::try_from(revision.created_at).map_or_else(|_| String::new(), |at| format!("{at:.0}"))
}
