//! The one place where a cause becomes an HTTP response: `application/problem+json` (RFC 9457).
//!
//! No other file names an HTTP status for a failure.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::error::{Code, Failure};

/// Names the code as a URI; `docs/errors.md` explains each under its own heading.
const TYPE_BASE: &str = "urn:rowgate:problem:";
/// The registered type for a spent quota.
const TYPE_QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/// The body of a failed response.
#[derive(Debug, Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    problem_type: &'a str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Complaint<'a>>,
    #[serde(rename = "violated-policies", skip_serializing_if = "slice_is_empty")]
    violated_policies: &'a [&'static str],
}

#[derive(Debug, Serialize)]
struct Complaint<'a> {
    pointer: &'a str,
    code: &'static str,
    message: &'a str,
}

fn slice_is_empty(slice: &&[&'static str]) -> bool {
    slice.is_empty()
}

/// The status and title of a code.
pub const fn status(code: Code) -> (StatusCode, &'static str) {
    match code {
        Code::EndpointUnknown => (StatusCode::NOT_FOUND, "no such endpoint"),
        Code::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
        Code::ContentTypeUnsupported => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content type not supported"),
        Code::BodyMalformed => (StatusCode::BAD_REQUEST, "malformed body"),
        Code::BodyTooDeep => (StatusCode::BAD_REQUEST, "body nested too deep"),
        Code::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body too large"),
        Code::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request took too long to arrive"),
        Code::BatchTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too many calls in a batch"),
        Code::IfMatchInvalid => (StatusCode::BAD_REQUEST, "invalid precondition"),
        Code::IdempotencyKeyInvalid => (StatusCode::BAD_REQUEST, "invalid idempotency key"),
        Code::TokenMissing => (StatusCode::UNAUTHORIZED, "no token"),
        Code::TokenMalformed => (StatusCode::UNAUTHORIZED, "malformed token"),
        Code::TokenAlgorithmRefused => (StatusCode::UNAUTHORIZED, "token algorithm refused"),
        Code::TokenSignatureInvalid => (StatusCode::UNAUTHORIZED, "invalid token signature"),
        Code::TokenExpired => (StatusCode::UNAUTHORIZED, "token expired"),
        Code::TokenNotYetValid => (StatusCode::UNAUTHORIZED, "token not yet valid"),
        Code::TokenClaimsInvalid => (StatusCode::UNAUTHORIZED, "invalid token claims"),
        Code::KeyUnknown => (StatusCode::UNAUTHORIZED, "unknown key"),
        Code::TokenWrongInstall => (StatusCode::FORBIDDEN, "token of another install"),
        Code::QuotaExceeded => (StatusCode::TOO_MANY_REQUESTS, "quota exceeded"),
        Code::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        Code::InstallUnknown => (StatusCode::NOT_FOUND, "no such install"),
        Code::InstallUninstalled => (StatusCode::GONE, "uninstalled"),
        Code::FunctionUnknown => (StatusCode::NOT_FOUND, "no such function"),
        Code::AccessDenied => (StatusCode::FORBIDDEN, "access denied"),
        Code::IdentityRequired => (StatusCode::FORBIDDEN, "identity required"),
        Code::OverlayMissing => (StatusCode::CONFLICT, "no overlay"),
        Code::ArgumentsInvalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid arguments"),
        Code::CursorInvalid => (StatusCode::BAD_REQUEST, "invalid cursor"),
        Code::IdempotencyKeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency key used for another call"),
        Code::IdempotencyKeyInUse => (StatusCode::CONFLICT, "call under way"),
        Code::IdempotencyAnswerTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "answer too large to be kept"),
        Code::RowNotFound => (StatusCode::NOT_FOUND, "no such row"),
        Code::ConditionFailed => (StatusCode::CONFLICT, "condition does not hold"),
        Code::VersionMismatch => (StatusCode::PRECONDITION_FAILED, "row has changed"),
        Code::TooManyRows => (StatusCode::CONFLICT, "too many rows"),
        Code::UniqueConflict => (StatusCode::CONFLICT, "unique rule violated"),
        Code::ReferenceMissing => (StatusCode::CONFLICT, "reference to a missing row"),
        Code::RowReferenced => (StatusCode::CONFLICT, "row still referred to"),
        Code::ValueRefused => (StatusCode::UNPROCESSABLE_ENTITY, "value refused"),
        Code::QuotaRowsExceeded => (StatusCode::INSUFFICIENT_STORAGE, "no room for more rows"),
        Code::QuotaBytesExceeded => (StatusCode::INSUFFICIENT_STORAGE, "no room for more bytes"),
        Code::DatabaseBusy => (StatusCode::SERVICE_UNAVAILABLE, "row busy"),
        Code::DatabaseUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "database unavailable"),
        Code::StatementTimeout => (StatusCode::GATEWAY_TIMEOUT, "statement timeout"),
        Code::BatchRolledBack => (StatusCode::FAILED_DEPENDENCY, "rolled back with its batch"),
        Code::AnswerTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "answer too large"),
        Code::BatchAnswerTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "batch's answers too large"),
        Code::StateConflict => (StatusCode::CONFLICT, "not in its present state"),
        Code::HandlerRefused => (StatusCode::UNPROCESSABLE_ENTITY, "refused by the function"),
        Code::HandlerFailed => (StatusCode::INTERNAL_SERVER_ERROR, "function failed"),
        Code::HandlerAnswerInvalid => (StatusCode::INTERNAL_SERVER_ERROR, "answer is no JSON"),
        Code::ScriptTimeExceeded => (StatusCode::GATEWAY_TIMEOUT, "function out of time"),
        Code::ScriptMemoryExceeded => (StatusCode::INTERNAL_SERVER_ERROR, "function out of memory"),
        Code::ScriptHostCallsExceeded => (StatusCode::INTERNAL_SERVER_ERROR, "function asked too often"),
        Code::SecretsUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "secrets unavailable"),
        Code::SqlUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "SQL unavailable"),
        Code::ScriptWorkerLost => (StatusCode::SERVICE_UNAVAILABLE, "function interrupted"),
        Code::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal error"),
    }
}

/// The status of a failed call of the path `instance`, and the problem as JSON text.
pub fn body(failure: &Failure, instance: &str, request_id: &str) -> (StatusCode, Vec<u8>) {
    let (status, title) = status(failure.code);
    let type_of_code = format!("{TYPE_BASE}{}", failure.code);
    let problem = Problem {
        problem_type: if failure.code == Code::QuotaExceeded { TYPE_QUOTA_EXCEEDED } else { &type_of_code },
        title,
        status: status.as_u16(),
        detail: &failure.detail,
        instance,
        code: failure.code.as_str(),
        reason: failure.reason.as_deref(),
        request_id,
        errors: failure
            .complaints
            .iter()
            .map(|complaint| Complaint {
                pointer: &complaint.pointer,
                code: complaint.code,
                message: &complaint.message,
            })
            .collect(),
        violated_policies: &failure.violated_policies,
    };
    (status, serde_json::to_vec(&problem).unwrap_or_default())
}

/// The response to a failed request for the path `instance`.
pub fn response(failure: &Failure, instance: &str, request_id: &str) -> Response<Body> {
    let (status, body) = body(failure, instance, request_id);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = failure.retry_after_s {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if matches!(failure.code, Code::BodyTooLarge | Code::RequestTimeout) {
        // What was not read is still to come, and no request can be told from it.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
