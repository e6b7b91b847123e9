//! JSON Schemas of answers that are put together where they are answered. Objects are closed, and have all of
//! their members but those that begin with `?` here.

use serde_json::{Map, Value, json};

pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

pub(super) fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

pub(super) fn any() -> Value {
    json!({})
}

/// An array of what the schema of this name describes.
pub(super) fn list(name: &str) -> Value {
    array(json!({ "$ref": format!("#/components/schemas/{name}") }))
}

/// What `/limits/in-force` answers.
pub(super) fn in_force(row: &Value) -> Value {
    object(vec![
        ("install_id", id()),
        ("extension_id", id()),
        ("plan", or_null(text())),
        ("in_force", array(row.clone())),
    ])
}

/// What a simulation answers.
pub(super) fn simulated(report: &Value, fitted: &Value) -> Value {
    let fit = object(vec![
        ("percent", count()),
        ("quotas", array(fitted.clone())),
        ("limits", json!({ "$ref": "#/components/schemas/Configured" })),
        ("report", report.clone()),
    ]);
    object(vec![("report", report.clone()), ("?fit", fit)])
}

/// By name, sorted as they are written here.
pub(super) fn schemas() -> Map<String, Value> {
    let mut all = deployed();
    all.extend(kept());
    all.extend(limited());
    all.extend(seen());
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn deployed() -> Vec<(&'static str, Value)> {
    let complaint =
        object(vec![("code", text()), ("pointer", text()), ("?place", any()), ("message", text()), ("?hint", text())]);
    let told = [
        ("by_hand", complaint.clone()),
        ("step", object(vec![("phase", one_of(&["prepare", "swap", "finish"])), ("subject", text())])),
        (
            "applied",
            object(vec![
                ("extension_id", id()),
                ("name", text()),
                ("revision", count()),
                ("changed", flag()),
                ("statements", array(text())),
                ("former", or_null(count())),
            ]),
        ),
        ("refused", object(vec![("unfinished_revision", or_null(count())), ("complaints", array(complaint))])),
        ("failed", object(vec![("code", text()), ("detail", text())])),
    ];
    let told: Vec<Value> = told.into_iter().map(|(name, schema)| object(vec![(name, schema)])).collect();
    vec![
        (
            "Extension",
            object(vec![("id", id()), ("name", text()), ("revision", count()), ("functions", array(text()))]),
        ),
        (
            "Revision",
            object(vec![
                ("revision", count()),
                ("is_current", flag()),
                ("created_at", time()),
                ("version", text()),
                ("statements", array(text())),
            ]),
        ),
        (
            "Explained",
            object(vec![
                ("extension_id", id()),
                ("function", text()),
                ("kind", text()),
                (
                    "statements",
                    array(object(vec![
                        ("step", or_null(text())),
                        ("given", array(text())),
                        ("sql", text()),
                        ("plan", array(text())),
                    ])),
                ),
            ]),
        ),
        ("Told", json!({ "description": "One line; the last is `applied`, `refused` or `failed`", "oneOf": told })),
    ]
}

fn kept() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Install",
            object(vec![
                ("id", id()),
                ("extension_id", id()),
                ("account_id", id()),
                ("overlay_id", or_null(id())),
                ("state", one_of(&["active", "disabled", "uninstalled", "erasing"])),
                ("created_at", time()),
                ("uninstalled_at", or_null(time())),
                ("uninstalled_by", or_null(text())),
                ("erase_at", or_null(time())),
                ("pinned_revision", or_null(count())),
                ("plan", or_null(text())),
            ]),
        ),
        (
            "Receipt",
            object(vec![
                ("id", id()),
                ("kind", one_of(&["install", "user", "extension"])),
                ("extension_id", id()),
                ("extension_name", text()),
                ("install_id", or_null(id())),
                ("account_id", or_null(id())),
                ("overlay_id", or_null(id())),
                ("asked_by", text()),
                ("asked_at", time()),
                ("began_at", time()),
                ("finished_at", or_null(time())),
                ("rows", by_name(count())),
                ("own", by_name(count())),
                ("shared", array(text())),
            ]),
        ),
        (
            "Erased",
            object(vec![
                ("extension_id", id()),
                ("extension_name", text()),
                ("rows", by_name(count())),
                ("referred", by_name(count())),
                ("receipt_id", or_null(id())),
            ]),
        ),
        (
            "MadeKey",
            object(vec![
                ("id", id()),
                ("key", text()),
                ("install_id", id()),
                ("role", one_of(&["anonymous", "viewer", "editor", "owner"])),
                ("name", text()),
            ]),
        ),
        ("Gone", object(vec![("id", id())])),
        (
            "Secret",
            object(vec![("name", text()), ("is_set", flag()), ("updated_at", or_null(time())), ("declared", flag())]),
        ),
        ("ConfigurationValue", object(vec![("name", text()), ("value", any()), ("updated_at", time())])),
        ("Named", object(vec![("name", text()), ("install_id", or_null(id())), ("extension_id", id())])),
        ("Unset", object(vec![("name", text())])),
    ]
}

