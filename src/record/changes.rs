//! Changes of tables that take more than one transaction: what each is made of, and how far it has come.

use rowgate_schema_dsl::ddl::step::Step;
use tokio_postgres::types::Json;
use tokio_postgres::{Error, GenericClient};
use uuid::Uuid;

/// A change that is under way, or was when its gateway died.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    pub definition_sha256: Vec<u8>,
    /// What was allowed by name, sorted.
    pub allowed: Vec<String>,
    pub steps: Vec<Step>,
    /// How many of the steps are done.
    pub done: usize,
    /// Whether the new revision is deployed already.
    pub swapped: bool,
}

/// The change of an extension that is under way.
pub async fn pending(client: &impl GenericClient, extension_id: Uuid) -> Result<Option<Pending>, Error> {
    let row = client
        .query_opt(
            "SELECT definition_sha256, allowed, steps, done, swapped FROM rowgate.changes WHERE extension_id = $1",
            &[&extension_id],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let Json(steps) = row.try_get(2)?;
    let done = usize::try_from(row.try_get::<_, i32>(3)?).unwrap_or_default();
    let (definition_sha256, allowed, swapped) = (row.try_get(0)?, row.try_get(1)?, row.try_get(4)?);
    Ok(Some(Pending { definition_sha256, allowed, steps, done, swapped }))
}

/// How many changes are under way, of all extensions.
pub async fn count(client: &impl GenericClient) -> Result<i64, Error> {
    client.query_one("SELECT count(*) FROM rowgate.changes", &[]).await?.try_get(0)
}

/// Records a change before its first step.
pub async fn begin(client: &impl GenericClient, extension_id: Uuid, pending: &Pending) -> Result<(), Error> {
    client
        .execute(
            "INSERT INTO rowgate.changes (extension_id, definition_sha256, allowed, steps) VALUES ($1, $2, $3, $4)",
            &[&extension_id, &pending.definition_sha256, &pending.allowed, &Json(&pending.steps)],
        )
        .await?;
    Ok(())
}

/// So many steps are done; belongs in the transaction of the last of them, where it has one.
pub async fn advance(client: &impl GenericClient, extension_id: Uuid, done: usize) -> Result<(), Error> {
    let done = i32::try_from(done).unwrap_or(i32::MAX);
    client.execute("UPDATE rowgate.changes SET done = $2 WHERE extension_id = $1", &[&extension_id, &done]).await?;
    Ok(())
}

/// The new revision is deployed; belongs in the transaction that did it.
pub async fn swap(client: &impl GenericClient, extension_id: Uuid, done: usize) -> Result<(), Error> {
    let done = i32::try_from(done).unwrap_or(i32::MAX);
    client
        .execute(
            "UPDATE rowgate.changes SET done = $2, swapped = true WHERE extension_id = $1",
            &[&extension_id, &done],
        )
        .await?;
    Ok(())
}

/// Nothing is under way any more.
pub async fn end(client: &impl GenericClient, extension_id: Uuid) -> Result<(), Error> {
    client.execute("DELETE FROM rowgate.changes WHERE extension_id = $1", &[&extension_id]).await?;
    Ok(())
}

/// The number of the advisory lock by which deploys of an extension, and its removal, take turns.
pub fn lock_key(extension_id: Uuid) -> i64 {
    let (high, low) = extension_id.as_u64_pair();
    (high ^ low).cast_signed()
}

/// Keeps deploys of the extension away until the transaction ends; false where one is under way.
pub async fn keep_away(transaction: &impl GenericClient, extension_id: Uuid) -> Result<bool, Error> {
    let row = transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&lock_key(extension_id)]).await?;
    row.try_get(0)
}
