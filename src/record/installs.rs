//! How installs come and go: uninstalled, kept for a while, brought back, erased, pinned.

use std::time::SystemTime;

use serde_json::Value;
use tokio_postgres::types::Json;
use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

use crate::record::Install;

/// Installs listed at once.
pub const LISTED_MAX: i64 = 1_000;

/// What an install is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Active,
    /// No call is answered, by an operator's hand.
    Disabled,
    /// No call is answered; it may come back.
    Uninstalled,
    /// Its rows are going.
    Erasing,
}

impl Life {
    pub const fn as_str(self) -> &'static str {
        match self {
            Life::Active => "active",
            Life::Disabled => "disabled",
            Life::Uninstalled => "uninstalled",
            Life::Erasing => "erasing",
        }
    }
}

/// An install and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub install: Install,
    pub life: Life,
    pub created_at: SystemTime,
    pub uninstalled_at: Option<SystemTime>,
    pub uninstalled_by: Option<String>,
    pub erase_at: Option<SystemTime>,
    pub pinned_revision: Option<i64>,
    /// What its rate limits may go by.
    pub plan: Option<String>,
}

/// Which installs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Which {
    pub id: Option<Uuid>,
    pub extension_id: Option<Uuid>,
    /// Those behind this id.
    pub after: Option<Uuid>,
}

/// Installs by id, [`LISTED_MAX`] at most.
pub async fn list(client: &impl GenericClient, which: Which) -> Result<Vec<Listed>, Error> {
    let sql = "SELECT id, extension_id, account_id, overlay_id, disabled_at IS NOT NULL, created_at, uninstalled_at,
                      uninstalled_by, erase_at, erasing_at IS NOT NULL, pinned_revision, plan
                 FROM rowgate.installs
                WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR extension_id = $2)
                  AND ($3::uuid IS NULL OR id > $3)
                ORDER BY id LIMIT $4";
    let rows = client.query(sql, &[&which.id, &which.extension_id, &which.after, &LISTED_MAX]).await?;
    rows.iter().map(listed).collect()
}

/// One install, whatever it is at.
pub async fn one(client: &impl GenericClient, id: Uuid) -> Result<Option<Listed>, Error> {
    Ok(list(client, Which { id: Some(id), ..Which::default() }).await?.pop())
}

/// The ids of those that were uninstalled.
pub async fn uninstalled(client: &impl GenericClient) -> Result<Vec<Uuid>, Error> {
    let sql = "SELECT id FROM rowgate.installs WHERE uninstalled_at IS NOT NULL ORDER BY id";
    client.query(sql, &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

/// Uninstalls an install that is not; its rows may go after so many days. Tells every gateway, and answers
/// whether there was one.
pub async fn uninstall(client: &impl GenericClient, id: Uuid, by: &str, kept_days: u16) -> Result<bool, Error> {
    let sql = "WITH updated AS (
                   UPDATE rowgate.installs SET uninstalled_at = now(), uninstalled_by = $2,
                          erase_at = now() + make_interval(days => $3)
                    WHERE id = $1 AND uninstalled_at IS NULL RETURNING extension_id
               )
               SELECT pg_notify('rowgate_registry', extension_id::text) FROM updated";
    client.execute(sql, &[&id, &by, &i32::from(kept_days)]).await.map(|changed| changed > 0)
}

/// Lets the rows of an install that was uninstalled go from now on, by this operator's word; answers whether
/// there was one.
pub async fn erase_now(client: &impl GenericClient, id: Uuid, by: &str) -> Result<bool, Error> {
    let sql = "UPDATE rowgate.installs SET erase_at = least(erase_at, now()), uninstalled_by = $2
                WHERE id = $1 AND uninstalled_at IS NOT NULL";
    client.execute(sql, &[&id, &by]).await.map(|changed| changed > 0)
}

/// Brings an uninstalled one back as it was, unless its rows have begun to go. Tells every gateway.
pub async fn reinstall(client: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    let sql = "WITH updated AS (
                   UPDATE rowgate.installs SET uninstalled_at = NULL, uninstalled_by = NULL, erase_at = NULL
                    WHERE id = $1 AND uninstalled_at IS NOT NULL AND erasing_at IS NULL RETURNING extension_id
               )
               SELECT pg_notify('rowgate_registry', extension_id::text) FROM updated";
    client.execute(sql, &[&id]).await.map(|changed| changed > 0)
}

/// The next install whose rows may go, the one that waits longest first; none of `but`.
pub async fn due(client: &impl GenericClient, but: &[Uuid]) -> Result<Option<Uuid>, Error> {
    let sql = "SELECT id FROM rowgate.installs WHERE erase_at <= now() AND id <> ALL ($1)
                ORDER BY erase_at, id LIMIT 1";
    client.query_opt(sql, &[&but]).await?.map(|row| row.try_get(0)).transpose()
}

