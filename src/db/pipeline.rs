//! One session of Postgres shared by many calls: requests go out back to back, answers come back
//! in the same order.
//!
//! A call appends its messages to a buffer and waits; the connection's task sends whatever has
//! gathered by one write, and turns rows into JSON where it finds them, in the buffer they were
//! received in.
//!
//! A write ends in a Sync of its own, so it is a transaction of its own, and what fails in one says
//! nothing to the next; before it is run for the first time Postgres is asked what it will answer, since
//! what was written cannot be taken back where its answer cannot be read. In a session that does not wait
//! for the disk, what it came to is held by the [`Barrier`].
//!
//! Reads that are sent together share a Sync, a few at most: Postgres begins and ends one transaction for
//! them and answers them by one write. Where one of them fails, those behind it were not run, are told so,
//! and are sent again by themselves.
//!
//! `driver` moves the bytes.

mod driver;

use std::collections::VecDeque;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use lru::LruCache;
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use postgres_types::{ToSql, Type};
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use crate::db::pipeline::driver::Driver;

use crate::db::barrier::{Barrier, Held};
use crate::db::handshake::Stream;
use crate::db::parameter::{Parameter, rows_min};
use crate::db::sqlstate::Refusal;
use crate::error::{Code, Failure};
use crate::plan::Plan;
use crate::plan::answer::{Answer, RawRow, Room, Text};
use crate::plan::page::Turn;
use crate::plan::statement::Statement;

/// Room for what is sent that is kept when it is empty.
const SEND_BYTES: usize = 16 << 10;
/// Reads that share a Sync: the first of them is answered when the last has run.
const SHARED_MAX: u32 = 8;

/// Every value, both ways, travels in Postgres's binary format.
const BINARY: [i16; 1] = [1];

/// A session that calls are sent on; [`Driver`] moves its bytes.
pub struct Connection {
    pipe: Mutex<Pipe>,
    /// Wakes the driver when there is something to send.
    driver: AtomicWaker,
    opened_at: Instant,
    /// When something was last received, or the first call came, in milliseconds since it was opened.
    moved_ms: AtomicU64,
}

/// What a call sends.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub plan: &'a Arc<Plan>,
    pub statement: &'a Statement,
    pub parameters: &'a [Parameter<'a>],
    /// Of a page: which one.
    pub turn: Option<&'a Turn>,
    /// The database role it runs in; the session's own where there is none.
    pub role: Option<&'a Arc<str>>,
    /// Whether no other call may share its fate.
    pub alone: bool,
    /// How long the answer may be.
    pub room: Room,
    /// When its caller is told that it took too long; one before that of a call sent earlier may be
    /// noticed as late as that.
    pub deadline: Instant,
}

/// What the calls on a session do, and so when they are answered.
#[derive(Clone)]
pub enum Calls {
    /// They write nothing and may share a transaction: as soon as one has run.
    Read,
    /// Each is a transaction of its own: when that has ended.
    Write,
    /// The same in a session that does not wait for the disk: when the barrier has.
    Held(Arc<Barrier>),
}

/// The statements that sessions keep prepared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statements {
    /// Kept now.
    pub kept: u64,
    /// Calls whose statement was kept already.
    pub hits: u64,
    /// Statements that were prepared.
    pub prepared: u64,
    /// Statements that made room for others.
    pub evicted: u64,
}

/// Why a call came to no answer.
#[derive(Debug)]
pub enum Trouble {
    /// Postgres refused it; `began` when it may have run.
    Refused { refusal: Refusal, began: bool },
    /// It ran, and its answer is a failure.
    Answer(Failure),
    /// The session ended; `sent` when the call may have reached it.
    Lost { sent: bool },
    /// Its deadline passed; it may yet run.
    TimedOut,
    /// Another call before it failed, and it was not run.
    Skipped,
    /// The tables would answer other types than its plan reads; it was not run, or it only read.
    Outdated,
}

struct Pipe {
    /// What waits to be sent.
    out: BytesMut,
    /// Bytes ever put into `out`.
    queued_bytes: u64,
    /// What Postgres has yet to answer, the oldest first.
    awaited: VecDeque<Awaited>,
    /// Calls at the end of `out` that no Sync follows yet.
    unsynced: u32,
    /// Whether calls may share a Sync: they write nothing.
    shares: bool,
    /// What is waited for when a transaction has ended.
    barrier: Option<Arc<Barrier>>,
    /// By the key of the statement.
    prepared: LruCache<u128, Prepared>,
    /// Statements ever prepared: names are never used twice.
    names: u64,
    /// Calls whose statement was prepared before.
    hits: u64,
    /// Statements that made room for others.
    evicted: u64,
    role: Option<Arc<str>>,
    is_closed: bool,
}

