//! Makes a checked definition the deployed one, in one transaction where its tables allow that:
//! statements, roles, record and notification, or nothing.
//!
//! Nothing gets there without its cost certificate but by a caller's word. What rows stand in the way
//! is asked before anything is changed. Tables belong to a role of their own, and the extension's calls
//! run as another ([`wall`](crate::db::wall)); what was deployed before there were such roles is brought
//! over, changed or not.
//!
//! A change of tables with many rows has three phases ([`Phase`]): what prepares and what finishes are
//! steps of their own, recorded one by one ([`record::changes`]), the swap is a transaction as ever.
//! Whoever deploys the same definition after a gateway was killed goes on where that one stopped; another
//! definition has what was prepared taken back. One gateway at a time works on an extension, under an
//! advisory lock of its session that is polled, since waiting in `pg_advisory_lock` would hold up an index
//! that is being built; a second one finds the work done.

pub mod obstacles;
mod steps;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rowgate_schema_dsl::ddl::change::{self, plan};
use rowgate_schema_dsl::ddl::step::{DdlPlan, Phase, Step};
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::diff::align::{Aligned, align};
use rowgate_schema_dsl::diff::{Change, diff};
use rowgate_schema_dsl::model::Model;
use serde_json::Value;
use tokio_postgres::{Client, GenericClient, Transaction};

use crate::config::{BLOCKING_ROWS_MAX, Config, Roles};
use crate::db::wall::{Wall, WallError};
use crate::db::{catalog, reader, sqlstate};
use crate::deploy::apply::steps::{Runner, SETTINGS, Wait};
use crate::deploy::certify::{CertifyError, certify, must_exist, refusals};
use crate::deploy::pins;
use crate::record;
use crate::record::changes::{self, Pending};

/// On what terms a deploy is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub patience: Patience,
    pub scans: Scans,
    pub roles: Roles,
    /// How many bytes each scope may hold, where the extension does not ask for less.
    pub scope_bytes_max: Option<u64>,
    /// What may become of values, by name, such as `deletes-data:rules.text`.
    pub allowed: BTreeSet<String>,
    /// A table with more rows than this is changed while its callers go on.
    pub blocking_rows_max: u64,
}

impl Terms {
    /// Those that an operator's configuration asks for; everything must be certified, and nothing is lost.
    pub fn of(config: &Config) -> Terms {
        Terms {
            roles: config.database.roles,
            scope_bytes_max: config.deploy.scope_bytes_max,
            blocking_rows_max: config.deploy.blocking_rows_max,
            ..Terms::default()
        }
    }
}

impl Default for Terms {
    /// Everything must be certified, and nothing is lost.
    fn default() -> Self {
        Terms {
            patience: Patience::default(),
            scans: Scans::Only(BTreeSet::new()),
            roles: Roles::default(),
            scope_bytes_max: None,
            allowed: BTreeSet::new(),
            blocking_rows_max: BLOCKING_ROWS_MAX,
        }
    }
}

/// Which functions may read or sort without bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scans {
    /// Those named here, and those whose definition says so; all others must have their certificate.
    Only(BTreeSet<String>),
    /// Any: nothing is certified.
    Uncertified,
}

impl Scans {
    /// Those that are named; none where nothing is certified.
    pub fn allowed(&self) -> Option<&BTreeSet<String>> {
        match self {
            Scans::Only(named) => Some(named),
            Scans::Uncertified => None,
        }
    }
}

/// How long a deploy waits for others before it gives up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the first attempt to the last one's beginning: other deploys and locked tables together.
    pub wait_ms_max: u64,
    /// The mean pause between two attempts; each is drawn between half and one and a half of it.
    pub pause_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { wait_ms_max: 30_000, pause_ms: 100 }
    }
}

