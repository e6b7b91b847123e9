//! What became of a handler, as its caller is told: what an author declared is passed on, and what
//! went wrong otherwise is for the log alone.

use crate::error::{Code, Complaint, Failure};
use crate::script::machine::Fault;
use crate::script::sandbox::Termination;
use crate::script::worker::frame::Outcome;

/// The answer of `function`, or why there is none.
pub(super) fn ended(outcome: Outcome, function: &str) -> Result<Vec<u8>, Failure> {
    let failure = match outcome {
        Outcome::Returned(json) => return Ok(json),
        Outcome::Unanswerable(unwritable) if unwritable.is_too_large() => {
            Failure::new(Code::ScriptAnswerTooLarge, format!("the handler's answer is {}", unwritable.message))
        }
        Outcome::Unanswerable(unwritable) => {
            let place = if unwritable.pointer.is_empty() { "what it returned" } else { &unwritable.pointer };
            let detail = format!("the handler's answer is no JSON, at {place}: {}", unwritable.message);
            Failure::new(Code::HandlerAnswerInvalid, detail)
        }
        Outcome::Failed(Fault { code: Some(code), message, field, trace }) => {
            let complaints = field.map(|field| {
                let pointer = if field.starts_with('/') { field } else { format!("/{field}") };
                Complaint { pointer, code: "handler_refused", message: message.clone() }
            });
            let mut failure = Failure::new(Code::HandlerRefused, message).with_log(trace);
            failure.reason = Some(code.into());
            failure.with_complaints(complaints.into_iter().collect())
        }
        Outcome::Failed(Fault { code: None, message, trace, .. }) => {
            Failure::new(Code::HandlerFailed, format!("`{function}` failed")).with_log(format!("{message}\n{trace}"))
        }
        Outcome::Stopped { termination, at } => {
            let at = at.map_or_else(String::new, |(file, line)| format!("stopped at {file}:{line}"));
            let (code, detail) = match termination {
                Termination::Time => (Code::ScriptCpuExceeded, "the handler took more processor time than it has"),
                Termination::Memory => (Code::ScriptMemoryExceeded, "the handler took more memory than it has"),
                Termination::HostCalls => (Code::ScriptHostCallsExceeded, "the handler called `ctx` too often"),
            };
            Failure::new(code, detail).with_log(at)
        }
        Outcome::Cancelled | Outcome::WorkerLost => {
            Failure::new(Code::ScriptWorkerLost, "the handler was stopped with the process it ran in")
        }
    };
    Err(failure)
}
