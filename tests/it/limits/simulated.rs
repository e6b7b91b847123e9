//! Recorded calls held to other limits.

use rowgate::auth::key;
use rowgate::config::{LimitMode, Quota};
use rowgate::record::{self, AdminKey};
use rowgate::server::Server;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hostile::notes;
use crate::limits::call;
use crate::support::gateway::{TestGateway, answer, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_really_happened_is_told_beside_what_would_have() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.limits.mode = LimitMode::Enforce;
        config.limits.caller.query_rows = Quota { per_minute: 1, burst: Some(8) };
    })
    .await;
    for calls in [("a", 10), ("b", 5), ("c", 2)] {
        for _ in 0..calls.1 {
            call(&gateway, calls.0, "countNotes").await;
        }
    }
    let TestGateway { database, server, http, install, .. } = gateway;
    // What was asked is written at the latest when a gateway stops.
    server.stop().await;
    let (key, hash) = key::mint_admin_key().unwrap();
    let record = AdminKey { id: Uuid::now_v7(), hash, name: "alice".to_owned(), expires_at: None };
    record::insert_admin_key(&database.client().await, &record).await.unwrap();
    let server = Server::start(config(&database)).await.unwrap();
    let simulated = async |body: Value| {
        let url = format!("http://{}/admin/v1/limits/simulate", server.admin_address);
        answer(http.post(url).bearer_auth(&key).json(&body)).await
    };
    let policy = json!({ "mode": "enforce", "caller": { "query_rows": { "per_minute": 1, "burst": 4 } } });
    let told = simulated(json!({ "limits": policy, "fit": 100 })).await.ok();
    let report = &told["report"];
    let numbers = ["calls", "callers", "refused_then", "refused", "callers_refused"].map(|name| report[name].as_u64());
    assert_eq!(numbers, [Some(17), Some(3), Some(2), Some(7), Some(2)], "{told}");
    let most = &report["most_refused"][0];
    assert_eq!((&most["refused"], &most["refused_then"]), (&json!(6), &json!(2)), "{told}");
    assert_eq!((&most["by"], &most["install_id"]), (&json!({ "caller": 6 }), &json!(install.id)));
    assert_eq!(told["fit"]["report"]["refused"], 0, "{told}");
    assert_eq!(told["fit"]["limits"]["caller"]["query_rows"]["per_minute"], 10);
    for body in
        [json!({ "fit": 101 }), json!({ "limits": { "nodes": 0 } }), json!({ "overrides": [{ "layer": "caller" }] })]
    {
        assert_eq!(simulated(body).await.problem(), (422, "arguments_invalid".to_owned()));
    }
    server.stop().await;
}
