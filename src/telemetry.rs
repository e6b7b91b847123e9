//! The log's set-up, and the name of every metric, once.
//!
//! Metrics are labelled by extension and function, never by install or caller: those have no
//! bound. A function's own handles are made at deploy, so a call only adds to them.

use std::io::IsTerminal;
use std::time::Duration;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use crate::config::{Log, LogFormat};
use crate::error::Code;

/// Upper bounds of the call durations' buckets, in seconds.
const DURATION_BUCKETS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Every metric of the gateway.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    calls: IntCounterVec,
    durations: HistogramVec,
    /// Calls that failed before a function was found, by code.
    pub refused: IntCounterVec,
    pub limit_decisions: IntCounterVec,
    /// Connections to the Redis of shared limits.
    pub limit_links: IntGauge,
    /// Calls that were counted by this gateway alone while it was away.
    pub limits_alone: IntCounter,
    /// Requests that handlers made, by extension and what became of them.
    pub fetches: IntCounterVec,
    /// Calls that met newer tables and ran again, by extension.
    pub calls_renewed: IntCounterVec,
    pub calls_in_flight: IntGauge,
    /// By worker.
    pub connections: IntGaugeVec,
    pub lanes_open: IntGauge,
    pub snapshots: IntCounter,
    pub extensions: IntGauge,
    pub installs: IntGauge,
}

/// The handles of one function.
#[derive(Debug)]
pub struct FunctionMetrics {
    succeeded: IntCounter,
    duration: Histogram,
    calls: IntCounterVec,
    labels: [String; 3],
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let durations = HistogramVec::new(
            HistogramOpts::new("rowgate_call_duration_seconds", "Time from a call's last byte to its answer's first")
                .buckets(DURATION_BUCKETS.to_vec()),
            &["extension", "function", "kind"],
        )?;
        registry.register(Box::new(durations.clone()))?;
        let connections =
            IntGaugeVec::new(Opts::new("rowgate_client_connections", "Open client connections"), &["worker"])?;
        registry.register(Box::new(connections.clone()))?;
        let snapshots = IntCounter::new("rowgate_registry_loads_total", "Snapshots of the registry put in force")?;
        registry.register(Box::new(snapshots.clone()))?;
        let limits_alone = IntCounter::new(
            "rowgate_limits_counted_alone_total",
            "Calls counted by this gateway alone, since the Redis of shared limits was away or slow",
        )?;
        registry.register(Box::new(limits_alone.clone()))?;
        Ok(Metrics {
            calls: counters(
                "rowgate_calls_total",
                "Calls answered, by the code of their problem or `ok`",
                &["extension", "function", "kind", "code"],
            )?,
            durations,
            refused: counters("rowgate_refused_total", "Requests refused before a function was found", &["code"])?,
            limit_decisions: counters(
                "rowgate_limit_decisions_total",
                "Decisions of the rate limits, by class and what was decided",
                &["class", "decision"],
            )?,
            fetches: counters(
                "rowgate_fetches_total",
                "Requests that handlers made, by extension and what became of them",
                &["extension", "code"],
            )?,
            calls_renewed: counters(
                "rowgate_calls_renewed_total",
                "Calls that met newer tables than their plan's and ran again under a newer revision",
                &["extension"],
            )?,
            calls_in_flight: gauge("rowgate_calls_in_flight", "Calls under way")?,
            connections,
            lanes_open: gauge("rowgate_database_lanes_open", "Pipelined database connections that are open")?,
            limit_links: gauge("rowgate_limit_links_open", "Connections to the Redis of shared limits that are open")?,
            limits_alone,
            snapshots,
            extensions: gauge("rowgate_extensions", "Extensions that can be called")?,
            installs: gauge("rowgate_installs", "Installs that can be called")?,
            registry,
        })
    }

    /// The handles of one function.
    pub fn function(&self, extension: Uuid, function: &str, kind: &str) -> FunctionMetrics {
        let labels = [extension.to_string(), function.to_owned(), kind.to_owned()];
        let [extension, function, kind] = &labels;
        FunctionMetrics {
            succeeded: self.calls.with_label_values(&[extension.as_str(), function, kind, "ok"]),
            duration: self.durations.with_label_values(&[extension.as_str(), function, kind]),
            calls: self.calls.clone(),
            labels,
        }
    }

    /// Everything in the Prometheus text format.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut out = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut out)?;
        Ok(out)
    }
}

impl FunctionMetrics {
    pub fn succeeded(&self, duration: Duration) {
        self.succeeded.inc();
        self.duration.observe(duration.as_secs_f64());
    }

    pub fn failed(&self, code: Code, duration: Duration) {
        let [extension, function, kind] = &self.labels;
        self.calls.with_label_values(&[extension.as_str(), function, kind, code.as_str()]).inc();
        self.duration.observe(duration.as_secs_f64());
    }
}

/// Sends the log to standard error. Called once, by a command; a second call changes nothing.
pub fn start_log(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        // Told on standard error that this very one is closed, a thread would end by a panic.
        .log_internal_errors(false);
    // Fails only where a log was set up before, whose settings then stay.
    let _ = match settings.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
