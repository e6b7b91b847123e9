//! Guards: what a statement may ask before it changes anything, with an error where the answer is no.
//!
//! - `1 / (CASE WHEN (SELECT COUNT(*) FROM …) <= n THEN 1 ELSE 0 END) = 1`: there are few rows;
//! - `sqrt(CASE WHEN COALESCE((SELECT bool_and("holds") FROM (SELECT COALESCE(…, FALSE) AS "holds" FROM … FOR SHARE)
//!   AS "found"), TRUE) THEN 1 ELSE -1 END) = 1`: each of the rows holds, and stays as it is until the end. They are
//!   found by a condition, or by `"id" = ANY(ARRAY (SELECT … FROM … FOR UPDATE))`;
//! - `sqrt(CASE WHEN COALESCE(…, FALSE) THEN 1 ELSE -1 END) = 1`: the row that an INSERT meets holds.
//!
//! A guard is joined by AND at the top. What is asked is bound to the caller's scope, and of a row that is judged
//! no column is within, but of one that an INSERT meets; so neither the error nor its absence tells of other
//! scopes' rows. Rows that are to hold are locked without a condition on whether they do, and none is left out.

use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Insert, LockType,
    ObjectNamePart, OnConflictAction, OnInsert, Query, Select, SelectItem, SetExpr, Statement as Tree, TableFactor,
    TableObject, TableWithJoins, UnaryOperator, Value,
};

use crate::plan::proof::{Unproven, bound_in_query, is_named, parsed, scoped};
use crate::plan::statement::{Binding, Statement};

/// What the answer for one row is called.
const HOLDS: &str = "holds";

/// A guard that is as it should be, as far as its form goes.
enum Guard<'a> {
    Count { division: &'a Expr, subquery: &'a Expr, query: &'a Query },
    Holds { root: &'a Expr, subquery: &'a Expr, all: &'a Expr, asked: Asked<'a> },
    Met { root: &'a Expr },
}

/// Rows that are to hold.
struct Asked<'a> {
    select: &'a Select,
    /// The list of rows that refer to them: its expression, and its query.
    referring: Option<(&'a Expr, &'a Select)>,
}

/// Proves that `statement`, which [`crate::plan::proof::prove`] has proven, asks rows of each of `tables` whether
/// they hold.
pub fn prove(statement: &Statement, tables: &[&str]) -> Result<(), Unproven> {
    if tables.is_empty() {
        return Ok(());
    }
    let trees = parsed(statement)?;
    let [tree] = trees.as_slice() else { return Err(Unproven::Form) };
    let mut asked: Vec<&str> = Vec::new();
    let (condition, insert) = match tree {
        Tree::Update(update) => (update.selection.as_ref(), None),
        Tree::Delete(delete) => (delete.selection.as_ref(), None),
        Tree::Insert(insert) => (source(insert), Some(insert)),
        Tree::Query(query) => {
            let insert = inserts(query).next();
            (insert.and_then(source), insert)
        }
        _ => (None, None),
    };
    let of_met = insert.and_then(|insert| Some((&insert.table, met(insert)?)));
    if let Some((TableObject::TableName(name), met)) = of_met {
        let guards = guards(Some(met), true);
        asked.extend(guards.iter().filter(|guard| matches!(guard, Guard::Met { .. })).filter_map(|_| last(&name.0)));
    }
    for guard in guards(condition, false) {
        if let Guard::Holds { asked: Asked { select, .. }, .. } = guard
            && let [TableWithJoins { relation: TableFactor::Table { name, .. }, .. }] = select.from.as_slice()
        {
            asked.extend(last(&name.0));
        }
    }
    // Two references to one table are two questions.
    for table in tables {
        match asked.iter().position(|name| name == table) {
            Some(place) => drop(asked.swap_remove(place)),
            None => return Err(Unproven::Unasked((*table).to_owned())),
        }
    }
    Ok(())
}

/// The nodes of a statement's guards that may stand nowhere else.
pub(super) fn permitted(tree: &Tree) -> Vec<&Expr> {
    match tree {
        Tree::Update(update) => nodes(guards(update.selection.as_ref(), false)),
        Tree::Delete(delete) => nodes(guards(delete.selection.as_ref(), false)),
        Tree::Insert(insert) => of_insert(insert),
        Tree::Query(query) => inserts(query).flat_map(of_insert).collect(),
        _ => Vec::new(),
    }
}

/// How many tables and queries of a condition's guards stand where they are bound.
pub(super) fn bound_in_guards(condition: Option<&Expr>, bindings: &[Binding]) -> Result<usize, Unproven> {
    let mut bound = 0;
    for guard in guards(condition, false) {
        bound += match guard {
            Guard::Count { query, .. } => bound_in_query(query, bindings)?,
            // The question, and the rows that are asked.
            Guard::Holds { asked, .. } => {
                let rows = 2 + bound_in_rows(asked.select, bindings)?;
                let referring = asked.referring.map(|(_, select)| bound_in_rows(select, bindings)).transpose()?;
                rows + referring.map_or(0, |tables| 1 + tables)
            }
            Guard::Met { .. } => 0,
        };
    }
    Ok(bound)
}

