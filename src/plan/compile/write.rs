//! Writes: what a row is inserted with, what a patch changes, what goes.

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::function::{Argument, Assigned, Assignment, Body, Filter, Function, Source, When};
use rowgate_schema_dsl::model::{Column, Model, Table};
use rowgate_schema_dsl::name::Name;
use sea_query::{Alias, CaseStatement, Cond, Expr, ExprTrait, Func, Query, ReturningClause, UpdateStatement, Value};

use crate::plan::compile::guard::at_most;
use crate::plan::compile::when::Changed;
use crate::plan::compile::{
    CompileError, Given, VERSION, droppable, dropped_argument, filtered, id_is, insert, now, readable, source,
    versioned, when,
};
use crate::plan::statement::{Binding, Parameters, Statement};

/// The statement of a function that writes; `scope` is the condition that binds rows to the caller's.
pub(super) fn statement(
    model: &Model,
    table: &Table,
    function: &Function,
    guarded: bool,
    target: (Alias, Alias),
    scope: Expr,
    mut parameters: Parameters,
) -> Result<Statement, CompileError> {
    let arguments = function.arguments.as_slice();
    Ok(match &function.body {
        Body::InsertRow { values, conflict, fields, .. } | Body::UpsertRow { values, conflict, fields, .. } => {
            let fields = versioned(fields);
            let inserted = insert::Inserted { model, function, arguments, values, conflict, fields: &fields };
            insert::row(table, inserted, target, scope, parameters)?
        }
        Body::InsertRows { values, conflict, fields, rows, .. } => {
            let inserted = insert::Inserted { model, function, arguments: &rows.members, values, conflict, fields };
            insert::rows(table, inserted, target, scope, parameters)?
        }
        Body::PatchRow { id, values, version, fields, .. } => {
            let mut update = patch(table, arguments, values, &versioned(fields), target.clone(), &mut parameters)?;
            let accepted = &row_is(id, *version, guarded, scope, &mut parameters);
            let changed = Changed { target, accepted, rows_max: None, goes: false };
            update.cond_where(met(model, table, function, &changed, &mut parameters)?);
            parameters.statement(&update)
        }
        Body::PatchRows { filter, values, fields, rows_max, .. } => {
            let mut update = patch(table, arguments, values, fields, target.clone(), &mut parameters)?;
            let accepted = accepted(table, filter, &scope, &mut parameters)?;
            let changed =
                Changed { target: target.clone(), accepted: &accepted, rows_max: Some(*rows_max), goes: false };
            let met = met(model, table, function, &changed, &mut parameters)?;
            update.cond_where(met.add(at_most(*rows_max, target, accepted)));
            parameters.statement(&update)
        }
        Body::DeleteRow { id, version, .. } => {
            let mut delete = Query::delete();
            let accepted = &row_is(id, *version, guarded, scope, &mut parameters);
            let changed = Changed { target: target.clone(), accepted, rows_max: None, goes: true };
            let met = met(model, table, function, &changed, &mut parameters)?;
            delete.from_table(target).cond_where(met).returning(the_id());
            parameters.statement(&delete)
        }
        Body::DeleteRows { filter, rows_max, .. } => {
            let mut delete = Query::delete();
            let accepted = accepted(table, filter, &scope, &mut parameters)?;
            let changed =
                Changed { target: target.clone(), accepted: &accepted, rows_max: Some(*rows_max), goes: true };
            let met = met(model, table, function, &changed, &mut parameters)?;
            delete.from_table(target.clone()).returning(the_id());
            delete.cond_where(met.add(at_most(*rows_max, target, accepted)));
            parameters.statement(&delete)
        }
        Body::QueryRows { .. } | Body::GetRow { .. } | Body::CountRows { .. } | Body::AggregateRows { .. } => {
            return Err(CompileError::Table);
        }
    })
}

/// The rows that are accepted, where they and what they refer to meet the function's conditions.
fn met(
    model: &Model,
    table: &Table,
    function: &Function,
    changed: &Changed<'_>,
    parameters: &mut Parameters,
) -> Result<Cond, CompileError> {
    let accepted = changed.accepted.clone();
    if function.when.is_empty() {
        return Ok(accepted);
    }
    Ok(accepted.add(when::of_changed(model, table, function, changed, parameters)?))
}

/// The update that gives rows their new values, without saying which rows.
fn patch(
    table: &Table,
    arguments: &[Argument],
    values: &[Assignment],
    fields: &[Name],
    target: (Alias, Alias),
    parameters: &mut Parameters,
) -> Result<UpdateStatement, CompileError> {
    let mut update = Query::update();
    update.table(target);
    for Assignment { column, value } in values {
        let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
        let new = match value {
            Assigned::Source(from) => patched(from, column, arguments, parameters),
            Assigned::Increment(by) => incremented(by, column, arguments, parameters),
            Assigned::Append(element) => relisted("array_append", element, column, arguments, parameters)?,
            Assigned::Remove(element) => relisted("array_remove", element, column, arguments, parameters)?,
        };
        update.value(Alias::new(column.name.as_str()), new);
    }
    let version = Expr::col(Alias::new("version")).add(Expr::Constant(Value::BigInt(Some(1))));
    update
        .value(Alias::new("updated_at"), now(&ColumnType::Timestamp))
        .value(Alias::new("version"), version)
        .returning(returning(table, fields));
    Ok(update)
}

