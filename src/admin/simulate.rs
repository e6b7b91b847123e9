//! `POST /admin/v1/limits/simulate`: recorded traffic held to other limits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::admin::Admin;
use crate::admin::api::{read, respond};
use crate::admin::installs::not_read;
use crate::admin::limits::layers;
use crate::config::Limits;
use crate::db::pool;
use crate::error::{Code, Failure};
use crate::limit::Policies;
use crate::limit::overrides::Override;
use crate::limit::resolve::{Resolver, function_key};
use crate::limit::simulate::{Held, Replay};
use crate::limit::traffic::{Asker, Second, from_bytes};
use crate::record::traffic::{Minute, page};
use crate::registry::Snapshot;

const PATH: &str = "/admin/v1/limits/simulate";
const SINCE_S: u64 = 86_400;

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/limits/simulate", post(simulate))
}

/// The body: what is left out is what is in force.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// As `[limits]` of the configuration.
    #[schemars(with = "Option<Map<String, Value>>")]
    limits: Option<Limits>,
    overrides: Option<Vec<Override>>,
    since_s: Option<u64>,
    /// A percentile of buckets that are to be refused nothing.
    fit: Option<u8>,
}

async fn simulate(
    State(admin): State<Admin>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response<Body> {
    let done = async {
        let asked: Asked = read(body)?;
        let snapshot = admin.gateway.snapshot();
        let limits = asked.limits.unwrap_or_else(|| admin.gateway.config.limits.clone());
        let overrides = asked.overrides.unwrap_or_else(|| snapshot.overrides.clone());
        must_be_sound(&limits, &overrides, asked.fit)?;
        let Ok(_alone) = admin.simulating.try_acquire() else {
            return Err(Failure::new(Code::StateConflict, "another simulation is running; ask again when it is done"));
        };
        let since = SystemTime::now() - Duration::from_secs(asked.since_s.unwrap_or(SINCE_S).min(u64::from(u32::MAX)));
        let replay = replayed(&admin, Simulation::new(&snapshot, limits.clone(), overrides.clone()), since).await?;
        let report = replay.report();
        let Some(percent) = asked.fit else { return Ok(json!({ "report": report })) };
        let fitted = replay.fit(percent);
        let limits = Replay::fitted(&fitted, &limits);
        let again = replayed(&admin, Simulation::new(&snapshot, limits.clone(), overrides), since).await?;
        Ok(json!({
            "report": report,
            "fit": { "percent": percent, "quotas": fitted, "limits": layers(&limits), "report": again.report() },
        }))
    };
    respond(StatusCode::OK, PATH, &headers, done.await)
}

fn must_be_sound(limits: &Limits, overrides: &[Override], fit: Option<u8>) -> Result<(), Failure> {
    let mut reasons = Vec::new();
    limits.check(&mut reasons);
    let complaints = overrides.iter().enumerate();
    reasons.extend(complaints.filter_map(|(index, one)| Some(format!("overrides[{index}]: {}", one.complaint()?))));
    if !fit.is_none_or(|percent| (1..=100).contains(&percent)) {
        reasons.push("fit: expected a percentile from 1 to 100".to_owned());
    }
    if reasons.is_empty() { Ok(()) } else { Err(Failure::new(Code::ArgumentsInvalid, reasons.join("; "))) }
}

/// Replays everything since then, page by page, off the threads that answer.
async fn replayed(admin: &Admin, mut simulation: Simulation, since: SystemTime) -> Result<Replay, Failure> {
    let mut last: Option<Minute> = None;
    loop {
        let client = pool::take(&admin.pool).await?;
        let minutes = page(&**client, since, last.as_ref()).await.map_err(|error| not_read(&error))?;
        drop(client);
        let is_over = minutes.is_empty();
        last = minutes.last().cloned();
        let worked = tokio::task::spawn_blocking(move || {
            minutes.iter().for_each(|minute| simulation.gather(minute));
            if is_over {
                simulation.flush(u64::MAX);
            }
            simulation
        });
        simulation = worked.await.map_err(|_| Failure::new(Code::Internal, "the simulation ended early"))?;
        if is_over {
            return Ok(simulation.replay);
        }
    }
}

/// Traffic on its way to the replay, in the order of its seconds.
struct Simulation {
    snapshot: Arc<Snapshot>,
    limits: Limits,
    overrides: Vec<Override>,
    replay: Replay,
    known: HashMap<Uuid, Option<Known>>,
    /// Of gateways side by side.
    waiting: BTreeMap<u64, Vec<(Asker, Second)>>,
}

/// An install, and what it would be held to.
struct Known {
    extension_id: Uuid,
    policies: Arc<Policies>,
    places: HashMap<u128, usize>,
}

impl Simulation {
    fn new(snapshot: &Arc<Snapshot>, limits: Limits, overrides: Vec<Override>) -> Simulation {
        let replay = Replay::new(&limits);
        let (snapshot, known, waiting) = (snapshot.clone(), HashMap::new(), BTreeMap::new());
        Simulation { snapshot, limits, overrides, replay, known, waiting }
    }

    /// What no later row can begin before is replayed.
    fn gather(&mut self, minute: &Minute) {
        self.flush(minute.began_s());
        for (asker, seconds) in from_bytes(&minute.body, minute.began_s()).unwrap_or_default() {
            for second in seconds {
                self.waiting.entry(second.at_s).or_default().push((asker, second));
            }
        }
    }

    fn flush(&mut self, until_s: u64) {
        let later = self.waiting.split_off(&until_s);
        for (asker, second) in std::mem::replace(&mut self.waiting, later).into_values().flatten() {
            let known = self.known.entry(asker.install_id).or_insert_with(|| {
                let install = self.snapshot.installs.get(&asker.install_id)?;
                let subject = install.subject();
                let places =
                    subject.functions.iter().zip(0..).map(|(declared, place)| (function_key(&declared.name), place));
                Some(Known {
                    extension_id: install.extension.id,
                    policies: Resolver::new(&self.limits, &self.overrides).policies(subject),
                    places: places.collect(),
                })
            });
            let held = known.as_ref().map(|known| {
                let place = known.places.get(&asker.function).copied().unwrap_or(usize::MAX);
                Held { extension_id: known.extension_id, quotas: known.policies.of(asker.class, place) }
            });
            self.replay.second(&asker, &second, held.as_ref());
        }
    }
}
