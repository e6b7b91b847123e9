//! What a deploy would do, looked at and not done: every statement with its lock, what becomes of
//! values, and how long it takes on the tables as they are now.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use rowgate_schema_dsl::ddl::step::{Lock, Phase, Step};
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::{Diagnostic, Place};
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::diff::{Change, diff};
use rowgate_schema_dsl::model::Model;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::db::wall::Wall;
use crate::deploy::apply::{ApplyError, Scans, Seen, Terms, look, within};
use crate::deploy::certify::{certify, must_exist, refusals};
use crate::deploy::drift::{self, Difference};
use crate::deploy::pins;
use crate::record::{self, changes};

/// What a deploy would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Planned {
    pub extension: Uuid,
    pub name: String,
    /// The current revision, 0 where nothing is deployed.
    pub revision: i64,
    /// Whether there is anything to do.
    pub is_pending: bool,
    /// A change that was begun before and is not done.
    pub under_way: Option<UnderWay>,
    pub steps: Vec<PlannedStep>,
    pub functions: Functions,
    /// What stands against it; it is refused until nothing does.
    pub against: Vec<Complaint>,
    /// What somebody changed by hand in what is deployed.
    pub drift: Vec<Complaint>,
}

/// One step of a change, and what it costs on the tables as they are now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedStep {
    pub phase: Cow<'static, str>,
    pub subject: String,
    pub statements: Vec<String>,
    /// Whether they are run again and again, for a batch of rows each.
    pub in_batches: bool,
    pub table: Option<String>,
    /// The strongest lock on that table, as Postgres calls it.
    pub lock: Cow<'static, str>,
    pub rewrites_table: bool,
    pub hazards: Vec<Cow<'static, str>>,
    /// Rows of that table now: a guess for a table of very many.
    pub rows: Option<u64>,
    /// A guess: measured on one machine, and it grows with the rows alone.
    pub seconds: f64,
}

/// A change that was begun before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnderWay {
    pub done: usize,
    pub steps: usize,
    /// Whether it leads to this very definition; if not, it is taken back or finished first.
    pub is_this: bool,
}

