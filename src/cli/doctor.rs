//! `rowgate doctor`: looks at a deployment from end to end, and says what is to be mended and how.
//!
//! It changes nothing. What keeps the gateway from working, or its promises from holding, is an error;
//! what somebody should know is a warning.

mod around;
mod extensions;
mod listeners;
mod server;
mod upkeep;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cli::output::{self, Style, counted};
use crate::cli::{Failed, database, read_config};
use crate::config::Config;
use crate::record;

/// Check the database in DATABASE_URL and what is deployed in it, and say what to mend
#[derive(Debug, Args)]
#[command(after_help = "Example:
  DATABASE_URL=postgres://… rowgate doctor --admin-url http://127.0.0.1:8081

Exit codes: 0 nothing is to be mended, 1 something is. Warnings alone are 0. It changes nothing.")]
pub(super) struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// A gateway's public listener, to be reached as well
    #[arg(long, value_name = "URL", env = "ROWGATE_URL")]
    url: Option<String>,
    /// A gateway's admin listener, to be asked whether it is ready
    #[arg(long, value_name = "URL", env = "ROWGATE_ADMIN_URL")]
    admin_url: Option<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Error,
    Warning,
}

/// Something that is not as it should be.
#[derive(Debug, Serialize)]
struct Finding {
    severity: Severity,
    /// Lower snake case, stable.
    code: &'static str,
    /// Such as `database`, or an extension's name with a table's.
    place: String,
    message: String,
    hint: String,
}

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
struct Report {
    findings: Vec<Finding>,
    extensions: usize,
}

impl Report {
    fn error(&mut self, code: &'static str, place: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Error, code, place, message.into(), hint.into());
    }

    fn warning(&mut self, code: &'static str, place: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, code, place, message.into(), hint.into());
    }

    fn add(&mut self, severity: Severity, code: &'static str, place: &str, message: String, hint: String) {
        self.findings.push(Finding { severity, code, place: place.to_owned(), message, hint });
    }
}

pub(super) async fn run(options: &Doctor) -> Result<(), Failed> {
    let config = read_config(options.config.as_deref())?;
    let mut report = Report::default();
    examine(&mut report, &config).await?;
    around::examine(&mut report, &config).await;
    listeners::examine(&mut report, options.url.as_deref(), options.admin_url.as_deref()).await;
    report.findings.sort_by_key(|finding| finding.severity);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    if options.json {
        output::result(&json!({ "ok": errors == 0, "findings": report.findings }).to_string())?;
    } else {
        print(&report)?;
    }
    if errors == 0 { Ok(()) } else { Err(Failed::Said) }
}

/// Everything that needs the database; what cannot be asked any more is left out.
async fn examine(report: &mut Report, config: &Config) -> Result<(), Failed> {
    let mut client = match database::connect(&config.database).await {
        Ok(client) => client,
        Err(Failed::Because(message)) => {
            let hint = "check DATABASE_URL, that Postgres runs, and that it lets this machine and role in";
            report.error("database_unreachable", "database", message, hint);
            return Ok(());
        }
        Err(other) => return Err(other),
    };
    let examined = async {
        if server::examine(report, config, &client).await? {
            server::examine_upkeep(report, config, &client).await?;
            upkeep::examine(report, &client).await?;
            let deployed = record::extensions(&client).await?;
            report.extensions = deployed.len();
            extensions::examine(report, config, &mut client, deployed).await?;
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    if let Err(error) = examined.await {
        let message = format!("the database could not be asked on: {}", crate::db::migrate::cause(&error));
        report.error("database_unreadable", "database", message, "mend what is said above, and look again");
    }
    Ok(())
}

fn print(report: &Report) -> Result<(), Failed> {
    let style = Style::of_stdout();
    for finding in &report.findings {
        let label = match finding.severity {
            Severity::Error => style.bad(&format!("error[{}]", finding.code)),
            Severity::Warning => style.strong(&format!("warning[{}]", finding.code)),
        };
        output::result(&format!("{label} {}: {}\n  {}", finding.place, finding.message, finding.hint))?;
    }
    let looked_at = counted(report.extensions, "extension");
    if report.findings.is_empty() {
        output::note(&format!("all is well: the database, and {looked_at}"));
    } else {
        let of = |severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
        output::note(&format!("{}, {} in {looked_at}", counted(errors, "error"), counted(warnings, "warning")));
    }
    Ok(())
}
