//! Runs the steps of a change, each as a whole or not at all, as the tables' owner.
//!
//! What a transaction can do commits with the count of steps done. What Postgres does in none is such
//! that to do it again is no harm: an index that was left invalid is found and built anew, and batches
//! leave rows alone that need nothing. A statement that would have to wait for a table's lock gives up
//! after 150 ms, so that no caller queues behind it, and is tried again a little later.

use std::time::{Duration, Instant};

use rowgate_schema_dsl::ddl::step::{Lock, Step, Work};
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::db::catalog;
use crate::db::sqlstate::{self, Contradiction};
use crate::db::wall::Wall;
use crate::deploy::apply::obstacles;
use crate::deploy::apply::{ApplyError, Patience};
use crate::record::changes;

/// No name resolves but a built-in or a qualified one, and backslashes in literals mean themselves.
pub(super) const SETTINGS: &str = "
SET LOCAL search_path = '';
SET LOCAL standard_conforming_strings = on;
SET LOCAL lock_timeout = '150ms';
SET LOCAL statement_timeout = '300s'";

/// What stops neither reads nor writes may take as long as it takes, and wait for others.
const PATIENT: &str = "
SET search_path = '';
SET standard_conforming_strings = on;
SET lock_timeout = 0;
SET statement_timeout = 0";
const IMPATIENT: &str =
    "RESET search_path; RESET standard_conforming_strings; RESET lock_timeout; RESET statement_timeout";

/// How often a table is walked over for rows that others held before its owner is told.
const PASSES_MAX: u32 = 100;

/// Where the steps of one extension's change are run.
pub(super) struct Runner<'a> {
    pub client: &'a mut Client,
    pub extension: Uuid,
    pub postgres_schema: String,
    pub wall: Option<Wall>,
    pub patience: Patience,
}

/// How long other work has been waited for.
pub(super) struct Wait {
    started: Instant,
    patience: Patience,
}

impl Wait {
    pub(super) fn new(patience: Patience) -> Wait {
        Wait { started: Instant::now(), patience }
    }

    /// Waits a little, or gives up.
    pub(super) async fn on(&self) -> Result<(), ApplyError> {
        let waited_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if waited_ms >= self.patience.wait_ms_max {
            return Err(ApplyError::Busy { waited_ms });
        }
        let pause_ms = self.patience.pause_ms;
        let pause_ms = rand::random_range(pause_ms / 2..=pause_ms.saturating_mul(3) / 2);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        Ok(())
    }
}

