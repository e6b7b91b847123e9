//! The integration tests: one binary, on a real Postgres, a database per test.

mod apply;
mod arrows;
mod auth;
mod call;
mod ddl;
mod embedded;
mod faults;
mod hostile;
mod http;
mod limits;
mod support;
#[path = "../../schema-dsl/tests/understand/mod.rs"]
mod understand;
