//! What `ctx` has: the operations that the gateway answers, and the facts that are known before.
//!
//! `deploy` complains of a member that a handler's kind has not, `gateway` answers those it has, and
//! a machine says the rest by name. Who adds an operation adds it here first.

use rowgate_schema_dsl::definition::HandlerKind;

/// A member of `ctx` that is called, such as `db.query`.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    pub kinds: &'static [HandlerKind],
}

const ALL: &[HandlerKind] = &[HandlerKind::Query, HandlerKind::Mutation, HandlerKind::Action];
const IN_TRANSACTIONS: &[HandlerKind] = &[HandlerKind::Query, HandlerKind::Mutation];
const MUTATIONS: &[HandlerKind] = &[HandlerKind::Mutation];
const ACTIONS: &[HandlerKind] = &[HandlerKind::Action];
const WRITING: &[HandlerKind] = &[HandlerKind::Mutation, HandlerKind::Action];

/// Every operation that any handler has.
pub const OPERATIONS: [Operation; 27] = [
    Operation { name: "db.query", kinds: IN_TRANSACTIONS },
    Operation { name: "db.get", kinds: IN_TRANSACTIONS },
    Operation { name: "db.count", kinds: IN_TRANSACTIONS },
    Operation { name: "db.aggregate", kinds: IN_TRANSACTIONS },
    Operation { name: "db.insert", kinds: MUTATIONS },
    Operation { name: "db.insertMany", kinds: MUTATIONS },
    Operation { name: "db.patch", kinds: MUTATIONS },
    Operation { name: "db.upsert", kinds: MUTATIONS },
    Operation { name: "db.delete", kinds: MUTATIONS },
    Operation { name: "sql.query", kinds: ALL },
    Operation { name: "run", kinds: ACTIONS },
    Operation { name: "kv.get", kinds: ALL },
    Operation { name: "kv.entry", kinds: ALL },
    Operation { name: "kv.list", kinds: ALL },
    Operation { name: "kv.put", kinds: WRITING },
    Operation { name: "kv.delete", kinds: WRITING },
    Operation { name: "cache.get", kinds: ALL },
    Operation { name: "cache.set", kinds: ALL },
    Operation { name: "cache.delete", kinds: ALL },
    Operation { name: "config.get", kinds: ALL },
    Operation { name: "secrets.get", kinds: ACTIONS },
    Operation { name: "fetch", kinds: ACTIONS },
    Operation { name: "log.info", kinds: ALL },
    Operation { name: "log.warn", kinds: ALL },
    Operation { name: "log.error", kinds: ALL },
    Operation { name: "json.encode", kinds: ALL },
    Operation { name: "json.decode", kinds: ALL },
];

/// The members of `ctx` that are values, with theirs; every kind has them.
pub const FACTS: [(&str, &[&str]); 2] = [
    ("auth", &["userId", "accountId", "installId", "role", "surface", "platformUserId", "platformUserName"]),
    ("time", &["now", "nowIso"]),
];

/// The operations that a handler of `kind` has.
pub fn operations_of(kind: HandlerKind) -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().filter(move |operation| operation.kinds.contains(&kind))
}

/// Such as `a query`, for messages.
pub const fn phrase(kind: HandlerKind) -> &'static str {
    match kind {
        HandlerKind::Query => "a query",
        HandlerKind::Mutation => "a mutation",
        HandlerKind::Action => "an action",
    }
}
