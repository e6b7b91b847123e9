//! An export as a file: its lines, each no longer than is held in memory, and what they say.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rowgate_schema_dsl::diagnostic::nearest;
use rowgate_schema_dsl::model::{Column, DefaultValue, Model, Origin};
use rowgate_schema_dsl::value::{Members, Typed, parse};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};
use uuid::Uuid;

use crate::lifecycle::FORMAT;
use crate::plan::slice::groups;

/// A line that is longer is not read.
pub(super) const LINE_BYTES_MAX: usize = 32 << 20;
/// Complaints about one row.
const ROW_COMPLAINTS_MAX: usize = 20;

/// The lines of a file, one after the other.
pub(super) struct Lines<R> {
    input: R,
    text: Vec<u8>,
    line: u64,
}

pub(super) enum Read<'a> {
    /// Its number, from 1, and its text.
    Line(u64, &'a [u8]),
    TooLong(u64),
    End,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Lines<R> {
        Lines { input, text: Vec::new(), line: 0 }
    }

    /// The number of the last line.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next line that is not empty.
    pub(super) async fn next(&mut self) -> std::io::Result<Read<'_>> {
        loop {
            self.text.clear();
            let mut is_whole = false;
            while !is_whole {
                let part = self.input.fill_buf().await?;
                if part.is_empty() {
                    break;
                }
                let (taken, used) = match part.iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        is_whole = true;
                        (part.get(..end).unwrap_or_default(), end + 1)
                    }
                    None => (part, part.len()),
                };
                if self.text.len() + taken.len() > LINE_BYTES_MAX {
                    self.line += 1;
                    return Ok(Read::TooLong(self.line));
                }
                self.text.extend_from_slice(taken);
                self.input.consume(used);
            }
            if self.text.is_empty() && !is_whole {
                return Ok(Read::End);
            }
            self.line += 1;
            if !self.text.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Read::Line(self.line, &self.text))
    }
}

/// A line behind the header.
pub(super) enum Line<'a> {
    Row { table: Cow<'a, str>, row: &'a RawValue },
    End(BTreeMap<String, u64>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<'a> {
    #[serde(borrow)]
    table: Option<Cow<'a, str>>,
    #[serde(borrow)]
    row: Option<&'a RawValue>,
    end: Option<BTreeMap<String, u64>>,
}

impl Line<'_> {
    pub(super) fn read(text: &[u8]) -> Result<Line<'_>, String> {
        let wrong = || r#"expected {"table": "…", "row": {…}}"#.to_owned();
        match serde_json::from_slice(text).map_err(|_| wrong())? {
            Written { table: Some(table), row: Some(row), end: None } => Ok(Line::Row { table, row }),
            Written { table: None, row: None, end: Some(end) } => Ok(Line::End(end)),
            Written { .. } => Err(wrong()),
        }
    }
}

/// What the first line says.
pub(super) struct Header<'m> {
    pub(super) tables: Vec<Table<'m>>,
}

/// A table of the file.
pub(super) struct Table<'m> {
    pub(super) table: &'m rowgate_schema_dsl::model::Table,
    /// Those that are inserted: `id` first, all but the scope.
    pub(super) columns: Vec<&'m Column>,
    /// The places of optional references to tables that do not stand before this one.
    pub(super) deferred: Vec<usize>,
    /// The circle of required references it is in, by its first table's place.
    pub(super) circle: Option<usize>,
}

#[derive(Deserialize)]
struct WrittenHeader {
    rowgate_export: u64,
    extension: WrittenExtension,
    tables: Vec<String>,
}

#[derive(Deserialize)]
struct WrittenExtension {
    id: Uuid,
    name: String,
}

/// What every version of a header has.
#[derive(Deserialize)]
struct AnyHeader {
    rowgate_export: u64,
}

