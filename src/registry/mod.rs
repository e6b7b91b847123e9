//! What is deployed now: an immutable snapshot, looked up by every call and swapped whole.
//!
//! A snapshot is built from the gateway's own tables: each extension's current definition is read,
//! checked and compiled anew, so what is served has always passed this version's checks. An
//! extension that no longer passes keeps the functions it had and is named in the log. Besides the
//! current revisions it holds those that installs are pinned to; a call knows its install's alone.

pub mod listen;
pub mod renewal;
pub mod shape;
pub mod texts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{SystemTime, UNIX_EPOCH};

use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::{self, DefaultValue, Definition, HandlerKind, RateLimit, Role, Scope};
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use serde_json::Value;
use uuid::Uuid;

use crate::auth::ApiKey;
use crate::config::{Limits, Quota};
use crate::error::{Code, Failure};
use crate::limit::overrides::Override;
use crate::limit::resolve::{Declared, Resolver, Subject, function_key};
use crate::limit::{Class, Policies};
use crate::plan::Plan;
use crate::plan::argument::Arguments;
use crate::plan::compile::{CompileError, compile};
use crate::plan::cursor::CursorKey;
use crate::record::{self, CursorSecret, Everything};
use crate::registry::shape::Shapes;
use crate::registry::texts::Texts;
use crate::script::pool::Bundle;
use crate::telemetry::history::Traffic;
use crate::telemetry::{FunctionMetrics, Metrics};

/// Room that is made for any answer.
pub const ANSWER_BYTES_MIN: usize = 512;
/// Room beyond this is made only as an answer grows into it.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Everything that can be called, and by whom.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub extensions: HashMap<Uuid, Arc<Extension>>,
    /// Revisions that are not current and that installs are pinned to.
    pub pinned: HashMap<(Uuid, i64), Arc<Extension>>,
    pub installs: HashMap<Uuid, Arc<Install>>,
    /// What operators have said of rate limits.
    pub overrides: Vec<Override>,
    /// Deploys and removals so far.
    pub revision: i64,
    /// Those that were uninstalled and may come back.
    pub uninstalled: HashSet<Uuid>,
    /// By the SHA-256 of the key.
    pub keys: HashMap<[u8; 32], ApiKey>,
    /// The operators' keys by their SHA-256.
    pub admin_keys: HashMap<[u8; 32], AdminKey>,
    /// What cursors are sealed with; there from the first reading of the tables.
    pub cursor_key: Option<Arc<CursorKey>>,
}

/// One deployed revision.
#[derive(Debug)]
pub struct Extension {
    pub id: Uuid,
    pub name: String,
    pub revision: i64,
    pub definition_sha256: Vec<u8>,
    /// The database role its statements run as; the gateway's own where there is none.
    pub role: Option<Arc<str>>,
    pub model: Model,
    pub functions: HashMap<Box<str>, Arc<Function>>,
    pub handlers: HashMap<Box<str>, Arc<Handler>>,
    /// All of these in the order of their names, which their places count in.
    pub declared: Vec<Declared>,
    /// The Luau files of its handlers.
    pub bundle: Bundle,
    /// What its handlers have asked of the database.
    pub shapes: Shapes,
    /// What they have asked of it by SQL.
    pub texts: Texts,
}

/// An extension installed by an account.
#[derive(Debug, Clone)]
pub struct Install {
    pub id: Uuid,
    pub extension: Arc<Extension>,
    pub account_id: Uuid,
    pub overlay_id: Option<Uuid>,
    /// What its calls came to.
    pub traffic: Arc<Traffic>,
    /// What its rate limits may go by.
    pub plan: Option<Box<str>>,
    pub policies: Arc<Policies>,
}

/// An operator's key.
#[derive(Debug, Clone)]
pub struct AdminKey {
    pub name: String,
    pub expires_at_s: Option<i64>,
}

/// A callable function, with what each call of it needs at hand.
#[derive(Debug)]
pub struct Function {
    pub plan: Arc<Plan>,
    pub class: Class,
    /// Among the functions and handlers of its extension.
    pub place: usize,
    pub metrics: Arc<FunctionMetrics>,
    /// How long answers have been of late: room for the next is made at once.
    pub answer_bytes: AtomicUsize,
}

/// A callable function that is written in Luau.
#[derive(Debug)]
pub struct Handler {
    pub kind: HandlerKind,
    pub class: Class,
    /// Among the functions and handlers of its extension.
    pub place: usize,
    pub access: Role,
    pub arguments: Arguments,
    /// What stands in for an argument that a call leaves out, as JSON.
    pub defaults: Vec<(String, Value)>,
    pub timeout_ms: Option<u32>,
    pub metrics: Arc<FunctionMetrics>,
}

