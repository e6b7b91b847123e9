//! One JSON value becomes one Postgres value of a column's type, or a refusal that says why.
//!
//! The same code judges an author's literals at deploy and a caller's arguments on the request
//! path, so the two cannot differ. It reads the JSON text of the value itself: no tree is built,
//! and no digit of a number is lost on the way.

mod document;
mod scalar;
#[cfg(test)]
mod tests;

use uuid::Uuid;

use crate::column_type::{ColumnType, PostgresType};
use crate::value::scalar::{bounds, bytes, date, decimal, decimal_bounds, integer, number, string, timestamp, uuid};

pub use crate::value::document::Members;
pub use crate::value::scalar::{compare_decimals, is_decimal};

/// Digits, sign and point of a decimal.
pub const DECIMAL_CHARACTERS_MAX: usize = 1_000;
/// Refusals of one value; what follows is not read.
pub const REFUSALS_MAX: usize = 100;
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
/// at once, up to [`REFUSALS_MAX`].
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
        ColumnType::Array { items, min, max } => return document::array(items, *min, *max, raw, pointer, refusals),
        ColumnType::Object { fields } => return document::object(fields, raw, pointer, refusals),
        ColumnType::Json => document::json(raw).map(|()| Typed::Jsonb(raw.to_owned())),
    };
    parsed
        .map_err(|mut refusal| {
            refusal.pointer = pointer.to_owned();
            refusals.push(refusal);
        })
        .ok()
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
