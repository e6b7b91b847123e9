//! Brings rows of an export into an install: all of them or none, each held to the rules that a call's
//! values are held to, and everything that is wrong said at once, by its line.
//!
//! The file is read once, line by line, and no more of it is kept than a batch and the references that
//! lead to rows further down. Where a batch is refused its rows are tried one by one, so that the line is
//! known.

mod file;

use std::collections::{BTreeMap, HashSet};

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::model::{Column, Model};
use rowgate_schema_dsl::value::Typed;
use sha2::{Digest, Sha256};
use tokio::io::AsyncBufRead;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement, Transaction};
use uuid::Uuid;

use crate::db::parameter::Parameter;
use crate::db::{migrate, sqlstate, wall};
use crate::lifecycle::import::file::{Header, Line, Lines, Read, Table};
use crate::lifecycle::{SETTINGS, scope_key};
use crate::plan::compile::CompileError;
use crate::plan::slice::transfer::{Insert, PARAMETERS_MAX, Rows, has_rows, insert, refer};
use crate::record;
use crate::record::installs::{self, Life};
use crate::registry::recall;

/// Complaints about one file; what follows is not read.
pub const COMPLAINTS_MAX: usize = 100;
/// Rows of one statement.
const BATCH_ROWS: usize = 500;
/// Bytes of the lines of one statement, after which it is sent.
const BATCH_BYTES: usize = 4 << 20;
/// References to rows further down that are kept, 40 bytes each.
const REFERENCES_MAX: usize = 1_000_000;

/// On what terms rows are brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Whether tables may have rows already; those stay as they are.
    pub merge: bool,
    /// Whether each row gets another id, and references to it with it.
    pub new_ids: bool,
}

/// What is wrong with a line, which counts from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub line: u64,
    pub message: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("there is no install with this id")]
    Unknown,
    #[error("the install was uninstalled; reinstall it first")]
    Uninstalled,
    /// Everything that is wrong with the file.
    #[error("the file cannot be brought in: {} complaints", .0.len())]
    Refused(Vec<Complaint>),
    #[error("the deployed definition cannot be read by this version: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Recorded(Vec<Diagnostic>),
    #[error("the file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("a statement could not be written: {0}")]
    Compile(#[from] CompileError),
    #[error("Postgres refused to import: {}", migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// A row that was read, with its line.
struct Row {
    line: u64,
    /// In the order of its table's columns.
    values: Vec<Typed>,
}

/// A reference to a row further down.
#[derive(Clone, Copy)]
struct Reference {
    line: u64,
    table: usize,
    column: usize,
    row: Uuid,
    to: Uuid,
}

/// Brings the rows of `input` into the install; answers how many of each table.
pub async fn import(
    client: &mut Client,
    install_id: Uuid,
    terms: Terms,
    input: impl AsyncBufRead + Unpin,
) -> Result<BTreeMap<String, u64>, ImportError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    // A file may come slowly.
    transaction.batch_execute("SET LOCAL idle_in_transaction_session_timeout = '10min'").await?;
    let listed = installs::one(&transaction, install_id).await?.ok_or(ImportError::Unknown)?;
    match listed.life {
        Life::Active | Life::Disabled => {}
        Life::Uninstalled | Life::Erasing => return Err(ImportError::Uninstalled),
    }
    let install = &listed.install;
    let extension = record::extension(&transaction, install.extension_id).await?.ok_or(ImportError::Unknown)?;
    let model = recall(&extension.definition).map_err(ImportError::Recorded)?;
    wall::take(&transaction, extension.role.as_deref()).await?;
    let mut lines = Lines::new(input);
    let header = match lines.next().await? {
        Read::Line(1, text) => Header::read(text, &model),
        Read::Line(..) | Read::End => Err(vec!["the file is empty; expected what `rowgate export` wrote".to_owned()]),
        Read::TooLong(_) => Err(vec!["the first line is no header; expected what `rowgate export` wrote".to_owned()]),
    };
    let header = header.map_err(|messages| {
        ImportError::Refused(messages.into_iter().map(|message| Complaint { line: 1, message }).collect())
    })?;
    let mut import = Import {
        transaction: &transaction,
        model: &model,
        tables: header.tables,
        terms,
        salt: rand::random(),
        complaints: Vec::new(),
        references: Vec::new(),
        counts: BTreeMap::new(),
        waiting: Vec::new(),
        waiting_bytes: 0,
        at: 0,
        keys: Vec::new(),
        prepared: None,
    };
    import.begin(|scope| scope_key(install, scope)).await?;
    import.read(&mut lines).await?;
    if !import.complaints.is_empty() {
        import.complaints.sort_by_key(|complaint| complaint.line);
        return Err(ImportError::Refused(import.complaints));
    }
    let counts = import.counts;
    transaction.commit().await?;
    Ok(counts)
}

