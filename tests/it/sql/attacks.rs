//! Hostile texts, each at both walls: asked by `ctx.sql`, and sent as it is in the role that reads.

use serde_json::json;
use tokio_postgres::Client;

use crate::sql::Bed;

/// What becomes of a text that is sent as it is, where there is no translation.
enum Alone {
    /// The right is missing.
    Denied,
    /// It is refused by one of these SQLSTATEs.
    Refused(&'static [&'static str]),
    /// It runs, and shows nothing of others: no secret, and no other's rows.
    Harmless,
}

use Alone::{Denied, Harmless, Refused};

/// `V.` stands for the views, `T.` for the tables, `OTHER` for the other install's scope.
const TEXTS: &[(&str, Alone)] = &[
    // Other rows.
    ("SELECT text AS a FROM T.notes", Denied),
    ("SELECT text AS a FROM V.notes", Harmless),
    ("SELECT scope_key AS a FROM V.notes", Refused(&["42703"])),
    ("SELECT answer AS a FROM rowgate.kept_answers", Denied),
    ("SELECT hash AS a FROM rowgate.api_keys", Denied),
    ("SELECT definition AS a FROM rowgate.revisions", Denied),
    ("SELECT set_config('rowgate.scope_instance', 'OTHER', true) AS a", Denied),
    ("SELECT pg_catalog.set_config('rowgate.scope_instance', 'OTHER', true) AS a", Denied),
    ("SELECT set_config('role', 'rowgate', false) AS a", Denied),
    ("SELECT n.text AS a FROM V.notes n, (SELECT set_config('rowgate.scope_instance', 'OTHER', true)) AS s", Denied),
    ("SELECT text AS a FROM V.notes WHERE set_config('rowgate.scope_instance', 'OTHER', true) IS NOT NULL", Denied),
    ("UPDATE pg_settings SET setting = 'OTHER' WHERE name = 'rowgate.scope_instance'", Refused(&["42501", "25006"])),
    ("SELECT current_setting('rowgate.scope_account') AS a", Harmless),
    ("SELECT pg_get_viewdef('V.notes'::regclass) AS a", Harmless),
    ("SELECT query_to_xml('SELECT text FROM T.notes', true, true, '') AS a", Denied),
    ("SELECT query_to_xml('SET ROLE rowgate', true, true, '') AS a", Refused(&["0A000", "42601"])),
    ("SELECT query_to_xml('SELECT set_config(''role'', ''rowgate'', false)', true, true, '') AS a", Denied),
    ("SELECT table_to_xml('T.notes'::regclass, true, true, '') AS a", Denied),
    ("SELECT cursor_to_xml('c', 1, true, true, '') AS a", Refused(&["34000"])),
    ("SELECT database_to_xml(true, true, '') AS a", Harmless),
    ("SELECT word AS a FROM ts_stat('SELECT to_tsvector(text) FROM T.notes')", Denied),
    ("SELECT ts_rewrite('a'::tsquery, 'SELECT text::tsquery, text::tsquery FROM T.notes') AS a", Denied),
    ("SELECT currtid2('T.notes', '(0,1)') AS a", Refused(&["42501", "42883", "42809"])),
    ("SELECT pg_relation_size('T.notes') AS a", Harmless),
    ("SELECT lo_get(1) AS a", Refused(&["42704", "42501"])),
    ("SELECT lo_create(0) AS a", Denied),
    ("SELECT lo_import('/etc/passwd') AS a", Denied),
    ("SELECT lo_from_bytea(0, 'x') AS a", Denied),
    // Files, programs, the network.
    ("SELECT pg_read_file('/etc/passwd') AS a", Denied),
    ("SELECT pg_read_binary_file('PG_VERSION') AS a", Denied),
    ("SELECT pg_ls_dir('.') AS a", Denied),
    ("SELECT pg_stat_file('.') AS a", Denied),
    ("SELECT pg_ls_logdir() AS a", Denied),
    ("SELECT pg_current_logfile() AS a", Denied),
    ("SELECT * FROM dblink('host=/tmp', 'SELECT 1') AS t (a int)", Refused(&["42883"])),
    ("COPY V.notes TO PROGRAM 'cat'", Denied),
    ("COPY (SELECT 1) TO '/tmp/rowgate-attack'", Denied),
    // What stays, or holds others up.
    ("SELECT pg_advisory_lock(1) AS a", Denied),
    ("SELECT pg_try_advisory_xact_lock(1) AS a", Denied),
    ("SELECT pg_notify('rowgate_registry', '') AS a", Denied),
    ("SELECT pg_terminate_backend(pid) AS a FROM pg_stat_activity", Refused(&["42501"])),
    ("SELECT pg_cancel_backend(1) AS a", Harmless),
    ("SELECT pg_sleep(0.01) AS a", Harmless),
    ("SELECT pg_reload_conf() AS a", Denied),
    ("SELECT pg_create_physical_replication_slot('x') AS a", Denied),
    ("SELECT pg_export_snapshot() AS a", Harmless),
    ("SELECT txid_current() AS a", Harmless),
    ("SELECT nextval('x') AS a", Refused(&["42P01", "42501"])),
    ("SELECT text AS a FROM V.notes FOR UPDATE", Denied),
    ("SELECT text AS a FROM V.notes FOR SHARE", Denied),
    ("SELECT text INTO TEMP x FROM V.notes", Denied),
    ("CREATE TEMP TABLE x (a int)", Denied),
    ("CREATE VIEW V.mine AS SELECT 1", Denied),
    ("WITH x AS (DELETE FROM V.notes RETURNING text) SELECT text AS a FROM x", Denied),
    ("WITH x AS (INSERT INTO V.notes (text) VALUES ('x') RETURNING text) SELECT text AS a FROM x", Denied),
    ("DELETE FROM V.notes", Denied),
    ("UPDATE V.notes SET text = 'x'", Denied),
    ("INSERT INTO V.everybodys (text) VALUES ('x')", Denied),
    ("TRUNCATE V.notes", Refused(&["42809"])),
    ("DO $$ BEGIN PERFORM 1; END $$", Denied),
    ("CREATE FUNCTION V.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", Denied),
    // What others are called, and what they do.
    ("SELECT rolpassword AS a FROM pg_authid", Denied),
    ("SELECT query AS a FROM pg_stat_activity WHERE query LIKE '%secret of an%'", Harmless),
    ("SELECT relname AS a FROM pg_class WHERE relname LIKE 'secret of%'", Harmless),
    ("SELECT rolname AS a FROM pg_roles WHERE rolname LIKE 'secret of%'", Harmless),
    ("SELECT name AS a FROM pg_prepared_statements", Denied),
    ("SELECT table_name AS a FROM information_schema.tables WHERE table_name LIKE 'secret of%'", Harmless),
    ("SELECT most_common_vals::text AS a FROM pg_stats WHERE schemaname LIKE 'ext%'", Harmless),
    ("SELECT stavalues1 AS a FROM pg_statistic", Denied),
    ("SELECT 'T.notes'::regclass::text AS a", Harmless),
    ("SELECT to_regclass('T.notes')::text AS a", Harmless),
    ("SELECT has_table_privilege('T.notes', 'SELECT') AS a", Harmless),
    ("SELECT current_user::text AS a", Harmless),
    ("SELECT version() AS a", Harmless),
    ("SELECT inet_server_addr()::text AS a", Harmless),
    ("SELECT current_setting('data_directory') AS a", Denied),
    ("SELECT setting AS a FROM pg_settings WHERE name = 'data_directory'", Harmless),
    ("SELECT pg_backend_pid() AS a", Harmless),
    // More than a query, or another thing that looks like one.
    ("SELECT 1 AS a; SELECT text FROM T.notes", Refused(&["42601"])),
    ("SELECT 1 AS a; SET ROLE rowgate", Refused(&["42601"])),
    ("SELECT 1 AS a) AS q (c0)) AS r) AS s; DELETE FROM T.notes; --", Refused(&["42601"])),
    ("SELECT 1) AS q UNION ALL SELECT text FROM T.notes --", Refused(&["42601"])),
    ("SELECT text AS a FROM /* V */ \"T.notes\"", Refused(&["42P01"])),
    ("SELECT U&'\\0061' AS a, text FROM U&\"T.n\\006ftes\"", Refused(&["42P01"])),
    ("SELECT $x$ ' $x$ AS a, text AS b FROM T.notes", Denied),
    ("SELECT E'\\'' AS a, text AS b FROM T.notes --'", Denied),
    ("SELECT /* /* */ */ text AS a FROM T.notes -- FROM V.notes", Denied),
    ("SELECT 1 AS a FROM V.notes WHERE '\\' = ' OR true OR text = '", Harmless),
    ("TABLE T.notes", Denied),
    ("SELECT * FROM ONLY T.notes", Denied),
    ("SELECT T.notes.text AS a FROM T.notes", Denied),
    ("SELECT (n).text AS a FROM T.notes AS n", Denied),
    ("SELECT a FROM (WITH pg_class AS (SELECT 1 AS a) SELECT a FROM pg_class) AS x, pg_authid", Denied),
    ("SELECT n.pg_terminate_backend AS a FROM V.notes AS n", Refused(&["42703"])),
    ("SELECT text OPERATOR(pg_catalog.=) 'x' AS a FROM T.notes", Denied),
    ("SELECT * FROM T.notes TABLESAMPLE SYSTEM (100)", Denied),
    ("SELECT * FROM ROWS FROM (pg_ls_dir('.')) AS t (a)", Denied),
    ("SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS a text)", Harmless),
    (
        "SELECT xmlparse(DOCUMENT '<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><x>&e;</x>')::text AS a",
        Harmless,
    ),
    ("EXPLAIN ANALYZE SELECT text FROM T.notes", Denied),
    ("DECLARE c CURSOR WITH HOLD FOR SELECT text FROM T.notes", Denied),
    ("CALL f()", Refused(&["42883"])),
    ("MERGE INTO T.notes AS n USING (SELECT 1) AS s ON true WHEN MATCHED THEN DELETE", Denied),
    ("VALUES ((SELECT text FROM T.notes LIMIT 1))", Denied),
    ("LOCK TABLE V.notes", Denied),
];

