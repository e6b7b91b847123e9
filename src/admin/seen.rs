//! What the operators' page asks for: traffic of the last hours, what functions take, their SQL with
//! Postgres's plan, lines of handlers, revisions. Reading alone; each answer is of this gateway.

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::admin::Admin;
use crate::admin::api::respond;
use crate::admin::installs::{not_read, texts, time};
use crate::db::pool;
use crate::deploy::certify::certify;
use crate::error::{Code, Failure};
use crate::plan::compile::compile;
use crate::plan::cost::tree;
use crate::record;
use crate::record::lines;
use crate::telemetry::history::{Point, STEP, Tally};

const TRAFFIC: &str = "/admin/v1/traffic";
const FUNCTIONS: &str = "/admin/v1/functions";
const EXTENSIONS: &str = "/admin/v1/extensions";
const LINES: &str = "/admin/v1/lines";

/// Points of one answer, and how far back they may begin.
const POINTS_MAX: usize = 120;
const MINUTES_MAX: u64 = 360;
/// Lines of one answer.
const LINES_MAX: i64 = 200;

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/traffic", get(traffic))
        .route("/functions", get(functions))
        .route("/extensions/{id}/functions/{name}", get(function))
        .route("/extensions/{id}/revisions", get(revisions))
        .route("/lines", get(handler_lines))
}

async fn traffic(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = texts(asked.as_deref(), ["minutes"]).and_then(|[minutes]| {
        let minutes =
            minutes.map_or(Some(60), |text| text.parse().ok()).filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
        let expected = || Failure::new(Code::ArgumentsInvalid, format!("expected `minutes` from 1 to {MINUTES_MAX}"));
        let from = SystemTime::now() - Duration::from_secs(60 * minutes.ok_or_else(expected)?);
        let points = admin.gateway.metrics.history.points(from, POINTS_MAX);
        let points: Vec<Value> = points.iter().map(document).collect();
        Ok(json!({ "node": node(&admin), "step_s": STEP.as_secs(), "points": points }))
    });
    respond(StatusCode::OK, TRAFFIC, &headers, done)
}

fn document(point: &Point) -> Value {
    let each = |tallies: &[(Uuid, Tally)]| -> Value {
        tallies.iter().map(|(id, tally)| (id.to_string(), json!(tally))).collect::<serde_json::Map<_, _>>().into()
    };
    json!({ "at": time(Some(point.at)), "extensions": each(&point.extensions), "installs": each(&point.installs) })
}

/// Which gateway answers: what a list of several is told apart by.
fn node(admin: &Admin) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match admin.gateway.config.http.listen.port() {
        // Whichever was free.
        0 => host.trim().to_owned(),
        port => format!("{}:{port}", host.trim()),
    }
}

async fn functions(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = texts(asked.as_deref(), []).map(|[]| {
        let snapshot = admin.gateway.snapshot();
        let name_of = |id: Uuid| snapshot.extensions.get(&id).map(|extension| extension.name.clone());
        let used = admin.gateway.metrics.used();
        let list = used.into_iter().map(|used| {
            json!({
                "extension_id": used.extension, "extension": name_of(used.extension), "function": used.function,
                "kind": used.kind, "calls": used.tally.total(), "answered": used.tally.answered,
                "limited": used.tally.limited, "refused": used.tally.refused, "failed": used.tally.failed,
                "mean_ms": used.mean_ms, "p99_ms": used.p99_ms, "script_cpu_ms": used.script_cpu_ms,
                "stopped": used.stopped.values().sum::<u64>(), "stopped_by": used.stopped,
            })
        });
        json!({ "node": node(&admin), "functions": list.collect::<Vec<_>>() })
    });
    respond(StatusCode::OK, FUNCTIONS, &headers, done)
}

async fn function(
    State(admin): State<Admin>,
    headers: HeaderMap,
    named: Result<Path<(Uuid, String)>, PathRejection>,
) -> Response<Body> {
    let done = async {
        let unknown = || Failure::new(Code::FunctionUnknown, "there is no such function that is declarative");
        let Path((id, name)) = named.map_err(|_| unknown())?;
        let snapshot = admin.gateway.snapshot();
        let extension = snapshot.extensions.get(&id).ok_or_else(unknown)?;
        let mut model = extension.model.clone();
        model.functions.retain(|function| function.name == *name);
        let function = model.functions.first().cloned().ok_or_else(unknown)?;
        let plan = compile(&model, &function).map_err(|error| {
            Failure::new(Code::Internal, "the function cannot be compiled").with_log(error.to_string())
        })?;
        let mut client = pool::take(&admin.pool).await?;
        // Explained over a hollow copy of its tables, as a deploy does, which is rolled back.
        let certified = certify(&mut client, &model).await.map_err(|error| {
            Failure::new(Code::DatabaseUnavailable, "the function cannot be explained").with_log(error.to_string())
        })?;
        let of = certified.first();
        let costs = of.map(|certified| certified.certificate.statements.as_slice()).unwrap_or_default();
        let nodes = of.map(|certified| certified.plans.as_slice()).unwrap_or_default();
        let statements = plan.statements().zip(costs).zip(nodes).map(|((statement, cost), node)| {
            json!({ "step": cost.step, "given": cost.given, "sql": statement.sql, "plan": tree::lines(node) })
        });
        Ok(
            json!({ "extension_id": id, "function": name, "kind": plan.kind, "statements": statements.collect::<Vec<_>>() }),
        )
    };
    respond(StatusCode::OK, EXTENSIONS, &headers, done.await)
}

async fn revisions(
    State(admin): State<Admin>,
    headers: HeaderMap,
    id: Result<Path<Uuid>, PathRejection>,
) -> Response<Body> {
    let done = async {
        let unknown = || Failure::new(Code::RowNotFound, "there is no extension with this id");
        let Path(id) = id.map_err(|_| unknown())?;
        let client = pool::take(&admin.pool).await?;
        let current = record::extension(&**client, id).await.map_err(|error| not_read(&error))?;
        let current = current.ok_or_else(unknown)?.revision;
        let revisions = record::revisions(&**client, id).await.map_err(|error| not_read(&error))?;
        let list = revisions.iter().map(|revision| revision.document(current));
        Ok(Value::Array(list.collect()))
    };
    respond(StatusCode::OK, EXTENSIONS, &headers, done.await)
}

async fn handler_lines(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let [install, after] = texts(asked.as_deref(), ["install_id", "after"])?;
        let wrong = |what: &str| Failure::new(Code::ArgumentsInvalid, format!("expected `{what}`"));
        let install = install.map(|text| Uuid::try_parse(&text).map_err(|_| wrong("install_id` to be a UUID, not `…")));
        let after =
            after.map(|text| text.parse::<i64>().map_err(|_| wrong("after` to be the number of a line, not `…")));
        let (install, after) = (install.transpose()?, after.transpose()?.unwrap_or(0));
        let client = pool::take(&admin.pool).await?;
        let lines = lines::read(&**client, install, after, LINES_MAX).await.map_err(|error| not_read(&error))?;
        let list = lines.iter().map(|(number, line)| {
            json!({
                "number": number, "at": time(Some(line.at)), "install_id": line.install_id, "function": line.function,
                "level": line.level, "request_id": line.request_id, "file": line.file, "line": line.line,
                "message": line.message, "attributes": line.attributes,
            })
        });
        Ok(Value::Array(list.collect()))
    };
    respond(StatusCode::OK, LINES, &headers, done.await)
}
