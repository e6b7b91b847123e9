//! A whole gateway on a database of its own: a definition deployed, an install made, tokens for
//! each role, and calls over real HTTP.

use std::collections::HashMap;

use rowgate::auth::token::{Claims, mint};
use rowgate::config::{Config, LimitMode};
use rowgate::db::migrate::migrate;
use rowgate::deploy::apply::{Applied, ApplyError, Patience, Scans, Terms, apply};
use rowgate::record::{self, Install};
use rowgate::registry::recall;
use rowgate::server::Server;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ROWGATE, TestDatabase};

pub(crate) const SECRET: &str = "a secret of the tests, long enough for HS256";

/// A running gateway.
pub(crate) struct TestGateway {
    pub(crate) database: TestDatabase,
    pub(crate) server: Server,
    pub(crate) http: reqwest::Client,
    pub(crate) extension_id: Uuid,
    pub(crate) install: Install,
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The answer of a call that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// The status and code of a problem, whose form is checked.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String) {
        let problem = self.json();
        assert_eq!(
            self.headers.get("content-type").map(String::as_str),
            Some("application/problem+json"),
            "{}",
            self.text
        );
        assert_eq!(problem["status"], self.status, "{}", self.text);
        for member in ["type", "title", "detail", "instance", "code", "request_id"] {
            assert!(problem[member].is_string(), "{member} is missing in {}", self.text);
        }
        assert_eq!(self.headers.get("x-request-id").map(String::as_str), problem["request_id"].as_str());
        (self.status, problem["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// The settings tests begin with: no rate limits, free ports, two workers.
pub(crate) fn config(database: &TestDatabase) -> Config {
    let mut config = Config::default();
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.admin.listen = ([127, 0, 0, 1], 0).into();
    config.http.workers = 2;
    config.database.url = Some(database.connection_string());
    config.database.write_lanes = 2;
    config.database.pool_connections_max = 2;
    config.auth.hs256_secret = Some(SECRET.to_owned());
    config.limits.mode = LimitMode::Off;
    config.script.executable = Some(ROWGATE.into());
    config
}

/// Deploys the definition `document` to `database`.
pub(crate) async fn deploy(database: &TestDatabase, document: &Value) -> Result<Applied, ApplyError> {
    let (definition, diagnostics) = read(document);
    assert_eq!(diagnostics, Vec::new());
    let model = check(&definition).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"));
    let mut client = database.gateway_client().await;
    apply(&mut client, &definition, &model, recall, &terms(Patience::default())).await
}

/// Deploys the definition `document` to `database` and installs it there.
pub(crate) async fn install(database: &TestDatabase, document: &Value) -> Install {
    deploy(database, document).await.unwrap();
    let install = Install {
        id: Uuid::now_v7(),
        extension_id: document["extension"]["id"].as_str().unwrap().parse().unwrap(),
        account_id: Uuid::now_v7(),
        overlay_id: Some(Uuid::now_v7()),
        disabled: false,
    };
    record::insert_install(&database.gateway_client().await, &install).await.unwrap();
    install
}

/// A token of an owner of the install.
pub(crate) fn owner(install: &Install) -> String {
    let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let claims = Claims::new(install.id, Role::Owner, Some("user-owner".to_owned()));
    mint(SECRET.as_bytes(), &claims, 3_600, now_s).unwrap()
}

/// Those of the tests: with the wall, and without certificates, which have tests of their own.
pub(crate) fn terms(patience: Patience) -> Terms {
    Terms { patience, scans: Scans::Uncertified, ..Terms::default() }
}

impl TestGateway {
    /// Serves the definition `document` with the settings of [`config`].
    pub(crate) async fn new(document: &Value) -> TestGateway {
        TestGateway::with(document, |_| {}).await
    }

    /// Serves it with other settings.
    pub(crate) async fn with(document: &Value, settings: impl FnOnce(&mut Config)) -> TestGateway {
        let database = TestDatabase::new().await;
        migrate(&database.gateway_client().await).await.unwrap();
        let install = install(&database, document).await;
        let extension_id = install.extension_id;
        let mut config = config(&database);
        settings(&mut config);
        let server = Server::start(config).await.unwrap();
        TestGateway { database, server, http: reqwest::Client::new(), extension_id, install }
    }

    pub(crate) fn url(&self, function: &str) -> String {
        format!("http://{}/v1/extension-functions/{}/{function}", self.server.address, self.install.id)
    }

    /// A token for `role`, whose user is named after it; anonymous has none.
    pub(crate) fn token(&self, role: Role) -> String {
        let user = (role != Role::Anonymous).then(|| format!("user-{}", role.as_str()));
        self.token_of(&Claims::new(self.install.id, role, user))
    }

    pub(crate) fn token_of(&self, claims: &Claims) -> String {
        let now_s = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        mint(SECRET.as_bytes(), claims, 600, now_s).unwrap()
    }

    /// Calls `function` as an owner.
    pub(crate) async fn call(&self, function: &str, arguments: Value) -> Answer {
        self.call_as(Role::Owner, function, arguments).await
    }

    pub(crate) async fn call_as(&self, role: Role, function: &str, arguments: Value) -> Answer {
        let request = self.http.post(self.url(function)).bearer_auth(self.token(role)).json(&arguments);
        answer(request).await
    }

    /// Sends `body` as it is.
    pub(crate) async fn call_raw(&self, function: &str, body: impl Into<reqwest::Body>) -> Answer {
        let request = self.http.post(self.url(function)).bearer_auth(self.token(Role::Owner));
        answer(request.header("content-type", "application/json").body(body)).await
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// A definition document of the tests' own extension.
pub(crate) fn document(tables: Value, functions: Value) -> Value {
    json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
        "tables": tables,
        "functions": functions,
    })
}
