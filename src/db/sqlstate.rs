//! What Postgres's refusals mean to a caller. No other file names an SQLSTATE.
//!
//! Nothing of Postgres's own text goes to a client: it may quote values, constraint names or
//! another tenant's keys. The log gets the code and the message, without the detail line.

use std::error::Error;

use rowgate_schema_dsl::ddl::bytes::BYTES_EXCEEDED_SQLSTATE;
use rowgate_schema_dsl::ddl::quota::ROWS_EXCEEDED_SQLSTATE;
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::model::{Column, Table};
use tokio_postgres::error::{ErrorPosition, SqlState};

use crate::error::{Code, Complaint, Failure};
use crate::plan::{Constraint, Plan, Unmet};

/// What Postgres said when it refused a statement, as far as anything is decided by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub code: SqlState,
    pub message: String,
    pub constraint: Option<String>,
    pub column: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
}

impl Refusal {
    /// Reads the body of an `ErrorResponse` message: fields of a letter and a text each.
    pub fn read(body: &[u8]) -> Refusal {
        let mut refusal = Refusal {
            code: SqlState::INTERNAL_ERROR,
            message: String::new(),
            constraint: None,
            column: None,
            position: None,
        };
        for field in body.split(|byte| *byte == 0) {
            let Some((letter, text)) = field.split_first() else { continue };
            let text = || String::from_utf8_lossy(text).into_owned();
            match letter {
                b'C' => refusal.code = SqlState::from_code(&text()),
                b'M' => refusal.message = text(),
                b'n' => refusal.constraint = Some(text()),
                b'c' => refusal.column = Some(text()),
                b'P' => refusal.position = text().parse().ok(),
                _ => {}
            }
        }
        refusal
    }

    /// What the driver was told, where the database refused.
    pub fn of(error: &tokio_postgres::Error) -> Option<Refusal> {
        error.as_db_error().map(|refusal| Refusal {
            code: refusal.code().clone(),
            message: refusal.message().to_owned(),
            constraint: refusal.constraint().map(str::to_owned),
            column: refusal.column().map(str::to_owned),
            position: match refusal.position() {
                Some(ErrorPosition::Original(position)) => usize::try_from(*position).ok(),
                Some(ErrorPosition::Internal { .. }) | None => None,
            },
        })
    }

    /// The failure that this, got while `plan` ran, is to the caller.
    pub fn failure(&self, plan: &Plan) -> Failure {
        // A session may be ended after its commit and before it could say so.
        if self.ends_session() {
            return unavailable(plan.writes).with_log(self.log());
        }
        refused(self, plan).with_outdated(self.may_be_outdated(plan))
    }

