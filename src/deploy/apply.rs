//! Makes a checked definition the deployed one: statements, roles, ledger and notification in one
//! transaction, or nothing.
//!
//! Nothing gets there without its cost certificate but by a caller's word. Tables belong to a role of
//! their own, and the extension's calls run as another ([`wall`](crate::db::wall)); what was deployed
//! before there were such roles is brought over, changed or not.
//!
//! One gateway at a time works on an extension, under an advisory lock of the transaction; a second
//! one finds the work done. A statement that would have to wait for a table's lock gives up after
//! 150 ms, so that no caller queues behind it, and everything is tried again a little later.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rowgate_schema_dsl::ddl::{DdlPlan, DdlStatement, ddl};
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::diff::{Change, diff};
use rowgate_schema_dsl::model::Model;
use serde_json::Value;
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use crate::config::Roles;
use crate::db::reader;
use crate::db::sqlstate::{self, Contradiction};
use crate::db::wall::{Wall, WallError};
use crate::deploy::certify::{CertifyError, certify, must_exist, refusals};
use crate::deploy::pins;
use crate::record;

/// On what terms a deploy is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub patience: Patience,
    pub scans: Scans,
    pub roles: Roles,
    /// How many bytes each scope may hold, where the extension does not ask for less.
    pub scope_bytes_max: Option<u64>,
}

/// Which functions may read or sort without bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scans {
    /// Those named here, and those whose definition says so; all others must have their certificate.
    Only(BTreeSet<String>),
    /// Any: nothing is certified.
    Uncertified,
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

