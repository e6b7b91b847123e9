//! Judges a type with its limits, and the default that stands beside it.
//!
//! The reader has refused most of this already; a definition made another way has not seen it,
//! and a model promises that it holds.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt::Display;

use serde_json::Value;

use crate::check::{ENUM_VALUES_MAX, ground, names};
use crate::column_type::{ColumnType, OnDelete, PostgresType, SHAPE_DEPTH_MAX, Storage};
use crate::definition::{DefaultValue, Definition, Scope, Validator};
use crate::diagnostic::{Diagnostic, nearest, pointer_to};
use crate::model;
use crate::value::{DECIMAL_CHARACTERS_MAX, Typed, compare_decimals, is_decimal, parse_literal};

/// What has the type: only a column itself can be a foreign key.
#[derive(Clone, Copy)]
pub(crate) enum Holder {
    Column { scope: Scope, optional: bool },
    Part { scope: Scope },
    Argument,
}

/// Judges `column_type` at `pointer`, which holds its members.
pub(crate) fn column_type(
    column_type: &ColumnType,
    holder: Holder,
    pointer: &str,
    definition: &Definition,
    diagnostics: &mut Vec<Diagnostic>,
) {
    judge(column_type, holder, 0, pointer, definition, diagnostics);
}

/// The default of a validator whose type is sound; null is none.
pub(crate) fn default_value(
    validator: &Validator,
    what: &str,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<model::DefaultValue> {
    let pointer = pointer_to(pointer, "default");
    match validator.default.as_ref()? {
        DefaultValue::Now if holds_time(&validator.column_type) => Some(model::DefaultValue::Now),
        DefaultValue::Now => {
            let word = validator.column_type.word();
            let message = format!("the default of {what} is `now()`, but its type is {word}");
            let hint = "make it a timestamp or a date, or give a literal";
            diagnostics.push(Diagnostic::new("now_type", pointer, message).with_hint(hint));
            None
        }
        DefaultValue::Literal(Value::Null) => {
            let message = format!("the default of {what} is null");
            let hint = "leave the default out, and make it optional where it may be null";
            diagnostics.push(Diagnostic::new("null_literal", pointer, message).with_hint(hint));
            None
        }
        DefaultValue::Literal(value) => {
            let what = format!("the default of {what}");
            literal(&validator.column_type, value, &what, &pointer, diagnostics).map(model::DefaultValue::Value)
        }
    }
}

/// The author's `value` as one of `column_type`; `what` is what takes it.
pub(crate) fn literal(
    column_type: &ColumnType,
    value: &Value,
    what: &str,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Typed> {
    let refusals = match parse_literal(column_type, value) {
        Ok(typed) => return Some(typed),
        Err(refusals) => refusals,
    };
    let pointer = if value.is_object() { pointer_to(pointer, "literal") } else { pointer.to_owned() };
    for refusal in refusals {
        let at = format!("{pointer}{}", refusal.pointer);
        let diagnostic = Diagnostic::new("invalid_literal", at, format!("{what} does not fit: {}", refusal.message));
        let near = value.pointer(&refusal.pointer).and_then(|wrong| nearest_choice(column_type, wrong));
        diagnostics.push(match near {
            Some(near) => diagnostic.with_hint(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
    }
    None
}

/// Whether `now()` has a meaning for it.
pub(crate) fn holds_time(column_type: &ColumnType) -> bool {
    let Storage { element, is_array } = column_type.storage();
    !is_array && matches!(element, PostgresType::Timestamptz | PostgresType::Date)
}

fn judge(
    column_type: &ColumnType,
    holder: Holder,
    depth: usize,
    pointer: &str,
    definition: &Definition,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match column_type {
        ColumnType::String { min, max, pattern } => {
            bounds(min.as_ref(), max.as_ref(), u32::cmp, pointer, diagnostics);
            if pattern.as_ref().is_some_and(|pattern| pattern.source().contains('\0')) {
                diagnostics.push(names::nul_character("the pattern", pointer_to(pointer, "pattern")));
            }
        }
        ColumnType::Bytes { min, max } => bounds(min.as_ref(), max.as_ref(), u32::cmp, pointer, diagnostics),
        ColumnType::Integer { min, max } => bounds(min.as_ref(), max.as_ref(), i64::cmp, pointer, diagnostics),
        ColumnType::Number { min, max } => number_bounds(*min, *max, pointer, diagnostics),
        ColumnType::Decimal { min, max } => decimal_bounds(min.as_deref(), max.as_deref(), pointer, diagnostics),
        ColumnType::Enum { values } => choices(values, pointer, diagnostics),
        ColumnType::Id { table, on_delete } => {
            reference(table, *on_delete, holder, pointer, definition, diagnostics);
        }
        ColumnType::Array { items, min, max } => {
            bounds(min.as_ref(), max.as_ref(), u32::cmp, pointer, diagnostics);
            let pointer = pointer_to(pointer, "items");
            if items.is_scalar() {
                judge(items, part(holder), depth, &pointer, definition, diagnostics);
            } else {
                let message = format!("an array cannot hold {} values", items.word());
                let hint = "give it elements of a plain type, or make the column `json`";
                diagnostics.push(Diagnostic::new("array_items", pointer, message).with_hint(hint));
            }
        }
        ColumnType::Object { fields } => {
            if depth >= SHAPE_DEPTH_MAX {
                let message = format!("objects nest more than {SHAPE_DEPTH_MAX} deep");
                let hint = "make the innermost one `json`";
                diagnostics.push(Diagnostic::new("shape_too_deep", pointer, message).with_hint(hint));
                return;
            }
            let pointer = pointer_to(pointer, "fields");
            for (name, field) in fields {
                let pointer = pointer_to(&pointer, name);
                if name.contains('\0') {
                    diagnostics.push(names::nul_character("the field's name", pointer.as_str()));
                }
                judge(&field.column_type, part(holder), depth + 1, &pointer, definition, diagnostics);
            }
        }
        ColumnType::Boolean | ColumnType::Timestamp | ColumnType::Date | ColumnType::Uuid | ColumnType::Json => {}
    }
}

fn part(holder: Holder) -> Holder {
    match holder {
        Holder::Column { scope, .. } | Holder::Part { scope } => Holder::Part { scope },
        Holder::Argument => Holder::Argument,
    }
}

fn reference(
    table: &str,
    on_delete: OnDelete,
    holder: Holder,
    pointer: &str,
    definition: &Definition,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let at_table = pointer_to(pointer, "table");
    let target = ground::declared_table(definition, table, &at_table, diagnostics);
    let scope = match holder {
        Holder::Column { scope, .. } | Holder::Part { scope } => Some(scope),
        Holder::Argument => None,
    };
    if let (Some(target), Some(scope)) = (target, scope)
        && target.storage != scope
    {
        let message = format!(
            "table `{table}` is stored per {}, this one per {}; a reference stays within one scope",
            target.storage.as_str(),
            scope.as_str()
        );
        let hint = format!("give both tables the same storage, or keep the id in a `uuid` beside table `{table}`");
        diagnostics.push(Diagnostic::new("reference_scope", at_table, message).with_hint(hint));
    }
    let at_on_delete = pointer_to(pointer, "onDelete");
    match holder {
        Holder::Column { optional: false, .. } if on_delete == OnDelete::SetNull => {
            let message = "`setNull` needs a column that may be null";
            let hint = "make the column optional, or choose `cascade` or `restrict`";
            diagnostics.push(Diagnostic::new("set_null_required", at_on_delete, message).with_hint(hint));
        }
        // An argument may share its validator with a column; there it says nothing, and no harm.
        Holder::Part { .. } if !on_delete.is_restrict() => {
            let message = "`onDelete` has a meaning only where the column itself is the reference";
            diagnostics.push(Diagnostic::new("misplaced_on_delete", at_on_delete, message).with_hint("leave it out"));
        }
        Holder::Column { .. } | Holder::Part { .. } | Holder::Argument => {}
    }
}

fn bounds<T: Display>(
    min: Option<&T>,
    max: Option<&T>,
    order: impl Fn(&T, &T) -> Ordering,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let (Some(min), Some(max)) = (min, max)
        && order(min, max) == Ordering::Greater
    {
        let message = format!("`min` {min} is above `max` {max}: no value fits");
        let at = pointer_to(pointer, "min");
        diagnostics.push(Diagnostic::new("min_above_max", at, message).with_hint("swap or correct them"));
    }
}

fn number_bounds(min: Option<f64>, max: Option<f64>, pointer: &str, diagnostics: &mut Vec<Diagnostic>) {
    for (member, bound) in [("min", min), ("max", max)] {
        if bound.is_some_and(|bound| !bound.is_finite()) {
            let message = format!("`{member}` is not finite");
            diagnostics.push(Diagnostic::new("invalid_bound", pointer_to(pointer, member), message));
        }
    }
    let order = |min: &f64, max: &f64| min.partial_cmp(max).unwrap_or(Ordering::Equal);
    bounds(min.as_ref(), max.as_ref(), order, pointer, diagnostics);
}

fn decimal_bounds(min: Option<&str>, max: Option<&str>, pointer: &str, diagnostics: &mut Vec<Diagnostic>) {
    let mut sound = true;
    for (member, bound) in [("min", min), ("max", max)] {
        let Some(bound) = bound else { continue };
        if bound.len() > DECIMAL_CHARACTERS_MAX || !is_decimal(bound) {
            sound = false;
            let message = format!("`{member}` is not a decimal of at most {DECIMAL_CHARACTERS_MAX} characters");
            let hint = "write it as text, such as `\"12.50\"`, without an exponent";
            diagnostics.push(Diagnostic::new("invalid_bound", pointer_to(pointer, member), message).with_hint(hint));
        }
    }
    if sound {
        bounds(min.as_ref(), max.as_ref(), |min, max| compare_decimals(min, max), pointer, diagnostics);
    }
}

fn choices(values: &[String], pointer: &str, diagnostics: &mut Vec<Diagnostic>) {
    let pointer = pointer_to(pointer, "values");
    if values.is_empty() {
        let message = "an enum without values: no value fits";
        diagnostics.push(Diagnostic::new("empty_enum", pointer.as_str(), message).with_hint("list its values"));
    }
    if values.len() > ENUM_VALUES_MAX {
        let message = format!("the enum has {} values; at most {ENUM_VALUES_MAX} are accepted", values.len());
        let hint = "keep the values in a table of their own and refer to its rows by `id`";
        diagnostics.push(Diagnostic::new("too_many_enum_values", pointer, message).with_hint(hint));
        return;
    }
    let mut seen = HashSet::new();
    for (index, value) in values.iter().enumerate() {
        let pointer = pointer_to(&pointer, index);
        if value.contains('\0') {
            diagnostics.push(names::nul_character("the enum's value", pointer.as_str()));
        }
        if !seen.insert(value) {
            let message = format!("the enum lists `{value}` twice");
            diagnostics.push(Diagnostic::new("duplicate_enum_value", pointer, message).with_hint("remove one"));
        }
    }
}

fn nearest_choice<'a>(column_type: &'a ColumnType, wrong: &Value) -> Option<&'a str> {
    let choices = match column_type {
        ColumnType::Enum { values } => values,
        ColumnType::Array { items, .. } => return nearest_choice(items, wrong),
        ColumnType::String { .. }
        | ColumnType::Integer { .. }
        | ColumnType::Number { .. }
        | ColumnType::Boolean
        | ColumnType::Decimal { .. }
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Uuid
        | ColumnType::Bytes { .. }
        | ColumnType::Id { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => return None,
    };
    nearest(wrong.as_str()?, choices.iter().map(String::as_str))
}
