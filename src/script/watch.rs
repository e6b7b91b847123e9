//! What is looked at while a handler runs: its processor time, its memory and its slice.
//!
//! Luau calls [`Watch::look`] at each call, return and turn of a loop; it compares two numbers, and
//! reads the clock only when the tick has changed. A machine that is stopped yields and is not resumed;
//! within what cannot yield every safepoint raises, again and again, so that no `pcall` hides from it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use mlua::{Lua, VmState};

use crate::script::machine::{Limits, Used};
use crate::script::sandbox::{Termination, running_line, thread_cpu_time};
use crate::script::ticker::Ticks;

/// Ticks that a machine runs before others have their turn.
const SLICE_TICKS: u64 = 2;

/// What the interrupt and the steps of one machine share.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) stopped: Cell<Option<Termination>>,
    /// The file and line that ran when it was stopped.
    pub(super) stopped_at: RefCell<Option<(String, u32)>>,
    ticks: Ticks,
    /// The tick at which the clock was last read.
    seen: Cell<u64>,
    /// The tick at which the step began.
    began: Cell<u64>,
    /// The thread's processor time when the step began.
    began_cpu: Cell<Duration>,
    /// What the steps before took.
    used_cpu: Cell<Duration>,
    cpu_max: Cell<Duration>,
    /// What it may hold, the machine itself included.
    memory_max: Cell<usize>,
    /// What was held after garbage was last collected.
    collected: Cell<usize>,
    /// What the machine itself holds.
    memory_base: Cell<usize>,
    /// The most that was held when a step ended.
    memory_most: Cell<usize>,
}

impl Watch {
    /// Watches a machine that may not run yet: it has no time.
    pub(super) fn new(ticks: Ticks) -> Watch {
        Watch {
            stopped: Cell::default(),
            stopped_at: RefCell::default(),
            seen: Cell::new(ticks.now()),
            ticks,
            began: Cell::default(),
            began_cpu: Cell::default(),
            used_cpu: Cell::default(),
            cpu_max: Cell::default(),
            memory_max: Cell::default(),
            collected: Cell::default(),
            memory_base: Cell::default(),
            memory_most: Cell::default(),
        }
    }

    /// Grants `limits` beyond what the machine itself holds.
    pub(super) fn allow(&self, memory_base: usize, limits: &Limits) {
        self.cpu_max.set(Duration::from_millis(limits.cpu_ms_max));
        self.memory_max.set(memory_base.saturating_add(limits.memory_bytes_max));
        self.collected.set(memory_base);
        self.memory_base.set(memory_base);
    }

    /// A step begins, on the thread that runs it.
    pub(super) fn enter(&self) {
        self.began.set(self.ticks.now());
        self.began_cpu.set(thread_cpu_time());
    }

    /// A step has ended, and so much is held.
    pub(super) fn leave(&self, memory: usize) {
        self.used_cpu.set(self.used());
        self.memory_most.set(self.memory_most.get().max(memory));
    }

    /// What the steps that have ended took, beyond what the machine itself holds.
    pub(super) fn spent(&self) -> Used {
        let memory = self.memory_most.get().saturating_sub(self.memory_base.get());
        let cpu_us = u64::try_from(self.used_cpu.get().as_micros()).unwrap_or(u64::MAX);
        Used { cpu_us, memory_bytes: memory as u64 }
    }

    pub(super) fn look(&self, lua: &Lua) -> mlua::Result<VmState> {
        if self.stopped.get().is_none() {
            let tick = self.ticks.now();
            if tick == self.seen.get() && !self.is_crowded(lua.used_memory()) {
                return Ok(VmState::Continue);
            }
            self.seen.set(tick);
            let termination = if self.used() > self.cpu_max.get() {
                Some(Termination::Time)
            } else if self.holds_too_much(lua) {
                Some(Termination::Memory)
            } else {
                None
            };
            if termination.is_none() {
                let is_over = tick.saturating_sub(self.began.get()) >= SLICE_TICKS;
                return Ok(if is_over { VmState::Yield } else { VmState::Continue });
            }
            self.stopped.set(termination);
            self.stopped_at.replace(running_line(lua));
            // Left where it stands, it is dropped with all its frames: to raise through thousands of `pcall`
            // takes tens of milliseconds. Where it may not yield it goes on, and meets the next safepoint.
            return Ok(VmState::Yield);
        }
        Err(mlua::Error::runtime("stopped"))
    }

    fn used(&self) -> Duration {
        self.used_cpu.get() + thread_cpu_time().saturating_sub(self.began_cpu.get())
    }

    /// Whether it holds more than it may, garbage included, and has grown since that was collected.
    fn is_crowded(&self, used: usize) -> bool {
        used > self.memory_max.get() && used > self.collected.get() + self.collected.get() / 8
    }

    /// Whether it holds more than it may when all garbage is gone, which Luau itself leaves lying
    /// until no memory is left.
    fn holds_too_much(&self, lua: &Lua) -> bool {
        if !self.is_crowded(lua.used_memory()) {
            return false;
        }
        if lua.gc_collect().is_err() {
            return true;
        }
        self.collected.set(lua.used_memory());
        self.collected.get() > self.memory_max.get()
    }
}
