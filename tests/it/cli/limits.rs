//! Rate limits by the command line, on a gateway that is being served.

use std::process::Command;

use uuid::Uuid;

use crate::cli::process::{Operated, rowgate, run};
use crate::support::TestDatabase;

const LIVE_POLL: &str = "6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_tuned_by_commands() {
    let database = TestDatabase::new().await;
    let operated = Operated::new(&database);
    let with_admin = |command: Command| operated.with_admin(command);
    let limits = |words: &[&str]| run(with_admin(rowgate(["limits"])).args(words));

    let account = Uuid::now_v7().to_string();
    let add = ["installs", "add", LIVE_POLL, "--account", &account, "--plan", "pro"];
    let id = run(&mut with_admin(rowgate(add))).ok();
    let id = id.trim();
    assert!(run(&mut with_admin(rowgate(["installs", "list"]))).ok().trim().ends_with("\tactive\tplan pro"));

    let done = limits(&["list"]);
    assert!(done.stdout.is_empty() && done.stderr.contains("operators have said nothing"), "{done:?}");
    let done = limits(&["set", "--layer", "install", "--plan", "pro", "--per-minute", "600", "--burst", "60"]);
    assert_eq!(done.stderr.trim(), "layer install, plan pro: 600 a minute, 60 at once");
    limits(&["set", "--layer", "extension", "--extension", LIVE_POLL, "--mode", "shadow"]).ok();
    let listed = limits(&["list"]).ok();
    assert!(listed.contains("layer install, plan pro\t600 a minute, 60 at once\tby alice at 2"), "{listed}");
    assert!(listed.contains(&format!("layer extension, extension {LIVE_POLL}\tshadow\tby alice at 2")), "{listed}");
    let shown = limits(&["list", "--install", id]).ok();
    let row = "layer install, class query_rows\t600 a minute, 60 at once, enforce\toverride for layer install, plan pro; its mode: configured\n";
    assert!(shown.contains(row), "{shown}");
    assert!(shown.contains("layer caller, class action\t10 a minute, 10 at once, enforce\tconfigured\n"), "{shown}");

    let done = limits(&["set", "--function", "nothing", "--extension", LIVE_POLL, "--per-minute", "1"]);
    assert!(done.code == Some(1) && done.stderr.contains("there is no function `nothing`"), "{done:?}");
    let done = limits(&["unset", "--layer", "install"]);
    assert!(done.code == Some(1) && done.stderr.contains("nothing is set for exactly these"), "{done:?}");
    limits(&["unset", "--layer", "install", "--plan", "pro"]).ok();
    run(&mut with_admin(rowgate(["installs", "plan", id, "--none"]))).ok();
    let trail = limits(&["history"]).ok();
    let lines: Vec<&str> = trail.lines().collect();
    assert!(lines[0].ends_with(&format!("\talice\tplan of install {id}\tpro -> none")), "{trail}");
    assert!(lines[1].ends_with("\talice\tlayer install, plan pro\t600 a minute, 60 at once -> nothing"), "{trail}");
    assert_eq!(lines.len(), 5, "{trail}");
    assert!(operated.serving.terminate().success());
}
