//! Inserts, and what they do where a unique rule says that the row is there.
//!
//! A row that is there is found by its unique rule. To answer it without changing it takes a
//! second look, at the statement's own snapshot: a row that another call committed since is in
//! neither half of the answer. Such a statement is run again; see [`crate::plan::Plan`].

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::function::{Assigned, Assignment, Body, Conflict, Function, Source};
use rowgate_schema_dsl::model::{Column, DefaultValue, Index, Table};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN, SCOPE_COLUMN};
use rowgate_schema_dsl::value::Typed;
use sea_query::{
    Alias, CommonTableExpression, Cond, Expr, ExprTrait, Func, InsertStatement, OnConflict, Query, UnionType, Value,
    WithClause,
};

use crate::plan::compile::write::{chosen, returning};
use crate::plan::compile::{CompileError, answered, caller, dropped_argument, now, source};
use crate::plan::statement::{Binding, Parameters, Statement};

/// What the columns of an insert are called while it answers a row that may have been there.
const NEW: &str = "new";

/// Whether an empty answer means that another call was in the way.
pub(super) fn repeats_when_empty(function: &Function) -> bool {
    match &function.body {
        Body::InsertRow { conflict, .. } | Body::UpsertRow { conflict, .. } => match conflict {
            Conflict::Ignore(_) => true,
            Conflict::Error | Conflict::Update(_) => false,
        },
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. } => false,
    }
}

/// Whether an empty answer means that the row that is there is another user's.
pub(super) fn empty_is_conflict(function: &Function) -> bool {
    match &function.body {
        Body::InsertRow { conflict: Conflict::Update(_), .. } | Body::UpsertRow { .. } => function.own,
        Body::InsertRow { conflict: Conflict::Error | Conflict::Ignore(_), .. }
        | Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. } => false,
    }
}

/// What an insert puts in, what it does where the row is there, and what it answers.
#[derive(Clone, Copy)]
pub(super) struct Inserted<'a> {
    pub(super) values: &'a [Assignment],
    pub(super) conflict: &'a Conflict,
    pub(super) fields: &'a [Name],
}

/// One new row.
pub(super) fn row(
    table: &Table,
    function: &Function,
    Inserted { values, conflict, fields }: Inserted<'_>,
    target: (Alias, Alias),
    scope: Expr,
    mut parameters: Parameters,
) -> Result<Statement, CompileError> {
    let mut insert = Query::insert();
    let mut columns = vec![Alias::new(SCOPE_COLUMN), Alias::new("id")];
    let mut row =
        vec![parameters.bind(Binding::Scope, &ColumnType::Uuid), parameters.bind(Binding::NewId, &ColumnType::Uuid)];
    if table.owner().is_some() {
        columns.push(Alias::new(OWNER_COLUMN));
        row.push(caller(&mut parameters));
    }
    for Assignment { column, value } in values {
        let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
        columns.push(Alias::new(column.name.as_str()));
        row.push(match value {
            Assigned::Source(value) => inserted(value, column, function, &mut parameters),
            Assigned::Increment(by) => begun(by, column, function, &mut parameters),
        });
    }
    let of_rule = |rule: &Index| -> Vec<(Alias, Expr)> {
        let is_of_rule = |name: &Alias| rule.columns.iter().any(|column| Alias::new(column.as_str()) == *name);
        columns.iter().cloned().zip(row.iter().cloned()).filter(|(name, _)| is_of_rule(name)).collect()
    };
    let known = match conflict {
        Conflict::Error | Conflict::Update(_) => Vec::new(),
        Conflict::Ignore(rule) => of_rule(unique_rule(table, rule)?),
    };
    insert.into_table(target.clone()).columns(columns).returning(returning(table, fields));
    insert.values(row).map_err(|error| CompileError::Write(error.to_string()))?;
    match conflict {
        Conflict::Error => Ok(parameters.statement(&insert)),
        Conflict::Update(rule) => {
            let mut on_conflict = found_by(unique_rule(table, rule)?);
            update(&mut on_conflict, table, function, values, unique_rule(table, rule)?, &mut parameters)?;
            insert.on_conflict(on_conflict);
            Ok(parameters.statement(&insert))
        }
        Conflict::Ignore(rule) => {
            let mut on_conflict = found_by(unique_rule(table, rule)?);
            on_conflict.do_nothing();
            insert.on_conflict(on_conflict);
            let mut there = Cond::all().add(scope);
            for (column, value) in known {
                there = there.add(Expr::col(column).eq(value));
            }
            Ok(or_there(insert, table, fields, target, there, parameters))
        }
    }
}

