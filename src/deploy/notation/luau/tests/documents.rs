//! What is right becomes the definition document, each part with its line.

use std::fmt::Write;

use crate::deploy::notation::luau::tests::{complaints, read_functions, read_schema, source};
use crate::deploy::notation::luau::{LuauFiles, read};

const SCHEMA: &str = r#"return defineSchema({
  rules = defineTable({
    text = v.string():max(280),
    revealed = v.boolean():default(false),
    score = v.integer():default(0),
    kind = v.enum("fun", "serious"):optional(),
    tags = v.array(v.string()):optional(),
    author = v.string():private(),             -- never leaves the gateway except through a handler
  }):storage("instance"):index("by_score", { "score" }):unique("one_text", { "text" }),

  votes = defineTable({
    rule = v.id("rules"):onDelete("cascade"),
    user_id = v.string(),
  }):storage("instance"):unique("one_vote", { "rule", "user_id" }),
})
"#;

const FUNCTIONS: &str = r#"local functions = {}

functions.getRules = queryRows("rules", {
  filter = all(filter("revealed", "=", true), filter("score", ">=", arg("min", v.integer():optional()))),
  orderBy = "score", orderDir = "desc", limit = arg("limit", v.integer():max(100):default(20)),
  access = "anonymous",
})
functions.addRule    = insertRow("rules", { text = arg("text"), author = identity("userId") }, { access = "editor" })
functions.upvote     = patchRow("rules", arg("id"), { score = increment(1) })
functions.removeRule = deleteRow("rules", arg("id"), { access = "editor" })
functions.oneRule    = getRow("rules", arg("id"))
functions.howMany    = countRows("rules", { filter = { filter("revealed", "=", true), negate(filter("score", "<", 0)) } })
return functions
"#;

fn places(notation: &crate::deploy::notation::luau::Notation, pointers: &[&str]) -> String {
    pointers.iter().fold(String::new(), |mut text, pointer| {
        let place = notation.source_map.locate(pointer).map(ToString::to_string).unwrap_or_default();
        writeln!(text, "{pointer} {place}").unwrap();
        text
    })
}

