mod apply;
mod ddl;
mod support;
#[path = "../../schema-dsl/tests/understand/mod.rs"]
mod understand;
//! The integration tests: one binary, on a real Postgres, a database per test.

mod embedded;
mod support;
