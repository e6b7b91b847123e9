//! The limiter against a plain token bucket, on a clock that only the test moves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;
use uuid::Uuid;

use crate::config::{Classes, LimitMode, Limits, Quota};
use crate::limit::bucket::{Buckets, Key};
use crate::limit::overrides::Override;
use crate::limit::policy::Policy;
use crate::limit::resolve::{Declared, Origin, Resolver, Subject, function_key};
use crate::limit::simulate::{Held as Asks, Replay};
use crate::limit::traffic::{Asker, Gathered, Second, Traffic, from_bytes};
use crate::limit::{CallerKind, Class, Decision, Keys, Layer, Limiter, Policies};

fn classes(quota: Quota) -> Classes {
    Classes { query_rows: quota, write_rows: quota, query: quota, mutation: quota, action: quota }
}

fn quota(per_minute: u32, burst: u32) -> Quota {
    Quota { per_minute, burst: Some(burst) }
}

fn limits([caller, install, extension]: [Quota; 3]) -> Limits {
    Limits { caller: classes(caller), install: classes(install), extension: classes(extension), ..Limits::default() }
}

fn keys(caller: u128, install: u128, extension: u128) -> Keys {
    Keys { caller, kind: CallerKind::Token, install: Uuid::from_u128(install), extension: Uuid::from_u128(extension) }
}

/// A limiter, and what all calls are held to.
struct Held {
    limiter: Limiter<FakeRelativeClock>,
    policies: Arc<Policies>,
}

impl Held {
    fn check(&self, class: Class, keys: &Keys) -> Decision {
        self.limiter.check(self.policies.of(class, 0), keys)
    }
}

impl Deref for Held {
    type Target = Limiter<FakeRelativeClock>;

    fn deref(&self) -> &Self::Target {
        &self.limiter
    }
}

fn policies(limits: &Limits, overrides: &[Override], functions: &[Declared]) -> Arc<Policies> {
    Resolver::new(limits, overrides).policies(subject(functions))
}

fn subject(functions: &[Declared]) -> Subject<'_> {
    let [install_id, extension_id] = [1, 2].map(Uuid::from_u128);
    Subject { install_id, extension_id, revision: 1, plan: Some("pro"), functions }
}

fn limiter(limits: &Limits) -> (Held, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let limiter = Limiter::with_clock(limits, clock.clone());
    (Held { limiter, policies: policies(limits, &[], &[]) }, clock)
}

fn policy_header(decision: &Decision) -> Option<&str> {
    decision.policy().map(|header| std::str::from_utf8(header).unwrap())
}

fn remaining(decision: &Decision) -> Vec<u32> {
    decision.standings().map(|standing| standing.remaining).collect()
}

fn rate_limit(decision: &Decision) -> String {
    let mut out = Vec::new();
    decision.write_rate_limit(&mut out);
    String::from_utf8(out).unwrap()
}

/// A bucket that is filled by time and emptied by calls: what GCRA computes the other way round.
struct TokenBucket {
    level_ns: u64,
    capacity_ns: u64,
    interval_ns: u64,
}

impl TokenBucket {
    fn full(quota: Quota) -> TokenBucket {
        let interval_ns =
            if quota.per_minute == 0 { u64::MAX } else { 60_000_000_000_u64.div_ceil(quota.per_minute.into()) };
        let capacity_ns = if quota.per_minute == 0 { 0 } else { interval_ns * u64::from(quota.burst.unwrap()) };
        TokenBucket { level_ns: capacity_ns, capacity_ns, interval_ns }
    }

    fn pass(&mut self, by_ns: u64) {
        self.level_ns = self.capacity_ns.min(self.level_ns + by_ns);
    }

    fn has_room(&self) -> bool {
        self.level_ns >= self.interval_ns
    }
}

fn any_quota() -> impl Strategy<Value = Quota> {
    prop_oneof![
        1 => Just(quota(0, 1)),
        9 => (1..600_u32, 1..12_u32).prop_map(|(per_minute, burst)| quota(per_minute, burst)),
    ]
}

