//! Several calls in one request: each as if alone, or all of them or none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use rowgate::config::{Config, LimitMode};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};

fn definition() -> Value {
    document(
        json!({ "things": { "columns": {
            "name": { "type": "string", "unique": true },
            "count": { "type": "integer", "default": 0, "max": 1000 },
        } } }),
        json!({
            "add": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" } } },
            "up": { "kind": "patchRow", "table": "things", "id": { "arg": "id" }, "values": { "count": { "increment": { "arg": "by" } } } },
            "page": { "kind": "queryRows", "table": "things", "orderBy": "name", "limit": 1, "page": true },
            "count": { "kind": "countRows", "table": "things" },
        }),
    )
}

async fn gateway(settings: impl FnOnce(&mut Config)) -> TestGateway {
    TestGateway::with(&definition(), settings).await
}

async fn send(test: &TestGateway, role: Role, batch: &Value) -> Answer {
    let url = format!("http://{}/v1/extension-functions/{}", test.server.address, test.install.id);
    answer(test.http.post(url).bearer_auth(test.token(role)).json(batch)).await
}

/// Each status, with the code of those that failed.
fn outcomes(entries: &Value) -> Vec<(u64, String)> {
    let outcome = |entry: &Value| {
        let status = entry["status"].as_u64().unwrap();
        let code = entry["body"]["code"].as_str().unwrap_or_default().to_owned();
        assert_eq!(code.is_empty(), status == 200, "{entry}");
        (status, code)
    };
    entries.as_array().unwrap().iter().map(outcome).collect()
}

