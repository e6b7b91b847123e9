//! What an author writes, as data: the one document that every notation becomes.
//!
//! `rowgate check --json` prints it, `rowgate schema` prints its JSON Schema (made from these
//! types), `read` reads it back. Names are still plain text here: `check` judges them.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::Value;

use crate::aggregate::Aggregate;
use crate::column_type::ColumnType;
use crate::egress::Egress;

pub use crate::definition_schema::json_schema;

/// The version of this document's format.
pub const FORMAT: u32 = 1;

/// One extension: its identity, its tables and its functions.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// The format's version: 1.
    pub rowgate: u32,
    pub extension: Extension,
    #[serde(default)]
    pub tables: IndexMap<String, Table>,
    #[serde(default)]
    pub functions: IndexMap<String, Function>,
    /// Functions that are written in Luau.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub handlers: IndexMap<String, Handler>,
    /// The Luau files of handlers by module name; `functions` is the one that runs.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub sources: IndexMap<String, String>,
}

/// Who the extension is: the content of `extension.json`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// Never changes over the extension's life; its Postgres schema is named after it.
    pub id: uuid::Uuid,
    pub name: String,
    pub version: String,
    #[serde(default, skip_serializing_if = "Egress::is_empty")]
    pub egress: Egress,
    /// Names of the secrets that its actions read; who runs the gateway sets them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    #[serde(default, skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
}

/// What the extension is bounded by as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// How many bytes each scope may hold: each install, and each overlay, account or extension whose rows are shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub bytes: Option<u64>,
}

impl Limits {
    pub fn is_none(&self) -> bool {
        *self == Limits::default()
    }
}

/// A table: columns by name, and the rules over them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Table {
    pub columns: IndexMap<String, Column>,
    /// What the table was called before; its rows stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
    /// Whose rows they are.
    #[serde(default, skip_serializing_if = "Scope::is_instance")]
    pub storage: Scope,
    /// Whether each row belongs to the user who inserted it: its hidden column `owner_id`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub owned: bool,
    /// How many rows each scope may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub rows: Option<u32>,
    /// Column names by index name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub indexes: IndexMap<String, Vec<String>>,
    /// Column names by the name of the unique rule; unique within the scope.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub uniques: IndexMap<String, Vec<String>>,
}

/// Whose rows a table holds: each install's own, or shared over an overlay, an account or all
/// installs of the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    #[default]
    Instance,
    Overlay,
    Account,
    Global,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Scope::Instance, Scope::Overlay, Scope::Account, Scope::Global];

    pub fn is_instance(&self) -> bool {
        *self == Scope::Instance
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Instance => "instance",
            Scope::Overlay => "overlay",
            Scope::Account => "account",
            Scope::Global => "global",
        }
    }
}

/// A type, whether it may be absent, and what stands in when it is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validator {
    #[serde(flatten)]
    pub column_type: ColumnType,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<DefaultValue>,
}

/// A default: a literal of the type, or the time of the insert.
#[derive(Debug, Clone, PartialEq)]
pub enum DefaultValue {
    Literal(Value),
    Now,
}

/// A column: a validator, and what is true of the column alone.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Column {
    #[serde(flatten)]
    pub validator: Validator,
    /// Never leaves the gateway through a declarative function.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
    /// No two rows of a scope have the same value; short for a unique rule of one column.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unique: bool,
    /// What the column was called before; its values stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<String>,
}

/// The ladder of roles; each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    Anonymous,
    Viewer,
    Editor,
    Owner,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Anonymous, Role::Viewer, Role::Editor, Role::Owner];

    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Anonymous => "anonymous",
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Owner => "owner",
        }
    }
}

/// A declarative function: who may call it, and the one statement it is.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Function {
    /// The lowest role that may call it; `viewer` for reads and `editor` for writes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Role>,
    /// Whether it reaches the caller's own rows alone; only for a table that is owned.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own: bool,
    /// That the function may read a whole scope; without it such a function is refused at deploy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan: Option<Scan>,
    /// How often it may be called in one install, besides what holds for every function.
    #[serde(rename = "rateLimit", skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// What must hold for a write; where it does not, nothing is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<When>,
    #[serde(flatten)]
    pub body: Body,
}

/// A quota of calls: so many a minute on average, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    #[schemars(range(min = 1))]
    pub per_minute: u32,
    /// As large as `perMinute` where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
}

