//! Postgres's binary rows become JSON text: a writer made at deploy from the columns' types.
//!
//! Every member's name is escaped once, at deploy; at a call names and values are copied behind
//! each other into one buffer, and no tree of values exists in between.

mod embedded;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postgres_types::Type;
use rowgate_schema_dsl::column_type::{PostgresType, Storage};
use rowgate_schema_dsl::model::Column;
use rowgate_schema_dsl::name::Name;

use crate::error::{Code, Failure};
use crate::plan::page::{Page, Turn, Turning};
use crate::plan::statement::wire_type;

/// What a plan's rows become.
#[derive(Debug)]
pub enum Shape {
    /// An array of rows.
    Rows(RowWriter),
    /// Rows with a cursor in either direction.
    Page(Box<Page>),
    /// One row; where there is none, the call fails with `row_not_found`.
    Row(RowWriter),
    /// The one `bigint` of the one row.
    Number,
    /// An object of what the steps of a transaction answer, which is put together from them.
    Steps,
}

impl Shape {
    /// The types of the columns that it reads, from the first.
    pub fn types(&self) -> Vec<Type> {
        match self {
            Shape::Rows(writer) | Shape::Row(writer) => writer.types(),
            Shape::Page(page) => page.writer.types(),
            Shape::Number => vec![Type::INT8],
            Shape::Steps => Vec::new(),
        }
    }
}

/// Why a row could not be written: the database holds other types than the plan was made for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("column {0} does not hold what the plan expects")]
pub struct Unreadable(pub usize);

/// A row as Postgres sent it: for each column its length and its bytes.
#[derive(Debug, Clone, Copy)]
pub struct RawRow<'a> {
    rest: &'a [u8],
}

/// How long an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Made at once.
    pub bytes: usize,
    /// A longer one is refused.
    pub bytes_max: usize,
}

/// An answer's JSON text as its rows come in.
#[derive(Debug)]
pub struct Answer {
    text: Vec<u8>,
    rows: usize,
    version: Option<i64>,
    rows_min: usize,
    turning: Option<Box<Turning>>,
    bytes_max: usize,
    /// It was longer, and nothing of it is kept.
    is_too_large: bool,
}

/// A whole answer.
#[derive(Debug, Default)]
pub struct Text {
    /// JSON.
    pub json: Vec<u8>,
    /// The version of the row, where the answer is one.
    pub version: Option<i64>,
}

/// Writes one row as a JSON object.
#[derive(Debug)]
pub struct RowWriter {
    columns: Vec<ColumnWriter>,
    /// Which column of the row is its version, where it is asked for: one of those above, or behind them.
    version: Option<usize>,
}

#[derive(Debug)]
struct ColumnWriter {
    /// `{"id":` for the first, `,"text":` for the others.
    prefix: Box<[u8]>,
    form: Form,
    /// The number of the type that the form is of.
    type_oid: u32,
}

/// What a column's bytes are.
#[derive(Debug)]
pub enum Form {
    /// A value of this storage, in Postgres's binary format.
    Value(Storage),
    /// Text that is JSON already.
    Json,
    /// A record: the columns of one row.
    Row(RowWriter),
    /// An array of records.
    Rows(RowWriter),
}

/// A column as Postgres sent it: the bytes of the binary format.
#[derive(Debug, Clone, Copy)]
pub struct Raw<'a>(pub &'a [u8]);

impl<'a> postgres_types::FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl<'a> RawRow<'a> {
    /// The row in the body of a `DataRow` message.
    pub fn new(body: &'a [u8]) -> Option<RawRow<'a>> {
        // The number of columns stands first; the plan knows it.
        body.get(2..).map(|rest| RawRow { rest })
    }

    /// The next column's bytes; `None` for null.
    pub fn next_field(&mut self) -> Result<Option<&'a [u8]>, Unreadable> {
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or(Unreadable(0))?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            self.rest = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).ok_or(Unreadable(0))?;
        self.rest = rest;
        Ok(Some(field))
    }
}

