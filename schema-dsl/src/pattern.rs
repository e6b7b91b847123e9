//! An author's `pattern`, in the one meaning that the gateway, Postgres and a JSON Schema share.
//!
//! The pattern is parsed by the Rust regex grammar with ASCII classes and printed anew, from its
//! parsed form, for Postgres: every class spelled out, nothing left to either dialect's reading.
//! Both sides search (a match anywhere suffices; `^` and `$` anchor to the whole text).

use std::fmt::Write;

use regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use serde::{Serialize, Serializer};

/// Postgres refuses a repetition above this.
const REPETITION_MAX: u32 = 255;
/// A pattern longer than this is refused.
pub const PATTERN_BYTES_MAX: usize = 512;
/// Memory the compiled pattern may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// A compiled pattern; equal when its source text is.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    postgres: String,
    regex: regex::Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl schemars::JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "regex", "maxLength": PATTERN_BYTES_MAX })
    }
}

impl Pattern {
    /// Compiles `source`; the error says what is wrong, for the author to read.
    pub fn new(source: &str) -> Result<Pattern, String> {
        if source.len() > PATTERN_BYTES_MAX {
            return Err(format!("pattern is {} bytes long, at most {PATTERN_BYTES_MAX} are accepted", source.len()));
        }
        let mut parser = regex_syntax::ParserBuilder::new().unicode(true).utf8(true).nest_limit(32).build();
        let hir = parser.parse(&ascii_classes(source)).map_err(|error| one_line(&error.to_string()))?;
        let mut postgres = String::new();
        print(&hir, &mut postgres)?;
        let regex = regex::RegexBuilder::new(&ascii_classes(source))
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .build()
            .map_err(|error| one_line(&error.to_string()))?;
        Ok(Pattern { source: source.to_owned(), postgres, regex })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The same pattern as a Postgres advanced regular expression.
    pub fn postgres(&self) -> &str {
        &self.postgres
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// `\d`, `\w` and `\s` mean ASCII here, as they do in a browser; `\D`, `\W` and `\S` are their
/// complements. Inside a class they become nested classes.
fn ascii_classes(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut characters = source.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => {
                let Some(escaped) = characters.next() else {
                    out.push('\\');
                    break;
                };
                match escaped {
                    'd' => out.push_str("[0-9]"),
                    'w' => out.push_str("[0-9A-Za-z_]"),
                    's' => out.push_str("[\\t\\n\\x0B\\x0C\\r\\x20]"),
                    'D' => out.push_str("[^0-9]"),
                    'W' => out.push_str("[^0-9A-Za-z_]"),
                    'S' => out.push_str("[^\\t\\n\\x0B\\x0C\\r\\x20]"),
                    other => {
                        out.push('\\');
                        out.push(other);
                    }
                }
            }
            other => out.push(other),
        }
    }
    out
}

fn print(hir: &Hir, out: &mut String) -> Result<(), String> {
    match hir.kind() {
        HirKind::Empty => out.push_str("(?:)"),
        HirKind::Literal(literal) => {
            let text =
                std::str::from_utf8(&literal.0).map_err(|_| "pattern matches bytes that are not text".to_owned())?;
            for c in text.chars() {
                character(c, out)?;
            }
        }
        // The parser makes one of bytes of what nothing matches.
        HirKind::Class(class) if class.is_empty() => {
            return Err("pattern has a class that nothing matches".to_owned());
        }
        HirKind::Class(Class::Unicode(class)) => {
            out.push('[');
            for range in class.iter() {
                // Postgres text never holds U+0000, and its classes cannot name it.
                let start = if range.start() == '\0' { '\u{1}' } else { range.start() };
                if start > range.end() {
                    continue;
                }
                character(start, out)?;
                if start != range.end() {
                    out.push('-');
                    character(range.end(), out)?;
                }
            }
            out.push(']');
        }
        HirKind::Class(Class::Bytes(_)) => return Err("pattern matches bytes that are not text".to_owned()),
        HirKind::Look(look) => match look {
            Look::Start => out.push_str("\\A"),
            Look::End => out.push_str("\\Z"),
            _ => return Err("only `^` and `$` are accepted as assertions".to_owned()),
        },
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            if *min > REPETITION_MAX || max.is_some_and(|max| max > REPETITION_MAX) {
                return Err(format!("a repetition may count to {REPETITION_MAX} at most"));
            }
            out.push_str("(?:");
            print(sub, out)?;
            out.push(')');
            match (min, max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, None) => write!(out, "{{{min},}}").map_err(|error| error.to_string())?,
                (min, Some(max)) => write!(out, "{{{min},{max}}}").map_err(|error| error.to_string())?,
            }
        }
        HirKind::Capture(capture) => {
            out.push_str("(?:");
            print(&capture.sub, out)?;
            out.push(')');
        }
        HirKind::Concat(parts) => {
            for part in parts {
                print(part, out)?;
            }
        }
        HirKind::Alternation(parts) => {
            out.push_str("(?:");
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    out.push('|');
                }
                print(part, out)?;
            }
            out.push(')');
        }
    }
    Ok(())
}

/// A character in a form that means itself both inside and outside a bracket expression.
fn character(c: char, out: &mut String) -> Result<(), String> {
    if c.is_ascii_alphanumeric() || c == ' ' || c == '_' {
        out.push(c);
        Ok(())
    } else {
        write!(out, "\\U{:08x}", c as u32).map_err(|error| error.to_string())
    }
}

fn one_line(message: &str) -> String {
    message.lines().last().unwrap_or(message).trim().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn postgres(source: &str) -> String {
        Pattern::new(source).unwrap().postgres().to_owned()
    }

    #[test]
    fn every_class_is_spelled_out_for_postgres() {
        assert_eq!(postgres("^[a-z_]+$"), "\\A(?:[_a-z])+\\Z");
        assert_eq!(postgres("\\d{2,}?"), "(?:[0-9]){2,}");
        assert_eq!(postgres("a.c"), "a[\\U00000001-\\U00000009\\U0000000b-\\U0010ffff]c");
        assert_eq!(postgres("(a|bc)?"), "(?:(?:(?:a|bc)))?");
        assert_eq!(postgres("[\\]^-]"), "[\\U0000002d\\U0000005d-\\U0000005e]");
        assert_eq!(postgres("x*'\\\\"), "(?:x)*\\U00000027\\U0000005c");
    }

    #[test]
    fn what_the_two_do_not_share_is_refused() {
        for source in [
            "(",
            "a{256}",
            "\\bword",
            "(?m)^a",
            "(?=a)",
            "(a)\\1",
            "[^\\s\\S]",
            "(?-u:\\xff)",
            "((((a{200}){200}){200}){200})",
        ] {
            let reason = Pattern::new(source).unwrap_err();
            assert!(!reason.is_empty() && !reason.contains('\n'), "{source}: {reason}");
        }
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
        assert!(Pattern::new(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn escapes_mean_ascii() {
        let matches = |source: &str, text: &str| Pattern::new(source).unwrap().is_match(text);
        assert!(!matches("\\d", "\u{661}") && matches("\\D", "\u{661}"));
        assert!(!matches("\\w", "é") && matches("[^\\w]", "é") && matches("[\\W]", "é"));
        assert!(!matches("\\s", "\u{a0}") && matches("^\\s$", "\u{b}"));
        // The end is the end of the text, not of a line.
        assert!(!matches("^a$", "a\n") && matches("b", "abc"));
    }
}
