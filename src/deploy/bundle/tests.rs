#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use tempfile::TempDir;

use super::*;

const POLL: &str = r#"{ "id": "0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c", "name": "poll", "version": "0.1.0" }"#;
const TABLES: &str = "{\n  \"tables\": { \"rules\": { \"columns\": { \"text\": { \"type\": \"string\" } } } }\n}";
const FUNCTION: &str = r#"{ "functions": { "count": { "kind": "countRows", "table": "rules" } } }"#;

fn bundle(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("server")).unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn complaints(dir: &Path) -> String {
    let diagnostics = read_bundle(dir).map_or_else(|diagnostics| diagnostics, |read| read.diagnostics);
    let lines = diagnostics.into_iter().map(|one| one.to_string().replace("\n  hint: ", "; "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn parts_in_json_become_one_definition() {
    let dir = bundle(&[(EXTENSION, POLL), ("server/schema.json", TABLES), ("server/functions.json", FUNCTION)]);
    let read = read_bundle(dir.path()).unwrap();
    assert_eq!(read.diagnostics, vec![]);
    assert!(read.complete);
    assert_eq!(read.definition.extension.name, "poll");
    assert!(read.definition.tables.contains_key("rules") && read.definition.functions.contains_key("count"));
    let place = read.source_map.locate("/tables/rules/columns/text/type").unwrap();
    assert_eq!(place.to_string(), "server/schema.json:2:49");
    assert_eq!(read.source_map.locate("/extension/name").unwrap().to_string(), "extension.json:1:49");
    let names: Vec<PathBuf> = bundle_files(dir.path());
    let expected = ["extension.json", "server/functions.json", "server/schema.json"];
    assert_eq!(names, expected.map(|name| dir.path().join(name)));
}

#[test]
fn a_whole_definition_is_read_with_or_without_its_extension() {
    for name in DEFINITIONS {
        let dir = bundle(&[(name, &format!(r#"{{ "rowgate": 1, "extension": {POLL}, "tables": {{}} }}"#))]);
        assert_eq!(complaints(dir.path()), "");
        let dir = bundle(&[(name, r#"{ "rowgate": 1 }"#), (EXTENSION, POLL)]);
        assert_eq!(complaints(dir.path()), "");
        assert_eq!(read_bundle(dir.path()).unwrap().definition.extension.name, "poll");
    }
}

#[test]
fn complaints_of_the_reader_have_the_authors_place() {
    let tables = "{ \"tables\": {\n  \"rules\": { \"columns\": {\n    \"text\": { \"type\": \"strng\" } } } } }";
    let functions = "{ \"functions\": {\n\"f\": { \"kind\": \"queryRows\", \"table\": \"rules\",\n \"limitt\": 1 } } }";
    let extension = POLL.replace("0190a5c8", "x");
    let files = [(EXTENSION, extension.as_str()), ("server/schema.json", tables), ("server/functions.json", functions)];
    insta::assert_snapshot!(complaints(bundle(&files).path()), @"
    extension.json:1:3: error[malformed_uuid]: `x-7d3a-4c4e-9b1f-2f6d8e4a1b3c` is not a UUID; write one such as `0190a5c8-7d3a-4c4e-9b1f-2f6d8e4a1b3c`; `uuidgen` makes them
    server/functions.json:3:2: error[unknown_option]: `limitt` is not an option of `queryRows`; did you mean `limit`?
    server/schema.json:3:15: error[unknown_type]: `strng` is not a type; did you mean `string`?
    ");
}

#[test]
fn what_is_missing_is_said_once() {
    let dir = bundle(&[]);
    insta::assert_snapshot!(complaints(dir.path()), @r#"
    extension.json:1: error[missing_file]: `extension.json` is missing: who the extension is; write `{ "id": "<a UUID>", "name": "…", "version": "0.1.0" }`; `rowgate init DIR` writes a bundle to start from
    server/functions.luau:1: error[missing_file]: `server/functions.luau` is missing: its functions; write `server/functions.luau` or `server/functions.json`, or the whole as `definition.json`; `rowgate init DIR` writes a bundle to start from
    server/schema.luau:1: error[missing_file]: `server/schema.luau` is missing: its tables; write `server/schema.luau` or `server/schema.json`, or the whole as `definition.json`; `rowgate init DIR` writes a bundle to start from
    "#);
    assert!(!read_bundle(dir.path()).unwrap().complete);
    insta::assert_snapshot!(complaints(Path::new("/nowhere/at/all")), @"error[missing_file]: `/nowhere/at/all` is not a bundle: entity not found; `rowgate init DIR` writes one to start from");
    let dir = bundle(&[(EXTENSION, "[]"), ("server/schema.json", r#"{ "rules": {}, "votes": {} }"#)]);
    insta::assert_snapshot!(complaints(dir.path()), @r#"
    extension.json:1: error[wrong_type]: expected an object as the content of `extension.json`
    server/functions.luau:1: error[missing_file]: `server/functions.luau` is missing: its functions; write `server/functions.luau` or `server/functions.json`, or the whole as `definition.json`; `rowgate init DIR` writes a bundle to start from
    server/schema.json:1: error[missing_member]: `tables` is missing in `server/schema.json`; write `{ "tables": { … } }`
    "#);
}

#[test]
fn two_notations_of_a_part_are_refused() {
    let whole = format!(r#"{{ "rowgate": 1, "extension": {POLL} }}"#);
    let dir = bundle(&[
        (EXTENSION, POLL),
        ("definition.json", &whole),
        ("server/definition.json", &whole),
        ("server/schema.json", TABLES),
    ]);
    insta::assert_snapshot!(complaints(dir.path()), @"
    extension.json:1: error[two_notations]: the extension is described twice, in `extension.json` and in the definition's `extension`; keep one of them
    server/definition.json:1: error[two_notations]: the bundle's definition is written twice, in `definition.json` and in `server/definition.json`; keep one; `definition.json` was read
    server/schema.json:1: error[two_notations]: the bundle's definition is written twice, in `definition.json` and in `server/schema.json`; keep one; `definition.json` was read
    ");
    let dir = bundle(&[
        (EXTENSION, POLL),
        ("server/schema.json", TABLES),
        ("server/schema.ts", ""),
        ("server/functions.ts", ""),
    ]);
    insta::assert_snapshot!(complaints(dir.path()), @"
    server/functions.ts:1: error[not_yet_served]: the TypeScript notation is not served yet; write `server/functions.luau` or `server/functions.json`
    server/schema.ts:1: error[two_notations]: the bundle's schema is written twice, in `server/schema.json` and in `server/schema.ts`; keep one; `server/schema.json` was read
    ");
}

#[test]
fn broken_files_are_said_with_their_line() {
    let dir = bundle(&[(EXTENSION, "{\n  \"id\": }"), ("server/functions.json", FUNCTION)]);
    fs::write(dir.path().join("server/schema.json"), b"{\n\"tables\": \"\xff\"}").unwrap();
    insta::assert_snapshot!(complaints(dir.path()), @"
    extension.json:2:9: error[malformed_json]: expected a value, got `}`
    server/schema.json:2: error[not_utf8]: `server/schema.json` is not UTF-8 text
    ");
}

#[test]
fn a_part_holds_its_own_member_alone() {
    let both = r#"{ "$schema": "x", "rowgate": 2, "tables": {}, "functions": {}, "tabels": {} }"#;
    let dir = bundle(&[(EXTENSION, POLL), ("server/schema.json", both), ("server/functions.json", FUNCTION)]);
    insta::assert_snapshot!(complaints(dir.path()), @"
    server/schema.json:1:19: error[unknown_format]: format `2` is not known; expected `1`
    server/schema.json:1:47: error[unknown_option]: `functions` does not belong in `server/schema.json`; expected `tables` alone
    server/schema.json:1:64: error[unknown_option]: `tabels` does not belong in `server/schema.json`; expected `tables` alone
    ");
}

#[cfg(unix)]
#[test]
fn files_are_bounded_and_come_from_the_bundle_alone() {
    use std::os::unix::fs::symlink;
    let outside = bundle(&[("server/schema.json", TABLES), ("functions.json", FUNCTION)]);
    let dir = bundle(&[("poll.json", POLL)]);
    // A link within the bundle is the author's own business.
    symlink("poll.json", dir.path().join(EXTENSION)).unwrap();
    symlink(outside.path().join("server/schema.json"), dir.path().join("server/schema.json")).unwrap();
    fs::create_dir(dir.path().join("server/functions.json")).unwrap();
    insta::assert_snapshot!(complaints(dir.path()), @"
    server/functions.json:1: error[unreadable_file]: `server/functions.json` is not a file
    server/schema.json:1: error[outside_bundle]: `server/schema.json` links to a file outside of the bundle; put a copy of the file into the bundle
    ");

    let dir = bundle(&[(EXTENSION, POLL), ("server/schema.json", &" ".repeat(json::SOURCE_BYTES_MAX + 1))]);
    symlink("nowhere.json", dir.path().join("server/functions.json")).unwrap();
    insta::assert_snapshot!(complaints(dir.path()), @"
    server/functions.json:1: error[unreadable_file]: `server/functions.json` cannot be read: it links to a file that is not there
    server/schema.json:1: error[file_too_large]: `server/schema.json` is too large; at most 4096 KiB are accepted
    ");

    let dir = bundle(&[(EXTENSION, POLL)]);
    fs::remove_dir(dir.path().join("server")).unwrap();
    symlink(outside.path().join("server"), dir.path().join("server")).unwrap();
    fs::write(outside.path().join("server/functions.json"), FUNCTION).unwrap();
    insta::assert_snapshot!(complaints(dir.path()), @"
    server/functions.json:1: error[outside_bundle]: `server/functions.json` links to a file outside of the bundle; put a copy of the file into the bundle
    server/schema.json:1: error[outside_bundle]: `server/schema.json` links to a file outside of the bundle; put a copy of the file into the bundle
    ");
}

#[test]
fn luau_and_json_parts_are_read_together() {
    let schema = "local names = require(\"./names\")\nreturn defineSchema({\n  [names.table] = defineTable({ text = v.string():max(280) }),\n})\n";
    let dir = bundle(&[
        (EXTENSION, POLL),
        ("server/schema.luau", schema),
        ("server/names.luau", "return { table = \"rules\" }"),
        ("server/functions.json", FUNCTION),
    ]);
    assert_eq!(complaints(dir.path()), "");
    let read = read_bundle(dir.path()).unwrap();
    assert!(read.complete && read.definition.tables.contains_key("rules"));
    assert!(rowgate_schema_dsl::check::check(&read.definition).is_ok());
    assert!(bundle_files(dir.path()).contains(&dir.path().join("server/names.luau")));
}

#[test]
fn luau_complaints_of_every_stage_are_placed() {
    let functions = "local functions = {}\nfunctions.getRules = queryRows(\"rules\", {\n  limitt = 5,\n  orderBy = \"txt\", orderDir = \"up\",\n})\nreturn functions\n";
    let dir = bundle(&[
        (EXTENSION, POLL),
        (
            "server/schema.luau",
            "return defineSchema({\n  rules = defineTable({\n    text = v.string():max(-1),\n  }):storage(\"instanse\"),\n})\n",
        ),
        ("server/functions.luau", functions),
    ]);
    insta::assert_snapshot!(complaints(dir.path()), @"
    server/functions.luau:3: error[unknown_option]: `limitt` is not an option of `queryRows`; did you mean `limit`?
    server/functions.luau:4: error[unknown_direction]: `up` is not a direction; expected `asc` or `desc`
    server/schema.luau:3: error[out_of_range]: `-1` is not a length; expected an integer from 0 to 2147483647
    server/schema.luau:4: error[unknown_storage]: `instanse` is not a storage; did you mean `instance`?
    ");
    let read = read_bundle(dir.path()).unwrap();
    let mut further = rowgate_schema_dsl::check::check(&read.definition).unwrap_err();
    read.source_map.place(&mut further);
    insta::assert_snapshot!(further.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @"
    server/functions.luau:4: error[unknown_column]: column `txt` does not exist in table `rules`
      hint: did you mean `text`?
    ");
}

#[test]
fn a_file_that_cannot_be_evaluated_makes_the_reading_incomplete() {
    let dir = bundle(&[
        (EXTENSION, POLL),
        ("server/schema.luau", "return defineSchema({"),
        ("server/functions.json", FUNCTION),
    ]);
    insta::assert_snapshot!(complaints(dir.path()), @"server/schema.luau:1: error[syntax_error]: expected identifier when parsing expression, got <eof>");
    assert!(!read_bundle(dir.path()).unwrap().complete);
}
