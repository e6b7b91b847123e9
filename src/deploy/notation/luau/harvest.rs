//! Reads the values of a machine into [`Written`], within bounds.
//!
//! The only place of this notation that looks into a Luau value. It runs no script: every access
//! is raw, so that no metatable of an author's has a say.

// `mlua::Value` is not ours, and grows with Luau.
#![allow(clippy::wildcard_enum_match_arm)]

use mlua::{Table, Value};
use rowgate_schema_dsl::diagnostic::Place;

use crate::deploy::notation::luau::evaluate::Equipment;
use crate::deploy::notation::luau::written::{Call, Method, Written, shortened};

/// Values one file may write; what stands in several places counts at each of them.
pub(super) const VALUES_MAX: usize = 100_000;
/// Bytes of text in them.
pub(super) const TEXT_BYTES_MAX: usize = 4 << 20;
/// How deep they may nest.
const DEPTH_MAX: usize = 64;
/// Names that nothing has, of which this many are told.
const UNKNOWN_NAMES_MAX: usize = 100;

pub(super) struct Harvest<'a> {
    equipment: &'a Equipment,
    values_left: usize,
    text_bytes_left: usize,
    too_large: bool,
}

impl<'a> Harvest<'a> {
    pub(super) fn new(equipment: &'a Equipment) -> Self {
        Harvest { equipment, values_left: VALUES_MAX, text_bytes_left: TEXT_BYTES_MAX, too_large: false }
    }

    /// Whether something was left out because there was too much.
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// `value` with all it holds.
    pub(super) fn gather(&mut self, value: &Value) -> Written {
        // A raw access fails only where the machine has no memory left for it.
        self.value(value, 0).unwrap_or_else(|_| self.exhausted())
    }

    /// The names that were used and that nothing has, with their places.
    pub(super) fn unknown_names(&mut self) -> Vec<(String, Place)> {
        let mut names = Vec::new();
        for index in 1..=UNKNOWN_NAMES_MAX {
            let Ok(Some(entry)) = self.equipment.unknown.raw_get::<Option<Table>>(index) else { break };
            let name = entry.raw_get("name").map(|name| self.gather(&name));
            if let (Ok(Written::Text(name)), Ok(place)) = (name, place(&entry)) {
                names.push((name, place));
            }
        }
        names
    }

    /// The last `defineSchema` that ran.
    pub(super) fn last_schema(&mut self) -> Option<Written> {
        let mut last: Option<(u32, Value)> = None;
        let searched = self.equipment.calls.for_each(|value: Value, call: Table| {
            let order: u32 = call.raw_get("order")?;
            let is_later = last.as_ref().is_none_or(|(before, _)| order > *before);
            if is_later && call.raw_get::<String>("name").is_ok_and(|name| name == "defineSchema") {
                last = Some((order, value));
            }
            Ok(())
        });
        searched.ok()?;
        last.map(|(_, value)| self.gather(&value)).filter(|_| !self.too_large)
    }

    fn exhausted(&mut self) -> Written {
        self.too_large = true;
        Written::Nil
    }

    fn value(&mut self, value: &Value, depth: usize) -> mlua::Result<Written> {
        if self.values_left == 0 {
            return Ok(self.exhausted());
        }
        self.values_left -= 1;
        if depth > DEPTH_MAX {
            return Ok(Written::Refused(format!("a value nested deeper than {DEPTH_MAX} levels")));
        }
        if *value == Value::NULL {
            return Ok(Written::Null);
        }
        Ok(match value {
            Value::Nil => Written::Nil,
            Value::Boolean(value) => Written::Boolean(*value),
            #[allow(clippy::cast_precision_loss)] // it was a double before mlua looked at it
            Value::Integer(value) => Written::Number(*value as f64),
            Value::Number(value) => Written::Number(*value),
            Value::String(text) => self.text(text),
            Value::Table(table) => self.table(table, depth)?,
            Value::Function(_) => Written::Function,
            other => Written::Refused(format!("a {}", other.type_name())),
        })
    }

