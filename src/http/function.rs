//! `POST /v1/extension-functions/{install_id}/{function}`: arguments in, the bare result out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use bytes::{BufMut, BytesMut};
use http_body_util::BodyExt;
use uuid::Uuid;

use crate::auth::Identity;
use crate::error::{Code, Failure};
use crate::gateway::once::Named;
use crate::gateway::{Call, Reply, Stages};
use crate::http::request_id::RequestId;
use crate::http::trace::{self, Came, Trace};
use crate::http::{Client, Shared, unknown};
use crate::limit::Decision;
use crate::problem;

/// Headers of an answer: room for them is made once.
const HEADERS_MAX: usize = 12;
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Three layers of two numbers each: 110 bytes at most.
const RATE_LIMIT_BYTES_MAX: usize = 192;
/// Three stages, each a name and 21 digits at most: 92 bytes.
const SERVER_TIMING_BYTES_MAX: usize = 96;
/// Quotes around 20 characters.
const ETAG_BYTES_MAX: usize = 22;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Characters of an idempotency key; a UUID has 36.
const KEY_BYTES_MAX: usize = 255;
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What is known of a request by the time it is answered.
#[derive(Default)]
pub(super) struct Answered {
    pub(super) decision: Option<Decision>,
    pub(super) auth: Duration,
    pub(super) stages: Stages,
    /// The version of the one row that the answer is.
    pub(super) version: Option<i64>,
    /// Whether it is the answer of the same call, made before.
    pub(super) replayed: bool,
    /// Whether a part of the body may still be on its way.
    pub(super) body_left: bool,
    pub(super) trace: Option<Trace>,
}

impl Answered {
    /// Of a request that begins now.
    pub(super) fn begin(shared: &Shared, headers: &HeaderMap, body_left: bool) -> Answered {
        Answered { body_left, trace: Trace::begin(&shared.gateway, headers), ..Answered::default() }
    }
}

/// The install and the function that a plain path names; `None` for any other path, and for one
/// in percent signs, which the router reads.
pub fn named_in(path: &str) -> Option<(&str, &str)> {
    let (install_id, function) = path.strip_prefix("/v1/extension-functions/")?.split_once('/')?;
    let is_plain = !install_id.is_empty() && !function.is_empty() && !function.contains('/') && !path.contains('%');
    is_plain.then_some((install_id, function))
}

/// A call found by the router.
pub(super) async fn call_routed(
    State(shared): State<Arc<Shared>>,
    Extension(Client(client)): Extension<Client>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    request: Request<Body>,
) -> Response<Body> {
    let Ok(Path((install_id, function))) = path else { return unknown(State(shared), request).await };
    let (parts, body) = request.into_parts();
    call(&shared, client, &install_id, &function, &parts, body).await
}

/// Answers one call.
pub async fn call<B>(
    shared: &Shared,
    client: IpAddr,
    install_id: &str,
    function: &str,
    parts: &Parts,
    mut body: B,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let id = RequestId::of(&parts.headers);
    let mut answered = Answered::begin(shared, &parts.headers, !body.is_end_stream());
    let named = (install_id, function, id.as_str());
    let result = answer(shared, client, named, parts, &mut body, &mut answered).await;
    respond(shared, parts, body, id, answered, result).await
}