    /// Whether the tables may be newer than `plan`, so that under a newer revision the same call might
    /// succeed. The statement has failed as a whole.
    ///
    /// What a caller can bring about as often as he likes is among it, so the answer must cost little.
    fn may_be_outdated(&self, plan: &Plan) -> bool {
        let code = &self.code;
        let is_known = || self.constraint.as_deref().is_some_and(|name| find(plan, name).is_some());
        // These are raised by statements of ours, on purpose.
        let meant = [
            (SqlState::DIVISION_BY_ZERO, plan.accepted_rows_max.is_some()),
            (SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, plan.unmet.is_some()),
        ];
        if meant.iter().any(|(known, is_ours)| *is_ours && known == code) {
            return false;
        }
        // What is unique or referred to is what callers are told of every day. A value that was checked
        // as an argument is refused by a newer check, as a rule.
        let everyday = [SqlState::UNIQUE_VIOLATION, SqlState::FOREIGN_KEY_VIOLATION, SqlState::RESTRICT_VIOLATION];
        if everyday.contains(code) {
            return !is_known();
        }
        let of_tables = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::INVALID_SCHEMA_NAME];
        // Names and types, values, constraints, and what a cache of the server no longer finds; what a
        // prepared statement was made of, and a deadlock with whoever changes the tables.
        let classes = ["42", "22", "23", "XX", "0A", "26", "40"];
        of_tables.contains(code) || classes.iter().any(|class| code.code().starts_with(class))
    }

    /// The failure that this, got while one of the gateway's own statements ran, is to the caller.
    pub fn own_failure(&self) -> Failure {
        if self.ends_session() { unavailable(false) } else { in_general(&self.code) }.with_log(self.log())
    }

    /// Whether the prepared statement no longer fits the tables, so that preparing it anew may
    /// help. The statement has not run.
    pub fn is_stale(&self) -> bool {
        // Only this one of the feature_not_supported family is raised before the statement runs.
        let stale_plan = self.code == SqlState::FEATURE_NOT_SUPPORTED && self.message.contains("cached plan");
        stale_plan || self.code == SqlState::INVALID_SQL_STATEMENT_NAME
    }

    /// Whether the database undid the transaction for the sake of another: done once more it may
    /// succeed.
    pub fn is_undone(&self) -> bool {
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(&self.code)
    }

    /// Whether the connection is about to go: whatever is sent on it next is lost.
    pub fn ends_session(&self) -> bool {
        [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW].contains(&self.code)
    }

    /// Whether it is our own guard in front of SQL that a handler wrote.
    pub fn is_guard(&self) -> bool {
        self.code == SqlState::DIVISION_BY_ZERO
    }

    /// What this, got while SQL that a handler wrote was read or run, means to its author; none where
    /// it is not about the text. `named` is what the text has at [`Refusal::position`].
    pub fn of_foreign(&self, named: Option<&str>) -> Option<(&'static str, String)> {
        let code = &self.code;
        let what = |otherwise: &str| named.map_or_else(|| otherwise.to_owned(), |named| format!("`{named}`"));
        let (code, message) = if *code == SqlState::QUERY_CANCELED {
            ("sql_timeout", "the query took longer than it may".to_owned())
        } else if *code == SqlState::UNDEFINED_COLUMN {
            ("sql_invalid", format!("there is no column {} here", what("of that name")))
        } else if *code == SqlState::UNDEFINED_TABLE {
            ("sql_invalid", format!("{} is no table that FROM has here", what("a name")))
        } else if *code == SqlState::AMBIGUOUS_COLUMN {
            ("sql_invalid", format!("more than one table has a column {}; write `table.column`", what("of that name")))
        } else if *code == SqlState::UNDEFINED_FUNCTION || *code == SqlState::AMBIGUOUS_FUNCTION {
            let message = format!("{} takes no values of these types; cast them", what("a function or an operator"));
            ("sql_invalid", message)
        } else if *code == SqlState::INDETERMINATE_DATATYPE {
            ("sql_invalid", "the type of a parameter is not known; cast it, such as `$1::text`".to_owned())
        } else if *code == SqlState::GROUPING_ERROR {
            ("sql_invalid", format!("{} has to be in GROUP BY, or in an aggregate", what("a column")))
        } else if *code == SqlState::WINDOWING_ERROR {
            ("sql_invalid", "a function over a window stands where none can".to_owned())
        } else if *code == SqlState::DATATYPE_MISMATCH {
            ("sql_invalid", format!("{} is of a type that does not fit there; cast it", what("a value")))
        } else if *code == SqlState::PROGRAM_LIMIT_EXCEEDED || code.code().starts_with("54") {
            ("sql_failed", "the query makes what is too large or too complex".to_owned())
        } else if *code == SqlState::DIVISION_BY_ZERO {
            ("sql_failed", "the query divides by zero".to_owned())
        } else if *code == SqlState::CARDINALITY_VIOLATION {
            ("sql_failed", "a query that stands for one value has more than one row".to_owned())
        } else if code.code().starts_with("22") {
            ("sql_failed", "a value, or a parameter, is not one that its place takes".to_owned())
        } else if ["42501", "25006", "55000"].contains(&code.code()) {
            ("sql_not_allowed", "the query asks for what SQL of handlers may not".to_owned())
        } else if code.code().starts_with("42") || code.code().starts_with("0A") {
            ("sql_invalid", format!("the query is not one that can be run, at {}", what("an unknown place")))
        } else {
            return None;
        };
        Some((code, message))
    }

    fn log(&self) -> String {
        format!("{}: {}", self.code.code(), self.message)
    }
}

