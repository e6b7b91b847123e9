//! How the figures change as extensions, rows and idle connections grow, by tens.
//!
//! Each point is the median over the rounds. Extensions have a gateway of their own; rows and
//! connections are tried on the one that the workloads ran on.

use std::fmt::Display;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{self, Load, Target};
use crate::cpu::{Server, Watched};
use crate::crowd::{Crowd, INSTALL, KEY};
use crate::dialect::Dialect;
use crate::gateway::{self, Gateway};
use crate::goals::EXTENSIONS;
use crate::items::Items;
use crate::memory;
use crate::options::{Growth, Options};
use crate::rounds::{self, Bench};
use crate::run::{Served, median};
use crate::svg::{Curve, Series};
use crate::workload::{CATEGORIES, Workload};

const EXTENSION_COUNTS: [u64; 4] = [1, 100, 1_000, 10_000];
const ROW_COUNTS: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const IDLE_COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];

/// The values of one curve's series, by what grew.
struct Points {
    name: &'static str,
    title: &'static str,
    across: &'static str,
    unit: &'static str,
    series: Vec<(&'static str, Vec<(f64, f64)>)>,
}

/// The curves of rows and of idle connections.
pub(crate) fn of_one(bench: &Bench<'_>, growth: Growth) -> Result<Vec<Curve>, String> {
    let mut curves = idle(bench, growth)?;
    curves.extend(rows(bench, growth)?);
    Ok(curves)
}

/// The curves of many extensions, on a gateway and a Postgres of their own below `folder`.
pub(crate) fn of_many(options: &Options, growth: Growth, binary: &Path, folder: &Path) -> Result<Vec<Curve>, String> {
    let (data_dir, log) = (folder.join("crowd"), folder.join("crowd.log"));
    let mut speed = Points::new(
        EXTENSIONS,
        "Select, spread over all extensions",
        "extensions of five tables",
        "µs",
        &["p50", "CPU per call", "CPU of the gateway", "CPU of Postgres"],
    );
    let mut held = Points::new(
        "extensions-memory",
        "Memory",
        "extensions of five tables",
        "MiB",
        &["gateway", "all of Postgres", "largest backend"],
    );
    let mut times = Points::new(
        "extensions-times",
        "Start and reload",
        "extensions of five tables",
        "ms",
        &["start-up with Postgres", "reload of the registry"],
    );
    let counts = growth.of(&EXTENSION_COUNTS, 2, 3);
    let mut made = 0;
    for count in counts {
        {
            let gateway = Gateway::start(gateway::GROWTH_BUNDLE, binary, &data_dir, &log)?;
            let crowd = Crowd::open(&gateway)?;
            say("making extensions", count);
            crowd.grow(made, *count)?;
            made = *count;
        }
        // Started anew: every backend is fresh, and the time is that of so many extensions.
        let began = Instant::now();
        let gateway = Gateway::start(gateway::GROWTH_BUNDLE, binary, &data_dir, &log)?;
        times.add(0, *count, began.elapsed().as_secs_f64() * 1e3);
        let ready = &gateway.ready;
        let items = Items::open(&ready.database_url, &ready.extension_id, &ready.install_id)?;
        let watched = Watched::new(Server::Process(gateway.process_id()), items.backend()?)?;
        let crowd = Crowd::open(&gateway)?;
        crowd.wait_until_served(&gateway, count - 1, &watched)?;
        let target = Target { dialect: Dialect::Functions, address: gateway.address, install_id: INSTALL, token: KEY };
        let load = Load {
            workload: Workload::Select,
            bound: *count,
            first: 0,
            connections: first_connections(options),
            // So that every backend has met most of the tables.
            warm_up: options.warm_up() + Duration::from_millis(*count),
            measured: options.measured_time(),
        };
        let served = repeated(options, || client::drive(&target, &load, &watched).map(|drive| Served::new(&drive)))?;
        speed.add(0, *count, served.p50_us);
        speed.add(1, *count, served.server_us + served.postgres_us);
        speed.add(2, *count, served.server_us);
        speed.add(3, *count, served.postgres_us);
        held.add(0, *count, mib(memory::of_process_kib(gateway.process_id())?));
        let cluster = memory::of_cluster_kib(watched.postmaster())?;
        held.add(1, *count, mib(cluster.iter().sum()));
        held.add(2, *count, mib(cluster.into_iter().max().unwrap_or(0)));
        let reload = crowd.time_reload(&gateway, made, &watched)?;
        made += 1;
        times.add(1, *count, reload.as_secs_f64() * 1e3);
        say(&format!("p50 {:.0} µs, reload {:.0} ms, extensions", served.p50_us, reload.as_secs_f64() * 1e3), count);
    }
    Ok(vec![speed.curve(), held.curve(), times.curve()])
}

fn rows(bench: &Bench<'_>, growth: Growth) -> Result<Vec<Curve>, String> {
    let workloads = [Workload::Select, Workload::List, Workload::Insert];
    let names = ["select", "list", "insert"];
    let mut latency = Points::new("rows-p50", "p50 by rows in the table", "rows", "µs", &names);
    let mut gateway = Points::new("rows-cpu", "CPU of gateway and Postgres per call", "rows", "µs", &names);
    for count in growth.of(&ROW_COUNTS, 2, 4) {
        say("seeding rows", count);
        let categories = (count / 100).min(CATEGORIES);
        bench.items.seed_items(*count, categories)?;
        for (place, workload) in workloads.into_iter().enumerate() {
            let bound = match workload {
                Workload::Select => *count,
                Workload::List => categories,
                Workload::Insert
                | Workload::Patch
                | Workload::Page
                | Workload::Upsert
                | Workload::Aggregate
                | Workload::Expand
                | Workload::Batch => workload.numbers(),
            };
            let load = Load { bound, ..active(bench, workload) };
            let served = driven(bench, &load)?;
            latency.add(place, *count, served.p50_us);
            gateway.add(place, *count, served.server_us + served.postgres_us);
        }
    }
    Ok(vec![latency.curve(), gateway.curve()])
}

fn idle(bench: &Bench<'_>, growth: Growth) -> Result<Vec<Curve>, String> {
    let mut speed = Points::new(
        "idle",
        "Select on the active connections beside idle ones",
        "idle keep-alive connections",
        "µs",
        &["p50", "p99", "CPU of the gateway"],
    );
    let mut held =
        Points::new("idle-memory", "Memory of the gateway", "idle keep-alive connections", "MiB", &["gateway"]);
    let mut open: Vec<TcpStream> = Vec::new();
    raise_open_files();
    for count in growth.of(&IDLE_COUNTS, 2, 4) {
        while open.len() < *count {
            open.push(called(bench).map_err(|reason| format!("idle connection {}: {reason}", open.len() + 1))?);
        }
        let served = driven(bench, &active(bench, Workload::Select))?;
        say(&format!("p50 {:.0} µs, idle connections", served.p50_us), count);
        speed.add(0, *count as u64, served.p50_us);
        speed.add(1, *count as u64, served.p99_us);
        speed.add(2, *count as u64, served.server_us);
        held.add(0, *count as u64, mib(memory::of_process_kib(bench.gateway.process_id())?));
        // One that the gateway closed would make the figures those of fewer.
        let closed =
            open.iter().filter(|stream| !matches!(peeked(stream), Err(std::io::ErrorKind::WouldBlock))).count();
        if closed > 0 {
            return Err(format!("{closed} of {count} idle connections were closed; expected keep-alive"));
        }
    }
    Ok(vec![speed.curve(), held.curve()])
}

/// A connection on which one call was answered.
fn called(bench: &Bench<'_>) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&bench.gateway.address, Duration::from_secs(5)).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(failed)?;
    let ready = &bench.gateway.ready;
    let body = Workload::Select.body().replace("############", "100000000000");
    let request = format!(
        "POST /v1/extension-functions/{}/{} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        ready.install_id,
        Workload::Select.function(),
        bench.gateway.address,
        ready.tokens.viewer,
        body.len()
    );
    stream.write_all(request.as_bytes()).map_err(failed)?;
    client::read_answer(&mut stream)?;
    stream.set_nonblocking(true).map_err(failed)?;
    Ok(stream)
}

fn peeked(stream: &TcpStream) -> Result<usize, std::io::ErrorKind> {
    stream.peek(&mut [0]).map_err(|error| error.kind())
}

/// Each idle connection takes one; without the right to raise it, opening them says so.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
}

