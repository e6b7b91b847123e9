//! Writes of many rows: lists that are inserted, and rows that a filter accepts.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::gateway::{Answer, TestGateway, document};

fn definition() -> Value {
    let values = json!({
        "text": { "arg": "text" }, "score": { "arg": "score" }, "price": { "arg": "price" }, "tags": { "arg": "tags" },
        "due": { "arg": "due" }, "day": { "arg": "day" }, "author": { "identity": "userId" },
    });
    let of_kind = json!({ "column": "kind", "op": "=", "value": { "arg": "kind" } });
    document(
        json!({
            "rules": {
                "columns": {
                    "text": { "type": "string", "max": 20 },
                    "score": { "type": "integer", "default": 7 },
                    "price": { "type": "decimal", "optional": true, "default": "1.50" },
                    "tags": { "type": "array", "items": { "type": "string" }, "optional": true },
                    "due": { "type": "timestamp", "default": { "now": true } },
                    "day": { "type": "date", "optional": true, "default": { "now": true } },
                    "kind": { "type": "enum", "values": ["fun", "serious"], "default": "fun" },
                    "author": { "type": "string", "private": true },
                },
                "uniques": { "one_text": ["text"] },
                "indexes": { "by_kind": ["kind"] },
            },
            "prices": {
                "columns": { "price": { "type": "decimal" }, "on": { "type": "date" }, "note": { "type": "string", "optional": true } },
                "uniques": { "one_price": ["price", "on"] },
            },
            "votes": {
                "columns": {
                    "rule": { "type": "id", "table": "rules" },
                    "user_id": { "type": "string" },
                },
                "uniques": { "one_vote": ["rule", "user_id"] },
            },
        }),
        json!({
            "add": { "kind": "insertRows", "table": "rules", "values": values },
            "addFew": { "kind": "insertRows", "table": "rules", "values": { "text": { "arg": "text" }, "author": "" }, "maxRows": 2 },
            "offer": { "kind": "insertRows", "table": "rules", "values": values, "onConflict": "ignore", "fields": ["text", "price"] },
            "set": { "kind": "insertRows", "table": "rules", "values": values, "onConflict": "update" },
            "offerPrices": {
                "kind": "insertRows", "table": "prices", "onConflict": "ignore", "fields": ["id", "note", "price"],
                "values": { "price": { "arg": "price" }, "on": "2026-01-31", "note": { "arg": "note" } },
            },
            "vote": {
                "kind": "insertRows", "table": "votes", "onConflict": "ignore",
                "values": { "rule": { "arg": "rule" }, "user_id": { "arg": "user" } },
            },
            "countVotes": { "kind": "countRows", "table": "votes", "scan": "allowed" },
            "all": { "kind": "queryRows", "table": "rules" },
            "raise": {
                "kind": "patchRows", "table": "rules", "filter": of_kind, "maxRows": 3, "fields": ["text", "score"],
                "values": { "score": { "increment": { "arg": "by" } }, "price": { "arg": "price" } },
            },
            "moveAll": {
                "kind": "patchRows", "table": "rules", "filter": of_kind,
                "values": { "kind": { "arg": "to" } },
            },
            "clear": { "kind": "deleteRows", "table": "rules", "filter": of_kind, "maxRows": 3 },
        }),
    )
}

fn texts(rows: &Value) -> Vec<String> {
    rows.as_array().unwrap().iter().map(|row| row["text"].as_str().unwrap().to_owned()).collect()
}

