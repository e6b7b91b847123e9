//! Definitions from JSON as the document has it, without the reader's complaints, so that checks
//! can be shown what the reader would never let through; and the checks' answers as lines.

use rowgate_schema_dsl::aggregate::{Aggregate, AggregateFunction};
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::column_type::{ColumnType, Field, OnDelete};
use rowgate_schema_dsl::definition::{
    Body, Column, Comparison, DefaultValue, Definition, Direction, Expand, Extension, FORMAT, Filter, Function,
    IdentityField, Limits, OnConflict, Operand, Operator, Order, Role, Scan, Scope, Table, Validator,
};
use rowgate_schema_dsl::egress::Egress;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::pattern::Pattern;
use serde_json::{Map, Value, json};

/// The tables that the cases' functions stand on.
pub(crate) fn tables() -> Value {
    json!({
        "rules": {
            "columns": {
                "text": { "type": "string", "max": 280 },
                "revealed": { "type": "boolean", "default": false },
                "score": { "type": "integer", "default": 0, "max": 1000 },
                "kind": { "type": "enum", "values": ["fun", "serious"], "optional": true },
                "tags": { "type": "array", "items": { "type": "string" }, "optional": true },
                "price": { "type": "decimal", "optional": true },
                "due": { "type": "timestamp", "optional": true },
                "meta": { "type": "json", "optional": true },
                "shape": { "type": "object", "fields": { "x": { "type": "integer" } }, "optional": true },
                "blob": { "type": "bytes", "optional": true },
                "account": { "type": "uuid", "optional": true },
                "author": { "type": "string", "private": true, "default": "" }
            },
            "indexes": { "by_score": ["score"] }
        },
        "votes": {
            "columns": {
                "rule": { "type": "id", "table": "rules", "onDelete": "cascade" },
                "user_id": { "type": "string" }
            },
            "uniques": { "one_vote": ["rule", "user_id"] }
        }
    })
}

/// What is wrong with table `t` beside the usual ones, a line each.
pub(crate) fn table(table: Value) -> String {
    let mut all = tables();
    all["t"] = table;
    complaints(&json!({ "tables": all }))
}

/// What is wrong with column `c` of a table.
pub(crate) fn column(column: Value) -> String {
    table(json!({ "columns": { "c": column } }))
}

/// What is wrong with function `f` over the usual tables.
pub(crate) fn function(function: Value) -> String {
    complaints(&json!({ "tables": tables(), "functions": { "f": function } }))
}

/// What is wrong with a filter of queryRows over `rules`.
pub(crate) fn filter(filter: Value) -> String {
    function(json!({ "kind": "queryRows", "table": "rules", "filter": filter }))
}

pub(crate) fn complaints(document: &Value) -> String {
    lines(&definition(document))
}

/// What is wrong with a definition: code, pointer, message and hint of each.
pub(crate) fn lines(definition: &Definition) -> String {
    let Err(diagnostics) = check(definition) else { return "sound".to_owned() };
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|diagnostic| {
            let hint = diagnostic.hint.as_ref().map(|hint| format!("\n  {hint}")).unwrap_or_default();
            format!("{} {}\n  {}{hint}", diagnostic.code, diagnostic.pointer, diagnostic.message)
        })
        .collect();
    lines.join("\n").replace('\0', "␀")
}

/// The model of a sound document.
pub(crate) fn model(document: &Value) -> Model {
    check(&definition(document)).unwrap_or_else(|diagnostics| panic!("{diagnostics:#?}"))
}

pub(crate) fn definition(document: &Value) -> Definition {
    let extension = Extension {
        id: "0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c".parse().unwrap(),
        name: "live poll".to_owned(),
        version: "1.0.0".to_owned(),
        egress: serde_json::from_value::<Vec<String>>(document["hosts"].clone())
            .map(|allow_hosts| Egress { allow_hosts, allow_ports: vec![8443] })
            .unwrap_or_default(),
        secrets: serde_json::from_value(document["secrets"].clone()).unwrap_or_default(),
        limits: Limits::default(),
    };
    let tables = members(&document["tables"]).map(|(name, value)| (name.clone(), a_table(value))).collect();
    let functions = members(&document["functions"]).map(|(name, value)| (name.clone(), a_function(value))).collect();
    Definition {
        rowgate: FORMAT,
        extension,
        tables,
        functions,
        handlers: Default::default(),
        sources: Default::default(),
    }
}

