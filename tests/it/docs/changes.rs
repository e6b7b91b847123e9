//! `docs/changes.md` shows how each kind of change is made: as the compiler makes it.
//!
//! A line `<!-- NAME -->` is followed by the statements of the case of that name in the corpus, on a table
//! with many rows. `ROWGATE_TEST_WRITE_DOCS=1 cargo test --test it docs::changes` writes them anew.

use std::collections::BTreeSet;

use rowgate_schema_dsl::ddl::change::{Terms, plan};
use rowgate_schema_dsl::ddl::step::{Lock, Step, Work};
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::diff::diff;
use serde_json::Value;

use super::root;
use crate::understand::understand;

#[test]
fn changes_are_made_as_is_shown() {
    let path = root().join("docs/changes.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut made = String::new();
    let mut lines = text.lines().peekable();
    let mut shown = 0;
    while let Some(line) = lines.next() {
        made.push_str(line);
        made.push('\n');
        let Some(case) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) else { continue };
        made.push_str(&format!("```sql\n{}```\n", statements(case)));
        shown += 1;
        if lines.peek() == Some(&"```sql") {
            lines.find(|line| *line == "```");
        }
    }
    assert!(shown >= 20, "{shown} changes are shown");
    if std::env::var_os("ROWGATE_TEST_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    assert!(made == text, "docs/changes.md shows other statements than are made:\n{made}");
}

fn statements(case: &str) -> String {
    let directory = root().join("schema-dsl/tests/cases").join(case);
    let read = |file: &str| std::fs::read_to_string(directory.join(file)).ok();
    let model = |file: &str| understand(&serde_json::from_str::<Value>(&read(file).unwrap()).unwrap()).1;
    let (before, after) = (model("before.json"), model("after.json"));
    let allowed: BTreeSet<String> =
        read("allow.json").map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
    let aligned = align(&before, &after);
    let large = before.tables.iter().map(|table| table.name.to_string()).collect();
    let plan = plan(Some(&aligned), &after, &diff(Some(&aligned), &after), &Terms { large, allowed });
    let mut text = String::new();
    let mut last = None;
    for step in &plan.steps {
        let now = (step.phase, step.lock);
        if last != Some(now) {
            let lock = if step.lock == Lock::None { "no lock".to_owned() } else { step.lock.as_str().to_owned() };
            text.push_str(&format!("-- {}: {lock}\n", step.phase.as_str()));
            last = Some(now);
        }
        for statement in shown(step) {
            text.push_str(&format!("{};\n", statement.replace(&format!("\"{}\".", before.postgres_schema), "")));
        }
    }
    text
}

/// The statements, of functions the head alone and of batches what is set.
fn shown(step: &Step) -> Vec<String> {
    let head = |sql: &str| sql.split_once(" AS $").map_or(sql, |(head, _)| head).to_owned();
    match &step.work {
        Work::Backfill { batch, .. } => {
            let set = batch.lines().find(|line| line.trim_start().starts_with("UPDATE")).unwrap().trim();
            vec![format!("{} … -- 1,000 rows at a time", set.split_once(" FROM").unwrap().0)]
        }
        Work::Statements(_) | Work::Concurrently { .. } | Work::Guard { .. } => {
            step.work.statements().into_iter().map(head).collect()
        }
    }
}
