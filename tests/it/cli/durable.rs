//! What a caller was told is written outlives whatever is killed: the database's processes, all at once
//! and without warning, or the gateway, while many write.
//!
//! `ROWGATE_KILLS=500` kills as often; without it a few times. What the test could see is shown by the
//! control: commits that wait for nothing do get lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rowgate::db::embedded::{Cluster, Options};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls};

use crate::cli::process::{Running, bundle, folder, rowgate};
use crate::support::ROWGATE;

const WRITERS: usize = 16;
/// Longer than a recovery and a start take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const SCHEMA: &str = r#"return defineSchema({
  entries = defineTable({ tag = v.string():max(80) }):storage("instance"),
  counters = defineTable({ name = v.string():max(80):unique(), n = v.integer():default(0) }):storage("instance"),
})"#;

const FUNCTIONS: &str = r#"return {
  add = insertRow("entries", { tag = arg("tag") }, { access = "editor" }),
  count = upsertRow("counters", "name", { name = arg("name"), n = increment(1) }, { access = "editor" }),
}"#;

/// A gateway that can be found again after it was started anew.
#[derive(Clone)]
struct Ready {
    url: String,
    token: String,
}

/// What one writer knows of its writes.
#[derive(Default)]
struct Known {
    answered: Vec<String>,
    /// Sent, and never answered as written.
    unknown: usize,
    /// Increments that were answered, and those that were sent.
    counted: (i64, i64),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_written_twice() {
    let kills: usize = std::env::var("ROWGATE_KILLS").map_or(4, |kills| kills.parse().unwrap());
    let folder = folder();
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let mut cluster = start(folder.path()).await;
    let database_url = cluster.url();
    let (mut gateway, ready) = serve(&bundle, folder.path(), &database_url);
    let (announce, announced) = watch::channel(ready);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(write(number, announced.clone(), stop.clone(), acknowledged.clone())))
        .collect();

    let (mut of_database, mut of_gateway, mut longest) = (0, 0, Duration::ZERO);
    for kill in 0..kills {
        until_written(&acknowledged, WRITERS).await;
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..200))).await;
        let began = Instant::now();
        if kill % 2 == 0 {
            of_database += 1;
            kill_all(&cluster);
            cluster = start(folder.path()).await;
            assert_eq!(cluster.url(), database_url);
        } else {
            of_gateway += 1;
            gateway.kill();
            let ready;
            (gateway, ready) = serve(&bundle, folder.path(), &database_url);
            announce.send_replace(ready);
        }
        until_written(&acknowledged, 1).await;
        longest = longest.max(began.elapsed());
    }
    until_written(&acknowledged, WRITERS).await;
    stop.store(true, Ordering::Relaxed);
    let mut known = Vec::new();
    for writer in writers {
        known.push(writer.await.unwrap());
    }

    let client = superuser(&cluster).await;
    let written = written(&client).await;
    let answered: Vec<&String> = known.iter().flat_map(|known| &known.answered).collect();
    let lost: Vec<_> = answered.iter().filter(|tag| !written.contains_key(**tag)).collect();
    assert_eq!(lost, [] as [&&String; 0], "acknowledged, and not there");
    let doubled: Vec<_> = written.iter().filter(|(_, count)| **count > 1).collect();
    assert_eq!(doubled, [], "written more than once");
    let counters = counters(&client).await;
    for (number, known) in known.iter().enumerate() {
        let (answered, sent) = known.counted;
        let counted = counters.get(&format!("w{number}")).copied().unwrap_or(0);
        assert!((answered..=sent).contains(&counted), "w{number}: {counted} is not within {answered} to {sent}");
    }
    let unknown: usize = known.iter().map(|known| known.unknown).sum();
    println!(
        "{kills} kills ({of_database} of the database, {of_gateway} of the gateway): {} writes answered, all found, none \
         twice; {unknown} told that they may have happened; longest from a kill to the next write {longest:?}",
        answered.len() + known.iter().map(|known| known.counted.0 as usize).sum::<usize>(),
    );
    drop(gateway);
    cluster.stop().await.unwrap();
}

/// That the test above would see a loss: where a commit waits for nothing, there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_waits_for_nothing_is_lost() {
    let folder = folder();
    let mut cluster = start(folder.path()).await;
    let client = superuser(&cluster).await;
    client.batch_execute("CREATE TABLE public.entries (tag text)").await.unwrap();
    for attempt in 1.. {
        let client = superuser(&cluster).await;
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        let mut answered = 0_i64;
        let before: i64 = client.query_one("SELECT count(*) FROM public.entries", &[]).await.unwrap().get(0);
        let writing = Instant::now();
        while writing.elapsed() < Duration::from_millis(300) {
            client.execute("INSERT INTO public.entries VALUES ('x')", &[]).await.unwrap();
            answered += 1;
        }
        kill_all(&cluster);
        cluster = start(folder.path()).await;
        let client = superuser(&cluster).await;
        let after: i64 = client.query_one("SELECT count(*) FROM public.entries", &[]).await.unwrap().get(0);
        if after < before + answered {
            break;
        }
        assert!(attempt < 20, "{attempt} kills, and no commit was lost");
    }
    cluster.stop().await.unwrap();
}

