//! Sums keep every digit, sums of nothing are null, and one that no double holds is no fault of
//! the gateway's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::json;

use crate::support::gateway::{TestGateway, document};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sums_are_exact_and_never_a_fault() {
    let optional = |word: &str| json!({ "type": word, "optional": true });
    let of = |select: serde_json::Value| json!({ "kind": "aggregateRows", "table": "t", "select": select });
    let gateway = TestGateway::new(&document(
        json!({ "t": { "columns": { "n": optional("integer"), "x": optional("number"), "d": optional("decimal") } } }),
        json!({
            "add": { "kind": "insertRow", "table": "t", "values": { "n": { "arg": "n" }, "x": { "arg": "x" }, "d": { "arg": "d" } } },
            "sums": of(json!({ "rows": { "count": true }, "n": { "sum": "n" }, "mean": { "avg": "n" }, "d": { "sum": "d" }, "least": { "min": "d" } })),
            "numbers": of(json!({ "x": { "sum": "x" } })),
            "large": { "kind": "aggregateRows", "table": "t", "groupBy": ["d"], "select": { "n": { "sum": "n" } },
                "having": { "column": "n", "op": "in", "value": { "arg": "sums" } } },
        }),
    ))
    .await;
    let text = async |function: &str, body: &str| gateway.call_raw(function, body.to_owned()).await.text;
    assert_eq!(text("sums", "").await, r#"[{"rows":0,"n":null,"mean":null,"d":null,"least":null}]"#);
    assert_eq!(text("numbers", "").await, r#"[{"x":null}]"#);
    assert_eq!(text("large", r#"{"sums":[1]}"#).await, "[]");
    for d in ["1.50", "2", "2"] {
        gateway.call("add", json!({ "n": i64::MAX, "x": 1e308, "d": d })).await.ok();
    }
    let sums = r#"[{"rows":3,"n":27670116110564327421,"mean":9223372036854775807,"d":"5.50","least":"1.50"}]"#;
    assert_eq!(text("sums", "").await, sums.replace("9223372036854775807", "9.223372036854776e18"));
    // Groups are in the order of their columns, and one of the two sums is within 64 bits.
    let large = text("large", &format!("{{\"sums\":[{}]}}", i64::MAX)).await;
    assert_eq!(large, r#"[{"d":"1.50","n":9223372036854775807}]"#);
    let answer = gateway.call("numbers", json!({})).await;
    assert_eq!(answer.problem().1, "value_refused", "{}", answer.text);
    gateway.server.stop().await;
}
