//! Handlers: a call of one runs in a worker process and asks; what it asks is answered here.
//!
//! A query has one transaction that reads, a mutation one that writes and is run again, script and
//! all, where another undid it; an action has none and calls the other two. Whatever a handler asks
//! of the database is a plan, bound to the caller's scope as every other is.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rowgate_schema_dsl::definition::HandlerKind;
use serde_json::{Value, json};
use tokio::time::timeout_at;

use crate::config;
use crate::db::transaction::{Isolation, Open};
use crate::error::{Code, Complaint, Failure};
use crate::gateway::{Call, Gateway, Ready, Reply, Worker};
use crate::limit::{Class, Keys};
use crate::plan::page::Side;
use crate::registry::{Handler, Install, Snapshot};
use crate::script::machine::{BUILDERS, Fault, Limits};
use crate::script::pool::{Event, Refused, Settings};
use crate::script::sandbox::Termination;
use crate::script::worker::frame::{Begin, Outcome};

/// Every operation that any handler has.
const OPERATIONS: [&str; 13] = [
    "db.query",
    "db.get",
    "db.count",
    "db.insert",
    "db.patch",
    "db.upsert",
    "db.delete",
    "run",
    "log.info",
    "log.warn",
    "log.error",
    "json.encode",
    "json.decode",
];

/// How this runtime's handlers are run. `builders` of a definition mean nothing to them.
pub(super) fn settings(settings: &config::Script) -> Settings {
    Settings {
        executable: settings.executable.clone(),
        operations: OPERATIONS.map(str::to_owned).to_vec(),
        builders: BUILDERS.map(str::to_owned).to_vec(),
        machines_max: settings.machines_max,
        calls_per_worker_max: settings.calls_per_worker_max,
        worker_memory_bytes_max: settings.worker_memory_bytes_max,
        start_timeout_ms: settings.cancel_timeout_ms,
        cancel_timeout_ms: settings.cancel_timeout_ms,
    }
}

/// Actions call what calls actions no deeper than this.
const RUN_DEPTH_MAX: u32 = 4;
/// Characters of a line that a handler logs.
const LOG_CHARACTERS_MAX: usize = 2_000;

/// What a call names, where that is a handler.
pub(super) struct FoundHandler {
    pub(super) install: Install,
    pub(super) handler: Arc<Handler>,
}

/// Why an operation has no answer.
enum Unanswered {
    /// The handler is told, and may go on.
    Refused(Fault),
    /// The call is over.
    Over(Failure),
}

/// The handler that `call` names, where it names one.
pub(super) fn find(snapshot: &Snapshot, call: &Call<'_>) -> Option<FoundHandler> {
    call.identity.must_be_for(call.install_id).ok()?;
    let install = snapshot.installs.get(&call.install_id)?;
    let handler = install.extension.handlers.get(call.function)?;
    Some(FoundHandler { install: install.clone(), handler: Arc::clone(handler) })
}

const fn class(kind: HandlerKind) -> Class {
    match kind {
        HandlerKind::Query => Class::Query,
        HandlerKind::Mutation => Class::Mutation,
        HandlerKind::Action => Class::Action,
    }
}

fn operations(kind: HandlerKind) -> Vec<String> {
    let has = |name: &str| match (name.split_once('.'), kind) {
        (Some(("log" | "json", _)), _) => true,
        (Some(("db", "query" | "get" | "count")), HandlerKind::Query | HandlerKind::Mutation) => true,
        (Some(("db", _)), HandlerKind::Mutation) => true,
        (None, HandlerKind::Action) => name == "run",
        (Some(_) | None, HandlerKind::Query | HandlerKind::Mutation | HandlerKind::Action) => false,
    };
    OPERATIONS.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect()
}

