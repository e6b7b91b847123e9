//! The public listener: one thread, one runtime, one socket and one set of connections per core.
//!
//! [`worker`] accepts and drives connections, [`function`] answers calls of functions. What a
//! request means is decided in `gateway`; what a failure looks like, in `problem`.

pub mod function;
pub mod request_id;
pub mod worker;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Response, header};
use axum::routing::any;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::error::{Code, Failure};
use crate::gateway::{Gateway, Worker};
use crate::http::request_id::RequestId;
use crate::problem;

/// What the handlers of one worker share.
pub struct Shared {
    pub gateway: Arc<Gateway>,
    pub worker: Worker,
}

/// The public endpoints.
pub fn router(shared: Arc<Shared>) -> Router {
    let cors = cors(&shared.gateway.config.http.cors_origins);
    let router = Router::new()
        .route("/v1/extension-functions/{install_id}/{function}", any(function::call))
        .fallback(unknown)
        .with_state(shared);
    match cors {
        Some(cors) => router.layer(cors),
        None => router,
    }
}

/// Pages call with a bearer token and no cookies, so an allowed origin needs nothing else.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let exposed =
        ["x-request-id", "server-timing", "ratelimit", "ratelimit-policy", "retry-after"].map(HeaderName::from_static);
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::POST])
            .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, HeaderName::from_static("x-request-id")])
            .expose_headers(exposed)
            .max_age(std::time::Duration::from_secs(3_600)),
    )
}

async fn unknown(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let failure = Failure::new(
        Code::EndpointUnknown,
        "there is no such endpoint; functions are called by POST /v1/extension-functions/{install_id}/{function}",
    );
    shared.gateway.metrics.refused.with_label_values(&[failure.code.as_str()]).inc();
    let id = RequestId::of(request.headers());
    let mut response = problem::response(&failure, request.uri().path(), id.as_str());
    if !request.body().is_end_stream() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    id.on(response)
}
