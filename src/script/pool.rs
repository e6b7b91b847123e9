//! Calls of handlers, from the gateway's side: a worker process, and what is under way on it.
//!
//! A pool belongs to one runtime and has one worker at a time; a worker that has had its calls is
//! replaced by a new one, ends the calls it has, and then itself. One that does not end a call which
//! nobody waits for is killed, and whoever else was on it is told.
//! Nothing that a worker sends is trusted beyond its being about the call it names.

mod process;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::script::machine::{Fault, Used};
use crate::script::pool::process::Process;
use crate::script::worker::Jail;
use crate::script::worker::frame::{Begin, Outcome, ProgramKey, ToWorker};

/// How workers are made and for how long they serve.
#[derive(Debug, Clone)]
pub struct Settings {
    /// An executable whose `main` calls [`crate::script::worker::run`]; `None` is the running one.
    pub executable: Option<PathBuf>,
    /// Calls under way on one worker; more are refused.
    pub machines_max: usize,
    /// After so many calls a worker is replaced.
    pub calls_per_worker_max: u32,
    /// Data of one worker process, all machines together.
    pub worker_memory_bytes_max: u64,
    /// From a worker's start until it is ready.
    pub start_timeout_ms: u64,
    /// How long a worker has to end a call that nobody waits for; then it is killed.
    pub cancel_timeout_ms: u64,
}

/// The Luau sources of one revision, by module name; the one called `functions` is the first to run.
#[derive(Debug, PartialEq, Eq)]
pub struct Bundle {
    key: ProgramKey,
    sources: Vec<(String, String)>,
}

/// One runtime's calls of handlers.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    current: Mutex<Option<Arc<Process>>>,
    counts: Arc<Counts>,
}

/// What became of a pool's workers, ever.
#[derive(Debug, Default)]
pub struct Counts {
    pub started: AtomicU64,
    /// Ended with calls on them, or killed.
    pub lost: AtomicU64,
    /// Calls refused, since as many as may be were running.
    pub full: AtomicU64,
}

/// Why no call was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("too many handlers are running")]
    Full,
    #[error("a script worker cannot be started: {0}")]
    NotStarted(String),
}

/// One call under way; dropping it stops the handler.
#[derive(Debug)]
pub struct Invocation {
    call: u32,
    process: Arc<Process>,
    events: mpsc::Receiver<(Event, Used)>,
    used: Used,
    is_ended: bool,
}

/// What a call under way came to next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It waits for [`Invocation::answer`] or [`Invocation::refuse`].
    Asks {
        operation: String,
        arguments: Vec<u8>,
    },
    Ended(Outcome),
}

impl Bundle {
    pub fn new(mut sources: Vec<(String, String)>) -> Bundle {
        sources.sort();
        let mut hash = Sha256::new();
        for (name, source) in &sources {
            for text in [name, source] {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
        }
        Bundle { key: hash.finalize().into(), sources }
    }

    fn load(&self) -> ToWorker {
        ToWorker::Load { program: self.key, sources: self.sources.clone() }
    }
}

impl Pool {
    /// No worker is started before the first call, or [`Pool::warm`].
    pub fn new(settings: Settings) -> Pool {
        Pool { settings, current: Mutex::default(), counts: Arc::default() }
    }

    /// Starts a worker where there is none, and tells what holds it.
    pub async fn warm(&self) -> Result<Jail, Refused> {
        let process = self.process()?;
        process.ready(Duration::from_millis(self.settings.start_timeout_ms)).await.map_err(Refused::NotStarted)
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Calls under way on the worker that takes the next one.
    pub fn running(&self) -> usize {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().map_or(0, |process| process.running())
    }

    /// The process that takes the next call, if one is there.
    pub fn worker_pid(&self) -> Option<u32> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|process| process.is_alive()).map(|process| process.pid)
    }

    /// Begins a call of a handler of `bundle`. Call it on the runtime that the pool is used on.
    pub fn begin(&self, bundle: &Bundle, begin: Begin) -> Result<Invocation, Refused> {
        let process = self.process()?;
        let Some((call, events)) = process.enter(self.settings.machines_max) else {
            self.counts.full.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::Full);
        };
        let invocation = Invocation { call, process, events, used: Used::default(), is_ended: false };
        invocation.process.load(bundle.key, || bundle.load());
        invocation.process.send(&ToWorker::Begin { call, program: bundle.key, begin: Box::new(begin) });
        Ok(invocation)
    }

    fn process(&self) -> Result<Arc<Process>, Refused> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = &*current
            && process.is_alive()
            && process.calls_begun() < self.settings.calls_per_worker_max
        {
            return Ok(Arc::clone(process));
        }
        let process =
            Process::start(&self.settings, &self.counts).map_err(|error| Refused::NotStarted(error.to_string()))?;
        *current = Some(Arc::clone(&process));
        Ok(process)
    }
}

impl Invocation {
    /// What comes next. After [`Event::Ended`] nothing does, and that is said again.
    pub async fn next(&mut self) -> Event {
        let lost = || (Event::Ended(Outcome::WorkerLost), self.used);
        let (event, used) = self.events.recv().await.unwrap_or_else(lost);
        self.used = used;
        self.is_ended |= matches!(event, Event::Ended(_));
        event
    }

    /// What the handler used, once it has ended.
    pub fn used(&self) -> Used {
        self.used
    }

    /// JSON for what it asked.
    pub fn answer(&self, json: Vec<u8>) {
        self.process.send(&ToWorker::Answer { call: self.call, json });
    }

    /// What it asked is refused; the handler may catch that.
    pub fn refuse(&self, fault: Fault) {
        self.process.send(&ToWorker::Refusal { call: self.call, fault });
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        if !self.is_ended {
            self.process.cancel(self.call);
        }
    }
}
