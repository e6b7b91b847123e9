//! What is said of the hosts, ports and secrets that `extension.json` names.

use insta::assert_snapshot;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};

use crate::document::complaints;

/// What `read` says of an extension with these members, a line each.
fn read_with(members: Value) -> String {
    let mut extension = json!({ "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "a", "version": "1" });
    extension.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let (_, complaints) = read(&json!({ "rowgate": 1, "extension": extension }));
    complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn both_spellings_are_read_as_one() {
    let extension = |egress: Value| {
        let document = json!({
            "rowgate": 1,
            "extension": {
                "id": "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "name": "a", "version": "1", "egress": egress,
                "secrets": ["API_KEY"],
            },
        });
        let (definition, complaints) = read(&document);
        assert_eq!(complaints, []);
        definition.extension
    };
    let one = extension(json!({ "allow_hosts": ["a.example.com"], "allow_ports": [8443] }));
    assert_eq!(one, extension(json!({ "allowHosts": ["a.example.com"], "allowPorts": [8443] })));
    assert_eq!((one.egress.allow_hosts, one.egress.allow_ports), (vec!["a.example.com".to_owned()], vec![8443]));
    assert_eq!(one.secrets, ["API_KEY"]);
}

#[test]
fn members_that_are_none_are_told_where_they_are() {
    let egress =
        json!({ "allow_host": [], "allow_hosts": ["a.example.com", 1], "allowHosts": [], "allowPorts": [0, 443, "1"] });
    assert_snapshot!(read_with(json!({ "egress": egress, "secrets": "API_KEY" })), @"
    /extension/egress/allow_host: error[unknown_option]: `allow_host` is not an option of `egress`
      hint: did you mean `allowHosts`?
    /extension/egress/allowHosts: error[given_twice]: `allow_hosts` and `allowHosts` are one option; keep one of them
    /extension/egress/allow_hosts/1: error[wrong_type]: expected a host's name, got the number `1`
    /extension/egress/allowPorts/0: error[wrong_type]: expected a port from 1 to 65535, got the number `0`
    /extension/egress/allowPorts/2: error[wrong_type]: expected a port from 1 to 65535, got the text `1`
    /extension/secrets: error[wrong_type]: expected an array of names, got the text `API_KEY`
    ");
}

#[test]
fn hosts_and_names_are_judged_all_at_once() {
    assert_snapshot!(complaints(&json!({
        "hosts": ["https://api.example.com/v1", "*.com", "Api.example.com", "api.example.com:8443", "good.example.com"],
        "secrets": ["API_KEY", "api-key", "API_KEY", ""],
    })), @"
    malformed_host /extension/egress/allow_hosts/0
      host `https://api.example.com/v1` is a URL; a host alone belongs here
      write a name such as `api.example.com`, or `*.example.com` for one label before it
    malformed_host /extension/egress/allow_hosts/1
      host `*.com` is open to names of anybody
      write the last two labels out, as in `*.example.com`
    malformed_host /extension/egress/allow_hosts/2
      host `Api.example.com` has upper case letters
      write hosts in lower case
    malformed_host /extension/egress/allow_hosts/3
      host `api.example.com:8443` names a port or an IPv6 address
      write the host alone, and the port in `allow_ports`
    malformed_name /extension/secrets/1
      `api-key` is no name of a secret
      a name is a letter, then letters, digits or `_`, at most 63 of them, such as `API_KEY`
    duplicate_name /extension/secrets/2
      secret `API_KEY` is named twice
    malformed_name /extension/secrets/3
      `` is no name of a secret
      a name is a letter, then letters, digits or `_`, at most 63 of them, such as `API_KEY`
    ");
    let many: Vec<String> = (0..101).map(|index| format!("h{index}.example.com")).collect();
    assert_snapshot!(complaints(&json!({ "hosts": many })), @"
    too_many_names /extension/egress/allow_hosts
      the extension names 101 hosts; at most 100 are accepted
    ");
    assert_eq!(complaints(&json!({ "hosts": ["*.example.com", "127.0.0.1"], "secrets": ["API_KEY"] })), "sound");
}
