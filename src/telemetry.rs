//! The log's set-up, and the metrics: what is counted, and how it is written for Prometheus.
//!
//! Metrics are labelled by extension and function, never by install or caller: those have no
//! bound. A function's own cells are made at deploy, so a call only adds to them. What can be asked
//! for at any time, such as a pool's connections, is asked at a scrape, by `admin::metrics`.

mod functions;
pub mod history;
pub mod otlp;
mod process;
pub mod sheet;
pub mod trace;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

use crate::config;
use crate::config::{Log, LogFormat};
use crate::error::Code;
use crate::problem;
use crate::telemetry::functions::Functions;
use crate::telemetry::history::{History, Tally};
use crate::telemetry::sheet::{Kind, Sheet};

pub use crate::telemetry::functions::{FunctionMetrics, Used};

/// Upper bounds of the buckets of what scripts hold, in bytes.
const MEMORY_BUCKETS: [f64; 8] =
    [65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 8_388_608.0, 16_777_216.0, 33_554_432.0, 67_108_864.0];

/// The kinds of handlers, which have a histogram each.
const HANDLER_KINDS: [&str; 3] = ["query", "mutation", "action"];

/// Every metric that is counted.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: SystemTime,
    functions: Functions,
    /// What calls came to over the last hours.
    pub history: History,
    refused: IntCounterVec,
    /// By class, layer and what was decided.
    pub limit_decisions: IntCounterVec,
    /// Connections to the Redis of shared limits.
    pub limit_links: IntGauge,
    /// Calls that were counted by this gateway alone while it was away.
    pub limits_alone: IntCounter,
    terminations: IntCounterVec,
    script_memory: HistogramVec,
    /// Calls that met newer tables and ran again.
    pub calls_renewed: IntCounter,
    pub calls_in_flight: IntGauge,
    /// By worker.
    pub connections: IntGaugeVec,
    pub connections_refused: IntCounter,
    pub connections_unread: IntCounter,
    pub snapshots: IntCounter,
    pub snapshots_failed: IntCounter,
    /// Changes of tables that were begun and not finished.
    pub changes_pending: IntGauge,
    pub extensions: IntGauge,
    pub installs: IntGauge,
    pub handler_lines_lost: IntCounter,
    pub spans_exported: IntCounter,
    pub spans_dropped: IntCounter,
}

