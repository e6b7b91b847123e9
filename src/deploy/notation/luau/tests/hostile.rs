//! Files that try to run for ever, to take all memory, to reach out or to end the process: each
//! ends with a complaint, in bounded time and memory, and the next file is read as ever.

use std::time::{Duration, Instant};

use crate::deploy::notation::luau::tests::{complaints, read_schema, source};
use crate::deploy::notation::luau::{BUDGET, LuauFiles, SOURCE_BYTES_MAX, read_within};
use crate::script::sandbox::Budget;

/// A name, the attack, and the codes it may end with.
type Attack = (&'static str, &'static str, &'static [&'static str]);

const TIME: &[&str] = &["time_exceeded"];
const MEMORY: &[&str] = &["memory_exceeded"];
const TIME_OR_MEMORY: &[&str] = &["time_exceeded", "memory_exceeded"];
const ERROR: &[&str] = &["runtime_error"];
const ENDS: &[&str] = &["nothing_returned"];
const TOO_LARGE: &[&str] = &["definition_too_large"];
const UNKNOWN: &[&str] = &["unknown_name"];

const LOOPS: &[Attack] = &[
    ("loop", "while true do end", TIME),
    ("for_huge", "for i = 1, 1e18 do end", TIME),
    ("pcall_loop", "while true do pcall(function() while true do end end) end", TIME),
    ("pcall_recursive", "local function f() pcall(f) pcall(f) end f()", TIME),
    ("xpcall_handler_loop", "local function h() while true do end end xpcall(error, h)", TIME),
    (
        "xpcall_nest_handler",
        "local s = ('x'):rep(1e6) local function f(n) xpcall(function() while true do end end, function() \
         local a = s .. n if n > 0 then f(n - 1) end end) end f(100)",
        TIME_OR_MEMORY,
    ),
    (
        "pcall_nest_concat",
        "local s = ('x'):rep(1e6) local function f(n) pcall(function() if n > 0 then f(n - 1) end while true do end end) \
         local a = s .. n .. s .. n .. s .. n end f(150)",
        TIME_OR_MEMORY,
    ),
    (
        "meta_index_loop",
        "local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) local x = t[1]",
        &["time_exceeded", "runtime_error"],
    ),
    ("gsub_callback_loop", "local s = ('x'):rep(1e5) while true do s:gsub('x', function() end) end", TIME),
    ("sort_cmp_loop", "table.sort({ 3, 2, 1 }, function() while true do end end)", TIME),
    (
        "sort_long_strings",
        "local s, t = ('x'):rep(2e5), {} for i = 1, 100 do t[i] = s .. i end for _ = 1, 1e9 do table.sort(t) end",
        TIME_OR_MEMORY,
    ),
    ("pattern_exp", "(('a'):rep(40)):match(('a?'):rep(40) .. ('a'):rep(40) .. 'b')", TIME),
    ("pattern_lazy", "local s = ('a'):rep(2e5) s:match('.-.-.-.-b')", TIME),
    ("pattern_bracket", "local s = ('x'):rep(1e6) s:find('[' .. ('ab'):rep(1e5) .. ']*y')", ERROR),
    ("plain_find_quadratic", "local s = ('a'):rep(2e6) s:find(('a'):rep(1e6) .. 'b', 1, true)", ERROR),
    ("split_quadratic", "local s = ('a'):rep(2e6) s:split(('a'):rep(1e6) .. 'b')", ERROR),
    ("table_move_huge", "table.move({}, 1, 2147483600, 2, {})", ENDS),
    ("namecall_loop", "local s = 'x' while true do s = s:upper() end", TIME),
    ("insert_front", "local t = {} while true do table.insert(t, 1, 0) end", TIME),
    ("iter_meta", "for _ in setmetatable({}, { __iter = function() return function() return 1 end end }) do end", TIME),
    ("tostring_loop", "error(setmetatable({}, { __tostring = function() while true do end end }))", ERROR),
    ("builders_for_ever", "while true do v.string():max(1) end", TIME_OR_MEMORY),
    ("unknown_for_ever", "local i = 0 while true do i += 1 local _ = v['x' .. i] end", &["unknown_name"]),
];

