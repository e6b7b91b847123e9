//! How many bytes a scope may hold: counted to the byte, given back by whatever takes room away, and
//! overshot by no more than what is written at the same moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate::deploy::apply::{Applied, Patience, Terms, apply};
use rowgate::record;
use rowgate::registry::recall;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, deploy, document, terms};
use crate::understand::understand;

fn board(bytes_max: Option<u64>) -> Value {
    let values = json!({ "text": { "arg": "text" }, "topic": { "arg": "topic" }, "code": { "arg": "code" } });
    let mut document = document(
        json!({
            "topics": { "columns": { "name": { "type": "string" } } },
            "notes": { "columns": {
                "text": { "type": "string" },
                "topic": { "type": "id", "table": "topics", "onDelete": "cascade", "optional": true },
                "code": { "type": "string", "unique": true, "optional": true },
                "n": { "type": "integer", "default": 0 },
                "more": { "type": "json", "optional": true },
                "tags": { "type": "array", "items": { "type": "string" }, "optional": true },
            } },
            "shared": { "columns": { "text": { "type": "string" } }, "storage": "account" },
        }),
        json!({
            "addTopic": { "kind": "insertRow", "table": "topics", "values": { "name": { "arg": "name" } } },
            "dropTopic": { "kind": "deleteRow", "table": "topics", "id": { "arg": "id" } },
            "add": { "kind": "insertRow", "table": "notes", "values": values },
            "addOnce": { "kind": "insertRow", "table": "notes", "onConflict": "ignore", "values": values },
            "set": { "kind": "upsertRow", "table": "notes", "unique": "code", "values": values },
            "addMany": { "kind": "insertRows", "table": "notes", "values": { "text": { "arg": "text" } } },
            "edit": { "kind": "patchRow", "table": "notes", "id": { "arg": "id" }, "values": { "text": { "arg": "text" }, "more": { "arg": "more" }, "tags": { "arg": "tags" } } },
            "up": { "kind": "patchRow", "table": "notes", "id": { "arg": "id" }, "values": { "n": { "increment": 1 } } },
            "drop": { "kind": "deleteRow", "table": "notes", "id": { "arg": "id" } },
            "notes": { "kind": "queryRows", "table": "notes" },
            "share": { "kind": "insertRow", "table": "shared", "values": { "text": { "arg": "text" } } },
        }),
    );
    if let Some(bytes) = bytes_max {
        document["extension"]["limits"] = json!({ "bytes": bytes });
    }
    document
}

/// What is counted for each scope, and what its rows are when they are counted anew.
async fn counted(gateway: &TestGateway) -> Vec<(Uuid, String, i64)> {
    let snapshot = gateway.server.gateway.snapshot();
    let model = &snapshot.extensions[&gateway.extension_id].model;
    let schema = &model.postgres_schema;
    let client = gateway.database.superuser().await;
    let read = async |sql: String| {
        let rows = client.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect::<Vec<(Uuid, String, i64)>>()
    };
    let counted = read(format!(
        "SELECT scope_key, storage, sum(bytes)::int8 FROM {schema}._bytes GROUP BY 1, 2 HAVING sum(bytes) <> 0 ORDER BY 1, 2"
    ));
    let tables: Vec<String> = model
        .tables
        .iter()
        .map(|table| {
            let (name, storage) = (&table.name, table.scope.as_str());
            format!("SELECT _row.scope_key, '{storage}' AS storage, octet_length(record_send(_row)) AS bytes FROM {schema}.{name} _row")
        })
        .collect();
    let anew = read(format!(
        "SELECT scope_key, storage, sum(bytes)::int8 FROM ({}) r GROUP BY 1, 2 ORDER BY 1, 2",
        tables.join(" UNION ALL ")
    ));
    let (counted, anew) = (counted.await, anew.await);
    assert_eq!(counted, anew);
    counted
}

/// What the install of `gateway` holds.
async fn held(gateway: &TestGateway) -> i64 {
    let of_install = |(scope, _, _): &&(Uuid, String, i64)| *scope == gateway.install.id;
    counted(gateway).await.iter().find(of_install).map_or(0, |(_, _, bytes)| *bytes)
}

async fn add(gateway: &TestGateway, text: &str) -> Answer {
    gateway.call("add", json!({ "text": text })).await
}

