//! Postgres: connections, one plan in one round trip, and what its refusals mean.
//!
//! [`lane`] holds the pipelined connections that declarative calls ride, [`barrier`] what writes on them
//! came to until it is on the disk; [`pool`] the pooled ones
//! for what needs a connection of its own. [`run`] binds, sends and copies rows into JSON.
//! [`transaction`] does the same with several plans, all or nothing.
//! [`wall`] makes a role for each extension, [`reader`] one for the SQL of its handlers, [`rights`] says
//! what these must not have.
//! [`catalog`] reads what Postgres has of an extension's tables, as plain data.
//! [`sqlstate`] alone knows Postgres's error codes. [`migrate`] keeps the gateway's own tables,
//! [`embedded`] the private server that `rowgate dev` and the tests start by themselves.

pub mod barrier;
pub mod catalog;
pub mod connect;
pub mod embedded;
pub mod handshake;
pub mod inspect;
pub mod lane;
pub mod migrate;
pub mod parameter;
pub mod pipeline;
pub mod pool;
pub mod reader;
pub mod rights;
pub mod run;
pub mod session;
pub mod shadow;
pub mod sqlstate;
pub mod transaction;
pub mod waits;
pub mod wall;
