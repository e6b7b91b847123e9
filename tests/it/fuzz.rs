//! Mutated input for everything that reads what strangers write: call bodies, cursors, definition
//! documents, Luau bundles. A moment in each run of the tests; `ROWGATE_FUZZ_S` seconds where it is set.
//!
//! There is no instrumentation: an input is kept and mutated further when what it came to, such as a new
//! set of complaints, was not seen before. A failure prints the input and the seed it was made with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod mutate;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_types::ToSql;
use rowgate::db::parameter::Parameter;
use rowgate::deploy::notation::luau::{self, LuauFiles, Source};
use rowgate::error::Failure;
use rowgate::plan::Plan;
use rowgate::plan::argument::Given;
use rowgate::plan::compile::compile;
use rowgate::plan::cursor::{CursorKey, Origin, push_value};
use rowgate::plan::page::Turn;
use rowgate::plan::statement::{Binding, Statement};
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::ddl::build;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::diff::diff;
use rowgate_schema_dsl::function::Function;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use rowgate_schema_dsl::row_schema;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fuzz::mutate::Random;

/// What is kept of one target; the first ones, which everything grew from, among them.
const KEPT_MAX: usize = 5_000;
/// Nothing that is refused or answered takes longer, on a slow machine without optimisation.
const CASE_MAX: Duration = Duration::from_secs(10);
const DEPTH_MAX: usize = 64;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Mutates from `corpus` by `mutate` and has `judge` look at each input; what it answers tells inputs
/// apart that are worth going on from.
fn fuzz<I: Clone>(
    target: &str,
    corpus: Vec<I>,
    mutate: impl Fn(&mut Random, &[I]) -> I,
    show: impl Fn(&I) -> String,
    judge: impl Fn(&I) -> String,
) {
    let seconds =
        std::env::var("ROWGATE_FUZZ_S").ok().map(|text| text.parse::<u64>().expect("ROWGATE_FUZZ_S: seconds"));
    let lasts = seconds.map_or(Duration::from_millis(1_500), Duration::from_secs);
    // The same every time in a short run, another in each long one.
    let mut seed = if seconds.is_some() { std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 } else { 7 };
    let (began, mut corpus, mut seen, mut count) = (Instant::now(), corpus, HashSet::new(), 0_u64);
    assert!(!corpus.is_empty());
    let first: Vec<I> = corpus.clone();
    let mut queue = first.into_iter();
    while began.elapsed() < lasts {
        seed = seed.wrapping_add(1);
        let input = queue.next().unwrap_or_else(|| mutate(&mut Random::new(seed), &corpus));
        let started = Instant::now();
        let judged = catch_unwind(AssertUnwindSafe(|| judge(&input)));
        let Ok(came_to) = judged else {
            panic!("{target}, case {count}, seed {seed}:\n{}", show(&input));
        };
        assert!(started.elapsed() < CASE_MAX, "{target} took {:?}:\n{}", started.elapsed(), show(&input));
        count += 1;
        if corpus.len() < KEPT_MAX && seen.insert(came_to) {
            corpus.push(input);
        }
    }
    let per_s = count as f64 / began.elapsed().as_secs_f64();
    println!("{target}: {count} cases, {per_s:.0} a second, {} kept", corpus.len());
    assert!(count > 20, "{target}: only {count} cases");
}

/// The documents of the examples and of the corpus of changes.
fn documents() -> Vec<Value> {
    let mut documents = Vec::new();
    for bundle in std::fs::read_dir(root().join("examples")).unwrap() {
        let bundle = rowgate::deploy::bundle::read_bundle(&bundle.unwrap().path()).unwrap();
        assert_eq!(bundle.diagnostics, []);
        documents.push(serde_json::to_value(&bundle.definition).unwrap());
    }
    for case in std::fs::read_dir(root().join("schema-dsl/tests/cases")).unwrap() {
        for name in ["before.json", "after.json"] {
            if let Ok(text) = std::fs::read_to_string(case.as_ref().unwrap().path().join(name)) {
                documents.push(serde_json::from_str(&text).unwrap());
            }
        }
    }
    assert!(documents.len() > 20, "{}", documents.len());
    documents
}

/// The functions of the examples, with what their arguments look like.
fn functions() -> Vec<(Model, Function, Arc<Plan>)> {
    let models = documents().into_iter().filter_map(|document| {
        let (definition, complaints) = read(&document);
        complaints.is_empty().then(|| check(&definition).ok()).flatten()
    });
    let mut functions = Vec::new();
    for model in models {
        for function in &model.functions {
            functions.push((model.clone(), function.clone(), Arc::new(compile(&model, function).unwrap())));
        }
    }
    assert!(functions.len() > 10, "{}", functions.len());
    functions
}

fn codes_of(failure: &Failure) -> String {
    let mut codes: Vec<&str> = failure.complaints.iter().map(|complaint| complaint.code).collect();
    codes.sort_unstable();
    codes.dedup();
    format!("{} {}", failure.code.as_str(), codes.join(" "))
}

