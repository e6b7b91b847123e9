//! `rowgate apply`: a bundle becomes the deployed one, by a running gateway or in `DATABASE_URL`.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use rowgate_schema_dsl::ddl::step::{Phase, Step};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cli::admin::{AdminAt, text};
use crate::cli::allow::Allow;
use crate::cli::bundle::{Loaded, load, must_be_folder};
use crate::cli::certificate::failed;
use crate::cli::output::{self, Style, counted};
use crate::cli::target::{Found, Target};
use crate::cli::{Failed, database, own_name};
use crate::config::{Config, Roles};
use crate::db::rights;
use crate::deploy::apply::{ApplyError, Patience, Terms, apply_watched};
use crate::deploy::drift;
use crate::deploy::plan::Complaint;
use crate::registry::recall;

/// Deploy a bundle
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate apply my-extension            # by the gateway of ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY
  DATABASE_URL=postgres://… rowgate apply my-extension --verbose

Gateways on the same database serve the new revision at once. Tables with many rows are changed while
their callers go on; `rowgate plan` prints how. What would delete values is refused until it is allowed by
name. DATABASE_URL goes first, for the first deploy; without any of them it is the running `rowgate dev`.")]
pub(super) struct Apply {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print each statement that ran
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    target: Target,
}

/// What a deploy came to, as a gateway tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Deployed {
    pub(super) name: String,
    pub(super) revision: i64,
    pub(super) changed: bool,
    pub(super) statements: Vec<String>,
    /// The revision whose definition it is, where it is a former one.
    pub(super) former: Option<i64>,
}

pub(super) async fn run(options: &Apply) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let config = options.target.config()?;
    let terms = options.allow.terms(Patience::default(), &config)?;
    let loaded = match load(&options.folder) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            return Err(Failed::Said);
        }
    };
    let deployed = match options.target.find(&config)? {
        Found::Gateway(at) => {
            let allow_scan = terms.scans.allowed();
            let body = json!({ "definition": loaded.definition, "allow": terms.allowed, "allow_scan": allow_scan });
            follow(&at, &["apply"], &body, Some(&loaded)).await?
        }
        Found::Database => on_database(&config, &loaded, &terms).await?,
    };
    let name = &deployed.name;
    if !deployed.changed {
        return output::result(&format!("nothing to do: this is revision {} of {name} already", deployed.revision));
    }
    let mut said = format!(
        "{} of {name} is deployed: {}\n",
        Style::of_stdout().good(&format!("revision {}", deployed.revision)),
        counted(deployed.statements.len(), "statement")
    );
    if options.verbose {
        for statement in &deployed.statements {
            said.push_str(&format!("{statement};\n"));
        }
    }
    output::result(&said)
}

/// Has a gateway deploy, and prints what it tells as it goes.
pub(super) async fn follow(
    at: &AdminAt,
    path: &[&str],
    body: &Value,
    loaded: Option<&Loaded>,
) -> Result<Deployed, Failed> {
    let mut lines = at.lines(Method::POST, path, body).await?;
    while let Some(line) = lines.next().await? {
        if let Some(step) = line.get("step") {
            output::note(&format!("{}: {}", text(step, "phase"), text(step, "subject")));
        } else if let Some(complaint) = line.get("by_hand") {
            output::note(&format!("by hand: {}", read::<Complaint>(complaint)?));
        } else if let Some(applied) = line.get("applied") {
            return read(applied);
        } else if let Some(refused) = line.get("refused") {
            let complaints: Vec<Complaint> = read(refused.get("complaints").unwrap_or(&Value::Null))?;
            let count = complaints.len();
            for mut complaint in complaints {
                complaint.place = loaded.and_then(|loaded| loaded.source_map.locate(&complaint.pointer).cloned());
                output::note(&complaint.to_string());
            }
            output::note(&counted(count, "complaint"));
            let unfinished = refused.get("unfinished_revision").and_then(Value::as_i64);
            output::note(&unfinished.map_or_else(|| "nothing was changed".to_owned(), not_all_holds));
            return Err(Failed::Said);
        } else if let Some(failed) = line.get("failed") {
            let detail = text(failed, "detail").to_owned();
            let is_typed_wrong = text(failed, "code") == "arguments_invalid";
            return Err(if is_typed_wrong { Failed::Usage(detail) } else { Failed::Because(detail) });
        }
    }
    Err(Failed::Because(
        "the gateway went away before the deploy was over; the same command again tells what became of it".to_owned(),
    ))
}

fn read<T: DeserializeOwned>(told: &Value) -> Result<T, Failed> {
    serde_json::from_value(told.clone())
        .map_err(|_| Failed::Because("the gateway told something that this version cannot read".to_owned()))
}

async fn on_database(config: &Config, loaded: &Loaded, terms: &Terms) -> Result<Deployed, Failed> {
    let mut client = database::open(&config.database).await?;
    if config.database.roles == Roles::PerExtension && !rights::missing(&client).await?.is_empty() {
        let typed = own_name();
        output::note(&format!("the wall between extensions does not hold yet; see `{typed} roles`"));
    }
    for difference in drift::of_deployed(&mut client, loaded.definition.extension.id, recall).await? {
        output::note(&format!("by hand: {}", Complaint::from(difference)));
    }
    let mut watch = |step: &Step| {
        // The swap is over before it can be read of.
        if step.phase != Phase::Swap {
            output::note(&format!("{}: {}", step.phase.as_str(), step.subject));
        }
    };
    let applied = apply_watched(&mut client, &loaded.definition, &loaded.model, recall, terms, &mut watch).await;
    match applied {
        Ok(applied) => Ok(Deployed {
            name: loaded.definition.extension.name.clone(),
            revision: applied.revision,
            changed: applied.changed,
            statements: applied.statements,
            former: None,
        }),
        Err(ApplyError::Refused(mut diagnostics) | ApplyError::Costly(mut diagnostics)) => {
            loaded.source_map.place(&mut diagnostics);
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            output::note("nothing was changed");
            Err(Failed::Said)
        }
        Err(ApplyError::Unfinished { revision, mut complaints }) => {
            loaded.source_map.place(&mut complaints);
            output::note(&output::complaints(&complaints, Style::of_stderr()));
            output::note(&not_all_holds(revision));
            Err(Failed::Said)
        }
        Err(error) => Err(failed(error)),
    }
}

fn not_all_holds(revision: i64) -> String {
    format!(
        "revision {revision} is deployed; its rules hold for every new row, not yet for all that were there: mend \
         those and run `{} apply` again",
        own_name()
    )
}
