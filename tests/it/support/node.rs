//! A gateway as a process of its own, which can be killed and started again on its ports.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::ROWGATE;
use super::gateway::SECRET;

/// A running `rowgate serve`, killed when dropped.
pub(crate) struct Node {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: SocketAddr,
    /// What it wrote to standard error.
    log: Arc<Mutex<String>>,
    settings: Vec<(String, String)>,
}

impl Node {
    /// Serves the database at `url`, without rate limits, with two workers and these settings over it.
    pub(crate) fn start(url: &str, settings: &[(&str, &str)]) -> Node {
        let mut all = vec![
            ("DATABASE_URL".to_owned(), url.to_owned()),
            ("ROWGATE_AUTH__HS256_SECRET".to_owned(), SECRET.to_owned()),
            ("ROWGATE_LIMITS__MODE".to_owned(), "off".to_owned()),
            ("ROWGATE_HTTP__WORKERS".to_owned(), "2".to_owned()),
            ("ROWGATE_DATABASE__WRITE_LANES".to_owned(), "2".to_owned()),
            ("ROWGATE_DATABASE__POOL_CONNECTIONS_MAX".to_owned(), "2".to_owned()),
        ];
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Node::run(all, 0, 0)
    }

    fn run(settings: Vec<(String, String)>, port: u16, admin_port: u16) -> Node {
        let mut command = Command::new(ROWGATE);
        for (name, _) in std::env::vars_os() {
            if name == "DATABASE_URL" || ["ROWGATE_", "OTEL_"].iter().any(|of| name.to_string_lossy().starts_with(of)) {
                command.env_remove(name);
            }
        }
        let (port, admin_port) = (port.to_string(), admin_port.to_string());
        command.args(["serve", "--port", &port, "--admin-port", &admin_port]);
        command.envs(settings.iter().cloned()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let mut until = |part: &str| -> SocketAddr {
            loop {
                let Some(Ok(line)) = lines.next() else { panic!("it ended with\n{}", log.lock().unwrap()) };
                *log.lock().unwrap() += &format!("{line}\n");
                if line.contains(part) {
                    let rest = line.split_once("http://").unwrap().1;
                    return rest.split('/').next().unwrap().parse().unwrap();
                }
            }
        };
        let address = until("serving functions at http://");
        let admin_address = until("admin listener at http://");
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &format!("{line}\n");
            }
        });
        Node { process, address, admin_address, log, settings }
    }

    /// Ends it without a chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to end.
    pub(crate) fn ask_to_end(&self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// Whether it has ended; it must have done so well.
    pub(crate) fn has_ended(&mut self) -> bool {
        let status = self.process.try_wait().unwrap();
        assert!(status.is_none_or(|status| status.success()), "{status:?}\n{}", self.log());
        status.is_some()
    }

    /// Starts it anew, on the ports it had.
    pub(crate) fn restart(&mut self) {
        *self = Node::run(self.settings.clone(), self.address.port(), self.admin_address.port());
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The memory that it holds.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
    }

    /// One of its metrics, all series of it added up.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = reqwest::get(format!("http://{}/metrics", self.admin_address)).await.unwrap().text().await.unwrap();
        let lines = text
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ') || rest.starts_with('{')));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    pub(crate) async fn readiness(&self) -> Option<u16> {
        let answer = reqwest::get(format!("http://{}/readyz", self.admin_address)).await.ok()?;
        Some(answer.status().as_u16())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
