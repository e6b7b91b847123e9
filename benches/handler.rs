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

use std::fmt::Write;
use std::rc::Rc;
use std::time::{Duration, Instant};

use criterion::measurement::Measurement;
use futures_util::future::join_all;
use mlua::{Lua, LuaOptions, StdLib};
use rowgate::gateway::Call;
use rowgate::script::machine::{Input, Limits, Machine, Order, Program, Step};
use rowgate::script::pool::{Bundle, Event, Pool, Settings};
use rowgate::script::sandbox::SandboxError;
use rowgate::script::ticker::Ticker;
use rowgate::script::worker::frame::Begin;
use rowgate_schema_dsl::definition::HandlerKind;

use crate::bed::Bed;
use crate::support::Cpu;

/// As many as the load bench has connections.
const MANY: usize = 32;
const WAITING: usize = 1_000;
const LIMITS: Limits = Limits {
    cpu_ms_max: 1_000,
    memory_bytes_max: 10 << 20,
    allocated_bytes_max: 24 << 20,
    host_calls_max: 10,
    answer_bytes_max: 1 << 20,
};
const EMPTY: &str = "return { list = query({ handler = function() end }) }";
const LISTS: &str = r#"
local tasks = require("./tasks")
return { list = query({ handler = function(ctx)
  local shown = {}
  for place, task in ctx.db.query("tasks", { limit = 20 }) do
    shown[place] = tasks.shown(task)
  end
  return shown
end }) }
"#;
const STRETCHES: usize = 12;
const STRETCH: Duration = Duration::from_millis(200);

fn main() {
    // `cargo test --benches` asks for nothing more than that it starts.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    in_process();
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
    crossing(&bed);
    beside_loops(&bed);
    waiting(&bed);
}

/// What one machine costs, in this process: on a call's path, and off it, before and after.
fn in_process() {
    let thread = std::thread::Builder::new().stack_size(16 << 20);
    thread.spawn(|| machines().unwrap()).unwrap().join().unwrap();
}

fn machines() -> Result<(), SandboxError> {
    println!("{:32} {:>12} {:>12} {:>12}", "one machine, µs", "built", "on the path", "dropped");
    let ticker = Ticker::start(|| ()).unwrap();
    let (module, rows) = (five_hundred_lines(), twenty_rows());
    // What Luau itself asks for, by which others can compare this machine with theirs.
    let mut bare = Duration::MAX;
    for _ in 0..20 {
        let began = Cpu.start();
        for _ in 0..MANY {
            drop(Lua::new_with(StdLib::ALL_SAFE, LuaOptions::new()).unwrap());
        }
        bare = bare.min(Cpu.end(began));
    }
    println!("{:32} {:>12.1}", "a bare state of Luau, and dropped", bare.as_secs_f64() * 1e6 / MANY as f64);
    let cases = [("empty handler", EMPTY, ""), ("500 lines, 20 rows in, 3 KB out", LISTS, module.as_str())];
    for (name, functions, module) in cases {
        let program = Rc::new(Program::compile([("functions", functions), ("tasks", module)])?);
        let order = Order {
            function: "list",
            kind: HandlerKind::Query,
            context: br#"{"auth":{"userId":"u","role":"viewer"}}"#,
            arguments: b"{}",
            seed: 1,
        };
        // The quietest of some rounds.
        let mut least = [Duration::MAX; 3];
        for _ in 0..20 {
            let (mut ready, built) = (Vec::new(), Cpu.start());
            for _ in 0..MANY {
                ready.push(Machine::build(ticker.ticks())?);
            }
            let (built, started) = (Cpu.end(built), Cpu.start());
            for machine in &mut ready {
                let mut step = machine.start(&program, &order, LIMITS);
                while let Step::Asks { .. } = step {
                    step = machine.step(Input::Answer(rows.as_bytes()));
                }
                assert!(matches!(step, Step::Returned(_)), "{step:?}");
            }
            let (started, dropped) = (Cpu.end(started), Cpu.start());
            drop(ready);
            for (least, took) in least.iter_mut().zip([built, started, Cpu.end(dropped)]) {
                *least = (*least).min(took);
            }
        }
        let kib = Machine::build(ticker.ticks())?.memory_bytes() / 1024;
        let [built, started, dropped] = least.map(|took| took.as_secs_f64() * 1e6 / MANY as f64);
        println!("{name:32} {built:>12.1} {started:>12.1} {dropped:>12.1}   {kib} KiB held");
    }
    Ok(())
}

/// As much as an author's module is: functions of which few are called.
fn five_hundred_lines() -> String {
    let mut module = String::from("local tasks = {}\n");
    for number in 0..60 {
        write!(
            module,
            "function tasks.rule{number}(task)\n  local score = task.score or 0\n  if score > {number} then\n    \
             return {{ name = \"rule{number}\", over = score - {number} }}\n  end\n  return nil\nend\n\n"
        )
        .unwrap();
    }
    module
        + "function tasks.shown(task)\n  local rule = tasks.rule7(task)\n  return { id = task.id, title = \
     string.upper(task.title), score = task.score, over = if rule then rule.over else 0, tags = task.tags, done = \
     task.done }\nend\nreturn tasks\n"
}

fn twenty_rows() -> String {
    let row = |number: usize| {
        format!(
            r#"{{"id":"0190c1f2-0000-7000-8000-{number:012}","title":"task number {number}","score":{number},"done":false,"tags":["one","two"],"version":1}}"#
        )
    };
    format!("[{}]", (0..20).map(row).collect::<Vec<_>>().join(","))
}

