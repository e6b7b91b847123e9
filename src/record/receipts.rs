//! Receipts of what was erased: begun with it, added to by each batch in that batch's transaction, and
//! kept for good.

use std::collections::BTreeMap;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tokio_postgres::types::Json;
use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

/// Receipts listed at once.
pub const LISTED_MAX: i64 = 1_000;

/// What was erased, by whom, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub id: Uuid,
    /// `install`, `user` or `extension`.
    pub kind: String,
    pub extension_id: Uuid,
    pub extension_name: String,
    pub install_id: Option<Uuid>,
    pub account_id: Option<Uuid>,
    pub overlay_id: Option<Uuid>,
    pub asked_by: String,
    pub asked_at: SystemTime,
    pub began_at: SystemTime,
    /// None while rows are going.
    pub finished_at: Option<SystemTime>,
    /// Rows by table.
    pub rows: BTreeMap<String, i64>,
    /// The gateway's own things, such as keys, by what they are.
    pub own: BTreeMap<String, i64>,
    /// Storage that stays since others share it.
    pub shared: Vec<String>,
}

/// The latest receipts first, [`LISTED_MAX`] at most, of an install or an extension where one is named.
pub async fn list(
    client: &impl GenericClient,
    install_id: Option<Uuid>,
    extension_id: Option<Uuid>,
) -> Result<Vec<Receipt>, Error> {
    let sql = "SELECT * FROM rowgate.receipts
          WHERE ($1::uuid IS NULL OR install_id = $1) AND ($2::uuid IS NULL OR extension_id = $2)
          ORDER BY began_at DESC, id DESC LIMIT $3";
    client.query(sql, &[&install_id, &extension_id, &LISTED_MAX]).await?.iter().map(receipt).collect()
}

/// Deploys of extensions that are gone, and their removals.
pub async fn removed(client: &impl GenericClient) -> Result<i64, Error> {
    let sql = "SELECT coalesce(sum(coalesce((own ->> 'revisions')::bigint, 0) + 1), 0)::bigint
                 FROM rowgate.receipts WHERE kind = 'extension'";
    client.query_one(sql, &[]).await?.try_get(0)
}

/// Any number, the same in every gateway.
const LOCK_KEY: i64 = 0x726f_7767_6174_6502;

/// Whether no other gateway is erasing; then none will until the transaction ends.
pub async fn try_lock(client: &impl GenericClient) -> Result<bool, Error> {
    client.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&LOCK_KEY]).await?.try_get(0)
}

/// Begins to erase an install whose time has come, or goes on where that was begun; none where it is not
/// to be erased. Belongs in a transaction.
pub async fn begin(client: &impl GenericClient, install_id: Uuid) -> Result<Option<Receipt>, Error> {
    let mark = "UPDATE rowgate.installs SET erasing_at = coalesce(erasing_at, now())
                 WHERE id = $1 AND erase_at <= now() RETURNING id";
    if client.query_opt(mark, &[&install_id]).await?.is_none() {
        return Ok(None);
    }
    let begun = "SELECT * FROM rowgate.receipts WHERE install_id = $1 AND kind = 'install' AND finished_at IS NULL";
    if let Some(row) = client.query_opt(begun, &[&install_id]).await? {
        return receipt(&row).map(Some);
    }
    let new =
        "INSERT INTO rowgate.receipts (id, kind, extension_id, extension_name, install_id, account_id, overlay_id,
                                       asked_by, asked_at)
         SELECT $2, 'install', e.id, e.name, i.id, i.account_id, i.overlay_id, coalesce(i.uninstalled_by, ''),
                i.uninstalled_at
           FROM rowgate.installs i JOIN rowgate.extensions e ON e.id = i.extension_id WHERE i.id = $1
         RETURNING *";
    client.query_opt(new, &[&install_id, &Uuid::now_v7()]).await?.as_ref().map(receipt).transpose()
}

/// Counts rows that went, by table.
pub async fn add_rows(client: &impl GenericClient, id: Uuid, table: &str, rows: i64) -> Result<(), Error> {
    let sql = "UPDATE rowgate.receipts
                  SET rows = rows || jsonb_build_object($2::text, coalesce((rows ->> $2)::bigint, 0) + $3::bigint)
                WHERE id = $1";
    client.execute(sql, &[&id, &table, &rows]).await.map(drop)
}

/// Notes that storage stays since others share it.
pub async fn add_shared(client: &impl GenericClient, id: Uuid, storage: &str) -> Result<(), Error> {
    let sql = "UPDATE rowgate.receipts SET shared = array_append(array_remove(shared, $2), $2) WHERE id = $1";
    client.execute(sql, &[&id, &storage]).await.map(drop)
}

/// Deletes up to `count` of what is kept for the install outside of its record: lines of handlers, and
/// answers; answers how many of each.
pub async fn sweep_own(client: &impl GenericClient, install_id: Uuid, count: i64) -> Result<[i64; 2], Error> {
    let sql = "WITH lines AS (
                   DELETE FROM rowgate.handler_lines WHERE id IN (
                       SELECT id FROM rowgate.handler_lines WHERE install_id = $1 LIMIT $2
                   ) RETURNING 1
               ), answers AS (
                   DELETE FROM rowgate.kept_answers WHERE key IN (
                       SELECT key FROM rowgate.kept_answers WHERE install_id = $1 LIMIT $2
                   ) RETURNING 1
               )
               SELECT (SELECT count(*) FROM lines), (SELECT count(*) FROM answers)";
    let row = client.query_one(sql, &[&install_id, &count]).await?;
    Ok([row.try_get(0)?, row.try_get(1)?])
}

