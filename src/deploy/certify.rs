//! The cost of every function, told by Postgres before anything is deployed.
//!
//! The tables are made anew and empty under another name, every statement is planned there, and
//! `plan::cost` judges the plans. Nothing of it stays.

use std::collections::BTreeSet;

use rowgate_schema_dsl::ddl::build;
use rowgate_schema_dsl::diagnostic::{Diagnostic, nearest, pointer_to};
use rowgate_schema_dsl::function::{Absence, Body, CURSOR, Function};
use rowgate_schema_dsl::model::{Model, Origin};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::db::migrate::cause;
use crate::db::shadow::{self, Hollow};
use crate::plan::Plan;
use crate::plan::compile::{CompileError, compile};
use crate::plan::cost::suggest::{Suggestion, list_suggestion, suggestion};
use crate::plan::cost::tree::{self, Node};
use crate::plan::cost::{Certificate, EmbeddedExcess, Excess, SCAN_ROWS_MAX, StatementCost, judge};
use crate::plan::page::Page;

/// One function's certificate, with what it was judged by.
#[derive(Debug, Clone)]
pub struct Certified {
    pub certificate: Certificate,
    /// Postgres's plan of each statement, in the certificate's order.
    pub plans: Vec<Node>,
}

#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// `--allow-scan` names what is no function of the bundle.
    #[error("--allow-scan: there is no function `{name}`{hint}")]
    UnknownFunction { name: String, hint: String },
    #[error("a function cannot be compiled: {0}")]
    Compile(#[from] CompileError),
    #[error("Postgres's plan of a statement of `{0}` cannot be read")]
    Unreadable(String),
    #[error("the functions could not be explained: {}", cause(.0))]
    Database(#[from] tokio_postgres::Error),
}

/// The certificate of every function of `model`, in its order.
pub async fn certify(client: &mut Client, model: &Model) -> Result<Vec<Certified>, CertifyError> {
    let mut shadow_model = model.clone();
    shadow_model.postgres_schema = format!("rowgate_shadow_{}", Uuid::now_v7().simple());
    let (ddl, tables) = hollow(&shadow_model);
    let mut plans = Vec::with_capacity(model.functions.len());
    for function in &model.functions {
        plans.push(compile(&shadow_model, function)?);
    }
    let statements: Vec<_> = plans.iter().flat_map(Plan::statements).collect();
    let mut explained = shadow::explain(client, &ddl, &tables, &statements).await?.into_iter();
    let mut certified = Vec::with_capacity(model.functions.len());
    for (function, plan) in model.functions.iter().zip(&plans) {
        let name = function.name.to_string();
        let mut certificate = Certificate { function: name.clone(), statements: Vec::new() };
        let mut nodes = Vec::with_capacity(plan.variants.len());
        let steps = function.body.steps().iter().zip(&plan.steps);
        let parts = steps.map(|(step, of)| (&step.function, &of.plan, Some(step.name.to_string())));
        let whole = plan.steps.is_empty().then_some((function, plan, None));
        for (function, plan, step) in parts.chain(whole) {
            let sides = plan.page().map_or(1, Page::side_count);
            let count = plan.statements().count();
            for place in 0..count {
                // Writes choose nothing but whether they are guarded.
                let bits = if place < plan.variants.len() { place / sides } else { 0 };
                let answer = explained.next().unwrap_or_default();
                let node = tree::read(&answer).ok_or_else(|| CertifyError::Unreadable(name.clone()))?;
                let given = plan.optional.iter().enumerate().filter(|(bit, _)| bits & 1 << bit != 0);
                let given = given.filter_map(|(_, place)| function.arguments.get(*place));
                // Of a page, the statements behind the first go on from a cursor's row.
                let cursor = (place % sides > 0).then(|| CURSOR.to_owned());
                let version = (place >= plan.variants.len()).then(|| "version".to_owned());
                let given = given.map(|argument| argument.name.to_string()).chain(cursor).chain(version).collect();
                certificate
                    .statements
                    .push(StatementCost { step: step.clone(), ..judge(model, function, given, &node) });
                nodes.push(node);
            }
        }
        certified.push(Certified { certificate, plans: nodes });
    }
    Ok(certified)
}

/// The statements that make the tables, in which every column of the author may be null, and those.
fn hollow(model: &Model) -> (Vec<String>, Vec<Hollow>) {
    let mut model = model.clone();
    let mut tables = Vec::with_capacity(model.tables.len());
    // Nothing is counted in the copy, which is full of rows that are none.
    model.extension.limits.bytes = None;
    for table in &mut model.tables {
        table.rows_max = None;
        let mut columns = Vec::new();
        for column in
            table.columns.iter_mut().filter(|column| column.origin == Origin::Author || column.name == OWNER_COLUMN)
        {
            column.optional = true;
            columns.push(column.name.to_string());
        }
        tables.push(Hollow { postgres_schema: model.postgres_schema.clone(), table: table.name.to_string(), columns });
    }
    (build(&model).statements().map(str::to_owned).collect(), tables)
}

/// What stands against deploying `model`; functions that `allowed` names are let pass.
pub fn refusals(model: &Model, certified: &[Certified], allowed: &BTreeSet<String>) -> Vec<Diagnostic> {
    let functions = model.functions.iter().zip(certified);
    functions
        .filter(|(function, _)| !allowed.contains(function.name.as_str()))
        .flat_map(|(function, certified)| {
            let name = function.name.as_str();
            let statements = &certified.certificate.statements;
            let whole = statements.iter().filter(|cost| cost.step.is_none());
            let mut found = complaints(model, name, &format!("function `{name}`"), function, whole);
            for step in function.body.steps() {
                let what = format!("step `{}` of function `{name}`", step.name);
                let of_step = statements.iter().filter(|cost| cost.step.as_deref() == Some(step.name.as_str()));
                found.extend(complaints(model, name, &what, &step.function, of_step));
            }
            found
        })
        .collect()
}

/// Refuses a name in `allowed` that no function has.
pub fn must_exist(model: &Model, allowed: &BTreeSet<String>) -> Result<(), CertifyError> {
    match allowed.iter().find(|name| model.function(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let near = nearest(name, model.functions.iter().map(|function| function.name.as_str()));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            Err(CertifyError::UnknownFunction { name: name.clone(), hint })
        }
    }
}

/// What an author is told of a certificate: nothing where all is bounded or the author accepts it.
fn complaints<'c>(
    model: &Model,
    name: &str,
    what: &str,
    function: &Function,
    statements: impl Iterator<Item = &'c StatementCost>,
) -> Vec<Diagnostic> {
    let mut found: Vec<Diagnostic> = Vec::new();
    if function.scan_allowed {
        return found;
    }
    let mut complain = |excess: Excess, how: String, hint: String| {
        let code = match excess {
            Excess::Sort => "unbounded_sort",
            Excess::Scan => "unbounded_scan",
        };
        if !found.iter().any(|known| known.code == code && known.hint.as_deref() == Some(hint.as_str())) {
            let message = format!("{what}{how}");
            found.push(Diagnostic::new(code, pointer_to("/functions", name), message).with_hint(hint));
        }
    };
    for statement in statements {
        let called = called_with(function, &statement.given);
        // An index that spares the sort bounds the scan too, so one complaint is enough.
        if let Some(excess) = statement.excesses.first() {
            let table = function.body.table();
            let what = match excess {
                Excess::Sort => format!("sorts the rows of table `{table}` before it can answer the first"),
                Excess::Scan if matches!(function.body, Body::QueryRows { .. }) => {
                    format!("may read the whole scope of table `{table}` before it finds the rows that are asked for")
                }
                Excess::Scan => format!("reads the whole scope of table `{table}`"),
            };
            let hint = hint(table, &suggestion(model, function, &statement.given));
            complain(*excess, format!("{called} {what}"), hint);
        }
        for EmbeddedExcess { member, excess } in &statement.embedded_excesses {
            let Some(expand) = function.body.expand().iter().find(|expand| expand.name == **member) else { continue };
            let table = &expand.table;
            let what = match excess {
                Excess::Sort => {
                    format!("sorts all rows of table `{table}` that refer to a row before it can list them")
                }
                Excess::Scan => format!("may read the whole scope of table `{table}` for each row"),
            };
            let hint = hint(table, &list_suggestion(model, expand));
            complain(*excess, format!("{called} {what}, as `{member}`"), hint);
        }
    }
    found
}

