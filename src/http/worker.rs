//! Workers: each a thread with its own runtime, its own listening socket on the shared port
//! (SO_REUSEPORT) and its own database lanes. A call is served from end to end on one thread.
//! Connections are spread evenly over the workers when they are accepted.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::{mpsc, watch};

use crate::db::connect::Connector;
use crate::gateway::{Gateway, Worker};
use crate::http::patience::Patient;
use crate::http::{Entry, Shared};

/// Connections waiting to be accepted, per worker.
const BACKLOG: i32 = 1_024;

/// What the system may hold of an answer that its client does not take: enough for a fast line to a
/// far client, little enough for thousands. Left alone it grows to megabytes.
const SEND_BUFFER_BYTES: usize = 256 << 10;

/// hyper refuses to work with a smaller one.
const BUFFER_BYTES_MIN: usize = 8_192;

/// The running workers.
pub struct Workers {
    pub address: SocketAddr,
    pub shared: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<()>>,
}

/// What the workers know of each other: how busy each is, and how to give it a connection.
struct Peers {
    peers: Vec<Peer>,
    /// Open connections over all of them.
    open: AtomicUsize,
}

struct Peer {
    /// Its open connections, with those on their way to it.
    open: AtomicUsize,
    /// As many may wait in it as connections may be open.
    inbox: mpsc::UnboundedSender<Accepted>,
    gauge: prometheus::IntGauge,
}

/// A connection that no worker serves yet.
struct Accepted {
    stream: std::net::TcpStream,
    client: IpAddr,
    seat: Seat,
}

/// Starts `count` workers on `listen` (port 0 picks a free one). They stop when `stopping` turns
/// true: open calls are answered, for as long as the configuration allows.
pub fn start(
    gateway: &Arc<Gateway>,
    connector: &Connector,
    listen: SocketAddr,
    count: usize,
    stopping: &watch::Receiver<bool>,
) -> io::Result<Workers> {
    if listen.port() != 0 {
        // Sockets that share a port would share it with another process's too, and each would get
        // some of the calls; one plain bind first refuses that. A port the system picks is free.
        TcpListener::bind(listen)?;
    }
    let first = listening(listen)?;
    let address = first.local_addr()?;
    let others = (1..count).map(|_| listening(address));
    let sockets = std::iter::once(Ok(first)).chain(others).collect::<io::Result<Vec<TcpListener>>>()?;
    let (peers, inboxes): (Vec<Peer>, Vec<_>) = (0..sockets.len())
        .map(|number| {
            let (inbox, handed) = mpsc::unbounded_channel();
            let gauge = gateway.metrics.connections.with_label_values(&[&number.to_string()]);
            (Peer { open: AtomicUsize::new(0), inbox, gauge }, handed)
        })
        .unzip();
    let peers = Arc::new(Peers { peers, open: AtomicUsize::new(0) });
    let (ready, readied) = std::sync::mpsc::channel();
    let mut threads = Vec::with_capacity(count);
    for (number, (socket, handed)) in sockets.into_iter().zip(inboxes).enumerate() {
        let (gateway, connector, stopping) = (gateway.clone(), connector.clone(), stopping.clone());
        let (peers, ready) = (peers.clone(), ready.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(async move {
                let worker = Worker::open(&connector, &gateway);
                let shared = Arc::new(Shared { gateway, worker });
                // The other end is gone only when the start was given up.
                let _ = ready.send(shared.clone());
                serve(socket, handed, number, shared, peers, stopping).await;
            });
        })?;
        threads.push(thread);
    }
    let shared = readied.iter().take(count).collect();
    Ok(Workers { address, shared, threads })
}

impl Workers {
    /// Waits until every worker has stopped.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a panic");
            }
        }
    }
}

