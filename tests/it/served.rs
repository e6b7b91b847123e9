//! Calls while a definition changes: whatever a plan meets of tables it was not made for, its caller
//! is answered as by the revision those tables are of.
//!
//! Tables and record are changed here as a deploy's last transaction does it, together. Most are
//! changed without a word to the gateways, so that each call is sure to meet the newer tables first.

mod load;

use std::time::{Duration, Instant};

use rowgate::config::{Config, LimitMode, Quota};
use rowgate::deploy::notation::luau::{self, LuauFiles, Source};
use rowgate::record;
use rowgate::server::Server;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, config};

const SCHEMA: &str = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";
const ROLE: &str = "rowgate_ext_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f";

const TABLES: &str = r#"
return defineSchema({
  owners = defineTable({ name = v.string() }),
  things = defineTable({
    name = v.string():max(100),
    score = v.integer():default(0),
    kind = v.enum("a", "b"):default("a"),
    owner = v.id("owners"):optional(),
  }):index("by_score", { "score" }):unique("one_name", { "name" }),
})
"#;

const FUNCTIONS: &str = r#"
local functions = {}
functions.list = queryRows("things", { orderBy = "score", limit = 100 })
functions.page = queryRows("things", { orderBy = "score", limit = 2, page = true })
functions.named = queryRows("things", { filter = filter("name", "=", arg("name", v.string():optional())), limit = 5 })
functions.get = getRow("things", arg("id"))
functions.owned = queryRows("owners", { limit = 5, expand = { things = { table = "things", by = "owner", limit = 5 } } })
functions.count = countRows("things", { filter = filter("name", "!=", "nobody") })
functions.most = aggregateRows("things", { groupBy = { "name" }, select = { most = max("score") }, limit = 100 })
functions.addOwner = insertRow("owners", { name = arg("name") })
functions.add = insertRow("things", { name = arg("name"), score = arg("score", v.integer():default(5)), owner = arg("owner") })
functions.addMany = insertRows("things", { name = arg("name") })
functions.put = upsertRow("things", "one_name", { name = arg("name"), score = arg("score", v.integer():default(6)) })
functions.rename = patchRow("things", arg("id"), { name = arg("name") })
functions.renameAll = patchRows("things", filter("name", "=", arg("was", v.string())), { name = arg("name") }, { maxRows = 1 })
functions.raise = patchRow("things", arg("id"), { score = increment(1) })
functions.remove = deleteRow("things", arg("id"))
functions.both = transaction({
  step("first", insertRow("things", { name = arg("name") })),
  step("second", patchRow("things", row("first", "id"), { score = 7 })),
})
functions.look = query({ handler = function(ctx)
  local rows = ctx.db.query("things", { orderBy = "score", limit = 100, fields = { "id", "name", "score" } })
  return #rows
end })
functions.make = mutation({ args = { name = v.string() }, handler = function(ctx, args)
  local row = ctx.db.insert("things", { name = args.name, score = 9 })
  ctx.kv.put(args.name:sub(1, 4), args.name)
  return row.score
end })
functions.through = action({ args = { name = v.string() }, handler = function(ctx, args)
  return { ctx.run("add", { name = args.name }).score, ctx.run("look") }
end })
return functions
"#;

/// The definition in the two texts.
pub(crate) fn definition(tables: &str, functions: &str) -> Value {
    let source = |name: &str, text: &str| Some(Source { name: name.to_owned(), text: text.to_owned() });
    let files = LuauFiles {
        schema: source("server/schema.luau", tables),
        functions: source("server/functions.luau", functions),
        modules: Vec::new(),
    };
    let notation = luau::read(&files);
    assert_eq!(notation.diagnostics, [], "{functions}");
    json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
        "tables": notation.tables, "functions": notation.functions,
        "handlers": notation.handlers, "sources": notation.sources,
    })
}

/// The first, and the same with another name for a column.
pub(crate) fn versions() -> (Value, Value) {
    let renamed = |text: &str| {
        text.replace("name = v.string():max", "title = v.string():max")
            .replace("{ \"name\" }", "{ \"title\" }")
            .replace("filter(\"name\"", "filter(\"title\"")
            .replace("\"things\", { name = ", "\"things\", { title = ")
            .replace("\"one_name\", { name = ", "\"one_name\", { title = ")
            .replace("arg(\"was\", v.string())), { name", "arg(\"was\", v.string())), { title")
            .replace("arg(\"id\"), { name = ", "arg(\"id\"), { title = ")
            .replace("\"id\", \"name\", \"score\"", "\"id\", \"title\", \"score\"")
    };
    (definition(TABLES, FUNCTIONS), definition(&renamed(TABLES), &renamed(FUNCTIONS)))
}

