//! From an author's bundle on disk to an extension that is served.

pub mod apply;
pub mod bundle;
pub mod certify;
pub mod drift;
pub mod notation;
pub mod pins;
pub mod plan;
