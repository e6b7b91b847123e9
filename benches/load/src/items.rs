//! The table that both sides work on: seeded, brought back to its first state, counted.
//!
//! Its connection is the bench's own, beside those of the gateway and of pgbench, and idle while
//! they run. Autovacuum is off for the table, so that it does not fall into one side's run; the
//! bench vacuums between runs instead.

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::workload::{
    CATEGORIES, CATEGORY_FIRST, COUNTER_FIRST, COUNTERS, ID_FIRST, ID_PREFIX, INSERTED, NOTED, NOTES, ROWS,
};

/// The table of one install, and a connection to reach it.
pub(crate) struct Items {
    runtime: Runtime,
    /// As the gateway logs in: it sees what the gateway's sessions run, and may not touch the table.
    client: Client,
    /// As the table's owner.
    owner: Client,
    /// As the private server's administrator, who alone may ask for a checkpoint.
    administrator: Client,
    /// The database role the extension's statements run as, where it has one.
    pub(crate) role: Option<String>,
    /// Qualified and quoted.
    pub(crate) table: String,
    notes: String,
    counters: String,
    scope: String,
}

/// Texts longer than this may be cut by `track_activity_query_size`, 1,024 by default.
const SHOWN_BYTES_MAX: usize = 1_000;

impl Items {
    /// `scope` is the install's id, a UUID; so is `extension_id`.
    pub(crate) fn open(database_url: &str, extension_id: &str, scope: &str) -> Result<Items, String> {
        for id in [extension_id, scope] {
            // Both are written into SQL below.
            if !id.chars().all(|sign| sign.is_ascii_hexdigit() || sign == '-') {
                return Err(format!("`{id}` is no UUID; the gateway should name its extension and install by one"));
            }
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let config: tokio_postgres::Config =
            database_url.parse().map_err(|_| "the gateway's database URL is none".to_owned())?;
        let connect = |role: Option<&str>| {
            let mut config = config.clone();
            if let Some(role) = role {
                config.user(role);
            }
            let (client, connection) = runtime
                .block_on(config.connect(NoTls))
                .map_err(|error| format!("cannot connect to the gateway's database: {}", reason(&error)))?;
            runtime.spawn(connection);
            Ok::<Client, String>(client)
        };
        let (client, owner, administrator) = (connect(None)?, connect(None)?, connect(Some("postgres"))?);
        let roles = format!(
            "SELECT format('SET ROLE %I', pg_get_userbyid(n.nspowner)), e.database_role
               FROM pg_namespace n, rowgate.extensions e WHERE n.nspname = 'ext_{}' AND e.id = '{extension_id}'",
            extension_id.replace('-', "_")
        );
        let row = runtime.block_on(client.query_one(&roles, &[])).map_err(|error| failed(&roles, &error))?;
        let set_role: String = row.try_get(0).map_err(|error| failed(&roles, &error))?;
        let role = row.try_get(1).map_err(|error| failed(&roles, &error))?;
        runtime.block_on(owner.batch_execute(&set_role)).map_err(|error| failed(&set_role, &error))?;
        let named = |name: &str| format!("\"ext_{}\".\"{name}\"", extension_id.replace('-', "_"));
        let (table, notes, counters) = (named("items"), named("notes"), named("counters"));
        Ok(Items { runtime, client, owner, administrator, role, table, notes, counters, scope: scope.to_owned() })
    }

    /// Fills the table of items with so many rows alone, and empties that of notes.
    pub(crate) fn seed_items(&self, rows: u64, categories: u64) -> Result<(), String> {
        let Items { table, scope, .. } = self;
        self.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)"))?;
        self.run(&format!("TRUNCATE {table} CASCADE"))?;
        // 7919 is prime to 100,000: the scores within a category are spread and all differ.
        self.run(&format!(
            "INSERT INTO {table} (scope_key, id, category, title, score, hits, done, seen_at, created_at, updated_at, \
             version) SELECT '{scope}'::uuid, ('{ID_PREFIX}' || ({ID_FIRST} + n))::uuid, \
             ({CATEGORY_FIRST} + n % {categories})::text, 'item number ' || n, n * 7919 % 100000, 0, n % 3 = 0, now(), \
             now(), now(), 1 FROM generate_series(0::bigint, {rows}::bigint - 1) AS n"
        ))?;
        self.run(&format!("VACUUM (ANALYZE) {table}"))
    }

