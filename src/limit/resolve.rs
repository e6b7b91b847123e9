//! What is in force for an install: the configuration, what authors declared of their functions, and
//! the overrides of operators, resolved once whenever the registry is read.
//!
//! A quota and a mode are looked for apart: each is that of the narrowest override that says one, else
//! the configuration's. Installs that no override names share what is resolved with all others of
//! their extension and plan.

use std::collections::HashMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::config::{Classes, LimitMode, Limits, Quota};
use crate::limit::overrides::{Of, Override};
use crate::limit::policy::{Policies, Policy, Quotas};
use crate::limit::{CallerKind, Class, Layer};

/// A function of an extension, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    pub name: Box<str>,
    /// [`function_key`] of its name.
    pub key: u128,
    pub class: Class,
    /// Its author's own quota.
    pub rate_limit: Option<Quota>,
}

/// An install, as far as limits tell installs apart.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub install_id: Uuid,
    pub extension_id: Uuid,
    /// The revision whose functions it has.
    pub revision: i64,
    pub plan: Option<&'a str>,
    pub functions: &'a [Declared],
}

/// Where a number comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Configured,
    /// By the function's author.
    Declared,
    Override(Override),
}

/// What is in force for some calls of an install, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct InForce {
    pub layer: Layer,
    pub class: Class,
    /// Where kinds of callers are held to different ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<CallerKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    pub per_minute: u32,
    pub burst: u32,
    pub quota_from: Origin,
    pub mode: LimitMode,
    pub mode_from: Origin,
}

/// Resolves what is in force, for one reading of the registry.
pub struct Resolver<'a> {
    limits: &'a Limits,
    by_install: HashMap<Uuid, Vec<&'a Override>>,
    /// Those that name no install.
    general: Vec<&'a Override>,
    made: HashMap<Shared<'a>, Arc<Policies>>,
}

/// Installs that no override names and that agree in these are held to the same.
type Shared<'a> = (Uuid, i64, Option<&'a str>);

/// The overrides that may be for an install, the narrowest first.
struct Relevant<'a> {
    limits: &'a Limits,
    overrides: Vec<&'a Override>,
}

/// A quota and a mode with what said so.
struct Resolved<'a> {
    quota: Quota,
    quota_from: Source<'a>,
    mode: LimitMode,
    mode_from: Source<'a>,
}

#[derive(Clone, Copy, PartialEq)]
enum Source<'a> {
    Configured,
    Declared,
    Override(&'a Override),
}

impl<'a> Resolver<'a> {
    pub fn new(limits: &'a Limits, overrides: &'a [Override]) -> Resolver<'a> {
        let mut by_install: HashMap<Uuid, Vec<&Override>> = HashMap::new();
        let mut general = Vec::new();
        for one in overrides {
            match one.install_id {
                Some(id) => by_install.entry(id).or_default().push(one),
                None => general.push(one),
            }
        }
        Resolver { limits, by_install, general, made: HashMap::new() }
    }

    /// What the calls of `subject` are held to.
    pub fn policies(&mut self, subject: Subject<'a>) -> Arc<Policies> {
        if self.by_install.contains_key(&subject.install_id) {
            return Arc::new(self.relevant(&subject).policies(&subject));
        }
        let shared = (subject.extension_id, subject.revision, subject.plan);
        if let Some(made) = self.made.get(&shared) {
            return made.clone();
        }
        let made = Arc::new(self.relevant(&subject).policies(&subject));
        self.made.insert(shared, made.clone());
        made
    }

    /// The same for people: each layer and class, and where its numbers come from.
    pub fn in_force(&self, subject: &Subject<'_>) -> Vec<InForce> {
        let relevant = self.relevant(subject);
        let mut rows = Vec::new();
        for class in Class::ALL {
            let callers = CallerKind::ALL
                .map(|kind| InForce { caller: Some(kind), ..relevant.shown(subject, Layer::Caller, class, kind) });
            let [first, others @ ..] = &callers;
            let unnamed = |row: &InForce| InForce { caller: None, ..row.clone() };
            if others.iter().all(|other| unnamed(other) == unnamed(first)) {
                rows.push(unnamed(first));
            } else {
                rows.extend(callers);
            }
            for layer in [Layer::Install, Layer::Extension] {
                rows.push(relevant.shown(subject, layer, class, CallerKind::Token));
            }
        }
        for function in subject.functions {
            let of = of(subject, Layer::Function, function.class, CallerKind::Token, Some(&function.name));
            let resolved = relevant.of_function(&of, function);
            rows.extend(resolved.map(|resolved| resolved.shown(&of)));
        }
        rows
    }

    fn relevant(&self, subject: &Subject<'_>) -> Relevant<'a> {
        let own = self.by_install.get(&subject.install_id).into_iter().flatten();
        let all = self.general.iter().chain(own).copied();
        let is_of = |one: &&Override| one.is_of(subject.install_id, subject.extension_id, subject.plan);
        let mut overrides: Vec<&Override> = all.filter(is_of).collect();
        overrides.sort_by_key(|one| std::cmp::Reverse(one.weight()));
        Relevant { limits: self.limits, overrides }
    }
}

