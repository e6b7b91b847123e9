//! A filter becomes a condition. What hangs on an argument that was not given is left out, and a
//! group left empty by that goes with it; a group written empty keeps its meaning.

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::Operator;
use rowgate_schema_dsl::function::{Filter, Source};
use rowgate_schema_dsl::like::{Anchor, pattern};
use rowgate_schema_dsl::model::Table;
use rowgate_schema_dsl::value::Typed;
use sea_query::extension::postgres::{PgBinOper, PgFunc};
use sea_query::{Alias, BinOper, Cond, Expr, ExprTrait};

use crate::plan::compile::{CompileError, Given, source};
use crate::plan::statement::{Binding, Parameters};

/// The condition, or `None` where nothing of it is left.
pub fn condition(
    filter: &Filter,
    table: &Table,
    given: &Given<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Cond>, CompileError> {
    let column = |name: &str| Some((Expr::col(Alias::new(name)), &table.column(name)?.column_type));
    condition_on(filter, &column, given, parameters)
}

/// The expression and the type of what a filter calls a column.
pub type Columns<'c> = dyn Fn(&str) -> Option<(Expr, &'c ColumnType)> + 'c;

/// [`condition`] where what the filter calls columns are expressions.
pub fn condition_on(
    filter: &Filter,
    columns: &Columns<'_>,
    given: &Given<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Cond>, CompileError> {
    match filter {
        Filter::All(filters) => group(filters, Cond::all(), Expr::value(true), columns, given, parameters),
        Filter::Any(filters) => group(filters, Cond::any(), Expr::value(false), columns, given, parameters),
        Filter::Negate(filter) => Ok(condition_on(filter, columns, given, parameters)?.map(Cond::not)),
        Filter::Compare { column, operator, value } => {
            if given.drops(value) {
                return Ok(None);
            }
            let (left, column_type) = columns(column.as_str()).ok_or(CompileError::Column)?;
            if *operator == Operator::In {
                let list = match value {
                    Source::Argument(index) => parameters.bind_array(Binding::Argument(*index), column_type),
                    Source::Literal(list) => parameters.bind_array(Binding::Literal(list.clone()), column_type),
                    Source::Identity(_) | Source::Now | Source::Row { .. } => return Err(CompileError::List),
                };
                return Ok(Some(Cond::all().add(left.eq(PgFunc::any(list)))));
            }
            if let Some(condition) = special(left.clone(), *operator, value, column_type, parameters)? {
                return Ok(Some(Cond::all().add(condition)));
            }
            let right = source(value, column_type, parameters);
            Ok(Some(Cond::all().add(match operator {
                Operator::Equal => left.eq(right),
                Operator::NotEqual => left.ne(right),
                Operator::Less => left.lt(right),
                Operator::LessOrEqual => left.lte(right),
                Operator::Greater => left.gt(right),
                Operator::GreaterOrEqual => left.gte(right),
                Operator::In
                | Operator::Like
                | Operator::Ilike
                | Operator::StartsWith
                | Operator::Contains
                | Operator::IsNull => return Err(CompileError::List),
            })))
        }
    }
}

/// The condition of an operator whose value is not one of the column's own type.
fn special(
    left: Expr,
    operator: Operator,
    value: &Source,
    column_type: &ColumnType,
    parameters: &mut Parameters,
) -> Result<Option<Expr>, CompileError> {
    Ok(Some(match (operator, column_type) {
        (Operator::Like, _) => left.binary(BinOper::Like, source(value, column_type, parameters)),
        (Operator::Ilike, _) => left.binary(PgBinOper::ILike, source(value, column_type, parameters)),
        (Operator::StartsWith, _) => left.binary(BinOper::Like, text_at(value, Anchor::Start, parameters)?),
        (Operator::Contains, ColumnType::String { .. }) => {
            left.binary(BinOper::Like, text_at(value, Anchor::Anywhere, parameters)?)
        }
        // `@>` is what an index over elements serves; it takes a list, here one of a single element.
        (Operator::Contains, ColumnType::Array { items, .. }) => match value {
            Source::Literal(element) => {
                let list = Typed::Array(items.storage().element, vec![element.clone()]);
                left.binary(PgBinOper::Contains, parameters.bind_array(Binding::Literal(list), items))
            }
            Source::Argument(argument) => {
                let binding = Binding::Element { argument: *argument, element: items.storage().element };
                left.binary(PgBinOper::Contains, parameters.bind_array(binding, items))
            }
            Source::Identity(_) | Source::Now | Source::Row { .. } => {
                source(value, items, parameters).eq(PgFunc::any(left))
            }
        },
        (Operator::Contains, _) => left.binary(PgBinOper::Contains, source(value, column_type, parameters)),
        (Operator::IsNull, _) => match value {
            Source::Literal(Typed::Bool(true)) => left.is_null(),
            Source::Literal(Typed::Bool(false)) => left.is_not_null(),
            Source::Literal(_) | Source::Argument(_) | Source::Identity(_) | Source::Now | Source::Row { .. } => {
                left.is_null().eq(source(value, &ColumnType::Boolean, parameters))
            }
        },
        (
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::In,
            _,
        ) => return Ok(None),
    }))
}

/// The pattern of a text that is escaped where it is bound, a literal's once and for all.
fn text_at(value: &Source, anchor: Anchor, parameters: &mut Parameters) -> Result<Expr, CompileError> {
    let binding = match value {
        Source::Literal(Typed::Text(text)) => Binding::Literal(Typed::Text(pattern(text, anchor).collect())),
        Source::Argument(argument) => Binding::Pattern { argument: *argument, anchor },
        Source::Literal(_) | Source::Identity(_) | Source::Now | Source::Row { .. } => {
            return Err(CompileError::Pattern);
        }
    };
    Ok(parameters.bind(binding, &ColumnType::String { min: None, max: None, pattern: None }))
}

fn group(
    filters: &[Filter],
    mut group: Cond,
    empty: Expr,
    columns: &Columns<'_>,
    given: &Given<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Cond>, CompileError> {
    if filters.is_empty() {
        return Ok(Some(Cond::all().add(empty)));
    }
    let mut left = 0;
    for filter in filters {
        if let Some(condition) = condition_on(filter, columns, given, parameters)? {
            group = group.add(condition);
            left += 1;
        }
    }
    Ok((left > 0).then_some(group))
}