impl Runner<'_> {
    /// Does `step`, and records that `done` are then.
    pub(super) async fn perform(&mut self, step: &Step, done: usize) -> Result<(), ApplyError> {
        match &step.work {
            Work::Statements(statements) => self.in_transaction(step, statements, Some(done)).await,
            Work::Concurrently { create, index } => {
                self.concurrently(step, create, index).await?;
                Ok(changes::advance(self.client, self.extension, done).await?)
            }
            Work::Backfill { batch, remains } => {
                self.fill(step, batch, remains).await?;
                Ok(changes::advance(self.client, self.extension, done).await?)
            }
            // Guards are the swap's.
            Work::Guard { .. } => Ok(()),
        }
    }

    /// Takes back what was prepared, the last first, and forgets the change.
    pub(super) async fn take_back(&mut self, steps: &[Step], done: usize) -> Result<(), ApplyError> {
        for (place, step) in steps.iter().enumerate().take(done + 1).rev() {
            match &step.work {
                // The one that was not done has left nothing, but for an index.
                Work::Concurrently { .. } => {
                    for sql in &step.undo {
                        self.alone(sql).await?;
                    }
                    changes::advance(self.client, self.extension, place).await?;
                }
                Work::Statements(_) | Work::Backfill { .. } | Work::Guard { .. } => {
                    if place < done && !step.undo.is_empty() {
                        self.in_transaction(step, &step.undo, Some(place)).await?;
                    }
                }
            }
        }
        Ok(changes::end(self.client, self.extension).await?)
    }

    async fn in_transaction(
        &mut self,
        step: &Step,
        statements: &[String],
        done: Option<usize>,
    ) -> Result<(), ApplyError> {
        let wait = Wait::new(self.patience);
        loop {
            match self.attempt(step, statements, done).await {
                Err(ApplyError::Database(error)) if sqlstate::is_contention(&error) => wait.on().await?,
                other => return other,
            }
        }
    }

    async fn attempt(&mut self, step: &Step, statements: &[String], done: Option<usize>) -> Result<(), ApplyError> {
        let transaction = self.client.transaction().await?;
        transaction.batch_execute(SETTINGS).await?;
        if step.lock <= Lock::ShareUpdateExclusive {
            transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
        }
        if let Some(wall) = &self.wall {
            wall.step_forward(&transaction).await?;
        }
        for sql in statements {
            transaction.batch_execute(sql).await.map_err(|error| in_the_way(step, error))?;
        }
        if let Some(wall) = &self.wall {
            wall.step_back(&transaction).await?;
        }
        if let Some(done) = done {
            changes::advance(&transaction, self.extension, done).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn concurrently(&mut self, step: &Step, create: &str, index: &str) -> Result<(), ApplyError> {
        let wait = Wait::new(self.patience);
        loop {
            match catalog::index_is_valid(&*self.client, &self.postgres_schema, index).await? {
                Some(true) => return Ok(()),
                Some(false) => self.undo_index(step).await?,
                None => {}
            }
            match self.alone(create).await {
                Ok(()) => return Ok(()),
                Err(ApplyError::Database(error)) => {
                    // What a failed build leaves is looked at by no query, and kept right by every write.
                    self.undo_index(step).await?;
                    if !sqlstate::is_contention(&error) {
                        return Err(in_the_way(step, error));
                    }
                    wait.on().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn undo_index(&mut self, step: &Step) -> Result<(), ApplyError> {
        for sql in &step.undo {
            self.alone(sql).await?;
        }
        Ok(())
    }

    /// Runs `sql` in no transaction.
    async fn alone(&mut self, sql: &str) -> Result<(), ApplyError> {
        self.client.batch_execute(PATIENT).await?;
        if let Some(wall) = &self.wall {
            wall.enter(self.client).await?;
        }
        let result = self.client.batch_execute(sql).await;
        if let Some(wall) = &self.wall {
            wall.leave(self.client).await?;
        }
        self.client.batch_execute(IMPATIENT).await?;
        Ok(result?)
    }

    async fn fill(&mut self, step: &Step, batch: &str, remains: &str) -> Result<(), ApplyError> {
        let wait = Wait::new(self.patience);
        for _ in 0..PASSES_MAX {
            let mut behind = (Uuid::nil(), Uuid::nil());
            loop {
                let began = Instant::now();
                match self.fill_batch(step, batch, behind).await {
                    Ok(Some(last)) => behind = last,
                    // Rows that come from here on are right; to walk after them would never end.
                    Ok(None) => break,
                    Err(ApplyError::Database(error)) if sqlstate::is_contention(&error) => wait.on().await?,
                    Err(error) => return Err(error),
                }
                // Callers have the table for themselves a third of the time.
                tokio::time::sleep(began.elapsed() / 2).await;
            }
            if !self.answers_rows(remains).await? {
                return Ok(());
            }
            wait.on().await?;
        }
        let waited_ms = self.patience.wait_ms_max;
        Err(ApplyError::Busy { waited_ms })
    }

    /// The place to go on behind, where the table does not end there.
    async fn fill_batch(
        &mut self,
        step: &Step,
        batch: &str,
        behind: (Uuid, Uuid),
    ) -> Result<Option<(Uuid, Uuid)>, ApplyError> {
        let transaction = self.client.transaction().await?;
        transaction.batch_execute(SETTINGS).await?;
        if let Some(wall) = &self.wall {
            wall.step_forward(&transaction).await?;
        }
        let row = transaction.query_opt(batch, &[&behind.0, &behind.1]).await;
        let row = row.map_err(|error| in_the_way(step, error))?;
        transaction.commit().await?;
        Ok(match row {
            Some(row) if row.try_get(2)? => Some((row.try_get(0)?, row.try_get(1)?)),
            Some(_) | None => None,
        })
    }

    async fn answers_rows(&mut self, sql: &str) -> Result<bool, ApplyError> {
        let transaction = self.client.transaction().await?;
        if let Some(wall) = &self.wall {
            wall.step_forward(&transaction).await?;
        }
        Ok(transaction.query_opt(sql, &[]).await?.is_some())
    }
}

/// Runs the swap's part of `step` in its transaction.
pub(super) async fn swap(transaction: &Transaction<'_>, step: &Step) -> Result<(), ApplyError> {
    match &step.work {
        Work::Statements(statements) => {
            for sql in statements {
                transaction.batch_execute(sql).await.map_err(|error| in_the_way(step, error))?;
            }
        }
        Work::Guard { lock, obstacle } => {
            transaction.batch_execute(lock).await?;
            if let Some(complaint) = obstacles::find(transaction, obstacle).await? {
                return Err(ApplyError::Refused(vec![complaint]));
            }
        }
        // These are no part of a swap.
        Work::Concurrently { .. } | Work::Backfill { .. } => {}
    }
    Ok(())
}

/// Says which declaration existing rows contradict, where that is why `step` failed.
fn in_the_way(step: &Step, error: tokio_postgres::Error) -> ApplyError {
    let hint = match sqlstate::contradiction(&error) {
        Some(Contradiction::Unique) => "change or delete the rows that share a value first",
        Some(Contradiction::Reference) => "give the column a default that exists, or none",
        Some(Contradiction::Check) => "change or delete the rows that break the rule first",
        Some(Contradiction::Missing) => "give the rows a value first",
        Some(Contradiction::Size) => "index shorter values, or fewer columns",
        None => return ApplyError::Database(error),
    };
    let message = format!("{} cannot be made: rows that exist already contradict it", step.subject);
    ApplyError::Refused(vec![Diagnostic::new("existing_rows", step.pointer.as_str(), message).with_hint(hint)])
}
