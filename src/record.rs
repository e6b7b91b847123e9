//! The gateway's own tables (`migrations/`), read and written: extensions and their revisions,
//! installs, keys, and in [`answers`] what is kept for callers who ask again,
//! in [`lines`] what handlers logged, in [`installs`] and [`receipts`] how installs come and go.
//!
//! [`changes`] is what a deploy that takes more than one transaction has come to.
//!
//! `deploy` writes revisions, `admin` installs and keys; `registry` reads everything at its start and
//! after each notification on [`CHANNEL`], which carries the extension's id and is sent by the
//! statement that changed something. Keys are known here by their SHA-256 alone.

pub mod answers;
pub mod changes;
pub mod installs;
pub mod kv;
pub mod limits;
pub mod lines;
pub mod receipts;
pub mod traffic;
pub mod upkeep;
pub mod values;

use std::time::SystemTime;

use rowgate_schema_dsl::definition::{Definition, Role};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_postgres::types::Json;
use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

use crate::limit::overrides::Override;

/// The channel on which changes are told; the payload is an extension's id.
pub const CHANNEL: &str = "rowgate_registry";

/// An extension and what is deployed of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Extension {
    pub id: Uuid,
    pub name: String,
    pub revision: i64,
    /// The document that [`Definition`] serialises to, members in its order.
    pub definition: Value,
    pub definition_sha256: Vec<u8>,
    /// The database role its statements run as; the gateway's own where there is none.
    pub role: Option<String>,
}

/// What an extension is served by: another where anything of it was deployed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    pub revision: i64,
    /// An extension that was removed and deployed anew begins at the first revision again.
    pub definition_sha256: Vec<u8>,
    pub role: Option<String>,
}

impl Extension {
    pub fn stamp(&self) -> Stamp {
        let definition_sha256 = self.definition_sha256.clone();
        Stamp { revision: self.revision, definition_sha256, role: self.role.clone() }
    }
}

/// One definition that was deployed, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    pub revision: i64,
    pub definition: Value,
    pub statements: Vec<String>,
    pub created_at: SystemTime,
}

impl Revision {
    /// As commands print it, and the admin listener answers; `current` is the one in force.
    pub fn document(&self, current: i64) -> Value {
        let created_at = jiff::Timestamp::try_from(self.created_at).map(|at| format!("{at:.0}"));
        json!({
            "revision": self.revision,
            "is_current": self.revision == current,
            "created_at": created_at.unwrap_or_default(),
            "version": self.definition.pointer("/extension/version").and_then(Value::as_str).unwrap_or_default(),
            "statements": self.statements,
        })
    }
}

/// An extension installed by an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    pub id: Uuid,
    pub extension_id: Uuid,
    pub account_id: Uuid,
    pub overlay_id: Option<Uuid>,
    pub disabled: bool,
}

/// A key that calls an install's functions in a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: Uuid,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub install_id: Uuid,
    pub role: Role,
    pub name: String,
    pub expires_at: Option<SystemTime>,
}

/// A key for the admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminKey {
    pub id: Uuid,
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    pub name: String,
    pub expires_at: Option<SystemTime>,
}

/// Everything the registry is made from; keys that were revoked or have expired are left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Everything {
    pub extensions: Vec<Extension>,
    pub installs: Vec<Install>,
    /// Installs that were uninstalled and may come back.
    pub uninstalled: Vec<Uuid>,
    /// The revision of each install that is pinned to one.
    pub pins: Vec<(Uuid, i64)>,
    /// The plan of each install that has one.
    pub plans: Vec<(Uuid, String)>,
    /// What operators have said of rate limits.
    pub overrides: Vec<Override>,
    /// Those of these revisions that are not current, as extensions.
    pub pinned: Vec<Extension>,
    pub api_keys: Vec<ApiKey>,
    pub admin_keys: Vec<AdminKey>,
    /// The secret that every gateway of the database seals cursors with.
    pub cursor_key: Option<CursorSecret>,
    /// What extensions that are gone have added to [`Everything::revision`].
    pub removed: i64,
}

impl Everything {
    /// Deploys and removals so far.
    pub fn revision(&self) -> i64 {
        self.removed + self.extensions.iter().map(|extension| extension.revision).sum::<i64>()
    }
}

/// The secret under cursors; it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CursorSecret(pub Vec<u8>);

impl std::fmt::Debug for CursorSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorSecret")
    }
}

