//! Calls of every kind of function, end to end.

use serde_json::json;

use crate::support::gateway::{TestGateway, document};

fn poll() -> serde_json::Value {
    document(
        json!({
            "rules": {
                "columns": {
                    "text": { "type": "string", "max": 280 },
                    "revealed": { "type": "boolean", "default": false },
                    "score": { "type": "integer", "default": 0 },
                    "kind": { "type": "enum", "values": ["fun", "serious"], "optional": true },
                    "author": { "type": "string", "private": true },
                },
                "indexes": { "by_score": ["score"] },
                "uniques": { "one_text": ["text"] },
            },
            "votes": {
                "columns": {
                    "rule": { "type": "id", "table": "rules", "onDelete": "cascade" },
                    "user_id": { "type": "string" },
                },
                "uniques": { "one_vote": ["rule", "user_id"] },
            },
        }),
        json!({
            "getRules": {
                "kind": "queryRows", "table": "rules", "orderBy": "score", "orderDir": "desc",
                "filter": { "all": [
                    { "column": "score", "op": ">=", "value": { "arg": "min", "validator": { "type": "integer", "optional": true } } },
                ] },
                "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } },
                "access": "anonymous",
            },
            "getRule": { "kind": "getRow", "table": "rules", "id": { "arg": "id" } },
            "countRules": { "kind": "countRows", "table": "rules" },
            "addRule": {
                "kind": "insertRow", "table": "rules",
                "values": { "text": { "arg": "text" }, "kind": { "arg": "kind" }, "author": { "identity": "userId" } },
            },
            "upvote": { "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "score": { "increment": 1 } } },
            "removeRule": { "kind": "deleteRow", "table": "rules", "id": { "arg": "id" } },
            "vote": {
                "kind": "insertRow", "table": "votes", "access": "viewer",
                "values": { "rule": { "arg": "rule" }, "user_id": { "identity": "userId" } },
            },
        }),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_lives_from_insert_to_delete() {
    let gateway = TestGateway::new(&poll()).await;
    let rule = gateway.call("addRule", json!({ "text": "be kind" })).await.ok();
    assert_eq!(rule["text"], "be kind");
    assert_eq!(rule["score"], 0);
    assert_eq!(rule["kind"], json!(null));
    assert_eq!(rule.get("author"), None, "a private column is answered");
    assert_eq!(rule["version"], 1);

    let id = rule["id"].clone();
    let patched = gateway.call("upvote", json!({ "id": id })).await.ok();
    assert_eq!((&patched["score"], &patched["version"]), (&json!(1), &json!(2)));
    assert_eq!(gateway.call("getRule", json!({ "id": id })).await.ok(), patched);
    assert_eq!(gateway.call("getRules", json!({})).await.ok(), json!([patched]));
    assert_eq!(gateway.call("getRules", json!({ "min": 2 })).await.ok(), json!([]));
    assert_eq!(gateway.call("countRules", json!({})).await.ok(), json!(1));

    gateway.call("vote", json!({ "rule": id })).await.ok();
    assert_eq!(gateway.call("vote", json!({ "rule": id })).await.problem(), (409, "unique_conflict".to_owned()));
    assert_eq!(
        gateway.call("addRule", json!({ "text": "be kind" })).await.problem(),
        (409, "unique_conflict".to_owned())
    );

    assert_eq!(gateway.call("removeRule", json!({ "id": id })).await.ok(), json!({ "id": id }));
    assert_eq!(gateway.call("removeRule", json!({ "id": id })).await.problem(), (404, "row_not_found".to_owned()));
    assert_eq!(gateway.call("vote", json!({ "rule": id })).await.problem(), (409, "reference_missing".to_owned()));
    gateway.server.stop().await;
}
