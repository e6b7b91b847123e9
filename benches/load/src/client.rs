//! The load client: one thread, nonblocking sockets, one call under way on each connection.
//!
//! It costs one read, one write and one look at the clock for each call. Every answer's status
//! and framing are checked, and the body of one in `CHECKED_EVERY`. Latency is from the write of
//! the request to the read of the answer's last byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as BlockingStream};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::answer::{Frame, frame};
use crate::cpu::{Sample, Watched};
use crate::dialect::{Dialect, Request};
use crate::histogram::Histogram;
use crate::workload::Workload;

/// Bodies are parsed and compared with what was asked once in so many answers.
const CHECKED_EVERY: u64 = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No answer on any connection for this long ends the bench.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 16 << 10;

/// Whom to call, as whom.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) dialect: Dialect,
    pub(crate) address: SocketAddr,
    pub(crate) install_id: &'a str,
    pub(crate) token: &'a str,
}

/// What to do, and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) workload: Workload,
    /// Numbers are drawn below this, and [`Load::first`] is added.
    pub(crate) bound: u64,
    pub(crate) first: u64,
    pub(crate) connections: u16,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What was seen within the measured time, and how many calls were answered in all.
pub(crate) struct Drive {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Histogram,
    pub(crate) before: Sample,
    pub(crate) after: Sample,
    /// With those of the warm-up and those still under way at the end.
    pub(crate) acknowledged: u64,
}

/// Calls the function as fast as the answers come, then waits for the answers still missing.
pub(crate) fn drive(target: &Target<'_>, load: &Load, watched: &Watched) -> Result<Drive, String> {
    let mut poll = Poll::new().map_err(|error| format!("cannot wait on sockets: {error}"))?;
    let mut numbers = Numbers::new(load.bound, load.first, target.dialect.ascends(load.workload));
    let mut connections = Vec::new();
    for index in 0..usize::from(load.connections) {
        let mut connection = Connection::open(target, load)?;
        poll.registry()
            .register(&mut connection.stream, Token(index), Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| format!("cannot wait on a socket: {error}"))?;
        connections.push(connection);
    }
    for connection in &mut connections {
        connection.ask(numbers.next(), Instant::now())?;
    }

    let mut events = Events::with_capacity(connections.len());
    let mut phase = Phase::WarmUp { until: Instant::now() + load.warm_up };
    let mut latencies = Histogram::new();
    let mut acknowledged = 0;
    let mut under_way = connections.len();
    let mut last_answer = Instant::now();
    while under_way > 0 {
        if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(100)))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(format!("cannot wait on sockets: {error}"));
        }
        for event in &events {
            let Some(connection) = connections.get_mut(event.token().0) else { continue };
            connection.flush()?;
            let Some(body) = connection.read()? else { continue };
            let now = Instant::now();
            last_answer = now;
            acknowledged += 1;
            if acknowledged % CHECKED_EVERY == 1 {
                let body = connection.buffer.get(body).unwrap_or_default();
                target.dialect.check(load.workload, connection.number, body)?;
            }
            connection.filled = 0;
            match &phase {
                Phase::WarmUp { .. } => connection.ask(numbers.next(), now)?,
                Phase::Measured { .. } => {
                    latencies.add(now - connection.asked_at);
                    connection.ask(numbers.next(), now)?;
                }
                Phase::Drain { .. } => under_way -= 1,
            }
        }
        phase = phase.at(Instant::now(), load, watched)?;
        if last_answer.elapsed() > SILENCE_MAX {
            return Err(format!("no answer for {} s with {under_way} calls under way", SILENCE_MAX.as_secs()));
        }
    }
    match phase {
        Phase::Drain { elapsed, before, after } => Ok(Drive { elapsed, latencies, before, after, acknowledged }),
        Phase::WarmUp { .. } | Phase::Measured { .. } => Err("the run ended before it was measured".to_owned()),
    }
}

/// Reads one whole answer that nothing else follows; it must be a 200.
pub(crate) fn read_answer(stream: &mut BlockingStream) -> Result<(), String> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        let count = stream.read(rest).map_err(|error| format!("cannot read an answer: {error}"))?;
        if count == 0 {
            return Err("the server closed a connection; expected keep-alive".to_owned());
        }
        filled += count;
        match frame(buffer.get(..filled).unwrap_or_default())? {
            Frame::Whole(_) => return Ok(()),
            Frame::Partial(_) => {}
        }
    }
    Err(format!("the answer is longer than {BUFFER_BYTES} bytes"))
}

enum Phase {
    WarmUp { until: Instant },
    Measured { since: Instant, before: Sample },
    Drain { elapsed: Duration, before: Sample, after: Sample },
}

