//! JSON Schemas (draft 2020-12) of what a function takes and what it answers.
//!
//! Made from the model once per deploy, for callers, tools and forms to read. They say the same
//! as `value`, except where JSON Schema has no word for it: bounds of decimals, and whether the
//! row of an id exists.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::column_type::{ColumnType, Field};
use crate::function::{Absence, Argument, Body, Expand, Function, Limit, Link, RowsArgument, Selected, Step};
use crate::model::{Column, Model, Table};
use crate::name::Name;
use crate::value::Typed;

/// The dialect the schemas name.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The arguments object of a call.
pub fn arguments_schema(function: &Function, model: &Model) -> Schema {
    let (mut properties, mut required) = members(&function.arguments);
    let of_steps = function.body.steps().iter().map(|step| (step.name.as_str(), step.function.body.rows()));
    for (name, rows) in [(RowsArgument::NAME, function.body.rows())].into_iter().chain(of_steps) {
        let Some(RowsArgument { members: of_row, rows_max }) = rows else { continue };
        let (of_row, of_row_required) = members(of_row);
        let row = json!({
            "type": "object", "properties": of_row, "required": of_row_required, "additionalProperties": false
        });
        let rows = json!({ "type": "array", "items": row, "minItems": 1, "maxItems": rows_max });
        properties.insert(name.to_owned(), rows);
        required.push(name.to_owned());
    }
    let table = function.body.table();
    let description = format!(
        "what {} asks for, to {} in table {table} of {}",
        function.name,
        deed(&function.body),
        model.extension.name
    );
    json_schema!({
        "$schema": DIALECT,
        "title": format!("arguments of {}", function.name),
        "description": description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}

/// The answer of a call that succeeds; `true` where the function's table is not in the model.
pub fn result_schema(function: &Function, model: &Model) -> Schema {
    let Some(table) = model.table(function.body.table().as_str()) else { return json_schema!(true) };
    let schema = match &function.body {
        Body::QueryRows { limit, page, fields, .. } => {
            let rows_max = match limit {
                Limit::Literal(rows) => *rows,
                Limit::Argument { max, .. } => *max,
            };
            let rows = json!({ "type": "array", "items": expanded_schema(model, function, table, fields), "maxItems": rows_max });
            if page.is_some() { page_schema(rows) } else { rows }
        }
        Body::GetRow { fields, .. } => expanded_schema(model, function, table, fields).to_value(),
        Body::InsertRow { fields, .. } | Body::UpsertRow { fields, .. } | Body::PatchRow { fields, .. } => {
            row_schema(table, fields).to_value()
        }
        Body::InsertRows { fields, rows: RowsArgument { rows_max, .. }, .. }
        | Body::PatchRows { fields, rows_max, .. } => {
            json!({ "type": "array", "items": row_schema(table, fields), "maxItems": rows_max })
        }
        Body::DeleteRows { rows_max, .. } => {
            json!({ "type": "array", "items": only_id(table), "maxItems": rows_max })
        }
        Body::CountRows { .. } => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        Body::AggregateRows { groups, select, limit, .. } => {
            let groups_max = match limit {
                _ if groups.is_empty() => 1,
                Limit::Literal(rows) => *rows,
                Limit::Argument { max, .. } => *max,
            };
            json!({ "type": "array", "items": group_schema(table, groups, select), "maxItems": groups_max })
        }
        Body::DeleteRow { .. } => only_id(table),
        Body::Transaction { steps, .. } => {
            let members: Map<String, Value> =
                steps.iter().map(|step| (step.name.to_string(), of_step(step, model))).collect();
            let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
            json!({ "type": "object", "properties": members, "required": names, "additionalProperties": false })
        }
    };
    let mut members = Map::new();
    members.insert("$schema".to_owned(), DIALECT.into());
    members.insert("title".to_owned(), format!("result of {}", function.name).into());
    if let Value::Object(described) = schema {
        members.extend(described);
    }
    Schema::from(members)
}

/// What a step answers, as a part of the whole.
fn of_step(step: &Step, model: &Model) -> Value {
    let mut schema = result_schema(&step.function, model).to_value();
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
        members.remove("title");
    }
    schema
}

/// A page: rows, and where to go on from them in either direction.
fn page_schema(rows: Value) -> Value {
    let cursor = |of: &str| json!({ "description": format!("`cursor` of the {of} page; null where there is none"), "type": ["string", "null"] });
    json!({
        "type": "object",
        "properties": { "rows": rows, "cursor": cursor("next"), "previous": cursor("previous") },
        "required": ["rows", "cursor", "previous"],
        "additionalProperties": false
    })
}

/// A row as declarative functions answer it: these columns of it.
pub fn row_schema(table: &Table, fields: &[Name]) -> Schema {
    let mut properties = Map::new();
    for column in table.columns_named(fields) {
        properties.insert(column.name.to_string(), column_schema(table, column).to_value());
    }
    let names: Vec<&str> = fields.iter().map(Name::as_str).collect();
    json_schema!({
        "description": format!("a row of table {}", table.name),
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false
    })
}

/// A row with the rows that are embedded into it.
fn expanded_schema(model: &Model, function: &Function, table: &Table, fields: &[Name]) -> Schema {
    let mut schema = row_schema(table, fields);
    for Expand { name, table: of, fields, link } in function.body.expand() {
        let Some(of) = model.table(of.as_str()) else { continue };
        let row = row_schema(of, fields);
        let member = match link {
            Link::Row { column } if table.column(column.as_str()).is_none_or(|column| column.optional) => or_null(row),
            // The row may be another user's.
            Link::Row { .. } if function.own && of.owner().is_some() => or_null(row),
            Link::Row { .. } => row,
            Link::Rows { limit, .. } => json_schema!({ "type": "array", "items": row, "maxItems": limit }),
        };
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            properties.insert(name.to_string(), member.to_value());
        }
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.push(name.as_str().into());
        }
    }
    schema
}

