//! What is wrong becomes a complaint at its line, all of them at once; never an error of Lua's.

use crate::deploy::notation::luau::tests::{complaints, read_functions, read_schema, source};
use crate::deploy::notation::luau::{LuauFiles, SOURCE_BYTES_MAX, read};

#[test]
fn columns_and_tables() {
    let notation = read_schema(
        r#"return defineSchema({
  rules = defineTable({
    a = v.string,
    b = v.strng(),
    c = v.string():maximum(3),
    d = v.string():storage("instance"),
    e = v.string():renamedFrom(),
    f = "text",
    g = function() end,
    h = v.enum,
    i = v.id(),
    j = v.array(),
    k = v.array("string"),
    l = v.object(),
    m = v.string(10),
    n = v.string():optional(false),
    o = v.string():default(),
    p = v.string():max(1):max(2),
    q = v.string().max(4),
    r = v.any(),
    s = v.int():optional(),
    t = filter("a", "=", 1),
    u = v.json():default({ 1, x = 2 }),
    w = v.number():default(0 / 0),
    x = v.string():default("\255"),
    y = v.json():default({ a = arg("x") }),
    z = v.string:max(3),
    fine = v.string(),
  }):index("by_a"):indexx("b", { "a" }):max(3):rows(100):owned(true):owned():storage()
    :index("twice", { "a" })
    :index("twice", { "b" }),
  votes = { rule = v.id("rules") },
  more = defineTable(),
  other = defineTable({}):unique({ "a" }),
  1,
})"#,
    );
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/schema.luau:1: error[value_refused]: expected `defineTable({ … })`, got a value without a name in a table that has names, or a list with gaps
      at /tables/1
    server/schema.luau:3: error[builder_not_called]: `v.string` is a builder that was not called
      hint: write `v.string(…)`
      at /tables/rules/columns/a
    server/schema.luau:4: error[unknown_name]: there is no type `strng`
      hint: did you mean `v.string`?
      at /tables
    server/schema.luau:5: error[unknown_method]: there is no `:maximum` here
      hint: use one of optional, default, min, max, pattern, private, unique, onDelete, renamedFrom
      at /tables/rules/columns/c
    server/schema.luau:6: error[unknown_method]: there is no `:storage` here
      hint: it follows `defineTable({ … })`
      at /tables/rules/columns/d
    server/schema.luau:7: error[wrong_argument]: `renamedFrom` takes one value, got nothing
      at /tables/rules/columns/e/renamedFrom
    server/schema.luau:8: error[builder_expected]: expected a type such as `v.string()`, got the text `text`
      at /tables/rules/columns/f
    server/schema.luau:9: error[builder_expected]: expected a type such as `v.string()`, got a Lua function
      at /tables/rules/columns/g
    server/schema.luau:10: error[builder_not_called]: `v.enum` is a builder that was not called
      hint: write `v.enum(…)`
      at /tables/rules/columns/h
    server/schema.luau:11: error[wrong_argument]: expected a table's name, got nothing
      hint: write `v.id("table")`
      at /tables/rules/columns/i
    server/schema.luau:12: error[builder_expected]: expected a type such as `v.string()`, got nothing
      at /tables/rules/columns/j/items
    server/schema.luau:13: error[builder_expected]: expected a type such as `v.string()`, got the text `string`
      at /tables/rules/columns/k/items
    server/schema.luau:14: error[builder_expected]: expected the fields, as in `v.object({ name = v.string() })`, got nothing
      at /tables/rules/columns/l/fields
    server/schema.luau:15: error[wrong_argument]: `v.string` takes at most 0 arguments, got 1
      hint: write `v.string()`
      at /tables/rules/columns/m
    server/schema.luau:16: error[wrong_argument]: `optional` takes no argument
      hint: write `:optional()`
      at /tables/rules/columns/n/optional
    server/schema.luau:17: error[wrong_argument]: `default` takes one value, got nothing
      at /tables/rules/columns/o/default
    server/schema.luau:18: error[duplicate_name]: `max` is given twice
      hint: keep one of them
      at /tables/rules/columns/p/max
    server/schema.luau:19: error[value_refused]: expected a type such as `v.string()`, got `.max(…)` instead of `:max(…)`
      at /tables/rules/columns/q
    server/schema.luau:20: error[unknown_name]: there is no type `any`
      hint: did you mean `v.json`?
      at /tables
    server/schema.luau:21: error[unknown_name]: there is no type `int`
      hint: did you mean `v.integer`?
      at /tables
    server/schema.luau:22: error[builder_expected]: expected a type such as `v.string()`, got `filter(…)`
      at /tables/rules/columns/t
    server/schema.luau:23: error[value_refused]: expected a literal, got a value without a name in a table that has names, or a list with gaps
      at /tables/rules/columns/u/default/1
    server/schema.luau:24: error[value_refused]: `NaN` is no number that JSON has
      at /tables/rules/columns/w/default
    server/schema.luau:25: error[value_refused]: expected a literal, got text that is not UTF-8
      at /tables/rules/columns/x/default
    server/schema.luau:26: error[builder_expected]: expected a literal, got `arg(…)`
      at /tables/rules/columns/y/default/a
    server/schema.luau:27: error[builder_not_called]: `v.string` is a builder that was not called
      hint: write `v.string(…)`
      at /tables/rules/columns/z
    server/schema.luau:29: error[unknown_method]: there is no `:indexx` here
      hint: did you mean `:index`?
      at /tables/rules
    server/schema.luau:29: error[unknown_method]: there is no `:max` here
      hint: it follows a column's type such as `v.string()`
      at /tables/rules
    server/schema.luau:29: error[wrong_argument]: `index` takes a name and a list of columns, got the text `by_a`
      hint: write `:index("by_score", { "score" })`
      at /tables/rules
    server/schema.luau:29: error[wrong_argument]: `storage` takes one word
      hint: write `:storage("instance")`
      at /tables/rules
    server/schema.luau:29: error[duplicate_name]: `owned` is given twice
      hint: keep one of them
      at /tables/rules/owned
    server/schema.luau:29: error[wrong_argument]: `owned` takes no argument
      hint: write `:owned()`
      at /tables/rules/owned
    server/schema.luau:31: error[duplicate_name]: `index` is given twice for `twice`
      hint: rename one of them
      at /tables/rules/indexes/twice
    server/schema.luau:32: error[builder_expected]: expected `defineTable({ … })`, got a table
      at /tables/votes
    server/schema.luau:33: error[builder_expected]: expected the columns, as in `defineTable({ name = v.string() })`, got nothing
      at /tables/more
    server/schema.luau:34: error[wrong_argument]: `unique` takes a name and a list of columns, got a list
      hint: write `:unique("by_score", { "score" })`
      at /tables/other
    "#);
    let notation = read_schema(
        "return defineSchema({\n  a = { x = v.string() },\n  b = defineTable,\n c = defineTable({x = v.date(), y = v.dat()}, 3) })",
    );
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/schema.luau:2: error[builder_expected]: expected `defineTable({ … })`, got a table
      at /tables/a
    server/schema.luau:3: error[builder_not_called]: `defineTable` is a builder that was not called
      hint: write `defineTable(…)`
      at /tables/b
    server/schema.luau:4: error[unknown_name]: there is no type `dat`
      hint: did you mean `v.date`?
      at /tables
    server/schema.luau:4: error[wrong_argument]: `defineTable` takes at most 1 arguments, got 2
      hint: write `defineTable({ … }):index("name", { "column" })`
      at /tables/c
    "#);
    assert_eq!(notation.tables.to_string(), r#"{"c":{"columns":{"x":{"type":"date"}}}}"#);
}

