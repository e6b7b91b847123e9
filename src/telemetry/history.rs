//! What calls came to over the last hours, by extension and by install, in memory: what the
//! operators' page draws. Each gateway remembers its own.
//!
//! A sample is taken every few seconds from counts that are kept anyway; a point is what has grown
//! since the one before, of those alone that were called. Nothing of a call is waited for here.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use uuid::Uuid;

use crate::error::Code;
use crate::problem;

/// Between two samples.
pub const STEP: Duration = Duration::from_secs(10);
/// As many points as there are in six hours.
const POINTS_MAX: usize = 2_160;
/// Extensions, and installs, that one point tells of; those that were called most.
const EACH_MAX: usize = 200;

/// What calls came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    pub answered: u64,
    /// Over a rate limit.
    pub limited: u64,
    /// Refused for something else that their caller did.
    pub refused: u64,
    /// By no fault of their caller.
    pub failed: u64,
}

/// The count of one install.
#[derive(Debug, Default)]
pub struct Traffic {
    answered: AtomicU64,
    limited: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

/// What was counted within one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub at: SystemTime,
    pub extensions: Vec<(Uuid, Tally)>,
    pub installs: Vec<(Uuid, Tally)>,
}

/// The last hours.
#[derive(Debug, Default)]
pub struct History {
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    points: VecDeque<Point>,
    extensions: HashMap<Uuid, Tally>,
    installs: HashMap<Uuid, Tally>,
}

impl Tally {
    pub fn total(self) -> u64 {
        self.answered + self.limited + self.refused + self.failed
    }

    /// Adds calls that came to `code`.
    pub fn add_failed(&mut self, code: Code, count: u64) {
        match kind(code) {
            Kind::Limited => self.limited += count,
            Kind::Refused => self.refused += count,
            Kind::Failed => self.failed += count,
        }
    }

    #[must_use]
    pub fn and(self, other: Tally) -> Tally {
        Tally {
            answered: self.answered + other.answered,
            limited: self.limited + other.limited,
            refused: self.refused + other.refused,
            failed: self.failed + other.failed,
        }
    }

    fn since(self, before: Tally) -> Tally {
        Tally {
            answered: self.answered.saturating_sub(before.answered),
            limited: self.limited.saturating_sub(before.limited),
            refused: self.refused.saturating_sub(before.refused),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

enum Kind {
    Limited,
    Refused,
    Failed,
}

fn kind(code: Code) -> Kind {
    if code == Code::QuotaExceeded {
        Kind::Limited
    } else if problem::status(code).0.is_server_error() {
        Kind::Failed
    } else {
        Kind::Refused
    }
}

impl Traffic {
    pub fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    pub fn failed(&self, code: Code) {
        let count = match kind(code) {
            Kind::Limited => &self.limited,
            Kind::Refused => &self.refused,
            Kind::Failed => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn tally(&self) -> Tally {
        let [answered, limited, refused, failed] =
            [&self.answered, &self.limited, &self.refused, &self.failed].map(|count| count.load(Ordering::Relaxed));
        Tally { answered, limited, refused, failed }
    }
}

impl History {
    /// Remembers what has grown since the last sample.
    pub fn sample(
        &self,
        at: SystemTime,
        extensions: impl IntoIterator<Item = (Uuid, Tally)>,
        installs: impl IntoIterator<Item = (Uuid, Tally)>,
    ) {
        let mut remembered = self.remembered();
        let extensions = grown(&mut remembered.extensions, extensions);
        let installs = grown(&mut remembered.installs, installs);
        if remembered.points.len() == POINTS_MAX {
            remembered.points.pop_front();
        }
        remembered.points.push_back(Point { at, extensions, installs });
    }

    /// The points since `from`, so many of them put together that there are no more than `points_max`.
    pub fn points(&self, from: SystemTime, points_max: usize) -> Vec<Point> {
        let remembered = self.remembered();
        let points: Vec<&Point> = remembered.points.iter().filter(|point| point.at >= from).collect();
        let each = points.len().div_ceil(points_max.max(1)).max(1);
        points.chunks(each).filter_map(together).collect()
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn together(points: &[&Point]) -> Option<Point> {
    let at = points.last()?.at;
    let sum = |of: fn(&Point) -> &Vec<(Uuid, Tally)>| {
        let mut sums: HashMap<Uuid, Tally> = HashMap::new();
        for (id, tally) in points.iter().flat_map(|point| of(point)) {
            let sum = sums.entry(*id).or_default();
            *sum = sum.and(*tally);
        }
        most(sums.into_iter().collect())
    };
    Some(Point { at, extensions: sum(|point| &point.extensions), installs: sum(|point| &point.installs) })
}

fn grown(before: &mut HashMap<Uuid, Tally>, now: impl IntoIterator<Item = (Uuid, Tally)>) -> Vec<(Uuid, Tally)> {
    let mut next = HashMap::new();
    let mut grown = Vec::new();
    for (id, tally) in now {
        let more = tally.since(before.get(&id).copied().unwrap_or_default());
        if more.total() > 0 {
            grown.push((id, more));
        }
        next.insert(id, tally);
    }
    *before = next;
    most(grown)
}

fn most(mut tallies: Vec<(Uuid, Tally)>) -> Vec<(Uuid, Tally)> {
    tallies.sort_by_key(|(id, tally)| (std::cmp::Reverse(tally.total()), *id));
    tallies.truncate(EACH_MAX);
    tallies
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn points_are_what_has_grown_and_have_a_maximum() {
        let (history, one, other) = (History::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let traffic = Traffic::default();
        let at = |second: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        for second in 0..(POINTS_MAX as u64 + 10) {
            traffic.answered();
            traffic.failed(Code::QuotaExceeded);
            history.sample(at(second), [(one, traffic.tally()), (other, Tally::default())], []);
        }
        let points = history.points(at(0), usize::MAX);
        assert_eq!((points.len(), points[0].at), (POINTS_MAX, at(10)));
        let each = Tally { answered: 1, limited: 1, ..Tally::default() };
        assert!(points.iter().all(|point| point.extensions == [(one, each)]), "who was not called is not told of");
        let coarse = history.points(at(0), 100);
        assert!(coarse.len() <= 100);
        let answered: u64 = coarse.iter().map(|point| point.extensions[0].1.answered).sum();
        assert_eq!(answered, POINTS_MAX as u64);
        // Somebody who is gone and comes back begins anew.
        history.sample(at(9_000), [], []);
        history.sample(at(9_001), [(one, each)], []);
        assert_eq!(history.points(at(9_001), 1)[0].extensions, [(one, each)]);
    }

    #[test]
    fn failures_are_told_apart() {
        let traffic = Traffic::default();
        for code in [Code::QuotaExceeded, Code::RowNotFound, Code::StatementTimeout] {
            traffic.failed(code);
        }
        assert_eq!(traffic.tally(), Tally { answered: 0, limited: 1, refused: 1, failed: 1 });
    }
}
