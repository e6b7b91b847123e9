//! What handlers may have remembered in the gateway's memory.

use serde::Deserialize;

/// How much of it there is, roughly.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Of all installs together.
    pub bytes_max: usize,
    /// Of one install.
    pub install_bytes_max: usize,
}

impl Default for Cache {
    fn default() -> Self {
        Cache { bytes_max: 64 << 20, install_bytes_max: 1 << 20 }
    }
}
