//! Configuration: as written (TOML file, then environment, then flags) and as checked.
//!
//! Every maximum of the gateway is named here, with its unit last. Unknown keys are errors.
//! `Written` mirrors the file; `Config` is what the other rooms read.

pub mod cache;
pub mod fetch;
pub mod limits;
pub mod metrics;
pub mod script;
pub mod secrets;
pub mod traces;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rowgate_schema_dsl::read::BYTES_MAX;
use serde::Deserialize;

pub use crate::config::cache::Cache;
pub use crate::config::fetch::Fetch;
pub use crate::config::limits::{Classes, LimitMode, Limits, Quota};
pub use crate::config::metrics::Metrics;
pub use crate::config::script::{Allowance, Script};
pub use crate::config::secrets::{Hidden, Secrets};
pub use crate::config::traces::Traces;

/// The whole configuration, checked: defaults filled in, contradictions refused.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub http: Http,
    pub admin: Admin,
    pub database: Database,
    pub deploy: Deploy,
    pub installs: Installs,
    pub auth: Auth,
    pub limits: Limits,
    pub script: Script,
    pub fetch: Fetch,
    pub cache: Cache,
    pub secrets: Secrets,
    pub metrics: Metrics,
    pub log: Log,
    /// By the variables of OpenTelemetry alone.
    #[serde(skip)]
    pub traces: Option<Traces>,
}

/// The public listener.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    pub listen: SocketAddr,
    /// Worker threads, each with its own runtime, listener and connections; 0 takes one per core.
    pub workers: usize,
    pub body_bytes_max: usize,
    pub json_depth_max: usize,
    /// Calls in one batch.
    pub batch_calls_max: usize,
    /// All answers of one batch together.
    pub batch_answer_bytes_max: usize,
    /// How long the answer of a call with an idempotency key is kept.
    pub idempotency_kept_s: u64,
    /// Such an answer, at most.
    pub idempotency_answer_bytes_max: usize,
    /// A longer answer of a call that reads is refused.
    pub answer_bytes_max: usize,
    pub header_bytes_max: usize,
    pub header_read_timeout_ms: u64,
    pub body_read_timeout_ms: u64,
    /// For each 256 KiB of an answer to be taken by its client, who is dropped then.
    pub write_timeout_ms: u64,
    /// From the request's last byte to the answer's first, every stage included.
    pub call_timeout_ms: u64,
    /// Open client connections over all workers; more are closed at once.
    pub connections_max: usize,
    /// Calls under way over all workers; more are refused with `overloaded`.
    pub concurrent_calls_max: usize,
    /// What calls may wait for a connection before they are served; where they wait longer for more than a
    /// moment, more are refused with `overloaded`.
    pub wait_target_ms: u64,
    /// At a stop, for so long calls are taken as before while `/readyz` says that it is not ready.
    pub drain_delay_ms: u64,
    /// Milliseconds that calls under way get to end at shutdown.
    pub drain_timeout_ms: u64,
    /// Origins a browser may call from; `*` allows any. None by default.
    pub cors_origins: Vec<String>,
}

impl Http {
    /// How many threads serve.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 0,
            body_bytes_max: 1 << 20,
            json_depth_max: 64,
            batch_calls_max: 50,
            batch_answer_bytes_max: 8 << 20,
            idempotency_kept_s: 86_400,
            idempotency_answer_bytes_max: 1 << 20,
            answer_bytes_max: 8 << 20,
            header_bytes_max: 32 << 10,
            header_read_timeout_ms: 10_000,
            body_read_timeout_ms: 10_000,
            write_timeout_ms: 30_000,
            call_timeout_ms: 10_000,
            connections_max: 20_000,
            concurrent_calls_max: 2_048,
            wait_target_ms: 50,
            drain_delay_ms: 0,
            drain_timeout_ms: 10_000,
            cors_origins: Vec::new(),
        }
    }
}

/// The private listener, on loopback unless told otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Admin { listen: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

/// Postgres.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `postgres://…` or `host=… user=…`; usually given as `DATABASE_URL`.
    pub url: Option<String>,
    /// Pipelined connections for reads, per worker: one for what is quick, the others for the rest.
    pub read_lanes: usize,
    /// Pipelined connections for writes, per worker: two for what is quick, the others for the rest.
    pub write_lanes: usize,
    /// Connections for transactions, per worker, opened when first needed.
    pub transaction_connections_max: usize,
    /// Pooled connections for deploys, keys and the registry, over all workers.
    pub pool_connections_max: usize,
    pub pool_wait_timeout_ms: u64,
    pub connect_timeout_ms: u64,
    pub statement_timeout_ms: u64,
    /// Prepared statements kept on each lane connection; the least recently used is closed.
    pub statements_per_connection_max: usize,
    pub roles: Roles,
    pub durability: Durability,
}

/// How what a declarative function wrote comes to the disk before it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Many writes wait for one flush, in a session of its own.
    #[default]
    Barrier,
    /// Each commit waits for its own.
    Commit,
}

