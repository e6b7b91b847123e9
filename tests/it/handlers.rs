//! Handlers from a bundle's Luau to the answer: what they may do, what they see, how they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use futures_util::future::join_all;
use rowgate::config::Config;
use rowgate::deploy::bundle::read_bundle;
use rowgate::record;
use rowgate_schema_dsl::definition::Role;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::ROWGATE;
use crate::support::gateway::{Answer, TestGateway, deploy};

const SCHEMA: &str = r#"
return defineSchema({
  notes = defineTable({
    text = v.string():max(100),
    score = v.integer():default(0),
    tags = v.array(v.string()):optional(),
    author = v.string():optional():private(),
  }):storage("instance"):index("by_score", { "score" }):unique("one_text", { "text" }),
  few = defineTable({ text = v.string() }):rows(2),
  replies = defineTable({ note = v.id("notes"), text = v.string() }),
})
"#;

const FUNCTIONS: &str = r#"
local texts = require("./texts")
local functions = {}

functions.listNotes = queryRows("notes", { orderBy = "score", access = "anonymous" })

functions.best = query({
  args = { least = v.integer():default(0), text = v.string():optional() },
  handler = function(ctx, args)
    local filter = { { column = "score", op = ">=", value = args.least } }
    if args.text ~= nil then
      table.insert(filter, { text = args.text })
    end
    local rows = ctx.db.query("notes", { filter = filter, orderBy = "score", orderDir = "desc", limit = 2 })
    local names = {}
    for place, row in rows do
      names[place] = texts.shout(row.text)
    end
    return { names = array(names), count = ctx.db.count("notes"), user = ctx.auth.userId, by = rows[1] and rows[1].author }
  end,
})