/// Everything deployed, in queries sent at once; each list is ordered by id.
pub async fn load_all(client: &impl GenericClient) -> Result<Everything, Error> {
    let (extensions, installs, uninstalled, pins, plans, overrides, pinned, api_keys, admin_keys, cursor_key, removed) =
        futures_util::try_join!(
            extensions(client),
            installs(client),
            installs::uninstalled(client),
            installs::pins(client),
            installs::plans(client),
            limits::overrides(client),
            pinned(client),
            api_keys(client),
            admin_keys(client),
            cursor_key(client),
            receipts::removed(client)
        )?;
    Ok(Everything {
        extensions,
        installs,
        uninstalled,
        pins,
        plans,
        overrides,
        pinned,
        api_keys,
        admin_keys,
        cursor_key,
        removed,
    })
}

/// All extensions with their current definition.
pub async fn extensions(client: &impl GenericClient) -> Result<Vec<Extension>, Error> {
    let rows = client
        .query(
            "SELECT e.id, e.name, e.revision, r.definition, r.definition_sha256, e.database_role
             FROM rowgate.extensions e
             JOIN rowgate.revisions r ON r.extension_id = e.id AND r.revision = e.revision
             ORDER BY e.id",
            &[],
        )
        .await?;
    rows.iter().map(extension_of).collect()
}

/// What those of `ids` that are deployed are served by.
pub async fn stamps(client: &impl GenericClient, ids: &[Uuid]) -> Result<Vec<(Uuid, Stamp)>, Error> {
    let rows = client
        .query(
            "SELECT e.id, e.revision, r.definition_sha256, e.database_role
             FROM rowgate.extensions e
             JOIN rowgate.revisions r ON r.extension_id = e.id AND r.revision = e.revision
             WHERE e.id = ANY($1)",
            &[&ids],
        )
        .await?;
    let stamp = |row: &Row| {
        let stamp = Stamp { revision: row.try_get(1)?, definition_sha256: row.try_get(2)?, role: row.try_get(3)? };
        Ok((row.try_get(0)?, stamp))
    };
    rows.iter().map(stamp).collect()
}

/// The revisions that installs are pinned to and that are not current, as extensions.
pub async fn pinned(client: &impl GenericClient) -> Result<Vec<Extension>, Error> {
    let rows = client
        .query(
            "SELECT e.id, e.name, r.revision, r.definition, r.definition_sha256, e.database_role
             FROM rowgate.extensions e
             JOIN rowgate.revisions r ON r.extension_id = e.id AND r.revision <> e.revision
             WHERE EXISTS (SELECT FROM rowgate.installs i WHERE i.extension_id = e.id
                              AND i.pinned_revision = r.revision AND i.uninstalled_at IS NULL)
             ORDER BY e.id, r.revision",
            &[],
        )
        .await?;
    rows.iter().map(extension_of).collect()
}

/// The definition of one revision.
pub async fn revision_definition(
    client: &impl GenericClient,
    extension_id: Uuid,
    revision: i64,
) -> Result<Option<Value>, Error> {
    let sql = "SELECT definition FROM rowgate.revisions WHERE extension_id = $1 AND revision = $2";
    let row = client.query_opt(sql, &[&extension_id, &revision]).await?;
    row.map(|row| row.try_get(0).map(|Json(definition)| definition)).transpose()
}

/// One extension with its current definition.
pub async fn extension(client: &impl GenericClient, id: Uuid) -> Result<Option<Extension>, Error> {
    let row = client
        .query_opt(
            "SELECT e.id, e.name, e.revision, r.definition, r.definition_sha256, e.database_role
             FROM rowgate.extensions e
             JOIN rowgate.revisions r ON r.extension_id = e.id AND r.revision = e.revision
             WHERE e.id = $1",
            &[&id],
        )
        .await?;
    row.as_ref().map(extension_of).transpose()
}

/// Every revision of an extension, the newest first.
pub async fn revisions(client: &impl GenericClient, extension_id: Uuid) -> Result<Vec<Revision>, Error> {
    let rows = client
        .query(
            "SELECT revision, definition, statements, created_at FROM rowgate.revisions
             WHERE extension_id = $1 ORDER BY revision DESC",
            &[&extension_id],
        )
        .await?;
    let revision = |row: &Row| {
        let Json(definition) = row.try_get(1)?;
        Ok(Revision { revision: row.try_get(0)?, definition, statements: row.try_get(2)?, created_at: row.try_get(3)? })
    };
    rows.iter().map(revision).collect()
}

