//! The gateway's way to Postgres.

pub mod embedded;
pub mod migrate;

pub use migrate::migrate;
