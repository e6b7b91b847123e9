//! Values at the edges of every column type: what is answered for what was sent, the same by
//! insert, get and query; and each refusal with its pointer and code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;

use rowgate_schema_dsl::pattern::Pattern;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::support::TestDatabase;
use crate::support::gateway::{Answer, TestGateway, document};

/// A table with an optional column for each validator, and functions to add, get and list.
fn definition(columns: &Value) -> Value {
    let columns = columns.as_object().unwrap();
    let mut optional = columns.clone();
    optional.insert("holder".to_owned(), json!({ "type": "id", "table": "holders" }));
    for validator in optional.values_mut() {
        validator["optional"] = json!(true);
    }
    let values: Map<String, Value> = optional.keys().map(|name| (name.clone(), json!({ "arg": name }))).collect();
    document(
        json!({
            "t": { "columns": optional },
            "holders": { "columns": { "label": { "type": "string" } } },
            "marks": { "columns": { "of_id": { "type": "id", "table": "t" } } },
        }),
        json!({
            "add": { "kind": "insertRow", "table": "t", "values": values },
            "addRows": { "kind": "insertRows", "table": "t", "values": values },
            "get": { "kind": "getRow", "table": "t", "id": { "arg": "id" } },
            "all": { "kind": "queryRows", "table": "t" },
            "hold": { "kind": "insertRow", "table": "holders", "values": { "label": "" } },
            "held": {
                "kind": "getRow", "table": "holders", "id": { "arg": "id" },
                "expand": { "rows": { "table": "t", "by": "holder" } },
            },
            "mark": { "kind": "insertRow", "table": "marks", "values": { "of_id": { "arg": "id" } } },
            "marked": { "kind": "getRow", "table": "marks", "id": { "arg": "id" }, "expand": ["of_id"] },
        }),
    )
}

