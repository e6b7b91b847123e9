//! The longest pause a caller sees while the tables under him change: a column that must have a value
//! is added to a table of 1,000,000 rows, then an index on it, while readers and writers go on.
//!
//! Everything is the real thing: a durable Postgres, `rowgate serve`, `rowgate apply`, calls over HTTP.
//! `cargo bench --bench change -- ROWS` takes another number of rows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rowgate::db::embedded::{Cluster, Durability, Options};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

const ROWGATE: &str = env!("CARGO_BIN_EXE_rowgate");
const SECRET: &str = "a secret of the benches, long enough for HS256";
const EXTENSION: &str = "5a0e9f31-7c44-4d0b-8f10-3d2c1b0a9e11";
const TABLE: &str = "ext_5a0e9f31_7c44_4d0b_8f10_3d2c1b0a9e11.items";
const CALLERS: usize = 8;
const QUIET: Duration = Duration::from_secs(5);

/// What callers saw since it was looked at last.
#[derive(Default)]
struct Seen {
    calls: AtomicU64,
    failed: AtomicU64,
    longest_us: AtomicU64,
    latencies_us: Mutex<Vec<u64>>,
}

impl Seen {
    fn add(&self, took: Duration, is_ok: bool) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(!is_ok), Ordering::Relaxed);
        self.longest_us.fetch_max(took, Ordering::Relaxed);
        self.latencies_us.lock().unwrap().push(took);
    }

    fn line(&self, what: &str, who: &str, took: Duration) {
        let mut latencies = std::mem::take(&mut *self.latencies_us.lock().unwrap());
        latencies.sort_unstable();
        let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
        let (calls, failed) = (self.calls.swap(0, Ordering::Relaxed), self.failed.swap(0, Ordering::Relaxed));
        let longest = self.longest_us.swap(0, Ordering::Relaxed) as f64 / 1_000.0;
        println!(
            "| {what} | {:.1} | {who} | {calls} | {failed} | {:.1} | {longest:.1} |",
            took.as_secs_f64(),
            p99 as f64 / 1_000.0
        );
    }
}

/// Ended with its process.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(ROWGATE);
    command.args(arguments).env("DATABASE_URL", url).env("ROWGATE_AUTH__HS256_SECRET", SECRET);
    command.env("ROWGATE_LIMITS__MODE", "off").env("ROWGATE_LOG__FILTER", "error");
    command
}

/// Writes the bundle with these columns and options of the table, and deploys it.
fn apply(folder: &Path, url: &str, columns: &str, indexes: &str) -> Duration {
    std::fs::create_dir_all(folder.join("server")).unwrap();
    let extension = json!({ "id": EXTENSION, "name": "change", "version": "1.0.0" });
    std::fs::write(folder.join("extension.json"), extension.to_string()).unwrap();
    let schema = format!("return defineSchema({{ items = defineTable({{ title = v.string(){columns} }}){indexes} }})");
    std::fs::write(folder.join("server/schema.luau"), schema).unwrap();
    let functions = r#"return {
        getItem = getRow("items", arg("id")),
        addItem = insertRow("items", { title = arg("title") }),
        renameItem = patchRow("items", arg("id"), { title = arg("title") }),
    }"#;
    std::fs::write(folder.join("server/functions.luau"), functions).unwrap();
    let began = Instant::now();
    let output = command(url, &["apply"]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    began.elapsed()
}

