//! Rate limits that operators change while the gateway runs, and who changed what.

use std::time::SystemTime;

use serde_json::Value;
use tokio_postgres::types::Json;
use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

use crate::limit::overrides::{OVERRIDES_MAX, Override};

/// Changes told at once.
pub const HISTORY_MAX: i64 = 1_000;

/// The overrides that are for the same calls as the document `$1`.
const SAME: &str = "jsonb_populate_record(NULL::rowgate.limit_overrides, $1) n
     WHERE o.layer = n.layer AND (o.class, o.install_id, o.extension_id, o.function, o.plan, o.caller)
           IS NOT DISTINCT FROM (n.class, n.install_id, n.extension_id, n.function, n.plan, n.caller)";

/// An override, and who said so.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub said: Override,
    pub at: SystemTime,
    pub by: String,
}

/// One change of a limit, or of an install's plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    pub id: i64,
    pub at: SystemTime,
    pub by: String,
    /// An override's document, or `install_id` and `plan`.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Why an override was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    #[error("there are {OVERRIDES_MAX} overrides already; unset some, or use plans")]
    Full,
    #[error(transparent)]
    Database(#[from] Error),
}

/// What operators have said, in no order.
pub async fn overrides(client: &impl GenericClient) -> Result<Vec<Override>, Error> {
    Ok(listed(client).await?.into_iter().map(|Said { said, .. }| said).collect())
}

/// The same with who said so.
pub async fn listed(client: &impl GenericClient) -> Result<Vec<Said>, Error> {
    let sql = "SELECT to_jsonb(o) - 'changed_at' - 'changed_by', changed_at, changed_by FROM rowgate.limit_overrides o";
    let said = |row: &Row| {
        let Json(said) = row.try_get(0)?;
        Ok(Said { said, at: row.try_get(1)?, by: row.try_get(2)? })
    };
    client.query(sql, &[]).await?.iter().map(said).collect()
}

/// Says `one` in place of what was said of the same calls; tells every gateway.
pub async fn set(client: &mut impl GenericClient, one: &Override, by: &str) -> Result<(), SetError> {
    change(client, one, Some(one), by).await.map(drop)
}

/// Takes back what was said of the calls that `one` is for; answers whether something was. Tells every gateway.
pub async fn unset(client: &mut impl GenericClient, one: &Override, by: &str) -> Result<bool, SetError> {
    change(client, one, None, by).await
}

/// Puts an install on a plan, or on none; tells every gateway, and answers whether there was an install.
pub async fn set_plan(client: &impl GenericClient, id: Uuid, plan: Option<&str>, by: &str) -> Result<bool, Error> {
    let sql = "WITH old AS (
                   SELECT id, plan FROM rowgate.installs WHERE id = $1 AND uninstalled_at IS NULL FOR UPDATE
               ), updated AS (
                   UPDATE rowgate.installs i SET plan = $2 FROM old WHERE i.id = old.id RETURNING i.extension_id
               ), told AS (
                   INSERT INTO rowgate.limit_changes (changed_by, before, after)
                   SELECT $3, jsonb_build_object('install_id', id, 'plan', plan),
                          jsonb_build_object('install_id', id, 'plan', $2::text)
                     FROM old WHERE plan IS DISTINCT FROM $2
               )
               SELECT pg_notify('rowgate_registry', extension_id::text) FROM updated";
    client.execute(sql, &[&id, &plan, &by]).await.map(|changed| changed > 0)
}

/// Changes, the newest first, [`HISTORY_MAX`] at most; those before the change `before`, where one is given.
pub async fn history(client: &impl GenericClient, before: Option<i64>) -> Result<Vec<Change>, Error> {
    let sql = "SELECT id, changed_at, changed_by, before, after FROM rowgate.limit_changes
                WHERE $1::bigint IS NULL OR id < $1 ORDER BY id DESC LIMIT $2";
    let change = |row: &Row| {
        let [before, after] = [row.try_get(3)?, row.try_get(4)?];
        Ok(Change { id: row.try_get(0)?, at: row.try_get(1)?, by: row.try_get(2)?, before, after })
    };
    client.query(sql, &[&before, &HISTORY_MAX]).await?.iter().map(change).collect()
}

/// Answers whether something was said of the same calls before.
async fn change(
    client: &mut impl GenericClient,
    one: &Override,
    after: Option<&Override>,
    by: &str,
) -> Result<bool, SetError> {
    let transaction = client.transaction().await?;
    // One change at a time, so that the trail tells what each found.
    transaction.batch_execute("LOCK TABLE rowgate.limit_overrides IN SHARE ROW EXCLUSIVE MODE").await?;
    let took = format!(
        "DELETE FROM rowgate.limit_overrides o USING {SAME} RETURNING to_jsonb(o) - 'changed_at' - 'changed_by'"
    );
    let found = transaction.query_opt(&took, &[&Json(one)]).await?;
    let before: Option<Json<Override>> = found.map(|row| row.try_get(0)).transpose()?;
    if let Some(after) = after {
        let sql = "INSERT INTO rowgate.limit_overrides
                   SELECT n.* FROM jsonb_populate_record(NULL::rowgate.limit_overrides,
                          $1 || jsonb_build_object('changed_at', now(), 'changed_by', $2::text)) n
                    WHERE (SELECT count(*) FROM rowgate.limit_overrides) < $3";
        let max = i64::try_from(OVERRIDES_MAX).unwrap_or(i64::MAX);
        if transaction.execute(sql, &[&Json(after), &by, &max]).await? == 0 {
            return Err(SetError::Full);
        }
    }
    let was_there = before.is_some();
    if before.as_ref().map(|Json(before)| before) != after {
        let sql = "INSERT INTO rowgate.limit_changes (changed_by, before, after) VALUES ($1, $2, $3)";
        transaction.execute(sql, &[&by, &before, &after.map(Json)]).await?;
        transaction
            .execute("SELECT pg_notify('rowgate_registry', '00000000-0000-0000-0000-000000000000')", &[])
            .await?;
    }
    transaction.commit().await?;
    Ok(was_there)
}
