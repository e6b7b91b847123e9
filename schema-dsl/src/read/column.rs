//! Columns, validators of arguments, fields of objects: a type with its limits, in four holders.
//!
//! A holder decides which options may stand beside the type's own: a column has all of them, an
//! element of an array none. A type that could not be read is replaced by the likeliest one, so
//! that its column stays known to those who name it.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::column_type::{ColumnType, Field, OnDelete, SHAPE_DEPTH_MAX};
use crate::definition::{Column, Validator};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::pattern::Pattern;
use crate::read::complaints::{
    Choices, Complaints, array, choice, flag, object, one_of, quoted, required, text, unknown_option, with_article,
    wrong_type,
};
use crate::read::operand;
use crate::value::{DECIMAL_CHARACTERS_MAX, is_decimal};

/// What a type stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Column,
    Argument,
    Field,
    Element,
}

impl Holder {
    const fn noun(self) -> &'static str {
        match self {
            Holder::Column => "a column",
            Holder::Argument => "an argument",
            Holder::Field => "a field",
            Holder::Element => "an array's element",
        }
    }

    const fn options(self) -> &'static [&'static str] {
        match self {
            Holder::Column => &["type", "optional", "default", "private", "unique", "renamedFrom"],
            Holder::Argument => &["type", "optional", "default"],
            Holder::Field => &["type", "optional"],
            Holder::Element => &["type"],
        }
    }
}

/// The words for types, before their options are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    String,
    Integer,
    Number,
    Boolean,
    Decimal,
    Timestamp,
    Date,
    Uuid,
    Bytes,
    Enum,
    Id,
    Array,
    Object,
    Json,
}

const WORDS: Choices<'static, Word> = Choices {
    noun: "type",
    code: "unknown_type",
    all: &[
        ("string", Word::String),
        ("integer", Word::Integer),
        ("number", Word::Number),
        ("boolean", Word::Boolean),
        ("decimal", Word::Decimal),
        ("timestamp", Word::Timestamp),
        ("date", Word::Date),
        ("uuid", Word::Uuid),
        ("bytes", Word::Bytes),
        ("enum", Word::Enum),
        ("id", Word::Id),
        ("array", Word::Array),
        ("object", Word::Object),
        ("json", Word::Json),
    ],
    synonyms: &[
        ("text", "string"),
        ("varchar", "string"),
        ("int", "integer"),
        ("int4", "integer"),
        ("int8", "integer"),
        ("bigint", "integer"),
        ("float", "number"),
        ("float64", "number"),
        ("double", "number"),
        ("real", "number"),
        ("bool", "boolean"),
        ("numeric", "decimal"),
        ("money", "decimal"),
        ("datetime", "timestamp"),
        ("timestamptz", "timestamp"),
        ("bytea", "bytes"),
        ("binary", "bytes"),
        ("union", "enum"),
        ("ref", "id"),
        ("reference", "id"),
        ("list", "array"),
        ("record", "object"),
        ("jsonb", "json"),
        ("any", "json"),
    ],
    later: &[],
};

const ON_DELETE: Choices<'static, OnDelete> = Choices {
    noun: "choice for `onDelete`",
    code: "unknown_on_delete",
    all: &[("restrict", OnDelete::Restrict), ("cascade", OnDelete::Cascade), ("setNull", OnDelete::SetNull)],
    synonyms: &[("set null", "setNull"), ("null", "setNull"), ("no action", "restrict"), ("delete", "cascade")],
    later: &[],
};

/// A type, and whether it is only what was probably meant.
struct TypeRead {
    column_type: ColumnType,
    guessed: bool,
}

