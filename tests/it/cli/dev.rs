//! `rowgate dev`: ready, called, edited, killed, and started twice.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::cli::is_private;
use crate::cli::process::{DEADLINE, Dev, Running, bundle, call, dev, example, folder, run};
use crate::support::TestDatabase;

const SCHEMA: &str = r#"return defineSchema({
  notes = defineTable({ text = v.string():max(100) }),
})"#;
const SCHEMA_WITH_TAGS: &str = r#"return defineSchema({
  notes = defineTable({ text = v.string():max(100), stars = v.integer():default(3) }):index("by_stars", { "stars" }),
  tags = defineTable({ name = v.string():unique() }),
})"#;
const FUNCTIONS: &str = r#"return {
  add = insertRow("notes", { text = arg("text") }),
  list = queryRows("notes", { limit = 100 }),
}"#;

#[tokio::test]
async fn the_live_poll_is_served() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let dev = Dev::start(&example("live-poll"), &folder.path().join("data"), Some(&database));

    let rule = dev.call("editor", "addRule", json!({ "text": "be kind", "kind": "fun", "tags": ["a"] })).await.ok();
    assert_eq!(rule.get("author"), None, "{rule}");
    assert_eq!(dev.call("anonymous", "getRules", json!({})).await.ok(), json!([]));
    dev.call("editor", "reveal", json!({ "id": rule["id"] })).await.ok();
    let upvoted = dev.call("viewer", "upvote", json!({ "id": rule["id"] })).await.ok();
    assert_eq!((&upvoted["score"], &upvoted["version"]), (&json!(1), &json!(3)));
    let seen = dev.call("anonymous", "getRules", json!({ "min": 1 })).await.ok();
    assert_eq!(seen, json!([upvoted]));

    let vote = dev.call("viewer", "vote", json!({ "rule": rule["id"] })).await.ok();
    assert_eq!(dev.call("viewer", "vote", json!({ "rule": rule["id"] })).await.ok(), vote);
    let twice = dev.call("editor", "addRule", json!({ "text": "be kind" })).await;
    assert_eq!(twice.problem(), (409, "unique_conflict".to_owned()));
    assert_eq!(dev.call("anonymous", "countVotes", json!({ "rule": rule["id"] })).await.ok(), json!(1));
    let denied = dev.call("viewer", "addRule", json!({ "text": "no" })).await;
    assert_eq!(denied.problem(), (403, "access_denied".to_owned()));
    dev.call("editor", "removeRule", json!({ "id": rule["id"] })).await.ok();
    assert_eq!(dev.call("anonymous", "countVotes", json!({ "rule": rule["id"] })).await.ok(), json!(0));
}

#[tokio::test]
async fn every_type_is_served() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let dev = Dev::start(&example("every-type"), &folder.path().join("data"), Some(&database));

    let shelf = dev.call("editor", "addShelf", json!({ "label": "top" })).await.ok();
    let given = json!({
        "title": "A kettle", "quantity": 3, "weight": 1.25, "fragile": true, "price": "19.90",
        "packed_at": "2026-01-31T12:00:00.000000Z", "best_before": "2027-02-28",
        "serial": "0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c", "thumbnail": "aGVsbG8=", "state": "used",
        "shelf": shelf["id"], "tags": ["hot"], "readings": [1.5, 2.0],
        "size": { "width": 10.0, "height": 20.5, "unit": "cm" }, "notes": { "any": ["json", null] },
    });
    let thing = dev.call("editor", "addThing", given.clone()).await.ok();
    for (name, value) in given.as_object().unwrap() {
        match value.as_f64() {
            Some(number) => assert_eq!(thing[name].as_f64(), Some(number), "{name}"),
            None => assert_eq!(without_fractions(&thing[name]), without_fractions(value), "{name}"),
        }
    }
    assert_eq!(thing.get("owner_code"), None);
    assert_eq!(dev.call("viewer", "getThing", json!({ "id": thing["id"] })).await.ok(), thing);
    let found = json!({ "states": ["used"], "at_least": 3, "cheaper_than": "20", "fresh_on": "2026-12-31" });
    assert_eq!(dev.call("viewer", "findThings", found).await.ok(), json!([thing]));
    assert_eq!(dev.call("viewer", "findThings", json!({ "not_fragile": true })).await.ok(), json!([]));
}

