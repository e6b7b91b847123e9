//! The closed set of types a column, an argument or an object's field can have.
//!
//! One type decides four things together: the Postgres type, the database constraint (`ddl`),
//! the JSON accepted for it (`value`), and its JSON Schema (`row_schema`).

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;

use crate::pattern::Pattern;

/// Values nest at most this deep in `object` shapes.
pub const SHAPE_DEPTH_MAX: usize = 8;

/// A type with its own limits. Lengths count Unicode characters of a string, elements of an
/// array, bytes of `bytes`; `min` and `max` of numbers are inclusive bounds.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ColumnType {
    /// `text`.
    String {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        pattern: Option<Pattern>,
    },
    /// `bigint`, a JSON number without a fraction.
    Integer {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<i64>,
    },
    /// `double precision`, finite.
    Number {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    Boolean,
    /// `numeric`, a string in JSON so that no digit is lost. The bounds are decimal strings too.
    Decimal {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<String>,
    },
    /// `timestamptz`, RFC 3339 in JSON, answered in UTC with six decimals.
    Timestamp,
    /// `date`, `YYYY-MM-DD` in JSON.
    Date,
    Uuid,
    /// `bytea`, standard base64 in JSON.
    Bytes {
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    },
    /// `text` that is one of `values`.
    Enum {
        values: Vec<String>,
    },
    /// The `id` of a row of `table` in the same scope.
    Id {
        table: String,
        #[serde(default, skip_serializing_if = "OnDelete::is_restrict")]
        on_delete: OnDelete,
    },
    /// A Postgres array of a scalar type; no element is null.
    Array {
        items: Box<ColumnType>,
        #[serde(skip_serializing_if = "Option::is_none")]
        min: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        max: Option<u32>,
    },
    /// `jsonb` of exactly these fields.
    Object {
        fields: IndexMap<String, Field>,
    },
    /// `jsonb` of any shape.
    Json,
}

/// A field of an `object`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    #[serde(flatten)]
    pub column_type: ColumnType,
    /// Whether it may be absent or null.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// What happens to a row when the row it refers to is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnDelete {
    /// The delete is refused.
    #[default]
    Restrict,
    /// The row goes too.
    Cascade,
    /// The reference becomes null; only for an optional column.
    SetNull,
}

impl OnDelete {
    pub fn is_restrict(&self) -> bool {
        *self == OnDelete::Restrict
    }
}

/// The Postgres types columns have. `Numeric` travels as text in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PostgresType {
    Text,
    Int8,
    Float8,
    Bool,
    Numeric,
    Timestamptz,
    Date,
    Uuid,
    Bytea,
    Jsonb,
}

/// A column's Postgres type: an element type, and whether it is an array of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Storage {
    pub element: PostgresType,
    pub is_array: bool,
}

impl PostgresType {
    /// The type's name as DDL and casts write it.
    pub const fn sql(self) -> &'static str {
        match self {
            PostgresType::Text => "text",
            PostgresType::Int8 => "bigint",
            PostgresType::Float8 => "double precision",
            PostgresType::Bool => "boolean",
            PostgresType::Numeric => "numeric",
            PostgresType::Timestamptz => "timestamp with time zone",
            PostgresType::Date => "date",
            PostgresType::Uuid => "uuid",
            PostgresType::Bytea => "bytea",
            PostgresType::Jsonb => "jsonb",
        }
    }
}

impl ColumnType {
    /// How the type is stored.
    pub fn storage(&self) -> Storage {
        let element = match self {
            ColumnType::String { .. } | ColumnType::Enum { .. } => PostgresType::Text,
            ColumnType::Integer { .. } => PostgresType::Int8,
            ColumnType::Number { .. } => PostgresType::Float8,
            ColumnType::Boolean => PostgresType::Bool,
            ColumnType::Decimal { .. } => PostgresType::Numeric,
            ColumnType::Timestamp => PostgresType::Timestamptz,
            ColumnType::Date => PostgresType::Date,
            ColumnType::Uuid | ColumnType::Id { .. } => PostgresType::Uuid,
            ColumnType::Bytes { .. } => PostgresType::Bytea,
            ColumnType::Array { items, .. } => return Storage { element: items.storage().element, is_array: true },
            ColumnType::Object { .. } | ColumnType::Json => PostgresType::Jsonb,
        };
        Storage { element, is_array: false }
    }

    /// The word authors write for the type, such as `string` in `v.string()`.
    pub const fn word(&self) -> &'static str {
        match self {
            ColumnType::String { .. } => "string",
            ColumnType::Integer { .. } => "integer",
            ColumnType::Number { .. } => "number",
            ColumnType::Boolean => "boolean",
            ColumnType::Decimal { .. } => "decimal",
            ColumnType::Timestamp => "timestamp",
            ColumnType::Date => "date",
            ColumnType::Uuid => "uuid",
            ColumnType::Bytes { .. } => "bytes",
            ColumnType::Enum { .. } => "enum",
            ColumnType::Id { .. } => "id",
            ColumnType::Array { .. } => "array",
            ColumnType::Object { .. } => "object",
            ColumnType::Json => "json",
        }
    }

    /// The word with its article, as in "expected an integer".
    pub fn phrase(&self) -> String {
        let word = self.word();
        if word.starts_with(['a', 'e', 'i', 'o', 'u']) && *self != ColumnType::Uuid {
            format!("an {word}")
        } else {
            format!("a {word}")
        }
    }

    /// Whether it may be an array's element: one value, not a document.
    pub const fn is_scalar(&self) -> bool {
        !matches!(self, ColumnType::Array { .. } | ColumnType::Object { .. } | ColumnType::Json)
    }

    /// Whether `<` and `orderBy` have a meaning that people expect.
    pub const fn is_ordered(&self) -> bool {
        match self {
            ColumnType::String { .. }
            | ColumnType::Integer { .. }
            | ColumnType::Number { .. }
            | ColumnType::Decimal { .. }
            | ColumnType::Timestamp
            | ColumnType::Date
            | ColumnType::Uuid
            | ColumnType::Boolean
            | ColumnType::Enum { .. }
            | ColumnType::Id { .. } => true,
            ColumnType::Bytes { .. } | ColumnType::Array { .. } | ColumnType::Object { .. } | ColumnType::Json => false,
        }
    }

    /// Whether `=` has one: everything but documents.
    pub const fn is_comparable(&self) -> bool {
        !matches!(self, ColumnType::Object { .. } | ColumnType::Json)
    }

    /// The same type without its limits: what a filter's argument has, since asking for a value
    /// that no row can have is no mistake.
    pub fn without_limits(&self) -> ColumnType {
        match self {
            ColumnType::String { .. } => ColumnType::String { min: None, max: None, pattern: None },
            ColumnType::Integer { .. } => ColumnType::Integer { min: None, max: None },
            ColumnType::Number { .. } => ColumnType::Number { min: None, max: None },
            ColumnType::Decimal { .. } => ColumnType::Decimal { min: None, max: None },
            ColumnType::Bytes { .. } => ColumnType::Bytes { min: None, max: None },
            ColumnType::Array { items, .. } => {
                ColumnType::Array { items: Box::new(items.without_limits()), min: None, max: None }
            }
            ColumnType::Boolean
            | ColumnType::Timestamp
            | ColumnType::Date
            | ColumnType::Uuid
            | ColumnType::Enum { .. }
            | ColumnType::Id { .. }
            | ColumnType::Object { .. }
            | ColumnType::Json => self.clone(),
        }
    }
}
