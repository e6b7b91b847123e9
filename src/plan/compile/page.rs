//! The rows beyond a row of an order: what a page's statement has that a plain query's has not.
//!
//! Postgres takes null for the largest value: last where the order ascends, first where it descends.
//! Whether the row that a page goes on from has a null is known when its statement is chosen.

use rowgate_schema_dsl::definition::Direction;
use rowgate_schema_dsl::function::{Function, Limit, Order};
use rowgate_schema_dsl::model::{Column, Model, Table};
use rowgate_schema_dsl::name::Name;
use sea_query::{Alias, Cond, Expr, ExprTrait, Order as Sort, SelectStatement};
use sha2::{Digest, Sha256};

use crate::plan::compile::CompileError;
use crate::plan::compile::expand::writer;
use crate::plan::page::{Page, Side};
use crate::plan::statement::{Binding, Parameters};

/// A column of the whole order, which ends in `id`.
struct Key<'a> {
    column: &'a Column,
    ascends: bool,
}

/// What the plan of `function` knows of its pages.
pub(super) fn page(
    model: &Model,
    table: &Table,
    function: &Function,
    (order_by, limit, fields): (&[Order], &Limit, &[Name]),
    cursor: usize,
) -> Result<Page, CompileError> {
    let keys = keys(table, order_by)?;
    let columns = columns(table, order_by, fields, true)?;
    let expand = function.body.expand();
    // What is embedded stands between the columns answered and those behind them.
    let place = |key: &Key<'_>| {
        let place = columns.iter().position(|column| *column == key.column.name)?;
        Some(if place < fields.len() { place } else { place + expand.len() })
    };
    let mut hash = Sha256::new();
    for part in ["page", &model.postgres_schema, function.name.as_str(), table.name.as_str()] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    for Key { column, ascends } in &keys {
        hash.update(column.name.as_str().as_bytes());
        hash.update([0, u8::from(*ascends), u8::from(column.optional)]);
        hash.update(column.column_type.storage().element.sql().as_bytes());
        hash.update([0]);
    }
    Ok(Page {
        writer: writer(model, table, fields, expand)?,
        cursor,
        limit: limit.clone(),
        keys: keys.iter().map(|key| place(key).ok_or(CompileError::Column)).collect::<Result<_, _>>()?,
        nullable: keys.iter().map(|key| key.column.optional).collect(),
        shape: hash.finalize().into(),
    })
}

/// The columns to select: those answered, and of a page those of the order that are not, behind them.
pub(super) fn columns(
    table: &Table,
    order_by: &[Order],
    fields: &[Name],
    is_page: bool,
) -> Result<Vec<Name>, CompileError> {
    let mut columns = fields.to_vec();
    if is_page {
        for Key { column, .. } in keys(table, order_by)? {
            if !columns.contains(&column.name) {
                columns.push(column.name.clone());
            }
        }
    }
    Ok(columns)
}

/// How many columns of the order may be null.
pub(super) fn nullable_count(table: &Table, order_by: &[Order]) -> Result<usize, CompileError> {
    Ok(keys(table, order_by)?.iter().filter(|key| key.column.optional).count())
}

/// Orders `select` as seen from `side`, and restricts it to the rows beyond: the author's order, then
/// `id` in the direction of its last column, so that the order is total and an index that ends in
/// `id` serves it whole.
///
/// Columns are named with their table: without it Postgres would order by what is answered under
/// that name, which of a decimal is its text.
pub(super) fn turn(
    select: &mut SelectStatement,
    table: &Table,
    order_by: &[Order],
    side: Side,
    parameters: &mut Parameters,
) -> Result<(), CompileError> {
    let mut keys = keys(table, order_by)?;
    if let Side::Beyond { backward, nulls } = side {
        if backward {
            keys.iter_mut().for_each(|key| key.ascends = !key.ascends);
        }
        select.cond_where(Cond::all().add(beyond(&keys, nulls, parameters)));
    }
    for Key { column, ascends } in &keys {
        let column = (Alias::new(table.name.as_str()), Alias::new(column.name.as_str()));
        select.order_by(column, if *ascends { Sort::Asc } else { Sort::Desc });
    }
    Ok(())
}

