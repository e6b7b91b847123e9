//! What the gateway adds to the bare prepared statement, in processor time of this process.
//!
//! `call/…/bare` sends a function's own statement by the driver and drops the rows;
//! `call/…/gateway` is `Gateway::call`: function found, limits counted, arguments read, rows made
//! JSON. The difference is what the gateway adds. `1` has one call under way, `32` as many as 32,
//! pipelined on one connection as many clients' calls are. `http` adds axum, the token and the
//! headers, without a socket; `piece` is what single steps take.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/bed.rs"]
mod bed;
#[allow(dead_code)]
mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use criterion::{BatchSize, BenchmarkId, Criterion};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use rowgate::http::Entry;
use rowgate::limit::traffic::{Asker, Traffic};
use rowgate::limit::{CallerKind, Class, Keys, Limiter};
use rowgate::plan::answer::{Raw, Shape};
use uuid::Uuid;

use crate::bed::Bed;
use crate::support::Cpu;

/// As many as the load bench has connections.
const MANY: usize = 32;
const LIVE_KEYS: u128 = 1_000_000;
const TRAFFIC_CALLERS: usize = 100_000;

fn main() {
    let mut criterion = support::criterion();
    let bed = Bed::new();
    let one = format!("{{\"id\":\"{}\"}}", bed.id);
    let item = r#"{"category":"new","title":"one more item","score":7}"#;
    calls(&mut criterion, &bed, "get", "getItem", &one);
    calls(&mut criterion, &bed, "list_20", "listItems", r#"{"category":"c07"}"#);
    calls(&mut criterion, &bed, "insert", "addItem", item);
    calls(&mut criterion, &bed, "patch", "bumpItem", &one);
    http(&mut criterion, &bed, &one);
    pieces(&mut criterion, &bed, &one, item);
    criterion.final_summary();
    memory_of_limits(&bed);
}

/// What callers who came once leave behind, and what of it a sweep gives back.
fn memory_of_limits(bed: &Bed) {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0)
    };
    let gateway = &bed.shared.gateway;
    let snapshot = gateway.snapshot();
    let quotas = snapshot.installs[&bed.install_id].policies.of(Class::QueryRows, 0);
    let before = resident();
    let limiter = Limiter::new(&gateway.config.limits);
    for caller in 0..LIVE_KEYS {
        let keys = Keys { caller, kind: CallerKind::Token, install: bed.install_id, extension: Uuid::nil() };
        limiter.check(quotas, &keys);
    }
    let (held, buckets) = (resident().saturating_sub(before), limiter.buckets());
    let swept = limiter.sweep();
    let left = resident().saturating_sub(before);
    println!("{buckets} buckets of callers seen once: {held} KiB; after a sweep of {swept}: {left} KiB");
}

fn calls(criterion: &mut Criterion<Cpu>, bed: &Bed, name: &str, function: &str, arguments: &str) {
    let bare = bed.bare(function, arguments);
    let mut group = criterion.benchmark_group(format!("call/{name}"));
    for count in [1, MANY] {
        group.throughput(support::calls(count));
        group.bench_function(BenchmarkId::new("bare", count), |bencher| {
            bencher.to_async(&bed.runtime).iter(|| join_all((0..count).map(|_| bare.query())));
        });
        group.bench_function(BenchmarkId::new("gateway", count), |bencher| {
            bencher.to_async(&bed.runtime).iter(|| join_all((0..count).map(|_| bed.call(function, arguments))));
        });
    }
    group.finish();
}

