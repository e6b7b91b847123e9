//! What a function's statements cost: Postgres's plans of them on empty tables, judged.
//!
//! `deploy::certify` has each statement explained over a hollow copy of the extension's tables,
//! with sorting and sequential scans made dear, so that a plan which needs neither is chosen
//! wherever one exists. What is judged is therefore what the declared indexes allow, whatever
//! rows there will be:
//! - a read must be bounded by a unique key, by a LIMIT that stops it in an index's order, by a
//!   condition on an index's first column, or by a table that holds few rows;
//! - under a LIMIT, of the columns that are always compared by `=` one must lead the index, or rows
//!   that nobody asked for are walked past (columns of few values alone are let pass);
//! - a sort must not take in more than such a read gives; groups are made of all that is read, so
//!   that it is their read that must be bounded;
//! - rows embedded into each row must be led to by their reference ([`embedded`]).
//!
//! [`tree`] reads a plan, [`scan`] tells what an index narrows, [`suggest`] names the index that
//! would do.

mod embedded;
pub mod scan;
pub mod suggest;
pub mod tree;

use std::fmt;

use rowgate_schema_dsl::function::{Body, Function, Limit};
use rowgate_schema_dsl::model::{Index, Model, Table};
use rowgate_schema_dsl::name::Name;
use serde::Serialize;

use crate::plan::cost::scan::{Narrowing, narrowing};
use crate::plan::cost::suggest::{Suggestion, demanded, extreme, suggestion};
use crate::plan::cost::tree::{Kind, Node};

/// What a function's statements cost at most; one for each set of optional arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Certificate {
    pub function: String,
    pub statements: Vec<StatementCost>,
}

/// What one statement reads and sorts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementCost {
    /// Of a transaction, which step it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The optional arguments that a call of this statement gives.
    pub given: Vec<String>,
    pub reads: Vec<Read>,
    pub sorts: bool,
    /// What is not bounded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excesses: Vec<Excess>,
    /// What is not bounded of the rows that are embedded into each row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub embedded_excesses: Vec<EmbeddedExcess>,
}

/// What is done without bound for each row, for the rows embedded as this member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EmbeddedExcess {
    pub member: String,
    pub excess: Excess,
}

impl StatementCost {
    pub fn is_bounded(&self) -> bool {
        self.excesses.is_empty() && self.embedded_excesses.is_empty()
    }
}

/// How one table is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Read {
    pub table: String,
    /// Its name in the database; none where the table is read from end to end.
    pub index: Option<String>,
    pub bound: Bound,
    /// Whether rows are read that a condition then refuses.
    pub filters: bool,
    /// The member that its rows are embedded as, where it is read once for each row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedded: Option<String>,
}

/// What keeps a read from growing with the scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Bound {
    /// A unique key: one row.
    Key { columns: Vec<String> },
    /// The statement stops after so many rows, which an index yields in the order that is asked for.
    Limit { rows: Option<u32> },
    /// Only rows with these columns' values are read.
    Range { columns: Vec<String> },
    /// Nothing but what a scope may hold at most.
    Quota { rows: u32 },
    /// Nothing: the whole scope is read.
    None,
}

/// What a statement does without bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// It sorts rows before it answers the first.
    Sort,
    /// It reads rows that are not asked for.
    Scan,
}

/// A scope that holds no more rows than this may be read as a whole, and sorted: some tens of
/// milliseconds on the machines this was measured on.
pub const SCAN_ROWS_MAX: u32 = 100_000;

/// Judges one statement's plan; `given` are the optional arguments it is for.
pub fn judge(model: &Model, function: &Function, given: Vec<String>, root: &Node) -> StatementCost {
    let mut judging = Judging {
        model,
        function,
        cost: StatementCost {
            step: None,
            given,
            reads: Vec::new(),
            sorts: false,
            excesses: Vec::new(),
            embedded_excesses: Vec::new(),
        },
    };
    judging.node(root, false);
    judging.prefer_declared();
    judging.cost.excesses.sort();
    judging.cost.excesses.dedup();
    judging.cost
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::Key { columns } => write!(f, "one row, by the unique key ({})", columns.join(", ")),
            Bound::Limit { rows: Some(rows) } => write!(f, "at most {rows} rows, in the index's order"),
            Bound::Limit { rows: None } => write!(f, "as many rows as are answered, in the index's order"),
            Bound::Range { columns } => write!(f, "the rows with the values asked for of {}", columns.join(", ")),
            Bound::Quota { rows } => write!(f, "the whole scope, which holds at most {rows} rows"),
            Bound::None => write!(f, "the whole scope, however many rows it holds"),
        }
    }
}

struct Judging<'a> {
    model: &'a Model,
    function: &'a Function,
    cost: StatementCost,
}

