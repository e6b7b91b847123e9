//! Pins an install to a revision: its calls run that revision's functions over the tables as they are.

use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::fit::fits;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::db::migrate;
use crate::lifecycle::SETTINGS;
use crate::record;
use crate::record::installs::{self, Life};
use crate::registry::{compile_all, recall};

#[derive(Debug, thiserror::Error)]
pub enum PinError {
    #[error("there is no install with this id")]
    Unknown,
    #[error("the extension has no revision {revision}; its current one is {current}")]
    NoRevision { revision: i64, current: i64 },
    #[error("the install was uninstalled; reinstall it first")]
    Uninstalled,
    #[error("revision {revision} does not work over the tables as they are: {}", reasons.first().map(|reason| reason.message.as_str()).unwrap_or_default())]
    Unfit { revision: i64, reasons: Vec<Diagnostic> },
    #[error("Postgres refused to pin the install: {}", migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// Pins the install to `revision`, also to the current one, so that later deploys leave its functions as they
/// are; to none, it runs what is current. Tells every gateway.
pub async fn pin(client: &mut Client, id: Uuid, revision: Option<i64>) -> Result<(), PinError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    let install = installs::one(&transaction, id).await?.ok_or(PinError::Unknown)?;
    match install.life {
        Life::Active | Life::Disabled => {}
        Life::Uninstalled | Life::Erasing => return Err(PinError::Uninstalled),
    }
    let extension_id = install.install.extension_id;
    // A deploy that would break the pin comes before it or after it.
    installs::hold_extension(&transaction, extension_id).await?;
    if let Some(revision) = revision {
        let current = record::extension(&transaction, extension_id).await?.ok_or(PinError::Unknown)?;
        let old = record::revision_definition(&transaction, extension_id, revision).await?;
        let old = old.ok_or(PinError::NoRevision { revision, current: current.revision })?;
        let unfit = |reasons| PinError::Unfit { revision, reasons };
        let (old, new) = (recall(&old).map_err(unfit)?, recall(&current.definition).map_err(unfit)?);
        let reasons = fits(&old, &new);
        if !reasons.is_empty() {
            return Err(unfit(reasons));
        }
        compile_all(&old).map_err(|error| {
            let pointer = format!("/functions/{}", error.function);
            unfit(vec![Diagnostic::new("not_compiled", pointer, "this version of the gateway cannot compile it")])
        })?;
    }
    if !installs::set_pin(&transaction, id, revision).await? {
        return Err(PinError::Uninstalled);
    }
    transaction.commit().await?;
    Ok(())
}
