//! Secrets, tokens, keys, arguments and rows are planted, calls of every kind are made, those that fail
//! too, and everything that the gateway tells to others is searched for them.

use std::fs::File;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::process::{Running, bundle, folder, rowgate, run};
use crate::cli::{SECRET, address};
use crate::support::TestDatabase;
use crate::support::gateway::answer;

const SCHEMA: &str = r#"
return defineSchema({
  notes = defineTable({ text = v.string():max(60), hidden = v.string():private():default("planted-hidden") })
    :unique("one_text", { "text" }):rows(100),
})
"#;

const FUNCTIONS: &str = r#"
local functions = {}
functions.add = insertRow("notes", { text = arg("text") })
functions.put = upsertRow("notes", "one_text", { text = arg("text") })
functions.get = getRow("notes", arg("id"))
functions.list = queryRows("notes", { filter = filter("text", "=", arg("text")), limit = 10 })
functions.set = patchRow("notes", arg("id"), { text = arg("text") })
functions.remove = deleteRow("notes", arg("id"))
functions.both = transaction({
  step("first", insertRow("notes", { text = arg("text") })),
  step("second", insertRow("notes", { text = arg("text") })),
})
local args = { text = v.string() }
functions.look = query({ args = args, handler = function(ctx, args)
  ctx.cache.set("k", args.text)
  return ctx.sql.query("SELECT text FROM notes WHERE text = $1", { args.text })
end })
functions.make = mutation({ args = args, handler = function(ctx, args)
  ctx.kv.put("k", args.text)
  ctx.log.info(args.text, { text = args.text })
  return ctx.db.insert("notes", { text = args.text })
end })
functions.fail = mutation({ args = args, handler = function(ctx, args)
  error("this went wrong with " .. args.text)
end })
functions.wrong = query({ args = args, handler = function(ctx, args)
  return ctx.sql.query("SELECT text FROM notes WHERE text::int = 1 OR text = $1", { args.text })
end })
functions.spin = query({ args = args, handler = function(ctx, args)
  while args.text do end
end })
functions.reach = action({ args = args, handler = function(ctx, args)
  local secret = ctx.secrets.get("API_KEY")
  local ok = pcall(ctx.fetch, "https://nobody.test/?key=" .. secret, { headers = { authorization = secret }, body = args.text })
  ctx.fetch("https://nobody.test/?key=" .. secret)
  return ok
end })
return functions
"#;

