//! The shape of an `object` as a condition on `jsonb`: its keys, its required fields, and the
//! limits of each field, down to the last.
//!
//! A field is text or a number in `jsonb`, so some of its limits lie with the gateway alone: that
//! a timestamp or date exists in the calendar, that a number has no more digits than a double
//! holds; and of the elements of an array within an object, bounds of decimals and lengths that
//! cannot be counted cheaply. No condition is ever null: a missing field would pass a check then.

use indexmap::IndexMap;
use sea_query::extension::postgres::{PgBinOper, PgExpr};
use sea_query::{BinOper, CaseStatement, Expr, ExprTrait, Func};

use super::constraint::{all, at_least_pattern, length, no_element, path_text, scalar, sorted};
use super::literal::{cast, number_text, text_array};
use crate::column_type::{ColumnType, Field};

const DECIMAL: &str = "^-?[0-9]+(?:[.][0-9]+)?$";
const DATE: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$";
const UUID: &str = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$";
const BASE64: &str = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";

/// Whether `json` is an object of exactly `fields`.
pub(super) fn object(fields: &IndexMap<String, Field>, json: Expr) -> Expr {
    let mut names: Vec<String> = fields.keys().cloned().collect();
    names.sort();
    let known = cast(text_array(names.iter().cloned()), "text[]");
    let others = json.clone().binary(BinOper::Sub, known);
    let mut conditions = vec![others.eq(cast(Expr::val("{}"), "jsonb"))];
    for name in names {
        let Some(field) = fields.get(&name) else { continue };
        let condition = value(&field.column_type, &json, &name);
        conditions.push(if field.optional { missing(&json, &name).or(condition) } else { condition });
    }
    when(is(json, "object"), conditions)
}

fn missing(parent: &Expr, name: &str) -> Expr {
    let kind = Func::cust("jsonb_typeof").arg(parent.clone().get_json_field(name));
    Expr::from(Func::coalesce([kind.into(), Expr::val("null")])).eq("null")
}

/// Whether the field `name` of `parent` is there and of `column_type`.
fn value(column_type: &ColumnType, parent: &Expr, name: &str) -> Expr {
    let json = parent.clone().get_json_field(name);
    let text = parent.clone().cast_json_field(name);
    let numeric = || cast(text.clone(), "numeric");
    let formed = |pattern: &str| text.clone().binary(PgBinOper::Regex, Expr::val(pattern));
    match column_type {
        ColumnType::String { .. } | ColumnType::Enum { .. } => {
            when(is(json, "string"), scalar(column_type, text.clone()))
        }
        ColumnType::Integer { min, max } => {
            let whole = Expr::from(Func::cust("trunc").arg(numeric())).eq(numeric());
            let min = numeric().gte(min.unwrap_or(i64::MIN));
            let max = numeric().lte(max.unwrap_or(i64::MAX));
            when(is(json, "number"), vec![whole, min, max])
        }
        ColumnType::Number { min, max } => {
            let bound = |number: f64| cast(Expr::val(number_text(number)), "numeric");
            let min = numeric().gte(bound(min.unwrap_or(f64::MIN)));
            let max = numeric().lte(bound(max.unwrap_or(f64::MAX)));
            when(is(json, "number"), vec![min, max])
        }
        ColumnType::Boolean => when(is(json, "boolean"), Vec::new()),
        ColumnType::Decimal { min, max } => {
            let bound = |digits: &String| cast(Expr::val(digits.as_str()), "numeric");
            let min = min.as_ref().map(|min| numeric().gte(bound(min)));
            let max = max.as_ref().map(|max| numeric().lte(bound(max)));
            let kind = Func::cust("jsonb_typeof").arg(json);
            let digits = Expr::from(kind).is_in(["string", "number"]).and(formed(DECIMAL));
            when(digits, min.into_iter().chain(max).collect())
        }
        ColumnType::Timestamp => when(is(json, "string"), Vec::new()),
        ColumnType::Date => when(is(json, "string"), vec![formed(DATE)]),
        ColumnType::Uuid | ColumnType::Id { .. } => when(is(json, "string"), vec![formed(UUID)]),
        ColumnType::Bytes { min, max } => {
            let decoded = Func::cust("decode").arg(text.clone()).arg("base64");
            let lengths = length(Func::cust("octet_length").arg(decoded).into(), *min, *max);
            when(is(json, "string").and(formed(BASE64)), lengths)
        }
        ColumnType::Array { items, min, max } => {
            let mut conditions = length(Func::cust("jsonb_array_length").arg(json.clone()).into(), *min, *max);
            conditions.push(no_element(json.clone(), &wrong_element(items)));
            when(is(json, "array"), conditions)
        }
        ColumnType::Object { fields } => object(fields, json),
        ColumnType::Json => missing(parent, name).not(),
    }
}

