//! Erases what one user owns: rows of owned tables whose `owner_id` is theirs, with a receipt.
//!
//! Batch by batch, each a short transaction as the extension's own role. A row that others still refer
//! to by a reference without a cascade stays, and is counted.

use std::collections::{BTreeMap, BTreeSet};

use rowgate_schema_dsl::definition::Scope;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::db::sqlstate::{self, Contradiction};
use crate::db::{migrate, wall};
use crate::lifecycle::{SETTINGS, scope_key};
use crate::plan::slice::erase::{LIMIT, OfOwner, of_owner};
use crate::record::{self, installs, receipts};
use crate::registry::recall;

/// Where the user's rows are looked for; everywhere where nothing is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Which {
    pub extension_id: Option<Uuid>,
    /// What this install sees: its own rows, and those of its account, overlay and extension.
    pub install_id: Option<Uuid>,
}

/// What an extension has of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub extension_id: Uuid,
    pub extension_name: String,
    /// Rows by table: those that went, or would go.
    pub rows: BTreeMap<String, i64>,
    /// Rows that stay since others refer to them, by table.
    pub referred: BTreeMap<String, i64>,
    /// None of what would go.
    pub receipt_id: Option<Uuid>,
}

#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("there is no extension with this id")]
    NoExtension,
    #[error("there is no install with this id")]
    NoInstall,
    #[error("the deployed definition cannot be read by this version: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Recorded(Vec<Diagnostic>),
    #[error("Postgres refused to erase: {}", migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// What one table has of the user in one scope.
struct Place<'a> {
    role: Option<&'a str>,
    sql: &'a OfOwner,
    key: Uuid,
    user_id: &'a str,
}

/// Erases the rows of the user, or counts them where `is_dry`; extensions that have none are left out.
pub async fn erase_user(
    client: &mut Client,
    user_id: &str,
    which: Which,
    by: &str,
    is_dry: bool,
) -> Result<Vec<Found>, UserError> {
    let install = match which.install_id {
        Some(id) => Some(installs::one(client, id).await?.ok_or(UserError::NoInstall)?.install),
        None => None,
    };
    let extension_id = which.extension_id.or(install.as_ref().map(|install| install.extension_id));
    let mut extensions = record::extensions(client).await?;
    extensions.retain(|extension| extension_id.is_none_or(|id| extension.id == id));
    if extension_id.is_some() && extensions.is_empty() {
        return Err(UserError::NoExtension);
    }
    let mut all = Vec::new();
    for extension in extensions {
        let model = recall(&extension.definition).map_err(UserError::Recorded)?;
        let installs = match &install {
            Some(install) => vec![install.clone()],
            None => installs::all_of(client, extension.id).await?,
        };
        let (id, name) = (extension.id, extension.name.clone());
        let mut found = Found {
            extension_id: id,
            extension_name: name,
            rows: BTreeMap::new(),
            referred: BTreeMap::new(),
            receipt_id: None,
        };
        for (scope, table, sql) in of_owner(&model) {
            let keys: BTreeSet<Uuid> = installs.iter().filter_map(|install| scope_key(install, scope)).collect();
            // Of a whole extension rows may be there without an install.
            let keys = if scope == Scope::Global { BTreeSet::from([id]) } else { keys };
            for key in keys {
                let place = Place { role: extension.role.as_deref(), sql: &sql, key, user_id };
                let there = place.count(client).await?;
                if there > 0 && !is_dry {
                    let receipt = match found.receipt_id {
                        Some(receipt) => receipt,
                        None => {
                            let install_id = which.install_id;
                            receipts::begin_of_user(client, id, &found.extension_name, install_id, user_id, by).await?
                        }
                    };
                    found.receipt_id = Some(receipt);
                    let stay = place.erase(client, receipt, &table).await?;
                    if stay > 0 {
                        *found.referred.entry(table.clone()).or_default() += stay;
                    }
                    *found.rows.entry(table.clone()).or_default() += there - stay;
                } else if there > 0 {
                    *found.rows.entry(table.clone()).or_default() += there;
                }
            }
        }
        if let Some(receipt) = found.receipt_id {
            receipts::finish_of_user(client, receipt, found.referred.values().sum()).await?;
        }
        if !found.rows.is_empty() {
            all.push(found);
        }
    }
    Ok(all)
}