fn limited() -> Vec<(&'static str, Value)> {
    let quota = || object(vec![("per_minute", count()), ("burst", or_null(count()))]);
    let classes = || {
        let names = ["query_rows", "write_rows", "query", "mutation", "action"];
        object(names.map(|name| (name, quota())).to_vec())
    };
    let mut overrides = vec![("layer", one_of(&["caller", "function", "install", "extension"]))];
    overrides.extend(["?class", "?function", "?plan", "?caller", "?mode"].map(|name| (name, text())));
    overrides.extend(["?install_id", "?extension_id"].map(|name| (name, id())));
    overrides.extend(["?per_minute", "?burst"].map(|name| (name, count())));
    overrides.extend([("changed_at", time()), ("changed_by", text())]);
    let overrides = array(object(overrides));
    vec![
        (
            "Configured",
            object(vec![
                ("mode", one_of(&["enforce", "shadow", "off"])),
                ("caller", classes()),
                ("install", classes()),
                ("extension", classes()),
            ]),
        ),
        (
            "Limits",
            object(vec![
                ("configured", json!({ "$ref": "#/components/schemas/Configured" })),
                ("overrides", overrides),
            ]),
        ),
        (
            "LimitChange",
            object(vec![("id", count()), ("at", time()), ("by", text()), ("before", any()), ("after", any())]),
        ),
    ]
}

fn seen() -> Vec<(&'static str, Value)> {
    let tally = || {
        let kinds = ["answered", "limited", "refused", "failed"];
        object(kinds.map(|name| (name, count())).to_vec())
    };
    let mut used: Vec<(&'static str, Value)> =
        vec![("extension_id", id()), ("extension", or_null(text())), ("function", text()), ("kind", text())];
    let counts = ["calls", "answered", "limited", "refused", "failed", "script_cpu_ms", "stopped"];
    used.extend(counts.map(|name| (name, count())));
    used.extend([("mean_ms", real()), ("p99_ms", or_null(real())), ("stopped_by", by_name(count()))]);
    let point = object(vec![("at", time()), ("extensions", by_name(tally())), ("installs", by_name(tally()))]);
    vec![
        ("Traffic", object(vec![("node", text()), ("step_s", count()), ("points", array(point))])),
        ("FunctionsUsed", object(vec![("node", text()), ("functions", array(object(used)))])),
        (
            "Line",
            object(vec![
                ("number", count()),
                ("at", time()),
                ("install_id", id()),
                ("function", text()),
                ("level", one_of(&["debug", "info", "warn", "error"])),
                ("request_id", or_null(text())),
                ("file", or_null(text())),
                ("line", or_null(count())),
                ("message", text()),
                ("attributes", or_null(text())),
            ]),
        ),
        (
            "Problem",
            json!({
                "type": "object",
                "description": "RFC 9457; `code` is stable",
                "properties": {
                    "type": text(), "title": text(), "status": count(), "detail": text(), "instance": text(),
                    "code": text(), "request_id": text(),
                    "errors": array(object(vec![("pointer", text()), ("code", text()), ("message", text())])),
                },
                "required": ["type", "title", "status", "detail", "instance", "code", "request_id"],
            }),
        ),
    ]
}

fn object(members: Vec<(&str, Value)>) -> Value {
    let named = |name: &str| name.trim_start_matches('?').to_owned();
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('?')).collect();
    let required = json!(required);
    let properties: Map<String, Value> = members.into_iter().map(|(name, schema)| (named(name), schema)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn array(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn by_name(of: Value) -> Value {
    json!({ "type": "object", "additionalProperties": of })
}

fn or_null(of: Value) -> Value {
    json!({ "anyOf": [of, { "type": "null" }] })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn real() -> Value {
    json!({ "type": "number" })
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}
