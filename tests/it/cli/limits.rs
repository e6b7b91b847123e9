//! Rate limits by the command line, on a gateway that is being served.

use std::process::Command;
use std::time::UNIX_EPOCH;

use rowgate::limit::resolve::function_key;
use rowgate::limit::traffic::{Asker, Traffic};
use rowgate::limit::{CallerKind, Class};
use rowgate::record;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::process::{Operated, folder, rowgate, run};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_tried_by_commands_before_it_is_set() {
    let database = TestDatabase::new().await;
    let operated = Operated::new(&database);
    let with_admin = |command: Command| operated.with_admin(command);
    let account = Uuid::now_v7().to_string();
    let install: Uuid = run(&mut with_admin(rowgate(["installs", "add", LIVE_POLL, "--account", &account])))
        .ok()
        .trim()
        .parse()
        .unwrap();
    let began = UNIX_EPOCH.elapsed().unwrap().as_secs() / 60 * 60 - 600;
    let traffic = Traffic::new(10);
    for (caller, seconds) in [(1, 60), (2, 5)] {
        let (kind, class, function) = (CallerKind::Token, Class::QueryRows, function_key("allRules"));
        let asker = Asker { install_id: install, caller, kind, class, function };
        (0..seconds).for_each(|second| traffic.count(asker, began + second, false));
    }
    let body = traffic.take().to_bytes(began);
    record::traffic::keep(&database.client().await, began, Uuid::now_v7(), &body).await.unwrap();

    let folder = folder();
    let policy = |text: &str| {
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let simulate = |words: &[&str]| run(with_admin(rowgate(["limits", "simulate"])).args(words));
    // In 59 seconds ten calls are granted at once, and nine come back.
    let stricter = policy("[limits.caller]\nquery_rows = 10\n");
    let told = simulate(&["--policy", &stricter, "--since", "2h"]).ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "65 calls of 2 callers: 41 would have been refused, of 1 callers; 0 were");
    assert!(lines[1].starts_with(&format!("install {install}\ttoken ")), "{told}");
    assert!(lines[1].contains("\tquery_rows\t41 of 60 calls refused (caller 41)\t"), "{told}");
    assert_eq!(lines.len(), 2, "{told}");
    let told = simulate(&["--policy", &stricter, "--json"]).ok();
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["report"]["refused"], &told["report"]["calls"]), (&json!(41), &json!(65)), "{told}");

    let told = simulate(&["--fit", "p100"]).ok();
    assert!(told.contains("# p100: 65 calls of 2 callers: 0 would have been refused"), "{told}");
    assert!(told.contains("[limits.caller]\nquery_rows = 60\n[limits.install]\nquery_rows = "), "{told}");
    let narrow = policy(
        "[[overrides]]\nlayer = \"function\"\nextension_id = \"6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10\"\nfunction = \"allRules\"\nper_minute = 0\n",
    );
    let told = simulate(&["--policy", &narrow]).ok();
    assert!(told.starts_with("65 calls of 2 callers: 65 would have been refused, of 2 callers"), "{told}");
    let told = simulate(&["--policy", &narrow, "--since", "1s"]).ok();
    assert!(told.starts_with("0 calls of 0 callers"), "{told}");

    for (text, code, said) in [
        ("[limits\n", 1, "policy.toml"),
        ("[limitts]\n", 2, "the policy has `limitts`"),
        ("[limits.caller]\nquery_rowz = 1\n", 1, "query_rowz"),
        ("[[overrides]]\nlayer = \"caller\"\n", 1, "expected `per_minute`, `mode` or both"),
    ] {
        let done = simulate(&["--policy", &policy(text)]);
        assert!(done.code == Some(code) && done.stderr.contains(said), "{text}: {done:?}");
        assert_eq!(done.stdout, "");
    }
    let gone = simulate(&["--policy", "/nowhere/policy.toml"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("/nowhere/policy.toml"), "{gone:?}");
    for words in [["--since", "soon"], ["--fit", "p101"]] {
        assert_eq!(simulate(&words).code, Some(2), "{words:?}");
    }
    assert!(run(&mut with_admin(rowgate(["limits", "list"]))).ok().is_empty(), "trying sets nothing");
    assert!(operated.serving.terminate().success());
}
