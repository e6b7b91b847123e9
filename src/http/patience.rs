//! A client's socket that is not waited for without end: whoever does not take an answer is dropped.
//!
//! An answer that is not read stays in the gateway's memory. Its client has so long for each stretch
//! of it; nothing is set up for a socket that takes what it is given at once.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How much of an answer has to be taken in the time that is given: what a slow telephone takes in half
/// a minute.
const STRETCH_BYTES: usize = 256 << 10;

/// A client's socket.
pub(super) struct Patient {
    stream: TcpStream,
    /// For each stretch of an answer.
    within: Duration,
    /// Counts those that were dropped.
    dropped: IntCounter,
    /// Set where the socket takes no more for now.
    until: Option<Pin<Box<Sleep>>>,
    /// Of the stretch, since then.
    taken_bytes: usize,
}

impl Patient {
    pub(super) fn new(stream: TcpStream, within: Duration, dropped: IntCounter) -> Patient {
        Patient { stream, within, dropped, until: None, taken_bytes: 0 }
    }

    fn judge(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = written {
            if let (Ok(count), true) = (&result, self.until.is_some()) {
                self.taken_bytes += count;
                if self.taken_bytes >= STRETCH_BYTES {
                    self.rest();
                }
            }
            return Poll::Ready(result);
        }
        let within = self.within;
        let until = self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(until.as_mut().poll(context));
        self.dropped.inc();
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }

    /// Nothing is owed to the client.
    fn rest(&mut self) {
        self.until = None;
        self.taken_bytes = 0;
    }
}

impl AsyncRead for Patient {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Asked for when everything was written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.rest();
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
