//! Mutations: of bytes, of source text, of JSON values, each with a part of another input.

use serde_json::{Map, Number, Value, json};

/// SplitMix64 (Steele, Lea and Flood): small, and the same on every machine.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; zero where that is zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % (end.max(1) as u64)) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn of<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

const TEXTS: &[&str] = &[
    "",
    "0",
    "a",
    "id",
    "scope_key",
    "created_at",
    "A",
    "ä",
    "\u{0}",
    "\u{202e}",
    "\u{10ffff}",
    "e\u{301}",
    "%",
    "_",
    "\\",
    "'",
    "\"",
    "--",
    "$1",
    ";",
    "${x}",
    "../..",
    "2026-01-31",
    "2026-02-30",
    "2026-01-31T12:00:00Z",
    "9999-12-31T23:59:60Z",
    "-infinity",
    "0001-01-01",
    "1e999",
    "-0",
    "1.5",
    "00000000-0000-0000-0000-000000000000",
    "AAECAw==",
    "=",
    "(((((",
    "[a-",
    "(?i)x",
    "(a+)+$",
    "{\"a\":1}",
    "null",
    "select",
    "public",
    "string",
    "integer",
    "enum",
    "desc",
    "isNull",
    "queryRows",
    "insertRow",
    "viewer",
    "userId",
    "now",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "7",
    "100",
    "101",
    "1000",
    "1001",
    "100000",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967296",
    "9007199254740991",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "0.1",
    "-0.0",
    "1.0",
    "1e2",
    "1e-400",
    "1e308",
    "2.2250738585072014e-308",
    "0.30000000000000004",
];

fn text(random: &mut Random) -> String {
    let mut text = (*random.of(TEXTS)).to_owned();
    while random.one_in(4) {
        text.push_str(random.of::<&str>(TEXTS));
    }
    if random.one_in(30) { text.repeat(random.below(3_000)) } else { text }
}

fn scalar(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Null,
        1 => json!(random.one_in(2)),
        2..=4 => serde_json::from_str::<Number>(random.of::<&str>(NUMBERS)).map_or(Value::Null, Value::Number),
        _ => Value::String(text(random)),
    }
}

/// `input` with a few changes of bytes.
pub(crate) fn bytes(random: &mut Random, mut input: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(8) {
            0 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] ^= 1 << random.below(8);
            }
            1 if !input.is_empty() => {
                let at = random.below(input.len());
                input[at] = random.next() as u8;
            }
            2 => input.insert(at, random.next() as u8),
            3 => {
                let end = at + random.below(input.len() - at + 1).min(1 + random.below(9));
                input.drain(at..end);
            }
            4 => input.truncate(at),
            5 => {
                let from = random.below(other.len() + 1);
                let end = from + random.below(other.len() - from + 1);
                input.splice(at..at, other[from..end].iter().copied());
            }
            6 => {
                let piece = text(random);
                input.splice(at..at, piece.bytes());
            }
            _ => {
                let piece = *random
                    .of(&["{", "}", "[", "]", ",", ":", "\"", "\\u", "\\ud800", " ", "\n", "\u{feff}", "{\"\":"]);
                let count = if random.one_in(20) { 300 } else { 1 };
                input.splice(at..at, piece.repeat(count).into_bytes());
            }
        }
    }
    input.truncate(1 << 18);
    input
}

const WORDS: &[&str] = &[
    "nil",
    "true",
    "0",
    "1e999",
    "-1",
    "\"\"",
    "{}",
    "{ {} }",
    "function() end",
    "return",
    "local x = ",
    "defineTable",
    "v.string()",
    ":optional()",
    ":default(nil)",
    ":max(-1)",
    ":index(\"i\", {})",
    ":unique(\"u\", { \"text\" })",
    "arg(\"a\")",
    "identity(\"userId\")",
    "filter(\"x\", \"=\", 1)",
    "all()",
    "negate()",
    "setmetatable({}, {})",
    "string.rep(\"x\", 1e6)",
    "while true do end",
    "error()",
    "require(\"./x\")",
    "[[",
    "]]",
    "--[[",
    "..",
    "#",
    "(",
    ")",
    "{",
    "}",
    "=",
    ",",
    "page = true",
    "limit = 0",
    "orderBy = {}",
    "increment(0.5)",
    "now()",
    "v.array(v.array(v.string()))",
    "v.object({ a = v.json() })",
    "scan = \"allowed\"",
];

