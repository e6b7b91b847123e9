//! One change after another to the tables under a revision, and what it says of each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::check::check;
use crate::fit::fits;
use crate::generate::definition;
use crate::model::Model;
use crate::read::read;

fn model(document: &Value) -> Model {
    let (definition, complaints) = read(document);
    assert_eq!(complaints, []);
    check(&definition).unwrap_or_else(|complaints| panic!("{complaints:#?}"))
}

fn poll() -> Value {
    json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
        "tables": {
            "rules": {
                "columns": {
                    "text": { "type": "string", "max": 80 },
                    "kind": { "type": "enum", "values": ["fun", "serious"], "default": "fun" },
                    "score": { "type": "integer", "default": 0, "min": 0 },
                    "note": { "type": "string", "optional": true },
                    "spare": { "type": "string", "optional": true },
                    "size": { "type": "object", "fields": { "w": { "type": "number" } }, "optional": true },
                },
                "indexes": { "by_score": ["score"] },
                "uniques": { "one_text": ["text"] },
            },
            "votes": { "columns": { "rule": { "type": "id", "table": "rules" }, "who": { "type": "string" } } },
            "unused": { "columns": { "n": { "type": "integer" } } },
        },
        "functions": {
            "getRules": {
                "kind": "queryRows", "table": "rules", "orderBy": "score", "fields": ["text", "score", "kind"],
                "filter": { "column": "kind", "op": "=", "value": { "arg": "kind" } },
            },
            "addRule": {
                "kind": "upsertRow", "table": "rules", "unique": "one_text", "fields": ["text"],
                "values": { "text": { "arg": "text" }, "note": { "arg": "note" }, "size": { "arg": "size" } },
            },
            "getVote": { "kind": "getRow", "table": "votes", "id": { "arg": "id" }, "expand": { "rule": { "fields": ["note"] } } },
        },
    })
}

/// The codes and messages of what `change` does to the revision.
fn after(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let old = model(&poll());
    let mut document = poll();
    document["functions"] = json!({});
    change(&mut document["tables"]);
    fits(&old, &model(&document)).iter().map(|complaint| format!("{}: {}", complaint.code, complaint.message)).collect()
}

fn without(tables: &mut Value, path: &[&str]) {
    let (last, parents) = path.split_last().unwrap();
    let parent = parents.iter().fold(tables, |value, name| &mut value[*name]);
    assert!(parent.as_object_mut().unwrap().remove(*last).is_some());
}

#[test]
fn what_it_does_not_use_and_what_became_wider_is_no_matter() {
    assert_eq!(after(|_| {}), [""; 0]);
    assert_eq!(
        after(|tables| {
            without(tables, &["unused"]);
            without(tables, &["rules", "columns", "spare"]);
            let columns = &mut tables["rules"]["columns"];
            columns["text"] = json!({ "type": "string", "max": 200 });
            columns["kind"] = json!({ "type": "enum", "values": ["fun", "serious", "odd"], "default": "odd" });
            columns["score"]["max"] = json!(7);
            columns["size"] = json!({ "type": "json", "optional": true });
            columns["new"] = json!({ "type": "string", "optional": true });
            columns["set"] = json!({ "type": "string", "default": "x" });
            tables["rules"]["indexes"] = json!({ "by_all": ["score", "kind"] });
            tables["rules"]["uniques"]["text_and_kind"] = json!(["text", "kind"]);
            tables["more"] = json!({ "columns": { "n": { "type": "integer" } } });
        }),
        [""; 0]
    );
}

/// What is said of each change.
fn listed(changes: &[&dyn Fn(&mut Value)]) -> String {
    changes.iter().map(|change| after(change).join("\n")).collect::<Vec<_>>().join("\n--\n")
}

