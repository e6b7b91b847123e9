//! What each type takes and what it refuses, with which code at which place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::read::read;

/// The column type written as `validator`.
fn column_type(validator: Value) -> ColumnType {
    let (definition, diagnostics) = read(&json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
        "tables": { "t": { "columns": { "c": validator } } },
    }));
    assert_eq!(diagnostics, []);
    definition.tables["t"].columns["c"].validator.column_type.clone()
}

fn plain(word: &str) -> ColumnType {
    column_type(json!({ "type": word }))
}

/// `pointer code` of each refusal of `raw`.
fn refused(column_type: &ColumnType, raw: &str) -> Vec<String> {
    let refusals = parse(column_type, raw).expect_err(raw);
    refusals.iter().map(|refusal| format!("{} {}", refusal.pointer, refusal.code).trim_start().to_owned()).collect()
}

#[track_caller]
fn takes(column_type: &ColumnType, cases: &[(&str, Typed)]) {
    for (raw, expected) in cases {
        assert_eq!(parse(column_type, raw).as_ref(), Ok(expected), "{raw}");
    }
}

#[track_caller]
fn refuses(column_type: &ColumnType, code: &str, cases: &[&str]) {
    for raw in cases {
        assert_eq!(refused(column_type, raw), [code], "{raw}");
    }
}

#[test]
fn integers_are_exact_in_every_notation() {
    let integer = plain("integer");
    takes(
        &integer,
        &[
            ("9223372036854775807", Typed::Int8(i64::MAX)),
            ("-9223372036854775808", Typed::Int8(i64::MIN)),
            ("9007199254740993", Typed::Int8((1 << 53) + 1)),
            ("9007199254740993.0", Typed::Int8((1 << 53) + 1)),
            ("-0", Typed::Int8(0)),
            ("-0.0e5", Typed::Int8(0)),
            ("0e99999999999999999999", Typed::Int8(0)),
            ("1e18", Typed::Int8(1_000_000_000_000_000_000)),
            ("1E+2", Typed::Int8(100)),
            ("1200e-2", Typed::Int8(12)),
            ("12.50e1", Typed::Int8(125)),
            ("9.223372036854775807e18", Typed::Int8(i64::MAX)),
            ("0.0000000000000000000001e22", Typed::Int8(1)),
        ],
    );
    refuses(
        &integer,
        "not_an_integer",
        &["1.5", "1e-1", "1.00000000000000000000001", "1e-99999999999999999999", "5e-324"],
    );
    refuses(
        &integer,
        "out_of_range",
        &["9223372036854775808", "-9223372036854775809", "1e19", "1e400", "1e99999999999999999999"],
    );
    refuses(&integer, "wrong_type", &["\"1\"", "true", "[1]", "{}"]);
    let bounded = column_type(json!({ "type": "integer", "min": -2, "max": 3 }));
    refuses(&bounded, "too_large", &["4", "4.0", "1e18"]);
    refuses(&bounded, "too_small", &["-3"]);
}

#[test]
fn numbers_are_finite_doubles() {
    takes(
        &plain("number"),
        &[
            ("1.7976931348623157e308", Typed::Float8(f64::MAX)),
            ("-1.7976931348623157e308", Typed::Float8(f64::MIN)),
            ("5e-324", Typed::Float8(5e-324)),
            ("1e-400", Typed::Float8(0.0)),
            ("0.1", Typed::Float8(0.1)),
            ("9007199254740993", Typed::Float8(9_007_199_254_740_992.0)),
        ],
    );
    assert!(matches!(parse(&plain("number"), "-0.0"), Ok(Typed::Float8(zero)) if zero.is_sign_negative()));
    refuses(&plain("number"), "out_of_range", &["1e309", "-1.8e308"]);
    refuses(&plain("number"), "wrong_type", &["\"1\"", "null", "false"]);
}

