//! The operators' page: its session, and what a real browser makes of it, which is Chromium where that is
//! installed (`apt-get install chromium`); without it the browser's part is skipped, and says so.

use std::path::PathBuf;
use std::process::Command;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, header};
use rowgate::auth::key;
use rowgate::record::{self, AdminKey};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{TestGateway, answer, document};

fn written() -> Value {
    let mut document = document(
        json!({ "notes": { "columns": { "text": { "type": "string" } }, "rows": 100 } }),
        json!({
            "add": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "list": { "kind": "queryRows", "table": "notes", "limit": 10 },
        }),
    );
    document["handlers"] = json!({ "spin": { "kind": "query" }, "say": { "kind": "query" } });
    let source = "return {
        spin = query({ handler = function() while true do end end }),
        say = query({ handler = function(ctx) ctx.log.warn('<b>a line</b>', { n = 1 }) return true end }),
    }";
    document["sources"] = json!({ "functions": source });
    document
}

/// A gateway that was called, with an operator's key.
async fn called() -> (TestGateway, String, Uuid) {
    let test = TestGateway::with(&written(), |config| config.script.query.cpu_ms_max = 20).await;
    let (text, hash) = key::mint_admin_key().unwrap();
    let id = Uuid::now_v7();
    let key = AdminKey { id, hash, name: "tests".to_owned(), expires_at: None };
    record::insert_admin_key(&test.database.client().await, &key).await.unwrap();
    test.server.reload().await.unwrap();
    for _ in 0..20 {
        test.call("add", json!({ "text": "planted" })).await.ok();
        test.call("list", json!({})).await.ok();
    }
    test.call("list", json!({ "no": 1 })).await.problem();
    test.call_as(Role::Anonymous, "add", json!({ "text": "a" })).await.problem();
    test.call("spin", json!({})).await.problem();
    test.call("say", json!({})).await.ok();
    (test, text, id)
}

fn url(test: &TestGateway, path: &str) -> String {
    format!("http://{}/admin{path}", test.server.admin_address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_an_operators_and_of_the_page_alone() {
    let (test, key, id) = called().await;
    let origin = format!("http://{}", test.server.admin_address);
    let sign_in = |key: &str, origin: &str| {
        test.http.post(url(&test, "/session")).header("origin", origin).json(&json!({ "key": key }))
    };
    assert_eq!(answer(sign_in("rga_nothing", &origin)).await.problem().0, 401);
    assert_eq!(answer(sign_in(&key, "https://elsewhere.example")).await.problem(), (403, "access_denied".to_owned()));
    let signed = answer(sign_in(&key, &origin)).await;
    assert_eq!(signed.ok(), json!({ "operator": "tests" }));
    let cookie = signed.headers["set-cookie"].clone();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/admin"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let get = |path: &str| test.http.get(url(&test, path)).header("cookie", &cookie);
    assert_eq!(answer(get("/v1/extensions")).await.ok()[0]["name"], "test");
    // Another site's page sends no such cookie; if it did, nothing would be changed by it.
    let install = json!({ "extension_id": test.extension_id, "account_id": Uuid::now_v7() });
    let make = || test.http.post(url(&test, "/v1/installs")).header("cookie", &cookie).json(&install);
    assert_eq!(answer(make().header("origin", "https://elsewhere.example")).await.problem().0, 401);
    assert_eq!(answer(make()).await.problem().0, 401);
    assert_eq!(answer(make().header("origin", &origin)).await.status, 201);

    for (path, part) in [("/", "<!doctype html>"), ("/page.js", "use strict"), ("/page.css", "color-scheme")] {
        let file = answer(test.http.get(url(&test, path))).await;
        assert!(file.status == 200 && file.text.contains(part), "{path}");
        let policy = &file.headers["content-security-policy"];
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert!(!file.text.contains("https://") && !file.text.contains("//cdn"), "{path} names another host");
    }

    let functions = answer(get("/v1/functions")).await.ok();
    let of = |name: &str| {
        functions["functions"].as_array().unwrap().iter().find(|one| one["function"] == name).unwrap().clone()
    };
    assert_eq!((&of("add")["answered"], &of("add")["refused"]), (&json!(20), &json!(1)));
    assert_eq!((&of("spin")["failed"], &of("spin")["stopped"]), (&json!(1), &json!(1)));
    assert!(of("list")["p99_ms"].as_f64().unwrap() > 0.0);
    let explained = answer(get(&format!("/v1/extensions/{}/functions/list", test.extension_id))).await.ok();
    assert!(explained["statements"][0]["sql"].as_str().unwrap().starts_with("SELECT"), "{explained}");
    assert!(!explained["statements"][0]["plan"].as_array().unwrap().is_empty(), "{explained}");
    assert!(!explained.to_string().contains("planted"));
    let revisions = answer(get(&format!("/v1/extensions/{}/revisions", test.extension_id))).await.ok();
    assert_eq!(revisions[0]["revision"], 1);
    for (path, status) in [
        ("/v1/traffic?minutes=0", 422),
        ("/v1/traffic?hours=1", 422),
        ("/v1/lines?after=x", 422),
        ("/v1/lines?install_id=x", 422),
        ("/v1/extensions/x/functions/list", 404),
        ("/v1/extensions/x/revisions", 404),
    ] {
        assert_eq!(answer(get(path)).await.problem().0, status, "{path}");
    }

    let revoked = record::revoke_admin_key(&test.database.client().await, id).await.unwrap();
    assert!(revoked);
    test.server.reload().await.unwrap();
    assert_eq!(answer(get("/v1/extensions")).await.problem().0, 401, "a key that is revoked has no session");
}

/// Passes everything on to a gateway, as a browser would that has signed in.
async fn signed_in(test: &TestGateway, key: &str) -> String {
    #[derive(Clone)]
    struct Behind(String, HeaderValue, reqwest::Client);
    async fn pass(State(Behind(to, cookie, http)): State<Behind>, request: Request) -> Response<Body> {
        let url = format!("{to}{}", request.uri());
        let passed = http.get(url).header(header::COOKIE, cookie).send().await.unwrap();
        let mut response = Response::new(Body::empty());
        *response.status_mut() = passed.status();
        *response.headers_mut() = passed.headers().clone();
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        *response.body_mut() = Body::from(passed.bytes().await.unwrap());
        response
    }
    let cookie = HeaderValue::from_str(&format!("rowgate_admin={key}")).unwrap();
    let behind = Behind(format!("http://{}", test.server.admin_address), cookie, test.http.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(pass).with_state(behind)).await.unwrap() });
    format!("http://{address}/admin/")
}