/// Milliseconds since the call before, caller, install (extension: the install's number halved), class.
fn any_call() -> impl Strategy<Value = (u64, u128, u128, Class)> {
    let pause_ms = prop_oneof![6 => Just(0), 3 => 1..2_000_u64, 1 => 2_000..120_000_u64];
    let class = prop_oneof![4 => Just(Class::QueryRows), 1 => Just(Class::WriteRows)];
    (pause_ms, 0..3_u128, 0..4_u128, class)
}

proptest! {
    #[test]
    fn decides_as_token_buckets_do(
        quotas in [any_quota(), any_quota(), any_quota()],
        calls in prop::collection::vec(any_call(), 1..200),
        sweep_every in 1..50_usize,
    ) {
        let (limiter, clock) = limiter(&limits(quotas));
        let mut buckets: BTreeMap<(Layer, Class, u128, u128), TokenBucket> = BTreeMap::new();
        let mut admitted_ns: BTreeMap<(Layer, Class, u128, u128), Vec<u64>> = BTreeMap::new();
        let mut now_ns = 0;
        for (index, (pause_ms, caller, install, class)) in calls.into_iter().enumerate() {
            clock.advance(Duration::from_millis(pause_ms));
            now_ns += pause_ms * 1_000_000;
            buckets.values_mut().for_each(|bucket| bucket.pass(pause_ms * 1_000_000));
            if index % sweep_every == 0 {
                limiter.sweep();
            }
            let extension = install / 2;
            let places = [
                (Layer::Caller, class, install, caller),
                (Layer::Install, class, install, 0),
                (Layer::Extension, class, extension, 0),
            ];
            for (place, quota) in places.into_iter().zip(quotas) {
                buckets.entry(place).or_insert_with(|| TokenBucket::full(quota));
            }
            let refusing: Vec<Layer> = places.iter().filter(|place| !buckets[*place].has_room()).map(|place| place.0).collect();
            if refusing.is_empty() {
                for place in places {
                    let bucket = buckets.get_mut(&place).unwrap();
                    bucket.level_ns -= bucket.interval_ns;
                    admitted_ns.entry(place).or_default().push(now_ns);
                }
            }

            let decision = limiter.check(class, &keys(caller, install, extension));

            prop_assert_eq!(decision.is_refused(), !refusing.is_empty());
            prop_assert_eq!(decision.violations().map(|standing| standing.layer).collect::<Vec<_>>(), refusing);
            for (place, standing) in places.iter().zip(decision.standings()) {
                let bucket = &buckets[place];
                prop_assert_eq!(u64::from(standing.remaining), bucket.level_ns / bucket.interval_ns);
                prop_assert!(standing.remaining <= standing.quota);
                prop_assert!(standing.reset_s <= standing.window_s);
            }
        }
        for (place, times) in admitted_ns {
            let quota = match place.0 {
                Layer::Caller => quotas[0],
                Layer::Install => quotas[1],
                Layer::Extension => quotas[2],
                Layer::Function => unreachable!("no function has a quota here"),
            };
            for (first, from) in times.iter().enumerate() {
                for (last, until) in times.iter().enumerate().skip(first) {
                    let rate = u128::from(until - from) * u128::from(quota.per_minute) / 60_000_000_000;
                    prop_assert!((last - first + 1) as u128 <= u128::from(quota.burst.unwrap()) + rate);
                }
            }
        }
    }

    #[test]
    fn who_waits_as_told_is_admitted_and_who_comes_sooner_is_not(
        quotas in [1..600_u32, 1..600_u32, 1..600_u32],
        calls_before in prop::collection::vec(0..3_000_u64, 0..100),
    ) {
        let (limiter, clock) = limiter(&limits(quotas.map(|per_minute| quota(per_minute, 1 + per_minute % 7))));
        let keys = keys(1, 2, 3);
        for pause_ms in calls_before {
            clock.advance(Duration::from_millis(pause_ms));
            limiter.check(Class::Query, &keys);
        }
        let mut decision = limiter.check(Class::Query, &keys);
        while !decision.is_refused() {
            decision = limiter.check(Class::Query, &keys);
        }
        let wait_s = decision.retry_after_s().unwrap();
        prop_assert!(wait_s >= 1);
        clock.advance(Duration::from_secs(wait_s - 1));
        if wait_s > 1 {
            prop_assert!(limiter.check(Class::Query, &keys).is_refused());
        }
        clock.advance(Duration::from_secs(1));
        prop_assert!(!limiter.check(Class::Query, &keys).is_refused());
    }

    #[test]
    fn others_change_nothing(
        quotas in [any_quota(), any_quota(), any_quota()],
        calls in prop::collection::vec((any_call(), any::<bool>()), 1..100),
    ) {
        let (alone, alone_clock) = limiter(&limits(quotas));
        let (among, among_clock) = limiter(&limits(quotas));
        for ((pause_ms, caller, install, class), mine) in calls {
            alone_clock.advance(Duration::from_millis(pause_ms));
            among_clock.advance(Duration::from_millis(pause_ms));
            if mine {
                let keys = keys(caller, install, 1);
                prop_assert_eq!(alone.check(class, &keys), among.check(class, &keys));
            } else {
                among.check(class, &keys(caller, install + 100, 2));
            }
        }
    }

    #[test]
    fn any_quota_at_all_can_be_checked(per_minute in any::<u32>(), burst in any::<Option<u32>>()) {
        let written = Quota { per_minute, burst };
        let (limiter, clock) = limiter(&limits([written; 3]));
        clock.advance(Duration::from_secs(3_600 * 24 * 365 * 50));
        let decision = limiter.check(Class::Action, &keys(1, 2, 3));
        prop_assert_eq!(decision.is_refused(), per_minute == 0);
        prop_assert!(decision.standings().all(|standing| standing.window_s >= 1 && standing.window_s <= 86_400));
    }
}

