//! Gateways behind a balancer are restarted one after the other, and no call fails.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::hostile::notes;
use crate::support::TestDatabase;
use crate::support::balancer::Balancer;
use crate::support::gateway::install;
use crate::support::load::{Caller, Kind, Load};
use crate::support::node::Node;
use crate::support::until::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_are_restarted_in_turn_and_no_call_fails() {
    let database = TestDatabase::new().await;
    let installed = install(&database, &notes()).await;
    let settings = [("ROWGATE_HTTP__DRAIN_DELAY_MS", "1500")];
    let mut nodes = [Node::start(&database.url(), &settings), Node::start(&database.url(), &settings)];
    let balancer = Balancer::start(&nodes.each_ref().map(|node| (node.address, node.admin_address))).await;
    until("both are ready", async || balancer.leads_to(0) && balancer.leads_to(1)).await;
    let load = Load::start(&Caller::new(balancer.address, &installed), 4);
    let mut mended = Instant::now();
    for round in 0..4 {
        let (number, other) = (round % 2, (round + 1) % 2);
        // Who was told to go elsewhere stays there.
        until("it has connections", async || balancer.connections(number) > 0).await;
        nodes[number].ask_to_end();
        let asked = Instant::now();
        until("it is led to no more", async || !balancer.leads_to(number)).await;
        assert_eq!(nodes[number].readiness().await, Some(503), "it still answers that it is not ready");
        // Told to close, its clients have gone before it does.
        until("its clients have left", async || balancer.connections(number) == 0).await;
        let left = asked.elapsed();
        until("it has ended", async || nodes[number].has_ended()).await;
        println!(
            "gateway {number}: its clients had left after {} ms, it ended after {} ms",
            left.as_millis(),
            asked.elapsed().as_millis()
        );
        assert!(asked.elapsed() >= Duration::from_millis(1_500), "it has not waited for the balancer");
        assert!(balancer.leads_to(other));
        nodes[number].restart();
        mended = Instant::now();
        until("it is led to again", async || balancer.leads_to(number)).await;
    }
    // Connections live long; who comes anew is led to the gateway that came back.
    let called = || nodes[0].metric("rowgate_call_duration_seconds_count");
    let before = called().await;
    until("it is called", async || {
        let fresh = Caller::new(balancer.address, &installed);
        assert_eq!(fresh.call(Kind::Read, "countNotes", &json!({}), None).await.what, "200");
        called().await > before
    })
    .await;
    let told = load.end().await;
    told.print("two gateways restarted twice each", mended);
    assert_eq!(told.ends().into_keys().collect::<Vec<_>>(), ["200"]);
    told.check_writes(&database.superuser().await).await;
}
