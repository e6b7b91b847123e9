//! `rowgate admin-key`: a new operator's key.

use std::path::PathBuf;

use clap::Args;
use uuid::Uuid;

use crate::auth::key;
use crate::cli::{Failed, database, output, read_config};
use crate::record;

/// Make an operator's key for the admin listener and print it, once
#[derive(Debug, Args)]
#[command(after_help = "Example:
  DATABASE_URL=postgres://… rowgate admin-key \"alice, laptop\"")]
pub(super) struct AdminKey {
    /// Whose key it is; shown where keys are listed
    #[arg(value_name = "NAME")]
    name: String,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &AdminKey) -> Result<(), Failed> {
    let name = options.name.trim();
    if name.is_empty() {
        return Err(Failed::Usage("a key needs a name that tells whose it is".to_owned()));
    }
    let config = read_config(options.config.as_deref())?;
    let client = database::open(&config.database).await?;
    let (text, hash) = key::mint_admin_key()?;
    let record = record::AdminKey { id: Uuid::now_v7(), hash, name: name.to_owned(), expires_at: None };
    record::insert_admin_key(&client, &record).await?;
    output::result(&text)?;
    output::note("only its hash is stored: keep it now, it cannot be shown again");
    Ok(())
}
