//! The cost certificate in the commands that deploy: what is refused, and what may pass anyway.

use std::collections::BTreeSet;

use clap::Args;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_postgres::Client;

use crate::cli::Failed;
use crate::cli::bundle::Loaded;
use crate::deploy::certify::{CertifyError, certify, must_exist, refusals};

/// Which functions may read or sort without bound.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AllowScan {
    /// Accept that this function reads a whole scope, or sorts it; may be given several times
    #[arg(long = "allow-scan", value_name = "FUNCTION")]
    allow_scan: Vec<String>,
}

impl AllowScan {
    /// Has every function explained over empty copies of its tables; answers what is refused, placed.
    pub(super) async fn refusals(&self, client: &mut Client, loaded: &Loaded) -> Result<Vec<Diagnostic>, Failed> {
        let allowed: BTreeSet<String> = self.allow_scan.iter().cloned().collect();
        match must_exist(&loaded.model, &allowed) {
            Ok(()) => {}
            Err(error @ CertifyError::UnknownFunction { .. }) => return Err(Failed::Usage(error.to_string())),
            Err(error) => return Err(error.into()),
        }
        let certified = certify(client, &loaded.model).await?;
        let mut refused = refusals(&loaded.model, &certified, &allowed);
        loaded.source_map.place(&mut refused);
        Ok(refused)
    }
}