/// Counts things of the gateway's own that went.
pub async fn add_own(client: &impl GenericClient, id: Uuid, what: &str, count: i64) -> Result<(), Error> {
    let sql = "UPDATE rowgate.receipts
                  SET own = own || jsonb_build_object($2::text, coalesce((own ->> $2)::bigint, 0) + $3::bigint)
                WHERE id = $1";
    client.execute(sql, &[&id, &what, &count]).await.map(drop)
}

/// Deletes the install's record with all that hangs on it, counts that, and says that the receipt is whole.
/// Tells every gateway.
pub async fn finish(client: &impl GenericClient, id: Uuid, install_id: Uuid, settle_s: i32) -> Result<(), Error> {
    let counted = client
        .query_one(
            "SELECT (SELECT count(*) FROM rowgate.kv WHERE install_id = $1),
                    (SELECT count(*) FROM rowgate.secrets WHERE install_id = $1),
                    (SELECT count(*) FROM rowgate.config_values WHERE install_id = $1),
                    (SELECT count(*) FROM rowgate.api_keys WHERE install_id = $1)",
            &[&install_id],
        )
        .await?;
    for (place, what) in ["kv", "secrets", "config", "api_keys"].into_iter().enumerate() {
        add_own(client, id, what, counted.try_get(place)?).await?;
    }
    let sql = "WITH gone AS (
                   DELETE FROM rowgate.installs WHERE id = $2 RETURNING extension_id
               ), whole AS (
                   UPDATE rowgate.receipts
                      SET finished_at = now(),
                          settled_at = CASE WHEN asked_at < now() - make_interval(secs => $3) THEN now() END
                    WHERE id = $1
               )
               SELECT pg_notify('rowgate_registry', extension_id::text) FROM gone";
    client.execute(sql, &[&id, &install_id, &f64::from(settle_s)]).await.map(drop)
}

/// A receipt of an install that is whole, and that no gateway could have written for since so many seconds;
/// none of the installs `but`.
pub async fn unsettled(client: &impl GenericClient, settle_s: i32, but: &[Uuid]) -> Result<Option<Receipt>, Error> {
    let sql = "SELECT * FROM rowgate.receipts
          WHERE settled_at IS NULL AND kind = 'install' AND finished_at < now() - make_interval(secs => $1)
            AND install_id <> ALL ($2)
          ORDER BY began_at LIMIT 1";
    client.query_opt(sql, &[&f64::from(settle_s), &but]).await?.as_ref().map(receipt).transpose()
}

pub async fn settle(client: &impl GenericClient, id: Uuid) -> Result<(), Error> {
    client.execute("UPDATE rowgate.receipts SET settled_at = now() WHERE id = $1", &[&id]).await.map(drop)
}

/// The receipt of an extension that is being removed, with what there was of it.
pub async fn insert_of_extension(
    client: &impl GenericClient,
    extension_id: Uuid,
    name: &str,
    by: &str,
    own: &BTreeMap<String, i64>,
) -> Result<Receipt, Error> {
    let sql =
        "INSERT INTO rowgate.receipts (id, kind, extension_id, extension_name, asked_by, finished_at, settled_at, own)
         VALUES ($1, 'extension', $2, $3, $4, now(), now(), $5) RETURNING *";
    receipt(&client.query_one(sql, &[&Uuid::now_v7(), &extension_id, &name, &by, &Json(own)]).await?)
}

/// Begins the receipt of what a user owned in an extension; it does not name them.
pub async fn begin_of_user(
    client: &impl GenericClient,
    extension_id: Uuid,
    extension_name: &str,
    install_id: Option<Uuid>,
    user_id: &str,
    by: &str,
) -> Result<Uuid, Error> {
    let sql = "INSERT INTO rowgate.receipts (id, kind, extension_id, extension_name, install_id, user_sha256, asked_by, settled_at)
               VALUES ($1, 'user', $2, $3, $4, $5, $6, now())";
    let (id, user) = (Uuid::now_v7(), Sha256::digest(user_id.as_bytes()).to_vec());
    client.execute(sql, &[&id, &extension_id, &extension_name, &install_id, &user, &by]).await?;
    Ok(id)
}

/// Says that the receipt is whole, and how many rows stay since others refer to them.
pub async fn finish_of_user(client: &impl GenericClient, id: Uuid, referred: i64) -> Result<(), Error> {
    if referred > 0 {
        add_own(client, id, "referred_rows_kept", referred).await?;
    }
    client.execute("UPDATE rowgate.receipts SET finished_at = now() WHERE id = $1", &[&id]).await.map(drop)
}

fn receipt(row: &Row) -> Result<Receipt, Error> {
    let (Json(rows), Json(own)) = (row.try_get("rows")?, row.try_get("own")?);
    Ok(Receipt {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        extension_id: row.try_get("extension_id")?,
        extension_name: row.try_get("extension_name")?,
        install_id: row.try_get("install_id")?,
        account_id: row.try_get("account_id")?,
        overlay_id: row.try_get("overlay_id")?,
        asked_by: row.try_get("asked_by")?,
        asked_at: row.try_get("asked_at")?,
        began_at: row.try_get("began_at")?,
        finished_at: row.try_get("finished_at")?,
        rows,
        own,
        shared: row.try_get("shared")?,
    })
}
