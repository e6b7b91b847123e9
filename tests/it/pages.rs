//! Pages: both ways over any order, while others write, and cursors that are not what they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rowgate::record;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{TestGateway, answer, deploy, document};

fn definition(order_by: Value) -> Value {
    document(
        json!({ "things": { "columns": {
            "name": { "type": "string" },
            "rank": { "type": "integer", "optional": true },
        } } }),
        json!({
            "add": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" }, "rank": { "arg": "rank" } } },
            "remove": { "kind": "deleteRow", "table": "things", "id": { "arg": "id" } },
            "page": { "kind": "queryRows", "table": "things", "orderBy": order_by, "limit": { "arg": "limit" }, "page": true },
            "other": { "kind": "queryRows", "table": "things", "orderBy": order_by, "limit": 3, "page": true },
        }),
    )
}

fn names(page: &Value) -> Vec<&str> {
    page["rows"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_lead_forward_and_back() {
    let test = TestGateway::new(&definition(json!(["rank", { "column": "name", "dir": "desc" }]))).await;
    let page = async |cursor: &Value| test.call("page", json!({ "limit": 2, "cursor": cursor })).await.ok();
    let empty = json!({ "rows": [], "cursor": null, "previous": null });
    assert_eq!(page(&Value::Null).await, empty);
    for (name, rank) in [("a", json!(1)), ("b", json!(1)), ("c", Value::Null), ("d", Value::Null), ("e", json!(-5))] {
        test.call("add", json!({ "name": name, "rank": rank })).await.ok();
    }
    let first = page(&Value::Null).await;
    assert_eq!((names(&first), &first["previous"]), (vec!["e", "b"], &Value::Null));
    let second = page(&first["cursor"]).await;
    assert_eq!(names(&second), ["a", "d"]);
    let third = page(&second["cursor"]).await;
    assert_eq!((names(&third), &third["cursor"]), (vec!["c"], &Value::Null));
    let back = page(&third["previous"]).await;
    assert_eq!(names(&back), ["a", "d"]);
    assert_eq!((&back["cursor"], &back["previous"]), (&second["cursor"], &second["previous"]));
    let back = page(&back["previous"]).await;
    assert_eq!((names(&back), &back["previous"]), (vec!["e", "b"], &Value::Null));
    assert_eq!(back["cursor"], first["cursor"]);

    // What comes before the first page is there for who goes back once more.
    let again = page(&back["cursor"]).await;
    test.call("add", json!({ "name": "z", "rank": -9 })).await.ok();
    let before = page(&again["previous"]).await;
    assert_eq!(names(&before), ["e", "b"]);
    let before = page(&before["previous"]).await;
    assert_eq!((names(&before), &before["previous"]), (vec!["z"], &Value::Null));
    // A page of exactly what is left has none beyond it.
    let whole = test.call("page", json!({ "limit": 6 })).await.ok();
    assert_eq!((names(&whole).len(), &whole["cursor"]), (6, &Value::Null));
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_good_for_what_it_was_made_for_alone() {
    let test = TestGateway::new(&definition(json!("name"))).await;
    for name in ["a", "b", "c"] {
        test.call("add", json!({ "name": name })).await.ok();
    }
    let page = test.call("page", json!({ "limit": 1 })).await.ok();
    let cursor = page["cursor"].as_str().unwrap();
    assert!(!cursor.contains(['=', '+', '/']), "{cursor}");
    let next = test.call("page", json!({ "limit": 9, "cursor": cursor })).await.ok();
    assert_eq!(names(&next), ["b", "c"]);

    let refused = async |function: &str, cursor: &str| {
        let arguments =
            if function == "page" { json!({ "limit": 1, "cursor": cursor }) } else { json!({ "cursor": cursor }) };
        test.call(function, arguments).await.problem()
    };
    let invalid = (400, "cursor_invalid".to_owned());
    let altered = if cursor.ends_with('A') { 'B' } else { 'A' };
    let altered = format!("{}{altered}{}", &cursor[..20], &cursor[21..]);
    for bad in ["", "x", "AQA", &cursor[1..], &cursor[..cursor.len() - 1], &format!("{cursor}A"), &altered, "\u{1f600}"]
    {
        if bad != cursor {
            assert_eq!(refused("page", bad).await, invalid, "{bad}");
        }
    }
    assert_eq!(refused("other", cursor).await, invalid, "another function's");
    let wrong = test.call("page", json!({ "limit": 1, "cursor": 5 })).await.problem();
    assert_eq!(wrong, (422, "arguments_invalid".to_owned()));

    let other = record::Install { id: Uuid::now_v7(), ..test.install.clone() };
    record::insert_install(&test.database.client().await, &other).await.unwrap();
    test.server.reload().await.unwrap();
    let url = test.url("page").replace(&test.install.id.to_string(), &other.id.to_string());
    let token = test.token_of(&rowgate::auth::token::Claims::new(other.id, Role::Owner, None));
    let request = test.http.post(url).bearer_auth(token).json(&json!({ "limit": 1, "cursor": cursor }));
    assert_eq!(answer(request).await.problem(), invalid, "another install's");

    // A revision that leaves the order as it is leaves cursors good; one that changes it does not.
    let mut same = definition(json!("name"));
    same["functions"]["count"] = json!({ "kind": "countRows", "table": "things" });
    deploy(&test.database, &same).await.unwrap();
    test.server.reload().await.unwrap();
    let next = test.call("page", json!({ "limit": 9, "cursor": cursor })).await.ok();
    assert_eq!(names(&next), ["b", "c"]);
    deploy(&test.database, &definition(json!("rank"))).await.unwrap();
    test.server.reload().await.unwrap();
    assert_eq!(refused("page", cursor).await, invalid, "another order's");
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_there_all_along_are_read_once_while_others_come() {
    let test = TestGateway::new(&definition(json!([{ "column": "rank", "dir": "desc" }, "name"]))).await;
    let mut lasting = BTreeSet::new();
    for index in 0..40 {
        let rank = if index % 5 == 0 { Value::Null } else { json!(index % 7) };
        let row = test.call("add", json!({ "name": format!("old {index}"), "rank": rank })).await.ok();
        lasting.insert(row["id"].as_str().unwrap().to_owned());
    }
    let writing = |writer: usize| {
        let test = &test;
        async move {
            for index in 0..30 {
                let rank = if index % 3 == 0 { Value::Null } else { json!(index % 9) };
                let row = test.call("add", json!({ "name": format!("new {writer} {index}"), "rank": rank })).await.ok();
                if index % 2 == 0 {
                    test.call("remove", json!({ "id": row["id"] })).await.ok();
                }
            }
        }
    };
    let readings = join_all((0..64).map(|reader| reading(&test, 1 + reader % 8)));
    let (readings, _) = tokio::join!(readings, join_all((0..4).map(writing)));
    for seen in readings {
        let distinct: BTreeSet<&String> = seen.iter().collect();
        assert_eq!(distinct.len(), seen.len(), "a row came twice");
        assert!(lasting.iter().all(|id| distinct.contains(id)), "a row is missing");
    }
    test.server.stop().await;
}

/// Every id, page by page.
async fn reading(test: &TestGateway, limit: usize) -> Vec<String> {
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = test.call("page", json!({ "limit": limit, "cursor": cursor })).await.ok();
        seen.extend(page["rows"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            return seen;
        }
    }
}