/// A group as aggregateRows answers it.
fn group_schema(table: &Table, groups: &[Name], select: &[Selected]) -> Schema {
    let mut properties = Map::new();
    for column in table.columns_named(groups) {
        properties.insert(column.name.to_string(), column_schema(table, column).to_value());
    }
    for selected in select {
        let schema = if selected.is_long() {
            json_schema!({ "type": "integer", "description": "may have more digits than 64 bits hold" })
        } else {
            json_schema_of(&selected.column_type)
        };
        let schema = if selected.optional { or_null(schema) } else { schema };
        properties.insert(selected.name.to_string(), schema.to_value());
    }
    let names: Vec<String> = properties.keys().cloned().collect();
    json_schema!({
        "description": format!("a group of rows of table {}", table.name),
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": false
    })
}

/// The JSON that is a value of `column_type`.
pub fn json_schema_of(column_type: &ColumnType) -> Schema {
    match column_type {
        ColumnType::String { min, max, pattern } => with(
            json!({ "type": "string" }),
            [
                ("minLength", min.map(Value::from)),
                ("maxLength", max.map(Value::from)),
                ("pattern", pattern.as_ref().map(|pattern| pattern.source().into())),
            ],
        ),
        ColumnType::Integer { min, max } => with(
            json!({ "type": "integer", "format": "int64" }),
            [("minimum", min.map(Value::from)), ("maximum", max.map(Value::from))],
        ),
        ColumnType::Number { min, max } => with(
            json!({ "type": "number", "format": "double" }),
            [("minimum", min.map(Value::from)), ("maximum", max.map(Value::from))],
        ),
        ColumnType::Boolean => json_schema!({ "type": "boolean" }),
        ColumnType::Decimal { min, max } => {
            let description = match (min, max) {
                (None, None) => "a decimal as text".to_owned(),
                (Some(min), None) => format!("a decimal as text, at least {min}"),
                (None, Some(max)) => format!("a decimal as text, at most {max}"),
                (Some(min), Some(max)) => format!("a decimal as text, from {min} to {max}"),
            };
            json_schema!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$", "description": description })
        }
        ColumnType::Timestamp => json_schema!({ "type": "string", "format": "date-time" }),
        ColumnType::Date => json_schema!({ "type": "string", "format": "date" }),
        ColumnType::Uuid => json_schema!({ "type": "string", "format": "uuid" }),
        ColumnType::Bytes { min, max } => with(
            json!({ "type": "string", "contentEncoding": "base64" }),
            [
                ("minLength", min.map(|bytes| base64_characters(bytes).into())),
                ("maxLength", max.map(|bytes| base64_characters(bytes).into())),
            ],
        ),
        ColumnType::Enum { values } => json_schema!({ "type": "string", "enum": values }),
        ColumnType::Id { table, .. } => row_id(table),
        ColumnType::Array { items, min, max } => with(
            json!({ "type": "array", "items": json_schema_of(items) }),
            [("minItems", min.map(Value::from)), ("maxItems", max.map(Value::from))],
        ),
        ColumnType::Object { fields } => object_schema(fields),
        ColumnType::Json => json_schema!({
            "description": "any JSON but null",
            "type": ["object", "array", "string", "number", "boolean"]
        }),
    }
}

