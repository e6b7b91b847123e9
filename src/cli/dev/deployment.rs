//! What a development gateway has deployed, and the next deploy.

use rowgate_schema_dsl::diagnostic::{Diagnostic, SourceMap};
use rowgate_schema_dsl::read::read;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::cli::bundle::Loaded;
use crate::cli::certificate::{AllowScan, failed};
use crate::cli::dev::changes::summary;
use crate::cli::output::{self, Style};
use crate::cli::{Failed, database, own_name};
use crate::config::Config;
use crate::deploy::apply::obstacles::allowances;
use crate::deploy::apply::{ApplyError, Patience, apply};
use crate::record;
use crate::registry::recall;

/// A developer waits for this one; nobody else deploys here, as a rule.
const PATIENCE: Patience = Patience { wait_ms_max: 10_000, pause_ms: 50 };

/// The last bundle that was deployed, and its revision.
#[derive(Debug)]
pub(super) struct Deployment {
    settings: Config,
    allow_scan: AllowScan,
    /// Which bundle, and which database, as other commands are told.
    place: String,
    loaded: Option<Loaded>,
    served: Option<(Uuid, i64)>,
}

/// What a deploy came to.
#[derive(Debug)]
pub(super) struct Deployed {
    pub(super) revision: i64,
    pub(super) changed: bool,
    pub(super) statements: Vec<String>,
    /// What is other than in the bundle before, in words.
    pub(super) summary: String,
}

impl Deployment {
    pub(super) fn new(settings: Config, allow_scan: AllowScan, place: String) -> Deployment {
        Deployment { settings, allow_scan, place, loaded: None, served: None }
    }

    /// The extension and the revision that are served.
    pub(super) fn served(&self) -> Option<(Uuid, i64)> {
        self.served
    }

    /// The bundle that is served.
    pub(super) fn loaded(&self) -> Option<&Loaded> {
        self.loaded.as_ref()
    }

    /// Makes `loaded` the deployed one. What is refused is printed, and what was served stays.
    pub(super) async fn deploy(&mut self, loaded: Loaded) -> Result<Deployed, Failed> {
        let mut client = database::open(&self.settings.database).await?;
        let id = loaded.definition.extension.id;
        let terms = self.allow_scan.terms(PATIENCE, &self.settings);
        let result = apply(&mut client, &loaded.definition, &loaded.model, recall, &terms).await;
        let applied = match result {
            Ok(applied) => applied,
            Err(ApplyError::Refused(mut diagnostics)) => {
                self.recall_served(&client, id).await?;
                loaded.source_map.place(&mut diagnostics);
                let advice = match allowances(&diagnostics) {
                    Some(names) => {
                        let allow: String = names.iter().map(|name| format!(" --allow {name}")).collect();
                        format!("\n  to have it all the same: {} apply {}{allow}", own_name(), self.place)
                    }
                    None => {
                        "\n  to begin again without the rows, use a new --data-dir, or another DATABASE_URL".to_owned()
                    }
                };
                self.say_refused(&diagnostics, &advice);
                return Err(Failed::Said);
            }
            Err(ApplyError::Costly(mut diagnostics)) => {
                self.recall_served(&client, id).await?;
                loaded.source_map.place(&mut diagnostics);
                self.say_refused(&diagnostics, "");
                return Err(Failed::Said);
            }
            Err(error) => return Err(failed(error)),
        };
        let summary = summary(self.loaded.as_ref().map(|before| &before.definition), &loaded.definition);
        self.served = Some((id, applied.revision));
        self.loaded = Some(loaded);
        Ok(Deployed { revision: applied.revision, changed: applied.changed, statements: applied.statements, summary })
    }

    /// What was deployed before this process came is served on.
    async fn recall_served(&mut self, client: &Client, id: Uuid) -> Result<(), Failed> {
        if self.served.is_none()
            && let Some(known) = record::extension(client, id).await?
        {
            self.served = Some((id, known.revision));
            self.loaded = recalled(&known.definition);
        }
        Ok(())
    }

    fn say_refused(&self, diagnostics: &[Diagnostic], advice: &str) {
        let complaints = output::complaints(diagnostics, Style::of_stderr());
        let serves_on =
            self.served.map_or_else(String::new, |(_, revision)| format!("; revision {revision} serves on"));
        output::note(&format!("{complaints}; the change is refused{serves_on}{advice}"));
    }
}

/// What an earlier deploy recorded, where this version still reads it.
fn recalled(document: &Value) -> Option<Loaded> {
    let model = recall(document).ok()?;
    let (definition, _) = read(document);
    Some(Loaded { definition, model, source_map: SourceMap::default() })
}
