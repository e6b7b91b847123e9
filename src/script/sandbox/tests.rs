//! What is left in a machine, by name: an upgrade that brings more shows here first.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use mlua::{Lua, Table, Value};

use crate::script::sandbox::{Budget, Machine, Termination, check_syntax, set_fix_flags};

const BUDGET: Budget = Budget { cpu_ms_max: 200, memory_bytes_max: 8 << 20 };

fn machine() -> (Machine, Table) {
    Machine::build(BUDGET, |_, kept| Ok(kept.clone())).expect("a machine")
}

fn names(table: &Table) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    table
        .for_each(|name: String, _: Value| {
            names.insert(name);
            Ok(())
        })
        .unwrap();
    names
}

#[test]
fn this_luau_knows_every_fix_flag() {
    // Not set once more: machines of other tests may be running.
    assert!(set_fix_flags().is_ok());
    assert_eq!(Lua::set_fflag("LuauNoSuchFlag", true), Err(()));
}

#[test]
fn what_is_left_in_a_machine() {
    let (machine, environment) = machine();
    let mut left = String::new();
    for name in names(&environment) {
        left.push_str(&name);
        if let Ok(library) = environment.raw_get::<Table>(name.as_str()) {
            assert!(library.is_readonly(), "{name}");
            left = left + ": " + &names(&library).into_iter().collect::<Vec<_>>().join(" ");
        }
        left.push('\n');
    }
    insta::assert_snapshot!(left, @r#"
    assert
    bit32: arshift band bnot bor btest bxor byteswap countlz countrz extract lrotate lshift replace rrotate rshift
    buffer: copy create fill fromstring len readbits readf32 readf64 readi16 readi32 readi8 readstring readu16 readu32 readu8 tostring writebits writef32 writef64 writei16 writei32 writei8 writestring writeu16 writeu32 writeu8
    error
    getmetatable
    ipairs
    math: abs acos asin atan atan2 ceil clamp cos cosh deg e exp floor fmod frexp huge isfinite isinf isnan ldexp lerp log log10 map max min modf nan noise phi pi pow rad round sign sin sinh sqrt sqrt2 tan tanh tau
    next
    pairs
    pcall
    rawequal
    rawget
    rawlen
    rawset
    select
    setmetatable
    string: byte char find format gmatch gsub len lower match pack packsize rep reverse split sub unpack upper
    table: clear clone concat create find freeze insert isfrozen move pack remove sort unpack
    tonumber
    tostring
    type
    typeof
    utf8: char charpattern codepoint codes len offset
    xpcall
    "#);
    // The machine's own globals hold no more than that either.
    let chunk =
        machine.compile("t", "return require or loadstring or getfenv or debug or _G", &machine.lua().globals());
    machine.start();
    assert_eq!(chunk.unwrap().call::<Value>(()).unwrap(), Value::Nil);
}

/// What a stopped script returns does not count, whatever it swallowed.
#[test]
fn a_stopped_machine_stays_stopped() {
    let (machine, environment) = machine();
    machine.start();
    let chunk = machine.compile("t", "pcall(function() while true do end end) return 1", &environment).unwrap();
    let outcome = chunk.call::<Value>(());
    assert_eq!(machine.termination(outcome.as_ref().err()), Some(Termination::Time));
    assert_eq!(machine.stopped_at(), Some(("t".to_owned(), 1)));
    assert!(chunk.call::<Value>(()).is_err());
}

#[test]
fn memory_that_is_not_there_ends_a_script() {
    let (machine, environment) = machine();
    machine.start();
    let chunk = machine.compile("t", "return ('x'):rep(1e8)", &environment).unwrap();
    let outcome = chunk.call::<Value>(());
    assert_eq!(machine.termination(outcome.as_ref().err()), Some(Termination::Memory));
}

/// A machine whose clock was not started runs nothing.
#[test]
fn no_clock_no_run() {
    let (machine, environment) = machine();
    let chunk = machine.compile("t", "for i = 1, 2 do end return 1", &environment).unwrap();
    assert!(chunk.call::<Value>(()).is_err());
}

#[test]
fn syntax_is_checked_without_a_machine() {
    assert!(check_syntax("return 1").is_ok());
    assert!(check_syntax("return return").is_err());
}
