//! The steps of a transaction: functions, each with a name.

use serde_json::{Map, Value};

use crate::definition::Step;
use crate::diagnostic::pointer_to;
use crate::read::complaints::{Complaints, array, object, refuse_unknown, required, text};
use crate::read::function::{Place, one};

/// The steps in their order; `None` where one is broken, as the others may refer to it.
pub(super) fn steps(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Vec<Step>> {
    let steps = required(map, "steps", "an array of steps", at, complaints)?;
    let at = pointer_to(at, "steps");
    let elements = array(steps, &at, "an array of steps, each with `name` and `function`", complaints)?;
    let read = |(index, element)| step(element, &pointer_to(&at, index), complaints);
    let steps: Vec<Option<Step>> = elements.iter().enumerate().map(read).collect();
    steps.into_iter().collect()
}

fn step(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Step> {
    let map = object(value, at, "a step: an object with `name` and `function`", complaints)?;
    refuse_unknown(map, at, "a step", &["name", "function"], &[], complaints);
    let name = required(map, "name", "a name for the step", at, complaints)
        .and_then(|name| text(name, &pointer_to(at, "name"), "a name for the step", complaints));
    let function = required(map, "function", "what the step does: a function", at, complaints)
        .and_then(|function| one(function, &pointer_to(at, "function"), Place::Step, complaints));
    Some(Step { name: name?.to_owned(), function: function? })
}
