//! Luau values to JSON text, with raw access only: no code of a script runs here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mlua::{LuaSerdeExt, Table, Value};

use crate::script::value::{DEPTH_MAX, INTEGER_MAX, LARGER, NODES_MAX, Unwritable};

/// Appends `value` as JSON to `out`, which holds `bytes_max` at most afterwards.
pub fn write(lua: &mlua::Lua, value: &Value, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Unwritable> {
    let mut writer = Writer { out, bytes_max, nodes_left: NODES_MAX, path: Vec::new(), arrays: lua.array_metatable() };
    writer.value(value).map_err(|message| Unwritable { pointer: writer.pointer(), message })
}

/// Appends what `table.pack` made of a call's arguments as a JSON array; nil is null.
pub fn write_arguments(lua: &mlua::Lua, packed: &Table, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), Unwritable> {
    let mut writer = Writer { out, bytes_max, nodes_left: NODES_MAX, path: Vec::new(), arrays: lua.array_metatable() };
    let count: usize = packed.raw_get("n").unwrap_or(0);
    writer.arguments(packed, count).map_err(|message| Unwritable { pointer: writer.pointer(), message })
}

/// A step from a value to a part of it.
enum Step {
    Member(mlua::LuaString),
    Element(usize),
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    bytes_max: usize,
    nodes_left: usize,
    /// Where the writer is; it stays there when it fails.
    path: Vec<Step>,
    arrays: Table,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Result<(), String> {
        self.nodes_left = self.nodes_left.checked_sub(1).ok_or_else(|| format!("more than {NODES_MAX} values"))?;
        match value {
            Value::Nil => self.push(b"null"),
            light if *light == Value::NULL => self.push(b"null"),
            Value::Boolean(true) => self.push(b"true"),
            Value::Boolean(false) => self.push(b"false"),
            Value::Integer(number) if number.unsigned_abs() <= INTEGER_MAX => {
                self.push(itoa::Buffer::new().format(*number).as_bytes())
            }
            Value::Integer(_) => Err(inexact()),
            Value::Number(number) => self.number(*number),
            Value::String(text) => self.text(text),
            Value::Buffer(buffer) => {
                let room = self.room()?;
                if buffer.len() / 3 * 4 > room {
                    return Err(self.too_large());
                }
                let text = STANDARD.encode(buffer.to_vec());
                self.push(b"\"")?;
                self.push(text.as_bytes())?;
                self.push(b"\"")
            }
            Value::Table(table) => self.table(table),
            Value::LightUserData(_)
            | Value::Vector(_)
            | Value::Function(_)
            | Value::Thread(_)
            | Value::UserData(_)
            | Value::Error(_)
            | Value::Other(_) => Err(format!("expected a JSON value, found a {}", value.type_name())),
        }
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    fn number(&mut self, number: f64) -> Result<(), String> {
        if !number.is_finite() {
            return Err(format!(
                "expected a finite number, found {}",
                if number.is_nan() { "NaN" } else { "infinity" }
            ));
        }
        if number.abs() > INTEGER_MAX as f64 {
            return Err(inexact());
        }
        // Without ".0", and without the sign of a negative zero.
        if number.fract() == 0.0 {
            return self.push(itoa::Buffer::new().format(number as i64).as_bytes());
        }
        self.push(ryu::Buffer::new().format_finite(number).as_bytes())
    }

    fn text(&mut self, text: &mlua::LuaString) -> Result<(), String> {
        let bytes = text.as_bytes();
        if bytes.len() > self.room()? {
            return Err(self.too_large());
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| format!("expected UTF-8 text, found another byte at {}", error.valid_up_to()))?;
        serde_json::to_writer(&mut *self.out, text).map_err(|error| error.to_string())?;
        self.room().map(drop)
    }

    fn table(&mut self, table: &Table) -> Result<(), String> {
        if self.path.len() >= DEPTH_MAX {
            return Err(format!("deeper than {DEPTH_MAX} levels; does it hold itself?"));
        }
        let length = table.raw_len();
        if length == 0 {
            let marked = table.metatable().is_some_and(|metatable| metatable == self.arrays);
            if marked && table.is_empty() {
                return self.push(b"[]");
            }
            return self.object(table);
        }
        let count = count_members(table, length)?;
        if count != length {
            return Err(format!(
                "expected an array without gaps or an object, found a table with {length} elements and {} more keys",
                count.saturating_sub(length)
            ));
        }
        self.push(b"[")?;
        for place in 1..=length {
            if place > 1 {
                self.push(b",")?;
            }
            let element = table.raw_get::<Value>(place).map_err(|_| "the table cannot be read".to_owned())?;
            if element.is_nil() {
                return Err(format!("expected an array without gaps, found none at place {place}"));
            }
            self.path.push(Step::Element(place - 1));
            self.value(&element)?;
            self.path.pop();
        }
        self.push(b"]")
    }

    fn arguments(&mut self, packed: &Table, count: usize) -> Result<(), String> {
        self.push(b"[")?;
        for place in 1..=count {
            if place > 1 {
                self.push(b",")?;
            }
            let argument = packed.raw_get::<Value>(place).map_err(|_| "the arguments cannot be read".to_owned())?;
            self.path.push(Step::Element(place - 1));
            self.value(&argument)?;
            self.path.pop();
        }
        self.push(b"]")
    }

    fn object(&mut self, table: &Table) -> Result<(), String> {
        self.push(b"{")?;
        let mut is_first = true;
        let mut failed = None;
        let walked = table.for_each(|name: Value, member: Value| {
            let result = match name {
                Value::String(name) => self.member(&name, &member, is_first),
                other => Err(format!("expected keys to be text, found a {}", other.type_name())),
            };
            is_first = false;
            result.map_err(|message| {
                failed = Some(message);
                mlua::Error::runtime("stop")
            })
        });
        match (failed, walked) {
            (Some(message), _) => Err(message),
            (None, Err(_)) => Err("the table cannot be read".to_owned()),
            (None, Ok(())) => self.push(b"}"),
        }
    }

    fn member(&mut self, name: &mlua::LuaString, member: &Value, is_first: bool) -> Result<(), String> {
        if !is_first {
            self.push(b",")?;
        }
        self.path.push(Step::Member(name.clone()));
        self.text(name)?;
        self.push(b":")?;
        self.value(member)?;
        self.path.pop();
        Ok(())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.out.extend_from_slice(bytes);
        self.room().map(drop)
    }

    fn room(&self) -> Result<usize, String> {
        self.bytes_max.checked_sub(self.out.len()).ok_or_else(|| self.too_large())
    }

    fn too_large(&self) -> String {
        format!("{LARGER} {} bytes as JSON", self.bytes_max)
    }

    fn pointer(&self) -> String {
        const STEP_CHARACTERS_MAX: usize = 64;
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Element(place) => pointer.push_str(itoa::Buffer::new().format(*place)),
                Step::Member(name) => {
                    let name = name.to_string_lossy();
                    let name: String = name.chars().take(STEP_CHARACTERS_MAX).collect();
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                }
            }
        }
        pointer
    }
}

fn inexact() -> String {
    "expected a number within 2^53, up to which integers are exact; write a larger one as text".to_owned()
}

/// How many keys a table with elements has; it looks no further than one beyond them.
fn count_members(table: &Table, length: usize) -> Result<usize, String> {
    let mut count = 0_usize;
    let walked = table.for_each(|_: Value, _: Value| {
        count += 1;
        if count > length { Err(mlua::Error::runtime("more keys than elements")) } else { Ok(()) }
    });
    match walked {
        Err(_) if count <= length => Err("the table cannot be read".to_owned()),
        Ok(()) | Err(_) => Ok(count),
    }
}
