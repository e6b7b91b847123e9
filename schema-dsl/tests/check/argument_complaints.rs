//! What is said of arguments: their names, validators, and uses that do not go together.

use insta::assert_snapshot;
use serde_json::json;

use crate::document::{filter, function};

#[test]
fn names() {
    assert_snapshot!(filter(json!({ "column": "score", "op": "=", "value": { "arg": "the score" } })), @"
    malformed_name /functions/f/filter/value/arg
      `the score` is not a name; expected a letter followed by letters, digits or `_`
      call the argument `the_score`
    ");
    assert_snapshot!(filter(json!({ "all": [{ "column": "score", "op": ">", "value": { "arg": "min" } }, { "column": "score", "op": "<", "value": { "arg": "Min" } }] })), @"
    duplicate_name /functions/f/filter/all/0/value/arg
      argument `Min` and argument `min` differ in upper and lower case only
      rename or remove one of them
    ");
}

#[test]
fn two_types() {
    assert_snapshot!(filter(json!({ "all": [{ "column": "score", "op": "=", "value": { "arg": "x" } }, { "column": "text", "op": "=", "value": { "arg": "x" } }] })), @"
    argument_type_conflict /functions/f/filter/all/1/value
      argument `x` would be an integer for the comparison with column `score` and a string for the comparison with column `text`
      use two arguments with names of their own
    ");
    assert_snapshot!(filter(json!({ "all": [{ "column": "kind", "op": "=", "value": { "arg": "x" } }, { "column": "text", "op": "=", "value": { "arg": "x" } }] })), @"sound");
    assert_snapshot!(filter(json!({ "all": [{ "column": "kind", "op": "=", "value": { "arg": "x" } }, { "column": "kind", "op": "in", "value": { "arg": "x" } }] })), @"
    argument_type_conflict /functions/f/filter/all/1/value
      argument `x` would be one of `fun`, `serious` for the comparison with column `kind` and a list of enum for the comparison with column `kind`
      use two arguments with names of their own
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "rules", "filter": { "column": "revealed", "op": "=", "value": { "arg": "x" } }, "limit": { "arg": "x" } })), @"
    argument_type_conflict /functions/f/limit
      argument `x` would be a boolean for the comparison with column `revealed` and an integer for `limit`
      use two arguments with names of their own
    ");
    assert_snapshot!(function(json!({ "kind": "queryRows", "table": "votes", "filter": { "all": [{ "column": "rule", "op": "=", "value": { "arg": "x" } }, { "column": "id", "op": "=", "value": { "arg": "x" } }] } })), @"
    argument_type_conflict /functions/f/filter/all/1/value
      argument `x` would be an id of `rules` for the comparison with column `rule` and an id of `votes` for the comparison with column `id`
      use two arguments with names of their own
    ");
}

#[test]
fn validators() {
    assert_snapshot!(filter(json!({ "column": "score", "op": "=", "value": { "arg": "x", "validator": { "type": "string" } } })), @"
    argument_type_conflict /functions/f/filter/value
      argument `x` is declared as a string, but the comparison with column `score` takes an integer
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "=", "value": { "arg": "x", "validator": { "type": "enum", "values": ["fun", "sad"] } } })), @"
    argument_type_conflict /functions/f/filter/value
      argument `x` is declared as one of `fun`, `sad`, but the comparison with column `kind` takes one of `fun`, `serious`
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(filter(json!({ "column": "kind", "op": "=", "value": { "arg": "x", "validator": { "type": "enum", "values": ["fun"] } } })), @"sound");
    assert_snapshot!(filter(json!({ "column": "id", "op": "=", "value": { "arg": "x", "validator": { "type": "id", "table": "votes" } } })), @"
    argument_type_conflict /functions/f/filter/value
      argument `x` is declared as an id of `votes`, but the comparison with column `id` takes an id of `rules`
      correct the validator, or leave it out: the type is known
    ");
    assert_snapshot!(filter(json!({ "column": "id", "op": "=", "value": { "arg": "x", "validator": { "type": "id", "table": "ruls", "onDelete": "cascade" } } })), @"
    unknown_table /functions/f/filter/value/validator/table
      table `ruls` does not exist
      did you mean `rules`?
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": "=", "value": { "arg": "x", "validator": { "type": "integer", "min": 3, "max": 2 } } })), @"
    min_above_max /functions/f/filter/value/validator/min
      `min` 3 is above `max` 2: no value fits
      swap or correct them
    ");
    assert_snapshot!(filter(json!({ "column": "score", "op": "=", "value": { "arg": "x", "validator": { "type": "integer", "default": "1" } } })), @"
    invalid_literal /functions/f/filter/value/validator/default
      the default of argument `x` does not fit: expected an integer, got text
    ");
    assert_snapshot!(filter(json!({ "column": "due", "op": "<", "value": { "arg": "x", "validator": { "type": "timestamp", "default": { "now": true } } } })), @"
    now_default /functions/f/filter/value/validator/default
      the default of argument `x` is `now()`; only a column can have that
      write `now()` in place of the argument, or give a literal
    ");
    assert_snapshot!(filter(json!({ "all": [{ "column": "score", "op": ">", "value": { "arg": "x", "validator": { "type": "integer" } } }, { "column": "score", "op": "<", "value": { "arg": "x", "validator": { "type": "integer", "optional": true } } }] })), @"
    argument_declared_twice /functions/f/filter/all/1/value/validator
      argument `x` has two different validators
      give it one validator, at one of its uses, or use two arguments
    ");
}

#[test]
fn absence() {
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": { "arg": "text", "validator": { "type": "string", "optional": true } } } })), @"
    argument_needed /functions/f/values/text/validator/optional
      argument `text` cannot be optional: column `text` needs it
      leave `optional` out, or give the argument a default
    ");
    assert_snapshot!(filter(json!({ "all": (0..7).map(|n| json!({ "column": "score", "op": "=", "value": { "arg": format!("a{n}"), "validator": { "type": "integer", "optional": true } } })).collect::<Vec<_>>() })), @"
    too_many_optional_arguments /functions/f
      function `f` has 7 arguments that may be left out (`a0`, `a1`, `a2`, `a3`, `a4`, `a5`, `a6`); at most 6 are accepted, as each doubles its statements
      give some of them a validator that is not optional, or that has a default
    ");
    // Writes choose absent values within their one statement, so there is no such maximum.
    assert_snapshot!(function(json!({ "kind": "insertRow", "table": "rules", "values": { "text": "x", "revealed": { "arg": "a" }, "score": { "arg": "b" }, "kind": { "arg": "c" }, "tags": { "arg": "d" }, "price": { "arg": "e" }, "due": { "arg": "f" }, "meta": { "arg": "g" } } })), @"sound");
}
