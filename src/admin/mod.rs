//! The private listener: health, metrics, and `/admin/v1` for operators.
//!
//! `/livez`, `/readyz` and `/metrics` answer anyone who can reach the listener, which is on
//! loopback unless told otherwise; everything under `/admin/v1` asks for an operator's key.

pub mod api;
mod deploys;
mod installs;
mod limits;
mod metrics;
mod openapi;
mod page;
mod plan;
mod seen;
mod simulate;
mod values;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use deadpool_postgres::Pool;
use serde_json::json;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::error::{Code, Failure};
use crate::gateway::Gateway;
use crate::http::Shared;
use crate::http::request_id::RequestId;
use crate::problem;

/// What the admin endpoints act on.
#[derive(Clone)]
pub struct Admin {
    pub gateway: Arc<Gateway>,
    pub pool: Pool,
    /// The workers, to ask how they are.
    pub shared: Vec<Arc<Shared>>,
    /// Told when something is to be erased at once.
    pub erase: Arc<Notify>,
    /// One simulation at a time.
    pub simulating: Arc<Semaphore>,
    /// So many deploys at a time.
    pub deploying: Arc<Semaphore>,
}

/// Serves `admin` on `listener` until `stopping` turns true.
pub fn start(
    admin: Admin,
    listener: std::net::TcpListener,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<(SocketAddr, JoinHandle<()>)> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let router = router(admin);
    let task = tokio::spawn(async move {
        let stop = async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the admin listener ended");
        }
    });
    Ok((address, task))
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::scrape))
        .merge(page::router())
        .nest("/admin/v1", api::router(admin.clone()))
        .fallback(unknown)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(admin)
}

/// Ready when every worker can reach the database both ways and the tokens' signers are known.
async fn ready(State(admin): State<Admin>) -> Response<Body> {
    let workers = admin.shared.len();
    let ready = admin.shared.iter().filter(|shared| shared.worker.is_ready()).count();
    let signers_ready = admin.gateway.authenticator.is_ready();
    let draining = admin.gateway.draining.load(Ordering::Relaxed);
    let all_ready = workers > 0 && ready == workers && signers_ready && !draining;
    let snapshot = admin.gateway.snapshot();
    let body = json!({
        "ready": all_ready,
        "workers": workers,
        "workers_ready": ready,
        "signers_ready": signers_ready,
        "draining": draining,
        "extensions": snapshot.extensions.len(),
        "installs": snapshot.installs.len(),
        "calls_in_flight": admin.gateway.calls_in_flight(),
        "limits": limits(&admin),
    });
    let status = if all_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_response(status, &body)
}

/// Whether limits are counted over all gateways; null where each counts for itself.
fn limits(admin: &Admin) -> serde_json::Value {
    let Some(commons) = &admin.gateway.shared_limits else { return serde_json::Value::Null };
    let is_open = |shared: &Arc<Shared>| shared.worker.limits.as_ref().is_some_and(|link| link.is_open());
    json!({ "shared": admin.shared.iter().all(is_open), "nodes": commons.nodes() })
}

/// The router names the allowed methods in `Allow`.
async fn method_not_allowed(request: Request) -> Response<Body> {
    let failure = Failure::new(Code::MethodNotAllowed, "the endpoint has other methods; `Allow` names them");
    let id = RequestId::of(request.headers());
    id.on(problem::response(&failure, request.uri().path(), id.as_str()))
}

async fn unknown(request: Request) -> Response<Body> {
    let failure = Failure::new(Code::EndpointUnknown, "there is no such endpoint on the admin listener");
    let id = RequestId::of(request.headers());
    id.on(problem::response(&failure, request.uri().path(), id.as_str()))
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Who reads by a session is signed out one day.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
