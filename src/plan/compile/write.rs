//! Writes: what a row is inserted with, what a patch changes, what goes.

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::function::{Assigned, Assignment, Body, Function, Source};
use rowgate_schema_dsl::model::{Column, Table};
use rowgate_schema_dsl::name::Name;
use sea_query::{Alias, CaseStatement, Cond, Expr, ExprTrait, Func, Query, ReturningClause, Value};

use crate::plan::compile::{CompileError, droppable, dropped_argument, id_is, insert, now, readable, source};
use crate::plan::statement::{Binding, Parameters, Statement};

/// The statement of a function that writes; `scope` is the condition that binds rows to the caller's.
pub(super) fn statement(
    table: &Table,
    function: &Function,
    target: (Alias, Alias),
    scope: Expr,
    mut parameters: Parameters,
) -> Result<Statement, CompileError> {
    Ok(match &function.body {
        Body::InsertRow { values, conflict, fields, .. } | Body::UpsertRow { values, conflict, fields, .. } => {
            let inserted = insert::Inserted { values, conflict, fields };
            insert::row(table, function, inserted, target, scope, parameters)?
        }
        Body::PatchRow { id, values, fields, .. } => {
            let mut update = Query::update();
            update.table(target);
            for Assignment { column, value } in values {
                let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
                let new = match value {
                    Assigned::Source(from) => patched(from, column, function, &mut parameters),
                    Assigned::Increment(by) => incremented(by, column, function, &mut parameters),
                };
                update.value(Alias::new(column.name.as_str()), new);
            }
            let id = id_is(id, &mut parameters);
            update
                .value(Alias::new("updated_at"), now(&ColumnType::Timestamp))
                .value(
                    Alias::new("version"),
                    Expr::col(Alias::new("version")).add(Expr::Constant(Value::BigInt(Some(1)))),
                )
                .cond_where(Cond::all().add(scope).add(id))
                .returning(returning(table, fields));
            parameters.statement(&update)
        }
        Body::DeleteRow { id, .. } => {
            let mut delete = Query::delete();
            let id = id_is(id, &mut parameters);
            delete
                .from_table(target)
                .cond_where(Cond::all().add(scope).add(id))
                .returning(Query::returning().column(Alias::new("id")));
            parameters.statement(&delete)
        }
        Body::QueryRows { .. } | Body::GetRow { .. } | Body::CountRows { .. } | Body::AggregateRows { .. } => {
            return Err(CompileError::Table);
        }
    })
}

/// The arguments of a patch that changes nothing without any of them.
pub(super) fn needs_one_of(function: &Function) -> Vec<usize> {
    let Body::PatchRow { values, .. } = &function.body else { return Vec::new() };
    let droppable: Vec<usize> = droppable(function).collect();
    let always = values.iter().any(|assignment| {
        let (Assigned::Source(from) | Assigned::Increment(from)) = &assignment.value;
        !matches!(from, Source::Argument(index) if droppable.contains(index))
    });
    if always { Vec::new() } else { droppable }
}

/// What a patch puts into `column`: where an optional argument is absent, what is there.
fn patched(value: &Source, column: &Column, function: &Function, parameters: &mut Parameters) -> Expr {
    let new = source(value, &column.column_type, parameters);
    match dropped_argument(value, function) {
        None => new,
        Some(index) => chosen(index, new, Expr::col(Alias::new(column.name.as_str())), column, parameters),
    }
}

fn incremented(by: &Source, column: &Column, function: &Function, parameters: &mut Parameters) -> Expr {
    let zero = || Expr::Constant(Value::BigInt(Some(0)));
    let old = Expr::col(Alias::new(column.name.as_str()));
    let old = if column.optional { Func::coalesce([old, zero()]).into() } else { old };
    let new = source(by, &column.column_type, parameters);
    let new = if dropped_argument(by, function).is_some() { Func::coalesce([new, zero()]).into() } else { new };
    old.add(new)
}

/// `new` where the argument was given, else `other`. Null is absence where the column holds none.
pub(super) fn chosen(index: usize, new: Expr, other: Expr, column: &Column, parameters: &mut Parameters) -> Expr {
    if !column.optional {
        return Func::coalesce([new, other]).into();
    }
    let given = parameters.bind(Binding::Given(index), &ColumnType::Boolean);
    CaseStatement::new().case(given, new).finally(other).into()
}

pub(super) fn returning(table: &Table, fields: &[Name]) -> ReturningClause {
    Query::returning().exprs(table.columns_named(fields).map(readable))
}
