//! Handlers in the commands: served by `dev`, edited, pasted from its banner, and their lines printed.

use std::process::Command;

use serde_json::{Value, json};

use crate::cli::process::{Dev, Running, bundle, dev, folder, rowgate, run};
use crate::support::TestDatabase;

const SCHEMA: &str = r#"return defineSchema({ notes = defineTable({ text = v.string() }) })"#;
const FUNCTIONS: &str = r#"local functions = {}
functions.shout = query({
  args = { text = v.string() },
  handler = function(ctx, args)
    ctx.log.warn("shouted", { length = #args.text })
    return { shouted = args.text:upper(), notes = ctx.db.count("notes") }
  end,
})
return functions"#;

#[tokio::test]
async fn an_edited_handler_is_served_and_a_broken_one_is_not() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let mut dev = Dev::start(&bundle, &folder.path().join("data"), Some(&database));
    let shouted = dev.call("viewer", "shout", json!({ "text": "abc" })).await.ok();
    assert_eq!(shouted, json!({ "shouted": "ABC", "notes": 0 }));

    let file = bundle.join("server/functions.luau");
    std::fs::write(&file, FUNCTIONS.replace("ctx.db.count", "ctx.db.cuont")).unwrap();
    dev.process
        .stderr
        .until("server/functions.luau:6: error[unknown_ctx_member]: `ctx.db.cuont` is not there in a query");
    dev.process.stderr.until("did you mean `ctx.db.count`?");
    dev.process.stderr.until("revision 1 serves on");
    assert_eq!(dev.call("viewer", "shout", json!({ "text": "abc" })).await.ok(), shouted);

    std::fs::write(&file, FUNCTIONS.replace(":upper()", ":rep(2)")).unwrap();
    let said = dev.process.stderr.until("revision 2 is served");
    assert!(said.contains("file `functions` changed"), "{said}");
    assert_eq!(dev.call("viewer", "shout", json!({ "text": "abc" })).await.ok()["shouted"], "abcabc");

    let logs = |more: &[&str]| run(rowgate(["logs"]).args(more).env("DATABASE_URL", database.url())).ok();
    // Written behind the calls.
    let printed = loop {
        let printed = logs(&["--json"]);
        if printed.lines().count() >= 3 {
            break printed;
        }
    };
    let first: Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    assert_eq!((&first["level"], &first["function"]), (&json!("warn"), &json!("shout")));
    assert_eq!((&first["file"], &first["line"]), (&json!("server/functions.luau"), &json!(5)));
    assert_eq!((&first["message"], &first["attributes"]), (&json!("shouted"), &json!("{\"length\":3}")));
    let text = logs(&["-n", "1"]);
    assert!(text.contains("warn  shout server/functions.luau:5  shouted  {\"length\":3}"), "{text}");
    assert_eq!(text.lines().count(), 1);
    assert_eq!(logs(&["--install", "0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c"]), "");
}

#[tokio::test]
async fn the_banner_of_a_bundle_of_handlers_has_lines_to_paste() {
    let (folder, database) = (folder(), TestDatabase::new().await);
    let bundle = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let mut process = Running::start(&mut dev(&bundle, &folder.path().join("data"), Some(&database), []));
    let logs = process.stdout.until("  handlers ");
    assert!(logs.contains(" logs -f --data-dir ") && logs.contains("why they fail"), "{logs}");
    process.stdout.until("  shout  query");
    let lines = [process.stdout.until("curl "), process.stdout.until(" call ")];
    for line in lines {
        let done = run(Command::new("sh").args(["-c", &line]).env("NO_PROXY", "127.0.0.1"));
        let answer: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{line}: {done:?}"));
        assert_eq!(answer["notes"], 0, "{line}");
    }
    assert!(process.terminate().success());
}
