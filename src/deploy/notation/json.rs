//! The JSON notation: text to a document, with the place of every part of it.
//!
//! A scanner of our own, since none keeps places, finds duplicate members and is bounded in depth
//! and in values at once. Texts and numbers are handed to serde_json, which knows what they mean.
//! A file that is not JSON yields one complaint: after a syntax error nothing can be trusted.

#[cfg(test)]
mod tests;

use rowgate_schema_dsl::diagnostic::{Diagnostic, Place, SourceMap, pointer_to};
use serde_json::{Map, Value};

/// Bytes of one file.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;
/// Arrays and objects within each other: what a `json` literal may have, and the document around.
const DEPTH_MAX: usize = 80;
/// Values of one file, nested ones included.
const VALUES_MAX: usize = 100_000;
/// Bytes of one member's name.
const NAME_BYTES_MAX: usize = 1_024;
/// Parts with a longer pointer have no place of their own; their nearest ancestor's stands in.
const POINTER_BYTES_MAX: usize = 512;

/// What was read of one file.
#[derive(Debug, Clone, PartialEq)]
pub struct Json {
    /// `None` where the file is not JSON.
    pub document: Option<Value>,
    pub source_map: SourceMap,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads `text` as the part of the definition document at the pointer `at`; `file` is its name in
/// places. A member's place is that of its name. Of duplicate members the first counts.
pub fn read(file: &str, text: &str, at: &str) -> Json {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut scan = Scan {
        file,
        text,
        position: 0,
        line: 1,
        column: 1,
        values: 0,
        source_map: SourceMap::default(),
        diagnostics: Vec::new(),
    };
    let document = if text.len() > SOURCE_BYTES_MAX {
        Err(scan.refuse("file_too_large", format!("at most {SOURCE_BYTES_MAX} bytes are accepted"), None))
    } else {
        scan.document(at)
    };
    let document = document.map_err(|stopped| scan.diagnostics.push(*stopped)).ok();
    Json { document, source_map: scan.source_map, diagnostics: scan.diagnostics }
}

/// Why the scan ended early.
type Stopped = Box<Diagnostic>;

struct Scan<'a> {
    file: &'a str,
    text: &'a str,
    /// Bytes read; always at a character's boundary where `text` is cut.
    position: usize,
    line: u32,
    /// In characters, from 1.
    column: u32,
    values: usize,
    source_map: SourceMap,
    diagnostics: Vec<Diagnostic>,
}

