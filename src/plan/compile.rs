//! A model's function becomes a [`Plan`]: one statement for each set of optional arguments.
//!
//! Reads are compiled here, writes in [`write`].

mod aggregate;
mod constraint;
mod expand;
mod guard;
mod insert;
mod page;
mod transaction;
mod when;
mod write;

use std::sync::Arc;

use postgres_types::Type;
use rowgate_schema_dsl::column_type::{ColumnType, PostgresType};
use rowgate_schema_dsl::definition::IdentityField;
use rowgate_schema_dsl::function::{Absence, Argument, Body, Filter, Function, Limit, Source};
use rowgate_schema_dsl::model::{Column, Model, Table};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN, SCOPE_COLUMN};
use rowgate_schema_dsl::value::Typed;
use sea_query::{Alias, Cond, Expr, ExprTrait, Func, Query, SelectStatement, Value};

use crate::plan::answer::{RowWriter, Shape};
use crate::plan::argument::Arguments;
use crate::plan::filter::condition;
use crate::plan::page::{Page, Side};
use crate::plan::proof::owner::Owners;
use crate::plan::proof::{self, Unproven};
use crate::plan::statement::{Binding, Parameters, Statement, wire_type};
use crate::plan::{Guard, Plan};

/// The column that grows with each change of a row.
const VERSION: &str = "version";

/// Why a checked function could not be compiled: a fault of the checker or of this compiler,
/// never of an author.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("a table of the function is not in the model")]
    Table,
    #[error("a column of the function is not in its table")]
    Column,
    #[error("something that takes a list was given none")]
    List,
    #[error("a text was to be looked for that is neither a literal nor an argument")]
    Pattern,
    #[error("the statement could not be written: {0}")]
    Write(String),
    #[error("the statement is not proven: {0}")]
    Unproven(#[from] Unproven),
}

/// Compiles `function` of `model`; every statement of it has passed [`proof`].
pub fn compile(model: &Model, function: &Function) -> Result<Plan, CompileError> {
    let table = model.table(function.body.table().as_str()).ok_or(CompileError::Table)?;
    if let Body::Transaction { steps, .. } = &function.body {
        return transaction::plan(model, table, function, steps);
    }
    let optional: Vec<usize> = if function.body.writes() { Vec::new() } else { droppable(function).collect() };
    let owned: Vec<&str> =
        model.tables.iter().filter(|table| table.owner().is_some()).map(|table| table.name.as_str()).collect();
    let owners = Owners { owned: &owned, own: if function.own { &owned } else { &[] } };
    let sides = match &function.body {
        Body::QueryRows { page: Some(_), order_by, .. } => Page::sides(page::nullable_count(table, order_by)?),
        _ => vec![Side::First],
    };
    let shape = shape(model, table, function)?;
    let results = results(&shape, table, function)?;
    let mut variants = Vec::with_capacity(sides.len() << optional.len());
    for bits in 0..1usize << optional.len() {
        for side in &sides {
            let given = Given { optional: &optional, bits, side: *side, guarded: false };
            variants.push(proven(model, table, function, &given, owners, &results)?);
        }
    }
    let guard = match version(function) {
        None => None,
        Some(argument) => {
            let given = Given { optional: &[], bits: 0, side: Side::First, guarded: true };
            let statement = proven(model, table, function, &given, owners, &results)?;
            let look = Arc::new(compile(model, &write::look(table, function)?)?);
            Some(Guard { statement, argument, look })
        }
    };
    Ok(Plan {
        access: function.access,
        kind: function.body.word(),
        writes: function.body.writes(),
        scans: function.scan_allowed,
        table: table.name.as_str().into(),
        rows_max: table.rows_max,
        bytes_max: model.extension.limits.bytes,
        scope: table.scope,
        arguments: function.body.rows().map_or_else(|| Arguments::new(&function.arguments), Arguments::of_rows),
        optional,
        variants,
        guard,
        repeats_when_empty: insert::repeats_when_empty(function),
        empty_is_conflict: insert::empty_is_conflict(function),
        needs_one_of: write::needs_one_of(function),
        accepted_rows_max: write::rows_max(function),
        unmet: when::unmet(function),
        steps: Vec::new(),
        shape,
        constraints: constraint::constraints(model, table, function),
    })
}

/// Which optional arguments a variant is for.
pub struct Given<'a> {
    optional: &'a [usize],
    bits: usize,
    side: Side,
    /// Whether the row must still have the version that the caller knows.
    guarded: bool,
}

impl Given<'_> {
    /// Of a statement that has no variants: nothing is left out.
    const EVERY: Given<'static> = Given { optional: &[], bits: 0, side: Side::First, guarded: false };

    /// Whether `source` is an argument that this variant is without.
    pub fn drops(&self, source: &Source) -> bool {
        let Source::Argument(index) = source else { return false };
        self.optional.iter().position(|optional| optional == index).is_some_and(|bit| self.bits & 1 << bit == 0)
    }
}

