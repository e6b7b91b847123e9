//! Erases installs that were uninstalled for long enough: batch by batch, each a short transaction that
//! adds what it deleted to the receipt, so that it goes on wherever it was interrupted.
//!
//! Rows that an account, an overlay or all installs share go with the last install that shares them. One
//! gateway at a time works, under an advisory lock of each transaction. A gateway that has not yet heard
//! that an install is gone may still write for it; so what was erased soon after it was uninstalled is
//! looked through once more.

use std::collections::VecDeque;

use deadpool_postgres::Pool;
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::db::{pool, sqlstate, wall};
use crate::lifecycle::SETTINGS;
use crate::plan::slice::erase::{LIMIT, Step, forget_counts, steps};
use crate::record::receipts::{self, Receipt};
use crate::record::{self, installs};
use crate::registry::recall;

/// After so long no gateway serves an install that it has not heard is gone: they read the registry
/// again once a minute, and no call takes as long as another.
const SETTLE_S: i32 = 120;

const SCOPES: [Scope; 4] = [Scope::Instance, Scope::Overlay, Scope::Account, Scope::Global];

#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    #[error("{0}")]
    Unreachable(String),
    #[error("the deployed definition cannot be read by this version: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Recorded(Vec<Diagnostic>),
    #[error("Postgres refused to erase: {}", sqlstate::chain(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// What is left to do for one receipt.
struct Work {
    receipt: Receipt,
    install_id: Uuid,
    role: Option<String>,
    left: VecDeque<Left>,
    /// Where the next batch of the first of these begins.
    from: Uuid,
}

enum Left {
    Rows { scope: Scope, key: Uuid, step: Step },
    Counts { scope: Scope, key: Uuid, sql: String },
    Own,
    Finish,
    Settle,
}

/// What one transaction came to.
enum Turn {
    Worked,
    /// The receipt is whole.
    Done,
    /// Nothing is left, or another gateway is at it.
    Nothing,
}

