//! Calls of handlers, from the gateway's side: a worker process, and what is under way on it.
//!
//! A pool belongs to one runtime and has one worker at a time; a worker that has had its calls is
//! replaced by a new one, ends the calls it has, and then itself. One that does not end a call which
//! nobody waits for is killed, and whoever else was on it is told.
//! Nothing that a worker sends is trusted beyond its being about the call it names.

mod process;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::script::machine::Fault;
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
    events: mpsc::Receiver<Event>,
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
        Pool { settings, current: Mutex::default() }
    }

    /// Starts a worker where there is none, and tells what holds it.
    pub async fn warm(&self) -> Result<Jail, Refused> {
        let process = self.process()?;
        process.ready(Duration::from_millis(self.settings.start_timeout_ms)).await.map_err(Refused::NotStarted)
    }

    /// The process that takes the next call, if one is there.
    pub fn worker_pid(&self) -> Option<u32> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_ref().filter(|process| process.is_alive()).map(|process| process.pid)
    }

    /// Begins a call of a handler of `bundle`. Call it on the runtime that the pool is used on.
    pub fn begin(&self, bundle: &Bundle, begin: Begin) -> Result<Invocation, Refused> {
        let process = self.process()?;
        let (call, events) = process.enter(self.settings.machines_max).ok_or(Refused::Full)?;
        let invocation = Invocation { call, process, events, is_ended: false };
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
        let process = Process::start(&self.settings).map_err(|error| Refused::NotStarted(error.to_string()))?;
        *current = Some(Arc::clone(&process));
        Ok(process)
    }
}

impl Invocation {
    /// What comes next. After [`Event::Ended`] nothing does, and that is said again.
    pub async fn next(&mut self) -> Event {
        let event = self.events.recv().await.unwrap_or(Event::Ended(Outcome::WorkerLost));
        self.is_ended |= matches!(event, Event::Ended(_));
        event
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
