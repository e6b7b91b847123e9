//! The SQL that pgbench runs: the gateway's own text with pgbench's variables for its parameters.
//!
//! The text is what the server says the gateway ran; so the two cannot drift apart. Only where
//! the server does not show it (another role, a cut text) is the one written here taken, and the
//! report says so. A parameter's column is read from the text; what stands in for each column is
//! in `stand_in`, and a column without an entry there is an error.

use crate::workload::{
    BATCHED, CATEGORIES, CATEGORY_FIRST, COUNTER_FIRST, COUNTERS, ID_FIRST, ID_PREFIX, NOTED, ROWS, Workload,
};

/// What pgbench's `-D` sets: sent as text, as every one of its variables.
pub(crate) fn constants(scope: &str) -> Vec<String> {
    [
        ("scope", scope),
        ("inserted", crate::workload::INSERTED),
        ("now", "2026-01-01T00:00:00Z"),
        ("done", "false"),
        ("one", "1"),
        ("limit", "20"),
        ("n", "0"),
    ]
    .iter()
    .map(|(name, value)| format!("{name}={value}"))
    .collect()
}

/// The statement where the server does not show the gateway's.
pub(crate) fn assumed(workload: Workload, table: &str) -> String {
    let columns = "\"id\", \"category\", \"title\", \"score\", \"hits\", \"done\", \"seen_at\", \"created_at\", \
                   \"updated_at\", \"version\"";
    let of = |name: &str| table.replace("\"items\"", &format!("\"{name}\""));
    match workload {
        Workload::Page => format!(
            "SELECT {columns} FROM {table} WHERE \"scope_key\" = $1 AND \"category\" = $2 \
             ORDER BY \"score\" DESC, \"id\" DESC LIMIT 21"
        ),
        Workload::Upsert => format!(
            "INSERT INTO {} (\"scope_key\", \"id\", \"name\", \"hits\") VALUES ($1, $2, $3, 1) \
             ON CONFLICT (\"scope_key\", \"name\") DO UPDATE SET \"hits\" = \"counters\".\"hits\" + 1, \
             \"updated_at\" = now(), \"version\" = \"counters\".\"version\" + 1 RETURNING \"id\", \"name\", \"hits\"",
            of("counters")
        ),
        Workload::Aggregate => format!(
            "SELECT \"done\", COUNT(*) AS \"n\", CAST(SUM(\"score\") AS text) AS \"score\" FROM {table} \
             WHERE \"scope_key\" = $1 AND \"category\" = $2 GROUP BY \"items\".\"done\" \
             ORDER BY \"items\".\"done\" ASC LIMIT 1000"
        ),
        Workload::Expand => format!(
            "SELECT {columns}, ARRAY (SELECT ROW(\"notes\".\"id\", \"notes\".\"item\", \"notes\".\"text\") \
             FROM {} AS \"notes\" WHERE \"notes\".\"scope_key\" = $1 AND \"notes\".\"item\" = \"_row\".\"id\" \
             ORDER BY \"notes\".\"id\" ASC LIMIT 5) AS \"notes\" FROM (SELECT {columns} FROM {table} \
             WHERE \"scope_key\" = $1 AND \"id\" = $2) AS \"_row\"",
            of("notes")
        ),
        Workload::Select | Workload::Batch => {
            format!("SELECT {columns} FROM {table} WHERE \"scope_key\" = $1 AND \"id\" = $2")
        }
        Workload::List => format!(
            "SELECT {columns} FROM {table} WHERE \"scope_key\" = $1 AND \"category\" = $2 \
             ORDER BY \"score\" DESC, \"id\" DESC LIMIT 20"
        ),
        Workload::Insert => format!(
            "INSERT INTO {table} (\"scope_key\", \"id\", \"category\", \"title\", \"score\", \"seen_at\") \
             VALUES ($1, $2, $3, $4, $5, now()) RETURNING {columns}"
        ),
        Workload::Patch => format!(
            "UPDATE {table} SET \"hits\" = \"hits\" + $3, \"updated_at\" = now(), \"version\" = \"version\" + 1 \
             WHERE \"scope_key\" = $1 AND \"id\" = $2 RETURNING {columns}"
        ),
    }
}

