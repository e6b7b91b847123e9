//! Several calls at once: each as if alone, or all of them in one transaction.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::db::transaction::{Open, Step};
use crate::error::{Code, Failure};
use crate::gateway::{Call, Found, Gateway, InFlight, Looking, Ready, Reply, Worker};

/// Why a call of an atomic batch failed, and which: none where no one of them is to blame.
type Blamed = (Option<usize>, Failure);

impl Gateway {
    /// Answers each call as if it had come alone, in order. They run at the same time, so Postgres
    /// is sent all of them before it has answered one.
    pub async fn call_all(&self, worker: &Worker, calls: &[Call<'_>]) -> Vec<Reply> {
        let mut replies = join_all(calls.iter().map(|call| self.call(worker, *call))).await;
        let mut left = self.config.http.batch_answer_bytes_max;
        for reply in &mut replies {
            let length = reply.result.as_ref().map_or(0, Vec::len);
            match left.checked_sub(length) {
                Some(less) => left = less,
                None => reply.result = Err(self.too_large("the call has run, and its answer is left out")),
            }
        }
        replies
    }

    /// Answers every call, run in order in one transaction, or none: then the one that failed says
    /// why, and the others that they were rolled back.
    pub async fn call_atomically(&self, worker: &Worker, calls: &[Call<'_>]) -> Vec<Reply> {
        let began = Instant::now();
        let snapshot = self.snapshot();
        let mut replies: Vec<Reply> = calls.iter().map(|_| Reply::default()).collect();
        let found: Vec<Result<Found, Failure>> = calls.iter().map(|call| self.find(&snapshot, call)).collect();
        drop(snapshot);
        let ready: Vec<Result<(InFlight<'_>, Ready<'_>), Failure>> = calls
            .iter()
            .zip(&found)
            .zip(&mut replies)
            .map(|((call, found), reply)| {
                let found = found.as_ref().map_err(Clone::clone)?;
                let in_flight = self.admit(call, found, &mut reply.decision)?;
                Ok((in_flight, self.ready(call, found)?))
            })
            .collect();
        let planned = began.elapsed();
        if ready.iter().all(Result::is_ok) {
            let ready: Vec<&Ready<'_>> = ready.iter().flatten().map(|(_, ready)| ready).collect();
            settle(&mut replies, self.run_all(worker, calls, &ready, began).await);
        } else {
            for (reply, ready) in replies.iter_mut().zip(ready) {
                reply.result = Err(ready.err().unwrap_or_else(rolled_back));
            }
        }
        for (reply, found) in replies.iter_mut().zip(&found) {
            reply.stages.plan = planned;
            reply.stages.database = began.elapsed().saturating_sub(planned);
            if let Ok(found) = found {
                found.count(&reply.result, began);
            }
        }
        replies
    }

    async fn run_all(
        &self,
        worker: &Worker,
        calls: &[Call<'_>],
        ready: &[&Ready<'_>],
        began: Instant,
    ) -> Result<Vec<Vec<u8>>, Blamed> {
        let deadline = began + Duration::from_millis(self.config.http.call_timeout_ms);
        // The calls of a batch are all of one install.
        let role = ready.first().and_then(|ready| ready.install.extension.role.as_ref());
        let mut attempts = worker.transactions.attempts(role, deadline);
        loop {
            let mut open = attempts.begin().await.map_err(|failure| (None, failure))?;
            let mut to_blame = None;
            let result = self.steps(&mut open, calls, ready, &mut to_blame).await;
            if let std::ops::ControlFlow::Break(result) = attempts.end(open, result).await {
                return result.map_err(|failure| (to_blame, failure));
            }
        }
    }

    async fn steps(
        &self,
        open: &mut Open<'_>,
        calls: &[Call<'_>],
        ready: &[&Ready<'_>],
        to_blame: &mut Option<usize>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut left = self.config.http.batch_answer_bytes_max;
        for (index, (call, ready)) in calls.iter().zip(ready).enumerate() {
            *to_blame = Some(index);
            let parameters = ready.parameters(call.identity)?;
            let mut answer = Vec::new();
            let Ready { plan, statement, turn, .. } = ready;
            let step = Step { plan, statement, parameters: &parameters, turn: turn.as_ref(), bytes_max: left };
            match open.run(step, &mut answer).await {
                Ok(_) => {}
                Err(failure) if failure.code == Code::AnswerTooLarge => {
                    return Err(self.too_large("nothing was written"));
                }
                Err(failure) => {
                    let guard = ready.plan.guard_of(&ready.given).filter(|_| failure.code == Code::RowNotFound);
                    let Some(guard) = guard else { return Err(failure) };
                    let Looking { statement, parameters } = ready.looking(guard, call.identity)?;
                    let look = Step { plan: &guard.look, statement, parameters: &parameters, turn: None, ..step };
                    let looked = open.run(look, &mut answer).await?;
                    return Err(ready.mismatch(guard, looked.version));
                }
            }
            left = left.checked_sub(answer.len()).ok_or_else(|| self.too_large("nothing was written"))?;
            answers.push(answer);
        }
        *to_blame = None;
        Ok(answers)
    }

    fn too_large(&self, then: &str) -> Failure {
        let max = self.config.http.batch_answer_bytes_max;
        Failure::new(Code::BatchAnswerTooLarge, format!("the answers of the batch are over {max} bytes; {then}"))
    }
}

fn settle(replies: &mut [Reply], outcome: Result<Vec<Vec<u8>>, Blamed>) {
    match outcome {
        Ok(answers) => replies.iter_mut().zip(answers).for_each(|(reply, answer)| reply.result = Ok(answer)),
        Err((to_blame, failure)) => {
            for (index, reply) in replies.iter_mut().enumerate() {
                let is_to_blame = to_blame.is_none_or(|blamed| blamed == index);
                reply.result = Err(if is_to_blame { failure.clone() } else { rolled_back() });
            }
        }
    }
}

fn rolled_back() -> Failure {
    Failure::new(Code::BatchRolledBack, "another call of the batch failed, so this one did not happen either")
}