/// What an author can do about it.
fn hint(table: &Name, suggestion: &Suggestion) -> String {
    match suggestion {
        Suggestion::Index { name, columns } => {
            format!("declare {} on table `{table}`, or accept it by `scan = \"allowed\"`", written(name, columns))
        }
        Suggestion::OneDirection => {
            "order all columns in one direction, as an index does, or accept it by `scan = \"allowed\"`".to_owned()
        }
        Suggestion::None => format!(
            "no index helps: say how many rows a scope may hold by `:rows({SCAN_ROWS_MAX})` or fewer on table \
             `{table}`, or accept it by `scan = \"allowed\"`"
        ),
    }
}

/// As an author writes it in Luau.
fn written(name: &str, columns: &[String]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
    format!("`:index(\"{name}\", {{ {} }})`", columns.join(", "))
}

fn called_with(function: &Function, given: &[String]) -> String {
    let page = match &function.body {
        Body::QueryRows { page, .. } => *page,
        Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::PatchRows { .. }
        | Body::DeleteRow { .. }
        | Body::DeleteRows { .. }
        | Body::Transaction { .. } => None,
    };
    // A first page is nothing that a caller leaves something out for.
    let mut arguments = function.arguments.iter().enumerate().filter(|(place, _)| Some(*place) != page);
    let optional = arguments.any(|(_, one)| one.absence == Absence::Dropped && !function.body.writes());
    match given {
        [] if !optional => String::new(),
        [] => ", called without its optional arguments,".to_owned(),
        given => {
            let given: Vec<String> = given.iter().map(|name| format!("`{name}`")).collect();
            format!(", called with {},", given.join(" and "))
        }
    }
}
