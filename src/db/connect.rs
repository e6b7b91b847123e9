//! How every connection of the gateway is opened: address, TLS and session settings.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config;

/// What a connection is for; its session settings follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Declarative reads: the session is read-only, so that not even a wrong plan writes.
    Read,
    /// Writes whose commit waits for the disk.
    Write,
    /// Writes whose commit does not; a barrier does.
    HeldWrite,
    /// Waits for the disk, as the server is set to.
    Barrier,
    /// Deploys, records, listeners: statements of the gateway's own, with deadlines of their own.
    Own,
}

impl Purpose {
    /// That of the lanes for writes.
    pub fn of_writes(durability: config::Durability) -> Purpose {
        match durability {
            config::Durability::Barrier => Purpose::HeldWrite,
            config::Durability::Commit => Purpose::Write,
        }
    }
}

/// A statement that changes tables waits for its lock as long as 150 ms, and whoever calls meanwhile
/// waits behind it: that is no reason to fail.
const LOCK_TIMEOUT_MS_MIN: u64 = 500;

fn lock_timeout_ms(statement_timeout_ms: u64) -> u64 {
    statement_timeout_ms.div_ceil(2).max(LOCK_TIMEOUT_MS_MIN)
}

/// The growing pauses between attempts to connect, so that what was lost together does not come back
/// together.
pub(super) struct Pause {
    ms: u64,
}

/// Longest wait between two attempts to connect.
const PAUSE_MS_MAX: u64 = 1_000;

impl Default for Pause {
    fn default() -> Self {
        Pause { ms: 10 }
    }
}

impl Pause {
    pub(super) fn is_longest(&self) -> bool {
        self.ms >= PAUSE_MS_MAX
    }

    pub(super) async fn take(&mut self) {
        tokio::time::sleep(Duration::from_millis(rand::random_range(self.ms / 2..=self.ms))).await;
        self.ms = (self.ms * 2).min(PAUSE_MS_MAX);
    }
}

/// The address is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the database address cannot be used: {0}")]
pub struct AddressError(pub String);

/// The address and TLS set-up, read once.
#[derive(Clone)]
pub struct Connector {
    address: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    statement_timeout_ms: u64,
}

impl Connector {
    /// Reads `settings.url`: `postgres://user@host/name` or `host=… user=… dbname=…`.
    pub fn new(settings: &config::Database) -> Result<Connector, AddressError> {
        let url = settings.url.as_deref().ok_or_else(|| AddressError("none is given; set DATABASE_URL".to_owned()))?;
        // The driver's message names the part that is wrong and never quotes the password.
        let mut address = tokio_postgres::Config::from_str(url).map_err(|error| AddressError(error.to_string()))?;
        address
            .application_name("rowgate")
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .keepalives_idle(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(30));
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| AddressError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Connector { address, tls: MakeRustlsConnect::new(tls), statement_timeout_ms: settings.statement_timeout_ms })
    }

    /// The address with the session settings of `purpose`.
    pub fn address(&self, purpose: Purpose) -> tokio_postgres::Config {
        let timeout_ms = self.statement_timeout_ms;
        // Names in statements are qualified, so nothing is ever looked up along a path; JIT costs
        // more than any of these statements; the plan is the one that was proven at deploy.
        let mut options =
            String::from("-c search_path= -c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout=60s");
        match purpose {
            Purpose::Read => options.push_str(&format!(
                " -c statement_timeout={timeout_ms} -c plan_cache_mode=force_generic_plan -c default_transaction_read_only=on"
            )),
            Purpose::Write | Purpose::HeldWrite => options.push_str(&format!(
                " -c statement_timeout={timeout_ms} -c lock_timeout={} -c plan_cache_mode=force_generic_plan",
                lock_timeout_ms(timeout_ms)
            )),
            Purpose::Barrier | Purpose::Own => {}
        }
        if purpose == Purpose::HeldWrite {
            options.push_str(" -c synchronous_commit=off");
        }
        let mut address = self.address.clone();
        if let Some(given) = self.address.get_options() {
            options = format!("{given} {options}");
        }
        address.options(options);
        address
    }

    /// How long opening a connection may take.
    pub fn connect_timeout(&self) -> Duration {
        self.address.get_connect_timeout().copied().unwrap_or(Duration::from_secs(30))
    }

    pub fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    /// Whether the address asks for a connection without TLS.
    pub fn is_plain(&self) -> bool {
        self.address.get_ssl_mode() == SslMode::Disable
    }
}
