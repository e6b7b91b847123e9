//! What a handler asks of the database, as one of the declared functions: the same reader, checker,
//! compiler and proof judge it, and the same scope binds it.
//!
//! A question is taken apart into its shape (tables, columns, operators) and its values. The shape
//! is compiled once for each revision and kept; the values are the arguments of its plan. A handler
//! may see and compare private columns, which a page may not.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::read::read;
use serde_json::{Map, Value, json};

use crate::plan::Plan;
use crate::plan::compile::compile;
use crate::script::machine::Fault;

/// Plans kept for one revision; the longest unused is compiled anew.
const SHAPES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The name a shape's function has, which nobody sees.
const NAME: &str = "shape";

/// One revision's tables, and the plans of what its handlers asked.
#[derive(Debug)]
pub struct Shapes {
    document: Map<String, Value>,
    plans: Mutex<LruCache<String, Arc<Plan>>>,
}

/// A question: its shape as a declared function, and its values by argument.
#[derive(Debug, Default, PartialEq)]
struct Question {
    function: Map<String, Value>,
    arguments: Map<String, Value>,
    /// The column that an argument is for.
    columns: Vec<(String, String)>,
}

/// A question ready to run.
#[derive(Debug)]
pub struct Asked {
    pub plan: Arc<Plan>,
    /// JSON object of the plan's arguments.
    pub arguments: Vec<u8>,
}

