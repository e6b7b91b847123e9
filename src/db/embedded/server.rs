//! One Postgres server process: made by `initdb`, started, awaited, stopped.
//!
//! Runs inside the supervisor only. What it leaves on disk is in `place`'s folders.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::process::Child;

use crate::db::embedded::binaries::Installation;
use crate::db::embedded::place::{Place, ServerUser, make_private_directory, reachable};
use crate::db::embedded::{Durability, EmbeddedError, SUPERUSER, io_error};

/// A fast stop writes a checkpoint first; an immediate one only ends processes.
const FAST_STOP_MS_MAX: u64 = 20_000;
const IMMEDIATE_STOP_MS_MAX: u64 = 5_000;
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A log that has grown beyond this is begun anew at the next start.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// How much of the log's end a message shows.
const LOG_END_LINES: usize = 20;
const LOG_END_BYTES_MAX: u64 = 8 << 10;

/// Linux has one locale with UTF-8 everywhere and plain byte order; elsewhere `C` sorts the same.
const LOCALE: &str = if cfg!(target_os = "linux") { "C.UTF-8" } else { "C" };

/// The server's process and where it writes its log.
pub(super) struct Server {
    pub(super) process: Child,
    pub(super) pid: u32,
    data_directory: PathBuf,
    log_file: PathBuf,
    /// Where this run's part of the log begins.
    log_start_bytes: u64,
}

/// The newest server that can read what is in the data directory and that its user can reach.
pub(super) fn choose_installation(
    installations: &[Installation],
    place: &Place,
) -> Result<Installation, EmbeddedError> {
    let reachable_ones = || {
        let user = place.user.as_ref();
        installations.iter().filter(move |one| user.is_none_or(|user| reachable(&one.folder, user)))
    };
    let data_directory = place.data_directory();
    let version_file = data_directory.join("PG_VERSION");
    let wanted = std::fs::read_to_string(version_file).ok().and_then(|text| text.trim().parse::<u32>().ok());
    let chosen = reachable_ones().find(|one| wanted.is_none_or(|major_version| one.major_version == major_version));
    match (chosen, wanted) {
        (Some(installation), _) => Ok(installation.clone()),
        (None, Some(major_version)) if reachable_ones().next().is_some() => {
            let found: Vec<&str> = reachable_ones().map(|one| one.version.as_str()).collect();
            Err(EmbeddedError::VersionMissing {
                directory: data_directory,
                major_version,
                found: format!("PostgreSQL {}", found.join(", ")),
            })
        }
        (None, _) => {
            let folders: Vec<String> = installations.iter().map(|one| one.folder.display().to_string()).collect();
            Err(EmbeddedError::NothingReachable {
                uid: place.user.as_ref().map_or(0, |user| user.uid),
                folders: folders.join(", "),
            })
        }
    }
}

