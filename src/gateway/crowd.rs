//! Who is refused when more is asked than can be done.
//!
//! Calls wait for a database in lanes, first come first served, so what a call will wait is known when it
//! comes: so many are ahead, and each of them has lately cost those behind it so much. A wait over the
//! target is let pass for a moment, since bursts end by themselves; one that stays has callers refused at
//! once. Then an extension may have as many calls under way as there is room left, and an install as many as
//! that leaves its extension: whoever asks for most is refused first, and who asks for little is not.
//!
//! While nobody waits too long this is a count and a product; nobody's share is counted before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{Code, Failure};

/// So few ahead in each place are no crowd, however slow they are.
const AHEAD_MIN: usize = 2;
/// A wait over the target that lasts for so long is no burst; where single calls take long, for as long as
/// eight of them take.
const BURST_NS: u64 = 100_000_000;
const BURST_CALLS: u64 = 8;
/// A crowd is over when nobody was refused for so long.
const HOLD_NS: u64 = 1_000_000_000;
/// One sample's weight in an average, and how much of an outlier is believed.
const WEIGHT: u64 = 16;
const OUTLIER: u64 = 8;
const OUTLIER_NS: u64 = 1_000_000;
/// How fast the least that a call takes is forgotten.
const FORGET: u64 = 256;
/// An extension that has nothing under way is let in beyond the room there is, up to so many times of it.
const STRANGERS: usize = 8;

/// The calls that wait for the same places.
#[derive(Debug)]
pub struct Crowd {
    /// How many are served at once.
    places: usize,
    target_ns: u64,
    /// A longer wait is refused, burst or not.
    wait_ns_max: u64,
    in_flight: AtomicUsize,
    /// What each call ahead costs, on average.
    each_ns: AtomicU64,
    /// What a call takes with nobody ahead, at least.
    alone_ns: AtomicU64,
    /// Since when whoever comes finds a wait over the target, and until when it is too crowded; 0 for not.
    crowded_ns: AtomicU64,
    full_until_ns: AtomicU64,
    /// Calls under way by extension and by install, of those that came since it is crowded.
    shares: Mutex<HashMap<Uuid, usize>>,
    refused: AtomicU64,
    /// Whether the log says so already.
    is_told: AtomicBool,
    origin: Instant,
}

/// Whose call it is.
#[derive(Debug, Clone, Copy)]
pub struct Whose {
    pub extension: Uuid,
    pub install: Uuid,
}

/// A call's place in the crowd, given back when dropped.
#[derive(Debug)]
pub struct Seat<'a> {
    crowd: &'a Crowd,
    /// How many were ahead in its place.
    ahead: usize,
    counted: Option<Whose>,
    /// Whether what it takes says anything of the places.
    is_timed: bool,
}

impl Crowd {
    /// Waits for one of `places` are to be no longer than `target`, and never longer than `wait_max`.
    pub fn new(places: usize, target: Duration, wait_max: Duration) -> Crowd {
        Crowd {
            places: places.max(1),
            target_ns: ns(target),
            wait_ns_max: ns(wait_max.max(target)),
            in_flight: AtomicUsize::new(0),
            each_ns: AtomicU64::new(0),
            alone_ns: AtomicU64::new(0),
            crowded_ns: AtomicU64::new(0),
            full_until_ns: AtomicU64::new(0),
            shares: Mutex::default(),
            refused: AtomicU64::new(0),
            is_told: AtomicBool::new(false),
            origin: Instant::now(),
        }
    }

