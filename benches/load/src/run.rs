//! One run's figures as they are kept: every round of every workload, where and of what they were taken.
//!
//! This is the JSON that `--json` writes and that `--from` reads again; medians are made when asked for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::client::Drive;
use crate::peer::Peer;
use crate::pgbench::Outcome;
use crate::svg::Curve;
use crate::workload::Workload;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// As it was given, without the program's folder.
    pub(crate) command: String,
    /// Of UTC, as `2026-01-31`.
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) versions: Versions,
    /// The settings of Postgres that the figures hang on.
    pub(crate) server: String,
    pub(crate) seconds: u32,
    pub(crate) sets: Vec<Set>,
    #[serde(default)]
    pub(crate) growth: Vec<Curve>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) gateway: String,
    pub(crate) postgres: String,
    /// Packages of the peers; none where no peer was driven.
    pub(crate) packages: BTreeMap<String, String>,
}

/// The workloads of one number of connections.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) connections: u16,
    pub(crate) workloads: Vec<Measured>,
}

/// All rounds of one workload.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) workload: Workload,
    pub(crate) sql: String,
    /// Whether the server showed `sql` as what the gateway ran.
    pub(crate) sql_seen: bool,
    pub(crate) rounds: Vec<Round>,
}

/// pgbench, then the gateway, then the peers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) pgbench: Outcome,
    pub(crate) gateway: Served,
    pub(crate) peers: BTreeMap<Peer, Served>,
}

/// One run against a server that speaks HTTP.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) calls_per_s: f64,
    /// CPU of the server's processes for each call.
    pub(crate) server_us: f64,
    pub(crate) postgres_us: f64,
    pub(crate) client_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Served {
    pub(crate) fn new(drive: &Drive) -> Served {
        let calls = drive.latencies.total() as f64;
        let per_call_us = |before: std::time::Duration, after: std::time::Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / calls
        };
        Served {
            calls_per_s: calls / drive.elapsed.as_secs_f64(),
            server_us: per_call_us(drive.before.server, drive.after.server),
            postgres_us: per_call_us(drive.before.postgres, drive.after.postgres),
            client_us: per_call_us(drive.before.own, drive.after.own),
            p50_us: drive.latencies.quantile_us(0.5),
            p99_us: drive.latencies.quantile_us(0.99),
        }
    }
}

impl Round {
    /// How much faster than pgbench the gateway is.
    pub(crate) fn ratio(&self) -> f64 {
        self.gateway.calls_per_s / self.pgbench.calls_per_s
    }

    /// How much faster than the peer the gateway is.
    pub(crate) fn ratio_to(&self, peer: Peer) -> f64 {
        self.peers.get(&peer).map_or(f64::NAN, |served| self.gateway.calls_per_s / served.calls_per_s)
    }
}

impl Measured {
    /// The median over the rounds; no number where there are none.
    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    pub(crate) fn median_of(&self, peer: Peer, of: impl Fn(&Served) -> f64) -> f64 {
        median(self.rounds.iter().filter_map(|round| round.peers.get(&peer)).map(of).collect())
    }

    /// The least and the greatest of the rounds.
    pub(crate) fn range(&self, of: impl Fn(&Round) -> f64) -> (f64, f64) {
        let all = self.rounds.iter().map(of);
        all.fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)))
    }

    /// Those that were driven in every round.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Peer> + '_ {
        let driven = |peer: &Peer| self.rounds.iter().all(|round| round.peers.contains_key(peer));
        Peer::ALL.into_iter().filter(move |peer| !self.rounds.is_empty() && driven(peer))
    }

    fn medians(&self) -> Value {
        let peers: BTreeMap<&str, Value> = self
            .peers()
            .map(|peer| {
                let median = json!({
                    "ratio": self.median(|round| round.ratio_to(peer)),
                    "calls_per_s": self.median_of(peer, |served| served.calls_per_s),
                    "server_us": self.median_of(peer, |served| served.server_us),
                    "postgres_us": self.median_of(peer, |served| served.postgres_us),
                    "p50_us": self.median_of(peer, |served| served.p50_us),
                    "p99_us": self.median_of(peer, |served| served.p99_us),
                });
                (peer.as_str(), median)
            })
            .collect();
        json!({
            "ratio": self.median(Round::ratio),
            "pgbench_calls_per_s": self.median(|round| round.pgbench.calls_per_s),
            "gateway_calls_per_s": self.median(|round| round.gateway.calls_per_s),
            "gateway_us": self.median(|round| round.gateway.server_us),
            "postgres_us": self.median(|round| round.gateway.postgres_us),
            "pgbench_postgres_us": self.median(|round| round.pgbench.postgres_us),
            "p50_us": self.median(|round| round.gateway.p50_us),
            "p99_us": self.median(|round| round.gateway.p99_us),
            "pgbench_latency_mean_us": self.median(|round| round.pgbench.latency_mean_us),
            "client_us": self.median(|round| round.gateway.client_us),
            "pgbench_client_us": self.median(|round| round.pgbench.client_us),
            "peers": peers,
        })
    }
}

