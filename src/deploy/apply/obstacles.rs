//! Asks for the rows that stand in the way of a change, and says which they are.

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
