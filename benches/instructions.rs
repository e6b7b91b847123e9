//! How many instructions one call costs the gateway, counted by valgrind: the same on a busy machine as on
//! a quiet one.
//!
//! `cargo bench --bench instructions` counts each verb and compares it with `benches/instructions.txt`;
//! `-- --write` keeps what it counted there. A commit that changes a count by more than `NOTABLE` says why.
//! Counted is all that this process does for a call, from `Gateway::call` to the bytes of the answer, with
//! its share of the connections' task; HTTP and Postgres are not in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "support/bed.rs"]
mod bed;
#[allow(dead_code)]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::join_all;

use crate::bed::Bed;

/// Tells a copy of this program that valgrind runs it; the folder that valgrind writes to.
const COUNTED: &str = "ROWGATE_COUNTED";
/// Calls under way at once, and how often.
const AT_ONCE: usize = 32;
const TIMES: usize = 16;
/// The part of a count that has to change for the change to be told.
const NOTABLE: f64 = 0.05;

fn main() {
    match std::env::var_os(COUNTED) {
        Some(_) => count(),
        None => compare(),
    }
}

/// Calls every verb; what was counted before each is told apart from what it took.
fn count() {
    let bed = Bed::new();
    let one = format!("{{\"id\":\"{}\"}}", bed.id);
    let item = r#"{"category":"new","title":"one more item","score":7}"#;
    let category = r#"{"category":"c07"}"#;
    for (name, function, arguments) in [
        ("getRow", "getItem", one.as_str()),
        ("queryRows, 20 rows", "listItems", category),
        ("queryRows, a page of 20", "pageItems", category),
        ("aggregateRows, 2 groups", "tallyItems", category),
        ("getRow with 0 embedded", "itemWithNotes", &one),
        ("insertRow", "addItem", item),
        ("patchRow", "bumpItem", &one),
        ("upsertRow", "countUp", r#"{"name":"one"}"#),
    ] {
        let calls = || bed.runtime.block_on(join_all((0..AT_ONCE).map(|_| bed.call(function, arguments))));
        for _ in 0..4 {
            calls();
        }
        dump("before");
        for _ in 0..TIMES {
            calls();
        }
        dump(name);
    }
}

/// Has valgrind write what it has counted since the last time, under `name`.
fn dump(name: &str) {
    let dump = format!("--dump={name}");
    let said = Command::new("callgrind_control").args([&dump, &std::process::id().to_string()]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

fn compare() {
    let folder = tempfile::tempdir().unwrap();
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", folder.path().join("counts").display()))
        .arg(std::env::current_exe().unwrap())
        .env(COUNTED, folder.path())
        // Machines of Luau look at clocks in a way that valgrind does not know.
        .env(bed::DOCUMENT, bed::document().to_string())
        .status();
    match ran {
        Ok(status) => assert!(status.success(), "{status}"),
        Err(error) => {
            eprintln!("instructions are not counted: valgrind cannot be run ({error})");
            return;
        }
    }
    let counts = counts(folder.path());
    let kept_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let kept: BTreeMap<String, f64> = std::fs::read_to_string(&kept_in)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| {
            let (count, name) = line.trim().split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect();
    let mut written = String::new();
    for (name, count) in &counts {
        let change = kept.get(name).map(|kept| count / kept - 1.0);
        let told = match change {
            None => "not kept yet".to_owned(),
            Some(change) if change.abs() > NOTABLE => format!("{:+.1} %: say why in the commit", change * 100.0),
            Some(change) => format!("{:+.1} %", change * 100.0),
        };
        println!("{count:>10.0}  {name:<28}{told}");
        written.push_str(&format!("{count:>10.0} {name}\n"));
    }
    if std::env::args().any(|argument| argument == "--write") {
        std::fs::write(kept_in, written).unwrap();
    }
}

/// Instructions a call, by verb, in the order they were counted.
fn counts(folder: &Path) -> Vec<(String, f64)> {
    let mut files: Vec<(u32, PathBuf)> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            Some((path.extension()?.to_str()?.parse().ok()?, path))
        })
        .collect();
    files.sort();
    files
        .iter()
        .filter_map(|(_, path)| {
            let text = std::fs::read_to_string(path).unwrap();
            let value =
                |of: &str| text.lines().find_map(|line| line.strip_prefix(of)).map(str::trim).map(str::to_owned);
            let trigger = value("desc: Trigger:")?;
            let name = trigger.strip_prefix("dump ").unwrap_or(&trigger).to_owned();
            let count: f64 = value("summary:").or_else(|| value("totals:"))?.split(' ').next()?.parse().ok()?;
            (name != "before" && !name.contains("Program termination"))
                .then(|| (name, count / (AT_ONCE * TIMES) as f64))
        })
        .collect()
}
