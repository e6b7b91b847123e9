//! What a refusal of the database means to a caller of a function.

use rowgate_schema_dsl::function::{Assigned, Assignment, Body, Function, RowsArgument, Source};
use rowgate_schema_dsl::model::{Model, Table};

use crate::plan::{Constraint, ConstraintKind};

/// What a refusal of the database means: the function's own table for writes, and for a delete
/// every table that refers to it.
pub(super) fn constraints(model: &Model, table: &Table, function: &Function) -> Vec<Constraint> {
    let assignments: &[Assignment] = match &function.body {
        Body::InsertRow { values, .. }
        | Body::InsertRows { values, .. }
        | Body::UpsertRow { values, .. }
        | Body::PatchRow { values, .. }
        | Body::PatchRows { values, .. } => values,
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::Transaction { .. } => {
            return Vec::new();
        }
        Body::DeleteRow { .. } | Body::DeleteRows { .. } => &[],
    };
    let rows = function.body.rows();
    let arguments = rows.map_or(&function.arguments, |rows| &rows.members);
    let pointers = |columns: &[&str]| -> Vec<String> {
        let mut pointers: Vec<String> = assignments
            .iter()
            .filter(|assignment| columns.contains(&assignment.column.as_str()))
            .filter_map(|assignment| {
                let (Assigned::Source(value)
                | Assigned::Increment(value)
                | Assigned::Append(value)
                | Assigned::Remove(value)) = &assignment.value;
                match value {
                    Source::Argument(index) => arguments.get(*index),
                    Source::Literal(_) | Source::Identity(_) | Source::Now | Source::Row { .. } => None,
                }
            })
            // Which of many rows it was, the database does not say.
            .map(|argument| format!("/{}", if rows.is_some() { RowsArgument::NAME } else { argument.name.as_str() }))
            .collect();
        pointers.dedup();
        pointers
    };
    let constraint = |identifier: String, kind: ConstraintKind, rule: &str, columns: &[&str]| Constraint {
        identifier,
        kind,
        pointers: pointers(columns),
        columns: columns.iter().map(|column| (*column).to_owned()).collect(),
        rule: rule.to_owned(),
    };
    let mut found = Vec::new();
    for index in table.indexes.iter().filter(|index| index.unique) {
        let columns: Vec<&str> = index.columns.iter().map(|column| column.as_str()).collect();
        found.push(constraint(table.index_identifier(index), ConstraintKind::Unique, index.name.as_str(), &columns));
    }
    for column in &table.columns {
        let name = column.name.as_str();
        found.push(constraint(table.check_identifier(column), ConstraintKind::Check, name, &[name]));
        if column.reference().is_some() {
            found.push(constraint(table.foreign_key_identifier(column), ConstraintKind::Reference, name, &[name]));
        }
    }
    for other in &model.tables {
        for column in &other.columns {
            if column.reference().is_some_and(|(referred, _)| table.name == *referred) {
                let rule = format!("{}.{}", other.name, column.name);
                found.push(constraint(other.foreign_key_identifier(column), ConstraintKind::Reference, &rule, &[]));
            }
        }
    }
    found
}
