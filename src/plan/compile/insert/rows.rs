//! A new row for each of the call's, in their order.
//!
//! New ids grow from row to row, so where rows that were there are answered among new ones, the ids
//! that these rows would have had put all in order.

use rowgate_schema_dsl::function::Conflict;
use rowgate_schema_dsl::model::Table;
use rowgate_schema_dsl::name::Name;
use sea_query::{
    Alias, CommonTableExpression, Cond, Expr, ExprTrait, InsertStatement, Order, Query, UnionType, WithClause,
    WithQuery,
};

use crate::plan::compile::insert::values::{NEW_ID, Values};
use crate::plan::compile::insert::{Inserted, NEW, found_by, unique_rule, update};
use crate::plan::compile::write::returning;
use crate::plan::compile::{CompileError, answered, readable};
use crate::plan::statement::{Parameters, Statement};

/// What the call's rows are called.
const ROWS: &str = "rows";

/// The statement that inserts them.
pub(in crate::plan::compile) fn rows(
    table: &Table,
    inserted: Inserted<'_>,
    target: (Alias, Alias),
    scope: Expr,
    parameters: Parameters,
) -> Result<Statement, CompileError> {
    let mut from = Values::of_rows(inserted.arguments, parameters);
    let (columns, row) = from.row(table, inserted.values)?;
    let mut insert = Query::insert();
    insert.into_table(target.clone()).columns(columns.clone());
    let on_conflict = match inserted.conflict {
        Conflict::Error => None,
        Conflict::Update(rule) => Some(update(table, inserted, unique_rule(table, rule)?, &mut from)?),
        Conflict::Ignore(rule) => Some(found_by(unique_rule(table, rule)?).do_nothing().to_owned()),
    };
    if let Some(on_conflict) = on_conflict {
        insert.on_conflict(on_conflict);
    }
    let mut select = Query::select();
    select.exprs(row.clone()).from(Alias::new(ROWS));
    let placed: Vec<(Alias, Expr)> = columns.iter().cloned().zip(row.iter().cloned()).collect();
    if let Some(guards) = inserted.guards(table, &mut from, &placed)? {
        select.cond_where(guards);
    }
    insert.select_from(select).map_err(|error| CompileError::Write(error.to_string()))?;
    let (names, unnested) = from.unnested();
    let mut given = CommonTableExpression::new();
    given.table_name(Alias::new(ROWS)).columns(names).query(unnested);
    let mut with = WithClause::new();
    with.cte(given);
    let rule = match inserted.conflict {
        Conflict::Error | Conflict::Update(_) => {
            insert.returning(returning(table, inserted.fields));
            return Ok(from.parameters.statement(&insert.with(with)));
        }
        Conflict::Ignore(rule) => unique_rule(table, rule)?,
    };
    let keys: Vec<(Name, Expr)> = rule
        .columns
        .iter()
        .filter_map(|name| {
            let place = columns.iter().position(|column| *column == Alias::new(name.as_str()))?;
            Some((name.clone(), row.get(place)?.clone()))
        })
        .collect();
    Ok(from.parameters.statement(&or_there(insert, table, inserted.fields, target, scope, &keys, with)))
}

/// For each of the call's rows the one that was inserted for it, for another like it, or that was there.
fn or_there(
    mut insert: InsertStatement,
    table: &Table,
    fields: &[Name],
    target: (Alias, Alias),
    scope: Expr,
    keys: &[(Name, Expr)],
    mut with: WithClause,
) -> WithQuery {
    let names = || table.columns_named(fields).map(|column| Alias::new(column.name.as_str()));
    // What the rule is about, as it is stored: among the answer's columns a decimal is its text.
    let key = |index: usize| Alias::new(format!("key {index}"));
    let mut new = CommonTableExpression::new();
    let stored = keys.iter().map(|(name, _)| Expr::col(Alias::new(name.as_str())));
    insert.returning(Query::returning().exprs(table.columns_named(fields).map(readable).chain(stored)));
    new.table_name(Alias::new(NEW)).columns(names().chain((0..keys.len()).map(key))).query(insert);
    with.cte(new);
    let mut is_new = Cond::all();
    let mut is_there = Cond::all();
    for (index, (name, value)) in keys.iter().enumerate() {
        is_new = is_new.add(Expr::col(key(index)).eq(value.clone()));
        is_there = is_there.add(Expr::col(Alias::new(name.as_str())).eq(value.clone()));
    }
    let mut there = Query::select();
    there.exprs(answered(table, fields)).column(Alias::new(NEW_ID)).from(Alias::new(ROWS));
    there.inner_join(target, is_there).cond_where(scope);
    let mut select = Query::select();
    select.columns(names()).column(Alias::new(NEW_ID)).from(Alias::new(ROWS));
    select.inner_join(Alias::new(NEW), is_new).union(UnionType::All, there);
    select.order_by(Alias::new(NEW_ID), Order::Asc);
    select.with(with)
}
