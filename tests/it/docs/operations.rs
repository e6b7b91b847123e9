//! docs/operations.md and docs/limits.md against the findings and the defaults there are.

use std::collections::BTreeSet;

use rowgate::config::Limits;

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
    for path in ["cli/doctor.rs", "cli/doctor/server.rs", "cli/doctor/extensions.rs", "cli/doctor/listeners.rs"] {
        found.extend(texts_behind(path, &["report.error(", "report.warning("]));
    }
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