/// A pgbench script that draws the same random questions as the load client and runs `sql`.
///
/// `run` makes the ids of one run's inserts differ from another's: a time in milliseconds.
pub(crate) fn script(workload: Workload, sql: &str, run: u64) -> Result<String, String> {
    let mut text = draws(workload);
    let mut copied = 0;
    for (place, column) in placeholders(sql)? {
        text.push_str(sql.get(copied..place.start).unwrap_or_default());
        let stand_in = stand_in(workload, &column, run).ok_or_else(|| {
            format!("nothing stands in for the column `{column}` of {sql}; add it to benches/load/src/statement.rs")
        })?;
        text.push_str(&stand_in);
        copied = place.end;
    }
    text.push_str(sql.get(copied..).unwrap_or_default());
    text.push_str(";\n");
    Ok(match workload {
        // Sent as one, as the gateway sends a batch; each draws its own row.
        Workload::Batch => format!("\\startpipeline\n{}\\endpipeline\n", text.repeat(BATCHED)),
        Workload::Select
        | Workload::List
        | Workload::Insert
        | Workload::Patch
        | Workload::Page
        | Workload::Upsert
        | Workload::Aggregate
        | Workload::Expand => text,
    })
}

fn draws(workload: Workload) -> String {
    match workload {
        Workload::Select | Workload::Patch | Workload::Batch => {
            format!("\\set i random({ID_FIRST}, {})\n", ID_FIRST + ROWS - 1)
        }
        Workload::Expand => format!("\\set i random({ID_FIRST}, {})\n", ID_FIRST + NOTED - 1),
        Workload::Upsert => format!(
            "\\set n :n + 1\n\\set i 100000000000000 + :n * 1000 + :client_id\n\\set name random({COUNTER_FIRST}, {})\n",
            COUNTER_FIRST + COUNTERS - 1
        ),
        Workload::List | Workload::Page | Workload::Aggregate => {
            format!("\\set category random({CATEGORY_FIRST}, {})\n", CATEGORY_FIRST + CATEGORIES - 1)
        }
        Workload::Insert => format!(
            "\\set n :n + 1\n\\set i 100000000000000 + :n * 1000 + :client_id\n\
             \\set title random({ID_FIRST}, {})\n\\set score random(10000, 99999)\n",
            ID_FIRST + Workload::Insert.numbers() - 1
        ),
    }
}

/// pgbench has numbers of 64 bits and no way to glue texts, so a UUID cannot be one of its
/// variables. A concatenation in the statement is the cheapest that makes one: seeded ids end in
/// decimal digits, and `uuid_in` takes digits without hyphens. README.md has its cost.
fn stand_in(workload: Workload, column: &str, run: u64) -> Option<String> {
    let named = match column {
        "id" => {
            return Some(match workload {
                Workload::Insert | Workload::Upsert => {
                    // As the gateway's: 48 bits of time, the version, the variant, digits that ascend.
                    let time = format!("{run:012x}");
                    let (high, low) = time.split_at_checked(8)?;
                    format!("('{high}-{low}-7000-8' || :i::text)::uuid")
                }
                Workload::Select
                | Workload::List
                | Workload::Patch
                | Workload::Page
                | Workload::Aggregate
                | Workload::Expand
                | Workload::Batch => {
                    format!("('{ID_PREFIX}' || :i::text)::uuid")
                }
            });
        }
        "category" if workload == Workload::Insert => ":inserted",
        "category" => ":category",
        "scope_key" => ":scope",
        "title" => ":title",
        "name" => ":name",
        "score" => ":score",
        "hits" | "version" => ":one",
        "done" => ":done",
        "seen_at" | "created_at" | "updated_at" => ":now",
        LIMIT => ":limit",
        _ => return None,
    };
    Some(named.to_owned())
}

