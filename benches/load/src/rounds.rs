//! One workload, in turns: pgbench, the gateway, each peer, and again, on the same tables.
//!
//! Any answer that is not the wanted one, and any acknowledged write that is not in the table, is an
//! error that ends the bench: figures of another thing would be none.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client::{self, Drive, Load, Target};
use crate::cpu::{Server, Watched};
use crate::dialect::Dialect;
use crate::gateway::Gateway;
use crate::items::Items;
use crate::options::Options;
use crate::peer::Running;
use crate::pgbench;
use crate::run::{Measured, Round, Served};
use crate::statement;
use crate::workload::Workload;

/// What every run needs.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) gateway: &'a Gateway,
    pub(crate) items: &'a Items,
    pub(crate) watched: Watched,
    pub(crate) pgbench: PathBuf,
    /// For scripts and logs.
    pub(crate) folder: &'a Path,
}

/// All rounds of `workload` with so many connections, each beside `peers`.
pub(crate) fn measure(
    bench: &Bench<'_>,
    workload: Workload,
    connections: u16,
    peers: &[Running],
) -> Result<Measured, String> {
    let failed = |reason| format!("{} ({}): {reason}", workload.as_str(), workload.function());
    let (sql, sql_seen) = learn_statement(bench, workload).map_err(failed)?;
    eprintln!(
        "{}: {sql}{}",
        workload.as_str(),
        if sql_seen { "" } else { "  -- assumed: the server does not show it" }
    );
    let load = Load {
        workload,
        bound: workload.numbers(),
        first: 0,
        connections,
        warm_up: bench.options.warm_up(),
        measured: bench.options.measured_time(),
    };
    let mut rounds = Vec::new();
    for _ in 0..bench.options.round_count() {
        let pgbench = run_pgbench(bench, workload, &sql, connections).map_err(failed)?;
        let gateway = drive(bench, &gateway_target(bench, workload), &bench.watched, &load).map_err(failed)?;
        let mut round = Round { pgbench, gateway: Served::new(&gateway), peers: Default::default() };
        let mut said = format!(
            "{}: pgbench {:.0}/s, gateway {:.0}/s",
            workload.as_str(),
            round.pgbench.calls_per_s,
            round.gateway.calls_per_s
        );
        for running in peers.iter().filter(|running| running.peer.offers(workload)) {
            let drive = drive_peer(bench, running, &load);
            let drive = drive.map_err(|reason| failed(format!("{}: {reason}", running.peer.as_str())))?;
            let served = Served::new(&drive);
            said.push_str(&format!(", {} {:.0}/s", running.peer.as_str(), served.calls_per_s));
            round.peers.insert(running.peer, served);
        }
        eprintln!("{said}");
        rounds.push(round);
    }
    Ok(Measured { workload, sql, sql_seen, rounds })
}

/// Calls the function for a moment on one connection and asks the server what ran.
fn learn_statement(bench: &Bench<'_>, workload: Workload) -> Result<(String, bool), String> {
    let load = Load {
        workload,
        bound: workload.numbers(),
        first: 0,
        connections: 1,
        warm_up: Duration::ZERO,
        measured: Duration::from_millis(50),
    };
    drive(bench, &gateway_target(bench, workload), &bench.watched, &load)?;
    Ok(match bench.items.latest_statement(workload.table())? {
        Some(sql) => (sql, true),
        None => (statement::assumed(workload, &bench.items.table), false),
    })
}

fn run_pgbench(bench: &Bench<'_>, workload: Workload, sql: &str, connections: u16) -> Result<pgbench::Outcome, String> {
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
            connections,
            seconds: bench.options.run_s(),
        },
        &bench.watched,
    )
}

pub(crate) fn gateway_target<'a>(bench: &'a Bench<'_>, workload: Workload) -> Target<'a> {
    let ready = &bench.gateway.ready;
    let token = if workload.writes() { &ready.tokens.editor } else { &ready.tokens.viewer };
    Target { dialect: Dialect::Functions, address: bench.gateway.address, install_id: &ready.install_id, token }
}

fn drive_peer(bench: &Bench<'_>, running: &Running, load: &Load) -> Result<Drive, String> {
    let target = Target {
        dialect: running.peer.dialect(),
        address: running.address,
        install_id: &bench.gateway.ready.install_id,
        token: &running.token,
    };
    drive(bench, &target, &bench.watched.instead(Server::Tree(running.process_id())), load)
}

/// One run against a server; every write that it acknowledged must be in the table afterwards.
pub(crate) fn drive(bench: &Bench<'_>, target: &Target<'_>, watched: &Watched, load: &Load) -> Result<Drive, String> {
    let workload = load.workload;
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
    let drive = client::drive(target, load, watched)?;
    let written = count()? - before;
    if workload.writes() && written != drive.acknowledged {
        return Err(format!("{} writes were acknowledged, {written} are in the table", drive.acknowledged));
    }
    Ok(drive)
}