/// A statement that Postgres keeps.
struct Prepared {
    name: Box<str>,
    /// Whether its columns were seen to be those that are read.
    is_described: bool,
}

/// What Postgres will answer.
#[expect(clippy::large_enum_variant, reason = "nearly all are calls, and a box would be made for each")]
enum Awaited {
    Call(Awaiting),
    /// The Sync behind one or more calls, which ReadyForQuery answers.
    Sync,
    /// The gateway's own change of role, which ReadyForQuery answers as well.
    Role,
}

/// A call that waits.
struct Awaiting {
    /// Where its first byte stands among all ever queued.
    starts_at: u64,
    /// Of its statement.
    key: u128,
    /// The types it reads, where Postgres was asked which ones there are.
    results: Option<Vec<Type>>,
    /// Whether nothing else was asked.
    only_describes: bool,
    plan: Arc<Plan>,
    answer: Answer,
    /// Whether its parameters were accepted: it may have run.
    is_bound: bool,
    /// Whether it has run to its end.
    is_complete: bool,
    trouble: Option<Trouble>,
    deadline: Instant,
    reply: Option<oneshot::Sender<Result<Text, Trouble>>>,
}

impl Statements {
    /// Of both together.
    #[must_use]
    pub fn and(self, other: Statements) -> Statements {
        Statements {
            kept: self.kept + other.kept,
            hits: self.hits + other.hits,
            prepared: self.prepared + other.prepared,
            evicted: self.evicted + other.evicted,
        }
    }
}

impl Connection {
    /// A connection on `stream`, and what moves its bytes until it ends.
    pub fn new(stream: Box<dyn Stream>, statements_max: NonZeroUsize, calls: Calls) -> (Arc<Connection>, Driver) {
        let (shares, barrier) = match calls {
            Calls::Read => (true, None),
            Calls::Write => (false, None),
            Calls::Held(barrier) => (false, Some(barrier)),
        };
        let pipe = Pipe {
            out: BytesMut::with_capacity(SEND_BYTES),
            queued_bytes: 0,
            awaited: VecDeque::new(),
            unsynced: 0,
            shares,
            barrier: barrier.clone(),
            prepared: LruCache::new(statements_max),
            names: 0,
            hits: 0,
            evicted: 0,
            role: None,
            is_closed: false,
        };
        let connection = Arc::new(Connection {
            pipe: Mutex::new(pipe),
            driver: AtomicWaker::new(),
            opened_at: Instant::now(),
            moved_ms: AtomicU64::new(0),
        });
        let driver = Driver::new(connection.clone(), barrier, stream);
        (connection, driver)
    }

    /// Sends `request` and gives its answer.
    pub async fn call(&self, request: Request<'_>) -> Result<Text, Trouble> {
        // What writes is not run before it is known what it will answer; what reads may be in vain.
        if let Some(described) = self.describe(&request)? {
            self.driver.wake();
            match described.await.unwrap_or(Err(Trouble::Lost { sent: false })) {
                Ok(_) => {}
                // The statement itself was not sent.
                Err(Trouble::Lost { .. }) => return Err(Trouble::Lost { sent: false }),
                Err(trouble) => return Err(trouble),
            }
        }
        let answered = self.send(&request)?;
        self.driver.wake();
        // The driver says what became of each call before it goes, unless its runtime went first.
        answered.await.unwrap_or(Err(Trouble::Lost { sent: true }))
    }

    /// Forgets the statement, so that the next use prepares it anew.
    pub fn forget(&self, statement: &Statement) {
        let mut pipe = self.locked();
        let pipe = &mut *pipe;
        let Some(prepared) = pipe.prepared.pop(&statement.key) else { return };
        let before = pipe.out.len();
        // Goes out with the next call; one that is not there is closed without complaint.
        if frontend::close(b'S', &prepared.name, &mut pipe.out).is_err() {
            pipe.out.truncate(before);
        }
        pipe.queued_bytes += (pipe.out.len() - before) as u64;
    }

