//! Where a value comes from: literals typed, arguments noted, facts about the caller admitted.

mod rows;

use serde_json::Value;

use crate::check::arguments::{Arguments, Need, Use, phrase};
use crate::check::types;
use crate::column_type::ColumnType;
use crate::definition::{IdentityField, Operand};
use crate::diagnostic::Diagnostic;
use crate::function::Source;
use crate::value::Typed;

/// The place that takes a value.
pub(crate) struct Target {
    /// Such as ``column `score` ``.
    pub(crate) what: String,
    pub(crate) column_type: ColumnType,
    pub(crate) need: Need,
    /// Whether null is a value here.
    pub(crate) nullable: bool,
    /// Whether the type's bounds bind an argument's validator too.
    pub(crate) is_bounded: bool,
}

/// The source that `operand` is for `target`.
pub(crate) fn source(
    operand: &Operand,
    target: Target,
    pointer: &str,
    arguments: &mut Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Source> {
    let Target { what, column_type, need, nullable, is_bounded } = target;
    match operand {
        Operand::Literal(Value::Null) if nullable => Some(Source::Literal(Typed::Null)),
        Operand::Literal(Value::Null) => {
            let message = format!("{what} takes {}, not null", phrase(&column_type));
            diagnostics.push(Diagnostic::new("null_literal", pointer, message).with_hint("give a value"));
            None
        }
        Operand::Literal(value) => {
            types::literal(&column_type, value, &format!("the value for {what}"), pointer, diagnostics)
                .map(Source::Literal)
        }
        Operand::Argument { name, .. } => {
            let pointer = pointer.to_owned();
            arguments.used(name, Use { pointer, what, column_type, is_bounded, need, nullable }).map(Source::Argument)
        }
        Operand::Identity(field) if holds_identity(&column_type, *field) => Some(Source::Identity(*field)),
        Operand::Identity(field) => {
            let kinds = if is_uuid(*field) { "a string or a uuid" } else { "a string" };
            let message =
                format!("`identity(\"{}\")` is {kinds}, but {what} takes {}", field.as_str(), phrase(&column_type));
            let hint = format!("use a column of type {}", kinds.replace("a ", ""));
            diagnostics.push(Diagnostic::new("identity_type", pointer, message).with_hint(hint));
            None
        }
        Operand::Now if types::holds_time(&column_type) => Some(Source::Now),
        Operand::Now => {
            let message = format!("`now()` is a point in time, but {what} takes {}", phrase(&column_type));
            let hint = "use a timestamp or date column";
            diagnostics.push(Diagnostic::new("now_type", pointer, message).with_hint(hint));
            None
        }
        Operand::Row { step, column } => {
            let target = Target { what, column_type, need, nullable, is_bounded };
            rows::source(step, column, &target, pointer, arguments, diagnostics)
        }
        Operand::Increment(_) | Operand::Append(_) | Operand::Remove(_) => {
            let word = operand.change().map_or("increment", |(word, _)| word);
            let message = format!("`{word}` changes a column's old value; {what} has none here");
            let hint = "use it as a value of patchRow";
            diagnostics.push(Diagnostic::new("misplaced_increment", pointer, message).with_hint(hint));
            None
        }
    }
}

/// Facts about the caller are text, and the ids of the gateway's own records are UUIDs too.
fn holds_identity(column_type: &ColumnType, field: IdentityField) -> bool {
    match column_type {
        ColumnType::String { .. } => true,
        ColumnType::Uuid => is_uuid(field),
        ColumnType::Integer { .. }
        | ColumnType::Number { .. }
        | ColumnType::Boolean
        | ColumnType::Decimal { .. }
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Bytes { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Id { .. }
        | ColumnType::Array { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => false,
    }
}

const fn is_uuid(field: IdentityField) -> bool {
    match field {
        IdentityField::AccountId | IdentityField::InstallId => true,
        IdentityField::UserId
        | IdentityField::Role
        | IdentityField::Surface
        | IdentityField::PlatformUserId
        | IdentityField::PlatformUserName => false,
    }
}