impl<'a> Relevant<'a> {
    fn policies(&self, subject: &Subject<'_>) -> Policies {
        let of_class = |class| Quotas::new(class, 0, |kind| self.layers(subject, class, kind, None));
        let of_function = |function: &Declared| {
            let of = of(subject, Layer::Function, function.class, CallerKind::Token, Some(&function.name));
            let own = self.of_function(&of, function)?.policy()?;
            let layers = |kind| self.layers(subject, function.class, kind, Some(own));
            Some(Box::new(Quotas::new(function.class, function.key, layers)))
        };
        let functions: Vec<Option<Box<Quotas>>> = subject.functions.iter().map(of_function).collect();
        Policies {
            query_rows: of_class(Class::QueryRows),
            write_rows: of_class(Class::WriteRows),
            query: of_class(Class::Query),
            mutation: of_class(Class::Mutation),
            action: of_class(Class::Action),
            functions: if functions.iter().any(Option::is_some) { functions.into() } else { Box::default() },
        }
    }

    /// In the order of [`Layer::ALL`].
    fn layers(
        &self,
        subject: &Subject<'_>,
        class: Class,
        kind: CallerKind,
        function: Option<Policy>,
    ) -> [Option<Policy>; 4] {
        Layer::ALL.map(|layer| match layer {
            Layer::Function => function,
            Layer::Caller | Layer::Install | Layer::Extension => {
                self.of_class(&of(subject, layer, class, kind, None)).policy()
            }
        })
    }

    fn shown(&self, subject: &Subject<'_>, layer: Layer, class: Class, kind: CallerKind) -> InForce {
        let of = of(subject, layer, class, kind, None);
        self.of_class(&of).shown(&of)
    }

    fn of_class(&self, of: &Of<'_>) -> Resolved<'a> {
        let limits = self.limits;
        let classes = match of.layer {
            Layer::Caller => &limits.caller,
            Layer::Install => &limits.install,
            // A function has what is declared of it, and no quota in the configuration.
            Layer::Extension | Layer::Function => &limits.extension,
        };
        let configured = (quota_of(classes, of.class), Source::Configured);
        self.resolved(of, self.quota(of).unwrap_or(configured))
    }

    /// `None` where the function has no quota of its own.
    fn of_function(&self, of: &Of<'_>, function: &Declared) -> Option<Resolved<'a>> {
        let declared = function.rate_limit.map(|quota| (quota, Source::Declared));
        Some(self.resolved(of, self.quota(of).or(declared)?))
    }

    fn resolved(&self, of: &Of<'_>, (quota, quota_from): (Quota, Source<'a>)) -> Resolved<'a> {
        let said = self.matching(of).find_map(|one| Some((one.mode?, Source::Override(one))));
        let (mode, mode_from) = said.unwrap_or((self.limits.mode, Source::Configured));
        Resolved { quota, quota_from, mode, mode_from }
    }

    fn quota(&self, of: &Of<'_>) -> Option<(Quota, Source<'a>)> {
        self.matching(of).find_map(|one| Some((one.quota()?, Source::Override(one))))
    }

    fn matching(&self, of: &Of<'_>) -> impl Iterator<Item = &'a Override> {
        self.overrides.iter().copied().filter(move |one| one.is_for(of))
    }
}

impl Resolved<'_> {
    fn policy(&self) -> Option<Policy> {
        match self.mode {
            LimitMode::Enforce | LimitMode::Shadow => Some(Policy::new(self.mode, self.quota)),
            LimitMode::Off => None,
        }
    }

    fn shown(&self, of: &Of<'_>) -> InForce {
        InForce {
            layer: of.layer,
            class: of.class,
            caller: None,
            function: of.function.map(str::to_owned),
            per_minute: self.quota.per_minute,
            burst: self.quota.burst.unwrap_or(self.quota.per_minute),
            quota_from: self.quota_from.into(),
            mode: self.mode,
            mode_from: self.mode_from.into(),
        }
    }
}

impl From<Source<'_>> for Origin {
    fn from(from: Source<'_>) -> Origin {
        match from {
            Source::Configured => Origin::Configured,
            Source::Declared => Origin::Declared,
            Source::Override(one) => Origin::Override(one.clone()),
        }
    }
}

fn of<'s>(subject: &Subject<'s>, layer: Layer, class: Class, caller: CallerKind, function: Option<&'s str>) -> Of<'s> {
    let Subject { install_id, extension_id, plan, .. } = *subject;
    Of { layer, class, caller, install_id, extension_id, plan, function }
}

fn quota_of(classes: &Classes, class: Class) -> Quota {
    match class {
        Class::QueryRows => classes.query_rows,
        Class::WriteRows => classes.write_rows,
        Class::Query => classes.query,
        Class::Mutation => classes.mutation,
        Class::Action => classes.action,
    }
}

/// The same in every revision and on every node.
pub fn function_key(name: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    digest.iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}
