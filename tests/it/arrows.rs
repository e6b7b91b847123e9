//! The house's walls, read from its sources: which room may use which, and what is named in one
//! room alone. A new arrow is a decision: it is added here, and only where it points downwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room and the rooms it uses. A room may use those above it alone, so there is no way round.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("config", &[]),
    ("cache", &["config"]),
    ("fetch", &["config"]),
    ("vault", &["config"]),
    ("problem", &["error"]),
    ("telemetry", &["config", "error", "problem"]),
    ("auth", &["config", "error"]),
    ("limit", &["config", "error"]),
    ("plan", &["error"]),
    ("script", &[]),
    ("record", &["limit"]),
    ("db", &["config", "error", "plan"]),
    ("deploy", &["config", "db", "plan", "record", "script"]),
    ("registry", &["auth", "config", "db", "error", "limit", "plan", "record", "script", "telemetry"]),
    ("lifecycle", &["db", "plan", "record", "registry"]),
    (
        "gateway",
        &[
            "auth",
            "cache",
            "config",
            "db",
            "error",
            "fetch",
            "limit",
            "plan",
            "record",
            "registry",
            "script",
            "telemetry",
            "vault",
        ],
    ),
    ("http", &["auth", "db", "error", "gateway", "limit", "problem", "telemetry"]),
    (
        "admin",
        &[
            "auth",
            "config",
            "db",
            "deploy",
            "error",
            "gateway",
            "http",
            "lifecycle",
            "limit",
            "plan",
            "problem",
            "record",
            "registry",
            "script",
            "telemetry",
            "vault",
        ],
    ),
    (
        "server",
        &[
            "admin",
            "auth",
            "config",
            "db",
            "error",
            "gateway",
            "http",
            "lifecycle",
            "limit",
            "record",
            "registry",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "auth",
            "config",
            "db",
            "deploy",
            "gateway",
            "lifecycle",
            "limit",
            "plan",
            "record",
            "registry",
            "script",
            "server",
            "telemetry",
            "vault",
        ],
    ),
];

/// The doors, which lead everywhere.
const DOORS: [&str; 2] = ["lib", "main"];

/// A source file without its comments and its tests.
struct Source {
    /// Below `src`, such as `db/lane.rs`.
    path: String,
    code: String,
}

impl Source {
    fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let mut files = Vec::new();
    collect(&base, &mut files);
    files.sort();
    let sources: Vec<Source> = files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            let path = file.strip_prefix(&base).unwrap().to_str().unwrap().to_owned();
            Source { path, code: code(&text) }
        })
        .collect();
    assert!(sources.len() > 10, "{folder} holds {} files", sources.len());
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name == "tests" || name == "tests.rs" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// Without comments, and without what is only there for tests: a module that ends its file.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut code = lines.collect::<Vec<_>>().join("\n");
    if let Some(tests) = code.find("#[cfg(test)]\nmod tests {") {
        code.truncate(tests);
    }
    code
}

