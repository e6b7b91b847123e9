//! As much of a Postgres as a lane talks to, over a stream in memory, with faults by plan.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

/// A message of the server.
pub(crate) fn message(letter: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![letter];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// What a peer does wrong, and what it was seen to do.
pub(crate) struct Peer {
    faults: Faults,
    seen: Arc<Mutex<Seen>>,
    asked: watch::Sender<usize>,
    released: watch::Sender<bool>,
}

#[derive(Clone)]
struct Faults {
    /// Pauses behind this byte, until the other side has had its turn.
    cut_at: Option<usize>,
    close_at: Option<usize>,
    pieces_of: usize,
    room_of: usize,
    /// These bytes in front of that message.
    insert: Option<(usize, Vec<u8>)>,
    /// That byte, changed by this mask.
    flip: Option<(usize, u8)>,
}

#[derive(Default)]
struct Seen {
    sent: usize,
    messages: usize,
    inserted: bool,
    commands: Vec<String>,
}

impl Peer {
    pub(crate) fn new() -> Peer {
        let faults =
            Faults { cut_at: None, close_at: None, pieces_of: usize::MAX, room_of: 1 << 20, insert: None, flip: None };
        Peer { faults, seen: Arc::default(), asked: watch::channel(0).0, released: watch::channel(true).0 }
    }

    pub(crate) fn cut_at(mut self, byte: usize) -> Peer {
        self.faults.cut_at = Some(byte);
        self
    }

    pub(crate) fn close_at(mut self, byte: usize) -> Peer {
        self.faults.close_at = Some(byte);
        self
    }

    pub(crate) fn pieces_of(mut self, bytes: usize) -> Peer {
        self.faults.pieces_of = bytes;
        self
    }

    pub(crate) fn room_of(mut self, bytes: usize) -> Peer {
        self.faults.room_of = bytes;
        self
    }

    pub(crate) fn insert(mut self, place: usize, bytes: &[u8]) -> Peer {
        self.faults.insert = Some((place, bytes.to_vec()));
        self
    }

    pub(crate) fn flip(mut self, byte: usize, mask: u8) -> Peer {
        self.faults.flip = Some((byte, mask));
        self
    }

    /// Answers nothing until it is released.
    pub(crate) fn held(self) -> Peer {
        self.released.send_replace(false);
        self
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits until so many requests have come.
    pub(crate) async fn asked(&self, count: usize) {
        self.asked.subscribe().wait_for(|asked| *asked >= count).await.unwrap();
    }

    /// Bytes sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.seen.lock().unwrap().sent
    }

    pub(crate) fn inserted(&self) -> bool {
        self.seen.lock().unwrap().inserted
    }

    /// The simple queries that came.
    pub(crate) fn commands(&self) -> Vec<String> {
        self.seen.lock().unwrap().commands.clone()
    }

    /// The gateway's end of the stream; the peer serves the other.
    pub(crate) fn stream(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(self.faults.room_of);
        let (faults, seen, asked) = (self.faults.clone(), self.seen.clone(), self.asked.clone());
        let released = self.released.subscribe();
        tokio::spawn(async move {
            let mut session = Session { stream: far, faults, seen };
            // `None` is an end by plan, or the other side's.
            let _: Option<()> = session.serve(asked, released).await;
        });
        near
    }
}

struct Session {
    stream: DuplexStream,
    faults: Faults,
    seen: Arc<Mutex<Seen>>,
}

impl Session {
    async fn serve(&mut self, asked: watch::Sender<usize>, mut released: watch::Receiver<bool>) -> Option<()> {
        let mut answers: Vec<Vec<u8>> = Vec::new();
        // Behind an error Postgres reads on to the next Sync and does nothing.
        let (mut refused, mut skips) = (false, false);
        loop {
            let letter = self.stream.read_u8().await.ok()?;
            let length = self.stream.read_u32().await.ok()? as usize - 4;
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await.ok()?;
            if skips && letter != b'S' {
                continue;
            }
            match letter {
                b'Q' => {
                    let text = String::from_utf8(body[..body.len() - 1].to_vec()).unwrap();
                    answers.push(if text.contains("bad") { error("22023") } else { message(b'C', b"SET\0") });
                    answers.push(message(b'Z', b"I"));
                    self.seen.lock().unwrap().commands.push(text);
                }
                b'P' => answers.push(message(b'1', b"")),
                b'D' => {
                    answers.push(message(b't', &[0, 0]));
                    answers.push(message(b'T', &description()));
                }
                b'C' => answers.push(message(b'3', b"")),
                b'B' => {
                    answers.push(message(b'2', b""));
                    let text = last_parameter(&body);
                    refused = text == b"refuse";
                    if !refused {
                        let mut row = 1_u16.to_be_bytes().to_vec();
                        row.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                        row.extend_from_slice(text);
                        answers.push(message(b'D', &row));
                    }
                }
                b'E' => {
                    skips = refused;
                    answers.push(if refused { error("23514") } else { message(b'C', b"SELECT 1\0") });
                }
                b'S' => {
                    skips = false;
                    answers.push(message(b'Z', b"I"));
                    asked.send_modify(|asked| *asked += 1);
                }
                other => panic!("the gateway sent `{}`", char::from(other)),
            }
            if letter == b'Q' || letter == b'S' {
                released.wait_for(|released| *released).await.ok()?;
                for answer in std::mem::take(&mut answers) {
                    self.answer(&answer).await?;
                }
            }
        }
    }

    async fn answer(&mut self, answer: &[u8]) -> Option<()> {
        let place = {
            let mut seen = self.seen.lock().unwrap();
            seen.messages += 1;
            seen.messages - 1
        };
        if let Some((at, bytes)) = self.faults.insert.clone()
            && at == place
        {
            self.seen.lock().unwrap().inserted = true;
            self.send(&bytes).await?;
        }
        self.send(answer).await
    }

    async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        if self.faults.close_at == Some(0) {
            return None;
        }
        let mut rest = bytes.to_vec();
        while !rest.is_empty() {
            let start = self.seen.lock().unwrap().sent;
            let mut count = rest.len().min(self.faults.pieces_of);
            for stop in [self.faults.cut_at, self.faults.close_at].into_iter().flatten() {
                if stop > start {
                    count = count.min(stop - start);
                }
            }
            if let Some((at, mask)) = self.faults.flip
                && (start..start + count).contains(&at)
            {
                rest[at - start] ^= mask;
            }
            self.stream.write_all(&rest[..count]).await.ok()?;
            rest.drain(..count);
            self.seen.lock().unwrap().sent += count;
            if self.faults.close_at == Some(start + count) {
                return None;
            }
            if self.faults.pieces_of < usize::MAX || self.faults.cut_at == Some(start + count) {
                // The other side takes what there is before more comes.
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            }
        }
        Some(())
    }
}

