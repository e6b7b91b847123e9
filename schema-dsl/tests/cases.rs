//! The corpus of changes, judged purely: from `before.json` (nothing where there is none) to
//! `after.json` by `plan.sql`, and by `online.sql` where the tables have many rows.
//! `tests/it/ddl.rs` judges the same cases on a real Postgres.
//!
//! `allow.json`, where there is one, is what is allowed by name.
//! `ROWGATE_TEST_WRITE_CASES=1 cargo test -p rowgate-schema-dsl --test cases` writes the plans anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod understand;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rowgate_schema_dsl::ddl::build;
use rowgate_schema_dsl::ddl::change::{Terms, plan};
use rowgate_schema_dsl::ddl::step::{DdlPlan, Phase, Work};
use rowgate_schema_dsl::diff::align::{Aligned, align};
use rowgate_schema_dsl::diff::{Change, diff};
use rowgate_schema_dsl::model::Model;

struct Case {
    name: String,
    directory: PathBuf,
    before: Option<Model>,
    after: Model,
    allowed: BTreeSet<String>,
}

#[test]
fn every_case_has_its_plans() {
    let write = std::env::var_os("ROWGATE_TEST_WRITE_CASES").is_some();
    let mut wrong = Vec::new();
    for case in cases() {
        for (file, is_large) in [("plan.sql", false), ("online.sql", true)] {
            let plan = plan_text(&case, is_large);
            let file = case.directory.join(file);
            // Where it makes no difference how many rows there are, one file says it.
            let same = is_large && plan == plan_text(&case, false);
            if write && same {
                fs::remove_file(&file).ok();
            } else if write {
                fs::write(&file, &plan).unwrap();
            }
            let expected = if same { plan.clone() } else { fs::read_to_string(&file).unwrap_or_default() };
            if plan != expected || same && file.exists() {
                wrong.push(format!("{}: expected\n{expected}\ngot\n{plan}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_was_applied_needs_no_change() {
    for case in cases() {
        assert_eq!(diff(Some(&align(&case.after, &case.after)), &case.after), [], "{}", case.name);
    }
}

#[test]
fn a_fresh_build_is_never_refused() {
    for case in cases() {
        let changes = diff(None, &case.after);
        let refusals: Vec<_> = changes.iter().filter_map(Change::refusal).collect();
        assert_eq!(refusals, [], "{}", case.name);
        let plan = build(&case.after);
        assert!(plan.statements().count() >= changes.len(), "{}", case.name);
        assert_eq!(plan.obstacles, [], "{}", case.name);
    }
}

#[test]
fn phases_come_in_order_and_only_where_rows_are_many() {
    for case in cases() {
        for is_large in [false, true] {
            let plan = planned(&case, is_large);
            let phases: Vec<Phase> = plan.steps.iter().map(|step| step.phase).collect();
            assert!(phases.is_sorted(), "{}", case.name);
            assert!(is_large || phases.iter().all(|phase| *phase == Phase::Swap), "{}", case.name);
            for step in &plan.steps {
                let in_transaction = matches!(step.work, Work::Statements(_) | Work::Guard { .. });
                assert!(in_transaction || step.phase == Phase::Prepare, "{}: {step:?}", case.name);
                assert!(step.undo.is_empty() || step.phase == Phase::Prepare, "{}: {step:?}", case.name);
                assert!(!step.work.statements().is_empty(), "{}: {step:?}", case.name);
            }
        }
    }
}

fn planned(case: &Case, is_large: bool) -> DdlPlan {
    let aligned = case.before.as_ref().map(|before| align(before, &case.after));
    let changes = diff(aligned.as_ref(), &case.after);
    let tables = case.before.iter().filter(|_| is_large).flat_map(|before| &before.tables);
    let large = tables.map(|table| table.name.to_string()).collect();
    plan(aligned.as_ref(), &case.after, &changes, &Terms { large, allowed: case.allowed.clone() })
}

fn plan_text(case: &Case, is_large: bool) -> String {
    let aligned: Option<Aligned> = case.before.as_ref().map(|before| align(before, &case.after));
    let changes = diff(aligned.as_ref(), &case.after);
    let mut text = String::new();
    for refusal in changes.iter().filter_map(Change::refusal) {
        for line in refusal.to_string().lines() {
            text.push_str(&format!("-- {line}\n"));
        }
    }
    let plan = planned(case, is_large);
    for obstacle in &plan.obstacles {
        text.push_str(&format!("-- {}: {}\n--   hint: {}\n", obstacle.kind.code(), obstacle.message, obstacle.hint));
        text.push_str(&format!("{};\n", obstacle.sql));
    }
    let mut phase = None;
    for step in &plan.steps {
        if phase != Some(step.phase) {
            text.push_str(&format!("-- {}\n", step.phase.as_str()));
            phase = Some(step.phase);
        }
        for statement in step.work.statements() {
            text.push_str(&format!("{statement};\n"));
        }
        if !step.undo.is_empty() {
            text.push_str(&format!("--   undone by: {}\n", step.undo.join("; ")));
        }
    }
    if text.is_empty() { "-- nothing to do\n".to_owned() } else { text }
}

fn cases() -> Vec<Case> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut directories: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert!(directories.len() >= 60);
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
            allowed: fs::read_to_string(directory.join("allow.json"))
                .map(|text| serde_json::from_str(&text).unwrap())
                .unwrap_or_default(),
            directory,
        })
        .collect()
}
