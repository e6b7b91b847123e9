//! Inserts, and what they do where a unique rule says that the row is there.
//!
//! A row that is there is found by its unique rule. To answer it without changing it takes a
//! second look, at the statement's own snapshot: a row that another call committed since is in
//! neither half of the answer. Such a statement is run again; see [`crate::plan::Plan`].

mod rows;
mod values;

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::function::{Argument, Assigned, Assignment, Body, Conflict, Function, Referred};
use rowgate_schema_dsl::model::{Index, Model, Table};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN, SCOPE_COLUMN};
use sea_query::{
    Alias, CaseStatement, CommonTableExpression, Cond, Expr, ExprTrait, Func, InsertStatement, OnConflict, Query,
    UnionType, Value, WithClause,
};

use crate::plan::compile::insert::values::{Values, step, zero};
use crate::plan::compile::write::returning;
use crate::plan::compile::{CompileError, answered, caller, dropped_argument, now, when};
use crate::plan::statement::{Parameters, Statement};

pub(super) use crate::plan::compile::insert::rows::rows;

/// What the rows of an insert are called while it answers one that may have been there.
const NEW: &str = "new";

/// Whether an empty answer means that another call was in the way.
pub(super) fn repeats_when_empty(function: &Function) -> bool {
    match &function.body {
        Body::InsertRow { conflict, .. } | Body::InsertRows { conflict, .. } | Body::UpsertRow { conflict, .. } => {
            match conflict {
                Conflict::Ignore(_) => true,
                Conflict::Error | Conflict::Update(_) => false,
            }
        }
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::PatchRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRow { .. }
        | Body::DeleteRows { .. } => false,
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
        | Body::InsertRows { .. }
        | Body::PatchRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRow { .. }
        | Body::DeleteRows { .. } => false,
    }
}

/// What an insert puts in, what it does where the row is there, and what it answers.
#[derive(Clone, Copy)]
pub(super) struct Inserted<'a> {
    pub(super) model: &'a Model,
    pub(super) function: &'a Function,
    pub(super) arguments: &'a [Argument],
    pub(super) values: &'a [Assignment],
    pub(super) conflict: &'a Conflict,
    pub(super) fields: &'a [Name],
}

impl Inserted<'_> {
    /// Refuses where a row that a new one refers to does not meet the function's condition; `None` where it has none.
    fn guards(&self, into: &Table, from: &mut Values<'_>, row: &[(Alias, Expr)]) -> Result<Option<Cond>, CompileError> {
        let referred = &self.function.when.referred;
        let mut guards = Cond::all();
        for Referred { column, table, filter } in referred {
            let assigned = self.values.iter().find(|assignment| assignment.column == *column);
            let Assigned::Source(value) = &assigned.ok_or(CompileError::Column)?.value else {
                return Err(CompileError::Column);
            };
            let of = into.column(column.as_str()).ok_or(CompileError::Column)?;
            let which = match from.listed_of(value, of) {
                Some(list) => when::refers_to_any(list),
                None => {
                    let value = row.iter().find(|(name, _)| *name == Alias::new(column.as_str()));
                    when::refers(&value.ok_or(CompileError::Column)?.1)
                }
            };
            guards =
                guards.add(when::of_referred(self.model, self.function, table, filter, which, &mut from.parameters)?);
        }
        Ok((!referred.is_empty()).then_some(guards))
    }
}

/// One new row.
pub(super) fn row(
    table: &Table,
    inserted: Inserted<'_>,
    target: (Alias, Alias),
    scope: Expr,
    parameters: Parameters,
) -> Result<Statement, CompileError> {
    let mut from = Values::of_call(inserted.arguments, parameters);
    let (columns, row) = from.row(table, inserted.values)?;
    let mut insert = Query::insert();
    insert.into_table(target.clone()).columns(columns.clone()).returning(returning(table, inserted.fields));
    let placed: Vec<(Alias, Expr)> = columns.iter().cloned().zip(row.iter().cloned()).collect();
    match inserted.guards(table, &mut from, &placed)? {
        None => insert.values(row.clone()),
        Some(guards) => {
            let mut select = Query::select();
            select.exprs(row.clone()).cond_where(guards);
            insert.select_from(select)
        }
    }
    .map_err(|error| CompileError::Write(error.to_string()))?;
    match inserted.conflict {
        Conflict::Error => Ok(from.parameters.statement(&insert)),
        Conflict::Update(rule) => {
            insert.on_conflict(update(table, inserted, unique_rule(table, rule)?, &mut from)?);
            Ok(from.parameters.statement(&insert))
        }
        Conflict::Ignore(rule) => {
            let rule = unique_rule(table, rule)?;
            insert.on_conflict(found_by(rule).do_nothing().to_owned());
            let mut there = Cond::all().add(scope);
            for (column, value) in columns.into_iter().zip(row) {
                if rule.columns.iter().any(|of_rule| Alias::new(of_rule.as_str()) == column) {
                    there = there.add(Expr::col(column).eq(value));
                }
            }
            Ok(or_there(insert, table, inserted.fields, target, there, from.parameters))
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
    table: &Table,
    Inserted { arguments, values, function, .. }: Inserted<'_>,
    rule: &Index,
    from: &mut Values<'_>,
) -> Result<OnConflict, CompileError> {
    let mut on_conflict = found_by(rule);
    // Without its table a column could be the one that was to be inserted.
    let old = |column: &str| Expr::col((Alias::new(table.name.as_str()), Alias::new(column)));
    for Assignment { column, value } in values.iter().filter(|assignment| !rule.columns.contains(&assignment.column)) {
        let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
        let name = column.name.as_str();
        let new = match value {
            Assigned::Source(value) => {
                let new = excluded(name);
                match dropped_argument(value, arguments) {
                    None => new,
                    Some(place) => CaseStatement::new().case(from.met_given(place), new).finally(old(name)).into(),
                }
            }
            // INVARIANT: `check` lets lists be changed in patches alone.
            Assigned::Append(_) | Assigned::Remove(_) => return Err(CompileError::List),
            Assigned::Increment(by) => {
                let old = if column.optional { Func::coalesce([old(name), zero()]).into() } else { old(name) };
                old.add(step(by, column, arguments, &mut from.parameters))
            }
        };
        on_conflict.value(Alias::new(name), new);
    }
    on_conflict.value(Alias::new("updated_at"), now(&ColumnType::Timestamp));
    on_conflict.value(Alias::new("version"), old("version").add(Expr::Constant(Value::BigInt(Some(1)))));
    let is_own = function.own.then(|| old(OWNER_COLUMN).eq(caller(&mut from.parameters)));
    let holds =
        function.when.row.as_ref().map(|filter| when::of_met(table, filter, &mut from.parameters)).transpose()?;
    match (is_own, holds) {
        (None, None) => {}
        (Some(condition), None) | (None, Some(condition)) => drop(on_conflict.action_and_where(condition)),
        // Of another user's row nothing is asked: conditions are asked from left to right.
        (Some(is_own), Some(holds)) => drop(on_conflict.action_and_where(is_own.and(holds))),
    }
    Ok(on_conflict)
}

/// What was to be inserted.
fn excluded(column: &str) -> Expr {
    Expr::col((Alias::new("excluded"), Alias::new(column)))
}

fn unique_rule<'a>(table: &'a Table, name: &Name) -> Result<&'a Index, CompileError> {
    table.indexes.iter().find(|index| index.unique && index.name == *name).ok_or(CompileError::Column)
}
