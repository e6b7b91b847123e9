//! `rowgate dev`: a bundle served on this machine, anew at each edit.
//!
//! A private Postgres (or `DATABASE_URL`), the bundle deployed to it, one install, a token for each
//! role, and the same gateway that `rowgate serve` runs. An edit that cannot be served leaves the
//! last good revision in force.

mod banner;
mod changes;
mod deployment;
mod watch;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::key;
use crate::cli::bundle::{self, Loaded, must_be_folder};
use crate::cli::dev::deployment::Deployment;
use crate::cli::dev::watch::Watch;
use crate::cli::output::{self, Style, counted};
use crate::cli::state::{self, DATA_DIR, DataDir, DevState, Running, TOKEN_LIFETIME_S, Tokens};
use crate::cli::{Failed, database, read_config, stop};
use crate::config::{Config, LimitMode};
use crate::db::embedded::{Cluster, Options};
use crate::record;
use crate::server::Server;
use crate::telemetry;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::diagnostic::Diagnostic;

/// Serve a bundle on this machine and reload it on every edit
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate dev my-extension
  rowgate dev my-extension --port 0 --json      # for programs: one JSON object when ready

Without DATABASE_URL a private Postgres is started from the binaries installed on this machine;
its data stay in the data directory.")]
pub(super) struct Dev {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// The public listener's port, 8080 unless configured; 0 picks a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// The admin listener's port, 8081 unless configured; 0 picks a free one
    #[arg(long, value_name = "N")]
    admin_port: Option<u16>,
    /// Where the private Postgres, the development secret and the ids are kept
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// What the rate limits do: refuse, count only, or nothing
    #[arg(long, value_name = "MODE")]
    limits: Option<Limits>,
    /// Print exactly one JSON object on standard output when ready
    #[arg(long)]
    json: bool,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Limits {
    Enforce,
    Shadow,
    Off,
}

/// Where the database is.
enum Database {
    Private(Box<Cluster>),
    /// The one `DATABASE_URL` names.
    Given,
}

pub(super) async fn run(options: Dev) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let mut config = configured(&options)?;
    telemetry::start_log(&config.log);
    let stop = stop::on_signal()?;
    let data_dir = DataDir::take(&options.data_dir)?;
    let state = data_dir.state()?;
    must_be_free(config.http.listen, "--port")?;
    must_be_free(config.admin.listen, "--admin-port")?;
    let mut watch = Watch::start(&options.folder);
    let Some(loaded) = first_good(&options, &mut watch, &stop).await? else { return Ok(()) };
    let Some(database) = database(&mut config, &data_dir, &stop).await? else { return Ok(()) };
    let served = serve(&options, config, &data_dir, state, &database, loaded, watch, &stop).await;
    if let Database::Private(cluster) = database {
        // Its data are safe either way; the supervisor ends it when this process is gone.
        if let Err(error) = cluster.stop().await {
            tracing::warn!(%error, "the private Postgres was not waited for");
        }
    }
    served
}

/// The configuration with what development asks for: any page may call, and someone can sign.
fn configured(options: &Dev) -> Result<Config, Failed> {
    let mut config = read_config(options.config.as_deref())?;
    if let Some(port) = options.port {
        config.http.listen.set_port(port);
    }
    if let Some(port) = options.admin_port {
        config.admin.listen.set_port(port);
    }
    if let Some(limits) = options.limits {
        config.limits.mode = match limits {
            Limits::Enforce => LimitMode::Enforce,
            Limits::Shadow => LimitMode::Shadow,
            Limits::Off => LimitMode::Off,
        };
    }
    if config.http.cors_origins.is_empty() {
        config.http.cors_origins.push("*".to_owned());
    }
    Ok(config)
}

/// Tells of a port in use before a database is started for nothing.
fn must_be_free(address: SocketAddr, flag: &str) -> Result<(), Failed> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(Failed::Because(format!(
            "port {} is in use, perhaps by another `rowgate dev`; stop that process, \
             or choose another port with {flag} ({flag} 0 picks a free one)",
            address.port()
        ))),
        Err(error) => Err(Failed::Because(format!("cannot listen on {address}: {error}; choose another {flag}"))),
    }
}

