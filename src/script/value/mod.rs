//! JSON in and out of a machine, by direct readers and writers with limits.
//!
//! `null` is its own value and an absent key is nil; a table is an array if its keys are 1 to n, and
//! an object if they are text; an empty one is an object unless it is marked as an array. Numbers
//! are exact or refused: an integer beyond 2^53 comes in as decimal text.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use crate::script::value::read::read;
pub use crate::script::value::write::{write, write_arguments};

/// How deep a value nests at most.
pub const DEPTH_MAX: usize = 64;
/// How many values one holds at most, itself included.
pub const NODES_MAX: usize = 100_000;
/// The largest integer up to which all are exact: 2^53 - 1.
pub const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Why a value is no JSON, or too much of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unwritable {
    /// JSON pointer to the value that is to blame.
    pub pointer: String,
    /// Lower case, no full stop.
    pub message: String,
}

/// What the message begins with where there is too much of it.
const LARGER: &str = "larger than";

impl Unwritable {
    /// Whether it would have been too long as JSON.
    pub fn is_too_large(&self) -> bool {
        self.message.starts_with(LARGER)
    }
}
