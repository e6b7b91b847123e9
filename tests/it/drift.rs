//! Drift on a real Postgres: nothing is found where nobody did anything, each thing that somebody did
//! by hand is found by its name, and doing what is said makes it go away.

use rowgate::deploy::drift::{self, Difference};
use rowgate::record;
use rowgate_schema_dsl::model::Model;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::TestDatabase;
use crate::support::gateway::{deploy, document};
use crate::understand::understand;

const SCHEMA: &str = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";

fn rules() -> Value {
    json!({
        "authors": { "columns": { "name": { "type": "string", "unique": true } }, "owned": true },
        "rules": {
            "columns": {
                "text": { "type": "string", "max": 280 },
                "score": { "type": "integer", "default": 3 },
                "price": { "type": "decimal", "optional": true },
                "author": { "type": "id", "table": "authors", "onDelete": "cascade" },
            },
            "indexes": { "by_score": ["score"] },
            "uniques": { "one_text": ["text"] },
            "rows": 100,
        },
    })
}

async fn deployed() -> (TestDatabase, Model) {
    let database = TestDatabase::new().await;
    let document = document(rules(), json!({}));
    deploy(&database, &document).await.unwrap();
    (database, understand(&document).1)
}

/// As the gateway itself looks.
async fn found(client: &mut Client, model: &Model) -> Vec<Difference> {
    let role = record::extension(client, model.extension.id).await.unwrap().and_then(|extension| extension.role);
    assert!(role.is_some());
    let transaction = client.transaction().await.unwrap();
    let found = drift::find(&transaction, model, role.as_deref()).await.unwrap();
    // The transaction is still one to go on in.
    transaction.query_one("SELECT 1", &[]).await.unwrap();
    transaction.commit().await.unwrap();
    found
}

#[tokio::test]
async fn what_was_deployed_has_no_drift_and_looking_leaves_nothing() {
    let (database, model) = deployed().await;
    let mut client = database.gateway_client().await;
    assert_eq!(found(&mut client, &model).await, []);
    let left = client.query("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'rowgate\\_drift%'", &[]).await;
    assert!(left.unwrap().is_empty());
    // A definition that grew step by step is no other than one that was built at once.
    let mut tables = rules();
    tables["rules"]["columns"]["kind"] = json!({ "type": "enum", "values": ["a", "b"], "default": "a" });
    tables["rules"]["indexes"]["by_kind"] = json!(["kind", "score"]);
    let grown = document(tables, json!({}));
    deploy(&database, &grown).await.unwrap();
    assert_eq!(found(&mut client, &understand(&grown).1).await, []);
}

#[tokio::test]
async fn every_example_and_case_that_can_be_built_has_no_drift() {
    let database = TestDatabase::new().await;
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("schema-dsl/tests/cases");
    let mut checked = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let name = entry.unwrap().path();
        if !name.file_name().unwrap().to_str().unwrap().starts_with("create_") {
            continue;
        }
        let document: Value = serde_json::from_str(&std::fs::read_to_string(name.join("after.json")).unwrap()).unwrap();
        let model = understand(&document).1;
        let mut client = database.gateway_client().await;
        let transaction = client.transaction().await.unwrap();
        let wanted = drift::wanted(&transaction, &model).await.unwrap();
        let again = drift::wanted(&transaction, &model).await.unwrap();
        assert_eq!(wanted, again, "{}", name.display());
        assert_eq!(drift::compare(&wanted, &again, &model.postgres_schema), []);
        checked += 1;
    }
    assert!(checked > 5, "{checked}");
}

