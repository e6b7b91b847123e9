//! Who may call what, over HTTP: tokens by every kind of signer, keys, roles, scopes, installs.

use aws_lc_rs::encoding::{AsBigEndian, EcPublicKeyUncompressedBin};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rowgate::auth::token::{Claims, mint};
use rowgate::record::{self, Install};
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hostile::notes;
use crate::support::gateway::{Answer, SECRET, TestGateway, answer, document};

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Pair {
    fn algorithm(&self) -> &'static str {
        match self {
            Pair::Rsa(_) => "RS256",
            Pair::Ec(_) => "ES256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key as an entry of a JWKS document, named after its algorithm.
    fn jwk(&self) -> Value {
        let kid = self.algorithm();
        match self {
            Pair::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
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

    fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": self.algorithm(), "kid": kid });
        let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
        let message = signed.as_bytes();
        let signature = match self {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
            Pair::Ec(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        };
        format!("{signed}.{}", base64(signature))
    }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now_s() -> i64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64
}

fn claims(install: Uuid, role: &str) -> Value {
    json!({ "install_id": install, "role": role, "sub": "user-1", "exp": now_s() + 600 })
}

async fn call_with(gateway: &TestGateway, install: Uuid, function: &str, arguments: Value, token: &str) -> Answer {
    let url = format!("http://{}/v1/extension-functions/{install}/{function}", gateway.server.address);
    answer(gateway.http.post(url).bearer_auth(token).json(&arguments)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_published_key_opens_what_its_tokens_say() {
    let generate = || {
        [
            Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
            Pair::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
            Pair::Ed(Ed25519KeyPair::generate().unwrap()),
        ]
    };
    let (known, strangers) = (generate(), generate());
    let file = tempfile::NamedTempFile::new().unwrap();
    let keys: Vec<Value> = known.iter().map(Pair::jwk).collect();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    let gateway = TestGateway::with(&notes(), |config| {
        config.auth.hs256_secret = None;
        config.auth.jwks_file = Some(file.path().to_owned());
    })
    .await;
    let install = gateway.install.id;
    for (pair, stranger) in known.iter().zip(&strangers) {
        let algorithm = pair.algorithm();
        let call =
            async |token: &str| call_with(&gateway, install, "addNote", json!({ "text": algorithm }), token).await;
        let row = call(&pair.token(algorithm, &claims(install, "editor"))).await.ok();
        assert_eq!(row["text"], algorithm);
        let answer = call(&pair.token(algorithm, &claims(install, "viewer"))).await;
        assert_eq!(answer.problem(), (403, "access_denied".to_owned()), "{algorithm}");
        // A stranger's key under a known name, and under a name of its own.
        let answer = call(&stranger.token(algorithm, &claims(install, "owner"))).await;
        assert_eq!(answer.problem(), (401, "token_signature_invalid".to_owned()), "{algorithm}");
        let answer = call(&stranger.token("other", &claims(install, "owner"))).await;
        assert_eq!(answer.problem(), (401, "key_unknown".to_owned()), "{algorithm}");
    }
    // No secret is configured, so none signs.
    assert_eq!(gateway.call("countNotes", json!({})).await.problem(), (401, "token_algorithm_refused".to_owned()));
    let token = known[2].token("EdDSA", &claims(install, "owner"));
    assert_eq!(call_with(&gateway, install, "countNotes", json!({}), &token).await.ok(), 3);

    // A key that is published no longer opens nothing, also for tokens that were good a moment ago.
    let keys: Vec<Value> = strangers.iter().map(Pair::jwk).collect();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let status = loop {
        let status = call_with(&gateway, install, "countNotes", json!({}), &token).await.status;
        if status != 200 || std::time::Instant::now() > patience {
            break status;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(status, 401, "the replaced key still opens");
    let token = strangers[2].token("EdDSA", &claims(install, "owner"));
    assert_eq!(call_with(&gateway, install, "countNotes", json!({}), &token).await.ok(), 3);
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_prove_nothing_are_refused() {
    let gateway = TestGateway::new(&notes()).await;
    let install = gateway.install.id;
    let owner = Claims::new(install, Role::Owner, Some("user-1".to_owned()));
    let good = mint(SECRET.as_bytes(), &owner, 600, now_s()).unwrap();
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let none =
        |algorithm: &str, tail: &str| format!("{}.{body}{tail}", base64(json!({ "alg": algorithm }).to_string()));
    let raised = base64(claims(install, "owner").to_string());
    let (api_key, _) = rowgate::auth::key::mint_key().unwrap();
    let (admin_key, _) = rowgate::auth::key::mint_admin_key().unwrap();
    let cases = [
        ("expired", mint(SECRET.as_bytes(), &owner, 600, now_s() - 3_600).unwrap(), "token_expired"),
        (
            "wrong key",
            mint(b"another secret, long enough for HS256 too", &owner, 600, now_s()).unwrap(),
            "token_signature_invalid",
        ),
        ("no signature", format!("{head}.{body}."), "token_signature_invalid"),
        ("claims changed", format!("{head}.{raised}.{signature}"), "token_signature_invalid"),
        ("none", none("none", "."), "token_algorithm_refused"),
        ("None", none("None", "."), "token_algorithm_refused"),
        ("none, signed", none("none", &format!(".{signature}")), "token_algorithm_refused"),
        ("HS512", none("HS512", &format!(".{signature}")), "token_algorithm_refused"),
        ("two parts", none("none", ""), "token_malformed"),
        ("words", "let me in".to_owned(), "token_malformed"),
        ("dots", "...".to_owned(), "token_malformed"),
        ("too long", "a".repeat(9_000), "token_malformed"),
        ("api key nobody made", api_key, "key_unknown"),
        ("admin key nobody made", admin_key, "key_unknown"),
    ];
    for (what, token, code) in &cases {
        let answer = call_with(&gateway, install, "addNote", json!({}), token).await;
        assert_eq!(answer.problem(), (401, (*code).to_owned()), "{what}");
        assert!(answer.headers["www-authenticate"].starts_with("Bearer"), "{what}");
        assert!(!answer.text.contains(token.as_str()), "{what}: the token is told");
    }
    for (name, value, code) in [
        ("role", json!("god"), "token_claims_invalid"),
        ("role", json!(["owner"]), "token_claims_invalid"),
        ("install_id", json!("x"), "token_claims_invalid"),
        ("sub", json!("a\0b"), "token_claims_invalid"),
        ("exp", json!("tomorrow"), "token_claims_invalid"),
        ("exp", json!(now_s() * 1_000), "token_claims_invalid"),
        ("nbf", json!(now_s() + 3_600), "token_not_yet_valid"),
    ] {
        let mut claims = claims(install, "owner");
        claims[name] = value.clone();
        let signed = format!("{}.{}", base64(json!({ "alg": "HS256" }).to_string()), base64(claims.to_string()));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
        let token = format!("{signed}.{}", base64(aws_lc_rs::hmac::sign(&key, signed.as_bytes())));
        let answer = call_with(&gateway, install, "addNote", json!({}), &token).await;
        assert_eq!(answer.problem(), (401, code.to_owned()), "{name} {value}");
    }
    let send = async |authorization: &[String]| {
        let mut request = gateway.http.post(gateway.url("addNote"));
        for value in authorization {
            request = request.header("authorization", value);
        }
        answer(request).await
    };
    let bearer = format!("Bearer {good}");
    assert_eq!(send(&[]).await.problem(), (401, "token_missing".to_owned()));
    for authorization in [
        vec![String::new()],
        vec!["Bearer".to_owned()],
        vec!["Bearer ".to_owned()],
        vec![good.clone()],
        vec![format!("Basic {good}")],
        vec![format!("{bearer}, {bearer}")],
        vec![format!("{bearer} x")],
        vec![bearer.clone(), bearer.clone()],
        vec![bearer.clone(), "Basic x".to_owned()],
    ] {
        assert_eq!(send(&authorization).await.problem(), (401, "token_malformed".to_owned()), "{authorization:?}");
    }
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 0, "something was written");
    for authorization in [bearer.clone(), format!("bearer {good}"), format!("BEARER   {good}")] {
        send(&[authorization]).await.ok();
    }
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_may_call_what_asks_for_it_or_less() {
    let functions: serde_json::Map<String, Value> = Role::ALL
        .into_iter()
        .map(|access| {
            let function = json!({ "kind": "countRows", "table": "notes", "access": access.as_str() });
            (format!("for{}", access.as_str()), function)
        })
        .chain([
            ("readByDefault".to_owned(), json!({ "kind": "countRows", "table": "notes" })),
            (
                "writeByDefault".to_owned(),
                json!({ "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } }),
            ),
            (
                "signed".to_owned(),
                json!({
                    "kind": "insertRow", "table": "notes", "values": { "text": { "identity": "userId" } },
                    "access": "anonymous",
                }),
            ),
        ])
        .collect();
    let tables = json!({ "notes": { "columns": { "text": { "type": "string" } } } });
    let definition = document(tables, functions.into());
    let gateway = TestGateway::with(&definition, |config| config.auth.require_token = false).await;
    let check = async |role: Role, function: &str, allowed: bool| {
        let arguments = if function == "writeByDefault" { json!({ "text": "a" }) } else { json!({}) };
        let answer = gateway.call_as(role, function, arguments).await;
        if allowed {
            answer.ok();
        } else {
            assert_eq!(answer.problem(), (403, "access_denied".to_owned()), "{role:?} calls {function}");
        }
    };
    for role in Role::ALL {
        for access in Role::ALL {
            check(role, &format!("for{}", access.as_str()), role >= access).await;
        }
        check(role, "readByDefault", role >= Role::Viewer).await;
        check(role, "writeByDefault", role >= Role::Editor).await;
    }
    // Without any token the caller is anonymous, and nobody by name.
    let without = async |function: &str| answer(gateway.http.post(gateway.url(function))).await;
    without("foranonymous").await.ok();
    for function in ["forviewer", "foreditor", "forowner", "readByDefault"] {
        assert_eq!(without(function).await.problem(), (403, "access_denied".to_owned()), "{function}");
    }
    assert_eq!(without("signed").await.problem(), (403, "identity_required".to_owned()));
    assert_eq!(gateway.call_as(Role::Viewer, "signed", json!({})).await.ok()["text"], "user-viewer");
    gateway.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_shared_by_whom_the_storage_says() {
    let scopes = ["instance", "account", "overlay", "global"];
    let tables: serde_json::Map<String, Value> = scopes
        .iter()
        .map(|scope| ((*scope).to_owned(), json!({ "columns": { "text": { "type": "string" } }, "storage": scope })))
        .collect();
    let functions: serde_json::Map<String, Value> = scopes
        .iter()
        .flat_map(|scope| {
            [
                (
                    format!("add_{scope}"),
                    json!({
                        "kind": "insertRow", "table": scope, "values": { "text": { "arg": "text" } },
                    }),
                ),
                (format!("list_{scope}"), json!({ "kind": "queryRows", "table": scope, "limit": 100 })),
                (format!("get_{scope}"), json!({ "kind": "getRow", "table": scope, "id": { "arg": "id" } })),
                (format!("remove_{scope}"), json!({ "kind": "deleteRow", "table": scope, "id": { "arg": "id" } })),
            ]
        })
        .collect();
    let gateway = TestGateway::new(&document(tables.into(), functions.into())).await;
    let first = gateway.install.clone();
    let (account, overlay) = (first.account_id, first.overlay_id);
    let install = |account_id, overlay_id| Install { id: Uuid::now_v7(), account_id, overlay_id, ..first.clone() };
    let installs = [
        first.clone(),
        install(account, overlay),
        install(account, Some(Uuid::now_v7())),
        install(Uuid::now_v7(), overlay),
        install(Uuid::now_v7(), Some(Uuid::now_v7())),
        install(account, None),
    ];
    let client = gateway.database.client().await;
    for install in &installs[1..] {
        record::insert_install(&client, install).await.unwrap();
    }
    gateway.server.reload().await.unwrap();
    let call = async |install: &Install, function: String, arguments: Value| {
        let token = gateway.token_of(&Claims::new(install.id, Role::Owner, None));
        call_with(&gateway, install.id, &function, arguments, &token).await
    };
    let shares = |scope: &str, a: &Install, b: &Install| match scope {
        "instance" => a.id == b.id,
        "account" => a.account_id == b.account_id,
        "overlay" => a.overlay_id == b.overlay_id,
        _ => true,
    };
    for scope in scopes {
        let mut rows = Vec::new();
        for install in &installs {
            let answer = call(install, format!("add_{scope}"), json!({ "text": install.id })).await;
            if scope == "overlay" && install.overlay_id.is_none() {
                assert_eq!(answer.problem(), (409, "overlay_missing".to_owned()));
                let answer = call(install, format!("list_{scope}"), json!({})).await;
                assert_eq!(answer.problem(), (409, "overlay_missing".to_owned()));
            } else {
                rows.push((install, answer.ok()));
            }
        }
        for (reader, _) in &rows {
            let listed = call(reader, format!("list_{scope}"), json!({})).await.ok();
            let expected: Vec<&Value> =
                rows.iter().filter(|(writer, _)| shares(scope, reader, writer)).map(|(_, row)| row).collect();
            let listed: Vec<&Value> = listed.as_array().unwrap().iter().collect();
            assert_eq!(listed, expected, "{scope}");
            for (writer, row) in &rows {
                let answer = call(reader, format!("get_{scope}"), json!({ "id": row["id"] })).await;
                if shares(scope, reader, writer) {
                    assert_eq!(answer.ok(), *row);
                } else {
                    assert_eq!(answer.problem(), (404, "row_not_found".to_owned()), "{scope}");
                    let answer = call(reader, format!("remove_{scope}"), json!({ "id": row["id"] })).await;
                    assert_eq!(answer.problem(), (404, "row_not_found".to_owned()), "{scope}");
                }
            }
        }
        let text = format!("SELECT count(*) FROM {}", table(&client, scope).await);
        let count: i64 = client.query_one(&text, &[]).await.unwrap().get(0);
        assert_eq!(count as usize, rows.len(), "a stranger has removed a row of storage {scope}");
    }
    gateway.server.stop().await;
}

/// The qualified name of the extension's table `name`.
async fn table(client: &tokio_postgres::Client, name: &str) -> String {
    let find = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
                WHERE tablename = $1 AND schemaname NOT IN ('rowgate', 'pg_catalog', 'information_schema')";
    client.query_one(find, &[&name]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_useless_on_any_other_install() {
    let gateway = TestGateway::new(&notes()).await;
    let client = gateway.database.client().await;
    let same_account = Install { id: Uuid::now_v7(), ..gateway.install.clone() };
    let other_account = Install { id: Uuid::now_v7(), account_id: Uuid::now_v7(), ..gateway.install.clone() };
    let disabled = Install { id: Uuid::now_v7(), disabled: true, ..gateway.install.clone() };
    for install in [&same_account, &other_account, &disabled] {
        record::insert_install(&client, install).await.unwrap();
    }
    gateway.server.reload().await.unwrap();
    let token = gateway.token(Role::Owner);
    let mut answers = Vec::new();
    for install in [same_account.id, other_account.id, disabled.id, Uuid::now_v7(), Uuid::nil(), Uuid::max()] {
        for function in ["countNotes", "addNote", "nothing"] {
            let answer = call_with(&gateway, install, function, json!({}), &token).await;
            assert_eq!(answer.problem(), (403, "token_wrong_install".to_owned()), "{install} {function}");
            let mut problem = answer.json();
            problem["instance"].take();
            problem["request_id"].take();
            answers.push(problem);
        }
    }
    // Whether there is such an install, or such a function, cannot be told from the answer.
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    // A disabled install is none, also to its own token.
    let token = gateway.token_of(&Claims::new(disabled.id, Role::Owner, None));
    let answer = call_with(&gateway, disabled.id, "countNotes", json!({}), &token).await;
    assert_eq!(answer.problem(), (404, "install_unknown".to_owned()));
    record::set_install_disabled(&client, gateway.install.id, true).await.unwrap();
    gateway.server.reload().await.unwrap();
    assert_eq!(gateway.call("countNotes", json!({})).await.problem(), (404, "install_unknown".to_owned()));
    record::set_install_disabled(&client, gateway.install.id, false).await.unwrap();
    gateway.server.reload().await.unwrap();
    assert_eq!(gateway.call("countNotes", json!({})).await.ok(), 0);
    gateway.server.stop().await;
}
