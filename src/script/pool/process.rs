//! One worker process: its pipes, its calls, its end.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::script::machine::Used;
use crate::script::pool::{Counts, Event, Settings};
use crate::script::worker::frame::{Frames, FromWorker, Outcome, ProgramKey, ToWorker};
use crate::script::worker::{COMMAND, ENVIRONMENT, Jail};

/// Bundles that one worker keeps compiled; the longest unused is dropped.
const PROGRAMS_MAX: usize = 256;

const READ_BYTES: usize = 64 << 10;

/// A worker process that is running, or was.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Dropped with this, whereupon the worker ends.
    to_worker: mpsc::UnboundedSender<Vec<u8>>,
    shared: Arc<Shared>,
    begun: AtomicU32,
    /// The bundles it has, the longest unused first.
    loaded: Mutex<VecDeque<ProgramKey>>,
    ready: watch::Receiver<Option<Jail>>,
    cancel_timeout: Duration,
}

/// What the tasks at the pipes share with it.
#[derive(Debug, Default)]
struct Shared {
    calls: Mutex<HashMap<u32, Call>>,
    is_dead: AtomicBool,
    cancelled: Notify,
}

/// A call that the worker has not ended.
#[derive(Debug)]
enum Call {
    Awaited(mpsc::Sender<(Event, Used)>),
    /// Nobody waits for it; when it is not ended by then, the worker is killed.
    Cancelled {
        until: Instant,
    },
}

impl Shared {
    fn calls(&self) -> MutexGuard<'_, HashMap<u32, Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the first cancelled call must be ended.
    fn until(&self) -> Option<Instant> {
        let calls = self.calls();
        let ends = calls.values().filter_map(|call| match call {
            Call::Awaited(_) => None,
            Call::Cancelled { until } => Some(*until),
        });
        ends.min()
    }
}

impl Process {
    /// Starts one on the current runtime.
    pub(super) fn start(settings: &Settings, counts: &Arc<Counts>) -> io::Result<Arc<Process>> {
        let executable = match &settings.executable {
            Some(path) => path.clone(),
            None => std::env::current_exe()?,
        };
        let mut command = Command::new(executable);
        command
            .args([COMMAND, &settings.worker_memory_bytes_max.to_string()])
            .env_clear()
            .envs(ENVIRONMENT)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let pid = child.id().unwrap_or(0);
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no pipes"));
        };
        let shared = Arc::new(Shared::default());
        let (to_worker, frames) = mpsc::unbounded_channel();
        let (is_ready, ready) = watch::channel(None);
        tokio::spawn(write(stdin, frames));
        counts.started.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(attend(child, stdout, Arc::clone(&shared), is_ready, Arc::clone(counts)));
        let begun = AtomicU32::new(0);
        let cancel_timeout = Duration::from_millis(settings.cancel_timeout_ms);
        let process = Process { pid, to_worker, shared, begun, loaded: Mutex::default(), ready, cancel_timeout };
        Ok(Arc::new(process))
    }

    pub(super) async fn ready(&self, within: Duration) -> Result<Jail, String> {
        let mut ready = self.ready.clone();
        let waited = tokio::time::timeout(within, ready.wait_for(Option::is_some)).await;
        let jail = waited.map_err(|_| "it was not ready in time")?.map_err(|_| "it ended at once")?;
        (*jail).ok_or_else(|| "it ended at once".to_owned())
    }

    pub(super) fn is_alive(&self) -> bool {
        !self.shared.is_dead.load(Ordering::Acquire)
    }

    /// Calls under way on it.
    pub(super) fn running(&self) -> usize {
        self.shared.calls().len()
    }

    pub(super) fn calls_begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Admits one more call where there are fewer than `machines_max`.
    pub(super) fn enter(&self, machines_max: usize) -> Option<(u32, mpsc::Receiver<(Event, Used)>)> {
        let mut calls = self.shared.calls();
        if calls.len() >= machines_max {
            return None;
        }
        // One place: a call waits for an answer before it says more.
        let (sender, events) = mpsc::channel(1);
        let call = self.begun.fetch_add(1, Ordering::Relaxed);
        calls.insert(call, Call::Awaited(sender));
        Some((call, events))
    }

    /// Sees to it that the worker has the bundle.
    pub(super) fn load(&self, program: ProgramKey, load: impl FnOnce() -> ToWorker) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.back() == Some(&program) {
            return;
        }
        match loaded.iter().position(|key| *key == program) {
            Some(place) => drop(loaded.remove(place)),
            None => {
                if loaded.len() >= PROGRAMS_MAX
                    && let Some(unused) = loaded.pop_front()
                {
                    self.send(&ToWorker::Unload { program: unused });
                }
                self.send(&load());
            }
        }
        loaded.push_back(program);
    }

    /// Frames are sent in order. One to a worker that is gone is lost with its call.
    pub(super) fn send(&self, frame: &ToWorker) {
        let _ = self.to_worker.send(frame.encode());
    }

    /// Nobody waits for `call` any more.
    pub(super) fn cancel(&self, call: u32) {
        if let Some(entry) = self.shared.calls().get_mut(&call) {
            *entry = Call::Cancelled { until: Instant::now() + self.cancel_timeout };
            self.send(&ToWorker::Cancel { call });
            self.shared.cancelled.notify_one();
        }
    }
}

