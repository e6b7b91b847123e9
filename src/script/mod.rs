//! Luau machines: how one is built, what it may use and for how long.
//!
//! A machine serves one purpose once and is dropped. `sandbox` closes a machine and evaluates
//! definitions, `machine` runs one call of a handler, `value` is JSON in and out of either, `ticker`
//! the clock that makes watching cheap. This room knows nothing of tables, HTTP or the database: a
//! handler asks by yielding, and who runs the machine answers.

pub mod machine;
pub mod sandbox;
#[cfg(test)]
mod tests;
pub mod ticker;
pub mod value;
mod watch;
