//! Pages: which statement goes on from where, and rows with a cursor in either direction.
//!
//! One row more than is asked for is fetched, and not answered: it tells that there is a page beyond.
//! A page backwards is read from its last row to its first and turned round as it is answered.

use std::sync::Arc;

use rowgate_schema_dsl::function::Limit;
use rowgate_schema_dsl::value::Typed;
use uuid::Uuid;

use crate::error::{Code, Failure};
use crate::plan::answer::{RawRow, RowWriter, Unreadable};
use crate::plan::argument::Given;
use crate::plan::cursor::{CursorKey, Origin, Place, push_value};

/// What a paged function's plan knows of its pages.
#[derive(Debug)]
pub struct Page {
    pub writer: RowWriter,
    /// The place of the argument `cursor`.
    pub cursor: usize,
    pub limit: Limit,
    /// Columns of a row, by their index, that say where it stands; the last is its `id`.
    pub keys: Vec<usize>,
    /// Which of the keys may be null.
    pub nullable: Vec<bool>,
    /// Equal for equal function, table and order.
    pub shape: [u8; 32],
}

/// Which statement a page needs besides the filter's variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    First,
    /// Beyond a row, one bit set for each nullable key that is null in it.
    Beyond {
        backward: bool,
        nulls: usize,
    },
}

/// One page that is asked for.
#[derive(Debug, Clone)]
pub struct Turn {
    key: Arc<CursorKey>,
    install: Uuid,
    rows: usize,
    /// The place it goes on from.
    from: Option<Arc<Place>>,
    side: Side,
}

/// A page while its rows come in.
#[derive(Debug)]
pub struct Turning {
    turn: Turn,
    /// Keys of the first row that came, and of the last one that is answered.
    nearest: Vec<u8>,
    farthest: Vec<u8>,
    has_more: bool,
    /// Where each row begins in the text, of a page that is turned round.
    starts: Vec<usize>,
}

impl Page {
    /// Every side a statement is needed for; a side's statement is at its place here.
    pub fn sides(nullable: usize) -> Vec<Side> {
        let beyond = |backward| (0..1usize << nullable).map(move |nulls| Side::Beyond { backward, nulls });
        std::iter::once(Side::First).chain(beyond(false)).chain(beyond(true)).collect()
    }

    /// How many statements each set of the filter's arguments has.
    pub fn side_count(&self) -> usize {
        1 + (2 << self.nullable_count())
    }

    /// The place of a side's statement among them.
    pub fn side_place(&self, side: Side) -> usize {
        match side {
            Side::First => 0,
            Side::Beyond { backward, nulls } => 1 + (usize::from(backward) << self.nullable_count()) + nulls,
        }
    }

    /// What a call asks for: the first page, or the one that its cursor names.
    pub fn turn(&self, given: &Given, install: Uuid, key: &Arc<CursorKey>) -> Result<Turn, Failure> {
        let rows = match &self.limit {
            Limit::Literal(rows) => *rows as usize,
            Limit::Argument { argument, max } => match given.get(*argument) {
                Some(Typed::Int8(rows)) => usize::try_from(*rows).unwrap_or(0),
                _ => *max as usize,
            },
        };
        let Some(Typed::Text(cursor)) = given.get(self.cursor) else {
            return Ok(Turn { key: key.clone(), install, rows, from: None, side: Side::First });
        };
        let place = key.read(cursor, Origin { shape: &self.shape, install }).ok_or_else(|| {
            let detail = "`cursor` is not one that this function answered here, or its order has changed since";
            Failure::new(Code::CursorInvalid, detail)
        })?;
        let nulls = place.values().zip(&self.nullable).filter(|(_, nullable)| **nullable).enumerate();
        let nulls = nulls.filter(|(_, (value, _))| value.is_none()).fold(0, |nulls, (bit, _)| nulls | 1 << bit);
        let side = Side::Beyond { backward: place.backward, nulls };
        Ok(Turn { key: key.clone(), install, rows, from: Some(Arc::new(place)), side })
    }

    fn nullable_count(&self) -> usize {
        self.nullable.iter().filter(|nullable| **nullable).count()
    }

    /// The keys of `row`, as a cursor holds them.
    fn keys_of(&self, row: RawRow<'_>, into: &mut Vec<u8>) -> Result<(), Unreadable> {
        into.clear();
        for key in &self.keys {
            let mut fields = row;
            for _ in 0..*key {
                fields.next_field()?;
            }
            push_value(into, fields.next_field()?);
        }
        Ok(())
    }
}

impl Turn {
    pub fn side(&self) -> Side {
        self.side
    }

    /// How many rows are fetched.
    pub fn fetched(&self) -> i64 {
        i64::try_from(self.rows).unwrap_or(i64::MAX).saturating_add(1)
    }

    /// The value of the key at `index` in the row it goes on from.
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        self.from.as_ref()?.values().nth(index)?
    }

    fn is_backward(&self) -> bool {
        matches!(self.side, Side::Beyond { backward: true, .. })
    }
}

impl Turning {
    pub fn begin(turn: Turn, text: &mut Vec<u8>) -> Turning {
        text.extend_from_slice(b"{\"rows\":[");
        Turning { turn, nearest: Vec::new(), farthest: Vec::new(), has_more: false, starts: Vec::new() }
    }

    /// Adds the `count`th row.
    pub fn row(
        &mut self,
        page: &Page,
        text: &mut Vec<u8>,
        count: usize,
        mut row: RawRow<'_>,
    ) -> Result<(), Unreadable> {
        if count > self.turn.rows {
            self.has_more = true;
            return Ok(());
        }
        if count == 1 && self.turn.from.is_some() {
            page.keys_of(row, &mut self.nearest)?;
        }
        if count == self.turn.rows {
            page.keys_of(row, &mut self.farthest)?;
        }
        if self.turn.is_backward() {
            self.starts.push(text.len());
        } else if count > 1 {
            text.push(b',');
        }
        page.writer.write(text, |_| row.next_field())
    }

    /// Ends the text: the rows' array, and the cursors of the pages on both sides.
    pub fn end(self, page: &Page, text: &mut Vec<u8>) {
        let backward = self.turn.is_backward();
        if let Some(first) = self.starts.first() {
            let rows = text.split_off(*first);
            let mut end = rows.len();
            for start in self.starts.iter().rev().map(|start| start - first) {
                text.extend_from_slice(rows.get(start..end).unwrap_or_default());
                text.push(b',');
                end = start;
            }
            text.pop();
        }
        // Back towards where it came from, and on beyond what was read.
        let back = (!self.nearest.is_empty()).then_some((self.nearest.as_slice(), !backward));
        let on = self.has_more.then_some((self.farthest.as_slice(), backward));
        let (next, previous) = if backward { (back, on) } else { (on, back) };
        let origin = Origin { shape: &page.shape, install: self.turn.install };
        for (name, cursor) in [(&b"],\"cursor\":"[..], next), (&b",\"previous\":"[..], previous)] {
            text.extend_from_slice(name);
            match cursor {
                Some((values, backward)) => self.turn.key.write(text, origin, backward, values),
                None => text.extend_from_slice(b"null"),
            }
        }
        text.push(b'}');
    }
}
