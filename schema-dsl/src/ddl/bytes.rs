//! What counts the bytes of every table's rows by scope, kept by triggers, where the extension has a quota.
//!
//! A row's bytes are those of `record_send`: what its values are when they are sent, uncompressed,
//! wherever they are stored; so a row that goes gives back what it took, which `pg_column_size` would
//! not say of one that was compressed in between. A scope's count is the sum of a few rows, of which a
//! connection writes one, so that writers of one scope seldom wait for each other; in return what
//! is written at the same moment may together go beyond the quota. A statement that takes no more room
//! than it gives is never refused. As in [`quota`](super::quota), names that begin with `_` are no
//! author's, and the transition tables' rows are named so that no column is meant.

use crate::ddl::raw::{qualified, quoted};
use crate::model::Table;

/// What a trigger raises when a scope holds more bytes than it may.
pub const BYTES_EXCEEDED_SQLSTATE: &str = "RG508";

/// The table of the counts, in the extension's Postgres schema.
pub const COUNTS: &str = "_bytes";
const FUNCTION: &str = "_count_bytes";
/// Each trigger with what makes it fire, and the rows it is given.
const TRIGGERS: [(&str, &str, &str); 3] = [
    ("_bytes_inserted", "INSERT", "NEW TABLE AS came"),
    ("_bytes_updated", "UPDATE", "OLD TABLE AS gone NEW TABLE AS came"),
    ("_bytes_deleted", "DELETE", "OLD TABLE AS gone"),
];
/// Rows that make up one scope's count: more let more connections write without a wait, and are more
/// to add up for each statement that takes room.
const STRIPES: u32 = 16;

/// The counts of an extension.
pub(super) fn create_counts(schema: &str) -> String {
    format!(
        "CREATE TABLE {} ( \"scope_key\" uuid NOT NULL, \"storage\" text COLLATE \"C\" NOT NULL, \
         \"stripe\" integer NOT NULL, \"bytes\" bigint NOT NULL, \
         CONSTRAINT \"_bytes_pkey\" PRIMARY KEY (\"scope_key\", \"storage\", \"stripe\") ) WITH (fillfactor = 50)",
        qualified(schema, COUNTS)
    )
}

/// The function that keeps them, and knows how many bytes a scope may hold: to change that, no table
/// is locked.
pub(super) fn count_function(schema: &str, bytes_max: u64) -> String {
    let (counts, function) = (qualified(schema, COUNTS), qualified(schema, FUNCTION));
    format!(
        "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $rowgate$
DECLARE
    _changes refcursor;
    _scope uuid;
    _more bigint;
    _own constant integer := pg_backend_pid() % {STRIPES};
BEGIN
    IF TG_OP = 'INSERT' THEN
        OPEN _changes FOR
            SELECT _row.scope_key, sum(octet_length(record_send(_row))) FROM came _row
            GROUP BY _row.scope_key ORDER BY _row.scope_key;
    ELSIF TG_OP = 'DELETE' THEN
        OPEN _changes FOR
            SELECT _row.scope_key, -sum(octet_length(record_send(_row))) FROM gone _row
            GROUP BY _row.scope_key ORDER BY _row.scope_key;
    ELSE
        OPEN _changes FOR
            SELECT _row.scope_key, sum(_row._bytes) FROM (
                SELECT _new.scope_key, octet_length(record_send(_new)) AS _bytes FROM came _new
                UNION ALL SELECT _old.scope_key, -octet_length(record_send(_old)) FROM gone _old
            ) _row
            GROUP BY _row.scope_key HAVING sum(_row._bytes) <> 0 ORDER BY _row.scope_key;
    END IF;
    LOOP
        FETCH _changes INTO _scope, _more;
        EXIT WHEN NOT FOUND;
        INSERT INTO {counts} AS c (scope_key, storage, stripe, bytes) VALUES (_scope, TG_ARGV[0], _own, _more)
        ON CONFLICT (scope_key, storage, stripe) DO UPDATE SET bytes = c.bytes + excluded.bytes;
        -- A statement of its own, so that it sees what was committed while the one before waited.
        IF _more > 0 AND (
            SELECT sum(c.bytes) FROM {counts} c WHERE c.scope_key = _scope AND c.storage = TG_ARGV[0]
        ) > {bytes_max} THEN
            RAISE EXCEPTION USING ERRCODE = '{BYTES_EXCEEDED_SQLSTATE}', MESSAGE = 'the quota of bytes is spent';
        END IF;
    END LOOP;
    CLOSE _changes;
    RETURN NULL;
END
$rowgate$"
    )
}

pub(super) fn drop_counts(schema: &str) -> Vec<String> {
    vec![
        format!("DROP FUNCTION {}()", qualified(schema, FUNCTION)),
        format!("DROP TABLE {}", qualified(schema, COUNTS)),
    ]
}

/// From here on the bytes of `table` are counted; the triggers' lock keeps writers away until the rows
/// that are there have been.
pub(super) fn count(schema: &str, table: &Table, has_rows: bool) -> Vec<String> {
    let on = qualified(schema, table.name.as_str());
    let function = qualified(schema, FUNCTION);
    let trigger = |(name, event, rows): &(&str, &str, &str)| {
        format!(
            "CREATE TRIGGER {} AFTER {event} ON {on} REFERENCING {rows} FOR EACH STATEMENT \
             EXECUTE FUNCTION {function}('{}')",
            quoted(name),
            table.scope.as_str()
        )
    };
    let mut statements: Vec<String> = TRIGGERS.iter().map(trigger).collect();
    if has_rows {
        statements.push(add(schema, table, "octet_length(record_send(_row))"));
    }
    statements
}

/// Counts what `column` adds to the rows that are there.
pub(super) fn count_column(schema: &str, table: &Table, column: &str) -> String {
    // The record's own four bytes are counted with the row.
    add(schema, table, &format!("octet_length(record_send(ROW(_row.{}))) - 4", quoted(column)))
}

/// Gives back what `column` takes of the rows that are there.
pub(super) fn discount_column(schema: &str, table: &Table, column: &str) -> String {
    add(schema, table, &format!("4 - octet_length(record_send(ROW(_row.{})))", quoted(column)))
}

/// Gives back what the rows of a table take.
pub(super) fn discount(schema: &str, table: &Table) -> String {
    add(schema, table, "-octet_length(record_send(_row))")
}

pub(super) fn forget(schema: &str, table: &Table) -> Vec<String> {
    let on = qualified(schema, table.name.as_str());
    TRIGGERS.iter().map(|(name, _, _)| format!("DROP TRIGGER {} ON {on}", quoted(name))).collect()
}

fn add(schema: &str, table: &Table, bytes: &str) -> String {
    format!(
        "INSERT INTO {} AS c (\"scope_key\", \"storage\", \"stripe\", \"bytes\") \
         SELECT _row.\"scope_key\", '{}', 0, sum({bytes}) FROM {} _row GROUP BY _row.\"scope_key\" \
         ON CONFLICT (\"scope_key\", \"storage\", \"stripe\") DO UPDATE SET \"bytes\" = c.\"bytes\" + excluded.\"bytes\"",
        qualified(schema, COUNTS),
        table.scope.as_str(),
        qualified(schema, table.name.as_str())
    )
}
