//! The guarded HTTP client: requests that a bundle's code makes, to the public internet alone.
//!
//! A request names a URL; [`target`] decides whether the extension may reach it, [`connect`] resolves
//! the name once, refuses it unless every address is good, and connects to exactly those. Redirects
//! are followed here, each judged as the first URL was. Nothing is reused between two requests, and
//! nothing waits or grows without a bound of [`config::Fetch`](crate::config::Fetch).
//! What is refused is told to the code that asked, without addresses or anything of the gateway's net.

mod address;
mod answer;
mod connect;
mod gate;
mod request;
mod target;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};
use rowgate_schema_dsl::egress::Egress;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::config;
use crate::fetch::connect::Connector;
use crate::fetch::gate::Gate;
use crate::fetch::request::Ready;
use crate::fetch::target::Target;

pub use crate::fetch::answer::Answer;
pub use crate::fetch::request::Request;

/// Why a request has no answer. The word is stable; code that asked may act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The URL is none that is fetched, or written in a way that could be read as another.
    UrlInvalid,
    /// A method, header or body that a request may not have.
    RequestInvalid,
    /// The extension does not name the host.
    HostNotAllowed,
    /// Nor the port.
    PortNotAllowed,
    /// The name leads to an address that is not public.
    AddressRefused,
    /// A redirect to where the request may not go, or too many.
    RedirectRefused,
    /// No such name, nobody answers, or the certificate is not good.
    Unreachable,
    /// It took too long in all.
    TimedOut,
    /// The answer is longer than it may be.
    AnswerTooLarge,
    /// The answer is no HTTP, ended early, or cannot be read as what was asked for.
    AnswerInvalid,
    /// Too many requests are under way.
    Busy,
}

impl Cause {
    pub const ALL: [Cause; 11] = [
        Cause::UrlInvalid,
        Cause::RequestInvalid,
        Cause::HostNotAllowed,
        Cause::PortNotAllowed,
        Cause::AddressRefused,
        Cause::RedirectRefused,
        Cause::Unreachable,
        Cause::TimedOut,
        Cause::AnswerTooLarge,
        Cause::AnswerInvalid,
        Cause::Busy,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::UrlInvalid => "fetch_url_invalid",
            Cause::RequestInvalid => "fetch_request_invalid",
            Cause::HostNotAllowed => "fetch_host_not_allowed",
            Cause::PortNotAllowed => "fetch_port_not_allowed",
            Cause::AddressRefused => "fetch_address_refused",
            Cause::RedirectRefused => "fetch_redirect_refused",
            Cause::Unreachable => "fetch_unreachable",
            Cause::TimedOut => "fetch_timed_out",
            Cause::AnswerTooLarge => "fetch_answer_too_large",
            Cause::AnswerInvalid => "fetch_answer_invalid",
            Cause::Busy => "fetch_busy",
        }
    }
}

/// A request that was refused or failed, for the code that made it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", .cause.as_str())]
pub struct Refused {
    pub cause: Cause,
    pub message: String,
}

impl Refused {
    fn new(cause: Cause, message: impl Into<String>) -> Refused {
        Refused { cause, message: message.into() }
    }
}

/// What the clients of all runtimes share: places for requests, and whom they trust.
#[derive(Debug)]
pub struct Commons {
    gate: Arc<Gate>,
    tls: Arc<ClientConfig>,
}

impl Commons {
    /// Reads `fetch.ca_file`; the error says why it could not.
    pub fn new(settings: &config::Fetch) -> Result<Commons, String> {
        Ok(Commons { gate: Gate::new(settings), tls: Arc::new(connect::tls(settings)?) })
    }
}

/// One runtime's client.
pub struct Fetcher {
    settings: config::Fetch,
    connector: Connector,
    gate: Arc<Gate>,
}

