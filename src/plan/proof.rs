//! A second, independent pair of eyes on every statement, before it may be served.
//!
//! It knows nothing of the compiler: it parses the finished SQL text with a parser of its own and
//! decides on that tree. A statement is proven when
//! - it is one SELECT, INSERT, UPDATE or DELETE, or an INSERT of lists that are bound, or one followed
//!   by a SELECT of its rows and of those that were there;
//! - every table in it is `"<its own Postgres schema>"."…"`;
//! - every table that is read, changed or deleted from stands under a condition
//!   `scope_key = $n` that nothing can weaken, where `$n` is bound to the caller's scope, and
//!   every inserted row has `$n` as its `scope_key`;
//! - no UPDATE assigns `scope_key` or `id`, and a row that an INSERT meets is one of the same
//!   `scope_key`;
//! - a query is an expression only where it is a column of the outermost SELECT, and its one table
//!   is bound as every other;
//! - before anything is changed it may ask what [`guard`] knows;
//! - only expressions, functions and casts of closed lists occur; lists are unnested, and counts
//!   divided by, only where the rules name the place.
//!
//! What belongs to users is decided in [`owner`], by a walk of its own.
//!
//! Tables and queries are counted twice, once by a walk over everything and once where the rules
//! above looked; one hidden elsewhere makes the counts differ.

mod expand;
pub mod guard;
pub mod owner;
mod write;

use std::ops::ControlFlow;

use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, DataType, Expr, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query,
    Select, SetExpr, Statement as Tree, TableFactor, TableWithJoins, UnaryOperator, Value, Visit, Visitor,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::plan::statement::{Binding, Statement};

/// Functions a statement may call; none of them reads a table or leaves the database.
const FUNCTIONS: [&str; 9] = ["now", "count", "coalesce", "sum", "avg", "min", "max", "array_append", "array_remove"];
/// Makes a record of values; no function can be called by this word without quotes.
const RECORD: &str = "ROW";

/// Why a statement may not be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    #[error("it is not one statement that can be parsed: {0}")]
    Unreadable(String),
    #[error("it is neither SELECT, INSERT, UPDATE nor DELETE of the plain form")]
    Form,
    #[error("it names `{0}`, which is not in the extension's Postgres schema")]
    ForeignTable(String),
    #[error("`{0}` is not bound to the caller's scope")]
    Unscoped(String),
    #[error("`{0}` is not bound to the caller as the owner of its rows")]
    Unowned(String),
    #[error("{found} tables and queries are in it, {bound} of them where they are bound to the caller's scope")]
    Hidden { found: usize, bound: usize },
    #[error("it calls `{0}`")]
    Function(String),
    #[error("it has `{0}`, which no compiled statement has")]
    Expression(String),
    #[error("it is for a row of one version, and does not demand it")]
    Unversioned,
    #[error("it does not ask the rows of `{0}` whether they meet a condition")]
    Unasked(String),
    #[error("it assigns `{0}`")]
    Assigned(String),
}

/// Proves `statement` for an extension whose tables are in `postgres_schema`.
pub fn prove(statement: &Statement, postgres_schema: &str) -> Result<(), Unproven> {
    let trees = parsed(statement)?;
    let [tree] = trees.as_slice() else {
        return Err(Unproven::Unreadable(format!("{} statements", trees.len())));
    };
    let embedded = expand::embedded(tree);
    let mut walk = Walk {
        postgres_schema,
        ctes: write::ctes(tree),
        permitted: write::permitted(tree),
        embedded: &embedded,
        found: 0,
    };
    if let ControlFlow::Break(unproven) = tree.visit(&mut walk) {
        return Err(unproven);
    }
    let bound = match tree {
        Tree::Query(query) if query.with.is_some() => write::bound_in_with(query, &statement.bindings)?,
        Tree::Query(query) => {
            bound_in_query(query, &statement.bindings)? + expand::bound(&embedded, &statement.bindings)?
        }
        Tree::Insert(insert) => write::bound_in_insert(insert, None, &statement.bindings)?,
        Tree::Update(update) => write::bound_in_update(update, &statement.bindings)?,
        Tree::Delete(delete) => write::bound_in_delete(delete, &statement.bindings)?,
        _ => return Err(Unproven::Form),
    };
    if statement.bindings.iter().any(|binding| matches!(binding, Binding::Version(_))) {
        write::demands_version(tree, &statement.bindings)?;
    }
    if walk.found == bound { Ok(()) } else { Err(Unproven::Hidden { found: walk.found, bound }) }
}

/// The statement as a tree.
fn parsed(statement: &Statement) -> Result<Vec<Tree>, Unproven> {
    // The parser does not know this lock. It waits for the same changes as the one that it is read as, and no name
    // of ours has a space.
    let sql = statement.sql.replace(" FOR NO KEY UPDATE)", " FOR UPDATE)");
    Parser::parse_sql(&PostgreSqlDialect {}, &sql).map_err(|error| Unproven::Unreadable(error.to_string()))
}

/// Walks over everything: counts tables and queries, and refuses what no statement may have.
struct Walk<'a> {
    postgres_schema: &'a str,
    /// What the rows are called that a query begins with.
    ctes: Vec<&'a str>,
    /// Nodes that may stand where they do, and nowhere else.
    permitted: Vec<&'a Expr>,
    /// The queries that may be expressions.
    embedded: &'a [&'a Query],
    found: usize,
}

