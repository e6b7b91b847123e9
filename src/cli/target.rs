//! Where a command finds what is deployed: a running gateway by its admin listener, or a database.

use std::path::PathBuf;

use clap::Args;

use crate::cli::admin::AdminAt;
use crate::cli::state::{self, DATA_DIR};
use crate::cli::{Failed, read_config};
use crate::config::Config;

/// Which gateway, or which database.
#[derive(Debug, Args)]
pub(super) struct Target {
    /// The admin listener of a running gateway to ask, where DATABASE_URL is not set
    #[arg(long, value_name = "URL", env = "ROWGATE_ADMIN_URL")]
    admin_url: Option<String>,
    /// An operator's key, made by `rowgate admin-key`
    #[arg(long, value_name = "KEY", env = "ROWGATE_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    pub(super) data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

/// What was found.
pub(super) enum Found {
    Gateway(AdminAt),
    Database,
}

impl Target {
    pub(super) fn config(&self) -> Result<Config, Failed> {
        read_config(self.config.as_deref())
    }

    /// The database of the configuration where it names one, else the gateway that is named, else the running
    /// `rowgate dev`.
    pub(super) fn find(&self, config: &Config) -> Result<Found, Failed> {
        if config.database.url.is_some() {
            return Ok(Found::Database);
        }
        if let Some(url) = &self.admin_url {
            return Ok(Found::Gateway(AdminAt::new(url.clone(), self.admin_key.clone())));
        }
        if let Some(running) = state::read_running(&self.data_dir)? {
            return Ok(Found::Gateway(AdminAt::new(running.admin_url, Some(running.admin_key))));
        }
        let message = "no gateway and no database is given; set ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY to those of a \
                       running gateway, or set DATABASE_URL, such as postgres://rowgate@localhost/rowgate";
        Err(Failed::Usage(message.to_owned()))
    }
}