/// The response to a request that came to `result`.
pub(super) async fn respond<B>(
    shared: &Shared,
    parts: &Parts,
    mut body: B,
    id: RequestId,
    answered: Answered,
    result: Result<Vec<u8>, Failure>,
) -> Response<Body>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let instance = parts.uri.path();
    let code = result.as_ref().err().map(|failure| failure.code);
    let trace_id = (code.is_some() || tracing::enabled!(tracing::Level::DEBUG))
        .then(|| trace::id_of(&parts.headers, answered.trace.as_ref()))
        .flatten();
    let trace_id = trace_id.as_deref();
    let mut response = match result {
        Ok(body) => {
            let (request_id, Stages { plan, database }) = (id.as_str(), &answered.stages);
            tracing::debug!(request_id, trace_id, instance, ?plan, ?database, "a call was answered");
            let mut response = Response::new(Body::from(body));
            *response.headers_mut() = HeaderMap::with_capacity(HEADERS_MAX);
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(version) = answered.version {
                response.headers_mut().insert(header::ETAG, etag(version));
            }
            if answered.replayed {
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            }
            response
        }
        Err(failure) => {
            log(&failure, instance, &id, trace_id);
            let mut response = problem::response(&failure, instance, id.as_str());
            if answered.body_left && !discarded(shared, &parts.headers, &mut body, failure.code).await {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            if failure.code == Code::MethodNotAllowed {
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            }
            response
        }
    };
    if let Some(trace) = answered.trace {
        let Answered { auth, stages, .. } = answered;
        let status = response.status().as_u16();
        trace.end(&shared.gateway, parts, &id, &Came { status, code, auth, stages });
    }
    let headers = response.headers_mut();
    if let Some(decision) = &answered.decision {
        rate_limit(decision, headers);
    }
    if let Some(timing) = server_timing(answered.auth, &answered.stages) {
        headers.insert(SERVER_TIMING, timing);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    id.on(response)
}

/// `named` are the install, the function and the request.
async fn answer<B>(
    shared: &Shared,
    client: IpAddr,
    named: (&str, &str, &str),
    request: &Parts,
    body: &mut B,
    answered: &mut Answered,
) -> Result<Vec<u8>, Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let (install_id, function, request_id) = named;
    let Asked { install_id, identity, body: arguments } =
        asked(shared, client, install_id, request, body, answered).await.map_err(|failure| refused(shared, failure))?;
    let gateway = &shared.gateway;
    let version = version_in(&request.headers).map_err(|failure| refused(shared, failure))?;
    let key = key_in(&request.headers).map_err(|failure| refused(shared, failure))?;
    // Another version is another call.
    let payload = match (key, version) {
        (Some(_), Some(version)) => Bytes::from([&version.to_be_bytes()[..], b" ", &arguments].concat()),
        (_, _) => arguments.clone(),
    };
    let named = key.map(|key| Named { key, payload: &payload });
    let request_id = Some(request_id);
    if let Some(trace) = &mut answered.trace {
        trace.called();
    }
    let call = Call { version, named, request_id, ..Call::new(install_id, function, &identity, &arguments) };
    let Reply { result, version, replayed, decision, stages } = gateway.call(&shared.worker, call).await;
    answered.version = version;
    answered.replayed = replayed;
    answered.decision = decision;
    answered.stages = stages;
    result
}

/// What every request to an install brings.
pub(super) struct Asked {
    pub(super) install_id: Uuid,
    pub(super) identity: Arc<Identity>,
    pub(super) body: Bytes,
}

/// Reads a request to an install: who calls, which install, with what body.
pub(super) async fn asked<B>(
    shared: &Shared,
    client: IpAddr,
    install_id: &str,
    request: &Parts,
    body: &mut B,
    answered: &mut Answered,
) -> Result<Asked, Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    if request.method != Method::POST {
        return Err(Failure::new(Code::MethodNotAllowed, "functions are called by POST"));
    }
    let began = Instant::now();
    let identity = authenticate(shared, client, &request.headers).await?;
    answered.auth = began.elapsed();
    // A path that holds no UUID names no install.
    let install_id = Uuid::try_parse(install_id).ok().filter(|_| install_id.len() == 36);
    let install_id =
        install_id.ok_or_else(|| Failure::new(Code::InstallUnknown, "the path's install id is not a UUID"))?;
    let body = read(shared, &request.headers, body).await?;
    answered.body_left = false;
    must_be_json(&request.headers, &body)?;
    Ok(Asked { install_id, identity, body })
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
async fn read<B>(shared: &Shared, headers: &HeaderMap, body: &mut B) -> Result<Bytes, Failure>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let settings = &shared.gateway.config.http;
    let too_large = || Failure::new(Code::BodyTooLarge, format!("the body is over {} bytes", settings.body_bytes_max));
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > settings.body_bytes_max as u64) {
        return Err(too_large());
    }
    let reading = async {
        // A short body is one frame, and is not copied.
        let mut whole = Bytes::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|_| Failure::new(Code::BodyMalformed, "the body ended before its announced length"))?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > settings.body_bytes_max {
                return Err(too_large());
            }
            if whole.is_empty() {
                whole = data;
            } else {
                let mut longer = BytesMut::from(whole);
                longer.extend_from_slice(&data);
                whole = longer.freeze();
            }
        }
        Ok(whole)
    };
    let within = Duration::from_millis(settings.body_read_timeout_ms);
    let late = |_| Failure::new(Code::RequestTimeout, "the body did not arrive in time");
    tokio::time::timeout(within, reading).await.map_err(late)?
}