#[test]
fn call_bodies() {
    let functions = functions();
    let mut corpus: Vec<(usize, Vec<u8>)> = Vec::new();
    for (place, (model, function, _)) in functions.iter().enumerate() {
        corpus.push((place, Vec::new()));
        let schema = serde_json::to_value(row_schema::arguments_schema(function, model)).unwrap();
        corpus.push((place, mutate::like(&schema, &mut Random::new(place as u64)).to_string().into_bytes()));
    }
    let mutate = |random: &mut Random, corpus: &[(usize, Vec<u8>)]| {
        let (place, body) = random.of(corpus).clone();
        let place = if random.one_in(8) { random.below(functions.len()) } else { place };
        let (model, function, _) = &functions[place];
        if random.one_in(6) {
            let schema = serde_json::to_value(row_schema::arguments_schema(function, model)).unwrap();
            return (place, mutate::like(&schema, random).to_string().into_bytes());
        }
        let other = &random.of(corpus).1;
        match serde_json::from_slice::<Value>(&body) {
            Ok(value) if !random.one_in(3) => {
                let other = serde_json::from_slice(other).unwrap_or_default();
                (place, mutate::value(random, value, &other).to_string().into_bytes())
            }
            _ => (place, mutate::bytes(random, body, other)),
        }
    };
    let show =
        |(place, body): &(usize, Vec<u8>)| format!("function `{}`: {}", functions[*place].1.name, body.escape_ascii());
    let key = Arc::new(CursorKey::new(b"fuzz"));
    fuzz("call bodies", corpus, mutate, show, |(place, body)| {
        let (_, function, plan) = &functions[*place];
        let given = match plan.arguments.parse(body, DEPTH_MAX) {
            Ok(given) => given,
            Err(failure) => {
                assert!(failure.complaints.len() <= 100);
                return format!("{} {}", function.name, codes_of(&failure));
            }
        };
        // What is taken is JSON, says another parser, and an object.
        if !body.trim_ascii().is_empty() {
            let value: Value = serde_json::from_slice(body).expect("what is no JSON was taken");
            assert!(value.is_object(), "{value}");
        }
        let turn = match plan.page().map(|page| page.turn(&given, Uuid::nil(), &key)) {
            Some(Ok(turn)) => Some(turn),
            Some(Err(failure)) => return format!("{} {}", function.name, codes_of(&failure)),
            None => None,
        };
        let side = turn.as_ref().map_or(rowgate::plan::page::Side::First, Turn::side);
        if plan.steps.is_empty() {
            bind(plan.statement_of(&given, side).expect("no statement for these arguments"), &given);
        }
        for step in &plan.steps {
            let given = given.of_step(&step.takes, step.list, Uuid::now_v7);
            bind(step.plan.statement_of(&given, side).expect("no statement for these arguments"), &given);
        }
        let given: String = given.values.iter().map(|value| if value.is_some() { '1' } else { '0' }).collect();
        format!("{} {given}", function.name)
    });
}

/// Writes every parameter of a statement, as it would be sent.
fn bind(statement: &Statement, given: &Given) {
    assert_eq!(statement.bindings.len(), statement.types.len());
    let mut bytes = BytesMut::new();
    for (binding, wire_type) in statement.bindings.iter().zip(&statement.types) {
        let parameter = match binding {
            Binding::Argument(place) => given.get(*place).map_or(Parameter::Null, Parameter::Typed),
            Binding::ArgumentOr(place, default) => Parameter::Typed(given.get(*place).unwrap_or(default)),
            Binding::Literal(value) => Parameter::Typed(value),
            Binding::Element { argument, element } => {
                given.get(*argument).map_or(Parameter::Null, |value| Parameter::Element(*element, value))
            }
            Binding::Pattern { argument, anchor } => match given.get(*argument) {
                Some(rowgate_schema_dsl::value::Typed::Text(text)) => Parameter::Pattern { text, anchor: *anchor },
                _ => Parameter::Null,
            },
            _ => Parameter::Uuid(Uuid::nil()),
        };
        parameter.to_sql(wire_type, &mut bytes).expect("what was taken cannot be bound");
    }
}

