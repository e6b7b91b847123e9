//! What a deploy may do that it does not do unasked: `--allow` and `--allow-scan`.

use std::collections::BTreeSet;

use clap::Args;

use crate::cli::Failed;
use crate::cli::certificate::AllowScan;
use crate::config::Config;
use crate::deploy::apply::{Patience, Terms};

/// What may become of values, and which functions may read without bound.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Allow {
    /// Accept what becomes of values, such as deletes-data:rules.text; may be given several times
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    #[command(flatten)]
    pub(super) allow_scan: AllowScan,
}

impl Allow {
    /// The terms of a deploy on which these are allowed; a name that nothing has is refused.
    pub(super) fn terms(&self, patience: Patience, config: &Config) -> Result<Terms, Failed> {
        for name in &self.allow {
            must_be_known(name)?;
        }
        let allowed: BTreeSet<String> = self.allow.iter().cloned().collect();
        Ok(Terms { allowed, ..self.allow_scan.terms(patience, config) })
    }
}

fn must_be_known(name: &str) -> Result<(), Failed> {
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let of_column = |of: &str| of.split_once('.').is_some_and(|(table, column)| is_name(table) && is_name(column));
    let known = match name.split_once(':') {
        Some(("deletes-data", of)) => is_name(of) || of_column(of),
        Some(("fills-nulls", of)) => of_column(of),
        Some(_) | None => false,
    };
    if known {
        return Ok(());
    }
    Err(Failed::Usage(format!(
        "--allow: `{name}` is nothing that can be allowed; expected `deletes-data:TABLE`, \
         `deletes-data:TABLE.COLUMN` or `fills-nulls:TABLE.COLUMN`, as `rowgate plan` names it"
    )))
}
