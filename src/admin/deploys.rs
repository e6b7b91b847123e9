//! `POST /admin/v1/apply` and `POST /admin/v1/extensions/{id}/rollback`: a definition becomes the deployed one,
//! and its caller is told as it goes, by a JSON object on each line.
//!
//! What was begun goes on where its caller goes away. It has a connection of its own, so that no other work
//! waits for one, and the lines that a slow caller does not take are left out, but for the last.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::post;
use axum::{Extension, Router};
use deadpool_postgres::Object;
use futures_util::stream;
use rowgate_schema_dsl::ddl::step::{Phase, Step};
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read as read_definition;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::admin::Admin;
use crate::admin::api::{Operator, read, respond};
use crate::admin::installs::{id_of, not_read};
use crate::admin::plan::{DEFINITION_BYTES_MAX, checked};
use crate::db::pool;
use crate::deploy::apply::{ApplyError, Scans, Terms, apply_watched};
use crate::deploy::certify::CertifyError;
use crate::deploy::drift;
use crate::deploy::plan::Complaint;
use crate::error::{Code, Failure};
use crate::record;
use crate::registry::recall;

const APPLY: &str = "/admin/v1/apply";
const EXTENSIONS: &str = "/admin/v1/extensions";

/// Lines that wait for their caller to take them.
const LINES_MAX: usize = 256;

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/apply", post(apply).layer(DefaultBodyLimit::max(DEFINITION_BYTES_MAX)))
        .route("/extensions/{id}/rollback", post(rollback))
}

/// The body of `POST /admin/v1/apply`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Apply {
    /// The definition document, as `rowgate check --json` prints it.
    definition: Value,
    /// What may become of values, by name.
    #[serde(default)]
    allow: BTreeSet<String>,
    /// Functions that may read or sort a whole scope.
    #[serde(default)]
    allow_scan: BTreeSet<String>,
}

/// The body of `POST /admin/v1/extensions/{id}/rollback`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// The revision to return to; the one before the current unless given.
    to: Option<i64>,
    /// What may become of values, by name.
    #[serde(default)]
    allow: BTreeSet<String>,
}

/// What is to be deployed, and on what terms.
struct Deploy {
    definition: Definition,
    model: Model,
    terms: Terms,
    by: String,
    /// The revision whose definition it is, where it is a former one.
    former: Option<i64>,
}

async fn apply(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let asked: Apply = read(body)?;
        let (definition, model) = checked(&asked.definition)?;
        let scans = Scans::Only(asked.allow_scan);
        let terms = Terms { scans, allowed: asked.allow, ..Terms::of(&admin.gateway.config) };
        begin(&admin, Deploy { definition, model, terms, by, former: None }).await
    };
    done.await.unwrap_or_else(|failure| respond(StatusCode::OK, APPLY, &headers, Err(failure)))
}

async fn rollback(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let id = id_of(id, "the extension's id is not a UUID")?;
        let is_empty = body.as_ref().is_ok_and(|body| body.is_empty());
        let Rollback { to, allow } = if is_empty { Rollback::default() } else { read(body)? };
        let client = pool::take(&admin.pool).await?;
        let current = record::extension(&**client, id).await.map_err(|error| not_read(&error))?;
        let revisions = record::revisions(&**client, id).await.map_err(|error| not_read(&error))?;
        drop(client);
        let current = current.ok_or_else(|| Failure::new(Code::RowNotFound, "there is no extension with this id"))?;
        let to = to.unwrap_or(current.revision - 1);
        let former = revisions.iter().find(|revision| revision.revision == to).ok_or_else(|| {
            let detail = match current.revision {
                1 => "the extension has one revision alone; there is nothing to return to".to_owned(),
                _ => format!("the extension has no revision {to}"),
            };
            Failure::new(Code::ArgumentsInvalid, detail)
        })?;
        let model = recall(&former.definition).map_err(|_| {
            Failure::new(Code::StateConflict, format!("revision {to} is no sound definition for this version"))
        })?;
        let (definition, _) = read_definition(&former.definition);
        // It was certified, or let pass, when it was deployed first.
        let terms = Terms { scans: Scans::Uncertified, allowed: allow, ..Terms::of(&admin.gateway.config) };
        begin(&admin, Deploy { definition, model, terms, by, former: Some(to) }).await
    };
    done.await.unwrap_or_else(|failure| respond(StatusCode::OK, EXTENSIONS, &headers, Err(failure)))
}

