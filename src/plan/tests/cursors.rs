//! Cursors: what is read is what was written, and nothing that was altered is read at all.

use proptest::prelude::*;
use uuid::Uuid;

use crate::plan::cursor::{CursorKey, Origin, push_value};

const SHAPE: [u8; 32] = [7; 32];

fn cursor(key: &CursorKey, origin: Origin<'_>, backward: bool, values: &[Option<Vec<u8>>]) -> String {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    values.iter().for_each(|value| push_value(&mut bytes, value.as_deref()));
    key.write(&mut out, origin, backward, &bytes);
    serde_json::from_slice(&out).unwrap()
}

fn any_values() -> impl Strategy<Value = Vec<Option<Vec<u8>>>> {
    prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), 1..5)
}

proptest! {
    #[test]
    fn what_was_written_is_read(values in any_values(), backward: bool, install: u128) {
        let (key, origin) = (CursorKey::new(&[1; 32]), Origin { shape: &SHAPE, install: Uuid::from_u128(install) });
        let place = key.read(&cursor(&key, origin, backward, &values), origin).unwrap();
        prop_assert_eq!(place.backward, backward);
        prop_assert_eq!(place.values().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>(), values);
    }

    #[test]
    fn what_is_another_is_not_read(values in any_values(), place: usize, by in 1u8..64, cut in 1usize..99) {
        let (key, install) = (CursorKey::new(&[1; 32]), Uuid::from_u128(5));
        let origin = Origin { shape: &SHAPE, install };
        let text = cursor(&key, origin, false, &values);
        prop_assert_eq!(key.read(&text, Origin { shape: &[8; 32], install }), None);
        prop_assert_eq!(key.read(&text, Origin { shape: &SHAPE, install: Uuid::from_u128(6) }), None);
        prop_assert_eq!(CursorKey::new(&[2; 32]).read(&text, origin), None);
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut altered = text.clone().into_bytes();
        let place = place % altered.len();
        let digit = alphabet.iter().position(|digit| *digit == altered[place]).unwrap();
        altered[place] = alphabet[(digit + usize::from(by)) % 64];
        prop_assert_eq!(key.read(std::str::from_utf8(&altered).unwrap(), origin), None);
        let cut = text.len().saturating_sub(cut);
        prop_assert_eq!(key.read(&text[..cut], origin), None);
        let longer = [&text, "AAAA"].concat();
        prop_assert_eq!(key.read(&longer, origin), None);
    }

    #[test]
    fn what_is_none_is_not_read(text in ".{0,80}") {
        prop_assert_eq!(CursorKey::new(&[1; 32]).read(&text, Origin { shape: &SHAPE, install: Uuid::nil() }), None);
    }
}
