//! An answer, read whole and within its bound: cut off is refused, before decompression and after.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::http::response::Parts;

use crate::fetch::target::Target;
use crate::fetch::{Cause, Refused};

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Lower case names, each once: several values are joined by a comma, those that are not text
    /// lose what is none.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Where it came from, after redirects.
    pub url: String,
}

/// How the body travels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
}

pub(super) async fn read(
    head: Parts,
    mut incoming: Incoming,
    method: &Method,
    target: &Target,
    bytes_max: usize,
) -> Result<Answer, Refused> {
    let has_body = *method != Method::HEAD && !matches!(head.status.as_u16(), 204 | 304);
    let coding = if has_body { coding(&head.headers)? } else { Coding::Plain };
    if has_body && incoming.size_hint().lower() > bytes_max as u64 {
        return Err(too_large(bytes_max));
    }
    let mut received = 0_usize;
    let mut body = Unpacker::new(coding, bytes_max);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| invalid("the answer ended early"))?;
        // Trailers are nothing that anybody waits for.
        let Ok(chunk) = frame.into_data() else { continue };
        received = received.saturating_add(chunk.len());
        if received > bytes_max {
            return Err(too_large(bytes_max));
        }
        body.write(&chunk).map_err(|error| unpacking(&error, bytes_max))?;
    }
    let body = body.end().map_err(|error| unpacking(&error, bytes_max))?;
    let headers = texts(&head.headers, coding);
    Ok(Answer { status: head.status.as_u16(), headers, body, url: target.url().to_owned() })
}

fn coding(headers: &HeaderMap) -> Result<Coding, Refused> {
    let mut coding = Coding::Plain;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for word in value.to_str().unwrap_or("?").split(',').map(str::trim) {
            match (word.to_ascii_lowercase().as_str(), coding) {
                ("" | "identity", _) => {}
                ("gzip" | "x-gzip", Coding::Plain) => coding = Coding::Gzip,
                _ => return Err(invalid("the answer is compressed in a way that was not asked for")),
            }
        }
    }
    Ok(coding)
}

/// The headers of the answer as it is handed on: a body that was unpacked has no coding any more.
fn texts(headers: &HeaderMap, coding: Coding) -> Vec<(String, String)> {
    let unpacked = coding == Coding::Gzip;
    let of_packed = [header::CONTENT_ENCODING, header::CONTENT_LENGTH];
    let names = headers.keys().filter(|name| !(unpacked && of_packed.contains(name)));
    let joined = |name| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values.collect::<Vec<_>>().join(", ")
    };
    names.map(|name| (name.as_str().to_owned(), joined(name))).collect()
}

/// Collects a body, unpacked, within its bound.
enum Unpacker {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Unpacker {
    fn new(coding: Coding, bytes_max: usize) -> Unpacker {
        let bounded = Bounded { bytes: Vec::new(), bytes_max };
        match coding {
            Coding::Plain => Unpacker::Plain(bounded),
            Coding::Gzip => Unpacker::Gzip(Box::new(MultiGzDecoder::new(bounded))),
        }
    }

    fn write(&mut self, chunk: &[u8]) -> io::Result<()> {
        match self {
            Unpacker::Plain(bounded) => bounded.write_all(chunk),
            Unpacker::Gzip(decoder) => decoder.write_all(chunk),
        }
    }

    fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Unpacker::Plain(bounded) => Ok(bounded.bytes),
            Unpacker::Gzip(decoder) => decoder.finish().map(|bounded| bounded.bytes),
        }
    }
}

fn unpacking(error: &io::Error, bytes_max: usize) -> Refused {
    match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(bytes_max),
        _ => invalid("the answer is not gzip as it says, or ended early"),
    }
}

fn too_large(bytes_max: usize) -> Refused {
    Refused::new(Cause::AnswerTooLarge, format!("the answer is over {bytes_max} bytes"))
}

fn invalid(message: &str) -> Refused {
    Refused::new(Cause::AnswerInvalid, message)
}
