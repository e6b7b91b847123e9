//! A filter becomes a condition. What hangs on an argument that was not given is left out, and a
//! group left empty by that goes with it; a group written empty keeps its meaning.

use rowgate_schema_dsl::definition::Operator;
use rowgate_schema_dsl::function::{Filter, Source};
use rowgate_schema_dsl::model::Table;
use sea_query::extension::postgres::PgFunc;
use sea_query::{Alias, Cond, Expr, ExprTrait};

use crate::plan::compile::{CompileError, Given, source};
use crate::plan::statement::{Binding, Parameters};

/// The condition, or `None` where nothing of it is left.
pub fn condition(
    filter: &Filter,
    table: &Table,
    given: &Given<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Cond>, CompileError> {
    match filter {
        Filter::All(filters) => group(filters, Cond::all(), Expr::value(true), table, given, parameters),
        Filter::Any(filters) => group(filters, Cond::any(), Expr::value(false), table, given, parameters),
        Filter::Negate(filter) => Ok(condition(filter, table, given, parameters)?.map(Cond::not)),
        Filter::Compare { column, operator, value } => {
            if given.drops(value) {
                return Ok(None);
            }
            let column = table.column(column.as_str()).ok_or(CompileError::Column)?;
            let left = Expr::col(Alias::new(column.name.as_str()));
            if *operator == Operator::In {
                let list = match value {
                    Source::Argument(index) => parameters.bind_array(Binding::Argument(*index), &column.column_type),
                    Source::Literal(list) => parameters.bind_array(Binding::Literal(list.clone()), &column.column_type),
                    Source::Identity(_) | Source::Now => return Err(CompileError::List),
                };
                return Ok(Some(Cond::all().add(left.eq(PgFunc::any(list)))));
            }
            let right = source(value, &column.column_type, parameters);
            Ok(Some(Cond::all().add(match operator {
                Operator::Equal => left.eq(right),
                Operator::NotEqual => left.ne(right),
                Operator::Less => left.lt(right),
                Operator::LessOrEqual => left.lte(right),
                Operator::Greater => left.gt(right),
                Operator::GreaterOrEqual => left.gte(right),
                Operator::In => return Err(CompileError::List),
            })))
        }
    }
}

fn group(
    filters: &[Filter],
    mut group: Cond,
    empty: Expr,
    table: &Table,
    given: &Given<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Cond>, CompileError> {
    if filters.is_empty() {
        return Ok(Some(Cond::all().add(empty)));
    }
    let mut left = 0;
    for filter in filters {
        if let Some(condition) = condition(filter, table, given, parameters)? {
            group = group.add(condition);
            left += 1;
        }
    }
    Ok((left > 0).then_some(group))
}
