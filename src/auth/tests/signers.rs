//! Signers that change: a JWKS file that is written anew, a JWKS URL on a real server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::json;

use super::{
    CLIENT, EC, ED, NOW_S, Pair, RSA, SHARED, authenticate, bearer, claims, document, jwks_file, no_keys, settings,
};
use crate::auth::Authenticator;
use crate::config::Auth;
use crate::error::Code;

/// What the server answers, and how often it was asked.
struct Published {
    answer: Mutex<(StatusCode, String)>,
    fetches: AtomicUsize,
}

struct Gateway {
    authenticator: Arc<Authenticator>,
    published: Arc<Published>,
}

impl Gateway {
    /// Knows no secret and no file: only what the server publishes.
    async fn start(document: String, fetch_interval_min: Option<Duration>) -> Gateway {
        let published =
            Arc::new(Published { answer: Mutex::new((StatusCode::OK, document)), fetches: AtomicUsize::new(0) });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router = axum::Router::new()
            .route("/jwks.json", axum::routing::get(answer))
            .route("/elsewhere", axum::routing::get(|| async { document_of_all() }))
            .with_state(Arc::clone(&published));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut authenticator = Authenticator::new(&Auth { jwks_url: Some(url), ..Auth::default() }).unwrap();
        if let Some(interval) = fetch_interval_min {
            authenticator.source.fetch_interval_min = interval;
        }
        let authenticator = Arc::new(authenticator);
        let kept = Arc::clone(&authenticator);
        tokio::spawn(async move { kept.keep_signers_current().await });
        Gateway { authenticator, published }
    }

    fn publish(&self, status: StatusCode, document: String) {
        *self.published.answer.lock().unwrap() = (status, document);
    }

    fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }

    async fn code(&self, token: &str) -> Option<Code> {
        let authorization = bearer(token);
        let answer = self.authenticator.authenticate_or_fetch(Some(&authorization), CLIENT, NOW_S, &no_keys()).await;
        answer.err().map(|failure| failure.code)
    }
}

async fn answer(State(published): State<Arc<Published>>) -> impl IntoResponse {
    published.fetches.fetch_add(1, Ordering::SeqCst);
    let (status, body) = published.answer.lock().unwrap().clone();
    (status, [(header::LOCATION, "/elsewhere")], body)
}

fn document_of_all() -> String {
    document(&[RSA.jwk("rsa"), EC.jwk("ec"), ED.jwk("ed")])
}

#[tokio::test]
async fn the_first_token_waits_for_the_first_fetch() {
    let gateway = Gateway::start(document_of_all(), None).await;
    assert!(!gateway.authenticator.is_ready());
    assert_eq!(gateway.code(&RSA.token(Some("rsa"), &claims())).await, None);
    assert!(gateway.authenticator.is_ready());
    assert_eq!(gateway.code(&EC.token(Some("ec"), &claims())).await, None);
    assert_eq!(gateway.code(&ED.token(Some("ed"), &claims())).await, None);
    assert_eq!(gateway.fetches(), 1);
}

#[tokio::test]
async fn many_that_wait_share_one_fetch() {
    let gateway = Gateway::start(document_of_all(), None).await;
    let token = ED.token(Some("ed"), &claims());
    let codes = futures_util::future::join_all((0..60).map(|_| gateway.code(&token))).await;
    assert!(codes.iter().all(Option::is_none), "{codes:?}");
    assert_eq!(gateway.fetches(), 1);
}

#[tokio::test]
async fn unknown_key_ids_cause_no_flood_of_fetches() {
    let gateway = Gateway::start(document_of_all(), None).await;
    assert_eq!(gateway.code(&ED.token(Some("ed"), &claims())).await, None);
    for n in 0..200 {
        let token = ED.token(Some(&format!("made-up-{n}")), &claims());
        assert_eq!(gateway.code(&token).await, Some(Code::KeyUnknown));
    }
    // A fetch that had been asked for would have been waited for.
    assert_eq!(gateway.fetches(), 1);
}

#[tokio::test]
async fn a_rotated_key_is_fetched_and_the_old_one_forgotten() {
    let gateway = Gateway::start(document(&[ED.jwk("old")]), Some(Duration::ZERO)).await;
    let old = ED.token(Some("old"), &claims());
    assert_eq!(gateway.code(&old).await, None);
    let next = Pair::Ed(aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap());
    gateway.publish(StatusCode::OK, document(&[next.jwk("new")]));
    assert_eq!(gateway.code(&old).await, None, "still remembered");
    assert_eq!(gateway.code(&next.token(Some("new"), &claims())).await, None);
    assert_eq!(gateway.code(&old).await, Some(Code::KeyUnknown));
}

