//! What breaks under a running gateway, and what its callers see of it: lost connections, locked rows, slow clients, a deploy under
//! load, a stop with calls under way.

mod clients;
mod database;
mod killed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rowgate::db::connect::{Connector, Purpose};
use rowgate::db::lane::Lanes;
use rowgate::db::parameter::Parameter;
use rowgate::db::pipeline::Request;
use rowgate::db::run::run;
use rowgate::error::Code;
use rowgate::plan::answer::Room;
use rowgate::server::{Server, StartError};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Client;

use crate::hostile::notes;
use crate::support::gateway::{Answer, TestGateway, answer, config, deploy};
use crate::support::until::{PATIENCE, until};
use crate::support::wire::exchange_open;

const ROOM: Room = Room { bytes: 64, bytes_max: usize::MAX };

/// Ends every session of the gateway on `database`; answers how many there were.
async fn terminate(superuser: &Client, database: &str) -> usize {
    let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = $1 AND application_name = 'rowgate'";
    superuser.query(text, &[&database]).await.unwrap().len()
}

/// The name of the extension's only table.
async fn table(client: &Client) -> String {
    let find = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                WHERE tablename = 'notes' AND schemaname NOT IN ('rowgate', 'pg_catalog', 'information_schema')";
    client.query_one(find, &[]).await.unwrap().get(0)
}

/// Waits until a statement of the gateway waits for a lock.
async fn until_one_waits(client: &Client) {
    until("a statement waits for a lock", async || {
        let waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database()
                       AND application_name = 'rowgate' AND wait_event_type = 'Lock'";
        !client.query(waiting, &[]).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_do_not_notice_lost_connections_and_writes_are_not_doubled() {
    let gateway = Arc::new(TestGateway::new(&notes()).await);
    let id = gateway.call("addNote", json!({ "text": "read" })).await.ok()["id"].clone();
    let superuser = gateway.database.superuser().await;
    let stop = Arc::new(AtomicBool::new(false));
    let (reads, writes) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..6)
        .map(|_| {
            let (gateway, stop, reads, id) = (gateway.clone(), stop.clone(), reads.clone(), id.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = gateway.call("getNote", json!({ "id": id })).await;
                    if answer.status == 200 {
                        reads.fetch_add(1, Ordering::Relaxed);
                    } else {
                        failures.push(answer);
                    }
                }
                failures
            })
        })
        .collect();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (gateway, stop, writes) = (gateway.clone(), stop.clone(), writes.clone());
            tokio::spawn(async move {
                let (mut written, mut unsure) = (Vec::new(), Vec::new());
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{writer}-{number}");
                    let answer = gateway.call("addNote", json!({ "text": text })).await;
                    match answer.status {
                        200 => {
                            written.push(text);
                            writes.fetch_add(1, Ordering::Relaxed);
                        }
                        503 => {
                            assert_eq!(answer.problem().1, "database_unavailable");
                            unsure.push(text);
                        }
                        _ => panic!("{answer:?}"),
                    }
                }
                (written, unsure)
            })
        })
        .collect();
    let served = || (reads.load(Ordering::Relaxed), writes.load(Ordering::Relaxed));
    let until_served = async || {
        let before = served();
        until("readers and writers are served", async || {
            let now = served();
            now.0 >= before.0 + 30 && now.1 >= before.1 + 8
        })
        .await;
    };
    for _ in 0..6 {
        until_served().await;
        let ended = terminate(&superuser, &gateway.database.name).await;
        assert!(ended > 0, "no session was open to be ended");
    }
    until_served().await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        let failures = reader.await.unwrap();
        assert!(failures.is_empty(), "{} reads failed, the first by {:?}", failures.len(), failures[0]);
    }
    let client = gateway.database.client().await;
    let find = format!("SELECT count(*) FROM {} WHERE text = $1", table(&client).await);
    for writer in writers {
        let (written, unsure) = writer.await.unwrap();
        assert!(!written.is_empty(), "a writer was never served");
        for text in written {
            let count: i64 = client.query_one(&find, &[&text]).await.unwrap().get(0);
            assert_eq!(count, 1, "{text} was answered as written");
        }
        for text in unsure {
            let count: i64 = client.query_one(&find, &[&text]).await.unwrap().get(0);
            assert!(count <= 1, "{text} was written {count} times");
        }
    }
    let Ok(gateway) = Arc::try_unwrap(gateway) else { panic!("a task still holds the gateway") };
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stays_away_is_told_and_comes_back() {
    let gateway = TestGateway::with(&notes(), |config| config.database.pool_wait_timeout_ms = 300).await;
    gateway.call("addNote", json!({ "text": "kept" })).await.ok();
    // A database cannot be closed from inside.
    let elsewhere = gateway.database.connection_string().replace(&gateway.database.name, "postgres");
    let mut elsewhere: tokio_postgres::Config = elsewhere.parse().unwrap();
    elsewhere.user(rowgate::db::embedded::SUPERUSER);
    let (superuser, connection) = elsewhere.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let open = async |open: bool| {
        let text = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {open}", gateway.database.name);
        superuser.batch_execute(&text).await.unwrap();
    };
    open(false).await;
    terminate(&superuser, &gateway.database.name).await;
    let ready =
        async || answer(gateway.http.get(format!("http://{}/readyz", gateway.server.admin_address))).await.status;
    until("the gateway is not ready", async || ready().await == 503).await;
    until("the wait for a lane is over", async || {
        let began = Instant::now();
        let answer = gateway.call("countNotes", json!({})).await;
        assert_eq!(answer.problem(), (503, "database_unavailable".to_owned()));
        assert_eq!(answer.headers["retry-after"], "1");
        began.elapsed() < Duration::from_millis(150)
    })
    .await;
    for (function, arguments) in [("addNote", json!({ "text": "lost" })), ("countNotes", json!({}))] {
        let answer = gateway.call(function, arguments).await;
        assert_eq!(answer.problem(), (503, "database_unavailable".to_owned()));
        assert!(!answer.text.contains(&gateway.database.name), "{}", answer.text);
    }
    // What needs no database is judged as ever.
    assert_eq!(gateway.call("nothing", json!({})).await.problem(), (404, "function_unknown".to_owned()));
    open(true).await;
    until("the gateway is ready again", async || ready().await == 200).await;
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 1);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_row_costs_its_caller_a_problem_and_nobody_the_lane() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.http.workers = 1;
        config.database.write_lanes = 1;
        config.database.statement_timeout_ms = 1_000;
    })
    .await;
    let row = gateway.call("addNote", json!({ "text": "held" })).await.ok();
    let id = row["id"].clone();
    let mut holder = gateway.database.client().await;
    let table = table(&holder).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("SELECT FROM {table} FOR UPDATE")).await.unwrap();
    let began = Instant::now();
    let answer = gateway.call("addTo", json!({ "id": id, "by": 1 })).await;
    assert_eq!(answer.problem(), (503, "database_busy".to_owned()));
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(began.elapsed() < Duration::from_secs(5));
    // The same lane serves others, and a reader of the held row does not even wait.
    gateway.call("addNote", json!({ "text": "beside" })).await.ok();
    assert_eq!(gateway.call("getNote", json!({ "id": id })).await.ok(), row);
    held.rollback().await.unwrap();

    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let answer = gateway.call("getNote", json!({ "id": id })).await;
    assert_eq!(answer.problem(), (504, "statement_timeout".to_owned()));
    held.rollback().await.unwrap();
    assert_eq!(gateway.call("getNote", json!({ "id": id })).await.ok(), row, "a refused patch has changed the row");
    assert_eq!(gateway.call("addTo", json!({ "id": id, "by": 1 })).await.ok()["amount"], 1);
    gateway.server.stop().await;
}

