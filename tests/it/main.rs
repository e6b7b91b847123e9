//! The integration tests: one binary, on a real Postgres, a database per test.

mod call;
mod embedded;
mod support;