/// The failure of a call whose connection is gone or was never there.
pub fn unavailable(writes: bool) -> Failure {
    let detail = if writes {
        "the database connection was lost; the write may or may not have happened"
    } else {
        "the database cannot be reached right now"
    };
    Failure::new(Code::DatabaseUnavailable, detail).with_retry_after_s(1)
}

/// The failure of a statement whose answer would be of other types than its plan reads. It was not run.
pub fn outdated() -> Failure {
    Failure::new(Code::Internal, "the gateway could not run the statement")
        .with_log("the tables have other types than the plan was made for")
        .with_outdated(true)
}

/// The failure of a transaction that [`Refusal::is_undone`] once more than there was time for.
pub fn undone() -> Failure {
    let detail = "the row is being changed by others; nothing was written";
    Failure::new(Code::DatabaseBusy, detail).with_retry_after_s(1)
}

/// How rows that exist already contradict a declaration that is being added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// Two of them share a value.
    Unique,
    /// One names a row that is not there.
    Reference,
    /// One breaks a rule on values.
    Check,
    /// One has no value where one is required.
    Missing,
    /// One holds a value that no index takes.
    Size,
}

/// How rows that exist made a statement of a deploy fail, where it is they that did.
pub fn contradiction(error: &tokio_postgres::Error) -> Option<Contradiction> {
    let code = error.code()?;
    [
        (SqlState::UNIQUE_VIOLATION, Contradiction::Unique),
        (SqlState::FOREIGN_KEY_VIOLATION, Contradiction::Reference),
        (SqlState::CHECK_VIOLATION, Contradiction::Check),
        (SqlState::NOT_NULL_VIOLATION, Contradiction::Missing),
        (SqlState::PROGRAM_LIMIT_EXCEEDED, Contradiction::Size),
    ]
    .into_iter()
    .find_map(|(known, contradiction)| (known == *code).then_some(contradiction))
}

/// Why a row of one of `tables` was refused, where it is the row that was; for whoever brings it in.
pub fn row_refusal(error: &tokio_postgres::Error, tables: &[&Table]) -> Option<String> {
    let refusal = Refusal::of(error)?;
    let code = &refusal.code;
    let name = refusal.constraint.as_deref().unwrap_or_default();
    // Behind a shard the name has a suffix.
    let is = |identifier: String| name == identifier || name.starts_with(&format!("{identifier}_"));
    let columns = |table: &&Table| table.columns.clone();
    if *code == SqlState::UNIQUE_VIOLATION {
        let rule = tables.iter().flat_map(|table| table.indexes.iter().map(move |index| (table, index)));
        let rule = rule.filter(|(_, index)| index.unique).find(|(table, index)| is(table.index_identifier(index)));
        return Some(match rule {
            Some((_, index)) => {
                let columns: Vec<String> = index.columns.iter().map(|column| format!("`{column}`")).collect();
                format!("a row with this {} is there already (unique rule `{}`)", columns.join(", "), index.name)
            }
            None => "a row with this `id` is there already".to_owned(),
        });
    }
    let of = |identifier: fn(&Table, &Column) -> String| {
        let found = tables.iter().find_map(|table| {
            let found = columns(table).into_iter().find(|column| is(identifier(table, column)));
            found.map(|column| column.name.to_string())
        });
        found.unwrap_or_else(|| "a column".to_owned())
    };
    if *code == SqlState::FOREIGN_KEY_VIOLATION {
        Some(format!("`{}` names a row that is not there", of(Table::foreign_key_identifier)))
    } else if *code == SqlState::CHECK_VIOLATION {
        Some(format!("the value of `{}` is not one the column accepts", of(Table::check_identifier)))
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        Some(format!("`{}` cannot be null", refusal.column.as_deref().unwrap_or("a column")))
    } else if code.code() == ROWS_EXCEEDED_SQLSTATE {
        Some("there is no room for more rows: the quota of the table is spent".to_owned())
    } else if code.code() == BYTES_EXCEEDED_SQLSTATE {
        Some("there is no room for more bytes: the quota is spent".to_owned())
    } else if *code == SqlState::PROGRAM_LIMIT_EXCEEDED {
        Some("a value is too large for the index on its column".to_owned())
    } else if code.code().starts_with("22") {
        Some("a value is not one the database can hold".to_owned())
    } else {
        None
    }
}

