//! Whose turn it is: the calls of one worker, each with its machine, stepped one after the other.
//!
//! Who begins, or was answered, comes before those whose slice of time was over, so that a short call
//! beside endless ones waits for the slice that runs and no longer. Of some turns one is theirs, so
//! that they come to their end, too.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::script::machine::{Fault, Input, Machine, Order, Program, Step, Used};
use crate::script::ticker::Ticks;
use crate::script::worker::frame::{Begin, FromWorker, Outcome, ProgramKey, ToWorker};

/// Machines that are built before a call comes.
const SPARE_MAX: usize = 16;

/// Turns in a row that go to others while a call whose slice was over waits.
const PREFERRED_MAX: u32 = 4;

/// Every call this worker has, and what it needs to begin more.
pub(super) struct Machines {
    ticks: Ticks,
    programs: HashMap<ProgramKey, Result<Rc<Program>, String>>,
    calls: HashMap<u32, Running>,
    turns: VecDeque<(u32, Turn)>,
    /// Calls whose slice was over.
    sliced: VecDeque<u32>,
    /// Turns in a row that those did not have.
    preferred: u32,
    spare: Vec<Machine>,
}

struct Running {
    machine: Machine,
    cpu_ms_max: u64,
}

/// What a call goes on with when its turn comes.
enum Turn {
    Begin(ProgramKey, Box<Begin>),
    /// Its slice was over.
    Go,
    Answer(Vec<u8>),
    Refusal(Fault),
}

impl Machines {
    pub(super) fn new(ticks: Ticks) -> Machines {
        Machines {
            ticks,
            programs: HashMap::new(),
            calls: HashMap::new(),
            turns: VecDeque::new(),
            sliced: VecDeque::new(),
            preferred: 0,
            spare: Vec::new(),
        }
    }

    /// Whether a call wants to go on.
    pub(super) fn have_work(&self) -> bool {
        !self.turns.is_empty() || !self.sliced.is_empty()
    }

    /// Takes a frame in; some are answered at once.
    pub(super) fn take(&mut self, frame: ToWorker) -> Option<FromWorker> {
        match frame {
            ToWorker::Load { program, sources } => {
                let compiled = Program::compile(sources.iter().map(|(name, source)| (name.as_str(), source.as_str())));
                self.programs.insert(program, compiled.map(Rc::new).map_err(|error| error.to_string()));
            }
            ToWorker::Unload { program } => drop(self.programs.remove(&program)),
            ToWorker::Begin { call, program, begin } => self.turns.push_back((call, Turn::Begin(program, begin))),
            ToWorker::Answer { call, json } => self.turns.push_back((call, Turn::Answer(json))),
            ToWorker::Refusal { call, fault } => self.turns.push_back((call, Turn::Refusal(fault))),
            ToWorker::Cancel { call } => {
                self.turns.retain(|(of, _)| *of != call);
                self.sliced.retain(|of| *of != call);
                let used = self.used(call);
                return Some(FromWorker::Ended { call, outcome: Outcome::Cancelled, used });
            }
        }
        None
    }

    /// Runs the call whose turn it is; `watched` is told how long its step may take.
    pub(super) fn run(&mut self, watched: impl FnOnce(u64)) -> Option<FromWorker> {
        let (call, turn) = self.next()?;
        let step = match turn {
            Turn::Begin(program, begin) => {
                watched(begin.limits.cpu_ms_max);
                match self.begin(call, program, &begin) {
                    Ok(step) => step,
                    Err(message) => Step::Failed(Fault { message, ..Fault::default() }),
                }
            }
            Turn::Go => self.go_on(call, Input::Go, watched)?,
            Turn::Answer(json) => self.go_on(call, Input::Answer(&json), watched)?,
            Turn::Refusal(fault) => self.go_on(call, Input::Refusal(&fault), watched)?,
        };
        let outcome = match step {
            Step::Sliced => {
                self.sliced.push_back(call);
                return None;
            }
            Step::Asks { operation, arguments } => return Some(FromWorker::Asks { call, operation, arguments }),
            Step::Returned(json) => Outcome::Returned(json),
            Step::Unanswerable(unwritable) => Outcome::Unanswerable(unwritable),
            Step::Failed(fault) => Outcome::Failed(fault),
            Step::Stopped { termination, at } => Outcome::Stopped { termination, at },
        };
        let used = self.used(call);
        Some(FromWorker::Ended { call, outcome, used })
    }

    /// What the call used, which has ended.
    fn used(&mut self, call: u32) -> Used {
        self.calls.remove(&call).map(|running| running.machine.used()).unwrap_or_default()
    }

    fn next(&mut self) -> Option<(u32, Turn)> {
        let is_theirs = self.turns.is_empty() || self.preferred >= PREFERRED_MAX;
        if is_theirs && let Some(call) = self.sliced.pop_front() {
            self.preferred = 0;
            return Some((call, Turn::Go));
        }
        self.preferred = self.preferred.saturating_add(1);
        self.turns.pop_front()
    }

    /// Whether more machines should be there for the calls to come.
    pub(super) fn want_more(&self) -> bool {
        self.spare.len() < SPARE_MAX
    }

    /// Builds one of them; answers whether it could.
    pub(super) fn prepare(&mut self) -> bool {
        self.build().map(|machine| self.spare.push(machine)).is_ok()
    }

    fn begin(&mut self, call: u32, program: ProgramKey, begin: &Begin) -> Result<Step, String> {
        let program = self.programs.get(&program).ok_or("the bundle is not loaded")?.clone()?;
        let mut machine = match self.spare.pop() {
            Some(machine) => machine,
            None => self.build()?,
        };
        let order = Order {
            function: &begin.function,
            kind: begin.kind,
            context: &begin.context,
            arguments: &begin.arguments,
            seed: begin.seed,
        };
        let step = machine.start(&program, &order, begin.limits);
        self.calls.insert(call, Running { machine, cpu_ms_max: begin.limits.cpu_ms_max });
        Ok(step)
    }

    fn go_on(&mut self, call: u32, input: Input<'_>, watched: impl FnOnce(u64)) -> Option<Step> {
        let running = self.calls.get_mut(&call)?;
        watched(running.cpu_ms_max);
        Some(running.machine.step(input))
    }

    fn build(&self) -> Result<Machine, String> {
        Machine::build(self.ticks.clone()).map_err(|error| error.to_string())
    }
}
