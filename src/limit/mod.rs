//! Quotas: how many calls of a class pass, in three layers, by governor's GCRA.
//!
//! The layers, in the order they are named and spent: **caller** (one caller within one install),
//! **install**, **extension** (all its installs). The narrowest comes first because who refuses
//! most must be cheapest and must not reach what others share: all three are looked at before any
//! is spent, so a refused call spends nothing, and one that loses a race for the last unit of a
//! wide bucket has spent at most its own narrow ones.
//!
//! A bucket holds one point of time (when it will be full again) and knows no quota; the quota is
//! brought by each check. So an override for an extension, install, function or plan is another
//! [`Policy`] handed to the same bucket: what was spent stays spent, in proportion. A function
//! with a quota of its own needs one more layer with the function in its [`Key`], nothing else.
//!
//! This room has not heard of HTTP or of tokens: the caller hands in keys and carries the
//! [`Decision`] away. Ask it only for installs that exist, or strangers fill its buckets.

mod bucket;
mod decision;
mod policy;
#[cfg(test)]
mod tests;

use std::hash::RandomState;

use bytes::Bytes;
use governor::clock::{Clock, DefaultClock, Reference};
use uuid::Uuid;

use crate::config::{LimitMode, Limits};
use crate::limit::bucket::{Buckets, Key};
use crate::limit::policy::{Policies, Policy};

pub use crate::limit::decision::{Decision, Standing};

/// What a function does, as far as its cost goes; each class has its own quotas and buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Declarative functions that read rows.
    QueryRows,
    /// Declarative functions that write rows.
    WriteRows,
    /// Handlers that read.
    Query,
    /// Handlers that write.
    Mutation,
    /// Handlers that reach outside.
    Action,
}

impl Class {
    pub const ALL: [Class; 5] = [Class::QueryRows, Class::WriteRows, Class::Query, Class::Mutation, Class::Action];

    /// The class as configuration and metrics name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::QueryRows => "query_rows",
            Class::WriteRows => "write_rows",
            Class::Query => "query",
            Class::Mutation => "mutation",
            Class::Action => "action",
        }
    }
}

/// Whose calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// One caller within one install.
    Caller,
    /// All callers of one install.
    Install,
    /// All installs of one extension.
    Extension,
}

impl Layer {
    pub const ALL: [Layer; 3] = [Layer::Caller, Layer::Install, Layer::Extension];

    /// The layer as headers, problems and metrics name its policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Layer::Caller => "caller",
            Layer::Install => "install",
            Layer::Extension => "extension",
        }
    }
}

/// Whose call it is. `caller` tells callers of one install apart and may be any well-mixed
/// number, such as a hash of the token's subject; callers that give the same one share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    pub caller: u128,
    pub install: Uuid,
    pub extension: Uuid,
}

/// Every bucket of this process and the policies they are held against.
#[derive(Debug)]
pub struct Limiter<C: Clock = DefaultClock> {
    clock: C,
    /// The buckets' zero of time.
    epoch: C::Instant,
    mode: LimitMode,
    policies: Policies,
    hasher: RandomState,
    caller: Buckets,
    install: Buckets,
    extension: Buckets,
}

impl Limiter {
    /// A limiter of full buckets on the machine's monotonic clock.
    pub fn new(limits: &Limits) -> Self {
        Limiter::with_clock(limits, DefaultClock::default())
    }
}

impl<C: Clock> Limiter<C> {
    /// A limiter of full buckets on a given clock.
    pub fn with_clock(limits: &Limits, clock: C) -> Self {
        let buckets = || Buckets::new(limits.buckets_max);
        Limiter {
            epoch: clock.now(),
            clock,
            mode: limits.mode,
            policies: Policies::new(limits),
            hasher: RandomState::new(),
            caller: buckets(),
            install: buckets(),
            extension: buckets(),
        }
    }

    /// Counts one call, or says why not. Allocates only for a key not seen lately, never waits
    /// beyond one shard of one map, reads the clock once.
    pub fn check(&self, class: Class, keys: &Keys) -> Decision {
        if self.mode == LimitMode::Off {
            return Decision::uncounted(class);
        }
        let now_ns = self.now_ns();
        let [on_caller, on_install, on_extension] = self.policies.of(class).each_ref();
        let key = |owner, caller| Key::new(&self.hasher, class, owner, caller);
        let mut places = [
            Place::find(Layer::Caller, on_caller, &self.caller, key(keys.install, keys.caller), now_ns),
            Place::find(Layer::Install, on_install, &self.install, key(keys.install, 0), now_ns),
            Place::find(Layer::Extension, on_extension, &self.extension, key(keys.extension, 0), now_ns),
        ];
        if places.iter().all(|place| !place.standing.refuses) {
            for place in &mut places {
                place.spend(now_ns);
                if place.standing.refuses {
                    break;
                }
            }
        }
        Decision::new(class, self.mode, places.map(|place| place.standing))
    }

    /// The value of `RateLimit-Policy` for every call of a class, made at start; `None` where
    /// nothing is enforced and so nothing should slow a client down.
    pub fn policy_header(&self, class: Class) -> Option<&Bytes> {
        match self.mode {
            LimitMode::Enforce => Some(self.policies.header(class)),
            LimitMode::Shadow | LimitMode::Off => None,
        }
    }

    /// Drops the buckets that are full again, which no check can tell from new ones, and gives
    /// their memory back; answers how many are left. Locks one shard after the other, some tens
    /// of microseconds each, so it may run beside checks, but not on a thread that serves calls.
    pub fn sweep(&self) -> usize {
        let now_ns = self.now_ns();
        self.caller.sweep(now_ns) + self.install.sweep(now_ns) + self.extension.sweep(now_ns)
    }

    /// How many buckets are held.
    pub fn buckets(&self) -> usize {
        self.caller.len() + self.install.len() + self.extension.len()
    }

    fn now_ns(&self) -> u64 {
        self.clock.now().duration_since(self.epoch).as_u64()
    }
}

/// One layer's part of one check.
struct Place<'a> {
    policy: &'a Policy,
    buckets: &'a Buckets,
    key: Key,
    standing: Standing,
}

impl<'a> Place<'a> {
    fn find(layer: Layer, policy: &'a Policy, buckets: &'a Buckets, key: Key, now_ns: u64) -> Self {
        let (key, ahead_ns) = buckets.look(key, now_ns);
        Place { policy, buckets, key, standing: Standing::at(layer, policy, ahead_ns) }
    }

    fn spend(&mut self, now_ns: u64) {
        let spent = self.buckets.spend(&self.key, self.policy, now_ns);
        let (Ok(ahead_ns) | Err(ahead_ns)) = spent;
        self.standing =
            Standing { refuses: spent.is_err(), ..Standing::at(self.standing.layer, self.policy, ahead_ns) };
    }
}
