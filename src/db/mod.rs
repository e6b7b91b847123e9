//! Postgres: connections, statements on them, and the gateway's own tables.

pub mod migrate;

pub use migrate::migrate;
