//! The composition root, and [`Gateway::call`]: resolve, limit, read the arguments, run, answer.
//!
//! It knows no HTTP type: tests, benches, the command line and every transport call this one
//! function. Each worker brings its own [`Worker`] with connections of its own.

mod batch;
pub mod crowd;
mod handler;
pub mod lines;
pub mod once;
mod renewed;
mod transaction;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use arc_swap::ArcSwap;
use deadpool_postgres::Pool;
use rowgate_schema_dsl::definition::IdentityField;
use rowgate_schema_dsl::value::Typed;
use uuid::Uuid;

use crate::auth::{Authenticator, Caller, Identity};
use crate::cache::Cache;
use crate::config::{Config, Limits};
use crate::db::connect::{Connector, Purpose};
use crate::db::lane::Lanes;
use crate::db::parameter::Parameter;
use crate::db::pipeline::Request;
use crate::db::pool;
use crate::db::run::run;
use crate::db::transaction::{Open, Step, Transactions};
use crate::db::waits::Waits;
use crate::error::{Code, Failure};
use crate::fetch::{self, Fetcher};
use crate::gateway::crowd::{Crowd, Whose};
pub(crate) use crate::gateway::handler::settings as script_settings;
use crate::gateway::lines::Lines;
use crate::gateway::once::Named;
use crate::gateway::renewed::Ran;
use crate::gateway::transaction::Earlier;
use crate::limit::traffic::{Asker, Traffic};
use crate::limit::{CallerKind, Class, Decision, Keys, Layer, Limiter, shared};
use crate::plan::answer::{Room, Text};
use crate::plan::argument::{Arguments, Given};
use crate::plan::cursor::CursorKey;
use crate::plan::page::{Side, Turn};
use crate::plan::statement::{Binding, Statement};
use crate::plan::{Guard, Plan};
use crate::record;
use crate::registry::renewal::{Renewal, Wanted};
use crate::registry::{ANSWER_BYTES_MAX, ANSWER_BYTES_MIN, Function, Install, Snapshot};
use crate::script;
use crate::telemetry::Metrics;
use crate::telemetry::trace::Tracer;
use crate::vault::Vault;

/// What all workers share.
pub struct Gateway {
    pub config: Config,
    pub authenticator: Authenticator,
    pub limiter: Limiter,
    /// Where buckets are shared with other gateways.
    pub shared_limits: Option<Arc<shared::Commons>>,
    pub metrics: Metrics,
    /// Takes the spans of calls, where there are traces.
    pub tracer: Option<Arc<Tracer>>,
    /// What handlers logged and is not in the database yet.
    pub lines: Lines,
    pub vault: Vault,
    /// What handlers had remembered.
    pub cache: Cache,
    fetch: fetch::Commons,
    /// Calls that met newer tables, and wait for the registry.
    pub renewal: Renewal,
    /// Who reads the registry's tables has what is read in force before the next one begins: no older
    /// reading replaces a newer one.
    reading: tokio::sync::Mutex<()>,
    registry: ArcSwap<Snapshot>,
    /// When the registry was last read.
    read_at: Mutex<Instant>,
    /// Calls that the rate limits let pass, by class.
    allowed: [prometheus::IntCounter; Class::ALL.len()],
    calls_in_flight: AtomicUsize,
    /// Whether it is about to stop: clients are told to go elsewhere.
    pub draining: AtomicBool,
}

/// One worker's connections, opened on its own runtime.
pub struct Worker {
    reads: Lanes,
    writes: Lanes,
    pub transactions: Transactions,
    /// Who waits for each of these.
    pub crowds: Crowds,
    /// Where buckets are shared with other gateways.
    pub limits: Option<shared::Link>,
    /// What this worker was asked.
    pub traffic: Traffic,
    turns: handler::Turns,
    /// The handlers of this worker's calls.
    pub scripts: script::pool::Pool,
    /// What its actions reach the world outside with.
    pub fetcher: Fetcher,
}

/// The calls that wait for a worker's connections.
pub struct Crowds {
    pub reads: Crowd,
    pub writes: Crowd,
    pub transactions: Crowd,
}

