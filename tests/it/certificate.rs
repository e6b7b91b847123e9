//! The cost certificate: what Postgres says of statements over empty tables, and the index that is
//! named to an author.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rowgate::deploy::certify::{Certified, certify, refusals};
use rowgate::plan::cost::suggest::{Suggestion, list_suggestion, suggestion};
use rowgate::plan::cost::{Bound, EmbeddedExcess, StatementCost};
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::function::Function;
use rowgate_schema_dsl::generate;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::TestDatabase;
use crate::support::gateway::document;

/// A table with an index that begins with two columns, a unique rule with and one without nulls.
fn tables() -> Value {
    json!({
        "authors": { "columns": { "name": { "type": "string", "unique": true } } },
        "rules": {
            "columns": {
                "text": { "type": "string" },
                "alias": { "type": "string", "optional": true },
                "score": { "type": "integer" },
                "rank": { "type": "integer" },
                "revealed": { "type": "boolean" },
                "author": { "type": "id", "table": "authors" },
            },
            "indexes": { "by_score": ["score"], "by_rank": ["revealed", "rank"] },
            "uniques": { "one_text": ["text"], "one_alias": ["alias"] },
        },
    })
}

fn modelled(functions: Value) -> Model {
    let (definition, complaints) = read(&document(tables(), functions));
    assert_eq!(complaints, []);
    check(&definition).unwrap_or_else(|complaints| panic!("{complaints:#?}"))
}

/// The one function `f` of the rules.
async fn certified(client: &mut Client, function: Value) -> (Model, Certified) {
    let model = modelled(json!({ "f": function }));
    let mut certified = certify(client, &model).await.unwrap_or_else(|error| panic!("{error}"));
    (model, certified.remove(0))
}

fn query(filter: Value, order: Value) -> Value {
    json!({ "kind": "queryRows", "table": "rules", "filter": filter, "orderBy": order, "limit": 20 })
}

fn sums(filter: Value) -> Value {
    json!({ "kind": "aggregateRows", "table": "rules", "filter": filter, "select": { "n": { "sum": "rank" } } })
}

fn grouped(column: &str, filter: Value) -> Value {
    let mut grouped = sums(filter);
    grouped["groupBy"] = json!([column]);
    grouped["orderBy"] = json!([{ "column": "n", "dir": "desc" }]);
    grouped
}

fn extreme(function: &str, filter: Value) -> Value {
    let mut extreme = sums(filter);
    extreme["select"] = json!({ "n": { function: "score" } });
    extreme
}

/// An author with some of what they wrote.
fn listing(order: Value) -> Value {
    json!({
        "kind": "getRow", "table": "authors", "id": { "arg": "id" },
        "expand": { "list": { "table": "rules", "by": "author", "orderBy": order, "limit": 5 } },
    })
}

fn compare(column: &str, op: &str, value: Value) -> Value {
    json!({ "column": column, "op": op, "value": value })
}

