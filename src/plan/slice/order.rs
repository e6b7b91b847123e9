//! In which order tables are filled, so that what a row refers to is there before it.

use std::collections::BTreeSet;

use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::model::{Column, Model, Table};

/// Tables that are filled at once: one, or several whose required references make a circle.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'m> {
    pub members: Vec<Member<'m>>,
    /// Whether a required reference of it leads back to itself: all its rows come in one statement.
    pub is_circle: bool,
}

/// A table, with the optional references that lead to what is filled later, or to itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Member<'m> {
    pub table: &'m Table,
    pub deferred: Vec<&'m Column>,
}

/// The tables of `scope`, those that others refer to first.
pub fn groups(model: &Model, scope: Scope) -> Vec<Group<'_>> {
    let mut left: Vec<&Table> = model.tables.iter().filter(|table| table.scope == scope).collect();
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let members = next(&left, &placed);
        let is_circle = members.iter().any(|table| required(table).any(|to| members.iter().any(|m| m.name == *to)));
        let of = |table: &&'_ Table| members.iter().any(|member| member.name == table.name);
        left.retain(|table| !of(table));
        let group = members.iter().map(|table| {
            let is_later =
                |column: &&Column| column.optional && column.reference().is_some_and(|(to, _)| !placed.contains(to));
            Member { table, deferred: table.columns.iter().filter(is_later).collect() }
        });
        groups.push(Group { members: group.collect(), is_circle });
        placed.extend(members.iter().map(|table| table.name.as_str()));
    }
    groups
}

/// Of the tables left, one whose required references are placed, and of these one with the fewest
/// optional ones that are not; where there is none, the smallest circle.
fn next<'m>(left: &[&'m Table], placed: &BTreeSet<&str>) -> Vec<&'m Table> {
    let is_free = |table: &&&Table| required(table).all(|to| placed.contains(to));
    let optional = |table: &Table| {
        let refers = |column: &&Column| column.optional && column.reference().is_some();
        let later = |column: &&Column| column.reference().is_some_and(|(to, _)| !placed.contains(to));
        table.columns.iter().filter(refers).filter(later).count()
    };
    if let Some(table) = left.iter().filter(is_free).min_by_key(|table| (optional(table), table.name.as_str())) {
        return vec![table];
    }
    // Whatever a table needs, and what that needs: the smallest of these sets leads nowhere but into itself.
    let needs = |table: &&'m Table| {
        let mut found: Vec<&'m Table> = vec![table];
        let mut place = 0;
        while let Some(table) = found.get(place).copied() {
            place += 1;
            for to in required(table).filter(|to| !placed.contains(to)) {
                if let Some(next) = left.iter().find(|left| left.name == *to)
                    && !found.iter().any(|known| known.name == next.name)
                {
                    found.push(next);
                }
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    };
    // INVARIANT: references lead to tables of the same scope, so a table that is not free needs one that is left.
    left.iter().map(needs).min_by_key(Vec::len).unwrap_or_else(|| left.to_vec())
}

/// The tables that a row of `table` must refer to.
fn required(table: &Table) -> impl Iterator<Item = &str> {
    let references = table.columns.iter().filter(|column| !column.optional);
    references.filter_map(|column| column.reference().map(|(to, _)| to))
}
