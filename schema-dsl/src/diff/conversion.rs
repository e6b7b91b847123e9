//! How a value of one stored type becomes one of another, exactly or not at all.
//!
//! A conversion that some values do not survive says which: those rows are named and nothing is
//! changed. None rounds, cuts or guesses.

use crate::column_type::{PostgresType, Storage};

/// An exact way from one stored type to another. Both texts are SQL over `@`, the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// The value in the new type; null for null.
    pub becomes: &'static str,
    /// True of a value that has no equal in the new type; none where every value has.
    pub fails_on: Option<&'static str>,
}

impl Conversion {
    /// The way from `from` to `to`, where there is one.
    pub fn between(from: Storage, to: Storage) -> Option<Conversion> {
        use PostgresType::{Bool, Bytea, Date, Float8, Int8, Jsonb, Numeric, Text, Timestamptz, Uuid};
        let always = |becomes| Some(Conversion { becomes, fails_on: None });
        let unless = |becomes, fails_on| Some(Conversion { becomes, fails_on: Some(fails_on) });
        match (from.is_array, to.is_array) {
            (false, true) if from.element == to.element => {
                return always("CASE WHEN @ IS NOT NULL THEN ARRAY[@] END");
            }
            (true, false) if to.element == Jsonb && from.element != Bytea => return always("to_jsonb(@)"),
            (true, true) => {
                return match (from.element, to.element) {
                    (Int8, Numeric) => always("@::numeric[]"),
                    (Int8, Text) => always("@::text[]"),
                    (Uuid, Text) => always("@::text[]"),
                    _ => None,
                };
            }
            (false, true) | (true, false) => return None,
            (false, false) => {}
        }
        match (from.element, to.element) {
            (Int8, Numeric) => always("@::numeric"),
            (Int8, Text) => always("@::text"),
            (Int8, Float8) => unless("@::double precision", "@ NOT BETWEEN -9007199254740992 AND 9007199254740992"),
            (Float8, Numeric) => always("@::text::numeric"),
            (Float8, Text) => always("@::text"),
            (Float8, Int8) => unless("@::bigint", "@ <> trunc(@) OR abs(@) > 9007199254740992"),
            (Numeric, Text) => always("@::text"),
            (Numeric, Int8) => {
                unless("@::bigint", "@ <> trunc(@) OR @ NOT BETWEEN -9223372036854775808 AND 9223372036854775807")
            }
            (Numeric, Float8) => unless(
                "@::double precision",
                "CASE WHEN abs(@) > 1e300 OR @ <> 0 AND abs(@) < 1e-300 THEN true \
                 ELSE @::double precision::text::numeric <> @ END",
            ),
            (Bool, Text) => always("@::text"),
            (Date, Timestamptz) => always("timezone('UTC', @::timestamp)"),
            (Timestamptz, Date) => {
                unless("timezone('UTC', @)::date", "timezone('UTC', @) <> date_trunc('day', timezone('UTC', @))")
            }
            (Date, Text) => always("to_char(@, 'YYYY-MM-DD')"),
            (Timestamptz, Text) => always("to_char(timezone('UTC', @), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"),
            (Uuid, Text) => always("@::text"),
            (Text, Int8) => unless("@::bigint", "@ !~ '^(0|-?[1-9][0-9]{0,17})$'"),
            (Text, Numeric) => unless("@::numeric", "@ !~ '^-?(0|[1-9][0-9]*)([.][0-9]+)?$' OR char_length(@) > 1000"),
            (Text, Float8) => unless(
                "@::double precision",
                "CASE WHEN @ !~ '^(0|-?(0|[1-9][0-9]{0,14})([.][0-9]{0,14}[1-9])?)$' THEN true \
                 ELSE @::double precision::text <> @ END",
            ),
            (Text, Bool) => unless("@::boolean", "@ NOT IN ('true', 'false')"),
            (Text, Uuid) => unless("@::uuid", "@ !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'"),
            (Text | Int8 | Float8 | Numeric | Bool | Uuid, Jsonb) => always("to_jsonb(@)"),
            _ => None,
        }
    }

    /// `becomes` of the expression `value`.
    pub fn of(&self, value: &str) -> String {
        self.becomes.replace('@', value)
    }

    /// `fails_on` of the expression `value`.
    pub fn failure_of(&self, value: &str) -> Option<String> {
        self.fails_on.map(|fails| fails.replace('@', value))
    }
}
