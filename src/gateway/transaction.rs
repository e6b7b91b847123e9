//! A transaction: its steps run in their order, all of them or none, and are answered as one object.
//!
//! Steps that wait for nobody's row are sent together. What a later step takes from an earlier one's row is bound as
//! the database sent it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rowgate_schema_dsl::name::Name;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::auth::Identity;
use crate::db::parameter::Parameter;
use crate::db::transaction::{Open, Step};
use crate::error::{Code, Failure};
use crate::gateway::{Call, Gateway, Looking, Ready, Worker, must_change};
use crate::plan::answer::{Raw, Text};
use crate::plan::argument::Given;
use crate::plan::{Guard, Plan, PlanStep};
use crate::registry::Install;

/// What a step knows of those before it: nothing where it is alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Earlier<'a> {
    steps: &'a [PlanStep],
    /// The id of the row that each step may make.
    ids: &'a [Uuid],
    /// The row that each step has, once it was answered.
    rows: &'a [Option<Row>],
    /// Which step this is.
    place: usize,
}

impl<'a> Earlier<'a> {
    pub(super) fn new_id(&self) -> Uuid {
        self.ids.get(self.place).copied().unwrap_or_else(Uuid::now_v7)
    }

    /// `column` of the row of the step at `place`.
    pub(super) fn value(&self, place: usize, column: &Name) -> Result<Parameter<'a>, Failure> {
        let unknown = || Failure::new(Code::Internal, "the gateway has no row of an earlier step");
        let row = self.rows.get(place).and_then(Option::as_ref);
        match (row, self.steps.get(place), self.ids.get(place)) {
            (Some(row), _, _) => {
                let value = row.try_get::<_, Option<Raw<'a>>>(column.as_str());
                let value = value.map_err(|error| unknown().with_log(error.to_string()))?;
                Ok(value.map_or(Parameter::Null, |Raw(bytes)| Parameter::Raw(bytes)))
            }
            (None, Some(step), Some(id)) if step.makes_row && *column == *"id" => Ok(Parameter::Uuid(*id)),
            (None, _, _) => Err(unknown()),
        }
    }
}

/// The steps of `plan`, each with what it takes of what was `given`.
pub(super) fn steps<'a>(install: &'a Install, plan: &'a Plan, given: &Given) -> Result<Vec<Ready<'a>>, Failure> {
    let mut steps = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let scope_key = install.scope_key(step.plan.scope)?;
        let given = given.of_step(&step.takes, step.list, Uuid::now_v7);
        must_change(&step.plan, &plan.arguments, &given).map_err(|failure| of_step(step, failure))?;
        let statement = step.plan.statement(&given).map(AsRef::as_ref);
        steps.push(Ready { install, plan: &step.plan, scope_key, given, turn: None, statement, steps: Vec::new() });
    }
    Ok(steps)
}

impl Gateway {
    /// Runs a transaction, again where the database undid it for another's sake.
    pub(super) async fn transact(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        ready: &Ready<'_>,
        began: Instant,
    ) -> Result<Text, Failure> {
        let deadline = began + Duration::from_millis(self.config.http.call_timeout_ms);
        let mut attempts = worker.transactions.attempts(ready.install.extension.role.as_ref(), deadline);
        loop {
            let mut open = attempts.begin().await?;
            let mut json = Vec::new();
            // Nothing is committed yet, so an answer that no one could hold still undoes what it is of.
            let bytes_max = self.config.http.answer_bytes_max;
            let result = ready.all(&mut open, call.identity, bytes_max, &mut json).await;
            let result = result.map(|()| Text { json, version: None });
            if let ControlFlow::Break(result) = attempts.end(open, result).await {
                return result;
            }
        }
    }
}

