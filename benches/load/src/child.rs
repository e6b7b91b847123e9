//! Servers that run as children of the bench: each says in one JSON value on its standard output
//! that it is ready, and is asked to end by SIGTERM.

use std::io::BufReader;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const LAST_LINES: usize = 20;

/// What the child prints first. The reason why it is missing ends in "it said:".
pub(crate) fn ready<T: DeserializeOwned + Send + 'static>(child: &mut Child, timeout: Duration) -> Result<T, String> {
    let stdout = child.stdout.take().ok_or("has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    // The thread holds the pipe open for as long as the child runs.
    std::thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let ready = serde_json::Deserializer::from_reader(&mut stdout).into_iter::<T>().next();
        let _ = sender.send(ready);
        let _ = std::io::copy(&mut stdout, &mut std::io::sink());
    });
    match receiver.recv_timeout(timeout) {
        Ok(Some(Ok(ready))) => Ok(ready),
        Ok(Some(Err(error))) => Err(format!("printed what says not that it is ready: {error}; it said:")),
        Ok(None) => Err("ended before it was ready; it said:".to_owned()),
        Err(_) => Err(format!("was not ready after {} s; it said:", timeout.as_secs())),
    }
}

/// The end of what the child has written to the file that is its standard error.
pub(crate) fn last_lines(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n")
}

/// SIGTERM, so that the gateway ends its Postgres too; SIGKILL when that takes too long.
pub(crate) fn end(child: &mut Child) {
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
