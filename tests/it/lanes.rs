//! What takes its time holds up nobody else: slow statements ride other lanes than quick ones, and a lane
//! that stands still is gone round.

use std::sync::Arc;
use std::time::Duration;

use rowgate::config::Config;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::gateway::{Answer, TestGateway, document};

fn tables() -> Value {
    let column = json!({ "columns": { "name": { "type": "string" }, "n": { "type": "integer", "default": 0 } } });
    let add = |table: &str| json!({ "kind": "insertRow", "table": table, "access": "editor", "values": { "name": { "arg": "name" } } });
    let get = |table: &str| json!({ "kind": "getRow", "table": table, "id": { "arg": "id" } });
    document(
        json!({ "slow": column, "quick": column }),
        json!({
            "addSlow": add("slow"), "addQuick": add("quick"), "getSlow": get("slow"), "getQuick": get("quick"),
            "countSlow": { "kind": "countRows", "table": "slow", "scan": "allowed" },
            "bumpSlow": { "kind": "patchRow", "table": "slow", "id": { "arg": "id" }, "access": "editor",
                          "values": { "n": { "increment": 1 } } },
        }),
    )
}

/// One worker, so that all calls meet on its lanes.
async fn gateway(settings: impl FnOnce(&mut Config)) -> Arc<TestGateway> {
    Arc::new(
        TestGateway::with(&tables(), |config| {
            config.http.workers = 1;
            config.database.write_lanes = 8;
            config.database.statement_timeout_ms = 20_000;
            config.http.call_timeout_ms = 20_000;
            settings(config);
        })
        .await,
    )
}

fn spawn(gateway: &Arc<TestGateway>, function: &'static str, arguments: Value) -> JoinHandle<Answer> {
    let gateway = gateway.clone();
    tokio::spawn(async move { gateway.call(function, arguments).await })
}

async fn table(client: &Client) -> String {
    let find = "SELECT quote_ident(schemaname) || '.slow' FROM pg_tables WHERE tablename = 'slow'";
    client.query_one(find, &[]).await.unwrap().get(0)
}

/// Waits until so many sessions of the gateway wait for a lock.
async fn until_waiting(client: &Client, count: i64) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'rowgate' AND wait_event_type = 'Lock'";
    while client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn added(gateway: &TestGateway, function: &str) -> Value {
    gateway.call(function, json!({ "name": "one" })).await.ok()["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_read_a_whole_scope_never_stands_before_what_is_quick() {
    let gateway = gateway(|_| {}).await;
    let id = added(&gateway, "addQuick").await;
    let (mut holder, watcher) = (gateway.database.client().await, gateway.database.client().await);
    let table = table(&watcher).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    // More than there are lanes for them.
    let slow: Vec<_> = (0..8).map(|_| spawn(&gateway, "countSlow", json!({}))).collect();
    until_waiting(&watcher, 2).await;
    for _ in 0..50 {
        gateway.call("getQuick", json!({ "id": id })).await.ok();
    }
    assert!(slow.iter().all(|call| !call.is_finished()), "the lock is held");
    held.rollback().await.unwrap();
    for call in slow {
        assert_eq!(call.await.unwrap().ok(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_stands_still_is_gone_round_by_reads() {
    let gateway = gateway(|_| {}).await;
    let (id, slow_id) = (added(&gateway, "addQuick").await, added(&gateway, "addSlow").await);
    let (mut holder, watcher) = (gateway.database.client().await, gateway.database.client().await);
    let table = table(&watcher).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    // It promised to be quick.
    let stuck = spawn(&gateway, "getSlow", json!({ "id": slow_id }));
    until_waiting(&watcher, 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..50 {
        gateway.call("getQuick", json!({ "id": id })).await.ok();
    }
    assert!(!stuck.is_finished(), "the lock is held");
    held.rollback().await.unwrap();
    stuck.await.unwrap().ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_stands_still_is_gone_round_by_writes() {
    let gateway = gateway(|_| {}).await;
    let ids: Vec<Value> = [added(&gateway, "addSlow").await, added(&gateway, "addSlow").await].into();
    let (mut holder, watcher) = (gateway.database.client().await, gateway.database.client().await);
    let table = table(&watcher).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("SELECT FROM {table} FOR UPDATE")).await.unwrap();
    // One on each lane for what is quick.
    let mut stuck = Vec::new();
    for (place, id) in ids.iter().enumerate() {
        stuck.push(spawn(&gateway, "bumpSlow", json!({ "id": id })));
        until_waiting(&watcher, i64::try_from(place).unwrap() + 1).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..50 {
        gateway.call("addQuick", json!({ "name": "beside" })).await.ok();
    }
    assert!(stuck.iter().all(|call| !call.is_finished()), "the rows are held");
    held.rollback().await.unwrap();
    for call in stuck {
        assert_eq!(call.await.unwrap().ok()["n"], 1);
    }
}

/// Where there is one lane, all ride it.
#[tokio::test]
async fn one_lane_carries_everything() {
    let gateway = gateway(|config| (config.database.read_lanes, config.database.write_lanes) = (1, 1)).await;
    let id = added(&gateway, "addQuick").await;
    assert_eq!(gateway.call("countSlow", json!({})).await.ok(), 0);
    assert_eq!(gateway.call("getQuick", json!({ "id": id })).await.ok()["name"], "one");
}
