//! `ctx.sql`: what it answers, whose rows it sees, and what stands in the way of everything else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;

use std::time::{Duration, Instant};

use rowgate::auth::token::Claims;
use rowgate::config::{Config, Roles};
use rowgate::deploy::apply::{Scans, Terms, apply};
use rowgate::deploy::bundle::read_bundle;
use rowgate::lifecycle::remove::remove_extension;
use rowgate::record::{self, Install};
use rowgate::registry::recall;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{TestGateway, answer, deploy};

const SCHEMA: &str = r#"
return defineSchema({
  notes = defineTable({
    text = v.string(),
    score = v.integer():default(0),
    dueAt = v.timestamp():optional(),
    secret = v.string():optional():private(),
  }):index("by_score", { "score" }),
  everything = defineTable({
    text = v.string(), whole = v.integer(), number = v.number(), flag = v.boolean(), exact = v.decimal(),
    at = v.timestamp(), day = v.date(), key = v.uuid(), bytes = v.bytes(), data = v.json(),
    texts = v.array(v.string()), wholes = v.array(v.integer()), none = v.string():optional(),
  }),
  ours = defineTable({ text = v.string() }):storage("account"),
  everybodys = defineTable({ text = v.string() }):storage("global"),
  designs = defineTable({ text = v.string() }):storage("overlay"),
})
"#;

const FUNCTIONS: &str = r#"
local functions = {}

local function ask(ctx, args)
  local ok, result = pcall(ctx.sql.query, args.text, args.given)
  if ok then
    return { ok = result }
  elseif type(result) == "table" then
    return { code = result.code, message = result.message }
  end
  return { text = result }
end

local args = { text = v.string(), given = v.json():optional() }
functions.read = query({ args = args, handler = ask })
functions.write = mutation({ args = args, handler = ask })
functions.act = action({ args = args, handler = ask })

functions.add = mutation({
  args = { table = v.string(), values = v.json() },
  handler = function(ctx, args) return ctx.db.insert(args.table, args.values) end,
})

functions.both = query({ handler = function(ctx)
  return { ctx.db.query("everything"), (ctx.sql.query("SELECT * FROM everything")) }
end })

-- What fails is undone alone, and what was written before it is seen.
functions.mixed = mutation({ args = { text = v.string() }, handler = function(ctx, args)
  ctx.db.insert("notes", { text = "before" })
  local ok, reason = pcall(ctx.sql.query, args.text)
  ctx.db.insert("notes", { text = "after" })
  return { if ok then "ok" else reason.code, ctx.sql.query("SELECT text FROM notes ORDER BY text") }
end })

functions.raise = query({ args = args, handler = function(ctx, args) return ctx.sql.query(args.text) end })

return functions
"#;

