//! SQL that must never be proven, each with the reason it is refused for; and every compiled
//! statement with its scope taken away.

use proptest::prelude::*;
use rowgate_schema_dsl::generate;
use rowgate_schema_dsl::value::Typed;
use serde_json::{Value, json};

use crate::plan::compile::compile;
use crate::plan::proof::{Unproven, guard, prove};
use crate::plan::statement::{Binding, Statement};
use crate::plan::tests::{checked, plan};

/// A verdict over `sql`, whose `$1` is the caller's scope and `$2` is not.
fn verdict(sql: &str) -> Result<(), Unproven> {
    let bindings = vec![Binding::Scope, Binding::Argument(0), Binding::Literal(Typed::Null)];
    prove(&Statement { key: 0, sql: sql.to_owned(), types: Vec::new(), results: Vec::new(), bindings }, "ext")
}

/// The name of the variant with which `sql` is refused, or `proven`.
fn refusal(sql: &str) -> &'static str {
    match verdict(sql) {
        Ok(()) => "proven",
        Err(Unproven::Unreadable(_)) => "unreadable",
        Err(Unproven::Form) => "form",
        Err(Unproven::ForeignTable(_)) => "foreign table",
        Err(Unproven::Unowned(_)) => "unowned",
        Err(Unproven::Unscoped(_)) => "unscoped",
        Err(Unproven::Hidden { .. }) => "hidden",
        Err(Unproven::Function(_)) => "function",
        Err(Unproven::Expression(_)) => "expression",
        Err(Unproven::Assigned(_)) => "assigned",
        Err(Unproven::Unversioned) => "unversioned",
        Err(Unproven::Unasked(_)) => "unasked",
    }
}

#[track_caller]
fn check(expected: &str, texts: &[&str]) {
    let wrong: Vec<(&str, &str)> =
        texts.iter().map(|sql| (refusal(sql), *sql)).filter(|(refusal, _)| *refusal != expected).collect();
    assert!(wrong.is_empty(), "expected {expected}: {wrong:#?}");
}

#[test]
fn sound_statements_are_proven() {
    check(
        "proven",
        &[
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a", CAST("n" AS text) AS "n" FROM "ext"."t" WHERE "scope_key" = $1 AND ("a" = $2 OR NOT ("b" < $3)) ORDER BY "a" DESC LIMIT 5 OFFSET $2"#,
            r#"SELECT "a" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 LIMIT 9) AS "page" LIMIT $2"#,
            r#"SELECT COUNT(*) FROM "ext"."t" WHERE ("scope_key" = $1) AND "a" = ANY($2)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" LIKE $2 AND "b" ILIKE $2 AND "c" @> $2 AND $3 = ANY("d")"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND ("a" IS NULL OR ("b" IS NULL) = $2 OR "c" IS NOT NULL)"#,
            r#"SELECT "a", SUM("n") FROM "ext"."t" WHERE "scope_key" = $1 GROUP BY "t"."a" HAVING MAX("n") > 1 ORDER BY AVG("n") DESC LIMIT 9"#,
            r#"SELECT "a", (SELECT ROW("x"."a", CAST("x"."n" AS text)) FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1 AND "x"."id" = "_row"."a") AS "b", ARRAY (SELECT ROW("y"."a") FROM "ext"."u" AS "y" WHERE "y"."scope_key" = $1 ORDER BY "y"."a" ASC LIMIT 3) AS "c" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 LIMIT 9) AS "_row" LIMIT $2"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) RETURNING "id""#,
            r#"INSERT INTO "ext"."t" ("id", "scope_key") VALUES ($2, $1), ($3, $1)"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("scope_key", "a") DO NOTHING"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("scope_key", "a") DO UPDATE SET "a" = "t"."a" + 1, "b" = "excluded"."b" RETURNING "id""#,
            r#"WITH "new" ("a") AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1) ON CONFLICT ("scope_key", "a") DO NOTHING RETURNING "a") SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" = $2"#,
            r#"UPDATE "ext"."t" SET "a" = "a" + 1, "at" = now() WHERE "id" = $2 AND "scope_key" = $1"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND "id" = $2 RETURNING "id""#,
            r#"WITH "rows" ("n", "v") AS (SELECT unnest($2), unnest(CAST($3 AS numeric[]))) INSERT INTO "ext"."t" ("scope_key", "id", "a") SELECT $1, "n", CAST("v" AS bigint[]) FROM "rows" RETURNING "id""#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)), "new" ("a", "k") AS (INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "n" FROM "rows" ON CONFLICT ("scope_key", "a") DO NOTHING RETURNING "a", "a") SELECT "a", "n" FROM "rows" INNER JOIN "new" ON "k" = "n" UNION ALL SELECT "a", "n" FROM "rows" INNER JOIN "ext"."t" ON "a" = "n" WHERE "scope_key" = $1 ORDER BY "n""#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND "a" = $2 AND (1 / (CASE WHEN ((SELECT COUNT(*) FROM (SELECT "id" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" = $2 LIMIT 11) AS "found") <= 10) THEN 1 ELSE 0 END)) = 1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND ("a", "id") > ($2, $3) ORDER BY "a", "id" LIMIT 21"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND ("a" < $2 OR "a" IS NULL OR ("a" = $2 AND "id" > $3))"#,
        ],
    );
}

