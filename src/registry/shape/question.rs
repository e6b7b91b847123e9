//! What a handler asks, taken apart: a declared function without values, and its values as the
//! arguments of it.
//!
//! Equal questions about other values are the same function, so it is compiled once.

use std::collections::BTreeSet;

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::nearest;
use serde_json::{Map, Value, json};

use crate::script::machine::Fault;

/// Conditions nest so deep while a question is read; the checker has a smaller maximum.
const DEPTH_MAX: usize = 16;

/// A question: its shape as a declared function, and its values by argument.
#[derive(Debug, Default)]
pub(super) struct Question {
    pub(super) function: Map<String, Value>,
    pub(super) arguments: Map<String, Value>,
    /// The column or option that an argument is for.
    pub(super) places: Vec<(String, String)>,
}

/// An operation of `ctx.db`.
struct Form {
    operation: &'static str,
    /// The kind of declared function it is.
    kind: &'static str,
    usage: &'static str,
    options: &'static [&'static str],
}

const FORMS: [Form; 9] = [
    Form {
        operation: "db.query",
        kind: "queryRows",
        usage: "\"table\", { filter = { … }, orderBy = \"column\", limit = 50 }",
        options: &["filter", "orderBy", "orderDir", "limit", "offset", "fields", "expand", "own"],
    },
    Form { operation: "db.get", kind: "getRow", usage: "\"table\", id", options: &["fields", "expand", "own"] },
    Form {
        operation: "db.count",
        kind: "countRows",
        usage: "\"table\", { filter = { … } }",
        options: &["filter", "own"],
    },
    Form {
        operation: "db.aggregate",
        kind: "aggregateRows",
        usage: "\"table\", { groupBy = { \"column\" }, select = { n = { count = true } } }",
        options: &["filter", "groupBy", "select", "having", "orderBy", "orderDir", "limit", "own"],
    },
    Form { operation: "db.insert", kind: "insertRow", usage: "\"table\", { column = value }", options: &[] },
    Form {
        operation: "db.insertMany",
        kind: "insertRows",
        usage: "\"table\", { { column = value }, … }",
        options: &[],
    },
    Form { operation: "db.patch", kind: "patchRow", usage: "\"table\", id, { column = value }", options: &["own"] },
    Form {
        operation: "db.upsert",
        kind: "upsertRow",
        usage: "\"table\", \"unique rule\", { column = value }",
        options: &["own"],
    },
    Form { operation: "db.delete", kind: "deleteRow", usage: "\"table\", id", options: &["own"] },
];

/// Takes apart what `operation` was given, a list of arguments; `definition` has the tables.
pub(super) fn question(operation: &str, given: &[Value], definition: &Definition) -> Result<Question, Fault> {
    let form = FORMS.iter().find(|form| form.operation == operation);
    let form = form.ok_or_else(|| fault(&format!("`ctx.{operation}` is not there")))?;
    let argument = |place: usize| given.get(place).unwrap_or(&Value::Null);
    let table = argument(0).as_str().ok_or_else(|| fault(&format!("expected a table's name; {}", form.usage())))?;
    let mut reading = Reading { form, definition, table, question: Question::default() };
    reading.set("kind", form.kind.into());
    reading.set("table", table.into());
    match operation {
        "db.query" | "db.count" | "db.aggregate" => reading.options(argument(1))?,
        "db.get" | "db.delete" => {
            reading.id(argument(1))?;
            reading.options(argument(2))?;
        }
        "db.patch" => {
            reading.id(argument(1))?;
            reading.values(argument(2))?;
            reading.options(argument(3))?;
        }
        "db.upsert" => {
            let unique = argument(1).as_str().ok_or_else(|| fault(&form.usage()))?;
            reading.set("unique", unique.into());
            reading.values(argument(2))?;
            reading.options(argument(3))?;
        }
        "db.insertMany" => reading.rows(argument(1))?,
        _ => reading.values(argument(1))?,
    }
    Ok(reading.question)
}

pub(super) fn fault(message: &str) -> Fault {
    Fault { code: Some("question_invalid".to_owned()), message: message.to_owned(), ..Fault::default() }
}

impl Form {
    fn usage(&self) -> String {
        format!("write `ctx.{}({})`", self.operation, self.usage)
    }
}

/// A question that is being taken apart.
struct Reading<'a> {
    form: &'a Form,
    definition: &'a Definition,
    table: &'a str,
    question: Question,
}

