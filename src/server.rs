//! Starts and stops a gateway: database, registry, workers, admin listener, and the tasks that
//! keep them current.

pub(crate) mod descriptors;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admin::{self, Admin};
use crate::auth::Authenticator;
use crate::config::{Config, Roles};
use crate::db::connect::{AddressError, Connector};
use crate::db::{migrate, pool, wall};
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::http::Shared;
use crate::http::worker::{self, Workers};
use crate::lifecycle;
use crate::limit::traffic::Gathered;
use crate::record;
use crate::registry::listen;
use crate::telemetry::{Metrics, history, trace};

/// Deploys at a time that the admin listener takes on.
const DEPLOYS_MAX: usize = 4;

/// Between two readings of the registry when no word came: what was missed is caught by then.
const READ_ANYWAY_S: u64 = 60;

/// Between two attempts to read it for calls that wait.
const RENEW_AGAIN_MS: u64 = 100;

/// Between two sweeps of the answers that are kept for callers who ask again.
const SWEEP_ANSWERS_S: u64 = 60;

/// Between two looks for installs whose rows may go.
const ERASE_INSTALLS_S: u64 = 60;

/// Between two writings of what handlers logged, and how many of them before the oldest lines go.
const KEEP_LINES_MS: u64 = 250;
const TRIM_LINES_AFTER: usize = 40;

/// Between two writings of what was asked.
const KEEP_TRAFFIC_S: u64 = 60;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the database cannot be reached: {0}")]
    Database(String),
    #[error("the gateway's own tables could not be made: {0}")]
    Migrate(String),
    #[error("the tokens' keys cannot be read: {0}")]
    Auth(String),
    #[error("cannot listen on {address}: {reason}{hint}")]
    Listen { address: SocketAddr, reason: String, hint: &'static str },
    #[error("cannot start: {0}")]
    Other(String),
}

