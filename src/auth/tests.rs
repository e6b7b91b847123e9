//! What the tests of this room share: real key pairs, tokens signed by them, an authenticator.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attacks;
mod keys;
mod signers;
mod tokens;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::{AsBigEndian, EcPublicKeyUncompressedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::auth::{ApiKey, Authenticator, Identity};
use crate::config::Auth;
use crate::error::Failure;

const NOW_S: i64 = 1_800_000_000;
const INSTALL: Uuid = uuid!("0190a1b2-0000-7000-8000-000000000001");
const SECRET: &str = "a secret of the tests, 32 bytes or more";
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// Who signs, and by what.
enum Pair {
    Secret(&'static str),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

/// Making an RSA key takes a tenth of a second, so the tests share one of each kind.
static RSA: LazyLock<Pair> = LazyLock::new(|| Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()));
static EC: LazyLock<Pair> =
    LazyLock::new(|| Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));
static ED: LazyLock<Pair> = LazyLock::new(|| Pair::Ed(Ed25519KeyPair::generate().unwrap()));
static SHARED: Pair = Pair::Secret(SECRET);

impl Pair {
    fn algorithm(&self) -> &'static str {
        match self {
            Pair::Secret(_) => "HS256",
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Pair::Secret(secret) => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
                aws_lc_rs::hmac::sign(&key, message).as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key as an entry of a JWKS document.
    fn jwk(&self, kid: &str) -> Value {
        match self {
            Pair::Secret(secret) => json!({ "kty": "oct", "kid": kid, "alg": "HS256", "k": base64(secret) }),
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                json!({
                    "kty": "RSA", "kid": kid, "use": "sig",
                    "n": base64(n.big_endian_without_leading_zero()), "e": base64(e.big_endian_without_leading_zero()),
                })
            }
            Pair::Ec(pair) => {
                let point: EcPublicKeyUncompressedBin = pair.public_key().as_be_bytes().unwrap();
                let (x, y) = point.as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": base64(x), "y": base64(y) })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64(pair.public_key().as_ref()) })
            }
        }
    }

    fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm() });
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.token_with_header(&header.to_string(), &claims.to_string())
    }

    fn token_with_header(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(claims));
        let signature = base64(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Claims that are good for one hour.
fn claims() -> Value {
    json!({ "install_id": INSTALL, "role": "viewer", "sub": "user-1", "exp": NOW_S + 3600 })
}

/// The claims above, one of them replaced, or removed where `value` is null.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn document(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A JWKS file with a key of each kind, named after its algorithm.
fn jwks_file() -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(&[RSA.jwk("RS256"), EC.jwk("ES256"), ED.jwk("EdDSA")])).unwrap();
    file
}

fn settings() -> Auth {
    Auth { hs256_secret: Some(SECRET.to_owned()), ..Auth::default() }
}

/// Knows the secret and, from a file, a key of each kind.
fn knows_all() -> Authenticator {
    let file = jwks_file();
    Authenticator::new(&Auth { jwks_file: Some(file.path().to_owned()), ..settings() }).unwrap()
}

fn bearer(token: &str) -> Vec<u8> {
    [b"Bearer ", token.as_bytes()].concat()
}

fn authenticate(authenticator: &Authenticator, token: &str) -> Result<Arc<Identity>, Failure> {
    authenticate_at(authenticator, token, NOW_S)
}

fn authenticate_at(authenticator: &Authenticator, token: &str, now_s: i64) -> Result<Arc<Identity>, Failure> {
    authenticator.authenticate(Some(&bearer(token)), CLIENT, now_s, &no_keys())
}

fn no_keys() -> HashMap<[u8; 32], ApiKey> {
    HashMap::new()
}
