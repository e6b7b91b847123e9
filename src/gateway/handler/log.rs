//! `ctx.log`: a line that a handler wrote, with the install, the function and the line it is from.

use serde_json::Value;

use crate::gateway::handler::FoundHandler;
use crate::gateway::handler::operation::Asking;

/// Characters of a line that a handler logs.
const LOG_CHARACTERS_MAX: usize = 2_000;

impl Asking<'_> {
    /// Keeps a line of level `level`.
    pub(super) fn log(&self, level: &str, arguments: &[u8]) {
        log(self.found, self.call.function, level, arguments);
    }
}

fn log(found: &FoundHandler, function: &str, level: &str, arguments: &[u8]) {
    let given: Vec<Value> = serde_json::from_slice(arguments).unwrap_or_default();
    let shown = |value: Option<&Value>| -> String {
        let text = match value {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        text.chars().take(LOG_CHARACTERS_MAX).collect()
    };
    let (file, line) = (shown(given.first()), shown(given.get(1)));
    let (message, attributes) = (shown(given.get(2)), shown(given.get(3)));
    let install = found.install.id;
    match level {
        "error" => tracing::error!(target: "rowgate::handler", %install, function, file, line, attributes, "{message}"),
        "warn" => tracing::warn!(target: "rowgate::handler", %install, function, file, line, attributes, "{message}"),
        _ => tracing::info!(target: "rowgate::handler", %install, function, file, line, attributes, "{message}"),
    }
}