/// The rows of the caller's scope that `filter` accepts. Every argument of it is given.
fn accepted(table: &Table, filter: &Filter, scope: &Expr, parameters: &mut Parameters) -> Result<Cond, CompileError> {
    filtered(scope.clone(), Some(filter), table, &Given::EVERY, parameters)
}

fn the_id() -> ReturningClause {
    Query::returning().column(Alias::new("id"))
}

/// How many rows the filter may accept.
pub(super) fn rows_max(function: &Function) -> Option<u32> {
    match &function.body {
        Body::PatchRows { rows_max, .. } | Body::DeleteRows { rows_max, .. } => Some(*rows_max),
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. } => None,
    }
}

/// The function that finds the row which `function` writes, whatever version it has.
pub(super) fn look(table: &Table, function: &Function) -> Result<Function, CompileError> {
    let id = match &function.body {
        Body::PatchRow { id, .. } | Body::DeleteRow { id, .. } => id.clone(),
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRows { .. } => return Err(CompileError::Table),
    };
    let fields = vec![table.column(VERSION).ok_or(CompileError::Column)?.name.clone()];
    let body = Body::GetRow { table: table.name.clone(), id, fields, expand: Vec::new() };
    Ok(Function { body, when: When::default(), ..function.clone() })
}

/// The row that is written; where the caller said so, only in the version that it knows.
fn row_is(id: &Source, version: Option<usize>, guarded: bool, scope: Expr, parameters: &mut Parameters) -> Cond {
    let row = Cond::all().add(scope).add(id_is(id, parameters));
    if !guarded {
        return row;
    }
    let known = parameters.bind(Binding::Version(version), &ColumnType::Integer { min: None, max: None });
    row.add(Expr::col(Alias::new(VERSION)).eq(known))
}

/// The arguments of a patch that changes nothing without any of them.
pub(super) fn needs_one_of(function: &Function) -> Vec<usize> {
    let (Body::PatchRow { values, .. } | Body::PatchRows { values, .. }) = &function.body else { return Vec::new() };
    let droppable: Vec<usize> = droppable(function).collect();
    let always = values.iter().any(|assignment| {
        let (Assigned::Source(from) | Assigned::Increment(from) | Assigned::Append(from) | Assigned::Remove(from)) =
            &assignment.value;
        !matches!(from, Source::Argument(index) if droppable.contains(index))
    });
    if always { Vec::new() } else { droppable }
}

/// What a patch puts into `column`: where an optional argument is absent, what is there.
fn patched(value: &Source, column: &Column, arguments: &[Argument], parameters: &mut Parameters) -> Expr {
    let new = source(value, &column.column_type, parameters);
    match dropped_argument(value, arguments) {
        None => new,
        Some(index) => chosen(index, new, Expr::col(Alias::new(column.name.as_str())), column, parameters),
    }
}

fn incremented(by: &Source, column: &Column, arguments: &[Argument], parameters: &mut Parameters) -> Expr {
    let zero = || Expr::Constant(Value::BigInt(Some(0)));
    let old = Expr::col(Alias::new(column.name.as_str()));
    let old = if column.optional { Func::coalesce([old, zero()]).into() } else { old };
    let new = source(by, &column.column_type, parameters);
    let new = if dropped_argument(by, arguments).is_some() { Func::coalesce([new, zero()]).into() } else { new };
    old.add(new)
}

/// The list that `function` makes of the old one and an element. Null is no list to remove from, and
/// an empty one to append to.
fn relisted(
    function: &'static str,
    element: &Source,
    column: &Column,
    arguments: &[Argument],
    parameters: &mut Parameters,
) -> Result<Expr, CompileError> {
    let ColumnType::Array { items, .. } = &column.column_type else { return Err(CompileError::List) };
    let old = Expr::col(Alias::new(column.name.as_str()));
    let new = Func::cust(Alias::new(function)).args([old.clone(), source(element, items, parameters)]);
    Ok(match dropped_argument(element, arguments) {
        None => new.into(),
        Some(index) => {
            let given = parameters.bind(Binding::Given(index), &ColumnType::Boolean);
            CaseStatement::new().case(given, new).finally(old).into()
        }
    })
}

/// `new` where the argument was given, else `other`. Null is absence where the column holds none.
fn chosen(index: usize, new: Expr, other: Expr, column: &Column, parameters: &mut Parameters) -> Expr {
    if !column.optional {
        return Func::coalesce([new, other]).into();
    }
    let given = parameters.bind(Binding::Given(index), &ColumnType::Boolean);
    CaseStatement::new().case(given, new).finally(other).into()
}

pub(super) fn returning(table: &Table, fields: &[Name]) -> ReturningClause {
    Query::returning().exprs(table.columns_named(fields).map(readable))
}
