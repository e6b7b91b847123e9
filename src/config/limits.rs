//! Rate limits as written and as understood: one quota for each layer and class of function.
//!
//! What is not written keeps its default, down to a single number, so that
//! `[limits.install] query_rows = { burst = 20 }` changes one burst and nothing else.
//! What the numbers do is said in `limit`.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::config::secrets::Hidden;
use serde::{Deserialize, Serialize};

/// A bucket that takes longer to fill again would outlive every sweep.
pub const REFILL_S_MAX: u64 = 86_400;

/// Gateways that share buckets, so that no share of a quota is beyond reckoning.
pub const NODES_MAX: u32 = 10_000;

/// What a policy does when its bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitMode {
    /// Refuse the call.
    #[default]
    Enforce,
    /// Count what would have been refused and let it pass.
    Shadow,
    /// Do not count.
    Off,
}

impl LimitMode {
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitMode::Enforce => "enforce",
            LimitMode::Shadow => "shadow",
            LimitMode::Off => "off",
        }
    }
}

/// One quota: `per_minute` on average, `burst` at once (as `per_minute` where not given).
/// A `per_minute` of 0 refuses every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    pub per_minute: u32,
    pub burst: Option<u32>,
}

impl Quota {
    /// Seconds after which an empty bucket is full again, rounded up; `None` where it never is.
    pub fn refill_s(self) -> Option<u64> {
        if self.per_minute == 0 {
            return None;
        }
        Some((u64::from(self.burst.unwrap_or(self.per_minute)) * 60).div_ceil(u64::from(self.per_minute)))
    }

    /// Why it cannot be kept, as what is wrong with `burst`.
    pub fn complaint(self) -> Option<String> {
        if self.burst == Some(0) {
            return Some("expected at least 1; to refuse every call set per_minute to 0".to_owned());
        }
        let refill_s = self.refill_s().filter(|refill_s| *refill_s > REFILL_S_MAX)?;
        Some(format!(
            "expected a burst that is there again within {REFILL_S_MAX} s, found one that takes {refill_s} s; lower \
             burst or raise per_minute"
        ))
    }
}

/// One layer's quotas, by class of function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    pub query_rows: Quota,
    pub write_rows: Quota,
    pub query: Quota,
    pub mutation: Quota,
    pub action: Quota,
}

impl Classes {
    /// Quotas of so many calls per minute, the burst as large.
    const fn per_minute(query_rows: u32, write_rows: u32, query: u32, mutation: u32, action: u32) -> Classes {
        Classes {
            query_rows: Quota { per_minute: query_rows, burst: None },
            write_rows: Quota { per_minute: write_rows, burst: None },
            query: Quota { per_minute: query, burst: None },
            mutation: Quota { per_minute: mutation, burst: None },
            action: Quota { per_minute: action, burst: None },
        }
    }

    fn named(&self) -> [(&'static str, Quota); 5] {
        [
            ("query_rows", self.query_rows),
            ("write_rows", self.write_rows),
            ("query", self.query),
            ("mutation", self.mutation),
            ("action", self.action),
        ]
    }
}

const INSTALL: Classes = Classes::per_minute(100, 50, 100, 50, 20);
const CALLER: Classes = Classes::per_minute(50, 25, 50, 25, 10);
const EXTENSION: Classes = Classes::per_minute(100_000, 50_000, 100_000, 50_000, 20_000);

/// Rate limits in three layers; see `limit`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub mode: LimitMode,
    /// All callers of one install together.
    #[serde(deserialize_with = "install")]
    pub install: Classes,
    /// One caller within one install.
    #[serde(deserialize_with = "caller")]
    pub caller: Classes,
    /// All installs of one extension together.
    #[serde(deserialize_with = "extension")]
    pub extension: Classes,
    /// Buckets that are full again are dropped this often.
    pub sweep_interval_s: u64,
    /// Buckets held in each layer; whoever comes when there are as many shares one with the
    /// other newcomers. One takes some 100 bytes.
    pub buckets_max: usize,
    /// A Redis whose buckets all gateways share; usually given as `ROWGATE_LIMITS__REDIS_URL`.
    pub redis_url: Option<Hidden>,
    /// A Redis that takes longer is done without.
    pub redis_timeout_ms: u64,
    /// Gateways that share the quotas where Redis is away; as many as were last heard of, if they were more.
    pub nodes: u32,
    /// How long it is remembered what was asked, for simulations; 0 remembers nothing.
    pub traffic_kept_h: u32,
    /// Callers, by class and function, that a worker remembers of each minute; others are left out.
    pub traffic_callers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            mode: LimitMode::Enforce,
            install: INSTALL,
            caller: CALLER,
            extension: EXTENSION,
            sweep_interval_s: 60,
            buckets_max: 4_000_000,
            redis_url: None,
            redis_timeout_ms: 50,
            nodes: 1,
            traffic_kept_h: 24,
            traffic_callers_max: 10_000,
        }
    }
}

impl Limits {
    /// Adds a sentence to `reasons` for every value that cannot be kept.
    pub(crate) fn check(&self, reasons: &mut Vec<String>) {
        for (layer, classes) in [("install", self.install), ("caller", self.caller), ("extension", self.extension)] {
            for (class, quota) in classes.named() {
                if let Some(complaint) = quota.complaint() {
                    reasons.push(format!("limits.{layer}.{class}.burst: {complaint}"));
                }
            }
        }
        if !(1..=NODES_MAX).contains(&self.nodes) {
            reasons.push(format!("limits.nodes: expected 1 to {NODES_MAX}"));
        }
        if self.buckets_max == 0 {
            reasons.push("limits.buckets_max: expected at least 1".to_owned());
        }
    }
}

