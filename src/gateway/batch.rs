//! Several calls at once: each as if alone, or all of them in one transaction.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::db::transaction::Open;
use crate::error::{Code, Failure};
use crate::gateway::once::{Kept, Named, Ticket, unreadable};
use crate::gateway::renewed::RENEWALS_MAX;
use crate::gateway::{Call, Found, Gateway, InFlight, Ready, Reply, Worker, whose};

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
    ///
    /// A batch that its caller `named` happens once for its name.
    pub async fn call_atomically(&self, worker: &Worker, calls: &[Call<'_>], named: Option<Named<'_>>) -> Vec<Reply> {
        let began = Instant::now();
        let deadline = began + Duration::from_millis(self.config.http.call_timeout_ms);
        let mut replies: Vec<Reply> = calls.iter().map(|_| Reply::default()).collect();
        for left in (0..=RENEWALS_MAX).rev() {
            let found = self.attempt_atomically(worker, calls, named, began, &mut replies).await;
            // Its calls are all of one install.
            let outdated = replies.iter().any(Reply::is_outdated);
            let install = calls.first().zip(found.iter().flatten().next()).filter(|_| outdated && left > 0);
            if let Some((call, first)) = install
                && self.is_renewed(call.install_id, &first.install.extension, deadline).await
            {
                continue;
            }
            for (reply, found) in replies.iter_mut().zip(&found) {
                if let Ok(found) = found {
                    found.count(&reply.result, began);
                }
            }
            break;
        }
        replies
    }

    /// Runs the batch by the snapshot of this moment; what its calls name.
    async fn attempt_atomically(
        &self,
        worker: &Worker,
        calls: &[Call<'_>],
        named: Option<Named<'_>>,
        began: Instant,
        replies: &mut [Reply],
    ) -> Vec<Result<Found, Failure>> {
        let snapshot = self.snapshot();
        let found: Vec<Result<Found, Failure>> = calls.iter().map(|call| self.find(&snapshot, call)).collect();
        drop(snapshot);
        // At once, so that shared limits are asked in one round trip.
        let ready: Vec<Result<(InFlight<'_>, Ready<'_>), Failure>> =
            join_all(calls.iter().zip(&found).zip(replies.iter_mut()).map(async |((call, found), reply)| {
                let found = found.as_ref().map_err(Clone::clone)?;
                let in_flight = self.admit(worker, call, found, &mut reply.decision).await?;
                Ok((in_flight, self.ready(call, found)?))
            }))
            .await;
        let planned = began.elapsed();
        if ready.iter().all(Result::is_ok) {
            let ready: Vec<&Ready<'_>> = ready.iter().flatten().map(|(_, ready)| ready).collect();
            let ticket = named.zip(calls.first());
            let ticket = ticket.map(|(named, call)| Ticket::new(call.install_id, call.identity, "", &named));
            settle(replies, self.run_all(worker, calls, &ready, ticket.as_ref(), began).await);
        } else {
            for (reply, ready) in replies.iter_mut().zip(ready) {
                reply.result = Err(ready.err().unwrap_or_else(rolled_back));
            }
        }
        for reply in replies {
            reply.stages.plan = planned;
            reply.stages.database = began.elapsed().saturating_sub(planned);
        }
        found
    }

    async fn run_all(
        &self,
        worker: &Worker,
        calls: &[Call<'_>],
        ready: &[&Ready<'_>],
        ticket: Option<&Ticket>,
        began: Instant,
    ) -> Result<Done, Blamed> {
        let deadline = began + Duration::from_millis(self.config.http.call_timeout_ms);
        // The calls of a batch are all of one install.
        let role = ready.first().and_then(|ready| ready.install.extension.role.as_ref());
        let whose = ready.first().map(|ready| whose(ready.install));
        let crowd = &worker.crowds.transactions;
        let entered = Instant::now();
        let seat = whose.map(|whose| crowd.admit(whose, entered, || true)).transpose();
        let seat = seat.map_err(|failure| (None, failure))?;
        let mut attempts = worker.transactions.attempts(role, deadline);
        let ran = loop {
            let mut open = attempts.begin().await.map_err(|failure| (None, failure))?;
            let mut to_blame = None;
            let result = self.once_for_all(&mut open, calls, ready, ticket, &mut to_blame).await;
            if let std::ops::ControlFlow::Break(result) = attempts.end(open, result).await {
                break result.map_err(|failure| (to_blame, failure));
            }
        };
        if let Some(seat) = seat {
            seat.end(entered.elapsed());
        }
        ran
    }

    async fn once_for_all(
        &self,
        open: &mut Open<'_>,
        calls: &[Call<'_>],
        ready: &[&Ready<'_>],
        ticket: Option<&Ticket>,
        to_blame: &mut Option<usize>,
    ) -> Result<Done, Failure> {
        let Some(ticket) = ticket else {
            return Ok(Done { answers: self.steps(open, calls, ready, to_blame).await?, replayed: false });
        };
        if let Kept::Before(kept) = ticket.look(open).await? {
            let answers = unpacked(&kept).filter(|answers| answers.len() == calls.len()).ok_or_else(unreadable)?;
            return Ok(Done { answers, replayed: true });
        }
        let answers = self.steps(open, calls, ready, to_blame).await?;
        ticket.keep(open, &packed(&answers), self).await?;
        Ok(Done { answers, replayed: false })
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
            let mut answer = Vec::new();
            ready.step(open, call.identity, left, &mut answer).await.map_err(|failure| match failure.code {
                Code::AnswerTooLarge => self.too_large("nothing was written"),
                _ => failure,
            })?;
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

/// What an atomic batch came to.
struct Done {
    answers: Vec<Vec<u8>>,
    replayed: bool,
}

/// The answers as they are kept: each behind its length.
fn packed(answers: &[Vec<u8>]) -> Vec<u8> {
    let mut packed = Vec::new();
    for answer in answers {
        packed.extend_from_slice(&(answer.len() as u64).to_be_bytes());
        packed.extend_from_slice(answer);
    }
    packed
}

fn unpacked(mut packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut answers = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk::<8>() {
        let (answer, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
        answers.push(answer.to_vec());
        packed = rest;
    }
    packed.is_empty().then_some(answers)
}

fn settle(replies: &mut [Reply], outcome: Result<Done, Blamed>) {
    match outcome {
        Ok(Done { answers, replayed }) => {
            for (reply, answer) in replies.iter_mut().zip(answers) {
                (reply.result, reply.replayed) = (Ok(answer), replayed);
            }
        }
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
