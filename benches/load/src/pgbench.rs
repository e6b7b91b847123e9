//! One run of pgbench, measured over the same kind of window as a run against the gateway.
//!
//! pgbench reports once a second. The first second (connecting, preparing, caching plans) is its
//! warm-up; CPU is sampled as its reports arrive, so rate and CPU are of the same seconds.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cpu::{self, Watched};

/// What to run.
pub(crate) struct Bench<'a> {
    pub(crate) program: &'a Path,
    pub(crate) database_url: &'a str,
    /// The database role to run as, where it is not the URL's.
    pub(crate) role: Option<&'a str>,
    pub(crate) script: &'a Path,
    /// `name=value` for `-D`.
    pub(crate) constants: &'a [String],
    pub(crate) connections: u16,
    pub(crate) seconds: u32,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) calls_per_s: f64,
    /// pgbench gives no quantiles unless it logs every call.
    pub(crate) latency_mean_us: f64,
    pub(crate) postgres_us: f64,
    /// CPU of pgbench itself for each call.
    pub(crate) client_us: f64,
}

/// From `PATH`, else the newest under Debian's folder for server programs.
pub(crate) fn find() -> Result<PathBuf, String> {
    let from_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .map(|folder| folder.join("pgbench"));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin/pgbench")).collect();
    debian.sort();
    from_path
        .chain(debian.into_iter().rev())
        .find(|program| program.is_file())
        .ok_or_else(|| "pgbench is not installed; on Debian it comes with `apt-get install postgresql`".to_owned())
}

pub(crate) fn run(bench: &Bench<'_>, watched: &Watched) -> Result<Outcome, String> {
    let mut command = Command::new(bench.program);
    command.args(["-n", "-M", "prepared", "-P", "1"]);
    command.args(["-c", &bench.connections.to_string(), "-j", &bench.connections.min(2).to_string()]);
    // One second before the window; one after it, because the report at the very end is left out.
    command.args(["-T", &(bench.seconds + 2).to_string()]);
    for constant in bench.constants {
        command.args(["-D", constant]);
    }
    command.arg("-f").arg(bench.script).arg(bench.database_url);
    if let Some(role) = bench.role {
        command.env("PGOPTIONS", format!("-c role={role}"));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", bench.program.display()))?;
    let stderr = child.stderr.take().ok_or("pgbench has no standard error")?;
    let seen = watch(BufReader::new(stderr), child.id(), bench.seconds, watched);
    if seen.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| format!("cannot wait for pgbench: {error}"))?;
    let outcome = seen?;
    if !status.success() {
        return Err(format!("pgbench failed ({status})"));
    }
    Ok(outcome)
}

struct Mark {
    at: Instant,
    postgres: Duration,
    client: Duration,
}

fn watch(mut stderr: impl BufRead, process: u32, seconds: u32, watched: &Watched) -> Result<Outcome, String> {
    let mark = || -> Result<Mark, String> {
        Ok(Mark { at: Instant::now(), postgres: watched.sample()?.postgres, client: cpu::of_process(process)? })
    };
    let mut said = String::new();
    let mut began = None;
    let (mut reports, mut rates, mut latencies) = (0, 0.0, 0.0);
    let mut line = String::new();
    while stderr.read_line(&mut line).map_err(|error| format!("cannot read from pgbench: {error}"))? > 0 {
        if let Some((rate, latency_ms)) = report(&line) {
            if began.is_none() {
                began = Some(mark()?);
            } else {
                reports += 1;
                rates += rate;
                latencies += latency_ms * rate;
            }
        } else {
            said.push_str(&line);
        }
        line.clear();
        if reports == seconds {
            break;
        }
    }
    let (Some(began), true) = (began, reports == seconds && rates > 0.0) else {
        return Err(format!("pgbench ended before its time; it said:\n{said}"));
    };
    let ended = mark()?;
    // What it says after the window is of interest only when it fails, and then it says so here.
    stderr.read_to_string(&mut said).map_err(|error| format!("cannot read from pgbench: {error}"))?;
    if said.contains("aborted") || said.contains("error:") {
        return Err(format!("pgbench reported an error:\n{said}"));
    }
    let calls_per_s = rates / f64::from(reports);
    let calls = calls_per_s * (ended.at - began.at).as_secs_f64();
    Ok(Outcome {
        calls_per_s,
        latency_mean_us: latencies / rates * 1e3,
        postgres_us: (ended.postgres - began.postgres).as_secs_f64() * 1e6 / calls,
        client_us: (ended.client - began.client).as_secs_f64() * 1e6 / calls,
    })
}

/// Rate and mean latency of `progress: 2.0 s, 31415.9 tps, lat 1.018 ms stddev 0.5, 0 failed`.
fn report(line: &str) -> Option<(f64, f64)> {
    let mut parts = line.strip_prefix("progress: ")?.split(", ");
    let rate = parts.nth(1)?.strip_suffix(" tps")?.parse().ok()?;
    let latency_ms = parts.next()?.strip_prefix("lat ")?.split(' ').next()?.parse().ok()?;
    Some((rate, latency_ms))
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn a_progress_line_is_read_and_any_other_is_not() {
        let line = "progress: 2.0 s, 31415.9 tps, lat 1.018 ms stddev 0.523, 0 failed\n";
        assert_eq!(report(line), Some((31_415.9, 1.018)));
        assert_eq!(report("progress: 1.0 s, 9.0 tps, lat 3.5 ms stddev 0.1\n"), Some((9.0, 3.5)));
        for other in ["pgbench (15.18)\n", "progress: 1.0 s\n", "pgbench: error: client 3 aborted\n", ""] {
            assert_eq!(report(other), None);
        }
    }
}