/// Commands that every session may give: they are no queries, which the translation alone must see.
const COMMANDS: &[&str] = &[
    "SET ROLE rowgate",
    "SET LOCAL rowgate.scope_instance = 'OTHER'",
    "RESET ROLE",
    "RESET ALL",
    "DISCARD ALL",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK TO SAVEPOINT rowgate_sql",
    "RELEASE SAVEPOINT rowgate_sql",
    "SAVEPOINT x",
    "SET TRANSACTION READ WRITE",
    "LISTEN rowgate_registry",
    "NOTIFY rowgate_registry",
    "PREPARE x AS SELECT 1",
    "EXECUTE s1",
    "DEALLOCATE ALL",
    "FETCH ALL FROM c",
    "CHECKPOINT",
    "SHOW ALL",
    "ANALYZE",
    "VACUUM",
];

impl Bed {
    fn written(&self, text: &str) -> String {
        let schema = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";
        text.replace("V.", &format!("{schema}_read."))
            .replace("T.", &format!("{schema}."))
            .replace("OTHER", &self.other.id.to_string())
    }

    /// A session as `ctx.sql` would have it, for the first install.
    async fn reader(&self) -> Client {
        let client = self.test.database.gateway_client().await;
        let install = &self.test.install;
        client
            .batch_execute(&format!(
                "BEGIN; SET LOCAL search_path = ''; SET LOCAL statement_timeout = 2000;
                 SET LOCAL rowgate.scope_instance = '{}'; SET LOCAL rowgate.scope_account = '{}';
                 SET LOCAL rowgate.scope_global = '{}'; SET LOCAL rowgate.scope_overlay = '{}';
                 SET LOCAL ROLE rowgate_sql_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f; SAVEPOINT s",
                install.id,
                install.account_id,
                install.extension_id,
                install.overlay_id.unwrap()
            ))
            .await
            .unwrap();
        client
    }
}

