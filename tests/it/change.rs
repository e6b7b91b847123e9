//! Changes of definitions on a real Postgres, with rows in their tables: the corpus of
//! `schema-dsl/tests/cases`, at once and in phases, judged by its proofs, and cut off everywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bed;
mod corpus;
mod cut;
mod served;