/// A gateway that is being served.
pub struct Server {
    pub gateway: Arc<Gateway>,
    pub pool: Pool,
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    stopping: watch::Sender<bool>,
    workers: Workers,
    admin: tokio::task::JoinHandle<()>,
    export_stop: CancellationToken,
    exporting: Option<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// Starts everything; when it returns, calls are answered.
    pub async fn start(config: Config) -> Result<Server, StartError> {
        let connector = Connector::new(&config.database)?;
        let pool = pool::open(&connector, &config.database).map_err(|error| StartError::Other(error.to_string()))?;
        {
            let client = pool.get().await.map_err(|error| StartError::Database(pool_error(&error)))?;
            let migrated = migrate::migrate(&client).await.map_err(|error| StartError::Migrate(error.to_string()))?;
            if config.database.roles == Roles::PerExtension && !migrated.missing.is_empty() {
                tracing::warn!(
                    statements = migrated.missing.len(),
                    "rights are missing or too many for the wall between extensions to hold; `rowgate roles` prints \
                     what a superuser has to run once"
                );
            }
        }
        let metrics = Metrics::new(&config.metrics).map_err(|error| StartError::Other(error.to_string()))?;
        let authenticator = Authenticator::new(&config.auth).map_err(|error| StartError::Auth(error.to_string()))?;
        let (listen_on, admin_on) = (config.http.listen, config.admin.listen);
        let count = config.http.workers();
        descriptors::raise(&config, count);
        let mut gateway = Gateway::new(config, authenticator, metrics).map_err(StartError::Other)?;
        let exporter = match &gateway.config.traces {
            None => None,
            Some(traces) => {
                let (exported, dropped) = (&gateway.metrics.spans_exported, &gateway.metrics.spans_dropped);
                let started = trace::start(traces, exported.clone(), dropped.clone());
                let (tracer, exporter) = started.map_err(|error| StartError::Other(error.to_string()))?;
                gateway.tracer = Some(tracer);
                Some(exporter)
            }
        };
        let gateway = Arc::new(gateway);
        gateway.reload(&pool).await.map_err(|failure| StartError::Database(failure.to_string()))?;
        count_changes(&gateway, &pool).await;
        warn_of_missing_roles(&gateway, &pool).await;
        let (stopping, stopped) = watch::channel(false);
        let admin_listener = std::net::TcpListener::bind(admin_on).map_err(|error| listen_error(admin_on, &error))?;
        let workers = worker::start(&gateway, &connector, listen_on, count, &stopped)
            .map_err(|error| listen_error(listen_on, &error))?;
        await_lanes(&workers, Duration::from_millis(gateway.config.database.connect_timeout_ms)).await;
        let erase = Arc::new(Notify::new());
        let shared = workers.shared.clone();
        let asked = shared.clone();
        let (simulating, deploying) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(DEPLOYS_MAX)));
        let admin =
            Admin { gateway: gateway.clone(), pool: pool.clone(), shared, erase: erase.clone(), simulating, deploying };
        let (admin_address, admin) =
            admin::start(admin, admin_listener, stopped.clone()).map_err(|error| listen_error(admin_on, &error))?;
        tokio::spawn(keep_registry_current(gateway.clone(), pool.clone(), connector, stopped.clone()));
        tokio::spawn(keep_signers_current(gateway.clone(), stopped.clone()));
        tokio::spawn(sweep_answers(pool.clone(), stopped.clone()));
        tokio::spawn(erase_installs(pool.clone(), erase, stopped.clone()));
        tokio::spawn(keep_lines(gateway.clone(), pool.clone(), stopped.clone()));
        tokio::spawn(remember(gateway.clone(), stopped.clone()));
        tokio::spawn(keep_traffic(gateway.clone(), asked, pool.clone(), stopped.clone()));
        tokio::spawn(sweep(gateway.clone(), stopped));
        let export_stop = CancellationToken::new();
        let exporting = exporter.map(|exporter| tokio::spawn(exporter.run(export_stop.clone())));
        let address = workers.address;
        Ok(Server { gateway, pool, address, admin_address, stopping, workers, admin, export_stop, exporting })
    }

    /// Reads the registry's tables again at once, as a change in them would have done soon.
    pub async fn reload(&self) -> Result<(), Failure> {
        self.gateway.reload(&self.pool).await
    }

    /// Says that it is not ready, and serves on for `http.drain_delay_ms`, telling clients to close. Then it
    /// takes no more connections, answers the calls under way, and ends.
    pub async fn stop(self) {
        self.gateway.draining.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(self.gateway.config.http.drain_delay_ms)).await;
        // The receivers end with their tasks; a task that ended already needs no word.
        let _ = self.stopping.send(true);
        let workers = self.workers;
        let shared = workers.shared.clone();
        if tokio::task::spawn_blocking(move || workers.join()).await.is_err() {
            tracing::error!("the workers could not be waited for");
        }
        if self.admin.await.is_err() {
            tracing::error!("the admin listener ended by a panic");
        }
        self.export_stop.cancel();
        if let Some(exporting) = self.exporting
            && exporting.await.is_err()
        {
            tracing::error!("the exporter of traces ended by a panic");
        }
        // What the last calls logged, and that they were made.
        write_lines(&self.gateway, &self.pool).await;
        write_traffic(&shared, &self.pool).await;
        self.pool.close();
    }
}

/// A database that was copied to another server comes without the roles, which are the server's.
async fn warn_of_missing_roles(gateway: &Gateway, pool: &Pool) {
    let snapshot = gateway.snapshot();
    let roles: Vec<&str> = snapshot.extensions.values().filter_map(|extension| extension.role.as_deref()).collect();
    let Ok(client) = pool.get().await else { return };
    // Who cannot ask is told by the calls that fail.
    for role in wall::not_takeable(&client, &roles).await.unwrap_or_default() {
        tracing::error!(role, "the database role of an extension is missing here; deploy the extension again");
    }
}

