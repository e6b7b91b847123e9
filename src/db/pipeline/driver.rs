//! Moves the bytes of one connection: sends what calls have put into its pipe, and hands the pipe every
//! message that comes, where it was received.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures_util::future::{Either, select};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::db::barrier::Barrier;
use crate::db::handshake::Stream;
use crate::db::pipeline::{Awaited, Connection, SEND_BYTES, Trouble};

/// Who calls on a session that has been silent for so long is told so, where nobody said how long.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Room for what is received; a longer message is given more until it was read.
const RECEIVE_BYTES: usize = 64 << 10;
/// A message over this is no row of ours but a stream gone wrong.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// A message's letter and its length.
const HEADER_BYTES: usize = 5;

/// Moves the bytes of one connection; runs until the connection ends.
pub struct Driver {
    connection: Arc<Connection>,
    /// What it ends with.
    barrier: Option<Arc<Barrier>>,
    stream: Box<dyn Stream>,
    sending: BytesMut,
    /// Bytes ever sent.
    sent_bytes: u64,
    received: Vec<u8>,
    /// Bytes of `received` that are not yet understood, from its start.
    filled: usize,
    /// How often something was received.
    heard: u64,
    /// Since when, and behind how much that was heard, answers are awaited and nothing comes.
    silent: Option<(Instant, u64)>,
    silence_max: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    pub(super) fn new(connection: Arc<Connection>, barrier: Option<Arc<Barrier>>, stream: Box<dyn Stream>) -> Driver {
        Driver {
            connection,
            barrier,
            stream,
            sending: BytesMut::with_capacity(SEND_BYTES),
            sent_bytes: 0,
            received: vec![0; RECEIVE_BYTES],
            filled: 0,
            heard: 0,
            silent: None,
            silence_max: SILENCE_MAX,
            timer: None,
        }
    }

    /// Holds the session lost once answers are awaited and nothing has come for so long: a server, or what
    /// is between, may hang with its socket open.
    #[must_use]
    pub fn silent_at_most(self, silence_max: Duration) -> Driver {
        Driver { silence_max, ..self }
    }

    /// Runs the connection to its end, and tells every call on it what became of it.
    pub async fn run(mut self) -> io::Error {
        let barrier = self.barrier.take();
        let moving = poll_fn(|context| self.poll(context));
        let error = match &barrier {
            None => moving.await,
            Some(barrier) => match select(moving, pin!(barrier.ended())).await {
                Either::Left((error, _)) => error,
                Either::Right(_) => io::Error::other("nothing waits for the disk any more"),
            },
        };
        let mut pipe = self.connection.locked();
        pipe.is_closed = true;
        for awaited in std::mem::take(&mut pipe.awaited) {
            let Awaited::Call(mut call) = awaited else { continue };
            call.trouble.get_or_insert(Trouble::Lost { sent: call.starts_at < self.sent_bytes });
            call.finish(None);
        }
        error
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        self.connection.driver.register(context.waker());
        loop {
            let moved = self.send(context).and_then(|sent| Ok(self.receive(context)? || sent));
            match moved {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return Poll::Ready(error),
            }
        }
        match self.watch(context) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        }
    }

    /// Sends what waits; whether anything was sent.
    fn send(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let before = self.sent_bytes;
        loop {
            if self.sending.is_empty() {
                let mut pipe = self.connection.locked();
                if pipe.out.is_empty() {
                    break;
                }
                pipe.sync();
                self.sending.clear();
                std::mem::swap(&mut self.sending, &mut pipe.out);
            }
            match Pin::new(&mut self.stream).poll_write(context, &self.sending) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    self.sending.advance(count);
                    self.sent_bytes += count as u64;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(self.sent_bytes > before),
            }
        }
        let sent = self.sent_bytes > before;
        if sent && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context) {
            flushed?;
        }
        Ok(sent)
    }

    /// Receives and understands what has come; whether anything has.
    fn receive(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let Some(room) = self.received.get_mut(self.filled..) else { return Ok(false) };
        let mut into = ReadBuf::new(room);
        match Pin::new(&mut self.stream).poll_read(context, &mut into) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => return Ok(false),
        }
        let count = into.filled().len();
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += count;
        self.heard += 1;
        self.connection.moves(Instant::now());
        self.understand()?;
        Ok(true)
    }

    /// Takes every whole message, and makes room for the rest of the last.
    fn understand(&mut self) -> io::Result<()> {
        let mut pipe = self.connection.locked();
        let mut rest = self.received.get(..self.filled).unwrap_or_default();
        let mut wanted = RECEIVE_BYTES;
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let [letter, length @ ..] = *header;
            // The length counts itself and not the letter.
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            let Some(length) = length.checked_sub(4).filter(|length| *length <= MESSAGE_BYTES_MAX) else {
                return Err(io::Error::other("a message has no sound length"));
            };
            let Some((body, next)) = after.split_at_checked(length) else {
                wanted = wanted.max(HEADER_BYTES + length);
                break;
            };
            pipe.receive(letter, body)?;
            rest = next;
        }
        drop(pipe);
        let left = rest.len();
        self.received.copy_within(self.filled - left..self.filled, 0);
        self.filled = left;
        if self.received.len() != wanted && left <= wanted {
            self.received.resize(wanted, 0);
            self.received.shrink_to(wanted);
        }
        Ok(())
    }

    /// Wakes the driver when the first deadline passes, or silence has lasted too long. The timer is set
    /// anew only when it fires, not at each call.
    fn watch(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        loop {
            match &mut self.timer {
                None => {
                    let Some(next) = self.next_look(Instant::now())? else { return Ok(()) };
                    self.timer = Some(Box::pin(tokio::time::sleep_until(next)));
                }
                Some(timer) => match timer.as_mut().poll(context) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(()) => self.timer = None,
                },
            }
        }
    }

    /// Tells whose deadline passed by `now`; when to look again, where anybody waits.
    fn next_look(&mut self, now: Instant) -> io::Result<Option<Instant>> {
        let mut pipe = self.connection.locked();
        let next = pipe.expire(now);
        if pipe.awaited.is_empty() {
            return Ok(None);
        }
        drop(pipe);
        let since = match self.silent {
            Some((since, heard)) if heard == self.heard => since,
            Some(_) | None => now,
        };
        self.silent = Some((since, self.heard));
        let until = since + self.silence_max;
        if now >= until {
            let message = format!("the database has said nothing for {} ms", self.silence_max.as_millis());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        Ok(Some(next.map_or(until, |next| next.min(until))))
    }
}
