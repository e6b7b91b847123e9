//! What breaks under a gateway while it is called: its Postgres restarted, killed, stalled, or without
//! room. A gateway is a process of its own here, so that its memory can be looked at.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rowgate::db::embedded::ROLE;
use rustix::process::{Pid, Signal, kill_process};

use crate::faults::terminate;
use crate::hostile::notes;
use crate::support::gateway::install;
use crate::support::load::{Caller, Kind, Load, Told};
use crate::support::node::Node;
use crate::support::proxy::Proxy;
use crate::support::until::until;
use crate::support::{TestDatabase, cluster_in};

/// Callers of each kind.
const EACH: usize = 4;
/// What a gateway may hold more after a fault than before: buffers, and what the allocator keeps.
const GROWTH_BYTES_MAX: u64 = 96 << 20;
/// What callers may be told while a database is away.
const AWAY: [&str; 4] = ["200", "database_unavailable", "statement_timeout", "overloaded"];

/// A gateway on a database behind a proxy, under load.
struct Bed {
    database: TestDatabase,
    proxy: Proxy,
    node: Node,
    caller: Caller,
    before_bytes: u64,
}

impl Bed {
    async fn new(database: TestDatabase, settings: &[(&str, &str)]) -> Bed {
        let install = install(&database, &notes()).await;
        let proxy = Proxy::start(database.socket()).await;
        let node = Node::start(&proxy.url(ROLE, &database.name), settings);
        let caller = Caller::new(node.address, &install);
        // What is made once is made by now.
        for _ in 0..20 {
            let came = caller.call(Kind::Write, "addNote", &serde_json::json!({ "text": "before" }), None).await;
            assert_eq!(came.what, "200");
        }
        let before_bytes = node.resident_bytes();
        Bed { database, proxy, node, caller, before_bytes }
    }

    /// Callers of which some were served already.
    async fn load(&self) -> Load {
        let load = Load::start(&self.caller, EACH);
        self.until_served(200.0).await;
        load
    }

    async fn until_served(&self, calls: f64) {
        let served = || self.node.metric("rowgate_call_duration_seconds_count");
        let before = served().await;
        until("callers are served", async || served().await >= before + calls).await;
    }

    /// Ends the load once callers of each kind were served again after `mended`, and judges what they saw.
    async fn judge(&self, fault: &str, load: Load, mended: Instant, may: &[&str]) -> Told {
        let note = serde_json::json!({ "text": "after" });
        until("a write is served", async || self.caller.call(Kind::Write, "addNote", &note, None).await.what == "200")
            .await;
        self.until_served(200.0).await;
        let told = load.end().await;
        told.print(fault, mended);
        let grown = self.node.resident_bytes().saturating_sub(self.before_bytes);
        println!("  the gateway held {} KiB, and {} KiB more after it", self.before_bytes >> 10, grown >> 10);
        assert!(grown < GROWTH_BYTES_MAX, "it holds {grown} bytes more than before");
        for what in told.ends().keys() {
            assert!(may.contains(what), "a call ended by {what}");
        }
        let ready = async || self.node.readiness().await == Some(200);
        until("it is ready", ready).await;
        told.check_writes(&self.database.superuser().await).await;
        told
    }
}

