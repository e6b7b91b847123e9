//! Owned tables: each kind of function beside its SQL, and the proof of owners, which fails for each
//! condition taken away.

use insta::assert_snapshot;
use proptest::prelude::*;
use rowgate_schema_dsl::definition::IdentityField;
use rowgate_schema_dsl::generate;
use rowgate_schema_dsl::name::OWNER_COLUMN;
use serde_json::{Value, json};

use crate::plan::compile::compile;
use crate::plan::proof::Unproven;
use crate::plan::proof::owner::{Owners, prove};
use crate::plan::statement::{Binding, Statement};
use crate::plan::tests::snapshots::shown;
use crate::plan::tests::{checked, plan};

/// `function` over an owned table `t` whose unique rule has the owner in it.
fn sql(function: Value) -> String {
    let tables = json!({ "t": {
        "columns": { "text": { "type": "string" }, "n": { "type": "integer", "default": 0 } },
        "owned": true,
        "uniques": { "one_text": ["text"], "one_each": ["owner_id", "n"] },
    } });
    let mut function = function;
    function["table"] = json!("t");
    shown(&plan(tables, function))
}

#[test]
fn reads_of_ones_own() {
    assert_snapshot!(sql(json!({ "kind": "queryRows", "own": true, "filter": { "column": "n", "op": ">", "value": 3 }, "limit": 20 })), @r#"
    SELECT "id", "text", "n", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 AND "owner_id" = $2 AND "n" > 3 ORDER BY "t"."id" ASC LIMIT 20
      $1 uuid = scope
      $2 text = userId as text
    "#);
    assert_snapshot!(sql(json!({ "kind": "getRow", "own": true, "id": { "arg": "id" } })), @r#"
    SELECT "id", "text", "n", "created_at", "updated_at", "version" FROM ext."t" WHERE "scope_key" = $1 AND "owner_id" = $2 AND "id" = $3
      $1 uuid = scope
      $2 text = userId as text
      $3 uuid = argument id
    "#);
    assert_snapshot!(sql(json!({ "kind": "countRows", "own": true })), @r#"
    SELECT COUNT(*) FROM ext."t" WHERE "scope_key" = $1 AND "owner_id" = $2
      $1 uuid = scope
      $2 text = userId as text
    "#);
    assert_snapshot!(sql(json!({ "kind": "countRows" })), @r#"
    SELECT COUNT(*) FROM ext."t" WHERE "scope_key" = $1
      $1 uuid = scope
    "#);
}

#[test]
fn writes_to_ones_own() {
    assert_snapshot!(sql(json!({ "kind": "insertRow", "values": { "text": { "arg": "text" } } })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "owner_id", "text") VALUES ($1, $2, $3, $4) RETURNING "id", "text", "n", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 text = argument text
    "#);
    assert_snapshot!(sql(json!({ "kind": "patchRow", "own": true, "id": { "arg": "id" }, "values": { "n": { "increment": 1 } } })), @r#"
    UPDATE ext."t" SET "n" = "n" + 1, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = $1 AND "owner_id" = $2 AND "id" = $3 RETURNING "id", "text", "n", "created_at", "updated_at", "version"
      $1 uuid = scope
      $2 text = userId as text
      $3 uuid = argument id
    "#);
    assert_snapshot!(sql(json!({ "kind": "deleteRow", "own": true, "id": { "arg": "id" } })), @r#"
    DELETE FROM ext."t" WHERE "scope_key" = $1 AND "owner_id" = $2 AND "id" = $3 RETURNING "id"
      $1 uuid = scope
      $2 text = userId as text
      $3 uuid = argument id
    "#);
    let values = json!({ "text": { "arg": "text" }, "n": { "arg": "n" } });
    assert_snapshot!(sql(json!({ "kind": "upsertRow", "own": true, "unique": "one_text", "values": values, "fields": ["n"] })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "owner_id", "text", "n") VALUES ($1, $2, $3, $4, $5) ON CONFLICT ("scope_key", "text") DO UPDATE SET "n" = (CASE WHEN ($6) THEN "excluded"."n" ELSE "t"."n" END), "updated_at" = now(), "version" = "t"."version" + 1 WHERE "t"."owner_id" = $3 RETURNING "n", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 text = argument text
      $5 int8 = argument n or Int8(0)
      $6 bool = whether n is given
    "#);
    assert_snapshot!(sql(json!({ "kind": "upsertRow", "unique": "one_each", "values": values, "fields": ["n"] })), @r#"
    INSERT INTO ext."t" ("scope_key", "id", "owner_id", "text", "n") VALUES ($1, $2, $3, $4, $5) ON CONFLICT ("scope_key", "owner_id", "n") DO UPDATE SET "text" = "excluded"."text", "updated_at" = now(), "version" = "t"."version" + 1 RETURNING "n", "version"
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 text = argument text
      $5 int8 = argument n or Int8(0)
    "#);
    assert_snapshot!(sql(json!({ "kind": "insertRow", "own": true, "onConflict": "ignore", "unique": "one_text", "values": values, "fields": ["n"] })), @r#"
    WITH "new" ("n", "version") AS (INSERT INTO ext."t" ("scope_key", "id", "owner_id", "text", "n") VALUES ($1, $2, $3, $4, $5) ON CONFLICT ("scope_key", "text") DO NOTHING RETURNING "n", "version") SELECT "n", "version" FROM "new" UNION ALL (SELECT "n", "version" FROM ext."t" WHERE "scope_key" = $1 AND "owner_id" = $3 AND "text" = $4)
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 text = argument text
      $5 int8 = argument n or Int8(0)
    "#);
    assert_snapshot!(sql(json!({ "kind": "insertRow", "onConflict": "ignore", "unique": "one_each", "values": values, "fields": ["n"] })), @r#"
    WITH "new" ("n", "version") AS (INSERT INTO ext."t" ("scope_key", "id", "owner_id", "text", "n") VALUES ($1, $2, $3, $4, $5) ON CONFLICT ("scope_key", "owner_id", "n") DO NOTHING RETURNING "n", "version") SELECT "n", "version" FROM "new" UNION ALL (SELECT "n", "version" FROM ext."t" WHERE "scope_key" = $1 AND "owner_id" = $3 AND "n" = $5)
      $1 uuid = scope
      $2 uuid = new id
      $3 text = userId as text
      $4 text = argument text
      $5 int8 = argument n or Int8(0)
    "#);
}

/// The verdict over `sql` of a function with `own` on the owned table `t`; `$1` is the caller's user id.
fn refusal(sql: &str) -> &'static str {
    let bindings = vec![
        Binding::Identity { field: IdentityField::UserId, text: true },
        Binding::Argument(0),
        Binding::Identity { field: IdentityField::Role, text: true },
    ];
    let statement = Statement { key: 0, sql: sql.to_owned(), types: Vec::new(), results: Vec::new(), bindings };
    match prove(&statement, Owners { owned: &["t"], own: &["t"] }) {
        Ok(()) => "proven",
        Err(Unproven::Unowned(_)) => "unowned",
        Err(Unproven::Assigned(_)) => "assigned",
        Err(_) => "otherwise",
    }
}

#[test]
fn rows_of_others_are_not_proven() {
    for sql in [
        r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $2 AND "owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key" = $2 AND "owner_id" = $1) AND ("a" = $2 OR "b" = $2)"#,
        r#"SELECT "a" FROM "ext"."t" AS "x" WHERE "x"."owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" LEFT JOIN "ext"."u" ON TRUE WHERE "t"."owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."u""#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1), ($1)"#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1) ON CONFLICT ("a") DO UPDATE SET "a" = $2 WHERE "t"."owner_id" = $1"#,
        r#"UPDATE "ext"."t" SET "a" = $2 WHERE "owner_id" = $1"#,
        r#"DELETE FROM "ext"."t" WHERE "owner_id" = $1"#,
    ] {
        assert_eq!(refusal(sql), "proven", "{sql}");
    }
    for sql in [
        r#"SELECT "a" FROM "ext"."t""#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" = $2"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" = $3"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" = $4"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" = ''"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" <> $1"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" = $1 OR TRUE"#,
        r#"SELECT "a" FROM "ext"."t" WHERE NOT "owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" WHERE COALESCE("owner_id" = $1, TRUE)"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "author" = $1"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "u"."owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" AS "x" WHERE "t"."owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" LEFT JOIN "ext"."u" ON TRUE WHERE "u"."owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" LEFT JOIN "ext"."u" ON TRUE WHERE "owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" LEFT JOIN "ext"."t" AS "x" ON TRUE WHERE "t"."owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" ORDER BY "owner_id" = $1"#,
        r#"SELECT "a" FROM (SELECT "a", $1 AS "owner_id" FROM "ext"."t") AS "page" WHERE "owner_id" = $1"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "owner_id" = $1 UNION ALL SELECT "a" FROM "ext"."t""#,
        r#"SELECT "a" FROM "ext"."u" WHERE "b" = ANY (SELECT "a" FROM "ext"."t")"#,
        r#"SELECT (SELECT COUNT(*) FROM "ext"."t") FROM "ext"."u" WHERE "owner_id" = $1"#,
        r#"WITH "new" AS (INSERT INTO "ext"."t" ("owner_id") VALUES ($1)) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t""#,
        r#"INSERT INTO "ext"."t" ("a") VALUES ($1)"#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($2)"#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1), ($2)"#,
        r#"INSERT INTO "ext"."t" ("owner_id", "owner_id") VALUES ($1, $2)"#,
        r#"INSERT INTO "ext"."t" ("owner_id") SELECT $2"#,
        r#"INSERT INTO "ext"."t" ("owner_id") SELECT "owner_id" FROM "rows""#,
        r#"INSERT INTO "ext"."t" ("a", "owner_id") SELECT *, $1 FROM "rows""#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1) ON CONFLICT ("a") DO UPDATE SET "a" = $2"#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1) ON CONFLICT ("a") DO UPDATE SET "a" = $2 WHERE "excluded"."owner_id" = $1"#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1) ON CONFLICT ("a") DO UPDATE SET "a" = $2 WHERE "owner_id" = $1"#,
        r#"UPDATE "ext"."t" SET "a" = $2"#,
        r#"UPDATE "ext"."t" SET "a" = $2 WHERE "id" = $2 OR "owner_id" = $1"#,
        r#"DELETE FROM "ext"."t""#,
        r#"DELETE FROM "ext"."t" WHERE "owner_id" = $2"#,
        r#"DELETE FROM "ext"."u" USING "ext"."t" WHERE "owner_id" = $1"#,
    ] {
        assert_eq!(refusal(sql), "unowned", "{sql}");
    }
    for sql in [
        r#"UPDATE "ext"."t" SET "owner_id" = $1 WHERE "owner_id" = $1"#,
        r#"UPDATE "ext"."t" SET OWNER_ID = $2 WHERE "owner_id" = $1"#,
        r#"UPDATE "ext"."t" SET ("a", "owner_id") = ($2, $1) WHERE "owner_id" = $1"#,
        r#"INSERT INTO "ext"."t" ("owner_id") VALUES ($1) ON CONFLICT ("a") DO UPDATE SET "owner_id" = $1 WHERE "t"."owner_id" = $1"#,
    ] {
        assert_eq!(refusal(sql), "assigned", "{sql}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is compiled over owned tables: with the owner's condition or value taken away,
    /// weakened or bound to something else it is not proven.
    #[test]
    fn no_statement_is_proven_without_its_owner(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let model = checked(&generate::definition(&choices));
        let owned: Vec<&str> =
            model.tables.iter().filter(|table| table.owner().is_some()).map(|table| table.name.as_str()).collect();
        for function in &model.functions {
            let owners = Owners { owned: &owned, own: if function.own { &owned } else { &[] } };
            for statement in &compile(&model, function).unwrap().variants {
                prop_assert_eq!(prove(statement, owners), Ok(()));
                let names_owner = statement.sql.contains(OWNER_COLUMN);
                let inserts = statement.sql.contains("INSERT INTO");
                let is_owned = owned.contains(&function.body.table().as_str());
                prop_assert_eq!(names_owner, function.own || (inserts && is_owned), "{}", &statement.sql);
                if names_owner {
                    for altered in alterations(statement) {
                        prop_assert!(prove(&altered, owners).is_err(), "{}", altered.sql);
                    }
                }
            }
        }
    }
}

/// The statement with each mention of the owner changed in each way that a mistake might.
fn alterations(statement: &Statement) -> Vec<Statement> {
    let with = |sql: String, bindings: Vec<Binding>| Statement {
        key: 0,
        sql,
        types: Vec::new(),
        results: Vec::new(),
        bindings,
    };
    let is_caller = |binding: &Binding| matches!(binding, Binding::Identity { field: IdentityField::UserId, .. });
    let elsewhere =
        statement.bindings.iter().map(|one| if is_caller(one) { Binding::NewId } else { one.clone() }).collect();
    let mut altered = vec![with(statement.sql.clone(), elsewhere)];
    let mut texts = Vec::new();
    for (at, _) in statement.sql.match_indices(&format!("\"{OWNER_COLUMN}\"")) {
        let (before, after) = statement.sql.split_at(at);
        texts.push(format!("{before}{}", after.replacen(OWNER_COLUMN, "author", 1)));
        if after[OWNER_COLUMN.len() + 2..].starts_with(" = $") {
            for operator in [" <> ", " >= "] {
                texts.push(format!("{before}{}", after.replacen(" = ", operator, 1)));
            }
            texts.push(format!("{before}{}", after.replacen(" = $", " = $99", 1)));
        }
    }
    altered.extend(texts.into_iter().map(|sql| with(sql, statement.bindings.clone())));
    altered
}
