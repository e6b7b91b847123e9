//! Postgres: connections, statements on them, and the gateway's own tables.

pub mod migrate;

pub use migrate::migrate;
//! The gateway's way to Postgres.
//!
//! `embedded` is the private server that `rowgate dev`, tests and benches start by themselves.

pub mod embedded;
