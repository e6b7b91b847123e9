//! Limits that operators change while the gateway runs: overrides, plans, modes, and their trail.

use std::time::{Duration, Instant};

use rowgate::auth::token::Claims;
use rowgate::config::{Config, LimitMode, Quota};
use rowgate::server::Server;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};

use crate::lifecycle::Operated;
use crate::limits::{call, violated};
use crate::support::gateway::{Answer, SECRET, TestGateway, answer, config, document};

/// One a minute: nothing comes back while a test runs.
fn quota(burst: u32) -> Quota {
    Quota { per_minute: 1, burst: Some(burst) }
}

fn narrow(config: &mut Config) {
    config.limits.mode = LimitMode::Enforce;
    config.limits.caller.query_rows = quota(3);
}

fn notes() -> Value {
    let table = json!({ "notes": { "columns": { "text": { "type": "string" } } } });
    let count = json!({ "kind": "countRows", "table": "notes", "scan": "allowed" });
    let rare = json!({ "kind": "countRows", "table": "notes", "scan": "allowed", "rateLimit": { "perMinute": 1, "burst": 2 } });
    document(table, json!({ "countNotes": count, "rareNotes": rare }))
}

async fn operated() -> Operated {
    Operated::of(TestGateway::with(&notes(), narrow).await).await
}

/// How many of `calls` calls of a user were served.
async fn served(operated: &Operated, user: &str, function: &str, calls: usize) -> usize {
    let mut served = 0;
    for _ in 0..calls {
        served += usize::from(call(&operated.gateway, user, function).await.status == 200);
    }
    served
}

