//! docs/definition.md and docs/functions.md against the reader, the checker and the compiler.

use std::collections::BTreeSet;

use rowgate::deploy::notation::luau::{self, LuauFiles, Source};
use rowgate::plan::Plan;
use rowgate::plan::compile::compile;
use rowgate_schema_dsl::check::check;
use rowgate_schema_dsl::column_type::Storage;
use rowgate_schema_dsl::ddl::build;
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

/// The statements that make a definition's tables, of the functions that triggers run the head alone.
fn tables_of(schema: &str) -> Vec<String> {
    let (_, model) = modelled(schema, NO_FUNCTIONS);
    let plan = build(&model);
    let heads = plan.statements().map(|sql| match sql.split_once(" AS $") {
        Some((head, _)) if head.starts_with("CREATE FUNCTION") => head,
        _ => sql,
    });
    heads
        .map(|sql| on_one_line(&sql.replace(&model.postgres_schema, "ext")))
        .filter(|sql| !sql.starts_with("CREATE SCHEMA"))
        .collect()
}

/// What `statements` say more than `fewer`: what stands within a table of the same name, then whole statements.
fn more(statements: &[String], fewer: &[String]) -> Vec<String> {
    let body =
        |sql: &str| sql.starts_with("CREATE TABLE").then(|| sql.split_once(" ( ").unwrap_or_default().0.to_owned());
    let mut more = Vec::new();
    for sql in statements.iter().filter(|sql| !fewer.contains(sql)) {
        let same = fewer.iter().find(|other| body(sql).is_some() && body(other) == body(sql));
        more.push(same.map_or_else(|| sql.clone(), |other| between(sql, other)));
    }
    more
}

/// What stands in `long` where `short` goes on: that which was put into it, without the commas around it.
fn between(long: &str, short: &str) -> String {
    let ahead = long.bytes().zip(short.bytes()).take_while(|(long, short)| long == short).count();
    // Both go on with a quoted name: what was put in begins where the name does.
    let ahead = long[..ahead].rfind(", ").map_or(0, |comma| comma + 2);
    let behind = short.len() - ahead;
    assert_eq!(&long[long.len() - behind..], &short[ahead..], "{long}");
    long[ahead..long.len() - behind].trim_end_matches(", ").to_owned()
}

/// Each row of a section: what is written, and the SQL that it says this becomes.
fn shown_as_sql(section: &str) -> Vec<(String, Vec<String>)> {
    let rows = definition_md().section(section).rows();
    let spans = |cell: &str| quoted(cell).into_iter().map(str::to_owned).collect::<Vec<_>>();
    rows.iter().map(|row| (spans(&row[0])[0].clone(), spans(&row[1]))).collect()
}

/// What the first cells of a section's table are.
fn written_in(section: &str) -> Vec<String> {
    let rows = definition_md().section(section).rows();
    rows.iter().map(|row| quoted(&row[0])[0].to_owned()).collect()
}

#[test]
fn types_and_modifiers_become_the_sql_that_is_shown() {
    let beside = |column: &str| with_column(column).replace("{ c =", "{ d = v.json():optional(), c =");
    let fewer = tables_of(&with_column("v.json():optional()").replace("{ c =", "{ d ="));
    for (section, of) in [("Types as SQL", "Types"), ("Modifiers as SQL", "Modifiers")] {
        let becomes = |luau: String| (more(&tables_of(&beside(&luau)), &fewer), luau);
        let expected: Vec<_> = written_in(of).into_iter().map(becomes).map(|(sql, luau)| (luau, sql)).collect();
        assert_eq!(shown_as_sql(section), expected, "{section}");
    }
}

#[test]
fn rules_of_tables_become_the_sql_that_is_shown() {
    let table = |after: &str| {
        tables_of(&format!(
            "return defineSchema({{ t = defineTable({{ text = v.string(), score = v.integer() }}){after} }})"
        ))
    };
    let fewer = table("");
    let rules = written_in("Tables").into_iter().filter(|written| written.starts_with(':'));
    let expected: Vec<_> = rules.map(|rule| (rule.clone(), more(&table(&rule), &fewer))).collect();
    assert_eq!(shown_as_sql("Rules of tables as SQL"), expected);
}

#[test]
fn tables_become_the_sql_that_is_shown() {
    let section = definition_md().section("Tables");
    let shown: Vec<String> = section.blocks("sql").iter().map(|block| on_one_line(&block.text)).collect();
    let written = tables_of(&section.blocks("lua")[0].text);
    assert_eq!(shown, written);
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
        let shown_of = |plan: &Plan| -> Vec<String> {
            let guard = plan.guard.as_ref().filter(|guard| guard.argument.is_some());
            let statements = guard.map_or(plan.variants.as_slice(), |guard| std::slice::from_ref(&guard.statement));
            statements.iter().map(|statement| statement.sql.replace(&model.postgres_schema, "ext")).collect()
        };
        let of_steps = plan.steps.iter().flat_map(|step| shown_of(&step.plan));
        let written: BTreeSet<String> = shown_of(&plan).into_iter().chain(of_steps).collect();
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
fn operators_become_the_sql_that_is_shown() {
    let schema = "return defineSchema({ t = defineTable({ text = v.string():optional(), score = v.integer(), \
                  tags = v.array(v.string()), shape = v.json() }) })";
    let rows = functions_md().section("Filters as SQL").rows();
    let documented: Vec<[&str; 2]> = rows.iter().map(|row| [0, 1].map(|cell| quoted(&row[cell])[0])).collect();
    let becomes = |condition: &str| {
        let function = format!("return {{ f = queryRows(\"t\", {{ filter = {condition}, limit = 1 }}) }}");
        let (_, model) = modelled(schema, &function);
        let plan = compile(&model, model.function("f").unwrap()).unwrap();
        let (_, after) = plan.variants[0].sql.split_once("\"scope_key\" = $1 AND ").unwrap();
        after.split_once(" ORDER BY").unwrap().0.to_owned()
    };
    let written: Vec<String> = documented.iter().map(|[condition, _]| becomes(condition)).collect();
    assert_eq!(documented.iter().map(|[_, sql]| *sql).collect::<Vec<_>>(), written);
    // The column, the operator, and what else stands in quotes.
    let shown: BTreeSet<&str> =
        documented.iter().flat_map(|[condition, _]| condition.split('"').skip(3).step_by(2)).collect();
    let operators = functions_md().section("Filters").rows();
    for row in operators.iter().filter(|row| row[0].starts_with('`') && !row[0].contains('(')) {
        for operator in quoted(&row[0]) {
            assert!(shown.contains(operator), "no row of \"Filters as SQL\" has `{operator}`");
        }
    }
}

#[test]
fn every_kind_lists_its_options() {
    let document = functions_md();
    let positional = ["kind", "table", "id", "values", "steps"];
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
        ("transaction", "transaction({ step(\"a\", deleteRow(\"t\", arg(\"id\"))) }, { zzzzzzzzzzzz = 1 })"),
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
