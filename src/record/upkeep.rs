//! What is left over in the gateway's own tables, and what is under way: for whoever looks whether all
//! is well.

use std::time::SystemTime;

use tokio_postgres::{Error, GenericClient};
use uuid::Uuid;

use crate::record::lines::LINES_KEPT_MAX;

/// A change of an extension's tables that was begun and has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingChange {
    pub extension_id: Uuid,
    pub started_at: SystemTime,
}

/// Answers that are kept for callers although their time was over `grace_s` ago.
pub async fn unswept_answers(client: &impl GenericClient, grace_s: f64) -> Result<i64, Error> {
    let sql = "SELECT count(*) FROM rowgate.kept_answers WHERE expires_at < now() - make_interval(secs => $1)";
    client.query_one(sql, &[&grace_s]).await?.try_get(0)
}

/// Installs whose handlers have more than twice the lines that are kept of each.
pub async fn untrimmed_installs(client: &impl GenericClient) -> Result<i64, Error> {
    let sql = "SELECT count(*) FROM (SELECT FROM rowgate.handler_lines
                GROUP BY install_id HAVING count(*) > 2 * $1::int8) AS too_many";
    client.query_one(sql, &[&LINES_KEPT_MAX]).await?.try_get(0)
}

/// How many secrets are set.
pub async fn secrets(client: &impl GenericClient) -> Result<i64, Error> {
    client.query_one("SELECT count(*) FROM rowgate.secrets", &[]).await?.try_get(0)
}

/// The marks of the keys that secrets are sealed with, each with how many.
pub async fn secrets_marks(client: &impl GenericClient) -> Result<Vec<(Vec<u8>, i64)>, Error> {
    let rows = client.query("SELECT key_mark, count(*) FROM rowgate.secrets GROUP BY 1", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How many keys of operators there are.
pub async fn admin_keys(client: &impl GenericClient) -> Result<i64, Error> {
    let sql = "SELECT count(*) FROM rowgate.admin_keys
                WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())";
    client.query_one(sql, &[]).await?.try_get(0)
}

/// The changes under way, the oldest first.
pub async fn pending_changes(client: &impl GenericClient) -> Result<Vec<PendingChange>, Error> {
    if client.query_one("SELECT to_regclass('rowgate.changes') IS NULL", &[]).await?.try_get(0)? {
        return Ok(Vec::new());
    }
    let sql = "SELECT extension_id, started_at FROM rowgate.changes ORDER BY started_at";
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(PendingChange { extension_id: row.try_get(0)?, started_at: row.try_get(1)? })).collect()
}
