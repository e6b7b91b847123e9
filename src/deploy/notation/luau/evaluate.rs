//! Runs one author's file in a machine of its own and brings home what it wrote.
//!
//! What comes home (see `harvest`) is bounded in size and depth, whatever the file built; the
//! machine is dropped before anything is judged.

use mlua::{Function, Lua, Table, Value};
use rowgate_schema_dsl::diagnostic::{Diagnostic, Place};

use crate::deploy::notation::luau::Source;
use crate::deploy::notation::luau::builders;
use crate::deploy::notation::luau::harvest::{Harvest, TEXT_BYTES_MAX, VALUES_MAX};
use crate::deploy::notation::luau::written::{Written, cut};
use crate::script::sandbox::{Budget, Machine, Termination, Trusted};

/// Of Luau's and of authors' own messages.
const MESSAGE_CHARACTERS_MAX: usize = 240;

static PRELUDE: Trusted = Trusted::new("prelude", include_str!("prelude.luau"));

/// What a file wrote.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    /// What it returned; none when it did not get so far.
    pub(super) returned: Option<Written>,
    /// The schema it defined last, where it returned nothing.
    pub(super) defined: Option<Written>,
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// The prelude's tables: how to run a chunk, and what the chunk then wrote.
pub(super) struct Equipment {
    pub(super) environment: Table,
    pub(super) run: Function,
    pub(super) modules: Table,
    pub(super) calls: Table,
    pub(super) uncalled: Table,
    pub(super) unknown: Table,
}

/// Evaluates `file`; `modules` are what it may require. All of them compile. `pointer` is the part of the document that
/// complaints about the file as a whole belong to.
pub(super) fn evaluate(file: &Source, modules: &[Source], pointer: &str, budget: Budget) -> Evaluated {
    let mut evaluated = Evaluated::default();
    if let Err(diagnostic) = run(file, modules, pointer, budget, &mut evaluated) {
        evaluated.returned = None;
        evaluated.diagnostics.push(*diagnostic);
    }
    evaluated
}

fn run(
    file: &Source,
    modules: &[Source],
    pointer: &str,
    budget: Budget,
    evaluated: &mut Evaluated,
) -> Result<(), Box<Diagnostic>> {
    let broken = |reason: String| Box::new(Diagnostic::new("sandbox_unavailable", pointer, first_line(&reason)));
    let (machine, equipment) = Machine::build(budget, equip).map_err(|error| broken(error.to_string()))?;
    machine.start();
    for module in modules {
        let compiled = machine.compile(&module.name, &module.text, &equipment.environment);
        let stored = compiled.and_then(|chunk| equipment.modules.raw_set(module_name(&module.name), chunk));
        stored.map_err(|error| broken(error.to_string()))?;
    }
    let compiled = machine.compile(&file.name, &file.text, &equipment.environment);
    let chunk = compiled.map_err(|error| broken(error.to_string()))?;

    let outcome = equipment.run.call::<Outcome>(chunk);
    let mut harvest = Harvest::new(&equipment);
    // First, because a file that fails has often failed of a name that nothing has.
    for (name, place) in harvest.unknown_names() {
        let (message, hint) = builders::unknown(&name);
        let diagnostic = Diagnostic::new("unknown_name", pointer, message).at(place);
        evaluated.diagnostics.push(diagnostic.with_hint(hint));
    }
    let (count, value) = match (machine.termination(outcome.as_ref().err()), outcome) {
        (Some(Termination::Time), _) => return Err(time_is_up(file, machine.stopped_at(), budget, pointer).into()),
        (Some(Termination::Memory | Termination::HostCalls), _) => {
            return Err(out_of_memory(file, budget, pointer).into());
        }
        (None, Err(error)) => return Err(failed(file, &error.to_string(), None, budget, pointer).into()),
        (None, Ok((true, count, value, _))) => (count.as_u32().unwrap_or(0), value),
        (None, Ok((false, text, at, line))) => {
            let text = text.as_string().map(|text| text.to_string_lossy()).unwrap_or_default();
            let at = at.as_string().map(|at| at.to_string_lossy()).zip(line.as_u32());
            return Err(failed(file, &text, at.map(|(file, line)| at_line(&file, line)), budget, pointer).into());
        }
    };
    let returned = harvest.gather(&value);
    if harvest.is_too_large() {
        let message = format!("at most {VALUES_MAX} values and {TEXT_BYTES_MAX} bytes of text are read of a file");
        let hint = "write fewer or smaller tables";
        return Err(Diagnostic::new("definition_too_large", pointer, message)
            .at(last_line(file))
            .with_hint(hint)
            .into());
    }
    if count > 1 {
        let message = format!("the file returns {count} values");
        let diagnostic = Diagnostic::new("value_refused", pointer, message).at(last_line(file));
        evaluated.diagnostics.push(diagnostic.with_hint("return one"));
    }
    if returned == Written::Nil {
        evaluated.defined = harvest.last_schema();
    }
    evaluated.returned = Some(returned);
    Ok(())
}

