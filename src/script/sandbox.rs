//! A Luau machine that can be stopped: no files, no clock, no coroutines, bounded time and memory.
//!
//! Order matters: Luau's fix flags before the first machine of the process, the guards of
//! `sandbox.luau` before any other code, the owner's own functions, and only then the removal of
//! everything not on the list and the freezing of what is left.
//! A machine that was stopped, or that ran out of memory, is dropped and never used again.

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::state::{GcIncParams, GcMode};
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value, VmState};
use rustix::time::{ClockId, clock_gettime};

/// Stack a thread needs to compile and run Luau: scripts recurse in C up to Luau's own limits.
pub const THREAD_STACK_BYTES: usize = 8 << 20;

/// Fixes that Luau keeps switched off by default: without them a script can corrupt the heap, end
/// the process, or run in C where nothing can stop it.
const FIX_FLAGS: [&str; 4] =
    ["LuauTableRobustOom", "LuauTableArrayAdjustCheck", "LuauTableMoveTimeoutFix", "LuauSandboxFreezesVectorMetatable"];

/// Globals that stay; whatever else a library or an upgrade brings is removed.
pub const GLOBALS_KEPT: [&str; 24] = [
    "assert",
    "bit32",
    "buffer",
    "error",
    "getmetatable",
    "ipairs",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawlen",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "typeof",
    "utf8",
    "xpcall",
];

/// What the names of our own Luau files begin with; no author's file is called so.
pub const TRUSTED: &str = "rowgate:";

static GUARDS: Trusted = Trusted::new("sandbox", include_str!("sandbox.luau"));

/// What a machine may use before it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Processor time of the thread that runs it.
    pub cpu_ms_max: u64,
    /// What scripts allocate beyond the machine itself.
    pub memory_bytes_max: usize,
}

/// Why a machine was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Termination {
    Time,
    Memory,
    /// It asked its host too often; a definition has none to ask.
    HostCalls,
}

/// Why no machine could be built, or no source compiled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SandboxError {
    #[error("this Luau does not know the flag `{0}`, without which scripts are not safe to run")]
    FlagUnknown(&'static str),
    /// Luau's own message, with the line in front: `:3: …`.
    #[error("{0}")]
    Syntax(String),
    #[error("cannot build a Luau machine: {0}")]
    Build(String),
}

/// One Luau state; it counts its thread's processor time from [`Machine::start`] on.
pub struct Machine {
    lua: Lua,
    budget: Budget,
    deadline: Rc<Cell<Duration>>,
    stopped: Rc<Cell<Option<Termination>>>,
    stopped_at: Rc<RefCell<Option<(String, u32)>>>,
}

impl Machine {
    /// Builds a machine. `equip` runs with the `debug` library, before the globals are closed, and
    /// returns what the owner keeps of it; a global it sets is removed again.
    pub fn build<T>(
        budget: Budget,
        equip: impl FnOnce(&Lua, &Table) -> mlua::Result<T>,
    ) -> Result<(Machine, T), SandboxError> {
        let (lua, equipment) = harden(Chance::Withheld, equip)?;
        let memory_bytes = lua.used_memory().saturating_add(budget.memory_bytes_max);
        lua.set_memory_limit(memory_bytes).map_err(|error| SandboxError::Build(error.to_string()))?;
        let machine =
            Machine { lua, budget, deadline: Rc::default(), stopped: Rc::default(), stopped_at: Rc::default() };
        machine.watch();
        Ok((machine, equipment))
    }

    pub fn lua(&self) -> &Lua {
        &self.lua
    }

    /// Compiles an author's source; `name` is what messages call it.
    pub fn compile(&self, name: &str, source: &str, environment: &Table) -> mlua::Result<Function> {
        let chunk = self.lua.load(source).set_name(format!("={name}")).set_mode(ChunkMode::Text);
        chunk.set_environment(environment.clone()).into_function()
    }

    /// Starts the clock; call it on the thread that then runs the scripts.
    pub fn start(&self) {
        self.deadline.set(thread_cpu_time() + Duration::from_millis(self.budget.cpu_ms_max));
    }

    /// Why the last run has to be thrown away, if it has to; asked even when it returned a value,
    /// since a script can swallow the error that stopped it.
    pub fn termination(&self, error: Option<&mlua::Error>) -> Option<Termination> {
        self.stopped.get().or_else(|| error.filter(|error| is_memory(error)).map(|_| Termination::Memory))
    }

    /// The file and line that ran when the time was up.
    pub fn stopped_at(&self) -> Option<(String, u32)> {
        self.stopped_at.borrow().clone()
    }

