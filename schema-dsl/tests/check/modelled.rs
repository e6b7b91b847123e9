//! What a sound definition becomes.

use std::fmt::Write;

use insta::assert_snapshot;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::function::Function;
use rowgate_schema_dsl::model::{Model, Table};
use serde_json::{Value, json};

use crate::document::{model, tables};

#[test]
fn tables_and_functions_are_sorted_and_resolved() {
    let document = json!({ "tables": tables(), "functions": {
        "vote": { "kind": "insertRow", "table": "votes", "values": { "rule": { "arg": "rule" }, "user_id": { "identity": "userId" } } },
        "getRules": {
            "kind": "queryRows", "table": "rules", "access": "anonymous",
            "filter": { "all": [
                { "column": "revealed", "op": "=", "value": true },
                { "column": "score", "op": ">=", "value": { "arg": "min", "validator": { "type": "integer", "optional": true } } },
                { "any": [
                    { "column": "kind", "op": "in", "value": { "arg": "kinds" } },
                    { "negate": { "column": "author", "op": "=", "value": { "identity": "userId" } } },
                    { "column": "due", "op": "<", "value": { "now": true } }
                ] }
            ] },
            "orderBy": [{ "column": "score", "dir": "desc" }, { "column": "id" }],
            "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } },
            "offset": { "arg": "offset" }
        },
        "all": { "kind": "queryRows", "table": "rules" },
        "byId": { "kind": "getRow", "table": "rules", "id": { "arg": "id" } },
        "tally": { "kind": "countRows", "table": "votes", "filter": { "column": "rule", "op": "=", "value": { "arg": "rule" } } },
        "addRule": { "kind": "insertRow", "table": "rules", "access": "anonymous", "values": {
            "text": { "arg": "text" }, "kind": { "arg": "kind" }, "score": { "arg": "score" }, "author": { "identity": "userId" },
            "shape": { "literal": { "x": 1 } }, "due": { "now": true } } },
        "upvote": { "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": {
            "score": { "increment": { "arg": "by", "validator": { "type": "integer", "min": 1, "max": 3, "default": 1 } } },
            "price": { "increment": "0.10" } } },
        "editRule": { "kind": "patchRow", "table": "rules", "id": { "arg": "id" }, "values": {
            "text": { "arg": "text" }, "revealed": { "arg": "revealed", "validator": { "type": "boolean", "optional": true } },
            "kind": { "arg": "kind" }, "meta": null } },
        "removeRule": { "kind": "deleteRow", "table": "rules", "id": { "arg": "id" } }
    } });
    assert_snapshot!(rendered(&model(&document)), @r#"
    ext_0190a5c8_7d3a_7c4e_9b1f_2f6d8e4a1b3c live poll
    table rules per instance
      id {"type":"uuid"}
      text {"type":"string","max":280}
      revealed {"type":"boolean"}, Value(Bool(false))
      score {"type":"integer","max":1000}, Value(Int8(0))
      kind {"type":"enum","values":["fun","serious"]} or null
      tags {"type":"array","items":{"type":"string"}} or null
      price {"type":"decimal"} or null
      due {"type":"timestamp"} or null
      meta {"type":"json"} or null
      shape {"type":"object","fields":{"x":{"type":"integer"}}} or null
      blob {"type":"bytes"} or null
      account {"type":"uuid"} or null
      author {"type":"string"}, private, Value(Text(""))
      created_at {"type":"timestamp"}, Now
      updated_at {"type":"timestamp"}, Now
      version {"type":"integer"}, Value(Int8(1))
      index by_score (score) as rules_by_score_idx
    table votes per instance
      id {"type":"uuid"}
      rule {"type":"id","table":"rules","onDelete":"cascade"}
      user_id {"type":"string"}
      created_at {"type":"timestamp"}, Now
      updated_at {"type":"timestamp"}, Now
      version {"type":"integer"}, Value(Int8(1))
      unique one_vote (rule, user_id) as votes_one_vote_key
    function addRule for anonymous
      kind: {"type":"enum","values":["fun","serious"]} or null, Dropped
      score: {"type":"integer","max":1000}, Dropped
      text: {"type":"string","max":280}, Refused
      = InsertRow { table: rules, values: [Assignment { column: text, value: Source(Argument(2)) }, Assignment { column: kind, value: Source(Argument(0)) }, Assignment { column: score, value: Source(Argument(1)) }, Assignment { column: author, value: Source(Identity(UserId)) }, Assignment { column: shape, value: Source(Literal(Jsonb("{\"x\":1})) }, Assignment { column: due, value: Source(Now) }], fields: [id, text, revealed, score, kind, tags, price, due, meta, shape, blob, account, created_at, updated_at, version], conflict: Error }
    function all for viewer
      = QueryRows { table: rules, filter: None, order_by: [], limit: Literal(1000), offset: None, page: None, fields: [id, text, revealed, score, kind, tags, price, due, meta, shape, blob, account, created_at, updated_at, version], expand: [] }
    function byId for viewer
      id: {"type":"id","table":"rules"}, Refused
      = GetRow { table: rules, id: Argument(0), fields: [id, text, revealed, score, kind, tags, price, due, meta, shape, blob, account, created_at, updated_at, version], expand: [] }
    function editRule for editor
      id: {"type":"id","table":"rules"}, Refused
      kind: {"type":"enum","values":["fun","serious"]} or null, Dropped
      revealed: {"type":"boolean"}, Dropped
      text: {"type":"string","max":280}, Refused
      = PatchRow { table: rules, id: Argument(0), values: [Assignment { column: text, value: Source(Argument(3)) }, Assignment { column: revealed, value: Source(Argument(2)) }, Assignment { column: kind, value: Source(Argument(1)) }, Assignment { column: meta, value: Source(Literal(Null)) }], version: None, fields: [id, text, revealed, score, kind, tags, price, due, meta, shape, blob, account, created_at, updated_at, version] }
    function getRules for anonymous
      kinds: {"type":"array","items":{"type":"enum","values":["fun","serious"]},"max":1000}, Refused
      limit: {"type":"integer","min":0,"max":100}, Default(Int8(20))
      min: {"type":"integer"}, Dropped
      offset: {"type":"integer","min":0,"max":100000}, Default(Int8(0))
      = QueryRows { table: rules, filter: Some(All([Compare { column: revealed, operator: Equal, value: Literal(Bool(true)) }, Compare { column: score, operator: GreaterOrEqual, value: Argument(2) }, Any([Compare { column: kind, operator: In, value: Argument(0) }, Negate(Compare { column: author, operator: Equal, value: Identity(UserId) }), Compare { column: due, operator: Less, value: Now }])])), order_by: [Order { column: score, direction: Desc }, Order { column: id, direction: Asc }], limit: Argument { argument: 1, max: 100 }, offset: Some(Argument(3)), page: None, fields: [id, text, revealed, score, kind, tags, price, due, meta, shape, blob, account, created_at, updated_at, version], expand: [] }
    function removeRule for editor
      id: {"type":"id","table":"rules"}, Refused
      = DeleteRow { table: rules, id: Argument(0), version: None }
    function tally for viewer
      rule: {"type":"id","table":"rules"}, Refused
      = CountRows { table: votes, filter: Some(Compare { column: rule, operator: Equal, value: Argument(0) }) }
    function upvote for editor
      by: {"type":"integer","min":1,"max":3}, Default(Int8(1))
      id: {"type":"id","table":"rules"}, Refused
      = PatchRow { table: rules, id: Argument(1), values: [Assignment { column: score, value: Increment(Argument(0)) }, Assignment { column: price, value: Increment(Literal(Numeric("0.10)) }], version: None, fields: [id, text, revealed, score, kind, tags, price, due, meta, shape, blob, account, created_at, updated_at, version] }
    function vote for editor
      rule: {"type":"id","table":"rules"}, Refused
      = InsertRow { table: votes, values: [Assignment { column: rule, value: Source(Argument(0)) }, Assignment { column: user_id, value: Source(Identity(UserId)) }], fields: [id, rule, user_id, created_at, updated_at, version], conflict: Error }
    "#);
}

#[test]
fn a_unique_column_is_an_index_of_its_name() {
    let document = json!({ "tables": { "t": {
        "columns": { "slug": { "type": "string", "unique": true }, "at": { "type": "date" } },
        "indexes": { "a_first": ["at", "slug"] }, "uniques": { "z_last": ["slug", "at"] }
    } } });
    assert_snapshot!(rendered(&model(&document)), @r#"
    ext_0190a5c8_7d3a_7c4e_9b1f_2f6d8e4a1b3c live poll
    table t per instance
      id {"type":"uuid"}
      slug {"type":"string"}
      at {"type":"date"}
      created_at {"type":"timestamp"}, Now
      updated_at {"type":"timestamp"}, Now
      version {"type":"integer"}, Value(Int8(1))
      index a_first (at, slug) as t_a_first_idx
      unique slug (slug) as t_slug_key
      unique z_last (slug, at) as t_z_last_key
    "#);
}

#[test]
fn access_is_the_least_that_is_safe() {
    let functions = json!({
        "read": { "kind": "countRows", "table": "rules" },
        "write": { "kind": "deleteRow", "table": "rules", "id": { "arg": "id" } },
        "open": { "kind": "deleteRow", "table": "rules", "id": { "arg": "id" }, "access": "anonymous" }
    });
    let model = model(&json!({ "tables": tables(), "functions": functions }));
    let access = |name: &str| model.function(name).unwrap().access;
    assert_eq!((access("read"), access("write"), access("open")), (Role::Viewer, Role::Editor, Role::Anonymous));
}

#[test]
fn arguments_of_two_uses() {
    // Asking for a score that no row can have is no mistake: a filter has no limits.
    let both = json!([["score", "="], ["score", "<"]]);
    assert_snapshot!(arguments(filters(&both)), @r#"x: {"type":"integer"}, Refused"#);
    // Optional for one column, required by another: required, and null is no value.
    let insert = |values: Value| json!({ "kind": "insertRow", "table": "rules", "values": values });
    assert_snapshot!(arguments(insert(json!({ "text": { "arg": "x" } }))), @r#"x: {"type":"string","max":280}, Refused"#);
    assert_snapshot!(arguments(insert(json!({ "text": { "arg": "x" }, "author": { "arg": "x" } }))), @r#"x: {"type":"string","max":280}, Refused"#);
    assert_snapshot!(arguments(insert(json!({ "text": { "arg": "x" }, "kind": { "arg": "x" } }))), @r#"x: {"type":"enum","values":["fun","serious"]}, Refused"#);
    assert_snapshot!(arguments(insert(json!({ "text": "x", "kind": { "arg": "x" } }))), @r#"x: {"type":"enum","values":["fun","serious"]} or null, Dropped"#);
    // A validator speaks for every use, unless one of them cannot do without a value.
    let optional = json!({ "arg": "x", "validator": { "type": "string", "optional": true } });
    assert_snapshot!(arguments(insert(json!({ "text": { "arg": "x" }, "author": optional }))), @r#"x: {"type":"string"}, Refused"#);
    assert_snapshot!(arguments(insert(json!({ "text": "x", "author": optional }))), @r#"x: {"type":"string"}, Dropped"#);
    let required = json!({ "arg": "x", "validator": { "type": "enum", "values": ["fun"] } });
    assert_snapshot!(arguments(insert(json!({ "text": "x", "kind": required }))), @r#"x: {"type":"enum","values":["fun"]} or null, Refused"#);
}

#[test]
fn arguments_that_page() {
    let query = |limit: Value, offset: Value| json!({ "kind": "queryRows", "table": "rules", "limit": limit, "offset": offset });
    assert_snapshot!(arguments(query(json!({ "arg": "n" }), json!({ "arg": "skip" }))), @r#"
    n: {"type":"integer","min":0,"max":1000}, Default(Int8(1000))
    skip: {"type":"integer","min":0,"max":100000}, Default(Int8(0))
    "#);
    let capped = json!({ "arg": "n", "validator": { "type": "integer", "max": 50 } });
    let from_ten = json!({ "arg": "skip", "validator": { "type": "integer", "min": 10, "optional": true } });
    assert_snapshot!(arguments(query(capped, from_ten)), @r#"
    n: {"type":"integer","min":0,"max":50}, Default(Int8(50))
    skip: {"type":"integer","min":10,"max":100000}, Default(Int8(10))
    "#);
    // No one number can stand in for both.
    assert_snapshot!(arguments(query(json!({ "arg": "n" }), json!({ "arg": "n" }))), @r#"n: {"type":"integer","min":0,"max":1000}, Refused"#);
    let filtered = json!({ "kind": "queryRows", "table": "rules", "limit": { "arg": "n" },
        "filter": { "column": "score", "op": ">", "value": { "arg": "n" } } });
    assert_snapshot!(arguments(filtered), @r#"n: {"type":"integer","min":0,"max":1000}, Refused"#);
}

#[test]
fn a_limit_knows_its_arguments_maximum() {
    let capped = json!({ "arg": "n", "validator": { "type": "integer", "max": 50 } });
    let functions = json!({ "f": { "kind": "queryRows", "table": "rules", "limit": capped } });
    let model = model(&json!({ "tables": tables(), "functions": functions }));
    assert_snapshot!(format!("{:?}", model.function("f").unwrap().body), @r#"QueryRows { table: Name("rules"), filter: None, order_by: [], limit: Argument { argument: 0, max: 50 }, offset: None, page: None, fields: [Name("id"), Name("text"), Name("revealed"), Name("score"), Name("kind"), Name("tags"), Name("price"), Name("due"), Name("meta"), Name("shape"), Name("blob"), Name("account"), Name("created_at"), Name("updated_at"), Name("version")], expand: [] }"#);
}

fn filters(columns: &Value) -> Value {
    let all: Vec<Value> = columns
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| json!({ "column": pair[0], "op": pair[1], "value": { "arg": "x" } }))
        .collect();
    json!({ "kind": "queryRows", "table": "rules", "filter": { "any": all } })
}

/// The arguments of function `f`, a line each.
fn arguments(function: Value) -> String {
    let model = model(&json!({ "tables": tables(), "functions": { "f": function } }));
    let lines: Vec<String> = argument_lines(model.function("f").unwrap()).collect();
    lines.join("\n")
}

fn argument_lines(function: &Function) -> impl Iterator<Item = String> {
    function.arguments.iter().map(|argument| {
        let nullable = if argument.nullable { " or null" } else { "" };
        let column_type = serde_json::to_string(&argument.column_type).unwrap();
        format!("{}: {column_type}{nullable}, {:?}", argument.name, argument.absence)
    })
}

fn rendered(model: &Model) -> String {
    let mut out = format!("{} {}\n", model.postgres_schema, model.extension.name);
    for table in &model.tables {
        render_table(table, &mut out);
    }
    for function in &model.functions {
        writeln!(out, "function {} for {}", function.name, function.access.as_str()).unwrap();
        for line in argument_lines(function) {
            writeln!(out, "  {line}").unwrap();
        }
        let body = format!("{:?}", function.body).replace("Name(\"", "").replace("\")", "");
        writeln!(out, "  = {body}").unwrap();
    }
    out
}

fn render_table(table: &Table, out: &mut String) {
    writeln!(out, "table {} per {}", table.name, table.scope.as_str()).unwrap();
    for column in &table.columns {
        let column_type = serde_json::to_string(&column.column_type).unwrap();
        let optional = if column.optional { " or null" } else { "" };
        let private = if column.private { ", private" } else { "" };
        let default = column.default.as_ref().map(|default| format!(", {default:?}")).unwrap_or_default();
        writeln!(out, "  {} {column_type}{optional}{private}{default}", column.name).unwrap();
    }
    for index in &table.indexes {
        let columns: Vec<&str> = index.columns.iter().map(|name| name.as_str()).collect();
        let kind = if index.unique { "unique" } else { "index" };
        writeln!(out, "  {kind} {} ({}) as {}", index.name, columns.join(", "), table.index_identifier(index)).unwrap();
    }
}