/// A diagnostic that has travelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Complaint {
    pub code: Cow<'static, str>,
    /// JSON pointer into the definition document; of drift the table, or something of it.
    pub pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub place: Option<Place>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Names of functions, declared and written, by what becomes of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Functions {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

impl From<Diagnostic> for Complaint {
    fn from(diagnostic: Diagnostic) -> Complaint {
        let Diagnostic { code, pointer, place, message, hint } = diagnostic;
        Complaint { code: code.into(), pointer, place, message, hint }
    }
}

impl From<Difference> for Complaint {
    fn from(difference: Difference) -> Complaint {
        let Difference { code, place, message, hint } = difference;
        Complaint { code: code.into(), pointer: place, place: None, message, hint: Some(hint) }
    }
}

impl fmt::Display for Complaint {
    /// As a [`Diagnostic`] is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: ")?,
            None if !self.pointer.is_empty() => write!(f, "{}: ", self.pointer)?,
            None => {}
        }
        write!(f, "error[{}]: {}", self.code, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Looks at what a deploy of `definition` would do. Nothing is changed.
pub async fn plan(
    client: &mut Client,
    definition: &Definition,
    model: &Model,
    recall: impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
    terms: &Terms,
) -> Result<Planned, ApplyError> {
    let (definition, model) = within(definition, model, terms);
    let (definition, model) = (&*definition, &*model);
    let id = definition.extension.id;
    let sha256 = record::definition_sha256(definition);
    let current = record::extension(&*client, id).await?;
    let pending = changes::pending(&*client, id).await?;
    let is_deployed = current.as_ref().is_some_and(|current| current.definition_sha256 == sha256);
    let under_way = pending.as_ref().map(|pending| UnderWay {
        done: pending.done,
        steps: pending.steps.len(),
        is_this: pending.definition_sha256 == sha256,
    });
    let mut planned = Planned {
        extension: id,
        name: definition.extension.name.clone(),
        revision: current.as_ref().map_or(0, |current| current.revision),
        is_pending: !is_deployed || under_way.is_some(),
        under_way,
        steps: Vec::new(),
        functions: Functions::default(),
        against: Vec::new(),
        drift: Vec::new(),
    };
    let before = match &current {
        Some(current) => Some(recall(&current.definition).map_err(ApplyError::Recorded)?),
        None => None,
    };
    if let Some(before) = &before {
        let transaction = client.transaction().await?;
        let role = current.as_ref().and_then(|current| current.role.as_deref());
        planned.drift = drift::find(&transaction, before, role).await?.into_iter().map(Complaint::from).collect();
    }
    planned.functions = functions(current.as_ref().map(|current| &current.definition), definition);
    if is_deployed {
        let left = pending.filter(|pending| pending.swapped);
        let left = left.into_iter().flat_map(|pending| pending.steps.into_iter().skip(pending.done));
        planned.steps = left.map(|step| planned_step(&step, &BTreeMap::new())).collect();
        return Ok(planned);
    }
    let aligned = before.as_ref().map(|before| align(before, model));
    let found = diff(aligned.as_ref(), model);
    let mut stands: Vec<Diagnostic> = found.iter().filter_map(Change::refusal).collect();
    if let Scans::Only(allowed) = &terms.scans {
        must_exist(model, allowed)?;
        stands.extend(refusals(model, &certify(client, model).await?, allowed));
    }
    let wall = match current.as_ref().filter(|current| current.role.is_some()) {
        Some(_) => {
            let transaction = client.transaction().await?;
            let wall = Wall::prepare(&transaction, id).await?;
            transaction.rollback().await?;
            Some(wall)
        }
        None => None,
    };
    let Seen { plan, against, rows } = look(client, wall.as_ref(), aligned.as_ref(), model, &found, terms).await?;
    stands.extend(against);
    stands.extend(pins::refusals(&pins::broken(&*client, model, &recall).await?));
    let resumed = pending.filter(|pending| pending.definition_sha256 == sha256 && !pending.swapped);
    let (steps, done) = match resumed {
        Some(pending) => (pending.steps, pending.done),
        None => (plan.steps, 0),
    };
    planned.against = stands.into_iter().map(Complaint::from).collect();
    planned.steps = steps.iter().skip(done).map(|step| planned_step(step, &rows)).collect();
    Ok(planned)
}

fn planned_step(step: &Step, rows: &BTreeMap<String, u64>) -> PlannedStep {
    let rows = step.table.as_ref().and_then(|table| rows.get(table)).copied();
    PlannedStep {
        phase: step.phase.as_str().into(),
        subject: step.subject.clone(),
        statements: step.work.statements().into_iter().map(str::to_owned).collect(),
        in_batches: step.work.is_in_batches(),
        table: step.table.clone(),
        lock: step.lock.as_str().into(),
        rewrites_table: step.rewrites(),
        hazards: step.hazards().into_iter().map(Cow::from).collect(),
        rows,
        seconds: step.seconds(rows.unwrap_or_default()),
    }
}

/// How long callers of a table may have to wait for the swap, in seconds: what it does under locks that
/// stop them, in one transaction.
pub fn pause_s(planned: &Planned) -> f64 {
    let swap = planned.steps.iter().filter(|step| step.phase == Phase::Swap.as_str() && step.table.is_some());
    let stops = |step: &&PlannedStep| {
        [Lock::AccessExclusive, Lock::ShareRowExclusive, Lock::Share].iter().any(|lock| lock.as_str() == step.lock)
    };
    swap.filter(stops).map(|step| step.seconds).sum()
}

fn functions(before: Option<&Value>, after: &Definition) -> Functions {
    let after = serde_json::to_value(after).unwrap_or_default();
    let mut found = Functions::default();
    for member in ["functions", "handlers"] {
        let of = |document: Option<&Value>| -> BTreeMap<String, Value> {
            let members = document.and_then(|document| document.get(member)).and_then(Value::as_object);
            members.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect()
        };
        let (old, new) = (of(before), of(Some(&after)));
        found.added.extend(new.keys().filter(|name| !old.contains_key(*name)).cloned());
        found.removed.extend(old.keys().filter(|name| !new.contains_key(*name)).cloned());
        found.changed.extend(
            new.iter().filter(|(name, is)| old.get(*name).is_some_and(|was| was != *is)).map(|(name, _)| name.clone()),
        );
    }
    found
}
