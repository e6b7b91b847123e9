//! `rowgate explain`: one function as it was declared, as it is run, and what it costs.

use std::path::{Path, PathBuf};

use clap::Args;
use rowgate_schema_dsl::definition::HandlerKind;
use rowgate_schema_dsl::diagnostic::{nearest, pointer_to};
use rowgate_schema_dsl::function::Handler;
use rowgate_schema_dsl::value::Typed;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::cli::bundle::{Loaded, load, must_be_folder};
use crate::cli::output::{self, Style};
use crate::cli::state::{self, DATA_DIR};
use crate::cli::{Failed, database, read_config};
use crate::config;
use crate::db::embedded::{Cluster, Durability, Options};
use crate::deploy::certify::{Certified, certify, refusals};
use crate::plan::Plan;
use crate::plan::compile::compile;
use crate::plan::cost::Bound;
use crate::plan::cost::tree::lines;
use crate::plan::statement::{Binding, Statement};
use crate::script::operation::{operations_of, phrase};

/// What is printed is read at this width.
const WIDTH: usize = 100;
/// Of more statements than these, only the first, the last and those without bound are printed.
const STATEMENTS_SHOWN_MAX: usize = 4;

/// Print a function's definition, its SQL, Postgres's plan of it and what bounds it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  rowgate explain listNotes my-extension
  rowgate explain listNotes my-extension --json | jq .statements[].sql

Nothing is deployed: the plans are those of a hollow copy of the tables, rolled back, in the database
of DATABASE_URL, else in that of the running `rowgate dev`, else in a throw-away server.")]
pub(super) struct Explain {
    /// The function's name
    #[arg(value_name = "FUNCTION")]
    function: String,
    /// The bundle's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Print every statement, also where there are many alike
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Where `rowgate dev` keeps its things
    #[arg(long, value_name = "D", env = "ROWGATE_DATA_DIR", default_value = DATA_DIR)]
    data_dir: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE", env = "ROWGATE_CONFIG")]
    config: Option<PathBuf>,
}

pub(super) async fn run(options: &Explain) -> Result<(), Failed> {
    must_be_folder(&options.folder)?;
    let config = read_config(options.config.as_deref())?;
    let mut loaded = match load(&options.folder) {
        Ok(loaded) => loaded,
        Err(diagnostics) => {
            output::note(&output::complaints(&diagnostics, Style::of_stderr()));
            return Err(Failed::Said);
        }
    };
    if let Some(handler) = loaded.model.handlers.iter().find(|handler| handler.name == *options.function) {
        return if options.json {
            output::result(&serde_json::to_string_pretty(&handler_document(&loaded, handler))?)
        } else {
            output::result(&handler_page(&loaded, handler)?)
        };
    }
    only(&mut loaded, &options.function)?;
    let (mut client, cluster) = planner(&config.database, &options.data_dir).await?;
    let certified = certify(&mut client, &loaded.model).await;
    drop(client);
    if let Some(cluster) = cluster {
        // Its data are nothing; the supervisor ends it when this process is gone.
        if let Err(error) = cluster.stop().await {
            tracing::debug!(%error, "the throw-away server was not waited for");
        }
    }
    let certified = certified?;
    let (Some(function), Some(certified)) = (loaded.model.functions.first(), certified.first()) else {
        return Err(Failed::Because("the function has no certificate".to_owned()));
    };
    let plan = compile(&loaded.model, function)?;
    if options.json {
        output::result(&serde_json::to_string_pretty(&document(&loaded, &plan, certified)?)?)
    } else {
        output::result(&page(&loaded, &plan, certified, options.all)?)
    }
}

/// Leaves the one function in the model.
fn only(loaded: &mut Loaded, name: &str) -> Result<(), Failed> {
    if loaded.model.function(name).is_none() {
        let declared = loaded.model.functions.iter().map(|function| function.name.as_str());
        let near = nearest(name, declared.chain(loaded.model.handlers.iter().map(|handler| handler.name.as_str())));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(Failed::Usage(format!("there is no function `{name}` in the bundle{hint}")));
    }
    loaded.model.functions.retain(|function| function.name == *name);
    Ok(())
}

