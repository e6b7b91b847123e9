//! `rowgate apply`: a bundle becomes the deployed one in `DATABASE_URL`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::bundle::{load, must_be_folder};
use crate::cli::certificate::{AllowScan, failed};
use crate::cli::output::{self, Style, counted};
use crate::cli::{Failed, database, own_name, read_config};
use crate::config::Roles;
use crate::db::rights;
use crate::deploy::apply::{ApplyError, Patience, apply};
use crate::registry::recall;

/// Deploy a bundle to the database in DATABASE_URL
#[derive(Debug, Args)]
#[command(after_help = "Example:
  DATABASE_URL=postgres://… rowgate apply my-extension --verbose

Gateways on the same database serve the new revision at once.")]
pub(super) struct Apply {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print each statement that ran
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    allow_scan: AllowScan,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Apply) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let config = read_config(options.config.as_deref())?;
    let loaded = match load(&options.folder) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            return Err(Failed::Said);
        }
    };
    let mut client = database::open(&config.database).await?;
    if config.database.roles == Roles::PerExtension && !rights::missing(&client).await?.is_empty() {
        let typed = own_name();
        output::note(&format!("the wall between extensions does not hold yet; see `{typed} roles`"));
    }
    let terms = options.allow_scan.terms(Patience::default(), &config);
    let name = &loaded.definition.extension.name;
    match apply(&mut client, &loaded.definition, &loaded.model, recall, &terms).await {
        Ok(applied) if !applied.changed => {
            output::result(&format!("nothing to do: this is revision {} of {name} already", applied.revision))
        }
        Ok(applied) => {
            let mut text = format!(
                "{} of {name} is deployed: {}\n",
                Style::of_stdout().good(&format!("revision {}", applied.revision)),
                counted(applied.statements.len(), "statement")
            );
            if options.verbose {
                for statement in &applied.statements {
                    text.push_str(&format!("{statement};\n"));
                }
            }
            output::result(&text)
        }
        Err(ApplyError::Refused(mut diagnostics) | ApplyError::Costly(mut diagnostics)) => {
            loaded.source_map.place(&mut diagnostics);
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            output::note("nothing was changed");
            Err(Failed::Said)
        }
        Err(error) => Err(failed(error)),
    }
}
