//! Each deployed extension: whether this binary can serve it, whether its tables are what was declared,
//! and whether a change of them was left in the middle.

use std::collections::BTreeSet;

use tokio_postgres::{Client, Error};
use uuid::Uuid;

use crate::cli::doctor::Report;
use crate::config::{Config, Roles};
use crate::deploy::drift;
use crate::record::{Extension, upkeep};
use crate::registry::{compile_all, recall};

pub(super) async fn examine(
    report: &mut Report,
    config: &Config,
    client: &mut Client,
    deployed: Vec<Extension>,
) -> Result<(), Error> {
    let pending: BTreeSet<Uuid> =
        upkeep::pending_changes(client).await?.into_iter().map(|change| change.extension_id).collect();
    for extension in deployed {
        one(report, config, client, &extension, pending.contains(&extension.id)).await?;
    }
    Ok(())
}

async fn one(
    report: &mut Report,
    config: &Config,
    client: &mut Client,
    extension: &Extension,
    is_pending: bool,
) -> Result<(), Error> {
    let place = format!("extension `{}`", extension.name);
    let revision = extension.revision;
    if is_pending {
        let message = "a change of its tables was begun and has not ended";
        let hint = "run `rowgate apply` with the same bundle: it goes on where it stopped";
        report.warning("change_pending", &place, message, hint);
    }
    if extension.role.is_none() && config.database.roles == Roles::PerExtension {
        let message = "it has no database role of its own, so no wall stands before its tables";
        report.warning("role_not_made", &place, message, "deploy it again: that makes the role");
    }
    let model = match recall(&extension.definition) {
        Ok(model) => model,
        Err(diagnostics) => {
            let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
            let message = format!("this binary cannot read its revision {revision}: {first}");
            let hint = "deploy a bundle that `rowgate check` of this binary accepts, or use the former binary";
            report.error("definition_unreadable", &place, message, hint);
            return Ok(());
        }
    };
    if let Err(error) = compile_all(&model) {
        let message = format!("this binary cannot compile its revision {revision}: {error}");
        report.error("definition_not_compiled", &place, message, "report it, and use the former binary meanwhile");
    }
    // Dropping the transaction on any way out rolls it back; nothing of it is to stay.
    let transaction = client.transaction().await?;
    for difference in drift::find(&transaction, &model, extension.role.as_deref()).await? {
        // While a change is under way there is more than the recorded definition asks for.
        if is_pending && difference.is_more() {
            continue;
        }
        let place = format!("{place}, `{}`", difference.place);
        let add = if difference.is_more() { Report::warning } else { Report::error };
        add(report, difference.code, &place, difference.message, difference.hint);
    }
    transaction.rollback().await
}