/// What a deploy came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The extension's current revision, from 1.
    pub revision: i64,
    /// False where the very definition was deployed already.
    pub changed: bool,
    /// What ran, in order; none where only functions changed.
    pub statements: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The definition asks for what cannot be applied; all of it.
    #[error("{}", lines(.0))]
    Refused(Vec<Diagnostic>),
    /// The new revision is deployed, and rows that came while it was being prepared contradict it.
    #[error("revision {revision} is deployed, but not all that it declares holds yet\n{}", lines(.complaints))]
    Unfinished { revision: i64, complaints: Vec<Diagnostic> },
    /// Functions that may read or sort without bound; all of them.
    #[error("{}", lines(.0))]
    Costly(Vec<Diagnostic>),
    /// The deployed definition cannot be read back by this binary.
    #[error("the deployed definition cannot be read by this version\n{}", lines(.0))]
    Recorded(Vec<Diagnostic>),
    #[error(transparent)]
    Certify(#[from] CertifyError),
    #[error(transparent)]
    Wall(#[from] WallError),
    #[error("other work held the extension or its tables for {waited_ms} ms; nothing was changed, try again")]
    Busy { waited_ms: u64 },
    #[error("Postgres refused the deploy: {}", crate::db::migrate::cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// Deploys `definition`, whose checked form is `model`, within what the terms let an extension have.
/// `recall` makes a model of the document that an earlier deploy recorded. What is deployed stays so unless
/// the answer is `Ok`, or says that all but the last of it is done.
pub async fn apply(
    client: &mut Client,
    definition: &Definition,
    model: &Model,
    recall: impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
    terms: &Terms,
) -> Result<Applied, ApplyError> {
    apply_watched(client, definition, model, recall, terms, &mut |_| {}).await
}

/// As [`apply`], telling each step as it begins.
pub async fn apply_watched(
    client: &mut Client,
    definition: &Definition,
    model: &Model,
    recall: impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
    terms: &Terms,
    watch: &mut (dyn FnMut(&Step) + Send),
) -> Result<Applied, ApplyError> {
    let (definition, model) = within(definition, model, terms);
    let (definition, model) = (&*definition, &*model);
    if let Scans::Only(allowed) = &terms.scans {
        must_exist(model, allowed)?;
        // What is deployed already has its certificates, or was let in by name.
        let is_deployed = record::stamps(&*client, &[definition.extension.id]).await?;
        let sha256 = record::definition_sha256(definition);
        let is_new = is_deployed.iter().all(|(_, stamp)| stamp.definition_sha256 != sha256);
        let refused = if is_new { refusals(model, &certify(client, model).await?, allowed) } else { Vec::new() };
        if !refused.is_empty() {
            return Err(ApplyError::Costly(refused));
        }
    }
    let key = changes::lock_key(definition.extension.id);
    let wait = Wait::new(terms.patience);
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?.try_get::<_, bool>(0)? {
        wait.on().await?;
    }
    let deploy = Deploy { definition, model, recall: &recall, terms };
    let result = deploy.run(client, watch).await;
    // A session that ended has given it back already.
    let unlocked = client.query_one("SELECT pg_advisory_unlock($1)", &[&key]).await;
    let applied = result?;
    unlocked?;
    Ok(applied)
}

/// The definition with what is in force recorded, so that a deploy under another maximum finds the
/// difference.
pub(in crate::deploy) fn within<'a>(
    definition: &'a Definition,
    model: &'a Model,
    terms: &Terms,
) -> (Cow<'a, Definition>, Cow<'a, Model>) {
    let (mut definition, mut model) = (Cow::Borrowed(definition), Cow::Borrowed(model));
    if let Some(max) = terms.scope_bytes_max
        && definition.extension.limits.bytes.is_none_or(|bytes| bytes > max)
    {
        for limits in [&mut definition.to_mut().extension.limits, &mut model.to_mut().extension.limits] {
            limits.bytes = Some(max);
        }
    }
    (definition, model)
}

/// One deploy, under its lock.
struct Deploy<'a, R> {
    definition: &'a Definition,
    model: &'a Model,
    recall: &'a R,
    terms: &'a Terms,
}