impl Crowds {
    fn new(config: &Config) -> Crowds {
        let database = &config.database;
        let target = Duration::from_millis(config.http.wait_target_ms);
        let wait_max = Duration::from_millis(database.pool_wait_timeout_ms);
        Crowds {
            reads: Crowd::new(database.read_lanes, target, wait_max),
            writes: Crowd::new(database.write_lanes, target, wait_max),
            // They take as long as several calls, and whoever finds no connection waits for it anyhow.
            transactions: Crowd::new(database.transaction_connections_max, target.max(wait_max / 4), wait_max),
        }
    }
}

/// One call of one function.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    pub install_id: Uuid,
    pub function: &'a str,
    pub identity: &'a Identity,
    /// JSON text of the arguments: an object, or nothing.
    pub arguments: &'a [u8],
    /// The version that the row to be written must still have.
    pub version: Option<i64>,
    /// What its caller calls it, where it is to happen once; a read may happen as often as it is asked.
    pub named: Option<Named<'a>>,
    /// As its caller is told it, for the lines that handlers log.
    pub request_id: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A call without conditions.
    pub fn new(install_id: Uuid, function: &'a str, identity: &'a Identity, arguments: &'a [u8]) -> Call<'a> {
        Call { install_id, function, identity, arguments, version: None, named: None, request_id: None }
    }
}

/// What a call came to.
#[derive(Debug)]
pub struct Reply {
    /// The answer's JSON text.
    pub result: Result<Vec<u8>, Failure>,
    /// The version of the row, where the answer is one.
    pub version: Option<i64>,
    /// Whether it is the answer of the same call, made before.
    pub replayed: bool,
    /// What the rate limits decided, once the call got so far.
    pub decision: Option<Decision>,
    pub stages: Stages,
}

impl Reply {
    fn is_outdated(&self) -> bool {
        self.result.as_ref().is_err_and(|failure| failure.is_outdated)
    }
}

impl Default for Reply {
    fn default() -> Self {
        Reply { result: Ok(Vec::new()), version: None, replayed: false, decision: None, stages: Stages::default() }
    }
}

/// Time spent in each stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stages {
    /// Finding the function, deciding access and limits, reading arguments.
    pub plan: Duration,
    /// Binding, the database, and writing the answer.
    pub database: Duration,
}

/// What a call names, kept to its end whatever is deployed meanwhile.
struct Found {
    install: Arc<Install>,
    function: Arc<Function>,
    /// Where the function answers pages.
    cursor_key: Option<Arc<CursorKey>>,
}

impl Found {
    /// Counts what became of the call.
    fn count(&self, result: &Result<Vec<u8>, Failure>, began: Instant) {
        match result {
            Ok(_) => {
                self.install.traffic.answered();
                self.function.metrics.succeeded(began.elapsed());
            }
            Err(failure) => {
                self.install.traffic.failed(failure.code);
                self.function.metrics.failed(failure.code, began.elapsed());
            }
        }
    }
}

/// A call with its arguments read and its statement chosen.
struct Ready<'a> {
    install: &'a Install,
    plan: &'a Plan,
    scope_key: Uuid,
    given: Given,
    turn: Option<Turn>,
    /// None where it has steps instead.
    statement: Option<&'a Statement>,
    steps: Vec<Ready<'a>>,
}

/// A second statement, with what is bound to it.
struct Looking<'a> {
    statement: &'a Statement,
    parameters: Vec<Parameter<'a>>,
}