const SIZES: &[Attack] = &[
    ("rep_1e9", "local s = ('x'):rep(1e9)", MEMORY),
    ("rep_empty_huge", "local s = (''):rep(1e15)", &["nothing_returned", "runtime_error"]),
    ("table_growth", "local t = {} while true do t[#t + 1] = {} end", TIME_OR_MEMORY),
    ("hash_growth", "local t, i = {}, 0 while true do i += 1 t['k' .. i] = i end", TIME_OR_MEMORY),
    ("string_doubling", "local s = 'x' while true do s ..= s end", MEMORY),
    (
        "oom_pcall_loop",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(1e5) .. #t end end) end",
        TIME_OR_MEMORY,
    ),
    ("buffer_1e9", "local b = buffer.create(1e9)", MEMORY),
    ("buffers_growth", "local t = {} while true do t[#t + 1] = buffer.create(1e5) end", TIME_OR_MEMORY),
    ("table_create_1e9", "local t = table.create(1e9)", &["memory_exceeded", "runtime_error"]),
    (
        "concat_same_big",
        "local s, t = ('x'):rep(1e6), {} for i = 1, 1e4 do t[i] = s end s = table.concat(t)",
        TIME_OR_MEMORY,
    ),
    ("gsub_expand", "local s = ('x'):rep(1e5) s = s:gsub('x', ('y'):rep(1e4))", MEMORY),
    (
        "unpack_huge",
        "local t = table.create(1e6, 1) local function f(...) f(...) end f(table.unpack(t))",
        &["runtime_error", "memory_exceeded"],
    ),
    ("deep_recursion", "local function f() return 1 + f() end f()", ERROR),
    (
        "deep_meta",
        "local t = {} for i = 1, 1e5 do t = setmetatable({}, { __index = t }) end local x = t.x",
        &["runtime_error", "memory_exceeded"],
    ),
    ("error_big_string", "error(('x'):rep(1e7))", &["runtime_error", "memory_exceeded"]),
    ("doubled_table", "local t = { 'x' } for _ = 1, 30 do t = { t, t } end return t", TOO_LARGE),
    (
        "doubled_default",
        "local t = { 'x' } for _ = 1, 30 do t = { a = t, b = t } end return defineSchema({ a = defineTable({ b = v.json():default(t) }) })",
        TOO_LARGE,
    ),
    ("doubled_filter", "local f = filter('a', '=', 1) for _ = 1, 40 do f = all(f, f) end return { f }", TOO_LARGE),
    ("itself", "local t = {} t.a = t return t", &["builder_expected"]),
    ("big_text_often", "local s, t = ('x'):rep(1e6), {} for i = 1, 1e4 do t[i] = s end return t", TOO_LARGE),
    ("long_chain", "local c = v.string() for i = 1, 50000 do c = c:max(i) end return { c, c, c, c }", TOO_LARGE),
    (
        "many_arguments",
        "local t = table.create(7000, 1) local c = {} for i = 1, 50 do c[i] = any(table.unpack(t)) end return c",
        TOO_LARGE,
    ),
    (
        "long_names",
        "local s = ('x'):rep(1e6) local t = {} for i = 1, 1e4 do t[i] = v.string()[s](v.string()) end return t",
        &["time_exceeded", "memory_exceeded", "definition_too_large"],
    ),
];

const ESCAPES: &[Attack] = &[
    ("require_file", "require('./../../Cargo')", ERROR),
    ("require_absolute", "require('/etc/passwd')", ERROR),
    ("loadstring", "loadstring('return 1')()", UNKNOWN),
    ("getfenv", "getfenv(1).x = 1", UNKNOWN),
    ("debug", "debug.info(1, 's')", UNKNOWN),
    ("coroutine", "coroutine.wrap(function() end)()", UNKNOWN),
    ("os", "os.execute('true')", UNKNOWN),
    ("collectgarbage", "collectgarbage('count')", UNKNOWN),
    ("newproxy", "newproxy(true)", UNKNOWN),
    ("string_metatable", "getmetatable('').__index = nil", ERROR),
    ("builder_metatable", "getmetatable(v.string()).__index = nil", ERROR),
    ("environment_metatable", "setmetatable(getmetatable(v), {})", ERROR),
    (
        "forged_builder",
        "return setmetatable({ name = 'defineSchema' }, { __index = function() while true do end end })",
        &["builder_expected"],
    ),
    ("luau2970_table_move", "local d = {} d[-2147483648] = 1 pcall(table.move, { 1 }, 1, 2147483647, 1, d)", ENDS),
    ("bytecode", "\u{1b}Lua", &["syntax_error"]),
    ("string_pack_bomb", "string.pack('!16' .. ('i16'):rep(1e4), 1)", ERROR),
    ("table_create_neg", "table.create(-1)", ERROR),
    ("buffer_oob", "buffer.readu8(buffer.create(1), 2147483647)", ERROR),
];