/// One table, of the caller's scope.
fn bound_in_rows(select: &Select, bindings: &[Binding]) -> Result<usize, Unproven> {
    match select.from.as_slice() {
        [TableWithJoins { relation: TableFactor::Table { name, alias: None, args: None, .. }, joins }]
            if joins.is_empty() =>
        {
            scoped(name, select.selection.as_ref(), bindings)
        }
        _ => Err(Unproven::Form),
    }
}

fn nodes(guards: Vec<Guard<'_>>) -> Vec<&Expr> {
    let of = |guard| match guard {
        Guard::Count { division, subquery, .. } => vec![division, subquery],
        Guard::Holds { root, subquery, all, asked, .. } => {
            let list = asked.referring.map(|(list, _)| list);
            [root, subquery, all].into_iter().chain(list).collect()
        }
        Guard::Met { root } => vec![root],
    };
    guards.into_iter().flat_map(of).collect()
}

fn of_insert(insert: &Insert) -> Vec<&Expr> {
    let mut found = nodes(guards(source(insert), false));
    found.extend(nodes(guards(met(insert), true)));
    found
}

/// The INSERTs that a query begins with, or is.
fn inserts(query: &Query) -> impl Iterator<Item = &Insert> {
    let with = query.with.iter().flat_map(|with| with.cte_tables.iter().map(|cte| cte.query.body.as_ref()));
    with.chain([query.body.as_ref()]).filter_map(|body| match body {
        SetExpr::Insert(Tree::Insert(insert)) => Some(insert),
        _ => None,
    })
}

/// The condition under which rows are inserted.
fn source(insert: &Insert) -> Option<&Expr> {
    match insert.source.as_ref()?.body.as_ref() {
        SetExpr::Select(select) => select.selection.as_ref(),
        _ => None,
    }
}

/// The condition under which a row that is met is changed.
fn met(insert: &Insert) -> Option<&Expr> {
    match &insert.on {
        Some(OnInsert::OnConflict(on)) => match &on.action {
            OnConflictAction::DoUpdate(update) => update.selection.as_ref(),
            OnConflictAction::DoNothing => None,
        },
        _ => None,
    }
}

fn guards(condition: Option<&Expr>, of_met: bool) -> Vec<Guard<'_>> {
    match condition {
        Some(Expr::Nested(inner)) => guards(Some(inner), of_met),
        Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) => {
            let mut found = guards(Some(left), of_met);
            found.extend(guards(Some(right), of_met));
            found
        }
        Some(Expr::BinaryOp { left, op: BinaryOperator::Eq, right }) if is_number(right) => {
            let found = if of_met { of_row(left) } else { few(left).or_else(|| of_rows(left)) };
            found.into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn few(expression: &Expr) -> Option<Guard<'_>> {
    let division = unnested(expression);
    let Expr::BinaryOp { left, op: BinaryOperator::Divide, right } = division else { return None };
    let (condition, [then, otherwise]) = cases(right)?;
    let Expr::BinaryOp { left: counted, op: BinaryOperator::LtEq, right: most } = condition else { return None };
    let subquery = unnested(counted);
    let Expr::Subquery(query) = subquery else { return None };
    let numbers = [left.as_ref(), then, otherwise, most].into_iter().all(is_number);
    numbers.then_some(Guard::Count { division, subquery, query })
}

/// Of rows: whether each of them holds.
fn of_rows(expression: &Expr) -> Option<Guard<'_>> {
    let (root, holds) = root(expression)?;
    let subquery = or(holds, true)?;
    let Expr::Subquery(query) = subquery else { return None };
    let select = plain(query).filter(|_| query.locks.is_empty() && query.limit_clause.is_none())?;
    let [SelectItem::UnnamedExpr(all)] = select.projection.as_slice() else { return None };
    let Expr::Function(function) = all else { return None };
    let [of] = arguments(function, "bool_and")?.as_slice() else { return None };
    let is_answer =
        matches!(of, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(name))) if name.value == HOLDS);
    let [TableWithJoins { relation: TableFactor::Derived { subquery: rows, lateral: false, .. }, joins }] =
        select.from.as_slice()
    else {
        return None;
    };
    // A condition here would be asked before rows are locked.
    if !is_answer || !joins.is_empty() || select.selection.is_some() {
        return None;
    }
    Some(Guard::Holds { root, subquery, all, asked: asked(rows)? })
}

/// Of the row that an INSERT meets: whether it holds.
fn of_row(expression: &Expr) -> Option<Guard<'_>> {
    let (root, holds) = root(expression)?;
    or(holds, false).map(|_| Guard::Met { root })
}

