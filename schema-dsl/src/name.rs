//! Names that are safe to become Postgres identifiers and JSON members: checked once, then carried.

use std::borrow::Borrow;
use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// Postgres cuts identifiers at this length without a word; we refuse instead.
pub const NAME_BYTES_MAX: usize = 63;

/// Columns every table has; authors neither declare nor write them.
pub const SYSTEM_COLUMNS: [&str; 5] = ["id", "created_at", "updated_at", "version", SCOPE_COLUMN];

/// The hidden column that says whose rows these are.
pub const SCOPE_COLUMN: &str = "scope_key";

/// The column of an owned table that says which user inserted the row.
pub const OWNER_COLUMN: &str = "owner_id";

/// Names Postgres gives to every table's own hidden columns, and those we keep for later.
const RESERVED_COLUMNS: [&str; 7] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", OWNER_COLUMN];

/// A table, column, index, function or argument name: a letter, then letters, digits or `_`,
/// at most 63 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name cannot be empty")]
    Empty,
    #[error("`{0}` is {1} bytes long, at most 63 fit a Postgres identifier")]
    TooLong(String, usize),
    #[error("`{0}` is not a name; expected a letter followed by letters, digits or `_`")]
    Malformed(String),
}

impl Name {
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.to_owned(), text.len()));
        }
        let mut characters = text.chars();
        let starts_well = characters.next().is_some_and(|c| c.is_ascii_alphabetic());
        if !starts_well || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(NameError::Malformed(text.to_owned()));
        }
        Ok(Name(text.to_owned()))
    }

    /// A name that the gateway makes for itself, which begins with `_` as no author's does.
    pub(crate) fn of_the_gateway(text: String) -> Name {
        Name(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an author's column may not have this name.
    pub fn is_reserved_for_columns(&self) -> bool {
        let text = self.as_str();
        SYSTEM_COLUMNS.contains(&text) || RESERVED_COLUMNS.contains(&text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

/// `parts` joined by `_` as a Postgres identifier. One that would not fit keeps its beginning and
/// end and gets a hash of the whole between them, so that two never become one by being cut.
pub fn identifier(parts: &[&str]) -> String {
    let whole = parts.join("_");
    if whole.len() <= NAME_BYTES_MAX {
        return whole;
    }
    let digest = Sha256::digest(whole.as_bytes());
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let last = parts.last().copied().unwrap_or_default();
    let room = NAME_BYTES_MAX.saturating_sub(hash.len() + last.len() + 2);
    // Names are ASCII by construction, so any byte index is a character boundary.
    let head = whole.get(..room).unwrap_or_default();
    format!("{head}_{hash}_{last}")
}
