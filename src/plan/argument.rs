//! A call's body becomes values in the order a plan wants them, or every complaint at once.
//!
//! The body is read once: its members are found as slices of the text, and each is parsed by the
//! type of the argument it names. Nothing is kept of what is not an argument.

mod rows;

use std::borrow::Cow;

use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::diagnostic::{nearest, pointer_to};
use rowgate_schema_dsl::function::{Absence, Argument, RowsArgument};
use rowgate_schema_dsl::like;
use rowgate_schema_dsl::value::{self, Members, Refusal, Typed};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{Code, Complaint, Failure};

/// Complaints of one call; a body of a megabyte can be wrong in a million places.
const COMPLAINTS_MAX: usize = 100;

/// The arguments a function takes, ready to be looked for.
#[derive(Debug)]
pub struct Arguments {
    slots: Vec<Slot>,
    /// The arguments are those of each element of the one argument `rows`; so many at most.
    rows_max: Option<u32>,
    /// Beside the slots: arguments that hold rows, each by its name.
    lists: Vec<(Box<str>, Arguments)>,
}

#[derive(Debug)]
struct Slot {
    name: Box<str>,
    column_type: ColumnType,
    absence: Absence,
    nullable: bool,
    is_pattern: bool,
}

/// What a call gave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Given {
    /// One for each argument in the plan's order; `None` where an optional one is absent.
    pub values: Vec<Option<Typed>>,
    /// The version that the row must still have, where the call says it beside its arguments.
    pub version: Option<i64>,
    /// The same for each of the call's rows, where the function takes rows.
    pub rows: Vec<Vec<Option<Typed>>>,
    /// The rows of each list of rows, where the function takes several things.
    pub lists: Vec<Vec<Vec<Option<Typed>>>>,
    /// A fresh id for each of those rows, growing; see [`Given::with_ids`].
    pub row_ids: Vec<Uuid>,
}

impl Given {
    /// With ids from `fresh`, each greater than the one before, for the call's rows.
    #[must_use]
    pub fn with_ids(mut self, fresh: fn() -> Uuid) -> Given {
        self.row_ids = self.rows.iter().map(|_| fresh()).collect();
        self
    }

    /// What a step is given that takes the arguments at these places, or the list of rows at this one.
    #[must_use]
    pub fn of_step(&self, takes: &[usize], list: Option<usize>, fresh: fn() -> Uuid) -> Given {
        if let Some(list) = list {
            let rows = self.lists.get(list).cloned().unwrap_or_default();
            return Given { rows, ..Given::default() }.with_ids(fresh);
        }
        let taken = |(place, value): (usize, &Option<Typed>)| value.clone().filter(|_| takes.contains(&place));
        Given { values: self.values.iter().enumerate().map(taken).collect(), ..Given::default() }
    }

    pub fn has(&self, place: usize) -> bool {
        self.get(place).is_some()
    }

    pub fn get(&self, place: usize) -> Option<&Typed> {
        self.values.get(place).and_then(Option::as_ref)
    }

    /// The version that the row must still have: the call's own, or that of the argument at `place`.
    pub fn version_or(&self, place: Option<usize>) -> Option<i64> {
        match place.and_then(|place| self.get(place)) {
            Some(Typed::Int8(version)) if self.version.is_none() => Some(*version),
            Some(_) | None => self.version,
        }
    }
}

impl Arguments {
    pub fn new(arguments: &[Argument]) -> Self {
        let slots = arguments
            .iter()
            .map(|argument| Slot {
                name: argument.name.as_str().into(),
                column_type: argument.column_type.clone(),
                absence: argument.absence.clone(),
                nullable: argument.nullable,
                is_pattern: argument.is_pattern,
            })
            .collect();
        Arguments { slots, rows_max: None, lists: Vec::new() }
    }

