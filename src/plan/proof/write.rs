//! The rules of INSERT, UPDATE and DELETE: where their tables are bound to the caller's scope.

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sqlparser::ast::{
    Assignment, AssignmentTarget, ConflictTarget, Cte, Delete, Expr, FromTable, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Insert, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, OnConflictAction,
    OnInsert, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement as Tree, TableFactor,
    TableObject, TableWithJoins, Update, Value,
};

use crate::plan::proof::guard::{self, bound_in_guards};
use crate::plan::proof::{Unproven, bound_in_query, bound_in_select, bound_to, demands, is_named, is_scope, scoped};
use crate::plan::statement::Binding;

/// What a query calls the rows that it is given, and those that it inserts.
pub(super) fn ctes(tree: &Tree) -> Vec<&str> {
    match tree {
        Tree::Query(query) => with(query).iter().map(|cte| cte.alias.name.value.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// Nodes that may stand where they do, and nowhere else: lists that are unnested, and guards.
pub(super) fn permitted(tree: &Tree) -> Vec<&Expr> {
    match tree {
        Tree::Query(query) => {
            let lists = with(query).iter().filter_map(lists).flat_map(|select| &select.projection).filter_map(unnested);
            lists.chain(guard::permitted(tree)).collect()
        }
        _ => guard::permitted(tree),
    }
}

/// A query that begins with `WITH`: `INSERT …` of rows that are given, or a UNION ALL of the rows of
/// an INSERT and of rows of the caller's scope:
/// - `WITH "rows" (…) AS (SELECT unnest($2), …) INSERT … SELECT … FROM "rows"`
/// - `WITH "new" AS (INSERT …) SELECT … FROM "new" UNION ALL SELECT …`
/// - `WITH "rows" …, "new" AS (INSERT …) SELECT … FROM "rows" JOIN "new" … UNION ALL SELECT … FROM "rows" JOIN …`
pub(super) fn bound_in_with(query: &Query, bindings: &[Binding]) -> Result<usize, Unproven> {
    let (rows, new) = match with(query) {
        [rows, new] => (Some(rows), Some(new)),
        [rows] if lists(rows).is_some() => (Some(rows), None),
        [new] => (None, Some(new)),
        _ => return Err(Unproven::Form),
    };
    let is_plain = |query: &Query| query.fetch.is_none() && query.locks.is_empty() && query.for_clause.is_none();
    let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
    if recursive
        || !is_plain(query)
        || [rows, new].into_iter().flatten().any(|cte| cte.query.with.is_some() || !is_plain(&cte.query))
    {
        return Err(Unproven::Form);
    }
    let given = rows.map(bound_in_lists).transpose()?.unwrap_or(0);
    let rows = rows.map(|cte| cte.alias.name.value.as_str());
    match (query.body.as_ref(), new) {
        (SetExpr::Insert(Tree::Insert(insert)), None) => Ok(1 + given + bound_in_insert(insert, rows, bindings)?),
        (
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right },
            Some(new),
        ) => {
            let SetExpr::Insert(Tree::Insert(insert)) = new.query.body.as_ref() else { return Err(Unproven::Form) };
            let SetExpr::Select(left) = left.as_ref() else { return Err(Unproven::Form) };
            let of_new = bound_in_new(left, rows, &new.alias.name.value)?;
            let there = match (right.as_ref(), rows) {
                (SetExpr::Select(there), None) => bound_in_select(there, bindings)?,
                (SetExpr::Select(there), Some(rows)) => bound_in_there(there, rows, bindings)?,
                // In parentheses.
                (SetExpr::Query(there), None) => bound_in_query(there, bindings)?,
                (SetExpr::Query(there), Some(rows)) => match there.body.as_ref() {
                    SetExpr::Select(select) if there.with.is_none() && is_plain(there) => {
                        1 + bound_in_there(select, rows, bindings)?
                    }
                    _ => return Err(Unproven::Form),
                },
                _ => return Err(Unproven::Form),
            };
            // The query, and the INSERT as a query.
            Ok(2 + given + bound_in_insert(insert, rows, bindings)? + of_new + there)
        }
        _ => Err(Unproven::Form),
    }
}

fn with(query: &Query) -> &[Cte] {
    query.with.as_ref().map_or(&[], |with| with.cte_tables.as_slice())
}

/// The SELECT without a table that `cte` is.
fn lists(cte: &Cte) -> Option<&Select> {
    match cte.query.body.as_ref() {
        SetExpr::Select(select) if select.from.is_empty() => Some(select),
        _ => None,
    }
}

/// Rows made of nothing but bound lists, none of whose columns can be taken for the scope.
fn bound_in_lists(cte: &Cte) -> Result<usize, Unproven> {
    let select = lists(cte).ok_or(Unproven::Form)?;
    let plain =
        select.into.is_none() && select.selection.is_none() && cte.alias.columns.len() == select.projection.len();
    let named = cte.alias.columns.iter().all(|column| !column.name.value.eq_ignore_ascii_case(SCOPE_COLUMN));
    let bound = select.projection.iter().all(|item| unnested(item).is_some());
    if plain && named && bound { Ok(1) } else { Err(Unproven::Form) }
}

/// The call of `unnest` that the item is, of a parameter or of its cast.
fn unnested(item: &SelectItem) -> Option<&Expr> {
    let SelectItem::UnnamedExpr(expr) = item else { return None };
    let Expr::Function(function) = expr else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_slice() else { return None };
    let argument = if let Expr::Cast { expr, .. } = argument { expr } else { argument };
    let bound = matches!(argument, Expr::Value(value) if matches!(value.value, Value::Placeholder(_)));
    (bound && is_named(&function.name, "unnest")).then_some(expr)
}

/// Every row of the INSERT, or for each of the given rows those of the INSERT that belong to it.
fn bound_in_new(select: &Select, rows: Option<&str>, new: &str) -> Result<usize, Unproven> {
    let names: Vec<&ObjectName> = tables(select)?;
    match (names.as_slice(), rows) {
        ([only], None) if is_named(only, new) => Ok(1),
        ([first, second], Some(rows)) if is_named(first, rows) && is_named(second, new) => Ok(2),
        _ => Err(Unproven::Form),
    }
}

/// For each of the given rows those of the caller's scope that belong to it.
fn bound_in_there(select: &Select, rows: &str, bindings: &[Binding]) -> Result<usize, Unproven> {
    match tables(select)?.as_slice() {
        [first, table] if is_named(first, rows) && !is_named(table, rows) => {
            Ok(1 + scoped(table, select.selection.as_ref(), bindings)?)
        }
        _ => Err(Unproven::Form),
    }
}

/// The tables that `select` joins, each row to those that a condition accepts.
fn tables(select: &Select) -> Result<Vec<&ObjectName>, Unproven> {
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else { return Err(Unproven::Form) };
    let joined = joins.iter().map(|join| match join.join_operator {
        JoinOperator::Inner(JoinConstraint::On(_)) | JoinOperator::Join(JoinConstraint::On(_)) => Ok(&join.relation),
        _ => Err(Unproven::Form),
    });
    let relations: Vec<&TableFactor> = [Ok(relation)].into_iter().chain(joined).collect::<Result<_, Unproven>>()?;
    let plain = select.into.is_none();
    let name = |relation| match relation {
        &TableFactor::Table { ref name, alias: None, args: None, .. } if plain => Ok(name),
        _ => Err(Unproven::Form),
    };
    relations.into_iter().map(name).collect()
}

/// `rows` is what the rows are called that the INSERT may take its own from.
pub(super) fn bound_in_insert(insert: &Insert, rows: Option<&str>, bindings: &[Binding]) -> Result<usize, Unproven> {
    let TableObject::TableName(name) = &insert.table else { return Err(Unproven::Form) };
    if insert.table_alias.is_some() {
        return Err(Unproven::Form);
    }
    conflict(insert.on.as_ref())?;
    let place = insert.columns.iter().position(|column| is_named(column, SCOPE_COLUMN));
    let source = insert.source.as_ref().ok_or(Unproven::Form)?;
    let (every_row_is_scoped, within) = match (source.body.as_ref(), rows) {
        (SetExpr::Values(values), None) => {
            let is_scoped =
                |row: &[Expr]| place.and_then(|place| row.get(place)).is_some_and(|value| is_scope(value, bindings));
            (values.rows.iter().all(|row| is_scoped(&row.content)), 0)
        }
        (SetExpr::Select(select), rows) if source.with.is_none() && source.locks.is_empty() => {
            let of_rows = match rows {
                Some(rows) => matches!(tables(select)?.as_slice(), [only] if is_named(only, rows)),
                // The call itself is the row.
                None => select.from.is_empty() && select.into.is_none(),
            };
            if !of_rows {
                return Err(Unproven::Form);
            }
            let guards = bound_in_guards(select.selection.as_ref(), bindings)?;
            let value = place.and_then(|place| select.projection.get(place));
            let wide = select.projection.iter().any(|item| !matches!(item, SelectItem::UnnamedExpr(_)));
            (
                !wide && matches!(value, Some(SelectItem::UnnamedExpr(value)) if is_scope(value, bindings)),
                usize::from(rows.is_some()) + guards,
            )
        }
        _ => return Err(Unproven::Form),
    };
    // The table, and the query that its rows come from.
    if every_row_is_scoped { Ok(2 + within) } else { Err(Unproven::Unscoped(name.to_string())) }
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

/// One row by its id, in the one version that the caller knows.
pub(super) fn demands_version(tree: &Tree, bindings: &[Binding]) -> Result<(), Unproven> {
    let selection = match tree {
        Tree::Update(update) => update.selection.as_ref(),
        Tree::Delete(delete) => delete.selection.as_ref(),
        _ => None,
    };
    let is_it = |column: &str, value: &Expr| {
        column == "version" && matches!(bound_to(value, bindings), Some(Binding::Version(_)))
    };
    let is_id = |column: &str, value: &Expr| column == "id" && bound_to(value, bindings).is_some();
    match selection {
        Some(selection) if demands(selection, &is_it) && demands(selection, &is_id) => Ok(()),
        _ => Err(Unproven::Unversioned),
    }
}

fn target(table: &TableWithJoins, selection: Option<&Expr>, bindings: &[Binding]) -> Result<usize, Unproven> {
    match &table.relation {
        TableFactor::Table { name, alias: None, args: None, .. } if table.joins.is_empty() => {
            Ok(scoped(name, selection, bindings)? + bound_in_guards(selection, bindings)?)
        }
        _ => Err(Unproven::Form),
    }
}
