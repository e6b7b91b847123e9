//! `POST /admin/v1/plan`: what a deploy would do to the tables behind this gateway.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::read::read as read_definition;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::admin::api::{read, respond};
use crate::db::pool;
use crate::deploy::apply::{ApplyError, Scans, Terms};
use crate::deploy::plan::plan;
use crate::error::{Code, Failure};
use crate::registry::recall;

const PATH: &str = "/admin/v1/plan";

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/plan", post(planned))
}

/// The body of `POST /admin/v1/plan`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The definition document, as `rowgate check --json` prints it.
    definition: Value,
    /// What may become of values, by name.
    #[serde(default)]
    allow: BTreeSet<String>,
}

async fn planned(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let asked: Asked = read(body)?;
        let (definition, mut diagnostics) = read_definition(&asked.definition);
        let model = if diagnostics.is_empty() { check(&definition) } else { Err(std::mem::take(&mut diagnostics)) };
        let model = model.map_err(|diagnostics| {
            let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
            Failure::new(Code::ArgumentsInvalid, format!("the definition is not sound: {first}"))
        })?;
        // What a function costs is told where it is written.
        let terms = Terms { scans: Scans::Uncertified, allowed: asked.allow, ..Terms::of(&admin.gateway.config) };
        let mut client = pool::take(&admin.pool).await?;
        let planned = plan(&mut client, &definition, &model, recall, &terms).await.map_err(|error| match error {
            ApplyError::Busy { .. } => Failure::new(Code::DatabaseBusy, error.to_string()),
            other => {
                Failure::new(Code::DatabaseUnavailable, "the tables could not be looked at").with_log(other.to_string())
            }
        })?;
        Ok(json!(planned))
    };
    respond(StatusCode::OK, PATH, &headers, done.await)
}