/// The installs that are pinned, and to which revision of their extension.
pub async fn pins(client: &impl GenericClient) -> Result<Vec<(Uuid, i64)>, Error> {
    let sql = "SELECT id, pinned_revision FROM rowgate.installs
                WHERE pinned_revision IS NOT NULL AND uninstalled_at IS NULL ORDER BY id";
    client.query(sql, &[]).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The installs that have a plan, and which.
pub async fn plans(client: &impl GenericClient) -> Result<Vec<(Uuid, String)>, Error> {
    let sql = "SELECT id, plan FROM rowgate.installs
                WHERE plan IS NOT NULL AND uninstalled_at IS NULL ORDER BY id";
    client.query(sql, &[]).await?.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Pins an install to a revision, or to none; tells every gateway, and answers whether it was there to be pinned.
pub async fn set_pin(client: &impl GenericClient, id: Uuid, revision: Option<i64>) -> Result<bool, Error> {
    let sql = "WITH updated AS (
                   UPDATE rowgate.installs SET pinned_revision = $2 WHERE id = $1 AND uninstalled_at IS NULL
                   RETURNING extension_id
               )
               SELECT pg_notify('rowgate_registry', extension_id::text) FROM updated";
    client.execute(sql, &[&id, &revision]).await.map(|changed| changed > 0)
}

/// A revision that installs are pinned to, those that may come back too.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    pub revision: i64,
    pub definition: Value,
    /// The first of them.
    pub installs: Vec<Uuid>,
    pub installs_count: i64,
}

/// The revisions of an extension that installs are pinned to, with up to `named` of these.
pub async fn pinned_revisions(
    client: &impl GenericClient,
    extension_id: Uuid,
    named: usize,
) -> Result<Vec<Pinned>, Error> {
    let sql = "SELECT r.revision, r.definition, i.ids[1:$2], cardinality(i.ids)::bigint
                 FROM (SELECT pinned_revision, array_agg(id ORDER BY id) AS ids FROM rowgate.installs
                        WHERE extension_id = $1 AND pinned_revision IS NOT NULL GROUP BY pinned_revision) i
                 JOIN rowgate.revisions r ON r.extension_id = $1 AND r.revision = i.pinned_revision
                ORDER BY r.revision";
    let named = i32::try_from(named).unwrap_or(i32::MAX);
    let rows = client.query(sql, &[&extension_id, &named]).await?;
    rows.iter()
        .map(|row| {
            let Json(definition) = row.try_get(1)?;
            Ok(Pinned {
                revision: row.try_get(0)?,
                definition,
                installs: row.try_get(2)?,
                installs_count: row.try_get(3)?,
            })
        })
        .collect()
}

/// Keeps installs of the extension from being pinned until the transaction ends.
pub async fn hold_pins(client: &impl GenericClient, extension_id: Uuid) -> Result<(), Error> {
    let sql = "SELECT FROM rowgate.extensions WHERE id = $1 FOR NO KEY UPDATE";
    client.query_opt(sql, &[&extension_id]).await.map(drop)
}

/// Every install of the extension, those that were uninstalled too.
pub async fn all_of(client: &impl GenericClient, extension_id: Uuid) -> Result<Vec<Install>, Error> {
    let sql = "SELECT id, account_id, overlay_id, disabled_at IS NOT NULL FROM rowgate.installs
                WHERE extension_id = $1 ORDER BY id";
    let install = |row: &Row| {
        Ok(Install {
            id: row.try_get(0)?,
            extension_id,
            account_id: row.try_get(1)?,
            overlay_id: row.try_get(2)?,
            disabled: row.try_get(3)?,
        })
    };
    client.query(sql, &[&extension_id]).await?.iter().map(install).collect()
}

/// How many installs of the extension there are, and how many of these were uninstalled.
pub async fn count(client: &impl GenericClient, extension_id: Uuid) -> Result<(i64, i64), Error> {
    let sql = "SELECT count(*), count(uninstalled_at) FROM rowgate.installs WHERE extension_id = $1";
    let row = client.query_one(sql, &[&extension_id]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Keeps new installs of the extension away until the transaction ends; answers whether there is such an
/// extension.
pub async fn hold_extension(client: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    Ok(client.query_opt("SELECT FROM rowgate.extensions WHERE id = $1 FOR UPDATE", &[&id]).await?.is_some())
}

/// Which of an account, an overlay and an extension other installs share: storage by its word.
pub async fn shared(
    client: &impl GenericClient,
    id: Uuid,
    extension_id: Uuid,
    account_id: Option<Uuid>,
    overlay_id: Option<Uuid>,
) -> Result<Vec<String>, Error> {
    let sql =
        "SELECT coalesce(bool_or(account_id = $3), false), coalesce(bool_or(overlay_id = $4), false), count(*) > 0
                 FROM rowgate.installs WHERE extension_id = $2 AND id <> $1";
    let row = client.query_one(sql, &[&id, &extension_id, &account_id, &overlay_id]).await?;
    let words = [("account", row.try_get(0)?), ("overlay", row.try_get(1)?), ("global", row.try_get(2)?)];
    Ok(words.into_iter().filter(|(_, is_shared)| *is_shared).map(|(word, _)| word.to_owned()).collect())
}

fn listed(row: &Row) -> Result<Listed, Error> {
    let disabled: bool = row.try_get(4)?;
    let uninstalled_at: Option<SystemTime> = row.try_get(6)?;
    let life = match (row.try_get::<_, bool>(9)?, uninstalled_at, disabled) {
        (true, _, _) => Life::Erasing,
        (false, Some(_), _) => Life::Uninstalled,
        (false, None, true) => Life::Disabled,
        (false, None, false) => Life::Active,
    };
    let install = Install {
        id: row.try_get(0)?,
        extension_id: row.try_get(1)?,
        account_id: row.try_get(2)?,
        overlay_id: row.try_get(3)?,
        disabled,
    };
    Ok(Listed {
        install,
        life,
        created_at: row.try_get(5)?,
        uninstalled_at,
        uninstalled_by: row.try_get(7)?,
        erase_at: row.try_get(8)?,
        pinned_revision: row.try_get(10)?,
        plan: row.try_get(11)?,
    })
}