fn asked(rows: &Query) -> Option<Asked<'_>> {
    let select = locked(rows)?;
    let [SelectItem::ExprWithAlias { expr, alias }] = select.projection.as_slice() else { return None };
    if alias.value != HOLDS {
        return None;
    }
    or(expr, false)?;
    Some(Asked { select, referring: select.selection.as_ref().and_then(referring) })
}

/// The SELECT that `query` is, of rows that are locked until the end of the transaction.
fn locked(query: &Query) -> Option<&Select> {
    let [lock] = query.locks.as_slice() else { return None };
    // A key that is shared alone lets all other columns be changed.
    let is_strong = matches!(lock.lock_type, LockType::Share | LockType::Update);
    let waits = lock.nonblock.is_none() && lock.of.is_none();
    plain(query).filter(|_| is_strong && waits)
}

/// `"id" = ANY(ARRAY (SELECT "a" FROM … FOR UPDATE))` among what `condition` demands.
fn referring(condition: &Expr) -> Option<(&Expr, &Select)> {
    match condition {
        Expr::Nested(inner) => referring(inner),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => referring(left).or_else(|| referring(right)),
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            let is_id = matches!(left.as_ref(), Expr::Identifier(name) if name.value == "id");
            let list = unnested(right);
            let Expr::Function(Function { name, args: FunctionArguments::Subquery(query), .. }) = list else {
                return None;
            };
            let select = locked(query)?;
            let is_column = matches!(select.projection.as_slice(), [SelectItem::UnnamedExpr(Expr::Identifier(_))]);
            (is_id && is_column && name.to_string() == "ARRAY").then_some((list, select))
        }
        _ => None,
    }
}

/// The SELECT that `query` is, whose rows all come from its one table.
fn plain(query: &Query) -> Option<&Select> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let is_plain = query.with.is_none() && query.fetch.is_none() && query.for_clause.is_none();
    let is_whole = select.into.is_none()
        && select.distinct.is_none()
        && select.having.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(of, with) if of.is_empty() && with.is_empty());
    (is_plain && is_whole).then_some(select)
}

/// The call of `sqrt` that `expression` is, and what must be true for it to have a root.
fn root(expression: &Expr) -> Option<(&Expr, &Expr)> {
    let root = unnested(expression);
    let Expr::Function(function) = root else { return None };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(sign))] = arguments(function, "sqrt")?.as_slice() else {
        return None;
    };
    let (holds, [then, otherwise]) = cases(sign)?;
    let is_negative = matches!(unnested(otherwise), Expr::UnaryOp { op: UnaryOperator::Minus, expr } if is_number(expr))
        || matches!(unnested(otherwise), Expr::Value(value) if matches!(&value.value, Value::Number(number, _) if number.to_string().starts_with('-')));
    (is_number(then) && is_negative).then_some((root, holds))
}

/// The condition of the one case, and the values with it and without.
fn cases(expression: &Expr) -> Option<(&Expr, [&Expr; 2])> {
    let Expr::Case { operand: None, conditions, else_result: Some(otherwise), .. } = unnested(expression) else {
        return None;
    };
    let [case] = conditions.as_slice() else { return None };
    Some((unnested(&case.condition), [&case.result, otherwise]))
}

/// What stands in `COALESCE(…, TRUE)`, or in `COALESCE(…, FALSE)`.
fn or(expression: &Expr, otherwise: bool) -> Option<&Expr> {
    let Expr::Function(function) = unnested(expression) else { return None };
    match arguments(function, "COALESCE")?.as_slice() {
        [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(first)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value))),
        ] if value.value == Value::Boolean(otherwise) => Some(unnested(first)),
        _ => None,
    }
}

/// The arguments of a plain call of the function `name`.
fn arguments<'a>(function: &'a Function, name: &str) -> Option<&'a Vec<FunctionArg>> {
    let is_plain = function.over.is_none()
        && function.filter.is_none()
        && function.within_group.is_empty()
        && matches!(function.parameters, FunctionArguments::None);
    match &function.args {
        FunctionArguments::List(list)
            if is_plain
                && is_named(&function.name, name)
                && list.duplicate_treatment.is_none()
                && list.clauses.is_empty() =>
        {
            Some(&list.args)
        }
        FunctionArguments::List(_) | FunctionArguments::None | FunctionArguments::Subquery(_) => None,
    }
}

fn unnested(expression: &Expr) -> &Expr {
    if let Expr::Nested(inner) = expression { unnested(inner) } else { expression }
}

fn is_number(expression: &Expr) -> bool {
    matches!(unnested(expression), Expr::Value(value) if matches!(value.value, Value::Number(..)))
}

fn last(name: &[ObjectNamePart]) -> Option<&str> {
    match name.last() {
        Some(ObjectNamePart::Identifier(name)) => Some(&name.value),
        _ => None,
    }
}
