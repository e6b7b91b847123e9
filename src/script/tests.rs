//! Handlers in machines: what they are given, how they end, and that nothing hurts the next.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod fuzz;
mod handlers;
mod isolation;

use std::rc::Rc;
use std::time::Duration;

use rowgate_schema_dsl::definition::HandlerKind;

use crate::script::machine::{Input, Limits, Machine, Order, Program, Step};
use crate::script::sandbox::{Termination, thread_cpu_time};
use crate::script::ticker::Ticker;

const LIMITS: Limits = Limits {
    cpu_ms_max: 200,
    memory_bytes_max: 10 << 20,
    allocated_bytes_max: 24 << 20,
    host_calls_max: 100,
    answer_bytes_max: 1 << 20,
};

/// What a call came to, and the processor time it took.
struct Ran {
    step: Step,
    cpu: Duration,
    asked: Vec<(String, String)>,
}

/// Calls the handler with `body`, whose file begins with `file`; each question is answered by itself.
fn run_with(file: &str, body: &str, arguments: &str, limits: Limits) -> Ran {
    let functions = format!("{file}\nreturn {{ f = query({{ handler = function(ctx, args)\n{body}\nend }}) }}");
    run_program(&[("functions", &functions)], arguments, limits)
}

fn run(body: &str) -> Ran {
    run_with("", body, "{}", LIMITS)
}

fn run_program(sources: &[(&str, &str)], arguments: &str, limits: Limits) -> Ran {
    let sources: Vec<(String, String)> =
        sources.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let arguments = arguments.to_owned();
    // As much stack as a worker has.
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(move || {
        let ticker = Ticker::start(|| {}).unwrap();
        ticker.wake();
        let sources = sources.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let program = Rc::new(Program::compile(sources).unwrap());
        let mut machine = Machine::build(ticker.ticks()).unwrap();
        let began = thread_cpu_time();
        let order = Order {
            function: "f",
            kind: HandlerKind::Query,
            context: br#"{"auth":{"userId":"u1","role":"viewer"}}"#,
            arguments: arguments.as_bytes(),
            seed: 7,
        };
        let mut asked = Vec::new();
        let mut step = machine.start(&program, &order, limits);
        loop {
            step = match step {
                Step::Sliced => machine.step(Input::Go),
                Step::Asks { operation, arguments } => {
                    let arguments = String::from_utf8(arguments).unwrap();
                    let next = machine.step(Input::Answer(arguments.as_bytes()));
                    asked.push((operation, arguments));
                    next
                }
                ended => return Ran { step: ended, cpu: thread_cpu_time() - began, asked },
            };
        }
    });
    thread.unwrap().join().unwrap()
}

impl Ran {
    fn answer(&self) -> &str {
        match &self.step {
            Step::Returned(json) => std::str::from_utf8(json).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn failure(&self) -> &str {
        match &self.step {
            Step::Failed(fault) => &fault.message,
            other => panic!("{other:?}"),
        }
    }

    fn termination(&self) -> Option<Termination> {
        match &self.step {
            Step::Stopped { termination, .. } => Some(*termination),
            _ => None,
        }
    }
}