    /// Prepares the statement of `request`, where it writes and that was not done before.
    fn describe(&self, request: &Request<'_>) -> Result<Option<oneshot::Receiver<Result<Text, Trouble>>>, Trouble> {
        let mut pipe = self.locked();
        let pipe = &mut *pipe;
        let known = pipe.prepared.get(&request.statement.key);
        if pipe.shares || known.is_some_and(|known| known.is_described) {
            return Ok(None);
        }
        pipe.enter(request)?;
        pipe.sync();
        let before = pipe.out.len();
        let is_prepared = pipe.prepared.contains(&request.statement.key);
        if pipe.prepare(request.statement, is_prepared).is_err() {
            pipe.out.truncate(before);
            pipe.prepared.pop(&request.statement.key);
            return Err(Trouble::Lost { sent: false });
        }
        let answered = pipe.await_call(request, before, true, true);
        pipe.sync();
        Ok(Some(answered))
    }

    /// From now on it is known to move.
    pub fn moves(&self, now: Instant) {
        self.moved_ms.store(self.age_ms(now), Ordering::Relaxed);
    }

    /// For how long it has not moved.
    pub fn still_ms(&self, now: Instant) -> u64 {
        self.age_ms(now).saturating_sub(self.moved_ms.load(Ordering::Relaxed))
    }

    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.opened_at).as_millis()).unwrap_or(u64::MAX)
    }

    pub fn is_closed(&self) -> bool {
        self.locked().is_closed
    }

    /// What became of this session's statements.
    pub fn statements(&self) -> Statements {
        let pipe = self.locked();
        let Pipe { prepared, names, hits, evicted, .. } = &*pipe;
        Statements { kept: prepared.len() as u64, hits: *hits, prepared: *names, evicted: *evicted }
    }

    fn send(&self, request: &Request<'_>) -> Result<oneshot::Receiver<Result<Text, Trouble>>, Trouble> {
        let mut pipe = self.locked();
        let pipe = &mut *pipe;
        pipe.enter(request)?;
        let is_prepared = pipe.prepared.contains(&request.statement.key);
        pipe.hits += u64::from(is_prepared);
        // Behind a call that fails nothing is prepared, so what must be comes first after a Sync.
        if request.alone || !is_prepared {
            pipe.sync();
        }
        let before = pipe.out.len();
        if let Err(error) = pipe.write(request, is_prepared) {
            pipe.out.truncate(before);
            // Whether the statement was prepared is no longer known.
            pipe.prepared.pop(&request.statement.key);
            let failure = Failure::new(Code::Internal, "the gateway could not bind the arguments");
            return Err(Trouble::Answer(failure.with_log(error.to_string())));
        }
        // What writes was described a moment ago, also where it has been closed since.
        let answered = pipe.await_call(request, before, !is_prepared && pipe.shares, false);
        if request.alone || !pipe.shares || pipe.unsynced == SHARED_MAX {
            pipe.sync();
        }
        Ok(answered)
    }

    fn locked(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    /// Takes the role of `request`, where the session has another.
    fn enter(&mut self, request: &Request<'_>) -> Result<(), Trouble> {
        if self.is_closed {
            return Err(Trouble::Lost { sent: false });
        }
        if self.role.as_ref() != request.role {
            self.change_role(request.role).map_err(|_| Trouble::Lost { sent: false })?;
        }
        Ok(())
    }

    /// Waits for the answer of what was put into `out` behind `before`.
    fn await_call(
        &mut self,
        request: &Request<'_>,
        before: usize,
        is_described: bool,
        only_describes: bool,
    ) -> oneshot::Receiver<Result<Text, Trouble>> {
        let (reply, answered) = oneshot::channel();
        self.awaited.push_back(Awaited::Call(Awaiting {
            starts_at: self.queued_bytes,
            key: request.statement.key,
            results: is_described.then(|| request.statement.results.clone()),
            only_describes,
            plan: request.plan.clone(),
            answer: Answer::begin(&request.plan.shape, request.turn, request.room)
                .of_rows(rows_min(request.plan, request.parameters)),
            is_bound: false,
            is_complete: false,
            trouble: None,
            deadline: request.deadline,
            reply: Some(reply),
        }));
        self.queued_bytes += (self.out.len() - before) as u64;
        self.unsynced += 1;
        answered
    }

    /// Ends the transaction of the calls at the end of `out`, where there are any.
    fn sync(&mut self) {
        if self.unsynced == 0 {
            return;
        }
        let before = self.out.len();
        frontend::sync(&mut self.out);
        self.queued_bytes += (self.out.len() - before) as u64;
        self.unsynced = 0;
        self.awaited.push_back(Awaited::Sync);
    }

    /// A transaction of its own: undone together with a call that fails, it would take the role
    /// from the calls behind. Where it is refused they run in the former role, which has no right
    /// to their tables.
    fn change_role(&mut self, role: Option<&Arc<str>>) -> io::Result<()> {
        self.sync();
        let before = self.out.len();
        match role {
            // A role's name is the gateway's own, made of letters, digits and `_`.
            Some(role) => frontend::query(&format!("SET ROLE \"{role}\""), &mut self.out)?,
            None => frontend::query("RESET ROLE", &mut self.out)?,
        }
        self.role = role.cloned();
        self.queued_bytes += (self.out.len() - before) as u64;
        self.awaited.push_back(Awaited::Role);
        Ok(())
    }

    fn write(
        &mut self,
        request: &Request<'_>,
        is_prepared: bool,
    ) -> Result<(), Box<dyn std::error::Error + Sync + Send>> {
        let Request { statement, parameters, .. } = request;
        if !is_prepared {
            self.prepare(statement, false)?;
        }
        let name = self.prepared.get(&statement.key).map_or("", |prepared| &prepared.name);
        let serialize = |(parameter, wire_type): (&Parameter<'_>, &Type), out: &mut BytesMut| {
            parameter.to_sql(wire_type, out).map(|null| match null {
                postgres_types::IsNull::Yes => IsNull::Yes,
                postgres_types::IsNull::No => IsNull::No,
            })
        };
        let values = parameters.iter().zip(&statement.types);
        match frontend::bind("", name, BINARY, values, serialize, BINARY, &mut self.out) {
            Ok(()) => {}
            Err(frontend::BindError::Conversion(error)) => return Err(error),
            Err(frontend::BindError::Serialization(error)) => return Err(error.into()),
        }
        frontend::execute("", 0, &mut self.out)?;
        Ok(())
    }

    /// Prepares the statement in front of its first use, where it is not, and asks what it answers,
    /// without waiting; the one that was not used for longest makes room.
    fn prepare(&mut self, statement: &Statement, is_prepared: bool) -> io::Result<()> {
        if is_prepared {
            let name = self.prepared.get(&statement.key).map_or("", |prepared| &prepared.name);
            return frontend::describe(b'S', name, &mut self.out);
        }
        self.names += 1;
        let name = format!("s{}", self.names);
        frontend::parse(&name, &statement.sql, statement.types.iter().map(Type::oid), &mut self.out)?;
        frontend::describe(b'S', &name, &mut self.out)?;
        let prepared = Prepared { name: name.into_boxed_str(), is_described: false };
        if let Some((_, old)) = self.prepared.push(statement.key, prepared) {
            self.evicted += 1;
            frontend::close(b'S', &old.name, &mut self.out)?;
        }
        Ok(())
    }

    /// The columns that the statement of the call in front answers; none where `body` is missing.
    fn described(&mut self, body: Option<&[u8]>) {
        let Some(Awaited::Call(call)) = self.awaited.front_mut() else { return };
        let Some(results) = call.results.take() else { return };
        let mut types = body.map(column_types).unwrap_or_default().into_iter();
        let is_read = results.iter().all(|result| types.next() == Some(result.oid()));
        call.is_complete |= call.only_describes;
        let key = call.key;
        if is_read {
            if let Some(prepared) = self.prepared.peek_mut(&key) {
                prepared.is_described = true;
            }
            return;
        }
        // Who was sent behind it, to be answered by the same statement, cannot read it either.
        for awaited in &mut self.awaited {
            let Awaited::Call(call) = awaited else { continue };
            if call.key == key {
                // One that was described just before, and forgotten since, has written.
                let has_written = !self.shares && !call.only_describes;
                let unread = || Failure::new(Code::Internal, "the write has happened, and its answer cannot be read");
                call.trouble
                    .get_or_insert_with(|| if has_written { Trouble::Answer(unread()) } else { Trouble::Outdated });
            }
        }
    }

    /// Takes one message from Postgres.
    fn receive(&mut self, letter: u8, body: &[u8]) -> io::Result<()> {
        match letter {
            b'D' => {
                if let Some(Awaited::Call(call)) = self.awaited.front_mut() {
                    call.row(body);
                }
            }
            b'2' => {
                if let Some(Awaited::Call(call)) = self.awaited.front_mut() {
                    call.is_bound = true;
                }
            }
            b'C' => {
                if let Some(Awaited::Call(call)) = self.awaited.front_mut() {
                    call.is_complete = true;
                    // What it wrote is there when its transaction has ended, and not before.
                    if self.shares
                        && let Some(Awaited::Call(call)) = self.awaited.pop_front()
                    {
                        call.finish(None);
                    }
                }
            }
            b'E' => {
                let refusal = Refusal::read(body);
                match self.awaited.front_mut() {
                    Some(Awaited::Call(call)) => {
                        call.trouble = Some(Trouble::Refused { refusal, began: call.is_bound });
                    }
                    Some(Awaited::Role) => {
                        tracing::error!(code = refusal.code.code(), "the role of an extension cannot be taken");
                        // The calls behind it fail; the next one tries again.
                        self.role = Some(Arc::from(""));
                    }
                    Some(Awaited::Sync) | None => {
                        return Err(io::Error::other(format!("{}: {}", refusal.code.code(), refusal.message)));
                    }
                }
            }
            b'Z' => self.ready()?,
            b'T' => self.described(Some(body)),
            b'n' => self.described(None),
            // Parsed, closed, parameters' types, settings, notices, notifications: nothing is decided by them.
            b'1' | b'3' | b't' | b'S' | b'N' | b'A' => {}
            _ => return Err(io::Error::other("an unknown message came")),
        }
        Ok(())
    }

    /// Postgres is behind a Sync or a change of role: whoever stands before it is answered.
    fn ready(&mut self) -> io::Result<()> {
        let mut is_failed = false;
        loop {
            match self.awaited.pop_front() {
                Some(Awaited::Call(mut call)) => {
                    is_failed |= matches!(call.trouble, Some(Trouble::Refused { .. }));
                    if !call.is_complete && !is_failed {
                        // The stream has lost its place; this one is told so with all others.
                        self.awaited.push_front(Awaited::Call(call));
                        return Err(io::Error::other("an answer ended before its statement did"));
                    }
                    if !call.is_complete {
                        call.trouble.get_or_insert(Trouble::Skipped);
                    }
                    call.finish(self.barrier.as_deref());
                }
                Some(Awaited::Sync | Awaited::Role) => return Ok(()),
                None => return Err(io::Error::other("an answer came to nothing asked")),
            }
        }
    }

    /// Tells the callers whose deadline passed; when the next one does.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for awaited in &mut self.awaited {
            let Awaited::Call(call) = awaited else { continue };
            if call.deadline > now {
                next = Some(next.map_or(call.deadline, |next| next.min(call.deadline)));
            } else if let Some(reply) = call.reply.take() {
                // A caller that went away asks for no answer.
                let _ = reply.send(Err(Trouble::TimedOut));
            }
        }
        next
    }
}

