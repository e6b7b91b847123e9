//! `rowgate erase-user`: what one user owns, counted or erased, on a running gateway by its admin listener.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cli::Failed;
use crate::cli::admin::{AdminAt, listed, text};
use crate::cli::output::{self, counted};

/// Erase the rows that one user owns; only counts them unless --yes is given
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate erase-user alice --all                    # what there is of alice
  rowgate erase-user alice --all --yes              # erase it
  rowgate erase-user alice --install 0190a5c8-… --yes

Rows of owned tables go, and what refers to them by a cascade.
The gateway is found by ROWGATE_ADMIN_URL and ROWGATE_ADMIN_KEY.")]
pub(super) struct EraseUser {
    /// The user's id, as tokens have it in `sub`
    #[arg(value_name = "USER")]
    user: String,
    /// In every extension
    #[arg(long, required_unless_present_any = ["extension", "install"], conflicts_with_all = ["extension", "install"])]
    all: bool,
    /// In this extension, for all of its installs
    #[arg(long, value_name = "ID", conflicts_with = "install")]
    extension: Option<Uuid>,
    /// In what this install sees
    #[arg(long, value_name = "ID")]
    install: Option<Uuid>,
    /// Erase them; this cannot be undone
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    at: AdminAt,
}

pub(super) async fn run(options: &EraseUser) -> Result<(), Failed> {
    let body = json!({
        "user_id": options.user,
        "extension_id": options.extension,
        "install_id": options.install,
        "dry_run": !options.yes,
    });
    let all = listed(options.at.ask(Method::POST, &["users", "erase"], &[], Some(&body)).await?);
    let mut rows = 0;
    for found in &all {
        let name = text(found, "extension_name");
        output::result(&format!("{name}\t{}", text(found, "extension_id")))?;
        rows += each(found, "rows", "")?;
        each(found, "referred", ", which others refer to, stay")?;
        if let Some(receipt) = found.get("receipt_id").and_then(Value::as_str) {
            output::result(&format!("  receipt\t{receipt}"))?;
        }
    }
    let rows = counted(rows, "row");
    output::note(&if options.yes {
        format!("{rows} erased")
    } else {
        format!("{rows} would go; nothing was erased: `--yes` does it")
    });
    Ok(())
}

/// Prints the tables of a member and answers how many rows they are.
fn each(found: &Value, member: &str, end: &str) -> Result<usize, Failed> {
    let mut all = 0;
    for (table, rows) in found.get(member).and_then(Value::as_object).into_iter().flatten() {
        let rows = rows.as_u64().and_then(|rows| usize::try_from(rows).ok()).unwrap_or_default();
        output::result(&format!("  {table}\t{}{end}", counted(rows, "row")))?;
        all += rows;
    }
    Ok(all)
}
