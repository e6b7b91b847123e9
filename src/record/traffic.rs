//! Recorded traffic: a row of bytes for each gateway and minute, dropped when it is old enough.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

/// Rows read at once.
const PAGE_ROWS: i64 = 30;

/// What one gateway was asked in some minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minute {
    pub began_at: SystemTime,
    pub id: Uuid,
    pub body: Vec<u8>,
}

impl Minute {
    /// Seconds since 1970, which the body's are counted from.
    pub fn began_s(&self) -> u64 {
        self.began_at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// Writes what a gateway was asked from this second on.
pub async fn keep(client: &impl GenericClient, began_s: u64, id: Uuid, body: &[u8]) -> Result<(), Error> {
    let sql = "INSERT INTO rowgate.limit_traffic (began_at, id, body) VALUES ($1, $2, $3)";
    let began_at = UNIX_EPOCH + Duration::from_secs(began_s);
    client.execute(sql, &[&began_at, &id, &body]).await.map(drop)
}

/// Drops what is older than so many hours.
pub async fn drop_old(client: &impl GenericClient, kept_h: u32) -> Result<u64, Error> {
    let sql = "DELETE FROM rowgate.limit_traffic WHERE began_at < now() - make_interval(hours => $1)";
    client.execute(sql, &[&i32::try_from(kept_h).unwrap_or(i32::MAX)]).await
}

/// The next rows from `since` on, by when they began, behind `after`.
pub async fn page(
    client: &impl GenericClient,
    since: SystemTime,
    after: Option<&Minute>,
) -> Result<Vec<Minute>, Error> {
    let sql = "SELECT began_at, id, body FROM rowgate.limit_traffic
                WHERE began_at >= $1 AND ($2::timestamptz IS NULL OR (began_at, id) > ($2, $3::uuid))
                ORDER BY began_at, id LIMIT $4";
    let (at, id) = (after.map(|after| after.began_at), after.map(|after| after.id));
    let minute = |row: &Row| Ok(Minute { began_at: row.try_get(0)?, id: row.try_get(1)?, body: row.try_get(2)? });
    client.query(sql, &[&since, &at, &id, &PAGE_ROWS]).await?.iter().map(minute).collect()
}