#[test]
fn decimals_keep_every_digit() {
    let decimal = plain("decimal");
    let long = format!("-{}.{}", "9".repeat(600), "1".repeat(398));
    takes(
        &decimal,
        &[
            ("\"12.50\"", Typed::Numeric("12.50".to_owned())),
            ("12.50", Typed::Numeric("12.50".to_owned())),
            ("\"-0\"", Typed::Numeric("-0".to_owned())),
            (&format!("\"{long}\""), Typed::Numeric(long.clone())),
        ],
    );
    refuses(&decimal, "too_long", &[&format!("\"{long}1\""), &"1".repeat(100_000)]);
    refuses(
        &decimal,
        "not_a_decimal",
        &[
            "1e5",
            "\"1e5\"",
            "\"NaN\"",
            "\"Infinity\"",
            "\"+1\"",
            "\".5\"",
            "\"5.\"",
            "\"\"",
            "\" 1\"",
            "\"1,5\"",
            "\"١\"",
        ],
    );
    refuses(&decimal, "wrong_type", &["true", "[]"]);
    let bounded = column_type(json!({ "type": "decimal", "min": "-0.10", "max": "100" }));
    takes(
        &bounded,
        &[("\"-0.1000\"", Typed::Numeric("-0.1000".to_owned())), ("\"00100.0\"", Typed::Numeric("00100.0".to_owned()))],
    );
    refuses(&bounded, "too_large", &["\"100.0000000000000000000000001\""]);
    refuses(&bounded, "too_small", &["\"-0.1000000000000000000000001\""]);
}

