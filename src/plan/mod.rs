//! One checked function becomes one plan: everything a call needs that can be decided at deploy.
//!
//! | room | from | to |
//! |---|---|---|
//! | [`compile`] | a model's function | a [`Plan`]: a statement for each set of arguments that may be given |
//! | [`statement`] | a sea-query tree | SQL text, parameter types and where each parameter comes from |
//! | [`proof`] | SQL text | a verdict, by other means than the compiler's: one Postgres schema, scope everywhere |
//! | [`argument`] | a call's body | values in the order the plan wants, or every complaint at once |
//! | [`page`], [`cursor`] | a call's cursor | which statement goes on from there; rows with a cursor in either direction |
//! | [`answer`] | Postgres's binary rows | JSON text |
//! | [`cost`] | Postgres's plan of a statement | what bounds the rows it reads, or the index to declare |
//!
//! Nothing here does IO, reads a clock or draws a random number. No value of a request ever
//! becomes SQL text: it is bound.

pub mod answer;
pub mod argument;
pub mod compile;
pub mod cost;
pub mod cursor;
pub mod filter;
pub mod foreign;
pub mod page;
pub mod proof;
pub mod slice;
pub mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rowgate_schema_dsl::definition::{Role, Scope};

use crate::error::{Code, Failure};
use crate::plan::answer::Shape;
use crate::plan::argument::{Arguments, Given};
use crate::plan::page::{Page, Side};
use crate::plan::statement::Statement;

/// A compiled function.
#[derive(Debug)]
pub struct Plan {
    pub access: Role,
    /// The word of the function's kind, such as `queryRows`.
    pub kind: &'static str,
    /// Whether it changes rows: which lane it rides, which class it is limited by.
    pub writes: bool,
    /// Whether its author accepts that it may read a whole scope.
    pub scans: bool,
    /// The function's table, and how many rows each scope of it may hold.
    pub table: Box<str>,
    pub rows_max: Option<u32>,
    /// How many bytes each scope may hold in all tables.
    pub bytes_max: Option<u64>,
    /// Whose rows: which id of the install is bound as the scope.
    pub scope: Scope,
    pub arguments: Arguments,
    /// Arguments whose absence drops a condition: the places of a variant's bits.
    pub optional: Vec<usize>,
    /// One statement for each set of those arguments that may be given, and of a paged function one
    /// for each side of a page; see [`Plan::statement`].
    pub variants: Vec<Arc<Statement>>,
    /// Of a patch or a delete: what it does where the caller says which version it knows.
    pub guard: Option<Guard>,
    /// Whether no row, or fewer rows than the call has, means that another call was in the way a
    /// moment ago, so that running the statement again finds what that one left.
    pub repeats_when_empty: bool,
    /// Whether no row means that the row which is there belongs to another user.
    pub empty_is_conflict: bool,
    /// Arguments of which a patch needs one, as it would change nothing without.
    pub needs_one_of: Vec<usize>,
    /// Rows that the filter of a write may accept; more are an error of the database.
    pub accepted_rows_max: Option<u32>,
    /// What a caller is told where the conditions of a write do not hold.
    pub unmet: Option<Unmet>,
    /// Of a transaction: what it is made of, in this order. It has no statement of its own.
    pub steps: Vec<PlanStep>,
    pub shape: Shape,
    /// What the database's constraints mean to a caller.
    pub constraints: Vec<Constraint>,
}

/// What a caller is told where a condition of a write does not hold.
#[derive(Debug)]
pub struct Unmet {
    pub detail: Box<str>,
    /// The argument that names the row which does not meet it, as a JSON pointer.
    pub pointer: Option<Box<str>>,
}

/// One of the plans of a transaction.
#[derive(Debug)]
pub struct PlanStep {
    /// The member of the answer.
    pub name: Box<str>,
    pub plan: Plan,
    /// Whether it is sent only when those before it were answered.
    pub waits: bool,
    /// Whether its row is new whenever it has one, so that its id is known before it is sent.
    pub makes_row: bool,
    /// The places of the arguments that it takes.
    pub takes: Vec<usize>,
    /// Where it takes rows: their place among the call's lists of rows.
    pub list: Option<usize>,
}

/// A write of one row that happens only where the row still has a version.
#[derive(Debug)]
pub struct Guard {
    /// The write, under the condition that the row has the version.
    pub statement: Arc<Statement>,
    /// The place of the argument that names the version, where the author declared one.
    pub argument: Option<usize>,
    /// Finds the row, whatever its version: tells one that has changed from one that is gone.
    pub look: Arc<Plan>,
}

impl Plan {
    /// Every statement it has, and those of its steps.
    pub fn statements(&self) -> impl Iterator<Item = &Statement> {
        self.own_statements().chain(self.steps.iter().flat_map(|step| step.plan.own_statements()))
    }

    fn own_statements(&self) -> impl Iterator<Item = &Statement> {
        self.variants.iter().chain(self.guard.iter().map(|guard| &guard.statement)).map(AsRef::as_ref)
    }

    /// The guard, where what a call gave names a version.
    pub fn guard_of(&self, given: &Given) -> Option<&Guard> {
        self.guard.as_ref().filter(|guard| given.version_or(guard.argument).is_some())
    }

    /// What `failure` is to the caller: where a row that is another user's was met, there is a
    /// conflict, although the statement has no row to answer.
    pub fn met(&self, failure: Failure) -> Failure {
        if !self.empty_is_conflict || failure.code != Code::RowNotFound {
            return failure;
        }
        Failure::new(Code::UniqueConflict, "a row with these values exists already, and it is not the caller's")
    }

    /// The statement for what a call gave; of a paged function that of the first page.
    pub fn statement(&self, given: &Given) -> Option<&Arc<Statement>> {
        self.statement_of(given, Side::First)
    }

    /// The statement for what a call gave, on this side of a page.
    pub fn statement_of(&self, given: &Given, side: Side) -> Option<&Arc<Statement>> {
        if let Some(guard) = self.guard_of(given) {
            return Some(&guard.statement);
        }
        let places = self.optional.iter().enumerate();
        let bits: usize = places.filter(|(_, place)| given.has(**place)).fold(0, |bits, (bit, _)| bits | 1 << bit);
        match self.page() {
            Some(page) => self.variants.get(bits * page.side_count() + page.side_place(side)),
            None => self.variants.get(bits),
        }
    }

    /// Of a function that answers pages.
    pub fn page(&self) -> Option<&Page> {
        match &self.shape {
            Shape::Page(page) => Some(page),
            Shape::Rows(_) | Shape::Row(_) | Shape::Number | Shape::Steps => None,
        }
    }
}

/// A constraint of the function's table, by its name in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    pub identifier: String,
    pub kind: ConstraintKind,
    /// JSON pointers of the arguments that feed its columns.
    pub pointers: Vec<String>,
    /// Its columns, as the author named them.
    pub columns: Vec<String>,
    /// What the database calls it: the author's rule, or the column's.
    pub rule: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstraintKind {
    Unique,
    Reference,
    Check,
}
