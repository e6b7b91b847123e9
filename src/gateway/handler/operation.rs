//! Who answers each operation of `ctx`.
//!
//! A family of operations, such as `db`, has a file of its own beside this one.

use std::sync::atomic::AtomicU32;
use std::time::Instant;

use crate::db::transaction::Open;
use crate::error::{Code, Failure};
use crate::gateway::handler::FoundHandler;
use crate::gateway::{Call, Gateway, Worker};
use crate::script::machine::Fault;
use crate::script::operation::operations_of;

/// A call of a handler, which may ask.
pub(super) struct Asking<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) worker: &'a Worker,
    pub(super) call: &'a Call<'a>,
    pub(super) found: &'a FoundHandler,
    /// How many actions have called one another to come here.
    pub(super) depth: u32,
    /// When the call has to be answered.
    pub(super) deadline: Instant,
    /// Requests made so far.
    pub(super) fetches: AtomicU32,
}

/// Why an operation has no answer.
pub(super) enum Unanswered {
    /// The handler is told, and may go on.
    Refused(Fault),
    /// The call is over.
    Over(Failure),
}

impl Asking<'_> {
    /// The JSON that `operation` answers `arguments`, a JSON array; `open` is the handler's
    /// transaction, where its kind has one.
    pub(super) async fn answer(
        &self,
        operation: &str,
        arguments: &[u8],
        open: Option<&mut Open<'_>>,
    ) -> Result<Vec<u8>, Unanswered> {
        let not_there = || Unanswered::Over(Failure::new(Code::Internal, "the handler asked for what it has not"));
        // A worker is not trusted to ask only for what its handler's kind has.
        if !operations_of(self.found.handler.kind).any(|has| has.name == operation) {
            return Err(not_there());
        }
        let (family, member) = operation.split_once('.').unwrap_or((operation, ""));
        match (family, open) {
            ("db", Some(open)) => self.query(operation, arguments, open).await,
            ("sql", open) => self.sql(arguments, open).await,
            ("kv", open) => self.kv(member, arguments, open).await,
            ("cache", _) => self.cache(member, arguments),
            ("config", open) => self.config(arguments, open).await,
            ("secrets", _) => self.secret(arguments).await,
            ("fetch", _) => self.fetch(arguments).await,
            ("log", _) => {
                self.log(member, arguments);
                Ok(b"null".to_vec())
            }
            // Boxed, since what is run may be a handler that runs another.
            ("run", _) => Box::pin(self.run(arguments)).await,
            (_, _) => Err(not_there()),
        }
    }
}

/// A failure as a handler may catch it.
pub(super) fn refusal(failure: Failure) -> Unanswered {
    let field = failure.complaints.first().map(|complaint| complaint.pointer.clone());
    let message = failure.detail.into_owned();
    // What a handler refused keeps its own word.
    let code = failure.reason.map_or_else(|| failure.code.as_str().to_owned(), Into::into);
    Unanswered::Refused(Fault { code: Some(code), message, field, trace: String::new() })
}
