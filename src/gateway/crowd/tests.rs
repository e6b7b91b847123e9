//! A crowd before one database, in a time of its own: each call takes its turn, and so long.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Crowd, Seat, Whose};

const TARGET: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Who asks, and how often a second.
#[derive(Clone, Copy)]
struct Flow {
    whose: Whose,
    per_s: u32,
}

/// What became of the calls of a flow.
#[derive(Debug, Default, Clone)]
struct Came {
    served: Vec<Duration>,
    refused: usize,
}

impl Came {
    fn slowest(&self) -> Duration {
        self.served.iter().max().copied().unwrap_or_default()
    }
}

fn flow(extension: u128, install: u128, per_s: u32) -> Flow {
    Flow { whose: Whose { extension: Uuid::from_u128(extension), install: Uuid::from_u128(1_000 + install) }, per_s }
}

/// Lets `flows` ask from `from_ms` to `until_ms` where each call takes `service`, one behind the other.
fn run(crowd: &Crowd, flows: &[Flow], service: Duration, from_ms: u64, until_ms: u64) -> Vec<Came> {
    let origin = crowd.origin + Duration::from_millis(from_ms);
    let mut calls: Vec<(Duration, usize)> = Vec::new();
    for (number, flow) in flows.iter().enumerate() {
        let count = u64::from(flow.per_s) * (until_ms - from_ms) / 1_000;
        // Not all in step.
        let shift = Duration::from_micros(137 * number as u64);
        calls.extend(
            (0..count).map(|call| (shift + Duration::from_secs_f64(call as f64 / f64::from(flow.per_s)), number)),
        );
    }
    calls.sort();
    let mut came = vec![Came::default(); flows.len()];
    let mut under_way: VecDeque<(Duration, Duration, Seat<'_>)> = VecDeque::new();
    for (at, number) in calls {
        while under_way.front().is_some_and(|(ends, _, _)| *ends <= at) {
            let (ends, began, seat) = under_way.pop_front().unwrap();
            seat.end(ends - began);
        }
        match crowd.admit(flows[number].whose, origin + at, || true) {
            Err(failure) => {
                assert_eq!(failure.retry_after_s, Some(1));
                came[number].refused += 1;
            }
            Ok(seat) => {
                let ends = under_way.back().map_or(at, |(ends, _, _)| (*ends).max(at)) + service;
                came[number].served.push(ends - at);
                under_way.push_back((ends, at, seat));
            }
        }
    }
    for (ends, began, seat) in under_way {
        seat.end(ends - began);
    }
    came
}

#[test]
fn whoever_asks_for_less_than_can_be_done_is_served() {
    for service_us in [50, 500, 5_000, 100_000] {
        let crowd = Crowd::new(1, TARGET, WAIT_MAX);
        let per_s = 1_000_000 / service_us * 9 / 10;
        let came = run(&crowd, &[flow(1, 1, per_s as u32)], Duration::from_micros(service_us), 0, 10_000);
        assert_eq!((came[0].refused, crowd.refused()), (0, 0), "{service_us}");
    }
}

#[test]
fn at_three_times_as_much_what_can_be_done_is_done_and_the_rest_refused() {
    for service_us in [100, 1_000, 20_000, 200_000] {
        let service = Duration::from_micros(service_us);
        let crowd = Crowd::new(1, TARGET, WAIT_MAX);
        let capacity = 1_000_000 / service_us;
        let flows = [flow(1, 1, (3 * capacity) as u32)];
        run(&crowd, &flows, service, 0, 5_000);
        let came = run(&crowd, &flows, service, 20_000, 30_000).remove(0);
        assert!(came.served.len() as u64 >= 10 * capacity - 10, "{service_us}: {} served", came.served.len());
        assert!(came.refused as u64 >= 19 * capacity, "{service_us}: {} refused", came.refused);
        // The last half of them came when the burst was over.
        let steady = &came.served[came.served.len() / 2..];
        let slowest = steady.iter().max().unwrap();
        assert!(*slowest <= TARGET * 3 / 2 + service * 4, "{service_us}: {slowest:?}");
        // And when it is over, it is over.
        let came = run(&crowd, &[flow(1, 1, (capacity / 2).max(1) as u32)], service, 40_000, 50_000).remove(0);
        assert_eq!(came.refused, 0, "{service_us}");
    }
}

#[test]
fn a_burst_is_no_crowd() {
    let crowd = Crowd::new(1, TARGET, WAIT_MAX);
    let service = Duration::from_millis(2);
    run(&crowd, &[flow(1, 1, 400)], service, 0, 2_000);
    // For 80 ms, ten times what can be done.
    let came = run(&crowd, &[flow(1, 1, 5_000)], service, 3_000, 3_080);
    assert_eq!(came[0].refused, 0);
    assert!(came[0].slowest() > TARGET, "{:?}", came[0].slowest());
    assert_eq!(run(&crowd, &[flow(1, 1, 400)], service, 5_000, 9_000)[0].refused, 0);
}

#[test]
fn an_extension_that_asks_for_most_is_refused_and_others_are_not() {
    let crowd = Crowd::new(1, TARGET, WAIT_MAX);
    let service = Duration::from_millis(10);
    let flows = [flow(1, 1, 300), flow(2, 2, 15), flow(3, 3, 15)];
    run(&crowd, &flows, service, 0, 2_000);
    let came = run(&crowd, &flows, service, 2_000, 12_000);
    assert_eq!((came[1].refused, came[2].refused), (0, 0));
    assert!(came[0].refused > 2_000 && came[0].served.len() > 600, "{}", came[0].served.len());
    assert!(came[1].slowest() < TARGET * 3, "{:?}", came[1].slowest());
    // Two that ask for too much have a half each.
    let flows = [flow(1, 1, 300), flow(2, 2, 150)];
    let came = run(&crowd, &flows, service, 20_000, 40_000);
    let [one, other] = [came[0].served.len(), came[1].served.len()];
    assert!(one.abs_diff(other) < 400, "{one} and {other} of 2,000");
}

#[test]
fn an_install_that_asks_for_most_is_refused_and_others_of_its_extension_are_not() {
    let crowd = Crowd::new(1, TARGET, WAIT_MAX);
    let service = Duration::from_millis(10);
    let flows = [flow(1, 1, 300), flow(1, 2, 10)];
    run(&crowd, &flows, service, 0, 2_000);
    let came = run(&crowd, &flows, service, 2_000, 12_000);
    assert_eq!(came[1].refused, 0);
    assert!(came[0].refused > 2_000);
}

#[test]
fn a_database_that_hangs_has_only_so_many_calls_waiting() {
    let crowd = Crowd::new(4, TARGET, WAIT_MAX);
    let (service, ours) = (Duration::from_millis(1), flow(1, 1, 5_000));
    run(&crowd, &[ours], service, 0, 2_000);
    let begun = crowd.origin + Duration::from_secs(10);
    let waiting: Vec<Seat<'_>> = (0..5_000)
        .filter_map(|call| crowd.admit(ours.whose, begun + Duration::from_micros(200 * call), || true).ok())
        .collect();
    assert!(waiting.len() < 1_000, "{} wait", waiting.len());
    drop(waiting);
    assert_eq!(crowd.wait(), Duration::ZERO);
    assert!(crowd.shares().is_empty());
}

#[test]
fn while_there_is_no_connection_nothing_is_foretold() {
    let crowd = Crowd::new(1, TARGET, WAIT_MAX);
    let ours = flow(1, 1, 500);
    run(&crowd, &[ours], Duration::from_millis(5), 0, 300);
    let begun = crowd.origin + Duration::from_secs(10);
    let waiting: Vec<Seat<'_>> =
        (0..500).map(|call| crowd.admit(ours.whose, begun + Duration::from_millis(call), || false).unwrap()).collect();
    assert_eq!(waiting.len(), 500);
}

/// Callers who each wait for their answer before they ask again are not told that they are too many, where
/// none of them waits too long.
#[test]
fn callers_in_step_are_no_crowd() {
    let crowd = Crowd::new(8, TARGET, WAIT_MAX);
    let (whose, service) = (flow(1, 1, 1).whose, Duration::from_millis(2));
    let mut now = Instant::now();
    let mut refused = 0;
    for _ in 0..2_000 {
        // 128 callers, 8 at once: each waits for 15 others.
        let seats: Vec<_> = (0..128).map(|_| crowd.admit(whose, now, || true)).collect();
        refused += seats.iter().filter(|seat| seat.is_err()).count();
        for (number, seat) in seats.into_iter().flatten().enumerate() {
            seat.end(service * (number as u32 / 8 + 1));
        }
        now += service * 16;
    }
    assert_eq!(refused, 0);
}
