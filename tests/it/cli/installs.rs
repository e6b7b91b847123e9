//! Installs and extensions by the command line, on a gateway that is being served.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use uuid::Uuid;

use crate::cli::process::{Done, Operated, folder, rowgate, run};
use crate::support::TestDatabase;

const LIVE_POLL: &str = "6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10";

/// Runs a command that is given `input`.
fn run_with(command: &mut Command, input: &str) -> Done {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installs_come_and_go_by_commands() {
    let database = TestDatabase::new().await;
    let operated = Operated::new(&database);
    let with_database = |command: Command| operated.with_database(command);
    let with_admin = |command: Command| operated.with_admin(command);

    let account = Uuid::now_v7().to_string();
    let added = run(&mut with_admin(rowgate(["installs", "add", LIVE_POLL, "--account", &account]))).ok();
    let id = added.trim();
    let listed = || run(&mut with_admin(rowgate(["installs", "list"]))).ok();
    assert_eq!(listed().trim(), format!("{id}\textension {LIVE_POLL}\taccount {account}\tactive"));

    run(&mut with_admin(rowgate(["installs", "pin", id, "1"]))).ok();
    assert!(listed().trim().ends_with("\tactive\tpinned to revision 1"), "{}", listed());
    let done = run(&mut with_admin(rowgate(["installs", "pin", id, "2"])));
    assert!(done.code == Some(1) && done.stderr.contains("no revision 2; its current one is 1"), "{done:?}");
    run(&mut with_admin(rowgate(["installs", "unpin", id]))).ok();

    let done = run(&mut with_admin(rowgate(["installs", "uninstall", id])));
    assert!(done.code == Some(0) && done.stderr.contains(&format!("installs reinstall {id}")), "{done:?}");
    assert!(listed().contains("\tuninstalled, erased from 2"), "{}", listed());
    let done = run(&mut with_admin(rowgate(["installs", "uninstall", id])));
    assert!(done.code == Some(1) && done.stderr.contains("error[state_conflict]"), "{done:?}");
    run(&mut with_admin(rowgate(["installs", "reinstall", id]))).ok();
    assert!(listed().trim().ends_with("\tactive"));

    // Its rows go out and come in; a wrong file is told by its lines.
    let exported = run(&mut with_database(rowgate(["export", id]))).ok();
    assert_eq!(exported.lines().count(), 2, "{exported}");
    let folder = folder();
    let file = folder.path().join("rows.jsonl");
    std::fs::write(&file, &exported).unwrap();
    let done = run(with_database(rowgate(["import", id, "--new-ids"])).arg(&file));
    assert!(done.code == Some(0) && done.stderr.contains("0 rows of 0 tables came in"), "{done:?}");
    std::fs::write(&file, exported.replace("votes", "vote")).unwrap();
    let done = run(with_database(rowgate(["import", id])).arg(&file));
    assert_eq!(done.code, Some(1), "{done:?}");
    let expected = format!("{}:1: error: there is no table `vote`; did you mean `votes`?", file.display());
    assert!(done.stderr.contains(&expected) && done.stderr.contains("nothing was changed"), "{done:?}");
    let done = run_with(&mut with_database(rowgate(["import", id])), "");
    assert!(done.code == Some(1) && done.stderr.contains("standard input:1: error: the file is empty"), "{done:?}");

    // What cannot be undone is asked about.
    let done = run_with(&mut with_admin(rowgate(["installs", "uninstall", id, "--now"])), "yes\n");
    assert!(
        done.code == Some(2) && done.stderr.contains("type") && done.stderr.contains("nothing was done"),
        "{done:?}"
    );
    assert!(listed().trim().ends_with("\tactive"));
    let removed = run(&mut with_admin(rowgate(["extensions", "remove", LIVE_POLL, "--yes"])));
    assert!(removed.code == Some(1) && removed.stderr.contains("1 installs"), "{removed:?}");
    let done = run_with(&mut with_admin(rowgate(["installs", "uninstall", id, "--now"])), &format!("{id}\n"));
    assert!(done.code == Some(0), "{done:?}");
    assert!(done.stdout.contains(&format!("install {id} of live-poll, asked for by alice at 2")), "{done:?}");
    assert_eq!(listed(), "");
    let receipts = run(&mut with_admin(rowgate(["installs", "receipts", "--install", id]))).ok();
    assert_eq!(receipts, done.stdout);
    let receipts = run(&mut with_admin(rowgate(["installs", "receipts", "--json"]))).ok();
    let receipt: Value = serde_json::from_str(receipts.trim()).unwrap();
    assert_eq!((receipt["kind"].as_str(), receipt["asked_by"].as_str()), (Some("install"), Some("alice")));

    let extensions = || run(&mut with_admin(rowgate(["extensions", "list"]))).ok();
    assert_eq!(extensions().trim(), format!("{LIVE_POLL}\tlive-poll\trevision 1\t12 functions"));
    let done = run_with(&mut with_admin(rowgate(["extensions", "remove", LIVE_POLL])), "live-pool\n");
    assert_eq!(done.code, Some(2), "{done:?}");
    let done = run_with(&mut with_admin(rowgate(["extensions", "remove", LIVE_POLL])), "live-poll\n");
    assert!(done.code == Some(0) && done.stdout.contains("extension of live-poll"), "{done:?}");
    assert_eq!(extensions(), "");
    let gone = run(&mut with_admin(rowgate(["extensions", "remove", LIVE_POLL, "--yes"])));
    assert!(gone.code == Some(1) && gone.stderr.contains("extensions list"), "{gone:?}");
    assert!(operated.serving.terminate().success());
}
