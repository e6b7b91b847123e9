//! Callers of every kind while tables change again and again under two gateways, of which one hears of
//! half the changes and none hears of the rest: not one call fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};

use crate::served::{RENAME, RENAME_BACK, calls, renewed, second_gateway, swap, versions};
use crate::support::gateway::{TestGateway, answer};

const SWAPS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(240);

/// One caller: goes on until told to stop, and keeps what failed.
struct Caller {
    answered: AtomicUsize,
    failed: std::sync::Mutex<Vec<String>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_tables_change_again_and_again() {
    let (first, second) = versions();
    let test = TestGateway::with(&first, |config| {
        config.http.workers = 1;
        config.database.transaction_connections_max = 8;
    })
    .await;
    let deaf = second_gateway(&test).await;
    let thing = test.call("add", json!({ "name": "first" })).await.ok()["id"].clone();
    let callers = calls(&thing, 0).len();
    let state: Vec<Arc<Caller>> = (0..callers + 2)
        .map(|_| Arc::new(Caller { answered: AtomicUsize::new(0), failed: std::sync::Mutex::default() }))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let addresses = [test.server.address, deaf.address];
    let mut running = Vec::new();
    for (place, caller) in state.iter().enumerate() {
        let (caller, stop, http, token) = (caller.clone(), stop.clone(), test.http.clone(), test.token(Role::Owner));
        let (thing, install) = (thing.clone(), test.install.id);
        running.push(tokio::spawn(async move {
            let mut turn = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                turn += 1;
                let base = format!("http://{}/v1/extension-functions/{install}", addresses[turn % 2]);
                // No two callers write the same name.
                let number = place * 1_000_000 + turn;
                let all = calls(&thing, number);
                let (url, body) = match all.get(place) {
                    Some((function, arguments)) => (format!("{base}/{function}"), arguments.clone()),
                    None => {
                        let entries = all.iter().filter(|(name, _)| ["add", "get", "both", "count"].contains(name));
                        let entries: Vec<Value> =
                            entries.map(|(name, arguments)| json!({ "function": name, "args": arguments })).collect();
                        (
                            base,
                            if place == callers { json!(entries) } else { json!({ "atomic": true, "calls": entries }) },
                        )
                    }
                };
                let answered = answer(http.post(url).bearer_auth(&token).json(&body)).await;
                let whole = answered.status == 200
                    && (place < callers
                        || answered.json().as_array().unwrap().iter().all(|entry| entry["status"] == 200));
                if !whole {
                    caller.failed.lock().unwrap().push(format!("{body}: {}", answered.text));
                }
                caller.answered.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut client = test.database.superuser().await;
    let began = Instant::now();
    for turn in 0..SWAPS {
        let (statements, document) = if turn % 2 == 0 { (RENAME, &second) } else { (RENAME_BACK, &first) };
        swap(&mut client, statements, document, turn % 4 < 2).await;
        // Each caller is answered under it before the next.
        let seen: Vec<usize> = state.iter().map(|caller| caller.answered.load(Ordering::Relaxed)).collect();
        while state.iter().zip(&seen).any(|(caller, seen)| caller.answered.load(Ordering::Relaxed) < seen + 2) {
            assert!(began.elapsed() < PATIENCE, "callers are stuck at change {turn}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for done in join_all(running).await {
        done.unwrap();
    }
    let failed: Vec<String> =
        state.iter().flat_map(|caller| std::mem::take(&mut *caller.failed.lock().unwrap())).collect();
    let answered: usize = state.iter().map(|caller| caller.answered.load(Ordering::Relaxed)).sum();
    assert!(
        failed.is_empty(),
        "{} of {answered} failed: {:#?}",
        failed.len(),
        failed.iter().take(5).collect::<Vec<_>>()
    );
    let again = renewed(&test.server) + renewed(&deaf);
    assert!(again > SWAPS as u64 / 2, "only {again} of {answered} calls met newer tables");
    deaf.stop().await;
}