/// What is done by hand, and the codes it is found by.
const BY_HAND: &[(&str, &[&str])] = &[
    ("CREATE INDEX by_hand ON {s}.rules (score)", &["index_added"]),
    ("DROP INDEX {s}.rules_by_score_idx", &["index_missing"]),
    ("DROP INDEX {s}.rules_by_score_idx; CREATE INDEX rules_by_score_idx ON {s}.rules (score)", &["index_changed"]),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{s}.rules_by_score_idx'::regclass",
        &["index_invalid"],
    ),
    ("ALTER TABLE {s}.rules ADD COLUMN extra text", &["column_added"]),
    ("ALTER TABLE {s}.rules DROP COLUMN price", &["column_missing", "constraint_missing"]),
    ("ALTER TABLE {s}.rules ALTER COLUMN score DROP NOT NULL", &["column_changed"]),
    ("ALTER TABLE {s}.rules ALTER COLUMN score SET DEFAULT 4", &["column_changed"]),
    ("ALTER TABLE {s}.rules ALTER COLUMN score DROP DEFAULT", &["column_changed"]),
    ("ALTER TABLE {s}.rules ALTER COLUMN score TYPE integer", &["column_changed"]),
    ("ALTER TABLE {s}.rules ADD CHECK (score > 0)", &["constraint_added"]),
    ("ALTER TABLE {s}.rules DROP CONSTRAINT rules_text_check", &["constraint_missing"]),
    (
        "ALTER TABLE {s}.rules DROP CONSTRAINT rules_author_fkey;
         ALTER TABLE {s}.rules ADD CONSTRAINT rules_author_fkey FOREIGN KEY (scope_key, author)
             REFERENCES {s}.authors (scope_key, id) ON DELETE CASCADE NOT VALID",
        &["constraint_not_validated"],
    ),
    (
        "ALTER TABLE {s}.rules DROP CONSTRAINT rules_author_fkey;
         ALTER TABLE {s}.rules ADD CONSTRAINT rules_author_fkey FOREIGN KEY (scope_key, author)
             REFERENCES {s}.authors (scope_key, id)",
        &["constraint_changed"],
    ),
    ("ALTER TABLE {s}.rules DISABLE TRIGGER USER", &["trigger_disabled", "trigger_disabled"]),
    ("CREATE TABLE {s}.mine (id int PRIMARY KEY, a text UNIQUE)", &["table_added", "rights_changed", "rights_changed"]),
    ("DROP TABLE {s}.rules", &["table_missing"]),
    ("ALTER TABLE {s}.rules RENAME TO rulez", &["table_missing", "table_added"]),
    ("ALTER TABLE {s}.rules SET UNLOGGED", &["table_changed"]),
    ("ALTER TABLE {s}.rules ENABLE ROW LEVEL SECURITY", &["table_changed"]),
    ("CREATE VIEW {s}.seen AS SELECT text FROM {s}.rules", &["object_added"]),
    ("CREATE FUNCTION {s}.one() RETURNS int LANGUAGE sql AS 'SELECT 1'", &["function_added", "rights_changed"]),
    (
        "CREATE OR REPLACE FUNCTION {s}._count_rows() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        &["function_changed"],
    ),
    ("REVOKE SELECT ON {s}.rules FROM rowgate_ext_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f", &["rights_changed"]),
    ("GRANT SELECT ON {s}.rules TO PUBLIC", &["rights_changed"]),
    ("ALTER TABLE {s}.rules OWNER TO postgres", &["rights_changed"]),
    // What the gateway makes while a change is under way, and what has no meaning.
    ("ALTER TABLE {s}.rules ADD COLUMN _score text", &[]),
    ("CREATE TABLE {s}._kept (id int)", &["rights_changed", "rights_changed"]),
    ("ALTER TABLE {s}.rules SET (fillfactor = 70)", &[]),
    ("COMMENT ON TABLE {s}.rules IS 'theirs'", &[]),
];

#[tokio::test]
async fn what_was_done_by_hand_is_found_by_its_name() {
    let (database, model) = deployed().await;
    let mut superuser = database.superuser().await;
    for (statements, codes) in BY_HAND {
        // As the gateway would look, from where what was done by hand can be taken back.
        let transaction = superuser.transaction().await.unwrap();
        transaction
            .batch_execute(&statements.replace("{s}", SCHEMA))
            .await
            .unwrap_or_else(|e| panic!("{statements}: {e:?}"));
        transaction.batch_execute("SET LOCAL SESSION AUTHORIZATION rowgate").await.unwrap();
        let role = "rowgate_ext_0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f";
        let found = drift::find(&transaction, &model, Some(role)).await.unwrap();
        let mut found_codes: Vec<&str> = found.iter().map(|difference| difference.code).collect();
        found_codes.sort_unstable();
        let mut codes = codes.to_vec();
        codes.sort_unstable();
        assert_eq!(found_codes, codes, "{statements}: {found:#?}");
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn what_is_said_to_do_brings_it_back() {
    let (database, model) = deployed().await;
    let superuser = database.superuser().await;
    let mut client = database.gateway_client().await;
    for (statements, codes) in BY_HAND {
        // These say more than a statement.
        let beyond = ["table_missing", "table_changed", "column_changed", "function_changed"];
        if codes.iter().any(|code| beyond.contains(code)) {
            continue;
        }
        superuser.batch_execute(&statements.replace("{s}", SCHEMA)).await.unwrap();
        let mut rounds = 0;
        loop {
            let found = found(&mut client, &model).await;
            if found.is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 4, "{statements}: {found:#?}");
            for difference in &found {
                let (_, rest) = difference.hint.split_once('`').unwrap();
                let (mend, _) = rest.rsplit_once('`').unwrap();
                for statement in mend.split("; ") {
                    // What another statement took away with it is gone.
                    let _ = superuser.execute(statement, &[]).await;
                }
            }
        }
        if codes.is_empty() {
            continue;
        }
        assert!(rounds > 0, "{statements}");
    }
}

#[tokio::test]
async fn a_difference_says_what_is_there_and_what_should_be() {
    let (database, model) = deployed().await;
    let superuser = database.superuser().await;
    superuser
        .batch_execute(&format!(
            "ALTER TABLE {SCHEMA}.rules ALTER COLUMN score DROP NOT NULL; CREATE INDEX by_hand ON {SCHEMA}.rules (score)"
        ))
        .await
        .unwrap();
    let found = found(&mut database.gateway_client().await, &model).await;
    let found: Vec<String> =
        found.iter().map(|of| format!("{} {}: {}\n  {}", of.code, of.place, of.message, of.hint)).collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
    column_changed rules.score: column `score` of table `rules` is `bigint DEFAULT 3`, and should be `bigint NOT NULL DEFAULT 3`
      alter it back, or declare what it is now
    index_added rules.by_hand: index `by_hand` of table `rules` is there and not declared
      declare it, or run `DROP INDEX CONCURRENTLY "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f"."by_hand"`
    "#);
}
