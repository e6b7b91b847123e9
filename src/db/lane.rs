//! Lanes: connections on which many calls are pipelined, each kept open by a task of its own.
//!
//! A worker has its own lanes on its own runtime, so nothing here crosses a thread on the way of a
//! call. Each connection keeps its own prepared statements, the least recently used closed first:
//! a backend's memory grows with every statement and table it has seen.
//!
//! What is pipelined waits for what was sent before it. So the few lanes in front carry what is quick, and
//! the others what may take its time, and whatever comes while a lane in front stands still: behind a
//! locked row, or a statement that takes longer than it should.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config;
use crate::db::barrier;
use crate::db::connect::{Connector, Pause, Purpose};
use crate::db::handshake;
use crate::db::pipeline::{Calls, Connection, Statements};
use crate::db::waits::Waits;

/// A lane with calls on it from which nothing has come for so long stands still. Less would take the
/// pauses of a busy machine for it.
const STILL_MS: u64 = 25;

/// Postgres ends a statement by itself, and answers a few that were sent together at once. One that has
/// said nothing for that long twice, and this, says nothing any more.
const SILENCE_GRACE_MS: u64 = 1_000;

/// How long what rides may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Bounded by an index.
    Quick,
    /// Whatever it takes.
    Slow,
}

/// The lanes of one worker for one purpose.
pub struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// How many of them, from the first, carry what is quick.
    quick: usize,
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
    /// Opens the lanes of `purpose` and keeps them open, by tasks on the current runtime.
    pub fn open(connector: &Connector, purpose: Purpose, settings: &config::Database) -> Lanes {
        let (count, quick) = match purpose {
            // One backend that reads a batch and answers a batch costs less than two.
            Purpose::Read => (settings.read_lanes, 1),
            Purpose::HeldWrite => (settings.write_lanes, 2),
            // Each commit waits for the disk, so the more the better.
            Purpose::Write | Purpose::Barrier | Purpose::Own => (settings.write_lanes, settings.write_lanes),
        };
        let statements_max = NonZeroUsize::new(settings.statements_per_connection_max).unwrap_or(NonZeroUsize::MIN);
        let silence_max = Duration::from_millis(2 * settings.statement_timeout_ms + SILENCE_GRACE_MS);
        let barrier = (purpose == Purpose::HeldWrite).then(|| barrier::open(connector, silence_max));
        let opened = Arc::new(Notify::new());
        let lanes = (0..count)
            .map(|_| {
                let lane = Arc::new(Lane {
                    connection: ArcSwapOption::empty(),
                    in_flight: AtomicUsize::new(0),
                    closed_since: Mutex::new(Instant::now()),
                    past: Mutex::default(),
                });
                let (lane, opened, connector) = (lane.clone(), opened.clone(), connector.clone());
                let keeper = Keeper { lane: lane.clone(), opened, connector, purpose, silence_max };
                tokio::spawn(keeper.keep_open(statements_max, barrier.clone()));
                lane
            })
            .collect();
        let wait_max = Duration::from_millis(settings.pool_wait_timeout_ms);
        Lanes { lanes, quick: quick.min(count), next: AtomicUsize::new(0), opened, wait_max, waits: Waits::default() }
    }

    /// A place on a lane. Where none is open, waits for one as long as they were lost only a moment
    /// ago, so that a restart of the database is a pause to callers; `None` after that.
    pub async fn board(&self, pace: Pace) -> Option<Ride> {
        if let Some(ride) = self.ride(pace) {
            return Some(ride);
        }
        let closed_since = self.lanes.iter().map(|lane| *locked(&lane.closed_since)).max()?;
        let opening = async {
            loop {
                let mut opened = std::pin::pin!(self.opened.notified());
                // What opens from here on is heard, so nothing is missed between the look and the wait.
                opened.as_mut().enable();
                if let Some(ride) = self.ride(pace) {
                    return ride;
                }
                opened.await;
            }
        };
        let _waiting = self.waits.begin();
        let ride = tokio::time::timeout_at(closed_since + self.wait_max, opening).await;
        ride.inspect_err(|_| self.waits.timed_out()).ok()
    }

    /// A place on an open lane for what goes at `pace`; `None` where none is open.
    fn ride(&self, pace: Pace) -> Option<Ride> {
        let now = Instant::now();
        let (quick, others) = self.lanes.split_at(self.quick);
        let moves = |lane: &&Arc<Lane>| !lane.stands_still(now);
        let lane = match pace {
            Pace::Quick => self.least_busy(quick, moves).or_else(|| self.least_busy(others, moves)),
            Pace::Slow => self.least_busy(others, |_| true),
        };
        let lane = lane.or_else(|| self.least_busy(&self.lanes, |_| true))?;
        let connection = lane.connection.load_full()?;
        if lane.in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            connection.moves(now);
        }
        Some(Ride { lane: lane.clone(), connection })
    }

    /// The open lane of `lanes` with the fewest calls under way.
    fn least_busy<'a>(&self, lanes: &'a [Arc<Lane>], is_fit: impl Fn(&&'a Arc<Lane>) -> bool) -> Option<&'a Arc<Lane>> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let (before, after) = lanes.split_at(start.checked_rem(lanes.len()).unwrap_or(0));
        let open = after.iter().chain(before).filter(|lane| lane.connection.load().is_some());
        open.filter(is_fit).min_by_key(|lane| lane.in_flight.load(Ordering::Relaxed))
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
    /// Whether its calls have waited too long for a word of the database.
    fn stands_still(&self, now: Instant) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
            && self.connection.load().as_ref().is_some_and(|connection| connection.still_ms(now) >= STILL_MS)
    }

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

/// What opens one lane.
struct Keeper {
    lane: Arc<Lane>,
    opened: Arc<Notify>,
    connector: Connector,
    purpose: Purpose,
    silence_max: Duration,
}

impl Keeper {
    /// Connects, hands the connection to the lane until it ends, and begins again.
    async fn keep_open(self, statements_max: NonZeroUsize, mut barrier: Option<barrier::Current>) {
        let mut pause = Pause::default();
        loop {
            // The session is opened behind its barrier, and ends with it.
            let calls = match &mut barrier {
                Some(current) => match current.wait_for(Option::is_some).await.map(|open| (*open).clone()) {
                    Ok(Some(barrier)) => Calls::Held(barrier),
                    Ok(None) | Err(_) => return,
                },
                None if self.purpose == Purpose::Read => Calls::Read,
                None => Calls::Write,
            };
            match handshake::open(&self.connector.address(self.purpose), &self.connector.tls()).await {
                Ok(session) => {
                    if let Calls::Held(barrier) = &calls
                        && !barrier.is_of(&session.server_started)
                    {
                        tracing::warn!("the database's connections lead to different servers");
                        barrier.close();
                    } else {
                        pause = Pause::default();
                        let (connection, driver) = Connection::new(session.stream, statements_max, calls);
                        self.lane.connection.store(Some(connection));
                        self.opened.notify_waiters();
                        let error = driver.silent_at_most(self.silence_max).run().await;
                        self.lane.close();
                        tracing::warn!(%error, "a database connection was lost");
                    }
                }
                Err(error) if pause.is_longest() => {
                    tracing::warn!(error = %crate::db::sqlstate::chain(&error), "the database cannot be reached");
                }
                Err(_) => {}
            }
            pause.take().await;
        }
    }
}
