#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

proptest! {
    #[test]
    fn any_text_is_read_as_serde_json_reads_it(bytes in prop::collection::vec(byte(), 0..60)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let ours = read("x.json", &text, "");
        // Where both accept, both mean the same, but that serde_json keeps the last duplicate.
        if ours.diagnostics.iter().all(|diagnostic| diagnostic.code != "duplicate_name") {
            prop_assert_eq!(&ours.document, &serde_json::from_str::<Value>(&text).ok());
        }
        prop_assert!(ours.document_or_complaint());
    }

    #[test]
    fn written_json_is_read_back_with_every_place(value in any_json()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        let read = read("x.json", &text, "/tables");
        prop_assert_eq!(read.diagnostics, vec![]);
        prop_assert_eq!(read.document.as_ref(), Some(&value));
        // A place points at where its part is written: at a member's name or an element.
        let lines: Vec<&str> = text.lines().collect();
        for (pointer, starts) in parts(&value, "/tables") {
            let place = read.source_map.locate(&pointer).unwrap();
            let line = lines[place.line as usize - 1];
            let rest: String = line.chars().skip(place.column.unwrap() as usize - 1).collect();
            prop_assert!(rest.starts_with(&starts), "{} at {}: {}", pointer, place, rest);
        }
    }
}

impl Json {
    fn document_or_complaint(&self) -> bool {
        self.document.is_some() || !self.diagnostics.is_empty()
    }
}

fn byte() -> impl Strategy<Value = u8> {
    let usual = prop::sample::select(b"{}[]\":,\\ \n0123.-eEtruefalsn/u\xc3\xa9".to_vec());
    prop_oneof![9 => usual, 1 => any::<u8>()]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c/~é\"]{0,3}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Each part's pointer, and how the text at its place begins.
fn parts(value: &Value, at: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let at = pointer_to(at, name);
        all.push((at.clone(), serde_json::to_string(name).unwrap()));
        all.extend(parts(value, &at));
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        let at = pointer_to(at, index);
        all.push((at.clone(), serde_json::to_string(value).unwrap().chars().take(1).collect()));
        all.extend(parts(value, &at));
    }
    all
}

fn complaints(text: &str) -> String {
    let lines = read("x.json", text, "").diagnostics.into_iter().map(|one| one.to_string().replace("\n  hint: ", "; "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn duplicates_are_all_found_and_the_first_counts() {
    let text = "{\n  \"a\": {\"b\": 1, \"b\": 2},\n  \"c\": 3,\n  \"a\": {\"z\": 4, \"z\": 5}\n}";
    insta::assert_snapshot!(complaints(text), @"
    x.json:2:17: error[duplicate_name]: `b` is given twice; the first is in line 2
    x.json:4:3: error[duplicate_name]: `a` is given twice; the first is in line 2
    x.json:4:17: error[duplicate_name]: `z` is given twice; the first is in line 4
    ");
    let read = read("x.json", text, "");
    assert_eq!(read.document, Some(json!({ "a": { "b": 1 }, "c": 3 })));
    assert_eq!(read.source_map.locate("/a").unwrap().line, 2);
    assert_eq!(read.source_map.locate("/a/z").unwrap().line, 2);
}

#[test]
fn syntax_errors_have_a_place_and_a_reason() {
    insta::assert_snapshot!(complaints(""), @"x.json:1:1: error[malformed_json]: expected a value, got the end of the file");
    insta::assert_snapshot!(complaints("{\n  \"a\": 1,\n}"), @"x.json:2:9: error[malformed_json]: a `,` stands before the end; JSON has no trailing commas; take it out");
    insta::assert_snapshot!(complaints("[1, 2,\n]"), @"x.json:1:6: error[malformed_json]: a `,` stands before the end; JSON has no trailing commas; take it out");
    insta::assert_snapshot!(complaints("{ // tables\n}"), @"x.json:1:3: error[malformed_json]: expected a member's name in double quotes, got `/`; JSON has no comments; take it out");
    insta::assert_snapshot!(complaints("{'a': 1}"), @"x.json:1:2: error[malformed_json]: expected a member's name in double quotes, got `'`; JSON writes texts in double quotes");
    insta::assert_snapshot!(complaints("{\"é\": 1 \"b\": 2}"), @r#"x.json:1:9: error[malformed_json]: expected `,` or `}` after the member, got `"`"#);
    insta::assert_snapshot!(complaints("{\"a\" 1}"), @"x.json:1:6: error[malformed_json]: expected `:` after the member's name, got `1`");
    insta::assert_snapshot!(complaints("{\"a\": nil}"), @"x.json:1:7: error[malformed_json]: expected a value, got `n`");
    insta::assert_snapshot!(complaints("{\"a\": \"one\ntwo\"}"), @r#"x.json:1:7: error[malformed_json]: the text is not ended by `"`; write a line break as `\n`"#);
    insta::assert_snapshot!(complaints("\"\\ud800\""), @"x.json:1:1: error[malformed_json]: the text cannot be read: unexpected end of hex escape");
    insta::assert_snapshot!(complaints("[01, 2]"), @"x.json:1:2: error[malformed_json]: the number cannot be read: invalid number");
    insta::assert_snapshot!(complaints("1e400"), @"x.json:1:1: error[malformed_json]: the number cannot be read: number out of range");
    insta::assert_snapshot!(complaints("{} {}"), @"x.json:1:4: error[malformed_json]: expected the end of the file, got `{`");
    insta::assert_snapshot!(complaints("\"a\tb\""), @r#"x.json:1:1: error[malformed_json]: the text cannot be read: control character (\u0000-\u001F) found while parsing a string"#);
}

#[test]
fn size_depth_and_count_are_bounded() {
    assert!(complaints(&format!("{}{}", "[".repeat(80), "]".repeat(80))).is_empty());
    insta::assert_snapshot!(complaints(&"[".repeat(1_000_000)), @"x.json:1:82: error[too_deep]: at most 80 levels are accepted");
    insta::assert_snapshot!(complaints(&format!("[{}1]", "1,".repeat(VALUES_MAX))), @"x.json:1:200000: error[too_many_values]: at most 100000 values are accepted");
    insta::assert_snapshot!(complaints(&format!("\"{}\"", "x".repeat(SOURCE_BYTES_MAX))), @"x.json:1:1: error[file_too_large]: at most 4194304 bytes are accepted");
    insta::assert_snapshot!(complaints(&format!("{{\"{}\": 1}}", "x".repeat(NAME_BYTES_MAX + 1))), @"x.json:1:2: error[name_too_long]: at most 1024 bytes are accepted as a member's name");
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    assert_eq!(read("x.json", "\u{feff}{}", "").document, Some(json!({})));
}
