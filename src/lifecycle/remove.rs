//! Removes an extension that nobody has installed: its tables, its revisions and what was set for it.

use std::collections::BTreeMap;

use rowgate_schema_dsl::ddl::{drop_postgres_schema, views};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::db::migrate;
use crate::db::wall::{Wall, WallError};
use crate::lifecycle::SETTINGS;
use crate::record::receipts::{self, Receipt};
use crate::record::{self, changes, installs};

#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    #[error("there is no extension with this id")]
    Unknown,
    #[error("the extension with this id is called `{name}`")]
    OtherName { name: String },
    #[error("a deploy of the extension is under way; try again when it has ended")]
    Deploying,
    #[error("{}", installed(*.installs, *.uninstalled))]
    Installed { installs: i64, uninstalled: i64 },
    #[error(transparent)]
    Wall(#[from] WallError),
    #[error("Postgres refused to remove the extension: {}", migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// Removes the extension `id`, whose name is `name`, for good, and tells every gateway.
pub async fn remove_extension(client: &mut Client, id: Uuid, name: &str, by: &str) -> Result<Receipt, RemoveError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    if !changes::keep_away(&transaction, id).await? {
        return Err(RemoveError::Deploying);
    }
    if !installs::hold_extension(&transaction, id).await? {
        return Err(RemoveError::Unknown);
    }
    let extension = record::extension(&transaction, id).await?.ok_or(RemoveError::Unknown)?;
    if extension.name != name {
        return Err(RemoveError::OtherName { name: extension.name });
    }
    let (installs, uninstalled) = installs::count(&transaction, id).await?;
    if installs > 0 {
        return Err(RemoveError::Installed { installs, uninstalled });
    }
    let drop = drop_postgres_schema(id);
    match &extension.role {
        // The tables belong to a role that only deploys take.
        Some(_) => {
            let wall = Wall::prepare(&transaction, id).await?;
            wall.step_forward(&transaction).await?;
            transaction.batch_execute(&views::drop_schema(id)).await?;
            transaction.batch_execute(&drop).await?;
            wall.step_back(&transaction).await?;
        }
        None => transaction.batch_execute(&drop).await?,
    }
    let own = BTreeMap::from([("revisions".to_owned(), extension.revision)]);
    let receipt = receipts::insert_of_extension(&transaction, id, name, by, &own).await?;
    record::delete_extension(&transaction, id).await?;
    transaction.commit().await?;
    Ok(receipt)
}

fn installed(installs: i64, uninstalled: i64) -> String {
    let kept = match uninstalled {
        0 => String::new(),
        some => format!(", {some} of them uninstalled and kept for a while"),
    };
    format!("the extension has {installs} installs{kept}; uninstall and erase them first")
}
