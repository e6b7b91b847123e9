//! The gateway under test: built, started with its private Postgres, and ended again.
//!
//! It runs as `rowgate dev BUNDLE --json`, whose one JSON object on standard output says how to
//! reach everything. Its standard error goes to a file that is quoted when it does not start.

use std::fs::File;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::child;

const START_TIMEOUT: Duration = Duration::from_secs(300);

/// What the workloads call.
pub(crate) const BUNDLE: &str = "bundle";
/// What many extensions are made of.
pub(crate) const GROWTH_BUNDLE: &str = "bundle-growth";

/// What the gateway prints when it is ready.
#[derive(Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) url: String,
    pub(crate) install_id: String,
    pub(crate) extension_id: String,
    pub(crate) database_url: String,
    pub(crate) tokens: Tokens,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tokens {
    pub(crate) viewer: String,
    pub(crate) editor: String,
}

/// A running gateway; it is asked to end when this is dropped.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) ready: Ready,
    pub(crate) address: SocketAddr,
}

/// What `binary --version` says.
pub(crate) fn version(binary: &Path) -> String {
    let output = Command::new(binary).arg("--version").stdin(Stdio::null()).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The release binary of this workspace, built now so that it is never older than its sources.
pub(crate) fn build() -> Result<PathBuf, String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "-p",
            "rowgate",
            "--bin",
            "rowgate",
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo to build the gateway: {error}; give its binary with --gateway"))?;
    if !output.status.success() {
        return Err(format!("cargo could not build the gateway ({})", output.status));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
        .ok_or_else(|| "cargo built the gateway but named no binary; give it with --gateway".to_owned())
}

/// Calls a minute: every call is counted against it, and none is refused.
const NEVER_REACHED: &str = "{ query_rows = 100000000, write_rows = 100000000, query = 1, mutation = 1, action = 1 }";

impl Gateway {
    /// Starts `binary` with one of the bench's bundles and waits until it serves.
    pub(crate) fn start(bundle: &str, binary: &Path, data_dir: &Path, log: &Path) -> Result<Gateway, String> {
        let stderr = File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut child = Command::new(binary)
            .arg("dev")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(bundle))
            .args(["--json", "--port", "0", "--admin-port", "0", "--data-dir"])
            .arg(data_dir)
            .envs(["CALLER", "INSTALL", "EXTENSION"].map(|layer| (format!("ROWGATE_LIMITS__{layer}"), NEVER_REACHED)))
            // Idle connections stay for as long as the curves need them.
            .env("ROWGATE_HTTP__HEADER_READ_TIMEOUT_MS", "600000")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("cannot start the gateway {}: {error}", binary.display()))?;
        match wait_until_ready(&mut child) {
            Ok((ready, address)) => Ok(Gateway { child, ready, address }),
            Err(reason) => {
                child::end(&mut child);
                Err(format!("the gateway {} {reason}\n{}", binary.display(), child::last_lines(log)))
            }
        }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        child::end(&mut self.child);
    }
}

fn wait_until_ready(child: &mut Child) -> Result<(Ready, SocketAddr), String> {
    let ready: Ready = child::ready(child, START_TIMEOUT)?;
    let host = ready.url.strip_prefix("http://").unwrap_or(&ready.url).trim_end_matches('/');
    let address = host
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| format!("listens at `{}`; expected http://host:port; it said:", ready.url))?;
    Ok((ready, address))
}
