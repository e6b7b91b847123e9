//! The process between the gateway and its private server: it outlives a killed gateway just long
//! enough to stop the server.
//!
//! It is the gateway's own executable, run with a hidden first argument. Its standard input is a
//! pipe that only the gateway holds open: end of file means that the gateway is gone, however it
//! went. It holds the data directory's lock from before `initdb` until the server has ended, so
//! whoever gets the lock finds no server there. It answers once, one line of JSON.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::db::embedded::binaries::Installation;
use crate::db::embedded::place::{Place, find_place, make_private_directory, make_socket_directory};
use crate::db::embedded::server::{self, Server};
use crate::db::embedded::{Durability, EmbeddedError, Lifetime, Started, io_error};

/// How long a lock is waited for whose holder's gateway has ended: longer than any stop takes.
const STOPPING_WAIT_MS_MAX: u64 = 30_000;
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What the gateway asks of a supervisor, its one argument.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) caller_pid: u32,
    pub(super) directory: std::path::PathBuf,
    pub(super) durability: Durability,
    pub(super) lifetime: Lifetime,
    pub(super) connections_max: u32,
    pub(super) log_file: Option<std::path::PathBuf>,
    pub(super) start_timeout_ms: u64,
    pub(super) installations: Vec<Installation>,
}

pub(super) type Answer = Result<Started, EmbeddedError>;

/// The supervisor's whole life; `main` calls it with the arguments after [`super::SUPERVISE_COMMAND`].
pub fn supervise(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let order = arguments.next().and_then(|text| serde_json::from_str::<Order>(text.to_str()?).ok());
    let Some(order) = order else {
        eprintln!("this command is for rowgate itself; `rowgate dev DIR` starts a private server");
        return ExitCode::from(2);
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            answer(&Err(EmbeddedError::SupervisorLost { reason: error.to_string() }));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            answer(&Err(error));
            ExitCode::FAILURE
        }
    }
}

async fn run(order: &Order) -> Result<(), EmbeddedError> {
    let mut end = End::watch(&order.lifetime)?;
    let place = find_place(&order.directory)?;
    let lock = lock_directory(&place, order)?;
    server::stop_leftover(&place)?;
    match order.durability {
        Durability::Durable => {}
        // What a crash left of a server that never synced is worth nothing.
        Durability::ThrowAway => server::remove_directory(&place.data_directory())?,
    }
    let installation = server::choose_installation(&order.installations, &place)?;
    server::initialise(&place, &installation, order.durability)?;
    make_private_directory(&place.data_directory(), place.user.as_ref())?;
    let socket_directory = make_socket_directory(&place)?;
    let log_file = order.log_file.clone().unwrap_or_else(|| place.log_file());
    let settings = settings(order.durability, order.connections_max);
    let mut server = server::spawn(&place, &installation, &socket_directory, &log_file, &settings)?;

    let started = Started {
        directory: place.directory.clone(),
        moved_from: place.moved_from.clone(),
        socket_directory: socket_directory.clone(),
        log_file,
        version: installation.version,
        user: place.user.clone(),
        server_pid: server.pid,
        supervisor_pid: std::process::id(),
    };
    let outcome = tokio::select! {
        outcome = server.accepts(order.start_timeout_ms) => outcome.map(|()| true),
        () = end.wait() => Ok(false),
    };
    if let Ok(true) = outcome {
        answer(&Ok(started));
        tokio::select! {
            _ = server.process.wait() => {}
            () = end.wait() => {}
        }
    }
    clean_up(&mut server, &place, &socket_directory, order.durability).await?;
    // Not before: the lock says that the server may still be there, and the users' lock that its files may be.
    drop(lock);
    drop(end);
    outcome.map(|_| ())
}

async fn clean_up(
    server: &mut Server,
    place: &Place,
    socket_directory: &Path,
    durability: Durability,
) -> Result<(), EmbeddedError> {
    server.stop().await;
    server::remove_directory(socket_directory)?;
    match durability {
        Durability::Durable => Ok(()),
        Durability::ThrowAway => server::remove_directory(&place.data_directory()),
    }
}

