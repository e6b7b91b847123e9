//! API keys `rgk_…` and admin keys `rga_…`: 256 bits from the operating system, as 43 characters
//! of base64url.
//!
//! Only the SHA-256 of a key's whole text is stored. A plain hash is enough, for there is nothing
//! to guess in 256 random bits, and a map keyed by it tells nothing by its timing: who times the
//! lookup learns about a hash they cannot steer.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use rowgate_schema_dsl::definition::Role;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::auth::authorization::bearer;
use crate::auth::identity::{Caller, Identity};
use crate::auth::token::at;
use crate::error::{Code, Failure};

pub(crate) const API_PREFIX: &str = "rgk_";
pub(crate) const ADMIN_PREFIX: &str = "rga_";
const RANDOM_CHARS: usize = 43;
const ADMIN_BYTES_MAX: usize = 128;

/// The record of an API key; the key itself is known to its holder alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: Uuid,
    pub install_id: Uuid,
    pub role: Role,
    /// What the owner calls it; named to its holder when it has expired.
    pub name: Arc<str>,
    pub expires_at_s: Option<i64>,
}

/// A new API key: its text, shown once, and the hash to store.
pub fn mint_key() -> Result<(String, [u8; 32]), Failure> {
    mint(API_PREFIX)
}

/// A new admin key: its text, shown once, and the hash to store.
pub fn mint_admin_key() -> Result<(String, [u8; 32]), Failure> {
    mint(ADMIN_PREFIX)
}

/// SHA-256 of a key's whole text, prefix included: what is stored, and what is looked up.
pub fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// The record of the admin key in `Authorization`, looked up by its hash.
pub fn verify_admin<'a, T>(
    authorization: Option<&[u8]>,
    admin_keys: &'a HashMap<[u8; 32], T>,
) -> Result<&'a T, Failure> {
    admin_keys.get(&presented_admin(authorization)?).ok_or_else(admin_unknown)
}

/// Whether `Authorization` holds the one admin key whose hash is configured, in constant time.
pub fn verify_admin_configured(authorization: Option<&[u8]>, expected: &[u8; 32]) -> Result<(), Failure> {
    let presented = presented_admin(authorization)?;
    if bool::from(presented.ct_eq(expected)) { Ok(()) } else { Err(admin_unknown()) }
}

/// The identity of an API key's holder, good for the key's install alone.
pub(crate) fn verify(
    presented: &[u8],
    api_keys: &HashMap<[u8; 32], ApiKey>,
    now_s: i64,
) -> Result<Arc<Identity>, Failure> {
    must_be_shaped(presented, API_PREFIX)?;
    let key = api_keys.get(&hash(presented)).ok_or_else(|| {
        Failure::new(Code::KeyUnknown, "the api key is not known; it may have been revoked: make a new one")
    })?;
    if let Some(expires_at_s) = key.expires_at_s
        && now_s >= expires_at_s
    {
        return Err(Failure::new(
            Code::TokenExpired,
            format!("api key `{}` expired at {}; make a new one", key.name, at(expires_at_s)),
        ));
    }
    Ok(Arc::new(Identity {
        install_id: Some(key.install_id),
        role: key.role,
        user_id: None,
        surface: None,
        platform_user_id: None,
        platform_user_name: None,
        expires_at_s: key.expires_at_s.unwrap_or(i64::MAX),
        caller: Caller::Key(key.id),
    }))
}

fn mint(prefix: &str) -> Result<(String, [u8; 32]), Failure> {
    let mut bits = [0; 32];
    SysRng.try_fill_bytes(&mut bits).map_err(|error| {
        Failure::new(Code::Internal, "no key could be made")
            .with_log(format!("the operating system gave no random bytes: {error}"))
    })?;
    let key = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bits));
    let hash = hash(key.as_bytes());
    Ok((key, hash))
}

fn presented_admin(authorization: Option<&[u8]>) -> Result<[u8; 32], Failure> {
    let value = authorization.ok_or_else(|| {
        Failure::new(Code::TokenMissing, "the admin endpoints need `Authorization: Bearer rga_…` with an admin key")
    })?;
    let presented = bearer(value, ADMIN_BYTES_MAX)?;
    must_be_shaped(presented, ADMIN_PREFIX)?;
    Ok(hash(presented))
}

fn admin_unknown() -> Failure {
    Failure::new(Code::KeyUnknown, "the admin key is not known")
}

fn must_be_shaped(presented: &[u8], prefix: &str) -> Result<(), Failure> {
    let shaped = presented.strip_prefix(prefix.as_bytes()).is_some_and(|random| {
        random.len() == RANDOM_CHARS
            && random.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if shaped {
        return Ok(());
    }
    Err(Failure::new(
        Code::TokenMalformed,
        format!("expected a key of `{prefix}` and {RANDOM_CHARS} characters; it may have been cut while copying"),
    ))
}