/// The rooms named behind `crate::`, one by one or in braces.
fn used(code: &str) -> BTreeSet<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut rooms = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')) {
            continue;
        }
        let rest = &code[start + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            rooms.insert(name(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (place, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && depth == 0 && !c.is_whitespace() => {
                    rooms.insert(name(&list[place..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

#[test]
fn arrows_are_read_however_they_are_written() {
    let text = "use crate::error::{Code, Failure};\nuse crate::{problem, db::{lane, run}, plan};\n\
                pub(crate) fn f() { crate::config::of(); other_crate::x(); a::crate::y() }\n// crate::admin\n\
                #[cfg(test)]\nmod tests {\n use crate::server; }";
    let expected = ["config", "db", "error", "plan", "problem"].map(str::to_owned);
    assert_eq!(used(&code(text)), BTreeSet::from(expected));
}

#[test]
fn rooms_use_what_the_table_says() {
    let mut above = BTreeSet::new();
    for (room, uses) in ROOMS {
        for used in *uses {
            assert!(above.contains(used), "the table lets `{room}` use `{used}`, which does not stand above it");
        }
        above.insert(room);
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for source in sources("src") {
        let room = source.room();
        if DOORS.contains(&room) {
            continue;
        }
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("`{room}` ({}) is no room of the table", source.path));
            continue;
        };
        for used in used(&source.code).into_iter().filter(|used| used != room) {
            if !allowed.contains(&used.as_str()) {
                wrong.push(format!("`{room}` may not use `{used}`, but {} does", source.path));
            }
            found.entry(room.to_owned()).or_default().insert(used);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (room, uses) in ROOMS {
        let uses: BTreeSet<String> = uses.iter().map(|used| (*used).to_owned()).collect();
        assert_eq!(found.remove(*room).unwrap_or_default(), uses, "what `{room}` uses is not what the table says");
    }
}

/// The direct dependencies of a package, without those for its tests alone.
fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let manifest: toml::Table = std::fs::read_to_string(manifest).unwrap().parse().unwrap();
    manifest["dependencies"].as_table().unwrap().keys().cloned().collect()
}

#[test]
fn the_language_depends_on_no_runtime_and_no_driver() {
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in lock["package"].as_array().unwrap() {
        let of = package.get("dependencies").and_then(toml::Value::as_array).into_iter().flatten();
        let of = of.filter_map(toml::Value::as_str).filter_map(|entry| entry.split(' ').next());
        needs.entry(package["name"].as_str().unwrap()).or_default().extend(of);
    }
    let direct = dependencies(&root().join("schema-dsl/Cargo.toml"));
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = direct.iter().map(String::as_str).collect();
    while let Some(package) = open.pop() {
        if reached.insert(package) {
            open.extend(&needs[package]);
        }
    }
    assert!(reached.contains("sea-query") && reached.len() > 20, "{reached:?}");
    for banned in ["tokio", "tokio-postgres", "postgres-protocol", "deadpool-postgres", "axum", "hyper", "mlua", "rand"]
    {
        assert!(needs.contains_key(banned), "`{banned}` is no package any more");
        assert!(!reached.contains(banned), "rowgate-schema-dsl depends on `{banned}`");
    }
}

/// Fails where a file outside `allowed` (prefixes of paths) names one of `words`.
#[track_caller]
fn named_only_in(sources: &[Source], words: &[&str], allowed: &[&str], why: &str) {
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| !allowed.iter().any(|place| source.path.starts_with(place))) {
        for (number, line) in source.code.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                wrong.push(format!(
                    "{} names `{word}` (line {} of its code): {}",
                    source.path,
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{why}\n{}", wrong.join("\n"));
    for place in allowed {
        let there = sources.iter().filter(|source| source.path.starts_with(place));
        let named =
            there.flat_map(|source| source.code.lines()).any(|line| words.iter().any(|word| line.contains(word)));
        assert!(named, "`{place}` names none of {words:?} and needs no leave");
    }
}

#[test]
fn what_computes_reads_no_clock_and_draws_nothing() {
    let outside = [
        "std::fs",
        "std::net",
        "std::process",
        "std::env",
        "SystemTime",
        "Instant",
        "Timestamp::now",
        "Zoned::now",
        "now_v7",
        "new_v4",
        "rand::r",
        "use rand",
        "tokio::",
        "tokio_postgres",
        ".await",
    ];
    named_only_in(&sources("schema-dsl/src"), &outside, &[], "the language computes and does nothing else");
    let plan: Vec<Source> = sources("src").into_iter().filter(|source| source.room() == "plan").collect();
    named_only_in(&plan, &outside, &[], "plans are made by computing alone");
}

#[test]
fn one_room_names_the_status_of_a_failure() {
    for source in sources("src").iter().filter(|source| source.path != "problem.rs") {
        for (start, word) in source.code.match_indices("StatusCode::") {
            let status: String =
                source.code[start + word.len()..].chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
            // Readiness is an answer, not a failure, and has only its status to be read by.
            let readiness = source.path == "admin/mod.rs" && status == "SERVICE_UNAVAILABLE";
            let success = ["OK", "CREATED", "NO_CONTENT"].contains(&status.as_str());
            assert!(success || readiness, "{} names the status {status}; `problem` alone does", source.path);
        }
    }
}

#[test]
fn one_file_names_what_postgres_refuses_by() {
    named_only_in(&sources("src"), &["SqlState"], &["db/sqlstate.rs"], "SQLSTATEs are read in one place");
}

#[test]
fn sql_is_written_in_few_rooms() {
    let verbs = ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "CREATE ", "ALTER ", "DROP ", "TRUNCATE "];
    let allowed = ["record", "deploy/apply.rs", "db/", "plan/proof.rs", "plan/foreign/"];
    named_only_in(&sources("src"), &verbs, &allowed, "SQL is built by `plan` and `ddl`, and written in a few places");
    let ddl = ["ddl/"];
    named_only_in(&sources("schema-dsl/src"), &verbs, &ddl, "SQL is built by `ddl`");
    // Nothing is pasted into a statement where parameters do.
    let record: Vec<Source> = sources("src").into_iter().filter(|source| source.room() == "record").collect();
    named_only_in(&record, &["format!(\"SELECT", "format!(\"INSERT", "format!(\"UPDATE"], &[], "parameters are bound");
}

#[test]
fn nothing_is_unsafe_and_nothing_changes_that_all_share() {
    let mut all = sources("src");
    all.extend(sources("schema-dsl/src"));
    named_only_in(&all, &["unsafe ", "unsafe{", "allow(unsafe_code", "static mut", "super::super::"], &[], "never");
    for source in &all {
        for line in source.code.lines().filter(|line| line.trim_start().starts_with("static ")) {
            for cell in ["Mutex", "RwLock", "Atomic", "ArcSwap", "DashMap"] {
                assert!(!line.contains(cell), "{}: {line}", source.path);
            }
        }
    }
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for path in ["Cargo.toml", "schema-dsl/Cargo.toml"] {
        let manifest: toml::Table = std::fs::read_to_string(root().join(path)).unwrap().parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{path} does not take the workspace's lints");
    }
}

#[test]
fn no_room_is_named_after_nothing() {
    for folder in ["src", "schema-dsl/src"] {
        for source in sources(folder) {
            for part in source.path.trim_end_matches(".rs").split('/') {
                let empty = ["util", "utils", "common", "helper", "helpers", "misc", "manager", "service"];
                assert!(!empty.contains(&part), "{folder}/{}", source.path);
            }
        }
    }
}
