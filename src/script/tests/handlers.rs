//! What a handler is given, what it may answer, and how it fails.

use crate::script::machine::{Limits, Step};
use crate::script::sandbox::Termination;
use crate::script::tests::{LIMITS, run, run_program, run_with};

#[test]
fn a_handler_is_given_its_caller_and_its_arguments() {
    let ran = run_with(
        "",
        "return { ctx.auth.userId, args.n + 1, isnull(args.x), args.list }",
        r#"{"n":1,"x":null,"list":[]}"#,
        LIMITS,
    );
    assert_eq!(ran.answer(), r#"["u1",2,true,[]]"#);
    assert_eq!(run("").answer(), "null");
    assert_eq!(run("return {}").answer(), "{}");
    assert_eq!(run("return array({})").answer(), "[]");
    assert_eq!(run("return null, 5").answer(), "null");
}

#[test]
fn what_it_asks_leaves_the_machine_and_the_answer_comes_back() {
    let ran = run("local row = ctx.db.get('notes', nil, 'x') ctx.log.info('m') return row[3]");
    assert_eq!(ran.answer(), r#""x""#);
    let expected = [
        ("db.get".to_owned(), r#"["notes",null,"x"]"#.to_owned()),
        ("log.info".to_owned(), r#"["server/functions.luau",3,"m"]"#.to_owned()),
    ];
    assert_eq!(ran.asked, expected);
    let within = run("local ok, row = pcall(ctx.db.get, 1) for _, a in { 1, 2 } do row = ctx.db.get(a) end return row");
    assert_eq!((within.answer(), within.asked.len()), ("[2]", 3));
}

#[test]
fn the_number_of_questions_is_bounded_and_no_handler_catches_that() {
    let ran = run("while true do pcall(ctx.db.get, 1) end");
    assert_eq!((ran.termination(), ran.asked.len()), (Some(Termination::HostCalls), 100));
}

#[test]
fn what_ctx_lacks_is_said_by_name() {
    insta::assert_snapshot!(run("return ctx.fetch('https://a')").failure(), @"server/functions.luau:3: `ctx.fetch` is not there in a query");
    insta::assert_snapshot!(run("ctx.db.inserrt({})").failure(), @"server/functions.luau:3: `ctx.db.inserrt` is not there in a query");
}

#[test]
fn a_declared_failure_has_its_code_and_an_error_its_line() {
    let declared =
        run("local function f() error({ code = 'closed', message = 'voting is over', field = 'rule' }) end f()");
    let Step::Failed(fault) = &declared.step else { panic!("{:?}", declared.step) };
    assert_eq!(fault.code.as_deref(), Some("closed"));
    assert_eq!((fault.message.as_str(), fault.field.as_deref()), ("voting is over", Some("rule")));
    assert!(fault.trace.contains("server/functions.luau:3"), "{}", fault.trace);
    insta::assert_snapshot!(run("local x = nil return x.y").failure(), @"server/functions.luau:3: attempt to index nil with 'y'");
    insta::assert_snapshot!(run("error()").failure(), @"the handler called `error` with nothing");
    let addresses = run("return tostring({}) .. tostring(print) .. tostring(ctx.db.get) .. tostring(null)");
    assert_eq!(addresses.answer(), r#""tablenilfunctionnull""#);
}

#[test]
fn what_is_no_json_is_named_by_its_place() {
    let place = |body: &str| match run(body).step {
        Step::Unanswerable(unwritable) => format!("{} {}", unwritable.pointer, unwritable.message),
        other => panic!("{body}: {other:?}"),
    };
    insta::assert_snapshot!(place("return { a = { 1, 0 / 0 } }"), @"/a/1 expected a finite number, found NaN");
    insta::assert_snapshot!(place("return { a = function() end }"), @"/a expected a JSON value, found a function");
    insta::assert_snapshot!(place("return { 1, 2, x = 3 }"), @" expected an array without gaps or an object, found a table with 2 elements and 1 more keys");
    insta::assert_snapshot!(place("return { a = '\\255' }"), @"/a expected UTF-8 text, found another byte at 0");
    insta::assert_snapshot!(place("return { a = { [1.5] = 1 } }"), @"/a expected keys to be text, found a number");
    insta::assert_snapshot!(place("return { a = 2^53 }"), @"/a expected a number within 2^53, up to which integers are exact; write a larger one as text");
    assert!(place("local t = {} t.t = t return t").ends_with("deeper than 64 levels; does it hold itself?"));
    assert!(place("local t = { 'x' } for _ = 1, 30 do t = { t, t } end return t").ends_with("more than 100000 values"));
    assert!(place("return { a = ('x'):rep(2e6) }").ends_with("larger than 1048576 bytes as JSON"));
}

#[test]
fn modules_are_of_the_bundle_run_once_and_in_no_circle() {
    let module = |text: &str| {
        let functions = "local m = require('./m') return { f = query({ handler = function() return m end }) }";
        run_program(&[("functions", functions), ("m", text), ("n", "return { require('./m') }")], "{}", LIMITS)
    };
    assert_eq!(module("return { 1 }").answer(), "[1]");
    assert!(module("return require('./n')").failure().contains("module `./m` requires itself"));
    assert!(module("return require('./o')").failure().contains("there is no module `./o` beside this file"));
    assert!(module("local x = 1").failure().contains("returns nothing"));
}

#[test]
fn declarations_beside_a_handler_mean_nothing_to_it() {
    let file = "local rows = queryRows('notes', { limit = arg('n', v.integer():max(5)) })";
    assert_eq!(run_with(file, "return 1", "{}", LIMITS).answer(), "1");
}

#[test]
fn json_is_made_and_read_in_the_machine() {
    let ran = run("return { ctx.json.encode({ a = { 1, null } }), ctx.json.decode('{\"b\":[1.5,9007199254740993]}') }");
    assert_eq!(ran.answer(), r#"["{\"a\":[1,null]}",{"b":[1.5,"9007199254740993"]}]"#);
    assert!(ran.asked.is_empty());
    assert_eq!(
        run("local ok, e = pcall(ctx.json.decode, '{') return { ok, e.code }").answer(),
        r#"[false,"json_invalid"]"#
    );
}

/// Honest code whose garbage is many times what it may hold.
#[test]
fn garbage_is_not_held_against_a_handler() {
    let limits = Limits { cpu_ms_max: 20_000, ..LIMITS };
    let body = "local kept = {} for i = 1, 80 do kept[i] = ('x'):rep(1e5) .. i end \
                for i = 1, 2000 do local s = ('y'):rep(5e4) .. i end return #kept";
    assert_eq!(run_with("", body, "{}", limits).answer(), "80");
    let holds = "local kept = {} for i = 1, 130 do kept[i] = ('x'):rep(1e5) .. i end for i = 1, 1e9 do end";
    assert_eq!(run_with("", holds, "{}", limits).termination(), Some(Termination::Memory));
}

#[test]
fn a_stopped_handler_has_its_line() {
    let ran = run("local i = 0\nwhile true do\n  i += 1\nend");
    let Step::Stopped { termination: Termination::Time, at: Some((file, line)) } = ran.step else {
        panic!("{:?}", ran.step)
    };
    assert_eq!(file, "server/functions.luau");
    assert!((4..=5).contains(&line), "{line}");
}
