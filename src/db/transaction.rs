//! Several plans in one transaction, all or nothing, on a connection that is nobody else's meanwhile.
//!
//! A worker keeps a few connections for it, opened when first needed, with the settings of a lane for
//! writes and prepared statements of their own. Whoever needs a transaction writes one loop:
//!
//! ```ignore
//! let mut attempts = worker.transactions.attempts(role, deadline);
//! loop {
//!     let mut open = attempts.begin().await?;
//!     let result = work(&mut open).await; // any number of `open.run(…)`, each knowing the rows before
//!     if let ControlFlow::Break(result) = attempts.end(open, result).await {
//!         return result;
//!     }
//! }
//! ```
//!
//! A connection goes back only when its transaction has ended by a word of the database. One whose
//! caller went away in between is closed, and the server rolls back.

pub mod foreign;

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;

use crate::config;
use crate::db::connect::{Connector, Purpose};
pub use crate::db::session::{Own, Ran, Step};
use crate::db::session::{Session, Trouble};
use crate::db::sqlstate::{self, Refusal};
use crate::db::waits::Waits;
use crate::error::{Code, Failure};
use crate::plan::Plan;

/// A transaction that others undo again and again is given up at last.
const ATTEMPTS_MAX: u32 = 6;
/// A write that another one was in the way of is run again so often.
const REPEATS_MAX: u32 = 5;
/// The first wait before another attempt; each is twice the one before, less some chance.
const RETRY_WAIT_MS: u64 = 4;

/// The connections of one worker for transactions.
pub struct Transactions {
    connector: Connector,
    statements_max: NonZeroUsize,
    /// One for each connection there may be.
    places: Semaphore,
    places_max: usize,
    waits: Waits,
    place_wait_max: Duration,
    connect_wait_max: Duration,
    idle: Mutex<Vec<Session>>,
}

/// What a transaction sees of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// What was committed before each of its statements.
    Statement,
    /// What was committed before its first one; it changes nothing.
    Snapshot,
    /// As if there were no others; one that cannot be is undone.
    Serializable,
}

impl Isolation {
    const fn begin(self) -> &'static str {
        match self {
            Isolation::Statement => "BEGIN",
            Isolation::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        }
    }
}

/// The attempts at one transaction: begun anew where the database undid it for another's sake, or was
/// lost before the commit was sent, as long as there is time.
pub struct Attempts<'a> {
    transactions: &'a Transactions,
    isolation: Isolation,
    role: Option<Arc<str>>,
    deadline: Instant,
    left: u32,
}

/// A transaction under way. Dropped before its end, it takes its connection with it.
pub struct Open<'a> {
    transactions: &'a Transactions,
    isolation: Isolation,
    /// In which plans run, while the gateway's own statements do not.
    role: Option<Arc<str>>,
    deadline: Instant,
    session: Session,
    stage: Stage,
    name: Name,
    /// Whether the failure that was met may be none at another attempt.
    may_retry: bool,
    _place: SemaphorePermit<'a>,
}

/// In whose name a statement runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    /// The role that is logged in, which reads and writes the gateway's own tables.
    Gateway,
    /// The role of the transaction, where it has one.
    Extension,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent: BEGIN goes out with the first statement.
    New,
    Begun,
    /// The connection, or what it would say next, is not to be trusted.
    Lost,
}

impl Transactions {
    /// Opens nothing yet.
    pub fn new(connector: &Connector, settings: &config::Database) -> Transactions {
        Transactions {
            connector: connector.clone(),
            statements_max: NonZeroUsize::new(settings.statements_per_connection_max).unwrap_or(NonZeroUsize::MIN),
            places: Semaphore::new(settings.transaction_connections_max),
            places_max: settings.transaction_connections_max,
            waits: Waits::default(),
            place_wait_max: Duration::from_millis(settings.pool_wait_timeout_ms),
            connect_wait_max: Duration::from_millis(settings.connect_timeout_ms),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Attempts at one transaction in `role`, the last of which has ended by `deadline`.
    pub fn attempts(&self, role: Option<&Arc<str>>, deadline: std::time::Instant) -> Attempts<'_> {
        self.attempts_isolated(Isolation::Statement, role, deadline)
    }

    /// [`Transactions::attempts`], each isolated so from others.
    pub fn attempts_isolated(
        &self,
        isolation: Isolation,
        role: Option<&Arc<str>>,
        deadline: std::time::Instant,
    ) -> Attempts<'_> {
        Attempts { transactions: self, isolation, role: role.cloned(), deadline: deadline.into(), left: ATTEMPTS_MAX }
    }