    /// Once the time is up every safepoint raises again, so that no `pcall` hides from it.
    fn watch(&self) {
        let (deadline, stopped) = (Rc::clone(&self.deadline), Rc::clone(&self.stopped));
        let stopped_at = Rc::clone(&self.stopped_at);
        self.lua.set_interrupt(move |lua| {
            if stopped.get().is_none() {
                if thread_cpu_time() < deadline.get() {
                    return Ok(VmState::Continue);
                }
                stopped.set(Some(Termination::Time));
                stopped_at.replace(running_line(lua));
            }
            Err(mlua::Error::runtime("time is up"))
        });
    }
}

/// Whether scripts may draw random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chance {
    Given,
    Withheld,
}

/// A Luau state with its guards, closed and frozen, but without a budget yet. `equip` runs with the
/// `debug` and `coroutine` libraries, before the globals are closed.
pub(super) fn harden<T>(
    chance: Chance,
    equip: impl FnOnce(&Lua, &Table) -> mlua::Result<T>,
) -> Result<(Lua, T), SandboxError> {
    set_fix_flags()?;
    let build = || {
        let libraries = StdLib::STRING
            | StdLib::TABLE
            | StdLib::MATH
            | StdLib::UTF8
            | StdLib::BIT
            | StdLib::BUFFER
            | StdLib::COROUTINE
            | StdLib::DEBUG;
        let lua = Lua::new_with(libraries, LuaOptions::new())?;
        // Nothing is collected on the way, but at two places, so that what is kept lies close together.
        lua.gc_stop();
        lua.gc_collect()?;
        lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().goal(150).step_multiplier(400).step_size(8)));
        let names = lua.create_sequence_from(GLOBALS_KEPT)?;
        let (kept, close): (Table, Function) =
            GUARDS.load(&lua)?.call((Value::NULL, chance == Chance::Given, names))?;
        let equipment = equip(&lua, &kept)?;
        close.call::<()>(())?;
        lua.sandbox(true)?;
        lua.gc_restart();
        lua.gc_collect()?;
        Ok((lua, equipment))
    };
    build().map_err(|error: mlua::Error| SandboxError::Build(error.to_string()))
}

/// Whether Luau can compile an author's source; it also bounds how deep that nests.
pub fn check_syntax(source: &str) -> Result<(), SandboxError> {
    set_fix_flags()?;
    let Err(error) = Compiler::new().compile(source) else { return Ok(()) };
    if let mlua::Error::SyntaxError { message, .. } = error {
        return Err(SandboxError::Syntax(message));
    }
    Err(SandboxError::Build(error.to_string()))
}

/// One of the gateway's own Luau files, compiled once in a process.
pub struct Trusted {
    name: &'static str,
    source: &'static str,
    /// Or why Luau refuses it, which it does in no build that passed its tests.
    code: OnceLock<Result<Vec<u8>, String>>,
}

impl Trusted {
    pub const fn new(name: &'static str, source: &'static str) -> Trusted {
        Trusted { name, source, code: OnceLock::new() }
    }

    /// The file as a function of `lua`.
    pub fn load(&self, lua: &Lua) -> mlua::Result<Function> {
        // Not the second level: it inlines calls, and those of the guards are safepoints.
        let compile = || Compiler::new().set_optimization_level(1).set_debug_level(1).compile(self.source);
        let code = self.code.get_or_init(|| compile().map_err(|error| error.to_string()));
        let code = code.as_ref().map_err(mlua::Error::runtime)?;
        // INVARIANT: the code was made by this process, from its own source.
        lua.load(code.as_slice())
            .set_name(format!("={TRUSTED}{}", self.name))
            .set_mode(ChunkMode::Binary)
            .into_function()
    }
}

/// Flags are the process's, and may not change once a machine runs: set once, before the first.
pub(super) fn set_fix_flags() -> Result<(), SandboxError> {
    static SET: OnceLock<Result<(), SandboxError>> = OnceLock::new();
    let set = || {
        FIX_FLAGS.iter().try_for_each(|flag| Lua::set_fflag(flag, true).map_err(|()| SandboxError::FlagUnknown(flag)))
    };
    SET.get_or_init(set).clone()
}

pub(super) fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The innermost line that runs and is not ours; scripts that recurse deeper than this have none.
pub(super) fn running_line(lua: &Lua) -> Option<(String, u32)> {
    const LEVELS_MAX: usize = 16;
    (0..LEVELS_MAX).find_map(|level| {
        let frame = lua.inspect_stack(level, |frame| {
            let file = frame.source().short_src?.into_owned();
            Some((file, u32::try_from(frame.current_line()?).ok()?))
        })?;
        frame.filter(|(file, line)| *line > 0 && !file.starts_with(TRUSTED))
    })
}

pub(super) fn is_memory(error: &mlua::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref::<mlua::Error>(), Some(mlua::Error::MemoryError(_))))
}
