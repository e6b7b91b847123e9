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

/// What keeps Postgres from cleaning up.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// Such as: a transaction of `rowgate` (idle in transaction).
    pub what: String,
    pub held_s: f64,
}

/// Transactions, prepared ones too, and replication slots without a reader, of more than `seconds`.
///
/// Sessions of others are seen by superusers and by members of `pg_read_all_stats` alone.
pub async fn holders(client: &Client, seconds: f64) -> Result<Vec<Holder>, Error> {
    let rows = client.query(HOLDERS, &[&seconds]).await?;
    rows.iter().map(|row| Ok(Holder { what: row.try_get(0)?, held_s: row.try_get(1)? })).collect()
}

/// How many transactions old the oldest row of this database may be.
pub async fn age(client: &Client) -> Result<i64, Error> {
    let sql = "SELECT age(datfrozenxid)::int8 FROM pg_catalog.pg_database WHERE datname = current_database()";
    client.query_one(sql, &[]).await?.try_get(0)
}

/// A table or an index that costs more than it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wear {
    pub name: String,
    pub bytes: i64,
    /// Dead rows of a table; how often an index's table was asked.
    pub count: i64,
}

/// Tables of extensions and of the gateway where dead rows are many beside those that live.
pub async fn worn_tables(client: &Client) -> Result<Vec<Wear>, Error> {
    worn(client, WORN).await
}

/// Indexes of extensions' tables that serve no rule and no query, though their tables are asked.
pub async fn unused_indexes(client: &Client) -> Result<Vec<Wear>, Error> {
    worn(client, UNUSED).await
}

async fn worn(client: &Client, sql: &str) -> Result<Vec<Wear>, Error> {
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| Ok(Wear { name: row.try_get(0)?, bytes: row.try_get(1)?, count: row.try_get(2)? })).collect()
}

const HOLDERS: &str = "
SELECT format('a transaction of `%s` (process %s, %s)', usename, pid, state),
       extract(epoch FROM now() - xact_start)::float8 AS held_s
  FROM pg_catalog.pg_stat_activity
 WHERE backend_type = 'client backend' AND datname = current_database()
   AND xact_start < now() - make_interval(secs => $1)
UNION ALL
SELECT format('the prepared transaction `%s`', gid), extract(epoch FROM now() - prepared)::float8
  FROM pg_catalog.pg_prepared_xacts
 WHERE database = current_database() AND prepared < now() - make_interval(secs => $1)
UNION ALL
SELECT format('the replication slot `%s`, which nobody reads,', slot_name), 0
  FROM pg_catalog.pg_replication_slots WHERE NOT active
ORDER BY 2 DESC";

const WORN: &str = "
SELECT format('%I.%I', schemaname, relname), pg_catalog.pg_total_relation_size(relid)::int8, n_dead_tup
  FROM pg_catalog.pg_stat_user_tables
 WHERE (schemaname = 'rowgate' OR schemaname LIKE 'ext\\_%')
   AND n_dead_tup > 10000 AND n_dead_tup > n_live_tup * 0.4
 ORDER BY n_dead_tup DESC LIMIT 20";

const UNUSED: &str = "
SELECT format('%I.%I', i.schemaname, i.indexrelname), pg_catalog.pg_relation_size(i.indexrelid)::int8,
       (t.seq_scan + coalesce(t.idx_scan, 0))::int8
  FROM pg_catalog.pg_stat_user_indexes i
  JOIN pg_catalog.pg_index x ON x.indexrelid = i.indexrelid
  JOIN pg_catalog.pg_stat_user_tables t ON t.relid = i.relid
 WHERE i.schemaname LIKE 'ext\\_%' AND i.idx_scan = 0 AND NOT x.indisunique AND x.indisvalid
   AND pg_catalog.pg_relation_size(i.indexrelid) >= 1048576 AND t.seq_scan + coalesce(t.idx_scan, 0) >= 1000
 ORDER BY 2 DESC LIMIT 20";

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