impl Gateway {
    /// Answers a call of a handler.
    pub(super) async fn call_handler(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: &FoundHandler,
        began: Instant,
        depth: u32,
    ) -> Reply {
        let mut reply = Reply::default();
        reply.result = self.handle(worker, call, found, began, depth, &mut reply).await;
        reply.stages.database = began.elapsed().saturating_sub(reply.stages.plan);
        match &reply.result {
            Ok(_) => found.handler.metrics.succeeded(began.elapsed()),
            Err(failure) => found.handler.metrics.failed(failure.code, began.elapsed()),
        }
        reply
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
        let keys = Keys { caller: call.identity.caller.key(), install: install.id, extension: install.extension.id };
        let decided = self.limiter.check(class(handler.kind), &keys);
        reply.decision = Some(decided);
        if decided.is_exceeded() {
            let became = if decided.is_refused() { "refused" } else { "would_refuse" };
            self.metrics.limit_decisions.with_label_values(&[class(handler.kind).as_str(), became]).inc();
        }
        if decided.is_refused() {
            return Err(decided.into_failure());
        }
        let _in_flight = self.enter()?;
        handler.arguments.parse(call.arguments, self.config.http.json_depth_max)?;
        let begin = self.begin(call, found);
        reply.stages.plan = began.elapsed();
        let settings = &self.config.script;
        let class_ms = match handler.kind {
            HandlerKind::Query => settings.query_timeout_ms,
            HandlerKind::Mutation => settings.mutation_timeout_ms,
            HandlerKind::Action => settings.action_timeout_ms,
        };
        let timeout_ms = handler.timeout_ms.map_or(class_ms, |ms| class_ms.min(u64::from(ms)));
        let deadline = began + Duration::from_millis(timeout_ms);
        let isolation = match handler.kind {
            HandlerKind::Action => return self.converse(worker, call, found, begin, None, deadline, depth).await,
            HandlerKind::Query => Isolation::Snapshot,
            HandlerKind::Mutation => Isolation::Serializable,
        };
        let mut attempts = worker.transactions.attempts_isolated(isolation, deadline);
        loop {
            let mut open = attempts.begin().await?;
            let result = self.converse(worker, call, found, begin.clone(), Some(&mut open), deadline, depth).await;
            if let ControlFlow::Break(result) = attempts.end(open, result).await {
                return result;
            }
        }
    }