fn proven(
    model: &Model,
    table: &Table,
    function: &Function,
    given: &Given<'_>,
    owners: Owners<'_>,
    results: &[Type],
) -> Result<Arc<Statement>, CompileError> {
    let statement = statement(model, table, function, given)?.answering(results.to_vec());
    proof::prove(&statement, &model.postgres_schema)?;
    proof::owner::prove(&statement, owners)?;
    if function.body.writes() {
        proof::guard::prove(&statement, &asked(table, function))?;
    }
    Ok(Arc::new(statement))
}

/// The tables whose rows must meet a condition of a write.
fn asked<'a>(table: &'a Table, function: &'a Function) -> Vec<&'a str> {
    let of_row = function.when.row.iter().map(|_| table.name.as_str());
    of_row.chain(function.when.referred.iter().map(|referred| referred.table.as_str())).collect()
}

/// Of a function that writes a row with an id: the place of the argument for its version, if any.
fn version(function: &Function) -> Option<Option<usize>> {
    match &function.body {
        Body::PatchRow { version, .. } | Body::DeleteRow { version, .. } => Some(*version),
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRows { .. }
        | Body::Transaction { .. } => None,
    }
}

fn droppable(function: &Function) -> impl Iterator<Item = usize> {
    let arguments = function.arguments.iter().enumerate();
    // Their statements are chosen by other means.
    let chosen = if let Body::QueryRows { page, .. } = &function.body { *page } else { version(function).flatten() };
    arguments
        .filter(move |(place, argument)| argument.absence == Absence::Dropped && chosen != Some(*place))
        .map(|(place, _)| place)
}

/// An expression for `value` as a `column_type`.
pub fn source(value: &Source, column_type: &ColumnType, parameters: &mut Parameters) -> Expr {
    match value {
        Source::Literal(Typed::Null) => Expr::null(),
        // Numbers and booleans stand in the text, where the planner sees them.
        Source::Literal(Typed::Bool(value)) => Expr::Constant(Value::Bool(Some(*value))),
        Source::Literal(Typed::Int8(value)) => Expr::Constant(Value::BigInt(Some(*value))),
        Source::Literal(value) => parameters.bind(Binding::Literal(value.clone()), column_type),
        Source::Argument(index) => parameters.bind(Binding::Argument(*index), column_type),
        Source::Identity(field) => {
            let text = column_type.storage().element == PostgresType::Text;
            parameters.bind(Binding::Identity { field: *field, text }, column_type)
        }
        Source::Now => now(column_type),
        Source::Row { step, column } => {
            parameters.bind(Binding::Row { step: *step, column: column.clone() }, column_type)
        }
    }
}

fn now(column_type: &ColumnType) -> Expr {
    let now = Expr::from(Func::cust(Alias::new("now")));
    // Connections have the time zone UTC, so the cast takes the date there.
    if *column_type == ColumnType::Date { now.cast_as("date") } else { now }
}

fn statement(model: &Model, table: &Table, function: &Function, given: &Given<'_>) -> Result<Statement, CompileError> {
    let mut parameters = Parameters::default();
    let target = (Alias::new(&model.postgres_schema), Alias::new(table.name.as_str()));
    let scope = reachable(function, &mut parameters);
    let statement = match &function.body {
        Body::QueryRows { filter, order_by, limit, offset, page, fields, expand, .. } => {
            let columns = page::columns(table, order_by, fields, page.is_some())?;
            let mut select = Query::select();
            select.exprs(answered(table, &columns)).from(target);
            select.cond_where(filtered(scope, filter.as_ref(), table, given, &mut parameters)?);
            page::turn(&mut select, table, order_by, given.side, &mut parameters)?;
            if let Some(offset) = offset {
                let rows = match offset {
                    Source::Literal(Typed::Int8(rows)) => *rows as u64,
                    Source::Argument(index) => parameters.bind_number(Binding::Argument(*index)),
                    Source::Literal(_) | Source::Identity(_) | Source::Now | Source::Row { .. } => {
                        return Err(CompileError::Column);
                    }
                };
                select.offset(rows);
            }
            let window = match page {
                // One row more than a page holds tells whether there is another.
                Some(_) => Window { limit, more: 1, rows: Some(Binding::PageRows) },
                None => Window { limit, more: 0, rows: None },
            };
            if expand.is_empty() {
                limited(select, window, columns.iter(), parameters)
            } else {
                select.exprs(answered(table, &expand::links(expand, &columns, table)));
                expand::of_rows(model, select, Some(window), (fields, columns.iter()), function, parameters)?
            }
        }
        Body::GetRow { id, fields, expand, .. } => {
            let mut select = Query::select();
            let id = id_is(id, &mut parameters);
            let base = if expand.is_empty() { returned(fields, function) } else { fields.clone() };
            select.exprs(answered(table, &base)).from(target).cond_where(Cond::all().add(scope).add(id));
            if expand.is_empty() {
                parameters.statement(&select)
            } else {
                select.exprs(answered(table, &expand::links(expand, fields, table)));
                expand::of_rows(model, select, None, (fields, fields.iter()), function, parameters)?
            }
        }
        Body::CountRows { filter, .. } => {
            let mut select = Query::select();
            select.expr(Func::count(Expr::cust("*"))).from(target);
            select.cond_where(filtered(scope, filter.as_ref(), table, given, &mut parameters)?);
            parameters.statement(&select)
        }
        Body::AggregateRows { filter, groups, select, having, order_by, limit, .. } => {
            let filtered = filtered(scope, filter.as_ref(), table, given, &mut parameters)?;
            let parts = aggregate::Parts { groups, select, having: having.as_ref(), order_by, limit };
            aggregate::statement(target, table, &parts, filtered, given, parameters)?
        }
        Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRow { .. }
        | Body::DeleteRows { .. }
        | Body::Transaction { .. } => {
            write::statement(model, table, function, given.guarded, target, scope, parameters)?
        }
    };
    Ok(statement)
}

