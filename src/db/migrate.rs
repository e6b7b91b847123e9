//! Brings the gateway's own tables to the version this binary knows: in order, each once, recorded.
//!
//! The statements are files of `migrations/`, part of the binary. One gateway at a time works, under
//! an advisory lock that is polled: waiting in `pg_advisory_lock` would hold a snapshot. Rights that
//! nobody may have behind the wall are taken from PUBLIC where our own role may do so.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use crate::db::rights;

/// How long another gateway may take with its migration before we give up.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);
const LOCK_POLL: Duration = Duration::from_millis(50);
/// Any number, the same in every gateway.
const LOCK_KEY: i64 = 0x726f_7767_6174_6501;

const MIGRATIONS: [Migration; 12] = [
    Migration { version: 1, name: "gateway", sql: include_str!("../../migrations/0001_gateway.sql") },
    Migration { version: 2, name: "repeatable", sql: include_str!("../../migrations/0002_repeatable.sql") },
    Migration { version: 4, name: "database_roles", sql: include_str!("../../migrations/0004_database_roles.sql") },
    Migration { version: 5, name: "kept_answers", sql: include_str!("../../migrations/0005_kept_answers.sql") },
    Migration { version: 7, name: "handler_lines", sql: include_str!("../../migrations/0007_handler_lines.sql") },
    Migration { version: 10, name: "values", sql: include_str!("../../migrations/0010_values.sql") },
    Migration { version: 11, name: "kv", sql: include_str!("../../migrations/0011_kv.sql") },
    Migration { version: 12, name: "changes", sql: include_str!("../../migrations/0012_changes.sql") },
    Migration { version: 13, name: "lifecycle", sql: include_str!("../../migrations/0013_lifecycle.sql") },
    Migration { version: 14, name: "limits", sql: include_str!("../../migrations/0014_limits.sql") },
    Migration { version: 15, name: "limit_traffic", sql: include_str!("../../migrations/0015_limit_traffic.sql") },
    Migration { version: 16, name: "removals", sql: include_str!("../../migrations/0016_removals.sql") },
];

struct Migration {
    version: i32,
    name: &'static str,
    sql: &'static str,
}

/// What [`migrate`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Migrated {
    /// Names of the migrations applied now, in order.
    pub applied: Vec<&'static str>,
    /// What a superuser has to run before the wall between extensions holds.
    pub missing: Vec<String>,
}

/// How the gateway's own tables stand to this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Current,
    /// There are none.
    Missing,
    /// These migrations were not applied.
    Behind {
        missing: Vec<&'static str>,
    },
    Newer {
        found: i32,
        known: i32,
    },
    /// This one was applied with another content.
    Edited {
        version: i32,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("another gateway has been migrating this database for {} s; try again when it is done", .0.as_secs())]
    Busy(Duration),
    #[error(
        "the database is at version {found} of the gateway's tables, this binary knows {known}; use a newer binary"
    )]
    Newer { found: i32, known: i32 },
    #[error(
        "migration {version} was applied with other content than this binary has; restore the file it was made from"
    )]
    Edited { version: i32 },
    #[error("Postgres refused to migrate: {}", cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// Applies what is missing; does nothing, quickly, when nothing is. `client` must not be in a
/// transaction.
pub async fn migrate(client: &Client) -> Result<Migrated, MigrateError> {
    lock(client).await?;
    let result = migrate_locked(client).await;
    // A failed unlock means a lost connection, and the lock went with it.
    let unlocked = client.query_one("SELECT pg_advisory_unlock($1)", &[&LOCK_KEY]).await;
    let migrated = result?;
    unlocked?;
    Ok(migrated)
}

/// How the gateway's own tables stand to this binary; changes nothing.
pub async fn state(client: &Client) -> Result<State, tokio_postgres::Error> {
    if client.query_one("SELECT to_regclass('rowgate.migrations') IS NULL", &[]).await?.try_get(0)? {
        return Ok(State::Missing);
    }
    let recorded = recorded(client).await?;
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if let Some((found, _)) = recorded.last().filter(|(found, _)| *found > known) {
        return Ok(State::Newer { found: *found, known });
    }
    let mut missing = Vec::new();
    for migration in &MIGRATIONS {
        match recorded.iter().find(|(version, _)| *version == migration.version) {
            Some((_, digest)) if *digest != Sha256::digest(migration.sql.as_bytes()).to_vec() => {
                return Ok(State::Edited { version: migration.version });
            }
            Some(_) => {}
            None => missing.push(migration.name),
        }
    }
    Ok(if missing.is_empty() { State::Current } else { State::Behind { missing } })
}

/// A number that changes whenever a migration does: the version of a template made with them.
pub fn fingerprint() -> String {
    let mut hash = Sha256::new();
    for migration in &MIGRATIONS {
        hash.update(migration.sql.as_bytes());
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What Postgres said, or how the connection failed.
pub(crate) fn cause(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(refusal) => format!("{} (SQLSTATE {})", refusal.message(), refusal.code().code()),
        None => error.to_string(),
    }
}

async fn lock(client: &Client) -> Result<(), MigrateError> {
    let started = Instant::now();
    loop {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK_KEY]).await?;
        if row.try_get::<_, bool>(0)? {
            return Ok(());
        }
        if started.elapsed() > LOCK_WAIT_MAX {
            return Err(MigrateError::Busy(LOCK_WAIT_MAX));
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

async fn migrate_locked(client: &Client) -> Result<Migrated, MigrateError> {
    client.batch_execute(LEDGER).await?;
    let recorded = recorded(client).await?;
    let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
    if let Some((found, _)) = recorded.last()
        && *found > known
    {
        return Err(MigrateError::Newer { found: *found, known });
    }
    let mut applied = Vec::new();
    for migration in &MIGRATIONS {
        let digest = Sha256::digest(migration.sql.as_bytes()).to_vec();
        match recorded.iter().find(|(version, _)| *version == migration.version) {
            Some((_, recorded)) if *recorded == digest => {}
            Some(_) => return Err(MigrateError::Edited { version: migration.version }),
            None => {
                run(client, migration, &digest).await?;
                applied.push(migration.name);
            }
        }
    }
    rights::revoke(client).await?;
    Ok(Migrated { applied, missing: rights::missing(client).await? })
}

/// Versions that were applied, in order, each with its content's digest.
async fn recorded(client: &Client) -> Result<Vec<(i32, Vec<u8>)>, tokio_postgres::Error> {
    let rows = client.query("SELECT version, sha256 FROM rowgate.migrations ORDER BY version", &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn run(client: &Client, migration: &Migration, digest: &[u8]) -> Result<(), tokio_postgres::Error> {
    client.batch_execute("BEGIN").await?;
    let result = async {
        client.batch_execute(migration.sql).await?;
        let ledger = "INSERT INTO rowgate.migrations (version, name, sha256) VALUES ($1, $2, $3)";
        client.execute(ledger, &[&migration.version, &migration.name, &digest]).await?;
        client.batch_execute("COMMIT").await
    }
    .await;
    if result.is_err() {
        // The failure that counts is the first one.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    result
}

const LEDGER: &str = "
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS rowgate;
CREATE TABLE IF NOT EXISTS rowgate.migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
RESET client_min_messages;";
