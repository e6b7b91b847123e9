//! Each kind of function beside its SQL and what is bound to it.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::plan::statement::Binding;
use crate::plan::tests::plan;

/// Every statement of `function` over a table `t`: which arguments it is for, its text with the
/// extension's Postgres schema as `ext`, and its parameters.
pub(super) fn sql(function: Value) -> String {
    let tables = json!({
        "t": { "columns": {
            "text": { "type": "string" },
            "score": { "type": "integer", "default": 0 },
            "rank": { "type": "integer", "optional": true },
            "price": { "type": "decimal", "optional": true },
            "kind": { "type": "enum", "values": ["fun", "it's"], "default": "fun" },
            "due": { "type": "timestamp", "default": { "now": true } },
            "day": { "type": "date", "optional": true },
            "tags": { "type": "array", "items": { "type": "decimal" }, "default": [] },
            "names": { "type": "array", "items": { "type": "string" }, "private": true, "default": [] },
            "open": { "type": "boolean", "optional": true },
            "note": { "type": "json", "optional": true },
            "author": { "type": "string", "private": true, "default": "nobody" },
        }, "uniques": { "one_text": ["text"], "one_place": ["kind", "day"] } },
    });
    shown(&plan(tables, function))
}

pub(super) fn shown(plan: &Plan) -> String {
    let name = |place: &usize| plan.arguments.name(*place).unwrap();
    let mut text = String::new();
    let sides = plan.page().map_or(1, crate::plan::page::Page::side_count);
    // The guarded form of every patch and delete differs by one condition; it is shown where it is asked for.
    let guarded = plan.guard.iter().filter(|guard| guard.argument.is_some()).map(|guard| &guard.statement);
    for (place, statement) in plan.variants.iter().chain(guarded).enumerate() {
        let bits = place / sides;
        if !plan.optional.is_empty() {
            let given = plan.optional.iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
            let given: Vec<&str> = given.map(|(_, place)| name(place)).collect();
            text.push_str(&format!("[{}]\n", given.join(" ")));
        }
        text.push_str(&statement.sql.replace("\"ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f\"", "ext"));
        text.push('\n');
        for (index, (binding, wire_type)) in statement.bindings.iter().zip(&statement.types).enumerate() {
            let from = match binding {
                Binding::Argument(place) => format!("argument {}", name(place)),
                Binding::ArgumentOr(place, default) => format!("argument {} or {default:?}", name(place)),
                Binding::Pattern { argument, anchor } => format!("pattern of {} at {anchor:?}", name(argument)),
                Binding::Element { argument, .. } => format!("list of {}", name(argument)),
                Binding::Given(place) => format!("whether {} is given", name(place)),
                Binding::Identity { field, text } => {
                    format!("{}{}", field.as_str(), if *text { " as text" } else { "" })
                }
                Binding::Literal(value) => format!("{value:?}"),
                Binding::Scope => "scope".to_owned(),
                Binding::NewId => "new id".to_owned(),
                Binding::RowIds => "new ids".to_owned(),
                Binding::Rows { place, or, as_text } => {
                    format!("each {} or {or:?}{}", name(place), if *as_text { " as text" } else { "" })
                }
                Binding::RowIdsGiven(place) => format!("new ids of those with {}", name(place)),
                Binding::RowsGiven(place) => format!("whether each {} is given", name(place)),
                Binding::Cursor(key) => format!("key {key} of the cursor"),
                Binding::Version(place) => {
                    format!(
                        "version of the call{}",
                        place.map_or_else(String::new, |place| format!(" or argument {}", name(&place)))
                    )
                }
                Binding::Row { step, column } => format!("{column} of step {step}"),
                Binding::PageRows => "one row more than the page has".to_owned(),
            };
            text.push_str(&format!("  ${} {wire_type} = {from}\n", index + 1));
        }
    }
    text
}

/// The condition of a query with this filter: what follows `scope_key = $1`.
fn condition(filter: Value) -> String {
    let text = sql(json!({ "kind": "countRows", "table": "t", "filter": filter }));
    text.replace("SELECT COUNT(*) FROM ext.\"t\" WHERE \"scope_key\" = $1", "…").replace("  $1 uuid = scope\n", "")
}

fn compare(column: &str, op: &str, value: impl Into<Value>) -> Value {
    json!({ "column": column, "op": op, "value": value.into() })
}

/// A comparison that is left out where its argument is.
fn optional(column: &str, op: &str, argument: &str, word: &str) -> Value {
    compare(column, op, json!({ "arg": argument, "validator": { "type": word, "optional": true } }))
}