#[test]
fn definition_documents() {
    let mutate = |random: &mut Random, corpus: &[Value]| {
        let (document, other) = (random.of(corpus).clone(), random.of(corpus));
        let mut document = mutate::value(random, document, other);
        while random.one_in(3) {
            document = mutate::value(random, document, other);
        }
        document
    };
    let show = |document: &Value| document.to_string();
    fuzz("definition documents", documents(), mutate, show, |document| {
        let (definition, mut complaints) = read(document);
        if complaints.is_empty() {
            match check(&definition) {
                Ok(model) => return deployed(&definition, &model),
                Err(found) => complaints = found,
            }
            assert!(!complaints.is_empty(), "refused without a word");
        }
        let mut codes: Vec<&str> = complaints.iter().map(|complaint| complaint.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.join(" ")
    });
}

/// What follows of a definition that the checks let pass; all of it must.
fn deployed(definition: &Definition, model: &Model) -> String {
    assert!(build(model).statements().count() > model.tables.len());
    assert!(diff(Some(&align(model, model)), model).is_empty(), "a definition differs from itself");
    let mut kinds: HashMap<&str, usize> = HashMap::new();
    for function in &model.functions {
        // The compiler's own proof is part of this.
        let plan = compile(model, function).unwrap_or_else(|error| panic!("`{}`: {error}", function.name));
        *kinds.entry(plan.kind).or_default() += 1;
        row_schema::arguments_schema(function, model);
        row_schema::result_schema(function, model);
    }
    // As it is recorded and read again.
    let recorded = serde_json::to_value(definition).unwrap();
    let (again, complaints) = read(&recorded);
    assert_eq!(complaints, [], "{recorded}");
    assert_eq!(&again, definition);
    let mut kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{kind} {}", count.min(3))).collect();
    kinds.sort();
    format!("sound {} {}", model.tables.len().min(5), kinds.join(" "))
}

#[test]
fn luau_bundles() {
    let mut corpus = Vec::new();
    for bundle in ["examples/live-poll", "examples/every-type", "benches/load/bundle"] {
        let text = |name: &str| std::fs::read_to_string(root().join(bundle).join("server").join(name)).unwrap();
        corpus.push([text("schema.luau").into_bytes(), text("functions.luau").into_bytes()]);
    }
    let mutate = |random: &mut Random, corpus: &[[Vec<u8>; 2]]| {
        let mut files = random.of(corpus).clone();
        let file = random.below(2);
        let other = random.of(corpus)[file].clone();
        let text = std::mem::take(&mut files[file]);
        files[file] = mutate::words(random, text, &other);
        files
    };
    let show =
        |files: &[Vec<u8>; 2]| files.iter().map(|file| file.escape_ascii().to_string()).collect::<Vec<_>>().join("\n");
    fuzz("luau bundles", corpus, mutate, show, |[schema, functions]| {
        let source = |name: &str, text: &[u8]| {
            Some(Source { name: name.to_owned(), text: String::from_utf8_lossy(text).into_owned() })
        };
        let files = LuauFiles {
            schema: source("server/schema.luau", schema),
            functions: source("server/functions.luau", functions),
            modules: Vec::new(),
        };
        let notation = luau::read(&files);
        let document = json!({
            "rowgate": 1,
            "extension": { "id": Uuid::nil(), "name": "fuzz", "version": "1" },
            "tables": notation.tables,
            "functions": notation.functions,
        });
        let (definition, mut complaints) = read(&document);
        complaints.extend(notation.diagnostics);
        if complaints.is_empty()
            && let Err(found) = check(&definition)
        {
            complaints = found;
        }
        let mut codes: Vec<&str> = complaints.iter().map(|complaint| complaint.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.join(" ")
    });
}

#[test]
fn cursors() {
    let (key, other_key) = (CursorKey::new(b"fuzz"), CursorKey::new(b"another"));
    let (shape, other_shape, install) = ([7; 32], [8; 32], Uuid::from_u128(7));
    let origin = Origin { shape: &shape, install };
    let write = |key: &CursorKey, origin: Origin<'_>, backward: bool, values: &[Option<&[u8]>]| {
        let (mut bytes, mut text) = (Vec::new(), Vec::new());
        values.iter().for_each(|value| push_value(&mut bytes, *value));
        key.write(&mut text, origin, backward, &bytes);
        serde_json::from_slice::<String>(&text).unwrap().into_bytes()
    };
    let mut corpus = Vec::new();
    let long = [7; 3_000];
    for values in [&[][..], &[Some(&[0; 8][..]), Some(&[7; 16])], &[None, Some(&[7; 16])], &[Some(&long), None]] {
        for backward in [false, true] {
            corpus.push(write(&key, origin, backward, values));
        }
    }
    let genuine: HashSet<Vec<u8>> = corpus.iter().cloned().collect();
    // Sound, and of another gateway, another function or another install.
    let foreign = [
        write(&other_key, origin, false, &[None]),
        write(&key, Origin { shape: &other_shape, install }, false, &[None]),
        write(&key, Origin { shape: &shape, install: Uuid::nil() }, false, &[None]),
    ];
    corpus.extend(foreign);
    let mutate = |random: &mut Random, corpus: &[Vec<u8>]| {
        let cursor = random.of(corpus).clone();
        let other = random.of(corpus).clone();
        mutate::bytes(random, cursor, &other)
    };
    fuzz(
        "cursors",
        corpus,
        mutate,
        |cursor| cursor.escape_ascii().to_string(),
        |cursor| {
            let Ok(text) = std::str::from_utf8(cursor) else { return String::new() };
            match key.read(text, origin) {
                Some(place) => {
                    assert!(genuine.contains(cursor), "a cursor that was not made here was taken");
                    format!("{} {}", place.backward, place.values().count())
                }
                None => {
                    assert!(!genuine.contains(cursor), "a cursor that was made here was refused");
                    format!("refused {}", text.len() % 4)
                }
            }
        },
    );
}
