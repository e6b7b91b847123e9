//! The cost certificate in the commands: what is refused where, and how it is accepted.

use rowgate::deploy::bundle::read_bundle;
use serde_json::Value;

use crate::cli::process::{bundle, example, folder, rowgate, run};
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

#[tokio::test]
async fn explain_shows_a_function_as_it_is_declared_run_and_bounded() {
    let database = TestDatabase::new().await;
    let folder = folder();
    let functions = r#"return {
  soon = queryRows("tasks", {
    filter = filter("due", ">=", arg("from", v.date():optional())), orderBy = "due", limit = 10, access = "anonymous",
  }),
  byTitle = queryRows("tasks", { orderBy = "title", limit = 10 }),
}"#;
    let path = bundle(folder.path(), SCHEMA, functions);
    let explain = |name: &str, more: &[&str]| {
        run(rowgate(["explain", name]).arg(&path).args(more).env("DATABASE_URL", database.url()))
    };
    insta::assert_snapshot!(explain("soon", &[]).ok(), @r#"
    soon  server/functions.luau:2

      {
        "access": "anonymous",
        "kind": "queryRows",
        "table": "tasks",
        "filter": {"column":"due","op":">=","value":{"arg":"from","validator":{"type":"date",
            "optional":true}}},
        "orderBy": [{"column":"due","dir":"asc"}],
        "limit": 10
      }

    statement 1 of 2: called without its optional arguments
      SELECT "id", "title", "due", "created_at", "updated_at", "version"
      FROM "ext_7c1d5a08_52b9_4c0e_a1de_6b1f4f0d9a11"."tasks"
      WHERE "scope_key" = $1
      ORDER BY "tasks"."due" ASC, "tasks"."id" ASC
      LIMIT 10
      $1 the caller's scope

      plan
        Limit
          Index Scan on tasks by tasks_by_due_idx
            where (scope_key = $1)

      certificate
        reads tasks: at most 10 rows, in the index's order
        sorts nothing

    statement 2 of 2: called with from
      SELECT "id", "title", "due", "created_at", "updated_at", "version"
      FROM "ext_7c1d5a08_52b9_4c0e_a1de_6b1f4f0d9a11"."tasks"
      WHERE "scope_key" = $1 AND "due" >= $2
      ORDER BY "tasks"."due" ASC, "tasks"."id" ASC
      LIMIT 10
      $1 the caller's scope
      $2 argument `from`

      plan
        Limit
          Index Scan on tasks by tasks_by_due_idx
            where ((scope_key = $1) AND (due >= $2))

      certificate
        reads tasks: at most 10 rows, in the index's order
        sorts nothing

    bounded
    "#);

    // Every line is read at a hundred columns, of every function of the examples.
    for name in ["live-poll", "every-type"] {
        let model = read_bundle(&example(name)).unwrap();
        for (function, declared) in &model.definition.functions {
            let text = run(rowgate(["explain", function]).arg(example(name)).env("DATABASE_URL", database.url())).ok();
            let end = if declared.scan.is_some() {
                "\nnot bounded, and accepted by `scan = \"allowed\"`\n"
            } else {
                "\nbounded\n"
            };
            assert!(text.ends_with(end), "{text}");
            let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
            assert_eq!(long, Vec::<&str>::new(), "{text}");
        }
    }

    let printed: Value = serde_json::from_str(&explain("byTitle", &["--json"]).ok()).unwrap();
    assert_eq!(printed["statements"][0]["excesses"], serde_json::json!(["sort", "scan"]));
    assert_eq!(printed["statements"][0]["reads"][0]["bound"]["by"], "none");
    assert_eq!(printed["diagnostics"][0]["place"]["line"], 5);
    assert!(explain("byTitle", &[]).ok().contains("error[unbounded_sort]"));

    // A handler has no statement before it runs.
    bundle(
        folder.path(),
        SCHEMA,
        r#"return { late = query({
  args = { days = v.integer() },
  handler = function(ctx, args) return ctx.db.count("tasks") end,
}) }"#,
    );
    let text = explain("late", &[]).ok();
    assert!(text.contains("a query written in Luau, run in one transaction that sees one state"), "{text}");
    assert!(text.contains("ctx.db.aggregate") && !text.contains("ctx.db.insert"), "{text}");
    let printed: Value = serde_json::from_str(&explain("late", &["--json"]).ok()).unwrap();
    assert_eq!(printed["place"]["line"], 1);
    assert_eq!(printed["definition"]["kind"], "query");
    assert!(explain("lat", &[]).stderr.contains("did you mean `late`?"));
    bundle(folder.path(), SCHEMA, functions);

    let done = explain("son", &[]);
    assert_eq!((done.code, done.stderr.contains("did you mean `soon`?")), (Some(2), true), "{done:?}");
}
