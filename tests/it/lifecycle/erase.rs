//! What is erased, exactly, and what stays.

use std::cell::Cell;
use std::time::Duration;

use rowgate::lifecycle::erase::round;
use rowgate::record::Install;
use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::lifecycle::Operated;
use crate::support::gateway::document;

const SCHEMA: &str = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";

/// Every storage, references in a circle and to the same table, quotas of both kinds.
fn tables() -> Value {
    let mut document = document(
        json!({
            "people": { "columns": {
                "name": { "type": "string" },
                "chief": { "type": "id", "table": "people", "optional": true },
                "home": { "type": "id", "table": "homes", "optional": true },
            }, "rows": 100_000 },
            "homes": { "columns": { "keeper": { "type": "id", "table": "people" } } },
            "chairs": { "columns": { "home": { "type": "id", "table": "homes", "onDelete": "cascade" } } },
            "left": { "columns": { "right": { "type": "id", "table": "right" } } },
            "right": { "columns": { "left": { "type": "id", "table": "left" } } },
            "shelves": { "columns": { "label": { "type": "string" } }, "storage": "account", "rows": 100 },
            "layers": { "columns": { "label": { "type": "string" } }, "storage": "overlay" },
            "news": { "columns": { "label": { "type": "string" } }, "storage": "global" },
        }),
        json!({}),
    );
    document["extension"]["limits"] = json!({ "bytes": 100_000_000 });
    document
}

const TABLES: [&str; 8] = ["people", "homes", "chairs", "left", "right", "shelves", "layers", "news"];

/// Gives `install` 2,500 people, each a home, a chair and the chief before; one pair; and rows that are shared.
async fn fill(client: &Client, install: &Install) {
    let (id, account, extension) = (install.id, install.account_id, install.extension_id);
    let overlay = install.overlay_id.unwrap();
    client
        .batch_execute(&format!(
            "SET search_path = {SCHEMA};
             CREATE TEMP TABLE n AS SELECT n, gen_random_uuid() AS person, gen_random_uuid() AS home FROM generate_series(1, 2500) n;
             INSERT INTO people (scope_key, id, name) SELECT '{id}', person, 'p' || n FROM n;
             INSERT INTO homes (scope_key, id, keeper) SELECT '{id}', home, person FROM n;
             UPDATE people p SET home = n.home, chief = m.person FROM n, n m WHERE p.id = n.person AND m.n = greatest(n.n - 1, 1);
             INSERT INTO chairs (scope_key, id, home) SELECT '{id}', gen_random_uuid(), home FROM n;
             WITH a AS (SELECT gen_random_uuid() AS l, gen_random_uuid() AS r),
                  l AS (INSERT INTO \"left\" (scope_key, id, \"right\") SELECT '{id}', l, r FROM a)
             INSERT INTO \"right\" (scope_key, id, \"left\") SELECT '{id}', r, l FROM a;
             INSERT INTO shelves (scope_key, id, label) VALUES ('{account}', gen_random_uuid(), 'of the account');
             INSERT INTO layers (scope_key, id, label) VALUES ('{overlay}', gen_random_uuid(), 'of the overlay');
             INSERT INTO news (scope_key, id, label) VALUES ('{extension}', gen_random_uuid(), 'of all');
             DROP TABLE n;
             INSERT INTO rowgate.kv VALUES ('{id}', 'a', '1', 1), ('{id}', 'b', '2', 1);
             INSERT INTO rowgate.secrets (extension_id, install_id, name, key_mark, sealed) VALUES ('{extension}', '{id}', 'S', '', '');
             INSERT INTO rowgate.config_values (extension_id, install_id, name, value) VALUES ('{extension}', '{id}', 'C', '1');
             INSERT INTO rowgate.api_keys (id, hash, install_id, role, name)
             VALUES (gen_random_uuid(), sha256('{id}'::bytea), '{id}', 'owner', 'k');
             INSERT INTO rowgate.handler_lines (install_id, at, function, level, message)
             SELECT '{id}', now(), 'f', 'info', 'm' FROM generate_series(1, 1500);
             INSERT INTO rowgate.kept_answers (key, payload, answer, expires_at, install_id)
             VALUES (sha256('{id} key'), sha256(''), '', now() + interval '1 day', '{id}');
             RESET search_path;"
        ))
        .await
        .unwrap();
}

/// How many rows of each table there are, then those of the counts, then the gateway's own.
async fn counted(client: &Client) -> Vec<i64> {
    let mut counts = Vec::new();
    let own = ["installs", "kv", "secrets", "config_values", "api_keys", "handler_lines", "kept_answers"];
    let tables = TABLES.iter().chain(&["_rows", "_bytes"]).map(|table| format!("{SCHEMA}.\"{table}\""));
    for table in tables.chain(own.iter().map(|table| format!("rowgate.{table}"))) {
        counts.push(client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0));
    }
    counts
}