/// What is known of a handler, for programs: its statements are what it asks when it runs.
fn handler_document(loaded: &Loaded, handler: &Handler) -> Value {
    let name = handler.name.as_str();
    json!({
        "function": name,
        "place": loaded.source_map.locate(&pointer_to("/handlers", name)),
        "definition": loaded.definition.handlers.get(name),
        "ctx": operations_of(handler.kind).map(|operation| operation.name).collect::<Vec<_>>(),
        "statements": [],
    })
}

/// The same for people.
fn handler_page(loaded: &Loaded, handler: &Handler) -> Result<String, Failed> {
    let (style, name) = (Style::of_stdout(), handler.name.as_str());
    let place = loaded.source_map.locate(&pointer_to("/handlers", name));
    let place = place.map_or_else(String::new, |place| format!("  {}", style.faint(&place.to_string())));
    let definition = serde_json::to_value(loaded.definition.handlers.get(name))?;
    let runs = match handler.kind {
        HandlerKind::Query => "in one transaction that sees one state and changes nothing",
        HandlerKind::Mutation => "in one serializable transaction; again where another undid it",
        HandlerKind::Action => "in no transaction of its own; what it runs has one each",
    };
    let members: Vec<String> = operations_of(handler.kind).map(|has| format!("ctx.{}", has.name)).collect();
    let members = wrapped(&members.join(", "), WIDTH - 2).join("\n");
    Ok(format!(
        "{}{place}\n\n{}\n{} written in Luau, run {runs}\n{}\n{}\n{}",
        style.strong(name),
        indented(&wrapped_json(&definition)),
        phrase(handler.kind),
        "its statements are what it asks of ctx.db as it runs; each answers at most 1,000 rows",
        style.strong("ctx"),
        indented(&members),
    ))
}

/// A database that plans: the given one, that of a running `rowgate dev`, or one of its own.
async fn planner(settings: &config::Database, data_dir: &Path) -> Result<(Client, Option<Cluster>), Failed> {
    if settings.url.is_some() {
        return Ok((database::connect(settings).await?, None));
    }
    let at = |url: String| config::Database { url: Some(url), ..settings.clone() };
    if let Some(running) = state::read_running(data_dir)?
        && let Ok(client) = database::connect(&at(running.database_url)).await
    {
        return Ok((client, None));
    }
    let directory = std::env::temp_dir().join(format!("rowgate-explain-{}", std::process::id()));
    let cluster = Cluster::start(Options { durability: Durability::ThrowAway, ..Options::new(directory) }).await?;
    Ok((database::connect(&at(cluster.url())).await?, Some(cluster)))
}

/// Everything for programs.
fn document(loaded: &Loaded, plan: &Plan, certified: &Certified) -> Result<Value, Failed> {
    let name = &certified.certificate.function;
    let mut complaints = refusals(&loaded.model, std::slice::from_ref(certified), &Default::default());
    loaded.source_map.place(&mut complaints);
    let mut statements = Vec::new();
    for ((statement, cost), node) in plan.statements().zip(&certified.certificate.statements).zip(&certified.plans) {
        statements.push(json!({
            "step": cost.step,
            "given": cost.given,
            "sql": statement.sql,
            "parameters": parameters(loaded, cost.step.as_deref(), statement),
            "plan": node,
            "reads": cost.reads,
            "sorts": cost.sorts,
            "excesses": cost.excesses,
            "embedded_excesses": cost.embedded_excesses,
        }));
    }
    Ok(json!({
        "function": name,
        "place": loaded.source_map.locate(&pointer_to("/functions", name)),
        "definition": loaded.definition.functions.get(name),
        "statements": statements,
        "diagnostics": complaints,
    }))
}

