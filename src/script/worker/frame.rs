//! What crosses the pipes between gateway and worker: a length, a tag, and fields.
//!
//! JSON crosses as it is, so that it is written once and read once. The gateway trusts nothing a
//! worker sends: a frame that is too long or does not decode ends the worker.

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind};

use rowgate_schema_dsl::definition::HandlerKind;

use crate::script::machine::{Fault, Limits, Used};
use crate::script::sandbox::Termination;
use crate::script::value::Unwritable;
use crate::script::worker::jail::{Held, Jail};

/// Longer than any frame there is: a bundle's sources are the longest.
pub const FRAME_BYTES_MAX: usize = 32 << 20;

/// Names a bundle's sources: the SHA-256 of all of them.
pub type ProgramKey = [u8; 32];

/// What the gateway tells a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// Sources by module name, of calls to come.
    Load {
        program: ProgramKey,
        sources: Vec<(String, String)>,
    },
    Unload {
        program: ProgramKey,
    },
    Begin {
        call: u32,
        program: ProgramKey,
        begin: Box<Begin>,
    },
    /// JSON that the operation asked for answers with.
    Answer {
        call: u32,
        json: Vec<u8>,
    },
    Refusal {
        call: u32,
        fault: Fault,
    },
    /// Nobody waits for the call any more; it is answered with [`Outcome::Cancelled`].
    Cancel {
        call: u32,
    },
}

/// One call of a handler, as [`crate::script::machine::Order`] with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    pub function: String,
    pub kind: HandlerKind,
    pub context: Vec<u8>,
    pub arguments: Vec<u8>,
    pub seed: u32,
    pub limits: Limits,
}

/// What a worker tells the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromWorker {
    /// Once, first: what holds the worker.
    Ready(Jail),
    /// The call waits for an answer or a refusal.
    Asks {
        call: u32,
        operation: String,
        arguments: Vec<u8>,
    },
    Ended {
        call: u32,
        outcome: Outcome,
        used: Used,
    },
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// JSON of what the handler returned.
    Returned(Vec<u8>),
    /// What it returned is no JSON.
    Unanswerable(Unwritable),
    Failed(Fault),
    Stopped {
        termination: Termination,
        at: Option<(String, u32)>,
    },
    Cancelled,
    /// The worker died, by this call's doing or another's.
    WorkerLost,
}

/// Frames out of a stream of bytes.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Where the first frame that was not taken begins.
    begin: usize,
}

impl Frames {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.begin > 0 {
            self.bytes.drain(..self.begin);
            self.begin = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame for a worker.
    pub fn next_to_worker(&mut self) -> io::Result<Option<ToWorker>> {
        self.frame()?.map(|frame| to_worker(&mut Fields(frame)).ok_or_else(malformed)).transpose()
    }

    /// The next whole frame from a worker.
    pub fn next_from_worker(&mut self) -> io::Result<Option<FromWorker>> {
        self.frame()?.map(|frame| from_worker(&mut Fields(frame)).ok_or_else(malformed)).transpose()
    }

    fn frame(&mut self) -> io::Result<Option<&[u8]>> {
        let rest = self.bytes.get(self.begin..).unwrap_or_default();
        let Some(length) = rest.first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(malformed());
        }
        let Some(frame) = rest.get(4..4 + length) else { return Ok(None) };
        self.begin += 4 + length;
        Ok(Some(frame))
    }
}

impl ToWorker {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            ToWorker::Load { program, sources } => {
                let mut out = Out::new(0);
                out.bytes(program);
                out.number(sources.len());
                for (name, source) in sources {
                    out.bytes(name.as_bytes());
                    out.bytes(source.as_bytes());
                }
                out.done()
            }
            ToWorker::Unload { program } => {
                let mut out = Out::new(1);
                out.bytes(program);
                out.done()
            }
            ToWorker::Begin { call, program, begin } => {
                let mut out = Out::new(2);
                out.u32(*call);
                out.bytes(program);
                out.bytes(begin.function.as_bytes());
                out.u8(as_u8(begin.kind));
                out.bytes(&begin.context);
                out.bytes(&begin.arguments);
                out.u32(begin.seed);
                out.u64(begin.limits.cpu_ms_max);
                out.u64(begin.limits.memory_bytes_max as u64);
                out.u64(begin.limits.allocated_bytes_max as u64);
                out.u32(begin.limits.host_calls_max);
                out.u64(begin.limits.answer_bytes_max as u64);
                out.done()
            }
            ToWorker::Answer { call, json } => {
                let mut out = Out::new(3);
                out.u32(*call);
                out.bytes(json);
                out.done()
            }
            ToWorker::Refusal { call, fault } => {
                let mut out = Out::new(4);
                out.u32(*call);
                out.fault(fault);
                out.done()
            }
            ToWorker::Cancel { call } => {
                let mut out = Out::new(5);
                out.u32(*call);
                out.done()
            }
        }
    }
}

