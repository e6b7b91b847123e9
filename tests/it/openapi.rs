//! The admin API's own description, held against the router and against what is really answered.

use std::collections::BTreeSet;
use std::path::Path;

use rowgate::auth::key;
use rowgate::config::Hidden;
use rowgate::record::{self, AdminKey};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::support::gateway::{Answer, TestGateway, answer, document};

/// Everything that a JSON Schema of the document says, as far as it says it; where it does not hold.
fn misfits(all: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Value::Object(says) = schema else { return };
    let fits = |schema: &Value| {
        let mut found = Vec::new();
        misfits(all, schema, value, at, &mut found);
        found.is_empty()
    };
    for (keyword, of) in says {
        let is_well = match keyword.as_str() {
            "$ref" => {
                let name = of.as_str().unwrap().strip_prefix('#').unwrap();
                misfits(all, all.pointer(name).unwrap_or_else(|| panic!("{name} is not there")), value, at, found);
                true
            }
            "type" => match of {
                Value::Array(types) => types.iter().any(|of| is_of(value, of.as_str().unwrap())),
                of => is_of(value, of.as_str().unwrap()),
            },
            "enum" => of.as_array().unwrap().contains(value),
            "const" => of == value,
            "anyOf" => of.as_array().unwrap().iter().any(fits),
            "oneOf" => of.as_array().unwrap().iter().filter(|of| fits(of)).count() == 1,
            "allOf" => of.as_array().unwrap().iter().all(fits),
            "minimum" => value.as_f64().is_none_or(|value| value >= of.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= of.as_f64().unwrap()),
            "required" => value.as_object().is_none_or(|members| {
                of.as_array().unwrap().iter().all(|name| members.contains_key(name.as_str().unwrap()))
            }),
            "format" => match (of.as_str().unwrap(), value.as_str()) {
                ("uuid", Some(text)) => Uuid::try_parse(text).is_ok(),
                ("date-time", Some(text)) => text.parse::<jiff::Timestamp>().is_ok(),
                _ => true,
            },
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    misfits(all, of, item, &format!("{at}/{place}"), found);
                }
                true
            }
            "properties" => {
                for (name, of) in of.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        misfits(all, of, member, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = says.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
                for (name, member) in
                    value.as_object().into_iter().flatten().filter(|(name, _)| !known.contains_key(*name))
                {
                    match of {
                        Value::Bool(false) => found.push(format!("{at}/{name} is not described")),
                        of => misfits(all, of, member, &format!("{at}/{name}"), found),
                    }
                }
                true
            }
            "description" | "title" | "default" | "examples" | "uniqueItems" | "maxLength" | "minLength" => true,
            other => panic!("`{other}` is not known here"),
        };
        if !is_well {
            found.push(format!("{at}: {value} is not `{keyword}` {of}"));
        }
    }
}

fn is_of(value: &Value, of: &str) -> bool {
    match of {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("{other} is no type"),
    }
}

/// The routes below `/admin/v1`, as its files name them.
fn routes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".rs") || ["mod.rs", "page.rs"].contains(&name) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for route in text.split(".route(\"").skip(1) {
            let (path, rest) = route.split_once('"').unwrap();
            let methods = &rest[..rest.find("\n").unwrap()];
            for method in ["get", "post", "put", "delete"] {
                if [format!(" {method}("), format!(").{method}(")].iter().any(|call| methods.contains(call.as_str())) {
                    found.insert(format!("{method} /admin/v1{path}"));
                }
            }
        }
    }
    found
}

/// A gateway, and everything that was asked of it.
struct Held {
    test: TestGateway,
    key: String,
    document: Value,
    asked: BTreeSet<String>,
}

impl Held {
    /// Asks, with what is in `{}` of the path told apart, and holds both ways to the document.
    async fn ask(&mut self, method: &str, path: &str, within: &[&str], query: &str, body: Option<Value>) -> Value {
        let mut concrete = path.to_owned();
        for part in within {
            let (from, to) = (concrete.find('{').unwrap(), concrete.find('}').unwrap());
            concrete.replace_range(from..=to, part);
        }
        let url = format!("http://{}/admin/v1{concrete}{query}", self.test.server.admin_address);
        let request = self.test.http.request(method.to_uppercase().parse().unwrap(), url).bearer_auth(&self.key);
        let request = if let Some(body) = &body { request.json(body) } else { request };
        let given = answer(request).await;
        let operation = self.document["paths"][format!("/admin/v1{path}")][method].clone();
        assert!(operation.is_object(), "{method} {path} is not described");
        let expected = operation["responses"].as_object().unwrap();
        let (status, content) = expected.iter().find(|(status, _)| *status != "default").unwrap();
        assert_eq!(given.status.to_string(), *status, "{method} {path}: {}", given.text);
        if let Some(body) = body {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            self.must_fit(schema, &body, &format!("what {method} {path} is asked"));
        }
        for name in query.trim_start_matches('?').split('&').filter_map(|pair| Some(pair.split_once('=')?.0)) {
            let named = |parameter: &Value| parameter["name"] == name && parameter["in"] == "query";
            assert!(operation["parameters"].as_array().unwrap().iter().any(named), "{method} {path}: `{name}`");
        }
        let content = content["content"].as_object().unwrap();
        let (media_type, schema) = content.iter().next().unwrap();
        assert_eq!(given.headers["content-type"], *media_type);
        let lines = given.text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mut last = Value::Null;
        for line in lines {
            self.must_fit(&schema["schema"], &line, &format!("what {method} {path} answers"));
            last = line;
        }
        self.asked.insert(format!("{method} /admin/v1{path}"));
        last
    }

