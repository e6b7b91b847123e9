//! The value of `Authorization` to the token or key it presents.

use crate::error::{Code, Failure};

/// What follows `Bearer` (in any case, RFC 9110 section 11.1), at most `bytes_max` bytes.
/// Which bytes they are is for the reader of the token or key to judge: a remembered token needs
/// no second look.
pub(crate) fn bearer(value: &[u8], bytes_max: usize) -> Result<&[u8], Failure> {
    let value = value.trim_ascii();
    let (scheme, presented) = match value.iter().position(|byte| *byte == b' ') {
        Some(end) => value.split_at(end),
        None => (value, [].as_slice()),
    };
    let presented = presented.trim_ascii_start();
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(malformed("`Authorization` has another scheme; expected `Authorization: Bearer …`"));
    }
    if presented.is_empty() {
        return Err(malformed("nothing follows `Bearer`; expected a token or a key"));
    }
    if presented.len() > bytes_max {
        return Err(Failure::new(
            Code::TokenMalformed,
            format!("the token has {} bytes; expected at most {bytes_max}", presented.len()),
        ));
    }
    Ok(presented)
}

fn malformed(detail: &'static str) -> Failure {
    Failure::new(Code::TokenMalformed, detail)
}
