//! Functions: each kind's parts resolved against the table it reads or writes.

pub(crate) mod aggregate;
mod conditions;
mod conflict;
mod expand;

use indexmap::IndexMap;
use serde_json::Value;

use crate::check::arguments::{Arguments, Need};
use crate::check::functions::conflict::Many;
use crate::check::ground::Ground;
use crate::check::operands::{self, Target};
use crate::check::{fields, filters, names, pages};
use crate::column_type::{ColumnType, OnDelete};
use crate::definition::{self, Definition, OnConflict, Operand, Role};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{
    Argument, Assigned, Assignment, Body, Function, Limit, OFFSET_ROWS_MAX, Order, QUERY_ROWS_MAX, RowsArgument,
    Source, WRITE_ROWS_MAX,
};
use crate::model::{Column, Origin, Table};
use crate::name::{Name, OWNER_COLUMN, SYSTEM_COLUMNS};
use crate::value::Typed;

/// The functions as far as they can be understood, sorted by name.
pub(crate) fn functions(definition: &Definition, tables: &[Table], diagnostics: &mut Vec<Diagnostic>) -> Vec<Function> {
    let names = definition.functions.keys();
    names::distinct(names.map(|name| ("function", name.as_str(), pointer_to("/functions", name))), diagnostics);
    let ground = Ground { definition, tables };
    let mut functions: Vec<Function> = definition
        .functions
        .iter()
        .filter_map(|(name, declared)| function(ground, name, declared, diagnostics))
        .collect();
    functions.sort_by(|a, b| a.name.cmp(&b.name));
    functions
}