impl Answer {
    /// An answer of `shape`; `turn` is of a page.
    pub fn begin(shape: &Shape, turn: Option<&Turn>, room: Room) -> Answer {
        let mut text = Vec::with_capacity(room.bytes);
        let mut turning = None;
        match shape {
            Shape::Rows(_) => text.push(b'['),
            Shape::Page(_) => turning = turn.map(|turn| Box::new(Turning::begin(turn.clone(), &mut text))),
            Shape::Row(_) | Shape::Number | Shape::Steps => {}
        }
        Answer { text, rows: 0, version: None, rows_min: 0, turning, bytes_max: room.bytes_max, is_too_large: false }
    }

    /// The same answer, which is none with fewer rows.
    #[must_use]
    pub fn of_rows(mut self, rows_min: usize) -> Answer {
        self.rows_min = rows_min;
        self
    }

    /// Adds the next row.
    pub fn row(&mut self, shape: &Shape, mut row: RawRow<'_>) -> Result<(), Unreadable> {
        if self.is_too_large {
            return Ok(());
        }
        self.rows += 1;
        let written = match shape {
            Shape::Rows(writer) => {
                if self.rows > 1 {
                    self.text.push(b',');
                }
                writer.write(&mut self.text, |_| row.next_field())
            }
            Shape::Page(page) => match &mut self.turning {
                Some(turning) => turning.row(page, &mut self.text, self.rows, row),
                None => Err(Unreadable(0)),
            },
            // There is one; what a broken plan had beyond it is not the caller's.
            Shape::Row(_) | Shape::Number if self.rows > 1 => Ok(()),
            Shape::Row(writer) => {
                self.version = writer.version_of(row)?;
                writer.write(&mut self.text, |_| row.next_field())
            }
            Shape::Steps => Err(Unreadable(0)),
            Shape::Number => row.next_field()?.and_then(|bytes| number(&mut self.text, bytes)).ok_or(Unreadable(0)),
        };
        if self.text.len() > self.bytes_max {
            self.is_too_large = true;
            self.text = Vec::new();
        }
        written
    }

    /// The whole text, once every row was added.
    pub fn end(mut self, shape: &Shape) -> Result<Text, Failure> {
        if self.is_too_large {
            let detail = format!("the answer is over {} bytes; ask for fewer rows or fields", self.bytes_max);
            return Err(Failure::new(Code::AnswerTooLarge, detail));
        }
        match shape {
            Shape::Rows(_) if self.rows < self.rows_min => {
                return Err(Failure::new(Code::RowNotFound, "not all of the rows were found"));
            }
            Shape::Rows(_) => self.text.push(b']'),
            Shape::Page(page) => match self.turning {
                Some(turning) => turning.end(page, &mut self.text),
                None => return Err(Unreadable(0).into()),
            },
            Shape::Row(_) if self.rows == 0 => {
                return Err(Failure::new(Code::RowNotFound, "no row has this `id`"));
            }
            Shape::Number if self.rows == 0 => return Err(Unreadable(0).into()),
            Shape::Steps => return Err(Unreadable(0).into()),
            Shape::Row(_) | Shape::Number => {}
        }
        Ok(Text { json: self.text, version: self.version })
    }
}

impl From<Unreadable> for Failure {
    fn from(unreadable: Unreadable) -> Failure {
        // The type of a column within a row is only seen in the row; who writes knows better.
        let failure = Failure::new(Code::Internal, "the gateway could not read the answer");
        failure.with_log(unreadable.to_string()).with_outdated(true)
    }
}

