//! Rows that belong to users: `own` reaches the caller's alone, and nobody takes or is given a row.

use futures_util::future::join_all;
use rowgate::auth::token::Claims;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};

use crate::support::TestDatabase;
use crate::support::gateway::{Answer, TestGateway, answer, deploy, document};

fn notes() -> Value {
    let values = json!({ "topic": { "arg": "topic" }, "text": { "arg": "text" } });
    document(
        json!({ "notes": {
            "columns": { "topic": { "type": "string" }, "text": { "type": "string", "default": "" } },
            "owned": true,
            "uniques": { "one_topic": ["topic"], "one_each": ["topic", "owner_id"] },
        } }),
        json!({
            "add": { "kind": "insertRow", "table": "notes", "values": values },
            "addOnce": { "kind": "insertRow", "table": "notes", "own": true, "onConflict": "ignore", "unique": "one_topic", "values": values },
            "mine": { "kind": "queryRows", "table": "notes", "own": true },
            "all": { "kind": "queryRows", "table": "notes" },
            "get": { "kind": "getRow", "table": "notes", "own": true, "id": { "arg": "id" } },
            "count": { "kind": "countRows", "table": "notes", "own": true },
            "set": { "kind": "upsertRow", "table": "notes", "own": true, "unique": "one_topic", "values": values },
            "setAny": { "kind": "upsertRow", "table": "notes", "unique": "one_topic", "values": values },
            "edit": { "kind": "patchRow", "table": "notes", "own": true, "id": { "arg": "id" }, "values": { "text": { "arg": "text" } } },
            "drop": { "kind": "deleteRow", "table": "notes", "own": true, "id": { "arg": "id" } },
        }),
    )
}