impl Ready<'_> {
    /// What is bound, in the order of the statement's parameters.
    fn parameters<'a>(&'a self, identity: &'a Identity) -> Result<Vec<Parameter<'a>>, Failure> {
        self.bound(self.statement()?, identity, Earlier::default())
    }

    fn statement(&self) -> Result<&Statement, Failure> {
        self.statement.ok_or_else(no_statement)
    }

    fn bound<'a>(
        &'a self,
        statement: &'a Statement,
        identity: &'a Identity,
        earlier: Earlier<'a>,
    ) -> Result<Vec<Parameter<'a>>, Failure> {
        let Ready { install, scope_key, given, turn, .. } = self;
        let mut parameters = Vec::with_capacity(statement.bindings.len());
        for binding in &statement.bindings {
            parameters.push(parameter(binding, *scope_key, given, turn.as_ref(), identity, install, earlier)?);
        }
        Ok(parameters)
    }

    /// What finds the row of a guarded write that was not there in the version that was known.
    fn looking<'a>(
        &'a self,
        guard: &'a Guard,
        identity: &'a Identity,
        earlier: Earlier<'a>,
    ) -> Result<Looking<'a>, Failure> {
        let statement = guard.look.statement(&self.given).ok_or_else(no_statement)?;
        Ok(Looking { statement, parameters: self.bound(statement, identity, earlier)? })
    }

    /// Runs it within `open`; gives the version of the row, where the answer is one. Its answer is refused
    /// beyond `bytes_max`.
    async fn step(
        &self,
        open: &mut Open<'_>,
        identity: &Identity,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<i64>, Failure> {
        if !self.steps.is_empty() {
            return self.all(open, identity, bytes_max, out).await.map(|()| None);
        }
        let parameters = self.parameters(identity)?;
        let (Ready { plan, turn, .. }, statement) = (self, self.statement()?);
        let step = Step { plan, statement, parameters: &parameters, turn: turn.as_ref(), bytes_max };
        let ran = open.run(step, out).await;
        if let (Err(failure), Some(guard)) = (&ran, plan.guard_of(&self.given))
            && failure.code == Code::RowNotFound
        {
            let Looking { statement, parameters } = self.looking(guard, identity, Earlier::default())?;
            let look = Step { plan: &guard.look, statement, parameters: &parameters, turn: None, ..step };
            let looked = open.run(look, out).await?;
            return Err(self.mismatch(guard, looked.version));
        }
        Ok(ran?.version)
    }

    /// The row is there in another version.
    fn mismatch(&self, guard: &Guard, version: Option<i64>) -> Failure {
        let known = self.given.version_or(guard.argument);
        let detail = match (version, known) {
            (Some(version), Some(known)) if version != known => {
                format!("the row has changed: it has version {version}, not {known}")
            }
            _ => "the row has changed".to_owned(),
        };
        Failure::new(Code::VersionMismatch, detail)
    }
}

/// Counts a call as under way until dropped, also when the caller goes away.
struct InFlight<'a>(&'a Gateway);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.calls_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Opens the worker's lanes on the current runtime.
    pub fn open(connector: &Connector, gateway: &Gateway) -> Worker {
        let config = &gateway.config;
        let database = &config.database;
        Worker {
            reads: Lanes::open(connector, Purpose::Read, database),
            writes: Lanes::open(connector, Purpose::of_writes(database.durability), database),
            transactions: Transactions::new(connector, database),
            crowds: Crowds::new(config),
            traffic: Traffic::new(traffic_callers_max(&config.limits)),
            limits: gateway.shared_limits.as_ref().map(shared::Link::open),
            turns: handler::Turns::new(database.transaction_connections_max),
            scripts: script::pool::Pool::new(handler::settings(&config.script)),
            fetcher: Fetcher::new(&config.fetch, &gateway.fetch),
        }
    }

    /// How many of the worker's lanes are open, and how many there are.
    pub fn is_ready(&self) -> bool {
        self.reads.open_count() > 0 && self.writes.open_count() > 0
    }

    /// Whether every lane is open: the state to begin in.
    pub fn is_whole(&self) -> bool {
        self.limits.as_ref().is_none_or(shared::Link::is_open)
            && self.reads.open_count() == self.reads.count()
            && self.writes.open_count() == self.writes.count()
    }

    /// The lanes of calls that read.
    pub fn reads(&self) -> &Lanes {
        &self.reads
    }

    /// The lanes of calls that write.
    pub fn writes(&self) -> &Lanes {
        &self.writes
    }

    /// Handlers that wait until another one of their extension has given its connection back.
    pub fn turn_waits(&self) -> &Waits {
        self.turns.waits()
    }
}

