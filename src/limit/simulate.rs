//! Recorded traffic held to other limits: the limiter's own code on a clock that replays it.
//!
//! Seconds come in order, all callers of one before the next; the calls of a second are made at its
//! beginning. Who asks is resolved by `held`, which knows what an install would be held to.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::config::{Limits, Quota};
use crate::limit::policy::Quotas;
use crate::limit::traffic::{Asker, Second};
use crate::limit::{CallerKind, Class, Keys, Layer, Limiter};

/// Those that were refused most are told of.
const TOLD_MAX: usize = 100;
/// A quota that holds any minute of calls is one that nobody meets.
const MINUTE_S: u64 = 60;
const MINUTE_NS: u64 = 60_000_000_000;

/// What an install's calls would be held to.
pub struct Held<'a> {
    pub extension_id: Uuid,
    pub quotas: &'a Quotas,
}

/// Who would have been refused, beside what really happened.
#[derive(Debug, Clone, PartialEq, Serialize, Default, JsonSchema)]
pub struct Report {
    pub calls: u64,
    /// As it really was.
    pub refused_then: u64,
    /// As it would have been.
    pub refused: u64,
    /// Calls of installs that are not there any more, which were not replayed.
    pub unknown: u64,
    pub callers: u64,
    pub callers_refused: u64,
    /// Those that would have been refused most often, the most first.
    pub most_refused: Vec<Refused>,
}

/// One caller of one class who would have been refused.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Refused {
    pub install_id: Uuid,
    pub caller: CallerKind,
    /// Tells callers of an install apart, and names nobody.
    pub caller_number: String,
    pub class: Class,
    pub calls: u64,
    pub refused_then: u64,
    pub refused: u64,
    /// By layer.
    pub by: BTreeMap<&'static str, u64>,
    pub first_s: u64,
    pub last_s: u64,
}

/// A quota under which so many of all buckets of a layer would have refused nothing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Fitted {
    pub layer: Layer,
    pub class: Class,
    pub per_minute: u32,
    /// Buckets that were asked of.
    pub buckets: usize,
}

/// Replays seconds in order.
pub struct Replay {
    limiter: Limiter<FakeRelativeClock>,
    clock: FakeRelativeClock,
    now_s: u64,
    report: Report,
    who: HashMap<(Uuid, u128, CallerKind, Class), Refused>,
    needs: HashMap<(Layer, Class, Uuid, u128), Need>,
}

/// The most calls of any minute, and the seconds of the last one.
#[derive(Default)]
struct Need {
    recent: std::collections::VecDeque<(u64, u64)>,
    recent_calls: u64,
    most: u64,
}

impl Replay {
    pub fn new(limits: &Limits) -> Replay {
        let clock = FakeRelativeClock::default();
        Replay {
            limiter: Limiter::with_clock(limits, clock.clone()),
            clock,
            now_s: 0,
            report: Report::default(),
            who: HashMap::new(),
            needs: HashMap::new(),
        }
    }

    /// What one asker did in one second; `None` for `held` where its install is not there.
    pub fn second(&mut self, asker: &Asker, second: &Second, held: Option<&Held<'_>>) {
        if self.now_s == 0 {
            self.now_s = second.at_s;
        }
        if second.at_s > self.now_s {
            self.clock.advance(Duration::from_secs(second.at_s - self.now_s));
            if second.at_s / MINUTE_S > self.now_s / MINUTE_S {
                self.limiter.sweep();
            }
            self.now_s = second.at_s;
        }
        let Some(held) = held else {
            self.report.unknown += u64::from(second.asked);
            return;
        };
        self.need(asker, second, held.extension_id);
        let keys =
            Keys { caller: asker.caller, kind: asker.kind, install: asker.install_id, extension: held.extension_id };
        let who =
            self.who.entry((asker.install_id, asker.caller, asker.kind, asker.class)).or_insert_with(|| Refused {
                install_id: asker.install_id,
                caller: asker.kind,
                caller_number: format!("{:032x}", asker.caller),
                class: asker.class,
                calls: 0,
                refused_then: 0,
                refused: 0,
                by: BTreeMap::new(),
                first_s: 0,
                last_s: 0,
            });
        who.calls += u64::from(second.asked);
        who.refused_then += u64::from(second.refused);
        for _ in 0..second.asked {
            let decision = self.limiter.check(held.quotas, &keys);
            if !decision.is_refused() {
                continue;
            }
            if who.refused == 0 {
                who.first_s = second.at_s;
            }
            who.refused += 1;
            who.last_s = second.at_s;
            for standing in decision.violations() {
                *who.by.entry(standing.layer.as_str()).or_default() += 1;
            }
        }
    }

