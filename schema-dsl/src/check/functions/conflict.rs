//! The unique rule by which an insert finds the row that is there.

use indexmap::IndexMap;

use crate::check::functions::{Reading, is_required};
use crate::check::ground;
use crate::definition::{OnConflict, Operand};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::Conflict;
use crate::model::{Index, Table};
use crate::name::OWNER_COLUMN;

/// How many rows an insert is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    Row,
    Rows,
}

impl<'a> Reading<'_, 'a, '_> {
    /// What the insert of `values` does on conflict; `None` where its rule is broken.
    pub(super) fn conflict(
        &mut self,
        table: &'a Table,
        values: &IndexMap<String, Operand>,
        on_conflict: OnConflict,
        unique: Option<&str>,
        many: Many,
    ) -> Option<Conflict> {
        let make = match on_conflict {
            OnConflict::Error => {
                if unique.is_some() {
                    let message = "`unique` says nothing where a conflict is an error";
                    let hint = "add `onConflict = \"ignore\"` or `onConflict = \"update\"`, or leave it out";
                    let pointer = pointer_to(self.pointer, "unique");
                    self.diagnostics.push(Diagnostic::new("unique_unused", pointer, message).with_hint(hint));
                }
                return Some(Conflict::Error);
            }
            OnConflict::Ignore => Conflict::Ignore,
            OnConflict::Update => Conflict::Update,
        };
        let rule = self.unique_rule(table, unique)?;
        let mut whole = many != Many::Rows || self.always_equal(table, rule, on_conflict);
        for column in &rule.columns {
            let at_values = pointer_to(self.pointer, "values");
            if *column == OWNER_COLUMN {
                continue;
            }
            match values.get(column.as_str()) {
                Some(Operand::Increment(_)) => {
                    let message = format!("column `{column}` finds the row by unique rule `{}`", rule.name);
                    let diagnostic =
                        Diagnostic::new("misplaced_increment", pointer_to(&at_values, column.as_str()), message);
                    self.diagnostics.push(diagnostic.with_hint("give it a value that is known before the row is"));
                    whole = false;
                }
                Some(_) => {}
                // A required column without a value was complained about as one.
                None if table.column(column.as_str()).is_some_and(is_required) => whole = false,
                None => {
                    let message = format!("column `{column}` of unique rule `{}` gets no value", rule.name);
                    let hint = format!("add `{column} = arg(\"{column}\")`: the row is found by it");
                    self.diagnostics.push(Diagnostic::new("missing_value", at_values, message).with_hint(hint));
                    whole = false;
                }
            }
        }
        whole.then(|| make(rule.name.clone()))
    }

    /// Whether each of many rows finds the one that is there. Rows without a value of the rule are
    /// never there, so ones that were inserted could not be told from ones that are to be yet.
    fn always_equal(&mut self, table: &Table, rule: &Index, on_conflict: OnConflict) -> bool {
        let optional =
            rule.columns.iter().find(|name| table.column(name.as_str()).is_some_and(|column| column.optional));
        let (Some(column), OnConflict::Ignore) = (optional, on_conflict) else { return true };
        let message =
            format!("column `{column}` of unique rule `{}` is optional: without it a row is never there", rule.name);
        let hint = "make the column required, or insert one row at a time with insertRow";
        let pointer = pointer_to(self.pointer, "onConflict");
        self.diagnostics.push(Diagnostic::new("optional_unique", pointer, message).with_hint(hint));
        false
    }

    /// The rule that is named, or the only one there is.
    fn unique_rule(&mut self, table: &'a Table, named: Option<&str>) -> Option<&'a Index> {
        let rules = || table.indexes.iter().filter(|index| index.unique);
        let declared = self.ground.definition.tables.get(table.name.as_str());
        if let Some(named) = named {
            let found = rules().find(|rule| rule.name == *named);
            let is_broken = declared.is_some_and(|declared| {
                declared.uniques.contains_key(named) || declared.columns.get(named).is_some_and(|column| column.unique)
            });
            if found.is_none() && !is_broken {
                let message = format!("table `{}` has no unique rule `{named}`", table.name);
                let names = rules().map(|rule| rule.name.as_str());
                let pointer = pointer_to(self.pointer, "unique");
                self.diagnostics.push(ground::unknown(
                    "unknown_unique",
                    &pointer,
                    message,
                    named,
                    names,
                    "unique rules",
                ));
            }
            return found;
        }
        let pointer = pointer_to(self.pointer, "onConflict");
        let mut found = rules();
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only),
            (Some(_), Some(_)) => {
                let names: Vec<String> = rules().map(|rule| format!("`{}`", rule.name)).collect();
                let message = format!("table `{}` has several unique rules: {}", table.name, names.join(", "));
                let hint = "say which one is meant by `unique = \"…\"`; a conflict with another is an error";
                self.diagnostics.push(Diagnostic::new("missing_unique", pointer, message).with_hint(hint));
                None
            }
            (None, _) => {
                let message = format!("table `{}` has no unique rule, so nothing can conflict", table.name);
                let hint = "declare one, such as `:unique(\"one_vote\", { \"rule\", \"user_id\" })`";
                self.diagnostics.push(Diagnostic::new("missing_unique", pointer, message).with_hint(hint));
                None
            }
        }
    }
}
