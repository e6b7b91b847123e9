//! rowgate: the declarative-first database function gateway.
//!
//! ARCHITECTURE.md is the map of these rooms.

pub mod config;
pub mod deploy;
pub mod error;
pub mod script;