impl Scan<'_> {
    fn document(&mut self, at: &str) -> Result<Value, Stopped> {
        self.space();
        self.mark(at);
        let value = self.value(at, 0)?;
        self.space();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.unexpected("the end of the file")),
        }
    }

    fn value(&mut self, at: &str, depth: usize) -> Result<Value, Stopped> {
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(self.refuse("too_many_values", format!("at most {VALUES_MAX} values are accepted"), None));
        }
        if depth > DEPTH_MAX {
            return Err(self.refuse("too_deep", format!("at most {DEPTH_MAX} levels are accepted"), None));
        }
        match self.peek() {
            Some(b'{') => self.object(at, depth),
            Some(b'[') => self.array(at, depth),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word(),
        }
    }

    fn object(&mut self, at: &str, depth: usize) -> Result<Value, Stopped> {
        let mut members = Map::new();
        self.step();
        self.space();
        if self.peek() == Some(b'}') {
            self.step();
            return Ok(Value::Object(members));
        }
        loop {
            let place = self.place();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a member's name in double quotes"));
            }
            let name = self.string()?;
            if name.len() > NAME_BYTES_MAX {
                let message = format!("at most {NAME_BYTES_MAX} bytes are accepted as a member's name");
                return Err(Box::new(Diagnostic::new("name_too_long", at, message).at(place)));
            }
            let at = pointer_to(at, &name);
            self.space();
            self.expect(b':', "`:` after the member's name")?;
            self.space();
            let duplicate = members.contains_key(&name);
            if duplicate {
                let first = self.source_map.locate(&at).map(|first| format!("the first is in line {}", first.line));
                let mut complaint = Diagnostic::new("duplicate_name", at.clone(), format!("`{name}` is given twice"));
                complaint.hint = first;
                self.diagnostics.push(complaint.at(place));
            } else if at.len() <= POINTER_BYTES_MAX {
                self.source_map.insert(at.clone(), place);
            }
            // The places within the first one stay as they are.
            let kept = duplicate.then(|| std::mem::take(&mut self.source_map));
            let value = self.value(&at, depth + 1)?;
            match kept {
                Some(kept) => self.source_map = kept,
                None => drop(members.insert(name, value)),
            }
            self.space();
            if self.ends(b'}', "`,` or `}` after the member")? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self, at: &str, depth: usize) -> Result<Value, Stopped> {
        let mut elements = Vec::new();
        self.step();
        self.space();
        if self.peek() == Some(b']') {
            self.step();
            return Ok(Value::Array(elements));
        }
        loop {
            let at = pointer_to(at, elements.len());
            self.mark(&at);
            elements.push(self.value(&at, depth + 1)?);
            self.space();
            if self.ends(b']', "`,` or `]` after the element")? {
                return Ok(Value::Array(elements));
            }
        }
    }

    /// Past a comma (false) or past the end of an array or object (true).
    fn ends(&mut self, end: u8, expected: &str) -> Result<bool, Stopped> {
        if self.peek() == Some(end) {
            self.step();
            return Ok(true);
        }
        let comma = self.place();
        self.expect(b',', expected)?;
        self.space();
        if self.peek() == Some(end) {
            let complaint = Diagnostic::new("malformed_json", "", "a `,` stands before the end");
            return Err(Box::new(complaint.with_hint("JSON has no trailing commas; take it out").at(comma)));
        }
        Ok(false)
    }

    fn string(&mut self) -> Result<String, Stopped> {
        let (start, place) = (self.position, self.place());
        self.step();
        loop {
            match self.peek() {
                None | Some(b'\n') => {
                    let complaint = Diagnostic::new("malformed_json", "", "the text is not ended by `\"`");
                    return Err(Box::new(complaint.with_hint("write a line break as `\\n`").at(place)));
                }
                Some(b'"') => break,
                Some(b'\\') => {
                    self.step();
                    // A line break is left for the next turn to find.
                    if self.peek().is_some_and(|byte| byte != b'\n') {
                        self.step();
                    }
                }
                Some(_) => self.step(),
            }
        }
        self.step();
        let raw = self.text.get(start..self.position).unwrap_or_default();
        serde_json::from_str::<String>(raw).map_err(|error| self.reason(&error, "the text cannot be read", place))
    }

    fn number(&mut self) -> Result<Value, Stopped> {
        let (start, place) = (self.position, self.place());
        while let Some(b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9') = self.peek() {
            self.step();
        }
        let raw = self.text.get(start..self.position).unwrap_or_default();
        let number = serde_json::from_str::<serde_json::Number>(raw);
        number.map(Value::Number).map_err(|error| self.reason(&error, "the number cannot be read", place))
    }

    fn word(&mut self) -> Result<Value, Stopped> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let value = match rest.get(..length).unwrap_or_default() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => return Err(self.unexpected("a value")),
        };
        (0..length).for_each(|_| self.step());
        Ok(value)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.step();
        }
    }

    fn expect(&mut self, byte: u8, expected: &str) -> Result<(), Stopped> {
        if self.peek() == Some(byte) {
            self.step();
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn step(&mut self) {
        match self.peek() {
            Some(b'\n') => {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            }
            // The bytes of a character after its first.
            Some(0x80..=0xBF) | None => {}
            Some(_) => self.column = self.column.saturating_add(1),
        }
        self.position += 1;
    }

    fn place(&self) -> Place {
        Place { file: self.file.to_owned(), line: self.line, column: Some(self.column) }
    }

    fn mark(&mut self, at: &str) {
        if at.len() <= POINTER_BYTES_MAX {
            self.source_map.insert(at, self.place());
        }
    }

    fn unexpected(&self, expected: &str) -> Stopped {
        let found = self.text.get(self.position..).unwrap_or_default().chars().next();
        let hint = match found {
            Some('/' | '#') => Some("JSON has no comments; take it out"),
            Some('\'') => Some("JSON writes texts in double quotes"),
            _ => None,
        };
        let got = match found {
            None => "the end of the file".to_owned(),
            Some(found) if found.is_control() => format!("`{}`", found.escape_default()),
            Some(found) => format!("`{found}`"),
        };
        self.refuse("malformed_json", format!("expected {expected}, got {got}"), hint)
    }

    fn refuse(&self, code: &'static str, message: String, hint: Option<&str>) -> Stopped {
        let mut diagnostic = Diagnostic::new(code, "", message).at(self.place());
        diagnostic.hint = hint.map(str::to_owned);
        Box::new(diagnostic)
    }

    /// serde_json's reason, without its own idea of the place.
    fn reason(&self, error: &serde_json::Error, what: &str, place: Place) -> Stopped {
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        Box::new(Diagnostic::new("malformed_json", "", format!("{what}: {reason}")).at(place))
    }
}
