//! What a handler costs beside a declared function: processor time of the gateway and of the worker
//! that runs the script, calls a second, and the memory of a call that waits.
//!
//! Criterion sees one process, and a handler runs in two: so this one counts by itself, and prints a
//! line for each case. Postgres's own time is in none of them. Run it by `cargo bench --bench handler`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "support/bed.rs"]
mod bed;
#[allow(dead_code)]
mod support;

use std::time::{Duration, Instant};

use criterion::measurement::Measurement;
use futures_util::future::join_all;
use rowgate::gateway::Call;
use rowgate::script::machine::Limits;
use rowgate::script::pool::{Bundle, Event, Pool, Settings};
use rowgate::script::worker::frame::Begin;

use crate::bed::Bed;
use crate::support::Cpu;

/// As many as the load bench has connections.
const MANY: usize = 32;
const WAITING: usize = 1_000;
const FOR: Duration = Duration::from_secs(2);

fn main() {
    // `cargo test --benches` asks for nothing more than that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let bed = Bed::new();
    let one = format!("{{\"id\":\"{}\"}}", bed.id);
    println!("{:32} {:>6} {:>12} {:>12} {:>12}", "", "at once", "gateway µs", "worker µs", "calls/s");
    for count in [1, MANY] {
        measure(&bed, "declared getRow", count, async || drop(bed.call("getItem", &one).await));
        measure(&bed, "empty handler", count, async || drop(bed.call("nothing", "{}").await));
        measure(&bed, "batch of three getRow", count, async || {
            let call = Call::new(bed.install_id, "getItem", &bed.identity, one.as_bytes());
            let replies = bed.shared.gateway.call_atomically(&bed.shared.worker, &[call; 3], None).await;
            assert!(replies.iter().all(|reply| reply.result.is_ok()));
        });
        measure(&bed, "handler with three ctx.db.get", count, async || drop(bed.call("threeItems", &one).await));
    }
    waiting(&bed);
}

/// Calls without a pause, `count` at once, and prints what each took.
fn measure(bed: &Bed, name: &str, count: usize, call: impl AsyncFn()) {
    let round = async || drop(join_all((0..count).map(|_| call())).await);
    bed.runtime.block_on(async {
        for _ in 0..20 {
            round().await;
        }
        let pid = bed.shared.worker.scripts.worker_pid();
        let worker = || pid.map_or(Duration::ZERO, processor_time);
        let (mut calls, began, gateway_before, worker_before) = (0, Instant::now(), Cpu.start(), worker());
        while began.elapsed() < FOR {
            round().await;
            calls += count;
        }
        let each = |time: Duration| time.as_secs_f64() * 1e6 / calls as f64;
        let (gateway, worker) = (each(Cpu.end(gateway_before)), each(worker() - worker_before));
        let per_s = calls as f64 / began.elapsed().as_secs_f64();
        println!("{name:32} {count:>6} {gateway:>12.1} {worker:>12.1} {per_s:>12.0}");
    });
}

/// What a worker holds for each call that waits for the answer to a question.
fn waiting(bed: &Bed) {
    let pool = Pool::new(Settings {
        executable: Some(env!("CARGO_BIN_EXE_rowgate").into()),
        operations: vec!["db.get".to_owned()],
        builders: Vec::new(),
        machines_max: WAITING,
        calls_per_worker_max: u32::MAX,
        worker_memory_bytes_max: 2 << 30,
        start_timeout_ms: 30_000,
        cancel_timeout_ms: 30_000,
    });
    let source = "return { ask = query({ handler = function(ctx) return ctx.db.get('notes', 1) end }) }";
    let bundle = Bundle::new(vec![("functions".to_owned(), source.to_owned())]);
    let begin = Begin {
        function: "ask".to_owned(),
        kind: "a query".to_owned(),
        operations: vec!["db.get".to_owned()].into(),
        context: b"{}".to_vec(),
        arguments: b"{}".to_vec(),
        seed: 1,
        limits: Limits {
            cpu_ms_max: 1_000,
            memory_bytes_max: 10 << 20,
            allocated_bytes_max: 24 << 20,
            host_calls_max: 10,
            answer_bytes_max: 1 << 20,
        },
    };
    bed.runtime.block_on(async {
        pool.warm().await.unwrap();
        let pid = pool.worker_pid().unwrap();
        let before = resident_bytes(pid);
        let mut calls: Vec<_> = (0..WAITING).map(|_| pool.begin(&bundle, begin.clone()).unwrap()).collect();
        for call in &mut calls {
            assert!(matches!(call.next().await, Event::Asks { .. }));
        }
        let each = (resident_bytes(pid) - before) / WAITING / 1024;
        println!("{WAITING} calls that wait: {each} KiB each in the worker");
    });
}

/// Of all threads of the process `pid`.
fn processor_time(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let spent = threads.map(|thread| {
        let text = std::fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(spent.sum())
}

fn resident_bytes(pid: u32) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