async fn is_due(client: &Client, id: Uuid) {
    let sql = "UPDATE rowgate.installs SET uninstalled_at = now() - interval '31 days', uninstalled_by = 'bob',
                      erase_at = now() - interval '1 day' WHERE id = $1";
    assert_eq!(client.execute(sql, &[&id]).await.unwrap(), 1);
}

async fn receipt(operated: &Operated, id: Uuid) -> Value {
    operated.ask("GET", &format!("receipts?install_id={id}"), None).await.ok()[0].clone()
}

pub(super) async fn until_erased(operated: &Operated, id: Uuid) -> Value {
    for _ in 0..600 {
        let receipt = receipt(operated, id).await;
        if receipt["finished_at"].is_string() {
            return receipt;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the install {id} is not erased");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_of_an_install_goes_and_nothing_of_another() {
    let operated = Operated::new(&tables()).await;
    let client = operated.client().await;
    let first = operated.gateway.install.clone();
    let second = operated.add(first.account_id, first.overlay_id).await;
    let empty = counted(&client).await;
    fill(&client, &second).await;
    let of_one = counted(&client).await;
    fill(&client, &first).await;

    is_due(&client, first.id).await;
    assert_eq!(round(&operated.gateway.server.pool, || false).await.unwrap(), 1);
    let told = receipt(&operated, first.id).await;
    assert_eq!(told["rows"], json!({ "people": 2500, "homes": 2500, "chairs": 2500, "left": 1, "right": 1 }), "{told}");
    assert_eq!(
        told["own"],
        json!({ "lines": 1500, "kept_answers": 1, "kv": 2, "secrets": 1, "config": 1, "api_keys": 1 })
    );
    assert_eq!((&told["shared"], &told["asked_by"]), (&json!(["overlay", "account", "global"]), &json!("bob")));
    // What they share stays, and all that is the other's.
    let mut expected = of_one.clone();
    for shared in &mut expected[5..8] {
        *shared *= 2;
    }
    expected[10] = 1;
    assert_eq!(with_stripes_left_out(counted(&client).await), with_stripes_left_out(expected));

    // The last one takes what they shared; at once, by an operator's word.
    let path = format!("installs/{}/uninstall", second.id);
    operated.ask("POST", &path, Some(json!({ "now": true }))).await.ok();
    let told = until_erased(&operated, second.id).await;
    assert_eq!(
        (&told["rows"]["shelves"], &told["rows"]["layers"], &told["rows"]["news"]),
        (&json!(2), &json!(2), &json!(2))
    );
    assert_eq!((&told["shared"], &told["asked_by"]), (&json!([]), &json!("alice")));
    let mut expected = empty;
    expected[10] = 0;
    assert_eq!(counted(&client).await, expected);
    operated.gateway.server.stop().await;
}

/// How many rows make up a count of bytes depends on the connections that wrote.
fn with_stripes_left_out(mut counts: Vec<i64>) -> Vec<i64> {
    counts[9] = 0;
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_erasure_goes_on_and_counts_nothing_twice() {
    let operated = Operated::new(&tables()).await;
    let client = operated.client().await;
    let install = operated.gateway.install.clone();
    fill(&client, &install).await;
    is_due(&client, install.id).await;
    // Each turn begins anew, as after a crash, and gets as far as there is patience; two race at the end.
    let pool = &operated.gateway.server.pool;
    for patience in 2..12 {
        let turns = Cell::new(0);
        let is_stopping = || turns.replace(turns.get() + 1) >= patience;
        assert_eq!(round(pool, is_stopping).await.unwrap(), 0, "{patience} turns are not enough");
        assert_eq!(operated.state(install.id).await["state"], "erasing");
        let back = operated.ask("POST", &format!("installs/{}/reinstall", install.id), None).await;
        assert_eq!(back.problem(), (409, "state_conflict".to_owned()));
    }
    while receipt(&operated, install.id).await["finished_at"].is_null() {
        let (a, b) = futures_util::join!(round(pool, || false), round(pool, || false));
        a.unwrap();
        b.unwrap();
    }
    let told = receipt(&operated, install.id).await;
    let rows = json!({
        "people": 2500, "homes": 2500, "chairs": 2500, "left": 1, "right": 1, "shelves": 1, "layers": 1, "news": 1,
    });
    assert_eq!(told["rows"], rows);
    assert_eq!(told["own"]["lines"], 1500);
    assert_eq!(counted(&client).await, [0; 17]);
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_meanwhile_is_looked_for_once_more() {
    let operated = Operated::new(&tables()).await;
    let client = operated.client().await;
    let id = operated.install_id();
    let path = format!("installs/{id}/uninstall");
    operated.ask("POST", &path, Some(json!({ "now": true }))).await.ok();
    until_erased(&operated, id).await;
    // By a gateway that had not heard of it.
    let sql = format!("INSERT INTO {SCHEMA}.people (scope_key, id, name) VALUES ('{id}', gen_random_uuid(), 'late')");
    client.batch_execute(&sql).await.unwrap();
    let pool = &operated.gateway.server.pool;
    assert_eq!(round(pool, || false).await.unwrap(), 0, "not yet");
    let later = "UPDATE rowgate.receipts SET finished_at = finished_at - interval '3 minutes'";
    client.batch_execute(later).await.unwrap();
    assert_eq!(round(pool, || false).await.unwrap(), 1);
    assert_eq!(receipt(&operated, id).await["rows"]["people"], 1);
    assert_eq!(counted(&client).await, [0; 17]);
    assert_eq!(round(pool, || false).await.unwrap(), 0, "it is settled");
    operated.gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_be_erased_keeps_no_other_waiting() {
    let operated = Operated::new(&tables()).await;
    let client = operated.client().await;
    let (first, second) = (operated.gateway.install.clone(), operated.add(Uuid::now_v7(), Some(Uuid::now_v7())).await);
    fill(&client, &first).await;
    fill(&client, &second).await;
    is_due(&client, first.id).await;
    is_due(&client, second.id).await;
    client
        .batch_execute(&format!(
            "UPDATE rowgate.installs SET erase_at = erase_at - interval '1 day' WHERE id = '{}';
             CREATE FUNCTION public.no() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN IF OLD.scope_key = '{}' THEN RAISE 'no'; END IF; RETURN OLD; END $$;
             CREATE TRIGGER no BEFORE DELETE ON {SCHEMA}.homes FOR EACH ROW EXECUTE FUNCTION public.no();",
            first.id, first.id
        ))
        .await
        .unwrap();
    let error = round(&operated.gateway.server.pool, || false).await.unwrap_err();
    assert!(error.to_string().contains("Postgres refused to erase"), "{error}");
    assert!(receipt(&operated, first.id).await["finished_at"].is_null());
    let told = receipt(&operated, second.id).await;
    if !told["finished_at"].is_string() {
        let again = round(&operated.gateway.server.pool, || false).await;
        panic!("{told}: {error}, and once more {again:?}");
    }
    client.batch_execute("DROP FUNCTION public.no() CASCADE").await.unwrap();
    assert_eq!(round(&operated.gateway.server.pool, || false).await.unwrap(), 1);
    let told = receipt(&operated, first.id).await;
    assert_eq!((&told["rows"]["homes"], &told["rows"]["chairs"]), (&json!(2500), &json!(2500)));
    assert_eq!(counted(&client).await, [0; 17]);
    operated.gateway.server.stop().await;
}
