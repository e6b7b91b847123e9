//! `/admin/v1/secrets` and `/admin/v1/config`: values that operators set for an install, or for an
//! extension and so for all of its installs. A secret goes in and never comes out.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{get, put};
use rowgate_schema_dsl::check::outside::is_name;
use rowgate_schema_dsl::diagnostic::nearest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::admin::Admin;
use crate::admin::api::{not_written, respond};
use crate::config::Hidden;
use crate::db::pool;
use crate::error::{Code, Failure};
use crate::record::values::{self, Owner, SealedSecret, Set};
use crate::registry::Extension;
use crate::vault::{Label, SECRET_BYTES_MAX, VaultError};

/// Bytes of a configuration value as JSON.
const CONFIG_BYTES_MAX: usize = 64 << 10;

const SECRETS: &str = "/admin/v1/secrets";
const CONFIG: &str = "/admin/v1/config";

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/secrets", get(secrets))
        .route("/secrets/{name}", put(set_secret).delete(unset_secret))
        .route("/config", get(config))
        .route("/config/{name}", put(set_config).delete(unset_config))
}

/// Whose value: one of the two.
#[derive(Debug, Clone, Copy)]
struct Of {
    install_id: Option<Uuid>,
    extension_id: Option<Uuid>,
}

/// The body that sets a value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewValue<T> {
    install_id: Option<Uuid>,
    extension_id: Option<Uuid>,
    value: T,
}

async fn secrets(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let (owner, extension) = owner(&admin, asked_of(asked.as_deref())?)?;
        let client = pool::take(&admin.pool).await?;
        let set = values::secrets(&**client, owner).await.map_err(|error| not_read(&error))?;
        let declared = &extension.model.extension.secrets;
        let is_set = |name: &str| set.iter().find(|set| set.name == name);
        let not_declared = set.iter().map(|set| &set.name).filter(|name| !declared.contains(name));
        let list = declared.iter().chain(not_declared).map(|name| {
            let at = is_set(name).map(time);
            json!({ "name": name, "is_set": at.is_some(), "updated_at": at, "declared": declared.contains(name) })
        });
        Ok(Value::Array(list.collect()))
    };
    respond(StatusCode::OK, SECRETS, &headers, done.await)
}

async fn set_secret(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let new: NewValue<Hidden> = read(body, "an object with `value`, a text, and `install_id` or `extension_id`")?;
        let (owner, extension) = owner(&admin, Of { install_id: new.install_id, extension_id: new.extension_id })?;
        must_be_declared(&extension, &name)?;
        let length = new.value.reveal().len();
        if !(1..=SECRET_BYTES_MAX).contains(&length) {
            let detail = format!("the value has {length} bytes; expected 1 to {SECRET_BYTES_MAX}");
            return Err(Failure::new(Code::ArgumentsInvalid, detail));
        }
        let label = Label { owner: owner.install_id.unwrap_or(owner.extension_id), name: &name };
        let sealed = admin.gateway.vault.seal(label, &new.value).map_err(|error| not_sealed(&error))?;
        let secret = SealedSecret { key_mark: &sealed.key_mark, sealed: &sealed.bytes };
        let client = pool::take(&admin.pool).await?;
        values::set_secret(&**client, owner, &name, secret).await.map_err(|error| not_written(&error))?;
        Ok(json!({ "name": name, "install_id": owner.install_id, "extension_id": owner.extension_id }))
    };
    respond(StatusCode::OK, SECRETS, &headers, done.await)
}

async fn unset_secret(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Path(name): Path<String>,
    RawQuery(asked): RawQuery,
) -> Response<Body> {
    let done = async {
        let (owner, _) = owner(&admin, asked_of(asked.as_deref())?)?;
        let client = pool::take(&admin.pool).await?;
        let was_set = values::unset_secret(&**client, owner, &name).await.map_err(|error| not_written(&error))?;
        unset(was_set, &name)
    };
    respond(StatusCode::OK, SECRETS, &headers, done.await)
}

async fn config(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let (owner, _) = owner(&admin, asked_of(asked.as_deref())?)?;
        let client = pool::take(&admin.pool).await?;
        let set = values::config(&**client, owner).await.map_err(|error| not_read(&error))?;
        let list = set.iter().map(|set| {
            let value: Value =
                set.value.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            json!({ "name": set.name, "value": value, "updated_at": time(set) })
        });
        Ok(Value::Array(list.collect()))
    };
    respond(StatusCode::OK, CONFIG, &headers, done.await)
}

