//! Tokens made by somebody else: each attack has its code, and no mutation gets through.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    CLIENT, EC, ED, NOW_S, Pair, RSA, SECRET, SHARED, authenticate, base64, bearer, claims, claims_with, jwks_file,
    knows_all, no_keys, settings,
};
use crate::auth::Authenticator;
use crate::config::Auth;
use crate::error::Code;

/// Fails with this code, and says nothing of the token.
#[track_caller]
fn check(authenticator: &Authenticator, token: &str, expected: Code) {
    let failure = authenticate(authenticator, token).unwrap_err();
    assert_eq!(failure.code, expected, "{failure}");
    for part in token.split('.').chain([token]).filter(|part| part.len() > 3) {
        assert!(!failure.detail.contains(part), "the detail repeats the token: {}", failure.detail);
    }
    assert_eq!(authenticator.verified.len(), 0, "a refused token is remembered");
}

fn unsigned(algorithm: &str) -> String {
    format!("{}.{}.", base64(json!({ "alg": algorithm }).to_string()), base64(claims().to_string()))
}

#[test]
fn an_unsigned_token_is_refused() {
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        check(&knows_all(), &unsigned(algorithm), Code::TokenAlgorithmRefused);
    }
    // Nor is a signed one with its signature cut off.
    for pair in [&SHARED, &*RSA, &*EC, &*ED] {
        let token = pair.token(Some(pair.algorithm()), &claims());
        check(&knows_all(), &token[..=token.rfind('.').unwrap()], Code::TokenSignatureInvalid);
    }
}

#[test]
fn a_public_key_is_never_a_secret() {
    let public_only =
        Authenticator::new(&Auth { jwks_file: Some(jwks_file().into_temp_path().keep().unwrap()), ..Auth::default() })
            .unwrap();
    for (pair, member) in [(&*RSA, "n"), (&*EC, "x"), (&*ED, "x")] {
        let jwk = pair.jwk(pair.algorithm());
        let public: &'static str = jwk[member].as_str().unwrap().to_owned().leak();
        let confused = Pair::Secret(public);
        check(&public_only, &confused.token(None, &claims()), Code::TokenAlgorithmRefused);
        check(&knows_all(), &confused.token(None, &claims()), Code::TokenSignatureInvalid);
        check(&knows_all(), &confused.token(Some(pair.algorithm()), &claims()), Code::TokenAlgorithmRefused);
    }
}

#[test]
fn a_key_verifies_by_its_own_algorithm_alone() {
    let header = |alg: &str, kid: &str| json!({ "alg": alg, "kid": kid }).to_string();
    let claims = claims().to_string();
    check(&knows_all(), &RSA.token_with_header(&header("ES256", "RS256"), &claims), Code::TokenAlgorithmRefused);
    check(&knows_all(), &EC.token_with_header(&header("EdDSA", "ES256"), &claims), Code::TokenAlgorithmRefused);
    check(&knows_all(), &RSA.token_with_header(&header("ES256", "ES256"), &claims), Code::TokenSignatureInvalid);
    for unsupported in ["HS384", "HS512", "RS512", "PS256", "ES384", "ES256K", "rs256"] {
        check(
            &knows_all(),
            &RSA.token_with_header(&header(unsupported, "RS256"), &claims),
            Code::TokenAlgorithmRefused,
        );
    }
}

#[test]
fn the_wrong_key_is_told_from_the_unknown_one() {
    let strangers = [
        Pair::Secret("another secret of 32 bytes or more"),
        Pair::Rsa(aws_lc_rs::signature::RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap()),
        Pair::Ec(
            aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING)
                .unwrap(),
        ),
        Pair::Ed(aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap()),
    ];
    for stranger in &strangers {
        check(&knows_all(), &stranger.token(Some(stranger.algorithm()), &claims()), Code::TokenSignatureInvalid);
        check(&knows_all(), &stranger.token(None, &claims()), Code::TokenSignatureInvalid);
        if stranger.algorithm() != "HS256" {
            check(&knows_all(), &stranger.token(Some("stranger"), &claims()), Code::KeyUnknown);
        }
    }
}

#[test]
fn a_key_brought_along_is_not_looked_at() {
    let own = Pair::Ed(aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap());
    let jwk = own.jwk("EdDSA");
    for extra in [json!({ "jwk": jwk }), json!({ "jku": "http://localhost:1/jwks.json", "x5u": "http://localhost:1" })]
    {
        let mut header = json!({ "alg": "EdDSA", "kid": "EdDSA" });
        header.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let token = own.token_with_header(&header.to_string(), &claims().to_string());
        check(&knows_all(), &token, Code::TokenSignatureInvalid);
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let header = r#"{"alg":"HS256"}"#;
    let good = SHARED.token(None, &claims());
    let twice = SHARED.token_with_header(r#"{"alg":"none","alg":"HS256"}"#, "{}");
    let critical = SHARED.token_with_header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, &claims().to_string());
    for token in [
        "abc",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        "rgk_short",
        "%00.%00.%00",
        "ey.ey.ey",
        &format!("{good}.{good}"),
        &format!("{good} {good}"),
        &format!("{good}\0"),
        &format!("{good}é"),
        &format!("{}=.e30.AA", base64(header)),
        &twice,
        &critical,
        &"a".repeat(8193),
    ] {
        check(&knows_all(), token, Code::TokenMalformed);
    }
    for authorization in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer\tabc", &good] {
        let answer = knows_all().authenticate(Some(authorization.as_bytes()), CLIENT, NOW_S, &no_keys());
        assert_eq!(answer.unwrap_err().code, Code::TokenMalformed, "`{authorization}`");
    }
}