/// Whose rights an extension's statements run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Roles {
    /// Each extension's own, which a deploy makes and grants.
    #[default]
    PerExtension,
    /// The gateway's, but for extensions that have a role already.
    None,
}

/// What deploys are held to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deploy {
    /// How many bytes each scope of any extension may hold; an extension may ask for less.
    pub scope_bytes_max: Option<u64>,
    /// A table with more rows than this is changed while its callers go on; one with fewer, at once.
    pub blocking_rows_max: u64,
}

impl Default for Deploy {
    fn default() -> Self {
        Deploy { scope_bytes_max: None, blocking_rows_max: BLOCKING_ROWS_MAX }
    }
}

/// What becomes of installs that were uninstalled.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Installs {
    /// How long their rows are kept, so that they can come back; 0 erases them at once.
    pub uninstalled_kept_days: u16,
}

impl Default for Installs {
    fn default() -> Self {
        Installs { uninstalled_kept_days: 30 }
    }
}

impl Default for Database {
    fn default() -> Self {
        Database {
            url: None,
            read_lanes: 3,
            write_lanes: 8,
            transaction_connections_max: 4,
            pool_connections_max: 8,
            pool_wait_timeout_ms: 2_000,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 5_000,
            statements_per_connection_max: 256,
            roles: Roles::default(),
            durability: Durability::default(),
        }
    }
}

/// Who may sign tokens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Secret for HS256, at least 32 bytes; usually given as `ROWGATE_AUTH__HS256_SECRET`.
    pub hs256_secret: Option<String>,
    /// A JWKS document on disk; read again when it changes.
    pub jwks_file: Option<PathBuf>,
    /// A JWKS document over https (http only on loopback).
    pub jwks_url: Option<String>,
    pub jwks_refresh_s: u64,
    pub issuer: Option<String>,
    pub audience: Option<String>,
    /// Clock difference forgiven in `exp` and `nbf`.
    pub leeway_s: u64,
    /// When false, a call without a token is served as role `anonymous`.
    pub require_token: bool,
    pub token_bytes_max: usize,
    /// Verified tokens remembered, over all workers.
    pub cached_tokens_max: usize,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            hs256_secret: None,
            jwks_file: None,
            jwks_url: None,
            jwks_refresh_s: 300,
            issuer: None,
            audience: None,
            leeway_s: 30,
            require_token: true,
            token_bytes_max: 8 << 10,
            cached_tokens_max: 65_536,
        }
    }
}

/// How the log is written to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A filter such as `info` or `rowgate=debug`.
    pub filter: String,
    /// Text for a terminal and JSON for anything else, unless it is said.
    pub format: Option<LogFormat>,
}

impl Default for Log {
    fn default() -> Self {
        Log { filter: "info".to_owned(), format: None }
    }
}

/// Why the configuration was refused: every reason, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<String>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// A worker with a few machines fits.
/// Rows that Postgres reads, and puts into an index, faster than anybody notices.
pub const BLOCKING_ROWS_MAX: u64 = 10_000;
const WORKER_MEMORY_BYTES_MIN: u64 = 256 << 20;

/// A token and the headers a browser sends fit; the HTTP library takes no less.
const HEADER_BYTES_MIN: usize = 8 << 10;

/// Variables that are read by commands or name other things, and so are not configuration keys.
const NOT_CONFIGURATION: [&str; 8] = [
    "ROWGATE_CONFIG",
    "ROWGATE_URL",
    "ROWGATE_TOKEN",
    "ROWGATE_ADMIN_URL",
    "ROWGATE_ADMIN_KEY",
    "ROWGATE_DATA_DIR",
    "ROWGATE_SECRETS_KEY",
    "ROWGATE_SECRETS_FORMER_KEY",
];

