//! `rowgate limits simulate`: what other limits would have done to the calls of the last hours.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::cli::Failed;
use crate::cli::admin::{AdminAt, listed, text};
use crate::cli::output;

#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// A TOML file with `[limits]` as in the configuration, `[[overrides]]` as `limits list --json` prints them, or
    /// both; what is left out is what is in force
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// How far back, such as 24h, 90m or 2d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
    since: u64,
    /// Also find the tightest limits that would have refused nothing to so many of all callers, such as p99
    #[arg(long, value_name = "PERCENTILE", value_parser = percentile)]
    fit: Option<u8>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: AdminAt,
}

pub(super) async fn run(options: &Simulate) -> Result<(), Failed> {
    let mut body = match &options.policy {
        None => Map::new(),
        Some(path) => {
            let wrong = |reason: String| Failed::Because(format!("{}: {reason}", path.display()));
            let file = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
            match toml::from_str::<Value>(&file).map_err(|error| wrong(error.to_string().trim_end().to_owned()))? {
                Value::Object(policy) => policy,
                _ => Map::new(),
            }
        }
    };
    if let Some(other) = body.keys().find(|key| !["limits", "overrides"].contains(&key.as_str())) {
        return Err(Failed::Usage(format!("the policy has `{other}`; expected `[limits]` and `[[overrides]]`")));
    }
    body.insert("since_s".to_owned(), json!(options.since));
    body.insert("fit".to_owned(), json!(options.fit));
    let answer = options.at.ask(Method::POST, &["limits", "simulate"], &[], Some(&Value::Object(body))).await?;
    if options.json {
        return output::result(&answer.to_string());
    }
    let member = |of: &Value, name: &str| of.get(name).cloned().unwrap_or_default();
    let report = member(&answer, "report");
    output::result(&summary(&report))?;
    for one in listed(member(&report, "most_refused")) {
        output::result(&refused(&one))?;
    }
    if let (Some(percent), Some(fit)) = (options.fit, answer.get("fit")) {
        let report = member(fit, "report");
        output::result(&format!("\n# p{percent}: {}\n{}", summary(&report), quotas(&listed(member(fit, "quotas")))))?;
    }
    Ok(())
}

fn summary(report: &Value) -> String {
    let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
    let unknown = match number("unknown") {
        0 => String::new(),
        calls => format!("; {calls} calls of installs that are gone were left out"),
    };
    format!(
        "{} calls of {} callers: {} would have been refused, of {} callers; {} were{unknown}",
        number("calls"),
        number("callers"),
        number("refused"),
        number("callers_refused"),
        number("refused_then"),
    )
}

fn refused(one: &Value) -> String {
    let number = |name: &str| one.get(name).and_then(Value::as_u64).unwrap_or(0);
    let at = |name: &str| {
        let second = i64::try_from(number(name)).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(second).map(|at| at.to_string()).unwrap_or_default()
    };
    let by = one.get("by").and_then(Value::as_object).into_iter().flatten();
    let by: Vec<String> = by.map(|(layer, count)| format!("{layer} {count}")).collect();
    format!(
        "install {}\t{} {}\t{}\t{} of {} calls refused ({})\tfrom {} to {}\t{} were",
        text(one, "install_id"),
        text(one, "caller"),
        text(one, "caller_number"),
        text(one, "class"),
        number("refused"),
        number("calls"),
        by.join(", "),
        at("first_s"),
        at("last_s"),
        number("refused_then"),
    )
}

/// As the configuration has them.
fn quotas(quotas: &[Value]) -> String {
    let mut lines = Vec::new();
    for layer in ["caller", "install", "extension"] {
        let mut of_layer = quotas.iter().filter(|one| text(one, "layer") == layer).peekable();
        if of_layer.peek().is_some() {
            lines.push(format!("[limits.{layer}]"));
        }
        for one in of_layer {
            lines.push(format!("{} = {}", text(one, "class"), one.get("per_minute").unwrap_or(&Value::Null)));
        }
    }
    lines.join("\n")
}

fn seconds(given: &str) -> Result<u64, String> {
    let wrong = || "expected a time such as 24h, 90m or 2d".to_owned();
    let (number, unit) = given.split_at_checked(given.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.parse::<u32>().map(|number| u64::from(number) * unit_s).map_err(|_| wrong())
}

fn percentile(given: &str) -> Result<u8, String> {
    let wrong = || "expected a percentile from p1 to p100".to_owned();
    let percent: u8 = given.strip_prefix('p').unwrap_or(given).parse().map_err(|_| wrong())?;
    if (1..=100).contains(&percent) { Ok(percent) } else { Err(wrong()) }
}
