//! `rowgate import`: brings what `rowgate export` wrote into an install.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::io::BufReader;
use uuid::Uuid;

use crate::cli::export::database_of;
use crate::cli::output::{self, Style, counted};
use crate::cli::state::DATA_DIR;
use crate::cli::{Failed, database};
use crate::lifecycle::import::{ImportError, Terms, import};

/// Bring rows that `rowgate export` wrote into an install, all of them or none
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  DATABASE_URL=postgres://… rowgate import 0190a5c8-… rows.jsonl
  rowgate export 0190a5c8-… | rowgate import 0190a5c9-… --new-ids

Everything that is wrong with the file is told by its line, and nothing is changed then.")]
pub(super) struct Import {
    /// The install's id
    #[arg(value_name = "INSTALL")]
    install: Uuid,
    /// The file; standard input where none is named
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Add to rows that are there already; none of them is changed
    #[arg(long)]
    merge: bool,
    /// Give each row another id, and lead references to it
    #[arg(long)]
    new_ids: bool,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "CONFIG", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Import) -> Result<(), Failed> {
    let mut client = database::open(&database_of(options.config.as_deref(), &options.data_dir)?).await?;
    let terms = Terms { merge: options.merge, new_ids: options.new_ids };
    let input = BufReader::with_capacity(1 << 16, opened(options.file.as_deref()).await?);
    match import(&mut client, options.install, terms, input).await {
        Ok(counts) => {
            let rows = usize::try_from(counts.values().sum::<u64>()).unwrap_or(usize::MAX);
            output::note(&format!("{} of {} came in", counted(rows, "row"), counted(counts.len(), "table")));
            Ok(())
        }
        Err(ImportError::Refused(complaints)) => {
            let (style, file) = (Style::of_stderr(), options.file.as_deref().map(Path::display));
            let file = file.map_or_else(|| "standard input".to_owned(), |file| file.to_string());
            for complaint in &complaints {
                output::note(&format!("{file}:{}: {} {}", complaint.line, style.bad("error:"), complaint.message));
            }
            output::note(&format!("{}; nothing was changed", counted(complaints.len(), "complaint")));
            Err(Failed::Said)
        }
        Err(error) => Err(error.into()),
    }
}

/// The file, or standard input where none is named.
async fn opened(file: Option<&Path>) -> Result<tokio::fs::File, Failed> {
    let Some(file) = file else {
        let stdin = std::io::stdin().as_fd().try_clone_to_owned();
        let stdin = stdin.map_err(|error| Failed::Because(format!("cannot read standard input: {error}")))?;
        return Ok(tokio::fs::File::from_std(stdin.into()));
    };
    let opened = tokio::fs::File::open(file).await;
    opened.map_err(|error| Failed::Because(format!("cannot read {}: {error}", file.display())))
}
