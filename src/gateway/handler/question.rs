//! What a handler's question carries: a JSON array, read by place, and refused by what was expected.

use serde_json::value::RawValue;
use tokio_postgres::Row;

use crate::db::transaction::{Isolation, Open, Own};
use crate::error::{Code, Failure};
use crate::gateway::handler::operation::{Asking, Unanswered, refusal};
use crate::script::machine::Fault;

/// What stands for nil: no JSON at all.
pub(super) const NIL: Vec<u8> = Vec::new();

/// The arguments of one question, and how it is written.
pub(super) struct Question<'a> {
    given: Vec<&'a RawValue>,
    usage: &'static str,
}

impl<'a> Question<'a> {
    /// `usage` is such as `ctx.kv.get(key)`.
    pub(super) fn read(arguments: &'a [u8], usage: &'static str) -> Result<Question<'a>, Unanswered> {
        match serde_json::from_slice(arguments) {
            Ok(given) => Ok(Question { given, usage }),
            Err(_) => Err(misused(usage)),
        }
    }

    /// The refusal of a question that is asked in another way.
    pub(super) fn misused(&self) -> Unanswered {
        misused(self.usage)
    }

    /// What stands at `place`; null is nothing.
    pub(super) fn at(&self, place: usize) -> Option<&'a RawValue> {
        self.given.get(place).copied().filter(|value| value.get() != "null")
    }

    /// What stands at `place`, which may be null.
    pub(super) fn value(&self, place: usize) -> Result<&'a str, Unanswered> {
        self.given.get(place).map(|value| value.get()).ok_or_else(|| misused(self.usage))
    }

    /// The text at `place`, of 1 to `bytes_max` bytes that Postgres can hold.
    pub(super) fn key(&self, place: usize, bytes_max: usize) -> Result<String, Unanswered> {
        let text = self.at(place).and_then(|value| serde_json::from_str::<String>(value.get()).ok());
        let text = text.ok_or_else(|| misused(self.usage))?;
        if !(1..=bytes_max).contains(&text.len()) || text.contains('\0') {
            return Err(refused("key_invalid", format!("a key has 1 to {bytes_max} bytes, and no U+0000")));
        }
        Ok(text)
    }

    /// The whole number at `place`, where there is one.
    pub(super) fn number(&self, place: usize) -> Result<Option<u64>, Unanswered> {
        let Some(value) = self.at(place) else { return Ok(None) };
        serde_json::from_str(value.get()).map(Some).map_err(|_| misused(self.usage))
    }

    /// The options at `place`, where there are any; names that are not known are refused.
    pub(super) fn options<T: serde::de::DeserializeOwned + Default>(&self, place: usize) -> Result<T, Unanswered> {
        let Some(value) = self.at(place) else { return Ok(T::default()) };
        serde_json::from_str(value.get()).map_err(|error| {
            // The message of a value of the wrong type quotes the value, which may be a credential.
            let told = error.to_string();
            let known = told.starts_with("unknown field").then(|| told.split(" at line").next().unwrap_or_default());
            let usage = self.usage;
            refused(
                "question_invalid",
                known.map_or_else(|| usage_of(usage), |told| format!("{told}; {}", usage_of(usage))),
            )
        })
    }
}

impl Asking<'_> {
    /// Runs `statements` in the handler's transaction, or, where it has none, in one of their own.
    pub(super) async fn own<const N: usize>(
        &self,
        open: Option<&mut Open<'_>>,
        isolation: Isolation,
        statements: [Own<'_>; N],
    ) -> Result<[Vec<Row>; N], Unanswered> {
        if let Some(open) = open {
            // A transaction that a statement failed in is over.
            return open.own(statements).await.map_err(Unanswered::Over);
        }
        let mut attempts = self.worker.transactions.attempts_isolated(isolation, None, self.deadline);
        loop {
            let mut open = attempts.begin().await.map_err(refusal)?;
            let result = open.own(statements).await;
            if let std::ops::ControlFlow::Break(result) = attempts.end(open, result).await {
                return result.map_err(refusal);
            }
        }
    }
}

/// The handler is told, under `code`.
pub(super) fn refused(code: &str, message: impl Into<String>) -> Unanswered {
    Unanswered::Refused(Fault { code: Some(code.to_owned()), message: message.into(), ..Fault::default() })
}

fn usage_of(usage: &str) -> String {
    format!("write `{usage}`")
}

pub(super) fn misused(usage: &str) -> Unanswered {
    refused("question_invalid", usage_of(usage))
}

/// A row of the gateway's own tables that is not what its statement answers.
pub(super) fn unreadable(error: &tokio_postgres::Error) -> Unanswered {
    let failure = Failure::new(Code::Internal, "the gateway could not read its own table");
    Unanswered::Over(failure.with_log(error.to_string()))
}
