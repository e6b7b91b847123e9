//! `rowgate logs`: what handlers logged, and how those that failed did.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use crate::cli::output::{self, Style};
use crate::cli::state::DATA_DIR;
use crate::cli::{Failed, database, read_config};
use crate::record::lines::{Line, read};

/// Between two looks for new lines.
const POLL: Duration = Duration::from_millis(500);
/// Lines printed at once while following.
const FOLLOWED_MAX: i64 = 1_000;

/// Print what handlers logged, and how those that failed did
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate logs -f                       # of the running `rowgate dev`, as they come
  DATABASE_URL=postgres://… rowgate logs --install 0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c -n 20")]
pub(super) struct Logs {
    /// Go on with new lines as they come, until ctrl-c
    #[arg(short, long)]
    follow: bool,
    /// How many of the latest lines to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=1000))]
    lines: u16,
    /// The install whose lines to print; all of them unless given
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Logs) -> Result<(), Failed> {
    let settings = read_config(options.config.as_deref())?.database;
    let client = database::open_here(&settings, &options.data_dir).await?;
    let mut last = 0;
    let mut count = i64::from(options.lines);
    loop {
        for (number, line) in read(&client, options.install, last, count).await? {
            last = number;
            output::result(&if options.json { document(&line).to_string() } else { shown(&line) })?;
        }
        if !options.follow {
            return Ok(());
        }
        if last == 0 && count == 0 {
            // Nothing old was asked for: what comes from now on is new.
            last = read(&client, options.install, 0, 1).await?.first().map_or(0, |(number, _)| *number);
        }
        count = FOLLOWED_MAX;
        tokio::time::sleep(POLL).await;
    }
}

/// The time as text, to the millisecond.
fn time(line: &Line) -> String {
    jiff::Timestamp::try_from(line.at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

fn document(line: &Line) -> serde_json::Value {
    json!({
        "at": time(line),
        "level": line.level,
        "install_id": line.install_id,
        "function": line.function,
        "request_id": line.request_id,
        "file": line.file,
        "line": line.line,
        "message": line.message,
        "attributes": line.attributes,
    })
}

/// One line for people; a trace is set in below.
fn shown(line: &Line) -> String {
    let style = Style::of_stdout();
    let level = format!("{:5}", line.level);
    let level = if line.level == "info" { style.good(&level) } else { style.bad(&level) };
    let place = line.file.as_deref().zip(line.line).map_or_else(String::new, |(file, line)| format!(" {file}:{line}"));
    let mut text = format!("{} {level} {}{}  ", time(line), style.strong(&line.function), style.faint(&place));
    text.push_str(&line.message.replace('\n', "\n    "));
    for more in [&line.attributes, &line.request_id].into_iter().flatten() {
        text.push_str(&style.faint(&format!("  {more}")));
    }
    text
}