fn listening(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections for all workers, serves those that fall to this one.
///
/// The system spreads connections over the sockets by chance, and connections live long: of 32,
/// one of two workers was given 22, and the other waited for work. So who accepts gives each to
/// the worker that has the fewest.
async fn serve(
    socket: TcpListener,
    mut handed: mpsc::UnboundedReceiver<Accepted>,
    number: usize,
    shared: Arc<Shared>,
    peers: Arc<Peers>,
    mut stopping: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a worker cannot listen");
            return;
        }
    };
    let settings = shared.gateway.config.http.clone();
    let refused = shared.gateway.metrics.connections_refused.clone();
    let serving = Serving::new(shared);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(accepted) = handed.recv() => {
                serving.take(accepted);
                continue;
            }
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let (stream, client) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip()),
            Err(error) => {
                // Out of descriptors, most likely: others end soon, and spinning frees none.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Some(seat) = Seat::take(&peers, number, settings.connections_max) else {
            refused.inc();
            continue;
        };
        if seat.worker == number {
            serving.drive(stream, client, seat);
        } else if let Ok(stream) = stream.into_std() {
            Seat::hand_over(Accepted { stream, client, seat });
        }
    }
    // Whoever was let in by the system before now would be told that nobody listens.
    while let Some(Ok((stream, peer))) = listener.accept().now_or_never() {
        if let Some(seat) = Seat::take(&peers, number, settings.connections_max) {
            serving.drive(stream, peer.ip(), seat);
        }
    }
    drop(listener);
    // Whoever was on the way here may have asked something already.
    handed.close();
    while let Some(accepted) = handed.recv().await {
        serving.take(accepted);
    }
    let within = Duration::from_millis(settings.drain_timeout_ms);
    if tokio::time::timeout(within, serving.graceful.shutdown()).await.is_err() {
        tracing::warn!("calls were still under way when the time to end them was over");
    }
}

/// Drives the connections of one worker.
struct Serving {
    entry: Arc<Entry>,
    http: http1::Builder,
    graceful: GracefulShutdown,
    write_timeout: Duration,
}

impl Serving {
    fn new(shared: Arc<Shared>) -> Serving {
        let settings = &shared.gateway.config.http;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(settings.header_read_timeout_ms))
            .max_buf_size(settings.header_bytes_max.max(BUFFER_BYTES_MIN));
        let write_timeout = Duration::from_millis(settings.write_timeout_ms);
        Serving { entry: Arc::new(Entry::new(shared)), http, graceful: GracefulShutdown::new(), write_timeout }
    }

    /// Serves a connection that another worker accepted.
    fn take(&self, accepted: Accepted) {
        let Accepted { stream, client, seat } = accepted;
        if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
            self.drive(stream, client, seat);
        }
    }

    fn drive(&self, stream: tokio::net::TcpStream, client: IpAddr, seat: Seat) {
        // Answers are written whole, so waiting to join small packets only delays them.
        let socket = SockRef::from(&stream);
        if stream.set_nodelay(true).is_err() || socket.set_send_buffer_size(SEND_BUFFER_BYTES).is_err() {
            return;
        }
        let entry = self.entry.clone();
        let service = service_fn(move |request| entry.clone().serve(client, request).map(Ok::<_, Infallible>));
        let dropped = self.entry.shared.gateway.metrics.connections_unread.clone();
        let stream = TokioIo::new(Patient::new(stream, self.write_timeout, dropped));
        let connection = self.graceful.watch(self.http.serve_connection(stream, service));
        tokio::spawn(async move {
            let _seat = seat;
            // A client that went away, or sent what is not HTTP: hyper has answered it.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client connection ended early");
            }
        });
    }
}

/// A connection's place with a worker, given back when dropped.
struct Seat {
    peers: Arc<Peers>,
    worker: usize,
}

impl Seat {
    /// A place with the worker that has the fewest connections, with `own` among equals; `None`
    /// where `connections_max` are open.
    fn take(peers: &Arc<Peers>, own: usize, connections_max: usize) -> Option<Seat> {
        let open = |number: &usize| peers.peers.get(*number).map_or(usize::MAX, Peer::open);
        let worker = std::iter::once(own).chain(0..peers.peers.len()).min_by_key(open)?;
        let peer = peers.peers.get(worker)?;
        let before = peers.open.fetch_add(1, Ordering::Relaxed);
        peer.open.fetch_add(1, Ordering::Relaxed);
        peer.gauge.inc();
        let seat = Seat { peers: peers.clone(), worker };
        (before < connections_max).then_some(seat)
    }

    /// Sends a connection to the worker it has a place with. One that is stopping takes none: the
    /// client sees the connection closed, as it would without a listener.
    fn hand_over(accepted: Accepted) {
        let peers = accepted.seat.peers.clone();
        if let Some(peer) = peers.peers.get(accepted.seat.worker) {
            let _ = peer.inbox.send(accepted);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.peers.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(peer) = self.peers.peers.get(self.worker) {
            peer.open.fetch_sub(1, Ordering::Relaxed);
            peer.gauge.dec();
        }
    }
}

impl Peer {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}
