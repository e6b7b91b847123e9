//! Lanes: connections on which many calls are pipelined, each kept open by a task of its own.
//!
//! A worker has its own lanes on its own runtime, so nothing here crosses a thread on the way of a
//! call. Each connection keeps its own prepared statements, the least recently used closed first:
//! a backend's memory grows with every statement and table it has seen.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use lru::LruCache;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::config;
use crate::db::connect::{Connector, Purpose};
use crate::plan::statement::Statement;

/// Longest wait between two attempts to connect.
const RECONNECT_WAIT_MS_MAX: u64 = 1_000;

/// The lanes of one worker for one purpose.
pub struct Lanes {
    lanes: Vec<Arc<Lane>>,
    /// Where the search for the least busy lane starts, so that idle lanes take turns.
    next: AtomicUsize,
}

struct Lane {
    connection: ArcSwapOption<Connection>,
    in_flight: AtomicUsize,
}

/// One open connection and what is prepared on it.
pub struct Connection {
    client: Client,
    prepared: Mutex<LruCache<u128, Arc<OnceCell<tokio_postgres::Statement>>>>,
}

/// A place on a lane, given back when dropped.
pub struct Ride {
    lane: Arc<Lane>,
    pub connection: Arc<Connection>,
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
        let lanes = (0..count)
            .map(|_| {
                let lane = Arc::new(Lane { connection: ArcSwapOption::empty(), in_flight: AtomicUsize::new(0) });
                tokio::spawn(keep_open(lane.clone(), connector.clone(), purpose, statements_max));
                lane
            })
            .collect();
        Lanes { lanes, next: AtomicUsize::new(0) }
    }

    /// A place on the open lane with the fewest calls under way; `None` where none is open.
    pub fn ride(&self) -> Option<Ride> {
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

    /// How many lanes are open.
    pub fn open_count(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.connection.load().is_some()).count()
    }

    /// Calls under way on all lanes.
    pub fn in_flight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.in_flight.load(Ordering::Relaxed)).sum()
    }
}

impl Connection {
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The statement, prepared here; a first use costs one round trip more. Callers who want the
    /// same one meanwhile wait for that one.
    pub async fn prepared(&self, statement: &Statement) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        let cell = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            prepared.get_or_insert(statement.key, || Arc::new(OnceCell::new())).clone()
        };
        if let Some(prepared) = cell.get() {
            return Ok(prepared.clone());
        }
        cell.get_or_try_init(|| self.client.prepare_typed(&statement.sql, &statement.types)).await.cloned()
    }

    /// Forgets the statement, so that the next use prepares it anew.
    pub fn forget(&self, statement: &Statement) {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).pop(&statement.key);
    }
}

/// Connects, hands the connection to the lane until it ends, and begins again.
async fn keep_open(lane: Arc<Lane>, connector: Connector, purpose: Purpose, statements_max: NonZeroUsize) {
    let mut wait_ms = 10;
    loop {
        match connector.address(purpose).connect(connector.tls()).await {
            Ok((client, connection)) => {
                wait_ms = 10;
                let open = Connection { client, prepared: Mutex::new(LruCache::new(statements_max)) };
                lane.connection.store(Some(Arc::new(open)));
                let ended = connection.await;
                lane.connection.store(None);
                if let Err(error) = ended {
                    tracing::warn!(%error, "a database connection was lost");
                }
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
