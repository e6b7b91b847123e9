//! Where an extension's actions may reach: the hosts and ports that `extension.json` names.
//!
//! It says what the author asks for. What no extension may reach whatever it names (private
//! networks, the gateway's own machine) is for whoever connects.

use core::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Serialize;

/// Hosts of one extension.
pub const HOSTS_MAX: usize = 100;
/// Ports of one extension.
pub const PORTS_MAX: usize = 100;
/// What is reached without being named.
pub const HTTPS_PORT: u16 = 443;
/// As DNS has it.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The `egress` of `extension.json`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Egress {
    /// Names in lower case; a `*` stands for exactly one label, such as `*.example.com`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// Ports besides 443.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_ports: Vec<u16>,
}

impl Egress {
    /// Whether nothing may be reached.
    pub fn is_empty(&self) -> bool {
        *self == Egress::default()
    }

    /// Whether `host`, a name in lower case or an IPv4 address, is named.
    pub fn allows_host(&self, host: &str) -> bool {
        self.allow_hosts.iter().any(|pattern| matches(pattern, host))
    }

    pub fn allows_port(&self, port: u16) -> bool {
        port == HTTPS_PORT || self.allow_ports.contains(&port)
    }
}

fn matches(pattern: &str, host: &str) -> bool {
    let (mut patterns, mut labels) = (pattern.split('.'), host.split('.'));
    loop {
        match (patterns.next(), labels.next()) {
            (None, None) => return true,
            (Some("*"), Some(label)) if !label.is_empty() => {}
            (Some(pattern), Some(label)) if pattern == label => {}
            (Some(_) | None, Some(_) | None) => return false,
        }
    }
}

/// What is wrong with `written` as a host that may be reached, and what to write.
pub fn host_fault(written: &str) -> Option<(&'static str, &'static str)> {
    const EXAMPLE: &str = "write a name such as `api.example.com`, or `*.example.com` for one label before it";
    if written.contains("://") || written.contains('/') {
        return Some(("is a URL; a host alone belongs here", EXAMPLE));
    }
    if written.contains(':') {
        return Some(("names a port or an IPv6 address", "write the host alone, and the port in `allow_ports`"));
    }
    if !written.is_ascii() {
        return Some(("is not written in ASCII", "write an international name in its form `xn--…`"));
    }
    if written.len() > NAME_BYTES_MAX {
        return Some(("is longer than a name can be", EXAMPLE));
    }
    if written.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(("has upper case letters", "write hosts in lower case"));
    }
    let labels: Vec<&str> = written.split('.').collect();
    for label in &labels {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let is_label = (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(is_plain)
            && !label.starts_with('-')
            && !label.ends_with('-');
        if *label != "*" && !is_label {
            return Some(("is no name of a host", EXAMPLE));
        }
    }
    if labels.iter().rev().take(2).any(|label| *label == "*") {
        return Some(("is open to names of anybody", "write the last two labels out, as in `*.example.com`"));
    }
    // What a URL's parser would take for an address in an odd spelling is no name.
    if labels.last().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x"))
        && written.parse::<Ipv4Addr>().is_err()
    {
        return Some(("is neither a name nor an IPv4 address", EXAMPLE));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(hosts: &[&str]) -> Egress {
        Egress { allow_hosts: hosts.iter().map(|host| (*host).to_owned()).collect(), allow_ports: vec![8443] }
    }

    #[test]
    fn a_star_is_exactly_one_label() {
        let egress = egress(&["api.example.com", "*.example.org", "a.*.example.net"]);
        for host in ["api.example.com", "a.example.org", "xn--bcher-kva.example.org", "a.b.example.net"] {
            assert!(egress.allows_host(host), "{host}");
        }
        for host in [
            "example.com",
            "b.api.example.com",
            "api.example.com.",
            "example.org",
            ".example.org",
            "a.b.example.org",
            "evil-example.org",
            "a.example.org.evil.com",
            "a.example.net",
            "b.b.example.net",
            "",
            "*",
        ] {
            assert!(!egress.allows_host(host), "{host}");
        }
        assert!(egress.allows_port(443) && egress.allows_port(8443) && !egress.allows_port(80));
    }

    #[test]
    fn hosts_that_are_none_are_told() {
        for good in ["api.example.com", "*.example.com", "*.*.example.com", "localhost", "127.0.0.1", "_a.b-c.xn--p1ai"]
        {
            assert_eq!(host_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "*",
            "*.com",
            "example.*",
            "a*.example.com",
            "https://example.com",
            "example.com/",
            "example.com:443",
            "[::1]",
            "::1",
            "Example.com",
            "bücher.example",
            ".example.com",
            "example.com.",
            "a..b",
            "-a.example.com",
            "a-.example.com",
            "a b.com",
            "user@example.com",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0x7f000001",
            "256.1.1.1",
        ] {
            assert!(host_fault(bad).is_some(), "{bad}");
        }
        assert!(host_fault(&format!("{}.com", "a".repeat(64))).is_some());
        assert!(host_fault(&format!("{}com", "abcdefg.".repeat(40))).is_some());
    }
}