#[tokio::test]
async fn what_an_index_bounds_is_let_pass() {
    let database = TestDatabase::new().await;
    let mut client = database.gateway_client().await;
    let limit = Bound::Limit { rows: Some(20) };
    let key = |columns: &[&str]| Bound::Key { columns: columns.iter().map(|name| (*name).to_owned()).collect() };
    let range = |columns: &[&str]| Bound::Range { columns: columns.iter().map(|name| (*name).to_owned()).collect() };
    let count = |filter: Value| json!({ "kind": "countRows", "table": "rules", "filter": filter });
    let any = json!({ "any": [compare("text", "=", json!("a")), compare("score", "=", json!(1))] });
    for (function, index, bound) in [
        (json!({ "kind": "getRow", "table": "rules", "id": { "arg": "id" } }), "rules_pkey", key(&["id"])),
        (json!({ "kind": "deleteRow", "table": "rules", "id": { "arg": "id" } }), "rules_pkey", key(&["id"])),
        (query(json!([]), json!([])), "rules_pkey", limit.clone()),
        (query(json!([]), json!([{ "column": "score", "dir": "desc" }])), "rules_by_score_idx", limit.clone()),
        (query(compare("score", ">", json!(3)), json!("score")), "rules_by_score_idx", limit.clone()),
        (query(compare("revealed", "=", json!(true)), json!("rank")), "rules_by_rank_idx", limit.clone()),
        (query(compare("revealed", "=", json!(false)), json!("score")), "rules_by_score_idx", limit.clone()),
        (query(compare("rank", ">", json!(3)), json!("score")), "rules_by_score_idx", limit.clone()),
        (query(compare("text", "=", json!("a")), json!("rank")), "rules_one_text_key", key(&["text"])),
        (query(json!([]), json!("text")), "rules_one_text_key", limit.clone()),
        (count(compare("score", ">=", json!(3))), "rules_by_score_idx", range(&["score"])),
        (count(compare("score", "in", json!([3, 4]))), "rules_by_score_idx", range(&["score"])),
        (count(compare("author", "=", json!({ "arg": "a" }))), "rules_author_ref", range(&["author"])),
        // A unique rule lets any number of rows have no value.
        (count(compare("alias", "isNull", json!(true))), "rules_one_alias_key", range(&["alias"])),
        (count(compare("alias", "=", json!("a"))), "rules_one_alias_key", key(&["alias"])),
        (count(any), "rules_by_score_idx", range(&["text", "score"])),
        (sums(compare("score", ">=", json!(3))), "rules_by_score_idx", range(&["score"])),
        (sums(compare("author", "=", json!({ "arg": "a" }))), "rules_author_ref", range(&["author"])),
        (grouped("rank", compare("score", "in", json!([3, 4]))), "rules_by_score_idx", range(&["score"])),
        (grouped("score", compare("score", ">=", json!(3))), "rules_by_score_idx", range(&["score"])),
        (extreme("max", json!([])), "rules_by_score_idx", Bound::Limit { rows: Some(1) }),
        (extreme("min", compare("score", ">", json!(3))), "rules_by_score_idx", Bound::Limit { rows: Some(1) }),
    ] {
        let (model, certified) = certified(&mut client, function.clone()).await;
        let statements = certified.certificate.statements.as_slice();
        // A delete has a second one, for a known version, which goes by the same key.
        let (statement, known) = match statements {
            [statement] => (statement, None),
            [statement, known] => (statement, Some(known)),
            _ => panic!("{certified:?}"),
        };
        assert_eq!(known.is_some(), function["kind"] == "deleteRow");
        assert!(known.is_none_or(|known| known.reads[0].bound == bound), "{certified:?}");
        assert_eq!(statement.excesses, [], "{function} {certified:?}");
        let [read] = statement.reads.as_slice() else { panic!("{certified:?}") };
        if read.bound != range(&["text", "score"]) {
            assert_eq!(read.index.as_deref(), Some(index), "{function} {certified:?}");
        }
        assert_eq!(read.bound, bound, "{function} {certified:?}");
        assert_eq!(refusals(&model, &[certified], &BTreeSet::new()), []);
    }
}

#[tokio::test]
async fn writes_of_many_rows_are_bounded_by_an_index() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let values =
        json!({ "text": { "arg": "text" }, "score": 1, "rank": 2, "revealed": true, "author": { "arg": "author" } });
    let insert = |on_conflict: &str| json!({ "kind": "insertRows", "table": "rules", "values": values, "onConflict": on_conflict, "unique": "one_text" });
    let patch =
        |filter: Value| json!({ "kind": "patchRows", "table": "rules", "filter": filter, "values": { "rank": 3 } });
    let delete = |filter: Value| json!({ "kind": "deleteRows", "table": "rules", "filter": filter, "maxRows": 5 });
    for function in [
        insert("ignore"),
        insert("update"),
        patch(compare("score", ">", json!(3))),
        patch(compare("text", "=", json!("a"))),
        delete(compare("author", "=", json!({ "arg": "a" }))),
    ] {
        let (model, certified) = certified(&mut client, function.clone()).await;
        let [statement] = certified.certificate.statements.as_slice() else { panic!("{certified:?}") };
        assert_eq!(statement.excesses, [], "{function} {certified:?}");
        assert_eq!(refusals(&model, &[certified], &BTreeSet::new()), []);
    }
    let mut said = String::new();
    for function in [patch(compare("rank", "=", json!({ "arg": "r" }))), delete(json!([]))] {
        let (model, certified) = certified(&mut client, function).await;
        for diagnostic in refusals(&model, &[certified], &BTreeSet::new()) {
            said.push_str(&format!("{diagnostic}\n"));
        }
    }
    insta::assert_snapshot!(said, @r#"
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    "#);
}

