//! A connection of a command's own, and the gateway's tables brought up to date on it.

use tokio_postgres::Client;

use crate::cli::Failed;
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