/// Makes `definition` the extension's revision `revision`, its current one, and tells every gateway.
/// Belongs in the transaction that ran `statements`; `role` is what its calls run as.
pub async fn insert_revision(
    client: &impl GenericClient,
    definition: &Definition,
    revision: i64,
    statements: &[&str],
    role: Option<&str>,
) -> Result<(), Error> {
    let extension = &definition.extension;
    client
        .execute(
            "INSERT INTO rowgate.extensions (id, name, revision, database_role) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE
             SET name = excluded.name, revision = excluded.revision, database_role = excluded.database_role",
            &[&extension.id, &extension.name, &revision, &role],
        )
        .await?;
    client
        .execute(
            "INSERT INTO rowgate.revisions (extension_id, revision, definition, definition_sha256, statements)
             VALUES ($1, $2, $3, $4, $5)",
            &[&extension.id, &revision, &Json(definition), &definition_sha256(definition), &statements],
        )
        .await?;
    client.execute("SELECT pg_notify('rowgate_registry', $1::text)", &[&extension.id.to_string()]).await?;
    Ok(())
}

/// Has an extension's calls run as `role` from now on, and tells every gateway.
pub async fn set_role(client: &impl GenericClient, extension_id: Uuid, role: &str) -> Result<(), Error> {
    client
        .execute(
            "WITH updated AS (UPDATE rowgate.extensions SET database_role = $2 WHERE id = $1 RETURNING id)
             SELECT pg_notify('rowgate_registry', id::text) FROM updated",
            &[&extension_id, &role],
        )
        .await?;
    Ok(())
}

/// Forgets an extension, its revisions and what was set for it, and tells every gateway.
pub async fn delete_extension(client: &impl GenericClient, id: Uuid) -> Result<(), Error> {
    client
        .execute(
            "WITH deleted AS (DELETE FROM rowgate.extensions WHERE id = $1 RETURNING id)
             SELECT pg_notify('rowgate_registry', id::text) FROM deleted",
            &[&id],
        )
        .await?;
    Ok(())
}

/// The hash two equal definitions share: of the document they serialise to.
pub fn definition_sha256(definition: &Definition) -> Vec<u8> {
    // A definition is made of text, numbers and lists alone; it always serialises.
    let document = serde_json::to_vec(definition).unwrap_or_default();
    Sha256::digest(document).to_vec()
}

/// All installs but those that were uninstalled; disabled ones too.
pub async fn installs(client: &impl GenericClient) -> Result<Vec<Install>, Error> {
    let rows = client
        .query(
            "SELECT id, extension_id, account_id, overlay_id, disabled_at IS NOT NULL
             FROM rowgate.installs WHERE uninstalled_at IS NULL ORDER BY id",
            &[],
        )
        .await?;
    let install = |row: &Row| {
        Ok(Install {
            id: row.try_get(0)?,
            extension_id: row.try_get(1)?,
            account_id: row.try_get(2)?,
            overlay_id: row.try_get(3)?,
            disabled: row.try_get(4)?,
        })
    };
    rows.iter().map(install).collect()
}

/// Fails with a foreign key's violation where the extension is not deployed, with a unique one
/// where the id is taken.
pub async fn insert_install(client: &impl GenericClient, install: &Install) -> Result<(), Error> {
    client
        .execute(
            "WITH inserted AS (
                 INSERT INTO rowgate.installs (id, extension_id, account_id, overlay_id, disabled_at)
                 VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN now() END)
                 RETURNING extension_id
             )
             SELECT pg_notify('rowgate_registry', extension_id::text) FROM inserted",
            &[&install.id, &install.extension_id, &install.account_id, &install.overlay_id, &install.disabled],
        )
        .await?;
    Ok(())
}

/// Disables or enables an install; answers whether it exists.
pub async fn set_install_disabled(client: &impl GenericClient, id: Uuid, disabled: bool) -> Result<bool, Error> {
    let changed = client
        .execute(
            "WITH updated AS (
                 UPDATE rowgate.installs SET disabled_at = CASE WHEN $2 THEN coalesce(disabled_at, now()) END
                 WHERE id = $1 RETURNING extension_id
             )
             SELECT pg_notify('rowgate_registry', extension_id::text) FROM updated",
            &[&id, &disabled],
        )
        .await?;
    Ok(changed > 0)
}