/// Stands for the column of a parameter after LIMIT.
const LIMIT: &str = "limit of rows";

/// Each `$n` of a statement, in order, with the column it is compared with or assigned to: in an
/// INSERT the one at its place in the list, elsewhere the one named last before it.
fn placeholders(sql: &str) -> Result<Vec<(std::ops::Range<usize>, String)>, String> {
    let insert = sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("insert"));
    let mut found = Vec::new();
    let mut listed: Vec<String> = Vec::new();
    let mut latest = None;
    let (mut group, mut depth, mut item) = (0, 0, 0);
    for (place, token) in tokens(sql)? {
        match token {
            Token::Identifier(name) => {
                if insert && group == 1 && depth == 1 {
                    listed.push(name.clone());
                }
                latest = Some(name);
            }
            Token::Word(word) if word.eq_ignore_ascii_case("limit") => latest = Some(LIMIT.to_owned()),
            Token::Placeholder => {
                let column = if insert { listed.get(item).cloned() } else { latest.clone() };
                found.push((place, column.ok_or_else(|| format!("no column goes with a parameter of {sql}"))?));
            }
            Token::Sign('(') => {
                depth += 1;
                if depth == 1 {
                    group += 1;
                    item = 0;
                }
            }
            Token::Sign(')') => depth -= 1,
            Token::Sign(',') if depth == 1 => item += 1,
            Token::Word(_) | Token::Sign(_) => {}
        }
    }
    Ok(found)
}

enum Token {
    Identifier(String),
    Word(String),
    Placeholder,
    Sign(char),
}

