//! Traces of calls: which call has one, and where its spans go.
//!
//! Spans are made when a call has ended, of the stages that were measured anyway, so a call that has
//! no trace pays one look at whether there is a tracer. They wait in a bounded queue for the task
//! that exports them; what does not fit, or cannot be sent, is dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::traces::{Sampler, Traces};
use crate::telemetry::otlp::{self, Span};

/// Decides which calls have a trace, and takes their spans.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    spans: mpsc::Sender<Span>,
    dropped: IntCounter,
}

/// Sends spans to the collector.
pub struct Exporter {
    settings: Traces,
    spans: mpsc::Receiver<Span>,
    client: reqwest::Client,
    exported: IntCounter,
    dropped: IntCounter,
}

/// A call's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    pub trace_id: u128,
    /// Of the span of the call itself.
    pub span_id: u64,
    /// Of the caller's.
    pub parent_id: Option<u64>,
}

/// What a `traceparent` header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub trace_id: u128,
    pub span_id: u64,
    pub is_sampled: bool,
}

impl Parent {
    /// W3C Trace Context: `00-`, 32, 16 and 2 hexadecimal digits. A later version may have more behind.
    pub fn read(header: &[u8]) -> Option<Parent> {
        let text = std::str::from_utf8(header).ok()?;
        let mut parts = text.trim().split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_hex = |text: &str, digits: usize| {
            text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_whole = is_hex(version, 2) && is_hex(trace_id, 32) && is_hex(span_id, 16) && is_hex(flags, 2);
        if !is_whole || version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?;
        let span_id = u64::from_str_radix(span_id, 16).ok().filter(|id| *id != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some(Parent { trace_id, span_id, is_sampled: flags & 1 == 1 })
    }

    /// The trace's id as logs and collectors write it.
    pub fn text(trace_id: u128) -> String {
        format!("{trace_id:032x}")
    }
}

impl Tracer {
    /// The context of a call with this `parent`, where it has a trace.
    pub fn sample(&self, parent: Option<Parent>) -> Option<Context> {
        let trace_id = parent.map_or_else(rand::random::<u128>, |parent| parent.trace_id);
        let is_sampled = match parent {
            Some(parent) if self.sampler.follows_caller => parent.is_sampled,
            Some(_) | None => is_within(trace_id, self.sampler.ratio),
        };
        let parent_id = parent.map(|parent| parent.span_id);
        is_sampled.then(|| Context { trace_id, span_id: span_id(), parent_id })
    }

    /// Hands spans over to the exporter.
    pub fn take(&self, spans: impl IntoIterator<Item = Span>) {
        for span in spans {
            if self.spans.try_send(span).is_err() {
                self.dropped.inc();
            }
        }
    }
}

/// An id that is not zero, which would be none.
pub fn span_id() -> u64 {
    rand::random::<u64>().max(1)
}

/// A tracer, and what sends its spans.
pub fn start(
    settings: &Traces,
    exported: IntCounter,
    dropped: IntCounter,
) -> Result<(Arc<Tracer>, Exporter), reqwest::Error> {
    let (sender, spans) = mpsc::channel(settings.queue_max);
    let client = reqwest::Client::builder().timeout(settings.timeout).build()?;
    let tracer = Tracer { sampler: settings.sampler, spans: sender, dropped: dropped.clone() };
    Ok((Arc::new(tracer), Exporter { settings: settings.clone(), spans, client, exported, dropped }))
}

impl Exporter {
    /// Sends what gathers, every so often or as soon as there is a batch of it, until `stop` and to the
    /// last span then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut is_reached = true;
        loop {
            let batch = self.batch(&stop).await;
            if batch.is_empty() {
                return;
            }
            match self.send(&batch).await {
                Ok(()) => {
                    self.exported.inc_by(batch.len() as u64);
                    is_reached = true;
                }
                Err(reason) => {
                    self.dropped.inc_by(batch.len() as u64);
                    // Said once, until it is well again.
                    if std::mem::take(&mut is_reached) {
                        tracing::warn!(reason, spans = batch.len(), "traces cannot be exported");
                    }
                }
            }
        }
    }

    /// The next spans to send; none when all were.
    async fn batch(&mut self, stop: &CancellationToken) -> Vec<Span> {
        let Traces { batch_max, delay, .. } = self.settings;
        let mut batch = Vec::new();
        tokio::select! {
            _ = self.spans.recv_many(&mut batch, batch_max) => {}
            () = stop.cancelled() => {}
        }
        let until = Instant::now() + delay;
        while batch.len() < batch_max && !stop.is_cancelled() {
            let room = batch_max - batch.len();
            tokio::select! {
                more = timeout_at(until, self.spans.recv_many(&mut batch, room)) => if !matches!(more, Ok(1..)) { break },
                () = stop.cancelled() => {}
            }
        }
        if stop.is_cancelled() {
            self.spans.close();
            let room = batch_max - batch.len();
            if room > 0 {
                self.spans.recv_many(&mut batch, room).await;
            }
        }
        batch
    }

    async fn send(&self, batch: &[Span]) -> Result<(), String> {
        let Traces { endpoint, headers, resource, .. } = &self.settings;
        let mut request = self.client.post(endpoint.clone()).header("content-type", "application/x-protobuf");
        for (name, value) in headers {
            request = request.header(name.as_str(), value.reveal());
        }
        let sent = request.body(otlp::encode(resource, batch)).send().await;
        // Addresses may hold credentials, and are known to who set them.
        let answer = sent.map_err(|error| error.without_url().to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("the collector answers {}", answer.status())) }
    }
}

/// Whether a trace is among `ratio` of all: the same ones in every service that asks so.
fn is_within(trace_id: u128, ratio: f64) -> bool {
    if ratio >= 1.0 {
        return true;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a bound")]
    let bound = (ratio * (1_u64 << 63) as f64) as u64;
    // The lower half, less one bit, as other implementations have it.
    ((trace_id as u64) >> 1) < bound
}

/// How long a stage was, as two moments after `start_unix_ns`.
pub fn within(start_unix_ns: u64, from: Duration, length: Duration) -> (u64, u64) {
    let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let begin = start_unix_ns.saturating_add(ns(from));
    (begin, begin.saturating_add(ns(length)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_callers_trace_is_read_or_none() {
        let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = Parent::read(header.as_bytes()).unwrap();
        assert_eq!(Parent::text(parent.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((parent.span_id, parent.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more";
        assert!(!Parent::read(later.as_bytes()).unwrap().is_sampled);
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "\u{e4}",
        ] {
            assert_eq!(Parent::read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_share_of_traces_is_sampled() {
        let within = (0..10_000).filter(|_| is_within(rand::random(), 0.25)).count();
        assert!((2_000..3_000).contains(&within), "{within}");
        assert!(!is_within(0, 0.0) && is_within(u128::MAX, 1.0));
    }
}