async fn set(operated: &Operated, one: Value) {
    operated.ask("PUT", "limits", Some(one)).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_override_is_in_force_on_every_gateway_and_forgets_nothing() {
    let operated = operated().await;
    let gateway = &operated.gateway;
    let mut beside = config(&gateway.database);
    narrow(&mut beside);
    let beside = Server::start(beside).await.unwrap();
    let there = async |user: &str| -> Answer {
        let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Owner, Some(user.to_owned())));
        let url = format!("http://{}/v1/extension-functions/{}/countNotes", beside.address, gateway.install.id);
        answer(gateway.http.post(url).bearer_auth(token)).await
    };
    assert_eq!(served(&operated, "a", "countNotes", 5).await, 3);
    there("a").await.ok();

    let id = operated.install_id();
    set(&operated, json!({ "layer": "caller", "install_id": id, "per_minute": 1, "burst": 6 })).await;
    assert_eq!(served(&operated, "a", "countNotes", 5).await, 3, "what was spent stays spent");
    // The other gateway is told, and nobody restarts it.
    let began = Instant::now();
    loop {
        let answer = there("b").await;
        if answer.headers["ratelimit-policy"].starts_with("\"caller\";q=6;") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{answer:?}");
    }
    let more = [there("a").await.status, there("a").await.status, there("a").await.status];
    assert_eq!(more, [200; 3], "one of six was spent there");

    let answer = operated.ask("DELETE", &format!("limits?layer=caller&install_id={id}"), None).await;
    assert_eq!(answer.ok()["layer"], "caller");
    // More than three are spent.
    let refused = call(gateway, "a", "countNotes").await;
    assert_eq!((refused.status, &refused.json()["violated-policies"]), (429, &json!(["caller"])));
    assert_eq!(served(&operated, "c", "countNotes", 5).await, 3);
    let again = operated.ask("DELETE", &format!("limits?layer=caller&install_id={id}"), None).await;
    assert_eq!(again.problem(), (404, "row_not_found".to_owned()));
    beside.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_are_set_while_the_gateway_runs() {
    let operated = operated().await;
    let extension_id = operated.gateway.extension_id;
    let one = |mode: &str| json!({ "layer": "caller", "extension_id": extension_id, "mode": mode });
    set(&operated, one("shadow")).await;
    assert_eq!(served(&operated, "a", "countNotes", 5).await, 5);
    let answer = call(&operated.gateway, "a", "countNotes").await;
    assert!(answer.headers["ratelimit-policy"].starts_with("\"install\";"), "{answer:?}");
    assert!(answer.headers["ratelimit"].starts_with("\"install\";"), "{answer:?}");
    let url = format!("http://{}/metrics", operated.gateway.server.admin_address);
    let metrics = crate::support::gateway::answer(operated.gateway.http.get(url)).await.text;
    let counted = "rowgate_limit_decisions_total{class=\"query_rows\",decision=\"would_refuse\",layer=\"caller\"} 3";
    assert!(metrics.contains(counted), "{metrics}");
    set(&operated, one("enforce")).await;
    assert_eq!(violated(&call(&operated.gateway, "a", "countNotes").await), json!(["caller"]));
    set(&operated, one("off")).await;
    assert_eq!(served(&operated, "a", "countNotes", 5).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_and_kinds_of_callers_have_their_own() {
    let operated = operated().await;
    let id = operated.install_id();
    set(&operated, json!({ "layer": "caller", "plan": "pro", "class": "query_rows", "per_minute": 1, "burst": 5 }))
        .await;
    set(&operated, json!({ "layer": "caller", "caller": "key", "per_minute": 1, "burst": 9 })).await;
    assert_eq!(served(&operated, "a", "countNotes", 12).await, 3);
    let keyed = json!({ "install_id": id, "role": "editor", "name": "bot" });
    let minted = operated.ask("POST", "keys", Some(keyed)).await.json();
    let with_key = async || {
        let request = operated.gateway.http.post(operated.gateway.url("countNotes"));
        answer(request.bearer_auth(minted["key"].as_str().unwrap())).await
    };
    assert!(with_key().await.headers["ratelimit-policy"].starts_with("\"caller\";q=9;"));

    let path = format!("installs/{id}/plan");
    let plan = async |plan: Value| operated.ask("POST", &path, Some(json!({ "plan": plan }))).await;
    let answered = plan(json!("pro")).await.ok();
    assert_eq!(answered["plan"], "pro");
    assert_eq!(served(&operated, "b", "countNotes", 12).await, 5);
    assert!(
        with_key().await.headers["ratelimit-policy"].starts_with("\"caller\";q=5;"),
        "a plan is narrower than a kind"
    );
    let shown = operated.ask("GET", &format!("limits/in-force?install_id={id}"), None).await.ok();
    assert_eq!(shown["plan"], "pro");
    let of = |layer: &str, class: &str| -> Vec<Value> {
        let rows = shown["in_force"].as_array().unwrap().iter();
        rows.filter(|row| row["layer"] == layer && row["class"] == class).cloned().collect()
    };
    let [row] = &of("caller", "query_rows")[..] else { panic!("{shown}") };
    assert_eq!((&row["burst"], &row["quota_from"]["override"]["plan"]), (&json!(5), &json!("pro")));
    assert_eq!(of("caller", "write_rows").len(), 3, "{shown}");
    assert_eq!(of("install", "query_rows")[0]["quota_from"], "configured");
    let function = shown["in_force"].as_array().unwrap().last().unwrap();
    assert_eq!((&function["function"], &function["quota_from"]), (&json!("rareNotes"), &json!("declared")));

    let answered = plan(Value::Null).await.ok();
    assert_eq!(answered["plan"], Value::Null);
    assert_eq!(served(&operated, "c", "countNotes", 12).await, 3);
    assert_eq!(plan(json!("a b")).await.problem(), (422, "arguments_invalid".to_owned()));

    // Who changed what, the newest first.
    let trail = operated.ask("GET", "limits/history", None).await.ok();
    let trail = trail.as_array().unwrap();
    let told = |index: usize| (trail[index]["before"].clone(), trail[index]["after"].clone());
    assert_eq!(told(0), (json!({ "install_id": id, "plan": "pro" }), json!({ "install_id": id, "plan": null })));
    assert_eq!(told(2).0, Value::Null);
    assert_eq!(told(2).1, json!({ "layer": "caller", "caller": "key", "per_minute": 1, "burst": 9 }));
    assert!(trail.len() == 4 && trail.iter().all(|change| change["by"] == "alice" && change["at"].is_string()));
    let older = operated.ask("GET", &format!("limits/history?before={}", trail[2]["id"]), None).await.ok();
    assert_eq!(older.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_keeps_to_its_own_limit() {
    let operated = operated().await;
    let answer = call(&operated.gateway, "a", "rareNotes").await;
    let policy = "\"caller\";q=3;w=180, \"function\";q=2;w=120, \"install\";q=100;w=60, \"extension\";q=100000;w=60";
    assert_eq!(answer.headers["ratelimit-policy"], policy);
    assert_eq!(served(&operated, "b", "rareNotes", 2).await, 1);
    assert_eq!(violated(&call(&operated.gateway, "c", "rareNotes").await), json!(["function"]));
    assert_eq!(served(&operated, "c", "countNotes", 2).await, 2, "another function is another bucket");

    let extension_id = operated.gateway.extension_id;
    let one = json!({ "layer": "function", "function": "rareNotes", "extension_id": extension_id, "per_minute": 1, "burst": 3 });
    set(&operated, one).await;
    assert_eq!(served(&operated, "d", "rareNotes", 3).await, 1, "an operator's word stands for the author's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_an_override_is_refused_and_changes_nothing() {
    let operated = operated().await;
    let extension_id = operated.gateway.extension_id;
    for (one, said) in [
        (json!({ "layer": "caller" }), "expected `per_minute`, `mode` or both"),
        (json!({ "layer": "user", "per_minute": 1 }), "unknown variant `user`"),
        (json!({ "layer": "caller", "per_minutes": 1 }), "unknown field `per_minutes`"),
        (json!({ "layer": "extension", "plan": "pro", "per_minute": 1 }), "for no `install_id` and no `plan`"),
        (
            json!({ "layer": "install", "install_id": extension_id, "per_minute": 1 }),
            "no install with this `install_id`",
        ),
        (json!({ "layer": "install", "extension_id": operated.install_id(), "mode": "off" }), "no extension with this"),
        (
            json!({ "layer": "function", "extension_id": extension_id, "function": "rareNote", "per_minute": 1 }),
            "there is no function `rareNote`; did you mean `rareNotes`?",
        ),
    ] {
        let answer = operated.ask("PUT", "limits", Some(one.clone())).await;
        assert_eq!(answer.problem(), (422, "arguments_invalid".to_owned()), "{one}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(said), "{}", answer.text);
    }
    let answer = operated.ask("DELETE", "limits?layer=caller&per_minute=1", None).await;
    assert_eq!(answer.problem(), (422, "arguments_invalid".to_owned()));
    let listed = operated.ask("GET", "limits", None).await.ok();
    assert_eq!(listed["overrides"], json!([]));
    assert_eq!(listed["configured"]["caller"]["query_rows"], json!({ "per_minute": 1, "burst": 3 }));
    assert_eq!(operated.ask("GET", "limits/history", None).await.ok(), json!([]));
    assert!(!listed.to_string().contains(SECRET));
}
