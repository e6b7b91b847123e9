//! Luau machines: how one is built, what it may use and for how long.
//!
//! A machine serves one purpose once and is dropped. `sandbox` closes a machine and evaluates
//! definitions, `machine` runs one call of a handler, `value` is JSON in and out, `ticker` the clock
//! that makes watching cheap; `worker` is the process that machines of handlers run in, and `pool`
//! the gateway's side of it. This room knows nothing of tables, HTTP or the database: a handler asks
//! by yielding, and who began the call answers.

pub mod machine;
pub mod operation;
pub mod pool;
pub mod sandbox;
#[cfg(test)]
mod tests;
pub mod ticker;
pub mod value;
mod watch;
pub mod worker;
