//! Honest tokens: every algorithm, every claim, and what is remembered of them.

use std::net::IpAddr;

use proptest::prelude::*;
use rowgate_schema_dsl::definition::Role;
use serde_json::json;
use uuid::Uuid;

use super::{
    CLIENT, EC, ED, INSTALL, NOW_S, RSA, SECRET, SHARED, authenticate, authenticate_at, bearer, claims, claims_with,
    knows_all, no_keys, settings,
};
use crate::auth::token::{self, Claims};
use crate::auth::{Authenticator, Caller, Identity, Surface};
use crate::config::Auth;
use crate::error::Code;

#[test]
fn every_algorithm_authenticates_with_and_without_a_key_id() {
    let authenticator = knows_all();
    for pair in [&SHARED, &*RSA, &*EC, &*ED] {
        for kid in [None, Some(pair.algorithm())] {
            let identity = authenticate(&authenticator, &pair.token(kid, &claims())).unwrap();
            assert_eq!((identity.install_id, identity.role), (Some(INSTALL), Role::Viewer));
            assert_eq!(identity.user_id.as_deref(), Some("user-1"));
            assert_eq!(identity.expires_at_s, NOW_S + 3600);
        }
    }
}

#[test]
fn the_scheme_is_read_in_any_case() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let token = SHARED.token(None, &claims());
    for scheme in ["Bearer ", "bearer ", "BEARER   "] {
        let value = format!("{scheme}{token}");
        authenticator.authenticate(Some(value.as_bytes()), CLIENT, NOW_S, &no_keys()).unwrap();
    }
}

#[test]
fn issuer_and_audience_are_checked_where_configured() {
    let strict = Authenticator::new(&Auth {
        issuer: Some("https://issuer.example".to_owned()),
        audience: Some("rowgate".to_owned()),
        ..settings()
    })
    .unwrap();
    let detail = |name: &str, value| {
        let mut claims = claims();
        claims["iss"] = "https://issuer.example".into();
        claims["aud"] = json!(["other", "rowgate"]);
        claims[name] = value;
        authenticate(&strict, &SHARED.token(None, &claims)).map_err(|failure| failure.to_string())
    };
    detail("aud", json!("rowgate")).unwrap();
    detail("aud", json!(["other", "rowgate"])).unwrap();
    insta::assert_snapshot!(detail("aud", json!(["other"])).unwrap_err(), @"token_claims_invalid: claim `aud` does not name this gateway");
    insta::assert_snapshot!(detail("iss", json!("https://issuer.example/")).unwrap_err(), @"token_claims_invalid: claim `iss` is not the issuer this gateway trusts");
    let failure = authenticate(&strict, &SHARED.token(None, &claims())).unwrap_err();
    insta::assert_snapshot!(failure, @"token_claims_invalid: claim `iss` is not the issuer this gateway trusts; claim `aud` does not name this gateway");
}

#[test]
fn every_wrong_claim_is_named_at_once() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let token = SHARED.token(None, &json!({ "role": "admin", "sub": "", "surface": 3, "exp": NOW_S * 1000 }));
    let failure = authenticate(&authenticator, &token).unwrap_err();
    insta::assert_snapshot!(failure.to_string().replace("; ", ";\n"), @r"
    token_claims_invalid: claim `install_id` is missing;
    expected a UUID;
    claim `role` cannot be used;
    expected `anonymous`, `viewer`, `editor` or `owner`;
    claim `exp` cannot be used;
    expected seconds since 1970, until the year 9999;
    claim `sub` cannot be used;
    expected a string of 1 to 512 bytes without NUL;
    claim `surface` cannot be used;
    expected `editor`, `layer` or `interactive`
    ");
}

#[test]
fn expiry_and_begin_are_forgiving_by_the_leeway_alone() {
    let code = |claims: serde_json::Value, now_s| {
        let authenticator = Authenticator::new(&settings()).unwrap();
        authenticate_at(&authenticator, &SHARED.token(None, &claims), now_s).map_err(|failure| failure.code)
    };
    let leeway_s = 30;
    code(claims_with("exp", NOW_S.into()), NOW_S + leeway_s - 1).unwrap();
    assert_eq!(code(claims_with("exp", NOW_S.into()), NOW_S + leeway_s), Err(Code::TokenExpired));
    code(claims_with("nbf", NOW_S.into()), NOW_S - leeway_s).unwrap();
    assert_eq!(code(claims_with("nbf", NOW_S.into()), NOW_S - leeway_s - 1), Err(Code::TokenNotYetValid));
    code(claims_with("exp", json!(NOW_S as f64 + 0.5)), NOW_S).unwrap();
}

#[test]
fn an_expired_token_says_when() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let failure = authenticate_at(&authenticator, &SHARED.token(None, &claims()), NOW_S + 7200).unwrap_err();
    insta::assert_snapshot!(failure, @"token_expired: the token expired at 2027-01-15T09:00:00Z; it is now 2027-01-15T10:00:00Z: get a new one");
}

#[test]
fn a_remembered_token_expires_all_the_same() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let token = SHARED.token(None, &claims());
    authenticate(&authenticator, &token).unwrap();
    authenticate(&authenticator, &token).unwrap();
    assert_eq!(authenticator.verified.len(), 1);
    assert_eq!(authenticate_at(&authenticator, &token, NOW_S + 3630).unwrap_err().code, Code::TokenExpired);
    assert_eq!(authenticator.verified.len(), 0, "an expired token keeps its place");
}

