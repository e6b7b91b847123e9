//! Drift: what somebody changed by hand in an extension's Postgres schema, so that it is no longer
//! what the recorded definition asks for.
//!
//! What should be there is not computed but built: the definition is made anew under another name, in
//! a transaction that keeps nothing of it, and both are read by the same reader. Names that begin with
//! `_` are the gateway's own: more of them than a fresh build has, as while a change is under way, are
//! no drift.

use rowgate_schema_dsl::ddl::build;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::model::Model;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{Client, Error, Transaction};
use uuid::Uuid;

use crate::db::catalog::{self, Catalog, Kind, Known, Object, mend};
use crate::db::wall::{self, Astray};
use crate::record;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Lower snake case, stable, such as `index_added`.
    pub code: &'static str,
    /// The table, or something of it, such as `rules.score`.
    pub place: String,
    /// Lower case, no full stop, names in backticks.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Difference {
    /// Whether there is more than the definition asks for, and nothing that it asks for is missing.
    pub fn is_more(&self) -> bool {
        self.code.ends_with("_added")
    }
}

/// What somebody changed by hand in what is deployed of an extension; a deploy neither mends nor minds it.
/// Nothing where nothing is deployed, or what is cannot be read by this version, which the deploy tells.
pub async fn of_deployed(
    client: &mut Client,
    id: Uuid,
    recall: impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
) -> Result<Vec<Difference>, Error> {
    let Some(deployed) = record::extension(&*client, id).await? else { return Ok(Vec::new()) };
    let Ok(model) = recall(&deployed.definition) else { return Ok(Vec::new()) };
    let transaction = client.transaction().await?;
    find(&transaction, &model, deployed.role.as_deref()).await
}

/// Every difference between what Postgres has of `model`'s extension and what a fresh build of it has.
/// `role` is the database role its calls run as, where it has one.
///
/// Everybody may go on meanwhile. The transaction must run as the gateway itself; nothing stays.
pub async fn find(transaction: &Transaction<'_>, model: &Model, role: Option<&str>) -> Result<Vec<Difference>, Error> {
    let found = catalog::read(transaction, &model.postgres_schema).await?;
    let mut differences = compare(&wanted(transaction, model).await?, &found, &model.postgres_schema);
    if let Some(role) = role {
        let astray = wall::astray(transaction, &model.postgres_schema, role).await?;
        differences.extend(astray.into_iter().map(|Astray { what, mend }| Difference {
            code: "rights_changed",
            place: model.postgres_schema.clone(),
            message: what,
            hint: format!("run `{mend}`"),
        }));
    }
    Ok(differences)
}

/// What a fresh build of `model` has.
pub async fn wanted(transaction: &Transaction<'_>, model: &Model) -> Result<Catalog, Error> {
    let postgres_schema = format!("rowgate_drift_{}", Uuid::now_v7().simple());
    let fresh = Model { postgres_schema, ..model.clone() };
    let statements: Vec<String> = build(&fresh).statements().map(str::to_owned).collect();
    catalog::built(transaction, &fresh.postgres_schema, &statements).await
}

/// What is `found` and not `wanted`, wanted and not found, or another; by table, in the order of names.
/// Statements in what is answered name the Postgres schema `postgres_schema`.
pub fn compare(wanted: &Catalog, found: &Catalog, postgres_schema: &str) -> Vec<Difference> {
    let of_lone_table = |object: &Object, other: &Catalog| {
        let table = Object { table: object.table.clone(), kind: Kind::Table, name: String::new() };
        object.kind != Kind::Table && !object.table.is_empty() && !other.objects.contains_key(&table)
    };
    let mut differences = Vec::new();
    for (object, known) in &wanted.objects {
        match found.objects.get(object) {
            // The table alone is told of, and not all that it had.
            None if of_lone_table(object, found) => {}
            None => differences.push(missing(object, known, postgres_schema)),
            Some(there) if !there.is_made_like(known) => {
                differences.push(changed(object, there, known, postgres_schema));
            }
            Some(there) if !there.is_sound && known.is_sound => differences.push(unsound(object, postgres_schema)),
            Some(_) => {}
        }
    }
    for (object, known) in &found.objects {
        let is_known = wanted.objects.contains_key(object);
        if !is_known && !object.is_own() && !of_lone_table(object, wanted) {
            differences.push(added(object, known, postgres_schema));
        }
    }
    differences
}

