//! Worker processes: what holds them, what they serve, and what it costs when one dies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rowgate::script::machine::{Fault, Limits};
use rowgate::script::pool::{Bundle, Event, Invocation, Pool, Refused, Settings};
use rowgate::script::sandbox::Termination;
use rowgate::script::worker::frame::{Begin, Outcome};
use rowgate::script::worker::{self, Held};
use rowgate_schema_dsl::definition::HandlerKind;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::ROWGATE;

/// Nothing here should take a tenth of it; a machine with other things to do may.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        executable: Some(PathBuf::from(ROWGATE)),
        machines_max: 1_000,
        calls_per_worker_max: 10_000,
        worker_memory_bytes_max: 1 << 30,
        start_timeout_ms: 30_000,
        cancel_timeout_ms: 30_000,
    }
}

fn bundle(functions: &str) -> Bundle {
    let functions = format!("local functions = {{}}\n{functions}\nreturn functions");
    Bundle::new(vec![("functions".to_owned(), functions), ("answers".to_owned(), "return { right = 42 }".to_owned())])
}

/// Functions that every test here calls.
fn usual() -> Bundle {
    bundle(
        "function define(name, handler) functions[name] = query({ handler = handler }) end
         define('right', function() return require('./answers').right end)
         define('ask', function(ctx, args) return { ctx.db.get('notes', args.id) } end)
         define('catch', function(ctx) local ok, e = pcall(ctx.db.get, 'notes') return { ok, e.code, e.message } end)
         define('fail', function() error({ code = 'closed', message = 'it is closed' }) end)
         define('loop', function() while true do end end)
         define('grow', function() local t = {} while true do t[#t + 1] = {} end end)",
    )
}

fn begin(function: &str, cpu_ms_max: u64) -> Begin {
    Begin {
        function: function.to_owned(),
        kind: HandlerKind::Query,
        context: b"{}".to_vec(),
        arguments: br#"{"id":7}"#.to_vec(),
        seed: 1,
        limits: Limits {
            cpu_ms_max,
            memory_bytes_max: 10 << 20,
            allocated_bytes_max: 24 << 20,
            host_calls_max: 10,
            answer_bytes_max: 1 << 20,
        },
    }
}

fn invoke(pool: &Pool, bundle: &Bundle, function: &str) -> Invocation {
    pool.begin(bundle, begin(function, 1_000)).unwrap()
}

async fn next(invocation: &mut Invocation) -> Event {
    tokio::time::timeout(PATIENCE, invocation.next()).await.expect("an event in time")
}

async fn outcome(mut invocation: Invocation) -> Outcome {
    match next(&mut invocation).await {
        Event::Ended(outcome) => outcome,
        asks @ Event::Asks { .. } => panic!("{asks:?}"),
    }
}

fn asks(event: &Event) -> (&str, &str) {
    match event {
        Event::Asks { operation, arguments } => (operation, std::str::from_utf8(arguments).unwrap()),
        ended @ Event::Ended(_) => panic!("{ended:?}"),
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn a_worker_may_open_connect_start_and_signal_nothing() {
    let output = Command::new(ROWGATE)
        .args([worker::COMMAND, "268435456", worker::PROBE])
        .env_clear()
        .envs(worker::ENVIRONMENT)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let tried: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(": ")).collect();
    let names: Vec<&str> = tried.iter().map(|(name, _)| *name).collect();
    let expected = [
        "landlock", "seccomp", "open", "create", "list", "udp", "listen", "connect", "pair", "fork", "thread",
        "signal", "limit", "exec",
    ];
    assert_eq!(names, expected, "{said}");
    if cfg!(target_os = "linux") {
        assert_eq!(tried[1].1, "whole", "{said}");
        for (name, outcome) in &tried[2..] {
            assert!(outcome.starts_with("refused"), "{name}: {outcome}");
        }
    }
}

#[tokio::test]
async fn what_a_handler_asks_and_answers_crosses_the_pipe() {
    let (pool, bundle) = (Pool::new(settings()), usual());
    assert_eq!(pool.worker_pid(), None, "no process before it is needed");
    let jail = pool.warm().await.unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(jail.calls, Held::Whole);
    }
    assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));

    let mut asking = invoke(&pool, &bundle, "ask");
    assert_eq!(asks(&next(&mut asking).await), ("db.get", r#"["notes",7]"#));
    asking.answer(br#"{"text":"a"}"#.to_vec());
    assert_eq!(next(&mut asking).await, Event::Ended(Outcome::Returned(br#"[{"text":"a"}]"#.to_vec())));

    let mut catching = invoke(&pool, &bundle, "catch");
    next(&mut catching).await;
    let fault = Fault { code: Some("no".to_owned()), message: "not now".to_owned(), ..Fault::default() };
    catching.refuse(fault);
    assert_eq!(outcome(catching).await, Outcome::Returned(br#"[false,"no","not now"]"#.to_vec()));

    let Outcome::Failed(fault) = outcome(invoke(&pool, &bundle, "fail")).await else { panic!() };
    assert_eq!((fault.code.as_deref(), fault.message.as_str()), (Some("closed"), "it is closed"));
    let stopped = |outcome: Outcome| match outcome {
        Outcome::Stopped { termination, .. } => termination,
        other => panic!("{other:?}"),
    };
    assert_eq!(stopped(outcome(pool.begin(&bundle, begin("loop", 50)).unwrap()).await), Termination::Time);
    assert_eq!(stopped(outcome(invoke(&pool, &bundle, "grow")).await), Termination::Memory);
    let Outcome::Failed(fault) = outcome(invoke(&pool, &bundle, "nothing")).await else { panic!() };
    assert_eq!(fault.message, "`nothing` is no handler any more once the file has run");
}

#[tokio::test]
async fn a_killed_worker_costs_the_calls_on_it_and_no_other() {
    let (pool, bundle) = (Pool::new(settings()), usual());
    let (mut asking, mut other) = (invoke(&pool, &bundle, "ask"), invoke(&pool, &bundle, "ask"));
    next(&mut asking).await;
    next(&mut other).await;
    let pid = pool.worker_pid().unwrap();
    signal(pid, Signal::KILL);
    assert_eq!(outcome(asking).await, Outcome::WorkerLost);
    assert_eq!(outcome(other).await, Outcome::WorkerLost);
    assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));
    assert_ne!(pool.worker_pid(), Some(pid));
}

#[tokio::test]
async fn a_short_call_goes_between_endless_ones_and_those_end_when_nobody_waits() {
    let (pool, bundle) = (Pool::new(settings()), usual());
    let endless: Vec<Invocation> = (0..8).map(|_| pool.begin(&bundle, begin("loop", 600_000)).unwrap()).collect();
    for _ in 0..5 {
        assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));
    }
    let pid = pool.worker_pid();
    drop(endless);
    assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));
    assert_eq!(pool.worker_pid(), pid, "a worker that does as it is told is kept");
}

#[tokio::test]
async fn a_worker_that_does_not_end_a_call_is_killed() {
    let pool = Pool::new(Settings { cancel_timeout_ms: 100, ..settings() });
    let bundle = usual();
    let (mut asking, mut other) = (invoke(&pool, &bundle, "ask"), invoke(&pool, &bundle, "ask"));
    next(&mut asking).await;
    next(&mut other).await;
    // It hears nothing any more, as if a routine of Luau's own did not come back.
    let pid = pool.worker_pid().unwrap();
    signal(pid, Signal::STOP);
    // The signal is one thread's to take; the others go on until it has.
    let is_stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    while !is_stopped() {
        std::thread::yield_now();
    }
    drop(asking);
    assert_eq!(outcome(other).await, Outcome::WorkerLost);
    assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));
}

