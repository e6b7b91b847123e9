//! `POST /v1/extension-functions/{install_id}/{function}`: arguments in, the bare result out.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use bytes::BufMut;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use uuid::Uuid;

use crate::auth::Identity;
use crate::error::{Code, Failure};
use crate::gateway::{Call, Reply, Stages};
use crate::http::Shared;
use crate::http::request_id::RequestId;
use crate::limit::{Decision, Limiter};
use crate::problem;

/// Headers of an answer: room for them is made once.
const HEADERS_MAX: usize = 12;
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Three layers of two numbers each: 110 bytes at most.
const RATE_LIMIT_BYTES_MAX: usize = 128;
/// Three stages, each a name and 21 digits at most: 92 bytes.
const SERVER_TIMING_BYTES_MAX: usize = 96;
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What is known of a request by the time it is answered.
#[derive(Default)]
struct Answered {
    decision: Option<Decision>,
    auth: Duration,
    stages: Stages,
    /// Whether a part of the body may still be on its way.
    body_left: bool,
}

pub async fn call(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    let id = RequestId::of(&parts.headers);
    let instance = parts.uri.path();
    let mut answered = Answered { body_left: !body.is_end_stream(), ..Answered::default() };
    let result = match path {
        Ok(Path((install_id, function))) => {
            answer(&shared, address.ip(), &install_id, &function, &parts, &mut body, &mut answered).await
        }
        Err(_) => Err(Failure::new(Code::EndpointUnknown, "the path is not one of an endpoint")),
    };
    let mut response = match result {
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            response.headers_mut().reserve(HEADERS_MAX);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(failure) => {
            log(&failure, instance, &id);
            let mut response = problem::response(&failure, instance, id.as_str());
            if answered.body_left && !discarded(&shared, &parts.headers, &mut body, failure.code).await {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if failure.code == Code::MethodNotAllowed {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            response
        }
    };
    let headers = response.headers_mut();
    if let Some(decision) = &answered.decision {
        rate_limit(&shared.gateway.limiter, decision, headers);
    }
    if let Some(timing) = server_timing(&answered) {
        headers.insert(SERVER_TIMING, timing);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    id.on(response)
}

async fn answer(
    shared: &Shared,
    client: IpAddr,
    install_id: &str,
    function: &str,
    request: &Parts,
    body: &mut Body,
    answered: &mut Answered,
) -> Result<Vec<u8>, Failure> {
    let gateway = &shared.gateway;
    if request.method != Method::POST {
        return Err(refused(shared, Failure::new(Code::MethodNotAllowed, "functions are called by POST")));
    }
    let began = Instant::now();
    let identity = authenticate(shared, client, &request.headers).await.map_err(|failure| refused(shared, failure))?;
    answered.auth = began.elapsed();
    // A path that holds no UUID names no install.
    let install_id = Uuid::try_parse(install_id).ok().filter(|_| install_id.len() == 36);
    let install_id = install_id
        .ok_or_else(|| refused(shared, Failure::new(Code::InstallUnknown, "the path's install id is not a UUID")))?;
    let arguments = read(shared, &request.headers, body).await.map_err(|failure| refused(shared, failure))?;
    answered.body_left = false;
    must_be_json(&request.headers, &arguments).map_err(|failure| refused(shared, failure))?;
    let call = Call { install_id, function, identity: &identity, arguments: &arguments };
    let Reply { result, decision, stages } = gateway.call(&shared.worker, call).await;
    answered.decision = decision;
    answered.stages = stages;
    result
}

async fn authenticate(shared: &Shared, client: IpAddr, headers: &HeaderMap) -> Result<Arc<Identity>, Failure> {
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    let snapshot = shared.gateway.snapshot();
    let mut presented = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let authorization = presented.next();
    if presented.next().is_some() {
        return Err(Failure::new(Code::TokenMalformed, "expected one `Authorization` header, got several"));
    }
    shared.gateway.authenticator.authenticate_or_fetch(authorization, client, now_s, &snapshot.keys).await
}

/// The body, bounded in size and time.
async fn read(shared: &Shared, headers: &HeaderMap, body: &mut Body) -> Result<Bytes, Failure> {
    let settings = &shared.gateway.config.http;
    let too_large = || Failure::new(Code::BodyTooLarge, format!("the body is over {} bytes", settings.body_bytes_max));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > settings.body_bytes_max as u64) {
        return Err(too_large());
    }
    let collected = Limited::new(body, settings.body_bytes_max).collect();
    let within = Duration::from_millis(settings.body_read_timeout_ms);
    match tokio::time::timeout(within, collected).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Failure::new(Code::BodyMalformed, "the body ended before its announced length")),
        Err(_) => Err(Failure::new(Code::RequestTimeout, "the body did not arrive in time")),
    }
}

