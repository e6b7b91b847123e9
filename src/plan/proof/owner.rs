//! The rules of owned tables, decided on the finished SQL text by a walk of its own.
//!
//! - Every row that is inserted into an owned table has the caller's user id as its `owner_id`.
//! - Nothing assigns `owner_id`.
//! - In a statement of a function with `own = true`, every mention of an owned table stands
//!   under a condition `owner_id = $n` that nothing can weaken, where `$n` is the caller's user id;
//!   for a row that an INSERT meets it is the condition of its DO UPDATE, and for rows that are asked whether they
//!   hold it may be part of the question: another user's then does not, whatever it is like.
//!
//! Mentions are counted twice: by the walk over everything, and where a rule above saw them.

use std::ops::ControlFlow;

use rowgate_schema_dsl::definition::IdentityField;
use rowgate_schema_dsl::name::OWNER_COLUMN;
use sqlparser::ast::{
    Assignment, AssignmentTarget, BinaryOperator, Expr, FromTable, FunctionArg, FunctionArgExpr, FunctionArguments,
    Ident, Insert, ObjectName, ObjectNamePart, OnConflictAction, OnInsert, Query, Select, SelectItem, SetExpr,
    Statement as Tree, TableFactor, TableObject, TableWithJoins, Value, Visit, Visitor,
};

use crate::plan::proof::{Unproven, is_named, parsed};
use crate::plan::statement::{Binding, Statement};

/// What the model says of owners, for one function.
#[derive(Debug, Clone, Copy)]
pub struct Owners<'a> {
    /// The tables whose rows belong to users.
    pub owned: &'a [&'a str],
    /// The tables of which the caller's rows alone may be reached.
    pub own: &'a [&'a str],
}

/// Proves what [`Owners`] say of `statement`, which [`crate::plan::proof::prove`] has proven.
pub fn prove(statement: &Statement, owners: Owners<'_>) -> Result<(), Unproven> {
    if owners.owned.is_empty() && owners.own.is_empty() {
        return Ok(());
    }
    let trees = parsed(statement)?;
    let mut walk = Walk { owners, bindings: &statement.bindings, mentioned: 0, owned: 0 };
    if let ControlFlow::Break(unproven) = trees.visit(&mut walk) {
        return Err(unproven);
    }
    if walk.mentioned == walk.owned { Ok(()) } else { Err(Unproven::Unowned(owners.own.join(", "))) }
}

struct Walk<'a> {
    owners: Owners<'a>,
    bindings: &'a [Binding],
    /// How often a table of `own` is named.
    mentioned: usize,
    /// How often it is named where its rows are the caller's.
    owned: usize,
}

impl Visitor for Walk<'_> {
    type Break = Unproven;

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<Unproven> {
        self.mentioned += usize::from(self.is_own(name));
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Unproven> {
        self.set(&query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, tree: &Tree) -> ControlFlow<Unproven> {
        let judged = match tree {
            Tree::Insert(insert) => self.insert(insert),
            Tree::Update(update) => {
                self.changed(&update.table, update.selection.as_ref());
                assignments(&update.assignments)
            }
            Tree::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                for table in from {
                    self.changed(table, delete.selection.as_ref());
                }
                Ok(())
            }
            _ => Ok(()),
        };
        match judged {
            Ok(()) => ControlFlow::Continue(()),
            Err(unproven) => ControlFlow::Break(unproven),
        }
    }
}

