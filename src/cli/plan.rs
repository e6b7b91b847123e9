//! `rowgate plan`: what a deploy would do, statement by statement, and what stands against it.

use std::path::PathBuf;

use clap::Args;
use reqwest::Method;
use serde_json::json;

use crate::cli::allow::Allow;
use crate::cli::bundle::{load, must_be_folder};
use crate::cli::certificate::failed;
use crate::cli::output::{self, Style, counted};
use crate::cli::target::{Found, Target};
use crate::cli::{Failed, database};
use crate::deploy::apply::Patience;
use crate::deploy::plan::{Functions, Planned, PlannedStep, pause_s, plan};
use crate::registry::recall;

/// Print what deploying a bundle would do to its tables
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 nothing to do, 2 there is, 1 it cannot be done.

Examples:
  rowgate plan                          # against the running `rowgate dev`
  rowgate plan my-extension --admin-url http://127.0.0.1:8081      # against a running gateway
  DATABASE_URL=postgres://… rowgate plan my-extension --allow deletes-data:rules.text

Nothing is changed. Seconds are guesses that grow with the rows of a table as it is now.")]
pub(super) struct Plan {
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    target: Target,
}

pub(super) async fn run(options: &Plan) -> Result<(), Failed> {
    // Here 2 says that there is something to do, so nothing else may.
    perform(options).await.map_err(|failed| match failed {
        Failed::Usage(message) => Failed::Because(message),
        other => other,
    })
}

async fn perform(options: &Plan) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let config = options.target.config()?;
    let terms = options.allow.terms(Patience::default(), &config)?;
    let loaded = load(&options.folder).map_err(|diagnostics| {
        output::note(&output::complaints(&diagnostics, Style::of_stderr()));
        Failed::Said
    })?;
    let mut planned = match options.target.find(&config)? {
        Found::Gateway(at) => {
            let allow_scan = terms.scans.allowed();
            let body = json!({ "definition": loaded.definition, "allow": terms.allowed, "allow_scan": allow_scan });
            let answer = at.ask(Method::POST, &["plan"], &[], Some(&body)).await?;
            serde_json::from_value(answer)
                .map_err(|_| Failed::Because("the gateway answered a plan that this version cannot read".to_owned()))?
        }
        Found::Database => {
            let mut client = database::open(&config.database).await?;
            plan(&mut client, &loaded.definition, &loaded.model, recall, &terms).await.map_err(failed)?
        }
    };
    for complaint in &mut planned.against {
        complaint.place = loaded.source_map.locate(&complaint.pointer).cloned();
    }
    if options.json {
        output::result(&serde_json::to_string_pretty(&planned).unwrap_or_default())?;
    } else {
        output::result(&shown(&planned, Style::of_stdout()))?;
        for difference in &planned.drift {
            output::note(&format!("by hand: {difference}"));
        }
        if !planned.against.is_empty() {
            for complaint in &planned.against {
                output::note(&complaint.to_string());
            }
            output::note(&counted(planned.against.len(), "complaint"));
        }
    }
    match (planned.against.is_empty(), planned.is_pending) {
        (false, _) => Err(Failed::Said),
        (true, true) => Err(Failed::Pending),
        (true, false) => Ok(()),
    }
}

/// The plan for people.
fn shown(planned: &Planned, style: Style) -> String {
    let name = style.strong(&planned.name);
    if !planned.is_pending {
        return format!("nothing to do: this is revision {} of {name} already\n", planned.revision);
    }
    let mut text = match planned.revision {
        0 => format!("{name} is new: revision 1 will be deployed\n"),
        revision => format!("{name}: revision {revision} will be followed by {}\n", revision + 1),
    };
    if let Some(under_way) = &planned.under_way {
        let (done, steps) = (under_way.done, under_way.steps);
        text.push_str(&if under_way.is_this {
            format!("{done} of its {steps} steps are done\n")
        } else {
            format!("another change is under way, {done} of {steps} steps; it is ended first\n")
        });
    }
    text.push_str(&functions(&planned.functions));
    let mut phase = "";
    for (place, step) in planned.steps.iter().enumerate() {
        if step.phase != phase {
            phase = &step.phase;
            text.push_str(&format!("\n{}  {}\n", style.strong(phase), said_of(phase, planned)));
        }
        text.push_str(&step_lines(place + 1, step, style));
    }
    if planned.steps.is_empty() {
        text.push_str("no table changes\n");
    }
    text
}

fn said_of(phase: &str, planned: &Planned) -> String {
    match phase {
        "prepare" => "while its callers go on with what is deployed".to_owned(),
        "swap" => {
            let pause = seconds(pause_s(planned));
            format!("one transaction, at whose end the new functions are served; callers may wait {pause}")
        }
        _ => "while its callers go on with what is new".to_owned(),
    }
}

fn step_lines(number: usize, step: &PlannedStep, style: Style) -> String {
    let mut text = format!("{number:3}  {}\n", step.subject);
    for statement in &step.statements {
        let statement = statement.trim().replace('\n', "\n       ");
        text.push_str(&format!("       {};\n", style.faint(&statement)));
    }
    let mut facts = Vec::new();
    if let Some(table) = &step.table {
        facts.push(format!("locks `{table}` {}", step.lock));
        if let Some(rows) = step.rows {
            facts.push(counted(usize::try_from(rows).unwrap_or(usize::MAX), "row"));
        }
        facts.push(seconds(step.seconds));
    }
    if step.in_batches {
        facts.push("in batches".to_owned());
    }
    facts.extend(step.hazards.iter().map(|hazard| style.bad(hazard)));
    if !facts.is_empty() {
        text.push_str(&format!("       {}\n", facts.join(", ")));
    }
    text
}

/// A guess deserves one digit.
fn seconds(seconds: f64) -> String {
    if seconds < 0.01 {
        "a few ms".to_owned()
    } else if seconds < 1.0 {
        format!("about {:.0} ms", (seconds * 100.0).round() * 10.0)
    } else if seconds < 120.0 {
        format!("about {seconds:.0} s")
    } else {
        format!("about {:.0} min", seconds / 60.0)
    }
}

fn functions(functions: &Functions) -> String {
    let mut text = String::new();
    for (what, names) in [("adds", &functions.added), ("removes", &functions.removed), ("changes", &functions.changed)]
    {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            text.push_str(&format!("{what} {}\n", names.join(", ")));
        }
    }
    text
}
