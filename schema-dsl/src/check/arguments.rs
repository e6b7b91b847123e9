//! What a function asks of its caller: gathered from every place that uses an argument.
//!
//! A validator written at any use speaks for the argument at all of them: its type wins over the
//! columns', and so does what it says about absence, except that a place which cannot do without
//! a value makes the argument required. Without a validator the places decide together: each
//! limit holds, and the argument is required unless every place can do without.

use std::collections::BTreeMap;

use crate::check::{agreement, names, types};
use crate::column_type::{ColumnType, OnDelete};
use crate::definition::{Body, Definition, Filter, Function, Operand, Validator, When};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Absence, Argument, CURSOR, FILTER_DEPTH_MAX, OPTIONAL_ARGUMENTS_MAX};
use crate::like;
use crate::model::DefaultValue;
use crate::value::Typed;

/// A function's arguments while its body is read.
pub(crate) struct Arguments<'a> {
    /// By name, so that an argument's place here is its place in the function.
    by_name: BTreeMap<&'a str, Gathered<'a>>,
    /// Whether `cursor` is the gateway's own, which drops no condition.
    has_cursor: bool,
}

/// What is known of one argument.
#[derive(Default)]
struct Gathered<'a> {
    /// Its place in [`crate::function::Function::arguments`].
    place: usize,
    /// The first operand that names it.
    pointer: String,
    validator: Option<&'a Validator>,
    /// The operand that brought the validator.
    validator_at: String,
    /// The validator has been complained about; there is no more to say of it.
    is_broken: bool,
    /// A use takes it as a pattern of `like`.
    is_pattern: bool,
    uses: Vec<Use>,
}

/// One place that takes an argument's value.
pub(crate) struct Use {
    /// The operand.
    pub(crate) pointer: String,
    /// What takes the value, such as ``column `score` ``.
    pub(crate) what: String,
    pub(crate) column_type: ColumnType,
    /// Whether the type's bounds bind a validator too.
    pub(crate) is_bounded: bool,
    pub(crate) need: Need,
    /// Whether null is a value here.
    pub(crate) nullable: bool,
}

/// How much a place needs its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// There is no statement without it.
    Always,
    /// It may be left out, when the author says so.
    Asked,
    /// It may be left out, unless the author says otherwise.
    Offered,
    /// This integer stands in, or the nearest that the type allows; see [`Absence::Default`].
    Paging(i64),
}

impl<'a> Arguments<'a> {
    /// Every argument that `function` names, with the validator given to it.
    pub(crate) fn of(
        function: &'a Function,
        pointer: &str,
        definition: &Definition,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Arguments<'a> {
        let mut by_name: BTreeMap<&str, Gathered<'a>> = BTreeMap::new();
        for (pointer, operand) in operands(function, pointer) {
            let Operand::Argument { name, validator } = operand else { continue };
            let gathered = by_name.entry(name).or_insert_with(|| {
                names::name("argument", name, &pointer_to(&pointer, "arg"), diagnostics);
                Gathered { pointer: pointer.clone(), ..Gathered::default() }
            });
            let Some(validator) = validator else { continue };
            let at_validator = pointer_to(&pointer, "validator");
            match gathered.validator {
                None => {
                    let holder = types::Holder::Argument;
                    let complaints_before = diagnostics.len();
                    types::column_type(&validator.column_type, holder, &at_validator, definition, diagnostics);
                    gathered.validator = Some(validator);
                    gathered.validator_at = pointer;
                    gathered.is_broken = diagnostics.len() > complaints_before;
                }
                Some(first) if first == validator => {}
                Some(_) => {
                    let message = format!("argument `{name}` has two different validators");
                    let hint = "give it one validator, at one of its uses, or use two arguments";
                    diagnostics.push(Diagnostic::new("argument_declared_twice", at_validator, message).with_hint(hint));
                }
            }
        }
        let arguments =
            by_name.iter().map(|(name, gathered)| ("argument", *name, pointer_to(&gathered.pointer, "arg")));
        names::distinct(arguments, diagnostics);
        let has_cursor = matches!(function.body, Body::QueryRows { page: true, .. }) && !by_name.contains_key(CURSOR);
        if has_cursor {
            let pointer = format!("{pointer}/page");
            by_name.insert(CURSOR, Gathered { pointer, ..Gathered::default() });
        }
        for (place, gathered) in by_name.values_mut().enumerate() {
            gathered.place = place;
        }
        Arguments { by_name, has_cursor }
    }

