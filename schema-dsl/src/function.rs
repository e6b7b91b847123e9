//! Checked functions: what `plan` compiles into one statement each.
//!
//! Operands are resolved: an argument is its place in [`Function::arguments`], a literal has its
//! Postgres value. A part that hangs on an optional argument is left out when the argument is
//! absent; `plan` compiles a statement for each such combination.

use crate::aggregate::AggregateFunction;
use crate::column_type::ColumnType;
use crate::definition::{Direction, HandlerKind, IdentityField, Operator, Role};
use crate::name::Name;
use crate::value::Typed;

/// Rows a query answers at most, and the limit where none is declared.
pub const QUERY_ROWS_MAX: u32 = 1_000;
/// Rows a call writes at most, and the maximum where none is declared.
pub const WRITE_ROWS_MAX: u32 = 1_000;
/// Rows an offset may skip: a larger one walks what nobody reads.
pub const OFFSET_ROWS_MAX: u32 = 100_000;
/// Optional arguments that drop a condition of their statement, in one function: each doubles the
/// number of statements. (Those that only write need none: a value is chosen in the statement.)
pub const OPTIONAL_ARGUMENTS_MAX: usize = 6;
/// Groups and comparisons nest this deep at most.
pub const FILTER_DEPTH_MAX: usize = 8;
/// Comparisons in one filter.
pub const FILTER_COMPARISONS_MAX: usize = 64;
/// Elements of a list given to `in`.
pub const IN_ELEMENTS_MAX: usize = 1_000;

/// Members of what an aggregateRows answers with: columns of groups, and what is selected.
pub const AGGREGATE_MEMBERS_MAX: usize = 32;

/// Members that rows are answered with besides their columns.
pub const EXPAND_MEMBERS_MAX: usize = 8;
/// Rows of a list within a row, where none is declared and at most.
pub const LIST_ROWS: u32 = 20;
pub const LIST_ROWS_MAX: u32 = 100;
/// Rows of all lists of an answer.
pub const EMBEDDED_ROWS_MAX: u32 = 20_000;

/// The argument that a paged query takes without declaring it.
pub const CURSOR: &str = "cursor";

/// The Luau file that handlers are looked for in, by its module name.
pub const ENTRY_SOURCE: &str = "functions";

/// A function that is written in Luau: all that is known of it before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    pub name: Name,
    pub kind: HandlerKind,
    pub access: Role,
    /// Sorted by name. [`Absence::Dropped`] is nil.
    pub arguments: Vec<Argument>,
    pub timeout_ms: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub name: Name,
    pub access: Role,
    /// Whether it reaches the caller's own rows alone: those of which the caller is the owner.
    pub own: bool,
    /// Whether the author accepts that it reads a whole scope.
    pub scan_allowed: bool,
    /// Sorted by name.
    pub arguments: Vec<Argument>,
    /// What must hold for it to write.
    pub when: When,
    pub body: Body,
}

/// Conditions of a write; where one does not hold, nothing is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct When {
    /// On the row that is changed, or on each of them.
    pub row: Option<Filter>,
    /// On rows that columns refer to.
    pub referred: Vec<Referred>,
}

/// What must hold of the row that a column refers to: of a row that is inserted by its new value,
/// of one that is changed or goes by the value that is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Referred {
    pub column: Name,
    /// The table it refers to.
    pub table: Name,
    pub filter: Filter,
}

impl When {
    pub fn is_empty(&self) -> bool {
        self.row.is_none() && self.referred.is_empty()
    }
}

/// An argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    pub name: Name,
    pub column_type: ColumnType,
    pub absence: Absence,
    /// Whether JSON null is a value of its own; where not, null means absent.
    pub nullable: bool,
    /// Whether it is a pattern of `like` or `ilike`, which must be complete; see [`crate::like`].
    pub is_pattern: bool,
}

/// What a call without the argument means.
#[derive(Debug, Clone, PartialEq)]
pub enum Absence {
    /// The call is refused.
    Refused,
    /// This value stands in.
    Default(Typed),
    /// The condition or assignment that needs it is left out.
    Dropped,
}

/// The one argument of a function that takes many rows: an array of objects.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsArgument {
    /// What each object has; sorted by name.
    pub members: Vec<Argument>,
    pub rows_max: u32,
}

