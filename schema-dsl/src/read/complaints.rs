//! Complaints about the document, and the few ways of looking at it that give rise to them.
//!
//! Every function here takes a value and its JSON pointer, answers what it is when it is what was
//! expected, and otherwise complains and answers `None`. The input is quoted shortened: it is the
//! author's own file, but nobody reads a megabyte.

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, nearest, pointer_to};

/// Complaints kept of one document; who has more reads the first ones first.
pub const COMPLAINTS_MAX: usize = 500;
/// Characters of the input quoted in a message.
const QUOTED_CHARACTERS_MAX: usize = 48;

/// The complaints so far.
#[derive(Default)]
pub(super) struct Complaints {
    list: Vec<Diagnostic>,
    dropped: usize,
}

impl Complaints {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < COMPLAINTS_MAX {
            self.list.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Diagnostic> {
        if self.dropped > 0 {
            let message = format!("{} more complaints are not shown", self.dropped);
            self.list.push(Diagnostic::new("too_many_complaints", "", message));
        }
        self.list
    }
}

/// A member that is known to later versions of the format, so that naming it is no misspelling.
pub(super) fn not_yet_served(at: &str, what: &str) -> Diagnostic {
    Diagnostic::new("not_yet_served", at, format!("{} is not served yet", quoted(what)))
        .with_hint("leave it out for now")
}

pub(super) fn object<'a>(
    value: &'a Value,
    at: &str,
    what: &str,
    complaints: &mut Complaints,
) -> Option<&'a Map<String, Value>> {
    let found = value.as_object();
    if found.is_none() {
        complaints.push(wrong_type(value, at, what));
    }
    found
}

pub(super) fn array<'a>(value: &'a Value, at: &str, what: &str, complaints: &mut Complaints) -> Option<&'a [Value]> {
    let found = value.as_array();
    if found.is_none() {
        complaints.push(wrong_type(value, at, what));
    }
    found.map(Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, at: &str, what: &str, complaints: &mut Complaints) -> Option<&'a str> {
    let found = value.as_str();
    if found.is_none() {
        complaints.push(wrong_type(value, at, what));
    }
    found
}

/// The member `name` of `map` as true or false; false when it is not there.
pub(super) fn flag(map: &Map<String, Value>, name: &str, at: &str, complaints: &mut Complaints) -> bool {
    let Some(value) = map.get(name) else { return false };
    let found = value.as_bool();
    if found.is_none() {
        complaints.push(wrong_type(value, &pointer_to(at, name), "true or false"));
    }
    found.unwrap_or_default()
}

/// The member `name` of `map`; its absence is complained about at `at`.
pub(super) fn required<'a>(
    map: &'a Map<String, Value>,
    name: &str,
    what: &str,
    at: &str,
    complaints: &mut Complaints,
) -> Option<&'a Value> {
    let found = map.get(name);
    if found.is_none() {
        complaints.push(Diagnostic::new("missing_member", at, format!("`{name}` is missing; expected {what}")));
    }
    found
}

/// A closed set of words as authors write them, and other words that mean one of them.
pub(super) struct Choices<'a, T> {
    /// What one is called, such as `operator`.
    pub noun: &'static str,
    /// The complaint's code, such as `unknown_operator`.
    pub code: &'static str,
    pub all: &'a [(&'static str, T)],
    /// What people coming from elsewhere write, and the word for it here.
    pub synonyms: &'static [(&'static str, &'static str)],
    /// Words that a later version of the format will know.
    pub later: &'static [&'static str],
}

/// One of a closed set. On a complaint, the error is what was probably meant.
pub(super) fn choice<T: Clone>(
    value: &Value,
    at: &str,
    choices: &Choices<'_, T>,
    complaints: &mut Complaints,
) -> Result<T, Option<T>> {
    let Some(word) = text(value, at, &format!("{} as text", with_article(choices.noun)), complaints) else {
        return Err(None);
    };
    let find = |word: &str| choices.all.iter().find(|(known, _)| *known == word).map(|(_, meaning)| meaning.clone());
    if let Some(meaning) = find(word) {
        return Ok(meaning);
    }
    if choices.later.contains(&word) {
        complaints.push(not_yet_served(at, word));
        return Err(None);
    }
    let folded = word.to_ascii_lowercase();
    let synonym = choices.synonyms.iter().find(|(other, _)| *other == folded).map(|(_, word)| *word);
    let meant = synonym.or_else(|| nearest(word, choices.all.iter().map(|(known, _)| *known)));
    let hint = match meant {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("expected {}", one_of(choices.all.iter().map(|(known, _)| *known))),
    };
    let message = format!("{} is not {}", quoted(word), with_article(choices.noun));
    complaints.push(Diagnostic::new(choices.code, at, message).with_hint(hint));
    Err(meant.and_then(find))
}

/// Complains about each member of `map` that `known` does not name. `subject` is what it would
/// be an option of; words of `later` belong to later versions of the format.
pub(super) fn refuse_unknown(
    map: &Map<String, Value>,
    at: &str,
    subject: &str,
    known: &[&str],
    later: &[&str],
    complaints: &mut Complaints,
) {
    for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
        let at = pointer_to(at, name);
        if later.contains(&name.as_str()) {
            complaints.push(not_yet_served(&at, name));
        } else {
            complaints.push(unknown_option(name, &at, subject, known));
        }
    }
}

pub(super) fn unknown_option(name: &str, at: &str, subject: &str, known: &[&str]) -> Diagnostic {
    let hint = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.len() < 2 => "leave it out".to_owned(),
        None => format!("expected {}", one_of(known.iter().copied())),
    };
    Diagnostic::new("unknown_option", at, format!("{} is not an option of {subject}", quoted(name))).with_hint(hint)
}

/// `what` was expected and something else came.
pub(super) fn wrong_type(value: &Value, at: &str, what: &str) -> Diagnostic {
    let got = match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    };
    Diagnostic::new("wrong_type", at, format!("expected {what}, got {got}"))
}

/// The author's own text in backticks, cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARACTERS_MAX) {
        Some((end, _)) => format!("`{}…`", text.get(..end).unwrap_or_default()),
        None => format!("`{text}`"),
    }
}

/// `` `a`, `b` or `c` ``.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match (words.pop(), words.is_empty()) {
        (Some(last), true) => last,
        (Some(last), false) => format!("{} or {last}", words.join(", ")),
        (None, _) => String::new(),
    }
}

pub(super) fn with_article(noun: &str) -> String {
    if noun.starts_with(['a', 'e', 'i', 'o']) { format!("an {noun}") } else { format!("a {noun}") }
}
