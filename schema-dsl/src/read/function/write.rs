//! Options that only functions that write have.

use serde_json::{Map, Value};

use crate::definition::{OnConflict, Operand};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::WRITE_ROWS_MAX;
use crate::read::column;
use crate::read::complaints::{Choices, Complaints, choice, required, text, wrong_type};
use crate::read::function::operand;

const ON_CONFLICT: Choices<'static, OnConflict> = Choices {
    noun: "way to meet a conflict",
    code: "unknown_on_conflict",
    all: &[("error", OnConflict::Error), ("ignore", OnConflict::Ignore), ("update", OnConflict::Update)],
    synonyms: &[
        ("fail", "error"),
        ("abort", "error"),
        ("nothing", "ignore"),
        ("skip", "ignore"),
        ("replace", "update"),
        ("merge", "update"),
    ],
    later: &[],
};

/// What the insert does where the row is there.
pub(super) fn on_conflict(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> OnConflict {
    let Some(value) = map.get("onConflict") else { return OnConflict::default() };
    choice(value, &pointer_to(at, "onConflict"), &ON_CONFLICT, complaints).unwrap_or_else(Option::unwrap_or_default)
}

/// The unique rule that is meant, where one is named.
pub(super) fn unique(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<String> {
    let value = map.get("unique")?;
    text(value, &pointer_to(at, "unique"), "a unique rule's name", complaints).map(str::to_owned)
}

/// The unique rule without which the function says nothing.
pub(super) fn required_unique(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<String> {
    required(map, "unique", "the unique rule by which the row is found", at, complaints)?;
    unique(map, at, complaints)
}

/// The version that the row must still have.
pub(super) fn version(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Operand> {
    operand(map.get("version")?, &pointer_to(at, "version"), complaints)
}

/// How many rows one call may write.
pub(super) fn max_rows(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<u32> {
    let value = map.get("maxRows")?;
    let at = pointer_to(at, "maxRows");
    if !value.is_number() {
        complaints.push(wrong_type(value, &at, "a number of rows"));
        return None;
    }
    let rows = column::integral(value).and_then(|rows| u32::try_from(rows).ok());
    let rows = rows.filter(|rows| (1..=WRITE_ROWS_MAX).contains(rows));
    if rows.is_none() {
        let message = format!("`maxRows` is from 1 to {WRITE_ROWS_MAX}, got `{value}`");
        complaints.push(Diagnostic::new("out_of_range", at, message));
    }
    rows
}
