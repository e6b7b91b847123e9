//! Writes of a row that nobody has changed meanwhile, and the header that says which version it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate::record;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};

fn definition() -> Value {
    let version =
        |optional: bool| json!({ "arg": "version", "validator": { "type": "integer", "optional": optional } });
    let patch = json!({ "kind": "patchRow", "table": "things", "id": { "arg": "id" }, "values": { "count": { "increment": 1 } } });
    let with = |members: Value| {
        let mut function = patch.clone();
        function.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        function
    };
    document(
        json!({ "things": { "columns": {
            "name": { "type": "string", "unique": true },
            "count": { "type": "integer", "default": 0 },
        } }, "drafts": { "columns": { "text": { "type": "string" } }, "owned": true } }),
        json!({
            "add": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" } }, "fields": ["name", "id"] },
            "put": { "kind": "upsertRow", "table": "things", "unique": "name", "values": { "name": { "arg": "name" } } },
            "take": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" } }, "onConflict": "ignore", "unique": "name", "fields": ["name"] },
            "get": { "kind": "getRow", "table": "things", "id": { "arg": "id" }, "fields": ["count"] },
            "all": { "kind": "queryRows", "table": "things" },
            "up": patch,
            "upOf": with(json!({ "version": version(false) })),
            "upMaybe": with(json!({ "version": version(true) })),
            "draft": { "kind": "insertRow", "table": "drafts", "values": { "text": { "arg": "text" } } },
            "edit": { "kind": "patchRow", "table": "drafts", "id": { "arg": "id" }, "values": { "text": "edited" }, "own": true },
            "remove": { "kind": "deleteRow", "table": "things", "id": { "arg": "id" } },
            "removeOf": { "kind": "deleteRow", "table": "things", "id": { "arg": "id" }, "version": { "arg": "version" } },
        }),
    )
}

async fn if_match(test: &TestGateway, function: &str, arguments: Value, tag: &str) -> Answer {
    let request = test.http.post(test.url(function)).bearer_auth(test.token(Role::Owner)).json(&arguments);
    answer(request.header("if-match", tag)).await
}

fn etag(answer: &Answer) -> Option<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.headers.get("etag").map(String::as_str)
}

fn mismatch() -> (u16, String) {
    (412, "version_mismatch".to_owned())
}

fn missing() -> (u16, String) {
    (404, "row_not_found".to_owned())
}

