//! The performance page: what one or several runs measured, as Markdown with plots beside it.
//!
//! Everything on it comes from the runs' JSON, so the page of an earlier run can be written again.
//! Goals are written beside what was measured, reached or not.

use std::fmt::Write;

use crate::goals;
use crate::peer::Peer;
use crate::run::{Measured, Round, Run, Set};
use crate::svg::{self, Bar, Bars, Group, number};

/// The solid and the pale length of the gateway's bar, or of a peer's.
type Lengths<'a> = dyn Fn(&Measured, Option<Peer>) -> (f64, f64) + 'a;

/// A file's name and its text.
pub(crate) struct Plot {
    pub(crate) name: String,
    pub(crate) svg: String,
}

const METHOD: &str = "\
## How it is measured

- Everything runs on one machine and shares its cores: the load client, the server, Postgres on a Unix socket.
- Each side is driven for the same seconds in turn, and again: pgbench, the gateway, each peer. A ratio is made within one
  round, and all figures are medians over the rounds.
- The client is one thread with keep-alive connections, one call under way on each. Each answer's status and length are
  checked, one body in 64 is compared with what was asked, and after each run of writes the acknowledged ones are
  counted in the table. Anything amiss ends the bench.
- pgbench (`-M prepared`) runs the SQL that the server says the gateway ran, on as many connections.
- CPU is user and system time of the server's processes, and of every process of Postgres, by `/proc`, over the
  measured calls. Latency is from writing a request to reading its answer's last byte; pgbench gives a mean alone.
- In the gateway all is on that ships: tokens, rate limits (so large that none refuses), metrics, headers, isolation.

## What is not the same on both sides

- pgbench speaks no HTTP and checks no token; it has one Postgres connection for each client, in the text protocol.
- The fastify server is written by hand for these four questions. It checks arguments and the token, and has no rate
  limits, metrics or reload. PostGraphile is asked in GraphQL, each time in full text, without a role for each caller;
  it does not patch, and makes no ids.
- Both peers are two processes with eight Postgres connections each.
- pgbench and the peers commit as the server is set; the gateway as its lanes are set. Each answers a write only when it is
  durable.

[benches/load](../benches/load/README.md) has all of it, and what this bench does not measure.
";

/// The page, and its plots, which it expects in the folder `folder` beside it.
pub(crate) fn page(runs: &[Run], folder: &str) -> (String, Vec<Plot>) {
    let mut text = String::from("# Performance\n\nWritten by the load bench from what it measured; not by hand.\n\n");
    let mut plots = Vec::new();
    for run in runs {
        text.push_str(&origin(run));
    }
    let sets: Vec<&Set> = runs.iter().flat_map(|run| &run.sets).collect();
    text.push_str(&goals::section(runs));
    for (place, set) in sets.iter().enumerate().filter(|(_, set)| !set.workloads.is_empty()) {
        let _ = write!(text, "\n## {} connections\n\n{}", set.connections, table(&set.workloads));
        // Sets of the same number of connections may come from several runs.
        let mark = if sets.iter().take(place).any(|earlier| earlier.connections == set.connections) {
            format!("{}-{place}", set.connections)
        } else {
            set.connections.to_string()
        };
        for (name, plot) in plots_of(set) {
            add(&mut text, &mut plots, folder, format!("{name}-{mark}"), &plot.title.clone(), svg::bars(&plot));
        }
    }
    let curves: Vec<_> = runs.iter().flat_map(|run| &run.growth).collect();
    if !curves.is_empty() {
        text.push_str("\n## As it grows\n");
    }
    for curve in curves {
        let _ = write!(text, "\n| {} |", curve.across);
        for series in &curve.series {
            let _ = write!(text, " {}, {} |", series.name, curve.unit);
        }
        let _ = writeln!(text, "\n|---|{}", "---:|".repeat(curve.series.len()));
        let mut marks: Vec<f64> = curve.series.iter().flat_map(|series| &series.points).map(|(x, _)| *x).collect();
        marks.sort_by(f64::total_cmp);
        marks.dedup();
        for mark in marks {
            let _ = write!(text, "| {} |", number(mark));
            for series in &curve.series {
                let value = series.points.iter().find(|(x, _)| *x == mark).map_or(f64::NAN, |(_, y)| *y);
                let _ = write!(text, " {} |", number(value));
            }
            text.push('\n');
        }
        add(&mut text, &mut plots, folder, curve.name.clone(), &curve.title, svg::lines(curve));
    }
    text.push('\n');
    text.push_str(METHOD);
    (text, plots)
}

fn add(text: &mut String, plots: &mut Vec<Plot>, folder: &str, name: String, title: &str, svg: String) {
    let _ = write!(text, "\n![{title}]({folder}/{name}.svg)\n");
    plots.push(Plot { name: format!("{name}.svg"), svg });
}

fn origin(run: &Run) -> String {
    let versions = &run.versions;
    let packages: String = versions.packages.iter().map(|(name, version)| format!(", {name} {version}")).collect();
    let rounds = run.sets.iter().flat_map(|set| &set.workloads).map(|measured| measured.rounds.len()).max();
    let of_rounds = rounds.map_or(String::new(), |rounds| format!("; {rounds} rounds of {} s", run.seconds));
    format!(
        "- {}, by `{}`{of_rounds}\n  - {} cores, {}, {:.0} GiB, {}\n  - {}, {}{packages}\n  - {}\n",
        run.date,
        run.command,
        run.machine.cores,
        run.machine.processor,
        run.machine.memory_mib as f64 / 1_024.0,
        run.machine.kernel,
        versions.gateway,
        versions.postgres,
        run.server,
    )
}

