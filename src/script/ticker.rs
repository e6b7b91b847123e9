//! A count that grows about once a millisecond, so that a machine reads the clock seldom.
//!
//! Luau asks at each call and each turn of a loop whether to go on; reading the processor's clock
//! there would cost more than the script. It looks at this count instead.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);

/// What the thread and those who look at it share.
#[derive(Debug, Default)]
struct State {
    ticks: AtomicU64,
    is_awake: AtomicBool,
    is_stopped: AtomicBool,
}

/// The thread that counts; it ends with this.
#[derive(Debug)]
pub struct Ticker {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// Where the count is read.
#[derive(Debug, Clone)]
pub struct Ticks(Arc<State>);

impl Ticker {
    /// Starts the thread, asleep, and returns when it has all it needs of the system. `on_tick` runs
    /// on it at each tick.
    pub fn start(on_tick: impl Fn() + Send + 'static) -> std::io::Result<Ticker> {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let (started, is_started) = mpsc::channel();
        let thread = thread::Builder::new().name("ticker".to_owned()).spawn(move || {
            // Whoever started it waits for this.
            let _ = started.send(());
            while !shared.is_stopped.load(Ordering::Acquire) {
                if shared.is_awake.load(Ordering::Acquire) {
                    thread::sleep(TICK);
                    shared.ticks.fetch_add(1, Ordering::Relaxed);
                    on_tick();
                } else {
                    thread::park();
                }
            }
        })?;
        is_started.recv().map_err(|_| std::io::Error::other("the clock's thread ended at once"))?;
        Ok(Ticker { state, thread: Some(thread) })
    }

    pub fn ticks(&self) -> Ticks {
        Ticks(Arc::clone(&self.state))
    }

    /// Counts from now on.
    pub fn wake(&self) {
        if !self.state.is_awake.swap(true, Ordering::AcqRel)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }

    /// Counts no more until it is woken: nothing runs.
    pub fn rest(&self) {
        self.state.is_awake.store(false, Ordering::Release);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.is_stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked counts no more either.
            let _ = thread.join();
        }
    }
}

impl Ticks {
    pub fn now(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }
}
