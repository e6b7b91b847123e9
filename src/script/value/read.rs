//! JSON text to Luau values.

use std::fmt;

use mlua::{Lua, LuaSerdeExt, Table, Value};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::script::value::{DEPTH_MAX, INTEGER_MAX, NODES_MAX};

/// Makes the value that `json` says. An empty array is marked as one.
///
/// Fails where the text is no JSON, is too deep or too large, or the machine has no memory left.
pub fn read(lua: &Lua, json: &[u8]) -> mlua::Result<Value> {
    let mut reader = Reader { lua, arrays: lua.array_metatable(), nodes_left: NODES_MAX, failed: None };
    let mut source = serde_json::Deserializer::from_slice(json);
    let seed = Node { reader: &mut reader, depth: 0 };
    let value = seed.deserialize(&mut source).and_then(|value| source.end().map(|()| value));
    // Luau's own error is kept aside: through serde only its text would come.
    value.map_err(|error| reader.failed.take().unwrap_or_else(|| mlua::Error::runtime(error)))
}

struct Reader<'a> {
    lua: &'a Lua,
    arrays: Table,
    nodes_left: usize,
    failed: Option<mlua::Error>,
}

impl Reader<'_> {
    fn done<T, E: serde::de::Error>(&mut self, result: mlua::Result<T>) -> Result<T, E> {
        result.map_err(|error| {
            self.failed = Some(error);
            E::custom("the value could not be made")
        })
    }
}

struct Node<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.reader.nodes_left.checked_sub(1) {
            Some(left) => self.reader.nodes_left = left,
            None => return Err(D::Error::custom(format!("more than {NODES_MAX} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() <= INTEGER_MAX {
            // Exact, since it has no more than 53 bits.
            return Ok(Value::Number(value as f64));
        }
        self.visit_str(itoa::Buffer::new().format(value))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value <= INTEGER_MAX {
            return Ok(Value::Number(value as f64));
        }
        self.visit_str(itoa::Buffer::new().format(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        let made = self.reader.lua.create_string(text);
        self.reader.done(made).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        let made = self.reader.lua.create_table();
        let table = self.reader.done(made)?;
        let mut count = 0;
        while let Some(member) = members.next_element_seed(Node { reader: &mut *self.reader, depth })? {
            count += 1;
            let set = table.raw_set(count, member);
            self.reader.done(set)?;
        }
        if count == 0 {
            let marked = table.set_metatable(Some(self.reader.arrays.clone()));
            self.reader.done(marked)?;
        }
        Ok(Value::Table(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = deeper(self.depth)?;
        let made = self.reader.lua.create_table();
        let table = self.reader.done(made)?;
        while let Some(name) = members.next_key::<std::borrow::Cow<'de, str>>()? {
            let member = members.next_value_seed(Node { reader: &mut *self.reader, depth })?;
            let set = table.raw_set(&*name, member);
            self.reader.done(set)?;
        }
        Ok(Value::Table(table))
    }
}

fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth >= DEPTH_MAX { Err(E::custom(format!("deeper than {DEPTH_MAX} levels"))) } else { Ok(depth + 1) }
}