    /// What came of it.
    pub fn report(&self) -> Report {
        let mut report = self.report.clone();
        report.callers = self.who.len() as u64;
        for who in self.who.values() {
            report.calls += who.calls;
            report.refused_then += who.refused_then;
            report.refused += who.refused;
            report.callers_refused += u64::from(who.refused > 0);
        }
        let mut most: Vec<Refused> = self.who.values().filter(|who| who.refused > 0).cloned().collect();
        most.sort_by(|a, b| {
            let of =
                |who: &Refused| (std::cmp::Reverse(who.refused), who.install_id, who.caller_number.clone(), who.class);
            of(a).cmp(&of(b))
        });
        most.truncate(TOLD_MAX);
        report.most_refused = most;
        report
    }

    /// For each layer and class the tightest quota that would have refused nothing to `percent` of its buckets:
    /// as many calls a minute as the busiest minute of these had, at once. Over any time, GCRA grants its burst
    /// and its rate besides, so a bucket that never needs more in a minute is never refused.
    pub fn fit(&self, percent: u8) -> Vec<Fitted> {
        let mut needs: BTreeMap<(Layer, Class), Vec<u64>> = BTreeMap::new();
        for ((layer, class, _, _), need) in &self.needs {
            needs.entry((*layer, *class)).or_default().push(need.most);
        }
        let fitted = |((layer, class), mut needs): ((Layer, Class), Vec<u64>)| {
            needs.sort_unstable();
            // The nearest rank: the least need that so many do not exceed.
            let rank = (needs.len() * usize::from(percent)).div_ceil(100).max(1);
            let most = needs.get(rank - 1).or(needs.last()).copied().unwrap_or(0);
            // A call's part of a minute is rounded up, so a minute's calls may take a little longer than a minute.
            let most = if MINUTE_NS.is_multiple_of(most.max(1)) { most } else { most + 1 };
            Fitted { layer, class, per_minute: u32::try_from(most).unwrap_or(u32::MAX), buckets: needs.len() }
        };
        needs.into_iter().map(fitted).collect()
    }

    /// [`Replay::fit`] as limits.
    pub fn fitted(fitted: &[Fitted], limits: &Limits) -> Limits {
        let mut limits = limits.clone();
        for one in fitted {
            let classes = match one.layer {
                Layer::Caller => &mut limits.caller,
                Layer::Install => &mut limits.install,
                Layer::Extension | Layer::Function => &mut limits.extension,
            };
            let quota = Quota { per_minute: one.per_minute, burst: None };
            match one.class {
                Class::QueryRows => classes.query_rows = quota,
                Class::WriteRows => classes.write_rows = quota,
                Class::Query => classes.query = quota,
                Class::Mutation => classes.mutation = quota,
                Class::Action => classes.action = quota,
            }
        }
        limits
    }

    fn need(&mut self, asker: &Asker, second: &Second, extension_id: Uuid) {
        for (layer, owner, caller) in [
            (Layer::Caller, asker.install_id, asker.caller),
            (Layer::Install, asker.install_id, 0),
            (Layer::Extension, extension_id, 0),
        ] {
            self.needs.entry((layer, asker.class, owner, caller)).or_default().add(second.at_s, second.asked.into());
        }
    }
}

impl Need {
    fn add(&mut self, at_s: u64, calls: u64) {
        while let Some((first_s, gone)) = self.recent.front().copied()
            && first_s + MINUTE_S <= at_s
        {
            self.recent_calls -= gone;
            self.recent.pop_front();
        }
        match self.recent.back_mut() {
            Some((last_s, held)) if *last_s == at_s => *held += calls,
            Some(_) | None => self.recent.push_back((at_s, calls)),
        }
        self.recent_calls += calls;
        self.most = self.most.max(self.recent_calls);
    }
}
