//! From document to model or complaints, seen from outside the crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::too_many_lines)]

mod aggregates;
mod argument_complaints;
mod described;
mod document;
mod expansions;
mod function_complaints;
mod modelled;
mod outside;
mod owner_complaints;
mod properties;
mod table_complaints;
mod write_complaints;
