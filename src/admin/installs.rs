//! `/admin/v1/installs` and what becomes of them: uninstalled, brought back, pinned, erased with a receipt; and
//! extensions that nobody has installed, removed.

use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Extension, Router};
use rowgate_schema_dsl::diagnostic::Diagnostic;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::admin::Admin;
use crate::admin::api::{Operator, not_written, read, respond};
use crate::db::pool;
use crate::error::{Code, Complaint, Failure};
use crate::lifecycle::pin::{PinError, pin};
use crate::lifecycle::remove::{RemoveError, remove_extension};
use crate::lifecycle::user::{self, UserError};
use crate::limit::overrides::plan_complaint;
use crate::record;
use crate::record::installs::{self, Life, Listed, Which};
use crate::record::limits;
use crate::record::receipts::{self, Receipt};

const INSTALLS: &str = "/admin/v1/installs";
const RECEIPTS: &str = "/admin/v1/receipts";
const EXTENSIONS: &str = "/admin/v1/extensions";

pub(super) fn router() -> Router<Admin> {
    Router::new()
        .route("/installs", get(list).post(install))
        .route("/installs/{id}", get(show))
        .route("/installs/{id}/uninstall", post(uninstall))
        .route("/installs/{id}/reinstall", post(reinstall))
        .route("/installs/{id}/pin", post(pin_to))
        .route("/installs/{id}/unpin", post(unpin))
        .route("/installs/{id}/plan", post(plan))
        .route("/receipts", get(list_receipts))
        .route("/users/erase", post(erase))
        .route("/extensions/{id}", delete(remove))
}

async fn list(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let [extension_id, after] = ids(asked.as_deref(), ["extension_id", "after"])?;
        let client = pool::take(&admin.pool).await?;
        let listed = installs::list(&**client, Which { id: None, extension_id, after }).await;
        Ok(Value::Array(listed.map_err(|error| not_read(&error))?.iter().map(document).collect()))
    };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

/// The body of `POST /admin/v1/installs`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInstall {
    extension_id: Uuid,
    account_id: Uuid,
    overlay_id: Option<Uuid>,
    plan: Option<String>,
}

async fn install(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let new: NewInstall = read(body)?;
        must_be_a_plan(new.plan.as_deref())?;
        if !admin.gateway.snapshot().extensions.contains_key(&new.extension_id) {
            return Err(Failure::new(Code::ArgumentsInvalid, "there is no extension with this `extension_id`"));
        }
        let install = record::Install {
            id: Uuid::now_v7(),
            extension_id: new.extension_id,
            account_id: new.account_id,
            overlay_id: new.overlay_id,
            disabled: false,
        };
        let client = pool::take(&admin.pool).await?;
        record::insert_install(&**client, &install).await.map_err(|error| not_written(&error))?;
        if new.plan.is_some() {
            let set = limits::set_plan(&**client, install.id, new.plan.as_deref(), &by).await;
            set.map_err(|error| not_written(&error))?;
        }
        let listed = installs::one(&**client, install.id).await.map_err(|error| not_read(&error))?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        Ok(document(&listed.ok_or_else(unknown)?))
    };
    respond(StatusCode::CREATED, INSTALLS, &headers, done.await)
}

