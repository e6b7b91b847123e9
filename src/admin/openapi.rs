//! `GET /admin/v1/openapi.json`: the admin API as OpenAPI 3.1.
//!
//! What is asked is described by the types that read it, what is answered by those that are written as they
//! are, and by [`answers`] where an answer is put together. A test holds all of it against the router and
//! against what is really answered.

mod answers;

use axum::Router;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::routing::get;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::admin::deploys::{Apply, Rollback};
use crate::admin::installs::{EraseUser, NewInstall, Pin, Plan, Uninstall};
use crate::admin::openapi::answers::{any, id, list, text};
use crate::admin::simulate::Asked as Simulated;
use crate::admin::values::NewValue;
use crate::admin::{Admin, api, json_response, plan};
use crate::deploy::plan::Planned;
use crate::limit::overrides::Override;

const JSON: &str = "application/json";

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/openapi.json", get(document))
}

async fn document() -> Response<Body> {
    json_response(StatusCode::OK, &openapi())
}

/// The document, made anew: nobody asks for it often.
fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut book = Book { schemas: settings.into_generator(), paths: Map::new() };
    let uuid = || id();
    let number = || json!({ "type": "integer" });
    book.get("/extensions", "What is deployed", &[], list("Extension"));
    let name = ("name", text(), true);
    book.delete("/extensions/{id}", "Removes an extension that has no installs", &[name], of("Receipt"));
    book.get("/extensions/{id}/revisions", "What was ever deployed of an extension", &[], list("Revision"));
    book.get("/extensions/{id}/functions/{name}", "A function's statements and their plans", &[], of("Explained"));
    book.post::<Rollback>("/extensions/{id}/rollback", "Deploys a former revision again", 200, of("Told"));
    book.post::<Apply>("/apply", "Deploys a definition, and tells as it goes", 200, of("Told"));
    let planned = book.schemas.subschema_for::<Planned>().to_value();
    book.post::<plan::Asked>("/plan", "What a deploy would do", 200, planned);
    let which = [("extension_id", uuid(), false), ("after", uuid(), false)];
    book.get("/installs", "Installs by id, 1,000 at most", &which, list("Install"));
    book.post::<NewInstall>("/installs", "Installs an extension", 201, of("Install"));
    book.get("/installs/{id}", "One install", &[], of("Install"));
    book.post::<Uninstall>("/installs/{id}/uninstall", "Refuses its calls from now on", 200, of("Install"));
    book.act("/installs/{id}/reinstall", "Brings it back as it was", of("Install"));
    book.post::<Pin>("/installs/{id}/pin", "Pins it to a revision", 200, of("Install"));
    book.act("/installs/{id}/unpin", "Unpins it", of("Install"));
    book.post::<Plan>("/installs/{id}/plan", "Says which plan its limits go by", 200, of("Install"));
    let which = [("install_id", uuid(), false), ("extension_id", uuid(), false)];
    book.get("/receipts", "What was erased, the latest 1,000", &which, list("Receipt"));
    book.post::<EraseUser>("/users/erase", "Counts or erases what a user owns", 200, list("Erased"));
    book.post::<api::NewKey>("/keys", "Makes an API key, shown this once", 201, of("MadeKey"));
    book.delete("/keys/{id}", "Revokes an API key", &[], of("Gone"));
    book.limits();
    let whose = [("install_id", uuid(), false), ("extension_id", uuid(), false)];
    book.get("/secrets", "Which secrets are set; never a value", &whose, list("Secret"));
    book.put::<NewValue<String>>("/secrets/{name}", "Sets a secret", of("Named"));
    book.delete("/secrets/{name}", "Unsets a secret", &whose, of("Unset"));
    book.get("/config", "Configuration values", &whose, list("ConfigurationValue"));
    book.put::<NewValue<Value>>("/config/{name}", "Sets a configuration value", of("Named"));
    book.delete("/config/{name}", "Unsets a configuration value", &whose, of("Unset"));
    let minutes = json!({ "type": "integer", "minimum": 1, "maximum": 360, "default": 60 });
    book.get("/traffic", "What calls came to over time", &[("minutes", minutes, false)], of("Traffic"));
    book.get("/functions", "What functions took since the gateway started", &[], of("FunctionsUsed"));
    let which = [("install_id", uuid(), false), ("after", number(), false)];
    book.get("/lines", "What handlers logged", &which, list("Line"));
    book.get("/openapi.json", "This document", &[], any());
    book.finish()
}

