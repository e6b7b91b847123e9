//! The query of a script inside the gateway's own: its rows as JSON text by the rules of `ctx.db`,
//! and none behind the one that is too much.

use postgres_types::Type;

use crate::plan::foreign::{Query, Refused, invalid};

/// How much one query answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    pub rows_max: usize,
    /// Of all rows together, as JSON.
    pub bytes_max: usize,
}

/// What Postgres says of a query's columns when it is asked by this; it is never run.
pub fn description(query: &Query) -> String {
    format!("SELECT * FROM ({}) AS q", query.sql)
}

/// Where the script's own text begins in what [`description`] makes, from 1.
pub const DESCRIPTION_OFFSET: usize = "SELECT * FROM (".len();

/// The statement that is run: a row of one text for each row of `query`, whose columns have these
/// names and types. The text is null from where the answer would be too long, and there is a row
/// more than `room` has where there are too many.
pub fn statement(query: &Query, columns: &[(&str, &Type)], room: Room) -> Result<String, Refused> {
    let (mut places, mut members, mut names) = (String::new(), String::new(), Vec::new());
    for (place, (name, of_type)) in columns.iter().enumerate() {
        if names.contains(name) {
            // What Postgres calls an expression.
            let which = if *name == "?column?" { "have no name".to_owned() } else { format!("are called `{name}`") };
            return Err(invalid(format!("two columns {which}; name each by AS")));
        }
        names.push(name);
        let comma = if place == 0 { "" } else { ", " };
        let value = value(&format!("q.c{place}"), of_type).ok_or_else(|| {
            invalid(format!("column `{name}` has a type that is no answer; cast it, such as by `::text`"))
        })?;
        places.push_str(&format!("{comma}c{place}"));
        members.push_str(&format!("{comma}{value} AS \"{}\"", name.replace('"', "\"\"")));
    }
    if columns.is_empty() {
        return Err(invalid("the query has no columns".to_owned()));
    }
    let (inner, rows, bytes) = (&query.sql, room.rows_max.saturating_add(1), room.bytes_max);
    // The sum counts the comma behind each row.
    Ok(format!(
        "SELECT CASE WHEN sum(octet_length(j) + 1) OVER (ROWS UNBOUNDED PRECEDING) <= {bytes} THEN j END FROM \
         (SELECT row_to_json(r)::text AS j FROM (SELECT {members} FROM ({inner}) AS q ({places})) AS r LIMIT {rows}) AS s"
    ))
}

/// How the value of a column is written as `ctx.db` writes one; none where nothing is known to.
fn value(place: &str, of_type: &Type) -> Option<String> {
    Some(match *of_type {
        Type::BOOL
        | Type::INT2
        | Type::INT4
        | Type::INT8
        | Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::CHAR
        | Type::UUID
        | Type::JSON
        | Type::JSONB
        | Type::BOOL_ARRAY
        | Type::INT2_ARRAY
        | Type::INT4_ARRAY
        | Type::INT8_ARRAY
        | Type::TEXT_ARRAY
        | Type::VARCHAR_ARRAY
        | Type::UUID_ARRAY
        | Type::JSON_ARRAY
        | Type::JSONB_ARRAY => place.to_owned(),
        // A literal without a type is a text.
        Type::UNKNOWN => format!("{place}::text"),
        Type::NUMERIC | Type::TIME | Type::INTERVAL => format!("{place}::text"),
        Type::NUMERIC_ARRAY | Type::TIME_ARRAY | Type::INTERVAL_ARRAY => format!("{place}::text[]"),
        Type::FLOAT4 | Type::FLOAT8 => {
            format!("nullif(nullif(nullif({place}, 'NaN'), 'Infinity'), '-Infinity')")
        }
        Type::DATE => format!("CASE WHEN isfinite({place}) THEN {place} END"),
        // What is not finite is null by itself.
        Type::TIMESTAMPTZ => format!("to_char({place} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"),
        Type::TIMESTAMP => format!("to_char({place}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"),
        Type::BYTEA => format!("replace(encode({place}, 'base64'), chr(10), '')"),
        Type::FLOAT4_ARRAY | Type::FLOAT8_ARRAY => elements(place, &value("e.v", &Type::FLOAT8)?),
        Type::DATE_ARRAY => elements(place, &value("e.v", &Type::DATE)?),
        Type::TIMESTAMPTZ_ARRAY => elements(place, &value("e.v", &Type::TIMESTAMPTZ)?),
        Type::TIMESTAMP_ARRAY => elements(place, &value("e.v", &Type::TIMESTAMP)?),
        Type::BYTEA_ARRAY => elements(place, &value("e.v", &Type::BYTEA)?),
        _ => return None,
    })
}

/// A list of `element`, which is of `e.v`, for each element of the array at `place`.
fn elements(place: &str, element: &str) -> String {
    format!(
        "CASE WHEN {place} IS NOT NULL THEN coalesce((SELECT json_agg({element} ORDER BY e.n) \
         FROM unnest({place}) WITH ORDINALITY AS e (v, n)), '[]') END"
    )
}

/// The type a parameter may have, with how a JSON value is written for it.
pub fn takes(of_type: &Type) -> bool {
    let element = match of_type.kind() {
        postgres_types::Kind::Array(element) => element,
        _ => of_type,
    };
    matches!(
        *element,
        Type::BOOL
            | Type::INT2
            | Type::INT4
            | Type::INT8
            | Type::FLOAT4
            | Type::FLOAT8
            | Type::NUMERIC
            | Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::UUID
            | Type::DATE
            | Type::TIME
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::INTERVAL
            | Type::JSON
            | Type::JSONB
            | Type::BYTEA
    )
}