/// What must hold of rows that a write is about.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum When {
    /// Of the row that is changed, or of each of them.
    Row(Filter),
    /// Of the row that each of these columns refers to.
    Referred(IndexMap<String, Filter>),
}

/// What an author says of a function that reads or sorts more rows than any index bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Scan {
    Allowed,
}

/// What a function does.
// A definition is held once, while it is deployed: boxes would only stand in the way of reading it.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Body {
    /// Rows of the scope, filtered, ordered, limited.
    QueryRows {
        table: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        filter: Option<Filter>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        order_by: Vec<Order>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<Operand>,
        #[serde(skip_serializing_if = "Option::is_none")]
        offset: Option<Operand>,
        /// Answers `{ "rows", "cursor", "previous" }`, and takes `cursor` to go on.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        page: bool,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
        /// Rows that each row is answered with: by the column that refers to one, or by the name of
        /// a list of rows that refer to it.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        expand: IndexMap<String, Expand>,
    },
    /// The row with this `id`.
    GetRow {
        table: String,
        id: Operand,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
        /// Rows that each row is answered with: by the column that refers to one, or by the name of
        /// a list of rows that refer to it.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        expand: IndexMap<String, Expand>,
    },
    /// How many rows of the scope the filter accepts.
    CountRows {
        table: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        filter: Option<Filter>,
    },
    /// What the rows of the scope that the filter accepts come to, together or by group.
    AggregateRows {
        table: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        filter: Option<Filter>,
        /// Rows that share the values of these columns are one group.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        group_by: Vec<String>,
        /// What is made of each group, by the name of its member in the answer.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        select: IndexMap<String, Aggregate>,
        /// A condition on groups: its columns are members of the answer.
        #[serde(skip_serializing_if = "Option::is_none")]
        having: Option<Filter>,
        /// Members of the answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        order_by: Vec<Order>,
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<Operand>,
    },
    /// A new row; the answer is the row.
    InsertRow {
        table: String,
        values: IndexMap<String, Operand>,
        #[serde(default, skip_serializing_if = "OnConflict::is_error")]
        on_conflict: OnConflict,
        /// The unique rule that `onConflict` is about; the table's only one unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        unique: Option<String>,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    /// A new row for each element of the argument `rows`, of which the values' arguments are the
    /// members; the answer is the rows.
    InsertRows {
        table: String,
        values: IndexMap<String, Operand>,
        #[serde(default, skip_serializing_if = "OnConflict::is_error")]
        on_conflict: OnConflict,
        #[serde(skip_serializing_if = "Option::is_none")]
        unique: Option<String>,
        /// Rows that one call may bring; 1,000 unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_rows: Option<u32>,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    /// A new row, or new values for the row that a unique rule says is there; the answer is the row.
    UpsertRow {
        table: String,
        unique: String,
        values: IndexMap<String, Operand>,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    /// New values for some columns of the row with this `id`; the answer is the new row.
    PatchRow {
        table: String,
        id: Operand,
        values: IndexMap<String, Operand>,
        /// The version that the row must still have: an argument.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<Operand>,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    /// New values for some columns of every row that the filter accepts; the answer is the rows.
    PatchRows {
        table: String,
        filter: Filter,
        values: IndexMap<String, Operand>,
        /// Where the filter accepts more rows, nothing is changed; 1,000 unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_rows: Option<u32>,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
    /// The row with this `id` goes; the answer is `{ "id" }`.
    DeleteRow {
        table: String,
        id: Operand,
        /// The version that the row must still have: an argument.
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<Operand>,
    },
    /// Functions that all happen, in their order, or none; the answer is an object of their answers.
    Transaction { steps: Vec<Step> },
    /// Every row that the filter accepts goes; the answer is `[{ "id" }, …]`.
    DeleteRows {
        table: String,
        filter: Filter,
        /// Where the filter accepts more rows, none goes; 1,000 unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_rows: Option<u32>,
    },
}

impl Body {
    /// The name of the table it is about, of several that of the first.
    pub fn table(&self) -> &str {
        match self {
            Body::Transaction { steps } => steps.first().map_or("", |step| step.function.body.table()),
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

    /// The word authors write for the kind, such as `queryRows`.
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
            Body::Transaction { .. } => "transaction",
        }
    }
}

/// One of the functions of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The member of the answer, and what later steps call its row by.
    pub name: String,
    /// What it does; who may call is said of the whole.
    pub function: Function,
}

/// What is declared of a function that is written in Luau.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handler {
    pub kind: HandlerKind,
    /// The lowest role that may call it; `viewer` for queries and `editor` for the others by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Role>,
    /// What a call gives it, by name; anything else is refused.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub args: IndexMap<String, Validator>,
    /// How long a call may take, from its beginning; the gateway's own maximum holds besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// How often it may be called in one install, besides what holds for every handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// What a handler may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HandlerKind {
    /// Read, in one transaction that changes nothing.
    Query,
    /// Read and write, in one transaction that is committed when it returns.
    Mutation,
    /// Reach outside, and call queries and mutations.
    Action,
}

impl HandlerKind {
    pub const ALL: [HandlerKind; 3] = [HandlerKind::Query, HandlerKind::Mutation, HandlerKind::Action];

    pub const fn as_str(self) -> &'static str {
        match self {
            HandlerKind::Query => "query",
            HandlerKind::Mutation => "mutation",
            HandlerKind::Action => "action",
        }
    }
}

/// What an insert does where a unique rule says that the row is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnConflict {
    /// It fails.
    #[default]
    Error,
    /// It changes nothing and answers the row that is there.
    Ignore,
    /// It gives that row the new values.
    Update,
}