#[test]
fn functions() {
    let notation = read_functions(
        r#"local functions = {}
functions.a = queryRow("rules")
functions.b = queryRows()
functions.c = queryRows("rules", "x")
functions.d = getRow("rules")
functions.e = insertRow("rules", arg("x"))
functions.f = insertRow("rules", { "x" })
functions.g = queryRows("rules", { filter = filter("a", "=") })
functions.h = queryRows("rules", { filter = "a = 1" })
functions.i = queryRows("rules", { filter = all(filter("a", "=", 1), nil, 3) })
functions.j = queryRows("rules", { limit = filter("a", "=", 1), table = "x" })
functions.k = queryRows("rules", { filter = filter("a", "in", { arg("x") }) })
functions.l = transaction({})
functions.m = aggregateRows("votes", { select = { n = count, a = count(1, 2), b = sum(), c = arg("c"), d = min("a"):max(1) }, limit = count() })
functions.n = function() end
functions.o = queryRows
functions.p = arg("x")
functions.q = getRow("rules", arg(5))
functions.r = getRow("rules", arg("id", "string"))
functions.s = getRow("rules", arg("id"), {}, {})
functions.t = getRow("rules", arg("id")):cached()
functions.u = 5
functions.w = queryRows("rules", {
  limit = print,
  offset = os.time(),
})
function functions.x() end
functions.fine = countRows("rules")
return functions"#,
    );
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/functions.luau:2: error[unknown_name]: unknown name `queryRow`
      hint: did you mean `queryRows`?
      at /functions
    server/functions.luau:3: error[wrong_argument]: expected a table's name, got nothing
      hint: write `queryRows("table", { … })`
      at /functions/b/table
    server/functions.luau:4: error[wrong_argument]: expected a table of options, got the text `x`
      hint: write `queryRows("table", { … })`
      at /functions/c
    server/functions.luau:5: error[wrong_argument]: `getRow` lacks its id
      hint: write `getRow("table", arg("id"), { … })`
      at /functions/d/id
    server/functions.luau:6: error[wrong_argument]: expected a table of columns, got `arg(…)`
      hint: write `{ column = arg("column") }`
      at /functions/e/values
    server/functions.luau:7: error[wrong_argument]: expected a table of columns, got a list
      hint: write `{ column = arg("column") }`
      at /functions/f/values
    server/functions.luau:8: error[wrong_argument]: `filter` takes a column, an operator and a value, got 2 arguments
      hint: write `filter("score", ">=", 10)`
      at /functions/g/filter
    server/functions.luau:9: error[builder_expected]: expected a condition such as `filter("score", ">=", 10)`, got the text `a = 1`
      at /functions/h/filter
    server/functions.luau:10: error[builder_expected]: expected a condition such as `filter("score", ">=", 10)`, got nothing
      at /functions/i/filter/all/1
    server/functions.luau:10: error[builder_expected]: expected a condition such as `filter("score", ">=", 10)`, got `3`
      at /functions/i/filter/all/2
    server/functions.luau:11: error[builder_expected]: `filter(…)` is a condition, which only `filter = …` and `when = …` take
      at /functions/j/limit
    server/functions.luau:11: error[unknown_option]: `table` is no option of `queryRows`
      hint: write `queryRows("table", { … })`
      at /functions/j/table
    server/functions.luau:12: error[builder_expected]: expected a literal, got `arg(…)`
      at /functions/k/filter/value/0
    server/functions.luau:14: error[builder_expected]: `count(…)` is made of rows, which only `select = { … }` of aggregateRows takes
      at /functions/m/limit
    server/functions.luau:14: error[wrong_argument]: `count` takes at most 1 arguments, got 2
      hint: write `count()`
      at /functions/m/select/a
    server/functions.luau:14: error[wrong_argument]: `sum` lacks its column
      hint: write `sum("column")`
      at /functions/m/select/b
    server/functions.luau:14: error[builder_expected]: expected `count()`, or `sum`, `avg`, `min` or `max` of a column such as `sum("score")`, got `arg(…)`
      at /functions/m/select/c
    server/functions.luau:14: error[unknown_method]: `min(…)` has no methods, so no `max`
      at /functions/m/select/d
    server/functions.luau:14: error[builder_not_called]: `count` is a builder that was not called
      hint: write `count(…)`
      at /functions/m/select/n
    server/functions.luau:15: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got a Lua function
      at /functions/n
    server/functions.luau:16: error[builder_not_called]: `queryRows` is a builder that was not called
      hint: write `queryRows(…)`
      at /functions/o
    server/functions.luau:17: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got `arg(…)`
      at /functions/p
    server/functions.luau:18: error[wrong_argument]: expected an argument's name, got `5`
      hint: write `arg("name")`
      at /functions/q/id
    server/functions.luau:19: error[builder_expected]: expected a type such as `v.string()`, got the text `string`
      at /functions/r/id/validator
    server/functions.luau:20: error[wrong_argument]: `getRow` takes at most 3 arguments, got 4
      hint: write `getRow("table", arg("id"), { … })`
      at /functions/s
    server/functions.luau:21: error[unknown_method]: `getRow(…)` has no methods, so no `cached`
      at /functions/t
    server/functions.luau:22: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got `5`
      at /functions/u
    server/functions.luau:24: error[unknown_name]: `print` cannot be used in a definition; it must be the same each time it is read
      hint: write the definition from literals and builders alone
      at /functions
    server/functions.luau:25: error[unknown_name]: `os` cannot be used in a definition; it must be the same each time it is read
      hint: write the definition from literals and builders alone
      at /functions
    server/functions.luau:27: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got a Lua function
      at /functions/x
    "#);
    let names: Vec<&String> = notation.functions.as_object().unwrap().keys().collect();
    assert_eq!(names, ["l", "s", "t", "fine"], "a function that lacks nothing is kept, a broken one is left out");
}

