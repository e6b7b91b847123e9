//! A gateway process that is killed under load, and started again.

use std::time::Instant;

use crate::hostile::notes;
use crate::support::TestDatabase;
use crate::support::gateway::install;
use crate::support::load::{Caller, Load};
use crate::support::node::Node;
use crate::support::until::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_killed_under_load_and_started_again() {
    let database = TestDatabase::new().await;
    let installed = install(&database, &notes()).await;
    let mut node = Node::start(&database.url(), &[]);
    let load = Load::start(&Caller::new(node.address, &installed), 4);
    let mut mended = Instant::now();
    for _ in 0..3 {
        let served = || node.metric("rowgate_call_duration_seconds_count");
        until("callers are served", async || served().await >= 100.0).await;
        node.kill();
        node.restart();
        mended = Instant::now();
    }
    let served = || node.metric("rowgate_call_duration_seconds_count");
    until("callers are served", async || served().await >= 200.0).await;
    let told = load.end().await;
    told.print("a gateway killed three times", mended);
    assert!(told.count("no answer") > 0, "nobody has noticed");
    for what in told.ends().keys() {
        assert!(["200", "no answer", "idempotency_key_in_use"].contains(what), "a call ended by {what}");
    }
    told.check_writes(&database.superuser().await).await;
    // Its sessions and its script workers went with each.
    let sessions = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'rowgate'";
    let client = database.superuser().await;
    until("the sessions of those that were killed are gone", async || {
        client.query_one(sessions, &[]).await.unwrap().get::<_, i64>(0) <= 20
    })
    .await;
}
