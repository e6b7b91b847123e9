//! The public listener: one thread, one runtime, one socket and one set of connections per core.
//!
//! [`worker`] accepts and drives connections, [`function`] answers calls of functions, [`batch`] several at once. What a
//! request means is decided in `gateway`; what a failure looks like, in `problem`.

mod batch;
pub mod cors;
pub mod function;
mod patience;
pub mod request_id;
mod trace;
pub mod worker;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, header};
use axum::routing::any;
use axum::{BoxError, Router};
use tower::ServiceExt;

use crate::error::{Code, Failure};
use crate::gateway::{Gateway, Worker};
use crate::http::cors::Cors;
use crate::http::request_id::RequestId;
use crate::problem;

/// What the handlers of one worker share.
pub struct Shared {
    pub gateway: Arc<Gateway>,
    pub worker: Worker,
}

/// Every request of a worker comes in here.
pub struct Entry {
    pub shared: Arc<Shared>,
    cors: Option<Cors>,
    router: Router,
}

impl Entry {
    pub fn new(shared: Arc<Shared>) -> Entry {
        let cors = Cors::new(&shared.gateway.config.http.cors_origins);
        let router = Router::new()
            .route("/v1/extension-functions/{install_id}/{function}", any(function::call_routed))
            .route("/v1/extension-functions/{install_id}", any(batch::call_routed))
            .fallback(unknown)
            .with_state(shared.clone());
        Entry { shared, cors, router }
    }

    /// Answers `request`, sent from `client`.
    ///
    /// A call of a function, which is what nearly all requests are, goes straight to it: finding
    /// it by the router, with a layer for origins around, takes a fifth of a call's instructions.
    pub async fn serve<B>(self: Arc<Self>, client: IpAddr, request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        if let Some(answer) = self.cors.as_ref().and_then(|cors| cors.preflight(&parts)) {
            return answer;
        }
        let origin = self.cors.as_ref().and_then(|_| parts.headers.get(header::ORIGIN).cloned());
        let mut response = match function::named_in(parts.uri.path()) {
            Some((install_id, function)) => {
                function::call(&self.shared, client, install_id, function, &parts, body).await
            }
            None => {
                let mut request = Request::from_parts(parts, Body::new(body));
                request.extensions_mut().insert(Client(client));
                // A router answers everything; its error type has no value.
                self.router.clone().oneshot(request).await.unwrap_or_default()
            }
        };
        if let Some(cors) = &self.cors {
            cors.mark(origin.as_ref(), response.headers_mut());
        }
        if self.shared.gateway.draining.load(Ordering::Relaxed) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Where a request on the router comes from.
#[derive(Clone, Copy)]
struct Client(IpAddr);

async fn unknown(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let failure = Failure::new(
        Code::EndpointUnknown,
        "there is no such endpoint; functions are called by POST /v1/extension-functions/{install_id}/{function}",
    );
    shared.gateway.metrics.refuse(failure.code);
    let id = RequestId::of(request.headers());
    let mut response = problem::response(&failure, request.uri().path(), id.as_str());
    if !request.body().is_end_stream() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    id.on(response)
}
