//! Every way of writing, end to end, also by many callers at once.

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};

use crate::support::gateway::{Answer, TestGateway, answer, document};

fn poll() -> Value {
    let open = json!({ "column": "open", "op": "=", "value": true });
    document(
        json!({
            "rules": {
                "columns": {
                    "text": { "type": "string", "max": 280 },
                    "score": { "type": "integer", "default": 0 },
                    "price": { "type": "decimal", "optional": true },
                    "kind": { "type": "enum", "values": ["fun", "serious"], "default": "fun" },
                },
                "uniques": { "one_text": ["text"] },
            },
            "votes": {
                "columns": {
                    "rule": { "type": "id", "table": "rules", "onDelete": "cascade" },
                    "user_id": { "type": "string" },
                },
                "uniques": { "one_vote": ["rule", "user_id"] },
            },
            "polls": { "columns": {
                "title": { "type": "string", "unique": true }, "open": { "type": "boolean", "optional": true }, "size": { "type": "integer", "default": 0 },
            } },
            "ballots": {
                "columns": {
                    "poll": { "type": "id", "table": "polls" }, "user_id": { "type": "string" },
                    "other": { "type": "id", "table": "polls", "optional": true },
                },
                "uniques": { "one_ballot": ["poll", "user_id"] },
            },
            "lists": {
                "columns": {
                    "tags": { "type": "array", "items": { "type": "string", "max": 5 }, "max": 3, "optional": true },
                    "prices": { "type": "array", "items": { "type": "decimal" }, "default": [] },
                },
            },
            "clicks": {
                "columns": { "user_id": { "type": "string", "unique": true }, "count": { "type": "integer", "default": 10 } },
            },
        }),
        json!({
            "addRule": { "kind": "insertRow", "table": "rules", "values": { "text": { "arg": "text" } } },
            "setRule": {
                "kind": "upsertRow", "table": "rules", "unique": "one_text",
                "values": { "text": { "arg": "text" }, "score": { "arg": "score" }, "price": { "arg": "price" }, "kind": { "arg": "kind" } },
            },
            "getRule": { "kind": "getRow", "table": "rules", "id": { "arg": "id" } },
            "countVotes": { "kind": "countRows", "table": "votes" },
            "upvote": { "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "score": { "increment": 1 } } },
            "vote": {
                "kind": "insertRow", "table": "votes", "onConflict": "ignore", "access": "viewer",
                "values": { "rule": { "arg": "rule" }, "user_id": { "identity": "userId" } },
            },
            "addPoll": { "kind": "insertRow", "table": "polls", "values": { "title": { "arg": "title" }, "open": { "arg": "open" } } },
            "setOpen": { "kind": "patchRow", "table": "polls", "id": { "arg": "id" }, "values": { "open": { "arg": "open" } } },
            "rename": { "kind": "patchRow", "table": "polls", "id": { "arg": "id" }, "values": { "title": { "arg": "title" } }, "when": open },
            "grow": {
                "kind": "patchRow", "table": "polls", "id": { "arg": "id" }, "values": { "size": { "increment": 1 } },
                "when": { "column": "size", "op": "<", "value": { "arg": "max" } },
            },
            "resize": { "kind": "patchRows", "table": "polls", "filter": [], "scan": "allowed", "maxRows": 2, "values": { "size": 9 }, "when": open },
            "drop": { "kind": "deleteRow", "table": "polls", "id": { "arg": "id" }, "when": { "negate": open } },
            "setSize": {
                "kind": "upsertRow", "table": "polls", "unique": "title", "when": open,
                "values": { "title": { "arg": "title" }, "size": { "arg": "size" }, "open": { "arg": "open" } },
            },
            "cast": {
                "kind": "insertRow", "table": "ballots", "onConflict": "ignore", "access": "viewer", "when": { "poll": open, "other": open },
                "values": { "poll": { "arg": "poll" }, "user_id": { "identity": "userId" }, "other": { "arg": "other" } },
            },
            "castMany": {
                "kind": "insertRows", "table": "ballots", "when": { "poll": open },
                "values": { "poll": { "arg": "poll" }, "user_id": { "arg": "user" } },
            },
            "recast": {
                "kind": "patchRow", "table": "ballots", "id": { "arg": "id" }, "values": { "user_id": { "arg": "user" } },
                "when": { "poll": open, "other": open }, "access": "viewer",
            },
            "withdraw": { "kind": "deleteRow", "table": "ballots", "id": { "arg": "id" }, "when": { "poll": open } },
            "withdrawAll": {
                "kind": "deleteRows", "table": "ballots", "filter": [], "scan": "allowed", "when": { "poll": open },
            },
            "countBallots": { "kind": "countRows", "table": "ballots", "scan": "allowed" },
            "addList": { "kind": "insertRow", "table": "lists", "values": {} },
            "tag": { "kind": "patchRow", "table": "lists", "id": { "arg": "id" }, "values": {
                "tags": { "append": { "arg": "tag" } }, "prices": { "append": "1.50" },
            } },
            "untag": { "kind": "patchRow", "table": "lists", "id": { "arg": "id" }, "values": {
                "tags": { "remove": { "arg": "tag" } }, "prices": { "remove": { "arg": "price", "validator": { "type": "decimal", "optional": true } } },
            } },
            "click": {
                "kind": "insertRow", "table": "clicks", "onConflict": "update", "access": "viewer",
                "values": { "user_id": { "identity": "userId" }, "count": { "increment": 1 } },
            },
        }),
    )
}

/// Calls as a user of this name.
async fn call_of(gateway: &TestGateway, user: &str, function: &str, arguments: Value) -> Answer {
    let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Viewer, Some(user.to_owned())));
    answer(gateway.http.post(gateway.url(function)).bearer_auth(token).json(&arguments)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_conflict_answers_the_row_that_is_there() {
    let gateway = TestGateway::new(&poll()).await;
    let rule = gateway.call("addRule", json!({ "text": "be kind" })).await.ok();
    let first = call_of(&gateway, "ann", "vote", json!({ "rule": rule["id"] })).await.ok();
    let again = call_of(&gateway, "ann", "vote", json!({ "rule": rule["id"] })).await.ok();
    assert_eq!(first, again, "nothing is changed");
    let other = call_of(&gateway, "bob", "vote", json!({ "rule": rule["id"] })).await.ok();
    assert_ne!(first["id"], other["id"]);
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(2));
    let nowhere = call_of(&gateway, "ann", "vote", json!({ "rule": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c" })).await;
    assert_eq!(nowhere.problem(), (409, "reference_missing".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upsert_inserts_then_changes_what_is_given() {
    let gateway = TestGateway::new(&poll()).await;
    let made = gateway.call("setRule", json!({ "text": "be kind", "price": "1.50" })).await.ok();
    assert_eq!(
        (&made["score"], &made["price"], &made["kind"], &made["version"]),
        (&json!(0), &json!("1.50"), &json!("fun"), &json!(1))
    );
    let changed = gateway.call("setRule", json!({ "text": "be kind", "score": 4, "kind": "serious" })).await.ok();
    assert_eq!((&changed["id"], &changed["created_at"]), (&made["id"], &made["created_at"]));
    assert_ne!(changed["updated_at"], made["updated_at"]);
    assert_eq!(
        (&changed["score"], &changed["price"], &changed["kind"], &changed["version"]),
        (&json!(4), &json!("1.50"), &json!("serious"), &json!(2))
    );
    let emptied = gateway.call("setRule", json!({ "text": "be kind", "price": null })).await.ok();
    assert_eq!((&emptied["score"], &emptied["price"], &emptied["kind"]), (&json!(4), &json!(null), &json!("serious")));
    assert_eq!(call_of(&gateway, "ann", "click", json!({})).await.ok()["count"], json!(11));
    assert_eq!(call_of(&gateway, "ann", "click", json!({})).await.ok()["count"], json!(12));
    assert_eq!(call_of(&gateway, "bob", "click", json!({})).await.ok()["count"], json!(11));
}

/// 64 clients at once, each several times.
async fn crowd<F: Future<Output = Answer>>(call: impl Fn(usize) -> F) -> Vec<Value> {
    let rounds = (0..256).map(|index| call(index % 64));
    join_all(rounds).await.iter().map(Answer::ok).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_loses_no_update_and_votes_once_each() {
    let gateway = TestGateway::new(&poll()).await;
    let gateway = &gateway;
    let rule = &gateway.call("addRule", json!({ "text": "be kind" })).await.ok();
    crowd(|_| gateway.call("upvote", json!({ "id": rule["id"] }))).await;
    let counted = gateway.call("getRule", json!({ "id": rule["id"] })).await.ok();
    assert_eq!((&counted["score"], &counted["version"]), (&json!(256), &json!(257)));

    let vote =
        |index| async move { call_of(gateway, &format!("user {index}"), "vote", json!({ "rule": rule["id"] })).await };
    let votes = crowd(vote).await;
    assert_eq!(gateway.call("countVotes", json!({})).await.ok(), json!(64));
    for (index, vote) in votes.iter().enumerate() {
        assert_eq!(vote, &votes[index % 64], "everyone is answered the one vote there is");
        assert_eq!(vote["user_id"], format!("user {}", index % 64));
    }

    let click = |index| async move { call_of(gateway, &format!("user {}", index % 4), "click", json!({})).await };
    let mut counts: Vec<i64> = crowd(click).await.iter().map(|row| row["count"].as_i64().unwrap()).collect();
    counts.sort_unstable();
    let expected: Vec<i64> = (11..75).flat_map(|count| [count; 4]).collect();
    assert_eq!(counts, expected, "each step is seen once by each user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elements_are_put_into_lists_and_taken_out() {
    let gateway = TestGateway::new(&poll()).await;
    let id = gateway.call("addList", json!({})).await.ok()["id"].clone();
    let tag = |tag: &str| gateway.call("tag", json!({ "id": id, "tag": tag }));
    assert_eq!(gateway.call("untag", json!({ "id": id, "tag": "a" })).await.ok()["tags"], json!(null));
    let tagged = tag("a").await.ok();
    assert_eq!((&tagged["tags"], &tagged["prices"]), (&json!(["a"]), &json!(["1.50"])));
    tag("b").await.ok();
    assert_eq!(tag("a").await.ok()["tags"], json!(["a", "b", "a"]));
    let full = tag("c").await;
    assert_eq!(full.problem(), (422, "value_refused".to_owned()));
    assert_eq!(full.json()["errors"][0]["pointer"], "/tag");
    assert_eq!(tag("far too long").await.json()["errors"][0]["code"], "too_long");
    let untagged = gateway.call("untag", json!({ "id": id, "tag": "a" })).await.ok();
    assert_eq!((&untagged["tags"], &untagged["prices"]), (&json!(["b"]), &json!(["1.50", "1.50", "1.50"])));
    let priceless = gateway.call("untag", json!({ "id": id, "tag": "b", "price": "1.5" })).await.ok();
    assert_eq!((&priceless["tags"], &priceless["prices"]), (&json!([]), &json!([])));
}

fn failed() -> (u16, String) {
    (409, "condition_failed".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_changed_only_when_its_condition_holds() {
    let gateway = TestGateway::new(&poll()).await;
    let add = |title: &str, open: Value| gateway.call("addPoll", json!({ "title": title, "open": open }));
    let open = add("a", json!(true)).await.ok()["id"].clone();
    let closed = add("b", json!(false)).await.ok()["id"].clone();
    let unknown = add("c", json!(null)).await.ok()["id"].clone();
    let nowhere = json!("0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c");
    let rename = |id: &Value, title: &str| gateway.call("rename", json!({ "id": id, "title": title }));
    assert_eq!(rename(&open, "new").await.ok()["title"], "new");
    assert_eq!(rename(&closed, "new b").await.problem(), failed());
    assert_eq!(rename(&unknown, "new c").await.problem(), failed(), "null does not hold");
    assert_eq!(rename(&nowhere, "new d").await.problem(), (404, "row_not_found".to_owned()));
    let refused = rename(&closed, "new b").await.json();
    assert_eq!(refused["detail"], "the row does not meet the function's condition; nothing was written");

    let drop = |id: &Value| gateway.call("drop", json!({ "id": id }));
    assert_eq!(drop(&open).await.problem(), failed());
    assert_eq!(drop(&nowhere).await.problem(), (404, "row_not_found".to_owned()));

    let size = |title: &str, open: Value| gateway.call("setSize", json!({ "title": title, "size": 5, "open": open }));
    assert_eq!(size("new", json!(true)).await.ok()["size"], 5);
    assert_eq!(size("b", json!(true)).await.problem(), failed());
    assert_eq!(size("e", json!(false)).await.ok()["version"], 1, "what is not there has no condition to meet");

    // Of the rows that a filter accepts each must meet it, and too many are too many first or last.
    let resize = || gateway.call("resize", json!({}));
    assert!(["condition_failed", "too_many_rows"].contains(&resize().await.problem().1.as_str()));
    assert_eq!(drop(&closed).await.ok(), json!({ "id": closed }));
    assert_eq!(drop(&unknown).await.problem(), failed(), "null does not hold, nor does its negation");
    gateway.call("setOpen", json!({ "id": unknown, "open": false })).await.ok();
    drop(&unknown).await.ok();
    assert_eq!(resize().await.problem(), failed());
    let e = gateway.call("addPoll", json!({ "title": "g", "open": true })).await.ok();
    assert_eq!(resize().await.problem().0, 409);
    gateway.call("setOpen", json!({ "id": e["id"], "open": false })).await.ok();
    drop(&e["id"]).await.ok();
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_inserted_only_when_what_it_refers_to_meets_its_condition() {
    let gateway = TestGateway::new(&poll()).await;
    let add = |title: &str, open: bool| gateway.call("addPoll", json!({ "title": title, "open": open }));
    let open = &add("a", true).await.ok()["id"];
    let closed = &add("b", false).await.ok()["id"];
    let nowhere = &json!("0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c");
    let cast = |user: &'static str, poll: &Value, other: &Value| {
        call_of(&gateway, user, "cast", json!({ "poll": poll, "other": other }))
    };
    let ballot = cast("ann", open, &json!(null)).await.ok();
    assert_eq!(cast("bob", open, open).await.ok()["other"], *open);
    assert_eq!(cast("cat", closed, open).await.problem(), failed());
    assert_eq!(cast("cat", open, closed).await.problem(), failed());
    assert_eq!(cast("cat", nowhere, open).await.problem(), (409, "reference_missing".to_owned()));
    gateway.call("setOpen", json!({ "id": open, "open": false })).await.ok();
    assert_eq!(cast("ann", open, &json!(null)).await.problem(), failed(), "also where the row is there already");
    gateway.call("setOpen", json!({ "id": open, "open": true })).await.ok();
    assert_eq!(cast("ann", open, &json!(null)).await.ok(), ballot);

    let many = |polls: &[&Value]| {
        let rows: Vec<Value> =
            polls.iter().enumerate().map(|(n, poll)| json!({ "poll": poll, "user": format!("user {n}") })).collect();
        gateway.call("castMany", json!({ "rows": rows }))
    };
    assert_eq!(many(&[open, closed]).await.problem(), failed());
    assert_eq!(many(&[open, nowhere]).await.problem(), (409, "reference_missing".to_owned()));
    assert_eq!(many(&[open]).await.ok().as_array().unwrap().len(), 1);
    assert_eq!(gateway.call("countBallots", json!({})).await.ok(), json!(3));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_meets_conditions_as_if_one_came_after_the_other() {
    let gateway = TestGateway::new(&poll()).await;
    let gateway = &gateway;
    let poll = &gateway.call("addPoll", json!({ "title": "a", "open": true })).await.ok()["id"];
    // Of 64 that would each make it grow, so many do as it may.
    let grown = join_all((0..64).map(|_| gateway.call("grow", json!({ "id": poll, "max": 10 })))).await;
    let (done, refused): (Vec<&Answer>, Vec<&Answer>) = grown.iter().partition(|answer| answer.status == 200);
    assert_eq!((done.len(), refused.len()), (10, 54));
    assert!(refused.iter().all(|answer| answer.problem() == failed()));
    let mut sizes: Vec<i64> = done.iter().map(|answer| answer.ok()["size"].as_i64().unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, (1..=10).collect::<Vec<i64>>());

    // Once the poll is closed nothing is cast any more, whatever was under way.
    let casting = join_all(
        (0..64).map(|n| async move { call_of(gateway, &format!("user {n}"), "cast", json!({ "poll": poll })).await }),
    );
    let closing = async {
        gateway.call("setOpen", json!({ "id": poll, "open": false })).await.ok();
        gateway.call("countBallots", json!({})).await.ok()
    };
    let (cast, counted) = tokio::join!(casting, closing);
    assert_eq!(gateway.call("countBallots", json!({})).await.ok(), counted);
    assert_eq!(json!(cast.iter().filter(|answer| answer.status == 200).count()), counted);
    assert!(cast.iter().filter(|answer| answer.status != 200).all(|answer| answer.problem() == failed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_is_changed_only_when_what_it_refers_to_meets_its_condition() {
    let gateway = TestGateway::new(&poll()).await;
    let poll = &gateway.call("addPoll", json!({ "title": "a", "open": true })).await.ok()["id"];
    let other = &gateway.call("addPoll", json!({ "title": "b", "open": true })).await.ok()["id"];
    let ballot = call_of(&gateway, "ann", "cast", json!({ "poll": poll, "other": null })).await.ok();
    let second = call_of(&gateway, "bob", "cast", json!({ "poll": other, "other": poll })).await.ok();
    let set = |id: &Value, open: bool| gateway.call("setOpen", json!({ "id": id, "open": open }));
    let recast = |id: &Value, user: &str| gateway.call("recast", json!({ "id": id, "user": user }));
    assert_eq!(recast(&ballot["id"], "eve").await.ok()["user_id"], "eve", "a reference that is null is not asked");
    set(poll, false).await.ok();
    assert_eq!(recast(&ballot["id"], "cat").await.problem(), failed());
    assert_eq!(recast(&second["id"], "cat").await.problem(), failed(), "one of two references does not hold");
    assert_eq!(recast(poll, "cat").await.problem(), (404, "row_not_found".to_owned()));
    assert_eq!(gateway.call("withdraw", json!({ "id": ballot["id"] })).await.problem(), failed());
    assert_eq!(gateway.call("withdrawAll", json!({})).await.problem(), failed());
    assert_eq!(gateway.call("countBallots", json!({})).await.ok(), json!(2), "none went");
    assert_eq!(gateway.call("withdraw", json!({ "id": second["id"] })).await.ok(), json!({ "id": second["id"] }));
    set(poll, true).await.ok();
    assert_eq!(gateway.call("withdrawAll", json!({})).await.ok(), json!([{ "id": ballot["id"] }]));
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_users_row_meets_no_condition_of_ones_own() {
    let open = json!({ "column": "open", "op": "=", "value": true });
    let gateway = TestGateway::new(&document(
        json!({
            "drafts": { "owned": true, "columns": { "open": { "type": "boolean", "default": true } } },
            "notes": {
                "owned": true, "uniques": { "one": ["draft"] },
                "columns": { "draft": { "type": "id", "table": "drafts" }, "size": { "type": "integer", "default": 0 } },
            },
        }),
        json!({
            "addDraft": { "kind": "insertRow", "table": "drafts", "values": {}, "access": "viewer" },
            "addNote": {
                "kind": "insertRow", "table": "notes", "own": true, "access": "viewer", "values": { "draft": { "arg": "draft" } }, "when": { "draft": open },
            },
            "setNote": {
                "kind": "upsertRow", "table": "notes", "own": true, "access": "viewer", "unique": "one",
                "values": { "draft": { "arg": "draft" }, "size": { "increment": 1 } },
                "when": { "column": "size", "op": "<", "value": 1 },
            },
        }),
    ))
    .await;
    let draft = &call_of(&gateway, "ann", "addDraft", json!({})).await.ok()["id"];
    let call =
        |user: &'static str, function: &'static str| call_of(&gateway, user, function, json!({ "draft": draft }));
    assert_eq!(call("bob", "addNote").await.problem(), failed());
    call("ann", "addNote").await.ok();
    assert_eq!(call("ann", "setNote").await.ok()["size"], 1);
    assert_eq!(call("ann", "setNote").await.problem(), failed());
    // Of another user's row nothing is asked, so nothing is told.
    assert_eq!(call("bob", "setNote").await.problem(), (409, "unique_conflict".to_owned()));
    gateway.server.stop().await;
}