/// Reads a column; it is there in any case, since functions and indexes name it.
pub(super) fn column(value: &Value, at: &str, complaints: &mut Complaints) -> Column {
    let nothing = Map::new();
    let map = object(value, at, "a column: an object with `type`", complaints);
    let guess = TypeRead { column_type: any_string(), guessed: true };
    let read = map.map_or(guess, |map| column_type(map, at, Holder::Column, 0, complaints));
    let map = map.unwrap_or(&nothing);
    Column {
        private: flag(map, "private", at, complaints),
        unique: flag(map, "unique", at, complaints),
        renamed_from: super::former_name(map, at, complaints),
        validator: with_default(map, read, at, complaints),
    }
}

/// Reads the validator of an argument; `None` when its type could not be read.
pub(super) fn validator(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Validator> {
    let map = object(value, at, "a validator: an object with `type`", complaints)?;
    let read = column_type(map, at, Holder::Argument, 0, complaints);
    let guessed = read.guessed;
    let validator = with_default(map, read, at, complaints);
    (!guessed).then_some(validator)
}

fn with_default(map: &Map<String, Value>, read: TypeRead, at: &str, complaints: &mut Complaints) -> Validator {
    let optional = flag(map, "optional", at, complaints);
    let default =
        map.get("default").and_then(|value| operand::default_value(value, &pointer_to(at, "default"), complaints));
    // A default would be judged against a type that the author did not write.
    let default = default.filter(|_| !read.guessed);
    Validator { column_type: read.column_type, optional, default }
}

fn column_type(
    map: &Map<String, Value>,
    at: &str,
    holder: Holder,
    depth: usize,
    complaints: &mut Complaints,
) -> TypeRead {
    let word = match required(map, "type", "a type such as `string`", at, complaints) {
        Some(value) => choice(value, &pointer_to(at, "type"), &WORDS, complaints),
        None => Err(None),
    };
    let (word, guessed) = match word {
        Ok(word) => (word, false),
        Err(Some(word)) => (word, true),
        // Nothing is known of the options either.
        Err(None) => return TypeRead { column_type: any_string(), guessed: true },
    };
    refuse_options(map, at, word, holder, complaints);
    let read = match word {
        Word::String => Some(ColumnType::String {
            min: length(map, "min", at, complaints),
            max: length(map, "max", at, complaints),
            pattern: pattern(map, at, complaints),
        }),
        Word::Integer => Some(ColumnType::Integer {
            min: integer(map, "min", at, complaints),
            max: integer(map, "max", at, complaints),
        }),
        Word::Number => Some(ColumnType::Number {
            min: number(map, "min", at, complaints),
            max: number(map, "max", at, complaints),
        }),
        Word::Boolean => Some(ColumnType::Boolean),
        Word::Decimal => Some(ColumnType::Decimal {
            min: decimal(map, "min", at, complaints),
            max: decimal(map, "max", at, complaints),
        }),
        Word::Timestamp => Some(ColumnType::Timestamp),
        Word::Date => Some(ColumnType::Date),
        Word::Uuid => Some(ColumnType::Uuid),
        Word::Bytes => {
            Some(ColumnType::Bytes { min: length(map, "min", at, complaints), max: length(map, "max", at, complaints) })
        }
        Word::Enum => enumeration(map, at, complaints),
        Word::Id => reference(map, at, complaints),
        Word::Array => elements(map, at, depth, complaints),
        Word::Object => fields(map, at, depth, complaints),
        Word::Json => Some(ColumnType::Json),
    };
    TypeRead { guessed: guessed || read.is_none(), column_type: read.unwrap_or_else(any_string) }
}

/// The type that the fewest uses are wrong with.
const fn any_string() -> ColumnType {
    ColumnType::String { min: None, max: None, pattern: None }
}

const fn type_options(word: Word) -> &'static [&'static str] {
    match word {
        Word::String => &["min", "max", "pattern"],
        Word::Integer | Word::Number | Word::Decimal | Word::Bytes => &["min", "max"],
        Word::Enum => &["values"],
        Word::Id => &["table", "onDelete"],
        Word::Array => &["items", "min", "max"],
        Word::Object => &["fields"],
        Word::Boolean | Word::Timestamp | Word::Date | Word::Uuid | Word::Json => &[],
    }
}

