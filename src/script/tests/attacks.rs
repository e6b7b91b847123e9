//! Handlers that try to run for ever, to take all memory or to reach out: each ends as the table
//! says, within a bound on its processor time that is far above what it should take.

use std::time::Duration;

use crate::script::machine::Step;
use crate::script::sandbox::Termination;
use crate::script::tests::{LIMITS, Ran, run, run_program};

/// How a handler ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Time,
    Memory,
    Fails,
    Returns,
}

use End::{Fails, Memory, Returns, Time};

type Attack = (&'static str, &'static str, &'static [End]);

/// Beyond the 200 ms that are allowed; a safepoint should come within 25.
const CPU_MAX: Duration = Duration::from_secs(6);

const LOOPS: &[Attack] = &[
    ("loop", "while true do end", &[Time]),
    ("for_huge", "for i = 1, 1e18 do end", &[Time]),
    ("pcall_loop", "while true do pcall(function() while true do end end) end", &[Time]),
    ("pcall_recursive", "local function f() pcall(f) pcall(f) end f()", &[Time]),
    ("pcall_tree", "local function f(n) if n > 0 then pcall(f, n - 1) pcall(f, n - 1) end end f(60)", &[Time]),
    ("xpcall_handler_loop", "xpcall(error, function() while true do end end)", &[Time]),
    (
        "meta_index_loop",
        "local t = setmetatable({}, { __index = function(t, k) while true do end end }) local x = t.a",
        &[Time],
    ),
    (
        "meta_eq_concat",
        "local m = { __concat = function(a, b) return a end, __eq = function() return false end } \
         local a, b = setmetatable({}, m), setmetatable({}, m) while a ~= b do local c = a .. b end",
        &[Time],
    ),
    ("gsub_callback_loop", "local s = ('x'):rep(1e5) while true do s:gsub('x', function() end) end", &[Time]),
    ("sort_cmp_loop", "table.sort({ 3, 2, 1 }, function() while true do end end)", &[Time]),
    (
        "sort_invalid_cmp",
        "local t = {} for i = 1, 1e4 do t[i] = i end while true do pcall(table.sort, t, function() return true end) end",
        &[Time],
    ),
    ("sort_numbers_big", "local t = {} for i = 1, 2e5 do t[i] = -i end while true do table.sort(t) end", &[Time]),
    (
        "lt_sort_meta",
        "local m = { __lt = function() while true do end end } table.sort({ setmetatable({}, m), setmetatable({}, m) })",
        &[Time],
    ),
    ("deep_recursion_pcall", "local function f() pcall(f) f() end f()", &[Time, Fails]),
    ("insert_front", "local t = {} while true do table.insert(t, 1, 0) end", &[Time]),
    ("remove_front", "local t = table.create(5e4, 1) while true do table.remove(t, 1) table.insert(t, 1) end", &[Time]),
    ("buffer_copy_loop", "local b = buffer.create(1e6) while true do buffer.copy(b, 0, b) end", &[Time]),
    ("tbl_clone_loop", "local t = table.create(1e4, 1) while true do local c = table.clone(t) end", &[Time]),
    (
        "iter_meta",
        "for _ in setmetatable({}, { __iter = function() return function() return 1 end end }) do end",
        &[Time],
    ),
    ("namecall_loop", "local s = 'x' while true do s = s:upper() end", &[Time]),
    ("tostring_loop", "while true do tostring(1.5) end", &[Time]),
    ("gsub_table", "local s = ('x'):rep(1e5) while true do s:gsub('x', { x = 'y' }) end", &[Time]),
    ("len_border", "local t = {} for i = 1, 1e5 do t[i] = i end while true do t[#t] = nil t[#t + 1] = 1 end", &[Time]),
    ("utf8_big", "local s = ('ä'):rep(5e5) while true do utf8.len(s) end", &[Time]),
    ("format_wide", "while true do string.format('%99d', 1) end", &[Time]),
    ("random_loop", "while true do math.random() end", &[Time]),
    ("ctx_missing_loop", "while true do pcall(function() return ctx.nothing end) end", &[Time]),
];

const NESTS: &[Attack] = &[
    (
        "xpcall_nest_handler",
        "local s = ('x'):rep(1e6) local function f(n) xpcall(function() while true do end end, function() \
         local a = s .. n if n > 0 then f(n - 1) end end) end f(100)",
        &[Time, Memory],
    ),
    (
        "pcall_nest_concat",
        "local s = ('x'):rep(1e6) local function f(n) pcall(function() if n > 0 then f(n - 1) end while true do end end) \
         local a = s .. n .. s .. n .. s .. n end f(150)",
        &[Time, Memory],
    ),
    (
        "pcall_nest_concat2",
        "local s = ('x'):rep(5e5) local function f(n) if n > 0 then pcall(f, n - 1) end while true do pcall(error) end \
         local a = s .. n end f(150)",
        &[Time, Memory],
    ),
    (
        "pcall_nest_concat3",
        "local s = ('x'):rep(1e6) local function f(n) pcall(function() if n > 0 then f(n - 1) end while true do end end) \
         local a = s .. n local b = s .. a local c = b .. n local d = s .. c local e = s .. n .. s end f(190)",
        &[Time, Memory],
    ),
    (
        "xpcall_nest_error",
        "local function f(n) xpcall(error, function() if n > 0 then f(n - 1) end while true do end end) end f(150)",
        &[Time, Fails],
    ),
];

const NATIVES: &[Attack] = &[
    ("pattern_exp", "(('a'):rep(40)):match(('a?'):rep(40) .. ('a'):rep(40) .. 'b')", &[Time]),
    (
        "pattern_exp_pcall",
        "while true do pcall(string.match, ('a'):rep(40), ('a?'):rep(40) .. ('a'):rep(40) .. 'b') end",
        &[Time],
    ),
    ("pattern_lazy", "local s = ('a'):rep(2e5) s:match('.-.-.-.-b')", &[Time]),
    ("pattern_gsub_exp", "(('a'):rep(40)):gsub(('a?'):rep(40) .. ('a'):rep(40) .. 'b', '')", &[Time]),
    ("pattern_bracket", "local s = ('x'):rep(1e6) s:find('[' .. ('ab'):rep(1e5) .. ']*y')", &[Fails]),
    ("pattern_frontier", "local s = ('x'):rep(1e6) s:find('%f[' .. ('ab'):rep(1e5) .. ']')", &[Fails]),
    ("pattern_balance", "local s = ('('):rep(2e5) s:match('%b()')", &[Time, Returns]),
    ("plain_find_quadratic", "local s = ('a'):rep(2e6) s:find(('a'):rep(1e6) .. 'b', 1, true)", &[Fails]),
    ("plain_find_auto", "local s = ('a'):rep(2e6) s:find(('a'):rep(1e6) .. 'b')", &[Fails]),
    ("split_quadratic", "local s = ('a'):rep(2e6) s:split(('a'):rep(1e6) .. 'b')", &[Fails]),
    (
        "sort_long_strings",
        "local s, t = ('x'):rep(2e5), {} for i = 1, 30 do t[i] = s .. i end while true do table.sort(t, nil) end",
        &[Time, Memory],
    ),
    ("table_move_huge", "table.move({}, 1, 2147483600, 2, {})", &[Returns]),
    ("table_move_neg", "pcall(table.move, { 1 }, -2147483647, 1, 1)", &[Returns, Time]),
    (
        "luau2970_table_move_oob",
        "local d = {} d[-2147483648] = 1 pcall(table.move, { 1 }, 1, 2147483647, 1, d)",
        &[Returns],
    ),
    ("table_create_neg", "pcall(table.create, -1)", &[Returns]),
    ("buffer_oob", "local b = buffer.create(1) assert(not pcall(buffer.readu8, b, 2147483647))", &[Returns]),
    ("string_pack_bomb", "pcall(string.pack, '!16' .. ('i16'):rep(1e4), 1)", &[Returns]),
    ("string_unpack_oob", "assert(not pcall(string.unpack, 's8', ('\\255'):rep(8)))", &[Returns]),
    ("format_invalid", "assert(not pcall(string.format, '%' .. ('0'):rep(100) .. 'd', 1))", &[Returns]),
    ("gsub_recursive_table", "local t = {} t.x = t pcall(string.gsub, 'x', 'x', t)", &[Returns]),
    ("string_byte_all", "local s = ('x'):rep(1e6) s:byte(1, -1)", &[Fails]),
    ("codepoint_all", "local s = ('x'):rep(1e6) utf8.codepoint(s, 1, -1)", &[Fails, Memory]),
    ("straightline_concat", "local s, a = ('x'):rep(1e5), '' CONCAT", &[Time, Memory, Returns]),
    ("straightline_sub", "local s, a = ('x'):rep(1e6), '' SUB", &[Time, Memory]),
    ("straightline_cmp", "local s, t, a = ('x'):rep(1e6) .. 'a', ('x'):rep(1e6) .. 'b' COMPARE", &[Time, Returns]),
];

const SIZES: &[Attack] = &[
    ("rep_1e9", "local s = ('x'):rep(1e9)", &[Memory]),
    ("rep_empty_huge", "local s = (''):rep(1e15)", &[Returns, Fails]),
    ("rep_9mb_loop", "while true do local s = ('x'):rep(9e6) end", &[Time, Memory]),
    ("upper_9mb_loop_pcall", "local s = ('x'):rep(9e6) while true do pcall(string.upper, s) end", &[Time, Memory]),
    ("table_growth", "local t = {} while true do t[#t + 1] = {} end", &[Time, Memory]),
    ("hash_growth", "local t, i = {}, 0 while true do i += 1 t['k' .. i] = i end", &[Time, Memory]),
    ("hash_collide", "local t, i = {}, 0 while true do i += 1 t[i * 2^32] = i end", &[Time, Memory]),
    ("string_doubling", "local s = 'x' while true do s ..= s end", &[Memory]),
    (
        "oom_pcall_loop",
        "local t = {} while true do pcall(function() while true do t[#t + 1] = ('x'):rep(1e5) .. #t end end) end",
        &[Time, Memory],
    ),
    (
        "closures_growth",
        "local t = {} while true do local i = #t t[i + 1] = function() return i end end",
        &[Time, Memory],
    ),
    ("buffer_1e9", "local b = buffer.create(1e9)", &[Memory]),
    ("buffers_growth", "local t = {} while true do t[#t + 1] = buffer.create(1e5) end", &[Time, Memory]),
    ("table_create_1e9", "local t = table.create(1e9)", &[Memory, Fails]),
    ("table_create_6e7", "local t = table.create(6e7)", &[Memory]),
    (
        "concat_same_big",
        "local s, t = ('x'):rep(1e6), {} for i = 1, 1e4 do t[i] = s end s = table.concat(t)",
        &[Memory],
    ),
    ("concat_num", "local t = {} for i = 1, 1e7 do t[i] = 1.5 end local s = table.concat(t)", &[Time, Memory]),
    ("gsub_expand", "local s = ('x'):rep(1e5) s = s:gsub('x', ('y'):rep(1e4))", &[Memory]),
    (
        "format_expand",
        "local s = ('x'):rep(4e6) s = string.format(('%s'):rep(50), s, s, s, s, s, s, s, s, s, s)",
        &[Memory, Fails],
    ),
    (
        "unpack_huge",
        "local t = table.create(5e5, 1) local function f(...) f(...) end f(table.unpack(t))",
        &[Fails, Memory],
    ),
    ("unpack_huge2", "table.unpack({}, 1, 1e8)", &[Fails]),
    ("split_chars", "local s = ('x'):rep(5e6) local t = s:split('')", &[Memory]),
    ("split_x", "local s = ('x'):rep(1e5) while true do local t = s:split('x') end", &[Time, Memory]),
    ("next_sparse", "local t = {} for i = 1, 1e7 do t[i * 3] = 1 end", &[Time, Memory]),
    ("many_frames_oom", "local function f(...) return f(1, ...) end f()", &[Memory, Fails, Time]),
    (
        "gc_metatables",
        "while true do setmetatable({}, { __gc = function() while true do end end, __mode = 'k' }) end",
        &[Time],
    ),
];

const DEPTHS: &[Attack] = &[
    ("deep_recursion", "local function f() return 1 + f() end f()", &[Fails]),
    ("deep_pcall", "local function f() return pcall(f) end f()", &[Returns, Fails, Time]),
    ("deep_gsub", "local function f(s) return (s:gsub('.', f)) end f('x')", &[Fails]),
    ("deep_sort", "local function f() table.sort({ 1, 2 }, f) end f()", &[Fails]),
    (
        "deep_meta_index",
        "local t = {} for i = 1, 1e4 do t = setmetatable({}, { __index = t }) end local x = t.x",
        &[Fails, Returns],
    ),
    (
        "deep_tostring",
        "local t = {} for i = 1, 1e4 do t = setmetatable({}, { __tostring = function() return tostring(t) end }) end tostring(t)",
        &[Returns],
    ),
    (
        "call_chain_meta",
        "local t = {} for i = 1, 1e5 do t = setmetatable({}, { __call = t }) end t()",
        &[Fails, Memory],
    ),
    ("error_big_string", "error(('x'):rep(5e6))", &[Fails, Memory]),
    ("error_tostring_loop", "error(setmetatable({}, { __tostring = function() while true do end end }))", &[Fails]),
    ("error_tostring_error", "error(setmetatable({}, { __tostring = error }))", &[Fails]),
    ("error_index_loop", "error(setmetatable({}, { __index = function() while true do end end }))", &[Fails]),
    (
        "error_deep_trace",
        "local function f(n) if n == 0 then error('deep') end return 1 + f(n - 1) end f(15000)",
        &[Fails],
    ),
    ("error_nil", "error(nil)", &[Fails]),
    ("name_bomb", "local t = {} t[('x'):rep(1e5)]()", &[Fails]),
];

const ESCAPES: &[Attack] = &[
    ("coroutine_loop", "coroutine.wrap(function() while true do end end)()", &[Fails]),
    ("coroutine_swallow", "local c = coroutine.create(error) while true do coroutine.resume(c) end", &[Fails]),
    ("coroutines_growth", "local t = {} while true do t[#t + 1] = coroutine.create(error) end", &[Fails]),
    (
        "coroutine_big_stacks",
        "local function deep(n) if n == 0 then coroutine.yield() end return 1 + deep(n - 1) end \
         while true do coroutine.wrap(deep)(1e4) end",
        &[Fails],
    ),
    ("coroutine_pcall_mix", "while true do coroutine.wrap(function() pcall(coroutine.yield) end)() end", &[Fails]),
    (
        "coro_nest_concat",
        "local s = ('x'):rep(1e6) local function f(n) coroutine.wrap(function() f(n + 1) end)() local a = s .. n end f(0)",
        &[Fails],
    ),
    ("yield_forever", "while true do coroutine.yield() end", &[Fails]),
    ("deep_coroutines", "local function f() coroutine.wrap(f)() end f()", &[Fails]),
    ("loadstring", "loadstring('return 1')()", &[Fails]),
    ("require_file", "require('./../../Cargo')", &[Fails]),
    ("require_absolute", "require('/etc/passwd')", &[Fails]),
    ("getfenv", "getfenv(1).x = 1", &[Fails]),
    ("debug", "debug.info(1, 's')", &[Fails]),
    ("os", "os.execute('true')", &[Fails]),
    ("collectgarbage", "collectgarbage('count')", &[Fails]),
    ("gcinfo", "gcinfo()", &[Fails]),
    ("newproxy", "newproxy(true)", &[Fails]),
    ("randomseed", "math.randomseed(1)", &[Fails]),
    ("string_metatable", "getmetatable('').__index = nil", &[Fails]),
    ("string_library", "string.find = nil", &[Fails]),
    ("ctx_write", "ctx.db = nil", &[Fails]),
    ("ctx_group_write", "ctx.db.get = nil", &[Fails]),
    ("ctx_data_write", "ctx.auth.role = 'owner'", &[Fails]),
    ("ctx_metatable", "getmetatable(ctx).__index = nil", &[Fails]),
    ("yield_in_sort", "table.sort({ 1, 2 }, function() ctx.db.get(1) end)", &[Fails]),
    ("yield_in_gsub", "('x'):gsub('x', function() ctx.db.get(1) end)", &[Fails]),
    ("ask_with_function", "ctx.db.get(print or function() end)", &[Fails]),
    ("array_metatable", "setmetatable(getmetatable(array({})) or {}, {})", &[Fails, Returns]),
];

#[track_caller]
fn withstand(attacks: &[Attack]) {
    for (name, attack, ends) in attacks {
        let attack = attack.replace("CONCAT", &"a = s .. 1\n".repeat(500));
        let attack = attack.replace("SUB", &"a = s:sub(2)\n".repeat(5_000));
        let attack = attack.replace("COMPARE", &"a = s < t\n".repeat(6_000));
        let ran = run(&attack);
        let end = end(&ran);
        assert!(ends.contains(&end), "{name}: expected {ends:?}, got {end:?}: {:?}", short(&ran.step));
        println!("{name}: {end:?} after {} ms", ran.cpu.as_millis());
        assert!(ran.cpu < CPU_MAX, "{name} took {:?}", ran.cpu);
    }
}

fn end(ran: &Ran) -> End {
    match &ran.step {
        Step::Returned(_) => Returns,
        Step::Failed(fault) => {
            assert!(fault.message.len() <= 8 << 10 && fault.trace.len() <= 8 << 10, "{} bytes", fault.message.len());
            Fails
        }
        Step::Stopped { termination: Termination::Time, .. } => Time,
        Step::Stopped { termination: Termination::Memory, .. } => Memory,
        other => panic!("{other:?}"),
    }
}

fn short(step: &Step) -> String {
    format!("{step:?}").chars().take(400).collect()
}

#[test]
fn loops_end() {
    withstand(LOOPS);
}

#[test]
fn nested_handlers_of_errors_end() {
    withstand(NESTS);
}

#[test]
fn native_routines_end() {
    withstand(NATIVES);
}

#[test]
fn memory_is_bounded() {
    withstand(SIZES);
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kb < 300 << 10, "{peak_kb} kB at the peak");
    }
}

#[test]
fn depth_is_bounded() {
    withstand(DEPTHS);
}

#[test]
fn nothing_reaches_out() {
    withstand(ESCAPES);
}

/// What runs before a handler is called is watched as the handler is.
#[test]
fn a_file_that_never_ends_is_stopped() {
    for source in ["while true do end", "return setmetatable({}, { __index = function() while true do end end })"] {
        let ran = run_program(&[("functions", source)], "{}", LIMITS);
        assert!(matches!(end(&ran), Time | Fails), "{source}: {:?}", ran.step);
    }
    let ran = run_program(
        &[("functions", "return require('./a')"), ("a", "while true do pcall(require, './b') end"), ("b", "return 1")],
        "{}",
        LIMITS,
    );
    assert_eq!(end(&ran), Time);
}