async fn show(
    State(admin): State<Admin>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Response<Body> {
    let done = async {
        let id = install_id(id)?;
        let client = pool::take(&admin.pool).await?;
        let listed = installs::one(&**client, id).await.map_err(|error| not_read(&error))?;
        Ok(document(&listed.ok_or_else(unknown)?))
    };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

/// The body of `POST /admin/v1/installs/{id}/uninstall`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Uninstall {
    /// Whether the rows go at once, and are not kept for a while.
    #[serde(default)]
    now: bool,
}

async fn uninstall(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let id = install_id(id)?;
        let is_empty = body.as_ref().is_ok_and(|body| body.is_empty());
        let Uninstall { now } = if is_empty { Uninstall { now: false } } else { read(body)? };
        let kept_days = admin.gateway.config.installs.uninstalled_kept_days;
        let client = pool::take(&admin.pool).await?;
        let was_there = installs::uninstall(&**client, id, &by, if now { 0 } else { kept_days }).await;
        let mut is_done = was_there.map_err(|error| not_written(&error))?;
        if now && !is_done {
            is_done = installs::erase_now(&**client, id, &by).await.map_err(|error| not_written(&error))?;
        }
        let listed = installs::one(&**client, id).await.map_err(|error| not_read(&error))?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        let listed = listed.ok_or_else(unknown)?;
        if !is_done {
            return Err(Failure::new(Code::StateConflict, "the install was uninstalled before"));
        }
        if listed.erase_at.is_some_and(|at| at <= SystemTime::now()) {
            admin.erase.notify_one();
        }
        Ok(document(&listed))
    };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

async fn reinstall(
    State(admin): State<Admin>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Response<Body> {
    let done = async {
        let id = install_id(id)?;
        let client = pool::take(&admin.pool).await?;
        let is_done = installs::reinstall(&**client, id).await.map_err(|error| not_written(&error))?;
        let listed = installs::one(&**client, id).await.map_err(|error| not_read(&error))?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        let listed = listed.ok_or_else(unknown)?;
        if is_done {
            return Ok(document(&listed));
        }
        let detail = match listed.life {
            Life::Erasing | Life::Uninstalled => "the install's rows have begun to go; make a new install",
            Life::Active | Life::Disabled => "the install was not uninstalled",
        };
        Err(Failure::new(Code::StateConflict, detail))
    };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

/// The body of `POST /admin/v1/installs/{id}/pin`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pin {
    revision: i64,
}

async fn pin_to(
    State(admin): State<Admin>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let id = install_id(id)?;
        let Pin { revision } = read(body)?;
        pinned(&admin, id, Some(revision)).await
    };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

async fn unpin(
    State(admin): State<Admin>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Response<Body> {
    let done = async { pinned(&admin, install_id(id)?, None).await };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

/// The body of `POST /admin/v1/installs/{id}/plan`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// None where it is null.
    #[serde(deserialize_with = "Option::deserialize")]
    plan: Option<String>,
}

async fn plan(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let id = install_id(id)?;
        let Plan { plan } = read(body)?;
        must_be_a_plan(plan.as_deref())?;
        let client = pool::take(&admin.pool).await?;
        let is_done =
            limits::set_plan(&**client, id, plan.as_deref(), &by).await.map_err(|error| not_written(&error))?;
        let listed = installs::one(&**client, id).await.map_err(|error| not_read(&error))?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        let listed = listed.ok_or_else(unknown)?;
        if is_done {
            Ok(document(&listed))
        } else {
            Err(Failure::new(Code::StateConflict, "the install is uninstalled"))
        }
    };
    respond(StatusCode::OK, INSTALLS, &headers, done.await)
}

fn must_be_a_plan(plan: Option<&str>) -> Result<(), Failure> {
    match plan.and_then(plan_complaint) {
        Some(complaint) => Err(Failure::new(Code::ArgumentsInvalid, complaint)),
        None => Ok(()),
    }
}

/// Pins an install, or unpins it; answers how it stands then.
async fn pinned(admin: &Admin, id: Uuid, revision: Option<i64>) -> Result<Value, Failure> {
    let mut client = pool::take(&admin.pool).await?;
    pin(&mut client, id, revision).await.map_err(not_pinned)?;
    let listed = installs::one(&**client, id).await.map_err(|error| not_read(&error))?;
    drop(client);
    admin.gateway.reload(&admin.pool).await?;
    Ok(document(&listed.ok_or_else(unknown)?))
}

fn not_pinned(error: PinError) -> Failure {
    let text = error.to_string();
    match error {
        PinError::Unknown => unknown(),
        PinError::NoRevision { .. } => Failure::new(Code::ArgumentsInvalid, text),
        PinError::Uninstalled => Failure::new(Code::StateConflict, text),
        PinError::Unfit { reasons, .. } => {
            let complaint =
                |reason: Diagnostic| Complaint { pointer: reason.pointer, code: reason.code, message: reason.message };
            Failure::new(Code::StateConflict, text).with_complaints(reasons.into_iter().map(complaint).collect())
        }
        PinError::Database(_) => {
            Failure::new(Code::DatabaseUnavailable, "the install could not be pinned").with_log(text)
        }
    }
}

async fn list_receipts(State(admin): State<Admin>, headers: HeaderMap, RawQuery(asked): RawQuery) -> Response<Body> {
    let done = async {
        let [install_id, extension_id] = ids(asked.as_deref(), ["install_id", "extension_id"])?;
        let client = pool::take(&admin.pool).await?;
        let receipts = receipts::list(&**client, install_id, extension_id).await;
        Ok(Value::Array(receipts.map_err(|error| not_read(&error))?.iter().map(receipt).collect()))
    };
    respond(StatusCode::OK, RECEIPTS, &headers, done.await)
}

/// The body of `POST /admin/v1/users/erase`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseUser {
    user_id: String,
    extension_id: Option<Uuid>,
    install_id: Option<Uuid>,
    /// Whether rows are only counted.
    #[serde(default = "yes")]
    dry_run: bool,
}

fn yes() -> bool {
    true
}

async fn erase(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let EraseUser { user_id, extension_id, install_id, dry_run } = read(body)?;
        if user_id.is_empty() || user_id.contains('\0') {
            return Err(Failure::new(Code::ArgumentsInvalid, "expected a `user_id`, as tokens have it in `sub`"));
        }
        if extension_id.is_some() && install_id.is_some() {
            return Err(Failure::new(
                Code::ArgumentsInvalid,
                "expected one of `extension_id` and `install_id`, or none",
            ));
        }
        let mut client = pool::take(&admin.pool).await?;
        let which = user::Which { extension_id, install_id };
        let found = user::erase_user(&mut client, &user_id, which, &by, dry_run).await.map_err(|error| {
            let text = error.to_string();
            match error {
                UserError::NoInstall => unknown(),
                UserError::NoExtension => Failure::new(Code::ArgumentsInvalid, text),
                UserError::Recorded(_) | UserError::Database(_) => {
                    Failure::new(Code::DatabaseUnavailable, "not all rows could be erased").with_log(text)
                }
            }
        })?;
        let list = found.iter().map(|found| {
            json!({
                "extension_id": found.extension_id,
                "extension_name": found.extension_name,
                "rows": found.rows,
                "referred": found.referred,
                "receipt_id": found.receipt_id,
            })
        });
        Ok(Value::Array(list.collect()))
    };
    respond(StatusCode::OK, "/admin/v1/users/erase", &headers, done.await)
}