#[allow(clippy::too_many_lines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_planted_comes_up_nowhere() {
    let exported: Arc<Mutex<Vec<u8>>> = Arc::default();
    let take = async |State(exported): State<Arc<Mutex<Vec<u8>>>>, body: Bytes| {
        exported.lock().unwrap().extend_from_slice(&body);
    };
    let router = Router::new().route("/v1/traces", post(take)).with_state(exported.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let collector = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let (database, folder) = (TestDatabase::new().await, folder());
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let id = "6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10";
    let extension = json!({
        "id": id, "name": "planted", "version": "1.0.0", "secrets": ["API_KEY"],
        "egress": { "allow_hosts": ["nobody.test"], "allow_ports": [443] },
    });
    std::fs::write(bundle.join("extension.json"), extension.to_string()).unwrap();
    let with_database = |mut command: std::process::Command| {
        command.env("DATABASE_URL", database.url());
        command
    };
    run(with_database(rowgate(["apply"])).arg(&bundle)).ok();
    let admin_key = run(&mut with_database(rowgate(["admin-key", "tests"]))).ok();
    let admin_key = admin_key.trim();

    let mut serve = with_database(rowgate(["serve", "--port", "0", "--admin-port", "0"]));
    serve.env("ROWGATE_AUTH__HS256_SECRET", SECRET).env("ROWGATE_LOG__FILTER", "trace");
    serve.env("ROWGATE_SECRETS_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    serve.env("ROWGATE_SCRIPT__QUERY", "{ cpu_ms_max = 20 }").env("ROWGATE_LIMITS__MODE", "off");
    serve
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "authorization=planted-collector");
    let mut serving = Running::start(&mut serve);
    let url = address(&serving.stderr.until("serving functions at"));
    let admin_url = address(&serving.stderr.until("admin listener at"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin =
        |method: reqwest::Method, path: &str| http.request(method, format!("{admin_url}{path}")).bearer_auth(admin_key);
    let new = json!({ "extension_id": id, "account_id": Uuid::now_v7() });
    let install = answer(admin(reqwest::Method::POST, "/admin/v1/installs").json(&new)).await.json();
    let install = install["id"].as_str().unwrap().to_owned();
    let new = json!({ "install_id": install, "role": "editor", "name": "tests" });
    let api_key = answer(admin(reqwest::Method::POST, "/admin/v1/keys").json(&new)).await.json();
    let api_key = api_key["key"].as_str().unwrap().to_owned();
    let value = folder.path().join("key.txt");
    std::fs::write(&value, "planted-secret\n").unwrap();
    let mut set = rowgate(["secrets", "set", "API_KEY", "--install", &install]);
    set.env("ROWGATE_ADMIN_URL", &admin_url).env("ROWGATE_ADMIN_KEY", admin_key);
    run(set.stdin(File::open(&value).unwrap())).ok();
    let mut token = rowgate(["token", "--as", "editor", "--install", &install, "--user", "planted-user"]);
    let token = run(token.env("ROWGATE_AUTH__HS256_SECRET", SECRET).current_dir(folder.path())).ok();
    let token = token.trim().to_owned();

    let mut told = String::new();
    let send = async |bearer: &str, path: &str, body: &str| {
        let mut request = http.post(format!("{url}/v1/extension-functions/{install}{path}")).bearer_auth(bearer);
        if path == "/add" || path == "/fail" {
            request = request.header("idempotency-key", "planted-name");
        }
        let request = request.header("content-type", "application/json");
        answer(request.body(body.to_owned())).await
    };
    let row = send(&token, "/add", r#"{"text":"planted-row"}"#).await.ok();
    let of_row = |more: &str| format!("{{\"id\":{}{more}}}", row["id"]);
    let planted = r#"{"text":"planted-argument"}"#;
    // What works: its answers are the caller's.
    for (path, body) in
        [("/put", planted), ("/list", planted), ("/look", planted), ("/make", r#"{"text":"planted-made"}"#)]
    {
        send(&token, path, body).await.ok();
    }
    send(&api_key, "/get", &of_row("")).await.ok();
    // What fails, in each stage.
    let long = format!("{{\"text\":\"planted-argument{}\"}}", "x".repeat(100));
    let cut = format!("{}x", &token[..token.len() - 1]);
    let failing = [
        (&token, "/add", r#"{"text":"planted-other"}"#.to_owned(), "idempotency_key_reused"),
        (&token, "/add", long.clone(), "arguments_invalid"),
        (&token, "/put", long, "arguments_invalid"),
        (&token, "/put", r#"{"text": planted-argument"#.to_owned(), "body_malformed"),
        (&token, "/put", r#"{"text":1,"other":2}"#.to_owned(), "arguments_invalid"),
        (&token, "/set", of_row(r#","text":"planted-argument""#), "unique_conflict"),
        (&token, "/both", planted.to_owned(), "unique_conflict"),
        (&token, "/get", format!("{{\"id\":\"{}\"}}", Uuid::now_v7()), "row_not_found"),
        (&token, "/fail", planted.to_owned(), "handler_failed"),
        (&token, "/make", planted.to_owned(), "unique_conflict"),
        (&token, "/wrong", planted.to_owned(), "handler_failed"),
        (&token, "/spin", planted.to_owned(), "script_cpu_exceeded"),
        (&token, "/reach", planted.to_owned(), "handler_failed"),
        (&token, "/nothing", planted.to_owned(), "function_unknown"),
        (&cut, "/put", planted.to_owned(), "token_signature_invalid"),
        (&admin_key.to_owned(), "/put", planted.to_owned(), "key_unknown"),
        (&format!("{api_key}x"), "/put", planted.to_owned(), "token_malformed"),
    ];
    let mut wrong = Vec::new();
    for (bearer, path, body, code) in failing {
        let answer = send(bearer, path, &body).await;
        if answer.json()["code"] != code {
            wrong.push(format!("{path} {body}: {}", answer.text));
        }
        told.push_str(&answer.text);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let batch = format!(r#"{{"atomic":true,"calls":[{{"function":"add","args":{planted}}},{{"function":"get"}}]}}"#);
    told.push_str(&send(&token, "", &batch).await.text);

    for path in [
        "/extensions",
        "/installs",
        &format!("/installs/{install}"),
        &format!("/secrets?install_id={install}"),
        "/receipts",
        "/nothing",
    ] {
        told.push_str(&answer(admin(reqwest::Method::GET, &format!("/admin/v1{path}"))).await.text);
    }
    for path in ["/metrics", "/readyz", "/livez"] {
        told.push_str(&answer(admin(reqwest::Method::GET, path)).await.text);
    }
    let unkept = http.get(format!("{admin_url}/admin/v1/extensions")).bearer_auth(format!("{admin_key}x"));
    told.push_str(&answer(unkept).await.text);
    let log = serving.said();
    let spans = String::from_utf8_lossy(&exported.lock().unwrap()).into_owned();

    assert!(
        log.contains("a call was refused") && log.contains("a call was answered"),
        "the log is there to be searched"
    );
    assert!(spans.contains("/v1/extension-functions/"), "and so are the traces");
    let must_not = ["planted-", SECRET, "AQEBAQEB", &token, &cut, &api_key, admin_key];
    for (place, text) in [("an answer", &told), ("the log", &log), ("a trace", &spans)] {
        for word in must_not {
            if let Some(at) = text.find(word) {
                let from = text.floor_char_boundary(at.saturating_sub(300));
                panic!("`{word}` is in {place}: …{}", &text[from..text.floor_char_boundary(at + 200)]);
            }
        }
    }
    is_json_by_line(&log);
}

/// What the gateway logs to something that is no terminal, with the fields that are documented.
fn is_json_by_line(log: &str) {
    let mut answered = 0;
    for line in log.lines().filter(|line| line.starts_with('{')) {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level"] {
            assert!(event[field].is_string(), "{line}");
        }
        if event["message"] == "a call was answered" {
            answered += 1;
            assert!(event["request_id"].is_string() && event["instance"].is_string(), "{line}");
            assert_eq!(event["trace_id"].as_str().map(str::len), Some(32), "{line}");
        }
    }
    assert!(answered >= 6, "{answered} calls were answered");
}