impl Run {
    pub(crate) fn read(path: &Path) -> Result<Run, String> {
        let text = std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{} is not what --json writes: {error}", path.display()))
    }

    /// With the medians beside the rounds, for who reads it without this program.
    pub(crate) fn to_json(&self) -> Result<String, String> {
        let mut value = serde_json::to_value(self).map_err(|error| format!("the figures are no JSON: {error}"))?;
        for (at, set) in self.sets.iter().enumerate() {
            for (place, measured) in set.workloads.iter().enumerate() {
                let found = value.pointer_mut(&format!("/sets/{at}/workloads/{place}"));
                if let Some(workload) = found.and_then(Value::as_object_mut) {
                    workload.insert("function".to_owned(), json!(measured.workload.function()));
                    workload.insert("median".to_owned(), measured.medians());
                }
            }
        }
        Ok(format!("{value:#}\n"))
    }
}

impl Machine {
    /// From `/proc`; what it does not say is called unknown.
    pub(crate) fn read() -> Machine {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            text.lines().find_map(|line| Some(line.strip_prefix(name)?.split_once(':')?.1.trim().to_owned()))
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib = memory.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        Machine {
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            memory_mib: memory_kib >> 10,
        }
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A run of three rounds with round figures: the gateway answers half as many calls again as pgbench.
    pub(crate) fn sample() -> Run {
        let served = |calls_per_s: f64| Served {
            calls_per_s,
            server_us: 4e5 / calls_per_s,
            postgres_us: 10.0,
            client_us: 3.0,
            p50_us: 400.0,
            p99_us: 900.0,
        };
        let round = |workload: Workload, slower: f64| {
            let rate = 60_000.0 - slower;
            let pgbench = Outcome { calls_per_s: rate, latency_mean_us: 500.0, postgres_us: 20.0, client_us: 9.0 };
            let peers = Peer::ALL.into_iter().filter(|peer| peer.offers(workload));
            let peers = peers.map(|peer| match peer {
                Peer::Fastify => (peer, served(rate / 4.0)),
                Peer::Postgraphile => (peer, served(rate / 12.0)),
            });
            Round { pgbench, gateway: served(rate * 1.5), peers: peers.collect() }
        };
        let measured = |workload: Workload| Measured {
            workload,
            sql: "SELECT 1".to_owned(),
            sql_seen: true,
            rounds: [0.0, 5_000.0, 20_000.0].map(|slower| round(workload, slower)).into(),
        };
        Run {
            command: "rowgate-load --json run.json".to_owned(),
            date: "2026-01-31".to_owned(),
            machine: Machine {
                cores: 2,
                processor: "A processor".to_owned(),
                kernel: "Linux 6.1".to_owned(),
                memory_mib: 16_000,
            },
            versions: Versions {
                gateway: "rowgate 0.1.0".to_owned(),
                postgres: "PostgreSQL 15.18".to_owned(),
                packages: crate::peer::versions(),
            },
            server: "fsync on".to_owned(),
            seconds: 1,
            sets: vec![Set { connections: 32, workloads: Workload::ALL.map(measured).into() }],
            growth: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = sample().to_json().unwrap();
        let again: Run = serde_json::from_str(&text).unwrap();
        assert_eq!(again.to_json().unwrap(), text);
        let value: Value = serde_json::from_str(&text).unwrap();
        let median = value.pointer("/sets/0/workloads/0/median").unwrap();
        assert_eq!(median.get("ratio"), Some(&json!(1.5)));
        assert_eq!(median.get("pgbench_calls_per_s"), Some(&json!(55_000.0)));
        assert_eq!(median.pointer("/peers/fastify/ratio"), Some(&json!(6.0)));
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
