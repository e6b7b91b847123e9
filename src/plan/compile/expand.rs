//! `expand`: rows within rows, each by a subquery of its own over the rows that are answered.
//!
//! An embedded row travels as a record and a list as an array of them, in Postgres's binary format,
//! so that `plan::answer` writes their values by the code that writes every other.

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::Direction;
use rowgate_schema_dsl::function::{Expand, Function, Link, Order};
use rowgate_schema_dsl::model::{Column, Model, Table};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN, SCOPE_COLUMN};
use sea_query::{Alias, Cond, Expr, ExprTrait, Func, IntoIden, Order as Sort, Query, SelectExpr, SelectStatement};

use crate::plan::answer::{Form, RowWriter};
use crate::plan::compile::{CompileError, Window, caller, readable_of};
use crate::plan::statement::{Binding, Parameters, Statement};

/// What the rows are called that others are embedded into: no author's name begins with `_`.
const ROWS: &str = "_row";

/// The columns that rows must have for `expand` besides those in `columns`.
pub(super) fn links(expand: &[Expand], columns: &[Name], table: &Table) -> Vec<Name> {
    let mut links: Vec<Name> = Vec::new();
    for Expand { link, .. } in expand {
        let column = match link {
            Link::Row { column } => column.as_str(),
            Link::Rows { .. } => "id",
        };
        let Some(Column { name, .. }) = table.column(column) else { continue };
        if !columns.contains(name) && !links.contains(name) {
            links.push(name.clone());
        }
    }
    links
}

/// The rows that `select` reads through `window`, each with what `function` embeds: the columns
/// `fields`, then what the function embeds, then those of `columns` that are none of the fields.
pub(super) fn of_rows<'n>(
    model: &Model,
    mut select: SelectStatement,
    window: Option<Window<'_>>,
    (fields, columns): (&[Name], impl Iterator<Item = &'n Name>),
    function: &Function,
    mut parameters: Parameters,
) -> Result<Statement, CompileError> {
    let rows = window.and_then(|window| window.apply(&mut select, &mut parameters));
    let alias = |name: &Name| Alias::new(name.as_str());
    let mut outer = Query::select();
    outer
        .columns(fields.iter().map(alias))
        .exprs(selected(model, function, &mut parameters)?)
        .columns(columns.filter(|column| !fields.contains(column)).map(alias))
        .from_subquery(select, Alias::new(ROWS));
    if let Some(rows) = rows {
        outer.limit(rows);
    }
    Ok(parameters.statement(&outer))
}

/// What is selected for each of `expand` from the rows called [`ROWS`].
fn selected(model: &Model, function: &Function, parameters: &mut Parameters) -> Result<Vec<SelectExpr>, CompileError> {
    let expand = function.body.expand();
    let mut selected = Vec::with_capacity(expand.len());
    for one in expand {
        let rows = rows(model, function, one, parameters)?;
        let expression = match &one.link {
            Link::Row { .. } => Expr::SubQuery(None, Box::new(rows.into())),
            Link::Rows { .. } => Expr::cust_with_expr("ARRAY $1", Expr::SubQuery(None, Box::new(rows.into()))),
        };
        selected.push(SelectExpr {
            expr: expression,
            alias: Some(Alias::new(one.name.as_str()).into_iden()),
            window: None,
        });
    }
    Ok(selected)
}

/// Writes the columns `fields` of a row, then the rows embedded into it.
pub(super) fn writer(
    model: &Model,
    table: &Table,
    fields: &[Name],
    expand: &[Expand],
) -> Result<RowWriter, CompileError> {
    let columns = table.columns_named(fields).map(|column| (&column.name, Form::Value(column.column_type.storage())));
    let mut members: Vec<(&Name, Form)> = columns.collect();
    for Expand { name, table, fields, link } in expand {
        let table = model.table(table.as_str()).ok_or(CompileError::Table)?;
        let writer = RowWriter::new(table.columns_named(fields));
        let form = match link {
            Link::Row { .. } => Form::Row(writer),
            Link::Rows { .. } => Form::Rows(writer),
        };
        members.push((name, form));
    }
    Ok(RowWriter::of(members.into_iter()))
}

/// The subquery: one row, or a list in its order, of the caller's scope. Its table goes by the
/// member's name.
fn rows(
    model: &Model,
    function: &Function,
    one: &Expand,
    parameters: &mut Parameters,
) -> Result<SelectStatement, CompileError> {
    let table = model.table(one.table.as_str()).ok_or(CompileError::Table)?;
    let member = || Alias::new(one.name.as_str());
    let column = |name: &str| Expr::col((member(), Alias::new(name)));
    let of_row = |name: &str| Expr::col((Alias::new(ROWS), Alias::new(name)));
    let fields = table.columns_named(&one.fields).map(|field| readable_of(column(field.name.as_str()), field));
    let mut scope = column(SCOPE_COLUMN).eq(parameters.bind(Binding::Scope, &ColumnType::Uuid));
    if function.own && table.owner().is_some() {
        scope = scope.and(column(OWNER_COLUMN).eq(caller(parameters)));
    }
    let mut select = Query::select();
    select
        .expr(Func::cust(Alias::new("ROW")).args(fields))
        .from_as((Alias::new(&model.postgres_schema), Alias::new(table.name.as_str())), member());
    match &one.link {
        Link::Row { column: reference } => {
            let is_it = column("id").eq(of_row(reference.as_str()));
            select.cond_where(Cond::all().add(scope).add(is_it));
        }
        Link::Rows { by, order_by, limit } => {
            let refers = column(by.as_str()).eq(of_row("id"));
            select.cond_where(Cond::all().add(scope).add(refers));
            for (name, direction) in whole_order(order_by) {
                select.order_by_expr(column(name), direction);
            }
            select.limit(u64::from(*limit));
        }
    }
    Ok(select)
}

/// The author's order, then `id` in the direction of its last column.
fn whole_order(order_by: &[Order]) -> Vec<(&str, Sort)> {
    let sort = |direction| match direction {
        Direction::Asc => Sort::Asc,
        Direction::Desc => Sort::Desc,
    };
    let until_id = order_by.iter().position(|order| order.column == *"id");
    let named = order_by.get(..until_id.map_or(order_by.len(), |place| place + 1)).unwrap_or_default();
    let mut whole: Vec<(&str, Sort)> =
        named.iter().map(|order| (order.column.as_str(), sort(order.direction))).collect();
    if until_id.is_none() {
        whole.push(("id", sort(order_by.last().map_or(Direction::Asc, |last| last.direction))));
    }
    whole
}