impl Install {
    /// What its rate limits go by.
    pub fn subject(&self) -> Subject<'_> {
        subject(self.id, &self.extension, self.plan.as_deref())
    }

    /// The `scope_key` of this install's rows in a table of `scope`.
    pub fn scope_key(&self, scope: Scope) -> Result<Uuid, Failure> {
        match scope {
            Scope::Instance => Ok(self.id),
            Scope::Account => Ok(self.account_id),
            Scope::Global => Ok(self.extension.id),
            Scope::Overlay => self.overlay_id.ok_or_else(|| {
                Failure::new(
                    Code::OverlayMissing,
                    "the function's rows belong to an overlay, and this install has none",
                )
            }),
        }
    }
}

impl Snapshot {
    /// Builds the snapshot of `records`; what cannot be served is taken from `before`.
    pub fn build(records: Everything, before: &Snapshot, limits: &Limits, metrics: &Metrics) -> Snapshot {
        let mut snapshot = Snapshot { cursor_key: before.cursor_key.clone(), ..Snapshot::default() };
        if let Some(CursorSecret(secret)) = &records.cursor_key {
            snapshot.cursor_key = Some(Arc::new(CursorKey::new(secret)));
        }
        let revision = records.revision();
        for record in records.extensions {
            let known = before.extensions.get(&record.id);
            let same = known.filter(|known| is_same(known, &record)).or_else(|| before.pinned(&record));
            if let Some(extension) = same.cloned().or_else(|| built(&record, metrics)).or_else(|| known.cloned()) {
                snapshot.extensions.insert(record.id, extension);
            }
        }
        for record in records.pinned {
            let known = before.extensions.get(&record.id).filter(|known| is_same(known, &record));
            let same = known.or_else(|| before.pinned(&record)).cloned();
            if let Some(extension) = same.or_else(|| built(&record, metrics)) {
                snapshot.pinned.insert((record.id, record.revision), extension);
            }
        }
        let pins: HashMap<Uuid, i64> = records.pins.into_iter().collect();
        let plans: HashMap<Uuid, String> = records.plans.into_iter().collect();
        let mut resolver = Resolver::new(limits, &records.overrides);
        snapshot.uninstalled = records.uninstalled.into_iter().collect();
        for record in records.installs.into_iter().filter(|record| !record.disabled) {
            let current = snapshot.extensions.get(&record.extension_id);
            let extension = match pins.get(&record.id) {
                Some(revision) if current.is_none_or(|current| current.revision != *revision) => {
                    snapshot.pinned.get(&(record.extension_id, *revision))
                }
                Some(_) | None => current,
            };
            if let Some(extension) = extension {
                let plan = plans.get(&record.id).map(String::as_str);
                let install = Install {
                    id: record.id,
                    extension: extension.clone(),
                    account_id: record.account_id,
                    overlay_id: record.overlay_id,
                    traffic: before.installs.get(&record.id).map(|known| known.traffic.clone()).unwrap_or_default(),
                    plan: plan.map(Box::from),
                    policies: resolver.policies(subject(record.id, extension, plan)),
                };
                snapshot.installs.insert(record.id, Arc::new(install));
            }
        }
        drop(resolver);
        snapshot.revision = revision;
        snapshot.overrides = records.overrides;
        snapshot.keys = records
            .api_keys
            .into_iter()
            .map(|key| {
                let expires_at_s = key.expires_at.map(seconds);
                let known = ApiKey {
                    id: key.id,
                    install_id: key.install_id,
                    role: key.role,
                    name: key.name.into(),
                    expires_at_s,
                };
                (key.hash, known)
            })
            .collect();
        snapshot.admin_keys = records
            .admin_keys
            .into_iter()
            .map(|key| (key.hash, AdminKey { name: key.name, expires_at_s: key.expires_at.map(seconds) }))
            .collect();
        snapshot
    }

    /// The revision of `record`, where it was among the pinned ones.
    fn pinned(&self, record: &record::Extension) -> Option<&Arc<Extension>> {
        self.pinned.get(&(record.id, record.revision)).filter(|known| is_same(known, record))
    }
}

fn subject<'a>(install_id: Uuid, extension: &'a Extension, plan: Option<&'a str>) -> Subject<'a> {
    let Extension { id, revision, declared, .. } = extension;
    Subject { install_id, extension_id: *id, revision: *revision, plan, functions: declared }
}

fn is_same(known: &Extension, record: &record::Extension) -> bool {
    known.revision == record.revision
        && known.definition_sha256 == record.definition_sha256
        && known.role.as_deref() == record.role.as_deref()
}

