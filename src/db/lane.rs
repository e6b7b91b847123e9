//! Lanes: connections on which many calls are pipelined, each kept open by a task of its own.
//!
//! A worker has its own lanes on its own runtime, so nothing here crosses a thread on the way of a
//! call. Each connection keeps its own prepared statements, the least recently used closed first:
//! a backend's memory grows with every statement and table it has seen.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config;
use crate::db::connect::{Connector, Purpose};
use crate::db::handshake;
use crate::db::pipeline::{Connection, Statements};
use crate::db::waits::Waits;

/// Longest wait between two attempts to connect.
const RECONNECT_WAIT_MS_MAX: u64 = 1_000;

/// Postgres ends a statement by itself, and answers a few that were sent together at once. One that has
/// said nothing for that long twice, and this, says nothing any more.
const SILENCE_GRACE_MS: u64 = 1_000;

/// The lanes of one worker for one purpose.
pub struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// Where the search for the least busy lane starts, so that idle lanes take turns.
    next: AtomicUsize,
    /// Rung whenever a lane opens.
    opened: Arc<Notify>,
    /// From a lane's loss: for so long calls wait for it to come back.
    wait_max: Duration,
    waits: Waits,
}

struct Lane {
    connection: ArcSwapOption<Connection>,
    in_flight: AtomicUsize,
    /// Since when the lane is without a connection, where it is.
    closed_since: Mutex<Instant>,
    /// What became of the statements of connections that were lost.
    past: Mutex<Statements>,
}

/// A place on a lane, given back when dropped.
pub struct Ride {
    lane: Arc<Lane>,
    pub connection: Arc<Connection>,
}

impl Ride {
    /// Takes a connection that was seen to be lost off its lane, before its own task sees it.
    pub fn abandon(&self) {
        let current = self.lane.connection.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &self.connection)) {
            self.lane.close();
        }
    }
}

impl Drop for Ride {
    fn drop(&mut self) {
        self.lane.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lanes {
    /// Opens `count` lanes and keeps them open, by tasks on the current runtime.
    pub fn open(connector: &Connector, purpose: Purpose, count: usize, settings: &config::Database) -> Lanes {
        let statements_max = NonZeroUsize::new(settings.statements_per_connection_max).unwrap_or(NonZeroUsize::MIN);
        let silence_max = Duration::from_millis(2 * settings.statement_timeout_ms + SILENCE_GRACE_MS);
        let opened = Arc::new(Notify::new());
        let lanes = (0..count)
            .map(|_| {
                let lane = Arc::new(Lane {
                    connection: ArcSwapOption::empty(),
                    in_flight: AtomicUsize::new(0),
                    closed_since: Mutex::new(Instant::now()),
                    past: Mutex::default(),
                });
                let kept = Kept { lane: lane.clone(), opened: opened.clone(), statements_max, silence_max };
                tokio::spawn(keep_open(kept, connector.clone(), purpose));
                lane
            })
            .collect();
        let wait_max = Duration::from_millis(settings.pool_wait_timeout_ms);
        Lanes { lanes, next: AtomicUsize::new(0), opened, wait_max, waits: Waits::default() }
    }

    /// A place on a lane. Where none is open, waits for one as long as they were lost only a moment
    /// ago, so that a restart of the database is a pause to callers; `None` after that.
    pub async fn board(&self) -> Option<Ride> {
        if let Some(ride) = self.ride() {
            return Some(ride);
        }
        let closed_since = self.lanes.iter().map(|lane| *locked(&lane.closed_since)).max()?;
        let opening = async {
            loop {
                let mut opened = std::pin::pin!(self.opened.notified());
                // What opens from here on is heard, so nothing is missed between the look and the wait.
                opened.as_mut().enable();
                if let Some(ride) = self.ride() {
                    return ride;
                }
                opened.await;
            }
        };
        let _waiting = self.waits.begin();
        let ride = tokio::time::timeout_at(closed_since + self.wait_max, opening).await;
        ride.inspect_err(|_| self.waits.timed_out()).ok()
    }

    /// A place on the open lane with the fewest calls under way; `None` where none is open.
    fn ride(&self) -> Option<Ride> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let (before, after) = self.lanes.split_at(start % self.lanes.len().max(1));
        let lane = after
            .iter()
            .chain(before)
            .filter(|lane| lane.connection.load().is_some())
            .min_by_key(|lane| lane.in_flight.load(Ordering::Relaxed))?;
        let connection = lane.connection.load_full()?;
        lane.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Ride { lane: lane.clone(), connection })
    }

    /// How many lanes there are.
    pub fn count(&self) -> usize {
        self.lanes.len()
    }

    /// How many lanes are open.
    pub fn open_count(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.connection.load().is_some()).count()
    }

    /// Who waits for a lane to open.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// What became of the statements of all lanes, ever.
    pub fn statements(&self) -> Statements {
        self.lanes.iter().map(|lane| lane.statements()).fold(Statements::default(), Statements::and)
    }

    /// Calls under way on all lanes.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_flight.load(Ordering::Relaxed)).sum()
    }
}

impl Lane {
    fn close(&self) {
        // The moment first, so that who finds the lane closed reads this loss and not the last.
        *locked(&self.closed_since) = Instant::now();
        if let Some(lost) = self.connection.swap(None) {
            let mut past = locked(&self.past);
            *past = past.and(Statements { kept: 0, ..lost.statements() });
        }
    }

    fn statements(&self) -> Statements {
        let now = self.connection.load().as_ref().map(|connection| connection.statements());
        locked(&self.past).and(now.unwrap_or_default())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lane that is to be kept open.
struct Kept {
    lane: Arc<Lane>,
    /// Rung when it opens.
    opened: Arc<Notify>,
    statements_max: NonZeroUsize,
    silence_max: Duration,
}

/// Connects, hands the connection to the lane until it ends, and begins again.
async fn keep_open(kept: Kept, connector: Connector, purpose: Purpose) {
    let Kept { lane, opened, statements_max, silence_max } = kept;
    let shares = matches!(purpose, Purpose::Read);
    let mut wait_ms = 10;
    loop {
        match handshake::open(&connector.address(purpose), &connector.tls()).await {
            Ok(stream) => {
                wait_ms = 10;
                let (connection, driver) = Connection::new(stream, statements_max, shares);
                lane.connection.store(Some(connection));
                opened.notify_waiters();
                let error = driver.silent_at_most(silence_max).run().await;
                lane.close();
                tracing::warn!(%error, "a database connection was lost");
            }
            Err(error) => {
                if wait_ms >= RECONNECT_WAIT_MS_MAX {
                    tracing::warn!(error = %crate::db::sqlstate::chain(&error), "the database cannot be reached");
                }
            }
        }
        // Lanes that lost their connections together do not come back together.
        tokio::time::sleep(Duration::from_millis(rand::random_range(wait_ms / 2..=wait_ms))).await;
        wait_ms = (wait_ms * 2).min(RECONNECT_WAIT_MS_MAX);
    }
}