    #[track_caller]
    fn must_fit(&self, schema: &Value, value: &Value, what: &str) {
        assert!(schema.is_object(), "{what} has no JSON Schema");
        let mut found = Vec::new();
        misfits(&self.document, schema, value, "", &mut found);
        assert!(found.is_empty(), "{what}: {found:#?}\n{value}");
    }
}

fn written() -> Value {
    let mut document = document(
        json!({ "notes": { "columns": { "text": { "type": "string" } }, "owned": true, "rows": 100 } }),
        json!({
            "add": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "list": { "kind": "queryRows", "table": "notes", "limit": 10 },
        }),
    );
    document["extension"]["secrets"] = json!(["API_KEY"]);
    document["handlers"] = json!({ "say": { "kind": "query" } });
    let source =
        "return { say = query({ handler = function(ctx) ctx.log.warn('a line', { n = 1 }) return true end }) }";
    document["sources"] = json!({ "functions": source });
    document
}

async fn held() -> Held {
    let test = TestGateway::with(&written(), |config| {
        config.secrets.key = Some(Hidden::new("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()));
    })
    .await;
    let (key, hash) = key::mint_admin_key().unwrap();
    let record = AdminKey { id: Uuid::now_v7(), hash, name: "alice".to_owned(), expires_at: None };
    record::insert_admin_key(&test.database.client().await, &record).await.unwrap();
    test.server.reload().await.unwrap();
    let url = format!("http://{}/admin/v1/openapi.json", test.server.admin_address);
    let document = answer(test.http.get(url).bearer_auth(&key)).await.ok();
    Held { test, key, document, asked: BTreeSet::new() }
}

fn described(document: &Value) -> BTreeSet<String> {
    let methods = |(path, methods): (&String, &Value)| {
        let methods: &Map<String, Value> = methods.as_object().unwrap();
        methods.keys().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(methods).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_described_and_answers_as_it_is() {
    let mut held = held().await;
    assert_eq!(described(&held.document), routes(), "what is described is what the router has");
    let extension = held.test.extension_id.to_string();
    let (extension, of_extension) = (extension.as_str(), format!("?extension_id={extension}"));
    held.test.call("add", json!({ "text": "a" })).await.ok();
    held.test.call("say", json!({})).await.ok();
    held.test.server.gateway.metrics.remember([]);

    held.ask("get", "/openapi.json", &[], "", None).await;
    held.ask("get", "/extensions", &[], "", None).await;
    let mut next = written();
    next["extension"]["version"] = json!("1.1.0");
    next["tables"]["notes"]["columns"]["more"] = json!({ "type": "string", "optional": true });
    let planned = held.ask("post", "/plan", &[], "", Some(json!({ "definition": next }))).await;
    assert_eq!(planned["is_pending"], true);
    let applied = held.ask("post", "/apply", &[], "", Some(json!({ "definition": next, "allow_scan": [] }))).await;
    assert_eq!(
        (&applied["applied"]["revision"], &applied["applied"]["name"]),
        (&json!(2), &json!("test")),
        "{applied}"
    );
    let value = "UPDATE ext_0b2f6a3e_5d1c_4f7a_8e90_1a2b3c4d5e6f.notes SET more = 'a value'";
    held.test.database.superuser().await.execute(value, &[]).await.unwrap();
    let refused = held.ask("post", "/extensions/{id}/rollback", &[extension], "", Some(json!({}))).await;
    let complaint = &refused["refused"]["complaints"][0];
    assert!(complaint["message"].as_str().unwrap().contains("more"), "{refused}");
    let allowed = json!({ "to": 1, "allow": ["deletes-data:notes.more"] });
    let back = held.ask("post", "/extensions/{id}/rollback", &[extension], "", Some(allowed)).await;
    assert_eq!((&back["applied"]["revision"], &back["applied"]["former"]), (&json!(3), &json!(1)), "{back}");
    let again = held.ask("post", "/apply", &[], "", Some(json!({ "definition": written() }))).await;
    assert_eq!(again["applied"]["changed"], false, "{again}");
    let unknown = json!({ "definition": written(), "allow_scan": ["nothing"] });
    assert_eq!(held.ask("post", "/apply", &[], "", Some(unknown)).await["failed"]["code"], "arguments_invalid");
    held.ask("get", "/extensions/{id}/revisions", &[extension], "", None).await;
    held.ask("get", "/extensions/{id}/functions/{name}", &[extension, "list"], "", None).await;

    let new = json!({ "extension_id": extension, "account_id": Uuid::now_v7(), "overlay_id": null, "plan": "pro" });
    let made = held.ask("post", "/installs", &[], "", Some(new)).await;
    let install = made["id"].as_str().unwrap();
    let of_install = format!("?install_id={install}");
    held.ask("get", "/installs", &[], &of_extension, None).await;
    held.ask("get", "/installs/{id}", &[install], "", None).await;
    held.ask("post", "/installs/{id}/plan", &[install], "", Some(json!({ "plan": null }))).await;
    held.ask("post", "/installs/{id}/pin", &[install], "", Some(json!({ "revision": 3 }))).await;
    held.ask("post", "/installs/{id}/unpin", &[install], "", None).await;
    let minted = json!({ "install_id": install, "role": "editor", "name": "a program", "lifetime_s": 60 });
    let minted = held.ask("post", "/keys", &[], "", Some(minted)).await;
    held.ask("delete", "/keys/{id}", &[minted["id"].as_str().unwrap()], "", None).await;

    let secret = json!({ "install_id": install, "value": "planted" });
    held.ask("put", "/secrets/{name}", &["API_KEY"], "", Some(secret)).await;
    held.ask("get", "/secrets", &[], &of_install, None).await;
    held.ask("delete", "/secrets/{name}", &["API_KEY"], &of_install, None).await;
    let value = json!({ "extension_id": extension, "value": { "a": [1, null] } });
    held.ask("put", "/config/{name}", &["GREETING"], "", Some(value)).await;
    held.ask("get", "/config", &[], &of_extension, None).await;
    held.ask("delete", "/config/{name}", &["GREETING"], &of_extension, None).await;

    let own = json!({ "layer": "function", "extension_id": extension, "function": "list", "per_minute": 5, "mode": "shadow" });
    held.ask("put", "/limits", &[], "", Some(own)).await;
    let other = json!({ "layer": "caller", "caller": "token", "class": "query", "per_minute": 9, "burst": 3 });
    held.ask("put", "/limits", &[], "", Some(other.clone())).await;
    held.ask("get", "/limits", &[], "", None).await;
    held.ask("get", "/limits/in-force", &[], &of_install, None).await;
    let simulated = json!({ "overrides": [other], "since_s": 3600, "fit": 99 });
    held.ask("post", "/limits/simulate", &[], "", Some(simulated)).await;
    held.ask("delete", "/limits", &[], "?layer=caller&caller=token&class=query", None).await;
    held.ask("get", "/limits/history", &[], "?before=1000000", None).await;

    held.ask("get", "/traffic", &[], "?minutes=5", None).await;
    held.ask("get", "/functions", &[], "", None).await;
    let of_first = format!("?install_id={}&after=0", held.test.install.id);
    held.ask("get", "/lines", &[], &of_first, None).await;

    held.ask("post", "/installs/{id}/uninstall", &[install], "", Some(json!({ "now": false }))).await;
    held.ask("post", "/installs/{id}/reinstall", &[install], "", None).await;
    let erased = json!({ "user_id": "user-owner", "extension_id": extension, "dry_run": false });
    held.ask("post", "/users/erase", &[], "", Some(erased)).await;
    held.ask("get", "/receipts", &[], &of_extension, None).await;
    let mut other = document(json!({ "notes": { "columns": { "text": { "type": "string" } }, "rows": 9 } }), json!({}));
    let removed = Uuid::now_v7().to_string();
    other["extension"] = json!({ "id": removed, "name": "other", "version": "1.0.0" });
    held.ask("post", "/apply", &[], "", Some(json!({ "definition": other }))).await;
    held.ask("delete", "/extensions/{id}", &[&removed], "?name=other", None).await;
    assert_eq!(held.asked, described(&held.document), "each was asked");

    for (path, status) in [("/installs/x", 422), ("/limits?no=1", 422), ("/nothing", 404)] {
        let url = format!("http://{}/admin/v1{path}", held.test.server.admin_address);
        let refused: Answer = answer(held.test.http.get(url).bearer_auth(&held.key)).await;
        assert_eq!(refused.problem().0, status);
        held.must_fit(&json!({ "$ref": "#/components/schemas/Problem" }), &refused.json(), path);
    }
    let wrong = json!({ "definition": { "rowgate": 1 } });
    let url = format!("http://{}/admin/v1/apply", held.test.server.admin_address);
    let refused = answer(held.test.http.post(url).bearer_auth(&held.key).json(&wrong)).await;
    assert_eq!(refused.problem(), (422, "arguments_invalid".to_owned()));
    assert!(!refused.json()["errors"].as_array().unwrap().is_empty(), "{}", refused.text);
}
