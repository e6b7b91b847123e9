//! `rowgate call`: one function of a running gateway, over HTTP like any other client.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use reqwest::{Client, Response, Url};
use serde_json::Value;
use uuid::Uuid;

use crate::cli::output::{self, Style};
use crate::cli::role::As;
use crate::cli::state::{self, DATA_DIR};
use crate::cli::{Failed, own_name};

/// Call a function of the running gateway
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate call listNotes
  rowgate call addNote '{\"title\": \"milk\"}' --as editor
  echo '{\"title\": \"milk\"}' | rowgate call addNote -
  ROWGATE_URL=https://gateway.example ROWGATE_TOKEN=… rowgate call listNotes")]
pub(super) struct Call {
    /// The function's name
    #[arg(value_name = "FUNCTION")]
    function: String,
    /// The arguments, a JSON object; `-` reads them from standard input
    #[arg(value_name = "ARGUMENTS", allow_hyphen_values = true)]
    arguments: Option<String>,
    /// Who to be, with the tokens of `rowgate dev` [default: editor]
    #[arg(long = "as", value_name = "ROLE", conflicts_with = "token")]
    role: Option<As>,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// Another gateway than that of `rowgate dev`; also ROWGATE_URL
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The token or API key to call with; also ROWGATE_TOKEN
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The install to call; the token's own unless given
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
}

/// Where to send the call, and as whom.
struct Target {
    url: String,
    token: String,
    install: Uuid,
    /// Whether it is the gateway of `rowgate dev`.
    development: bool,
}

pub(super) async fn run(options: Call) -> Result<(), Failed> {
    let body = arguments(options.arguments.as_deref())?;
    let target = target(&options)?;
    let url = endpoint(&target, &options.function)?;
    let response = client(&url)?
        .post(url)
        .bearer_auth(&target.token)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .map_err(|error| not_reached(&target, &options, &error))?;
    if response.status().is_success() {
        let text = response.text().await?;
        return output::result(&shown(text));
    }
    complain(response).await
}

fn arguments(written: Option<&str>) -> Result<String, Failed> {
    let text = match written {
        None => return Ok("{}".to_owned()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| Failed::Because(format!("cannot read the arguments from standard input: {error}")))?;
            text
        }
        Some(text) => text.to_owned(),
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(Value::Object(_)) => Ok(text),
        Ok(_) => {
            Err(Failed::Because("the arguments are not a JSON object; write them by name: '{\"id\": …}'".to_owned()))
        }
        Err(error) => Err(Failed::Because(format!(
            "the arguments are not JSON: {error}; quote them for the shell, as in '{{\"title\": \"milk\"}}'"
        ))),
    }
}

fn target(options: &Call) -> Result<Target, Failed> {
    let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let token = options.token.clone().or_else(|| match options.role {
        Some(_) => None,
        None => environment("ROWGATE_TOKEN"),
    });
    let url = options.url.clone().or_else(|| environment("ROWGATE_URL"));
    let running = match (&url, &token) {
        (Some(_), Some(_)) => None,
        (_, _) => state::read_running(&options.data_dir)?,
    };
    if let (Some(url), None, None) = (&url, &token, &running) {
        return Err(Failed::Usage(format!("no token for {url} is given; use --token or ROWGATE_TOKEN")));
    }
    let development = url.is_none();
    let Some(url) = url.or_else(|| running.as_ref().map(|running| running.url.clone())) else {
        return Err(Failed::Because(format!(
            "no gateway runs on the data directory {}; start one with `{} dev DIR`, \
             or name another with --data-dir, or --url and --token",
            options.data_dir.display(),
            own_name()
        )));
    };
    let role = options.role.unwrap_or(As::Editor).into();
    let install = options
        .install
        .or_else(|| token.as_deref().and_then(install_of))
        .or_else(|| running.as_ref().map(|running| running.install_id));
    let install =
        install.ok_or_else(|| Failed::Usage("which install to call is not known; use --install".to_owned()))?;
    let token = token.or_else(|| running.as_ref().map(|running| running.tokens.of(role).to_owned()));
    Ok(Target { url, token: token.unwrap_or_default(), install, development })
}

/// The install a token names; it is the gateway's to verify that.
fn install_of(token: &str) -> Option<Uuid> {
    let claims = token.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Uuid::try_parse(claims.get("install_id")?.as_str()?).ok()
}

fn endpoint(target: &Target, function: &str) -> Result<Url, Failed> {
    let wrong = |reason: String| Failed::Usage(format!("`{}` is not the URL of a gateway: {reason}", target.url));
    let mut url = Url::parse(&target.url).map_err(|error| wrong(error.to_string()))?;
    let install = target.install.to_string();
    match url.path_segments_mut() {
        // Segment by segment, so that no name reaches another path.
        Ok(mut path) => path.pop_if_empty().extend(["v1", "extension-functions", install.as_str(), function]),
        Err(()) => return Err(wrong("expected one such as http://127.0.0.1:8080".to_owned())),
    };
    Ok(url)
}

fn client(url: &Url) -> Result<Client, Failed> {
    let local = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    let builder = Client::builder().user_agent(concat!("rowgate/", env!("CARGO_PKG_VERSION")));
    // A proxy's own loopback is not this one.
    Ok(if local { builder.no_proxy() } else { builder }.build()?)
}

fn not_reached(target: &Target, options: &Call, error: &reqwest::Error) -> Failed {
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = inner.to_string();
        cause = inner.source();
    }
    if target.development && error.is_connect() {
        return Failed::Because(format!(
            "the gateway of {} does not answer at {} ({reason}); start it again with `{} dev DIR`",
            options.data_dir.display(),
            target.url,
            own_name()
        ));
    }
    Failed::Because(format!("the gateway at {} cannot be reached: {reason}", target.url))
}

/// For people with line breaks, for programs as it came.
fn shown(text: String) -> String {
    if !std::io::stdout().is_terminal() {
        return text;
    }
    let pretty = serde_json::from_str::<Value>(&text).and_then(|value| serde_json::to_string_pretty(&value));
    pretty.unwrap_or(text)
}

/// Says what the problem says.
async fn complain(response: Response) -> Result<(), Failed> {
    let status = response.status();
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = response.text().await?;
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let member = |name: &str| problem.get(name).and_then(Value::as_str);
    let Some(detail) = member("detail") else {
        return Err(Failed::Because(format!("the gateway answered {status}: {}", text.trim())));
    };
    let label = format!("error[{}]:", member("code").unwrap_or("unknown"));
    output::note(&format!("{} {detail}", Style::of_stderr().bad(&label)));
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let pointer = part("pointer");
        let at = if pointer.is_empty() { String::new() } else { format!("{pointer}: ") };
        output::note(&format!("  {at}{}", part("message")));
    }
    if let Some(seconds) = retry_after {
        output::note(&format!("  try again in {seconds} s"));
    }
    Err(Failed::Said)
}