#[tokio::test]
async fn a_fetch_that_fails_leaves_the_last_good_keys() {
    let gateway = Gateway::start(document(&[ED.jwk("ed")]), Some(Duration::ZERO)).await;
    let good = ED.token(Some("ed"), &claims());
    assert_eq!(gateway.code(&good).await, None);
    let too_many = vec![RSA.jwk("rsa"); 65];
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, document_of_all()),
        (StatusCode::FOUND, document_of_all()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, document(&[])),
        (StatusCode::OK, document(&[SHARED.jwk("rsa")])),
        (StatusCode::OK, document(&too_many)),
        (StatusCode::OK, format!("{}{}", document_of_all(), " ".repeat(256 << 10))),
    ] {
        gateway.publish(status, body);
        let before = gateway.fetches();
        assert_eq!(gateway.code(&RSA.token(Some("rsa"), &claims())).await, Some(Code::KeyUnknown));
        assert_eq!(gateway.fetches(), before + 1);
        assert_eq!(gateway.code(&good).await, None);
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes() {
    let file = jwks_file();
    let authenticator = Authenticator::new(&Auth { jwks_file: Some(file.path().to_owned()), ..settings() }).unwrap();
    // The times are set, for two writes may fall into one tick of the file system's clock.
    let write = async |text: &str, age_s: u64| {
        std::fs::write(file.path(), text).unwrap();
        file.as_file().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + age_s)).unwrap();
        authenticator.source.look_at_file(file.path()).await;
    };
    let (first, second) = (ED.token(Some("EdDSA"), &claims()), EC.token(Some("second"), &claims()));
    authenticate(&authenticator, &first).unwrap();
    assert_eq!(authenticate(&authenticator, &second).unwrap_err().code, Code::KeyUnknown);

    write(&document(&[EC.jwk("second")]), 1).await;
    assert_eq!(authenticate(&authenticator, &first).unwrap_err().code, Code::KeyUnknown);
    authenticate(&authenticator, &second).unwrap();

    for (broken, age_s) in [("", 2), ("{", 3), (r#"{"keys":[]}"#, 4), (r#"{"keys":[{"kty":"EC"}]}"#, 5)] {
        write(broken, age_s).await;
        authenticate(&authenticator, &second).unwrap();
    }
    write(&document(&[ED.jwk("EdDSA")]), 6).await;
    authenticate(&authenticator, &first).unwrap();
    std::fs::remove_file(file.path()).unwrap();
    authenticator.source.look_at_file(file.path()).await;
    authenticate(&authenticator, &first).unwrap();
}

#[test]
fn keys_for_other_uses_are_passed_over() {
    let rsa_with = |name: &str, value: serde_json::Value| {
        let mut jwk = RSA.jwk("rsa");
        jwk[name] = value;
        jwk
    };
    for (jwk, usable) in [
        (RSA.jwk("rsa"), true),
        (rsa_with("alg", json!("RS256")), true),
        (rsa_with("x5c", json!(["unread"])), true),
        (rsa_with("key_ops", json!(["verify"])), true),
        (rsa_with("alg", json!("RS512")), false),
        (rsa_with("alg", json!("HS256")), false),
        (rsa_with("use", json!("enc")), false),
        (rsa_with("key_ops", json!(["encrypt"])), false),
        (rsa_with("n", json!("AQAB")), false),
        (rsa_with("n", json!("not base64!")), false),
        (json!({ "kty": "OKP", "crv": "X25519", "x": ED.jwk("ed")["x"] }), false),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": ED.jwk("ed")["x"], "alg": "Ed25519" }), true),
        (json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" }), false),
        (SHARED.jwk("secret"), false),
    ] {
        let read = crate::auth::jwks::read(document(std::slice::from_ref(&jwk)).as_bytes());
        assert_eq!(read.is_ok(), usable, "{jwk}");
    }
}

#[test]
fn two_keys_of_one_kind_need_to_be_named() {
    let other = Pair::Ed(aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document(&[ED.jwk("a"), other.jwk("b")])).unwrap();
    let authenticator = Authenticator::new(&Auth { jwks_file: Some(file.path().to_owned()), ..settings() }).unwrap();
    authenticate(&authenticator, &ED.token(Some("a"), &claims())).unwrap();
    authenticate(&authenticator, &other.token(Some("b"), &claims())).unwrap();
    let failure = authenticate(&authenticator, &ED.token(None, &claims())).unwrap_err();
    insta::assert_snapshot!(failure, @"key_unknown: the token does not name its signing key; expected `kid` in its header");
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let reason = |auth: Auth| Authenticator::new(&auth).err().unwrap().to_string();
    let with_url = |url: &str| Auth { jwks_url: Some(url.to_owned()), ..settings() };
    for url in
        ["http://issuer.example/jwks", "http://127.0.0.1.issuer.example/", "ftp://localhost/", "file:///etc/keys"]
    {
        assert_eq!(reason(with_url(url)), "auth.jwks_url: expected https; http is for loopback alone");
    }
    insta::assert_snapshot!(reason(with_url("issuer")), @"auth.jwks_url: relative URL without a base");
    insta::assert_snapshot!(reason(Auth { jwks_refresh_s: 0, ..with_url("https://issuer.example/") }), @"auth.jwks_refresh_s: expected at least 1");
    insta::assert_snapshot!(reason(Auth { token_bytes_max: 0, leeway_s: 601, ..settings() }), @r"
    auth.token_bytes_max: expected at least 1; tokens usually have 300 to 2000 bytes
    auth.leeway_s: expected at most 600; a token would outlive its expiry
    ");
    insta::assert_snapshot!(reason(Auth { jwks_file: Some("/nonexistent/jwks.json".into()), ..settings() }), @"auth.jwks_file: /nonexistent/jwks.json: No such file or directory (os error 2)");
    for url in ["http://localhost:1/", "http://127.9.9.9/", "http://[::1]:8/", "https://issuer.example/"] {
        Authenticator::new(&with_url(url)).unwrap();
    }
}