#[test]
fn text_is_counted_in_characters() {
    let text = column_type(json!({ "type": "string", "min": 2, "max": 3 }));
    takes(&text, &[("\"𝄞é日\"", Typed::Text("𝄞é日".to_owned())), (r#""\ud834\udd1ea""#, Typed::Text("𝄞a".to_owned()))]);
    refuses(&text, "too_long", &["\"𝄞é日x\""]);
    refuses(&text, "too_short", &["\"𝄞\"", "\"\""]);
    refuses(&text, "nul_character", &[r#""a\u0000b""#]);
    refuses(&text, "invalid_text", &[r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud834x""#]);
    refuses(&text, "wrong_type", &["1", "[]", "{}"]);
    refuses(
        &column_type(json!({ "type": "string", "pattern": "^[a-z]+$" })),
        "pattern",
        &["\"A\"", "\"a\\n\"", "\"\""],
    );
    refuses(&column_type(json!({ "type": "enum", "values": ["fun", "it's"] })), "not_a_choice", &["\"Fun\"", "\"\""]);
}

#[test]
fn timestamps_are_rfc_3339_with_an_offset() {
    let timestamp = plain("timestamp");
    takes(
        &timestamp,
        &[
            ("\"1970-01-01T00:00:00Z\"", Typed::Timestamptz(0)),
            ("\"0001-01-01T00:00:00.000001Z\"", Typed::Timestamptz(-62_135_596_799_999_999)),
            ("\"9999-12-30T21:59:59.999999Z\"", Typed::Timestamptz(253_402_207_199_999_999)),
            ("\"9999-12-31T23:59:59Z\"", Typed::Timestamptz(253_402_300_799_000_000)),
            ("\"9999-12-31T23:59:59.9999999Z\"", Typed::Timestamptz(253_402_300_799_999_999)),
            ("\"9999-12-31T23:59:59+01:00\"", Typed::Timestamptz(253_402_297_199_000_000)),
            ("\"9999-12-31T22:59:59.5-01:00\"", Typed::Timestamptz(253_402_300_799_500_000)),
            ("\"2024-02-29t12:00:00.5+02:00\"", Typed::Timestamptz(1_709_200_800_500_000)),
            ("\"2024-02-29 12:00:00-00:30\"", Typed::Timestamptz(1_709_209_800_000_000)),
            ("\"2024-02-29T12:00:00.123456789z\"", Typed::Timestamptz(1_709_208_000_123_456)),
            ("\"1969-12-31T23:59:59.9999999Z\"", Typed::Timestamptz(-1)),
            // A leap second is the second before.
            ("\"2016-12-31T23:59:60Z\"", Typed::Timestamptz(1_483_228_799_000_000)),
        ],
    );
    refuses(
        &timestamp,
        "wrong_type",
        &[
            "1709200800",
            "\"\"",
            "\"now\"",
            "\"2024-02-29\"",
            "\"2024-02-29T12:00:00\"",
            "\"2023-02-29T12:00:00Z\"",
            "\"2024-02-29T24:00:00Z\"",
            "\"20240229T120000Z\"",
            "\"2024-02-29T12Z\"",
            "\"2024-02-29T12:00Z\"",
            "\"2024-02-29T12:00:00+01\"",
            "\"2024-02-29T12:00:00Z[Europe/Paris]\"",
            "\"+002024-02-29T12:00:00Z\"",
            "\"2024-02-29T12:00:00,5Z\"",
            "\"2024-02-29T12:00:00.Z\"",
            "\"\u{662}024-02-29T12:00:00Z\"",
            "\" 2024-02-29T12:00:00Z\"",
        ],
    );
    refuses(
        &timestamp,
        "out_of_range",
        &[
            "\"0000-12-31T23:59:59Z\"",
            "\"0001-01-01T00:00:00+00:01\"",
            "\"9999-12-31T23:59:59-00:01\"",
            "\"9999-12-31T23:00:00-01:00\"",
        ],
    );
}

#[test]
fn dates_are_days_of_the_calendar() {
    takes(
        &plain("date"),
        &[
            ("\"1970-01-01\"", Typed::Date(0)),
            ("\"0001-01-01\"", Typed::Date(-719_162)),
            ("\"9999-12-31\"", Typed::Date(2_932_896)),
            ("\"2024-02-29\"", Typed::Date(19_782)),
        ],
    );
    refuses(
        &plain("date"),
        "wrong_type",
        &[
            "\"2023-02-29\"",
            "\"2024-13-01\"",
            "\"2024-2-29\"",
            "\"20240229\"",
            "\"2024-W05-1\"",
            "\"-001-01-01\"",
            "\"2024-02-29T00:00:00Z\"",
            "\"2024-060\"",
            "20240229",
        ],
    );
    refuses(&plain("date"), "out_of_range", &["\"0000-12-31\""]);
}

#[test]
fn uuids_booleans_and_bytes() {
    let uuid = "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c";
    takes(&plain("uuid"), &[(&format!("\"{}\"", uuid.to_uppercase()), Typed::Uuid(uuid.parse().unwrap()))]);
    refuses(
        &plain("uuid"),
        "wrong_type",
        &[
            "\"\"",
            "\"0190a5c87d3a7c4e9b1f2f6d8e4a1b3c\"",
            "\"{0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3}\"",
            "\"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3g\"",
            "1",
            r#""\u0030190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c""#,
        ],
    );
    takes(&plain("boolean"), &[("true", Typed::Bool(true)), ("false", Typed::Bool(false))]);
    refuses(&plain("boolean"), "wrong_type", &["1", "\"true\"", "[]"]);
    let bytes = column_type(json!({ "type": "bytes", "min": 1, "max": 2 }));
    takes(&bytes, &[("\"AP8=\"", Typed::Bytea(vec![0, 255])), (r#""\u0041P8=""#, Typed::Bytea(vec![0, 255]))]);
    refuses(&bytes, "not_base64", &["\"AP8\"", "\"AP8=\\n\"", "\"A-_=\"", "\"AP9=\""]);
    refuses(&bytes, "too_short", &["\"\""]);
    refuses(&bytes, "too_long", &["\"AAAA\""]);
    refuses(&bytes, "wrong_type", &["1", "[0, 255]"]);
}

#[test]
fn every_place_of_a_document_is_refused_at_once() {
    let object = column_type(json!({ "type": "object", "fields": {
        "a": { "type": "integer" },
        "b/~": { "type": "string", "optional": true },
        "deep": { "type": "object", "optional": true, "fields": { "list": { "type": "array", "items": { "type": "boolean" } } } },
    } }));
    let raw = r#"{ "a" : 1e2, "b/~": null, "deep": { "list": [true] } }"#;
    assert_eq!(parse(&object, raw), Ok(Typed::Jsonb(raw.to_owned())));
    assert_eq!(
        refused(&object, r#"{"b/~": 1, "A": 1, "deep": {"list": [true, null, 1], "x": {}}, "b/~": 2}"#),
        [
            "/b~1~0 wrong_type",
            "/A unknown_field",
            "/deep/list/1 null",
            "/deep/list/2 wrong_type",
            "/deep/x unknown_field",
            "/b~1~0 duplicate_field",
            "/a missing_field"
        ]
    );
    assert_eq!(refused(&object, "[]"), ["wrong_type"]);
    assert_eq!(refused(&object, r#"{"a": null}"#), ["/a null"]);
    let array = column_type(json!({ "type": "array", "items": { "type": "integer", "max": 5 }, "min": 1, "max": 3 }));
    assert_eq!(refused(&array, "[9, \"x\", null]"), ["/0 too_large", "/1 wrong_type", "/2 null"]);
    assert_eq!(refused(&array, "[]"), ["too_short"]);
    assert_eq!(refused(&array, "[1,2,3,4]"), ["too_long"]);
    assert_eq!(refused(&array, "{}"), ["wrong_type"]);
}

#[test]
fn json_is_anything_that_jsonb_holds() {
    let any = plain("json");
    for raw in [
        "null",
        "1e300",
        "-0.0",
        "\"𝄞\"",
        r#"{"b":1,"a":[{}],"b":2}"#,
        &format!("{}{}", "[".repeat(64), "]".repeat(64)),
    ] {
        assert_eq!(parse(&any, raw), Ok(Typed::Jsonb(raw.to_owned())));
    }
    refuses(
        &any,
        "too_deep",
        &[&format!("{}{}", "[".repeat(65), "]".repeat(65)), &format!("{}1{}", "{\"a\":".repeat(65), "}".repeat(65))],
    );
    refuses(&any, "nul_character", &[r#""\u0000""#, r#"{"a\u0000":1}"#, r#"[{"a":"b\u0000"}]"#]);
    refuses(&any, "invalid_text", &[r#""\ud800""#, r#"{"\udfff":1}"#]);
    refuses(&any, "out_of_range", &["1e400", "[[-1e999]]"]);
}

/// A megabyte of mistakes is answered with some of them, and in the time of one pass.
#[test]
fn what_is_wrong_with_a_large_value_is_bounded() {
    let members: Vec<String> = (0..100_000).map(|number| format!("\"{number:x}\":1")).collect();
    let object = column_type(json!({ "type": "object", "fields": { "a": { "type": "integer" } } }));
    let array = column_type(json!({ "type": "array", "items": { "type": "enum", "values": ["x", "y"] } }));
    let began = Instant::now();
    assert_eq!(refused(&object, &format!("{{{}}}", members.join(","))).len(), REFUSALS_MAX);
    assert_eq!(refused(&array, &format!("[{}1]", "1,".repeat(500_000))).len(), REFUSALS_MAX);
    let name = "n".repeat(1 << 20);
    let refusals = parse(&object, &format!("{{\"{name}\":1,\"a\":1}}")).unwrap_err();
    assert!(refusals[0].pointer.len() + refusals[0].message.len() < 512);
    // Quadratic work would take minutes.
    assert!(began.elapsed() < Duration::from_secs(10));
}

proptest! {
    /// Decimals are ordered as their digits say, whatever zeros surround them.
    #[test]
    fn decimals_compare_as_numbers(a in any::<i64>(), b in any::<i64>(), scale in 0_u32..9, zeros in 0_usize..4) {
        let text = |number: i64, zeros: usize| {
            let (sign, digits) = (if number < 0 { "-" } else { "" }, number.unsigned_abs());
            let unit = 10_u64.pow(scale);
            format!("{sign}{}{}.{:0width$}{}", "0".repeat(zeros), digits / unit, digits % unit, "0".repeat(zeros), width = scale as usize)
        };
        prop_assume!(scale > 0);
        prop_assert!(is_decimal(&text(a, zeros)));
        prop_assert_eq!(compare_decimals(&text(a, zeros), &text(b, 0)), a.cmp(&b));
        prop_assert_eq!(compare_decimals(&text(a, zeros), &text(a, 0)), std::cmp::Ordering::Equal);
    }

    /// An integer is read exactly however it is written.
    #[test]
    fn integers_shift(number in any::<i64>(), shift in 0_usize..6) {
        let raw = format!("{number}{}e-{shift}", "0".repeat(shift));
        prop_assert_eq!(parse(&plain("integer"), &raw), Ok(Typed::Int8(number)));
    }

    /// Whatever JSON comes for whatever type: an answer, with pointers into the value.
    #[test]
    fn any_json_is_taken_or_refused(value in any_json(), word in prop::sample::select(vec![
        "string", "integer", "number", "boolean", "decimal", "timestamp", "date", "uuid", "bytes", "json",
    ])) {
        let raw = value.to_string();
        for column_type in [plain(word), column_type(json!({ "type": "array", "items": { "type": if word == "json" { "string" } else { word } } }))] {
            if let Err(refusals) = parse(&column_type, &raw) {
                prop_assert!(!refusals.is_empty());
                for refusal in refusals {
                    prop_assert!(value.pointer(&refusal.pointer).is_some(), "{refusal:?} {raw}");
                }
            }
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9:TZ+. -]{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}
