//! The rules of INSERT, UPDATE and DELETE: where their tables are bound to the caller's scope.

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Delete, Expr, FromTable, Ident, Insert, ObjectNamePart,
    OnConflictAction, OnInsert, Query, SetExpr, SetOperator, SetQuantifier, Statement as Tree, TableFactor,
    TableObject, TableWithJoins, Update,
};

use crate::plan::proof::{Unproven, bound_in_query, bound_in_select, is_named, is_scope, scoped};
use crate::plan::statement::Binding;

/// What the query of the form of [`bound_in_new_or_there`] calls the rows of its INSERT.
pub(super) fn cte(tree: &Tree) -> Option<&str> {
    match tree {
        Tree::Query(query) => match query.with.as_ref()?.cte_tables.as_slice() {
            [only] => Some(&only.alias.name.value),
            _ => None,
        },
        _ => None,
    }
}

/// `WITH "new" AS (INSERT …) SELECT … FROM "new" UNION ALL SELECT …`: an INSERT, every row of it,
/// and rows of the caller's scope.
pub(super) fn bound_in_new_or_there(query: &Query, bindings: &[Binding]) -> Result<usize, Unproven> {
    let is_plain = |query: &Query| {
        query.fetch.is_none() && query.locks.is_empty() && query.for_clause.is_none() && query.order_by.is_none()
    };
    let with = query.with.as_ref().ok_or(Unproven::Form)?;
    let [new] = with.cte_tables.as_slice() else { return Err(Unproven::Form) };
    let SetExpr::Insert(Tree::Insert(insert)) = new.query.body.as_ref() else { return Err(Unproven::Form) };
    let SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } =
        query.body.as_ref()
    else {
        return Err(Unproven::Form);
    };
    let SetExpr::Select(of_new) = left.as_ref() else { return Err(Unproven::Form) };
    let there = match right.as_ref() {
        SetExpr::Select(there) => bound_in_select(there, bindings)?,
        // In parentheses.
        SetExpr::Query(there) => bound_in_query(there, bindings)?,
        _ => return Err(Unproven::Form),
    };
    let reads_new = matches!(of_new.from.as_slice(), [TableWithJoins { relation: TableFactor::Table { name, args: None, .. }, joins }]
        if joins.is_empty() && is_named(name, &new.alias.name.value));
    if with.recursive || new.query.with.is_some() || !is_plain(query) || !is_plain(&new.query) || !reads_new {
        return Err(Unproven::Form);
    }
    // The query, the INSERT as a query and the name its rows are read by.
    Ok(3 + bound_in_insert(insert, bindings)? + there)
}

pub(super) fn bound_in_insert(insert: &Insert, bindings: &[Binding]) -> Result<usize, Unproven> {
    let TableObject::TableName(name) = &insert.table else { return Err(Unproven::Form) };
    if insert.table_alias.is_some() {
        return Err(Unproven::Form);
    }
    conflict(insert.on.as_ref())?;
    let place = insert.columns.iter().position(|column| is_named(column, SCOPE_COLUMN));
    let Some(SetExpr::Values(values)) = insert.source.as_ref().map(|query| query.body.as_ref()) else {
        return Err(Unproven::Form);
    };
    let every_row_is_scoped = place.is_some_and(|place| {
        values.rows.iter().all(|row| row.content.get(place).is_some_and(|value| is_scope(value, bindings)))
    });
    // The table, and the query that its VALUES are.
    if every_row_is_scoped { Ok(2) } else { Err(Unproven::Unscoped(name.to_string())) }
}

pub(super) fn bound_in_update(update: &Update, bindings: &[Binding]) -> Result<usize, Unproven> {
    if update.from.is_some() {
        return Err(Unproven::Form);
    }
    assignments(&update.assignments)?;
    target(&update.table, update.selection.as_ref(), bindings)
}

/// A row that is met has the scope of the row that was to be inserted, and keeps it.
fn conflict(on: Option<&OnInsert>) -> Result<(), Unproven> {
    let on = match on {
        None => return Ok(()),
        Some(OnInsert::OnConflict(on)) => on,
        Some(_) => return Err(Unproven::Form),
    };
    let Some(ConflictTarget::Columns(columns)) = &on.conflict_target else { return Err(Unproven::Form) };
    if !columns.iter().any(|column| column.value == SCOPE_COLUMN) {
        return Err(Unproven::Unscoped("on conflict".to_owned()));
    }
    match &on.action {
        OnConflictAction::DoNothing => Ok(()),
        OnConflictAction::DoUpdate(update) => assignments(&update.assignments),
    }
}

fn assignments(assignments: &[Assignment]) -> Result<(), Unproven> {
    for assignment in assignments {
        match &assignment.target {
            AssignmentTarget::ColumnName(name) => match name.0.as_slice() {
                // Postgres folds a name without quotes to lower case.
                [ObjectNamePart::Identifier(Ident { value, .. })]
                    if !value.eq_ignore_ascii_case(SCOPE_COLUMN) && !value.eq_ignore_ascii_case("id") => {}
                _ => return Err(Unproven::Assigned(name.to_string())),
            },
            AssignmentTarget::Tuple(_) => return Err(Unproven::Form),
        }
    }
    Ok(())
}

pub(super) fn bound_in_delete(delete: &Delete, bindings: &[Binding]) -> Result<usize, Unproven> {
    let FromTable::WithFromKeyword(from) = &delete.from else { return Err(Unproven::Form) };
    match from.as_slice() {
        [table] if delete.using.is_none() && delete.tables.is_empty() => {
            target(table, delete.selection.as_ref(), bindings)
        }
        _ => Err(Unproven::Form),
    }
}

fn target(table: &TableWithJoins, selection: Option<&Expr>, bindings: &[Binding]) -> Result<usize, Unproven> {
    match &table.relation {
        TableFactor::Table { name, alias: None, args: None, .. } if table.joins.is_empty() => {
            scoped(name, selection, bindings)
        }
        _ => Err(Unproven::Form),
    }
}
