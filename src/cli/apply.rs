//! `rowgate apply`: a bundle becomes the deployed one in `DATABASE_URL`.

use std::path::PathBuf;

use clap::Args;
use rowgate_schema_dsl::ddl::step::{Phase, Step};

use crate::cli::allow::Allow;
use crate::cli::bundle::{load, must_be_folder};
use crate::cli::certificate::failed;
use crate::cli::output::{self, Style, counted};
use crate::cli::state::DATA_DIR;
use crate::cli::{Failed, database, own_name, read_config};
use crate::config::Roles;
use crate::db::rights;
use crate::deploy::apply::{ApplyError, Patience, apply_watched};
use crate::registry::recall;

/// Deploy a bundle to the database in DATABASE_URL
#[derive(Debug, Args)]
#[command(after_help = "Example:
  DATABASE_URL=postgres://… rowgate apply my-extension --verbose

Gateways on the same database serve the new revision at once. Tables with many rows are changed while
their callers go on; `rowgate plan` prints how. What would delete values is refused until it is allowed by
name. Without DATABASE_URL the database is that of the running `rowgate dev`.")]
pub(super) struct Apply {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print each statement that ran
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    allow: Allow,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Apply) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let config = read_config(options.config.as_deref())?;
    let terms = options.allow.terms(Patience::default(), &config)?;
    let loaded = match load(&options.folder) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            return Err(Failed::Said);
        }
    };
    let mut client = database::open_here(&config.database, &options.data_dir).await?;
    if config.database.roles == Roles::PerExtension && !rights::missing(&client).await?.is_empty() {
        let typed = own_name();
        output::note(&format!("the wall between extensions does not hold yet; see `{typed} roles`"));
    }
    let name = &loaded.definition.extension.name;
    let mut watch = |step: &Step| {
        // The swap is over before it can be read of.
        if step.phase != Phase::Swap {
            output::note(&format!("{}: {}", step.phase.as_str(), step.subject));
        }
    };
    match apply_watched(&mut client, &loaded.definition, &loaded.model, recall, &terms, &mut watch).await {
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
        Err(ApplyError::Unfinished { revision, mut complaints }) => {
            loaded.source_map.place(&mut complaints);
            output::note(&output::complaints(&complaints, Style::of_stderr()));
            let typed = own_name();
            output::note(&format!(
                "revision {revision} is deployed; its rules hold for every new row, not yet for all that were there: \
                 mend those and run `{typed} apply` again"
            ));
            Err(Failed::Said)
        }
        Err(error) => Err(failed(error)),
    }
}
