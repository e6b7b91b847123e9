//! `POST /admin/v1/plan`: what a deploy would do to the tables behind this gateway.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read as read_definition;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::admin::api::{read, respond};
use crate::db::pool;
use crate::deploy::apply::{ApplyError, Scans, Terms};
use crate::deploy::certify::CertifyError;
use crate::deploy::plan::plan;
use crate::error::{Code, Complaint, Failure};
use crate::registry::recall;

const PATH: &str = "/admin/v1/plan";

/// A definition with all of its sources, as JSON.
pub(super) const DEFINITION_BYTES_MAX: usize = 16 << 20;

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/plan", post(planned).layer(DefaultBodyLimit::max(DEFINITION_BYTES_MAX)))
}

/// The body of `POST /admin/v1/plan`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The definition document, as `rowgate check --json` prints it.
    definition: Value,
    /// What may become of values, by name.
    #[serde(default)]
    allow: BTreeSet<String>,
    /// Functions that may read or sort a whole scope; where this is left out, none is certified.
    allow_scan: Option<BTreeSet<String>>,
}

async fn planned(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let asked: Asked = read(body)?;
        let (definition, model) = checked(&asked.definition)?;
        // What a function costs is told where it is written, unless it is asked.
        let scans = asked.allow_scan.map_or(Scans::Uncertified, Scans::Only);
        let terms = Terms { scans, allowed: asked.allow, ..Terms::of(&admin.gateway.config) };
        let mut client = pool::take(&admin.pool).await?;
        let planned = plan(&mut client, &definition, &model, recall, &terms).await.map_err(|error| match error {
            ApplyError::Busy { .. } => Failure::new(Code::DatabaseBusy, error.to_string()),
            ApplyError::Certify(CertifyError::UnknownFunction { .. }) => {
                Failure::new(Code::ArgumentsInvalid, error.to_string())
            }
            other => {
                Failure::new(Code::DatabaseUnavailable, "the tables could not be looked at").with_log(other.to_string())
            }
        })?;
        Ok(json!(planned))
    };
    respond(StatusCode::OK, PATH, &headers, done.await)
}

/// The definition that a document is, with its model; or everything that is wrong with it.
pub(super) fn checked(document: &Value) -> Result<(Definition, Model), Failure> {
    let (definition, diagnostics) = read_definition(document);
    let model = if diagnostics.is_empty() { check(&definition) } else { Err(diagnostics) };
    let model = model.map_err(|diagnostics| {
        let first = diagnostics.first().map(ToString::to_string).unwrap_or_default();
        let complaint = |of: Diagnostic| Complaint { pointer: of.pointer, code: of.code, message: of.message };
        Failure::new(Code::ArgumentsInvalid, format!("the definition is not sound: {first}"))
            .with_complaints(diagnostics.into_iter().map(complaint).collect())
    })?;
    Ok((definition, model))
}