/// How many rows of a query are read.
struct Window<'l> {
    limit: &'l Limit,
    /// Rows beyond the limit.
    more: u64,
    /// What is bound where the limit is an argument; none where it is the argument itself.
    rows: Option<Binding>,
}

impl Window<'_> {
    /// Limits `select`, and answers what a query around it is to be limited by.
    ///
    /// The planner takes a bound LIMIT for a tenth of the table; the literal within tells it the truth,
    /// and rows are still fetched only as the outer one asks.
    fn apply(self, select: &mut SelectStatement, parameters: &mut Parameters) -> Option<u64> {
        match self.limit {
            Limit::Literal(rows) => {
                select.limit(u64::from(*rows) + self.more);
                None
            }
            Limit::Argument { argument, max } => {
                select.limit(u64::from(*max) + self.more);
                Some(parameters.bind_number(self.rows.unwrap_or(Binding::Argument(*argument))))
            }
        }
    }
}

/// `select` with its limit; `names` are those of what it selects.
fn limited<'n>(
    mut select: SelectStatement,
    window: Window<'_>,
    names: impl Iterator<Item = &'n Name>,
    mut parameters: Parameters,
) -> Statement {
    match window.apply(&mut select, &mut parameters) {
        None => parameters.statement(&select),
        Some(rows) => {
            let mut outer = Query::select();
            outer
                .columns(names.map(|name| Alias::new(name.as_str())))
                .from_subquery(select, Alias::new("page"))
                .limit(rows);
            parameters.statement(&outer)
        }
    }
}

fn dropped_argument(value: &Source, arguments: &[Argument]) -> Option<usize> {
    let Source::Argument(index) = value else { return None };
    arguments.get(*index).filter(|argument| argument.absence == Absence::Dropped).map(|_| *index)
}

/// What binds the rows of the function's table to the caller: their scope, and with `own` their owner.
fn reachable(function: &Function, parameters: &mut Parameters) -> Expr {
    let scope = scope_is_callers(parameters);
    if !function.own {
        return scope;
    }
    scope.and(Expr::col(Alias::new(OWNER_COLUMN)).eq(caller(parameters)))
}

/// The caller's user id.
fn caller(parameters: &mut Parameters) -> Expr {
    let text = ColumnType::String { min: None, max: None, pattern: None };
    parameters.bind(Binding::Identity { field: IdentityField::UserId, text: true }, &text)
}

fn scope_is_callers(parameters: &mut Parameters) -> Expr {
    Expr::col(Alias::new(SCOPE_COLUMN)).eq(parameters.bind(Binding::Scope, &ColumnType::Uuid))
}

fn id_is(id: &Source, parameters: &mut Parameters) -> Expr {
    Expr::col(Alias::new("id")).eq(source(id, &ColumnType::Uuid, parameters))
}

fn filtered(
    scope: Expr,
    filter: Option<&Filter>,
    table: &Table,
    given: &Given<'_>,
    parameters: &mut Parameters,
) -> Result<Cond, CompileError> {
    let mut all = Cond::all().add(scope);
    if let Some(filter) = filter
        && let Some(condition) = condition(filter, table, given, parameters)?
    {
        all = all.add(condition);
    }
    Ok(all)
}

/// The columns to select of one row: those answered, and its version.
fn versioned(fields: &[Name]) -> Vec<Name> {
    let version = Name::new(VERSION).ok().filter(|version| !fields.contains(version));
    fields.iter().cloned().chain(version).collect()
}