/// The bundle as soon as it is without complaints; `None` where a signal came first.
async fn first_good(options: &Dev, watch: &mut Watch, stop: &CancellationToken) -> Result<Option<Loaded>, Failed> {
    loop {
        match load(&options.folder).await? {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(diagnostics) => {
                output::note(&output::complaints(&diagnostics, Style::of_stderr()));
                if options.json {
                    return Err(Failed::Said);
                }
                output::note("nothing is served yet; waiting for an edit");
            }
        }
        tokio::select! {
            () = watch.changed() => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

async fn load(folder: &Path) -> Result<Result<Loaded, Vec<Diagnostic>>, Failed> {
    let folder = folder.to_path_buf();
    tokio::task::spawn_blocking(move || bundle::load(&folder))
        .await
        .map_err(|error| Failed::Because(format!("reading the bundle failed: {error}")))
}

/// Starts the private Postgres where no database is given; `None` where a signal came first.
async fn database(
    config: &mut Config,
    data_dir: &DataDir,
    stop: &CancellationToken,
) -> Result<Option<Database>, Failed> {
    if config.database.url.is_some() {
        return Ok(Some(Database::Given));
    }
    let directory = data_dir.path.join("postgres");
    if !directory.join("cluster").exists() {
        output::note("making a private Postgres; this takes some seconds, once");
    }
    let cluster = tokio::select! {
        cluster = Cluster::start(Options::new(directory)) => cluster?,
        () = stop.cancelled() => return Ok(None),
    };
    if let Some(wanted) = cluster.moved_from() {
        output::note(&format!(
            "postgres cannot run as root, and its user cannot reach {}; its data are in {}",
            wanted.display(),
            cluster.directory().display()
        ));
    }
    config.database.url = Some(cluster.url());
    Ok(Some(Database::Private(Box::new(cluster))))
}

#[allow(clippy::too_many_arguments, reason = "each is a thing of its own that the session needs")]
async fn serve(
    options: &Dev,
    mut config: Config,
    data_dir: &DataDir,
    mut state: DevState,
    database: &Database,
    loaded: Loaded,
    mut watch: Watch,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    config.auth.hs256_secret.get_or_insert_with(|| state.hs256_secret.clone());
    insert_admin_key(&config, &state.admin_key).await?;
    let mut deployment = Deployment::new(config.database.clone());
    let first = deployment.deploy(loaded).await;
    if first.is_err() && (options.json || deployment.revision().is_none()) {
        return first.map(drop);
    }
    let extension_id = deployment.extension_id().unwrap_or_default();
    let install_id = install(&config, data_dir, &mut state, extension_id).await?;
    let server = Server::start(config.clone()).await?;
    let mut running = running(&config, &server, &state, extension_id, install_id)?;
    data_dir.announce(&running)?;
    if options.json {
        output::result(&serde_json::to_string(&running)?)?;
    } else if let Some(loaded) = deployment.loaded() {
        output::result(&banner::banner(&banner::Facts {
            running: &running,
            loaded,
            revision: deployment.revision().unwrap_or_default(),
            limits: config.limits.mode,
            folder: &options.folder,
            data_dir: &options.data_dir,
            postgres_version: match database {
                Database::Private(cluster) => Some(cluster.version()),
                Database::Given => None,
            },
        }))?;
    }
    loop {
        tokio::select! {
            () = watch.changed() => {}
            () = stop.cancelled() => break,
        }
        let began = Instant::now();
        if let Err(failed) = redeploy(options, &mut deployment, &server, began).await {
            say(failed);
            continue;
        }
        if deployment.extension_id().is_some_and(|id| id != running.extension_id) {
            let extension_id = deployment.extension_id().unwrap_or_default();
            let install_id = install(&config, data_dir, &mut state, extension_id).await?;
            if let Err(failure) = server.reload().await {
                say(failure.into());
            }
            running = self::running(&config, &server, &state, extension_id, install_id)?;
            data_dir.announce(&running)?;
            output::note(&format!(
                "the bundle has another id now: its functions are at {}",
                banner::functions_url(&running)
            ));
        }
    }
    server.stop().await;
    Ok(())
}

/// Reads and deploys the bundle again, and says what came of it.
async fn redeploy(options: &Dev, deployment: &mut Deployment, server: &Server, began: Instant) -> Result<(), Failed> {
    let style = Style::of_stderr();
    let serves_on =
        deployment.revision().map_or_else(String::new, |revision| format!("; revision {revision} serves on"));
    let loaded = match load(&options.folder).await? {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output::note(&format!("{}{serves_on}", output::complaints(&diagnostics, style)));
            return Ok(());
        }
    };
    let deployed = match deployment.deploy(loaded).await {
        Ok(deployed) => deployed,
        Err(Failed::Said) => return Ok(()),
        Err(failed) => return Err(failed),
    };
    server.reload().await?;
    let label = style.good(&format!("revision {}", deployed.revision));
    if !deployed.changed {
        output::note(&format!("{label} serves on: the edit changes nothing in the definition"));
        return Ok(());
    }
    let statements = match deployed.statements.len() {
        0 => String::new(),
        count => format!("; {}", counted(count, "statement")),
    };
    output::note(&format!("{label} is served: {}{statements}; {}", deployed.summary, took(began.elapsed())));
    Ok(())
}

fn took(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn say(failed: Failed) {
    match failed {
        Failed::Said => {}
        Failed::Because(message) | Failed::Usage(message) => {
            output::note(&format!("{} {message}", Style::of_stderr().bad("error:")));
        }
    }
}

async fn insert_admin_key(config: &Config, text: &str) -> Result<(), Failed> {
    let client = database::open(&config.database).await?;
    let hash = key::hash(text.as_bytes());
    if record::admin_keys(&client).await?.iter().all(|known| known.hash != hash) {
        let key = record::AdminKey { id: Uuid::now_v7(), hash, name: "rowgate dev".to_owned(), expires_at: None };
        record::insert_admin_key(&client, &key).await?;
    }
    Ok(())
}

/// The extension's install, the same over restarts.
async fn install(
    config: &Config,
    data_dir: &DataDir,
    state: &mut DevState,
    extension_id: Uuid,
) -> Result<Uuid, Failed> {
    let id = match state.installs.get(&extension_id) {
        Some(id) => *id,
        None => {
            let id = Uuid::now_v7();
            state.installs.insert(extension_id, id);
            data_dir.keep(state)?;
            id
        }
    };
    let client = database::open(&config.database).await?;
    if record::installs(&client).await?.iter().all(|known| known.id != id) {
        let install = record::Install {
            id,
            extension_id,
            account_id: state.account_id,
            overlay_id: Some(state.overlay_id),
            disabled: false,
        };
        record::insert_install(&client, &install).await?;
    }
    Ok(id)
}

fn running(
    config: &Config,
    server: &Server,
    state: &DevState,
    extension_id: Uuid,
    install_id: Uuid,
) -> Result<Running, Failed> {
    let secret = config.auth.hs256_secret.as_deref().unwrap_or(&state.hs256_secret);
    let token = |role| state::token(secret, &config.auth, install_id, role, None, TOKEN_LIFETIME_S);
    Ok(Running {
        url: format!("http://{}", reachable(server.address)),
        admin_url: format!("http://{}", reachable(server.admin_address)),
        install_id,
        extension_id,
        database_url: config.database.url.clone().unwrap_or_default(),
        admin_key: state.admin_key.clone(),
        tokens: Tokens {
            anonymous: token(Role::Anonymous)?,
            viewer: token(Role::Viewer)?,
            editor: token(Role::Editor)?,
            owner: token(Role::Owner)?,
        },
    })
}

/// Who listens everywhere is called on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
