//! Answers kept for callers that ask again: statements that `gateway` runs in the transaction of the
//! write they belong to, and the sweeping of those that have expired.

use tokio_postgres::{Error, GenericClient};

/// Takes a key's lock until the transaction ends, or says that another has it. The lock's number.
pub const CLAIM: &str = "SELECT pg_try_advisory_xact_lock($1)";

/// What is kept under a key. A statement of its own behind [`CLAIM`], so that it sees what was
/// committed before the lock was there to be had.
pub const LOOK: &str = "SELECT payload, answer FROM rowgate.kept_answers WHERE key = $1 AND expires_at > now()";

/// Keeps an answer, in place of one that has expired; answers nothing where a living one is kept.
/// Key, payload, answer, seconds, install.
pub const KEEP: &str = "INSERT INTO rowgate.kept_answers AS a (key, payload, answer, expires_at, install_id)
     VALUES ($1, $2, $3, now() + make_interval(secs => $4), $5)
     ON CONFLICT (key) DO UPDATE
     SET payload = excluded.payload, answer = excluded.answer, expires_at = excluded.expires_at,
         install_id = excluded.install_id
     WHERE a.expires_at <= now()
     RETURNING a.key";

/// Rows deleted at once: their locks are held no longer than that takes.
const SWEEP_ROWS_MAX: i64 = 1_000;

/// Drops what has expired; answers how many there were.
pub async fn sweep(client: &impl GenericClient) -> Result<u64, Error> {
    let sql = "DELETE FROM rowgate.kept_answers WHERE key IN (
                   SELECT key FROM rowgate.kept_answers WHERE expires_at <= now()
                   ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
               )";
    let mut swept = 0;
    loop {
        let count = client.execute(sql, &[&SWEEP_ROWS_MAX]).await?;
        swept += count;
        if count < SWEEP_ROWS_MAX.unsigned_abs() {
            return Ok(swept);
        }
    }
}