impl Visitor for Walk<'_> {
    type Break = Unproven;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Unproven> {
        self.found += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Unproven> {
        self.found += 1;
        match name.0.as_slice() {
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(_)]
                if schema.value == self.postgres_schema =>
            {
                ControlFlow::Continue(())
            }
            [ObjectNamePart::Identifier(name)] if self.ctes.contains(&name.value.as_str()) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(Unproven::ForeignTable(name.to_string())),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<Unproven> {
        match expression {
            permitted if self.permitted.iter().any(|other| std::ptr::eq(*other, permitted)) => {}
            Expr::Function(function) if expand::is_list(function, self.embedded) => {}
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_lowercase();
                let name = name.trim_matches('"');
                let is_plain = function.over.is_none()
                    && function.filter.is_none()
                    && function.within_group.is_empty()
                    && matches!(function.parameters, FunctionArguments::None);
                let is_known = FUNCTIONS.contains(&name) || function.name.to_string() == RECORD;
                if !is_known || !is_plain {
                    return ControlFlow::Break(Unproven::Function(name.to_owned()));
                }
            }
            Expr::Subquery(query) if self.embedded.iter().any(|one| std::ptr::eq(*one, query.as_ref())) => {}
            other if is_plain(other) => {}
            other => return ControlFlow::Break(Unproven::Expression(other.to_string())),
        }
        ControlFlow::Continue(())
    }
}

/// Whether the node itself, apart from what is within, is of the few kinds a statement is made of.
fn is_plain(expression: &Expr) -> bool {
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Nested(_) | Expr::Case { .. } => {
            true
        }
        // What is within is walked as well.
        Expr::Tuple(_) => true,
        Expr::UnaryOp { op, .. } => matches!(op, UnaryOperator::Not | UnaryOperator::Minus),
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::And
                | BinaryOperator::Or
                | BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Plus
                | BinaryOperator::AtArrow
        ),
        Expr::IsNull(_) | Expr::IsNotNull(_) => true,
        // An escape character is a literal that no compiled statement has.
        Expr::Like { any, escape_char, .. } | Expr::ILike { any, escape_char, .. } => !any && escape_char.is_none(),
        Expr::AnyOp { compare_op, .. } => *compare_op == BinaryOperator::Eq,
        Expr::Cast { data_type, .. } => is_built_in(data_type),
        _ => false,
    }
}

fn is_built_in(data_type: &DataType) -> bool {
    match data_type {
        DataType::Text
        | DataType::Numeric(_)
        | DataType::Date
        | DataType::BigInt(None)
        | DataType::DoublePrecision
        | DataType::Boolean
        | DataType::Timestamp(None, _)
        | DataType::Uuid
        | DataType::Bytea => true,
        DataType::Array(ArrayElemTypeDef::SquareBracket(element, None)) => is_built_in(element),
        _ => false,
    }
}

/// How many tables and queries of `query` stand where they are bound.
fn bound_in_query(query: &Query, bindings: &[Binding]) -> Result<usize, Unproven> {
    let plain = query.with.is_none() && query.fetch.is_none() && query.locks.is_empty() && query.for_clause.is_none();
    match query.body.as_ref() {
        SetExpr::Select(select) if plain => Ok(1 + bound_in_select(select, bindings)?),
        _ => Err(Unproven::Form),
    }
}

fn bound_in_select(select: &Select, bindings: &[Binding]) -> Result<usize, Unproven> {
    if select.into.is_some() {
        return Err(Unproven::Form);
    }
    let [TableWithJoins { relation, joins }] = select.from.as_slice() else { return Err(Unproven::Form) };
    if !joins.is_empty() {
        return Err(Unproven::Form);
    }
    match relation {
        TableFactor::Table { name, alias: None, args: None, .. } => scoped(name, select.selection.as_ref(), bindings),
        TableFactor::Derived { subquery, lateral: false, .. } => bound_in_query(subquery, bindings),
        _ => Err(Unproven::Form),
    }
}

fn scoped(table: &ObjectName, selection: Option<&Expr>, bindings: &[Binding]) -> Result<usize, Unproven> {
    match selection {
        Some(selection) if demands_scope(selection, bindings) => Ok(1),
        _ => Err(Unproven::Unscoped(table.to_string())),
    }
}

/// Whether no row can pass `condition` but the caller's: `scope_key = $n` alone, or joined to
/// anything by AND.
fn demands_scope(condition: &Expr, bindings: &[Binding]) -> bool {
    demands(condition, &|column, value| column == SCOPE_COLUMN && is_scope(value, bindings))
}

/// Whether nothing passes `condition` but where a column equals a value that `is_it` accepts.
fn demands(condition: &Expr, is_it: &impl Fn(&str, &Expr) -> bool) -> bool {
    match condition {
        Expr::Nested(inner) => demands(inner, is_it),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => demands(left, is_it) || demands(right, is_it),
        Expr::BinaryOp { left, op: BinaryOperator::Eq, right } => {
            matches!(left.as_ref(), Expr::Identifier(Ident { value, .. }) if is_it(value, right))
        }
        _ => false,
    }
}

/// Whether `expression` is the parameter that carries the caller's scope.
fn is_scope(expression: &Expr, bindings: &[Binding]) -> bool {
    bound_to(expression, bindings) == Some(&Binding::Scope)
}

/// What the parameter that `expression` is alone is bound to.
fn bound_to<'a>(expression: &Expr, bindings: &'a [Binding]) -> Option<&'a Binding> {
    let Expr::Value(value) = expression else { return None };
    let Value::Placeholder(placeholder) = &value.value else { return None };
    let number = placeholder.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
    number.and_then(|number| bindings.get(number.checked_sub(1)?))
}

fn is_named(name: &ObjectName, column: &str) -> bool {
    matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if ident.value == column)
}