fn invalid() -> (u16, String) {
    (400, "if_match_invalid".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_one_row_tells_its_version() {
    let test = TestGateway::new(&definition()).await;
    let added = test.call("add", json!({ "name": "a" })).await;
    assert_eq!(etag(&added), Some("\"1\""));
    let id = added.json()["id"].clone();
    assert_eq!(added.json(), json!({ "name": "a", "id": id }), "what was not asked for is not shown");
    let patched = test.call("up", json!({ "id": id })).await;
    assert_eq!((etag(&patched), &patched.json()["version"]), (Some("\"2\""), &json!(2)));
    assert_eq!(etag(&test.call("put", json!({ "name": "a" })).await), Some("\"3\""));
    let taken = test.call("take", json!({ "name": "a" })).await;
    assert_eq!((etag(&taken), taken.json()), (Some("\"3\""), json!({ "name": "a" })));
    assert_eq!(etag(&test.call("take", json!({ "name": "b" })).await), Some("\"1\""));
    let got = test.call("get", json!({ "id": id })).await;
    assert_eq!((etag(&got), got.json()), (Some("\"3\""), json!({ "count": 1 })));
    assert_eq!(etag(&test.call("all", json!({})).await), None);
    assert_eq!(etag(&test.call("remove", json!({ "id": id })).await), None);
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_written_in_the_version_that_is_known() {
    let test = TestGateway::new(&definition()).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    let of = |version: i64| json!({ "id": id, "version": version });
    let count = async || test.call("get", json!({ "id": id })).await.ok()["count"].clone();

    assert_eq!(etag(&if_match(&test, "up", json!({ "id": id }), "\"1\"").await), Some("\"2\""));
    let refused = if_match(&test, "up", json!({ "id": id }), "\"1\"").await;
    assert_eq!(refused.problem(), mismatch());
    assert_eq!(refused.json()["detail"], "the row has changed: it has version 2, not 1");
    assert_eq!(etag(&test.call("upOf", of(2)).await), Some("\"3\""));
    assert_eq!(test.call("upOf", of(2)).await.problem(), mismatch());
    assert_eq!(test.call("upOf", json!({ "id": id })).await.problem(), (422, "arguments_invalid".to_owned()));
    assert_eq!(etag(&test.call("upMaybe", json!({ "id": id })).await), Some("\"4\""));
    assert_eq!(test.call("upMaybe", of(3)).await.problem(), mismatch());
    assert_eq!(etag(&if_match(&test, "upMaybe", json!({ "id": id }), "W/\"4\"").await), Some("\"5\""));
    assert_eq!(etag(&if_match(&test, "upMaybe", of(5), "\"5\"").await), Some("\"6\""));
    assert_eq!(if_match(&test, "upMaybe", of(5), "\"6\"").await.problem(), mismatch());
    assert_eq!(etag(&if_match(&test, "up", json!({ "id": id }), "*").await), Some("\"7\""));
    assert_eq!(count().await, 6);

    for wrong in ["7", "\"\"", "\"x\"", "\"7", "\"-7\"", "\"7\", \"8\"", "\"99999999999999999999\"", ""] {
        assert_eq!(if_match(&test, "up", json!({ "id": id }), wrong).await.problem(), invalid(), "{wrong}");
    }
    for function in ["get", "add", "put", "all"] {
        let answer = if_match(&test, function, json!({ "id": id, "name": "z" }), "\"7\"").await.problem();
        // What the arguments lack is said first, and nothing is done either way.
        assert!(answer == invalid() || answer.0 == 422, "{function} {answer:?}");
    }
    assert_eq!(if_match(&test, "get", json!({ "id": id }), "\"7\"").await.problem(), invalid());
    let batch = test.http.post(test.url("").trim_end_matches('/')).bearer_auth(test.token(Role::Owner));
    assert_eq!(answer(batch.json(&json!([])).header("if-match", "\"7\"")).await.problem(), invalid());

    assert_eq!(test.call("removeOf", of(6)).await.problem(), mismatch());
    assert_eq!(if_match(&test, "remove", json!({ "id": id }), "\"8\"").await.problem(), mismatch());
    assert_eq!(test.call("removeOf", of(7)).await.ok(), json!({ "id": id }));
    for gone in [test.call("removeOf", of(7)).await, if_match(&test, "up", json!({ "id": id }), "\"7\"").await] {
        assert_eq!(gone.problem(), missing());
    }
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_know_one_version_one_writes() {
    let test = TestGateway::new(&definition()).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    for version in 1..6 {
        let calls = (0..12).map(|index| {
            let (test, id) = (&test, &id);
            async move {
                if index % 2 == 0 {
                    if_match(test, "up", json!({ "id": id }), &format!("\"{version}\"")).await
                } else {
                    test.call("upOf", json!({ "id": id, "version": version })).await
                }
            }
        });
        let answers = join_all(calls).await;
        let (wrote, others): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(wrote.len(), 1);
        assert!(others.iter().all(|answer| answer.problem() == mismatch()));
    }
    assert_eq!(test.call("get", json!({ "id": id })).await.ok()["count"], 5);
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_knows_versions_too() {
    let test = TestGateway::new(&definition()).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    let send = async |batch: Value| {
        let request = test.http.post(test.url("").trim_end_matches('/')).bearer_auth(test.token(Role::Owner));
        answer(request.json(&batch)).await.ok()
    };
    let up = |version: i64| json!({ "function": "upOf", "args": { "id": id, "version": version } });
    let statuses = |entries: &Value| -> Vec<u64> {
        entries.as_array().unwrap().iter().map(|entry| entry["status"].as_u64().unwrap()).collect()
    };
    assert_eq!(statuses(&send(json!({ "atomic": true, "calls": [up(1), up(2), up(3)] })).await), [200, 200, 200]);
    let entries = send(json!({ "atomic": true, "calls": [up(4), up(4)] })).await;
    assert_eq!(statuses(&entries), [424, 412]);
    assert_eq!(entries[1]["body"]["code"], "version_mismatch");
    let gone = json!({ "function": "upOf", "args": { "id": Uuid::now_v7(), "version": 1 } });
    assert_eq!(statuses(&send(json!({ "atomic": true, "calls": [up(4), gone] })).await), [424, 404]);
    assert_eq!(statuses(&send(json!([up(4), gone])).await), [200, 404]);
    assert_eq!(test.call("get", json!({ "id": id })).await.ok()["count"], 4);
    test.server.stop().await;
}

/// Whether a row of another install is there is not told by the version either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbours_row_has_no_version() {
    let test = TestGateway::new(&definition()).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    let other = record::Install { id: Uuid::now_v7(), ..test.install.clone() };
    record::insert_install(&test.database.client().await, &other).await.unwrap();
    test.server.reload().await.unwrap();
    let token = test.token_of(&Claims::new(other.id, Role::Owner, None));
    for function in ["up", "remove", "upMaybe"] {
        for tag in ["\"1\"", "\"2\""] {
            let url = test.url(function).replace(&test.install.id.to_string(), &other.id.to_string());
            let request = test.http.post(url).bearer_auth(&token).json(&json!({ "id": id })).header("if-match", tag);
            assert_eq!(answer(request).await.problem(), missing());
        }
    }
    assert_eq!(etag(&test.call("get", json!({ "id": id })).await), Some("\"1\""));

    // Nor has another user's, to a function that reaches the caller's own.
    let id = test.call("draft", json!({ "text": "mine" })).await.ok()["id"].clone();
    let somebody = test.token_of(&Claims::new(test.install.id, Role::Owner, Some("somebody else".to_owned())));
    for tag in ["\"1\"", "\"2\""] {
        let request = test.http.post(test.url("edit")).bearer_auth(&somebody).json(&json!({ "id": id }));
        assert_eq!(answer(request.header("if-match", tag)).await.problem(), missing());
    }
    assert_eq!(if_match(&test, "edit", json!({ "id": id }), "\"2\"").await.problem(), mismatch());
    assert_eq!(etag(&if_match(&test, "edit", json!({ "id": id }), "\"1\"").await), Some("\"2\""));
    test.server.stop().await;
}
