//! What an extension asks of the world outside: hosts its actions may reach, secrets it is given.

use std::collections::HashSet;

use crate::definition::Extension;
use crate::diagnostic::Diagnostic;
use crate::egress::{HOSTS_MAX, PORTS_MAX, host_fault};

/// Secrets of one extension.
pub const SECRETS_MAX: usize = 100;
/// Characters of a secret's name.
const SECRET_NAME_CHARACTERS_MAX: usize = 63;

pub(super) fn outside(extension: &Extension, diagnostics: &mut Vec<Diagnostic>) {
    let egress = &extension.egress;
    for (at, count, count_max, what) in [
        ("/extension/egress/allow_hosts", egress.allow_hosts.len(), HOSTS_MAX, "hosts"),
        ("/extension/egress/allow_ports", egress.allow_ports.len(), PORTS_MAX, "ports"),
        ("/extension/secrets", extension.secrets.len(), SECRETS_MAX, "secrets"),
    ] {
        if count > count_max {
            let message = format!("the extension names {count} {what}; at most {count_max} are accepted");
            diagnostics.push(Diagnostic::new("too_many_names", at, message));
        }
    }
    for (index, host) in egress.allow_hosts.iter().take(HOSTS_MAX).enumerate() {
        if let Some((fault, hint)) = host_fault(host) {
            let pointer = format!("/extension/egress/allow_hosts/{index}");
            let message = format!("host `{}` {fault}", shown(host));
            diagnostics.push(Diagnostic::new("malformed_host", pointer, message).with_hint(hint));
        }
    }
    let mut seen = HashSet::new();
    for (index, name) in extension.secrets.iter().take(SECRETS_MAX).enumerate() {
        let pointer = format!("/extension/secrets/{index}");
        if !is_name(name) {
            let message = format!("`{}` is no name of a secret", shown(name));
            let hint = format!(
                "a name is a letter, then letters, digits or `_`, at most {SECRET_NAME_CHARACTERS_MAX} of them, \
                 such as `API_KEY`"
            );
            diagnostics.push(Diagnostic::new("malformed_name", pointer, message).with_hint(hint));
        } else if !seen.insert(name) {
            let message = format!("secret `{name}` is named twice");
            diagnostics.push(Diagnostic::new("duplicate_name", pointer, message));
        }
    }
}

/// Whether `name` is one that a secret may have.
pub fn is_name(name: &str) -> bool {
    name.len() <= SECRET_NAME_CHARACTERS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn shown(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
