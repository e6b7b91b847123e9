//! The process that scripts run in: the gateway's own executable, run with a hidden first argument,
//! without rights to anything but two pipes.
//!
//! It reads frames from its standard input, steps many machines in turn on one thread, a slice of
//! time each, and writes what they ask and how they end. It ends with its input. A routine that
//! nothing can stop ends the process: its clock thread sees to that.

pub mod frame;
mod jail;
mod machines;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, Timespec, clock_gettime};

pub use crate::script::worker::jail::{Held, Jail};

use crate::script::ticker::Ticker;
use crate::script::worker::frame::{Frames, FromWorker};
use crate::script::worker::machines::Machines;

/// The hidden first argument on which `main` calls [`run`]; then the bytes of memory it may take.
pub const COMMAND: &str = "script-worker";
/// What the environment of a worker must hold, and all it does. The allocator would reserve more than
/// a worker may have, before the worker can say so; and in huge pages, the half of a machine's memory
/// that it never touches would be there, too.
pub const ENVIRONMENT: [(&str, &str); 2] = [("MIMALLOC_ARENA_RESERVE", "32M"), ("MIMALLOC_ALLOW_THP", "0")];
/// Second argument that makes the process try what it must not be able to, and tell.
pub const PROBE: &str = "probe";

/// Luau recurses in C up to its own limits, in debug builds with large frames.
const STACK_BYTES: usize = 16 << 20;

const READ_BYTES: usize = 64 << 10;

/// How much longer than its time one step may take until the whole process ends.
const OVERRUN_MS_MAX: u64 = 1_000;

/// The worker's whole life; `main` calls it with the arguments after [`COMMAND`].
pub fn run(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let memory_bytes = arguments.next().and_then(|text| text.to_str()?.parse::<u64>().ok());
    let Some(memory_bytes) = memory_bytes else {
        eprintln!("this command is for rowgate itself");
        return ExitCode::from(2);
    };
    let probes = arguments.next().is_some_and(|argument| argument == PROBE);
    // On this thread alone: those that it starts are confined with it.
    let files_held = jail::forbid_files();
    let thread = std::thread::Builder::new().name("machines".to_owned()).stack_size(STACK_BYTES);
    let thread = thread.spawn(move || live(memory_bytes, files_held, probes));
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            eprintln!("a script worker ends: {error}");
            ExitCode::FAILURE
        }
        Ok(Err(_)) | Err(_) => ExitCode::FAILURE,
    }
}

fn live(memory_bytes: u64, files_held: Held, probes: bool) -> io::Result<()> {
    let overrun = Arc::new(Overrun::default());
    let watched = Arc::clone(&overrun);
    let ticker = Ticker::start(move || watched.end_if_over())?;
    jail::give_way();
    jail::limit_resources(memory_bytes)?;
    // After the threads are there: none can be made any more.
    let jail = Jail { files: files_held, calls: jail::forbid_calls() };
    if probes {
        return jail::probe(&jail);
    }
    say(&FromWorker::Ready(jail))?;
    serve(&ticker, &overrun)
}

/// Until its input ends: reads what has come, and runs whoever is next for a slice.
fn serve(ticker: &Ticker, overrun: &Overrun) -> io::Result<()> {
    let mut frames = Frames::default();
    let mut bytes = vec![0; READ_BYTES];
    let mut machines = Machines::new(ticker.ticks());
    loop {
        if !machines.have_work() {
            ticker.rest();
            // While nobody waits, machines are made for who comes next.
            while machines.want_more() && !has_input()? && machines.prepare() {}
        }
        // Where nobody has work to do, the reading waits.
        if !machines.have_work() || has_input()? {
            match rustix::io::read(io::stdin(), &mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => frames.push(bytes.get(..count).unwrap_or_default()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(frame) = frames.next_to_worker()? {
            if let Some(answer) = machines.take(frame) {
                say(&answer)?;
            }
        }
        if machines.have_work() {
            ticker.wake();
            let answer = machines.run(|cpu_ms_max| overrun.begin(cpu_ms_max));
            overrun.over();
            if let Some(answer) = answer {
                say(&answer)?;
            }
        }
    }
}

/// Whether there is input, or its end.
fn has_input() -> io::Result<bool> {
    let stdin = io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    loop {
        match poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(count) => return Ok(count > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// At once, by no buffer.
fn say(frame: &FromWorker) -> io::Result<()> {
    let bytes = frame.encode();
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        match rustix::io::write(io::stdout(), left) {
            Ok(count) => left = left.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a step comes back in time. The clock is read at ticks alone, not at each step: what a step
/// may take is counted from the first tick that finds it.
#[derive(Debug, Default)]
struct Overrun {
    /// How many steps have begun.
    steps: AtomicU64,
    /// What the step that runs may take; 0 while none does.
    cpu_ms_max: AtomicU64,
    /// The step that the last tick found, and when it must have come back, in the process's own
    /// processor time. Ticks alone use these.
    found: AtomicU64,
    ends_ms: AtomicU64,
}

impl Overrun {
    fn begin(&self, cpu_ms_max: u64) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.cpu_ms_max.store(cpu_ms_max.max(1), Ordering::Release);
    }

    fn over(&self) {
        self.cpu_ms_max.store(0, Ordering::Release);
    }

    /// Ends the process if a step does not come back: a routine of Luau's own that nothing can stop.
    fn end_if_over(&self) {
        let cpu_ms_max = self.cpu_ms_max.load(Ordering::Acquire);
        if cpu_ms_max == 0 {
            return;
        }
        let (step, now_ms) = (self.steps.load(Ordering::Relaxed), process_cpu_ms());
        if self.found.swap(step, Ordering::Relaxed) != step {
            self.ends_ms.store(now_ms + cpu_ms_max + OVERRUN_MS_MAX, Ordering::Relaxed);
        } else if now_ms > self.ends_ms.load(Ordering::Relaxed) {
            std::process::abort();
        }
    }
}

fn process_cpu_ms() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}
