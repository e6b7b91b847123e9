//! `rowgate limits`: rate limits of a running gateway, listed and changed by its admin listener.

mod simulate;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::cli::Failed;
use crate::cli::admin::{AdminAt, listed, text};
use crate::cli::output;

/// List and change the rate limits of a running gateway, without a restart
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate limits list                                              # what operators have said
  rowgate limits list --install 0190a5c8-…                         # what is in force there, and why
  rowgate limits set --layer install --plan pro --per-minute 600   # each install on this plan
  rowgate limits set --layer caller --caller key --per-minute 300  # each API key
  rowgate limits set --function vote --extension 6f1c2a54-… --per-minute 30 --burst 5
  rowgate limits set --layer extension --extension 6f1c2a54-… --mode shadow
  rowgate limits unset --layer install --plan pro
  rowgate limits history
  rowgate limits simulate --policy stricter.toml --since 24h --fit p99

A change is in force on every gateway of the database within a second, and nothing that was spent is
forgotten. Which of several wins is told in docs/limits.md.
The gateway is found by ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY.")]
pub(super) struct Limits {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what operators have said, or what is in force for an install and where it comes from
    List(List),
    /// Say how many calls pass, in place of what was said of the same calls
    Set(Set),
    /// Take back what was said of exactly these calls
    Unset(Unset),
    /// List who changed what and when, the newest first
    History(History),
    /// Hold the recorded calls of the last hours to other limits: who would have been refused, and when
    Simulate(simulate::Simulate),
}

#[derive(Debug, Args)]
struct List {
    /// What is in force for this install
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: AdminAt,
}

/// Which calls a limit is for.
#[derive(Debug, Args)]
struct Conditions {
    /// What is counted together: caller, function, install or extension
    #[arg(long, value_name = "LAYER", required_unless_present = "function",
          value_parser = ["caller", "function", "install", "extension"])]
    layer: Option<String>,
    /// Of this class alone
    #[arg(long, value_parser = ["query_rows", "write_rows", "query", "mutation", "action"])]
    class: Option<String>,
    /// Of this extension alone
    #[arg(long, value_name = "ID")]
    extension: Option<Uuid>,
    /// Of this install alone
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
    /// Of installs on this plan alone
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    /// Of callers who show this alone
    #[arg(long, value_name = "KIND", value_parser = ["token", "key", "anonymous"])]
    caller: Option<String>,
    /// Of this function alone, whose calls are counted by themselves in each install
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
}

#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    conditions: Conditions,
    /// Calls a minute on average; 0 refuses all
    #[arg(long, value_name = "CALLS")]
    per_minute: Option<u32>,
    /// Calls at once; as many as a minute has, unless given
    #[arg(long, value_name = "CALLS", requires = "per_minute")]
    burst: Option<u32>,
    /// Refuse, only count what would be refused, or do not count
    #[arg(long, value_parser = ["enforce", "shadow", "off"])]
    mode: Option<String>,
    #[command(flatten)]
    at: AdminAt,
}

#[derive(Debug, Args)]
struct Unset {
    #[command(flatten)]
    conditions: Conditions,
    #[command(flatten)]
    at: AdminAt,
}

#[derive(Debug, Args)]
struct History {
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: AdminAt,
}

pub(super) async fn run(options: Limits) -> Result<(), Failed> {
    match options.command {
        Command::List(options) => list(&options).await,
        Command::Set(options) => set(&options).await,
        Command::Unset(Unset { conditions, at }) => {
            let query = conditions.named();
            let query: Vec<(&str, String)> = query.iter().map(|(name, value)| (*name, value.clone())).collect();
            let answer = at.ask(Method::DELETE, &["limits"], &query, None).await?;
            output::note(&format!("nothing is said any more of {}", of(&answer)));
            Ok(())
        }
        Command::History(History { json, at }) => history(json, &at).await,
        Command::Simulate(options) => simulate::run(&options).await,
    }
}

async fn list(options: &List) -> Result<(), Failed> {
    let (answer, member) = match options.install {
        None => (options.at.ask(Method::GET, &["limits"], &[], None).await?, "overrides"),
        Some(install) => {
            let query = [("install_id", install.to_string())];
            (options.at.ask(Method::GET, &["limits", "in-force"], &query, None).await?, "in_force")
        }
    };
    let rows = listed(answer.get(member).cloned().unwrap_or_default());
    if rows.is_empty() {
        output::note("operators have said nothing: the configuration and what functions declare are in force");
    }
    for row in rows {
        let shown = if options.install.is_some() { in_force(&row) } else { said(&row) };
        output::result(&if options.json { row.to_string() } else { shown })?;
    }
    Ok(())
}

