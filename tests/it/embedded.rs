//! The private server: it starts as any user, never twice, and never outlives who started it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rowgate::db::embedded::{self, Cluster, Durability, EmbeddedError, Options, Places, find_binaries};
use tokio_postgres::{Client, NoTls};

use crate::support::{ROWGATE, TestDatabase};

/// Tells a copy of this test binary to start a server in that directory and to hold it until it is killed.
const HOLD: &str = "ROWGATE_TEST_HOLD";

#[tokio::test]
async fn a_second_start_names_the_process_that_has_the_directory() {
    let folder = folder();
    let first = Cluster::start(throw_away(folder.path())).await.unwrap();

    let second = Cluster::start(throw_away(folder.path())).await.unwrap_err();

    let EmbeddedError::InUse { pid, .. } = &second else { panic!("{second}") };
    assert_eq!(*pid, std::process::id());
    assert!(second.to_string().contains(&format!("in use by process {pid}")), "{second}");
    first.stop().await.unwrap();
    Cluster::start(throw_away(folder.path())).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_stop_leaves_no_process_and_the_data_are_there_at_the_next_start() {
    let folder = folder();
    let cluster = Cluster::start(durable(folder.path())).await.unwrap();
    let pids = [cluster.server_pid(), cluster.supervisor_pid()];
    let client = connect(&cluster.connection_string()).await;
    client.batch_execute("CREATE SCHEMA kept; CREATE TABLE kept.numbers AS SELECT 7 AS n").await.unwrap();
    cluster.stop().await.unwrap();
    assert!(pids.iter().all(|pid| !is_alive(*pid)));

    let cluster = Cluster::start(durable(folder.path())).await.unwrap();
    assert_eq!(number_kept(&cluster).await, 7);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn killed_without_warning_leaves_no_process_and_keeps_the_data() {
    if let Some(directory) = std::env::var_os(HOLD) {
        return hold(Path::new(&directory)).await;
    }
    let folder = folder();
    let (mut holder, pids) = start_holder(folder.path());
    holder.kill().unwrap();
    holder.wait().unwrap();

    // At once, while the old server may still be going down.
    let cluster = Cluster::start(durable(folder.path())).await.unwrap();
    assert!(pids.iter().all(|pid| !is_alive(*pid)), "still there: {pids:?}");
    assert_eq!(number_kept(&cluster).await, 7);

    // And when the supervisor itself is killed, the next start stops the server that lost it.
    let [server_pid, supervisor_pid] = [cluster.server_pid(), cluster.supervisor_pid()];
    kill(supervisor_pid);
    cluster.stop().await.unwrap_err();
    assert!(is_alive(server_pid));
    let cluster = Cluster::start(durable(folder.path())).await.unwrap();
    assert!(!is_alive(server_pid));
    assert_eq!(number_kept(&cluster).await, 7);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn killed_without_warning_and_never_started_again_leaves_no_process() {
    if let Some(directory) = std::env::var_os(HOLD) {
        return hold(Path::new(&directory)).await;
    }
    let folder = folder();
    let (mut holder, pids) = start_holder(folder.path());
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    holder.kill().unwrap();
    holder.wait().unwrap();
    until("the server and its supervisor end", || pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn the_server_never_runs_as_root_and_nobody_else_may_enter() {
    let folder = folder();
    let cluster = Cluster::start(throw_away(folder.path())).await.unwrap();

    let own_uid = std::fs::metadata("/proc/self").unwrap().uid();
    let server_uid = std::fs::metadata(format!("/proc/{}", cluster.server_pid())).unwrap().uid();
    assert_ne!(server_uid, 0);
    match cluster.user() {
        Some(user) => assert_eq!((own_uid, server_uid), (0, user.uid)),
        None => assert_eq!(own_uid, server_uid),
    }
    let socket_folder = std::fs::metadata(cluster.socket_directory()).unwrap();
    assert_eq!((socket_folder.uid(), socket_folder.permissions().mode() & 0o777), (server_uid, 0o700));
    let client = connect(&cluster.url()).await;
    let row = client
        .query_one(
            "SELECT current_setting('listen_addresses'), rolsuper, current_database()::text \
             FROM pg_roles WHERE rolname = current_user",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, bool>(1), row.get::<_, &str>(2)), ("", false, "rowgate"));
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn data_out_of_the_servers_reach_are_moved_and_that_is_told() {
    let folder = folder();
    let private = folder.path().join("home");
    std::fs::create_dir(&private).unwrap();
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).unwrap();
    let wanted = private.join("data");

    let cluster = Cluster::start(throw_away(&wanted)).await.unwrap();
    let directory = cluster.directory().to_path_buf();
    let moved_from = cluster.moved_from().map(Path::to_path_buf);
    assert_eq!(connect(&cluster.url()).await.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
    cluster.stop().await.unwrap();

    let wanted = wanted.canonicalize().unwrap();
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_eq!(moved_from, Some(wanted));
        assert!(directory.starts_with("/var/lib/rowgate"), "{}", directory.display());
        std::fs::remove_dir_all(directory).unwrap();
    } else {
        assert_eq!((moved_from, directory), (None, wanted));
    }
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let folder = folder();
    let long = folder.path().join("a long 'name' ".repeat(8));

    let cluster = Cluster::start(throw_away(&long)).await.unwrap();
    let socket_directory = cluster.socket_directory().to_path_buf();
    assert!(!socket_directory.starts_with(folder.path()), "{}", socket_directory.display());
    for text in [cluster.url(), cluster.connection_string()] {
        assert_eq!(connect(&text).await.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
    }
    cluster.stop().await.unwrap();
    assert!(!socket_directory.exists());
}

#[tokio::test]
async fn a_quoted_path_works_in_both_forms_and_in_psql() {
    let folder = folder();
    let odd = folder.path().join(r"it's 50% \odd");

    let cluster = Cluster::start(throw_away(&odd)).await.unwrap();
    assert!(cluster.socket_directory().starts_with(folder.path()), "{}", cluster.socket_directory().display());
    let psql = find_binaries(&Places::default()).unwrap()[0].folder.join("psql");
    for text in [cluster.url(), cluster.connection_string()] {
        assert_eq!(connect(&text).await.query_one("SELECT 7", &[]).await.unwrap().get::<_, i32>(0), 7);
        let output = Command::new(&psql).args(["-XAtc", "SELECT 7", &text]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "7\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_server_the_message_says_where_it_looked_and_how_to_get_one() {
    let folder = folder();
    let mut options = throw_away(folder.path());
    options.places = Places { path: OsString::from("/nothing/here"), patterns: vec![PathBuf::from("/nor/pg-*/bin")] };

    let error = Cluster::start(options).await.unwrap_err();

    insta::assert_snapshot!(error, @r"
    no PostgreSQL server of version 15 or newer was found on this machine
      looked in: /nothing/here, /nor/pg-*/bin
    to get one:
      Debian, Ubuntu: apt-get install postgresql
      Fedora: dnf install postgresql-server
      macOS: brew install postgresql@17
    or set DATABASE_URL to the address of a server that runs already
    ");
}

#[test]
fn servers_too_old_are_named_and_the_newest_comes_first() {
    let folder = folder();
    let install = |name: &str, version: &str| {
        let bin = folder.path().join(name).join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        for program in ["postgres", "initdb"] {
            let file = bin.join(program);
            std::fs::write(&file, format!("#!/bin/sh\necho '{program} (PostgreSQL) {version}'\n")).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    };
    let places = Places { path: OsString::new(), patterns: vec![folder.path().join("pg-*/bin")] };
    install("pg-a", "9.6.24");
    install("pg-b", "14.9 (Debian 14.9-1)");
    let Err(EmbeddedError::NoPostgres { too_old, .. }) = find_binaries(&places) else { panic!("found one") };
    assert_eq!(too_old.len(), 2);

    install("pg-c", "15.14 (Debian 15.14-0+deb12u1)");
    install("pg-d", "18beta1");
    install("pg-e", "17.2");
    let found: Vec<String> = find_binaries(&places).unwrap().into_iter().map(|one| one.version).collect();
    assert_eq!(found, ["18beta1", "17.2", "15.14"]);
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let folder = folder();
    let cluster = Cluster::start(durable(folder.path())).await.unwrap();
    let directory = cluster.directory().to_path_buf();
    cluster.stop().await.unwrap();
    std::fs::write(directory.join("cluster/postgresql.conf"), "no_such_setting = 1\n").unwrap();

    let error = Cluster::start(durable(folder.path())).await.unwrap_err();

    let EmbeddedError::NotStarted { log_end, .. } = &error else { panic!("{error}") };
    assert!(log_end.contains("no_such_setting"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_eight_databases_at_once_are_forty_eight() {
    let tasks: Vec<_> = (0..48)
        .map(|number: i32| {
            tokio::spawn(async move {
                let database = TestDatabase::new().await;
                let client = database.client().await;
                client
                    .batch_execute(&format!("CREATE SCHEMA own; CREATE TABLE own.kept AS SELECT {number} AS n"))
                    .await
                    .unwrap();
                let kept: i32 = client.query_one("SELECT n FROM own.kept", &[]).await.unwrap().get(0);
                assert_eq!(kept, number);
                database.name.clone()
            })
        })
        .collect();
    let mut names = std::collections::BTreeSet::new();
    for task in tasks {
        names.insert(task.await.unwrap());
    }
    assert_eq!(names.len(), 48);
}

#[test]
fn both_forms_of_a_connection_are_escaped() {
    let folder = Path::new(r"/it's 50% \odd");
    insta::assert_snapshot!(embedded::connection_string(folder, "a", "b"), @r"host='/it\'s 50% \\odd' user='a' dbname='b'");
    insta::assert_snapshot!(embedded::url(folder, "a", "b"), @"postgres://a@%2Fit%27s%2050%25%20%5Codd/b");
}

fn durable(directory: &Path) -> Options {
    Options { supervisor: Some(PathBuf::from(ROWGATE)), ..Options::new(directory) }
}

fn throw_away(directory: &Path) -> Options {
    Options { durability: Durability::ThrowAway, ..durable(directory) }
}

/// A folder of this test's own, which the server's user can pass through.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("rg").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

async fn connect(text: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(text, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn number_kept(cluster: &Cluster) -> i32 {
    connect(&cluster.connection_string()).await.query_one("SELECT n FROM kept.numbers", &[]).await.unwrap().get(0)
}

/// Runs the calling test once more, in a process of its own that holds a server with the table `kept`.
fn start_holder(directory: &Path) -> (Child, [u32; 2]) {
    let thread = std::thread::current();
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", thread.name().unwrap(), "--nocapture"])
        .env(HOLD, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let numbers = lines
        .map(Result::unwrap)
        .find_map(|line| line.split_once("held by ").map(|(_, numbers)| numbers.to_owned()))
        .expect("the holder starts its server");
    let (server, supervisor) = numbers.split_once(' ').unwrap();
    (holder, [server.parse().unwrap(), supervisor.parse().unwrap()])
}

async fn hold(directory: &Path) {
    let cluster = Cluster::start(durable(directory)).await.unwrap();
    connect(&cluster.connection_string())
        .await
        .batch_execute("CREATE SCHEMA kept; CREATE TABLE kept.numbers AS SELECT 7 AS n")
        .await
        .unwrap();
    println!("held by {} {}", cluster.server_pid(), cluster.supervisor_pid());
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).unwrap();
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether a process is there and not merely unmourned.
fn is_alive(pid: u32) -> bool {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let is_dead = stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
    !is_dead && rustix::process::test_kill_process(pid).is_ok()
}

/// Polls a condition nothing announces, for half a minute at most.
fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited half a minute: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