fn keys<'a>(table: &'a Table, order_by: &[Order]) -> Result<Vec<Key<'a>>, CompileError> {
    let mut keys = Vec::with_capacity(order_by.len() + 1);
    let mut ascends = true;
    for Order { column, direction } in order_by {
        ascends = *direction == Direction::Asc;
        keys.push(Key { column: table.column(column.as_str()).ok_or(CompileError::Column)?, ascends });
        if *column == *"id" {
            return Ok(keys);
        }
    }
    keys.push(Key { column: table.column("id").ok_or(CompileError::Column)?, ascends });
    Ok(keys)
}

/// The condition of standing behind the cursor's row, in the order of `keys`.
fn beyond(keys: &[Key<'_>], nulls: usize, parameters: &mut Parameters) -> Expr {
    let ascends = keys.first().is_none_or(|key| key.ascends);
    if keys.iter().all(|key| key.ascends == ascends && !key.column.optional) {
        // One range of an index that begins with these columns.
        let columns: Vec<Expr> = keys.iter().map(column).collect();
        let values: Vec<Expr> = keys.iter().enumerate().map(|(index, key)| value(index, key, parameters)).collect();
        let (columns, values) = match (<[Expr; 1]>::try_from(columns), <[Expr; 1]>::try_from(values)) {
            (Ok([column]), Ok([value])) => (column, value),
            (Ok([column]), Err(values)) => (column, Expr::tuple(values)),
            (Err(columns), Ok([value])) => (Expr::tuple(columns), value),
            (Err(columns), Err(values)) => (Expr::tuple(columns), Expr::tuple(values)),
        };
        return if ascends { columns.gt(values) } else { columns.lt(values) };
    }
    let mut bit = 0;
    let is_null: Vec<bool> = keys
        .iter()
        .map(|key| {
            let is_null = key.column.optional && nulls & 1 << bit != 0;
            bit += usize::from(key.column.optional);
            is_null
        })
        .collect();
    // From the last key to the first: behind in this one, or equal in it and behind in those after.
    let mut rest: Option<Expr> = None;
    for (index, (key, is_null)) in keys.iter().zip(&is_null).enumerate().rev() {
        let behind = behind(index, key, *is_null, parameters);
        let equal = |parameters: &mut Parameters| {
            if *is_null { column(key).is_null() } else { column(key).eq(value(index, key, parameters)) }
        };
        rest = match (behind, rest) {
            (behind, None) => behind,
            (None, Some(rest)) => Some(equal(parameters).and(rest)),
            (Some(behind), Some(rest)) => Some(behind.or(equal(parameters).and(rest))),
        };
    }
    let condition = rest.unwrap_or_else(|| Expr::value(false));
    match (keys.first(), is_null.first()) {
        // Tells the planner where the range begins, which it does not see through the OR.
        (Some(first), Some(false)) if !first.ascends => column(first).lte(value(0, first, parameters)).and(condition),
        (Some(first), Some(false)) if !first.column.optional => {
            column(first).gte(value(0, first, parameters)).and(condition)
        }
        _ => condition,
    }
}

/// Standing behind in one column; `None` where nothing can.
fn behind(index: usize, key: &Key<'_>, is_null: bool, parameters: &mut Parameters) -> Option<Expr> {
    match (key.ascends, is_null) {
        (true, true) => None,
        (false, true) => Some(column(key).is_not_null()),
        (true, false) => {
            let larger = column(key).gt(value(index, key, parameters));
            Some(if key.column.optional { larger.or(column(key).is_null()) } else { larger })
        }
        (false, false) => Some(column(key).lt(value(index, key, parameters))),
    }
}

fn column(key: &Key<'_>) -> Expr {
    Expr::col(Alias::new(key.column.name.as_str()))
}

fn value(index: usize, key: &Key<'_>, parameters: &mut Parameters) -> Expr {
    parameters.bind(Binding::Cursor(index), &key.column.column_type)
}
