//! Cursors: a place in an order as text that callers carry and cannot read into, alter or make.
//!
//! A cursor is base64url of a version, a direction, the row's values in Postgres's binary format and
//! a tag over them (HMAC-SHA256, 16 bytes of it). The tag is over the page's shape and the install
//! too, so a cursor is good for the function, the order and the install it was made for, and what was
//! once read from a row may be bound again without being looked at.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use uuid::Uuid;

const VERSION: u8 = 1;
/// Half of what HMAC-SHA256 makes: guessing one of 2^128 is out of reach, and cursors stay short.
const TAG_BYTES: usize = 16;
/// The version and the direction.
const HEAD_BYTES: usize = 2;

/// What cursors are sealed with; the same on every gateway of the database.
pub struct CursorKey(hmac::Key);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey")
    }
}

/// Where a cursor came from: what its tag is over, besides what is in it.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Of the function: equal for equal name, table and order.
    pub shape: &'a [u8; 32],
    pub install: Uuid,
}

/// A place that a cursor names, and the side of it that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    pub backward: bool,
    bytes: Vec<u8>,
}

impl CursorKey {
    pub fn new(secret: &[u8]) -> CursorKey {
        CursorKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// Appends the cursor as a JSON string; `values` are as [`push_value`] wrote them.
    pub fn write(&self, out: &mut Vec<u8>, origin: Origin<'_>, backward: bool, values: &[u8]) {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + values.len() + TAG_BYTES);
        bytes.extend_from_slice(&[VERSION, u8::from(backward)]);
        bytes.extend_from_slice(values);
        let tag = self.tag(origin, &bytes);
        bytes.extend_from_slice(tag.as_ref().get(..TAG_BYTES).unwrap_or_default());
        out.push(b'"');
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        let written = out.get_mut(start..).and_then(|room| URL_SAFE_NO_PAD.encode_slice(&bytes, room).ok());
        out.truncate(start + written.unwrap_or(0));
        out.push(b'"');
    }

    /// The place that `text` names; `None` where this key did not make it for `origin`.
    pub fn read(&self, text: &str, origin: Origin<'_>) -> Option<Place> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let sealed = bytes.len().checked_sub(TAG_BYTES)?;
        let (inner, tag) = bytes.split_at_checked(sealed)?;
        let expected = self.tag(origin, inner);
        if !bool::from(expected.as_ref().get(..TAG_BYTES)?.ct_eq(tag)) {
            return None;
        }
        let (VERSION, backward @ (0 | 1)) = (*inner.first()?, *inner.get(1)?) else { return None };
        bytes.truncate(sealed);
        Some(Place { backward: backward == 1, bytes })
    }

    fn tag(&self, origin: Origin<'_>, bytes: &[u8]) -> hmac::Tag {
        // Both are of a fixed length, so no two contexts are the same bytes.
        let mut context = hmac::Context::with_key(&self.0);
        context.update(origin.shape);
        context.update(origin.install.as_bytes());
        context.update(bytes);
        context.sign()
    }
}

impl Place {
    /// The row's values in the order's columns, `None` for null.
    pub fn values(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut rest = self.bytes.get(HEAD_BYTES..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
                rest = after;
                return Some(None);
            };
            let (value, after) = after.split_at_checked(length)?;
            rest = after;
            Some(Some(value))
        })
    }
}

/// Appends a value behind its length, -1 for null, as Postgres sends them.
pub fn push_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap_or(i32::MAX));
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
}
