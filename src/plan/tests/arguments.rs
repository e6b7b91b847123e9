//! Bodies of any bytes: values or complaints, never a panic, never the gateway's fault.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use rowgate_schema_dsl::value::Typed;
use serde_json::json;

use crate::error::{Code, Failure};
use crate::plan::argument::{Arguments, Given};
use crate::plan::tests::plan;

const DEPTH_MAX: usize = 16;

/// The arguments `any` (json), `id`, `list` (of integers), `n` (integer) and `text`, of which a
/// call needs `text` alone.
fn arguments() -> Arguments {
    let column = |word: &str| json!({ "type": word, "optional": true });
    let function = json!({ "kind": "insertRow", "table": "t", "values": {
        "text": { "arg": "text" }, "n": { "arg": "n" }, "any": { "arg": "any" }, "id_": { "arg": "id" }, "list": { "arg": "list" },
    } });
    let columns = json!({
        "text": { "type": "string" }, "n": column("integer"), "any": column("json"), "id_": column("uuid"),
        "list": { "type": "array", "items": { "type": "integer" }, "default": [7] },
    });
    plan(json!({ "t": { "columns": columns } }), function).arguments
}

fn parse(body: impl AsRef<[u8]>) -> Result<Given, Failure> {
    arguments().parse(body.as_ref(), DEPTH_MAX)
}

/// The failure's code, and pointer and code of each complaint.
#[track_caller]
fn refused(body: impl AsRef<[u8]>) -> (Code, String) {
    let failure = parse(body).unwrap_err();
    let complaints = failure.complaints.iter().map(|complaint| format!("{} {}", complaint.pointer, complaint.code));
    (failure.code, complaints.collect::<Vec<String>>().join(", "))
}

#[test]
fn values_are_in_the_order_of_the_names() {
    let given = parse(" {\"text\" : \"a\", \"n\": null, \"\\u0069d\": null, \"any\": [1.50]}\n").unwrap();
    let text = |text: &str| Some(Typed::Text(text.to_owned()));
    let expected = [Some(Typed::Jsonb("[1.50]".to_owned())), Some(Typed::Null), None, Some(Typed::Null), text("a")];
    assert_eq!(given.values, expected);
}

#[test]
fn a_body_that_is_no_object_is_malformed() {
    for body in [
        "[]",
        "null",
        "1",
        "\"text\"",
        "{",
        "}",
        "{}}",
        "{\"text\"}",
        "{\"text\":}",
        "{\"text\":\"a\",}",
        "{'text':'a'}",
        "{text:1}",
        "{\"text\":\"a\"} {}",
        "{\"text\":NaN}",
        "{\"text\":01}",
        "{\"text\":\"a\nb\"}",
        "{\"text\":\"\\x\"}",
        "\u{feff}{}",
        "{\"\\ud800\":1}",
        "{\"text\":tru}",
        "/**/{}",
    ] {
        assert_eq!(refused(body), (Code::BodyMalformed, String::new()), "{body}");
    }
    assert_eq!(refused([b'{', b'"', 0xff, b'"', b':', b'1', b'}']).0, Code::BodyMalformed);
    assert_eq!(refused([b'{', 0, b'}']).0, Code::BodyMalformed);
}

