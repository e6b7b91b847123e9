//! Installs that stay on a revision while others are deployed.

use rowgate::deploy::apply::ApplyError;
use rowgate::server::Server;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lifecycle::Operated;
use crate::support::gateway::{Answer, answer, config, deploy, document};

/// The first revision: notes have a text; a handler counts them.
fn first() -> Value {
    let mut document = document(
        json!({ "notes": { "columns": { "text": { "type": "string" } }, "indexes": { "by_text": ["text"] } } }),
        json!({
            "addNote": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "notes": { "kind": "queryRows", "table": "notes", "orderBy": "text", "page": true, "fields": ["text"] },
            "old": { "kind": "countRows", "table": "notes", "scan": "allowed" },
        }),
    );
    document["handlers"] = json!({ "count": { "kind": "query", "access": "viewer" } });
    document["sources"] = json!({
        "functions": r#"return { count = query({ access = "viewer", handler = function(ctx) return { first = #ctx.db.query("notes", { limit = 9 }) } end }) }"#
    });
    document
}

/// The second: notes have a colour, `old` is gone, `notes` answers the colour, the handler something else.
fn second() -> Value {
    let mut document = first();
    document["tables"]["notes"]["columns"]["color"] = json!({ "type": "string", "default": "red" });
    document["functions"].as_object_mut().unwrap().remove("old");
    document["functions"]["notes"]["fields"] = json!(["text", "color"]);
    document["functions"]["addNote"]["values"]["color"] = json!({ "arg": "color" });
    let source = document["sources"]["functions"].as_str().unwrap().replace("first =", "second =");
    document["sources"]["functions"] = json!(source);
    document
}

/// The third, under which the first does not work.
fn third() -> Value {
    let mut document = second();
    document["tables"]["notes"]["uniques"] = json!({ "one_text": ["text"] });
    document
}