/// Whether the type of `json` is `kind`; null where there is none.
fn is(json: Expr, kind: &'static str) -> Expr {
    Expr::from(Func::cust("jsonb_typeof").arg(json)).eq(kind)
}

/// `conditions` where `guard` is true, else false; they may fail where it is not.
fn when(guard: Expr, conditions: Vec<Expr>) -> Expr {
    CaseStatement::new().case(guard, all(conditions).unwrap_or_else(|| Expr::val(true))).finally(false).into()
}

/// A jsonpath predicate that is true of an element which is not of `items`. The type is asked
/// first: what follows is unknown for other types, and true or unknown is true.
fn wrong_element(items: &ColumnType) -> String {
    let unlike = |pattern: &str| format!("!(@ like_regex {} flag \"s\")", path_text(pattern));
    let (kind, wrong): (&str, Vec<String>) = match items {
        ColumnType::String { min, max, pattern } => {
            let min = min.filter(|min| *min > 0).and_then(at_least_pattern).map(|pattern| unlike(&pattern));
            let max = max
                .and_then(|max| at_least_pattern(max.saturating_add(1)))
                .map(|pattern| format!("@ like_regex {} flag \"s\"", path_text(&pattern)));
            let pattern = pattern.as_ref().map(|pattern| unlike(pattern.postgres()));
            ("string", min.into_iter().chain(max).chain(pattern).collect())
        }
        ColumnType::Enum { values } => {
            let equal: Vec<String> = sorted(values).iter().map(|value| format!("@ == {}", path_text(value))).collect();
            ("string", vec![format!("!({})", equal.join(" || "))])
        }
        ColumnType::Integer { min, max } => {
            let (min, max) = (min.unwrap_or(i64::MIN), max.unwrap_or(i64::MAX));
            ("number", vec![format!("@ < {min}"), format!("@ > {max}"), "@.floor() != @".to_owned()])
        }
        ColumnType::Number { min, max } => {
            let (min, max) = (number_text(min.unwrap_or(f64::MIN)), number_text(max.unwrap_or(f64::MAX)));
            ("number", vec![format!("@ < {min}"), format!("@ > {max}")])
        }
        ColumnType::Boolean => ("boolean", Vec::new()),
        // Numbers are accepted for decimals too.
        ColumnType::Decimal { .. } => {
            let digits = unlike(DECIMAL);
            return format!("@.type() != \"number\" && (@.type() != \"string\" || {digits})");
        }
        ColumnType::Timestamp => ("string", Vec::new()),
        ColumnType::Date => ("string", vec![unlike(DATE)]),
        ColumnType::Uuid | ColumnType::Id { .. } => ("string", vec![unlike(UUID)]),
        ColumnType::Bytes { .. } => ("string", vec![unlike(BASE64)]),
        // Not scalar, so never an element.
        ColumnType::Array { .. } | ColumnType::Object { .. } | ColumnType::Json => ("null", Vec::new()),
    };
    let other = format!("@.type() != \"{kind}\"");
    std::iter::once(other).chain(wrong).collect::<Vec<_>>().join(" || ")
}