/// Lua keeps the last of two equal keys without a word.
#[test]
fn keys_given_twice() {
    let notation = read_schema(
        "return defineSchema({\n  a = defineTable({\n    x = v.string(),\n    ['x'] = v.date(),\n  }),\n  a = defineTable({ y = v.date() }),\n})",
    );
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/schema.luau:4: error[duplicate_name]: `x` is given twice, first on line 3
      hint: remove or rename one of them
      at /tables
    server/schema.luau:6: error[duplicate_name]: `a` is given twice, first on line 2
      hint: remove or rename one of them
      at /tables
    "#);
    let notation = read_functions(
        "local f = {}\nf.a = countRows('t')\nf['a'] = countRows('t', {\n limit = 1, limit = 2 })\nfunction f.a() end\nif f then f.b = countRows('t') else f.b = countRows('u') end\nreturn f",
    );
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/functions.luau:3: error[duplicate_name]: `a` is given twice, first on line 2
      hint: remove or rename one of them
      at /functions
    server/functions.luau:4: error[duplicate_name]: `limit` is given twice, first on line 4
      hint: remove or rename one of them
      at /functions
    server/functions.luau:5: error[duplicate_name]: `a` is given twice, first on line 3
      hint: remove or rename one of them
      at /functions
    server/functions.luau:5: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got a Lua function
      at /functions/a
    "#);
}

