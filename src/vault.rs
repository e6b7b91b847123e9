//! Secrets: values that actions read by name, sealed wherever they rest.
//!
//! A value is sealed with AES-256-GCM under a key from the environment, which is in no table and no
//! file of the gateway's. Whose it is and what it is called are sealed with it, so a row that was
//! copied to another install or name opens no more. Each value has a random nonce.
//! The key's own mark is stored beside it, so that a wrong key is told from a damaged value.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::{self, Hidden};

/// Bytes of a secret's value.
pub const SECRET_BYTES_MAX: usize = 16 << 10;
const KEY_BYTES: usize = 32;

/// Whose a secret is, and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// The install, or the extension for all of its installs.
    pub owner: Uuid,
    pub name: &'a str,
}

/// A value at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Which key opens it.
    pub key_mark: Vec<u8>,
    /// The nonce, then the value with its tag.
    pub bytes: Vec<u8>,
}

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("the gateway has no key for secrets; set ROWGATE_SECRETS_KEY to 32 random bytes as base64")]
    NoKey,
    #[error("the value was sealed with a key that the gateway no longer has")]
    OtherKey,
    #[error("the value was damaged, or sealed for another owner or name")]
    Damaged,
    #[error("the system gives no random numbers")]
    NoRandom,
}

/// The keys. Those that are not the first only open.
#[derive(Default)]
pub struct Vault {
    keys: Vec<Key>,
}

struct Key {
    mark: [u8; 8],
    key: LessSafeKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault of {} keys", self.keys.len())
    }
}

impl Vault {
    /// No key is no error: there are no secrets then. The error names the setting and never its value.
    pub fn new(settings: &config::Secrets) -> Result<Vault, String> {
        let former = settings.former_key.as_ref().map(|key| ("ROWGATE_SECRETS_FORMER_KEY", key));
        if former.is_some() && settings.key.is_none() {
            return Err("ROWGATE_SECRETS_FORMER_KEY opens what ROWGATE_SECRETS_KEY no longer does; set both".to_owned());
        }
        let current = settings.key.as_ref().map(|key| ("ROWGATE_SECRETS_KEY", key));
        let keys = current.into_iter().chain(former).map(|(name, written)| {
            Key::read(written.reveal())
                .ok_or_else(|| format!("{name}: expected 32 bytes as base64; `openssl rand -base64 32` makes them"))
        });
        Ok(Vault { keys: keys.collect::<Result<_, _>>()? })
    }

    /// Whether it has the key with this mark.
    pub fn knows(&self, key_mark: &[u8]) -> bool {
        self.keys.iter().any(|key| key.mark == *key_mark)
    }

    pub fn has_key(&self) -> bool {
        !self.keys.is_empty()
    }

    pub fn seal(&self, label: Label<'_>, value: &Hidden) -> Result<Sealed, VaultError> {
        let key = self.keys.first().ok_or(VaultError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| VaultError::NoRandom)?;
        let mut sealed = value.reveal().as_bytes().to_vec();
        key.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(label.bound()), &mut sealed)
            .map_err(|_| VaultError::Damaged)?;
        let bytes = [nonce.as_slice(), &sealed].concat();
        Ok(Sealed { key_mark: key.mark.to_vec(), bytes })
    }

    pub fn open(&self, label: Label<'_>, sealed: &Sealed) -> Result<Hidden, VaultError> {
        if self.keys.is_empty() {
            return Err(VaultError::NoKey);
        }
        let key = self.keys.iter().find(|key| key.mark == *sealed.key_mark).ok_or(VaultError::OtherKey)?;
        let (nonce, rest) = sealed.bytes.split_first_chunk::<NONCE_LEN>().ok_or(VaultError::Damaged)?;
        let mut bytes = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let value =
            key.key.open_in_place(nonce, Aad::from(label.bound()), &mut bytes).map_err(|_| VaultError::Damaged)?;
        String::from_utf8(value.to_vec()).map(Hidden::new).map_err(|_| VaultError::Damaged)
    }

    /// Whether `sealed` would be sealed with another key now.
    pub fn is_former(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|key| key.mark != *sealed.key_mark)
    }
}

