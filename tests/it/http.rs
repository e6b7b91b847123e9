//! What every answer carries: request ids, timing, caching, allowed methods, cross-origin rules; and
//! the private listener.

use std::collections::{BTreeMap, BTreeSet};

use rowgate::auth::key;
use rowgate::record::{self, AdminKey};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hostile::notes;
use crate::support::gateway::{Answer, TestGateway, answer};
use crate::support::wire::{exchange_all, exchange_open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_echoed_or_replaced() {
    let gateway = TestGateway::new(&notes()).await;
    let send = async |function: &str, id: Option<&[u8]>| {
        let request = gateway.http.post(gateway.url(function)).bearer_auth(gateway.token(Role::Owner));
        let answer = answer(match id {
            Some(id) => request.header("x-request-id", id),
            None => request,
        })
        .await;
        if answer.status != 200 {
            answer.problem();
        }
        answer.headers["x-request-id"].clone()
    };
    let longest = "x".repeat(128);
    for id in ["a", "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "\"quoted\\'{}", &longest] {
        assert_eq!(send("countNotes", Some(id.as_bytes())).await, id);
        assert_eq!(send("nothing", Some(id.as_bytes())).await, id);
    }
    let mut made = BTreeSet::new();
    for id in [None, Some(&b""[..]), Some(b"a b"), Some(b"a\tb"), Some(&[0xff, 0xfe]), Some("x".repeat(129).as_bytes())]
    {
        for function in ["countNotes", "nothing"] {
            let own = send(function, id).await;
            assert!(own.len() == 32 && own.bytes().all(|byte| byte.is_ascii_hexdigit()), "{own}");
            assert!(made.insert(own), "an id is used twice");
        }
    }
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_says_how_long_it_took_and_is_not_kept() {
    let gateway = TestGateway::new(&notes()).await;
    let served = gateway.call("countNotes", json!({})).await;
    assert_eq!(served.headers["content-type"], "application/json");
    let late = gateway.call("getNote", json!({ "id": Uuid::now_v7() })).await;
    assert_eq!(late.problem(), (404, "row_not_found".to_owned()));
    let early = gateway.call("getNote", json!({})).await;
    let stranger = answer(gateway.http.post(gateway.url("countNotes"))).await;
    let lost = answer(gateway.http.get(format!("http://{}/nowhere", gateway.server.address))).await;
    for answer in [&served, &late, &early, &stranger, &lost] {
        assert_eq!(answer.headers["cache-control"], "no-store", "{answer:?}");
    }
    for answer in [&served, &late, &early, &stranger] {
        let timing = &answer.headers["server-timing"];
        let stages: Vec<(&str, f64)> = timing
            .split(", ")
            .map(|stage| {
                let (name, duration) = stage.split_once(";dur=").unwrap_or_else(|| panic!("{timing}"));
                (name, duration.parse().unwrap())
            })
            .collect();
        let names: Vec<&str> = stages.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["auth", "plan", "db"]);
        assert!(stages.iter().all(|(_, ms)| (0.0..60_000.0).contains(ms)), "{timing}");
    }
    assert!(timing(&served, "db") > 0.0, "the database took time");
    assert_eq!(timing(&stranger, "db"), 0.0, "nothing reached the database");

    assert_eq!(stranger.problem(), (401, "token_missing".to_owned()));
    assert_eq!(stranger.headers["www-authenticate"], "Bearer");
    for answer in [&served, &late, &early, &lost] {
        assert_eq!(answer.headers.get("www-authenticate"), None);
    }
    // Limits are off: no client should slow down for them.
    for answer in [&served, &late, &stranger] {
        assert_eq!((answer.headers.get("ratelimit"), answer.headers.get("ratelimit-policy")), (None, None));
    }
    gateway.server.stop().await;
}

fn timing(answer: &Answer, stage: &str) -> f64 {
    let timing = &answer.headers["server-timing"];
    let stage = timing.split(", ").find_map(|part| part.strip_prefix(stage)?.strip_prefix(";dur="));
    stage.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_origins_alone_may_call() {
    let allowed = "https://overlay.example";
    let gateway = TestGateway::with(&notes(), |config| config.http.cors_origins = vec![allowed.to_owned()]).await;
    let preflight = async |origin: &str| {
        let request = gateway.http.request(reqwest::Method::OPTIONS, gateway.url("countNotes"));
        let request = request
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-request-id");
        answer(request).await
    };
    let yes = preflight(allowed).await;
    assert_eq!(yes.status, 200);
    assert_eq!(yes.headers["access-control-allow-origin"], allowed);
    assert!(yes.headers["access-control-allow-methods"].contains("POST"));
    for header in ["authorization", "content-type", "idempotency-key", "if-match", "x-request-id"] {
        assert!(yes.headers["access-control-allow-headers"].contains(header), "{header}");
    }
    assert_eq!(yes.headers["access-control-max-age"], "3600");
    assert!(yes.headers["vary"].to_ascii_lowercase().contains("origin"));
    assert_eq!(yes.headers.get("access-control-allow-credentials"), None);
    for origin in ["https://evil.example", "https://overlay.example.evil.example", "http://overlay.example", "null"] {
        assert_eq!(preflight(origin).await.headers.get("access-control-allow-origin"), None, "{origin}");
    }
    // The answer itself, be it good or bad, can be read by the page that may call.
    for (function, status) in [("countNotes", 200), ("nothing", 404)] {
        let request = gateway.http.post(gateway.url(function)).bearer_auth(gateway.token(Role::Owner));
        let answer = answer(request.header("origin", allowed)).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.headers["access-control-allow-origin"], allowed);
        for header in [
            "etag",
            "idempotent-replayed",
            "x-request-id",
            "server-timing",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
        ] {
            assert!(answer.headers["access-control-expose-headers"].contains(header), "{header}");
        }
    }
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_allowed_origins_no_page_may_call() {
    let gateway = TestGateway::new(&notes()).await;
    let request = gateway.http.request(reqwest::Method::OPTIONS, gateway.url("countNotes"));
    let preflight = request.header("origin", "https://a.example").header("access-control-request-method", "POST");
    let preflight = answer(preflight).await;
    assert_eq!(preflight.problem(), (405, "method_not_allowed".to_owned()));
    assert_eq!(preflight.headers.get("access-control-allow-origin"), None);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_serves_on_after_a_refusal_or_says_that_it_does_not() {
    let gateway = TestGateway::new(&notes()).await;
    let token = gateway.token(Role::Owner);
    let body = json!({ "text": "a".repeat(600_000) }).to_string();
    let request = |path: &str, authorization: &str, length: usize| {
        format!(
            "POST /v1/extension-functions/{path} HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n"
        )
    };
    let install = gateway.install.id;
    let (own, bearer) = (format!("{install}/countNotes"), format!("Bearer {token}"));
    let good = format!("{}connection: close\r\n\r\n", request(&own, &bearer, 0));
    for (path, authorization, status) in [
        (format!("{install}/addNote"), "Bearer x", 401),
        (format!("{}/addNote", Uuid::now_v7()), bearer.as_str(), 403),
        ("x/addNote".to_owned(), bearer.as_str(), 404),
        (format!("{install}/nothing"), bearer.as_str(), 404),
    ] {
        let bad = format!("{}\r\n{body}", request(&path, authorization, body.len()));
        let answers = exchange_all(gateway.server.address, format!("{bad}{good}")).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [status, 200], "{path}");
        assert_eq!(answers[0].headers.get("connection"), None, "{path}");
    }
    let announced = 2 << 20;
    let refused =
        exchange_open(gateway.server.address, format!("{}\r\n", request(&own, &bearer, announced))).await.unwrap();
    assert_eq!(refused.problem(), (413, "body_too_large".to_owned()));
    assert_eq!(refused.headers["connection"], "close");
    // Who asks first is told before sending anything.
    let asks = format!("{}expect: 100-continue\r\n\r\n", request(&own, "Bearer x", 1_000));
    let refused = exchange_open(gateway.server.address, asks).await.unwrap();
    assert_eq!(refused.problem(), (401, "token_malformed".to_owned()));
    assert_eq!(refused.headers["connection"], "close");
    gateway.server.stop().await;
}

/// A gateway and an admin key of it.
async fn administered() -> (TestGateway, String) {
    let gateway = TestGateway::new(&notes()).await;
    let key = admin_key(&gateway, None).await;
    (gateway, key)
}

async fn admin_key(gateway: &TestGateway, expires_at: Option<std::time::SystemTime>) -> String {
    let (text, hash) = key::mint_admin_key().unwrap();
    let key = AdminKey { id: Uuid::now_v7(), hash, name: "tests".to_owned(), expires_at };
    record::insert_admin_key(&gateway.database.client().await, &key).await.unwrap();
    gateway.server.reload().await.unwrap();
    text
}

fn admin_url(gateway: &TestGateway, path: &str) -> String {
    format!("http://{}{path}", gateway.server.admin_address)
}

/// Every label that a metric of these calls has.
const LABELS: [&str; 13] = [
    "class",
    "code",
    "decision",
    "extension",
    "function",
    "kind",
    "layer",
    "le",
    "pool",
    "reason",
    "status",
    "version",
    "worker",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_answer_anyone() {
    let gateway = TestGateway::new(&notes()).await;
    let get = async |path: &str| answer(gateway.http.get(admin_url(&gateway, path))).await;
    assert_eq!((get("/livez").await.status, get("/livez").await.text), (200, "ok\n".to_owned()));
    let ready = get("/readyz").await.ok();
    assert_eq!((&ready["ready"], &ready["workers_ready"]), (&json!(true), &json!(2)));

    gateway.call("countNotes", json!({})).await.ok();
    gateway.call("countNotes", json!({})).await.ok();
    gateway.call("getNote", json!({ "id": Uuid::now_v7() })).await.problem();
    gateway.call("nothing", json!({})).await.problem();
    answer(gateway.http.post(gateway.url("countNotes"))).await.problem();
    let page = get("/metrics").await;
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let samples = samples(&page.text);
    let of = |name: &str, labels: &[(&str, &str)]| -> f64 {
        let wanted = |(found, have): &&(String, BTreeMap<String, String>)| {
            found == name && labels.iter().all(|(label, value)| have.get(*label).is_some_and(|have| have == value))
        };
        samples.keys().filter(wanted).map(|key| samples[key]).sum()
    };
    let extension = gateway.extension_id.to_string();
    let ours = ("extension", extension.as_str());
    assert_eq!(of("rowgate_calls_total", &[ours, ("function", "countNotes"), ("code", "ok")]), 2.0);
    assert_eq!(of("rowgate_calls_total", &[ours, ("function", "getNote"), ("code", "row_not_found")]), 1.0);
    assert_eq!(
        of("rowgate_call_duration_seconds_count", &[ours, ("function", "countNotes"), ("kind", "countRows")]),
        2.0
    );
    assert_eq!(of("rowgate_refused_total", &[("code", "function_unknown")]), 1.0);
    assert_eq!(of("rowgate_refused_total", &[("code", "token_missing")]), 1.0);
    let lanes: f64 =
        ["read", "write"].iter().map(|pool| of("rowgate_database_connections_open", &[("pool", pool)])).sum();
    // A gateway serves as soon as each worker has one lane of each kind; the others open meanwhile.
    assert!((4.0..=10.0).contains(&lanes), "{}", page.text);
    assert_eq!((of("rowgate_extensions", &[]), of("rowgate_installs", &[])), (1.0, 1.0));
    assert!(of("rowgate_registry_loads_total", &[]) >= 1.0);
    assert!(of("rowgate_client_connections", &[]) >= 1.0);
    assert_eq!(of("rowgate_calls_in_flight", &[]), 0.0);
    // Installs and callers have no bound, so they are no labels.
    assert!(!page.text.contains(&gateway.install.id.to_string()) && !page.text.contains("user-owner"));
    let labels: BTreeSet<&str> = samples.keys().flat_map(|(_, labels)| labels.keys()).map(String::as_str).collect();
    assert_eq!(labels, BTreeSet::from(LABELS));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_signers_are_unknown_is_not_ready() {
    // Bound and not listening: whoever connects is refused, and nobody else gets the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = format!("http://{}/jwks.json", socket.local_addr().unwrap());
    let gateway = TestGateway::with(&notes(), |config| config.auth.jwks_url = Some(nowhere)).await;
    let ready = answer(gateway.http.get(admin_url(&gateway, "/readyz"))).await;
    assert_eq!(ready.status, 503, "{}", ready.text);
    let told = ready.json();
    assert_eq!(
        (&told["ready"], &told["workers_ready"], &told["signers_ready"]),
        (&json!(false), &json!(2), &json!(false))
    );
    // Tokens by the configured secret need nothing that is published.
    gateway.call("countNotes", json!({})).await.ok();
    gateway.server.stop().await;
}

/// The samples of an exposition in the Prometheus text format; panics where it is none.
fn samples(page: &str) -> BTreeMap<(String, BTreeMap<String, String>), f64> {
    let mut typed = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            assert!(typed.insert(declared.split(' ').next().unwrap().to_owned()), "{line}");
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = match series.split_once('{') {
            None => (series, BTreeMap::new()),
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
                let pairs = labels.split("\",").map(|pair| {
                    let (label, value) =
                        pair.trim_end_matches('"').split_once("=\"").unwrap_or_else(|| panic!("{line}"));
                    (label.to_owned(), value.to_owned())
                });
                (name, pairs.collect())
            }
        };
        assert!(name.starts_with("rowgate_") || name.starts_with("process_"), "{line}");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(typed.contains(name) || family.is_some_and(|family| typed.contains(family)), "no type for {line}");
        let again = samples.insert((name.to_owned(), labels), value.parse::<f64>().unwrap());
        assert_eq!(again, None, "{line} is there twice");
    }
    samples
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_endpoints_ask_for_an_operators_key() {
    let (gateway, key) = administered().await;
    let get = async |authorization: &[&str]| {
        let mut request = gateway.http.get(admin_url(&gateway, "/admin/v1/extensions"));
        for value in authorization {
            request = request.header("authorization", *value);
        }
        answer(request).await
    };
    let good = format!("Bearer {key}");
    assert_eq!(get(&[&good]).await.ok()[0]["id"], gateway.extension_id.to_string());
    let soon = std::time::SystemTime::now() + std::time::Duration::from_millis(1_500);
    let dying = format!("Bearer {}", admin_key(&gateway, Some(soon)).await);
    assert_eq!(get(&[&dying]).await.status, 200);
    let (other, _) = key::mint_admin_key().unwrap();
    let (api, _) = key::mint_key().unwrap();
    let token = gateway.token(Role::Owner);
    for (authorization, code) in [
        (vec![], "token_missing"),
        (vec![format!("Bearer {other}")], "key_unknown"),
        (vec![format!("Bearer {api}")], "token_malformed"),
        (vec![format!("Bearer {token}")], "token_malformed"),
        (vec![format!("Bearer {}", &key[..key.len() - 1])], "token_malformed"),
        (vec![format!("Basic {key}")], "token_malformed"),
        (vec![String::new()], "token_malformed"),
        (vec![good.clone(), good.clone()], "token_malformed"),
    ] {
        let authorization: Vec<&str> = authorization.iter().map(String::as_str).collect();
        let answer = get(&authorization).await;
        assert_eq!(answer.problem(), (401, code.to_owned()), "{authorization:?}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    // It opens no function, and none of the public listener's keys opens this one.
    let request = gateway.http.post(gateway.url("countNotes")).bearer_auth(&key);
    assert_eq!(answer(request).await.problem(), (401, "key_unknown".to_owned()));
    for (method, path) in [("POST", "/admin/v1/installs"), ("POST", "/admin/v1/keys"), ("DELETE", "/admin/v1/keys/x")] {
        let request = gateway.http.request(method.parse().unwrap(), admin_url(&gateway, path));
        assert_eq!(answer(request).await.problem().0, 401, "{method} {path}");
    }
    for (method, path, status) in [
        ("GET", "/admin/v1/nowhere", 404),
        ("GET", "/", 404),
        ("DELETE", "/livez", 405),
        ("PUT", "/admin/v1/installs", 405),
    ] {
        let request = gateway.http.request(method.parse().unwrap(), admin_url(&gateway, path)).bearer_auth(&key);
        let answer = answer(request).await;
        assert_eq!(answer.problem().0, status, "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405, "{method} {path}");
    }
    // A key is good until the second it expires, whether the registry was read since or not.
    while std::time::SystemTime::now() < soon + std::time::Duration::from_secs(1) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(get(&[&dying]).await.problem(), (401, "token_expired".to_owned()));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_makes_works_at_once() {
    let (gateway, admin) = administered().await;
    let post = async |path: &str, body: &str| {
        answer(gateway.http.post(admin_url(&gateway, path)).bearer_auth(&admin).body(body.to_owned())).await
    };
    let account = Uuid::now_v7();
    let made =
        post("/admin/v1/installs", &json!({ "extension_id": gateway.extension_id, "account_id": account }).to_string())
            .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let install = made.json();
    assert_eq!((&install["account_id"], &install["overlay_id"]), (&json!(account), &Value::Null));
    let made = post(
        "/admin/v1/keys",
        &json!({ "install_id": install["id"], "role": "editor", "name": "the bot" }).to_string(),
    )
    .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let minted = made.json();
    let key = minted["key"].as_str().unwrap();
    let url = |function: &str| {
        let install = install["id"].as_str().unwrap();
        format!("http://{}/v1/extension-functions/{install}/{function}", gateway.server.address)
    };
    let call = async |function: &str| answer(gateway.http.post(url(function)).bearer_auth(key)).await;
    assert_eq!(call("addNote").await.ok()["version"], 1);
    assert_eq!(call("countNotes").await.ok(), 1);
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 0, "another install's rows");
    let listed = answer(gateway.http.get(admin_url(&gateway, "/admin/v1/installs")).bearer_auth(&admin)).await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 2);

    let id = minted["id"].as_str().unwrap();
    let revoke = async || {
        answer(gateway.http.delete(admin_url(&gateway, &format!("/admin/v1/keys/{id}"))).bearer_auth(&admin)).await
    };
    assert_eq!(revoke().await.ok(), json!({ "id": id }));
    assert_eq!(revoke().await.problem(), (404, "row_not_found".to_owned()));
    assert_eq!(call("countNotes").await.problem(), (401, "key_unknown".to_owned()));

    let install = install["id"].as_str().unwrap();
    let too_long = "x".repeat(201);
    for (path, body) in [
        ("/admin/v1/installs", "{"),
        ("/admin/v1/installs", "[]"),
        ("/admin/v1/installs", "{}"),
        ("/admin/v1/installs", r#"{"extension_id": "x", "account_id": "y"}"#),
        ("/admin/v1/installs", &json!({ "extension_id": Uuid::now_v7(), "account_id": account }).to_string()),
        ("/admin/v1/keys", &json!({ "install_id": install, "role": "god", "name": "a" }).to_string()),
        ("/admin/v1/keys", &json!({ "install_id": Uuid::now_v7(), "role": "owner", "name": "a" }).to_string()),
        ("/admin/v1/keys", &json!({ "install_id": install, "role": "owner", "name": "a", "x": 1 }).to_string()),
        ("/admin/v1/keys", &json!({ "install_id": install, "role": "owner", "name": "a\0b" }).to_string()),
        ("/admin/v1/keys", &json!({ "install_id": install, "role": "owner", "name": "" }).to_string()),
        ("/admin/v1/keys", &json!({ "install_id": install, "role": "owner", "name": too_long }).to_string()),
        (
            "/admin/v1/keys",
            &json!({ "install_id": install, "role": "owner", "name": "a", "lifetime_s": -1 }).to_string(),
        ),
    ] {
        assert_eq!(post(path, body).await.problem(), (422, "arguments_invalid".to_owned()), "{body}");
    }
    assert_eq!(post("/admin/v1/keys", &"x".repeat(3 << 20)).await.problem(), (413, "body_too_large".to_owned()));
    for id in ["x", "%ff", "0"] {
        let request = gateway.http.delete(admin_url(&gateway, &format!("/admin/v1/keys/{id}"))).bearer_auth(&admin);
        assert_eq!(answer(request.header("x-request-id", "mine")).await.problem().0, 422, "{id}");
    }
    let rows = gateway.database.client().await.query("SELECT FROM rowgate.api_keys", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    gateway.server.stop().await;
}