/// Begins a deploy and answers with what is told of it.
async fn begin(admin: &Admin, deploy: Deploy) -> Result<Response<Body>, Failure> {
    let permit = Arc::clone(&admin.deploying).try_acquire_owned().map_err(|_| {
        Failure::new(
            Code::StateConflict,
            "this gateway is deploying as much as it may at once; try again when it is done",
        )
    })?;
    let client = Object::take(pool::take(&admin.pool).await?);
    let (teller, told) = mpsc::channel(LINES_MAX);
    tokio::spawn(run(admin.clone(), deploy, client, teller, permit));
    let lines = stream::unfold(told, |mut told: mpsc::Receiver<Value>| async move {
        let line = told.recv().await?;
        Some((Ok::<_, Infallible>(format!("{line}\n")), told))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

async fn run(
    admin: Admin,
    deploy: Deploy,
    mut client: deadpool_postgres::ClientWrapper,
    teller: mpsc::Sender<Value>,
    _permit: OwnedSemaphorePermit,
) {
    let Deploy { definition, model, terms, by, former } = deploy;
    // Told lines are a courtesy: who does not take them misses some, and the work goes on.
    let tell = |line: Value| drop(teller.try_send(line));
    match drift::of_deployed(&mut client, definition.extension.id, recall).await {
        Ok(differences) => {
            differences.into_iter().for_each(|one| tell(json!({ "by_hand": Complaint::from(one) })));
        }
        Err(error) => tracing::warn!(reason = %error, "what was changed by hand could not be looked for"),
    }
    let mut watch = |step: &Step| {
        // The swap is over before it can be read of.
        if step.phase != Phase::Swap {
            tell(json!({ "step": { "phase": step.phase.as_str(), "subject": step.subject } }));
        }
    };
    let applied = apply_watched(&mut client, &definition, &model, recall, &terms, &mut watch).await;
    drop(client);
    let extension = definition.extension.id;
    let last = match applied {
        Ok(applied) => {
            tracing::info!(by, %extension, revision = applied.revision, changed = applied.changed, "deployed");
            // The others hear of it by NOTIFY; this one serves it before it says so.
            if let Err(failure) = admin.gateway.reload(&admin.pool).await {
                tracing::warn!(
                    reason = failure.log.as_deref().unwrap_or_default(),
                    "what is deployed could not be read"
                );
            }
            json!({ "applied": {
                "extension_id": extension, "name": definition.extension.name, "revision": applied.revision,
                "changed": applied.changed, "statements": applied.statements, "former": former,
            } })
        }
        Err(error) => ended(error),
    };
    // An error means that nobody listens any more.
    let _ = teller.send(last).await;
}

/// How a deploy that failed is told; what Postgres said of it is for the log.
fn ended(error: ApplyError) -> Value {
    let complaints = |of: Vec<_>| of.into_iter().map(Complaint::from).collect::<Vec<_>>();
    let failed = |code: Code, detail: String| json!({ "failed": { "code": code.as_str(), "detail": detail } });
    match error {
        ApplyError::Refused(of) | ApplyError::Costly(of) => {
            json!({ "refused": { "unfinished_revision": null, "complaints": complaints(of) } })
        }
        ApplyError::Unfinished { revision, complaints: of } => {
            json!({ "refused": { "unfinished_revision": revision, "complaints": complaints(of) } })
        }
        ApplyError::Recorded(of) => failed(
            Code::StateConflict,
            format!("the deployed definition cannot be read by this version: {} complaints", of.len()),
        ),
        error @ ApplyError::Certify(CertifyError::UnknownFunction { .. }) => {
            failed(Code::ArgumentsInvalid, error.to_string())
        }
        error @ ApplyError::Busy { .. } => failed(Code::DatabaseBusy, error.to_string()),
        error @ (ApplyError::Certify(_) | ApplyError::Wall(_) | ApplyError::Database(_)) => {
            tracing::warn!(reason = %error, "a deploy failed");
            failed(Code::DatabaseUnavailable, "the deploy failed; the gateway's log says why".to_owned())
        }
    }
}
