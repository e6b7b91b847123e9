//! What counts the rows of tables with a quota: a row of numbers for each scope, kept by triggers.
//!
//! The count is a part of the statement that changes it, whichever that is: a cascade that deletes
//! rows gives room back, and a conflict that is ignored takes none. Writers of one scope wait for
//! each other at its count until they commit; that is what makes the quota exact. Postgres has no
//! other way to count a cascade, and sea-query has no node for triggers, so these are texts with
//! identifiers that sea-query quotes. The names begin with `_`, as no author's do.

use crate::ddl::raw::{qualified, quoted};
use crate::model::Table;

/// What a trigger raises when a scope holds more rows than it may.
pub const ROWS_EXCEEDED_SQLSTATE: &str = "RG507";

/// The table of the counts, in the extension's Postgres schema.
pub const COUNTS: &str = "_rows";
const FUNCTION: &str = "_count_rows";
const INSERTED: &str = "_rows_inserted";
const DELETED: &str = "_rows_deleted";

/// The counts of an extension, and the function that keeps them.
///
/// The table's name is an argument of the trigger: behind a shard the table has another. Scopes are
/// counted in their order, so that two statements over several never wait for each other.
pub(super) fn create_counts(schema: &str) -> Vec<String> {
    let (counts, function) = (qualified(schema, COUNTS), qualified(schema, FUNCTION));
    vec![
        format!(
            "CREATE TABLE {counts} ( \"table_name\" text COLLATE \"C\" NOT NULL, \"scope_key\" uuid NOT NULL, \
             \"rows\" bigint NOT NULL, CONSTRAINT \"_rows_pkey\" PRIMARY KEY (\"table_name\", \"scope_key\") ) \
             WITH (fillfactor = 50)"
        ),
        format!(
            "CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
DECLARE
    most bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        WITH counted AS (
            INSERT INTO {counts} AS c (table_name, scope_key, rows)
            SELECT TG_ARGV[0], n.scope_key, count(*) FROM changed n GROUP BY n.scope_key ORDER BY n.scope_key
            ON CONFLICT (table_name, scope_key) DO UPDATE SET rows = c.rows + excluded.rows
            RETURNING c.rows
        )
        SELECT max(counted.rows) INTO most FROM counted;
        IF most > TG_ARGV[1]::bigint THEN
            RAISE EXCEPTION USING ERRCODE = '{ROWS_EXCEEDED_SQLSTATE}', MESSAGE = 'the quota of rows is spent';
        END IF;
    ELSE
        UPDATE {counts} c SET rows = c.rows - gone.rows
        FROM (SELECT o.scope_key, count(*) AS rows FROM changed o GROUP BY o.scope_key) gone
        WHERE c.table_name = TG_ARGV[0] AND c.scope_key = gone.scope_key;
    END IF;
    RETURN NULL;
END
$rowgate$"
        ),
    ]
}

pub(super) fn drop_counts(schema: &str) -> Vec<String> {
    vec![
        format!("DROP FUNCTION {}()", qualified(schema, FUNCTION)),
        format!("DROP TABLE {}", qualified(schema, COUNTS)),
    ]
}

/// From here on rows are counted; the triggers' lock keeps writers away until those that are there
/// have been.
pub(super) fn count(schema: &str, table: &Table, rows_max: u32, has_rows: bool) -> Vec<String> {
    let (on, name) = (qualified(schema, table.name.as_str()), table.name.as_str());
    let mut statements = vec![limit(schema, table, rows_max), give_back(schema, table)];
    if has_rows {
        statements.push(format!(
            "INSERT INTO {} (\"table_name\", \"scope_key\", \"rows\") \
             SELECT '{name}', \"scope_key\", count(*) FROM {on} GROUP BY \"scope_key\"",
            qualified(schema, COUNTS)
        ));
    }
    statements
}

/// The trigger that knows how many rows a scope may hold.
pub(super) fn limit(schema: &str, table: &Table, rows_max: u32) -> String {
    // INVARIANT: `Name` is made of letters, digits and `_`, so it needs no quotes doubled.
    format!(
        "CREATE OR REPLACE TRIGGER {} AFTER INSERT ON {} REFERENCING NEW TABLE AS changed FOR EACH STATEMENT \
         EXECUTE FUNCTION {}('{}', '{rows_max}')",
        quoted(INSERTED),
        qualified(schema, table.name.as_str()),
        qualified(schema, FUNCTION),
        table.name
    )
}

/// The trigger that knows which table's count a delete lowers.
fn give_back(schema: &str, table: &Table) -> String {
    let (on, name) = (qualified(schema, table.name.as_str()), table.name.as_str());
    format!(
        "CREATE OR REPLACE TRIGGER {} AFTER DELETE ON {on} REFERENCING OLD TABLE AS changed FOR EACH STATEMENT \
         EXECUTE FUNCTION {}('{name}')",
        quoted(DELETED),
        qualified(schema, FUNCTION)
    )
}

/// The table was called `former` until now.
pub(super) fn rename(schema: &str, table: &Table, former: &str) -> Vec<String> {
    let counts = qualified(schema, COUNTS);
    vec![
        give_back(schema, table),
        format!("UPDATE {counts} SET \"table_name\" = '{}' WHERE \"table_name\" = '{former}'", table.name),
    ]
}

/// The table goes, and what was counted of it.
pub(super) fn discount(schema: &str, table: &Table) -> String {
    format!("DELETE FROM {} WHERE \"table_name\" = '{}'", qualified(schema, COUNTS), table.name)
}

pub(super) fn forget(schema: &str, table: &Table) -> Vec<String> {
    let on = qualified(schema, table.name.as_str());
    vec![
        format!("DROP TRIGGER {} ON {on}", quoted(INSERTED)),
        format!("DROP TRIGGER {} ON {on}", quoted(DELETED)),
        format!("DELETE FROM {} WHERE \"table_name\" = '{}'", qualified(schema, COUNTS), table.name),
    ]
}
