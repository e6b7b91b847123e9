//! The command line: what to measure, for how long, against which binary.
//!
//! The defaults are the run that the project's figures are taken from; `--quick` is a smoke run
//! whose figures mean little. Nothing here is read from the environment.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::peer::Peer;
use crate::workload::Workload;

/// Drives real HTTP against the gateway and, in alternation, pgbench with the same SQL and two peers.
#[derive(Debug, Parser)]
#[command(name = "rowgate-load", version)]
pub(crate) struct Options {
    /// What to run, such as `select,list`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::ALL)]
    pub(crate) only: Vec<Workload>,
    /// Connections of the load client, and of pgbench. After the first of several, such as `32,1,128`,
    /// select, list, insert and patch alone are run, and no peers.
    #[arg(long, value_delimiter = ',', default_value = "32", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) connections: Vec<u16>,
    /// Measured seconds of each run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    /// How often pgbench, the gateway and the peers take turns; the medians are over these.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// One round of one second each: shows that everything works, in about a minute.
    #[arg(long, conflicts_with_all = ["seconds", "rounds"])]
    pub(crate) quick: bool,
    /// The gateway's binary; built from this workspace in release mode when not given.
    #[arg(long, value_name = "PATH")]
    pub(crate) gateway: Option<PathBuf>,
    /// Where the gateway keeps its Postgres; a folder in the temporary directory when not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// What to measure beside: `none`, or of `fastify,postgraphile`; both when not given and npm is there.
    #[arg(long, value_name = "PEERS")]
    pub(crate) peers: Option<PeerList>,
    /// Where the peers are installed, once; beside this program's build when not given.
    #[arg(long, value_name = "DIR")]
    pub(crate) peers_dir: Option<PathBuf>,
    /// Also writes every figure to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Also writes a page with tables and plots, such as `docs/performance.md`; plots go to a folder beside it.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Measures nothing: the page is of these earlier runs, as `--json` wrote them.
    #[arg(long, value_name = "FILES", value_delimiter = ',', requires = "report", conflicts_with = "json")]
    pub(crate) from: Vec<PathBuf>,
}

/// Peers by their names, with commas between; `none` are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerList(pub(crate) Vec<Peer>);

impl FromStr for PeerList {
    type Err = String;

    fn from_str(text: &str) -> Result<PeerList, String> {
        let names = text.split(',').map(str::trim).filter(|name| *name != "none");
        names.map(|name| Peer::from_str(name, false)).collect::<Result<_, _>>().map(PeerList).map_err(|_| {
            format!("`{text}` are no peers; expected `none`, `fastify`, `postgraphile` or `fastify,postgraphile`")
        })
    }
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

    pub(crate) fn measured_time(&self) -> Duration {
        Duration::from_secs(u64::from(self.run_s()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn peers_are_named_or_none() {
        let parsed = |text: &str| text.parse::<PeerList>().map(|list| list.0);
        assert_eq!(parsed("none").unwrap(), []);
        assert_eq!(parsed("postgraphile,fastify").unwrap(), [Peer::Postgraphile, Peer::Fastify]);
        assert!(parsed("express").unwrap_err().starts_with("`express` are no peers"));
        let options = Options::parse_from(["rowgate-load", "--connections", "32,1", "--peers", "fastify"]);
        assert_eq!((options.connections, options.peers), (vec![32, 1], Some(PeerList(vec![Peer::Fastify]))));
    }
}
