//! The statements that erase a scope's rows, batch by batch: what refers goes before what is referred to.

use rowgate_schema_dsl::ddl::{bytes, quota};
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::name::OWNER_COLUMN;
use sea_query::{
    Alias, CommonTableExpression, Expr, ExprTrait, Func, IntoTableRef, Order, PostgresQueryBuilder, Query,
    SelectStatement, TableRef, WithClause,
};

use crate::plan::slice::{column, groups, of_scope};

/// One statement, repeated until it has nothing left to do. `$1` is the scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Clears a reference of some rows from the id `$2` on, [`LIMIT`] of them at most, and answers their ids.
    Clear { sql: String },
    /// Deletes some rows from the id `$2` on, [`LIMIT`] of them at most, and answers their ids.
    Delete { table: String, sql: String },
    /// Deletes all rows of these tables at once, and answers how many of each.
    Together { tables: Vec<String>, sql: String },
}

/// The steps that erase the rows of a scope of this storage, in their order.
pub fn steps(model: &Model, scope: Scope) -> Vec<Step> {
    let schema = model.postgres_schema.as_str();
    let groups = groups(model, scope);
    let members = || groups.iter().flat_map(|group| &group.members);
    let clear = members().flat_map(|member| {
        let table = member.table.name.as_str();
        member.deferred.iter().map(move |reference| Step::Clear { sql: clear(schema, table, reference.name.as_str()) })
    });
    let mut steps: Vec<Step> = clear.collect();
    steps.extend(groups.iter().rev().map(|group| match group.members.as_slice() {
        [only] if !group.is_circle => {
            let table = only.table.name.to_string();
            let sql = delete(schema, &table, None);
            Step::Delete { table, sql }
        }
        members => {
            let tables: Vec<String> = members.iter().map(|member| member.table.name.to_string()).collect();
            let sql = together(schema, &tables);
            Step::Together { tables, sql }
        }
    }));
    steps
}

/// What forgets how many rows and bytes the scope has, once it has none.
pub fn forget_counts(model: &Model, scope: Scope) -> Vec<String> {
    let of_counts = |counts: &str, which: Expr| {
        let mut delete = Query::delete();
        delete.from_table(table_ref(&model.postgres_schema, counts)).and_where(of_scope()).and_where(which);
        delete.to_string(PostgresQueryBuilder)
    };
    let counted: Vec<&str> = model
        .tables
        .iter()
        .filter(|table| table.scope == scope && table.rows_max.is_some())
        .map(|table| table.name.as_str())
        .collect();
    let rows = (!counted.is_empty()).then(|| of_counts(quota::COUNTS, column("table_name").is_in(counted)));
    let bytes = model.extension.limits.bytes.map(|_| of_counts(bytes::COUNTS, column("storage").eq(scope.as_str())));
    rows.into_iter().chain(bytes).collect()
}

/// Deletes the rows of the owner `$3` alone, as [`Step::Delete`] does.
pub fn delete_of_owner(schema: &str, table: &str) -> String {
    delete(schema, table, Some(column(OWNER_COLUMN).eq(Expr::cust("$3"))))
}

fn delete(schema: &str, table: &str, which: Option<Expr>) -> String {
    let mut some = some(schema, table);
    some.and_where_option(which);
    let mut delete = Query::delete();
    delete.from_table(table_ref(schema, table)).and_where(of_scope());
    delete.and_where(column("id").in_subquery(some)).returning_col(Alias::new("id"));
    delete.to_string(PostgresQueryBuilder)
}

fn clear(schema: &str, table: &str, reference: &str) -> String {
    let mut some = some(schema, table);
    some.and_where(column(reference).is_not_null());
    let mut update = Query::update();
    update.table(table_ref(schema, table)).value(Alias::new(reference), Expr::cust("NULL")).and_where(of_scope());
    update.and_where(column("id").in_subquery(some)).returning_col(Alias::new("id"));
    update.to_string(PostgresQueryBuilder)
}

/// Ids of the scope from `$2` on, [`LIMIT`] at most.
fn some(schema: &str, table: &str) -> SelectStatement {
    let mut select = Query::select();
    select.column(Alias::new("id")).from(table_ref(schema, table)).and_where(of_scope());
    select.and_where(column("id").gte(Expr::cust("$2"))).order_by(Alias::new("id"), Order::Asc);
    select.limit(LIMIT);
    select
}

/// Rows of one batch: their locks are held no longer than that takes.
pub const LIMIT: u64 = 1_000;

fn together(schema: &str, tables: &[String]) -> String {
    let mut with = WithClause::new();
    let mut select = Query::select();
    for (place, table) in tables.iter().enumerate() {
        let name = format!("gone_{place}");
        let mut delete = Query::delete();
        delete.from_table(table_ref(schema, table)).and_where(of_scope()).returning_col(Alias::new("id"));
        with.cte(CommonTableExpression::new().query(delete).table_name(Alias::new(&name)).to_owned());
        let mut count = Query::select();
        count.expr(Func::count(Expr::cust("*"))).from(Alias::new(&name));
        select.expr(Expr::SubQuery(None, Box::new(count.into())));
    }
    select.with(with).to_string(PostgresQueryBuilder)
}

fn table_ref(schema: &str, table: &str) -> TableRef {
    (Alias::new(schema), Alias::new(table)).into_table_ref()
}