#[track_caller]
fn is_spent(answer: &Answer) {
    assert_eq!(answer.problem(), (507, "quota_bytes_exceeded".to_owned()), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_fills_a_scope_and_goes_hardly_beyond() {
    const MAX: i64 = 200_000;
    let gateway = &TestGateway::new(&board(Some(MAX as u64))).await;
    add(gateway, &"x".repeat(1_000)).await.ok();
    let row = held(gateway).await;
    assert!((1_000..1_300).contains(&row), "{row}");
    let answers = join_all((0..64).map(|_| async {
        let text = "x".repeat(1_000);
        let mut answers = Vec::new();
        for _ in 0..5 {
            answers.push(add(gateway, &text).await);
        }
        answers
    }))
    .await;
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    answers.iter().filter(|answer| answer.status != 200).for_each(is_spent);
    let taken = 1 + answers.iter().filter(|answer| answer.status == 200).count() as i64;
    let held = held(gateway).await;
    assert_eq!(held, taken * row);
    // Of sixteen stripes, fifteen may be written while one is added up.
    assert!(held > MAX - row && held <= MAX + 15 * row, "{held} of {MAX}, rows of {row}");
    is_spent(&add(gateway, "x").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_scope_still_does() {
    let gateway = &TestGateway::new(&board(Some(10_000))).await;
    let topic = gateway.call("addTopic", json!({ "name": "kindness" })).await.ok()["id"].clone();
    let first = gateway.call("add", json!({ "text": "x".repeat(6_000), "topic": topic, "code": "a" })).await.ok();
    let refused = add(gateway, &"x".repeat(6_000)).await;
    is_spent(&refused);
    let detail = "there is no room for more: the install has a quota of 10000 bytes; delete something first";
    assert_eq!(refused.json()["detail"], detail);
    is_spent(
        &gateway
            .call("addMany", json!({ "rows": [{ "text": "x".repeat(2_000) }, { "text": "x".repeat(2_000) }] }))
            .await,
    );
    let before = held(gateway).await;
    // What takes no more room goes on, and what gives some.
    for round in 1..4 {
        assert_eq!(gateway.call("up", json!({ "id": first["id"] })).await.ok()["n"], json!(round));
        gateway.call("addOnce", json!({ "text": "x".repeat(9_000), "code": "a" })).await.ok();
        assert_eq!(gateway.call("notes", json!({})).await.ok().as_array().unwrap().len(), 1);
    }
    assert_eq!(held(gateway).await, before);
    is_spent(&gateway.call("edit", json!({ "id": first["id"], "text": "x".repeat(11_000) })).await);
    is_spent(&gateway.call("set", json!({ "text": "x".repeat(11_000), "code": "a" })).await);
    gateway.call("edit", json!({ "id": first["id"], "text": "x".repeat(8_000) })).await.ok();
    is_spent(&add(gateway, &"x".repeat(4_000)).await);
    gateway.call("set", json!({ "text": "x", "code": "a" })).await.ok();
    assert_eq!(held(gateway).await, before - 5_999);
    let second = add(gateway, &"x".repeat(7_000)).await.ok();
    is_spent(&add(gateway, &"x".repeat(4_000)).await);
    gateway.call("drop", json!({ "id": second["id"] })).await.ok();
    // A cascade gives the room of what it takes along.
    gateway.call("dropTopic", json!({ "id": topic })).await.ok();
    assert_eq!(counted(gateway).await, []);
    add(gateway, &"x".repeat(9_000)).await.ok();
}

/// Values that Postgres compresses and puts elsewhere give back what they took.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_elsewhere_counts_as_it_was_sent() {
    let gateway = &TestGateway::new(&board(Some(4_000_000))).await;
    let note = add(gateway, &"x".repeat(500_000)).await.ok();
    let more = json!({ "list": vec!["y".repeat(50); 2_000] });
    let edit = json!({ "id": note["id"], "text": note["text"], "more": more, "tags": ["z".repeat(60_000)] });
    gateway.call("edit", edit).await.ok();
    let bytes = held(gateway).await;
    assert!((660_000..700_000).contains(&bytes), "{bytes}");
    gateway.call("up", json!({ "id": note["id"] })).await.ok();
    assert_eq!(held(gateway).await, bytes);
    gateway.call("drop", json!({ "id": note["id"] })).await.ok();
    assert_eq!(counted(gateway).await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scope_has_its_own() {
    let gateway = &TestGateway::new(&board(Some(2_000))).await;
    let other = record::Install { id: Uuid::now_v7(), ..gateway.install.clone() };
    record::insert_install(&gateway.database.client().await, &other).await.unwrap();
    gateway.server.reload().await.unwrap();
    let token = gateway.token_of(&Claims::new(other.id, Role::Owner, None));
    let theirs = async |function: &str, text: &str| {
        let url = gateway.url(function).replace(&gateway.install.id.to_string(), &other.id.to_string());
        answer(gateway.http.post(url).bearer_auth(&token).json(&json!({ "text": text }))).await
    };
    let text = "x".repeat(1_500);
    add(gateway, &text).await.ok();
    is_spent(&add(gateway, &text).await);
    theirs("add", &text).await.ok();
    is_spent(&theirs("add", &text).await);
    // What an account's installs share is the account's.
    gateway.call("share", json!({ "text": text })).await.ok();
    let refused = theirs("share", &text).await;
    is_spent(&refused);
    assert!(refused.json()["detail"].as_str().unwrap().contains("the account has a quota of 2000 bytes"));
    let scopes: Vec<(Uuid, String)> =
        counted(gateway).await.into_iter().map(|(scope, kind, _)| (scope, kind)).collect();
    let mut expected = vec![
        (gateway.install.id, "instance".to_owned()),
        (other.id, "instance".to_owned()),
        (gateway.install.account_id, "account".to_owned()),
    ];
    expected.sort();
    assert_eq!(scopes, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_comes_changes_and_goes() {
    let gateway = &TestGateway::new(&board(None)).await;
    let text = "x".repeat(1_000);
    for _ in 0..5 {
        add(gateway, &text).await.ok();
    }
    let becomes = async |document: &Value| {
        deploy(&gateway.database, document).await.unwrap();
        gateway.server.reload().await.unwrap();
    };
    // The rows that are there count from the first moment.
    becomes(&board(Some(7_500))).await;
    add(gateway, &text).await.ok();
    is_spent(&add(gateway, &text).await);
    becomes(&board(Some(8_500))).await;
    add(gateway, &text).await.ok();
    is_spent(&add(gateway, &text).await);
    // Rows beyond a lower quota stay.
    becomes(&board(Some(1_000))).await;
    is_spent(&add(gateway, "x").await);
    assert_eq!(gateway.call("notes", json!({})).await.ok().as_array().unwrap().len(), 7);
    // A column that comes makes every row longer, on connections that knew the table without it.
    let mut wider = board(Some(20_000));
    wider["tables"]["notes"]["columns"]["extra"] = json!({ "type": "string", "default": "e".repeat(200) });
    wider["tables"]["notes"]["columns"]["nothing"] = json!({ "type": "integer", "optional": true });
    wider["tables"]["notes"]["owned"] = json!(true);
    let before = held(gateway).await;
    becomes(&wider).await;
    assert_eq!(held(gateway).await, before + 7 * (8 + 200 + 8 + 8));
    let id = gateway.call("notes", json!({})).await.ok()[0]["id"].clone();
    gateway.call("drop", json!({ "id": id })).await.ok();
    add(gateway, &text).await.ok();
    counted(gateway).await;
    let without = |mut document: Value| {
        document["extension"].as_object_mut().unwrap().remove("limits");
        document
    };
    becomes(&without(wider.clone())).await;
    for _ in 0..20 {
        add(gateway, &text).await.ok();
    }
    becomes(&wider).await;
    is_spent(&add(gateway, "x").await);
    counted(gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_batch_and_a_replay_take_no_room() {
    let gateway = &TestGateway::new(&board(Some(5_000))).await;
    let batch = async |calls: Value, key: &str| {
        let request = gateway.http.post(gateway.url("").trim_end_matches('/')).bearer_auth(gateway.token(Role::Owner));
        let request = request.json(&json!({ "atomic": true, "calls": calls })).header("idempotency-key", key);
        answer(request).await
    };
    let add_of = |length: usize| json!({ "function": "add", "args": { "text": "x".repeat(length) } });
    let entries = batch(json!([add_of(2_000), add_of(2_000), add_of(2_000)]), "k1").await.ok();
    assert_eq!((&entries[2]["status"], &entries[2]["body"]["code"]), (&json!(507), &json!("quota_bytes_exceeded")));
    assert_eq!(entries[0]["body"]["code"], "batch_rolled_back");
    assert_eq!(counted(gateway).await, []);
    for _ in 0..3 {
        let entries = batch(json!([add_of(2_000), add_of(2_000)]), "k2").await.ok();
        assert_eq!(entries[1]["status"], 200);
    }
    let full = held(gateway).await;
    assert!((4_000..5_000).contains(&full));
    // In one transaction, what is deleted first makes room.
    let id = gateway.call("notes", json!({})).await.ok()[0]["id"].clone();
    let entries = batch(json!([{ "function": "drop", "args": { "id": id } }, add_of(2_000)]), "k3").await.ok();
    assert_eq!(entries[1]["status"], 200);
    assert_eq!(held(gateway).await, full);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_maximum_holds_where_it_is_lower() {
    let gateway = &TestGateway::new(&board(None)).await;
    let deploy_within = async |bytes: Option<u64>, scope_bytes_max: Option<u64>| -> Applied {
        let (definition, model) = understand(&board(bytes));
        let terms = Terms { scope_bytes_max, ..terms(Patience::default()) };
        let mut client = gateway.database.gateway_client().await;
        let applied = apply(&mut client, &definition, &model, recall, &terms).await.unwrap();
        gateway.server.reload().await.unwrap();
        applied
    };
    let in_force = || {
        let snapshot = gateway.server.gateway.snapshot();
        snapshot.extensions[&gateway.extension_id].model.extension.limits.bytes
    };
    let text = "x".repeat(1_000);
    for (declared, max, bytes) in
        [(None, Some(3_000), 3_000), (Some(2_000), Some(3_000), 2_000), (Some(9_000), Some(4_000), 4_000)]
    {
        assert!(deploy_within(declared, max).await.changed);
        assert!(!deploy_within(declared, max).await.changed);
        assert_eq!(in_force(), Some(bytes));
        loop {
            let answer = add(gateway, &text).await;
            if answer.status != 200 {
                is_spent(&answer);
                break;
            }
        }
        assert!(held(gateway).await <= bytes.cast_signed().max(3_000), "what was there before a lower quota stays");
    }
    assert!(deploy_within(None, None).await.changed);
    assert_eq!(in_force(), None);
    add(gateway, &text).await.ok();
}
