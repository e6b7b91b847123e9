//! Why the private server could not be had. The text is for the person at the terminal.
//!
//! Serializable, because the supervisor finds most of these out in its own process.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::db::embedded::binaries::MAJOR_VERSION_MIN;

/// Why there is no private server; `Display` says what was expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum EmbeddedError {
    #[error("{}", no_postgres(looked_in, too_old))]
    NoPostgres { looked_in: Vec<String>, too_old: Vec<String> },
    #[error(
        "the data in {} were written by PostgreSQL {major_version}, but only {found} can be used here; \
         install PostgreSQL {major_version}, or move that folder away to start empty", directory.display()
    )]
    VersionMissing { directory: PathBuf, major_version: u32, found: String },
    #[error(
        "the data directory {} is in use by process {pid}; stop that one, or choose another directory",
        directory.display()
    )]
    InUse { directory: PathBuf, pid: u32 },
    #[error(
        "the server that used {} before is still stopping after {waited_ms} ms; try again, or stop it by hand",
        directory.display()
    )]
    StillStopping { directory: PathBuf, waited_ms: u64 },
    #[error(
        "postgres refuses to run as root, and this system has neither a user `postgres` nor `nobody` to run it as; \
         create one, run rowgate as an ordinary user, or set DATABASE_URL"
    )]
    NoUnprivilegedUser,
    #[error(
        "postgres refuses to run as root, and no installed server is within reach of the user with id {uid} \
         that it would run as: {folders}; move it, run rowgate as an ordinary user, or set DATABASE_URL"
    )]
    NothingReachable { uid: u32, folders: String },
    #[error(
        "{} belongs to the user with id {uid}; run rowgate as that user, or choose another directory",
        directory.display()
    )]
    OwnedByAnother { directory: PathBuf, uid: u32 },
    #[error(
        "no folder for the server's socket: the path of {} is too long for one, and so is the temporary folder's; \
         choose a data directory with a shorter path", directory.display()
    )]
    NoSocketDirectory { directory: PathBuf },
    #[error("the path {} is not valid UTF-8; choose another directory", path.display())]
    PathNotUtf8 { path: PathBuf },
    #[error("cannot {what} {}: {reason}", path.display())]
    Io { what: String, path: PathBuf, reason: String },
    #[error("initdb could not create the private server:\n{output}")]
    Initdb { output: String },
    #[error("the private server did not start: {reason}; the end of {}:\n{log_end}", log_file.display())]
    NotStarted { reason: String, log_file: PathBuf, log_end: String },
    #[error("the private server's supervisor ended without an answer: {reason}")]
    SupervisorLost { reason: String },
    #[error("the private server could not be prepared: {reason}")]
    NotPrepared { reason: String },
}

pub(super) fn io_error(what: &str, path: &Path, error: &io::Error) -> EmbeddedError {
    EmbeddedError::Io { what: what.to_owned(), path: path.to_path_buf(), reason: error.to_string() }
}

fn no_postgres(looked_in: &[String], too_old: &[String]) -> String {
    let mut text = format!("no PostgreSQL server of version {MAJOR_VERSION_MIN} or newer was found on this machine\n");
    if !too_old.is_empty() {
        text.push_str(&format!("  too old: {}\n", too_old.join(", ")));
    }
    text.push_str(&format!("  looked in: {}\n", looked_in.join(", ")));
    text.push_str(
        "to get one:\n  \
         Debian, Ubuntu: apt-get install postgresql\n  \
         Fedora: dnf install postgresql-server\n  \
         macOS: brew install postgresql@17\n\
         or set DATABASE_URL to the address of a server that runs already",
    );
    text
}
