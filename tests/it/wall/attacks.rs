//! One row per attack, each sent as the only statement of a message, in a session of its own.

use tokio_postgres::Client;

use crate::wall::{FIRST, SECOND, refusal, role, schema, two_extensions};

/// Gives everybody what they have in a new database.
pub(crate) const AS_NEW: &str = "
    GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean), pg_catalog.pg_notify(text, text),
        pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea),
        pg_catalog.pg_prepared_statement(), pg_catalog.pg_advisory_lock(bigint),
        pg_catalog.pg_try_advisory_lock(bigint), pg_catalog.pg_advisory_unlock(bigint),
        pg_catalog.pg_try_advisory_xact_lock(bigint), pg_catalog.pg_advisory_unlock_all() TO PUBLIC;
    GRANT USAGE ON LANGUAGE plpgsql TO PUBLIC;
    DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$";

/// What becomes of an attack.
enum End {
    /// The right is missing.
    Denied,
    /// It is refused by this SQLSTATE.
    Refused(&'static str),
    /// It answers this, which is worth nothing.
    Shows(&'static str),
}

use End::{Denied, Refused, Shows};

/// `A.` stands for the attacker's Postgres schema, `B.` for another's; `role_a`, `role_b` for their roles.
const ATTACKS: &[(&str, End)] = &[
    // Another extension's rows.
    ("SELECT * FROM B.notes", Denied),
    ("SELECT (SELECT text FROM B.notes LIMIT 1) FROM A.notes", Denied),
    ("WITH stolen AS (DELETE FROM B.notes RETURNING text) INSERT INTO A.notes SELECT FROM stolen", Denied),
    ("INSERT INTO B.notes (scope_key, id, text) VALUES (gen_random_uuid(), gen_random_uuid(), 'x')", Denied),
    ("UPDATE B.notes SET text = 'x'", Denied),
    ("DELETE FROM B.notes", Denied),
    ("TRUNCATE B.notes", Denied),
    ("LOCK TABLE B.notes", Refused("25P01")),
    ("EXPLAIN ANALYZE SELECT * FROM B.notes", Denied),
    ("TABLE B.notes", Denied),
    ("COPY B.notes TO STDOUT", Denied),
    ("SELECT query_to_xml('SELECT * FROM B.notes', true, true, '')", Denied),
    ("SELECT table_to_xml('B.notes'::regclass, true, true, '')", Denied),
    ("SELECT * FROM ts_stat('SELECT to_tsvector(text) FROM B.notes')", Denied),
    ("SELECT pg_relation_size('B.notes'::regclass)", Denied),
    ("SELECT currval('B.notes'::regclass)", Denied),
    ("SELECT count(*)::text FROM pg_stats WHERE schemaname = 'B' OR tablename = 'api_keys'", Shows("0")),
    ("SELECT schema_to_xml('B', true, true, '')::text LIKE '%secret%'", Denied),
    ("SELECT database_to_xml(true, true, '')::text LIKE '%secret of B%'", Shows("false")),
    // The gateway's own tables.
    ("SELECT * FROM rowgate.api_keys", Denied),
    ("SELECT cursor_key FROM rowgate.settings", Denied),
    ("SELECT answer FROM rowgate.kept_answers", Denied),
    ("DELETE FROM rowgate.kept_answers", Denied),
    ("SELECT message FROM rowgate.handler_lines", Denied),
    ("INSERT INTO rowgate.kept_answers VALUES (sha256('k'), sha256('p'), 'x', 'infinity')", Denied),
    ("INSERT INTO rowgate.admin_keys (id, hash, name) VALUES (gen_random_uuid(), 'x', 'x')", Denied),
    ("UPDATE rowgate.extensions SET database_role = NULL", Denied),
    // Another role.
    ("SELECT set_config('role', 'role_b', false)", Denied),
    ("SELECT set_config('session_authorization', 'role_b', true)", Denied),
    ("SELECT query_to_xml('SET ROLE role_b', true, true, '')", Refused("0A000")),
    ("SELECT query_to_xml('SELECT set_config(''role'', ''role_b'', false)', true, true, '')", Denied),
    ("SET SESSION AUTHORIZATION postgres", Denied),
    ("SET SESSION AUTHORIZATION role_b", Denied),
    ("SET ROLE postgres", Denied),
    ("SET ROLE pg_read_all_data", Denied),
    ("GRANT role_b TO role_a", Denied),
    ("GRANT pg_read_all_data TO role_a", Denied),
    ("GRANT SELECT ON B.notes TO role_a", Denied),
    ("ALTER ROLE role_a SUPERUSER", Denied),
    ("ALTER ROLE role_a SET search_path = B", Shows("")),
    ("CREATE ROLE mine", Denied),
    ("DROP ROLE role_b", Denied),
    ("REASSIGN OWNED BY role_b TO role_a", Denied),
    ("DROP OWNED BY role_b", Denied),
    // Code.
    ("DO $$ BEGIN PERFORM 1; END $$", Denied),
    ("CREATE FUNCTION A.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Denied),
    ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Denied),
    ("CREATE EXTENSION dblink", Denied),
    ("LOAD 'pg_stat_statements'", Denied),
    // Files and programs.
    ("COPY A.notes TO PROGRAM 'cat'", Denied),
    ("COPY A.notes FROM PROGRAM 'id'", Denied),
    ("COPY A.notes FROM '/etc/passwd'", Denied),
    ("COPY A.notes TO '/tmp/rowgate-attack'", Denied),
    ("SELECT pg_read_file('/etc/passwd')", Denied),
    ("SELECT pg_read_binary_file('PG_VERSION')", Denied),
    ("SELECT pg_ls_dir('.')", Denied),
    ("SELECT pg_stat_file('PG_VERSION')", Denied),
    ("SELECT pg_current_logfile()", Denied),
    ("SELECT * FROM pg_hba_file_rules", Denied),
    // Things that stay.
    ("CREATE TABLE A.mine (x int)", Denied),
    ("CREATE TABLE public.mine (x int)", Denied),
    ("CREATE TEMPORARY TABLE mine (x int)", Denied),
    ("SELECT text INTO TEMPORARY mine FROM A.notes", Denied),
    ("CREATE VIEW A.mine AS SELECT 1", Denied),
    ("CREATE SEQUENCE A.mine", Denied),
    ("CREATE TYPE A.mine AS (x int)", Denied),
    ("CREATE DOMAIN A.mine AS int", Denied),
    ("CREATE OPERATOR A.=== (PROCEDURE = int4eq, LEFTARG = int4, RIGHTARG = int4)", Denied),
    ("CREATE SCHEMA mine", Denied),
    ("CREATE DATABASE mine", Denied),
    ("CREATE PUBLICATION mine", Denied),
    ("CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION f()", Denied),
    ("SELECT lo_create(0)", Denied),
    ("SELECT lo_creat(-1)", Denied),
    ("SELECT lo_from_bytea(0, 'x')", Denied),
    ("SELECT lo_import('/etc/passwd')", Denied),
    ("SELECT pg_create_physical_replication_slot('mine')", Denied),
    // Its own tables, beyond their rows.
    ("ALTER TABLE A.notes ADD COLUMN mine int", Denied),
    ("ALTER TABLE A.notes DISABLE TRIGGER ALL", Denied),
    ("ALTER TABLE A.notes OWNER TO role_a", Denied),
    ("DROP TABLE A.notes", Denied),
    ("TRUNCATE A.notes", Denied),
    ("CREATE INDEX ON A.notes (text)", Denied),
    ("CREATE RULE r AS ON INSERT TO A.notes DO NOTHING", Denied),
    ("CREATE TRIGGER t BEFORE INSERT ON A.notes EXECUTE FUNCTION suppress_redundant_updates_trigger()", Denied),
    ("CREATE POLICY p ON A.notes", Denied),
    ("GRANT SELECT ON A.notes TO PUBLIC", Shows("")),
    // Other sessions, and the server.
    ("SELECT count(*)::text FROM pg_stat_activity WHERE query <> '<insufficient privilege>'", Shows("0")),
    ("SELECT * FROM pg_prepared_statements", Denied),
    ("SELECT pg_terminate_backend(OTHER)", Denied),
    ("SELECT pg_cancel_backend(OTHER)", Denied),
    ("SELECT pg_notify('rowgate_registry', '')", Denied),
    ("SELECT pg_advisory_lock(1)", Denied),
    ("SELECT pg_try_advisory_xact_lock(1, 2)", Denied),
    ("SELECT pg_advisory_unlock_all()", Denied),
    ("SELECT pg_reload_conf()", Denied),
    ("SELECT pg_switch_wal()", Denied),
    ("SELECT pg_stat_reset()", Denied),
    ("SELECT pg_log_backend_memory_contexts(OTHER)", Denied),
    ("ALTER SYSTEM SET fsync = off", Denied),
    ("ALTER DATABASE DB SET role = 'postgres'", Denied),
    ("CHECKPOINT", Denied),
    ("VACUUM B.notes", Denied),
    ("SELECT rolpassword FROM pg_authid", Denied),
    ("SELECT passwd FROM pg_shadow", Denied),
    ("SELECT count(*)::text FROM pg_roles WHERE rolpassword <> '********'", Shows("0")),
    ("SELECT * FROM pg_largeobject", Denied),
    ("SELECT stavalues1 FROM pg_statistic", Denied),
    ("SELECT subconninfo FROM pg_subscription", Denied),
];

/// Commands that Postgres lets every session give, whatever its rights. They are not queries, so no
/// prepared statement of ours is one, and SQL that is not ours is run as a cursor's query.
const COMMANDS: &[&str] = &[
    "SET ROLE role_b",
    "SET ROLE NONE",
    "RESET ROLE",
    "RESET ALL",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET SESSION AUTHORIZATION",
    "SET default_transaction_read_only = off",
    "SET statement_timeout = 0",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "PREPARE p AS SELECT 1",
    "LISTEN rowgate_registry",
    "NOTIFY rowgate_registry",
    "BEGIN",
    "COMMIT",
    "DROP OWNED BY role_a",
    "DO $$ BEGIN PERFORM 1; END $$",
    "COPY A.notes TO STDOUT",
    "SELECT 1; SET ROLE role_b",
];

/// A session that runs as the first extension.
struct Attacker {
    client: Client,
    role: String,
    other_role: String,
    database: String,
    other_pid: i32,
}

impl Attacker {
    fn written(&self, attack: &str) -> String {
        attack
            .replace("role_a", &self.role)
            .replace("role_b", &self.other_role)
            .replace("OTHER", &self.other_pid.to_string())
            .replace("DB", &self.database)
            .replace("A.", &format!("{}.", schema(FIRST)))
            .replace("B.", &format!("{}.", schema(SECOND)))
            .replace("'B'", &format!("'{}'", schema(SECOND)))
            .replace("of B", &format!("of {}", schema(SECOND)))
    }

    async fn user(&self) -> String {
        self.client.query_one("SELECT current_user::text", &[]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn every_attack_ends_at_the_wall() {
    let (database, gateway) = two_extensions().await;
    let superuser = database.superuser().await;
    let other_pid = gateway.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let (role_a, role_b) = (role(&gateway, FIRST).await.unwrap(), role(&gateway, SECOND).await.unwrap());
    let mut wrong = Vec::new();
    for (attack, end) in ATTACKS {
        let attacker = Attacker {
            client: database.gateway_client().await,
            role: role_a.clone(),
            other_role: role_b.clone(),
            database: database.name.clone(),
            other_pid,
        };
        attacker.client.batch_execute(&format!("SET ROLE {role_a}")).await.unwrap();
        let result = attacker.client.query(&attacker.written(attack), &[]).await;
        let met = match (&result, end) {
            (Err(_), Denied) => refusal(result).0 == "42501",
            (Err(_), Refused(code)) => refusal(result).0 == *code,
            (Ok(rows), Shows("")) => rows.is_empty(),
            (Ok(rows), Shows(text)) => match rows[0].columns()[0].type_().name() {
                "bool" => rows[0].get::<_, bool>(0).to_string() == *text,
                _ => rows[0].get::<_, &str>(0) == *text,
            },
            (Err(_), Shows(_)) | (Ok(_), Denied | Refused(_)) => false,
        };
        if !met || attacker.user().await != role_a {
            let again = attacker.client.query(&attacker.written(attack), &[]).await;
            wrong.push(format!("{attack}: {again:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing has come of any of them.
    for (text, expected) in [
        (format!("SELECT count(*)::text FROM {}.notes WHERE text LIKE 'secret%'", schema(SECOND)), "1"),
        ("SELECT count(*)::text FROM pg_class WHERE relname = 'mine'".to_owned(), "0"),
        ("SELECT count(*)::text FROM pg_largeobject_metadata".to_owned(), "0"),
        (format!("SELECT count(*)::text FROM pg_auth_members WHERE member = '{role_a}'::regrole"), "0"),
        (format!("SELECT (rolsuper OR rolcreaterole)::text FROM pg_roles WHERE rolname = '{role_a}'"), "false"),
        (format!("SELECT has_table_privilege('public', '{}.notes', 'SELECT')::text", schema(FIRST)), "false"),
    ] {
        assert_eq!(superuser.query_one(&text, &[]).await.unwrap().get::<_, &str>(0), expected, "{text}");
    }
}

#[tokio::test]
async fn a_cursors_query_is_never_a_command() {
    let (database, gateway) = two_extensions().await;
    let attacker = Attacker {
        role: role(&gateway, FIRST).await.unwrap(),
        other_role: role(&gateway, SECOND).await.unwrap(),
        client: database.gateway_client().await,
        database: database.name.clone(),
        other_pid: 0,
    };
    let begin = format!("BEGIN; SET LOCAL ROLE {}", attacker.role);
    for command in COMMANDS {
        attacker.client.batch_execute(&begin).await.unwrap();
        let declare = format!("DECLARE c NO SCROLL CURSOR FOR {}", attacker.written(command));
        // By the extended protocol, which takes one statement alone.
        let (code, message) = refusal(attacker.client.query(&declare, &[]).await);
        assert_eq!(code, "42601", "{command}: {message}");
        attacker.client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(attacker.user().await, "rowgate");
    }
    // What changes rows is no cursor's query either, and a query is one.
    for (query, expected) in [
        ("WITH gone AS (DELETE FROM A.notes RETURNING id) SELECT id FROM gone", "0A000"),
        ("DELETE FROM A.notes RETURNING id", "42601"),
        ("SELECT text FROM B.notes", "42501"),
    ] {
        attacker.client.batch_execute(&begin).await.unwrap();
        let declare = format!("DECLARE c NO SCROLL CURSOR FOR {}", attacker.written(query));
        assert_eq!(refusal(attacker.client.query(&declare, &[]).await).0, expected, "{query}");
        attacker.client.batch_execute("ROLLBACK").await.unwrap();
    }
    attacker.client.batch_execute(&begin).await.unwrap();
    let declare = attacker.written("DECLARE c NO SCROLL CURSOR FOR SELECT text FROM A.notes");
    attacker.client.query(&declare, &[]).await.unwrap();
    assert_eq!(attacker.client.query("FETCH ALL FROM c", &[]).await.unwrap().len(), 1);
}
