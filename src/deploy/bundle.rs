//! An author's folder becomes one definition, whatever notation its parts are written in.
//!
//! Files come in, bounded in size and from within the folder alone; out comes what `read` made of
//! the document, with every complaint placed in the author's file and line. A part that could not
//! be read at all is left empty and makes the reading incomplete: who checks it further would
//! complain about the gap and not about the bundle.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rowgate_schema_dsl::definition::{Definition, FORMAT};
use rowgate_schema_dsl::diagnostic::{Diagnostic, Place, SourceMap, nearest, pointer_to};
use serde_json::{Map, Value, json};

use crate::deploy::notation::json;
use crate::deploy::notation::luau::{self, LuauFiles, Source};

/// Entries of `server/` that are looked at.
const ENTRIES_MAX: usize = 4_096;

const EXTENSION: &str = "extension.json";
const DEFINITIONS: [&str; 2] = ["definition.json", "server/definition.json"];
const SCHEMAS: [&str; 3] = ["server/schema.luau", "server/schema.json", "server/schema.ts"];
const FUNCTIONS: [&str; 3] = ["server/functions.luau", "server/functions.json", "server/functions.ts"];

/// What was read of a bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct BundleRead {
    /// A best effort: without what the diagnostics complain about.
    pub definition: Definition,
    /// For the complaints of later stages.
    pub source_map: SourceMap,
    /// Placed and sorted; the bundle is sound so far when there are none.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether every part was there to be read, so that checking the definition is fair.
    pub complete: bool,
}

/// Reads the bundle in `dir`. The error says why there is nothing to read at all.
pub fn read_bundle(dir: &Path) -> Result<BundleRead, Vec<Diagnostic>> {
    let root = match dir.canonicalize() {
        Ok(root) if root.is_dir() => root,
        Ok(_) => return Err(vec![no_bundle(dir, "it is not a folder")]),
        Err(error) => return Err(vec![no_bundle(dir, &error.kind().to_string())]),
    };
    let mut draft =
        Draft { root, document: Map::new(), source_map: SourceMap::default(), diagnostics: Vec::new(), complete: true };
    draft.document.insert("rowgate".to_owned(), json!(FORMAT));
    let definition = draft.one_of("definition", &DEFINITIONS);
    match definition {
        Some(name) => whole(&mut draft, name),
        None => parts(&mut draft),
    }
    extension(&mut draft);
    let Draft { document, source_map, mut diagnostics, complete, .. } = draft;
    let (definition, complaints) = rowgate_schema_dsl::read::read(&Value::Object(document));
    diagnostics.extend(complaints);
    source_map.place(&mut diagnostics);
    Ok(BundleRead { definition, source_map, diagnostics, complete })
}

/// The files that make up the bundle in `dir`, those that are there, sorted. A new file appears
/// in `dir` or in `dir/server`.
pub fn bundle_files(dir: &Path) -> Vec<PathBuf> {
    let fixed = [EXTENSION].into_iter().chain(DEFINITIONS).chain(SCHEMAS).chain(FUNCTIONS).map(str::to_owned);
    let mut files: Vec<PathBuf> =
        fixed.chain(luau_names(dir)).map(|name| dir.join(name)).filter(|path| path.is_file()).collect();
    files.sort();
    files.dedup();
    files
}

/// The document as far as it is put together.
struct Draft {
    /// Canonical, so that what lies outside can be told.
    root: PathBuf,
    document: Map<String, Value>,
    source_map: SourceMap,
    diagnostics: Vec<Diagnostic>,
    complete: bool,
}

impl Draft {
    /// A part of the bundle is not there to be checked.
    fn miss(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
        self.complete = false;
    }

