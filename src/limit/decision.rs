//! What a check found: how each layer stands, and whether the call may go on.
//!
//! Carried through a call; it becomes a [`Failure`], and the value of
//! the `RateLimit` header, of draft-ietf-httpapi-ratelimit-headers (10), without knowing of HTTP.

use bytes::{BufMut, Bytes};

use crate::error::{Code, Failure};
use crate::limit::policy::{Policy, SECOND_NS, put_item, put_parameter};
use crate::limit::{Class, Layer};

/// How one layer stands after a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub layer: Layer,
    /// Calls that a full bucket holds.
    pub quota: u32,
    /// Seconds in which an empty bucket fills, rounded up.
    pub window_s: u32,
    /// Calls that would pass at once.
    pub remaining: u32,
    /// Seconds, rounded up: until the next call passes where none is left, else until all are back.
    pub reset_s: u32,
    /// Whether this layer had no room for the call.
    pub refuses: bool,
    /// Whether a call that it has no room for is refused.
    pub is_enforced: bool,
}

impl Standing {
    /// The standing of a bucket so far ahead of now, as the next call would find it.
    pub(crate) fn at(layer: Layer, policy: &Policy, ahead_ns: u64) -> Standing {
        let capacity_ns = policy.interval_ns * u64::from(policy.burst);
        let remaining = u32::try_from(capacity_ns.saturating_sub(ahead_ns) / policy.interval_ns).unwrap_or(u32::MAX);
        let reset_ns = match policy.quota {
            // Nothing is known of when an operator opens it; a window is a fair time to ask again.
            None => u64::from(policy.window_s) * SECOND_NS,
            Some(_) if remaining == 0 => ahead_ns.saturating_sub(policy.tolerance_ns()),
            Some(_) => ahead_ns,
        };
        Standing {
            layer,
            quota: policy.burst,
            window_s: policy.window_s,
            remaining,
            reset_s: u32::try_from(reset_ns.div_ceil(SECOND_NS)).unwrap_or(u32::MAX),
            refuses: remaining == 0,
            is_enforced: policy.is_enforced(),
        }
    }
}

/// What became of one call, and of layers in mode shadow what would have become of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    class: Class,
    /// In the order of [`Layer::ALL`]; `None` where nothing was counted.
    standings: [Option<Standing>; 4],
    policy: Option<Bytes>,
}

impl Decision {
    pub(crate) fn new(class: Class, standings: [Option<Standing>; 4], policy: Option<Bytes>) -> Decision {
        Decision { class, standings, policy }
    }

    pub(crate) fn uncounted(class: Class) -> Decision {
        Decision { class, standings: [None; 4], policy: None }
    }

    pub fn class(&self) -> Class {
        self.class
    }

    /// How each layer stands, narrowest first; none where limits are off.
    pub fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().flatten()
    }

    /// Whether the call must not go on.
    pub fn is_refused(&self) -> bool {
        self.violations().next().is_some()
    }

    /// Whether a quota was exceeded, refused or not: what metrics count.
    pub fn is_exceeded(&self) -> bool {
        self.standings().any(|standing| standing.refuses)
    }

    /// The value of `RateLimit-Policy`; `None` where nothing is enforced and so nothing should slow a client
    /// down.
    pub fn policy(&self) -> Option<&Bytes> {
        self.policy.as_ref()
    }

    /// The layers that refuse the call.
    pub fn violations(&self) -> impl Iterator<Item = &Standing> {
        self.standings().filter(|standing| standing.refuses && standing.is_enforced)
    }

    /// Seconds after which every layer that refused has room again, at least 1; `None` where none did.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.violations().map(|standing| u64::from(standing.reset_s.max(1))).max()
    }

    /// The failure of a refused call.
    pub fn failure(&self) -> Failure {
        let violated: Vec<&'static str> = self.violations().map(|standing| standing.layer.as_str()).collect();
        let retry_after_s = self.retry_after_s();
        let detail = format!(
            "the quota of `{}` calls is used up ({}); try again in {} s",
            self.class.as_str(),
            violated.join(", "),
            retry_after_s.unwrap_or(1),
        );
        let mut failure = Failure::new(Code::QuotaExceeded, detail);
        failure.retry_after_s = retry_after_s;
        failure.violated_policies = violated.into();
        failure
    }

    /// Appends the value of `RateLimit`, some 60 bytes, of the layers that are enforced.
    ///
    /// How much of an extension's quota is left is the traffic of other tenants, so that layer is
    /// told of only when it refuses.
    pub fn write_rate_limit(&self, out: &mut impl BufMut) {
        let told = |standing: &&Standing| match standing.layer {
            Layer::Caller | Layer::Function | Layer::Install => standing.is_enforced,
            Layer::Extension => standing.is_enforced && standing.refuses,
        };
        for (index, standing) in self.standings().filter(told).enumerate() {
            put_item(out, index == 0, standing.layer);
            put_parameter(out, b";r=", standing.remaining);
            put_parameter(out, b";t=", standing.reset_s);
        }
    }
}
