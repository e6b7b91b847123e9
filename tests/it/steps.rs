//! Transactions of declared steps: all of them or none, with rows handed from step to step.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};

fn step(name: &str, function: Value) -> Value {
    json!({ "name": name, "function": function })
}

fn row(step: &str, column: &str) -> Value {
    json!({ "row": step, "column": column })
}

fn shop() -> Value {
    let arg = |name: &str| json!({ "arg": name });
    let in_stock = json!({ "column": "stock", "op": ">", "value": 0 });
    let take = json!({
        "kind": "patchRow", "table": "items", "id": arg("item"), "values": { "stock": { "increment": -1 } },
        "when": in_stock, "fields": ["stock"],
    });
    let order = json!({ "kind": "insertRow", "table": "orders", "values": { "buyer": { "identity": "userId" } }, "fields": ["id"] });
    document(
        json!({
            "items": { "columns": {
                "name": { "type": "string", "unique": true }, "stock": { "type": "integer", "default": 0 },
                "price": { "type": "decimal", "default": "0.10" }, "secret": { "type": "string", "private": true, "default": "s3cret" },
                "note": { "type": "string", "optional": true },
            } },
            "orders": { "columns": { "buyer": { "type": "string" } } },
            "lines": {
                "columns": {
                    "order": { "type": "id", "table": "orders" }, "item": { "type": "id", "table": "items" },
                    "price": { "type": "decimal", "optional": true }, "quantity": { "type": "integer", "default": 1, "max": 9 },
                    "code": { "type": "string", "private": true, "optional": true }, "note": { "type": "string", "optional": true },
                },
                "uniques": { "one_line": ["order", "item"] },
            },
            "few": { "columns": { "n": { "type": "integer" } }, "rows": 2 },
        }),
        json!({
            "addItem": { "kind": "insertRow", "table": "items", "values": { "name": arg("name"), "stock": arg("stock"), "price": arg("price"), "note": arg("note") } },
            "getItem": { "kind": "getRow", "table": "items", "id": arg("id") },
            "editItem": { "kind": "patchRow", "table": "items", "id": arg("id"), "values": { "stock": arg("stock") } },
            "countOrders": { "kind": "countRows", "table": "orders", "scan": "allowed" },
            "countLines": { "kind": "countRows", "table": "lines", "scan": "allowed" },
            "lines": { "kind": "queryRows", "table": "lines", "scan": "allowed" },
            "countFew": { "kind": "countRows", "table": "few" },
            "buy": { "kind": "transaction", "access": "viewer", "steps": [
                step("order", order.clone()),
                step("item", take),
                step("line", json!({
                    "kind": "insertRow", "table": "lines",
                    "values": {
                        "order": row("order", "id"), "item": row("item", "id"), "price": row("item", "price"),
                        "code": row("item", "secret"), "note": row("item", "note"),
                    },
                })),
            ] },
            "basket": { "kind": "transaction", "steps": [
                step("order", order.clone()),
                step("lines", json!({
                    "kind": "insertRows", "table": "lines", "maxRows": 3, "fields": ["order", "quantity"],
                    "values": { "order": row("order", "id"), "item": arg("item"), "quantity": arg("quantity") },
                })),
                step("after", json!({ "kind": "patchRow", "table": "items", "id": arg("item"), "values": { "note": arg("note") }, "fields": ["note"] })),
            ] },
            "replace": { "kind": "transaction", "steps": [
                step("gone", json!({ "kind": "deleteRow", "table": "items", "id": arg("id") })),
                step("copy", json!({ "kind": "insertRow", "table": "items", "values": {
                    "name": row("gone", "name"), "price": row("gone", "price"), "note": row("gone", "note"), "stock": row("gone", "version"),
                } })),
            ] },
            "ensure": { "kind": "transaction", "steps": [
                step("item", json!({ "kind": "insertRow", "table": "items", "values": { "name": arg("name") }, "onConflict": "ignore", "fields": ["name"] })),
                step("order", order.clone()),
                step("line", json!({ "kind": "insertRow", "table": "lines", "values": { "order": row("order", "id"), "item": row("item", "id") } })),
            ] },
            "rename": { "kind": "transaction", "steps": [
                step("before", json!({ "kind": "getRow", "table": "items", "id": arg("id"), "fields": ["name"] })),
                step("item", json!({
                    "kind": "patchRow", "table": "items", "id": row("before", "id"), "version": arg("version"),
                    "values": { "note": row("before", "name"), "name": arg("name") },
                })),
                step("few", json!({ "kind": "insertRow", "table": "few", "values": { "n": row("item", "version") }, "fields": ["n"] })),
            ] },
            "swap": { "kind": "transaction", "steps": [
                step("first", json!({ "kind": "patchRow", "table": "items", "id": arg("first"), "values": { "stock": { "increment": 1 } }, "fields": ["stock"] })),
                step("second", json!({ "kind": "patchRow", "table": "items", "id": arg("second"), "values": { "stock": { "increment": 1 } }, "fields": ["stock"] })),
            ] },
            "clear": { "kind": "transaction", "steps": [
                step("lines", json!({ "kind": "deleteRows", "table": "lines", "filter": [], "scan": "allowed" })),
                step("items", json!({ "kind": "patchRows", "table": "items", "filter": [], "scan": "allowed", "values": { "stock": arg("stock") }, "fields": ["stock"] })),
            ] },
        }),
    )
}

