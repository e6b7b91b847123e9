//! The durability barrier: one flush to the disk that many writes wait for.
//!
//! Sessions of writes commit without waiting for the disk (`synchronous_commit = off`). What they answer
//! is held here until a transaction that does wait, as the server is set to, has ended in a session of
//! the barrier's own: it began behind theirs, so its flush has taken theirs along.
//!
//! A barrier belongs to one run of the server. The sessions whose answers it holds were opened while it
//! was open, on the same server, and end with it, so that no write is confirmed by a server that has
//! forgotten it. What is held when a barrier ends is answered as a lost connection is.
//! `docs/decisions/0036` has the argument.

use std::future::Future;
use std::mem;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_postgres::{Client, Statement};
use tokio_util::sync::CancellationToken;

use crate::db::connect::{Connector, Pause, Purpose};
use crate::db::pipeline::Trouble;
use crate::db::sqlstate;
use crate::plan::answer::Text;

/// Writes a record of a few bytes, without which Postgres would have nothing to wait for.
const CONFIRM: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'rowgate', '')";

/// Tells one run of a server from every other.
const SERVER: &str = "SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text";

/// While nothing is known to be due, deadlines are looked at so often.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Holds answers of writes until they are on the disk.
pub struct Barrier {
    state: Mutex<State>,
    /// Rung when the first answer comes to be held.
    held: Notify,
    ended: CancellationToken,
    server_started: Box<str>,
}

/// What a write came to, for when it is on the disk.
pub struct Held {
    pub result: Result<Text, Trouble>,
    /// When its caller is told that it took too long.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<Text, Trouble>>,
}

/// Why a barrier holds nothing any more.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{}", sqlstate::chain(.0))]
    Connection(tokio_postgres::Error),
    #[error("the server ended it")]
    Closed,
    #[error("the database has said nothing for too long")]
    Silent,
}

#[derive(Default)]
struct State {
    /// What the next flush is for.
    waiting: Vec<Held>,
    is_closed: bool,
}

/// The barrier that is open, where one is.
pub type Current = watch::Receiver<Option<Arc<Barrier>>>;

/// Opens a barrier and keeps one open, by a task on the current runtime. One that says nothing for
/// `silence_max` is held lost.
pub fn open(connector: &Connector, silence_max: Duration) -> Current {
    let (slot, current) = watch::channel(None);
    tokio::spawn(keep_open(slot, connector.clone(), silence_max));
    current
}

impl Barrier {
    /// Gives `held` its answer when what was committed until now is on the disk.
    pub(super) fn hold(&self, held: Held) {
        let mut state = self.locked();
        // Dropped, it is told as lost.
        if state.is_closed {
            return;
        }
        if state.waiting.is_empty() {
            self.held.notify_one();
        }
        state.waiting.push(held);
    }

    /// Ends with the barrier.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether this barrier's server is the one that began at `started`.
    pub(super) fn is_of(&self, started: &str) -> bool {
        *self.server_started == *started
    }

    /// Holds nothing from here on, and loses what it holds.
    pub(super) fn close(&self) {
        let lost = {
            let mut state = self.locked();
            state.is_closed = true;
            mem::take(&mut state.waiting)
        };
        self.ended.cancel();
        drop(lost);
    }

    /// Flushes for whatever is held, again and again; answers why it cannot any longer.
    async fn confirm(&self, client: &Client, confirm: &Statement, silence_max: Duration) -> Lost {
        let mut confirming = Vec::new();
        loop {
            self.held.notified().await;
            loop {
                mem::swap(&mut confirming, &mut self.locked().waiting);
                if confirming.is_empty() {
                    break;
                }
                if let Err(lost) = self.flush(client, confirm, silence_max, &mut confirming).await {
                    return lost;
                }
                for Held { result, reply, .. } in confirming.drain(..) {
                    // A caller that went away asks for no answer.
                    let _ = reply.send(result);
                }
            }
        }
    }

    /// One flush; whose deadline passes meanwhile is told so.
    async fn flush(
        &self,
        client: &Client,
        confirm: &Statement,
        silence_max: Duration,
        confirming: &mut Vec<Held>,
    ) -> Result<(), Lost> {
        let mut flushing = pin!(client.execute(confirm, &[]));
        let silent_at = Instant::now() + silence_max;
        loop {
            let now = Instant::now();
            if now >= silent_at {
                return Err(Lost::Silent);
            }
            let look_at = now + LOOK_INTERVAL;
            let next = expire(confirming, now).min(expire(&mut self.locked().waiting, now)).min(look_at);
            tokio::select! {
                biased;
                flushed = &mut flushing => return flushed.map(drop).map_err(Lost::Connection),
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those whose deadline has passed; when the next one does.
fn expire(held: &mut Vec<Held>, now: Instant) -> Instant {
    for Held { reply, .. } in held.extract_if(.., |held| held.deadline <= now) {
        let _ = reply.send(Err(Trouble::TimedOut));
    }
    held.iter().map(|held| held.deadline).min().unwrap_or(now + LOOK_INTERVAL)
}

/// A barrier, and what must run for as long as it is to hold anything.
async fn connect(
    connector: &Connector,
    silence_max: Duration,
) -> Result<(Arc<Barrier>, impl Future<Output = Lost>), tokio_postgres::Error> {
    let (client, connection) = connector.address(Purpose::Barrier).connect(connector.tls()).await?;
    let mut connection = Box::pin(connection);
    let (started, confirm) = {
        let asking = pin!(async {
            let started: String = client.query_typed_one(SERVER, &[]).await?.try_get(0)?;
            Ok::<_, tokio_postgres::Error>((started, client.prepare_typed(CONFIRM, &[]).await?))
        });
        match select(asking, &mut connection).await {
            Either::Left((asked, _)) => asked?,
            Either::Right((ended, asking)) => {
                ended?;
                // Its connection is gone, and so it fails.
                asking.await?
            }
        }
    };
    let barrier = Arc::new(Barrier {
        state: Mutex::default(),
        held: Notify::new(),
        ended: CancellationToken::new(),
        server_started: started.into_boxed_str(),
    });
    let running = {
        let barrier = barrier.clone();
        async move {
            // One task for both: what is asked is sent without waking another.
            let lost = tokio::select! {
                lost = barrier.confirm(&client, &confirm, silence_max) => lost,
                ended = connection => ended.err().map_or(Lost::Closed, Lost::Connection),
                () = barrier.ended() => Lost::Closed,
            };
            barrier.close();
            lost
        }
    };
    Ok((barrier, running))
}

async fn keep_open(slot: watch::Sender<Option<Arc<Barrier>>>, connector: Connector, silence_max: Duration) {
    let mut pause = Pause::default();
    loop {
        match tokio::time::timeout(connector.connect_timeout(), connect(&connector, silence_max)).await {
            Ok(Ok((barrier, running))) => {
                pause = Pause::default();
                slot.send_replace(Some(barrier));
                let reason = running.await;
                slot.send_replace(None);
                tracing::warn!(%reason, "the connection that waits for the disk was lost");
            }
            Ok(Err(error)) if pause.is_longest() => {
                let reason = sqlstate::chain(&error);
                tracing::warn!(reason, "no connection can wait for the disk, so nothing is written");
            }
            Err(_) if pause.is_longest() => {
                tracing::warn!(
                    reason = "it did not answer",
                    "no connection can wait for the disk, so nothing is written"
                );
            }
            Ok(Err(_)) | Err(_) => {}
        }
        pause.take().await;
    }
}