    /// Who waits for a connection.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// How many transactions are under way, each with a connection.
    pub fn in_use(&self) -> usize {
        self.places_max.saturating_sub(self.places.available_permits())
    }

    /// How many connections wait for a transaction.
    pub fn idle_count(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, isolation: Isolation, role: Option<Arc<str>>, deadline: Instant) -> Result<Open<'_>, Failure> {
        let place = self.place(deadline).await?;
        let known = std::iter::from_fn(|| self.idle().pop()).find(|session| !session.is_closed());
        let session = match known {
            Some(session) => session,
            None => self.connect(deadline).await?,
        };
        let (stage, name) = (Stage::New, Name::Gateway);
        Ok(Open {
            transactions: self,
            isolation,
            role,
            deadline,
            session,
            stage,
            name,
            may_retry: false,
            _place: place,
        })
    }

    async fn place(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, Failure> {
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let _waiting = self.waits.begin();
        let wait_until = deadline.min(Instant::now() + self.place_wait_max);
        if let Ok(Ok(place)) = timeout_at(wait_until, self.places.acquire()).await {
            return Ok(place);
        }
        self.waits.timed_out();
        let failure = Failure::new(Code::Overloaded, "too many transactions are under way");
        Err(failure.with_retry_after_s(1))
    }

    async fn connect(&self, deadline: Instant) -> Result<Session, Failure> {
        let connecting = self.connector.address(Purpose::Write);
        let wait_until = deadline.min(Instant::now() + self.connect_wait_max);
        match timeout_at(wait_until, connecting.connect(self.connector.tls())).await {
            Ok(Ok((client, driver))) => {
                // It ends with the client.
                tokio::spawn(driver);
                Ok(Session::new(client, self.statements_max))
            }
            Ok(Err(error)) => Err(sqlstate::unavailable(false).with_log(sqlstate::chain(&error))),
            Err(_) => Err(sqlstate::unavailable(false)),
        }
    }
}

impl<'a> Attempts<'a> {
    /// Takes a connection, or says why there is none in time.
    pub async fn begin(&mut self) -> Result<Open<'a>, Failure> {
        self.left = self.left.saturating_sub(1);
        self.transactions.open(self.isolation, self.role.clone(), self.deadline).await
    }

    /// Commits what `open` did where `result` is good, else rolls it back. Breaks with what the
    /// transaction came to; goes on where all of it is to be done once more.
    pub async fn end<T>(&mut self, open: Open<'a>, result: Result<T, Failure>) -> ControlFlow<Result<T, Failure>> {
        let (failure, may_retry) = match result {
            Ok(value) => match open.commit().await {
                Ok(()) => return ControlFlow::Break(Ok(value)),
                Err(failed) => failed,
            },
            Err(failure) => (failure, open.roll_back().await),
        };
        let exponent = ATTEMPTS_MAX.saturating_sub(self.left).saturating_sub(1);
        let wait_ms = RETRY_WAIT_MS << exponent;
        // Two that undid each other do not meet again in step.
        let wait = Duration::from_millis(rand::random_range(wait_ms / 2..=wait_ms));
        if !may_retry || self.left == 0 || Instant::now() + wait >= self.deadline {
            return ControlFlow::Break(Err(failure));
        }
        tokio::time::sleep(wait).await;
        ControlFlow::Continue(())
    }
}