fn install<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Classes, D::Error> {
    WrittenClasses::deserialize(deserializer).map(|written| written.over(INSTALL))
}

fn caller<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Classes, D::Error> {
    WrittenClasses::deserialize(deserializer).map(|written| written.over(CALLER))
}

fn extension<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Classes, D::Error> {
    WrittenClasses::deserialize(deserializer).map(|written| written.over(EXTENSION))
}

/// A layer as written: any of its classes.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct WrittenClasses {
    query_rows: WrittenQuota,
    write_rows: WrittenQuota,
    query: WrittenQuota,
    mutation: WrittenQuota,
    action: WrittenQuota,
}

impl WrittenClasses {
    fn over(self, defaults: Classes) -> Classes {
        Classes {
            query_rows: self.query_rows.over(defaults.query_rows),
            write_rows: self.write_rows.over(defaults.write_rows),
            query: self.query.over(defaults.query),
            mutation: self.mutation.over(defaults.mutation),
            action: self.action.over(defaults.action),
        }
    }
}

/// A quota as written: `50`, or a table with any of the two keys.
#[derive(Default)]
struct WrittenQuota {
    per_minute: Option<u32>,
    burst: Option<u32>,
}

impl WrittenQuota {
    fn over(self, defaults: Quota) -> Quota {
        Quota { per_minute: self.per_minute.unwrap_or(defaults.per_minute), burst: self.burst.or(defaults.burst) }
    }
}

// By hand because an untagged enum answers a misspelt key with "did not match any variant".
impl<'de> Deserialize<'de> for WrittenQuota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuotaVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaTable {
    per_minute: Option<u32>,
    burst: Option<u32>,
}

struct QuotaVisitor;

impl<'de> Visitor<'de> for QuotaVisitor {
    type Value = WrittenQuota;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("calls per minute, such as 50 or { per_minute = 50, burst = 10 }")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<WrittenQuota, E> {
        let per_minute = u32::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))?;
        Ok(WrittenQuota { per_minute: Some(per_minute), burst: None })
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<WrittenQuota, E> {
        let per_minute = u32::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
        Ok(WrittenQuota { per_minute: Some(per_minute), burst: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenQuota, A::Error> {
        let QuotaTable { per_minute, burst } = QuotaTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(WrittenQuota { per_minute, burst })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn read(text: &str) -> Result<Limits, String> {
        let limits: Limits = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut reasons = Vec::new();
        limits.check(&mut reasons);
        if reasons.is_empty() { Ok(limits) } else { Err(reasons.join("\n")) }
    }

    #[test]
    fn what_is_not_written_keeps_its_default() {
        let limits = read(
            "mode = 'shadow'\n[install]\nquery_rows = { per_minute = 10 }\nwrite_rows = 7\naction = { burst = 3 }\n\
             [caller]\nquery = { per_minute = 0 }",
        )
        .unwrap();
        let expected = Limits {
            mode: LimitMode::Shadow,
            install: Classes {
                query_rows: Quota { per_minute: 10, burst: None },
                write_rows: Quota { per_minute: 7, burst: None },
                action: Quota { per_minute: 20, burst: Some(3) },
                ..INSTALL
            },
            caller: Classes { query: Quota { per_minute: 0, burst: None }, ..CALLER },
            ..Limits::default()
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn the_defaults_can_be_kept() {
        assert_eq!(read(""), Ok(Limits::default()));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let refusal = |text: &str| read(text).expect_err(text);
        insta::assert_snapshot!(
            refusal("buckets_max = 0\n[caller]\nquery = { burst = 0 }\n[install]\naction = { per_minute = 1, burst = 2000 }"),
            @"
        limits.install.action.burst: expected a burst that is there again within 86400 s, found one that takes 120000 s; lower burst or raise per_minute
        limits.caller.query.burst: expected at least 1; to refuse every call set per_minute to 0
        limits.buckets_max: expected at least 1
        "
        );
        insta::assert_snapshot!(refusal("[install]\nquery_rows = -1"), @"
        TOML parse error at line 2, column 14
          |
        2 | query_rows = -1
          |              ^^
        invalid value: integer `-1`, expected calls per minute, such as 50 or { per_minute = 50, burst = 10 }
        ");
        insta::assert_snapshot!(refusal("[install]\nquery_rows = 'many'"), @r#"
        TOML parse error at line 2, column 14
          |
        2 | query_rows = 'many'
          |              ^^^^^^
        invalid type: string "many", expected calls per minute, such as 50 or { per_minute = 50, burst = 10 }
        "#);
        insta::assert_snapshot!(refusal("[install]\nquery_rows = { per_second = 1 }"), @"
        TOML parse error at line 2, column 16
          |
        2 | query_rows = { per_second = 1 }
          |                ^^^^^^^^^^
        unknown field `per_second`, expected `per_minute` or `burst`
        ");
        insta::assert_snapshot!(refusal("[install]\nquery_row = 1"), @"
        TOML parse error at line 2, column 1
          |
        2 | query_row = 1
          | ^^^^^^^^^
        unknown field `query_row`, expected one of `query_rows`, `write_rows`, `query`, `mutation`, `action`
        ");
    }
}
