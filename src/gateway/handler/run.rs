//! `ctx.run("name", { … })`: the same caller calls another function, in a transaction of its own.

use serde_json::Value;

use crate::gateway::Call;
use crate::gateway::handler::operation::{Asking, Unanswered, refusal};
use crate::script::machine::Fault;

/// Actions call what calls actions no deeper than this.
const RUN_DEPTH_MAX: u32 = 4;

impl Asking<'_> {
    /// Answers what the function that `arguments` name answers.
    pub(super) async fn run(&self, arguments: &[u8]) -> Result<Vec<u8>, Unanswered> {
        let refused = |code: &str, message: String| {
            Unanswered::Refused(Fault { code: Some(code.to_owned()), message, ..Fault::default() })
        };
        let usage = || refused("question_invalid", "write `ctx.run(\"function\", { argument = value })`".to_owned());
        if self.depth >= RUN_DEPTH_MAX {
            return Err(refused("too_deep", format!("`ctx.run` nests at most {RUN_DEPTH_MAX} deep")));
        }
        let given: Vec<Value> = serde_json::from_slice(arguments).map_err(|_| usage())?;
        let name = given.first().and_then(Value::as_str).ok_or_else(usage)?;
        let arguments = match given.get(1) {
            None | Some(Value::Null) => Vec::new(),
            Some(arguments @ Value::Object(_)) => arguments.to_string().into_bytes(),
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return Err(usage()),
        };
        let call = Call::new(self.call.install_id, name, self.call.identity, &arguments);
        let call = Call { request_id: self.call.request_id, ..call };
        let reply = self.gateway.call_at(self.worker, call, self.depth + 1).await;
        reply.result.map_err(refusal)
    }
}
