//! Plausible arguments for a function, so that a line printed for pasting works.
//!
//! Every value made here has been accepted by the same parser that judges callers' arguments.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::{HandlerKind, Role};
use rowgate_schema_dsl::function::{Absence, Argument, Body};
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::value::parse_literal;
use serde_json::{Map, Value, json};

/// Texts tried in this order; patterns differ.
const TEXTS: [&str; 12] = [
    "hello",
    "Hello",
    "hello-world",
    "Hello world",
    "a",
    "A",
    "1",
    "2026",
    "A1",
    "a@example.org",
    "#336699",
    "AB-1234",
];
/// Elements and characters made up at most; a column that wants more gets no sample.
const LENGTH_MAX: u32 = 64;

/// A function with arguments that it takes.
#[derive(Debug)]
pub(super) struct Sample<'a> {
    pub(super) function: &'a str,
    pub(super) access: Role,
    pub(super) arguments: Map<String, Value>,
}

/// The read to show first: open to most, and needing no row's id.
pub(super) fn read(model: &Model) -> Option<Sample<'_>> {
    let declared = |body: &Body| match body {
        Body::QueryRows { .. } => Some(0),
        Body::CountRows { .. } => Some(1),
        Body::AggregateRows { .. } => Some(2),
        Body::GetRow { .. } => Some(3),
        Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRow { .. }
        | Body::DeleteRows { .. }
        | Body::Transaction { .. } => None,
    };
    best(model, declared, HandlerKind::Query)
}

/// The write to show first.
pub(super) fn write(model: &Model) -> Option<Sample<'_>> {
    let declared = |body: &Body| match body {
        Body::InsertRow { .. } | Body::UpsertRow { .. } => Some(0),
        Body::PatchRow { .. } => Some(1),
        Body::DeleteRow { .. } => Some(2),
        // Many rows are no first thing to show.
        Body::InsertRows { .. } | Body::PatchRows { .. } | Body::DeleteRows { .. } | Body::Transaction { .. } => None,
        Body::QueryRows { .. } | Body::CountRows { .. } | Body::AggregateRows { .. } | Body::GetRow { .. } => None,
    };
    best(model, declared, HandlerKind::Mutation)
}

/// A declared function of the least rank, or a handler of `kind` where there is none.
fn best(model: &Model, rank: fn(&Body) -> Option<u8>, kind: HandlerKind) -> Option<Sample<'_>> {
    let declared = model.functions.iter().filter_map(|function| {
        let arguments = arguments(&function.arguments)?;
        let sample = Sample { function: function.name.as_str(), access: function.access, arguments };
        Some((rank(&function.body)?, sample))
    });
    let handlers = model.handlers.iter().filter(|handler| handler.kind == kind).filter_map(|handler| {
        let arguments = arguments(&handler.arguments)?;
        Some((u8::MAX, Sample { function: handler.name.as_str(), access: handler.access, arguments }))
    });
    let candidates = declared.chain(handlers);
    candidates.min_by_key(|(rank, sample)| (*rank, sample.access, sample.arguments.len())).map(|(_, sample)| sample)
}

/// Those that a call cannot do without; `None` where a row's id is needed, or nothing fits.
fn arguments(arguments: &[Argument]) -> Option<Map<String, Value>> {
    let needed = arguments.iter().filter(|argument| argument.absence == Absence::Refused);
    needed.map(|argument| Some((argument.name.to_string(), value(&argument.column_type)?))).collect()
}

fn value(column_type: &ColumnType) -> Option<Value> {
    candidates(column_type).into_iter().find(|candidate| parse_literal(column_type, candidate).is_ok())
}

fn candidates(column_type: &ColumnType) -> Vec<Value> {
    match column_type {
        ColumnType::String { min, max, .. } => {
            let min = min.unwrap_or(0).min(LENGTH_MAX) as usize;
            let max = max.unwrap_or(LENGTH_MAX) as usize;
            let fitted = |text: &str| -> String {
                let length = text.len().max(min).min(max.max(1));
                text.chars().cycle().take(length).collect()
            };
            TEXTS.iter().map(|text| fitted(text).into()).collect()
        }
        ColumnType::Integer { min, max } => {
            vec![json!(1), json!(0), json!(min.unwrap_or(1)), json!(max.unwrap_or(1))]
        }
        ColumnType::Number { min, max } => {
            vec![json!(1.5), json!(0), json!(min.unwrap_or(1.0)), json!(max.unwrap_or(1.0))]
        }
        ColumnType::Boolean => vec![json!(true)],
        ColumnType::Decimal { min, max } => {
            let bounds = [min, max].into_iter().flatten().map(|bound| bound.as_str().into());
            ["9.99", "1", "0"].into_iter().map(Value::from).chain(bounds).collect()
        }
        ColumnType::Timestamp => vec![json!("2026-01-31T12:00:00Z")],
        ColumnType::Date => vec![json!("2026-01-31")],
        ColumnType::Uuid => vec![json!("0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c")],
        ColumnType::Bytes { min, max } => {
            let length = min.unwrap_or(0).max(5).min(max.unwrap_or(5)).min(LENGTH_MAX) as usize;
            vec![STANDARD.encode(b"hello".iter().copied().cycle().take(length).collect::<Vec<u8>>()).into()]
        }
        ColumnType::Enum { values } => values.iter().map(|value| value.as_str().into()).collect(),
        // Which rows there are is not known here.
        ColumnType::Id { .. } => Vec::new(),
        ColumnType::Array { items, min, max } => {
            let length = min.unwrap_or(0).max(1).min(max.unwrap_or(1).max(min.unwrap_or(0))).min(LENGTH_MAX);
            let element = value(items);
            element.map(|element| Value::Array(vec![element; length as usize])).into_iter().chain([json!([])]).collect()
        }
        ColumnType::Object { fields } => {
            let needed = fields.iter().filter(|(_, field)| !field.optional);
            let members: Option<Map<String, Value>> =
                needed.map(|(name, field)| Some((name.clone(), value(&field.column_type)?))).collect();
            members.map(Value::Object).into_iter().collect()
        }
        ColumnType::Json => vec![json!({ "any": "json" })],
    }
}