async fn set_config(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let new: NewValue<Value> = read(body, "an object with `value` and `install_id` or `extension_id`")?;
        let (owner, _) = owner(&admin, Of { install_id: new.install_id, extension_id: new.extension_id })?;
        if !is_name(&name) {
            let detail = "expected a name: a letter, then letters, digits or `_`, at most 63 of them";
            return Err(Failure::new(Code::ArgumentsInvalid, detail));
        }
        let text = new.value.to_string();
        if text.len() > CONFIG_BYTES_MAX {
            let detail = format!("the value has {} bytes as JSON; at most {CONFIG_BYTES_MAX} are kept", text.len());
            return Err(Failure::new(Code::ArgumentsInvalid, detail));
        }
        let client = pool::take(&admin.pool).await?;
        values::set_config(&**client, owner, &name, &text).await.map_err(|error| not_written(&error))?;
        Ok(json!({ "name": name, "install_id": owner.install_id, "extension_id": owner.extension_id }))
    };
    respond(StatusCode::OK, CONFIG, &headers, done.await)
}

async fn unset_config(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Path(name): Path<String>,
    RawQuery(asked): RawQuery,
) -> Response<Body> {
    let done = async {
        let (owner, _) = owner(&admin, asked_of(asked.as_deref())?)?;
        let client = pool::take(&admin.pool).await?;
        let was_set = values::unset_config(&**client, owner, &name).await.map_err(|error| not_written(&error))?;
        unset(was_set, &name)
    };
    respond(StatusCode::OK, CONFIG, &headers, done.await)
}

/// A body that is wrong is not quoted: it may hold a secret.
fn read<T: for<'de> Deserialize<'de>>(body: Result<Bytes, BytesRejection>, expected: &str) -> Result<T, Failure> {
    let wrong = || Failure::new(Code::ArgumentsInvalid, format!("the body cannot be used; expected {expected}"));
    serde_json::from_slice(&body.map_err(|_| wrong())?).map_err(|_| wrong())
}

/// `?install_id=…` or `?extension_id=…`.
fn asked_of(query: Option<&str>) -> Result<Of, Failure> {
    let wrong = || Failure::new(Code::ArgumentsInvalid, "expected `?install_id=` or `?extension_id=` and a UUID");
    let (name, id) = query.and_then(|query| query.split_once('=')).ok_or_else(wrong)?;
    let id = Some(Uuid::try_parse(id).map_err(|_| wrong())?);
    match name {
        "install_id" => Ok(Of { install_id: id, extension_id: None }),
        "extension_id" => Ok(Of { install_id: None, extension_id: id }),
        _ => Err(wrong()),
    }
}

fn owner(admin: &Admin, of: Of) -> Result<(Owner, std::sync::Arc<Extension>), Failure> {
    let snapshot = admin.gateway.snapshot();
    let invalid = |detail| Failure::new(Code::ArgumentsInvalid, detail);
    match (of.install_id, of.extension_id) {
        (Some(id), None) => {
            let install =
                snapshot.installs.get(&id).ok_or_else(|| invalid("there is no install with this `install_id`"))?;
            let owner = Owner { extension_id: install.extension.id, install_id: Some(id) };
            Ok((owner, install.extension.clone()))
        }
        (None, Some(id)) => {
            let extension = snapshot.extensions.get(&id);
            let extension = extension.ok_or_else(|| invalid("there is no extension with this `extension_id`"))?;
            Ok((Owner { extension_id: id, install_id: None }, extension.clone()))
        }
        (None, None) | (Some(_), Some(_)) => Err(invalid("expected one of `install_id` and `extension_id`")),
    }
}

fn must_be_declared(extension: &Extension, name: &str) -> Result<(), Failure> {
    let declared = &extension.model.extension.secrets;
    if declared.iter().any(|declared| declared == name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let hint = match nearest(name, declared.iter().map(String::as_str)) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => "; add it to `secrets` of its `extension.json` and deploy that".to_owned(),
    };
    Err(Failure::new(Code::ArgumentsInvalid, format!("the extension has no secret `{shown}`{hint}")))
}

fn unset(was_set: bool, name: &str) -> Result<Value, Failure> {
    if was_set {
        return Ok(json!({ "name": name }));
    }
    Err(Failure::new(Code::RowNotFound, "no value of this name is set"))
}

fn time(set: &Set) -> String {
    jiff::Timestamp::try_from(set.updated_at).map(|time| time.to_string()).unwrap_or_default()
}

fn not_sealed(error: &VaultError) -> Failure {
    Failure::new(Code::SecretsUnavailable, error.to_string())
}

fn not_read(error: &impl std::error::Error) -> Failure {
    Failure::new(Code::DatabaseUnavailable, "the values could not be read").with_log(error.to_string())
}