#[test]
fn guards_stand_in_their_one_place() {
    check(
        "expression",
        &[
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND 1 / (CASE WHEN (SELECT COUNT(*) FROM "ext"."t" WHERE "scope_key" = $1) <= 10 THEN 1 ELSE 0 END) = 1"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND 1 / (CASE WHEN "a" <= 10 THEN 1 ELSE 0 END) = 1"#,
            r#"DELETE FROM "ext"."t" WHERE 1 / "a" = 1 AND "scope_key" = $1"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND NOT (1 / (CASE WHEN (SELECT COUNT(*) FROM "ext"."t" WHERE "scope_key" = $1) <= 10 THEN 1 ELSE 0 END) = 1)"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND 1 / (CASE WHEN (SELECT COUNT(*) FROM "ext"."t" WHERE "scope_key" = $1) <= "a" THEN 1 ELSE 0 END) = 1"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND 1 / (CASE "a" WHEN (SELECT COUNT(*) FROM "ext"."t" WHERE "scope_key" = $1) <= 1 THEN 1 ELSE 0 END) = 1"#,
            r#"UPDATE "ext"."t" SET "a" = 1 / (CASE WHEN (SELECT COUNT(*) FROM "ext"."t" WHERE "scope_key" = $1) <= 1 THEN 1 ELSE 0 END) WHERE "scope_key" = $1"#,
        ],
    );
    check(
        "unscoped",
        &[
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND 1 / (CASE WHEN (SELECT COUNT(*) FROM "ext"."t") <= 10 THEN 1 ELSE 0 END) = 1"#,
            r#"DELETE FROM "ext"."t" WHERE 1 / (CASE WHEN (SELECT COUNT(*) FROM "ext"."t" WHERE "scope_key" = $1) <= 10 THEN 1 ELSE 0 END) = 1"#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)), "new" ("a") AS (INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "n" FROM "rows") SELECT "a" FROM "rows" INNER JOIN "new" ON TRUE UNION ALL SELECT "a" FROM "rows" INNER JOIN "ext"."t" ON "scope_key" = $1"#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $2, "n" FROM "rows""#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "a") SELECT "n", $1 FROM "rows""#,
        ],
    );
}

/// A guard over rows of `"ext"."u"`, with `of` in place of `by`.
fn holds(of: &str, by: &str) -> String {
    let guard = r#"sqrt((CASE WHEN (COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE("a" = $3, FALSE) AS "holds" FROM "ext"."u" WHERE "scope_key" = $1 AND "id" = ANY(ARRAY (SELECT "b" FROM "ext"."t" WHERE "scope_key" = $1 FOR NO KEY UPDATE)) FOR SHARE) AS "found"), TRUE)) THEN 1 ELSE -1 END)) = 1"#;
    assert!(guard.contains(of), "{of}");
    guard.replacen(of, by, 1)
}

