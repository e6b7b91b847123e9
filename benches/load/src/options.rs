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
    /// What to run, such as `select,list`; `none` with --growth alone.
    #[arg(long, value_name = "WORKLOADS", default_value_t)]
    pub(crate) only: WorkloadList,
    /// Then how the figures change with more extensions, rows and idle connections; `all` goes on to 10,000
    /// extensions and 10,000,000 rows.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "usual")]
    pub(crate) growth: Option<Growth>,
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

/// How far curves go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Growth {
    /// A point or two of each curve: shows that it works.
    Quick,
    /// In some minutes.
    Usual,
    /// With the last and largest, which take long and many gigabytes.
    All,
}

impl Growth {
    /// The points of `all` to try, of which the quick ones are the first `quick` and the usual ones `usual`.
    pub(crate) fn of<T>(self, all: &[T], quick: usize, usual: usize) -> &[T] {
        let count = match self {
            Growth::Quick => quick,
            Growth::Usual => usual,
            Growth::All => all.len(),
        };
        all.get(..count).unwrap_or(all)
    }
}

/// Workloads by their names, with commas between; `none` are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkloadList(pub(crate) Vec<Workload>);

impl Default for WorkloadList {
    fn default() -> WorkloadList {
        WorkloadList(Workload::ALL.into())
    }
}

impl std::fmt::Display for WorkloadList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.iter().map(|workload| workload.as_str()).collect::<Vec<_>>().join(","))
    }
}

impl FromStr for WorkloadList {
    type Err = String;

    fn from_str(text: &str) -> Result<WorkloadList, String> {
        let names = text.split(',').map(str::trim).filter(|name| *name != "none");
        names
            .map(|name| Workload::from_str(name, false))
            .collect::<Result<_, _>>()
            .map(WorkloadList)
            .map_err(|_| format!("`{text}` are no workloads; expected `none` or of `{}`", WorkloadList::default()))
    }
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

    /// How far the curves go, where they are wanted; a smoke run tries a few points alone.
    pub(crate) fn curves(&self) -> Option<Growth> {
        self.growth.map(|growth| if self.quick { Growth::Quick } else { growth })
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
        let only = |text: &str| text.parse::<WorkloadList>().map(|list| list.0);
        assert_eq!(only("list,select").unwrap(), [Workload::List, Workload::Select]);
        assert_eq!(only("none").unwrap(), []);
        assert!(only("delete").unwrap_err().starts_with("`delete` are no workloads"));
        let growth = |arguments: &[&str]| Options::parse_from(arguments).growth;
        assert_eq!(growth(&["rowgate-load", "--growth", "--quick"]), Some(Growth::Usual));
        assert_eq!(growth(&["rowgate-load", "--growth", "all"]), Some(Growth::All));
        assert_eq!(growth(&["rowgate-load"]), None);
        assert!(parsed("express").unwrap_err().starts_with("`express` are no peers"));
        let options = Options::parse_from(["rowgate-load", "--connections", "32,1", "--peers", "fastify"]);
        assert_eq!((options.connections, options.peers), (vec![32, 1], Some(PeerList(vec![Peer::Fastify]))));
    }
}