#[test]
fn what_it_uses_must_be_there() {
    insta::assert_snapshot!(listed(&[
        &|tables| without(tables, &["votes"]),
        &|tables| without(tables, &["rules", "columns", "kind"]),
        &|tables| without(tables, &["rules", "columns", "note"]),
        &|tables| without(tables, &["rules", "indexes"]),
        &|tables| without(tables, &["rules", "uniques"]),
        &|tables| tables["rules"]["uniques"]["one_text"] = json!(["text", "kind"]),
    ]), @"
    pinned_missing: `getVote` needs table `votes`, which is not there
    --
    pinned_missing: `getRules` needs column `kind` of table `rules`, which is not there
    --
    pinned_missing: `addRule` needs column `note` of table `rules`, which is not there
    --
    pinned_missing: `getRules` may read table `rules` by index `by_score`, which is not there
    --
    pinned_missing: `addRule` needs unique rule `one_text` of table `rules`, which is not there
    --
    pinned_missing: `addRule` needs unique rule `one_text` of table `rules`, which is over other columns
    ");
}

#[test]
fn what_it_uses_must_be_stored_the_same_way() {
    insta::assert_snapshot!(listed(&[
        &|tables| tables["rules"]["columns"]["score"] = json!({ "type": "decimal", "default": "0" }),
        &|tables| {
            tables["votes"]["storage"] = json!("account");
            tables["rules"]["storage"] = json!("account");
        },
        &|tables| tables["votes"]["columns"]["rule"] = json!({ "type": "id", "table": "unused" }),
        &|tables| tables["rules"]["columns"]["kind"]["private"] = json!(true),
    ]), @"
    pinned_type: `getRules` needs an integer in column `score` of table `rules`, not a decimal
    --
    pinned_type: `addRule` needs rows of table `rules` per instance, not per account
    pinned_type: `getVote` needs rows of table `votes` per instance, not per account
    --
    pinned_type: `getVote` needs a reference to table `rules` in column `rule` of table `votes`
    --
    pinned_private: `getRules` answers with column `kind` of table `rules`, which is private
    ");
    assert_eq!(after(|tables| tables["rules"]["columns"]["spare"]["private"] = json!(true)), [""; 0]);
}

#[test]
fn what_it_writes_must_be_taken_as_before() {
    let wide = json!({ "type": "object", "fields": { "w": { "type": "number" }, "h": { "type": "number" } }, "optional": true });
    insta::assert_snapshot!(listed(&[
        &|tables| tables["rules"]["columns"]["text"] = json!({ "type": "string", "max": 79 }),
        &|tables| tables["rules"]["columns"]["text"] = json!({ "type": "string", "max": 80, "pattern": "^[a-z]" }),
        &|tables| tables["rules"]["columns"]["note"] = json!({ "type": "string" }),
        &|tables| tables["rules"]["columns"]["note"] = json!({ "type": "string", "default": "" }),
        &|tables| tables["rules"]["columns"]["new"] = json!({ "type": "string" }),
        &|tables| tables["rules"]["columns"]["score"] = json!({ "type": "integer", "min": 0 }),
        &|tables| tables["rules"]["columns"]["size"] = wide.clone(),
        &|tables| tables["rules"]["owned"] = json!(true),
        &|tables| tables["rules"]["uniques"]["one_note"] = json!(["note"]),
    ]), @"
    pinned_tightened: `addRule` writes column `text` of table `rules`, which takes fewer values than before
    --
    pinned_tightened: `addRule` writes column `text` of table `rules`, which takes fewer values than before
    --
    pinned_tightened: `addRule` writes column `note` of table `rules`, which takes no null any more
    pinned_tightened: `addRule` inserts into table `rules` without column `note`, which it may leave out and every row needs
    --
    pinned_tightened: `addRule` writes column `note` of table `rules`, which takes no null any more
    --
    pinned_tightened: `addRule` inserts into table `rules` without column `new`, which it does not know and every row needs
    --
    pinned_tightened: `addRule` inserts into table `rules` without column `score`, which it may leave out and every row needs
    --
    pinned_tightened: `addRule` writes column `size` of table `rules`, which takes fewer values than before
    --
    pinned_tightened: `addRule` inserts into table `rules` without an owner, which every row needs
    --
    pinned_tightened: `addRule` writes table `rules`, which has a new unique rule `one_note`
    ");
    // Of what is only read, limits are no matter.
    assert_eq!(after(|tables| tables["votes"]["columns"]["who"]["max"] = json!(3)), [""; 0]);
}

#[test]
fn a_handler_may_use_everything() {
    let mut document = poll();
    document["functions"] = json!({});
    document["handlers"] = json!({ "pick": { "kind": "query" } });
    document["sources"] = json!({ "functions": "return {}" });
    let old = model(&document);
    let fit = |change: &dyn Fn(&mut Value)| {
        let mut document = poll();
        document["functions"] = json!({});
        change(&mut document["tables"]);
        fits(&old, &model(&document)).len()
    };
    assert_eq!(fit(&|_| {}), 0);
    assert_eq!(fit(&|tables| without(tables, &["unused"])), 1);
    assert_eq!(fit(&|tables| without(tables, &["rules", "columns", "spare"])), 1);
    assert_eq!(fit(&|tables| tables["unused"]["columns"]["n"]["max"] = json!(1)), 1);
    // What only handlers see may be private.
    assert_eq!(fit(&|tables| tables["rules"]["columns"]["kind"]["private"] = json!(true)), 0);
}

fn choices() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(any::<u32>(), 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_definition_fits_itself(choices in choices()) {
        let definition = definition(&choices);
        let model = check(&definition).unwrap();
        prop_assert_eq!(fits(&model, &model), vec![]);
    }

    /// Whatever is taken away of what is there: either nobody uses it, or it is said.
    #[test]
    fn a_table_that_is_used_is_missed(choices in choices(), which in any::<prop::sample::Index>()) {
        let definition = definition(&choices);
        let model = check(&definition).unwrap();
        prop_assume!(!model.tables.is_empty());
        let mut less = model.clone();
        let gone = less.tables.remove(which.index(model.tables.len()));
        let is_used = !model.handlers.is_empty()
            || serde_json::to_string(&definition.functions).unwrap().contains(&format!("\"{}\"", gone.name));
        let complaints = fits(&model, &less);
        prop_assert!(complaints.is_empty() || is_used, "{complaints:?}");
        prop_assert_eq!(
            model.functions.iter().any(|function| *function.body.table() == gone.name) && complaints.is_empty(),
            false
        );
    }
}