impl Ready<'_> {
    /// Runs every step within `open`, and appends their answers to `out`.
    pub(super) async fn all(
        &self,
        open: &mut Open<'_>,
        identity: &Identity,
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let steps = &self.plan.steps;
        let ids: Vec<Uuid> = steps.iter().map(|_| Uuid::now_v7()).collect();
        let mut rows: Vec<Option<Row>> = Vec::with_capacity(steps.len());
        out.push(b'{');
        while rows.len() < steps.len() {
            let from = rows.len();
            let waiting = steps.iter().skip(from + 1).position(|step| step.waits);
            let count = waiting.map_or(steps.len() - from, |waiting| waiting + 1);
            let earlier = |place| Earlier { steps, ids: &ids, rows: &rows, place };
            let answers =
                self.together(open, identity, bytes_max, from, count, &earlier).await.map_err(|(place, failure)| {
                    match place.and_then(|place| steps.get(place)) {
                        Some(step) => of_step(step, failure),
                        None => failure,
                    }
                })?;
            for (step, (json, row)) in steps.iter().skip(from).zip(answers) {
                // Names are ASCII letters, digits and `_`: nothing to escape.
                out.extend_from_slice(if rows.is_empty() { b"\"" } else { b",\"" });
                out.extend_from_slice(step.name.as_bytes());
                out.extend_from_slice(b"\":");
                out.extend_from_slice(&json);
                rows.push(row);
            }
        }
        out.push(b'}');
        Ok(())
    }

    /// Runs `count` steps behind those that were run, and answers the text and the row of each.
    async fn together<'e>(
        &self,
        open: &mut Open<'_>,
        identity: &Identity,
        bytes_max: usize,
        from: usize,
        count: usize,
        earlier: &impl Fn(usize) -> Earlier<'e>,
    ) -> Result<Vec<(Vec<u8>, Option<Row>)>, (Option<usize>, Failure)> {
        let readies = || self.steps.iter().enumerate().skip(from).take(count);
        let mut bound = Vec::with_capacity(count);
        for (place, ready) in readies() {
            let statement = ready.statement().map_err(|failure| (Some(place), failure))?;
            let parameters = ready.bound(statement, identity, earlier(place));
            bound.push((statement, parameters.map_err(|failure| (Some(place), failure))?));
        }
        let mut steps = Vec::with_capacity(count);
        for ((_, ready), (statement, parameters)) in readies().zip(&bound) {
            steps.push(Step { plan: ready.plan, statement, parameters, turn: None, bytes_max });
        }
        let (place, failure) = match open.run_all(&steps).await {
            Ok(ran) => return Ok(ran.into_iter().map(|(json, ran)| (json, ran.last)).collect()),
            Err((place, failure)) => (place.map(|place| from + place), failure),
        };
        let ready = place.and_then(|place| self.steps.get(place));
        let guard = ready.and_then(|ready| Some((ready, ready.plan.guard_of(&ready.given)?)));
        let (Some(place), Some((ready, guard)), Code::RowNotFound) = (place, guard, failure.code) else {
            return Err((place, failure));
        };
        let looked = look(open, ready, guard, identity, earlier(place)).await;
        Err((Some(place), looked.unwrap_or_else(|failure| failure)))
    }
}

/// Why the row of a guarded write was not found: it is gone, or has another version.
async fn look(
    open: &mut Open<'_>,
    ready: &Ready<'_>,
    guard: &Guard,
    identity: &Identity,
    earlier: Earlier<'_>,
) -> Result<Failure, Failure> {
    let Looking { statement, parameters } = ready.looking(guard, identity, earlier)?;
    let step = Step { plan: &guard.look, statement, parameters: &parameters, turn: None, bytes_max: usize::MAX };
    let looked = open.run(step, &mut Vec::new()).await?;
    Ok(ready.mismatch(guard, looked.version))
}

/// `failure` as one of this step: which of several it was, and where its rows are among the arguments.
fn of_step(step: &PlanStep, mut failure: Failure) -> Failure {
    failure.detail = format!("step `{}`: {}", step.name, failure.detail).into();
    if step.list.is_some() {
        for complaint in &mut failure.complaints {
            if let Some(rest) = complaint.pointer.strip_prefix("/rows") {
                complaint.pointer = format!("/{}{rest}", step.name);
            }
        }
    }
    failure
}
