//! A connection of a command's own, and the gateway's tables brought up to date on it.

use std::path::Path;

use tokio_postgres::Client;

use crate::cli::{Failed, state};
use crate::config;
use crate::db::connect::{Connector, Purpose};
use crate::db::{migrate, sqlstate};

/// Connects and makes the gateway's own tables current.
pub(super) async fn open(settings: &config::Database) -> Result<Client, Failed> {
    let client = connect(settings).await?;
    migrate::migrate(&client)
        .await
        .map_err(|error| Failed::Because(format!("the gateway's own tables could not be made: {error}")))?;
    Ok(client)
}

/// As [`open`]; where no database is given, that of the running `rowgate dev` that keeps its things in
/// `data_dir`.
pub(super) async fn open_here(settings: &config::Database, data_dir: &Path) -> Result<Client, Failed> {
    if settings.url.is_none()
        && let Some(running) = state::read_running(data_dir)?
    {
        return open(&config::Database { url: Some(running.database_url), ..settings.clone() }).await;
    }
    open(settings).await
}

/// Connects and changes nothing.
pub(super) async fn connect(settings: &config::Database) -> Result<Client, Failed> {
    if settings.url.is_none() {
        let message = "no database is given; set DATABASE_URL, such as postgres://rowgate@localhost/rowgate";
        return Err(Failed::Usage(message.to_owned()));
    }
    let connector = Connector::new(settings)?;
    let (client, connection) = connector
        .address(Purpose::Own)
        .connect(connector.tls())
        .await
        .map_err(|error| Failed::Because(format!("the database cannot be reached: {}", sqlstate::chain(&error))))?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told by their own error.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a command's connection ended");
        }
    });
    Ok(client)
}