fn document() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server");
    std::fs::create_dir(&server).unwrap();
    let extension = json!({ "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "notes", "version": "1.0.0" });
    std::fs::write(folder.path().join("extension.json"), extension.to_string()).unwrap();
    std::fs::write(server.join("schema.luau"), SCHEMA).unwrap();
    std::fs::write(server.join("functions.luau"), FUNCTIONS).unwrap();
    let read = read_bundle(folder.path()).unwrap();
    assert_eq!(read.diagnostics, Vec::new());
    serde_json::to_value(&read.definition).unwrap()
}

/// A gateway with two installs of one extension, of different accounts and overlays.
struct Bed {
    test: TestGateway,
    other: Install,
}

impl Bed {
    async fn new() -> Bed {
        Bed::with(|_| {}).await
    }

    async fn with(settings: impl FnOnce(&mut Config)) -> Bed {
        let test = TestGateway::with(&document(), settings).await;
        let other = Install {
            id: Uuid::now_v7(),
            account_id: Uuid::now_v7(),
            overlay_id: Some(Uuid::now_v7()),
            ..test.install.clone()
        };
        record::insert_install(&test.database.gateway_client().await, &other).await.unwrap();
        test.server.reload().await.unwrap();
        Bed { test, other }
    }

    async fn ask(&self, function: &str, text: &str, given: Value) -> Value {
        self.test.call(function, json!({ "text": text, "given": given })).await.ok()
    }

    /// The rows that a query answers.
    async fn rows(&self, text: &str, given: Value) -> Value {
        let answer = self.ask("read", text, given).await;
        answer.get("ok").unwrap_or_else(|| panic!("{text}: {answer}")).clone()
    }

    /// The code it is refused with, and the message.
    async fn refused(&self, text: &str, given: Value) -> (String, String) {
        let answer = self.ask("read", text, given).await;
        let part = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{text}: {answer}")).to_owned();
        (part("code"), part("message"))
    }

    async fn add(&self, table: &str, values: Value) -> Value {
        self.test.call("add", json!({ "table": table, "values": values })).await.ok()
    }

    async fn of_other(&self, function: &str, arguments: Value) -> Value {
        let token = self.test.token_of(&Claims::new(self.other.id, Role::Owner, Some("x".to_owned())));
        let url = format!("http://{}/v1/extension-functions/{}/{function}", self.test.server.address, self.other.id);
        answer(self.test.http.post(url).bearer_auth(token).json(&arguments)).await.ok()
    }
}

#[tokio::test]
async fn values_are_those_of_ctx_db() {
    let bed = Bed::new().await;
    for (text, whole, number) in
        [("ä \"'\\ \u{1}", 9_007_199_254_740_991_i64, 0.1), ("", -1, 123_456.75), ("x", 0, -5.0)]
    {
        let values = json!({
            "text": text, "whole": whole, "number": number, "flag": whole < 0, "exact": "123456789012345678901234567890.50",
            "at": "2026-01-31T12:00:00.5+02:00", "day": "2026-01-31", "key": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f",
            "bytes": "AAH+/w==", "data": { "a": [1, null, 1.5, { "b": "c" }] }, "texts": ["a", "b\"{},\\"], "wholes": [],
        });
        bed.add("everything", values).await;
    }
    let both = bed.test.call("both", json!({})).await.ok();
    let sorted = |rows: &Value| {
        let mut rows: Vec<String> = rows.as_array().unwrap().iter().map(Value::to_string).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&both[0]), sorted(&both[1]));
    assert_eq!(both[0].as_array().unwrap().len(), 3);

    for (text, expected) in [
        (
            "SELECT 1 AS a, 'x' AS b, NULL AS c, 1.50 AS d, true AS e",
            json!({ "a": 1, "b": "x", "c": null, "d": "1.50", "e": true }),
        ),
        (
            "SELECT 'NaN'::float8 AS a, 'infinity'::timestamptz AS b, 'infinity'::date AS c",
            json!({ "a": null, "b": null, "c": null }),
        ),
        (
            "SELECT ARRAY[1.5, NULL]::numeric[] AS a, ARRAY[timestamptz '2026-01-01', NULL] AS b, ARRAY[]::bytea[] AS c",
            json!({ "a": ["1.5", null], "b": ["2026-01-01T00:00:00.000000Z", null], "c": [] }),
        ),
        (
            "SELECT sum(x)::int8 AS s, avg(x) AS m, count(*) FROM generate_series(1, 4) AS x",
            json!({ "s": 10, "m": "2.5000000000000000", "count": 4 }),
        ),
        (
            "SELECT interval '1 day' AS a, time '12:00' AS b, timestamp '2026-01-01' AS c",
            json!({ "a": "1 day", "b": "12:00:00", "c": "2026-01-01T00:00:00.000000" }),
        ),
        (
            "SELECT jsonb_build_object('a', 1) AS a, 9007199254740993::int8 AS b",
            json!({ "a": { "a": 1 }, "b": "9007199254740993" }),
        ),
    ] {
        assert_eq!(bed.rows(text, json!(null)).await, json!([expected]), "{text}");
    }
    assert_eq!(bed.rows("SELECT text FROM notes WHERE false", json!([])).await, json!([]), "an empty list is a list");
}

