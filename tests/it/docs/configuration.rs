//! docs/configuration.md against the settings there are: each key, and its default.

use std::collections::{BTreeMap, BTreeSet};

use rowgate::config::Config;
use serde::Deserialize;

use crate::docs::markdown::{Document, quoted};
use crate::docs::root;

fn document() -> Document {
    Document::read(&root().join("docs/configuration.md"))
}

/// The keys that `section` takes, as the complaint about another one lists them; the sections
/// themselves for none.
fn keys(section: &str) -> BTreeSet<String> {
    let text = if section.is_empty() { "zzz = 1".to_owned() } else { format!("[{section}]\nzzz = 1") };
    let complaint = toml::from_str::<Config>(&text).unwrap_err().message().to_owned();
    let (_, list) = complaint.split_once("expected ").unwrap_or_else(|| panic!("{complaint}"));
    quoted(list).into_iter().map(str::to_owned).collect()
}

#[test]
fn every_section_is_listed() {
    let sections: BTreeSet<String> = document()
        .headings()
        .iter()
        .filter(|h| h.level == 2 && !h.text.contains(' '))
        .map(|h| h.text.clone())
        .collect();
    assert_eq!(sections, keys(""));
}

#[test]
fn every_key_is_listed_with_its_default() {
    for section in keys("") {
        let mut documented = BTreeSet::new();
        for row in document().section(&section).rows() {
            let (key, default) = (quoted(&row[0])[0].to_owned(), quoted(&row[1]).first().copied());
            match default {
                Some(default) => {
                    let text = format!("[{section}]\n{key} = {default}");
                    let config: Config = toml::from_str(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
                    assert_eq!(config, Config::default(), "{section}.{key} is not {default} by default");
                    assert!(is_read(&section, &key), "{section}.{key} changes nothing");
                }
                None => {
                    let debug = format!("{:?}", Config::default());
                    assert!(debug.contains(&format!("{key}: None")), "{section}.{key} has a default");
                }
            }
            documented.insert(key);
        }
        assert_eq!(documented, keys(&section), "[{section}]");
    }
}

/// Whether some value of the key makes another configuration than the default.
fn is_read(section: &str, key: &str) -> bool {
    let values = [
        "7",
        "'7'",
        "['7']",
        "'127.0.0.1:7'",
        "['127.0.0.1:7']",
        "['127.0.0.0/8']",
        "'off'",
        "'json'",
        "'none'",
        "'commit'",
        "false",
        "true",
        "{ query = 7 }",
        "{ timeout_ms = 7 }",
    ];
    values.iter().any(|value| {
        toml::from_str::<Config>(&format!("[{section}]\n{key} = {value}"))
            .is_ok_and(|config| config != Config::default())
    })
}

#[test]
fn the_example_file_is_read() {
    for block in document().blocks("toml") {
        let config = Config::deserialize(toml::Deserializer::parse(&block.text).unwrap());
        let config = config.unwrap_or_else(|error| panic!("line {}: {error}", block.line));
        assert_ne!(config, Config::default(), "line {}", block.line);
    }
}

#[test]
fn the_environment_is_read_as_described() {
    let mut environment = BTreeMap::new();
    for line in document().section("From the environment").blocks("sh").iter().flat_map(|block| block.text.lines()) {
        let (name, value) = line.trim_start_matches("export ").split_once('=').unwrap();
        environment.insert(name.to_owned(), value.trim_matches('\'').to_owned());
    }
    assert!(!environment.is_empty());
    let config = Config::read(None, &environment).unwrap();
    assert_ne!(config, Config::default());
    for name in environment.keys().filter(|name| *name != "DATABASE_URL") {
        let (section, key) = name.strip_prefix("ROWGATE_").unwrap().split_once("__").unwrap();
        assert!(keys(&section.to_lowercase()).contains(&key.to_lowercase()), "{name}");
    }
}

#[test]
fn what_a_handler_may_take_is_listed_for_each_kind() {
    for (column, kind) in ["query", "mutation", "action"].into_iter().enumerate() {
        let mut documented = BTreeSet::new();
        for row in document().section("What one handler may take").rows() {
            let (key, default) = (quoted(&row[0])[0].to_owned(), quoted(&row[column + 1])[0].to_owned());
            let with = |value: &str| toml::from_str::<Config>(&format!("[script.{kind}]\n{key} = {value}")).unwrap();
            assert_eq!(with(&default), Config::default(), "script.{kind}.{key} is not {default} by default");
            assert_ne!(with("7"), Config::default(), "script.{kind}.{key} changes nothing");
            documented.insert(key);
        }
        assert_eq!(documented, keys(&format!("script.{kind}")));
    }
}
