//! `ctx.db`: a question becomes a plan of its own, and runs in the handler's transaction.

use uuid::Uuid;

use crate::db::transaction::{Open, Step};
use crate::error::Code;
use crate::gateway::handler::operation::{Asking, Unanswered, refusal};
use crate::gateway::{Ready, no_statement};
use crate::plan::page::Side;

impl Asking<'_> {
    /// Answers `operation`, such as `db.query`, in the transaction `open`.
    pub(super) async fn query(
        &self,
        operation: &str,
        arguments: &[u8],
        open: &mut Open<'_>,
    ) -> Result<Vec<u8>, Unanswered> {
        let install = &self.found.install;
        let http = &self.gateway.config.http;
        let asked = install.extension.shapes.plan(operation, arguments).map_err(Unanswered::Refused)?;
        let plan = &asked.plan;
        let given = plan.arguments.parse(&asked.arguments, http.json_depth_max);
        let given = given.map_err(|failure| refusal(asked.refused(failure)))?;
        let given = given.with_ids(Uuid::now_v7);
        let scope_key = install.scope_key(plan.scope).map_err(refusal)?;
        let statement = plan.statement_of(&given, Side::First).ok_or_else(|| Unanswered::Over(no_statement()))?;
        let ready =
            Ready { install, plan, scope_key, given, turn: None, statement: Some(statement), steps: Vec::new() };
        let parameters = ready.parameters(self.call.identity).map_err(refusal)?;
        let step = Step { plan, statement, parameters: &parameters, turn: None, bytes_max: http.answer_bytes_max };
        let mut answer = Vec::new();
        match open.run(step, &mut answer).await {
            Ok(ran) => self.count_rows(ran.rows).map(|()| answer),
            Err(failure) if failure.code == Code::RowNotFound && operation == "db.get" => Ok(b"null".to_vec()),
            Err(failure) if failure.code == Code::RowNotFound => Err(refusal(failure)),
            // The transaction is over, so the handler has nothing left to do in it.
            Err(failure) => Err(Unanswered::Over(failure)),
        }
    }
}
