//! The key that secrets are sealed with, and how a setting is kept from being shown.

use serde::Deserialize;

/// Keys of secrets; usually given as `ROWGATE_SECRETS_KEY` and `ROWGATE_SECRETS_FORMER_KEY`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// 32 random bytes as base64; without it there are no secrets.
    pub key: Option<Hidden>,
    /// The key before it: opens what it sealed, and seals nothing.
    pub former_key: Option<Hidden>,
}

/// Text that is not shown, whoever prints it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: String) -> Hidden {
        Hidden(text)
    }

    /// For the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}