impl Gateway {
    /// The error says which setting cannot be used, and never what it is.
    pub fn new(config: Config, authenticator: Authenticator, metrics: Metrics) -> Result<Gateway, String> {
        let of_links = shared::Metrics { open: metrics.limit_links.clone(), alone: metrics.limits_alone.clone() };
        Ok(Gateway {
            shared_limits: shared::Commons::new(&config.limits, of_links)?.map(Arc::new),
            vault: Vault::new(&config.secrets)?,
            cache: Cache::new(&config.cache),
            fetch: fetch::Commons::new(&config.fetch)?,
            limiter: Limiter::new(&config.limits),
            config,
            authenticator,
            allowed: Class::ALL.map(|class| allowed(&metrics, class)),
            metrics,
            tracer: None,
            lines: Lines::default(),
            renewal: Renewal::default(),
            reading: tokio::sync::Mutex::default(),
            registry: ArcSwap::from_pointee(Snapshot::default()),
            read_at: Mutex::new(Instant::now()),
            calls_in_flight: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
        })
    }

    /// What is deployed now. A call keeps the snapshot it began with, unless it is run again.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.load_full()
    }

    /// Puts `snapshot` in force; calls under way end on the one they began with.
    pub fn swap(&self, snapshot: Snapshot) {
        self.metrics.snapshots.inc();
        self.metrics.extensions.set(i64::try_from(snapshot.extensions.len()).unwrap_or(i64::MAX));
        self.metrics.installs.set(i64::try_from(snapshot.installs.len()).unwrap_or(i64::MAX));
        self.registry.store(Arc::new(snapshot));
    }

    /// Reads the registry's tables anew and puts what they say in force.
    pub async fn reload(&self, pool: &Pool) -> Result<(), Failure> {
        let _turn = self.reading.lock().await;
        let everything = load(pool).await.inspect_err(|_| self.metrics.snapshots_failed.inc())?;
        self.renewal.remember(&everything.extensions);
        let before = self.snapshot();
        self.swap(Snapshot::build(everything, &before, &self.config.limits, &self.metrics));
        *self.read_at() = Instant::now();
        Ok(())
    }

    /// How long ago the registry was last read.
    pub fn registry_age(&self) -> Duration {
        self.read_at().elapsed()
    }

    fn read_at(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.read_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the registry anew where any of the extensions that are `wanted` was deployed since it was
    /// last read.
    pub async fn renew(&self, pool: &Pool, wanted: &Wanted) -> Result<(), Failure> {
        let stamps = {
            let client = pool::take(pool).await?;
            record::stamps(&**client, &wanted.extensions).await.map_err(|error| {
                Failure::new(Code::DatabaseUnavailable, "the registry cannot be read").with_log(error.to_string())
            })?
        };
        if self.renewal.is_news(&stamps) { self.reload(pool).await } else { Ok(()) }
    }

    /// Calls under way on all workers.
    pub fn calls_in_flight(&self) -> usize {
        self.calls_in_flight.load(Ordering::Relaxed)
    }

    /// Answers one call.
    pub async fn call(&self, worker: &Worker, call: Call<'_>) -> Reply {
        self.call_at(worker, call, 0).await
    }

    /// [`Gateway::call`], by a handler that so many others have called.
    async fn call_at(&self, worker: &Worker, call: Call<'_>, depth: u32) -> Reply {
        let began = Instant::now();
        let (reply, outdated) = self.try_call(worker, &call, None, began, depth).await;
        match outdated {
            None => reply,
            // Boxed, so that calls to which this does not happen keep no room for it.
            Some(ran) => Box::pin(self.again(worker, &call, reply, ran, began, depth)).await,
        }
    }

    /// Answers one call by the snapshot of this moment; `decided` is what the rate limits did when it was
    /// run before. What it ran as is answered where it met tables that may be newer.
    async fn try_call(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        decided: Option<Decision>,
        began: Instant,
        depth: u32,
    ) -> (Reply, Option<Box<Ran>>) {
        let mut reply = Reply { decision: decided, ..Reply::default() };
        let snapshot = self.registry.load();
        if let Some(found) = handler::find(&snapshot, call) {
            drop(snapshot);
            return self.call_handler(worker, call, found, reply, began, depth).await;
        }
        let found = self.find(&snapshot, call);
        drop(snapshot);
        let found = match found {
            Ok(found) => found,
            Err(failure) => {
                reply.result = Err(failure);
                return (reply, None);
            }
        };
        let served = self.serve(worker, call, &found, began, &mut reply).await;
        reply.result = served.map(|Text { json, version }| {
            reply.version = version;
            json
        });
        if reply.is_outdated() {
            return (reply, Some(Box::new(Ran::Function(found))));
        }
        found.count(&reply.result, began);
        (reply, None)
    }

    async fn serve(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: &Found,
        began: Instant,
        reply: &mut Reply,
    ) -> Result<Text, Failure> {
        let _in_flight = self.admit(worker, call, found, &mut reply.decision).await?;
        let ready = self.ready(call, found)?;
        let stages = &mut reply.stages;
        let whose = whose(&found.install);
        let named = call.named.as_ref().filter(|_| ready.plan.writes);
        if named.is_some() || !ready.steps.is_empty() {
            stages.plan = began.elapsed();
            let seat = worker.crowds.transactions.admit(whose, began + stages.plan, || true)?;
            let ran = match named {
                Some(named) => self.once(worker, call, named, &ready, began).await,
                None => self.transact(worker, call, &ready, began).await.map(|text| (text, false)),
            };
            stages.database = began.elapsed().saturating_sub(stages.plan);
            seat.end(stages.database);
            let (text, replayed) = ran?;
            reply.replayed = replayed;
            return Ok(text);
        }
        let parameters = ready.parameters(call.identity)?;
        stages.plan = began.elapsed();
        let Found { function, .. } = found;
        let plan = &function.plan;
        let Worker { reads, writes, crowds, .. } = worker;
        let (lanes, crowd) = if plan.writes { (writes, &crowds.writes) } else { (reads, &crowds.reads) };
        let seat = crowd.admit(whose, began + stages.plan, || lanes.open_count() > 0)?;
        let expected = function.answer_bytes.load(Ordering::Relaxed);
        // What was written was, and is answered.
        let bytes_max = if plan.writes { usize::MAX } else { self.config.http.answer_bytes_max };
        let request = Request {
            plan,
            statement: ready.statement()?,
            parameters: &parameters,
            turn: ready.turn.as_ref(),
            role: found.install.extension.role.as_ref(),
            alone: false,
            room: Room { bytes: expected, bytes_max },
            deadline: tokio::time::Instant::from_std(began) + Duration::from_millis(self.config.http.call_timeout_ms),
        };
        let mut ran = run(lanes, request).await;
        if let (Err(failure), Some(guard)) = (&ran, plan.guard_of(&ready.given))
            && failure.code == Code::RowNotFound
        {
            let Looking { statement, parameters } = ready.looking(guard, call.identity, Earlier::default())?;
            let looked = run(lanes, Request { plan: &guard.look, statement, parameters: &parameters, ..request });
            ran = looked.await.and_then(|looked| Err(ready.mismatch(guard, looked.version)));
        }
        stages.database = began.elapsed().saturating_sub(stages.plan);
        seat.end(stages.database);
        let text = ran?;
        // Written only where it moved, so that workers do not share a line of memory for it.
        let length = text.json.len();
        if length > expected || length < expected / 4 {
            let room = length + length / 8;
            function.answer_bytes.store(room.clamp(ANSWER_BYTES_MIN, ANSWER_BYTES_MAX), Ordering::Relaxed);
        }
        Ok(text)
    }

    /// What `call` names, or why it names nothing.
    fn find(&self, snapshot: &Snapshot, call: &Call<'_>) -> Result<Found, Failure> {
        let (install, function) = resolve(snapshot, call).inspect_err(|failure| {
            self.metrics.refuse(failure.code);
        })?;
        let cursor_key = function.plan.page().and(snapshot.cursor_key.clone());
        Ok(Found { install: install.clone(), function: function.clone(), cursor_key })
    }

    /// Decides access and limits, and counts the call as under way.
    async fn admit(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: &Found,
        decision: &mut Option<Decision>,
    ) -> Result<InFlight<'_>, Failure> {
        let Found { install, function, .. } = found;
        let plan = &function.plan;
        if call.identity.role < plan.access {
            return Err(Failure::new(
                Code::AccessDenied,
                format!(
                    "`{}` asks for role `{}`; the token has `{}`",
                    call.function,
                    plan.access.as_str(),
                    call.identity.role.as_str()
                ),
            ));
        }
        self.charge(worker, call, install, (function.class, function.place), decision).await?;
        self.enter()
    }

    /// Counts the call, unless it was counted before it is run again.
    async fn charge(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        install: &Install,
        (class, place): (Class, usize),
        decision: &mut Option<Decision>,
    ) -> Result<(), Failure> {
        if decision.is_some() {
            return Ok(());
        }
        let quotas = install.policies.of(class, place);
        let (identity, extension) = (call.identity, install.extension.id);
        let kind = caller_kind(identity);
        let keys = Keys { caller: identity.caller.key(), kind, install: install.id, extension };
        let decided = match &worker.limits {
            None => self.limiter.check(quotas, &keys),
            Some(link) => link.check(&self.limiter, quotas, &keys).await,
        };
        let decided = decision.insert(decided);
        if worker.traffic.is_kept()
            && let Some(declared) = install.extension.declared.get(place)
        {
            let at_s = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
            let function = declared.key;
            let asker = Asker { install_id: install.id, caller: keys.caller, kind, class, function };
            worker.traffic.count(asker, at_s, decided.is_refused());
        }
        self.count_decision(decided);
        if decided.is_refused() { Err(decided.failure()) } else { Ok(()) }
    }

    /// Reads the arguments and chooses the statement for them.
    fn ready<'a>(&self, call: &Call<'_>, found: &'a Found) -> Result<Ready<'a>, Failure> {
        let Found { install, function, cursor_key } = found;
        let plan = &function.plan;
        let scope_key = install.scope_key(plan.scope)?;
        let mut given = plan.arguments.parse(call.arguments, self.config.http.json_depth_max)?.with_ids(Uuid::now_v7);
        if let Some(version) = call.version {
            let guard = plan.guard.as_ref().ok_or_else(|| unguarded(call.function, plan))?;
            if given.version_or(guard.argument).is_some_and(|other| other != version) {
                let detail = "`If-Match` and the arguments name two versions; no row has both";
                return Err(Failure::new(Code::VersionMismatch, detail));
            }
            given.version = Some(version);
        }
        must_change(plan, &plan.arguments, &given)?;
        let turn = match (plan.page(), cursor_key) {
            (Some(page), Some(key)) => Some(page.turn(&given, install.id, key)?),
            (Some(_), None) => return Err(Failure::new(Code::Internal, "the gateway has no key for cursors")),
            (None, _) => None,
        };
        let steps = transaction::steps(install, plan, &given)?;
        let statement = plan.statement_of(&given, turn.as_ref().map_or(Side::First, Turn::side)).map(AsRef::as_ref);
        Ok(Ready { install, plan, scope_key, given, turn, statement, steps })
    }

    /// Counts what the rate limits decided, each policy that had no room by itself.
    fn count_decision(&self, decided: &Decision) {
        let class = decided.class();
        if decided.standings().next().is_none() {
            return;
        }
        if !decided.is_exceeded() {
            if let Some(allowed) = self.allowed.get(class as usize) {
                allowed.inc();
            }
            return;
        }
        for standing in decided.standings().filter(|standing| standing.refuses) {
            let became = if standing.is_enforced { "refused" } else { "would_refuse" };
            let labels = [class.as_str(), standing.layer.as_str(), became];
            self.metrics.limit_decisions.with_label_values(&labels).inc();
        }
    }

    /// Admits one more call, or refuses it at once.
    fn enter(&self) -> Result<InFlight<'_>, Failure> {
        let before = self.calls_in_flight.fetch_add(1, Ordering::Relaxed);
        let entered = InFlight(self);
        if before < self.config.http.concurrent_calls_max {
            return Ok(entered);
        }
        Err(Failure::new(Code::Overloaded, "too many calls are under way").with_retry_after_s(1))
    }
}