impl Fetcher {
    /// Connects nowhere yet.
    pub fn new(settings: &config::Fetch, commons: &Commons) -> Fetcher {
        let connector = Connector::new(settings, Arc::clone(&commons.tls));
        Fetcher { settings: settings.clone(), connector, gate: Arc::clone(&commons.gate) }
    }

    /// What `request` is answered with. `egress` says where the extension may reach, `install` whose
    /// share of requests it counts in.
    pub async fn fetch(&self, install: Uuid, egress: &Egress, request: Request) -> Result<Answer, Refused> {
        let timeout = Duration::from_millis(self.settings.timeout_ms);
        let deadline = Instant::now() + request.timeout.map_or(timeout, |asked| asked.min(timeout));
        let follows = request.follows;
        let (target, ready) = request.ready(egress, &self.settings)?;
        let _place = self.gate.enter(install)?;
        let fetching = self.follow(target, ready, follows, egress, deadline);
        let late = || Refused::new(Cause::TimedOut, "the request took too long and was given up");
        timeout_at(deadline, fetching).await.map_err(|_| late())?
    }

    async fn follow(
        &self,
        mut target: Target,
        mut ready: Ready,
        follows: bool,
        egress: &Egress,
        deadline: Instant,
    ) -> Result<Answer, Refused> {
        let mut hops_left = self.settings.redirects_max;
        loop {
            let (head, incoming, _connection) = self.send(&target, &ready, deadline).await?;
            let location = head.headers.get(header::LOCATION).filter(|_| follows && is_redirect(head.status));
            let Some(location) = location else {
                return answer::read(head, incoming, &ready.method, &target, self.settings.answer_bytes_max).await;
            };
            if hops_left == 0 {
                let message = format!("more than {} redirects", self.settings.redirects_max);
                return Err(Refused::new(Cause::RedirectRefused, message));
            }
            hops_left -= 1;
            let next = redirected(&target, location, egress, &self.settings)?;
            ready.turn(head.status, next.has_origin_of(&target));
            target = next;
        }
    }

    async fn send(
        &self,
        target: &Target,
        ready: &Ready,
        deadline: Instant,
    ) -> Result<(hyper::http::response::Parts, hyper::body::Incoming, connect::Connection), Refused> {
        let (mut sender, connection) = self.connector.connect(target, deadline).await?;
        let mut request = hyper::Request::builder().method(ready.method.clone()).uri(target.path());
        if let Some(headers) = request.headers_mut() {
            headers.insert(header::HOST, target.host_header());
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            headers.extend(ready.headers.clone());
        }
        let request = request
            .body(Full::new(ready.body.clone()))
            .map_err(|_| Refused::new(Cause::RequestInvalid, "the request cannot be written"))?;
        let response = sender.send_request(request).await.map_err(|error| unanswered(&error))?;
        let (head, incoming) = response.into_parts();
        Ok((head, incoming, connection))
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, judged as if it had been asked for.
fn redirected(
    from: &Target,
    location: &HeaderValue,
    egress: &Egress,
    settings: &config::Fetch,
) -> Result<Target, Refused> {
    let refused = |why: &str| Refused::new(Cause::RedirectRefused, format!("a redirect was not followed: {why}"));
    let written = location.to_str().map_err(|_| refused("it is no URL"))?;
    let target = from.join(written, egress, settings).map_err(|found| refused(&found.message))?;
    if from.is_secure() && !target.is_secure() {
        return Err(refused("it leads from https to http"));
    }
    Ok(target)
}

/// A connection that was made and gave no answer.
fn unanswered(error: &hyper::Error) -> Refused {
    if error.is_parse_too_large() {
        Refused::new(Cause::AnswerTooLarge, "the answer's headers are longer than they may be")
    } else if error.is_parse() {
        Refused::new(Cause::AnswerInvalid, "the answer is no HTTP/1.1")
    } else {
        Refused::new(Cause::Unreachable, "the host ended the connection without an answer")
    }
}

/// The methods that a request may have.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// No bytes.
const NOTHING: Bytes = Bytes::new();