fn expected(outcomes: &[(u64, &str)]) -> Vec<(u64, String)> {
    outcomes.iter().map(|(status, code)| (*status, (*code).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_is_answered_as_if_alone_and_in_order() {
    let test = gateway(|_| {}).await;
    assert_eq!(send(&test, Role::Owner, &json!([])).await.ok(), json!([]));
    let added = test.call("add", json!({ "name": "a" })).await.ok();
    let batch = json!([
        { "function": "add", "args": { "name": "b" } },
        { "function": "add", "args": { "name": "a" } },
        { "function": "up", "args": { "id": added["id"], "by": 2 } },
        { "function": "up", "args": { "id": Uuid::now_v7(), "by": 2 } },
        { "function": "up", "args": { "id": added["id"], "by": "x" } },
        { "function": "nothing/at all" },
        { "function": "count", "args": null },
    ]);
    let answer = send(&test, Role::Editor, &batch).await;
    assert!(answer.headers["server-timing"].contains("db;dur="), "{:?}", answer.headers);
    let entries = answer.ok();
    assert_eq!(
        outcomes(&entries),
        expected(&[
            (200, ""),
            (409, "unique_conflict"),
            (200, ""),
            (404, "row_not_found"),
            (422, "arguments_invalid"),
            (404, "function_unknown"),
            (200, ""),
        ])
    );
    assert_eq!((&entries[0]["body"]["name"], &entries[2]["body"]["count"]), (&json!("b"), &json!(2)));
    let install = format!("/v1/extension-functions/{}", test.install.id);
    assert_eq!(entries[1]["body"]["instance"], format!("{install}/add"));
    assert_eq!(entries[5]["body"]["instance"], install);
    assert_eq!(entries[1]["body"]["request_id"], json!(answer.headers["x-request-id"]));

    let batch = json!([{ "function": "count" }, { "function": "add", "args": { "name": "c" } }]);
    let refused = send(&test, Role::Viewer, &batch).await.ok();
    assert_eq!(outcomes(&refused), expected(&[(200, ""), (403, "access_denied")]));
    let page = send(&test, Role::Viewer, &json!([{ "function": "page" }])).await.ok();
    let cursor = &page[0]["body"]["cursor"];
    let batch = json!([{ "function": "page", "args": { "cursor": cursor } }, { "function": "page", "args": { "cursor": "x" } }]);
    let pages = send(&test, Role::Viewer, &batch).await.ok();
    assert_eq!(pages[0]["body"]["rows"][0]["name"], "b");
    assert_eq!(pages[1]["body"]["code"], "cursor_invalid");
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_atomic_batch_happens_whole_or_not_at_all() {
    let test = gateway(|_| {}).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    let atomic = |calls: Value| json!({ "atomic": true, "calls": calls });
    let count = async || test.call("count", json!({})).await.ok();

    let done = atomic(json!([
        { "function": "add", "args": { "name": "b" } },
        { "function": "count" },
        { "function": "up", "args": { "id": id, "by": 3 } },
        { "function": "page" },
    ]));
    let entries = send(&test, Role::Editor, &done).await.ok();
    assert_eq!(outcomes(&entries), expected(&[(200, ""); 4]));
    assert_eq!(
        (&entries[1]["body"], &entries[2]["body"]["count"]),
        (&json!(2), &json!(3)),
        "a call does not see those before"
    );
    assert_eq!(entries[3]["body"]["rows"][0]["name"], "a");
    assert_eq!(count().await, 2);

    let rolled_back = (424, "batch_rolled_back");
    for (last, refused) in [
        (json!({ "function": "add", "args": { "name": "a" } }), (409, "unique_conflict")),
        (json!({ "function": "up", "args": { "id": Uuid::now_v7(), "by": 1 } }), (404, "row_not_found")),
        (json!({ "function": "up", "args": { "id": id, "by": 1000 } }), (422, "value_refused")),
        (json!({ "function": "up", "args": {} }), (422, "arguments_invalid")),
        (json!({ "function": "nobody" }), (404, "function_unknown")),
    ] {
        let calls = json!([{ "function": "add", "args": { "name": "c" } }, last, { "function": "count" }]);
        let entries = send(&test, Role::Editor, &atomic(calls)).await.ok();
        assert_eq!(outcomes(&entries), expected(&[rolled_back, refused, rolled_back]));
        assert_eq!(count().await, 2, "{last}");
    }
    let calls = json!([{ "function": "add", "args": { "name": "c" } }, { "function": "count" }]);
    let entries = send(&test, Role::Viewer, &atomic(calls.clone())).await.ok();
    assert_eq!(outcomes(&entries), expected(&[(403, "access_denied"), rolled_back]));
    let entries = send(&test, Role::Editor, &json!({ "calls": calls })).await.ok();
    assert_eq!(outcomes(&entries), expected(&[(200, ""); 2]));
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn atomic_batches_that_meet_lose_nothing() {
    let test = gateway(|_| {}).await;
    let (a, b) =
        (test.call("add", json!({ "name": "a" })).await.ok(), test.call("add", json!({ "name": "b" })).await.ok());
    let up = |row: &Value| json!({ "function": "up", "args": { "id": row["id"], "by": 1 } });
    // Taken in opposite orders, the rows deadlock; who is undone does it once more, while there is time.
    let batches =
        [json!([up(&a), up(&b)]), json!([up(&b), up(&a)])].map(|calls| json!({ "atomic": true, "calls": calls }));
    let sent = (0..6).map(|index| send(&test, Role::Editor, &batches[index % 2]));
    let mut done = 0;
    for answer in futures_util::future::join_all(sent).await {
        let outcomes = outcomes(&answer.ok());
        if outcomes == expected(&[(200, ""), (200, "")]) {
            done += 1;
        } else {
            assert!(outcomes.contains(&(503, "database_busy".to_owned())), "{outcomes:?}");
        }
    }
    assert!(done >= 2, "{done}");
    let still = |row: &Value| json!({ "function": "up", "args": { "id": row["id"], "by": 0 } });
    let rows = send(&test, Role::Editor, &json!([still(&a), still(&b)])).await.ok();
    assert_eq!((&rows[0]["body"]["count"], &rows[1]["body"]["count"]), (&json!(done), &json!(done)));
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_bounded_and_must_be_one() {
    let test = gateway(|config| config.http.batch_answer_bytes_max = 400).await;
    let call = json!({ "function": "count" });
    let many = |count: usize| Value::Array(vec![call.clone(); count]);
    assert_eq!(outcomes(&send(&test, Role::Owner, &many(50)).await.ok()).len(), 50);
    assert_eq!(send(&test, Role::Owner, &many(51)).await.problem(), (413, "batch_too_large".to_owned()));
    for body in [
        json!(5),
        json!("x"),
        json!([5]),
        json!([[]]),
        json!([{ "args": {} }]),
        json!([{ "function": 5 }]),
        json!([{ "function": "count", "arg": {} }]),
        json!({}),
        json!({ "atomic": true }),
        json!({ "calls": {} }),
        json!({ "atomic": "yes", "calls": [] }),
        json!({ "atomic": true, "calls": [], "more": 1 }),
    ] {
        assert_eq!(send(&test, Role::Owner, &body).await.problem(), (400, "body_malformed".to_owned()), "{body}");
    }
    let url = format!("http://{}/v1/extension-functions/{}", test.server.address, test.install.id);
    for body in ["", "[", "[{\"function\":\"count\"}] x", "\u{feff}[]"] {
        let request =
            test.http.post(&url).bearer_auth(test.token(Role::Owner)).header("content-type", "application/json");
        assert_eq!(answer(request.body(body)).await.problem(), (400, "body_malformed".to_owned()), "{body}");
    }
    assert_eq!(answer(test.http.get(&url)).await.problem(), (405, "method_not_allowed".to_owned()));
    assert_eq!(answer(test.http.post(&url).body("[]")).await.problem(), (401, "token_missing".to_owned()));

    // A row is over a hundred bytes of JSON: the third answer does not fit.
    let adds = |from: usize| -> Value {
        (from..from + 4).map(|name| json!({ "function": "add", "args": { "name": format!("{name}") } })).collect()
    };
    let too_large = (413, "batch_answer_too_large");
    let entries = send(&test, Role::Owner, &adds(0)).await.ok();
    let (kept, left_out): (Vec<_>, Vec<_>) = outcomes(&entries).into_iter().partition(|(status, _)| *status == 200);
    assert!(!kept.is_empty() && !left_out.is_empty(), "{entries}");
    assert!(left_out.iter().all(|outcome| *outcome == expected(&[too_large])[0]));
    assert_eq!(test.call("count", json!({})).await.ok(), 4, "what was left out has happened");
    let entries = send(&test, Role::Owner, &json!({ "atomic": true, "calls": adds(4) })).await.ok();
    assert!(outcomes(&entries).contains(&expected(&[too_large])[0]), "{entries}");
    assert_eq!(test.call("count", json!({})).await.ok(), 4, "what did not fit was written");
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_of_a_batch_counts() {
    let test = gateway(|config| {
        config.limits.mode = LimitMode::Enforce;
        config.limits.caller.query_rows = rowgate::config::Quota { per_minute: 3, burst: None };
    })
    .await;
    let call = json!({ "function": "count" });
    let answer = send(&test, Role::Owner, &Value::Array(vec![call; 5])).await;
    let entries = answer.ok();
    let refused = (429, "quota_exceeded");
    assert_eq!(outcomes(&entries), expected(&[(200, ""), (200, ""), (200, ""), refused, refused]));
    assert!(entries[4]["retry_after_s"].as_u64().unwrap() >= 1, "{entries}");
    assert!(answer.headers["ratelimit"].contains("\"caller\";r=0"), "{:?}", answer.headers);
    test.server.stop().await;
}
