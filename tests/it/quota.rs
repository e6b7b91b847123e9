//! How many rows a scope may hold: exact whoever writes at once, and given back by every delete.

use futures_util::future::join_all;
use rowgate::plan::cost::Bound;
use rowgate::record;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, deploy, document};

fn tables(votes_max: Option<u32>) -> Value {
    let mut tables = json!({
        "rules": { "columns": { "text": { "type": "string" } } },
        "votes": {
            "columns": { "rule": { "type": "id", "table": "rules", "onDelete": "cascade" }, "who": { "type": "string" }, "n": { "type": "integer", "default": 0 } },
            "uniques": { "one_vote": ["rule", "who"] },
        },
    });
    if let Some(rows) = votes_max {
        tables["votes"]["rows"] = json!(rows);
    }
    tables
}

fn poll(votes_max: Option<u32>) -> Value {
    let values = json!({ "rule": { "arg": "rule" }, "who": { "arg": "who" }, "n": { "arg": "n" } });
    document(
        tables(votes_max),
        json!({
            "addRule": { "kind": "insertRow", "table": "rules", "values": { "text": { "arg": "text" } } },
            "dropRule": { "kind": "deleteRow", "table": "rules", "id": { "arg": "id" } },
            "vote": { "kind": "insertRow", "table": "votes", "values": values },
            "voteOnce": { "kind": "insertRow", "table": "votes", "onConflict": "ignore", "values": values },
            "setVote": { "kind": "upsertRow", "table": "votes", "unique": "one_vote", "values": values },
            "editVote": { "kind": "patchRow", "table": "votes", "id": { "arg": "id" }, "values": { "n": { "arg": "n" } } },
            "dropVote": { "kind": "deleteRow", "table": "votes", "id": { "arg": "id" } },
            "votes": { "kind": "queryRows", "table": "votes" },
            "countVotes": { "kind": "countRows", "table": "votes", "scan": "allowed" },
        }),
    )
}

async fn rule(gateway: &TestGateway) -> Value {
    gateway.call("addRule", json!({ "text": "be kind" })).await.ok()["id"].clone()
}

async fn vote(gateway: &TestGateway, function: &str, rule: &Value, who: usize) -> Answer {
    gateway.call(function, json!({ "rule": rule, "who": format!("user {who}") })).await
}

const SPENT: (u16, &str) = (507, "quota_rows_exceeded");

