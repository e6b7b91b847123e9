//! Lines for people and programs: standard output for results, standard error for the rest.
//!
//! A reader that went away is no reason to end: a gateway serves on with its terminal closed.
//! Colour only where a terminal shows it and `NO_COLOR` is not set.

use std::io::{self, IsTerminal, Write};

use rowgate_schema_dsl::diagnostic::Diagnostic;

use crate::cli::Failed;

/// Whether words are coloured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    coloured: bool,
}

impl Style {
    pub(super) fn of_stdout() -> Style {
        Style { coloured: io::stdout().is_terminal() && wanted() }
    }

    pub(super) fn of_stderr() -> Style {
        Style { coloured: io::stderr().is_terminal() && wanted() }
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// Writes a command's result, with a line's end where it lacks one. A closed pipe is fine.
pub(super) fn result(text: &str) -> Result<(), Failed> {
    let mut stdout = io::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(end.as_bytes()));
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::Because(format!("cannot write to standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something on standard error, one line or more.
pub(super) fn note(text: &str) {
    // In one piece, between the log's lines. Where standard error is closed nobody is left to be told.
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Every complaint, then how many they are.
pub(super) fn complaints(diagnostics: &[Diagnostic], style: Style) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let plain = diagnostic.to_string();
        let label = format!("error[{}]", diagnostic.code);
        text.push_str(&plain.replacen(&label, &style.bad(&label), 1));
        text.push('\n');
    }
    text.push_str(&counted(diagnostics.len(), "complaint"));
    text
}

/// `1 table`, `2 tables`.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `text` as one word of a POSIX shell.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
