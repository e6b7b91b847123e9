//! What a worker may not do, held by the kernel: files, sockets, processes, more memory.
//!
//! Three walls, each its own: limits on resources; landlock, which knows files, TCP ports and
//! signals; and a list of the system calls that running Luau needs, so that every other fails. A
//! kernel without one of the latter is said so by [`Jail`], and the others hold.

use std::fs::File;
use std::io;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, getpid, kill_process, setrlimit};

/// Input, output, and the log.
const FILES_MAX: u64 = 3;

/// How much of a wall is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    Whole,
    /// An older kernel, which knows some of it.
    Partly,
    Not,
}

/// What holds a worker beyond limits on resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jail {
    /// Landlock: no file, no TCP port, no signal to others.
    pub files: Held,
    /// Seccomp: no system call beyond a short list.
    pub calls: Held,
}

impl Held {
    pub(super) fn as_u8(self) -> u8 {
        match self {
            Held::Whole => 0,
            Held::Partly => 1,
            Held::Not => 2,
        }
    }

    pub(super) fn of(number: u8) -> Option<Held> {
        [Held::Whole, Held::Partly, Held::Not].into_iter().find(|held| held.as_u8() == number)
    }

    fn as_str(self) -> &'static str {
        match self {
            Held::Whole => "whole",
            Held::Partly => "partly",
            Held::Not => "not",
        }
    }
}

impl Jail {
    /// Whether both walls are there.
    pub fn is_whole(&self) -> bool {
        self.files == Held::Whole && self.calls == Held::Whole
    }
}

/// Bounds memory, and leaves no descriptor, no process and no core to be made.
pub(super) fn limit_resources(memory_bytes: u64) -> io::Result<()> {
    let limits =
        [(Resource::Data, memory_bytes), (Resource::Nofile, FILES_MAX), (Resource::Core, 0), (Resource::Nproc, 0)];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    Ok(())
}

/// Lets whoever serves go first where processors are few: a script that loops takes what is left.
pub(super) fn give_way() {
    const NICENESS: i32 = 10;
    // Who may not even be nicer runs as before.
    let _ = rustix::process::nice(NICENESS);
}

/// Takes every right to files, TCP and foreign processes from this thread and those it starts.
#[cfg(target_os = "linux")]
pub(super) fn forbid_files() -> Held {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};

    let restrict = || {
        Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V6))?
            .handle_access(AccessNet::from_all(ABI::V6))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .restrict_self()
    };
    match restrict().map(|status| status.ruleset) {
        Ok(RulesetStatus::FullyEnforced) => Held::Whole,
        Ok(RulesetStatus::PartiallyEnforced) => Held::Partly,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Held::Not,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forbid_files() -> Held {
    Held::Not
}

/// Leaves all threads the system calls that running Luau needs; every other is refused from now on.
#[cfg(target_os = "linux")]
pub(super) fn forbid_calls() -> Held {
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };

    let forbid = || {
        let mut rules: std::collections::BTreeMap<i64, Vec<SeccompRule>> =
            ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        // Memory, but none that can be run.
        let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64);
        for call in [libc::SYS_mmap, libc::SYS_mprotect] {
            let condition = SeccompCondition::new(2, SeccompCmpArgLen::Dword, executable.clone(), 0).ok()?;
            rules.insert(call, vec![SeccompRule::new(vec![condition]).ok()?]);
        }
        let refused = SeccompAction::Errno(libc::EPERM as u32);
        let architecture = std::env::consts::ARCH.try_into().ok()?;
        let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, architecture).ok()?;
        let program: BpfProgram = filter.try_into().ok()?;
        seccompiler::apply_filter_all_threads(&program).ok()
    };
    if forbid().is_some() { Held::Whole } else { Held::Not }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn forbid_calls() -> Held {
    Held::Not
}

/// What reading, writing, waiting, the clock, memory and ending a thread need.
#[cfg(target_os = "linux")]
const ALLOWED: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_ppoll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Tries what must be refused and writes, line by line, what came of it.
pub(super) fn probe(jail: &Jail) -> io::Result<()> {
    let outcome = |done: io::Result<()>| match done {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("refused ({})", error.raw_os_error().unwrap_or(0)),
    };
    let executable = std::env::current_exe().unwrap_or_else(|_| "/bin/sh".into());
    let tried = [
        ("landlock", jail.files.as_str().to_owned()),
        ("seccomp", jail.calls.as_str().to_owned()),
        ("open", outcome(File::open("/dev/null").map(drop))),
        ("create", outcome(File::create("/tmp/rowgate-probe").map(drop))),
        ("list", outcome(std::fs::read_dir("/").map(drop))),
        ("udp", outcome(UdpSocket::bind("127.0.0.1:0").map(drop))),
        ("listen", outcome(TcpListener::bind("127.0.0.1:0").map(drop))),
        ("connect", outcome(TcpStream::connect("127.0.0.1:9").map(drop))),
        ("pair", outcome(UnixStream::pair().map(drop))),
        ("fork", outcome(Command::new(&executable).arg("--version").spawn().map(drop))),
        ("thread", outcome(std::thread::Builder::new().spawn(|| ()).map(drop))),
        ("signal", outcome(kill_process(getpid(), Signal::CONT).map_err(Into::into))),
        (
            "limit",
            outcome(setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: Some(64) }).map_err(Into::into)),
        ),
        ("exec", outcome(Err(Command::new(&executable).arg("--version").exec()))),
    ];
    let mut stdout = io::stdout().lock();
    for (name, outcome) in tried {
        writeln!(stdout, "{name}: {outcome}")?;
    }
    stdout.flush()
}
