//! Handlers: a call of one runs in a worker process and asks; what it asks is answered here.
//!
//! A query has one transaction that reads, a mutation one that writes and is run again, script and
//! all, where another undid it; an action has none and calls the other two. Whatever a handler asks
//! of the database is a plan, bound to the caller's scope as every other is.

mod database;
mod ended;
mod fetch;
pub(super) mod log;
mod memory;
mod operation;
mod question;
mod run;
mod sql;
mod store;
mod turn;
mod values;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rowgate_schema_dsl::definition::HandlerKind;
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::config;
use crate::db::transaction::{Isolation, Open};
use crate::error::{Code, Failure};
use crate::gateway::handler::ended::ended;
use crate::gateway::handler::operation::{Asking, Unanswered};
pub(super) use crate::gateway::handler::turn::Turns;
use crate::gateway::once::Ticket;
use crate::gateway::renewed::Ran;
use crate::gateway::{Call, Gateway, Reply, Worker, whose};
use crate::registry::{Handler, Install, Snapshot};
use crate::script::machine::Limits;
use crate::script::pool::{Event, Refused, Settings};
use crate::script::worker::frame::Begin;

/// What a call names, where that is a handler.
pub(super) struct FoundHandler {
    pub(super) install: Arc<Install>,
    pub(super) handler: Arc<Handler>,
}

/// What a handler is told before it asks; what is not known is left out, and nil in Luau.
#[derive(Serialize)]
struct Context<'a> {
    auth: Auth<'a>,
    time: Time,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    account_id: Uuid,
    install_id: Uuid,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    surface: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform_user_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Time {
    now: u64,
    now_iso: String,
}

/// How this runtime's handlers are run.
pub(crate) fn settings(settings: &config::Script) -> Settings {
    Settings {
        executable: settings.executable.clone(),
        machines_max: settings.machines_max,
        calls_per_worker_max: settings.calls_per_worker_max,
        worker_memory_bytes_max: settings.worker_memory_bytes_max,
        start_timeout_ms: settings.cancel_timeout_ms,
        cancel_timeout_ms: settings.cancel_timeout_ms,
    }
}

/// The handler that `call` names, where it names one.
pub(super) fn find(snapshot: &Snapshot, call: &Call<'_>) -> Option<FoundHandler> {
    call.identity.must_be_for(call.install_id).ok()?;
    let install = snapshot.installs.get(&call.install_id)?;
    let handler = install.extension.handlers.get(call.function)?;
    Some(FoundHandler { install: install.clone(), handler: Arc::clone(handler) })
}

impl Gateway {
    /// Answers a call of a handler; what it ran as where it met tables that may be newer.
    pub(super) async fn call_handler(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: FoundHandler,
        mut reply: Reply,
        began: Instant,
        depth: u32,
    ) -> (Reply, Option<Box<Ran>>) {
        reply.result = self.handle(worker, call, &found, began, depth, &mut reply).await;
        reply.stages.database = began.elapsed().saturating_sub(reply.stages.plan);
        // An action has done what it did, and what it ran of others was run again by itself.
        if reply.is_outdated() && found.handler.kind != HandlerKind::Action {
            return (reply, Some(Box::new(Ran::Handler(found))));
        }
        log::count(self, call, &found, &mut reply, began);
        (reply, None)
    }

