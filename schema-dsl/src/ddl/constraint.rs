//! A column's limits as one check constraint: what `value::parse` refuses, Postgres refuses too.
//!
//! Expressions are of immutable built-in operators alone, which no `search_path` can redirect once
//! they are stored. What such an expression cannot say is the gateway's alone to refuse: the number
//! of digits of a decimal; within arrays, lengths of `bytes` and a minimum length of text above
//! [`COUNTED_CHARACTERS_MAX`]; within objects, see [`super::shape`].

use sea_query::extension::postgres::{PgBinOper, PgFunc};
use sea_query::{Alias, BinOper, CaseStatement, Expr, ExprTrait, Func};

use super::literal::{cast, number_text, text_array};
use super::shape;
use crate::column_type::{ColumnType, PostgresType};
use crate::model::Column;

/// Characters a regular expression counts to; the automaton has a state for each.
pub(super) const COUNTED_CHARACTERS_MAX: u32 = 1_000;

/// The first and the last microsecond that `value::parse` reads.
const TIMESTAMP_MIN: &str = "0001-01-01T00:00:00Z";
const TIMESTAMP_MAX: &str = "9999-12-31T23:59:59.999999Z";

/// The condition every value of the column fulfils, null where the value is.
pub(super) fn check(column: &Column) -> Option<Expr> {
    let value = Expr::col(Alias::new(column.name.as_str()));
    match &column.column_type {
        ColumnType::Array { items, min, max } => Some(array(items, *min, *max, value)),
        ColumnType::Object { fields } => {
            let shape = shape::object(fields, value.clone());
            Some(if column.optional { value.is_null().or(shape) } else { shape })
        }
        ColumnType::String { .. }
        | ColumnType::Integer { .. }
        | ColumnType::Number { .. }
        | ColumnType::Boolean
        | ColumnType::Decimal { .. }
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Uuid
        | ColumnType::Bytes { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Id { .. }
        | ColumnType::Json => all(scalar(&column.column_type, value)),
    }
}

/// The conditions on one scalar.
pub(super) fn scalar(column_type: &ColumnType, value: Expr) -> Vec<Expr> {
    match column_type {
        ColumnType::String { min, max, pattern } => {
            let mut conditions = length(Func::char_length(value.clone()).into(), *min, *max);
            if let Some(pattern) = pattern {
                conditions.push(value.binary(PgBinOper::Regex, Expr::val(pattern.postgres())));
            }
            conditions
        }
        ColumnType::Bytes { min, max } => length(Func::cust("octet_length").arg(value).into(), *min, *max),
        ColumnType::Enum { values } => vec![value.is_in(sorted(values))],
        ColumnType::Integer { .. }
        | ColumnType::Number { .. }
        | ColumnType::Boolean
        | ColumnType::Decimal { .. }
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Uuid
        | ColumnType::Id { .. }
        | ColumnType::Array { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => bounds(column_type)
            .into_iter()
            .map(|Bound { operator, bound, .. }| value.clone().binary(operator, bound))
            .collect(),
    }
}

/// `expressions` joined by AND; none for none. Many become a tree of groups: expressions are
/// walked recursively, and a chain as long as an object has fields would be as deep.
pub(super) fn all(mut expressions: Vec<Expr>) -> Option<Expr> {
    const GROUP: usize = 16;
    while expressions.len() > GROUP {
        expressions = expressions.chunks(GROUP).filter_map(chain).collect();
    }
    chain(&expressions)
}

fn chain(expressions: &[Expr]) -> Option<Expr> {
    expressions.iter().cloned().reduce(|all, next| all.and(next))
}

/// The conditions on a length.
pub(super) fn length(length: Expr, min: Option<u32>, max: Option<u32>) -> Vec<Expr> {
    let min = min.filter(|min| *min > 0).map(|min| length.clone().gte(i64::from(min)));
    let max = max.map(|max| length.lte(i64::from(max)));
    min.into_iter().chain(max).collect()
}

/// A regular expression for text of at least `characters`, where that is countable.
pub(super) fn at_least_pattern(characters: u32) -> Option<String> {
    if characters > COUNTED_CHARACTERS_MAX {
        return None;
    }
    // Postgres counts to 255 in one repetition.
    let (runs, rest) = (characters / 255, characters % 255);
    Some(if runs == 0 { format!("^.{{{rest}}}") } else { format!("^(?:.{{255}}){{{runs}}}.{{{rest}}}") })
}

/// Whether no element of the JSON array `array` fulfils the jsonpath predicate `wrong`.
pub(super) fn no_element(array: Expr, wrong: &str) -> Expr {
    let path = cast(Expr::val(format!("$[*] ? ({wrong})")), "jsonpath");
    Expr::from(Func::cust("jsonb_path_exists").arg(array).arg(path)).not()
}

/// `text` as jsonpath writes it: a JSON string.
pub(super) fn path_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn sorted(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort();
    values
}

fn array(items: &ColumnType, min: Option<u32>, max: Option<u32>, value: Expr) -> Expr {
    let call = |name: &'static str| Func::cust(name).arg(value.clone());
    // A JSON array has one dimension and starts where all do; Postgres's need not.
    let dimension = |name, arguments: Option<i32>| {
        let call = arguments.into_iter().fold(call(name), |call, argument| call.arg(argument));
        Expr::from(Func::coalesce([call.into(), Expr::val(1)])).eq(1)
    };
    let plain = dimension("array_ndims", None).and(dimension("array_lower", Some(1)));
    let mut conditions = vec![Expr::from(call("array_position").arg(Expr::null())).is_null()];
    conditions.extend(length(call("cardinality").into(), min, max));
    conditions.extend(elements(items, value.clone()));
    let conditions = all(conditions).unwrap_or_else(|| Expr::val(true));
    // `array_position` fails on more dimensions, and CASE alone promises an order.
    CaseStatement::new().case(plain, conditions).finally(false).into()
}

/// The conditions on each element of an array without nulls.
fn elements(items: &ColumnType, array: Expr) -> Vec<Expr> {
    match items {
        ColumnType::String { min, max, pattern } => {
            let mut conditions = Vec::new();
            if let Some(max) = max.filter(|max| *max > 0) {
                // The cast cuts what is longer.
                let cut = cast(cast(array.clone(), &format!("varchar({max})[]")), "text[]");
                conditions.push(cut.eq(array.clone()));
            }
            if *max == Some(0) {
                conditions.push(Expr::val("").eq(PgFunc::all(array.clone())));
            }
            let too_short = min.filter(|min| *min > 0).and_then(at_least_pattern);
            for pattern in too_short.into_iter().chain(pattern.as_ref().map(|pattern| pattern.postgres().to_owned())) {
                let json = Func::cust("to_jsonb").arg(array.clone()).into();
                conditions.push(no_element(json, &format!("!(@ like_regex {} flag \"s\")", path_text(&pattern))));
            }
            conditions
        }
        ColumnType::Enum { values } => {
            vec![array.binary(PgBinOper::Contained, cast(text_array(sorted(values).into_iter()), "text[]"))]
        }
        ColumnType::Integer { .. }
        | ColumnType::Number { .. }
        | ColumnType::Boolean
        | ColumnType::Decimal { .. }
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Uuid
        | ColumnType::Bytes { .. }
        | ColumnType::Id { .. }
        | ColumnType::Array { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => bounds(items)
            .into_iter()
            .map(|Bound { flipped, bound, .. }| bound.binary(flipped, PgFunc::all(array.clone())))
            .collect(),
    }
}

/// `value operator bound`, or the same as `bound flipped value`.
struct Bound {
    operator: BinOper,
    flipped: BinOper,
    bound: Expr,
}

fn bound(operator: BinOper, flipped: BinOper, bound: Expr) -> Bound {
    Bound { operator, flipped, bound }
}

/// What values of an ordered type are compared with; NaN is above infinity for Postgres, so an
/// upper bound refuses both.
fn bounds(column_type: &ColumnType) -> Vec<Bound> {
    let at_least = |value: Expr| bound(BinOper::GreaterThanOrEqual, BinOper::SmallerThanOrEqual, value);
    let at_most = |value: Expr| bound(BinOper::SmallerThanOrEqual, BinOper::GreaterThanOrEqual, value);
    let above = |value: Expr| bound(BinOper::GreaterThan, BinOper::SmallerThan, value);
    let below = |value: Expr| bound(BinOper::SmallerThan, BinOper::GreaterThan, value);
    let finite = |min: Option<String>, max: Option<String>, postgres_type: PostgresType| {
        let typed = |text: String| cast(Expr::val(text), postgres_type.sql());
        vec![
            min.map_or_else(|| above(typed("-Infinity".to_owned())), |min| at_least(typed(min))),
            max.map_or_else(|| below(typed("Infinity".to_owned())), |max| at_most(typed(max))),
        ]
    };
    match column_type {
        ColumnType::Integer { min, max } => {
            let min = min.map(|min| at_least(Expr::val(min)));
            let max = max.map(|max| at_most(Expr::val(max)));
            min.into_iter().chain(max).collect()
        }
        ColumnType::Number { min, max } => finite(min.map(number_text), max.map(number_text), PostgresType::Float8),
        ColumnType::Decimal { min, max } => finite(min.clone(), max.clone(), PostgresType::Numeric),
        ColumnType::Timestamp => {
            let typed = |text: &str| cast(Expr::val(text), PostgresType::Timestamptz.sql());
            vec![at_least(typed(TIMESTAMP_MIN)), at_most(typed(TIMESTAMP_MAX))]
        }
        ColumnType::Date => {
            let typed = |text: &str| cast(Expr::val(text), PostgresType::Date.sql());
            vec![at_least(typed("0001-01-01")), at_most(typed("9999-12-31"))]
        }
        ColumnType::String { .. }
        | ColumnType::Boolean
        | ColumnType::Uuid
        | ColumnType::Bytes { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Id { .. }
        | ColumnType::Array { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => Vec::new(),
    }
}