    /// With arguments that hold rows, by their names.
    #[must_use]
    pub fn with_lists<'a>(mut self, lists: impl Iterator<Item = (&'a str, &'a RowsArgument)>) -> Self {
        self.lists = lists.map(|(name, rows)| (name.into(), Arguments::of_rows(rows))).collect();
        self
    }

    /// The members of each of the rows of a call.
    pub fn of_rows(rows: &RowsArgument) -> Self {
        Arguments { rows_max: Some(rows.rows_max), ..Arguments::new(&rows.members) }
    }

    /// The name of the argument at `place`.
    pub fn name(&self, place: usize) -> Option<&str> {
        self.slots.get(place).map(|slot| slot.name.as_ref())
    }

    /// Reads `body`, a JSON object or nothing at all.
    pub fn parse(&self, body: &[u8], depth_max: usize) -> Result<Given, Failure> {
        let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
        let text = text.trim_ascii();
        let members = if text.is_empty() { Vec::new() } else { members(text, depth_max)? };
        let mut complaints = Vec::new();
        let given = match self.rows_max {
            None => self.read_all(&members, &mut complaints),
            Some(max) => {
                let rows = rows::read(self, RowsArgument::NAME, &members, max, &mut complaints);
                Given { rows, ..Given::default() }
            }
        };
        if complaints.is_empty() {
            return Ok(given);
        }
        complaints.truncate(COMPLAINTS_MAX);
        let detail = match complaints.as_slice() {
            [only] => format!("{}: {}", only.pointer.trim_start_matches('/'), only.message),
            more => format!("{} of the arguments cannot be used; `errors` names each", more.len()),
        };
        Err(Failure::new(Code::ArgumentsInvalid, detail).with_complaints(complaints))
    }

    /// Lists of rows, and then every other argument.
    fn read_all(&self, members: &[(Cow<'_, str>, &RawValue)], complaints: &mut Vec<Complaint>) -> Given {
        if self.lists.is_empty() {
            return Given { values: self.read(members, complaints), ..Given::default() };
        }
        let of = |list: &str| -> Vec<(Cow<'_, str>, &RawValue)> {
            members.iter().filter(|(name, _)| **name == *list).cloned().collect()
        };
        let mut lists = Vec::with_capacity(self.lists.len());
        for (name, of_row) in &self.lists {
            lists.push(rows::read(of_row, name, &of(name), of_row.rows_max.unwrap_or_default(), complaints));
        }
        let is_other = |name: &str| !self.lists.iter().any(|(list, _)| **list == *name);
        let others: Vec<_> = members.iter().filter(|(name, _)| is_other(name)).cloned().collect();
        Given { values: self.read(&others, complaints), lists, ..Given::default() }
    }

    /// The value of each argument among `members`.
    fn read(&self, members: &[(Cow<'_, str>, &RawValue)], complaints: &mut Vec<Complaint>) -> Vec<Option<Typed>> {
        let mut found: Vec<Option<&str>> = vec![None; self.slots.len()];
        for (name, raw) in members {
            if complaints.len() >= COMPLAINTS_MAX {
                break;
            }
            match self.slots.iter().zip(&mut found).find(|(slot, _)| *slot.name == **name) {
                Some((_, place @ None)) => *place = Some(raw.get()),
                Some((_, Some(_))) => complaints.push(duplicate(name)),
                None => complaints.push(self.unknown(name)),
            }
        }
        self.slots.iter().zip(found).map(|(slot, raw)| slot.read(raw, complaints)).collect()
    }

    fn unknown(&self, name: &str) -> Complaint {
        // A hostile name may be as long as the body; what is echoed is bounded.
        let shown: String = name.chars().take(64).collect();
        let lists = self.lists.iter().map(|(name, _)| name.as_ref());
        let names = self.slots.iter().map(|slot| slot.name.as_ref()).chain(lists);
        let message = match nearest(&shown, names.clone()) {
            Some(nearest) => format!("`{shown}` is not an argument; did you mean `{nearest}`?"),
            None if self.slots.is_empty() && self.lists.is_empty() => {
                format!("`{shown}` is not an argument; the function takes none")
            }
            None => {
                let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
                format!("`{shown}` is not an argument; expected {}", names.join(", "))
            }
        };
        Complaint { pointer: pointer_to("", &shown), code: "unknown_argument", message }
    }
}

impl Slot {
    /// The argument's value; `None` where it is absent or was complained about.
    fn read(&self, raw: Option<&str>, complaints: &mut Vec<Complaint>) -> Option<Typed> {
        match raw {
            Some("null") if self.nullable => Some(Typed::Null),
            None | Some("null") => match &self.absence {
                Absence::Dropped => None,
                Absence::Default(value) => Some(value.clone()),
                Absence::Refused => {
                    let (code, what) =
                        if raw.is_none() { ("missing_argument", "is missing") } else { ("null", "cannot be null") };
                    complaints.push(Complaint {
                        pointer: pointer_to("", &self.name),
                        code,
                        message: format!("`{}` {what}; expected {}", self.name, self.column_type.phrase()),
                    });
                    None
                }
            },
            Some(raw) => value::parse(&self.column_type, raw)
                .and_then(|typed| match &typed {
                    Typed::Text(pattern) if self.is_pattern && !like::is_complete(pattern) => Err(vec![Refusal {
                        pointer: String::new(),
                        code: "incomplete_pattern",
                        message: "the pattern ends in a lone `\\`; write `\\\\` for a backslash itself".to_owned(),
                    }]),
                    _ => Ok(typed),
                })
                .map_err(|refusals| {
                    complaints.extend(refusals.into_iter().map(|refusal| Complaint {
                        pointer: format!("{}{}", pointer_to("", &self.name), refusal.pointer),
                        code: refusal.code,
                        message: refusal.message,
                    }));
                })
                .ok(),
        }
    }
}

fn duplicate(name: &str) -> Complaint {
    Complaint { pointer: pointer_to("", name), code: "duplicate_argument", message: format!("`{name}` is given twice") }
}

fn members(text: &str, depth_max: usize) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Failure> {
    if depth(text) > depth_max {
        return Err(Failure::new(Code::BodyTooDeep, format!("the body nests deeper than {depth_max} levels")));
    }
    if !text.starts_with('{') {
        return Err(malformed("expected a JSON object of arguments, such as {\"limit\": 10}"));
    }
    match serde_json::from_str::<Members<'_>>(text) {
        Ok(Members(members)) => Ok(members),
        Err(error) => Err(malformed(format!("the body is not JSON: line {}, column {}", error.line(), error.column()))),
    }
}

/// How deep arrays and objects nest, in one pass that builds nothing.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0usize, 0usize, false, false);
    for byte in text.bytes() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(Code::BodyMalformed, detail)
}
