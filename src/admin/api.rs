//! `/admin/v1`: extensions and keys, for operators; installs and values are files of their own.

use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{delete, get, post};
use rowgate_schema_dsl::definition::Role;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use uuid::Uuid;

use crate::admin::{Admin, deploys, installs, json_response, limits, openapi, page, plan, seen, simulate, values};
use crate::auth::key;
use crate::db::pool;
use crate::error::{Code, Failure};
use crate::http::request_id::RequestId;
use crate::registry::{AdminKey, Snapshot};
use crate::{problem, record};

/// What an operator calls a key.
const KEY_NAME_CHARS_MAX: usize = 200;

/// The endpoints, each behind an operator's key.
pub fn router(admin: Admin) -> Router<Admin> {
    Router::new()
        .route("/extensions", get(extensions))
        .route("/keys", post(mint))
        .route("/keys/{id}", delete(revoke))
        .merge(installs::router())
        .merge(limits::router())
        .merge(simulate::router())
        .merge(plan::router())
        .merge(values::router())
        .merge(seen::router())
        .merge(deploys::router())
        .merge(openapi::router())
        .layer(from_fn_with_state(admin, authorized))
}

/// Whose key a request came with, for what is recorded of it.
#[derive(Debug, Clone)]
pub(super) struct Operator(pub(super) String);

async fn authorized(State(admin): State<Admin>, mut request: Request, next: Next) -> Response<Body> {
    let snapshot = admin.gateway.snapshot();
    let verified = presented(&snapshot, &request);
    match verified {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            next.run(request).await
        }
        Err(failure) => {
            let id = RequestId::of(request.headers());
            let mut response = problem::response(&failure, request.uri().path(), id.as_str());
            if !request.body().is_end_stream() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            id.on(response)
        }
    }
}

/// Whose key a request came with: in its header, or else in the session of the page.
fn presented(snapshot: &Snapshot, request: &Request) -> Result<Operator, Failure> {
    let mut given = request.headers().get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    match (given.next(), given.next()) {
        (Some(_), Some(_)) => {
            Err(Failure::new(Code::TokenMalformed, "expected one `Authorization` header, got several"))
        }
        (Some(authorization), None) => verified(snapshot, Some(authorization)),
        (None, _) => verified(snapshot, page::session(request.method(), request.headers()).as_deref()),
    }
}

/// Whose key `authorization` is.
pub(super) fn verified(snapshot: &Snapshot, authorization: Option<&[u8]>) -> Result<Operator, Failure> {
    key::verify_admin(authorization, &snapshot.admin_keys).and_then(must_be_good_now)
}

fn must_be_good_now(key: &AdminKey) -> Result<Operator, Failure> {
    let now_s = UNIX_EPOCH.elapsed().map_or(i64::MAX, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
    match key.expires_at_s {
        Some(expires_at_s) if expires_at_s <= now_s => {
            Err(Failure::new(Code::TokenExpired, format!("admin key `{}` expired; make a new one", key.name)))
        }
        Some(_) | None => Ok(Operator(key.name.clone())),
    }
}

async fn extensions(State(admin): State<Admin>) -> Response<Body> {
    let snapshot = admin.gateway.snapshot();
    let mut extensions: Vec<_> = snapshot.extensions.values().collect();
    extensions.sort_by_key(|extension| extension.id);
    let list: Vec<_> = extensions
        .into_iter()
        .map(|extension| {
            let mut functions: Vec<_> = extension.functions.keys().collect();
            functions.sort();
            json!({ "id": extension.id, "name": extension.name, "revision": extension.revision, "functions": functions })
        })
        .collect();
    json_response(StatusCode::OK, &json!(list))
}

/// The body of `POST /admin/v1/keys`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    install_id: Uuid,
    role: Role,
    name: String,
    /// Seconds from now; without it the key lasts until revoked.
    lifetime_s: Option<u32>,
}

async fn mint(State(admin): State<Admin>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response<Body> {
    let done = async {
        let new: NewKey = read(body)?;
        let length = new.name.chars().count();
        if !(1..=KEY_NAME_CHARS_MAX).contains(&length) || new.name.contains('\0') {
            return Err(Failure::new(
                Code::ArgumentsInvalid,
                format!("expected a `name` of 1 to {KEY_NAME_CHARS_MAX} characters without U+0000"),
            ));
        }
        if !admin.gateway.snapshot().installs.contains_key(&new.install_id) {
            return Err(Failure::new(Code::ArgumentsInvalid, "there is no install with this `install_id`"));
        }
        let (text, hash) = key::mint_key()?;
        let expires_at =
            new.lifetime_s.map(|seconds| std::time::SystemTime::now() + std::time::Duration::from_secs(seconds.into()));
        let key = record::ApiKey {
            id: Uuid::now_v7(),
            hash,
            install_id: new.install_id,
            role: new.role,
            name: new.name,
            expires_at,
        };
        let client = pool::take(&admin.pool).await?;
        record::insert_api_key(&**client, &key).await.map_err(|error| not_written(&error))?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        // The one time the key itself is shown: only its hash is kept.
        Ok(json!({ "id": key.id, "key": text, "install_id": key.install_id, "role": key.role, "name": key.name }))
    };
    respond(StatusCode::CREATED, "/admin/v1/keys", &headers, done.await)
}

async fn revoke(
    State(admin): State<Admin>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Response<Body> {
    let done = async {
        let id = id.ok().and_then(|Path(id)| Uuid::try_parse(&id).ok());
        let id = id.ok_or_else(|| Failure::new(Code::ArgumentsInvalid, "the key's id is not a UUID"))?;
        let client = pool::take(&admin.pool).await?;
        let revoked = record::revoke_api_key(&**client, id).await.map_err(|error| not_written(&error))?;
        drop(client);
        admin.gateway.reload(&admin.pool).await?;
        if revoked {
            Ok(json!({ "id": id }))
        } else {
            Err(Failure::new(Code::RowNotFound, "there is no key with this id"))
        }
    };
    respond(StatusCode::OK, "/admin/v1/keys", &headers, done.await)
}

pub(super) fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Failure> {
    let body = body.map_err(|rejection| {
        if let BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) = rejection {
            Failure::new(Code::BodyTooLarge, "the body is larger than the admin endpoints take")
        } else {
            Failure::new(Code::BodyMalformed, "the body ended before its announced length")
        }
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::new(Code::ArgumentsInvalid, format!("the body cannot be used: {error}")))
}

pub(super) fn not_written(error: &impl std::error::Error) -> Failure {
    Failure::new(Code::DatabaseUnavailable, "the change could not be written").with_log(error.to_string())
}

pub(super) fn respond(
    status: StatusCode,
    instance: &str,
    headers: &HeaderMap,
    done: Result<serde_json::Value, Failure>,
) -> Response<Body> {
    match done {
        Ok(body) => json_response(status, &body),
        Err(failure) => {
            let id = RequestId::of(headers);
            tracing::warn!(
                code = failure.code.as_str(),
                reason = failure.log.as_deref().unwrap_or_default(),
                "an admin call failed"
            );
            id.on(problem::response(&failure, instance, id.as_str()))
        }
    }
}
