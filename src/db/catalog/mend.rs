//! The statements by which somebody can bring back what a Postgres schema should have, or take away
//! what it should not. They are shown to operators and never run here.

use crate::db::catalog::{Kind, Known, Object};

/// Takes `object` away, where one statement does.
pub fn dropped(postgres_schema: &str, object: &Object, known: &Known) -> Option<String> {
    let (table, name) = (qualified(postgres_schema, &object.table), quoted(&object.name));
    Some(match object.kind {
        Kind::Table => format!("DROP TABLE {table}"),
        Kind::Column => format!("ALTER TABLE {table} DROP COLUMN {name}"),
        Kind::Constraint => format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
        Kind::Index => format!("DROP INDEX CONCURRENTLY {}", qualified(postgres_schema, &object.name)),
        Kind::Trigger => format!("DROP TRIGGER {name} ON {table}"),
        Kind::Function => format!("DROP FUNCTION {}.{}", quoted(postgres_schema), object.name),
        Kind::Other => match known.definition_in(postgres_schema).as_str() {
            "policy" => format!("DROP POLICY {name} ON {table}"),
            "rule" => format!("DROP RULE {name} ON {table}"),
            kind => format!("DROP {} {}", kind.to_uppercase(), qualified(postgres_schema, &object.name)),
        },
    })
}

/// Makes `object` as it is `known`, where one statement does.
pub fn made(postgres_schema: &str, object: &Object, known: &Known) -> Option<String> {
    let (table, name) = (qualified(postgres_schema, &object.table), quoted(&object.name));
    let definition = known.definition_in(postgres_schema);
    Some(match object.kind {
        Kind::Column => format!("ALTER TABLE {table} ADD COLUMN {name} {definition}"),
        Kind::Constraint if is_checked_later(&definition) => {
            format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {definition} NOT VALID; \
                 ALTER TABLE {table} VALIDATE CONSTRAINT {name}"
            )
        }
        Kind::Constraint => format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"),
        // The first INDEX is the statement's own word.
        Kind::Index => definition.replacen(" INDEX ", " INDEX CONCURRENTLY ", 1),
        Kind::Trigger => definition,
        Kind::Table | Kind::Function | Kind::Other => return None,
    })
}

/// Turns what is `found` of `object` into what is `wanted`.
pub fn changed(postgres_schema: &str, object: &Object, found: &Known, wanted: &Known) -> Option<String> {
    match object.kind {
        Kind::Constraint | Kind::Index | Kind::Trigger => {
            let (dropped, made) = (dropped(postgres_schema, object, found)?, made(postgres_schema, object, wanted)?);
            Some(format!("{dropped}; {made}"))
        }
        Kind::Table | Kind::Column | Kind::Function | Kind::Other => None,
    }
}

/// Makes an index valid, a constraint validated, a trigger enabled.
pub fn sound(postgres_schema: &str, object: &Object) -> Option<String> {
    let (table, name) = (qualified(postgres_schema, &object.table), quoted(&object.name));
    match object.kind {
        Kind::Index => Some(format!("REINDEX INDEX CONCURRENTLY {}", qualified(postgres_schema, &object.name))),
        Kind::Constraint => Some(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}")),
        Kind::Trigger => Some(format!("ALTER TABLE {table} ENABLE TRIGGER {name}")),
        Kind::Table | Kind::Column | Kind::Function | Kind::Other => None,
    }
}

/// Whether it may be added without looking at the rows, which is done by a second statement that
/// nobody waits for.
fn is_checked_later(definition: &str) -> bool {
    definition.starts_with("CHECK") || definition.starts_with("FOREIGN KEY")
}

fn qualified(postgres_schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(postgres_schema), quoted(name))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
