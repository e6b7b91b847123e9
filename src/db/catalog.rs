//! What Postgres has of a Postgres schema, as plain data: tables, columns, constraints, indexes,
//! triggers, functions and whatever else somebody put there.
//!
//! Each object is told by its definition as Postgres itself writes it, in which the Postgres schema's
//! own name is left out, so that two of them can be compared. The order of columns means nothing and
//! is not told. [`built`] reads a Postgres schema that is made for the purpose and rolled back.

pub mod mend;

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{Error, GenericClient, Transaction};

/// Stands for the name of the Postgres schema in a definition; no name and no text of ours has it.
const ITSELF: &str = "\u{1}";

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Table,
    Column,
    /// A check, a key, a unique rule or a reference.
    Constraint,
    Index,
    Trigger,
    Function,
    /// A view, a sequence, a type, a policy: nothing that a definition asks for.
    Other,
}

/// An object of a Postgres schema.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its table; empty where it is of none.
    pub table: String,
    pub kind: Kind,
    /// Empty for a table; of a function with its argument types.
    pub name: String,
}

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Without the name of the Postgres schema; see [`Known::definition_in`].
    definition: String,
    /// Whether an index is valid, a constraint validated, a trigger enabled.
    pub is_sound: bool,
}

/// Everything in one Postgres schema.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    pub objects: BTreeMap<Object, Known>,
}

impl Known {
    /// The definition, with the Postgres schema called `postgres_schema`.
    pub fn definition_in(&self, postgres_schema: &str) -> String {
        self.definition.replace(ITSELF, postgres_schema)
    }

    /// Whether both are made in the same way, sound or not.
    pub fn is_made_like(&self, other: &Known) -> bool {
        self.definition == other.definition
    }
}

impl Object {
    /// Whether the gateway keeps it for itself: no author's name begins with `_`.
    pub fn is_own(&self) -> bool {
        self.name.starts_with('_') || self.table.starts_with('_')
    }
}

/// Whether the index is valid; none where there is no such index.
pub async fn index_is_valid(
    client: &impl GenericClient,
    postgres_schema: &str,
    index: &str,
) -> Result<Option<bool>, Error> {
    let row = client.query_opt(INDEX_IS_VALID, &[&postgres_schema, &index]).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// How many rows each of `tables` has: exactly up to `exact_max`, a guess beyond.
pub async fn rows(
    client: &impl GenericClient,
    postgres_schema: &str,
    tables: &BTreeSet<&str>,
    exact_max: u64,
) -> Result<BTreeMap<String, u64>, Error> {
    let mut counted = BTreeMap::new();
    let most = i64::try_from(exact_max).unwrap_or(i64::MAX).saturating_add(1);
    for table in tables {
        // What is new has no rows; a name of ours needs no quotes doubled.
        let Some(guess) = client.query_opt(GUESS, &[&postgres_schema, table]).await? else { continue };
        let sql = format!("SELECT count(*) FROM (SELECT FROM \"{postgres_schema}\".\"{table}\" LIMIT $1) AS some_rows");
        let exact: i64 = client.query_one(&sql, &[&most]).await?.try_get(0)?;
        let rows = if exact < most { exact } else { exact.max(guess.try_get(0)?) };
        counted.insert((*table).to_owned(), u64::try_from(rows).unwrap_or_default());
    }
    Ok(counted)
}

const GUESS: &str = "
SELECT greatest(c.reltuples::bigint, pg_stat_get_live_tuples(c.oid), 0)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relname = $2::text";

const INDEX_IS_VALID: &str = "
SELECT i.indisvalid FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relname = $2::text";

/// What is in `postgres_schema` now, as `transaction` sees it; nothing where there is none.
pub async fn read(transaction: &Transaction<'_>, postgres_schema: &str) -> Result<Catalog, Error> {
    transaction.batch_execute(BEGIN).await?;
    let catalog = read_qualified(transaction, postgres_schema).await?;
    transaction.batch_execute(END).await?;
    Ok(catalog)
}

/// What is in `postgres_schema` once `statements` have made it, of which nothing stays.
///
/// They run with the rights of whoever the transaction runs as, who must be able to make a Postgres
/// schema.
pub async fn built(
    transaction: &Transaction<'_>,
    postgres_schema: &str,
    statements: &[String],
) -> Result<Catalog, Error> {
    transaction.batch_execute(BEGIN).await?;
    transaction.batch_execute(&statements.join(";\n")).await?;
    let catalog = read_qualified(transaction, postgres_schema).await?;
    transaction.batch_execute(END).await?;
    Ok(catalog)
}

/// Without a path every name in a definition is qualified.
const BEGIN: &str = "
SAVEPOINT rowgate_catalog;
SET LOCAL search_path = '';
SET LOCAL standard_conforming_strings = on;
SET LOCAL quote_all_identifiers = off";

const END: &str = "ROLLBACK TO SAVEPOINT rowgate_catalog; RELEASE SAVEPOINT rowgate_catalog";

async fn read_qualified(transaction: &Transaction<'_>, postgres_schema: &str) -> Result<Catalog, Error> {
    let mut objects = BTreeMap::new();
    for row in transaction.query(OBJECTS, &[&postgres_schema]).await? {
        let kind = match row.try_get::<_, &str>(0)? {
            "table" => Kind::Table,
            "column" => Kind::Column,
            "constraint" => Kind::Constraint,
            "index" => Kind::Index,
            "trigger" => Kind::Trigger,
            "function" => Kind::Function,
            _ => Kind::Other,
        };
        let object = Object { kind, table: row.try_get(1)?, name: row.try_get(2)? };
        let definition: String = row.try_get(3)?;
        let known = Known { definition: definition.replace(postgres_schema, ITSELF), is_sound: row.try_get(4)? };
        objects.insert(object, known);
    }
    Ok(Catalog { objects })
}

/// Kind, table, name, definition, soundness. Indexes that a constraint made are told by it, and what
/// Postgres 18 calls a constraint of NOT NULL by its column.
const OBJECTS: &str = "
WITH itself AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1::text),
     tables AS (
       SELECT c.* FROM pg_catalog.pg_class c JOIN itself ON c.relnamespace = itself.oid WHERE c.relkind IN ('r', 'p'))