/// Waits until every worker can serve, or for as long as connecting may take: a database that is
/// away for now does not keep the gateway from starting.
async fn await_lanes(workers: &Workers, within: Duration) {
    let began = Instant::now();
    while began.elapsed() < within && !workers.shared.iter().all(|shared| shared.worker.is_whole()) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads the registry after each change that is told, and now and then.
async fn keep_registry_current(
    gateway: Arc<Gateway>,
    pool: Pool,
    connector: Connector,
    mut stopping: watch::Receiver<bool>,
) {
    let (changed, mut changes) = mpsc::channel(1);
    let listening = tokio::spawn(listen::listen(connector, changed));
    let _keeping = gateway.renewal.keep();
    let mut read_anyway = tokio::time::interval(Duration::from_secs(READ_ANYWAY_S));
    read_anyway.reset();
    loop {
        let is_asked = tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            word = changes.recv() => if word.is_none() { break } else { false },
            () = gateway.renewal.rung() => true,
            _ = read_anyway.tick() => false,
        };
        // Who asks from here on may have met what is committed from here on.
        let wanted = gateway.renewal.wanted();
        let read = if is_asked { gateway.renew(&pool, &wanted).await } else { gateway.reload(&pool).await };
        match read {
            Ok(()) => {
                gateway.renewal.answer(&wanted);
                count_changes(&gateway, &pool).await;
            }
            Err(failure) => {
                tracing::warn!(%failure, "the registry could not be read; what was deployed last is served");
                if !wanted.extensions.is_empty() {
                    // Those who wait have deadlines of their own.
                    tokio::time::sleep(Duration::from_millis(RENEW_AGAIN_MS)).await;
                    gateway.renewal.ring();
                }
            }
        }
    }
    listening.abort();
}

/// Changes of tables that somebody has to finish, by deploying again.
async fn count_changes(gateway: &Gateway, pool: &Pool) {
    let Ok(client) = pool.get().await else { return };
    match record::changes::count(&**client).await {
        Ok(count) => gateway.metrics.changes_pending.set(count),
        Err(error) => tracing::debug!(%error, "the changes under way could not be counted"),
    }
}

async fn keep_signers_current(gateway: Arc<Gateway>, mut stopping: watch::Receiver<bool>) {
    tokio::select! {
        () = gateway.authenticator.keep_signers_current() => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
}

/// Remembers what calls came to, step by step.
async fn remember(gateway: Arc<Gateway>, mut stopping: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(history::STEP);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => {
                let snapshot = gateway.snapshot();
                gateway.metrics.remember(snapshot.installs.values().map(|install| (install.id, install.traffic.tally())));
            }
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Drops the buckets of callers who have not called for long enough.
async fn sweep(gateway: Arc<Gateway>, mut stopping: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(Duration::from_secs(gateway.config.limits.sweep_interval_s));
    loop {
        tokio::select! {
            _ = interval.tick() => {
                let swept = gateway.limiter.sweep();
                tracing::debug!(swept, "buckets that were full again are dropped");
            }
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
    }
}

/// Drops the answers that were kept for callers who may have asked again, and are kept no longer.
async fn sweep_answers(pool: Pool, mut stopping: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(Duration::from_secs(SWEEP_ANSWERS_S));
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        let Ok(client) = pool.get().await else { continue };
        match record::answers::sweep(&**client).await {
            Ok(swept) => tracing::debug!(swept, "answers that were kept long enough are dropped"),
            Err(error) => tracing::warn!(reason = %error, "the answers that were kept could not be swept"),
        }
    }
}

/// Erases installs that were uninstalled for long enough, now and then and when an operator asks for it.
async fn erase_installs(pool: Pool, asked: Arc<Notify>, mut stopping: watch::Receiver<bool>) {
    let period = Duration::from_secs(ERASE_INSTALLS_S);
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = asked.notified() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        match lifecycle::erase::round(&pool, || *stopping.borrow()).await {
            Ok(0) => {}
            Ok(receipts) => tracing::info!(receipts, "what was uninstalled for long enough is erased"),
            Err(error) => tracing::warn!(reason = %error, "what is to be erased could not be; it is tried again"),
        }
    }
}

/// Writes what handlers logged, and drops what their installs have too much of.
async fn keep_lines(gateway: Arc<Gateway>, pool: Pool, mut stopping: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(Duration::from_millis(KEEP_LINES_MS));
    let mut written = BTreeSet::new();
    for turn in 1.. {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        written.extend(write_lines(&gateway, &pool).await);
        if turn % TRIM_LINES_AFTER != 0 || written.is_empty() {
            continue;
        }
        let installs: Vec<Uuid> = std::mem::take(&mut written).into_iter().collect();
        let Ok(client) = pool.get().await else { continue };
        if let Err(error) = record::lines::trim(&**client, &installs).await {
            tracing::warn!(reason = %error, "the oldest lines of handlers could not be dropped");
        }
    }
}

/// Writes what was asked, once a minute, and drops what is old enough.
async fn keep_traffic(
    gateway: Arc<Gateway>,
    shared: Vec<Arc<Shared>>,
    pool: Pool,
    mut stopping: watch::Receiver<bool>,
) {
    let kept_h = gateway.config.limits.traffic_kept_h;
    let period = Duration::from_secs(KEEP_TRAFFIC_S);
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        write_traffic(&shared, &pool).await;
        let Ok(client) = pool.get().await else { continue };
        if let Err(error) = record::traffic::drop_old(&**client, kept_h).await {
            tracing::warn!(reason = %error, "what was asked long ago could not be dropped");
        }
    }
}

