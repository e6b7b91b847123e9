//! How a change is made: steps in three phases, each with what it locks and what it costs.
//!
//! What prepares is seen by no function that is deployed; the swap is one short transaction, at whose
//! end the new functions are deployed; what finishes makes sure of what the swap could not take the
//! time for. On tables with few rows everything is the swap's.

use serde::{Deserialize, Serialize};

/// Everything that leads from one model to the next, and what may stand in its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DdlPlan {
    /// Asked before anything is changed, of the tables as they are then.
    pub obstacles: Vec<Obstacle>,
    /// In their order, which is that of the phases.
    pub steps: Vec<Step>,
}

/// One thing to do, which is done as a whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub phase: Phase,
    pub work: Work,
    /// JSON pointer into the definition document at what the step makes.
    pub pointer: String,
    /// What is being made, such as ``unique rule `one_text` of table `rules` ``.
    pub subject: String,
    /// The table whose rows it costs time by, as it is called when the change begins; none where that
    /// was not there.
    pub table: Option<String>,
    pub lock: Lock,
    pub cost: Cost,
    /// What becomes of values: nothing for most.
    pub hazard: Option<Hazard>,
    /// What takes it back, each without effect where there is nothing to take back; of what prepares alone.
    pub undo: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    Prepare,
    Swap,
    Finish,
}

/// What runs; no text ends in a semicolon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// In one transaction.
    Statements(Vec<String>),
    /// Outside of any: the index with this identifier is built while its table is written to.
    Concurrently { create: String, index: String },
    /// In batches, each a transaction of its own: `batch` takes the scope and the id to go on behind
    /// and answers those of the last row it came to, and whether there may be more; no row where there
    /// was none. Rows that others hold are left out, so it is repeated until `remains` answers no row.
    Backfill { batch: String, remains: String },
    /// In the swap: no row may stand in the way still, now that no other can come.
    Guard { lock: String, obstacle: Obstacle },
}

/// Postgres's table locks, of those that changes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Lock {
    /// Of no table that was there.
    None,
    /// As every write takes.
    RowExclusive,
    /// Reads and writes go on.
    ShareUpdateExclusive,
    /// Reads go on, writes wait.
    Share,
    /// Reads go on, writes wait.
    ShareRowExclusive,
    /// Everything waits.
    AccessExclusive,
}

/// What the time of a step grows with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cost {
    /// Nothing.
    Constant,
    /// Each row is read.
    Scan,
    /// Each row goes into an index.
    Index,
    /// Each row is written anew, with its indexes.
    Rewrite,
    /// Each row is updated, with room for callers between batches.
    Fill,
}

/// What becomes of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hazard {
    DeletesData,
    FillsNulls,
}

/// Rows that would stand in the way of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    pub kind: ObstacleKind,
    /// The table they are in, as it is called when the change begins.
    pub table: String,
    /// Whether nothing but a second look refuses rows that come while the change is prepared.
    pub is_asked_again: bool,
    pub pointer: String,
    /// What there are rows of, such as ``rows of table `rules` have no `text` ``.
    pub message: String,
    pub hint: String,
    /// What to name for the change to be made all the same, such as `deletes-data:rules.text`.
    pub allow: Option<String>,
    /// Answers the first of them by id, a row each: how many there are in all, and its id.
    pub sql: String,
}

/// Why rows stand in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObstacleKind {
    /// They contradict what is declared.
    ExistingRows,
    /// Their values would be lost.
    DeletesData,
}

impl ObstacleKind {
    /// The code of the complaint.
    pub const fn code(self) -> &'static str {
        match self {
            ObstacleKind::ExistingRows => "existing_rows",
            ObstacleKind::DeletesData => "deletes_data",
        }
    }
}

/// Rows of an obstacle that are shown.
pub const OBSTACLE_ROWS_SHOWN: usize = 5;

impl DdlPlan {
    /// Every statement, in order.
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.work.statements())
    }
}

impl Work {
    /// Its statements; of a backfill that of a batch.
    pub fn statements(&self) -> Vec<&str> {
        match self {
            Work::Statements(statements) => statements.iter().map(String::as_str).collect(),
            Work::Concurrently { create, .. } => vec![create],
            Work::Backfill { batch, .. } => vec![batch],
            Work::Guard { lock, obstacle } => vec![lock, &obstacle.sql],
        }
    }
}

impl Work {
    /// Whether its statement is run for a batch of rows at a time.
    pub fn is_in_batches(&self) -> bool {
        match self {
            Work::Backfill { .. } => true,
            Work::Statements(_) | Work::Concurrently { .. } | Work::Guard { .. } => false,
        }
    }
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::Swap => "swap",
            Phase::Finish => "finish",
        }
    }
}

impl Lock {
    pub const fn as_str(self) -> &'static str {
        match self {
            Lock::None => "none",
            Lock::RowExclusive => "RowExclusive",
            Lock::ShareUpdateExclusive => "ShareUpdateExclusive",
            Lock::Share => "Share",
            Lock::ShareRowExclusive => "ShareRowExclusive",
            Lock::AccessExclusive => "AccessExclusive",
        }
    }

    /// Whether writers of the table wait while it is held.
    pub fn stops_writes(self) -> bool {
        self >= Lock::Share
    }
}

impl Hazard {
    pub const fn as_str(self) -> &'static str {
        match self {
            Hazard::DeletesData => "deletes-data",
            Hazard::FillsNulls => "fills-nulls",
        }
    }
}

impl Step {
    /// Every hazard by name: what becomes of values, and for how long callers may wait.
    pub fn hazards(&self) -> Vec<&'static str> {
        let mut hazards: Vec<&'static str> = self.hazard.iter().map(|hazard| hazard.as_str()).collect();
        if self.table.is_some() && self.cost != Cost::Constant && self.lock.stops_writes() {
            hazards.push(if self.lock == Lock::AccessExclusive { "blocks-calls" } else { "blocks-writes" });
        }
        if self.rewrites() {
            hazards.push("rewrites-table");
        }
        hazards
    }

    /// Whether Postgres writes every row of the table anew under its lock.
    pub fn rewrites(&self) -> bool {
        self.cost == Cost::Rewrite
    }

    /// A guess from measurements on one machine, in seconds; it grows with `rows` alone.
    pub fn seconds(&self, rows: u64) -> f64 {
        let microseconds_per_row = match self.cost {
            Cost::Constant => return 0.005,
            Cost::Scan => 0.15,
            Cost::Index => 1.2,
            Cost::Rewrite => 3.5,
            Cost::Fill => 20.0,
        };
        // A guess needs no more digits than a double has.
        #[allow(clippy::cast_precision_loss)]
        let rows = rows as f64;
        0.005 + rows * microseconds_per_row / 1e6
    }
}
