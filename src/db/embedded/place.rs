//! Decides which user runs the private server, and in which folders it lives.
//!
//! Postgres refuses to run as root, so root hands it to an ordinary user; the folders must then be
//! within that user's reach. The socket's folder is private (0700), which is what makes it safe to
//! let everyone who reaches it log in without a password: that is the server's user, and root.

use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::db::embedded::{EmbeddedError, io_error};

/// Where data go when root's own folder is out of the server user's reach.
const SHARED_DIRECTORY: &str = "/var/lib/rowgate";

/// `sockaddr_un` has 108 bytes, one of them for the ending zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// An ordinary user that root hands the server to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerUser {
    pub uid: u32,
    pub gid: u32,
}

/// The folder the server lives in, and who runs it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// The folder that was asked for, where it could not be used.
    pub(super) moved_from: Option<PathBuf>,
    /// `None` when the server runs as whoever runs the gateway.
    pub(super) user: Option<ServerUser>,
}

impl Place {
    pub(super) fn data_directory(&self) -> PathBuf {
        self.directory.join("cluster")
    }

    /// The folder `initdb` fills, renamed when it is whole.
    pub(super) fn unfinished_data_directory(&self) -> PathBuf {
        self.directory.join("cluster.new")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }
}

/// Makes `wanted` where it is missing, and answers it, or the folder that stands in for it.
pub(super) fn find_place(wanted: &Path) -> Result<Place, EmbeddedError> {
    std::fs::create_dir_all(wanted).map_err(|error| io_error("create", wanted, &error))?;
    let wanted = wanted.canonicalize().map_err(|error| io_error("read", wanted, &error))?;
    if !rustix::process::geteuid().is_root() {
        return Ok(Place { directory: wanted, moved_from: None, user: None });
    }
    // Data that an ordinary user made before stay theirs.
    let user = match owner_of(&wanted.join("cluster")) {
        Some(owner) => owner,
        None => unprivileged_user()?,
    };
    if reachable(&wanted, &user) {
        return Ok(Place { directory: wanted, moved_from: None, user: Some(user) });
    }
    let user = unprivileged_user()?;
    let directory = Path::new(SHARED_DIRECTORY).join(short_hash(&wanted));
    std::fs::create_dir_all(&directory).map_err(|error| io_error("create", &directory, &error))?;
    for folder in [Path::new(SHARED_DIRECTORY), &directory] {
        // Whatever the umask is, the server's user has to pass through.
        std::fs::set_permissions(folder, Permissions::from_mode(0o755))
            .map_err(|error| io_error("open up", folder, &error))?;
    }
    let user = owner_of(&directory.join("cluster")).unwrap_or(user);
    Ok(Place { directory, moved_from: Some(wanted), user: Some(user) })
}

/// Whether `user` may enter `folder`, by the mode bits of it and of every folder above.
pub(super) fn reachable(folder: &Path, user: &ServerUser) -> bool {
    folder.ancestors().all(|ancestor| {
        std::fs::metadata(ancestor).is_ok_and(|metadata| {
            let shift = if metadata.uid() == user.uid {
                6
            } else if metadata.gid() == user.gid {
                3
            } else {
                0
            };
            (metadata.mode() >> shift) & 1 == 1
        })
    })
}

/// Makes `folder` where it is missing: 0700, the server's user's. One that is somebody else's is refused.
pub(super) fn make_private_directory(folder: &Path, user: Option<&ServerUser>) -> Result<(), EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("create", folder, &error)),
    }
    // Not following links: in a shared folder such as /tmp anyone may have put one here.
    let metadata = std::fs::symlink_metadata(folder).map_err(|error| io_error("read", folder, &error))?;
    let own_uid = rustix::process::geteuid().as_raw();
    let expected_uid = user.map_or(own_uid, |user| user.uid);
    if !metadata.is_dir() || (metadata.uid() != own_uid && metadata.uid() != expected_uid) {
        return Err(EmbeddedError::OwnedByAnother { directory: folder.to_path_buf(), uid: metadata.uid() });
    }
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
        .map_err(|error| io_error("make private", folder, &error))?;
    if metadata.uid() != expected_uid
        && let Some(user) = user
    {
        chown(folder, Some(user.uid), Some(user.gid)).map_err(|error| io_error("give away", folder, &error))?;
    }
    Ok(())
}

/// The private folder of the socket: beside the data, or a short one where that path is too long for a socket.
pub(super) fn make_socket_directory(place: &Place) -> Result<PathBuf, EmbeddedError> {
    let short_name = format!("rowgate-{}", short_hash(&place.directory));
    let candidates =
        [place.directory.join("socket"), std::env::temp_dir().join(&short_name), Path::new("/tmp").join(&short_name)];
    for folder in candidates {
        let in_reach = place.user.as_ref().is_none_or(|user| folder.parent().is_some_and(|up| reachable(up, user)));
        if in_reach && folder.as_os_str().len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_BYTES_MAX {
            make_private_directory(&folder, place.user.as_ref())?;
            return Ok(folder);
        }
    }
    Err(EmbeddedError::NoSocketDirectory { directory: place.directory.clone() })
}

fn owner_of(data_directory: &Path) -> Option<ServerUser> {
    let metadata: Metadata = std::fs::symlink_metadata(data_directory).ok()?;
    (metadata.is_dir() && metadata.uid() != 0).then(|| ServerUser { uid: metadata.uid(), gid: metadata.gid() })
}

fn unprivileged_user() -> Result<ServerUser, EmbeddedError> {
    let passwd_file = Path::new("/etc/passwd");
    let passwd = std::fs::read_to_string(passwd_file).map_err(|error| io_error("read", passwd_file, &error))?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| user_in_passwd(&passwd, name))
        .ok_or(EmbeddedError::NoUnprivilegedUser)
}

fn user_in_passwd(passwd: &str, name: &str) -> Option<ServerUser> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0).then_some(ServerUser { uid, gid })
    })
}

fn short_hash(path: &Path) -> String {
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
