//! The load bench: real HTTP with keep-alive against a running gateway, and in alternation
//! pgbench with the same SQL, and two peers in Node, on the same server.
//!
//! It starts the gateway with a bundle of its own, seeds the table, takes turns and prints a
//! table; README.md says what its columns mean. Any answer that is not the wanted one, and any
//! acknowledged write that is not in the table, ends it with exit code 1.

mod answer;
mod child;
mod client;
mod cpu;
mod crowd;
mod dialect;
mod gateway;
mod goals;
mod growth;
mod histogram;
mod items;
mod memory;
mod options;
mod page;
mod peer;
mod pgbench;
mod report;
mod rounds;
mod run;
mod statement;
mod svg;
mod workload;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::cpu::{Server, Watched};
use crate::gateway::Gateway;
use crate::items::Items;
use crate::options::{Options, PeerList};
use crate::peer::{Peer, Peers, Running};
use crate::rounds::Bench;
use crate::run::{Machine, Run, Set, Versions};
use crate::workload::Workload;

fn main() -> ExitCode {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        eprintln!("warning: the load client was built without optimisation; use cargo run --release -p rowgate-load");
    }
    let done = if options.from.is_empty() { run(&options) } else { report_again(&options) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let pgbench = pgbench::find()?;
    let wanted = if options.only.0.is_empty() { Vec::new() } else { wanted_peers(options) };
    let installed = if wanted.is_empty() { None } else { Some(Peers::install(&peers_folder(options)?)?) };
    let binary = match &options.gateway {
        Some(path) => path.clone(),
        None => gateway::build()?,
    };
    let folder = Folder::new()?;
    let data_dir = options.data_dir.clone().unwrap_or_else(|| folder.0.join("data"));
    eprintln!("starting {}", binary.display());
    let gateway = Gateway::start(gateway::BUNDLE, &binary, &data_dir, &folder.0.join("gateway.log"))?;
    let ready = &gateway.ready;
    let items = Items::open(&ready.database_url, &ready.extension_id, &ready.install_id)?;
    let watched = Watched::new(Server::Process(gateway.process_id()), items.backend()?)?;
    let server = items.server()?;
    eprintln!("{server}; gateway {}, postmaster {}", gateway.process_id(), watched.postmaster());
    eprintln!("seeding {} rows", workload::ROWS);
    items.seed()?;
    let mut peers = Vec::new();
    if let Some(installed) = &installed {
        for peer in &wanted {
            let log = folder.0.join(format!("{}.log", peer.as_str()));
            peers.push(installed.start(*peer, &items, &ready.database_url, &ready.install_id, &log)?);
        }
    }

    let bench = Bench { options, gateway: &gateway, items: &items, watched, pgbench, folder: &folder.0 };
    let sets = if options.only.0.is_empty() { Vec::new() } else { measure_sets(&bench, &peers)? };
    // What is not needed any more takes no part in the curves.
    drop(peers);
    let mut growth = Vec::new();
    if let Some(wanted) = options.curves() {
        growth.extend(growth::of_many(options, wanted, &binary, &folder.0)?);
        growth.extend(growth::of_one(&bench, wanted)?);
    }
    let run = Run {
        command: std::iter::once("rowgate-load".to_owned())
            .chain(std::env::args().skip(1))
            .collect::<Vec<_>>()
            .join(" "),
        date: items.today()?,
        machine: Machine::read(),
        versions: Versions {
            gateway: gateway::version(&binary),
            postgres: items.version()?,
            packages: if wanted.is_empty() { BTreeMap::new() } else { peer::versions() },
        },
        server,
        seconds: options.run_s(),
        sets,
        growth,
    };
    if let Some(path) = &options.json {
        fs::write(path, run.to_json()?).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    match &options.report {
        Some(path) => write_report(path, &[run]),
        None => Ok(()),
    }
}

fn report_again(options: &Options) -> Result<(), String> {
    let runs = options.from.iter().map(|path| Run::read(path)).collect::<Result<Vec<_>, _>>()?;
    options.report.as_ref().map_or(Ok(()), |path| write_report(path, &runs))
}

/// The page at `path`, and its plots in the folder of the same name; plots of an earlier page go.
fn write_report(path: &Path, runs: &[Run]) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let folder = path.with_extension("");
    if folder == path {
        return Err(format!("cannot write the page {}; expected a name such as docs/performance.md", path.display()));
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (text, plots) = page::page(runs, &name);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    for entry in fs::read_dir(&folder).map_err(|error| failed(&folder, error))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(entry.path()).map_err(|error| failed(&entry.path(), error))?;
        }
    }
    for plot in plots {
        let path = folder.join(plot.name);
        fs::write(&path, plot.svg).map_err(|error| failed(&path, error))?;
    }
    fs::write(path, text).map_err(|error| failed(path, error))
}

/// Everything with the first number of connections; with each further one, what the number changes most.
fn measure_sets(bench: &Bench<'_>, peers: &[Running]) -> Result<Vec<Set>, String> {
    let mut sets = Vec::new();
    for (place, connections) in bench.options.connections.iter().enumerate() {
        let mut set = Set { connections: *connections, workloads: Vec::new() };
        for workload in &bench.options.only.0 {
            let plain = matches!(workload, Workload::Select | Workload::List | Workload::Insert | Workload::Patch);
            if place == 0 {
                set.workloads.push(rounds::measure(bench, *workload, *connections, peers)?);
            } else if plain {
                set.workloads.push(rounds::measure(bench, *workload, *connections, &[])?);
            }
        }
        println!(
            "{connections} connections, {} rounds of {} s, medians\n\n{}",
            bench.options.round_count(),
            bench.options.run_s(),
            report::tables(&set)
        );
        sets.push(set);
    }
    Ok(sets)
}

/// Those that were asked for, else all where npm is there.
fn wanted_peers(options: &Options) -> Vec<Peer> {
    match &options.peers {
        Some(PeerList(peers)) => peers.clone(),
        None if peer::npm_is_installed() => Peer::ALL.into(),
        None => {
            eprintln!("npm is not installed, so no peers are measured beside; it comes with Node");
            Vec::new()
        }
    }
}

/// Beside this program's build: a clean build takes it away, a new one finds it.
fn peers_folder(options: &Options) -> Result<PathBuf, String> {
    if let Some(folder) = &options.peers_dir {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    let target = program.parent().and_then(Path::parent).ok_or("this program is in no target directory")?;
    Ok(target.join("load-peers"))
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
