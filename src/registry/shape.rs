//! What a handler asks of the database, as one of the declared functions: the same reader, checker,
//! compiler and proof judge it, and the same scope binds it.
//!
//! A question is taken apart into its shape (tables, columns, operators) and its values. The shape
//! is compiled once for each revision and kept; the values are the arguments of its plan. A handler
//! may see and compare private columns, which a page may not.

mod question;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use rowgate_schema_dsl::check::{check, check_function};
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read_function;
use serde_json::Value;

use crate::error::Failure;
use crate::plan::Plan;
use crate::plan::compile::compile;
use crate::registry::shape::question::{Question, fault, question};
use crate::script::machine::Fault;

/// Plans kept for one revision; the longest unused is compiled anew.
const SHAPES_MAX: usize = 256;
/// Bytes of the text that is kept for one revision: SQL, and the shapes it was made of.
const TEXT_BYTES_MAX: usize = 2 << 20;

/// The name a shape's function has, which nobody sees.
const NAME: &str = "shape";

/// One revision's tables, and the plans of what its handlers asked.
#[derive(Debug)]
pub struct Shapes {
    /// The tables without anything private, and what they are made of; none without handlers.
    tables: Option<(Definition, Model)>,
    kept: Mutex<Kept>,
}

/// The plans by their shape, and the bytes of both.
#[derive(Debug)]
struct Kept {
    plans: LruCache<String, Arc<Plan>>,
    text_bytes: usize,
}

/// A question ready to run.
#[derive(Debug)]
pub struct Asked {
    pub plan: Arc<Plan>,
    /// JSON object of the plan's arguments.
    pub arguments: Vec<u8>,
    /// The column or option that each argument is for.
    places: Vec<(String, String)>,
}

impl Shapes {
    /// Of a revision with handlers; `definition` is sound.
    pub fn new(definition: &Definition) -> Shapes {
        let mut tables = Definition {
            rowgate: definition.rowgate,
            extension: definition.extension.clone(),
            tables: definition.tables.clone(),
            functions: Default::default(),
            handlers: Default::default(),
            sources: Default::default(),
        };
        for table in tables.tables.values_mut() {
            table.columns.values_mut().for_each(|column| column.private = false);
        }
        // INVARIANT: tables that were sound with private columns are so without.
        let model = if definition.handlers.is_empty() { None } else { check(&tables).ok() };
        let kept = Kept { plans: LruCache::unbounded(), text_bytes: 0 };
        Shapes { tables: model.map(|model| (tables, model)), kept: Mutex::new(kept) }
    }

    /// The plan of what `operation`, such as `db.query`, asks with `arguments`, a JSON array.
    pub fn plan(&self, operation: &str, arguments: &[u8]) -> Result<Asked, Fault> {
        let given: Vec<Value> = serde_json::from_slice(arguments).map_err(|_| fault("the arguments are not JSON"))?;
        let (definition, model) = self.tables.as_ref().ok_or_else(|| fault("the extension has no tables"))?;
        let Question { function, arguments, places } = question(operation, &given, definition)?;
        let arguments = Value::Object(arguments).to_string().into_bytes();
        let function = Value::Object(function);
        let shape = function.to_string();
        let known = self.kept().plans.get(&shape).cloned();
        let plan = match known {
            Some(plan) => plan,
            None => {
                let plan = Arc::new(planned(definition, model, &function, &places)?);
                self.kept().keep(shape, Arc::clone(&plan));
                plan
            }
        };
        Ok(Asked { plan, arguments, places })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, shape: String, plan: Arc<Plan>) {
        self.text_bytes += text_bytes(&shape, &plan);
        if let Some((shape, plan)) = self.plans.push(shape, plan) {
            // Another call has compiled it meanwhile.
            self.text_bytes -= text_bytes(&shape, &plan);
        }
        while self.plans.len() > SHAPES_MAX || self.text_bytes > TEXT_BYTES_MAX {
            let Some((shape, plan)) = self.plans.pop_lru() else { return };
            self.text_bytes -= text_bytes(&shape, &plan);
        }
    }
}

