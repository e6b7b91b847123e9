//! Tables: their columns with types and defaults, then the rules over them.

use crate::check::{TABLE_COLUMNS_MAX, indexes, names, types};
use crate::column_type::ColumnType;
use crate::definition::{self, Definition};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::model::{Column, DefaultValue, Origin, Table};
use crate::name::{Name, OWNER_COLUMN};
use crate::value::Typed;

/// The tables as far as they can be understood, sorted by name.
pub(crate) fn tables(definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> Vec<Table> {
    names::distinct(
        definition.tables.keys().map(|name| ("table", name.as_str(), pointer_to("/tables", name))),
        diagnostics,
    );
    let mut tables: Vec<Table> = definition
        .tables
        .iter()
        .filter_map(|(name, declared)| table(name, declared, definition, diagnostics))
        .collect();
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    names::identifiers(&tables, diagnostics);
    tables
}

fn table(
    text: &str,
    declared: &definition::Table,
    definition: &Definition,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Table> {
    let pointer = pointer_to("/tables", text);
    let name = names::name("table", text, &pointer, diagnostics);
    let at_columns = pointer_to(&pointer, "columns");
    if declared.columns.is_empty() {
        let message = format!("table `{text}` has no columns");
        diagnostics.push(Diagnostic::new("no_columns", at_columns.as_str(), message).with_hint("declare one"));
    }
    if declared.columns.len() > TABLE_COLUMNS_MAX {
        let count = declared.columns.len();
        let message = format!("table `{text}` has {count} columns; at most {TABLE_COLUMNS_MAX} are accepted");
        let hint = "split the table, or keep values that belong together in an `object`";
        diagnostics.push(Diagnostic::new("too_many_columns", at_columns.as_str(), message).with_hint(hint));
    }
    names::distinct(
        declared.columns.keys().map(|name| ("column", name.as_str(), pointer_to(&at_columns, name))),
        diagnostics,
    );
    let authored: Vec<Column> = declared
        .columns
        .iter()
        .filter_map(|(name, column)| {
            authored_column(name, column, declared, &pointer_to(&at_columns, name), definition, diagnostics)
        })
        .collect();
    let columns = with_system_columns(authored, declared.owned)?;
    let indexes = indexes::indexes(text, declared, &columns, &pointer, diagnostics);
    let others = definition.tables.iter().filter(|(other, _)| *other != text);
    let others = others.map(|(other, table)| (other.as_str(), table.renamed_from.as_deref()));
    let renamed_from = former_name("table", declared.renamed_from.as_deref(), others, &pointer, diagnostics);
    Some(Table { name: name?, renamed_from, scope: declared.storage, columns, rows_max: declared.rows, indexes })
}

/// What a table or a column was called before: no other may be called so now, or have been.
fn former_name<'a>(
    what: &'static str,
    text: Option<&str>,
    mut others: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Name> {
    let text = text?;
    let at = pointer_to(pointer, "renamedFrom");
    let former = names::name(what, text, &at, diagnostics)?;
    match others.find(|(other, from)| *other == text || *from == Some(text)) {
        None => Some(former),
        Some((other, _)) if other == text => {
            let message = format!("{what} `{text}` is declared still, so nothing was renamed from it");
            diagnostics.push(Diagnostic::new("not_renamed", at, message).with_hint("remove one of the two"));
            None
        }
        Some((other, _)) => {
            let message = format!("{what} `{other}` says that it was `{text}`, too");
            diagnostics.push(Diagnostic::new("not_renamed", at, message).with_hint("remove one of the two"));
            None
        }
    }
}

fn authored_column(
    text: &str,
    declared: &definition::Column,
    table: &definition::Table,
    pointer: &str,
    definition: &Definition,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Column> {
    let name = names::name("column", text, pointer, diagnostics);
    let is_reserved = Name::new(&text.to_lowercase()).is_ok_and(|name| name.is_reserved_for_columns());
    if is_reserved {
        let message = format!("column `{text}` has a name that every table's own columns keep");
        diagnostics.push(Diagnostic::new("reserved_name", pointer, message).with_hint("choose another name"));
    }
    let validator = &declared.validator;
    let holder = types::Holder::Column { scope: table.storage, optional: validator.optional };
    let complaints_before = diagnostics.len();
    types::column_type(&validator.column_type, holder, pointer, definition, diagnostics);
    let default = if diagnostics.len() == complaints_before {
        types::default_value(validator, &format!("column `{text}`"), pointer, diagnostics)
    } else {
        None
    };
    // A broken default still is one: functions may rely on it. The model it is in is thrown away.
    let default = default.or_else(|| validator.default.as_ref().map(|_| DefaultValue::Value(Typed::Null)));
    let others = table.columns.iter().filter(|(other, _)| *other != text);
    let others = others.map(|(other, column)| (other.as_str(), column.renamed_from.as_deref()));
    let renamed_from = former_name("column", declared.renamed_from.as_deref(), others, pointer, diagnostics);
    if is_reserved {
        return None;
    }
    Some(Column {
        name: name?,
        renamed_from,
        column_type: validator.column_type.clone(),
        optional: validator.optional,
        default,
        private: declared.private,
        origin: Origin::Author,
    })
}

/// `id`, the author's columns, the owner's, and the three that tell a row's age.
fn with_system_columns(authored: Vec<Column>, owned: bool) -> Option<Vec<Column>> {
    let now = Some(DefaultValue::Now);
    let first = Some(DefaultValue::Value(Typed::Int8(1)));
    let mut columns = vec![system_column("id", ColumnType::Uuid, None)?];
    columns.extend(authored);
    if owned {
        let text = ColumnType::String { min: None, max: None, pattern: None };
        // Users' ids stay with the gateway, as the values of every private column do.
        columns.push(Column { private: true, ..system_column(OWNER_COLUMN, text, None)? });
    }
    columns.push(system_column("created_at", ColumnType::Timestamp, now.clone())?);
    columns.push(system_column("updated_at", ColumnType::Timestamp, now)?);
    columns.push(system_column("version", ColumnType::Integer { min: None, max: None }, first)?);
    Some(columns)
}

fn system_column(name: &str, column_type: ColumnType, default: Option<DefaultValue>) -> Option<Column> {
    let name = Name::new(name).ok()?;
    Some(Column {
        name,
        renamed_from: None,
        column_type,
        optional: false,
        default,
        private: false,
        origin: Origin::System,
    })
}
