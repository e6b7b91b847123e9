//! One call of a handler: a machine that served nobody before, stepped by who runs it.
//!
//! The prelude makes `ctx` of operations that yield; [`Machine::step`] runs until the handler asks,
//! ends, is stopped, or has had its slice of time, and never waits. What was asked is answered by
//! the next step. A machine that was stopped is dropped with everything it made, and so is one that
//! ended: nothing of a call is left for the next.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::chunk::{ChunkMode, Compiler};
use mlua::{Function, Lua, LuaSerdeExt, MultiValue, Table, Thread, Value};
use rowgate_schema_dsl::definition::HandlerKind;

use crate::script::operation::{OPERATIONS, phrase};
use crate::script::sandbox::{Chance, SandboxError, Termination, Trusted, harden, is_memory, set_fix_flags};
use crate::script::ticker::Ticks;
use crate::script::value::{self, Unwritable};
use crate::script::watch::Watch;

/// The names that mean something in a definition alone, besides `v`: in a handler's file they are
/// there and do nothing.
pub const BUILDERS: [&str; 33] = [
    "defineSchema",
    "defineTable",
    "queryRows",
    "getRow",
    "countRows",
    "insertRow",
    "insertRows",
    "upsertRow",
    "patchRow",
    "patchRows",
    "deleteRow",
    "deleteRows",
    "aggregateRows",
    "transaction",
    "step",
    "row",
    "arg",
    "identity",
    "now",
    "increment",
    "append",
    "remove",
    "filter",
    "all",
    "any",
    "negate",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "step",
    "editorOnly",
];

static PRELUDE: Trusted = Trusted::new("machine", include_str!("machine.luau"));

/// Bytes of a message that leaves a machine; what is longer is cut.
pub const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// What one call may use before it is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processor time, over all its steps.
    pub cpu_ms_max: u64,
    /// What it may hold; beyond, garbage is collected, and what is then left must be less.
    pub memory_bytes_max: usize,
    /// What it may hold together with garbage.
    pub allocated_bytes_max: usize,
    /// How often it may ask.
    pub host_calls_max: u32,
    /// Of an answer, and of what one question carries, as JSON.
    pub answer_bytes_max: usize,
}

/// What one call has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Processor time, over all its steps.
    pub cpu_us: u64,
    /// The most that it held, garbage included, when it asked, had its slice or ended.
    pub memory_bytes: u64,
}

/// The Luau files of one revision, compiled: `functions` and the modules it may require.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Luau's own code by module name. It is made here and never read from anywhere: Luau trusts it.
    chunks: HashMap<Box<str>, Vec<u8>>,
}

/// One call, as who runs the machine orders it.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The member of the table that `functions` returns.
    pub function: &'a str,
    /// What it is decides the operations of `ctx`.
    pub kind: HandlerKind,
    /// JSON of the members of `ctx` that are plain values, such as `auth`.
    pub context: &'a [u8],
    /// JSON of the handler's second argument.
    pub arguments: &'a [u8],
    /// What its random numbers begin with.
    pub seed: u32,
}

/// What a step begins with.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Begin, or go on after [`Step::Sliced`].
    Go,
    /// JSON that the operation last asked for answers with; none is nil.
    Answer(&'a [u8]),
    /// The operation is refused; the handler may catch it.
    Refusal(&'a Fault),
}

/// What a step ended with.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It has had its slice of time and wants to go on.
    Sliced,
    /// It asks for `operation` with a JSON array of arguments.
    Asks { operation: String, arguments: Vec<u8> },
    /// The handler returned this JSON.
    Returned(Vec<u8>),
    /// What the handler returned is no JSON.
    Unanswerable(Unwritable),
    /// The handler raised an error and nothing caught it.
    Failed(Fault),
    /// It was stopped, whatever it would have done next.
    Stopped { termination: Termination, at: Option<(String, u32)> },
}

/// An error raised by a handler, or to be raised in one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// What the author named it: `error({ code = "…", message = "…" })`.
    pub code: Option<String>,
    pub message: String,
    pub field: Option<String>,
    /// Files and lines, for the log alone.
    pub trace: String,
}

/// One Luau state with the prelude, for one call.
pub struct Machine {
    lua: Lua,
    equipment: Equipment,
    program: Rc<RefCell<Option<Rc<Program>>>>,
    watch: Rc<Watch>,
    /// The call that is under way.
    thread: Option<Thread>,
    limits: Limits,
    host_calls_left: u32,
}

struct Equipment {
    environment: Table,
    run: Function,
}

/// What a handler's thread is gone on with.
type Resumed = mlua::Result<MultiValue>;

impl Program {
    /// Compiles each source, by its module name, such as `functions`.
    pub fn compile<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Program, SandboxError> {
        set_fix_flags()?;
        let compiler = Compiler::new().set_optimization_level(1).set_debug_level(1);
        let mut chunks = HashMap::new();
        for (name, source) in sources {
            let code = compiler.compile(source).map_err(|error| SandboxError::Syntax(cut(&error.to_string())))?;
            chunks.insert(name.into(), code);
        }
        Ok(Program { chunks })
    }

