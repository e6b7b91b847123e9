//! `ctx.fetch(url, options)`: a request to the world outside, through the guarded client.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::fetch::{Answer, Request};
use crate::gateway::handler::operation::{Asking, Unanswered};
use crate::gateway::handler::question::{Question, misused, refused};

const USAGE: &str = "ctx.fetch(url, { method = \"POST\", headers = { … }, query = { … }, body = text })";
const INVALID: &str = "fetch_request_invalid";

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    #[serde(default)]
    method: String,
    #[serde(default)]
    headers: IndexMap<String, String>,
    /// Texts, numbers and booleans.
    #[serde(default)]
    query: IndexMap<String, Value>,
    body: Option<String>,
    /// A body of any bytes.
    body_base64: Option<String>,
    /// A value that is sent as JSON.
    json: Option<Box<RawValue>>,
    /// Whether the answer's body is given as base64.
    #[serde(default)]
    binary: bool,
    /// `follow` or `manual`.
    redirect: Option<String>,
    timeout_ms: Option<u32>,
}

impl Asking<'_> {
    pub(super) async fn fetch(&self, arguments: &[u8]) -> Result<Vec<u8>, Unanswered> {
        let question = Question::read(arguments, USAGE)?;
        let url = question.at(0).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        let url = url.ok_or_else(|| misused(USAGE))?;
        let options: Options = question.options(1)?;
        let binary = options.binary;
        let request = options.request(url)?;
        let calls_max = self.gateway.config.fetch.calls_max;
        if self.fetches.fetch_add(1, Ordering::Relaxed) >= calls_max {
            let message = format!("a run of a handler makes at most {calls_max} requests");
            return Err(refused("fetch_calls_exceeded", message));
        }
        let install = &self.found.install;
        let extension = &install.extension;
        let answered = self.worker.fetcher.fetch(install.id, &extension.model.extension.egress, request).await;
        let word = answered.as_ref().map_or_else(|refused| refused.cause.as_str(), |_| "ok");
        self.found.handler.metrics.fetched(word);
        match answered {
            Ok(answer) => written(answer, binary),
            Err(found) => Err(refused(found.cause.as_str(), found.message)),
        }
    }
}

impl Options {
    fn request(self, url: String) -> Result<Request, Unanswered> {
        let mut headers: Vec<(String, String)> = self.headers.into_iter().collect();
        let body = match (self.body, self.body_base64, self.json) {
            (None, None, None) => Vec::new(),
            (Some(text), None, None) => text.into_bytes(),
            (None, Some(text), None) => {
                STANDARD.decode(text).map_err(|_| refused(INVALID, "`bodyBase64` is not standard base64"))?
            }
            (None, None, Some(value)) => {
                if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
                value.get().as_bytes().to_vec()
            }
            (_, _, _) => return Err(refused(INVALID, "a request has one of `body`, `bodyBase64` and `json`")),
        };
        let query = self.query.into_iter().map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                Err(refused(INVALID, format!("`query.{name}` is neither a text nor a number nor a boolean")))
            }
        });
        let follows = match self.redirect.as_deref() {
            None | Some("follow") => true,
            Some("manual") => false,
            Some(_) => return Err(refused(INVALID, "expected `redirect` to be `follow` or `manual`")),
        };
        let timeout = self.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms).max(1)));
        Ok(Request {
            url,
            query: query.collect::<Result<_, _>>()?,
            method: self.method,
            headers,
            body,
            follows,
            timeout,
        })
    }
}

fn written(answer: Answer, binary: bool) -> Result<Vec<u8>, Unanswered> {
    let body = if binary {
        STANDARD.encode(&answer.body)
    } else {
        String::from_utf8(answer.body).map_err(|_| {
            refused("fetch_answer_invalid", "the answer's body is no UTF-8 text; ask for base64 by `binary = true`")
        })?
    };
    let headers: Map<String, Value> =
        answer.headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
    let answer = json!({ "status": answer.status, "url": answer.url, "headers": headers, "body": body });
    Ok(answer.to_string().into_bytes())
}
