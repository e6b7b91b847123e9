//! What is said of owned tables and of functions with `own`.

use insta::assert_snapshot;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};

use crate::document::lines;

fn definition(functions: Value) -> rowgate_schema_dsl::definition::Definition {
    let (definition, complaints) = read(&json!({
        "rowgate": 1,
        "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "notes", "version": "1.0.0" },
        "tables": {
            "notes": {
                "columns": { "text": { "type": "string" }, "topic": { "type": "string" } },
                "owned": true,
                "indexes": { "by_owner": ["owner_id", "topic"] },
                "uniques": { "one_topic": ["topic", "owner_id"] },
            },
            "rules": { "columns": { "text": { "type": "string", "unique": true } } },
        },
        "functions": functions,
    }));
    assert_eq!(complaints, []);
    definition
}

fn function(function: Value) -> String {
    lines(&definition(json!({ "f": function })))
}

#[test]
fn own_is_for_owned_tables() {
    for kind in ["queryRows", "countRows"] {
        assert_eq!(function(json!({ "kind": kind, "table": "notes", "own": true })), "sound");
    }
    assert_snapshot!(function(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" }, "own": true })), @"
    not_owned /functions/f/own
      `own` asks for the caller's rows, but rows of table `rules` belong to no user
      declare table `rules` as `:owned()`, or filter on a column such as `author`
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "nots", "own": true })), @"
    unknown_table /functions/f/table
      table `nots` does not exist
      did you mean `notes`?
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "filter": { "column": "owner_id", "op": "=", "value": { "identity": "userId" } } })), @"
    unknown_column /functions/f/filter/column
      column `owner_id` does not exist in table `rules`
      declare table `rules` as `:owned()`
    ");
}

#[test]
fn nobody_sees_or_says_whose_a_row_is() {
    let insert = |values: Value| function(json!({ "kind": "insertRow", "table": "notes", "values": values }));
    assert_snapshot!(insert(json!({ "text": "x", "topic": "y", "owner_id": { "arg": "owner" } })), @"
    system_column /functions/f/values/owner_id
      column `owner_id` is filled by the gateway
      leave it out
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "notes", "id": { "arg": "id" }, "values": { "owner_id": { "identity": "userId" } } })), @"
    system_column /functions/f/values/owner_id
      column `owner_id` is filled by the gateway
      leave it out
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "notes", "fields": ["text", "owner_id"] })), @"
    private_column /functions/f/fields/1
      column `owner_id` is private: no declarative function answers with it
      leave it out; to show who it was, keep the user in a column of its own
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "notes", "orderBy": ["owner_id"] })), @"
    private_column /functions/f/orderBy/0/column
      column `owner_id` is private: the order would tell a caller its values
      order by a column that callers may see
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "notes", "filter": { "column": "owner_id", "op": "=", "value": { "arg": "who" } } })), @r#"
    private_column /functions/f/filter/column
      column `owner_id` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    "#);
    assert_eq!(
        function(
            json!({ "kind": "queryRows", "table": "notes", "filter": { "column": "owner_id", "op": "=", "value": { "identity": "userId" } } })
        ),
        "sound"
    );
}

#[test]
fn a_unique_rule_over_the_owner_needs_no_value_for_it() {
    let upsert = json!({ "kind": "upsertRow", "table": "notes", "unique": "one_topic", "values": { "text": { "arg": "text" }, "topic": { "arg": "topic" } } });
    assert_eq!(function(upsert), "sound");
    let ignore = json!({ "kind": "insertRow", "table": "notes", "onConflict": "ignore", "values": { "text": { "arg": "text" }, "topic": { "arg": "topic" } } });
    assert_eq!(function(ignore), "sound");
}

#[test]
fn an_owned_table_has_a_private_owner() {
    let model = check(&definition(json!({}))).unwrap();
    let notes = model.table("notes").unwrap();
    let names: Vec<&str> = notes.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "text", "topic", "owner_id", "created_at", "updated_at", "version"]);
    assert!(notes.owner().unwrap().private);
    assert!(notes.needs_owner_index(), "the declared index does not end in `id` after the owner");
    assert!(model.table("rules").unwrap().owner().is_none());
}
