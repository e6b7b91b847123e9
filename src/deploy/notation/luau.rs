//! The Luau notation: `server/schema.luau` and `server/functions.luau` to the definition document.
//!
//! Each file is compiled, laid out (`layout`: what its text alone tells), evaluated once in a
//! machine of its own (`evaluate`, `harvest`), and what it wrote is turned into the document
//! (`tables`, `functions`, `values`). Options pass through unjudged, in the place they belong: the
//! stages after this one say what is wrong with them, in every notation alike.

mod aggregate;
mod builders;
mod context;
mod draft;
mod evaluate;
mod functions;
mod harvest;
mod layout;
mod tables;
#[cfg(test)]
mod tests;
mod values;
mod when;
mod written;

use rowgate_schema_dsl::diagnostic::{Diagnostic, SourceMap};
use serde_json::{Map, Value};

use crate::deploy::notation::luau::draft::{Draft, Spot};
use crate::deploy::notation::luau::evaluate::{at_line, in_house_style, last_line};
use crate::deploy::notation::luau::layout::{Layout, OPERATORS_MAX};
use crate::deploy::notation::luau::written::{Written, shortened};
use crate::script::sandbox::{self, Budget, SandboxError};

/// Bytes of one source file: code without a loop or a call cannot be stopped, so it must be short.
pub const SOURCE_BYTES_MAX: usize = 128 << 10;
/// Files beside the two that a bundle may have.
pub const MODULES_MAX: usize = 64;

/// What evaluating one file may take; an honest one takes a few milliseconds and one MiB.
const BUDGET: Budget = Budget { cpu_ms_max: 1_000, memory_bytes_max: 32 << 20 };

/// Compiler, parser and machine all recurse as deep as a source nests; Luau refuses what nests
/// deeper than a thousand levels, and the parser needs most for each.
const STACK_BYTES: usize = 64 << 20;

/// An author's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Relative to the bundle, such as `server/schema.luau`.
    pub name: String,
    pub text: String,
}

/// The Luau files of a bundle.
#[derive(Debug, Clone, Default)]
pub struct LuauFiles {
    pub schema: Option<Source>,
    pub functions: Option<Source>,
    /// The other `server/*.luau`, which these two may require by `require("./name")`.
    pub modules: Vec<Source>,
}

/// What was read: parts of the definition document, without what the diagnostics complain about.
#[derive(Debug, Clone, PartialEq)]
pub struct Notation {
    /// The document's `tables`, an object.
    pub tables: Value,
    /// The document's `functions`, an object.
    pub functions: Value,
    /// The document's `handlers` and `sources`, objects; empty where there are no handlers.
    pub handlers: Value,
    pub sources: Value,
    pub source_map: SourceMap,
    /// Sorted by place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Evaluates a bundle's Luau files, each within a second of processor time and a bounded memory.
/// Blocks its thread meanwhile.
pub fn read(files: &LuauFiles) -> Notation {
    read_within(files, BUDGET)
}

fn read_within(files: &LuauFiles, budget: Budget) -> Notation {
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("luau-notation".to_owned()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || read_here(files, budget)).map_err(|error| error.to_string())?;
        thread.join().map_err(|_| "evaluating the Luau files failed".to_owned())
    });
    read.unwrap_or_else(|reason| Notation {
        tables: Value::Object(Map::new()),
        functions: Value::Object(Map::new()),
        handlers: Value::Object(Map::new()),
        sources: Value::Object(Map::new()),
        source_map: SourceMap::default(),
        diagnostics: vec![Diagnostic::new("sandbox_unavailable", "", reason)],
    })
}

