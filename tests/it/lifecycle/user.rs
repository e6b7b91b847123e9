//! What one user owns goes, and nothing of another.

use serde_json::{Value, json};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::lifecycle::Operated;
use crate::support::gateway::document;

const SCHEMA: &str = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";

fn tables() -> Value {
    document(
        json!({
            "posts": { "columns": { "text": { "type": "string" }, "reply": { "type": "id", "table": "posts", "optional": true } }, "owned": true, "rows": 10_000 },
            "likes": { "columns": { "post": { "type": "id", "table": "posts", "onDelete": "cascade" } }, "owned": true },
            "pins": { "columns": { "post": { "type": "id", "table": "posts" } } },
            "badges": { "columns": { "text": { "type": "string" } }, "owned": true, "storage": "account" },
            "plain": { "columns": { "text": { "type": "string" } } },
        }),
        json!({}),
    )
}

/// 1,100 posts and likes of alice, 10 of bob, who has pinned one of hers; and a badge of each.
async fn fill(client: &Client, scope: Uuid, account: Uuid) {
    client
        .batch_execute(&format!(
            "SET search_path = {SCHEMA};
             INSERT INTO posts (scope_key, id, owner_id, text)
             SELECT '{scope}', gen_random_uuid(), CASE WHEN n <= 10 THEN 'bob' ELSE 'alice' END, 'p' || n FROM generate_series(1, 1110) n;
             UPDATE posts SET reply = (SELECT id FROM posts WHERE scope_key = '{scope}' AND text = 'p1000')
              WHERE scope_key = '{scope}' AND text IN ('p1001', 'p1002');
             INSERT INTO likes (scope_key, id, owner_id, post) SELECT '{scope}', gen_random_uuid(), owner_id, id FROM posts WHERE scope_key = '{scope}';
             INSERT INTO pins (scope_key, id, post) SELECT '{scope}', gen_random_uuid(), id FROM posts WHERE scope_key = '{scope}' AND text = 'p500';
             INSERT INTO badges (scope_key, id, owner_id, text) VALUES ('{account}', gen_random_uuid(), 'alice', 'a'), ('{account}', gen_random_uuid(), 'bob', 'b');
             RESET search_path;"
        ))
        .await
        .unwrap();
}

/// Posts, likes and badges of a user.
async fn owned(client: &Client, user: &str) -> [i64; 3] {
    let mut counts = [0; 3];
    for (count, table) in counts.iter_mut().zip(["posts", "likes", "badges"]) {
        let sql = format!("SELECT count(*) FROM {SCHEMA}.{table} WHERE owner_id = $1");
        *count = client.query_one(&sql, &[&user]).await.unwrap().get(0);
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_owns_is_counted_and_then_erased_with_a_receipt() {
    let operated = Operated::new(&tables()).await;
    let client = operated.client().await;
    let first = operated.gateway.install.clone();
    let second = operated.add(first.account_id, None).await;
    fill(&client, first.id, first.account_id).await;
    fill(&client, second.id, second.account_id).await;
    let erase = async |body: Value| operated.ask("POST", "users/erase", Some(body)).await;

    let dry = erase(json!({ "user_id": "alice" })).await.ok();
    assert_eq!(dry[0]["rows"], json!({ "posts": 2200, "likes": 2200, "badges": 2 }), "{dry}");
    assert_eq!((&dry[0]["receipt_id"], &dry[0]["extension_name"]), (&Value::Null, &json!("test")));
    assert_eq!(owned(&client, "alice").await, [2200, 2200, 2]);
    assert_eq!(operated.ask("GET", "receipts", None).await.ok(), json!([]));

    // Of one install: what it sees. The post that is pinned stays, and is told.
    let erased = erase(json!({ "user_id": "alice", "install_id": first.id, "dry_run": false })).await.ok();
    assert_eq!(erased[0]["rows"], json!({ "posts": 1099, "likes": 1100, "badges": 2 }), "{erased}");
    assert_eq!(erased[0]["referred"], json!({ "posts": 1 }));
    assert_eq!(owned(&client, "alice").await, [1101, 1100, 0]);
    assert_eq!(owned(&client, "bob").await, [20, 20, 2]);
    let receipt = operated.ask("GET", "receipts", None).await.ok()[0].clone();
    assert_eq!((&receipt["kind"], &receipt["asked_by"]), (&json!("user"), &json!("alice")));
    assert_eq!((&receipt["id"], &receipt["rows"]), (&erased[0]["receipt_id"], &erased[0]["rows"]));
    assert_eq!((&receipt["own"], receipt["finished_at"].is_string()), (&json!({ "referred_rows_kept": 1 }), true));
    assert!(!receipt.to_string().replace("\"asked_by\":\"alice\"", "").contains("alice"), "{receipt}");

    let whole = json!({ "user_id": "alice", "extension_id": operated.gateway.extension_id, "dry_run": false });
    assert_eq!(erase(whole.clone()).await.ok()[0]["rows"], json!({ "posts": 1099, "likes": 1100 }));
    client.batch_execute(&format!("DELETE FROM {SCHEMA}.pins")).await.unwrap();
    assert_eq!(erase(whole.clone()).await.ok()[0]["rows"], json!({ "posts": 2 }));
    assert_eq!(erase(whole).await.ok(), json!([]));
    assert_eq!((owned(&client, "alice").await, owned(&client, "bob").await), ([0, 0, 0], [20, 20, 2]));

    for (body, status) in [
        (json!({}), 422),
        (json!({ "user_id": "" }), 422),
        (json!({ "user_id": "alice", "dry": true }), 422),
        (json!({ "user_id": "alice", "extension_id": Uuid::now_v7() }), 422),
        (json!({ "user_id": "alice", "install_id": Uuid::now_v7() }), 404),
        (json!({ "user_id": "alice", "install_id": first.id, "extension_id": first.extension_id }), 422),
    ] {
        assert_eq!(erase(body.clone()).await.problem().0, status, "{body}");
    }
    operated.gateway.server.stop().await;
}
