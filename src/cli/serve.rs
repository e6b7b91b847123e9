//! `rowgate serve`: the gateway on `DATABASE_URL`, until a signal ends it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::output::{self, counted};
use crate::cli::{Failed, notify, own_name, read_config, stop};
use crate::config;
use crate::server::Server;
use crate::telemetry;

/// Serve what is deployed in the database in DATABASE_URL
#[derive(Debug, Args)]
#[command(after_help = "Example:
  export DATABASE_URL=postgres://… ROWGATE_AUTH__HS256_SECRET=$(openssl rand -hex 32)
  rowgate apply my-extension && rowgate serve --port 8080

SIGTERM drains: calls under way are answered, then the gateway ends.")]
pub(super) struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
    /// The public listener's port; 0 picks a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// The admin listener's port; 0 picks a free one
    #[arg(long, value_name = "N")]
    admin_port: Option<u16>,
}

pub(super) async fn run(options: &Serve) -> Result<(), Failed> {
    let mut config = read_config(options.config.as_deref())?;
    if let Some(port) = options.port {
        config.http.listen.set_port(port);
    }
    if let Some(port) = options.admin_port {
        config.admin.listen.set_port(port);
    }
    must_have_signer(&config.auth)?;
    telemetry::start_log(&config.log);
    let stop = stop::on_signal()?;
    let server = Server::start(config).await?;
    output::note(&format!("serving functions at http://{}/v1/extension-functions/", server.address));
    output::note(&format!("admin listener at http://{}", server.admin_address));
    let snapshot = server.gateway.snapshot();
    if snapshot.extensions.is_empty() {
        output::note(&format!("no extension is deployed yet; `{} apply DIR` deploys one", own_name()));
    } else {
        let extensions = counted(snapshot.extensions.len(), "extension");
        output::note(&format!("{extensions}, {}", counted(snapshot.installs.len(), "install")));
    }
    notify::tell("READY=1");
    stop.cancelled().await;
    notify::tell("STOPPING=1");
    server.stop().await;
    Ok(())
}

/// A gateway that knows no signer would refuse every token.
fn must_have_signer(auth: &config::Auth) -> Result<(), Failed> {
    if auth.hs256_secret.is_some() || auth.jwks_file.is_some() || auth.jwks_url.is_some() {
        return Ok(());
    }
    let message = "no key for tokens is configured, so every call would be refused; set one of\n  \
                   ROWGATE_AUTH__HS256_SECRET   a secret of at least 32 bytes, such as `openssl rand -hex 32` makes\n  \
                   ROWGATE_AUTH__JWKS_URL       where your sign-in publishes its keys\n  \
                   ROWGATE_AUTH__JWKS_FILE      the same as a file";
    Err(Failed::Usage(message.to_owned()))
}
