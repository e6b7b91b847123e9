//! Which pages may call: cross-origin answers, with every header made once.
//!
//! Pages call with a bearer token and no cookies, so an allowed origin needs nothing else.

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, header};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
/// What a page may send beyond what any page may.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, idempotency-key, if-match, traceparent, tracestate, x-request-id",
);
/// What a page may read beyond what any page may.
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "etag, idempotent-replayed, x-request-id, server-timing, ratelimit, ratelimit-policy, retry-after",
);
/// How long a browser may remember that it may call.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("3600");
const ANY: HeaderValue = HeaderValue::from_static("*");
const VARY: HeaderValue = HeaderValue::from_static("origin");

/// The origins whose pages may call.
pub struct Cors {
    /// None where any may.
    origins: Option<Vec<HeaderValue>>,
}

impl Cors {
    /// Reads the configured origins; `None` where no page of another origin may call.
    pub fn new(origins: &[String]) -> Option<Cors> {
        if origins.is_empty() {
            return None;
        }
        let any = origins.iter().any(|origin| origin == "*");
        let listed = || origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
        Some(Cors { origins: (!any).then(listed) })
    }

    /// The answer to a browser that asks before it calls; `None` for any other request.
    pub fn preflight(&self, request: &Parts) -> Option<Response<Body>> {
        if request.method != Method::OPTIONS || !request.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        self.allow(request.headers.get(header::ORIGIN), headers);
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        Some(response)
    }

    /// Lets the page of an allowed origin read an answer.
    pub fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        self.allow(origin, headers);
        if origin.is_some() {
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
    }

    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let Some(origins) = &self.origins else {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            return;
        };
        // A cache between must not give one origin what was said to another.
        headers.append(header::VARY, VARY);
        if let Some(origin) = origin.and_then(|origin| origins.iter().find(|allowed| *allowed == origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}
