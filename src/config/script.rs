//! Handlers: what one of each kind may take, and the processes they run in.

use std::path::PathBuf;

use rowgate_schema_dsl::definition::HandlerKind;
use serde::{Deserialize, Deserializer};

/// Handlers and the processes they run in.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// The executable that is run as a worker; the gateway's own where none is given.
    pub executable: Option<PathBuf>,
    #[serde(deserialize_with = "query")]
    pub query: Allowance,
    #[serde(deserialize_with = "mutation")]
    pub mutation: Allowance,
    #[serde(deserialize_with = "action")]
    pub action: Allowance,
    /// Handlers under way on each worker thread; more are refused with `overloaded`.
    pub machines_max: usize,
    /// After so many calls a worker process is replaced.
    pub calls_per_worker_max: u32,
    /// Data of one worker process.
    pub worker_memory_bytes_max: u64,
    /// How long a worker has to end a call that nobody waits for; then it is killed.
    pub cancel_timeout_ms: u64,
}

/// What one call of a handler may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// From the call's beginning to its answer.
    pub timeout_ms: u64,
    /// Processor time.
    pub cpu_ms_max: u64,
    /// What it may hold, garbage aside.
    pub memory_bytes_max: usize,
    /// What it may hold, garbage included.
    pub allocated_bytes_max: usize,
    /// How often it may call `ctx`.
    pub host_calls_max: u32,
    /// Rows that the database answers it, all questions together.
    pub rows_max: usize,
    /// Of its answer, and of what one call of `ctx` carries, as JSON.
    pub answer_bytes_max: usize,
    /// How long one query of `ctx.sql` may run.
    pub sql_timeout_ms: u64,
    /// Rows that it may answer.
    pub sql_rows_max: usize,
    /// All of them together, as JSON.
    pub sql_answer_bytes_max: usize,
}

/// As written: what is left out keeps its default.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    timeout_ms: Option<u64>,
    cpu_ms_max: Option<u64>,
    memory_bytes_max: Option<usize>,
    allocated_bytes_max: Option<usize>,
    host_calls_max: Option<u32>,
    rows_max: Option<usize>,
    answer_bytes_max: Option<usize>,
    sql_timeout_ms: Option<u64>,
    sql_rows_max: Option<usize>,
    sql_answer_bytes_max: Option<usize>,
}

impl Script {
    /// What a call of a handler of `kind` may take.
    pub const fn of(&self, kind: HandlerKind) -> &Allowance {
        match kind {
            HandlerKind::Query => &self.query,
            HandlerKind::Mutation => &self.mutation,
            HandlerKind::Action => &self.action,
        }
    }

    /// Adds what is wrong with it to `reasons`.
    pub(super) fn check(&self, reasons: &mut Vec<String>) {
        for (kind, allowance) in [("query", &self.query), ("mutation", &self.mutation), ("action", &self.action)] {
            for (name, value) in [
                ("timeout_ms", allowance.timeout_ms),
                ("cpu_ms_max", allowance.cpu_ms_max),
                ("sql_timeout_ms", allowance.sql_timeout_ms),
            ] {
                if value == 0 {
                    reasons
                        .push(format!("script.{kind}.{name}: expected at least 1; nothing waits without a deadline"));
                }
            }
            for (name, value) in [
                ("memory_bytes_max", allowance.memory_bytes_max),
                ("allocated_bytes_max", allowance.allocated_bytes_max),
                ("rows_max", allowance.rows_max),
                ("answer_bytes_max", allowance.answer_bytes_max),
                ("sql_rows_max", allowance.sql_rows_max),
                ("sql_answer_bytes_max", allowance.sql_answer_bytes_max),
            ] {
                if value == 0 {
                    reasons.push(format!("script.{kind}.{name}: expected at least 1"));
                }
            }
        }
    }
}

impl Default for Script {
    fn default() -> Self {
        Script {
            executable: None,
            query: Allowance::DEFAULT,
            mutation: Allowance::DEFAULT,
            action: Allowance::ACTION,
            machines_max: 256,
            calls_per_worker_max: 10_000,
            worker_memory_bytes_max: 2 << 30,
            cancel_timeout_ms: 1_000,
        }
    }
}

impl Allowance {
    const DEFAULT: Allowance = Allowance {
        timeout_ms: 5_000,
        cpu_ms_max: 1_000,
        memory_bytes_max: 10 << 20,
        allocated_bytes_max: 24 << 20,
        host_calls_max: 100,
        rows_max: 10_000,
        answer_bytes_max: 1 << 20,
        sql_timeout_ms: 2_000,
        sql_rows_max: 1_000,
        sql_answer_bytes_max: 1 << 20,
    };
    /// It waits for others.
    const ACTION: Allowance = Allowance { timeout_ms: 30_000, ..Allowance::DEFAULT };

    fn over(self, written: &Written) -> Allowance {
        Allowance {
            timeout_ms: written.timeout_ms.unwrap_or(self.timeout_ms),
            cpu_ms_max: written.cpu_ms_max.unwrap_or(self.cpu_ms_max),
            memory_bytes_max: written.memory_bytes_max.unwrap_or(self.memory_bytes_max),
            allocated_bytes_max: written.allocated_bytes_max.unwrap_or(self.allocated_bytes_max),
            host_calls_max: written.host_calls_max.unwrap_or(self.host_calls_max),
            rows_max: written.rows_max.unwrap_or(self.rows_max),
            answer_bytes_max: written.answer_bytes_max.unwrap_or(self.answer_bytes_max),
            sql_timeout_ms: written.sql_timeout_ms.unwrap_or(self.sql_timeout_ms),
            sql_rows_max: written.sql_rows_max.unwrap_or(self.sql_rows_max),
            sql_answer_bytes_max: written.sql_answer_bytes_max.unwrap_or(self.sql_answer_bytes_max),
        }
    }
}

fn query<'de, D: Deserializer<'de>>(from: D) -> Result<Allowance, D::Error> {
    Ok(Allowance::DEFAULT.over(&Written::deserialize(from)?))
}

fn mutation<'de, D: Deserializer<'de>>(from: D) -> Result<Allowance, D::Error> {
    Ok(Allowance::DEFAULT.over(&Written::deserialize(from)?))
}

fn action<'de, D: Deserializer<'de>>(from: D) -> Result<Allowance, D::Error> {
    Ok(Allowance::ACTION.over(&Written::deserialize(from)?))
}