/// Writes one row after the other until `stop`, half of the writers under a name that makes it safe to ask
/// again, and counts.
async fn write(
    number: usize,
    mut announced: watch::Receiver<Ready>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
) -> Known {
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let mut known = Known::default();
    let is_named = number.is_multiple_of(2);
    for place in 0.. {
        let tag = format!("w{number}-{place}");
        while !stop.load(Ordering::Relaxed) {
            let ready = announced.borrow_and_update().clone();
            let name = is_named.then_some(tag.as_str());
            if ask(&http, &ready, "add", json!({ "tag": tag }), name).await {
                known.answered.push(tag.clone());
                acknowledged.fetch_add(1, Ordering::Relaxed);
                break;
            }
            known.unknown += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Without a name nobody may ask again.
            if !is_named {
                break;
            }
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let ready = announced.borrow_and_update().clone();
        known.counted.1 += 1;
        let is_counted = ask(&http, &ready, "count", json!({ "name": format!("w{number}") }), None).await;
        known.counted.0 += i64::from(is_counted);
    }
    known
}

/// Whether it was answered as done.
async fn ask(http: &reqwest::Client, ready: &Ready, function: &str, arguments: Value, name: Option<&str>) -> bool {
    let mut request = http.post(format!("{}{function}", ready.url)).bearer_auth(&ready.token).json(&arguments);
    if let Some(name) = name {
        request = request.header("idempotency-key", name);
    }
    match request.send().await {
        // An answer that breaks off is none.
        Ok(answer) if answer.status() == 200 => answer.bytes().await.is_ok(),
        Ok(answer) => {
            let status = answer.status();
            let body = answer.text().await.unwrap_or_default();
            assert!([503, 504].contains(&status.as_u16()), "{status}: {body}");
            false
        }
        Err(_) => false,
    }
}

async fn until_written(acknowledged: &AtomicUsize, more: usize) {
    let (before, began) = (acknowledged.load(Ordering::Relaxed), Instant::now());
    while acknowledged.load(Ordering::Relaxed) < before + more {
        assert!(began.elapsed() < PATIENCE, "nothing was written for {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn start(folder: &Path) -> Cluster {
    let options = Options { supervisor: Some(ROWGATE.into()), ..Options::new(folder.join("server")) };
    Cluster::start(options).await.unwrap()
}

fn serve(bundle: &Path, folder: &Path, database_url: &str) -> (Running, Ready) {
    let mut command = rowgate(["dev", "--port", "0", "--admin-port", "0", "--limits", "off", "--json"]);
    command.arg("--data-dir").arg(folder.join("state")).arg(bundle).env("DATABASE_URL", database_url);
    let mut process = Running::start(&mut command);
    let said: Value = serde_json::from_str(&process.stdout.until("{")).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let url = format!("{}/v1/extension-functions/{}/", text(&said["url"]), text(&said["install_id"]));
    (process, Ready { url, token: text(&said["tokens"]["owner"]) })
}

/// Ends every process of the server before any of them notices.
fn kill_all(cluster: &Cluster) {
    let server = cluster.server_pid();
    let kill = |pid: u32| {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        // One that has just ended by itself is as dead.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    };
    let children: BTreeSet<u32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| parent(*pid) == Some(server))
        .collect();
    kill(server);
    children.into_iter().for_each(kill);
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

async fn superuser(cluster: &Cluster) -> Client {
    let (client, connection) =
        tokio_postgres::connect(&cluster.superuser_connection_string("rowgate"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// How often each tag was written.
async fn written(client: &Client) -> BTreeMap<String, i64> {
    let sql = format!("SELECT tag, count(*) FROM {} GROUP BY tag", table(client, "entries").await);
    client.query(&sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn counters(client: &Client) -> BTreeMap<String, i64> {
    let sql = format!("SELECT name, n::bigint FROM {}", table(client, "counters").await);
    client.query(&sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn table(client: &Client, name: &str) -> String {
    let find = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                WHERE tablename = $1 AND schemaname LIKE 'ext%'";
    client.query_one(find, &[&name]).await.unwrap().get(0)
}
