//! Who waits for a place among connections, and how many gave up: what a scrape is told.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The count of one pool.
#[derive(Debug, Default)]
pub struct Waits {
    waiting: AtomicUsize,
    timeouts: AtomicU64,
}

/// One who waits, until dropped.
pub struct Waiting<'a>(&'a Waits);

impl Waits {
    /// Somebody begins to wait.
    pub fn begin(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// Somebody has waited in vain.
    pub fn timed_out(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many have waited in vain, ever.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
