//! The corpus of changes, judged purely: from `before.json` (nothing where there is none) to
//! `after.json` by `plan.sql`. `tests/it/ddl.rs` judges the same cases on a real Postgres.
//!
//! `ROWGATE_TEST_WRITE_CASES=1 cargo test -p rowgate-schema-dsl --test cases` writes the plans anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod understand;

use std::fs;
use std::path::{Path, PathBuf};

use rowgate_schema_dsl::ddl::ddl;
use rowgate_schema_dsl::diff::{Change, diff};
use rowgate_schema_dsl::model::Model;

struct Case {
    name: String,
    directory: PathBuf,
    before: Option<Model>,
    after: Model,
}

#[test]
fn every_case_has_its_plan() {
    let write = std::env::var_os("ROWGATE_TEST_WRITE_CASES").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        let plan = plan_text(&case);
        let file = case.directory.join("plan.sql");
        if write {
            fs::write(&file, &plan).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if plan != expected {
            wrong.push(format!("{}: expected\n{expected}\ngot\n{plan}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_applied_needs_no_change() {
    for case in cases() {
        assert_eq!(diff(Some(&case.after), &case.after), [], "{}", case.name);
    }
}

#[test]
fn a_fresh_build_is_never_refused() {
    for case in cases() {
        let changes = diff(None, &case.after);
        let refusals: Vec<_> = changes.iter().filter_map(Change::refusal).collect();
        assert_eq!(refusals, [], "{}", case.name);
        assert!(ddl(&case.after, &changes).statements.len() >= changes.len(), "{}", case.name);
    }
}

#[test]
fn every_change_of_the_corpus_is_either_refused_or_a_statement() {
    for case in cases() {
        for change in diff(case.before.as_ref(), &case.after) {
            let statements = ddl(&case.after, &[change]).statements;
            assert_eq!(statements.is_empty(), change.refusal().is_some(), "{}: {change:?}", case.name);
        }
    }
}

fn plan_text(case: &Case) -> String {
    let changes = diff(case.before.as_ref(), &case.after);
    let mut text = String::new();
    for refusal in changes.iter().filter_map(Change::refusal) {
        for line in refusal.to_string().lines() {
            text.push_str(&format!("-- {line}\n"));
        }
    }
    for statement in ddl(&case.after, &changes).statements {
        text.push_str(&format!("{};\n", statement.sql));
    }
    if text.is_empty() { "-- nothing to do\n".to_owned() } else { text }
}

fn cases() -> Vec<Case> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut directories: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert!(directories.len() >= 15);
    let model = |file: PathBuf| {
        let text = fs::read_to_string(file).ok()?;
        Some(understand::understand(&serde_json::from_str(&text).unwrap()).1)
    };
    directories
        .into_iter()
        .map(|directory| Case {
            name: directory.file_name().unwrap().to_string_lossy().into_owned(),
            before: model(directory.join("before.json")),
            after: model(directory.join("after.json")).expect("after.json"),
            directory,
        })
        .collect()
}
