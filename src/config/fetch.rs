//! Requests that handlers make to the world outside.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

/// How far and how long they go.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// From a request's beginning to its answer's end, redirects included.
    pub timeout_ms: u64,
    /// Requests of one run of a handler.
    pub calls_max: u32,
    pub redirects_max: u32,
    /// Of a request's body.
    pub body_bytes_max: usize,
    /// Of an answer's body, as it travels and unpacked.
    pub answer_bytes_max: usize,
    /// Requests under way over all workers; more are refused.
    pub concurrent_max: usize,
    /// Of these, by one install.
    pub concurrent_per_install_max: usize,
    /// Whether `http` is spoken besides `https`.
    pub allow_http: bool,
    /// Networks that may be reached although they are not public, such as `127.0.0.0/8`.
    pub allow_networks: Vec<IpNet>,
    /// Servers that resolve names, such as `10.0.0.2:53`; none are the machine's own.
    pub nameservers: Vec<SocketAddr>,
    /// Certificates of authorities that are trusted besides the public ones, as PEM.
    pub ca_file: Option<PathBuf>,
}

impl Default for Fetch {
    fn default() -> Self {
        Fetch {
            timeout_ms: 30_000,
            calls_max: 10,
            redirects_max: 5,
            body_bytes_max: 1 << 20,
            answer_bytes_max: 4 << 20,
            concurrent_max: 256,
            concurrent_per_install_max: 16,
            allow_http: false,
            allow_networks: Vec::new(),
            nameservers: Vec::new(),
            ca_file: None,
        }
    }
}