/// Reads on to the end of a body that nobody wants, so that the connection can serve the next
/// request; answers whether the end was reached. As bounded as reading one that is wanted.
async fn discarded<B>(shared: &Shared, headers: &HeaderMap, body: &mut B, code: Code) -> bool
where
    B: HttpBody<Data = Bytes> + Unpin,
{
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

/// The version that `If-Match` names; none where there is no such header, or where any version will do.
fn version_in(headers: &HeaderMap) -> Result<Option<i64>, Failure> {
    let mut all = headers.get_all(header::IF_MATCH).iter();
    let Some(first) = all.next() else { return Ok(None) };
    // What stands between may have made the tag a weak one; the version is the same.
    let tag = first.to_str().unwrap_or_default().trim();
    let version = match tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        Some(_) => None,
        None => (tag == "*").then_some(None),
    };
    version.filter(|_| all.next().is_none()).ok_or_else(|| {
        let detail = "expected the version of one row in `If-Match`, as `ETag` said it, such as \"3\"";
        Failure::new(Code::IfMatchInvalid, detail)
    })
}

/// What the caller calls the call; in quotes or without.
pub(super) fn key_in(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let mut all = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(first) = all.next() else { return Ok(None) };
    let text = first.to_str().unwrap_or_default().trim();
    let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_key = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_key && all.next().is_none() {
        return Ok(Some(key));
    }
    let detail = format!("expected one `Idempotency-Key` of 1 to {KEY_BYTES_MAX} visible ASCII characters");
    Err(Failure::new(Code::IdempotencyKeyInvalid, detail))
}

fn etag(version: i64) -> HeaderValue {
    let mut text = BytesMut::with_capacity(ETAG_BYTES_MAX);
    text.put_u8(b'"');
    text.put_slice(itoa::Buffer::new().format(version).as_bytes());
    text.put_u8(b'"');
    // INVARIANT: a number in quotes is a header's value.
    HeaderValue::from_maybe_shared(text.freeze()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Counts a request that was refused before the gateway saw it.
pub(super) fn refused(shared: &Shared, failure: Failure) -> Failure {
    shared.gateway.metrics.refuse(failure.code);
    failure
}

/// A failure is logged once, here; what the caller did wrong only where one asks for it.
pub(super) fn log(failure: &Failure, instance: &str, id: &RequestId, trace_id: Option<&str>) {
    let (code, request_id, reason) = (failure.code.as_str(), id.as_str(), failure.log.as_deref().unwrap_or_default());
    match failure.code {
        Code::Internal => {
            tracing::error!(code, request_id, trace_id, instance, reason, "a call failed by the gateway's own fault")
        }
        // Of those that are too many, each would add to what is too much; `gateway::crowd` says that it is so.
        Code::DatabaseUnavailable | Code::StatementTimeout | Code::DatabaseBusy => {
            tracing::warn!(code, request_id, trace_id, instance, reason, "a call could not be served");
        }
        _ => tracing::debug!(code, request_id, trace_id, instance, reason, "a call was refused"),
    }
}

fn rate_limit(decision: &Decision, headers: &mut HeaderMap) {
    if let Some(policy) = decision.policy()
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
fn server_timing(auth: Duration, stages: &Stages) -> Option<HeaderValue> {
    let mut text = [0u8; SERVER_TIMING_BYTES_MAX];
    let mut rest = text.as_mut_slice();
    // Digits of whole microseconds; `write!` takes three times as long.
    for (name, duration) in [("auth;dur=", &auth), (", plan;dur=", &stages.plan), (", db;dur=", &stages.database)] {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let digit = |unit: u64| b'0' + (us / unit % 10) as u8;
        rest.put_slice(name.as_bytes());
        rest.put_slice(itoa::Buffer::new().format(us / 1_000).as_bytes());
        rest.put_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
    let unused = rest.len();
    HeaderValue::from_bytes(text.get(..text.len() - unused)?).ok()
}