impl Place<'_> {
    async fn begin<'c>(&self, client: &'c mut Client) -> Result<Transaction<'c>, tokio_postgres::Error> {
        let transaction = client.transaction().await?;
        transaction.batch_execute(SETTINGS).await?;
        wall::take(&transaction, self.role).await?;
        Ok(transaction)
    }

    async fn count(&self, client: &mut Client) -> Result<i64, UserError> {
        let transaction = self.begin(client).await?;
        Ok(transaction.query_one(&self.sql.count, &[&self.key, &self.user_id]).await?.try_get(0)?)
    }

    /// Answers how many rows stay since others refer to them.
    async fn erase(&self, client: &mut Client, receipt: Uuid, table: &str) -> Result<i64, UserError> {
        loop {
            let (stay, gone) = self.walk(client, receipt, table).await?;
            // What referred to one of these may have gone in a later batch.
            if stay == 0 || gone == 0 {
                return Ok(stay);
            }
        }
    }

    /// Goes over the rows once; answers how many stay and how many went.
    async fn walk(&self, client: &mut Client, receipt: Uuid, table: &str) -> Result<(i64, usize), UserError> {
        let (mut from, mut stay, mut gone) = (Some(Uuid::nil()), 0, 0);
        while let Some(first) = from {
            let transaction = self.begin(client).await?;
            let ids = self.ids(transaction.query(&self.sql.delete, &[&self.key, &first, &self.user_id]).await);
            let (ids, erased) = match ids {
                Ok(ids) => {
                    let erased = ids.len();
                    wall::leave(&transaction).await?;
                    receipts::add_rows(&transaction, receipt, table, i64::try_from(erased).unwrap_or(i64::MAX)).await?;
                    transaction.commit().await?;
                    (ids, erased)
                }
                Err(error) if sqlstate::contradiction(&error) == Some(Contradiction::Reference) => {
                    drop(transaction);
                    self.by_halves(client, receipt, table, first).await?
                }
                Err(error) => return Err(error.into()),
            };
            stay += i64::try_from(ids.len() - erased).unwrap_or(i64::MAX);
            gone += erased;
            let is_last = (ids.len() as u64) < LIMIT;
            from = ids
                .into_iter()
                .max()
                .filter(|_| !is_last)
                .map(|last| Uuid::from_u128(last.as_u128().saturating_add(1)));
        }
        Ok((stay, gone))
    }

    /// Deletes of a batch what nobody else refers to, by halves; answers its ids, and how many of these went.
    async fn by_halves(
        &self,
        client: &mut Client,
        receipt: Uuid,
        table: &str,
        from: Uuid,
    ) -> Result<(Vec<Uuid>, usize), UserError> {
        let mut transaction = self.begin(client).await?;
        let ids = self.ids(transaction.query(&self.sql.ids, &[&self.key, &from, &self.user_id]).await)?;
        let mut left = ids.clone();
        loop {
            let (before, mut stuck, mut parts) = (left.len(), Vec::new(), vec![left]);
            while let Some(part) = parts.pop() {
                let some = transaction.transaction().await?;
                match some.execute(&self.sql.delete_these, &[&self.key, &part, &self.user_id]).await {
                    Ok(_) => some.commit().await?,
                    Err(error) if sqlstate::contradiction(&error) == Some(Contradiction::Reference) => {
                        some.rollback().await?;
                        match part.split_at_checked(part.len() / 2) {
                            Some((first, second)) if !first.is_empty() => {
                                parts.extend([first.to_vec(), second.to_vec()]);
                            }
                            Some(_) | None => stuck.extend(part),
                        }
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            // What referred to one of these may have gone since.
            left = stuck;
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        wall::leave(&transaction).await?;
        let erased = ids.len() - left.len();
        receipts::add_rows(&transaction, receipt, table, i64::try_from(erased).unwrap_or(i64::MAX)).await?;
        transaction.commit().await?;
        Ok((ids, erased))
    }

    fn ids(
        &self,
        rows: Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>,
    ) -> Result<Vec<Uuid>, tokio_postgres::Error> {
        rows?.iter().map(|row| row.try_get(0)).collect()
    }
}
