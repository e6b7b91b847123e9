//! `ctx.log`, and what is kept of a handler that fails: lines of its install, with the request, the
//! function and the line they are from. They are the author's, and none of the gateway's own log.

use std::time::{Instant, SystemTime};

use serde_json::Value;

use crate::error::{Code, Failure};
use crate::gateway::handler::FoundHandler;
use crate::gateway::handler::operation::Asking;
use crate::gateway::{Call, Gateway, Reply};
use crate::record::lines::Line;

/// Characters of a message, and of its attributes, that are kept.
const LOG_CHARACTERS_MAX: usize = 2_000;

impl Asking<'_> {
    /// Keeps a line of level `level`.
    pub(super) fn log(&self, level: &str, arguments: &[u8]) {
        let given: Vec<Value> = serde_json::from_slice(arguments).unwrap_or_default();
        let line = Line {
            file: given.first().and_then(Value::as_str).map(str::to_owned),
            line: given.get(1).and_then(Value::as_i64).and_then(|line| i32::try_from(line).ok()),
            attributes: given.get(3).filter(|value| !value.is_null()).map(|value| cut(&value.to_string())),
            ..line(self.call, level, &shown(given.get(2)))
        };
        self.gateway.lines.push(line);
    }
}

/// Counts what became of a call of a handler, and keeps why it failed.
pub(in crate::gateway) fn count(
    gateway: &Gateway,
    call: &Call<'_>,
    found: &FoundHandler,
    reply: &mut Reply,
    began: Instant,
) {
    match &mut reply.result {
        Ok(_) => {
            found.install.traffic.answered();
            found.handler.metrics.succeeded(began.elapsed());
        }
        Err(failure) => {
            failed(gateway, call, failure);
            gateway.metrics.terminate(failure.code);
            found.install.traffic.failed(failure.code);
            found.handler.metrics.failed(failure.code, began.elapsed());
        }
    }
}

impl Asking<'_> {
    /// Keeps a line of the gateway's own, at no place of the script.
    pub(super) fn log_line(&self, level: &str, message: &str) {
        self.gateway.lines.push(line(self.call, level, message));
    }
}

/// Keeps why a call of a handler failed, where that is not what the handler meant to say; what the
/// author wrote is taken out of `failure`.
fn failed(gateway: &Gateway, call: &Call<'_>, failure: &mut Failure) {
    let is_the_scripts = matches!(
        failure.code,
        Code::HandlerFailed
            | Code::HandlerAnswerInvalid
            | Code::ScriptTimeExceeded
            | Code::ScriptCpuExceeded
            | Code::ScriptRowsExceeded
            | Code::ScriptAnswerTooLarge
            | Code::ScriptMemoryExceeded
            | Code::ScriptHostCallsExceeded
    );
    if is_the_scripts {
        let why = failure.log.take().unwrap_or_default();
        gateway.lines.push(line(call, "error", format!("{}\n{why}", failure.detail).trim_end()));
    }
}

fn line(call: &Call<'_>, level: &str, message: &str) -> Line {
    Line {
        install_id: call.install_id,
        at: SystemTime::now(),
        request_id: call.request_id.map(str::to_owned),
        function: call.function.to_owned(),
        level: level.to_owned(),
        file: None,
        line: None,
        message: cut(message),
        attributes: None,
    }
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// No longer than is kept, and without what Postgres takes into no text.
fn cut(text: &str) -> String {
    text.chars().filter(|character| *character != '\0').take(LOG_CHARACTERS_MAX).collect()
}