impl OnConflict {
    pub fn is_error(&self) -> bool {
        *self == OnConflict::Error
    }
}

/// What rows are answered with besides their own columns.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Expand {
    /// Rows whose column `by` refers to the row.
    List {
        table: String,
        by: String,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
        #[serde(default, rename = "orderBy", skip_serializing_if = "Vec::is_empty")]
        order_by: Vec<Order>,
        /// Rows listed at most.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    },
    /// The row that the column refers to, or null.
    Row {
        /// The member of the answer; made from the column's name unless given.
        #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        /// The columns answered, in this order; all but the private ones where none is named.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fields: Vec<String>,
    },
}

impl Default for Expand {
    fn default() -> Self {
        Expand::Row { member: None, fields: Vec::new() }
    }
}

/// One column of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    pub column: String,
    #[serde(default)]
    pub dir: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    #[default]
    Asc,
    Desc,
}

/// A condition on a row.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Filter {
    /// Every one of these; true when there are none.
    All {
        all: Vec<Filter>,
    },
    /// At least one of these; false when there are none.
    Any {
        any: Vec<Filter>,
    },
    /// Not this.
    Negate {
        negate: Box<Filter>,
    },
    Compare(Comparison),
}

/// One column against one value.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    pub column: String,
    pub op: Operator,
    pub value: Operand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub enum Operator {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessOrEqual,
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterOrEqual,
    #[serde(rename = "in")]
    In,
    /// Text matches a pattern.
    #[serde(rename = "like")]
    Like,
    /// The same, with `A` to `Z` and `a` to `z` alike.
    #[serde(rename = "ilike")]
    Ilike,
    #[serde(rename = "startsWith")]
    StartsWith,
    /// Text has this text in it, an array this element, a document this part.
    #[serde(rename = "contains")]
    Contains,
    /// With `true` (as where no value is given) the column is null, with `false` it is not.
    #[serde(rename = "isNull")]
    IsNull,
}

impl Operator {
    pub const ALL: [Operator; 12] = [
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
        Operator::In,
        Operator::Like,
        Operator::Ilike,
        Operator::StartsWith,
        Operator::Contains,
        Operator::IsNull,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "in",
            Operator::Like => "like",
            Operator::Ilike => "ilike",
            Operator::StartsWith => "startsWith",
            Operator::Contains => "contains",
            Operator::IsNull => "isNull",
        }
    }
}

/// Where a value comes from. In JSON a scalar or an array is itself; an object is one of
/// `{"arg"}`, `{"identity"}`, `{"now"}`, `{"row", "column"}`, `{"increment"}`, `{"append"}`, `{"remove"}`, `{"literal"}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// The author's own value.
    Literal(Value),
    /// The caller's argument `name`; its validator is the column's unless given.
    Argument { name: String, validator: Option<Validator> },
    /// A fact about the caller, from the token or the install's record.
    Identity(IdentityField),
    /// The time of the statement.
    Now,
    /// A column of the row that an earlier step of the transaction made, changed, removed or read.
    Row { step: String, column: String },
    /// The column's old value plus this; in patchRow alone.
    Increment(Box<Operand>),
    /// The column's old list with this element behind it; in patchRow and patchRows alone.
    Append(Box<Operand>),
    /// The column's old list without the elements that are equal to this; in patchRow and patchRows alone.
    Remove(Box<Operand>),
}

