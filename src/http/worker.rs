//! Workers: each a thread with its own runtime, its own listening socket on the shared port
//! (SO_REUSEPORT) and its own database lanes. A call is served from end to end on one thread.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::db::connect::Connector;
use crate::gateway::{Gateway, Worker};
use crate::http::{Entry, Shared};

/// Connections waiting to be accepted, per worker.
const BACKLOG: i32 = 1_024;

/// hyper refuses to work with a smaller one.
const BUFFER_BYTES_MIN: usize = 8_192;

/// The running workers.
pub struct Workers {
    pub address: SocketAddr,
    pub shared: Vec<Arc<Shared>>,
    threads: Vec<JoinHandle<()>>,
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
    let connections = Arc::new(AtomicUsize::new(0));
    let (ready, readied) = std::sync::mpsc::channel();
    let mut threads = Vec::with_capacity(count);
    for (number, socket) in sockets.into_iter().enumerate() {
        let (gateway, connector, stopping) = (gateway.clone(), connector.clone(), stopping.clone());
        let (connections, ready) = (connections.clone(), ready.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(async move {
                let worker = Worker::open(&connector, &gateway.config);
                let shared = Arc::new(Shared { gateway, worker });
                // The other end is gone only when the start was given up.
                let _ = ready.send(shared.clone());
                serve(socket, shared, connections, stopping).await;
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

async fn serve(
    socket: TcpListener,
    shared: Arc<Shared>,
    connections: Arc<AtomicUsize>,
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
    let gauge = shared.gateway.metrics.connections.clone();
    let entry = Arc::new(Entry::new(shared));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.header_read_timeout_ms))
        .max_buf_size(settings.header_bytes_max.max(BUFFER_BYTES_MIN));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: others end soon, and spinning frees none.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let open = Open::new(&connections, &gauge);
        if open.count > settings.connections_max {
            continue;
        }
        // Answers are written whole, so waiting to join small packets only delays them.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let entry = entry.clone();
        let service = service_fn(move |request| entry.clone().serve(peer.ip(), request).map(Ok::<_, Infallible>));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _open = open;
            // A client that went away, or sent what is not HTTP: hyper has answered it.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client connection ended early");
            }
        });
    }
    drop(listener);
    let drained = tokio::time::timeout(Duration::from_millis(settings.drain_timeout_ms), graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!("calls were still under way when the time to end them was over");
    }
}

/// Counts a connection as open until dropped.
struct Open {
    connections: Arc<AtomicUsize>,
    gauge: prometheus::IntGauge,
    count: usize,
}

impl Open {
    fn new(connections: &Arc<AtomicUsize>, gauge: &prometheus::IntGauge) -> Open {
        gauge.inc();
        let count = connections.fetch_add(1, Ordering::Relaxed) + 1;
        Open { connections: connections.clone(), gauge: gauge.clone(), count }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.gauge.dec();
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
