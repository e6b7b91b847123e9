//! Clients that cost a gateway more than their calls: that dribble, say nothing, leave without a word,
//! come by the thousand, or never read what they asked for.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::hostile::notes;
use crate::support::TestDatabase;
use crate::support::gateway::{install, owner};
use crate::support::load::{Caller, Kind};
use crate::support::node::Node;
use crate::support::until::until;

/// Connections that say nothing.
const IDLE: usize = 10_000;
/// What one of them may cost the gateway.
const IDLE_BYTES_MAX: u64 = 64 << 10;

/// A gateway, a caller of it, and the head of a request to `function` up to its last header.
async fn served(settings: &[(&str, &str)], function: &str) -> (TestDatabase, Node, Caller, String) {
    let database = TestDatabase::new().await;
    let installed = install(&database, &notes()).await;
    let node = Node::start(&database.url(), settings);
    let head = format!(
        "POST /v1/extension-functions/{}/{function} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n",
        installed.id,
        owner(&installed)
    );
    let caller = Caller::new(node.address, &installed);
    (database, node, caller, head)
}

async fn is_served(caller: &Caller) -> Duration {
    let came = caller.call(Kind::Read, "countNotes", &json!({}), None).await;
    assert_eq!(came.what, "200");
    came.took
}

/// Sends a byte now and then until the other side ends, and answers what it said.
async fn dribble(mut stream: TcpStream, bytes: Vec<u8>) -> (String, Duration) {
    let began = Instant::now();
    let mut said = Vec::new();
    for byte in bytes {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        let reading = stream.read_buf(&mut said);
        if let Ok(Ok(0) | Err(_)) = tokio::time::timeout(Duration::from_millis(20), reading).await {
            break;
        }
    }
    (String::from_utf8_lossy(&said).into_owned(), began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_dribbles_is_dropped_and_others_are_served() {
    let settings = [("ROWGATE_HTTP__HEADER_READ_TIMEOUT_MS", "500"), ("ROWGATE_HTTP__BODY_READ_TIMEOUT_MS", "500")];
    let (_database, node, caller, head) = served(&settings, "addNote").await;
    let endless = "x".repeat(100_000);
    let headers: Vec<u8> = format!("{head}x-endless: {endless}").into_bytes();
    let mut tasks = Vec::new();
    for number in 0..40 {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let bytes = if number % 2 == 0 {
            headers.clone()
        } else {
            stream.write_all(format!("{head}content-length: 900000\r\n\r\n").as_bytes()).await.unwrap();
            endless.clone().into_bytes()
        };
        tasks.push(tokio::spawn(dribble(stream, bytes)));
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        slowest = slowest.max(is_served(&caller).await);
    }
    let mut dropped = Duration::ZERO;
    for (number, task) in tasks.into_iter().enumerate() {
        let (said, after) = task.await.unwrap();
        dropped = dropped.max(after);
        assert!(number % 2 == 0 || said.contains("408 Request Timeout"), "{said}");
        assert!(after < Duration::from_secs(20), "one that dribbles was kept for {after:?}");
    }
    println!(
        "40 clients that dribble: dropped after {} ms at most; 50 calls beside them took {} ms at most",
        dropped.as_millis(),
        slowest.as_millis()
    );
    until("nobody is connected", async || node.metric("rowgate_client_connections").await <= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little_and_hold_nobody_up() {
    let descriptors = raise_descriptors();
    if descriptors < IDLE as u64 + 1_000 {
        eprintln!("SKIPPED: {IDLE} connections need as many file descriptors, and there are {descriptors}");
        return;
    }
    let settings = [("ROWGATE_HTTP__HEADER_READ_TIMEOUT_MS", "12000")];
    let (_database, node, caller, head) = served(&settings, "countNotes").await;
    let alone = is_served(&caller).await;
    let before = node.resident_bytes();
    let began = Instant::now();
    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        // Half of them stop in the middle of a request, as one whose machine was switched off.
        if number % 2 == 0 {
            stream.write_all(head.as_bytes()).await.unwrap();
        }
        idle.push(stream);
    }
    let opening = began.elapsed();
    let open = || node.metric("rowgate_client_connections");
    let most = open().await;
    let each = (node.resident_bytes().saturating_sub(before)) / IDLE as u64;
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        slowest = slowest.max(is_served(&caller).await);
    }
    println!(
        "{IDLE} connections opened in {} ms, {most} at once; each costs the gateway {each} bytes; a call took {} ms \
         alone, and {} ms at most beside them",
        opening.as_millis(),
        alone.as_millis(),
        slowest.as_millis()
    );
    assert!(each < IDLE_BYTES_MAX, "each costs {each} bytes");
    // Those who say nothing are let go, whether their machines are there or not.
    let until_gone = Instant::now();
    until("those who say nothing are let go", async || open().await <= 2.0).await;
    println!("they were let go after {} ms", until_gone.elapsed().as_millis());
    is_served(&caller).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_never_reads_an_answer_is_dropped() {
    let settings = [("ROWGATE_HTTP__WRITE_TIMEOUT_MS", "1500")];
    let (_database, node, caller, head) = served(&settings, "findNotes").await;
    let text = "x".repeat(20_000);
    for _ in 0..100 {
        assert_eq!(caller.call(Kind::Write, "addNote", &json!({ "text": text }), None).await.what, "200");
    }
    // Two megabytes each, more than the system takes on its way.
    let body = json!({ "text": text, "limit": 100 }).to_string();
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let before = node.resident_bytes();
    let mut unread = Vec::new();
    for _ in 0..40 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        let mut stream = socket.connect(node.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    let began = Instant::now();
    let dropped = || node.metric("rowgate_client_connections_unread_total");
    let mut most = before;
    until("they are dropped", async || {
        most = most.max(node.resident_bytes());
        dropped().await >= 40.0
    })
    .await;
    println!(
        "40 clients that do not read 2 MB: dropped after {} ms; the gateway held {} KiB before and {} KiB at most",
        began.elapsed().as_millis(),
        before >> 10,
        most >> 10
    );
    until("nobody is connected", async || node.metric("rowgate_client_connections").await <= 1.0).await;
    is_served(&caller).await;
    // One that reads slowly and does not stop is given all of it.
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    stream.write_all(request.replacen("host: x", "host: x\r\nconnection: close", 1).as_bytes()).await.unwrap();
    let (mut whole, mut part) = (0, vec![0; 128 << 10]);
    loop {
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            count => whole += count,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(whole > 2_000_000, "{whole} bytes");
}

/// As many as this process may have.
fn raise_descriptors() -> u64 {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.unwrap_or(u64::MAX)
}
