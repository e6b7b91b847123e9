//! `rowgate dev`: a bundle served on this machine, anew at each edit.
//!
//! A private Postgres (or `DATABASE_URL`), the bundle deployed to it, one install, a token for each
//! role, and the same gateway that `rowgate serve` runs. An edit that cannot be served leaves the
//! last good revision in force.

mod banner;
mod changes;
mod deployment;
mod session;
mod watch;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;

use crate::cli::bundle::{Loaded, must_be_folder};
use crate::cli::certificate::AllowScan;
use crate::cli::dev::session::Setting;
use crate::cli::dev::watch::Watch;
use crate::cli::output::{self, Style};
use crate::cli::state::{DATA_DIR, DataDir};
use crate::cli::{Failed, read_config, stop};
use crate::config::{Config, LimitMode, LogFormat};
use crate::db::embedded::{Cluster, Options};
use crate::telemetry;

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
    #[command(flatten)]
    allow_scan: AllowScan,
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

impl Dev {
    /// The bundle, and where its database is, as words of another command's line.
    fn place(&self) -> String {
        let folder = output::shell_word(&self.folder.to_string_lossy());
        if self.data_dir == Path::new(DATA_DIR) {
            return folder;
        }
        format!("{folder} --data-dir {}", output::shell_word(&self.data_dir.to_string_lossy()))
    }
}

pub(super) async fn run(options: Dev) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let mut config = configured(&options)?;
    // Whoever develops reads it, wherever it goes.
    config.log.format.get_or_insert(LogFormat::Text);
    telemetry::start_log(&config.log);
    let stop = stop::on_signal()?;
    let data_dir = DataDir::take(&options.data_dir)?;
    let state = data_dir.state()?;
    must_be_free(config.http.listen, "--port")?;
    must_be_free(config.admin.listen, "--admin-port")?;
    let mut watch = Watch::start(&options.folder);
    let Some(loaded) = first_good(&options, &mut watch, &stop).await? else { return Ok(()) };
    let Some(database) = database(&mut config, &data_dir, &stop).await? else { return Ok(()) };
    let postgres_version = match &database {
        Database::Private(cluster) => Some(cluster.version().to_owned()),
        Database::Given => None,
    };
    let served =
        session::serve(Setting { options, config, data_dir, state, postgres_version }, loaded, watch, &stop).await;
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
        match session::load(&options.folder).await? {
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
