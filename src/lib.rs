//! rowgate: the declarative-first database function gateway.
//!
//! ARCHITECTURE.md is the map of these rooms.

pub mod auth;
pub mod config;
pub mod db;
pub mod deploy;
pub mod error;
pub mod plan;
pub mod record;