impl Awaiting {
    fn row(&mut self, body: &[u8]) {
        // Nobody waits for it any more, or it has failed.
        if self.trouble.is_some() || self.reply.as_ref().is_none_or(oneshot::Sender::is_closed) {
            return;
        }
        let row = RawRow::new(body).ok_or(crate::plan::answer::Unreadable(0));
        if let Err(unreadable) = row.and_then(|row| self.answer.row(&self.plan.shape, row)) {
            self.trouble = Some(Trouble::Answer(unreadable.into()));
        }
    }

    /// Gives the answer; behind the `barrier`, where what it tells of has run.
    fn finish(self, barrier: Option<&Barrier>) {
        let Awaiting { deadline, .. } = self;
        let Some(reply) = self.reply else { return };
        let result = match self.trouble {
            Some(trouble) => Err(trouble),
            None if self.only_describes => Ok(Text::default()),
            None => self.answer.end(&self.plan.shape).map_err(Trouble::Answer),
        };
        match barrier {
            Some(barrier) if self.is_complete && !self.only_describes => {
                barrier.hold(Held { result, deadline, reply });
            }
            // A caller that went away asks for no answer.
            Some(_) | None => drop(reply.send(result)),
        }
    }
}

/// The types in the body of a `RowDescription` message, as far as it can be read.
fn column_types(body: &[u8]) -> Vec<u32> {
    // Behind each name: the table's number, the column's, the type's, its size, its modifier, the format.
    const BEHIND_NAME: usize = 18;
    let mut rest = body.get(2..).unwrap_or_default();
    let mut types = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let Some((fields, next)) = rest.get(end + 1..).and_then(|rest| rest.split_at_checked(BEHIND_NAME)) else {
            break;
        };
        let type_oid = fields.get(6..).and_then(|fields| fields.first_chunk::<4>());
        types.extend(type_oid.map(|type_oid| u32::from_be_bytes(*type_oid)));
        rest = next;
    }
    types
}