#[test]
fn depth_is_bounded_before_anything_is_read() {
    let nested = |depth: usize| format!("{{\"text\":\"a\",\"any\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(nested(DEPTH_MAX - 1)).is_ok());
    assert_eq!(refused(nested(DEPTH_MAX)).0, Code::BodyTooDeep);
    assert_eq!(refused("[".repeat(1 << 20)).0, Code::BodyTooDeep);
    assert_eq!(refused("{\"a\":".repeat(1 << 17)).0, Code::BodyTooDeep);
    // Brackets within text are text.
    assert!(parse(format!("{{\"text\":\"{}\\\"[\"}}", "[{".repeat(99))).is_ok());
}

#[test]
fn every_complaint_comes_at_once() {
    let invalid = |body: &str, complaints: &str| {
        assert_eq!(refused(body), (Code::ArgumentsInvalid, complaints.to_owned()), "{body}")
    };
    invalid("", "/text missing_argument");
    invalid("{}", "/text missing_argument");
    invalid(r#"{"text":null}"#, "/text null");
    invalid(r#"{"text":"a","text":"b"}"#, "/text duplicate_argument");
    invalid(r#"{"text":"a","te\u0078t":"b"}"#, "/text duplicate_argument");
    invalid(r#"{"Text":"a"}"#, "/Text unknown_argument, /text missing_argument");
    invalid(r#"{"text":"a","a/~b":1}"#, "/a~1~0b unknown_argument");
    invalid(
        r#"{"text":"\ud800","n":1e99,"id":"x","any":"\u0000","list":[1,null,"2",3.5]}"#,
        "/any nul_character, /id wrong_type, /list/1 null, /list/2 wrong_type, /list/3 not_an_integer, /n out_of_range, /text invalid_text",
    );
    invalid(r#"{"text":"a\u0000"}"#, "/text nul_character");
    let huge = format!("{{\"text\":\"a\",\"n\":{}}}", "9".repeat(1 << 19));
    invalid(&huge, "/n out_of_range");
    invalid(&format!("{{\"text\":\"a\",\"any\":{}}}", "9".repeat(1 << 19)), "/any out_of_range");
}

#[test]
fn a_pattern_is_complete_and_short() {
    let function = |op: &str| json!({ "kind": "countRows", "table": "t", "filter": { "column": "text", "op": op, "value": { "arg": "q" } } });
    let refused = |op: &str, text: &str| -> Vec<&'static str> {
        let arguments = plan(json!({ "t": { "columns": { "text": { "type": "string" } } } }), function(op)).arguments;
        let body = json!({ "q": text }).to_string();
        let failure = arguments.parse(body.as_bytes(), DEPTH_MAX).err();
        failure.map_or_else(Vec::new, |failure| failure.complaints.iter().map(|complaint| complaint.code).collect())
    };
    for op in ["like", "ilike"] {
        assert_eq!(refused(op, "a\\"), ["incomplete_pattern"]);
        assert_eq!(refused(op, "\\\\\\"), ["incomplete_pattern"]);
        assert_eq!(refused(op, "a\\\\"), [""; 0]);
    }
    for op in ["like", "ilike", "startsWith", "contains"] {
        assert_eq!(refused(op, &"é".repeat(257)), ["too_long"]);
        assert_eq!(refused(op, &"é".repeat(256)), [""; 0]);
    }
    assert_eq!(refused("contains", "\\"), [""; 0]);
}

#[test]
fn what_is_echoed_is_bounded() {
    let began = Instant::now();
    let members: Vec<String> = (0..100_000).map(|number| format!("\"tex{number:x}\":1")).collect();
    for body in [
        format!("{{{}}}", members.join(",")),
        format!("{{\"list\":[{}1]}}", "{},".repeat(300_000)),
        format!("{{\"{}\":1}}", "x".repeat(1 << 20)),
        format!("{{{}\"n\":1}}", "\"n\":1,".repeat(150_000)),
    ] {
        let failure = parse(&body).unwrap_err();
        assert_eq!(failure.code, Code::ArgumentsInvalid);
        let echoed = failure.complaints.iter().map(|complaint| complaint.pointer.len() + complaint.message.len());
        assert!(echoed.sum::<usize>() + failure.detail.len() < 32 << 10);
    }
    // Work beyond one pass would take minutes.
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn secrets_given_by_mistake_are_not_echoed() {
    let failure = parse(r#"{"text":["hunter2"],"n":"hunter2","id":"hunter2","list":"hunter2"}"#).unwrap_err();
    assert_eq!(failure.complaints.len(), 4);
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
}

proptest! {
    /// Whatever bytes come, and however a sound body is damaged.
    #[test]
    fn any_bytes_are_values_or_complaints(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "[\\[\\]{}\",:0-9eE+.a-z\\\\ -]{0,40}".prop_map(String::into_bytes),
        damaged(),
    ]) {
        match parse(&body) {
            Ok(given) => prop_assert_eq!(given.values.len(), 5),
            Err(failure) => {
                prop_assert!(matches!(failure.code, Code::BodyMalformed | Code::BodyTooDeep | Code::ArgumentsInvalid), "{failure:?}");
                prop_assert_eq!(failure.complaints.is_empty(), failure.code != Code::ArgumentsInvalid);
            }
        }
    }
}

/// A sound body with some of its bytes replaced, left out or said twice.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let sound = r#"{"text":"a\u00e9\ud834\udd1e","n":-12.0e1,"id":"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c","any":{"a":[1,{"b":null}]},"list":[1,2]}"#;
    prop::collection::vec((0..sound.len(), 0_u8..3, any::<u8>()), 1..4).prop_map(move |changes| {
        let mut body = sound.as_bytes().to_vec();
        for (place, change, byte) in changes {
            let place = place % body.len();
            match change {
                0 => body[place] = byte,
                1 => drop(body.remove(place)),
                _ => body.insert(place, body[place]),
            }
        }
        body
    })
}
