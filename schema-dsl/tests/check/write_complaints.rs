//! What is said of functions that write: unique rules, lists of rows, conditions, owners.

use insta::assert_snapshot;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};

use crate::document::lines;

/// What is wrong with function `f` over these tables.
fn function(function: Value) -> String {
    let (definition, complaints) = read(&json!({
        "rowgate": 1,
        "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "live poll", "version": "1.0.0" },
        "tables": {
            "polls": { "columns": { "open": { "type": "boolean", "default": true } } },
            "rules": {
                "columns": {
                    "poll": { "type": "id", "table": "polls", "optional": true },
                    "text": { "type": "string", "max": 280 },
                    "score": { "type": "integer", "default": 0, "max": 1000 },
                    "tags": { "type": "array", "items": { "type": "string", "max": 9 }, "optional": true },
                    "author": { "type": "string", "private": true, "default": "" },
                },
                "uniques": { "one_text": ["text"], "one_author": ["author", "score"] },
            },
            "links": {
                "columns": {
                    "poll": { "type": "id", "table": "polls", "optional": true },
                    "order": { "type": "integer" },
                },
                "uniques": { "one_poll": ["poll"], "one_order": ["order"] },
            },
        },
        "functions": { "f": function },
    }));
    assert_eq!(complaints, []);
    lines(&definition)
}