async fn write_traffic(shared: &[Arc<Shared>], pool: &Pool) {
    let mut gathered = Gathered::default();
    shared.iter().for_each(|shared| gathered.add(shared.worker.traffic.take()));
    if gathered.left_out > 0 {
        tracing::warn!(
            left_out = gathered.left_out,
            "more callers than `limits.traffic_callers_max`; simulations miss calls"
        );
    }
    let Some(began_s) = gathered.began_s() else { return };
    let kept = async {
        let client = pool.get().await.map_err(|error| pool_error(&error))?;
        let kept = record::traffic::keep(&**client, began_s, Uuid::now_v7(), &gathered.to_bytes(began_s)).await;
        kept.map_err(|error| crate::db::sqlstate::chain(&error))
    };
    if let Err(reason) = kept.await {
        tracing::warn!(reason, "what was asked could not be kept; simulations miss it");
    }
}

/// The installs whose lines were written.
async fn write_lines(gateway: &Gateway, pool: &Pool) -> Vec<Uuid> {
    let (lines, lost) = gateway.lines.take();
    if lost > 0 {
        gateway.metrics.handler_lines_lost.inc_by(lost);
        tracing::warn!(lost, "handlers log more than the database takes");
    }
    if lines.is_empty() {
        return Vec::new();
    }
    let kept = async {
        let client = pool.get().await.map_err(|error| pool_error(&error))?;
        record::lines::keep(&**client, &lines).await.map_err(|error| crate::db::sqlstate::chain(&error))
    };
    if let Err(reason) = kept.await {
        gateway.metrics.handler_lines_lost.inc_by(lines.len() as u64);
        tracing::warn!(lost = lines.len(), reason, "what handlers logged could not be kept");
    }
    lines.into_iter().map(|line| line.install_id).collect()
}

fn listen_error(address: SocketAddr, error: &io::Error) -> StartError {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has the port: stop it, or choose another with --port (0 picks a free one)"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
        _ => "",
    };
    StartError::Listen { address, reason: error.to_string(), hint }
}

fn pool_error(error: &deadpool_postgres::PoolError) -> String {
    match error {
        deadpool_postgres::PoolError::Backend(error) => crate::db::sqlstate::chain(error),
        other => other.to_string(),
    }
}