/// The function `name`, which the document need not have, as far as it can be understood.
pub(crate) fn one(
    definition: &Definition,
    tables: &[Table],
    name: &str,
    declared: &definition::Function,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Function> {
    function(Ground { definition, tables }, name, declared, diagnostics)
}

/// The type of the values compared with or assigned to `column`. A row's own `id` is an id of its
/// table, which the column's type does not say, for it refers to nothing; and what a delete does
/// is no part of a value.
pub(crate) fn value_type(table: &Table, column: &Column) -> ColumnType {
    match (column.origin, column.reference()) {
        (Origin::System, _) if column.name == "id" => row_id(table.name.as_str()),
        (Origin::Author, Some((target, _))) => row_id(target),
        (Origin::System | Origin::Author, _) => column.column_type.clone(),
    }
}

fn function(
    ground: Ground<'_>,
    text: &str,
    declared: &definition::Function,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Function> {
    let pointer = pointer_to("/functions", text);
    let name = names::name("function", text, &pointer, diagnostics);
    let mut arguments = Arguments::of(declared, &pointer, ground.definition, diagnostics);
    let cursor = pages::cursor(&declared.body, &pointer, &mut arguments, diagnostics);
    let mut reading = Reading { ground, pointer: &pointer, arguments: &mut arguments, diagnostics };
    let body = reading.body(&declared.body);
    let when = reading.when(declared);
    must_be_owned(ground, declared, &pointer, diagnostics);
    let drops_conditions = matches!(
        declared.body,
        definition::Body::QueryRows { .. }
            | definition::Body::CountRows { .. }
            | definition::Body::AggregateRows { .. }
    );
    let arguments = arguments.resolve(text, &pointer, drops_conditions, diagnostics);
    let mut body = pages::paged(with_argument_maxima(body?, &arguments), cursor);
    pages::variants(ground, &body, &arguments, &pointer, diagnostics);
    expand::few(&body, &pointer, diagnostics);
    let when = when?;
    conditions::needed(&body, &when, &arguments, &pointer, diagnostics);
    let arguments = if let Body::InsertRows { rows, .. } = &mut body {
        rows.members = arguments;
        Vec::new()
    } else {
        arguments
    };
    let access = declared.access.unwrap_or(if body.writes() { Role::Editor } else { Role::Viewer });
    let scan_allowed = declared.scan == Some(definition::Scan::Allowed);
    Some(Function { name: name?, access, own: declared.own, scan_allowed, arguments, when, body })
}

/// Refuses `own` where rows belong to no user.
fn must_be_owned(
    ground: Ground<'_>,
    declared: &definition::Function,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let table = declared.body.table();
    let is_not_owned = ground.definition.tables.get(table).is_some_and(|table| !table.owned);
    if declared.own && is_not_owned {
        let message = format!("`own` asks for the caller's rows, but rows of table `{table}` belong to no user");
        let hint = format!("declare table `{table}` as `:owned()`, or filter on a column such as `author`");
        diagnostics.push(Diagnostic::new("not_owned", pointer_to(pointer, "own"), message).with_hint(hint));
    }
}

/// What the parts of one function are read with.
struct Reading<'r, 'a, 'b> {
    ground: Ground<'a>,
    pointer: &'r str,
    arguments: &'r mut Arguments<'b>,
    diagnostics: &'r mut Vec<Diagnostic>,
}

impl<'a> Reading<'_, 'a, '_> {
    fn body(&mut self, body: &definition::Body) -> Option<Body> {
        // Each part is read before the first that failed is given up on.
        match body {
            definition::Body::QueryRows { table, filter, order_by, limit, offset, page, fields, expand } => {
                let table = self.table(table)?;
                let filter = self.filter(table, filter.as_ref());
                let order_by = self.order(table, order_by);
                let limit = self.limit(limit.as_ref(), *page);
                let offset = self.offset(offset.as_ref());
                let fields = self.fields(table, fields);
                let expand = self.expand(table, expand, &fields);
                let table = table.name.clone();
                let (filter, limit, offset, expand) = (filter?, limit?, offset?, expand?);
                Some(Body::QueryRows { table, filter, order_by, limit, offset, page: None, fields, expand })
            }
            definition::Body::GetRow { table, id, fields, expand } => {
                let table = self.table(table)?;
                let fields = self.fields(table, fields);
                let expand = self.expand(table, expand, &fields);
                let id = self.id(table, id);
                Some(Body::GetRow { table: table.name.clone(), id: id?, fields, expand: expand? })
            }
            definition::Body::CountRows { table, filter } => {
                let table = self.table(table)?;
                Some(Body::CountRows { table: table.name.clone(), filter: self.filter(table, filter.as_ref())? })
            }
            definition::Body::AggregateRows { table, filter, group_by, select, having, order_by, limit } => {
                let (filter, having, limit) = (filter.as_ref(), having.as_ref(), limit.as_ref());
                self.aggregate(&aggregate::Declared { table, filter, group_by, select, having, order_by, limit })
            }
            definition::Body::InsertRow { table, values, on_conflict, unique, fields } => {
                let table = self.table(table)?;
                let write = if *on_conflict == OnConflict::Update { Write::Upsert } else { Write::Insert };
                let assigned = self.values(table, values, write);
                self.required(table, values);
                let fields = self.fields(table, fields);
                let conflict = self.conflict(table, values, *on_conflict, unique.as_deref(), Many::Row);
                Some(Body::InsertRow { table: table.name.clone(), values: assigned?, conflict: conflict?, fields })
            }
            definition::Body::InsertRows { table, values, on_conflict, unique, max_rows, fields } => {
                let table = self.table(table)?;
                let assigned = self.values(table, values, Write::Insert);
                self.required(table, values);
                let fields = self.fields(table, fields);
                let conflict = self.conflict(table, values, *on_conflict, unique.as_deref(), Many::Rows);
                // The members are what the arguments come to.
                let rows = RowsArgument { members: Vec::new(), rows_max: max_rows.unwrap_or(WRITE_ROWS_MAX) };
                let table = table.name.clone();
                Some(Body::InsertRows { table, values: assigned?, conflict: conflict?, fields, rows })
            }
            definition::Body::UpsertRow { table, unique, values, fields } => {
                let table = self.table(table)?;
                let assigned = self.values(table, values, Write::Upsert);
                self.required(table, values);
                let fields = self.fields(table, fields);
                let conflict = self.conflict(table, values, OnConflict::Update, Some(unique), Many::Row);
                Some(Body::UpsertRow { table: table.name.clone(), values: assigned?, conflict: conflict?, fields })
            }
            definition::Body::PatchRow { table, id, values, version, fields } => {
                let table = self.table(table)?;
                let id = self.id(table, id);
                self.something("patchRow", values);
                let values = self.values(table, values, Write::Patch);
                let version = self.version(version.as_ref());
                let fields = self.fields(table, fields);
                let (table, version) = (table.name.clone(), version?);
                Some(Body::PatchRow { table, id: id?, values: values?, version, fields })
            }
            definition::Body::PatchRows { table, filter, values, max_rows, fields } => {
                let table = self.table(table)?;
                let filter = self.condition(table, filter);
                self.something("patchRows", values);
                let values = self.values(table, values, Write::Patch);
                let fields = self.fields(table, fields);
                let rows_max = max_rows.unwrap_or(WRITE_ROWS_MAX);
                let table = table.name.clone();
                Some(Body::PatchRows { table, filter: filter?, values: values?, rows_max, fields })
            }
            definition::Body::DeleteRows { table, filter, max_rows } => {
                let table = self.table(table)?;
                let filter = self.condition(table, filter)?;
                let rows_max = max_rows.unwrap_or(WRITE_ROWS_MAX);
                Some(Body::DeleteRows { table: table.name.clone(), filter, rows_max })
            }
            definition::Body::DeleteRow { table, id, version } => {
                let table = self.table(table)?;
                let (id, version) = (self.id(table, id), self.version(version.as_ref()));
                Some(Body::DeleteRow { table: table.name.clone(), id: id?, version: version? })
            }
        }
    }

    fn table(&mut self, name: &str) -> Option<&'a Table> {
        self.ground.table(name, &pointer_to(self.pointer, "table"), self.diagnostics)
    }

    /// `Some(None)` where there is none, `None` where it is broken.
    fn filter(
        &mut self,
        table: &'a Table,
        filter: Option<&definition::Filter>,
    ) -> Option<Option<crate::function::Filter>> {
        let Some(filter) = filter else { return Some(None) };
        let pointer = pointer_to(self.pointer, "filter");
        filters::filter(self.ground, table, filter, &pointer, self.arguments, self.diagnostics).map(Some)
    }

    /// Which rows are written.
    fn condition(&mut self, table: &'a Table, filter: &definition::Filter) -> Option<crate::function::Filter> {
        let pointer = pointer_to(self.pointer, "filter");
        filters::filter(self.ground, table, filter, &pointer, self.arguments, self.diagnostics)
    }

    fn something(&mut self, word: &str, values: &IndexMap<String, Operand>) {
        if values.is_empty() {
            let message = format!("{word} sets no column");
            let pointer = pointer_to(self.pointer, "values");
            let diagnostic = Diagnostic::new("nothing_to_write", pointer, message);
            self.diagnostics.push(diagnostic.with_hint("name the columns to set"));
        }
    }

    fn order(&mut self, table: &'a Table, declared: &[definition::Order]) -> Vec<Order> {
        self.order_at(table, declared, &pointer_to(self.pointer, "orderBy"))
    }

    fn order_at(&mut self, table: &'a Table, declared: &[definition::Order], at: &str) -> Vec<Order> {
        let mut order: Vec<Order> = Vec::with_capacity(declared.len());
        for (index, definition::Order { column, dir }) in declared.iter().enumerate() {
            let pointer = pointer_to(&pointer_to(at, index), "column");
            let Some(column) = self.ground.column(table, column, &pointer, self.diagnostics) else { continue };
            let name = &column.name;
            if column.private {
                let message = format!("column `{name}` is private: the order would tell a caller its values");
                let diagnostic = Diagnostic::new("private_column", pointer, message);
                self.diagnostics.push(diagnostic.with_hint("order by a column that callers may see"));
            } else if !column.column_type.is_ordered() {
                let message =
                    format!("rows cannot be ordered by column `{name}` of type {}", column.column_type.word());
                let diagnostic = Diagnostic::new("order_type", pointer, message);
                self.diagnostics.push(diagnostic.with_hint("order by a column of a plain type"));
            } else if order.iter().any(|earlier| earlier.column == *name) {
                let message = format!("the order lists column `{name}` twice");
                let diagnostic = Diagnostic::new("duplicate_column", pointer, message);
                self.diagnostics.push(diagnostic.with_hint("remove one"));
            } else {
                order.push(Order { column: name.clone(), direction: *dir });
            }
        }
        order
    }

    fn fields(&mut self, table: &'a Table, declared: &[String]) -> Vec<Name> {
        fields::fields(self.ground, table, declared, &pointer_to(self.pointer, "fields"), self.diagnostics)
    }

    fn limit(&mut self, operand: Option<&Operand>, is_page: bool) -> Option<Limit> {
        let Some(operand) = operand else { return Some(Limit::Literal(QUERY_ROWS_MAX)) };
        // A caller may ask for no rows, but a page of none leads nowhere; an author who writes so has
        // made a slip.
        let min = if is_literal(operand) || is_page { 1 } else { 0 };
        match self.paging("limit", operand, min, QUERY_ROWS_MAX, i64::from(QUERY_ROWS_MAX))? {
            Source::Literal(Typed::Int8(rows)) => u32::try_from(rows).ok().map(Limit::Literal),
            Source::Argument(argument) => Some(Limit::Argument { argument, max: QUERY_ROWS_MAX }),
            Source::Literal(_) | Source::Identity(_) | Source::Now => None,
        }
    }

    fn offset(&mut self, operand: Option<&Operand>) -> Option<Option<Source>> {
        let Some(operand) = operand else { return Some(None) };
        self.paging("offset", operand, 0, OFFSET_ROWS_MAX, 0).map(Some)
    }

    fn paging(&mut self, member: &str, operand: &Operand, min: i64, max: u32, stand_in: i64) -> Option<Source> {
        let pointer = pointer_to(self.pointer, member);
        match operand {
            Operand::Literal(_) | Operand::Argument { .. } => {}
            Operand::Identity(_) | Operand::Now | Operand::Increment(_) | Operand::Append(_) | Operand::Remove(_) => {
                let message = format!("`{member}` is a number of rows");
                let diagnostic = Diagnostic::new("invalid_paging", pointer, message);
                self.diagnostics.push(diagnostic.with_hint("give an integer or an argument"));
                return None;
            }
        }
        let target = Target {
            what: format!("`{member}`"),
            column_type: ColumnType::Integer { min: Some(min), max: Some(i64::from(max)) },
            need: Need::Paging(stand_in),
            nullable: false,
            is_bounded: true,
        };
        operands::source(operand, target, &pointer, self.arguments, self.diagnostics)
    }

    fn id(&mut self, table: &Table, operand: &Operand) -> Option<Source> {
        let pointer = pointer_to(self.pointer, "id");
        match operand {
            Operand::Literal(_) | Operand::Argument { .. } => {}
            Operand::Identity(_) | Operand::Now | Operand::Increment(_) | Operand::Append(_) | Operand::Remove(_) => {
                let message = "a row's `id` is made by the gateway; nothing but an argument or a literal can be one";
                let hint = "use `arg(\"id\")`, or find the row by another column with queryRows";
                self.diagnostics.push(Diagnostic::new("invalid_id", pointer, message).with_hint(hint));
                return None;
            }
        }
        let what = format!("the `id` of table `{}`", table.name);
        let need = Need::Always;
        let target =
            Target { what, column_type: row_id(table.name.as_str()), need, nullable: false, is_bounded: false };
        operands::source(operand, target, &pointer, self.arguments, self.diagnostics)
    }

    /// `Some(None)` where there is none, `None` where it is broken.
    fn version(&mut self, operand: Option<&Operand>) -> Option<Option<usize>> {
        let Some(operand) = operand else { return Some(None) };
        let pointer = pointer_to(self.pointer, "version");
        match operand {
            Operand::Argument { .. } => {}
            Operand::Literal(_)
            | Operand::Identity(_)
            | Operand::Now
            | Operand::Increment(_)
            | Operand::Append(_)
            | Operand::Remove(_) => {
                let message = "`version` is the version that the caller knows, so nothing but an argument can be it";
                let diagnostic = Diagnostic::new("invalid_version", pointer, message);
                self.diagnostics.push(diagnostic.with_hint("use `arg(\"version\")`"));
                return None;
            }
        }
        let target = Target {
            what: "`version`".to_owned(),
            column_type: ColumnType::Integer { min: Some(1), max: None },
            need: Need::Asked,
            nullable: false,
            is_bounded: false,
        };
        match operands::source(operand, target, &pointer, self.arguments, self.diagnostics)? {
            Source::Argument(place) => Some(Some(place)),
            Source::Literal(_) | Source::Identity(_) | Source::Now => None,
        }
    }

    fn values(
        &mut self,
        table: &'a Table,
        values: &IndexMap<String, Operand>,
        write: Write,
    ) -> Option<Vec<Assignment>> {
        let assigned: Vec<Option<Assignment>> =
            values.iter().map(|(name, operand)| self.value(table, name, operand, write)).collect();
        assigned.into_iter().collect()
    }

    fn value(&mut self, table: &'a Table, name: &str, operand: &Operand, write: Write) -> Option<Assignment> {
        let pointer = pointer_to(&pointer_to(self.pointer, "values"), name);
        if SYSTEM_COLUMNS.contains(&name) || (name == OWNER_COLUMN && table.owner().is_some()) {
            let message = format!("column `{name}` is filled by the gateway");
            self.diagnostics.push(Diagnostic::new("system_column", pointer, message).with_hint("leave it out"));
            return None;
        }
        let column = self.ground.column(table, name, &pointer, self.diagnostics)?;
        let value = match (operand, write) {
            (Operand::Increment(by), Write::Patch | Write::Upsert) => {
                Assigned::Increment(self.increment(column, by, &pointer)?)
            }
            (Operand::Append(element), Write::Patch) => {
                Assigned::Append(self.element(column, element, "append", &pointer)?)
            }
            (Operand::Remove(element), Write::Patch) => {
                Assigned::Remove(self.element(column, element, "remove", &pointer)?)
            }
            _ => {
                let target = Target {
                    what: format!("column `{name}`"),
                    column_type: value_type(table, column),
                    need: write.need(column),
                    nullable: column.optional,
                    is_bounded: false,
                };
                Assigned::Source(operands::source(operand, target, &pointer, self.arguments, self.diagnostics)?)
            }
        };
        Some(Assignment { column: column.name.clone(), value })
    }

    fn increment(&mut self, column: &Column, by: &Operand, pointer: &str) -> Option<Source> {
        let name = &column.name;
        if !is_numeric(&column.column_type) {
            let message = format!("column `{name}` of type {} cannot be incremented", column.column_type.word());
            let diagnostic = Diagnostic::new("increment_type", pointer, message);
            self.diagnostics.push(diagnostic.with_hint("increment an integer, number or decimal column"));
            return None;
        }
        let pointer = pointer_to(pointer, "increment");
        let target = Target {
            what: format!("the increment of column `{name}`"),
            column_type: column.column_type.without_limits(),
            need: Need::Asked,
            nullable: false,
            is_bounded: false,
        };
        operands::source(by, target, &pointer, self.arguments, self.diagnostics)
    }

    /// An element that is put into the column's list, or taken out of it.
    fn element(&mut self, column: &Column, element: &Operand, word: &str, pointer: &str) -> Option<Source> {
        let name = &column.name;
        let ColumnType::Array { items, .. } = &column.column_type else {
            let message = format!("column `{name}` of type {} is no list", column.column_type.word());
            let diagnostic = Diagnostic::new("element_type", pointer, message);
            self.diagnostics.push(diagnostic.with_hint(format!("use `{word}` on an array column")));
            return None;
        };
        let target = Target {
            what: format!("an element of column `{name}`"),
            column_type: items.as_ref().clone(),
            need: Need::Asked,
            nullable: false,
            is_bounded: false,
        };
        operands::source(element, target, &pointer_to(pointer, word), self.arguments, self.diagnostics)
    }

    fn required(&mut self, table: &Table, values: &IndexMap<String, Operand>) {
        let required = table.columns.iter().filter(|column| column.origin == Origin::Author && is_required(column));
        for column in required.filter(|column| !values.contains_key(column.name.as_str())) {
            let name = &column.name;
            let message = format!("column `{name}` of table `{}` is required and gets no value", table.name);
            let hint = format!("add `{name} = arg(\"{name}\")`, or make the column optional or give it a default");
            let pointer = pointer_to(self.pointer, "values");
            self.diagnostics.push(Diagnostic::new("missing_value", pointer, message).with_hint(hint));
        }
    }
}

