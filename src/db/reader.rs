//! What SQL that handlers write runs as: a role that may read an extension's views and nothing else.
//!
//! A deploy makes the role and the views where an extension's handlers may ask by SQL, takes the
//! views away before it changes tables, and makes them anew behind that. A mark on their Postgres
//! schema says which they are, so that nothing is done where nothing has changed.

use rowgate_schema_dsl::ddl::views;
use rowgate_schema_dsl::model::Model;
use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;

use crate::db::wall::{Wall, WallError, quoted};

/// The role that reads for the extension whose statements run as `role`.
pub fn role_of(role: &str) -> Option<String> {
    const OWN: &str = "_ext_";
    const ID_BYTES: usize = 32;
    let (prefix, rest) = role.split_at_checked(role.len().checked_sub(OWN.len() + ID_BYTES)?)?;
    Some(format!("{prefix}_sql_{}", rest.strip_prefix(OWN)?))
}

/// Takes the views away, whatever they are of, so that their tables can be changed.
pub async fn stand_aside(transaction: &Transaction<'_>, wall: &Wall, model: &Model) -> Result<(), WallError> {
    let schema = views::schema_name(&model.postgres_schema);
    let views = transaction.query(VIEWS, &[&schema]).await?;
    if views.is_empty() {
        return Ok(());
    }
    wall.step_forward(transaction).await?;
    for row in &views {
        transaction.batch_execute(row.try_get(0)?).await?;
    }
    transaction.batch_execute(&format!("COMMENT ON SCHEMA {} IS NULL", quoted(&schema))).await?;
    wall.step_back(transaction).await?;
    Ok(())
}

/// Makes the role and the views that `model` wants; answers whether anything was not yet so.
pub async fn build(transaction: &Transaction<'_>, wall: &Wall, model: &Model) -> Result<bool, WallError> {
    let Some(role) = role_of(&wall.role).filter(|_| views::are_wanted(model)) else {
        stand_aside(transaction, wall, model).await?;
        return Ok(false);
    };
    let (schema, statements) = views::statements(model, &role);
    let mark = mark(&statements);
    let known = transaction.query_opt(MARK, &[&schema]).await?;
    wall.prepare_reader(transaction, &role).await?;
    match &known {
        Some(row) if row.try_get::<_, Option<String>>(0)?.as_ref() == Some(&mark) => return Ok(false),
        // What is there is of another revision.
        Some(_) => stand_aside(transaction, wall, model).await?,
        None => transaction.batch_execute(&format!("CREATE SCHEMA {}", quoted(&schema))).await?,
    }
    wall.own(transaction, &schema).await?;
    wall.step_forward(transaction).await?;
    for statement in &statements {
        transaction.batch_execute(statement).await?;
    }
    transaction.batch_execute(&format!("COMMENT ON SCHEMA {} IS '{mark}'", quoted(&schema))).await?;
    wall.step_back(transaction).await?;
    Ok(true)
}

/// Of which statements the views are made: hexadecimal digits.
fn mark(statements: &[String]) -> String {
    let mut hash = Sha256::new();
    for statement in statements {
        hash.update(statement.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

const VIEWS: &str = "
SELECT format('DROP VIEW %I.%I', n.nspname, c.relname)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relkind = 'v' ORDER BY c.relname";

const MARK: &str = "
SELECT obj_description(oid, 'pg_namespace') FROM pg_catalog.pg_namespace WHERE nspname = $1::text";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_named_after_its_extensions_role() {
        let id = "0b2f6a3e5d1c4f7a8e901a2b3c4d5e6f";
        assert_eq!(role_of(&format!("rowgate_ext_{id}")), Some(format!("rowgate_sql_{id}")));
        assert_eq!(role_of(&format!("my_ext_gate_ext_{id}")), Some(format!("my_ext_gate_sql_{id}")));
        for other in ["rowgate", "rowgate_tables", "postgres", "", id] {
            assert_eq!(role_of(other), None, "{other}");
        }
    }
}