    fn begin(&self, call: &Call<'_>, found: &FoundHandler) -> Begin {
        let FoundHandler { install, handler } = found;
        let settings = &self.config.script;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let now_iso = jiff::Timestamp::try_from(SystemTime::now()).map(|now| format!("{now:.6}")).unwrap_or_default();
        let identity = call.identity;
        let context = json!({
            "auth": {
                "userId": identity.user_id.as_deref(),
                "accountId": install.account_id,
                "installId": install.id,
                "role": identity.role.as_str(),
                "surface": identity.surface.map(|surface| surface.as_str()),
                "platformUserId": identity.platform_user_id.as_deref(),
                "platformUserName": identity.platform_user_name.as_deref(),
            },
            "time": { "now": now_ms, "nowIso": now_iso },
        });
        let kind = match handler.kind {
            HandlerKind::Query => "a query",
            HandlerKind::Mutation => "a mutation",
            HandlerKind::Action => "an action",
        };
        Begin {
            function: call.function.to_owned(),
            kind: kind.to_owned(),
            operations: operations(handler.kind),
            context: without_null(context).to_string().into_bytes(),
            arguments: handler.with_defaults(call.arguments),
            seed: rand::random(),
            limits: Limits {
                cpu_ms_max: settings.cpu_ms_max,
                memory_bytes_max: settings.memory_bytes_max,
                allocated_bytes_max: settings.allocated_bytes_max,
                host_calls_max: settings.host_calls_max,
                answer_bytes_max: settings.answer_bytes_max,
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
        loop {
            let Ok(event) = timeout_at(deadline.into(), invocation.next()).await else {
                return Err(Failure::new(Code::ScriptTimeExceeded, "the handler did not answer in time"));
            };
            match event {
                Event::Ended(outcome) => return ended(outcome, call.function),
                Event::Asks { operation, arguments } => {
                    let answering =
                        self.operate(worker, call, found, &operation, &arguments, open.as_deref_mut(), depth);
                    match timeout_at(deadline.into(), answering).await {
                        Ok(Ok(json)) => invocation.answer(json),
                        Ok(Err(Unanswered::Refused(fault))) => invocation.refuse(fault),
                        Ok(Err(Unanswered::Over(failure))) => return Err(failure),
                        Err(_) => {
                            return Err(Failure::new(Code::ScriptTimeExceeded, "the handler did not answer in time"));
                        }
                    }
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    async fn operate(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        found: &FoundHandler,
        operation: &str,
        arguments: &[u8],
        open: Option<&mut Open<'_>>,
        depth: u32,
    ) -> Result<Vec<u8>, Unanswered> {
        // A worker is not trusted to ask only for what its handler's kind has.
        if !operations(found.handler.kind).iter().any(|has| has == operation) {
            return Err(Unanswered::Over(Failure::new(Code::Internal, "the handler asked for what it has not")));
        }
        match (operation.split_once('.'), open) {
            (Some(("log", level)), _) => {
                log(found, call.function, level, arguments);
                Ok(b"null".to_vec())
            }
            (Some(("db", _)), Some(open)) => self.query(call, found, operation, arguments, open).await,
            (None, None) if operation == "run" => {
                // Boxed, since what is run may be a handler that runs another.
                Box::pin(self.run_by_name(worker, call, arguments, depth)).await
            }
            (Some(_) | None, _) => {
                Err(Unanswered::Over(Failure::new(Code::Internal, "the handler asked for what it has not")))
            }
        }
    }

    async fn query(
        &self,
        call: &Call<'_>,
        found: &FoundHandler,
        operation: &str,
        arguments: &[u8],
        open: &mut Open<'_>,
    ) -> Result<Vec<u8>, Unanswered> {
        let install = &found.install;
        let asked = install.extension.shapes.plan(operation, arguments).map_err(Unanswered::Refused)?;
        let plan = &asked.plan;
        let given = plan.arguments.parse(&asked.arguments, self.config.http.json_depth_max).map_err(refusal)?;
        let scope_key = install.scope_key(plan.scope).map_err(refusal)?;
        let statement = plan
            .statement_of(&given, Side::First)
            .ok_or_else(|| Unanswered::Over(Failure::new(Code::Internal, "the gateway has no statement for this")))?;
        let ready = Ready { install, plan, scope_key, given, turn: None, statement };
        let parameters = ready.parameters(call.identity).map_err(refusal)?;
        let mut answer = Vec::new();
        match open.run(plan, statement, &parameters, &mut answer).await {
            Ok(_) => Ok(answer),
            Err(failure) if failure.code == Code::RowNotFound && operation == "db.get" => Ok(b"null".to_vec()),
            Err(failure) if failure.code == Code::RowNotFound => Err(refusal(failure)),
            // The transaction is over, so the handler has nothing left to do in it.
            Err(failure) => Err(Unanswered::Over(failure)),
        }
    }

    /// `ctx.run("name", { … })`: the same caller calls another function, in a transaction of its own.
    async fn run_by_name(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        arguments: &[u8],
        depth: u32,
    ) -> Result<Vec<u8>, Unanswered> {
        let usage = || {
            let message = "write `ctx.run(\"function\", { argument = value })`".to_owned();
            Unanswered::Refused(Fault { code: Some("question_invalid".to_owned()), message, ..Fault::default() })
        };
        if depth >= RUN_DEPTH_MAX {
            let message = format!("`ctx.run` nests at most {RUN_DEPTH_MAX} deep");
            let fault = Fault { code: Some("too_deep".to_owned()), message, ..Fault::default() };
            return Err(Unanswered::Refused(fault));
        }
        let given: Vec<Value> = serde_json::from_slice(arguments).map_err(|_| usage())?;
        let name = given.first().and_then(Value::as_str).ok_or_else(usage)?;
        let arguments = match given.get(1) {
            None | Some(Value::Null) => Vec::new(),
            Some(arguments @ Value::Object(_)) => arguments.to_string().into_bytes(),
            Some(_) => return Err(usage()),
        };
        let call = Call { install_id: call.install_id, function: name, identity: call.identity, arguments: &arguments };
        let reply = self.call_at(worker, call, depth + 1).await;
        reply.result.map_err(refusal)
    }
}

impl Handler {
    /// The arguments object of a call with the defaults of what it leaves out.
    fn with_defaults(&self, arguments: &[u8]) -> Vec<u8> {
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

/// A failure as a handler may catch it.
fn refusal(failure: Failure) -> Unanswered {
    let field = failure.complaints.first().map(|complaint| complaint.pointer.clone());
    let message = failure.detail.into_owned();
    // What a handler refused keeps its own word.
    let code = failure.reason.unwrap_or_else(|| failure.code.as_str().to_owned());
    Unanswered::Refused(Fault { code: Some(code), message, field, trace: String::new() })
}

fn ended(outcome: Outcome, function: &str) -> Result<Vec<u8>, Failure> {
    let failure = match outcome {
        Outcome::Returned(json) => return Ok(json),
        Outcome::Unanswerable(unwritable) => {
            let place = if unwritable.pointer.is_empty() { "what it returned" } else { &unwritable.pointer };
            let detail = format!("the handler's answer is no JSON, at {place}: {}", unwritable.message);
            Failure::new(Code::HandlerAnswerInvalid, detail)
        }
        Outcome::Failed(Fault { code: Some(code), message, field, trace }) => {
            let complaints = field.map(|field| {
                let pointer = if field.starts_with('/') { field } else { format!("/{field}") };
                Complaint { pointer, code: "handler_refused", message: message.clone() }
            });
            let mut failure = Failure::new(Code::HandlerRefused, message).with_log(trace);
            failure.reason = Some(code);
            failure.with_complaints(complaints.into_iter().collect())
        }
        Outcome::Failed(Fault { code: None, message, trace, .. }) => {
            Failure::new(Code::HandlerFailed, format!("`{function}` failed")).with_log(format!("{message}\n{trace}"))
        }
        Outcome::Stopped { termination, at } => {
            let at = at.map_or_else(String::new, |(file, line)| format!("stopped at {file}:{line}"));
            let (code, detail) = match termination {
                Termination::Time => (Code::ScriptTimeExceeded, "the handler took more processor time than it has"),
                Termination::Memory => (Code::ScriptMemoryExceeded, "the handler took more memory than it has"),
                Termination::HostCalls => (Code::ScriptHostCallsExceeded, "the handler called `ctx` too often"),
            };
            Failure::new(code, detail).with_log(at)
        }
        Outcome::Cancelled | Outcome::WorkerLost => {
            Failure::new(Code::ScriptWorkerLost, "the handler was stopped with the process it ran in")
        }
    };
    Err(failure)
}

/// A line of a handler's own log.
fn log(found: &FoundHandler, function: &str, level: &str, arguments: &[u8]) {
    let given: Vec<Value> = serde_json::from_slice(arguments).unwrap_or_default();
    let shown = |value: Option<&Value>| -> String {
        let text = match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        text.chars().take(LOG_CHARACTERS_MAX).collect()
    };
    let (file, line) = (shown(given.first()), shown(given.get(1)));
    let (message, attributes) = (shown(given.get(2)), shown(given.get(3)));
    let install = found.install.id;
    match level {
        "error" => tracing::error!(target: "rowgate::handler", %install, function, file, line, attributes, "{message}"),
        "warn" => tracing::warn!(target: "rowgate::handler", %install, function, file, line, attributes, "{message}"),
        _ => tracing::info!(target: "rowgate::handler", %install, function, file, line, attributes, "{message}"),
    }
}

/// Without what is not known: in Luau it is nil.
fn without_null(mut value: Value) -> Value {
    for member in value.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
        if let Some(members) = member.as_object_mut() {
            members.retain(|_, value| !value.is_null());
        }
    }
    value
}