#[test]
fn query_rows() {
    assert_snapshot!(sql(json!({ "kind": "queryRows", "table": "t" })), @r#"
    SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 ORDER BY "t"."id" ASC LIMIT 1000
      $1 uuid = scope
    "#);
    assert_snapshot!(sql(json!({
        "kind": "queryRows", "table": "t", "orderBy": [{ "column": "score", "dir": "desc" }, { "column": "text" }],
        "limit": 20, "offset": 40,
    })), @r#"
    SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 ORDER BY "t"."score" DESC, "t"."text" ASC, "t"."id" ASC LIMIT 20 OFFSET 40
      $1 uuid = scope
    "#);
    assert_snapshot!(sql(json!({
        "kind": "queryRows", "table": "t", "orderBy": "price", "orderDir": "desc",
        "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } },
        "offset": { "arg": "skip" },
    })), @r#"
    SELECT "id", "text", "score", "rank", "price", "kind", "due", "day", "tags", "open", "note", "created_at", "updated_at", "version" FROM (SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 ORDER BY "t"."price" DESC, "t"."id" DESC LIMIT 100 OFFSET $2) AS "page" LIMIT $3
      $1 uuid = scope
      $2 int8 = argument skip
      $3 int8 = argument limit
    "#);
    assert_snapshot!(sql(json!({ "kind": "queryRows", "table": "t", "orderBy": [{ "column": "id", "dir": "desc" }, { "column": "text" }] })), @r#"
    SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 ORDER BY "t"."id" DESC LIMIT 1000
      $1 uuid = scope
    "#);
}

#[test]
fn a_condition_on_an_absent_argument_is_left_out() {
    assert_snapshot!(sql(json!({
        "kind": "countRows", "table": "t",
        "filter": { "all": [optional("score", ">=", "min", "integer"), optional("score", "<", "max", "integer")] },
    })), @r#"
    []
    SELECT COUNT(*) FROM ext."t" WHERE "scope_key" = $1
      $1 uuid = scope
    [max]
    SELECT COUNT(*) FROM ext."t" WHERE "scope_key" = $1 AND "score" < $2
      $1 uuid = scope
      $2 int8 = argument max
    [min]
    SELECT COUNT(*) FROM ext."t" WHERE "scope_key" = $1 AND "score" >= $2
      $1 uuid = scope
      $2 int8 = argument min
    [max min]
    SELECT COUNT(*) FROM ext."t" WHERE "scope_key" = $1 AND ("score" >= $2 AND "score" < $3)
      $1 uuid = scope
      $2 int8 = argument min
      $3 int8 = argument max
    "#);
    assert_snapshot!(condition(json!({ "any": [compare("open", "=", true), { "negate": optional("text", "=", "x", "string") }] })), @r#"
    []
    … AND "open" = TRUE
    [x]
    … AND ("open" = TRUE OR (NOT "text" = $2))
      $2 text = argument x
    "#);
    assert_snapshot!(condition(json!({ "negate": { "any": [optional("text", "=", "x", "string")] } })), @r#"
    []
    …
    [x]
    … AND (NOT "text" = $2)
      $2 text = argument x
    "#);
}

#[test]
fn operators() {
    assert_snapshot!(condition(compare("text", "!=", "it's")), @r#"
    … AND "text" <> $2
      $2 text = Text("it's")
    "#);
    assert_snapshot!(condition(compare("score", "<=", -5)), @r#"… AND "score" <= -5"#);
    assert_snapshot!(condition(compare("score", ">", i64::MIN)), @r#"… AND "score" > -9223372036854775808"#);
    assert_snapshot!(condition(compare("price", ">", "10.50")), @r#"
    … AND "price" > CAST($2 AS numeric)
      $2 text = Numeric("10.50")
    "#);
    assert_snapshot!(condition(compare("tags", "=", json!(["1.5"]))), @r#"
    … AND "tags" = CAST($2 AS numeric[])
      $2 _text = Array(Numeric, [Numeric("1.5")])
    "#);
    assert_snapshot!(condition(compare("price", "in", json!({ "arg": "prices" }))), @r#"
    … AND "price" = ANY(CAST($2 AS numeric[]))
      $2 _text = argument prices
    "#);
    assert_snapshot!(condition(compare("kind", "in", json!(["fun", "it's"]))), @r#"
    … AND "kind" = ANY($2)
      $2 _text = Array(Text, [Text("fun"), Text("it's")])
    "#);
    assert_snapshot!(condition(compare("author", "=", json!({ "identity": "accountId" }))), @r#"
    … AND "author" = $2
      $2 text = accountId as text
    "#);
    assert_snapshot!(condition(compare("due", "<", json!({ "now": true }))), @r#"… AND "due" < now()"#);
    assert_snapshot!(condition(compare("day", "=", json!({ "now": true }))), @r#"… AND "day" = CAST(now() AS date)"#);
}

#[test]
fn fields() {
    let with = |mut function: Value| {
        function["fields"] = json!(["price", "id", "tags"]);
        sql(function)
    };
    assert_snapshot!(with(json!({ "kind": "queryRows", "table": "t", "orderBy": "score", "limit": { "arg": "limit" } })), @r#"
    SELECT "price", "id", "tags" FROM (SELECT CAST("price" AS text) AS "price", "id", CAST("tags" AS text[]) AS "tags" FROM ext."t" WHERE "scope_key" = $1 ORDER BY "t"."score" ASC, "t"."id" ASC LIMIT 1000) AS "page" LIMIT $2
      $1 uuid = scope
      $2 int8 = argument limit
    "#);
    assert_snapshot!(with(json!({ "kind": "getRow", "table": "t", "id": { "arg": "id" } })), @r#"
    SELECT CAST("price" AS text) AS "price", "id", CAST("tags" AS text[]) AS "tags", "version" FROM ext."t" WHERE "scope_key" = $1 AND "id" = $2
      $1 uuid = scope
      $2 uuid = argument id
    "#);
    assert_snapshot!(with(json!({ "kind": "insertRow", "table": "t", "values": { "text": "a" } })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "text") VALUES ($1, $2, $3) RETURNING CAST("price" AS text), "id", CAST("tags" AS text[]), "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = Text("a")
    "#);
    assert_snapshot!(with(json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": { "text": "a" } })), @r#"
    UPDATE ext."t" SET "text" = $1, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $2 AND "id" = $3 RETURNING CAST("price" AS text), "id", CAST("tags" AS text[]), "version"
      $1 text = Text("a")
      $2 uuid = scope
      $3 uuid = argument id
    "#);
}

/// Every statement of `function` over tables of which one refers to the other and to itself.
fn expanding(function: Value) -> String {
    let tables = json!({
        "rules": { "columns": {
            "text": { "type": "string" },
            "price": { "type": "decimal" },
            "prices": { "type": "array", "items": { "type": "decimal" } },
            "hidden": { "type": "string", "private": true },
            "parent_id": { "type": "id", "table": "rules", "optional": true },
        } },
        "votes": { "columns": { "rule": { "type": "id", "table": "rules" }, "weight": { "type": "decimal" } } },
    });
    shown(&plan(tables, function))
}

#[test]
fn expand() {
    assert_snapshot!(expanding(json!({
        "kind": "getRow", "table": "votes", "id": { "arg": "id" }, "fields": ["weight"], "expand": ["rule"],
    })), @r#"
    SELECT "weight", (SELECT ROW("ruleRow"."id", "ruleRow"."text", CAST("ruleRow"."price" AS text), CAST("ruleRow"."prices" AS text[]), "ruleRow"."parent_id", "ruleRow"."created_at", "ruleRow"."updated_at", "ruleRow"."version") FROM ext."rules" AS "ruleRow" WHERE "ruleRow"."scope_key" = $1 AND "ruleRow"."id" = "_row"."rule") AS "ruleRow" FROM (SELECT CAST("weight" AS text) AS "weight", "rule" FROM ext."votes" WHERE "scope_key" = $1 AND "id" = $2) AS "_row"
      $1 uuid = scope
      $2 uuid = argument id
    "#);
    assert_snapshot!(expanding(json!({
        "kind": "queryRows", "table": "rules", "fields": ["id", "text"], "limit": 3, "offset": 5,
        "expand": {
            "parent_id": { "fields": ["id"] },
            "children": { "table": "rules", "by": "parent_id", "fields": ["price"], "orderBy": "price", "orderDir": "desc", "limit": 2 },
            "votes": { "table": "votes", "by": "rule", "fields": ["weight", "id"], "orderBy": ["id", "weight"] },
        },
    })), @r#"
    SELECT "id", "text", (SELECT ROW("parent"."id") FROM ext."rules" AS "parent" WHERE "parent"."scope_key" = $1 AND "parent"."id" = "_row"."parent_id") AS "parent", ARRAY (SELECT ROW(CAST("children"."price" AS text)) FROM ext."rules" AS "children" WHERE "children"."scope_key" = $1 AND "children"."parent_id" = "_row"."id" ORDER BY "children"."price" DESC, "children"."id" DESC LIMIT 2) AS "children", ARRAY (SELECT ROW(CAST("votes"."weight" AS text), "votes"."id") FROM ext."votes" AS "votes" WHERE "votes"."scope_key" = $1 AND "votes"."rule" = "_row"."id" ORDER BY "votes"."id" ASC LIMIT 20) AS "votes" FROM (SELECT "id", "text", "parent_id" FROM ext."rules" WHERE "scope_key" = $1 ORDER BY "rules"."id" ASC LIMIT 3 OFFSET 5) AS "_row"
      $1 uuid = scope
    "#);
    assert_snapshot!(expanding(json!({
        "kind": "queryRows", "table": "rules", "fields": ["text"], "page": true, "orderBy": "price",
        "limit": { "arg": "limit", "validator": { "type": "integer", "max": 9 } },
        "expand": { "parent_id": { "fields": ["text"] } },
    })), @r#"
    SELECT "text", (SELECT ROW("parent"."text") FROM ext."rules" AS "parent" WHERE "parent"."scope_key" = $1 AND "parent"."id" = "_row"."parent_id") AS "parent", "price", "id" FROM (SELECT "text", CAST("price" AS text) AS "price", "id", "parent_id" FROM ext."rules" WHERE "scope_key" = $1 ORDER BY "rules"."price" ASC, "rules"."id" ASC LIMIT 10) AS "_row" LIMIT $2
      $1 uuid = scope
      $2 int8 = one row more than the page has
    SELECT "text", (SELECT ROW("parent"."text") FROM ext."rules" AS "parent" WHERE "parent"."scope_key" = $1 AND "parent"."id" = "_row"."parent_id") AS "parent", "price", "id" FROM (SELECT "text", CAST("price" AS text) AS "price", "id", "parent_id" FROM ext."rules" WHERE "scope_key" = $1 AND ("price", "id") > (CAST($2 AS numeric), $3) ORDER BY "rules"."price" ASC, "rules"."id" ASC LIMIT 10) AS "_row" LIMIT $4
      $1 uuid = scope
      $2 text = key 0 of the cursor
      $3 uuid = key 1 of the cursor
      $4 int8 = one row more than the page has
    SELECT "text", (SELECT ROW("parent"."text") FROM ext."rules" AS "parent" WHERE "parent"."scope_key" = $1 AND "parent"."id" = "_row"."parent_id") AS "parent", "price", "id" FROM (SELECT "text", CAST("price" AS text) AS "price", "id", "parent_id" FROM ext."rules" WHERE "scope_key" = $1 AND ("price", "id") < (CAST($2 AS numeric), $3) ORDER BY "rules"."price" DESC, "rules"."id" DESC LIMIT 10) AS "_row" LIMIT $4
      $1 uuid = scope
      $2 text = key 0 of the cursor
      $3 uuid = key 1 of the cursor
      $4 int8 = one row more than the page has
    "#);
}

#[test]
fn aggregate_rows() {
    let of = |options: Value| {
        let mut function = json!({ "kind": "aggregateRows", "table": "t" });
        function.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        sql(function)
    };
    assert_snapshot!(of(json!({ "select": { "n": { "count": true } } })), @r#"
    SELECT COUNT(*) AS "n" FROM ext."t" WHERE "scope_key" = $1 LIMIT 1000
      $1 uuid = scope
    "#);
    assert_snapshot!(of(json!({ "groupBy": ["kind", "price"] })), @r#"
    SELECT "kind", CAST("price" AS text) AS "price" FROM ext."t" WHERE "scope_key" = $1 GROUP BY "t"."kind", "t"."price" ORDER BY "t"."kind" ASC, "t"."price" ASC LIMIT 1000
      $1 uuid = scope
    "#);
    assert_snapshot!(of(json!({
        "groupBy": "kind", "filter": optional("score", ">", "min", "integer"), "orderBy": "score", "orderDir": "desc", "limit": 5,
        "select": {
            "n": { "count": "rank" }, "score": { "sum": "score" }, "mean": { "avg": "score" }, "total": { "sum": "price" },
            "each": { "avg": "price" }, "first": { "min": "due" }, "last": { "max": "text" },
        },
        "having": { "any": [
            compare("score", ">", 10), compare("n", "in", json!({ "arg": "counts" })), compare("total", "<=", "1.50"),
            compare("kind", "=", "fun"), compare("last", "startsWith", json!({ "arg": "q" })), compare("total", "isNull", false),
        ] },
    })), @r#"
    []
    SELECT "kind", COUNT("rank") AS "n", CAST(SUM("score") AS text) AS "score", CAST(AVG("score") AS double precision) AS "mean", CAST(SUM("price") AS text) AS "total", CAST(AVG("price") AS text) AS "each", MIN("due") AS "first", MAX("text") AS "last" FROM ext."t" WHERE "scope_key" = $1 GROUP BY "t"."kind" HAVING SUM("score") > 10 OR COUNT("rank") = ANY($2) OR SUM("price") <= CAST($3 AS numeric) OR "t"."kind" = $4 OR MAX("text") LIKE $5 OR SUM("price") IS NOT NULL ORDER BY SUM("score") DESC, "t"."kind" DESC LIMIT 5
      $1 uuid = scope
      $2 _int8 = argument counts
      $3 text = Numeric("1.50")
      $4 text = Text("fun")
      $5 text = pattern of q at Start
    [min]
    SELECT "kind", COUNT("rank") AS "n", CAST(SUM("score") AS text) AS "score", CAST(AVG("score") AS double precision) AS "mean", CAST(SUM("price") AS text) AS "total", CAST(AVG("price") AS text) AS "each", MIN("due") AS "first", MAX("text") AS "last" FROM ext."t" WHERE "scope_key" = $1 AND "score" > $2 GROUP BY "t"."kind" HAVING SUM("score") > 10 OR COUNT("rank") = ANY($3) OR SUM("price") <= CAST($4 AS numeric) OR "t"."kind" = $5 OR MAX("text") LIKE $6 OR SUM("price") IS NOT NULL ORDER BY SUM("score") DESC, "t"."kind" DESC LIMIT 5
      $1 uuid = scope
      $2 int8 = argument min
      $3 _int8 = argument counts
      $4 text = Numeric("1.50")
      $5 text = Text("fun")
      $6 text = pattern of q at Start
    "#);
    assert_snapshot!(of(json!({ "groupBy": ["kind"], "select": { "n": { "count": true } }, "limit": { "arg": "limit" } })), @r#"
    SELECT "kind", "n" FROM (SELECT "kind", COUNT(*) AS "n" FROM ext."t" WHERE "scope_key" = $1 GROUP BY "t"."kind" ORDER BY "t"."kind" ASC LIMIT 1000) AS "page" LIMIT $2
      $1 uuid = scope
      $2 int8 = argument limit
    "#);
}

#[test]
fn operators_on_text_and_parts() {
    assert_snapshot!(condition(compare("text", "like", "a%\\_")), @r#"
    … AND "text" LIKE $2
      $2 text = Text("a%\\_")
    "#);
    assert_snapshot!(condition(optional("text", "ilike", "q", "string")), @r#"
    []
    …
    [q]
    … AND ("text" ILIKE $2)
      $2 text = argument q
    "#);
    assert_snapshot!(condition(compare("text", "startsWith", "50%_\\")), @r#"
    … AND "text" LIKE $2
      $2 text = Text("50\\%\\_\\\\%")
    "#);
    assert_snapshot!(condition(compare("text", "startsWith", json!({ "arg": "q" }))), @r#"
    … AND "text" LIKE $2
      $2 text = pattern of q at Start
    "#);
    assert_snapshot!(condition(compare("text", "contains", "it's")), @r#"
    … AND "text" LIKE $2
      $2 text = Text("%it's%")
    "#);
    assert_snapshot!(condition(compare("text", "contains", json!({ "arg": "q" }))), @r#"
    … AND "text" LIKE $2
      $2 text = pattern of q at Anywhere
    "#);
    assert_snapshot!(condition(json!({ "any": [compare("text", "startsWith", json!({ "arg": "q" })), compare("text", "=", json!({ "arg": "q" }))] })), @r#"
    … AND ("text" LIKE $2 OR "text" = $3)
      $2 text = pattern of q at Start
      $3 text = argument q
    "#);
    assert_snapshot!(condition(compare("tags", "contains", "1.50")), @r#"
    … AND "tags" @> CAST($2 AS numeric[])
      $2 _text = Array(Numeric, [Numeric("1.50")])
    "#);
    assert_snapshot!(condition(compare("tags", "contains", json!({ "arg": "tag" }))), @r#"
    … AND "tags" @> CAST($2 AS numeric[])
      $2 _text = list of tag
    "#);
    assert_snapshot!(condition(compare("names", "contains", json!({ "identity": "userId" }))), @r#"
    … AND $2 = ANY("names")
      $2 text = userId as text
    "#);
    assert_snapshot!(condition(compare("note", "contains", json!({ "literal": { "a": [1] } }))), @r#"
    … AND "note" @> $2
      $2 jsonb = Jsonb("{\"a\":[1]}")
    "#);
    assert_snapshot!(condition(compare("note", "contains", json!({ "arg": "part" }))), @r#"
    … AND "note" @> $2
      $2 jsonb = argument part
    "#);
    assert_snapshot!(condition(json!({ "column": "rank", "op": "isNull" })), @r#"… AND "rank" IS NULL"#);
    assert_snapshot!(condition(json!({ "negate": compare("rank", "isNull", false) })), @r#"… AND (NOT "rank" IS NOT NULL)"#);
    assert_snapshot!(condition(compare("rank", "isNull", json!({ "arg": "unranked" }))), @r#"
    … AND ("rank" IS NULL) = $2
      $2 bool = argument unranked
    "#);
}

#[test]
fn groups() {
    let (a, b, c) = (compare("score", "=", 1), compare("score", "=", 2), compare("open", "=", true));
    assert_snapshot!(condition(json!({ "any": [a, b] })), @r#"… AND ("score" = 1 OR "score" = 2)"#);
    assert_snapshot!(condition(json!({ "any": [{ "all": [a, c] }, { "all": [b, { "negate": c }] }] })), @r#"… AND (("score" = 1 AND "open" = TRUE) OR ("score" = 2 AND (NOT "open" = TRUE)))"#);
    assert_snapshot!(condition(json!({ "all": [{ "any": [a, b] }, { "any": [c] }] })), @r#"… AND (("score" = 1 OR "score" = 2) AND "open" = TRUE)"#);
    assert_snapshot!(condition(json!({ "negate": { "any": [a, { "negate": { "all": [b, c] } }] } })), @r#"… AND (NOT ("score" = 1 OR (NOT ("score" = 2 AND "open" = TRUE))))"#);
    assert_snapshot!(condition(json!({ "negate": { "negate": a } })), @r#"… AND "score" = 1"#);
    assert_snapshot!(condition(json!({ "all": [] })), @r#"… AND TRUE"#);
    assert_snapshot!(condition(json!({ "any": [] })), @r#"… AND FALSE"#);
    assert_snapshot!(condition(json!({ "negate": { "any": [{ "all": [] }, a] } })), @r#"… AND (NOT (TRUE OR "score" = 1))"#);
}

#[test]
fn get_row_and_delete_row() {
    assert_snapshot!(sql(json!({ "kind": "getRow", "table": "t", "id": { "arg": "id" } })), @r#"
    SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 AND "id" = $2
      $1 uuid = scope
      $2 uuid = argument id
    "#);
    assert_snapshot!(sql(json!({ "kind": "deleteRow", "table": "t", "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c" })), @r#"
    DELETE FROM ext."t" WHERE "scope_key" = $1 AND "id" = $2 RETURNING "id"
      $1 uuid = scope
      $2 uuid = Uuid(0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c)
    "#);
}

#[test]
fn insert_row() {
    assert_snapshot!(sql(json!({ "kind": "insertRow", "table": "t", "values": { "text": { "identity": "userId" } } })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "text") VALUES ($1, $2, $3) RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
    "#);
    // An absent argument: the default, now, or null.
    assert_snapshot!(sql(json!({ "kind": "insertRow", "table": "t", "values": {
        "text": { "arg": "text" }, "score": { "arg": "score" }, "due": { "arg": "due" }, "price": { "arg": "price" }, "tags": { "arg": "tags" },
    } })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "text", "score", "due", "price", "tags") VALUES ($1, $2, $3, $4, COALESCE($5, now()), CAST($6 AS numeric), CAST($7 AS numeric[])) RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = argument text
      $4 int8 = argument score or Int8(0)
      $5 timestamptz = argument due
      $6 text = argument price
      $7 _text = argument tags or Array(Numeric, [])
    "#);
    assert_snapshot!(sql(json!({ "kind": "insertRow", "table": "t", "values": {
        "text": "it's", "score": -7, "rank": null, "open": false, "note": { "literal": { "a": [1] } }, "day": { "now": true }, "price": "1.50",
    } })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "text", "score", "rank", "open", "note", "day", "price") VALUES ($1, $2, $3, -7, NULL, FALSE, $4, CAST(now() AS date), CAST($5 AS numeric)) RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = Text("it's")
      $4 jsonb = Jsonb("{\"a\":[1]}")
      $5 text = Numeric("1.50")
    "#);
}

#[test]
fn patch_row() {
    assert_snapshot!(sql(json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": {
        "score": { "increment": 1 }, "rank": { "increment": { "arg": "by" } }, "price": { "increment": "0.10" },
    } })), @r#"
    UPDATE ext."t" SET "score" = "score" + 1, "rank" = COALESCE("rank", 0) + $1, "price" = COALESCE("price", 0) + CAST($2 AS numeric), "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $3 AND "id" = $4 RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 int8 = argument by
      $2 text = Numeric("0.10")
      $3 uuid = scope
      $4 uuid = argument id
    "#);
    // An absent argument leaves the column as it is; null is a value where the column holds it.
    assert_snapshot!(sql(json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": {
        "text": { "arg": "text", "validator": { "type": "string", "optional": true } },
        "price": { "arg": "price", "validator": { "type": "decimal", "optional": true } },
        "rank": { "increment": { "arg": "by", "validator": { "type": "integer", "optional": true } } },
        "kind": { "arg": "kind" },
    } })), @r#"
    UPDATE ext."t" SET "text" = COALESCE($1, "text"), "price" = (CASE WHEN ($2) THEN CAST($3 AS numeric) ELSE "price" END), "rank" = COALESCE("rank", 0) + COALESCE($4, 0), "kind" = $5, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $6 AND "id" = $7 RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 text = argument text
      $2 bool = whether price is given
      $3 text = argument price
      $4 int8 = argument by
      $5 text = argument kind
      $6 uuid = scope
      $7 uuid = argument id
    "#);
}

#[test]
fn a_patch_of_absent_arguments_alone_needs_one_of_them() {
    let optional = |word: &str| json!({ "type": word, "optional": true });
    let columns = json!({ "a": { "type": "string", "optional": true }, "b": { "type": "integer", "default": 0 } });
    let needs = |values: Value| {
        let function = json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": values });
        let plan = plan(json!({ "t": { "columns": columns } }), function);
        let names = plan.needs_one_of.iter().map(|place| plan.arguments.name(*place).unwrap().to_owned());
        names.collect::<Vec<String>>()
    };
    let a = json!({ "arg": "x", "validator": optional("string") });
    let b = json!({ "arg": "y", "validator": optional("integer") });
    assert_eq!(needs(json!({ "a": a, "b": b })), ["x", "y"]);
    assert_eq!(needs(json!({ "a": a, "b": { "increment": b } })), ["x", "y"]);
    assert_eq!(needs(json!({ "a": a, "b": { "increment": 1 } })), [""; 0]);
    assert_eq!(needs(json!({ "a": a, "b": { "arg": "y" } })), [""; 0]);
}

/// The statements of a page over `t`: what follows the columns, without those for other arguments.
fn pages(order_by: Value) -> String {
    let text = sql(json!({ "kind": "queryRows", "table": "t", "orderBy": order_by, "limit": 20, "page": true }));
    let lines = text.lines().filter(|line| !line.starts_with("  $1 "));
    lines.map(|line| line.split_once("WHERE ").map_or(line, |(_, rest)| rest)).collect::<Vec<_>>().join("\n")
}

#[test]
fn pages_go_on_after_a_row_and_before_it() {
    assert_snapshot!(pages(json!([])), @r#"
    "scope_key" = $1 ORDER BY "t"."id" ASC LIMIT 21
    "scope_key" = $1 AND "id" > $2 ORDER BY "t"."id" ASC LIMIT 21
      $2 uuid = key 0 of the cursor
    "scope_key" = $1 AND "id" < $2 ORDER BY "t"."id" DESC LIMIT 21
      $2 uuid = key 0 of the cursor
    "#);
    assert_snapshot!(pages(json!([{ "column": "score", "dir": "desc" }, { "column": "text", "dir": "desc" }])), @r#"
    "scope_key" = $1 ORDER BY "t"."score" DESC, "t"."text" DESC, "t"."id" DESC LIMIT 21
    "scope_key" = $1 AND ("score", "text", "id") < ($2, $3, $4) ORDER BY "t"."score" DESC, "t"."text" DESC, "t"."id" DESC LIMIT 21
      $2 int8 = key 0 of the cursor
      $3 text = key 1 of the cursor
      $4 uuid = key 2 of the cursor
    "scope_key" = $1 AND ("score", "text", "id") > ($2, $3, $4) ORDER BY "t"."score" ASC, "t"."text" ASC, "t"."id" ASC LIMIT 21
      $2 int8 = key 0 of the cursor
      $3 text = key 1 of the cursor
      $4 uuid = key 2 of the cursor
    "#);
    assert_snapshot!(pages(json!([{ "column": "score", "dir": "desc" }, { "column": "text" }])), @r#"
    "scope_key" = $1 ORDER BY "t"."score" DESC, "t"."text" ASC, "t"."id" ASC LIMIT 21
    "scope_key" = $1 AND ("score" <= $2 AND ("score" < $2 OR ("score" = $2 AND ("text" > $3 OR ("text" = $3 AND "id" > $4))))) ORDER BY "t"."score" DESC, "t"."text" ASC, "t"."id" ASC LIMIT 21
      $2 int8 = key 0 of the cursor
      $3 text = key 1 of the cursor
      $4 uuid = key 2 of the cursor
    "scope_key" = $1 AND ("score" >= $2 AND ("score" > $2 OR ("score" = $2 AND ("text" < $3 OR ("text" = $3 AND "id" < $4))))) ORDER BY "t"."score" ASC, "t"."text" DESC, "t"."id" DESC LIMIT 21
      $2 int8 = key 0 of the cursor
      $3 text = key 1 of the cursor
      $4 uuid = key 2 of the cursor
    "#);
    assert_snapshot!(pages(json!([{ "column": "price", "dir": "desc" }])), @r#"
    "scope_key" = $1 ORDER BY "t"."price" DESC, "t"."id" DESC LIMIT 21
    "scope_key" = $1 AND ("price" <= CAST($2 AS numeric) AND ("price" < CAST($2 AS numeric) OR ("price" = CAST($2 AS numeric) AND "id" < $3))) ORDER BY "t"."price" DESC, "t"."id" DESC LIMIT 21
      $2 text = key 0 of the cursor
      $3 uuid = key 1 of the cursor
    "scope_key" = $1 AND ("price" IS NOT NULL OR ("price" IS NULL AND "id" < $2)) ORDER BY "t"."price" DESC, "t"."id" DESC LIMIT 21
      $2 uuid = key 1 of the cursor
    "scope_key" = $1 AND ("price" > CAST($2 AS numeric) OR "price" IS NULL OR ("price" = CAST($2 AS numeric) AND "id" > $3)) ORDER BY "t"."price" ASC, "t"."id" ASC LIMIT 21
      $2 text = key 0 of the cursor
      $3 uuid = key 1 of the cursor
    "scope_key" = $1 AND ("price" IS NULL AND "id" > $2) ORDER BY "t"."price" ASC, "t"."id" ASC LIMIT 21
      $2 uuid = key 1 of the cursor
    "#);
    assert_snapshot!(pages(json!(["rank"])), @r#"
    "scope_key" = $1 ORDER BY "t"."rank" ASC, "t"."id" ASC LIMIT 21
    "scope_key" = $1 AND ("rank" > $2 OR "rank" IS NULL OR ("rank" = $2 AND "id" > $3)) ORDER BY "t"."rank" ASC, "t"."id" ASC LIMIT 21
      $2 int8 = key 0 of the cursor
      $3 uuid = key 1 of the cursor
    "scope_key" = $1 AND ("rank" IS NULL AND "id" > $2) ORDER BY "t"."rank" ASC, "t"."id" ASC LIMIT 21
      $2 uuid = key 1 of the cursor
    "scope_key" = $1 AND ("rank" <= $2 AND ("rank" < $2 OR ("rank" = $2 AND "id" < $3))) ORDER BY "t"."rank" DESC, "t"."id" DESC LIMIT 21
      $2 int8 = key 0 of the cursor
      $3 uuid = key 1 of the cursor
    "scope_key" = $1 AND ("rank" IS NOT NULL OR ("rank" IS NULL AND "id" < $2)) ORDER BY "t"."rank" DESC, "t"."id" DESC LIMIT 21
      $2 uuid = key 1 of the cursor
    "#);
    assert_snapshot!(sql(json!({
        "kind": "queryRows", "table": "t", "orderBy": "score", "page": true,
        "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } },
    })), @r#"
    SELECT "id", "text", "score", "rank", "price", "kind", "due", "day", "tags", "open", "note", "created_at", "updated_at", "version" FROM (SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 ORDER BY "t"."score" ASC, "t"."id" ASC LIMIT 101) AS "page" LIMIT $2
      $1 uuid = scope
      $2 int8 = one row more than the page has
    SELECT "id", "text", "score", "rank", "price", "kind", "due", "day", "tags", "open", "note", "created_at", "updated_at", "version" FROM (SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 AND ("score", "id") > ($2, $3) ORDER BY "t"."score" ASC, "t"."id" ASC LIMIT 101) AS "page" LIMIT $4
      $1 uuid = scope
      $2 int8 = key 0 of the cursor
      $3 uuid = key 1 of the cursor
      $4 int8 = one row more than the page has
    SELECT "id", "text", "score", "rank", "price", "kind", "due", "day", "tags", "open", "note", "created_at", "updated_at", "version" FROM (SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 AND ("score", "id") < ($2, $3) ORDER BY "t"."score" DESC, "t"."id" DESC LIMIT 101) AS "page" LIMIT $4
      $1 uuid = scope
      $2 int8 = key 0 of the cursor
      $3 uuid = key 1 of the cursor
      $4 int8 = one row more than the page has
    "#);
}
