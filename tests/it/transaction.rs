//! Several plans in one transaction: all or nothing, whatever happens in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rowgate::config::Config;
use rowgate::db::connect::Connector;
use rowgate::db::parameter::Parameter;
use rowgate::db::transaction::{Attempts, Open, Step, Transactions};
use rowgate::error::{Code, Failure};
use rowgate::plan::answer::Raw;
use rowgate::plan::argument::Given;
use rowgate::plan::statement::Binding;
use rowgate::registry::Function;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::support::gateway::{TestGateway, deploy, document};

fn definition() -> Value {
    document(
        json!({
            "things": { "columns": {
                "name": { "type": "string", "unique": true },
                "count": { "type": "integer", "default": 0 },
                "of": { "type": "id", "table": "things", "optional": true },
            } },
        }),
        json!({
            "add": { "kind": "insertRow", "table": "things", "values": { "name": { "arg": "name" }, "of": { "arg": "of" } } },
            "up": { "kind": "patchRow", "table": "things", "id": { "arg": "id" }, "values": { "count": { "increment": 1 } } },
            "all": { "kind": "queryRows", "table": "things", "orderBy": "name" },
        }),
    )
}

struct Bed {
    test: TestGateway,
    transactions: Arc<Transactions>,
}

impl Bed {
    async fn new(settings: impl FnOnce(&mut Config)) -> Bed {
        let test = TestGateway::new(&definition()).await;
        let mut config = test.server.gateway.config.clone();
        settings(&mut config);
        let connector = Connector::new(&config.database).unwrap();
        let transactions = Arc::new(Transactions::new(&connector, &config.database));
        Bed { test, transactions }
    }

    fn caller(&self) -> Caller {
        Caller { install: self.test.install.id, functions: self.functions() }
    }

    fn functions(&self) -> Arc<rowgate::registry::Extension> {
        self.test.server.gateway.snapshot().extensions[&self.test.extension_id].clone()
    }

    fn attempts(&self, deadline: Instant) -> Attempts<'_> {
        self.transactions.attempts(self.functions().role.as_ref(), deadline)
    }

    async fn names(&self) -> Vec<Value> {
        let rows = self.test.call("all", json!({})).await.ok();
        rows.as_array().unwrap().iter().map(|row| row["name"].clone()).collect()
    }

    async fn add(&self, name: &str) -> Value {
        self.test.call("add", json!({ "name": name })).await.ok()["id"].clone()
    }

    /// Sessions that are in a transaction, or on their way in or out of one.
    async fn open_transactions(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND application_name = 'rowgate' AND state LIKE 'idle in transaction%'";
        self.test.database.superuser().await.query_one(sql, &[]).await.unwrap().get(0)
    }
}

#[derive(Clone)]
struct Caller {
    install: Uuid,
    functions: Arc<rowgate::registry::Extension>,
}