impl Metrics {
    /// Registers every metric.
    pub fn new(settings: &config::Metrics) -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok(counters)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok(counter)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let connections =
            IntGaugeVec::new(Opts::new("rowgate_client_connections", "Open client connections"), &["worker"])?;
        registry.register(Box::new(connections.clone()))?;
        let script_memory = HistogramVec::new(
            HistogramOpts::new("rowgate_script_memory_bytes", "What scripts of handlers held at most")
                .buckets(MEMORY_BUCKETS.to_vec()),
            &["kind"],
        )?;
        registry.register(Box::new(script_memory.clone()))?;
        let terminations =
            counters("rowgate_script_terminations_total", "Handlers that were stopped, by why", &["reason"])?;
        // Told of from the start, so that the first is seen to be one more than none.
        for reason in Code::ALL.iter().filter_map(|code| termination(*code)) {
            terminations.with_label_values(&[reason]);
        }
        Ok(Metrics {
            started: SystemTime::now(),
            functions: Functions::new(settings.functions_max),
            history: History::default(),
            refused: counters(
                "rowgate_refused_total",
                "Requests refused before a function was found",
                &["code", "status"],
            )?,
            limit_decisions: counters(
                "rowgate_limit_decisions_total",
                "Decisions of the rate limits, by policy and what was decided",
                &["class", "layer", "decision"],
            )?,
            terminations,
            script_memory,
            calls_renewed: counter(
                "rowgate_calls_renewed_total",
                "Calls that met newer tables than their plan's and ran again under a newer revision",
            )?,
            calls_in_flight: gauge("rowgate_calls_in_flight", "Calls under way")?,
            connections,
            connections_refused: counter(
                "rowgate_client_connections_refused_total",
                "Connections closed at once, since as many as may be were open",
            )?,
            connections_unread: counter(
                "rowgate_client_connections_unread_total",
                "Connections dropped, since their clients did not take their answers",
            )?,
            snapshots: counter("rowgate_registry_loads_total", "Snapshots of the registry put in force")?,
            snapshots_failed: counter("rowgate_registry_load_failures_total", "Readings of the registry that failed")?,
            changes_pending: gauge("rowgate_changes_pending", "Changes of tables that were begun and not finished")?,
            limit_links: gauge("rowgate_limit_links_open", "Connections to the Redis of shared limits that are open")?,
            limits_alone: counter(
                "rowgate_limits_counted_alone_total",
                "Calls counted by this gateway alone, since the Redis of shared limits was away or slow",
            )?,
            extensions: gauge("rowgate_extensions", "Extensions that can be called")?,
            installs: gauge("rowgate_installs", "Installs that can be called")?,
            handler_lines_lost: counter(
                "rowgate_handler_lines_lost_total",
                "Lines that handlers logged faster than the database took them",
            )?,
            spans_exported: counter("rowgate_spans_exported_total", "Spans of traces that a collector took")?,
            spans_dropped: counter(
                "rowgate_spans_dropped_total",
                "Spans of traces that found no room, or could not be exported",
            )?,
            registry,
        })
    }

    /// The cells of one function; the same ones for every revision of its extension.
    pub fn function(&self, extension: Uuid, function: &str, kind: &str) -> Arc<FunctionMetrics> {
        let memory: Option<Histogram> =
            HANDLER_KINDS.contains(&kind).then(|| self.script_memory.with_label_values(&[kind]));
        self.functions.cells(extension, function, kind, memory)
    }

    /// Counts a request that was refused before a function was found.
    pub fn refuse(&self, code: Code) {
        self.refused.with_label_values(&[code.as_str(), problem::status(code).0.as_str()]).inc();
    }

    /// Counts a handler that was stopped, where `code` says that it was.
    pub fn terminate(&self, code: Code) {
        if let Some(reason) = termination(code) {
            self.terminations.with_label_values(&[reason]).inc();
        }
    }

    /// What each function that was called has taken.
    pub fn used(&self) -> Vec<Used> {
        self.functions.used(termination)
    }

    /// Remembers what calls came to since the last time; what `installs` had in all is given.
    pub fn remember(&self, installs: impl IntoIterator<Item = (Uuid, Tally)>) {
        self.history.sample(SystemTime::now(), self.functions.tallies(), installs);
    }

    /// What was counted, and what is known of the process, in the Prometheus text format.
    pub fn sheet(&self) -> Result<Sheet, prometheus::Error> {
        let mut sheet = Sheet::after(TextEncoder::new().encode_to_string(&self.registry.gather())?);
        self.functions.write(&mut sheet, Instant::now());
        process::write(&mut sheet, self.started);
        let mut build = sheet.family("rowgate_build_info", Kind::Gauge, "Always 1; the version is in the label");
        build.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        Ok(sheet)
    }
}

/// Why a handler was stopped, where `code` says that it was.
const fn termination(code: Code) -> Option<&'static str> {
    match code {
        Code::ScriptTimeExceeded => Some("time"),
        Code::ScriptCpuExceeded => Some("processor_time"),
        Code::ScriptMemoryExceeded => Some("memory"),
        Code::ScriptHostCallsExceeded => Some("host_calls"),
        Code::ScriptRowsExceeded => Some("rows"),
        Code::ScriptAnswerTooLarge => Some("answer"),
        Code::ScriptWorkerLost => Some("worker_lost"),
        _ => None,
    }
}

/// Sends the log to standard error. Called once, by a command; a second call changes nothing.
pub fn start_log(settings: &Log) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // The driver tells of the values it sends, at levels that others are asked for.
    let filter = ["tokio_postgres=info", "hyper=info", "reqwest=info", "hickory_proto=info", "h2=info"]
        .iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let by_default = if std::io::stderr().is_terminal() { LogFormat::Text } else { LogFormat::Json };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
        // Told on standard error that this very one is closed, a thread would end by a panic.
        .log_internal_errors(false);
    // Fails only where a log was set up before, whose settings then stay.
    let _ = match settings.format.unwrap_or(by_default) {
        LogFormat::Text => builder.try_init(),
        // One object a line, with every field at its top.
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
}
