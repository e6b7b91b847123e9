//! Values of a definition as DDL writes them: quoted text cast to the type, so that no number is
//! rounded on its way and sea-query's literal writer is the only one that quotes.

use jiff::Span;
use jiff::civil;
use sea_query::{Alias, ArrayType, Expr, Func, Value};

use crate::column_type::{PostgresType, Storage};
use crate::value::Typed;

const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// The type as DDL names it.
pub(super) fn type_name(storage: Storage) -> String {
    format!("{}{}", storage.element.sql(), if storage.is_array { "[]" } else { "" })
}

/// `value` as an expression of the type `storage`.
pub(super) fn expression(value: &Typed, storage: Storage) -> Expr {
    match value {
        Typed::Null => Expr::null(),
        Typed::Text(text) => Expr::val(text.as_str()),
        Typed::Int8(number) => Expr::val(*number),
        Typed::Bool(truth) => Expr::val(*truth),
        Typed::Float8(_)
        | Typed::Numeric(_)
        | Typed::Timestamptz(_)
        | Typed::Date(_)
        | Typed::Uuid(_)
        | Typed::Bytea(_)
        | Typed::Jsonb(_) => cast(Expr::val(text_of(value)), &type_name(storage)),
        Typed::Array(_, elements) => cast(text_array(elements.iter().map(text_of)), &type_name(storage)),
    }
}

/// The time of the insert, as a `timestamptz` or as the day it is in UTC.
pub(super) fn now(element: PostgresType) -> Expr {
    match element {
        PostgresType::Date => {
            cast(Func::cust("timezone").arg("UTC").arg(Expr::current_timestamp()).into(), PostgresType::Date.sql())
        }
        PostgresType::Timestamptz
        | PostgresType::Text
        | PostgresType::Int8
        | PostgresType::Float8
        | PostgresType::Bool
        | PostgresType::Numeric
        | PostgresType::Uuid
        | PostgresType::Bytea
        | PostgresType::Jsonb => Expr::current_timestamp(),
    }
}

/// `CAST(expression AS type_name)`.
pub(super) fn cast(expression: Expr, type_name: &str) -> Expr {
    Func::cast_as(expression, Alias::new(type_name)).into()
}

/// An array of text, before any cast.
pub(super) fn text_array(elements: impl Iterator<Item = String>) -> Expr {
    let elements = elements.map(|element| Value::String(Some(element))).collect();
    Expr::val(Value::Array(ArrayType::String, Some(Box::new(elements))))
}

/// The text that Postgres reads as the value.
pub(super) fn text_of(value: &Typed) -> String {
    match value {
        Typed::Null => String::new(),
        Typed::Text(text) | Typed::Numeric(text) | Typed::Jsonb(text) => text.clone(),
        Typed::Int8(number) => number.to_string(),
        Typed::Float8(number) => number_text(*number),
        Typed::Bool(truth) => truth.to_string(),
        Typed::Timestamptz(microseconds) => timestamp_text(*microseconds),
        Typed::Date(days) => date_text(*days),
        Typed::Uuid(uuid) => uuid.hyphenated().to_string(),
        Typed::Bytea(bytes) => bytes.iter().fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        // Arrays hold scalars alone.
        Typed::Array(..) => String::new(),
    }
}

/// The shortest text that reads back as the same double.
pub(super) fn number_text(number: f64) -> String {
    format!("{number:?}")
}

fn timestamp_text(microseconds: i64) -> String {
    let day = civil::Date::constant(1970, 1, 1);
    let days = i32::try_from(microseconds.div_euclid(DAY_MICROSECONDS)).unwrap_or_default();
    // INVARIANT: `value::parse` made it, from a year between 1 and 9999.
    let day = day.checked_add(Span::new().days(days)).unwrap_or(day);
    let of_day = Span::new().microseconds(microseconds.rem_euclid(DAY_MICROSECONDS));
    let at = day.to_datetime(civil::Time::midnight());
    // By the calendar, since jiff's timestamps end some hours before the year 9999 does.
    format!("{}Z", at.checked_add(of_day).unwrap_or(at))
}

fn date_text(days: i32) -> String {
    // INVARIANT: `value::parse` made it, from a year between 1 and 9999.
    let epoch = civil::Date::constant(1970, 1, 1);
    epoch.checked_add(Span::new().days(days)).unwrap_or(epoch).to_string()
}
