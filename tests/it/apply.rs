//! Deploys on a real Postgres: what a second one does, what is refused, and that a refusal or a
//! rival changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, SystemTime};

use rowgate::deploy::apply::{Applied, ApplyError, Patience, apply};
use rowgate::record::{self, AdminKey, ApiKey, Install};
use rowgate_schema_dsl::definition::{Definition, Role};
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::model::Model;
use serde_json::{Value, json};
use tokio_postgres::{AsyncMessage, Client, NoTls};
use uuid::Uuid;

use crate::support::TestDatabase;
use crate::support::gateway::terms;
use crate::understand::understand;

const EXTENSION: Uuid = Uuid::from_u128(0x7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11);
const TABLE: &str = "\"ext_7d3f1c52_9a34_4a57_8e10_0c5b6d2f9a11\".rules";

fn document(version: &str, tables: Value) -> Value {
    json!({ "rowgate": 1, "extension": { "id": EXTENSION, "name": "poll", "version": version }, "tables": tables })
}

fn rules() -> Value {
    json!({ "rules": { "columns": { "text": { "type": "string" }, "score": { "type": "integer", "default": 0 } } } })
}

async fn deploy(client: &mut Client, document: &Value) -> Result<Applied, ApplyError> {
    deploy_within(client, document, Patience { wait_ms_max: 20_000, pause_ms: 10 }).await
}

async fn deploy_within(client: &mut Client, document: &Value, patience: Patience) -> Result<Applied, ApplyError> {
    let (definition, model): (Definition, Model) = understand(document);
    // As the gateway, whatever the connection looks into before and after.
    client.batch_execute("SET SESSION AUTHORIZATION rowgate").await.unwrap();
    let result = apply(client, &definition, &model, |recorded| Ok(understand(recorded).1), &terms(patience)).await;
    client.batch_execute("RESET SESSION AUTHORIZATION").await.unwrap();
    result
}

fn refusals(result: Result<Applied, ApplyError>) -> Vec<Diagnostic> {
    match result {
        Err(ApplyError::Refused(diagnostics)) => diagnostics,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn a_definition_is_deployed_once_and_then_grows() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let first = deploy(&mut client, &document("1", rules())).await.unwrap();
    assert_eq!((first.revision, first.changed, first.statements.len()), (1, true, 2));
    client
        .execute(&format!("INSERT INTO {TABLE} (scope_key, id, text) VALUES ($1, $1, 'x')"), &[&EXTENSION])
        .await
        .unwrap();

    let again = deploy(&mut client, &document("1", rules())).await.unwrap();
    assert_eq!(again, Applied { revision: 1, changed: false, statements: Vec::new() });

    let renamed = deploy(&mut client, &document("2", rules())).await.unwrap();
    assert_eq!(renamed, Applied { revision: 2, changed: true, statements: Vec::new() });

    let mut tables = rules();
    tables["rules"]["columns"]["kind"] = json!({ "type": "enum", "values": ["a", "b"], "default": "b" });
    tables["rules"]["indexes"] = json!({ "by_score": ["score"] });
    tables["votes"] = json!({ "columns": { "rule": { "type": "id", "table": "rules" } } });
    let grown = deploy(&mut client, &document("3", tables)).await.unwrap();
    assert_eq!((grown.revision, grown.statements.len()), (3, 5));
    let row = client.query_one(&format!("SELECT text, kind FROM {TABLE}"), &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), ("x", "b"));

    let revisions = record::revisions(&client, EXTENSION).await.unwrap();
    assert_eq!(revisions.iter().map(|revision| revision.revision).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(revisions[0].statements, grown.statements);
    assert_eq!(revisions[2].statements, first.statements);
}

#[tokio::test]
async fn the_recorded_definition_keeps_the_authors_order() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let document = document(
        "1",
        json!({ "zebra": { "columns": { "zz": { "type": "string" }, "a": { "type": "string" } } }, "ant": { "columns": { "b": { "type": "json" } } } }),
    );
    deploy(&mut client, &document).await.unwrap();
    let recorded = record::extension(&client, EXTENSION).await.unwrap().unwrap();
    assert_eq!(recorded.definition.to_string(), serde_json::to_string(&understand(&document).0).unwrap());
    assert_eq!(recorded.definition_sha256, record::definition_sha256(&understand(&recorded.definition).0));
}

#[tokio::test]
async fn every_refusal_is_told_at_once_and_nothing_changes() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    deploy(&mut client, &document("1", rules())).await.unwrap();
    let insert = format!("INSERT INTO {TABLE} (scope_key, id, text) VALUES ($1, gen_random_uuid(), 'x')");
    client.execute(&insert, &[&EXTENSION]).await.unwrap();
    let before = state(&client).await;
    let tables = json!({
        "rules": { "columns": { "score": { "type": "number" }, "author": { "type": "string" } }, "storage": "account" },
        "fresh": { "columns": { "x": { "type": "json" } } },
    });
    let refused = refusals(deploy(&mut client, &document("2", tables)).await);
    let told: Vec<_> = refused.iter().map(|refusal| (refusal.code, refusal.pointer.as_str())).collect();
    assert_eq!(
        told,
        [
            ("deletes_data", "/tables/rules/storage"),
            ("deletes_data", "/tables/rules/columns"),
            ("existing_rows", "/tables/rules/columns/author"),
        ]
    );
    assert!(refused.iter().all(|refusal| refusal.hint.is_some()));
    assert_eq!(state(&client).await, before);
}

