//! Buckets: for each key the time at which it will be full again, in governor's sharded map.
//!
//! governor binds a map to one quota and one starting time; here both are handed in. Its
//! algorithm runs on each check with *now* as its zero of time, over a store that keeps times
//! since the limiter's start, so a bucket outlives every change of its quota.

use std::cell::Cell;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{NotKeyed, StateStore};
use uuid::Uuid;

use crate::limit::Class;
use crate::limit::policy::Policy;

/// So that a sweep of 1,000,000 buckets holds each lock for some 4,000 of them.
const SHARDS: usize = 256;

/// Which bucket of a layer, with its hash: a check looks each key up twice and hashes it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    hash: u64,
    /// An install or an extension.
    owner: Uuid,
    /// Bytes, because a `u128` would widen the map's entries by its alignment.
    caller: [u8; 16],
    class: Class,
}

impl Key {
    /// `hasher` is keyed at random, because strangers choose the subjects that callers are told
    /// apart by; one limiter uses the same for all its keys.
    pub(crate) fn new(hasher: &RandomState, class: Class, owner: Uuid, caller: u128) -> Key {
        let caller = caller.to_ne_bytes();
        let mut state = hasher.build_hasher();
        state.write(owner.as_bytes());
        state.write(&caller);
        class.hash(&mut state);
        Key { hash: state.finish(), owner, caller, class }
    }

    /// The bucket shared by those for whom there is no room.
    fn newcomers(class: Class) -> Key {
        Key { hash: 0, owner: Uuid::max(), caller: [u8::MAX; 16], class }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Takes a [`Key`]'s hash as it is.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    // Not reached: a key writes one `u64`.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

/// One layer's buckets.
#[derive(Debug)]
pub(crate) struct Buckets {
    map: DashMapStateStore<Key, BuildHasherDefault<Hashed>>,
    /// About `map.len()`, which would lock every shard. Exact after each sweep; two checks of one
    /// new key may count it twice, which errs towards fewer buckets.
    held: AtomicUsize,
    held_max: usize,
}

impl Buckets {
    pub(crate) fn new(held_max: usize) -> Buckets {
        let map = DashMapStateStore::with_hasher_and_shard_amount(BuildHasherDefault::default(), SHARDS);
        Buckets { map, held: AtomicUsize::new(0), held_max }
    }

    /// How far ahead of now the key's bucket is (0 when full), and the key that is counted:
    /// another than the one given when there is no room for a new one. Changes nothing.
    pub(crate) fn look(&self, key: Key, now_ns: u64) -> (Key, u64) {
        if let Some(ahead_ns) = self.ahead_ns(&key, now_ns) {
            return (key, ahead_ns);
        }
        if self.held.load(Ordering::Relaxed) < self.held_max {
            return (key, 0);
        }
        let shared = Key::newcomers(key.class);
        (shared, self.ahead_ns(&shared, now_ns).unwrap_or(0))
    }

    /// Takes one call out of the bucket, unless that would be more than the policy grants;
    /// answers how far ahead of now the bucket is then.
    pub(crate) fn spend(&self, key: &Key, policy: &Policy, now_ns: u64) -> Result<u64, u64> {
        let Some(quota) = policy.quota else { return Err(0) };
        let store = Moment { buckets: self, now_ns, ahead_ns: Cell::new(0) };
        let limiter = RateLimiter::<Key, _, _, NoOpMiddleware<Nanos>>::new(quota, store, Now);
        let admitted = limiter.check_key(key);
        let ahead_ns = limiter.into_state_store().ahead_ns.get();
        if admitted.is_ok() { Ok(ahead_ns) } else { Err(ahead_ns) }
    }

    /// Drops the full buckets and gives their memory back; answers how many are left.
    pub(crate) fn sweep(&self, now_ns: u64) -> usize {
        self.map.retain_recent(Nanos::new(now_ns));
        self.map.shrink_to_fit();
        let held = self.map.len();
        self.held.store(held, Ordering::Relaxed);
        held
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Entries that memory is held for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.map.capacity()
    }

    fn ahead_ns(&self, key: &Key, now_ns: u64) -> Option<u64> {
        let bucket = self.map.get(key)?;
        // An error leaves the bucket as it is, and carries its time out.
        let full_at = bucket.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>);
        Some(full_at.err().flatten().map_or(0, |full_at| full_at.as_u64().saturating_sub(now_ns)))
    }
}

/// The buckets as governor sees them at one moment: times counted from it.
struct Moment<'a> {
    buckets: &'a Buckets,
    now_ns: u64,
    /// How far ahead the bucket was left.
    ahead_ns: Cell<u64>,
}

impl StateStore for Moment<'_> {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let now = Nanos::new(self.now_ns);
        let new = Cell::new(false);
        let measured = self.buckets.map.measure_and_replace(key, |full_at| {
            new.set(full_at.is_none());
            let ahead = full_at.map(|full_at| full_at.saturating_sub(now));
            self.ahead_ns.set(ahead.map_or(0, Nanos::as_u64));
            let (outcome, ahead) = measure(ahead)?;
            self.ahead_ns.set(ahead.as_u64());
            Ok((outcome, now + ahead))
        });
        if new.get() {
            self.buckets.held.fetch_add(1, Ordering::Relaxed);
        }
        measured
    }
}

/// A clock that stands at zero: governor's times are then distances from now.
struct Now;

impl Clock for Now {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(0)
    }
}