impl Phase {
    fn at(self, now: Instant, load: &Load, watched: &Watched) -> Result<Phase, String> {
        Ok(match self {
            Phase::WarmUp { until } if now >= until => {
                let before = watched.sample()?;
                Phase::Measured { since: Instant::now(), before }
            }
            Phase::Measured { since, before } if now >= since + load.measured => {
                Phase::Drain { elapsed: now - since, before, after: watched.sample()? }
            }
            Phase::WarmUp { .. } | Phase::Measured { .. } | Phase::Drain { .. } => self,
        })
    }
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// Places of digits in the request: offset and width.
    digits: Vec<(usize, usize)>,
    /// From the number of one place to that of the next, below the bound.
    step: u64,
    bound: u64,
    written: usize,
    buffer: Vec<u8>,
    filled: usize,
    number: u64,
    asked_at: Instant,
}

impl Connection {
    fn open(target: &Target<'_>, load: &Load) -> Result<Connection, String> {
        let stream = BlockingStream::connect_timeout(&target.address, CONNECT_TIMEOUT)
            .and_then(|stream| {
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok(stream)
            })
            .map_err(|error| format!("cannot connect to {}: {error}", target.address))?;
        let request = target.dialect.request(load.workload, target.install_id);
        let Request { path, body } = request.ok_or("the server knows no such call")?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            target.address,
            target.token,
            body.len()
        );
        // The install and the token may have places too.
        let request = [head.as_bytes(), body.as_bytes()].concat();
        Ok(Connection {
            stream: TcpStream::from_std(stream),
            digits: digit_places(&request),
            step: load.workload.step(),
            bound: load.workload.numbers(),
            request,
            written: 0,
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            number: 0,
            asked_at: Instant::now(),
        })
    }

    fn ask(&mut self, number: u64, now: Instant) -> Result<(), String> {
        let mut written = number;
        for (offset, width) in &self.digits {
            write_digits(self.request.get_mut(*offset..offset + width).unwrap_or_default(), written);
            written = (written + self.step) % self.bound;
        }
        self.number = number;
        self.asked_at = now;
        self.written = 0;
        self.flush()
    }

    /// Writes what is left of the request; what the socket does not take now waits for its event.
    fn flush(&mut self) -> Result<(), String> {
        while let Some(rest) = self.request.get(self.written..)
            && !rest.is_empty()
        {
            match self.stream.write(rest) {
                Ok(0) => return Err("the server closed a connection while a request was written".to_owned()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(format!("cannot write a request: {error}")),
            }
        }
        Ok(())
    }

    /// The place of the answer's body in the buffer, once the whole answer is there.
    fn read(&mut self) -> Result<Option<std::ops::Range<usize>>, String> {
        loop {
            if self.filled == self.buffer.len() {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
            match self.stream.read(self.buffer.get_mut(self.filled..).unwrap_or_default()) {
                Ok(0) => return Err("the server closed a connection; expected keep-alive".to_owned()),
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(format!("cannot read an answer: {error}")),
            }
            // One read is enough for an answer: events are edge-triggered, and after a whole
            // answer nothing more can come before the next request.
            match frame(self.buffer.get(..self.filled).unwrap_or_default())? {
                Frame::Whole(body) => return Ok(Some(body)),
                Frame::Partial(Some(whole)) if whole > self.buffer.len() => self.buffer.resize(whole, 0),
                Frame::Partial(_) => {}
            }
        }
    }
}

fn digit_places(request: &[u8]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut offset = 0;
    for part in request.chunk_by(|left, right| (*left == b'#') == (*right == b'#')) {
        if part.first() == Some(&b'#') {
            places.push((offset, part.len()));
        }
        offset += part.len();
    }
    places
}

/// As [`Workload::body`] says: `10^(w-1) + number mod 9·10^(w-1)` in a place of `w` digits.
fn write_digits(place: &mut [u8], number: u64) {
    let first = 10_u64.pow(u32::try_from(place.len().saturating_sub(1)).unwrap_or(0));
    let mut rest = first + number % (9 * first);
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

/// Random numbers below a bound (splitmix64, Steele and others 2014); each run draws the same. Or ascending
/// ones, where each may be had once alone.
struct Numbers {
    state: u64,
    bound: u64,
    first: u64,
    ascend: bool,
}

impl Numbers {
    fn new(bound: u64, first: u64, ascend: bool) -> Numbers {
        Numbers { state: if ascend { 0 } else { 0x9E37_79B9_7F4A_7C15 }, bound: bound.max(1), first, ascend }
    }

    fn next(&mut self) -> u64 {
        if self.ascend {
            self.state += 1;
            return self.first + self.state % self.bound;
        }
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        self.first + (mixed ^ (mixed >> 31)) % self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_written_in_place() {
        let mut body = Workload::Insert.body().into_bytes();
        for (offset, width) in digit_places(&body) {
            write_digits(body.get_mut(offset..offset + width).unwrap_or_default(), 123_456);
        }
        assert_eq!(String::from_utf8_lossy(&body), r#"{"category":"inserted","title":"100000123456","score":43456}"#);
    }

    #[test]
    fn every_number_of_a_workload_keeps_the_width_and_is_what_check_expects() {
        for workload in Workload::ALL {
            let mut numbers = Numbers::new(workload.numbers(), 0, false);
            for _ in 0..1_000 {
                assert!(numbers.next() < workload.numbers());
            }
        }
    }
}