impl Config {
    /// Reads `file` (all defaults where `None`), then `environment` over it: `DATABASE_URL`, and
    /// `ROWGATE_SECTION__KEY` for any key of the file, such as `ROWGATE_HTTP__WORKERS=2`.
    pub fn read(file: Option<&Path>, environment: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
        let mut document = match file {
            None => toml::Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| ConfigError(vec![format!("cannot read {}: {error}", path.display())]))?;
                text.parse::<toml::Table>().map_err(|error| {
                    ConfigError(vec![format!("{}: {}", path.display(), error.to_string().trim_end())])
                })?
            }
        };
        if let Some(url) = environment.get("DATABASE_URL") {
            set(&mut document, "database", "url", toml::Value::String(url.clone()));
        }
        for (name, key) in [("ROWGATE_SECRETS_KEY", "key"), ("ROWGATE_SECRETS_FORMER_KEY", "former_key")] {
            if let Some(value) = environment.get(name) {
                set(&mut document, "secrets", key, toml::Value::String(value.clone()));
            }
        }
        for (name, value) in environment {
            if NOT_CONFIGURATION.contains(&name.as_str()) {
                continue;
            }
            let Some(path) = name.strip_prefix("ROWGATE_") else { continue };
            let Some((section, key)) = path.split_once("__") else {
                return Err(ConfigError(vec![format!(
                    "environment variable `{name}` names no setting; expected ROWGATE_SECTION__KEY"
                )]));
            };
            let value = value.parse::<toml::Value>().unwrap_or_else(|_| toml::Value::String(value.clone()));
            set(&mut document, &section.to_ascii_lowercase(), &key.to_ascii_lowercase(), value);
        }
        let mut config: Config = document.try_into().map_err(|error: toml::de::Error| {
            ConfigError(vec![format!("configuration: {}", error.to_string().trim_end())])
        })?;
        let mut reasons = Vec::new();
        config.traces = Traces::of(environment, &mut reasons);
        match config.checked() {
            Ok(config) if reasons.is_empty() => Ok(config),
            Ok(_) => Err(ConfigError(reasons)),
            Err(ConfigError(more)) => Err(ConfigError([more, reasons].concat())),
        }
    }

    /// Refuses values that contradict each other or would leave something without a bound.
    fn checked(self) -> Result<Config, ConfigError> {
        let mut reasons = Vec::new();
        if let Some(secret) = &self.auth.hs256_secret
            && secret.len() < 32
        {
            reasons.push("auth.hs256_secret: expected at least 32 bytes, as many as HMAC-SHA256 makes".to_owned());
        }
        for (name, value) in [
            ("http.body_bytes_max", self.http.body_bytes_max),
            ("http.json_depth_max", self.http.json_depth_max),
            ("http.batch_calls_max", self.http.batch_calls_max),
            ("http.batch_answer_bytes_max", self.http.batch_answer_bytes_max),
            ("http.idempotency_answer_bytes_max", self.http.idempotency_answer_bytes_max),
            ("http.answer_bytes_max", self.http.answer_bytes_max),
            ("http.connections_max", self.http.connections_max),
            ("http.concurrent_calls_max", self.http.concurrent_calls_max),
            ("database.read_lanes", self.database.read_lanes),
            ("database.write_lanes", self.database.write_lanes),
            ("database.transaction_connections_max", self.database.transaction_connections_max),
            ("database.pool_connections_max", self.database.pool_connections_max),
            ("database.statements_per_connection_max", self.database.statements_per_connection_max),
            ("auth.cached_tokens_max", self.auth.cached_tokens_max),
            ("script.machines_max", self.script.machines_max),
            ("script.calls_per_worker_max", self.script.calls_per_worker_max as usize),
            ("cache.bytes_max", self.cache.bytes_max),
            ("cache.install_bytes_max", self.cache.install_bytes_max),
            ("fetch.body_bytes_max", self.fetch.body_bytes_max),
            ("fetch.answer_bytes_max", self.fetch.answer_bytes_max),
            ("metrics.functions_max", self.metrics.functions_max),
            ("fetch.concurrent_max", self.fetch.concurrent_max),
            ("fetch.concurrent_per_install_max", self.fetch.concurrent_per_install_max),
        ] {
            if value == 0 {
                reasons.push(format!("{name}: expected at least 1"));
            }
        }
        for (name, value) in [
            ("http.idempotency_kept_s", self.http.idempotency_kept_s),
            ("http.header_read_timeout_ms", self.http.header_read_timeout_ms),
            ("http.body_read_timeout_ms", self.http.body_read_timeout_ms),
            ("http.write_timeout_ms", self.http.write_timeout_ms),
            ("http.wait_target_ms", self.http.wait_target_ms),
            ("http.call_timeout_ms", self.http.call_timeout_ms),
            ("database.connect_timeout_ms", self.database.connect_timeout_ms),
            ("database.statement_timeout_ms", self.database.statement_timeout_ms),
            ("database.pool_wait_timeout_ms", self.database.pool_wait_timeout_ms),
            ("limits.sweep_interval_s", self.limits.sweep_interval_s),
            ("limits.redis_timeout_ms", self.limits.redis_timeout_ms),
            ("script.cancel_timeout_ms", self.script.cancel_timeout_ms),
            ("fetch.timeout_ms", self.fetch.timeout_ms),
        ] {
            if value == 0 {
                reasons.push(format!("{name}: expected at least 1; nothing waits without a deadline"));
            }
        }
        if self.deploy.scope_bytes_max.is_some_and(|bytes| !(1..=BYTES_MAX).contains(&bytes)) {
            reasons.push(format!("deploy.scope_bytes_max: expected 1 to {BYTES_MAX}; leave it out for no limit"));
        }
        if self.script.worker_memory_bytes_max < WORKER_MEMORY_BYTES_MIN {
            reasons.push(format!("script.worker_memory_bytes_max: expected at least {WORKER_MEMORY_BYTES_MIN}"));
        }
        self.script.check(&mut reasons);
        self.limits.check(&mut reasons);
        if self.http.header_bytes_max < HEADER_BYTES_MIN {
            reasons.push(format!(
                "http.header_bytes_max: expected at least {HEADER_BYTES_MIN}; a token alone may be as long"
            ));
        }
        if reasons.is_empty() { Ok(self) } else { Err(ConfigError(reasons)) }
    }
}

fn set(document: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    let entry = document.entry(section.to_owned()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(table) = entry {
        table.insert(key.to_owned(), value);
    }
}
