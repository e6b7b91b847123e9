//! `expand`: what is said of it, and what the answer is described as.

use insta::assert_snapshot;
use rowgate_schema_dsl::row_schema::result_schema;
use serde_json::{Value, json};

use crate::document::{complaints, model};

fn tables() -> Value {
    json!({
        "rules": { "columns": {
            "text": { "type": "string" },
            "author": { "type": "string", "private": true },
            "parent": { "type": "id", "table": "rules", "optional": true },
        } },
        "votes": { "columns": {
            "rule": { "type": "id", "table": "rules" },
            "voter_id": { "type": "id", "table": "voters", "optional": true },
            "secret": { "type": "id", "table": "rules", "private": true },
        } },
        "voters": { "columns": { "name": { "type": "string" } } },
    })
}

fn expanding(table: &str, expand: Value) -> Value {
    json!({ "f": { "kind": "queryRows", "table": table, "expand": expand } })
}

fn said(function: Value) -> String {
    complaints(&json!({ "tables": tables(), "functions": function }))
}

#[test]
fn members() {
    assert_eq!(said(expanding("votes", json!({ "rule": {}, "voter_id": {} }))), "sound");
    assert_snapshot!(said(expanding("votes", json!({ "rul": {}, "id": {}, "secret": {}, "rules": {} }))), @r#"
    unknown_column /functions/f/expand/rul
      column `rul` does not exist in table `votes`
      did you mean `rule`?
    not_a_reference /functions/f/expand/id
      column `id` of table `votes` refers to no row
      name a column of type `v.id("…")`
    private_column /functions/f/expand/secret
      column `secret` is private: the answer would tell a caller what it refers to
      leave it out, or make the column visible
    unknown_column /functions/f/expand/rules
      `rules` is a table, and no column of table `votes`
      write `rules = { table = "rules", by = "…" }` to list its rows that refer to one
    "#);
    assert_snapshot!(said(expanding("votes", json!({
        "rule": { "as": "rule" }, "voter_id": { "as": "a b", "fields": ["nam", "name", "name"] },
    }))), @"
    duplicate_member /functions/f/expand/rule
      the answer has a member `rule` already
      give it another name by `as`
    malformed_name /functions/f/expand/voter_id/as
      `a b` is not a name; expected a letter followed by letters, digits or `_`
      call the member `a_b`
    unknown_column /functions/f/expand/voter_id/fields/0
      column `nam` does not exist in table `voters`
      did you mean `name`?
    duplicate_column /functions/f/expand/voter_id/fields/2
      `fields` lists column `name` twice
      remove one
    ");
    // What is not answered under a name leaves it free.
    let mut freed = expanding("votes", json!({ "rule": { "as": "rule" } }));
    freed["f"]["fields"] = json!(["id"]);
    assert_eq!(said(freed), "sound");
    assert_snapshot!(said(expanding("rules", json!({
        "votes": { "table": "votes", "by": "rule", "orderBy": [{ "column": "rule", "dir": "asc" }], "limit": 5, "fields": ["rule"] },
        "text": { "table": "votes", "by": "rule" },
        "a": { "table": "votes", "by": "voter_id" },
        "b": { "table": "votes", "by": "secret" },
        "c": { "table": "votes", "by": "id" },
        "d": { "table": "vote", "by": "rule" },
        "e": { "table": "votes", "by": "rule", "fields": ["secret"], "limit": 101 },
        "g": { "table": "votes", "by": "rule", "limit": 0 },
        "parent": {},
    }))), @r#"
    too_many_members /functions/f/expand
      `expand` has 9 members; at most 8 are accepted
      leave some to functions of their own
    duplicate_member /functions/f/expand/text
      the answer has a member `text` already
      give the list another name
    wrong_reference /functions/f/expand/a/by
      column `voter_id` of table `votes` refers to table `voters`, not to table `rules`
      name the column that refers to the row
    private_column /functions/f/expand/b/by
      column `secret` is private: the answer would tell a caller what it refers to
      leave it out, or make the column visible
    not_a_reference /functions/f/expand/c/by
      column `id` of table `votes` refers to no row
      name a column of type `v.id("…")`
    unknown_table /functions/f/expand/d/table
      table `vote` does not exist
      did you mean `votes`?
    private_column /functions/f/expand/e/fields/0
      column `secret` is private: no declarative function answers with it
      leave it out, or make the column visible
    invalid_paging /functions/f/expand/e/limit
      a list has at least 1 row and at most 100
      answer longer lists by a function of their own
    invalid_paging /functions/f/expand/g/limit
      a list has at least 1 row and at most 100
      answer longer lists by a function of their own
    "#);
    let many: serde_json::Map<String, Value> =
        (0..9).map(|index| (format!("l{index}"), json!({ "table": "votes", "by": "rule", "limit": 1 }))).collect();
    assert_snapshot!(said(expanding("rules", Value::Object(many))), @"
    too_many_members /functions/f/expand
      `expand` has 9 members; at most 8 are accepted
      leave some to functions of their own
    ");
    assert_snapshot!(said(expanding("rules", json!({ "votes": { "table": "votes", "by": "rule", "limit": 21 } }))), @"
    too_many_rows /functions/f/expand
      1000 rows with 21 listed in each come to 21000; at most 20000 are accepted
      lower the function's `limit`, or that of a list
    ");
    let mut limited = expanding("rules", json!({ "votes": { "table": "votes", "by": "rule", "limit": 100 } }));
    limited["f"]["limit"] = json!({ "arg": "limit", "validator": { "type": "integer", "max": 200 } });
    assert_eq!(said(limited), "sound");
}

#[test]
fn answers() {
    let model = model(&json!({
        "tables": tables(),
        "functions": { "f": {
            "kind": "getRow", "table": "votes", "id": { "arg": "id" }, "fields": ["id"],
            "expand": { "rule": { "fields": ["text"] }, "voter_id": { "fields": ["name"] } },
        }, "g": {
            "kind": "queryRows", "table": "rules", "fields": ["id"], "limit": 3,
            "expand": { "votes": { "table": "votes", "by": "rule", "fields": ["version"], "limit": 2 } },
        } },
    }));
    let described: Vec<String> =
        model.functions.iter().map(|function| result_schema(function, &model).to_value().to_string()).collect();
    assert_snapshot!(described.join("\n"), @r#"
    {"$schema":"https://json-schema.org/draft/2020-12/schema","title":"result of f","description":"a row of table votes","type":"object","properties":{"id":{"type":"string","format":"uuid","description":"the id of a row of table votes"},"ruleRow":{"description":"a row of table rules","type":"object","properties":{"text":{"type":"string"}},"required":["text"],"additionalProperties":false},"voter":{"anyOf":[{"description":"a row of table voters","type":"object","properties":{"name":{"type":"string"}},"required":["name"],"additionalProperties":false},{"type":"null"}]}},"required":["id","ruleRow","voter"],"additionalProperties":false}
    {"$schema":"https://json-schema.org/draft/2020-12/schema","title":"result of g","type":"array","items":{"description":"a row of table rules","type":"object","properties":{"id":{"description":"the id of a row of table rules","type":"string","format":"uuid"},"votes":{"type":"array","items":{"description":"a row of table votes","type":"object","properties":{"version":{"description":"1 at first, one more at each change","type":"integer","format":"int64"}},"required":["version"],"additionalProperties":false},"maxItems":2}},"required":["id","votes"],"additionalProperties":false},"maxItems":3}
    "#);
}
