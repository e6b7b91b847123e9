//! One column of many rows as one array in Postgres's binary format.
//!
//! An array cannot be an element of another of a different length, so arrays travel as Postgres
//! writes them as text, and the statement casts each back.

use std::error::Error;
use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use postgres_types::{IsNull, Kind, Type};
use rowgate_schema_dsl::value::Typed;
use uuid::Uuid;

use crate::db::parameter::write;

type Written = Result<(), Box<dyn Error + Sync + Send>>;

/// An array of `ids`.
pub(super) fn uuids<'a>(ids: impl Iterator<Item = &'a Uuid> + Clone, out: &mut BytesMut) -> Written {
    let mut left = ids.clone();
    array(&Type::UUID, ids.count(), out, |_, out| {
        out.put_slice(left.next().unwrap_or(&Uuid::nil()).as_bytes());
        Ok(IsNull::No)
    })
}

/// Those of `ids`, one for each of `rows`, whose row has a value at `place`.
pub(super) fn ids_given<'a>(
    ids: &'a [Uuid],
    rows: &'a [Vec<Option<Typed>>],
    place: usize,
) -> impl Iterator<Item = &'a Uuid> + Clone {
    let given = move |row: &[Option<Typed>]| row.get(place).is_some_and(Option::is_some);
    ids.iter().zip(rows).filter(move |(_, row)| given(row)).map(|(id, _)| id)
}

/// What each of `rows` has at `place`, or `or`.
pub(super) fn values(
    rows: &[Vec<Option<Typed>>],
    place: usize,
    or: &Typed,
    as_text: bool,
    wire_type: &Type,
    out: &mut BytesMut,
) -> Written {
    let element = if let Kind::Array(element) = wire_type.kind() { element } else { &Type::TEXT };
    array(element, rows.len(), out, |index, out| {
        let value = rows.get(index).and_then(|row| row.get(place)).and_then(Option::as_ref).unwrap_or(or);
        match value {
            Typed::Array(_, elements) if as_text => {
                out.put_slice(text_of(elements)?.as_bytes());
                Ok(IsNull::No)
            }
            plain => write(plain, out),
        }
    })
}

/// Whether each of `rows` has a value at `place`.
pub(super) fn given(rows: &[Vec<Option<Typed>>], place: usize, out: &mut BytesMut) -> Written {
    array(&Type::BOOL, rows.len(), out, |index, out| {
        let given = rows.get(index).and_then(|row| row.get(place)).is_some_and(Option::is_some);
        out.put_u8(u8::from(given));
        Ok(IsNull::No)
    })
}

fn array(
    element: &Type,
    count: usize,
    out: &mut BytesMut,
    mut value: impl FnMut(usize, &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>>,
) -> Written {
    out.put_i32(i32::from(count > 0));
    // Whether there may be nulls; Postgres looks at the elements themselves.
    out.put_i32(1);
    out.put_u32(element.oid());
    if count == 0 {
        return Ok(());
    }
    out.put_i32(i32::try_from(count)?);
    out.put_i32(1);
    for index in 0..count {
        // The length stands before the value and is known only after it.
        let place = out.len();
        out.put_i32(0);
        let length = match value(index, out)? {
            IsNull::Yes => -1,
            IsNull::No => i32::try_from(out.len() - place - 4)?,
        };
        if let Some(prefix) = out.get_mut(place..place + 4) {
            prefix.copy_from_slice(&length.to_be_bytes());
        }
    }
    Ok(())
}

const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// So many days after 1970-01-01.
fn date(days: i64) -> Result<jiff::civil::Date, jiff::Error> {
    jiff::civil::Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(days)?)
}

/// `{"a","b"}`, each element in quotes, so that none is taken for null or a brace.
fn text_of(elements: &[Typed]) -> Result<String, Box<dyn Error + Sync + Send>> {
    let mut text = String::from("{");
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let one = match element {
            Typed::Text(value) | Typed::Numeric(value) | Typed::Jsonb(value) => value.clone(),
            Typed::Int8(value) => value.to_string(),
            Typed::Float8(value) => value.to_string(),
            Typed::Bool(value) => value.to_string(),
            Typed::Uuid(value) => value.to_string(),
            // By the calendar, since jiff's timestamps end some hours before the year 9999 does.
            Typed::Timestamptz(microseconds) => {
                let date = date(microseconds.div_euclid(DAY_MICROSECONDS))?;
                let of_day = jiff::Span::new().try_microseconds(microseconds.rem_euclid(DAY_MICROSECONDS))?;
                format!("{}Z", date.to_datetime(jiff::civil::Time::midnight()).checked_add(of_day)?)
            }
            Typed::Date(days) => date(i64::from(*days))?.to_string(),
            Typed::Bytea(bytes) => {
                let mut hex = String::from("\\x");
                for byte in bytes {
                    write!(hex, "{byte:02x}")?;
                }
                hex
            }
            Typed::Null | Typed::Array(..) => return Err("an array holds neither null nor arrays".into()),
        };
        text.push('"');
        for character in one.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    }
    text.push('}');
    Ok(text)
}
