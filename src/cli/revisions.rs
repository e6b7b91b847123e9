//! `rowgate revisions`, `rowgate rollback`: what was deployed of an extension, and the way back.

use std::path::Path;

use clap::Args;
use reqwest::Method;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::cli::admin::{listed, text};
use crate::cli::allow::Allow;
use crate::cli::apply::{Deployed, follow};
use crate::cli::bundle::must_be_folder;
use crate::cli::certificate::failed;
use crate::cli::output::{self, Style, counted};
use crate::cli::target::{Found, Target};
use crate::cli::{Failed, database, own_name};
use crate::config::Config;
use crate::deploy::apply::{ApplyError, Patience, Scans, Terms, apply};
use crate::deploy::bundle::read_bundle;
use crate::record;
use crate::registry::recall;

/// Print what was ever deployed of an extension, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate revisions                     # of the bundle here, by the gateway of ROWGATE_ADMIN_URL
  DATABASE_URL=postgres://… rowgate revisions 7d3f1c52-9a34-4a57-8e10-0c5b6d2f9a11 --json

DATABASE_URL goes first; without any of them it is the running `rowgate dev`.")]
pub(super) struct Revisions {
    /// The bundle's folder, or the extension's id
    #[arg(value_name = "EXTENSION", default_value = ".")]
    extension: String,
    /// Print them as JSON, with the statements of each
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
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
    target: Target,
}

pub(super) async fn run(options: &Revisions) -> Result<(), Failed> {
    let config = options.target.config()?;
    let id = named(&options.extension)?;
    let revisions = match options.target.find(&config)? {
        Found::Gateway(at) => {
            listed(at.ask(Method::GET, &["extensions", &id.to_string(), "revisions"], &[], None).await?)
        }
        Found::Database => {
            let client = database::open(&config.database).await?;
            let extension = deployed(&client, id).await?;
            let revisions = record::revisions(&client, id).await?;
            revisions.iter().map(|revision| revision.document(extension.revision)).collect()
        }
    };
    if options.json {
        return output::result(&serde_json::to_string_pretty(&revisions).unwrap_or_default());
    }
    let style = Style::of_stdout();
    let mut lines = String::new();
    for revision in &revisions {
        let is_current = revision.get("is_current").and_then(Value::as_bool).unwrap_or_default();
        let number = format!("{:4}", revision.get("revision").and_then(Value::as_i64).unwrap_or_default());
        let statements = revision.get("statements").and_then(Value::as_array).map_or(0, Vec::len);
        lines.push_str(&format!(
            "{}  {}  version {}, {}{}\n",
            if is_current { style.good(&number) } else { number },
            text(revision, "created_at"),
            text(revision, "version"),
            counted(statements, "statement"),
            if is_current { ", current" } else { "" },
        ));
    }
    output::result(&lines)
}

pub(super) async fn rollback(options: &Rollback) -> Result<(), Failed> {
    let config = options.target.config()?;
    let terms = options.allow.terms(Patience::default(), &config)?;
    let id = named(&options.extension)?;
    let deployed = match options.target.find(&config)? {
        Found::Gateway(at) => {
            let body = json!({ "to": options.to, "allow": terms.allowed });
            follow(&at, &["extensions", &id.to_string(), "rollback"], &body, None).await?
        }
        Found::Database => on_database(&config, id, options.to, terms).await?,
    };
    let Deployed { name, revision, .. } = &deployed;
    output::result(&if deployed.changed {
        format!(
            "{} of {name} is deployed: the definition of revision {}, {}",
            Style::of_stdout().good(&format!("revision {revision}")),
            deployed.former.unwrap_or_default(),
            counted(deployed.statements.len(), "statement")
        )
    } else {
        format!("nothing to do: revision {revision} of {name} is the same")
    })
}

async fn on_database(config: &Config, id: Uuid, to: Option<i64>, terms: Terms) -> Result<Deployed, Failed> {
    let mut client = database::open(&config.database).await?;
    let extension = deployed(&client, id).await?;
    let name = &extension.name;
    let revisions = record::revisions(&client, id).await?;
    let wanted = to.unwrap_or(extension.revision - 1);
    let Some(former) = revisions.iter().find(|revision| revision.revision == wanted) else {
        let message = match (to, extension.revision) {
            (None, 1) => format!("{name} has one revision alone; there is nothing to return to"),
            _ => format!("{name} has no revision {wanted}; `{} revisions` lists them", own_name()),
        };
        return Err(Failed::Because(message));
    };
    let model = recall(&former.definition).map_err(|diagnostics| {
        output::note(&output::complaints(&diagnostics, Style::of_stderr()));
        Failed::Because(format!("revision {wanted} of {name} is no sound definition for this version"))
    })?;
    let (definition, _) = read(&former.definition);
    // It was certified, or let pass, when it was deployed first.
    let terms = Terms { scans: Scans::Uncertified, ..terms };
    match apply(&mut client, &definition, &model, recall, &terms).await {
        Ok(applied) => Ok(Deployed {
            name: extension.name,
            revision: applied.revision,
            changed: applied.changed,
            statements: applied.statements,
            former: Some(wanted),
        }),
        Err(ApplyError::Refused(diagnostics)) => {
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            output::note("nothing was changed");
            Err(Failed::Said)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The extension's id, which is given or that of the bundle's folder.
fn named(given: &str) -> Result<Uuid, Failed> {
    if let Ok(id) = Uuid::parse_str(given) {
        return Ok(id);
    }
    must_be_folder(Path::new(given))?;
    let read = read_bundle(Path::new(given)).map_err(|diagnostics| {
        output::note(&output::complaints(&diagnostics, Style::of_stderr()));
        Failed::Said
    })?;
    Ok(read.definition.extension.id)
}

async fn deployed(client: &Client, id: Uuid) -> Result<record::Extension, Failed> {
    let extension = record::extension(client, id).await?;
    extension.ok_or_else(|| Failed::Because(format!("nothing is deployed of the extension {id}")))
}
