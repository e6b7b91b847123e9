//! A private Postgres server for `rowgate dev`, tests and benches, from the binaries installed here.
//!
//! It listens on a unix socket in a folder that only its user (and root) may enter, and on no
//! network; it ends with the process that started it, even one that is killed. Data stay in the
//! directory the caller names, or, where root's server user cannot reach that, in one it can,
//! which [`Cluster::moved_from`] tells. The rest of the gateway only sees a connection string.

mod binaries;
mod error;
mod place;
mod server;
mod supervisor;

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, NoTls};

pub use crate::db::embedded::binaries::{Installation, MAJOR_VERSION_MIN, Places, find_binaries};
pub use crate::db::embedded::error::EmbeddedError;
pub use crate::db::embedded::place::ServerUser;
pub use crate::db::embedded::supervisor::supervise;

use crate::db::embedded::error::io_error;
use crate::db::embedded::supervisor::{Answer, Order};
use crate::db::rights;

/// The hidden first argument on which `main` calls [`supervise`].
pub const SUPERVISE_COMMAND: &str = "supervise-postgres";

/// The role the gateway logs in as: it may create roles and owns its database, and is no superuser.
pub const ROLE: &str = "rowgate";
/// The database the gateway uses.
pub const DATABASE: &str = "rowgate";
/// The role that owns the server.
pub const SUPERUSER: &str = "postgres";

const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);

/// Whether data must survive a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durability {
    /// As Postgres comes: what is committed is on disk.
    Durable,
    /// No waiting for the disk; every start begins empty, and the data are removed at the end.
    ThrowAway,
}

/// When the server ends by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifetime {
    /// With the process that started it, or when the [`Cluster`] is dropped.
    Caller,
    /// When no process has held a shared lock on the file for so long; who starts it holds one already.
    Users { lock_file: PathBuf, idle_ms: u64 },
}

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Made where it is missing. It is the server's alone.
    pub directory: PathBuf,
    pub durability: Durability,
    pub lifetime: Lifetime,
    pub connections_max: u32,
    /// `None` is `postgres.log` in the directory.
    pub log_file: Option<PathBuf>,
    /// An executable whose `main` calls [`supervise`]; `None` is the running one.
    pub supervisor: Option<PathBuf>,
    pub places: Places,
    /// From the server's start until it accepts connections; crash recovery is part of that.
    pub start_timeout_ms: u64,
}

impl Options {
    /// A durable server that ends with this process.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Options {
            directory: directory.into(),
            durability: Durability::Durable,
            lifetime: Lifetime::Caller,
            connections_max: 200,
            log_file: None,
            supervisor: None,
            places: Places::default(),
            start_timeout_ms: 60_000,
        }
    }
}

/// A running private server. Dropping it stops the server soon after; [`Cluster::stop`] waits for that.
#[derive(Debug)]
pub struct Cluster {
    started: Started,
    supervisor: Child,
    /// Open as long as the server shall run; `None` where the users' lock decides.
    lifeline: Option<ChildStdin>,
}

/// What a supervisor tells of the server it started.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Started {
    directory: PathBuf,
    moved_from: Option<PathBuf>,
    socket_directory: PathBuf,
    log_file: PathBuf,
    version: String,
    user: Option<ServerUser>,
    server_pid: u32,
    supervisor_pid: u32,
}

impl Cluster {
    /// Starts the server, made first where there is none, and creates the gateway's role and database.
    pub async fn start(options: Options) -> Result<Cluster, EmbeddedError> {
        let started = tokio::task::spawn_blocking(move || start_supervisor(&options)).await;
        let cluster = started.map_err(|error| EmbeddedError::SupervisorLost { reason: error.to_string() })??;
        tokio::time::timeout(PREPARE_TIMEOUT, prepare(&cluster))
            .await
            .map_err(|_| format!("it took longer than {} ms", PREPARE_TIMEOUT.as_millis()))
            .and_then(|prepared| prepared.map_err(|error| describe(&error)))
            .map_err(|reason| EmbeddedError::NotPrepared { reason })?;
        Ok(cluster)
    }

    /// The gateway's connection in libpq's `key=value` form, which tokio-postgres reads too.
    pub fn connection_string(&self) -> String {
        connection_string(&self.started.socket_directory, ROLE, DATABASE)
    }

    /// The same as a `postgres://` URL, for printing; psql and tokio-postgres take it.
    pub fn url(&self) -> String {
        url(&self.started.socket_directory, ROLE, DATABASE)
    }

    /// A connection of the server's owner to any of its databases.
    pub fn superuser_connection_string(&self, database: &str) -> String {
        connection_string(&self.started.socket_directory, SUPERUSER, database)
    }

    /// The folder in which the server really lives.
    pub fn directory(&self) -> &Path {
        &self.started.directory
    }

    /// The folder that was asked for, where the server's user could not reach it.
    pub fn moved_from(&self) -> Option<&Path> {
        self.started.moved_from.as_deref()
    }

    /// The private folder with the server's socket.
    pub fn socket_directory(&self) -> &Path {
        &self.started.socket_directory
    }

    pub fn log_file(&self) -> &Path {
        &self.started.log_file
    }

    /// Such as `15.14`.
    pub fn version(&self) -> &str {
        &self.started.version
    }

    /// The user root handed the server to; `None` when it runs as the caller.
    pub fn user(&self) -> Option<&ServerUser> {
        self.started.user.as_ref()
    }

