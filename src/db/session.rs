//! A session of the driver's that one caller has for himself, with prepared statements of its own.
//!
//! What runs here may be followed by more in the same transaction, so each statement is waited for.
//! Rows are handed to [`Answer`] as a lane would, and the last is given to the caller.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use futures_util::TryStreamExt;
use lru::LruCache;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::db::parameter::{Parameter, rows_min};
use crate::db::sqlstate;
use crate::error::Failure;
use crate::plan::Plan;
use crate::plan::answer::{Answer, Raw, RawRow, Room, Text, Unreadable};
use crate::plan::page::Turn;
use crate::plan::statement::Statement;

/// The least recently used statement is closed when there are too many.
pub(super) struct Session {
    pub(super) client: Client,
    prepared: Mutex<LruCache<u128, tokio_postgres::Statement>>,
}

/// One statement to run.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    pub plan: &'a Plan,
    pub statement: &'a Statement,
    pub parameters: &'a [Parameter<'a>],
    /// Of a page, where it begins.
    pub turn: Option<&'a Turn>,
    /// Its answer is refused beyond.
    pub bytes_max: usize,
}

/// One of the gateway's own statements, which is not kept prepared.
#[derive(Debug, Clone, Copy)]
pub struct Own<'a> {
    pub sql: &'static str,
    pub parameters: &'a [(&'a (dyn ToSql + Sync), Type)],
}

/// What a statement came to beside its answer.
#[derive(Debug, Default)]
pub struct Ran {
    /// How many rows it answered.
    pub rows: usize,
    /// The last row, so that a later statement can be bound to its values.
    pub last: Option<Row>,
    /// The version of the row, where the answer is one.
    pub version: Option<i64>,
}

/// Why a statement came to no answer.
pub(super) enum Trouble {
    /// The database refused it, or is gone.
    Database(tokio_postgres::Error),
    /// It ran, and its answer is a failure.
    Answer(Failure),
}

impl Session {
    pub(super) fn new(client: Client, statements_max: NonZeroUsize) -> Session {
        Session { client, prepared: Mutex::new(LruCache::new(statements_max)) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs one of the gateway's own words, such as `BEGIN`.
    pub(super) async fn command(&self, command: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(command).await
    }

    /// Runs `step` and appends its answer to `out`.
    pub(super) async fn run(&self, step: &Step<'_>, out: &mut Vec<u8>) -> Result<Ran, Trouble> {
        let prepared = self.prepared(step.statement).await?;
        self.run_prepared(&prepared, step, out).await
    }

    /// [`Session::run`] of what [`Session::prepared`] made: it is sent as soon as this is asked for it.
    pub(super) async fn run_prepared(
        &self,
        prepared: &tokio_postgres::Statement,
        step: &Step<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Ran, Trouble> {
        let Step { plan, parameters, turn, bytes_max, .. } = *step;
        let rows = self.client.query_raw(prepared, parameters).await.map_err(Trouble::Database)?;
        let mut rows = std::pin::pin!(rows);
        let room = Room { bytes: 0, bytes_max };
        let mut answer = Answer::begin(&plan.shape, turn, room).of_rows(rows_min(plan, parameters));
        let (mut last, mut rows_answered, mut message) = (None, 0, Vec::new());
        // The statement has succeeded only when its end was read.
        while let Some(row) = rows.try_next().await.map_err(Trouble::Database)? {
            let raw = message_of(&row, &mut message);
            raw.and_then(|raw| answer.row(&plan.shape, raw)).map_err(|unread| Trouble::Answer(unread.into()))?;
            last = Some(row);
            rows_answered += 1;
        }
        let Text { json, version } = answer.end(&plan.shape).map_err(Trouble::Answer)?;
        out.extend_from_slice(&json);
        Ok(Ran { rows: rows_answered, last, version })
    }

    pub(super) async fn own(&self, own: &Own<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.client.query_typed(own.sql, own.parameters).await
    }

    /// The statement, prepared once; that its answer would be of other types than its plan reads is a
    /// failure before it is run.
    pub(super) async fn prepared(&self, statement: &Statement) -> Result<tokio_postgres::Statement, Trouble> {
        let preparing = self.prepared_as(statement.key, &statement.sql, &statement.types);
        let prepared = preparing.await.map_err(Trouble::Database)?;
        if statement.reads(prepared.columns().iter().map(|column| column.type_().oid())) {
            return Ok(prepared);
        }
        self.cache().pop(&statement.key);
        Err(Trouble::Answer(sqlstate::outdated()))
    }

    /// `key` is equal for equal text and types.
    pub(super) async fn prepared_as(
        &self,
        key: u128,
        sql: &str,
        types: &[Type],
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        let known = self.cache().get(&key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = self.client.prepare_typed(sql, types).await?;
        self.cache().push(key, prepared.clone());
        Ok(prepared)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, LruCache<u128, tokio_postgres::Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row as the message it came in.
fn message_of<'m>(row: &Row, message: &'m mut Vec<u8>) -> Result<RawRow<'m>, Unreadable> {
    message.clear();
    message.extend_from_slice(&u16::try_from(row.len()).unwrap_or(u16::MAX).to_be_bytes());
    for index in 0..row.len() {
        let field = row.try_get::<_, Option<Raw<'_>>>(index).map_err(|_| Unreadable(index))?;
        let length = field.map_or(Ok(-1), |Raw(bytes)| i32::try_from(bytes.len())).map_err(|_| Unreadable(index))?;
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(field.map_or(&[], |Raw(bytes)| bytes));
    }
    RawRow::new(message).ok_or(Unreadable(0))
}
