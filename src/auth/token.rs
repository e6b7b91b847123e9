//! JSON Web Tokens (RFC 7519, signed as in RFC 7515): the claims, verifying, minting.
//!
//! | claim | needed | what |
//! |---|---|---|
//! | `install_id` | yes | UUID of the only install the token is good for |
//! | `role` | yes | `anonymous`, `viewer`, `editor` or `owner` |
//! | `exp` | yes | seconds since 1970 |
//! | `sub` | no | the user's id; without it the caller is nobody in particular |
//! | `surface` | no | `editor`, `layer` or `interactive` |
//! | `platform_user_id`, `platform_user_name` | no | the user on the platform that shows the page |
//! | `nbf` | no | seconds since 1970 |
//! | `iss`, `aud` | where configured | as configured |
//!
//! Other claims are ignored. Texts are of 1 to 512 bytes without NUL, which Postgres cannot hold.
//! The algorithm is the signing key's; a token that names another one is refused.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, crypto};
use rowgate_schema_dsl::definition::Role;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::auth::identity::{Caller, Identity, Surface};
use crate::auth::jwks::Algorithm;
use crate::auth::signers::Signers;
use crate::error::{Code, Failure};

const CLAIM_BYTES_MAX: usize = 512;
/// The last second of the year 9999: what lies beyond is a time in milliseconds.
const TIME_MAX_S: i64 = 253_402_300_799;

/// What a token must say beside its claims on the caller.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) leeway_s: i64,
}

/// What a minted token says; see this file's header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    pub install_id: Uuid,
    pub role: Role,
    #[serde(rename = "sub", skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "surface_word")]
    pub surface: Option<Surface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_user_name: Option<String>,
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    #[serde(rename = "aud", skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

impl Claims {
    /// The claims of `role` on an install, by `user_id` where there is one, and nothing else.
    pub fn new(install_id: Uuid, role: Role, user_id: Option<String>) -> Claims {
        Claims {
            install_id,
            role,
            user_id,
            surface: None,
            platform_user_id: None,
            platform_user_name: None,
            issuer: None,
            audience: None,
        }
    }
}

/// A token signed by HS256 that is good for `lifetime_s` seconds from `now_s`.
pub fn mint(secret: &[u8], claims: &Claims, lifetime_s: u32, now_s: i64) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Minted<'a> {
        #[serde(flatten)]
        claims: &'a Claims,
        iat: i64,
        exp: i64,
    }
    let exp = now_s.saturating_add(i64::from(lifetime_s)).min(TIME_MAX_S);
    let minted = Minted { claims, iat: now_s, exp };
    let algorithm = Algorithm::Hs256.of_library();
    jsonwebtoken::encode(&Header::new(algorithm), &minted, &EncodingKey::from_secret(secret))
        .map_err(|error| Failure::new(Code::Internal, "no token could be made").with_log(error.to_string()))
}

/// The identity a token proves.
pub(crate) fn verify(
    token: &[u8],
    signers: &Signers,
    rules: &Rules,
    client_ip: IpAddr,
    now_s: i64,
) -> Result<Identity, Failure> {
    let token = std::str::from_utf8(token).ok().filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
    let token = token.ok_or_else(|| {
        malformed("the token has a space or a character beyond ASCII; expected one token and nothing else")
    })?;
    let parts = Parts::of(token)?;
    let header: JoseHeader = part(parts.header).ok_or_else(|| malformed("the token's header cannot be read"))?;
    if header.crit.is_some() {
        // RFC 7515, 4.1.11: who does not understand every one of them must refuse the token.
        return Err(malformed("the token's header has `crit`; no extension of tokens is supported"));
    }
    let signer = signers.choose(&header.alg, header.kid.as_deref())?;
    let verified =
        crypto::verify(parts.signature, parts.signed.as_bytes(), &signer.verifying, signer.algorithm.of_library());
    if !matches!(verified, Ok(true)) {
        return Err(Failure::new(
            Code::TokenSignatureInvalid,
            "the token's signature is not by a key of this gateway; it was changed, or made for another gateway",
        ));
    }
    let claims: RawClaims = part(parts.claims).ok_or_else(|| {
        Failure::new(Code::TokenClaimsInvalid, "the token's claims are not one JSON object that has each name once")
    })?;
    claims.into_identity(rules, client_ip, now_s)
}

/// Refuses what has expired; asked again at each use of a remembered token.
pub(crate) fn must_not_be_expired(expires_at_s: i64, rules: &Rules, now_s: i64) -> Result<(), Failure> {
    if now_s < expires_at_s.saturating_add(rules.leeway_s) {
        return Ok(());
    }
    Err(Failure::new(
        Code::TokenExpired,
        format!("the token expired at {}; it is now {}: get a new one", at(expires_at_s), at(now_s)),
    ))
}

/// A time as people write it, in UTC.
pub(crate) fn at(time_s: i64) -> String {
    match jiff::Timestamp::from_second(time_s) {
        Ok(time) => time.to_string(),
        Err(_) => format!("second {time_s} since 1970"),
    }
}

struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// Header and claims as they were signed.
    signed: &'a str,
}

impl Parts<'_> {
    fn of(token: &str) -> Result<Parts<'_>, Failure> {
        let split = token.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, claims) = signed.split_once('.')?;
            (!claims.contains('.')).then_some(Parts { header, claims, signature, signed })
        });
        split.ok_or_else(|| {
            malformed("expected a signed token of three parts with a dot between them, or a key that begins `rgk_`")
        })
    }
}