async fn remove(
    State(admin): State<Admin>,
    Extension(Operator(by)): Extension<Operator>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    RawQuery(asked): RawQuery,
) -> Response<Body> {
    let done = async {
        let id = id_of(id, "the extension's id is not a UUID")?;
        let [name] = texts(asked.as_deref(), ["name"])?;
        let name = name.ok_or_else(|| {
            Failure::new(Code::ArgumentsInvalid, "expected `?name=`, the extension's name, so that no other is removed")
        })?;
        let mut client = pool::take(&admin.pool).await?;
        let removed = remove_extension(&mut client, id, &name, &by).await.map_err(not_removed)?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        Ok(receipt(&removed))
    };
    respond(StatusCode::OK, EXTENSIONS, &headers, done.await)
}

fn not_removed(error: RemoveError) -> Failure {
    let text = error.to_string();
    match error {
        RemoveError::Unknown => Failure::new(Code::RowNotFound, text),
        RemoveError::OtherName { .. } => Failure::new(Code::ArgumentsInvalid, text),
        RemoveError::Installed { .. } | RemoveError::Deploying => Failure::new(Code::StateConflict, text),
        RemoveError::Wall(_) | RemoveError::Database(_) => {
            Failure::new(Code::DatabaseUnavailable, "the extension could not be removed").with_log(text)
        }
    }
}

