//! Handlers: what is declared of a function that is written in Luau, and its files.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::definition::{Handler, HandlerKind, Validator};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::read::column;
use crate::read::complaints::{
    Choices, Complaints, choice, object, quoted, refuse_unknown, required, text, wrong_type,
};
use crate::read::function::{access, rate_limit};

const KINDS: Choices<'static, HandlerKind> = Choices {
    noun: "kind of handler",
    code: "unknown_kind",
    all: &[("query", HandlerKind::Query), ("mutation", HandlerKind::Mutation), ("action", HandlerKind::Action)],
    synonyms: &[("read", "query"), ("write", "mutation"), ("mutate", "mutation")],
    later: &[],
};

const OPTIONS: &[&str] = &["kind", "args", "access", "editorOnly", "timeoutMs", "rateLimit"];
const LATER: &[&str] = &["description", "returns"];

/// Reads a handler's declaration; `None` after a complaint about something it cannot be without.
pub(super) fn handler(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Handler> {
    let map = object(value, at, "a handler: an object with `kind`", complaints)?;
    let word = required(map, "kind", "`query`, `mutation` or `action`", at, complaints)?;
    let kind = choice(word, &pointer_to(at, "kind"), &KINDS, complaints);
    refuse_unknown(map, at, "a handler", OPTIONS, LATER, complaints);
    let access = access(map, at, complaints);
    let args = map.get("args").map(|args| arguments(args, &pointer_to(at, "args"), complaints)).unwrap_or_default();
    let timeout_ms = timeout_ms(map, at, complaints);
    let rate_limit = rate_limit(map, at, complaints);
    Some(Handler { kind: kind.ok()?, access, args, timeout_ms, rate_limit })
}

/// Reads one Luau file.
pub(super) fn source(value: &Value, at: &str, complaints: &mut Complaints) -> Option<String> {
    text(value, at, "the text of a Luau file", complaints).map(str::to_owned)
}

fn arguments(value: &Value, at: &str, complaints: &mut Complaints) -> IndexMap<String, Validator> {
    let members = object(value, at, "validators by argument: an object", complaints).into_iter().flatten();
    let read = |(name, value): (&String, &Value)| {
        Some((name.clone(), column::validator(value, &pointer_to(at, name), complaints)?))
    };
    members.filter_map(read).collect()
}

fn timeout_ms(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<u32> {
    let value = map.get("timeoutMs")?;
    let at = pointer_to(at, "timeoutMs");
    if !value.is_number() {
        complaints.push(wrong_type(value, &at, "milliseconds, such as 2000"));
        return None;
    }
    let timeout_ms = column::integral(value).and_then(|ms| u32::try_from(ms).ok()).filter(|ms| *ms > 0);
    if timeout_ms.is_none() {
        let message = format!("{} is no time to wait", quoted(&value.to_string()));
        complaints.push(Diagnostic::new("invalid_timeout", at, message).with_hint("write whole milliseconds, from 1"));
    }
    timeout_ms
}
