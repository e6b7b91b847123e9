//! What a deploy costs before the database is asked: a definition read, checked, compiled and
//! turned into statements, and the Luau files of an example evaluated.
//!
//! Of processor time. `compile/whole/100` beside `compile/statements/100` is what `rowgate plan`
//! takes for an extension of 100 tables; both together are to stay below 100 ms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
mod support;

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion};
use rowgate::deploy::notation::luau::{self, LuauFiles, Source};
use rowgate::registry::compile_all;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::ddl::build;
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::diff::diff;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use serde_json::{Map, Value, json};

use crate::support::Cpu;

fn main() {
    let mut criterion = support::criterion();
    compile(&mut criterion);
    notation(&mut criterion);
    criterion.final_summary();
}

fn compile(criterion: &mut Criterion<Cpu>) {
    let mut group = criterion.benchmark_group("compile");
    for tables in [1, 10, 100] {
        let document = document(tables);
        group.bench_function(BenchmarkId::new("whole", tables), |bencher| {
            bencher.iter(|| compile_all(&model(black_box(&document))).unwrap());
        });
    }
    let document = document(100);
    let (definition, _) = read(&document);
    let model = model(&document);
    group.bench_function("read/100", |bencher| bencher.iter(|| read(black_box(&document))));
    group.bench_function("check/100", |bencher| bencher.iter(|| check(black_box(&definition)).unwrap()));
    group.bench_function("plans/100", |bencher| bencher.iter(|| compile_all(black_box(&model)).unwrap()));
    group.bench_function("statements/100", |bencher| {
        bencher.iter(|| build(black_box(&model)));
    });
    group.bench_function("no_change/100", |bencher| {
        bencher.iter(|| diff(Some(&align(black_box(&model), black_box(&model))), black_box(&model)).len());
    });
    group.finish();
}

fn notation(criterion: &mut Criterion<Cpu>) {
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/live-poll/server");
    let source = |name: &str| {
        let text = std::fs::read_to_string(server.join(name)).unwrap();
        Some(Source { name: format!("server/{name}"), text })
    };
    let files = LuauFiles { schema: source("schema.luau"), functions: source("functions.luau"), modules: Vec::new() };
    criterion.bench_function("luau/live-poll", |bencher| {
        bencher.iter(|| {
            let notation = luau::read(black_box(&files));
            assert!(notation.diagnostics.is_empty(), "{:?}", notation.diagnostics);
            notation
        });
    });
}

fn model(document: &Value) -> Model {
    let (definition, diagnostics) = read(document);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    check(&definition).unwrap()
}

/// An extension of so many tables, each with seven columns, two indexes, a reference to the one
/// before it, and six functions.
fn document(count: usize) -> Value {
    let (mut tables, mut functions) = (Map::new(), Map::new());
    for number in 0..count {
        let table = format!("table{number}");
        let parent = format!("table{}", number.saturating_sub(1));
        tables.insert(
            table.clone(),
            json!({
                "columns": {
                    "title": { "type": "string", "min": 1, "max": 280 },
                    "done": { "type": "boolean", "default": false },
                    "score": { "type": "integer", "default": 0, "min": 0 },
                    "kind": { "type": "enum", "values": ["fun", "serious"], "optional": true },
                    "tags": { "type": "array", "items": { "type": "string", "max": 32 }, "max": 8, "optional": true },
                    "seen_at": { "type": "timestamp", "optional": true },
                    "parent": { "type": "id", "table": parent, "onDelete": "cascade", "optional": true },
                },
                "indexes": { "by_score": ["done", "score"] },
                "uniques": { "one_title": ["title"] },
            }),
        );
        let mut add = |name: &str, function: Value| functions.insert(format!("{name}{number}"), function);
        add(
            "list",
            json!({
                "kind": "queryRows", "table": table, "orderBy": "score", "orderDir": "desc",
                "filter": { "all": [
                    { "column": "done", "op": "=", "value": true },
                    { "column": "score", "op": ">=",
                      "value": { "arg": "min", "validator": { "type": "integer", "optional": true } } },
                ] },
                "limit": { "arg": "limit", "validator": { "type": "integer", "max": 100, "default": 20 } },
            }),
        );
        add("get", json!({ "kind": "getRow", "table": table, "id": { "arg": "id" } }));
        add("count", json!({ "kind": "countRows", "table": table }));
        add(
            "add",
            json!({
                "kind": "insertRow", "table": table,
                "values": { "title": { "arg": "title" }, "kind": { "arg": "kind" }, "tags": { "arg": "tags" } },
            }),
        );
        add(
            "bump",
            json!({
                "kind": "patchRow", "table": table, "id": { "arg": "id" }, "values": { "score": { "increment": 1 } },
            }),
        );
        add("remove", json!({ "kind": "deleteRow", "table": table, "id": { "arg": "id" } }));
    }
    json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "bench", "version": "1.0.0" },
        "tables": tables,
        "functions": functions,
    })
}
