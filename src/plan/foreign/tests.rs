#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use postgres_types::Type;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::read::read;
use serde_json::json;

use super::answer::{Room, statement};
use super::*;

fn model() -> Model {
    let (definition, complaints) = read(&json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
        "tables": {
            "notes": { "columns": { "text": { "type": "string" }, "dueAt": { "type": "timestamp" } } },
            "noteBooks": { "columns": { "note": { "type": "id", "table": "notes" } } },
            "designs": { "storage": "overlay", "columns": { "name": { "type": "string" } } },
        },
    }));
    assert_eq!(complaints, Vec::new());
    check(&definition).unwrap()
}

/// The text as it is sent, with `V` for the Postgres schema of the views, or why it is not.
fn sent(text: &str) -> String {
    match translate(text, &model()) {
        Ok(query) => query.sql.replace("\"ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read\"", "V"),
        Err(refused) => format!("{}: {}", refused.code, refused.message),
    }
}

#[test]
fn texts_are_written_anew() {
    let texts = [
        "select * from notes",
        "SELECT n.text AS Title, count(*) FROM notes n WHERE n.text LIKE $1 || '%' AND dueAt < now() GROUP BY 1 LIMIT 5",
        "SELECT 1 + 2 * 3 - 4, -1, NOT true, 'it''s', E'a\\'b\\n', $$do ' x$$, U&'\\0041', 1.5e3",
        "WITH t AS (SELECT text FROM notes) SELECT t.text FROM t JOIN noteBooks AS b USING (id) ORDER BY 1 DESC NULLS LAST",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT n FROM r",
        "SELECT (SELECT max(id) FROM noteBooks WHERE note = notes.id), EXISTS (SELECT 1 FROM notes) FROM notes",
        "SELECT text FROM notes WHERE id = ANY($1) OR text IN ('a', 'b') OR id IN (SELECT note FROM noteBooks)",
        "SELECT text, rank() OVER (PARTITION BY text ORDER BY dueAt ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM notes",
        "SELECT count(*) FILTER (WHERE text IS NULL), percentile_cont(0.5) WITHIN GROUP (ORDER BY version) FROM notes",
        "SELECT extract(year FROM dueAt), dueAt::date, date '2026-01-01', interval '1 day', CAST(version AS text) FROM notes",
        "SELECT g FROM generate_series(1, 3) AS g, LATERAL (SELECT text FROM notes LIMIT 1) AS x",
        "SELECT * FROM unnest($1::text[]) WITH ORDINALITY AS u(v, n)",
        "SELECT CASE WHEN text = 'a' THEN 1 ELSE 2 END, coalesce(text, ''), substring(text from 1 for 2), trim(text) FROM notes",
        "SELECT ARRAY[1, 2], (ARRAY[1, 2])[1], ARRAY(SELECT text FROM notes), current_date, ROW(1, 2) FROM notes",
        "(SELECT text FROM notes UNION SELECT 'x') EXCEPT ALL SELECT 'y' ORDER BY 1 OFFSET 2",
        "SELECT DISTINCT ON (text) text, make_interval(days => 2) FROM notes WINDOW w AS (ORDER BY text)",
        "SELECT text -- a comment\n /* and /* another */ */ FROM notes;",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT text FROM notes GROUP BY GROUPING SETS ((text), ()) HAVING count(*) > 1",
        "SELECT \"select\".\"text\" FROM notes AS \"select\" CROSS JOIN LATERAL jsonb_each('{}'::jsonb) AS e",
    ];
    let sent: Vec<String> = texts.iter().map(|text| sent(text)).collect();
    insta::assert_snapshot!(sent.join("\n"), @r#"
    SELECT * FROM V."notes"
    SELECT "n"."text" AS "Title", count(*) FROM V."notes" AS "n" WHERE (("n"."text" LIKE ($1 || '%')) AND ("dueAt" < now())) GROUP BY 1 LIMIT 5
    SELECT ((1 + (2 * 3)) - 4), (- 1), (NOT TRUE), 'it''s', 'a''b
    ', 'do '' x', 'A', 1.5e3
    WITH "t" AS (SELECT "text" FROM V."notes") SELECT "t"."text" FROM "t" JOIN V."noteBooks" AS "b" USING ("id") ORDER BY 1 DESC NULLS LAST
    WITH RECURSIVE "r" ("n") AS ((SELECT 1 UNION ALL SELECT ("n" + 1) FROM "r" WHERE ("n" < 5))) SELECT "n" FROM "r"
    SELECT (SELECT max("id") FROM V."noteBooks" WHERE ("note" = "notes"."id")), (EXISTS (SELECT 1 FROM V."notes")) FROM V."notes"
    SELECT "text" FROM V."notes" WHERE ((("id" = ANY ($1)) OR ("text" IN ('a', 'b'))) OR ("id" IN (SELECT "note" FROM V."noteBooks")))
    SELECT "text", rank() OVER ( PARTITION BY "text" ORDER BY "dueAt" ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM V."notes"
    SELECT count(*) FILTER (WHERE ("text" IS NULL)), percentile_cont(0.5) WITHIN GROUP ( ORDER BY "version") FROM V."notes"
    SELECT EXTRACT(year FROM "dueAt"), CAST("dueAt" AS date), CAST('2026-01-01' AS date), CAST('1 day' AS interval), CAST("version" AS text) FROM V."notes"
    SELECT "g" FROM generate_series(1, 3) AS "g", LATERAL (SELECT "text" FROM V."notes" LIMIT 1) AS "x"
    SELECT * FROM unnest(CAST($1 AS text[])) WITH ORDINALITY AS "u" ("v", "n")
    SELECT (CASE WHEN ("text" = 'a') THEN 1 ELSE 2 END), coalesce("text", ''), SUBSTRING("text" FROM 1 FOR 2), TRIM(BOTH  FROM "text") FROM V."notes"
    SELECT ARRAY[1, 2], (ARRAY[1, 2])[1], ARRAY(SELECT "text" FROM V."notes"), current_date, row(1, 2) FROM V."notes"
    (((SELECT "text" FROM V."notes" UNION SELECT 'x')) EXCEPT ALL SELECT 'y') ORDER BY 1 OFFSET 2
    SELECT DISTINCT ON ("text") "text", make_interval("days" => 2) FROM V."notes" WINDOW "w" AS ( ORDER BY "text")
    SELECT "text" FROM V."notes"
    VALUES (1, 'a'), (2, 'b')
    SELECT "text" FROM V."notes" GROUP BY GROUPING SETS (("text"), ()) HAVING (count(*) > 1)
    SELECT "select"."text" FROM V."notes" AS "select" CROSS JOIN LATERAL jsonb_each(CAST('{}' AS jsonb)) AS "e"
    "#);
}

/// Texts that are not run.
const REFUSED: &[&str] = &[
    "",
    "SELECT 1; SELECT 2",
    "DELETE FROM notes",
    "SELECT * FROM note",
    "SELECT * FROM rowgate.api_keys",
    "SELECT set_config('rowgate.scope_instance', 'x', true)",
    "SELECT pg_catalog.now()",
    "SELECT 'notes'::regclass",
    "SELECT regclass 'notes'",
    "SELECT * FROM notes FOR UPDATE",
    "SELECT * INTO x FROM notes",
    "WITH x AS (DELETE FROM notes RETURNING *) SELECT * FROM x",
    "WITH notes AS (SELECT 1) SELECT * FROM notes",
    "WITH pg_class AS (SELECT 1) SELECT 1",
    "SELECT $1, $3",
    "SELECT ?",
    "SELECT $101",
    "SELECT FROM notes WHERE",
    "SELECT text OPERATOR(pg_catalog.=) 'a' FROM notes",
    "SELECT text COLLATE \"x\" FROM notes",
    "SELECT a.b.c FROM notes a",
    "SELECT current_user",
    "SELECT 'a",
    "TABLE notes",
    "SELECT * FROM notes TABLESAMPLE SYSTEM (1)",
    "SELECT * FROM ONLY notes",
    "SHOW search_path",
    "EXPLAIN SELECT 1",
    "COPY notes TO STDOUT",
    "SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x text)",
    "SELECT x'ff', B'1'",
    "SELECT (n).text FROM notes n",
    "FETCH ALL FROM c",
    "SELECT * FROM notes FETCH FIRST 1 ROW ONLY",
];

#[test]
fn what_is_not_known_is_refused_in_words() {
    let sent: Vec<String> = REFUSED.iter().map(|text| format!("{text}\n    {}", sent(text))).collect();
    insta::assert_snapshot!(sent.join("\n"), @r#"
        sql_invalid: the text is empty; write one SELECT
    SELECT 1; SELECT 2
        sql_not_allowed: only one statement can be run
    DELETE FROM notes
        sql_not_allowed: only SELECT can be run
    SELECT * FROM note
        sql_invalid: there is no table `note`; did you mean `notes`?
    SELECT * FROM rowgate.api_keys
        sql_not_allowed: tables and functions are named by one word, without a Postgres schema in front
    SELECT set_config('rowgate.scope_instance', 'x', true)
        sql_not_allowed: `set_config` cannot be called here
    SELECT pg_catalog.now()
        sql_not_allowed: tables and functions are named by one word, without a Postgres schema in front
    SELECT 'notes'::regclass
        sql_not_allowed: `REGCLASS` is no type that values can be cast to here
    SELECT regclass 'notes'
        sql_not_allowed: `REGCLASS` is no type that values can be cast to here
    SELECT * FROM notes FOR UPDATE
        sql_not_allowed: FOR UPDATE and FOR SHARE lock rows; leave them out
    SELECT * INTO x FROM notes
        sql_not_allowed: SELECT INTO makes a table; leave INTO out
    WITH x AS (DELETE FROM notes RETURNING *) SELECT * FROM x
        sql_not_allowed: only SELECT can be run; `ctx.db` writes
    WITH notes AS (SELECT 1) SELECT * FROM notes
        sql_invalid: `notes` of WITH is the name of a table; choose another
    WITH pg_class AS (SELECT 1) SELECT 1
        sql_not_allowed: a name of WITH cannot begin with `pg_`
    SELECT $1, $3
        sql_invalid: the text has `$3` and no `$2`
    SELECT ?
        sql_invalid: expected an expression, found ? at line 1, column 8
    SELECT $101
        sql_invalid: parameters are `$1` to `$100`
    SELECT FROM notes WHERE
        sql_invalid: expected an expression, found the end
    SELECT text OPERATOR(pg_catalog.=) 'a' FROM notes
        sql_invalid: the text has an operator that is not read here
    SELECT text COLLATE "x" FROM notes
        sql_invalid: the text has an expression that is not read here
    SELECT a.b.c FROM notes a
        sql_not_allowed: a column is named by its table's name at most
    SELECT current_user
        sql_not_allowed: `current_user` cannot be called here
    SELECT 'a
        sql_invalid: unterminated string literal at line 1, column 8
    TABLE notes
        sql_invalid: expected an SQL statement, found TABLE at line 1, column 1
    SELECT * FROM notes TABLESAMPLE SYSTEM (1)
        sql_not_allowed: FROM takes tables of the extension, queries and functions
    SELECT * FROM ONLY notes
        sql_invalid: there is no table `ONLY`
    SHOW search_path
        sql_not_allowed: only SELECT can be run
    EXPLAIN SELECT 1
        sql_not_allowed: only SELECT can be run
    COPY notes TO STDOUT
        sql_not_allowed: only SELECT can be run
    SELECT * FROM xmltable('/a' PASSING '<a/>' COLUMNS x text)
        sql_not_allowed: FROM takes tables of the extension, queries and functions
    SELECT x'ff', B'1'
        sql_invalid: write texts in single quotes
    SELECT (n).text FROM notes n
        sql_invalid: the text has an expression that is not read here
    FETCH ALL FROM c
        sql_not_allowed: only SELECT can be run
    SELECT * FROM notes FETCH FIRST 1 ROW ONLY
        sql_not_allowed: FETCH is not read; write LIMIT
    "#);
}

#[test]
fn overlays_and_parameters_are_known() {
    let query = translate("SELECT $2 || name || $1 FROM designs", &model()).unwrap();
    assert_eq!((query.parameters, query.reads_overlay), (2, true));
    let query = translate("SELECT 1", &model()).unwrap();
    assert_eq!((query.parameters, query.reads_overlay), (0, false));
}

/// Texts that make parsers slow or deep cost little.
#[test]
fn reading_is_bounded() {
    let many = |unit: &str, times: usize| unit.repeat(times);
    let texts = [
        format!("SELECT 1{}", many("+1", 1_990)),
        format!("SELECT 1{}", many("+1", 5_000)),
        format!("SELECT {}1", many("- ", 3_000)),
        format!("SELECT {}true", many("NOT ", 3_000)),
        format!("SELECT {}1{}", many("(", 12), many(")", 12)),
        format!("SELECT {}1{}", many("(", 3_000), many(")", 3_000)),
        format!("SELECT * FROM {}notes{}", many("(", 12), many(")", 12)),
        format!("SELECT * FROM {}notes", many("(", 12)),
        format!("SELECT * FROM {}SELECT 1{} AS x", many("(", 12), many(")", 12)),
        format!("SELECT * FROM {}notes JOIN notes{}", many("(", 12), many(" USING (id))", 11)),
        format!("{}SELECT 1{}", many("(", 12), many(")", 12)),
        format!("SELECT {}1{}", many("(1, ", 12), many(")", 12)),
        format!("SELECT {}1{}", many("abs(", 12), many(")", 12)),
        format!("SELECT {}1{}", many("abs(", 12), many(")::int", 12)),
        format!("SELECT {}", many("CASE WHEN ", 900)),
        format!("SELECT 1 {}", many("UNION SELECT 1 ", 1_200)),
        format!("SELECT 1 {}", many("BETWEEN 1 AND 2 ", 900)),
        format!("SELECT 1{}", many("::int", 1_900)),
        format!("SELECT a{}", many("[1", 12)),
        format!("SELECT a{}", many(".a", 1_900)),
        format!("SELECT a{}", many(" IS NULL", 1_900)),
        format!("SELECT 1 IN {}1{}", many("(", 12), many(")", 12)),
        format!("SELECT * FROM notes{}", many(", notes", 1_900)),
        format!("SELECT * FROM notes{}", many(" NATURAL JOIN notes", 1_200)),
        format!("WITH {} SELECT 1", many("a AS (WITH ", 12)),
        "\u{feff}SELECT '\u{1f600}'".to_owned(),
        many("/*", 8_000),
        many("'", 16_001),
        many("$a$", 5_000),
    ];
    let model = model();
    for text in &texts {
        let begun = std::time::Instant::now();
        let _ = translate(text, &model);
        let shown: String = text.chars().take(40).collect();
        assert!(begun.elapsed().as_millis() < 1_500, "{shown}: {:?}", begun.elapsed());
    }
}

#[test]
fn answers_have_one_text_for_each_row_and_none_beyond_the_room() {
    let query = translate("SELECT text, version FROM notes", &model()).unwrap();
    let room = Room { rows_max: 10, bytes_max: 1_000 };
    let made = |columns: &[(&str, Type)]| {
        let columns: Vec<(&str, &Type)> = columns.iter().map(|(name, of_type)| (*name, of_type)).collect();
        statement(&query, &columns, room).unwrap_or_else(|refused| refused.message)
    };
    insta::assert_snapshot!(made(&[("text", Type::TEXT), ("a\"b", Type::NUMERIC)]), @r#"SELECT CASE WHEN sum(octet_length(j) + 1) OVER (ROWS UNBOUNDED PRECEDING) <= 1000 THEN j END FROM (SELECT row_to_json(r)::text AS j FROM (SELECT q.c0 AS "text", q.c1::text AS "a""b" FROM (SELECT "text", "version" FROM "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read"."notes") AS q (c0, c1)) AS r LIMIT 11) AS s"#);
    insta::assert_snapshot!(made(&[("a", Type::TIMESTAMPTZ_ARRAY)]), @r#"SELECT CASE WHEN sum(octet_length(j) + 1) OVER (ROWS UNBOUNDED PRECEDING) <= 1000 THEN j END FROM (SELECT row_to_json(r)::text AS j FROM (SELECT CASE WHEN q.c0 IS NOT NULL THEN coalesce((SELECT json_agg(to_char(e.v AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') ORDER BY e.n) FROM unnest(q.c0) WITH ORDINALITY AS e (v, n)), '[]') END AS "a" FROM (SELECT "text", "version" FROM "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read"."notes") AS q (c0)) AS r LIMIT 11) AS s"#);
    insta::assert_snapshot!(made(&[("a", Type::TEXT), ("a", Type::TEXT)]), @"two columns are called `a`; name each by AS");
    insta::assert_snapshot!(made(&[("?column?", Type::TEXT), ("?column?", Type::TEXT)]), @"two columns have no name; name each by AS");
    insta::assert_snapshot!(made(&[("a", Type::REGCLASS)]), @"column `a` has a type that is no answer; cast it, such as by `::text`");
    insta::assert_snapshot!(made(&[]), @"the query has no columns");
}
