//! The integration tests: one binary, on a real Postgres, a database per test.

mod apply;
mod call;
mod ddl;
mod embedded;
mod evaluate;
mod support;
mod types;
#[path = "../../schema-dsl/tests/understand/mod.rs"]
mod understand;
