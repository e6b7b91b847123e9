//! `ctx.cache`: what may be gone at any time. It knows of no transaction: what a mutation put there
//! stays though the mutation is rolled back.

use std::time::{Duration, Instant};

use crate::cache::{KEY_BYTES_MAX, LIFETIME_S, LIFETIME_S_MAX, VALUE_BYTES_MAX};
use crate::gateway::handler::operation::{Asking, Unanswered};
use crate::gateway::handler::question::{NIL, Question, refused};

impl Asking<'_> {
    /// Answers `ctx.cache.{member}`.
    pub(super) fn cache(&self, member: &str, arguments: &[u8]) -> Result<Vec<u8>, Unanswered> {
        let (cache, install) = (&self.gateway.cache, self.found.install.id);
        let question = Question::read(arguments, "ctx.cache.set(key, value, seconds)")?;
        let key = question.key(0, KEY_BYTES_MAX)?;
        match member {
            "get" => Ok(cache.get(install, &key, Instant::now()).unwrap_or(NIL)),
            "set" => {
                let value = question.value(1)?;
                if value.len() > VALUE_BYTES_MAX {
                    let message =
                        format!("the value has {} bytes as JSON; at most {VALUE_BYTES_MAX} are kept", value.len());
                    return Err(refused("value_too_large", message));
                }
                let lifetime_s = question.number(2)?.unwrap_or(LIFETIME_S);
                if !(1..=LIFETIME_S_MAX).contains(&lifetime_s) {
                    let message = format!("a value is kept for 1 to {LIFETIME_S_MAX} seconds");
                    return Err(refused("question_invalid", message));
                }
                cache.set(install, &key, value.as_bytes(), Duration::from_secs(lifetime_s), Instant::now());
                Ok(NIL)
            }
            _ => {
                cache.delete(install, &key);
                Ok(NIL)
            }
        }
    }
}
