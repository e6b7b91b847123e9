//! What a database server says of itself, as far as a gateway depends on it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use tokio_postgres::{Client, Error};

/// Versions before this one lack what the gateway's own tables are made with.
pub const VERSION_MIN: i32 = 150_000;

/// The settings that are asked for.
const SETTINGS: &[&str] = &[
    "autovacuum",
    "default_transaction_isolation",
    "fsync",
    "full_page_writes",
    "max_connections",
    "reserved_connections",
    "superuser_reserved_connections",
    "synchronous_commit",
    "track_counts",
];

/// A server, and the role and the database of the connection it was asked by.
#[derive(Debug, Clone)]
pub struct Server {
    /// Such as 150004 for 15.4.
    pub version: i32,
    pub encoding: String,
    /// A standby: nothing can be written.
    pub is_in_recovery: bool,
    pub role: String,
    pub role_is_superuser: bool,
    /// Of the role and of the database; none where it is not limited.
    pub connections_limit: Option<i64>,
    /// Sessions of everybody on the server now.
    pub connections_used: i64,
    pub now: SystemTime,
    settings: BTreeMap<String, String>,
}

impl Server {
    pub async fn read(client: &Client) -> Result<Server, Error> {
        let row = client.query_one(ITSELF, &[]).await?;
        let mut settings = BTreeMap::new();
        for row in client.query(SETTINGS_OF, &[&SETTINGS]).await? {
            settings.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(Server {
            version: row.try_get(0)?,
            encoding: row.try_get(1)?,
            is_in_recovery: row.try_get(2)?,
            role: row.try_get(3)?,
            role_is_superuser: row.try_get(4)?,
            connections_limit: row.try_get(5)?,
            connections_used: row.try_get(6)?,
            now: row.try_get(7)?,
            settings,
        })
    }

    /// As Postgres writes it; empty where this version has no such setting.
    pub fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", String::as_str)
    }

    /// How many sessions a role that is no superuser may have at most.
    pub fn connections_max(&self) -> i64 {
        let number = |name| self.setting(name).parse::<i64>().unwrap_or(0);
        let most =
            number("max_connections") - number("superuser_reserved_connections") - number("reserved_connections");
        self.connections_limit.map_or(most, |limit| limit.min(most))
    }
}

/// Indexes of `postgres_schema` that are invalid, such as one whose building was ended.
pub async fn invalid_indexes(client: &Client, postgres_schema: &str) -> Result<Vec<String>, Error> {
    client.query(INVALID, &[&postgres_schema]).await?.iter().map(|row| row.try_get(0)).collect()
}

const ITSELF: &str = "
SELECT current_setting('server_version_num')::int4, pg_encoding_to_char(d.encoding)::text, pg_is_in_recovery(),
       r.rolname::text, r.rolsuper,
       nullif(least(CASE WHEN r.rolconnlimit < 0 THEN 2147483647 ELSE r.rolconnlimit END,
                    CASE WHEN d.datconnlimit < 0 THEN 2147483647 ELSE d.datconnlimit END), 2147483647)::int8,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'), clock_timestamp()
  FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
 WHERE r.rolname = session_user AND d.datname = current_database()";

const SETTINGS_OF: &str = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY($1)";

const INVALID: &str = "
SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND NOT x.indisvalid ORDER BY 1";
