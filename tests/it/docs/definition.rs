//! docs/definition.md and docs/functions.md against the reader, the checker and the compiler.

use std::collections::BTreeSet;

use rowgate::deploy::notation::luau::{self, LuauFiles, Source};
use rowgate::plan::compile::compile;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::column_type::Storage;
use rowgate_schema_dsl::definition::Definition;
use rowgate_schema_dsl::diagnostic::Diagnostic;
use rowgate_schema_dsl::function::Function;
use rowgate_schema_dsl::model::Model;
use rowgate_schema_dsl::read::read;
use rowgate_schema_dsl::value::parse;
use serde_json::{Value, json};

use crate::docs::markdown::{Block, Document, quoted};
use crate::docs::root;

fn definition_md() -> Document {
    Document::read(&root().join("docs/definition.md"))
}

fn functions_md() -> Document {
    Document::read(&root().join("docs/functions.md"))
}

/// What two files of Luau come to, and every complaint about them.
fn evaluated(schema: &str, functions: &str) -> (Definition, Vec<Diagnostic>) {
    let file = |name: &str, text: &str| Some(Source { name: name.to_owned(), text: text.to_owned() });
    let notation = luau::read(&LuauFiles {
        schema: file("server/schema.luau", schema),
        functions: file("server/functions.luau", functions),
        modules: Vec::new(),
    });
    let (definition, complaints) = read(&json!({
        "rowgate": 1,
        "extension": { "id": "0b2f6a3e-5d1c-4f7a-8e90-1a2b3c4d5e6f", "name": "docs", "version": "1" },
        "tables": notation.tables,
        "functions": notation.functions,
    }));
    (definition, notation.diagnostics.into_iter().chain(complaints).collect())
}

#[track_caller]
fn modelled(schema: &str, functions: &str) -> (Definition, Model) {
    let (definition, complaints) = evaluated(schema, functions);
    assert_eq!(complaints, [], "{schema}\n{functions}");
    let model = check(&definition).unwrap_or_else(|complaints| panic!("{complaints:#?}\n{schema}\n{functions}"));
    (definition, model)
}

/// A table `things` with the column `c`, beside one to refer to.
fn with_column(column: &str) -> String {
    let optional = if column.contains("setNull") { ":optional()" } else { "" };
    format!(
        "return defineSchema({{ rules = defineTable({{ text = v.string() }}), \
         things = defineTable({{ c = {column}{optional} }}) }})"
    )
}

const NO_FUNCTIONS: &str = "return {}";

/// The words that a complaint about `written` offers instead.
fn offered(schema: &str, functions: &str) -> BTreeSet<String> {
    let (_, complaints) = evaluated(schema, functions);
    let hints = complaints.iter().filter_map(|complaint| complaint.hint.as_deref());
    let mut words = BTreeSet::new();
    for hint in hints {
        let list = hint.strip_prefix("use one of ").or_else(|| hint.strip_prefix("expected "));
        let list = list.unwrap_or_else(|| panic!("no list in `{hint}`")).replace(" or ", ", ");
        words.extend(list.split(", ").map(|word| word.trim_matches('`').to_owned()));
    }
    assert!(!words.is_empty(), "nothing is offered by {complaints:#?}");
    words
}

#[test]
fn every_type_is_what_the_table_says() {
    let rows = definition_md().section("Types").rows();
    let mut documented = BTreeSet::new();
    for row in &rows {
        let [luau, document, postgres, json] = [0, 1, 2, 3].map(|cell| quoted(&row[cell])[0]);
        let (definition, model) = modelled(&with_column(luau), NO_FUNCTIONS);
        let column = &definition.tables["things"].columns["c"];
        let expected: Value = serde_json::from_str(document).unwrap();
        assert_eq!(serde_json::to_value(column).unwrap(), expected, "{luau}");
        let column_type = &model.table("things").unwrap().column("c").unwrap().column_type;
        let Storage { element, is_array } = column_type.storage();
        assert_eq!(format!("{}{}", element.sql(), if is_array { "[]" } else { "" }), postgres, "{luau}");
        parse(column_type, json).unwrap_or_else(|refusals| panic!("{luau} does not take {json}: {refusals:?}"));
        documented.insert(column_type.word().to_owned());
    }
    assert_eq!(documented, offered(&with_column("v.zzzzzzzzzzzz()"), NO_FUNCTIONS));
}

#[test]
fn every_modifier_is_what_the_table_says() {
    let rows = definition_md().section("Modifiers").rows();
    let mut documented = BTreeSet::new();
    for row in &rows {
        let [luau, document] = [0, 1].map(|cell| quoted(&row[cell])[0]);
        let (definition, _) = modelled(&with_column(luau), NO_FUNCTIONS);
        let column = serde_json::to_value(&definition.tables["things"].columns["c"]).unwrap();
        let expected: Value = serde_json::from_str(document).unwrap();
        assert_eq!(column, expected, "{luau}");
        let (_, method) = luau.rsplit_once(':').unwrap();
        documented.insert(method.split('(').next().unwrap().to_owned());
    }
    assert_eq!(documented, offered(&with_column("v.string():zzzzzzzzzzzz()"), NO_FUNCTIONS));
}

