//! A gateway without sockets: a private throw-away Postgres, the load bench's bundle deployed to
//! it, 1,000 rows, and one worker on the calling thread's runtime.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rowgate::auth::token::{Claims, mint};
use rowgate::auth::{Authenticator, Identity};
use rowgate::config::{Config, Limits, Quota};
use rowgate::db::connect::{Connector, Purpose};
use rowgate::db::embedded::{Cluster, Durability, Options};
use rowgate::db::migrate::migrate;
use rowgate::db::parameter::Parameter;
use rowgate::deploy::apply::{Scans, Terms, apply};
use rowgate::deploy::notation::luau::{self, LuauFiles, Source};
use rowgate::gateway::{Call, Gateway, Worker};
use rowgate::http::Shared;
use rowgate::plan::argument::Given;
use rowgate::plan::statement::{Binding, Statement};
use rowgate::record::{self, Install};
use rowgate::registry::{Function, Snapshot, recall};
use rowgate::telemetry::Metrics;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// As in the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str = "a secret of the benches, long enough for HS256";
/// So that quotas are counted and never used up.
const PLENTY: Quota = Quota { per_minute: 1_000_000_000, burst: Some(1_000_000_000) };
const ROWS: usize = 1_000;

pub(crate) struct Bed {
    pub(crate) runtime: Runtime,
    pub(crate) shared: Arc<Shared>,
    pub(crate) install_id: Uuid,
    pub(crate) identity: Arc<Identity>,
    pub(crate) token: String,
    /// The id of a row.
    pub(crate) id: Uuid,
    /// Connections like the gateway's own lanes, for reads and for writes.
    reads: Client,
    writes: Client,
    _cluster: Cluster,
    _directory: tempfile::TempDir,
}

/// A call's statement and values, to be sent without the gateway.
pub(crate) struct Bare<'a> {
    client: &'a Client,
    prepared: tokio_postgres::Statement,
    statement: Arc<Statement>,
    given: Given,
    scope_key: Uuid,
}

impl Bed {
    pub(crate) fn new() -> Bed {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let options = Options {
            durability: Durability::ThrowAway,
            supervisor: Some(env!("CARGO_BIN_EXE_rowgate").into()),
            ..Options::new(directory.path().join("server"))
        };
        let cluster = runtime.block_on(Cluster::start(options)).unwrap();
        let mut config = Config::default();
        config.database.url = Some(cluster.connection_string());
        config.database.write_lanes = 2;
        config.auth.hs256_secret = Some(SECRET.to_owned());
        for layer in [&mut config.limits.caller, &mut config.limits.install, &mut config.limits.extension] {
            (layer.query_rows, layer.write_rows, layer.query) = (PLENTY, PLENTY, PLENTY);
        }
        config.script.executable = Some(env!("CARGO_BIN_EXE_rowgate").into());
        config.script.calls_per_worker_max = u32::MAX;
        let connector = Connector::new(&config.database).unwrap();
        let client = |purpose| {
            let address = connector.address(purpose);
            runtime.block_on(async move {
                let (client, connection) = address.connect(NoTls).await.unwrap();
                tokio::spawn(connection);
                client
            })
        };
        let install_id = Uuid::now_v7();
        let (reads, writes) = (client(Purpose::Read), client(Purpose::Write));
        let snapshot = runtime.block_on(deploy(client(Purpose::Own), install_id, &config.limits));
        let authenticator = Authenticator::new(&config.auth).unwrap();
        let gateway =
            Arc::new(Gateway::new(config, authenticator, Metrics::new(&Default::default()).unwrap()).unwrap());
        gateway.swap(snapshot);
        let worker = runtime.block_on(async {
            let worker = Worker::open(&connector, &gateway);
            while worker.reads().open_count() + worker.writes().open_count() < 3 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            worker
        });
        let now_s = UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let claims = Claims::new(install_id, Role::Owner, Some("bench".to_owned()));
        let token = mint(SECRET.as_bytes(), &claims, 86_400, now_s).unwrap();
        let header = format!("Bearer {token}");
        let nowhere = std::net::Ipv4Addr::LOCALHOST.into();
        let keys = &gateway.snapshot().keys;
        let identity = gateway.authenticator.authenticate(Some(header.as_bytes()), nowhere, now_s, keys).unwrap();
        let shared = Arc::new(Shared { gateway, worker });
        let mut bed = Bed {
            runtime,
            shared,
            install_id,
            identity,
            token,
            id: Uuid::nil(),
            reads,
            writes,
            _cluster: cluster,
            _directory: directory,
        };
        for number in 0..ROWS {
            let category = format!("c{:02}", number % 20);
            let item = json!({ "category": category, "title": format!("item {number}"), "score": number });
            let row: Value = serde_json::from_slice(&bed.answer("addItem", &item.to_string())).unwrap();
            bed.id = row["id"].as_str().unwrap().parse().unwrap();
        }
        bed
    }

