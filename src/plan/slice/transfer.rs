//! The statements that write a scope's rows out and bring them in again.

use postgres_types::Type;
use rowgate_schema_dsl::column_type::PostgresType;
use rowgate_schema_dsl::model::{Column, Table};
use rowgate_schema_dsl::name::SCOPE_COLUMN;
use sea_query::{
    Alias, CommonTableExpression, Expr, ExprTrait, Func, InsertStatement, IntoIden, IntoTableRef, Order,
    PostgresQueryBuilder, Query, TableRef, WithClause,
};

use crate::plan::answer::RowWriter;
use crate::plan::compile::{CompileError, readable};
use crate::plan::slice::{column, of_scope};
use crate::plan::statement::wire_type;

/// Parameters of one statement, as many as Postgres takes.
pub const PARAMETERS_MAX: usize = 65_535;

/// Some rows of a table; how many is said where they are inserted.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub table: &'a Table,
    /// The columns that each row has a value of, in this order.
    pub columns: &'a [&'a Column],
    pub count: usize,
}

/// SQL with the types of its parameters: `$1` is the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    pub sql: String,
    pub types: Vec<Type>,
}

/// All rows of the scope `$1`, every column but the scope, in the order of their ids.
pub fn read(schema: &str, table: &Table) -> String {
    let mut select = Query::select();
    for column in &table.columns {
        select.expr_as(readable(column), Alias::new(column.name.as_str()));
    }
    select.from(table_ref(schema, table.name.as_str())).and_where(of_scope()).order_by(Alias::new("id"), Order::Asc);
    select.to_string(PostgresQueryBuilder)
}

/// Writes what [`read`] answers, row by row.
pub fn writer(table: &Table) -> RowWriter {
    RowWriter::new(table.columns.iter())
}

/// Whether the scope `$1` has a row.
pub fn has_rows(schema: &str, table: &Table) -> String {
    let mut any = Query::select();
    any.expr(Expr::val(1)).from(table_ref(schema, table.name.as_str())).and_where(of_scope());
    Query::select().expr(Expr::exists(any)).to_string(PostgresQueryBuilder)
}

/// Inserts rows of one table, or of several that need each other, in one statement.
pub fn insert(schema: &str, all: &[Rows<'_>]) -> Result<Insert, CompileError> {
    let mut types = vec![Type::UUID];
    let mut statements = Vec::with_capacity(all.len());
    for rows in all.iter().filter(|rows| rows.count > 0) {
        statements.push(insert_of(schema, rows, &mut types)?);
    }
    let sql = match statements.as_slice() {
        [only] => only.to_string(PostgresQueryBuilder),
        several => {
            let mut with = WithClause::new();
            for (place, statement) in several.iter().enumerate() {
                let name = Alias::new(format!("inserted_{place}"));
                with.cte(CommonTableExpression::new().query(statement.clone()).table_name(name).to_owned());
            }
            Query::select().expr(Expr::val(1)).to_owned().with(with).to_string(PostgresQueryBuilder)
        }
    };
    Ok(Insert { sql, types })
}

fn insert_of(schema: &str, rows: &Rows<'_>, types: &mut Vec<Type>) -> Result<InsertStatement, CompileError> {
    let mut insert = Query::insert();
    insert.into_table(table_ref(schema, rows.table.name.as_str()));
    let names = rows.columns.iter().map(|column| Alias::new(column.name.as_str()));
    insert.columns(std::iter::once(Alias::new(SCOPE_COLUMN)).chain(names));
    for _ in 0..rows.count {
        let mut values = vec![Expr::cust("$1")];
        for column in rows.columns {
            let storage = column.column_type.storage();
            types.push(wire_type(storage));
            let marker = Expr::cust(format!("${}", types.len()));
            values.push(match (storage.element, storage.is_array) {
                (PostgresType::Numeric, false) => marker.cast_as("numeric"),
                (PostgresType::Numeric, true) => marker.cast_as("numeric[]"),
                (_, _) => marker,
            });
        }
        insert.values(values).map_err(|error| CompileError::Write(error.to_string()))?;
    }
    // The rows are asked for again where they are one part of a statement.
    insert.returning_col(Alias::new("id"));
    Ok(insert)
}

/// Has the rows `$2` refer to the rows `$3` of `target`, each to the one at its place, where that is there;
/// answers the ids of those that do.
pub fn refer(schema: &str, table: &str, reference: &str, target: &str) -> Insert {
    // No column's name has a space.
    let (row, to) = (Alias::new("row id"), Alias::new("to id"));
    let unnest = |marker: &'static str| Expr::from(Func::cust("unnest").arg(Expr::cust(marker)));
    let mut given = Query::select();
    given.expr_as(unnest("$2"), row.clone()).expr_as(unnest("$3"), to.clone());
    let given = TableRef::SubQuery(Box::new(given), Alias::new("given").into_iden());
    let mut there = Query::select();
    let of_target = |name: &str| Expr::col((Alias::new("there"), Alias::new(name)));
    there.expr(Expr::val(1)).from_as(table_ref(schema, target), Alias::new("there"));
    there.and_where(of_target(SCOPE_COLUMN).eq(Expr::cust("$1")));
    there.and_where(of_target("id").eq(Expr::col(to.clone())));
    let mut update = Query::update();
    update.table(table_ref(schema, table)).value(Alias::new(reference), Expr::col(to)).from(given);
    update.and_where(of_scope()).and_where(column("id").eq(Expr::col(row))).and_where(Expr::exists(there));
    update.returning_col(Alias::new("id"));
    let sql = update.to_string(PostgresQueryBuilder);
    Insert { sql, types: vec![Type::UUID, Type::UUID_ARRAY, Type::UUID_ARRAY] }
}

fn table_ref(schema: &str, table: &str) -> TableRef {
    (Alias::new(schema), Alias::new(table)).into_table_ref()
}