/// Reads on to the end of a body that nobody wants, so that the connection can serve the next
/// request; answers whether the end was reached. As bounded as reading one that is wanted.
async fn discarded(shared: &Shared, headers: &HeaderMap, body: &mut Body, code: Code) -> bool {
    // Whoever was read in vain is not read further, and whoever asks first has sent nothing yet.
    if matches!(code, Code::BodyTooLarge | Code::BodyMalformed | Code::RequestTimeout)
        || headers.contains_key(header::EXPECT)
    {
        return false;
    }
    let settings = &shared.gateway.config.http;
    let mut left = settings.body_bytes_max;
    let reading = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let Some(less) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return false };
            left = less;
        }
        true
    };
    tokio::time::timeout(Duration::from_millis(settings.body_read_timeout_ms), reading).await.unwrap_or(false)
}

fn must_be_json(headers: &HeaderMap, body: &[u8]) -> Result<(), Failure> {
    if body.is_empty() || is_json(headers) {
        return Ok(());
    }
    Err(Failure::new(Code::ContentTypeUnsupported, "expected `Content-Type: application/json`"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

/// Counts a request that was refused before the gateway saw it.
fn refused(shared: &Shared, failure: Failure) -> Failure {
    shared.gateway.metrics.refused.with_label_values(&[failure.code.as_str()]).inc();
    failure
}

/// A failure is logged once, here; what the caller did wrong only where one asks for it.
fn log(failure: &Failure, instance: &str, id: &RequestId) {
    let (code, request_id, reason) = (failure.code.as_str(), id.as_str(), failure.log.as_deref().unwrap_or_default());
    match failure.code {
        Code::Internal => {
            tracing::error!(code, request_id, instance, reason, "a call failed by the gateway's own fault")
        }
        Code::DatabaseUnavailable | Code::StatementTimeout | Code::DatabaseBusy | Code::Overloaded => {
            tracing::warn!(code, request_id, instance, reason, "a call could not be served");
        }
        _ => tracing::debug!(code, request_id, instance, reason, "a call was refused"),
    }
}

fn rate_limit(limiter: &Limiter, decision: &Decision, headers: &mut HeaderMap) {
    if let Some(policy) = limiter.policy_header(decision.class())
        && let Ok(value) = HeaderValue::from_maybe_shared(policy.clone())
    {
        headers.insert(RATE_LIMIT_POLICY, value);
    }
    let mut text = [0u8; RATE_LIMIT_BYTES_MAX];
    let mut rest = text.as_mut_slice();
    decision.write_rate_limit(&mut rest);
    let unused = rest.len();
    if unused < text.len()
        && let Some(text) = text.get(..text.len() - unused)
        && let Ok(value) = HeaderValue::from_bytes(text)
    {
        headers.insert(RATE_LIMIT, value);
    }
}

/// `auth;dur=0.012, plan;dur=0.034, db;dur=0.456`, in milliseconds.
fn server_timing(answered: &Answered) -> Option<HeaderValue> {
    let Answered { auth, stages, .. } = answered;
    let mut text = [0u8; SERVER_TIMING_BYTES_MAX];
    let mut rest = text.as_mut_slice();
    // Digits of whole microseconds; `write!` takes three times as long.
    for (name, duration) in [("auth;dur=", auth), (", plan;dur=", &stages.plan), (", db;dur=", &stages.database)] {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let digit = |unit: u64| b'0' + (us / unit % 10) as u8;
        rest.put_slice(name.as_bytes());
        rest.put_slice(itoa::Buffer::new().format(us / 1_000).as_bytes());
        rest.put_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
    let unused = rest.len();
    HeaderValue::from_bytes(text.get(..text.len() - unused)?).ok()
}
