//! What is wrong with a bundle: a code, a place, what was expected, and what to do about it.
//!
//! Stages push diagnostics at JSON pointers into the definition document; a [`SourceMap`], filled
//! by the notation that was read, turns a pointer into the author's file and line.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A line of an author's file. `line` counts from 1; `column` too, where the notation knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    pub file: String,
    pub line: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        Ok(())
    }
}

/// One complaint about a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Lower snake case, stable, such as `unknown_column`.
    pub code: &'static str,
    /// JSON pointer (RFC 6901) into the definition document.
    pub pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Lower case, no full stop, names and values in backticks.
    pub message: String,
    /// What to do, in the imperative.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Diagnostic {
    pub fn new(code: &'static str, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Diagnostic { code, pointer: pointer.into(), place: None, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Diagnostic {
    /// `server/schema.luau:4: unknown_column: message; hint`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: ")?,
            None if !self.pointer.is_empty() => write!(f, "{}: ", self.pointer)?,
            None => {}
        }
        write!(f, "error[{}]: {}", self.code, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Where in the author's files each part of the definition document was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceMap {
    places: BTreeMap<String, Place>,
}

impl SourceMap {
    pub fn insert(&mut self, pointer: impl Into<String>, place: Place) {
        self.places.insert(pointer.into(), place);
    }

    /// Takes over all places of `other`, also of what has one here.
    pub fn extend(&mut self, other: SourceMap) {
        self.places.extend(other.places);
    }

    /// The place of `pointer`, or of its nearest ancestor that has one.
    pub fn locate(&self, pointer: &str) -> Option<&Place> {
        let mut prefix = pointer;
        loop {
            if let Some(place) = self.places.get(prefix) {
                return Some(place);
            }
            prefix = prefix.get(..prefix.rfind('/')?)?;
        }
    }

    /// Fills in the places of diagnostics that have none, and sorts all by file and line.
    pub fn place(&self, diagnostics: &mut [Diagnostic]) {
        for diagnostic in diagnostics.iter_mut() {
            if diagnostic.place.is_none() {
                diagnostic.place = self.locate(&diagnostic.pointer).cloned();
            }
        }
        diagnostics.sort_by(|a, b| (&a.place, &a.pointer, a.code).cmp(&(&b.place, &b.pointer, b.code)));
    }
}

/// `pointer` extended by one member, escaped as RFC 6901 wants.
pub fn pointer_to(pointer: &str, member: impl fmt::Display) -> String {
    let member = member.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{member}")
}

/// Longer texts are not compared: the time and memory of it grow with the product of the lengths,
/// and `wrong` may come from a caller.
const NEAREST_BYTES_MAX: usize = 128;

/// The candidate most like `wrong`, when it is near enough to be what was meant.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > NEAREST_BYTES_MAX {
        return None;
    }
    let folded = fold(wrong);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= NEAREST_BYTES_MAX)
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(wrong.len()) / 3)
        .min_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(b.1)))
        .map(|(_, candidate)| candidate)
}

/// `dueAt`, `due_at` and `DueAt` are the same slip.
fn fold(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}
