//! What the tests stand on: a database of its own for each, on one throw-away server that all test
//! processes share.
//!
//! Whoever comes first starts the server; it stops and is removed when no test has held the users'
//! lock for a while. Databases are copied from a template that has the gateway's migrations, and
//! are not dropped: they go with the server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use rowgate::db::embedded::{self, Cluster, Durability, Lifetime, Options};
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, NoTls};

pub(crate) mod balancer;
pub(crate) mod cluster_in;
pub(crate) mod gateway;
pub(crate) mod load;
pub(crate) mod node;
pub(crate) mod outside;
pub(crate) mod proxy;
pub(crate) mod redis;
pub(crate) mod until;
pub(crate) mod wire;

/// The executable whose `main` supervises a server.
pub(crate) const ROWGATE: &str = env!("CARGO_BIN_EXE_rowgate");

/// Long enough for the pause between two test processes, short enough to leave nothing behind.
const IDLE_MS: u64 = 10_000;

/// A fresh database, migrated, nobody else's. The server stays at least as long as this value.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    socket_directory: PathBuf,
    _user: Option<File>,
}

impl TestDatabase {
    pub(crate) async fn new() -> TestDatabase {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shared-postgres");
        std::fs::create_dir_all(&base).unwrap();
        let user = locked(base.join("users.lock"), File::lock_shared).await;

        let template = template_name();
        let socket_directory = {
            let _starting = locked(base.join("start.lock"), File::lock).await;
            let socket_directory = running_server(&base).await;
            make_template(&socket_directory, &template).await;
            socket_directory
        };

        let name = format!("test_{}", uuid::Uuid::now_v7().simple());
        let superuser = connect(&socket_directory, embedded::SUPERUSER, "postgres").await.unwrap();
        superuser
            .batch_execute(&format!(
                "CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy OWNER {}",
                embedded::ROLE
            ))
            .await
            .unwrap();
        TestDatabase { name, socket_directory, _user: Some(user) }
    }

    /// That of a server of the test's own, which may be ended and come back.
    pub(crate) async fn of(cluster: &Cluster) -> TestDatabase {
        let socket_directory = cluster.socket_directory().to_path_buf();
        let database = TestDatabase { name: embedded::DATABASE.to_owned(), socket_directory, _user: None };
        migrate(&database.gateway_client().await).await;
        database
    }

    /// Where its server listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket_directory.join(".s.PGSQL.5432")
    }

    /// The gateway role's connection, as `DATABASE_URL` would have it.
    pub(crate) fn url(&self) -> String {
        embedded::url(&self.socket_directory, embedded::ROLE, &self.name)
    }

    /// The same in `key=value` form.
    pub(crate) fn connection_string(&self) -> String {
        embedded::connection_string(&self.socket_directory, embedded::ROLE, &self.name)
    }

    /// Looks into everything, and may change it: a superuser's session.
    pub(crate) async fn client(&self) -> Client {
        self.superuser().await
    }

    /// A session of the role the gateway logs in as, which is before every extension's wall.
    pub(crate) async fn gateway_client(&self) -> Client {
        connect(&self.socket_directory, embedded::ROLE, &self.name).await.unwrap()
    }

    pub(crate) async fn superuser(&self) -> Client {
        connect(&self.socket_directory, embedded::SUPERUSER, &self.name).await.unwrap()
    }
}

/// Brings the template's database to the state every test begins with.
async fn migrate(client: &Client) {
    rowgate::db::migrate::migrate(client).await.unwrap();
}

/// Names the template after the migrations, so that changed ones get a new template.
fn template_name() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut digest = Sha256::new();
    digest.update(include_str!("../../../src/db/rights.rs"));
    for file in files {
        let content = std::fs::read(&file).unwrap();
        digest.update(file.file_name().unwrap().as_encoded_bytes());
        digest.update(content.len().to_le_bytes());
        digest.update(content);
    }
    let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("template_{digest}")
}

/// The socket's folder of the shared server, which is started where it does not answer.
async fn running_server(base: &Path) -> PathBuf {
    let socket_file = base.join("socket-directory");
    if let Ok(text) = std::fs::read_to_string(&socket_file) {
        let socket_directory = PathBuf::from(text);
        if connect(&socket_directory, embedded::SUPERUSER, "postgres").await.is_ok() {
            return socket_directory;
        }
    }
    let cluster = Cluster::start(Options {
        durability: Durability::ThrowAway,
        lifetime: Lifetime::Users { lock_file: base.join("users.lock"), idle_ms: IDLE_MS },
        connections_max: 400,
        supervisor: Some(PathBuf::from(ROWGATE)),
        ..Options::new(base.join("server"))
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    let socket_directory = cluster.socket_directory().to_path_buf();
    std::fs::write(&socket_file, socket_directory.to_str().unwrap()).unwrap();
    socket_directory
}

/// Makes the template where it is missing; only a whole one gets its name.
async fn make_template(socket_directory: &Path, template: &str) {
    let superuser = connect(socket_directory, embedded::SUPERUSER, "postgres").await.unwrap();
    let found = superuser.query("SELECT FROM pg_database WHERE datname = $1", &[&template]).await.unwrap();
    if !found.is_empty() {
        return;
    }
    let unfinished = format!("{template}_new");
    superuser.batch_execute(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await.unwrap();
    superuser.batch_execute(&format!("CREATE DATABASE {unfinished} OWNER {}", embedded::ROLE)).await.unwrap();
    {
        let (client, connection) =
            tokio_postgres::connect(&embedded::connection_string(socket_directory, embedded::ROLE, &unfinished), NoTls)
                .await
                .unwrap();
        let driver = tokio::spawn(connection);
        migrate(&client).await;
        drop(client);
        driver.await.unwrap().unwrap();
        let superuser = connect(socket_directory, embedded::SUPERUSER, &unfinished).await.unwrap();
        rowgate::db::rights::prepare(&superuser, embedded::ROLE).await.unwrap();
    }
    // A template with a session still leaving cannot be renamed; the server ends it and waits for that.
    superuser
        .execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", &[&unfinished])
        .await
        .unwrap();
    superuser.batch_execute(&format!("ALTER DATABASE {unfinished} RENAME TO {template}")).await.unwrap();
    // What is written to disk once here is not written for every copy.
    superuser.batch_execute("CHECKPOINT").await.unwrap();
}

async fn connect(socket_directory: &Path, role: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
    let text = embedded::connection_string(socket_directory, role, database);
    let (client, connection) = tokio_postgres::connect(&text, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Waits on a thread of its own: the holder may be another task of this very runtime.
async fn locked(path: PathBuf, lock: fn(&File) -> std::io::Result<()>) -> File {
    let wait = move || {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        lock(&file).unwrap();
        file
    };
    tokio::task::spawn_blocking(wait).await.unwrap()
}