/// One question over the pipe and its answer, beyond the work that it asks for: there is none here.
fn crossing(bed: &Bed) {
    const CALLS: u32 = 20;
    const ASKS: u32 = 500;
    let pool = pool(MANY);
    let source = format!(
        "return {{ ask = query({{ handler = function(ctx) for _ = 1, {ASKS} do ctx.db.get('notes', 1) end end }}) }}"
    );
    let bundle = Bundle::new(vec![("functions".to_owned(), source)]);
    bed.runtime.block_on(async {
        pool.warm().await.unwrap();
        let pid = pool.worker_pid().unwrap();
        let mut least = (Duration::from_secs(9), Duration::from_secs(9));
        for _ in 0..CALLS {
            let (gateway, worker) = (Cpu.start(), processor_time(pid));
            let mut call = pool.begin(&bundle, begin(ASKS)).unwrap();
            while let Event::Asks { .. } = call.next().await {
                call.answer(br#"{"id":1,"text":"a note"}"#.to_vec());
            }
            let took = (Cpu.end(gateway), processor_time(pid) - worker);
            least = if took.0 + took.1 < least.0 + least.1 { took } else { least };
        }
        let (gateway, worker) = (least.0.as_secs_f64() * 1e6, least.1.as_secs_f64() * 1e6);
        let each = |time: f64| time / f64::from(ASKS);
        println!("one host call: {:.1} µs in the gateway, {:.1} µs in the worker", each(gateway), each(worker));
    });
}

/// How long a call waits that has nothing to do, while others never end.
fn beside_loops(bed: &Bed) {
    const LOOPS: usize = 8;
    const CALLS: usize = 200;
    let pool = pool(MANY);
    let source = "return { ask = query({ handler = function() end }),
        loop = query({ handler = function() while true do end end }) }";
    let bundle = Bundle::new(vec![("functions".to_owned(), source.to_owned())]);
    bed.runtime.block_on(async {
        pool.warm().await.unwrap();
        let limits = Limits { cpu_ms_max: 600_000, ..LIMITS };
        let endless = || Begin { function: "loop".to_owned(), limits, ..begin(1) };
        let loops: Vec<_> = (0..LOOPS).map(|_| pool.begin(&bundle, endless()).unwrap()).collect();
        let mut took = Vec::new();
        for _ in 0..CALLS {
            let began = Instant::now();
            let mut call = pool.begin(&bundle, begin(1)).unwrap();
            assert!(matches!(call.next().await, Event::Ended(_)));
            took.push(began.elapsed().as_secs_f64() * 1e3);
            // Not in step with the slices.
            tokio::time::sleep(Duration::from_micros(took.len() as u64 * 37 % 3_000)).await;
        }
        took.sort_by(f64::total_cmp);
        println!("beside {LOOPS} endless loops: p50 {:.1} ms, p95 {:.1} ms", took[CALLS / 2], took[CALLS * 95 / 100]);
        drop(loops);
    });
}

fn pool(machines_max: usize) -> Pool {
    Pool::new(Settings {
        executable: Some(env!("CARGO_BIN_EXE_rowgate").into()),
        machines_max,
        calls_per_worker_max: u32::MAX,
        worker_memory_bytes_max: 2 << 30,
        start_timeout_ms: 30_000,
        cancel_timeout_ms: 30_000,
    })
}

fn begin(host_calls_max: u32) -> Begin {
    Begin {
        function: "ask".to_owned(),
        kind: HandlerKind::Query,
        context: b"{}".to_vec(),
        arguments: b"{}".to_vec(),
        seed: 1,
        limits: Limits { host_calls_max, ..LIMITS },
    }
}

/// Calls without a pause, `count` at once, and prints what each took in the cheapest of some stretches:
/// what else the machine does only ever adds.
fn measure(bed: &Bed, name: &str, count: usize, call: impl AsyncFn()) {
    let round = async || drop(join_all((0..count).map(|_| call())).await);
    bed.runtime.block_on(async {
        for _ in 0..20 {
            round().await;
        }
        let pid = bed.shared.worker.scripts.worker_pid();
        let worker = || pid.map_or(Duration::ZERO, processor_time);
        let mut least = [f64::INFINITY; 3];
        for _ in 0..STRETCHES {
            let (mut calls, began, gateway_before, worker_before) = (0, Instant::now(), Cpu.start(), worker());
            while began.elapsed() < STRETCH {
                round().await;
                calls += count;
            }
            let each = |time: Duration| time.as_secs_f64() * 1e6 / calls as f64;
            let took = [Cpu.end(gateway_before), worker() - worker_before, began.elapsed()].map(each);
            for (least, took) in least.iter_mut().zip(took) {
                *least = least.min(took);
            }
        }
        let [gateway, worker, wall] = least;
        println!("{name:32} {count:>6} {gateway:>12.1} {worker:>12.1} {:>12.0}", 1e6 / wall);
    });
}

/// What a worker holds for each call that waits for the answer to a question.
fn waiting(bed: &Bed) {
    let pool = pool(WAITING);
    let source = "return { ask = query({ handler = function(ctx) return ctx.db.get('notes', 1) end }) }";
    let bundle = Bundle::new(vec![("functions".to_owned(), source.to_owned())]);
    bed.runtime.block_on(async {
        pool.warm().await.unwrap();
        let pid = pool.worker_pid().unwrap();
        let before = resident_bytes(pid);
        let mut calls: Vec<_> = (0..WAITING).map(|_| pool.begin(&bundle, begin(10)).unwrap()).collect();
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
