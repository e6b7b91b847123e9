//! aggregateRows: what is said of it, and what its answer is described as.

use insta::assert_snapshot;
use rowgate_schema_dsl::row_schema::result_schema;
use serde_json::{Value, json};

use crate::document::{function, model, tables};

fn of(options: Value) -> Value {
    let mut function = json!({ "kind": "aggregateRows", "table": "rules" });
    function.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    function
}

#[test]
fn sound_ones() {
    for options in [
        json!({ "select": { "n": { "count": true } } }),
        json!({ "groupBy": ["kind"] }),
        json!({ "groupBy": ["kind", "revealed", "tags", "blob", "id"], "select": { "score": { "sum": "score" }, "Text": { "max": "text" } } }),
        json!({ "groupBy": ["kind"], "select": { "n": { "count": "due" } },
            "having": { "all": [{ "column": "n", "op": ">=", "value": { "arg": "least" } }, { "column": "kind", "op": "isNull", "value": false }] },
            "orderBy": [{ "column": "n", "dir": "desc" }, { "column": "kind" }], "limit": { "arg": "limit" } }),
    ] {
        assert_eq!(function(of(options.clone())), "sound", "{options}");
    }
}

#[test]
fn members() {
    assert_snapshot!(function(of(json!({}))), @"
    aggregate_members /functions/f
      aggregateRows answers with 0 members; expected 1 to 32 of `groupBy` and `select`
      add one such as `select = { n = count() }`
    ");
    assert_snapshot!(function(of(json!({ "groupBy": ["knd", "author", "meta", "kind", "kind"], "having": { "column": "nowhere", "op": "=", "value": 1 } }))), @"
    unknown_column /functions/f/groupBy/0
      column `knd` does not exist in table `rules`
      did you mean `kind`?
    private_column /functions/f/groupBy/1
      column `author` is private: the groups would tell a caller its values
      group by a column that callers may see
    aggregate_type /functions/f/groupBy/2
      rows cannot be grouped by column `meta` of type json
      group by a column of another type
    duplicate_column /functions/f/groupBy/4
      `groupBy` lists column `kind` twice
      remove one
    ");
    assert_snapshot!(function(of(json!({ "groupBy": ["kind"], "select": {
        "kind": { "count": true }, "a b": { "count": true }, "N": { "count": true }, "n": { "count": true },
        "a": { "sum": "text" }, "b": { "avg": "due" }, "c": { "min": "revealed" }, "d": { "max": "id" }, "e": { "max": "tags" },
        "f": { "count": "author" }, "g": { "min": "author" }, "h": { "sum": "scor" },
    } }))), @"
    duplicate_name /functions/f/select/n
      member `N` and member `n` differ in upper and lower case only
      rename or remove one of them
    duplicate_name /functions/f/select/kind
      `kind` is a column that rows are grouped by
      give what is selected a name of its own
    malformed_name /functions/f/select/a b
      `a b` is not a name; expected a letter followed by letters, digits or `_`
      call the member `a_b`
    aggregate_type /functions/f/select/a/sum
      `sum` has no meaning for column `text` of type string
      use an integer, number or decimal column
    aggregate_type /functions/f/select/b/avg
      `avg` has no meaning for column `due` of type timestamp
      use an integer, number or decimal column
    aggregate_type /functions/f/select/c/min
      `min` has no meaning for column `revealed` of type boolean
      use a number, text, enum, timestamp or date column
    aggregate_type /functions/f/select/d/max
      `max` has no meaning for column `id` of type uuid
      use a number, text, enum, timestamp or date column
    aggregate_type /functions/f/select/e/max
      `max` has no meaning for column `tags` of type array
      use a number, text, enum, timestamp or date column
    private_column /functions/f/select/f/count
      column `author` is private: `count` would tell of its values
      use a column that callers may see, or `count()`
    private_column /functions/f/select/g/min
      column `author` is private: `min` would tell of its values
      use a column that callers may see, or `count()`
    unknown_column /functions/f/select/h/sum
      column `scor` does not exist in table `rules`
      did you mean `score`?
    ");
    let many: Value =
        (0..33).map(|index| (format!("m{index}"), json!({ "count": true }))).collect::<serde_json::Map<_, _>>().into();
    assert_snapshot!(function(of(json!({ "select": many }))), @"
    aggregate_members /functions/f
      aggregateRows answers with 33 members; expected 1 to 32 of `groupBy` and `select`
      split it into several functions
    ");
}

#[test]
fn conditions_and_orders_on_groups() {
    let of = |options: Value| {
        let mut whole = json!({ "groupBy": ["kind", "blob"], "select": { "n": { "count": true }, "mean": { "avg": "score" }, "total": { "sum": "score" } } });
        whole.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        function(of(whole))
    };
    assert_snapshot!(of(json!({ "having": { "column": "score", "op": ">", "value": 1 } })), @"
    unknown_member /functions/f/having/column
      `score` is neither grouped by nor selected
      use one of `kind`, `blob`, `n`, `mean`, `total`
    ");
    assert_snapshot!(of(json!({ "having": { "column": "totl", "op": ">", "value": 1 } })), @"
    unknown_member /functions/f/having/column
      `totl` is neither grouped by nor selected
      did you mean `total`?
    ");
    assert_snapshot!(of(json!({ "having": { "column": "total", "op": ">", "value": 1.5 } })), @"
    invalid_literal /functions/f/having/value
      the value for the comparison with column `total` does not fit: expected an integer, without a fraction
    ");
    assert_snapshot!(of(json!({ "having": { "column": "mean", "op": ">", "value": 1.5 } })), @"sound");
    assert_snapshot!(of(json!({ "having": { "column": "n", "op": "isNull", "value": true } })), @"
    never_null /functions/f/having/op
      column `n` is never null
      remove the condition, or make the column optional
    ");
    assert_snapshot!(of(json!({ "having": { "column": "total", "op": "isNull", "value": true } })), @"
    never_null /functions/f/having/op
      column `total` is never null
      remove the condition, or make the column optional
    ");
    assert_snapshot!(of(json!({ "having": { "column": "n", "op": "like", "value": "1%" } })), @"
    operator_type /functions/f/having/op
      `like` has no meaning for column `n` of type integer
      use one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `isNull`
    ");
    assert_snapshot!(of(json!({ "orderBy": [{ "column": "text" }, { "column": "blob" }, { "column": "n" }, { "column": "n" }] })), @"
    unknown_member /functions/f/orderBy/0/column
      `text` is neither grouped by nor selected
      use one of `kind`, `blob`, `n`, `mean`, `total`
    order_type /functions/f/orderBy/1/column
      groups cannot be ordered by `blob` of type bytes
      order by a member of a plain type
    duplicate_column /functions/f/orderBy/3/column
      the order lists `n` twice
      remove one
    ");
}

#[test]
fn answers() {
    let model = model(&json!({ "tables": tables(), "functions": { "f": of(json!({
        "groupBy": ["kind"], "limit": 7,
        "select": { "n": { "count": true }, "total": { "sum": "score" }, "price": { "sum": "price" }, "mean": { "avg": "score" }, "last": { "max": "due" } },
    })) } }));
    let schema = result_schema(model.function("f").unwrap(), &model).to_value();
    assert_snapshot!(serde_json::to_string_pretty(&schema).unwrap(), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
      "type": "array",
      "items": {
        "description": "a group of rows of table rules",
        "type": "object",
        "properties": {
          "kind": {
            "anyOf": [
              {
                "type": "string",
                "enum": [
                  "fun",
                  "serious"
                ]
              },
              {
                "type": "null"
              }
            ]
          },
          "n": {
            "type": "integer",
            "format": "int64"
          },
          "total": {
            "description": "may have more digits than 64 bits hold",
            "type": "integer"
          },
          "price": {
            "anyOf": [
              {
                "description": "a decimal as text",
                "type": "string",
                "pattern": "^-?[0-9]+(\\.[0-9]+)?$"
              },
              {
                "type": "null"
              }
            ]
          },
          "mean": {
            "type": "number",
            "format": "double"
          },
          "last": {
            "anyOf": [
              {
                "type": "string",
                "format": "date-time"
              },
              {
                "type": "null"
              }
            ]
          }
        },
        "required": [
          "kind",
          "n",
          "total",
          "price",
          "mean",
          "last"
        ],
        "additionalProperties": false
      },
      "maxItems": 7
    }
    "#);
}