impl RowsArgument {
    /// What callers call it.
    pub const NAME: &str = "rows";
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    QueryRows {
        table: Name,
        filter: Option<Filter>,
        order_by: Vec<Order>,
        limit: Limit,
        offset: Option<Source>,
        /// Where it answers pages: the place of [`CURSOR`] in [`Function::arguments`].
        page: Option<usize>,
        /// The columns answered, in their order.
        fields: Vec<Name>,
        /// What each row is answered with besides, in its order.
        expand: Vec<Expand>,
    },
    GetRow {
        table: Name,
        id: Source,
        /// The columns answered, in their order.
        fields: Vec<Name>,
        /// What each row is answered with besides, in its order.
        expand: Vec<Expand>,
    },
    CountRows {
        table: Name,
        filter: Option<Filter>,
    },
    AggregateRows {
        table: Name,
        filter: Option<Filter>,
        /// Columns; none where all rows are one group.
        groups: Vec<Name>,
        select: Vec<Selected>,
        /// Its columns are members of the answer: groups and what is selected.
        having: Option<Filter>,
        /// Its columns are members of the answer too.
        order_by: Vec<Order>,
        limit: Limit,
    },
    /// A dropped assignment leaves the column to its default, or null.
    InsertRow {
        table: Name,
        values: Vec<Assignment>,
        /// The columns answered, in their order.
        fields: Vec<Name>,
        conflict: Conflict,
    },
    /// A new row for each of the call's; the arguments of the values are members of it.
    InsertRows {
        table: Name,
        values: Vec<Assignment>,
        /// The columns answered, in their order.
        fields: Vec<Name>,
        conflict: Conflict,
        rows: RowsArgument,
    },
    /// An [`Body::InsertRow`] that updates on conflict, by its own name.
    UpsertRow {
        table: Name,
        values: Vec<Assignment>,
        /// The columns answered, in their order.
        fields: Vec<Name>,
        conflict: Conflict,
    },
    /// A dropped assignment leaves the column as it is.
    PatchRow {
        table: Name,
        id: Source,
        values: Vec<Assignment>,
        /// The place in [`Function::arguments`] of the version that the row must still have.
        version: Option<usize>,
        /// The columns answered, in their order.
        fields: Vec<Name>,
    },
    /// Where the filter accepts more than `rows_max` rows, nothing is changed.
    PatchRows {
        table: Name,
        filter: Filter,
        values: Vec<Assignment>,
        /// The columns answered, in their order.
        fields: Vec<Name>,
        rows_max: u32,
    },
    DeleteRow {
        table: Name,
        id: Source,
        /// The place in [`Function::arguments`] of the version that the row must still have.
        version: Option<usize>,
    },
    /// Where the filter accepts more than `rows_max` rows, none goes.
    DeleteRows {
        table: Name,
        filter: Filter,
        rows_max: u32,
    },
}

impl Body {
    pub fn table(&self) -> &Name {
        match self {
            Body::QueryRows { table, .. }
            | Body::GetRow { table, .. }
            | Body::CountRows { table, .. }
            | Body::AggregateRows { table, .. }
            | Body::InsertRow { table, .. }
            | Body::InsertRows { table, .. }
            | Body::UpsertRow { table, .. }
            | Body::PatchRow { table, .. }
            | Body::PatchRows { table, .. }
            | Body::DeleteRow { table, .. }
            | Body::DeleteRows { table, .. } => table,
        }
    }

    /// What its rows are answered with besides their columns.
    pub fn expand(&self) -> &[Expand] {
        match self {
            Body::QueryRows { expand, .. } | Body::GetRow { expand, .. } => expand,
            Body::CountRows { .. }
            | Body::AggregateRows { .. }
            | Body::InsertRow { .. }
            | Body::InsertRows { .. }
            | Body::UpsertRow { .. }
            | Body::PatchRow { .. }
            | Body::PatchRows { .. }
            | Body::DeleteRow { .. }
            | Body::DeleteRows { .. } => &[],
        }
    }

