//! The real binary: run to its end, or kept running with its lines at hand.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cli::{SECRET, address};
use crate::support::gateway::{Answer, answer};
use crate::support::{ROWGATE, TestDatabase};

/// Longer than anything takes on a busy machine; a test that waits for this has failed.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Done {
    /// The standard output of a command that must have succeeded.
    #[track_caller]
    pub(super) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// `rowgate` with nothing of this process's environment that it reads.
pub(super) fn rowgate<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(ROWGATE);
    for (name, _) in std::env::vars_os() {
        if name == "DATABASE_URL" || ["ROWGATE_", "OTEL_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A running `rowgate`, killed when dropped.
pub(super) struct Running {
    child: Child,
    pub(super) stdout: Lines,
    pub(super) stderr: Lines,
}

/// What a running command prints, line by line.
pub(super) struct Lines {
    lines: Receiver<String>,
    seen: String,
}

impl Running {
    pub(super) fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn terminate(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.wait()
    }

    /// [`Running::terminate`], for what it said on standard error from its beginning to its end.
    pub(super) fn said(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.wait().success());
        self.stderr.rest().to_owned()
    }

    pub(super) fn wait(&mut self) -> ExitStatus {
        // Its output ends with it, or with what it left behind.
        self.stderr.rest();
        self.child.wait().unwrap()
    }

    /// Ends it without a chance to tidy up.
    pub(super) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Lines {
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for read in BufReader::new(stream).lines().map_while(Result::ok) {
                if line.send(read).is_err() {
                    // Nobody reads on: the stream is closed.
                    return;
                }
            }
        });
        Lines { lines, seen: String::new() }
    }

    /// The next line with `part` in it.
    #[track_caller]
    pub(super) fn until(&mut self, part: &str) -> String {
        let began = Instant::now();
        loop {
            let Ok(line) = self.lines.recv_timeout(DEADLINE.saturating_sub(began.elapsed())) else {
                panic!("no line with {part:?} came after\n{}", self.seen)
            };
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Everything up to the stream's end, what was read before included.
    #[track_caller]
    pub(super) fn rest(&mut self) -> &str {
        let began = Instant::now();
        loop {
            match self.lines.recv_timeout(DEADLINE.saturating_sub(began.elapsed())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return &self.seen,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it does not end after\n{}", self.seen),
            }
        }
    }
}

/// A `rowgate dev` that is ready.
pub(super) struct Dev {
    pub(super) process: Running,
    /// The object it printed.
    pub(super) ready: Value,
}

impl Dev {
    /// Serves `bundle` on `database`, or on a private Postgres in `data_dir`.
    pub(super) fn start(bundle: &Path, data_dir: &Path, database: Option<&TestDatabase>) -> Dev {
        let mut process = Running::start(&mut dev(bundle, data_dir, database, ["--json"]));
        let ready = process.stdout.until("{");
        Dev { process, ready: serde_json::from_str(&ready).unwrap() }
    }

    pub(super) async fn call(&self, role: &str, function: &str, arguments: Value) -> Answer {
        call(&self.ready, role, function, arguments).await
    }
}

/// Calls a function of the gateway that printed `ready`.
pub(super) async fn call(ready: &Value, role: &str, function: &str, arguments: Value) -> Answer {
    let [url, install] = ["url", "install_id"].map(|name| ready[name].as_str().unwrap());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("{url}/v1/extension-functions/{install}/{function}"));
    answer(request.bearer_auth(ready["tokens"][role].as_str().unwrap()).json(&arguments)).await
}

/// The command that serves `bundle` on free ports.
pub(super) fn dev<const N: usize>(
    bundle: &Path,
    data_dir: &Path,
    database: Option<&TestDatabase>,
    more: [&str; N],
) -> Command {
    let mut command = rowgate(["dev", "--port", "0", "--admin-port", "0", "--limits", "off"]);
    command.args(more).arg("--data-dir").arg(data_dir).arg(bundle);
    if let Some(database) = database {
        command.env("DATABASE_URL", database.url());
    }
    command
}

/// A folder of the test's own, which a server's user reaches as well.
pub(super) fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("rg").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// A bundle of these two files in a new folder below `folder`.
pub(super) fn bundle(folder: &Path, schema: &str, functions: &str) -> PathBuf {
    let bundle = folder.join("bundle");
    std::fs::create_dir_all(bundle.join("server")).unwrap();
    let extension = r#"{ "id": "7c1d5a08-52b9-4c0e-a1de-6b1f4f0d9a11", "name": "test", "version": "1.0.0" }"#;
    std::fs::write(bundle.join("extension.json"), extension).unwrap();
    std::fs::write(bundle.join("server/schema.luau"), schema).unwrap();
    std::fs::write(bundle.join("server/functions.luau"), functions).unwrap();
    bundle
}

/// One of the repository's examples.
pub(super) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// `examples/live-poll`, deployed and served, with an operator called alice.
pub(super) struct Operated {
    pub(super) serving: Running,
    database_url: String,
    admin_url: String,
    admin_key: String,
}

impl Operated {
    pub(super) fn new(database: &TestDatabase) -> Operated {
        let (serving, database_url) = (rowgate(["serve", "--port", "0", "--admin-port", "0"]), database.url());
        let with_database = |mut command: Command| {
            command.env("DATABASE_URL", &database_url);
            command
        };
        run(with_database(rowgate(["apply"])).arg(example("live-poll"))).ok();
        let admin_key = run(&mut with_database(rowgate(["admin-key", "alice"]))).ok().trim().to_owned();
        let mut serving = Running::start(with_database(serving).env("ROWGATE_AUTH__HS256_SECRET", SECRET));
        let admin_url = address(&serving.stderr.until("admin listener at"));
        Operated { serving, database_url, admin_url, admin_key }
    }

    /// The command, on the database itself.
    pub(super) fn with_database(&self, mut command: Command) -> Command {
        command.env("DATABASE_URL", &self.database_url);
        command
    }

    /// The command, by the admin API.
    pub(super) fn with_admin(&self, mut command: Command) -> Command {
        command.env("ROWGATE_ADMIN_URL", &self.admin_url).env("ROWGATE_ADMIN_KEY", &self.admin_key);
        command
    }
}
