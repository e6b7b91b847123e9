//! What `rowgate dev` keeps in its data directory for itself and the commands beside it.
//!
//! `dev.json` holds what stays the same over restarts: the secret, the operator's key, the ids.
//! `running.json` tells where the running gateway is, and is there only while it runs. Both are
//! readable by their owner alone. The lock says that a directory is in use, and by whom.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use rowgate_schema_dsl::definition::Role;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::auth::key;
use crate::auth::token::{Claims, mint};
use crate::cli::Failed;
use crate::config;

/// Where a development gateway keeps its things unless told otherwise.
pub(super) const DATA_DIR: &str = ".rowgate";

/// A month: long enough that nobody debugs an expired token.
pub(super) const TOKEN_LIFETIME_S: u32 = 30 * 86_400;

/// What stays the same over restarts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DevState {
    pub(super) hs256_secret: String,
    pub(super) admin_key: String,
    pub(super) account_id: Uuid,
    pub(super) overlay_id: Uuid,
    /// The install by the extension's id.
    #[serde(default)]
    pub(super) installs: BTreeMap<Uuid, Uuid>,
}

/// Where the running gateway is, and with what it is called.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Running {
    pub(super) url: String,
    pub(super) admin_url: String,
    pub(super) install_id: Uuid,
    pub(super) extension_id: Uuid,
    pub(super) database_url: String,
    pub(super) admin_key: String,
    pub(super) tokens: Tokens,
}

/// A token for each role.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Tokens {
    pub(super) anonymous: String,
    pub(super) viewer: String,
    pub(super) editor: String,
    pub(super) owner: String,
}

impl Tokens {
    pub(super) fn of(&self, role: Role) -> &str {
        match role {
            Role::Anonymous => &self.anonymous,
            Role::Viewer => &self.viewer,
            Role::Editor => &self.editor,
            Role::Owner => &self.owner,
        }
    }
}

/// A data directory that is this process's until it ends.
#[derive(Debug)]
pub(super) struct DataDir {
    pub(super) path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory where it is missing, and takes it.
    pub(super) fn take(path: &Path) -> Result<DataDir, Failed> {
        let said = |what: &str, error: io::Error| Failed::Because(format!("cannot {what} {}: {error}", path.display()));
        if !path.exists() {
            std::fs::create_dir_all(path).map_err(|error| said("make the data directory", error))?;
            // It is inside somebody's repository, as a rule.
            std::fs::write(path.join(".gitignore"), "*\n").map_err(|error| said("write into", error))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(path.join("dev.lock")).map_err(|error| said("write into", error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(said("lock", error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Without the number the message only lacks it.
                let _ = lock.read_to_string(&mut holder);
                let holder = holder.trim();
                let process = if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                return Err(Failed::Because(format!(
                    "another `rowgate dev`{process} uses the data directory {}; \
                     stop it, or choose another directory with --data-dir",
                    path.display()
                )));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|error| said("write into", error))?;
        Ok(DataDir { path: path.to_path_buf(), _lock: lock })
    }

    /// The state kept here; made on first use.
    pub(super) fn state(&self) -> Result<DevState, Failed> {
        if let Some(state) = read_state(&self.path)? {
            return Ok(state);
        }
        let (admin_key, _) = key::mint_admin_key()?;
        let mut bits = [0; 32];
        SysRng
            .try_fill_bytes(&mut bits)
            .map_err(|error| Failed::Because(format!("the operating system gave no random bytes: {error}")))?;
        let state = DevState {
            hs256_secret: URL_SAFE_NO_PAD.encode(bits),
            admin_key,
            account_id: Uuid::now_v7(),
            overlay_id: Uuid::now_v7(),
            installs: BTreeMap::new(),
        };
        self.keep(&state)?;
        Ok(state)
    }

    pub(super) fn keep(&self, state: &DevState) -> Result<(), Failed> {
        write_private(&self.path.join("dev.json"), state)
    }

    pub(super) fn announce(&self, running: &Running) -> Result<(), Failed> {
        write_private(&self.path.join("running.json"), running)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // It may never have been written; a stale one is told by a gateway that does not answer.
        let _ = std::fs::remove_file(self.path.join("running.json"));
    }
}

/// The state in `data_dir`, where a `rowgate dev` has run there.
pub(super) fn read_state(data_dir: &Path) -> Result<Option<DevState>, Failed> {
    read(&data_dir.join("dev.json"))
}

/// The gateway that runs on `data_dir`, where one does or was killed.
pub(super) fn read_running(data_dir: &Path) -> Result<Option<Running>, Failed> {
    read(&data_dir.join("running.json"))
}

/// A token by the rules of `auth`, signed with `secret`, good from now on.
pub(super) fn token(
    secret: &str,
    auth: &config::Auth,
    install_id: Uuid,
    role: Role,
    user_id: Option<String>,
    lifetime_s: u32,
) -> Result<String, Failed> {
    let claims = Claims {
        issuer: auth.issuer.clone(),
        audience: auth.audience.clone(),
        ..Claims::new(install_id, role, user_id.or_else(|| development_user(role)))
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(mint(secret.as_bytes(), &claims, lifetime_s, i64::try_from(now_s).unwrap_or(i64::MAX))?)
}

/// The user a role has while developing; someone anonymous is nobody.
fn development_user(role: Role) -> Option<String> {
    match role {
        Role::Anonymous => None,
        Role::Viewer | Role::Editor | Role::Owner => Some(format!("dev-{}", role.as_str())),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Failed> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failed::Because(format!("cannot read {}: {error}", path.display()))),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Failed::Because(format!("{} is damaged: {error}; remove it, and `rowgate dev` writes it anew", path.display()))
    })
}

/// Writes whole or not at all, for the owner's eyes alone.
fn write_private(path: &Path, value: &impl Serialize) -> Result<(), Failed> {
    let said = |error: io::Error| Failed::Because(format!("cannot write {}: {error}", path.display()));
    let unfinished = path.with_extension("json.new");
    // A left-over might have another mode.
    let _ = std::fs::remove_file(&unfinished);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(said)?;
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(said)?;
    std::fs::rename(&unfinished, path).map_err(said)
}