/// Everything for people.
fn page(loaded: &Loaded, plan: &Plan, certified: &Certified, all: bool) -> Result<String, Failed> {
    let style = Style::of_stdout();
    let name = &certified.certificate.function;
    let place = loaded.source_map.locate(&pointer_to("/functions", name));
    let place = place.map_or_else(String::new, |place| format!("  {}", style.faint(&place.to_string())));
    let mut text = format!("{}{place}\n\n", style.strong(name));
    let definition = loaded.definition.functions.get(name);
    text.push_str(&indented(&wrapped_json(&serde_json::to_value(definition)?)));
    let count = plan.statements().count();
    let mut left_out = 0;
    for (number, ((statement, cost), node)) in
        plan.statements().zip(&certified.certificate.statements).zip(&certified.plans).enumerate()
    {
        let is_end = number == 0 || number + 1 == count;
        if count > STATEMENTS_SHOWN_MAX && !all && !is_end && cost.is_bounded() {
            left_out += 1;
            continue;
        }
        let which = match (count, cost.given.as_slice()) {
            (1, _) => "every call".to_owned(),
            (_, []) if plan.guard.is_some() => "called without a version".to_owned(),
            (_, []) => "called without its optional arguments".to_owned(),
            (_, given) => format!("called with {}", given.join(", ")),
        };
        let which = match &cost.step {
            Some(step) if cost.given.is_empty() => format!("step `{step}`"),
            Some(step) => format!("step `{step}`, {which}"),
            None => which,
        };
        let label = format!("statement {} of {count}: {which}", number + 1);
        text.push_str(&format!("\n{}\n", style.strong(&wrapped(&label, WIDTH).join("\n"))));
        text.push_str(&indented(&wrapped_sql(&statement.sql)));
        for (index, parameter) in parameters(loaded, cost.step.as_deref(), statement).iter().enumerate() {
            text.push_str(&style.faint(&format!("  ${} {parameter}\n", index + 1)));
        }
        text.push_str("\n  plan\n");
        let tree = lines(node).into_iter().flat_map(|line| wrapped(&line, WIDTH - 4)).collect::<Vec<_>>();
        text.push_str(&indented(&indented(&tree.join("\n"))));
        text.push_str("\n  certificate\n");
        for read in &cost.reads {
            let walks = match (read.filters, &read.bound) {
                (true, Bound::Limit { .. }) => ", past those the filter refuses",
                (true, _) => ", and the filter refuses some of them",
                (false, _) => "",
            };
            let of = read.embedded.as_ref().map_or_else(String::new, |member| format!("for `{member}` of each row, "));
            text.push_str(&format!("    reads {}: {of}{}{walks}\n", read.table, read.bound));
        }
        if cost.reads.is_empty() {
            text.push_str("    reads no table\n");
        }
        text.push_str(if cost.sorts { "    sorts what it reads\n" } else { "    sorts nothing\n" });
    }
    if left_out > 0 {
        text.push_str(&format!("\n{left_out} statements more, each bounded; --all prints them\n"));
    }
    let mut complaints = refusals(&loaded.model, std::slice::from_ref(certified), &Default::default());
    loaded.source_map.place(&mut complaints);
    text.push('\n');
    let unbounded = certified.certificate.statements.iter().any(|statement| !statement.is_bounded());
    text.push_str(&match (complaints.as_slice(), unbounded) {
        ([], false) => format!("{}\n", style.good("bounded")),
        ([], true) => "not bounded, and accepted by `scan = \"allowed\"`\n".to_owned(),
        (complaints, _) => format!("{}\n", output::complaints(complaints, style)),
    });
    Ok(text)
}