impl Asked {
    /// Why its arguments are refused, in the words of who asked.
    pub fn refused(&self, mut failure: Failure) -> Failure {
        for complaint in &mut failure.complaints {
            let (name, rest) = split(&complaint.pointer);
            if let Some((name, place)) = self.places.iter().find(|(known, _)| known == name) {
                complaint.message =
                    complaint.message.replace(&format!("`{name}`"), &format!("the value for `{place}`"));
                complaint.pointer = format!("/{place}{rest}");
            }
        }
        if let [first, ..] = failure.complaints.as_slice() {
            failure.detail = format!("{}: {}", first.pointer.trim_start_matches('/'), first.message).into();
        }
        failure
    }
}

fn planned(
    definition: &Definition,
    model: &Model,
    function: &Value,
    places: &[(String, String)],
) -> Result<Plan, Fault> {
    let refused = |diagnostics: Vec<Diagnostic>| {
        diagnostics.first().map_or_else(|| fault("the question is refused"), |first| said(first, places))
    };
    let declared = read_function(function, "").map_err(refused)?;
    let function = check_function(definition, model, NAME, &declared).map_err(refused)?;
    compile(model, &function).map_err(|error| fault(&error.to_string()))
}

fn text_bytes(shape: &str, plan: &Plan) -> usize {
    shape.len() + plan.statements().map(|statement| statement.sql.len()).sum::<usize>()
}

/// The first part of a JSON pointer, and what is behind it.
fn split(pointer: &str) -> (&str, &str) {
    let name = pointer.trim_start_matches('/');
    name.find('/').map_or((name, ""), |end| name.split_at(end))
}