/// Straight lines have no place where Luau would ask whether to go on.
#[tokio::test]
async fn a_step_that_does_not_come_back_ends_its_worker() {
    let pool = Pool::new(settings());
    let straight = "a = s < t\n".repeat(100_000);
    let bundle = bundle(&format!(
        "functions.f = query({{ handler = function()
         local a, s, t = nil, ('x'):rep(4e6) .. 'a', ('x'):rep(4e6) .. 'b'\n{straight} end }})",
    ));
    assert_eq!(outcome(pool.begin(&bundle, begin("f", 500)).unwrap()).await, Outcome::WorkerLost);
    assert_eq!(outcome(invoke(&pool, &usual(), "right")).await, Outcome::Returned(b"42".to_vec()));
}

#[tokio::test]
async fn a_worker_that_has_had_its_calls_is_replaced_and_ends_what_it_has() {
    let (pool, bundle) = (Pool::new(Settings { calls_per_worker_max: 2, ..settings() }), usual());
    let mut asking = invoke(&pool, &bundle, "ask");
    next(&mut asking).await;
    let first = pool.worker_pid().unwrap();
    for _ in 0..4 {
        assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));
    }
    assert_ne!(pool.worker_pid(), Some(first));
    asking.answer(b"1".to_vec());
    assert_eq!(outcome(asking).await, Outcome::Returned(b"[1]".to_vec()));
    // Nothing is on it any more, so it has ended or is about to.
    let gone = async {
        while kill_process(Pid::from_raw(i32::try_from(first).unwrap()).unwrap(), Signal::CONT).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the first worker ends");
}

#[tokio::test]
async fn as_many_calls_are_under_way_as_there_may_be() {
    let (pool, bundle) = (Pool::new(Settings { machines_max: 20, ..settings() }), usual());
    let mut waiting: Vec<Invocation> = (0..20).map(|_| invoke(&pool, &bundle, "ask")).collect();
    for invocation in &mut waiting {
        next(invocation).await;
    }
    assert_eq!(pool.begin(&bundle, begin("right", 50)).unwrap_err(), Refused::Full);
    for (number, invocation) in waiting.into_iter().enumerate() {
        invocation.answer(number.to_string().into_bytes());
        assert_eq!(outcome(invocation).await, Outcome::Returned(format!("[{number}]").into_bytes()));
    }
    assert_eq!(outcome(invoke(&pool, &bundle, "right")).await, Outcome::Returned(b"42".to_vec()));
}

#[tokio::test]
async fn without_an_executable_no_call_begins() {
    let pool = Pool::new(Settings { executable: Some(PathBuf::from("/nothing/here")), ..settings() });
    assert!(matches!(pool.begin(&usual(), begin("right", 50)), Err(Refused::NotStarted(_))));
}