fn document(listed: &Listed) -> Value {
    json!({
        "id": listed.install.id,
        "extension_id": listed.install.extension_id,
        "account_id": listed.install.account_id,
        "overlay_id": listed.install.overlay_id,
        "state": listed.life.as_str(),
        "created_at": time(Some(listed.created_at)),
        "uninstalled_at": time(listed.uninstalled_at),
        "uninstalled_by": listed.uninstalled_by,
        "erase_at": time(listed.erase_at),
        "pinned_revision": listed.pinned_revision,
        "plan": listed.plan,
    })
}

fn receipt(receipt: &Receipt) -> Value {
    json!({
        "id": receipt.id,
        "kind": receipt.kind,
        "extension_id": receipt.extension_id,
        "extension_name": receipt.extension_name,
        "install_id": receipt.install_id,
        "account_id": receipt.account_id,
        "overlay_id": receipt.overlay_id,
        "asked_by": receipt.asked_by,
        "asked_at": time(Some(receipt.asked_at)),
        "began_at": time(Some(receipt.began_at)),
        "finished_at": time(receipt.finished_at),
        "rows": receipt.rows,
        "own": receipt.own,
        "shared": receipt.shared,
    })
}

/// RFC 3339, or null.
pub(super) fn time(at: Option<SystemTime>) -> Option<String> {
    at.and_then(|at| jiff::Timestamp::try_from(at).ok()).map(|at| at.to_string())
}

fn install_id(id: Result<Path<String>, PathRejection>) -> Result<Uuid, Failure> {
    id_of(id, "the install's id is not a UUID")
}

pub(super) fn id_of(id: Result<Path<String>, PathRejection>, otherwise: &'static str) -> Result<Uuid, Failure> {
    let id = id.ok().and_then(|Path(id)| Uuid::try_parse(&id).ok());
    id.ok_or_else(|| Failure::new(Code::ArgumentsInvalid, otherwise))
}

/// The parameters of a query that are UUIDs; no other is known.
pub(super) fn ids<const N: usize>(query: Option<&str>, names: [&str; N]) -> Result<[Option<Uuid>; N], Failure> {
    let mut found = [None; N];
    for ((name, text), place) in names.iter().zip(texts(query, names)?).zip(&mut found) {
        let Some(text) = text else { continue };
        let id = Uuid::try_parse(&text);
        *place = Some(id.map_err(|_| Failure::new(Code::ArgumentsInvalid, format!("`{name}` is not a UUID")))?);
    }
    Ok(found)
}

/// The parameters of a query with these names; no other is known.
pub(super) fn texts<const N: usize>(query: Option<&str>, names: [&str; N]) -> Result<[Option<String>; N], Failure> {
    let mut found = [const { None }; N];
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match names.iter().position(|known| *known == name).and_then(|place| found.get_mut(place)) {
            Some(place) => *place = Some(value.into_owned()),
            None => {
                let known: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let detail = format!("the query has a parameter that is none of {}", known.join(" and "));
                return Err(Failure::new(Code::ArgumentsInvalid, detail));
            }
        }
    }
    Ok(found)
}

pub(super) fn unknown() -> Failure {
    Failure::new(Code::InstallUnknown, "there is no install with this id")
}

pub(super) fn not_read(error: &impl std::error::Error) -> Failure {
    Failure::new(Code::DatabaseUnavailable, "what is recorded could not be read").with_log(error.to_string())
}
