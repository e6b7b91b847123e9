//! A TCP proxy in front of a database's socket or a gateway, which can stop forwarding or cut what it has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;

/// What the proxy does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    /// Takes them, and hands nothing on.
    Stall,
    /// Of connections made before this many: takes them, and hands nothing on.
    StallBefore(usize),
}

impl Mode {
    fn forwards(self, number: usize) -> bool {
        match self {
            Mode::Forward => true,
            Mode::Stall => false,
            Mode::StallBefore(first) => number >= first,
        }
    }
}

/// A running proxy; it ends with the test's runtime.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    target: Arc<Mutex<PathBuf>>,
    made: Arc<AtomicUsize>,
}

impl Proxy {
    /// In front of the socket `target`.
    pub(crate) async fn start(target: PathBuf) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, modes) = watch::channel(Mode::Forward);
        let target = Arc::new(Mutex::new(target));
        let made = Arc::new(AtomicUsize::new(0));
        let (at, count) = (target.clone(), made.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, modes) = (at.lock().unwrap().clone(), modes.clone());
                let number = count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let Ok(server) = UnixStream::connect(target).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let there = forward(from_client, to_server, modes.clone(), number);
                    let back = forward(from_server, to_client, modes, number);
                    tokio::select! { () = there => {}, () = back => {} }
                });
            }
        });
        Proxy { address, mode, target, made }
    }

    /// The gateway role's connection through it to the database `name`.
    pub(crate) fn url(&self, role: &str, name: &str) -> String {
        format!("postgres://{role}@{}/{name}?sslmode=disable", self.address)
    }

    /// Where connections go from now on.
    pub(crate) fn lead_to(&self, target: PathBuf) {
        *self.target.lock().unwrap() = target;
    }

    /// Hands nothing on any more, neither way; what it is given waits.
    pub(crate) fn stall(&self) {
        self.mode.send_replace(Mode::Stall);
    }

    /// Hands nothing on of the connections there are; those to come are served.
    pub(crate) fn stall_those_there_are(&self) {
        self.mode.send_replace(Mode::StallBefore(self.made.load(Ordering::SeqCst)));
    }

    /// Goes on with what has waited.
    pub(crate) fn resume(&self) {
        self.mode.send_replace(Mode::Forward);
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    number: usize,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        if mode.wait_for(|mode| mode.forwards(number)).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
