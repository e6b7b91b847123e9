//! Asks for the rows that stand in the way of a change, and says which they are.

use std::collections::{BTreeMap, BTreeSet};

use rowgate_schema_dsl::ddl::step::Obstacle;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_postgres::{Error, GenericClient};
use uuid::Uuid;

/// A complaint for each obstacle that there are rows of.
pub async fn found(client: &impl GenericClient, obstacles: &[Obstacle]) -> Result<Vec<Diagnostic>, Error> {
    let mut complaints = Vec::new();
    for obstacle in obstacles {
        complaints.extend(find(client, obstacle).await?);
    }
    Ok(complaints)
}

/// The complaint about an obstacle, where there are rows of it.
pub async fn find(client: &impl GenericClient, obstacle: &Obstacle) -> Result<Option<Diagnostic>, Error> {
    let rows = client.query(&obstacle.sql, &[]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let count: i64 = first.try_get(0)?;
    let mut shown = Vec::with_capacity(rows.len());
    for row in &rows {
        shown.push(format!("`{}`", row.try_get::<_, Uuid>(1)?));
    }
    let shown = shown.join(", ");
    let which = if i64::try_from(rows.len()) == Ok(count) { shown } else { format!("{count} in all, first {shown}") };
    let message = format!("{}: {which}", obstacle.message);
    let complaint = Diagnostic::new(obstacle.kind.code(), obstacle.pointer.as_str(), message);
    Ok(Some(complaint.with_hint(obstacle.hint.as_str())))
}

/// What to name so that all of `complaints` are let pass; none where one of them cannot be.
pub fn allowances(complaints: &[Diagnostic]) -> Option<Vec<String>> {
    let named = |complaint: &Diagnostic| {
        let (_, from) = complaint.hint.as_deref()?.split_once("`--allow ")?;
        from.split_once('`').map(|(name, _)| name.to_owned())
    };
    complaints.iter().map(named).collect()
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
