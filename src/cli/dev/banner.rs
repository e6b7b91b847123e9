//! What `rowgate dev` prints when it is ready: what runs where, what can be called, lines to paste.

use std::path::Path;

use rowgate_schema_dsl::definition::Role;
use serde_json::Value;

use crate::cli::bundle::Loaded;
use crate::cli::check::functions;
use crate::cli::output::{Style, shell_word};
use crate::cli::own_name;
use crate::cli::sample::{self, Sample};
use crate::cli::state::{DATA_DIR, Running};
use crate::config::LimitMode;

/// What there is to tell.
pub(super) struct Facts<'a> {
    pub(super) running: &'a Running,
    pub(super) loaded: &'a Loaded,
    pub(super) revision: i64,
    pub(super) limits: LimitMode,
    pub(super) folder: &'a Path,
    pub(super) data_dir: &'a Path,
    /// Of the private server.
    pub(super) postgres_version: Option<&'a str>,
}

pub(super) fn banner(facts: &Facts) -> String {
    let style = Style::of_stdout();
    let running = facts.running;
    let extension = &facts.loaded.definition.extension;
    let limits = match facts.limits {
        LimitMode::Enforce => "enforced; --limits off lifts them",
        LimitMode::Shadow => "only counted",
        LimitMode::Off => "off",
    };
    let postgres = match facts.postgres_version {
        Some(version) => format!("private PostgreSQL {version}, data in {}", facts.data_dir.display()),
        None => "as DATABASE_URL says".to_owned(),
    };
    let mut text = format!(
        "\n{} {}\n\n",
        style.good("serving"),
        style.strong(&format!("{} {}", extension.name, extension.version))
    );
    for (what, value) in [
        ("functions", functions_url(running)),
        ("admin", format!("{}/livez /readyz /metrics /admin/v1", running.admin_url)),
        ("admin key", running.admin_key.clone()),
        ("postgres", postgres),
        ("limits", limits.to_owned()),
        ("bundle", format!("{}, revision {}; an edit is served at once", facts.folder.display(), facts.revision)),
    ] {
        text.push_str(&fact(&style, what, &value));
    }
    if !facts.loaded.model.handlers.is_empty() {
        let logs = format!("{} logs -f{}", own_name(), data_dir_option(facts.data_dir));
        text.push_str(&fact(&style, "handlers", &format!("{logs} prints what they log, and why they fail")));
    }
    text.push_str(&format!("\n{}\n", style.strong("functions: name, kind, table, who may call")));
    text.push_str(&functions(facts.loaded));
    let samples = [sample::read(&facts.loaded.model), sample::write(&facts.loaded.model)];
    if samples.iter().any(Option::is_some) {
        text.push_str(&format!("\n{}\n", style.strong("try")));
    }
    for sample in samples.iter().flatten() {
        text.push_str(&curl(running, sample));
        text.push_str(&call(facts.data_dir, sample));
    }
    text.push_str(&format!("\n{}\n", style.faint("ctrl-c stops; rows stay for the next time")));
    text
}

fn fact(style: &Style, what: &str, value: &str) -> String {
    format!("  {} {value}\n", style.faint(&format!("{what:10}")))
}

/// Where functions are called; a function's name follows.
pub(super) fn functions_url(running: &Running) -> String {
    format!("{}/v1/extension-functions/{}/", running.url, running.install_id)
}

fn curl(running: &Running, sample: &Sample) -> String {
    let body = Value::Object(sample.arguments.clone()).to_string();
    format!(
        "\n  curl -sS -w '\\n' {}{} -H 'Content-Type: application/json' -H 'Authorization: Bearer {}' -d {}\n",
        functions_url(running),
        sample.function,
        running.tokens.of(caller(sample)),
        shell_quoted(&body),
    )
}

fn call(data_dir: &Path, sample: &Sample) -> String {
    let mut line = format!("  {} call {}", own_name(), sample.function);
    if !sample.arguments.is_empty() {
        let body = Value::Object(sample.arguments.clone()).to_string();
        line.push_str(&format!(" {}", shell_quoted(&body)));
    }
    line.push_str(&format!(" --as {}", caller(sample).as_str()));
    line.push_str(&data_dir_option(data_dir));
    line.push('\n');
    line
}

/// What a command needs to find this gateway, unless that is where it looks anyway.
fn data_dir_option(data_dir: &Path) -> String {
    if data_dir == Path::new(DATA_DIR) {
        return String::new();
    }
    format!(" --data-dir {}", shell_word(&data_dir.display().to_string()))
}

/// The least role that may call and is somebody, as `identity` may want.
fn caller(sample: &Sample) -> Role {
    sample.access.max(Role::Viewer)
}

/// Always quoted, which reads better for JSON.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
