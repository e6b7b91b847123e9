//! Values that operators set for an install, or for an extension and so for all of its installs:
//! secrets, sealed, and configuration, as JSON text. An install's own value goes before its
//! extension's.

use std::time::SystemTime;

use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

/// The secret `$3` of the install `$2`, else of its extension `$1`: whether it is the install's, the
/// key's mark, and the sealed value.
pub const SECRET: &str = "SELECT install_id IS NOT NULL, key_mark, sealed FROM rowgate.secrets
     WHERE extension_id = $1 AND (install_id = $2 OR install_id IS NULL) AND name = $3
     ORDER BY install_id NULLS LAST LIMIT 1";

/// The configuration `$3` of the install `$2`, else of its extension `$1`, and whether there is a
/// secret of this name.
pub const CONFIG: &str = "SELECT
     (SELECT value FROM rowgate.config_values
      WHERE extension_id = $1 AND (install_id = $2 OR install_id IS NULL) AND name = $3
      ORDER BY install_id NULLS LAST LIMIT 1),
     EXISTS (SELECT FROM rowgate.secrets
      WHERE extension_id = $1 AND (install_id = $2 OR install_id IS NULL) AND name = $3)";

/// Whose a value is: all installs of the extension where none is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    pub extension_id: Uuid,
    pub install_id: Option<Uuid>,
}

/// That a value is set; the value of a secret is not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    /// Of configuration alone.
    pub value: Option<String>,
    pub updated_at: SystemTime,
}

/// A secret as it rests.
#[derive(Debug, Clone, Copy)]
pub struct SealedSecret<'a> {
    pub key_mark: &'a [u8],
    pub sealed: &'a [u8],
}

pub async fn set_secret(
    client: &impl GenericClient,
    owner: Owner,
    name: &str,
    secret: SealedSecret<'_>,
) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO rowgate.secrets (extension_id, install_id, name, key_mark, sealed)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (extension_id, install_id, name) DO UPDATE
             SET key_mark = excluded.key_mark, sealed = excluded.sealed, updated_at = now()",
            &[&owner.extension_id, &owner.install_id, &name, &secret.key_mark, &secret.sealed],
        )
        .await?;
    Ok(())
}

/// Of the owner alone, by name.
pub async fn secrets(client: &impl GenericClient, owner: Owner) -> Result<Vec<Set>, Error> {
    let rows = client
        .query(
            "SELECT name, NULL::text, updated_at FROM rowgate.secrets
             WHERE extension_id = $1 AND install_id IS NOT DISTINCT FROM $2 ORDER BY name",
            &[&owner.extension_id, &owner.install_id],
        )
        .await?;
    rows.iter().map(set_of).collect()
}

/// Answers whether there was one.
pub async fn unset_secret(client: &impl GenericClient, owner: Owner, name: &str) -> Result<bool, Error> {
    let unset = client
        .execute(
            "DELETE FROM rowgate.secrets
             WHERE extension_id = $1 AND install_id IS NOT DISTINCT FROM $2 AND name = $3",
            &[&owner.extension_id, &owner.install_id, &name],
        )
        .await?;
    Ok(unset > 0)
}

/// `value` is JSON text.
pub async fn set_config(client: &impl GenericClient, owner: Owner, name: &str, value: &str) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO rowgate.config_values (extension_id, install_id, name, value) VALUES ($1, $2, $3, $4)
             ON CONFLICT (extension_id, install_id, name) DO UPDATE
             SET value = excluded.value, updated_at = now()",
            &[&owner.extension_id, &owner.install_id, &name, &value],
        )
        .await?;
    Ok(())
}

/// Of the owner alone, by name.
pub async fn config(client: &impl GenericClient, owner: Owner) -> Result<Vec<Set>, Error> {
    let rows = client
        .query(
            "SELECT name, value, updated_at FROM rowgate.config_values
             WHERE extension_id = $1 AND install_id IS NOT DISTINCT FROM $2 ORDER BY name",
            &[&owner.extension_id, &owner.install_id],
        )
        .await?;
    rows.iter().map(set_of).collect()
}

/// Answers whether there was one.
pub async fn unset_config(client: &impl GenericClient, owner: Owner, name: &str) -> Result<bool, Error> {
    let unset = client
        .execute(
            "DELETE FROM rowgate.config_values
             WHERE extension_id = $1 AND install_id IS NOT DISTINCT FROM $2 AND name = $3",
            &[&owner.extension_id, &owner.install_id, &name],
        )
        .await?;
    Ok(unset > 0)
}

fn set_of(row: &Row) -> Result<Set, Error> {
    Ok(Set { name: row.try_get(0)?, value: row.try_get(1)?, updated_at: row.try_get(2)? })
}