fn active(bench: &Bench<'_>, workload: Workload) -> Load {
    Load {
        workload,
        bound: workload.numbers(),
        first: 0,
        connections: first_connections(bench.options),
        warm_up: bench.options.warm_up(),
        measured: bench.options.measured_time(),
    }
}

fn first_connections(options: &Options) -> u16 {
    options.connections.first().copied().unwrap_or(32)
}

fn driven(bench: &Bench<'_>, load: &Load) -> Result<Served, String> {
    let target = rounds::gateway_target(bench, load.workload);
    repeated(bench.options, || rounds::drive(bench, &target, &bench.watched, load).map(|drive| Served::new(&drive)))
}

/// The medians over the rounds.
fn repeated(options: &Options, mut once: impl FnMut() -> Result<Served, String>) -> Result<Served, String> {
    let all = (0..options.round_count()).map(|_| once()).collect::<Result<Vec<_>, _>>()?;
    let of = |of: &dyn Fn(&Served) -> f64| median(all.iter().map(of).collect());
    Ok(Served {
        calls_per_s: of(&|served| served.calls_per_s),
        server_us: of(&|served| served.server_us),
        postgres_us: of(&|served| served.postgres_us),
        client_us: of(&|served| served.client_us),
        p50_us: of(&|served| served.p50_us),
        p99_us: of(&|served| served.p99_us),
    })
}

fn say(what: &str, count: &impl Display) {
    eprintln!("growth: {what}: {count}");
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1_024.0
}

impl Points {
    fn new(
        name: &'static str,
        title: &'static str,
        across: &'static str,
        unit: &'static str,
        series: &[&'static str],
    ) -> Points {
        Points { name, title, across, unit, series: series.iter().map(|name| (*name, Vec::new())).collect() }
    }

    fn add(&mut self, series: usize, count: u64, value: f64) {
        if let Some((_, points)) = self.series.get_mut(series) {
            points.push((count as f64, value));
        }
    }

    fn curve(self) -> Curve {
        let series = self.series.into_iter().map(|(name, points)| Series { name: name.to_owned(), points });
        Curve {
            name: self.name.to_owned(),
            title: self.title.to_owned(),
            across: self.across.to_owned(),
            unit: self.unit.to_owned(),
            series: series.collect(),
        }
    }
}