#[tokio::test]
async fn what_is_embedded_is_led_to() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let tables = json!({
        "rules": { "columns": { "text": { "type": "string" }, "best": { "type": "id", "table": "votes", "optional": true } } },
        "votes": {
            "columns": {
                "rule": { "type": "id", "table": "rules" }, "user": { "type": "string" }, "weight": { "type": "integer" },
            },
            "indexes": { "by_weight": ["rule", "weight"], "by_rule": ["rule"] },
            "uniques": { "one_vote": ["rule", "user"] },
        },
    });
    let list = |order: Value| json!({ "table": "votes", "by": "rule", "limit": 7, "orderBy": order });
    let limit = Bound::Limit { rows: Some(7) };
    for (expand, index, bound) in [
        (json!({ "best": {} }), "votes_pkey", Bound::Key { columns: vec!["id".to_owned()] }),
        (json!({ "list": list(json!([])) }), "votes_by_rule_idx", limit.clone()),
        (json!({ "list": list(json!([{ "column": "weight", "dir": "desc" }])) }), "votes_by_weight_idx", limit.clone()),
        (json!({ "list": list(json!(["user"])) }), "votes_one_vote_key", limit),
    ] {
        for kind in ["getRow", "queryRows"] {
            let mut function = json!({ "kind": kind, "table": "rules", "expand": expand });
            if kind == "getRow" {
                function["id"] = json!({ "arg": "id" });
            }
            let (definition, complaints) = read(&document(tables.clone(), json!({ "f": function })));
            assert_eq!(complaints, []);
            let model = check(&definition).unwrap();
            let certified = certify(&mut client, &model).await.unwrap_or_else(|error| panic!("{error}"));
            let [statement] = certified[0].certificate.statements.as_slice() else { panic!("{certified:?}") };
            assert!(statement.is_bounded(), "{certified:#?}");
            let embedded = statement.reads.iter().find(|read| read.embedded.is_some()).unwrap();
            assert_eq!((embedded.index.as_deref(), &embedded.bound), (Some(index), &bound), "{certified:#?}");
        }
    }
}