async fn bed() -> Bed {
    let bed = Bed::new().await;
    for table in ["notes", "ours", "designs"] {
        bed.add(table, json!({ "text": "mine" })).await;
        bed.of_other("add", json!({ "table": table, "values": { "text": "secret of another" } })).await;
    }
    bed.add("everybodys", json!({ "text": "all" })).await;
    bed.test.database.superuser().await.batch_execute("ANALYZE").await.unwrap();
    bed
}

/// Nothing has come of any of them.
async fn unharmed(bed: &Bed) {
    let client = bed.test.database.superuser().await;
    let schema = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";
    for table in ["notes", "ours", "designs"] {
        let count = format!("SELECT count(*) FROM {schema}.{table} WHERE text IN ('mine', 'secret of another')");
        assert_eq!(client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0), 2, "{table}");
    }
    let left = "SELECT count(*) FROM pg_class WHERE relname IN ('mine', 'x')";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    let rows = json!({ "ok": [{ "text": "mine" }] });
    for function in ["read", "write", "act"] {
        assert_eq!(bed.ask(function, "SELECT text FROM notes", json!(null)).await, rows, "{function}");
    }
}

#[tokio::test]
async fn no_text_passes_the_translation() {
    let bed = bed().await;
    let mut wrong = Vec::new();
    let texts = TEXTS.iter().map(|(text, _)| *text).chain(COMMANDS.iter().copied());
    for (place, text) in texts.enumerate() {
        let written = bed.written(text);
        let function = ["read", "write", "act"][place % 3];
        let answer = bed.test.call(function, json!({ "text": written })).await;
        let is_refused = answer.status == 200
            && answer.json()["code"].as_str().is_some_and(|code| code == "sql_invalid" || code == "sql_not_allowed");
        // The one that is only a strange condition is answered, with no row.
        let is_empty = answer.status == 200 && answer.json()["ok"] == json!([]);
        if !(is_refused || is_empty) || answer.text.contains("secret of") || answer.text.contains("rowgate_sql") {
            wrong.push(format!("{text}: {}", answer.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    unharmed(&bed).await;
}

#[tokio::test]
async fn the_role_that_reads_is_a_wall_by_itself() {
    let bed = bed().await;
    let reader = bed.reader().await;
    let mut wrong = Vec::new();
    for (text, alone) in TEXTS {
        let result = reader.query(&bed.written(text), &[]).await;
        let (code, rows) = match &result {
            Ok(rows) => (String::new(), format!("{rows:?}")),
            Err(error) => (error.code().map_or_else(String::new, |code| code.code().to_owned()), String::new()),
        };
        let mut shown = rows;
        for row in result.iter().flatten() {
            for column in 0..row.len() {
                shown.push_str(row.try_get::<_, &str>(column).unwrap_or_default());
            }
        }
        let met = match alone {
            Denied => code == "42501",
            Refused(codes) => codes.contains(&code.as_str()),
            Harmless => !shown.contains("secret of"),
        };
        if !met {
            wrong.push(format!("{text}: {code} {shown}"));
        }
        // In one transaction still, and as the same: none of them has stepped out of it.
        reader.batch_execute("ROLLBACK TO SAVEPOINT s").await.unwrap_or_else(|error| panic!("{text}: {error}"));
        let user = reader.query_one("SELECT current_user::text, current_setting('rowgate.scope_instance')", &[]).await;
        let user = user.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(user.get::<_, &str>(0), "rowgate_sql_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f", "{text}");
        assert_eq!(user.get::<_, &str>(1), bed.test.install.id.to_string(), "{text}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    reader.batch_execute("ROLLBACK").await.unwrap();
    unharmed(&bed).await;
}

/// The words of commands are no query, so behind what stands in front of every text they are none of
/// their own either.
#[tokio::test]
async fn what_stands_around_a_text_makes_it_a_query() {
    let bed = bed().await;
    let reader = bed.reader().await;
    for command in COMMANDS {
        for around in [format!("SELECT * FROM ({command}) AS q"), format!("SELECT 1 FROM (SELECT 1) AS q; {command}")] {
            let code = reader.query(&bed.written(&around), &[]).await.unwrap_err().code().unwrap().code().to_owned();
            assert_eq!(code, "42601", "{around}");
            reader.batch_execute("ROLLBACK TO SAVEPOINT s").await.unwrap();
        }
    }
}