    async fn handle(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: &FoundHandler,
        began: Instant,
        depth: u32,
        reply: &mut Reply,
    ) -> Result<Vec<u8>, Failure> {
        let FoundHandler { install, handler } = found;
        if call.identity.role < handler.access {
            let (asks, has) = (handler.access.as_str(), call.identity.role.as_str());
            let detail = format!("`{}` asks for role `{asks}`; the token has `{has}`", call.function);
            return Err(Failure::new(Code::AccessDenied, detail));
        }
        self.charge(worker, call, install, (handler.class, handler.place), &mut reply.decision).await?;
        let _in_flight = self.enter()?;
        unconditional(call, handler.kind)?;
        handler.arguments.parse(call.arguments, self.config.http.json_depth_max)?;
        let begin = self.begin(call, found);
        reply.stages.plan = began.elapsed();
        let class_ms = self.config.script.of(handler.kind).timeout_ms;
        let timeout_ms = handler.timeout_ms.map_or(class_ms, |ms| class_ms.min(u64::from(ms)));
        let deadline = began + Duration::from_millis(timeout_ms);
        let isolation = match handler.kind {
            HandlerKind::Action => return self.converse(worker, call, found, begin, None, deadline, depth).await,
            HandlerKind::Query => Isolation::Snapshot,
            HandlerKind::Mutation => Isolation::Serializable,
        };
        let wait_max = Duration::from_millis(self.config.database.pool_wait_timeout_ms);
        let seat = worker.crowds.transactions.admit(whose(install), began + reply.stages.plan, || true)?;
        let _turn = worker.turns.take(install.extension.id, deadline.min(Instant::now() + wait_max)).await?;
        let named = call.named.as_ref().filter(|_| handler.kind == HandlerKind::Mutation);
        let ticket = named.map(|named| Ticket::new(call.install_id, call.identity, call.function, named));
        let mut attempts = worker.transactions.attempts_isolated(isolation, install.extension.role.as_ref(), deadline);
        loop {
            let mut open = attempts.begin().await?;
            let running = async |open: &mut Open<'_>| {
                self.converse(worker, call, found, begin.clone(), Some(open), deadline, depth).await
            };
            let result = match &ticket {
                None => running(&mut open).await.map(|answer| (answer, false)),
                Some(ticket) => ticket.once(self, &mut open, running).await,
            };
            if let ControlFlow::Break(result) = attempts.end(open, result).await {
                seat.end(began.elapsed().saturating_sub(reply.stages.plan));
                let (answer, replayed) = result?;
                reply.replayed = replayed;
                return Ok(answer);
            }
        }
    }

    fn begin(&self, call: &Call<'_>, found: &FoundHandler) -> Begin {
        let FoundHandler { install, handler } = found;
        let allowance = self.config.script.of(handler.kind);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let identity = call.identity;
        let context = Context {
            auth: Auth {
                user_id: identity.user_id.as_deref(),
                account_id: install.account_id,
                install_id: install.id,
                role: identity.role.as_str(),
                surface: identity.surface.map(|surface| surface.as_str()),
                platform_user_id: identity.platform_user_id.as_deref(),
                platform_user_name: identity.platform_user_name.as_deref(),
            },
            time: Time {
                now: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
                now_iso: jiff::Timestamp::try_from(SystemTime::now())
                    .map(|now| format!("{now:.6}"))
                    .unwrap_or_default(),
            },
        };
        Begin {
            function: call.function.to_owned(),
            kind: handler.kind,
            context: serde_json::to_vec(&context).unwrap_or_default(),
            arguments: handler.with_defaults(call.arguments),
            seed: rand::random(),
            limits: Limits {
                cpu_ms_max: allowance.cpu_ms_max,
                memory_bytes_max: allowance.memory_bytes_max,
                allocated_bytes_max: allowance.allocated_bytes_max,
                host_calls_max: allowance.host_calls_max,
                answer_bytes_max: allowance.answer_bytes_max,
            },
        }
    }

    /// Runs the handler to its end and answers what it asks.
    #[allow(clippy::too_many_arguments)]
    async fn converse(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: &FoundHandler,
        begin: Begin,
        mut open: Option<&mut Open<'_>>,
        deadline: Instant,
        depth: u32,
    ) -> Result<Vec<u8>, Failure> {
        let bundle = &found.install.extension.bundle;
        let mut invocation = worker.scripts.begin(bundle, begin).map_err(|refused| match refused {
            Refused::Full => Failure::new(Code::Overloaded, "too many handlers are running").with_retry_after_s(1),
            Refused::NotStarted(reason) => {
                Failure::new(Code::ScriptWorkerLost, "the handler cannot be run now").with_log(reason)
            }
        })?;
        let asking = Asking {
            gateway: self,
            worker,
            call,
            found,
            depth,
            deadline,
            fetches: AtomicU32::new(0),
            rows: AtomicUsize::new(0),
        };
        let late = || Failure::new(Code::ScriptTimeExceeded, "the handler did not answer in time");
        loop {
            match timeout_at(deadline.into(), invocation.next()).await.map_err(|_| late())? {
                Event::Ended(outcome) => {
                    let used = invocation.used();
                    found.handler.metrics.ran(Duration::from_micros(used.cpu_us), used.memory_bytes);
                    return ended(outcome, call.function);
                }
                Event::Asks { operation, arguments } => {
                    let answering = asking.answer(&operation, &arguments, open.as_deref_mut());
                    match timeout_at(deadline.into(), answering).await.map_err(|_| late())? {
                        Ok(json) => invocation.answer(json),
                        Err(Unanswered::Refused(fault)) => invocation.refuse(fault),
                        Err(Unanswered::Over(failure)) => return Err(failure),
                    }
                }
            }
        }
    }
}

/// Refuses what a call of a handler cannot be held to.
fn unconditional(call: &Call<'_>, kind: HandlerKind) -> Result<(), Failure> {
    let (function, word) = (call.function, kind.as_str());
    if call.version.is_some() {
        let detail = format!("`If-Match` is for patchRow and deleteRow; `{function}` is a handler, leave it out");
        return Err(Failure::new(Code::IfMatchInvalid, detail));
    }
    match kind {
        HandlerKind::Query | HandlerKind::Mutation => Ok(()),
        HandlerKind::Action if call.named.is_none() => Ok(()),
        HandlerKind::Action => {
            let detail = format!(
                "`{function}` is an {word}, which has no transaction to keep its answer in; leave `Idempotency-Key` out"
            );
            Err(Failure::new(Code::IdempotencyKeyInvalid, detail))
        }
    }
}

impl Handler {
    /// The arguments object of a call with the defaults of what it leaves out.
    fn with_defaults(&self, arguments: &[u8]) -> Vec<u8> {
        // What was read as arguments before is handed on as it is, where nothing is to be added or left out.
        let has_null = || arguments.windows(4).any(|word| word == b"null");
        if self.defaults.is_empty() && !has_null() {
            return if arguments.trim_ascii().is_empty() { b"{}".to_vec() } else { arguments.to_vec() };
        }
        let mut given: serde_json::Map<String, Value> = serde_json::from_slice(arguments).unwrap_or_default();
        for (name, default) in &self.defaults {
            if given.get(name.as_str()).is_none_or(Value::is_null) {
                given.insert(name.clone(), default.clone());
            }
        }
        // An argument that may be left out and is null is left out.
        given.retain(|_, value| !value.is_null());
        Value::Object(given).to_string().into_bytes()
    }
}