impl<'m> Header<'m> {
    /// Reads the first line; everything that keeps its rows from `model`'s tables at once.
    pub(super) fn read(text: &[u8], model: &'m Model) -> Result<Header<'m>, Vec<String>> {
        let no_header = || vec!["the first line is no header; expected what `rowgate export` wrote".to_owned()];
        let AnyHeader { rowgate_export } = serde_json::from_slice(text).map_err(|_| no_header())?;
        if rowgate_export != u64::from(FORMAT) {
            return Err(vec![format!(
                "the file is of format {rowgate_export}, and this version reads {FORMAT}; use a newer version"
            )]);
        }
        let written: WrittenHeader = serde_json::from_slice(text).map_err(|_| no_header())?;
        debug_assert_eq!(written.rowgate_export, rowgate_export);
        if written.extension.id != model.extension.id {
            let (name, ours) = (written.extension.name, &model.extension.name);
            let name: String = name.chars().take(64).collect();
            return Err(vec![format!(
                "the file is of the extension `{name}` ({}), and the install is of `{ours}`",
                written.extension.id
            )]);
        }
        let mut complaints = Vec::new();
        let mut tables: Vec<Table<'m>> = Vec::new();
        for name in &written.tables {
            let shown: String = name.chars().take(64).collect();
            if tables.iter().any(|table| table.table.name == **name) {
                complaints.push(format!("table `{shown}` is named twice"));
                continue;
            }
            match model.table(name) {
                Some(table) => {
                    let columns = table.columns.iter().collect();
                    tables.push(Table { table, columns, deferred: Vec::new(), circle: None });
                }
                None => complaints.push(match nearest(&shown, model.tables.iter().map(|table| table.name.as_str())) {
                    Some(nearest) => format!("there is no table `{shown}`; did you mean `{nearest}`?"),
                    None => format!("there is no table `{shown}`"),
                }),
            }
        }
        set_circles(model, &mut tables);
        let names: Vec<&str> = tables.iter().map(|table| table.table.name.as_str()).collect();
        for (place, table) in tables.iter_mut().enumerate() {
            for (column, reference) in table.columns.iter().enumerate() {
                let Some((to, _)) = reference.reference() else { continue };
                // What is not in the file may be there already.
                let Some(target) = names.iter().position(|name| *name == to) else { continue };
                if target < place {
                    continue;
                }
                if reference.optional {
                    table.deferred.push(column);
                } else if table.circle.is_none() {
                    complaints.push(format!(
                        "table `{}` stands before table `{to}`, which its rows refer to",
                        table.table.name
                    ));
                }
            }
        }
        if complaints.is_empty() { Ok(Header { tables }) } else { Err(complaints) }
    }
}

fn set_circles(model: &Model, tables: &mut [Table<'_>]) {
    let scopes: Vec<_> = tables.iter().map(|table| table.table.scope).collect();
    for scope in scopes {
        for group in groups(model, scope).iter().filter(|group| group.is_circle) {
            let is_of = |table: &Table<'_>| group.members.iter().any(|member| member.table.name == table.table.name);
            let first = tables.iter().position(is_of);
            for table in tables.iter_mut().filter(|table| is_of(table)) {
                table.circle = first;
            }
        }
    }
}

impl Table<'_> {
    /// The values of a row's columns, or everything that is wrong with it.
    pub(super) fn row(&self, raw: &str) -> Result<Vec<Typed>, Vec<String>> {
        let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(raw) else {
            return Err(vec!["expected a row, an object of its columns".to_owned()]);
        };
        let mut complaints = Vec::new();
        let mut found: Vec<Option<&str>> = vec![None; self.columns.len()];
        for (name, value) in &members {
            if complaints.len() >= ROW_COMPLAINTS_MAX {
                return Err(complaints);
            }
            match self.columns.iter().zip(&mut found).find(|(column, _)| column.name == **name) {
                Some((_, place @ None)) => *place = Some(value.get()),
                Some((column, Some(_))) => complaints.push(format!("`{}` is given twice", column.name)),
                None => {
                    let shown: String = name.chars().take(64).collect();
                    let hint = nearest(&shown, self.columns.iter().map(|column| column.name.as_str()))
                        .map_or_else(String::new, |nearest| format!("; did you mean `{nearest}`?"));
                    complaints.push(format!("`{shown}` is no column of table `{}`{hint}", self.table.name));
                }
            }
        }
        let mut values = Vec::with_capacity(self.columns.len());
        for (column, raw) in self.columns.iter().zip(found) {
            match value(column, raw) {
                Ok(value) => values.push(value),
                Err(messages) => complaints.extend(
                    messages.into_iter().map(|(pointer, message)| format!("`{}{pointer}`: {message}", column.name)),
                ),
            }
        }
        complaints.truncate(ROW_COMPLAINTS_MAX);
        if complaints.is_empty() { Ok(values) } else { Err(complaints) }
    }
}

/// A column's value; what is wrong with it by the place within it.
fn value(column: &Column, raw: Option<&str>) -> Result<Typed, Vec<(String, String)>> {
    let alone = |message: String| vec![(String::new(), message)];
    match raw {
        Some("null") if column.optional => Ok(Typed::Null),
        Some("null") => Err(alone("cannot be null".to_owned())),
        None => match &column.default {
            // A column that came after the export has its default, as rows had that were there.
            Some(DefaultValue::Value(value)) if column.origin == Origin::Author => Ok(value.clone()),
            Some(_) | None if column.optional => Ok(Typed::Null),
            Some(_) | None => Err(alone(format!("is missing; expected {}", column.column_type.phrase()))),
        },
        Some(raw) => {
            let typed = parse(&column.column_type, raw).map_err(|refusals| {
                refusals.into_iter().map(|refusal| (refusal.pointer, refusal.message)).collect::<Vec<_>>()
            })?;
            match typed {
                Typed::Int8(version) if column.origin == Origin::System && version < 1 => {
                    Err(alone("expected at least 1".to_owned()))
                }
                typed => Ok(typed),
            }
        }
    }
}
