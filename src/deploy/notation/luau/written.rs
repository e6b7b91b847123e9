//! What an author's files say, as plain values: the result of running them, without a machine.
//!
//! `evaluate` makes these; `tables` and `functions` judge them. A value that no definition can
//! hold stays as [`Written::Refused`] so that the complaint can name the place it stands in.

use rowgate_schema_dsl::diagnostic::Place;

/// A value as an author wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    Nil,
    Null,
    Boolean(bool),
    Number(f64),
    Text(String),
    /// A table with the keys 1 to n, n at least 1.
    List(Vec<Written>),
    /// Any other table, by name; the order says nothing. The empty table is one of these.
    Table(Vec<(String, Written)>),
    Call(Box<Call>),
    /// A builder's name without a call, such as `v.string`.
    Uncalled {
        name: String,
    },
    Function,
    /// What cannot be part of a definition; the text says why.
    Refused(String),
}

/// A builder's call, with the methods called on its result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) place: Place,
    /// Grows with each call.
    pub(super) order: u32,
    pub(super) arguments: Vec<Written>,
    pub(super) methods: Vec<Method>,
}

/// A method's call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Method {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) arguments: Vec<Written>,
}

impl Written {
    pub(super) fn as_text(&self) -> Option<&str> {
        if let Written::Text(text) = self { Some(text) } else { None }
    }

    /// The call, where it is one of this builder.
    pub(super) fn call_of(&self, builder: &str) -> Option<&Call> {
        if let Written::Call(call) = self {
            Some(call).filter(|call| call.name == builder).map(AsRef::as_ref)
        } else {
            None
        }
    }

    pub(super) fn place(&self) -> Option<&Place> {
        if let Written::Call(call) = self { Some(&call.place) } else { None }
    }

    /// The value as a complaint names it.
    pub(super) fn described(&self) -> String {
        match self {
            Written::Nil => "nothing".to_owned(),
            Written::Null => "`null`".to_owned(),
            Written::Boolean(value) => format!("`{value}`"),
            Written::Number(value) => format!("`{value}`"),
            Written::Text(text) => format!("the text `{}`", shortened(text)),
            Written::List(_) => "a list".to_owned(),
            Written::Table(_) => "a table".to_owned(),
            Written::Call(call) => format!("`{}(…)`", shortened(&call.name)),
            Written::Uncalled { name } => format!("`{}` without a call", shortened(name)),
            Written::Function => "a Lua function".to_owned(),
            Written::Refused(why) => why.clone(),
        }
    }
}

/// Names and texts of authors are shown in full only while a person would read them.
pub(super) fn shortened(text: &str) -> String {
    cut(text, 64)
}

/// As much of `text` as `characters_max`, on one line.
pub(super) fn cut(text: &str, characters_max: usize) -> String {
    let shown: String = text.chars().take(characters_max).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let is_whole = text.chars().nth(characters_max).is_none();
    if is_whole { shown } else { shown + "…" }
}