#[test]
fn conditions_of_writes_are_asked_of_the_callers_rows() {
    let guarded = [
        r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND "id" = $2 AND <>"#,
        r#"UPDATE "ext"."t" SET "a" = $2 WHERE ("scope_key" = $1 AND "id" = $2) AND (<>) RETURNING "id""#,
        r#"INSERT INTO "ext"."t" ("scope_key", "id") SELECT $1, $2 WHERE <> RETURNING "id""#,
        r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "id") SELECT $1, "n" FROM "rows" WHERE <> RETURNING "id""#,
        r#"WITH "new" ("a") AS (INSERT INTO "ext"."t" ("scope_key") SELECT $1 WHERE <> ON CONFLICT ("scope_key", "a") DO NOTHING RETURNING "a") SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" = $2"#,
    ];
    let altered = |expected: &str, of: &str, by: &str| {
        let texts: Vec<String> = guarded.iter().map(|sql| sql.replace("<>", &holds(of, by))).collect();
        check(expected, &texts.iter().map(String::as_str).collect::<Vec<&str>>());
    };
    altered("proven", "sqrt", "sqrt");
    altered("proven", "FOR SHARE", "LIMIT 9 FOR UPDATE");
    altered("unscoped", r#""ext"."u" WHERE "scope_key" = $1"#, r#""ext"."u" WHERE "scope_key" = $2"#);
    altered("unscoped", r#""ext"."u" WHERE "scope_key" = $1"#, r#""ext"."u" WHERE "scope_key" <> $1"#);
    altered("function", r#""ext"."u" WHERE "scope_key" = $1 AND"#, r#""ext"."u" WHERE "scope_key" = $1 OR"#);
    altered("unscoped", r#""ext"."t" WHERE "scope_key" = $1"#, r#""ext"."t" WHERE TRUE"#);
    altered("foreign table", r#""ext"."u""#, r#""other"."u""#);
    altered("foreign table", r#""ext"."t""#, r#""other"."t""#);
    altered("form", r#"FROM "ext"."u" WHERE"#, r#"FROM "ext"."u", "ext"."t" WHERE"#);
    altered("form", r#"FROM "ext"."t" WHERE"#, r#"FROM "ext"."t" AS "x" WHERE"#);
    // Without its lock a row may change before the write does.
    for (of, by) in [
        (" FOR SHARE", ""),
        (" FOR NO KEY UPDATE", ""),
        (" FOR SHARE", " FOR SHARE SKIP LOCKED"),
        (" FOR SHARE", " FOR SHARE NOWAIT"),
        (" FOR SHARE", r#" FOR SHARE OF "u""#),
        // A row that does not hold would be left out before it is locked, and one that holds not be locked.
        (r#"AS "found""#, r#"AS "found" WHERE "holds""#),
        (r#"AS "found""#, r#"AS "found" LIMIT 0"#),
        ("bool_and(", "bool_or("),
        (r#"bool_and("holds")"#, "bool_and(TRUE)"),
        (r#", FALSE) AS "holds""#, r#", TRUE) AS "holds""#),
        (r#"FALSE) AS "holds""#, r#"FALSE) AS "held""#),
        (r#""found"), TRUE)"#, r#""found"), FALSE)"#),
        ("ELSE -1", "ELSE 1"),
        ("THEN 1", r#"THEN "a""#),
        ("sqrt((", r#"sqrt(("n" + "#),
        ("= 1", r#"= "n""#),
        ("sqrt(", "ln("),
    ] {
        for sql in guarded {
            let sql = sql.replace("<>", &holds(of, by));
            assert_ne!(refusal(&sql), "proven", "{sql}");
        }
    }
    check(
        "proven",
        &[
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("scope_key", "a") DO UPDATE SET "b" = $2 WHERE sqrt((CASE WHEN (COALESCE("t"."a" = $3, FALSE)) THEN 1 ELSE -1 END)) = 1"#,
        ],
    );
    check(
        "function",
        &[
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND sqrt((CASE WHEN COALESCE("a", FALSE) THEN 1 ELSE -1 END)) = 1"#,
            r#"UPDATE "ext"."t" SET "a" = sqrt("a") WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND sqrt("a") = 1"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, sqrt(-1))"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("scope_key", "a") DO UPDATE SET "b" = $2 WHERE sqrt((CASE WHEN "t"."a" THEN 1 ELSE -1 END)) = 1"#,
        ],
    );
    check(
        "form",
        &[r#"INSERT INTO "ext"."t" ("scope_key", "id") SELECT $1, "a" FROM "ext"."u" WHERE "scope_key" = $1"#],
    );
    check("unscoped", &[r#"INSERT INTO "ext"."t" ("scope_key", "id") SELECT $2, $2 WHERE TRUE"#]);
}

#[test]
fn a_write_with_conditions_asks_them() {
    let prove = |sql: &str, tables: &[&str]| {
        let bindings = vec![Binding::Scope, Binding::Argument(0), Binding::Literal(Typed::Null)];
        guard::prove(
            &Statement { key: 0, sql: sql.to_owned(), types: Vec::new(), results: Vec::new(), bindings },
            tables,
        )
    };
    let unasked = |table: &str| Err(Unproven::Unasked(table.to_owned()));
    let guard = holds("sqrt", "sqrt");
    let delete = format!(r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND {guard}"#);
    assert_eq!(prove(&delete, &["u"]), Ok(()));
    assert_eq!(prove(&delete, &[]), Ok(()));
    assert_eq!(prove(&delete, &["u", "u"]), unasked("u"));
    assert_eq!(prove(&delete, &["t"]), unasked("t"), "it is locked, and nothing is asked of it");
    assert_eq!(prove(&delete.replace(" AND sqrt", " OR sqrt"), &["u"]), unasked("u"));
    assert_eq!(prove(r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1"#, &["u"]), unasked("u"));
    let insert = format!(r#"INSERT INTO "ext"."t" ("scope_key") SELECT $1 WHERE {guard}"#);
    assert_eq!(prove(&insert, &["u"]), Ok(()));
    assert_eq!(prove(r#"INSERT INTO "ext"."t" ("scope_key") VALUES ($1)"#, &["u"]), unasked("u"));
    let met = r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("scope_key", "a") DO UPDATE SET "b" = $2 WHERE sqrt((CASE WHEN (COALESCE("t"."a" = $3, FALSE)) THEN 1 ELSE -1 END)) = 1"#;
    assert_eq!(prove(met, &["t"]), Ok(()));
    assert_eq!(prove(&met.replace(" = 1", " = 1 OR TRUE"), &["t"]), unasked("t"));
}

#[test]
fn rows_are_made_of_bound_lists_alone() {
    check(
        "form",
        &[
            r#"WITH "rows" ("scope_key") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key") SELECT $1 FROM "rows""#,
            r#"WITH "rows" AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key") SELECT $1 FROM "rows""#,
            r#"WITH "rows" ("n") AS (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "n" FROM "rows""#,
            r#"INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "a" FROM "ext"."t""#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "n" FROM "rows" LEFT JOIN "ext"."t" ON TRUE"#,
            r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "a") VALUES ($1, $2)"#,
        ],
    );
    check(
        "function",
        &[
            r#"WITH "rows" ("n") AS (SELECT unnest($2)) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, unnest($2) FROM "rows""#,
            r#"WITH "rows" ("n") AS (SELECT unnest("a")) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "n" FROM "rows""#,
            r#"WITH "rows" ("n") AS (SELECT generate_series($2, $3)) INSERT INTO "ext"."t" ("scope_key", "a") SELECT $1, "n" FROM "rows""#,
        ],
    );
}

#[test]
fn rows_of_other_scopes_are_not_proven() {
    check(
        "unscoped",
        &[
            r#"SELECT "a" FROM "ext"."t""#,
            r#"SELECT "a" FROM "ext"."t" WHERE "a" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $2"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $9"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $0"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = "scope_key""#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" <> $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" >= $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 OR TRUE"#,
            r#"SELECT "a" FROM "ext"."t" WHERE TRUE OR "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" = $2 OR "b" = $3"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key" = $1 OR "a" = $2) AND "b" = $3"#,
            r#"SELECT "a" FROM "ext"."t" WHERE NOT "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE NOT ("scope_key" = $1 AND "a" = $2)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key" = $1) = FALSE"#,
            r#"SELECT "a" FROM "ext"."t" WHERE CASE WHEN "a" = $2 THEN "scope_key" = $1 ELSE TRUE END"#,
            r#"SELECT "a" FROM "ext"."t" WHERE COALESCE("scope_key" = $1, TRUE)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "Scope_Key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key", "id") = ($1, $2)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key", "id") > ($1, $2)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key") > ($1)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" IS NOT NULL"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key" = $1) IS NOT NULL"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key" = $1, "id") IS NULL"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" LIKE $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" @> $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE ("scope_key" = $1) IS NULL"#,
            r#"SELECT "a" FROM "ext"."t" ORDER BY "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" GROUP BY "a" HAVING "scope_key" = $1"#,
            r#"SELECT "a", COUNT(*) FROM "ext"."t" WHERE "a" = $2 GROUP BY "a", "scope_key" HAVING "scope_key" = $1"#,
            r#"SELECT COUNT(*) FROM "ext"."t" HAVING MIN("scope_key") = $1"#,
            r#"SELECT "a" FROM (SELECT * FROM "ext"."t") AS "page" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM (SELECT "a", $1 AS "scope_key" FROM "ext"."t") AS "page" WHERE "scope_key" = $1"#,
            r#"INSERT INTO "ext"."t" ("id") VALUES ($1)"#,
            r#"INSERT INTO "ext"."t" ("scope_key") VALUES ($2)"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2), ($2, $2)"#,
            r#"INSERT INTO "ext"."t" ("id", "scope_key") VALUES ($1, $2)"#,
            r#"INSERT INTO "ext"."t" VALUES ($1, $2)"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("id") DO NOTHING"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ("id") DO UPDATE SET "a" = $2"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($2, $2) ON CONFLICT ("scope_key", "a") DO UPDATE SET "a" = $2"#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($2)) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "a" = $1"#,
            r#"UPDATE "ext"."t" SET "a" = $2"#,
            r#"UPDATE "ext"."t" SET "a" = $1 WHERE "id" = $2"#,
            r#"UPDATE "ext"."t" SET "a" = $2 WHERE "scope_key" = $1 OR "id" = $2"#,
            r#"DELETE FROM "ext"."t""#,
            r#"DELETE FROM "ext"."t" WHERE "id" = $2"#,
            r#"DELETE FROM "ext"."t" WHERE NOT ("scope_key" = $1)"#,
            "DELETE FROM \"ext\".\"t\" -- WHERE \"scope_key\" = $1",
            "DELETE FROM \"ext\".\"t\" /* WHERE \"scope_key\" = $1 */",
        ],
    );
}

#[test]
fn foreign_tables_are_not_proven() {
    check(
        "foreign table",
        &[
            r#"SELECT "a" FROM "other"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "t" WHERE "scope_key" = $1"#,
            r#"WITH "new" AS (INSERT INTO "other"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "old" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM EXT.t WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "db"."ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM pg_catalog.pg_authid WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" JOIN "other"."t" ON TRUE WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 UNION SELECT "a" FROM "other"."t""#,
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "other"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a" FROM generate_series(1, 1000000000) WHERE "scope_key" = $1"#,
            r#"INSERT INTO "other"."t" ("scope_key") VALUES ($1)"#,
            r#"UPDATE "other"."t" SET "a" = $2 WHERE "scope_key" = $1"#,
            r#"DELETE FROM "other"."t" WHERE "scope_key" = $1"#,
            r#"DELETE FROM "ext"."t" USING "other"."t" WHERE "scope_key" = $1"#,
        ],
    );
}

#[test]
fn what_is_no_plain_statement_is_not_proven() {
    check(
        "form",
        &[
            r#"SELECT "a" FROM "ext"."t", "ext"."u" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" JOIN "ext"."u" ON TRUE WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" CROSS JOIN "ext"."u" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" AS "x" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 UNION SELECT "a" FROM "ext"."u""#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 EXCEPT ALL SELECT "a" FROM "ext"."t""#,
            r#"(SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 FOR UPDATE"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 FOR SHARE"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 FETCH FIRST 3 ROWS ONLY"#,
            r#"SELECT "a" FROM LATERAL now() WHERE "scope_key" = $1"#,
            r#"WITH "x" AS (SELECT "a" FROM "ext"."t") SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "x" AS (DELETE FROM "ext"."t" RETURNING "a") SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT 1"#,
            r#"VALUES ($1)"#,
            r#"INSERT INTO "ext"."t" ("scope_key") SELECT "scope_key" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET ("a", "scope_key") = ($2, $2) WHERE "scope_key" = $1"#,
            r#"INSERT INTO "ext"."t" DEFAULT VALUES"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT DO NOTHING"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) ON CONFLICT ON CONSTRAINT "t_pkey" DO NOTHING"#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "new""#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "new" UNION SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "new" AS (DELETE FROM "ext"."t" WHERE "scope_key" = $1) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH RECURSIVE "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "ext"."u" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") VALUES ($1)) SELECT "a" FROM "new", "ext"."u" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET "a" = $2 FROM "ext"."u" WHERE "scope_key" = $1"#,
            r#"DELETE FROM "ext"."t" USING "ext"."u" WHERE "scope_key" = $1"#,
            r#"MERGE INTO "ext"."t" USING "ext"."u" ON TRUE WHEN MATCHED THEN DELETE"#,
            r#"TRUNCATE "ext"."t""#,
            r#"DROP TABLE "ext"."t""#,
            r#"EXPLAIN ANALYZE DELETE FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"COPY "ext"."t" TO STDOUT"#,
            r#"SET ROLE "postgres""#,
        ],
    );
    check(
        "unreadable",
        &[
            r#"SELECT "a", "array"(SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            "",
            ";",
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1; DELETE FROM "ext"."t""#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 WHERE TRUE"#,
            "DO $$ BEGIN END $$",
            r#"TABLE "ext"."t""#,
        ],
    );
}

#[test]
fn what_is_hidden_in_expressions_is_not_proven() {
    check(
        "expression",
        &[
            r#"SELECT (SELECT "hash" FROM "rowgate"."api_keys") FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a", (SELECT "a" FROM "ext"."u") FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND EXISTS (SELECT "a" FROM "ext"."u")"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" IN (SELECT "a" FROM "ext"."u")"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND (TABLE "other"."secrets") IS NOT NULL"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND EXISTS (SELECT 1 FROM LATERAL pg_sleep(60))"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 LIMIT (SELECT 1)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 GROUP BY "a" HAVING COUNT(*) > (SELECT COUNT(*) FROM "ext"."u")"#,
            r#"SELECT SUM((SELECT "a" FROM "ext"."u")) FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 ORDER BY (SELECT "a" FROM "ext"."u")"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND ("a", "id") > ((SELECT "a" FROM "ext"."u"), $2)"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND (SELECT "a" FROM "ext"."u") IS NULL"#,
            r#"SELECT 'other.t'::regclass FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT CAST("a" AS "other"."type") FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" OPERATOR("other".=) $2"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" ~ $2"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" LIKE $2 ESCAPE '!'"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" @> ARRAY[$2]"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" SIMILAR TO $2"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" LIKE (SELECT "a" FROM "ext"."u")"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "a" <@ $2"#,
            r#"UPDATE "ext"."t" SET "a" = (SELECT "a" FROM "ext"."u") WHERE "scope_key" = $1"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, $2) RETURNING (SELECT "a" FROM "ext"."u")"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 RETURNING (SELECT "a" FROM "ext"."u")"#,
        ],
    );
    check(
        "form",
        &[
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x", "ext"."t" AS "y" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" JOIN "ext"."t" ON TRUE WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT ROW("scope_key") FROM "ext"."u" WHERE "scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" ("scope_key", "a") WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", ARRAY (SELECT "a" FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1 UNION ALL SELECT "a" FROM "ext"."u") AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", ARRAY (WITH "w" AS (SELECT 1) SELECT "a" FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT COUNT(*) FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1 GROUP BY "x"."a" HAVING TRUE) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
        ],
    );
    check(
        "unscoped",
        &[
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "scope_key" = $1) AS "b" FROM (SELECT "a", "scope_key" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "_row"."scope_key" = $1) AS "b" FROM (SELECT "a", "scope_key" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = "_row"."scope_key") AS "b" FROM (SELECT "a", "scope_key" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", ARRAY (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1 OR "x"."a" = "_row"."a") AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", ARRAY (SELECT ROW("x"."a") FROM "ext"."u" AS "x") AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", ARRAY (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $2) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
        ],
    );
    check(
        "expression",
        &[
            // A query is a column of the outermost SELECT alone, and of one over a derived table.
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a", (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "b" FROM (SELECT (SELECT ROW("x"."a") FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row") AS "_row""#,
            r#"SELECT "a", NOT (SELECT "x"."a" FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a", (SELECT ROW((SELECT "y"."a" FROM "ext"."u" AS "y" WHERE "y"."scope_key" = $1)) FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row" LIMIT (SELECT "x"."a" FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1)"#,
        ],
    );
    check(
        "hidden",
        &[
            r#"WITH "new" AS (INSERT INTO "ext"."t" ("scope_key") WITH "x" AS (SELECT 1) VALUES ($1)) SELECT "a" FROM "new" UNION ALL SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") WITH "x" AS (DELETE FROM "ext"."u") VALUES ($1, $2)"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") WITH "x" AS (SELECT 1) VALUES ($1, $2)"#,
        ],
    );
    check(
        "function",
        &[
            r#"SELECT SUM("a") FILTER (WHERE "scope_key" = $1) FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT SUM("a") OVER () FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT array_agg("a") FROM "ext"."t" WHERE "scope_key" = $1 GROUP BY "b""#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 GROUP BY "a" HAVING bool_or(pg_sleep(1) IS NULL)"#,
            r#"SELECT pg_sleep(60) FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "row"("a") FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "ext"."ROW"("a") FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a", (SELECT ROW(pg_sleep(1)) FROM "ext"."u" AS "x" WHERE "x"."scope_key" = $1) AS "b" FROM (SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1) AS "_row""#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND set_config('role', 'postgres', TRUE) = ''"#,
            r#"SELECT "ext"."count"("a") FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT pg_catalog.now() FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT count(pg_read_file('/etc/passwd')) FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 ORDER BY query_to_xml('SELECT 1', TRUE, TRUE, '')"#,
            r#"SELECT current_user FROM "ext"."t" WHERE "scope_key" = $1"#,
            r#"INSERT INTO "ext"."t" ("scope_key", "id") VALUES ($1, nextval('s'))"#,
            r#"UPDATE "ext"."t" SET "a" = lo_import('/etc/passwd') WHERE "scope_key" = $1"#,
            r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 RETURNING pg_terminate_backend(1)"#,
        ],
    );
}

#[test]
fn a_version_that_is_not_demanded_is_not_proven() {
    let verdict = |sql: &str| {
        let bindings = vec![Binding::Scope, Binding::Argument(0), Binding::Version(None)];
        prove(&Statement { key: 0, sql: sql.to_owned(), types: Vec::new(), results: Vec::new(), bindings }, "ext")
    };
    for sql in [
        r#"UPDATE "ext"."t" SET "a" = 1 WHERE "scope_key" = $1 AND "id" = $2 AND "version" = $3"#,
        r#"DELETE FROM "ext"."t" WHERE ("id" = $2 AND "version" = $3) AND "scope_key" = $1"#,
    ] {
        assert_eq!(verdict(sql), Ok(()), "{sql}");
    }
    for sql in [
        r#"UPDATE "ext"."t" SET "a" = 1 WHERE "scope_key" = $1 AND "id" = $2"#,
        r#"UPDATE "ext"."t" SET "version" = $3 WHERE "scope_key" = $1 AND "id" = $2"#,
        r#"UPDATE "ext"."t" SET "a" = 1 WHERE "scope_key" = $1 AND "version" = $3"#,
        r#"UPDATE "ext"."t" SET "a" = 1 WHERE "scope_key" = $1 AND "id" = $2 AND "version" = $2"#,
        r#"UPDATE "ext"."t" SET "a" = 1 WHERE "scope_key" = $1 AND "id" = $2 AND "version" <= $3"#,
        r#"UPDATE "ext"."t" SET "a" = 1 WHERE "scope_key" = $1 AND ("id" = $2 OR "version" = $3)"#,
        r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND "id" = $2 AND NOT ("version" = $3)"#,
        r#"DELETE FROM "ext"."t" WHERE "scope_key" = $1 AND "id" = $2 RETURNING "version" = $3"#,
        r#"SELECT "a" FROM "ext"."t" WHERE "scope_key" = $1 AND "id" = $2 AND "version" = $3"#,
    ] {
        assert_eq!(verdict(sql), Err(Unproven::Unversioned), "{sql}");
    }
}

#[test]
fn an_identity_of_a_row_is_not_assigned() {
    check(
        "assigned",
        &[
            r#"UPDATE "ext"."t" SET "scope_key" = $2 WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET "scope_key" = $1 WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET SCOPE_KEY = $2 WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET "a" = $2, "id" = $2 WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET ID = $2 WHERE "scope_key" = $1"#,
            r#"UPDATE "ext"."t" SET "scope_key"."x" = $2 WHERE "scope_key" = $1"#,
            r#"INSERT INTO "ext"."t" ("scope_key") VALUES ($1) ON CONFLICT ("scope_key", "a") DO UPDATE SET "scope_key" = $2"#,
            r#"INSERT INTO "ext"."t" ("scope_key") VALUES ($1) ON CONFLICT ("scope_key", "a") DO UPDATE SET "a" = $2, ID = "excluded"."id""#,
        ],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever statement is compiled: with its scope condition taken away, weakened, or bound to
    /// something else it is not proven, so the proof of the whole one says something.
    #[test]
    fn no_statement_is_proven_without_its_scope(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let model = checked(&generate::definition(&choices));
        for function in &model.functions {
            let plan = compile(&model, function).unwrap();
            for statement in plan.statements() {
                prop_assert_eq!(prove(statement, &model.postgres_schema), Ok(()));
                for (how, altered) in alterations(statement) {
                    let verdict = prove(&altered, &model.postgres_schema);
                    prop_assert!(verdict.is_err(), "{how}: {}", altered.sql);
                }
                let elsewhere = prove(statement, "ext_of_a_neighbour");
                prop_assert!(matches!(elsewhere, Err(Unproven::ForeignTable(_))), "{elsewhere:?}");
            }
        }
    }
}

/// The same for the steps of a transaction, which is proven as each of them is.
#[test]
fn no_step_is_proven_without_its_scope() {
    let arg = |name: &str| json!({ "arg": name });
    let row = |step: &str, column: &str| json!({ "row": step, "column": column });
    let step = |name: &str, function: Value| json!({ "name": name, "function": function });
    let tables = json!({
        "polls": { "columns": { "size": { "type": "integer" }, "secret": { "type": "string", "private": true, "default": "" } } },
        "votes": { "columns": { "poll": { "type": "id", "table": "polls" }, "who": { "type": "string" } } },
    });
    let steps = json!([
        step("poll", json!({ "kind": "insertRow", "table": "polls", "values": { "size": 1 } })),
        step(
            "votes",
            json!({ "kind": "insertRows", "table": "votes", "values": { "poll": row("poll", "id"), "who": row("poll", "secret") } })
        ),
        step(
            "grown",
            json!({
                "kind": "patchRow", "table": "polls", "id": row("poll", "id"), "values": { "size": { "increment": row("poll", "size") } },
                "when": { "column": "size", "op": "<", "value": arg("max") }, "version": arg("version"),
            })
        ),
        step(
            "gone",
            json!({ "kind": "deleteRow", "table": "votes", "id": arg("id"), "when": { "poll": { "column": "size", "op": "=", "value": row("grown", "size") } } })
        ),
        step("read", json!({ "kind": "getRow", "table": "polls", "id": row("gone", "poll") })),
    ]);
    let plan = plan(tables, json!({ "kind": "transaction", "steps": steps }));
    let mut tried = 0;
    for statement in plan.statements() {
        let schema = "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f";
        assert_eq!(prove(statement, schema), Ok(()));
        for (how, altered) in alterations(statement) {
            assert!(prove(&altered, schema).is_err(), "{how}: {}", altered.sql);
            tried += 1;
        }
    }
    assert!(tried > 100, "{tried}");
}

/// What is counted before anything is changed.
fn condition_of_guard(sql: &str, condition: &str) -> String {
    let guard = &sql[sql.find("1 / (CASE WHEN ").unwrap()..];
    let start = guard.find(condition).unwrap();
    format!("FROM{}", guard[..start].rsplit("FROM").next().unwrap()) + condition
}

/// The statement with its scope changed in each way that a mistake of the compiler might.
fn alterations(statement: &Statement) -> Vec<(&'static str, Statement)> {
    let sql = &statement.sql;
    let place = statement.bindings.iter().position(|binding| *binding == Binding::Scope).unwrap() + 1;
    let condition = format!("\"scope_key\" = ${place}");
    let mut altered: Vec<(&'static str, String)> = Vec::new();
    if sql.contains("INSERT INTO") {
        altered.push(("column dropped", sql.replacen("\"scope_key\"", "\"other\"", 1)));
        // The first of VALUES, or of what is selected from the call's rows.
        let value = |by: &str| {
            let of_values = sql.replacen(&format!("(${place},"), &format!("({by},"), 1);
            of_values.replacen(&format!("SELECT ${place},"), &format!("SELECT {by},"), 1)
        };
        altered.push(("value replaced", value("$999")));
        altered.push(("value wrapped", value(&format!("COALESCE(NULL, ${place})"))));
        altered.push(("value moved", value(&format!("\"id\", ${place}"))));
        altered.push(("conflict", sql.replace(" RETURNING", " ON CONFLICT DO NOTHING RETURNING")));
        altered.push(("second row", sql.replace(" RETURNING", ", (NULL, NULL) RETURNING")));
        if sql.contains(" ON CONFLICT ") {
            altered
                .push(("conflict beyond the scope", sql.replacen("ON CONFLICT (\"scope_key\", ", "ON CONFLICT (", 1)));
        }
        if sql.contains(" DO UPDATE SET ") {
            let assigned = format!(" DO UPDATE SET \"scope_key\" = ${place}, ");
            altered.push(("scope assigned on conflict", sql.replacen(" DO UPDATE SET ", &assigned, 1)));
        }
    }
    if sql.starts_with("WITH \"rows\"") {
        let table = sql.split("INSERT INTO ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        altered.push(("rows of a table", sql.replacen("FROM \"rows\"", &format!("FROM {table}"), 1)));
        altered.push(("rows and a table", sql.replacen("FROM \"rows\"", &format!("FROM \"rows\", {table}"), 1)));
        altered.push(("rows joined", sql.replacen("FROM \"rows\"", &format!("FROM \"rows\" JOIN {table} ON TRUE"), 1)));
        altered.push((
            "rows read from a table",
            sql.replacen("(SELECT unnest(", &format!("(SELECT * FROM {table}) UNION (SELECT unnest("), 1),
        ));
        altered
            .push(("a column called as the scope", sql.replacen("\"rows\" (\"new id\"", "\"rows\" (\"scope_key\"", 1)));
        altered.push(("rows without names", sql.replacen("\"rows\" (\"new id\"", "\"rows\" (\"new id\", \"more\"", 1)));
        altered.push(("another function", sql.replacen("unnest(", "generate_series(", 1)));
        altered.push(("unnested elsewhere", sql.replacen(" RETURNING ", " RETURNING unnest($1), ", 1)));
    }
    if sql.contains("1 / (CASE WHEN ") {
        let of_guard = condition_of_guard(sql, &condition);
        let mut replaced = |how, by: &str| altered.push((how, sql.replacen(&of_guard, by, 1)));
        replaced("guard of other scopes", &of_guard.replacen(&condition, "TRUE", 1));
        replaced("guard of another scope", &of_guard.replacen(&condition, "\"scope_key\" = $999", 1));
        replaced("guard or", &of_guard.replacen(&condition, &format!("({condition} OR TRUE)"), 1));
        altered.push(("guard of the row", sql.replacen("1 / (CASE WHEN ", "1 / (CASE WHEN \"id\" IS NULL OR ", 1)));
        altered.push(("divided by the row", sql.replacen("1 / (CASE WHEN ", "\"version\" / (CASE WHEN ", 1)));
        altered.push(("guard beside the scope", sql.replacen(" AND 1 / ", " OR 1 / ", 1)));
        altered.push(("count elsewhere", sql.replacen(" RETURNING ", " RETURNING 1 / \"version\", ", 1)));
    }
    if sql.contains("sqrt(") {
        altered.push(("root of the row", sql.replacen("sqrt(", "sqrt(\"version\" + ", 1)));
        altered.push(("root elsewhere", sql.replacen(" RETURNING ", " RETURNING sqrt(-1), ", 1)));
        let start = sql.find("sqrt(").unwrap();
        for (place, _) in sql.match_indices(&condition).filter(|(place, _)| *place > start) {
            let end = place + condition.len();
            // What follows a UNION is not the guard's, and altered below.
            if sql[..place].contains(" UNION ALL ") {
                continue;
            }
            let mut replaced = |how, by: &str| altered.push((how, format!("{}{by}{}", &sql[..place], &sql[end..])));
            replaced("asked of other scopes", "TRUE");
            replaced("asked of another scope", "\"scope_key\" = $999");
            replaced("asked of any scope", &format!("({condition} OR TRUE)"));
        }
        for lock in [" FOR SHARE)", " FOR UPDATE)", " FOR NO KEY UPDATE)"] {
            for (place, _) in sql.match_indices(lock) {
                let (before, after) = (&sql[..place], &sql[place + lock.len()..]);
                altered.push(("without a lock", format!("{before}){after}")));
                altered.push(("without waiting", format!("{before} FOR SHARE SKIP LOCKED){after}")));
            }
        }
    }
    let of_rows_alone = sql.contains("INSERT INTO") && !sql.contains(" UNION ALL ");
    if !of_rows_alone {
        assert!(sql.contains(&condition), "{sql}");
        // Not that of a table which is embedded.
        let own = sql.match_indices(&condition).find(|(start, _)| !sql[..*start].ends_with('.')).unwrap().0;
        let (before, after) = (&sql[..own], &sql[own + condition.len()..]);
        let mut replaced = |how, by: &str| altered.push((how, format!("{before}{by}{after}")));
        replaced("dropped", "TRUE");
        replaced("other parameter", "\"scope_key\" = $999");
        replaced("other column", &format!("\"id\" = ${place}"));
        replaced("other operator", &format!("\"scope_key\" <> ${place}"));
        replaced("or", &format!("({condition} OR TRUE)"));
        replaced("or before all", &format!("TRUE OR {condition}"));
        replaced("not", &format!("NOT ({condition})"));
        replaced("case", &format!("CASE WHEN {condition} THEN TRUE ELSE TRUE END"));
        replaced("coalesce", &format!("COALESCE({condition}, TRUE)"));
        replaced("subquery", &format!("{condition} AND EXISTS (SELECT 1)"));
        replaced("function", &format!("{condition} AND pg_sleep(1) = TRUE"));
        replaced("no condition", &format!("TRUE -- {condition}"));
    }
    if let Some(place) = statement.bindings.iter().position(|binding| matches!(binding, Binding::Version(_))) {
        let condition = format!("\"version\" = ${}", place + 1);
        assert!(sql.contains(&condition), "{sql}");
        let mut replaced = |how, by: &str| altered.push((how, sql.replacen(&condition, by, 1)));
        replaced("version dropped", &format!("${} = 1", place + 1));
        replaced("other version", "\"version\" = 1");
        replaced("later version", &format!("\"version\" >= ${}", place + 1));
        replaced("version or", &format!("({condition} OR TRUE)"));
        replaced("version not", &format!("NOT ({condition})"));
        replaced("other version's column", &format!("\"score\" = ${}", place + 1));
        altered.push(("id dropped", sql.replacen("\"id\" = $", "\"idea\" = $", 1)));
    }
    // Each table that is embedded has a condition of its own, by the name it goes by.
    for (start, _) in sql.match_indices(".\"scope_key\" = ") {
        let (before, after) = (&sql[..start], &sql[start..]);
        let name = before.rfind(' ').unwrap() + 1;
        let own = format!("{}{}", &before[name..], &after[..format!(".{condition}").len()]);
        let before = &before[..name];
        let after = &sql[name + own.len()..];
        let mut replaced = |how, by: &str| altered.push((how, format!("{before}{by}{after}")));
        replaced("embedded: dropped", "TRUE");
        replaced("embedded: other parameter", &own.replace(&format!("${place}"), "$999"));
        replaced("embedded: other operator", &own.replace(" = ", " <> "));
        replaced("embedded: or", &format!("({own} OR TRUE)"));
        replaced("embedded: of the rows around", &format!("\"_row\".{condition}"));
        replaced("embedded: of whichever table", &condition);
        replaced("embedded: subquery", &format!("{own} AND EXISTS (SELECT 1)"));
    }
    if sql.starts_with("UPDATE") {
        altered.push(("scope assigned", sql.replacen(" SET ", &format!(" SET \"scope_key\" = ${place}, "), 1)));
    }
    if sql.starts_with("SELECT") {
        altered.push(("lock", format!("{sql} FOR UPDATE")));
        altered.push(("union", format!("{sql} UNION SELECT 1")));
        altered.push(("with", format!("WITH \"x\" AS (SELECT 1) {sql}")));
    } else {
        altered.push(("returning", sql.replacen(" RETURNING ", " RETURNING (SELECT 1), ", 1)));
    }
    altered.push(("second statement", format!("{sql}; {sql}")));
    let rebound = |text: String, bindings: Vec<Binding>| Statement {
        key: 0,
        sql: text,
        types: Vec::new(),
        results: Vec::new(),
        bindings,
    };
    let mut all: Vec<(&'static str, Statement)> = altered
        .into_iter()
        .inspect(|(how, text)| assert_ne!(text, sql, "{how} changes nothing"))
        .map(|(how, text)| (how, rebound(text, statement.bindings.clone())))
        .collect();
    let others = |binding: &Binding| if *binding == Binding::Scope { Binding::NewId } else { binding.clone() };
    all.push(("bound to something else", rebound(sql.clone(), statement.bindings.iter().map(others).collect())));
    all
}