/// The count of calls of a class that were let pass; those of refusals begin at none with it.
fn allowed(metrics: &Metrics, class: Class) -> prometheus::IntCounter {
    for layer in Layer::ALL {
        for became in ["refused", "would_refuse"] {
            metrics.limit_decisions.with_label_values(&[class.as_str(), layer.as_str(), became]);
        }
    }
    metrics.limit_decisions.with_label_values(&[class.as_str(), "all", "allowed"])
}

async fn load(pool: &Pool) -> Result<record::Everything, Failure> {
    let client = pool::take(pool).await?;
    record::load_all(&**client).await.map_err(|error| {
        Failure::new(Code::DatabaseUnavailable, "the registry cannot be read").with_log(error.to_string())
    })
}

/// Refuses a patch of nothing; `arguments` are those that `given` was read by.
fn must_change(plan: &Plan, arguments: &Arguments, given: &Given) -> Result<(), Failure> {
    if plan.needs_one_of.is_empty() || plan.needs_one_of.iter().any(|place| given.has(*place)) {
        return Ok(());
    }
    let names = plan.needs_one_of.iter().filter_map(|place| arguments.name(*place));
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    let detail = format!("nothing to change; give at least one of {}", names.join(", "));
    Err(Failure::new(Code::ArgumentsInvalid, detail))
}

