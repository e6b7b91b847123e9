//! Lines that handlers logged: kept together, as many as fit of each install, and read again in order.

use std::time::SystemTime;

use tokio_postgres::{Error, GenericClient, Row};
use uuid::Uuid;

/// Lines kept of each install.
pub const LINES_KEPT_MAX: i64 = 1_000;

/// A line that a handler wrote, or that says how one failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub install_id: Uuid,
    pub at: SystemTime,
    /// As the caller was told it.
    pub request_id: Option<String>,
    pub function: String,
    /// `info`, `warn` or `error`.
    pub level: String,
    pub file: Option<String>,
    pub line: Option<i32>,
    pub message: String,
    /// JSON text, perhaps cut.
    pub attributes: Option<String>,
}

/// Keeps `lines`, in their order.
pub async fn keep(client: &impl GenericClient, lines: &[Line]) -> Result<(), Error> {
    fn column<'a, T>(lines: &'a [Line], of: impl Fn(&'a Line) -> T) -> Vec<T> {
        lines.iter().map(of).collect()
    }
    let sql = "INSERT INTO rowgate.handler_lines
                   (install_id, at, request_id, function, level, file, line, message, attributes)
               SELECT l.install_id, l.at, l.request_id, l.function, l.level, l.file, l.line, l.message, l.attributes
                 FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int4[],
                             $8::text[], $9::text[]) WITH ORDINALITY
                      AS l (install_id, at, request_id, function, level, file, line, message, attributes, place)
                ORDER BY l.place";
    client
        .execute(
            sql,
            &[
                &column(lines, |line| line.install_id),
                &column(lines, |line| line.at),
                &column(lines, |line| line.request_id.as_deref()),
                &column(lines, |line| line.function.as_str()),
                &column(lines, |line| line.level.as_str()),
                &column(lines, |line| line.file.as_deref()),
                &column(lines, |line| line.line),
                &column(lines, |line| line.message.as_str()),
                &column(lines, |line| line.attributes.as_deref()),
            ],
        )
        .await
        .map(drop)
}

/// Drops what `installs` have beyond [`LINES_KEPT_MAX`], the oldest first.
pub async fn trim(client: &impl GenericClient, installs: &[Uuid]) -> Result<u64, Error> {
    let sql = "DELETE FROM rowgate.handler_lines l
                USING unnest($1::uuid[]) AS i (id)
                WHERE l.install_id = i.id
                  AND l.id <= (SELECT k.id FROM rowgate.handler_lines k WHERE k.install_id = i.id
                                ORDER BY k.id DESC OFFSET $2 LIMIT 1)";
    client.execute(sql, &[&installs, &LINES_KEPT_MAX]).await
}

/// The last `count` lines of `install` behind the one numbered `after`, or of all installs, the
/// oldest first, each with its number.
pub async fn read(
    client: &impl GenericClient,
    install: Option<Uuid>,
    after: i64,
    count: i64,
) -> Result<Vec<(i64, Line)>, Error> {
    let sql = "SELECT id, install_id, at, request_id, function, level, file, line, message, attributes
                 FROM (SELECT * FROM rowgate.handler_lines
                        WHERE ($1::uuid IS NULL OR install_id = $1) AND id > $2 ORDER BY id DESC LIMIT $3) l
                ORDER BY id";
    client.query(sql, &[&install, &after, &count]).await?.iter().map(line).collect()
}

fn line(row: &Row) -> Result<(i64, Line), Error> {
    let line = Line {
        install_id: row.try_get(1)?,
        at: row.try_get(2)?,
        request_id: row.try_get(3)?,
        function: row.try_get(4)?,
        level: row.try_get(5)?,
        file: row.try_get(6)?,
        line: row.try_get(7)?,
        message: row.try_get(8)?,
        attributes: row.try_get(9)?,
    };
    Ok((row.try_get(0)?, line))
}