/// The JSON that the gateway answers for a value.
pub fn json_of(value: &Typed) -> Value {
    match value {
        Typed::Null => Value::Null,
        Typed::Text(text) | Typed::Numeric(text) => text.as_str().into(),
        Typed::Int8(number) => (*number).into(),
        Typed::Float8(number) => (*number).into(),
        Typed::Bool(truth) => (*truth).into(),
        Typed::Timestamptz(microseconds) => timestamp(*microseconds).map_or(Value::Null, Value::from),
        Typed::Date(days) => jiff::civil::Date::constant(1970, 1, 1)
            .checked_add(jiff::Span::new().days(*days))
            .map_or(Value::Null, |date| date.to_string().into()),
        Typed::Uuid(uuid) => uuid.to_string().into(),
        Typed::Bytea(bytes) => STANDARD.encode(bytes).into(),
        Typed::Jsonb(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        Typed::Array(_, elements) => elements.iter().map(json_of).collect(),
    }
}

/// The properties for `arguments`, and the names of those that every call gives.
fn members(arguments: &[Argument]) -> (Map<String, Value>, Vec<String>) {
    let properties = arguments.iter().map(|argument| (argument.name.to_string(), argument_schema(argument).to_value()));
    let required = arguments.iter().filter(|argument| argument.absence == Absence::Refused);
    (properties.collect(), required.map(|argument| argument.name.to_string()).collect())
}

/// What is left to say of a row that went.
fn only_id(table: &Table) -> Value {
    json!({
        "type": "object",
        "properties": { "id": row_id(table.name.as_str()) },
        "required": ["id"],
        "additionalProperties": false
    })
}

/// By the calendar, since jiff's timestamps end some hours before the year 9999 does.
fn timestamp(microseconds: i64) -> Option<String> {
    const DAY_MICROSECONDS: i64 = 86_400_000_000;
    let days = i32::try_from(microseconds.div_euclid(DAY_MICROSECONDS)).ok()?;
    let day = jiff::civil::Date::constant(1970, 1, 1).checked_add(jiff::Span::new().days(days)).ok()?;
    let of_day = jiff::Span::new().microseconds(microseconds.rem_euclid(DAY_MICROSECONDS));
    let at = day.to_datetime(jiff::civil::Time::midnight()).checked_add(of_day).ok()?;
    Some(at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

fn argument_schema(argument: &Argument) -> Schema {
    let schema = json_schema_of(&argument.column_type);
    // Where null is no value of its own it means absence, so it is taken wherever absence is.
    let takes_null = argument.nullable || argument.absence != Absence::Refused;
    let mut schema = if takes_null { or_null(schema) } else { schema };
    match &argument.absence {
        Absence::Refused => {}
        Absence::Default(value) => {
            schema.insert("default".to_owned(), json_of(value));
        }
        Absence::Dropped => {
            let description = "when absent, the part of the statement that needs it is left out";
            schema.insert("description".to_owned(), described(&schema, description));
        }
    }
    schema
}

fn column_schema(table: &Table, column: &Column) -> Schema {
    let schema = if column.name == "id" { row_id(table.name.as_str()) } else { json_schema_of(&column.column_type) };
    let mut schema = if column.optional { or_null(schema) } else { schema };
    let description = match column.name.as_str() {
        "created_at" => Some("when the row was inserted"),
        "updated_at" => Some("when the row was last changed"),
        "version" => Some("1 at first, one more at each change"),
        _ => None,
    };
    if let Some(description) = description {
        schema.insert("description".to_owned(), description.into());
    }
    schema
}

fn object_schema(fields: &IndexMap<String, Field>) -> Schema {
    let mut properties = Map::new();
    for (name, field) in fields {
        let schema = json_schema_of(&field.column_type);
        let schema = if field.optional { or_null(schema) } else { schema };
        properties.insert(name.clone(), schema.to_value());
    }
    let required: Vec<&String> = fields.iter().filter(|(_, field)| !field.optional).map(|(name, _)| name).collect();
    json_schema!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    })
}

fn row_id(table: &str) -> Schema {
    json_schema!({ "type": "string", "format": "uuid", "description": format!("the id of a row of table {table}") })
}

fn or_null(schema: Schema) -> Schema {
    json_schema!({ "anyOf": [schema, { "type": "null" }] })
}

fn with<const N: usize>(schema: Value, members: [(&str, Option<Value>); N]) -> Schema {
    let mut all = Map::new();
    if let Value::Object(described) = schema {
        all.extend(described);
    }
    all.extend(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Schema::from(all)
}

fn described(schema: &Schema, more: &str) -> Value {
    match schema.get("description").and_then(Value::as_str) {
        Some(description) => format!("{description}; {more}").into(),
        None => more.into(),
    }
}

/// Characters of standard base64 with padding.
fn base64_characters(bytes: u32) -> u64 {
    u64::from(bytes).div_ceil(3) * 4
}

/// What a call does, as a verb phrase.
const fn deed(body: &Body) -> &'static str {
    match body {
        Body::QueryRows { .. } => "find rows",
        Body::GetRow { .. } => "get a row",
        Body::CountRows { .. } => "count rows",
        Body::AggregateRows { .. } => "sum up rows",
        Body::InsertRow { .. } => "insert a row",
        Body::InsertRows { .. } => "insert rows",
        Body::UpsertRow { .. } => "insert or change a row",
        Body::PatchRow { .. } => "change a row",
        Body::PatchRows { .. } => "change rows",
        Body::DeleteRow { .. } => "delete a row",
        Body::DeleteRows { .. } => "delete rows",
        Body::Transaction { .. } => "run a transaction that begins",
    }
}