/// Erases all that is due, until `is_stopping` says so; answers how many receipts it made whole.
pub async fn round(pool: &Pool, is_stopping: impl Fn() -> bool) -> Result<usize, EraseError> {
    let (mut work, mut failed, mut done) = (None, Vec::new(), 0);
    let mut first_error = None;
    while !is_stopping() {
        // A connection for each batch, so that nobody waits for long.
        let mut client = pool::take(pool).await.map_err(|failure| EraseError::Unreachable(failure.to_string()))?;
        match turn(&mut client, &mut work, &failed).await {
            Ok(Turn::Worked) => {}
            Ok(Turn::Done) => {
                work = None;
                done += 1;
            }
            Ok(Turn::Nothing) => break,
            Err(error) => {
                // What cannot be erased now must not keep the others waiting.
                match work.take() {
                    Some(Work { install_id, .. }) => {
                        tracing::warn!(%install_id, reason = %error, "an install could not be erased; it is tried again");
                        failed.push(install_id);
                    }
                    None => return Err(error),
                }
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(done), Err)
}

async fn turn(client: &mut Client, work: &mut Option<Work>, failed: &[Uuid]) -> Result<Turn, EraseError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    if !receipts::try_lock(&transaction).await? {
        return Ok(Turn::Nothing);
    }
    let turn = match work {
        Some(work) => work.step(&transaction).await?,
        None => {
            *work = next(&transaction, failed).await?;
            if work.is_some() { Turn::Worked } else { Turn::Nothing }
        }
    };
    transaction.commit().await?;
    Ok(turn)
}

/// The receipt to work on, begun where it is new.
async fn next(transaction: &Transaction<'_>, failed: &[Uuid]) -> Result<Option<Work>, EraseError> {
    if let Some(id) = installs::due(transaction, failed).await?
        && let Some(receipt) = receipts::begin(transaction, id).await?
    {
        return Work::new(transaction, receipt, id, &[Left::Own, Left::Finish]).await.map(Some);
    }
    match receipts::unsettled(transaction, SETTLE_S, failed).await? {
        Some(Receipt { install_id: None, .. }) | None => Ok(None),
        Some(receipt @ Receipt { install_id: Some(id), .. }) => {
            Work::new(transaction, receipt, id, &[Left::Own, Left::Settle]).await.map(Some)
        }
    }
}

impl Work {
    async fn new(
        transaction: &Transaction<'_>,
        receipt: Receipt,
        install_id: Uuid,
        ends: &[Left],
    ) -> Result<Work, EraseError> {
        let mut left = VecDeque::new();
        let extension = record::extension(transaction, receipt.extension_id).await?;
        if let Some(extension) = &extension {
            let model = recall(&extension.definition).map_err(EraseError::Recorded)?;
            for scope in SCOPES {
                let key = match scope {
                    Scope::Instance => Some(install_id),
                    Scope::Overlay => receipt.overlay_id,
                    Scope::Account => receipt.account_id,
                    Scope::Global => Some(receipt.extension_id),
                };
                let Some(key) = key else { continue };
                left.extend(steps(&model, scope).into_iter().map(|step| Left::Rows { scope, key, step }));
                left.extend(forget_counts(&model, scope).into_iter().map(|sql| Left::Counts { scope, key, sql }));
            }
        }
        left.extend(ends.iter().map(|end| match end {
            Left::Own => Left::Own,
            Left::Settle => Left::Settle,
            Left::Finish | Left::Rows { .. } | Left::Counts { .. } => Left::Finish,
        }));
        let role = extension.and_then(|extension| extension.role);
        Ok(Work { receipt, install_id, role, left, from: Uuid::nil() })
    }

    /// Does one batch.
    async fn step(&mut self, transaction: &Transaction<'_>) -> Result<Turn, EraseError> {
        let Some(first) = self.left.front() else { return Ok(Turn::Done) };
        let id = self.receipt.id;
        let is_spent = match first {
            Left::Rows { scope, .. } | Left::Counts { scope, .. } if self.is_shared(transaction, *scope).await? => {
                let shared = *scope;
                self.left.retain(|left| match left {
                    Left::Rows { scope, .. } | Left::Counts { scope, .. } => *scope != shared,
                    Left::Own | Left::Finish | Left::Settle => true,
                });
                self.from = Uuid::nil();
                return Ok(Turn::Worked);
            }
            Left::Rows { key, step, .. } => {
                let erased = erase(transaction, self.role.as_deref(), *key, self.from, step).await?;
                for (table, rows) in &erased.rows {
                    receipts::add_rows(transaction, id, table, *rows).await?;
                }
                self.from = erased.last.unwrap_or_default();
                erased.last.is_none()
            }
            Left::Counts { key, sql, .. } => {
                wall::take(transaction, self.role.as_deref()).await?;
                transaction.execute(sql, &[key]).await?;
                wall::leave(transaction).await?;
                true
            }
            Left::Own => {
                let limit = i64::try_from(LIMIT).unwrap_or(i64::MAX);
                let swept = receipts::sweep_own(transaction, self.install_id, limit).await?;
                for (what, count) in ["lines", "kept_answers"].into_iter().zip(swept) {
                    receipts::add_own(transaction, id, what, count).await?;
                }
                swept.iter().all(|count| *count < limit)
            }
            Left::Finish => {
                receipts::finish(transaction, id, self.install_id, SETTLE_S).await?;
                return Ok(Turn::Done);
            }
            Left::Settle => {
                receipts::settle(transaction, id).await?;
                return Ok(Turn::Done);
            }
        };
        if is_spent {
            self.left.pop_front();
            self.from = Uuid::nil();
        }
        Ok(Turn::Worked)
    }

    /// Whether other installs share the rows of this storage, which then stay; new ones are kept away until
    /// the transaction ends.
    async fn is_shared(&self, transaction: &Transaction<'_>, scope: Scope) -> Result<bool, EraseError> {
        if scope == Scope::Instance {
            return Ok(false);
        }
        let Receipt { id, extension_id, account_id, overlay_id, .. } = self.receipt;
        installs::hold_extension(transaction, extension_id).await?;
        let shared = installs::shared(transaction, self.install_id, extension_id, account_id, overlay_id).await?;
        let is_shared = shared.iter().any(|word| word == scope.as_str());
        // Looked through once more, what went is gone, whoever came since.
        if is_shared && self.receipt.finished_at.is_none() {
            receipts::add_shared(transaction, id, scope.as_str()).await?;
        }
        Ok(is_shared)
    }
}

/// What a batch deleted.
#[derive(Debug, Default)]
struct Erased {
    /// By table.
    rows: Vec<(String, i64)>,
    /// The id where the next batch begins; none where nothing is left.
    last: Option<Uuid>,
}

async fn erase(
    transaction: &Transaction<'_>,
    role: Option<&str>,
    key: Uuid,
    from: Uuid,
    step: &Step,
) -> Result<Erased, EraseError> {
    wall::take(transaction, role).await?;
    let mut erased = Erased::default();
    match step {
        Step::Clear { sql } | Step::Delete { sql, .. } => {
            let rows = transaction.query(sql, &[&key, &from]).await?;
            for row in &rows {
                erased.last = erased.last.max(Some(row.try_get(0)?));
            }
            if let Step::Delete { table, .. } = step {
                erased.rows.push((table.clone(), i64::try_from(rows.len()).unwrap_or(i64::MAX)));
            }
            if (rows.len() as u64) < LIMIT {
                erased.last = None;
            }
        }
        Step::Together { tables, sql } => {
            let counts = transaction.query_one(sql, &[&key]).await?;
            for (place, table) in tables.iter().enumerate() {
                erased.rows.push((table.clone(), counts.try_get(place)?));
            }
        }
    }
    wall::leave(transaction).await?;
    Ok(erased)
}