struct Import<'a> {
    transaction: &'a Transaction<'a>,
    model: &'a Model,
    tables: Vec<Table<'a>>,
    terms: Terms,
    /// What new ids are made with.
    salt: [u8; 16],
    complaints: Vec<Complaint>,
    references: Vec<Reference>,
    counts: BTreeMap<String, u64>,
    /// Rows that are not inserted yet, by table.
    waiting: Vec<(usize, Row)>,
    waiting_bytes: usize,
    /// The table whose rows are being read.
    at: usize,
    /// The scope of each table.
    keys: Vec<Uuid>,
    /// The statement of a full batch of a table.
    prepared: Option<(usize, Statement)>,
}

impl Import<'_> {
    /// Finds each table's scope, and that there is nothing in it.
    async fn begin(&mut self, key: impl Fn(Scope) -> Option<Uuid>) -> Result<(), ImportError> {
        for table in &self.tables {
            let Some(key) = key(table.table.scope) else {
                let name = &table.table.name;
                let message = format!("table `{name}` has rows per overlay, and the install has none");
                self.complaints.push(Complaint { line: 1, message });
                self.keys.push(Uuid::nil());
                continue;
            };
            self.keys.push(key);
            if self.terms.merge {
                continue;
            }
            let sql = has_rows(&self.model.postgres_schema, table.table);
            if self.transaction.query_one(&sql, &[&key]).await?.try_get(0)? {
                let message = format!(
                    "table `{}` has rows already; `--merge` adds to them and leaves them as they are",
                    table.table.name
                );
                self.complaints.push(Complaint { line: 1, message });
            }
        }
        Ok(())
    }

    async fn read(&mut self, lines: &mut Lines<impl AsyncBufRead + Unpin>) -> Result<(), ImportError> {
        if !self.complaints.is_empty() {
            return Ok(());
        }
        let mut end: Option<BTreeMap<String, u64>> = None;
        loop {
            if self.complaints.len() >= COMPLAINTS_MAX {
                return Ok(());
            }
            match lines.next().await? {
                Read::End => break,
                Read::TooLong(line) => {
                    self.complain(line, format!("the line is longer than {} bytes", file::LINE_BYTES_MAX));
                    // What it was is not known, so nothing is known of what follows.
                    return Ok(());
                }
                Read::Line(line, _) if end.is_some() => {
                    self.complain(line, "there is more after the end".to_owned());
                    return Ok(());
                }
                Read::Line(line, text) => match Line::read(text) {
                    Err(message) => self.complain(line, message),
                    Ok(Line::End(counts)) => end = Some(counts),
                    Ok(Line::Row { table, row }) => {
                        let bytes = row.get().len();
                        self.row(line, &table, row.get());
                        self.waiting_bytes += bytes;
                    }
                },
            }
            if self.waiting_bytes >= BATCH_BYTES || self.waiting.len() >= BATCH_ROWS {
                self.flush(false).await?;
            }
        }
        self.flush(true).await?;
        self.refer().await?;
        for Reference { line, table, column, .. } in std::mem::take(&mut self.references) {
            let name = self.tables.get(table).and_then(|table| table.columns.get(column)).map(|column| &column.name);
            let name = name.map(ToString::to_string).unwrap_or_default();
            self.complain(line, format!("`{name}` names a row that is not there"));
        }
        let last = lines.line();
        match end {
            None if self.complaints.is_empty() => {
                self.complain(last, "the file ends before its end; the last line of an export is its end".to_owned());
            }
            Some(end) if self.complaints.is_empty() => {
                for (table, told) in end {
                    let found = self.counts.get(&table).copied().unwrap_or_default();
                    if told != found {
                        self.complain(
                            last,
                            format!("the end tells of {told} rows of table `{table}`, and {found} are there"),
                        );
                    }
                }
            }
            None | Some(_) => {}
        }
        Ok(())
    }

    /// Takes a line's row, or complains of all that is wrong with it.
    fn row(&mut self, line: u64, name: &str, raw: &str) {
        let Some(place) = self.tables.iter().position(|table| table.table.name == *name) else {
            let shown: String = name.chars().take(64).collect();
            return self.complain(line, format!("table `{shown}` is not among those of the first line"));
        };
        if place < self.at {
            let at = self.tables.get(self.at).map(|table| table.table.name.to_string()).unwrap_or_default();
            return self.complain(line, format!("a row of table `{name}` comes after those of table `{at}`"));
        }
        self.at = place;
        let Some(table) = self.tables.get(place) else { return };
        let mut values = match table.row(raw) {
            Ok(values) => values,
            Err(messages) => {
                messages.into_iter().for_each(|message| self.complain(line, message));
                return;
            }
        };
        if self.terms.new_ids {
            for (column, value) in table.columns.iter().zip(&mut values) {
                if let Typed::Uuid(id) = value
                    && is_id(column)
                {
                    *id = another(self.salt, *id);
                }
            }
        }
        let Some(Typed::Uuid(id)) = values.first().cloned() else { return };
        for column in &table.deferred {
            if let Some(value @ Typed::Uuid(_)) = values.get_mut(*column)
                && let Typed::Uuid(to) = std::mem::replace(value, Typed::Null)
            {
                self.references.push(Reference { line, table: place, column: *column, row: id, to });
            }
        }
        *self.counts.entry(name.to_owned()).or_default() += 1;
        self.waiting.push((place, Row { line, values }));
    }

    fn complain(&mut self, line: u64, message: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(Complaint { line, message });
        }
    }

    /// Inserts the rows that wait; those of a circle only when all of them are there.
    async fn flush(&mut self, is_end: bool) -> Result<(), ImportError> {
        let circle = self.tables.get(self.at).and_then(|table| table.circle).filter(|_| !is_end);
        let circle_of = |place: usize| self.tables.get(place).and_then(|table| table.circle);
        let (kept, now): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(place, _)| circle.is_some() && circle_of(*place) == circle);
        self.waiting = kept;
        self.waiting_bytes = 0;
        let parameters: usize = self.waiting.iter().map(|(_, row)| row.values.len()).sum();
        if parameters >= PARAMETERS_MAX {
            let line = self.waiting.first().map_or(1, |(_, row)| row.line);
            let message = "tables that need each other's rows have too many of them to come in one statement";
            self.complain(line, message.to_owned());
            self.waiting.clear();
        }
        let mut now = now.into_iter().peekable();
        while let Some((place, row)) = now.next() {
            let mut batch = vec![(place, row)];
            let circle = circle_of_table(&self.tables, place);
            let together = |other: usize| {
                if circle.is_some() { circle_of_table(&self.tables, other) == circle } else { other == place }
            };
            while let Some(next) = now.next_if(|(other, _)| together(*other)) {
                batch.push(next);
            }
            let widest = self.tables.get(place).map_or(1, |table| table.columns.len()).max(1);
            let rows = if circle.is_some() { batch.len() } else { BATCH_ROWS.min((PARAMETERS_MAX - 1) / widest) };
            for part in batch.chunks(rows.max(1)) {
                self.insert(part, circle.is_some()).await?;
            }
        }
        if self.references.len() >= REFERENCES_MAX {
            self.refer().await?;
            if self.references.len() >= REFERENCES_MAX {
                let line = self.references.first().map_or(1, |reference| reference.line);
                self.complain(line, "too many references lead to rows further down".to_owned());
                self.references.clear();
            }
        }
        Ok(())
    }

    /// Inserts a batch; where that is refused, row by row, to know which.
    async fn insert(&mut self, batch: &[(usize, Row)], is_circle: bool) -> Result<(), ImportError> {
        self.transaction.batch_execute("SAVEPOINT batch").await?;
        let Err(error) = self.run(batch).await else {
            self.transaction.batch_execute("RELEASE SAVEPOINT batch").await?;
            return Ok(());
        };
        let ImportError::Database(error) = error else { return Err(error) };
        self.transaction.batch_execute("ROLLBACK TO SAVEPOINT batch").await.map_err(|_| error_or(&error))?;
        let tables: Vec<_> = self.tables.iter().map(|table| table.table).collect();
        if is_circle || batch.len() == 1 {
            let refused = sqlstate::row_refusal(&error, &tables).ok_or(error)?;
            let line = batch.first().map_or(1, |(_, row)| row.line);
            self.complain(line, refused);
            return Ok(());
        }
        for row in batch {
            if self.complaints.len() >= COMPLAINTS_MAX {
                return Ok(());
            }
            self.transaction.batch_execute("SAVEPOINT one").await?;
            match self.run(std::slice::from_ref(row)).await {
                Ok(()) => self.transaction.batch_execute("RELEASE SAVEPOINT one").await?,
                Err(ImportError::Database(error)) => {
                    self.transaction.batch_execute("ROLLBACK TO SAVEPOINT one").await?;
                    let refused = sqlstate::row_refusal(&error, &tables).ok_or(error)?;
                    self.complain(row.1.line, refused);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn run(&mut self, batch: &[(usize, Row)]) -> Result<(), ImportError> {
        let Some((first, _)) = batch.first() else { return Ok(()) };
        let mut places: Vec<usize> = batch.iter().map(|(place, _)| *place).collect();
        places.dedup();
        let full = places.len() == 1 && batch.len() == BATCH_ROWS;
        let known = self.prepared.as_ref().filter(|(place, _)| full && place == first);
        let statement = match known {
            Some((_, statement)) => statement.clone(),
            None => {
                let rows = places.iter().filter_map(|place| {
                    let table = self.tables.get(*place)?;
                    let count = batch.iter().filter(|(other, _)| other == place).count();
                    Some(Rows { table: table.table, columns: &table.columns, count })
                });
                let Insert { sql, types } = insert(&self.model.postgres_schema, &rows.collect::<Vec<_>>())?;
                let statement = self.transaction.prepare_typed(&sql, &types).await?;
                if full {
                    self.prepared = Some((*first, statement.clone()));
                }
                statement
            }
        };
        // Tables of one statement are of one storage, since they refer to each other.
        let key = self.keys.get(*first).copied().unwrap_or_default();
        let mut parameters = vec![Parameter::Uuid(key)];
        parameters.extend(batch.iter().flat_map(|(_, row)| &row.values).map(Parameter::Typed));
        let parameters = parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync));
        self.transaction.execute_raw(&statement, parameters).await?;
        Ok(())
    }

    /// Fills in the references whose rows are there; the others are kept.
    async fn refer(&mut self) -> Result<(), ImportError> {
        let mut all = std::mem::take(&mut self.references);
        all.sort_by_key(|reference| (reference.table, reference.column, reference.line));
        let is_same = |one: &Reference, other: &Reference| (one.table, one.column) == (other.table, other.column);
        for of_column in all.chunk_by(is_same) {
            let Some(Reference { table: place, column, .. }) = of_column.first() else { continue };
            let Some(table) = self.tables.get(*place) else { continue };
            let Some((reference, (target, _))) =
                table.columns.get(*column).and_then(|column| Some((column, column.reference()?)))
            else {
                continue;
            };
            let schema = &self.model.postgres_schema;
            let Insert { sql, types } = refer(schema, table.table.name.as_str(), reference.name.as_str(), target);
            let statement = self.transaction.prepare_typed(&sql, &types).await?;
            let key = self.keys.get(*place).copied().unwrap_or_default();
            for batch in of_column.chunks(BATCH_ROWS) {
                let rows: Vec<Uuid> = batch.iter().map(|reference| reference.row).collect();
                let to: Vec<Uuid> = batch.iter().map(|reference| reference.to).collect();
                let mut done = HashSet::with_capacity(batch.len());
                for row in self.transaction.query(&statement, &[&key, &rows, &to]).await? {
                    done.insert(row.try_get::<_, Uuid>(0)?);
                }
                self.references.extend(batch.iter().filter(|reference| !done.contains(&reference.row)).copied());
            }
        }
        Ok(())
    }
}

fn circle_of_table(tables: &[Table<'_>], place: usize) -> Option<usize> {
    tables.get(place).and_then(|table| table.circle)
}

/// The failure behind a rollback that failed too.
fn error_or(error: &tokio_postgres::Error) -> ImportError {
    ImportError::Read(std::io::Error::other(migrate::cause(error)))
}

/// Whether a column holds ids of rows.
fn is_id(column: &Column) -> bool {
    column.name == *"id" || matches!(column.column_type, ColumnType::Id { .. })
}

/// Another id, the same for the same, with the time of the old one, so that rows keep their order.
fn another(salt: [u8; 16], id: Uuid) -> Uuid {
    let digest = Sha256::digest([salt.as_slice(), id.as_bytes()].concat());
    let mut bytes = *id.as_bytes();
    for (byte, fresh) in bytes.iter_mut().skip(6).zip(digest) {
        *byte = fresh;
    }
    uuid::Builder::from_bytes(bytes)
        .with_version(uuid::Version::SortRand)
        .with_variant(uuid::Variant::RFC4122)
        .into_uuid()
}
