//! `rowgate doctor`: nothing to say of a deployment that is well, and each thing that is not by its code.

use std::process::Command;

use rowgate::db::embedded::{Cluster, Durability, Options};
use serde_json::Value;

use crate::cli::process::{Done, Running, bundle, folder, rowgate, run};
use crate::cli::{SECRET, address};
use crate::support::redis::TestRedis;
use crate::support::{ROWGATE, TestDatabase};

const SCHEMA: &str = r#"return defineSchema({
  notes = defineTable({ text = v.string():max(100), score = v.integer() }):index("by_score", { "score" }),
})"#;
const FUNCTIONS: &str = r#"return { list = queryRows("notes", { orderBy = "score", limit = 10 }) }"#;
const TABLE: &str = "ext_7c1d5a08_52b9_4c0e_a1de_6b1f4f0d9a11.notes";

fn with(mut command: Command, url: &str) -> Command {
    command.env("DATABASE_URL", url).env("ROWGATE_HTTP__WORKERS", "1").env("ROWGATE_AUTH__HS256_SECRET", SECRET);
    // As many descriptors as any machine gives.
    command.env("ROWGATE_HTTP__CONNECTIONS_MAX", "100");
    command
}

fn doctor(url: &str) -> Command {
    with(rowgate(["doctor", "--json"]), url)
}