    /// Bytes of the compiled code.
    pub fn bytes(&self) -> usize {
        self.chunks.values().map(Vec::len).sum()
    }
}

impl Machine {
    /// Builds a machine, with the operations of every kind.
    pub fn build(ticks: Ticks) -> Result<Machine, SandboxError> {
        let program: Rc<RefCell<Option<Rc<Program>>>> = Rc::default();
        let (lua, equipment) = harden(Chance::Given, |lua, kept| equip(lua, kept, &program))?;
        equipment.environment.set_safeenv(true);
        let watch = Rc::new(Watch::new(ticks));
        let watching = Rc::clone(&watch);
        lua.set_interrupt(move |lua| watching.look(lua));
        Ok(Machine { lua, equipment, program, watch, thread: None, limits: Limits::NONE, host_calls_left: 0 })
    }

    /// What Luau holds of the allocator.
    pub fn memory_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Runs the first step of the one call this machine serves.
    pub fn start(&mut self, program: &Rc<Program>, order: &Order<'_>, limits: Limits) -> Step {
        self.program.replace(Some(Rc::clone(program)));
        self.limits = limits;
        self.host_calls_left = limits.host_calls_max;
        self.watch.allow(self.lua.used_memory(), &limits);
        self.watch.enter();
        let resumed = self.call(order);
        self.proceed(resumed)
    }

    /// Runs until the handler asks, ends, is stopped or has had its slice.
    pub fn step(&mut self, input: Input<'_>) -> Step {
        let Some(thread) = self.thread.clone() else {
            return Step::Failed(Fault { message: "the call has ended".to_owned(), ..Fault::default() });
        };
        self.watch.enter();
        let resumed = match input {
            Input::Go => thread.resume(()),
            Input::Answer([]) => thread.resume((true, Value::Nil)),
            Input::Answer(json) => value::read(&self.lua, json).and_then(|value| thread.resume((true, value))),
            Input::Refusal(fault) => self.refuse(&thread, fault),
        };
        self.proceed(resumed)
    }

    /// What the call has used so far.
    pub fn used(&self) -> Used {
        self.watch.spent()
    }

    fn call(&mut self, order: &Order<'_>) -> Resumed {
        let lua = &self.lua;
        lua.set_memory_limit(lua.used_memory().saturating_add(self.limits.allocated_bytes_max))?;
        let thread = lua.create_thread(self.equipment.run.clone())?;
        let withheld = OPERATIONS.iter().filter(|operation| !operation.kinds.contains(&order.kind));
        let parts = withheld.flat_map(|operation| {
            let (group, member) = operation.name.split_once('.').unwrap_or((operation.name, ""));
            [group, member]
        });
        let withheld = lua.create_sequence_from(parts)?;
        let context = value::read(lua, order.context)?;
        let arguments = value::read(lua, order.arguments)?;
        let resumed = thread.resume((order.function, phrase(order.kind), withheld, context, arguments, order.seed));
        self.thread = Some(thread);
        resumed
    }

    fn refuse(&self, thread: &Thread, fault: &Fault) -> Resumed {
        let reason = self.lua.create_table()?;
        reason.raw_set("code", fault.code.as_deref())?;
        reason.raw_set("message", fault.message.as_str())?;
        reason.raw_set("field", fault.field.as_deref())?;
        thread.resume((false, reason))
    }

    /// What a resumed thread came to; what can be answered here is, and the thread goes on.
    fn proceed(&mut self, mut resumed: Resumed) -> Step {
        loop {
            if let Some(termination) = self.watch.stopped.get() {
                return self.stopped(termination);
            }
            let values = match resumed {
                Ok(values) => values,
                Err(error) if is_memory(&error) => return self.stopped(Termination::Memory),
                Err(error) => {
                    let fault = Fault { message: cut(&error.to_string()), ..Fault::default() };
                    return self.ended(Step::Failed(fault));
                }
            };
            let Some(thread) = self.thread.clone().filter(Thread::is_resumable) else { return self.finished(&values) };
            let mut values = values.into_iter();
            // Nothing but the interrupt yields nothing.
            let Some(operation) = values.next() else {
                self.watch.leave(self.lua.used_memory());
                return Step::Sliced;
            };
            let operation = operation.as_string().map(|name| name.to_string_lossy()).unwrap_or_default();
            let packed = values.next().and_then(|packed| packed.as_table().cloned());
            let Some(packed) = packed else {
                let message = "the handler yielded, which `ctx` alone does".to_owned();
                return self.ended(Step::Failed(Fault { message, ..Fault::default() }));
            };
            let result = match operation.as_str() {
                "json.encode" => self.encode(&packed),
                "json.decode" => self.decode(&packed),
                _ => match self.host_calls_left.checked_sub(1) {
                    None => return self.stopped(Termination::HostCalls),
                    Some(left) => {
                        self.host_calls_left = left;
                        let mut arguments = Vec::new();
                        match value::write_arguments(&self.lua, &packed, &mut arguments, self.limits.answer_bytes_max) {
                            Ok(()) => {
                                self.watch.leave(self.lua.used_memory());
                                return Step::Asks { operation, arguments };
                            }
                            Err(unwritable) => Err(value_refused(&operation, &unwritable)),
                        }
                    }
                },
            };
            resumed = match result {
                Ok(value) => thread.resume((true, value)),
                Err(fault) => self.refuse(&thread, &fault),
            };
        }
    }