SELECT 'table', c.relname::text, '',
       concat_ws(' ', CASE c.relpersistence WHEN 'u' THEN 'unlogged' END,
                 CASE c.relkind WHEN 'p' THEN 'partitioned table' ELSE 'table' END,
                 CASE WHEN c.relrowsecurity THEN 'with row level security' END), true
  FROM tables c
UNION ALL
SELECT 'column', c.relname, a.attname,
       concat_ws(' ', pg_catalog.format_type(a.atttypid, a.atttypmod),
                 CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || pg_catalog.quote_ident(l.collname) END,
                 CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 CASE WHEN a.attidentity <> '' THEN 'GENERATED AS IDENTITY' END,
                 CASE WHEN a.attgenerated = '' THEN 'DEFAULT ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                      ELSE 'GENERATED ALWAYS AS (' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) || ')' END), true
  FROM tables c
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', c.relname, k.conname,
       pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(k.oid), ' NOT VALID$', ''), k.convalidated
  FROM tables c JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
 WHERE k.contype IN ('c', 'p', 'u', 'x') OR k.contype = 'f' AND k.conparentid = 0
UNION ALL
SELECT 'index', c.relname, i.relname, pg_catalog.pg_get_indexdef(i.oid), x.indisvalid AND x.indisready
  FROM tables c
  JOIN pg_catalog.pg_index x ON x.indrelid = c.oid
  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.oid AND k.contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'trigger', c.relname, g.tgname, pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled IN ('O', 'A')
  FROM tables c JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
UNION ALL
SELECT 'function', '', p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')',
       CASE WHEN p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) ELSE p.prosrc END, true
  FROM pg_catalog.pg_proc p JOIN itself ON p.pronamespace = itself.oid
UNION ALL
SELECT 'other', '', o.relname,
       CASE o.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                      WHEN 'f' THEN 'foreign table' ELSE 'type' END, true
  FROM pg_catalog.pg_class o JOIN itself ON o.relnamespace = itself.oid WHERE o.relkind IN ('v', 'm', 'S', 'f', 'c')
UNION ALL
SELECT 'other', '', t.typname, 'type', true
  FROM pg_catalog.pg_type t JOIN itself ON t.typnamespace = itself.oid WHERE t.typtype IN ('e', 'd', 'r')
UNION ALL
SELECT 'other', c.relname, p.polname, 'policy', true
  FROM tables c JOIN pg_catalog.pg_policy p ON p.polrelid = c.oid
UNION ALL
SELECT 'other', c.relname, r.rulename, 'rule', true
  FROM tables c JOIN pg_catalog.pg_rewrite r ON r.ev_class = c.oid";