functions.add = mutation({
  args = { text = v.string(), score = v.integer():optional(), fail = v.string():optional() },
  handler = function(ctx, args)
    local row = ctx.db.insert("notes", { text = args.text, score = args.score, author = ctx.auth.userId })
    ctx.log.info("added", { id = row.id })
    if args.fail == "declared" then
      error({ code = "not_now", message = "notes are closed", field = "text" })
    elseif args.fail == "error" then
      error("something secret at " .. row.id)
    elseif args.fail == "answer" then
      return { note = { 0 / 0 } }
    elseif args.fail == "loop" then
      while true do end
    elseif args.fail == "grow" then
      local all = {}
      while true do table.insert(all, ("x"):rep(100000) .. #all) end
    elseif args.fail == "ask" then
      while true do pcall(ctx.db.get, "notes", row.id) end
    end
    return row
  end,
})

functions.addFew = mutation({
  args = { count = v.integer() },
  handler = function(ctx, args)
    for n = 1, args.count do
      -- What the quota refuses ends the mutation, whatever is caught.
      pcall(ctx.db.insert, "few", { text = tostring(n) })
    end
    return args.count
  end,
})

functions.countFew = countRows("few")

functions.raise = mutation({
  args = { id = v.id("notes") },
  handler = function(ctx, args)
    local row = ctx.db.get("notes", args.id)
    if row == null then
      error({ code = "gone", message = "the note is gone" })
    end
    return ctx.db.patch("notes", args.id, { score = row.score + 1 }).score
  end,
})

functions.remove = mutation({
  args = { id = v.id("notes") },
  access = "owner",
  handler = function(ctx, args)
    return ctx.db.delete("notes", args.id)
  end,
})

functions.many = mutation({
  args = { texts = v.array(v.string()) },
  handler = function(ctx, args)
    local rows = {}
    for place, text in args.texts do
      rows[place] = { text = text, score = place % 2, tags = if place == 1 then {} else nil }
    end
    local made = ctx.db.insertMany("notes", rows)
    ctx.db.patch("notes", made[1].id, { tags = { append = "new" }, score = { increment = 10 } })
    local groups = ctx.db.aggregate("notes", {
      groupBy = { "score" }, select = { n = { count = true } },
      having = { column = "n", op = ">", value = 0 }, orderBy = "score",
    })
    return { #made, groups, ctx.db.get("notes", made[1].id, { fields = { "text", "tags" } }) }
  end,
})
functions.refusals = mutation({ handler = function(ctx)
  local told = {}
  local function try(...)
    local _, reason = pcall(...)
    table.insert(told, if type(reason) == "table" then reason.message else reason)
  end
  try(ctx.db.insert, "notes", { text = 5 })
  try(ctx.db.insertMany, "notes", { { text = "a" }, { score = 1 } })
  try(ctx.db.query, "notes", { limit = 5000 })
  try(ctx.db.query, "notes", { filtre = {} })
  try(ctx.db.aggregate, "notes", { select = { n = { total = "score" } } })
  try(ctx.db.get, "nodes", "x")
  return told
end })

local function paths(ctx)
  local found = {}
  for group, members in ctx do
    if type(members) == "table" then
      for member in members do
        table.insert(found, group .. "." .. member)
      end
    else
      table.insert(found, group)
    end
  end
  table.sort(found)
  return found
end
functions.queryHas = query({ handler = paths })
functions.mutationHas = mutation({ handler = paths })
functions.actionHas = action({ handler = paths })

-- Handed to another function, what `ctx` lacks is known when it runs.
local function insert(ctx)
  return ctx.db.insert("notes", { text = "a" })
end
functions.writes = query({ handler = insert })
functions.wrong = query({ handler = function(ctx)
  local found, reason = pcall(ctx.db.query, "notes", { filter = { txt = "a" } })
  return { found, reason.code, reason.message }
end })
functions.expanded = mutation({ handler = function(ctx)
  local note = ctx.db.insert("notes", { text = "a note" })
  local reply = ctx.db.insert("replies", { note = note.id, text = "a reply" })
  return {
    ctx.db.query("notes", {
      fields = { "text" }, expand = { replies = { table = "replies", by = "note", fields = { "text" }, limit = 5 } },
    }),
    ctx.db.get("replies", reply.id, { fields = { "text" }, expand = { note = { fields = { "text", "author" } } } }),
    ctx.db.query("replies", { fields = { "text" }, expand = {} }),
    (select(2, pcall(ctx.db.get, "replies", reply.id, { expand = { "nots" } }))).message,
  }
end })
functions.readAll = query({ handler = function(ctx)
  local count = 0
  while true do
    pcall(function() count += #ctx.db.query("notes", { limit = 10 }) end)
  end
end })
functions.answerMuch = query({ args = { bytes = v.integer() }, handler = function(_, args) return ("x"):rep(args.bytes) end })
functions.spin = query({ handler = function() while true do end end })
functions.slow = query({ timeoutMs = 50, handler = function() while true do end end })
functions.wait = action({ handler = function(ctx) return ctx.run("waitMore") end })
functions.waitMore = action({ handler = function(ctx) return ctx.run("waitMore") end })

functions.twice = action({
  args = { text = v.string() },
  handler = function(ctx, args)
    ctx.run("add", { text = args.text .. " 1" })
    local ok, reason = pcall(ctx.run, "add", { text = args.text .. " 1" })
    return { ok, reason.code, ctx.run("best").count, #ctx.run("listNotes") }
  end,
})

return functions
"#;

const TEXTS: &str = "return { shout = function(text) return text:upper() .. '!' end }";

/// The definition document of a bundle with these functions.
fn document_of(functions: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server");
    std::fs::create_dir(&server).unwrap();
    let extension = json!({ "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "notes", "version": "1.0.0" });
    std::fs::write(folder.path().join("extension.json"), extension.to_string()).unwrap();
    for (name, text) in [("schema", SCHEMA), ("functions", functions), ("texts", TEXTS)] {
        std::fs::write(server.join(format!("{name}.luau")), text).unwrap();
    }
    let read = read_bundle(folder.path()).unwrap();
    assert_eq!(read.diagnostics, Vec::new());
    serde_json::to_value(&read.definition).unwrap()
}

async fn gateway() -> TestGateway {
    gateway_with(|_| {}).await
}

async fn gateway_with(settings: impl FnOnce(&mut Config)) -> TestGateway {
    TestGateway::with(&document_of(FUNCTIONS), settings).await
}

async fn answered(test: &TestGateway, function: &str, arguments: Value) -> Value {
    let answer = test.call(function, arguments).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

async fn problem(test: &TestGateway, function: &str, arguments: Value) -> (u16, Value) {
    let answer = test.call(function, arguments).await;
    (answer.status, serde_json::from_str(&answer.text).unwrap())
}

#[tokio::test]
async fn queries_read_mutations_write_and_both_see_their_caller() {
    let test = gateway().await;
    let first = answered(&test, "add", json!({ "text": "one", "score": 5 })).await;
    assert_eq!((&first["text"], &first["score"], &first["version"]), (&json!("one"), &json!(5), &json!(1)));
    answered(&test, "add", json!({ "text": "two" })).await;
    assert_eq!(answered(&test, "raise", json!({ "id": first["id"] })).await, json!(6));

    let best = answered(&test, "best", json!({})).await;
    assert_eq!(best, json!({ "names": ["ONE!", "TWO!"], "count": 2, "user": "user-owner", "by": "user-owner" }));
    assert_eq!(answered(&test, "best", json!({ "least": 3, "text": "one" })).await["names"], json!(["ONE!"]));
    assert_eq!(answered(&test, "best", json!({ "least": 3, "text": "two" })).await["names"], json!([]));
    assert_eq!(answered(&test, "remove", json!({ "id": first["id"] })).await, json!({ "id": first["id"] }));
    assert_eq!(answered(&test, "listNotes", json!({})).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn arguments_and_access_are_those_declared() {
    let test = gateway().await;
    let (status, refused) = problem(&test, "add", json!({ "text": 5, "txt": "a" })).await;
    assert_eq!((status, &refused["code"]), (422, &json!("arguments_invalid")));
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2);
    assert_eq!(test.call_as(Role::Viewer, "add", json!({ "text": "a" })).await.status, 403);
    assert_eq!(test.call_as(Role::Viewer, "best", json!({})).await.status, 200);
    assert_eq!(test.call_as(Role::Editor, "remove", json!({ "id": uuid::Uuid::now_v7() })).await.status, 403);
    let (status, unknown) = problem(&test, "bset", json!({})).await;
    assert_eq!((status, &unknown["detail"]), (404, &json!("there is no function `bset`; did you mean `best`?")));
}

#[tokio::test]
async fn a_failing_handler_writes_nothing_and_tells_no_more_than_it_was_told_to() {
    let test = gateway_with(|config| config.script.mutation.cpu_ms_max = 200).await;
    let failed = async |fail: &str| problem(&test, "add", json!({ "text": "a", "fail": fail })).await;

    let (status, refused) = failed("declared").await;
    assert_eq!((status, &refused["code"], &refused["reason"]), (422, &json!("handler_refused"), &json!("not_now")));
    assert_eq!(refused["detail"], "notes are closed");
    assert_eq!(refused["errors"][0]["pointer"], "/text");
    let (status, broken) = failed("error").await;
    assert_eq!((status, &broken["code"], &broken["detail"]), (500, &json!("handler_failed"), &json!("`add` failed")));
    assert!(!broken.to_string().contains("secret") && !broken.to_string().contains("luau"), "{broken}");
    let (status, answer) = failed("answer").await;
    assert_eq!((status, &answer["code"]), (500, &json!("handler_answer_invalid")));
    assert!(answer["detail"].as_str().unwrap().contains("/note/0"), "{answer}");
    for (fail, status, code) in [
        ("loop", 504, "script_cpu_exceeded"),
        ("grow", 500, "script_memory_exceeded"),
        ("ask", 500, "script_host_calls_exceeded"),
    ] {
        let (found, problem) = failed(fail).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{problem}");
    }
    let (status, late) = problem(&test, "slow", json!({})).await;
    assert_eq!((status, &late["code"]), (504, &json!("script_time_exceeded")));
    assert_eq!(answered(&test, "listNotes", json!({})).await, json!([]), "each was rolled back");
    answered(&test, "add", json!({ "text": "a" })).await;
}

#[tokio::test]
async fn what_the_database_refuses_ends_a_mutation_by_its_own_code() {
    let test = gateway().await;
    answered(&test, "add", json!({ "text": "a" })).await;
    let (status, conflict) = problem(&test, "add", json!({ "text": "a" })).await;
    assert_eq!((status, &conflict["code"]), (409, &json!("unique_conflict")));
    let (_, gone) = problem(&test, "raise", json!({ "id": uuid::Uuid::now_v7() })).await;
    assert_eq!(gone["reason"], "gone", "a row that is not there is null");
}

#[tokio::test]
async fn a_spent_quota_ends_a_mutation_and_nothing_of_it_stays() {
    let test = gateway().await;
    let (status, spent) = problem(&test, "addFew", json!({ "count": 3 })).await;
    assert_eq!((status, &spent["code"]), (507, &json!("quota_rows_exceeded")));
    assert_eq!(answered(&test, "countFew", json!({})).await, json!(0));
    answered(&test, "addFew", json!({ "count": 2 })).await;
    let (status, _) = problem(&test, "addFew", json!({ "count": 1 })).await;
    assert_eq!((status, answered(&test, "countFew", json!({})).await), (507, json!(2)));
}

#[tokio::test]
async fn a_question_is_judged_as_a_declared_function_is() {
    let test = gateway().await;
    let wrong = answered(&test, "wrong", json!({})).await;
    assert_eq!((&wrong[0], &wrong[1]), (&json!(false), &json!("unknown_column")), "{wrong}");
    assert!(wrong[2].as_str().unwrap().contains("text"), "{wrong}");
    let (status, writes) = problem(&test, "writes", json!({})).await;
    assert_eq!((status, &writes["code"]), (500, &json!("handler_failed")), "a query has no `ctx.db.insert`");
}

/// As many as raise the score at once, so much it is raised: each ran again until it was alone.
#[tokio::test]
async fn mutations_that_undo_each_other_are_run_again() {
    let test = gateway_with(|config| config.script.mutation.timeout_ms = 10_000).await;
    let note = answered(&test, "add", json!({ "text": "a" })).await;
    let calls = (0..6).map(|_| test.call("raise", json!({ "id": note["id"] })));
    let raised = join_all(calls).await.into_iter().filter(|answer| answer.status == 200).count();
    assert!(raised > 0);
    assert_eq!(answered(&test, "listNotes", json!({})).await[0]["score"], json!(raised));
}

#[tokio::test]
async fn an_action_runs_others_each_in_its_own_transaction() {
    let test = gateway().await;
    assert_eq!(answered(&test, "twice", json!({ "text": "a" })).await, json!([false, "unique_conflict", 1, 1]));
    let (status, deep) = problem(&test, "wait", json!({})).await;
    assert_eq!((status, &deep["reason"]), (422, &json!("too_deep")), "{deep}");
}

#[tokio::test]
async fn many_rows_are_inserted_changed_and_grouped() {
    let test = gateway().await;
    let answer = answered(&test, "many", json!({ "texts": ["a", "b", "c"] })).await;
    let groups = json!([{ "score": 0, "n": 1 }, { "score": 1, "n": 1 }, { "score": 11, "n": 1 }]);
    assert_eq!(answer, json!([3, groups, { "text": "a", "tags": ["new"] }]));
}

#[tokio::test]
async fn what_is_refused_is_told_in_the_words_of_who_asked() {
    let test = gateway().await;
    let told = answered(&test, "refusals", json!({})).await;
    let told: Vec<&str> = told.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    text: expected text, got a number
    rows/1/text: `text` is missing; expected a string
    limit: expected at most 1000
    `filtre` is no option of `ctx.db.query`; did you mean `filter`?
    expected one of `count`, `sum`, `avg`, `min` or `max`
    table `nodes` does not exist; did you mean `notes`?
    ");
}

/// Named by its caller, a mutation happens once and its answer is kept with what it wrote.
#[tokio::test]
async fn a_named_mutation_happens_once() {
    let test = gateway().await;
    let note = answered(&test, "add", json!({ "text": "a" })).await;
    let named = |function: &str, arguments: &Value| {
        let request = test.http.post(test.url(function)).bearer_auth(test.token(Role::Owner)).json(arguments);
        crate::support::gateway::answer(request.header("idempotency-key", "one"))
    };
    let raise = json!({ "id": note["id"] });
    let replies = join_all((0..4).map(|_| named("raise", &raise))).await;
    for reply in &replies {
        let is_first = reply.status == 200 && reply.text == "1";
        assert!(is_first || reply.text.contains("idempotency_key_in_use"), "{}", reply.text);
    }
    let again = named("raise", &raise).await;
    assert_eq!((again.status, again.text.as_str()), (200, "1"));
    assert_eq!(again.headers.get("idempotent-replayed").map(String::as_str), Some("true"));
    assert_eq!(answered(&test, "listNotes", json!({})).await[0]["score"], json!(1));
    // What failed has written nothing, and is asked again.
    assert_eq!(named("add", &json!({ "text": "b", "fail": "error" })).await.status, 500);
    assert_eq!(named("add", &json!({ "text": "b" })).await.status, 200);
    assert_eq!(named("twice", &json!({ "text": "c" })).await.problem(), (400, "idempotency_key_invalid".to_owned()));
    let request = test.http.post(test.url("raise")).bearer_auth(test.token(Role::Owner)).json(&raise);
    let matched = crate::support::gateway::answer(request.header("if-match", "\"1\"")).await;
    assert_eq!(matched.problem(), (400, "if_match_invalid".to_owned()));
}

/// What is deployed while a handler waits is for the calls after it.
#[tokio::test]
async fn a_call_ends_on_the_revision_it_began_with() {
    let test = gateway_with(|config| {
        // As long as a deploy may take on a busy machine.
        config.database.statement_timeout_ms = 60_000;
        config.script.mutation.timeout_ms = 60_000;
    })
    .await;
    let note = answered(&test, "add", json!({ "text": "a" })).await;
    let raise = json!({ "id": note["id"] });
    let (locker, watcher) = (test.database.superuser().await, test.database.superuser().await);
    let schema = format!("ext_{}", test.extension_id.to_string().replace('-', "_"));
    locker.batch_execute(&format!("BEGIN; SELECT FROM {schema}.notes FOR UPDATE")).await.unwrap();
    let changing = async {
        let sql = "SELECT count(*) FROM pg_catalog.pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while watcher.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {}
        let edited = FUNCTIONS.replace("{ score = row.score + 1 }).score", "{ score = row.score + 10 }).text");
        assert_ne!(edited, FUNCTIONS);
        deploy(&test.database, &document_of(&edited)).await.unwrap();
        test.server.reload().await.unwrap();
        locker.batch_execute("ROLLBACK").await.unwrap();
    };
    let (waited, ()) = tokio::join!(test.call("raise", raise.clone()), changing);
    assert_eq!((waited.status, waited.text.as_str()), (200, "1"));
    assert_eq!(answered(&test, "raise", raise).await, json!("a"));
    assert_eq!(answered(&test, "listNotes", json!({})).await[0]["score"], json!(11));
}

/// What a handler logs, and how it failed, is kept with the request and the line it is from.
#[tokio::test]
async fn lines_are_kept_with_their_request() {
    let test = gateway().await;
    let added = test.call("add", json!({ "text": "a" })).await;
    let failed = test.call("add", json!({ "text": "b", "fail": "error" })).await;
    test.call("add", json!({ "text": "c", "fail": "declared" })).await;
    let client = test.database.gateway_client().await;
    let lines = loop {
        let lines = record::lines::read(&client, Some(test.install.id), 0, 100).await.unwrap();
        if lines.len() >= 4 {
            break lines;
        }
    };
    let lines: Vec<record::lines::Line> = lines.into_iter().map(|(_, line)| line).collect();
    let id = |answer: &Answer| answer.headers.get("x-request-id").cloned();
    let shown: Vec<(&str, &str)> = lines.iter().map(|line| (line.level.as_str(), line.function.as_str())).collect();
    assert_eq!(shown, [("info", "add"), ("info", "add"), ("error", "add"), ("info", "add")], "no refusal is an error");
    let [first, _, error, _] = lines.as_slice() else { panic!("{lines:?}") };
    let row = added.ok();
    assert_eq!((first.message.as_str(), &first.request_id), ("added", &id(&added)));
    assert_eq!(first.attributes.as_deref(), Some(json!({ "id": row["id"] }).to_string().as_str()));
    assert_eq!(first.file.as_deref(), Some("server/functions.luau"));
    let line = FUNCTIONS.lines().position(|line| line.contains("ctx.log.info(\"added\"")).unwrap() + 1;
    assert_eq!(first.line, i32::try_from(line).ok());
    assert_eq!(error.request_id, id(&failed));
    assert!(error.message.contains("something secret") && error.message.contains("functions.luau:"), "{error:?}");
    let other = record::lines::read(&client, Some(uuid::Uuid::now_v7()), 0, 100).await.unwrap();
    assert_eq!(other, []);
}

/// Of each install the latest lines stay.
#[tokio::test]
async fn lines_are_kept_up_to_a_maximum() {
    let database = crate::support::TestDatabase::new().await;
    let client = database.gateway_client().await;
    rowgate::db::migrate::migrate(&client).await.unwrap();
    let line = |install: u128, number: i64| record::lines::Line {
        install_id: uuid::Uuid::from_u128(install),
        at: std::time::SystemTime::now(),
        request_id: None,
        function: "f".to_owned(),
        level: "info".to_owned(),
        file: None,
        line: None,
        message: number.to_string(),
        attributes: None,
    };
    let count = record::lines::LINES_KEPT_MAX + 5;
    let lines: Vec<record::lines::Line> = (0..count).map(|number| line(1, number)).chain([line(2, 0)]).collect();
    record::lines::keep(&client, &lines).await.unwrap();
    let installs = [uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(2)];
    assert_eq!(record::lines::trim(&client, &installs).await.unwrap(), 5);
    assert_eq!(record::lines::trim(&client, &installs).await.unwrap(), 0);
    let kept = record::lines::read(&client, Some(installs[0]), 0, 2 * count).await.unwrap();
    let numbers: Vec<String> = kept.iter().map(|(_, line)| line.message.clone()).collect();
    assert_eq!(numbers, (5..count).map(|number| number.to_string()).collect::<Vec<_>>());
    let last = record::lines::read(&client, None, kept[kept.len() - 2].0, 1).await.unwrap();
    assert_eq!(last[0].1.install_id, installs[1], "of all installs, the latest");
}

/// The file for editors says of each kind what its handlers find.
#[tokio::test]
async fn the_types_for_editors_are_those_of_the_real_ctx() {
    let test = gateway().await;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/types/rowgate.d.luau")).unwrap();
    let everything = rowgate::auth::token::Claims {
        surface: Some(rowgate::auth::Surface::Editor),
        platform_user_id: Some("1".to_owned()),
        platform_user_name: Some("a".to_owned()),
        ..rowgate::auth::token::Claims::new(test.install.id, Role::Owner, Some("x".to_owned()))
    };
    for (kind, function) in [("QueryCtx", "queryHas"), ("MutationCtx", "mutationHas"), ("ActionCtx", "actionHas")] {
        let request = test.http.post(test.url(function)).bearer_auth(test.token_of(&everything)).json(&json!({}));
        let real: Vec<String> = serde_json::from_value(crate::support::gateway::answer(request).await.ok()).unwrap();
        let mut told = Vec::new();
        for (member, of) in members(&text, kind) {
            match members(&text, &of) {
                inner if inner.is_empty() => told.push(member),
                inner => told.extend(inner.into_iter().map(|(name, _)| format!("{member}.{name}"))),
            }
        }
        told.sort();
        assert_eq!(told, real, "{kind}");
    }
}

/// The members of `export type name = { … }`, a line each, with the name of their type.
fn members(text: &str, name: &str) -> Vec<(String, String)> {
    let Some((_, body)) = text.split_once(&format!("export type {name} = {{\n")) else { return Vec::new() };
    let body = body.split_once("\n}").unwrap().0;
    let members = body.lines().map(|line| line.trim().split_once(": ").unwrap());
    members.map(|(name, of)| (name.to_owned(), of.trim_end_matches(',').to_owned())).collect()
}

#[tokio::test]
async fn reads_answer_rows_within_rows() {
    let test = gateway().await;
    let answer = answered(&test, "expanded", json!({})).await;
    assert_eq!(answer[0], json!([{ "text": "a note", "replies": [{ "text": "a reply" }] }]));
    assert_eq!(answer[1], json!({ "text": "a reply", "noteRow": { "text": "a note", "author": null } }));
    assert_eq!(answer[2], json!([{ "text": "a reply" }]));
    assert!(answer[3].as_str().unwrap().contains("`note`"), "{answer}");
}

#[tokio::test]
async fn each_kind_has_its_own_limits() {
    let test = gateway_with(|config| {
        (config.script.query.rows_max, config.script.query.answer_bytes_max) = (25, 100);
        (config.script.query.cpu_ms_max, config.script.mutation.rows_max) = (100, 5);
    })
    .await;
    for place in 0..10 {
        answered(&test, "add", json!({ "text": place.to_string() })).await;
    }
    for (function, arguments, status, code) in [
        ("readAll", json!({}), 500, "script_rows_exceeded"),
        ("answerMuch", json!({ "bytes": 101 }), 500, "script_answer_too_large"),
        ("spin", json!({}), 504, "script_cpu_exceeded"),
        ("many", json!({ "texts": ["a", "b", "c", "d", "e", "f"] }), 500, "script_rows_exceeded"),
    ] {
        let (met, told) = problem(&test, function, arguments).await;
        assert_eq!((met, &told["code"]), (status, &json!(code)), "{function}");
    }
    assert_eq!(answered(&test, "answerMuch", json!({ "bytes": 90 })).await.as_str().unwrap().len(), 90);
    // What a mutation was stopped in was undone.
    let notes = answered(&test, "listNotes", json!({})).await;
    assert_eq!(notes.as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn another_install_sees_nothing_of_it() {
    let test = gateway().await;
    answered(&test, "add", json!({ "text": "a" })).await;
    let client = test.database.client().await;
    let other = record::Install { id: uuid::Uuid::now_v7(), ..test.install.clone() };
    record::insert_install(&client, &other).await.unwrap();
    test.server.reload().await.unwrap();
    let claims = rowgate::auth::token::Claims::new(other.id, Role::Owner, Some("x".to_owned()));
    let url = format!("http://{}/v1/extension-functions/{}/best", test.server.address, other.id);
    let request = test.http.post(url).bearer_auth(test.token_of(&claims)).json(&json!({}));
    let answer = crate::support::gateway::answer(request).await;
    let seen: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(seen, json!({ "names": [], "count": 0, "user": "x" }));
}

#[tokio::test]
async fn a_killed_worker_gives_the_caller_a_problem_and_the_next_call_is_served() {
    // A name of its own tells this gateway's worker from those of tests beside it in one process.
    let folder = tempfile::tempdir().unwrap();
    let executable = folder.path().join("rowgate");
    std::os::unix::fs::symlink(ROWGATE, &executable).unwrap();
    let test = gateway_with(|config| {
        config.http.workers = 1;
        config.script.mutation.cpu_ms_max = 60_000;
        config.script.mutation.timeout_ms = 60_000;
        config.script.executable = Some(executable.clone());
    })
    .await;
    answered(&test, "best", json!({})).await;
    let pid = process_of(&executable).expect("a worker process");
    let looping = test.call("add", json!({ "text": "a", "fail": "loop" }));
    let killing = async {
        // Until the row is written, the call is not yet where it should be met.
        let client = test.database.client().await;
        loop {
            let sql = "SELECT count(*) FROM pg_catalog.pg_stat_activity \
                       WHERE datname = current_database() AND state = 'idle in transaction'";
            let open: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
            if open > 0 {
                break;
            }
        }
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    };
    let (answer, ()) = tokio::join!(looping, killing);
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("script_worker_lost"), "{}", answer.text);
    assert_eq!(answered(&test, "listNotes", json!({})).await, json!([]), "its transaction is rolled back");
    answered(&test, "add", json!({ "text": "a" })).await;
}

/// The process that was started as `executable`.
fn process_of(executable: &Path) -> Option<i32> {
    let is_it = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).next() == Some(executable.as_os_str().as_encoded_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(is_it)
}
