//! Finds the Postgres servers installed on this machine.
//!
//! Nothing is downloaded: what a package manager installed is used, newest first. Every folder
//! that was looked into is kept, so that a message can say where nothing was found.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::db::embedded::EmbeddedError;

/// `CREATE DATABASE … STRATEGY` and the plans the gateway relies on exist from here on.
pub const MAJOR_VERSION_MIN: u32 = 15;

/// One installed server: a folder that has both `postgres` and `initdb`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    pub major_version: u32,
    /// As the server prints it, such as `15.14`.
    pub version: String,
    pub folder: PathBuf,
}

/// Where servers are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Folders in the form of `PATH`; a `pg_config` in one of them is asked for its folder too.
    pub path: OsString,
    /// Folders in which one component may hold a single `*`.
    pub patterns: Vec<PathBuf>,
}

impl Default for Places {
    /// `PATH`, and where Debian, Fedora, the Postgres project, Alpine, Homebrew and Postgres.app install.
    fn default() -> Self {
        Places {
            path: std::env::var_os("PATH").unwrap_or_default(),
            patterns: [
                "/usr/lib/postgresql/*/bin",
                "/usr/pgsql-*/bin",
                "/usr/libexec/postgresql*",
                "/opt/homebrew/opt/postgresql*/bin",
                "/usr/local/opt/postgresql*/bin",
                "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
                "/Applications/Postgres.app/Contents/Versions/*/bin",
            ]
            .map(PathBuf::from)
            .to_vec(),
        }
    }
}

/// Every usable server, newest first and never none; [`EmbeddedError::NoPostgres`] says where it looked.
pub fn find_binaries(places: &Places) -> Result<Vec<Installation>, EmbeddedError> {
    let path_folders: Vec<PathBuf> =
        std::env::split_paths(&places.path).filter(|folder| !folder.as_os_str().is_empty()).collect();
    let mut folders = path_folders.clone();
    folders.extend(path_folders.iter().filter_map(|folder| folder_named_by_pg_config(folder)));
    folders.extend(places.patterns.iter().flat_map(|pattern| expand(pattern)));

    let mut found: Vec<Installation> = Vec::new();
    let mut too_old = Vec::new();
    for folder in folders {
        // Links are followed so that one server, reached by two ways, is asked once.
        let Ok(postgres) = folder.join("postgres").canonicalize() else { continue };
        let Some(folder) = postgres.parent().map(Path::to_path_buf) else { continue };
        if found.iter().any(|known| known.folder == folder) || !folder.join("initdb").is_file() {
            continue;
        }
        let Some((major_version, version)) = version_of(&postgres) else { continue };
        if major_version < MAJOR_VERSION_MIN {
            too_old.push(format!("{version} in {}", folder.display()));
        } else {
            found.push(Installation { major_version, version, folder });
        }
    }
    if found.is_empty() {
        let looked_in = path_folders.iter().chain(&places.patterns).map(|folder| folder.display().to_string());
        return Err(EmbeddedError::NoPostgres { looked_in: looked_in.collect(), too_old });
    }
    // The sort is stable: of two servers with one version, the one that comes first in PATH stays first.
    found.sort_by_key(|installation| std::cmp::Reverse(installation.major_version));
    Ok(found)
}

fn folder_named_by_pg_config(folder: &Path) -> Option<PathBuf> {
    let pg_config = folder.join("pg_config");
    if !pg_config.is_file() {
        return None;
    }
    let output = Command::new(pg_config).arg("--bindir").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// The folders that match a pattern with at most one `*`, which stands for any text within its component.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut folders = vec![PathBuf::new()];
    for component in pattern.components() {
        let text = component.as_os_str().to_string_lossy();
        match text.split_once('*') {
            None => folders.iter_mut().for_each(|folder| folder.push(component)),
            Some((start, end)) => {
                folders = folders
                    .iter()
                    .filter_map(|folder| std::fs::read_dir(folder).ok())
                    .flat_map(|entries| entries.filter_map(Result::ok))
                    .filter(|entry| {
                        let name = entry.file_name();
                        let name = name.to_string_lossy();
                        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                    })
                    .map(|entry| entry.path())
                    .collect();
            }
        }
    }
    folders
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, and `18beta1` for what is not released.
fn version_of(postgres: &Path) -> Option<(u32, String)> {
    let output = Command::new(postgres).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits_end = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    let major_version = version.get(..digits_end)?.parse().ok()?;
    Some((major_version, version.to_owned()))
}