/// Calls as an editor of this name.
async fn call_of(gateway: &TestGateway, user: &str, function: &str, arguments: Value) -> Answer {
    let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Editor, Some(user.to_owned())));
    answer(gateway.http.post(gateway.url(function)).bearer_auth(token).json(&arguments)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_reaches_the_callers_rows_alone() {
    let gateway = &TestGateway::new(&notes()).await;
    let ann = call_of(gateway, "ann", "add", json!({ "topic": "a", "text": "hers" })).await.ok();
    let bob = call_of(gateway, "bob", "add", json!({ "topic": "b", "text": "his" })).await.ok();
    assert!(ann.get("owner_id").is_none(), "whose a row is stays with the gateway");
    assert_eq!(call_of(gateway, "ann", "mine", json!({})).await.ok(), json!([ann]));
    assert_eq!(call_of(gateway, "bob", "mine", json!({})).await.ok(), json!([bob]));
    assert_eq!(call_of(gateway, "eve", "mine", json!({})).await.ok(), json!([]));
    assert_eq!(call_of(gateway, "ann", "all", json!({})).await.ok(), json!([ann, bob]));
    assert_eq!(call_of(gateway, "ann", "count", json!({})).await.ok(), json!(1));
    assert_eq!(call_of(gateway, "ann", "get", json!({ "id": ann["id"] })).await.ok(), ann);
    for (function, more) in [("get", json!({})), ("edit", json!({ "text": "taken" })), ("drop", json!({}))] {
        let mut arguments = more;
        arguments["id"] = bob["id"].clone();
        let refused = call_of(gateway, "ann", function, arguments).await.problem();
        assert_eq!(refused, (404, "row_not_found".to_owned()), "{function}");
    }
    assert_eq!(call_of(gateway, "bob", "mine", json!({})).await.ok(), json!([bob]), "nothing was changed");
    let edited = call_of(gateway, "bob", "edit", json!({ "id": bob["id"], "text": "new" })).await.ok();
    assert_eq!((&edited["text"], &edited["version"]), (&json!("new"), &json!(2)));
    assert_eq!(call_of(gateway, "bob", "drop", json!({ "id": bob["id"] })).await.ok(), json!({ "id": bob["id"] }));
    assert_eq!(call_of(gateway, "bob", "count", json!({})).await.ok(), json!(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upsert_changes_nobody_elses_row() {
    let gateway = &TestGateway::new(&notes()).await;
    let made = call_of(gateway, "ann", "set", json!({ "topic": "t", "text": "one" })).await.ok();
    let again = call_of(gateway, "ann", "set", json!({ "topic": "t", "text": "two" })).await.ok();
    assert_eq!((&again["id"], &again["text"], &again["version"]), (&made["id"], &json!("two"), &json!(2)));
    for function in ["set", "addOnce"] {
        let refused = call_of(gateway, "bob", function, json!({ "topic": "t", "text": "taken" })).await.problem();
        assert_eq!(refused, (409, "unique_conflict".to_owned()), "{function}");
    }
    assert_eq!(call_of(gateway, "ann", "addOnce", json!({ "topic": "t", "text": "three" })).await.ok(), again);
    assert_eq!(call_of(gateway, "ann", "mine", json!({})).await.ok(), json!([again]));
    // Without `own` it is as a patch without: any row, and it stays whose it is.
    let any = call_of(gateway, "bob", "setAny", json!({ "topic": "t", "text": "edited" })).await.ok();
    assert_eq!((&any["id"], &any["text"]), (&made["id"], &json!("edited")));
    assert_eq!(call_of(gateway, "bob", "count", json!({})).await.ok(), json!(0));
    assert_eq!(call_of(gateway, "ann", "mine", json!({})).await.ok(), json!([any]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_user_id_owns_nothing() {
    let gateway = &TestGateway::new(&notes()).await;
    call_of(gateway, "ann", "add", json!({ "topic": "t" })).await.ok();
    let token = gateway.token_of(&Claims::new(gateway.install.id, Role::Owner, None));
    for (function, arguments) in [("mine", json!({})), ("count", json!({})), ("add", json!({ "topic": "x" }))] {
        let request = gateway.http.post(gateway.url(function)).bearer_auth(&token).json(&arguments);
        assert_eq!(answer(request).await.problem(), (403, "identity_required".to_owned()), "{function}");
    }
    let request = gateway.http.post(gateway.url("all")).bearer_auth(&token).json(&json!({}));
    assert_eq!(answer(request).await.ok().as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_crowd_one_owns_the_row() {
    let gateway = &TestGateway::new(&notes()).await;
    let names: Vec<String> = (0..32).map(|index| format!("user {index}")).collect();
    let calls = names.iter().map(|name| call_of(gateway, name, "set", json!({ "topic": "t", "text": name })));
    let answers = join_all(calls).await;
    let won: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    let [won] = won.as_slice() else { panic!("{} own it", won.len()) };
    let row = won.ok();
    assert_eq!(row["version"], json!(1), "nobody else changed it");
    assert!(answers.iter().filter(|answer| answer.status != 200).all(|answer| answer.problem().0 == 409));
    let owner = row["text"].as_str().unwrap();
    assert_eq!(call_of(gateway, owner, "mine", json!({})).await.ok(), json!([row]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_before_belong_to_nobody() {
    let mut before = notes();
    before["functions"] = json!({ "add": notes()["functions"]["add"], "all": notes()["functions"]["all"] });
    let table = before["tables"]["notes"].as_object_mut().unwrap();
    table.remove("owned");
    table["uniques"].as_object_mut().unwrap().remove("one_each");
    let gateway = TestGateway::new(&before).await;
    let row = call_of(&gateway, "ann", "add", json!({ "topic": "old" })).await.ok();
    deploy(&gateway.database, &notes()).await.unwrap();
    gateway.server.reload().await.unwrap();
    assert_eq!(call_of(&gateway, "ann", "mine", json!({})).await.ok(), json!([]));
    assert_eq!(call_of(&gateway, "ann", "get", json!({ "id": row["id"] })).await.problem().0, 404);
    assert_eq!(call_of(&gateway, "ann", "all", json!({})).await.ok(), json!([row]));
    let new = call_of(&gateway, "ann", "add", json!({ "topic": "new" })).await.ok();
    assert_eq!(call_of(&gateway, "ann", "mine", json!({})).await.ok(), json!([new]));
}

/// The database itself takes no row without an owner.
#[tokio::test]
async fn a_row_without_an_owner_is_refused_by_the_database() {
    let database = TestDatabase::new().await;
    let applied = deploy(&database, &notes()).await.unwrap();
    let create = applied.statements.iter().find(|statement| statement.starts_with("CREATE TABLE")).unwrap();
    let table = create.split(' ').nth(2).unwrap();
    let client = database.superuser().await;
    let insert =
        format!("INSERT INTO {table} (scope_key, id, topic) VALUES (gen_random_uuid(), gen_random_uuid(), 'x')");
    let refused = client.execute(&insert, &[]).await.unwrap_err();
    assert_eq!(refused.code().map(|code| code.code()), Some("23502"));
}
