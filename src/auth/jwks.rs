//! A JWKS document (RFC 7517) to the keys that may sign tokens.
//!
//! A key's algorithm follows from its kind alone: RSA is RS256, P-256 is ES256, Ed25519 is EdDSA.
//! Keys for anything else are passed over, for providers publish those too; so are symmetric keys,
//! which have no place in a document that is read by many.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

pub(crate) const DOCUMENT_BYTES_MAX: usize = 256 << 10;
const KEYS_MAX: usize = 64;
/// What aws-lc verifies with: 2048 to 8192 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// The algorithms a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
    EdDsa,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 4] = [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

    /// The algorithm of this name in a token or a JWKS document; RFC 9864 renames EdDSA over the
    /// one curve we know to Ed25519.
    pub(crate) fn named(name: &str) -> Option<Algorithm> {
        match name {
            "Ed25519" => Some(Algorithm::EdDsa),
            _ => Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name),
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Hs256 => "HS256",
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    pub(crate) const fn of_library(self) -> jsonwebtoken::Algorithm {
        match self {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

/// A public key that may sign tokens, with the one algorithm it does so by.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) key_id: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) verifying: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Entry>,
}

/// The members of a public key that matter here; private ones are not even read.
#[derive(Deserialize)]
struct Entry {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a document, in its order; an error when it is none, or holds no such key.
pub(crate) fn read(document: &[u8]) -> Result<Vec<Signer>, String> {
    if document.len() > DOCUMENT_BYTES_MAX {
        return Err(format!("a JWKS document of over {DOCUMENT_BYTES_MAX} bytes"));
    }
    let document: Document =
        serde_json::from_slice(document).map_err(|error| format!("not a JWKS document: {error}"))?;
    if document.keys.len() > KEYS_MAX {
        return Err(format!("a JWKS document of over {KEYS_MAX} keys"));
    }
    let signers: Vec<Signer> = document.keys.iter().filter_map(signer).collect();
    if signers.is_empty() {
        return Err("a JWKS document without a key for signatures by RS256, ES256 or EdDSA".to_owned());
    }
    Ok(signers)
}

fn signer(entry: &Entry) -> Option<Signer> {
    let signs = entry.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
        && entry.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !signs {
        return None;
    }
    let (algorithm, verifying) = match (entry.kty.as_str(), entry.crv.as_deref()) {
        ("RSA", _) => {
            let (modulus, exponent) = (bytes(entry.n.as_ref())?, bytes(entry.e.as_ref())?);
            let modulus_bytes = modulus.iter().skip_while(|byte| **byte == 0).count();
            if !RSA_MODULUS_BYTES.contains(&modulus_bytes) {
                return None;
            }
            (Algorithm::Rs256, DecodingKey::from_rsa_raw_components(&modulus, &exponent))
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes(entry.x.as_ref())?, bytes(entry.y.as_ref())?);
            if x.len() != 32 || y.len() != 32 {
                return None;
            }
            // SEC 1, 2.3.3: an uncompressed point is 4, x, y.
            (Algorithm::Es256, DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat()))
        }
        ("OKP", Some("Ed25519")) => {
            let x = bytes(entry.x.as_ref())?;
            if x.len() != 32 {
                return None;
            }
            (Algorithm::EdDsa, DecodingKey::from_ed_der(&x))
        }
        _ => return None,
    };
    let says_so = entry.alg.as_deref().is_none_or(|name| Algorithm::named(name) == Some(algorithm));
    says_so.then(|| Signer { key_id: entry.kid.clone(), algorithm, verifying })
}

fn bytes(base64url: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(base64url?).ok()
}
