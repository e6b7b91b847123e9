//! `ctx.kv`: the store of the install, in the handler's transaction where it has one.

use serde::Deserialize;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::db::transaction::{Isolation, Open, Own};
use crate::gateway::handler::operation::{Asking, Unanswered};
use crate::gateway::handler::question::{NIL, Question, misused, refused, unreadable};
use crate::record::kv::{DELETE, GET, KEY_BYTES_MAX, KEYS_MAX, LIST, PUT, PUT_NEW, PUT_OVER, VALUE_BYTES_MAX};

const PUT_USAGE: &str = "ctx.kv.put(key, value, { version = n })";
const DELETE_USAGE: &str = "ctx.kv.delete(key, { version = n })";
const LIST_USAGE: &str = "ctx.kv.list({ prefix = text, after = key, limit = n })";

/// Keys of one list unless it says.
const LIST_KEYS: u32 = 100;

/// What a write asks of what is there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct If {
    /// 0 is no such key.
    version: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

impl Asking<'_> {
    /// Answers `ctx.kv.{member}`.
    pub(super) async fn kv(
        &self,
        member: &str,
        arguments: &[u8],
        open: Option<&mut Open<'_>>,
    ) -> Result<Vec<u8>, Unanswered> {
        match member {
            "get" | "entry" => self.look_up(member, arguments, open).await,
            "put" => self.put(arguments, open).await,
            "delete" => self.delete(arguments, open).await,
            _ => self.list(arguments, open).await,
        }
    }

    async fn look_up(
        &self,
        member: &str,
        arguments: &[u8],
        open: Option<&mut Open<'_>>,
    ) -> Result<Vec<u8>, Unanswered> {
        let key = Question::read(arguments, "ctx.kv.get(key)")?.key(0, KEY_BYTES_MAX)?;
        let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&self.found.install.id, Type::UUID), (&key, Type::TEXT)];
        let [rows] = self.own(open, Isolation::Snapshot, [Own { sql: GET, parameters: &parameters }]).await?;
        let Some(row) = rows.first() else { return Ok(NIL) };
        let value: String = row.try_get(0).map_err(|error| unreadable(&error))?;
        if member == "get" {
            return Ok(value.into_bytes());
        }
        let version: i64 = row.try_get(1).map_err(|error| unreadable(&error))?;
        Ok(format!(r#"{{"value":{value},"version":{version}}}"#).into_bytes())
    }

    async fn put(&self, arguments: &[u8], open: Option<&mut Open<'_>>) -> Result<Vec<u8>, Unanswered> {
        let question = Question::read(arguments, PUT_USAGE)?;
        let key = question.key(0, KEY_BYTES_MAX)?;
        let value = question.value(1)?;
        let expected = question.options::<If>(2)?.version;
        if value.len() > VALUE_BYTES_MAX {
            let message = format!("the value has {} bytes as JSON; at most {VALUE_BYTES_MAX} are kept", value.len());
            return Err(refused("value_too_large", message));
        }
        let (sql, last) = match expected {
            None => (PUT, KEYS_MAX),
            Some(0) => (PUT_NEW, KEYS_MAX),
            Some(version) => (PUT_OVER, i64::from(version)),
        };
        let install = &self.found.install.id;
        let key_of: [(&(dyn ToSql + Sync), Type); 2] = [(install, Type::UUID), (&key, Type::TEXT)];
        let parameters: [(&(dyn ToSql + Sync), Type); 4] =
            [(install, Type::UUID), (&key, Type::TEXT), (&value, Type::TEXT), (&last, Type::INT8)];
        // What was there tells why nothing was written.
        let look = Own { sql: GET, parameters: &key_of };
        let [before, written] =
            self.own(open, Isolation::Serializable, [look, Own { sql, parameters: &parameters }]).await?;
        match (version_of(&written, 0)?, version_of(&before, 1)?) {
            (Some(version), _) => Ok(version.to_string().into_bytes()),
            (None, Some(version)) => Err(mismatch(&key, Some(version))),
            (None, None) if expected.is_some_and(|expected| expected > 0) => Err(mismatch(&key, None)),
            (None, None) => {
                Err(refused("kv_full", format!("the store of the install holds {KEYS_MAX} keys; delete some first")))
            }
        }
    }

    async fn delete(&self, arguments: &[u8], open: Option<&mut Open<'_>>) -> Result<Vec<u8>, Unanswered> {
        let question = Question::read(arguments, DELETE_USAGE)?;
        let key = question.key(0, KEY_BYTES_MAX)?;
        let expected = question.options::<If>(1)?.version.map(i64::from);
        let install = &self.found.install.id;
        let key_of: [(&(dyn ToSql + Sync), Type); 2] = [(install, Type::UUID), (&key, Type::TEXT)];
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(install, Type::UUID), (&key, Type::TEXT), (&expected, Type::INT8)];
        let look = Own { sql: GET, parameters: &key_of };
        let delete = Own { sql: DELETE, parameters: &parameters };
        let [before, deleted] = self.own(open, Isolation::Serializable, [look, delete]).await?;
        match (deleted.is_empty(), version_of(&before, 1)?) {
            (false, _) => Ok(b"true".to_vec()),
            (true, None) if expected.is_none() => Ok(b"false".to_vec()),
            (true, before) => Err(mismatch(&key, before)),
        }
    }

    async fn list(&self, arguments: &[u8], open: Option<&mut Open<'_>>) -> Result<Vec<u8>, Unanswered> {
        let Listed { prefix, after, limit } = Question::read(arguments, LIST_USAGE)?.options(0)?;
        let limit = i64::from(limit.unwrap_or(LIST_KEYS));
        if !(1..=KEYS_MAX).contains(&limit) || prefix.contains('\0') || after.contains('\0') {
            return Err(misused("ctx.kv.list({ prefix = text, after = key, limit = 1000 })"));
        }
        let parameters: [(&(dyn ToSql + Sync), Type); 4] =
            [(&self.found.install.id, Type::UUID), (&prefix, Type::TEXT), (&after, Type::TEXT), (&limit, Type::INT8)];
        let [rows] = self.own(open, Isolation::Snapshot, [Own { sql: LIST, parameters: &parameters }]).await?;
        let mut list = Vec::with_capacity(rows.len());
        for row in &rows {
            let key: &str = row.try_get(0).map_err(|error| unreadable(&error))?;
            let version: i64 = row.try_get(1).map_err(|error| unreadable(&error))?;
            list.push(json!({ "key": key, "version": version }));
        }
        Ok(serde_json::Value::Array(list).to_string().into_bytes())
    }
}

/// The version in column `column` of the first row.
fn version_of(rows: &[Row], column: usize) -> Result<Option<i64>, Unanswered> {
    rows.first().map(|row| row.try_get(column)).transpose().map_err(|error| unreadable(&error))
}

fn mismatch(key: &str, version: Option<i64>) -> Unanswered {
    let shown: String = key.chars().take(64).collect();
    let is = version.map_or_else(|| "is not there".to_owned(), |version| format!("is in version {version}"));
    refused("version_mismatch", format!("`{shown}` {is}"))
}
