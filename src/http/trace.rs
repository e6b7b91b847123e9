//! A request's trace: its caller's by `traceparent`, or one of its own, with a span for each stage.
//!
//! Spans say what `Server-Timing` says, and name the function; never an argument, a token, a user or a
//! row. They are made when the answer is, of what was measured anyway.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use crate::error::Code;
use crate::gateway::Gateway;
use crate::gateway::Stages;
use crate::http::function::named_in;
use crate::http::request_id::RequestId;
use crate::telemetry::otlp::{Attribute, Span, SpanKind};
use crate::telemetry::trace::{Context, Parent, span_id, within};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const ROUTE_OF_FUNCTION: &str = "/v1/extension-functions/{install_id}/{function}";
const ROUTE_OF_BATCH: &str = "/v1/extension-functions/{install_id}";
/// A path is the caller's own text: no more of it is kept.
const PATH_BYTES_MAX: usize = 128;

/// A request that has a trace.
pub(super) struct Trace {
    context: Context,
    began: Instant,
    began_unix_ns: u64,
    /// From its beginning until it was called, with its body read.
    called_after: Duration,
}

/// What a request came to, for its span.
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) code: Option<Code>,
    pub(super) auth: Duration,
    pub(super) stages: Stages,
}

impl Trace {
    /// The trace of a request that begins now, where it has one.
    pub(super) fn begin(gateway: &Gateway, headers: &HeaderMap) -> Option<Trace> {
        let context = gateway.tracer.as_ref()?.sample(parent(headers))?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_unix_ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Some(Trace { context, began: Instant::now(), began_unix_ns, called_after: Duration::ZERO })
    }

    /// The gateway is called now.
    pub(super) fn called(&mut self) {
        self.called_after = self.began.elapsed();
    }

    /// Hands the spans over.
    pub(super) fn end(self, gateway: &Gateway, parts: &Parts, id: &RequestId, came: &Came) {
        let Some(tracer) = &gateway.tracer else { return };
        let Context { trace_id, span_id: own, parent_id } = self.context;
        let path = parts.uri.path();
        let route = if named_in(path).is_some() { ROUTE_OF_FUNCTION } else { ROUTE_OF_BATCH };
        let text = |text: &str| Attribute::Text(text.to_owned());
        let mut attributes = vec![
            ("http.request.method", text(parts.method.as_str())),
            ("http.route", text(route)),
            ("url.path", text(path.get(..path.floor_char_boundary(PATH_BYTES_MAX)).unwrap_or_default())),
            ("http.response.status_code", Attribute::Number(came.status.into())),
            ("rowgate.request_id", text(id.as_str())),
        ];
        if let Some(code) = came.code {
            attributes.push(("error.type", text(code.as_str())));
        }
        let (start_unix_ns, end_unix_ns) = within(self.began_unix_ns, Duration::ZERO, self.began.elapsed());
        let stage = |name: &str, kind: SpanKind, from: Duration, length: Duration| {
            let (start_unix_ns, end_unix_ns) = within(self.began_unix_ns, from, length);
            let attributes = match kind {
                SpanKind::Client => vec![("db.system.name", text("postgresql"))],
                SpanKind::Server | SpanKind::Internal => Vec::new(),
            };
            let (span_id, parent_id, name) = (span_id(), Some(own), name.to_owned());
            let is_error = false;
            Span { trace_id, span_id, parent_id, name, kind, start_unix_ns, end_unix_ns, attributes, is_error }
        };
        let Came { auth, stages, .. } = came;
        let stages = [
            stage("auth", SpanKind::Internal, Duration::ZERO, *auth),
            stage("plan", SpanKind::Internal, self.called_after, stages.plan),
            stage("db", SpanKind::Client, self.called_after + stages.plan, stages.database),
        ];
        let root = Span {
            trace_id,
            span_id: own,
            parent_id,
            name: format!("{} {route}", parts.method),
            kind: SpanKind::Server,
            start_unix_ns,
            end_unix_ns,
            attributes,
            is_error: came.status >= 500,
        };
        // A stage that was not come to has no span.
        let stages = stages.into_iter().filter(|span| span.end_unix_ns > span.start_unix_ns);
        tracer.take(std::iter::once(root).chain(stages));
    }
}

/// The id of a request's trace as the log has it: of the one that is kept, or the caller's own.
pub(super) fn id_of(headers: &HeaderMap, trace: Option<&Trace>) -> Option<String> {
    let trace_id = match trace {
        Some(trace) => trace.context.trace_id,
        None => parent(headers)?.trace_id,
    };
    Some(Parent::text(trace_id))
}

fn parent(headers: &HeaderMap) -> Option<Parent> {
    Parent::read(headers.get(TRACEPARENT)?.as_bytes())
}
