//! The integration tests: one binary, on a real Postgres, a database per test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod aggregates;
mod apply;
mod arrows;
mod auth;
mod barrier;
mod batch;
mod bytes;
mod call;
mod certificate;
mod change;
mod cli;
mod ctx;
mod ddl;
mod docs;
mod drift;
mod embedded;
mod evaluate;
mod faults;
mod fetch;
mod fuzz;
mod handlers;
mod hostile;
mod http;
mod lanes;
mod lifecycle;
mod limits;
mod once;
mod openapi;
mod overload;
mod owned;
mod page;
mod pages;
mod pipeline;
mod quota;
mod rolling;
mod rows;
mod runaway;
mod script;
mod served;
mod sql;
mod steps;
mod support;
mod traces;
mod transaction;
mod types;
#[path = "../../schema-dsl/tests/understand/mod.rs"]
mod understand;
mod versions;
mod wall;
mod writes;