#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// The claims as sent: any JSON, so that every wrong one can be named at once.
#[derive(Deserialize)]
struct RawClaims {
    install_id: Option<Value>,
    role: Option<Value>,
    sub: Option<Value>,
    surface: Option<Value>,
    platform_user_id: Option<Value>,
    platform_user_name: Option<Value>,
    exp: Option<Value>,
    nbf: Option<Value>,
    iss: Option<Value>,
    aud: Option<Value>,
}

impl RawClaims {
    fn into_identity(self, rules: &Rules, client_ip: IpAddr, now_s: i64) -> Result<Identity, Failure> {
        let mut wrong = Vec::new();
        let install_id = needed("install_id", "a UUID", self.install_id.as_ref(), uuid, &mut wrong);
        let role = needed("role", "`anonymous`, `viewer`, `editor` or `owner`", self.role.as_ref(), role, &mut wrong);
        let exp = needed("exp", TIME, self.exp.as_ref(), time_s, &mut wrong);
        let nbf = optional("nbf", TIME, self.nbf.as_ref(), time_s, &mut wrong);
        let user_id = optional("sub", TEXT, self.sub.as_ref(), text, &mut wrong);
        let surface =
            optional("surface", "`editor`, `layer` or `interactive`", self.surface.as_ref(), surface, &mut wrong);
        let platform_user_id = optional("platform_user_id", TEXT, self.platform_user_id.as_ref(), text, &mut wrong);
        let platform_user_name =
            optional("platform_user_name", TEXT, self.platform_user_name.as_ref(), text, &mut wrong);
        if let Some(issuer) = &rules.issuer
            && self.iss.as_ref().and_then(Value::as_str) != Some(issuer)
        {
            wrong.push("claim `iss` is not the issuer this gateway trusts".to_owned());
        }
        if let Some(audience) = &rules.audience
            && !names(self.aud.as_ref(), audience)
        {
            wrong.push("claim `aud` does not name this gateway".to_owned());
        }
        let (Some(install_id), Some(role), Some(exp), true) = (install_id, role, exp, wrong.is_empty()) else {
            return Err(Failure::new(Code::TokenClaimsInvalid, wrong.join("; ")));
        };
        must_not_be_expired(exp, rules, now_s)?;
        if let Some(nbf) = nbf
            && now_s.saturating_add(rules.leeway_s) < nbf
        {
            return Err(Failure::new(
                Code::TokenNotYetValid,
                format!("the token is good from {}; it is now {}: check both clocks", at(nbf), at(now_s)),
            ));
        }
        let caller = match &user_id {
            Some(user_id) => Caller::user(install_id, user_id),
            None => Caller::network(client_ip),
        };
        Ok(Identity {
            install_id: Some(install_id),
            role,
            user_id,
            surface,
            platform_user_id,
            platform_user_name,
            expires_at_s: exp,
            caller,
        })
    }
}

const TEXT: &str = "a string of 1 to 512 bytes without NUL";
const TIME: &str = "seconds since 1970, until the year 9999";

fn needed<T>(
    name: &str,
    expected: &str,
    value: Option<&Value>,
    read: fn(&Value) -> Option<T>,
    wrong: &mut Vec<String>,
) -> Option<T> {
    if value.is_none() {
        wrong.push(format!("claim `{name}` is missing; expected {expected}"));
    }
    optional(name, expected, value, read, wrong)
}

fn optional<T>(
    name: &str,
    expected: &str,
    value: Option<&Value>,
    read: fn(&Value) -> Option<T>,
    wrong: &mut Vec<String>,
) -> Option<T> {
    let read = read(value?);
    if read.is_none() {
        wrong.push(format!("claim `{name}` cannot be used; expected {expected}"));
    }
    read
}

fn uuid(value: &Value) -> Option<Uuid> {
    Uuid::try_parse(value.as_str()?).ok()
}

fn role(value: &Value) -> Option<Role> {
    let word = value.as_str()?;
    Role::ALL.into_iter().find(|role| role.as_str() == word)
}

fn surface(value: &Value) -> Option<Surface> {
    let word = value.as_str()?;
    Surface::ALL.into_iter().find(|surface| surface.as_str() == word)
}

fn text(value: &Value) -> Option<Arc<str>> {
    let text = value.as_str()?;
    let fits = !text.is_empty() && text.len() <= CLAIM_BYTES_MAX && !text.contains('\0');
    fits.then(|| Arc::from(text))
}

/// RFC 7519 allows fractions of a second, which are dropped.
fn time_s(value: &Value) -> Option<i64> {
    let whole = match value.as_i64() {
        Some(whole) => whole,
        None => {
            let number = value.as_f64()?;
            // Both ends are far below 2^53, so the cast loses nothing.
            (0.0..=2e12).contains(&number).then_some(number as i64)?
        }
    };
    (0..=TIME_MAX_S).contains(&whole).then_some(whole)
}

fn names(aud: Option<&Value>, audience: &str) -> bool {
    match aud {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

fn part<T: serde::de::DeserializeOwned>(base64url: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(base64url).ok()?).ok()
}

fn surface_word<S: serde::Serializer>(surface: &Option<Surface>, serializer: S) -> Result<S::Ok, S::Error> {
    surface.map(Surface::as_str).serialize(serializer)
}

fn malformed(detail: &'static str) -> Failure {
    Failure::new(Code::TokenMalformed, detail)
}