pub(crate) const RENAME: &str = "ALTER TABLE {s}.things RENAME COLUMN name TO title;
    ALTER TABLE {s}.things RENAME CONSTRAINT things_name_check TO things_title_check";
pub(crate) const RENAME_BACK: &str = "ALTER TABLE {s}.things RENAME COLUMN title TO name;
    ALTER TABLE {s}.things RENAME CONSTRAINT things_title_check TO things_name_check";

/// Changes the tables by `statements` and records `document`, together; tells the gateways of it
/// where that `is_told`.
pub(crate) async fn swap(client: &mut Client, statements: &str, document: &Value, is_told: bool) {
    let (definition, complaints) = read(document);
    assert_eq!(complaints, []);
    check(&definition).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
    let id = definition.extension.id;
    loop {
        let transaction = client.transaction().await.unwrap();
        transaction.batch_execute("SET LOCAL lock_timeout = '150ms'; SET LOCAL ROLE rowgate_tables").await.unwrap();
        let changed = transaction.batch_execute(&statements.replace("{s}", SCHEMA)).await;
        if let Err(error) = changed {
            let code = error.code().map(|code| code.code().to_owned());
            assert!(matches!(code.as_deref(), Some("55P03" | "40P01")), "{error:?}");
            continue;
        }
        transaction.batch_execute("SET LOCAL ROLE NONE").await.unwrap();
        let known = record::extension(&transaction, id).await.unwrap().unwrap();
        let revision = known.revision + 1;
        if is_told {
            record::insert_revision(&transaction, &definition, revision, &[], known.role.as_deref()).await.unwrap();
        } else {
            record_quietly(&transaction, document, id, revision).await;
        }
        transaction.commit().await.unwrap();
        return;
    }
}

/// As [`record::insert_revision`], of which nobody hears.
async fn record_quietly(client: &impl tokio_postgres::GenericClient, document: &Value, id: Uuid, revision: i64) {
    let text = serde_json::to_string(&read(document).0).unwrap();
    client.execute("UPDATE rowgate.extensions SET revision = $2 WHERE id = $1", &[&id, &revision]).await.unwrap();
    client
        .execute(
            "INSERT INTO rowgate.revisions (extension_id, revision, definition, definition_sha256, statements)
             VALUES ($1, $2, $3::text::json, sha256(convert_to($3, 'UTF8')), '{}')",
            &[&id, &revision, &text],
        )
        .await
        .unwrap();
}

async fn swap_quietly(test: &TestGateway, statements: &str, document: &Value) {
    swap(&mut test.database.superuser().await, statements, document, false).await;
}

/// How many calls were run again.
fn renewed(server: &Server) -> u64 {
    server.gateway.metrics.calls_renewed.get()
}

async fn batch(test: &TestGateway, body: &Value) -> Answer {
    let url = format!("http://{}/v1/extension-functions/{}", test.server.address, test.install.id);
    answer(test.http.post(url).bearer_auth(test.token(Role::Owner)).json(body)).await
}

