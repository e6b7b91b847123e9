//! From an author's bundle to what is deployed.

pub mod apply;
