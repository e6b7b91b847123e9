//! Machines that run out of memory again and again, catch it and go on: what corrupted Luau's heap
//! without its fix flags. A crash ends the test's process; anything else is fine.

use std::fmt::Write as _;
use std::rc::Rc;

use rowgate_schema_dsl::definition::HandlerKind;

use crate::script::machine::{Input, Limits, Machine, Order, Program, Step};
use crate::script::tests::LIMITS;
use crate::script::ticker::Ticker;

const SCRIPTS: u32 = 60;
const OPERATIONS_EACH: u32 = 300;

/// Numbers that are the same each time: xorshift, whose state is never zero.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn key(&mut self) -> String {
        match self.below(4) {
            0 => self.of(&["1", "2", "0", "-1", "2147483647", "-2147483648", "1e9", "0.5", "'a'", "#t"]).to_owned(),
            1 => format!("{}", self.below(2_000)),
            2 => format!("'k{}'", self.below(500)),
            _ => "#t + 1".to_owned(),
        }
    }
}

/// Operations on a few tables, each caught by itself.
fn script(numbers: &mut Numbers) -> String {
    let mut text = String::from("local a, b, c, d = {}, {}, {}, {}\nlocal t = a\n");
    for _ in 0..OPERATIONS_EACH {
        let (table, other) = (numbers.of(&["a", "b", "c", "d"]), numbers.of(&["a", "b", "c", "d"]));
        let (key, second) = (numbers.key(), numbers.key());
        let size = numbers.below(60_000);
        let operation = match numbers.below(14) {
            0 => format!("{table}[{key}] = table.create({size}, 1)"),
            1 => format!("for i = 1, {size} do {table}[i] = i end"),
            2 => format!("for i = 1, {} do {table}['k' .. i] = {{}} end", size % 4_000),
            3 => format!("table.move({other}, 1, {size}, {key}, {table})"),
            4 => format!("{table} = table.clone({other})"),
            5 => format!("table.insert({table}, {key}, {other})"),
            6 => format!("table.remove({table}, {key})"),
            7 => format!("table.clear({table})"),
            8 => format!("table.sort({table}, function(x, y) return tostring(x) < tostring(y) end)"),
            9 => format!("{table}[{key}] = ('x'):rep({size}) .. #{other}"),
            10 => format!("{table}[{key}] = buffer.create({size})"),
            11 => format!("{table}[{key}], {other}[{second}] = nil, {{ table.unpack({table}, 1, {}) }}", size % 5_000),
            12 => format!("for k in {table} do {table}[k] = nil end"),
            _ => format!("{table} = setmetatable({{}}, {{ __index = {other}, __newindex = {other} }})"),
        };
        writeln!(text, "t = {table} pcall(function() {operation} end)").unwrap();
    }
    text + "return #a + #b"
}

#[test]
fn memory_that_is_not_there_corrupts_nothing() {
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(|| {
        let ticker = Ticker::start(|| {}).unwrap();
        ticker.wake();
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut ends = [0_u32; 3];
        for number in 0..SCRIPTS {
            // From too little to begin with to almost enough.
            let allocated_bytes_max = 64 << 10 << (number % 6);
            let limits = Limits { memory_bytes_max: allocated_bytes_max, allocated_bytes_max, ..LIMITS };
            let functions =
                format!("return {{ f = query({{ handler = function()\n{}\nend }}) }}", script(&mut numbers));
            let program = Rc::new(Program::compile([("functions", functions.as_str())]).unwrap());
            let mut machine = Machine::build(ticker.ticks()).unwrap();
            let order =
                Order { function: "f", kind: HandlerKind::Query, context: b"{}", arguments: b"{}", seed: number };
            let mut step = machine.start(&program, &order, limits);
            while step == Step::Sliced {
                step = machine.step(Input::Go);
            }
            let end = match step {
                Step::Returned(_) => 0,
                Step::Stopped { .. } => 1,
                other => {
                    assert!(matches!(other, Step::Failed(_)), "{other:?}");
                    2
                }
            };
            ends[end] += 1;
        }
        assert!(ends[1] > 0, "no script ran out of anything: {ends:?}");
    });
    thread.unwrap().join().unwrap();
}
