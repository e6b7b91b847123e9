//! What this project wants to reach, beside what was measured.
//!
//! Each goal has a measure that must hold and one that is aimed at; a goal that the runs did not
//! measure says so.

use std::fmt::Write;

use crate::peer::Peer;
use crate::run::{Measured, Round, Run};
use crate::workload::Workload;

struct Goal {
    what: String,
    measured: Option<f64>,
    must: f64,
    aim: Option<f64>,
    at_least: bool,
}

/// The table of goals; what it says of each is of the first run that measured it.
pub(crate) fn section(runs: &[Run]) -> String {
    let mut text =
        String::from("\n## What we want to reach\n\n| | measured | must | aim | |\n|---|---:|---:|---:|---|\n");
    for goal in goals(runs) {
        let sign = if goal.at_least { "≥" } else { "≤" };
        let _ = writeln!(
            text,
            "| {} | {} | {sign} {:.2} | {} | {} |",
            goal.what,
            goal.measured.map_or("–".to_owned(), |value| format!("{value:.2}")),
            goal.must,
            goal.aim.map_or("–".to_owned(), |aim| format!("{sign} {aim:.2}")),
            goal.verdict()
        );
    }
    text
}

impl Goal {
    fn verdict(&self) -> &'static str {
        let holds = |measured: f64, wanted: f64| if self.at_least { measured >= wanted } else { measured <= wanted };
        match (self.measured, self.aim) {
            (None, _) => "not measured",
            (Some(measured), Some(aim)) if holds(measured, aim) => "aim reached",
            (Some(measured), _) if holds(measured, self.must) => "reached",
            (Some(_), _) => "**missed**",
        }
    }
}

fn goals(runs: &[Run]) -> Vec<Goal> {
    let find = |connections: u16, workload: Workload| {
        let sets = runs.iter().flat_map(|run| &run.sets).filter(move |set| set.connections == connections);
        sets.flat_map(|set| &set.workloads).find(|measured| measured.workload == workload)
    };
    let ratio = |connections: u16, workload: Workload, must: f64, aim: f64| Goal {
        what: format!("{}, {connections} connections: gateway ÷ pgbench", workload.as_str()),
        measured: find(connections, workload).map(|measured| measured.median(Round::ratio)),
        must,
        aim: Some(aim),
        at_least: true,
    };
    let fastify = find(32, Workload::Select).filter(|measured| measured.peers().any(|peer| peer == Peer::Fastify));
    let of_one = |measured: &Measured| {
        let allowed = measured.median(|round| round.pgbench.latency_mean_us) * 1.15 + 40.0;
        measured.median(|round| round.gateway.p50_us) / allowed
    };
    let mut goals = vec![
        ratio(32, Workload::Select, 0.9, 1.2),
        Goal {
            what: "select, 32 connections: CPU of the gateway ÷ CPU of Postgres".to_owned(),
            measured: find(32, Workload::Select)
                .map(|measured| measured.median(|round| round.gateway.server_us / round.gateway.postgres_us)),
            must: 1.2,
            aim: None,
            at_least: false,
        },
        ratio(32, Workload::List, 0.95, 1.1),
        ratio(32, Workload::Insert, 1.0, 1.3),
        ratio(32, Workload::Patch, 1.0, 1.3),
        ratio(128, Workload::Insert, 1.8, 2.5),
        ratio(128, Workload::Patch, 1.8, 2.5),
        Goal {
            what: "select, 32 connections: gateway ÷ fastify + pg".to_owned(),
            measured: fastify.map(|measured| measured.median(|round| round.ratio_to(Peer::Fastify))),
            must: 4.5,
            aim: Some(6.0),
            at_least: true,
        },
    ];
    for workload in [Workload::Select, Workload::List, Workload::Insert, Workload::Patch] {
        goals.push(Goal {
            what: format!("{}, 1 connection: p50 ÷ (1.15 × pgbench's mean + 40 µs)", workload.as_str()),
            measured: find(1, workload).map(of_one),
            must: 1.0,
            aim: None,
            at_least: false,
        });
    }
    for name in ["p50", "CPU per call"] {
        goals.push(Goal {
            what: format!("select, 1,000 extensions ÷ 1 extension: {name}"),
            measured: growth(runs, name),
            must: 1.1,
            aim: None,
            at_least: false,
        });
    }
    goals
}

/// The name of the curve that the goal of many extensions is read from.
pub(crate) const EXTENSIONS: &str = "extensions";

fn growth(runs: &[Run], series: &str) -> Option<f64> {
    let curve = runs.iter().flat_map(|run| &run.growth).find(|curve| curve.name == EXTENSIONS)?;
    let series = curve.series.iter().find(|found| found.name == series)?;
    let at = |extensions: f64| series.points.iter().find(|(x, _)| *x == extensions).map(|(_, y)| *y);
    Some(at(1_000.0)? / at(1.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::sample;

    #[test]
    fn a_goal_is_reached_missed_or_not_measured() {
        let text = section(&[sample()]);
        assert!(text.contains("| select, 32 connections: gateway ÷ pgbench | 1.50 | ≥ 0.90 | ≥ 1.20 | aim reached |"));
        assert!(
            text.contains("| select, 32 connections: gateway ÷ fastify + pg | 6.00 | ≥ 4.50 | ≥ 6.00 | aim reached |")
        );
        assert!(text.contains("| insert, 128 connections: gateway ÷ pgbench | – | ≥ 1.80 | ≥ 2.50 | not measured |"));
        let of = |measured, aim, at_least| Goal { what: String::new(), measured, must: 1.0, aim, at_least }.verdict();
        assert_eq!(of(Some(1.0), Some(2.0), true), "reached");
        assert_eq!(of(Some(0.9), Some(2.0), true), "**missed**");
        assert_eq!(of(Some(0.9), None, false), "reached");
        assert_eq!(of(Some(1.1), None, false), "**missed**");
    }
}
