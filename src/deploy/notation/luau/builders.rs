//! The names an author may use, and what the nearest of them is to one that is none.

use rowgate_schema_dsl::diagnostic::nearest;

use crate::deploy::notation::luau::written::shortened;
use crate::script::sandbox::GLOBALS_KEPT;

/// Builders of tables and columns, of functions, and of what stands in them.
pub(super) const SERVED: [&str; 48] = [
    "defineSchema",
    "defineTable",
    "v.string",
    "v.integer",
    "v.number",
    "v.boolean",
    "v.decimal",
    "v.timestamp",
    "v.date",
    "v.uuid",
    "v.bytes",
    "v.enum",
    "v.id",
    "v.array",
    "v.object",
    "v.json",
    "queryRows",
    "getRow",
    "countRows",
    "aggregateRows",
    "insertRow",
    "insertRows",
    "upsertRow",
    "patchRow",
    "patchRows",
    "deleteRow",
    "deleteRows",
    "transaction",
    "step",
    "row",
    "query",
    "mutation",
    "action",
    "arg",
    "identity",
    "now",
    "increment",
    "append",
    "remove",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "filter",
    "all",
    "any",
    "negate",
];

/// What a column's builder may be followed by.
pub(super) const COLUMN_METHODS: [&str; 9] =
    ["optional", "default", "min", "max", "pattern", "private", "unique", "onDelete", "renamedFrom"];

/// What `defineTable` may be followed by.
pub(super) const TABLE_METHODS: [&str; 6] = ["storage", "index", "unique", "owned", "rows", "renamedFrom"];

/// Lua's own, which authors know and may not use here.
const WITHHELD: [&str; 17] = [
    "os",
    "io",
    "debug",
    "coroutine",
    "print",
    "warn",
    "loadstring",
    "load",
    "dofile",
    "getfenv",
    "setfenv",
    "_G",
    "collectgarbage",
    "gcinfo",
    "newproxy",
    "task",
    "game",
];

/// What other languages and libraries call our types.
const TYPE_SYNONYMS: [(&str, &str); 12] = [
    ("v.any", "v.json"),
    ("v.text", "v.string"),
    ("v.str", "v.string"),
    ("v.int", "v.integer"),
    ("v.int64", "v.integer"),
    ("v.float", "v.number"),
    ("v.float64", "v.number"),
    ("v.bool", "v.boolean"),
    ("v.list", "v.array"),
    ("v.union", "v.enum"),
    ("v.ref", "v.id"),
    ("v.numeric", "v.decimal"),
];

pub(super) fn is_known(name: &str) -> bool {
    SERVED.contains(&name)
}

pub(super) fn is_validator(name: &str) -> bool {
    SERVED.contains(&name) && name.starts_with("v.")
}

pub(super) fn is_function(name: &str) -> bool {
    matches!(
        name,
        "queryRows"
            | "getRow"
            | "countRows"
            | "aggregateRows"
            | "insertRow"
            | "insertRows"
            | "upsertRow"
            | "patchRow"
            | "patchRows"
            | "deleteRow"
            | "deleteRows"
    )
}

pub(super) fn is_handler(name: &str) -> bool {
    matches!(name, "query" | "mutation" | "action")
}

/// Message and hint for a name that nothing has.
pub(super) fn unknown(name: &str) -> (String, String) {
    let shown = shortened(name);
    if WITHHELD.contains(&name) {
        let hint = "write the definition from literals and builders alone".to_owned();
        return (format!("`{shown}` cannot be used in a definition; it must be the same each time it is read"), hint);
    }
    let synonym = TYPE_SYNONYMS.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
    let others = SERVED
        .into_iter()
        .chain(["v", "null", "require"])
        .chain(GLOBALS_KEPT)
        .filter(|other| other.starts_with("v.") == name.starts_with("v."));
    let message = match name.strip_prefix("v.") {
        Some(of_v) => format!("there is no type `{}`", shortened(of_v)),
        None => format!("unknown name `{shown}`"),
    };
    let hint = match synonym.or_else(|| nearest(name, others)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if name.starts_with("v.") => {
            let types: Vec<&str> = SERVED.into_iter().filter_map(|name| name.strip_prefix("v.")).collect();
            format!("use one of {}", types.join(", "))
        }
        None => "declare it with `local`, or use a builder's name".to_owned(),
    };
    (message, hint)
}