/// The named writes of callers may be under way when they are asked for again.
fn away() -> Vec<&'static str> {
    [&AWAY[..], &["idempotency_key_in_use"]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_restarted_under_load() {
    for (fault, is_immediate) in [("Postgres stopped and started", false), ("Postgres crashed and recovered", true)] {
        let folder = cluster_in::folder();
        let cluster = cluster_in::start(folder.path()).await;
        let bed = Bed::new(TestDatabase::of(&cluster).await, &[]).await;
        let load = bed.load().await;
        if is_immediate {
            let pid = Pid::from_raw(i32::try_from(cluster.server_pid()).unwrap()).unwrap();
            kill_process(pid, Signal::QUIT).unwrap();
        }
        cluster.stop().await.unwrap();
        let cluster = cluster_in::start(folder.path()).await;
        let mended = Instant::now();
        let database = TestDatabase::of(&cluster).await;
        bed.proxy.lead_to(database.socket());
        let bed = Bed { database, ..bed };
        bed.judge(fault, load, mended, &away()).await;
        cluster.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_sessions_are_terminated_under_load() {
    let bed = Bed::new(TestDatabase::new().await, &[]).await;
    let superuser = bed.database.superuser().await;
    let load = bed.load().await;
    let mut ended = 0;
    for _ in 0..5 {
        bed.until_served(100.0).await;
        ended += terminate(&superuser, &bed.database.name).await;
    }
    let mended = Instant::now();
    let told = bed.judge(&format!("{ended} sessions terminated"), load, mended, &away()).await;
    let reads = told.came.iter().filter(|came| came.kind == Kind::Read);
    assert_eq!(reads.filter(|came| came.what != "200").count(), 0, "a reader has noticed");
}

/// With `ROWGATE_FAULTS=all` half a minute and the settings there are by default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_socket_stalls_for_longer_than_a_call_may_take() {
    let is_long = std::env::var("ROWGATE_FAULTS").is_ok_and(|which| which == "all");
    let short = [("ROWGATE_HTTP__CALL_TIMEOUT_MS", "1000"), ("ROWGATE_DATABASE__STATEMENT_TIMEOUT_MS", "500")];
    let (stall, settings) =
        if is_long { (Duration::from_secs(30), &[][..]) } else { (Duration::from_secs(4), &short[..]) };
    let bed = Bed::new(TestDatabase::new().await, settings).await;
    let load = bed.load().await;
    bed.proxy.stall();
    tokio::time::sleep(stall).await;
    bed.proxy.resume();
    let mended = Instant::now();
    let told = bed.judge(&format!("a stall of {} ms", stall.as_millis()), load, mended, &away()).await;
    let call_timeout = Duration::from_millis(if is_long { 10_000 } else { 1_000 });
    // Nobody is kept waiting for longer than was said: this much more is the machine's.
    assert!(told.slowest() < call_timeout + Duration::from_secs(5), "{:?}", told.slowest());
}

/// A session that hangs for good, with others that do not: calls go by the others, and it is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_hangs_is_given_up() {
    let settings = [("ROWGATE_HTTP__CALL_TIMEOUT_MS", "1000"), ("ROWGATE_DATABASE__STATEMENT_TIMEOUT_MS", "500")];
    let bed = Bed::new(TestDatabase::new().await, &settings).await;
    bed.proxy.stall_those_there_are();
    let load = Load::start(&bed.caller, EACH);
    let mended = Instant::now();
    bed.judge("every session hangs for good, new ones do not", load, mended, &away()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_disk_is_full() {
    let Some(disk) = SmallDisk::mount(192 << 20) else {
        eprintln!("SKIPPED: a full disk is tried where this user may mount a tmpfs");
        return;
    };
    let cluster = cluster_in::start(&disk.folder).await;
    let bed = Bed::new(TestDatabase::of(&cluster).await, &[]).await;
    let load = bed.load().await;
    let ballast = disk.fill();
    let full = Instant::now();
    until("a write is refused", async || {
        let text = "x".repeat(20_000);
        bed.caller.call(Kind::Write, "addNote", &serde_json::json!({ "text": text }), None).await.what != "200"
    })
    .await;
    println!("writes were refused {} ms after the disk was full", full.elapsed().as_millis());
    let reads = bed.caller.call(Kind::Read, "countNotes", &serde_json::json!({}), None).await;
    println!("a read was answered {} meanwhile", reads.what);
    std::fs::remove_file(ballast).unwrap();
    let mut cluster = cluster;
    // A server that found no room for its log of writes has ended, as it should: its operator starts it.
    if !std::path::Path::new(&format!("/proc/{}", cluster.server_pid())).exists() {
        println!("Postgres itself had ended");
        let _ = cluster.stop().await;
        cluster = cluster_in::start(&disk.folder).await;
        bed.proxy.lead_to(TestDatabase::of(&cluster).await.socket());
    }
    let mended = Instant::now();
    let bed = Bed { database: TestDatabase::of(&cluster).await, ..bed };
    bed.judge("a full disk", load, mended, &away()).await;
    drop(bed);
    cluster.stop().await.unwrap();
}

/// A file system of its own, unmounted when dropped.
struct SmallDisk {
    folder: PathBuf,
    _parent: tempfile::TempDir,
}

impl SmallDisk {
    fn mount(bytes: u64) -> Option<SmallDisk> {
        let parent = cluster_in::folder();
        let folder = parent.path().join("disk");
        std::fs::create_dir(&folder).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=755"), "none"]).arg(&folder);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(SmallDisk { folder, _parent: parent })
    }

    /// Leaves no room at all.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.folder.join("ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        let block = vec![0; 4_096];
        while file.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.folder).output();
    }
}
