//! `rowgate export`: an install's rows as JSON lines.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rowgate_schema_dsl::definition::Scope;
use uuid::Uuid;

use crate::cli::output::{self, counted};
use crate::cli::state::{self, DATA_DIR};
use crate::cli::{Failed, database, read_config};
use crate::config;
use crate::lifecycle::export::{ExportError, export};

/// Write an install's rows as JSON lines
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  DATABASE_URL=postgres://… rowgate export 0190a5c8-… > rows.jsonl
  rowgate export 0190a5c8-… --with account > rows.jsonl   # of the running `rowgate dev`

The file holds every column, private ones too. `rowgate import` reads it.")]
pub(super) struct Export {
    /// The install's id
    #[arg(value_name = "INSTALL")]
    install: Uuid,
    /// Rows that are shared as well: of the account, the overlay, or the whole extension
    #[arg(long, value_name = "STORAGE")]
    with: Vec<Shared>,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shared {
    Account,
    Overlay,
    Global,
}

pub(super) async fn run(options: &Export) -> Result<(), Failed> {
    let mut client = database::open(&database_of(options.config.as_deref(), &options.data_dir)?).await?;
    let mut scopes = vec![Scope::Instance];
    for (shared, scope) in
        [(Shared::Account, Scope::Account), (Shared::Overlay, Scope::Overlay), (Shared::Global, Scope::Global)]
    {
        if options.with.contains(&shared) {
            scopes.push(scope);
        }
    }
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout());
    let counts = match export(&mut client, options.install, &scopes, &mut out).await {
        // Whoever read it has enough.
        Err(ExportError::Write(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
        other => other?,
    };
    out.flush().map_err(|error| Failed::Because(format!("cannot write to standard output: {error}")))?;
    let rows = usize::try_from(counts.values().sum::<u64>()).unwrap_or(usize::MAX);
    output::note(&format!("{} of {}", counted(rows, "row"), counted(counts.len(), "table")));
    Ok(())
}

/// The database of the configuration, or of the running `rowgate dev`.
pub(super) fn database_of(
    file: Option<&std::path::Path>,
    data_dir: &std::path::Path,
) -> Result<config::Database, Failed> {
    let settings = read_config(file)?.database;
    if settings.url.is_none()
        && let Some(running) = state::read_running(data_dir)?
    {
        return Ok(config::Database { url: Some(running.database_url), ..settings });
    }
    Ok(settings)
}
