//! Deploys by a running gateway: nothing but the admin listener is reached.

use std::process::Command;

use serde_json::{Value, json};

use crate::cli::process::{Operated, bundle, folder, rowgate, run};
use crate::support::TestDatabase;

const SCHEMA: &str = "return defineSchema({ notes = defineTable({ text = v.string() }) })";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_deploys_and_goes_back() {
    let database = TestDatabase::new().await;
    let operated = Operated::new(&database);
    let with_admin = |command: Command| operated.with_admin(command);
    let folder = folder();
    let functions = "return { list = queryRows(\"notes\", { limit = 10 }) }";
    let path = bundle(folder.path(), SCHEMA, functions);
    let here = |words: &[&str]| {
        let (command, rest) = words.split_first().unwrap();
        run(with_admin(rowgate([command])).args(rest).arg(&path))
    };

    assert_eq!(here(&["plan"]).code, Some(2), "there is something to do");
    let applied = here(&["apply", "--verbose"]).ok();
    assert!(applied.starts_with("revision 1 of test is deployed") && applied.contains("CREATE TABLE"), "{applied}");
    assert!(here(&["apply"]).ok().starts_with("nothing to do: this is revision 1 of test already"));
    assert_eq!(here(&["plan"]).code, Some(0));
    let listed = run(&mut with_admin(rowgate(["extensions", "list"]))).ok();
    assert!(listed.contains("\ttest\trevision 1\t1 function"), "the gateway serves it: {listed}");

    // What is refused is told at its place in the bundle, and nothing was changed.
    let wide = "return { list = queryRows(\"notes\", { limit = 10 }), all = queryRows(\"notes\", { orderBy = \"text\", limit = 9 }) }";
    bundle(folder.path(), SCHEMA, wide);
    let refused = here(&["apply"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("nothing was changed"), "{refused:?}");
    assert!(refused.stderr.contains("server/functions.luau:1: error["), "{refused:?}");
    let misspelt = here(&["apply", "--allow-scan", "al"]);
    assert!(misspelt.code == Some(2) && misspelt.stderr.contains("al"), "{misspelt:?}");
    assert!(here(&["apply", "--allow-scan", "all"]).ok().starts_with("revision 2 of test is deployed"));

    let other = "return defineSchema({ notes = defineTable({ text = v.string(), more = v.string():optional() }) })";
    bundle(folder.path(), other, functions);
    here(&["apply"]).ok();
    let row = "INSERT INTO ext_7c1d5a08_52b9_4c0e_a1de_6b1f4f0d9a11.notes (scope_key, id, text, more)
               VALUES (gen_random_uuid(), gen_random_uuid(), 'a', 'b')";
    database.superuser().await.execute(row, &[]).await.unwrap();
    let refused = here(&["rollback", "--to", "1"]);
    assert!(refused.code == Some(1) && refused.stderr.contains("deletes-data:notes.more"), "{refused:?}");
    let back = here(&["rollback", "--to", "1", "--allow", "deletes-data:notes.more"]).ok();
    assert!(back.starts_with("revision 4 of test is deployed: the definition of revision 1"), "{back}");
    let unknown = here(&["rollback", "--to", "9"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("the extension has no revision 9"), "{unknown:?}");

    // By hand it is found, told, and left alone.
    let by_hand = "CREATE INDEX by_hand ON ext_7c1d5a08_52b9_4c0e_a1de_6b1f4f0d9a11.notes (text)";
    database.superuser().await.execute(by_hand, &[]).await.unwrap();
    let told = here(&["apply"]);
    assert!(told.stderr.contains("by hand: ") && told.stderr.contains("by_hand"), "{told:?}");

    let revisions = here(&["revisions", "--json"]).ok();
    let revisions: Vec<Value> = serde_json::from_str(&revisions).unwrap();
    let numbers: Vec<&Value> = revisions.iter().map(|revision| &revision["revision"]).collect();
    assert_eq!(json!(numbers), json!([5, 4, 3, 2, 1]));
    assert_eq!((&revisions[0]["is_current"], &revisions[1]["is_current"]), (&json!(true), &json!(false)));
    let shown = here(&["revisions"]).ok();
    assert!(shown.lines().next().unwrap().ends_with(", current"), "{shown}");

    let nowhere = run(rowgate(["apply"]).arg(&path));
    assert!(nowhere.code == Some(2) && nowhere.stderr.contains("ROWGATE_ADMIN_URL"), "{nowhere:?}");
    let mut keyless = with_admin(rowgate(["apply"]));
    let keyless = run(keyless.env_remove("ROWGATE_ADMIN_KEY").arg(&path));
    assert!(keyless.code == Some(2) && keyless.stderr.contains("ROWGATE_ADMIN_KEY"), "{keyless:?}");
    assert!(operated.serving.terminate().success());
}
