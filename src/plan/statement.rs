//! A sea-query tree becomes text with numbered parameters, each with its type and its source.
//!
//! The trees are built with markers in place of parameters: numbers at or above
//! [`MARKER_BASE`] that no limit or literal can reach. The writer below turns a marker into `$n`
//! and any other number into itself, so a value can only ever enter a statement as a parameter.

use std::fmt;

use postgres_types::Type;
use rowgate_schema_dsl::column_type::{ColumnType, PostgresType, Storage};
use rowgate_schema_dsl::definition::IdentityField;
use rowgate_schema_dsl::like::Anchor;
use rowgate_schema_dsl::name::Name;
use rowgate_schema_dsl::value::Typed;
use sea_query::prepare::SqlWriter;
use sea_query::{Expr, ExprTrait, PostgresQueryBuilder, QueryBuilder, QueryStatementWriter, Value};
use sha2::{Digest, Sha256};

const MARKER_BASE: u64 = 1 << 48;

/// SQL that is prepared once per connection, and what is bound to it at each call.
#[derive(Debug)]
pub struct Statement {
    /// Names the statement wherever it is prepared: equal for equal text and types.
    pub key: u128,
    pub sql: String,
    /// One for each parameter.
    pub types: Vec<Type>,
    /// Of the columns that are answered, from the first: what reads them knows no others. There may be
    /// more behind them.
    pub results: Vec<Type>,
    pub bindings: Vec<Binding>,
}

impl Statement {
    /// The same statement, for who reads columns of these types. It is prepared apart from one that is
    /// read otherwise, since between two revisions the types may be all that differs.
    #[must_use]
    pub fn answering(self, results: Vec<Type>) -> Statement {
        Statement { key: key(&self.sql, &self.types, &results), results, ..self }
    }

    /// Whether what reads its answers can read columns of these types.
    pub fn reads(&self, columns: impl Iterator<Item = u32>) -> bool {
        let mut columns = columns;
        self.results.iter().all(|result| columns.next() == Some(result.oid()))
    }
}

/// Where a parameter's value comes from at each call.
#[derive(Debug, Clone, PartialEq)]
pub enum Binding {
    /// The id of the install, its overlay, its account or its extension.
    Scope,
    /// A fresh UUID v7.
    NewId,
    /// The argument at this place; null where it is absent.
    Argument(usize),
    /// The argument at this place; the column's default where it is absent.
    ArgumentOr(usize, Typed),
    /// The pattern of what has the text argument at this place in it; null where it is absent.
    Pattern { argument: usize, anchor: Anchor },
    /// A list of the one argument at this place; null where it is absent.
    Element { argument: usize, element: PostgresType },
    /// Whether the argument at this place was given.
    Given(usize),
    /// A fresh UUID v7 for each of the call's rows, an array.
    RowIds,
    /// The argument at this place of each of the call's rows, an array; `or` where it is absent.
    /// `as_text` turns arrays, which cannot be elements of one, into their text.
    Rows { place: usize, or: Typed, as_text: bool },
    /// Whether each of the call's rows has the argument at this place, an array.
    RowsGiven(usize),
    /// The fresh UUIDs of those of the call's rows that have the argument at this place, an array.
    RowIdsGiven(usize),
    /// The value of this key in the row that a page goes on from.
    Cursor(usize),
    /// This column of the row of an earlier step of the transaction.
    Row { step: usize, column: Name },
    /// How many rows are fetched for a page: one more than are answered.
    PageRows,
    /// The version that the row must still have: the call's own, or the argument at this place.
    Version(Option<usize>),
    /// A fact about the caller; as text where a text column takes it.
    Identity { field: IdentityField, text: bool },
    /// The author's own text: bound like any other, never pasted.
    Literal(Typed),
}

/// Hands out parameters while a tree is built.
#[derive(Debug, Default)]
pub struct Parameters {
    bindings: Vec<Binding>,
    types: Vec<Type>,
}

impl Parameters {
    /// An expression for `binding` as a value of `column_type`; the same binding of the same type
    /// is the same parameter.
    pub fn bind(&mut self, binding: Binding, column_type: &ColumnType) -> Expr {
        self.bind_stored(binding, column_type.storage())
    }

    /// [`Parameters::bind`] for an array of `column_type`.
    pub fn bind_array(&mut self, binding: Binding, column_type: &ColumnType) -> Expr {
        self.bind_stored(binding, Storage { element: column_type.storage().element, is_array: true })
    }

    /// The number that sea-query's `limit` and `offset` take for a bound integer.
    pub fn bind_number(&mut self, binding: Binding) -> u64 {
        self.marker(binding, Type::INT8)
    }

