//! Transactions: what their steps may be, and what a step may take from an earlier one.

use insta::assert_snapshot;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::read::read;
use rowgate_schema_dsl::row_schema::{arguments_schema, result_schema};
use serde_json::{Value, json};

use crate::document::lines;

fn document(steps: &Value) -> Value {
    json!({
        "rowgate": 1,
        "extension": { "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "live poll", "version": "1.0.0" },
        "tables": {
            "polls": { "columns": { "title": { "type": "string" }, "size": { "type": "integer", "optional": true } } },
            "votes": { "columns": {
                "poll": { "type": "id", "table": "polls" }, "other": { "type": "id", "table": "votes", "optional": true },
                "text": { "type": "string", "max": 9 }, "size": { "type": "integer", "default": 0 },
            } },
        },
        "functions": { "f": { "kind": "transaction", "steps": steps } },
    })
}

/// What is wrong with a transaction of these steps.
fn transaction(steps: Value) -> String {
    let (definition, complaints) = read(&document(&steps));
    assert_eq!(complaints, []);
    lines(&definition)
}

/// What cannot be read of it.
fn read_as(steps: Value) -> String {
    read(&document(&steps)).1.iter().map(|complaint| format!("{complaint}\n")).collect()
}

fn step(name: &str, function: Value) -> Value {
    json!({ "name": name, "function": function })
}

fn poll() -> Value {
    step("poll", json!({ "kind": "insertRow", "table": "polls", "values": { "title": { "arg": "title" } } }))
}

fn vote(values: Value) -> Value {
    step("vote", json!({ "kind": "insertRow", "table": "votes", "values": values }))
}

fn row(step: &str, column: &str) -> Value {
    json!({ "row": step, "column": column })
}

#[test]
fn rows_of_earlier_steps() {
    let take = |poll_column: Value| transaction(json!([poll(), vote(json!({ "poll": poll_column, "text": "x" }))]));
    assert_snapshot!(take(row("poll", "id")), @"sound");
    assert_snapshot!(take(row("pool", "id")), @r#"
    unknown_step /functions/f/steps/1/function/values/poll/row
      there is no step `pool` before this one
      did you mean `poll`?
    "#);
    assert_snapshot!(take(row("vote", "id")), @r#"
    later_step /functions/f/steps/1/function/values/poll/row
      step `vote` does not come before this one, so its row is not known yet
      put the steps in their order
    "#);
    assert_snapshot!(take(row("poll", "idd")), @r#"
    unknown_column /functions/f/steps/1/function/values/poll/column
      column `idd` does not exist in table `polls`, whose row step `poll` has
      did you mean `id`?
    "#);
    assert_snapshot!(take(row("poll", "title")), @r#"
    row_type /functions/f/steps/1/function/values/poll
      column `title` of step `poll` is a string, but column `poll` takes an id of `polls`
      take another column
    "#);
    assert_snapshot!(transaction(json!([poll(), vote(json!({ "poll": row("poll", "id"), "text": "x", "size": row("poll", "size") }))])), @r#"
    row_type /functions/f/steps/1/function/values/size
      column `size` of step `poll` may be null, but column `size` takes no null
      take a column that is not optional
    "#);
    let of_many = json!([
        step("votes", json!({ "kind": "deleteRows", "table": "votes", "filter": [] })),
        vote(json!({ "poll": row("votes", "poll"), "text": "x" })),
    ]);
    assert_snapshot!(transaction(of_many), @r#"
    no_single_row /functions/f/steps/1/function/values/poll/row
      step `votes` is a deleteRows, which has no one row that column `poll` could be taken from
      take it from an insertRow, upsertRow, patchRow, deleteRow or getRow
    "#);
    let first = json!([vote(json!({ "poll": row("poll", "id"), "text": { "arg": "text" } })), poll()]);
    assert_snapshot!(transaction(first), @r#"
    later_step /functions/f/steps/0/function/values/poll/row
      step `poll` does not come before this one, so its row is not known yet
      put the steps in their order
    "#);
    assert_snapshot!(transaction(json!([step("poll", json!({ "kind": "getRow", "table": "polls", "id": row("poll", "id") }))])), @r#"
    later_step /functions/f/steps/0/function/id/row
      step `poll` does not come before this one, so its row is not known yet
      put the steps in their order
    "#);
    let alone = json!({
        "tables": { "polls": { "columns": { "title": { "type": "string" } } } },
        "functions": { "f": { "kind": "getRow", "table": "polls", "id": row("poll", "id") } },
    });
    let mut whole = document(&json!([]));
    whole.as_object_mut().unwrap().extend(alone.as_object().unwrap().clone());
    assert_snapshot!(lines(&read(&whole).0), @r#"
    misplaced_row /functions/f/id/row
      `row` names a step of a transaction, and this function is none
      write the function as a step, `transaction({ step("name", …), … })`
    "#);
    let everywhere = json!([
        poll(),
        step(
            "vote",
            json!({ "kind": "insertRow", "table": "votes", "values": { "poll": row("poll", "id"), "text": "x" } })
        ),
        step(
            "patched",
            json!({
                "kind": "patchRow", "table": "votes", "id": row("vote", "id"), "values": { "size": { "increment": row("vote", "size") }, "other": row("vote", "other") },
                "when": [{ "column": "text", "op": "=", "value": row("poll", "title") }, { "poll": { "column": "id", "op": "=", "value": row("poll", "id") } }],
            })
        ),
        step(
            "others",
            json!({ "kind": "deleteRows", "table": "votes", "filter": { "column": "poll", "op": "!=", "value": row("poll", "id") } })
        ),
    ]);
    assert_snapshot!(transaction(everywhere), @"sound");
}

#[test]
fn steps_and_their_arguments() {
    assert_snapshot!(transaction(json!([])), @r#"
    step_count /functions/f/steps
      a transaction has 1 to 16 steps, got 0
      name what is to happen
    "#);
    assert_snapshot!(transaction(json!(vec![poll(); 17])), @r#"
    step_count /functions/f/steps
      a transaction has 1 to 16 steps, got 17
      write many rows of a table by insertRows
    "#);
    assert_snapshot!(transaction(json!([poll(), poll(), step("Po ll", poll()["function"].clone())])), @r#"
    duplicate_name /functions/f/steps/1/name
      step `poll` and step `poll` have the same name
      rename or remove one of them
    malformed_name /functions/f/steps/2/name
      `Po ll` is not a name; expected a letter followed by letters, digits or `_`
      call the step `Po_ll`
    "#);
    let reads = json!([
        step("a", json!({ "kind": "queryRows", "table": "polls" })),
        step("b", json!({ "kind": "countRows", "table": "polls" })),
        step("c", json!({ "kind": "getRow", "table": "votes", "id": { "arg": "id" }, "expand": { "poll": {} } })),
    ]);
    assert_snapshot!(transaction(reads), @r#"
    misplaced_step /functions/f/steps/0/function/kind
      queryRows cannot be a step of a transaction
      call it beside the transaction
    misplaced_step /functions/f/steps/1/function/kind
      countRows cannot be a step of a transaction
      call it beside the transaction
    misplaced_step /functions/f/steps/2/function/kind
      a getRow that is a step has no `expand`
      leave `expand` out
    "#);
    let types = json!([poll(), vote(json!({ "poll": row("poll", "id"), "text": "x", "size": { "arg": "title" } }))]);
    assert_snapshot!(transaction(types), @r#"
    argument_type_conflict /functions/f/steps/1/function/values/size
      argument `title` would be a string for column `title` and an integer for column `size`
      use two arguments with names of their own
    "#);
    let many = |name: &str| {
        json!([
            poll(),
            step(
                name,
                json!({ "kind": "insertRows", "table": "votes", "values": { "poll": row("poll", "id"), "text": { "arg": "title" } } })
            ),
        ])
    };
    assert_snapshot!(transaction(many("votes")), @"sound");
    assert_snapshot!(transaction(many("title")), @r#"
    reserved_argument /functions/f/steps/1/name
      `title` is an argument, and what the rows of this step are given by
      give the step another name
    "#);
    assert_snapshot!(read_as(json!([
        { "name": "a", "function": { "kind": "insertRow", "table": "polls", "values": {}, "access": "viewer" } },
        { "name": 3 }, { "nam": "x", "function": { "kind": "transaction", "steps": [] } }, "x",
        { "name": "b", "function": { "kind": "getRow", "table": "polls", "id": { "row": "a" } } },
    ])), @r#"
    /functions/f/steps/0/function/access: error[unknown_option]: `access` is not an option of the step `insertRow`
      hint: expected `kind`, `table`, `values`, `onConflict`, `unique`, `when`, `fields`, `own` or `scan`
    /functions/f/steps/1/name: error[wrong_type]: expected a name for the step, got the number `3`
    /functions/f/steps/1: error[missing_member]: `function` is missing; expected what the step does: a function
    /functions/f/steps/2/nam: error[unknown_option]: `nam` is not an option of a step
      hint: did you mean `name`?
    /functions/f/steps/2: error[missing_member]: `name` is missing; expected a name for the step
    /functions/f/steps/2/function: error[misplaced_step]: a transaction cannot be a step of another
      hint: write its steps among those of the whole
    /functions/f/steps/3: error[wrong_type]: expected a step: an object with `name` and `function`, got the text `x`
    /functions/f/steps/4/function/id: error[missing_member]: `column` is missing; expected a column of the step's row
    "#);
    assert_snapshot!(read(&json!({ "functions": { "f": { "kind": "transaction", "table": "polls", "when": [] } } })).1.iter().map(|complaint| format!("{complaint}\n")).collect::<String>(), @r#"
    error[missing_member]: `rowgate` is missing; expected the format's version: `1`
    error[missing_member]: `extension` is missing; expected an object with `id`, `name` and `version`
    /functions/f/table: error[unknown_option]: `table` is not an option of `transaction`
      hint: expected `kind`, `steps`, `access`, `editorOnly` or `rateLimit`
    /functions/f/when: error[unknown_option]: `when` is not an option of `transaction`
      hint: expected `kind`, `steps`, `access`, `editorOnly` or `rateLimit`
    /functions/f: error[missing_member]: `steps` is missing; expected an array of steps
    "#);
}

#[test]
fn schemas_of_a_transaction() {
    let steps = json!([
        poll(),
        step(
            "votes",
            json!({ "kind": "insertRows", "table": "votes", "maxRows": 5, "fields": ["id"], "values": { "poll": row("poll", "id"), "text": { "arg": "text" } } })
        ),
        step("gone", json!({ "kind": "deleteRow", "table": "votes", "id": { "arg": "id" } })),
    ]);
    let model = check(&read(&document(&steps)).0).unwrap();
    let function = model.function("f").unwrap();
    assert_snapshot!(serde_json::to_string_pretty(&arguments_schema(function, &model)).unwrap(), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "arguments of f",
      "description": "what f asks for, to run a transaction that begins in table polls of live poll",
      "type": "object",
      "properties": {
        "id": {
          "description": "the id of a row of table votes",
          "type": "string",
          "format": "uuid"
        },
        "title": {
          "type": "string"
        },
        "votes": {
          "type": "array",
          "items": {
            "type": "object",
            "properties": {
              "text": {
                "type": "string",
                "maxLength": 9
              }
            },
            "required": [
              "text"
            ],
            "additionalProperties": false
          },
          "minItems": 1,
          "maxItems": 5
        }
      },
      "required": [
        "id",
        "title",
        "votes"
      ],
      "additionalProperties": false
    }
    "#);
    assert_snapshot!(serde_json::to_string_pretty(&result_schema(function, &model)).unwrap(), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
      "type": "object",
      "properties": {
        "poll": {
          "description": "a row of table polls",
          "type": "object",
          "properties": {
            "id": {
              "description": "the id of a row of table polls",
              "type": "string",
              "format": "uuid"
            },
            "title": {
              "type": "string"
            },
            "size": {
              "anyOf": [
                {
                  "type": "integer",
                  "format": "int64"
                },
                {
                  "type": "null"
                }
              ]
            },
            "created_at": {
              "description": "when the row was inserted",
              "type": "string",
              "format": "date-time"
            },
            "updated_at": {
              "description": "when the row was last changed",
              "type": "string",
              "format": "date-time"
            },
            "version": {
              "description": "1 at first, one more at each change",
              "type": "integer",
              "format": "int64"
            }
          },
          "additionalProperties": false,
          "required": [
            "id",
            "title",
            "size",
            "created_at",
            "updated_at",
            "version"
          ]
        },
        "votes": {
          "type": "array",
          "maxItems": 5,
          "items": {
            "description": "a row of table votes",
            "type": "object",
            "properties": {
              "id": {
                "description": "the id of a row of table votes",
                "type": "string",
                "format": "uuid"
              }
            },
            "required": [
              "id"
            ],
            "additionalProperties": false
          }
        },
        "gone": {
          "type": "object",
          "properties": {
            "id": {
              "description": "the id of a row of table votes",
              "type": "string",
              "format": "uuid"
            }
          },
          "additionalProperties": false,
          "required": [
            "id"
          ]
        }
      },
      "required": [
        "poll",
        "votes",
        "gone"
      ],
      "additionalProperties": false
    }
    "#);
}
