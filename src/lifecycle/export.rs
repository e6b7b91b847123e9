//! An install's rows as JSON lines: a header, one row a line, and an end that says how many there were.
//!
//! All of it is of one moment: one REPEATABLE READ transaction, as the extension's own role. Rows are
//! written as they come and none is kept. What a row refers to comes before it where that is possible.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::SystemTime;

use futures_util::TryStreamExt;
use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::db::{migrate, wall};
use crate::lifecycle::{FORMAT, scope_key};
use crate::plan::answer::Raw;
use crate::plan::slice::groups;
use crate::plan::slice::transfer::{read, writer};
use crate::record;
use crate::record::installs;
use crate::registry::recall;

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("there is no install with this id")]
    Unknown,
    #[error("the deployed definition cannot be read by this version: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Recorded(Vec<Diagnostic>),
    #[error("the rows cannot be written: {0}")]
    Write(#[from] std::io::Error),
    #[error("a row of table `{table}` is not as the definition has it")]
    Unreadable { table: String },
    #[error("Postgres refused to export: {}", migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// Writes the rows of the install in tables of these storages; answers how many of each table.
pub async fn export(
    client: &mut Client,
    install_id: Uuid,
    scopes: &[Scope],
    out: &mut impl Write,
) -> Result<BTreeMap<String, u64>, ExportError> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL search_path = ''")
        .await?;
    let listed = installs::one(&transaction, install_id).await?.ok_or(ExportError::Unknown)?;
    let install = &listed.install;
    let extension = record::extension(&transaction, install.extension_id).await?.ok_or(ExportError::Unknown)?;
    let model = recall(&extension.definition).map_err(ExportError::Recorded)?;
    let keys = scopes.iter().filter_map(|scope| Some((*scope, scope_key(install, *scope)?)));
    let tables: Vec<_> = keys
        .flat_map(|(scope, key)| {
            let members = groups(&model, scope).into_iter().flat_map(|group| group.members);
            members.map(move |member| (member.table, key)).collect::<Vec<_>>()
        })
        .collect();
    let header = json!({
        "rowgate_export": FORMAT,
        "extension": { "id": extension.id, "name": extension.name },
        "revision": extension.revision,
        "install_id": install.id,
        "exported_at": jiff::Timestamp::try_from(SystemTime::now()).map(|now| now.to_string()).unwrap_or_default(),
        "tables": tables.iter().map(|(table, _)| &table.name).collect::<Vec<_>>(),
    });
    writeln!(out, "{header}")?;
    wall::take(&transaction, extension.role.as_deref()).await?;
    let mut counts = BTreeMap::new();
    let mut line = Vec::new();
    for (table, key) in tables {
        let writer = writer(table);
        let parameters: [&(dyn ToSql + Sync); 1] = [&key];
        let rows = transaction.query_raw(&read(&model.postgres_schema, table), parameters).await?;
        let mut rows = std::pin::pin!(rows);
        let mut count = 0u64;
        while let Some(row) = rows.try_next().await? {
            line.clear();
            line.extend_from_slice(format!("{{\"table\":\"{}\",\"row\":", table.name).as_bytes());
            let field = |place| {
                let raw = row.try_get::<_, Option<Raw<'_>>>(place);
                raw.map(|raw| raw.map(|Raw(bytes)| bytes)).map_err(|_| crate::plan::answer::Unreadable(place))
            };
            writer.write(&mut line, field).map_err(|_| ExportError::Unreadable { table: table.name.to_string() })?;
            line.extend_from_slice(b"}\n");
            out.write_all(&line)?;
            count += 1;
        }
        counts.insert(table.name.to_string(), count);
    }
    writeln!(out, "{}", json!({ "end": counts }))?;
    out.flush()?;
    Ok(counts)
}
