//! The figures as tables for whoever sits before the terminal.
//!
//! Every number is the median over the rounds; the ratio is the median of each round's own ratio,
//! because a noisy neighbour hits both runs of a round more alike than runs minutes apart.

use std::fmt::Write;

use crate::run::{Measured, Round, Set};

/// The gateway beside pgbench, then the peers where there are some.
pub(crate) fn tables(set: &Set) -> String {
    let mut text = table(&set.workloads);
    if set.workloads.iter().any(|measured| measured.peers().next().is_some()) {
        text.push('\n');
        text.push_str(&peers_table(&set.workloads));
    }
    text
}

fn table(all: &[Measured]) -> String {
    let mut text = String::from(
        "            calls/s               ratio              CPU µs per call                latency µs\n            \
         pgbench  gateway   median  min–max     gateway  Postgres  (pgbench)    p50    p99  (pgbench)   client \
         (pgbench)\n",
    );
    for measured in all {
        let (low, high) = measured.range(Round::ratio);
        let _ = writeln!(
            text,
            "{:<10} {:>8.0} {:>8.0} {:>8.2}  {:>4.2}–{:<4.2}  {:>9.1} {:>9.1} {:>10.1} {:>6.0} {:>6.0} {:>10.0} {:>8.1} \
             {:>10.1}",
            measured.workload.as_str(),
            measured.median(|round| round.pgbench.calls_per_s),
            measured.median(|round| round.gateway.calls_per_s),
            measured.median(Round::ratio),
            low,
            high,
            measured.median(|round| round.gateway.server_us),
            measured.median(|round| round.gateway.postgres_us),
            measured.median(|round| round.pgbench.postgres_us),
            measured.median(|round| round.gateway.p50_us),
            measured.median(|round| round.gateway.p99_us),
            measured.median(|round| round.pgbench.latency_mean_us),
            measured.median(|round| round.gateway.client_us),
            measured.median(|round| round.pgbench.client_us),
        );
    }
    text
}

fn peers_table(all: &[Measured]) -> String {
    let mut text = String::from(
        "                         calls/s  gateway is          CPU µs per call      latency µs\n                        \
         \x20           × faster  min–max    peer  Postgres     p50    p99\n",
    );
    for measured in all {
        for peer in measured.peers() {
            let (low, high) = measured.range(|round| round.ratio_to(peer));
            let _ = writeln!(
                text,
                "{:<10} {:<13} {:>7.0} {:>11.2}  {:>4.1}–{:<4.1} {:>7.1} {:>9.1} {:>7.0} {:>6.0}",
                measured.workload.as_str(),
                peer.as_str(),
                measured.median_of(peer, |served| served.calls_per_s),
                measured.median(|round| round.ratio_to(peer)),
                low,
                high,
                measured.median_of(peer, |served| served.server_us),
                measured.median_of(peer, |served| served.postgres_us),
                measured.median_of(peer, |served| served.p50_us),
                measured.median_of(peer, |served| served.p99_us),
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::run::tests::sample;

    #[test]
    fn tables_hold_every_workload_and_every_peer() {
        let text: String = sample().sets.iter().map(super::tables).collect();
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("expand") && !line.contains("page")).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
