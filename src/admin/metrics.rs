//! `GET /metrics`: what was counted, and what pools, workers and the registry say of themselves now.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, header};

use crate::admin::Admin;
use crate::db::lane::Lanes;
use crate::db::pipeline::Statements;
use crate::error::{Code, Failure};
use crate::gateway::crowd::Crowd;
use crate::gateway::{Crowds, Gateway, Worker};
use crate::problem;
use crate::telemetry::sheet::{Kind, Sheet};

/// The connections of one pool.
struct Pool {
    name: &'static str,
    max: usize,
    open: usize,
    in_use: usize,
}

/// Who waits for a place, and how many did in vain.
struct Waits {
    name: &'static str,
    waiting: usize,
    /// Unknown where the driver does not count them.
    timeouts: Option<u64>,
}

pub(super) async fn scrape(State(admin): State<Admin>) -> Response<Body> {
    let metrics = &admin.gateway.metrics;
    metrics.calls_in_flight.set(i64::try_from(admin.gateway.calls_in_flight()).unwrap_or(i64::MAX));
    match metrics.sheet() {
        Ok(mut sheet) => {
            database(&mut sheet, &admin);
            scripts(&mut sheet, &admin);
            registry(&mut sheet, &admin.gateway);
            let mut response = Response::new(Body::from(sheet.into_text()));
            let text_format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, text_format);
            response
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            let failure = Failure::new(Code::Internal, "the metrics could not be written");
            problem::response(&failure, "/metrics", "")
        }
    }
}

fn database(sheet: &mut Sheet, admin: &Admin) {
    let workers = || admin.shared.iter().map(|shared| &shared.worker);
    let lanes = |of: fn(&Worker) -> &Lanes| workers().map(of).collect::<Vec<&Lanes>>();
    let (reads, writes) = (lanes(Worker::reads), lanes(Worker::writes));
    let settings = &admin.gateway.config.database;
    let own = admin.pool.status();
    let in_transactions: usize = workers().map(|worker| worker.transactions.in_use()).sum();
    let idle: usize = workers().map(|worker| worker.transactions.idle_count()).sum();
    let pools = [
        of_lanes("read", &reads),
        of_lanes("write", &writes),
        Pool {
            name: "transaction",
            max: settings.transaction_connections_max * admin.shared.len(),
            open: in_transactions + idle,
            in_use: in_transactions,
        },
        Pool { name: "own", max: own.max_size, open: own.size, in_use: own.size.saturating_sub(own.available) },
    ];
    let help = "Connections to the database that there may be, by pool";
    let mut family = sheet.family("rowgate_database_connections_max", Kind::Gauge, help);
    pools.iter().for_each(|pool| family.sample(&[("pool", pool.name)], pool.max));
    let mut family =
        sheet.family("rowgate_database_connections_open", Kind::Gauge, "Open connections to the database, by pool");
    pools.iter().for_each(|pool| family.sample(&[("pool", pool.name)], pool.open));
    let help = "Calls or transactions that are with the database, by pool";
    let mut family = sheet.family("rowgate_database_pool_in_use", Kind::Gauge, help);
    pools.iter().for_each(|pool| family.sample(&[("pool", pool.name)], pool.in_use));
    let waits = [
        waits_of_lanes("read", &reads),
        waits_of_lanes("write", &writes),
        Waits {
            name: "transaction",
            waiting: workers().map(|worker| worker.transactions.waits().waiting()).sum(),
            timeouts: Some(workers().map(|worker| worker.transactions.waits().timeouts()).sum()),
        },
        Waits {
            name: "handler",
            waiting: workers().map(|worker| worker.turn_waits().waiting()).sum(),
            timeouts: Some(workers().map(|worker| worker.turn_waits().timeouts()).sum()),
        },
        Waits { name: "own", waiting: own.waiting, timeouts: None },
    ];
    let help = "Who waits for a place, by pool";
    let mut family = sheet.family("rowgate_database_pool_waiting", Kind::Gauge, help);
    waits.iter().for_each(|waits| family.sample(&[("pool", waits.name)], waits.waiting));
    let help = "Waits for a place that were given up, by pool";
    let mut family = sheet.family("rowgate_database_pool_timeouts_total", Kind::Counter, help);
    for (waits, timeouts) in waits.iter().filter_map(|waits| Some((waits, waits.timeouts?))) {
        family.sample(&[("pool", waits.name)], timeouts);
    }
    statements(sheet, [("read", sum(&reads)), ("write", sum(&writes))]);
    crowds(sheet, admin);
}

