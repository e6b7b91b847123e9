//! Guards: conditions under which a statement ends in an error of the database and changes nothing.
//!
//! An answer without rows cannot say why it has none, and to ask once more would cost a second
//! round trip and look at other rows. So a guard divides by zero, which no other part of a
//! statement can. It stands in the WHERE and reads no row of it, so it is asked once, before the
//! first row is changed.

use sea_query::{Alias, CaseStatement, Cond, Expr, ExprTrait, Func, Query, SelectStatement, Value};

/// Refuses where more than `rows_max` rows of `target` are accepted.
pub(super) fn at_most(rows_max: u32, target: (Alias, Alias), accepted: Cond) -> Expr {
    let mut found = Query::select();
    // One more than may be tells that there are more, however many.
    found.column(Alias::new("id")).from(target).cond_where(accepted).limit(u64::from(rows_max) + 1);
    let few = count(found).lte(number(i64::from(rows_max)));
    number(1).div(CaseStatement::new().case(few, number(1)).finally(number(0))).eq(number(1))
}

fn count(rows: SelectStatement) -> Expr {
    let mut count = Query::select();
    count.expr(Func::count(Expr::cust("*"))).from_subquery(rows, Alias::new("found"));
    Expr::SubQuery(None, Box::new(count.into()))
}

fn number(number: i64) -> Expr {
    Expr::Constant(Value::BigInt(Some(number)))
}
