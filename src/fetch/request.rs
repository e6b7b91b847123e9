//! A request as code asks for it, and as it is sent: what it may say is decided here.

use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};
use rowgate_schema_dsl::egress::Egress;

use crate::config;
use crate::fetch::target::Target;
use crate::fetch::{Cause, METHODS, NOTHING, Refused};

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Their names and values together.
const HEADER_BYTES_MAX: usize = 16 << 10;

/// What the connection is about, or what machines inside of a cloud are told apart by; the client's
/// own business.
const HEADERS_REFUSED: [&str; 17] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-google-metadata-request",
    "x-real-ip",
];
const PREFIXES_REFUSED: [&str; 4] = ["proxy-", "sec-", "x-forwarded-", "x-aws-ec2-metadata-"];

/// What goes along to another host: nothing that could be a credential.
const HEADERS_FOR_ANYBODY: [&str; 4] = ["accept", "accept-language", "content-type", "user-agent"];

/// A request as asked for.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub url: String,
    /// Pairs that are added to the URL's query, encoded.
    pub query: Vec<(String, String)>,
    /// GET where it is empty.
    pub method: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Whether redirects are followed, or answered with as they are.
    pub follows: bool,
    /// Less than what the settings allow.
    pub timeout: Option<Duration>,
}

/// A request that may be sent.
#[derive(Debug, Clone)]
pub(super) struct Ready {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Request {
    pub(super) fn ready(self, egress: &Egress, settings: &config::Fetch) -> Result<(Target, Ready), Refused> {
        let target = Target::new(&self.url, &self.query, egress, settings)?;
        let method = METHODS.into_iter().find(|method| {
            let asked = if self.method.is_empty() { "GET" } else { &self.method };
            method.as_str().eq_ignore_ascii_case(asked)
        });
        let method = method.ok_or_else(|| {
            let known = METHODS.map(|method| format!("`{method}`")).join(", ");
            invalid(format!("`{}` is not a method that is sent; expected one of {known}", shown(&self.method)))
        })?;
        if !self.body.is_empty() && (method == Method::GET || method == Method::HEAD) {
            return Err(invalid(format!("a request of method `{method}` has no body")));
        }
        if self.body.len() > settings.body_bytes_max {
            let (length, bytes_max) = (self.body.len(), settings.body_bytes_max);
            return Err(invalid(format!("the body has {length} bytes; at most {bytes_max} are sent")));
        }
        let mut headers = headers(&self.headers)?;
        if !headers.contains_key("user-agent") {
            headers.insert("user-agent", HeaderValue::from_static(concat!("rowgate/", env!("CARGO_PKG_VERSION"))));
        }
        Ok((target, Ready { method, headers, body: self.body.into() }))
    }
}

impl Ready {
    /// What is sent on after a redirect of `status`: as browsers do, a POST becomes a GET unless the
    /// status says to repeat it.
    pub(super) fn turn(&mut self, status: StatusCode, same_origin: bool) {
        let becomes_get = match status.as_u16() {
            303 => self.method != Method::HEAD && self.method != Method::GET,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = NOTHING;
            self.headers.remove("content-type");
        }
        if !same_origin {
            let names: Vec<HeaderName> = self.headers.keys().cloned().collect();
            for name in names.iter().filter(|name| !HEADERS_FOR_ANYBODY.contains(&name.as_str())) {
                self.headers.remove(name);
            }
        }
    }
}

fn headers(asked: &[(String, String)]) -> Result<HeaderMap, Refused> {
    if asked.len() > HEADERS_MAX {
        return Err(invalid(format!("the request has {} headers; at most {HEADERS_MAX} are sent", asked.len())));
    }
    let bytes: usize = asked.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(invalid(format!("the headers have {bytes} bytes; at most {HEADER_BYTES_MAX} are sent")));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        let lower = name.to_ascii_lowercase();
        if HEADERS_REFUSED.contains(&lower.as_str()) || PREFIXES_REFUSED.iter().any(|prefix| lower.starts_with(prefix))
        {
            return Err(invalid(format!("header `{}` is not one that a request may set", shown(name))));
        }
        let name = HeaderName::from_bytes(lower.as_bytes())
            .map_err(|_| invalid(format!("`{}` is not the name of a header", shown(name))))?;
        // The value is not shown: it may be a credential.
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid(format!("the value of header `{name}` is not printable ASCII on one line")))?;
        if headers.insert(&name, value).is_some() {
            return Err(invalid(format!("header `{name}` is given twice")));
        }
    }
    Ok(headers)
}

fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(Cause::RequestInvalid, message)
}