/// The extension of `record`; where it cannot be served, the log says why.
fn built(record: &record::Extension, metrics: &Metrics) -> Option<Arc<Extension>> {
    match extension(record, metrics) {
        Ok(extension) => Some(Arc::new(extension)),
        Err(reason) => {
            tracing::error!(extension = %record.id, revision = record.revision, %reason, "a revision cannot be served");
            None
        }
    }
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The model of a recorded definition.
pub fn recall(document: &serde_json::Value) -> Result<Model, Vec<Diagnostic>> {
    let (definition, diagnostics) = read(document);
    if diagnostics.is_empty() { check(&definition) } else { Err(diagnostics) }
}

/// A function that the compiler refused although the checker did not.
#[derive(Debug, thiserror::Error)]
#[error("{function}: {error}")]
pub struct NotCompiled {
    pub function: String,
    pub error: CompileError,
}

/// Compiles every function of `model`.
pub fn compile_all(model: &Model) -> Result<Vec<(Box<str>, Plan)>, NotCompiled> {
    model
        .functions
        .iter()
        .map(|function| match compile(model, function) {
            Ok(plan) => Ok((function.name.as_str().into(), plan)),
            Err(error) => Err(NotCompiled { function: function.name.to_string(), error }),
        })
        .collect()
}

fn extension(record: &record::Extension, metrics: &Metrics) -> Result<Extension, String> {
    let (definition, diagnostics) = read(&record.definition);
    if let Some(first) = diagnostics.first() {
        return Err(first.to_string());
    }
    let model =
        check(&definition).map_err(|diagnostics| diagnostics.first().map(ToString::to_string).unwrap_or_default())?;
    let plans = compile_all(&model).map_err(|error| error.to_string())?;
    let id = model.extension.id;
    let declared = declared(&definition, &model, &plans);
    let place = |name: &str| declared.iter().position(|declared| &*declared.name == name).unwrap_or(usize::MAX);
    let functions = plans
        .into_iter()
        .map(|(name, plan)| {
            let (class, place) = (class_of(&plan), place(&name));
            let metrics = metrics.function(id, &name, plan.kind);
            let plan = Arc::new(plan);
            (name, Arc::new(Function { plan, class, place, metrics, answer_bytes: AtomicUsize::new(ANSWER_BYTES_MIN) }))
        })
        .collect();
    let handlers = model.handlers.iter().map(|handler| {
        let name: Box<str> = handler.name.as_str().into();
        let metrics = metrics.function(id, &name, handler.kind.as_str());
        let handler = Handler {
            kind: handler.kind,
            class: class(handler.kind),
            place: place(&name),
            access: handler.access,
            arguments: Arguments::new(&handler.arguments),
            defaults: defaults(&definition, &name),
            timeout_ms: handler.timeout_ms,
            metrics,
        };
        (name, Arc::new(handler))
    });
    let handlers = handlers.collect();
    let bundle = Bundle::new(model.sources.clone());
    let shapes = Shapes::new(&definition);
    let (name, role) = (model.extension.name.clone(), record.role.as_deref().map(Arc::from));
    let (revision, definition_sha256) = (record.revision, record.definition_sha256.clone());
    let texts = Texts::default();
    Ok(Extension {
        id,
        name,
        revision,
        definition_sha256,
        role,
        model,
        functions,
        handlers,
        declared,
        bundle,
        shapes,
        texts,
    })
}

/// What can be called, by name, with what its author says of its rate.
fn declared(definition: &Definition, model: &Model, plans: &[(Box<str>, Plan)]) -> Vec<Declared> {
    let quota = |limit: RateLimit| Quota { per_minute: limit.per_minute, burst: limit.burst };
    let functions = plans.iter().map(|(name, plan)| {
        let function = definition.functions.get(&**name);
        let rate_limit = function.and_then(|function| function.rate_limit).map(quota);
        Declared { name: name.clone(), key: function_key(name), class: class_of(plan), rate_limit }
    });
    let handlers = model.handlers.iter().map(|handler| {
        let name = handler.name.as_str();
        let rate_limit = definition.handlers.get(name).and_then(|handler| handler.rate_limit).map(quota);
        Declared { name: name.into(), key: function_key(name), class: class(handler.kind), rate_limit }
    });
    let mut declared: Vec<Declared> = functions.chain(handlers).collect();
    declared.sort_by(|one, other| one.name.cmp(&other.name));
    declared
}

fn class_of(plan: &Plan) -> Class {
    if plan.writes { Class::WriteRows } else { Class::QueryRows }
}

const fn class(kind: HandlerKind) -> Class {
    match kind {
        HandlerKind::Query => Class::Query,
        HandlerKind::Mutation => Class::Mutation,
        HandlerKind::Action => Class::Action,
    }
}

/// The defaults of the handler's arguments, as their author wrote them.
fn defaults(definition: &Definition, handler: &str) -> Vec<(String, Value)> {
    let declared = definition.handlers.get(handler).into_iter().flat_map(|handler: &definition::Handler| &handler.args);
    let written = declared.filter_map(|(name, validator)| match validator.default.as_ref()? {
        DefaultValue::Literal(value) => Some((name.clone(), value.clone())),
        DefaultValue::Now => None,
    });
    written.collect()
}
