//! One plan in one round trip: bind, send, copy the rows into JSON.

use futures_util::TryStreamExt;
use tokio_postgres::Row;

use crate::db::lane::{Connection, Lanes};
use crate::db::parameter::Parameter;
use crate::db::sqlstate;
use crate::error::{Code, Failure};
use crate::plan::Plan;
use crate::plan::answer::{self, Raw, RowWriter, Shape, Unreadable};
use crate::plan::statement::Statement;

/// A database that ends sessions again and again is given up by a call at last.
const ATTEMPTS_MAX: u32 = 5;

/// Runs `statement` of `plan` on one of `lanes` and appends its answer to `out`.
///
/// A read whose connection is lost is sent again; a write is only when the database cannot
/// have run it.
pub async fn run(
    lanes: &Lanes,
    plan: &Plan,
    statement: &Statement,
    parameters: &[Parameter<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let start = out.len();
    let mut attempts_left = ATTEMPTS_MAX;
    loop {
        // Nothing was sent that may have run, so a write may wait and go as well as a read.
        let Some(ride) = lanes.board().await else { return Err(sqlstate::unavailable(false)) };
        let connection = &ride.connection;
        let trouble = match attempt(connection, plan, statement, parameters, out).await {
            Ok(()) => return Ok(()),
            Err(trouble) => trouble,
        };
        out.truncate(start);
        let (error, sent) = match trouble {
            Trouble::Prepare(error) => (error, false),
            Trouble::Run(error) => (error, true),
            Trouble::Answer(failure) if failure.code == Code::RowNotFound && plan.repeats_when_empty => {
                attempts_left -= 1;
                if attempts_left > 0 {
                    continue;
                }
                return Err(Failure::new(Code::UniqueConflict, "a row with these values exists already"));
            }
            Trouble::Answer(failure) => return Err(failure),
        };
        let stale = sqlstate::is_stale(&error);
        if stale {
            connection.forget(statement);
        }
        let lost = sqlstate::is_lost(&error) || connection.client().is_closed();
        if lost {
            ride.abandon();
        }
        attempts_left -= 1;
        if attempts_left > 0 && (stale || (lost && (!plan.writes || !sent))) {
            continue;
        }
        return Err(sqlstate::failure(&error, plan));
    }
}

/// Where an attempt ended.
enum Trouble {
    /// Nothing was run.
    Prepare(tokio_postgres::Error),
    /// It may have run.
    Run(tokio_postgres::Error),
    /// It ran, and its answer is a failure.
    Answer(Failure),
}

async fn attempt(
    connection: &Connection,
    plan: &Plan,
    statement: &Statement,
    parameters: &[Parameter<'_>],
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let prepared = connection.prepared(statement).await.map_err(Trouble::Prepare)?;
    let rows = connection.client().query_raw(&prepared, parameters).await.map_err(Trouble::Run)?;
    let mut rows = std::pin::pin!(rows);
    match &plan.shape {
        Shape::Rows(writer) => {
            out.push(b'[');
            let mut first = true;
            while let Some(row) = rows.try_next().await.map_err(Trouble::Run)? {
                if !first {
                    out.push(b',');
                }
                first = false;
                write(writer, &row, out)?;
            }
            out.push(b']');
        }
        Shape::Row(writer) => {
            let Some(row) = rows.try_next().await.map_err(Trouble::Run)? else {
                return Err(Trouble::Answer(Failure::new(Code::RowNotFound, "no row has this `id`")));
            };
            write(writer, &row, out)?;
            // The statement has succeeded only when its end was read.
            while rows.try_next().await.map_err(Trouble::Run)?.is_some() {}
        }
        Shape::Number => {
            let row = rows.try_next().await.map_err(Trouble::Run)?;
            let bytes = row.as_ref().and_then(|row| row.try_get::<_, Raw<'_>>(0).ok());
            bytes.and_then(|Raw(bytes)| answer::number(out, bytes)).ok_or_else(|| unreadable(Unreadable(0)))?;
            while rows.try_next().await.map_err(Trouble::Run)?.is_some() {}
        }
    }
    Ok(())
}

fn write(writer: &RowWriter, row: &Row, out: &mut Vec<u8>) -> Result<(), Trouble> {
    let field = |index| match row.try_get::<_, Option<Raw<'_>>>(index) {
        Ok(raw) => Ok(raw.map(|Raw(bytes)| bytes)),
        Err(_) => Err(Unreadable(index)),
    };
    writer.write(out, field).map_err(unreadable)
}

fn unreadable(error: Unreadable) -> Trouble {
    Trouble::Answer(Failure::new(Code::Internal, "the gateway could not read the answer").with_log(error.to_string()))
}