    /// Lets a call in that came at `now`, or refuses it at once. Where the places are not there for now,
    /// `is_open` says so, and nothing is foretold.
    pub fn admit(&self, whose: Whose, now: Instant, is_open: impl FnOnce() -> bool) -> Result<Seat<'_>, Failure> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let ahead = before / self.places;
        let mut seat = Seat { crowd: self, ahead, counted: None, is_timed: true };
        let wait_ns = self.wait_ns(ahead);
        let is_short = ahead < AHEAD_MIN || wait_ns <= self.target_ns;
        if is_short && self.full_until_ns.load(Ordering::Relaxed) == 0 {
            if self.crowded_ns.load(Ordering::Relaxed) != 0 {
                self.crowded_ns.store(0, Ordering::Relaxed);
            }
            return Ok(seat);
        }
        if !is_open() {
            // What is foretold of a crowd that cannot move is worth nothing, and what it takes says nothing.
            self.crowded_ns.store(0, Ordering::Relaxed);
            seat.is_timed = false;
            return Ok(seat);
        }
        self.judge(
            seat,
            whose,
            before,
            if is_short { 0 } else { wait_ns },
            ns(now.saturating_duration_since(self.origin)),
        )
    }

    /// What whoever comes now waits, as far as it is known.
    pub fn wait(&self) -> Duration {
        Duration::from_nanos(self.wait_ns(self.in_flight.load(Ordering::Relaxed) / self.places))
    }

    /// How many calls were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn wait_ns(&self, ahead: usize) -> u64 {
        self.each_ns.load(Ordering::Relaxed).saturating_mul(ahead as u64)
    }

    /// `wait_ns` is 0 where the wait is short, as it is between refusals.
    #[cold]
    fn judge<'a>(
        &'a self,
        mut seat: Seat<'a>,
        whose: Whose,
        before: usize,
        wait_ns: u64,
        now_ns: u64,
    ) -> Result<Seat<'a>, Failure> {
        let now_ns = now_ns.max(1);
        let full_until_ns = self.full_until_ns.load(Ordering::Relaxed);
        let was_full = now_ns < full_until_ns;
        let mut shares = self.shares();
        if wait_ns == 0 {
            if !was_full {
                self.full_until_ns.store(0, Ordering::Relaxed);
                self.crowded_ns.store(0, Ordering::Relaxed);
                self.is_told.store(false, Ordering::Relaxed);
                return Ok(seat);
            }
        } else {
            let since_ns = match self.crowded_ns.load(Ordering::Relaxed) {
                0 => now_ns,
                since_ns => since_ns,
            };
            self.crowded_ns.store(since_ns, Ordering::Relaxed);
            let each_ns = self.each_ns.load(Ordering::Relaxed);
            let is_burst = now_ns.saturating_sub(since_ns) <= BURST_NS.max(each_ns.saturating_mul(BURST_CALLS));
            let is_full = was_full || !is_burst;
            if is_full {
                self.full_until_ns.store(now_ns + HOLD_NS, Ordering::Relaxed);
            }
            if wait_ns > self.wait_ns_max || (is_full && !self.has_room(&shares, whose, before)) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                if !self.is_told.swap(true, Ordering::Relaxed) {
                    tracing::warn!(wait_ms = wait_ns / 1_000_000, "more is asked than can be done; calls are refused");
                }
                let detail = "more is asked than the database can do at the moment";
                return Err(Failure::new(Code::Overloaded, detail).with_retry_after_s(1));
            }
        }
        *shares.entry(whose.extension).or_default() += 1;
        *shares.entry(whose.install).or_default() += 1;
        seat.counted = Some(whose);
        Ok(seat)
    }

    /// Whether there is room for one more call of that install, `before` others being under way.
    ///
    /// The thresholds are those of a shared buffer (Choudhury and Hahne, 1998): each may have as much as is
    /// left free. One alone has a third of it, so that there is always room for others.
    fn has_room(&self, shares: &HashMap<Uuid, usize>, whose: Whose, before: usize) -> bool {
        let each_ns = self.each_ns.load(Ordering::Relaxed).max(1);
        let waiting = usize::try_from(self.target_ns / each_ns).unwrap_or(usize::MAX).max(AHEAD_MIN);
        let room = waiting.saturating_mul(3).saturating_add(1).saturating_mul(self.places);
        let free = room.saturating_sub(before);
        let of = |id: &Uuid| shares.get(id).copied().unwrap_or(0);
        match of(&whose.extension) {
            0 => before < room.saturating_mul(STRANGERS),
            of_extension => of_extension < free && of(&whose.install) < free - of_extension,
        }
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes into account what a call took that had so many ahead.
    fn learn(&self, ahead: usize, took_ns: u64) {
        let alone_ns = self.alone_ns.load(Ordering::Relaxed);
        let Some(ahead) = std::num::NonZeroU64::new(ahead as u64) else {
            let least_ns =
                if alone_ns == 0 { took_ns } else { took_ns.min(alone_ns + took_ns.saturating_sub(alone_ns) / FORGET) };
            self.alone_ns.store(least_ns, Ordering::Relaxed);
            return;
        };
        let each_ns = self.each_ns.load(Ordering::Relaxed);
        let sample_ns = took_ns.saturating_sub(alone_ns) / ahead;
        // One slow call says little of the next; many do.
        let sample_ns = sample_ns.min(each_ns.saturating_mul(OUTLIER).saturating_add(OUTLIER_NS));
        let average_ns = (each_ns.saturating_mul(WEIGHT - 1).saturating_add(sample_ns)) / WEIGHT;
        self.each_ns.store(average_ns, Ordering::Relaxed);
    }
}

impl Seat<'_> {
    /// The call has ended, and took so long.
    pub fn end(self, took: Duration) {
        if self.is_timed {
            self.crowd.learn(self.ahead, ns(took));
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.crowd.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Some(whose) = self.counted else { return };
        let mut shares = self.crowd.shares();
        for id in [whose.extension, whose.install] {
            if let Some(count) = shares.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    shares.remove(&id);
                }
            }
        }
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
