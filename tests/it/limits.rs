//! Rate limits over HTTP: how many pass, whom a spent quota stops, and what callers are told.

mod shared;
mod simulated;
mod tuned;

use std::time::Instant;

use rowgate::auth::token::Claims;
use rowgate::config::{LimitMode, Quota};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hostile::notes;
use crate::support::gateway::{Answer, TestGateway, answer};

async fn call(gateway: &TestGateway, user: &str, function: &str) -> Answer {
    let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Owner, Some(user.to_owned())));
    answer(gateway.http.post(gateway.url(function)).bearer_auth(token)).await
}

/// Calls until refused; how often it was served, at least and at most what a bucket of `quota` that
/// fills by `quota` a minute has given since `began`.
async fn spend(gateway: &TestGateway, user: &str, function: &str, quota: usize, began: Instant) -> Answer {
    for served in 0.. {
        let answer = call(gateway, user, function).await;
        if answer.status == 200 {
            continue;
        }
        let refilled = (began.elapsed().as_secs_f64() * quota as f64 / 60.0).floor() as usize;
        assert!((quota..=quota + refilled).contains(&served), "{user} was served {served} times, {quota} are granted");
        return answer;
    }
    unreachable!()
}

/// The problem of a refused call, and which quotas refused it.
#[track_caller]
fn violated(answer: &Answer) -> Value {
    assert_eq!(answer.problem(), (429, "quota_exceeded".to_owned()));
    let problem = answer.json();
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    let retry_after_s: u64 = answer.headers["retry-after"].parse().unwrap();
    assert!((1..=60).contains(&retry_after_s), "{retry_after_s}");
    problem["violated-policies"].clone()
}

fn enforced() -> impl FnOnce(&mut rowgate::config::Config) {
    |config| config.limits.mode = LimitMode::Enforce
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_table_grants_what_it_says() {
    let gateway = TestGateway::with(&notes(), enforced()).await;
    for (function, per_caller, policy) in [
        ("countNotes", 50, "\"caller\";q=50;w=60, \"install\";q=100;w=60, \"extension\";q=100000;w=60"),
        ("addNote", 25, "\"caller\";q=25;w=60, \"install\";q=50;w=60, \"extension\";q=50000;w=60"),
    ] {
        let began = Instant::now();
        let first = call(&gateway, "first", function).await;
        assert_eq!(first.headers["ratelimit-policy"], policy);
        let told = &first.headers["ratelimit"];
        assert!(told.starts_with(&format!("\"caller\";r={};t=", per_caller - 1)), "{told}");
        assert!(told.contains(&format!(", \"install\";r={};t=", 2 * per_caller - 1)), "{told}");
        assert!(!told.contains("extension"), "what is left of an extension's quota is told: {told}");

        let refused = spend(&gateway, "first", function, per_caller - 1, began).await;
        assert_eq!(violated(&refused), json!(["caller"]));
        assert!(refused.headers["ratelimit"].starts_with("\"caller\";r=0;t="), "{:?}", refused.headers);
        assert_eq!(refused.headers["ratelimit-policy"], policy);
        // One caller cannot eat what is there for the others, and two cannot eat more than is there.
        let refused = spend(&gateway, "second", function, per_caller, began).await;
        assert!(violated(&refused).as_array().unwrap().contains(&json!("caller")), "{}", refused.text);
    }
    // Reads and writes are counted apart, and a refusal is counted by class.
    let metrics = answer(gateway.http.get(format!("http://{}/metrics", gateway.server.admin_address))).await.text;
    for class in ["query_rows", "write_rows"] {
        let series =
            format!("rowgate_limit_decisions_total{{class=\"{class}\",decision=\"refused\",layer=\"caller\"}} ");
        assert!(metrics.contains(&series), "{metrics}");
    }
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_layer_refuses_by_its_own_name() {
    // One a minute: nothing comes back while the test runs.
    let quota = |burst| Quota { per_minute: 1, burst: Some(burst) };
    let gateway = TestGateway::with(&notes(), |config| {
        config.limits.mode = LimitMode::Enforce;
        config.limits.caller.query_rows = quota(3);
        config.limits.install.query_rows = quota(5);
        config.limits.extension.query_rows = quota(7);
    })
    .await;
    for _ in 0..3 {
        call(&gateway, "a", "countNotes").await.ok();
    }
    for _ in 0..3 {
        assert_eq!(violated(&call(&gateway, "a", "countNotes").await), json!(["caller"]));
    }
    // Refused calls have spent nothing of what others share.
    for _ in 0..2 {
        call(&gateway, "b", "countNotes").await.ok();
    }
    assert_eq!(violated(&call(&gateway, "b", "countNotes").await), json!(["install"]));
    assert_eq!(violated(&call(&gateway, "a", "countNotes").await), json!(["caller", "install"]));
    assert_eq!(violated(&call(&gateway, "c", "countNotes").await), json!(["install"]));
    call(&gateway, "a", "addNote").await.ok();

    let neighbour = Uuid::now_v7();
    let install = rowgate::record::Install { id: neighbour, ..gateway.install.clone() };
    rowgate::record::insert_install(&gateway.database.client().await, &install).await.unwrap();
    gateway.server.reload().await.unwrap();
    let beside = async || {
        let token = gateway.token_of(&Claims::new(neighbour, Role::Owner, Some("a".to_owned())));
        let url = format!("http://{}/v1/extension-functions/{neighbour}/countNotes", gateway.server.address);
        answer(gateway.http.post(url).bearer_auth(token)).await
    };
    for _ in 0..2 {
        beside().await.ok();
    }
    let refused = beside().await;
    assert_eq!(violated(&refused), json!(["extension"]));
    assert!(refused.headers["ratelimit"].contains("\"extension\";r=0"), "{:?}", refused.headers);

    // Who may not call, or calls nothing there is, is not counted.
    let before = gateway.server.gateway.limiter.buckets();
    for number in 0..20 {
        let user = Some(format!("stranger-{number}"));
        let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Anonymous, user));
        for (function, status) in [("countNotes", 403), ("nothing", 404)] {
            let request = gateway.http.post(gateway.url(function)).bearer_auth(&token);
            assert_eq!(answer(request).await.problem().0, status);
        }
    }
    assert_eq!(gateway.server.gateway.limiter.buckets(), before);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_at_once_is_counted_exactly() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.limits.mode = LimitMode::Enforce;
        config.limits.caller.write_rows = Quota { per_minute: 1, burst: Some(10) };
    })
    .await;
    let calls = (0..60).map(|_| call(&gateway, "one", "addNote"));
    let answers = futures_util::future::join_all(calls).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 10);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 50);
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 10, "a refused call has written");
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_refused_in_shadow_or_when_off() {
    for mode in [LimitMode::Shadow, LimitMode::Off] {
        let gateway = TestGateway::with(&notes(), |config| {
            config.limits.mode = mode;
            config.limits.caller.query_rows = Quota { per_minute: 1, burst: Some(1) };
        })
        .await;
        for _ in 0..5 {
            let answer = call(&gateway, "one", "countNotes").await;
            answer.ok();
            assert_eq!((answer.headers.get("ratelimit"), answer.headers.get("ratelimit-policy")), (None, None));
        }
        let metrics = answer(gateway.http.get(format!("http://{}/metrics", gateway.server.admin_address))).await.text;
        let counted =
            "rowgate_limit_decisions_total{class=\"query_rows\",decision=\"would_refuse\",layer=\"caller\"} 4";
        assert_eq!(metrics.contains(counted), mode == LimitMode::Shadow, "{metrics}");
        gateway.server.stop().await;
    }
}