/// What a checker says of the shape, in the words of who asked.
fn said(diagnostic: &Diagnostic, places: &[(String, String)]) -> Fault {
    let mut message = diagnostic.message.clone();
    for (name, place) in places.iter().rev() {
        message = message.replace(&format!("argument `{name}`"), &format!("the value for `{place}`"));
    }
    if let Some(hint) = &diagnostic.hint {
        message = format!("{message}; {hint}");
    }
    Fault { code: Some(diagnostic.code.to_owned()), message, ..Fault::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use rowgate_schema_dsl::read::read;
    use serde_json::json;

    use super::*;

    /// A revision with one handler, which asks what it likes.
    fn definition() -> Definition {
        let (definition, complaints) = read(&json!({
            "rowgate": 1,
            "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
            "tables": { "notes": { "columns": {
                "text": { "type": "string", "private": true },
                "score": { "type": "integer", "default": 0 },
                "tags": { "type": "array", "items": { "type": "string" }, "optional": true },
                "more": { "type": "json", "optional": true },
            } } },
            "handlers": { "ask": { "kind": "mutation" } },
            "sources": { "functions": "" },
        }));
        assert_eq!(complaints, Vec::new());
        definition
    }

    fn asked(operation: &str, given: &Value) -> String {
        match question(operation, given.as_array().unwrap(), &definition()) {
            Ok(question) => format!("{}\n{}", Value::Object(question.function), Value::Object(question.arguments)),
            Err(fault) => fault.message,
        }
    }

    fn plan(shapes: &Shapes, operation: &str, given: &Value) -> Result<Asked, String> {
        shapes.plan(operation, given.to_string().as_bytes()).map_err(|fault| fault.message)
    }

    #[test]
    fn questions_are_taken_apart_into_shape_and_values() {
        insta::assert_snapshot!(asked(
            "db.query",
            &json!(["notes", { "filter": { "done": false }, "orderBy": "score", "limit": 5, "own": true }])
        ), @r#"
    {"kind":"queryRows","table":"notes","filter":{"column":"done","op":"=","value":{"arg":"value1"}},"orderBy":"score","limit":{"arg":"value2"},"own":true}
    {"value1":false,"value2":5}
    "#);
        insta::assert_snapshot!(asked(
            "db.count",
            &json!(["notes", { "filter": [{ "any": [{ "a": 1 }, { "b": null }] }, { "column": "c", "op": ">", "value": "x' OR 1" }] }])
        ), @r#"
    {"kind":"countRows","table":"notes","filter":{"all":[{"any":[{"column":"a","op":"=","value":{"arg":"value1"}},{"column":"b","op":"isNull","value":true}]},{"column":"c","op":">","value":{"arg":"value2"}}]}}
    {"value1":1,"value2":"x' OR 1"}
    "#);
        insta::assert_snapshot!(asked(
            "db.patch",
            &json!(["notes", "id-1", { "score": { "increment": 1 }, "text": "a", "tags": { "append": "b" } }])
        ), @r#"
    {"kind":"patchRow","table":"notes","id":{"arg":"value1"},"values":{"score":{"increment":{"arg":"value2"}},"text":{"arg":"value3"},"tags":{"append":{"arg":"value4"}}}}
    {"value1":"id-1","value2":1,"value3":"a","value4":"b"}
    "#);
        insta::assert_snapshot!(asked(
            "db.aggregate",
            &json!(["notes", { "groupBy": ["text"], "select": { "n": { "count": true } }, "having": { "n": 2 } }])
        ), @r#"
    {"kind":"aggregateRows","table":"notes","groupBy":["text"],"select":{"n":{"count":true}},"having":{"column":"n","op":"=","value":{"arg":"value1"}}}
    {"value1":2}
    "#);
        insta::assert_snapshot!(asked(
            "db.insertMany",
            &json!(["notes", [{ "text": "a", "score": 1 }, { "tags": {}, "text": "b" }]])
        ), @r#"
    {"kind":"insertRows","table":"notes","values":{"score":{"arg":"score"},"tags":{"arg":"tags"},"text":{"arg":"text"}}}
    {"rows":[{"text":"a","score":1},{"tags":[],"text":"b"}]}
    "#);
    }

    /// An object is a change of a number or a list, and data where data may be an object.
    #[test]
    fn a_column_of_objects_holds_what_would_be_a_change_elsewhere() {
        insta::assert_snapshot!(asked("db.patch", &json!(["notes", "id-1", { "more": { "append": 1 }, "tags": {} }])), @r#"
    {"kind":"patchRow","table":"notes","id":{"arg":"value1"},"values":{"more":{"arg":"value2"},"tags":{"arg":"value3"}}}
    {"value1":"id-1","value2":{"append":1},"value3":[]}
    "#);
    }

    #[test]
    fn what_is_no_question_says_how_to_ask() {
        insta::assert_snapshot!(asked("db.get", &json!(["notes"])), @r#"write `ctx.db.get("table", id)`"#);
        insta::assert_snapshot!(asked("db.query", &json!([5])), @r#"expected a table's name; write `ctx.db.query("table", { filter = { … }, orderBy = "column", limit = 50 })`"#);
        insta::assert_snapshot!(asked("db.query", &json!(["notes", { "where": {} }])), @r#"`where` is no option of `ctx.db.query`; write `ctx.db.query("table", { filter = { … }, orderBy = "column", limit = 50 })`"#);
        insta::assert_snapshot!(asked("db.query", &json!(["notes", { "orderby": "score" }])), @"`orderby` is no option of `ctx.db.query`; did you mean `orderBy`?");
        insta::assert_snapshot!(asked("db.insert", &json!(["notes", [1]])), @r#"expected a table of values; write `ctx.db.insert("table", { column = value })`"#);
        insta::assert_snapshot!(asked("db.insertMany", &json!(["notes", { "text": "a" }])), @r#"write `ctx.db.insertMany("table", { { column = value }, … })`"#);
        insta::assert_snapshot!(asked("db.insertMany", &json!(["notes", [{}, {}]])), @r#"no row has a value; write `ctx.db.insertMany("table", { { column = value }, … })`"#);
        insta::assert_snapshot!(asked("db.count", &json!(["notes", { "filter": 5 }])), @"expected a filter: columns with their values, such as `{ revealed = true }`");
    }

    #[test]
    fn a_shape_is_compiled_once_whatever_its_values() {
        let shapes = Shapes::new(&definition());
        let first = plan(&shapes, "db.query", &json!(["notes", { "filter": { "score": 1 }, "limit": 1 }])).unwrap();
        let second = plan(&shapes, "db.query", &json!(["notes", { "filter": { "score": 2 }, "limit": 9 }])).unwrap();
        assert!(Arc::ptr_eq(&first.plan, &second.plan));
        let other = plan(&shapes, "db.query", &json!(["notes", { "filter": { "text": "a" } }])).unwrap();
        assert!(!Arc::ptr_eq(&first.plan, &other.plan));
        let rows = |given: Value| plan(&shapes, "db.insertMany", &json!(["notes", given])).unwrap().plan;
        let both = rows(json!([{ "text": "a", "score": 1 }]));
        assert!(Arc::ptr_eq(&both, &rows(json!([{ "score": 5, "text": "b" }, { "text": "c" }]))));
    }

    /// Whatever is asked, what is kept has a bound, and what is asked again and again stays.
    #[test]
    fn shapes_are_kept_up_to_a_maximum() {
        let shapes = Shapes::new(&definition());
        let often = |shapes: &Shapes| plan(shapes, "db.get", &json!(["notes", "id"])).unwrap().plan;
        let first = often(&shapes);
        for number in 0..2 * SHAPES_MAX {
            // The order of conditions is part of a shape.
            let bits =
                (0..10).map(|bit| if number >> bit & 1 == 1 { json!({ "score": 1 }) } else { json!({ "text": "" }) });
            let filter: Vec<Value> = bits.collect();
            plan(&shapes, "db.count", &json!(["notes", { "filter": filter }])).unwrap();
            assert!(Arc::ptr_eq(&first, &often(&shapes)));
            let kept = shapes.kept();
            let text: usize = kept.plans.iter().map(|(shape, plan)| text_bytes(shape, plan)).sum();
            assert_eq!(kept.text_bytes, text);
            assert!(kept.plans.len() <= SHAPES_MAX && text <= TEXT_BYTES_MAX);
        }
        assert_eq!(shapes.kept().plans.len(), SHAPES_MAX);
    }

    #[test]
    fn a_refused_value_is_named_by_its_column() {
        let shapes = Shapes::new(&definition());
        let refused = |operation: &str, given: Value| match plan(&shapes, operation, &given) {
            Ok(asked) => asked.refused(asked.plan.arguments.parse(&asked.arguments, 64).unwrap_err()).detail,
            Err(message) => message.into(),
        };
        insta::assert_snapshot!(refused("db.insert", json!(["notes", { "text": 5 }])), @"text: expected text, got a number");
        insta::assert_snapshot!(refused("db.query", json!(["notes", { "limit": "many" }])), @"limit: expected an integer, got text");
        insta::assert_snapshot!(refused(
            "db.query",
            json!(["notes", { "filter": { "column": "score", "op": "contains", "value": "1" } }])
        ), @"`contains` has no meaning for column `score` of type integer; use one of `=`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `isNull`");
        insta::assert_snapshot!(refused("db.insertMany", json!(["notes", [{ "text": "a" }, { "score": 1 }]])), @"rows/1/text: `text` is missing; expected a string");
        insta::assert_snapshot!(refused("db.aggregate", json!(["notes", { "select": { "n": { "total": "score" } } }])), @"expected one of `count`, `sum`, `avg`, `min` or `max`");
        insta::assert_snapshot!(refused("db.patch", json!(["notes", "x", { "txt": "a" }])), @"column `txt` does not exist in table `notes`; did you mean `text`?");
    }
}