fn missing(object: &Object, wanted: &Known, postgres_schema: &str) -> Difference {
    let what = named(object, wanted);
    let hint = match (object.kind, mend::made(postgres_schema, object, wanted)) {
        (Kind::Column, Some(statement)) => format!("run `{statement}`; what it held is in backups alone"),
        (_, Some(statement)) => format!("run `{statement}`"),
        (Kind::Table, None) => "restore it with its rows from a backup".to_owned(),
        (_, None) => "the statement that made it is in `rowgate.revisions`; run it again".to_owned(),
    };
    Difference {
        code: match object.kind {
            Kind::Table => "table_missing",
            Kind::Column => "column_missing",
            Kind::Constraint => "constraint_missing",
            Kind::Index => "index_missing",
            Kind::Trigger => "trigger_missing",
            Kind::Function => "function_missing",
            Kind::Other => "object_missing",
        },
        place: place(object),
        message: format!("{what} is declared and not there"),
        hint,
    }
}

fn added(object: &Object, found: &Known, postgres_schema: &str) -> Difference {
    let declared = match object.kind {
        Kind::Table | Kind::Column | Kind::Index => "declare it, or ",
        Kind::Constraint => "declare the rule, or ",
        Kind::Trigger | Kind::Function | Kind::Other => "keep it in a Postgres schema of your own, or ",
    };
    let statement = mend::dropped(postgres_schema, object, found);
    let hint = statement.map_or_else(|| "remove it".to_owned(), |statement| format!("run `{statement}`"));
    Difference {
        code: match object.kind {
            Kind::Table => "table_added",
            Kind::Column => "column_added",
            Kind::Constraint => "constraint_added",
            Kind::Index => "index_added",
            Kind::Trigger => "trigger_added",
            Kind::Function => "function_added",
            Kind::Other => "object_added",
        },
        place: place(object),
        message: format!("{} is there and not declared", named(object, found)),
        hint: format!("{declared}{hint}"),
    }
}

fn changed(object: &Object, found: &Known, wanted: &Known, postgres_schema: &str) -> Difference {
    let (is, should) = (found.definition_in(postgres_schema), wanted.definition_in(postgres_schema));
    let what = named(object, wanted);
    let message = match object.kind {
        Kind::Function => format!("{what} is not as the definition made it"),
        Kind::Table | Kind::Column | Kind::Constraint | Kind::Index | Kind::Trigger | Kind::Other => {
            format!("{what} is `{is}`, and should be `{should}`")
        }
    };
    let hint = match mend::changed(postgres_schema, object, found, wanted) {
        Some(statements) => format!("run `{statements}`"),
        None if object.kind == Kind::Function => {
            "the statement that made it is in `rowgate.revisions`; run it again".to_owned()
        }
        None => "alter it back, or declare what it is now".to_owned(),
    };
    Difference {
        code: match object.kind {
            Kind::Table => "table_changed",
            Kind::Column => "column_changed",
            Kind::Constraint => "constraint_changed",
            Kind::Index => "index_changed",
            Kind::Trigger => "trigger_changed",
            Kind::Function => "function_changed",
            Kind::Other => "object_changed",
        },
        place: place(object),
        message,
        hint,
    }
}

fn unsound(object: &Object, postgres_schema: &str) -> Difference {
    let table = &object.table;
    let (code, message) = match object.kind {
        Kind::Index => {
            ("index_invalid", format!("index `{}` of table `{table}` is invalid: nothing reads by it", object.name))
        }
        Kind::Trigger => ("trigger_disabled", format!("trigger `{}` of table `{table}` is disabled", object.name)),
        Kind::Constraint | Kind::Table | Kind::Column | Kind::Function | Kind::Other => (
            "constraint_not_validated",
            format!("constraint `{}` of table `{table}` is not validated: older rows may break it", object.name),
        ),
    };
    let statement = mend::sound(postgres_schema, object).unwrap_or_default();
    Difference { code, place: place(object), message, hint: format!("run `{statement}`") }
}

fn place(object: &Object) -> String {
    match (object.table.as_str(), object.name.as_str()) {
        ("", name) => name.to_owned(),
        (table, "") => table.to_owned(),
        (table, name) => format!("{table}.{name}"),
    }
}

fn named(object: &Object, known: &Known) -> String {
    let Object { table, name, .. } = object;
    match object.kind {
        Kind::Table => format!("table `{table}`"),
        Kind::Column => format!("column `{name}` of table `{table}`"),
        Kind::Constraint => format!("constraint `{name}` of table `{table}`"),
        Kind::Index => format!("index `{name}` of table `{table}`"),
        Kind::Trigger => format!("trigger `{name}` of table `{table}`"),
        Kind::Function => format!("function `{name}`"),
        Kind::Other => {
            let kind = known.definition_in("");
            if table.is_empty() { format!("{kind} `{name}`") } else { format!("{kind} `{name}` of table `{table}`") }
        }
    }
}