/// Whether the same attempt may succeed a moment later.
pub fn is_contention(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| *code == SqlState::LOCK_NOT_AVAILABLE || *code == SqlState::T_R_DEADLOCK_DETECTED)
}

/// Whether something of the same name was made, or the same entry changed, by others at this moment.
pub fn is_made_meanwhile(error: &tokio_postgres::Error) -> bool {
    // Two that change one entry of a catalog are told so by an internal error.
    let codes = [SqlState::DUPLICATE_OBJECT, SqlState::UNIQUE_VIOLATION, SqlState::INTERNAL_ERROR];
    error.code().is_some_and(|code| codes.contains(code))
}

/// An error and its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn refused(refusal: &Refusal, plan: &Plan) -> Failure {
    let code = &refusal.code;
    let constraint = refusal.constraint.as_deref().and_then(|name| find(plan, name));
    let failure = if let (SqlState::DIVISION_BY_ZERO, Some(rows_max)) = (code.clone(), plan.accepted_rows_max) {
        let detail = format!("more than {rows_max} rows are accepted; nothing was changed");
        Failure::new(Code::TooManyRows, detail)
    } else if let (SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION, Some(unmet)) = (code.clone(), &plan.unmet) {
        condition(unmet)
    } else if *code == SqlState::CARDINALITY_VIOLATION {
        let pointer = "/rows".to_owned();
        let message = "two of the rows are the same by the unique rule".to_owned();
        Failure::new(Code::UniqueConflict, message.clone()).with_complaints(vec![Complaint {
            pointer,
            code: "unique",
            message,
        }])
    } else if *code == SqlState::UNIQUE_VIOLATION {
        unique(constraint)
    } else if *code == SqlState::FOREIGN_KEY_VIOLATION || *code == SqlState::RESTRICT_VIOLATION {
        reference(constraint, plan)
    } else if *code == SqlState::CHECK_VIOLATION {
        value(constraint, "a value is not one the column accepts")
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        let column = refusal.column.as_deref().unwrap_or("a column");
        Failure::new(Code::ValueRefused, format!("`{column}` cannot be null"))
    } else if *code == SqlState::NUMERIC_VALUE_OUT_OF_RANGE || *code == SqlState::DATETIME_FIELD_OVERFLOW {
        let beyond = if plan.writes { "what the column can hold" } else { "what can be computed with" };
        Failure::new(Code::ValueRefused, format!("a number is beyond {beyond}"))
    } else if *code == SqlState::PROGRAM_LIMIT_EXCEEDED {
        Failure::new(Code::ValueRefused, "a value is too large for the index on its column")
    } else if code.code().starts_with("22") {
        Failure::new(Code::ValueRefused, "a value is not one the database can hold")
    } else if code.code() == ROWS_EXCEEDED_SQLSTATE {
        Failure::new(Code::QuotaRowsExceeded, rows_exceeded(plan))
    } else if code.code() == BYTES_EXCEEDED_SQLSTATE {
        Failure::new(Code::QuotaBytesExceeded, bytes_exceeded(plan))
    } else {
        in_general(code)
    };
    failure.with_log(refusal.log())
}

