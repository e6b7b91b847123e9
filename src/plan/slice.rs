//! The rows of one scope as a whole: the statements that erase them, write them out and bring them in,
//! and an order in which references let them go and come.
//!
//! These run for operators, not for callers, and each is bound to the one scope by `$1`. Of tables
//! that refer to each other in a circle the optional references are cleared first, or filled in last;
//! tables whose required references make a circle go and come in one statement.

pub mod erase;
mod order;

pub use crate::plan::slice::order::{Group, groups};

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sea_query::{Alias, Expr, ExprTrait};

/// `scope_key = $1`.
fn of_scope() -> Expr {
    column(SCOPE_COLUMN).eq(Expr::cust("$1"))
}

fn column(name: &str) -> Expr {
    Expr::col(Alias::new(name))
}