#[track_caller]
fn is_spent(answer: &Answer) {
    let (status, code) = answer.problem();
    assert_eq!((status, code.as_str()), SPENT, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_fills_a_scope_to_its_last_row() {
    let gateway = &TestGateway::with(&poll(Some(100)), |config| config.database.write_lanes = 8).await;
    let rule = &rule(gateway).await;
    let answers = join_all((0..64).map(|client| async move {
        let mut answers = Vec::new();
        for round in 0..3 {
            answers.push(vote(gateway, "vote", rule, client * 3 + round).await);
        }
        answers
    }))
    .await;
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(taken, 100);
    answers.iter().filter(|answer| answer.status != 200).for_each(is_spent);
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_scope_still_does() {
    let gateway = &TestGateway::new(&poll(Some(2))).await;
    let first = rule(gateway).await;
    let row = vote(gateway, "vote", &first, 1).await.ok();
    // A conflict takes no room, whatever is done about it.
    for _ in 0..4 {
        assert_eq!(vote(gateway, "voteOnce", &first, 1).await.ok()["id"], row["id"]);
        assert_eq!(vote(gateway, "vote", &first, 1).await.problem().1, "unique_conflict");
        vote(gateway, "setVote", &first, 1).await.ok();
    }
    vote(gateway, "voteOnce", &first, 2).await.ok();
    let refused = vote(gateway, "voteOnce", &first, 3).await;
    is_spent(&refused);
    let detail = "table `votes` has no room for more: the install has a quota of 2 rows there; delete some first";
    assert_eq!(refused.json()["detail"], detail);
    is_spent(&vote(gateway, "setVote", &first, 3).await);
    is_spent(&vote(gateway, "vote", &first, 3).await);
    // Those that are there are read, changed and deleted, and a table without a quota has room.
    assert_eq!(vote(gateway, "setVote", &first, 1).await.ok()["id"], row["id"]);
    assert_eq!(gateway.call("editVote", json!({ "id": row["id"], "n": 7 })).await.ok()["n"], json!(7));
    assert_eq!(gateway.call("votes", json!({})).await.ok().as_array().unwrap().len(), 2);
    let second = rule(gateway).await;
    gateway.call("dropVote", json!({ "id": row["id"] })).await.ok();
    vote(gateway, "vote", &second, 3).await.ok();
    is_spent(&vote(gateway, "vote", &second, 4).await);
    // A cascade gives the room of what it takes along.
    gateway.call("dropRule", json!({ "id": first })).await.ok();
    vote(gateway, "vote", &second, 4).await.ok();
    is_spent(&vote(gateway, "vote", &second, 5).await);
    gateway.call("dropRule", json!({ "id": second })).await.ok();
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(0));
    let third = rule(gateway).await;
    for who in 0..2 {
        vote(gateway, "vote", &third, who).await.ok();
    }
    is_spent(&vote(gateway, "vote", &third, 2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_install_has_its_own() {
    let gateway = TestGateway::new(&poll(Some(1))).await;
    let other = record::Install { id: Uuid::now_v7(), ..gateway.install.clone() };
    record::insert_install(&gateway.database.client().await, &other).await.unwrap();
    gateway.server.reload().await.unwrap();
    let first = rule(&gateway).await;
    vote(&gateway, "vote", &first, 1).await.ok();
    is_spent(&vote(&gateway, "vote", &first, 2).await);
    let token = gateway.token_of(&rowgate::auth::token::Claims::new(other.id, Role::Owner, None));
    let url = |function: &str| gateway.url(function).replace(&gateway.install.id.to_string(), &other.id.to_string());
    let call = |function: &str, arguments: Value| gateway.http.post(url(function)).bearer_auth(&token).json(&arguments);
    let theirs = answer(call("addRule", json!({ "text": "x" }))).await.ok();
    answer(call("vote", json!({ "rule": theirs["id"], "who": "a" }))).await.ok();
    is_spent(&answer(call("vote", json!({ "rule": theirs["id"], "who": "b" }))).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_comes_changes_and_goes() {
    let gateway = &TestGateway::new(&poll(None)).await;
    let first = rule(gateway).await;
    for who in 0..5 {
        vote(gateway, "vote", &first, who).await.ok();
    }
    let becomes = async |votes_max| {
        deploy(&gateway.database, &poll(votes_max)).await.unwrap();
        gateway.server.reload().await.unwrap();
    };
    // The rows that are there count from the first moment.
    becomes(Some(6)).await;
    vote(gateway, "vote", &first, 5).await.ok();
    is_spent(&vote(gateway, "vote", &first, 6).await);
    becomes(Some(7)).await;
    vote(gateway, "vote", &first, 6).await.ok();
    is_spent(&vote(gateway, "vote", &first, 7).await);
    // Rows beyond a lower quota stay.
    becomes(Some(2)).await;
    is_spent(&vote(gateway, "vote", &first, 7).await);
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(7));
    becomes(None).await;
    vote(gateway, "vote", &first, 7).await.ok();
    becomes(Some(9)).await;
    vote(gateway, "vote", &first, 8).await.ok();
    is_spent(&vote(gateway, "vote", &first, 9).await);
}

#[tokio::test]
async fn a_small_quota_bounds_a_scan() {
    use rowgate::deploy::certify::{certify, refusals};
    use rowgate_schema_dsl::{check::check, read::read};

    let database = crate::support::TestDatabase::new().await;
    let mut client = database.client().await;
    for (rows, is_bounded) in [(Some(100_000), true), (Some(100_001), false), (None, false)] {
        let functions = json!({
            "count": { "kind": "countRows", "table": "votes" },
            "sorted": { "kind": "queryRows", "table": "votes", "orderBy": ["n"] },
        });
        let (definition, complaints) = read(&document(tables(rows), functions));
        assert_eq!(complaints, []);
        let model = check(&definition).unwrap();
        let certified = certify(&mut client, &model).await.unwrap();
        let bound = &certified[0].certificate.statements[0].reads[0].bound;
        assert_eq!(*bound == Bound::Quota { rows: 100_000 }, is_bounded, "{bound:?}");
        let refused = refusals(&model, &certified, &std::collections::BTreeSet::new());
        assert_eq!(refused.is_empty(), is_bounded, "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_has_a_largest_length() {
    let gateway = TestGateway::with(&poll(None), |config| config.http.answer_bytes_max = 1_000).await;
    let rule = rule(&gateway).await;
    let long = "x".repeat(2_000);
    let added = gateway.call("vote", json!({ "rule": rule, "who": long })).await.ok();
    assert_eq!(added["who"], json!(long), "what was written is answered");
    assert_eq!(gateway.call("votes", json!({})).await.problem(), (413, "answer_too_large".to_owned()));
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(1));
    gateway.call("dropVote", json!({ "id": added["id"] })).await.ok();
    assert_eq!(gateway.call("votes", json!({})).await.ok(), json!([]));
}