impl<R: Fn(&Value) -> Result<Model, Vec<Diagnostic>>> Deploy<'_, R> {
    async fn run(&self, client: &mut Client, watch: &mut (dyn FnMut(&Step) + Send)) -> Result<Applied, ApplyError> {
        let id = self.definition.extension.id;
        let sha256 = record::definition_sha256(self.definition);
        let mut pending = changes::pending(&*client, id).await?;
        if let Some(left) = &pending {
            let is_ours = left.definition_sha256 == sha256 && left.allowed.iter().eq(&self.terms.allowed);
            if left.swapped || !is_ours {
                let wall = self.wall(client, false).await?;
                let left_done = left.done;
                let mut runner = self.runner(client, wall);
                if left.swapped {
                    runner.finish(&left.steps, left_done, watch).await?;
                } else {
                    runner.take_back(&left.steps, left_done).await?;
                }
                pending = None;
            }
        }
        let current = record::extension(&*client, id).await?;
        if let Some(current) = &current
            && current.definition_sha256 == sha256
        {
            self.wall(client, true).await?;
            return Ok(Applied { revision: current.revision, changed: false, statements: Vec::new() });
        }
        let before = match &current {
            Some(current) => Some((self.recall)(&current.definition).map_err(ApplyError::Recorded)?),
            None => None,
        };
        let aligned = before.as_ref().map(|before| align(before, self.model));
        let found = diff(aligned.as_ref(), self.model);
        let refused: Vec<Diagnostic> = found.iter().filter_map(Change::refusal).collect();
        if !refused.is_empty() {
            return Err(ApplyError::Refused(refused));
        }
        self.breaks_no_pin(client).await?;
        let wall = match &current {
            Some(_) => self.wall(client, false).await?,
            None => None,
        };
        let (steps, done) = match pending {
            Some(pending) => (pending.steps, pending.done),
            None => {
                let seen = look(client, wall.as_ref(), aligned.as_ref(), self.model, &found, self.terms).await?;
                if !seen.against.is_empty() {
                    return Err(ApplyError::Refused(seen.against));
                }
                (seen.plan.steps, 0)
            }
        };
        let swap_at = steps.iter().take_while(|step| step.phase == Phase::Prepare).count();
        let finish_at = steps.iter().take_while(|step| step.phase <= Phase::Swap).count();
        let in_phases = swap_at > 0 || finish_at < steps.len();
        if in_phases && done == 0 {
            let allowed = self.terms.allowed.iter().cloned().collect();
            let pending = Pending { definition_sha256: sha256, allowed, steps: steps.clone(), done, swapped: false };
            // A change that was begun and has done nothing yet is begun again.
            changes::end(&*client, id).await?;
            changes::begin(&*client, id, &pending).await?;
        }
        let revision = current.as_ref().map_or(0, |current| current.revision) + 1;
        let mut runner = self.runner(client, wall);
        if let Err(error) = runner.prepare(steps.get(..swap_at).unwrap_or_default(), done, watch).await {
            return Err(runner.given_up(error, &steps, swap_at).await);
        }
        let swap = steps.get(swap_at..finish_at).unwrap_or_default();
        for step in swap {
            watch(step);
        }
        let is_last = finish_at == steps.len();
        if let Err(error) = self.swap(runner.client, &steps, swap, finish_at, revision).await {
            return Err(if in_phases { runner.given_up(error, &steps, swap_at).await } else { error });
        }
        if !is_last {
            runner.finish(&steps, finish_at, watch).await.map_err(|error| match error {
                ApplyError::Refused(complaints) => ApplyError::Unfinished { revision, complaints },
                other => other,
            })?;
        }
        let statements = steps.iter().flat_map(|step| step.work.statements()).map(str::to_owned).collect();
        Ok(Applied { revision, changed: true, statements })
    }

    /// Refused is what an install that is pinned to an older revision could not live with.
    async fn breaks_no_pin(&self, client: &impl GenericClient) -> Result<(), ApplyError> {
        let broken = pins::broken(client, self.model, self.recall).await?;
        if broken.is_empty() { Ok(()) } else { Err(ApplyError::Refused(pins::refusals(&broken))) }
    }

    fn runner<'c>(&self, client: &'c mut Client, wall: Option<Wall>) -> Runner<'c> {
        let (extension, postgres_schema) = (self.definition.extension.id, self.model.postgres_schema.clone());
        Runner { client, extension, postgres_schema, wall, patience: self.terms.patience }
    }

    /// The wall of what is deployed, made or mended where it is not whole.
    /// `is_deployed` says whether the model is: what handlers read by SQL is made for no other.
    async fn wall(&self, client: &mut Client, is_deployed: bool) -> Result<Option<Wall>, ApplyError> {
        let wait = Wait::new(self.terms.patience);
        loop {
            match self.build_wall(client, is_deployed).await {
                Err(ApplyError::Database(error)) if sqlstate::is_contention(&error) => wait.on().await?,
                Err(ApplyError::Wall(error)) if error.is_race() => wait.on().await?,
                other => return other,
            }
        }
    }

    async fn build_wall(&self, client: &mut Client, is_deployed: bool) -> Result<Option<Wall>, ApplyError> {
        let id = self.definition.extension.id;
        let transaction = client.transaction().await?;
        transaction.batch_execute(SETTINGS).await?;
        let role = record::extension(&transaction, id).await?.and_then(|current| current.role);
        let wall = self.prepare_wall(&transaction, role.is_some()).await?;
        if let Some(wall) = &wall {
            let built = build_tables(&transaction, wall, self.model, &[]).await?;
            let read = is_deployed && reader::build(&transaction, wall, self.model).await?;
            if built || read || role.as_ref() != Some(&wall.role) {
                record::set_role(&transaction, id, &wall.role).await?;
            }
        }
        transaction.commit().await?;
        Ok(wall)
    }

    async fn prepare_wall(&self, transaction: &Transaction<'_>, stands: bool) -> Result<Option<Wall>, ApplyError> {
        Ok(match self.terms.roles {
            Roles::PerExtension => Some(Wall::prepare(transaction, self.definition.extension.id).await?),
            // A wall that stands is kept: without it the gateway could not reach the tables.
            Roles::None if stands => Some(Wall::prepare(transaction, self.definition.extension.id).await?),
            Roles::None => None,
        })
    }

    /// The one transaction at whose end the new revision is deployed.
    async fn swap(
        &self,
        client: &mut Client,
        steps: &[Step],
        swap: &[Step],
        finish_at: usize,
        revision: i64,
    ) -> Result<(), ApplyError> {
        let wait = Wait::new(self.terms.patience);
        loop {
            match self.try_swap(client, steps, swap, finish_at, revision).await {
                Err(ApplyError::Database(error)) if sqlstate::is_contention(&error) => wait.on().await?,
                Err(ApplyError::Wall(error)) if error.is_race() => wait.on().await?,
                other => return other,
            }
        }
    }

    async fn try_swap(
        &self,
        client: &mut Client,
        steps: &[Step],
        mut swap: &[Step],
        finish_at: usize,
        revision: i64,
    ) -> Result<(), ApplyError> {
        let id = self.definition.extension.id;
        // Dropping the transaction on any way out rolls it back.
        let transaction = client.transaction().await?;
        transaction.batch_execute(SETTINGS).await?;
        let current = record::extension(&transaction, id).await?;
        if current.as_ref().map_or(0, |current| current.revision) != revision - 1 {
            // The extension was removed meanwhile: whoever deploys it again begins anew.
            return Err(ApplyError::Busy { waited_ms: 0 });
        }
        let role = current.and_then(|current| current.role);
        // Somebody may have been pinned meanwhile; from here on nobody is.
        self.breaks_no_pin(&transaction).await?;
        let wall = self.prepare_wall(&transaction, role.is_some()).await?;
        if revision == 1
            && let Some((postgres_schema, rest)) = swap.split_first()
        {
            // The tables' owner may make no Postgres schema; it is given this one.
            steps::swap(&transaction, postgres_schema).await?;
            swap = rest;
        }
        match &wall {
            Some(wall) => {
                if !swap.is_empty() {
                    reader::stand_aside(&transaction, wall, self.model).await?;
                }
                build_tables(&transaction, wall, self.model, swap).await?;
                reader::build(&transaction, wall, self.model).await?;
            }
            None => run(&transaction, swap).await?,
        }
        let statements: Vec<&str> = steps.iter().flat_map(|step| step.work.statements()).collect();
        let role = wall.as_ref().map(|wall| wall.role.as_str());
        record::insert_revision(&transaction, self.definition, revision, &statements, role).await?;
        if finish_at < steps.len() {
            changes::swap(&transaction, id, finish_at).await?;
        } else {
            changes::end(&transaction, id).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// What is to be done, and what rows stand against it.
pub(in crate::deploy) struct Seen {
    pub plan: DdlPlan,
    pub against: Vec<Diagnostic>,
    /// Rows of each table that steps are about, as it is called now: exact of small ones.
    pub rows: BTreeMap<String, u64>,
}

/// Looks at the rows of what is deployed; nothing is changed.
pub(in crate::deploy) async fn look(
    client: &mut Client,
    wall: Option<&Wall>,
    before: Option<&Aligned>,
    model: &Model,
    found: &[Change<'_>],
    terms: &Terms,
) -> Result<Seen, ApplyError> {
    let mut with = change::Terms { large: BTreeSet::new(), allowed: terms.allowed.clone() };
    let at_once = plan(before, model, found, &with);
    let tables: BTreeSet<&str> = at_once.steps.iter().filter_map(|step| step.table.as_deref()).collect();
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    if let Some(wall) = wall {
        wall.step_forward(&transaction).await?;
    }
    let rows = catalog::rows(&transaction, &model.postgres_schema, &tables, terms.blocking_rows_max).await?;
    let is_large = |rows: u64| rows > terms.blocking_rows_max;
    with.large = rows.iter().filter(|(_, rows)| is_large(**rows)).map(|(table, _)| table.clone()).collect();
    let plan = if with.large.is_empty() { at_once } else { plan(before, model, found, &with) };
    let against = obstacles::found(&transaction, &plan.obstacles).await?;
    Ok(Seen { plan, against, rows })
}

impl Runner<'_> {
    async fn prepare(
        &mut self,
        steps: &[Step],
        done: usize,
        watch: &mut (dyn FnMut(&Step) + Send),
    ) -> Result<(), ApplyError> {
        for (place, step) in steps.iter().enumerate().skip(done) {
            watch(step);
            self.perform(step, place + 1).await?;
        }
        Ok(())
    }

    async fn finish(
        &mut self,
        steps: &[Step],
        done: usize,
        watch: &mut (dyn FnMut(&Step) + Send),
    ) -> Result<(), ApplyError> {
        for (place, step) in steps.iter().enumerate().skip(done) {
            watch(step);
            self.perform(step, place + 1).await?;
        }
        Ok(changes::end(&*self.client, self.extension).await?)
    }

    /// What was prepared is taken back where rows stood in the way; where others did, it waits for the
    /// next attempt.
    async fn given_up(&mut self, error: ApplyError, steps: &[Step], swap_at: usize) -> ApplyError {
        if !matches!(error, ApplyError::Refused(_)) {
            return error;
        }
        let done = match changes::pending(&*self.client, self.extension).await {
            Ok(pending) => pending.map_or(0, |pending| pending.done),
            Err(error) => return error.into(),
        };
        match self.take_back(steps.get(..swap_at).unwrap_or_default(), done).await {
            Ok(()) => error,
            Err(other) => other,
        }
    }
}

/// Runs `steps` as the tables' owner, and lets the extension's role work on what there is then.
/// Answers whether anything but `steps` was missing.
async fn build_tables(
    transaction: &Transaction<'_>,
    wall: &Wall,
    model: &Model,
    steps: &[Step],
) -> Result<bool, ApplyError> {
    let owned = wall.own(transaction, &model.postgres_schema).await?;
    wall.step_forward(transaction).await?;
    run(transaction, steps).await?;
    let granted = wall.grant(transaction, &model.postgres_schema).await?;
    wall.step_back(transaction).await?;
    Ok(owned || granted)
}

async fn run(transaction: &Transaction<'_>, swap: &[Step]) -> Result<(), ApplyError> {
    for step in swap {
        steps::swap(transaction, step).await?;
    }
    Ok(())
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
