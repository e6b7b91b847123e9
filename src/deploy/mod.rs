//! From a bundle on disk to an extension that is served.
//! From an author's bundle to what is deployed.
pub mod apply;
pub mod notation;
