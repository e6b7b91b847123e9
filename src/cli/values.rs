//! `rowgate secrets` and `rowgate config`: values that handlers read, set on a running gateway by its
//! admin listener.

use std::io::{IsTerminal, Read};

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::admin::{AdminAt, listed, text};
use crate::cli::{Failed, output};

/// Set, list and unset the secrets that an extension's actions read
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate secrets set API_KEY --install 0190a5c8-… < key.txt
  rowgate secrets list --install 0190a5c8-…
  rowgate secrets unset API_KEY --extension 0190a5c8-…

The gateway is found by ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY.")]
pub(super) struct Secrets {
    #[command(subcommand)]
    command: SecretsCommand,
}

#[derive(Debug, Subcommand)]
enum SecretsCommand {
    /// Set a secret; its value is read from standard input
    Set(Named),
    /// List the secrets and whether they are set; values are never shown
    List(Of),
    /// Unset a secret
    Unset(Named),
}

/// Set, list and unset the configuration that an extension's handlers read
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate config set GREETING '\"hello\"' --install 0190a5c8-…
  rowgate config list --extension 0190a5c8-…

The gateway is found by ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY.")]
pub(super) struct Configuration {
    #[command(subcommand)]
    command: ConfigurationCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigurationCommand {
    /// Set a value
    Set(Assigned),
    /// List the values
    List(Of),
    /// Unset a value
    Unset(Named),
}

#[derive(Debug, Args)]
struct Named {
    /// The name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    of: Of,
}

#[derive(Debug, Args)]
struct Assigned {
    #[command(flatten)]
    named: Named,
    /// The value: JSON, or else a text
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
}

/// Whose values, and on which gateway.
#[derive(Debug, Args)]
struct Of {
    /// Of one install
    #[arg(long, value_name = "ID", conflicts_with = "extension", required_unless_present = "extension")]
    install: Option<Uuid>,
    /// Of an extension, for all of its installs
    #[arg(long, value_name = "ID")]
    extension: Option<Uuid>,
    #[command(flatten)]
    at: AdminAt,
}

pub(super) async fn secrets(options: Secrets) -> Result<(), Failed> {
    match options.command {
        SecretsCommand::Set(Named { name, of }) => {
            let body = json!({ "value": from_stdin()?, "install_id": of.install, "extension_id": of.extension });
            of.ask(Method::PUT, &["secrets", &name], Some(&body)).await?;
            output::note(&format!("secret `{name}` is set"));
        }
        SecretsCommand::List(of) => {
            for secret in listed(of.ask(Method::GET, &["secrets"], None).await?) {
                let is = |member: &str| secret.get(member) == Some(&Value::Bool(true));
                let state = match (is("is_set"), is("declared")) {
                    (true, true) => format!("set {}", text(&secret, "updated_at")),
                    (true, false) => format!("set {}, not in extension.json", text(&secret, "updated_at")),
                    (false, _) => "not set".to_owned(),
                };
                output::result(&format!("{}\t{state}", text(&secret, "name")))?;
            }
        }
        SecretsCommand::Unset(Named { name, of }) => {
            of.ask(Method::DELETE, &["secrets", &name], None).await?;
            output::note(&format!("secret `{name}` is unset"));
        }
    }
    Ok(())
}

pub(super) async fn configuration(options: Configuration) -> Result<(), Failed> {
    match options.command {
        ConfigurationCommand::Set(Assigned { named: Named { name, of }, value }) => {
            let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
            let body = json!({ "value": value, "install_id": of.install, "extension_id": of.extension });
            of.ask(Method::PUT, &["config", &name], Some(&body)).await?;
            output::note(&format!("`{name}` is {value}"));
        }
        ConfigurationCommand::List(of) => {
            for set in listed(of.ask(Method::GET, &["config"], None).await?) {
                let value = set.get("value").unwrap_or(&Value::Null);
                output::result(&format!("{}\t{value}", text(&set, "name")))?;
            }
        }
        ConfigurationCommand::Unset(Named { name, of }) => {
            of.ask(Method::DELETE, &["config", &name], None).await?;
            output::note(&format!("`{name}` is unset"));
        }
    }
    Ok(())
}

/// All of standard input but the line break at its end: a value on the command line would be in the
/// shell's history and in the list of processes.
fn from_stdin() -> Result<String, Failed> {
    if std::io::stdin().is_terminal() {
        output::note("the value, then Ctrl-D:");
    }
    let mut value = String::new();
    std::io::stdin()
        .read_to_string(&mut value)
        .map_err(|error| Failed::Because(format!("cannot read the value from standard input: {error}")))?;
    let value = value.strip_suffix('\n').unwrap_or(&value);
    Ok(value.strip_suffix('\r').unwrap_or(value).to_owned())
}

impl Of {
    /// What the admin listener answers; whose values is said in the query where there is no body.
    async fn ask(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Value, Failed> {
        let of = [("install_id", self.install), ("extension_id", self.extension)];
        let given = of.iter().filter_map(|(name, id)| Some((*name, (*id)?.to_string())));
        let query: Vec<_> = if body.is_none() { given.collect() } else { Vec::new() };
        self.at.ask(method, path, &query, body).await
    }
}
