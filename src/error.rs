//! The closed set of causes for which a call fails, each with a stable code.
//!
//! Rooms answer `Result<_, Failure>`; `problem` alone turns one into an HTTP response.
//! This room has not heard of HTTP, of Postgres or of a script; a failure carries what the
//! caller may read (`detail`, `complaints`) and, apart from it, what only the log may (`log`).

use std::borrow::Cow;
use std::fmt;

/// Why a call failed. The order groups the codes by the stage that answers them; a code, once
/// released, keeps its meaning and is never used for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    // Request: it could not be read.
    EndpointUnknown,
    MethodNotAllowed,
    ContentTypeUnsupported,
    BodyMalformed,
    BodyTooDeep,
    BodyTooLarge,
    RequestTimeout,
    BatchTooLarge,
    IfMatchInvalid,
    IdempotencyKeyInvalid,
    // Auth: who is calling could not be told.
    TokenMissing,
    TokenMalformed,
    TokenAlgorithmRefused,
    TokenSignatureInvalid,
    TokenExpired,
    TokenNotYetValid,
    TokenClaimsInvalid,
    TokenWrongInstall,
    KeyUnknown,
    // Limit: too much was asked.
    QuotaExceeded,
    Overloaded,
    // Resolve: what is called does not exist for this caller.
    InstallUnknown,
    InstallUninstalled,
    FunctionUnknown,
    AccessDenied,
    IdentityRequired,
    OverlayMissing,
    // Arguments.
    ArgumentsInvalid,
    CursorInvalid,
    // Repetition: of a call that its caller named by a key.
    IdempotencyKeyReused,
    IdempotencyKeyInUse,
    IdempotencyAnswerTooLarge,
    // Database: the statement ran and was refused, or could not run.
    RowNotFound,
    VersionMismatch,
    ConditionFailed,
    TooManyRows,
    UniqueConflict,
    ReferenceMissing,
    RowReferenced,
    ValueRefused,
    QuotaRowsExceeded,
    QuotaBytesExceeded,
    DatabaseBusy,
    DatabaseUnavailable,
    StatementTimeout,
    // Batch: of several calls answered together.
    BatchRolledBack,
    AnswerTooLarge,
    BatchAnswerTooLarge,
    // Operators: what is asked for cannot be done to it as it is.
    StateConflict,
    // Handler: the script ran and failed, or could not run.
    HandlerRefused,
    HandlerFailed,
    HandlerAnswerInvalid,
    ScriptTimeExceeded,
    ScriptCpuExceeded,
    ScriptMemoryExceeded,
    ScriptHostCallsExceeded,
    ScriptRowsExceeded,
    ScriptAnswerTooLarge,
    ScriptWorkerLost,
    SecretsUnavailable,
    SqlUnavailable,
    // The gateway's own fault.
    Internal,
}

impl Code {
    /// Every code, in the order of the stages.
    pub const ALL: [Code; 62] = [
        Code::EndpointUnknown,
        Code::MethodNotAllowed,
        Code::ContentTypeUnsupported,
        Code::BodyMalformed,
        Code::BodyTooDeep,
        Code::BodyTooLarge,
        Code::RequestTimeout,
        Code::BatchTooLarge,
        Code::IfMatchInvalid,
        Code::IdempotencyKeyInvalid,
        Code::TokenMissing,
        Code::TokenMalformed,
        Code::TokenAlgorithmRefused,
        Code::TokenSignatureInvalid,
        Code::TokenExpired,
        Code::TokenNotYetValid,
        Code::TokenClaimsInvalid,
        Code::TokenWrongInstall,
        Code::KeyUnknown,
        Code::QuotaExceeded,
        Code::Overloaded,
        Code::InstallUnknown,
        Code::InstallUninstalled,
        Code::FunctionUnknown,
        Code::AccessDenied,
        Code::IdentityRequired,
        Code::OverlayMissing,
        Code::ArgumentsInvalid,
        Code::CursorInvalid,
        Code::IdempotencyKeyReused,
        Code::IdempotencyKeyInUse,
        Code::IdempotencyAnswerTooLarge,
        Code::RowNotFound,
        Code::VersionMismatch,
        Code::ConditionFailed,
        Code::TooManyRows,
        Code::UniqueConflict,
        Code::ReferenceMissing,
        Code::RowReferenced,
        Code::ValueRefused,
        Code::QuotaRowsExceeded,
        Code::QuotaBytesExceeded,
        Code::DatabaseBusy,
        Code::DatabaseUnavailable,
        Code::StatementTimeout,
        Code::BatchRolledBack,
        Code::AnswerTooLarge,
        Code::BatchAnswerTooLarge,
        Code::StateConflict,
        Code::HandlerRefused,
        Code::HandlerFailed,
        Code::HandlerAnswerInvalid,
        Code::ScriptTimeExceeded,
        Code::ScriptCpuExceeded,
        Code::ScriptMemoryExceeded,
        Code::ScriptHostCallsExceeded,
        Code::ScriptRowsExceeded,
        Code::ScriptAnswerTooLarge,
        Code::ScriptWorkerLost,
        Code::SecretsUnavailable,
        Code::SqlUnavailable,
        Code::Internal,
    ];

