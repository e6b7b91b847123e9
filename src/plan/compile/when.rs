//! Conditions of writes, asked in the statement that they are for.
//!
//! What is asked of a row is asked of the row as it will be changed, or as the new row will refer to it: it is
//! locked first, so that whoever changes it at the same time comes before or after. Where the answer is no, the
//! statement ends with an error that nothing else in it can raise: the root of a negative number.

use rowgate_schema_dsl::function::{Assigned, Body, Filter, Function, Referred, RowsArgument, Source};
use rowgate_schema_dsl::model::{Model, Table};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN};
use sea_query::extension::postgres::PgFunc;
use sea_query::{Alias, CaseStatement, Cond, Expr, ExprTrait, Func, LockType, Query, SelectStatement, Value};

use crate::plan::Unmet;
use crate::plan::compile::{CompileError, Given, caller, scope_is_callers};
use crate::plan::filter::{condition, condition_on};
use crate::plan::statement::Parameters;

/// What a row that is asked is answered as.
const HOLDS: &str = "holds";

/// The rows that are changed, or that go.
pub(super) struct Changed<'a> {
    pub(super) target: (Alias, Alias),
    /// Which of the table's rows.
    pub(super) accepted: &'a Cond,
    /// Where a filter accepts them, how many there may be.
    pub(super) rows_max: Option<u32>,
    pub(super) goes: bool,
}

/// Refuses where one of the rows that are there does not meet what the function asks of it, or of a row that it
/// refers to.
pub(super) fn of_changed(
    model: &Model,
    table: &Table,
    function: &Function,
    changed: &Changed<'_>,
    parameters: &mut Parameters,
) -> Result<Cond, CompileError> {
    let mut guards = Cond::all();
    // As strong as the change itself, so that no more is waited for than by that.
    let lock = if changed.goes { LockType::Update } else { LockType::NoKeyUpdate };
    let limited = |mut rows: SelectStatement| {
        // What is too many is refused anyway.
        if let Some(rows_max) = changed.rows_max {
            rows.limit(u64::from(rows_max) + 1);
        }
        rows
    };
    if let Some(filter) = &function.when.row {
        let holds = holds(filter, table, parameters)?;
        let rows = asked(holds, changed.target.clone(), changed.accepted.clone(), lock);
        guards = guards.add(all_hold(limited(rows)));
    }
    for Referred { column, table: referred, filter } in &function.when.referred {
        let mut refers = Query::select();
        refers
            .column(Alias::new(column.as_str()))
            .from(changed.target.clone())
            .cond_where(changed.accepted.clone())
            .lock(lock);
        let refers = Expr::SubQuery(None, Box::new(limited(refers).into()));
        let which = Expr::col(Alias::new("id")).eq(PgFunc::any(Expr::cust_with_expr("ARRAY $1", refers)));
        guards = guards.add(of_referred(model, function, referred, filter, which, parameters)?);
    }
    Ok(guards)
}

/// Refuses where the rows of `referred` that `which` finds do not meet `filter`.
pub(super) fn of_referred(
    model: &Model,
    function: &Function,
    referred: &Name,
    filter: &Filter,
    which: Expr,
    parameters: &mut Parameters,
) -> Result<Expr, CompileError> {
    let table = model.table(referred.as_str()).ok_or(CompileError::Table)?;
    let mut holds = holds(filter, table, parameters)?;
    if function.own && table.owner().is_some() {
        // Another user's row does not meet it, whatever it is like.
        holds = Cond::all().add(Expr::col(Alias::new(OWNER_COLUMN)).eq(caller(parameters))).add(holds);
    }
    let target = (Alias::new(&model.postgres_schema), Alias::new(table.name.as_str()));
    let accepted = Cond::all().add(scope_is_callers(parameters)).add(which);
    Ok(all_hold(asked(holds, target, accepted, LockType::Share)))
}

