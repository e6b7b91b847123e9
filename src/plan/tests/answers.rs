//! Rows of any values, written against a JSON library and a calendar as references.

use jiff::{Timestamp, ToSpan, civil};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::plan::answer::{RowWriter, Unreadable, number};
use crate::plan::tests::model;

/// Column `c` of a type as it is written from `bytes`, read back.
fn written(validator: Value, bytes: Option<&[u8]>) -> Result<(String, Value), Unreadable> {
    let model = model(json!({ "t": { "columns": { "c": validator } } }), json!({}));
    let writer = RowWriter::new(model.tables[0].columns.iter().filter(|column| column.name == "c"));
    let mut out = b"before".to_vec();
    writer.write(&mut out, |_| Ok(bytes))?;
    let text = std::str::from_utf8(&out).unwrap().strip_prefix("before").unwrap();
    let value = serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let text = text.strip_prefix("{\"c\":").unwrap().strip_suffix('}').unwrap().to_owned();
    Ok((text, value["c"].clone()))
}

fn value(word: &str, bytes: &[u8]) -> Value {
    written(json!({ "type": word }), Some(bytes)).unwrap().1
}

/// An array in Postgres's binary form.
fn binary_array(oid: u32, elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(i32::from(!elements.is_empty()).to_be_bytes());
    bytes.extend(0_i32.to_be_bytes());
    bytes.extend(oid.to_be_bytes());
    if !elements.is_empty() {
        bytes.extend((elements.len() as i32).to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
    }
    for element in elements {
        bytes.extend((element.len() as i32).to_be_bytes());
        bytes.extend(element);
    }
    bytes
}

proptest! {
    #[test]
    fn text_reads_back(text in prop_oneof![any::<String>(), "[\\x00-\\x20\"\\\\\u{7f}\u{2028}/]{0,20}"]) {
        prop_assert_eq!(value("string", text.as_bytes()), json!(text));
    }

    #[test]
    fn integers_read_back(number in any::<i64>()) {
        let (text, _) = written(json!({ "type": "integer" }), Some(&number.to_be_bytes())).unwrap();
        prop_assert_eq!(text, number.to_string());
    }

    #[test]
    fn doubles_read_back(bits in any::<u64>(), whole in any::<i32>()) {
        for number in [f64::from_bits(bits), f64::from(whole), f64::from(whole) * 1e10] {
            let (text, value) = written(json!({ "type": "number" }), Some(&number.to_be_bytes())).unwrap();
            if number.is_finite() {
                prop_assert_eq!(text.parse::<f64>().unwrap(), number);
            } else {
                prop_assert_eq!(value, Value::Null);
            }
        }
    }

    #[test]
    fn timestamps_are_those_of_the_calendar(microseconds in -62_135_596_800_000_000_i64..253_402_207_200_000_000) {
        let expected = format!("{:.6}", Timestamp::from_microsecond(microseconds).unwrap());
        let since_2000 = microseconds - 946_684_800_000_000;
        prop_assert_eq!(value("timestamp", &since_2000.to_be_bytes()), json!(expected));
    }

    #[test]
    fn dates_are_those_of_the_calendar(days in -719_162_i32..=2_932_896) {
        let expected = civil::date(1970, 1, 1).checked_add(days.days()).unwrap().to_string();
        prop_assert_eq!(value("date", &(days - 10_957).to_be_bytes()), json!(expected));
    }

    #[test]
    fn uuids_and_bytes_read_back(bits in any::<u128>(), bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        use base64::Engine;
        prop_assert_eq!(value("uuid", &bits.to_be_bytes()), json!(uuid::Uuid::from_u128(bits)));
        let text = value("bytes", &bytes);
        prop_assert_eq!(base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap(), bytes);
    }

    #[test]
    fn arrays_read_back(texts in prop::collection::vec(any::<String>(), 0..5), numbers in prop::collection::vec(any::<i64>(), 0..5)) {
        let array = |word: &str| json!({ "type": "array", "items": { "type": word } });
        let elements: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        prop_assert_eq!(written(array("string"), Some(&binary_array(25, &elements))).unwrap().1, json!(texts));
        let elements: Vec<Vec<u8>> = numbers.iter().map(|number| number.to_be_bytes().to_vec()).collect();
        prop_assert_eq!(written(array("integer"), Some(&binary_array(20, &elements))).unwrap().1, json!(numbers));
    }

    /// Bytes that are not of the column's type are an error or some JSON, never a panic.
    #[test]
    fn any_bytes_are_json_or_unreadable(bytes in prop::collection::vec(any::<u8>(), 0..40), word in prop::sample::select(vec![
        "string", "integer", "number", "boolean", "decimal", "timestamp", "date", "uuid", "bytes",
    ])) {
        if let Err(error) = written(json!({ "type": word }), Some(&bytes)) {
            prop_assert_eq!(error, Unreadable(0));
        }
        if let Err(error) = written(json!({ "type": "array", "items": { "type": word } }), Some(&bytes)) {
            prop_assert_eq!(error, Unreadable(0));
        }
    }
}

#[test]
fn whole_doubles_are_written_as_javascript_writes_them() {
    let text = |number: f64| written(json!({ "type": "number" }), Some(&number.to_be_bytes())).unwrap().0;
    let texts = [0.0, -0.0, 1.0, -5.0, 0.1, 9_007_199_254_740_992.0, 1e300, 5e-324, f64::MAX].map(text);
    assert_eq!(texts, ["0", "0", "1", "-5", "0.1", "9007199254740992", "1e300", "5e-324", "1.7976931348623157e308"]);
}

#[test]
fn what_json_has_no_word_for_is_null() {
    for (word, bytes) in [
        ("number", f64::NAN.to_be_bytes().to_vec()),
        ("number", f64::INFINITY.to_be_bytes().to_vec()),
        ("timestamp", i64::MAX.to_be_bytes().to_vec()),
        ("timestamp", i64::MIN.to_be_bytes().to_vec()),
        ("date", i32::MAX.to_be_bytes().to_vec()),
        ("date", i32::MIN.to_be_bytes().to_vec()),
    ] {
        assert_eq!(value(word, &bytes), Value::Null, "{word}");
    }
    assert_eq!(written(json!({ "type": "json" }), None).unwrap().1, Value::Null);
    assert_eq!(value("json", b"\x01{\"a\": [1.50]}"), json!({ "a": [1.5] }));
}

#[test]
fn a_row_is_its_columns_in_their_order() {
    let model = model(
        json!({ "t": { "columns": { "z": { "type": "integer" }, "a": { "type": "string", "private": true } } } }),
        json!({}),
    );
    let writer = RowWriter::new(model.tables[0].visible_columns());
    let (id, time, seven) = ([0; 16], 0_i64.to_be_bytes(), 7_i64.to_be_bytes());
    let fields: [&[u8]; 5] = [&id, &seven, &time, &time, &seven];
    let mut out = Vec::new();
    writer.write(&mut out, |index| Ok(Some(fields[index]))).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"{"id":"00000000-0000-0000-0000-000000000000","z":7,"created_at":"2000-01-01T00:00:00.000000Z","updated_at":"2000-01-01T00:00:00.000000Z","version":7}"#);
}

#[test]
fn a_number_alone_is_written() {
    let mut out = Vec::new();
    assert_eq!(number(&mut out, &42_i64.to_be_bytes()), Some(()));
    assert_eq!(out, b"42");
    assert_eq!(number(&mut Vec::new(), &[1]), None);
}
