//! Values made of others: arrays, objects and `json`.

use std::borrow::Cow;

use indexmap::IndexMap;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::column_type::{ColumnType, Field};
use crate::diagnostic::{nearest, pointer_to};
use crate::value::{JSON_DEPTH_MAX, REFUSALS_MAX, Refusal, Typed, expected, length, parse_at, refusal};

/// Characters of an unknown field's name in its refusal.
const SHOWN_CHARACTERS_MAX: usize = 64;

/// The members of a JSON object in their order, duplicates kept, values unread.
pub struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(Key(name)) = map.next_key::<Key<'de>>()? {
                    members.push((name, map.next_value::<&'de RawValue>()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

pub(super) fn array(
    items: &ColumnType,
    min: Option<u32>,
    max: Option<u32>,
    raw: &str,
    pointer: &str,
    refusals: &mut Vec<Refusal>,
) -> Option<Typed> {
    let refuse = |mut refusal: Refusal, refusals: &mut Vec<Refusal>| {
        refusal.pointer = pointer.to_owned();
        refusals.push(refusal);
    };
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(raw) else {
        refuse(expected("an array", raw), refusals);
        return None;
    };
    if let Err(refusal) = length("element", elements.len(), min, max) {
        refuse(refusal, refusals);
        return None;
    }
    let mut parsed = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        if refusals.len() >= REFUSALS_MAX {
            return None;
        }
        let element = element.get();
        if element == "null" {
            refusals.push(Refusal {
                pointer: format!("{pointer}/{index}"),
                code: "null",
                message: "expected a value; arrays hold no null".to_owned(),
            });
        } else if let Some(typed) = parse_at(items, element, &format!("{pointer}/{index}"), refusals) {
            parsed.push(typed);
        }
    }
    Some(Typed::Array(items.storage().element, parsed))
}

pub(super) fn object(
    fields: &IndexMap<String, Field>,
    raw: &str,
    pointer: &str,
    refusals: &mut Vec<Refusal>,
) -> Option<Typed> {
    let before = refusals.len();
    let Ok(Members(members)) = serde_json::from_str::<Members<'_>>(raw) else {
        let mut refusal = expected("an object", raw);
        refusal.pointer = pointer.to_owned();
        refusals.push(refusal);
        return None;
    };
    let mut seen = vec![false; fields.len()];
    for (name, value) in &members {
        if refusals.len() >= REFUSALS_MAX {
            return None;
        }
        let Some((place, _, field)) = fields.get_full(name.as_ref()) else {
            refusals.push(unknown_field(fields, name, pointer));
            continue;
        };
        let pointer = pointer_to(pointer, name);
        if let Some(seen) = seen.get_mut(place)
            && std::mem::replace(seen, true)
        {
            refusals.push(Refusal { pointer, code: "duplicate_field", message: format!("`{name}` is given twice") });
            continue;
        }
        if value.get() == "null" {
            if !field.optional {
                refusals.push(Refusal { pointer, code: "null", message: format!("`{name}` cannot be null") });
            }
            continue;
        }
        parse_at(&field.column_type, value.get(), &pointer, refusals);
    }
    for ((name, field), seen) in fields.iter().zip(seen) {
        if !field.optional && !seen {
            refusals.push(Refusal {
                pointer: pointer_to(pointer, name),
                code: "missing_field",
                message: format!("`{name}` is missing; expected {}", field.column_type.phrase()),
            });
        }
    }
    (refusals.len() == before).then(|| Typed::Jsonb(raw.to_owned()))
}

fn unknown_field(fields: &IndexMap<String, Field>, name: &str, pointer: &str) -> Refusal {
    // A hostile name may be as long as the body; what is echoed is bounded.
    let shown: String = name.chars().take(SHOWN_CHARACTERS_MAX).collect();
    let mut message = format!("`{shown}` is not a field");
    if let Some(nearest) = nearest(&shown, fields.keys().map(String::as_str)) {
        message.push_str(&format!("; did you mean `{nearest}`?"));
    }
    Refusal { pointer: pointer_to(pointer, &shown), code: "unknown_field", message }
}

pub(super) fn json(raw: &str) -> Result<(), Refusal> {
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    AnyJson { depth: JSON_DEPTH_MAX }.deserialize(&mut deserializer).map_err(|error| {
        let message = error.to_string();
        match message.split(" at line ").next() {
            Some(TOO_DEEP) => refusal("too_deep", format!("expected at most {JSON_DEPTH_MAX} levels")),
            Some(NUL) => refusal("nul_character", NUL),
            Some("number out of range") => refusal("out_of_range", "expected numbers that fit double precision"),
            _ => refusal("invalid_text", "expected text without lone surrogates"),
        }
    })
}

const TOO_DEEP: &str = "nested too deep";
const NUL: &str = "text cannot hold the character U+0000";

/// Walks a JSON value and keeps nothing: refuses what `jsonb` would.
struct AnyJson {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for AnyJson {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for AnyJson {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom(NUL)) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(de::Error::custom(TOO_DEEP)) };
        while sequence.next_element_seed(AnyJson { depth })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(de::Error::custom(TOO_DEEP)) };
        while map.next_key_seed(AnyJson { depth: 1 })?.is_some() {
            map.next_value_seed(AnyJson { depth })?;
        }
        Ok(())
    }
}

/// A member's name, borrowed where it holds no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}