fn refuse_options(map: &Map<String, Value>, at: &str, word: Word, holder: Holder, complaints: &mut Complaints) {
    let written = WORDS.all.iter().find(|(_, known)| *known == word).map_or("", |(written, _)| *written);
    let known = [type_options(word), holder.options()].concat();
    for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
        let at = pointer_to(at, name);
        let others = WORDS.all.iter().filter(|(_, other)| type_options(*other).contains(&name.as_str()));
        let others: Vec<&str> = others.map(|(written, _)| *written).collect();
        complaints.push(if !others.is_empty() {
            let message = format!("`{name}` means nothing for type `{written}`");
            Diagnostic::new("option_not_for_type", at, message).with_hint(format!("it is for {}", one_of(others)))
        } else if Holder::Column.options().contains(&name.as_str()) {
            let message = format!("`{name}` means nothing for {}", holder.noun());
            let hint = if holder == Holder::Element { "say it of the array" } else { "say it of the column" };
            Diagnostic::new("option_not_for_type", at, message).with_hint(hint)
        } else {
            unknown_option(name, &at, &format!("{} of type `{written}`", holder.noun()), &known)
        });
    }
}

fn enumeration(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<ColumnType> {
    let value = required(map, "values", "an array of texts", at, complaints)?;
    let at = pointer_to(at, "values");
    let elements = array(value, &at, "an array of texts", complaints)?;
    if elements.is_empty() {
        complaints.push(Diagnostic::new("empty_enum", at, "an enum needs at least one value"));
        return None;
    }
    let mut values: indexmap::IndexSet<String> = indexmap::IndexSet::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let at = pointer_to(&at, index);
        let Some(value) = text(element, &at, "text", complaints) else { continue };
        if value.contains('\0') {
            complaints.push(Diagnostic::new("nul_character", at, "text cannot hold the character U+0000"));
        } else if !values.insert(value.to_owned()) {
            complaints.push(Diagnostic::new("duplicate_value", at, format!("{} is given twice", quoted(value))));
        }
    }
    (!values.is_empty()).then(|| ColumnType::Enum { values: values.into_iter().collect() })
}

fn reference(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<ColumnType> {
    let on_delete = map
        .get("onDelete")
        .map_or(Ok(OnDelete::default()), |value| choice(value, &pointer_to(at, "onDelete"), &ON_DELETE, complaints));
    let table = required(map, "table", "the name of the table it refers to", at, complaints)?;
    let table = text(table, &pointer_to(at, "table"), "a table's name", complaints)?;
    Some(ColumnType::Id { table: table.to_owned(), on_delete: on_delete.unwrap_or_else(Option::unwrap_or_default) })
}

fn elements(map: &Map<String, Value>, at: &str, depth: usize, complaints: &mut Complaints) -> Option<ColumnType> {
    let min = length(map, "min", at, complaints);
    let max = length(map, "max", at, complaints);
    let items = required(map, "items", "the type of the elements", at, complaints)?;
    let at = pointer_to(at, "items");
    let items = object(items, &at, "a type: an object with `type`", complaints)?;
    if let Some(word) = items.get("type").and_then(Value::as_str)
        && ["array", "object", "json"].contains(&word)
    {
        let message = format!("an array holds single values, not {}", with_article(word));
        let hint = "use type `json`, or a table of its own";
        complaints.push(Diagnostic::new("array_of_documents", at, message).with_hint(hint));
        return None;
    }
    let read = column_type(items, &at, Holder::Element, depth, complaints);
    // What was probably meant may be a document as well.
    let items = if read.column_type.is_scalar() { read.column_type } else { any_string() };
    (!read.guessed).then(|| ColumnType::Array { items: Box::new(items), min, max })
}

fn fields(map: &Map<String, Value>, at: &str, depth: usize, complaints: &mut Complaints) -> Option<ColumnType> {
    if depth >= SHAPE_DEPTH_MAX {
        let message = format!("objects nest {SHAPE_DEPTH_MAX} deep at most");
        complaints.push(Diagnostic::new("too_deep", at, message).with_hint("use type `json` for the inner ones"));
        return None;
    }
    let value = required(map, "fields", "types by field name", at, complaints)?;
    let at = pointer_to(at, "fields");
    let members = object(value, &at, "types by field name: an object", complaints)?;
    let mut fields = IndexMap::with_capacity(members.len());
    for (name, value) in members {
        let at = pointer_to(&at, name);
        let Some(map) = object(value, &at, "a field: an object with `type`", complaints) else { continue };
        let column_type = column_type(map, &at, Holder::Field, depth + 1, complaints).column_type;
        fields.insert(name.clone(), Field { column_type, optional: flag(map, "optional", &at, complaints) });
    }
    Some(ColumnType::Object { fields })
}

/// The value as an integer, when it is one; scripts write `3` as `3.0`.
pub(super) fn integral(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT)?;
        Some(number as i64)
    })
}

