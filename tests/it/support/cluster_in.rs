//! A durable server of a test's own, which can be ended and started again in its folder.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rowgate::db::embedded::{Cluster, Options};
use tempfile::TempDir;

use super::ROWGATE;

/// A folder that a server's user reaches as well.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("rg").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Starts the server in `folder`, with what it has from before.
pub(crate) async fn start(folder: &Path) -> Cluster {
    let options = Options { supervisor: Some(PathBuf::from(ROWGATE)), ..Options::new(folder.join("server")) };
    Cluster::start(options).await.unwrap_or_else(|error| panic!("{error}"))
}
