//! Quotas as understood: each one's interval, burst and window, and what clients are told of it.
//!
//! From `config`, once at start. Intervals are rounded up to whole nanoseconds, so a quota never
//! admits more than it says.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::config::limits::REFILL_S_MAX;
use crate::config::{Classes, Limits, Quota};
use crate::limit::{Class, Layer};

const MINUTE_NS: u64 = 60_000_000_000;
pub(crate) const SECOND_NS: u64 = 1_000_000_000;

/// One quota of one layer and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
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
    pub(crate) fn new(written: Quota) -> Policy {
        let Some(per_minute) = NonZeroU32::new(written.per_minute) else {
            return Policy { quota: None, interval_ns: MINUTE_NS, burst: 0, window_s: 60 };
        };
        let interval_ns = MINUTE_NS.div_ceil(u64::from(per_minute.get()));
        // Configuration is checked for both ends; quotas made elsewhere must not overflow either.
        let burst_max = u32::try_from(REFILL_S_MAX * SECOND_NS / interval_ns).unwrap_or(u32::MAX);
        let burst = written.burst.unwrap_or(written.per_minute).clamp(1, burst_max);
        let window_s = (interval_ns * u64::from(burst)).div_ceil(SECOND_NS);
        let quota = governor::Quota::with_period(Duration::from_nanos(interval_ns))
            .zip(NonZeroU32::new(burst))
            .map(|(quota, burst)| quota.allow_burst(burst));
        Policy { quota, interval_ns, burst, window_s: u32::try_from(window_s).unwrap_or(u32::MAX) }
    }

    /// How far ahead of now a bucket may be and still admit a call (GCRA's tolerance).
    pub(crate) fn tolerance_ns(&self) -> u64 {
        self.interval_ns * u64::from(self.burst.saturating_sub(1))
    }
}

/// Every policy, by class and layer, with the header that tells of them.
#[derive(Debug)]
pub(crate) struct Policies {
    query_rows: ClassPolicies,
    write_rows: ClassPolicies,
    query: ClassPolicies,
    mutation: ClassPolicies,
    action: ClassPolicies,
}

#[derive(Debug)]
struct ClassPolicies {
    /// In the order of [`Layer::ALL`].
    layers: [Policy; 3],
    header: Bytes,
}

impl Policies {
    pub(crate) fn new(limits: &Limits) -> Policies {
        let of = |quota: fn(&Classes) -> Quota| {
            let layers =
                [&limits.caller, &limits.install, &limits.extension].map(|classes| Policy::new(quota(classes)));
            ClassPolicies { header: header(&layers), layers }
        };
        Policies {
            query_rows: of(|classes| classes.query_rows),
            write_rows: of(|classes| classes.write_rows),
            query: of(|classes| classes.query),
            mutation: of(|classes| classes.mutation),
            action: of(|classes| classes.action),
        }
    }

    /// The policies of a class in the order of [`Layer::ALL`].
    pub(crate) fn of(&self, class: Class) -> &[Policy; 3] {
        &self.class(class).layers
    }

    pub(crate) fn header(&self, class: Class) -> &Bytes {
        &self.class(class).header
    }

    fn class(&self, class: Class) -> &ClassPolicies {
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
fn header(layers: &[Policy; 3]) -> Bytes {
    let mut out = BytesMut::new();
    for (index, (layer, policy)) in Layer::ALL.into_iter().zip(layers).enumerate() {
        put_item(&mut out, index == 0, layer);
        put_parameter(&mut out, b";q=", policy.burst);
        put_parameter(&mut out, b";w=", policy.window_s);
    }
    out.freeze()
}
