//! Readers and writers call through every change of the corpus, in phases, and none of their calls
//! fails: each is answered by the former shape until the swap, and by the next one from there on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rowgate::deploy::apply::ApplyError;
use rowgate::record::{self, Install};
use rowgate_schema_dsl::definition::{Definition, Role};
use rowgate_schema_dsl::diff::align::align;
use rowgate_schema_dsl::model::{Model, Origin, Table};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::bed::{Case, a_value_of, cases, deploy, fill, prove, terms};
use crate::support::gateway::{TestGateway, document};
use crate::understand::understand;

/// Callers of each table: half of them read.
const CALLERS: usize = 4;
/// How many calls each makes at least before the change, and after it.
const CALLS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_served_through_every_change() {
    let gateway = Arc::new(TestGateway::new(&document(json!({}), json!({}))).await);
    let mut changed = 0;
    for case in cases().iter().filter(|case| case.before.is_some()) {
        changed += usize::from(one_case(&gateway, case).await);
    }
    assert!(changed >= 60 || std::env::var_os("ROWGATE_CASE").is_some(), "{changed} changes");
}

/// Answers whether the case is a change that can be made.
async fn one_case(gateway: &Arc<TestGateway>, case: &Case) -> bool {
    let (_, before_model) = case.before.as_ref().unwrap();
    // Every case is an extension of its own, as it would be.
    let extension = Uuid::now_v7();
    let (before, after) = (called(extension, &case.before.as_ref().unwrap().0, before_model, None), {
        let (definition, model) = &case.after;
        called(extension, definition, model, Some(before_model))
    });
    let looker = gateway.database.superuser().await;
    let mut client = gateway.database.gateway_client().await;
    deploy(&mut client, &before, &terms(case, 0)).await.unwrap();
    fill(&looker, &before.1, &after.1, &case.allowed).await;
    let install = Install {
        id: Uuid::now_v7(),
        extension_id: after.0.extension.id,
        account_id: Uuid::now_v7(),
        overlay_id: Some(Uuid::now_v7()),
        disabled: false,
    };
    record::insert_install(&client, &install).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = before_model
        .tables
        .iter()
        .flat_map(|table| (0..CALLERS).map(move |number| (table, number)))
        .map(|(table, number)| {
            let arguments = |row: u8| arguments(table, &case.after.1, row);
            let rows: Vec<Value> = (0..u8::MAX).map(arguments).collect();
            let function = format!("{}_{}", if number % 2 == 0 { "list" } else { "insert" }, table.name);
            let caller = Caller {
                gateway: Arc::clone(gateway),
                install: install.id,
                function,
                rows: if number % 2 == 0 { vec![json!({})] } else { rows },
                over: Arc::clone(&over),
                done: Arc::clone(&done),
                what: case.name.clone(),
            };
            tokio::spawn(caller.call())
        })
        .collect();
    let count = callers.len();
    wait_for(&done, count * CALLS, &case.name).await;
    let applied = deploy(&mut client, &after, &terms(case, 0)).await;
    let is_made = match applied {
        Ok(_) => true,
        Err(ApplyError::Refused(_)) => false,
        // The rows that callers wrote meanwhile, which nothing that is new allows.
        Err(ApplyError::Unfinished { .. }) => panic!("{}: a rule was broken meanwhile", case.name),
        Err(error) => panic!("{}: {error}", case.name),
    };
    let reached = done.load(Ordering::SeqCst);
    wait_for(&done, reached + count * CALLS, &case.name).await;
    over.store(true, Ordering::SeqCst);
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    if is_made {
        prove(&mut client, &case.name, &after).await;
    }
    is_made
}

async fn wait_for(done: &AtomicUsize, calls: usize, what: &str) {
    for _ in 0..10_000 {
        if done.load(Ordering::SeqCst) >= calls {
            return;
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    panic!("{what}: {} of {calls} calls were answered", done.load(Ordering::SeqCst));
}

/// The case's definition with functions that list and insert, called as the deployed tables are.
fn called(extension: Uuid, definition: &Definition, model: &Model, before: Option<&Model>) -> (Definition, Model) {
    let mut document = serde_json::to_value(definition).unwrap();
    document["extension"]["id"] = json!(extension);
    let aligned = align(before.unwrap_or(model), model);
    let mut functions = Map::new();
    for table in &model.tables {
        let Some(deployed) = aligned.deployed(&table.name) else { continue };
        functions.insert(
            format!("list_{}", deployed.name),
            json!({ "kind": "queryRows", "table": table.name, "limit": { "literal": 20 }, "scan": "allowed" }),
        );
        let mut values = Map::new();
        for column in table.columns.iter().filter(|column| column.origin == Origin::Author) {
            let name = aligned.deployed_column(&table.name, &column.name);
            if deployed.column(name.as_str()).is_some() || (!column.optional && column.default.is_none()) {
                values.insert(column.name.to_string(), json!({ "arg": name }));
            }
        }
        if !values.is_empty() {
            functions.insert(
                format!("insert_{}", deployed.name),
                json!({ "kind": "insertRow", "table": table.name, "values": values }),
            );
        }
    }
    document["functions"] = Value::Object(functions);
    understand(&document)
}

/// A row that both shapes take, where there is one; references are left to refer to nothing.
fn arguments(table: &Table, after: &Model, row: u8) -> Value {
    let next = after
        .table(table.name.as_str())
        .or_else(|| after.tables.iter().find(|next| next.renamed_from.as_ref() == Some(&table.name)));
    let mut arguments = Map::new();
    for column in table.columns.iter().filter(|column| column.origin == Origin::Author) {
        let becomes = next.and_then(|next| {
            let renamed = || next.columns.iter().find(|other| other.renamed_from.as_ref() == Some(&column.name));
            next.column(column.name.as_str()).or_else(renamed)
        });
        let value = if column.reference().is_some() && column.optional
            || becomes.is_some_and(|next| next.reference().is_some())
        {
            Value::Null
        } else {
            a_value_of(&column.column_type, becomes.map(|next| &next.column_type), row)
        };
        arguments.insert(column.name.to_string(), value);
    }
    Value::Object(arguments)
}

struct Caller {
    gateway: Arc<TestGateway>,
    install: Uuid,
    function: String,
    rows: Vec<Value>,
    over: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    what: String,
}

impl Caller {
    async fn call(self) {
        let url =
            format!("http://{}/v1/extension-functions/{}/{}", self.gateway.server.address, self.install, self.function);
        let token = self.gateway.token_of(&rowgate::auth::token::Claims::new(
            self.install,
            Role::Owner,
            Some("user".to_owned()),
        ));
        for row in self.rows.iter().cycle() {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let request = self.gateway.http.post(&url).bearer_auth(&token).json(row);
            let answer = crate::support::gateway::answer(request).await;
            // A conflict is of the rows, arguments of the next shape are its own, functions of a table that
            // went are not known; nor is the install before the gateway has heard of it.
            let is_well = matches!(answer.status, 200 | 404 | 409 | 422 | 507);
            assert!(is_well, "{}: {} answered {} {}", self.what, self.function, answer.status, answer.text);
            if answer.status != 404 || answer.problem().1 != "install_unknown" {
                self.done.fetch_add(1, Ordering::SeqCst);
            }
        }
    }
}