const fn traffic_callers_max(limits: &Limits) -> usize {
    if limits.traffic_kept_h == 0 { 0 } else { limits.traffic_callers_max }
}

/// What the caller showed.
const fn caller_kind(identity: &Identity) -> CallerKind {
    match (identity.install_id, identity.caller) {
        (Some(_), Caller::Key(_)) => CallerKind::Key,
        (Some(_), Caller::User(_) | Caller::Network(_)) => CallerKind::Token,
        (None, _) => CallerKind::Anonymous,
    }
}

/// Whose a call of `install` is.
fn whose(install: &Install) -> Whose {
    Whose { extension: install.extension.id, install: install.id }
}

fn no_statement() -> Failure {
    Failure::new(Code::Internal, "the gateway has no statement for these arguments")
}

fn unguarded(function: &str, plan: &Plan) -> Failure {
    let detail = format!("`If-Match` is for patchRow and deleteRow; `{function}` is a {}: leave it out", plan.kind);
    Failure::new(Code::IfMatchInvalid, detail)
}

fn resolve<'a>(snapshot: &'a Snapshot, call: &Call<'_>) -> Result<(&'a Arc<Install>, &'a Arc<Function>), Failure> {
    // First the token: one of another install learns nothing, not even which installs there are.
    call.identity.must_be_for(call.install_id)?;
    let install = snapshot.installs.get(&call.install_id).ok_or_else(|| no_install(snapshot, call.install_id))?;
    let function =
        install.extension.functions.get(call.function).ok_or_else(|| unknown_function(install, call.function))?;
    Ok((install, function))
}