fn one(schema: &str) -> String {
    complaints(&read_schema(schema))
}

#[test]
fn the_file_as_a_whole() {
    insta::assert_snapshot!(one(""), @r#"
    server/schema.luau:1: error[nothing_returned]: `server/schema.luau` returns nothing
      hint: end it with `return defineSchema({ … })`
      at /tables
    "#);
    insta::assert_snapshot!(one("local t = 1\ndefineSchema({ a = defineTable({ x = v.strin() }) })\n\n"), @r#"
    server/schema.luau:2: error[unknown_name]: there is no type `strin`
      hint: did you mean `v.string`?
      at /tables
    server/schema.luau:3: error[nothing_returned]: `server/schema.luau` does not return what `defineSchema` made
      hint: end it with `return defineSchema({ … })`
      at /tables
    "#);
    insta::assert_snapshot!(one("return {\n a = defineTable({ x = 5 }) }"), @r#"
    server/schema.luau:2: error[builder_expected]: expected `defineSchema({ … })`, got a plain table
      hint: write `return defineSchema({ … })`
      at /tables
    server/schema.luau:2: error[builder_expected]: expected a type such as `v.string()`, got `5`
      at /tables/a/columns/x
    "#);
    insta::assert_snapshot!(one("return 5"), @r#"
    server/schema.luau:1: error[builder_expected]: expected `return defineSchema({ … })`, got `5`
      at /tables
    "#);
    insta::assert_snapshot!(one("return defineSchema"), @r#"
    server/schema.luau:1: error[builder_not_called]: `defineSchema` is a builder that was not called
      hint: write `defineSchema(…)`
      at /tables
    "#);
    insta::assert_snapshot!(one("return defineSchema()"), @r#"
    server/schema.luau:1: error[builder_expected]: expected a table of tables, `defineSchema({ name = defineTable({ … }) })`, got nothing
      at /tables
    "#);
    insta::assert_snapshot!(one("return defineSchema({}), 3"), @r#"
    server/schema.luau:1: error[value_refused]: the file returns 2 values
      hint: return one
      at /tables
    "#);
    insta::assert_snapshot!(one("return defineTable({})"), @r#"
    server/schema.luau:1: error[builder_expected]: expected `return defineSchema({ … })`, got `defineTable(…)`
      at /tables
    "#);
    insta::assert_snapshot!(one("\n\nreturn defineSchema({ a = })"), @r#"
    server/schema.luau:3: error[syntax_error]: expected identifier when parsing expression, got `}`
      at /tables
    "#);
    insta::assert_snapshot!(one("\nlocal s = 'abc\nreturn s"), @r#"
    server/schema.luau:2: error[syntax_error]: malformed string; did you forget to finish it?
      at /tables
    "#);
    insta::assert_snapshot!(one("\nlocal t = nil\nlocal x = t.y"), @r#"
    server/schema.luau:3: error[runtime_error]: attempt to index nil with `y`
      at /tables
    "#);
    insta::assert_snapshot!(one("\n\nerror('My own. Reason.')"), @r#"
    server/schema.luau:3: error[runtime_error]: my own. Reason
      at /tables
    "#);
    insta::assert_snapshot!(one("\n\nerror({ message = 'in a table' })"), @r#"
    server/schema.luau:3: error[runtime_error]: in a table
      at /tables
    "#);
    insta::assert_snapshot!(one("\nerror({})"), @r#"
    server/schema.luau:2: error[runtime_error]: the file called `error` with a table
      at /tables
    "#);
    insta::assert_snapshot!(one("\nerror(nil)"), @r#"
    server/schema.luau:2: error[runtime_error]: the file called `error` with nothing
      at /tables
    "#);
    insta::assert_snapshot!(one("local a = v.string() + 1"), @r#"
    server/schema.luau:1: error[runtime_error]: attempt to perform arithmetic (add) on table and number
      at /tables
    "#);
    insta::assert_snapshot!(one("local a = v.string()\na.x = 1"), @r#"
    server/schema.luau:2: error[runtime_error]: a builder cannot be changed
      at /tables
    "#);
    insta::assert_snapshot!(one("\nv.text = 1"), @r#"
    server/schema.luau:2: error[runtime_error]: a builder cannot be changed
      at /tables
    "#);
    insta::assert_snapshot!(one("\nstring.upper = nil"), @r#"
    server/schema.luau:2: error[runtime_error]: attempt to modify a readonly table
      at /tables
    "#);
    insta::assert_snapshot!(one("local x = 9007199254740993\nreturn defineSchema({})"), @r#"
    server/schema.luau:1: error[inexact_number]: `9007199254740993` is not exact as a Lua number, which has 53 bits
      hint: use a smaller number, or a decimal in quotes
      at /tables
    "#);
    insta::assert_snapshot!(complaints(&read_functions("local f = {}\nf.a = countRows('t')\n")), @r#"
    server/functions.luau:2: error[nothing_returned]: `server/functions.luau` returns nothing
      hint: end it with `return functions`
      at /functions
    "#);
    insta::assert_snapshot!(complaints(&read_functions("return countRows('t')")), @r#"
    server/functions.luau:1: error[builder_expected]: expected a table of functions, `return functions`, got `countRows(…)`
      at /functions
    "#);
    insta::assert_snapshot!(one(&" ".repeat(SOURCE_BYTES_MAX + 1)), @r#"
    server/schema.luau:1: error[source_too_large]: the file has 131073 bytes, at most 131072 are read
      hint: move parts of it to modules
      at /tables
    "#);
}

#[test]
fn unknown_names_are_told_once_and_the_rest_is_still_read() {
    insta::assert_snapshot!(one(
        "local x = tabel.insert\nprint('x')\nfor i = 1, 3 do math.random() end\nreturn defineSchema({ a = defineTable({ b = v.text(), c = 5 }) })"
    ), @r#"
    server/schema.luau:1: error[unknown_name]: unknown name `tabel`
      hint: did you mean `table`?
      at /tables
    server/schema.luau:2: error[unknown_name]: `print` cannot be used in a definition; it must be the same each time it is read
      hint: write the definition from literals and builders alone
      at /tables
    server/schema.luau:3: error[runtime_error]: attempt to call a nil value
      at /tables
    "#);
    insta::assert_snapshot!(one("for i = 1, 1000 do local _ = whatever end\nreturn defineSchema({})"), @r#"
    server/schema.luau:1: error[unknown_name]: unknown name `whatever`
      hint: declare it with `local`, or use a builder's name
      at /tables
    "#);
    insta::assert_snapshot!(one("return defineSchem({ a = defineTable({ c = 5 }) })"), @r#"
    server/schema.luau:1: error[unknown_name]: unknown name `defineSchem`
      hint: did you mean `defineSchema`?
      at /tables
    "#);
}

#[test]
fn modules() {
    let notation = read(&LuauFiles {
        schema: Some(source("schema", "local a = require('./a')\nreturn defineSchema({})")),
        functions: Some(source("functions", "local x = require('../x')\nreturn {}")),
        modules: vec![source("a", "\nreturn require('./b')"), source("b", "\n\nreturn require('a')")],
    });
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/b.luau:3: error[runtime_error]: module `a` requires itself
      at /tables
    server/functions.luau:1: error[runtime_error]: there is no module `../x` beside this file; expected `./name` of a file `server/name.luau`
      at /functions
    "#);
    let notation = read(&LuauFiles {
        schema: Some(source("schema", "require('./a')\nreturn defineSchema({})")),
        functions: Some(source("functions", "require(5)")),
        modules: vec![source("a", ""), source("broken", "\nreturn )"), source("unused", "error('never runs')")],
    });
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/broken.luau:2: error[syntax_error]: expected identifier when parsing expression, got `)`
      at 
    server/functions.luau:1: error[runtime_error]: expected `require("./module")`
      at /functions
    server/schema.luau:1: error[runtime_error]: module `./a` returns nothing; end it with `return`
      at /tables
    "#);
}

#[test]
fn steps() {
    let notation = read_functions(
        r#"return {
  a = transaction(),
  b = transaction({ insertRow("rules", {}) }),
  c = transaction({ step(3, deleteRow("rules", arg("id"))), step("x"), step("y", deleteRow("rules", row("x"))) }),
  d = transaction({ step("x", deleteRow("rules", arg("id"))) }, "editor"),
  e = step("x", deleteRow("rules", arg("id"))),
  f = transaction({ step("x", deleteRow("rules", row("w", "id"))) }, { access = "viewer", steps = {} }),
}"#,
    );
    insta::assert_snapshot!(complaints(&notation), @r#"
    server/functions.luau:2: error[wrong_argument]: expected a list of steps, got nothing
      hint: write `transaction({ step("name", insertRow(…)), … }, { … })`
      at /functions/a/steps
    server/functions.luau:3: error[builder_expected]: expected a step such as `step("poll", insertRow(…))`, got `insertRow(…)`
      at /functions/b/steps/0
    server/functions.luau:4: error[wrong_argument]: expected a name for the step, got `3`
      hint: write `step("name", …)`
      at /functions/c/steps/0/name
    server/functions.luau:4: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got nothing
      at /functions/c/steps/1/function
    server/functions.luau:4: error[wrong_argument]: `row` takes a step's name and a column
      hint: write `row("step", "id")`
      at /functions/c/steps/2/function/id
    server/functions.luau:5: error[wrong_argument]: expected a table of options, got the text `editor`
      hint: write `transaction({ step("name", insertRow(…)), … }, { … })`
      at /functions/d
    server/functions.luau:6: error[builder_expected]: expected a function such as `queryRows("table", { … })`, got `step(…)`
      at /functions/e
    server/functions.luau:7: error[unknown_option]: `steps` is no option of `transaction`
      hint: write `transaction({ step("name", insertRow(…)), … }, { … })`
      at /functions/f/steps
    "#);
    insta::assert_snapshot!(serde_json::to_string(&notation.functions).unwrap(), @r#"{"f":{"kind":"transaction","steps":[{"name":"x","function":{"kind":"deleteRow","table":"rules","id":{"row":"w","column":"id"}}}],"access":"viewer"}}"#);
}
