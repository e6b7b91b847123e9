//! `rateLimit`: how often a function or a handler may be called, by its author.

use serde_json::{Map, Value};

use crate::definition::RateLimit;
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::read::column;
use crate::read::complaints::{Complaints, object, quoted, refuse_unknown, required, wrong_type};

/// A burst is there again within a day.
const MINUTES_A_DAY: u64 = 1_440;

/// The quota that `rateLimit` declares.
pub(in crate::read) fn rate_limit(
    map: &Map<String, Value>,
    at: &str,
    complaints: &mut Complaints,
) -> Option<RateLimit> {
    let (value, at) = (map.get("rateLimit")?, pointer_to(at, "rateLimit"));
    let limit = object(value, &at, "calls a minute, such as `{ \"perMinute\": 10 }`", complaints)?;
    refuse_unknown(limit, &at, "`rateLimit`", &["perMinute", "burst"], &[], complaints);
    let per_minute = required(limit, "perMinute", "how many calls a minute", &at, complaints);
    let per_minute = per_minute.and_then(|count| calls(count, &pointer_to(&at, "perMinute"), complaints));
    let burst = match limit.get("burst") {
        Some(count) => Some(calls(count, &pointer_to(&at, "burst"), complaints)?),
        None => None,
    };
    let rate_limit = RateLimit { per_minute: per_minute?, burst };
    if burst.is_some_and(|burst| u64::from(burst) > u64::from(rate_limit.per_minute) * MINUTES_A_DAY) {
        let message = "a `burst` as large takes more than a day to be there again".to_owned();
        let diagnostic = Diagnostic::new("invalid_rate_limit", pointer_to(&at, "burst"), message);
        complaints.push(diagnostic.with_hint("lower `burst` or raise `perMinute`"));
        return None;
    }
    Some(rate_limit)
}

fn calls(value: &Value, at: &str, complaints: &mut Complaints) -> Option<u32> {
    if !value.is_number() {
        complaints.push(wrong_type(value, at, "a number of calls, from 1"));
        return None;
    }
    let calls = column::integral(value).and_then(|calls| u32::try_from(calls).ok()).filter(|calls| *calls > 0);
    if calls.is_none() {
        let message = format!("{} is no number of calls", quoted(&value.to_string()));
        let diagnostic = Diagnostic::new("invalid_rate_limit", at, message);
        complaints.push(diagnostic.with_hint("write a whole number, from 1; who may call at all is said by `access`"));
    }
    calls
}
