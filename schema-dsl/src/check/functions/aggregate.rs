//! aggregateRows: groups, what is made of each, and the conditions and the order over those.

use indexmap::IndexMap;

use crate::aggregate::{Aggregate, AggregateFunction};
use crate::check::functions::Reading;
use crate::check::{filters, names};
use crate::definition;
use crate::diagnostic::{Diagnostic, nearest, pointer_to};
use crate::function::{AGGREGATE_MEMBERS_MAX, Body, Order, Selected};
use crate::model::{Column, Origin, Table};
use crate::name::Name;

/// The parts of an aggregateRows as its author wrote them.
pub(super) struct Declared<'d> {
    pub(super) table: &'d str,
    pub(super) filter: Option<&'d definition::Filter>,
    pub(super) group_by: &'d [String],
    pub(super) select: &'d IndexMap<String, Aggregate>,
    pub(super) having: Option<&'d definition::Filter>,
    pub(super) order_by: &'d [definition::Order],
    pub(super) limit: Option<&'d definition::Operand>,
}

impl<'a> Reading<'_, 'a, '_> {
    pub(super) fn aggregate(&mut self, declared: &Declared<'_>) -> Option<Body> {
        let table = self.table(declared.table)?;
        let before = self.diagnostics.len();
        let filter = self.filter(table, declared.filter);
        let groups = self.groups(table, declared.group_by);
        let select = self.select(table, &groups, declared.select);
        let members = declared.group_by.len() + declared.select.len();
        if members == 0 || members > AGGREGATE_MEMBERS_MAX {
            let message = format!(
                "aggregateRows answers with {members} members; expected 1 to {AGGREGATE_MEMBERS_MAX} of `groupBy` and \
                 `select`"
            );
            let hint = "add one such as `select = { n = count() }`";
            let hint = if members == 0 { hint } else { "split it into several functions" };
            self.diagnostics.push(Diagnostic::new("aggregate_members", self.pointer, message).with_hint(hint));
        }
        // What is broken among the members would only draw complaints about those who name it.
        let are_sound = self.diagnostics.len() == before;
        let limit = self.limit(declared.limit, false);
        if !are_sound {
            return None;
        }
        let answered = answered(table, &groups, &select);
        let having = match declared.having {
            None => None,
            Some(having) => {
                let pointer = pointer_to(self.pointer, "having");
                Some(filters::having(&answered, having, &pointer, self.arguments, self.diagnostics)?)
            }
        };
        let order_by = self.order_of_groups(&answered, declared.order_by);
        let (table, filter, limit) = (table.name.clone(), filter?, limit?);
        Some(Body::AggregateRows { table, filter, groups, select, having, order_by, limit })
    }

    fn groups(&mut self, table: &'a Table, declared: &[String]) -> Vec<Name> {
        let mut groups: Vec<Name> = Vec::with_capacity(declared.len());
        for (index, name) in declared.iter().enumerate() {
            let pointer = pointer_to(&pointer_to(self.pointer, "groupBy"), index);
            let Some(column) = self.ground.column(table, name, &pointer, self.diagnostics) else { continue };
            let diagnostic = if column.private {
                let message = format!("column `{name}` is private: the groups would tell a caller its values");
                Diagnostic::new("private_column", pointer, message).with_hint("group by a column that callers may see")
            } else if !column.column_type.is_comparable() {
                let word = column.column_type.word();
                let message = format!("rows cannot be grouped by column `{name}` of type {word}");
                Diagnostic::new("aggregate_type", pointer, message).with_hint("group by a column of another type")
            } else if groups.contains(&column.name) {
                let message = format!("`groupBy` lists column `{name}` twice");
                Diagnostic::new("duplicate_column", pointer, message).with_hint("remove one")
            } else {
                groups.push(column.name.clone());
                continue;
            };
            self.diagnostics.push(diagnostic);
        }
        groups
    }

    fn select(&mut self, table: &'a Table, groups: &[Name], declared: &IndexMap<String, Aggregate>) -> Vec<Selected> {
        let at = pointer_to(self.pointer, "select");
        let members = declared.keys().map(|name| ("member", name.as_str(), pointer_to(&at, name)));
        names::distinct(members, self.diagnostics);
        let mut select = Vec::with_capacity(declared.len());
        for (member, aggregate) in declared {
            let pointer = pointer_to(&at, member);
            let Some(name) = names::name("member", member, &pointer, self.diagnostics) else { continue };
            if groups.contains(&name) {
                let message = format!("`{name}` is a column that rows are grouped by");
                let hint = "give what is selected a name of its own";
                self.diagnostics.push(Diagnostic::new("duplicate_name", pointer, message).with_hint(hint));
                continue;
            }
            select.extend(self.selected(table, name, aggregate, !groups.is_empty(), &pointer));
        }
        select
    }

