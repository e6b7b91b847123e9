//! Requests that are hostile before their arguments are read: by size, path, method, headers, type,
//! or by the install they name.

use rowgate_schema_dsl::definition::Role;
use serde_json::json;
use uuid::Uuid;

use super::{complaint, count, notes, refused};
use crate::support::gateway::{TestGateway, answer};
use crate::support::wire::{exchange, exchange_open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn size_is_bounded_however_it_is_announced() {
    let gateway = TestGateway::new(&notes()).await;
    let address = gateway.server.address;
    let bytes_max = gateway.server.gateway.config.http.body_bytes_max;
    let head = format!(
        "POST /v1/extension-functions/{}/addNote HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n",
        gateway.install.id,
        gateway.token(Role::Owner),
    );

    let huge = json!({ "text": "a".repeat(bytes_max) }).to_string();
    refused(&gateway.call_raw("addNote", huge.clone()).await, 413, "body_too_large");
    // In chunks, where no length is announced.
    let mut chunked = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for part in huge.as_bytes().chunks(64 << 10) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    refused(&exchange_open(address, &chunked).await.unwrap(), 413, "body_too_large");
    // A length far beyond memory is refused before a byte of it is sent.
    for length in ["99999999999999", "18446744073709551615"] {
        let answer = exchange_open(address, format!("{head}content-length: {length}\r\n\r\n")).await;
        // The greatest of all is not even a number to the server, which answers for itself.
        match answer {
            Some(answer) if length.len() < 20 => refused(&answer, 413, "body_too_large"),
            other => assert!(other.as_ref().is_some_and(|answer| answer.status == 431), "{length}: {other:?}"),
        }
    }
    // More announced than sent, and then the end.
    if let Some(answer) = exchange(address, format!("{head}content-length: 100\r\n\r\n{{\"text\": \"a\"}}")).await {
        refused(&answer, 400, "body_malformed");
    }
    // Lengths that contradict each other or are none are no HTTP; nobody may guess.
    for lie in [
        "content-length: 2\r\ncontent-length: 14\r\n\r\n{\"text\": \"a\"}",
        "content-length: -1\r\n\r\n{\"text\": \"a\"}",
        "content-length: 0x2\r\n\r\n{}",
        "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    ] {
        let answer = exchange(address, format!("{head}{lie}")).await;
        assert!(answer.is_none_or(|answer| answer.status == 400), "{lie}");
    }
    // Fewer announced than sent: the rest is another request, and a broken one.
    if let Some(answer) = exchange(address, format!("{head}content-length: 5\r\n\r\n{{\"text\": \"a\"}}")).await {
        assert_eq!(answer.status, 400, "{answer:?}");
    }

    assert_eq!(count(&gateway).await, 0);
    // One byte below the maximum is served as far as size goes.
    let fits = format!("{{\"nobody\": \"{}\"}}", "a".repeat(bytes_max - 14));
    assert_eq!(fits.len(), bytes_max);
    assert_eq!(
        complaint(&gateway.call_raw("addNote", fits).await),
        ("/nobody".to_owned(), "unknown_argument".to_owned())
    );
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods_that_are_none() {
    let gateway = TestGateway::new(&notes()).await;
    let address = gateway.server.address;
    let token = gateway.token(Role::Owner);
    let send = async |method: &str, path: &str| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
        );
        exchange_open(address, head).await.unwrap()
    };
    let base = format!("/v1/extension-functions/{}", gateway.install.id);
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/extension-functions/a/b",
        "/livez",
        "/metrics",
        "/admin/v1/keys",
        "//",
        "/../../etc/passwd",
        &format!("{base}/"),
        &format!("{base}/countNotes/"),
        &format!("{base}//countNotes"),
        &format!("{base}/countNotes/x"),
        // Percent signs that stand for no byte, or for no text.
        &format!("{base}/%ff%fe"),
        &format!("{base}/%c0%af"),
        "/%",
        "/%zz",
        "/v1/extension-functions/%ff/countNotes",
    ] {
        refused(&send("POST", path).await, 404, "endpoint_unknown");
    }
    for path in ["%", "%z", "%zz", "countNotes%00", "count%4eotes%20", "..%2fcountNotes", "%2e%2e", "%F0%9F%90%98"] {
        let answer = send("POST", &format!("{base}/{path}")).await;
        assert!(matches!(answer.problem().0, 404), "{path}: {}", answer.text);
    }
    // A name may be written in percent signs: it is the same name.
    assert_eq!(send("POST", &format!("{base}/count%4eotes")).await.status, 200);
    for id in ["x", "0", "00000000-0000-0000-0000-00000000000g", "{0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c}", "%00", "'--"]
    {
        refused(&send("POST", &format!("/v1/extension-functions/{id}/countNotes")).await, 404, "install_unknown");
    }
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "BREW"] {
        let answer = send(method, &format!("{base}/countNotes")).await;
        refused(&answer, 405, "method_not_allowed");
        assert_eq!(answer.headers.get("allow").map(String::as_str), Some("POST"), "{method}");
    }
    let long = "x".repeat(20_000);
    let answer = send("POST", &format!("{base}/{long}")).await;
    refused(&answer, 404, "function_unknown");
    assert!(answer.json()["detail"].as_str().unwrap().len() < 300, "{}", answer.text);

    // What is not HTTP at all is answered 400 or not at all, and the connection is closed.
    for noise in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /\xff HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nbroken\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\0c\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = exchange(address, noise).await;
        assert!(answer.as_ref().is_none_or(|answer| matches!(answer.status, 400 | 404 | 505)), "{answer:?}");
    }
    gateway.call("countNotes", json!({})).await.ok();
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_bounded_in_size_and_number() {
    let gateway = TestGateway::new(&notes()).await;
    let address = gateway.server.address;
    let head = format!(
        "POST /v1/extension-functions/{}/countNotes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n",
        gateway.install.id,
        gateway.token(Role::Owner),
    );
    let many: String = (0..1_000).map(|number| format!("x-{number}: 1\r\n")).collect();
    let bombs = [
        format!("{head}x: {}\r\n\r\n", "a".repeat(100_000)),
        format!("{head}{}: a\r\n\r\n", "x".repeat(100_000)),
        format!("{head}{many}\r\n"),
        format!("POST /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)),
    ];
    for bomb in bombs {
        if let Some(answer) = exchange(address, bomb).await {
            assert!(matches!(answer.status, 400 | 414 | 431), "{answer:?}");
        }
    }
    // Whoever opens a header and never ends it is not waited for.
    let endless = format!("{head}x: {}", "a".repeat(60_000));
    if let Some(answer) = exchange_open(address, endless).await {
        assert!(matches!(answer.status, 400 | 431), "{answer:?}");
    }
    let answer = exchange_open(address, format!("{head}\r\n")).await.unwrap();
    assert_eq!(answer.status, 200);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_content_types_are_refused() {
    let gateway = TestGateway::new(&notes()).await;
    let send = async |content_type: Option<&str>| {
        let request = gateway.http.post(gateway.url("addNote")).bearer_auth(gateway.token(Role::Owner)).body("{}");
        answer(match content_type {
            Some(content_type) => request.header("content-type", content_type),
            None => request,
        })
        .await
    };
    // The first three are what a page of another origin may send without being asked about.
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json-patch+json",
        "",
        "/",
        "json",
        "application/xml",
    ] {
        refused(&send(Some(content_type)).await, 415, "content_type_unsupported");
    }
    refused(&send(None).await, 415, "content_type_unsupported");
    assert_eq!(count(&gateway).await, 0);
    for content_type in ["application/json", "Application/JSON", "application/json; charset=utf-8"] {
        send(Some(content_type)).await.ok();
    }
    assert_eq!(count(&gateway).await, 3);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_installs_leave_nothing_behind() {
    let gateway = TestGateway::with(&notes(), |config| {
        config.limits.mode = rowgate::config::LimitMode::Enforce;
        config.auth.require_token = false;
    })
    .await;
    let token = gateway.token(Role::Owner);
    let probe = async |count: usize| {
        let worker = async |share: usize| {
            for number in 0..share {
                let url =
                    format!("http://{}/v1/extension-functions/{}/countNotes", gateway.server.address, Uuid::now_v7());
                let request = gateway.http.post(url);
                if number % 2 == 0 {
                    assert_eq!(answer(request).await.problem(), (404, "install_unknown".to_owned()));
                } else {
                    let answer = answer(request.bearer_auth(&token)).await;
                    assert_eq!(answer.problem(), (403, "token_wrong_install".to_owned()));
                }
            }
        };
        futures_util::future::join_all((0..8).map(|_| worker(count / 8))).await;
    };
    // What the first ones take stays: connections, buffers, the allocator's own pages.
    probe(2_000).await;
    let before = resident_bytes();
    probe(10_000).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "10,000 unknown installs took {grown} bytes");
    assert_eq!(gateway.server.gateway.limiter.buckets(), 0);
    gateway.call("countNotes", json!({})).await.ok();
    assert_eq!(gateway.server.gateway.limiter.buckets(), 3);
    gateway.server.stop().await;
}

/// Of this process, in which the gateway runs.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