#[tokio::test]
async fn what_nothing_bounds_is_refused_and_the_index_named() {
    let database = TestDatabase::new().await;
    let mut client = database.gateway_client().await;
    let count = |filter: Value| json!({ "kind": "countRows", "table": "rules", "filter": filter });
    let optional = |op: &str| json!({ "column": "rank", "op": op, "value": { "arg": "r", "validator": { "type": "integer", "optional": true } } });
    let desc = |column: &str| json!({ "column": column, "dir": "desc" });
    let negate = json!({ "negate": compare("rank", "=", json!(1)) });
    let mut said = String::new();
    for function in [
        query(json!([]), json!("rank")),
        query(compare("revealed", "=", json!(true)), json!(["score", "rank"])),
        query(compare("author", "=", json!({ "arg": "a" })), json!([desc("score")])),
        query(compare("author", "=", json!({ "arg": "a" })), json!("text")),
        // The index under a reference does not end in `id`, so it yields rows in no order.
        query(compare("author", "=", json!({ "arg": "a" })), json!([])),
        query(json!([]), json!(["score", desc("rank")])),
        query(json!([]), json!("alias")),
        query(optional("="), json!("rank")),
        count(json!([])),
        count(compare("rank", "=", json!(3))),
        count(compare("rank", "<", json!(3))),
        count(optional("=")),
        count(negate),
        listing(json!([])),
        listing(json!([{ "column": "score", "dir": "desc" }])),
        listing(json!([{ "column": "score" }, desc("rank")])),
        sums(json!([])),
        sums(compare("rank", "<", json!(3))),
        // Groups that come in an index's order have as many rows as they like.
        grouped("score", json!([])),
        grouped("score", compare("author", "!=", json!({ "arg": "a" }))),
        // The greatest of those with one rank is found by an index of both, or by walking.
        extreme("max", compare("rank", "=", json!({ "arg": "r" }))),
        json!({ "kind": "aggregateRows", "table": "rules", "select": { "least": { "min": "rank" }, "most": { "max": "rank" } } }),
        json!({ "kind": "aggregateRows", "table": "rules", "select": { "least": { "min": "rank" }, "most": { "max": "score" } } }),
    ] {
        let (model, certified) = certified(&mut client, function.clone()).await;
        let refused = refusals(&model, std::slice::from_ref(&certified), &BTreeSet::new());
        assert!(!refused.is_empty(), "{function} {certified:?}");
        for diagnostic in &refused {
            said.push_str(&format!("{diagnostic}\n"));
        }
        // Either way of accepting it is enough.
        assert_eq!(refusals(&model, std::slice::from_ref(&certified), &BTreeSet::from(["f".to_owned()])), []);
        let mut accepted = function.clone();
        accepted["scan"] = json!("allowed");
        let model = modelled(json!({ "f": accepted }));
        assert_eq!(refusals(&model, &[certified], &BTreeSet::new()), []);
    }
    insta::assert_snapshot!(said, @r#"
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: declare `:index("by_revealed_score_rank", { "revealed", "score", "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` may read the whole scope of table `rules` before it finds the rows that are asked for
      hint: declare `:index("by_author_score", { "author", "score" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` may read the whole scope of table `rules` before it finds the rows that are asked for
      hint: declare `:index("by_author_text", { "author", "text" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` may read the whole scope of table `rules` before it finds the rows that are asked for
      hint: declare `:index("by_author", { "author" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: order all columns in one direction, as an index does, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: declare `:index("by_alias", { "alias" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f`, called without its optional arguments, sorts the rows of table `rules` before it can answer the first
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f`, called without its optional arguments, reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f`, called with `r`, reads the whole scope of table `rules`
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` may read the whole scope of table `rules` for each row, as `list`
      hint: declare `:index("by_author", { "author" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` may read the whole scope of table `rules` for each row, as `list`
      hint: declare `:index("by_author_score", { "author", "score" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f` sorts all rows of table `rules` that refer to a row before it can list them, as `list`
      hint: order all columns in one direction, as an index does, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: declare `:index("by_rank_score", { "rank", "score" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` reads the whole scope of table `rules`
      hint: no index helps: say how many rows a scope may hold by `:rows(100000)` or fewer on table `rules`, or accept it by `scan = "allowed"`
    "#);
}

fn paged(filter: Value, order: Value, limit: Value) -> Value {
    let mut function = query(filter, order);
    (function["page"], function["limit"]) = (json!(true), limit);
    function
}

#[tokio::test]
async fn a_page_is_bounded_wherever_it_begins() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let asc = |column: &str| json!([column]);
    let desc = |column: &str| json!([{ "column": column, "dir": "desc" }]);
    let limit = json!({ "arg": "limit", "validator": { "type": "integer", "max": 50, "default": 20 } });
    let optional = json!({ "column": "score", "op": ">", "value": { "arg": "s", "validator": { "type": "integer", "optional": true } } });
    for (filter, order, limit, index, statements) in [
        (json!([]), json!([]), json!(20), "rules_pkey", 3),
        (json!([]), asc("score"), json!(20), "rules_by_score_idx", 3),
        (json!([]), desc("score"), limit.clone(), "rules_by_score_idx", 3),
        (compare("revealed", "=", json!(true)), desc("rank"), json!(20), "rules_by_rank_idx", 3),
        (compare("rank", ">", json!(3)), asc("score"), json!(20), "rules_by_score_idx", 3),
        (optional.clone(), asc("score"), limit.clone(), "rules_by_score_idx", 6),
    ] {
        let function = paged(filter, order, limit.clone());
        let (model, certified) = certified(&mut client, function.clone()).await;
        let found = &certified.certificate.statements;
        assert_eq!(found.len(), statements, "{function}");
        for (place, statement) in found.iter().enumerate() {
            assert_eq!((statement.excesses.as_slice(), statement.sorts), (&[][..], false), "{function} {certified:?}");
            assert_eq!(statement.given.iter().any(|name| name == "cursor"), place % 3 > 0, "{certified:?}");
            let [read] = statement.reads.as_slice() else { panic!("{certified:?}") };
            assert_eq!(read.index.as_deref(), Some(index), "{function} {certified:?}");
            // One more than is answered is read.
            let rows = if limit == json!(20) { 21 } else { 51 };
            assert_eq!(read.bound, Bound::Limit { rows: Some(rows) }, "{function} {certified:?}");
        }
        assert_eq!(refusals(&model, &[certified], &BTreeSet::new()), []);
    }

    // What nothing bounds is told of the first page, and once.
    let mut said = String::new();
    for (filter, order) in [
        (json!([]), asc("rank")),
        (compare("author", "=", json!({ "arg": "a" })), desc("score")),
        (json!([]), json!(["score", { "column": "rank", "dir": "desc" }])),
        (json!([]), asc("alias")),
    ] {
        let (model, certified) = certified(&mut client, paged(filter, order, json!(20))).await;
        for statement in &certified.certificate.statements {
            assert!(!statement.excesses.is_empty(), "{statement:?}");
        }
        for diagnostic in refusals(&model, &[certified], &BTreeSet::new()) {
            said.push_str(&format!("{diagnostic}\n"));
        }
    }
    insta::assert_snapshot!(said, @r#"
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: declare `:index("by_rank_2", { "rank" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_scan]: function `f` may read the whole scope of table `rules` before it finds the rows that are asked for
      hint: declare `:index("by_author_score", { "author", "score" })` on table `rules`, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: order all columns in one direction, as an index does, or accept it by `scan = "allowed"`
    /functions/f: error[unbounded_sort]: function `f` sorts the rows of table `rules` before it can answer the first
      hint: declare `:index("by_alias", { "alias" })` on table `rules`, or accept it by `scan = "allowed"`
    "#);
}

/// What would bound what is not bounded of a statement, each with the table it is for.
fn left(model: &Model, function: &Function, cost: &StatementCost) -> Vec<(String, Suggestion)> {
    let of_rows = (function.body.table().to_string(), suggestion(model, function, &cost.given));
    let mut left: Vec<(String, Suggestion)> = cost.excesses.first().map(|_| of_rows).into_iter().collect();
    for EmbeddedExcess { member, .. } in &cost.embedded_excesses {
        let expand = function.body.expand().iter().find(|expand| expand.name == **member).unwrap();
        left.push((expand.table.to_string(), list_suggestion(model, expand)));
    }
    left
}

/// Declares what the complaints about the extension's functions name; answers how many there were.
fn declare(definition: &mut Definition, model: &Model, certified: &[Certified]) -> usize {
    let mut declared = 0;
    for (function, certified) in model.functions.iter().zip(certified) {
        for (table, suggestion) in certified.certificate.statements.iter().flat_map(|one| left(model, function, one)) {
            let table = definition.tables.get_mut(&table).unwrap();
            if let Suggestion::Index { name, columns } = suggestion {
                if table.indexes.values().any(|known| *known == columns) {
                    continue;
                }
                let name = if table.indexes.contains_key(&name) { format!("{name}_{declared}_more") } else { name };
                table.indexes.insert(name, columns);
                declared += 1;
            }
        }
    }
    declared
}

#[tokio::test]
async fn a_suggested_index_is_enough() {
    let database = TestDatabase::new().await;
    let mut client = database.gateway_client().await;
    let cases = std::env::var("ROWGATE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(60);
    let seed = std::env::var("ROWGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7_u64);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = prop::collection::vec(any::<u32>(), 300..1500);
    let (mut suggested, mut refused_for_good) = (0, 0);
    for _ in 0..cases {
        let choices = strategy.new_tree(&mut runner).unwrap().current();
        let mut definition = generate::definition(&choices);
        let model = check(&definition).unwrap();
        let before = certify(&mut client, &model).await.unwrap_or_else(|error| panic!("{error}"));
        suggested += declare(&mut definition, &model, &before);
        let model = check(&definition).unwrap_or_else(|complaints| panic!("{complaints:#?}"));
        let after = certify(&mut client, &model).await.unwrap_or_else(|error| panic!("{error}"));
        for (function, certified) in model.functions.iter().zip(&after) {
            for (statement, plan) in certified.certificate.statements.iter().zip(&certified.plans) {
                if statement.is_bounded() {
                    continue;
                }
                let left = left(&model, function, statement);
                assert!(
                    !left.iter().any(|(_, left)| matches!(left, Suggestion::Index { .. })),
                    "ROWGATE_SEED={seed}: {left:?} was declared\n{function:#?}\n{statement:#?}\n{plan:#?}\n{}",
                    serde_json::to_string_pretty(&definition).unwrap()
                );
                refused_for_good += 1;
            }
        }
    }
    assert!(suggested > cases / 8 && refused_for_good > 0, "{suggested} {refused_for_good}");
}

#[tokio::test]
async fn nothing_of_the_shadow_stays() {
    let database = TestDatabase::new().await;
    // Nobody else may see what a session has prepared.
    let mut client = database.client().await;
    let model = modelled(json!({ "f": query(json!([]), json!("score")) }));
    for _ in 0..2 {
        certify(&mut client, &model).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%shadow%' OR nspname LIKE 'ext!_%' ESCAPE '!'";
    assert_eq!(client.query_one(left, &[]).await.unwrap().get::<_, i64>(0), 0);
    let prepared = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'rowgate%'";
    assert_eq!(client.query_one(prepared, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn ones_own_rows_are_a_range_of_an_index() {
    let database = TestDatabase::new().await;
    let mut client = database.client().await;
    let tables = json!({ "notes": {
        "columns": { "text": { "type": "string" }, "score": { "type": "integer" } },
        "owned": true,
    } });
    let functions = json!({
        "count": { "kind": "countRows", "table": "notes", "own": true },
        "get": { "kind": "getRow", "table": "notes", "own": true, "id": { "arg": "id" } },
        "list": { "kind": "queryRows", "table": "notes", "own": true, "limit": 20 },
        "sorted": { "kind": "queryRows", "table": "notes", "own": true, "orderBy": ["score"], "limit": 20 },
    });
    let (definition, complaints) = read(&document(tables, functions));
    assert_eq!(complaints, []);
    let model = check(&definition).unwrap();
    let certified = certify(&mut client, &model).await.unwrap();
    let bounds: Vec<String> = certified
        .iter()
        .map(|certified| {
            let certificate = &certified.certificate;
            let [read] = certificate.statements[0].reads.as_slice() else { panic!("{certified:?}") };
            format!("{}: {} by {}", certificate.function, read.bound, read.index.as_deref().unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(bounds.join("\n"), @"
    count: the rows with the values asked for of owner_id by notes_owner_id_ref
    get: one row, by the unique key (id) by notes_pkey
    list: at most 20 rows, in the index's order by notes_owner_id_ref
    sorted: the rows with the values asked for of owner_id by notes_owner_id_ref
    ");
    let refused: Vec<String> = refusals(&model, &certified, &BTreeSet::new()).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(refused.join("\n"), @r#"
    /functions/sorted: error[unbounded_sort]: function `sorted` sorts the rows of table `notes` before it can answer the first
      hint: declare `:index("by_owner_id_score", { "owner_id", "score" })` on table `notes`, or accept it by `scan = "allowed"`
    "#);
}