#[tokio::test]
async fn an_install_sees_its_own_slice() {
    let bed = Bed::new().await;
    for table in ["notes", "ours", "everybodys", "designs"] {
        bed.add(table, json!({ "text": "mine" })).await;
        bed.of_other("add", json!({ "table": table, "values": { "text": "theirs" } })).await;
    }
    for (table, expected) in [
        ("notes", json!([{ "text": "mine" }])),
        ("ours", json!([{ "text": "mine" }])),
        ("designs", json!([{ "text": "mine" }])),
        ("everybodys", json!([{ "text": "mine" }, { "text": "theirs" }])),
    ] {
        let text = format!("SELECT text FROM {table} ORDER BY text");
        for function in ["read", "write", "act"] {
            assert_eq!(bed.ask(function, &text, json!(null)).await, json!({ "ok": expected }), "{function}: {table}");
        }
    }
    let theirs = bed.of_other("act", json!({ "text": "SELECT n.text, o.text AS o FROM notes n, ours o" })).await;
    assert_eq!(theirs, json!({ "ok": [{ "text": "theirs", "o": "theirs" }] }));
    // One without an overlay has no designs, and everything else.
    let client = bed.test.database.superuser().await;
    client.execute("UPDATE rowgate.installs SET overlay_id = NULL WHERE id = $1", &[&bed.other.id]).await.unwrap();
    bed.test.server.reload().await.unwrap();
    let refused = bed.of_other("read", json!({ "text": "SELECT 1 AS a FROM designs" })).await;
    assert_eq!(refused["code"], "overlay_missing", "{refused}");
    let theirs = bed.of_other("read", json!({ "text": "SELECT text FROM notes" })).await;
    assert_eq!(theirs, json!({ "ok": [{ "text": "theirs" }] }));
}

#[tokio::test]
async fn a_mutation_sees_what_it_wrote_and_outlives_a_failure() {
    let bed = Bed::new().await;
    for (place, (text, code)) in [
        ("SELECT 1 / 0 AS a", "sql_failed"),
        ("SELECT txt FROM notes", "sql_invalid"),
        ("SELECT count(*) FROM generate_series(1, 1000000000000) AS x", "sql_timeout"),
        ("SELECT x FROM generate_series(1, 2000) AS x", "sql_too_many_rows"),
        ("SELECT text FROM notes", "ok"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = bed.test.call("mixed", json!({ "text": text })).await.ok();
        assert_eq!(answer[0], code, "{text}: {answer}");
        assert_eq!(answer[1].as_array().unwrap().len(), 2 * (place + 1), "{text}");
    }
    // What a script does not catch fails the call, and none of it is told.
    let failed = bed.test.call("raise", json!({ "text": "SELECT 1 / 0 AS a" })).await;
    assert_eq!(failed.problem(), (500, "handler_failed".to_owned()));
    assert!(!failed.text.contains("zero"), "{}", failed.text);
}

#[tokio::test]
async fn rows_bytes_and_time_are_bounded() {
    let bed = Bed::with(|config| {
        config.http.workers = 1;
        config.script.sql_rows_max = 10;
        config.script.sql_answer_bytes_max = 1_000;
        config.script.sql_timeout_ms = 300;
    })
    .await;
    let ten = "SELECT x FROM generate_series(1, 10) AS x";
    assert_eq!(bed.rows(ten, json!(null)).await.as_array().unwrap().len(), 10);
    for (text, code) in [
        ("SELECT x FROM generate_series(1, 11) AS x", "sql_too_many_rows"),
        ("SELECT x FROM generate_series(1, 20000) AS x", "sql_too_many_rows"),
        ("SELECT string_agg('x', '') AS a FROM generate_series(1, 1000)", "sql_answer_too_large"),
        ("SELECT string_agg(md5(x::text), '') AS a FROM generate_series(1, 100) AS x", "sql_answer_too_large"),
        (
            "SELECT x, string_agg('x', '') AS a FROM generate_series(1, 9) AS x, generate_series(1, 90) AS y GROUP BY x",
            "ok",
        ),
        (
            "SELECT x, string_agg('x', '') AS a FROM generate_series(1, 9) AS x, generate_series(1, 111) AS y GROUP BY x",
            "sql_answer_too_large",
        ),
        ("SELECT count(*) AS a FROM generate_series(1, 1000000000000) AS x", "sql_timeout"),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) AS a FROM r", "sql_timeout"),
        ("SELECT count(*) AS a FROM generate_series(1, 100000) AS x, generate_series(1, 100000) AS y", "sql_timeout"),
        ("SELECT regexp_replace(string_agg('a', ''), '(a*)*b', '') AS a FROM generate_series(1, 30000)", "any"),
    ] {
        for function in ["read", "act"] {
            let begun = Instant::now();
            let answer = bed.ask(function, text, json!(null)).await;
            let met = if answer.get("ok").is_some() { "ok" } else { answer["code"].as_str().unwrap_or_default() };
            assert!(code == "any" || met == code, "{function}: {text}: {answer}");
            assert!(begun.elapsed() < Duration::from_secs(4), "{text}: {:?}", begun.elapsed());
            assert_eq!(bed.rows("SELECT 1 AS a", json!(null)).await, json!([{ "a": 1 }]), "behind {text}");
        }
    }
}

