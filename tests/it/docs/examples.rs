//! The examples: each bundle is sound and can be deployed, and every line for the shell in its
//! README works when it is pasted, and is answered as shown.

use std::path::PathBuf;
use std::process::Stdio;

use rowgate::deploy::bundle::read_bundle;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Role;
use serde_json::Value;
use uuid::Uuid;

use crate::docs::markdown::{Block, Document};
use crate::docs::root;
use crate::support::gateway::TestGateway;

/// The folders of examples/ that hold a bundle.
fn bundles() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples")).unwrap();
    let folders: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert!(folders.len() >= 2);
    folders
}

/// The definition document of a bundle that nobody complains about.
fn document_of(folder: &std::path::Path) -> Value {
    let bundle = read_bundle(folder).unwrap_or_else(|complaints| panic!("{}: {complaints:#?}", folder.display()));
    assert_eq!(bundle.diagnostics, [], "{}", folder.display());
    check(&bundle.definition).unwrap_or_else(|complaints| panic!("{}: {complaints:#?}", folder.display()));
    serde_json::to_value(&bundle.definition).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_is_served_and_answers_as_its_readme_shows() {
    for folder in bundles() {
        let definition = document_of(&folder);
        let gateway = TestGateway::new(&definition).await;
        let readme = Document::read(&folder.join("README.md"));
        let calls = calls(&readme);
        let named = |member: &str| definition[member].as_object().into_iter().flat_map(serde_json::Map::keys).cloned();
        // An action may need what is outside.
        let handlers = named("handlers").filter(|name| definition["handlers"][name.as_str()]["kind"] != "action");
        for function in named("functions").chain(handlers) {
            let called = calls.iter().any(|(block, _)| block.text.contains(&format!("/{function}\"")));
            assert!(called, "{} does not call `{function}`", readme.path.display());
        }
        let answers = run(&gateway, &calls).await;
        for ((block, expected), answer) in calls.iter().zip(answers) {
            let place = format!("{}, line {}", readme.path.display(), block.line);
            let answer = comparable(&answer).unwrap_or_else(|error| panic!("{place}: {error}: {answer}"));
            let expected =
                comparable(&expected.text).unwrap_or_else(|error| panic!("{place}: {error}: {}", expected.text));
            assert_eq!(answer, expected, "{place}");
        }
        gateway.server.stop().await;
    }
}

/// Each block that calls, with the block after it that shows the answer.
fn calls(readme: &Document) -> Vec<(Block, Block)> {
    let blocks = readme.all_blocks();
    let pairs = blocks.iter().zip(blocks.iter().skip(1));
    let calls = pairs.filter(|(block, _)| block.language == "sh" && block.text.contains("curl "));
    calls
        .map(|(block, answer)| {
            assert_eq!(answer.language, "json", "{}, line {}", readme.path.display(), answer.line);
            (block.clone(), answer.clone())
        })
        .collect()
}

/// Runs all blocks in one shell, as a reader would, and gives back what each of them printed.
async fn run(gateway: &TestGateway, calls: &[(Block, Block)]) -> Vec<String> {
    const END: &str = "=== end of a block ===";
    let script: String = calls.iter().map(|(block, _)| format!("{}\nprintf '\\n{END}'\n", block.text)).collect();
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-euc").arg(script).stdin(Stdio::null()).env("URL", gateway.url("").trim_end_matches('/'));
    shell.env("JSON", "Content-Type: application/json");
    for (name, role) in
        [("ANYBODY", Role::Anonymous), ("VIEWER", Role::Viewer), ("EDITOR", Role::Editor), ("OWNER", Role::Owner)]
    {
        shell.env(format!("AS_{name}"), format!("Authorization: Bearer {}", gateway.token(role)));
    }
    let output = shell.output().await.expect("there is a shell");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}\n{}", String::from_utf8_lossy(&output.stdout));
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut answers: Vec<String> = printed.split(END).map(|answer| answer.trim().to_owned()).collect();
    assert_eq!(answers.pop().as_deref(), Some(""), "{printed}");
    assert_eq!(answers.len(), calls.len(), "{complaint}");
    answers
}

/// The values printed, with what is another at each run (ids, times) made equal. A block that calls
/// several times shows one answer after the other.
fn comparable(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter::<Value>().collect();
    Ok(values?.into_iter().map(settled).collect())
}

fn settled(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let text = text.replacen("dev-", "user-", 1);
            let parts: Vec<&str> =
                text.split('/').map(|part| if is_new_each_time(part) { "…" } else { part }).collect();
            Value::String(parts.join("/"))
        }
        Value::Array(values) => values.into_iter().map(settled).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, settled(value))).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// Ids that the gateway makes (UUIDs of version 7), ids of requests, times to the microsecond.
fn is_new_each_time(text: &str) -> bool {
    let is_time = text.len() == 27 && text.contains('.') && text.parse::<jiff::Timestamp>().is_ok();
    is_time || Uuid::try_parse(text).is_ok_and(|id| text.len() == 32 || id.get_version_num() == 7)
}
