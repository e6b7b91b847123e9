//! The rules of INSERT, UPDATE and DELETE: where their tables are bound to the caller's scope.

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sqlparser::ast::{
    AssignmentTarget, Delete, Expr, FromTable, Ident, Insert, ObjectNamePart, SetExpr, TableFactor, TableObject,
    TableWithJoins, Update,
};

use crate::plan::proof::{Unproven, is_named, is_scope, scoped};
use crate::plan::statement::Binding;

pub(super) fn bound_in_insert(insert: &Insert, bindings: &[Binding]) -> Result<usize, Unproven> {
    let TableObject::TableName(name) = &insert.table else { return Err(Unproven::Form) };
    if insert.on.is_some() || insert.table_alias.is_some() {
        return Err(Unproven::Form);
    }
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
    for assignment in &update.assignments {
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
    target(&update.table, update.selection.as_ref(), bindings)
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
