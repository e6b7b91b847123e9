//! A connection to an address that was checked: the name is resolved once, and every address it
//! leads to must be good, or none is used.
//!
//! No proxy is used, whatever the environment says, and no connection serves two requests.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::config;
use crate::fetch::address::may_reach;
use crate::fetch::target::{Reach, Target};
use crate::fetch::{Cause, Refused};

/// Addresses of one name that are tried, one behind the other.
const ADDRESSES_TRIED_MAX: usize = 4;
/// For one of them to answer.
const CONNECT_TIMEOUT_MS: u64 = 5_000;
/// Of the head of an answer: the status and all headers.
const HEAD_BYTES_MAX: usize = 32 << 10;
const HEADERS_MAX: usize = 100;

/// Keeps a connection going; dropped, it is closed.
pub(super) type Connection = AbortOnDropHandle<()>;

pub(super) struct Connector {
    settings: config::Fetch,
    tls: Arc<ClientConfig>,
    /// Made when first needed, on the runtime that it is used on.
    resolver: OnceLock<Option<TokioResolver>>,
}

impl Connector {
    pub(super) fn new(settings: &config::Fetch, tls: Arc<ClientConfig>) -> Connector {
        Connector { settings: settings.clone(), tls, resolver: OnceLock::new() }
    }

    pub(super) async fn connect(
        &self,
        target: &Target,
        deadline: Instant,
    ) -> Result<(SendRequest<Full<Bytes>>, Connection), Refused> {
        let addresses = self.addresses(target.host()).await?;
        // One bad address spoils the name: which one is used must not matter.
        if !addresses.iter().all(|address| may_reach(*address, &self.settings.allow_networks)) {
            let message = format!("`{}` does not lead to the public internet", target.host_text());
            return Err(Refused::new(Cause::AddressRefused, message));
        }
        let stream = reach(&addresses, target, deadline).await?;
        if !target.is_secure() {
            return speak(stream).await;
        }
        let name = ServerName::try_from(target.host_text().to_owned())
            .map_err(|_| Refused::new(Cause::UrlInvalid, "the host cannot be named in TLS"))?;
        let secured = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.map_err(|error| {
            // Only the client's own judgement: what the host sent stays out of messages.
            let is_certificate = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            let why = match is_certificate {
                Some(rustls::Error::InvalidCertificate(_)) => "its certificate is not good for it",
                Some(_) | None => "TLS failed",
            };
            Refused::new(Cause::Unreachable, format!("`{}` cannot be spoken to: {why}", target.host_text()))
        })?;
        speak(secured).await
    }

    async fn addresses(&self, host: &Reach) -> Result<Vec<IpAddr>, Refused> {
        let name = match host {
            Reach::Address(address) => return Ok(vec![IpAddr::V4(*address)]),
            Reach::Name(name) => name,
        };
        let unknown = || Refused::new(Cause::Unreachable, format!("there is no host `{name}`"));
        let resolver = self.resolver.get_or_init(|| resolver(&self.settings));
        let Some(resolver) = resolver else {
            return Err(Refused::new(Cause::Unreachable, "names cannot be resolved on this gateway"));
        };
        // With the root's dot, so that no search list of the gateway's machine makes it another name.
        let found = resolver.lookup_ip(format!("{name}.")).await.map_err(|_| unknown())?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(unknown()) } else { Ok(addresses) }
    }
}

/// Connects to the first that answers.
async fn reach(addresses: &[IpAddr], target: &Target, deadline: Instant) -> Result<TcpStream, Refused> {
    for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
        let until = deadline.min(Instant::now() + Duration::from_millis(CONNECT_TIMEOUT_MS));
        let address = SocketAddr::new(*address, target.port());
        if let Ok(Ok(stream)) = timeout_at(until, TcpStream::connect(address)).await
            && stream.peer_addr().is_ok_and(|peer| peer == address)
        {
            // Requests are small and written whole.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
    }
    Err(Refused::new(Cause::Unreachable, format!("`{}` does not answer at port {}", target.host_text(), target.port())))
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<(SendRequest<Full<Bytes>>, Connection), Refused> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (sender, connection) = builder
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Refused::new(Cause::Unreachable, "the host ended the connection"))?;
    // Its failure is the request's, which is told there.
    let driving = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok((sender, AbortOnDropHandle::new(driving)))
}

/// Whom the client trusts, or why that cannot be read.
pub(super) fn tls(settings: &config::Fetch) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(path) = &settings.ca_file {
        let unreadable = |reason: String| format!("fetch.ca_file {}: {reason}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut tls = versions.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// `None` where the machine says nothing of who resolves names.
fn resolver(settings: &config::Fetch) -> Option<TokioResolver> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if settings.nameservers.is_empty() {
        TokioResolver::builder(provider)
            .inspect_err(|error| tracing::error!(%error, "no names can be resolved"))
            .ok()?
    } else {
        let servers = settings.nameservers.iter().map(|address| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.to_vec())
        });
        TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers.collect()), provider)
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build().inspect_err(|error| tracing::error!(%error, "no names can be resolved")).ok()
}