#[test]
fn claims_that_cannot_be_trusted_are_refused() {
    let refused =
        |name, value| check(&knows_all(), &SHARED.token(None, &claims_with(name, value)), Code::TokenClaimsInvalid);
    for name in ["install_id", "role", "exp"] {
        refused(name, Value::Null);
        refused(name, json!({}));
        refused(name, json!([]));
        refused(name, json!(true));
        refused(name, json!(""));
    }
    for exp in [json!("1900000000"), json!(-1), json!(1e300), json!(u64::MAX), json!(i64::MIN), json!(NOW_S * 1000)] {
        refused("exp", exp.clone());
        refused("nbf", exp);
    }
    for sub in [json!(7), json!(""), json!("a\0b"), json!("x".repeat(513))] {
        refused("sub", sub.clone());
        refused("platform_user_id", sub.clone());
        refused("platform_user_name", sub);
    }
    refused("role", json!("Owner"));
    refused("surface", json!("desktop"));
    let raw = |claims: &str| SHARED.token_with_header(r#"{"alg":"HS256"}"#, claims);
    let twice = claims().to_string().replacen('{', r#"{"role":"owner","#, 1);
    let deep = raw(&format!(r#"{{"sub":{}{}}}"#, "[".repeat(999), "]".repeat(999)));
    for token in [deep, raw(&twice), raw("[]"), raw("null"), raw("{"), raw("\u{feff}{}"), raw("{}{}")] {
        check(&knows_all(), &token, Code::TokenClaimsInvalid);
    }
}

#[test]
fn without_signers_no_token_is_accepted() {
    let keys_only = Authenticator::new(&Auth::default()).unwrap();
    let failure = authenticate(&keys_only, &SHARED.token(None, &claims())).unwrap_err();
    insta::assert_snapshot!(failure, @"token_algorithm_refused: this gateway accepts no signed tokens; expected an api key `rgk_…`");
    let failure = authenticate(&Authenticator::new(&settings()).unwrap(), &RSA.token(None, &claims())).unwrap_err();
    insta::assert_snapshot!(failure, @"token_algorithm_refused: the token's algorithm is not accepted; expected one signed by HS256");
}

/// One edit of a token's text.
#[derive(Debug, Clone)]
enum Edit {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![
        4 => proptest::sample::select(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.".to_vec()),
        1 => 0x21_u8..0x7f,
    ];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), byte.clone()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        (index(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        index().prop_map(Edit::Remove),
        (index(), index()).prop_map(|(a, b)| Edit::Swap(a, b)),
        index().prop_map(Edit::Cut),
    ]
}

fn edited(token: &str, edits: &[Edit]) -> String {
    let mut bytes = token.as_bytes().to_vec();
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let length = bytes.len();
        match edit {
            Edit::Replace(at, byte) => bytes[at.index(length)] = *byte,
            Edit::Insert(at, byte) => bytes.insert(at.index(length), *byte),
            Edit::Remove(at) => drop(bytes.remove(at.index(length))),
            Edit::Swap(a, b) => bytes.swap(a.index(length), b.index(length)),
            Edit::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
    String::from_utf8(bytes).unwrap()
}

static GATEWAY: LazyLock<Authenticator> = LazyLock::new(knows_all);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_edited_token_authenticates(
        which in 0_usize..4,
        edits in proptest::collection::vec(edit(), 1..4),
    ) {
        static TOKENS: LazyLock<[String; 4]> =
            LazyLock::new(|| [&SHARED, &*RSA, &*EC, &*ED].map(|pair| pair.token(Some(pair.algorithm()), &claims())));
        let token = &TOKENS[which];
        // Remembered, so that the memory is under attack as well.
        authenticate(&GATEWAY, token).unwrap();
        let edited = edited(token, &edits);
        prop_assume!(edited != *token);
        prop_assert!(authenticate(&GATEWAY, &edited).is_err());
    }

    #[test]
    fn no_header_of_random_bytes_authenticates(bytes in proptest::collection::vec(any::<u8>(), 0..300), scheme: bool) {
        let authorization = if scheme { [b"Bearer ", bytes.as_slice()].concat() } else { bytes };
        prop_assert!(GATEWAY.authenticate(Some(&authorization), CLIENT, NOW_S, &no_keys()).is_err());
    }

    #[test]
    fn no_signed_json_makes_it_panic(header in "\\PC{0,60}", alg in "(HS256|none|RS256)", payload in "\\PC{0,60}") {
        for header in [header, json!({ "alg": alg }).to_string()] {
            let token = SHARED.token_with_header(&header, &payload);
            prop_assert!(GATEWAY.authenticate(Some(&bearer(&token)), CLIENT, NOW_S, &no_keys()).is_err());
        }
    }
}

#[test]
fn the_secret_is_not_in_any_message() {
    let short = Authenticator::new(&settings()).unwrap();
    let failure = authenticate(&short, &Pair::Secret("another secret of 32 bytes or more").token(None, &claims()));
    assert!(!format!("{:?}", failure.unwrap_err()).contains(SECRET));
}