    /// Whether the author declared an argument that is named as the gateway's own; its first use.
    pub(crate) fn declared_cursor(&self) -> Option<&str> {
        let declared = self.by_name.get(CURSOR).filter(|_| !self.has_cursor);
        declared.map(|gathered| gathered.pointer.as_str())
    }

    /// Notes a use of `name`; its place in [`crate::function::Function::arguments`].
    pub(crate) fn used(&mut self, name: &str, used: Use) -> Option<usize> {
        let gathered = self.by_name.get_mut(name)?;
        gathered.uses.push(used);
        Some(gathered.place)
    }

    /// Notes that a use of `name` takes it as a pattern of `like`.
    pub(crate) fn is_pattern(&mut self, name: &str) {
        if let Some(gathered) = self.by_name.get_mut(name) {
            gathered.is_pattern = true;
        }
    }

    /// The arguments, sorted by name. Of those that drop conditions there may only be so many.
    pub(crate) fn resolve(
        self,
        function: &str,
        pointer: &str,
        drops_conditions: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<Argument> {
        let arguments: Vec<Argument> =
            self.by_name.into_iter().filter_map(|(name, gathered)| gathered.resolve(name, diagnostics)).collect();
        let dropped: Vec<String> = arguments
            .iter()
            .filter(|argument| argument.absence == Absence::Dropped)
            .filter(|argument| !(self.has_cursor && argument.name == *CURSOR))
            .map(|argument| format!("`{}`", argument.name))
            .collect();
        if drops_conditions && dropped.len() > OPTIONAL_ARGUMENTS_MAX {
            let message = format!(
                "function `{function}` has {} arguments that may be left out ({}); at most {OPTIONAL_ARGUMENTS_MAX} \
                 are accepted, as each doubles its statements",
                dropped.len(),
                dropped.join(", ")
            );
            let hint = "give some of them a validator that is not optional, or that has a default";
            diagnostics.push(Diagnostic::new("too_many_optional_arguments", pointer, message).with_hint(hint));
        }
        arguments
    }
}

impl Gathered<'_> {
    fn resolve(self, name: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Argument> {
        if self.uses.is_empty() || self.is_broken {
            return None;
        }
        let column_type = match self.validator {
            Some(validator) => self.declared_type(name, validator, diagnostics)?,
            None => self.inferred_type(name, diagnostics)?,
        };
        let absence = match self.validator {
            Some(validator) => self.declared_absence(name, validator, &column_type, diagnostics)?,
            None => self.inferred_absence(&column_type),
        };
        if self.is_pattern
            && let Absence::Default(Typed::Text(pattern)) = &absence
            && !like::is_complete(pattern)
        {
            let at = pointer_to(&pointer_to(&self.validator_at, "validator"), "default");
            diagnostics.push(incomplete_pattern(&format!("the default of argument `{name}`"), &at));
        }
        let nullable = self.uses.iter().all(|used| used.nullable);
        let name = crate::name::Name::new(name).ok()?;
        Some(Argument { name, column_type, absence, nullable, is_pattern: self.is_pattern })
    }

    fn declared_type(
        &self,
        name: &str,
        validator: &Validator,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<ColumnType> {
        let declared = &validator.column_type;
        let mut column_type = without_on_delete(declared);
        let mut sound = true;
        for used in &self.uses {
            if !agreement::takes(&used.column_type, declared) {
                sound = false;
                let (is, takes) = (phrase(declared), phrase(&used.column_type));
                let message = format!("argument `{name}` is declared as {is}, but {} takes {takes}", used.what);
                let hint = "correct the validator, or leave it out: the type is known";
                let pointer = used.pointer.as_str();
                diagnostics.push(Diagnostic::new("argument_type_conflict", pointer, message).with_hint(hint));
            } else if used.is_bounded {
                if !agreement::lies_within(&used.column_type, declared) {
                    sound = false;
                    let bounds = phrase_of_bounds(&used.column_type);
                    let message = format!("the bounds of argument `{name}` are wider than what {} takes", used.what);
                    let pointer = pointer_to(&self.validator_at, "validator");
                    diagnostics.push(
                        Diagnostic::new("argument_bounds", pointer, message).with_hint(format!("keep to {bounds}")),
                    );
                }
                column_type = agreement::filled(&used.column_type, &column_type);
            }
        }
        sound.then_some(column_type)
    }

    fn inferred_type(&self, name: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<ColumnType> {
        let mut uses = self.uses.iter();
        let first = uses.next()?;
        let mut column_type = first.column_type.clone();
        for used in uses {
            if let Some(agreed) = agreement::agreed(&column_type, &used.column_type) {
                column_type = agreed;
                continue;
            }
            let message = format!(
                "argument `{name}` would be {} for {} and {} for {}",
                phrase(&column_type),
                first.what,
                phrase(&used.column_type),
                used.what
            );
            let hint = "use two arguments with names of their own";
            let pointer = used.pointer.as_str();
            diagnostics.push(Diagnostic::new("argument_type_conflict", pointer, message).with_hint(hint));
            return None;
        }
        Some(column_type)
    }

    fn declared_absence(
        &self,
        name: &str,
        validator: &Validator,
        column_type: &ColumnType,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Absence> {
        let at_validator = pointer_to(&self.validator_at, "validator");
        if validator.default.is_some() {
            let validator = Validator { column_type: column_type.clone(), ..validator.clone() };
            let what = format!("argument `{name}`");
            return match types::default_value(&validator, &what, &at_validator, diagnostics)? {
                DefaultValue::Value(value) => Some(Absence::Default(value)),
                DefaultValue::Now => {
                    let message = format!("the default of argument `{name}` is `now()`; only a column can have that");
                    let hint = "write `now()` in place of the argument, or give a literal";
                    let pointer = pointer_to(&at_validator, "default");
                    diagnostics.push(Diagnostic::new("now_default", pointer, message).with_hint(hint));
                    None
                }
            };
        }
        if !validator.optional {
            let paging = self.paging_default(column_type);
            return Some(paging.unwrap_or(Absence::Refused));
        }
        let needed = self.uses.iter().find(|used| used.need == Need::Always);
        if let Some(used) = needed.filter(|used| used.pointer == self.validator_at) {
            let message = format!("argument `{name}` cannot be optional: {} needs it", used.what);
            let pointer = pointer_to(&at_validator, "optional");
            let hint = "leave `optional` out, or give the argument a default";
            diagnostics.push(Diagnostic::new("argument_needed", pointer, message).with_hint(hint));
            return None;
        }
        if let Some(paging) = self.paging_default(column_type) {
            return Some(paging);
        }
        let can_drop = self.uses.iter().all(|used| matches!(used.need, Need::Asked | Need::Offered));
        Some(if can_drop { Absence::Dropped } else { Absence::Refused })
    }

    fn inferred_absence(&self, column_type: &ColumnType) -> Absence {
        if let Some(paging) = self.paging_default(column_type) {
            return paging;
        }
        let can_drop = self.uses.iter().all(|used| used.need == Need::Offered);
        if can_drop { Absence::Dropped } else { Absence::Refused }
    }

    /// What stands in for an argument that does nothing but page.
    fn paging_default(&self, column_type: &ColumnType) -> Option<Absence> {
        let mut stand_ins = self.uses.iter().map(|used| match used.need {
            Need::Paging(stand_in) => Some(stand_in),
            Need::Always | Need::Asked | Need::Offered => None,
        });
        let first = stand_ins.next()??;
        if !stand_ins.all(|other| other == Some(first)) {
            return None;
        }
        let ColumnType::Integer { min, max } = column_type else { return None };
        let within = first.max(min.unwrap_or(first)).min(max.unwrap_or(first));
        Some(Absence::Default(Typed::Int8(within)))
    }
}

/// An author's pattern that ends in a `\` which nothing follows.
pub(crate) fn incomplete_pattern(what: &str, pointer: &str) -> Diagnostic {
    let message = format!("{what} is no pattern: it ends in a lone `\\`");
    Diagnostic::new("invalid_literal", pointer, message).with_hint("write `\\\\` for a backslash itself")
}

/// What a delete does is the business of a column.
fn without_on_delete(declared: &ColumnType) -> ColumnType {
    if let ColumnType::Id { table, .. } = declared {
        ColumnType::Id { table: table.clone(), on_delete: OnDelete::Restrict }
    } else {
        declared.clone()
    }
}

/// Every operand of a function with its pointer, those inside increments too.
fn operands<'a>(function: &'a Function, pointer: &str) -> Vec<(String, &'a Operand)> {
    let mut found: Vec<(String, &'a Operand)> = Vec::new();
    let mut add = |member: &str, operand: &'a Operand| {
        let mut pointer = format!("{pointer}{member}");
        let mut operand = operand;
        while let Some((word, with)) = operand.change() {
            pointer = pointer_to(&pointer, word);
            operand = with;
        }
        found.push((pointer, operand));
    };
    for (index, when) in function.when.iter().enumerate() {
        let member = pointer_to("/when", index);
        match when {
            When::Row(filter) => filter_operands(filter, &member, 1, &mut add),
            When::Referred(filters) => filters
                .iter()
                .for_each(|(column, filter)| filter_operands(filter, &pointer_to(&member, column), 1, &mut add)),
        }
    }
    match &function.body {
        Body::QueryRows { filter, limit, offset, .. } => {
            filter.iter().for_each(|filter| filter_operands(filter, "/filter", 1, &mut add));
            limit.iter().for_each(|limit| add("/limit", limit));
            offset.iter().for_each(|offset| add("/offset", offset));
        }
        Body::AggregateRows { filter, having, limit, .. } => {
            filter.iter().for_each(|filter| filter_operands(filter, "/filter", 1, &mut add));
            having.iter().for_each(|having| filter_operands(having, "/having", 1, &mut add));
            limit.iter().for_each(|limit| add("/limit", limit));
        }
        Body::CountRows { filter, .. } => {
            filter.iter().for_each(|filter| filter_operands(filter, "/filter", 1, &mut add));
        }
        Body::GetRow { id, .. } => add("/id", id),
        Body::DeleteRow { id, version, .. } => {
            add("/id", id);
            version.iter().for_each(|version| add("/version", version));
        }
        Body::InsertRow { values, .. } | Body::InsertRows { values, .. } | Body::UpsertRow { values, .. } => {
            values.iter().for_each(|(name, value)| add(&pointer_to("/values", name), value));
        }
        Body::PatchRows { filter, values, .. } => {
            filter_operands(filter, "/filter", 1, &mut add);
            values.iter().for_each(|(name, value)| add(&pointer_to("/values", name), value));
        }
        Body::DeleteRows { filter, .. } => filter_operands(filter, "/filter", 1, &mut add),
        Body::PatchRow { id, values, version, .. } => {
            add("/id", id);
            values.iter().for_each(|(name, value)| add(&pointer_to("/values", name), value));
            version.iter().for_each(|version| add("/version", version));
        }
    }
    found
}

fn filter_operands<'a>(filter: &'a Filter, member: &str, depth: usize, add: &mut impl FnMut(&str, &'a Operand)) {
    if depth > FILTER_DEPTH_MAX {
        return;
    }
    match filter {
        Filter::All { all } => {
            for (index, part) in all.iter().enumerate() {
                filter_operands(part, &format!("{member}/all/{index}"), depth + 1, add);
            }
        }
        Filter::Any { any } => {
            for (index, part) in any.iter().enumerate() {
                filter_operands(part, &format!("{member}/any/{index}"), depth + 1, add);
            }
        }
        Filter::Negate { negate } => filter_operands(negate, &format!("{member}/negate"), depth + 1, add),
        Filter::Compare(comparison) => add(&format!("{member}/value"), &comparison.value),
    }
}

/// A type as people say it, such as `an id of `rules``.
pub(crate) fn phrase(column_type: &ColumnType) -> String {
    match column_type {
        ColumnType::Id { table, .. } => format!("an id of `{table}`"),
        ColumnType::Enum { values } => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("one of {}", values.join(", "))
        }
        ColumnType::Array { items, .. } => format!("a list of {}", items.word()),
        ColumnType::Integer { .. } | ColumnType::Object { .. } => format!("an {}", column_type.word()),
        ColumnType::Bytes { .. } | ColumnType::Json => column_type.word().to_owned(),
        ColumnType::String { .. }
        | ColumnType::Number { .. }
        | ColumnType::Boolean
        | ColumnType::Decimal { .. }
        | ColumnType::Timestamp
        | ColumnType::Date
        | ColumnType::Uuid => format!("a {}", column_type.word()),
    }
}

fn phrase_of_bounds(column_type: &ColumnType) -> String {
    if let ColumnType::Integer { min: Some(min), max: Some(max) } = column_type {
        format!("{min} to {max}")
    } else if let ColumnType::Array { max: Some(max), .. } = column_type {
        format!("at most {max} elements")
    } else if let ColumnType::String { max: Some(max), .. } = column_type {
        format!("at most {max} characters")
    } else {
        "its bounds".to_owned()
    }
}