#[tokio::test]
async fn a_unique_rule_over_rows_that_break_it_is_refused_and_nothing_changes() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    deploy(&mut client, &document("1", rules())).await.unwrap();
    let insert = format!("INSERT INTO {TABLE} (scope_key, id, text) VALUES ($1, gen_random_uuid(), 'secret twice')");
    for _ in 0..2 {
        client.execute(&insert, &[&EXTENSION]).await.unwrap();
    }
    let before = state(&client).await;
    let mut tables = rules();
    tables["rules"]["columns"]["note"] = json!({ "type": "string", "optional": true });
    tables["rules"]["uniques"] = json!({ "one_text": ["text"] });
    let document = document("2", tables);
    let refused = refusals(deploy(&mut client, &document).await);
    let ids = client.query(&format!("SELECT id::text FROM {TABLE} ORDER BY id"), &[]).await.unwrap();
    let ids: Vec<String> = ids.iter().map(|row| format!("`{}`", row.get::<_, &str>(0))).collect();
    let told = refused[0].to_string().replace(&ids.join(", "), "both ids");
    insta::assert_snapshot!(told, @r"
    /tables/rules/uniques/one_text: error[existing_rows]: rows of table `rules` share their values of `text`: both ids
      hint: change or delete all but one of them first
    ");
    assert_eq!(refused.len(), 1);
    assert_eq!(state(&client).await, before);

    client.execute(&format!("DELETE FROM {TABLE} WHERE id = (SELECT id FROM {TABLE} LIMIT 1)"), &[]).await.unwrap();
    assert_eq!(deploy(&mut client, &document).await.unwrap().revision, 2);
}

#[tokio::test]
async fn rivals_do_the_work_once() {
    let database = TestDatabase::new().await;
    let document = document("1", rules());
    let mut rivals = Vec::new();
    for _ in 0..8 {
        rivals.push(database.client().await);
    }
    let deploys = rivals.iter_mut().map(|client| deploy(client, &document));
    let applied: Vec<Applied> = futures_util::future::try_join_all(deploys).await.unwrap();
    assert_eq!(applied.iter().filter(|applied| applied.changed).count(), 1);
    assert!(applied.iter().all(|applied| applied.revision == 1));
    assert_eq!(record::revisions(&rivals[0], EXTENSION).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_locked_table_is_waited_for_without_queueing_callers() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    deploy(&mut client, &document("1", rules())).await.unwrap();
    let mut holder = database.client().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute(&format!("LOCK {TABLE} IN ACCESS SHARE MODE")).await.unwrap();
    let before = state(&client).await;

    let mut tables = rules();
    tables["rules"]["columns"]["note"] = json!({ "type": "string", "optional": true });
    let document = document("2", tables);
    let busy = deploy_within(&mut client, &document, Patience { wait_ms_max: 1, pause_ms: 1 }).await.unwrap_err();
    assert!(matches!(busy, ApplyError::Busy { .. }), "{busy}");
    assert_eq!(state(&client).await, before);

    // The holder lets go only after the deploy was seen waiting for it.
    let watcher = database.client().await;
    let release = async {
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
        while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        held.rollback().await.unwrap();
    };
    let (applied, ()) = tokio::join!(deploy(&mut client, &document), release);
    assert_eq!(applied.unwrap().revision, 2);
}

#[tokio::test]
async fn a_deploy_is_told_when_it_is_committed() {
    let database = TestDatabase::new().await;
    let (listener, mut connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    let (sender, mut notifications) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = std::future::poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(notification) = message {
                let _ = sender.send((notification.channel().to_owned(), notification.payload().to_owned()));
            }
        }
    });
    listener.batch_execute("LISTEN rowgate_registry").await.unwrap();
    let told = (record::CHANNEL.to_owned(), EXTENSION.to_string());

    let mut client = database.client().await;
    deploy(&mut client, &document("1", rules())).await.unwrap();
    assert_eq!(notifications.recv().await.unwrap(), told);
    let install = install();
    record::insert_install(&client, &install).await.unwrap();
    assert_eq!(notifications.recv().await.unwrap(), told);
    let key = api_key(&install);
    record::insert_api_key(&client, &key).await.unwrap();
    assert_eq!(notifications.recv().await.unwrap(), told);
    assert!(record::revoke_api_key(&client, key.id).await.unwrap());
    assert_eq!(notifications.recv().await.unwrap(), told);
    // A refused deploy is not told: the next thing heard is the install's change.
    let insert = format!("INSERT INTO {TABLE} (scope_key, id, text) VALUES ($1, $1, 'x')");
    client.execute(&insert, &[&EXTENSION]).await.unwrap();
    refusals(deploy(&mut client, &document("2", json!({}))).await);
    assert!(record::set_install_disabled(&client, install.id, true).await.unwrap());
    assert_eq!(notifications.recv().await.unwrap(), told);
    assert!(notifications.try_recv().is_err());
}