#[test]
fn every_rule_of_a_table_is_what_the_table_says() {
    let section = definition_md().section("Tables");
    let table = |after: &str| {
        format!("return defineSchema({{ t = defineTable({{ text = v.string(), score = v.integer() }}){after} }})")
    };
    let mut documented = BTreeSet::new();
    for row in section.rows().iter().filter(|row| row[0].starts_with("`:")) {
        let [luau, document] = [0, 1].map(|cell| quoted(&row[cell])[0]);
        let (definition, _) = modelled(&table(luau), NO_FUNCTIONS);
        let written = serde_json::to_value(&definition.tables["t"]).unwrap();
        let expected: Value = serde_json::from_str(&format!("{{{document}}}")).unwrap();
        for (member, value) in expected.as_object().unwrap() {
            assert_eq!(&written[member], value, "{luau}");
        }
        documented.insert(luau[1..].split('(').next().unwrap().to_owned());
    }
    assert_eq!(documented, offered(&table(":zzzzzzzzzzzz()"), NO_FUNCTIONS));
}

#[test]
fn the_example_of_tables_is_sound() {
    for block in definition_md().blocks("lua") {
        modelled(&block.text, NO_FUNCTIONS);
    }
}

/// The functions of docs/functions.md, over its one table.
fn documented_functions() -> (Model, Vec<(Block, Vec<Block>)>) {
    let mut examples: Vec<(Block, Vec<Block>)> = Vec::new();
    let mut schema = None;
    for block in functions_md().all_blocks() {
        match block.language.as_str() {
            "lua" if schema.is_none() => schema = Some(block.text),
            "lua" => examples.push((block, Vec::new())),
            "sql" => examples.last_mut().expect("SQL before the function it is of").1.push(block),
            _ => {}
        }
    }
    let functions: String = examples.iter().map(|(block, _)| block.text.as_str()).collect();
    let (_, model) = modelled(&schema.unwrap(), &format!("local functions = {{}}\n{functions}\nreturn functions"));
    (model, examples)
}

#[test]
fn functions_become_the_sql_that_is_shown() {
    let (model, examples) = documented_functions();
    let mut shown = 0;
    for (block, sql) in &examples {
        let (_, rest) = block.text.split_once("functions.").unwrap();
        let name = rest.split([' ', '=']).next().unwrap();
        let function: &Function = model.function(name).unwrap();
        let plan = compile(&model, function).unwrap();
        // Where the caller has to know a version there is no other statement to show.
        let guard = plan.guard.as_ref().filter(|guard| guard.argument.is_some());
        let statements = guard.map_or(plan.variants.as_slice(), |guard| std::slice::from_ref(&guard.statement));
        let statements = statements.iter().map(|statement| statement.sql.replace(&model.postgres_schema, "ext"));
        let written: BTreeSet<String> = statements.collect();
        let documented: BTreeSet<String> = sql.iter().map(|block| on_one_line(&block.text)).collect();
        if !sql.is_empty() {
            assert_eq!(documented, written, "docs/functions.md, line {}: `{name}`", block.line);
            shown += 1;
        }
    }
    assert!(shown >= 6, "each kind shows its SQL");
}

/// Line breaks are for the reader: SQL is compared without them.
fn on_one_line(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_kind_lists_its_options() {
    let document = functions_md();
    let positional = ["kind", "table", "id", "values"];
    let by_position = |kind: &str, option: &str| match option {
        "unique" => kind == "upsertRow",
        "filter" => kind == "patchRows" || kind == "deleteRows",
        _ => positional.contains(&option),
    };
    for (kind, call) in [
        ("queryRows", "queryRows(\"t\", { zzzzzzzzzzzz = 1 })"),
        ("getRow", "getRow(\"t\", arg(\"id\"), { zzzzzzzzzzzz = 1 })"),
        ("countRows", "countRows(\"t\", { zzzzzzzzzzzz = 1 })"),
        ("aggregateRows", "aggregateRows(\"t\", { zzzzzzzzzzzz = 1 })"),
        ("insertRow", "insertRow(\"t\", { c = 1 }, { zzzzzzzzzzzz = 1 })"),
        ("insertRows", "insertRows(\"t\", { c = 1 }, { zzzzzzzzzzzz = 1 })"),
        ("upsertRow", "upsertRow(\"t\", \"c\", { c = 1 }, { zzzzzzzzzzzz = 1 })"),
        ("patchRow", "patchRow(\"t\", arg(\"id\"), { c = 1 }, { zzzzzzzzzzzz = 1 })"),
        ("patchRows", "patchRows(\"t\", all(), { c = 1 }, { zzzzzzzzzzzz = 1 })"),
        ("deleteRows", "deleteRows(\"t\", all(), { zzzzzzzzzzzz = 1 })"),
        ("deleteRow", "deleteRow(\"t\", arg(\"id\"), { zzzzzzzzzzzz = 1 })"),
    ] {
        let schema = "return defineSchema({ t = defineTable({ c = v.integer() }) })";
        let mut options = offered(schema, &format!("return {{ f = {call} }}"));
        options.retain(|option| !by_position(kind, option));
        let section = document.section(kind);
        let line = section.text.lines().find(|line| line.starts_with("Options: ")).unwrap_or_default();
        let documented: BTreeSet<String> = quoted(line).into_iter().map(str::to_owned).collect();
        assert_eq!(documented, options, "{kind}");
    }
}