impl Shapes {
    /// `document` is the recorded definition of the revision.
    pub fn new(document: &Value) -> Shapes {
        let mut kept = Map::new();
        for member in ["rowgate", "extension", "tables"] {
            kept.insert(member.to_owned(), document.get(member).cloned().unwrap_or(Value::Null));
        }
        let tables = kept.get_mut("tables").and_then(Value::as_object_mut);
        for table in tables.into_iter().flat_map(Map::values_mut) {
            let columns = table.get_mut("columns").and_then(Value::as_object_mut);
            for column in columns.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
                column.shift_remove("private");
            }
        }
        Shapes { document: kept, plans: Mutex::new(LruCache::new(SHAPES_MAX)) }
    }

    /// The plan of what `operation`, such as `db.query`, asks with `arguments`, a JSON array.
    pub fn plan(&self, operation: &str, arguments: &[u8]) -> Result<Asked, Fault> {
        let given: Vec<Value> = serde_json::from_slice(arguments).map_err(|_| fault("the arguments are not JSON"))?;
        let question = question(operation, &given)?;
        let arguments = Value::Object(question.arguments.clone()).to_string().into_bytes();
        let key = Value::Object(question.function.clone()).to_string();
        if let Some(plan) = self.plans().get(&key) {
            return Ok(Asked { plan: Arc::clone(plan), arguments });
        }
        let plan = Arc::new(self.compile(question)?);
        self.plans().put(key, Arc::clone(&plan));
        Ok(Asked { plan, arguments })
    }

    fn compile(&self, question: Question) -> Result<Plan, Fault> {
        let mut document = self.document.clone();
        let columns = question.columns;
        document.insert("functions".to_owned(), json!({ NAME: question.function }));
        let (definition, complaints) = read(&Value::Object(document));
        let refused = |diagnostics: &[Diagnostic]| {
            diagnostics.first().map_or_else(|| fault("the question is refused"), |first| said(first, &columns))
        };
        if !complaints.is_empty() {
            return Err(refused(&complaints));
        }
        let model = check(&definition).map_err(|diagnostics| refused(&diagnostics))?;
        let function = model.function(NAME).ok_or_else(|| fault("the question is refused"))?;
        compile(&model, function).map_err(|error| fault(&error.to_string()))
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, LruCache<String, Arc<Plan>>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn question(operation: &str, given: &[Value]) -> Result<Question, Fault> {
    let mut question = Question::default();
    let usage = usage(operation);
    let table =
        given.first().and_then(Value::as_str).ok_or_else(|| fault(&format!("expected a table's name; {usage}")))?;
    question.set("table", table.into());
    let second = given.get(1).unwrap_or(&Value::Null);
    let third = given.get(2).unwrap_or(&Value::Null);
    let needs = |value: &Value| if value.is_null() { Err(fault(&usage)) } else { Ok(()) };
    match operation {
        "db.query" => {
            question.set("kind", "queryRows".into());
            let options = members(second, "options", &usage)?;
            for (name, value) in options {
                match name.as_str() {
                    "filter" => question.filter(value)?,
                    "orderBy" | "orderDir" | "limit" | "offset" | "fields" => question.set(name, listed(name, value)),
                    other => return Err(fault(&format!("`{other}` is no option of `ctx.db.query`"))),
                }
            }
        }
        "db.count" => {
            question.set("kind", "countRows".into());
            for (name, value) in members(second, "options", &usage)? {
                match name.as_str() {
                    "filter" => question.filter(value)?,
                    other => return Err(fault(&format!("`{other}` is no option of `ctx.db.count`"))),
                }
            }
        }
        "db.get" | "db.delete" => {
            needs(second)?;
            question.set("kind", if operation == "db.get" { "getRow" } else { "deleteRow" }.into());
            question.bind_id(second);
        }
        "db.insert" => {
            needs(second)?;
            question.set("kind", "insertRow".into());
            question.values(members(second, "values", &usage)?);
        }
        "db.patch" => {
            needs(second)?;
            needs(third)?;
            question.set("kind", "patchRow".into());
            question.bind_id(second);
            question.values(members(third, "values", &usage)?);
        }
        "db.upsert" => {
            let unique = second.as_str().ok_or_else(|| fault(&usage))?;
            question.set("kind", "upsertRow".into());
            question.set("unique", unique.into());
            question.values(members(third, "values", &usage)?);
        }
        other => return Err(fault(&format!("`ctx.{other}` is not there"))),
    }
    Ok(question)
}

impl Question {
    fn set(&mut self, member: &str, value: Value) {
        self.function.insert(member.to_owned(), value);
    }

    /// A place for `value`, by an argument of its own.
    fn bind(&mut self, column: &str, value: &Value) -> Value {
        let name = format!("value{}", self.arguments.len() + 1);
        self.columns.push((name.clone(), column.to_owned()));
        self.arguments.insert(name.clone(), value.clone());
        json!({ "arg": name })
    }

    fn bind_id(&mut self, id: &Value) {
        let place = self.bind("id", id);
        self.set("id", place);
    }

    fn values(&mut self, values: Vec<(&String, &Value)>) {
        let mut bound = Map::new();
        for (column, value) in values {
            let place = match value.as_object() {
                // What the row has, and more: the one value that is not known before.
                Some(map) if map.len() == 1 && map.contains_key("increment") => {
                    let by = self.bind(column, map.get("increment").unwrap_or(&Value::Null));
                    json!({ "increment": by })
                }
                Some(_) | None => self.bind(column, value),
            };
            bound.insert(column.clone(), place);
        }
        self.set("values", Value::Object(bound));
    }

    fn filter(&mut self, written: &Value) -> Result<(), Fault> {
        if is_empty(written) {
            return Ok(());
        }
        let filter = self.condition(written, 0)?;
        self.set("filter", filter);
        Ok(())
    }

    /// Columns with their values, a comparison, a group, or a list of any.
    fn condition(&mut self, written: &Value, depth: usize) -> Result<Value, Fault> {
        const DEPTH_MAX: usize = 16;
        if depth > DEPTH_MAX {
            return Err(fault("the filter nests too deep"));
        }
        let all = |question: &mut Question, list: &[Value]| -> Result<Vec<Value>, Fault> {
            list.iter().map(|part| question.condition(part, depth + 1)).collect()
        };
        match written {
            Value::Array(list) => Ok(json!({ "all": all(self, list)? })),
            Value::Object(map) if map.contains_key("column") && map.contains_key("op") => {
                let column = map.get("column").and_then(Value::as_str).unwrap_or_default();
                let op = map.get("op").cloned().unwrap_or_default();
                let value = map.get("value").unwrap_or(&Value::Null);
                let place = if op == "isNull" {
                    if value.is_null() { json!(true) } else { value.clone() }
                } else {
                    self.bind(column, value)
                };
                Ok(json!({ "column": column, "op": op, "value": place }))
            }
            Value::Object(map) if map.len() == 1 => match map.iter().next() {
                Some((group, Value::Array(list))) if group == "all" || group == "any" => {
                    Ok(json!({ group: all(self, list)? }))
                }
                Some((group, inner)) if group == "negate" => Ok(json!({ "negate": self.condition(inner, depth + 1)? })),
                Some((column, value)) => Ok(self.equal(column, value)),
                None => Ok(json!({ "all": [] })),
            },
            Value::Object(map) => {
                let parts: Vec<Value> = map.iter().map(|(column, value)| self.equal(column, value)).collect();
                Ok(json!({ "all": parts }))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                Err(fault("expected a filter: columns with their values, such as `{ revealed = true }`"))
            }
        }
    }

    fn equal(&mut self, column: &str, value: &Value) -> Value {
        if value.is_null() {
            return json!({ "column": column, "op": "isNull", "value": true });
        }
        json!({ "column": column, "op": "=", "value": self.bind(column, value) })
    }
}

/// Luau's `{}` is an object, and here a list.
fn listed(name: &str, value: &Value) -> Value {
    if matches!(name, "orderBy" | "fields") && is_empty(value) { json!([]) } else { value.clone() }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn members<'a>(value: &'a Value, what: &str, usage: &str) -> Result<Vec<(&'a String, &'a Value)>, Fault> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(map) => Ok(map.iter().collect()),
        Value::Array(list) if list.is_empty() => Ok(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(fault(&format!("expected a table of {what}; {usage}")))
        }
    }
}

