//! The commands as people type them: the real binary, its lines and exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod certificate;
mod deploys;
mod dev;
mod doctor;
mod durable;
mod handlers;
mod installs;
mod limits;
mod planted;
mod process;
mod secrets;

use std::path::Path;
use std::process::Stdio;

use rowgate::deploy::bundle::read_bundle;
use serde_json::{Value, json};

use crate::cli::process::{Dev, Running, bundle, call, example, folder, rowgate, run};
use crate::support::TestDatabase;

const SECRET: &str = "a secret of the tests, long enough for HS256";

#[test]
fn check_prints_every_complaint_at_once() {
    let folder = folder();
    let broken = bundle(
        folder.path(),
        r#"return defineSchema({
  tasks = defineTable({
    title = v.string():max(80),
    due_at = v.timestamp():optional(),
    id = v.string(),
  }):index("by_due", { "due" }),
})"#,
        r#"return {
  list = queryRows("tasks", { orderBy = "dueAt", limitt = 10 }),
  add = insertRow("task", { title = arg("title") }),
}"#,
    );
    let done = run(rowgate(["check"]).arg(&broken));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert_eq!(done.stderr, "");
    insta::assert_snapshot!(done.stdout, @r"
    server/functions.luau:2: error[unknown_option]: `limitt` is not an option of `queryRows`
      hint: did you mean `limit`?
    server/functions.luau:2: error[unknown_column]: column `dueAt` does not exist in table `tasks`
      hint: did you mean `due_at`?
    server/functions.luau:3: error[unknown_table]: table `task` does not exist
      hint: did you mean `tasks`?
    server/schema.luau:5: error[reserved_name]: column `id` has a name that every table's own columns keep
      hint: choose another name
    server/schema.luau:6: error[unknown_column]: column `due` does not exist in table `tasks`
      hint: did you mean `due_at`?
    5 complaints
    ");

    let done = run(rowgate(["check", "--json"]).arg(&broken));
    assert_eq!(done.code, Some(1), "{done:?}");
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    let first = &printed["diagnostics"][0];
    assert_eq!(first["place"]["file"], "server/functions.luau", "{first}");
    assert!(first["message"].is_string() && first["code"].is_string(), "{first}");
}

#[test]
fn check_prints_the_definition_that_is_read_again() {
    for name in ["live-poll", "every-type"] {
        let text = run(rowgate(["check", "--json"]).arg(example(name))).ok();
        let folder = folder();
        std::fs::write(folder.path().join("definition.json"), &text).unwrap();
        let again = run(rowgate(["check", "--json"]).arg(folder.path())).ok();
        assert_eq!(text, again);
        let read = read_bundle(folder.path()).unwrap();
        assert_eq!(serde_json::to_value(&read.definition).unwrap(), serde_json::from_str::<Value>(&text).unwrap());
    }
    insta::assert_snapshot!(run(rowgate(["check"]).arg(example("live-poll"))).ok(), @"
    no complaints: live-poll 1.0.0 has 2 tables and 12 functions
      table rules: 6 columns per instance
      table votes: 2 columns per instance
      addRule     insertRow      rules  editor
      allRules    queryRows      rules  editor
      countVotes  countRows      votes  anonymous
      editRule    patchRow       rules  editor
      getRule     getRow         rules  viewer
      getRules    queryRows      rules  anonymous
      launch      transaction    rules  editor
      removeRule  deleteRow      rules  editor
      reveal      patchRow       rules  editor
      tally       aggregateRows  votes  anonymous
      upvote      patchRow       rules  viewer
      vote        insertRow      votes  viewer
    what the functions cost was not judged: give a Postgres by `--database-url postgres://…`
    ");
}

#[test]
fn what_is_no_bundle_is_told_with_what_to_do() {
    let folder = folder();
    let done = run(rowgate(["check", "nowhere"]).current_dir(folder.path()));
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), ""));
    assert!(done.stderr.contains("there is no folder `nowhere`") && done.stderr.contains("init nowhere"), "{done:?}");

    let done = run(rowgate(["check"]).arg(folder.path()));
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("extension.json") && done.stdout.contains("rowgate init"), "{done:?}");

    assert_eq!(run(&mut rowgate(["chek"])).code, Some(2));
}