fn crowds(sheet: &mut Sheet, admin: &Admin) {
    type Of = fn(&Crowds) -> &Crowd;
    let of: [(&str, Of); 3] =
        [("read", |of| &of.reads), ("write", |of| &of.writes), ("transaction", |of| &of.transactions)];
    let crowds = |of: Of| admin.shared.iter().map(move |shared| of(&shared.worker.crowds));
    let help = "What a call that comes now waits for those ahead of it, by pool, in the worker where it waits longest";
    let mut family = sheet.family("rowgate_database_pool_wait_seconds", Kind::Gauge, help);
    for (pool, of) in of {
        let longest = crowds(of).map(Crowd::wait).max().unwrap_or_default();
        family.sample(&[("pool", pool)], longest.as_secs_f64());
    }
    let help = "Calls refused at once, since too many were ahead of them, by pool";
    let mut family = sheet.family("rowgate_database_pool_refused_total", Kind::Counter, help);
    for (pool, of) in of {
        family.sample(&[("pool", pool)], crowds(of).map(Crowd::refused).sum::<u64>());
    }
}

fn statements(sheet: &mut Sheet, of: [(&str, Statements); 2]) {
    let families = [
        ("rowgate_statements_kept", Kind::Gauge, "Prepared statements that are kept", of.map(|(_, of)| of.kept)),
        (
            "rowgate_statement_hits_total",
            Kind::Counter,
            "Calls whose statement was prepared before",
            of.map(|(_, of)| of.hits),
        ),
        (
            "rowgate_statements_prepared_total",
            Kind::Counter,
            "Statements that were prepared",
            of.map(|(_, of)| of.prepared),
        ),
        (
            "rowgate_statements_evicted_total",
            Kind::Counter,
            "Prepared statements that made room for others",
            of.map(|(_, of)| of.evicted),
        ),
    ];
    for (name, kind, help, counts) in families {
        let mut family = sheet.family(name, kind, help);
        of.iter().zip(counts).for_each(|((pool, _), count)| family.sample(&[("pool", pool)], count));
    }
}

fn scripts(sheet: &mut Sheet, admin: &Admin) {
    let pools = || admin.shared.iter().map(|shared| &shared.worker.scripts);
    let max = admin.gateway.config.script.machines_max * admin.shared.len();
    sheet.single("rowgate_script_calls_max", Kind::Gauge, "Handlers that may run at once", max);
    let running: usize = pools().map(|pool| pool.running()).sum();
    sheet.single("rowgate_script_calls_running", Kind::Gauge, "Handlers that run", running);
    let workers = pools().filter(|pool| pool.worker_pid().is_some()).count();
    sheet.single("rowgate_script_workers", Kind::Gauge, "Script workers that take calls", workers);
    let counted = |of: fn(&crate::script::pool::Counts) -> &std::sync::atomic::AtomicU64| -> u64 {
        pools().map(|pool| of(pool.counts()).load(std::sync::atomic::Ordering::Relaxed)).sum()
    };
    let help = "Script workers that were started";
    sheet.single("rowgate_script_workers_started_total", Kind::Counter, help, counted(|counts| &counts.started));
    let help = "Script workers that ended with calls on them, or were killed";
    sheet.single("rowgate_script_workers_lost_total", Kind::Counter, help, counted(|counts| &counts.lost));
    let help = "Handlers refused, since as many as may be were running";
    sheet.single("rowgate_script_calls_refused_total", Kind::Counter, help, counted(|counts| &counts.full));
}

fn registry(sheet: &mut Sheet, gateway: &Gateway) {
    let help = "Time since the registry was last read";
    sheet.single("rowgate_registry_age_seconds", Kind::Gauge, help, gateway.registry_age().as_secs_f64());
    let snapshot = gateway.snapshot();
    let help = "Deploys and removals so far: equal where the same is served, and greater after each";
    sheet.single("rowgate_registry_revision", Kind::Gauge, help, snapshot.revision);
    let help = "Revisions that are kept for installs that are pinned to them";
    sheet.single("rowgate_revisions_pinned", Kind::Gauge, help, snapshot.pinned.len());
    let help = "Buckets that the rate limits hold";
    sheet.single("rowgate_limit_buckets", Kind::Gauge, help, gateway.limiter.buckets());
}

fn of_lanes(name: &'static str, lanes: &[&Lanes]) -> Pool {
    let sum = |of: fn(&Lanes) -> usize| lanes.iter().map(|lanes| of(lanes)).sum();
    Pool { name, max: sum(Lanes::count), open: sum(Lanes::open_count), in_use: sum(Lanes::in_flight) }
}

fn waits_of_lanes(name: &'static str, lanes: &[&Lanes]) -> Waits {
    let waiting = lanes.iter().map(|lanes| lanes.waits().waiting()).sum();
    Waits { name, waiting, timeouts: Some(lanes.iter().map(|lanes| lanes.waits().timeouts()).sum()) }
}

fn sum(lanes: &[&Lanes]) -> Statements {
    lanes.iter().map(|lanes| lanes.statements()).fold(Statements::default(), Statements::and)
}