/// On one thread, so that all are sent together.
#[tokio::test]
async fn a_read_that_fails_takes_none_of_those_sent_with_it_along() {
    let gateway = TestGateway::with(&notes(), |config| config.database.statement_timeout_ms = 60_000).await;
    gateway.call("addNote", json!({ "text": "counted" })).await.ok();
    let settings = &gateway.server.gateway.config.database;
    let lanes = Lanes::open(&Connector::new(settings).unwrap(), Purpose::Read, settings);
    let snapshot = gateway.server.gateway.snapshot();
    let plan = &snapshot.installs[&gateway.install.id].extension.functions["countNotes"].plan;
    let parameters = [Parameter::Uuid(snapshot.installs[&gateway.install.id].scope_key(plan.scope).unwrap())];
    let given = plan.arguments.parse(b"", 8).unwrap();
    let statement = plan.statement(&given).unwrap();
    let role = snapshot.installs[&gateway.install.id].extension.role.as_ref();
    let count = || {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let (turn, alone, room, parameters) = (None, false, ROOM, &parameters);
        run(&lanes, Request { plan, statement, parameters, turn, role, alone, room, deadline })
    };
    assert_eq!(count().await.unwrap().json, b"1");

    let (mut holder, watcher) = (gateway.database.client().await, gateway.database.superuser().await);
    let table = table(&holder).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
    let cancelled = async {
        let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
                      AND application_name = 'rowgate' AND wait_event_type = 'Lock'";
        until_one_waits(&watcher).await;
        assert_eq!(watcher.query(cancel, &[]).await.unwrap().len(), 1);
        until_one_waits(&watcher).await;
        held.rollback().await.unwrap();
    };
    let (answers, ()) = futures_util::future::join(join_all((0..20).map(|_| count())), cancelled).await;
    let (counted, failed): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(counted.iter().all(|answer| answer.as_ref().unwrap().json == b"1"));
    let failed: Vec<Code> = failed.into_iter().map(|answer| answer.unwrap_err().code).collect();
    assert_eq!((counted.len(), failed), (19, vec![Code::StatementTimeout]));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_under_way_are_bounded_and_given_back_when_the_caller_leaves() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.http.concurrent_calls_max = 1;
        config.http.call_timeout_ms = 60_000;
        config.database.statement_timeout_ms = 60_000;
    })
    .await;
    let id = gateway.call("addNote", json!({ "text": "held" })).await.ok()["id"].clone();
    let mut holder = gateway.database.client().await;
    let watcher = gateway.database.client().await;
    let table = table(&holder).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("SELECT FROM {table} FOR UPDATE")).await.unwrap();
    {
        let mut waiting = std::pin::pin!(gateway.call("addTo", json!({ "id": id, "by": 1 })));
        tokio::select! {
            answer = &mut waiting => panic!("{answer:?}"),
            () = until_one_waits(&watcher) => {}
        }
        let refused = gateway.call("countNotes", json!({})).await;
        assert_eq!(refused.problem(), (503, "overloaded".to_owned()));
        assert_eq!(refused.headers["retry-after"], "1");
        // Here the waiting call is dropped, and its connection closed.
    }
    until("the place is given back", async || gateway.call("countNotes", json!({})).await.status == 200).await;
    held.rollback().await.unwrap();
    until("nothing is under way", async || gateway.server.gateway.calls_in_flight() == 0).await;
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_are_not_waited_for() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.http.header_read_timeout_ms = 200;
        config.http.body_read_timeout_ms = 200;
    })
    .await;
    let head = format!(
        "POST /v1/extension-functions/{}/addNote HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        gateway.install.id,
        gateway.token(Role::Owner),
    );
    let answer =
        exchange_open(gateway.server.address, format!("{head}content-length: 20\r\n\r\n{{\"text\"")).await.unwrap();
    assert_eq!(answer.problem(), (408, "request_timeout".to_owned()));
    let mut stream = TcpStream::connect(gateway.server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "a header that never ends is waited for");
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 0);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded() {
    let gateway = TestGateway::with(&notes(), |config| config.http.connections_max = 4).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(TcpStream::connect(gateway.server.address).await.unwrap());
    }
    let gauge = |worker: &str| gateway.server.gateway.metrics.connections.with_label_values(&[worker]).get();
    until("four are open", async || gauge("0") + gauge("1") == 4).await;
    // Whichever worker accepted them.
    assert_eq!((gauge("0"), gauge("1")), (2, 2));
    let mut fifth = TcpStream::connect(gateway.server.address).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, fifth.read_to_end(&mut rest)).await;
    assert!(closed.is_ok() && rest.is_empty(), "a fifth connection is served");
    drop(open);
    until("all are closed", async || gauge("0") + gauge("1") == 0).await;
    gateway.call("countNotes", json!({})).await.ok();
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_additive_deploy_fails_no_call() {
    let gateway = Arc::new(TestGateway::new(&notes()).await);
    let id = gateway.call("addNote", json!({ "text": "before" })).await.ok()["id"].clone();
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..4)
        .map(|caller| {
            let (gateway, stop, served, id) = (gateway.clone(), stop.clone(), served.clone(), id.clone());
            tokio::spawn(async move {
                let calls = [
                    ("getNote", json!({ "id": id })),
                    ("findNotes", json!({ "text": "before" })),
                    ("addNote", json!({ "text": "during" })),
                    ("addTo", json!({ "id": id, "by": 1 })),
                ];
                let (function, arguments) = calls[caller].clone();
                let mut failures: Vec<Answer> = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = gateway.call(function, arguments.clone()).await;
                    if answer.status == 200 {
                        served.fetch_add(1, Ordering::Relaxed);
                    } else {
                        failures.push(answer);
                    }
                }
                failures
            })
        })
        .collect();
    let mut definition = notes();
    for number in 0..5 {
        let before = served.load(Ordering::Relaxed);
        until("callers are served", async || served.load(Ordering::Relaxed) >= before + 40).await;
        let column = format!("added_{number}");
        definition["tables"]["notes"]["columns"][&column] = json!({ "type": "integer", "default": 7 });
        definition["tables"][format!("table_{number}")] = json!({ "columns": { "a": { "type": "string" } } });
        definition["functions"]["addNote"]["values"][&column] = json!({ "arg": column });
        let applied = deploy(&gateway.database, &definition).await.unwrap();
        assert_eq!(applied.revision, number + 2);
    }
    // Told by the database, not asked for here.
    let row = async || gateway.call("getNote", json!({ "id": id })).await.ok();
    until("the new columns are answered", async || row().await["added_4"] == 7).await;
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        let failures = caller.await.unwrap();
        assert!(failures.is_empty(), "{} calls failed, the first by {:?}", failures.len(), failures[0]);
    }
    let after = gateway.call("addNote", json!({ "text": "after", "added_0": 1 })).await.ok();
    assert_eq!((&after["added_0"], &after["added_4"]), (&json!(1), &json!(7)));
    let Ok(gateway) = Arc::try_unwrap(gateway) else { panic!("a task still holds the gateway") };
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_the_calls_under_way_and_takes_no_more() {
    let gateway = TestGateway::new(&notes()).await;
    let id = gateway.call("addNote", json!({ "text": "held" })).await.ok()["id"].clone();
    let mut holder = gateway.database.client().await;
    let watcher = gateway.database.client().await;
    let table = table(&holder).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("SELECT FROM {table} FOR UPDATE")).await.unwrap();
    let url = gateway.url("addTo");
    let token = gateway.token(Role::Owner);
    let request = gateway.http.post(&url).bearer_auth(&token).json(&json!({ "id": id, "by": 5 }));
    let under_way = tokio::spawn(answer(request));
    until_one_waits(&watcher).await;
    let (address, admin_address) = (gateway.server.address, gateway.server.admin_address);
    let server_gateway = gateway.server.gateway.clone();
    let stopping = tokio::spawn(gateway.server.stop());
    until("no more are taken", async || TcpStream::connect(address).await.is_err()).await;
    assert!(!stopping.is_finished(), "the stop did not wait for the call");
    assert_eq!(server_gateway.calls_in_flight(), 1);
    held.rollback().await.unwrap();
    assert_eq!(under_way.await.unwrap().ok()["amount"], 5);
    stopping.await.unwrap();
    assert!(TcpStream::connect(admin_address).await.is_err());
    let amount: i64 = watcher.query_one(&format!("SELECT amount FROM {table}"), &[]).await.unwrap().get(0);
    assert_eq!(amount, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_ever() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.http.drain_timeout_ms = 300;
        config.http.call_timeout_ms = 60_000;
        config.database.statement_timeout_ms = 60_000;
    })
    .await;
    let id = gateway.call("addNote", json!({ "text": "held" })).await.ok()["id"].clone();
    let mut holder = gateway.database.client().await;
    let watcher = gateway.database.client().await;
    let table = table(&holder).await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("SELECT FROM {table} FOR UPDATE")).await.unwrap();
    let request = gateway.http.post(gateway.url("addTo")).bearer_auth(gateway.token(Role::Owner));
    let under_way = tokio::spawn(request.json(&json!({ "id": id, "by": 5 })).send());
    until_one_waits(&watcher).await;
    tokio::time::timeout(PATIENCE, gateway.server.stop()).await.expect("the stop waits for the lock");
    assert!(under_way.await.unwrap().is_err());
    held.rollback().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_gateway_on_the_port_does_not_start() {
    let gateway = TestGateway::new(&notes()).await;
    let mut same_port = config(&gateway.database);
    same_port.http.listen = gateway.server.address;
    let mut same_admin_port = config(&gateway.database);
    same_admin_port.admin.listen = gateway.server.admin_address;
    for (settings, address) in [(same_port, gateway.server.address), (same_admin_port, gateway.server.admin_address)] {
        match Server::start(settings).await {
            Ok(_) => panic!("two gateways share {address}"),
            Err(error @ StartError::Listen { .. }) => {
                let told = error.to_string();
                assert!(told.contains(&address.to_string()) && told.contains("another process"), "{told}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    // The first one has lost nothing by it.
    for _ in 0..20 {
        assert_eq!(gateway.call("countNotes", json!({})).await.ok(), Value::from(0));
    }
    let beside = Server::start(config(&gateway.database)).await.unwrap();
    assert_ne!(beside.address, gateway.server.address);
    beside.stop().await;
    gateway.server.stop().await;
}
