//! From an author's bundle to what is deployed.

pub mod apply;
pub mod bundle;
pub mod notation;