fn no_install(snapshot: &Snapshot, id: Uuid) -> Failure {
    if snapshot.uninstalled.contains(&id) {
        return Failure::new(Code::InstallUninstalled, "the extension was uninstalled here");
    }
    Failure::new(Code::InstallUnknown, "there is no install with this id")
}

fn unknown_function(install: &Install, name: &str) -> Failure {
    let shown: String = name.chars().take(64).collect();
    if install.extension.handlers.contains_key(name) {
        let detail = format!("`{shown}` is a handler and has a transaction of its own; call it by itself");
        return Failure::new(Code::FunctionUnknown, detail);
    }
    let extension = &install.extension;
    let names = extension.functions.keys().chain(extension.handlers.keys()).map(AsRef::as_ref);
    let detail = match rowgate_schema_dsl::diagnostic::nearest(&shown, names) {
        Some(nearest) => format!("there is no function `{shown}`; did you mean `{nearest}`?"),
        None => format!("there is no function `{shown}`"),
    };
    Failure::new(Code::FunctionUnknown, detail)
}

fn parameter<'a>(
    binding: &'a Binding,
    scope_key: Uuid,
    given: &'a Given,
    turn: Option<&'a Turn>,
    identity: &'a Identity,
    install: &Install,
    earlier: Earlier<'a>,
) -> Result<Parameter<'a>, Failure> {
    Ok(match binding {
        Binding::Scope => Parameter::Uuid(scope_key),
        Binding::NewId => Parameter::Uuid(earlier.new_id()),
        Binding::Row { step, column } => earlier.value(*step, column)?,
        Binding::Argument(place) => given.get(*place).map_or(Parameter::Null, Parameter::Typed),
        Binding::ArgumentOr(place, default) => Parameter::Typed(given.get(*place).unwrap_or(default)),
        Binding::Pattern { argument, anchor } => match given.get(*argument) {
            Some(Typed::Text(text)) => Parameter::Pattern { text, anchor: *anchor },
            // INVARIANT: `check` lets nothing but text be looked for in text.
            Some(_) | None => Parameter::Null,
        },
        Binding::Element { argument, element } => {
            given.get(*argument).map_or(Parameter::Null, |value| Parameter::Element(*element, value))
        }
        Binding::Given(place) => Parameter::Bool(given.has(*place)),
        Binding::RowIds => Parameter::Uuids(&given.row_ids),
        Binding::RowIdsGiven(place) => Parameter::UuidsGiven { ids: &given.row_ids, rows: &given.rows, place: *place },
        Binding::Rows { place, or, as_text } => {
            Parameter::Rows { rows: &given.rows, place: *place, or, as_text: *as_text }
        }
        Binding::RowsGiven(place) => Parameter::RowsGiven { rows: &given.rows, place: *place },
        Binding::Cursor(key) => turn.and_then(|turn| turn.value(*key)).map_or(Parameter::Null, Parameter::Raw),
        Binding::Version(place) => given.version_or(*place).map_or(Parameter::Null, Parameter::Int8),
        Binding::PageRows => turn.map_or(Parameter::Null, |turn| Parameter::Int8(turn.fetched())),
        Binding::Literal(value) => Parameter::Typed(value),
        Binding::Identity { field, text } => match (identity_field(*field, identity, install), text) {
            (Some(IdentityValue::Text(text)), _) => Parameter::Text(text),
            (Some(IdentityValue::Uuid(uuid)), false) => Parameter::Uuid(uuid),
            (Some(IdentityValue::Uuid(uuid)), true) => Parameter::UuidText(uuid),
            (None, _) => {
                return Err(Failure::new(
                    Code::IdentityRequired,
                    format!("the function needs the caller's `{}`, which the token does not carry", field.as_str()),
                ));
            }
        },
    })
}

enum IdentityValue<'a> {
    Text(&'a str),
    Uuid(Uuid),
}

fn identity_field<'a>(field: IdentityField, identity: &'a Identity, install: &Install) -> Option<IdentityValue<'a>> {
    match field {
        IdentityField::UserId => identity.user_id.as_deref().map(IdentityValue::Text),
        IdentityField::Role => Some(IdentityValue::Text(identity.role.as_str())),
        IdentityField::Surface => identity.surface.map(|surface| IdentityValue::Text(surface.as_str())),
        IdentityField::PlatformUserId => identity.platform_user_id.as_deref().map(IdentityValue::Text),
        IdentityField::PlatformUserName => identity.platform_user_name.as_deref().map(IdentityValue::Text),
        IdentityField::AccountId => Some(IdentityValue::Uuid(install.account_id)),
        IdentityField::InstallId => Some(IdentityValue::Uuid(install.id)),
    }
}