async fn set(options: &Set) -> Result<(), Failed> {
    let named = options.conditions.named().into_iter().map(|(name, value)| (name.to_owned(), Value::String(value)));
    let mut body: Map<String, Value> = named.collect();
    let values =
        [("per_minute", json!(options.per_minute)), ("burst", json!(options.burst)), ("mode", json!(options.mode))];
    body.extend(values.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)));
    let answer = options.at.ask(Method::PUT, &["limits"], &[], Some(&Value::Object(body))).await?;
    output::note(&format!("{}: {}", of(&answer), says(&answer)));
    Ok(())
}

async fn history(json: bool, at: &AdminAt) -> Result<(), Failed> {
    let mut before: Option<String> = None;
    loop {
        let query: Vec<(&str, String)> = before.iter().map(|before| ("before", before.clone())).collect();
        let page = listed(at.ask(Method::GET, &["limits", "history"], &query, None).await?);
        let Some(last) = page.last() else { return Ok(()) };
        before = last.get("id").map(Value::to_string);
        for change in &page {
            output::result(&if json { change.to_string() } else { changed(change) })?;
        }
    }
}

impl Conditions {
    /// As the admin API names them.
    fn named(&self) -> Vec<(&'static str, String)> {
        let function = self.function.as_ref().map(|_| "function".to_owned());
        let all = [
            ("layer", self.layer.clone().or(function)),
            ("class", self.class.clone()),
            ("install_id", self.install.map(|id| id.to_string())),
            ("extension_id", self.extension.map(|id| id.to_string())),
            ("function", self.function.clone()),
            ("plan", self.plan.clone()),
            ("caller", self.caller.clone()),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Which calls an override is for.
fn of(one: &Value) -> String {
    let mut words = vec![format!("layer {}", text(one, "layer"))];
    for (member, word) in [
        ("class", "class"),
        ("install_id", "install"),
        ("extension_id", "extension"),
        ("function", "function"),
        ("plan", "plan"),
        ("caller", "caller"),
    ] {
        match text(one, member) {
            "" => {}
            value => words.push(format!("{word} {value}")),
        }
    }
    words.join(", ")
}

/// What an override says, or what is in force.
fn says(one: &Value) -> String {
    let number = |member: &str| one.get(member).and_then(Value::as_u64);
    let quota = number("per_minute").map(|per_minute| {
        let burst = number("burst").unwrap_or(per_minute);
        format!("{per_minute} a minute, {burst} at once")
    });
    let mode = Some(text(one, "mode")).filter(|mode| !mode.is_empty()).map(str::to_owned);
    quota.into_iter().chain(mode).collect::<Vec<_>>().join(", ")
}

fn said(one: &Value) -> String {
    format!("{}\t{}\tby {} at {}", of(one), says(one), text(one, "changed_by"), text(one, "changed_at"))
}

fn in_force(row: &Value) -> String {
    let origin = |member: &str| match row.get(member) {
        Some(Value::String(word)) => word.clone(),
        Some(from) => from.get("override").map(|one| format!("override for {}", of(one))).unwrap_or_default(),
        None => String::new(),
    };
    let (quota, mode) = (origin("quota_from"), origin("mode_from"));
    let from = if quota == mode { quota } else { format!("{quota}; its mode: {mode}") };
    format!("{}\t{}\t{from}", of(row), says(row))
}

fn changed(change: &Value) -> String {
    let what = |member: &str| match change.get(member) {
        Some(one) if one.get("layer").is_some() => (of(one), says(one)),
        Some(one) if one.get("install_id").is_some() => {
            let plan = Some(text(one, "plan")).filter(|plan| !plan.is_empty()).unwrap_or("none");
            (format!("plan of install {}", text(one, "install_id")), plan.to_owned())
        }
        Some(_) | None => (String::new(), "nothing".to_owned()),
    };
    let ((before_of, before), (after_of, after)) = (what("before"), what("after"));
    let of = if after_of.is_empty() { before_of } else { after_of };
    format!("{}\t{}\t{of}\t{before} -> {after}", text(change, "at"), text(change, "by"))
}
