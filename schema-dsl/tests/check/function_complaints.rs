//! What is said of functions: tables, filters, orders, pages, ids and values.

use insta::assert_snapshot;
use serde_json::json;

use crate::document::{complaints, filter, function, tables};

#[test]
fn names_and_tables() {
    assert_snapshot!(complaints(&json!({ "tables": tables(), "functions": { "get-rule": { "kind": "countRows", "table": "rules" } } })), @"
    malformed_name /functions/get-rule
      `get-rule` is not a name; expected a letter followed by letters, digits or `_`
      call the function `get_rule`
    ");
    assert_snapshot!(complaints(&json!({ "tables": tables(), "functions": { "tally": { "kind": "countRows", "table": "rules" }, "Tally": { "kind": "countRows", "table": "votes" } } })), @"
    duplicate_name /functions/Tally
      function `tally` and function `Tally` differ in upper and lower case only
      rename or remove one of them
    ");
    assert_snapshot!(function(json!({ "kind": "countRows", "table": "rule" })), @"
    unknown_table /functions/f/table
      table `rule` does not exist
      did you mean `rules`?
    ");
    assert_snapshot!(complaints(&json!({ "functions": { "f": { "kind": "countRows", "table": "rules" } } })), @"
    unknown_table /functions/f/table
      table `rules` does not exist
      there are no tables; declare one first
    ");
    assert_snapshot!(complaints(&json!({ "tables": { "a b": { "columns": { "c": { "type": "uuid" } } } }, "functions": { "f": { "kind": "countRows", "table": "a b" } } })), @"
    malformed_name /tables/a b
      `a b` is not a name; expected a letter followed by letters, digits or `_`
      call the table `a_b`
    ");
}

#[test]
fn filter_columns_and_operators() {
    assert_snapshot!(filter(json!({ "column": "scor", "op": "=", "value": 1 })), @"
    unknown_column /functions/f/filter/column
      column `scor` does not exist in table `rules`
      did you mean `score`?
    ");
    assert_snapshot!(filter(json!({ "any": [{ "negate": { "column": "nowhere", "op": "=", "value": 1 } }, { "all": [{ "column": "Text", "op": "=", "value": "x" }] }] })), @"
    unknown_column /functions/f/filter/any/0/negate/column
      column `nowhere` does not exist in table `rules`
    unknown_column /functions/f/filter/any/1/all/0/column
      column `Text` does not exist in table `rules`
      did you mean `text`?
    ");
    assert_snapshot!(filter(json!({ "column": "tags", "op": "<", "value": ["a"] })), @"
    operator_type /functions/f/filter/op
      `<` has no meaning for column `tags` of type array
      use one of `=`, `!=`, `contains`, `isNull`
    ");
    assert_snapshot!(filter(json!({ "column": "blob", "op": ">=", "value": "" })), @"
    operator_type /functions/f/filter/op
      `>=` has no meaning for column `blob` of type bytes
      use one of `=`, `!=`, `in`, `isNull`
    ");
    assert_snapshot!(filter(json!({ "column": "meta", "op": "=", "value": { "literal": {} } })), @"
    operator_type /functions/f/filter/op
      `=` has no meaning for column `meta` of type json
      use one of `contains`, `isNull`
    ");
    assert_snapshot!(filter(json!({ "column": "shape", "op": "in", "value": [] })), @"
    operator_type /functions/f/filter/op
      `in` has no meaning for column `shape` of type object
      use one of `contains`, `isNull`
    ");
    assert_snapshot!(filter(json!({ "column": "tags", "op": "in", "value": [["a"]] })), @"
    operator_type /functions/f/filter/op
      `in` has no meaning for column `tags` of type array
      use one of `=`, `!=`, `contains`, `isNull`
    ");
}

#[test]
fn filter_values() {
    assert_snapshot!(filter(json!({ "column": "revealed", "op": "=", "value": "yes" })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `revealed` does not fit: expected true or false, got text
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": ">", "value": 1.5 })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `score` does not fit: expected an integer, without a fraction
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": ">", "value": 5000 })), @"sound");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "=", "value": "sad" })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `kind` does not fit: expected one of `fun`, `serious`
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "=", "value": null })), @"
    null_literal /functions/f/filter/value
      the comparison with column `kind` takes one of `fun`, `serious`, not null
      give a value
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "=", "value": { "literal": { "a": 1 } } })), @"
    invalid_literal /functions/f/filter/value/literal
      the value for the comparison with column `text` does not fit: expected text, got an object
    ");
    assert_snapshot!(filter(json!({ "column": "due", "op": "<", "value": "2026-01-31" })), @r#"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `due` does not fit: expected a timestamp such as `"2026-01-31T12:00:00Z"` (RFC 3339, with an offset), got text
    "#);
    assert_snapshot!(filter(json!({ "column": "id", "op": "=", "value": "1" })), @r#"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `id` does not fit: expected a UUID such as `"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"`, got text
    "#);
    assert_snapshot!(filter(json!({ "column": "due", "op": "<", "value": { "now": true } })), @"sound");
    assert_snapshot!(filter(json!({ "column": "score", "op": "<", "value": { "now": true } })), @"
    now_type /functions/f/filter/value
      `now()` is a point in time, but the comparison with column `score` takes an integer
      use a timestamp or date column
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": "=", "value": { "increment": 1 } })), @"
    misplaced_increment /functions/f/filter/value
      `increment` changes a column's old value; the comparison with column `score` has none here
      use it as a value of patchRow
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": "=", "value": { "identity": "userId" } })), @r#"
    identity_type /functions/f/filter/value
      `identity("userId")` is a string, but the comparison with column `score` takes an integer
      use a column of type string
    "#);
    assert_snapshot!(filter(json!({ "column": "account", "op": "=", "value": { "identity": "userId" } })), @r#"
    identity_type /functions/f/filter/value
      `identity("userId")` is a string, but the comparison with column `account` takes a uuid
      use a column of type string
    "#);
    assert_snapshot!(filter(json!({ "column": "account", "op": "=", "value": { "identity": "accountId" } })), @"sound");
}

#[test]
fn fields() {
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "fields": ["text", "id", "version"] })), @"sound");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "fields": ["txt", "author", "text", "scope_key", "text"] })), @"
    unknown_column /functions/f/fields/0
      column `txt` does not exist in table `rules`
      did you mean `text`?
    private_column /functions/f/fields/1
      column `author` is private: no declarative function answers with it
      leave it out, or make the column visible
    unknown_column /functions/f/fields/3
      column `scope_key` does not exist in table `rules`
    duplicate_column /functions/f/fields/4
      `fields` lists column `text` twice
      remove one
    ");
    assert_snapshot!(function(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" }, "fields": ["author"] })), @"
    private_column /functions/f/fields/0
      column `author` is private: no declarative function answers with it
      leave it out, or make the column visible
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "text": "a" }, "fields": ["Score"] })), @"
    unknown_column /functions/f/fields/0
      column `Score` does not exist in table `rules`
      did you mean `score`?
    ");
}

#[test]
fn operators_on_text_and_parts() {
    let optional = |word: &str| json!({ "arg": "x", "validator": { "type": word, "optional": true } });
    for (column, op, value) in [
        ("text", "like", json!("a%")),
        ("text", "ilike", json!({ "arg": "q" })),
        ("text", "startsWith", json!("\\")),
        ("text", "contains", optional("string")),
        ("tags", "contains", json!("a")),
        ("tags", "contains", json!({ "arg": "tag" })),
        ("tags", "contains", json!({ "identity": "userId" })),
        ("shape", "contains", json!({ "literal": { "anything": [1] } })),
        ("meta", "contains", json!(["a"])),
        ("meta", "contains", json!({ "arg": "part" })),
        ("kind", "isNull", json!(false)),
        ("kind", "isNull", optional("boolean")),
    ] {
        assert_eq!(filter(json!({ "column": column, "op": op, "value": value })), "sound", "{column} {op}");
    }
    assert_snapshot!(filter(json!({ "column": "score", "op": "isNull", "value": true })), @"
    never_null /functions/f/filter/op
      column `score` is never null
      remove the condition, or make the column optional
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "isNull", "value": "yes" })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `kind` does not fit: expected true or false, got text
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "like", "value": "f%" })), @"
    operator_type /functions/f/filter/op
      `like` has no meaning for column `kind` of type enum
      use one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `isNull`
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": "contains", "value": 1 })), @"
    operator_type /functions/f/filter/op
      `contains` has no meaning for column `score` of type integer
      use one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `isNull`
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "like", "value": "50\\" })), @r#"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `text` is no pattern: it ends in a lone `\`
      write `\\` for a backslash itself
    "#);
    assert_snapshot!(filter(json!({ "column": "text", "op": "ilike", "value": { "arg": "q", "validator": { "type": "string", "default": "a\\\\\\" } } })), @r#"
    invalid_literal /functions/f/filter/value/validator/default
      the default of argument `q` is no pattern: it ends in a lone `\`
      write `\\` for a backslash itself
    "#);
    assert_snapshot!(filter(json!({ "column": "text", "op": "like", "value": { "arg": "q", "validator": { "type": "string", "max": 1000 } } })), @"
    argument_bounds /functions/f/filter/value/validator
      the bounds of argument `q` are wider than what the comparison with column `text` takes
      keep to at most 256 characters
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "contains", "value": "x".repeat(257) })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `text` does not fit: expected at most 256 characters, got 257
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "startsWith", "value": { "identity": "userId" } })), @"
    value_expected /functions/f/filter/value
      `startsWith` compares column `text` with a text or an argument
      compare with an identity by `=`
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "contains", "value": ["a"] })), @"
    value_expected /functions/f/filter/value
      `contains` compares column `text` with one value, not a list
      give one element, and join several conditions by `all` or `any`
    ");
    assert_snapshot!(filter(json!({ "column": "tags", "op": "contains", "value": ["a"] })), @"
    value_expected /functions/f/filter/value
      `contains` compares column `tags` with one value, not a list
      give one element, and join several conditions by `all` or `any`
    ");
    assert_snapshot!(filter(json!({ "column": "tags", "op": "contains", "value": 1 })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `tags` does not fit: expected text, got a number
    ");
    assert_snapshot!(filter(json!({ "column": "author", "op": "isNull", "value": true })), @r#"
    private_column /functions/f/filter/column
      column `author` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    never_null /functions/f/filter/op
      column `author` is never null
      remove the condition, or make the column optional
    "#);
    assert_snapshot!(filter(json!({ "column": "author", "op": "startsWith", "value": { "arg": "q" } })), @r#"
    private_column /functions/f/filter/column
      column `author` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    "#);
}

#[test]
fn filter_lists() {
    assert_snapshot!(filter(json!({ "column": "kind", "op": "in", "value": "fun" })), @"
    list_expected /functions/f/filter/value
      `in` compares column `kind` with a list
      give a list of literals or an argument, or compare by `=`
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "in", "value": ["fun", "seriouss", 3, null] })), @"
    invalid_literal /functions/f/filter/value/1
      the value for the comparison with column `kind` does not fit: expected one of `fun`, `serious`
      did you mean `serious`?
    invalid_literal /functions/f/filter/value/2
      the value for the comparison with column `kind` does not fit: expected text, got a number
    invalid_literal /functions/f/filter/value/3
      the value for the comparison with column `kind` does not fit: expected a value; arrays hold no null
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "=", "value": ["fun"] })), @"
    value_expected /functions/f/filter/value
      `=` compares column `kind` with one value, not a list
      use `in` to compare with any of a list
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "in", "value": { "identity": "userId" } })), @"
    list_expected /functions/f/filter/value
      `in` compares column `text` with a list
      give a list of literals or an argument, or compare by `=`
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "in", "value": { "arg": "texts", "validator": { "type": "string" } } })), @"
    argument_type_conflict /functions/f/filter/value
      argument `texts` is declared as a string, but the comparison with column `text` takes a list of string
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(filter(json!({ "column": "text", "op": "in", "value": { "arg": "texts", "validator": { "type": "array", "items": { "type": "string" }, "max": 5000 } } })), @"
    argument_bounds /functions/f/filter/value/validator
      the bounds of argument `texts` are wider than what the comparison with column `text` takes
      keep to at most 1000 elements
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": "in", "value": (0..1001).collect::<Vec<_>>() })), @"
    invalid_literal /functions/f/filter/value
      the value for the comparison with column `score` does not fit: expected at most 1000 elements, got 1001
    ");
}

#[test]
fn filter_size() {
    assert_snapshot!(filter((0..8).fold(json!({ "column": "score", "op": "=", "value": 1 }), |inner, _| json!({ "negate": inner }))), @"
    filter_too_deep /functions/f/filter/negate/negate/negate/negate/negate/negate/negate/negate
      the filter nests more than 8 deep
      join groups of the same kind
    ");
    assert_snapshot!(filter((0..7).fold(json!({ "column": "score", "op": "=", "value": 1 }), |inner, _| json!({ "negate": inner }))), @"sound");
    assert_snapshot!(filter(json!({ "any": vec![json!({ "column": "score", "op": "=", "value": 1 }); 65] })), @"
    filter_too_large /functions/f/filter
      the filter has 65 comparisons; at most 64 are accepted
      compare one column with many values by `in`
    ");
}

#[test]
fn private_columns() {
    assert_snapshot!(filter(json!({ "column": "author", "op": "=", "value": { "arg": "author" } })), @r#"
    private_column /functions/f/filter/column
      column `author` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    "#);
    assert_snapshot!(filter(json!({ "column": "author", "op": "=", "value": "me" })), @r#"
    private_column /functions/f/filter/column
      column `author` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    "#);
    assert_snapshot!(filter(json!({ "column": "author", "op": "!=", "value": { "identity": "userId" } })), @r#"
    private_column /functions/f/filter/column
      column `author` is private: a caller could find out its values by filtering on it
      compare it by `=` with an identity, such as `identity("userId")`
    "#);
    assert_snapshot!(filter(json!({ "column": "author", "op": "=", "value": { "identity": "userId" } })), @"sound");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "orderBy": [{ "column": "author" }] })), @"
    private_column /functions/f/orderBy/0/column
      column `author` is private: the order would tell a caller its values
      order by a column that callers may see
    ");
}

#[test]
fn orders_and_pages() {
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "orderBy": [{ "column": "scores" }] })), @"
    unknown_column /functions/f/orderBy/0/column
      column `scores` does not exist in table `rules`
      did you mean `score`?
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "orderBy": [{ "column": "score" }, { "column": "tags" }, { "column": "score", "dir": "desc" }] })), @"
    order_type /functions/f/orderBy/1/column
      rows cannot be ordered by column `tags` of type array
      order by a column of a plain type
    duplicate_column /functions/f/orderBy/2/column
      the order lists column `score` twice
      remove one
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "limit": 0, "offset": -1 })), @"
    invalid_literal /functions/f/limit
      the value for `limit` does not fit: expected at least 1
    invalid_literal /functions/f/offset
      the value for `offset` does not fit: expected at least 0
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "limit": 1001, "offset": 100001 })), @"
    invalid_literal /functions/f/limit
      the value for `limit` does not fit: expected at most 1000
    invalid_literal /functions/f/offset
      the value for `offset` does not fit: expected at most 100000
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "limit": "10", "offset": { "now": true } })), @"
    invalid_literal /functions/f/limit
      the value for `limit` does not fit: expected an integer, got text
    invalid_paging /functions/f/offset
      `offset` is a number of rows
      give an integer or an argument
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "limit": { "arg": "limit", "validator": { "type": "string" } } })), @"
    argument_type_conflict /functions/f/limit
      argument `limit` is declared as a string, but `limit` takes an integer
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "limit": { "arg": "limit", "validator": { "type": "integer", "max": 2000 } } })), @"
    argument_bounds /functions/f/limit/validator
      the bounds of argument `limit` are wider than what `limit` takes
      keep to 0 to 1000
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "offset": { "arg": "offset", "validator": { "type": "integer", "min": -5 } } })), @"
    argument_bounds /functions/f/offset/validator
      the bounds of argument `offset` are wider than what `offset` takes
      keep to 0 to 100000
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "limit": { "arg": "limit", "validator": { "type": "integer", "max": 10, "default": 20 } } })), @"
    invalid_literal /functions/f/limit/validator/default
      the default of argument `limit` does not fit: expected at most 10
    ");
}

#[test]
fn ids() {
    assert_snapshot!(function(json!({ "kind": "getRow", "table": "rules", "id": { "identity": "accountId" } })), @r#"
    invalid_id /functions/f/id
      a row's `id` is made by the gateway; nothing but an argument or a literal can be one
      use `arg("id")`, or find the row by another column with queryRows
    "#);
    assert_snapshot!(function(json!({ "kind": "deleteRow", "table": "rules", "id": "7" })), @r#"
    invalid_literal /functions/f/id
      the value for the `id` of table `rules` does not fit: expected a UUID such as `"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"`, got text
    "#);
    assert_snapshot!(function(json!({ "kind": "deleteRow", "table": "rules", "id": null })), @"
    null_literal /functions/f/id
      the `id` of table `rules` takes an id of `rules`, not null
      give a value
    ");
    assert_snapshot!(function(json!({ "kind": "getRow", "table": "rules", "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c" })), @"sound");
    assert_snapshot!(function(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id", "validator": { "type": "uuid", "optional": true } } })), @"
    argument_needed /functions/f/id/validator/optional
      argument `id` cannot be optional: the `id` of table `rules` needs it
      leave `optional` out, or give the argument a default
    ");
    assert_snapshot!(function(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id", "validator": { "type": "string" } } })), @"
    argument_type_conflict /functions/f/id
      argument `id` is declared as a string, but the `id` of table `rules` takes an id of `rules`
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "rules", "id": { "increment": 1 }, "values": { "score": 1 } })), @r#"
    invalid_id /functions/f/id
      a row's `id` is made by the gateway; nothing but an argument or a literal can be one
      use `arg("id")`, or find the row by another column with queryRows
    "#);
}

#[test]
fn values() {
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "votes", "values": {} })), @r#"
    missing_value /functions/f/values
      column `rule` of table `votes` is required and gets no value
      add `rule = arg("rule")`, or make the column optional or give it a default
    missing_value /functions/f/values
      column `user_id` of table `votes` is required and gets no value
      add `user_id = arg("user_id")`, or make the column optional or give it a default
    "#);
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "colour": "red" } })), @"
    unknown_column /functions/f/values/colour
      column `colour` does not exist in table `rules`
    ");
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "id": { "arg": "id" }, "created_at": { "now": true }, "scope_key": 1 } })), @"
    system_column /functions/f/values/id
      column `id` is filled by the gateway
      leave it out
    system_column /functions/f/values/created_at
      column `created_at` is filled by the gateway
      leave it out
    system_column /functions/f/values/scope_key
      column `scope_key` is filled by the gateway
      leave it out
    ");
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": null, "kind": null } })), @"
    null_literal /functions/f/values/text
      column `text` takes a string, not null
      give a value
    ");
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "score": 1001 } })), @"
    invalid_literal /functions/f/values/score
      the value for column `score` does not fit: expected at most 1000
    ");
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "score": { "increment": 1 } } })), @"
    misplaced_increment /functions/f/values/score
      `increment` changes a column's old value; column `score` has none here
      use it as a value of patchRow
    ");
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": { "now": true } } })), @"
    now_type /functions/f/values/text
      `now()` is a point in time, but column `text` takes a string
      use a timestamp or date column
    ");
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "kind": { "identity": "role" } } })), @r#"
    identity_type /functions/f/values/kind
      `identity("role")` is a string, but column `kind` takes one of `fun`, `serious`
      use a column of type string
    "#);
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "shape": { "literal": { "x": 1.5 } } } })), @"
    invalid_literal /functions/f/values/shape/literal/x
      the value for column `shape` does not fit: expected an integer, without a fraction
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": {} })), @"
    nothing_to_write /functions/f/values
      patchRow sets no column
      name the columns to set
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "version": 1 } })), @"
    system_column /functions/f/values/version
      column `version` is filled by the gateway
      leave it out
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "text": { "increment": 1 }, "score": { "increment": { "increment": 1 } }, "price": { "increment": null } } })), @"
    increment_type /functions/f/values/text
      column `text` of type string cannot be incremented
      increment an integer, number or decimal column
    misplaced_increment /functions/f/values/score/increment
      `increment` changes a column's old value; the increment of column `score` has none here
      use it as a value of patchRow
    null_literal /functions/f/values/price/increment
      the increment of column `price` takes a decimal, not null
      give a value
    ");
    assert_snapshot!(function(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": { "score": { "increment": 1.5 }, "price": { "increment": "1.50" } } })), @"
    invalid_literal /functions/f/values/score/increment
      the value for the increment of column `score` does not fit: expected an integer, without a fraction
    ");
}

#[test]
fn pages() {
    let page = |more: serde_json::Value| {
        let mut query = json!({ "kind": "queryRows", "table": "rules", "page": true });
        query.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        function(query)
    };
    assert_snapshot!(page(json!({ "orderBy": [{ "column": "score" }, { "column": "kind" }], "limit": { "arg": "limit" } })), @"
    sound
    ");
    assert_snapshot!(page(json!({ "offset": 5 })), @"
    page_with_offset /functions/f/offset
      a page goes on after a row, so there is nothing to skip by `offset`
      leave out `offset`, or `page`
    ");
    assert_snapshot!(page(json!({ "limit": { "arg": "limit", "validator": { "type": "integer", "min": 0 } } })), @"
    argument_bounds /functions/f/limit/validator
      the bounds of argument `limit` are wider than what `limit` takes
      keep to 1 to 1000
    ");
    assert_snapshot!(page(json!({ "filter": { "column": "text", "op": "=", "value": { "arg": "cursor" } } })), @"
    reserved_argument /functions/f/filter/value/arg
      a function with `page` has an argument `cursor` of its own
      give the argument another name
    ");
    assert_snapshot!(page(json!({ "filter": { "column": "text", "op": "=", "value": { "arg": "Cursor" } } })), @"
    sound
    ");
    let optional = |index: usize| json!({ "column": "score", "op": "=", "value": { "arg": format!("a{index}"), "validator": { "type": "integer", "optional": true } } });
    let filter: Vec<serde_json::Value> = (0..6).map(optional).collect();
    assert_snapshot!(page(json!({ "filter": { "all": filter }, "orderBy": [{ "column": "kind" }] })), @"
    too_many_optional_columns /functions/f/orderBy
      the pages need too many statements: 1 optional columns in the order (`kind`) and 6 arguments that may be left out; at most 6 of both are accepted, as each doubles them
      order by fewer columns that may be null
    ");
    assert_snapshot!(page(json!({ "filter": { "all": filter }, "orderBy": [{ "column": "id" }, { "column": "kind" }] })), @"
    sound
    ");
}