impl Walk<'_> {
    /// A query within is visited as one.
    fn set(&mut self, set: &SetExpr) {
        match set {
            SetExpr::Select(select) => self.select(select),
            SetExpr::SetOperation { left, right, .. } => {
                self.set(left);
                self.set(right);
            }
            _ => {}
        }
    }

    fn select(&mut self, select: &Select) {
        let relations = select
            .from
            .iter()
            .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)));
        let is_alone = relations.clone().count() == 1;
        for relation in relations {
            let TableFactor::Table { name, alias, .. } = relation else { continue };
            let called = alias.as_ref().map(|alias| &alias.name).or_else(|| last(name));
            let is_owned = self.demands_owner(select.selection.as_ref(), called, is_alone)
                || is_alone && asked(select).is_some_and(|holds| self.demands_owner(Some(holds), called, true));
            self.owned += usize::from(self.is_own(name) && is_owned);
        }
    }

    fn changed(&mut self, table: &TableWithJoins, selection: Option<&Expr>) {
        let TableFactor::Table { name, alias: None, .. } = &table.relation else { return };
        let is_owned = table.joins.is_empty() && self.demands_owner(selection, last(name), true);
        self.owned += usize::from(self.is_own(name) && is_owned);
    }

    fn insert(&mut self, insert: &Insert) -> Result<(), Unproven> {
        let TableObject::TableName(name) = &insert.table else { return Err(Unproven::Form) };
        let is_owned = last(name).is_some_and(|name| self.owners.owned.contains(&name.value.as_str()));
        if is_owned && !self.inserts_callers(insert) {
            return Err(Unproven::Unowned(name.to_string()));
        }
        let met = match &insert.on {
            None => true,
            Some(OnInsert::OnConflict(on)) => match &on.action {
                OnConflictAction::DoNothing => true,
                OnConflictAction::DoUpdate(update) => {
                    assignments(&update.assignments)?;
                    self.demands_owner(update.selection.as_ref(), last(name), false)
                }
            },
            Some(_) => return Err(Unproven::Form),
        };
        self.owned += usize::from(self.is_own(name) && met);
        Ok(())
    }

    /// Whether each row gets the caller's user id as its owner.
    fn inserts_callers(&self, insert: &Insert) -> bool {
        let mut places = insert.columns.iter().enumerate().filter(|(_, column)| is_named(column, OWNER_COLUMN));
        let (Some((place, _)), None) = (places.next(), places.next()) else { return false };
        match insert.source.as_ref().map(|query| query.body.as_ref()) {
            Some(SetExpr::Values(values)) => {
                !values.rows.is_empty()
                    && values.rows.iter().all(|row| row.content.get(place).is_some_and(|value| self.is_caller(value)))
            }
            // Each item is one column, or `prove` has not proven it.
            Some(SetExpr::Select(select)) => {
                let is_column = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_));
                let value = select.projection.get(place);
                let is_callers = matches!(value, Some(SelectItem::UnnamedExpr(value)) if self.is_caller(value));
                is_callers && select.projection.iter().all(is_column)
            }
            _ => false,
        }
    }

    /// Whether no row of the table that is `called` so can pass but the caller's.
    fn demands_owner(&self, condition: Option<&Expr>, called: Option<&Ident>, is_alone: bool) -> bool {
        match condition {
            Some(Expr::Nested(inner)) => self.demands_owner(Some(inner), called, is_alone),
            Some(Expr::BinaryOp { left, op: BinaryOperator::And, right }) => {
                self.demands_owner(Some(left), called, is_alone) || self.demands_owner(Some(right), called, is_alone)
            }
            Some(Expr::BinaryOp { left, op: BinaryOperator::Eq, right }) => {
                let is_owner = match left.as_ref() {
                    Expr::Identifier(column) => is_alone && column.value == OWNER_COLUMN,
                    Expr::CompoundIdentifier(names) => match names.as_slice() {
                        [table, column] => {
                            called.is_some_and(|called| called.value == table.value) && column.value == OWNER_COLUMN
                        }
                        _ => false,
                    },
                    _ => false,
                };
                is_owner && self.is_caller(right)
            }
            _ => false,
        }
    }

    /// Whether `expression` is the parameter that carries the caller's user id.
    fn is_caller(&self, expression: &Expr) -> bool {
        let Expr::Value(value) = expression else { return false };
        let Value::Placeholder(placeholder) = &value.value else { return false };
        let number = placeholder.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let binding = number.and_then(|number| self.bindings.get(number.checked_sub(1)?));
        matches!(binding, Some(Binding::Identity { field: IdentityField::UserId, .. }))
    }

    /// The name of a table of `own`; what a WITH calls its rows has one part.
    fn is_own(&self, name: &ObjectName) -> bool {
        name.0.len() > 1 && last(name).is_some_and(|name| self.owners.own.contains(&name.value.as_str()))
    }
}

/// What `SELECT COALESCE(…, FALSE) AS "holds"` asks of each row: nothing else of it is told.
fn asked(select: &Select) -> Option<&Expr> {
    let [SelectItem::ExprWithAlias { expr: Expr::Function(function), alias }] = select.projection.as_slice() else {
        return None;
    };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(holds)),
            FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(otherwise))),
        ] if alias.value == "holds"
            && is_named(&function.name, "COALESCE")
            && otherwise.value == Value::Boolean(false) =>
        {
            Some(holds)
        }
        _ => None,
    }
}

fn last(name: &ObjectName) -> Option<&Ident> {
    match name.0.last() {
        Some(ObjectNamePart::Identifier(name)) => Some(name),
        _ => None,
    }
}

/// Whose a row is never changes. Postgres folds a name without quotes to lower case.
fn assignments(assignments: &[Assignment]) -> Result<(), Unproven> {
    for assignment in assignments {
        let names: Vec<&ObjectName> = match &assignment.target {
            AssignmentTarget::ColumnName(name) => vec![name],
            AssignmentTarget::Tuple(names) => names.iter().collect(),
        };
        for name in names {
            if last(name).is_none_or(|name| name.value.eq_ignore_ascii_case(OWNER_COLUMN)) {
                return Err(Unproven::Assigned(name.to_string()));
            }
        }
    }
    Ok(())
}
