//! `POST /v1/extension-functions/{install_id}`: several calls in, the status and body of each out.
//!
//! The body is a list of calls, or an object with `atomic` and `calls`. Each call is judged on its
//! own, so the response is 200 wherever the batch itself could be read.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{Request, Response, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Code, Failure};
use crate::gateway::once::Named;
use crate::gateway::{Call, Reply};
use crate::http::function::{Answered, Asked, asked, key_in, log, refused, respond};
use crate::http::request_id::RequestId;
use crate::http::{Client, Shared, trace, unknown};
use crate::limit::Decision;
use crate::problem;

/// What is said of a body that is JSON, and no batch.
const EXPECTED: &str =
    "expected calls such as [{\"function\": \"name\", \"args\": {}}], or {\"atomic\": true, \"calls\": […]}";
/// A name that no function can have is not repeated in a path.
const NAME_BYTES_MAX: usize = 63;

/// One call, as its caller wrote it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    function: Cow<'a, str>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

/// The object form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Together<'a> {
    #[serde(default)]
    atomic: bool,
    #[serde(borrow)]
    calls: Vec<Written<'a>>,
}

pub(super) async fn call_routed(
    State(shared): State<Arc<Shared>>,
    Extension(Client(client)): Extension<Client>,
    path: Result<Path<String>, axum::extract::rejection::PathRejection>,
    request: Request<Body>,
) -> Response<Body> {
    let Ok(Path(install_id)) = path else { return unknown(State(shared), request).await };
    let (parts, mut body) = request.into_parts();
    let id = RequestId::of(&parts.headers);
    let mut answered = Answered::begin(&shared, &parts.headers, !body.is_end_stream());
    let result = match asked(&shared, client, &install_id, &parts, &mut body, &mut answered).await {
        Ok(asked) => answer(&shared, &parts, &id, &asked, &mut answered).await,
        Err(failure) => Err(failure),
    };
    let result = result.map_err(|failure| refused(&shared, failure));
    respond(&shared, &parts, body, id, answered, result).await
}

async fn answer(
    shared: &Shared,
    parts: &Parts,
    id: &RequestId,
    asked: &Asked,
    answered: &mut Answered,
) -> Result<Vec<u8>, Failure> {
    let Asked { install_id, identity, body } = asked;
    if parts.headers.contains_key(header::IF_MATCH) {
        let detail = "a batch is of no one row; let its functions take the version as an argument";
        return Err(Failure::new(Code::IfMatchInvalid, detail));
    }
    let Together { atomic, calls: written } = read(body)?;
    let max = shared.gateway.config.http.batch_calls_max;
    if written.len() > max {
        let detail = format!("the batch has {} calls; at most {max} are taken", written.len());
        return Err(Failure::new(Code::BatchTooLarge, detail));
    }
    let calls: Vec<Call<'_>> = written
        .iter()
        .map(|Written { function, args }| {
            let arguments = args.map_or("", RawValue::get);
            let arguments = if arguments == "null" { "" } else { arguments };
            let call = Call::new(*install_id, function, identity, arguments.as_bytes());
            Call { request_id: Some(id.as_str()), ..call }
        })
        .collect();
    if let Some(trace) = &mut answered.trace {
        trace.called();
    }
    let named = key_in(&parts.headers)?.map(|key| Named { key, payload: body });
    let replies = if atomic {
        shared.gateway.call_atomically(&shared.worker, &calls, named).await
    } else if named.is_some() {
        let detail = "a batch has an `Idempotency-Key` where it is one transaction; add `\"atomic\": true`";
        return Err(Failure::new(Code::IdempotencyKeyInvalid, detail));
    } else {
        shared.gateway.call_all(&shared.worker, &calls).await
    };
    answered.replayed = replies.iter().any(|reply| reply.replayed);
    answered.decision = tightest(&replies);
    for Reply { stages, .. } in &replies {
        answered.stages.plan = answered.stages.plan.max(stages.plan);
        answered.stages.database = answered.stages.database.max(stages.database);
    }
    let paths = calls.iter().map(|call| path_of(parts.uri.path(), call.function));
    let has_failed = replies.iter().any(|reply| reply.result.is_err());
    let trace_id = has_failed.then(|| trace::id_of(&parts.headers, answered.trace.as_ref())).flatten();
    Ok(text(replies, paths, id, trace_id.as_deref()))
}

fn read(body: &Bytes) -> Result<Together<'_>, Failure> {
    let malformed = |detail: String| Failure::new(Code::BodyMalformed, detail);
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8".to_owned()))?.trim_ascii();
    let read = if text.starts_with('[') {
        serde_json::from_str(text).map(|calls| Together { atomic: false, calls })
    } else if text.starts_with('{') {
        serde_json::from_str(text)
    } else {
        return Err(malformed(EXPECTED.to_owned()));
    };
    read.map_err(|error| {
        let what = if error.is_data() { EXPECTED } else { "the body is not JSON" };
        malformed(format!("{what}: line {}, column {}", error.line(), error.column()))
    })
}

/// The decision that says most of what may be called next: one that refused, or of the fullest quota.
fn tightest(replies: &[Reply]) -> Option<Decision> {
    let remaining = |decision: &Decision| decision.standings().map(|standing| standing.remaining).min();
    let decisions = replies.iter().filter_map(|reply| reply.decision.as_ref());
    let tightest =
        decisions.max_by_key(|decision| (decision.is_refused(), Reverse(remaining(decision).unwrap_or(u32::MAX))));
    tightest.cloned()
}

/// The path under which the call alone would have been made.
fn path_of(batch: &str, function: &str) -> String {
    let is_name = function.len() <= NAME_BYTES_MAX
        && function.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !function.is_empty();
    if is_name { format!("{batch}/{function}") } else { batch.to_owned() }
}

fn text(replies: Vec<Reply>, paths: impl Iterator<Item = String>, id: &RequestId, trace_id: Option<&str>) -> Vec<u8> {
    let length: usize = replies.iter().map(|reply| reply.result.as_ref().map_or(512, Vec::len) + 32).sum();
    let mut text = Vec::with_capacity(length);
    text.push(b'[');
    for (index, (reply, path)) in replies.into_iter().zip(paths).enumerate() {
        if index > 0 {
            text.push(b',');
        }
        match reply.result {
            Ok(body) => {
                text.extend_from_slice(b"{\"status\":200,\"body\":");
                text.extend_from_slice(&body);
            }
            Err(failure) => {
                log(&failure, &path, id, trace_id);
                let (status, body) = problem::body(&failure, &path, id.as_str());
                text.extend_from_slice(b"{\"status\":");
                text.extend_from_slice(status.as_str().as_bytes());
                if let Some(seconds) = failure.retry_after_s {
                    text.extend_from_slice(b",\"retry_after_s\":");
                    text.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
                }
                text.extend_from_slice(b",\"body\":");
                text.extend_from_slice(&body);
            }
        }
        text.push(b'}');
    }
    text.push(b']');
    text
}