fn to_worker(fields: &mut Fields<'_>) -> Option<ToWorker> {
    let frame = match fields.u8()? {
        0 => {
            let program = fields.key()?;
            let mut sources = Vec::new();
            for _ in 0..fields.u32()? {
                sources.push((fields.text()?, fields.text()?));
            }
            ToWorker::Load { program, sources }
        }
        1 => ToWorker::Unload { program: fields.key()? },
        2 => {
            let (call, program) = (fields.u32()?, fields.key()?);
            let begin = Begin {
                function: fields.text()?,
                kind: kind_of(fields.u8()?)?,
                context: fields.bytes()?.to_vec(),
                arguments: fields.bytes()?.to_vec(),
                seed: fields.u32()?,
                limits: Limits {
                    cpu_ms_max: fields.u64()?,
                    memory_bytes_max: fields.size()?,
                    allocated_bytes_max: fields.size()?,
                    host_calls_max: fields.u32()?,
                    answer_bytes_max: fields.size()?,
                },
            };
            ToWorker::Begin { call, program, begin: Box::new(begin) }
        }
        3 => ToWorker::Answer { call: fields.u32()?, json: fields.bytes()?.to_vec() },
        4 => ToWorker::Refusal { call: fields.u32()?, fault: fields.fault()? },
        5 => ToWorker::Cancel { call: fields.u32()? },
        _ => return None,
    };
    fields.0.is_empty().then_some(frame)
}

impl FromWorker {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            FromWorker::Ready(jail) => {
                let mut out = Out::new(0);
                out.u8(jail.files.as_u8());
                out.u8(jail.calls.as_u8());
                out.done()
            }
            FromWorker::Asks { call, operation, arguments } => {
                let mut out = Out::new(1);
                out.u32(*call);
                out.bytes(operation.as_bytes());
                out.bytes(arguments);
                out.done()
            }
            FromWorker::Ended { call, outcome, used } => {
                let mut out = Out::new(2);
                out.u32(*call);
                out.u64(used.cpu_us);
                out.u64(used.memory_bytes);
                match outcome {
                    Outcome::Returned(json) => {
                        out.u8(0);
                        out.bytes(json);
                    }
                    Outcome::Unanswerable(unwritable) => {
                        out.u8(1);
                        out.bytes(unwritable.pointer.as_bytes());
                        out.bytes(unwritable.message.as_bytes());
                    }
                    Outcome::Failed(fault) => {
                        out.u8(2);
                        out.fault(fault);
                    }
                    Outcome::Stopped { termination, at } => {
                        out.u8(3);
                        out.u8(match termination {
                            Termination::Time => 0,
                            Termination::Memory => 1,
                            Termination::HostCalls => 2,
                        });
                        out.option(at.as_ref().map(|(file, _)| file.as_str()));
                        out.u32(at.as_ref().map_or(0, |(_, line)| *line));
                    }
                    Outcome::Cancelled => out.u8(4),
                    Outcome::WorkerLost => out.u8(5),
                }
                out.done()
            }
        }
    }
}

fn from_worker(fields: &mut Fields<'_>) -> Option<FromWorker> {
    let frame = match fields.u8()? {
        0 => FromWorker::Ready(Jail { files: Held::of(fields.u8()?)?, calls: Held::of(fields.u8()?)? }),
        1 => FromWorker::Asks { call: fields.u32()?, operation: fields.text()?, arguments: fields.bytes()?.to_vec() },
        2 => FromWorker::Ended {
            call: fields.u32()?,
            used: Used { cpu_us: fields.u64()?, memory_bytes: fields.u64()? },
            outcome: match fields.u8()? {
                0 => Outcome::Returned(fields.bytes()?.to_vec()),
                1 => Outcome::Unanswerable(Unwritable { pointer: fields.text()?, message: fields.text()? }),
                2 => Outcome::Failed(fields.fault()?),
                3 => {
                    let termination = match fields.u8()? {
                        0 => Termination::Time,
                        1 => Termination::Memory,
                        2 => Termination::HostCalls,
                        _ => return None,
                    };
                    let (file, line) = (fields.option()?, fields.u32()?);
                    Outcome::Stopped { termination, at: file.map(|file| (file, line)) }
                }
                4 => Outcome::Cancelled,
                _ => return None,
            },
        },
        _ => return None,
    };
    fields.0.is_empty().then_some(frame)
}

const fn as_u8(kind: HandlerKind) -> u8 {
    match kind {
        HandlerKind::Query => 0,
        HandlerKind::Mutation => 1,
        HandlerKind::Action => 2,
    }
}

fn kind_of(number: u8) -> Option<HandlerKind> {
    [HandlerKind::Query, HandlerKind::Mutation, HandlerKind::Action].into_iter().find(|kind| as_u8(*kind) == number)
}

fn malformed() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "a frame does not decode")
}

/// A frame that is being written.
struct Out(Vec<u8>);

impl Out {
    fn new(tag: u8) -> Out {
        Out(vec![0, 0, 0, 0, tag])
    }

    /// The frame with its length in front.
    fn done(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len() - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.0.first_chunk_mut::<4>() {
            *place = length.to_le_bytes();
        }
        self.0
    }

    fn u8(&mut self, number: u8) {
        self.0.push(number);
    }

    fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn number(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    fn option(&mut self, text: Option<&str>) {
        self.u8(u8::from(text.is_some()));
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn fault(&mut self, fault: &Fault) {
        self.option(fault.code.as_deref());
        self.bytes(fault.message.as_bytes());
        self.option(fault.field.as_deref());
        self.bytes(fault.trace.as_bytes());
    }
}

/// The fields of a frame that are not read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn u8(&mut self) -> Option<u8> {
        self.chunk().map(|[number]: [u8; 1]| number)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }

    fn size(&mut self) -> Option<usize> {
        usize::try_from(self.u64()?).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn option(&mut self) -> Option<Option<String>> {
        let is_there = self.u8()? == 1;
        let text = self.text()?;
        Some(is_there.then_some(text))
    }

    fn key(&mut self) -> Option<ProgramKey> {
        self.bytes()?.try_into().ok()
    }

    fn fault(&mut self) -> Option<Fault> {
        Some(Fault { code: self.option()?, message: self.text()?, field: self.option()?, trace: self.text()? })
    }
}