    fn selected(
        &mut self,
        table: &'a Table,
        name: Name,
        aggregate: &Aggregate,
        is_grouped: bool,
        pointer: &str,
    ) -> Option<Selected> {
        let function = aggregate.function;
        let pointer = pointer_to(pointer, function.as_str());
        let Some(column) = &aggregate.column else {
            let counted = function.result(&crate::column_type::ColumnType::Json).filter(|_| {
                // INVARIANT: `read` lets nothing else go without a column.
                function == AggregateFunction::Count
            })?;
            return Some(Selected { name, function, column: None, column_type: counted, optional: false });
        };
        let column = self.ground.column(table, column, &pointer, self.diagnostics)?;
        if column.private {
            let message =
                format!("column `{}` is private: `{}` would tell of its values", column.name, function.as_str());
            let hint = "use a column that callers may see, or `count()`";
            self.diagnostics.push(Diagnostic::new("private_column", pointer, message).with_hint(hint));
            return None;
        }
        let Some(column_type) = function.result(&column.column_type) else {
            let word = column.column_type.word();
            let message = format!("`{}` has no meaning for column `{}` of type {word}", function.as_str(), column.name);
            let hint = match function {
                AggregateFunction::Sum | AggregateFunction::Avg => "use an integer, number or decimal column",
                AggregateFunction::Min | AggregateFunction::Max | AggregateFunction::Count => {
                    "use a number, text, enum, timestamp or date column"
                }
            };
            self.diagnostics.push(Diagnostic::new("aggregate_type", pointer, message).with_hint(hint));
            return None;
        };
        // A group has a row at least; all rows together may be none.
        let optional = function != AggregateFunction::Count && (column.optional || !is_grouped);
        Some(Selected { name, function, column: Some(column.name.clone()), column_type, optional })
    }

    /// The author's order over members of the answer.
    fn order_of_groups(&mut self, answered: &Table, declared: &[definition::Order]) -> Vec<Order> {
        let mut order: Vec<Order> = Vec::with_capacity(declared.len());
        for (index, definition::Order { column, dir }) in declared.iter().enumerate() {
            let pointer = pointer_to(&pointer_to(&pointer_to(self.pointer, "orderBy"), index), "column");
            let Some(member) = member(answered, column, &pointer, self.diagnostics) else { continue };
            let diagnostic = if !member.column_type.is_ordered() {
                let word = member.column_type.word();
                let message = format!("groups cannot be ordered by `{column}` of type {word}");
                Diagnostic::new("order_type", pointer, message).with_hint("order by a member of a plain type")
            } else if order.iter().any(|earlier| earlier.column == member.name) {
                let message = format!("the order lists `{column}` twice");
                Diagnostic::new("duplicate_column", pointer, message).with_hint("remove one")
            } else {
                order.push(Order { column: member.name.clone(), direction: *dir });
                continue;
            };
            self.diagnostics.push(diagnostic);
        }
        order
    }
}

/// The member `name` of what an aggregateRows answers with, or a complaint that lists them.
pub(crate) fn member<'t>(
    answered: &'t Table,
    name: &str,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<&'t Column> {
    let found = answered.column(name);
    if found.is_none() {
        let names = || answered.columns.iter().map(|column| column.name.as_str());
        let message = format!("`{name}` is neither grouped by nor selected");
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("use one of {}", names().map(|name| format!("`{name}`")).collect::<Vec<String>>().join(", "))
            }
        };
        diagnostics.push(Diagnostic::new("unknown_member", pointer, message).with_hint(hint));
    }
    found
}

/// The answer as if it were a table's rows, for what is said of its members.
fn answered(table: &Table, groups: &[Name], select: &[Selected]) -> Table {
    let grouped = table.columns_named(groups).cloned();
    let selected = select.iter().map(|selected| Column {
        name: selected.name.clone(),
        renamed_from: None,
        column_type: selected.column_type.clone(),
        optional: selected.optional,
        default: None,
        private: false,
        origin: Origin::Author,
    });
    Table { columns: grouped.chain(selected).collect(), indexes: Vec::new(), ..table.clone() }
}
