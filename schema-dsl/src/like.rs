//! Patterns of `like` and `ilike`, and how a text becomes one that matches just that text.
//!
//! In a pattern `%` stands for any characters, `_` for one, and `\` takes its meaning from the
//! character that follows. Patterns are values like any other: they are bound, never pasted.

/// Characters of a pattern, and of a text looked for in another: Postgres compares them at every
/// place of the column's value.
pub const PATTERN_CHARACTERS_MAX: u32 = 256;

/// Where in a column's value a text is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Anchor {
    /// At its start.
    Start,
    Anywhere,
}

/// Whether Postgres takes `pattern`: it does not end in a `\` that nothing follows.
pub fn is_complete(pattern: &str) -> bool {
    pattern.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0
}

/// The pattern of the values that have `text` at `anchor`.
pub fn pattern(text: &str, anchor: Anchor) -> impl Iterator<Item = char> {
    let before = match anchor {
        Anchor::Start => None,
        Anchor::Anywhere => Some('%'),
    };
    let escaped = text.chars().flat_map(|c| matches!(c, '\\' | '%' | '_').then_some('\\').into_iter().chain([c]));
    before.into_iter().chain(escaped).chain(['%'])
}

#[cfg(test)]
mod tests {
    use super::{Anchor, is_complete, pattern};

    #[test]
    fn a_text_is_escaped() {
        let of = |text, anchor| pattern(text, anchor).collect::<String>();
        assert_eq!(of("", Anchor::Start), "%");
        assert_eq!(of("50%_a\\é", Anchor::Start), "50\\%\\_a\\\\é%");
        assert_eq!(of("\\", Anchor::Anywhere), "%\\\\%");
    }

    #[test]
    fn a_pattern_ends() {
        for (text, complete) in [("", true), ("a\\", false), ("a\\\\", true), ("\\\\\\", false), ("\\%", true)] {
            assert_eq!(is_complete(text), complete, "{text}");
        }
        assert!(
            ["\\", "a\\", "\\\\\\"].iter().all(|text| is_complete(&pattern(text, Anchor::Start).collect::<String>()))
        );
    }
}