/// One call of every kind of function; each writes a name of its own.
fn calls(thing: &Value, turn: usize) -> Vec<(&'static str, Value)> {
    let name = |of: &str| json!(format!("{of} {turn}"));
    vec![
        ("list", json!({})),
        ("page", json!({})),
        ("named", json!({ "name": "first" })),
        ("named", json!({})),
        ("get", json!({ "id": thing })),
        ("count", json!({})),
        ("most", json!({})),
        ("owned", json!({})),
        ("add", json!({ "name": name("added") })),
        ("addMany", json!({ "rows": [{ "name": name("many") }, { "name": name("more") }] })),
        ("put", json!({ "name": name("put") })),
        ("put", json!({ "name": "first" })),
        ("rename", json!({ "id": thing, "name": "first" })),
        ("renameAll", json!({ "was": "first", "name": "first" })),
        ("raise", json!({ "id": thing })),
        ("both", json!({ "name": name("both") })),
        ("look", json!({})),
        ("make", json!({ "name": name("made") })),
        ("through", json!({ "name": name("through") })),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_is_answered_by_the_newer_tables() {
    let (first, second) = versions();
    let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
    let thing = test.call("add", json!({ "name": "first" })).await.ok()["id"].clone();
    let (mut turn, mut expected) = (0, 0);
    // At first most statements are not prepared yet, and later all are.
    for _ in 0..2 {
        for place in 0..calls(&thing, 0).len() {
            let (statements, document) = if turn % 2 == 0 { (RENAME, &second) } else { (RENAME_BACK, &first) };
            swap_quietly(&test, statements, document).await;
            turn += 1;
            let (function, arguments) = calls(&thing, turn).swap_remove(place);
            let answered = test.call(function, arguments).await;
            assert_eq!(answered.status, 200, "{function}: {}", answered.text);
            let row = answered.json();
            if function == "add" || function == "rename" {
                assert_eq!(row.get("title").is_some(), turn % 2 == 1, "{row}");
            }
            expected += 1;
            assert_eq!(renewed(&test.server), expected, "{function} met the newer tables once");
        }
    }
    let removed = test.call("add", json!({ "name": "removed" })).await.ok()["id"].clone();
    swap_quietly(&test, "ALTER TABLE {s}.things RENAME TO gone; ALTER TABLE {s}.gone RENAME TO things", &second).await;
    assert_eq!(test.call("remove", json!({ "id": removed })).await.ok(), json!({ "id": removed }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_and_named_calls_happen_once() {
    let (first, second) = versions();
    let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
    let named = async |function: &str, arguments: Value, key: &str| {
        let request = test.http.post(test.url(function)).bearer_auth(test.token(Role::Owner)).json(&arguments);
        answer(request.header("idempotency-key", key)).await
    };
    let calls = |name: &str| {
        json!([
            { "function": "add", "args": { "name": format!("{name} 1") } },
            { "function": "count" },
            { "function": "both", "args": { "name": format!("{name} 2") } },
        ])
    };
    swap_quietly(&test, RENAME, &second).await;
    let plain = batch(&test, &calls("plain")).await.ok();
    assert!(plain.as_array().unwrap().iter().all(|entry| entry["status"] == 200), "{plain}");

    swap_quietly(&test, RENAME_BACK, &first).await;
    let atomic = batch(&test, &json!({ "atomic": true, "calls": calls("atomic") })).await.ok();
    assert!(atomic.as_array().unwrap().iter().all(|entry| entry["status"] == 200), "{atomic}");
    assert!(atomic[0]["body"]["name"].is_string(), "{atomic}");

    for (turn, function) in ["add", "both", "make", "put"].into_iter().enumerate() {
        let (statements, document) = if turn % 2 == 0 { (RENAME, &second) } else { (RENAME_BACK, &first) };
        swap_quietly(&test, statements, document).await;
        let arguments = json!({ "name": format!("{function} once") });
        let once = named(function, arguments.clone(), function).await;
        assert_eq!((once.status, once.headers.contains_key("idempotent-replayed")), (200, false), "{}", once.text);
        let again = named(function, arguments, function).await;
        assert!(again.headers.contains_key("idempotent-replayed"), "{function}");
        assert_eq!(again.text, once.text);
    }
    let count = test.call("count", json!({})).await.ok();
    assert_eq!(count, json!(2 + 2 + 4), "nothing happened twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_deployed_anew_under_the_same_revision_is_served_as_it_is_now() {
    let edited = |text: &str| NUMBERS.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    let (first, second) = (definition(TABLES, FUNCTIONS), definition(&edited(TABLES), &edited(FUNCTIONS)));
    let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
    test.call("add", json!({ "name": "first" })).await.ok();
    test.call("list", json!({})).await.ok();
    // As a removal and the first deploy of other tables leave it, where no gateway looked in between.
    let mut client = test.database.superuser().await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute(&TO_NUMBER.replace("{s}", SCHEMA)).await.unwrap();
    transaction.execute("DELETE FROM rowgate.revisions", &[]).await.unwrap();
    record_quietly(&transaction, &second, test.extension_id, 1).await;
    transaction.commit().await.unwrap();

    test.call("list", json!({})).await.ok();
    let halves = test.call("add", json!({ "name": "second", "score": 0.5 })).await.ok();
    assert_eq!(halves["score"], json!(0.5), "{halves}");
}

/// A change of another kind, by what the older plan meets.
struct Case {
    what: &'static str,
    statements: &'static str,
    /// What of the two texts is replaced by what.
    edits: &'static [(&'static str, &'static str)],
    /// Calls before the change, so that statements are prepared.
    is_warm: bool,
    function: &'static str,
    arguments: fn() -> Value,
    /// What the answer has, by pointer.
    answers: &'static [(&'static str, &'static str)],
}

const TO_NUMBER: &str = "ALTER TABLE {s}.things DROP CONSTRAINT IF EXISTS things_score_check;
    ALTER TABLE {s}.things ALTER COLUMN score TYPE double precision";
const NUMBERS: &[(&str, &str)] =
    &[("score = v.integer():default(0)", "score = v.number():default(0)"), ("v.integer()", "v.number()")];

const CASES: &[Case] = &[
    Case {
        what: "a table that is gone (42P01)",
        statements: "ALTER TABLE {s}.things RENAME TO objects",
        edits: &[("things", "objects")],
        is_warm: false,
        function: "count",
        arguments: || json!({}),
        answers: &[("", "1")],
    },
    Case {
        what: "an operator there is none of (42883)",
        statements: "ALTER TABLE {s}.things DROP CONSTRAINT things_name_check;
            ALTER TABLE {s}.things ALTER COLUMN name TYPE uuid USING gen_random_uuid()",
        edits: &[
            ("name = v.string():max(100)", "name = v.uuid()"),
            ("filter(\"name\", \"!=\", \"nobody\")", "filter(\"score\", \">=\", 0)"),
            ("arg(\"name\", v.string():optional())", "arg(\"name\")"),
            ("arg(\"was\", v.string())", "arg(\"was\")"),
        ],
        is_warm: false,
        function: "count",
        arguments: || json!({}),
        answers: &[("", "1")],
    },
    Case {
        what: "a result of another type, prepared before (0A000)",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: true,
        function: "list",
        arguments: || json!({}),
        answers: &[("/0/score", "5")],
    },
    Case {
        what: "a result of another type, not prepared before",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: false,
        function: "list",
        arguments: || json!({}),
        answers: &[("/0/score", "5")],
    },
    Case {
        what: "a write whose answer is of another type, prepared before",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: true,
        function: "add",
        arguments: || json!({ "name": "second", "score": 3 }),
        answers: &[("/score", "3")],
    },
    Case {
        what: "a write whose answer is of another type, not prepared before",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: false,
        function: "put",
        arguments: || json!({ "name": "second", "score": 3 }),
        answers: &[("/score", "3"), ("/name", "\"second\"")],
    },
    Case {
        what: "a step of a transaction whose answer is of another type",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: false,
        function: "both",
        arguments: || json!({ "name": "second" }),
        answers: &[("/second/score", "7")],
    },
    Case {
        what: "a handler's question whose answer is of another type",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: true,
        function: "make",
        arguments: || json!({ "name": "second" }),
        answers: &[("", "9")],
    },
    Case {
        what: "rows within rows, of another type",
        statements: TO_NUMBER,
        edits: NUMBERS,
        is_warm: true,
        function: "owned",
        arguments: || json!({}),
        answers: &[("/0/things/0/score", "5")],
    },
    Case {
        what: "a column that must have a value (23502)",
        statements: "ALTER TABLE {s}.things ADD COLUMN must text COLLATE \"C\" NOT NULL DEFAULT 'x';
            ALTER TABLE {s}.things ALTER COLUMN must DROP DEFAULT",
        edits: &[
            ("owner = v.id", "must = v.string(), owner = v.id"),
            ("insertRow(\"things\", { name", "insertRow(\"things\", { must = \"new\", name"),
            ("insertRows(\"things\", { name", "insertRows(\"things\", { must = \"new\", name"),
            ("\"one_name\", { name = arg", "\"one_name\", { must = \"new\", name = arg"),
        ],
        is_warm: true,
        function: "add",
        arguments: || json!({ "name": "second" }),
        answers: &[("/must", "\"new\"")],
    },
    Case {
        what: "a rule on values that a default of the older plan breaks (23514)",
        statements: "ALTER TABLE {s}.things ADD CONSTRAINT things_score_check CHECK (score < 6) NOT VALID",
        edits: &[
            ("score = v.integer():default(0)", "score = v.integer():max(5):default(0)"),
            ("default(6)", "max(5):default(4)"),
            ("{ score = 7 }", "{ score = 5 }"),
        ],
        is_warm: true,
        function: "put",
        arguments: || json!({ "name": "second" }),
        answers: &[("/score", "4")],
    },
    Case {
        what: "a unique rule the older plan does not know (23505)",
        statements: "ALTER TABLE {s}.things ADD CONSTRAINT things_one_score_key UNIQUE (scope_key, score)",
        edits: &[
            (
                ":unique(\"one_name\", { \"name\" })",
                ":unique(\"one_name\", { \"name\" }):unique(\"one_score\", { \"score\" })",
            ),
            ("v.integer():default(5)", "v.integer():default(8)"),
        ],
        is_warm: true,
        function: "add",
        arguments: || json!({ "name": "second" }),
        answers: &[("/score", "8")],
    },
    Case {
        what: "a unique rule that is gone (42P10)",
        statements: "ALTER TABLE {s}.things DROP CONSTRAINT IF EXISTS things_one_name_key;
            DROP INDEX IF EXISTS {s}.things_one_name_key",
        edits: &[
            (":unique(\"one_name\", { \"name\" })", ""),
            ("upsertRow(\"things\", \"one_name\", ", "insertRow(\"things\", "),
        ],
        is_warm: true,
        function: "put",
        arguments: || json!({ "name": "second" }),
        answers: &[("/score", "6")],
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_plan_meets_is_met_by_the_next() {
    let first = definition(TABLES, FUNCTIONS);
    for case in CASES {
        let edited = |text: &str| case.edits.iter().fold(text.to_owned(), |text, (old, new)| text.replace(old, new));
        let second = definition(&edited(TABLES), &edited(FUNCTIONS));
        let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
        let owner = test.call("addOwner", json!({ "name": "owner" })).await.ok()["id"].clone();
        test.call("add", json!({ "name": "first", "owner": owner })).await.ok();
        if case.is_warm {
            // So that each of two lanes has it prepared.
            for turn in 0..4 {
                let mut arguments = (case.arguments)();
                if let Some(name) = arguments.get_mut("name") {
                    *name = json!(format!("warm {turn}"));
                }
                if case.what.contains("23505") {
                    arguments["score"] = json!(100 + turn);
                }
                test.call(case.function, arguments).await.ok();
            }
        }
        swap_quietly(&test, case.statements, &second).await;
        let answered = test.call(case.function, (case.arguments)()).await;
        assert_eq!(answered.status, 200, "{}: {}", case.what, answered.text);
        for (pointer, expected) in case.answers {
            let found = answered.json().pointer(pointer).map(ToString::to_string);
            assert_eq!(found.as_deref(), Some(*expected), "{}: {}", case.what, answered.text);
        }
        assert_eq!(renewed(&test.server), 1, "{}", case.what);
        test.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_another_role_has_now_are_met_by_it() {
    let first = definition(TABLES, FUNCTIONS);
    let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
    test.call("add", json!({ "name": "first" })).await.ok();
    let superuser = test.database.superuser().await;
    let other = format!("other_{}", Uuid::now_v7().simple());
    superuser
        .batch_execute(&format!(
            "CREATE ROLE {other} LOGIN; GRANT {other} TO rowgate; GRANT USAGE ON SCHEMA {SCHEMA} TO {other};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} TO {other};
             BEGIN;
             REVOKE SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {SCHEMA} FROM {ROLE};
             UPDATE rowgate.extensions SET database_role = '{other}';
             COMMIT"
        ))
        .await
        .unwrap();
    assert_eq!(test.call("count", json!({})).await.ok(), json!(1));
    test.call("add", json!({ "name": "second" })).await.ok();
    assert_eq!(renewed(&test.server), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_was_deployed_the_failure_stands_at_once() {
    let (first, second) = versions();
    let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
    let superuser = test.database.superuser().await;
    superuser.batch_execute(&RENAME.replace("{s}", SCHEMA)).await.unwrap();
    // The start reads the tables, and whoever listens for changes reads them once more when it can hear.
    while test.server.gateway.metrics.snapshots.get() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let loads = test.server.gateway.metrics.snapshots.get();
    for function in ["list", "look"] {
        assert_eq!(test.call(function, json!({})).await.problem(), (500, "internal".to_owned()), "{function}");
    }
    let atomic = json!({ "atomic": true, "calls": [{ "function": "count" }, { "function": "list" }] });
    assert_eq!(batch(&test, &atomic).await.ok()[0]["body"]["code"], "internal");
    assert_eq!(test.server.gateway.metrics.snapshots.get(), loads, "nothing was read for it");
    assert_eq!(renewed(&test.server), 0);
    // What a caller did wrong is told as before.
    swap_quietly(&test, "SELECT 1", &second).await;
    test.call("add", json!({ "name": "first" })).await.ok();
    assert_eq!(test.call("add", json!({ "name": "first" })).await.problem(), (409, "unique_conflict".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_runs_again_is_judged_anew_and_charged_once() {
    let (first, second) = versions();
    let two = Quota { per_minute: 1, burst: Some(2) };
    let test = TestGateway::with(&first, |config: &mut Config| {
        config.http.workers = 1;
        config.limits.mode = LimitMode::Enforce;
        (config.limits.caller.query_rows, config.limits.caller.query) = (two, two);
    })
    .await;
    for function in ["list", "look"] {
        test.call(function, json!({})).await.ok();
    }
    swap_quietly(&test, RENAME, &second).await;
    test.call("list", json!({})).await.ok();
    assert_eq!(test.call("list", json!({})).await.problem(), (429, "quota_exceeded".to_owned()));
    swap_quietly(&test, RENAME_BACK, &first).await;
    test.call("look", json!({})).await.ok();
    assert_eq!(test.call("look", json!({})).await.problem(), (429, "quota_exceeded".to_owned()));

    // The newer revision asks for another role, and for another argument.
    let mut closed = second.clone();
    closed["functions"]["add"]["access"] = json!("owner");
    closed["functions"]["raise"]["access"] = json!("owner");
    swap_quietly(&test, RENAME, &closed).await;
    let refused = test.call_as(Role::Editor, "add", json!({ "name": "x" })).await;
    assert_eq!(refused.problem(), (403, "access_denied".to_owned()));
    let mut without = first.clone();
    without["functions"].as_object_mut().unwrap().remove("put");
    swap_quietly(&test, RENAME_BACK, &without).await;
    assert_eq!(test.call("put", json!({ "name": "x" })).await.problem(), (404, "function_unknown".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_cannot_be_read_is_waited_for_until_the_deadline() {
    let (first, second) = versions();
    let test = TestGateway::with(&first, |config| {
        config.http.workers = 1;
        config.http.call_timeout_ms = 1_500;
    })
    .await;
    let thing = test.call("add", json!({ "name": "first" })).await.ok()["id"].clone();
    swap_quietly(&test, RENAME, &second).await;
    let mut holder = test.database.superuser().await;
    let transaction = holder.transaction().await.unwrap();
    transaction.batch_execute("LOCK TABLE rowgate.extensions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let began = Instant::now();
    assert_eq!(test.call("list", json!({})).await.problem(), (500, "internal".to_owned()));
    let waited = began.elapsed();
    assert!((1_400..3_000).contains(&waited.as_millis()), "{waited:?}");
    let waiting = async { test.call("get", json!({ "id": thing })).await };
    let release = async {
        let asks =
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        let watcher = test.database.superuser().await;
        while watcher.query_one(asks, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        transaction.rollback().await.unwrap();
    };
    let (answered, ()) = tokio::join!(waiting, release);
    assert_eq!(answered.ok()["title"], "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_with_who_changes_the_tables_is_no_failure() {
    let (first, second) = versions();
    let test = TestGateway::with(&first, |config| config.http.workers = 1).await;
    let owner = test.call("addOwner", json!({ "name": "owner" })).await.ok()["id"].clone();
    test.call("add", json!({ "name": "warm", "owner": owner })).await.ok();
    let mut client = test.database.superuser().await;
    let watcher = test.database.superuser().await;
    // So that it is the call that finds the deadlock, and is undone for it.
    client.batch_execute("SET deadlock_timeout = '60s'").await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute(&format!("LOCK TABLE {SCHEMA}.owners IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let adding = test.call("add", json!({ "name": "second", "owner": owner }));
    let changing = async {
        let waits = "SELECT count(*) FROM pg_stat_activity
                     WHERE wait_event_type = 'Lock' AND application_name = 'rowgate' AND datname = current_database()";
        while watcher.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // It has things and waits for owners; now the other way round as well.
        transaction.batch_execute(&RENAME.replace("{s}", SCHEMA)).await.unwrap();
        let id = test.extension_id;
        record_quietly(&transaction, &second, id, 2).await;
        transaction.commit().await.unwrap();
    };
    let (added, ()) = tokio::join!(adding, changing);
    assert_eq!(added.ok()["title"], "second");
}

/// A second gateway on the database of `test`, with one worker.
pub(crate) async fn second_gateway(test: &TestGateway) -> Server {
    let mut config = config(&test.database);
    config.http.workers = 1;
    Server::start(config).await.unwrap()
}