/// The JSON text of each member.
fn members(text: &str) -> HashMap<String, Box<RawValue>> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_at_the_edges_are_answered_as_they_are() {
    let array = |word: &str| json!({ "type": "array", "items": { "type": word } });
    let gateway = TestGateway::new(&definition(&json!({
        "integer": { "type": "integer" }, "number": { "type": "number" }, "decimal": { "type": "decimal" },
        "boolean": { "type": "boolean" }, "string": { "type": "string" }, "timestamp": { "type": "timestamp" },
        "date": { "type": "date" }, "uuid": { "type": "uuid" }, "bytes": { "type": "bytes" }, "json": { "type": "json" },
        "enum": { "type": "enum", "values": ["it's", "", "π"] },
        "object": { "type": "object", "fields": {
            "at": { "type": "timestamp", "optional": true }, "n": { "type": "number", "optional": true }, "é\"": { "type": "string", "optional": true },
        } },
        "integers": array("integer"), "numbers": array("number"), "decimals": array("decimal"), "booleans": array("boolean"),
        "strings": array("string"), "timestamps": array("timestamp"), "dates": array("date"), "uuids": array("uuid"), "list_of_bytes": array("bytes"),
    })))
    .await;
    let long = format!("\"-{}.{}\"", "9".repeat(500), "1".repeat(498));
    let big = format!("\"{}\"", "AAEC".repeat(50_000));
    let uuid = "\"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c\"";
    // The column, what is sent, and what is answered where that is not the same.
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("integer", "9223372036854775807", None),
        ("integer", "-9223372036854775808", None),
        ("integer", "9007199254740991", None),
        ("integer", "9007199254740993", None),
        ("integer", "9007199254740993.0", Some("9007199254740993")),
        ("integer", "1.5e1", Some("15")),
        ("integer", "-0", Some("0")),
        ("number", "1.7976931348623157e308", None),
        ("number", "-1.7976931348623157e308", None),
        ("number", "5e-324", None),
        ("number", "2.225073858507201e-308", None),
        ("number", "-0.0", Some("0")),
        ("number", "0.1", None),
        ("number", "1E2", Some("100")),
        ("number", "9007199254740993", Some("9007199254740992")),
        ("number", "123456789012345680000", Some("1.2345678901234568e20")),
        ("decimal", &long, None),
        ("decimal", "-0.10", Some("\"-0.10\"")),
        ("decimal", "\"007.00\"", Some("\"7.00\"")),
        ("decimal", "\"-0\"", Some("\"0\"")),
        ("boolean", "false", None),
        ("string", "\"\"", None),
        ("string", "\"𝄞 \u{2028} é\u{301} \u{7f}\"", None),
        ("string", r#""\u0001\u001f\b\t\n\f\r\"\\\/""#, Some(r#""\u0001\u001f\b\t\n\f\r\"\\/""#)),
        ("string", r#""\ud834\udd1e'; DROP TABLE t; --""#, Some("\"𝄞'; DROP TABLE t; --\"")),
        ("enum", "\"\"", None),
        ("enum", "\"it's\"", None),
        ("timestamp", "\"0001-01-01T00:00:00.000001Z\"", None),
        ("timestamp", "\"9999-12-30T21:59:59.999999Z\"", None),
        ("timestamp", "\"9999-12-31T23:59:59.999999Z\"", None),
        ("timestamp", "\"9999-12-31T23:59:59+02:00\"", Some("\"9999-12-31T21:59:59.000000Z\"")),
        ("timestamp", "\"2024-02-29T23:59:59.5-01:00\"", Some("\"2024-03-01T00:59:59.500000Z\"")),
        ("timestamp", "\"1969-12-31T23:59:59.9999999z\"", Some("\"1969-12-31T23:59:59.999999Z\"")),
        ("timestamp", "\"2016-12-31T23:59:60Z\"", Some("\"2016-12-31T23:59:59.000000Z\"")),
        ("date", "\"0001-01-01\"", None),
        ("date", "\"9999-12-31\"", None),
        ("date", "\"2024-02-29\"", None),
        ("uuid", uuid, None),
        ("bytes", "\"\"", None),
        ("bytes", &big, None),
        ("integers", "[]", None),
        ("integers", "[ -9223372036854775808 , 0 ]", Some("[-9223372036854775808,0]")),
        ("numbers", "[5e-324,-0.5]", None),
        ("decimals", "[\"1.50\",2]", Some("[\"1.50\",\"2\"]")),
        ("booleans", "[true,false]", None),
        ("strings", r#"["","NULL","a,b","{}","\"","\\"]"#, None),
        ("timestamps", "[\"0001-01-01T00:00:00.000000Z\"]", None),
        ("dates", "[\"2024-02-29\",\"0001-01-01\"]", None),
        ("uuids", "[]", None),
        ("list_of_bytes", "[\"\",\"AP8=\"]", None),
        ("json", "1e300", Some(&format!("1{}", "0".repeat(300)))),
        ("json", "[1.50,-0,1e2,\"\\u007f\",null]", Some("[1.50, 0, 100, \"\u{7f}\", null]")),
        ("json", r#"{"bb":1,"a":{"z":[]},"bb":2}"#, Some(r#"{"a": {"z": []}, "bb": 2}"#)),
        ("json", "null", None),
        ("object", r#"{"é\"":"x","n":1e-7}"#, Some(r#"{"n": 0.0000001, "é\"": "x"}"#)),
        (
            "object",
            r#"{"at":"2024-02-29T12:00:00+01:00","n":null}"#,
            Some(r#"{"n": null, "at": "2024-02-29T12:00:00+01:00"}"#),
        ),
        ("object", "{}", None),
    ];
    for (column, sent, answered) in cases {
        let holder = gateway.call("hold", json!({})).await.ok()["id"].clone();
        let added = gateway.call_raw("add", format!("{{\"{column}\":{sent},\"holder\":{holder}}}")).await;
        assert_eq!(added.status, 200, "{column} {sent}: {}", added.text);
        let row = members(&added.text);
        assert_eq!(row[*column].get(), answered.unwrap_or(sent), "{column} {sent}");
        let nulls = row.values().filter(|value| value.get() == "null").count();
        assert_eq!(nulls, if *sent == "null" { 21 } else { 20 }, "{}", added.text);
        let got = gateway.call_raw("get", format!("{{\"id\":{}}}", row["id"])).await;
        assert_eq!(got.text, added.text, "what get answers is not what insert did");
        among_rows(&gateway, column, sent, answered.unwrap_or(sent)).await;
        // A row within a row is answered as by itself, byte by byte.
        let id = json!({ "id": &row["id"] });
        let mark = json!({ "id": gateway.call("mark", id).await.ok()["id"] });
        assert_eq!(members(&gateway.call("marked", mark).await.text)["of"].get(), added.text);
        let held = gateway.call("held", json!({ "id": holder })).await;
        assert_eq!(members(&held.text)["rows"].get(), format!("[{}]", added.text));
    }
    let all = gateway.call("all", json!({})).await.ok();
    assert_eq!(all.as_array().unwrap().len(), 3 * cases.len());
    gateway.server.stop().await;
}

/// Inserts `sent` as one of two rows.
async fn among_rows(gateway: &TestGateway, column: &str, sent: &str, answered: &str) {
    let both = gateway.call_raw("addRows", format!("{{\"rows\":[{{}},{{\"{column}\":{sent}}}]}}")).await;
    assert_eq!(both.status, 200, "{column} {sent}: {}", both.text);
    let rows: [Box<RawValue>; 2] = serde_json::from_str(&both.text).unwrap();
    assert_eq!(members(rows[0].get())[column].get(), "null");
    assert_eq!(members(rows[1].get())[column].get(), answered, "{column} {sent} among rows");
}

/// The pointer and code of each complaint.
#[track_caller]
fn complaints(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.problem().1, "arguments_invalid", "{}", answer.text);
    let text = |complaint: &Value, member: &str| complaint[member].as_str().unwrap().to_owned();
    let problem = answer.json();
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| format!("{} {}", text(error, "pointer"), text(error, "code"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_name_their_place_and_write_nothing() {
    let gateway = TestGateway::new(&definition(&json!({
        "integer": { "type": "integer", "min": -2, "max": 5 }, "number": { "type": "number", "min": 0.5 },
        "decimal": { "type": "decimal", "max": "9.99" }, "boolean": { "type": "boolean" },
        "string": { "type": "string", "min": 1, "max": 3, "pattern": "^[a-z]*$" }, "timestamp": { "type": "timestamp" },
        "date": { "type": "date" }, "uuid": { "type": "uuid" }, "bytes": { "type": "bytes", "max": 2 }, "json": { "type": "json" },
        "enum": { "type": "enum", "values": ["a", "b"] },
        "array": { "type": "array", "items": { "type": "integer", "max": 9 }, "min": 1, "max": 3 },
        "object": { "type": "object", "fields": { "a": { "type": "array", "items": { "type": "date" } }, "b/c": { "type": "boolean", "optional": true } } },
    })))
    .await;
    let deep = format!("{}{}", "[".repeat(63), "]".repeat(63));
    for (column, sent, expected) in [
        ("integer", "6", &["/integer too_large"][..]),
        ("integer", "-3", &["/integer too_small"]),
        ("integer", "1.5", &["/integer not_an_integer"]),
        ("integer", "9223372036854775808", &["/integer out_of_range"]),
        ("integer", "\"1\"", &["/integer wrong_type"]),
        ("number", "0.4", &["/number too_small"]),
        ("number", "1e999", &["/number out_of_range"]),
        ("decimal", "\"10\"", &["/decimal too_large"]),
        ("decimal", "\"1e2\"", &["/decimal not_a_decimal"]),
        ("decimal", &"1".repeat(1_001), &["/decimal too_long"]),
        ("boolean", "0", &["/boolean wrong_type"]),
        ("string", "\"\"", &["/string too_short"]),
        ("string", "\"abcd\"", &["/string too_long"]),
        ("string", "\"é\"", &["/string pattern"]),
        ("string", r#""\u0000""#, &["/string nul_character"]),
        ("string", r#""\ud800""#, &["/string invalid_text"]),
        ("timestamp", "\"2024-02-30T00:00:00Z\"", &["/timestamp wrong_type"]),
        ("timestamp", "\"2024-02-29T00:00:00\"", &["/timestamp wrong_type"]),
        ("timestamp", "\"9999-12-31T23:59:59-01:00\"", &["/timestamp out_of_range"]),
        ("date", "\"2023-02-29\"", &["/date wrong_type"]),
        ("uuid", "\"0190a5c8\"", &["/uuid wrong_type"]),
        ("bytes", "\"AAAA\"", &["/bytes too_long"]),
        ("bytes", "\"!\"", &["/bytes not_base64"]),
        ("enum", "\"c\"", &["/enum not_a_choice"]),
        ("json", r#"{"a\u0000":1}"#, &["/json nul_character"]),
        ("json", r#"["\udc00"]"#, &["/json invalid_text"]),
        ("json", "[1e400]", &["/json out_of_range"]),
        ("array", "[]", &["/array too_short"]),
        ("array", "[10,null,\"x\"]", &["/array/0 too_large", "/array/1 null", "/array/2 wrong_type"]),
        (
            "object",
            r#"{"a":["2023-02-29"],"b/c":1,"d":1}"#,
            &["/object/a/0 wrong_type", "/object/b~1c wrong_type", "/object/d unknown_field"],
        ),
        ("object", "{}", &["/object/a missing_field"]),
        ("object", r#"{"a":[],"a":[]}"#, &["/object/a duplicate_field"]),
        ("strin", "1", &["/strin unknown_argument"]),
    ] {
        let answer = gateway.call_raw("add", format!("{{\"{column}\":{sent}}}")).await;
        assert_eq!(complaints(&answer), expected, "{column} {sent}");
    }
    let answer = gateway.call_raw("add", r#"{"integer":6,"uuid":1,"integer":7}"#).await;
    assert_eq!(complaints(&answer), ["/integer duplicate_argument", "/integer too_large", "/uuid wrong_type"]);
    let answer = gateway.call_raw("add", format!("{{\"json\":{deep}}}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = gateway.call_raw("add", format!("{{\"json\":[{deep}]}}")).await;
    assert_eq!(answer.problem().1, "body_too_deep");
    // What JSON allows and the database cannot hold is refused by it, and is no fault of ours.
    for sent in ["1e-20000", "[0e999999999999]", &format!("0.{}1", "0".repeat(20_000))] {
        let answer = gateway.call_raw("add", format!("{{\"json\":{sent}}}")).await;
        assert!(
            matches!(answer.problem().1.as_str(), "value_refused" | "arguments_invalid"),
            "{sent}: {}",
            answer.text
        );
    }
    assert_eq!(gateway.call("all", json!({})).await.ok().as_array().unwrap().len(), 1);
    gateway.server.stop().await;
}

const PATTERNS: &[&str] = &[
    "",
    "^$",
    "^",
    "a",
    "^a$",
    "A",
    "(?i)a",
    "(?i)ß",
    "(?i)k",
    "a|b",
    "^(a|)$",
    "^a?b*$",
    "^a{2}$",
    "^a{1,3}$",
    "^.$",
    "^(?s:.)$",
    "a.b",
    "[^a]",
    "^[^a]*$",
    "^[a-c]+$",
    "[-a]",
    "[\\]\\\\]",
    "^\\d+$",
    "\\D",
    "^\\w+$",
    "\\W",
    "\\s",
    "^\\S*$",
    "[\\d\\s]",
    "^[^\\D]$",
    "\\$",
    "\\.",
    "é",
    "^\\p{L}+$",
    "\\x41",
    "\\u{1d11e}",
    "^(?:ab)+?$",
    "(a)(b)",
    "'",
    "\\\\",
    "[[:alpha:]]",
    "^[\\x00-\\x1f]$",
    "a{0}",
    "(?:)",
    "x*y",
    "\\n",
    "^(a(b(c)?)?)?$",
    "^[\\w.+-]+@\\w+\\.\\w{2,}$",
];
const TEXTS: &[&str] = &[
    "",
    "a",
    "A",
    "b",
    "ab",
    "abc",
    "aa",
    "aaa",
    "aaaa",
    "a\nb",
    "\n",
    "a\n",
    "\u{1}",
    "1",
    "12",
    "\u{661}",
    "é",
    "e\u{301}",
    "ß",
    "ẞ",
    "SS",
    "k",
    "\u{212a}",
    "𝄞",
    "-",
    "]",
    "\\",
    "'",
    "$",
    ".",
    " ",
    "\u{a0}",
    "\u{2028}",
    "_",
    "{",
    "xxy",
    "me.you+x@example.com",
    "c",
    "\u{10ffff}",
    "\u{d7ff}\u{e000}",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_mean_the_same_in_postgres() {
    let database = TestDatabase::new().await;
    let client = database.client().await;
    let statement = client.prepare("SELECT $1::text ~ $2::text").await.unwrap();
    for source in PATTERNS {
        let pattern = Pattern::new(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        for text in TEXTS {
            let matched: bool = client.query_one(&statement, &[&text, &pattern.postgres()]).await.unwrap().get(0);
            assert_eq!(matched, pattern.is_match(text), "{source} {} {text:?}", pattern.postgres());
        }
    }
}