    /// The file of `names` that is there; more than one draws a complaint, and the first counts.
    fn one_of(&mut self, part: &str, names: &[&'static str]) -> Option<&'static str> {
        let mut there = names.iter().copied().filter(|name| self.root.join(name).symlink_metadata().is_ok());
        let first = there.next()?;
        for other in there {
            let message = format!("the bundle's {part} is written twice, in `{first}` and in `{other}`");
            let complaint =
                Diagnostic::new("two_notations", "", message).with_hint(format!("keep one; `{first}` was read"));
            self.diagnostics.push(complaint.at(line(other, 1)));
        }
        Some(first)
    }

    fn source(&mut self, name: &str, bytes_max: usize) -> Option<Source> {
        match source(&self.root, name, bytes_max) {
            Ok(text) => Some(Source { name: name.to_owned(), text }),
            Err(complaint) => {
                self.miss(*complaint);
                None
            }
        }
    }

    /// Reads a JSON file as the part of the document at `at`, with the places of its own; `None`
    /// when it is no JSON object.
    fn json(&mut self, name: &str, at: &str) -> Option<(Map<String, Value>, SourceMap)> {
        let source = self.source(name, json::SOURCE_BYTES_MAX)?;
        let read = json::read(&source.name, &source.text, at);
        self.source_map.extend(read.source_map.clone());
        self.diagnostics.extend(read.diagnostics);
        match read.document {
            Some(Value::Object(members)) => return Some((members, read.source_map)),
            Some(_) => {
                let message = format!("expected an object as the content of `{name}`");
                self.diagnostics.push(Diagnostic::new("wrong_type", at, message).at(line(name, 1)));
            }
            None => {}
        }
        self.complete = false;
        None
    }
}

/// A bundle that is one `definition.json`.
fn whole(draft: &mut Draft, name: &'static str) {
    for other in [SCHEMAS, FUNCTIONS].concat() {
        draft.one_of("definition", &[name, other]);
    }
    if let Some((members, _)) = draft.json(name, "") {
        // Its format's version is the author's to state, so that is not filled in.
        draft.document = members;
    }
}

/// A bundle of `server/schema.*` and `server/functions.*`.
fn parts(draft: &mut Draft) {
    let schema = draft.one_of("schema", &SCHEMAS);
    let functions = draft.one_of("functions", &FUNCTIONS);
    let mut files = LuauFiles::default();
    for (part, member, there) in [("schema", "tables", schema), ("functions", "functions", functions)] {
        match there {
            None => draft.miss(missing_part(part)),
            Some(name) if name.ends_with(".luau") => {
                let source = draft.source(name, luau::SOURCE_BYTES_MAX);
                if part == "schema" {
                    files.schema = source;
                } else {
                    files.functions = source;
                }
            }
            Some(name) if name.ends_with(".json") => part_of_json(draft, name, member),
            Some(name) => {
                let complaint = Diagnostic::new("not_yet_served", "", "the TypeScript notation is not served yet");
                let hint = format!("write `server/{part}.luau` or `server/{part}.json`");
                draft.miss(complaint.with_hint(hint).at(line(name, 1)));
            }
        }
    }
    if files.schema.is_none() && files.functions.is_none() {
        return;
    }
    files.modules = modules(draft);
    let (has_schema, has_functions) = (files.schema.is_some(), files.functions.is_some());
    let read = luau::read(&files);
    draft.source_map.extend(read.source_map);
    // A file that could not be evaluated leaves its part empty.
    let empty = |part: &Value| part.as_object().is_none_or(Map::is_empty);
    if !read.diagnostics.is_empty()
        && (has_schema && empty(&read.tables) || has_functions && empty(&read.functions) && empty(&read.handlers))
    {
        draft.complete = false;
    }
    draft.diagnostics.extend(read.diagnostics);
    if has_schema {
        draft.document.insert("tables".to_owned(), read.tables);
    }
    if has_functions {
        draft.document.insert("functions".to_owned(), read.functions);
        for (member, value) in [("handlers", read.handlers), ("sources", read.sources)] {
            if !empty(&value) {
                draft.document.insert(member.to_owned(), value);
            }
        }
    }
}

/// `server/schema.json` or `server/functions.json`: a definition document of which only `member`
/// is written.
fn part_of_json(draft: &mut Draft, name: &str, member: &str) {
    let Some((mut members, places)) = draft.json(name, "") else { return };
    if let Some(format) = members.shift_remove("rowgate") {
        draft.document.insert("rowgate".to_owned(), format);
    }
    members.shift_remove("$schema");
    match members.shift_remove(member) {
        Some(value) => {
            draft.document.insert(member.to_owned(), value);
        }
        None => {
            let complaint = Diagnostic::new("missing_member", "", format!("`{member}` is missing in `{name}`"));
            draft.miss(complaint.with_hint(format!("write `{{ \"{member}\": {{ … }} }}`")).at(line(name, 1)));
            // Names that belong one level deeper are not complained about one by one.
            members.retain(|other, _| {
                nearest(other, [member]).is_some() || ["tables", "functions"].contains(&other.as_str())
            });
        }
    }
    for other in members.keys() {
        let message = format!("`{other}` does not belong in `{name}`; expected `{member}` alone");
        let pointer = pointer_to("", other);
        let mut complaint = Diagnostic::new("unknown_option", pointer.as_str(), message);
        complaint.place = places.locate(&pointer).cloned();
        draft.diagnostics.push(complaint);
    }
}

/// `extension.json`, unless the definition carries the extension itself.
fn extension(draft: &mut Draft) {
    let there = draft.root.join(EXTENSION).symlink_metadata().is_ok();
    match (draft.document.contains_key("extension"), there) {
        (true, false) => return,
        (true, true) => {
            let message =
                format!("the extension is described twice, in `{EXTENSION}` and in the definition's `extension`");
            let complaint = Diagnostic::new("two_notations", "/extension", message).with_hint("keep one of them");
            draft.diagnostics.push(complaint.at(line(EXTENSION, 1)));
            return;
        }
        (false, false) => {
            let message = format!("`{EXTENSION}` is missing: who the extension is");
            let hint = "write `{ \"id\": \"<a UUID>\", \"name\": \"…\", \"version\": \"0.1.0\" }`; \
                        `rowgate init DIR` writes a bundle to start from";
            draft.miss(Diagnostic::new("missing_file", "/extension", message).with_hint(hint).at(line(EXTENSION, 1)));
        }
        (false, true) => {
            if let Some((members, _)) = draft.json(EXTENSION, "/extension") {
                draft.document.insert("extension".to_owned(), Value::Object(members));
                return;
            }
        }
    }
    // What is missing was said; this keeps `read` from saying it again.
    let stand_in = json!({ "id": "00000000-0000-4000-8000-000000000001", "name": "unnamed", "version": "0" });
    draft.document.insert("extension".to_owned(), stand_in);
}

/// The other `server/*.luau`, which the two may require.
fn modules(draft: &mut Draft) -> Vec<Source> {
    let mut names = luau_names(&draft.root);
    names.retain(|name| !SCHEMAS.contains(&name.as_str()) && !FUNCTIONS.contains(&name.as_str()));
    if names.len() > luau::MODULES_MAX {
        let message = format!("`server/` has {} modules, at most {} are accepted", names.len(), luau::MODULES_MAX);
        draft.miss(Diagnostic::new("too_many_modules", "", message).at(line("server", 1)));
        names.truncate(luau::MODULES_MAX);
    }
    names.iter().filter_map(|name| draft.source(name, luau::SOURCE_BYTES_MAX)).collect()
}

/// `server/*.luau`, sorted; names that are not UTF-8 cannot be required and are passed over.
fn luau_names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir.join("server")).into_iter().flatten().take(ENTRIES_MAX).flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".luau") && !name.starts_with('.'))
        .map(|name| format!("server/{name}"))
        .collect();
    names.sort();
    names
}

