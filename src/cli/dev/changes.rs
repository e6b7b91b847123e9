//! What an edit changed, in a few words.

use indexmap::IndexMap;
use rowgate_schema_dsl::definition::Definition;

/// Names listed of one kind; the rest is counted.
const LISTED_MAX: usize = 4;

/// Such as ``table `tags` added, functions `addTag`, `listTags` added``.
pub(super) fn summary(before: Option<&Definition>, after: &Definition) -> String {
    let Some(before) = before else { return "everything is new".to_owned() };
    let mut parts = kind("table", &before.tables, &after.tables);
    parts.extend(kind("function", &before.functions, &after.functions));
    parts.extend(kind("handler", &before.handlers, &after.handlers));
    parts.extend(kind("file", &before.sources, &after.sources));
    if before.extension != after.extension {
        parts.push("extension.json changed".to_owned());
    }
    if parts.is_empty() { "nothing changed".to_owned() } else { parts.join(", ") }
}

fn kind<T: PartialEq>(noun: &str, before: &IndexMap<String, T>, after: &IndexMap<String, T>) -> Vec<String> {
    let added: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    let changed =
        after.iter().filter(|(name, now)| before.get(*name).is_some_and(|then| then != *now)).map(|(name, _)| name);
    let removed = before.keys().filter(|name| !after.contains_key(*name)).collect();
    [("added", added), ("changed", changed.collect()), ("removed", removed)]
        .into_iter()
        .filter_map(|(deed, names)| listed(noun, &names, deed))
        .collect()
}

fn listed(noun: &str, names: &[&String], deed: &str) -> Option<String> {
    let first: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let plural = if names.len() == 1 { "" } else { "s" };
    let more = match names.len().checked_sub(LISTED_MAX) {
        None | Some(0) => String::new(),
        Some(more) => format!(" and {more} more"),
    };
    (!names.is_empty()).then(|| format!("{noun}{plural} {}{more} {deed}", first.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by its panic")]

    use rowgate_schema_dsl::read::read;
    use serde_json::{Value, json};

    use super::summary;

    fn changes(before: &Value, after: &Value) -> String {
        let definition = |functions: &Value| {
            let handlers = functions.get("handlers").cloned().unwrap_or_else(|| json!({}));
            let sources = functions.get("sources").cloned().unwrap_or_else(|| json!({}));
            let functions = if functions.get("handlers").is_some() { &json!({}) } else { functions };
            let id = "6f1c2a54-3c2f-4d7e-9a0b-5b1d7c3e8f10";
            let (definition, complaints) = read(&json!({
                "rowgate": 1,
                "extension": { "id": id, "name": "x", "version": "1" },
                "tables": { "t": { "columns": { "c": { "type": "string" } } } },
                "functions": functions,
                "handlers": handlers,
                "sources": sources,
            }));
            assert_eq!(complaints, []);
            definition
        };
        summary(Some(&definition(before)), &definition(after))
    }

    #[test]
    fn names_what_was_added_changed_and_removed() {
        let of = |limit: u32| json!({ "kind": "queryRows", "table": "t", "access": "viewer", "limit": limit });
        insta::assert_snapshot!(
            changes(&json!({ "a": of(1), "b": of(1) }), &json!({ "a": of(2), "c": of(1), "d": of(1) })),
            @"functions `c`, `d` added, function `a` changed, function `b` removed"
        );
        insta::assert_snapshot!(changes(&json!({ "a": of(1) }), &json!({ "a": of(1) })), @"nothing changed");
        insta::assert_snapshot!(
            changes(&json!({}), &json!({ "a": of(1), "b": of(1), "c": of(1), "d": of(1), "e": of(1), "f": of(1) })),
            @"functions `a`, `b`, `c`, `d` and 2 more added"
        );
        let handlers =
            |text: &str| json!({ "handlers": { "h": { "kind": "query" } }, "sources": { "functions": text } });
        insta::assert_snapshot!(changes(&handlers("a"), &handlers("b")), @"file `functions` changed");
    }
}
