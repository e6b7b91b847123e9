//! Every way of writing, end to end, also by many callers at once.

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};

use crate::support::gateway::{Answer, TestGateway, answer, document};

fn poll() -> Value {
    document(
        json!({
            "rules": {
                "columns": {
                    "text": { "type": "string", "max": 280 },
                    "score": { "type": "integer", "default": 0 },
                    "price": { "type": "decimal", "optional": true },
                    "kind": { "type": "enum", "values": ["fun", "serious"], "default": "fun" },
                },
                "uniques": { "one_text": ["text"] },
            },
            "votes": {
                "columns": {
                    "rule": { "type": "id", "table": "rules", "onDelete": "cascade" },
                    "user_id": { "type": "string" },
                },
                "uniques": { "one_vote": ["rule", "user_id"] },
            },
            "lists": {
                "columns": {
                    "tags": { "type": "array", "items": { "type": "string", "max": 5 }, "max": 3, "optional": true },
                    "prices": { "type": "array", "items": { "type": "decimal" }, "default": [] },
                },
            },
            "clicks": {
                "columns": { "user_id": { "type": "string", "unique": true }, "count": { "type": "integer", "default": 10 } },
            },
        }),
        json!({
            "addRule": { "kind": "insertRow", "table": "rules", "values": { "text": { "arg": "text" } } },
            "setRule": {
                "kind": "upsertRow", "table": "rules", "unique": "one_text",
                "values": { "text": { "arg": "text" }, "score": { "arg": "score" }, "price": { "arg": "price" }, "kind": { "arg": "kind" } },
            },
            "getRule": { "kind": "getRow", "table": "rules", "id": { "arg": "id" } },
            "countVotes": { "kind": "countRows", "table": "votes" },
            "upvote": { "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "score": { "increment": 1 } } },
            "vote": {
                "kind": "insertRow", "table": "votes", "onConflict": "ignore", "access": "viewer",
                "values": { "rule": { "arg": "rule" }, "user_id": { "identity": "userId" } },
            },
            "addList": { "kind": "insertRow", "table": "lists", "values": {} },
            "tag": { "kind": "patchRow", "table": "lists", "id": { "arg": "id" }, "values": {
                "tags": { "append": { "arg": "tag" } }, "prices": { "append": "1.50" },
            } },
            "untag": { "kind": "patchRow", "table": "lists", "id": { "arg": "id" }, "values": {
                "tags": { "remove": { "arg": "tag" } }, "prices": { "remove": { "arg": "price", "validator": { "type": "decimal", "optional": true } } },
            } },
            "click": {
                "kind": "insertRow", "table": "clicks", "onConflict": "update", "access": "viewer",
                "values": { "user_id": { "identity": "userId" }, "count": { "increment": 1 } },
            },
        }),
    )
}

/// Calls as a user of this name.
async fn call_of(gateway: &TestGateway, user: &str, function: &str, arguments: Value) -> Answer {
    let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Viewer, Some(user.to_owned())));
    answer(gateway.http.post(gateway.url(function)).bearer_auth(token).json(&arguments)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_conflict_answers_the_row_that_is_there() {
    let gateway = TestGateway::new(&poll()).await;
    let rule = gateway.call("addRule", json!({ "text": "be kind" })).await.ok();
    let first = call_of(&gateway, "ann", "vote", json!({ "rule": rule["id"] })).await.ok();
    let again = call_of(&gateway, "ann", "vote", json!({ "rule": rule["id"] })).await.ok();
    assert_eq!(first, again, "nothing is changed");
    let other = call_of(&gateway, "bob", "vote", json!({ "rule": rule["id"] })).await.ok();
    assert_ne!(first["id"], other["id"]);
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(2));
    let nowhere = call_of(&gateway, "ann", "vote", json!({ "rule": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c" })).await;
    assert_eq!(nowhere.problem(), (409, "reference_missing".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upsert_inserts_then_changes_what_is_given() {
    let gateway = TestGateway::new(&poll()).await;
    let made = gateway.call("setRule", json!({ "text": "be kind", "price": "1.50" })).await.ok();
    assert_eq!(
        (&made["score"], &made["price"], &made["kind"], &made["version"]),
        (&json!(0), &json!("1.50"), &json!("fun"), &json!(1))
    );
    let changed = gateway.call("setRule", json!({ "text": "be kind", "score": 4, "kind": "serious" })).await.ok();
    assert_eq!((&changed["id"], &changed["created_at"]), (&made["id"], &made["created_at"]));
    assert_ne!(changed["updated_at"], made["updated_at"]);
    assert_eq!(
        (&changed["score"], &changed["price"], &changed["kind"], &changed["version"]),
        (&json!(4), &json!("1.50"), &json!("serious"), &json!(2))
    );
    let emptied = gateway.call("setRule", json!({ "text": "be kind", "price": null })).await.ok();
    assert_eq!((&emptied["score"], &emptied["price"], &emptied["kind"]), (&json!(4), &json!(null), &json!("serious")));
    assert_eq!(call_of(&gateway, "ann", "click", json!({})).await.ok()["count"], json!(11));
    assert_eq!(call_of(&gateway, "ann", "click", json!({})).await.ok()["count"], json!(12));
    assert_eq!(call_of(&gateway, "bob", "click", json!({})).await.ok()["count"], json!(11));
}

/// 64 clients at once, each several times.
async fn crowd<F: Future<Output = Answer>>(call: impl Fn(usize) -> F) -> Vec<Value> {
    let rounds = (0..256).map(|index| call(index % 64));
    join_all(rounds).await.iter().map(Answer::ok).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_loses_no_update_and_votes_once_each() {
    let gateway = TestGateway::new(&poll()).await;
    let gateway = &gateway;
    let rule = &gateway.call("addRule", json!({ "text": "be kind" })).await.ok();
    crowd(|_| gateway.call("upvote", json!({ "id": rule["id"] }))).await;
    let counted = gateway.call("getRule", json!({ "id": rule["id"] })).await.ok();
    assert_eq!((&counted["score"], &counted["version"]), (&json!(256), &json!(257)));

    let vote =
        |index| async move { call_of(gateway, &format!("user {index}"), "vote", json!({ "rule": rule["id"] })).await };
    let votes = crowd(vote).await;
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(64));
    for (index, vote) in votes.iter().enumerate() {
        assert_eq!(vote, &votes[index % 64], "everyone is answered the one vote there is");
        assert_eq!(vote["user_id"], format!("user {}", index % 64));
    }

    let click = |index| async move { call_of(gateway, &format!("user {}", index % 4), "click", json!({})).await };
    let mut counts: Vec<i64> = crowd(click).await.iter().map(|row| row["count"].as_i64().unwrap()).collect();
    counts.sort_unstable();
    let expected: Vec<i64> = (11..75).flat_map(|count| [count; 4]).collect();
    assert_eq!(counts, expected, "each step is seen once by each user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_are_put_into_lists_and_taken_out() {
    let gateway = TestGateway::new(&poll()).await;
    let id = gateway.call("addList", json!({})).await.ok()["id"].clone();
    let tag = |tag: &str| gateway.call("tag", json!({ "id": id, "tag": tag }));
    assert_eq!(gateway.call("untag", json!({ "id": id, "tag": "a" })).await.ok()["tags"], json!(null));
    let tagged = tag("a").await.ok();
    assert_eq!((&tagged["tags"], &tagged["prices"]), (&json!(["a"]), &json!(["1.50"])));
    tag("b").await.ok();
    assert_eq!(tag("a").await.ok()["tags"], json!(["a", "b", "a"]));
    let full = tag("c").await;
    assert_eq!(full.problem(), (422, "value_refused".to_owned()));
    assert_eq!(full.json()["errors"][0]["pointer"], "/tag");
    assert_eq!(tag("far too long").await.json()["errors"][0]["code"], "too_long");
    let untagged = gateway.call("untag", json!({ "id": id, "tag": "a" })).await.ok();
    assert_eq!((&untagged["tags"], &untagged["prices"]), (&json!(["b"]), &json!(["1.50", "1.50", "1.50"])));
    let priceless = gateway.call("untag", json!({ "id": id, "tag": "b", "price": "1.5" })).await.ok();
    assert_eq!((&priceless["tags"], &priceless["prices"]), (&json!([]), &json!([])));
}
