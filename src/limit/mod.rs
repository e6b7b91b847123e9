//! Quotas: how many calls of a class pass, in layers, by governor's GCRA.
//!
//! The layers, in the order they are named and spent: **caller** (one caller within one install),
//! **function** (where it has a quota of its own), **install**, **extension** (all its installs). The
//! narrowest comes first because who refuses most must be cheapest and must not reach what others
//! share: all are looked at before any is spent, so a refused call spends nothing, and one that loses
//! a race for the last unit of a wide bucket has spent at most its own narrow ones.
//!
//! A bucket holds one point of time (when it will be full again) and knows no quota; the quota is
//! brought by each check. So an override is another policy handed to the same bucket: what was spent
//! stays spent, in proportion. `resolve` says which is in force, whenever the registry is read.
//!
//! [`shared`] counts the same in a Redis that several gateways share; else buckets are of one process.
//!
//! This room has not heard of HTTP or of tokens: the caller hands in keys and carries the
//! [`Decision`] away. Ask it only for installs that exist, or strangers fill its buckets.

mod bucket;
mod decision;
pub mod overrides;
mod policy;
pub mod resolve;
pub mod shared;
pub mod simulate;
#[cfg(test)]
mod tests;
pub mod traffic;

use std::hash::RandomState;

use governor::clock::{Clock, DefaultClock, Reference};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::Limits;
use crate::limit::bucket::{Buckets, Key};
use crate::limit::policy::Policy;

pub use crate::limit::decision::{Decision, Standing};
pub use crate::limit::policy::{Policies, Quotas};

/// What a function does, as far as its cost goes; each class has its own quotas and buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// One caller within one install.
    Caller,
    /// All callers of one function within one install.
    Function,
    /// All callers of one install.
    Install,
    /// All installs of one extension.
    Extension,
}

impl Layer {
    pub const ALL: [Layer; 4] = [Layer::Caller, Layer::Function, Layer::Install, Layer::Extension];

    /// The layer as headers, problems and metrics name its policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Layer::Caller => "caller",
            Layer::Function => "function",
            Layer::Install => "install",
            Layer::Extension => "extension",
        }
    }
}

/// What a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    Token,
    Key,
    Anonymous,
}

impl CallerKind {
    pub const ALL: [CallerKind; 3] = [CallerKind::Token, CallerKind::Key, CallerKind::Anonymous];

    pub const fn as_str(self) -> &'static str {
        match self {
            CallerKind::Token => "token",
            CallerKind::Key => "key",
            CallerKind::Anonymous => "anonymous",
        }
    }
}

/// Whose call it is. `caller` tells callers of one install apart and may be any well-mixed
/// number, such as a hash of the token's subject; callers that give the same one share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    pub caller: u128,
    pub kind: CallerKind,
    pub install: Uuid,
    pub extension: Uuid,
}

/// Every bucket of this process.
#[derive(Debug)]
pub struct Limiter<C: Clock = DefaultClock> {
    clock: C,
    /// The buckets' zero of time.
    epoch: C::Instant,
    hasher: RandomState,
    caller: Buckets,
    function: Buckets,
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
            hasher: RandomState::new(),
            caller: buckets(),
            function: buckets(),
            install: buckets(),
            extension: buckets(),
        }
    }

    /// Counts one call held to `quotas`, or says why not. Allocates only for a key not seen lately, never
    /// waits beyond one shard of one map, reads the clock once.
    pub fn check(&self, quotas: &Quotas, keys: &Keys) -> Decision {
        self.check_by(&quotas.of(keys.kind).layers, quotas, keys)
    }

    /// The same by one of so many equal parts of each quota, for a gateway that cannot ask the others.
    pub(crate) fn check_share(&self, quotas: &Quotas, keys: &Keys, nodes: u32) -> Decision {
        let layers = quotas.of(keys.kind).layers.map(|policy| policy.map(|policy| policy.share(nodes)));
        self.check_by(&layers, quotas, keys)
    }

    fn check_by(&self, layers: &[Option<Policy>; 4], quotas: &Quotas, keys: &Keys) -> Decision {
        if layers.iter().all(Option::is_none) {
            return Decision::uncounted(quotas.class);
        }
        let now_ns = self.now_ns();
        let mut places = [const { None }; 4];
        for ((place, policy), layer) in places.iter_mut().zip(layers).zip(Layer::ALL) {
            *place = policy.as_ref().map(|policy| self.place(layer, policy, quotas, keys, now_ns));
        }
        let refuses = |place: &Place<'_>| place.standing.refuses;
        let is_refused = places.iter().flatten().any(|place| place.policy.is_enforced() && refuses(place));
        let is_exceeded = places.iter().flatten().any(refuses);
        for place in places.iter_mut().flatten() {
            let is_enforced = place.policy.is_enforced();
            // What only watches counts as if it were enforced: a call that any layer has no room for spends none of it.
            if if is_enforced { !is_refused } else { !is_exceeded } {
                place.spend(now_ns);
                if is_enforced && refuses(place) {
                    break;
                }
            }
        }
        let standings = places.map(|place| place.map(|place| place.standing));
        Decision::new(quotas.class, standings, quotas.of(keys.kind).header.clone())
    }

    /// Drops the buckets that are full again, which no check can tell from new ones, and gives
    /// their memory back; answers how many are left. Locks one shard after the other, some tens
    /// of microseconds each, so it may run beside checks, but not on a thread that serves calls.
    pub fn sweep(&self) -> usize {
        let now_ns = self.now_ns();
        Layer::ALL.iter().map(|layer| self.of(*layer).sweep(now_ns)).sum()
    }

    /// How many buckets are held.
    pub fn buckets(&self) -> usize {
        Layer::ALL.iter().map(|layer| self.of(*layer).len()).sum()
    }

    fn place<'a>(&'a self, layer: Layer, policy: &'a Policy, quotas: &Quotas, keys: &Keys, now_ns: u64) -> Place<'a> {
        let (owner, part) = match layer {
            Layer::Caller => (keys.install, keys.caller),
            Layer::Function => (keys.install, quotas.function),
            Layer::Install => (keys.install, 0),
            Layer::Extension => (keys.extension, 0),
        };
        let key = Key::new(&self.hasher, quotas.class, owner, part);
        let buckets = self.of(layer);
        let (key, ahead_ns) = buckets.look(key, now_ns);
        Place { policy, buckets, key, standing: Standing::at(layer, policy, ahead_ns) }
    }

    fn of(&self, layer: Layer) -> &Buckets {
        match layer {
            Layer::Caller => &self.caller,
            Layer::Function => &self.function,
            Layer::Install => &self.install,
            Layer::Extension => &self.extension,
        }
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

impl Place<'_> {
    fn spend(&mut self, now_ns: u64) {
        let spent = self.buckets.spend(&self.key, self.policy, now_ns);
        let (Ok(ahead_ns) | Err(ahead_ns)) = spent;
        self.standing =
            Standing { refuses: spent.is_err(), ..Standing::at(self.standing.layer, self.policy, ahead_ns) };
    }
}
