//! What the gateway is measured beside: a hand-written Node server and PostGraphile 5.
//!
//! Their sources are in `peers/`, built into this binary. npm installs them once into a folder of
//! the target directory, Node itself with them, exactly in the versions that package.json says.
//! They use the gateway's own private Postgres, as the role that the extension's statements run as.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio_postgres::config::Host;

use crate::child;
use crate::dialect::Dialect;
use crate::items::Items;
use crate::workload::Workload;

const PACKAGE: &str = include_str!("../peers/package.json");
const COMMON: &str = include_str!("../peers/common.mjs");
const START_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Peer {
    /// A server written by hand on fastify and pg.
    Fastify,
    /// PostGraphile 5 over the same tables.
    Postgraphile,
}

impl Peer {
    pub(crate) const ALL: [Peer; 2] = [Peer::Fastify, Peer::Postgraphile];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Peer::Fastify => "fastify",
            Peer::Postgraphile => "postgraphile",
        }
    }

    /// How people call it.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Peer::Fastify => "fastify + pg",
            Peer::Postgraphile => "PostGraphile 5",
        }
    }

    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Peer::Fastify => Dialect::Functions,
            Peer::Postgraphile => Dialect::Graphql,
        }
    }

    /// PostGraphile cannot count up a column by itself, so it does not patch.
    pub(crate) const fn offers(self, workload: Workload) -> bool {
        match workload {
            Workload::Select | Workload::List | Workload::Insert => true,
            Workload::Patch => matches!(self, Peer::Fastify),
            Workload::Page | Workload::Upsert | Workload::Aggregate | Workload::Expand | Workload::Batch => false,
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Peer::Fastify => include_str!("../peers/fastify.mjs"),
            Peer::Postgraphile => include_str!("../peers/postgraphile.mjs"),
        }
    }
}

/// Whether npm is there, without which there are no peers.
pub(crate) fn npm_is_installed() -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join("npm").is_file())
}

/// The peers' sources beside their installed packages.
pub(crate) struct Peers {
    folder: PathBuf,
}

impl Peers {
    /// Installs what is not yet there in exactly these versions.
    pub(crate) fn install(folder: &Path) -> Result<Peers, String> {
        let failed =
            |what: &Path, error: std::io::Error| format!("cannot write the peers' {}: {error}", what.display());
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        // Written when all is installed: what was cut off, or is of other versions, is installed again.
        let complete = folder.join("installed.json");
        if fs::read_to_string(&complete).unwrap_or_default() != PACKAGE {
            let package = folder.join("package.json");
            fs::write(&package, PACKAGE).map_err(|error| failed(&package, error))?;
            eprintln!("installing the peers into {}: once, may take some minutes", folder.display());
            let status = Command::new("npm")
                .args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--omit=dev", "--loglevel=error"])
                .current_dir(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .status();
            match status {
                Ok(status) if status.success() => {}
                Ok(status) => {
                    return Err(format!("npm could not install the peers ({status}); --peers none does without them"));
                }
                Err(error) => {
                    return Err(format!("the peers need npm, which does not run ({error}); --peers none does without"));
                }
            }
            fs::write(&complete, PACKAGE).map_err(|error| failed(&complete, error))?;
        }
        let sources = Peer::ALL.map(|peer| (format!("{}.mjs", peer.as_str()), peer.source()));
        for (name, source) in sources.into_iter().chain([("common.mjs".to_owned(), COMMON)]) {
            let path = folder.join(name);
            fs::write(&path, source).map_err(|error| failed(&path, error))?;
        }
        Ok(Peers { folder: folder.to_owned() })
    }

    pub(crate) fn start(
        &self,
        peer: Peer,
        items: &Items,
        database_url: &str,
        install_id: &str,
        log: &Path,
    ) -> Result<Running, String> {
        let node = self.folder.join("node_modules/node/bin/node");
        let stderr = File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let mut child = Command::new(&node)
            .arg(self.folder.join(format!("{}.mjs", peer.as_str())))
            .envs(database(database_url)?)
            .envs(items.role.iter().map(|role| ("PGOPTIONS", format!("-c role={role}"))))
            .envs([("PGAPPNAME", peer.as_str()), ("NODE_ENV", "production"), ("GRAPHILE_ENV", "production")])
            .envs([("PEER_TABLE", items.table.as_str()), ("PEER_INSTALL", install_id)])
            .env("PEER_SCHEMA", items.postgres_schema())
            // A peer ends when this pipe closes, so none outlives the bench.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("cannot start {} for {}: {error}", node.display(), peer.as_str()))?;
        match child::ready::<Ready>(&mut child, START_TIMEOUT) {
            Ok(Ready { port, token }) => {
                Ok(Running { peer, child, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), token })
            }
            Err(reason) => {
                child::end(&mut child);
                Err(format!("{} {reason}\n{}", peer.as_str(), child::last_lines(log)))
            }
        }
    }
}

/// A peer that serves; it is asked to end when this is dropped.
pub(crate) struct Running {
    pub(crate) peer: Peer,
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
}

impl Running {
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        child::end(&mut self.child);
    }
}

/// What a peer prints when it serves.
#[derive(Deserialize)]
struct Ready {
    port: u16,
    token: String,
}

/// The packages and their exact versions.
pub(crate) fn versions() -> BTreeMap<String, String> {
    #[derive(Deserialize)]
    struct Package {
        dependencies: BTreeMap<String, String>,
    }
    serde_json::from_str::<Package>(PACKAGE).map(|package| package.dependencies).unwrap_or_default()
}

/// The database as libpq's variables, which pg knows as well.
fn database(url: &str) -> Result<Vec<(&'static str, String)>, String> {
    let config: tokio_postgres::Config = url.parse().map_err(|_| "the gateway's database URL is none".to_owned())?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(folder)) => folder.display().to_string(),
        None => return Err("the gateway's database URL names no host".to_owned()),
    };
    let port = config.get_ports().first().map(u16::to_string);
    let password = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let given = [
        ("PGHOST", Some(host)),
        ("PGPORT", port),
        ("PGUSER", config.get_user().map(str::to_owned)),
        ("PGDATABASE", config.get_dbname().map(str::to_owned)),
        ("PGPASSWORD", password),
    ];
    Ok(given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn versions_are_exact_and_no_host_is_named() {
        let versions = versions();
        assert_eq!(versions.keys().collect::<Vec<_>>(), ["fastify", "node", "pg", "postgraphile"]);
        for version in versions.values() {
            assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
        }
        assert!(!PACKAGE.contains("://"), "{PACKAGE}");
    }

    #[test]
    fn a_database_url_becomes_variables() {
        let variables = database("postgres://rowgate@%2Ftmp%2Fa%20b%2Fsocket/rows").unwrap();
        let expected =
            [("PGHOST", "/tmp/a b/socket"), ("PGPORT", "5432"), ("PGUSER", "rowgate"), ("PGDATABASE", "rows")];
        assert_eq!(variables, expected.map(|(name, value)| (name, value.to_owned())));
        let variables = database("postgres://u:p@h:5433/d").unwrap();
        assert!(
            variables.contains(&("PGPORT", "5433".to_owned())) && variables.contains(&("PGPASSWORD", "p".to_owned()))
        );
    }

    #[test]
    fn each_peer_is_asked_only_what_its_dialect_can_say() {
        for peer in Peer::ALL {
            for workload in Workload::ALL.into_iter().filter(|workload| peer.offers(*workload)) {
                assert!(peer.dialect().request(workload, "i").is_some(), "{} {}", peer.as_str(), workload.as_str());
            }
        }
    }
}