async fn write(mut stdin: ChildStdin, mut frames: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(mut bytes) = frames.recv().await {
        while let Ok(more) = frames.try_recv() {
            bytes.extend_from_slice(&more);
        }
        if stdin.write_all(&bytes).await.is_err() {
            // It is gone; whoever reads from it finds that out.
            return;
        }
    }
}

/// Reads what the worker says until it ends, and kills it where it does what it must not.
async fn attend(
    mut child: Child,
    stdout: ChildStdout,
    shared: Arc<Shared>,
    ready: watch::Sender<Option<Jail>>,
    counts: Arc<Counts>,
) {
    let listened = listen(stdout, &shared, &ready).await;
    if let Err(reason) = listened {
        tracing::warn!(pid = child.id(), reason, "a script worker is killed");
    }
    shared.is_dead.store(true, Ordering::Release);
    // Whoever is on it hears of it before the process is waited for.
    let lost = std::mem::take(&mut *shared.calls());
    let count = lost.values().filter(|call| matches!(call, Call::Awaited(_))).count();
    drop(lost);
    if count > 0 || listened.is_err() {
        counts.lost.fetch_add(1, Ordering::Relaxed);
    }
    // It may have ended by itself.
    let _ = child.start_kill();
    match child.wait().await {
        Ok(status) if count > 0 => {
            tracing::warn!(%status, calls_lost = count, "a script worker ended with calls on it")
        }
        Ok(status) => tracing::debug!(%status, "a script worker ended"),
        Err(error) => tracing::error!(%error, "a script worker cannot be waited for"),
    }
}

/// Until the end of `stdout`; an error is why the worker must be killed.
async fn listen(
    mut stdout: ChildStdout,
    shared: &Shared,
    ready: &watch::Sender<Option<Jail>>,
) -> Result<(), &'static str> {
    let mut frames = Frames::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let until = shared.until();
        let count = tokio::select! {
            count = stdout.read(&mut bytes) => count.unwrap_or(0),
            () = shared.cancelled.notified() => continue,
            () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                return Err("it did not end a call in time");
            }
        };
        if count == 0 {
            return Ok(());
        }
        frames.push(bytes.get(..count).unwrap_or_default());
        while let Some(frame) = frames.next_from_worker().map_err(|_| "it sent what is no frame")? {
            take(frame, shared, ready)?;
        }
    }
}

fn take(frame: FromWorker, shared: &Shared, ready: &watch::Sender<Option<Jail>>) -> Result<(), &'static str> {
    const OUT_OF_TURN: &str = "it spoke out of turn";
    let mut calls = shared.calls();
    match frame {
        FromWorker::Ready(jail) => {
            if !jail.is_whole() {
                tracing::warn!(?jail, "this kernel holds script workers by less than landlock and seccomp together");
            }
            ready.send_replace(Some(jail));
        }
        FromWorker::Asks { call, operation, arguments } => match calls.get(&call) {
            Some(Call::Awaited(sender)) => {
                let asks = Event::Asks { operation, arguments };
                sender.try_send((asks, Used::default())).map_err(|_| OUT_OF_TURN)?;
            }
            // It asked before it heard that nobody waits.
            Some(Call::Cancelled { .. }) => {}
            None => return Err(OUT_OF_TURN),
        },
        FromWorker::Ended { call, outcome, used } => match (calls.get(&call), &outcome) {
            (Some(Call::Awaited(sender)), _) => {
                sender.try_send((Event::Ended(outcome), used)).map_err(|_| OUT_OF_TURN)?;
                calls.remove(&call);
            }
            (Some(Call::Cancelled { .. }), Outcome::Cancelled) => drop(calls.remove(&call)),
            // It ended before it heard that nobody waits, and will say so.
            (Some(Call::Cancelled { .. }), _) => {}
            (None, _) => return Err(OUT_OF_TURN),
        },
    }
    Ok(())
}