/// The codes of what was found, and how it ended; the tests' own server is made to be thrown away, which
/// is found each time.
#[track_caller]
fn codes(done: &Done) -> Vec<String> {
    let printed: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let findings = printed["findings"].as_array().unwrap();
    let is_well = !findings.iter().any(|finding| finding["severity"] == "error");
    assert_eq!(printed["ok"], is_well, "{}", done.stdout);
    assert_eq!(done.code, Some(i32::from(!is_well)), "{done:?}");
    let mut codes = Vec::new();
    for finding in findings {
        for member in ["code", "place", "message", "hint"] {
            assert!(finding[member].as_str().is_some_and(|text| !text.is_empty()), "{finding}");
        }
        let code = finding["code"].as_str().unwrap();
        // So it is with a kernel that has not all walls.
        if !["durability_off", "autovacuum_off", "sandbox_weak"].contains(&code) {
            codes.push(code.to_owned());
        }
    }
    codes.sort();
    codes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_that_is_well_has_nothing_said_of_it() {
    let folder = folder();
    let options = Options {
        durability: Durability::Durable,
        supervisor: Some(ROWGATE.into()),
        ..Options::new(folder.path().join("server"))
    };
    let cluster = Cluster::start(options).await.unwrap();
    let url = cluster.connection_string();
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    run(with(rowgate(["apply"]), &url).arg(&bundle)).ok();
    run(&mut with(rowgate(["admin-key", "alice"]), &url)).ok();
    let mut serve = with(rowgate(["serve", "--port", "0", "--admin-port", "0"]), &url);
    let mut serving = Running::start(&mut serve);
    let public = address(&serving.stderr.until("serving functions at"));
    let admin = address(&serving.stderr.until("admin listener at"));
    let done = run(doctor(&url).args(["--url", &public, "--admin-url", &admin]));
    assert_eq!(codes(&done), [""; 0], "{done:?}");
    let said = done.stdout.contains("sandbox_weak");
    let done = run(&mut with(rowgate(["doctor"]), &url));
    assert_eq!((done.code, done.stdout.is_empty()), (Some(0), !said));
    assert!(said || done.stderr.contains("all is well: the database, and 1 extension"), "{}", done.stderr);
    drop(serving);
    let done = run(doctor(&url).args(["--url", &public, "--admin-url", &admin]));
    assert_eq!(codes(&done), ["listener_unreachable", "listener_unreachable"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_found_by_its_code() {
    let database = TestDatabase::new().await;
    let folder = folder();
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    run(with(rowgate(["apply"]), &database.url()).arg(&bundle)).ok();
    assert_eq!(codes(&run(&mut doctor(&database.url()))), ["admin_key_missing"]);
    run(&mut with(rowgate(["admin-key", "alice"]), &database.url())).ok();
    assert_eq!(codes(&run(&mut doctor(&database.url()))), [""; 0]);
    let superuser = database.superuser().await;
    // Each is undone again before the next.
    let cases: &[(&str, &str, &[&str])] = &[
        (
            &format!("CREATE INDEX by_hand ON {TABLE} (text)"),
            "DROP INDEX ext_7c1d5a08_52b9_4c0e_a1de_6b1f4f0d9a11.by_hand",
            &["index_added"],
        ),
        (
            &format!("ALTER TABLE {TABLE} ALTER COLUMN score DROP NOT NULL"),
            &format!("ALTER TABLE {TABLE} ALTER COLUMN score SET NOT NULL"),
            &["column_changed"],
        ),
        (
            "INSERT INTO rowgate.kept_answers VALUES (sha256('a'), sha256('b'), 'c', now() - interval '1 hour')",
            "DELETE FROM rowgate.kept_answers",
            &["answers_not_swept"],
        ),
        (
            "INSERT INTO rowgate.secrets (extension_id, name, key_mark, sealed)
             SELECT id, 'KEY', 'm', 's' FROM rowgate.extensions",
            "DELETE FROM rowgate.secrets",
            &["secrets_key_missing"],
        ),
        (
            "INSERT INTO rowgate.handler_lines (install_id, at, function, level, message)
             SELECT gen_random_uuid(), now(), 'f', 'info', 'm' FROM generate_series(1, 1);
             INSERT INTO rowgate.handler_lines (install_id, at, function, level, message)
             SELECT '7c1d5a08-52b9-4c0e-a1de-6b1f4f0d9a12', now(), 'f', 'info', 'm' FROM generate_series(1, 2001)",
            "DELETE FROM rowgate.handler_lines",
            &["lines_not_trimmed"],
        ),
        (
            "GRANT EXECUTE ON FUNCTION set_config(text, text, boolean) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION set_config(text, text, boolean) FROM PUBLIC",
            &["rights_missing"],
        ),
        (
            "UPDATE rowgate.migrations SET sha256 = sha256('x') WHERE version = 5",
            "UPDATE rowgate.migrations m SET sha256 = r.definition_sha256 FROM rowgate.revisions r WHERE false",
            &["migrations_edited"],
        ),
    ];
    for (break_it, mend_it, expected) in cases {
        superuser.batch_execute(break_it).await.unwrap();
        assert_eq!(codes(&run(&mut doctor(&database.url()))), *expected, "{break_it}");
        superuser.batch_execute(mend_it).await.unwrap();
    }
    // As a database of a newer binary, and one that no gateway has seen.
    superuser
        .batch_execute("INSERT INTO rowgate.migrations (version, name, sha256) VALUES (9999, 'later', sha256('x'))")
        .await
        .unwrap();
    assert_eq!(codes(&run(&mut doctor(&database.url()))), ["migrations_newer"]);
    superuser.batch_execute("DROP TABLE rowgate.migrations").await.unwrap();
    assert_eq!(codes(&run(&mut doctor(&database.url()))), ["migrations_missing"]);
    let elsewhere = "postgres://rowgate@127.0.0.1:1/rowgate";
    assert_eq!(codes(&run(&mut doctor(elsewhere))), ["database_unreachable"]);
    let done = run(&mut rowgate(["doctor"]));
    assert_eq!(done.code, Some(2), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_binary_cannot_serve_is_found() {
    let database = TestDatabase::new().await;
    let folder = folder();
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    run(with(rowgate(["apply"]), &database.url()).arg(&bundle)).ok();
    let superuser = database.superuser().await;
    let edit = "UPDATE rowgate.revisions SET definition =
        replace(definition::text, '\"kind\":\"queryRows\"', '\"kind\":\"divineRows\"')::json";
    assert_eq!(superuser.execute(edit, &[]).await.unwrap(), 1);
    let done = run(&mut with(rowgate(["doctor"]), &database.url()));
    assert!(done.stdout.contains("error[definition_unreadable] extension `test`: this binary cannot read"), "{done:?}");
    assert!(done.stdout.contains("divineRows"), "{done:?}");

    let mut command = doctor(&database.url());
    command.env("ROWGATE_DATABASE__WRITE_LANES", "5000").env("ROWGATE_DATABASE__STATEMENT_TIMEOUT_MS", "100");
    command.env_remove("ROWGATE_AUTH__HS256_SECRET");
    let expected = [
        "admin_key_missing",
        "connections_too_few",
        "definition_unreadable",
        "signers_missing",
        "statement_timeout_short",
    ];
    assert_eq!(codes(&run(&mut command)), expected);
    // As who may do all, so that no wall stands.
    let as_superuser = database.url().replacen("rowgate@", "postgres@", 1);
    if as_superuser != database.url() {
        assert!(codes(&run(&mut doctor(&as_superuser))).contains(&"role_is_superuser".to_owned()));
    }
}

/// What lies around a gateway and is not there, one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_needs_besides_its_database_is_looked_at() {
    let database = TestDatabase::new().await;
    run(with(rowgate(["apply"]), &database.url()).arg(bundle(folder().path(), SCHEMA, FUNCTIONS))).ok();
    run(&mut with(rowgate(["admin-key", "alice"]), &database.url())).ok();
    let found = |name: &str, value: &str| codes(&run(doctor(&database.url()).env(name, value)));
    assert_eq!(found("ROWGATE_HTTP__CONNECTIONS_MAX", "4000000000"), ["descriptors_too_few"]);
    assert_eq!(found("ROWGATE_LIMITS__REDIS_URL", "redis://127.0.0.1:1/"), ["redis_unreachable"]);
    assert_eq!(found("ROWGATE_AUTH__JWKS_FILE", "/nowhere/jwks.json"), ["signers_unreadable"]);
    assert_eq!(found("ROWGATE_AUTH__JWKS_URL", "http://127.0.0.1:1/jwks.json"), ["signers_unreachable"]);
    assert_eq!(found("ROWGATE_SCRIPT__EXECUTABLE", "/bin/false"), ["sandbox_not_started"]);
    let redis = TestRedis::start();
    assert_eq!(found("ROWGATE_LIMITS__REDIS_URL", &redis.url()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_slows_a_database_down_is_found() {
    let database = TestDatabase::new().await;
    run(with(rowgate(["apply"]), &database.url()).arg(bundle(folder().path(), SCHEMA, FUNCTIONS))).ok();
    run(&mut with(rowgate(["admin-key", "alice"]), &database.url())).ok();
    let superuser = database.superuser().await;
    // Rows that were changed and nobody cleaned up, and an index that nobody asked.
    let scope = "'7c1d5a08-52b9-4c0e-a1de-6b1f4f0d9a12'";
    let wear = format!(
        "INSERT INTO {TABLE} (id, scope_key, text, score)
         SELECT gen_random_uuid(), {scope}, 'a', n FROM generate_series(1, 40000) AS n;
         DELETE FROM {TABLE} WHERE score > 20000;
         DO $$ BEGIN FOR n IN 1..1000 LOOP
             PERFORM FROM {TABLE} WHERE scope_key = {scope} AND id = {scope};
         END LOOP; END $$"
    );
    superuser.batch_execute(&wear).await.unwrap();
    superuser.batch_execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let sealed = "INSERT INTO rowgate.secrets (extension_id, install_id, name, key_mark, sealed)
                  SELECT id, NULL, 'A', '\\x00', '\\x00' FROM rowgate.extensions";
    superuser.batch_execute(sealed).await.unwrap();
    let mut command = doctor(&database.url());
    command.env("ROWGATE_SECRETS_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(codes(&run(&mut command)), ["index_unused", "secrets_key_wrong", "table_bloated"]);
}