impl RowWriter {
    pub fn new<'a>(columns: impl Iterator<Item = &'a Column>) -> Self {
        RowWriter::of(columns.map(|column| (&column.name, Form::Value(column.column_type.storage()))))
    }

    /// A writer of these members.
    pub fn of<'a>(members: impl Iterator<Item = (&'a Name, Form)>) -> Self {
        let columns = members
            .enumerate()
            .map(|(index, (name, form))| {
                // Names are ASCII letters, digits and `_`: nothing to escape.
                let prefix = format!("{}\"{name}\":", if index == 0 { '{' } else { ',' });
                let type_oid = form.wire_type().oid();
                ColumnWriter { prefix: prefix.into_bytes().into_boxed_slice(), form, type_oid }
            })
            .collect();
        RowWriter { columns, version: None }
    }

    /// The writer of a row whose column at `place` is its version.
    #[must_use]
    pub fn with_version(mut self, place: usize) -> Self {
        self.version = Some(place);
        self
    }

    fn types(&self) -> Vec<Type> {
        self.columns.iter().map(|column| column.form.wire_type()).collect()
    }

    fn version_of(&self, mut row: RawRow<'_>) -> Result<Option<i64>, Unreadable> {
        let Some(place) = self.version else { return Ok(None) };
        for _ in 0..place {
            row.next_field()?;
        }
        let bytes = row.next_field()?.and_then(|bytes| bytes.try_into().ok()).ok_or(Unreadable(place))?;
        Ok(Some(i64::from_be_bytes(bytes)))
    }

    /// Appends the row whose column `n` is `field(n)` (`None` for null) to `out`.
    pub fn write<'a>(
        &self,
        out: &mut Vec<u8>,
        mut field: impl FnMut(usize) -> Result<Option<&'a [u8]>, Unreadable>,
    ) -> Result<(), Unreadable> {
        for (index, column) in self.columns.iter().enumerate() {
            out.extend_from_slice(&column.prefix);
            match field(index)? {
                None => out.extend_from_slice(b"null"),
                Some(bytes) => column.form.write(out, bytes).ok_or(Unreadable(index))?,
            }
        }
        out.extend_from_slice(if self.columns.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }
}

impl Form {
    /// As it travels: numerics and what is JSON already do so as text.
    fn wire_type(&self) -> Type {
        match self {
            Form::Value(storage) => wire_type(*storage),
            Form::Json => Type::TEXT,
            Form::Row(_) => Type::RECORD,
            Form::Rows(_) => Type::RECORD_ARRAY,
        }
    }

    fn write(&self, out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
        match self {
            Form::Value(Storage { element, is_array: true }) => array(out, *element, bytes),
            Form::Value(Storage { element, is_array: false }) => scalar(out, *element, bytes),
            Form::Json => {
                out.extend_from_slice(bytes);
                Some(())
            }
            Form::Row(writer) => embedded::row(out, writer, bytes),
            Form::Rows(writer) => embedded::rows(out, writer, bytes),
        }
    }
}

/// Appends a `bigint`.
pub fn number(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    scalar(out, PostgresType::Int8, bytes)
}

fn scalar(out: &mut Vec<u8>, element: PostgresType, bytes: &[u8]) -> Option<()> {
    match element {
        PostgresType::Text | PostgresType::Numeric => {
            let text = std::str::from_utf8(bytes).ok()?;
            serde_json::to_writer(out, text).ok()?;
        }
        PostgresType::Int8 => integer(out, i64::from_be_bytes(bytes.try_into().ok()?)),
        PostgresType::Float8 => float(out, f64::from_be_bytes(bytes.try_into().ok()?)),
        PostgresType::Bool => out.extend_from_slice(if *bytes.first()? == 0 { b"false" } else { b"true" }),
        PostgresType::Timestamptz => timestamp(out, i64::from_be_bytes(bytes.try_into().ok()?)),
        PostgresType::Date => {
            let days = i32::from_be_bytes(bytes.try_into().ok()?);
            if days == i32::MIN || days == i32::MAX {
                out.extend_from_slice(b"null");
            } else {
                out.push(b'"');
                date(out, i64::from(days) + EPOCH_DAYS);
                out.push(b'"');
            }
        }
        PostgresType::Uuid => {
            let mut text = uuid::Uuid::encode_buffer();
            let uuid = uuid::Uuid::from_slice(bytes).ok()?;
            out.push(b'"');
            out.extend_from_slice(uuid.hyphenated().encode_lower(&mut text).as_bytes());
            out.push(b'"');
        }
        PostgresType::Bytea => {
            out.push(b'"');
            let start = out.len();
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            let written = STANDARD.encode_slice(bytes, out.get_mut(start..)?).ok()?;
            out.truncate(start + written);
            out.push(b'"');
        }
        // The binary form of `jsonb` is one byte of version before the text.
        PostgresType::Jsonb => out.extend_from_slice(bytes.strip_prefix(&[1])?),
    }
    Some(())
}