/// What is documented so far.
struct Book {
    schemas: SchemaGenerator,
    paths: Map<String, Value>,
}

/// A parameter of the query: its name, its JSON Schema, and whether it must be given.
type Parameter = (&'static str, Value, bool);

impl Book {
    fn limits(&mut self) {
        let report = self.schemas.subschema_for::<crate::limit::simulate::Report>().to_value();
        let fitted = self.schemas.subschema_for::<crate::limit::simulate::Fitted>().to_value();
        let in_force = self.schemas.subschema_for::<crate::limit::resolve::InForce>().to_value();
        let own = self.schemas.subschema_for::<Override>().to_value();
        let conditions = ["layer", "class", "install_id", "extension_id", "function", "plan", "caller"];
        let conditions = conditions.map(|name| (name, text(), name == "layer"));
        self.get("/limits", "The configured limits and the overrides", &[], of("Limits"));
        self.put::<Override>("/limits", "Sets an override", own.clone());
        self.delete("/limits", "Unsets the override with exactly these conditions", &conditions, own);
        let in_force = answers::in_force(&in_force);
        self.get("/limits/in-force", "What an install is held to", &[("install_id", id(), true)], in_force);
        let before = ("before", json!({ "type": "integer" }), false);
        self.get("/limits/history", "Who changed what, the newest 1,000 first", &[before], list("LimitChange"));
        let simulated = answers::simulated(&report, &fitted);
        self.post::<Simulated>("/limits/simulate", "Recorded calls held to other limits", 200, simulated);
    }

    fn get(&mut self, path: &'static str, summary: &str, query: &[Parameter], answer: Value) {
        self.add("get", path, summary, query, None, (200, answer));
    }

    fn delete(&mut self, path: &'static str, summary: &str, query: &[Parameter], answer: Value) {
        self.add("delete", path, summary, query, None, (200, answer));
    }

    /// A POST that says nothing but where it goes.
    fn act(&mut self, path: &'static str, summary: &str, answer: Value) {
        self.add("post", path, summary, &[], None, (200, answer));
    }

    fn post<T: JsonSchema>(&mut self, path: &'static str, summary: &str, status: u16, answer: Value) {
        let body = self.schemas.subschema_for::<T>().to_value();
        self.add("post", path, summary, &[], Some(body), (status, answer));
    }

    fn put<T: JsonSchema>(&mut self, path: &'static str, summary: &str, answer: Value) {
        let body = self.schemas.subschema_for::<T>().to_value();
        self.add("put", path, summary, &[], Some(body), (200, answer));
    }

    fn add(
        &mut self,
        method: &'static str,
        path: &'static str,
        summary: &str,
        query: &[Parameter],
        body: Option<Value>,
        (status, answer): (u16, Value),
    ) {
        // A deploy is told line by line.
        let media_type = if answer == of("Told") { "application/x-ndjson" } else { JSON };
        let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = in_path
            .map(|name| {
                let schema = if name == "id" { id() } else { text() };
                json!({ "name": name, "in": "path", "required": true, "schema": schema })
            })
            .collect();
        parameters.extend(query.iter().map(
            |(name, schema, required)| json!({ "name": name, "in": "query", "required": required, "schema": schema }),
        ));
        let mut operation = json!({
            "summary": summary,
            "parameters": parameters,
            "responses": {
                status.to_string(): { "description": summary, "content": { media_type: { "schema": answer } } },
                "default": {
                    "description": "Why not",
                    "content": { "application/problem+json": { "schema": of("Problem") } },
                },
            },
        });
        if let (Some(body), Value::Object(members)) = (body, &mut operation) {
            let body = json!({ "required": true, "content": { JSON: { "schema": body } } });
            members.insert("requestBody".to_owned(), body);
        }
        let methods = self.paths.entry(format!("/admin/v1{path}")).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            methods.insert(method.to_owned(), operation);
        }
    }

    fn finish(mut self) -> Value {
        let mut schemas = answers::schemas();
        schemas.extend(self.schemas.take_definitions(true));
        json!({
            "openapi": "3.1.0",
            "info": { "title": "rowgate, the admin API", "version": env!("CARGO_PKG_VERSION") },
            "security": [{ "key": [] }, { "session": [] }],
            "paths": self.paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "key": { "type": "http", "scheme": "bearer", "description": "An operator's key, `rga_…`" },
                    "session": {
                        "type": "apiKey", "in": "cookie", "name": "rowgate_admin",
                        "description": "Of the operators' page; what changes something must come from its origin",
                    },
                },
            },
        })
    }
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}
