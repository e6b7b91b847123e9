//! `ctx.config` and `ctx.secrets`: what operators set, read anew by each question.

use rowgate_schema_dsl::diagnostic::nearest;
use serde_json::json;
use tokio_postgres::types::{ToSql, Type};

use crate::db::transaction::{Isolation, Open, Own};
use crate::error::{Code, Failure};
use crate::gateway::handler::operation::{Asking, Unanswered};
use crate::gateway::handler::question::{NIL, Question, refused, unreadable};
use crate::record::values::{CONFIG, SECRET};
use crate::vault::{Label, Sealed, VaultError};

const NAME_BYTES_MAX: usize = 63;
/// What stands for a secret where it may not be read.
const REDACTED: &str = "[redacted]";

impl Asking<'_> {
    /// Answers `ctx.config.get(name)`.
    pub(super) async fn config(&self, arguments: &[u8], open: Option<&mut Open<'_>>) -> Result<Vec<u8>, Unanswered> {
        let name = Question::read(arguments, "ctx.config.get(name)")?.key(0, NAME_BYTES_MAX)?;
        let rows = self.named(CONFIG, &name, open).await?;
        let Some(row) = rows.first() else { return Ok(NIL) };
        let value: Option<String> = row.try_get(0).map_err(|error| unreadable(&error))?;
        let is_secret: bool = row.try_get(1).map_err(|error| unreadable(&error))?;
        match (value, is_secret) {
            (Some(value), _) => Ok(value.into_bytes()),
            (None, true) => Ok(json!(REDACTED).to_string().into_bytes()),
            (None, false) => Ok(NIL),
        }
    }

    /// Answers `ctx.secrets.get(name)`.
    pub(super) async fn secret(&self, arguments: &[u8]) -> Result<Vec<u8>, Unanswered> {
        let name = Question::read(arguments, "ctx.secrets.get(name)")?.key(0, NAME_BYTES_MAX)?;
        let install = &self.found.install;
        let declared = &install.extension.model.extension.secrets;
        if !declared.contains(&name) {
            let hint = match nearest(&name, declared.iter().map(String::as_str)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "add it to `secrets` of `extension.json`".to_owned(),
            };
            return Err(refused("secret_not_declared", format!("the extension has no secret `{name}`; {hint}")));
        }
        let vault = &self.gateway.vault;
        if !vault.has_key() {
            return Err(refused("secrets_unavailable", "this gateway keeps no secrets; ask who runs it"));
        }
        let rows = self.named(SECRET, &name, None).await?;
        let Some(row) = rows.first() else { return Ok(NIL) };
        let unread = |error| unreadable(&error);
        let is_installs: bool = row.try_get(0).map_err(unread)?;
        let sealed = Sealed { key_mark: row.try_get(1).map_err(unread)?, bytes: row.try_get(2).map_err(unread)? };
        let owner = if is_installs { install.id } else { install.extension.id };
        match vault.open(Label { owner, name: &name }, &sealed) {
            Ok(value) => Ok(json!(value.reveal()).to_string().into_bytes()),
            Err(error @ (VaultError::NoKey | VaultError::OtherKey | VaultError::Damaged | VaultError::NoRandom)) => {
                let detail = "a secret cannot be opened by this gateway";
                Err(Unanswered::Over(Failure::new(Code::SecretsUnavailable, detail).with_log(error.to_string())))
            }
        }
    }

    async fn named(
        &self,
        sql: &'static str,
        name: &str,
        open: Option<&mut Open<'_>>,
    ) -> Result<Vec<tokio_postgres::Row>, Unanswered> {
        let install = &self.found.install;
        let parameters: [(&(dyn ToSql + Sync), Type); 3] =
            [(&install.extension.id, Type::UUID), (&install.id, Type::UUID), (&name, Type::TEXT)];
        let [rows] = self.own(open, Isolation::Snapshot, [Own { sql, parameters: &parameters }]).await?;
        Ok(rows)
    }
}
