//! One plan in one round trip: send it down a lane, and again where that is safe.

use crate::db::lane::{Lanes, Pace};
use crate::db::pipeline::{Request, Trouble};
use crate::db::sqlstate;
use crate::error::{Code, Failure};
use crate::plan::answer::Text;

/// A database that ends sessions again and again is given up by a call at last.
const ATTEMPTS_MAX: u32 = 5;

/// Runs what is asked on one of `lanes` and gives its answer.
///
/// A read whose connection is lost is sent again; a write is only when the database cannot
/// have run it, or undid it for the sake of another.
pub async fn run(lanes: &Lanes, request: Request<'_>) -> Result<Text, Failure> {
    let Request { plan, statement, .. } = request;
    let pace = if plan.scans { Pace::Slow } else { Pace::Quick };
    let mut attempts_left = ATTEMPTS_MAX;
    let mut alone = false;
    loop {
        // Nothing was sent that may have run, so a write may wait and go as well as a read.
        let Some(ride) = lanes.board(pace).await else { return Err(sqlstate::unavailable(false)) };
        let connection = &ride.connection;
        let request = Request { alone, ..request };
        let trouble = match connection.call(request).await {
            Ok(text) => return Ok(text),
            Err(trouble) => trouble,
        };
        attempts_left -= 1;
        let (may_try_again, failure) = match trouble {
            Trouble::Answer(failure) if failure.code == Code::RowNotFound && plan.repeats_when_empty => {
                (true, Failure::new(Code::UniqueConflict, "a row with these values exists already"))
            }
            // What was written was, whether its answer could be read or not.
            Trouble::Answer(failure) => {
                let is_outdated = failure.is_outdated && !plan.writes;
                return Err(plan.met(failure).with_outdated(is_outdated));
            }
            Trouble::Outdated => {
                connection.forget(statement);
                return Err(sqlstate::outdated());
            }
            Trouble::Skipped => {
                alone = true;
                (true, sqlstate::unavailable(false))
            }
            Trouble::TimedOut => {
                return Err(Failure::new(Code::StatementTimeout, "the database did not answer in time"));
            }
            Trouble::Refused { refusal, began } => {
                let (stale, ends) = (refusal.is_stale(), refusal.ends_session());
                if !began || stale {
                    connection.forget(statement);
                }
                if ends {
                    ride.abandon();
                }
                let may_try_again = stale || refusal.is_undone() || (ends && (!plan.writes || !began));
                (may_try_again, refusal.failure(plan))
            }
            Trouble::Lost { sent } => {
                ride.abandon();
                (!plan.writes || !sent, sqlstate::unavailable(plan.writes && sent))
            }
        };
        if !may_try_again || attempts_left == 0 {
            return Err(failure);
        }
    }
}