#[test]
fn the_designs_example() {
    let notation = read(&LuauFiles {
        schema: Some(source("schema", SCHEMA)),
        functions: Some(source("functions", FUNCTIONS)),
        modules: Vec::new(),
    });
    assert_eq!(complaints(&notation), "");
    insta::assert_snapshot!(serde_json::to_string_pretty(&notation.tables).unwrap(), @r#"
    {
      "rules": {
        "columns": {
          "text": {
            "type": "string",
            "max": 280
          },
          "revealed": {
            "type": "boolean",
            "default": false
          },
          "score": {
            "type": "integer",
            "default": 0
          },
          "kind": {
            "type": "enum",
            "values": [
              "fun",
              "serious"
            ],
            "optional": true
          },
          "tags": {
            "type": "array",
            "items": {
              "type": "string"
            },
            "optional": true
          },
          "author": {
            "type": "string",
            "private": true
          }
        },
        "storage": "instance",
        "indexes": {
          "by_score": [
            "score"
          ]
        },
        "uniques": {
          "one_text": [
            "text"
          ]
        }
      },
      "votes": {
        "columns": {
          "rule": {
            "type": "id",
            "table": "rules",
            "onDelete": "cascade"
          },
          "user_id": {
            "type": "string"
          }
        },
        "storage": "instance",
        "uniques": {
          "one_vote": [
            "rule",
            "user_id"
          ]
        }
      }
    }
    "#);
    insta::assert_snapshot!(serde_json::to_string_pretty(&notation.functions).unwrap(), @r#"
    {
      "getRules": {
        "kind": "queryRows",
        "table": "rules",
        "filter": {
          "all": [
            {
              "column": "revealed",
              "op": "=",
              "value": true
            },
            {
              "column": "score",
              "op": ">=",
              "value": {
                "arg": "min",
                "validator": {
                  "type": "integer",
                  "optional": true
                }
              }
            }
          ]
        },
        "orderBy": "score",
        "orderDir": "desc",
        "limit": {
          "arg": "limit",
          "validator": {
            "type": "integer",
            "max": 100,
            "default": 20
          }
        },
        "access": "anonymous"
      },
      "addRule": {
        "kind": "insertRow",
        "table": "rules",
        "values": {
          "text": {
            "arg": "text"
          },
          "author": {
            "identity": "userId"
          }
        },
        "access": "editor"
      },
      "upvote": {
        "kind": "patchRow",
        "table": "rules",
        "id": {
          "arg": "id"
        },
        "values": {
          "score": {
            "increment": 1
          }
        }
      },
      "removeRule": {
        "kind": "deleteRow",
        "table": "rules",
        "id": {
          "arg": "id"
        },
        "access": "editor"
      },
      "oneRule": {
        "kind": "getRow",
        "table": "rules",
        "id": {
          "arg": "id"
        }
      },
      "howMany": {
        "kind": "countRows",
        "table": "rules",
        "filter": {
          "all": [
            {
              "column": "revealed",
              "op": "=",
              "value": true
            },
            {
              "negate": {
                "column": "score",
                "op": "<",
                "value": 0
              }
            }
          ]
        }
      }
    }
    "#);
    insta::assert_snapshot!(places(&notation, &[
        "/tables",
        "/tables/rules",
        "/tables/rules/columns/text",
        "/tables/rules/columns/text/max",
        "/tables/rules/columns/author/private",
        "/tables/rules/storage",
        "/tables/rules/indexes/by_score",
        "/tables/rules/uniques/one_text/0",
        "/tables/votes/columns/rule/table",
        "/functions/getRules",
        "/functions/getRules/table",
        "/functions/getRules/filter/all/1/value/validator",
        "/functions/getRules/orderDir",
        "/functions/getRules/access",
        "/functions/addRule/values/author",
        "/functions/howMany/filter/all/1/negate",
    ]), @r#"
    /tables server/schema.luau:1
    /tables/rules server/schema.luau:2
    /tables/rules/columns/text server/schema.luau:3
    /tables/rules/columns/text/max server/schema.luau:3
    /tables/rules/columns/author/private server/schema.luau:8
    /tables/rules/storage server/schema.luau:9
    /tables/rules/indexes/by_score server/schema.luau:9
    /tables/rules/uniques/one_text/0 server/schema.luau:9
    /tables/votes/columns/rule/table server/schema.luau:12
    /functions/getRules server/functions.luau:3
    /functions/getRules/table server/functions.luau:3
    /functions/getRules/filter/all/1/value/validator server/functions.luau:4
    /functions/getRules/orderDir server/functions.luau:5
    /functions/getRules/access server/functions.luau:6
    /functions/addRule/values/author server/functions.luau:8
    /functions/howMany/filter/all/1/negate server/functions.luau:12
    "#);
}

#[test]
fn every_type_and_modifier() {
    let notation = read_schema(
        r#"
        return defineSchema({ things = defineTable({
          z = v.string():min(1):max(5):pattern("^a"):unique():private(),
          y = v.integer():min(-9007199254740992):max(9007199254740992),
          x = v.number():min(-1.5):max(1e300):default(0.5),
          w = v.decimal():default("0.10"):max("99.99"),
          u = v.timestamp():default(now()),
          t = v.date():optional(),
          s = v.uuid(),
          r = v.bytes():max(1024),
          q = v.enum({ "a", "b" }):default("a"),
          p = v.id("things"):optional():onDelete("setNull"),
          o = v.array(v.enum("a", "b")):max(3):default({}),
          n = v.object({ b = v.string(), a = v.object({ c = v.integer():optional() }) }):default({ b = "x" }),
          m = v.json():default({}),
          l = v.json():default({ 1, { k = null } }),
        }) })"#,
    );
    assert_eq!(complaints(&notation), "");
    insta::assert_snapshot!(columns(&notation.tables["things"]["columns"]), @r#"
    z {"type":"string","min":1,"max":5,"pattern":"^a","unique":true,"private":true}
    y {"type":"integer","min":-9007199254740992,"max":9007199254740992}
    x {"type":"number","min":-1.5,"max":1e+300,"default":0.5}
    w {"type":"decimal","default":"0.10","max":"99.99"}
    u {"type":"timestamp","default":{"now":true}}
    t {"type":"date","optional":true}
    s {"type":"uuid"}
    r {"type":"bytes","max":1024}
    q {"type":"enum","values":["a","b"],"default":"a"}
    p {"type":"id","table":"things","optional":true,"onDelete":"setNull"}
    o {"type":"array","items":{"type":"enum","values":["a","b"]},"max":3,"default":[]}
    n {"type":"object","fields":{"b":{"type":"string"},"a":{"type":"object","fields":{"c":{"type":"integer","optional":true}}}},"default":{"literal":{"b":"x"}}}
    m {"type":"json","default":{"literal":{}}}
    l {"type":"json","default":[1,{"k":null}]}
    "#);
}

fn columns(object: &serde_json::Value) -> String {
    let lines = object.as_object().unwrap().iter().map(|(name, column)| format!("{name} {column}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn options_pass_through_unjudged() {
    let notation = read_functions(
        r#"
return {
  b = queryRows("rules", { limitt = 5, page = true, orderBy = { { column = "score", dir = "desc" }, "text" } }),
  a = queryRows("rules", { filter = any(filter("kind", "in", { "x", "y" }), filter("kind", "~", null)),
    limit = "many", access = 3, editorOnly = true, expand = { "author" },
    filtr = arg("x") }),
  c = insertRow("rules", { doc = { a = { 1, 2 } }, empty = {}, at = now(), by = increment(arg("n")) }),
  d = countRows("rules", { filter = {} }),
}"#,
    );
    assert_eq!(complaints(&notation), "");
    insta::assert_snapshot!(columns(&notation.functions), @r#"
    b {"kind":"queryRows","table":"rules","limitt":5,"page":true,"orderBy":[{"column":"score","dir":"desc"},"text"]}
    a {"kind":"queryRows","table":"rules","filter":{"any":[{"column":"kind","op":"in","value":["x","y"]},{"column":"kind","op":"~","value":null}]},"limit":"many","access":3,"editorOnly":true,"expand":["author"],"filtr":{"arg":"x"}}
    c {"kind":"insertRow","table":"rules","values":{"doc":{"literal":{"a":[1,2]}},"empty":{"literal":{}},"at":{"now":true},"by":{"increment":{"arg":"n"}}}}
    d {"kind":"countRows","table":"rules","filter":{"all":[]}}
    "#);
    insta::assert_snapshot!(places(&notation, &[
        "/functions/b/limitt",
        "/functions/a/filter/any/1/op",
        "/functions/a/limit",
        "/functions/a/filtr",
        "/functions/c/values/doc",
    ]), @r#"
    /functions/b/limitt server/functions.luau:3
    /functions/a/filter/any/1/op server/functions.luau:4
    /functions/a/limit server/functions.luau:5
    /functions/a/filtr server/functions.luau:6
    /functions/c/values/doc server/functions.luau:7
    "#);
}

#[test]
fn builders_are_values_and_modules_share_them() {
    let notation = read(&LuauFiles {
        schema: Some(source(
            "schema",
            r#"local columns = require("./columns")
local short = columns.short
local t = { b = short, a = short:optional(), c = v.string() }
for _, name in { "y", "x" } do
  t[name] = v.integer()
end
return defineSchema({ one = defineTable(t), two = defineTable(columns.common) })"#,
        )),
        functions: None,
        modules: vec![
            source("columns", "return {\n  short = v.string():max(9),\n  common = require(\"common\"),\n}"),
            source("common", "return {\n\n  z = v.date(),\n  a = v.date(),\n}"),
        ],
    });
    assert_eq!(complaints(&notation), "");
    insta::assert_snapshot!(columns(&notation.tables), @r#"
    one {"columns":{"a":{"type":"string","max":9,"optional":true},"b":{"type":"string","max":9},"c":{"type":"string"},"y":{"type":"integer"},"x":{"type":"integer"}}}
    two {"columns":{"z":{"type":"date"},"a":{"type":"date"}}}
    "#);
    insta::assert_snapshot!(places(&notation, &["/tables/one/columns/c", "/tables/one/columns/x", "/tables/two/columns/a"]), @r#"
    /tables/one/columns/c server/schema.luau:3
    /tables/one/columns/x server/schema.luau:5
    /tables/two/columns/a server/common.luau:4
    "#);
}