impl Open<'_> {
    /// Runs `step` and appends its answer to `out`. A row that is not there leaves the transaction as it was,
    /// so more can be run; after any other failure nothing can.
    pub async fn run(&mut self, step: Step<'_>, out: &mut Vec<u8>) -> Result<Ran, Failure> {
        let start = out.len();
        let result = self.step(&step, out).await;
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Runs `statements`, the gateway's own, one behind the other in its own name; answers the rows of each.
    pub async fn own<const N: usize>(&mut self, statements: [Own<'_>; N]) -> Result<[Vec<Row>; N], Failure> {
        let entrance = self.entrance(Name::Gateway);
        self.stage = Stage::Lost;
        let session = &self.session;
        let enter = async { if let Some(entrance) = entrance { session.command(&entrance).await } else { Ok(()) } };
        // Sent behind each other in one go, and answered in that order.
        let running = join_all(statements.iter().map(|statement| session.own(statement)));
        let Ok((entered, ran)) = timeout_at(self.deadline, join(enter, running)).await else {
            return Err(Failure::new(Code::StatementTimeout, "the database did not answer in time"));
        };
        let ran = entered.and_then(|()| ran.into_iter().collect::<Result<Vec<_>, _>>());
        let rows = ran.map_err(|error| self.failed(&error, None))?;
        (self.stage, self.name) = (Stage::Begun, Name::Gateway);
        // INVARIANT: each statement has one answer.
        rows.try_into().map_err(|_| Failure::new(Code::Internal, "the database answered another number of statements"))
    }

    /// Runs `steps` one behind the other, sent in one go; the answer of each. Where one fails, which it was, if it
    /// was one of them: what was run behind it is to be rolled back with the others.
    ///
    /// Of those that may have to be run again none but the last sees that done.
    pub async fn run_all(&mut self, steps: &[Step<'_>]) -> Result<Vec<(Vec<u8>, Ran)>, (Option<usize>, Failure)> {
        let Some(last) = steps.len().checked_sub(1) else { return Ok(Vec::new()) };
        let entrance = self.entrance(Name::Extension);
        self.stage = Stage::Lost;
        let session = &self.session;
        let enter = async { if let Some(entrance) = entrance { session.command(&entrance).await } else { Ok(()) } };
        let running = async {
            // All are known before the first is run, so that none is sent before one in front of it.
            let prepared = join_all(steps.iter().map(|step| session.prepared(step.statement))).await;
            let mut answers = Vec::with_capacity(steps.len());
            for (step, prepared) in steps.iter().zip(prepared) {
                answers.push(async move {
                    let mut out = Vec::new();
                    let prepared = prepared?;
                    let ran = session.run_prepared(&prepared, step, &mut out).await?;
                    Ok((out, ran))
                });
            }
            join_all(answers).await
        };
        let Ok((entered, ran)) = timeout_at(self.deadline, join(enter, running)).await else {
            return Err((None, Failure::new(Code::StatementTimeout, "the database did not answer in time")));
        };
        if let Err(error) = entered {
            return Err((None, self.not_entered(&error)));
        }
        (self.stage, self.name) = (Stage::Begun, Name::Extension);
        let mut answers = Vec::with_capacity(steps.len());
        for (place, (step, ran)) in steps.iter().zip(ran).enumerate() {
            match ran {
                Ok(answer) => answers.push(answer),
                Err(Trouble::Answer(failure))
                    if place == last && step.plan.repeats_when_empty && failure.code == Code::RowNotFound =>
                {
                    let mut out = Vec::new();
                    let ran = self.run(*step, &mut out).await.map_err(|failure| (Some(place), failure))?;
                    answers.push((out, ran));
                }
                Err(Trouble::Answer(failure)) => return Err((Some(place), step.plan.met(failure))),
                // What is behind it was refused for its sake.
                Err(Trouble::Database(error)) => {
                    self.stage = Stage::Lost;
                    return Err((Some(place), self.failed(&error, Some(step.plan))));
                }
            }
        }
        Ok(answers)
    }

    /// What is sent in front of a statement that is to run in `name`.
    fn entrance(&self, name: Name) -> Option<Cow<'static, str>> {
        let (is_new, begin) = (self.stage == Stage::New, self.isolation.begin());
        match (name, &self.role) {
            // A role's name is the gateway's own, made of letters, digits and `_`. It ends with the
            // transaction, so that none is left behind on the connection.
            (Name::Extension, Some(role)) if is_new => Some(format!("{begin}; SET LOCAL ROLE \"{role}\"").into()),
            (Name::Extension, Some(role)) if self.name != name => Some(format!("SET LOCAL ROLE \"{role}\"").into()),
            (Name::Gateway, Some(_)) if !is_new && self.name != name => Some("SET LOCAL ROLE NONE".into()),
            (Name::Gateway | Name::Extension, Some(_) | None) => is_new.then(|| begin.into()),
        }
    }

    async fn step(&mut self, step: &Step<'_>, out: &mut Vec<u8>) -> Result<Ran, Failure> {
        let plan = step.plan;
        let mut attempts_left = REPEATS_MAX;
        loop {
            let failure = match self.attempt(step, out).await {
                Err(failure) if plan.repeats_when_empty && failure.code == Code::RowNotFound => failure,
                other => return other.map_err(|failure| plan.met(failure)),
            };
            // Each statement sees what was committed before it began.
            attempts_left -= 1;
            if attempts_left == 0 {
                let detail = "a row with these values exists already";
                return Err(Failure { code: Code::UniqueConflict, detail: detail.into(), ..failure });
            }
        }
    }

    async fn attempt(&mut self, step: &Step<'_>, out: &mut Vec<u8>) -> Result<Ran, Failure> {
        let plan = step.plan;
        let entrance = self.entrance(Name::Extension);
        // Until the answer is whole: this future may be dropped at any await below.
        self.stage = Stage::Lost;
        let session = &self.session;
        let enter = async { if let Some(entrance) = entrance { session.command(&entrance).await } else { Ok(()) } };
        // Sent behind each other in one go, and answered in that order.
        let running = join(enter, session.run(step, out));
        let Ok((entered, ran)) = timeout_at(self.deadline, running).await else {
            return Err(Failure::new(Code::StatementTimeout, "the database did not answer in time"));
        };
        match (entered, ran) {
            (Ok(()), Ok(ran)) => {
                (self.stage, self.name) = (Stage::Begun, Name::Extension);
                Ok(ran)
            }
            (Ok(()), Err(Trouble::Answer(failure))) => {
                (self.stage, self.name) = (Stage::Begun, Name::Extension);
                Err(failure)
            }
            (Err(error), _) => Err(self.not_entered(&error)),
            (Ok(()), Err(Trouble::Database(error))) => Err(self.failed(&error, Some(plan))),
        }
    }

    /// What is refused before the first statement is nothing that the caller gave.
    fn not_entered(&mut self, error: &tokio_postgres::Error) -> Failure {
        let failure = self.failed(error, None);
        if failure.code == Code::DatabaseUnavailable {
            return failure;
        }
        let detail = "the gateway could not begin the transaction";
        Failure { code: Code::Internal, detail: detail.into(), ..failure }
    }

    /// `plan` is of the statement that failed, where it is none of the gateway's own.
    fn failed(&mut self, error: &tokio_postgres::Error, plan: Option<&Plan>) -> Failure {
        let refusal = Refusal::of(error).filter(|refusal| !refusal.ends_session() && !self.session.is_closed());
        let Some(refusal) = refusal else {
            // No commit was sent, so nothing of it happened.
            self.may_retry = true;
            return sqlstate::unavailable(false).with_log(sqlstate::chain(error));
        };
        if refusal.is_stale() {
            // The others were prepared before the tables changed, too.
            self.may_retry = true;
            self.transactions.idle().clear();
        } else {
            self.stage = Stage::Begun;
            self.may_retry = refusal.is_undone();
        }
        plan.map_or_else(|| refusal.own_failure(), |plan| refusal.failure(plan))
    }

    /// The failure of a commit, and whether all may be done again.
    async fn commit(mut self) -> Result<(), (Failure, bool)> {
        match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::New => {}
            Stage::Lost => return Err((sqlstate::unavailable(false), true)),
            Stage::Begun => match timeout_at(self.deadline, self.session.command("COMMIT")).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if Refusal::of(&error).is_some_and(|refusal| refusal.is_undone()) => {
                    self.give_back();
                    return Err((sqlstate::undone().with_log(sqlstate::chain(&error)), true));
                }
                Ok(Err(error)) => return Err((sqlstate::unavailable(true).with_log(sqlstate::chain(&error)), false)),
                Err(_) => {
                    let detail = "the database did not answer in time; the write may or may not have happened";
                    return Err((Failure::new(Code::StatementTimeout, detail), false));
                }
            },
        }
        self.give_back();
        Ok(())
    }

    /// Answers whether another attempt may fare better.
    async fn roll_back(mut self) -> bool {
        let may_retry = self.may_retry;
        match std::mem::replace(&mut self.stage, Stage::Lost) {
            Stage::New => self.give_back(),
            Stage::Begun => {
                let rolling_back = self.session.command("ROLLBACK");
                if let Ok(Ok(())) = timeout_at(self.deadline, rolling_back).await {
                    self.give_back();
                }
            }
            Stage::Lost => {}
        }
        may_retry
    }

    fn give_back(self) {
        self.transactions.idle().push(self.session);
    }
}