/// What says nothing of a function's own.
fn in_general(code: &SqlState) -> Failure {
    if *code == SqlState::QUERY_CANCELED {
        Failure::new(Code::StatementTimeout, "the statement took longer than it may")
    } else if *code == SqlState::LOCK_NOT_AVAILABLE
        || *code == SqlState::T_R_SERIALIZATION_FAILURE
        || *code == SqlState::T_R_DEADLOCK_DETECTED
    {
        undone()
    } else if ["53", "57", "58"].iter().any(|class| code.code().starts_with(class)) || code.code().starts_with("08") {
        Failure::new(Code::DatabaseUnavailable, "the database cannot serve this right now").with_retry_after_s(1)
    } else {
        Failure::new(Code::Internal, "the gateway could not run the statement")
    }
}

fn condition(unmet: &Unmet) -> Failure {
    let message = unmet.detail.to_string();
    let complaint = |pointer: &str| Complaint {
        pointer: pointer.to_owned(),
        code: "condition",
        message: "the row that it names does not meet the condition".to_owned(),
    };
    let complaints = unmet.pointer.as_deref().map(complaint).into_iter().collect();
    Failure::new(Code::ConditionFailed, message).with_complaints(complaints)
}

fn whose(scope: Scope) -> &'static str {
    match scope {
        Scope::Instance => "the install",
        Scope::Overlay => "the overlay",
        Scope::Account => "the account",
        Scope::Global => "the extension",
    }
}

fn bytes_exceeded(plan: &Plan) -> String {
    let most = plan.bytes_max.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
    format!("there is no room for more: {} has a quota{most}; delete something first", whose(plan.scope))
}

fn rows_exceeded(plan: &Plan) -> String {
    let whose = whose(plan.scope);
    let most = plan.rows_max.map(|rows| format!(" of {rows} rows")).unwrap_or_default();
    format!("table `{}` has no room for more: {whose} has a quota{most} there; delete some first", plan.table)
}

/// By its name; behind a shard the name has a suffix.
fn find<'a>(plan: &'a Plan, name: &str) -> Option<&'a Constraint> {
    let exact = plan.constraints.iter().find(|constraint| constraint.identifier == name);
    exact.or_else(|| plan.constraints.iter().find(|constraint| name.starts_with(&constraint.identifier)))
}

fn unique(constraint: Option<&Constraint>) -> Failure {
    let Some(constraint) = constraint else {
        return Failure::new(Code::UniqueConflict, "a row with these values exists already");
    };
    let columns: Vec<String> = constraint.columns.iter().map(|column| format!("`{column}`")).collect();
    let message = format!("a row with this {} exists already", columns.join(", "));
    let detail = format!("{message} (unique rule `{}`)", constraint.rule);
    Failure::new(Code::UniqueConflict, detail).with_complaints(complaints(constraint, "unique", &message))
}

fn reference(constraint: Option<&Constraint>, plan: &Plan) -> Failure {
    let missing = constraint.filter(|constraint| !constraint.columns.is_empty() && !plan.kind.starts_with("deleteRow"));
    match missing {
        Some(constraint) => {
            let message = format!("`{}` names a row that does not exist", constraint.rule);
            Failure::new(Code::ReferenceMissing, message.clone()).with_complaints(complaints(
                constraint,
                "reference",
                &message,
            ))
        }
        None => {
            let by = constraint.map(|constraint| format!(" by `{}`", constraint.rule)).unwrap_or_default();
            Failure::new(Code::RowReferenced, format!("the row is still referred to{by}"))
        }
    }
}

fn value(constraint: Option<&Constraint>, otherwise: &'static str) -> Failure {
    let Some(constraint) = constraint else { return Failure::new(Code::ValueRefused, otherwise) };
    let message = format!("the value of `{}` is not one the column accepts", constraint.rule);
    Failure::new(Code::ValueRefused, message.clone()).with_complaints(complaints(constraint, "check", &message))
}

fn complaints(constraint: &Constraint, code: &'static str, message: &str) -> Vec<Complaint> {
    let complaint = |pointer: &String| Complaint { pointer: pointer.clone(), code, message: message.to_owned() };
    constraint.pointers.iter().map(complaint).collect()
}