    /// Fills all tables with the seeded rows alone.
    pub(crate) fn seed(&self) -> Result<(), String> {
        self.seed_items(ROWS, CATEGORIES)?;
        let Items { notes, counters, scope, .. } = self;
        for table in [notes, counters] {
            self.run(&format!("ALTER TABLE {table} SET (autovacuum_enabled = false)"))?;
            self.run(&format!("TRUNCATE {table}"))?;
        }
        self.run(&format!(
            "INSERT INTO {notes} (scope_key, id, item, text) SELECT '{scope}'::uuid, \
             ('{ID_PREFIX}' || ({ID_FIRST} + n))::uuid, ('{ID_PREFIX}' || ({ID_FIRST} + n % {NOTED}))::uuid, \
             'note number ' || n FROM generate_series(0::bigint, {NOTED} * {NOTES} - 1) AS n"
        ))?;
        self.run(&format!(
            "INSERT INTO {counters} (scope_key, id, name) SELECT '{scope}'::uuid, \
             ('{ID_PREFIX}' || ({ID_FIRST} + n))::uuid, ({COUNTER_FIRST} + n)::text \
             FROM generate_series(0::bigint, {COUNTERS} - 1) AS n"
        ))?;
        for table in [notes, counters] {
            self.run(&format!("VACUUM (ANALYZE) {table}"))?;
        }
        Ok(())
    }

    /// Removes what a run has inserted and the row versions that it has left behind.
    pub(crate) fn restore(&self) -> Result<(), String> {
        let table = &self.table;
        self.run(&format!("DELETE FROM {table} WHERE scope_key = '{}' AND category = '{INSERTED}'", self.scope))?;
        for table in [table, &self.counters] {
            self.run(&format!("VACUUM {table}"))?;
        }
        // So that no checkpoint of an earlier run's writes falls into a later one.
        let checkpoint = self.administrator.batch_execute("CHECKPOINT");
        self.runtime.block_on(checkpoint).map_err(|error| failed("CHECKPOINT", &error))
    }

    /// Rows inserted since the last [`Items::restore`].
    pub(crate) fn inserted_count(&self) -> Result<u64, String> {
        self.count(&format!(
            "SELECT count(*) FROM {} WHERE scope_key = '{}' AND category = '{INSERTED}'",
            self.table, self.scope
        ))
    }

    /// What all patches together have counted up.
    pub(crate) fn hits_sum(&self) -> Result<u64, String> {
        self.count(&format!("SELECT coalesce(sum(hits), 0)::bigint FROM {}", self.table))
    }

    /// What all upserts together have counted up.
    pub(crate) fn counted_sum(&self) -> Result<u64, String> {
        self.count(&format!("SELECT coalesce(sum(hits), 0)::bigint FROM {}", self.counters))
    }

    /// The newest statement on the table `named` so that another session has begun within the last second,
    /// where the server shows it whole.
    pub(crate) fn latest_statement(&self, named: &str) -> Result<Option<String>, String> {
        let text = self.text(&format!(
            "SELECT coalesce((SELECT query FROM pg_stat_activity WHERE application_name = 'rowgate' \
             AND datname = current_database() AND query LIKE '%\"{named}\"%' \
             AND query_start > clock_timestamp() - interval '1 second' ORDER BY query_start DESC LIMIT 1), '')"
        ))?;
        Ok(Some(text).filter(|text| !text.is_empty() && text.len() < SHOWN_BYTES_MAX))
    }

    /// A server process of the cluster: the one that serves this connection.
    pub(crate) fn backend(&self) -> Result<u32, String> {
        u32::try_from(self.count("SELECT pg_backend_pid()::bigint")?).map_err(|_| "a process id is negative".to_owned())
    }

    /// The Postgres schema that the tables are in, as it is named.
    pub(crate) fn postgres_schema(&self) -> String {
        self.table.split('"').nth(1).unwrap_or_default().to_owned()
    }

    /// The date of the server's clock, in UTC.
    pub(crate) fn today(&self) -> Result<String, String> {
        self.text("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')")
    }

    pub(crate) fn version(&self) -> Result<String, String> {
        self.text("SELECT 'PostgreSQL ' || current_setting('server_version')")
    }

    /// What the figures depend on, for the report.
    pub(crate) fn server(&self) -> Result<String, String> {
        self.text(
            "SELECT format('PostgreSQL %s, fsync %s, synchronous_commit %s, shared_buffers %s', \
             current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit'), \
             current_setting('shared_buffers'))",
        )
    }

    fn run(&self, sql: &str) -> Result<(), String> {
        self.runtime.block_on(self.owner.batch_execute(sql)).map_err(|error| failed(sql, &error))
    }

    fn count(&self, sql: &str) -> Result<u64, String> {
        let row = self.runtime.block_on(self.owner.query_one(sql, &[])).map_err(|error| failed(sql, &error))?;
        let count: i64 = row.try_get(0).map_err(|error| failed(sql, &error))?;
        u64::try_from(count).map_err(|_| format!("a count is negative: {sql}"))
    }

    fn text(&self, sql: &str) -> Result<String, String> {
        let row = self.runtime.block_on(self.client.query_one(sql, &[])).map_err(|error| failed(sql, &error))?;
        row.try_get(0).map_err(|error| failed(sql, &error))
    }
}

fn failed(sql: &str, error: &tokio_postgres::Error) -> String {
    format!("{}: {sql}", reason(error))
}

/// The server's own message, which the driver's hides.
fn reason(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned())
}
