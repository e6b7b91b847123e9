//! Secrets and configuration by the command line, on a gateway that logs all it can.

use std::fs::File;

use serde_json::{Value, json};

use crate::cli::process::{Running, bundle, call, folder, rowgate, run};
use crate::cli::{SECRET, address};
use crate::support::TestDatabase;
use crate::support::outside::{Outside, Seen, says};

const FUNCTIONS: &str = r#"
return {
  forecast = action({
    handler = function(ctx)
      local url = ctx.config.get("SERVICE")
      ctx.log.info("asking", { url = url })
      local answer = ctx.fetch(url, { headers = { authorization = ctx.secrets.get("API_KEY") } })
      return { status = answer.status, body = answer.body }
    end,
  }),
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_set_used_and_never_printed() {
    let outside = Outside::new(|_: &Seen| says("200 OK", "", "sunny")).await;
    let database = TestDatabase::new().await;
    let folder = folder();
    let bundle = bundle(folder.path(), "return defineSchema({})", FUNCTIONS);
    let id = "6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10";
    let extension = json!({
        "id": id, "name": "weather", "version": "1.0.0", "secrets": ["API_KEY"],
        "egress": { "allow_hosts": ["good.test"], "allow_ports": [outside.port] },
    });
    std::fs::write(bundle.join("extension.json"), extension.to_string()).unwrap();
    let with_database = |mut command: std::process::Command| {
        command.env("DATABASE_URL", database.url());
        command
    };
    run(with_database(rowgate(["apply"])).arg(&bundle)).ok();
    let key = run(&mut with_database(rowgate(["admin-key", "tests"]))).ok();

    let mut serve = with_database(rowgate(["serve", "--port", "0", "--admin-port", "0"]));
    serve.env("ROWGATE_AUTH__HS256_SECRET", SECRET).env("ROWGATE_LOG__FILTER", "trace");
    serve.env("ROWGATE_SECRETS_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    serve.env("ROWGATE_FETCH__ALLOW_HTTP", "true").env("ROWGATE_FETCH__ALLOW_NETWORKS", r#"["127.0.0.2/32"]"#);
    serve.env("ROWGATE_FETCH__NAMESERVERS", format!(r#"["{}"]"#, outside.nameserver));
    let mut serving = Running::start(&mut serve);
    let url = address(&serving.stderr.until("serving functions at"));
    let admin_url = address(&serving.stderr.until("admin listener at"));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let new = json!({ "extension_id": id, "account_id": uuid::Uuid::now_v7() });
    let made = http.post(format!("{admin_url}/admin/v1/installs")).bearer_auth(key.trim()).json(&new).send().await;
    let install: Value = made.unwrap().json().await.unwrap();
    let install = install["id"].as_str().unwrap();
    let with_admin = |mut command: std::process::Command| {
        command.env("ROWGATE_ADMIN_URL", &admin_url).env("ROWGATE_ADMIN_KEY", key.trim());
        command
    };

    let value = folder.path().join("key.txt");
    std::fs::write(&value, "Bearer hush-hush\n").unwrap();
    let mut set = with_admin(rowgate(["secrets", "set", "API_KEY", "--install", install]));
    let set = run(set.stdin(File::open(&value).unwrap()));
    assert_eq!((set.code, set.stderr.trim()), (Some(0), "secret `API_KEY` is set"), "{set:?}");
    let service = format!("http://good.test:{}/today", outside.port);
    run(&mut with_admin(rowgate(["config", "set", "SERVICE", &service, "--extension", id]))).ok();
    let listed = run(&mut with_admin(rowgate(["secrets", "list", "--install", install]))).ok();
    assert!(listed.starts_with("API_KEY\tset "), "{listed}");
    let listed = run(&mut with_admin(rowgate(["config", "list", "--extension", id]))).ok();
    assert_eq!(listed.trim(), format!("SERVICE\t\"{service}\""));
    for (arguments, code, part) in [
        (["secrets", "set", "API_KEZ", "--install", install], 1, "did you mean `API_KEY`?"),
        (["secrets", "unset", "API_KEZ", "--install", install], 1, "no value of this name is set"),
        (["config", "unset", "NOTHING", "--install", install], 1, "no value of this name is set"),
    ] {
        let mut refused = with_admin(rowgate(arguments));
        let refused = run(refused.stdin(File::open(&value).unwrap()));
        assert!(refused.code == Some(code) && refused.stderr.contains(part), "{refused:?}");
    }
    let keyless = run(&mut rowgate(["secrets", "list", "--install", install]));
    assert!(keyless.code == Some(2) && keyless.stderr.contains("ROWGATE_ADMIN_KEY"), "{keyless:?}");

    let mut token = rowgate(["token", "--as", "editor", "--install", install]);
    let token = run(token.env("ROWGATE_AUTH__HS256_SECRET", SECRET).current_dir(folder.path())).ok();
    let ready = json!({ "url": url, "install_id": install, "tokens": { "editor": token.trim() } });
    let answer = call(&ready, "editor", "forecast", json!({})).await.ok();
    assert_eq!(answer, json!({ "status": 200, "body": "sunny" }));
    assert_eq!(outside.seen()[0].header("authorization"), Some("bearer hush-hush".to_owned()));

    run(&mut with_admin(rowgate(["secrets", "unset", "API_KEY", "--install", install]))).ok();
    let listed = run(&mut with_admin(rowgate(["secrets", "list", "--install", install]))).ok();
    assert_eq!(listed.trim(), "API_KEY\tnot set");
    let log = serving.said();
    assert!(log.contains("a call was answered"), "the log is there to be read");
    assert!(!log.contains("asking"), "what handlers log is the author's");
    assert!(!log.contains("hush"), "a secret is in the log");
    assert!(!log.contains("AQEBAQEB"), "the key is in the log");
}
