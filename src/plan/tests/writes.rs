//! Each way of writing beside its SQL and what is bound to it.

use insta::assert_snapshot;
use serde_json::json;

use crate::plan::tests::plan;
use crate::plan::tests::snapshots::sql;

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
        let without = plan(json!({ "t": { "columns": columns } }), function.clone());
        let with = plan(json!({ "t": { "columns": columns, "rows": 10 } }), function);
        assert!(without.variants.iter().zip(&with.variants).all(|(a, b)| a.key == b.key));
    }
}
