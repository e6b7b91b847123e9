//! The cost certificate in the commands: what is refused where, and how it is accepted.

use serde_json::Value;

use crate::cli::process::{bundle, folder, rowgate, run};
use crate::support::TestDatabase;

const SCHEMA: &str = r#"return defineSchema({
  tasks = defineTable({ title = v.string(), due = v.date():optional() }):index("by_due", { "due" }),
})"#;

const FUNCTIONS: &str = r#"return {
  soon = queryRows("tasks", { orderBy = "due", limit = 10 }),
  byTitle = queryRows("tasks", { orderBy = "title", limit = 10 }),
  all = countRows("tasks"),
}"#;

#[tokio::test]
async fn what_nothing_bounds_is_not_deployed_unless_it_is_accepted() {
    let database = TestDatabase::new().await;
    let folder = folder();
    let path = bundle(folder.path(), SCHEMA, FUNCTIONS);
    let said = r#"server/functions.luau:3: error[unbounded_sort]: function `byTitle` sorts the rows of table `tasks` before it can answer the first
  hint: declare `:index("by_title", { "title" })` on table `tasks`, or accept it by `scan = "allowed"`
server/functions.luau:4: error[unbounded_scan]: function `all` reads the whole scope of table `tasks`
  hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `tasks`, or accept it by `scan = "allowed"`
2 complaints
"#;
    let apply = |more: &[&str]| run(rowgate(["apply"]).arg(&path).args(more).env("DATABASE_URL", database.url()));
    let done = apply(&[]);
    assert_eq!((done.code, done.stderr.as_str()), (Some(1), format!("{said}nothing was changed\n").as_str()));

    // Without a database `check` has nothing to say of it; with one it says the same, and changes nothing.
    run(rowgate(["check"]).arg(&path)).ok();
    let check = |more: &[&str]| run(rowgate(["check", "--database-url", &database.url()]).arg(&path).args(more));
    let done = check(&[]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), said));
    let done = check(&["--json"]);
    let printed: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(printed["diagnostics"][0]["code"], "unbounded_sort");
    assert_eq!(printed["diagnostics"][0]["place"]["line"], 3);
    check(&["--allow-scan", "all", "--allow-scan", "byTitle"]).ok();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'ext!_%' ESCAPE '!'";
    let client = database.client().await;
    assert_eq!(client.query_one(schemas, &[]).await.unwrap().get::<_, i64>(0), 0);

    let done = apply(&["--allow-scan", "al"]);
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("there is no function `al`; did you mean `all`?"), "{}", done.stderr);
    apply(&["--allow-scan", "all", "--allow-scan", "byTitle"]).ok();

    // What is suggested is enough, and so is a word in the function.
    bundle(
        folder.path(),
        &SCHEMA.replace(":index(", ":index(\"by_title\", { \"title\" }):index("),
        &FUNCTIONS.replace("countRows(\"tasks\")", "countRows(\"tasks\", { scan = \"allowed\" })"),
    );
    apply(&[]).ok();
}
