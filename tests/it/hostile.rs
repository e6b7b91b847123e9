//! Hostile input over HTTP: each request gets its problem, never a 500; nothing is written, nothing
//! grows, and the next honest call is served.

use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};
use crate::support::wire::{exchange, exchange_open};

/// A table with a column of every type, and each kind of function on it.
pub(crate) fn notes() -> Value {
    let arguments = |names: &[&str]| -> Value {
        names.iter().map(|name| ((*name).to_owned(), json!({ "arg": name }))).collect::<serde_json::Map<_, _>>().into()
    };
    document(
        json!({ "notes": {
            "columns": {
                "text": { "type": "string", "max": 20000, "optional": true },
                "amount": { "type": "integer", "default": 0 },
                "ratio": { "type": "number", "optional": true },
                "price": { "type": "decimal", "optional": true },
                "fragile": { "type": "boolean", "optional": true },
                "at": { "type": "timestamp", "optional": true },
                "day": { "type": "date", "optional": true },
                "serial": { "type": "uuid", "optional": true },
                "blob": { "type": "bytes", "optional": true },
                "kind": { "type": "enum", "values": ["fun", "serious"], "optional": true },
                "tags": { "type": "array", "items": { "type": "string", "max": 2000 }, "optional": true },
                "extra": { "type": "json", "optional": true },
                "shape": { "type": "object", "fields": { "label": { "type": "string" } }, "optional": true },
            },
            "indexes": { "by_amount": ["amount"] },
        } }),
        json!({
            "addNote": { "kind": "insertRow", "table": "notes", "values": arguments(&[
                "text", "amount", "ratio", "price", "fragile", "at", "day", "serial", "blob", "kind", "tags", "extra",
                "shape",
            ]) },
            "getNote": { "kind": "getRow", "table": "notes", "id": { "arg": "id" } },
            "findNotes": {
                "kind": "queryRows", "table": "notes", "orderBy": "amount",
                "filter": { "column": "text", "op": "=", "value": { "arg": "text" } },
                "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } },
                "offset": { "arg": "offset", "validator": { "type": "integer", "default": 0 } },
            },
            "countNotes": { "kind": "countRows", "table": "notes" },
            "editNote": {
                "kind": "patchRow", "table": "notes", "id": { "arg": "id" }, "values": arguments(&["text", "extra"]),
            },
            "addTo": {
                "kind": "patchRow", "table": "notes", "id": { "arg": "id" },
                "values": { "amount": { "increment": { "arg": "by", "validator": { "type": "integer" } } } },
            },
            "removeNote": { "kind": "deleteRow", "table": "notes", "id": { "arg": "id" } },
        }),
    )
}

async fn count(gateway: &TestGateway) -> Value {
    gateway.call("countNotes", json!({})).await.ok()
}

/// A problem of this status and code, one that says nothing of what is inside.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.problem(), (status, code.to_owned()), "{}", answer.text);
    // What the caller sent is the caller's own.
    let told = answer.text.replace("SELECT pg_sleep", "").replace("SELECT version", "");
    let told = told.replace("SELECT * FROM rowgate.api_keys", "");
    for leak in
        ["SQLSTATE", "SELECT", "INSERT", "UPDATE ", "scope_key", "pg_", "tokio", "panicked", "serde", "rowgate."]
    {
        assert!(!told.contains(leak), "`{leak}` is told in {}", answer.text);
    }
}