/// `rowgate serve`, its public and its admin address.
fn serve(url: &str) -> (Serving, String, String) {
    let mut serving = command(url, &["serve", "--port", "0", "--admin-port", "0"]);
    let mut child = serving.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = |what: &str| loop {
        let line = lines.next().unwrap().unwrap();
        if line.contains(what) {
            let start = line.find("http://").unwrap();
            break line[start..].split("/v1").next().unwrap().to_owned();
        }
    };
    let addresses = (address("serving functions at"), address("admin listener at"));
    std::thread::spawn(move || lines.for_each(|line| eprintln!("{}", line.unwrap_or_default())));
    (Serving(child), addresses.0, addresses.1)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let rows: u64 = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    let folder = tempfile::Builder::new().prefix("rg").tempdir_in("/tmp").unwrap();
    // The server may run as another user.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = Options {
        durability: Durability::Durable,
        supervisor: Some(ROWGATE.into()),
        ..Options::new(folder.path().join("server"))
    };
    let cluster = Cluster::start(options).await.unwrap();
    let url = cluster.connection_string();
    let bundle = folder.path().join("bundle");
    apply(&bundle, &url, "", "");
    let (_serving, public, admin) = serve(&url);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let key = String::from_utf8(command(&url, &["admin-key", "bench"]).output().unwrap().stdout).unwrap();
    let new = json!({ "extension_id": EXTENSION, "account_id": uuid::Uuid::now_v7() });
    // The gateway hears of the key, and of the extension, in a moment.
    let install = loop {
        let made = http.post(format!("{admin}/admin/v1/installs")).bearer_auth(key.trim()).json(&new).send().await;
        let made: Value = made.unwrap().json().await.unwrap();
        if let Some(id) = made["id"].as_str() {
            break id.to_owned();
        }
        assert_eq!(made["code"], "key_unknown", "{made}");
    };
    let claims = rowgate::auth::token::Claims::new(
        install.parse().unwrap(),
        rowgate_schema_dsl::definition::Role::Owner,
        Some("bench".to_owned()),
    );
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let token = rowgate::auth::token::mint(SECRET.as_bytes(), &claims, 86_400, now_s).unwrap();
    let (client, connection) =
        tokio_postgres::connect(&cluster.superuser_connection_string("rowgate"), NoTls).await.unwrap();
    tokio::spawn(connection);
    let fill = format!(
        "INSERT INTO {TABLE} (scope_key, id, title) SELECT '{install}', gen_random_uuid(), 'item ' || n
         FROM generate_series(1, {rows}) n"
    );
    client.batch_execute(&fill).await.unwrap();
    client.batch_execute(&format!("VACUUM ANALYZE {TABLE}")).await.unwrap();
    let ids = client.query(&format!("SELECT id FROM {TABLE} LIMIT 10000"), &[]).await.unwrap();
    let ids: Arc<Vec<uuid::Uuid>> = Arc::new(ids.iter().map(|row| row.get(0)).collect());

    let (reads, writes, stop) =
        (Arc::new(Seen::default()), Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let (reads, writes, stop, ids) = (reads.clone(), writes.clone(), stop.clone(), ids.clone());
        let (http, token) = (http.clone(), token.clone());
        let base = format!("{public}/v1/extension-functions/{install}");
        callers.push(tokio::spawn(async move {
            for turn in caller.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let id = ids[turn * 7919 % ids.len()];
                let (seen, function, arguments) = match caller % 4 {
                    0 => (&writes, "addItem", json!({ "title": format!("new {turn}") })),
                    1 => (&writes, "renameItem", json!({ "id": id, "title": format!("item {turn}") })),
                    _ => (&reads, "getItem", json!({ "id": id })),
                };
                let began = Instant::now();
                let sent = http.post(format!("{base}/{function}")).bearer_auth(&token).json(&arguments).send().await;
                let answered = match sent {
                    Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
                    Err(_) => false,
                };
                seen.add(began.elapsed(), answered);
            }
        }));
    }
    println!("{rows} rows, {CALLERS} callers\n");
    println!("| | s | | calls | failed | p99 ms | longest ms |\n|---|---|---|---|---|---|---|");
    let told = |what: &str, took: Duration| {
        reads.line(what, "reads", took);
        writes.line(what, "writes", took);
    };
    tokio::time::sleep(QUIET).await;
    told("nothing changes", QUIET);
    let column = ", kind = v.string():default(\"plain\")";
    let apply = |columns: &'static str, indexes: &'static str| {
        let (bundle, url) = (bundle.clone(), url.clone());
        tokio::task::spawn_blocking(move || apply(&bundle, &url, columns, indexes))
    };
    let took = apply(column, "").await.unwrap();
    told("a column with a default, NOT NULL", took);
    let took = apply(column, ":index(\"by_kind\", { \"kind\" })").await.unwrap();
    told("an index on it", took);
    tokio::time::sleep(QUIET).await;
    told("nothing changes", QUIET);
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
}
