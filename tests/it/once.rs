//! Writes that their callers name by a key: once, however often and however at the same time they
//! are asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate::config::Config;
use rowgate::record;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};

fn definition() -> Value {
    document(
        json!({ "things": { "columns": {
            "name": { "type": "string" },
            "code": { "type": "string", "unique": true, "optional": true },
            "count": { "type": "integer", "default": 0 },
        } } }),
        json!({
            "add": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" }, "code": { "arg": "code" } } },
            "other": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" } } },
            "up": { "kind": "patchRow", "table": "things", "id": { "arg": "id" }, "values": { "count": { "increment": 1 } } },
            "count": { "kind": "countRows", "table": "things" },
        }),
    )
}

async fn gateway(settings: impl FnOnce(&mut Config)) -> TestGateway {
    TestGateway::with(&definition(), settings).await
}

async fn named(test: &TestGateway, function: &str, arguments: &Value, key: &str) -> Answer {
    let request = test.http.post(test.url(function)).bearer_auth(test.token(Role::Owner)).json(arguments);
    answer(request.header("idempotency-key", key)).await
}

async fn batch(test: &TestGateway, batch: &Value, key: &str) -> Answer {
    let request = test.http.post(test.url("").trim_end_matches('/')).bearer_auth(test.token(Role::Owner));
    answer(request.json(batch).header("idempotency-key", key)).await
}

async fn count(test: &TestGateway) -> Value {
    test.call("count", json!({})).await.ok()
}

/// Whether it is the answer of an earlier call.
fn is_replayed(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.headers.get("idempotent-replayed").is_some_and(|value| value == "true")
}

fn invalid() -> (u16, String) {
    (400, "idempotency_key_invalid".to_owned())
}

async fn kept(test: &TestGateway) -> i64 {
    let client = test.database.client().await;
    client.query_one("SELECT count(*) FROM rowgate.kept_answers", &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_write_happens_once() {
    let test = gateway(|_| {}).await;
    let first = named(&test, "add", &json!({ "name": "a" }), "k1").await;
    assert!(!is_replayed(&first));
    assert_eq!(first.headers["etag"], "\"1\"");
    for _ in 0..3 {
        let again = named(&test, "add", &json!({ "name": "a" }), "k1").await;
        assert!(is_replayed(&again));
        assert_eq!((&again.text, &again.headers["etag"]), (&first.text, &first.headers["etag"]));
    }
    assert!(is_replayed(&named(&test, "add", &json!({ "name": "a" }), "\"k1\"").await), "quotes are not the key's");
    assert_eq!(count(&test).await, 1);

    // A key is of one call: of its arguments, and of the version that it knew.
    let reused = named(&test, "add", &json!({ "name": "b" }), "k1").await;
    assert_eq!(reused.problem(), (422, "idempotency_key_reused".to_owned()));
    // Of its function, and of its caller.
    assert!(!is_replayed(&named(&test, "other", &json!({ "name": "a" }), "k1").await));
    let claims = Claims::new(test.install.id, Role::Owner, Some("somebody else".to_owned()));
    let request = test.http.post(test.url("add")).bearer_auth(test.token_of(&claims)).json(&json!({ "name": "a" }));
    assert!(!is_replayed(&answer(request.header("idempotency-key", "k1")).await));
    assert_eq!(count(&test).await, 3);
    // And of its install.
    let other = record::Install { id: Uuid::now_v7(), ..test.install.clone() };
    record::insert_install(&test.database.client().await, &other).await.unwrap();
    test.server.reload().await.unwrap();
    let url = test.url("add").replace(&test.install.id.to_string(), &other.id.to_string());
    let token = test.token_of(&Claims::new(other.id, Role::Owner, Some("user-owner".to_owned())));
    let request = test.http.post(url).bearer_auth(token).json(&json!({ "name": "a" }));
    assert!(!is_replayed(&answer(request.header("idempotency-key", "k1")).await));
    assert_eq!((count(&test).await, kept(&test).await), (json!(3), 4));

    // What fails writes nothing and keeps nothing, so the key is free.
    named(&test, "add", &json!({ "name": "c", "code": "x" }), "k2").await.ok();
    let taken = json!({ "name": "d", "code": "x" });
    for _ in 0..2 {
        assert_eq!(named(&test, "add", &taken, "k3").await.problem(), (409, "unique_conflict".to_owned()));
    }
    assert!(!is_replayed(&named(&test, "add", &json!({ "name": "d" }), "k3").await));
    // A read is as good as its repetition.
    assert!(!is_replayed(&named(&test, "count", &json!({}), "k4").await));
    assert!(!is_replayed(&named(&test, "count", &json!({}), "k4").await));
    assert_eq!(kept(&test).await, 6);

    for wrong in ["", "\"\"", "ä", &"k".repeat(256)] {
        assert_eq!(named(&test, "add", &json!({ "name": "e" }), wrong).await.problem(), invalid(), "{wrong}");
    }
    let request = test.http.post(test.url("add")).bearer_auth(test.token(Role::Owner)).json(&json!({ "name": "e" }));
    let request = request.header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(answer(request).await.problem(), invalid());
    named(&test, "add", &json!({ "name": "e" }), &"k".repeat(255)).await.ok();
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_at_the_same_time_one_happens() {
    let test = gateway(|_| {}).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    for round in 0..4 {
        let (test, arguments, key) = (&test, &json!({ "id": id }), &format!("round {round}"));
        let answers = join_all((0..32).map(|_| named(test, "up", arguments, key))).await;
        let done: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(done.iter().filter(|answer| !is_replayed(answer)).count(), 1);
        assert!(done.iter().all(|answer| answer.text == done[0].text));
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.problem(), (409, "idempotency_key_in_use".to_owned()));
            assert_eq!(answer.headers["retry-after"], "1");
        }
        let last = named(test, "up", arguments, key).await;
        assert!(is_replayed(&last));
        assert_eq!(last.json()["count"], round + 1);
    }
    test.server.stop().await;
}

/// The first is under way for as long as somebody holds its row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_under_way_is_told_of() {
    let test = gateway(|_| {}).await;
    let id = test.call("add", json!({ "name": "a" })).await.ok()["id"].clone();
    let snapshot = test.server.gateway.snapshot();
    let schema = snapshot.extensions[&test.extension_id].model.postgres_schema.clone();
    let holder = test.database.superuser().await;
    holder.batch_execute(&format!("BEGIN; SELECT FROM {schema}.things FOR UPDATE")).await.unwrap();
    let arguments = json!({ "id": id });
    let waits = async {
        // Until the first waits for the row, and so has claimed its key.
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let watcher = test.database.superuser().await;
        while watcher.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        let second = named(&test, "up", &arguments, "k").await;
        assert_eq!(second.problem(), (409, "idempotency_key_in_use".to_owned()));
        holder.batch_execute("ROLLBACK").await.unwrap();
    };
    let (first, ()) = tokio::join!(named(&test, "up", &arguments, "k"), waits);
    assert!(!is_replayed(&first));
    assert!(is_replayed(&named(&test, "up", &arguments, "k").await));
    test.server.stop().await;
}