    fn text(&mut self, text: &mlua::LuaString) -> Written {
        let bytes = text.as_bytes();
        let Some(left) = self.text_bytes_left.checked_sub(bytes.len()) else { return self.exhausted() };
        self.text_bytes_left = left;
        match std::str::from_utf8(&bytes) {
            Err(_) => Written::Refused("text that is not UTF-8".to_owned()),
            Ok(text) if text.contains('\0') => Written::Refused("text with a NUL character".to_owned()),
            Ok(text) => Written::Text(text.to_owned()),
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> mlua::Result<Written> {
        if let Some(name) = self.equipment.uncalled.raw_get::<Option<String>>(table)? {
            return Ok(Written::Uncalled { name });
        }
        if let Some(call) = self.equipment.calls.raw_get::<Option<Table>>(table)? {
            return self.call(call, depth);
        }
        let mut members: Vec<(Value, Value)> = Vec::new();
        let mut room = self.values_left;
        table.for_each(|key: Value, value: Value| {
            room = room.checked_sub(1).ok_or_else(|| mlua::Error::runtime("too large"))?;
            members.push((key, value));
            Ok(())
        })?;
        let is_index = |key: &Value| key.as_usize().is_some_and(|index| index >= 1 && index <= members.len());
        if !members.is_empty() && members.iter().all(|(key, _)| is_index(key)) {
            let items = (1..=members.len()).map(|index| self.value(&table.raw_get(index)?, depth + 1));
            return Ok(Written::List(items.collect::<mlua::Result<_>>()?));
        }
        let mut named = Vec::with_capacity(members.len());
        for (key, value) in members {
            let value = self.value(&value, depth + 1)?;
            match key {
                Value::String(key) => {
                    let key = self.text(&key);
                    let Written::Text(key) = key else { return Ok(key) };
                    named.push((key, value));
                }
                Value::Integer(index) => {
                    let why = "a value without a name in a table that has names, or a list with gaps";
                    named.push((index.to_string(), Written::Refused(why.to_owned())));
                }
                key => {
                    let why = format!("a key that is a {}; keys are names", key.type_name());
                    named.push((key.type_name().to_owned(), Written::Refused(why)));
                }
            }
        }
        named.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Written::Table(named))
    }

    /// A call and the methods called on it, which the prelude chains from the last to the first.
    fn call(&mut self, mut call: Table, depth: usize) -> mlua::Result<Written> {
        let mut methods = Vec::new();
        let mut dotted = None;
        loop {
            if self.too_large {
                return Ok(Written::Nil);
            }
            let Written::Text(name) = self.value(&call.raw_get("name")?, depth)? else { return Ok(self.exhausted()) };
            let place = place(&call)?;
            let arguments = self.arguments(&call, depth)?;
            let Some(on) = call.raw_get::<Option<Table>>("on")? else {
                if let Some(name) = dotted {
                    return Ok(Written::Refused(format!("`.{name}(…)` instead of `:{name}(…)`")));
                }
                methods.reverse();
                let order = call.raw_get("order")?;
                return Ok(Written::Call(Box::new(Call { name, place, order, arguments, methods })));
            };
            if call.raw_get("dotted")? {
                dotted.get_or_insert_with(|| shortened(&name));
            }
            methods.push(Method { name, place, arguments });
            if let Some(name) = self.equipment.uncalled.raw_get::<Option<String>>(&on)? {
                return Ok(Written::Uncalled { name });
            }
            let Some(before) = self.equipment.calls.raw_get::<Option<Table>>(on)? else {
                return Ok(self.exhausted());
            };
            call = before;
        }
    }

    fn arguments(&mut self, call: &Table, depth: usize) -> mlua::Result<Vec<Written>> {
        let count: usize = call.raw_get("count")?;
        let arguments: Table = call.raw_get("arguments")?;
        if count > self.values_left {
            self.too_large = true;
            return Ok(Vec::new());
        }
        (1..=count).map(|index| self.value(&arguments.raw_get(index)?, depth + 1)).collect()
    }
}

fn place(record: &Table) -> mlua::Result<Place> {
    let file: Option<String> = record.raw_get("file")?;
    let line: Option<u32> = record.raw_get("line")?;
    Ok(Place { file: file.unwrap_or_default(), line: line.unwrap_or(1), column: None })
}
