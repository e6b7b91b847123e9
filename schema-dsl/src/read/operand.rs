//! Values: literals, and objects that say where a value comes from.
//!
//! A scalar or an array is itself; an object is exactly one of the known forms, so that no
//! author's data is ever taken for a form or the other way round.

use serde_json::{Map, Value};

use crate::definition::{DefaultValue, IdentityField, Operand};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::read::column;
use crate::read::complaints::{
    Choices, Complaints, choice, one_of, refuse_unknown, required, text, unknown_option, wrong_type,
};

const OPERANDS: &[&str] = &["arg", "identity", "now", "row", "increment", "append", "remove", "literal"];
const DEFAULTS: &[&str] = &["now", "literal"];

const IDENTITY_FIELDS: Choices<'static, IdentityField> = Choices {
    noun: "identity field",
    code: "unknown_identity",
    all: &[
        ("userId", IdentityField::UserId),
        ("role", IdentityField::Role),
        ("surface", IdentityField::Surface),
        ("platformUserId", IdentityField::PlatformUserId),
        ("platformUserName", IdentityField::PlatformUserName),
        ("accountId", IdentityField::AccountId),
        ("installId", IdentityField::InstallId),
    ],
    synonyms: &[
        ("user", "userId"),
        ("id", "userId"),
        ("sub", "userId"),
        ("account", "accountId"),
        ("install", "installId"),
    ],
    later: &[],
};

/// Reads where a value comes from; `None` after a complaint.
pub(super) fn operand(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Operand> {
    let Value::Object(map) = value else { return Some(Operand::Literal(value.clone())) };
    let form = form(map, at, "a value", OPERANDS, complaints)?;
    let known = match form {
        "arg" => &["arg", "validator"] as &[&str],
        "row" => &["row", "column"],
        _ => &[form],
    };
    refuse_unknown(map, at, &format!("`{form}`"), known, &[], complaints);
    let inner = map.get(form)?;
    let at_inner = pointer_to(at, form);
    match form {
        "arg" => {
            let name = text(inner, &at_inner, "an argument's name", complaints);
            let validator = map
                .get("validator")
                .and_then(|validator| column::validator(validator, &pointer_to(at, "validator"), complaints));
            Some(Operand::Argument { name: name?.to_owned(), validator })
        }
        "identity" => choice(inner, &at_inner, &IDENTITY_FIELDS, complaints).ok().map(Operand::Identity),
        "now" => now(inner, &at_inner, complaints).then_some(Operand::Now),
        "row" => {
            let step = text(inner, &at_inner, "a step's name", complaints);
            let column = required(map, "column", "a column of the step's row", at, complaints)
                .and_then(|column| text(column, &pointer_to(at, "column"), "a column's name", complaints));
            Some(Operand::Row { step: step?.to_owned(), column: column?.to_owned() })
        }
        "increment" => increment(inner, &at_inner, complaints),
        "append" => element(inner, &at_inner, complaints).map(|element| Operand::Append(Box::new(element))),
        "remove" => element(inner, &at_inner, complaints).map(|element| Operand::Remove(Box::new(element))),
        _ => Some(Operand::Literal(inner.clone())),
    }
}

/// Reads a column's or an argument's default; `None` after a complaint.
pub(super) fn default_value(value: &Value, at: &str, complaints: &mut Complaints) -> Option<DefaultValue> {
    let Value::Object(map) = value else { return Some(DefaultValue::Literal(value.clone())) };
    let form = form(map, at, "a default", DEFAULTS, complaints)?;
    refuse_unknown(map, at, &format!("`{form}`"), &[form], &[], complaints);
    let inner = map.get(form)?;
    match form {
        "now" => now(inner, &pointer_to(at, form), complaints).then_some(DefaultValue::Now),
        _ => Some(DefaultValue::Literal(inner.clone())),
    }
}

/// Which of `forms` the object is.
fn form(
    map: &Map<String, Value>,
    at: &str,
    what: &str,
    forms: &[&'static str],
    complaints: &mut Complaints,
) -> Option<&'static str> {
    let found: Vec<&'static str> = forms.iter().copied().filter(|form| map.contains_key(*form)).collect();
    match (found.as_slice(), map.keys().next()) {
        ([form], _) => Some(form),
        ([], Some(name)) if map.len() == 1 && crate::diagnostic::nearest(name, forms.iter().copied()).is_some() => {
            complaints.push(unknown_option(name, &pointer_to(at, name), what, forms));
            None
        }
        ([], _) => {
            let message = format!("an object as {what} is one of {}", one_of(forms.iter().copied()));
            let hint = "write an object that is the value itself as `{\"literal\": …}`";
            complaints.push(Diagnostic::new("unknown_value", at, message).with_hint(hint));
            None
        }
        (found, _) => {
            let message =
                format!("{what} cannot be {} at once", one_of(found.iter().copied()).replace(" or ", " and "));
            complaints.push(Diagnostic::new("ambiguous_value", at, message).with_hint("keep one of them"));
            None
        }
    }
}

fn now(value: &Value, at: &str, complaints: &mut Complaints) -> bool {
    let found = *value == Value::Bool(true);
    if !found {
        complaints.push(wrong_type(value, at, "`true`"));
    }
    found
}

/// What is added is a number that is known before the row is: a literal or an argument.
fn increment(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Operand> {
    let by = match value {
        Value::Object(map)
            if ["identity", "now", "increment", "append", "remove"].iter().any(|form| map.contains_key(*form)) =>
        {
            None
        }
        Value::Object(_) => return operand(value, at, complaints).map(|by| Operand::Increment(Box::new(by))),
        // A decimal's increment is text, as decimals are.
        Value::Number(_) | Value::String(_) => Some(value.clone()),
        Value::Null | Value::Bool(_) | Value::Array(_) => None,
    };
    if by.is_none() {
        complaints.push(wrong_type(value, at, "a number or `{\"arg\": …}`"));
    }
    by.map(|by| Operand::Increment(Box::new(Operand::Literal(by))))
}

/// One element of a list.
fn element(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Operand> {
    let is_one = match value {
        Value::Object(map) => !["increment", "append", "remove"].iter().any(|form| map.contains_key(*form)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Null | Value::Array(_) => false,
    };
    if !is_one {
        complaints.push(wrong_type(value, at, "one element, or `{\"arg\": …}`"));
        return None;
    }
    operand(value, at, complaints)
}