impl Operand {
    /// What is done to a column's old value, as authors call it, and with what.
    pub fn change(&self) -> Option<(&'static str, &Operand)> {
        match self {
            Operand::Increment(by) => Some(("increment", by)),
            Operand::Append(element) => Some(("append", element)),
            Operand::Remove(element) => Some(("remove", element)),
            Operand::Literal(_)
            | Operand::Argument { .. }
            | Operand::Identity(_)
            | Operand::Now
            | Operand::Row { .. } => None,
        }
    }
}

/// What is known of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum IdentityField {
    UserId,
    Role,
    Surface,
    PlatformUserId,
    PlatformUserName,
    AccountId,
    InstallId,
}

impl IdentityField {
    pub const ALL: [IdentityField; 7] = [
        IdentityField::UserId,
        IdentityField::Role,
        IdentityField::Surface,
        IdentityField::PlatformUserId,
        IdentityField::PlatformUserName,
        IdentityField::AccountId,
        IdentityField::InstallId,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            IdentityField::UserId => "userId",
            IdentityField::Role => "role",
            IdentityField::Surface => "surface",
            IdentityField::PlatformUserId => "platformUserId",
            IdentityField::PlatformUserName => "platformUserName",
            IdentityField::AccountId => "accountId",
            IdentityField::InstallId => "installId",
        }
    }
}

impl Serialize for DefaultValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            DefaultValue::Literal(value) => literal(value, serializer),
            DefaultValue::Now => member("now", &true, serializer),
        }
    }
}

impl Serialize for Operand {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Operand::Literal(value) => literal(value, serializer),
            Operand::Argument { name, validator: None } => member("arg", name, serializer),
            Operand::Argument { name, validator: Some(validator) } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("arg", name)?;
                map.serialize_entry("validator", validator)?;
                map.end()
            }
            Operand::Identity(field) => member("identity", field, serializer),
            Operand::Now => member("now", &true, serializer),
            Operand::Row { step, column } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("row", step)?;
                map.serialize_entry("column", column)?;
                map.end()
            }
            Operand::Increment(by) => member("increment", by, serializer),
            Operand::Append(element) => member("append", element, serializer),
            Operand::Remove(element) => member("remove", element, serializer),
        }
    }
}

/// An object would be mistaken for an operand, so it is wrapped.
fn literal<S: serde::Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_object() { member("literal", value, serializer) } else { value.serialize(serializer) }
}

fn member<S: serde::Serializer, T: Serialize>(name: &'static str, value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(name, value)?;
    map.end()
}

impl JsonSchema for DefaultValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DefaultValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A literal of the type; `{\"now\": true}` for the time of the insert; an object literal as `{\"literal\": …}`.",
            "anyOf": [
                { "type": ["string", "number", "boolean", "array", "null"] },
                { "type": "object", "properties": { "now": { "const": true } }, "required": ["now"], "additionalProperties": false },
                { "type": "object", "properties": { "literal": {} }, "required": ["literal"], "additionalProperties": false }
            ]
        })
    }
}

impl JsonSchema for Operand {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Operand".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let validator = generator.subschema_for::<Validator>();
        let identity = generator.subschema_for::<IdentityField>();
        let operand = generator.subschema_for::<Operand>();
        schemars::json_schema!({
            "description": "A literal, or where the value comes from; an object literal is written `{\"literal\": …}`.",
            "anyOf": [
                { "type": ["string", "number", "boolean", "array", "null"] },
                { "type": "object", "properties": { "arg": { "type": "string" }, "validator": validator }, "required": ["arg"], "additionalProperties": false },
                { "type": "object", "properties": { "identity": identity }, "required": ["identity"], "additionalProperties": false },
                { "type": "object", "properties": { "now": { "const": true } }, "required": ["now"], "additionalProperties": false },
                { "type": "object", "properties": { "row": { "type": "string" }, "column": { "type": "string" } }, "required": ["row", "column"], "additionalProperties": false },
                { "type": "object", "properties": { "increment": operand.clone() }, "required": ["increment"], "additionalProperties": false },
                { "type": "object", "properties": { "append": operand.clone() }, "required": ["append"], "additionalProperties": false },
                { "type": "object", "properties": { "remove": operand }, "required": ["remove"], "additionalProperties": false },
                { "type": "object", "properties": { "literal": {} }, "required": ["literal"], "additionalProperties": false }
            ]
        })
    }
}