/// The settings of the server, beyond Postgres's defaults.
fn settings(durability: Durability, connections_max: u32) -> Vec<(String, String)> {
    let mut settings = vec![
        ("listen_addresses", String::new()),
        ("port", "5432".to_owned()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", connections_max.to_string()),
        ("logging_collector", "off".to_owned()),
        ("log_destination", "stderr".to_owned()),
    ];
    if cfg!(target_os = "linux") {
        // After a crash the whole file system is synced at once instead of file by file.
        settings.push(("recovery_init_sync_method", "syncfs".to_owned()));
    }
    match durability {
        Durability::Durable => {}
        Durability::ThrowAway => settings.extend(
            [
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
                ("wal_level", "minimal"),
                ("max_wal_senders", "0"),
                ("max_wal_size", "4GB"),
                ("checkpoint_timeout", "1d"),
                // Hundreds of databases that live for seconds: a visit to each is wasted.
                ("autovacuum", "off"),
            ]
            .map(|(name, value)| (name, value.to_owned())),
        ),
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Takes the data directory's lock, waiting only for a holder whose gateway has ended already.
fn lock_directory(place: &Place, order: &Order) -> Result<File, EmbeddedError> {
    let path = place.lock_file();
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| io_error("open", &path, &error))?;
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(io_error("lock", &path, &error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // Read anew each time: a holder writes its number only after it got the lock.
        if let Some(pid) = read_number(&mut lock)
            && server::is_alive(pid)
        {
            return Err(EmbeddedError::InUse { directory: place.directory.clone(), pid });
        }
        if started.elapsed() > Duration::from_millis(STOPPING_WAIT_MS_MAX) {
            let directory = place.directory.clone();
            return Err(EmbeddedError::StillStopping { directory, waited_ms: STOPPING_WAIT_MS_MAX });
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let pid = match order.lifetime {
        Lifetime::Caller => order.caller_pid,
        Lifetime::Users { .. } => std::process::id(),
    };
    lock.set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| lock.write_all(format!("{pid}\n").as_bytes()))
        .map_err(|error| io_error("write", &path, &error))?;
    Ok(lock)
}

fn read_number(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn answer(answer: &Answer) {
    if let Ok(text) = serde_json::to_string(answer) {
        // A gateway that is gone reads no answer.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
}

/// What ends the supervisor: its lifetime is over, or somebody asks by signal.
struct End {
    lifetime: oneshot::Receiver<Option<File>>,
    /// Kept locked until the files are gone, so that a new user waits for that.
    users_lock: Option<File>,
    signals: [Signal; 3],
}

impl End {
    fn watch(lifetime: &Lifetime) -> Result<End, EmbeddedError> {
        let lost = |error: std::io::Error| EmbeddedError::SupervisorLost { reason: error.to_string() };
        let signals = [
            signal(SignalKind::terminate()).map_err(lost)?,
            signal(SignalKind::interrupt()).map_err(lost)?,
            signal(SignalKind::hangup()).map_err(lost)?,
        ];
        let (sender, receiver) = oneshot::channel();
        match lifetime {
            Lifetime::Caller => {
                std::thread::spawn(move || {
                    // Nothing is ever written: this returns at end of file, or on an error, which means the same.
                    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
                    let _ = sender.send(None);
                });
            }
            Lifetime::Users { lock_file, idle_ms } => {
                let path = lock_file.clone();
                let idle = Duration::from_millis(*idle_ms);
                std::thread::spawn(move || {
                    let _ = sender.send(lock_when_unused(&path, idle));
                });
            }
        }
        Ok(End { lifetime: receiver, users_lock: None, signals })
    }

    async fn wait(&mut self) {
        let [terminate, interrupt, hangup] = &mut self.signals;
        tokio::select! {
            lock = &mut self.lifetime => self.users_lock = lock.ok().flatten(),
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Answers the lock, held alone, after nobody else held it for `idle`; `None` if the file cannot be locked.
fn lock_when_unused(path: &Path, idle: Duration) -> Option<File> {
    let interval = (idle / 20).max(POLL_INTERVAL);
    let mut idle_since: Option<Instant> = None;
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).ok()?;
        match file.try_lock() {
            Ok(()) => {
                if idle_since.get_or_insert_with(Instant::now).elapsed() >= idle {
                    return Some(file);
                }
            }
            Err(TryLockError::WouldBlock) => idle_since = None,
            Err(TryLockError::Error(_)) => return None,
        }
        // Let go in between: a newcomer must not wait for a server that stays.
        drop(file);
        std::thread::sleep(interval);
    }
}
