//! Opens a connection to Postgres and hands over its bare stream, ready for queries.
//!
//! The driver does what has to be right once: TLS, passwords, channel binding, session settings.
//! It works on a stream that is only lent to it; once the session stands the driver is dropped,
//! the stream taken back, and [`pipeline`](crate::db::pipeline) speaks on it from there.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{self, select};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres::{Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::either::Either;

/// Bytes to and from one Postgres session, with or without TLS between.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Socket = Either<TcpStream, UnixStream>;

const SERVER: &str = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time()::pg_catalog.text";

/// Why no session could be opened.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("no host is given")]
    NoHost,
    #[error("{host} cannot be reached: {error}")]
    Unreachable { host: String, error: io::Error },
    #[error("{0}")]
    Refused(#[from] tokio_postgres::Error),
    #[error("the server at {0} is not of the kind that `target_session_attrs` asks for")]
    WrongKind(String),
    #[error("the stream could not be taken over")]
    Lost,
}

/// A session that stands.
pub struct Session {
    pub stream: Box<dyn Stream>,
    /// When its server began, which tells it from every other.
    pub server_started: String,
}

/// A session at the first of the address's hosts that gives one.
pub async fn open(address: &Config, tls: &MakeRustlsConnect) -> Result<Session, HandshakeError> {
    let hosts = address.get_hosts();
    let count = hosts.len().max(address.get_hostaddrs().len());
    let mut last = HandshakeError::NoHost;
    for index in 0..count {
        let named = hosts.get(index);
        let at = match (address.get_hostaddrs().get(index), named) {
            (Some(ip), _) => Host::Tcp(ip.to_string()),
            (None, Some(host)) => host.clone(),
            (None, None) => continue,
        };
        let port = address.get_ports().get(index).or(address.get_ports().first()).copied().unwrap_or(5_432);
        match open_at(address, tls, &at, named, port).await {
            Ok(session) => return Ok(session),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn open_at(
    address: &Config,
    tls: &MakeRustlsConnect,
    at: &Host,
    named: Option<&Host>,
    port: u16,
) -> Result<Session, HandshakeError> {
    let mut address = address.clone();
    let (shown, domain, connecting) = match at {
        Host::Tcp(host) => {
            let domain = if let Some(Host::Tcp(name)) = named { name.clone() } else { host.clone() };
            (format!("{host}:{port}"), domain, future::Either::Left(tcp(&address, host, port)))
        }
        Host::Unix(directory) => {
            // A socket in the file system has no TLS; asking costs a round trip.
            if address.get_ssl_mode() == SslMode::Prefer {
                address.ssl_mode(SslMode::Disable);
            }
            (directory.display().to_string(), String::new(), future::Either::Right(unix(directory, port)))
        }
    };
    let within = address.get_connect_timeout().copied().unwrap_or(Duration::from_secs(30));
    let socket = match tokio::time::timeout(within, connecting).await {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return Err(HandshakeError::Unreachable { host: shown, error }),
        Err(_) => return Err(HandshakeError::Unreachable { host: shown, error: io::ErrorKind::TimedOut.into() }),
    };
    let Ok(connect) = <MakeRustlsConnect as MakeTlsConnect<Lent<Socket>>>::make_tls_connect(&mut tls.clone(), &domain);
    let (bare, encrypted) = (Arc::new(Mutex::new(Some(socket))), Slot::default());
    let (lent, connect) = (Lent(bare.clone()), LentTls { connect, encrypted: encrypted.clone() });
    // A server that accepts and then says nothing is as good as none.
    let (client, mut connection) = tokio::time::timeout(within, address.connect_raw(lent, connect))
        .await
        .map_err(|_| HandshakeError::Unreachable { host: shown.clone(), error: io::ErrorKind::TimedOut.into() })??;
    let asking = async {
        let asked = std::pin::pin!(client.simple_query(SERVER));
        match select(asked, &mut connection).await {
            future::Either::Left((rows, _)) => Ok(rows?),
            future::Either::Right(_) => Err(HandshakeError::Lost),
        }
    };
    let rows = tokio::time::timeout(within, asking)
        .await
        .map_err(|_| HandshakeError::Unreachable { host: shown.clone(), error: io::ErrorKind::TimedOut.into() })??;
    let row = rows.iter().find_map(|row| if let SimpleQueryMessage::Row(row) = row { Some(row) } else { None });
    let (is_standby, server_started) = row.map(|row| (row.get(0) == Some("t"), row.get(1))).unwrap_or_default();
    let wanted = address.get_target_session_attrs();
    if wanted != TargetSessionAttrs::Any && is_standby != (wanted == TargetSessionAttrs::ReadOnly) {
        return Err(HandshakeError::WrongKind(shown));
    }
    let server_started = server_started.unwrap_or_default().to_owned();
    // With TLS, the bare stream stays lent to the encrypted one, which is taken back instead.
    let stream: Box<dyn Stream> = match locked(&encrypted).take() {
        Some(stream) => Box::new(stream),
        None => match locked(&bare).take() {
            Some(socket) => Box::new(socket),
            None => return Err(HandshakeError::Lost),
        },
    };
    Ok(Session { stream, server_started })
}

async fn tcp(address: &Config, host: &str, port: u16) -> io::Result<Socket> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(address.get_tcp_user_timeout().copied())?;
    if address.get_keepalives() {
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(address.get_keepalives_idle()))?;
    }
    Ok(Either::Left(stream))
}

async fn unix(directory: &Path, port: u16) -> io::Result<Socket> {
    Ok(Either::Right(UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?))
}

/// Where a lent stream stays, to be taken back.
type Slot<S> = Arc<Mutex<Option<S>>>;

/// A stream for the time of the handshake.
struct Lent<S>(Slot<S>);

/// TLS that lends its stream in turn.
struct LentTls<C, S> {
    connect: C,
    encrypted: Slot<S>,
}

impl<C> TlsConnect<Lent<Socket>> for LentTls<C, C::Stream>
where
    C: TlsConnect<Lent<Socket>>,
    C::Stream: Send + 'static,
    C::Future: Send + 'static,
{
    type Stream = Lent<C::Stream>;
    type Error = C::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, C::Error>> + Send>>;

    fn connect(self, stream: Lent<Socket>) -> Self::Future {
        let connecting = self.connect.connect(stream);
        let encrypted = self.encrypted;
        Box::pin(async move {
            *locked(&encrypted) = Some(connecting.await?);
            Ok(Lent(encrypted))
        })
    }
}

fn locked<S>(slot: &Slot<S>) -> MutexGuard<'_, Option<S>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Unpin> Lent<S> {
    fn with<T>(&self, on: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match locked(&self.0).as_mut() {
            Some(stream) => on(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lent<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(context, into))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lent<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(context))
    }
}

impl<S: TlsStream + Unpin> TlsStream for Lent<S> {
    fn channel_binding(&self) -> ChannelBinding {
        locked(&self.0).as_ref().map_or_else(ChannelBinding::none, TlsStream::channel_binding)
    }
}
