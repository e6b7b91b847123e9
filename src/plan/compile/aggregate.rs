//! aggregateRows: groups of rows, and what is made of each.
//!
//! Conditions and orders are over the expressions themselves, never over the names they are
//! answered under, since a member may be called like a column: `score = sum("score")`.

use rowgate_schema_dsl::aggregate::AggregateFunction;
use rowgate_schema_dsl::column_type::{ColumnType, PostgresType};
use rowgate_schema_dsl::definition::Direction;
use rowgate_schema_dsl::function::{Filter, Limit, Order, Selected};
use rowgate_schema_dsl::model::Table;
use rowgate_schema_dsl::name::Name;
use sea_query::{Alias, Cond, Expr, ExprTrait, Func, IntoIden, Order as Sort, Query, SelectExpr, SelectStatement};

use crate::plan::answer::{Form, RowWriter};
use crate::plan::compile::{CompileError, Given, Window, answered, limited};
use crate::plan::filter::condition_on;
use crate::plan::statement::{Parameters, Statement};

/// The parts of an aggregateRows, its filter apart.
pub(super) struct Parts<'f> {
    pub(super) groups: &'f [Name],
    pub(super) select: &'f [Selected],
    pub(super) having: Option<&'f Filter>,
    pub(super) order_by: &'f [Order],
    pub(super) limit: &'f Limit,
}

/// The statement; `filtered` is the condition on rows, the caller's scope in it.
pub(super) fn statement(
    target: (Alias, Alias),
    table: &Table,
    parts: &Parts<'_>,
    filtered: Cond,
    given: &Given<'_>,
    mut parameters: Parameters,
) -> Result<Statement, CompileError> {
    let mut select = Query::select();
    select.exprs(answered(table, parts.groups)).from(target).cond_where(filtered);
    for selected in parts.select {
        let alias = Some(Alias::new(selected.name.as_str()).into_iden());
        select.expr(SelectExpr { expr: readable(selected), alias, window: None });
    }
    for group in parts.groups {
        select.add_group_by([of_table(table, group)]);
    }
    if let Some(having) = parts.having {
        let member = |name: &str| member(table, parts, name);
        if let Some(condition) = condition_on(having, &member, given, &mut parameters)? {
            select.cond_having(condition);
        }
    }
    order(&mut select, table, parts)?;
    let names = parts.groups.iter().chain(parts.select.iter().map(|selected| &selected.name));
    Ok(limited(select, Window { limit: parts.limit, more: 0, rows: None }, names, parameters))
}

/// Writes a group as an object: its columns, then what was made of it.
pub(super) fn writer(table: &Table, groups: &[Name], select: &[Selected]) -> RowWriter {
    let grouped = table.columns_named(groups).map(|column| (&column.name, Form::Value(column.column_type.storage())));
    let selected = select.iter().map(|selected| {
        let form = if selected.is_long() { Form::Json } else { Form::Value(selected.column_type.storage()) };
        (&selected.name, form)
    });
    RowWriter::of(grouped.chain(selected))
}

/// The expression and the type of a member of the answer.
fn member<'t>(table: &'t Table, parts: &Parts<'t>, name: &str) -> Option<(Expr, &'t ColumnType)> {
    let selected = parts.select.iter().find(|selected| selected.name == *name);
    match selected {
        Some(selected) => Some((value(selected), &selected.column_type)),
        None => {
            let group = parts.groups.iter().find(|group| **group == *name)?;
            Some((of_table(table, group), &table.column(name)?.column_type))
        }
    }
}

/// The author's order, then the groups' columns, which no two groups share.
fn order(select: &mut SelectStatement, table: &Table, parts: &Parts<'_>) -> Result<(), CompileError> {
    let sort = |direction| match direction {
        Direction::Asc => Sort::Asc,
        Direction::Desc => Sort::Desc,
    };
    let mut last = Direction::Asc;
    for Order { column, direction } in parts.order_by {
        let (expression, _) = member(table, parts, column.as_str()).ok_or(CompileError::Column)?;
        select.order_by_expr(expression, sort(*direction));
        last = *direction;
    }
    for group in parts.groups.iter().filter(|group| !parts.order_by.iter().any(|order| order.column == **group)) {
        select.order_by_expr(of_table(table, group), sort(last));
    }
    Ok(())
}

fn of_table(table: &Table, column: &Name) -> Expr {
    Expr::col((Alias::new(table.name.as_str()), Alias::new(column.as_str())))
}

fn value(selected: &Selected) -> Expr {
    let Some(column) = &selected.column else { return Func::count(Expr::cust("*")).into() };
    let column = Expr::col(Alias::new(column.as_str()));
    match selected.function {
        AggregateFunction::Count => Func::count(column).into(),
        AggregateFunction::Sum => Func::sum(column).into(),
        // Of integers Postgres makes a decimal, and a number is what their average is here.
        AggregateFunction::Avg if selected.column_type.storage().element == PostgresType::Float8 => {
            Expr::from(Func::avg(column)).cast_as("double precision")
        }
        AggregateFunction::Avg => Func::avg(column).into(),
        AggregateFunction::Min => Func::min(column).into(),
        AggregateFunction::Max => Func::max(column).into(),
    }
}

/// Numerics travel as text, and so does a sum of integers, which may be longer than any of them.
fn readable(selected: &Selected) -> Expr {
    let is_numeric = selected.column_type.storage().element == PostgresType::Numeric;
    if is_numeric || selected.is_long() { value(selected).cast_as("text") } else { value(selected) }
}