fn table(all: &[Measured]) -> String {
    let mut text = String::from(
        "| | | calls/s | gateway is × as fast | CPU server, µs/call | CPU Postgres, µs/call | p50, µs | p99, µs |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
    for measured in all {
        let (low, high) = measured.range(Round::ratio);
        let name = measured.workload.as_str();
        let of = |of: &dyn Fn(&Round) -> f64| number(measured.median(of));
        let _ = writeln!(
            text,
            "| **{name}** | **gateway** | **{}** | | {} | {} | {} | {} |",
            of(&|round| round.gateway.calls_per_s),
            of(&|round| round.gateway.server_us),
            of(&|round| round.gateway.postgres_us),
            of(&|round| round.gateway.p50_us),
            of(&|round| round.gateway.p99_us),
        );
        let _ = writeln!(
            text,
            "| | pgbench | {} | {:.2} ({low:.2}–{high:.2}) | – | {} | mean {} | – |",
            of(&|round| round.pgbench.calls_per_s),
            measured.median(Round::ratio),
            of(&|round| round.pgbench.postgres_us),
            of(&|round| round.pgbench.latency_mean_us),
        );
        for peer in measured.peers() {
            let (low, high) = measured.range(|round| round.ratio_to(peer));
            let of = |of: &dyn Fn(&crate::run::Served) -> f64| number(measured.median_of(peer, of));
            let _ = writeln!(
                text,
                "| | {} | {} | {:.1} ({low:.1}–{high:.1}) | {} | {} | {} | {} |",
                peer.title(),
                of(&|served| served.calls_per_s),
                measured.median(|round| round.ratio_to(peer)),
                of(&|served| served.server_us),
                of(&|served| served.postgres_us),
                of(&|served| served.p50_us),
                of(&|served| served.p99_us),
            );
        }
    }
    text
}

fn plots_of(set: &Set) -> [(&'static str, Bars); 3] {
    let peered = set.workloads.iter().any(|measured| measured.peers().next().is_some());
    let peers: &[Peer] = if peered { &Peer::ALL } else { &[] };
    let sides: Vec<String> =
        ["pgbench", "gateway"].into_iter().chain(peers.iter().map(|peer| peer.title())).map(str::to_owned).collect();
    let bars = |title: &str, unit: &'static str, of: &Lengths<'_>, bench: &dyn Fn(&Round) -> f64| Bars {
        title: format!("{title} at {} connections", set.connections),
        unit,
        sides: sides.clone(),
        groups: set
            .workloads
            .iter()
            .map(|measured| {
                let mut bars = vec![Bar { side: 0, solid: measured.median(bench), pale: 0.0 }];
                let (solid, pale) = of(measured, None);
                bars.push(Bar { side: 1, solid, pale });
                for (place, peer) in
                    peers.iter().enumerate().filter(|(_, peer)| measured.peers().any(|found| found == **peer))
                {
                    let (solid, pale) = of(measured, Some(*peer));
                    bars.push(Bar { side: place + 2, solid, pale });
                }
                Group { name: measured.workload.as_str().to_owned(), bars }
            })
            .collect(),
    };
    let median = |measured: &Measured, peer: Option<Peer>, of: &dyn Fn(&crate::run::Served) -> f64| match peer {
        Some(peer) => measured.median_of(peer, of),
        None => measured.median(|round| of(&round.gateway)),
    };
    [
        (
            "throughput",
            bars(
                "Throughput",
                "calls/s",
                &|measured, peer| (median(measured, peer, &|served| served.calls_per_s), 0.0),
                &|round| round.pgbench.calls_per_s,
            ),
        ),
        (
            "cpu",
            bars(
                "CPU per call",
                "µs of Postgres alone, pale with the server",
                &|measured, peer| {
                    let postgres = median(measured, peer, &|served| served.postgres_us);
                    (postgres, postgres + median(measured, peer, &|served| served.server_us))
                },
                &|round| round.pgbench.postgres_us,
            ),
        ),
        (
            "latency",
            bars(
                "Latency",
                "µs at p50, pale to p99; of pgbench the mean",
                &|measured, peer| {
                    let of = |of: &dyn Fn(&crate::run::Served) -> f64| median(measured, peer, of);
                    (of(&|served| served.p50_us), of(&|served| served.p99_us))
                },
                &|round| round.pgbench.latency_mean_us,
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::run::tests::sample;

    #[test]
    fn a_page_shows_each_workload_and_names_where_it_is_from() {
        let (text, plots) = page(&[sample()], "performance");
        for named in
            ["2026-01-31", "2 cores, A processor", "PostgreSQL 15.18", "fastify 5", "| **select** |", "| **batch** |"]
        {
            assert!(text.contains(named), "{named}: {text}");
        }
        assert!(text.contains("| | fastify + pg | 13,750 | 6.0 (6.0–6.0) |"), "{text}");
        let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
        assert_eq!(names, ["throughput-32.svg", "cpu-32.svg", "latency-32.svg"]);
        for plot in &plots {
            assert!(text.contains(&format!("](performance/{})", plot.name)), "{}", plot.name);
            assert!(!plot.svg.contains("NaN"), "{}", plot.svg);
        }
        assert!(!text.contains("NaN") && !text.contains("As it grows"), "{text}");
    }

    #[test]
    fn several_runs_make_one_page_and_no_plot_hides_another() {
        let (_, plots) = page(&[sample(), sample()], "performance");
        let mut names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 6);
    }
}
