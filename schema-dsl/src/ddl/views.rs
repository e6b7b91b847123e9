//! What SQL that handlers write may read: a view of each table, in a Postgres schema of its own, with
//! every column but the scope, and the rows of one caller.
//!
//! Whose rows is a setting of the transaction, one for each kind of scope. Without it a view has no
//! rows to give: it fails. The views are barriers, so nothing that a query asks is asked of a row
//! before it is known to be the caller's.

use crate::ddl::raw::{qualified, quoted};
use crate::definition::Scope;
use crate::model::{Model, Table, postgres_schema};
use crate::name::SCOPE_COLUMN;

/// The Postgres schema of the views beside `postgres_schema`.
pub fn schema_name(postgres_schema: &str) -> String {
    format!("{postgres_schema}_read")
}

/// The setting that says whose rows the tables of `scope` show.
pub const fn setting(scope: Scope) -> &'static str {
    match scope {
        Scope::Instance => "rowgate.scope_instance",
        Scope::Overlay => "rowgate.scope_overlay",
        Scope::Account => "rowgate.scope_account",
        Scope::Global => "rowgate.scope_global",
    }
}

/// Whether any handler may ask by SQL, as far as its text can tell: those that never do have no views.
pub fn are_wanted(model: &Model) -> bool {
    model.sources.iter().any(|(_, text)| text.contains("sql"))
}

/// The Postgres schema of the views, and the statements that make them in it for `reader`, a role.
pub fn statements(model: &Model, reader: &str) -> (String, Vec<String>) {
    let schema = schema_name(&model.postgres_schema);
    let mut statements = vec![format!("GRANT USAGE ON SCHEMA {} TO {}", quoted(&schema), quoted(reader))];
    for table in &model.tables {
        let view = qualified(&schema, table.name.as_str());
        statements.push(view_of(model, table, &view));
        statements.push(format!("GRANT SELECT ON {view} TO {}", quoted(reader)));
    }
    (schema, statements)
}

/// Drops the views with their Postgres schema, where there is one.
pub fn drop_schema(extension: uuid::Uuid) -> String {
    format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(&schema_name(&postgres_schema(extension))))
}

fn view_of(model: &Model, table: &Table, view: &str) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quoted(column.name.as_str())).collect();
    let (columns, of) = (columns.join(", "), qualified(&model.postgres_schema, table.name.as_str()));
    let (scope, setting) = (quoted(SCOPE_COLUMN), setting(table.scope));
    format!(
        "CREATE VIEW {view} WITH (security_barrier = true) AS SELECT {columns} FROM {of} \
         WHERE {scope} = pg_catalog.current_setting('{setting}')::pg_catalog.uuid"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use serde_json::json;

    use super::*;
    use crate::check::check;
    use crate::read::read;

    #[test]
    fn views_have_every_column_but_the_scope() {
        let (definition, complaints) = read(&json!({
            "rowgate": 1,
            "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "test", "version": "1.0.0" },
            "tables": { "noteBook": { "storage": "account", "columns": {
                "dueAt": { "type": "timestamp" }, "select": { "type": "string", "private": true },
            } } },
        }));
        assert_eq!(complaints, Vec::new());
        let model = check(&definition).unwrap();
        assert!(!are_wanted(&model));
        let (schema, statements) = statements(&model, "reader");
        assert_eq!(schema, "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read");
        insta::assert_snapshot!(statements.join(";\n"), @r#"
    GRANT USAGE ON SCHEMA "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read" TO "reader";
    CREATE VIEW "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read"."noteBook" WITH (security_barrier = true) AS SELECT "id", "dueAt", "select", "created_at", "updated_at", "version" FROM "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f"."noteBook" WHERE "scope_key" = pg_catalog.current_setting('rowgate.scope_account')::pg_catalog.uuid;
    GRANT SELECT ON "ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f_read"."noteBook" TO "reader"
    "#);
    }
}