/// Neither lost nor double: the answer is kept where, and only where, the write is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lost_on_the_way_does_not_double_a_write() {
    let test = gateway(|_| {}).await;
    let arguments = json!({ "name": "a" });
    let admin = test.database.superuser().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'rowgate'";
    for round in 0..12 {
        let key = format!("round {round}");
        let killing = async {
            for _ in 0..round % 4 {
                tokio::task::yield_now().await;
            }
            admin.execute(kill, &[]).await.unwrap();
        };
        let (_, ()) = tokio::join!(named(&test, "add", &arguments, &key), killing);
        // Whatever became of that one, the caller asks until it knows.
        loop {
            let answer = named(&test, "add", &arguments, &key).await;
            if answer.status == 200 {
                break;
            }
            assert!(matches!(answer.status, 503 | 409), "{}", answer.text);
        }
    }
    let rows = loop {
        let answer = test.call("count", json!({})).await;
        if answer.status == 200 {
            break answer.json();
        }
    };
    assert_eq!((rows, kept(&test).await), (json!(12), 12));
    test.server.stop().await;
}

/// Its write is made and its answer not yet kept when the caller, or the connection, goes away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_between_write_and_answer_has_not_happened() {
    let test = gateway(|_| {}).await;
    let arguments = json!({ "name": "a" });
    let (holder, admin) = (test.database.superuser().await, test.database.superuser().await);
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for (key, caller_leaves) in [("k1", true), ("k2", false)] {
        let before = count(&test).await;
        // What is kept can be read meanwhile, and nothing can be added.
        holder.batch_execute("BEGIN; LOCK TABLE rowgate.kept_answers IN EXCLUSIVE MODE").await.unwrap();
        let is_waiting = async {
            loop {
                if let [row] = &admin.query(waiting, &[]).await.unwrap()[..] {
                    break row.get::<_, i32>(0);
                }
                tokio::task::yield_now().await;
            }
        };
        if caller_leaves {
            tokio::select! {
                _ = named(&test, "add", &arguments, key) => unreachable!("its answer cannot be kept"),
                _ = is_waiting => {}
            }
        } else {
            let killing =
                async { admin.execute("SELECT pg_terminate_backend($1)", &[&is_waiting.await]).await.unwrap() };
            let (first, _) = tokio::join!(named(&test, "add", &arguments, key), async {
                killing.await;
                holder.batch_execute("ROLLBACK").await.unwrap();
            });
            // Nothing was committed, so the gateway has done it once more by itself.
            assert!(!is_replayed(&first));
        }
        holder.batch_execute("ROLLBACK").await.unwrap();
        let answer = loop {
            let answer = named(&test, "add", &arguments, key).await;
            if answer.status != 409 {
                break answer;
            }
        };
        assert_eq!(is_replayed(&answer), !caller_leaves);
        assert!(is_replayed(&named(&test, "add", &arguments, key).await));
        assert_eq!(count(&test).await.as_i64(), before.as_i64().map(|count| count + 1));
    }
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_batch_happens_once_and_whole() {
    let test = gateway(|_| {}).await;
    let calls = json!([{ "function": "add", "args": { "name": "a" } }, { "function": "add", "args": { "name": "b" } }, { "function": "count" }]);
    let whole = json!({ "atomic": true, "calls": calls });
    let first = batch(&test, &whole, "k").await;
    assert!(!is_replayed(&first));
    assert_eq!(first.json()[2]["body"], 2);
    let again = batch(&test, &whole, "k").await;
    assert!(is_replayed(&again));
    assert_eq!(again.text, first.text);
    assert_eq!(count(&test).await, 2);
    let other = json!({ "atomic": true, "calls": [{ "function": "count" }] });
    let entries = batch(&test, &other, "k").await.ok();
    assert_eq!(entries[0]["body"]["code"], "idempotency_key_reused");
    // One that failed keeps nothing.
    let failing = json!({ "atomic": true, "calls": [
        { "function": "add", "args": { "name": "c" } }, { "function": "up", "args": { "id": Uuid::now_v7() } },
    ] });
    for _ in 0..2 {
        assert_eq!(batch(&test, &failing, "k2").await.ok()[1]["status"], 404);
    }
    assert_eq!((count(&test).await, kept(&test).await), (json!(2), 1));
    assert_eq!(batch(&test, &calls, "k3").await.problem(), invalid(), "each is a transaction of its own");
    assert!(!is_replayed(&batch(&test, &json!({ "atomic": true, "calls": [] }), "k4").await));
    test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_kept_for_a_while_and_within_bounds() {
    let test = gateway(|config| {
        config.http.idempotency_kept_s = 3_600;
        config.http.idempotency_answer_bytes_max = 400;
    })
    .await;
    let long = json!({ "name": "n".repeat(400) });
    assert_eq!(named(&test, "add", &long, "k").await.problem(), (413, "idempotency_answer_too_large".to_owned()));
    assert_eq!((count(&test).await, kept(&test).await), (json!(0), 0), "nothing is written that cannot be kept");
    test.call("add", long).await.ok();

    let arguments = json!({ "name": "a" });
    named(&test, "add", &arguments, "k").await.ok();
    let client = test.database.client().await;
    let left = "SELECT extract(epoch FROM expires_at - now())::float8 FROM rowgate.kept_answers";
    let left_s: f64 = client.query_one(left, &[]).await.unwrap().get(0);
    assert!(left_s > 3_500.0 && left_s <= 3_600.0, "{left_s}");
    // What has expired is as if it had not been, whether it was swept or not.
    let expire = "UPDATE rowgate.kept_answers SET expires_at = now() - interval '1 s'";
    client.execute(expire, &[]).await.unwrap();
    assert!(!is_replayed(&named(&test, "add", &arguments, "k").await));
    assert!(is_replayed(&named(&test, "add", &arguments, "k").await));
    named(&test, "add", &arguments, "k2").await.ok();
    assert_eq!((count(&test).await, record::answers::sweep(&client).await.unwrap()), (json!(4), 0));
    client.execute(&format!("{expire} WHERE payload IS NOT NULL"), &[]).await.unwrap();
    assert_eq!((record::answers::sweep(&client).await.unwrap(), kept(&test).await), (2, 0));
    test.server.stop().await;
}