/// Source text with a few words taken, put or exchanged.
pub(crate) fn words(random: &mut Random, input: Vec<u8>, other: &[u8]) -> Vec<u8> {
    if random.one_in(4) {
        return bytes(random, input, other);
    }
    let pieces = |text: &[u8]| -> Vec<Vec<u8>> {
        let mut pieces: Vec<Vec<u8>> = vec![Vec::new()];
        for byte in text {
            let is_word = byte.is_ascii_alphanumeric() || *byte == b'_';
            let joins = pieces
                .last()
                .and_then(|piece| piece.last())
                .is_none_or(|last| is_word && (last.is_ascii_alphanumeric() || *last == b'_'));
            if !joins {
                pieces.push(Vec::new());
            }
            pieces.last_mut().unwrap().push(*byte);
        }
        pieces
    };
    let (mut input, other) = (pieces(&input), pieces(other));
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        match random.below(5) {
            0 => {
                let end = at + random.below(input.len() - at + 1).min(1 + random.below(6));
                input.drain(at..end);
            }
            1 => input.insert(at, random.of(WORDS).as_bytes().to_vec()),
            2 if at < input.len() => input[at] = random.of(&other).clone(),
            3 if at < input.len() => {
                let with = random.below(input.len());
                input.swap(at, with);
            }
            _ => {
                let from = random.below(other.len());
                let end = (from + random.below(20)).min(other.len());
                input.splice(at..at, other[from..end].iter().cloned());
            }
        }
    }
    let mut text = input.concat();
    text.truncate(1 << 16);
    text
}

/// `value` with one place in it changed, perhaps by a part of `other`.
pub(crate) fn value(random: &mut Random, mut value: Value, other: &Value) -> Value {
    let places = count(&value);
    let chosen = random.below(places);
    let part = nth(other, random.below(count(other)));
    change(random, &mut value, &mut { chosen }, part);
    value
}

/// How many values there are in `value`, itself among them.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn nth(value: &Value, mut place: usize) -> &Value {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        if place == 0 {
            return value;
        }
        place -= 1;
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(members) => open.extend(members.values()),
            _ => {}
        }
    }
    value
}

fn change(random: &mut Random, value: &mut Value, left: &mut usize, part: &Value) -> bool {
    if *left == 0 {
        change_here(random, value, part);
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(random, item, left, part)),
        Value::Object(members) => members.values_mut().any(|member| change(random, member, left, part)),
        _ => false,
    }
}

fn change_here(random: &mut Random, value: &mut Value, part: &Value) {
    match (random.below(10), value) {
        (0, value) => *value = scalar(random),
        (1, value) => *value = part.clone(),
        (2, value) => *value = json!([value.clone(), part]),
        (3, value) => *value = json!({ (text(random)): value.clone() }),
        (_, Value::Array(items)) => {
            let at = random.below(items.len() + 1);
            match random.below(4) {
                0 => items.insert(at, part.clone()),
                1 if at < items.len() => items.insert(at, items[at].clone()),
                2 if at < items.len() => {
                    items.remove(at);
                }
                _ => items.insert(at, scalar(random)),
            }
        }
        (_, Value::Object(members)) => change_members(random, members, part),
        (_, value @ Value::String(_)) => *value = Value::String(text(random)),
        (_, value) => *value = scalar(random),
    }
}

fn change_members(random: &mut Random, members: &mut Map<String, Value>, part: &Value) {
    let names: Vec<String> = members.keys().cloned().collect();
    let name = if names.is_empty() { text(random) } else { random.of(&names).clone() };
    match random.below(6) {
        0 => {
            members.remove(&name);
        }
        1 => {
            let moved = members.remove(&name).unwrap_or_default();
            members.insert(text(random), moved);
        }
        2 => {
            if let Value::Object(others) = part
                && let Some((name, value)) = others.iter().nth(random.below(others.len()))
            {
                members.insert(name.clone(), value.clone());
            }
        }
        3 => {
            members.insert(name, part.clone());
        }
        4 => {
            let copied = members.get(&name).cloned().unwrap_or_default();
            members.insert(format!("{name}2"), copied);
        }
        _ => {
            members.insert(name, scalar(random));
        }
    }
}

/// A value that a JSON Schema would take, as far as it is looked at; now and then one it would not.
pub(crate) fn like(schema: &Value, random: &mut Random) -> Value {
    if random.one_in(25) {
        return scalar(random);
    }
    if let Some(known) = schema.get("enum").and_then(Value::as_array).filter(|known| !known.is_empty()) {
        return random.of(known).clone();
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(word).and_then(Value::as_array).filter(|choices| !choices.is_empty()) {
            let choice = random.of(choices).clone();
            return like(&choice, random);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) if !kinds.is_empty() => random.of(kinds).as_str().unwrap_or_default().to_owned(),
        _ => return scalar(random),
    };
    match kind.as_str() {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            let required: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .map(|names| names.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            let mut object = Map::new();
            for (name, of) in &properties {
                if required.contains(&name.as_str()) || random.one_in(2) {
                    object.insert(name.clone(), like(of, random));
                }
            }
            Value::Object(object)
        }
        "array" => {
            let item = schema.get("items").cloned().unwrap_or_default();
            (0..random.below(4)).map(|_| like(&item, random)).collect()
        }
        "integer" => json!(random.below(1_000)),
        "number" => json!(random.below(1_000) as f64 / 8.0),
        "boolean" => json!(random.one_in(2)),
        "string" => match schema.get("format").and_then(Value::as_str) {
            Some("uuid") => json!("0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f"),
            Some("date-time") => json!("2026-01-31T12:00:00.5+01:00"),
            Some("date") => json!("2026-01-31"),
            _ => Value::String(text(random)),
        },
        _ => Value::Null,
    }
}
