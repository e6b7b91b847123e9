//! What holds of every statement of any definition.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rowgate_schema_dsl::definition::Operator;
use rowgate_schema_dsl::generate;
use serde_json::{Value, json};

use crate::plan::compile::compile;
use crate::plan::statement::Binding;
use crate::plan::tests::{checked, plan};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Parameters are numbered as they stand, without gaps, and each has a type and a source; each
    /// statement names its own Postgres schema alone and comes from this definition alone.
    #[test]
    fn parameters_are_those_of_the_text(choices in prop::collection::vec(any::<u32>(), 0..400)) {
        let model = checked(&generate::definition(&choices));
        for function in &model.functions {
            let plan = compile(&model, function).unwrap();
            let sides = plan.page().map_or(1, crate::plan::page::Page::side_count);
            prop_assert_eq!(plan.variants.len(), sides << plan.optional.len());
            for (place, statement) in plan.statements().enumerate() {
                let is_guarded = place >= plan.variants.len();
                prop_assert_eq!(is_guarded, statement.bindings.iter().any(|binding| matches!(binding, Binding::Version(_))));
                let bits = if is_guarded { 0 } else { place / sides };
                let goes_on = statement.bindings.iter().any(|binding| matches!(binding, Binding::Cursor(_)));
                prop_assert_eq!(goes_on, !is_guarded && place % sides > 0, "{}", statement.sql);
                let numbers = placeholders(&statement.sql);
                prop_assert_eq!(numbers.len(), statement.bindings.len(), "{}", statement.sql);
                prop_assert_eq!(numbers.first().copied(), Some(1));
                prop_assert_eq!(numbers.last().copied(), Some(statement.bindings.len()));
                prop_assert_eq!(statement.types.len(), statement.bindings.len());
                prop_assert_eq!(statement.bindings.iter().filter(|binding| **binding == Binding::Scope).count(), 1);
                let schemas = statement.sql.matches("\"ext_").count();
                let own = statement.sql.matches(&format!("\"{}\".\"", model.postgres_schema)).count();
                prop_assert_eq!(schemas, own, "{}", statement.sql);
                // A variant never asks for an argument that it is chosen without.
                for binding in &statement.bindings {
                    let (Binding::Argument(place)
                    | Binding::ArgumentOr(place, _)
                    | Binding::Pattern { argument: place, .. }
                    | Binding::Element { argument: place, .. }
                    | Binding::Given(place)) = binding else { continue };
                    let bit = plan.optional.iter().position(|optional| optional == place);
                    prop_assert!(bit.is_none_or(|bit| bits & 1 << bit != 0), "{}", statement.sql);
                }
            }
            let same = compile(&model, function).unwrap();
            prop_assert!(plan.variants.iter().zip(&same.variants).all(|(a, b)| a.key == b.key && a.sql == b.sql));
        }
    }

    /// No text of an author's literal, default or enum becomes SQL.
    #[test]
    fn no_literal_is_in_the_text(mark in "[a-z]{6}", hostile in "[\"'\\\\$;a-z -]{0,6}", op in prop::sample::select(Operator::ALL.into_iter().filter(|op| *op != Operator::IsNull).collect::<Vec<_>>())) {
        // A pattern must not end in a lone backslash.
        let marked = format!("{hostile}Mark{mark}{hostile}.");
        let operand = if op == Operator::In { json!([marked]) } else { json!(marked) };
        let comparison = json!({ "column": "text", "op": op.as_str(), "value": operand });
        let with_default = json!({ "arg": "text", "validator": { "type": "string", "default": marked } });
        let functions = [
            json!({ "kind": "queryRows", "table": "t", "filter": { "any": [comparison, { "negate": comparison }] } }),
            json!({ "kind": "countRows", "table": "t", "filter": { "column": "text", "op": "=", "value": with_default } }),
            json!({ "kind": "insertRow", "table": "t", "values": { "text": marked, "kind": marked, "note": { "literal": { marked.clone(): marked } } } }),
            json!({ "kind": "insertRow", "table": "t", "values": { "text": with_default, "kind": { "arg": "kind" } } }),
            json!({ "kind": "patchRow", "table": "t", "id": { "arg": "id" }, "values": { "text": marked, "note": { "literal": [marked] } } }),
        ];
        let columns = json!({
            "text": { "type": "string", "default": marked, "max": 99 },
            "kind": { "type": "enum", "values": [marked, "other"], "default": marked },
            "note": { "type": "json", "optional": true },
        });
        for function in functions {
            let plan = plan(json!({ "t": { "columns": columns } }), function);
            for statement in plan.statements() {
                prop_assert!(!statement.sql.contains("Mark"), "{}", statement.sql);
                // Nothing is quoted as text, whatever it is.
                prop_assert!(!statement.sql.contains('\''), "{}", statement.sql);
            }
        }
    }
}

/// The statement chosen for a call is the one for what it gave.
#[test]
fn a_call_chooses_the_statement_of_its_arguments() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let object = |of: &dyn Fn(&str) -> Option<Value>| -> Value {
        names.iter().filter_map(|name| Some(((*name).to_owned(), of(name)?))).collect::<serde_json::Map<_, _>>().into()
    };
    let optional = |name: &str| json!({ "arg": name, "validator": { "type": "integer", "optional": true } });
    let compare = |name: &&str| json!({ "column": name, "op": "=", "value": optional(name) });
    let filter = json!({ "all": names.iter().map(compare).collect::<Vec<Value>>() });
    let columns = object(&|_| Some(json!({ "type": "integer" })));
    let function = json!({ "kind": "countRows", "table": "t", "filter": filter });
    let plan = plan(json!({ "t": { "columns": columns } }), function);
    for bits in 0..64_u32 {
        let is_given =
            |name: &str| names.iter().position(|other| *other == name).is_some_and(|bit| bits & 1 << bit != 0);
        let body = object(&|name| is_given(name).then(|| json!(1)));
        let given = plan.arguments.parse(body.to_string().as_bytes(), 9).unwrap();
        let sql = &plan.statement(&given).unwrap().sql;
        for name in names {
            assert_eq!(sql.contains(&format!("\"{name}\" = $")), is_given(name), "{sql}");
        }
    }
}

/// The numbers of the placeholders in `sql`.
fn placeholders(sql: &str) -> BTreeSet<usize> {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    sql.split('$').skip(1).map(|rest| digits(rest).parse().unwrap()).collect()
}
