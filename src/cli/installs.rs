//! `rowgate installs`: how installs come and go, on a running gateway by its admin listener.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::Failed;
use crate::cli::admin::{AdminAt, confirm, listed, text};
use crate::cli::output::{self, Style, counted};

/// Between two looks whether a receipt is whole.
const POLL: Duration = Duration::from_millis(200);
/// After so many looks it is left to the gateway.
const LOOKS_MAX: u32 = 3_000;

/// Add, list, uninstall, bring back and pin the installs of extensions
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate installs add 6f1c2a54-… --account 0190a5c8-…
  rowgate installs list --extension 6f1c2a54-…
  rowgate installs uninstall 0190a5c8-…          # calls are refused from now on, rows are kept
  rowgate installs reinstall 0190a5c8-…          # as it was, while its rows are kept
  rowgate installs uninstall 0190a5c8-… --now    # rows go at once
  rowgate installs receipts --install 0190a5c8-…
  rowgate installs pin 0190a5c8-… 3              # runs the functions of revision 3, whatever is deployed
  rowgate installs plan 0190a5c8-… pro           # what `rowgate limits set --plan pro` is for

How long rows are kept is the gateway's `installs.uninstalled_kept_days`, 30 by default.
The gateway is found by ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY.")]
pub(super) struct Installs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List installs: id, extension, account, and how each stands
    List(List),
    /// Install an extension for an account; prints the install's id
    Add(Add),
    /// Refuse an install's calls from now on; its rows are kept for a while and then erased
    Uninstall(Uninstall),
    /// Bring back an install that was uninstalled, as it was
    Reinstall(One),
    /// Have an install's calls run the functions of this revision from now on, whatever is deployed
    Pin(Pin),
    /// Have its calls run what is deployed again
    Unpin(One),
    /// Put an install on a plan, which rate limits may go by; `--none` takes it off
    Plan(Plan),
    /// List what was erased, for whom and by whom
    Receipts(Receipts),
}

#[derive(Debug, Args)]
struct List {
    /// Of this extension alone
    #[arg(long, value_name = "ID")]
    extension: Option<Uuid>,
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: AdminAt,
}

#[derive(Debug, Args)]
struct Add {
    /// The extension's id
    #[arg(value_name = "EXTENSION")]
    extension: Uuid,
    /// The account it is installed for
    #[arg(long, value_name = "ID")]
    account: Uuid,
    /// The account's overlay it is installed on
    #[arg(long, value_name = "ID")]
    overlay: Option<Uuid>,
    /// The plan it is on, which rate limits may go by
    #[arg(long, value_name = "NAME")]
    plan: Option<String>,
    #[command(flatten)]
    at: AdminAt,
}

#[derive(Debug, Args)]
struct One {
    /// The install's id
    #[arg(value_name = "INSTALL")]
    install: Uuid,
    #[command(flatten)]
    at: AdminAt,
}

#[derive(Debug, Args)]
struct Uninstall {
    #[command(flatten)]
    one: One,
    /// Erase its rows at once, also where it was uninstalled before; asks for the id again
    #[arg(long)]
    now: bool,
    /// Do not ask
    #[arg(long, requires = "now")]
    yes: bool,
}

#[derive(Debug, Args)]
struct Pin {
    #[command(flatten)]
    one: One,
    /// The revision of its extension
    #[arg(value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    revision: i64,
}

#[derive(Debug, Args)]
struct Plan {
    #[command(flatten)]
    one: One,
    /// The plan's name
    #[arg(value_name = "PLAN", required_unless_present = "none")]
    plan: Option<String>,
    /// Take it off its plan
    #[arg(long, conflicts_with = "plan")]
    none: bool,
}

#[derive(Debug, Args)]
struct Receipts {
    /// Of this install alone
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
    /// Of this extension alone
    #[arg(long, value_name = "ID")]
    extension: Option<Uuid>,
    /// Print a JSON object for each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: AdminAt,
}

pub(super) async fn run(options: Installs) -> Result<(), Failed> {
    match options.command {
        Command::List(options) => list(&options).await,
        Command::Add(options) => add(&options).await,
        Command::Uninstall(options) => uninstall(&options).await,
        Command::Reinstall(One { install, at }) => {
            let path = ["installs", &install.to_string(), "reinstall"];
            at.ask(Method::POST, &path, &[], None).await?;
            output::note(&format!("install {install} is back as it was"));
            Ok(())
        }
        Command::Pin(Pin { one: One { install, at }, revision }) => {
            let path = ["installs", &install.to_string(), "pin"];
            at.ask(Method::POST, &path, &[], Some(&json!({ "revision": revision }))).await?;
            output::note(&format!("install {install} runs the functions of revision {revision}"));
            Ok(())
        }
        Command::Unpin(One { install, at }) => {
            at.ask(Method::POST, &["installs", &install.to_string(), "unpin"], &[], None).await?;
            output::note(&format!("install {install} runs what is deployed"));
            Ok(())
        }
        Command::Plan(Plan { one: One { install, at }, plan, none: _ }) => {
            let path = ["installs", &install.to_string(), "plan"];
            at.ask(Method::POST, &path, &[], Some(&json!({ "plan": plan }))).await?;
            let plan = plan.map_or_else(|| "no plan".to_owned(), |plan| format!("plan {plan}"));
            output::note(&format!("install {install} is on {plan}"));
            Ok(())
        }
        Command::Receipts(options) => receipts(&options).await,
    }
}