#[tokio::test]
async fn parameters_are_values_and_nothing_else() {
    let bed = Bed::new().await;
    bed.add("notes", json!({ "text": "it's", "score": 5, "dueAt": "2026-01-01T00:00:00Z" })).await;
    for (text, given, expected) in [
        ("SELECT text FROM notes WHERE score = $1 AND text = $2", json!([5, "it's"]), json!([{ "text": "it's" }])),
        ("SELECT text FROM notes WHERE text = $1", json!(["' OR true --"]), json!([])),
        (
            "SELECT $1::text AS a, $2::text AS b",
            json!(["\\'; DROP TABLE notes", "$1"]),
            json!([{ "a": "\\'; DROP TABLE notes", "b": "$1" }]),
        ),
        (
            "SELECT text FROM notes WHERE score = ANY($1) AND dueAt < $2",
            json!([[4, 5], "2026-06-01"]),
            json!([{ "text": "it's" }]),
        ),
        (
            "SELECT $1::text[] AS a",
            json!([["a\"b", "c\\d", "{e,f}", null, "NULL", ""]]),
            json!([{ "a": ["a\"b", "c\\d", "{e,f}", null, "NULL", ""] }]),
        ),
        (
            "SELECT $1::int8 AS a, $2::numeric AS b, $3::float8 AS c",
            json!(["9007199254740993", "1.50", 2.5]),
            json!([{ "a": "9007199254740993", "b": "1.50", "c": 2.5 }]),
        ),
        (
            "SELECT $1::jsonb AS a, $2::bytea AS b, $3::bool AS c",
            json!([{ "x": [1] }, "AAH+", true]),
            json!([{ "a": { "x": [1] }, "b": "AAH+", "c": true }]),
        ),
        ("SELECT coalesce($1::text, 'none') AS a", json!([null]), json!([{ "a": "none" }])),
        ("SELECT text FROM notes ORDER BY score LIMIT $1", json!([1]), json!([{ "text": "it's" }])),
        ("SELECT $1::text AS a", json!(["\u{1}"]), json!([{ "a": "\u{1}" }])),
    ] {
        assert_eq!(bed.rows(text, given,).await, expected, "{text}");
    }
    for (text, given, message) in [
        ("SELECT $1::text AS a", json!([]), "the text has 1 parameters, and 0 values are given; null is `null`"),
        ("SELECT 1 AS a", json!([1]), "the text has 0 parameters, and 1 values are given; null is `null`"),
        ("SELECT $1::text AS a", json!([5]), "`$1` takes text, and a number was given"),
        ("SELECT $1::int4 AS a", json!([true]), "`$1` takes a number, and a boolean was given"),
        ("SELECT $1::int4 AS a", json!(["1; SELECT 2"]), "a value, or a parameter, is not one that its place takes"),
        ("SELECT $1::bool AS a", json!(["true"]), "`$1` takes a boolean, and text was given"),
        ("SELECT $1::uuid AS a", json!(["x"]), "a value, or a parameter, is not one that its place takes"),
        ("SELECT $1::bytea AS a", json!(["\\x00"]), "`$1` takes bytes as base64, and text was given"),
        ("SELECT 1 AS a FROM notes WHERE score = ANY($1)", json!([5]), "`$1` takes a list, and a number was given"),
        (
            "SELECT 1 AS a WHERE $1 IS NULL",
            json!([1]),
            "the type of a parameter is not known; cast it, such as `$1::text`",
        ),
        (
            "SELECT 1 AS a WHERE $1 = to_tsquery('a')",
            json!(["a"]),
            "`$1` has a type that takes no value; cast it, such as by `::text`",
        ),
    ] {
        assert_eq!(bed.refused(text, given).await.1, message, "{text}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_to_the_author() {
    let bed = Bed::new().await;
    for (text, code, message) in [
        ("SELECT txt FROM notes", "sql_invalid", "there is no column `txt` here; did you mean `text`?"),
        ("SELECT n.dueat FROM notes n", "sql_invalid", "there is no column `n.dueat` here; did you mean `dueAt`?"),
        ("SELECT text FROM nots", "sql_invalid", "there is no table `nots`; did you mean `notes`?"),
        ("SELECT x.text FROM notes n", "sql_invalid", "`x.text` is no table that FROM has here"),
        (
            "SELECT text FROM notes n, ours o",
            "sql_invalid",
            "more than one table has a column `text`; write `table.column`",
        ),
        ("SELECT text, count(*) FROM notes", "sql_invalid", "`text` has to be in GROUP BY, or in an aggregate"),
        ("SELECT lower(score) FROM notes", "sql_invalid", "`lower` takes no values of these types; cast them"),
        (
            "SELECT 1 AS a FROM notes WHERE score",
            "sql_invalid",
            "`score` is of a type that does not fit there; cast it",
        ),
        (
            "SELECT n FROM notes n",
            "sql_invalid",
            "column `n` has a type that is no answer; cast it, such as by `::text`",
        ),
        (
            "SELECT (SELECT x FROM generate_series(1, 2) AS x) AS a",
            "sql_failed",
            "a query that stands for one value has more than one row",
        ),
        ("SELECT 1 +", "sql_invalid", "expected an expression, found the end"),
    ] {
        assert_eq!(bed.refused(text, json!(null)).await, (code.to_owned(), message.to_owned()), "{text}");
    }
    for given in [json!({ "a": 1 }), json!("a"), json!(1)] {
        assert_eq!(bed.refused("SELECT 1 AS a", given).await.0, "question_invalid");
    }
    // Postgres's own words are in the author's log.
    let client = bed.test.database.superuser().await;
    let begun = Instant::now();
    loop {
        let lines =
            "SELECT count(*) FROM rowgate.handler_lines WHERE message LIKE 'ctx.sql: column \"txt\" does not exist%'";
        if client.query_one(lines, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no line was kept");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_the_wall_is_not_whole_nothing_is_run() {
    let bed = Bed::new().await;
    let client = bed.test.database.superuser().await;
    let ask = async || bed.test.call("read", json!({ "text": "SELECT 1 AS a" })).await;
    ask().await.ok();
    for (grant, revoke) in [
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC",
        ),
        (
            "GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO rowgate_sql_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f",
            "REVOKE EXECUTE ON FUNCTION pg_catalog.lo_create(oid) FROM rowgate_sql_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f",
        ),
    ] {
        client.batch_execute(grant).await.unwrap();
        for function in ["read", "write", "act"] {
            let refused = bed.test.call(function, json!({ "text": "SELECT 1 AS a" })).await;
            assert_eq!(refused.problem(), (503, "sql_unavailable".to_owned()), "{function}");
        }
        client.batch_execute(revoke).await.unwrap();
        ask().await.ok();
    }
    // A setting that nobody made shows nothing.
    let reader = bed.test.database.gateway_client().await;
    let set = "SET ROLE rowgate_sql_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f";
    reader.batch_execute(set).await.unwrap();
    let view = "SELECT text FROM ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read.notes";
    assert!(reader.query(view, &[]).await.is_err());
    reader.batch_execute("SET rowgate.scope_instance = ''").await.unwrap();
    assert!(reader.query(view, &[]).await.is_err());
}

#[tokio::test]
async fn without_roles_there_is_no_sql() {
    let bed = Bed::new().await;
    let client = bed.test.database.superuser().await;
    client.batch_execute("UPDATE rowgate.extensions SET database_role = NULL").await.unwrap();
    bed.test.server.reload().await.unwrap();
    let refused = bed.test.call("act", json!({ "text": "SELECT 1 AS a" })).await;
    assert_eq!(refused.problem(), (503, "sql_unavailable".to_owned()));
    assert!(refused.text.contains("its log says what is missing"), "{}", refused.text);
}

#[tokio::test]
async fn views_are_there_for_those_that_ask_and_follow_their_tables() {
    let bed = Bed::new().await;
    let client = bed.test.database.superuser().await;
    let state = "SELECT string_agg(concat(relname, ' ', xmin), ',' ORDER BY relname) FROM pg_class
                  WHERE relkind = 'v' AND relnamespace = 'ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read'::regnamespace";
    let views = async || client.query_one(state, &[]).await.unwrap().get::<_, Option<String>>(0);
    let before = views().await.unwrap();
    assert_eq!(before.split(',').count(), 5);
    // The same once more writes nothing.
    assert!(!deploy(&bed.test.database, &document()).await.unwrap().changed);
    assert_eq!(views().await.unwrap(), before);
    let mut grown = document();
    grown["tables"]["notes"]["columns"]["mood"] = json!({ "type": "string", "optional": true });
    grown["tables"]["moods"] = json!({ "columns": { "text": { "type": "string" } } });
    deploy(&bed.test.database, &grown).await.unwrap();
    bed.test.server.reload().await.unwrap();
    assert_eq!(bed.rows("SELECT n.mood, m.text FROM notes n, moods m", json!(null)).await, json!([]));
    assert_eq!(views().await.unwrap().split(',').count(), 6);
    // Without a handler that may ask there is nothing to read.
    let mut quiet = grown.clone();
    quiet["sources"]["functions"] =
        json!(quiet["sources"]["functions"].as_str().unwrap().replace("ctx.sql", "ctx.s").replace("sql", "s"));
    deploy(&bed.test.database, &quiet).await.unwrap();
    assert_eq!(views().await, None);
    deploy(&bed.test.database, &grown).await.unwrap();
    assert_eq!(views().await.unwrap().split(',').count(), 6);
    // They go with their extension.
    let mut gateway = bed.test.database.gateway_client().await;
    client.batch_execute("DELETE FROM rowgate.installs").await.unwrap();
    remove_extension(&mut gateway, bed.test.extension_id, "notes", "tests").await.unwrap();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ext%'";
    assert_eq!(client.query_one(schemas, &[]).await.unwrap().get::<_, i64>(0), 0);
    // Nor without roles.
    let none = crate::support::TestDatabase::new().await;
    let (definition, _) = read(&document());
    let model = check(&definition).unwrap();
    let terms = Terms { scans: Scans::Uncertified, roles: Roles::None, ..Terms::default() };
    apply(&mut none.gateway_client().await, &definition, &model, recall, &terms).await.unwrap();
    let found =
        none.superuser().await.query("SELECT FROM pg_namespace WHERE nspname LIKE '%_read'", &[]).await.unwrap();
    assert!(found.is_empty());
}

/// What a script asks for is asked of no row but its own, whatever that would tell.
#[tokio::test]
async fn failures_tell_nothing_of_others_rows() {
    let bed = Bed::new().await;
    bed.add("notes", json!({ "text": "1", "score": 1 })).await;
    for number in 0..50 {
        bed.of_other("add", json!({ "table": "notes", "values": { "text": format!("secret {number}"), "score": 0 } }))
            .await;
    }
    for text in [
        "SELECT 1 / score AS a FROM notes",
        "SELECT text FROM notes WHERE 1 / score > 0",
        "SELECT text FROM notes WHERE text::int > 0",
        "SELECT text FROM notes WHERE CASE WHEN text LIKE 'secret%' THEN 1 / score > 0 ELSE true END",
        "SELECT text FROM notes ORDER BY 1 / score",
        "SELECT count(*) AS a FROM notes GROUP BY 1 / score",
        "SELECT text FROM notes WHERE score > 0 AND to_date(text, 'YYYY') IS NOT NULL",
        "SELECT max(1 / score) AS a FROM notes",
        "SELECT a.text FROM notes a JOIN notes b ON 1 / b.score = a.score",
    ] {
        let answer = bed.ask("read", text, json!(null)).await;
        assert_eq!(answer["ok"].as_array().map(Vec::len), Some(1), "{text}: {answer}");
    }
}
