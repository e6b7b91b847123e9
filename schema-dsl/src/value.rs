//! One JSON value becomes one Postgres value of a column's type, or a refusal that says why.
//!
//! The same code judges an author's literals at deploy and a caller's arguments on the request
//! path, so the two cannot differ. It reads the JSON text of the value itself: no tree is built,
//! and no digit of a number is lost on the way.

use std::borrow::Cow;
use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use jiff::civil;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::column_type::{ColumnType, Field, PostgresType};

/// Digits, sign and point of a decimal.
pub const DECIMAL_CHARACTERS_MAX: usize = 1_000;
/// Elements of an array that are complained about one by one.
const REFUSALS_MAX: usize = 50;
/// Levels of arrays and objects in a `json` value.
pub const JSON_DEPTH_MAX: usize = 64;

/// A value as Postgres holds it.
#[derive(Debug, Clone, PartialEq)]
pub enum Typed {
    Null,
    Text(String),
    Int8(i64),
    Float8(f64),
    Bool(bool),
    /// Decimal digits as text: bound as text and cast, so that nothing is rounded.
    Numeric(String),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamptz(i64),
    /// Days since 1970-01-01.
    Date(i32),
    Uuid(Uuid),
    Bytea(Vec<u8>),
    /// JSON text.
    Jsonb(String),
    /// Elements of one type, none of them null.
    Array(PostgresType, Vec<Typed>),
}

/// Why a value does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// JSON pointer below the value.
    pub pointer: String,
    /// Lower snake case, stable, such as `too_long`.
    pub code: &'static str,
    pub message: String,
}

/// Reads the JSON text `raw` (valid JSON, not `null`) as a value of `column_type`; every refusal
/// at once.
pub fn parse(column_type: &ColumnType, raw: &str) -> Result<Typed, Vec<Refusal>> {
    let mut refusals = Vec::new();
    match parse_at(column_type, raw.trim(), "", &mut refusals) {
        Some(typed) if refusals.is_empty() => Ok(typed),
        _ => Err(refusals),
    }
}

/// [`parse`] for a literal of the definition.
pub fn parse_literal(column_type: &ColumnType, value: &serde_json::Value) -> Result<Typed, Vec<Refusal>> {
    parse(column_type, &value.to_string())
}

fn parse_at(column_type: &ColumnType, raw: &str, pointer: &str, refusals: &mut Vec<Refusal>) -> Option<Typed> {
    let parsed = match column_type {
        ColumnType::String { min, max, pattern } => string(raw).and_then(|text| {
            length("character", text.chars().count(), *min, *max)?;
            if let Some(pattern) = pattern
                && !pattern.is_match(&text)
            {
                return Err(refusal("pattern", format!("expected text matching `{}`", pattern.source())));
            }
            Ok(Typed::Text(text))
        }),
        ColumnType::Integer { min, max } => integer(raw).and_then(|number| {
            bounds(number, *min, *max)?;
            Ok(Typed::Int8(number))
        }),
        ColumnType::Number { min, max } => number(raw).and_then(|number| {
            bounds(number, *min, *max)?;
            Ok(Typed::Float8(number))
        }),
        ColumnType::Boolean => match raw {
            "true" => Ok(Typed::Bool(true)),
            "false" => Ok(Typed::Bool(false)),
            _ => Err(expected("true or false", raw)),
        },
        ColumnType::Decimal { min, max } => decimal(raw).and_then(|digits| {
            decimal_bounds(&digits, min.as_deref(), max.as_deref())?;
            Ok(Typed::Numeric(digits))
        }),
        ColumnType::Timestamp => timestamp(raw).map(Typed::Timestamptz),
        ColumnType::Date => date(raw).map(Typed::Date),
        ColumnType::Uuid | ColumnType::Id { .. } => uuid(raw).map(Typed::Uuid),
        ColumnType::Bytes { min, max } => bytes(raw).and_then(|bytes| {
            length("byte", bytes.len(), *min, *max)?;
            Ok(Typed::Bytea(bytes))
        }),
        ColumnType::Enum { values } => string(raw).and_then(|text| {
            if values.contains(&text) {
                return Ok(Typed::Text(text));
            }
            let choices: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            Err(refusal("not_a_choice", format!("expected one of {}", choices.join(", "))))
        }),
        ColumnType::Array { items, min, max } => return array(items, *min, *max, raw, pointer, refusals),
        ColumnType::Object { fields } => return object(fields, raw, pointer, refusals),
        ColumnType::Json => json(raw).map(|()| Typed::Jsonb(raw.to_owned())),
    };
    parsed
        .map_err(|mut refusal| {
            refusal.pointer = pointer.to_owned();
            refusals.push(refusal);
        })
        .ok()
}

