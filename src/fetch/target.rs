//! Where a request goes: a URL that can be read in one way only, to a host and port that the
//! extension names.
//!
//! URL parsers repair what people write: hosts in octal or with escapes, backslashes, line breaks.
//! What would be repaired is refused, so that what was judged is what is connected to.

use std::net::Ipv4Addr;

use hyper::header::HeaderValue;
use rowgate_schema_dsl::egress::Egress;
use url::{Host, Url};

use crate::config;
use crate::fetch::{Cause, Refused};

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 8 << 10;

/// A URL that may be reached as far as its text can tell.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: Url,
    host: Reach,
    port: u16,
}

/// A host as it is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reach {
    Name(String),
    Address(Ipv4Addr),
}

impl Target {
    /// Judges `written` with the pairs of `query` added.
    pub(super) fn new(
        written: &str,
        query: &[(String, String)],
        egress: &Egress,
        settings: &config::Fetch,
    ) -> Result<Target, Refused> {
        unambiguous(written)?;
        let mut url = Url::parse(written).map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        let authority = authority(written).ok_or_else(|| invalid("expected `https://`, a host and a path"))?;
        if authority.contains('@') {
            return Err(invalid("a URL with a user name or password is not fetched; send a header instead"));
        }
        let (host, _) = authority.split_once(':').unwrap_or((authority, ""));
        if !authority.starts_with('[') && url.host_str() != Some(&host.to_ascii_lowercase()) {
            return Err(invalid(format!("write the host plainly, not as `{host}`")));
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Target::judge(url, egress, settings)
    }

    /// Judges where a redirect from here leads.
    pub(super) fn join(&self, location: &str, egress: &Egress, settings: &config::Fetch) -> Result<Target, Refused> {
        unambiguous(location)?;
        let url = self.url.join(location).map_err(|error| invalid(format!("the URL cannot be read: {error}")))?;
        Target::judge(url, egress, settings)
    }

    fn judge(mut url: Url, egress: &Egress, settings: &config::Fetch) -> Result<Target, Refused> {
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(invalid(format!("the URL is over {URL_BYTES_MAX} bytes")));
        }
        match url.scheme() {
            "https" => {}
            "http" if settings.allow_http => {}
            other => return Err(invalid(format!("expected a URL of `https`, got one of `{other}`"))),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(invalid("a URL with a user name or password is not fetched; send a header instead"));
        }
        if url.host_str().is_some_and(|host| host.ends_with('.')) {
            return Err(invalid("write the host without a dot at its end"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => Reach::Name(name.to_owned()),
            Some(Host::Ipv4(address)) => Reach::Address(address),
            // A manifest names none.
            Some(Host::Ipv6(_)) | None => return Err(not_allowed(url.host_str().unwrap_or_default())),
        };
        // As the manifest's names are: lower case, ASCII, without the root's dot.
        if !egress.allows_host(url.host_str().unwrap_or_default()) {
            return Err(not_allowed(url.host_str().unwrap_or_default()));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if port == 0 || !egress.allows_port(port) {
            let message = format!("port {port} is not one that the extension reaches; add it to `egress.allow_ports`");
            return Err(Refused::new(Cause::PortNotAllowed, message));
        }
        url.set_fragment(None);
        Ok(Target { url, host, port })
    }

    pub(super) fn is_secure(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) fn host(&self) -> &Reach {
        &self.host
    }

    pub(super) fn host_text(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> &str {
        self.url.as_str()
    }

    /// What the request's first line names.
    pub(super) fn path(&self) -> String {
        let path = self.url.path();
        self.url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }

    pub(super) fn host_header(&self) -> HeaderValue {
        let host = self.host_text();
        let text = self.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        // INVARIANT: the URL's parser leaves no control character in a host.
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    pub(super) fn has_origin_of(&self, other: &Target) -> bool {
        self.url.origin() == other.url.origin()
    }
}

/// Refuses what a parser would drop, replace or take for something else.
fn unambiguous(written: &str) -> Result<(), Refused> {
    if written.len() > URL_BYTES_MAX {
        return Err(invalid(format!("the URL is over {URL_BYTES_MAX} bytes")));
    }
    match written.chars().find(|c| !c.is_ascii_graphic() || *c == '\\') {
        None => Ok(()),
        Some(c) if c.is_ascii() => {
            Err(invalid("the URL holds a space, a control character or a backslash; write it percent-encoded"))
        }
        Some(_) => Err(invalid("the URL is not ASCII; write its path percent-encoded and its host as `xn--…`")),
    }
}

/// The part between `//` and the path.
fn authority(written: &str) -> Option<&str> {
    let (scheme, rest) = written.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    (!authority.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic())).then_some(authority)
}

fn not_allowed(host: &str) -> Refused {
    let message = format!("host `{host}` is not one that the extension reaches; add it to `egress.allow_hosts`");
    Refused::new(Cause::HostNotAllowed, message)
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(Cause::UrlInvalid, message)
}
