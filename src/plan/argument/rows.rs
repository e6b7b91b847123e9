//! An argument that holds many rows, such as the one of insertRows: each is read like a call's body.

use std::borrow::Cow;

use rowgate_schema_dsl::diagnostic::pointer_to;
use rowgate_schema_dsl::value::{Members, Typed};
use serde_json::value::RawValue;

use crate::error::Complaint;
use crate::plan::argument::{Arguments, COMPLAINTS_MAX, duplicate};

/// The rows called `list` among `members`, up to `max`, each with a value for every argument.
pub(super) fn read(
    arguments: &Arguments,
    list: &str,
    members: &[(Cow<'_, str>, &RawValue)],
    max: u32,
    complaints: &mut Vec<Complaint>,
) -> Vec<Vec<Option<Typed>>> {
    let mut found = None;
    for (name, raw) in members {
        if complaints.len() >= COMPLAINTS_MAX {
            break;
        }
        match (&**name, found) {
            (name, None) if name == list => found = Some(raw.get()),
            (name, Some(_)) if name == list => complaints.push(duplicate(list)),
            (other, _) => {
                let shown: String = other.chars().take(64).collect();
                let message = format!("`{shown}` is not an argument; expected `{list}`, an array of objects");
                complaints.push(Complaint { pointer: pointer_to("", &shown), code: "unknown_argument", message });
            }
        }
    }
    let mut refuse = |code: &'static str, message: String| {
        complaints.push(Complaint { pointer: pointer_to("", list), code, message });
        Vec::new()
    };
    let Some(raw) = found else {
        return refuse("missing_argument", format!("`{list}` is missing; expected an array of objects"));
    };
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        return refuse("wrong_type", format!("expected an array of 1 to {max} objects"));
    };
    if elements.is_empty() {
        return refuse("too_short", "expected at least 1 row, got 0".to_owned());
    }
    if elements.len() > max as usize {
        return refuse("too_long", format!("expected at most {max} rows, got {}", elements.len()));
    }
    let mut rows = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        if complaints.len() >= COMPLAINTS_MAX {
            break;
        }
        let at = pointer_to(&pointer_to("", list), index);
        match serde_json::from_str::<Members<'_>>(element.get()) {
            Ok(Members(members)) => {
                let before = complaints.len();
                rows.push(arguments.read(&members, complaints));
                for complaint in complaints.iter_mut().skip(before) {
                    complaint.pointer.insert_str(0, &at);
                }
            }
            Err(_) => {
                let message = "expected an object of values by name".to_owned();
                complaints.push(Complaint { pointer: at, code: "wrong_type", message });
            }
        }
    }
    rows
}
