//! The gateway under test: built, started with its private Postgres, and ended again.
//!
//! It runs as `rowgate dev BUNDLE --json`, whose one JSON object on standard output says how to
//! reach everything. Its standard error goes to a file that is quoted when it does not start.

use std::fs::File;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::Deserialize;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

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
    /// Starts `binary` with the bench's bundle and waits until it serves.
    pub(crate) fn start(binary: &Path, data_dir: &Path, log: &Path) -> Result<Gateway, String> {
        let stderr = File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut child = Command::new(binary)
            .arg("dev")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bundle"))
            .args(["--json", "--port", "0", "--admin-port", "0", "--data-dir"])
            .arg(data_dir)
            .envs(["CALLER", "INSTALL", "EXTENSION"].map(|layer| (format!("ROWGATE_LIMITS__{layer}"), NEVER_REACHED)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("cannot start the gateway {}: {error}", binary.display()))?;
        match wait_until_ready(&mut child) {
            Ok((ready, address)) => Ok(Gateway { child, ready, address }),
            Err(reason) => {
                end(&mut child);
                let said = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = said.lines().collect();
                let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n");
                Err(format!("the gateway {} {reason}\n{last}", binary.display()))
            }
        }
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn wait_until_ready(child: &mut Child) -> Result<(Ready, SocketAddr), String> {
    let stdout = child.stdout.take().ok_or("has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    // The thread holds the pipe open for as long as the gateway runs.
    std::thread::spawn(move || {
        let mut stdout = std::io::BufReader::new(stdout);
        let ready = serde_json::Deserializer::from_reader(&mut stdout).into_iter::<Ready>().next();
        let _ = sender.send(ready);
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    let ready = match receiver.recv_timeout(START_TIMEOUT) {
        Ok(Some(Ok(ready))) => ready,
        Ok(Some(Err(error))) => return Err(format!("printed what `dev --json` should not: {error}; it said:")),
        Ok(None) => return Err("ended before it was ready; it said:".to_owned()),
        Err(_) => return Err(format!("was not ready after {} s; it said:", START_TIMEOUT.as_secs())),
    };
    let host = ready.url.strip_prefix("http://").unwrap_or(&ready.url).trim_end_matches('/');
    let address = host
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| format!("listens at `{}`; expected http://host:port; it said:", ready.url))?;
    Ok((ready, address))
}

/// SIGTERM, so that the gateway ends its Postgres too; SIGKILL when that takes too long.
fn end(child: &mut Child) {
    if let Ok(id) = i32::try_from(child.id())
        && let Some(id) = rustix::process::Pid::from_raw(id)
    {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    let asked = Instant::now();
    while asked.elapsed() < STOP_TIMEOUT {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
}