fn usage(operation: &str) -> String {
    let arguments = match operation {
        "db.query" => "\"table\", { filter = { … }, orderBy = \"column\", limit = 50 }",
        "db.count" => "\"table\", { filter = { … } }",
        "db.get" | "db.delete" => "\"table\", id",
        "db.insert" => "\"table\", { column = value }",
        "db.patch" => "\"table\", id, { column = value }",
        "db.upsert" => "\"table\", \"unique rule\", { column = value }",
        _ => "…",
    };
    format!("write `ctx.{operation}({arguments})`")
}

/// What a checker says of the shape, in the words of who asked.
fn said(diagnostic: &Diagnostic, columns: &[(String, String)]) -> Fault {
    let mut message = diagnostic.message.clone();
    for (name, column) in columns.iter().rev() {
        message = message.replace(&format!("argument `{name}`"), &format!("the value for `{column}`"));
    }
    if let Some(hint) = &diagnostic.hint {
        message = format!("{message}; {hint}");
    }
    Fault { code: Some(diagnostic.code.to_owned()), message, ..Fault::default() }
}

fn fault(message: &str) -> Fault {
    Fault { code: Some("question_invalid".to_owned()), message: message.to_owned(), ..Fault::default() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn asked(operation: &str, given: &Value) -> String {
        match question(operation, given.as_array().unwrap()) {
            Ok(question) => format!("{} {}", Value::Object(question.function), Value::Object(question.arguments)),
            Err(fault) => fault.message,
        }
    }

    #[test]
    fn questions_are_taken_apart_into_shape_and_values() {
        insta::assert_snapshot!(
            asked("db.query", &json!(["notes", { "filter": { "done": false }, "orderBy": "score", "limit": 5 }])),
            @r#"{"table":"notes","kind":"queryRows","filter":{"column":"done","op":"=","value":{"arg":"value1"}},"orderBy":"score","limit":5} {"value1":false}"#
        );
        insta::assert_snapshot!(
            asked("db.count", &json!(["notes", { "filter": [{ "any": [{ "a": 1 }, { "b": null }] }, { "column": "c", "op": ">", "value": "x' OR 1" }] }])),
            @r#"{"table":"notes","kind":"countRows","filter":{"all":[{"any":[{"column":"a","op":"=","value":{"arg":"value1"}},{"column":"b","op":"isNull","value":true}]},{"column":"c","op":">","value":{"arg":"value2"}}]}} {"value1":1,"value2":"x' OR 1"}"#
        );
        insta::assert_snapshot!(
            asked("db.patch", &json!(["notes", "id-1", { "score": { "increment": 1 }, "text": "a" }])),
            @r#"{"table":"notes","kind":"patchRow","id":{"arg":"value1"},"values":{"score":{"increment":{"arg":"value2"}},"text":{"arg":"value3"}}} {"value1":"id-1","value2":1,"value3":"a"}"#
        );
    }

    #[test]
    fn what_is_no_question_says_how_to_ask() {
        insta::assert_snapshot!(asked("db.get", &json!(["notes"])), @r#"write `ctx.db.get("table", id)`"#);
        insta::assert_snapshot!(asked("db.query", &json!([5])), @r#"expected a table's name; write `ctx.db.query("table", { filter = { … }, orderBy = "column", limit = 50 })`"#);
        insta::assert_snapshot!(asked("db.query", &json!(["notes", { "where": {} }])), @"`where` is no option of `ctx.db.query`");
        insta::assert_snapshot!(asked("db.insert", &json!(["notes", [1]])), @r#"expected a table of values; write `ctx.db.insert("table", { column = value })`"#);
    }
}
