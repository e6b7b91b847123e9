//! The JSON Schemas of what functions take and answer.

use insta::assert_snapshot;
use rowgate_schema_dsl::row_schema::{arguments_schema, json_schema_of, result_schema};
use serde_json::{Value, json};

use crate::document::{model, tables};

#[test]
fn arguments() {
    let described = described(json!({ "kind": "queryRows", "table": "rules",
        "filter": { "all": [
            { "column": "score", "op": ">=", "value": { "arg": "min", "validator": { "type": "integer", "optional": true } } },
            { "column": "kind", "op": "in", "value": { "arg": "kinds" } }
        ] },
        "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } } }));
    assert_snapshot!(described.0, @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "arguments of f",
      "description": "what f asks for, to find rows in table rules of live poll",
      "type": "object",
      "properties": {
        "kinds": {
          "type": "array",
          "items": {
            "type": "string",
            "enum": [
              "fun",
              "serious"
            ]
          },
          "maxItems": 1000
        },
        "limit": {
          "anyOf": [
            {
              "type": "integer",
              "format": "int64",
              "minimum": 0,
              "maximum": 100
            },
            {
              "type": "null"
            }
          ],
          "default": 20
        },
        "min": {
          "description": "when absent, the part of the statement that needs it is left out",
          "anyOf": [
            {
              "type": "integer",
              "format": "int64"
            },
            {
              "type": "null"
            }
          ]
        }
      },
      "required": [
        "kinds"
      ],
      "additionalProperties": false
    }
    "#);
}

#[test]
fn a_row_has_the_fields_asked_for() {
    let got = described(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" }, "fields": ["kind", "id"] }));
    assert_snapshot!(got.1, @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
      "description": "a row of table rules",
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
        "id": {
          "description": "the id of a row of table rules",
          "type": "string",
          "format": "uuid"
        }
      },
      "required": [
        "kind",
        "id"
      ],
      "additionalProperties": false
    }
    "#);
    let added = described(
        json!({ "kind": "insertRow", "table": "rules", "values": { "text": "a" }, "fields": ["kind", "id"] }),
    );
    assert_eq!(added.1, got.1);
}

#[test]
fn null_is_described_where_it_is_taken() {
    let described = described(json!({ "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": {
        "text": { "arg": "text" }, "kind": { "arg": "kind" }, "meta": { "arg": "meta" },
        "due": { "arg": "due", "validator": { "type": "timestamp" } } } }));
    assert_snapshot!(described.0, @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "arguments of f",
      "description": "what f asks for, to change a row in table rules of live poll",
      "type": "object",
      "properties": {
        "due": {
          "anyOf": [
            {
              "type": "string",
              "format": "date-time"
            },
            {
              "type": "null"
            }
          ]
        },
        "id": {
          "description": "the id of a row of table rules",
          "type": "string",
          "format": "uuid"
        },
        "kind": {
          "description": "when absent, the part of the statement that needs it is left out",
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
        "meta": {
          "description": "when absent, the part of the statement that needs it is left out",
          "anyOf": [
            {
              "description": "any JSON but null",
              "type": [
                "object",
                "array",
                "string",
                "number",
                "boolean"
              ]
            },
            {
              "type": "null"
            }
          ]
        },
        "text": {
          "type": "string",
          "maxLength": 280
        }
      },
      "required": [
        "due",
        "id",
        "text"
      ],
      "additionalProperties": false
    }
    "#);
}

#[test]
fn rows_hold_no_private_column() {
    let (_, result) = described(json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" } }));
    assert!(!result.contains("author"));
    assert_snapshot!(result, @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
      "description": "a row of table rules",
      "type": "object",
      "properties": {
        "id": {
          "description": "the id of a row of table rules",
          "type": "string",
          "format": "uuid"
        },
        "text": {
          "type": "string",
          "maxLength": 280
        },
        "revealed": {
          "type": "boolean"
        },
        "score": {
          "type": "integer",
          "format": "int64",
          "maximum": 1000
        },
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
        "tags": {
          "anyOf": [
            {
              "type": "array",
              "items": {
                "type": "string"
              }
            },
            {
              "type": "null"
            }
          ]
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
        "due": {
          "anyOf": [
            {
              "type": "string",
              "format": "date-time"
            },
            {
              "type": "null"
            }
          ]
        },
        "meta": {
          "anyOf": [
            {
              "description": "any JSON but null",
              "type": [
                "object",
                "array",
                "string",
                "number",
                "boolean"
              ]
            },
            {
              "type": "null"
            }
          ]
        },
        "shape": {
          "anyOf": [
            {
              "type": "object",
              "properties": {
                "x": {
                  "type": "integer",
                  "format": "int64"
                }
              },
              "required": [
                "x"
              ],
              "additionalProperties": false
            },
            {
              "type": "null"
            }
          ]
        },
        "blob": {
          "anyOf": [
            {
              "type": "string",
              "contentEncoding": "base64"
            },
            {
              "type": "null"
            }
          ]
        },
        "account": {
          "anyOf": [
            {
              "type": "string",
              "format": "uuid"
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
      "required": [
        "id",
        "text",
        "revealed",
        "score",
        "kind",
        "tags",
        "price",
        "due",
        "meta",
        "shape",
        "blob",
        "account",
        "created_at",
        "updated_at",
        "version"
      ],
      "additionalProperties": false
    }
    "#);
}

#[test]
fn other_results() {
    let result = |function: Value| described(function).1;
    assert_snapshot!(result(json!({ "kind": "countRows", "table": "rules" })), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
      "type": "integer",
      "format": "int64",
      "minimum": 0
    }
    "#);
    assert_snapshot!(result(json!({ "kind": "deleteRow", "table": "votes", "id": { "arg": "id" } })), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
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
    "#);
    assert_snapshot!(result(json!({ "kind": "queryRows", "table": "votes", "limit": 5 })), @r#"
    {
      "$schema": "https://json-schema.org/draft/2020-12/schema",
      "title": "result of f",
      "type": "array",
      "items": {
        "description": "a row of table votes",
        "type": "object",
        "properties": {
          "id": {
            "description": "the id of a row of table votes",
            "type": "string",
            "format": "uuid"
          },
          "rule": {
            "description": "the id of a row of table rules",
            "type": "string",
            "format": "uuid"
          },
          "user_id": {
            "type": "string"
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
        "required": [
          "id",
          "rule",
          "user_id",
          "created_at",
          "updated_at",
          "version"
        ],
        "additionalProperties": false
      },
      "maxItems": 5
    }
    "#);
}

#[test]
fn types() {
    let columns = json!({
        "a": { "type": "string", "min": 1, "max": 9, "pattern": "^[a-z]+$" },
        "b": { "type": "integer", "min": -1, "max": 9 },
        "c": { "type": "number", "min": -0.5 },
        "d": { "type": "boolean" },
        "e": { "type": "decimal", "min": "0", "max": "9.99" },
        "f": { "type": "timestamp" },
        "g": { "type": "date" },
        "h": { "type": "uuid" },
        "i": { "type": "bytes", "max": 16 },
        "j": { "type": "enum", "values": ["x", "y"] },
        "k": { "type": "array", "items": { "type": "integer", "max": 3 }, "max": 4 },
        "l": { "type": "object", "fields": { "x": { "type": "string" }, "y": { "type": "date", "optional": true } } },
        "m": { "type": "json" },
        "n": { "type": "id", "table": "t" }
    });
    let model = model(&json!({ "tables": { "t": { "columns": columns } } }));
    let lines: Vec<String> = model
        .tables
        .iter()
        .flat_map(|table| &table.columns)
        .map(|column| format!("{} {}", column.name, json_schema_of(&column.column_type).to_value()))
        .collect();
    assert_snapshot!(lines.join("\n"), @r#"
    id {"type":"string","format":"uuid"}
    a {"type":"string","minLength":1,"maxLength":9,"pattern":"^[a-z]+$"}
    b {"type":"integer","format":"int64","minimum":-1,"maximum":9}
    c {"type":"number","format":"double","minimum":-0.5}
    d {"type":"boolean"}
    e {"type":"string","pattern":"^-?[0-9]+(\\.[0-9]+)?$","description":"a decimal as text, from 0 to 9.99"}
    f {"type":"string","format":"date-time"}
    g {"type":"string","format":"date"}
    h {"type":"string","format":"uuid"}
    i {"type":"string","contentEncoding":"base64","maxLength":24}
    j {"type":"string","enum":["x","y"]}
    k {"type":"array","items":{"type":"integer","format":"int64","maximum":3},"maxItems":4}
    l {"type":"object","properties":{"x":{"type":"string"},"y":{"anyOf":[{"type":"string","format":"date"},{"type":"null"}]}},"required":["x"],"additionalProperties":false}
    m {"description":"any JSON but null","type":["object","array","string","number","boolean"]}
    n {"type":"string","format":"uuid","description":"the id of a row of table t"}
    created_at {"type":"string","format":"date-time"}
    updated_at {"type":"string","format":"date-time"}
    version {"type":"integer","format":"int64"}
    "#);
}

/// The JSON Schemas of function `f`'s arguments and result.
fn described(function: Value) -> (String, String) {
    let model = model(&json!({ "tables": tables(), "functions": { "f": function } }));
    let function = model.function("f").unwrap();
    let pretty = |schema: schemars::Schema| serde_json::to_string_pretty(&schema).unwrap();
    (pretty(arguments_schema(function, &model)), pretty(result_schema(function, &model)))
}