fn length(map: &Map<String, Value>, name: &str, at: &str, complaints: &mut Complaints) -> Option<u32> {
    let value = map.get(name)?;
    let at = pointer_to(at, name);
    if !value.is_number() {
        complaints.push(wrong_type(value, &at, "a length: an integer"));
        return None;
    }
    // Lengths are compared with lengths of Postgres, which are `integer`.
    let length =
        integral(value).and_then(|length| u32::try_from(length).ok()).filter(|length| *length <= i32::MAX as u32);
    if length.is_none() {
        let message = format!("`{value}` is not a length; expected an integer from 0 to {}", i32::MAX);
        complaints.push(Diagnostic::new("out_of_range", at, message));
    }
    length
}

fn integer(map: &Map<String, Value>, name: &str, at: &str, complaints: &mut Complaints) -> Option<i64> {
    let value = map.get(name)?;
    let at = pointer_to(at, name);
    if !value.is_number() {
        complaints.push(wrong_type(value, &at, "an integer"));
        return None;
    }
    let read = integral(value);
    if read.is_none() {
        let message = format!("`{value}` is not an integer from {} to {}", i64::MIN, i64::MAX);
        complaints.push(Diagnostic::new("out_of_range", at, message));
    }
    read
}

fn number(map: &Map<String, Value>, name: &str, at: &str, complaints: &mut Complaints) -> Option<f64> {
    let value = map.get(name)?;
    let read = value.as_f64().filter(|number| number.is_finite());
    if read.is_none() {
        complaints.push(wrong_type(value, &pointer_to(at, name), "a number"));
    }
    read
}

/// A bound of a decimal: digits as text, or a number that has not lost any.
fn decimal(map: &Map<String, Value>, name: &str, at: &str, complaints: &mut Complaints) -> Option<String> {
    let value = map.get(name)?;
    let at = pointer_to(at, name);
    let digits = match value {
        Value::String(digits) => digits.clone(),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            complaints.push(wrong_type(value, &at, "a decimal such as `\"12.50\"`"));
            return None;
        }
    };
    if digits.len() > DECIMAL_CHARACTERS_MAX || !is_decimal(&digits) {
        let message = format!("{} is not a decimal", quoted(&digits));
        let hint = "write digits such as `\"12.50\"`, without an exponent";
        complaints.push(Diagnostic::new("malformed_decimal", at, message).with_hint(hint));
        return None;
    }
    Some(digits)
}

fn pattern(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Pattern> {
    let at = pointer_to(at, "pattern");
    let source = text(map.get("pattern")?, &at, "a regular expression as text", complaints)?;
    match Pattern::new(source) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            let message = format!("{} is not a pattern: {reason}", quoted(source));
            complaints.push(Diagnostic::new("malformed_pattern", at, message));
            None
        }
    }
}
