//! What an index narrows: the columns after the scope that its conditions hold fast.
//!
//! The conditions are Postgres's own words for them. They are parsed as an expression; one that
//! cannot be narrows nothing, so that a misreading refuses a function rather than lets one pass.

use rowgate_schema_dsl::model::Table;
use rowgate_schema_dsl::name::{OWNER_COLUMN, SCOPE_COLUMN};
use sqlparser::ast::{BinaryOperator, Expr, FunctionArg, FunctionArgExpr, FunctionArguments};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use crate::plan::cost::tree::Node;

/// What a scan's conditions come to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Narrowing {
    /// The unique columns that are all held to one value.
    pub key: Option<Vec<String>>,
    /// The leading columns held to one value each, without the scope.
    pub equal: Vec<String>,
    /// The leading columns that are narrowed in any way, without the scope.
    pub columns: Vec<String>,
}

/// How a condition holds a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Equal,
    /// To null, which a unique rule lets any number of rows have.
    Null,
    Loosely,
}

/// What the conditions of `node` narrow `table` to. A bitmap over several indexes narrows to what
/// each of them does, and holds nothing to one value.
pub fn narrowing(table: &Table, node: &Node) -> Narrowing {
    match node.conditions.as_slice() {
        [] => Narrowing::default(),
        [condition] => match node.index.as_deref().and_then(|index| index_columns(table, index)) {
            Some((columns, unique)) => along(&columns, unique, &holds(condition)),
            None => Narrowing::default(),
        },
        several => {
            // The indexes of a bitmap are not told apart: each condition must narrow some index.
            let mut columns = Vec::new();
            for condition in several {
                let held = holds(condition);
                let best = indexes(table)
                    .map(|(index, _)| along(&index, false, &held).columns)
                    .max_by_key(Vec::len)
                    .unwrap_or_default();
                if best.is_empty() {
                    return Narrowing::default();
                }
                columns.extend(best.into_iter().filter(|column| !columns.contains(column)).collect::<Vec<_>>());
            }
            Narrowing { key: None, equal: Vec::new(), columns }
        }
    }
}

/// The columns of every index, without the scope, and whether they are unique.
fn indexes(table: &Table) -> impl Iterator<Item = (Vec<String>, bool)> {
    let declared = table.indexes.iter().map(|index| (strings(&index.columns), index.unique));
    let references = table.columns.iter().filter(|column| table.needs_reference_index(column));
    let references = references.map(|column| (vec![column.name.to_string()], false));
    let owner = table.needs_owner_index().then(|| (owner_index(), false));
    declared.chain(references).chain(owner).chain([(vec!["id".to_owned()], true)])
}

fn index_columns(table: &Table, identifier: &str) -> Option<(Vec<String>, bool)> {
    if identifier == table.primary_key_identifier() {
        return Some((vec!["id".to_owned()], true));
    }
    if table.needs_owner_index() && identifier == table.owner_index_identifier() {
        return Some((owner_index(), false));
    }
    let reference = table
        .columns
        .iter()
        .find(|column| table.needs_reference_index(column) && table.reference_index_identifier(column) == identifier);
    if let Some(column) = reference {
        return Some((vec![column.name.to_string()], false));
    }
    let index = table.indexes.iter().find(|index| table.index_identifier(index) == identifier)?;
    let mut columns = strings(&index.columns);
    if !index.unique && !columns.iter().any(|column| column == "id") {
        columns.push("id".to_owned());
    }
    Some((columns, index.unique))
}

fn owner_index() -> Vec<String> {
    vec![OWNER_COLUMN.to_owned(), "id".to_owned()]
}

fn strings(names: &[rowgate_schema_dsl::name::Name]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What `held` narrows of an index over the scope and `columns`, as far as it goes without a gap.
fn along(columns: &[String], unique: bool, held: &[(String, Hold)]) -> Narrowing {
    let holds = |column: &str, hold: Hold| held.iter().any(|(name, how)| name == column && *how == hold);
    if !holds(SCOPE_COLUMN, Hold::Equal) {
        return Narrowing::default();
    }
    let is_one = |column: &&String| holds(column, Hold::Equal) || holds(column, Hold::Null);
    let equal: Vec<String> = columns.iter().take_while(is_one).cloned().collect();
    let has_key = unique && columns.iter().all(|column| holds(column, Hold::Equal));
    let key = has_key.then(|| equal.clone());
    let mut narrowed = equal.clone();
    narrowed.extend(columns.get(equal.len()).filter(|column| holds(column, Hold::Loosely)).cloned());
    Narrowing { key, equal, columns: narrowed }
}

/// The columns that a condition holds, each with how.
fn holds(condition: &str) -> Vec<(String, Hold)> {
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(condition).and_then(|mut parser| parser.parse_expr());
    let mut held = Vec::new();
    if let Ok(expression) = parsed {
        collect(&expression, &mut held);
    }
    held
}

fn collect(expression: &Expr, held: &mut Vec<(String, Hold)>) {
    match expression {
        Expr::Nested(inner) => collect(inner, held),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            collect(left, held);
            collect(right, held);
        }
        Expr::BinaryOp { left, op, right } => {
            let hold = if *op == BinaryOperator::Eq { Hold::Equal } else { Hold::Loosely };
            // Of a comparison of rows, only the first column is narrowed for certain.
            held.extend(column(left).or_else(|| column(right)).map(|name| (name, hold)));
        }
        Expr::AnyOp { left, .. } => held.extend(column(left).map(|name| (name, Hold::Loosely))),
        Expr::IsNull(inner) => held.extend(column(inner).map(|name| (name, Hold::Null))),
        Expr::IsNotNull(inner) => held.extend(column(inner).map(|name| (name, Hold::Loosely))),
        _ => {}
    }
}

fn column(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
        Expr::Nested(inner) => column(inner),
        Expr::Cast { expr, .. } | Expr::Collate { expr, .. } => column(expr),
        Expr::Tuple(of) => of.first().and_then(column),
        Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("row") => match &function.args {
            FunctionArguments::List(list) => match list.args.first() {
                Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) => column(first),
                _ => None,
            },
            FunctionArguments::None | FunctionArguments::Subquery(_) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Hold, holds};

    #[test]
    fn conditions_are_read_as_postgres_writes_them() {
        let read = |condition: &str| -> Vec<String> {
            let how = |hold| match hold {
                Hold::Equal => "=",
                Hold::Null => "0",
                Hold::Loosely => "~",
            };
            holds(condition).into_iter().map(|(name, hold)| format!("{name}{}", how(hold))).collect()
        };
        for (condition, expected) in [
            ("(scope_key = $1)", vec!["scope_key="]),
            ("((scope_key = $1) AND (b = ANY ($3)))", vec!["scope_key=", "b~"]),
            ("((scope_key = $1) AND (n < 4) AND (f = true))", vec!["scope_key=", "n~", "f="]),
            ("((t.scope_key = $1) AND (t.\"dueAt\" >= '2026-01-01'::date))", vec!["scope_key=", "dueAt~"]),
            ("((scope_key = $1) AND (ROW(n, id) > ROW($2, $3)))", vec!["scope_key=", "n~"]),
            ("((scope_key = $1) AND (text >= 'a'::text) AND (text < 'b'::text))", vec!["scope_key=", "text~", "text~"]),
            ("((scope_key = $1) AND (a IS NULL) AND (b IS NOT NULL))", vec!["scope_key=", "a0", "b~"]),
            ("((scope_key = $1) AND (id = r.author))", vec!["scope_key=", "id="]),
            ("what is this?", vec![]),
        ] {
            assert_eq!(read(condition), expected, "{condition}");
        }
    }
}