fn array(
    items: &ColumnType,
    min: Option<u32>,
    max: Option<u32>,
    raw: &str,
    pointer: &str,
    refusals: &mut Vec<Refusal>,
) -> Option<Typed> {
    let refuse = |mut refusal: Refusal, refusals: &mut Vec<Refusal>| {
        refusal.pointer = pointer.to_owned();
        refusals.push(refusal);
    };
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        refuse(expected("an array", raw), refusals);
        return None;
    };
    if let Err(refusal) = length("element", elements.len(), min, max) {
        refuse(refusal, refusals);
        return None;
    }
    let mut parsed = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        if refusals.len() >= REFUSALS_MAX {
            return None;
        }
        let element = element.get();
        if element == "null" {
            refusals.push(Refusal {
                pointer: format!("{pointer}/{index}"),
                code: "null",
                message: "expected a value; arrays hold no null".to_owned(),
            });
        } else if let Some(typed) = parse_at(items, element, &format!("{pointer}/{index}"), refusals) {
            parsed.push(typed);
        }
    }
    Some(Typed::Array(items.storage().element, parsed))
}

fn object(fields: &IndexMap<String, Field>, raw: &str, pointer: &str, refusals: &mut Vec<Refusal>) -> Option<Typed> {
    let before = refusals.len();
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(raw) else {
        let mut refusal = expected("an object", raw);
        refusal.pointer = pointer.to_owned();
        refusals.push(refusal);
        return None;
    };
    let mut seen: Vec<&str> = Vec::with_capacity(members.len());
    for (name, value) in &members {
        let pointer = crate::diagnostic::pointer_to(pointer, name);
        if seen.contains(&name.as_ref()) {
            refusals.push(Refusal { pointer, code: "duplicate_field", message: format!("`{name}` is given twice") });
            continue;
        }
        seen.push(name);
        let Some(field) = fields.get(name.as_ref()) else {
            let mut message = format!("`{name}` is not a field");
            if let Some(nearest) = crate::diagnostic::nearest(name, fields.keys().map(String::as_str)) {
                message.push_str(&format!("; did you mean `{nearest}`?"));
            }
            refusals.push(Refusal { pointer, code: "unknown_field", message });
            continue;
        };
        if value.get() == "null" {
            if !field.optional {
                refusals.push(Refusal { pointer, code: "null", message: format!("`{name}` cannot be null") });
            }
            continue;
        }
        parse_at(&field.column_type, value.get(), &pointer, refusals);
    }
    for (name, field) in fields {
        if !field.optional && !seen.contains(&name.as_str()) {
            refusals.push(Refusal {
                pointer: crate::diagnostic::pointer_to(pointer, name),
                code: "missing_field",
                message: format!("`{name}` is missing; expected {}", field.column_type.phrase()),
            });
        }
    }
    (refusals.len() == before).then(|| Typed::Jsonb(raw.to_owned()))
}