/// The pointer and code of each complaint.
fn complaints(answer: &Answer) -> Vec<String> {
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("{problem}")).iter();
    errors.map(|error| format!("{} {}", error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_inserted_in_their_order_each_with_its_defaults() {
    let gateway = TestGateway::new(&definition()).await;
    let sent = json!({ "rows": [
        { "text": "a", "score": 1, "price": null, "tags": ["x", "{\"y\",\\}", ""], "due": "2026-01-31T12:00:00Z", "day": null },
        { "text": "b" },
        { "text": "c", "tags": [], "price": "2.00", "day": "2020-02-29" },
    ] });
    let rows = gateway.call("add", sent).await.ok();
    assert_eq!(texts(&rows), ["a", "b", "c"]);
    let (a, b, c) = (&rows[0], &rows[1], &rows[2]);
    assert_eq!((&a["score"], &b["score"], &c["score"]), (&json!(1), &json!(7), &json!(7)));
    assert_eq!((&a["price"], &b["price"], &c["price"]), (&json!(null), &json!("1.50"), &json!("2.00")));
    assert_eq!(a["tags"], json!(["x", "{\"y\",\\}", ""]));
    assert_eq!((&b["tags"], &c["tags"]), (&json!(null), &json!([])));
    assert_eq!(a["due"], json!("2026-01-31T12:00:00.000000Z"));
    assert_eq!(b["due"], b["created_at"]);
    assert_eq!((&a["day"], &c["day"]), (&json!(null), &json!("2020-02-29")));
    assert_eq!(b["day"].as_str(), b["created_at"].as_str().map(|at| &at[..10]));
    assert!(a["id"].as_str() < b["id"].as_str() && b["id"].as_str() < c["id"].as_str());
    assert!(a.get("author").is_none());

    let many: Vec<Value> = (0..1000).map(|n| json!({ "text": format!("n {n:04}") })).collect();
    let rows = gateway.call("add", json!({ "rows": many })).await.ok();
    assert_eq!(texts(&rows), texts(&json!(many)));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_row_names_the_row_and_nothing_is_inserted() {
    let gateway = TestGateway::new(&definition()).await;
    let sent = json!({ "rows": [
        { "text": "fine" }, { "score": 1 }, { "text": "x", "scroe": 2 }, { "text": "far longer than twenty characters" }, 5,
        { "text": "x", "tags": ["a", 1] },
    ] });
    let refused = gateway.call("add", sent).await;
    assert_eq!(refused.problem(), (422, "arguments_invalid".to_owned()));
    assert_eq!(
        complaints(&refused),
        [
            "/rows/1/text missing_argument",
            "/rows/2/scroe unknown_argument",
            "/rows/3/text too_long",
            "/rows/4 wrong_type",
            "/rows/5/tags/1 wrong_type",
        ]
    );
    for (body, expected) in [
        (r#"{}"#, "/rows missing_argument"),
        (r#"{"rows": null}"#, "/rows wrong_type"),
        (r#"{"rows": {}}"#, "/rows wrong_type"),
        (r#"{"rows": []}"#, "/rows too_short"),
        (r#"{"rows": [{"text": "a"}], "rows": []}"#, "/rows duplicate_argument"),
        (r#"{"rows": [{"text": "a", "text": "b"}]}"#, "/rows/0/text duplicate_argument"),
        (r#"{"rows": [{"text": "a"}, {"text": "b"}, {"text": "c"}]}"#, "/rows too_long"),
        (r#"{"rows": [{"text": "a"}], "row": 1}"#, "/row unknown_argument"),
    ] {
        assert_eq!(complaints(&gateway.call_raw("addFew", body).await), [expected], "{body}");
    }
    let bad: Vec<Value> = (0..1000).map(|_| json!({ "a": 1, "b": 2 })).collect();
    assert_eq!(complaints(&gateway.call("add", json!({ "rows": bad })).await).len(), 100);

    let twice = gateway.call("add", json!({ "rows": [{ "text": "a" }, { "text": "b" }, { "text": "a" }] })).await;
    assert_eq!(twice.problem(), (409, "unique_conflict".to_owned()));
    assert_eq!(complaints(&twice), ["/rows unique"]);
    let nowhere = json!({ "rows": [{ "rule": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "user": "ann" }] });
    let nowhere = gateway.call("vote", nowhere).await;
    assert_eq!(
        (nowhere.problem().1.as_str(), complaints(&nowhere)),
        ("reference_missing", vec!["/rows reference".to_owned()])
    );
    assert_eq!(gateway.call("all", json!({})).await.ok(), json!([]));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_there_are_answered_or_changed_in_the_order_given() {
    let gateway = TestGateway::new(&definition()).await;
    let rows = |texts: &[&str]| json!({ "rows": texts.iter().map(|text| json!({ "text": text })).collect::<Vec<_>>() });
    let first = gateway.call("offer", json!({ "rows": [{ "text": "b", "price": "9.00" }] })).await.ok();
    assert_eq!(first, json!([{ "text": "b", "price": "9.00" }]));
    // New ones, one that is there, and one twice in the same call.
    let offered = gateway.call("offer", rows(&["c", "b", "a", "c"])).await.ok();
    let new = |text: &str| json!({ "text": text, "price": "1.50" });
    assert_eq!(offered, json!([new("c"), { "text": "b", "price": "9.00" }, new("a"), new("c")]));
    assert_eq!(gateway.call("all", json!({})).await.ok().as_array().unwrap().len(), 3);

    // What a row does not give stays as it is, row by row.
    let sent = json!({ "rows": [{ "text": "b", "score": 5 }, { "text": "d" }, { "text": "a", "price": null, "tags": ["t"] }] });
    let set = gateway.call("set", sent).await.ok();
    assert_eq!(texts(&set), ["b", "d", "a"]);
    let shown = |row: &Value| (row["score"].clone(), row["price"].clone(), row["tags"].clone(), row["version"].clone());
    assert_eq!(shown(&set[0]), (json!(5), json!("9.00"), json!(null), json!(2)));
    assert_eq!(shown(&set[1]), (json!(7), json!("1.50"), json!(null), json!(1)));
    assert_eq!(shown(&set[2]), (json!(7), json!(null), json!(["t"]), json!(2)));
    let twice = gateway.call("set", rows(&["a", "z", "a"])).await;
    assert_eq!(
        (twice.problem(), complaints(&twice)),
        ((409, "unique_conflict".to_owned()), vec!["/rows unique".to_owned()])
    );

    // A rule over a decimal is asked by value, whatever its digits.
    let prices = json!({ "rows": [{ "price": "1.5", "note": "first" }, { "price": "2" }] });
    let prices = gateway.call("offerPrices", prices).await.ok();
    let again =
        gateway.call("offerPrices", json!({ "rows": [{ "price": "2.00" }, { "price": "1.50", "note": "second" }] }));
    let again = again.await.ok();
    assert_eq!(again, json!([prices[1], prices[0]]));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_offers_the_same_rows_is_answered_the_same() {
    let gateway = TestGateway::new(&definition()).await;
    let gateway = &gateway;
    let rule = &gateway.call("offer", json!({ "rows": [{ "text": "be kind" }] })).await.ok();
    assert_eq!(rule[0]["text"], "be kind");
    let all = gateway.call("all", json!({})).await.ok();
    let votes = join_all((0..64).map(|client| {
        // Each in the same order, as two in contrary orders would wait for each other.
        let rows: Vec<Value> = (client % 4..client % 4 + 8)
            .map(|user| json!({ "rule": all[0]["id"], "user": format!("{user:02}") }))
            .collect();
        gateway.call("vote", json!({ "rows": rows }))
    }))
    .await;
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(11));
    let mut known: BTreeSet<(String, String)> = BTreeSet::new();
    for (client, answer) in votes.iter().enumerate() {
        let answer = answer.ok();
        let rows = answer.as_array().unwrap();
        assert_eq!(rows.len(), 8);
        for (index, row) in rows.iter().enumerate() {
            assert_eq!(row["user_id"], format!("{:02}", client % 4 + index));
            known.insert((row["user_id"].to_string(), row["id"].to_string()));
        }
    }
    assert_eq!(known.len(), 11, "each vote is answered as the one there is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_accepts_too_many_rows_changes_none() {
    let gateway = TestGateway::new(&definition()).await;
    let rows: Vec<Value> = ["a", "b", "c"].iter().map(|text| json!({ "text": text })).collect();
    gateway.call("add", json!({ "rows": rows })).await.ok();
    let mut raised = gateway.call("raise", json!({ "kind": "fun", "by": 2 })).await.ok();
    raised.as_array_mut().unwrap().sort_by_key(|row| row["text"].to_string());
    assert_eq!(raised, json!([{ "text": "a", "score": 9 }, { "text": "b", "score": 9 }, { "text": "c", "score": 9 }]));
    assert_eq!(gateway.call("raise", json!({ "kind": "serious", "by": 2 })).await.ok(), json!([]));

    gateway.call("add", json!({ "rows": [{ "text": "d" }] })).await.ok();
    for (function, arguments) in [("raise", json!({ "kind": "fun", "by": 2 })), ("clear", json!({ "kind": "fun" }))] {
        let refused = gateway.call(function, arguments).await;
        assert_eq!(refused.problem(), (409, "too_many_rows".to_owned()));
        assert_eq!(refused.json()["detail"], "more than 3 rows are accepted; nothing was changed");
    }
    let all = gateway.call("all", json!({})).await.ok();
    let scores: Vec<&Value> = all.as_array().unwrap().iter().map(|row| &row["score"]).collect();
    assert_eq!(scores, [9, 9, 9, 7]);

    assert_eq!(
        gateway.call("moveAll", json!({ "kind": "fun", "to": "serious" })).await.ok().as_array().unwrap().len(),
        4
    );
    assert_eq!(gateway.call("clear", json!({ "kind": "fun" })).await.ok(), json!([]));
    let one = gateway.call("add", json!({ "rows": [{ "text": "e" }] })).await.ok();
    assert_eq!(gateway.call("clear", json!({ "kind": "fun" })).await.ok(), json!([{ "id": one[0]["id"] }]));
    assert_eq!(gateway.call("raise", json!({ "by": 1 })).await.problem().1, "arguments_invalid");
    gateway.server.stop().await;
}