    /// Whether it changes rows.
    pub const fn writes(&self) -> bool {
        match self {
            Body::QueryRows { .. } | Body::GetRow { .. } | Body::CountRows { .. } | Body::AggregateRows { .. } => false,
            Body::InsertRow { .. }
            | Body::InsertRows { .. }
            | Body::UpsertRow { .. }
            | Body::PatchRow { .. }
            | Body::PatchRows { .. }
            | Body::DeleteRow { .. }
            | Body::DeleteRows { .. } => true,
        }
    }

    /// The argument that holds many rows, where there is one.
    pub const fn rows(&self) -> Option<&RowsArgument> {
        match self {
            Body::InsertRows { rows, .. } => Some(rows),
            Body::QueryRows { .. }
            | Body::GetRow { .. }
            | Body::CountRows { .. }
            | Body::AggregateRows { .. }
            | Body::InsertRow { .. }
            | Body::UpsertRow { .. }
            | Body::PatchRow { .. }
            | Body::PatchRows { .. }
            | Body::DeleteRow { .. }
            | Body::DeleteRows { .. } => None,
        }
    }

    /// The word authors write for the kind.
    pub const fn word(&self) -> &'static str {
        match self {
            Body::QueryRows { .. } => "queryRows",
            Body::GetRow { .. } => "getRow",
            Body::CountRows { .. } => "countRows",
            Body::AggregateRows { .. } => "aggregateRows",
            Body::InsertRow { .. } => "insertRow",
            Body::InsertRows { .. } => "insertRows",
            Body::UpsertRow { .. } => "upsertRow",
            Body::PatchRow { .. } => "patchRow",
            Body::PatchRows { .. } => "patchRows",
            Body::DeleteRow { .. } => "deleteRow",
            Body::DeleteRows { .. } => "deleteRows",
        }
    }
}

/// What is made of each group of rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Selected {
    /// The member of the answer.
    pub name: Name,
    pub function: AggregateFunction,
    /// None to count rows.
    pub column: Option<Name>,
    pub column_type: ColumnType,
    /// Whether it may be null.
    pub optional: bool,
}

impl Selected {
    /// Whether it is an integer that may have more digits than any column's: a sum of many.
    pub fn is_long(&self) -> bool {
        self.function == AggregateFunction::Sum && matches!(self.column_type, ColumnType::Integer { .. })
    }
}

/// Rows embedded into each row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expand {
    /// The member of the answer, which no column answered has.
    pub name: Name,
    /// Whose rows; of the same scope as the function's table.
    pub table: Name,
    /// The columns answered, in their order.
    pub fields: Vec<Name>,
    pub link: Link,
}

/// How embedded rows are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// The one row that this column of the function's table refers to; null where that is null.
    Row { column: Name },
    /// The rows whose column `by` refers to the function's row, in this order.
    Rows { by: Name, order_by: Vec<Order>, limit: u32 },
}

impl Expand {
    /// Rows it may list; none where it is one row.
    pub const fn list_rows_max(&self) -> u32 {
        match &self.link {
            Link::Row { .. } => 0,
            Link::Rows { limit, .. } => *limit,
        }
    }
}

/// What an insert does where a unique rule says that the row is there. Each column of a rule that
/// is named here is among the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// It is refused.
    Error,
    /// Nothing is changed; the row that is there is the answer.
    Ignore(Name),
    /// That row gets the values; a dropped assignment leaves the column as it is.
    Update(Name),
}

/// How many rows at most.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// Written into the statement, so that the planner sees it.
    Literal(u32),
    /// An integer argument whose type's bounds lie within `0..=max`.
    Argument { argument: usize, max: u32 },
}

#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Negate(Box<Filter>),
    Compare {
        column: Name,
        operator: Operator,
        /// An array for [`Operator::In`].
        value: Source,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub column: Name,
    pub direction: Direction,
}

/// Where a value comes from, resolved.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Literal(Typed),
    /// Index into [`Function::arguments`].
    Argument(usize),
    Identity(IdentityField),
    Now,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub column: Name,
    pub value: Assigned,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Assigned {
    Source(Source),
    /// The old value (0 where null) plus this; for a row that is not there yet, the default or 0
    /// plus this.
    Increment(Source),
    /// The old list, empty where null, with this element behind it.
    Append(Source),
    /// The old list without the elements that are equal to this; null stays null.
    Remove(Source),
}