fn string(raw: &str) -> Result<String, Refusal> {
    if !raw.starts_with('"') {
        return Err(expected("text", raw));
    }
    let text = serde_json::from_str::<String>(raw)
        .map_err(|_| refusal("invalid_text", "expected text without lone surrogates"))?;
    if text.contains('\0') {
        return Err(refusal("nul_character", "text cannot hold the character U+0000"));
    }
    Ok(text)
}

fn integer(raw: &str) -> Result<i64, Refusal> {
    if let Ok(number) = raw.parse::<i64>() {
        return Ok(number);
    }
    if !is_number(raw) {
        return Err(expected("an integer", raw));
    }
    // `1.0` and `1e3` are integers too, as long as a double holds them exactly.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = raw.parse::<f64>().unwrap_or(f64::INFINITY);
    if number.fract() == 0.0 && number.abs() <= EXACT {
        return Ok(number as i64);
    }
    if number.fract() != 0.0 && number.is_finite() {
        return Err(refusal("not_an_integer", "expected an integer, without a fraction"));
    }
    Err(refusal("out_of_range", format!("expected an integer from {} to {}", i64::MIN, i64::MAX)))
}

fn number(raw: &str) -> Result<f64, Refusal> {
    if !is_number(raw) {
        return Err(expected("a number", raw));
    }
    match raw.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(refusal("out_of_range", "expected a number that fits double precision")),
    }
}

fn decimal(raw: &str) -> Result<String, Refusal> {
    let digits = if is_number(raw) { raw.to_owned() } else { string(raw)? };
    if digits.len() > DECIMAL_CHARACTERS_MAX {
        return Err(refusal("too_long", format!("expected at most {DECIMAL_CHARACTERS_MAX} digits")));
    }
    if is_decimal(&digits) {
        Ok(digits)
    } else {
        Err(refusal("not_a_decimal", "expected a decimal such as `\"12.50\"`, without an exponent"))
    }
}

/// Whether `text` is an optional sign, digits, and optionally a point and digits.
pub fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole) && fraction.is_none_or(all_digits)
}

/// The order of two decimals of [`is_decimal`]'s form, exact at any length.
pub fn compare_decimals(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest.to_owned()),
            None => (false, text.to_owned()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let zero = whole.is_empty() && fraction.is_empty();
        (negative && !zero, whole, fraction)
    };
    let (a_negative, a_whole, a_fraction) = parts(a);
    let (b_negative, b_whole, b_fraction) = parts(b);
    let magnitude = || a_whole.len().cmp(&b_whole.len()).then(a_whole.cmp(&b_whole)).then(a_fraction.cmp(&b_fraction));
    match (a_negative, b_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => magnitude(),
        (true, true) => magnitude().reverse(),
    }
}

fn timestamp(raw: &str) -> Result<i64, Refusal> {
    const EXPECTED: &str = "a timestamp such as `\"2026-01-31T12:00:00Z\"` (RFC 3339, with an offset)";
    let text = string(raw).map_err(|_| expected(EXPECTED, raw))?;
    let timestamp = text.parse::<jiff::Timestamp>().map_err(|_| expected(EXPECTED, raw))?;
    let year = timestamp.to_zoned(jiff::tz::TimeZone::UTC).year();
    if !(1..=9999).contains(&year) {
        return Err(refusal("out_of_range", "expected a year from 0001 to 9999"));
    }
    Ok(timestamp.as_microsecond())
}

fn date(raw: &str) -> Result<i32, Refusal> {
    const EXPECTED: &str = "a date such as `\"2026-01-31\"`";
    let text = string(raw).map_err(|_| expected(EXPECTED, raw))?;
    // The parser takes other ISO 8601 forms as well; the wire has one.
    if text.len() != 10 || text.starts_with('-') {
        return Err(expected(EXPECTED, raw));
    }
    let date = text.parse::<civil::Date>().map_err(|_| expected(EXPECTED, raw))?;
    if date.year() < 1 {
        return Err(refusal("out_of_range", "expected a year from 0001 to 9999"));
    }
    Ok(date.since(civil::Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days()))
}

