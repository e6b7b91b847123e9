//! Overrides: what an operator says of some calls while the gateway runs, over the configuration.
//!
//! An override is for one layer and, of the calls that this layer counts, for those that meet every
//! condition it names. The one with the narrowest conditions wins: conditions are compared in the order
//! of [`Override::weight`], so two that meet one call are never alike in rank unless they are the same.

use rowgate_schema_dsl::name::NAME_BYTES_MAX;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{LimitMode, Quota};
use crate::limit::{CallerKind, Class, Layer};

/// Overrides that are kept, at most: each reading of the registry goes through all of them.
pub const OVERRIDES_MAX: usize = 10_000;
/// Characters of a plan's name.
pub const PLAN_CHARS_MAX: usize = 63;

/// What an operator says of some calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub layer: Layer,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install_id: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_id: Option<Uuid>,
    /// Of the layer of functions alone, which it always names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The plan that the installs have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<LimitMode>,
}

/// A call, or all the calls of a bucket, as far as overrides tell them apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) layer: Layer,
    pub(crate) class: Class,
    pub(crate) caller: CallerKind,
    pub(crate) install_id: Uuid,
    pub(crate) extension_id: Uuid,
    pub(crate) plan: Option<&'a str>,
    pub(crate) function: Option<&'a str>,
}

impl Override {
    /// Why it cannot be kept, to whoever wrote it.
    pub fn complaint(&self) -> Option<String> {
        self.misplaced().or_else(|| self.said())
    }

    /// The quota it says, if it says one.
    pub fn quota(&self) -> Option<Quota> {
        self.per_minute.map(|per_minute| Quota { per_minute, burst: self.burst })
    }

    /// Whether both are for the same calls of the same layer.
    pub fn is_for_the_same(&self, other: &Override) -> bool {
        self.without_values() == other.without_values()
    }

    /// What it is for, without what it says.
    #[must_use]
    pub fn without_values(&self) -> Override {
        Override { per_minute: None, burst: None, mode: None, ..self.clone() }
    }

    /// How narrow it is: the first condition of this order that only one of two overrides has decides.
    pub(crate) fn weight(&self) -> u8 {
        let named = [
            self.install_id.is_some(),
            self.function.is_some(),
            self.extension_id.is_some(),
            self.plan.is_some(),
            self.caller.is_some(),
            self.class.is_some(),
        ];
        named.into_iter().fold(0, |weight, is_named| weight << 1 | u8::from(is_named))
    }

    pub(crate) fn is_for(&self, of: &Of<'_>) -> bool {
        self.layer == of.layer
            && self.class.is_none_or(|class| class == of.class)
            && self.caller.is_none_or(|caller| caller == of.caller)
            && self.is_of(of.install_id, of.extension_id, of.plan)
            && self.function.as_deref().is_none_or(|function| Some(function) == of.function)
    }

    /// Whether any call of the install may meet it.
    pub(crate) fn is_of(&self, install_id: Uuid, extension_id: Uuid, plan: Option<&str>) -> bool {
        self.install_id.is_none_or(|id| id == install_id)
            && self.extension_id.is_none_or(|id| id == extension_id)
            && self.plan.as_deref().is_none_or(|own| Some(own) == plan)
    }

    /// A condition that the layer has no use for, or one that is missing.
    fn misplaced(&self) -> Option<String> {
        let layer = self.layer.as_str();
        let is_function = self.layer == Layer::Function;
        if self.layer == Layer::Extension && (self.install_id.is_some() || self.plan.is_some()) {
            let why = "it counts all installs of an extension together";
            return Some(format!("layer `{layer}` is for no `install_id` and no `plan`: {why}"));
        }
        if self.layer != Layer::Caller && self.caller.is_some() {
            return Some(format!("layer `{layer}` is for no kind of `caller`: it counts all of them together"));
        }
        if is_function != self.function.is_some() {
            return Some("expected `function` with layer `function`, and with no other".to_owned());
        }
        if is_function && self.install_id.is_none() && self.extension_id.is_none() {
            return Some("expected `extension_id` or `install_id`, to say whose `function` it is".to_owned());
        }
        if is_function && self.class.is_some() {
            return Some("a function has one class; leave `class` out".to_owned());
        }
        if self.install_id.is_some() && (self.extension_id.is_some() || self.plan.is_some()) {
            return Some("an install has one extension and one plan; leave `extension_id` and `plan` out".to_owned());
        }
        let is_name = |name: &String| name.len() <= NAME_BYTES_MAX && !name.contains('\0');
        if !self.function.as_ref().is_none_or(is_name) {
            return Some("`function` is no function's name".to_owned());
        }
        self.plan.as_deref().and_then(plan_complaint)
    }

    /// What is wrong with what it says.
    fn said(&self) -> Option<String> {
        if self.per_minute.is_none() && self.mode.is_none() {
            return Some("expected `per_minute`, `mode` or both".to_owned());
        }
        match self.quota() {
            None if self.burst.is_some() => Some("a `burst` belongs to a quota; add `per_minute`".to_owned()),
            None => None,
            Some(quota) => quota.complaint().map(|complaint| format!("`burst`: {complaint}")),
        }
    }
}

/// Why no plan can have this name.
pub fn plan_complaint(plan: &str) -> Option<String> {
    let is_fit = (1..=PLAN_CHARS_MAX).contains(&plan.chars().count())
        && plan.chars().all(|char| char.is_ascii_alphanumeric() || "-_.".contains(char));
    (!is_fit).then(|| format!("a plan's name has 1 to {PLAN_CHARS_MAX} letters, digits, `-`, `_` and `.`"))
}
