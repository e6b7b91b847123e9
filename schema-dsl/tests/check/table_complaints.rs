//! What is said of tables: their names, columns, types, defaults, indexes and references.

use insta::assert_snapshot;
use rowgate_schema_dsl::column_type::ColumnType;
use serde_json::{Map, Value, json};

use crate::document::{column, complaints, definition, lines, table};

#[test]
fn the_document_itself() {
    let mut definition = definition(&json!({}));
    definition.rowgate = 2;
    definition.extension.name = " ".to_owned();
    definition.extension.version = "1\0".to_owned();
    assert_snapshot!(lines(&definition), @"
    unknown_format /rowgate
      format `2` is not known; expected `1`
    empty_name /extension/name
      the extension's `name` is empty
      give the extension a name
    nul_character /extension/version
      the extension's `version` holds the character U+0000, which Postgres cannot store
      remove the character
    ");
}

#[test]
fn bounds_that_are_not_finite() {
    let mut definition = definition(&json!({ "tables": { "t": { "columns": { "c": { "type": "number" } } } } }));
    definition.tables["t"].columns["c"].validator.column_type =
        ColumnType::Number { min: Some(f64::NAN), max: Some(f64::INFINITY) };
    assert_snapshot!(lines(&definition), @"
    invalid_bound /tables/t/columns/c/min
      `min` is not finite
    invalid_bound /tables/t/columns/c/max
      `max` is not finite
    ");
}

#[test]
fn names() {
    assert_snapshot!(complaints(&json!({ "tables": { "": { "columns": { "c": { "type": "uuid" } } } } })), @"
    empty_name /tables/
      a name cannot be empty
      give the table a name
    ");
    assert_snapshot!(complaints(&json!({ "tables": { "my table; --": { "columns": { "c": { "type": "uuid" } } } } })), @"
    malformed_name /tables/my table; --
      `my table; --` is not a name; expected a letter followed by letters, digits or `_`
      call the table `my_table`
    ");
    assert_snapshot!(complaints(&json!({ "tables": { "x".repeat(64): { "columns": { "c": { "type": "uuid" } } } } })), @"
    name_too_long /tables/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
      `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is 64 bytes long, at most 63 fit a Postgres identifier
      shorten it to 63 bytes
    ");
    assert_snapshot!(table(json!({ "columns": { "due-at": { "type": "date" } } })), @"
    malformed_name /tables/t/columns/due-at
      `due-at` is not a name; expected a letter followed by letters, digits or `_`
      call the column `due_at`
    ");
    assert_snapshot!(table(json!({ "columns": { "häh": { "type": "date" }, "日": { "type": "date" } } })), @"
    malformed_name /tables/t/columns/häh
      `häh` is not a name; expected a letter followed by letters, digits or `_`
      call the column `h_h`
    malformed_name /tables/t/columns/日
      `日` is not a name; expected a letter followed by letters, digits or `_`
    ");
    assert_snapshot!(table(json!({ "columns": { "a/b~c": { "type": "date" } } })), @"
    malformed_name /tables/t/columns/a~1b~0c
      `a/b~c` is not a name; expected a letter followed by letters, digits or `_`
      call the column `a_b_c`
    ");
    assert_snapshot!(table(json!({ "columns": { "c": { "type": "date" } }, "indexes": { "by c": ["c"] }, "uniques": { "1c": ["c"] } })), @"
    malformed_name /tables/t/indexes/by c
      `by c` is not a name; expected a letter followed by letters, digits or `_`
      call the index `by_c`
    malformed_name /tables/t/uniques/1c
      `1c` is not a name; expected a letter followed by letters, digits or `_`
      call the unique rule `c`
    ");
}

#[test]
fn reserved_names() {
    assert_snapshot!(table(json!({ "columns": { "id": { "type": "uuid" } } })), @"
    reserved_name /tables/t/columns/id
      column `id` has a name that every table's own columns keep
      choose another name
    ");
    assert_snapshot!(table(json!({ "columns": { "Created_At": { "type": "timestamp" } } })), @"
    reserved_name /tables/t/columns/Created_At
      column `Created_At` has a name that every table's own columns keep
      choose another name
    ");
    assert_snapshot!(table(json!({ "columns": { "scope_key": { "type": "uuid" }, "xmin": { "type": "integer" }, "owner_id": { "type": "string" } } })), @"
    reserved_name /tables/t/columns/scope_key
      column `scope_key` has a name that every table's own columns keep
      choose another name
    reserved_name /tables/t/columns/xmin
      column `xmin` has a name that every table's own columns keep
      choose another name
    reserved_name /tables/t/columns/owner_id
      column `owner_id` has a name that every table's own columns keep
      choose another name
    ");
}

#[test]
fn names_that_are_too_alike() {
    assert_snapshot!(complaints(&json!({ "tables": { "Rules": { "columns": { "c": { "type": "uuid" } } }, "rules": { "columns": { "c": { "type": "uuid" } } } } })), @"
    duplicate_name /tables/rules
      table `Rules` and table `rules` differ in upper and lower case only
      rename or remove one of them
    ");
    assert_snapshot!(table(json!({ "columns": { "dueAt": { "type": "date" }, "dueat": { "type": "date" } } })), @"
    duplicate_name /tables/t/columns/dueat
      column `dueAt` and column `dueat` differ in upper and lower case only
      rename or remove one of them
    ");
    assert_snapshot!(table(json!({ "columns": { "c": { "type": "string", "unique": true } }, "indexes": { "c": ["c"] } })), @"
    duplicate_name /tables/t/indexes/c
      unique column `c` and index `c` have the same name
      rename or remove one of them
    ");
    assert_snapshot!(table(json!({ "columns": { "c": { "type": "string" } }, "indexes": { "by_c": ["c"] }, "uniques": { "By_C": ["c"] } })), @"
    duplicate_name /tables/t/uniques/By_C
      index `by_c` and unique rule `By_C` differ in upper and lower case only
      rename or remove one of them
    ");
}

#[test]
fn identifiers_that_collide() {
    assert_snapshot!(complaints(&json!({ "tables": { "a": { "columns": { "x": { "type": "uuid" } }, "indexes": { "b_c": ["x"] } }, "a_b": { "columns": { "x": { "type": "uuid" } }, "indexes": { "c": ["x"] } } } })), @"
    identifier_collision /tables/a_b
      index `b_c` of table `a` and index `c` of table `a_b` would both be called `a_b_c_idx` in the database
      rename one of them
    ");
    assert_snapshot!(complaints(&json!({ "tables": { "a": { "columns": { "x": { "type": "uuid" } } }, "a_pkey": { "columns": { "x": { "type": "uuid" } } } } })), @"
    identifier_collision /tables/a
      table `a_pkey` and the primary key of table `a` would both be called `a_pkey` in the database
      rename one of them
    ");
}

#[test]
fn indexes_of_references_that_collide() {
    let to_itself = |table: &str, column: &str| json!({ "columns": { column: { "type": "id", "table": table } } });
    assert_snapshot!(complaints(&json!({ "tables": { "a": to_itself("a", "b_c"), "a_b": to_itself("a_b", "c") } })), @"
    identifier_collision /tables/a_b/columns/c
      the index of reference `b_c` of table `a` and the index of reference `c` of table `a_b` would both be called `a_b_c_ref` in the database
      rename one of them
    ");
}

#[test]
fn number_of_columns() {
    assert_snapshot!(table(json!({ "columns": {} })), @"
    no_columns /tables/t/columns
      table `t` has no columns
      declare one
    ");
    assert_snapshot!(table(json!({ "columns": (0..401).map(|n| (format!("c{n}"), json!({ "type": "uuid" }))).collect::<Map<String, Value>>() })), @"
    too_many_columns /tables/t/columns
      table `t` has 401 columns; at most 400 are accepted
      split the table, or keep values that belong together in an `object`
    ");
}

#[test]
fn types() {
    assert_snapshot!(column(json!({ "type": "string", "min": 5, "max": 3 })), @"
    min_above_max /tables/t/columns/c/min
      `min` 5 is above `max` 3: no value fits
      swap or correct them
    ");
    assert_snapshot!(column(json!({ "type": "integer", "min": 1, "max": -1 })), @"
    min_above_max /tables/t/columns/c/min
      `min` 1 is above `max` -1: no value fits
      swap or correct them
    ");
    assert_snapshot!(column(json!({ "type": "number", "min": 0.5, "max": 0.25 })), @"
    min_above_max /tables/t/columns/c/min
      `min` 0.5 is above `max` 0.25: no value fits
      swap or correct them
    ");
    assert_snapshot!(column(json!({ "type": "decimal", "min": "10.10", "max": "10.01" })), @"
    min_above_max /tables/t/columns/c/min
      `min` 10.10 is above `max` 10.01: no value fits
      swap or correct them
    ");
    assert_snapshot!(column(json!({ "type": "decimal", "min": "1e3" })), @r#"
    invalid_bound /tables/t/columns/c/min
      `min` is not a decimal of at most 1000 characters
      write it as text, such as `"12.50"`, without an exponent
    "#);
    assert_snapshot!(column(json!({ "type": "enum", "values": [] })), @"
    empty_enum /tables/t/columns/c/values
      an enum without values: no value fits
      list its values
    ");
    assert_snapshot!(column(json!({ "type": "enum", "values": ["a", "b", "a", "x\0"] })), @"
    duplicate_enum_value /tables/t/columns/c/values/2
      the enum lists `a` twice
      remove one
    nul_character /tables/t/columns/c/values/3
      the enum's value holds the character U+0000, which Postgres cannot store
      remove the character
    ");
    assert_snapshot!(column(json!({ "type": "enum", "values": (0..1001).map(|n| n.to_string()).collect::<Vec<_>>() })), @"
    too_many_enum_values /tables/t/columns/c/values
      the enum has 1001 values; at most 1000 are accepted
      keep the values in a table of their own and refer to its rows by `id`
    ");
    assert_snapshot!(column(json!({ "type": "array", "items": { "type": "json" } })), @"
    array_items /tables/t/columns/c/items
      an array cannot hold json values
      give it elements of a plain type, or make the column `json`
    ");
    assert_snapshot!(column(json!({ "type": "array", "items": { "type": "string", "min": 2, "max": 1 }, "min": 3, "max": 1 })), @"
    min_above_max /tables/t/columns/c/min
      `min` 3 is above `max` 1: no value fits
      swap or correct them
    min_above_max /tables/t/columns/c/items/min
      `min` 2 is above `max` 1: no value fits
      swap or correct them
    ");
    assert_snapshot!(column(json!({ "type": "object", "fields": { "a": { "type": "object", "fields": { "b/c": { "type": "integer", "min": 2, "max": 1 } } } } })), @"
    min_above_max /tables/t/columns/c/fields/a/fields/b~1c/min
      `min` 2 is above `max` 1: no value fits
      swap or correct them
    ");
    assert_snapshot!(column(json!({ "type": "object", "fields": { "\0": { "type": "integer" } } })), @"
    nul_character /tables/t/columns/c/fields/␀
      the field's name holds the character U+0000, which Postgres cannot store
      remove the character
    ");
    assert_snapshot!(column((0..9).fold(json!({ "type": "json" }), |inner, _| json!({ "type": "object", "fields": { "f": inner } }))), @"
    shape_too_deep /tables/t/columns/c/fields/f/fields/f/fields/f/fields/f/fields/f/fields/f/fields/f/fields/f
      objects nest more than 8 deep
      make the innermost one `json`
    ");
}

#[test]
fn references() {
    assert_snapshot!(column(json!({ "type": "id", "table": "rule" })), @"
    unknown_table /tables/t/columns/c/table
      table `rule` does not exist
      did you mean `rules`?
    ");
    assert_snapshot!(column(json!({ "type": "id", "table": "elsewhere" })), @"
    unknown_table /tables/t/columns/c/table
      table `elsewhere` does not exist
      the tables are `rules`, `t`, `votes`
    ");
    assert_snapshot!(column(json!({ "type": "id", "table": "rules", "onDelete": "setNull" })), @"
    set_null_required /tables/t/columns/c/onDelete
      `setNull` needs a column that may be null
      make the column optional, or choose `cascade` or `restrict`
    ");
    assert_snapshot!(column(json!({ "type": "id", "table": "rules", "onDelete": "setNull", "optional": true })), @"sound");
    assert_snapshot!(column(json!({ "type": "array", "items": { "type": "id", "table": "rules", "onDelete": "cascade" } })), @"
    misplaced_on_delete /tables/t/columns/c/items/onDelete
      `onDelete` has a meaning only where the column itself is the reference
      leave it out
    ");
    assert_snapshot!(table(json!({ "storage": "account", "columns": { "c": { "type": "id", "table": "rules" } } })), @"
    reference_scope /tables/t/columns/c/table
      table `rules` is stored per instance, this one per account; a reference stays within one scope
      give both tables the same storage, or keep the id in a `uuid` beside table `rules`
    ");
}

#[test]
fn defaults() {
    // Text too long to be a slip is not compared with every choice.
    assert_snapshot!(column(json!({ "type": "enum", "values": ["a".repeat(20_000)], "default": "a".repeat(20_001) })).len(), @"20104");
    assert_snapshot!(column(json!({ "type": "integer", "default": "1" })), @"
    invalid_literal /tables/t/columns/c/default
      the default of column `c` does not fit: expected an integer, got text
    ");
    assert_snapshot!(column(json!({ "type": "integer", "max": 5, "default": 6 })), @"
    invalid_literal /tables/t/columns/c/default
      the default of column `c` does not fit: expected at most 5
    ");
    assert_snapshot!(column(json!({ "type": "string", "default": { "now": true } })), @"
    now_type /tables/t/columns/c/default
      the default of column `c` is `now()`, but its type is string
      make it a timestamp or a date, or give a literal
    ");
    assert_snapshot!(column(json!({ "type": "date", "default": { "now": true } })), @"sound");
    assert_snapshot!(column(json!({ "type": "string", "optional": true, "default": null })), @"
    null_literal /tables/t/columns/c/default
      the default of column `c` is null
      leave the default out, and make it optional where it may be null
    ");
    assert_snapshot!(column(json!({ "type": "enum", "values": ["fun", "serious"], "default": "serius" })), @"
    invalid_literal /tables/t/columns/c/default
      the default of column `c` does not fit: expected one of `fun`, `serious`
      did you mean `serious`?
    ");
    assert_snapshot!(column(json!({ "type": "object", "fields": { "x": { "type": "integer" } }, "default": { "literal": { "x": "a", "y": 1 } } })), @"
    invalid_literal /tables/t/columns/c/default/literal/x
      the default of column `c` does not fit: expected an integer, got text
    invalid_literal /tables/t/columns/c/default/literal/y
      the default of column `c` does not fit: `y` is not a field; did you mean `x`?
    ");
    assert_snapshot!(column(json!({ "type": "array", "items": { "type": "integer" }, "default": [1, null, "x"] })), @"
    invalid_literal /tables/t/columns/c/default/1
      the default of column `c` does not fit: expected a value; arrays hold no null
    invalid_literal /tables/t/columns/c/default/2
      the default of column `c` does not fit: expected an integer, got text
    ");
    assert_snapshot!(column(json!({ "type": "uuid", "default": "none" })), @r#"
    invalid_literal /tables/t/columns/c/default
      the default of column `c` does not fit: expected a UUID such as `"0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c"`, got text
    "#);
    assert_snapshot!(column(json!({ "type": "timestamp", "default": "yesterday" })), @r#"
    invalid_literal /tables/t/columns/c/default
      the default of column `c` does not fit: expected a timestamp such as `"2026-01-31T12:00:00Z"` (RFC 3339, with an offset), got text
    "#);
    assert_snapshot!(column(json!({ "type": "string", "default": "\0" })), @"
    invalid_literal /tables/t/columns/c/default
      the default of column `c` does not fit: text cannot hold the character U+0000
    ");
    assert_snapshot!(column(json!({ "type": "integer", "min": 2, "max": 1, "default": 6 })), @"
    min_above_max /tables/t/columns/c/min
      `min` 2 is above `max` 1: no value fits
      swap or correct them
    ");
}

#[test]
fn indexes() {
    assert_snapshot!(table(json!({ "columns": { "score": { "type": "integer" } }, "indexes": { "i": ["scor"] }, "uniques": { "u": ["elsewhere"] } })), @"
    unknown_column /tables/t/indexes/i/0
      column `scor` does not exist in table `t`
      did you mean `score`?
    unknown_column /tables/t/uniques/u/0
      column `elsewhere` does not exist in table `t`
      the columns are `created_at`, `id`, `score`, `updated_at`, `version`
    ");
    assert_snapshot!(table(json!({ "columns": { "score": { "type": "integer" } }, "indexes": { "i": ["score", "created_at", "id"] } })), @"sound");
    assert_snapshot!(table(json!({ "columns": { "score": { "type": "integer" } }, "indexes": { "i": ["scope_key"] } })), @"
    unknown_column /tables/t/indexes/i/0
      column `scope_key` does not exist in table `t`
      the columns are `created_at`, `id`, `score`, `updated_at`, `version`
    ");
    assert_snapshot!(table(json!({ "columns": { "c": { "type": "json" }, "d": { "type": "object", "fields": {} } }, "indexes": { "i": ["c"] }, "uniques": { "u": ["d"] } })), @"
    column_not_indexable /tables/t/indexes/i/0
      column `c` is a document of type json; no index can be over it
      keep what you look for in a column of its own
    column_not_indexable /tables/t/uniques/u/0
      column `d` is a document of type object; no unique rule can be over it
      keep what you look for in a column of its own
    ");
    assert_snapshot!(column(json!({ "type": "json", "unique": true })), @"
    column_not_indexable /tables/t/columns/c/unique
      column `c` is a document of type json; no unique rule can be over it
      keep what you look for in a column of its own
    ");
    assert_snapshot!(table(json!({ "columns": { "c": { "type": "integer" } }, "indexes": { "i": ["c", "c"], "j": [] } })), @"
    duplicate_column /tables/t/indexes/i/1
      the index lists column `c` twice
      remove one
    no_columns /tables/t/indexes/j
      the index is over no column
      list its columns
    ");
    assert_snapshot!(table(json!({ "columns": (0..32).map(|n| (format!("c{n}"), json!({ "type": "uuid" }))).collect::<Map<String, Value>>(), "indexes": { "i": (0..32).map(|n| format!("c{n}")).collect::<Vec<_>>() } })), @"
    too_many_columns /tables/t/indexes/i
      the index is over 32 columns; at most 30 are accepted
      keep those that tell most
    ");
    assert_snapshot!(table(json!({ "columns": { "a b": { "type": "integer" } }, "indexes": { "i": ["a b"] } })), @"
    malformed_name /tables/t/columns/a b
      `a b` is not a name; expected a letter followed by letters, digits or `_`
      call the column `a_b`
    ");
}