/// The page as Chromium has it after a while, and what it complained of; a picture, where one is asked for.
fn browsed(chromium: &str, url: &str, dark: bool, picture: Option<PathBuf>) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let mut command = Command::new(chromium);
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"])
        .args(["--window-size=1280,1400", "--virtual-time-budget=4000", "--enable-logging=stderr", "--v=0"])
        .arg(format!("--user-data-dir={}", profile.path().display()));
    if dark {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    match picture {
        Some(path) => command.arg(format!("--screenshot={}", path.display())),
        None => command.arg("--dump-dom"),
    };
    let output = command.arg(url).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_every_view() {
    let chromium = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()));
    let Some(chromium) = chromium else {
        eprintln!("SKIPPED: there is no Chromium here, so nobody has looked at the operators' page");
        return;
    };
    let (test, key, _) = called().await;
    let home = signed_in(&test, &key).await;
    // As is done every few seconds.
    let gateway = &test.server.gateway;
    let installs = gateway.snapshot();
    gateway.metrics.remember(installs.installs.values().map(|install| (install.id, install.traffic.tally())));
    let install = test.install.id.to_string();
    let pictures = std::env::var_os("ROWGATE_PICTURES").map(PathBuf::from);
    for (name, parts) in [
        ("traffic", vec!["Calls a minute by extension", "<path class=\"line s0\"", "<td>test</td>", install.as_str()]),
        ("functions", vec![">add</td>", ">list</td>", "SQL of list"]),
        ("handlers", vec![">spin</td>", "processor time"]),
        ("lines", vec!["&lt;b&gt;a line&lt;/b&gt;", "level-warn", ">say</td>"]),
        ("installs", vec![install.as_str(), "Revisions of test"]),
        ("limits", vec!["<h2>Limits</h2>"]),
    ] {
        let url = format!("{home}#{name}");
        let (dom, complaints) =
            tokio::task::spawn_blocking(move || browsed(chromium, &url, false, None)).await.unwrap();
        for part in parts {
            assert!(dom.contains(part), "`{part}` is not shown by {name}:\n{dom}\n{complaints}");
        }
        let console: Vec<&str> =
            complaints.lines().filter(|line| line.contains("CONSOLE") && !line.contains("favicon")).collect();
        assert!(console.is_empty(), "{name}: {console:?}");
        for (dark, end) in [(false, ""), (true, "-dark")] {
            if let Some(folder) = &pictures {
                let (url, path) = (format!("{home}#{name}"), folder.join(format!("page-{name}{end}.png")));
                tokio::task::spawn_blocking(move || browsed(chromium, &url, dark, Some(path))).await.unwrap();
            }
        }
    }
    // Who has not signed in is asked to.
    let url = url(&test, "/");
    let (dom, _) = tokio::task::spawn_blocking(move || browsed(chromium, &url, false, None)).await.unwrap();
    assert!(
        dom.contains("<form id=\"sign-in\">") && dom.contains("<nav id=\"nav\" aria-label=\"Views\" hidden"),
        "{dom}"
    );
}
