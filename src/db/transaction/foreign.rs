//! SQL that a handler wrote, in its transaction and behind a wall of its own.
//!
//! It runs within a savepoint, as a role that reads the extension's views alone, whose rows are those
//! of the settings made in front of it. The savepoint is rolled back behind it, so that no role, no
//! setting and no failure outlives it. What a script could change these by is asked for first: where
//! it is not forbidden to the role, nothing runs.

use std::borrow::Cow;
use std::error::Error;

use bytes::{BufMut, BytesMut};
use futures_util::future::join;
use postgres_types::{Format, IsNull, ToSql, Type};
use rowgate_schema_dsl::ddl::views;
use rowgate_schema_dsl::definition::Scope;
use tokio::time::timeout_at;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::db::rights;
use crate::db::session::Session;
use crate::db::sqlstate::Refusal;
use crate::db::transaction::{Open, Stage};
use crate::error::{Code, Failure};

/// As whom a handler's SQL runs, whose rows it sees, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    /// Of letters, digits and `_`, as the gateway names roles.
    pub role: &'a str,
    /// None for a scope that the install has not.
    pub scopes: [(Scope, Option<Uuid>); 4],
    pub timeout_ms: u64,
}

/// A statement of [`Open::read`].
#[derive(Debug, Clone, Copy)]
pub struct Foreign<'a> {
    /// Equal for equal text and types.
    pub key: u128,
    pub sql: &'a str,
    pub types: &'a [Type],
    pub parameters: &'a [Literal<'a>],
}

/// What Postgres says of a text that was not run.
#[derive(Debug, Clone)]
pub struct Description {
    pub parameters: Vec<Type>,
    pub columns: Vec<(String, Type)>,
}

/// A parameter as the text that its type is read from.
#[derive(Debug, Clone)]
pub struct Literal<'a>(pub Option<Cow<'a, str>>);

/// Why there are no rows.
#[derive(Debug)]
pub enum Unread {
    /// Postgres refused it; the transaction is as it was before.
    Refused(Refusal),
    /// The role is missing, or may do more than it should; nothing was run.
    NoWall(String),
    /// The transaction is over.
    Over(Failure),
}

impl Open<'_> {
    /// What `sql` takes and answers. It is not run.
    pub async fn describe(&mut self, reader: &Reader<'_>, sql: &str) -> Result<Description, Unread> {
        let prepared = self.behind(reader, async |session| session.describe(sql).await).await?;
        let columns = prepared.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone()));
        Ok(Description { parameters: prepared.params().to_vec(), columns: columns.collect() })
    }

    /// The rows of `statement`.
    pub async fn read(&mut self, reader: &Reader<'_>, statement: &Foreign<'_>) -> Result<Vec<Row>, Unread> {
        self.behind(reader, async |session| session.foreign(statement).await).await
    }

    async fn behind<T>(
        &mut self,
        reader: &Reader<'_>,
        work: impl AsyncFnOnce(&Session) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, Unread> {
        let entrance = self.entrance_of(reader);
        // Until the way back is gone: this future may be dropped at any await below.
        self.stage = Stage::Lost;
        let session = &self.session;
        let working = async {
            // Sent behind each other in one go, and answered in that order.
            let (entered, worked) = join(session.command(&entrance), work(session)).await;
            // Fails where there is no transaction any more, which the others then tell.
            let left = session.command(LEAVE).await;
            (entered, worked, left)
        };
        let Ok((entered, worked, left)) = timeout_at(self.deadline, working).await else {
            let failure = Failure::new(Code::StatementTimeout, "the database did not answer in time");
            return Err(Unread::Over(failure));
        };
        if let Err(error) = left {
            return Err(Unread::Over(self.failed(worked.err().as_ref().unwrap_or(&error), None)));
        }
        if let Err(error) = entered {
            let refusal = Refusal::of(&error);
            self.stage = Stage::Begun;
            let why = refusal.map(|refusal| if refusal.is_guard() { MISSING.to_owned() } else { refusal.message });
            return Err(Unread::NoWall(why.unwrap_or_default()));
        }
        match worked {
            Ok(worked) => {
                self.stage = Stage::Begun;
                Ok(worked)
            }
            Err(error) => match Refusal::of(&error) {
                Some(refusal) if !(refusal.is_undone() || refusal.is_stale() || refusal.ends_session()) => {
                    self.stage = Stage::Begun;
                    Err(Unread::Refused(refusal))
                }
                Some(_) | None => Err(Unread::Over(self.failed(&error, None))),
            },
        }
    }

    /// INVARIANT: all of it is the gateway's own, numbers and the names it gives to roles and settings.
    fn entrance_of(&self, reader: &Reader<'_>) -> String {
        let mut entrance = String::with_capacity(1_024);
        if self.stage == Stage::New {
            entrance.push_str(self.isolation.begin());
            entrance.push_str("; ");
        }
        entrance.push_str("SAVEPOINT rowgate_sql; SET LOCAL transaction_read_only = on");
        entrance.push_str("; SET LOCAL search_path = ''; SET LOCAL standard_conforming_strings = on");
        entrance.push_str(&format!("; SET LOCAL statement_timeout = {}", reader.timeout_ms));
        for (scope, key) in &reader.scopes {
            let key = key.map(|key| key.hyphenated().to_string()).unwrap_or_default();
            entrance.push_str(&format!("; SET LOCAL {} = '{key}'", views::setting(*scope)));
        }
        entrance.push_str(&format!("; SET LOCAL ROLE \"{}\"; {}", reader.role, rights::GUARD));
        entrance
    }
}

impl Session {
    async fn describe(&self, sql: &str) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        self.client.prepare(sql).await
    }

    async fn foreign(&self, statement: &Foreign<'_>) -> Result<Vec<Row>, tokio_postgres::Error> {
        let prepared = self.prepared_as(statement.key, statement.sql, statement.types).await?;
        let parameters: Vec<&(dyn ToSql + Sync)> =
            statement.parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect();
        self.client.query(&prepared, &parameters).await
    }
}

impl ToSql for Literal<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, of_type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(of_type, out)
    }

    /// Postgres reads it, as it reads a literal.
    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

const LEAVE: &str = "ROLLBACK TO SAVEPOINT rowgate_sql; RELEASE SAVEPOINT rowgate_sql";

const MISSING: &str =
    "everybody may still call functions that are to be taken from PUBLIC; `rowgate roles` prints the statements";
