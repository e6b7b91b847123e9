//! The notations an author may write in; each becomes the same definition document.

pub mod json;
pub mod luau;
