//! docs/errors.md against the codes there are.

use std::collections::BTreeSet;
use std::path::Path;

use axum::body::to_bytes;
use rowgate::error::{Code, Complaint, Failure};
use rowgate::problem;
use serde_json::Value;

use crate::docs::markdown::{Document, quoted};
use crate::docs::root;

fn document() -> Document {
    Document::read(&root().join("docs/errors.md"))
}

#[test]
fn every_code_has_its_heading_and_every_heading_is_a_code() {
    let headings = document().headings();
    let documented: Vec<&str> =
        headings.iter().filter(|h| h.level == 2 && !h.text.contains(' ')).map(|h| h.text.as_str()).collect();
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(documented, codes, "in the order of the stages");
}

#[test]
fn every_code_has_its_status() {
    let document = document();
    for code in Code::ALL {
        let status = problem::status(code).0.as_u16();
        let section = document.section(code.as_str());
        let line = section.text.lines().find(|line| line.starts_with("Status ")).unwrap_or_default();
        assert!(line.starts_with(&format!("Status {status}. ")), "{code}: {line}");
        assert!(section.text.contains("**What to do**: "), "{code}: what is there to do?");
    }
}

#[tokio::test]
async fn every_example_is_what_the_gateway_would_answer() {
    let document = document();
    for code in Code::ALL {
        let blocks = document.section(code.as_str()).blocks("json");
        let [block] = blocks.as_slice() else { panic!("{code}: {} examples", blocks.len()) };
        let example: Value = serde_json::from_str(&block.text).unwrap_or_else(|error| panic!("{code}: {error}"));
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{code}: {value}")).to_owned();
        let mut failure = Failure::new(code, text(&example["detail"]));
        for error in example["errors"].as_array().into_iter().flatten() {
            failure.complaints.push(Complaint {
                pointer: text(&error["pointer"]),
                code: text(&error["code"]).leak(),
                message: text(&error["message"]),
            });
        }
        let violated = example["violated-policies"].as_array().into_iter().flatten();
        failure.violated_policies = violated.map(|policy| &*text(policy).leak()).collect();
        failure.reason = example["reason"].as_str().map(Into::into);
        let response = problem::response(&failure, &text(&example["instance"]), &text(&example["request_id"]));
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(example, answer, "{code}");
    }
}

#[test]
fn codes_inside_errors_are_those_of_the_sources() {
    let section = document().section("Codes inside `errors`");
    let mut documented = BTreeSet::new();
    for row in section.rows() {
        documented.extend(quoted(&row[0]).into_iter().map(str::to_owned));
    }
    let mut written = BTreeSet::new();
    for file in ["schema-dsl/src/value", "src/plan/argument"] {
        for text in sources(&root().join(file)) {
            written.extend(after(&text, "refusal("));
            written.extend(after(&text, "code: "));
        }
    }
    let database = sources(&root().join("src/db/sqlstate")).concat();
    written.extend(after(&database, "complaints(constraint, "));
    // Both of these are chosen between in one expression.
    written.extend(["missing_argument", "null"].map(str::to_owned));
    written.extend(["unique", "reference", "check"].map(str::to_owned));
    assert_eq!(documented, written);
}

#[test]
fn diagnostics_are_those_of_the_sources() {
    let section = document().section("Diagnostics of `check`");
    let documented: BTreeSet<String> = section
        .rows()
        .iter()
        .flat_map(|row| quoted(&row[0]).into_iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let mut all = String::new();
    for folder in ["schema-dsl/src", "src/deploy"] {
        all.extend(sources(&root().join(folder)));
    }
    let mut written = BTreeSet::new();
    for before in ["Diagnostic::new(", "complain(", "refuse("] {
        written.extend(after(&all, before));
    }
    // Choices of one of several words; other rooms have codes too.
    written.extend(after(&all, "code: ").into_iter().filter(|code| code.starts_with("unknown_")));
    for not_ours in ["unknown_argument", "unknown_field"] {
        written.remove(not_ours);
    }
    let missing: Vec<&String> = written.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/errors.md does not name {missing:?}");
    for code in &documented {
        assert!(all.contains(&format!("\"{code}\"")), "no source has the diagnostic `{code}`");
    }
}

/// The sources at `path`: a folder's, or a file's without its ending; their tests left out.
fn sources(path: &Path) -> Vec<String> {
    let file = path.with_extension("rs");
    let mut found = Vec::new();
    if file.is_file() {
        found.push(std::fs::read_to_string(file).unwrap());
    }
    for entry in std::fs::read_dir(path).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if ["tests", "generate"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.with_extension("").is_dir() {
            found.push(std::fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// The words in quotes that follow `before`, over line breaks.
fn after(text: &str, before: &str) -> Vec<String> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split_once('"'))
        .map(|(word, _)| word.to_owned())
        .filter(|word| {
            !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect()
}
