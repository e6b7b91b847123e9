//! From a bundle on disk to an extension that is served.

pub mod notation;
