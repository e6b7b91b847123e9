//! `[metrics]`: how much a scrape may tell.

use serde::Deserialize;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Functions with series of their own; the others are counted together.
    pub functions_max: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        // Some twenty series each: what one Prometheus takes from many gateways without a thought.
        Metrics { functions_max: 1_000 }
    }
}
