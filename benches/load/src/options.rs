//! The command line: what to measure, for how long, against which binary.
//!
//! The defaults are the run that the project's figures are taken from; `--quick` is a smoke run
//! whose figures mean little. Nothing here is read from the environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::workload::Workload;

/// Drives real HTTP against the gateway and, in alternation, pgbench with the same SQL.
#[derive(Debug, Parser)]
#[command(name = "rowgate-load", version)]
pub(crate) struct Options {
    /// What to run, such as `select,list`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::ALL)]
    pub(crate) only: Vec<Workload>,
    /// Connections of the load client, and of pgbench.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) connections: u16,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// How often pgbench and the gateway take turns; the medians are over these.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// One round of one second each: shows that everything works, in less than a minute.
    #[arg(long, conflicts_with_all = ["seconds", "rounds"])]
    pub(crate) quick: bool,
    /// The gateway's binary; built from this workspace in release mode when not given.
    #[arg(long, value_name = "PATH")]
    pub(crate) gateway: Option<PathBuf>,
    /// Where the gateway keeps its Postgres; a folder in the temporary directory when not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Also writes every figure to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Options {
    /// The measured seconds of one run.
    pub(crate) fn run_s(&self) -> u32 {
        if self.quick { 1 } else { self.seconds }
    }

    pub(crate) fn round_count(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Calls made before the clock starts, so that statements are prepared and plans are cached.
    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs(1)
    }
}
