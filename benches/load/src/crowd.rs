//! Many extensions on one gateway, copied in SQL from one that was deployed.
//!
//! A deploy asks Postgres for the plan of each function, some 50 ms a table, which the growth curves
//! need not pay a thousand times. A copy has its own Postgres schema, tables, indexes, database role
//! and rights, its own rows in the gateway's tables, an install and an API key: the gateway reads,
//! checks and compiles it as any other. Ids and keys end in the copy's number.

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::client::{self, Load, Target};
use crate::cpu::Watched;
use crate::dialect::Dialect;
use crate::gateway::Gateway;
use crate::workload::{ID_FIRST, ID_PREFIX, Workload};

/// Installs and keys of copies, `#` for the digits of the number.
pub(crate) const INSTALL: &str = "00000000-0000-7000-9000-############";
pub(crate) const KEY: &str = "rgk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA############A";
/// So many are made in one transaction, for Postgres locks each table that it makes.
const BATCH: u64 = 50;
const SERVED_TIMEOUT: Duration = Duration::from_secs(120);

/// The private server's administrator, who copies.
pub(crate) struct Crowd {
    runtime: Runtime,
    administrator: Client,
    model: String,
}

impl Crowd {
    pub(crate) fn open(gateway: &Gateway) -> Result<Crowd, String> {
        let model = gateway.ready.extension_id.clone();
        if !model.chars().all(|sign| sign.is_ascii_hexdigit() || sign == '-') {
            return Err(format!("`{model}` is no UUID; the gateway should name its extension by one"));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start a runtime: {error}"))?;
        let mut config: tokio_postgres::Config =
            gateway.ready.database_url.parse().map_err(|_| "the gateway's database URL is none".to_owned())?;
        config.user("postgres");
        let (administrator, connection) = runtime
            .block_on(config.connect(NoTls))
            .map_err(|error| format!("cannot connect to the gateway's database: {error}"))?;
        runtime.spawn(connection);
        Ok(Crowd { runtime, administrator, model })
    }

    /// Makes the copies from number `from` on, up to `to`; the gateway is told once, at the end.
    pub(crate) fn grow(&self, from: u64, to: u64) -> Result<(), String> {
        let mut first = from;
        while first < to {
            let behind = (first + BATCH).min(to);
            self.run(&self.copies(first, behind))?;
            first = behind;
        }
        // As after many deploys and a while of autovacuum.
        self.run("VACUUM ANALYZE")?;
        self.run(&format!("NOTIFY rowgate_registry, '{}'", self.model))
    }

    /// How long it takes from one more extension to its first answer, everything read anew.
    pub(crate) fn time_reload(&self, gateway: &Gateway, number: u64, watched: &Watched) -> Result<Duration, String> {
        self.run(&self.copies(number, number + 1))?;
        let began = Instant::now();
        self.run(&format!("NOTIFY rowgate_registry, '{}'", self.model))?;
        self.wait_until_served(gateway, number, watched)?;
        Ok(began.elapsed())
    }

    /// Asks the copy `number` until it answers.
    pub(crate) fn wait_until_served(&self, gateway: &Gateway, number: u64, watched: &Watched) -> Result<(), String> {
        let digits = (ID_FIRST + number).to_string();
        let (install_id, token) = (INSTALL.replace("############", &digits), KEY.replace("############", &digits));
        let target =
            Target { dialect: Dialect::Functions, address: gateway.address, install_id: &install_id, token: &token };
        let load = Load {
            workload: Workload::Select,
            bound: 1,
            first: number,
            connections: 1,
            warm_up: Duration::ZERO,
            measured: Duration::ZERO,
        };
        let began = Instant::now();
        loop {
            match client::drive(&target, &load, watched) {
                Ok(_) => return Ok(()),
                Err(reason) if began.elapsed() > SERVED_TIMEOUT => return Err(reason),
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    fn copies(&self, from: u64, behind: u64) -> String {
        let (first, last) = (ID_FIRST + from, ID_FIRST + behind - 1);
        let (model, prefix) = (&self.model, self.model.replace('-', "_"));
        let (install, key) = (INSTALL.replace('#', ""), KEY.trim_end_matches('A').replace('#', ""));
        format!(
            "DO $$
DECLARE
    model CONSTANT text := 'ext_{prefix}';
    origin record; extension uuid; install uuid; namespace text; role text; one text; number bigint;
BEGIN
    SELECT pg_get_userbyid(n.nspowner) AS owner, pg_get_userbyid(x.relowner) AS gateway, e.name,
           (SELECT array_agg(c.relname::text) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r') AS tables
      INTO STRICT origin
      FROM pg_namespace n, rowgate.extensions e, pg_class x
     WHERE n.nspname = model AND e.id = '{model}' AND x.oid = 'rowgate.extensions'::regclass;
    FOR number IN SELECT generate_series({first}::bigint, {last}::bigint) LOOP
        extension := '00000000-0000-7000-a000-' || number;
        install := '{install}' || number;
        namespace := 'ext_' || replace(extension::text, '-', '_');
        role := origin.gateway || '_ext_' || replace(extension::text, '-', '');
        EXECUTE format('CREATE ROLE %I LOGIN', role);
        EXECUTE format('GRANT %I TO %I', role, origin.gateway);
        EXECUTE format('CREATE SCHEMA %I AUTHORIZATION %I', namespace, origin.owner);
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', namespace, role);
        FOREACH one IN ARRAY origin.tables LOOP
            EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL)', namespace, one, model, one);
            EXECUTE format('ALTER TABLE %I.%I OWNER TO %I', namespace, one, origin.owner);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO %I', namespace, one, role);
            EXECUTE format('INSERT INTO %I.%I (scope_key, id, title) VALUES ($1, $2, $3)', namespace, one)
              USING install, ('{ID_PREFIX}' || number)::uuid, 'a row of ' || number;
        END LOOP;
        INSERT INTO rowgate.extensions (id, name, revision, database_role)
        VALUES (extension, origin.name || ' ' || number, 1, role);
        INSERT INTO rowgate.revisions (extension_id, revision, definition, definition_sha256, statements)
        SELECT extension, 1, replace(r.definition::text, '{model}', extension::text)::json,
               sha256(convert_to(extension::text, 'UTF8')), r.statements
          FROM rowgate.revisions r JOIN rowgate.extensions e ON e.id = r.extension_id AND e.revision = r.revision
         WHERE e.id = '{model}';
        INSERT INTO rowgate.installs (id, extension_id, account_id) VALUES (install, extension, gen_random_uuid());
        INSERT INTO rowgate.api_keys (id, hash, install_id, role, name)
        VALUES (gen_random_uuid(), sha256(convert_to('{key}' || number || 'A', 'UTF8')), install, 'viewer', 'bench');
    END LOOP;
END $$"
        )
    }

    fn run(&self, sql: &str) -> Result<(), String> {
        self.runtime.block_on(self.administrator.batch_execute(sql)).map_err(|error| {
            let reason = error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
            format!("{reason}: {}", sql.lines().next().unwrap_or_default())
        })
    }
}
