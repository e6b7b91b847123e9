//! Writes that happen once, however often they are asked for: the caller names the call by a key,
//! and its answer is kept in the transaction of the write.
//!
//! Whoever asks while the first is under way is told so; whoever asks later gets the first answer.
//! A call that fails has written nothing and keeps nothing, so it may be asked again.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::auth::Identity;
use crate::db::transaction::{Open, Own};
use crate::error::{Code, Failure};
use crate::gateway::{Call, Gateway, Ready, Worker};
use crate::plan::answer::Text;
use crate::record::answers::{CLAIM, KEEP, LOOK};

/// A call as its caller named it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The caller's own name for the call.
    pub key: &'a str,
    /// What is asked: the same key asks for the same.
    pub payload: &'a [u8],
}

/// What a named call is kept under.
pub(super) struct Ticket {
    key: [u8; 32],
    payload: [u8; 32],
    lock: i64,
    install_id: Uuid,
}

/// What became of a named call.
pub(super) enum Kept {
    /// It was done before; what was kept.
    Before(Vec<u8>),
    /// It is to be done now.
    Now,
}

impl Ticket {
    /// `function` is empty for a batch, which no function is called.
    pub(super) fn new(install_id: Uuid, identity: &Identity, function: &str, named: &Named<'_>) -> Ticket {
        let mut hash = Sha256::new();
        hash.update(install_id.as_bytes());
        hash.update(identity.caller.key().to_be_bytes());
        // A length before each text, so that no two pairs of them are one.
        for text in [function, named.key] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let key: [u8; 32] = hash.finalize().into();
        let lock = key.first_chunk::<8>().map_or(0, |first| i64::from_be_bytes(*first));
        Ticket { key, payload: Sha256::digest(named.payload).into(), lock, install_id }
    }

    /// Claims the key for this transaction, and looks for the answer that is kept under it.
    pub(super) async fn look(&self, open: &mut Open<'_>) -> Result<Kept, Failure> {
        let unread = |error: tokio_postgres::Error| unreadable().with_log(error.to_string());
        let claim = Own { sql: CLAIM, parameters: &[(&self.lock, Type::INT8)] };
        let look = Own { sql: LOOK, parameters: &[(&&self.key[..], Type::BYTEA)] };
        let [claimed, kept] = open.own([claim, look]).await?;
        let is_claimed: bool = claimed.first().ok_or_else(unreadable)?.try_get(0).map_err(unread)?;
        let Some(row) = kept.first() else {
            if is_claimed {
                return Ok(Kept::Now);
            }
            let detail = "a call with this `Idempotency-Key` is under way; ask again for its answer";
            return Err(Failure::new(Code::IdempotencyKeyInUse, detail).with_retry_after_s(1));
        };
        let (payload, answer): (&[u8], &[u8]) = (row.try_get(0).map_err(unread)?, row.try_get(1).map_err(unread)?);
        if payload != self.payload {
            let detail = "this `Idempotency-Key` was used with other arguments; give each call a key of its own";
            return Err(Failure::new(Code::IdempotencyKeyReused, detail));
        }
        Ok(Kept::Before(answer.to_vec()))
    }

    /// What a handler answered, now by `run` or some time before; then the flag is set.
    pub(super) async fn once<'t>(
        &self,
        gateway: &Gateway,
        open: &mut Open<'t>,
        run: impl AsyncFnOnce(&mut Open<'t>) -> Result<Vec<u8>, Failure>,
    ) -> Result<(Vec<u8>, bool), Failure> {
        if let Kept::Before(answer) = self.look(open).await? {
            return Ok((unpacked(&answer).ok_or_else(unreadable)?.json, true));
        }
        let text = Text { json: run(open).await?, version: None };
        self.keep(open, &packed(&text), gateway).await?;
        Ok((text.json, false))
    }

    /// Keeps `answer` with what the transaction wrote.
    pub(super) async fn keep(&self, open: &mut Open<'_>, answer: &[u8], gateway: &Gateway) -> Result<(), Failure> {
        let settings = &gateway.config.http;
        if answer.len() > settings.idempotency_answer_bytes_max {
            return Err(too_large(settings.idempotency_answer_bytes_max));
        }
        let kept_s = settings.idempotency_kept_s as f64;
        let (key, payload) = (&self.key[..], &self.payload[..]);
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&key, Type::BYTEA),
            (&payload, Type::BYTEA),
            (&answer, Type::BYTEA),
            (&kept_s, Type::FLOAT8),
            (&self.install_id, Type::UUID),
        ];
        let [kept] = open.own([Own { sql: KEEP, parameters: &parameters }]).await?;
        // INVARIANT: whoever else has the key waits for our lock.
        if kept.is_empty() {
            return Err(Failure::new(Code::Internal, "the gateway could not keep the answer; nothing was written"));
        }
        Ok(())
    }
}

impl Gateway {
    /// Runs a write once for its key: now, or some time before; then the flag is set.
    pub(super) async fn once(
        &self,
        worker: &Worker,
        call: &Call<'_>,
        named: &Named<'_>,
        ready: &Ready<'_>,
        began: Instant,
    ) -> Result<(Text, bool), Failure> {
        let ticket = Ticket::new(call.install_id, call.identity, call.function, named);
        let deadline = began + Duration::from_millis(self.config.http.call_timeout_ms);
        let mut attempts = worker.transactions.attempts(ready.install.extension.role.as_ref(), deadline);
        loop {
            let mut open = attempts.begin().await?;
            let result = self.attempt(&mut open, call, ready, &ticket).await;
            if let ControlFlow::Break(result) = attempts.end(open, result).await {
                return result;
            }
        }
    }

    async fn attempt(
        &self,
        open: &mut Open<'_>,
        call: &Call<'_>,
        ready: &Ready<'_>,
        ticket: &Ticket,
    ) -> Result<(Text, bool), Failure> {
        if let Kept::Before(answer) = ticket.look(open).await? {
            return Ok((unpacked(&answer).ok_or_else(unreadable)?, true));
        }
        let mut json = Vec::new();
        let bytes_max = self.config.http.idempotency_answer_bytes_max;
        let version = ready
            .step(open, call.identity, bytes_max, &mut json)
            .await
            .map_err(|failure| if failure.code == Code::AnswerTooLarge { too_large(bytes_max) } else { failure })?;
        let text = Text { json, version };
        ticket.keep(open, &packed(&text), self).await?;
        Ok((text, false))
    }
}

/// An answer as it is kept: the version, 0 for none, and the JSON text.
fn packed(text: &Text) -> Vec<u8> {
    let mut packed = Vec::with_capacity(8 + text.json.len());
    packed.extend_from_slice(&text.version.unwrap_or(0).to_be_bytes());
    packed.extend_from_slice(&text.json);
    packed
}

fn unpacked(packed: &[u8]) -> Option<Text> {
    let (version, json) = packed.split_first_chunk::<8>()?;
    let version = Some(i64::from_be_bytes(*version)).filter(|version| *version > 0);
    Some(Text { json: json.to_vec(), version })
}

fn too_large(max: usize) -> Failure {
    let detail = format!("the answer is over {max} bytes, too long to be kept for its key; nothing was written");
    Failure::new(Code::IdempotencyAnswerTooLarge, detail)
}

pub(super) fn unreadable() -> Failure {
    Failure::new(Code::Internal, "the gateway could not read the answer it kept")
}