    fn bind_stored(&mut self, binding: Binding, storage: Storage) -> Expr {
        let marker = Expr::value(Value::BigUnsigned(Some(self.marker(binding, wire_type(storage)))));
        // Numerics travel as text, so that no digit is lost to a driver's type.
        match (storage.element, storage.is_array) {
            (PostgresType::Numeric, false) => marker.cast_as("numeric"),
            (PostgresType::Numeric, true) => marker.cast_as("numeric[]"),
            _ => marker,
        }
    }

    fn marker(&mut self, binding: Binding, wire_type: Type) -> u64 {
        let known = self.bindings.iter().zip(&self.types).position(|(b, t)| *b == binding && *t == wire_type);
        let index = known.unwrap_or_else(|| {
            self.bindings.push(binding);
            self.types.push(wire_type);
            self.bindings.len() - 1
        });
        MARKER_BASE + index as u64
    }

    /// Writes `tree` as text.
    pub fn statement(self, tree: &impl QueryStatementWriter) -> Statement {
        let mut text = Text { sql: String::with_capacity(256), placed: Vec::new() };
        tree.build_collect(PostgresQueryBuilder, &mut text);
        // Parameters are numbered as they stand in the text, and one that was never placed
        // (a dropped condition's) is not sent.
        let bindings = text.placed.iter().filter_map(|index| self.bindings.get(*index).cloned()).collect();
        let types: Vec<Type> = text.placed.iter().filter_map(|index| self.types.get(*index).cloned()).collect();
        let key = key(&text.sql, &types, &[]);
        Statement { key, sql: text.sql, types, results: Vec::new(), bindings }
    }
}

/// How a value of this storage travels.
pub fn wire_type(storage: Storage) -> Type {
    match (storage.element, storage.is_array) {
        (PostgresType::Text | PostgresType::Numeric, false) => Type::TEXT,
        (PostgresType::Text | PostgresType::Numeric, true) => Type::TEXT_ARRAY,
        (PostgresType::Int8, false) => Type::INT8,
        (PostgresType::Int8, true) => Type::INT8_ARRAY,
        (PostgresType::Float8, false) => Type::FLOAT8,
        (PostgresType::Float8, true) => Type::FLOAT8_ARRAY,
        (PostgresType::Bool, false) => Type::BOOL,
        (PostgresType::Bool, true) => Type::BOOL_ARRAY,
        (PostgresType::Timestamptz, false) => Type::TIMESTAMPTZ,
        (PostgresType::Timestamptz, true) => Type::TIMESTAMPTZ_ARRAY,
        (PostgresType::Date, false) => Type::DATE,
        (PostgresType::Date, true) => Type::DATE_ARRAY,
        (PostgresType::Uuid, false) => Type::UUID,
        (PostgresType::Uuid, true) => Type::UUID_ARRAY,
        (PostgresType::Bytea, false) => Type::BYTEA,
        (PostgresType::Bytea, true) => Type::BYTEA_ARRAY,
        (PostgresType::Jsonb, false) => Type::JSONB,
        (PostgresType::Jsonb, true) => Type::JSONB_ARRAY,
    }
}

/// What names a statement of this text, whose parameters and columns have these types, wherever it is prepared.
pub fn key(sql: &str, types: &[Type], results: &[Type]) -> u128 {
    let mut hash = Sha256::new();
    hash.update(sql.as_bytes());
    // A length before each list, so that no two pairs of them are one.
    for list in [types, results] {
        hash.update((list.len() as u64).to_be_bytes());
        for wire_type in list {
            hash.update(wire_type.oid().to_be_bytes());
        }
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
}

/// The writer: markers become `$n`, everything else is written as it is.
struct Text {
    sql: String,
    /// Indexes into the parameters, in the order of their numbers.
    placed: Vec<usize>,
}

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.sql.push_str(text);
        Ok(())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)
    }
}

impl SqlWriter for Text {
    fn push_param<T: QueryBuilder>(&mut self, value: Value, _: &T) {
        match value {
            Value::BigUnsigned(Some(number)) if number >= MARKER_BASE => {
                let index = (number - MARKER_BASE) as usize;
                let place = self.placed.iter().position(|placed| *placed == index).unwrap_or_else(|| {
                    self.placed.push(index);
                    self.placed.len() - 1
                });
                self.sql.push('$');
                self.sql.push_str(&(place + 1).to_string());
            }
            Value::BigUnsigned(Some(number)) => self.sql.push_str(&number.to_string()),
            Value::BigInt(Some(number)) => self.sql.push_str(&number.to_string()),
            Value::Bool(Some(true)) => self.sql.push_str("TRUE"),
            Value::Bool(Some(false)) => self.sql.push_str("FALSE"),
            // INVARIANT: `compile` gives sea-query no other value; text could only enter here,
            // so it becomes a statement that Postgres refuses at deploy.
            _ => self.sql.push_str("$0"),
        }
    }

    fn as_writer(&mut self) -> &mut dyn fmt::Write {
        self
    }
}