/// Whether the chunk ended well; then how many values it returned and the first of them, or the
/// error's text, file and line.
type Outcome = (bool, Value, Value, Value);

fn equip(lua: &Lua, globals: &Table) -> mlua::Result<Equipment> {
    let names = lua.create_table()?;
    for name in builders::SERVED {
        names.raw_set(name, true)?;
    }
    let modules = lua.create_table()?;
    let prelude = PRELUDE.load(lua)?;
    let (environment, run, calls, uncalled, unknown) = prelude.call((globals, names, &modules, Value::NULL))?;
    Ok(Equipment { environment, run, modules, calls, uncalled, unknown })
}

/// `server/limits.luau` is required as `./limits`.
pub(super) fn module_name(file: &str) -> &str {
    let name = file.rsplit_once('/').map_or(file, |(_, name)| name);
    name.strip_suffix(".luau").unwrap_or(name)
}

fn failed(file: &Source, text: &str, place: Option<Place>, budget: Budget, pointer: &str) -> Diagnostic {
    if text.contains("not enough memory") {
        return out_of_memory(file, budget, pointer);
    }
    let (said, message) = split_place(text);
    let message = if message.is_empty() { "the file ended with an error" } else { message };
    let diagnostic = Diagnostic::new("runtime_error", pointer, in_house_style(message));
    diagnostic.at(said.or(place).unwrap_or_else(|| at_line(&file.name, 1)))
}

fn time_is_up(file: &Source, stopped_at: Option<(String, u32)>, budget: Budget, pointer: &str) -> Diagnostic {
    let message = format!("still running after {} ms of processor time", budget.cpu_ms_max);
    let place = stopped_at.map_or_else(|| last_line(file), |(file, line)| at_line(&file, line));
    let hint = "a definition is made of builders' calls and ends at once; look for a loop without an end";
    Diagnostic::new("time_exceeded", pointer, message).at(place).with_hint(hint)
}

fn out_of_memory(file: &Source, budget: Budget, pointer: &str) -> Diagnostic {
    let message = format!("needs more than {} MiB of memory", budget.memory_bytes_max >> 20);
    let hint = "a definition is made of builders' calls; look for a table or text that grows without an end";
    Diagnostic::new("memory_exceeded", pointer, message).at(at_line(&file.name, 1)).with_hint(hint)
}

/// Luau writes `server/schema.luau:4: message` and, after an error, its trace.
fn split_place(text: &str) -> (Option<Place>, &str) {
    let text = first_line(text);
    let text = text.strip_prefix("runtime error: ").unwrap_or(text);
    let placed = text.split_once(": ").and_then(|(place, message)| {
        let (file, line) = place.rsplit_once(':')?;
        file.ends_with(".luau").then_some((at_line(file, line.parse().ok()?), message))
    });
    placed.map_or((None, text), |(place, message)| (Some(place), message))
}

/// Luau's sentences, in ours: lower case, no full stop, input in backticks.
pub(super) fn in_house_style(message: &str) -> String {
    let characters: Vec<char> = cut(message, MESSAGE_CHARACTERS_MAX).chars().collect();
    let inside_a_word = |index: usize| {
        let is_letter = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
        is_letter(index.checked_sub(1)) && is_letter(index.checked_add(1))
    };
    let quoted = |(index, c): (usize, &char)| if *c == '\'' && !inside_a_word(index) { '`' } else { *c };
    let mut message: String = characters.iter().enumerate().map(quoted).collect();
    if let Some(first) = message.get(..1).map(str::to_ascii_lowercase) {
        message.replace_range(..1, &first);
    }
    message.trim_end_matches('.').to_owned()
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

pub(super) fn at_line(file: &str, line: u32) -> Place {
    Place { file: file.to_owned(), line, column: None }
}

/// Where a file that lacks something would have it.
pub(super) fn last_line(file: &Source) -> Place {
    at_line(&file.name, u32::try_from(file.text.lines().count().max(1)).unwrap_or(u32::MAX))
}
