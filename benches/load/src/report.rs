//! The figures, as a table for people and as JSON for machines.
//!
//! Every number is the median over the rounds; the ratio is the median of each round's own ratio,
//! because a noisy neighbour hits both runs of a round more alike than runs minutes apart.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::client::Drive;
use crate::pgbench::Outcome;
use crate::workload::Workload;

/// One run against the gateway.
pub(crate) struct Served {
    pub(crate) calls_per_s: f64,
    pub(crate) gateway_us: f64,
    pub(crate) postgres_us: f64,
    pub(crate) client_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// pgbench and then the gateway.
pub(crate) struct Round {
    pub(crate) pgbench: Outcome,
    pub(crate) served: Served,
}

/// All rounds of one workload.
pub(crate) struct Measured {
    pub(crate) workload: Workload,
    pub(crate) sql: String,
    /// Whether the server showed `sql` as what the gateway ran.
    pub(crate) sql_seen: bool,
    pub(crate) rounds: Vec<Round>,
}

impl Served {
    pub(crate) fn new(drive: &Drive) -> Served {
        let calls = drive.latencies.total() as f64;
        let per_call_us = |before: std::time::Duration, after: std::time::Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / calls
        };
        Served {
            calls_per_s: calls / drive.elapsed.as_secs_f64(),
            gateway_us: per_call_us(drive.before.gateway, drive.after.gateway),
            postgres_us: per_call_us(drive.before.postgres, drive.after.postgres),
            client_us: per_call_us(drive.before.own, drive.after.own),
            p50_us: drive.latencies.quantile_us(0.5),
            p99_us: drive.latencies.quantile_us(0.99),
        }
    }
}

impl Round {
    fn ratio(&self) -> f64 {
        self.served.calls_per_s / self.pgbench.calls_per_s
    }
}

impl Measured {
    fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        let upper = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
        let lower = values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
        f64::midpoint(lower, upper)
    }

    fn ratio_range(&self) -> (f64, f64) {
        let ratios = self.rounds.iter().map(Round::ratio);
        ratios.fold((f64::INFINITY, 0.0), |(low, high), ratio| (ratio.min(low), ratio.max(high)))
    }

    fn to_json(&self) -> Value {
        let rounds: Vec<Value> = self
            .rounds
            .iter()
            .map(|Round { pgbench, served }| {
                json!({
                    "pgbench": {
                        "calls_per_s": pgbench.calls_per_s, "latency_mean_us": pgbench.latency_mean_us,
                        "postgres_us": pgbench.postgres_us, "client_us": pgbench.client_us,
                    },
                    "gateway": {
                        "calls_per_s": served.calls_per_s, "gateway_us": served.gateway_us,
                        "postgres_us": served.postgres_us, "client_us": served.client_us,
                        "p50_us": served.p50_us, "p99_us": served.p99_us,
                    },
                })
            })
            .collect();
        json!({
            "workload": self.workload.as_str(),
            "function": self.workload.function(),
            "sql": self.sql,
            "sql_seen": self.sql_seen,
            "median": {
                "ratio": self.median(Round::ratio),
                "pgbench_calls_per_s": self.median(|round| round.pgbench.calls_per_s),
                "gateway_calls_per_s": self.median(|round| round.served.calls_per_s),
                "gateway_us": self.median(|round| round.served.gateway_us),
                "postgres_us": self.median(|round| round.served.postgres_us),
                "pgbench_postgres_us": self.median(|round| round.pgbench.postgres_us),
                "p50_us": self.median(|round| round.served.p50_us),
                "p99_us": self.median(|round| round.served.p99_us),
                "pgbench_latency_mean_us": self.median(|round| round.pgbench.latency_mean_us),
                "client_us": self.median(|round| round.served.client_us),
                "pgbench_client_us": self.median(|round| round.pgbench.client_us),
            },
            "rounds": rounds,
        })
    }
}

/// What people read.
pub(crate) fn table(all: &[Measured]) -> String {
    let mut text = String::from(
        "            calls/s               ratio              CPU µs per call                latency µs\n            \
         pgbench  gateway   median  min–max     gateway  Postgres  (pgbench)    p50    p99  (pgbench)   client \
         (pgbench)\n",
    );
    for measured in all {
        let (low, high) = measured.ratio_range();
        let _ = writeln!(
            text,
            "{:<10} {:>8.0} {:>8.0} {:>8.2}  {:>4.2}–{:<4.2}  {:>9.1} {:>9.1} {:>10.1} {:>6.0} {:>6.0} {:>10.0} {:>8.1} \
             {:>10.1}",
            measured.workload.as_str(),
            measured.median(|round| round.pgbench.calls_per_s),
            measured.median(|round| round.served.calls_per_s),
            measured.median(Round::ratio),
            low,
            high,
            measured.median(|round| round.served.gateway_us),
            measured.median(|round| round.served.postgres_us),
            measured.median(|round| round.pgbench.postgres_us),
            measured.median(|round| round.served.p50_us),
            measured.median(|round| round.served.p99_us),
            measured.median(|round| round.pgbench.latency_mean_us),
            measured.median(|round| round.served.client_us),
            measured.median(|round| round.pgbench.client_us),
        );
    }
    text
}

/// What machines read.
pub(crate) fn json(all: &[Measured], server: &str, connections: u16, seconds: u32) -> Value {
    json!({
        "server": server,
        "connections": connections,
        "seconds": seconds,
        "cores": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "workloads": all.iter().map(Measured::to_json).collect::<Vec<_>>(),
    })
}