/// The code of the only complaint, and its pointer.
#[track_caller]
fn complaint(answer: &Answer) -> (String, String) {
    refused(answer, 422, "arguments_invalid");
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{}", answer.text);
    (errors[0]["pointer"].as_str().unwrap().to_owned(), errors[0]["code"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_object_of_arguments_is_malformed() {
    let gateway = TestGateway::new(&notes()).await;
    let bodies: [&[u8]; 24] = [
        b"{",
        b"}",
        b"{\"text\"",
        b"{\"text\":",
        b"{\"text\": \"a\"",
        b"{\"text\": \"a\",}",
        b"{text: \"a\"}",
        b"{'text': 'a'}",
        b"{} {}",
        b"{}x",
        b"[]",
        b"[{}]",
        b"null",
        b"true",
        b"1",
        b"\"text\"",
        b"NaN",
        b"\xff\xfe{}",
        b"{\"text\": \"\xc3\x28\"}",
        b"\xef\xbb\xbf{}",
        b"{\"text\": \"\x01\"}",
        b"{\"text\": 01}",
        b"\0",
        b"{\"\\ud800\": 1}",
    ];
    for body in bodies {
        let answer = gateway.call_raw("addNote", body.to_vec()).await;
        refused(&answer, 400, "body_malformed");
    }
    // Nothing at all, and nothing but space, are no arguments.
    for body in ["", " ", "\r\n\t {} \n"] {
        gateway.call_raw("findNotes", body).await.problem();
        gateway.call_raw("countNotes", body).await.ok();
    }
    assert_eq!(count(&gateway).await, 0);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn depth_is_bounded_wherever_it_is() {
    let gateway = TestGateway::new(&notes()).await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [65, 1_000, 100_000] {
            let fill = if open == "[" { "" } else { "1" };
            let value = format!("{}{fill}{}", open.repeat(depth), close.repeat(depth));
            let answer = gateway.call_raw("addNote", format!("{{\"extra\": {value}}}")).await;
            refused(&answer, 400, "body_too_deep");
            // Under a name that is no argument, and never closed.
            let answer = gateway.call_raw("addNote", format!("{{\"nobody\": {}", open.repeat(depth))).await;
            refused(&answer, 400, "body_too_deep");
        }
    }
    let brackets = "[".repeat(1_000);
    let row = gateway.call("addNote", json!({ "text": brackets, "extra": [[[[1]]]] })).await.ok();
    assert_eq!(row["text"], brackets, "brackets in text are no depth");
    assert_eq!(count(&gateway).await, 1);
    gateway.server.stop().await;
}

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
async fn a_value_its_column_cannot_hold_is_complained_about_where_it_is() {
    let gateway = TestGateway::new(&notes()).await;
    let note = gateway.call("addNote", json!({ "text": "kept" })).await.ok();
    let check = async |raw: &str, pointer: &str, code: &str| {
        let answer = gateway.call_raw("addNote", raw.to_owned()).await;
        assert_eq!(complaint(&answer), (pointer.to_owned(), code.to_owned()), "{raw}");
    };
    // Text that Postgres cannot hold, in each place text can stand.
    check(r#"{"text": "a\u0000b"}"#, "/text", "nul_character").await;
    check(r#"{"tags": ["a", "a\u0000b"]}"#, "/tags/1", "nul_character").await;
    check(r#"{"extra": {"a": ["\u0000"]}}"#, "/extra", "nul_character").await;
    check(r#"{"extra": {"\u0000": 1}}"#, "/extra", "nul_character").await;
    check(r#"{"shape": {"label": "\u0000"}}"#, "/shape/label", "nul_character").await;
    for lone in [r"\ud800", r"\udc00", r"\ud800x", r"\ud800\ud800", r"\udfff\ud800"] {
        check(&format!(r#"{{"text": "{lone}"}}"#), "/text", "invalid_text").await;
        check(&format!(r#"{{"tags": ["{lone}"]}}"#), "/tags/0", "invalid_text").await;
        check(&format!(r#"{{"extra": {{"a": "{lone}"}}}}"#), "/extra", "invalid_text").await;
        check(&format!(r#"{{"extra": {{"{lone}": 1}}}}"#), "/extra", "invalid_text").await;
        check(&format!(r#"{{"shape": {{"label": "{lone}"}}}}"#), "/shape/label", "invalid_text").await;
    }
    // Numbers.
    check(r#"{"amount": 9223372036854775808}"#, "/amount", "out_of_range").await;
    check(r#"{"amount": -9223372036854775809}"#, "/amount", "out_of_range").await;
    check(r#"{"amount": 1e400}"#, "/amount", "out_of_range").await;
    check(r#"{"amount": 1.5}"#, "/amount", "not_an_integer").await;
    check(r#"{"ratio": 1e400}"#, "/ratio", "out_of_range").await;
    check(r#"{"extra": [1e400]}"#, "/extra", "out_of_range").await;
    for raw in [
        // A number of the wrong kind of JSON, and words that are none of the type's.
        r#"{"amount": "1"}"#,
        r#"{"amount": true}"#,
        r#"{"ratio": "NaN"}"#,
        r#"{"ratio": "Infinity"}"#,
        r#"{"price": "1e5"}"#,
        r#"{"price": "NaN"}"#,
        r#"{"price": "1,5"}"#,
        r#"{"price": ""}"#,
        r#"{"fragile": 1}"#,
        r#"{"fragile": "true"}"#,
        r#"{"text": 1}"#,
        r#"{"text": ["a"]}"#,
        r#"{"kind": "other"}"#,
        r#"{"tags": "a"}"#,
        r#"{"tags": [1]}"#,
        r#"{"tags": [null]}"#,
        r#"{"shape": {"label": 1}}"#,
        r#"{"shape": {"label": "a", "other": "a"}}"#,
        r#"{"shape": []}"#,
        r#"{"at": "yesterday"}"#,
        r#"{"at": "infinity"}"#,
        r#"{"at": 0}"#,
        r#"{"at": "2026-02-30T00:00:00Z"}"#,
        r#"{"at": "2026-01-01T00:00:00"}"#,
        r#"{"at": "-99999-01-01T00:00:00Z"}"#,
        r#"{"day": "2026-13-01"}"#,
        r#"{"day": "0000-01-01"}"#,
        r#"{"day": "+99999-01-01"}"#,
        r#"{"blob": "=="}"#,
        r#"{"blob": "a b"}"#,
        r#"{"blob": "\\x00"}"#,
        // UUIDs that are none.
        r#"{"serial": ""}"#,
        r#"{"serial": "1"}"#,
        r#"{"serial": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3"}"#,
        r#"{"serial": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3g"}"#,
        r#"{"serial": "{0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c}"}"#,
        r#"{"serial": "0190a5c87d3a7c4e9b1f2f6d8e4a1b3c"}"#,
        r#"{"serial": 5}"#,
        r#"{"serial": "' OR true --' OR true --' OR true -- "}"#,
    ] {
        complaint(&gateway.call_raw("addNote", raw).await);
    }
    let long = "a".repeat(20_001);
    assert_eq!(complaint(&gateway.call("addNote", json!({ "text": long })).await).1, "too_long");
    let digits = "9".repeat(100_000);
    complaint(&gateway.call_raw("addNote", format!("{{\"amount\": {digits}}}")).await);
    complaint(&gateway.call("addNote", json!({ "price": digits })).await);
    for id in ["null", "1", "\"\"", "\"x\"", "{}", "\"' OR 1=1 --\""] {
        for function in ["getNote", "removeNote", "editNote"] {
            complaint(&gateway.call_raw(function, format!("{{\"id\": {id}}}")).await);
        }
    }
    // What only the database can judge is refused by name as well.
    let id = note["id"].clone();
    gateway.call("addTo", json!({ "id": id, "by": i64::MAX })).await.ok();
    refused(&gateway.call("addTo", json!({ "id": id, "by": 1 })).await, 422, "value_refused");
    for (name, value) in [("limit", -1), ("offset", -1)] {
        let answer = gateway.call("findNotes", json!({ "text": "kept", name: value })).await;
        assert_eq!(answer.problem().0, 422, "{}", answer.text);
    }
    gateway.call("findNotes", json!({ "text": "kept", "offset": 100_000 })).await.ok();
    let kept = gateway.call("getNote", json!({ "id": id })).await.ok();
    assert_eq!((&kept["amount"], &kept["version"]), (&json!(i64::MAX), &json!(2)));
    assert_eq!(count(&gateway).await, 1);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wrong_argument_is_named_at_once() {
    let gateway = TestGateway::new(&notes()).await;
    let body = r#"{"txet": "a", "amount": "x", "amount": 1, "kind": "no", "a/b~c": 1}"#;
    let answer = gateway.call_raw("addNote", body).await;
    refused(&answer, 422, "arguments_invalid");
    let problem = answer.json();
    let mut told: Vec<(&str, &str)> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    let pointers: Vec<&str> = told.iter().map(|(pointer, _)| *pointer).collect();
    assert_eq!(pointers, ["/amount", "/amount", "/a~1b~0c", "/kind", "/txet"], "{}", answer.text);
    assert!(answer.text.contains("did you mean `text`?"), "{}", answer.text);

    for (function, body, expected) in [
        ("getNote", "{}", ("/id", "missing_argument")),
        ("getNote", r#"{"id": null}"#, ("/id", "null")),
        ("countNotes", r#"{"limit": 1}"#, ("/limit", "unknown_argument")),
        // The gateway's own columns are nobody's arguments.
        ("addNote", r#"{"scope_key": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"}"#, ("/scope_key", "unknown_argument")),
        ("addNote", r#"{"id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"}"#, ("/id", "unknown_argument")),
        ("addNote", r#"{"__proto__": {}}"#, ("/__proto__", "unknown_argument")),
    ] {
        let answer = gateway.call_raw(function, body).await;
        let (pointer, code) = {
            let problem = answer.json();
            let error = problem["errors"][0].clone();
            (error["pointer"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
        };
        assert_eq!((pointer.as_str(), code.as_str()), expected, "{body}");
        assert_eq!(answer.problem(), (422, "arguments_invalid".to_owned()));
    }
    // A hundred thousand of them make no answer of many times the size.
    let many: Vec<String> = (0..50_000).map(|number| format!("\"x{number}\":1")).collect();
    let answer = gateway.call_raw("addNote", format!("{{{}}}", many.join(","))).await;
    assert_eq!(answer.problem(), (422, "arguments_invalid".to_owned()));
    assert!(answer.text.len() < 64 << 10, "{} bytes are answered", answer.text.len());
    assert_eq!(count(&gateway).await, 0);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sql_in_a_string_is_text() {
    let gateway = TestGateway::new(&notes()).await;
    let bystander = gateway.call("addNote", json!({ "text": "bystander" })).await.ok();
    let words = [
        "'; DROP TABLE notes; --",
        "' OR '1'='1",
        "\" OR \"\"=\"",
        "$1",
        "$1::text",
        "$$; SELECT pg_sleep(10); $$",
        "\\'; DELETE FROM notes; --",
        "/* */",
        "--",
        "); SELECT version(); (",
        "%",
        "_",
        "%s",
        "{0}",
        "\u{1}",
        "\u{feff}",
        "E'\\x27'",
        "U&'\\0027'",
        "' UNION SELECT * FROM rowgate.api_keys --",
        "𝕊𝕢𝕝 ' 🐘",
        "\u{202e}gnp",
        "null",
        "NULL",
        "now()",
        "\n\r\t\u{8}\u{c}",
        "\\u0027",
        "a\\",
        "\\",
        "'",
        "''",
        "\"",
        "`",
    ];
    for word in words {
        let sent = json!({
            "text": word, "tags": [word, word], "extra": { word: [word] }, "shape": { "label": word },
        });
        let row = gateway.call("addNote", sent.clone()).await.ok();
        for name in ["text", "tags", "extra", "shape"] {
            assert_eq!(row[name], sent[name], "{word}");
        }
        let id = row["id"].clone();
        assert_eq!(gateway.call("getNote", json!({ "id": id })).await.ok(), row);
        assert_eq!(gateway.call("findNotes", json!({ "text": word })).await.ok(), json!([row]), "{word}");
        let edited = gateway.call("editNote", json!({ "id": id, "text": format!("{word} edited") })).await.ok();
        assert_eq!(edited["text"], format!("{word} edited"));
        // As the name of an argument, and in a path, it names nothing.
        assert_eq!(complaint(&gateway.call("addNote", json!({ word: 1 })).await).1, "unknown_argument");
        let mut url = reqwest::Url::parse(&gateway.url("x")).unwrap();
        url.path_segments_mut().unwrap().pop().push(word);
        let request = gateway.http.post(url).bearer_auth(gateway.token(Role::Owner)).json(&json!({}));
        assert_eq!(answer(request).await.problem(), (404, "function_unknown".to_owned()), "{word}");
    }
    assert_eq!(count(&gateway).await, words.len() + 1);
    let id = bystander["id"].clone();
    assert_eq!(gateway.call("getNote", json!({ "id": id })).await.ok(), bystander);
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