#[test]
fn a_refused_caller_spends_nothing_of_what_others_share() {
    let (limiter, _clock) = limiter(&limits([quota(60, 2), quota(60, 10), quota(60, 10)]));
    let greedy = |_| limiter.check(Class::Query, &keys(1, 1, 1)).is_refused();
    assert_eq!((0..100).map(greedy).filter(|refused| !refused).count(), 2);
    let other = limiter.check(Class::Query, &keys(2, 1, 1));
    assert_eq!(remaining(&other), [1, 7, 7]);
}

#[test]
fn a_call_refused_by_a_wide_layer_spends_nothing_of_the_narrow_ones() {
    let (limiter, clock) = limiter(&limits([quota(60, 9), quota(60, 9), quota(60, 1)]));
    for _ in 0..50 {
        limiter.check(Class::Query, &keys(1, 1, 1));
    }
    clock.advance(Duration::from_secs(1));
    let decision = limiter.check(Class::Query, &keys(1, 1, 1));
    assert_eq!(remaining(&decision), [8, 8, 0]);
}

#[test]
fn threads_together_get_one_burst() {
    let (limiter, _clock) = limiter(&limits([quota(100_000, 100_000), quota(60, 500), quota(100_000, 100_000)]));
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|caller| {
                let limiter = &limiter;
                scope.spawn(move || {
                    (0..2_000).filter(|_| !limiter.check(Class::Query, &keys(caller, 1, 1)).is_refused()).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 500);
}

#[test]
fn shadow_decides_as_enforce_and_lets_pass() {
    let enforced = limits([quota(60, 3), quota(60, 5), quota(60, 100)]);
    let (enforce, _clock) = limiter(&enforced);
    let (shadow, _clock) = limiter(&Limits { mode: LimitMode::Shadow, ..enforced });
    for call in 0..20 {
        let keys = keys(call % 3, 1, 1);
        let (expected, decision) = (enforce.check(Class::Query, &keys), shadow.check(Class::Query, &keys));
        assert_eq!(remaining(&decision), remaining(&expected));
        assert_eq!(decision.is_exceeded(), expected.is_refused());
        assert!(!decision.is_refused());
        assert_eq!((rate_limit(&decision), policy_header(&decision)), (String::new(), None));
    }
}

#[test]
fn off_counts_nothing() {
    let (limiter, _clock) = limiter(&Limits { mode: LimitMode::Off, ..limits([quota(0, 1); 3]) });
    let decision = limiter.check(Class::Query, &keys(1, 1, 1));
    assert!(!decision.is_exceeded() && decision.standings().next().is_none());
    assert_eq!((limiter.buckets(), policy_header(&decision), rate_limit(&decision)), (0, None, String::new()));
}

#[test]
fn headers() {
    let (limiter, clock) = limiter(&Limits::default());
    let policies = Class::ALL.map(|class| {
        let decision = limiter.check(class, &keys(2, 2, 2));
        format!("{}: {}", class.as_str(), policy_header(&decision).unwrap())
    });
    insta::assert_snapshot!(policies.join("\n"), @r#"
    query_rows: "caller";q=50;w=60, "install";q=100;w=60, "extension";q=100000;w=60
    write_rows: "caller";q=25;w=60, "install";q=50;w=60, "extension";q=50000;w=60
    query: "caller";q=50;w=60, "install";q=100;w=60, "extension";q=100000;w=60
    mutation: "caller";q=25;w=60, "install";q=50;w=60, "extension";q=50000;w=60
    action: "caller";q=10;w=60, "install";q=20;w=60, "extension";q=20000;w=60
    "#);

    let mut lines = Vec::new();
    for call in 1..=52 {
        let decision = limiter.check(Class::QueryRows, &keys(1, 1, 1));
        if [1, 2, 49, 50, 51, 52].contains(&call) {
            lines.push(format!("{call}: {} refused={}", rate_limit(&decision), decision.is_refused()));
        }
    }
    clock.advance(Duration::from_secs(12));
    lines.push(format!("later: {}", rate_limit(&limiter.check(Class::QueryRows, &keys(1, 1, 1)))));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    1: "caller";r=49;t=2, "install";r=99;t=1 refused=false
    2: "caller";r=48;t=3, "install";r=98;t=2 refused=false
    49: "caller";r=1;t=59, "install";r=51;t=30 refused=false
    50: "caller";r=0;t=2, "install";r=50;t=30 refused=false
    51: "caller";r=0;t=2, "install";r=50;t=30 refused=true
    52: "caller";r=0;t=2, "install";r=50;t=30 refused=true
    later: "caller";r=9;t=50, "install";r=69;t=19
    "#);
}

#[test]
fn headers_of_a_burst_and_of_a_spent_extension() {
    let (limiter, _clock) = limiter(&limits([quota(100, 20), quota(50, 200), quota(7, 1)]));
    let first = limiter.check(Class::Query, &keys(1, 1, 1));
    insta::assert_snapshot!(policy_header(&first).unwrap(), @r#""caller";q=20;w=12, "install";q=200;w=240, "extension";q=1;w=9"#);
    let decision = limiter.check(Class::Query, &keys(1, 1, 1));
    insta::assert_snapshot!(rate_limit(&decision), @r#""caller";r=19;t=1, "install";r=199;t=2, "extension";r=0;t=9"#);
}

#[test]
fn the_failure_names_every_layer_that_refused() {
    let (limiter, _clock) = limiter(&limits([quota(10, 1), quota(4, 1), quota(60, 60)]));
    limiter.check(Class::Mutation, &keys(1, 1, 1));
    let failure = limiter.check(Class::Mutation, &keys(1, 1, 1)).failure();
    assert_eq!((failure.retry_after_s, &failure.violated_policies[..]), (Some(15), &["caller", "install"][..]));
    insta::assert_snapshot!(failure, @"quota_exceeded: the quota of `mutation` calls is used up (caller, install); try again in 15 s");
}

#[test]
fn a_class_with_a_quota_of_none_is_closed() {
    let mut limits = Limits::default();
    limits.install.action = Quota { per_minute: 0, burst: None };
    let (limiter, clock) = limiter(&limits);
    for _ in 0..3 {
        let decision = limiter.check(Class::Action, &keys(1, 1, 1));
        insta::allow_duplicates! { insta::assert_snapshot!(rate_limit(&decision), @r#""caller";r=10;t=0, "install";r=0;t=60"#); }
        assert_eq!(decision.retry_after_s(), Some(60));
        clock.advance(Duration::from_secs(3_600));
    }
    assert!(!limiter.check(Class::Query, &keys(1, 1, 1)).is_refused());
}

#[test]
fn a_changed_quota_finds_what_was_spent() {
    let buckets = Buckets::new(10);
    let key = Key::new(&RandomState::new(), Class::Query, Uuid::from_u128(1), 0);
    let spend_all = |policy: &Policy| (0..1_000).take_while(|_| buckets.spend(&key, policy, 1).is_ok()).count();
    let policy = |per_minute| Policy::new(LimitMode::Enforce, quota(per_minute, per_minute));
    assert_eq!((0..30).filter(|_| buckets.spend(&key, &policy(60), 1).is_ok()).count(), 30);
    assert_eq!(spend_all(&policy(600)), 300, "half was spent, so half of the larger one is left");
    assert_eq!(spend_all(&policy(60)), 0);
}

#[test]
fn a_million_keys_seen_once_do_not_stay() {
    let buckets = Buckets::new(usize::MAX);
    let (hasher, policy) = (RandomState::new(), Policy::new(LimitMode::Enforce, quota(60, 60)));
    for caller in 0..1_000_000 {
        let key = Key::new(&hasher, Class::QueryRows, Uuid::from_u128(caller % 1_000), caller);
        buckets.spend(&key, &policy, caller as u64).unwrap();
    }
    assert_eq!(buckets.len(), 1_000_000);
    assert_eq!(buckets.sweep(1_000_000), 1_000_000, "one call is a second, which has not passed");
    assert_eq!(buckets.sweep(1_000_000_000 + 499_999), 500_000);
    assert_eq!(buckets.sweep(2_000_000_000), 0);
    assert_eq!((buckets.len(), buckets.capacity()), (0, 0));
}

#[test]
fn a_sweep_reaches_every_layer_and_only_full_buckets() {
    let (limiter, clock) = limiter(&limits([quota(60, 60), quota(60, 60), quota(6, 60)]));
    for install in 0..50 {
        limiter.check(Class::QueryRows, &keys(1, install, install));
    }
    assert_eq!((limiter.buckets(), limiter.sweep()), (150, 150));
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.sweep(), 50);
    clock.advance(Duration::from_secs(9));
    assert_eq!((limiter.sweep(), limiter.buckets()), (0, 0));
}

#[test]
fn who_is_refused_leaves_no_bucket_behind() {
    let (limiter, _clock) = limiter(&limits([quota(60, 60), quota(60, 10), quota(60, 60)]));
    for caller in 0..1_000 {
        limiter.check(Class::QueryRows, &keys(caller, 1, 1));
    }
    assert_eq!(limiter.buckets(), 10 + 1 + 1);
}

#[test]
fn newcomers_share_a_bucket_where_there_is_no_room() {
    let wide = quota(100_000, 100_000);
    let (limiter, clock) = limiter(&Limits { buckets_max: 100, ..limits([quota(60, 5), wide, wide]) });
    let admitted = |callers: std::ops::Range<u128>| {
        callers.filter(|caller| !limiter.check(Class::Query, &keys(*caller, 1, 1)).is_refused()).count()
    };
    assert_eq!(admitted(0..100), 100);
    assert_eq!(admitted(100..100_000), 5);
    assert_eq!(admitted(0..100), 100, "who has a bucket keeps it");
    assert_eq!(limiter.buckets(), 101 + 2);
    clock.advance(Duration::from_secs(60));
    limiter.sweep();
    assert_eq!(admitted(100..200), 100);
}

fn said(layer: Layer) -> Override {
    Override {
        layer,
        class: None,
        install_id: None,
        extension_id: None,
        function: None,
        plan: None,
        caller: None,
        per_minute: None,
        burst: None,
        mode: None,
    }
}

#[test]
fn the_narrowest_override_wins_whatever_their_order() {
    let [install_id, extension_id] = [1, 2].map(|id| Some(Uuid::from_u128(id)));
    let base = said(Layer::Caller);
    // From the widest to the narrowest.
    let ladder = [
        Override { class: Some(Class::Query), ..base.clone() },
        Override { caller: Some(CallerKind::Key), ..base.clone() },
        Override { caller: Some(CallerKind::Key), class: Some(Class::Query), ..base.clone() },
        Override { plan: Some("pro".to_owned()), ..base.clone() },
        Override { plan: Some("pro".to_owned()), caller: Some(CallerKind::Key), ..base.clone() },
        Override { extension_id, ..base.clone() },
        Override { extension_id, class: Some(Class::Query), ..base.clone() },
        Override { extension_id, plan: Some("pro".to_owned()), ..base.clone() },
        Override { install_id, ..base.clone() },
        Override { install_id, class: Some(Class::Query), caller: Some(CallerKind::Key), ..base.clone() },
    ];
    let numbered =
        ladder.iter().zip(1..).map(|(one, per_minute)| Override { per_minute: Some(per_minute), ..one.clone() });
    let numbered: Vec<Override> = numbered.collect();
    let keyed = |overrides: &[Override]| {
        let policies = policies(&Limits::default(), overrides, &[]);
        policies.of(Class::Query, 0).of(CallerKind::Key).layers[0].unwrap().burst
    };
    for count in 1..=numbered.len() {
        let mut some = numbered[..count].to_vec();
        assert_eq!(keyed(&some), count as u32, "{:?}", numbered[count - 1]);
        some.reverse();
        assert_eq!(keyed(&some), count as u32, "{:?}", numbered[count - 1]);
    }
    // Of others: another class, kind, plan, extension or install, or another layer.
    let others = [
        Override { class: Some(Class::Action), ..base.clone() },
        Override { caller: Some(CallerKind::Token), ..base.clone() },
        Override { plan: Some("free".to_owned()), ..base.clone() },
        Override { extension_id: install_id, ..base.clone() },
        Override { install_id: extension_id, ..base },
        said(Layer::Install),
    ];
    let others: Vec<Override> = others.into_iter().map(|one| Override { per_minute: Some(7), ..one }).collect();
    assert_eq!(keyed(&others), 50);
}

#[test]
fn a_quota_and_a_mode_are_looked_for_apart() {
    let overrides = [
        Override { mode: Some(LimitMode::Shadow), extension_id: Some(Uuid::from_u128(2)), ..said(Layer::Install) },
        Override { per_minute: Some(7), plan: Some("pro".to_owned()), ..said(Layer::Install) },
    ];
    let limits = Limits::default();
    let resolver = Resolver::new(&limits, &overrides);
    let rows = resolver.in_force(&subject(&[]));
    let row = rows.iter().find(|row| (row.layer, row.class) == (Layer::Install, Class::Query)).unwrap();
    assert_eq!((row.per_minute, row.burst, row.mode), (7, 7, LimitMode::Shadow));
    assert_eq!(row.quota_from, Origin::Override(overrides[1].clone()));
    assert_eq!(row.mode_from, Origin::Override(overrides[0].clone()));
    assert_eq!(rows.len(), 3 * 5, "kinds of callers that agree are one row");
    assert!(rows.iter().filter(|row| row.layer != Layer::Install).all(|row| row.quota_from == Origin::Configured));
}

#[test]
fn a_layer_in_shadow_refuses_nobody_and_the_others_count_on() {
    let limits = limits([quota(60, 3), quota(60, 5), quota(60, 100)]);
    let shadow = Override { mode: Some(LimitMode::Shadow), ..said(Layer::Caller) };
    let policies = policies(&limits, &[shadow], &[]);
    let limiter = Limiter::with_clock(&limits, FakeRelativeClock::default());
    let check = |caller| limiter.check(policies.of(Class::Query, 0), &keys(caller, 1, 1));
    for call in 1..=5 {
        let decision = check(1);
        assert_eq!((decision.is_refused(), decision.is_exceeded()), (false, call > 3), "call {call}");
        assert_eq!(policy_header(&decision).unwrap(), "\"install\";q=5;w=5, \"extension\";q=100;w=100");
        assert!(rate_limit(&decision).starts_with(&format!("\"install\";r={};", 5 - call)), "call {call}");
    }
    let decision = check(2);
    assert_eq!(decision.violations().map(|standing| standing.layer).collect::<Vec<_>>(), [Layer::Install]);
    assert_eq!(remaining(&decision), [3, 0, 95], "a refused call spends nothing");
}

#[test]
fn a_function_has_a_bucket_of_its_own_in_each_install() {
    let declared = |name: &str, rate_limit| Declared {
        name: name.into(),
        key: function_key(name),
        class: Class::WriteRows,
        rate_limit,
    };
    let functions = [declared("vote", Some(quota(60, 2))), declared("write", None)];
    let extension_id = Some(Uuid::from_u128(2));
    let (clock, limits) = (FakeRelativeClock::default(), Limits::default());
    let limiter = Limiter::with_clock(&limits, clock);
    let check = |policies: &Policies, place: usize, keys: Keys| {
        let decision = limiter.check(policies.of(Class::WriteRows, place), &keys);
        decision.violations().map(|standing| standing.layer.as_str()).collect::<Vec<_>>()
    };
    let own = policies(&limits, &[], &functions);
    for caller in 0..2 {
        assert!(check(&own, 0, keys(caller, 1, 2)).is_empty());
    }
    assert_eq!(check(&own, 0, keys(3, 1, 2)), ["function"]);
    assert!(check(&own, 1, keys(3, 1, 2)).is_empty() && check(&own, 0, keys(3, 5, 2)).is_empty());
    // An operator's word stands in place of the author's, and what was spent stays spent.
    let vote = Override { function: Some("vote".to_owned()), extension_id, ..said(Layer::Function) };
    let wider = policies(&limits, &[Override { per_minute: Some(60), burst: Some(3), ..vote.clone() }], &functions);
    assert_eq!(check(&wider, 0, keys(4, 1, 2)), [""; 0]);
    assert_eq!(check(&wider, 0, keys(5, 1, 2)), ["function"]);
    let off = policies(&limits, &[Override { mode: Some(LimitMode::Off), ..vote }], &functions);
    assert!(check(&off, 0, keys(6, 1, 2)).is_empty());
    let new =
        Override { function: Some("write".to_owned()), extension_id, per_minute: Some(0), ..said(Layer::Function) };
    assert_eq!(check(&policies(&limits, &[new], &functions), 1, keys(7, 1, 2)), ["function"]);
}

#[test]
fn an_override_that_means_nothing_is_refused() {
    let some = Override { per_minute: Some(5), ..said(Layer::Caller) };
    let id = Some(Uuid::from_u128(1));
    let complaints: Vec<String> = [
        some.clone(),
        Override { per_minute: None, ..some.clone() },
        Override { per_minute: None, burst: Some(5), mode: Some(LimitMode::Off), ..some.clone() },
        Override { burst: Some(0), ..some.clone() },
        Override { per_minute: Some(1), burst: Some(9_999), ..some.clone() },
        Override { plan: Some("a b".to_owned()), ..some.clone() },
        Override { install_id: id, plan: Some("pro".to_owned()), ..some.clone() },
        Override { layer: Layer::Install, caller: Some(CallerKind::Key), ..some.clone() },
        Override { layer: Layer::Extension, install_id: id, ..some.clone() },
        Override { function: Some("vote".to_owned()), ..some.clone() },
        Override { layer: Layer::Function, ..some.clone() },
        Override { layer: Layer::Function, function: Some("vote".to_owned()), ..some.clone() },
        Override {
            layer: Layer::Function,
            function: Some("vote".to_owned()),
            extension_id: id,
            class: Some(Class::Query),
            ..some
        },
    ]
    .iter()
    .map(|one| one.complaint().unwrap_or_else(|| "fine".to_owned()))
    .collect();
    insta::assert_snapshot!(complaints.join("\n"), @"
    fine
    expected `per_minute`, `mode` or both
    a `burst` belongs to a quota; add `per_minute`
    `burst`: expected at least 1; to refuse every call set per_minute to 0
    `burst`: expected a burst that is there again within 86400 s, found one that takes 599940 s; lower burst or raise per_minute
    a plan's name has 1 to 63 letters, digits, `-`, `_` and `.`
    an install has one extension and one plan; leave `extension_id` and `plan` out
    layer `install` is for no kind of `caller`: it counts all of them together
    layer `extension` is for no `install_id` and no `plan`: it counts all installs of an extension together
    expected `function` with layer `function`, and with no other
    expected `function` with layer `function`, and with no other
    expected `extension_id` or `install_id`, to say whose `function` it is
    a function has one class; leave `class` out
    ");
}

fn asker(keys: &Keys) -> Asker {
    Asker { install_id: keys.install, caller: keys.caller, kind: keys.kind, class: Class::Query, function: 0 }
}

/// Replays what was gathered, by policies that all are held to.
fn replayed(limits: &Limits, gathered: &Gathered, began_s: u64) -> Replay {
    let policies = policies(limits, &[], &[]);
    let held = Asks { extension_id: Uuid::from_u128(3), quotas: policies.of(Class::Query, 0) };
    let mut all = from_bytes(&gathered.to_bytes(began_s), began_s).unwrap();
    let mut seconds: Vec<(Asker, Second)> =
        all.drain(..).flat_map(|(asker, seconds)| seconds.into_iter().map(move |second| (asker, second))).collect();
    seconds.sort_by_key(|(_, second)| second.at_s);
    let mut replay = Replay::new(limits);
    seconds.iter().for_each(|(asker, second)| replay.second(asker, second, Some(&held)));
    replay
}

proptest! {
    #[test]
    fn simulating_what_was_in_force_refuses_whom_it_refused(
        quotas in [any_quota(), any_quota(), any_quota()],
        pauses_s in prop::collection::vec(prop_oneof![6 => Just(0), 3 => 1..4_u64, 1 => 4..200_u64], 1..200),
    ) {
        let limits = limits(quotas);
        let (limiter, clock) = limiter(&limits);
        let (traffic, keys, began_s) = (Traffic::new(10), keys(1, 2, 3), 1_800_000_000);
        let mut now_s = began_s;
        for pause_s in pauses_s {
            clock.advance(Duration::from_secs(pause_s));
            now_s += pause_s;
            let decision = limiter.check(Class::Query, &keys);
            traffic.count(asker(&keys), now_s, decision.is_refused());
        }
        let report = replayed(&limits, &traffic.take(), began_s).report();
        prop_assert_eq!(report.refused, report.refused_then);
        prop_assert_eq!(report.callers, 1);
    }

    #[test]
    fn what_is_fitted_for_all_refuses_nobody(
        calls in prop::collection::vec((0..90_u64, 0..4_u128, 0..3_u128), 1..200),
    ) {
        let (traffic, began_s) = (Traffic::new(100), 1_800_000_000);
        let mut now_s = began_s;
        for (pause_s, caller, install) in calls {
            now_s += pause_s / 30;
            traffic.count(asker(&keys(caller, install, 3)), now_s, false);
        }
        let gathered = traffic.take();
        let first = replayed(&Limits::default(), &gathered, began_s);
        let fitted = Replay::fitted(&first.fit(100), &Limits::default());
        prop_assert_eq!(replayed(&fitted, &gathered, began_s).report().refused, 0);
    }
}

#[test]
fn traffic_is_kept_within_its_bounds_and_adds_up() {
    let (one, other) = (Traffic::new(2), Traffic::new(2));
    for (caller, at_s) in [(1, 10), (1, 10), (2, 11), (3, 11), (1, 12), (1, 9)] {
        one.count(asker(&keys(caller, 1, 3)), at_s, caller == 2);
    }
    other.count(asker(&keys(1, 1, 3)), 12, true);
    let mut gathered = one.take();
    assert_eq!((gathered.left_out, gathered.askers.len()), (1, 2));
    gathered.add(other.take());
    let seconds = &gathered.askers[&asker(&keys(1, 1, 3))];
    let told: Vec<_> = seconds.iter().map(|second| (second.at_s, second.asked, second.refused)).collect();
    assert_eq!(told, [(10, 2, 0), (12, 3, 1)], "a clock that was set back counts on");
    assert_eq!(one.take(), Gathered::default());
    assert_eq!(from_bytes(&[1, 2, 3], 0), None);
}
