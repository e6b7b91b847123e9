//! Has the registry read at once, for calls that met tables newer than their plan.
//!
//! A change of an extension is told to every gateway, but a call may meet its tables before the word
//! has come, or where it never comes. Such a call asks here and waits; whoever keeps the registry
//! current reads, once for all who wait, and says so. Who asked while it was reading is read for again.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::record::{Extension, Stamp};

/// Who waits for the registry, and what it was last read as.
#[derive(Debug)]
pub struct Renewal {
    asked: Mutex<Asked>,
    bell: Notify,
    /// The last turn that was read for.
    read: watch::Sender<u64>,
    /// Whether anybody answers.
    is_kept: AtomicBool,
}

#[derive(Debug, Default)]
struct Asked {
    turn: u64,
    extensions: HashSet<Uuid>,
    /// What each extension was when the tables were last read, served or not.
    stamps: HashMap<Uuid, Stamp>,
}

/// What is asked for up to some moment.
#[derive(Debug, Clone)]
pub struct Wanted {
    turn: u64,
    /// Extensions that may have changed.
    pub extensions: Vec<Uuid>,
}

/// The registry is kept current until this is dropped.
#[derive(Debug)]
pub struct Keeping<'a>(&'a Renewal);

impl Default for Renewal {
    fn default() -> Renewal {
        Renewal {
            asked: Mutex::default(),
            bell: Notify::new(),
            read: watch::Sender::new(0),
            is_kept: AtomicBool::new(false),
        }
    }
}

impl Renewal {
    /// Waits until the registry was looked at for `extension`, from after this was asked; false where
    /// nobody does that. The wait has no end of its own.
    pub async fn ask(&self, extension: Uuid) -> bool {
        if !self.is_kept.load(Ordering::Acquire) {
            return false;
        }
        let mut read = self.read.subscribe();
        let turn = {
            let mut asked = self.locked();
            asked.turn += 1;
            asked.extensions.insert(extension);
            asked.turn
        };
        self.bell.notify_one();
        read.wait_for(|read| *read >= turn).await.is_ok() && self.is_kept.load(Ordering::Acquire)
    }

    /// From here on whoever asks is answered by the caller, who waits for [`Renewal::rung`].
    pub fn keep(&self) -> Keeping<'_> {
        self.is_kept.store(true, Ordering::Release);
        Keeping(self)
    }

    /// Waits until somebody has asked.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Rings for those who could not be answered yet.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// What is asked for now; empty where nobody waits.
    pub fn wanted(&self) -> Wanted {
        let asked = self.locked();
        Wanted { turn: asked.turn, extensions: asked.extensions.iter().copied().collect() }
    }

    /// Says that the registry was looked at for those who had asked by then.
    pub fn answer(&self, wanted: &Wanted) {
        let mut asked = self.locked();
        if asked.turn == wanted.turn {
            asked.extensions.clear();
        }
        drop(asked);
        self.read.send_replace(wanted.turn);
    }

    /// Remembers what the tables were read as.
    pub fn remember(&self, extensions: &[Extension]) {
        let stamps = extensions.iter().map(|extension| (extension.id, extension.stamp())).collect();
        self.locked().stamps = stamps;
    }

    /// Whether any of `stamps` is another than when the tables were last read.
    pub fn is_news(&self, stamps: &[(Uuid, Stamp)]) -> bool {
        let asked = self.locked();
        stamps.iter().any(|(id, stamp)| asked.stamps.get(id) != Some(stamp))
    }

    fn locked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.is_kept.store(false, Ordering::Release);
        // Nobody reads any more, so nobody waits.
        self.0.read.send_replace(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn polled(future: std::pin::Pin<&mut impl Future<Output = bool>>) -> Poll<bool> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_asks_while_it_is_read_waits_for_the_next_reading() {
        let renewal = Renewal::default();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(polled(pin!(renewal.ask(one))), Poll::Ready(false), "nobody reads");
        let keeping = renewal.keep();
        let mut first = pin!(renewal.ask(one));
        let mut second = pin!(renewal.ask(one));
        assert_eq!(polled(first.as_mut()), Poll::Pending);
        assert_eq!(polled(second.as_mut()), Poll::Pending);
        let wanted = renewal.wanted();
        assert_eq!(wanted.extensions, [one]);
        let mut late = pin!(renewal.ask(other));
        assert_eq!(polled(late.as_mut()), Poll::Pending);
        renewal.answer(&wanted);
        assert_eq!(polled(first), Poll::Ready(true));
        assert_eq!(polled(second), Poll::Ready(true));
        assert_eq!(polled(late.as_mut()), Poll::Pending);
        assert!(renewal.wanted().extensions.contains(&other));
        drop(keeping);
        assert_eq!(polled(late), Poll::Ready(false), "who reads has gone");
    }
}