fn uuid(raw: &str) -> Result<Uuid, Refusal> {
    const EXPECTED: &str = "a UUID such as `\"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c\"`";
    // A quoted hyphenated UUID has no escapes, so the text between the quotes is the value.
    let text = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).ok_or_else(|| expected(EXPECTED, raw))?;
    if text.len() != 36 {
        return Err(expected(EXPECTED, raw));
    }
    Uuid::try_parse(text).map_err(|_| expected(EXPECTED, raw))
}

fn bytes(raw: &str) -> Result<Vec<u8>, Refusal> {
    const EXPECTED: &str = "bytes as standard base64 with padding";
    let text = string(raw).map_err(|_| expected(EXPECTED, raw))?;
    STANDARD.decode(text).map_err(|_| refusal("not_base64", format!("expected {EXPECTED}")))
}

fn json(raw: &str) -> Result<(), Refusal> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    AnyJson { depth: JSON_DEPTH_MAX }.deserialize(&mut deserializer).map_err(|error| {
        let message = error.to_string();
        match message.split(" at line ").next() {
            Some(TOO_DEEP) => refusal("too_deep", format!("expected at most {JSON_DEPTH_MAX} levels")),
            Some(NUL) => refusal("nul_character", NUL),
            Some("number out of range") => refusal("out_of_range", "expected numbers that fit double precision"),
            _ => refusal("invalid_text", "expected text without lone surrogates"),
        }
    })
}

const TOO_DEEP: &str = "nested too deep";
const NUL: &str = "text cannot hold the character U+0000";

/// Walks a JSON value and keeps nothing: refuses what `jsonb` would.
struct AnyJson {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for AnyJson {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyJson {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom(NUL)) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(de::Error::custom(TOO_DEEP)) };
        while sequence.next_element_seed(AnyJson { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(de::Error::custom(TOO_DEEP)) };
        while map.next_key_seed(AnyJson { depth: 1 })?.is_some() {
            map.next_value_seed(AnyJson { depth })?;
        }
        Ok(())
    }
}

/// The members of a JSON object in their order, duplicates kept, values unread.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(name)) = map.next_key::<Key<'de>>()? {
                    members.push((name, map.next_value::<&'de RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A member's name, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

fn length(unit: &str, length: usize, min: Option<u32>, max: Option<u32>) -> Result<(), Refusal> {
    if let Some(max) = max
        && length > max as usize
    {
        return Err(refusal("too_long", format!("expected at most {}, got {length}", count(max, unit))));
    }
    if let Some(min) = min
        && length < min as usize
    {
        return Err(refusal("too_short", format!("expected at least {}, got {length}", count(min, unit))));
    }
    Ok(())
}

fn bounds<T: PartialOrd + std::fmt::Display>(value: T, min: Option<T>, max: Option<T>) -> Result<(), Refusal> {
    if let Some(max) = max
        && value > max
    {
        return Err(refusal("too_large", format!("expected at most {max}")));
    }
    if let Some(min) = min
        && value < min
    {
        return Err(refusal("too_small", format!("expected at least {min}")));
    }
    Ok(())
}

fn decimal_bounds(digits: &str, min: Option<&str>, max: Option<&str>) -> Result<(), Refusal> {
    if let Some(max) = max
        && compare_decimals(digits, max) == Ordering::Greater
    {
        return Err(refusal("too_large", format!("expected at most {max}")));
    }
    if let Some(min) = min
        && compare_decimals(digits, min) == Ordering::Less
    {
        return Err(refusal("too_small", format!("expected at least {min}")));
    }
    Ok(())
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { pointer: String::new(), code, message: message.into() }
}

/// Names what kind of JSON came instead, never the value: it may be a secret.
fn expected(what: &str, raw: &str) -> Refusal {
    let got = match raw.as_bytes().first() {
        Some(b'"') => "text",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    };
    refusal("wrong_type", format!("expected {what}, got {got}"))
}

fn count(number: u32, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}
