//! Pages: the argument they take without a declaration, and what does not go with them.
//!
//! Where a page goes on after a row, a column of the order that may be null needs another statement
//! for a row where it is: each doubles the statements, as an optional argument does.

use crate::check::arguments::{Arguments, Need, Use};
use crate::check::ground::Ground;
use crate::column_type::ColumnType;
use crate::definition;
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Absence, Argument, Body, CURSOR, OPTIONAL_ARGUMENTS_MAX};

/// The place of the argument `cursor` where `body` answers pages.
pub(crate) fn cursor(
    body: &definition::Body,
    pointer: &str,
    arguments: &mut Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<usize> {
    let definition::Body::QueryRows { page: true, offset, .. } = body else { return None };
    if offset.is_some() {
        let message = "a page goes on after a row, so there is nothing to skip by `offset`";
        let diagnostic = Diagnostic::new("page_with_offset", pointer_to(pointer, "offset"), message);
        diagnostics.push(diagnostic.with_hint("leave out `offset`, or `page`"));
    }
    if let Some(declared) = arguments.declared_cursor() {
        let message = format!("a function with `page` has an argument `{CURSOR}` of its own");
        let diagnostic = Diagnostic::new("reserved_argument", pointer_to(declared, "arg"), message);
        diagnostics.push(diagnostic.with_hint("give the argument another name"));
        return None;
    }
    let column_type = ColumnType::String { min: None, max: None, pattern: None };
    let (pointer, what) = (pointer_to(pointer, "page"), "`page`".to_owned());
    arguments.used(CURSOR, Use { pointer, what, column_type, is_bounded: false, need: Need::Offered, nullable: false })
}

/// The body with its cursor.
pub(crate) fn paged(mut body: Body, cursor: Option<usize>) -> Body {
    if let Body::QueryRows { page, .. } = &mut body {
        *page = cursor;
    }
    body
}

/// Complains where a page would need too many statements.
pub(crate) fn variants(
    ground: Ground<'_>,
    body: &Body,
    arguments: &[Argument],
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Body::QueryRows { table, order_by, page: Some(cursor), .. } = body else { return };
    let Some(table) = ground.tables.iter().find(|known| known.name == *table) else { return };
    let nullable: Vec<String> = order_by
        .iter()
        .take_while(|order| order.column != *"id")
        .filter(|order| table.column(order.column.as_str()).is_some_and(|column| column.optional))
        .map(|order| format!("`{}`", order.column))
        .collect();
    let droppable = |(place, argument): &(usize, &Argument)| place != cursor && argument.absence == Absence::Dropped;
    let dropped = arguments.iter().enumerate().filter(droppable).count();
    // More arguments than that have their own complaint.
    if nullable.is_empty() || dropped > OPTIONAL_ARGUMENTS_MAX || dropped + nullable.len() <= OPTIONAL_ARGUMENTS_MAX {
        return;
    }
    let message = format!(
        "the pages need too many statements: {} optional columns in the order ({}) and {dropped} arguments that may \
         be left out; at most {OPTIONAL_ARGUMENTS_MAX} of both are accepted, as each doubles them",
        nullable.len(),
        nullable.join(", "),
    );
    let diagnostic = Diagnostic::new("too_many_optional_columns", pointer_to(pointer, "orderBy"), message);
    diagnostics.push(diagnostic.with_hint("order by fewer columns that may be null"));
}
