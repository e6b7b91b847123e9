//! Writes are answered when they are on the disk: what a disk that stands still, and a barrier that is
//! lost, are to callers. That nothing acknowledged is lost is shown in `cli::durable`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowgate::config::Durability;
use serde_json::json;
use tokio_postgres::Client;

use crate::hostile::notes;
use crate::support::gateway::TestGateway;

/// The processes that wait for the disk.
async fn barriers(superuser: &Client) -> Vec<i32> {
    let find = "SELECT pid FROM pg_stat_activity
                WHERE datname = current_database() AND query LIKE '%pg_logical_emit_message%' AND pid <> pg_backend_pid()";
    superuser.query(find, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// The name of the extension's only table.
async fn table(superuser: &Client) -> String {
    let find = "SELECT quote_ident(schemaname) || '.notes' FROM pg_tables WHERE tablename = 'notes'";
    superuser.query_one(find, &[]).await.unwrap().get(0)
}

async fn count(superuser: &Client) -> i64 {
    let sql = format!("SELECT count(*) FROM {}", table(superuser).await);
    superuser.query_one(&sql, &[]).await.unwrap().get(0)
}

fn signal(pids: &[i32], signal: rustix::process::Signal) {
    for pid in pids {
        rustix::process::kill_process(rustix::process::Pid::from_raw(*pid).unwrap(), signal).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_stands_still_writes_run_into_their_deadline_and_reads_go_on() {
    let gateway = TestGateway::with(&notes(), |config| config.http.call_timeout_ms = 1_000).await;
    let id = gateway.call("addNote", json!({ "text": "before" })).await.ok()["id"].clone();
    let superuser = gateway.database.superuser().await;
    let pids = barriers(&superuser).await;
    assert_eq!(pids.len(), 2, "one for each worker");
    signal(&pids, rustix::process::Signal::STOP);
    let began = Instant::now();
    let writes = join_all((0..8).map(|_| gateway.call("addNote", json!({ "text": "meanwhile" })))).await;
    let read = gateway.call("getNote", json!({ "id": id })).await;
    signal(&pids, rustix::process::Signal::CONT);
    assert!(began.elapsed() < Duration::from_secs(20));
    for write in &writes {
        assert_eq!(write.problem(), (504, "statement_timeout".to_owned()));
    }
    assert_eq!(read.ok()["text"], "before");

    assert_eq!(gateway.call("addNote", json!({ "text": "after" })).await.ok()["text"], "after");
    assert_eq!(count(&superuser).await, 10, "a write that was not answered may have happened");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_barrier_is_told_to_whom_it_held_and_another_takes_its_place() {
    let gateway = Arc::new(TestGateway::new(&notes()).await);
    let superuser = gateway.database.superuser().await;
    gateway.call("addNote", json!({ "text": "first" })).await.ok();
    let mut answered = 1_i64;
    for _ in 0..5 {
        let pids = barriers(&superuser).await;
        // Held while it stands still, and then lost.
        signal(&pids, rustix::process::Signal::STOP);
        let writes: Vec<_> = (0..6)
            .map(|_| {
                let gateway = gateway.clone();
                tokio::spawn(async move { gateway.call("addNote", json!({ "text": "held" })).await })
            })
            .collect();
        let seen = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                    AND query LIKE 'INSERT%' AND state = 'idle'";
        while superuser.query_one(seen, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        superuser.query("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", &[&pids]).await.unwrap();
        signal(&pids, rustix::process::Signal::CONT);
        for write in writes {
            let write = write.await.unwrap();
            if write.status == 200 {
                answered += 1;
            } else {
                assert_eq!(write.problem(), (503, "database_unavailable".to_owned()), "{}", write.text);
            }
        }
        // The next is sent once a new one is there.
        gateway.call("addNote", json!({ "text": "next" })).await.ok();
        answered += 1;
    }
    let found = count(&superuser).await;
    assert!((answered..=1 + 5 * 7).contains(&found), "{answered} answered, {found} found");
}

#[tokio::test]
async fn each_commit_waits_by_itself_where_that_is_asked_for() {
    let gateway = TestGateway::with(&notes(), |config| config.database.durability = Durability::Commit).await;
    gateway.call("addNote", json!({ "text": "one" })).await.ok();
    assert_eq!(barriers(&gateway.database.superuser().await).await, [] as [i32; 0]);
}

/// The setting of the session that ran the last insert, for each durability.
#[tokio::test]
async fn only_sessions_with_a_barrier_commit_without_waiting() {
    let settings = async |durability: Durability| -> Vec<String> {
        let gateway = TestGateway::with(&notes(), |config| config.database.durability = durability).await;
        let superuser = gateway.database.superuser().await;
        let table = table(&superuser).await;
        // Whether the session itself asked for it is put into the row.
        let trigger = format!(
            "CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 NEW.amount := (SELECT count(*) FROM pg_settings
                     WHERE name = 'synchronous_commit' AND setting = 'off' AND source = 'client');
                 RETURN NEW;
             END $$;
             CREATE TRIGGER look BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.look()"
        );
        superuser.batch_execute(&trigger).await.unwrap();
        let rows = join_all((0..8).map(|_| gateway.call("addNote", json!({ "text": "x" })))).await;
        rows.iter()
            .map(|row| row.ok()["amount"].to_string())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    assert_eq!(settings(Durability::Barrier).await, ["1"]);
    assert_eq!(settings(Durability::Commit).await, ["0"]);
}
