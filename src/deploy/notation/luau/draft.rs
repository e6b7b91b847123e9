//! The document under construction: its diagnostics, its source map, the layouts of the files.
//!
//! `tables`, `functions` and `values` write into a draft; none of them knows of a machine.

use std::collections::BTreeMap;

use rowgate_schema_dsl::diagnostic::{Diagnostic, Place, SourceMap, pointer_to};

use crate::deploy::notation::luau::builders;
use crate::deploy::notation::luau::layout::{Layout, Position};
use crate::deploy::notation::luau::written::{Call, Written, shortened};

/// Complaints about one bundle; more would not be read.
const DIAGNOSTICS_MAX: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) source_map: SourceMap,
    diagnostics: Vec<Diagnostic>,
    layouts: BTreeMap<String, Layout>,
}

/// Where a value stands: in the document and in the author's files.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) pointer: String,
    pub(super) place: Place,
}

/// A member of a table, in the order it was written.
pub(super) struct Member<'w> {
    pub(super) name: &'w str,
    pub(super) value: &'w Written,
    pub(super) place: Place,
}

impl Spot {
    pub(super) fn new(pointer: impl Into<String>, place: Place) -> Spot {
        Spot { pointer: pointer.into(), place }
    }

    /// The spot of a member, where `place` is the nearest line that is known.
    pub(super) fn member(&self, name: impl std::fmt::Display, place: &Place) -> Spot {
        Spot::new(pointer_to(&self.pointer, name), place.clone())
    }
}

impl Draft {
    pub(super) fn add_layout(&mut self, file: &str, layout: Layout) {
        self.layouts.insert(file.to_owned(), layout);
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        // The same module may be evaluated for each file that requires it.
        if self.diagnostics.len() < DIAGNOSTICS_MAX && !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(super) fn complain(&mut self, code: &'static str, spot: &Spot, message: impl Into<String>, hint: &str) {
        let diagnostic = Diagnostic::new(code, &spot.pointer, message).at(spot.place.clone());
        self.push(if hint.is_empty() { diagnostic } else { diagnostic.with_hint(hint) });
    }

    /// Source map and diagnostics, these sorted by place.
    pub(super) fn finish(mut self) -> (SourceMap, Vec<Diagnostic>) {
        self.source_map.place(&mut self.diagnostics);
        (self.source_map, self.diagnostics)
    }

    /// Notes the spot for later stages.
    pub(super) fn mark(&mut self, spot: &Spot) {
        self.source_map.insert(&spot.pointer, spot.place.clone());
    }

    /// The members of a table given to a builder at `near`, in the order they were written.
    pub(super) fn members<'w>(&self, table: &'w [(String, Written)], near: &Place) -> Vec<Member<'w>> {
        let names = names(table);
        let keys = self.layouts.get(&near.file).and_then(|layout| layout.keys(&names, near.line));
        in_order(table, keys, near)
    }

    /// The functions that a file returns, in the order they were written.
    pub(super) fn functions<'w>(&self, table: &'w [(String, Written)], near: &Place) -> Vec<Member<'w>> {
        let names = names(table);
        let keys = self.layouts.get(&near.file).map(|layout| layout.functions(&names));
        in_order(table, keys.as_ref(), near)
    }

    /// Complains about a value that is not what was `expected`.
    pub(super) fn unexpected(&mut self, spot: &Spot, expected: &str, got: &Written) {
        match got {
            Written::Uncalled { name } if !builders::is_known(name) => {}
            Written::Call(call) if !builders::is_known(&call.name) => {}
            Written::Uncalled { name } => {
                let message = format!("`{}` is a builder that was not called", shortened(name));
                self.complain("builder_not_called", spot, message, &format!("write `{}(…)`", shortened(name)));
            }
            Written::Refused(what) => {
                self.complain("value_refused", spot, format!("expected {expected}, got {what}"), "");
            }
            Written::Nil
            | Written::Null
            | Written::Boolean(_)
            | Written::Number(_)
            | Written::Text(_)
            | Written::List(_)
            | Written::Table(_)
            | Written::Call(_)
            | Written::Function => {
                self.complain("builder_expected", spot, format!("expected {expected}, got {}", got.described()), "");
            }
        }
    }

    /// Complains about arguments beyond those of `usage`.
    pub(super) fn at_most(&mut self, spot: &Spot, call: &Call, arguments_max: usize, usage: &str) {
        if call.arguments.len() > arguments_max {
            let got = call.arguments.len();
            let message = format!("`{}` takes at most {arguments_max} arguments, got {got}", call.name);
            self.complain("wrong_argument", spot, message, &format!("write `{usage}`"));
        }
    }

    /// Complains about methods, for builders that have none.
    pub(super) fn without_methods(&mut self, spot: &Spot, call: &Call) {
        for method in &call.methods {
            let message = format!("`{}(…)` has no methods, so no `{}`", call.name, shortened(&method.name));
            self.complain("unknown_method", &Spot::new(&spot.pointer, method.place.clone()), message, "");
        }
    }
}

/// The names in a table that stand in its text as keys.
fn names(table: &[(String, Written)]) -> Vec<&str> {
    let written = table.iter().filter(|(_, value)| !matches!(value, Written::Refused(_)));
    written.map(|(name, _)| name.as_str()).collect()
}

fn in_order<'w>(
    table: &'w [(String, Written)],
    keys: Option<&BTreeMap<String, Position>>,
    near: &Place,
) -> Vec<Member<'w>> {
    let key = |name: &str| keys.and_then(|keys| keys.get(name)).copied();
    let mut members: Vec<_> = table.iter().map(|(name, value)| (key(name), name.as_str(), value)).collect();
    // Where the file does not tell, builders ran in the order they were written.
    let order = |value: &Written| if let Written::Call(call) = value { call.order } else { u32::MAX };
    let all_known = members.iter().all(|(position, _, _)| position.is_some());
    members.sort_by(|a, b| {
        let by_layout = if all_known { a.0.cmp(&b.0) } else { std::cmp::Ordering::Equal };
        by_layout.then(order(a.2).cmp(&order(b.2))).then(a.1.cmp(b.1))
    });
    let member = |(position, name, value): (Option<Position>, &'w str, &'w Written)| {
        let place = match position {
            Some(position) => Place { file: near.file.clone(), line: position.line, column: None },
            None => value.place().unwrap_or(near).clone(),
        };
        Member { name, value, place }
    };
    members.into_iter().map(member).collect()
}