/// An ErrorResponse that refuses by `code`.
fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes())
}

/// Of a row with one column of text.
fn description() -> Vec<u8> {
    let mut body = 1_u16.to_be_bytes().to_vec();
    body.extend_from_slice(b"text\0");
    body.extend_from_slice(&[0; 6]);
    body.extend_from_slice(&25_u32.to_be_bytes());
    body.extend_from_slice(&[255; 6]);
    body.extend_from_slice(&[0; 2]);
    body
}

/// The value bound last, of a Bind message's body.
fn last_parameter(body: &[u8]) -> &[u8] {
    let mut rest = body;
    for _ in 0..2 {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        rest = &rest[end + 1..];
    }
    let number = |rest: &mut &[u8]| {
        let (head, tail) = rest.split_at(2);
        *rest = tail;
        usize::from(u16::from_be_bytes([head[0], head[1]]))
    };
    for _ in 0..number(&mut rest) {
        rest = &rest[2..];
    }
    let mut value: &[u8] = b"";
    for _ in 0..number(&mut rest) {
        let length = i32::from_be_bytes(rest[..4].try_into().unwrap());
        rest = &rest[4..];
        let taken = usize::try_from(length).unwrap_or(0);
        value = &rest[..taken];
        rest = &rest[taken..];
    }
    value
}
