//! Whose turn it is: one extension's handlers never take all the connections of a worker that
//! transactions have, however long they run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::db::waits::Waits;
use crate::error::{Code, Failure};

/// Extensions that are remembered; beyond, those without a handler under way are forgotten.
const EXTENSIONS_MAX: usize = 256;

/// The handlers of one worker that hold a transaction, by extension.
#[derive(Debug)]
pub(in crate::gateway) struct Turns {
    each_max: usize,
    taken: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
    waits: Waits,
}

/// A handler's turn, until it is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Turn(#[allow(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

impl Turns {
    /// Of a worker with `connections_max` connections for transactions, of which one extension has half.
    pub(in crate::gateway) fn new(connections_max: usize) -> Turns {
        Turns { each_max: (connections_max / 2).max(1), taken: Mutex::default(), waits: Waits::default() }
    }

    /// Waits for one, until `deadline`.
    pub(super) async fn take(&self, extension: Uuid, deadline: Instant) -> Result<Turn, Failure> {
        let turns = self.of(extension);
        if let Ok(permit) = Arc::clone(&turns).try_acquire_owned() {
            return Ok(Turn(permit));
        }
        let _waiting = self.waits.begin();
        match timeout_at(deadline.into(), turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            Ok(Err(_)) | Err(_) => {
                self.waits.timed_out();
                let detail = "too many handlers of the extension are under way";
                Err(Failure::new(Code::Overloaded, detail).with_retry_after_s(1))
            }
        }
    }

    /// Who waits for a turn.
    pub(in crate::gateway) fn waits(&self) -> &Waits {
        &self.waits
    }

    fn of(&self, extension: Uuid) -> Arc<Semaphore> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= EXTENSIONS_MAX {
            // Whoever has a turn, or waits for one, holds the other half of the count.
            taken.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        Arc::clone(taken.entry(extension).or_insert_with(|| Arc::new(Semaphore::new(self.each_max))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn later() -> Instant {
        Instant::now() + std::time::Duration::from_secs(60)
    }

    #[tokio::test]
    async fn half_of_the_connections_are_left_to_others() {
        let (turns, one, other) = (Turns::new(4), Uuid::from_u128(1), Uuid::from_u128(2));
        let first = turns.take(one, later()).await.unwrap();
        let _second = turns.take(one, later()).await.unwrap();
        assert_eq!(turns.take(one, Instant::now()).await.unwrap_err().code, Code::Overloaded);
        turns.take(other, later()).await.unwrap();
        drop(first);
        turns.take(one, Instant::now()).await.unwrap();
    }

    #[tokio::test]
    async fn extensions_without_a_turn_are_forgotten() {
        let turns = Turns::new(1);
        let held = turns.take(Uuid::from_u128(0), later()).await.unwrap();
        for number in 1..1_000 {
            turns.take(Uuid::from_u128(number), later()).await.unwrap();
            assert!(turns.taken.lock().unwrap().len() <= EXTENSIONS_MAX);
        }
        assert!(turns.take(Uuid::from_u128(0), Instant::now()).await.is_err());
        drop(held);
        turns.take(Uuid::from_u128(0), later()).await.unwrap();
    }
}