#[tokio::test]
async fn what_is_recorded_is_loaded() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let empty = record::load_all(&client).await.unwrap();
    let cursor_key = empty.cursor_key.clone();
    assert_eq!(cursor_key.as_ref().map(|secret| secret.0.len()), Some(32));
    assert_eq!(format!("{cursor_key:?}"), "Some(CursorSecret)");
    assert_eq!(empty, record::Everything { cursor_key, ..record::Everything::default() });
    deploy(&mut client, &document("1", rules())).await.unwrap();
    let mut install = install();
    record::insert_install(&client, &install).await.unwrap();
    let key = api_key(&install);
    record::insert_api_key(&client, &key).await.unwrap();
    let expired = ApiKey { id: Uuid::now_v7(), hash: [2; 32], expires_at: Some(SystemTime::UNIX_EPOCH), ..key.clone() };
    record::insert_api_key(&client, &expired).await.unwrap();
    let admin_key = AdminKey { id: Uuid::now_v7(), hash: [3; 32], name: "ops".to_owned(), expires_at: None };
    record::insert_admin_key(&client, &admin_key).await.unwrap();

    let all = record::load_all(&client).await.unwrap();
    assert_eq!(all.extensions.len(), 1);
    assert_eq!((all.extensions[0].id, all.extensions[0].revision), (EXTENSION, 1));
    assert_eq!(all.installs, [install.clone()]);
    assert_eq!(all.api_keys, vec![key.clone()]);
    assert_eq!(all.admin_keys, vec![admin_key.clone()]);

    assert!(record::set_install_disabled(&client, install.id, true).await.unwrap());
    assert!(record::revoke_api_key(&client, key.id).await.unwrap());
    assert!(!record::revoke_api_key(&client, key.id).await.unwrap());
    assert!(record::revoke_admin_key(&client, admin_key.id).await.unwrap());
    assert!(!record::set_install_disabled(&client, Uuid::now_v7(), true).await.unwrap());
    install.disabled = true;
    let all = record::load_all(&client).await.unwrap();
    assert_eq!((all.installs, all.api_keys, all.admin_keys), (vec![install], vec![], vec![]));
}

#[tokio::test]
async fn migrating_again_or_at_once_changes_nothing() {
    let database = TestDatabase::new().await;
    let first = database.gateway_client().await;
    first.batch_execute("SET client_min_messages = warning; DROP SCHEMA rowgate CASCADE").await.unwrap();
    let second = database.gateway_client().await;
    let (one, other) = tokio::join!(rowgate::db::migrate::migrate(&first), rowgate::db::migrate::migrate(&second));
    let applied = [one.unwrap().applied, other.unwrap().applied].concat();
    assert_eq!(
        applied,
        [
            "gateway",
            "repeatable",
            "database_roles",
            "kept_answers",
            "handler_lines",
            "values",
            "kv",
            "changes",
            "lifecycle",
            "limits",
            "limit_traffic",
            "removals"
        ]
    );
    assert_eq!(rowgate::db::migrate::migrate(&first).await.unwrap().applied, [""; 0]);

    first.batch_execute("UPDATE rowgate.migrations SET sha256 = 'x'").await.unwrap();
    let edited = rowgate::db::migrate::migrate(&first).await.unwrap_err();
    insta::assert_snapshot!(edited, @"migration 1 was applied with other content than this binary has; restore the file it was made from");
    first.batch_execute("INSERT INTO rowgate.migrations VALUES (99, 'later', 'x')").await.unwrap();
    let newer = rowgate::db::migrate::migrate(&first).await.unwrap_err();
    insta::assert_snapshot!(newer, @"the database is at version 99 of the gateway's tables, this binary knows 16; use a newer binary");
    // The lock is free again, whatever came of it.
    assert!(second.query_one("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())", &[]).await.unwrap().get::<_, bool>(0));
}

fn install() -> Install {
    Install {
        id: Uuid::now_v7(),
        extension_id: EXTENSION,
        account_id: Uuid::now_v7(),
        overlay_id: Some(Uuid::now_v7()),
        disabled: false,
    }
}

fn api_key(install: &Install) -> ApiKey {
    ApiKey {
        id: Uuid::now_v7(),
        hash: [1; 32],
        install_id: install.id,
        role: Role::Editor,
        name: "ci".to_owned(),
        // Postgres keeps microseconds.
        expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000)),
    }
}

/// Everything a deploy could have changed.
async fn state(client: &Client) -> (Vec<record::Extension>, Vec<String>) {
    let rows = client
        .query(
            "SELECT concat_ws(' ', c.oid, c.relname, a.attname, a.atttypid) FROM pg_class c
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid
             WHERE c.relnamespace::regnamespace::text LIKE 'ext\\_%' ORDER BY 1",
            &[],
        )
        .await
        .unwrap();
    (record::extensions(client).await.unwrap(), rows.iter().map(|row| row.get(0)).collect())
}