fn tokens(sql: &str) -> Result<Vec<(std::ops::Range<usize>, Token)>, String> {
    let mut tokens = Vec::new();
    let mut rest = sql.char_indices().peekable();
    while let Some((start, sign)) = rest.next() {
        let mut text = String::new();
        let token = match sign {
            '"' | '\'' => {
                // A doubled quote ends one token and begins the next; column names have none.
                loop {
                    match rest.next() {
                        Some((_, inner)) if inner == sign => break,
                        Some((_, inner)) => text.push(inner),
                        None => return Err(format!("a quote is not closed in {sql}")),
                    }
                }
                if sign == '\'' {
                    continue;
                }
                Token::Identifier(text)
            }
            '$' => {
                while rest.next_if(|(_, next)| next.is_ascii_digit()).is_some() {}
                Token::Placeholder
            }
            _ if sign.is_ascii_alphabetic() => {
                text.push(sign);
                while let Some((_, next)) = rest.next_if(|(_, next)| next.is_ascii_alphanumeric() || *next == '_') {
                    text.push(next);
                }
                Token::Word(text)
            }
            _ => Token::Sign(sign),
        };
        let end = rest.peek().map_or(sql.len(), |(next, _)| *next);
        tokens.push((start..end, token));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use insta::assert_snapshot;

    use super::*;

    const TABLE: &str = "\"ext_1\".\"items\"";

    fn script_of(workload: Workload) -> String {
        script(workload, &assumed(workload, TABLE), 0x19a_0123_4567).unwrap()
    }

    #[test]
    fn select() {
        assert_snapshot!(script_of(Workload::Select), @r#"
        \set i random(100000000000, 100000099999)
        SELECT "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version" FROM "ext_1"."items" WHERE "scope_key" = :scope AND "id" = ('00000000-0000-7000-8000-' || :i::text)::uuid;
        "#);
    }

    #[test]
    fn list() {
        assert_snapshot!(script_of(Workload::List), @r#"
        \set category random(1000, 1999)
        SELECT "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version" FROM "ext_1"."items" WHERE "scope_key" = :scope AND "category" = :category ORDER BY "score" DESC, "id" DESC LIMIT 20;
        "#);
    }

    #[test]
    fn insert() {
        assert_snapshot!(script_of(Workload::Insert), @r#"
        \set n :n + 1
        \set i 100000000000000 + :n * 1000 + :client_id
        \set title random(100000000000, 100999999999)
        \set score random(10000, 99999)
        INSERT INTO "ext_1"."items" ("scope_key", "id", "category", "title", "score", "seen_at") VALUES (:scope, ('019a0123-4567-7000-8' || :i::text)::uuid, :inserted, :title, :score, now()) RETURNING "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version";
        "#);
    }

    #[test]
    fn patch() {
        assert_snapshot!(script_of(Workload::Patch), @r#"
        \set i random(100000000000, 100000099999)
        UPDATE "ext_1"."items" SET "hits" = "hits" + :one, "updated_at" = now(), "version" = "version" + 1 WHERE "scope_key" = :scope AND "id" = ('00000000-0000-7000-8000-' || :i::text)::uuid RETURNING "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version";
        "#);
    }

    #[test]
    fn page_aggregate_upsert_and_expand() {
        let kinds = [Workload::Page, Workload::Aggregate, Workload::Upsert, Workload::Expand];
        assert_snapshot!(kinds.map(script_of).concat(), @r#"
        \set category random(1000, 1999)
        SELECT "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version" FROM "ext_1"."items" WHERE "scope_key" = :scope AND "category" = :category ORDER BY "score" DESC, "id" DESC LIMIT 21;
        \set category random(1000, 1999)
        SELECT "done", COUNT(*) AS "n", CAST(SUM("score") AS text) AS "score" FROM "ext_1"."items" WHERE "scope_key" = :scope AND "category" = :category GROUP BY "items"."done" ORDER BY "items"."done" ASC LIMIT 1000;
        \set n :n + 1
        \set i 100000000000000 + :n * 1000 + :client_id
        \set name random(100000, 199999)
        INSERT INTO "ext_1"."counters" ("scope_key", "id", "name", "hits") VALUES (:scope, ('019a0123-4567-7000-8' || :i::text)::uuid, :name, 1) ON CONFLICT ("scope_key", "name") DO UPDATE SET "hits" = "counters"."hits" + 1, "updated_at" = now(), "version" = "counters"."version" + 1 RETURNING "id", "name", "hits";
        \set i random(100000000000, 100000019999)
        SELECT "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version", ARRAY (SELECT ROW("notes"."id", "notes"."item", "notes"."text") FROM "ext_1"."notes" AS "notes" WHERE "notes"."scope_key" = :scope AND "notes"."item" = "_row"."id" ORDER BY "notes"."id" ASC LIMIT 5) AS "notes" FROM (SELECT "id", "category", "title", "score", "hits", "done", "seen_at", "created_at", "updated_at", "version" FROM "ext_1"."items" WHERE "scope_key" = :scope AND "id" = ('00000000-0000-7000-8000-' || :i::text)::uuid) AS "_row";
        "#);
    }

    #[test]
    fn a_batch_is_ten_selects_in_one_pipeline() {
        let select = script_of(Workload::Select);
        assert_eq!(script_of(Workload::Batch), format!("\\startpipeline\n{}\\endpipeline\n", select.repeat(10)));
    }

    #[test]
    fn a_parameter_follows_its_column_however_the_statement_is_written() {
        let sql = "INSERT INTO \"e\".\"items\" (\"id\", \"seen_at\", \"title\") \
                   VALUES ($2, coalesce($1, now()), CAST($3 AS text)) RETURNING \"score\"";
        let columns: Vec<String> = placeholders(sql).unwrap().into_iter().map(|(_, column)| column).collect();
        assert_eq!(columns, ["id", "seen_at", "title"]);

        let sql = "SELECT 'a $1 \"b\"' FROM \"e\".\"items\" AS \"t\" WHERE \"t\".\"id\" = $12 LIMIT $1";
        let columns: Vec<String> = placeholders(sql).unwrap().into_iter().map(|(_, column)| column).collect();
        assert_eq!(columns, ["id", LIMIT]);
    }

    #[test]
    fn an_unknown_column_is_named() {
        let message = script(Workload::Select, "SELECT 1 WHERE \"colour\" = $1", 0).unwrap_err();
        assert!(message.contains("`colour`"), "{message}");
    }
}