/// [`versioned`] with the columns that later steps ask for.
fn returned(fields: &[Name], function: &Function) -> Vec<Name> {
    let mut columns = versioned(fields);
    columns.extend(function.kept.iter().filter(|kept| !fields.contains(kept) && **kept != *VERSION).cloned());
    columns
}

/// Writes one row, and tells its version.
fn row_writer(table: &Table, fields: &[Name]) -> Result<RowWriter, CompileError> {
    let place = versioned(fields).iter().position(|name| *name == *VERSION).ok_or(CompileError::Column)?;
    Ok(RowWriter::new(table.columns_named(fields)).with_version(place))
}

/// The columns that a function answers with, numerics as text.
fn answered(table: &Table, fields: &[Name]) -> Vec<sea_query::SelectExpr> {
    table
        .columns_named(fields)
        .map(|column| {
            let name = Alias::new(column.name.as_str());
            let expression = readable(column);
            let renamed = expression != Expr::col(name.clone());
            sea_query::SelectExpr {
                expr: expression,
                alias: renamed.then(|| sea_query::IntoIden::into_iden(name)),
                window: None,
            }
        })
        .collect()
}

/// A column as it travels to whoever reads it: numerics as text.
pub(in crate::plan) fn readable(column: &Column) -> Expr {
    readable_of(Expr::col(Alias::new(column.name.as_str())), column)
}

/// `expression`, which is the column, as it travels.
fn readable_of(expression: Expr, column: &Column) -> Expr {
    let storage = column.column_type.storage();
    match (storage.element, storage.is_array) {
        (PostgresType::Numeric, false) => expression.cast_as("text"),
        (PostgresType::Numeric, true) => expression.cast_as("text[]"),
        _ => expression,
    }
}

/// The types of what is answered: all that is read of a row, and what later steps are bound to.
fn results(shape: &Shape, table: &Table, function: &Function) -> Result<Vec<Type>, CompileError> {
    let mut types_of_shape = shape.types();
    Ok(match &function.body {
        Body::QueryRows { page: Some(_), order_by, fields, .. } => {
            let columns = page::columns(table, order_by, fields, true)?;
            types_of_shape.extend(types(table, columns.get(fields.len()..).unwrap_or_default()));
            types_of_shape
        }
        Body::DeleteRow { .. } => {
            let kept: Vec<Name> = function.kept.iter().filter(|kept| **kept != *"id").cloned().collect();
            types_of_shape.extend(types(table, &kept));
            types_of_shape
        }
        Body::GetRow { fields, expand, .. } if expand.is_empty() => types(table, &returned(fields, function)),
        Body::InsertRow { fields, .. } | Body::UpsertRow { fields, .. } | Body::PatchRow { fields, .. } => {
            types(table, &returned(fields, function))
        }
        Body::GetRow { .. }
        | Body::QueryRows { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRows { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRows { .. }
        | Body::Transaction { .. } => types_of_shape,
    })
}

fn types(table: &Table, columns: &[Name]) -> Vec<Type> {
    table.columns_named(columns).map(|column| wire_type(column.column_type.storage())).collect()
}

fn shape(model: &Model, table: &Table, function: &Function) -> Result<Shape, CompileError> {
    Ok(match &function.body {
        Body::QueryRows { order_by, limit, page: Some(cursor), fields, .. } => {
            let page = page::page(model, table, function, (order_by, limit, fields), *cursor)?;
            Shape::Page(Box::new(page))
        }
        Body::QueryRows { fields, expand, .. } => Shape::Rows(expand::writer(model, table, fields, expand)?),
        Body::InsertRows { fields, .. } | Body::PatchRows { fields, .. } => {
            Shape::Rows(RowWriter::new(table.columns_named(fields)))
        }
        Body::GetRow { fields, expand, .. } if !expand.is_empty() => {
            Shape::Row(expand::writer(model, table, fields, expand)?)
        }
        Body::GetRow { fields, .. }
        | Body::InsertRow { fields, .. }
        | Body::UpsertRow { fields, .. }
        | Body::PatchRow { fields, .. } => Shape::Row(row_writer(table, fields)?),
        Body::CountRows { .. } => Shape::Number,
        Body::Transaction { .. } => Shape::Steps,
        Body::AggregateRows { groups, select, .. } => Shape::Rows(aggregate::writer(table, groups, select)),
        Body::DeleteRow { .. } => Shape::Row(RowWriter::new(table.columns.iter().filter(|column| column.name == "id"))),
        Body::DeleteRows { .. } => {
            Shape::Rows(RowWriter::new(table.columns.iter().filter(|column| column.name == "id")))
        }
    })
}
