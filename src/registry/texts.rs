//! SQL that handlers asked, by its text: translated once for each revision, and described once by
//! Postgres.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lru::LruCache;
use postgres_types::Type;
use rowgate_schema_dsl::definition::HandlerKind;
use rowgate_schema_dsl::model::Model;

use crate::plan::foreign::answer::{Room, statement};
use crate::plan::foreign::{Query, Refused, translate};
use crate::plan::statement::key;

/// Texts kept for one revision; the longest unused is read anew.
const TEXTS_MAX: usize = 128;
/// Bytes of the text that is kept for one revision, what was made of it included.
const BYTES_MAX: usize = 2 << 20;

/// One revision's texts.
#[derive(Debug)]
pub struct Texts {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    texts: LruCache<Box<str>, Arc<Text>>,
    bytes: usize,
}

/// A text that may be sent.
#[derive(Debug)]
pub struct Text {
    pub query: Query,
    /// From when Postgres has described it, for each kind of handler: what one may answer is part of it.
    ready: [OnceLock<Ready>; 3],
}

/// The statement that a text became.
#[derive(Debug)]
pub struct Ready {
    pub key: u128,
    pub sql: String,
    pub types: Vec<Type>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { kept: Mutex::new(Kept { texts: LruCache::unbounded(), bytes: 0 }) }
    }
}

impl Texts {
    /// `text` as a query of the views of `model`, the revision's.
    pub fn read(&self, text: &str, model: &Model) -> Result<Arc<Text>, Refused> {
        let known = self.kept().texts.get(text).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let read = Arc::new(Text { query: translate(text, model)?, ready: Default::default() });
        self.kept().keep(text, Arc::clone(&read));
        Ok(read)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Text {
    /// The statement for handlers of `kind`, where it was described before.
    pub fn ready(&self, kind: HandlerKind) -> Option<&Ready> {
        self.of(kind).get()
    }

    const fn of(&self, kind: HandlerKind) -> &OnceLock<Ready> {
        let [query, mutation, action] = &self.ready;
        match kind {
            HandlerKind::Query => query,
            HandlerKind::Mutation => mutation,
            HandlerKind::Action => action,
        }
    }

    /// Makes the statement of what Postgres said of it.
    pub fn describe(
        &self,
        kind: HandlerKind,
        types: Vec<Type>,
        columns: &[(String, Type)],
        room: Room,
    ) -> Result<&Ready, Refused> {
        let columns: Vec<(&str, &Type)> = columns.iter().map(|(name, of_type)| (name.as_str(), of_type)).collect();
        let sql = statement(&self.query, &columns, room)?;
        Ok(self.of(kind).get_or_init(|| Ready { key: key(&sql, &types, &[]), sql, types }))
    }
}

impl Kept {
    fn keep(&mut self, text: &str, read: Arc<Text>) {
        self.bytes += bytes(text, &read);
        if let Some((text, read)) = self.texts.push(text.into(), read) {
            // Another call has read it meanwhile.
            self.bytes -= bytes(&text, &read);
        }
        while self.texts.len() > TEXTS_MAX || self.bytes > BYTES_MAX {
            let Some((text, read)) = self.texts.pop_lru() else { return };
            self.bytes -= bytes(&text, &read);
        }
    }
}

/// The statement has the query in it, and some text for each column.
fn bytes(text: &str, read: &Text) -> usize {
    text.len() + 5 * read.query.sql.len()
}
