//! The gateway's way to Postgres.
//!
//! `embedded` is the private server that `rowgate dev`, tests and benches start by themselves.

pub mod embedded;