/// The entry as a worker gives it to hyper.
fn http(criterion: &mut Criterion<Cpu>, bed: &Bed, one: &str) {
    let client = IpAddr::from(Ipv4Addr::LOCALHOST);
    let entry = Arc::new(Entry::new(bed.shared.clone()));
    let request = |function: &str| {
        Request::post(format!("/v1/extension-functions/{}/{function}", bed.install_id))
            .header("host", "localhost:8080")
            .header("authorization", format!("Bearer {}", bed.token))
            .header("content-type", "application/json")
            .header("content-length", one.len())
            .body(Body::from(one.to_owned()))
            .unwrap()
    };
    let mut group = criterion.benchmark_group("http");
    for (function, status) in [("getItem", 200), ("unknown", 404)] {
        for count in [1, MANY] {
            group.throughput(support::calls(count));
            group.bench_function(BenchmarkId::new(function, count), |bencher| {
                bencher.to_async(&bed.runtime).iter_batched(
                    || (0..count).map(|_| request(function)).collect::<Vec<_>>(),
                    |requests| {
                        join_all(requests.into_iter().map(async |request| {
                            let response = entry.clone().serve(client, request).await;
                            assert_eq!(response.status(), status);
                            response.into_body().collect().await.unwrap()
                        }))
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn pieces(criterion: &mut Criterion<Cpu>, bed: &Bed, one: &str, item: &str) {
    let mut group = criterion.benchmark_group("piece");
    for (name, function, arguments) in [("arguments_of_get", "getItem", one), ("arguments_of_insert", "addItem", item)]
    {
        let function = bed.function(function);
        group.bench_function(name, |bencher| {
            bencher.iter(|| function.plan.arguments.parse(black_box(arguments.as_bytes()), 64).unwrap());
        });
    }

    let function = bed.function("getItem");
    let Shape::Row(writer) = &function.plan.shape else { panic!("`getItem` answers a row") };
    let rows = bed.runtime.block_on(bed.bare("getItem", one).query());
    let field = |index| rows[0].get::<_, Option<Raw<'_>>>(index).map(|Raw(bytes)| bytes);
    let fields: Vec<Option<&[u8]>> = (0..rows[0].len()).map(field).collect();
    let mut out = Vec::with_capacity(1 << 10);
    group.bench_function("row_to_json", |bencher| {
        bencher.iter(|| {
            out.clear();
            writer.write(&mut out, |index| Ok(black_box(&fields)[index])).unwrap();
        });
    });

    let gateway = &bed.shared.gateway;
    let limiter = Limiter::new(&gateway.config.limits);
    let snapshot = gateway.snapshot();
    let quotas = snapshot.installs[&bed.install_id].policies.of(Class::QueryRows, 0);
    let keys = |caller: u128| Keys { caller, kind: CallerKind::Token, install: bed.install_id, extension: Uuid::nil() };
    group.bench_function("limits_of_one_caller", |bencher| {
        bencher.iter(|| limiter.check(black_box(quotas), black_box(&keys(0))));
    });
    for caller in 0..LIVE_KEYS {
        limiter.check(quotas, &keys(caller));
    }
    let mut caller = 0;
    group.bench_function("limits_of_1000000_callers", |bencher| {
        bencher.iter(|| {
            // Far apart in memory each time, as callers are.
            caller = (caller + 7_919) % LIVE_KEYS;
            limiter.check(black_box(quotas), black_box(&keys(caller)))
        });
    });

    let traffic = Traffic::new(TRAFFIC_CALLERS);
    let asker = |caller: u128| Asker {
        install_id: bed.install_id,
        caller,
        kind: CallerKind::Token,
        class: Class::QueryRows,
        function: 7,
    };
    group.bench_function("traffic_of_one_caller", |bencher| {
        bencher.iter(|| traffic.count(black_box(asker(0)), black_box(1), false));
    });
    for caller in 0..TRAFFIC_CALLERS as u128 {
        traffic.count(asker(caller), 1, false);
    }
    group.bench_function("traffic_of_100000_callers", |bencher| {
        bencher.iter(|| {
            caller = (caller + 7_919) % TRAFFIC_CALLERS as u128;
            traffic.count(black_box(asker(caller)), black_box(1), false);
        });
    });

    let (header, snapshot) = (format!("Bearer {}", bed.token), gateway.snapshot());
    let nowhere = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    group.bench_function("token_seen_before", |bencher| {
        bencher.iter(|| {
            let header = black_box(header.as_bytes());
            gateway.authenticator.authenticate(Some(header), nowhere, now_s, &snapshot.keys).unwrap()
        });
    });
    group.finish();
}
