//! What an extension asks for beside its tables and functions: where its actions may reach, and
//! the names of its secrets.

use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, pointer_to};
use crate::egress::Egress;
use crate::read::column::integral;
use crate::read::complaints::{Complaints, array, object, refuse_unknown, text, wrong_type};

/// `allowHosts` and `allowPorts`; with a `_` for the capital letter they mean the same.
pub(super) fn egress(extension: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Egress {
    let at = pointer_to(at, "egress");
    let members = extension.get("egress").and_then(|value| object(value, &at, "an object", complaints));
    let nothing = Map::new();
    let map = members.unwrap_or(&nothing);
    // The first two are what a misspelling is compared with.
    let known = ["allow_hosts", "allow_ports", "allowHosts", "allowPorts"];
    refuse_unknown(map, &at, "`egress`", &known, &[], complaints);
    let mut egress = Egress::default();
    for (at, host) in elements(map, ["allow_hosts", "allowHosts"], &at, "an array of hosts", complaints) {
        egress.allow_hosts.extend(text(host, &at, "a host's name", complaints).map(str::to_owned));
    }
    for (at, port) in elements(map, ["allow_ports", "allowPorts"], &at, "an array of ports", complaints) {
        match integral(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) {
            Some(port) => egress.allow_ports.push(port),
            None => complaints.push(wrong_type(port, &at, "a port from 1 to 65535")),
        }
    }
    egress
}

/// Names of secrets, as written.
pub(super) fn secrets(extension: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Vec<String> {
    let names = elements(extension, ["secrets", "secrets"], at, "an array of names", complaints);
    names
        .into_iter()
        .filter_map(|(at, name)| text(name, &at, "a secret's name", complaints).map(str::to_owned))
        .collect()
}

/// The elements of the array under the one name or the other, each with where it is.
fn elements<'a>(
    map: &'a Map<String, Value>,
    [name, other]: [&str; 2],
    at: &str,
    what: &str,
    complaints: &mut Complaints,
) -> Vec<(String, &'a Value)> {
    if name != other && map.contains_key(name) && map.contains_key(other) {
        let message = format!("`{name}` and `{other}` are one option; keep one of them");
        complaints.push(Diagnostic::new("given_twice", pointer_to(at, other), message));
    }
    let Some((written, value)) = [name, other].into_iter().find_map(|name| Some((name, map.get(name)?))) else {
        return Vec::new();
    };
    let at = pointer_to(at, written);
    let list = array(value, &at, what, complaints).unwrap_or_default();
    list.iter().enumerate().map(|(index, element)| (pointer_to(&at, index), element)).collect()
}
