//! API keys and admin keys.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use rowgate_schema_dsl::definition::Role;
use uuid::Uuid;

use super::{CLIENT, INSTALL, NOW_S, bearer, settings};
use crate::auth::key::{hash, mint_admin_key, mint_key, verify_admin, verify_admin_configured};
use crate::auth::{ApiKey, Authenticator, Caller};
use crate::error::Code;

const KEY_ID: Uuid = Uuid::from_u128(7);

fn record(expires_at_s: Option<i64>) -> ApiKey {
    ApiKey { id: KEY_ID, install_id: INSTALL, role: Role::Editor, name: "the bot".into(), expires_at_s }
}

#[test]
fn a_key_is_its_holders_identity_for_its_install() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let (key, hash) = mint_key().unwrap();
    let keys = HashMap::from([(hash, record(None))]);
    let identity = authenticator.authenticate(Some(&bearer(&key)), CLIENT, NOW_S, &keys).unwrap();
    assert_eq!(
        (identity.install_id, identity.role, identity.caller),
        (Some(INSTALL), Role::Editor, Caller::Key(KEY_ID))
    );
    assert_eq!((identity.user_id.as_deref(), identity.expires_at_s), (None, i64::MAX));
    assert_eq!(identity.must_be_for(Uuid::nil()).unwrap_err().code, Code::TokenWrongInstall);
    // A key is revoked by leaving it out of the next snapshot, so it must not be remembered.
    let revoked = authenticator.authenticate(Some(&bearer(&key)), CLIENT, NOW_S, &HashMap::new()).unwrap_err();
    assert_eq!(revoked.code, Code::KeyUnknown);
}

#[test]
fn a_key_expires() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let (key, hash) = mint_key().unwrap();
    let keys = HashMap::from([(hash, record(Some(NOW_S)))]);
    authenticator.authenticate(Some(&bearer(&key)), CLIENT, NOW_S - 1, &keys).unwrap();
    let failure = authenticator.authenticate(Some(&bearer(&key)), CLIENT, NOW_S, &keys).unwrap_err();
    insta::assert_snapshot!(failure, @"token_expired: api key `the bot` expired at 2027-01-15T08:00:00Z; make a new one");
}

#[test]
fn minted_keys_have_the_promised_shape_and_differ() {
    let keys: HashSet<String> = (0..100).map(|_| mint_key().unwrap().0).collect();
    assert_eq!(keys.len(), 100);
    for key in keys {
        let random = key.strip_prefix("rgk_").unwrap();
        assert!(random.len() == 43 && random.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    }
    let (key, stored) = mint_key().unwrap();
    assert_eq!(stored, hash(key.as_bytes()));
}

#[test]
fn a_key_opens_its_own_listener_alone() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let (api, api_hash) = mint_key().unwrap();
    let (admin, admin_hash) = mint_admin_key().unwrap();
    // Both hashes stored on both sides: the prefix decides all the same.
    let api_keys = HashMap::from([(api_hash, record(None)), (admin_hash, record(None))]);
    let admin_keys = HashMap::from([(api_hash, "api"), (admin_hash, "admin")]);
    let failure = authenticator.authenticate(Some(&bearer(&admin)), CLIENT, NOW_S, &api_keys).unwrap_err();
    insta::assert_snapshot!(failure, @"key_unknown: an admin key calls no functions; expected a token for this install, or an api key `rgk_…`");
    assert_eq!(verify_admin(Some(&bearer(&admin)), &admin_keys).unwrap(), &"admin");
    assert_eq!(verify_admin(Some(&bearer(&api)), &admin_keys).unwrap_err().code, Code::TokenMalformed);
}

#[test]
fn the_configured_admin_key_is_the_only_one() {
    let (admin, stored) = mint_admin_key().unwrap();
    verify_admin_configured(Some(&bearer(&admin)), &stored).unwrap();
    let code = |authorization: Option<&[u8]>| verify_admin_configured(authorization, &stored).unwrap_err().code;
    assert_eq!(code(None), Code::TokenMissing);
    assert_eq!(code(Some(&bearer(&mint_admin_key().unwrap().0))), Code::KeyUnknown);
    assert_eq!(code(Some(admin.as_bytes())), Code::TokenMalformed);
    assert_eq!(code(Some(&bearer(&admin[..admin.len() - 1]))), Code::TokenMalformed);
    assert_eq!(code(Some(&bearer(&"x".repeat(10_000)))), Code::TokenMalformed);
}

proptest! {
    #[test]
    fn no_other_key_authenticates(at in 0_usize..47, byte in 0x21_u8..0x7f) {
        let authenticator = Authenticator::new(&settings()).unwrap();
        let (key, stored) = mint_key().unwrap();
        let keys = HashMap::from([(stored, record(None))]);
        let mut other = key.clone().into_bytes();
        other[at] = byte;
        prop_assume!(other != key.as_bytes());
        let other = String::from_utf8(other).unwrap();
        prop_assert!(authenticator.authenticate(Some(&bearer(&other)), CLIENT, NOW_S, &keys).is_err());
    }
}