async fn call(
    operated: &Operated,
    install: Uuid,
    address: std::net::SocketAddr,
    function: &str,
    arguments: Value,
) -> Answer {
    let url = format!("http://{address}/v1/extension-functions/{install}/{function}");
    let claims = rowgate::auth::token::Claims::new(install, Role::Owner, Some("alice".to_owned()));
    let token = operated.gateway.token_of(&claims);
    answer(operated.gateway.http.post(url).bearer_auth(token).json(&arguments)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pinned_install_runs_its_revision_over_the_tables_as_they_are() {
    let operated = Operated::new(&first()).await;
    let (gateway, pinned) = (&operated.gateway, operated.install_id());
    let current = operated.add(Uuid::now_v7(), None).await.id;
    let listed = operated.ask("POST", &format!("installs/{pinned}/pin"), Some(json!({ "revision": 1 }))).await.ok();
    assert_eq!(listed["pinned_revision"], 1);
    for text in ["a", "b"] {
        gateway.call("addNote", json!({ "text": text })).await.ok();
    }
    let old_cursor = gateway.call("notes", json!({})).await.ok()["cursor"].clone();
    deploy(&gateway.database, &second()).await.unwrap();
    gateway.server.reload().await.unwrap();

    // A gateway that was there, and one that comes later.
    let later = Server::start(config(&gateway.database)).await.unwrap();
    for address in [gateway.server.address, later.address] {
        let call =
            async |install, function: &str, arguments| call(&operated, install, address, function, arguments).await;
        let made = call(pinned, "addNote", json!({ "text": "c" })).await.ok();
        assert_eq!(made.get("color"), None, "{made}");
        assert_eq!(call(pinned, "notes", json!({ "cursor": old_cursor })).await.status, 200);
        assert_eq!(call(pinned, "notes", json!({})).await.ok()["rows"][0], json!({ "text": "a" }));
        assert!(call(pinned, "old", json!({})).await.ok().as_i64().unwrap() > 2);
        assert!(call(pinned, "count", json!({})).await.ok()["first"].as_i64().unwrap() > 2);
        let refused = call(pinned, "addNote", json!({ "text": "d", "color": "blue" })).await;
        assert_eq!(refused.problem(), (422, "arguments_invalid".to_owned()));

        call(current, "addNote", json!({ "text": "x", "color": "blue" })).await.ok();
        assert_eq!(call(current, "notes", json!({})).await.ok()["rows"][0], json!({ "text": "x", "color": "blue" }));
        assert_eq!(call(current, "old", json!({})).await.problem(), (404, "function_unknown".to_owned()));
        assert!(call(current, "count", json!({})).await.ok()["second"].as_i64().unwrap() > 0);
    }
    assert_eq!(operated.ask("GET", "extensions", None).await.ok()[0]["revision"], 2);

    operated.ask("POST", &format!("installs/{pinned}/unpin"), None).await.ok();
    let address = gateway.server.address;
    let rows = call(&operated, pinned, address, "notes", json!({})).await.ok();
    assert_eq!(rows["rows"][0], json!({ "text": "a", "color": "red" }));
    later.stop().await;
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deploy_that_would_break_a_pin_is_refused_and_says_whose() {
    let operated = Operated::new(&first()).await;
    let (gateway, id) = (&operated.gateway, operated.install_id());
    let pin = format!("installs/{id}/pin");
    operated.ask("POST", &pin, Some(json!({ "revision": 1 }))).await.ok();
    // An uninstalled one may come back, so it counts.
    operated.ask("POST", &format!("installs/{id}/uninstall"), None).await.ok();
    let again = operated.ask("POST", &pin, Some(json!({ "revision": 1 }))).await;
    assert_eq!(again.problem(), (409, "state_conflict".to_owned()));
    let error = deploy(&gateway.database, &third()).await.unwrap_err();
    let ApplyError::Refused(complaints) = error else { panic!("{error}") };
    let [complaint] = complaints.as_slice() else { panic!("{complaints:#?}") };
    assert_eq!((complaint.code, complaint.pointer.as_str()), ("pinned_tightened", "/tables/notes"));
    assert_eq!(
        complaint.message,
        "revision 1, which 1 install is pinned to: `addNote` writes table `notes`, which has a new unique rule `one_text`"
    );
    assert_eq!(
        complaint.hint.as_deref(),
        Some(format!("`rowgate installs unpin` {id}, or keep what that revision uses").as_str())
    );
    operated.ask("POST", &format!("installs/{id}/reinstall"), None).await.ok();
    gateway.call("old", json!({})).await.ok();

    operated.ask("POST", &format!("installs/{id}/unpin"), None).await.ok();
    deploy(&gateway.database, &third()).await.unwrap();
    gateway.server.reload().await.unwrap();
    let unfit = operated.ask("POST", &pin, Some(json!({ "revision": 1 }))).await;
    assert_eq!(unfit.problem(), (409, "state_conflict".to_owned()));
    assert_eq!(unfit.json()["errors"][0]["code"], "pinned_tightened", "{}", unfit.text);
    assert_eq!(operated.state(id).await["pinned_revision"], Value::Null);
    // To the current one, so that it stays.
    operated.ask("POST", &pin, Some(json!({ "revision": 2 }))).await.ok();
    gateway.call("notes", json!({})).await.ok();
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_and_a_deploy_that_breaks_it_never_both_happen() {
    let operated = Operated::new(&first()).await;
    let (gateway, id) = (&operated.gateway, operated.install_id());
    let pin = format!("installs/{id}/pin");
    let third = third();
    let (pinned, deployed) = futures_util::join!(
        operated.ask("POST", &pin, Some(json!({ "revision": 1 }))),
        deploy(&gateway.database, &third)
    );
    assert_ne!(pinned.status == 200, deployed.is_ok(), "{} {deployed:?}", pinned.text);
    operated.gateway.server.stop().await;
}