#[track_caller]
fn withstand(attacks: &[Attack], cpu_ms_max: u64) {
    for (name, attack, codes) in attacks {
        let started = Instant::now();
        let files = LuauFiles { schema: Some(source("schema", attack)), ..LuauFiles::default() };
        let notation = read_within(&files, Budget { cpu_ms_max, ..BUDGET });
        // Processor time, on a machine that may have other things to do.
        assert!(started.elapsed() < Duration::from_secs(60), "{name} took {:?}", started.elapsed());
        let said = complaints(&notation);
        let ends_so = notation.diagnostics.iter().any(|diagnostic| codes.contains(&diagnostic.code));
        assert!(ends_so, "{name}: expected one of {codes:?}, got:\n{said}");
        assert!(said.len() < 40_000, "{name}: {} bytes of complaints", said.len());
        assert!(notation.diagnostics.iter().all(|diagnostic| diagnostic.place.is_some()), "{name}: {said}");
    }
    let sound = read_schema("return defineSchema({ a = defineTable({ b = v.string() }) })");
    assert_eq!(complaints(&sound), "", "the next file is read as ever");
}

#[test]
fn loops_end() {
    withstand(LOOPS, 200);
}

#[test]
fn memory_is_bounded() {
    // More time than a deploy has: on a busy machine it is size that is to end them.
    withstand(SIZES, 10 * BUDGET.cpu_ms_max);
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kb < 300 << 10, "{peak_kb} kB at the peak");
    }
}

#[test]
fn nothing_reaches_out() {
    withstand(ESCAPES, BUDGET.cpu_ms_max);
}

/// The place of what ran when the time was up.
#[test]
fn an_endless_loop_has_its_line() {
    insta::assert_snapshot!(complaints(&read_schema("local i = 0\n\nwhile true do\n  i += 1\nend")), @r#"
    server/schema.luau:3: error[time_exceeded]: still running after 1000 ms of processor time
      hint: a definition is made of builders' calls and ends at once; look for a loop without an end
      at /tables
    "#);
}

/// Code without a call or a loop has no safepoint, so it must be short before it runs.
#[test]
fn straight_lines_are_short() {
    for statement in ["a = s .. 1\n", "a = s < t\n", "a ..= s\n", "a = -s\n", "a = `{s}`\n", "a = { ... }\n"] {
        let text = format!("local s, t, a = ('x'):rep(1e6), 'y', ''\n{}", statement.repeat(5_000));
        let notation = read_schema(&text);
        assert_eq!(notation.diagnostics[0].code, "too_complex", "{statement}: {}", complaints(&notation));
    }
    let text = format!("local a = {{\n{}}}\nreturn 5", "-1,\n".repeat(5_000));
    assert_eq!(read_schema(&text).diagnostics[0].code, "builder_expected", "negative numbers cost nothing");
}

/// What nests as deep as Luau allows fits the stack of every stage; deeper is a syntax error.
#[test]
fn nesting_is_bounded() {
    let shapes: [(&str, &str, &str); 8] = [
        ("(", "1", ")"),
        ("{", "", "}"),
        ("- ", "1", ""),
        ("function() return ", "1", " end"),
        ("f(", "1", ")"),
        ("1 + ", "1", ""),
        ("1 .. ", "1", ""),
        ("if true then ", "1", " else 1"),
    ];
    for (open, middle, close) in shapes {
        for depth in [150, 180, 240, 320, 480, 900, 960, 1_200, 20_000] {
            let text = format!("return {}{middle}{}", open.repeat(depth), close.repeat(depth));
            let notation = read_schema(text.get(..120_000).unwrap_or(&text));
            assert!(!notation.diagnostics.is_empty(), "{open} {depth}");
        }
    }
    for block in ["do ", "while true do ", "if x then ", "repeat "] {
        for depth in [300, 480, 950, 20_000] {
            let end = if block == "repeat " { " until true" } else { " end" };
            let text = format!("local x {}{}", block.repeat(depth), end.repeat(depth));
            read_schema(text.get(..120_000).unwrap_or(&text));
        }
    }
    let types = format!("type T = {}number{}", "{".repeat(900), "}".repeat(900));
    read_schema(&types);
}

/// The largest file there can be, made of as many tables and keys as fit.
#[test]
fn the_largest_file_is_read() {
    let line = "t[1]={a=1,b={a=2},t}\n";
    let text = format!("local t = {{}}\n{}return t", line.repeat(SOURCE_BYTES_MAX / line.len() - 1));
    assert!(text.len() > SOURCE_BYTES_MAX - 100);
    assert_eq!(read_schema(&text).diagnostics[0].code, "builder_expected");
}
