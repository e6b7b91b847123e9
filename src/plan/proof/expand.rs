//! Rows within rows: the one place where an expression may be a query.
//!
//! A query over a derived table may select `(SELECT … FROM "ext"."t" AS "a" WHERE "a"."scope_key" = $n …)`
//! or `ARRAY (SELECT …)` of the same form, as a column by itself. The condition names the table's own
//! alias, which nothing outside can hide, so it is this table that it binds.

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, GroupByExpr, Query, Select, SelectItem, SetExpr,
    Statement as Tree, TableFactor, TableWithJoins,
};

use crate::plan::proof::{Unproven, is_scope};
use crate::plan::statement::Binding;

/// Makes an array of a query's rows; no function can be called by this word without quotes.
const ARRAY: &str = "ARRAY";

/// The queries that are columns of the statement's outermost SELECT.
pub(super) fn embedded(tree: &Tree) -> Vec<&Query> {
    let Tree::Query(query) = tree else { return Vec::new() };
    let SetExpr::Select(select) = query.body.as_ref() else { return Vec::new() };
    match select.from.as_slice() {
        [TableWithJoins { relation: TableFactor::Derived { lateral: false, .. }, joins }] if joins.is_empty() => {
            select.projection.iter().filter_map(column).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether `function` is the constructor of an array from one of `embedded`.
pub(super) fn is_list(function: &Function, embedded: &[&Query]) -> bool {
    match &function.args {
        FunctionArguments::Subquery(query) => embedded.iter().any(|one| std::ptr::eq(*one, query.as_ref())),
        FunctionArguments::None | FunctionArguments::List(_) => false,
    }
}

/// How many tables and queries of `embedded` stand where they are bound.
pub(super) fn bound(embedded: &[&Query], bindings: &[Binding]) -> Result<usize, Unproven> {
    let mut bound = 0;
    for query in embedded {
        let plain =
            query.with.is_none() && query.fetch.is_none() && query.locks.is_empty() && query.for_clause.is_none();
        match query.body.as_ref() {
            SetExpr::Select(select) if plain => bound += 1 + bound_in_select(select, bindings)?,
            _ => return Err(Unproven::Form),
        }
    }
    Ok(bound)
}

fn column(item: &SelectItem) -> Option<&Query> {
    match item {
        SelectItem::ExprWithAlias { expr: Expr::Subquery(query), .. } => Some(query),
        SelectItem::ExprWithAlias { expr: Expr::Function(function), .. } => match &function.args {
            FunctionArguments::Subquery(query) if function.name.to_string() == ARRAY => Some(query),
            FunctionArguments::None | FunctionArguments::List(_) | FunctionArguments::Subquery(_) => None,
        },
        _ => None,
    }
}

fn bound_in_select(select: &Select, bindings: &[Binding]) -> Result<usize, Unproven> {
    let is_plain = select.into.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(of, with) if of.is_empty() && with.is_empty());
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else { return Err(Unproven::Form) };
    let TableFactor::Table { name, alias: Some(alias), args: None, .. } = relation else { return Err(Unproven::Form) };
    if !is_plain || !joins.is_empty() || !alias.columns.is_empty() {
        return Err(Unproven::Form);
    }
    match &select.selection {
        Some(selection) if demands_scope_of(&alias.name.value, selection, bindings) => Ok(1),
        _ => Err(Unproven::Unscoped(name.to_string())),
    }
}

/// Whether no row of the table called `alias` can pass `condition` but the caller's.
fn demands_scope_of(alias: &str, condition: &Expr, bindings: &[Binding]) -> bool {
    match condition {
        Expr::Nested(inner) => demands_scope_of(alias, inner, bindings),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            demands_scope_of(alias, left, bindings) || demands_scope_of(alias, right, bindings)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            let is_its_scope = match left.as_ref() {
                Expr::CompoundIdentifier(names) => {
                    matches!(names.as_slice(), [table, column] if table.value == alias && column.value == SCOPE_COLUMN)
                }
                _ => false,
            };
            is_its_scope && is_scope(right, bindings)
        }
        _ => false,
    }
}