#[test]
fn a_remembered_token_answers_the_same_identity() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let token = SHARED.token(None, &claims());
    let (first, second) =
        (authenticate(&authenticator, &token).unwrap(), authenticate(&authenticator, &token).unwrap());
    assert!(std::sync::Arc::ptr_eq(&first, &second), "the token was verified twice");
}

#[test]
fn remembered_tokens_are_bounded_in_number_and_bytes() {
    let authenticator = Authenticator::new(&Auth { cached_tokens_max: 40, ..settings() }).unwrap();
    for n in 0..400 {
        authenticate(&authenticator, &SHARED.token(None, &claims_with("sub", format!("user-{n}").into()))).unwrap();
        assert!(authenticator.verified.len() <= 40);
    }
    assert!(authenticator.verified.len() > 20, "hardly anything is remembered");
    for n in 0..400 {
        let long = claims_with("ignored", format!("{n}{}", "x".repeat(3000)).into());
        authenticate(&authenticator, &SHARED.token(None, &long)).unwrap();
    }
    let bytes: usize = authenticator.verified.iter().map(|(token, _)| token.len()).sum();
    assert!(bytes <= 40 * 1024, "{bytes} bytes");
}

#[test]
fn a_call_without_a_token_is_anonymous_where_that_is_allowed() {
    let authenticator = Authenticator::new(&Auth { require_token: false, ..settings() }).unwrap();
    let identity = authenticator.authenticate(None, CLIENT, NOW_S, &no_keys()).unwrap();
    assert_eq!(*identity, Identity::anonymous(CLIENT));
    identity.must_be_for(INSTALL).unwrap();
    // What is sent is judged, required or not.
    assert_eq!(authenticate(&authenticator, "abc").unwrap_err().code, Code::TokenMalformed);

    let strict = Authenticator::new(&settings()).unwrap();
    let failure = strict.authenticate(None, CLIENT, NOW_S, &no_keys()).unwrap_err();
    insta::assert_snapshot!(failure, @"token_missing: send `Authorization: Bearer …` with a token for this install, or with an api key");
}

#[test]
fn a_token_is_good_for_its_own_install_alone() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let identity = authenticate(&authenticator, &SHARED.token(None, &claims())).unwrap();
    identity.must_be_for(INSTALL).unwrap();
    assert_eq!(identity.must_be_for(Uuid::nil()).unwrap_err().code, Code::TokenWrongInstall);
}

#[test]
fn callers_are_told_apart_by_install_and_user_else_by_network() {
    let authenticator = Authenticator::new(&settings()).unwrap();
    let caller = |claims: &serde_json::Value, ip: &str| {
        let authorization = bearer(&SHARED.token(None, claims));
        let ip: IpAddr = ip.parse().unwrap();
        authenticator.authenticate(Some(&authorization), ip, NOW_S, &no_keys()).unwrap().caller
    };
    let named = caller(&claims(), "192.0.2.1");
    assert_eq!(named, caller(&claims_with("exp", (NOW_S + 9).into()), "192.0.2.2"), "another token, another caller");
    assert_ne!(named, caller(&claims_with("sub", "user-2".into()), "192.0.2.1"));
    assert_ne!(named, caller(&claims_with("install_id", Uuid::nil().to_string().into()), "192.0.2.1"));

    let nobody = claims_with("sub", serde_json::Value::Null);
    for (ip, network) in [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.2", "192.0.2.2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
    ] {
        assert_eq!(caller(&nobody, ip), Caller::Network(network.parse().unwrap()));
    }
}

/// Operators compare limits between nodes and versions, so the number must not move.
#[test]
fn a_callers_number_is_stable() {
    assert_eq!(Caller::user(INSTALL, "user-1"), Caller::User(334007917246078211568364808825246288231));
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[^\0]{1,128}")
}

proptest! {
    #[test]
    fn what_is_minted_is_what_is_read(
        install in any::<u128>(),
        role in proptest::sample::select(Role::ALL.to_vec()),
        user_id in text(),
        surface in proptest::option::of(proptest::sample::select(Surface::ALL.to_vec())),
        platform_user_id in text(),
        platform_user_name in text(),
        lifetime_s in 1_u32..1_000_000,
    ) {
        let claims = Claims {
            install_id: Uuid::from_u128(install), role, user_id, surface, platform_user_id, platform_user_name,
            issuer: None, audience: None,
        };
        let token = token::mint(SECRET.as_bytes(), &claims, lifetime_s, NOW_S).unwrap();
        let authenticator = Authenticator::new(&settings()).unwrap();
        let identity = authenticate(&authenticator, &token).unwrap();
        prop_assert_eq!(identity.install_id, Some(claims.install_id));
        prop_assert_eq!(identity.role, claims.role);
        prop_assert_eq!(identity.user_id.as_deref(), claims.user_id.as_deref());
        prop_assert_eq!(identity.surface, claims.surface);
        prop_assert_eq!(identity.platform_user_id.as_deref(), claims.platform_user_id.as_deref());
        prop_assert_eq!(identity.platform_user_name.as_deref(), claims.platform_user_name.as_deref());
        prop_assert_eq!(identity.expires_at_s, NOW_S + i64::from(lifetime_s));
    }
}
