//! What rows are answered with: the row a column refers to, and rows that refer to this one.

use indexmap::IndexMap;

use crate::check::functions::Reading;
use crate::check::{fields, names};
use crate::definition;
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Body, EMBEDDED_ROWS_MAX, EXPAND_MEMBERS_MAX, Expand, LIST_ROWS, LIST_ROWS_MAX, Limit, Link};
use crate::model::{Column, Table};
use crate::name::Name;

/// Refuses lists that would come to more rows than an answer should have.
pub(super) fn few(body: &Body, pointer: &str, diagnostics: &mut Vec<Diagnostic>) {
    let rows = match body {
        Body::QueryRows { limit: Limit::Literal(rows) | Limit::Argument { max: rows, .. }, .. } => *rows,
        Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRow { .. }
        | Body::DeleteRows { .. }
        | Body::Transaction { .. } => 1,
    };
    let listed: u32 = body.expand().iter().map(Expand::list_rows_max).sum();
    let embedded = rows.saturating_mul(listed);
    if embedded > EMBEDDED_ROWS_MAX {
        let message = format!(
            "{rows} rows with {listed} listed in each come to {embedded}; at most {EMBEDDED_ROWS_MAX} are accepted"
        );
        let hint = "lower the function's `limit`, or that of a list";
        diagnostics.push(Diagnostic::new("too_many_rows", pointer_to(pointer, "expand"), message).with_hint(hint));
    }
}

impl<'a> Reading<'_, 'a, '_> {
    /// What each row of `table`, answered with `fields`, is answered with besides; `None` where
    /// something is broken.
    pub(super) fn expand(
        &mut self,
        table: &'a Table,
        declared: &IndexMap<String, definition::Expand>,
        fields: &[Name],
    ) -> Option<Vec<Expand>> {
        let at = pointer_to(self.pointer, "expand");
        if declared.len() > EXPAND_MEMBERS_MAX {
            let message = format!("`expand` has {} members; at most {EXPAND_MEMBERS_MAX} are accepted", declared.len());
            let diagnostic = Diagnostic::new("too_many_members", at.as_str(), message);
            self.diagnostics.push(diagnostic.with_hint("leave some to functions of their own"));
        }
        let mut expand: Vec<Option<Expand>> = Vec::with_capacity(declared.len());
        for (key, one) in declared {
            let pointer = pointer_to(&at, key);
            let one = match one {
                definition::Expand::Row { member, fields } => self.row(table, key, member.as_deref(), fields, &pointer),
                definition::Expand::List { table: listed, by, fields, order_by, limit } => {
                    let listed = self.ground.table(listed, &pointer_to(&pointer, "table"), self.diagnostics);
                    listed.and_then(|listed| {
                        let list = List { table: listed, by, fields, order_by, limit: *limit };
                        self.list(table, key, &list, &pointer)
                    })
                }
            };
            if let Some(Expand { name, .. }) = &one {
                let is_taken = fields.contains(name) || expand.iter().flatten().any(|earlier| earlier.name == *name);
                if is_taken {
                    let message = format!("the answer has a member `{name}` already");
                    let hint = match one.as_ref().map(|one| &one.link) {
                        Some(Link::Row { .. }) => "give it another name by `as`",
                        Some(Link::Rows { .. }) | None => "give the list another name",
                    };
                    let diagnostic = Diagnostic::new("duplicate_member", pointer.as_str(), message);
                    self.diagnostics.push(diagnostic.with_hint(hint));
                }
            }
            expand.push(one);
        }
        expand.into_iter().collect()
    }

