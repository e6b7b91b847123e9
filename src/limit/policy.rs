//! Quotas as understood: each one's interval, burst and window, and what clients are told of it.
//!
//! Made by `limit::resolve` whenever the registry is read, for all installs that are held to the same;
//! a call looks up by class or by its function's place. Intervals are rounded up to whole
//! nanoseconds, so a quota never admits more than it says.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::config::limits::{NODES_MAX, REFILL_S_MAX};
use crate::config::{LimitMode, Quota};
use crate::limit::{CallerKind, Class, Layer};

const MINUTE_NS: u64 = 60_000_000_000;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// One quota of one layer and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Never [`LimitMode::Off`]: what is off has no policy.
    pub(crate) mode: LimitMode,
    /// `None` refuses every call.
    pub(crate) quota: Option<governor::Quota>,
    /// What one call costs, in time.
    pub(crate) interval_ns: u64,
    /// Calls that a full bucket holds.
    pub(crate) burst: u32,
    /// Seconds in which an empty bucket fills, rounded up.
    pub(crate) window_s: u32,
}

impl Policy {
    pub(crate) fn new(mode: LimitMode, written: Quota) -> Policy {
        let Some(per_minute) = NonZeroU32::new(written.per_minute) else {
            return Policy { mode, quota: None, interval_ns: MINUTE_NS, burst: 0, window_s: 60 };
        };
        let interval_ns = MINUTE_NS.div_ceil(u64::from(per_minute.get()));
        // What operators write is checked for both ends; quotas made elsewhere must not overflow either.
        let burst_max = u32::try_from(REFILL_S_MAX * SECOND_NS / interval_ns).unwrap_or(u32::MAX);
        let burst = written.burst.unwrap_or(written.per_minute).clamp(1, burst_max);
        let window_s = (interval_ns * u64::from(burst)).div_ceil(SECOND_NS);
        let quota = governor::Quota::with_period(Duration::from_nanos(interval_ns))
            .zip(NonZeroU32::new(burst))
            .map(|(quota, burst)| quota.allow_burst(burst));
        Policy { mode, quota, interval_ns, burst, window_s: u32::try_from(window_s).unwrap_or(u32::MAX) }
    }

    /// How far ahead of now a bucket may be and still admit a call (GCRA's tolerance).
    pub(crate) fn tolerance_ns(&self) -> u64 {
        self.interval_ns * u64::from(self.burst.saturating_sub(1))
    }

    /// One of so many equal parts, and at least one call of it.
    pub(crate) fn share(self, nodes: u32) -> Policy {
        let nodes = nodes.clamp(1, NODES_MAX);
        if nodes == 1 || self.quota.is_none() {
            return self;
        }
        self.with(self.interval_ns * u64::from(nodes), (self.burst / nodes).max(1))
    }

    /// In whole microseconds, rounded up.
    pub(crate) fn in_micros(self) -> Policy {
        self.with(self.interval_ns.div_ceil(1_000) * 1_000, self.burst)
    }

    fn with(self, interval_ns: u64, burst: u32) -> Policy {
        let quota = governor::Quota::with_period(Duration::from_nanos(interval_ns))
            .zip(NonZeroU32::new(burst))
            .map(|(quota, burst)| quota.allow_burst(burst));
        Policy { quota: self.quota.and(quota), interval_ns, burst, ..self }
    }

    pub(crate) fn is_enforced(&self) -> bool {
        match self.mode {
            LimitMode::Enforce => true,
            LimitMode::Shadow | LimitMode::Off => false,
        }
    }
}

/// What the calls of a class, or of one function, are held to.
#[derive(Debug, PartialEq, Eq)]
pub struct Quotas {
    pub(crate) class: Class,
    /// Tells the function's buckets apart from those of other functions; 0 where it has none.
    pub(crate) function: u128,
    token: Row,
    key: Row,
    anonymous: Row,
}

/// What one kind of caller is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// In the order of [`Layer::ALL`]; `None` where a layer is off, or not there.
    pub(crate) layers: [Option<Policy>; 4],
    /// What clients are told of the layers that are enforced; `None` where none is.
    pub(crate) header: Option<Bytes>,
}

impl Quotas {
    pub(crate) fn new(class: Class, function: u128, layers: impl Fn(CallerKind) -> [Option<Policy>; 4]) -> Quotas {
        let [token, key, anonymous] = CallerKind::ALL.map(|kind| {
            let layers = layers(kind);
            Row { header: header(&layers), layers }
        });
        Quotas { class, function, token, key, anonymous }
    }

    pub(crate) fn of(&self, kind: CallerKind) -> &Row {
        match kind {
            CallerKind::Token => &self.token,
            CallerKind::Key => &self.key,
            CallerKind::Anonymous => &self.anonymous,
        }
    }

    pub fn class(&self) -> Class {
        self.class
    }
}

/// Everything that the calls of an install are held to.
#[derive(Debug, PartialEq, Eq)]
pub struct Policies {
    pub(crate) query_rows: Quotas,
    pub(crate) write_rows: Quotas,
    pub(crate) query: Quotas,
    pub(crate) mutation: Quotas,
    pub(crate) action: Quotas,
    /// By the function's place; those that have a quota of their own.
    pub(crate) functions: Box<[Option<Box<Quotas>>]>,
}

impl Policies {
    /// What a function of this class is held to, by its place among those of its extension.
    pub fn of(&self, class: Class, place: usize) -> &Quotas {
        if let Some(Some(own)) = self.functions.get(place) {
            return own;
        }
        match class {
            Class::QueryRows => &self.query_rows,
            Class::WriteRows => &self.write_rows,
            Class::Query => &self.query,
            Class::Mutation => &self.mutation,
            Class::Action => &self.action,
        }
    }
}

/// Starts an item of a structured list (RFC 9651), named as the layer.
pub(crate) fn put_item(out: &mut impl BufMut, first: bool, layer: Layer) {
    out.put_slice(if first { b"\"" } else { b", \"" });
    out.put_slice(layer.as_str().as_bytes());
    out.put_slice(b"\"");
}

/// Writes an integer parameter of an item; `name` comes with its punctuation, such as `;q=`.
pub(crate) fn put_parameter(out: &mut impl BufMut, name: &[u8], value: u32) {
    out.put_slice(name);
    out.put_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// `q` is the burst and `w` the seconds in which it is there again: the pair that a bucket of
/// this kind keeps exactly, and that `r` never exceeds.
fn header(layers: &[Option<Policy>; 4]) -> Option<Bytes> {
    let mut out = BytesMut::new();
    for (layer, policy) in Layer::ALL.into_iter().zip(layers) {
        let Some(policy) = policy.as_ref().filter(|policy| policy.is_enforced()) else { continue };
        let is_first = out.is_empty();
        put_item(&mut out, is_first, layer);
        put_parameter(&mut out, b";q=", policy.burst);
        put_parameter(&mut out, b";w=", policy.window_s);
    }
    (!out.is_empty()).then(|| out.freeze())
}
