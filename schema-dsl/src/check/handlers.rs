//! Handlers: their names, their arguments and their files. What their Luau does is known when it runs.

use indexmap::IndexMap;

use crate::check::{names, types};
use crate::definition::{self, Definition, HandlerKind, Role, Validator};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{Absence, Argument, ENTRY_SOURCE, Handler};
use crate::model::DefaultValue;
use crate::name::Name;

/// Bytes of one Luau file: code without a loop or a call cannot be stopped, so it must be short.
pub const SOURCE_BYTES_MAX: usize = 128 << 10;
/// Luau files of one extension.
pub const SOURCES_MAX: usize = 65;

/// The handlers as far as they can be understood, sorted by name.
pub(crate) fn handlers(definition: &Definition, diagnostics: &mut Vec<Diagnostic>) -> Vec<Handler> {
    let named = definition.functions.keys().map(|name| ("function", name.as_str(), pointer_to("/functions", name)));
    let handlers = definition.handlers.keys().map(|name| ("handler", name.as_str(), pointer_to("/handlers", name)));
    // Functions among each other were compared already.
    let before = diagnostics.len();
    names::distinct(named.chain(handlers), diagnostics);
    let kept = diagnostics.split_off(before);
    diagnostics.extend(kept.into_iter().filter(|diagnostic| diagnostic.pointer.starts_with("/handlers")));
    sources(definition, diagnostics);
    let mut handlers: Vec<Handler> = definition
        .handlers
        .iter()
        .filter_map(|(name, declared)| handler(definition, name, declared, diagnostics))
        .collect();
    handlers.sort_by(|a, b| a.name.cmp(&b.name));
    handlers
}

fn sources(definition: &Definition, diagnostics: &mut Vec<Diagnostic>) {
    if !definition.handlers.is_empty() && !definition.sources.contains_key(ENTRY_SOURCE) {
        let message = format!("there are handlers, and no file `{ENTRY_SOURCE}` among the sources");
        let hint = "handlers are written in `server/functions.luau`";
        diagnostics.push(Diagnostic::new("missing_source", "/sources", message).with_hint(hint));
    }
    if definition.sources.len() > SOURCES_MAX {
        let message = format!("there are {} Luau files, at most {SOURCES_MAX} are accepted", definition.sources.len());
        diagnostics.push(Diagnostic::new("too_many_modules", "/sources", message).with_hint("merge some of them"));
    }
    for (name, text) in &definition.sources {
        if text.len() > SOURCE_BYTES_MAX {
            let message = format!("`{name}` has {} bytes, at most {SOURCE_BYTES_MAX} are accepted", text.len());
            let diagnostic = Diagnostic::new("source_too_large", pointer_to("/sources", name), message);
            diagnostics.push(diagnostic.with_hint("move parts of it to modules"));
        }
    }
}

fn handler(
    definition: &Definition,
    text: &str,
    declared: &definition::Handler,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Handler> {
    let pointer = pointer_to("/handlers", text);
    let name = names::name("handler", text, &pointer, diagnostics);
    let arguments = arguments(definition, &declared.args, &pointer_to(&pointer, "args"), diagnostics);
    let access = declared.access.unwrap_or(match declared.kind {
        HandlerKind::Query => Role::Viewer,
        HandlerKind::Mutation | HandlerKind::Action => Role::Editor,
    });
    Some(Handler { name: name?, kind: declared.kind, access, arguments: arguments?, timeout_ms: declared.timeout_ms })
}

fn arguments(
    definition: &Definition,
    declared: &IndexMap<String, Validator>,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<Argument>> {
    names::distinct(declared.keys().map(|name| ("argument", name.as_str(), pointer_to(pointer, name))), diagnostics);
    let mut arguments = Vec::with_capacity(declared.len());
    let mut is_sound = true;
    for (text, validator) in declared {
        match argument(definition, text, validator, &pointer_to(pointer, text), diagnostics) {
            Some(argument) => arguments.push(argument),
            None => is_sound = false,
        }
    }
    arguments.sort_by(|a, b| a.name.cmp(&b.name));
    is_sound.then_some(arguments)
}

fn argument(
    definition: &Definition,
    text: &str,
    validator: &Validator,
    pointer: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Argument> {
    let name: Option<Name> = names::name("argument", text, pointer, diagnostics);
    let complaints_before = diagnostics.len();
    types::column_type(&validator.column_type, types::Holder::Argument, pointer, definition, diagnostics);
    if diagnostics.len() > complaints_before {
        return None;
    }
    let absence = if validator.default.is_some() {
        match types::default_value(validator, &format!("argument `{text}`"), pointer, diagnostics)? {
            DefaultValue::Value(value) => Absence::Default(value),
            DefaultValue::Now => {
                let message = format!("the default of argument `{text}` is `now()`; only a column can have that");
                let diagnostic = Diagnostic::new("now_default", pointer_to(pointer, "default"), message);
                diagnostics.push(diagnostic.with_hint("make it optional and use `ctx.time.now` in its place"));
                return None;
            }
        }
    } else if validator.optional {
        Absence::Dropped
    } else {
        Absence::Refused
    };
    let column_type = validator.column_type.clone();
    Some(Argument { name: name?, column_type, absence, nullable: validator.optional, is_pattern: false })
}
