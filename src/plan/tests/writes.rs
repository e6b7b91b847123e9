//! Each way of writing beside its SQL and what is bound to it.

use insta::assert_snapshot;
use rowgate_schema_dsl::model::Model;
use serde_json::json;

use crate::plan::compile::compile;
use crate::plan::tests::snapshots::{shown, sql};
use crate::plan::tests::{model, plan};

#[test]
fn insert_row_that_is_there() {
    let values = json!({
        "text": { "arg": "text" }, "score": { "increment": { "arg": "by" } }, "rank": { "arg": "rank" },
        "price": { "arg": "price" }, "kind": { "arg": "kind" }, "author": { "identity": "userId" },
    });
    assert_snapshot!(sql(json!({ "kind": "upsertRow", "table": "t", "unique": "one_text", "values": values })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "text", "score", "rank", "price", "kind", "author") VALUES ($1, $2, $3, 0 + $4, $5, CAST($6 AS numeric), $7, $8) ON CONFLICT ("scope_key", "text") DO UPDATE SET "score" = "t"."score" + $4, "rank" = (CASE WHEN ($9) THEN "excluded"."rank" ELSE "t"."rank" END), "price" = (CASE WHEN ($10) THEN "excluded"."price" ELSE "t"."price" END), "kind" = (CASE WHEN ($11) THEN "excluded"."kind" ELSE "t"."kind" END), "author" = "excluded"."author", "updated_at" = now(), "version" = "t"."version" + 1 RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = argument text
      $4 int8 = argument by
      $5 int8 = argument rank
      $6 text = argument price
      $7 text = argument kind or Text("fun")
      $8 text = userId as text
      $9 bool = whether rank is given
      $10 bool = whether price is given
      $11 bool = whether kind is given
    "#);
    assert_snapshot!(sql(json!({
        "kind": "insertRow", "table": "t", "onConflict": "update", "unique": "one_text",
        "values": { "text": { "arg": "text" }, "rank": { "increment": 2 } },
    })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "text", "rank") VALUES ($1, $2, $3, 0 + 2) ON CONFLICT ("scope_key", "text") DO UPDATE SET "rank" = COALESCE("t"."rank", 0) + 2, "updated_at" = now(), "version" = "t"."version" + 1 RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = argument text
    "#);
    assert_snapshot!(sql(json!({
        "kind": "insertRow", "table": "t", "onConflict": "ignore", "unique": "one_place",
        "values": { "text": { "arg": "text" }, "day": { "now": true }, "kind": { "arg": "kind" } },
    })), @r#"
    WITH "new" ("id", "text", "score", "rank", "price", "kind", "due", "day", "tags", "open", "note", "created_at", "updated_at", "version") AS (INSERT INTO ext."t" ("scope_key", "id", "text", "day", "kind") VALUES ($1, $2, $3, CAST(now() AS date), $4) ON CONFLICT ("scope_key", "kind", "day") DO NOTHING RETURNING "id", "text", "score", "rank", CAST("price" AS text), "kind", "due", "day", CAST("tags" AS text[]), "open", "note", "created_at", "updated_at", "version") SELECT "id", "text", "score", "rank", "price", "kind", "due", "day", "tags", "open", "note", "created_at", "updated_at", "version" FROM "new" UNION ALL (SELECT "id", "text", "score", "rank", CAST("price" AS text) AS "price", "kind", "due", "day", CAST("tags" AS text[]) AS "tags", "open", "note", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 AND "day" = CAST(now() AS date) AND "kind" = $4)
      $1 uuid = scope
      $2 uuid = new id
      $3 text = argument text
      $4 text = argument kind or Text("fun")
    "#);
}

#[test]
fn a_row_of_one_version() {
    let version = json!({ "arg": "version", "validator": { "type": "integer", "optional": true } });
    assert_snapshot!(sql(json!({
        "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": { "score": { "arg": "score" } },
        "version": version, "fields": ["id", "score"],
    })), @r#"
    UPDATE ext."t" SET "score" = $1, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $2 AND "id" = $3 RETURNING "id", "score", "version"
      $1 int8 = argument score
      $2 uuid = scope
      $3 uuid = argument id
    UPDATE ext."t" SET "score" = $1, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $2 AND "id" = $3 AND "version" = $4 RETURNING "id", "score", "version"
      $1 int8 = argument score
      $2 uuid = scope
      $3 uuid = argument id
      $4 int8 = version of the call or argument version
    "#);
    assert_snapshot!(sql(json!({
        "kind": "deleteRow", "table": "t", "id": { "arg": "id" }, "version": { "arg": "version" },
    })), @r#"
    DELETE FROM ext."t" WHERE "scope_key" = $1 AND "id" = $2 RETURNING "id"
      $1 uuid = scope
      $2 uuid = argument id
    DELETE FROM ext."t" WHERE "scope_key" = $1 AND "id" = $2 AND "version" = $3 RETURNING "id"
      $1 uuid = scope
      $2 uuid = argument id
      $3 int8 = version of the call or argument version
    "#);
}

#[test]
fn which_version_is_known() {
    let column =
        json!({ "t": { "columns": { "a": { "type": "string" }, "b": { "type": "string", "optional": true } } } });
    let optional = |word: &str| json!({ "type": word, "optional": true });
    let function = json!({
        "kind": "patchRow", "table": "t", "id": { "arg": "id" },
        "values": { "a": { "arg": "a", "validator": optional("string") } },
        "version": { "arg": "version", "validator": optional("integer") },
    });
    let plan = plan(column, function);
    // A patch that names nothing but the version changes nothing.
    let names: Vec<&str> = plan.needs_one_of.iter().filter_map(|place| plan.arguments.name(*place)).collect();
    assert_eq!(names, ["a"]);
    let given = |body: &str| plan.arguments.parse(body.as_bytes(), 9).unwrap();
    let id = r#""id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c""#;
    let guard = plan.guard.as_ref().unwrap();
    for (body, version) in [("", None), (r#", "version": null"#, None), (r#", "version": 7"#, Some(7))] {
        let mut given = given(&format!("{{{id}{body}}}"));
        assert_eq!(given.version_or(guard.argument), version);
        let statement = plan.statement(&given).unwrap();
        assert_eq!(statement.key == guard.statement.key, version.is_some());
        // What a call says beside its arguments stands alone.
        given.version = Some(9);
        assert_eq!(given.version_or(guard.argument), Some(9));
        assert_eq!(plan.statement(&given).unwrap().key, guard.statement.key);
        assert_eq!(guard.look.statement(&given).unwrap().sql.matches("version").count(), 1);
    }
}

#[test]
fn rows_that_are_inserted() {
    let values = json!({
        "text": { "arg": "text" }, "price": { "arg": "price" }, "kind": { "arg": "kind" }, "due": { "arg": "due" },
        "day": { "now": true }, "tags": { "arg": "tags" }, "author": { "identity": "userId" },
    });
    assert_snapshot!(sql(json!({
        "kind": "insertRows", "table": "t", "values": values, "onConflict": "update", "unique": "one_text", "fields": ["id"],
    })), @r#"
    WITH "rows" ("new id", "value 1", "value 2", "value 3", "value 4", "value 5") AS (SELECT unnest($1), unnest($2), unnest(CAST($3 AS numeric[])), unnest($4), unnest($5), unnest($6)) INSERT INTO ext."t" ("scope_key", "id", "text", "price", "kind", "due", "day", "tags", "author") SELECT $7, "new id", "value 1", "value 2", "value 3", COALESCE("value 4", now()), CAST(now() AS date), CAST("value 5" AS numeric[]), $8 FROM "rows" ON CONFLICT ("scope_key", "text") DO UPDATE SET "price" = (CASE WHEN ("excluded"."id" = ANY($9)) THEN "excluded"."price" ELSE "t"."price" END), "kind" = (CASE WHEN ("excluded"."id" = ANY($10)) THEN "excluded"."kind" ELSE "t"."kind" END), "due" = (CASE WHEN ("excluded"."id" = ANY($11)) THEN "excluded"."due" ELSE "t"."due" END), "day" = "excluded"."day", "tags" = (CASE WHEN ("excluded"."id" = ANY($12)) THEN "excluded"."tags" ELSE "t"."tags" END), "author" = "excluded"."author", "updated_at" = now(), "version" = "t"."version" + 1 RETURNING "id"
      $1 _uuid = new ids
      $2 _text = each text or Null
      $3 _text = each price or Null
      $4 _text = each kind or Text("fun")
      $5 _timestamptz = each due or Null
      $6 _text = each tags or Array(Numeric, []) as text
      $7 uuid = scope
      $8 text = userId as text
      $9 _uuid = new ids of those with price
      $10 _uuid = new ids of those with kind
      $11 _uuid = new ids of those with due
      $12 _uuid = new ids of those with tags
    "#);
}

#[test]
fn lists_that_are_changed() {
    let text = sql(json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "fields": ["id"], "values": {
        "tags": { "append": { "arg": "tag", "validator": { "type": "decimal", "optional": true } } },
    } }));
    assert_snapshot!(text, @r#"
    UPDATE ext."t" SET "tags" = (CASE WHEN ($1) THEN array_append("tags", CAST($2 AS numeric)) ELSE "tags" END), "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $3 AND "id" = $4 RETURNING "id", "version"
      $1 bool = whether tag is given
      $2 text = argument tag
      $3 uuid = scope
      $4 uuid = argument id
    "#);
}

/// Rows are counted beside the statements, so tables with and without a quota share them.
#[test]
fn a_quota_changes_no_statement() {
    let columns = json!({ "a": { "type": "string", "unique": true }, "n": { "type": "integer", "default": 0 } });
    let values = json!({ "a": { "arg": "a" }, "n": { "arg": "n" } });
    for function in [
        json!({ "kind": "insertRow", "table": "t", "values": values }),
        json!({ "kind": "insertRow", "table": "t", "values": values, "onConflict": "ignore" }),
        json!({ "kind": "upsertRow", "table": "t", "values": values, "unique": "a" }),
        json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": { "n": { "increment": 1 } } }),
        json!({ "kind": "deleteRow", "table": "t", "id": { "arg": "id" } }),
        json!({ "kind": "countRows", "table": "t" }),
    ] {
        let mut model = model(json!({ "t": { "columns": columns } }), json!({ "f": function }));
        let compiled = |model: &Model| compile(model, model.function("f").unwrap()).unwrap();
        let without = compiled(&model);
        model.tables[0].rows_max = Some(10);
        model.extension.limits.bytes = Some(1_000);
        let with = compiled(&model);
        assert_eq!((with.rows_max, with.bytes_max), (Some(10), Some(1_000)));
        assert!(without.statements().map(|a| a.key).eq(with.statements().map(|b| b.key)));
    }
}

/// Every statement of `function` over polls, votes that refer to them, and drafts that belong to users.
fn of_polls(function: serde_json::Value) -> String {
    let tables = json!({
        "polls": { "columns": { "open": { "type": "boolean", "optional": true }, "size": { "type": "integer" } } },
        "drafts": { "columns": { "open": { "type": "boolean" } }, "owned": true },
        "votes": {
            "columns": {
                "poll": { "type": "id", "table": "polls" }, "draft": { "type": "id", "table": "drafts", "optional": true },
                "who": { "type": "string" },
            },
            "uniques": { "one_vote": ["poll", "who"] },
            "owned": true,
        },
    });
    shown(&plan(tables, function))
}

#[test]
fn conditions_on_what_is_written() {
    let open = json!({ "column": "open", "op": "=", "value": true });
    let id = json!({ "arg": "id" });
    let low = json!({ "column": "size", "op": "<", "value": { "arg": "max" } });
    assert_snapshot!(of_polls(json!({ "kind": "patchRow", "table": "polls", "id": id, "values": { "size": { "increment": 1 } }, "when": low })), @r#"
    UPDATE ext."polls" SET "size" = "size" + 1, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $1 AND "id" = $2 AND sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("size" < $3, FALSE) AS "holds" FROM ext."polls" WHERE "scope_key" = $1 AND "id" = $2 FOR NO KEY UPDATE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 RETURNING "id", "open", "size", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = argument id
      $3 int8 = argument max
    "#);
    assert_snapshot!(of_polls(json!({ "kind": "deleteRow", "table": "votes", "id": id, "when": { "poll": open } })), @r#"
    DELETE FROM ext."votes" WHERE "scope_key" = $1 AND "id" = $2 AND sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("open" = TRUE, FALSE) AS "holds" FROM ext."polls" WHERE "scope_key" = $1 AND "id" = ANY(ARRAY (SELECT "poll" FROM ext."votes" WHERE "scope_key" = $1 AND "id" = $2 FOR UPDATE)) FOR SHARE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 RETURNING "id"
      $1 uuid = scope
      $2 uuid = argument id
    "#);
    assert_snapshot!(of_polls(json!({ "kind": "patchRows", "table": "polls", "filter": [], "maxRows": 5, "values": { "size": 0 }, "when": open, "fields": ["id"] })), @r#"
    UPDATE ext."polls" SET "size" = 0, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $1 AND TRUE AND sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("open" = TRUE, FALSE) AS "holds" FROM ext."polls" WHERE "scope_key" = $1 AND TRUE LIMIT 6 FOR NO KEY UPDATE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 AND 1 / (CASE WHEN ((SELECT COUNT(*) FROM (SELECT "id" FROM ext."polls" WHERE "scope_key" = $1 AND TRUE LIMIT 6) AS "found") <= 5) THEN 1 ELSE 0 END) = 1 RETURNING "id"
      $1 uuid = scope
    "#);
    let values = json!({ "poll": { "arg": "poll" }, "who": { "identity": "userId" }, "draft": { "arg": "draft" } });
    let insert = |kind: &str, options: serde_json::Value| {
        let mut function = json!({ "kind": kind, "table": "votes", "values": values, "fields": ["id"] });
        function.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        of_polls(function)
    };
    assert_snapshot!(insert("insertRow", json!({ "when": { "poll": open } })), @r#"
    INSERT INTO ext."votes" ("scope_key", "id", "owner_id", "poll", "who", "draft") SELECT $1, $2, $3, $4, $3, $5 WHERE sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("open" = TRUE, FALSE) AS "holds" FROM ext."polls" WHERE "scope_key" = $1 AND "id" = $4 FOR SHARE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 RETURNING "id", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 uuid = argument poll
      $5 uuid = argument draft
    "#);
    assert_snapshot!(insert("insertRow", json!({ "when": { "draft": open }, "own": true, "onConflict": "ignore" })), @r#"
    WITH "new" ("id", "version") AS (INSERT INTO ext."votes" ("scope_key", "id", "owner_id", "poll", "who", "draft") SELECT $1, $2, $3, $4, $3, $5 WHERE sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("owner_id" = $3 AND "open" = TRUE, FALSE) AS "holds" FROM ext."drafts" WHERE "scope_key" = $1 AND "id" = $5 FOR SHARE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 ON CONFLICT ("scope_key", "poll", "who") DO NOTHING RETURNING "id", "version") SELECT "id", "version" FROM "new" UNION ALL (SELECT "id", "version" FROM ext."votes" WHERE "scope_key" = $1 AND "owner_id" = $3 AND "poll" = $4 AND "who" = $3)
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 uuid = argument poll
      $5 uuid = argument draft
    "#);
    assert_snapshot!(insert("upsertRow", json!({ "unique": "one_vote", "own": true, "when": [{ "column": "who", "op": "!=", "value": "x" }] })), @r#"
    INSERT INTO ext."votes" ("scope_key", "id", "owner_id", "poll", "who", "draft") VALUES ($1, $2, $3, $4, $3, $5) ON CONFLICT ("scope_key", "poll", "who") DO UPDATE SET "draft" = (CASE WHEN ($6) THEN "excluded"."draft" ELSE "votes"."draft" END), "updated_at" = now(), "version" = "votes"."version" + 1 WHERE "votes"."owner_id" = $3 AND sqrt((CASE WHEN (COALESCE("votes"."who" <> $7, FALSE)) THEN 1 ELSE -1 END)) = 1 RETURNING "id", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 uuid = argument poll
      $5 uuid = argument draft
      $6 bool = whether draft is given
      $7 text = Text("x")
    "#);
    assert_snapshot!(insert("insertRows", json!({ "when": { "poll": open, "draft": open } })), @r#"
    WITH "rows" ("new id", "value 1", "value 2") AS (SELECT unnest($1), unnest($2), unnest($3)) INSERT INTO ext."votes" ("scope_key", "id", "owner_id", "poll", "who", "draft") SELECT $4, "new id", $5, "value 1", $5, "value 2" FROM "rows" WHERE sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("open" = TRUE, FALSE) AS "holds" FROM ext."polls" WHERE "scope_key" = $4 AND "id" = ANY($2) FOR SHARE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 AND sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("open" = TRUE, FALSE) AS "holds" FROM ext."drafts" WHERE "scope_key" = $4 AND "id" = ANY($3) FOR SHARE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1 RETURNING "id"
      $1 _uuid = new ids
      $2 _uuid = each poll or Null
      $3 _uuid = each draft or Null
      $4 uuid = scope
      $5 text = userId as text
    "#);
}
