//! The integration tests: one binary, on a real Postgres, a database per test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apply;
mod call;
mod cli;
mod ddl;
mod embedded;
mod support;
#[path = "../../schema-dsl/tests/understand/mod.rs"]
mod understand;