/// The keys that are good now.
pub async fn api_keys(client: &impl GenericClient) -> Result<Vec<ApiKey>, Error> {
    let rows = client
        .query(
            "SELECT id, hash, install_id, role, name, expires_at FROM rowgate.api_keys
             WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) ORDER BY id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(ApiKey {
                id: row.try_get(0)?,
                hash: hash_of(row.try_get(1)?),
                install_id: row.try_get(2)?,
                role: role_of(row.try_get(3)?),
                name: row.try_get(4)?,
                expires_at: row.try_get(5)?,
            })
        })
        .collect()
}

/// Fails with a foreign key's violation where the install does not exist.
pub async fn insert_api_key(client: &impl GenericClient, key: &ApiKey) -> Result<(), Error> {
    client
        .execute(
            "WITH inserted AS (
                 INSERT INTO rowgate.api_keys (id, hash, install_id, role, name, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6) RETURNING install_id
             )
             SELECT pg_notify('rowgate_registry', i.extension_id::text)
             FROM inserted JOIN rowgate.installs i ON i.id = inserted.install_id",
            &[&key.id, &&key.hash[..], &key.install_id, &key.role.as_str(), &key.name, &key.expires_at],
        )
        .await?;
    Ok(())
}

/// Revokes a key for good; answers whether there was one to revoke.
pub async fn revoke_api_key(client: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    let revoked = client
        .execute(
            "WITH revoked AS (
                 UPDATE rowgate.api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL
                 RETURNING install_id
             )
             SELECT pg_notify('rowgate_registry', i.extension_id::text)
             FROM revoked JOIN rowgate.installs i ON i.id = revoked.install_id",
            &[&id],
        )
        .await?;
    Ok(revoked > 0)
}

/// The keys that are good now.
pub async fn admin_keys(client: &impl GenericClient) -> Result<Vec<AdminKey>, Error> {
    let rows = client
        .query(
            "SELECT id, hash, name, expires_at FROM rowgate.admin_keys
             WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) ORDER BY id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AdminKey {
                id: row.try_get(0)?,
                hash: hash_of(row.try_get(1)?),
                name: row.try_get(2)?,
                expires_at: row.try_get(3)?,
            })
        })
        .collect()
}

/// Tells every gateway with the nil id, since no extension is concerned.
pub async fn insert_admin_key(client: &impl GenericClient, key: &AdminKey) -> Result<(), Error> {
    client
        .execute(
            "WITH inserted AS (
                 INSERT INTO rowgate.admin_keys (id, hash, name, expires_at) VALUES ($1, $2, $3, $4) RETURNING id
             )
             SELECT pg_notify('rowgate_registry', '00000000-0000-0000-0000-000000000000') FROM inserted",
            &[&key.id, &&key.hash[..], &key.name, &key.expires_at],
        )
        .await?;
    Ok(())
}

/// Revokes a key for good; answers whether there was one to revoke.
pub async fn revoke_admin_key(client: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    let revoked = client
        .execute(
            "WITH revoked AS (
                 UPDATE rowgate.admin_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING id
             )
             SELECT pg_notify('rowgate_registry', '00000000-0000-0000-0000-000000000000') FROM revoked",
            &[&id],
        )
        .await?;
    Ok(revoked > 0)
}

/// The secret that cursors are sealed with, made by the migration that brought it.
pub async fn cursor_key(client: &impl GenericClient) -> Result<Option<CursorSecret>, Error> {
    let row = client.query_opt("SELECT cursor_key FROM rowgate.settings", &[]).await?;
    row.map(|row| row.try_get(0).map(CursorSecret)).transpose()
}

fn extension_of(row: &Row) -> Result<Extension, Error> {
    let Json(definition) = row.try_get(3)?;
    Ok(Extension {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        revision: row.try_get(2)?,
        definition,
        definition_sha256: row.try_get(4)?,
        role: row.try_get(5)?,
    })
}

fn hash_of(bytes: &[u8]) -> [u8; 32] {
    // INVARIANT: the tables accept hashes of 32 bytes alone; no key has the hash of zeros.
    bytes.try_into().unwrap_or_default()
}

fn role_of(text: &str) -> Role {
    // INVARIANT: the table accepts these words alone; anything else would be worth nothing.
    Role::ALL.into_iter().find(|role| role.as_str() == text).unwrap_or(Role::Anonymous)
}