    fn encode(&self, packed: &Table) -> Result<Value, Fault> {
        let value = packed.raw_get::<Value>(1).unwrap_or_default();
        let mut out = Vec::new();
        value::write(&self.lua, &value, &mut out, self.limits.answer_bytes_max)
            .map_err(|unwritable| value_refused("json.encode", &unwritable))?;
        self.lua.create_string(out).map(Value::String).map_err(|error| fault_of("json_invalid", &error))
    }

    fn decode(&self, packed: &Table) -> Result<Value, Fault> {
        match packed.raw_get::<Value>(1) {
            Ok(Value::String(text)) => {
                value::read(&self.lua, &text.as_bytes()).map_err(|error| fault_of("json_invalid", &error))
            }
            Ok(_) | Err(_) => Err(Fault {
                code: Some("json_invalid".to_owned()),
                message: "expected JSON text".to_owned(),
                ..Fault::default()
            }),
        }
    }

    fn finished(&mut self, values: &MultiValue) -> Step {
        let value = values.get(1).unwrap_or(&Value::Nil);
        let step = if values.front() == Some(&Value::Boolean(true)) {
            let mut out = Vec::new();
            match value::write(&self.lua, value, &mut out, self.limits.answer_bytes_max) {
                Ok(()) => Step::Returned(out),
                Err(unwritable) => Step::Unanswerable(unwritable),
            }
        } else {
            let fault = told(value);
            // Luau's own words; an author who raises them ends a call that failed anyway.
            if fault.message == "not enough memory" {
                return self.stopped(Termination::Memory);
            }
            Step::Failed(fault)
        };
        self.ended(step)
    }

    fn stopped(&mut self, termination: Termination) -> Step {
        let at = self.watch.stopped_at.take();
        self.ended(Step::Stopped { termination, at })
    }

    fn ended(&mut self, step: Step) -> Step {
        self.watch.leave(self.lua.used_memory());
        self.thread = None;
        step
    }
}

impl Limits {
    const NONE: Limits =
        Limits { cpu_ms_max: 0, memory_bytes_max: 0, allocated_bytes_max: 0, host_calls_max: 0, answer_bytes_max: 0 };
}

fn equip(lua: &Lua, kept: &Table, program: &Rc<RefCell<Option<Rc<Program>>>>) -> mlua::Result<Equipment> {
    let program = Rc::clone(program);
    let load = lua.create_function(move |lua, (name, environment): (String, Table)| {
        let program = program.borrow();
        let Some(code) = program.as_ref().and_then(|program| program.chunks.get(name.as_str())) else {
            return Ok(None);
        };
        // INVARIANT: the code was made by `Program::compile` in this process.
        let chunk = lua.load(code.as_slice()).set_name(format!("=server/{name}.luau")).set_mode(ChunkMode::Binary);
        chunk.set_environment(environment).into_function().map(Some)
    })?;
    let operations = lua.create_sequence_from(OPERATIONS.iter().map(|operation| operation.name))?;
    let builders = lua.create_sequence_from(BUILDERS)?;
    let (environment, run) =
        PRELUDE.load(lua)?.call((kept, Value::NULL, lua.array_metatable(), operations, builders, load))?;
    Ok(Equipment { environment, run })
}

/// What the prelude tells of an error that nothing caught.
fn told(described: &Value) -> Fault {
    let Some(told) = described.as_table() else {
        let message = described.as_string().map(|text| text.to_string_lossy()).unwrap_or_default();
        return Fault { message: cut(&message), ..Fault::default() };
    };
    let text = |name: &str| {
        let text = told.raw_get::<Value>(name).unwrap_or_default();
        text.as_string().map(|text| cut(&text.to_string_lossy()))
    };
    Fault {
        code: text("code"),
        message: text("text").or_else(|| text("message")).unwrap_or_default(),
        field: text("field"),
        trace: text("trace").unwrap_or_default(),
    }
}

fn value_refused(operation: &str, unwritable: &Unwritable) -> Fault {
    let message = format!("`ctx.{operation}` at `{}`: {}", unwritable.pointer, unwritable.message);
    Fault { code: Some("value_refused".to_owned()), message: cut(&message), ..Fault::default() }
}

fn fault_of(code: &str, error: &mlua::Error) -> Fault {
    Fault { code: Some(code.to_owned()), message: cut(&error.to_string()), ..Fault::default() }
}

/// The first [`MESSAGE_BYTES_MAX`] bytes of `text`, less the part of a character.
fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(MESSAGE_BYTES_MAX)).unwrap_or_default().to_owned()
}
