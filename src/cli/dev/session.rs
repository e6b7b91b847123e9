//! The time in which a development gateway serves: from the first deploy to the signal that ends it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::key;
use crate::cli::bundle::{self, Loaded};
use crate::cli::dev::deployment::Deployment;
use crate::cli::dev::watch::Watch;
use crate::cli::dev::{Dev, banner};
use crate::cli::output::{self, Style, counted};
use crate::cli::state::{self, DataDir, DevState, Running, TOKEN_LIFETIME_S, Tokens};
use crate::cli::{Failed, database};
use crate::config::Config;
use crate::record;
use crate::server::Server;

/// Where and with what to serve.
pub(super) struct Setting {
    pub(super) options: Dev,
    pub(super) config: Config,
    pub(super) data_dir: DataDir,
    pub(super) state: DevState,
    /// Of the private server, where there is one.
    pub(super) postgres_version: Option<String>,
}

/// Deploys `loaded`, serves it, and deploys each edit, until `stop`.
pub(super) async fn serve(
    mut setting: Setting,
    loaded: Loaded,
    mut watch: Watch,
    stop: &CancellationToken,
) -> Result<(), Failed> {
    let secret = &setting.state.hs256_secret;
    setting.config.auth.hs256_secret.get_or_insert_with(|| secret.clone());
    insert_admin_key(&setting).await?;
    let (config, allow_scan) = (setting.config.clone(), setting.options.allow_scan.clone());
    let mut deployment = Deployment::new(config, allow_scan, setting.options.place());
    let first = deployment.deploy(loaded).await.map(drop);
    let Some((extension_id, revision)) = deployment.served() else { return first };
    if setting.options.json {
        first?;
    }
    let install_id = install(&mut setting, extension_id).await?;
    let server = Server::start(setting.config.clone()).await?;
    let running = announce(&setting, &server, extension_id, install_id)?;
    if setting.options.json {
        output::result(&serde_json::to_string(&running)?)?;
    } else if let Some(loaded) = deployment.loaded() {
        output::result(&banner::banner(&banner::Facts {
            running: &running,
            loaded,
            revision,
            limits: setting.config.limits.mode,
            folder: &setting.options.folder,
            data_dir: &setting.options.data_dir,
            postgres_version: setting.postgres_version.as_deref(),
        }))?;
    }
    loop {
        tokio::select! {
            () = watch.changed() => {}
            () = stop.cancelled() => break,
        }
        // Whatever an edit leads to, what was served before it is served on.
        match redeploy(&mut setting, &mut deployment, &server).await {
            Ok(()) | Err(Failed::Said | Failed::Pending) => {}
            Err(Failed::Because(message) | Failed::Usage(message)) => {
                output::note(&format!("{} {message}", Style::of_stderr().bad("error:")));
            }
        }
    }
    server.stop().await;
    Ok(())
}

/// Reads and checks on a thread that may block.
pub(super) async fn load(folder: &Path) -> Result<Result<Loaded, Vec<Diagnostic>>, Failed> {
    let folder = folder.to_path_buf();
    tokio::task::spawn_blocking(move || bundle::load(&folder))
        .await
        .map_err(|error| Failed::Because(format!("reading the bundle failed: {error}")))
}

/// Reads and deploys the bundle again, and says what came of it.
async fn redeploy(setting: &mut Setting, deployment: &mut Deployment, server: &Server) -> Result<(), Failed> {
    let began = Instant::now();
    let style = Style::of_stderr();
    let before = deployment.served();
    let loaded = match load(&setting.options.folder).await? {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            let serves_on = before.map_or_else(String::new, |(_, revision)| format!("; revision {revision} serves on"));
            output::note(&format!("{}{serves_on}", output::complaints(&diagnostics, style)));
            return Ok(());
        }
    };
    let extension_id = loaded.definition.extension.id;
    let deployed = deployment.deploy(loaded).await?;
    let is_another = before.is_none_or(|(id, _)| id != extension_id);
    let install_id = install(setting, extension_id).await?;
    server.reload().await?;
    let label = style.good(&format!("revision {}", deployed.revision));
    if deployed.changed {
        let statements = match deployed.statements.len() {
            0 => String::new(),
            count => format!("; {}", counted(count, "statement")),
        };
        let took_ms = began.elapsed().as_millis();
        output::note(&format!("{label} is served: {}{statements}; {took_ms} ms", deployed.summary));
    } else {
        output::note(&format!("{label} serves on: the edit changes nothing in the definition"));
    }
    if is_another {
        let running = announce(setting, server, extension_id, install_id)?;
        let url = banner::functions_url(&running);
        output::note(&format!("the bundle has another id now, and its functions another address: {url}"));
    }
    Ok(())
}

async fn insert_admin_key(setting: &Setting) -> Result<(), Failed> {
    let client = database::open(&setting.config.database).await?;
    let hash = key::hash(setting.state.admin_key.as_bytes());
    if record::admin_keys(&client).await?.iter().all(|known| known.hash != hash) {
        let key = record::AdminKey { id: Uuid::now_v7(), hash, name: "rowgate dev".to_owned(), expires_at: None };
        record::insert_admin_key(&client, &key).await?;
    }
    Ok(())
}

/// The extension's install, the same over restarts.
async fn install(setting: &mut Setting, extension_id: Uuid) -> Result<Uuid, Failed> {
    let state = &mut setting.state;
    let id = match state.installs.get(&extension_id) {
        Some(id) => *id,
        None => {
            let id = Uuid::now_v7();
            state.installs.insert(extension_id, id);
            setting.data_dir.keep(state)?;
            id
        }
    };
    let client = database::open(&setting.config.database).await?;
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

/// Writes where the gateway is and with what it is called, for the commands beside it.
fn announce(setting: &Setting, server: &Server, extension_id: Uuid, install_id: Uuid) -> Result<Running, Failed> {
    let auth = &setting.config.auth;
    let secret = auth.hs256_secret.as_deref().unwrap_or(&setting.state.hs256_secret);
    let token = |role| state::token(secret, auth, install_id, role, None, TOKEN_LIFETIME_S);
    let running = Running {
        url: format!("http://{}", reachable(server.address)),
        admin_url: format!("http://{}", reachable(server.admin_address)),
        install_id,
        extension_id,
        database_url: setting.config.database.url.clone().unwrap_or_default(),
        admin_key: setting.state.admin_key.clone(),
        tokens: Tokens {
            anonymous: token(Role::Anonymous)?,
            viewer: token(Role::Viewer)?,
            editor: token(Role::Editor)?,
            owner: token(Role::Owner)?,
        },
    };
    setting.data_dir.announce(&running)?;
    Ok(running)
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
