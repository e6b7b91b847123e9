//!
//! Postgres: connections, one plan in one round trip, and what its refusals mean.
//! Postgres: connections, statements on them, and the gateway's own tables.
//! The gateway's way to Postgres.
//! [`lane`] holds the pipelined connections that declarative calls ride; [`pool`] the pooled ones
//! [`sqlstate`] alone knows Postgres's error codes.
//! `embedded` is the private server that `rowgate dev`, tests and benches start by themselves.
//! for what needs a connection of its own. [`run`] binds, sends and copies rows into JSON.
pub mod connect;
pub mod embedded;
pub mod lane;
pub mod migrate;
pub mod parameter;
pub mod pool;
pub mod run;
pub mod sqlstate;
pub use migrate::migrate;
