//! Asks a running gateway by its admin listener.

use clap::Args;
use reqwest::{Client, Method, Response, Url};
use serde_json::Value;

use crate::cli::Failed;
use crate::cli::output::{self, Style};

/// Where the gateway is, and who asks.
#[derive(Debug, Args)]
pub(super) struct AdminAt {
    /// The gateway's admin listener
    #[arg(long, value_name = "URL", env = "ROWGATE_ADMIN_URL", default_value = "http://127.0.0.1:8081")]
    admin_url: String,
    /// An operator's key, made by `rowgate admin-key`
    #[arg(long, value_name = "KEY", env = "ROWGATE_ADMIN_KEY", hide_env_values = true)]
    admin_key: Option<String>,
}

impl AdminAt {
    pub(super) fn new(admin_url: String, admin_key: Option<String>) -> AdminAt {
        AdminAt { admin_url, admin_key }
    }

    /// What the admin listener answers.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, Failed> {
        answer(self.send(method, path, query, body).await?).await
    }

    /// What it tells as it goes, a JSON document on each line.
    pub(super) async fn lines(&self, method: Method, path: &[&str], body: &Value) -> Result<Lines, Failed> {
        let response = self.send(method, path, &[], Some(body)).await?;
        if response.status().is_success() {
            return Ok(Lines { response, gathered: Vec::new() });
        }
        answer(response).await?;
        Err(Failed::Said)
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Response, Failed> {
        let Some(key) = &self.admin_key else {
            let message = "no operator's key is given; set ROWGATE_ADMIN_KEY to one that `rowgate admin-key` made";
            return Err(Failed::Usage(message.to_owned()));
        };
        let wrong =
            |reason: &str| Failed::Usage(format!("`{}` is not the URL of an admin listener: {reason}", self.admin_url));
        let mut url = Url::parse(&self.admin_url).map_err(|error| wrong(&error.to_string()))?;
        match url.path_segments_mut() {
            // Segment by segment, so that no name reaches another path.
            Ok(mut segments) => segments.pop_if_empty().extend(["admin", "v1"].iter().chain(path)),
            Err(()) => return Err(wrong("expected one such as http://127.0.0.1:8081")),
        };
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let local = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
        let builder = Client::builder().user_agent(concat!("rowgate/", env!("CARGO_PKG_VERSION")));
        let client = if local { builder.no_proxy() } else { builder }.build()?;
        let mut request = client.request(method, url).bearer_auth(key);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.map_err(|error| {
            let reason =
                if error.is_connect() { "nobody answers there".to_owned() } else { error.without_url().to_string() };
            Failed::Because(format!("the admin listener at {} cannot be reached: {reason}", self.admin_url))
        })
    }
}

/// Lines as they come.
pub(super) struct Lines {
    response: Response,
    gathered: Vec<u8>,
}

impl Lines {
    /// The next line; none where there are no more, or the gateway went away.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, Failed> {
        loop {
            if let Some(end) = self.gathered.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.gathered.drain(..=end).collect();
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.gathered.extend_from_slice(&chunk),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }
}

async fn answer(response: Response) -> Result<Value, Failed> {
    let status = response.status();
    let body: Value = serde_json::from_str(&response.text().await?).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let Some(detail) = body.get("detail").and_then(Value::as_str) else {
        return Err(Failed::Because(format!("the admin listener answered {status}")));
    };
    let label = format!("error[{}]:", text(&body, "code"));
    output::note(&format!("{} {detail}", Style::of_stderr().bad(&label)));
    for error in body.get("errors").and_then(Value::as_array).into_iter().flatten() {
        output::note(&format!("  {}: {}", text(error, "pointer"), text(error, "message")));
    }
    Err(Failed::Said)
}

/// The elements of an answer that is an array.
pub(super) fn listed(answer: Value) -> Vec<Value> {
    match answer {
        Value::Array(list) => list,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
    }
}

/// A member that is a text, else nothing.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// Has the user type `expected` again, unless `yes`: what follows cannot be undone.
pub(super) fn confirm(expected: &str, what: &str, yes: bool) -> Result<(), Failed> {
    if yes {
        return Ok(());
    }
    output::note(&format!("{what}; this cannot be undone\nto go on, type {expected} again:"));
    let mut typed = String::new();
    std::io::stdin()
        .read_line(&mut typed)
        .map_err(|error| Failed::Because(format!("cannot read from standard input: {error}")))?;
    if typed.trim() == expected {
        return Ok(());
    }
    Err(Failed::Usage("nothing was done: what was typed is something else; `--yes` goes on without asking".to_owned()))
}