impl Key {
    fn read(written: &str) -> Option<Key> {
        let bytes: [u8; KEY_BYTES] = STANDARD.decode(written.trim()).ok()?.try_into().ok()?;
        let hash = Sha256::new().chain_update(b"rowgate secrets key").chain_update(bytes).finalize();
        let mark = *hash.first_chunk()?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
        Some(Key { mark, key: LessSafeKey::new(key) })
    }
}

impl Label<'_> {
    /// What is sealed with the value. The owner's length never varies, so no two labels are alike.
    fn bound(self) -> Vec<u8> {
        [b"rowgate secret".as_slice(), self.owner.as_bytes(), self.name.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(key: &str, former: Option<&str>) -> config::Secrets {
        config::Secrets {
            key: Some(Hidden::new(key.to_owned())),
            former_key: former.map(|key| Hidden::new(key.to_owned())),
        }
    }

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    const LABEL: Label<'static> = Label { owner: Uuid::from_u128(1), name: "API_KEY" };

    #[test]
    fn what_was_sealed_opens_under_its_label_alone() {
        let vault = Vault::new(&settings(&key(1), None)).unwrap();
        let value = Hidden::new("hush, ä".to_owned());
        let sealed = vault.seal(LABEL, &value).unwrap();
        assert_eq!(vault.open(LABEL, &sealed).unwrap(), value);
        assert_ne!(vault.seal(LABEL, &value).unwrap(), sealed, "each has a nonce of its own");
        assert!(!String::from_utf8_lossy(&sealed.bytes).contains("hush"));
        let other_owner = Label { owner: Uuid::from_u128(2), ..LABEL };
        let other_name = Label { name: "API_KEZ", ..LABEL };
        for label in [other_owner, other_name] {
            assert_eq!(vault.open(label, &sealed), Err(VaultError::Damaged));
        }
        for place in 0..sealed.bytes.len() {
            let mut damaged = sealed.clone();
            damaged.bytes[place] ^= 1;
            assert_eq!(vault.open(LABEL, &damaged), Err(VaultError::Damaged), "byte {place}");
        }
        let cut = Sealed { bytes: sealed.bytes[..11].to_vec(), ..sealed };
        assert_eq!(vault.open(LABEL, &cut), Err(VaultError::Damaged));
    }

    #[test]
    fn a_former_key_opens_and_a_forgotten_one_is_told() {
        let old = Vault::new(&settings(&key(1), None)).unwrap();
        let sealed = old.seal(LABEL, &Hidden::new("a".to_owned())).unwrap();
        let both = Vault::new(&settings(&key(2), Some(&key(1)))).unwrap();
        assert_eq!(both.open(LABEL, &sealed).unwrap().reveal(), "a");
        assert!(both.is_former(&sealed) && !both.is_former(&both.seal(LABEL, &Hidden::new("a".to_owned())).unwrap()));
        let new = Vault::new(&settings(&key(2), None)).unwrap();
        assert_eq!(new.open(LABEL, &sealed), Err(VaultError::OtherKey));
        assert_eq!(Vault::default().open(LABEL, &sealed), Err(VaultError::NoKey));
    }

    #[test]
    fn keys_are_32_bytes_and_never_shown() {
        for bad in ["", "short", "c2VjcmV0IHNlY3JldCBzZWNyZXQ=", &STANDARD.encode([1; 33]), "ä"] {
            let error = Vault::new(&settings(bad, None)).unwrap_err();
            assert!(error.starts_with("ROWGATE_SECRETS_KEY: expected 32 bytes"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad));
        }
        let settings = settings(&key(1), Some(&key(2)));
        let vault = Vault::new(&settings).unwrap();
        let shown = format!("{settings:?} {vault:?} {:?}", Hidden::new("hush".to_owned()));
        assert!(!shown.contains("hush") && !shown.contains(&key(1)) && !shown.contains(&key(2)), "{shown}");
    }
}
