//! Nothing that one call did is there for the next, not even in the same program.

use std::rc::Rc;

use rowgate_schema_dsl::definition::HandlerKind;

use crate::script::machine::{Machine, Order, Program, Step};
use crate::script::tests::LIMITS;
use crate::script::ticker::Ticker;

const PROGRAM: [(&str, &str); 2] = [
    (
        "functions",
        r#"
        local module = require("./module")
        local upvalue = 0
        return { f = query({ handler = function(ctx, args)
            upvalue += 1
            module.count += 1
            left_behind = (left_behind or 0) + 1
            local strings = pcall(function() string.left = 1 end)
            local methods = pcall(function() getmetatable("").__index.left = 1 end)
            local queries = pcall(function() getmetatable(ctx).left = 1 end)
            return { upvalue, module.count, left_behind, strings, methods, queries, math.random(1000) }
        end }) }
        "#,
    ),
    ("module", "return { count = 0 }"),
];

fn call(ticker: &Ticker, program: &Rc<Program>, seed: u32) -> String {
    let mut machine = Machine::build(ticker.ticks()).unwrap();
    let order = Order { function: "f", kind: HandlerKind::Query, context: b"{}", arguments: b"{}", seed };
    match machine.start(program, &order, LIMITS) {
        Step::Returned(json) => String::from_utf8(json).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_leaves_nothing_behind() {
    let ticker = Ticker::start(|| {}).unwrap();
    let program = Rc::new(Program::compile(PROGRAM).unwrap());
    let first = call(&ticker, &program, 1);
    assert!(first.starts_with("[1,1,1,false,false,false,"), "{first}");
    assert_eq!(call(&ticker, &program, 1), first, "the same seed draws the same");
    assert_ne!(call(&ticker, &program, 2), first);
}
