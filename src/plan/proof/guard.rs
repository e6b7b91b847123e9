//! Guards: what a WHERE may ask before it accepts any row, with an error where the answer is no.
//!
//! `1 / (CASE WHEN (SELECT COUNT(*) FROM …) <= n THEN 1 ELSE 0 END) = 1`, joined by AND at the top.
//! What is counted is bound to the caller's scope, and no column of the row that is judged is
//! within, so neither the error nor its absence tells of other scopes' rows.

use sqlparser::ast::{BinaryOperator, Expr, Query, Value};

use crate::plan::proof::{Unproven, bound_in_query};
use crate::plan::statement::Binding;

/// A guard that is as it should be, as far as its form goes.
struct Guard<'a> {
    division: &'a Expr,
    subquery: &'a Expr,
    query: &'a Query,
}

/// The nodes of a condition's guards that may stand nowhere else.
pub(super) fn permitted(condition: Option<&Expr>) -> Vec<&Expr> {
    guards(condition).into_iter().flat_map(|guard| [guard.division, guard.subquery]).collect()
}

/// How many tables and queries of a condition's guards stand where they are bound.
pub(super) fn bound_in_guards(condition: Option<&Expr>, bindings: &[Binding]) -> Result<usize, Unproven> {
    guards(condition).into_iter().map(|guard| bound_in_query(guard.query, bindings)).sum()
}

fn guards(condition: Option<&Expr>) -> Vec<Guard<'_>> {
    match condition {
        Some(Expr::Nested(inner)) => guards(Some(inner)),
        Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) => {
            let mut found = guards(Some(left));
            found.extend(guards(Some(right)));
            found
        }
        Some(Expr::BinaryOp { left, op: BinaryOperator::Eq, right }) if is_number(right) => {
            guard(left).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn guard(expression: &Expr) -> Option<Guard<'_>> {
    let division = unnested(expression);
    let Expr::BinaryOp { left, op: BinaryOperator::Divide, right } = division else { return None };
    let Expr::Case { operand: None, conditions, else_result: Some(otherwise), .. } = unnested(right) else {
        return None;
    };
    let [case] = conditions.as_slice() else { return None };
    let Expr::BinaryOp { left: counted, op: BinaryOperator::LtEq, right: most } = unnested(&case.condition) else {
        return None;
    };
    let subquery = unnested(counted);
    let Expr::Subquery(query) = subquery else { return None };
    let numbers = [left.as_ref(), &case.result, otherwise, most].into_iter().all(is_number);
    numbers.then_some(Guard { division, subquery, query })
}

fn unnested(expression: &Expr) -> &Expr {
    if let Expr::Nested(inner) = expression { unnested(inner) } else { expression }
}

fn is_number(expression: &Expr) -> bool {
    matches!(unnested(expression), Expr::Value(value) if matches!(value.value, Value::Number(..)))
}