fn a_table(value: &Value) -> Table {
    let rules = |member: &str| members(&value[member]).map(|(name, over)| (name.clone(), texts(over))).collect();
    Table {
        renamed_from: value["renamedFrom"].as_str().map(str::to_owned),
        columns: members(&value["columns"]).map(|(name, column)| (name.clone(), a_column(column))).collect(),
        storage: word(&value["storage"], &Scope::ALL, Scope::as_str).unwrap_or_default(),
        owned: value["owned"] == true,
        rows: value["rows"].as_u64().map(|rows| u32::try_from(rows).unwrap()),
        indexes: rules("indexes"),
        uniques: rules("uniques"),
    }
}

fn a_column(value: &Value) -> Column {
    Column {
        validator: a_validator(value),
        private: value["private"] == true,
        unique: value["unique"] == true,
        renamed_from: value["renamedFrom"].as_str().map(str::to_owned),
    }
}

fn a_validator(value: &Value) -> Validator {
    let default = value.get("default").map(|default| match default.as_object() {
        Some(member) if member.contains_key("now") => DefaultValue::Now,
        Some(member) => DefaultValue::Literal(member["literal"].clone()),
        None => DefaultValue::Literal(default.clone()),
    });
    Validator { column_type: a_type(value), optional: value["optional"] == true, default }
}

fn a_type(value: &Value) -> ColumnType {
    let length = |member: &str| value[member].as_u64().map(|length| u32::try_from(length).unwrap());
    let text = |member: &str| value[member].as_str().map(str::to_owned);
    match value["type"].as_str().unwrap() {
        "string" => ColumnType::String {
            min: length("min"),
            max: length("max"),
            pattern: text("pattern").map(|pattern| Pattern::new(&pattern).unwrap()),
        },
        "integer" => ColumnType::Integer { min: value["min"].as_i64(), max: value["max"].as_i64() },
        "number" => ColumnType::Number { min: value["min"].as_f64(), max: value["max"].as_f64() },
        "boolean" => ColumnType::Boolean,
        "decimal" => ColumnType::Decimal { min: text("min"), max: text("max") },
        "timestamp" => ColumnType::Timestamp,
        "date" => ColumnType::Date,
        "uuid" => ColumnType::Uuid,
        "bytes" => ColumnType::Bytes { min: length("min"), max: length("max") },
        "enum" => ColumnType::Enum { values: texts(&value["values"]) },
        "id" => ColumnType::Id {
            table: text("table").unwrap(),
            on_delete: match value["onDelete"].as_str() {
                Some("cascade") => OnDelete::Cascade,
                Some("setNull") => OnDelete::SetNull,
                _ => OnDelete::Restrict,
            },
        },
        "array" => {
            ColumnType::Array { items: Box::new(a_type(&value["items"])), min: length("min"), max: length("max") }
        }
        "object" => ColumnType::Object {
            fields: members(&value["fields"])
                .map(|(name, field)| {
                    (name.clone(), Field { column_type: a_type(field), optional: field["optional"] == true })
                })
                .collect(),
        },
        "json" => ColumnType::Json,
        other => panic!("no such type: {other}"),
    }
}

fn an_expansion(value: &Value) -> Expand {
    let text = |member: &str| value[member].as_str().map(str::to_owned);
    let fields = value.get("fields").map(texts).unwrap_or_default();
    match (text("table"), text("by")) {
        (Some(table), Some(by)) => Expand::List {
            table,
            by,
            fields,
            order_by: value["orderBy"].as_array().into_iter().flatten().map(an_order).collect(),
            limit: value["limit"].as_u64(),
        },
        _ => Expand::Row { member: text("as"), fields },
    }
}