#[test]
fn schema_prints_a_json_schema() {
    let schema: Value = serde_json::from_str(&run(&mut rowgate(["schema"])).ok()).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for member in ["rowgate", "extension", "tables", "functions"] {
        assert!(schema["properties"][member].is_object(), "{member}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = rowgate(["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
}

#[tokio::test]
async fn init_writes_a_bundle_that_is_served_and_called() {
    let folder = folder();
    let database = TestDatabase::new().await;
    let in_folder = |mut command: std::process::Command| {
        command.current_dir(folder.path());
        run(&mut command)
    };
    let said = in_folder(rowgate(["init", "shop list"])).ok();
    assert!(said.contains("dev 'shop list'"), "{said}");
    let refused = in_folder(rowgate(["init", "shop list"]));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("`shop list` is not empty"), "{refused:?}");
    in_folder(rowgate(["check", "shop list"])).ok();

    let nothing = in_folder(rowgate(["call", "listNotes"]));
    assert_eq!(nothing.code, Some(1));
    assert!(nothing.stderr.contains("no gateway runs on the data directory .rowgate"), "{nothing:?}");

    let dev = Dev::start(&folder.path().join("shop list"), &folder.path().join(".rowgate"), Some(&database));
    let note: Value =
        serde_json::from_str(&in_folder(rowgate(["call", "addNote", r#"{"title":"milk"}"#])).ok()).unwrap();
    assert_eq!((&note["title"], &note["priority"], note.get("author")), (&json!("milk"), &json!(0), None));
    let by_id = json!({ "id": note["id"] }).to_string();
    in_folder(rowgate(["call", "raise", &by_id, "--as", "editor"])).ok();
    in_folder(rowgate(["call", "addNotebook", r#"{"name":"home"}"#])).ok();
    let listed = in_folder(rowgate(["call", "listNotes", "--as", "anonymous"])).ok();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["priority"], listed.as_array().unwrap().len()), (&json!(1), 1));
    in_folder(rowgate(["call", "finish", &by_id, "--as", "viewer"])).ok();
    assert_eq!(in_folder(rowgate(["call", "countNotes", r#"{"state":"done"}"#])).ok(), "1\n");

    // A failed call: its problem on standard error, nothing on standard output.
    let failed = in_folder(rowgate(["call", "addNote", r#"{"titel":"x","priority":10}"#]));
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""));
    insta::assert_snapshot!(failed.stderr, @r"
    error[arguments_invalid]: 3 of the arguments cannot be used; `errors` names each
      /titel: `titel` is not an argument; did you mean `title`?
      /priority: expected at most 9
      /title: `title` is missing; expected a string
    ");
    let denied = in_folder(rowgate(["call", "removeNote", &by_id]));
    assert!(denied.code == Some(1) && denied.stderr.contains("access_denied"), "{denied:?}");
    in_folder(rowgate(["call", "removeNote", &by_id, "--as", "owner"])).ok();
    let quoted = in_folder(rowgate(["call", "addNote", "{title: milk}"]));
    assert!(quoted.code == Some(1) && quoted.stderr.contains("are not JSON"), "{quoted:?}");

    // A token of one's own, and a call with it to an address of one's own.
    let token = in_folder(rowgate(["token", "--as", "viewer", "--user", "ann", "--lifetime", "5m"])).ok();
    let mut command = rowgate(["call", "listNotes"]);
    command.env("ROWGATE_URL", dev.ready["url"].as_str().unwrap()).env("ROWGATE_TOKEN", token.trim());
    assert_eq!(run(command.current_dir("/")).ok(), "[]\n");

    assert!(dev.process.terminate().success());
    let gone = in_folder(rowgate(["call", "listNotes"]));
    assert!(gone.code == Some(1) && gone.stderr.contains("no gateway runs"), "{gone:?}");
}

#[tokio::test]
async fn apply_and_serve_on_a_given_database() {
    let database = TestDatabase::new().await;
    let with_database = |mut command: std::process::Command| {
        command.env("DATABASE_URL", database.url());
        command
    };
    let without = run(rowgate(["apply"]).arg(example("live-poll")));
    assert!(without.code == Some(2) && without.stderr.contains("set DATABASE_URL"), "{without:?}");
    let unsigned = run(&mut with_database(rowgate(["serve", "--port", "0", "--admin-port", "0"])));
    assert!(unsigned.code == Some(2) && unsigned.stderr.contains("ROWGATE_AUTH__HS256_SECRET"), "{unsigned:?}");

    let applied = run(with_database(rowgate(["apply", "--verbose"])).arg(example("live-poll"))).ok();
    assert!(applied.starts_with("revision 1 of live-poll is deployed"), "{applied}");
    assert!(applied.contains("CREATE TABLE"), "{applied}");
    let again = run(with_database(rowgate(["apply"])).arg(example("live-poll"))).ok();
    assert!(again.starts_with("nothing to do"), "{again}");
    let folder = folder();
    let smaller =
        bundle(folder.path(), "return defineSchema({ other = defineTable({ a = v.string() }) })", "return {}");
    std::fs::copy(example("live-poll").join("extension.json"), smaller.join("extension.json")).unwrap();
    let insert = "INSERT INTO ext_6f1c2a54_3c2f_4d7e_9a0b_5b1d7c3e8f10.rules (scope_key, id, text, author)
                  VALUES (gen_random_uuid(), gen_random_uuid(), 'kept', 'me')";
    let superuser = database.superuser().await;
    superuser.execute(insert, &[]).await.unwrap();
    let planned = run(with_database(rowgate(["plan"])).arg(&smaller));
    assert!(planned.code == Some(1) && planned.stderr.contains("--allow deletes-data:rules"), "{planned:?}");
    let refused = run(with_database(rowgate(["apply"])).arg(&smaller));
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was changed"), "{refused:?}");
    let allow = ["--allow", "deletes-data:rules"];
    let planned = run(with_database(rowgate(["plan"])).args(allow).arg(&smaller));
    assert!(planned.code == Some(2) && planned.stdout.contains("DROP TABLE"), "{planned:?}");
    assert!(planned.stdout.contains("deletes-data") && planned.stdout.contains("1 row"), "{planned:?}");
    let document = run(with_database(rowgate(["plan", "--json"])).args(allow).arg(&smaller));
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!((&document["revision"], &document["is_pending"]), (&json!(1), &json!(true)));
    assert!(document["steps"].as_array().unwrap().iter().any(|step| step["hazards"] == json!(["deletes-data"])));
    run(with_database(rowgate(["apply"])).args(allow).arg(&smaller)).ok();
    assert_eq!(run(with_database(rowgate(["plan"])).arg(&smaller)).code, Some(0));
    let misspelt = run(with_database(rowgate(["apply", "--allow", "deletes:rules"])).arg(&smaller));
    assert!(misspelt.code == Some(2) && misspelt.stderr.contains("deletes-data:TABLE"), "{misspelt:?}");

    // Back to the first revision, which loses nothing, and again what is deployed.
    let back = run(with_database(rowgate(["rollback"])).arg(&smaller)).ok();
    assert!(back.starts_with("revision 3 of live-poll is deployed: the definition of revision 1"), "{back}");
    let revisions = run(with_database(rowgate(["revisions"])).arg(&smaller)).ok();
    let first: Vec<&str> = revisions.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(first, ["3", "2", "1"], "{revisions}");
    let again = run(with_database(rowgate(["apply"])).arg(example("live-poll"))).ok();
    assert!(again.starts_with("nothing to do"), "{again}");

    let key = run(&mut with_database(rowgate(["admin-key", "tests"])));
    let key = key.ok();
    assert!(key.starts_with("rga_"), "{key}");
    let mut serve = with_database(rowgate(["serve", "--port", "0", "--admin-port", "0"]));
    let mut serving = Running::start(serve.env("ROWGATE_AUTH__HS256_SECRET", SECRET));
    let url = address(&serving.stderr.until("serving functions at"));
    let admin_url = address(&serving.stderr.until("admin listener at"));
    let mut remote = rowgate(["plan"]);
    remote.env("ROWGATE_ADMIN_URL", &admin_url).env("ROWGATE_ADMIN_KEY", key.trim());
    assert_eq!(run(remote.arg(example("live-poll"))).code, Some(0));
    let mut remote = rowgate(["plan"]);
    remote.env("ROWGATE_ADMIN_URL", &admin_url).env("ROWGATE_ADMIN_KEY", key.trim());
    let remote = run(remote.args(allow).arg(&smaller));
    assert!(remote.code == Some(2) && remote.stdout.contains("DROP TABLE"), "{remote:?}");
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let install: Value = http
        .post(format!("{admin_url}/admin/v1/installs"))
        .bearer_auth(key.trim())
        .json(&json!({ "extension_id": "6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10", "account_id": uuid::Uuid::now_v7() }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let install = install["id"].as_str().unwrap();
    let mut token = rowgate(["token", "--as", "editor", "--install", install]);
    let token = run(token.env("ROWGATE_AUTH__HS256_SECRET", SECRET).current_dir(folder.path())).ok();
    let ready = json!({ "url": url, "install_id": install, "tokens": { "editor": token.trim() } });
    let rule = call(&ready, "editor", "addRule", json!({ "text": "served" })).await.ok();
    assert_eq!(rule["text"], "served");
    let mut again = rowgate(["call", "addRule", r#"{"text":"served"}"#, "--url", &url, "--token", token.trim()]);
    let conflict = run(&mut again);
    assert!(conflict.code == Some(1) && conflict.stderr.contains("unique_conflict"), "{conflict:?}");
    assert!(serving.terminate().success());
}

/// `http://127.0.0.1:1234` of a line that ends with a URL.
fn address(line: &str) -> String {
    let url = line.split("http://").nth(1).unwrap();
    format!("http://{}", url.split('/').next().unwrap())
}

/// Whether only its owner may read a file.
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0
}