/// Deploys `definition`, whose checked form is `model`, within what the terms let an extension have. `recall` makes a model of the document that
/// an earlier deploy recorded. Nothing is changed unless the answer is `Ok`.
pub async fn apply(
    client: &mut Client,
    definition: &Definition,
    model: &Model,
    recall: impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
    terms: &Terms,
) -> Result<Applied, ApplyError> {
    let (mut definition, mut model) = (Cow::Borrowed(definition), Cow::Borrowed(model));
    if let Some(max) = terms.scope_bytes_max
        && definition.extension.limits.bytes.is_none_or(|bytes| bytes > max)
    {
        // What is in force is recorded, so that a deploy under another maximum finds the difference.
        for limits in [&mut definition.to_mut().extension.limits, &mut model.to_mut().extension.limits] {
            limits.bytes = Some(max);
        }
    }
    let (definition, model) = (&*definition, &*model);
    if let Scans::Only(allowed) = &terms.scans {
        must_exist(model, allowed)?;
        let refused = refusals(model, &certify(client, model).await?, allowed);
        if !refused.is_empty() {
            return Err(ApplyError::Costly(refused));
        }
    }
    let patience = terms.patience;
    let started = Instant::now();
    loop {
        // Dropping the transaction on any way out rolls it back and frees the lock.
        let transaction = client.transaction().await?;
        transaction.batch_execute(SETTINGS).await?;
        let attempt = if try_lock(&transaction, definition.extension.id).await? {
            attempt(transaction, definition, model, &recall, terms.roles).await
        } else {
            Ok(None)
        };
        match attempt {
            Ok(Some(applied)) => return Ok(applied),
            Ok(None) => {}
            Err(ApplyError::Database(error)) if sqlstate::is_contention(&error) => {}
            Err(ApplyError::Wall(error)) if error.is_race() => {}
            Err(error) => return Err(error),
        }
        let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        if waited_ms >= patience.wait_ms_max {
            return Err(ApplyError::Busy { waited_ms });
        }
        let pause_ms = rand::random_range(patience.pause_ms / 2..=patience.pause_ms.saturating_mul(3) / 2);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// The statements that would lead from `before` to `after`, or every reason why none may.
pub fn plan(before: Option<&Model>, after: &Model) -> Result<DdlPlan, Vec<Diagnostic>> {
    let changes = diff(before, after);
    let refusals: Vec<Diagnostic> = changes.iter().filter_map(Change::refusal).collect();
    if refusals.is_empty() { Ok(ddl(after, &changes)) } else { Err(refusals) }
}

/// No name resolves but a built-in or a qualified one, and backslashes in literals mean themselves.
const SETTINGS: &str = "
SET LOCAL search_path = '';
SET LOCAL standard_conforming_strings = on;
SET LOCAL lock_timeout = '150ms';
SET LOCAL statement_timeout = '300s'";

async fn try_lock(transaction: &Transaction<'_>, extension: Uuid) -> Result<bool, tokio_postgres::Error> {
    let (high, low) = extension.as_u64_pair();
    let key = (high ^ low).cast_signed();
    transaction.query_one("SELECT pg_try_advisory_xact_lock($1)", &[&key]).await?.try_get(0)
}

async fn attempt(
    transaction: Transaction<'_>,
    definition: &Definition,
    model: &Model,
    recall: &impl Fn(&Value) -> Result<Model, Vec<Diagnostic>>,
    roles: Roles,
) -> Result<Option<Applied>, ApplyError> {
    let id = definition.extension.id;
    let current = record::extension(&transaction, id).await?;
    let role_before = current.as_ref().and_then(|current| current.role.clone());
    let wall = match roles {
        Roles::PerExtension => Some(Wall::prepare(&transaction, id).await?),
        // A wall that stands is kept: without it the gateway could not reach the tables.
        Roles::None if role_before.is_some() => Some(Wall::prepare(&transaction, id).await?),
        Roles::None => None,
    };
    if let Some(current) = &current
        && current.definition_sha256 == record::definition_sha256(definition)
    {
        if let Some(wall) = &wall
            && (build(&transaction, wall, model, &[]).await? || role_before.as_ref() != Some(&wall.role))
        {
            record::set_role(&transaction, id, &wall.role).await?;
            transaction.commit().await?;
        }
        return Ok(Some(Applied { revision: current.revision, changed: false, statements: Vec::new() }));
    }
    let before = match &current {
        Some(current) => Some(recall(&current.definition).map_err(ApplyError::Recorded)?),
        None => None,
    };
    let broken = pins::broken(&transaction, model, recall).await?;
    if !broken.is_empty() {
        return Err(ApplyError::Refused(pins::refusals(&broken)));
    }
    let plan = plan(before.as_ref(), model).map_err(ApplyError::Refused)?;
    let mut statements = plan.statements.as_slice();
    if before.is_none()
        && let Some((postgres_schema, rest)) = statements.split_first()
    {
        // The tables' owner may make no Postgres schema; it is given this one.
        run(&transaction, std::slice::from_ref(postgres_schema)).await?;
        statements = rest;
    }
    match &wall {
        Some(wall) => {
            build(&transaction, wall, model, statements).await?;
        }
        None => run(&transaction, statements).await?,
    }
    let statements: Vec<&str> = plan.statements.iter().map(|statement| statement.sql.as_str()).collect();
    let revision = current.map_or(0, |current| current.revision) + 1;
    let role = wall.as_ref().map(|wall| wall.role.as_str());
    record::insert_revision(&transaction, definition, revision, &statements, role).await?;
    transaction.commit().await?;
    let statements = plan.statements.into_iter().map(|statement| statement.sql).collect();
    Ok(Some(Applied { revision, changed: true, statements }))
}

/// Runs `statements` as the tables' owner, and lets the extension's role work on what there is then.
/// Answers whether anything but `statements` was missing.
async fn build(
    transaction: &Transaction<'_>,
    wall: &Wall,
    model: &Model,
    statements: &[DdlStatement],
) -> Result<bool, ApplyError> {
    let owned = wall.own(transaction, &model.postgres_schema).await?;
    if !statements.is_empty() {
        reader::stand_aside(transaction, wall, model).await?;
    }
    wall.step_forward(transaction).await?;
    run(transaction, statements).await?;
    let granted = wall.grant(transaction, &model.postgres_schema).await?;
    wall.step_back(transaction).await?;
    let read = reader::build(transaction, wall, model).await?;
    Ok(owned || granted || read)
}

async fn run(transaction: &Transaction<'_>, statements: &[DdlStatement]) -> Result<(), ApplyError> {
    for statement in statements {
        transaction.batch_execute(&statement.sql).await.map_err(|error| in_the_way(statement, error))?;
    }
    Ok(())
}

/// Says which declaration existing rows contradict, where that is why `statement` failed.
fn in_the_way(statement: &DdlStatement, error: tokio_postgres::Error) -> ApplyError {
    let hint = match sqlstate::contradiction(&error) {
        Some(Contradiction::Unique) => "change or delete the rows that share a value first",
        Some(Contradiction::Reference) => "give the column a default that exists, or none",
        Some(Contradiction::Check) => "change or delete the rows that break the rule first",
        Some(Contradiction::Size) => "index shorter values, or fewer columns",
        None => return ApplyError::Database(error),
    };
    let message = format!("{} cannot be added: rows that exist already contradict it", statement.subject);
    ApplyError::Refused(vec![Diagnostic::new("existing_rows", statement.pointer.as_str(), message).with_hint(hint)])
}

fn lines(diagnostics: &[Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