fn read_here(files: &LuauFiles, budget: Budget) -> Notation {
    let mut draft = Draft::default();
    if files.modules.len() > MODULES_MAX {
        let message = format!("the bundle has {} modules, at most {MODULES_MAX} are read", files.modules.len());
        draft.push(Diagnostic::new("too_many_modules", "", message).with_hint("merge some of them"));
    }
    let modules = files.modules.iter().take(MODULES_MAX).filter(|module| admit(&mut draft, module, ""));
    let modules: Vec<Source> = modules.cloned().collect();
    let mut tables = Map::new();
    let mut read = functions::Returned::default();
    if let Some(file) = &files.schema {
        draft.source_map.insert("/tables", at_line(&file.name, 1));
        if let Some(returned) = evaluated(&mut draft, file, &modules, budget, "/tables", "return defineSchema({ … })")
        {
            tables = tables::tables(&mut draft, &returned, &Spot::new("/tables", last_line(file)));
        }
    }
    if let Some(file) = &files.functions {
        draft.source_map.insert("/functions", at_line(&file.name, 1));
        if let Some(returned) = evaluated(&mut draft, file, &modules, budget, "/functions", "return functions") {
            let end = Spot::new("/functions", last_line(file));
            read = functions::functions(&mut draft, &returned, &end, &tables);
        }
    }
    let mut sources = Map::new();
    if !read.handlers.is_empty() {
        for source in files.functions.iter().chain(&modules) {
            let name = evaluate::module_name(&source.name).to_owned();
            draft.source_map.insert(format!("/sources/{name}"), at_line(&source.name, 1));
            sources.insert(name, Value::String(source.text.clone()));
        }
    }
    let (source_map, diagnostics) = draft.finish();
    let functions::Returned { functions, handlers } = read;
    let [tables, functions, handlers, sources] = [tables, functions, handlers, sources].map(Value::Object);
    Notation { tables, functions, handlers, sources, source_map, diagnostics }
}

/// What `file` returned, where that is something; complaints go to the draft.
fn evaluated(
    draft: &mut Draft,
    file: &Source,
    modules: &[Source],
    budget: Budget,
    pointer: &str,
    usage: &str,
) -> Option<Written> {
    if !admit(draft, file, pointer) {
        return None;
    }
    let evaluated = evaluate::evaluate(file, modules, pointer, budget);
    for diagnostic in evaluated.diagnostics {
        draft.push(diagnostic);
    }
    let returned = evaluated.returned?;
    if returned != Written::Nil {
        return Some(returned);
    }
    let message = match evaluated.defined {
        Some(_) => format!("`{}` does not return what `defineSchema` made", file.name),
        None => format!("`{}` returns nothing", file.name),
    };
    draft.complain(
        "nothing_returned",
        &Spot::new(pointer, last_line(file)),
        message,
        &format!("end it with `{usage}`"),
    );
    // What it defined and forgot to return is judged all the same.
    evaluated.defined
}

/// Whether the file may be evaluated; its layout is known from then on.
fn admit(draft: &mut Draft, file: &Source, pointer: &str) -> bool {
    let at = |line| Spot::new(pointer, at_line(&file.name, line));
    if file.text.len() > SOURCE_BYTES_MAX {
        let message = format!("the file has {} bytes, at most {SOURCE_BYTES_MAX} are read", file.text.len());
        draft.complain("source_too_large", &at(1), message, "move parts of it to modules");
        return false;
    }
    match sandbox::check_syntax(&file.text) {
        Ok(()) => {}
        Err(SandboxError::Syntax(message)) => {
            let placed = message
                .split_once(": ")
                .and_then(|(line, message)| Some((line.trim_start_matches(':').parse::<u32>().ok()?, message)));
            let (line, message) = placed.unwrap_or((1, message.as_str()));
            draft.complain("syntax_error", &at(line), in_house_style(message), "");
            return false;
        }
        Err(other @ (SandboxError::FlagUnknown(_) | SandboxError::Build(_))) => {
            draft.complain("sandbox_unavailable", &at(1), other.to_string(), "");
            return false;
        }
    }
    let layout = Layout::read(&file.text);
    for repeated in &layout.repeated {
        let message = format!("`{}` is given twice, first on line {}", shortened(&repeated.name), repeated.first.line);
        draft.complain("duplicate_name", &at(repeated.again.line), message, "remove or rename one of them");
    }
    for (number, position) in &layout.inexact {
        let message = format!("`{}` is not exact as a Lua number, which has 53 bits", shortened(number));
        draft.complain("inexact_number", &at(position.line), message, "use a smaller number, or a decimal in quotes");
    }
    for line in &layout.crowded {
        let message = format!("more than {OPERATORS_MAX} operators in one function or file");
        draft.complain("too_complex", &at(*line), message, "write values instead of computing them");
    }
    for missing in &layout.missing {
        draft.complain("unknown_ctx_member", &at(missing.line), missing.message.clone(), &missing.hint);
    }
    let runs = layout.crowded.is_empty();
    draft.add_layout(&file.name, layout);
    runs
}