/// What values are written for.
#[derive(Clone, Copy)]
enum Write {
    Insert,
    /// An insert that meets the row it would make.
    Upsert,
    Patch,
}

impl Write {
    fn need(self, column: &Column) -> Need {
        match self {
            Write::Insert | Write::Upsert if is_required(column) => Need::Always,
            Write::Insert | Write::Upsert => Need::Offered,
            Write::Patch if column.optional => Need::Offered,
            Write::Patch => Need::Asked,
        }
    }
}

/// The limit's maximum is what its argument's type came to allow.
fn with_argument_maxima(mut body: Body, arguments: &[Argument]) -> Body {
    if let Body::QueryRows { limit: Limit::Argument { argument, max }, .. }
    | Body::AggregateRows { limit: Limit::Argument { argument, max }, .. } = &mut body
        && let Some(Argument { column_type: ColumnType::Integer { max: Some(bound), .. }, .. }) =
            arguments.get(*argument)
    {
        *max = u32::try_from(*bound).map_or(*max, |bound| bound.min(*max));
    }
    body
}

fn row_id(table: &str) -> ColumnType {
    ColumnType::Id { table: table.to_owned(), on_delete: OnDelete::Restrict }
}

fn is_required(column: &Column) -> bool {
    !column.optional && column.default.is_none()
}

fn is_literal(operand: &Operand) -> bool {
    matches!(operand, Operand::Literal(value) if *value != Value::Null)
}

fn is_numeric(column_type: &ColumnType) -> bool {
    match column_type {
        ColumnType::Integer { .. } | ColumnType::Number { .. } | ColumnType::Decimal { .. } => true,
        ColumnType::String { .. }
        | ColumnType::Boolean
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Uuid
        | ColumnType::Bytes { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Id { .. }
        | ColumnType::Array { .. }
        | ColumnType::Object { .. }
        | ColumnType::Json => false,
    }
}
