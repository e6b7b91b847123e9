//! The framing of one HTTP/1.1 answer: where it ends, and whether it is the 200 that was wanted.
//!
//! Only what a keep-alive client needs; anything that is not a plain 200 with a `Content-Length`
//! is an error, because the figures would then be of something else.

use std::ops::Range;

/// What the bytes read so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// More must be read; at least this many bytes in all, where that is known.
    Partial(Option<usize>),
    /// A whole answer with status 200; its body's place.
    Whole(Range<usize>),
}

/// Answers of more bytes than this are refused.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Reads the head of `bytes`; one answer may be there, never the beginning of a second.
pub(crate) fn frame(bytes: &[u8]) -> Result<Frame, String> {
    let mut length = None;
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(Frame::Partial(None)) };
        let line = rest.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if at == 0 {
            if !line.starts_with(b"HTTP/1.1 200") {
                return Err(refused(line, bytes));
            }
        } else if line.is_empty() {
            at += end + 1;
            break;
        } else if let Some(value) = header(line, b"content-length") {
            let value = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
            length = Some(value.ok_or("the answer's Content-Length is no number")?);
        } else if header(line, b"connection").is_some_and(|value| value.trim_ascii().eq_ignore_ascii_case(b"close")) {
            return Err("the server wants to close the connection; expected keep-alive".to_owned());
        }
        at += end + 1;
    }
    let length = length.ok_or("the answer has no Content-Length")?;
    if length > ANSWER_BYTES_MAX {
        return Err(format!("the answer announces {length} bytes, at most {ANSWER_BYTES_MAX} are read"));
    }
    let whole = at + length;
    if bytes.len() < whole {
        Ok(Frame::Partial(Some(whole)))
    } else if bytes.len() > whole {
        Err(format!("{} bytes follow an answer that nothing was asked after", bytes.len() - whole))
    } else {
        Ok(Frame::Whole(at..whole))
    }
}

fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    if found.eq_ignore_ascii_case(name) { value.strip_prefix(b":") } else { None }
}

/// The status line and as much of the rest as helps.
fn refused(line: &[u8], bytes: &[u8]) -> String {
    let shown = bytes.get(..bytes.len().min(2_000)).unwrap_or_default();
    let text = String::from_utf8_lossy(shown);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    format!("expected status 200, the server answered `{}` {body}", String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nserver-timing: a\r\nContent-LENGTH: 5\r\ndate: x\r\n\r\nhello";

    #[test]
    fn an_answer_is_whole_exactly_when_its_last_byte_is_there() {
        let head = ANSWER.len() - 5;
        for end in 0..ANSWER.len() {
            let expected = Frame::Partial((end >= head).then_some(ANSWER.len()));
            assert_eq!(frame(&ANSWER[..end]).unwrap(), expected, "{end}");
        }
        assert_eq!(frame(ANSWER).unwrap(), Frame::Whole(head..ANSWER.len()));
        assert!(frame(&[ANSWER, b"H"].concat()).unwrap_err().contains("1 bytes follow"));
    }

    #[test]
    fn what_is_not_a_plain_200_is_refused() {
        for (answer, reason) in [
            ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}", "`HTTP/1.1 429 Too Many Requests` {}"),
            ("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.0"),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "no Content-Length"),
            ("HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n", "no number"),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n", "at most"),
            ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", "keep-alive"),
        ] {
            let message = frame(answer.as_bytes()).unwrap_err();
            assert!(message.contains(reason), "{message}");
        }
    }
}
