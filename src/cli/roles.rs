//! `rowgate roles`: what a superuser has to run before the wall between extensions holds.

use std::path::PathBuf;

use clap::Args;

use crate::cli::{Failed, database, output, read_config};
use crate::db::rights;

/// Print the SQL that a superuser has to run once on the database in DATABASE_URL
#[derive(Debug, Args)]
#[command(after_help = "Example:
  DATABASE_URL=postgres://rowgate@… rowgate roles | psql -U postgres -d rowgate

It prints nothing, and says so, where nothing is missing. It changes nothing.")]
pub(super) struct Roles {
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Roles) -> Result<(), Failed> {
    let config = read_config(options.config.as_deref())?;
    let client = database::connect(&config.database).await?;
    let statements = rights::missing(&client).await?;
    if statements.is_empty() {
        output::note("nothing is missing: each extension can have a role of its own");
        return Ok(());
    }
    output::result(&format!("{};", statements.join(";\n")))
}