/// The binary form of an array: dimensions, a flag, the element's OID, for each dimension its
/// length and lower bound, then each element behind its length.
fn array(out: &mut Vec<u8>, element: PostgresType, mut bytes: &[u8]) -> Option<()> {
    let dimensions = int4(&mut bytes)?;
    let (_flags, _oid) = (int4(&mut bytes)?, int4(&mut bytes)?);
    if dimensions == 0 {
        out.extend_from_slice(b"[]");
        return Some(());
    }
    if dimensions != 1 {
        return None;
    }
    let (length, _lower_bound) = (int4(&mut bytes)?, int4(&mut bytes)?);
    out.push(b'[');
    for index in 0..length {
        if index > 0 {
            out.push(b',');
        }
        let size = int4(&mut bytes)?;
        if size < 0 {
            out.extend_from_slice(b"null");
            continue;
        }
        let (value, rest) = bytes.split_at_checked(size as usize)?;
        scalar(out, element, value)?;
        bytes = rest;
    }
    out.push(b']');
    Some(())
}

fn int4(bytes: &mut &[u8]) -> Option<i32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(i32::from_be_bytes(*head))
}

fn integer(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Whole numbers are written without a fraction, as JavaScript writes them; what JSON has no
/// word for becomes null.
fn float(out: &mut Vec<u8>, number: f64) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        out.extend_from_slice(b"null");
    } else if number.fract() == 0.0 && number.abs() <= EXACT {
        integer(out, number as i64);
    } else {
        out.extend_from_slice(ryu::Buffer::new().format_finite(number).as_bytes());
    }
}

/// Days from 1970-01-01 to 2000-01-01, where Postgres counts from.
const EPOCH_DAYS: i64 = 10_957;
const MICROSECONDS_PER_DAY: i64 = 86_400_000_000;

/// `"2026-01-31T12:00:00.000000Z"`; infinity is null.
fn timestamp(out: &mut Vec<u8>, microseconds: i64) {
    if microseconds == i64::MIN || microseconds == i64::MAX {
        out.extend_from_slice(b"null");
        return;
    }
    let time = microseconds.rem_euclid(MICROSECONDS_PER_DAY);
    // INVARIANT: below a day's 86,400 seconds and a second's 1,000,000 microseconds.
    let (second, micro) = ((time / 1_000_000) as u32, (time % 1_000_000) as u32);
    out.push(b'"');
    date(out, microseconds.div_euclid(MICROSECONDS_PER_DAY) + EPOCH_DAYS);
    let [[h1, h2], [m1, m2], [s1, s2]] = [second / 3_600, second / 60 % 60, second % 60].map(pair);
    let [[a, b], [c, d], [e, f]] = [micro / 10_000, micro / 100 % 100, micro % 100].map(pair);
    out.extend_from_slice(&[b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'.', a, b, c, d, e, f, b'Z', b'"']);
}

/// `2026-01-31` from days since 1970-01-01, by Howard Hinnant's `civil_from_days`.
fn date(out: &mut Vec<u8>, days: i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    // INVARIANT: below 146,097, so all that follows of it fits.
    let day_of_era = days.rem_euclid(146_097) as u32;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = i64::from(year_of_era) + era * 400 + i64::from(month <= 2);
    let [[m1, m2], [d1, d2]] = [month, day].map(pair);
    match u32::try_from(year) {
        Ok(year @ 0..=9_999) => {
            let [[y1, y2], [y3, y4]] = [year / 100, year % 100].map(pair);
            out.extend_from_slice(&[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]);
        }
        // Nothing the gateway wrote: the constraints keep to four digits.
        _ => {
            integer(out, year);
            out.extend_from_slice(&[b'-', m1, m2, b'-', d1, d2]);
        }
    }
}

/// The two digits of a number below 100.
fn pair(number: u32) -> [u8; 2] {
    [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]
}