    pub(crate) async fn call(&self, function: &str, arguments: &str) -> Vec<u8> {
        let (install_id, identity) = (self.install_id, &self.identity);
        let call = Call::new(install_id, function, identity, arguments.as_bytes());
        self.shared.gateway.call(&self.shared.worker, call).await.result.unwrap()
    }

    pub(crate) fn answer(&self, function: &str, arguments: &str) -> Vec<u8> {
        self.runtime.block_on(self.call(function, arguments))
    }

    pub(crate) fn function(&self, name: &str) -> Arc<Function> {
        self.shared.gateway.snapshot().installs[&self.install_id].extension.functions[name].clone()
    }

    pub(crate) fn bare(&self, function: &str, arguments: &str) -> Bare<'_> {
        let function = self.function(function);
        let client = if function.plan.writes { &self.writes } else { &self.reads };
        let given = function.plan.arguments.parse(arguments.as_bytes(), 64).unwrap();
        let statement = function.plan.statement(&given).unwrap().clone();
        let prepared = self.runtime.block_on(client.prepare_typed(&statement.sql, &statement.types)).unwrap();
        Bare { client, prepared, statement, given, scope_key: self.install_id }
    }
}

impl Bare<'_> {
    pub(crate) async fn query(&self) -> Vec<tokio_postgres::Row> {
        let values: Vec<Parameter<'_>> = self.statement.bindings.iter().map(|binding| self.value(binding)).collect();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.client.query(&self.prepared, &values).await.unwrap()
    }

    fn value<'a>(&'a self, binding: &'a Binding) -> Parameter<'a> {
        match binding {
            Binding::Scope => Parameter::Uuid(self.scope_key),
            Binding::NewId => Parameter::Uuid(Uuid::now_v7()),
            Binding::Argument(place) => self.given.get(*place).map_or(Parameter::Null, Parameter::Typed),
            Binding::ArgumentOr(place, default) => Parameter::Typed(self.given.get(*place).unwrap_or(default)),
            Binding::Pattern { .. } | Binding::Element { .. } => unreachable!("no case looks for parts"),
            Binding::RowIds | Binding::Rows { .. } | Binding::RowsGiven(_) | Binding::RowIdsGiven(_) => {
                panic!("no case writes many rows")
            }
            Binding::Given(place) => Parameter::Bool(self.given.has(*place)),
            Binding::Literal(value) => Parameter::Typed(value),
            Binding::Identity { .. } => panic!("the bench's functions ask nothing of the caller"),
            Binding::Cursor(_) | Binding::PageRows | Binding::Version(_) | Binding::Row { .. } => {
                panic!("pages are measured through the gateway")
            }
        }
    }
}

/// Deploys the load bench's bundle with one install.
async fn deploy(mut client: Client, install_id: Uuid, limits: &Limits) -> Snapshot {
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/bundle");
    let file = |name: &str| std::fs::read_to_string(bundle.join(name)).unwrap();
    let source = |name: &str| Some(Source { name: name.to_owned(), text: file(name) });
    let (schema, functions) = (source("server/schema.luau"), source("server/functions.luau"));
    let notation = luau::read(&LuauFiles { schema, functions, modules: Vec::new() });
    let extension: Value = serde_json::from_str(&file("extension.json")).unwrap();
    let document = json!({
        "rowgate": 1, "extension": extension, "tables": notation.tables, "functions": notation.functions,
        "handlers": notation.handlers, "sources": notation.sources,
    });
    let (definition, diagnostics) = read(&document);
    assert!(diagnostics.is_empty() && notation.diagnostics.is_empty());
    let model = recall(&document).unwrap();
    migrate(&client).await.unwrap();
    let terms = Terms { scans: Scans::Uncertified, ..Terms::default() };
    apply(&mut client, &definition, &model, recall, &terms).await.unwrap();
    let install = Install {
        id: install_id,
        extension_id: definition.extension.id,
        account_id: Uuid::now_v7(),
        overlay_id: None,
        disabled: false,
    };
    record::insert_install(&client, &install).await.unwrap();
    let records = record::load_all(&client).await.unwrap();
    let snapshot = Snapshot::build(records, &Snapshot::default(), limits, &Metrics::new(&Default::default()).unwrap());
    assert!(snapshot.installs.contains_key(&install_id));
    snapshot
}