/// Refuses where the row that an insert meets does not hold what the function asks of it.
pub(super) fn of_met(table: &Table, filter: &Filter, parameters: &mut Parameters) -> Result<Expr, CompileError> {
    let columns = |name: &str| {
        let column = table.column(name)?;
        // Without its table a column could be the one that was to be inserted.
        Some((Expr::col((Alias::new(table.name.as_str()), Alias::new(name))), &column.column_type))
    };
    let holds = condition_on(filter, &columns, &Given::EVERY, parameters)?.ok_or(CompileError::Column)?;
    Ok(refuse_unless(known(holds)))
}

/// What a call is told where a condition does not hold.
pub(super) fn unmet(function: &Function) -> Option<Unmet> {
    let when = &function.when;
    let detail = match (&when.row, when.referred.as_slice()) {
        (None, []) => return None,
        (Some(_), []) if super::write::rows_max(function).is_some() => {
            "one of the rows does not meet the function's condition; nothing was written".to_owned()
        }
        (Some(_), []) => "the row does not meet the function's condition; nothing was written".to_owned(),
        (None, [Referred { column, .. }]) => {
            format!("the row that `{column}` refers to does not meet the function's condition; nothing was written")
        }
        (_, _) => "a condition of the function does not hold; nothing was written".to_owned(),
    };
    let pointer = match (&when.row, when.referred.as_slice()) {
        (None, [Referred { column, .. }]) => pointer(function, column),
        (_, _) => None,
    };
    Some(Unmet { detail: detail.into(), pointer: pointer.map(Into::into) })
}

/// The argument that a new row's `column` gets its value from.
fn pointer(function: &Function, column: &Name) -> Option<String> {
    let (Body::InsertRow { values, .. } | Body::InsertRows { values, .. } | Body::UpsertRow { values, .. }) =
        &function.body
    else {
        return None;
    };
    let value = &values.iter().find(|assignment| assignment.column == *column)?.value;
    let Assigned::Source(Source::Argument(place)) = value else { return None };
    match function.body.rows() {
        Some(_) => Some(format!("/{}", RowsArgument::NAME)),
        None => function.arguments.get(*place).map(|argument| format!("/{}", argument.name)),
    }
}

fn holds(filter: &Filter, table: &Table, parameters: &mut Parameters) -> Result<Cond, CompileError> {
    condition(filter, table, &Given::EVERY, parameters)?.ok_or(CompileError::Column)
}

/// The rows that `accepted` finds, locked, each with whether it holds.
fn asked(holds: Cond, target: (Alias, Alias), accepted: Cond, lock: LockType) -> SelectStatement {
    let mut rows = Query::select();
    rows.expr_as(known(holds), Alias::new(HOLDS)).from(target).cond_where(accepted).lock(lock);
    rows
}

/// Null does not hold.
fn known(holds: Cond) -> Expr {
    Func::coalesce([Expr::from(holds), Expr::Constant(Value::Bool(Some(false)))]).into()
}

/// Each row is locked and asked: there is no condition that one of them could be left out by.
fn all_hold(rows: SelectStatement) -> Expr {
    let mut every = Query::select();
    let all = Func::cust(Alias::new("bool_and")).arg(Expr::col(Alias::new(HOLDS)));
    every.expr(all).from_subquery(rows, Alias::new("found"));
    let every = Expr::SubQuery(None, Box::new(every.into()));
    refuse_unless(Func::coalesce([every, Expr::Constant(Value::Bool(Some(true)))]).into())
}

fn refuse_unless(holds: Expr) -> Expr {
    let sign = CaseStatement::new().case(holds, number(1)).finally(number(-1));
    Expr::from(Func::cust(Alias::new("sqrt")).arg(sign)).eq(number(1))
}

fn number(number: i64) -> Expr {
    Expr::Constant(Value::BigInt(Some(number)))
}

/// The row that `value` refers to; none where it is null.
pub(super) fn refers(value: &Expr) -> Expr {
    Expr::col(Alias::new("id")).eq(value.clone())
}

/// [`refers`] by any of a list.
pub(super) fn refers_to_any(values: Expr) -> Expr {
    Expr::col(Alias::new("id")).eq(PgFunc::any(values))
}
