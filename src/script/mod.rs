//! Luau machines: how one is built, what it may use and for how long.
//!
//! A machine serves one purpose once and is dropped. This room knows nothing of bundles, tables
//! or calls; who needs a machine says what it gets besides Luau's own harmless libraries.

pub mod sandbox;
