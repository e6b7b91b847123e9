//! Lines that handlers logged and that are not yet in the database: `server` takes them there.
//!
//! A handler never waits for that. Where more is logged than the database takes, lines are lost, and
//! counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::record::lines::Line;

/// Lines that wait at once.
const LINES_MAX: usize = 10_000;

/// What waits, of all workers.
#[derive(Debug, Default)]
pub struct Lines {
    waiting: Mutex<Vec<Line>>,
    lost: AtomicU64,
}

impl Lines {
    pub(super) fn push(&self, line: Line) {
        let mut waiting = self.waiting();
        if waiting.len() < LINES_MAX {
            waiting.push(line);
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All that waits, in order, and how many were lost since the last time.
    pub fn take(&self) -> (Vec<Line>, u64) {
        (std::mem::take(&mut *self.waiting()), self.lost.swap(0, Ordering::Relaxed))
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Line>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn what_waits_has_a_maximum() {
        let lines = Lines::default();
        let line = Line {
            install_id: uuid::Uuid::nil(),
            at: std::time::UNIX_EPOCH,
            request_id: None,
            function: "f".to_owned(),
            level: "info".to_owned(),
            file: None,
            line: None,
            message: "a".to_owned(),
            attributes: None,
        };
        for _ in 0..LINES_MAX + 5 {
            lines.push(line.clone());
        }
        let (taken, lost) = lines.take();
        assert_eq!((taken.len(), lost), (LINES_MAX, 5));
        assert_eq!(lines.take(), (Vec::new(), 0));
    }
}
