//! Installs that are pinned to a revision, and what a deploy would do to them.
//!
//! A pinned install's calls run its revision's functions over the tables as they are, so a deploy may
//! not take from those what that revision uses.

use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::fit::fits;
use rowgate_schema_dsl::model::Model;
use serde_json::Value;
use tokio_postgres::{Error, GenericClient};
use uuid::Uuid;

use crate::record::installs::{self, Pinned};

/// Installs named in a complaint.
const NAMED_MAX: usize = 3;

/// A revision that installs are pinned to, and why it would no longer work.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    pub revision: i64,
    /// The first ones of them.
    pub installs: Vec<Uuid>,
    pub installs_count: i64,
    pub reasons: Vec<Diagnostic>,
}

/// The pinned revisions of `model`'s extension that would not work over its tables. `recall` makes a model
/// of a recorded definition. Until the transaction of `client` ends, nobody is pinned meanwhile.
pub async fn broken(
    client: &impl GenericClient,
    model: &Model,
    recall: impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
) -> Result<Vec<Broken>, Error> {
    installs::hold_pins(client, model.extension.id).await?;
    let mut broken = Vec::new();
    for Pinned { revision, definition, installs, installs_count } in
        installs::pinned_revisions(client, model.extension.id, NAMED_MAX).await?
    {
        let reasons = match recall(&definition) {
            Ok(old) => fits(&old, model),
            // What is served of it was read by this version's checks once and is served on; nobody can say for
            // how long.
            Err(reasons) => reasons,
        };
        if !reasons.is_empty() {
            broken.push(Broken { revision, installs, installs_count, reasons });
        }
    }
    Ok(broken)
}

/// One complaint for each reason, with who is pinned.
pub fn refusals(broken: &[Broken]) -> Vec<Diagnostic> {
    let of = |broken: &Broken| {
        let Broken { revision, installs, installs_count, reasons } = broken;
        let named: Vec<String> = installs.iter().map(Uuid::to_string).collect();
        let more = installs_count - i64::try_from(named.len()).unwrap_or(i64::MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let plural = if *installs_count == 1 { "" } else { "s" };
        let whose = format!("revision {revision}, which {installs_count} install{plural} pinned to");
        let whose =
            whose.replace("install pinned", "install is pinned").replace("installs pinned", "installs are pinned");
        let hint = format!("`rowgate installs unpin` {}{more}, or keep what that revision uses", named.join(", "));
        reasons
            .iter()
            .map(move |reason| Diagnostic {
                message: format!("{whose}: {}", reason.message),
                hint: Some(hint.clone()),
                ..reason.clone()
            })
            .collect::<Vec<_>>()
    };
    broken.iter().flat_map(of).collect()
}
