//! What a group of rows comes to: `count() sum() avg() min() max()`.
//!
//! One place says which columns each takes and what type comes of it, for `check`, the JSON
//! Schemas and the compiler.

use serde::Serialize;
use serde::ser::SerializeMap;

use crate::column_type::ColumnType;

/// What is made of a group's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

impl AggregateFunction {
    pub const ALL: [AggregateFunction; 5] = [
        AggregateFunction::Count,
        AggregateFunction::Sum,
        AggregateFunction::Avg,
        AggregateFunction::Min,
        AggregateFunction::Max,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            AggregateFunction::Count => "count",
            AggregateFunction::Sum => "sum",
            AggregateFunction::Avg => "avg",
            AggregateFunction::Min => "min",
            AggregateFunction::Max => "max",
        }
    }

    /// The type of its result over values of `column_type`; `None` where it has no meaning.
    ///
    /// A sum of integers is an integer of any length, which [`ColumnType::Integer`] is not: see
    /// [`crate::function::Selected::is_long`].
    pub fn result(self, column_type: &ColumnType) -> Option<ColumnType> {
        match (self, column_type) {
            (AggregateFunction::Count, _) => Some(ColumnType::Integer { min: None, max: None }),
            (
                AggregateFunction::Sum,
                ColumnType::Integer { .. } | ColumnType::Number { .. } | ColumnType::Decimal { .. },
            )
            | (AggregateFunction::Avg, ColumnType::Number { .. } | ColumnType::Decimal { .. }) => {
                Some(column_type.without_limits())
            }
            (AggregateFunction::Avg, ColumnType::Integer { .. }) => Some(ColumnType::Number { min: None, max: None }),
            // Postgres has no least of booleans and UUIDs.
            (
                AggregateFunction::Min | AggregateFunction::Max,
                ColumnType::Boolean | ColumnType::Uuid | ColumnType::Id { .. },
            ) => None,
            (AggregateFunction::Min | AggregateFunction::Max, other) => other.is_ordered().then(|| other.clone()),
            (AggregateFunction::Sum | AggregateFunction::Avg, _) => None,
        }
    }
}

/// One member of the answer. In JSON `{"count": true}` counts rows, and any other form such as
/// `{"sum": "score"}` names the column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    pub function: AggregateFunction,
    /// Only `count` goes without.
    pub column: Option<String>,
}

impl Serialize for Aggregate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match &self.column {
            Some(column) => map.serialize_entry(self.function.as_str(), column)?,
            None => map.serialize_entry(self.function.as_str(), &true)?,
        }
        map.end()
    }
}

impl schemars::JsonSchema for Aggregate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Aggregate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let of_column = |function: AggregateFunction| {
            let word = function.as_str();
            serde_json::json!({
                "type": "object",
                "properties": { word: { "type": "string" } },
                "required": [word],
                "additionalProperties": false
            })
        };
        let mut forms: Vec<serde_json::Value> = AggregateFunction::ALL.into_iter().map(of_column).collect();
        forms.push(serde_json::json!({
            "type": "object", "properties": { "count": { "const": true } }, "required": ["count"], "additionalProperties": false
        }));
        schemars::json_schema!({
            "description": "What is made of a group's rows: `{\"count\": true}`, or a function over a column such as `{\"sum\": \"score\"}`.",
            "anyOf": forms
        })
    }
}