/// The text of a file of the bundle at `root`, which is canonical.
fn source(root: &Path, name: &str, bytes_max: usize) -> Result<String, Box<Diagnostic>> {
    let refuse = |code, message: String, hint: &str| {
        let complaint = Diagnostic::new(code, "", message).at(line(name, 1));
        Box::new(if hint.is_empty() { complaint } else { complaint.with_hint(hint) })
    };
    let unreadable = |error: std::io::Error| {
        let why = if error.kind() == ErrorKind::NotFound {
            "it links to a file that is not there".to_owned()
        } else {
            error.kind().to_string()
        };
        refuse("unreadable_file", format!("`{name}` cannot be read: {why}"), "")
    };
    let path = root.join(name).canonicalize().map_err(unreadable)?;
    if !path.starts_with(root) {
        let hint = "put a copy of the file into the bundle";
        return Err(refuse("outside_bundle", format!("`{name}` links to a file outside of the bundle"), hint));
    }
    // Asked before it is opened: opening a named pipe would wait for its writer.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(refuse("unreadable_file", format!("`{name}` is not a file"), ""));
    }
    let mut bytes = Vec::new();
    let file = File::open(&path).map_err(unreadable)?;
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > bytes_max {
        let message = format!("`{name}` is too large; at most {} KiB are accepted", bytes_max >> 10);
        return Err(refuse("file_too_large", message, ""));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let lines = good.iter().filter(|byte| **byte == b'\n').count();
        let place = line(name, u32::try_from(lines + 1).unwrap_or(u32::MAX));
        Box::new(Diagnostic::new("not_utf8", "", format!("`{name}` is not UTF-8 text")).at(place))
    })
}

fn missing_part(part: &str) -> Diagnostic {
    let what = if part == "schema" { "its tables" } else { "its functions" };
    let message = format!("`server/{part}.luau` is missing: {what}");
    let hint = format!(
        "write `server/{part}.luau` or `server/{part}.json`, or the whole as `definition.json`; \
         `rowgate init DIR` writes a bundle to start from"
    );
    Diagnostic::new("missing_file", "", message).with_hint(hint).at(line(&format!("server/{part}.luau"), 1))
}

fn no_bundle(dir: &Path, why: &str) -> Diagnostic {
    let message = format!("`{}` is not a bundle: {why}", dir.display());
    Diagnostic::new("missing_file", "", message).with_hint("`rowgate init DIR` writes one to start from")
}

fn line(file: &str, line: u32) -> Place {
    Place { file: file.to_owned(), line, column: None }
}