/// What each parameter of the statement is bound to.
fn parameters(loaded: &Loaded, step: Option<&str>, statement: &Statement) -> Vec<String> {
    let function = loaded.model.functions.first();
    let steps = function.map_or(&[][..], |function| function.body.steps());
    let step = step.and_then(|name| steps.iter().find(|step| step.name == *name));
    let asking = step.map(|step| &step.function).or(function);
    let arguments = asking.map(|function| match function.body.rows() {
        Some(rows) => rows.members.as_slice(),
        None => function.arguments.as_slice(),
    });
    let arguments = arguments.unwrap_or_default();
    let argument = |place: &usize| {
        arguments
            .get(*place)
            .map_or_else(|| "an argument".to_owned(), |argument| format!("argument `{}`", argument.name))
    };
    statement
        .bindings
        .iter()
        .map(|binding| match binding {
            Binding::Scope => "the caller's scope".to_owned(),
            Binding::NewId => "a new id".to_owned(),
            Binding::Argument(place) => argument(place),
            Binding::ArgumentOr(place, _) => format!("{}, or the column's default", argument(place)),
            Binding::Pattern { argument: place, .. } => format!("the pattern made of {}", argument(place)),
            Binding::Element { argument: place, .. } => format!("the list of {} alone", argument(place)),
            Binding::Given(place) => format!("whether {} is given", argument(place)),
            Binding::RowIds => "a new id for each row".to_owned(),
            Binding::Rows { place, or: Typed::Null, .. } => format!("{} of each row", argument(place)),
            Binding::Rows { place, .. } => format!("{} of each row, or the column's default", argument(place)),
            Binding::RowsGiven(place) => format!("whether {} is given, for each row", argument(place)),
            Binding::RowIdsGiven(place) => format!("the new ids of the rows with {}", argument(place)),
            Binding::Identity { field, .. } => format!("the caller's {}", field.as_str()),
            Binding::Literal(_) => "the author's literal".to_owned(),
            Binding::Cursor(key) => format!("column {} of the order in the cursor's row", key + 1),
            Binding::Version(place) => place.as_ref().map_or_else(
                || "the version in `If-Match`".to_owned(),
                |place| format!("the version in `If-Match`, or {}", argument(place)),
            ),
            Binding::Row { step, column } => match steps.get(*step) {
                Some(step) => format!("`{column}` of the row of step `{}`", step.name),
                None => format!("`{column}` of an earlier step's row"),
            },
            Binding::PageRows => "one row more than the page has".to_owned(),
        })
        .collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") }).collect()
}

/// Each clause on a line of its own, and no line longer than people read.
fn wrapped_sql(sql: &str) -> String {
    let clauses =
        [" FROM ", " WHERE ", " ORDER BY ", " LIMIT ", " OFFSET ", " SET ", " VALUES ", " RETURNING ", " GROUP BY "];
    let mut text = sql.to_owned();
    for clause in clauses {
        text = text.replace(clause, &format!("\n{}", clause.trim_start()));
    }
    text.lines().flat_map(|line| wrapped(line, WIDTH - 2)).collect::<Vec<_>>().join("\n")
}

/// JSON on one line where it fits, else a line for each member.
fn wrapped_json(value: &Value) -> String {
    let line = value.to_string();
    match value {
        Value::Object(members) if line.len() > WIDTH - 2 => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            let members = members.join(",\n");
            let members = members.lines().flat_map(|member| wrapped(member, WIDTH - 6)).collect::<Vec<_>>().join("\n");
            format!("{{\n{}}}", indented(&members))
        }
        _ => line,
    }
}

/// Breaks a line at spaces and commas; what follows is set in by four more.
fn wrapped(line: &str, width: usize) -> Vec<String> {
    let margin = line.len() - line.trim_start().len();
    let (mut lines, mut current) = (Vec::new(), " ".repeat(margin));
    let mut empty = true;
    for word in line.trim_start().split_inclusive([' ', ',']) {
        if !empty && current.chars().count() + word.trim_end().chars().count() > width {
            lines.push(current.trim_end().to_owned());
            current = " ".repeat(margin + 4);
        }
        current.push_str(word);
        empty = false;
    }
    lines.push(current.trim_end().to_owned());
    lines
}
