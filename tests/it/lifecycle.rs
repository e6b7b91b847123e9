//! How installs come and go: uninstalled, brought back, pinned, erased with a receipt; and extensions
//! removed.

mod erase;
mod pins;
mod transfer;
mod user;

use rowgate::auth::key;
use rowgate::record::{self, AdminKey, Install};
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};

/// A gateway, and what an operator asks of it.
pub(crate) struct Operated {
    pub(crate) gateway: TestGateway,
    key: String,
}

impl Operated {
    async fn new(document: &Value) -> Operated {
        Operated::of(TestGateway::new(document).await).await
    }

    pub(crate) async fn of(gateway: TestGateway) -> Operated {
        let (key, hash) = key::mint_admin_key().unwrap();
        let record = AdminKey { id: Uuid::now_v7(), hash, name: "alice".to_owned(), expires_at: None };
        record::insert_admin_key(&gateway.database.client().await, &record).await.unwrap();
        gateway.server.reload().await.unwrap();
        Operated { gateway, key }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://{}/admin/v1/{path}", self.gateway.server.admin_address);
        let request = self.gateway.http.request(method.parse().unwrap(), url).bearer_auth(&self.key);
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn client(&self) -> Client {
        self.gateway.database.client().await
    }

    pub(crate) fn install_id(&self) -> Uuid {
        self.gateway.install.id
    }

    /// One more install of the extension.
    async fn add(&self, account_id: Uuid, overlay_id: Option<Uuid>) -> Install {
        let install = Install {
            id: Uuid::now_v7(),
            extension_id: self.gateway.extension_id,
            account_id,
            overlay_id,
            disabled: false,
        };
        record::insert_install(&self.client().await, &install).await.unwrap();
        self.gateway.server.reload().await.unwrap();
        install
    }

    async fn state(&self, id: Uuid) -> Value {
        self.ask("GET", &format!("installs/{id}"), None).await.ok()
    }
}

fn notes() -> Value {
    document(
        json!({ "notes": { "columns": { "text": { "type": "string" } } } }),
        json!({
            "addNote": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "countNotes": { "kind": "countRows", "table": "notes", "scan": "allowed" },
        }),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_uninstalled_install_is_refused_and_comes_back_as_it_was() {
    let operated = Operated::new(&notes()).await;
    let (gateway, id) = (&operated.gateway, operated.install_id());
    let keyed = json!({ "install_id": id, "role": "editor", "name": "bot" });
    let minted = operated.ask("POST", "keys", Some(keyed.clone())).await;
    let api_key = minted.json()["key"].as_str().unwrap().to_owned();
    gateway.call("addNote", json!({ "text": "kept" })).await.ok();
    assert_eq!(operated.state(id).await["state"], "active");

    let path = format!("installs/{id}/uninstall");
    let gone = operated.ask("POST", &path, None).await.ok();
    assert_eq!((&gone["state"], &gone["uninstalled_by"]), (&json!("uninstalled"), &json!("alice")));
    let days = operated
        .client()
        .await
        .query_one("SELECT round(extract(epoch FROM erase_at - now()) / 86400)::int4 FROM rowgate.installs", &[])
        .await
        .unwrap();
    assert_eq!(days.get::<_, i32>(0), 30);
    for refused in [
        gateway.call("countNotes", json!({})).await,
        gateway.call("nothing", json!({})).await,
        answer(gateway.http.post(gateway.url("countNotes")).bearer_auth(&api_key)).await,
    ] {
        assert_eq!(refused.problem(), (410, "install_uninstalled".to_owned()));
    }
    // Nothing more is made for it, and it is not uninstalled twice.
    assert_eq!(operated.ask("POST", "keys", Some(keyed)).await.problem(), (422, "arguments_invalid".to_owned()));
    assert_eq!(operated.ask("POST", &path, None).await.problem(), (409, "state_conflict".to_owned()));
    // Its time has not come.
    assert_eq!(rowgate::lifecycle::erase::round(&gateway.server.pool, || false).await.unwrap(), 0);

    let path = format!("installs/{id}/reinstall");
    assert_eq!(operated.ask("POST", &path, None).await.ok()["state"], "active");
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 1);
    assert_eq!(answer(gateway.http.post(gateway.url("countNotes")).bearer_auth(&api_key)).await.ok(), 1);
    assert_eq!(operated.ask("POST", &path, None).await.problem(), (409, "state_conflict".to_owned()));
    assert_eq!(operated.ask("GET", "receipts", None).await.ok(), json!([]));
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_ask_wrongly_is_refused() {
    let operated = Operated::new(&notes()).await;
    let (id, extension) = (operated.install_id(), operated.gateway.extension_id);
    let other = Uuid::now_v7();
    for (method, path, body, expected) in [
        ("GET", "installs?nothing=1".to_owned(), None, (422, "arguments_invalid")),
        ("GET", "installs?after=x".to_owned(), None, (422, "arguments_invalid")),
        ("GET", "installs/x".to_owned(), None, (422, "arguments_invalid")),
        ("GET", format!("installs/{other}"), None, (404, "install_unknown")),
        ("POST", format!("installs/{other}/uninstall"), None, (404, "install_unknown")),
        ("POST", format!("installs/{other}/uninstall"), Some(json!({ "now": true })), (404, "install_unknown")),
        ("POST", format!("installs/{id}/uninstall"), Some(json!({ "later": true })), (422, "arguments_invalid")),
        ("POST", format!("installs/{id}/uninstall"), Some(json!({ "now": 1 })), (422, "arguments_invalid")),
        ("POST", format!("installs/{other}/reinstall"), None, (404, "install_unknown")),
        ("POST", format!("installs/{other}/pin"), Some(json!({ "revision": 1 })), (404, "install_unknown")),
        ("POST", format!("installs/{id}/pin"), Some(json!({ "revision": 2 })), (422, "arguments_invalid")),
        ("POST", format!("installs/{id}/pin"), Some(json!({ "revision": "1" })), (422, "arguments_invalid")),
        ("POST", format!("installs/{id}/pin"), None, (422, "arguments_invalid")),
        ("POST", format!("installs/{other}/unpin"), None, (404, "install_unknown")),
        ("GET", "receipts?install_id=".to_owned(), None, (422, "arguments_invalid")),
        ("DELETE", "extensions/x".to_owned(), None, (422, "arguments_invalid")),
        ("DELETE", format!("extensions/{extension}"), None, (422, "arguments_invalid")),
        ("DELETE", format!("extensions/{extension}?name=tess"), None, (422, "arguments_invalid")),
        ("DELETE", format!("extensions/{extension}?name=test"), None, (409, "state_conflict")),
        ("DELETE", format!("extensions/{other}?name=test"), None, (404, "row_not_found")),
    ] {
        let (status, code) = operated.ask(method, &path, body).await.problem();
        assert_eq!((status, code.as_str()), expected, "{method} {path}");
    }
    assert_eq!(operated.state(id).await["state"], "active");
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installs_are_listed_page_by_page_and_by_extension() {
    let operated = Operated::new(&notes()).await;
    let account = Uuid::now_v7();
    let mut ids = vec![operated.install_id()];
    for _ in 0..3 {
        ids.push(operated.add(account, None).await.id);
    }
    let listed = async |query: &str| -> Vec<String> {
        let listed = operated.ask("GET", &format!("installs{query}"), None).await.ok();
        listed.as_array().unwrap().iter().map(|install| install["id"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(listed("").await, expected);
    assert_eq!(listed(&format!("?extension_id={}", operated.gateway.extension_id)).await, expected);
    assert_eq!(listed(&format!("?after={}", ids[1])).await, expected[2..]);
    assert_eq!(listed(&format!("?extension_id={account}")).await, [""; 0]);
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_without_installs_is_removed_and_may_come_again() {
    let mut document = notes();
    document["extension"]["limits"] = json!({ "bytes": 1_000_000 });
    let operated = Operated::new(&document).await;
    let (gateway, id) = (&operated.gateway, operated.install_id());
    let client = operated.client().await;
    gateway.call("addNote", json!({ "text": "x" })).await.ok();
    let remove = format!("extensions/{}?name=test", gateway.extension_id);
    operated.ask("POST", &format!("installs/{id}/uninstall"), None).await.ok();
    let kept = operated.ask("DELETE", &remove, None).await;
    assert!(kept.json()["detail"].as_str().unwrap().contains("1 of them uninstalled"), "{}", kept.text);
    operated.ask("POST", &format!("installs/{id}/uninstall"), Some(json!({ "now": true }))).await.ok();
    erase::until_erased(&operated, id).await;

    let deploying = operated.client().await;
    let key = record::changes::lock_key(gateway.extension_id);
    deploying.execute("SELECT pg_advisory_lock($1)", &[&key]).await.unwrap();
    let refused = operated.ask("DELETE", &remove, None).await;
    assert_eq!(refused.problem(), (409, "state_conflict".to_owned()), "a deploy is under way");
    deploying.execute("SELECT pg_advisory_unlock($1)", &[&key]).await.unwrap();

    let receipt = operated.ask("DELETE", &remove, None).await.ok();
    assert_eq!((&receipt["kind"], &receipt["asked_by"]), (&json!("extension"), &json!("alice")));
    let left = client
        .query_one(
            "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ext%'),
                    (SELECT count(*) FROM rowgate.extensions), (SELECT count(*) FROM rowgate.revisions)",
            &[],
        )
        .await
        .unwrap();
    assert_eq!([0, 1, 2].map(|place| left.get::<_, i64>(place)), [0, 0, 0]);
    assert_eq!(operated.ask("GET", "extensions", None).await.ok(), json!([]));
    assert_eq!(operated.ask("DELETE", &remove, None).await.problem(), (404, "row_not_found".to_owned()));
    let kinds = operated.ask("GET", &format!("receipts?extension_id={}", gateway.extension_id), None).await.ok();
    assert_eq!([&kinds[0]["kind"], &kinds[1]["kind"]], ["extension", "install"]);

    crate::support::gateway::deploy(&gateway.database, &document).await.unwrap();
    gateway.server.reload().await.unwrap();
    assert_eq!(operated.ask("GET", "extensions", None).await.ok()[0]["revision"], 1);
    operated.gateway.server.stop().await;
}
