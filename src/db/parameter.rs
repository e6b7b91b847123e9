//! Values in Postgres's binary format.

mod rows;

use std::error::Error;

use bytes::{BufMut, BytesMut};
use postgres_types::{IsNull, ToSql, Type};
use rowgate_schema_dsl::column_type::PostgresType;
use rowgate_schema_dsl::like::{Anchor, pattern};
use rowgate_schema_dsl::value::Typed;
use uuid::Uuid;

use crate::plan::Plan;

/// One bound value.
#[derive(Debug, Clone, Copy)]
pub enum Parameter<'a> {
    Typed(&'a Typed),
    Uuid(Uuid),
    /// A UUID for a text column.
    UuidText(Uuid),
    /// An array of this one element.
    Element(PostgresType, &'a Typed),
    Text(&'a str),
    /// The pattern of what has `text` in it.
    Pattern {
        text: &'a str,
        anchor: Anchor,
    },
    Bool(bool),
    /// An array of UUIDs.
    Uuids(&'a [Uuid]),
    /// Of these, one for each of many rows, those of the rows that have the place.
    UuidsGiven {
        ids: &'a [Uuid],
        rows: &'a [Vec<Option<Typed>>],
        place: usize,
    },
    /// One place of many rows; see [`crate::plan::statement::Binding::Rows`].
    Rows {
        rows: &'a [Vec<Option<Typed>>],
        place: usize,
        or: &'a Typed,
        as_text: bool,
    },
    /// Whether each of many rows has the place.
    RowsGiven {
        rows: &'a [Vec<Option<Typed>>],
        place: usize,
    },
    Int8(i64),
    /// Bytes as Postgres sent them for a value of the same type.
    Raw(&'a [u8]),
    Null,
}

/// How many rows `plan` must answer, where fewer mean that another call was in the way: as many as
/// the call has.
pub fn rows_min(plan: &Plan, parameters: &[Parameter<'_>]) -> usize {
    if !plan.repeats_when_empty {
        return 0;
    }
    let ids = |parameter: &Parameter<'_>| if let Parameter::Uuids(ids) = parameter { Some(ids.len()) } else { None };
    parameters.iter().find_map(ids).unwrap_or(1)
}

/// Microseconds from 1970 to 2000, where Postgres counts from.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// Days from 1970 to 2000.
const EPOCH_DAYS: i32 = 10_957;

impl ToSql for Parameter<'_> {
    fn to_sql(&self, wire_type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Parameter::Typed(typed) => return write(typed, out),
            Parameter::Element(element, value) => write_array(*element, std::slice::from_ref(*value), out)?,
            Parameter::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
            Parameter::UuidText(uuid) => {
                out.put_slice(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
            }
            Parameter::Pattern { text, anchor } => {
                for c in pattern(text, *anchor) {
                    out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            Parameter::Text(text) => out.put_slice(text.as_bytes()),
            Parameter::Bool(value) => out.put_u8(u8::from(*value)),
            Parameter::Uuids(ids) => rows::uuids(ids.iter(), out)?,
            Parameter::UuidsGiven { ids, rows, place } => rows::uuids(rows::ids_given(ids, rows, *place), out)?,
            Parameter::Rows { rows, place, or, as_text } => {
                rows::values(rows, *place, or, *as_text, wire_type, out)?;
            }
            Parameter::RowsGiven { rows, place } => rows::given(rows, *place, out)?,
            Parameter::Int8(number) => out.put_i64(*number),
            Parameter::Raw(bytes) => out.put_slice(bytes),
            Parameter::Null => return Ok(IsNull::Yes),
        }
        Ok(IsNull::No)
    }

    /// INVARIANT: `plan::statement` chose the type from the same column type that parsed the value.
    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, wire_type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(wire_type, out)
    }
}

fn write(typed: &Typed, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
    match typed {
        Typed::Null => return Ok(IsNull::Yes),
        Typed::Text(text) | Typed::Numeric(text) => out.put_slice(text.as_bytes()),
        Typed::Int8(number) => out.put_i64(*number),
        Typed::Float8(number) => out.put_f64(*number),
        Typed::Bool(value) => out.put_u8(u8::from(*value)),
        Typed::Timestamptz(microseconds) => out.put_i64(microseconds.saturating_sub(EPOCH_MICROSECONDS)),
        Typed::Date(days) => out.put_i32(days.saturating_sub(EPOCH_DAYS)),
        Typed::Uuid(uuid) => out.put_slice(uuid.as_bytes()),
        Typed::Bytea(bytes) => out.put_slice(bytes),
        Typed::Jsonb(text) => {
            out.put_u8(1);
            out.put_slice(text.as_bytes());
        }
        Typed::Array(element, values) => write_array(*element, values, out)?,
    }
    Ok(IsNull::No)
}

fn write_array(
    element: PostgresType,
    values: &[Typed],
    out: &mut BytesMut,
) -> Result<(), Box<dyn Error + Sync + Send>> {
    let wire_type = match element {
        PostgresType::Text | PostgresType::Numeric => Type::TEXT,
        PostgresType::Int8 => Type::INT8,
        PostgresType::Float8 => Type::FLOAT8,
        PostgresType::Bool => Type::BOOL,
        PostgresType::Timestamptz => Type::TIMESTAMPTZ,
        PostgresType::Date => Type::DATE,
        PostgresType::Uuid => Type::UUID,
        PostgresType::Bytea => Type::BYTEA,
        PostgresType::Jsonb => Type::JSONB,
    };
    out.put_i32(i32::from(!values.is_empty()));
    out.put_i32(0);
    out.put_u32(wire_type.oid());
    if values.is_empty() {
        return Ok(());
    }
    out.put_i32(i32::try_from(values.len())?);
    out.put_i32(1);
    for value in values {
        // The length stands before the value and is known only after it.
        let place = out.len();
        out.put_i32(0);
        write(value, out)?;
        let length = i32::try_from(out.len() - place - 4)?;
        if let Some(prefix) = out.get_mut(place..place + 4) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}