impl Reading<'_> {
    fn set(&mut self, member: &str, value: Value) {
        self.question.function.insert(member.to_owned(), value);
    }

    /// A place for `value`, by an argument of its own.
    fn bind(&mut self, place: &str, value: Value) -> Value {
        let name = format!("value{}", self.question.arguments.len() + 1);
        self.question.places.push((name.clone(), place.to_owned()));
        self.question.arguments.insert(name.clone(), value);
        json!({ "arg": name })
    }

    fn id(&mut self, id: &Value) -> Result<(), Fault> {
        if id.is_null() {
            return Err(fault(&self.form.usage()));
        }
        let place = self.bind("id", id.clone());
        self.set("id", place);
        Ok(())
    }

    fn options(&mut self, written: &Value) -> Result<(), Fault> {
        for (name, value) in members(written, "options", self.form)? {
            if !self.form.options.contains(&name.as_str()) {
                let shown: String = name.chars().take(64).collect();
                let nearest = nearest(&shown, self.form.options.iter().copied());
                let hint = nearest.map_or_else(|| self.form.usage(), |nearest| format!("did you mean `{nearest}`?"));
                return Err(fault(&format!("`{shown}` is no option of `ctx.{}`; {hint}", self.form.operation)));
            }
            match name.as_str() {
                "filter" | "having" if is_empty(value) => {}
                "filter" | "having" => {
                    let filter = self.condition(value, 0)?;
                    self.set(name, filter);
                }
                // Bound, so that a limit which a caller chose is no shape of its own.
                "limit" | "offset" => {
                    let place = self.bind(name, value.clone());
                    self.set(name, place);
                }
                // Luau's `{}` is an object, and here a list.
                "orderBy" | "fields" | "groupBy" | "expand" if is_empty(value) => {}
                _ => self.set(name, value.clone()),
            }
        }
        Ok(())
    }

    fn values(&mut self, written: &Value) -> Result<(), Fault> {
        if written.is_null() {
            return Err(fault(&self.form.usage()));
        }
        let mut bound = Map::new();
        for (column, value) in members(written, "values", self.form)? {
            let place = self.value(column, value);
            bound.insert(column.clone(), place);
        }
        self.set("values", Value::Object(bound));
        Ok(())
    }

    fn value(&mut self, column: &str, value: &Value) -> Value {
        let change = value.as_object().filter(|map| map.len() == 1 && !self.holds_objects(column));
        match change.and_then(|map| map.iter().next()) {
            // What the row has, and more or less: the one value that is not known before.
            Some((change, by)) if matches!(change.as_str(), "increment" | "append" | "remove") => {
                let by = self.bind(column, by.clone());
                json!({ change.as_str(): by })
            }
            Some(_) | None => {
                let value = self.listed(column, value);
                self.bind(column, value)
            }
        }
    }

    /// The values of many rows: what any of them has is an argument of each.
    fn rows(&mut self, written: &Value) -> Result<(), Fault> {
        let rows = match written {
            Value::Array(rows) => rows.as_slice(),
            written if !written.is_null() && is_empty(written) => &[],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                return Err(fault(&self.form.usage()));
            }
        };
        let mut columns = BTreeSet::new();
        let mut bound = Vec::with_capacity(rows.len());
        for row in rows {
            let mut values = Map::new();
            for (column, value) in members(row, "values", self.form)? {
                columns.insert(column.as_str());
                values.insert(column.clone(), self.listed(column, value));
            }
            bound.push(Value::Object(values));
        }
        if columns.is_empty() {
            return Err(fault(&format!("no row has a value; {}", self.form.usage())));
        }
        // Sorted, so that rows which name their columns in another order ask the same.
        let values: Map<String, Value> =
            columns.iter().map(|column| ((*column).to_owned(), json!({ "arg": column }))).collect();
        self.set("values", Value::Object(values));
        self.question.places = columns.into_iter().map(|column| (column.to_owned(), column.to_owned())).collect();
        self.question.arguments.insert("rows".to_owned(), Value::Array(bound));
        Ok(())
    }

    /// Columns with their values, a comparison, a group, or a list of any.
    fn condition(&mut self, written: &Value, depth: usize) -> Result<Value, Fault> {
        if depth > DEPTH_MAX {
            return Err(fault("the filter nests too deep"));
        }
        match written {
            Value::Array(list) => Ok(json!({ "all": self.conditions(list, depth)? })),
            Value::Object(map) if map.contains_key("column") && map.contains_key("op") => {
                let column = map.get("column").and_then(Value::as_str).unwrap_or_default();
                let op = map.get("op").cloned().unwrap_or_default();
                let value = map.get("value").unwrap_or(&Value::Null);
                let place = match op.as_str() {
                    Some("isNull") if value.is_null() => json!(true),
                    Some("isNull") => value.clone(),
                    Some("in") if is_empty(value) => self.bind(column, json!([])),
                    Some(_) | None => {
                        let value = self.listed(column, value);
                        self.bind(column, value)
                    }
                };
                Ok(json!({ "column": column, "op": op, "value": place }))
            }
            Value::Object(map) if map.len() == 1 => match map.iter().next() {
                Some((group, Value::Array(list))) if group == "all" || group == "any" => {
                    Ok(json!({ group: self.conditions(list, depth)? }))
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

    fn conditions(&mut self, list: &[Value], depth: usize) -> Result<Vec<Value>, Fault> {
        list.iter().map(|part| self.condition(part, depth + 1)).collect()
    }

    fn equal(&mut self, column: &str, value: &Value) -> Value {
        if value.is_null() {
            return json!({ "column": column, "op": "isNull", "value": true });
        }
        let value = self.listed(column, value);
        json!({ "column": column, "op": "=", "value": self.bind(column, value) })
    }

    /// Luau's `{}` is an object, and for a column of a list an empty one.
    fn listed(&self, column: &str, value: &Value) -> Value {
        let is_list = matches!(self.column_type(column), Some(ColumnType::Array { .. }));
        if is_list && !value.is_null() && is_empty(value) { json!([]) } else { value.clone() }
    }

    fn holds_objects(&self, column: &str) -> bool {
        matches!(self.column_type(column), Some(ColumnType::Object { .. } | ColumnType::Json))
    }

    fn column_type(&self, column: &str) -> Option<&ColumnType> {
        self.definition.tables.get(self.table)?.columns.get(column).map(|column| &column.validator.column_type)
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn members<'a>(value: &'a Value, what: &str, form: &Form) -> Result<Vec<(&'a String, &'a Value)>, Fault> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(map) => Ok(map.iter().collect()),
        Value::Array(list) if list.is_empty() => Ok(Vec::new()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(fault(&format!("expected a table of {what}; {}", form.usage())))
        }
    }
}