impl Caller {
    /// Runs a function within `open`; its answer, and the `id` of its last row as Postgres sent it.
    async fn step(
        &self,
        open: &mut Open<'_>,
        function: &str,
        arguments: Value,
    ) -> Result<(Value, Option<Vec<u8>>), Failure> {
        let function: &Function = &self.functions.functions[function];
        let plan = &function.plan;
        let given: Given = plan.arguments.parse(arguments.to_string().as_bytes(), 64)?;
        let statement = plan.statement(&given).unwrap();
        let parameters: Vec<Parameter<'_>> = statement
            .bindings
            .iter()
            .map(|binding| match binding {
                Binding::Scope => Parameter::Uuid(self.install),
                Binding::NewId => Parameter::Uuid(Uuid::now_v7()),
                Binding::Argument(place) => given.get(*place).map_or(Parameter::Null, Parameter::Typed),
                other => panic!("{other:?}"),
            })
            .collect();
        let mut out = Vec::new();
        let step = Step { plan, statement, parameters: &parameters, turn: None, bytes_max: usize::MAX };
        let row = open.run(step, &mut out).await?.last;
        let id = row.and_then(|row| row.try_get::<_, Raw<'_>>(0).ok().map(|Raw(bytes)| bytes.to_vec()));
        Ok((serde_json::from_slice(&out).unwrap(), id))
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_or_nothing_happens_and_a_step_knows_the_rows_before() {
    let bed = Bed::new(|database| database.database.transaction_connections_max = 1).await;
    let caller = bed.caller();

    let mut attempts = bed.attempts(soon());
    let mut open = attempts.begin().await.unwrap();
    let (parent, id) = caller.step(&mut open, "add", json!({ "name": "a" })).await.unwrap();
    assert_eq!(Uuid::from_slice(&id.unwrap()).unwrap().to_string(), parent["id"].as_str().unwrap());
    let (child, _) = caller.step(&mut open, "add", json!({ "name": "b", "of": parent["id"] })).await.unwrap();
    assert_eq!(child["of"], parent["id"]);
    assert_eq!(bed.names().await, Vec::<Value>::new(), "others see what is not committed");
    assert!(matches!(attempts.end(open, Ok(7)).await, ControlFlow::Break(Ok(7))));
    assert_eq!(bed.names().await, ["a", "b"]);
    assert_eq!(bed.transactions.idle_count(), 1);

    // The third step is refused by the database, the fourth finds no row: either undoes all.
    for (function, arguments, code) in [
        ("add", json!({ "name": "a" }), Code::UniqueConflict),
        ("up", json!({ "id": Uuid::now_v7() }), Code::RowNotFound),
    ] {
        let mut attempts = bed.attempts(soon());
        let mut open = attempts.begin().await.unwrap();
        caller.step(&mut open, "add", json!({ "name": "c" })).await.unwrap();
        let failed = caller.step(&mut open, function, arguments).await.unwrap_err();
        assert_eq!(failed.code, code);
        let ControlFlow::Break(Err(failed)) = attempts.end::<()>(open, Err(failed)).await else { panic!() };
        assert_eq!(failed.code, code);
        assert_eq!(bed.names().await, ["a", "b"]);
        assert_eq!(bed.transactions.idle_count(), 1, "the connection was not given back");
    }
    assert_eq!(bed.open_transactions().await, 0);
    bed.test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_leaves_nothing_open() {
    let bed = Bed::new(|config| config.database.transaction_connections_max = 1).await;
    let caller = bed.caller();
    let id = bed.add("a").await;

    // Between two statements.
    let mut attempts = bed.attempts(soon());
    let mut open = attempts.begin().await.unwrap();
    caller.step(&mut open, "add", json!({ "name": "lost" })).await.unwrap();
    drop(open);
    assert_eq!(bed.transactions.idle_count(), 0);

    // In the middle of one, which waits for a row that another holds.
    let holder = bed.test.database.superuser().await;
    let schema = &bed.functions().model.postgres_schema;
    holder.batch_execute(&format!("BEGIN; SELECT FROM {schema}.things FOR UPDATE")).await.unwrap();
    let (transactions, other, row) = (bed.transactions.clone(), caller.clone(), id.clone());
    let waiting = tokio::spawn(async move {
        let mut attempts = transactions.attempts(other.functions.role.as_ref(), soon());
        let mut open = attempts.begin().await.unwrap();
        other.step(&mut open, "add", json!({ "name": "lost too" })).await.unwrap();
        let _ = other.step(&mut open, "up", json!({ "id": row })).await;
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    // Within its own transaction the holder would see the activity of its first look for ever.
    let watcher = bed.test.database.superuser().await;
    while watcher.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    holder.batch_execute("COMMIT").await.unwrap();

    // The one place is free again, and what is done there begins anew.
    let mut attempts = bed.attempts(soon());
    let mut open = attempts.begin().await.unwrap();
    caller.step(&mut open, "add", json!({ "name": "b" })).await.unwrap();
    assert!(matches!(attempts.end(open, Ok(())).await, ControlFlow::Break(Ok(()))));
    assert_eq!(bed.names().await, ["a", "b"]);
    while bed.open_transactions().await > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let rows = bed.test.call("all", json!({})).await.ok();
    assert_eq!(rows[0]["count"], 0, "a statement nobody waited for was committed");
    bed.test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_undone_by_a_deadlock_does_it_once_more() {
    let bed = Bed::new(|_| {}).await;
    let ids = [bed.add("a").await, bed.add("b").await];
    let met = Arc::new(Barrier::new(2));
    let both = [[0, 1], [1, 0]].map(|order| {
        let (transactions, caller, met, ids) =
            (bed.transactions.clone(), bed.caller(), met.clone(), order.map(|place| ids[place].clone()));
        tokio::spawn(async move {
            let mut attempts = transactions.attempts(caller.functions.role.as_ref(), soon());
            let mut tried = 0;
            loop {
                tried += 1;
                let mut open = attempts.begin().await.unwrap();
                let result = async {
                    caller.step(&mut open, "up", json!({ "id": ids[0] })).await?;
                    if tried == 1 {
                        met.wait().await;
                    }
                    caller.step(&mut open, "up", json!({ "id": ids[1] })).await
                };
                let result = result.await;
                if let ControlFlow::Break(result) = attempts.end(open, result).await {
                    result.unwrap();
                    return tried;
                }
            }
        })
    });
    let mut tried = 0;
    for one in both {
        tried += one.await.unwrap();
    }
    assert!(tried > 2, "nobody was undone");
    let rows = bed.test.call("all", json!({})).await.ok();
    assert_eq!((&rows[0]["count"], &rows[1]["count"]), (&json!(2), &json!(2)));
    bed.test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_session_and_changed_tables_are_met_by_another_attempt() {
    let bed = Bed::new(|_| {}).await;
    let (caller, mut tried) = (bed.caller(), 0);
    let mut attempts = bed.attempts(soon());
    loop {
        tried += 1;
        let mut open = attempts.begin().await.unwrap();
        let first = caller.step(&mut open, "add", json!({ "name": format!("{tried}") })).await;
        if tried == 1 {
            first.unwrap();
            let ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                         WHERE datname = current_database() AND state = 'idle in transaction'";
            assert_eq!(bed.test.database.superuser().await.execute(ended, &[]).await.unwrap(), 1);
        }
        let result = caller.step(&mut open, "add", json!({ "name": "last" })).await;
        if let ControlFlow::Break(result) = attempts.end(open, result).await {
            result.unwrap();
            break;
        }
    }
    assert_eq!((tried, bed.names().await), (2, vec![json!("2"), json!("last")]));

    // What is prepared does not fit any more: a column came between.
    let mut wider = definition();
    wider["tables"]["things"]["columns"]["more"] = json!({ "type": "string", "optional": true });
    deploy(&bed.test.database, &wider).await.unwrap();
    let schema = &bed.functions().model.postgres_schema;
    let superuser = bed.test.database.superuser().await;
    superuser
        .batch_execute(&format!(
            "ALTER TABLE {schema}.things ALTER count TYPE numeric; ALTER TABLE {schema}.things ALTER count TYPE bigint"
        ))
        .await
        .unwrap();
    let mut attempts = bed.attempts(soon());
    loop {
        let mut open = attempts.begin().await.unwrap();
        let result = caller.step(&mut open, "add", json!({ "name": "later" })).await;
        if let ControlFlow::Break(result) = attempts.end(open, result).await {
            result.unwrap();
            break;
        }
    }
    assert_eq!(bed.names().await, ["2", "last", "later"]);
    bed.test.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_ever() {
    let bed = Bed::new(|config| {
        config.database.transaction_connections_max = 1;
        config.database.pool_wait_timeout_ms = 30;
    })
    .await;
    let (caller, id) = (bed.caller(), bed.add("a").await);
    let mut attempts = bed.attempts(soon());
    let open = attempts.begin().await.unwrap();
    let refused = bed.attempts(soon()).begin().await.err().unwrap();
    assert_eq!((refused.code, refused.retry_after_s), (Code::Overloaded, Some(1)));
    drop(open);

    let holder = bed.test.database.superuser().await;
    let schema = &bed.functions().model.postgres_schema;
    holder.batch_execute(&format!("BEGIN; SELECT FROM {schema}.things FOR UPDATE")).await.unwrap();
    let mut attempts = bed.attempts(Instant::now() + Duration::from_millis(150));
    let mut open = attempts.begin().await.unwrap();
    let late = caller.step(&mut open, "up", json!({ "id": id })).await.unwrap_err();
    assert_eq!(late.code, Code::StatementTimeout);
    let ControlFlow::Break(Err(late)) = attempts.end::<()>(open, Err(late)).await else { panic!() };
    assert_eq!(late.code, Code::StatementTimeout);
    holder.batch_execute("COMMIT").await.unwrap();
    bed.test.server.stop().await;
}