/// Stops a server that outlived its supervisor, so that two never write the same files.
///
/// On Linux a server is known by its working directory, which is its data directory: a process that
/// only got the old server's number is left alone. Elsewhere Postgres's own check has the last word.
pub(super) fn stop_leftover(place: &Place) -> Result<(), EmbeddedError> {
    let data_directory = place.data_directory();
    let Ok(text) = std::fs::read_to_string(data_directory.join("postmaster.pid")) else { return Ok(()) };
    let Some(raw) = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else { return Ok(()) };
    let Some(pid) = Pid::from_raw(raw) else { return Ok(()) };
    let working_directory = PathBuf::from(format!("/proc/{raw}/cwd"));
    let is_running = || std::fs::read_link(&working_directory).is_ok_and(|folder| folder == data_directory);
    let started = Instant::now();
    if is_running() {
        // One that has ended in the meantime cannot be signalled; that is what is wanted.
        let _ = kill_process(pid, Signal::INT);
    }
    while is_running() {
        if started.elapsed() > Duration::from_millis(FAST_STOP_MS_MAX) {
            return Err(EmbeddedError::StillStopping { directory: data_directory, waited_ms: FAST_STOP_MS_MAX });
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Makes the data directory where there is none. It gets its name only when it is whole.
pub(super) fn initialise(
    place: &Place,
    installation: &Installation,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    let data_directory = place.data_directory();
    if data_directory.join("PG_VERSION").exists() {
        return Ok(());
    }
    let unfinished = place.unfinished_data_directory();
    remove_directory(&unfinished)?;
    make_private_directory(&unfinished, place.user.as_ref())?;
    let mut command = command(&installation.folder.join("initdb"), place.user.as_ref());
    command
        .arg("--pgdata")
        .arg(&unfinished)
        .args(["--username", SUPERUSER, "--encoding", "UTF8", "--locale", LOCALE, "--no-instructions"])
        // Only who can enter the socket's private folder can try at all; see `place`.
        .args(["--auth-local", "trust", "--auth-host", "reject"])
        .current_dir(&unfinished)
        .stdin(Stdio::null());
    match durability {
        Durability::Durable => {}
        Durability::ThrowAway => {
            command.arg("--no-sync");
        }
    }
    let output = command.output().map_err(|error| io_error("run", &installation.folder.join("initdb"), &error))?;
    if !output.status.success() {
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        return Err(EmbeddedError::Initdb { output: text.trim_end().to_owned() });
    }
    std::fs::rename(&unfinished, &data_directory).map_err(|error| io_error("rename", &unfinished, &error))?;
    // The rename itself has to survive a power cut too.
    File::open(&place.directory)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_error("sync", &place.directory, &error))
}

/// Starts the server; it accepts connections once [`Server::accepts`] has answered.
pub(super) fn spawn(
    place: &Place,
    installation: &Installation,
    socket_directory: &Path,
    log_file: &Path,
    settings: &[(String, String)],
) -> Result<Server, EmbeddedError> {
    let data_directory = place.data_directory();
    let log = open_log(log_file)?;
    let log_start_bytes = log.metadata().map_or(0, |metadata| metadata.len());
    let also_log = log.try_clone().map_err(|error| io_error("open", log_file, &error))?;
    let program = installation.folder.join("postgres");
    let mut command = command(&program, place.user.as_ref());
    command.arg("-D").arg(&data_directory).arg("-k").arg(socket_directory);
    for (name, value) in settings {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    command.current_dir(&data_directory).stdin(Stdio::null()).stdout(log).stderr(also_log);
    let process = tokio::process::Command::from(command).spawn().map_err(|error| io_error("run", &program, &error))?;
    let pid = process.id().unwrap_or_default();
    Ok(Server { process, pid, data_directory, log_file: log_file.to_path_buf(), log_start_bytes })
}

impl Server {
    /// Waits until the server says in its own lock file that it accepts connections.
    pub(super) async fn accepts(&mut self, timeout_ms: u64) -> Result<(), EmbeddedError> {
        let started = Instant::now();
        loop {
            let ended = self.process.try_wait();
            if let Ok(Some(status)) = ended {
                return Err(self.not_started(format!("it ended with {status}")));
            }
            let state = std::fs::read_to_string(self.data_directory.join("postmaster.pid")).unwrap_or_default();
            let mut lines = state.lines();
            // The file may be the one of a server that crashed: the first line tells whose it is.
            let is_own = lines.next().is_some_and(|line| line.trim() == self.pid.to_string());
            if is_own && lines.nth(6).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            if started.elapsed() > Duration::from_millis(timeout_ms) {
                return Err(self.not_started(format!("it accepted no connection within {timeout_ms} ms")));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Stops the server: open transactions are rolled back, everything committed is on disk.
    pub(super) async fn stop(&mut self) {
        for (signal, wait_ms_max) in [
            (Signal::INT, FAST_STOP_MS_MAX),
            (Signal::QUIT, IMMEDIATE_STOP_MS_MAX),
            (Signal::KILL, IMMEDIATE_STOP_MS_MAX),
        ] {
            // `id` is `None` once the process was waited for, so the number is never another's.
            let Some(pid) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
                return;
            };
            let _ = kill_process(pid, signal);
            if tokio::time::timeout(Duration::from_millis(wait_ms_max), self.process.wait()).await.is_ok() {
                return;
            }
        }
    }

    fn not_started(&self, reason: String) -> EmbeddedError {
        EmbeddedError::NotStarted {
            reason,
            log_file: self.log_file.clone(),
            log_end: log_end(&self.log_file, self.log_start_bytes),
        }
    }
}

/// Removes a folder with all it holds; one that is not there is fine.
pub(super) fn remove_directory(folder: &Path) -> Result<(), EmbeddedError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", folder, &error)),
    }
}

/// Whether a process has this number and has not ended; one that nobody waited for yet has ended.
pub(super) fn is_alive(pid: u32) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    if let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        // The name before the state is in parentheses and may hold anything, parentheses too.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        return !matches!(state, Some('Z' | 'X'));
    }
    matches!(test_kill_process(raw), Ok(()) | Err(rustix::io::Errno::PERM))
}

/// A command as the server's user, without the caller's settings for Postgres clients and servers.
fn command(program: &Path, user: Option<&ServerUser>) -> Command {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") || text.starts_with("LC_") || text == "LANG" || text == "LANGUAGE" {
            command.env_remove(&name);
        }
    }
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    command
}

fn open_log(log_file: &Path) -> Result<File, EmbeddedError> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_file)
        .map_err(|error| io_error("open", log_file, &error))?;
    if log.metadata().is_ok_and(|metadata| metadata.len() > LOG_BYTES_MAX) {
        log.set_len(0).map_err(|error| io_error("shorten", log_file, &error))?;
    }
    Ok(log)
}

fn log_end(log_file: &Path, start_bytes: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log_file)?;
        let length_bytes = file.metadata()?.len();
        file.seek(SeekFrom::Start(start_bytes.max(length_bytes.saturating_sub(LOG_END_BYTES_MAX))))?;
        let mut bytes = Vec::new();
        file.take(LOG_END_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(LOG_END_LINES);
    lines.into_iter().skip(skipped).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
