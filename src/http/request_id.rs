//! `X-Request-Id`: the caller's where it can be used, otherwise our own.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};

pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// A longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The id under which a request is answered and logged.
#[derive(Debug, Clone)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The request's own id, if it is short and of visible ASCII characters; else a random one.
    pub fn of(headers: &HeaderMap) -> RequestId {
        let usable = |value: &&HeaderValue| {
            let bytes = value.as_bytes();
            (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        };
        match headers.get(HEADER).filter(usable) {
            Some(value) => RequestId(value.clone()),
            None => RequestId::random(),
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Puts the id on a response.
    pub fn on(&self, mut response: Response<Body>) -> Response<Body> {
        response.headers_mut().insert(HEADER, self.0.clone());
        response
    }

    fn random() -> RequestId {
        let mut text = [0u8; 32];
        let mut random = rand::random::<u128>();
        for digit in &mut text {
            *digit = b"0123456789abcdef".get((random & 15) as usize).copied().unwrap_or(b'0');
            random >>= 4;
        }
        RequestId(HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unnamed")))
    }
}