async fn call_of(gateway: &TestGateway, user: &str, function: &str, arguments: Value) -> Answer {
    let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Editor, Some(user.to_owned())));
    answer(gateway.http.post(gateway.url(function)).bearer_auth(token).json(&arguments)).await
}

async fn item(gateway: &TestGateway, name: &str, stock: i64) -> Value {
    gateway.call("addItem", json!({ "name": name, "stock": stock, "price": "12.50" })).await.ok()["id"].clone()
}

/// Orders and lines.
async fn counts(gateway: &TestGateway) -> (Value, Value) {
    (gateway.call("countOrders", json!({})).await.ok(), gateway.call("countLines", json!({})).await.ok())
}

#[track_caller]
fn failed(answer: &Answer, status: u16, code: &str, detail: &str) {
    assert_eq!(answer.problem(), (status, code.to_owned()), "{}", answer.text);
    assert_eq!(answer.json()["detail"], detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_step_takes_from_an_earlier_ones_row() {
    let gateway = TestGateway::new(&shop()).await;
    let shirt = item(&gateway, "shirt", 2).await;
    for (stock, buyer) in [(1, "ann"), (0, "bob")] {
        let bought = call_of(&gateway, buyer, "buy", json!({ "item": shirt })).await.ok();
        assert_eq!(bought.as_object().unwrap().keys().collect::<Vec<_>>(), ["order", "item", "line"]);
        assert_eq!(bought["item"], json!({ "stock": stock }), "what later steps take is not answered for it");
        let line = &bought["line"];
        assert_eq!((&line["order"], &line["item"]), (&bought["order"]["id"], &shirt));
        assert_eq!((&line["price"], &line["note"]), (&json!("12.50"), &json!(null)));
        assert!(line.get("code").is_none());
    }
    assert_eq!(counts(&gateway).await, (json!(2), json!(2)));
    let replaced = gateway
        .call(
            "replace",
            json!({ "id": gateway.call("addItem", json!({ "name": "hat", "note": "red" })).await.ok()["id"] }),
        )
        .await
        .ok();
    let copy = &replaced["copy"];
    assert_eq!(
        (&copy["name"], &copy["price"], &copy["note"], &copy["stock"]),
        (&json!("hat"), &json!("0.10"), &json!("red"), &json!(1))
    );
    assert_eq!(replaced["gone"].as_object().unwrap().len(), 1);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_a_step_fails_nothing_happened_and_the_step_is_named() {
    let gateway = TestGateway::new(&shop()).await;
    let (shirt, sold) = (item(&gateway, "shirt", 5).await, item(&gateway, "sold", 0).await);
    let nowhere = json!(Uuid::now_v7());
    let buy = |item: &Value| gateway.call("buy", json!({ "item": item }));
    failed(&buy(&nowhere).await, 404, "row_not_found", "step `item`: no row has this `id`");
    let detail = "step `item`: the row does not meet the function's condition; nothing was written";
    failed(&buy(&sold).await, 409, "condition_failed", detail);
    let basket =
        |rows: Value, item: &Value| gateway.call("basket", json!({ "lines": rows, "item": item, "note": "x" }));
    let missing = basket(json!([{ "item": shirt }, { "item": nowhere }]), &shirt).await;
    failed(&missing, 409, "reference_missing", "step `lines`: `item` names a row that does not exist");
    assert_eq!(missing.json()["errors"][0]["pointer"], "/lines");
    let twice = basket(json!([{ "item": shirt }, { "item": shirt }]), &shirt).await;
    assert_eq!(twice.problem(), (409, "unique_conflict".to_owned()));
    assert_eq!(twice.json()["errors"][0]["pointer"], "/lines");
    // The last step fails, behind those that did not.
    failed(
        &basket(json!([{ "item": shirt }]), &nowhere).await,
        404,
        "row_not_found",
        "step `after`: no row has this `id`",
    );
    assert_eq!(counts(&gateway).await, (json!(0), json!(0)));
    let done = basket(json!([{ "item": shirt, "quantity": 2 }, { "item": sold }]), &shirt).await.ok();
    let order = &done["order"]["id"];
    assert_eq!(done["lines"], json!([{ "order": order, "quantity": 2 }, { "order": order, "quantity": 1 }]));
    assert_eq!(done["after"], json!({ "note": "x" }));

    let version =
        |version: i64, name: &str| gateway.call("rename", json!({ "id": shirt, "version": version, "name": name }));
    let detail = "step `item`: the row has changed: it has version 2, not 1";
    failed(&version(1, "cap").await, 412, "version_mismatch", detail);
    failed(
        &version(2, "sold").await,
        409,
        "unique_conflict",
        "step `item`: a row with this `name` exists already (unique rule `name`)",
    );
    let renamed = version(2, "cap").await.ok();
    assert_eq!(
        (&renamed["before"], &renamed["item"]["note"], &renamed["few"]),
        (&json!({ "name": "shirt" }), &json!("shirt"), &json!({ "n": 3 }))
    );
    version(3, "hat").await.ok();
    let full = version(4, "tie").await;
    assert_eq!(full.problem(), (507, "quota_rows_exceeded".to_owned()));
    assert!(
        full.json()["detail"].as_str().unwrap().starts_with("step `few`: table `few` has no room"),
        "{}",
        full.text
    );
    assert_eq!(gateway.call("getItem", json!({ "id": shirt })).await.ok()["name"], "hat");
    assert_eq!(gateway.call("countFew", json!({})).await.ok(), 2);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_the_arguments_of_all_steps_is_said_at_once() {
    let gateway = TestGateway::new(&shop()).await;
    let call = |arguments: Value| gateway.call("basket", arguments);
    let complaints = |answer: &Answer| -> Vec<(String, String)> {
        assert_eq!(answer.problem(), (422, "arguments_invalid".to_owned()));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let errors = answer.json()["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| (text(&error["pointer"]), text(&error["code"]))).collect()
    };
    let of = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(pointer, code)| ((*pointer).to_owned(), (*code).to_owned())).collect()
    };
    assert_eq!(
        complaints(&call(json!({})).await),
        of(&[("/lines", "missing_argument"), ("/item", "missing_argument")])
    );
    let wrong =
        call(json!({ "lines": [{ "item": "x", "quantity": 10 }, 3], "item": Uuid::now_v7(), "itm": 1, "rows": [] }))
            .await;
    assert_eq!(
        complaints(&wrong),
        of(&[
            ("/lines/0/item", "wrong_type"),
            ("/lines/0/quantity", "too_large"),
            ("/lines/1", "wrong_type"),
            ("/itm", "unknown_argument"),
            ("/rows", "unknown_argument"),
        ])
    );
    let many: Vec<Value> = (0..4).map(|_| json!({ "item": Uuid::now_v7() })).collect();
    assert_eq!(
        complaints(&call(json!({ "lines": many, "item": Uuid::now_v7() })).await),
        of(&[("/lines", "too_long")])
    );
    let nothing = call(json!({ "lines": [{ "item": Uuid::now_v7() }], "item": Uuid::now_v7() })).await;
    failed(&nothing, 422, "arguments_invalid", "step `after`: nothing to change; give at least one of `note`");
    let url = gateway.url("buy");
    let guarded = gateway.http.post(url).bearer_auth(gateway.token(Role::Owner)).header("if-match", "\"1\"");
    let guarded = answer(guarded.json(&json!({ "item": Uuid::now_v7() }))).await;
    assert_eq!(guarded.problem().1, "if_match_invalid");
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_buys_what_there_is_and_no_more() {
    let gateway = TestGateway::new(&shop()).await;
    let gateway = &gateway;
    let shirt = &item(gateway, "shirt", 10).await;
    let buy = |n: usize| async move { call_of(gateway, &format!("user {n}"), "buy", json!({ "item": shirt })).await };
    let bought = join_all((0..64).map(buy)).await;
    let (done, refused): (Vec<&Answer>, Vec<&Answer>) = bought.iter().partition(|answer| answer.status == 200);
    assert!(refused.iter().all(|answer| answer.problem() == (409, "condition_failed".to_owned())));
    assert_eq!((done.len(), refused.len()), (10, 54));
    let mut left: Vec<i64> = done.iter().map(|answer| answer.ok()["item"]["stock"].as_i64().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, (0..10).collect::<Vec<i64>>());
    assert_eq!(counts(gateway).await, (json!(10), json!(10)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_in_each_others_way_are_run_again() {
    let gateway = TestGateway::new(&shop()).await;
    let gateway = &gateway;
    let (a, b) = (&item(gateway, "a", 0).await, &item(gateway, "b", 0).await);
    let swap = |n: usize| {
        let (first, second) = if n.is_multiple_of(2) { (a, b) } else { (b, a) };
        gateway.call("swap", json!({ "first": first, "second": second }))
    };
    for round in 1..=4 {
        join_all((0..4).map(swap)).await.iter().for_each(|answer| drop(answer.ok()));
        for id in [a, b] {
            assert_eq!(gateway.call("getItem", json!({ "id": id })).await.ok()["stock"], round * 4);
        }
    }
    // A row that another one inserts at the same moment is found by all.
    let ensure = |_| gateway.call("ensure", json!({ "name": "new" }));
    let ensured: Vec<Value> = join_all((0..32).map(ensure)).await.iter().map(Answer::ok).collect();
    assert!(ensured.iter().all(|answer| answer["line"]["item"] == ensured[0]["line"]["item"]));
    assert_eq!(counts(gateway).await, (json!(32), json!(32)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_one_call_of_a_batch_and_happens_once_for_a_key() {
    let gateway = TestGateway::new(&shop()).await;
    let shirt = item(&gateway, "shirt", 9).await;
    let sold = item(&gateway, "sold", 0).await;
    let url = format!("http://{}/v1/extension-functions/{}", gateway.server.address, gateway.install.id);
    let batch = |body: Value| answer(gateway.http.post(&url).bearer_auth(gateway.token(Role::Owner)).json(&body));
    let call = |item: &Value| json!({ "function": "buy", "args": { "item": item } });
    let plain = batch(json!([call(&shirt), call(&sold), { "function": "countOrders" }])).await.ok();
    let statuses = |entries: &Value| -> Vec<Value> {
        entries.as_array().unwrap().iter().map(|entry| entry["status"].clone()).collect()
    };
    assert_eq!(statuses(&plain)[..2], [json!(200), json!(409)]);
    let atomic = batch(json!({ "atomic": true, "calls": [call(&shirt), call(&sold)] })).await.ok();
    let codes: Vec<&Value> = atomic.as_array().unwrap().iter().map(|entry| &entry["body"]["code"]).collect();
    assert_eq!(codes, ["batch_rolled_back", "condition_failed"]);
    assert!(atomic[1]["body"]["detail"].as_str().unwrap().starts_with("step `item`: "));
    let atomic = batch(json!({ "atomic": true, "calls": [call(&shirt), call(&shirt), { "function": "countOrders" }] }))
        .await
        .ok();
    assert_eq!((&statuses(&atomic)[..], &atomic[2]["body"]), (&[json!(200), json!(200), json!(200)][..], &json!(3)));
    assert_eq!(atomic[1]["body"]["item"]["stock"], 6);

    let once = |item: &Value| {
        let call = gateway.http.post(gateway.url("buy")).bearer_auth(gateway.token(Role::Owner));
        answer(call.header("idempotency-key", "\"k-1\"").json(&json!({ "item": item })))
    };
    let first = once(&shirt).await.ok();
    assert_eq!(once(&shirt).await.ok(), first);
    assert_eq!(once(&sold).await.problem().1, "idempotency_key_reused");
    assert_eq!(counts(&gateway).await, (json!(4), json!(4)));
    let cleared = gateway.call("clear", json!({ "stock": 1 })).await.ok();
    assert_eq!(
        (cleared["lines"].as_array().unwrap().len(), &cleared["items"]),
        (4, &json!([{ "stock": 1 }, { "stock": 1 }]))
    );
    assert_eq!(gateway.call("clear", json!({ "stock": 1 })).await.ok()["lines"], json!([]));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_quota_undoes_every_step() {
    let insert = |table: &str| json!({ "kind": "insertRow", "table": table, "values": { "text": { "arg": "text" } } });
    let columns = json!({ "text": { "type": "string" } });
    let mut definition = document(
        json!({ "free": { "columns": columns }, "full": { "columns": columns, "rows": 2 } }),
        json!({
            "both": { "kind": "transaction", "steps": [step("one", insert("free")), step("two", insert("full"))] },
            "countFree": { "kind": "countRows", "table": "free", "scan": "allowed" },
            "countFull": { "kind": "countRows", "table": "full" },
        }),
    );
    definition["extension"]["limits"] = json!({ "bytes": 4_000 });
    let gateway = TestGateway::new(&definition).await;
    let held = async || {
        let counted = ["countFree", "countFull"].map(|function| gateway.call(function, json!({})));
        join_all(counted).await.iter().map(Answer::ok).collect::<Vec<_>>()
    };
    let long = gateway.call("both", json!({ "text": "x".repeat(3_000) })).await;
    assert_eq!(long.problem(), (507, "quota_bytes_exceeded".to_owned()), "{}", long.text);
    assert_eq!(held().await, [json!(0), json!(0)]);
    for _ in 0..2 {
        gateway.call("both", json!({ "text": "x" })).await.ok();
    }
    let third = gateway.call("both", json!({ "text": "x" })).await;
    assert_eq!(third.problem(), (507, "quota_rows_exceeded".to_owned()), "{}", third.text);
    assert!(third.json()["detail"].as_str().unwrap().starts_with("step `two`: "), "{}", third.text);
    assert_eq!(held().await, [json!(2), json!(2)]);
    gateway.server.stop().await;
}