    pub fn server_pid(&self) -> u32 {
        self.started.server_pid
    }

    pub fn supervisor_pid(&self) -> u32 {
        self.started.supervisor_pid
    }

    /// Stops the server and waits until it has ended. One that lives for its users stays.
    pub async fn stop(mut self) -> Result<(), EmbeddedError> {
        let Some(lifeline) = self.lifeline.take() else { return Ok(()) };
        drop(lifeline);
        let lost = |reason: String| EmbeddedError::SupervisorLost { reason };
        let waited = tokio::task::spawn_blocking(move || self.supervisor.wait()).await;
        let status = waited.map_err(|error| lost(error.to_string()))?.map_err(|error| lost(error.to_string()))?;
        if status.success() { Ok(()) } else { Err(lost(format!("it ended with {status}"))) }
    }
}

/// `key=value` form of a connection by socket; [`Cluster::connection_string`] is the gateway's own.
pub fn connection_string(socket_directory: &Path, role: &str, database: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    let host = socket_directory.to_string_lossy();
    format!("host={} user={} dbname={}", quoted(&host), quoted(role), quoted(database))
}

/// URL form of a connection by socket; [`Cluster::url`] is the gateway's own.
pub fn url(socket_directory: &Path, role: &str, database: &str) -> String {
    let encoded = |text: &str| -> String {
        text.bytes().fold(String::new(), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
            encoded
        })
    };
    let host = socket_directory.to_string_lossy();
    format!("postgres://{}@{}/{}", encoded(role), encoded(&host), encoded(database))
}

fn start_supervisor(options: &Options) -> Result<Cluster, EmbeddedError> {
    let installations = find_binaries(&options.places)?;
    let order = Order {
        caller_pid: std::process::id(),
        directory: absolute(&options.directory)?,
        durability: options.durability,
        lifetime: options.lifetime.clone(),
        connections_max: options.connections_max,
        log_file: options.log_file.as_deref().map(absolute).transpose()?,
        start_timeout_ms: options.start_timeout_ms,
        installations,
    };
    let lost = |reason: String| EmbeddedError::SupervisorLost { reason };
    let order = serde_json::to_string(&order).map_err(|error| lost(error.to_string()))?;
    let program = match &options.supervisor {
        Some(program) => program.clone(),
        None => std::env::current_exe().map_err(|error| lost(error.to_string()))?,
    };
    let stdin = match options.lifetime {
        Lifetime::Caller => Stdio::piped(),
        Lifetime::Users { .. } => Stdio::null(),
    };
    let mut supervisor = Command::new(&program)
        .arg(SUPERVISE_COMMAND)
        .arg(order)
        .current_dir("/")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // Ctrl-C at the terminal is for the gateway alone, which drains before its database goes.
        .process_group(0)
        .spawn()
        .map_err(|error| io_error("run", &program, &error))?;
    let lifeline = supervisor.stdin.take();
    let mut line = String::new();
    if let Some(stdout) = supervisor.stdout.take() {
        BufReader::new(stdout).read_line(&mut line).map_err(|error| lost(error.to_string()))?;
    }
    match serde_json::from_str::<Answer>(&line) {
        Ok(Ok(started)) => Ok(Cluster { started, supervisor, lifeline }),
        Ok(Err(error)) => {
            // It has said its last word; waiting leaves no dead process behind.
            let _ = supervisor.wait();
            Err(error)
        }
        Err(_) => {
            drop(lifeline);
            let status = supervisor.wait().map_err(|error| lost(error.to_string()))?;
            Err(lost(format!("{} ended with {status}", program.display())))
        }
    }
}

/// Absolute and UTF-8, as the supervisor's argument and the connection string need it.
fn absolute(path: &Path) -> Result<PathBuf, EmbeddedError> {
    let path = std::path::absolute(path).map_err(|error| io_error("read", path, &error))?;
    if path.to_str().is_none() {
        return Err(EmbeddedError::PathNotUtf8 { path: PathBuf::from(path.to_string_lossy().into_owned()) });
    }
    Ok(path)
}

/// Creates the gateway's role and database where they are missing, and gives and takes rights as an
/// administrator of a shared server would.
async fn prepare(cluster: &Cluster) -> Result<(), tokio_postgres::Error> {
    let (client, driver) = connect(&cluster.superuser_connection_string("postgres")).await?;
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rowgate'), \
             EXISTS (SELECT FROM pg_database WHERE datname = 'rowgate')",
            &[],
        )
        .await?;
    if !row.try_get::<_, bool>(0)? {
        client.batch_execute("CREATE ROLE rowgate LOGIN CREATEROLE NOINHERIT").await?;
    }
    if !row.try_get::<_, bool>(1)? {
        client.batch_execute("CREATE DATABASE rowgate OWNER rowgate").await?;
    }
    leave(client, driver).await;
    let (client, driver) = connect(&cluster.superuser_connection_string(DATABASE)).await?;
    rights::prepare(&client, ROLE).await?;
    leave(client, driver).await;
    Ok(())
}

type Driver = tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>;

async fn connect(connection_string: &str) -> Result<(Client, Driver), tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(connection_string, NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}

async fn leave(client: Client, driver: Driver) {
    drop(client);
    // The connection ends by itself now; that it did is of no interest.
    let _ = driver.await;
}

/// With the server's own words, which `Display` of the error leaves out.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(from_server) => from_server.message().to_owned(),
        None => std::error::Error::source(error).map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}