impl Judging<'_> {
    /// Over no rows two indexes cost the same, and the one that does not narrow, or whose rows are
    /// then sorted in parts, may be chosen; over rows it never is. So where the index that would do
    /// is declared, it is what bounds the read.
    fn prefer_declared(&mut self) {
        if self.cost.excesses.is_empty() {
            return;
        }
        let Suggestion::Index { columns, .. } = suggestion(self.model, self.function, &self.cost.given) else { return };
        let Some(table) = self.model.table(self.function.body.table().as_str()) else { return };
        let is_it = |index: &Index| index.columns.iter().map(Name::as_str).eq(columns.iter().map(String::as_str));
        // Only the index of a rule does not end in `id`, which ends every order; groups have no such end.
        let needs_order = self.cost.sorts && matches!(self.function.body, Body::QueryRows { .. });
        let serves = |index: &&Index| is_it(index) && !(needs_order && index.unique);
        let Some(index) = table.indexes.iter().find(serves) else { return };
        let of_rows = |read: &&mut Read| read.bound == Bound::None && read.embedded.is_none();
        let unbound = self.cost.reads.iter_mut().filter(of_rows);
        for read in unbound.filter(|read| read.table == table.name.as_str()) {
            read.index = Some(table.index_identifier(index));
            read.bound = match rows_max(self.function) {
                Some(rows) => Bound::Limit { rows: Some(rows) },
                None => Bound::Range { columns: columns.clone() },
            };
        }
        // It yields the order too, or nothing was sorted.
        self.cost.sorts = false;
        if self.cost.reads.iter().all(|read| read.bound != Bound::None || read.embedded.is_some()) {
            self.cost.excesses.clear();
        }
    }

    /// `stopped` says that whoever asks this node for rows stops after a known number of them.
    fn node(&mut self, node: &Node, stopped: bool) {
        let stopped = match node.kind {
            Kind::Limit => true,
            Kind::Scan => {
                self.scan(node, stopped);
                false
            }
            Kind::Sort => {
                let streams = !node.presorted.is_empty() && self.presorted_is_unique(node);
                if !streams {
                    self.cost.sorts = true;
                    // Rows are sorted into groups as well as hashed: either takes in all that is read.
                    let groups = matches!(self.function.body, Body::AggregateRows { .. });
                    if !groups && node.children.iter().any(|child| !self.is_few(child)) {
                        self.cost.excesses.push(Excess::Sort);
                    }
                }
                stopped && streams
            }
            Kind::Stream | Kind::Join => stopped,
            Kind::Block => false,
        };
        for child in &node.children {
            match embedded::of(self.function, child) {
                Some(expand) => self.embedded(expand, child),
                None => self.node(child, stopped && child.feeds),
            }
        }
    }

    fn scan(&mut self, node: &Node, stopped: bool) {
        let Some(table) = node.relation.as_deref().and_then(|name| self.model.table(name)) else { return };
        let narrowing = narrowing(table, node);
        let rows = rows_max(self.function);
        let bound = match (narrowing.key, stopped, quota(table)) {
            (Some(columns), _, _) => Bound::Key { columns },
            (None, true, _) if !self.walks(table, node, &narrowing.equal) => Bound::Limit { rows },
            (None, false, _) if !narrowing.columns.is_empty() => Bound::Range { columns: narrowing.columns },
            (None, _, Some(rows)) if rows <= SCAN_ROWS_MAX => Bound::Quota { rows },
            (None, _, _) => Bound::None,
        };
        if bound == Bound::None {
            self.cost.excesses.push(Excess::Scan);
        }
        self.cost.reads.push(Read {
            table: table.name.to_string(),
            index: node.index.clone(),
            bound,
            filters: node.filters,
            embedded: None,
        });
    }

    /// Whether a read that a LIMIT stops may have to walk past most of the scope before it has its
    /// rows: columns of many values are always compared by `=`, and the index leads with none of them.
    fn walks(&self, table: &Table, node: &Node, equal: &[String]) -> bool {
        let demanded = demanded(table, self.function);
        node.filters
            && table.name == *self.function.body.table()
            && !demanded.is_empty()
            && !demanded.iter().any(|column| equal.contains(column))
    }

    /// Whether the rows of an incremental sort arrive in groups of one: by a unique rule without nulls.
    fn presorted_is_unique(&self, node: &Node) -> bool {
        let Some(scan) = first_scan(node) else { return false };
        let Some(table) = scan.relation.as_deref().and_then(|name| self.model.table(name)) else { return false };
        let equal = narrowing(table, scan).equal;
        let known = |column: &str| {
            (node.presorted.iter().any(|sorted| sorted == column) || equal.iter().any(|held| held == column))
                && table.column(column).is_some_and(|column| !column.optional)
        };
        table.indexes.iter().any(|index| index.unique && index.columns.iter().all(|column| known(column.as_str())))
    }

    /// Whether a node yields no more rows than memory and time are there for.
    fn is_few(&self, node: &Node) -> bool {
        match node.kind {
            // A LIMIT's own child may be many; groups are as many as their rows, which are judged.
            Kind::Limit | Kind::Block => true,
            Kind::Scan => node.relation.as_deref().and_then(|name| self.model.table(name)).is_none_or(|table| {
                let Narrowing { key, .. } = narrowing(table, node);
                key.is_some() || quota(table).is_some_and(|rows| rows <= SCAN_ROWS_MAX)
            }),
            Kind::Sort | Kind::Stream | Kind::Join => node.children.iter().all(|child| self.is_few(child)),
        }
    }
}

/// After how many rows, in an index's order, a statement of `function` has all it asks for.
fn rows_max(function: &Function) -> Option<u32> {
    match &function.body {
        // A page reads one row more than it has.
        Body::QueryRows { limit: Limit::Literal(rows) | Limit::Argument { max: rows, .. }, page, .. } => {
            Some(*rows + u32::from(page.is_some()))
        }
        // What stops before the end of its rows is the least or the greatest value.
        Body::AggregateRows { .. } => extreme(&function.body).map(|_| 1),
        // The guard counts one row more than may be written.
        Body::PatchRows { rows_max, .. } | Body::DeleteRows { rows_max, .. } => Some(*rows_max + 1),
        Body::CountRows { .. }
        | Body::GetRow { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. }
        | Body::Transaction { .. } => None,
    }
}

fn first_scan(node: &Node) -> Option<&Node> {
    if node.kind == Kind::Scan { Some(node) } else { node.children.iter().find_map(first_scan) }
}

/// How many rows a scope of the table may hold.
fn quota(table: &Table) -> Option<u32> {
    table.rows_max
}