#[test]
fn unique_rules_of_an_insert() {
    let upsert = |unique: &str, values: serde_json::Value| {
        function(json!({ "kind": "upsertRow", "table": "rules", "unique": unique, "values": values }))
    };
    assert_snapshot!(upsert("one_txt", json!({ "text": { "arg": "text" } })), @r#"
    unknown_unique /functions/f/unique
      table `rules` has no unique rule `one_txt`
      did you mean `one_text`?
    "#);
    assert_snapshot!(upsert("one_text", json!({ "text": { "increment": 1 } })), @r#"
    increment_type /functions/f/values/text
      column `text` of type string cannot be incremented
      increment an integer, number or decimal column
    misplaced_increment /functions/f/values/text
      column `text` finds the row by unique rule `one_text`
      give it a value that is known before the row is
    "#);
    assert_snapshot!(upsert("one_text", json!({ "score": { "increment": 1 } })), @r#"
    missing_value /functions/f/values
      column `text` of table `rules` is required and gets no value
      add `text = arg("text")`, or make the column optional or give it a default
    "#);
    assert_snapshot!(upsert("one_author", json!({ "text": "x", "author": { "identity": "userId" } })), @r#"
    missing_value /functions/f/values
      column `score` of unique rule `one_author` gets no value
      add `score = arg("score")`: the row is found by it
    "#);
    let insert = |options: Value| {
        let mut insert = json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x" } });
        insert.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        function(insert)
    };
    assert_snapshot!(insert(json!({ "unique": "one_text" })), @r#"
    unique_unused /functions/f/unique
      `unique` says nothing where a conflict is an error
      add `onConflict = "ignore"` or `onConflict = "update"`, or leave it out
    "#);
    assert_snapshot!(insert(json!({ "onConflict": "ignore" })), @r#"
    missing_unique /functions/f/onConflict
      table `rules` has several unique rules: `one_author`, `one_text`
      say which one is meant by `unique = "…"`; a conflict with another is an error
    "#);
    assert_snapshot!(insert(json!({ "onConflict": "ignore", "unique": "one_text" })), @r#"sound"#);
    let without = json!({ "kind": "insertRow", "table": "polls", "onConflict": "update", "values": {} });
    assert_snapshot!(function(without), @r#"
    missing_unique /functions/f/onConflict
      table `polls` has no unique rule, so nothing can conflict
      declare one, such as `:unique("one_vote", { "rule", "user_id" })`
    "#);
}

#[test]
fn versions() {
    let delete = |version: serde_json::Value| {
        function(json!({ "kind": "deleteRow", "table": "rules", "id": { "arg": "id" }, "version": version }))
    };
    assert_eq!(delete(json!({ "arg": "version" })), "sound");
    assert_eq!(delete(json!({ "arg": "v", "validator": { "type": "integer", "optional": true } })), "sound");
    assert_snapshot!(delete(json!(3)), @r#"
    invalid_version /functions/f/version
      `version` is the version that the caller knows, so nothing but an argument can be it
      use `arg("version")`
    "#);
    assert_snapshot!(delete(json!({ "now": true })), @r#"
    invalid_version /functions/f/version
      `version` is the version that the caller knows, so nothing but an argument can be it
      use `arg("version")`
    "#);
    assert_snapshot!(delete(json!({ "arg": "version", "validator": { "type": "string" } })), @"
    argument_type_conflict /functions/f/version
      argument `version` is declared as a string, but `version` takes an integer
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(function(json!({
        "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "text": { "arg": "version" } },
        "version": { "arg": "version" },
    })), @"
    argument_type_conflict /functions/f/version
      argument `version` would be a string for column `text` and an integer for `version`
      use two arguments with names of their own
    ");
}

#[test]
fn lists_of_rows_and_filters_of_writes() {
    let rows = |options: Value| {
        let mut insert = json!({ "kind": "insertRows", "table": "links", "values": { "poll": { "arg": "poll" }, "order": { "arg": "order" } } });
        insert.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        function(insert)
    };
    assert_snapshot!(rows(json!({ "maxRows": 5, "onConflict": "ignore", "unique": "one_order" })), @"sound");
    assert_snapshot!(rows(json!({ "onConflict": "update", "unique": "one_poll" })), @"sound");
    assert_snapshot!(rows(json!({ "onConflict": "ignore", "unique": "one_poll" })), @r#"
    optional_unique /functions/f/onConflict
      column `poll` of unique rule `one_poll` is optional: without it a row is never there
      make the column required, or insert one row at a time with insertRow
    "#);
    assert_snapshot!(rows(json!({ "values": { "order": { "increment": 1 } } })), @r#"
    misplaced_increment /functions/f/values/order
      `increment` changes a column's old value; column `order` has none here
      use it as a value of patchRow
    "#);
    let filter = json!({ "column": "score", "op": "=", "value": { "arg": "score", "validator": { "type": "integer", "optional": true } } });
    let patch = json!({ "kind": "patchRows", "table": "rules", "filter": filter, "values": {} });
    assert_snapshot!(function(patch), @r#"
    nothing_to_write /functions/f/values
      patchRows sets no column
      name the columns to set
    argument_needed /functions/f/filter
      argument `score` cannot be optional: without it more rows would be written
      leave `optional` out, or give the argument a default
    "#);
    let delete = |options: Value| {
        let mut delete = json!({ "kind": "deleteRows", "table": "rules" });
        delete.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        read(&json!({ "rowgate": 1, "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "x", "version": "1.0.0" }, "functions": { "f": delete } }))
            .1
            .iter()
            .map(|complaint| format!("{complaint}\n"))
            .collect::<String>()
    };
    assert_snapshot!(delete(json!({})), @"/functions/f: error[missing_member]: `filter` is missing; expected a condition on the rows; `[]` means every row");
    assert_snapshot!(delete(json!({ "filter": [], "maxRows": 1001 })), @"/functions/f/maxRows: error[out_of_range]: `maxRows` is from 1 to 1000, got `1001`");
    assert_snapshot!(delete(json!({ "filter": [], "maxRows": "many" })), @r#"
    /functions/f/maxRows: error[wrong_type]: expected a number of rows, got the text `many`
    "#);
}

#[test]
fn elements_of_lists() {
    let patch = |value: Value| {
        function(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "tags": value } }))
    };
    assert_snapshot!(patch(json!({ "append": { "arg": "tag" } })), @"sound");
    assert_snapshot!(patch(json!({ "remove": { "identity": "userId" } })), @"sound");
    assert_snapshot!(patch(json!({ "append": 5 })), @r#"
    invalid_literal /functions/f/values/tags/append
      the value for an element of column `tags` does not fit: expected text, got a number
    "#);
    let on_text =
        json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "text": { "append": "x" } } });
    assert_snapshot!(function(on_text), @r#"
    element_type /functions/f/values/text
      column `text` of type string is no list
      use `append` on an array column
    "#);
    let on_insert =
        json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "tags": { "append": "x" } } });
    assert_snapshot!(function(on_insert), @r#"
    misplaced_increment /functions/f/values/tags
      `append` changes a column's old value; column `tags` has none here
      use it as a value of patchRow
    "#);
}

#[test]
fn conditions_of_writes() {
    let open = json!({ "column": "open", "op": "=", "value": true });
    let insert = |when: Value| {
        let values = json!({ "text": "x", "poll": { "arg": "poll" } });
        function(json!({ "kind": "insertRow", "table": "rules", "values": values, "when": when }))
    };
    assert_snapshot!(insert(json!({ "poll": open })), @"sound");
    assert_snapshot!(insert(json!([{ "poll": { "all": [open, { "negate": open }] } }])), @"sound");
    assert_snapshot!(insert(json!({ "text": open, "poll": { "column": "opne", "op": "=", "value": true } })), @r#"
    no_reference /functions/f/when/0/text
      column `text` refers to no row that a condition could be on
      name a column whose type is `v.id("table")`
    unknown_column /functions/f/when/0/poll/column
      column `opne` does not exist in table `polls`
      did you mean `open`?
    "#);
    assert_snapshot!(insert(json!([open, { "plol": open }])), @r#"
    misplaced_condition /functions/f/when/0
      insertRow meets no row that the condition could be on
      name a column that refers to the row, such as `when = { poll = filter(…) }`
    unknown_column /functions/f/when/1/plol
      column `plol` does not exist in table `rules`
      did you mean `poll`?
    "#);
    let without = json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x" }, "when": { "poll": open } });
    assert_snapshot!(function(without), @r#"
    missing_value /functions/f/when/0/poll
      column `poll` gets no value, so it refers to no row
      add `poll = arg("poll")` to the values
    "#);
    let rows = json!({
        "kind": "insertRows", "table": "rules", "values": { "text": { "arg": "text" }, "poll": { "arg": "poll" } },
        "when": { "poll": { "column": "open", "op": "=", "value": { "arg": "open" } } },
    });
    assert_snapshot!(function(rows), @r#"
    misplaced_argument /functions/f/when
      argument `open` is of each row, and the condition is asked once for all rows
      compare with a literal, with `identity(…)` or with `now()`
    "#);
    let optional = json!({ "arg": "score", "validator": { "type": "integer", "optional": true } });
    let patch = |values: Value, when: Value| {
        let id = json!({ "arg": "id" });
        function(json!({ "kind": "patchRow", "table": "rules", "id": id, "values": values, "when": when }))
    };
    let low = json!({ "column": "score", "op": "<", "value": 10 });
    assert_snapshot!(patch(json!({ "text": "x" }), json!([low, { "poll": open }])), @"sound");
    assert_snapshot!(patch(json!({ "text": "x" }), json!({ "column": "score", "op": "<", "value": optional })), @r#"
    argument_needed /functions/f/when
      argument `score` cannot be optional: without it the condition would ask less
      leave `optional` out, or give the argument a default
    "#);
    assert_snapshot!(patch(json!({ "poll": { "arg": "poll" } }), json!({ "poll": open })), @r#"
    ambiguous_condition /functions/f/when/0/poll
      column `poll` is changed, so it refers to one row before and to another after
      leave `poll` out of the values, or out of `when`
    "#);
    assert_snapshot!(patch(json!({ "text": "x" }), json!({ "column": "author", "op": "=", "value": "x" })), @r#"
    private_column /functions/f/when/0/column
      column `author` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    "#);
    let many = |count: usize| json!({ "any": vec![&low; count] });
    assert_snapshot!(patch(json!({ "text": "x" }), json!([many(40), { "poll": { "any": vec![&open; 40] } }])), @r#"
    filter_too_large /functions/f/when
      the conditions have 80 comparisons; at most 64 are accepted
      compare one column with many values by `in`
    "#);
    let (_, complaints) = read(&json!({
        "rowgate": 1, "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "x", "version": "1.0.0" },
        "functions": {
            "f": { "kind": "countRows", "table": "rules", "when": open },
            "g": { "kind": "deleteRow", "table": "rules", "id": { "arg": "id" }, "when": [3, { "poll": { "colum": "a" } }] },
        },
    }));
    assert_snapshot!(complaints.iter().map(|complaint| format!("{complaint}\n")).collect::<String>(), @r#"
    /functions/f/when: error[unknown_option]: `when` is not an option of `countRows`
      hint: expected `kind`, `table`, `filter`, `own`, `scan`, `access`, `editorOnly` or `rateLimit`
    /functions/g/when/0: error[wrong_type]: expected a condition: an object with `column`, `op` and `value`, or a group, got the number `3`
    /functions/g/when/1/poll/colum: error[unknown_option]: `colum` is not an option of a condition
      hint: did you mean `column`?
    "#);
}