    /// The code as clients read it, lower snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::EndpointUnknown => "endpoint_unknown",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::ContentTypeUnsupported => "content_type_unsupported",
            Code::BodyMalformed => "body_malformed",
            Code::BodyTooDeep => "body_too_deep",
            Code::BodyTooLarge => "body_too_large",
            Code::RequestTimeout => "request_timeout",
            Code::BatchTooLarge => "batch_too_large",
            Code::TokenMissing => "token_missing",
            Code::TokenMalformed => "token_malformed",
            Code::TokenAlgorithmRefused => "token_algorithm_refused",
            Code::TokenSignatureInvalid => "token_signature_invalid",
            Code::TokenExpired => "token_expired",
            Code::TokenNotYetValid => "token_not_yet_valid",
            Code::TokenClaimsInvalid => "token_claims_invalid",
            Code::TokenWrongInstall => "token_wrong_install",
            Code::KeyUnknown => "key_unknown",
            Code::QuotaExceeded => "quota_exceeded",
            Code::Overloaded => "overloaded",
            Code::InstallUnknown => "install_unknown",
            Code::InstallUninstalled => "install_uninstalled",
            Code::FunctionUnknown => "function_unknown",
            Code::AccessDenied => "access_denied",
            Code::IdentityRequired => "identity_required",
            Code::OverlayMissing => "overlay_missing",
            Code::ArgumentsInvalid => "arguments_invalid",
            Code::CursorInvalid => "cursor_invalid",
            Code::IfMatchInvalid => "if_match_invalid",
            Code::VersionMismatch => "version_mismatch",
            Code::IdempotencyKeyInvalid => "idempotency_key_invalid",
            Code::IdempotencyKeyReused => "idempotency_key_reused",
            Code::IdempotencyKeyInUse => "idempotency_key_in_use",
            Code::IdempotencyAnswerTooLarge => "idempotency_answer_too_large",
            Code::RowNotFound => "row_not_found",
            Code::ConditionFailed => "condition_failed",
            Code::TooManyRows => "too_many_rows",
            Code::UniqueConflict => "unique_conflict",
            Code::ReferenceMissing => "reference_missing",
            Code::RowReferenced => "row_referenced",
            Code::ValueRefused => "value_refused",
            Code::QuotaRowsExceeded => "quota_rows_exceeded",
            Code::QuotaBytesExceeded => "quota_bytes_exceeded",
            Code::DatabaseBusy => "database_busy",
            Code::DatabaseUnavailable => "database_unavailable",
            Code::StatementTimeout => "statement_timeout",
            Code::BatchRolledBack => "batch_rolled_back",
            Code::AnswerTooLarge => "answer_too_large",
            Code::BatchAnswerTooLarge => "batch_answer_too_large",
            Code::StateConflict => "state_conflict",
            Code::HandlerRefused => "handler_refused",
            Code::HandlerFailed => "handler_failed",
            Code::HandlerAnswerInvalid => "handler_answer_invalid",
            Code::ScriptTimeExceeded => "script_time_exceeded",
            Code::ScriptMemoryExceeded => "script_memory_exceeded",
            Code::ScriptHostCallsExceeded => "script_host_calls_exceeded",
            Code::ScriptCpuExceeded => "script_cpu_exceeded",
            Code::ScriptRowsExceeded => "script_rows_exceeded",
            Code::ScriptAnswerTooLarge => "script_answer_too_large",
            Code::ScriptWorkerLost => "script_worker_lost",
            Code::SecretsUnavailable => "secrets_unavailable",
            Code::SqlUnavailable => "sql_unavailable",
            Code::Internal => "internal",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing wrong with one place of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// JSON pointer (RFC 6901) into the request body; empty for the whole body.
    pub pointer: String,
    /// Lower snake case, stable, such as `unknown_argument`.
    pub code: &'static str,
    /// Lower case, no full stop; what was expected, with the input in backticks where it helps.
    pub message: String,
}

/// A failed call: what the caller may read, and what only the log may.
#[derive(Debug, Clone)]
pub struct Failure {
    pub code: Code,
    /// One sentence for the caller.
    pub detail: Cow<'static, str>,
    pub complaints: Vec<Complaint>,
    /// Seconds after which the same call may succeed, where that is known.
    pub retry_after_s: Option<u64>,
    /// Names of the quotas that refused, when `code` is [`Code::QuotaExceeded`].
    pub violated_policies: Box<[&'static str]>,
    /// What a handler named the failure it raised.
    pub reason: Option<Box<str>>,
    /// The inner message, for the log alone: it may name SQL or constraints, never a value.
    pub log: Option<Box<str>>,
    /// Whether it may come of tables that are newer than the plan. Nothing was done then.
    pub is_outdated: bool,
}

impl Failure {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Failure {
            code,
            detail: detail.into(),
            complaints: Vec::new(),
            retry_after_s: None,
            violated_policies: Box::default(),
            reason: None,
            log: None,
            is_outdated: false,
        }
    }

    #[must_use]
    pub fn with_complaints(mut self, complaints: Vec<Complaint>) -> Self {
        self.complaints = complaints;
        self
    }

    #[must_use]
    pub fn with_retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    #[must_use]
    pub fn with_outdated(mut self, is_outdated: bool) -> Self {
        self.is_outdated = is_outdated;
        self
    }

    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Self {
        self.log = Some(log.into().into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl std::error::Error for Failure {}