/// `insert`'s row, or the one that `there` finds.
fn or_there(
    insert: InsertStatement,
    table: &Table,
    fields: &[Name],
    target: (Alias, Alias),
    there: Cond,
    parameters: Parameters,
) -> Statement {
    let names = || table.columns_named(fields).map(|column| Alias::new(column.name.as_str()));
    let mut found = Query::select();
    found.exprs(answered(table, fields)).from(target).cond_where(there);
    let mut select = Query::select();
    select.columns(names()).from(Alias::new(NEW)).union(UnionType::All, found);
    let mut new = CommonTableExpression::new();
    new.table_name(Alias::new(NEW)).columns(names()).query(insert);
    let mut with = WithClause::new();
    with.cte(new);
    parameters.statement(&select.with(with))
}

/// The rule's index, by its columns: behind a shard its name would have a suffix.
fn found_by(rule: &Index) -> OnConflict {
    let columns = rule.columns.iter().map(|column| Alias::new(column.as_str()));
    OnConflict::columns([Alias::new(SCOPE_COLUMN)].into_iter().chain(columns))
}

/// The new values of the row that is there: those of the insert, except what found the row.
fn update(
    on_conflict: &mut OnConflict,
    table: &Table,
    function: &Function,
    values: &[Assignment],
    rule: &Index,
    parameters: &mut Parameters,
) -> Result<(), CompileError> {
    // Without its table a column could be the one that was to be inserted.
    let old = |column: &str| Expr::col((Alias::new(table.name.as_str()), Alias::new(column)));
    for Assignment { column, value } in values.iter().filter(|assignment| !rule.columns.contains(&assignment.column)) {
        let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
        let name = column.name.as_str();
        let new = match value {
            Assigned::Source(from) => {
                let new = Expr::col((Alias::new("excluded"), Alias::new(name)));
                match dropped_argument(from, function) {
                    None => new,
                    Some(index) => {
                        let given = parameters.bind(Binding::Given(index), &ColumnType::Boolean);
                        sea_query::CaseStatement::new().case(given, new).finally(old(name)).into()
                    }
                }
            }
            Assigned::Increment(by) => {
                let old = if column.optional { Func::coalesce([old(name), zero()]).into() } else { old(name) };
                old.add(step(by, column, function, parameters))
            }
        };
        on_conflict.value(Alias::new(name), new);
    }
    on_conflict.value(Alias::new("updated_at"), now(&ColumnType::Timestamp));
    on_conflict.value(Alias::new("version"), old("version").add(Expr::Constant(Value::BigInt(Some(1)))));
    if function.own {
        on_conflict.action_and_where(old(OWNER_COLUMN).eq(caller(parameters)));
    }
    Ok(())
}

/// What an insert puts into `column`: where an optional argument is absent, the column's default.
fn inserted(value: &Source, column: &Column, function: &Function, parameters: &mut Parameters) -> Expr {
    let Some(index) = dropped_argument(value, function) else {
        return source(value, &column.column_type, parameters);
    };
    match &column.default {
        None => source(value, &column.column_type, parameters),
        Some(DefaultValue::Value(default)) => {
            parameters.bind(Binding::ArgumentOr(index, default.clone()), &column.column_type)
        }
        Some(DefaultValue::Now) => {
            let new = source(value, &column.column_type, parameters);
            chosen(index, new, now(&column.column_type), column, parameters)
        }
    }
}

/// What a counter begins with: its default or 0, and the first step.
fn begun(by: &Source, column: &Column, function: &Function, parameters: &mut Parameters) -> Expr {
    let first = match &column.default {
        Some(DefaultValue::Value(Typed::Null)) | None => zero(),
        Some(DefaultValue::Value(value)) => source(&Source::Literal(value.clone()), &column.column_type, parameters),
        Some(DefaultValue::Now) => zero(),
    };
    first.add(step(by, column, function, parameters))
}

fn step(by: &Source, column: &Column, function: &Function, parameters: &mut Parameters) -> Expr {
    let by_value = source(by, &column.column_type, parameters);
    if dropped_argument(by, function).is_some() { Func::coalesce([by_value, zero()]).into() } else { by_value }
}

fn zero() -> Expr {
    Expr::Constant(Value::BigInt(Some(0)))
}

fn unique_rule<'a>(table: &'a Table, name: &Name) -> Result<&'a Index, CompileError> {
    table.indexes.iter().find(|index| index.unique && index.name == *name).ok_or(CompileError::Column)
}
