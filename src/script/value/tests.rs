//! JSON to Luau and back is the same JSON, for whatever a handler may hold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use mlua::Lua;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::script::value::{DEPTH_MAX, INTEGER_MAX, read, write};

fn there_and_back(json: &str) -> String {
    let lua = Lua::new();
    let value = read(&lua, json.as_bytes()).unwrap();
    let mut out = Vec::new();
    write(&lua, &value, &mut out, 1 << 20).unwrap();
    String::from_utf8(out).unwrap()
}

fn values() -> impl Strategy<Value = Value> {
    let integers = -i64::try_from(INTEGER_MAX).unwrap()..=i64::try_from(INTEGER_MAX).unwrap();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        integers.prop_map(Value::from),
        (-1e15..1e15).prop_map(|number: f64| Value::from(number + 0.5)),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..8).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn json_survives_a_machine(value in values()) {
        let back: Value = serde_json::from_str(&there_and_back(&value.to_string())).unwrap();
        prop_assert!(alike(&back, &value), "{value} became {back}");
    }
}

/// The same but for how a whole float is written.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| alike(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn numbers_are_exact_or_text() {
    assert_eq!(there_and_back("[9007199254740991,-9007199254740991]"), "[9007199254740991,-9007199254740991]");
    assert_eq!(
        there_and_back("[9007199254740992,-9223372036854775808]"),
        r#"["9007199254740992","-9223372036854775808"]"#
    );
    assert_eq!(there_and_back("18446744073709551615"), r#""18446744073709551615""#);
    assert_eq!(there_and_back("[1.0,-0.0,1.25,1e-7]"), "[1,0,1.25,1e-7]");
}

#[test]
fn depth_and_size_are_bounded_on_the_way_in() {
    let lua = Lua::new();
    let deep = |depth: usize| read(&lua, ("[".repeat(depth) + &"]".repeat(depth)).as_bytes());
    assert!(deep(DEPTH_MAX).is_ok());
    assert!(deep(DEPTH_MAX + 1).unwrap_err().to_string().contains("deeper than 64 levels"));
    let wide = |count: usize| read(&lua, format!("[{}]", vec!["0"; count].join(",")).as_bytes());
    assert!(wide(99_999).is_ok());
    assert!(wide(100_000).unwrap_err().to_string().contains("more than 100000 values"));
    for json in ["", "{", "[1] 2", "{\"a\":1,}", "nul"] {
        assert!(read(&lua, json.as_bytes()).is_err(), "{json}");
    }
}