async fn list(options: &List) -> Result<(), Failed> {
    let mut after: Option<String> = None;
    loop {
        let query = [("extension_id", options.extension.map(|id| id.to_string())), ("after", after.clone())];
        let query: Vec<_> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        let page = listed(options.at.ask(Method::GET, &["installs"], &query, None).await?);
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(text(last, "id").to_owned());
        for install in &page {
            output::result(&if options.json { install.to_string() } else { shown(install) })?;
        }
    }
}

fn shown(install: &Value) -> String {
    let state = match text(install, "state") {
        "uninstalled" => format!("uninstalled, erased from {}", text(install, "erase_at")),
        state => state.to_owned(),
    };
    let overlay = match text(install, "overlay_id") {
        "" => String::new(),
        overlay => format!("\toverlay {overlay}"),
    };
    let [id, extension, account] = ["id", "extension_id", "account_id"].map(|member| text(install, member));
    let pinned = install.get("pinned_revision").and_then(Value::as_i64);
    let pinned = pinned.map_or_else(String::new, |revision| format!("\tpinned to revision {revision}"));
    let plan = match text(install, "plan") {
        "" => String::new(),
        plan => format!("\tplan {plan}"),
    };
    format!("{id}\textension {extension}\taccount {account}{overlay}\t{state}{pinned}{plan}")
}

async fn add(options: &Add) -> Result<(), Failed> {
    let body = json!({
        "extension_id": options.extension,
        "account_id": options.account,
        "overlay_id": options.overlay,
        "plan": options.plan,
    });
    let install = options.at.ask(Method::POST, &["installs"], &[], Some(&body)).await?;
    output::result(text(&install, "id"))
}

async fn uninstall(options: &Uninstall) -> Result<(), Failed> {
    let Uninstall { one: One { install, at }, now, yes } = options;
    let id = install.to_string();
    if *now {
        confirm(&id, &format!("every row of install {id} will be erased"), *yes)?;
    }
    let path = ["installs", &id, "uninstall"];
    let answer = at.ask(Method::POST, &path, &[], Some(&json!({ "now": now }))).await?;
    if !now {
        output::note(&format!(
            "install {id} is uninstalled: its calls are refused, and its rows are erased from {}; until then \
             `rowgate installs reinstall {id}` brings it back",
            text(&answer, "erase_at")
        ));
        return Ok(());
    }
    output::note(&format!("install {id} is uninstalled: its calls are refused, and its rows are going"));
    let query = [("install_id", id.clone())];
    for _ in 0..LOOKS_MAX {
        let receipts = listed(at.ask(Method::GET, &["receipts"], &query, None).await?);
        let is_whole =
            |receipt: &&Value| text(receipt, "kind") == "install" && !text(receipt, "finished_at").is_empty();
        if let Some(receipt) = receipts.iter().find(is_whole) {
            return output::result(&told(receipt));
        }
        tokio::time::sleep(POLL).await;
    }
    output::note(&format!("they are going still; `rowgate installs receipts --install {id}` tells when they are gone"));
    Ok(())
}

async fn receipts(options: &Receipts) -> Result<(), Failed> {
    let of = [("install_id", options.install), ("extension_id", options.extension)];
    let query: Vec<_> = of.into_iter().filter_map(|(name, id)| Some((name, id?.to_string()))).collect();
    for receipt in listed(options.at.ask(Method::GET, &["receipts"], &query, None).await?) {
        output::result(&if options.json { receipt.to_string() } else { told(&receipt) })?;
    }
    Ok(())
}

/// A receipt for people.
pub(super) fn told(receipt: &Value) -> String {
    let when = match text(receipt, "finished_at") {
        "" => format!("since {}, not done yet", text(receipt, "began_at")),
        at => at.to_owned(),
    };
    let what = match text(receipt, "kind") {
        "install" => format!("install {}", text(receipt, "install_id")),
        kind => kind.to_owned(),
    };
    let name = text(receipt, "extension_name");
    let mut lines = vec![format!(
        "{} {what} of {name}, asked for by {} at {}, erased {when}",
        Style::of_stdout().strong(text(receipt, "id")),
        text(receipt, "asked_by"),
        text(receipt, "asked_at")
    )];
    for (table, rows) in counts(receipt, "rows") {
        lines.push(format!("  {table}\t{}", counted(rows, "row")));
    }
    for (what, count) in counts(receipt, "own") {
        lines.push(format!("  {}\t{count}", what.replace('_', " ")));
    }
    let shared = receipt.get("shared").and_then(Value::as_array).into_iter().flatten();
    for storage in shared.filter_map(Value::as_str) {
        lines.push(format!("  rows per {storage} stay: other installs share them"));
    }
    lines.join("\n")
}

/// The numbers of an object that are not 0.
fn counts(receipt: &Value, member: &str) -> BTreeMap<String, usize> {
    let object = receipt.get(member).and_then(Value::as_object).into_iter().flatten();
    let number =
        |value: &Value| value.as_u64().and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    object.filter_map(|(name, value)| Some((name.clone(), number(value)?))).collect()
}