/// PostgreSQL's `jsonb` and the gateway write 2.0 as they like.
fn without_fractions(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(elements) => elements.iter().map(without_fractions).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), without_fractions(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

#[tokio::test]
async fn ready_is_one_object_and_its_secrets_are_private() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let data_dir = folder.path().join("data");
    let mut dev = Dev::start(&example("live-poll"), &data_dir, Some(&database));

    let members: Vec<&str> = dev.ready.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["url", "admin_url", "install_id", "extension_id", "database_url", "admin_key", "tokens"]);
    for file in ["dev.json", "running.json"] {
        assert!(is_private(&data_dir.join(file)), "{file}");
    }
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let admin_url = dev.ready["admin_url"].as_str().unwrap();
    assert!(http.get(format!("{admin_url}/readyz")).send().await.unwrap().status().is_success());
    let listed = http.get(format!("{admin_url}/admin/v1/installs"));
    let listed: Value =
        listed.bearer_auth(dev.ready["admin_key"].as_str().unwrap()).send().await.unwrap().json().await.unwrap();
    assert_eq!(listed[0]["id"], dev.ready["install_id"]);

    let pid = rustix::process::Pid::from_raw(dev.process.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(dev.process.wait().success());
    let printed: Vec<Value> = [dev.process.stdout.rest()].map(|all| serde_json::from_str(all).unwrap()).into();
    assert_eq!(printed, [dev.ready], "standard output is the object alone");
    assert!(!data_dir.join("running.json").exists());
}

#[tokio::test]
async fn edits_are_served_and_broken_ones_are_not() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let mut dev = Dev::start(&bundle, &folder.path().join("data"), Some(&database));
    dev.call("editor", "add", json!({ "text": "kept" })).await.ok();

    // Broken: everything that is wrong is said, and what was served is served on.
    write(&bundle.join("server/functions.luau"), &FUNCTIONS.replace("\"notes\"", "\"note\""));
    dev.process.stderr.until("server/functions.luau:2: error[unknown_table]");
    dev.process.stderr.until("server/functions.luau:3: error[unknown_table]");
    dev.process.stderr.until("2 complaints; revision 1 serves on");
    assert_eq!(dev.call("viewer", "list", json!({})).await.ok()[0]["text"], "kept");

    // Additive: a function, a column of an existing table, another table; in new files that take
    // the old ones' names, as editors do it.
    replace(&bundle.join("server/schema.luau"), SCHEMA_WITH_TAGS);
    dev.process.stderr.until("revision 1 serves on");
    let functions = FUNCTIONS.replace("return {", "return {\n  tag = insertRow(\"tags\", { name = arg(\"name\") }),");
    replace(&bundle.join("server/functions.luau"), &functions);
    let said = dev.process.stderr.until("revision 2 is served");
    assert!(said.contains("table `tags` added, table `notes` changed, function `tag` added"), "{said}");
    assert_eq!(dev.call("editor", "tag", json!({ "name": "red" })).await.ok()["name"], "red");
    let kept = dev.call("viewer", "list", json!({})).await.ok();
    assert_eq!((&kept[0]["text"], &kept[0]["stars"]), (&json!("kept"), &json!(3)));

    // What would lose values is refused, with the command that allows it, and what was served is served on.
    let without = SCHEMA_WITH_TAGS.replace("stars = ", "points = ").replace("{ \"stars\" }", "{ \"points\" }");
    write(&bundle.join("server/schema.luau"), &without);
    dev.process.stderr.until("error[deletes_data]");
    dev.process.stderr.until("say `:renamedFrom(\"stars\")`");
    dev.process.stderr.until("revision 2 serves on");
    let said = dev.process.stderr.until("to have it all the same: ");
    assert!(said.trim_end().ends_with("--allow deletes-data:notes.stars"), "{said}");
    assert_eq!(dev.call("viewer", "list", json!({})).await.ok(), kept);
    // A name keeps them.
    write(&bundle.join("server/schema.luau"), &without.replace("default(3)", "default(3):renamedFrom(\"stars\")"));
    dev.process.stderr.until("revision 3 is served");
    assert_eq!(dev.call("viewer", "list", json!({})).await.ok()[0]["points"], json!(3));
    write(&bundle.join("server/schema.luau"), SCHEMA_WITH_TAGS);
    dev.process.stderr.until("revision 4 is served");
    assert_eq!(dev.call("viewer", "list", json!({})).await.ok(), kept);

    // A folder that is replaced is watched on.
    std::fs::rename(bundle.join("server"), bundle.join("old")).unwrap();
    dev.process.stderr.until("revision 4 serves on");
    std::fs::create_dir(bundle.join("server")).unwrap();
    std::fs::write(bundle.join("server/schema.luau"), SCHEMA_WITH_TAGS).unwrap();
    std::fs::write(bundle.join("server/functions.luau"), functions.replace("tag =", "label =")).unwrap();
    let said = dev.process.stderr.until("revision 5 is served");
    assert!(said.contains("function `label` added, function `tag` removed"), "{said}");
    dev.call("editor", "label", json!({ "name": "blue" })).await.ok();
}

