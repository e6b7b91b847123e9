//! The cost certificate in the commands that deploy: what is refused, and what may pass anyway.

use std::collections::BTreeSet;

use clap::Args;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_postgres::Client;

use crate::cli::Failed;
use crate::cli::bundle::Loaded;
use crate::config::Config;
use crate::deploy::apply::{ApplyError, Patience, Scans, Terms};
use crate::deploy::certify::{CertifyError, certify, must_exist, refusals};

/// Which functions may read or sort without bound.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AllowScan {
    /// Accept that this function reads a whole scope, or sorts it; may be given several times
    #[arg(long = "allow-scan", value_name = "FUNCTION")]
    allow_scan: Vec<String>,
}

impl AllowScan {
    /// The terms of a deploy on which all functions but these need their certificate.
    pub(super) fn terms(&self, patience: Patience, config: &Config) -> Terms {
        let scans = Scans::Only(self.allow_scan.iter().cloned().collect());
        let (roles, scope_bytes_max) = (config.database.roles, config.deploy.scope_bytes_max);
        let (allowed, blocking_rows_max) = (BTreeSet::new(), config.deploy.blocking_rows_max);
        Terms { patience, scans, roles, scope_bytes_max, allowed, blocking_rows_max }
    }

    /// Has every function explained over empty copies of its tables; answers what is refused, placed.
    pub(super) async fn refusals(&self, client: &mut Client, loaded: &Loaded) -> Result<Vec<Diagnostic>, Failed> {
        let allowed: BTreeSet<String> = self.allow_scan.iter().cloned().collect();
        must_exist(&loaded.model, &allowed).map_err(|error| failed(error.into()))?;
        let certified = certify(client, &loaded.model).await?;
        let mut refused = refusals(&loaded.model, &certified, &allowed);
        loaded.source_map.place(&mut refused);
        Ok(refused)
    }
}

/// How a command ends with `error`: a name that is no function's was typed wrong.
pub(super) fn failed(error: ApplyError) -> Failed {
    match error {
        ApplyError::Certify(error @ CertifyError::UnknownFunction { .. }) => Failed::Usage(error.to_string()),
        other => other.into(),
    }
}
