//! rowgate: the declarative-first database function gateway.
//!
//! ARCHITECTURE.md is the map of these rooms.

pub mod admin;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod config;
pub mod db;
pub mod deploy;
pub mod error;
pub mod fetch;
pub mod gateway;
pub mod http;
pub mod lifecycle;
pub mod limit;
pub mod plan;
pub mod problem;
pub mod record;
pub mod registry;
pub mod script;
pub mod server;
pub mod telemetry;
pub mod vault;
