//! `/admin/v1/limits`: what operators say of rate limits while the gateway runs, what is in force for an
//! install and where it comes from, and who changed what.

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use axum::{Extension, Router};
use rowgate_schema_dsl::diagnostic::nearest;
use serde_json::{Map, Value, json};

use crate::admin::Admin;
use crate::admin::api::{Operator, not_written, read, respond};
use crate::admin::installs::{ids, not_read, texts, time, unknown};
use crate::config::{Classes, Limits, Quota};
use crate::db::pool;
use crate::error::{Code, Failure};
use crate::limit::overrides::Override;
use crate::limit::resolve::Resolver;
use crate::record::limits::{self, Change, Said, SetError};
use crate::registry::Snapshot;

const LIMITS: &str = "/admin/v1/limits";

/// The conditions of an override, as the parameters of a query.
const CONDITIONS: [&str; 7] = ["layer", "class", "install_id", "extension_id", "function", "plan", "caller"];

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/limits", get(list).put(set).delete(unset))
        .route("/limits/in-force", get(in_force))
        .route("/limits/history", get(history))
}

async fn list(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let [] = texts(asked.as_deref(), [])?;
        let client = pool::take(&admin.pool).await?;
        let mut said = limits::listed(&**client).await.map_err(|error| not_read(&error))?;
        said.sort_by_cached_key(|Said { said, .. }| json!(said.without_values()).to_string());
        let overrides: Vec<Value> = said.iter().map(document).collect();
        Ok(json!({ "configured": layers(&admin.gateway.config.limits), "overrides": overrides }))
    };
    respond(StatusCode::OK, LIMITS, &headers, done.await)
}

async fn set(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let one: Override = read(body)?;
        must_be_sound(&one)?;
        must_be_there(&one, &admin.gateway.snapshot())?;
        let mut client = pool::take(&admin.pool).await?;
        limits::set(&mut **client, &one, &by).await.map_err(not_set)?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        Ok(json!(one))
    };
    respond(StatusCode::OK, LIMITS, &headers, done.await)
}

async fn unset(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    RawQuery(asked): RawQuery,
) -> Response<Body> {
    let done = async {
        let given = CONDITIONS.iter().zip(texts(asked.as_deref(), CONDITIONS)?);
        let given = given.filter_map(|(name, value)| Some(((*name).to_owned(), Value::String(value?))));
        let one: Override = serde_json::from_value(Value::Object(given.collect::<Map<_, _>>()))
            .map_err(|error| Failure::new(Code::ArgumentsInvalid, format!("the query cannot be used: {error}")))?;
        let mut client = pool::take(&admin.pool).await?;
        let was_set = limits::unset(&mut **client, &one, &by).await.map_err(not_set)?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        if was_set {
            return Ok(json!(one));
        }
        let detail = "nothing is set for exactly these; `GET /admin/v1/limits` lists what is";
        Err(Failure::new(Code::RowNotFound, detail))
    };
    respond(StatusCode::OK, LIMITS, &headers, done.await)
}

async fn in_force(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let [install_id] = ids(asked.as_deref(), ["install_id"])?;
        let install_id = install_id
            .ok_or_else(|| Failure::new(Code::ArgumentsInvalid, "expected `?install_id=`, the install asked about"))?;
        let snapshot = admin.gateway.snapshot();
        let install = snapshot.installs.get(&install_id).ok_or_else(unknown)?;
        let resolver = Resolver::new(&admin.gateway.config.limits, &snapshot.overrides);
        Ok(json!({
            "install_id": install_id,
            "extension_id": install.extension.id,
            "plan": install.plan,
            "in_force": resolver.in_force(&install.subject()),
        }))
    };
    respond(StatusCode::OK, LIMITS, &headers, done.await)
}

async fn history(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let [before] = texts(asked.as_deref(), ["before"])?;
        let number = |text: String| {
            text.parse::<i64>().map_err(|_| Failure::new(Code::ArgumentsInvalid, "`before` is no change's number"))
        };
        let before = before.map(number).transpose()?;
        let client = pool::take(&admin.pool).await?;
        let changes = limits::history(&**client, before).await.map_err(|error| not_read(&error))?;
        Ok(Value::Array(changes.into_iter().map(change).collect()))
    };
    respond(StatusCode::OK, LIMITS, &headers, done.await)
}

fn must_be_sound(one: &Override) -> Result<(), Failure> {
    match one.complaint() {
        Some(complaint) => Err(Failure::new(Code::ArgumentsInvalid, complaint)),
        None => Ok(()),
    }
}

/// An override for something that is not there is a mistake of whoever wrote it.
fn must_be_there(one: &Override, snapshot: &Snapshot) -> Result<(), Failure> {
    let missing = |detail: String| Err(Failure::new(Code::ArgumentsInvalid, detail));
    let extension = match (one.install_id, one.extension_id) {
        (Some(id), _) => match snapshot.installs.get(&id) {
            Some(install) => &install.extension,
            None => return missing("there is no install with this `install_id`".to_owned()),
        },
        (None, Some(id)) => match snapshot.extensions.get(&id) {
            Some(extension) => extension,
            None => return missing("there is no extension with this `extension_id`".to_owned()),
        },
        (None, None) => return Ok(()),
    };
    let names = || extension.declared.iter().map(|declared| &*declared.name);
    match &one.function {
        Some(function) if !names().any(|name| name == function) => {
            let hint = nearest(function, names()).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            missing(format!("there is no function `{function}`{hint}"))
        }
        Some(_) | None => Ok(()),
    }
}

fn not_set(error: SetError) -> Failure {
    match error {
        SetError::Full => Failure::new(Code::StateConflict, error.to_string()),
        SetError::Database(error) => not_written(&error),
    }
}

fn document(Said { said, at, by }: &Said) -> Value {
    let mut document = json!(said);
    if let Value::Object(members) = &mut document {
        members.insert("changed_at".to_owned(), json!(time(Some(*at))));
        members.insert("changed_by".to_owned(), json!(by));
    }
    document
}

fn change(change: Change) -> Value {
    let Change { id, at, by, before, after } = change;
    json!({ "id": id, "at": time(Some(at)), "by": by, "before": before, "after": after })
}

/// The quotas of a configuration, by layer.
pub(super) fn layers(limits: &Limits) -> Value {
    let quota = |quota: Quota| json!({ "per_minute": quota.per_minute, "burst": quota.burst });
    let layer = |classes: &Classes| {
        json!({
            "query_rows": quota(classes.query_rows),
            "write_rows": quota(classes.write_rows),
            "query": quota(classes.query),
            "mutation": quota(classes.mutation),
            "action": quota(classes.action),
        })
    };
    json!({
        "mode": limits.mode,
        "caller": layer(&limits.caller),
        "install": layer(&limits.install),
        "extension": layer(&limits.extension),
    })
}