#[tokio::test]
async fn a_bundle_that_is_broken_from_the_start_is_served_once_it_is_not() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let bundle = bundle(folder.path(), "return defineSchema({", FUNCTIONS);
    let data_dir = folder.path().join("data");

    let done = run(&mut dev(&bundle, &data_dir, Some(&database), ["--json"]));
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert!(done.stderr.contains("server/schema.luau:1"), "{done:?}");

    let mut process = Running::start(&mut dev(&bundle, &data_dir, Some(&database), []));
    process.stderr.until("nothing is served yet; waiting for an edit");
    write(&bundle.join("server/schema.luau"), SCHEMA);
    process.stdout.until("serving test 1.0.0");
    process.stdout.until("ctrl-c stops");
    assert!(process.terminate().success());
}

#[tokio::test]
async fn the_lines_to_paste_work() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    for name in ["live-poll", "every-type"] {
        let data_dir = folder.path().join(name);
        let mut process = Running::start(&mut dev(&example(name), &data_dir, Some(&database), []));
        let lines = [process.stdout.until("curl "), process.stdout.until(" call "), process.stdout.until("curl ")];
        process.stdout.until("ctrl-c stops");
        for line in lines {
            let done = run(Command::new("sh").args(["-c", &line]).env("NO_PROXY", "127.0.0.1"));
            let answer: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{line}: {done:?}"));
            assert!(answer.is_array() || answer["id"].is_string(), "{line}: {answer}");
        }
        assert!(process.terminate().success());
    }
}

#[tokio::test]
async fn killed_and_started_again_it_has_its_rows_and_takes_no_second() {
    let folder = folder();
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let data_dir = folder.path().join("data");
    let first = Dev::start(&bundle, &data_dir, None);
    first.call("editor", "add", json!({ "text": "kept" })).await.ok();

    let second = run(&mut dev(&bundle, &data_dir, None, ["--json"]));
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    let process = format!("another `rowgate dev` (process {})", first.process.id());
    assert!(second.stderr.contains(&process) && second.stderr.contains("--data-dir"), "{second:?}");
    let port = first.ready["url"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let second = run(&mut dev(&bundle, &folder.path().join("other"), None, ["--json", "--port", &port]));
    assert_eq!((second.code, second.stdout.as_str()), (Some(1), ""));
    assert!(second.stderr.contains(&format!("port {port} is in use")) && second.stderr.contains("--port 0"));

    let ready = first.ready.clone();
    first.process.kill();
    let again = Dev::start(&bundle, &data_dir, None);
    for member in ["install_id", "extension_id", "admin_key"] {
        assert_eq!(again.ready[member], ready[member]);
    }
    // A token of the time before is good as well.
    let mut with_old_token = again.ready.clone();
    with_old_token["tokens"] = ready["tokens"].clone();
    assert_eq!(call(&with_old_token, "viewer", "list", json!({})).await.ok()[0]["text"], "kept");
    assert!(again.process.terminate().success());
}

#[tokio::test]
async fn it_serves_on_when_nobody_reads_its_output() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let mut command = dev(&bundle, &folder.path().join("data"), Some(&database), ["--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    drop(child.stderr.take());
    let ready: Value = serde_json::from_str(&ready).unwrap();
    call(&ready, "editor", "add", json!({ "text": "heard by nobody" })).await.ok();

    // An edit whose outcome nobody reads either, a broken one first.
    write(&bundle.join("server/functions.luau"), "return {");
    write(&bundle.join("server/functions.luau"), &FUNCTIONS.replace("list =", "all ="));
    let served = async {
        loop {
            let answer = call(&ready, "viewer", "all", json!({})).await;
            if answer.status == 200 {
                return answer.ok();
            }
        }
    };
    let served = tokio::time::timeout(DEADLINE, served).await.unwrap();
    assert_eq!(served[0]["text"], "heard by nobody");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// Puts a new file in the place of the old one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("luau~");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}
