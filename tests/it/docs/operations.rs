//! docs/operations.md and docs/limits.md against the findings and the defaults there are.

use std::collections::BTreeSet;

use rowgate::config::{Config, Limits};

use crate::docs::markdown::{Document, quoted};
use crate::docs::root;

/// The first text behind each of `words` in the sources below `src/`, where one stands there.
fn texts_behind(path: &str, words: &[&str]) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("src").join(path)).unwrap();
    let mut found = BTreeSet::new();
    for word in words {
        for (place, _) in text.match_indices(word) {
            let rest = text[place + word.len()..].trim_start();
            if let Some(rest) = rest.strip_prefix('"') {
                found.insert(rest.split('"').next().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn every_finding_of_the_doctor_is_listed() {
    let mut found = BTreeSet::new();
    for path in ["doctor.rs", "doctor/around.rs", "doctor/extensions.rs", "doctor/listeners.rs", "doctor/server.rs"] {
        found.extend(texts_behind(&format!("cli/{path}"), &["report.error(", "report.warning("]));
    }
    found.extend(texts_behind("cli/doctor/upkeep.rs", &["report.error(", "report.warning("]));
    found.extend(texts_behind("cli/doctor/server.rs", &["\"off\", "]));
    found.extend(texts_behind("deploy/drift.rs", &["code: ", "=> ", "=> (", "("]).into_iter().filter(|text| {
        let ends = ["_missing", "_added", "_changed", "_invalid", "_disabled", "_not_validated"];
        ends.iter().any(|end| text.ends_with(end)) && !text.contains(' ') && !text.starts_with('_')
    }));
    assert!(found.len() > 45, "{found:?}");
    let document = Document::read(&root().join("docs/operations.md"));
    let rows = document.section("Is all well?").rows();
    let documented: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).map(str::to_owned).collect();
    assert_eq!(documented, found);
}

#[test]
fn the_table_of_limits_has_the_defaults() {
    let limits = Limits::default();
    let layers = [limits.caller, limits.install, limits.extension];
    let number = |text: &str| text.replace(',', "").parse::<u32>().unwrap();
    let mut found = 0;
    for row in Document::read(&root().join("docs/limits.md")).rows() {
        let of_class = layers.map(|layer| match quoted(&row[0]).first().copied() {
            Some("query_rows") => Some(layer.query_rows),
            Some("write_rows") => Some(layer.write_rows),
            Some("query") => Some(layer.query),
            Some("mutation") => Some(layer.mutation),
            Some("action") => Some(layer.action),
            _ => None,
        });
        for (quota, cell) in of_class.iter().zip(row.iter().skip(2)) {
            let Some(quota) = quota else { continue };
            assert_eq!(quota.per_minute, number(cell), "{row:?}");
            found += 1;
        }
    }
    assert_eq!(found, 15, "five classes in three layers");
}

#[test]
fn every_alert_has_an_entry_in_the_runbook_and_every_entry_an_alert() {
    let alerts = std::fs::read_to_string(root().join("docs/operations/alerts.yaml")).unwrap();
    let alerts: BTreeSet<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let runbook = Document::read(&root().join("docs/operations/runbook.md"));
    let rows = runbook.rows();
    let entries: BTreeSet<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    assert_eq!(entries, alerts);
    for row in rows {
        assert!(row.len() == 4 && row.iter().all(|cell| cell.len() > 10), "{row:?}");
    }
}

/// What the files for operators set is a setting.
#[test]
fn the_unit_and_the_container_set_what_there_is() {
    for path in ["docs/operations/rowgate.service", "docs/operations/Containerfile"] {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let word = |text: &str| {
            text.split(|c: char| !c.is_ascii_alphanumeric() && !"_.:=".contains(c)).next().unwrap().to_owned()
        };
        let set: Vec<String> = text
            .match_indices("ROWGATE_")
            .map(|(place, _)| word(&text[place..]))
            .filter(|set| set.contains('='))
            .collect();
        assert!(!set.is_empty(), "{path}");
        let environment =
            set.iter().map(|set| set.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap());
        Config::read(None, &environment.collect()).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}