fn a_function(value: &Value) -> Function {
    let table = || value["table"].as_str().unwrap().to_owned();
    let operand = |member: &str| value.get(member).map(an_operand);
    let filter = || value.get("filter").map(a_filter);
    let fields = || value.get("fields").map(texts).unwrap_or_default();
    let expand = || members(&value["expand"]).map(|(name, value)| (name.clone(), an_expansion(value))).collect();
    let values = || members(&value["values"]).map(|(name, value)| (name.clone(), an_operand(value))).collect();
    let body = match value["kind"].as_str().unwrap() {
        "queryRows" => Body::QueryRows {
            table: table(),
            filter: filter(),
            order_by: value["orderBy"].as_array().into_iter().flatten().map(an_order).collect(),
            limit: operand("limit"),
            offset: operand("offset"),
            page: value["page"] == true,
            fields: fields(),
            expand: expand(),
        },
        "getRow" => Body::GetRow { table: table(), id: operand("id").unwrap(), fields: fields(), expand: expand() },
        "countRows" => Body::CountRows { table: table(), filter: filter() },
        "aggregateRows" => Body::AggregateRows {
            table: table(),
            filter: filter(),
            group_by: value.get("groupBy").map(texts).unwrap_or_default(),
            select: members(&value["select"]).map(|(name, value)| (name.clone(), an_aggregate(value))).collect(),
            having: value.get("having").map(a_filter),
            order_by: value["orderBy"].as_array().into_iter().flatten().map(an_order).collect(),
            limit: operand("limit"),
        },
        "insertRow" => Body::InsertRow {
            table: table(),
            values: values(),
            on_conflict: OnConflict::Error,
            unique: None,
            fields: fields(),
        },
        "patchRow" => Body::PatchRow {
            table: table(),
            id: operand("id").unwrap(),
            values: values(),
            version: operand("version"),
            fields: fields(),
        },
        "deleteRow" => Body::DeleteRow { table: table(), id: operand("id").unwrap(), version: operand("version") },
        other => panic!("no such kind: {other}"),
    };
    let scan = value["scan"].as_str().map(|_| Scan::Allowed);
    Function {
        access: word(&value["access"], &Role::ALL, Role::as_str),
        own: value["own"] == true,
        scan,
        rate_limit: None,
        when: Vec::new(),
        body,
    }
}

fn an_aggregate(value: &Value) -> Aggregate {
    let (word, column) = members(value).next().unwrap();
    let function = AggregateFunction::ALL.into_iter().find(|function| function.as_str() == word).unwrap();
    Aggregate { function, column: column.as_str().map(str::to_owned) }
}

fn an_order(value: &Value) -> Order {
    let dir = if value["dir"] == "desc" { Direction::Desc } else { Direction::Asc };
    Order { column: value["column"].as_str().unwrap().to_owned(), dir }
}

fn a_filter(value: &Value) -> Filter {
    let parts = |parts: &Value| parts.as_array().unwrap().iter().map(a_filter).collect();
    if let Some(all) = value.get("all") {
        return Filter::All { all: parts(all) };
    }
    if let Some(any) = value.get("any") {
        return Filter::Any { any: parts(any) };
    }
    if let Some(negate) = value.get("negate") {
        return Filter::Negate { negate: Box::new(a_filter(negate)) };
    }
    Filter::Compare(Comparison {
        column: value["column"].as_str().unwrap().to_owned(),
        op: word(&value["op"], &Operator::ALL, Operator::as_str).unwrap(),
        value: an_operand(&value["value"]),
    })
}

fn an_operand(value: &Value) -> Operand {
    let Value::Object(member) = value else { return Operand::Literal(value.clone()) };
    if let Some(name) = member.get("arg") {
        return Operand::Argument {
            name: name.as_str().unwrap().to_owned(),
            validator: member.get("validator").map(a_validator),
        };
    }
    if let Some(field) = member.get("identity") {
        return Operand::Identity(word(field, &IdentityField::ALL, IdentityField::as_str).unwrap());
    }
    if let Some(by) = member.get("increment") {
        return Operand::Increment(Box::new(an_operand(by)));
    }
    member.get("literal").map_or(Operand::Now, |literal| Operand::Literal(literal.clone()))
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn word<T: Copy>(value: &Value, all: &[T], as_str: fn(T) -> &'static str) -> Option<T> {
    all.iter().copied().find(|candidate| Some(as_str(*candidate)) == value.as_str())
}