    fn row(
        &mut self,
        table: &'a Table,
        key: &str,
        member: Option<&str>,
        declared: &[String],
        pointer: &str,
    ) -> Option<Expand> {
        let at_name = pointer_to(pointer, "as");
        let member = match member {
            Some(member) => names::name("member", member, &at_name, self.diagnostics),
            None => names::name("member", &default_member(key), pointer, self.diagnostics),
        };
        let is_declared = |table: &Table, key: &str| table.column(key).is_some();
        if !is_declared(table, key) && self.ground.tables.iter().any(|listed| listed.name == *key) {
            let message = format!("`{key}` is a table, and no column of table `{}`", table.name);
            let hint =
                format!("write `{key} = {{ table = \"{key}\", by = \"…\" }}` to list its rows that refer to one");
            self.diagnostics.push(Diagnostic::new("unknown_column", pointer, message).with_hint(hint));
            return None;
        }
        let column = self.ground.column(table, key, pointer, self.diagnostics)?;
        let (target, _) = self.reference(table, column, pointer)?;
        let target = self.ground.tables.iter().find(|table| table.name == *target)?;
        let at_fields = pointer_to(pointer, "fields");
        let fields = fields::fields(self.ground, target, declared, &at_fields, self.diagnostics);
        let link = Link::Row { column: column.name.clone() };
        Some(Expand { name: member?, table: target.name.clone(), fields, link })
    }

    fn list(&mut self, table: &'a Table, key: &str, list: &List<'a, '_>, pointer: &str) -> Option<Expand> {
        let name = names::name("member", key, pointer, self.diagnostics);
        let at_by = pointer_to(pointer, "by");
        let by = self.ground.column(list.table, list.by, &at_by, self.diagnostics);
        let by = by.filter(|by| match self.reference(list.table, by, &at_by) {
            Some((target, _)) if target != table.name.as_str() => {
                let message = format!(
                    "column `{}` of table `{}` refers to table `{target}`, not to table `{}`",
                    by.name, list.table.name, table.name
                );
                let diagnostic = Diagnostic::new("wrong_reference", at_by.as_str(), message);
                self.diagnostics.push(diagnostic.with_hint("name the column that refers to the row"));
                false
            }
            found => found.is_some(),
        });
        let at_order = pointer_to(pointer, "orderBy");
        let order_by = self.order_at(list.table, list.order_by, &at_order);
        let at_fields = pointer_to(pointer, "fields");
        let fields = fields::fields(self.ground, list.table, list.fields, &at_fields, self.diagnostics);
        let limit = list.limit.unwrap_or(u64::from(LIST_ROWS));
        let limit = u32::try_from(limit).ok().filter(|limit| (1..=LIST_ROWS_MAX).contains(limit));
        if limit.is_none() {
            let message = format!("a list has at least 1 row and at most {LIST_ROWS_MAX}");
            let diagnostic = Diagnostic::new("invalid_paging", pointer_to(pointer, "limit"), message);
            self.diagnostics.push(diagnostic.with_hint("answer longer lists by a function of their own"));
        }
        let link = Link::Rows { by: by?.name.clone(), order_by, limit: limit? };
        Some(Expand { name: name?, table: list.table.name.clone(), fields, link })
    }

    /// The table that `column` refers to, if callers may know that it does.
    fn reference(
        &mut self,
        table: &Table,
        column: &'a Column,
        pointer: &str,
    ) -> Option<(&'a str, crate::column_type::OnDelete)> {
        let name = &column.name;
        let reference = column.reference();
        if reference.is_none() {
            let message = format!("column `{name}` of table `{}` refers to no row", table.name);
            let diagnostic = Diagnostic::new("not_a_reference", pointer, message);
            self.diagnostics.push(diagnostic.with_hint("name a column of type `v.id(\"…\")`"));
        } else if column.private {
            let message = format!("column `{name}` is private: the answer would tell a caller what it refers to");
            let diagnostic = Diagnostic::new("private_column", pointer, message);
            self.diagnostics.push(diagnostic.with_hint("leave it out, or make the column visible"));
            return None;
        }
        reference
    }
}

/// A list as it is declared, over the table it lists.
struct List<'a, 'd> {
    table: &'a Table,
    by: &'d str,
    fields: &'d [String],
    order_by: &'d [definition::Order],
    limit: Option<u64>,
}

/// `author` for `author_id` and `authorId`; `authorRow` for `author`, whose name is the id's own.
fn default_member(column: &str) -> String {
    let stem = column.strip_suffix("_id").or_else(|| column.strip_suffix("Id")).filter(|stem| !stem.is_empty());
    stem.map_or_else(|| format!("{column}Row"), str::to_owned)
}
