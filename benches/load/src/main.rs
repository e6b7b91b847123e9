//! The load bench: real HTTP with keep-alive against a running gateway, and in alternation
//! pgbench with the same SQL and as many connections on the same server.
//!
//! It starts the gateway with a bundle of its own, seeds the table, takes turns and prints a
//! table; README.md says what its columns mean. Any answer that is not the wanted one, and any
//! acknowledged write that is not in the table, ends it with exit code 1.

mod answer;
mod client;
mod cpu;
mod gateway;
mod histogram;
mod items;
mod options;
mod pgbench;
mod report;
mod statement;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

use crate::client::{Drive, Load, Target};
use crate::cpu::Watched;
use crate::gateway::Gateway;
use crate::items::Items;
use crate::options::Options;
use crate::report::{Measured, Round, Served};
use crate::workload::Workload;

fn main() -> ExitCode {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        eprintln!("warning: the load client was built without optimisation; use cargo run --release -p rowgate-load");
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// What every run needs.
struct Bench<'a> {
    options: &'a Options,
    gateway: &'a Gateway,
    items: &'a Items,
    watched: Watched,
    pgbench: PathBuf,
    folder: &'a Path,
}

fn run(options: &Options) -> Result<(), String> {
    let pgbench = pgbench::find()?;
    let binary = match &options.gateway {
        Some(path) => path.clone(),
        None => gateway::build()?,
    };
    let folder = Folder::new()?;
    let data_dir = options.data_dir.clone().unwrap_or_else(|| folder.0.join("data"));
    eprintln!("starting {}", binary.display());
    let gateway = Gateway::start(&binary, &data_dir, &folder.0.join("gateway.log"))?;
    let ready = &gateway.ready;
    let items = Items::open(&ready.database_url, &ready.extension_id, &ready.install_id)?;
    let watched = Watched::new(gateway.process_id(), items.backend()?)?;
    let server = items.server()?;
    eprintln!("{server}; gateway {}, postmaster {}", gateway.process_id(), watched.postmaster());
    eprintln!("seeding {} rows", workload::ROWS);
    items.seed()?;

    let bench = Bench { options, gateway: &gateway, items: &items, watched, pgbench, folder: &folder.0 };
    let mut all = Vec::new();
    for workload in &options.only {
        all.push(measure(&bench, *workload)?);
    }
    println!(
        "{} connections, {} rounds of {} s, medians\n\n{}",
        options.connections,
        options.round_count(),
        options.run_s(),
        report::table(&all)
    );
    if let Some(path) = &options.json {
        let text = report::json(&all, &server, options.connections, options.run_s()).to_string();
        fs::write(path, text + "\n").map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

fn measure(bench: &Bench<'_>, workload: Workload) -> Result<Measured, String> {
    let failed = |reason| format!("{} ({}): {reason}", workload.as_str(), workload.function());
    let (sql, sql_seen) = learn_statement(bench, workload).map_err(failed)?;
    eprintln!(
        "{}: {sql}{}",
        workload.as_str(),
        if sql_seen { "" } else { "  -- assumed: the server does not show it" }
    );
    let mut rounds = Vec::new();
    for _ in 0..bench.options.round_count() {
        let pgbench = run_pgbench(bench, workload, &sql).map_err(failed)?;
        let drive = drive(bench, workload, bench.options.connections, bench.options.warm_up(), bench.measured_time())
            .map_err(failed)?;
        let round = Round { pgbench, served: Served::new(&drive) };
        eprintln!(
            "{}: pgbench {:.0}/s, gateway {:.0}/s",
            workload.as_str(),
            round.pgbench.calls_per_s,
            round.served.calls_per_s
        );
        rounds.push(round);
    }
    Ok(Measured { workload, sql, sql_seen, rounds })
}

/// Calls the function for a moment on one connection and asks the server what ran.
fn learn_statement(bench: &Bench<'_>, workload: Workload) -> Result<(String, bool), String> {
    drive(bench, workload, 1, Duration::ZERO, Duration::from_millis(50))?;
    Ok(match bench.items.latest_statement(workload.table())? {
        Some(sql) => (sql, true),
        None => (statement::assumed(workload, &bench.items.table), false),
    })
}

fn run_pgbench(bench: &Bench<'_>, workload: Workload, sql: &str) -> Result<pgbench::Outcome, String> {
    if workload.writes() {
        bench.items.restore()?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let script = statement::script(workload, sql, u64::try_from(now.as_millis()).unwrap_or(0))?;
    let path = bench.folder.join(format!("{}.sql", workload.as_str()));
    fs::write(&path, script).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    pgbench::run(
        &pgbench::Bench {
            program: &bench.pgbench,
            database_url: &bench.gateway.ready.database_url,
            role: bench.items.role.as_deref(),
            script: &path,
            constants: &statement::constants(&bench.gateway.ready.install_id),
            connections: bench.options.connections,
            seconds: bench.options.run_s(),
        },
        &bench.watched,
    )
}

/// One run against the gateway; every write that it acknowledged must be in the table afterwards.
fn drive(
    bench: &Bench<'_>,
    workload: Workload,
    connections: u16,
    warm_up: Duration,
    measured: Duration,
) -> Result<Drive, String> {
    let ready = &bench.gateway.ready;
    let token = if workload.writes() { &ready.tokens.editor } else { &ready.tokens.viewer };
    let target = Target { address: bench.gateway.address, install_id: &ready.install_id, token };
    let count = || match workload {
        Workload::Select
        | Workload::List
        | Workload::Page
        | Workload::Aggregate
        | Workload::Expand
        | Workload::Batch => Ok(0),
        Workload::Upsert => bench.items.counted_sum(),
        Workload::Insert => bench.items.inserted_count(),
        Workload::Patch => bench.items.hits_sum(),
    };
    if workload.writes() {
        bench.items.restore()?;
    }
    let before = count()?;
    let drive = client::drive(&target, &Load { workload, connections, warm_up, measured }, &bench.watched)?;
    let written = count()? - before;
    if workload.writes() && written != drive.acknowledged {
        return Err(format!("{} writes were acknowledged, {written} are in the table", drive.acknowledged));
    }
    Ok(drive)
}

impl Bench<'_> {
    fn measured_time(&self) -> Duration {
        Duration::from_secs(u64::from(self.options.run_s()))
    }
}

/// A folder of this run in the temporary directory; it goes when the bench ends.
struct Folder(PathBuf);

impl Folder {
    /// Readable by others: as root, the gateway runs its Postgres as another user below it.
    fn new() -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("rowgate-load-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
