//! What a scrape tells, against what is written of it: the list of metrics, the alerts, and the
//! dashboard ask for nothing that a gateway does not tell, and it tells nothing that is not listed.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use rowgate::config::{LimitMode, Quota};
use rowgate::error::Code;
use rowgate_schema_dsl::definition::Role;
use serde_json::{Value, json};

use crate::docs::markdown::{Document, quoted};
use crate::docs::root;
use crate::support::gateway::{TestGateway, answer, document};

/// A page of metrics as a scraper reads it.
struct Scrape {
    text: String,
    /// By name of the family.
    kinds: BTreeMap<String, String>,
    /// Every label and its values, by name of the sample.
    samples: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
}

fn written() -> Value {
    let id = json!({ "kind": "getRow", "table": "notes", "id": { "arg": "id" } });
    let mut document = document(
        json!({ "notes": { "columns": { "text": { "type": "string" } }, "rows": 100 } }),
        json!({
            "add": { "kind": "insertRow", "table": "notes", "values": { "text": { "arg": "text" } } },
            "list": { "kind": "queryRows", "table": "notes", "limit": 10 },
            "get": id,
            "again": id,
        }),
    );
    document["handlers"] = json!({
        "count": { "kind": "query" }, "spin": { "kind": "query" },
        "reach": { "kind": "action" }, "change": { "kind": "mutation" },
    });
    let source = "return {
        count = query({ handler = function(ctx) return ctx.db.count('notes') end }),
        spin = query({ handler = function() while true do end end }),
        change = mutation({ handler = function() return 2 end }),
        reach = action({ handler = function(ctx) return (pcall(ctx.fetch, 'https://nobody.example/')) end }),
    }";
    document["sources"] = json!({ "functions": source });
    document
}

/// A gateway that was called, has refused and has failed a bit, and what it tells then.
async fn scraped() -> (TestGateway, Scrape) {
    let test = TestGateway::with(&written(), |config| {
        config.limits.mode = LimitMode::Enforce;
        config.limits.caller.query_rows = Quota { per_minute: 1, burst: Some(5) };
        config.metrics.functions_max = 7;
        config.script.query.cpu_ms_max = 20;
    })
    .await;
    test.call("add", json!({ "text": "a" })).await.ok();
    test.call("add", json!({})).await.problem();
    test.call("get", json!({ "id": "0190a5c8-0000-7000-8000-000000000000" })).await.problem();
    for _ in 0..5 {
        test.call("list", json!({})).await;
    }
    assert_eq!(test.call("list", json!({})).await.problem().0, 429);
    test.call_as(Role::Anonymous, "add", json!({ "text": "a" })).await.problem();
    test.call("nothing", json!({})).await.problem();
    answer(test.http.post(test.url("list"))).await.problem();
    assert_eq!(test.call("count", json!({})).await.ok(), json!(1));
    assert_eq!(test.call("change", json!({})).await.ok(), json!(2));
    test.call("spin", json!({})).await.problem();
    assert_eq!(test.call("reach", json!({})).await.ok(), json!(false));
    scrape(&test).await;
    // As many functions as may have series of their own.
    test.call("again", json!({})).await.problem();
    let scrape = scrape(&test).await;
    (test, scrape)
}

async fn scrape(test: &TestGateway) -> Scrape {
    let page = answer(test.http.get(format!("http://{}/metrics", test.server.admin_address))).await;
    assert_eq!(page.status, 200);
    let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::<_, BTreeMap<_, BTreeSet<_>>>::new());
    let label = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).unwrap();
    for line in page.text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kinds.insert(name.to_owned(), kind.to_owned()), None, "{name} is told of twice");
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let of_name = samples.entry(name.to_owned()).or_default();
            for found in label.captures_iter(labels) {
                of_name.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
            }
        }
    }
    Scrape { text: page.text, kinds, samples }
}

impl Scrape {
    /// The samples' names of a family.
    fn of<'a>(&'a self, family: &'a str) -> impl Iterator<Item = (&'a String, &'a BTreeMap<String, BTreeSet<String>>)> {
        let ends = ["", "_bucket", "_sum", "_count"];
        self.samples.iter().filter(move |(name, _)| ends.iter().any(|end| **name == format!("{family}{end}")))
    }

    fn value(&self, sample: &str) -> f64 {
        let line = self.text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in\n{}", self.text)).parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_is_listed_and_every_listed_one_is_told() {
    let (test, scrape) = scraped().await;
    let mut told = BTreeSet::new();
    for (name, kind) in &scrape.kinds {
        assert!(scrape.of(name).next().is_some(), "{name} has no sample");
        told.insert(format!("{name}: {kind}"));
        for label in scrape.of(name).flat_map(|(_, labels)| labels.keys()).filter(|label| *label != "le") {
            told.insert(format!("{name}: {label}"));
        }
    }
    let mut listed = BTreeSet::new();
    for row in Document::read(&root().join("docs/metrics.md")).rows() {
        for name in quoted(&row[0]) {
            listed.insert(format!("{name}: {}", row[1]));
            listed.extend(quoted(&row[2]).into_iter().map(|label| format!("{name}: {label}")));
        }
    }
    assert_eq!(listed, told);
    let (install, user) = (test.install.id.to_string(), "user-owner");
    assert!(!scrape.text.contains(&install) && !scrape.text.contains(user), "{}", scrape.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_is_counted() {
    let (test, scrape) = scraped().await;
    let of = |function: &str, kind: &str| {
        format!("extension=\"{}\",function=\"{function}\",kind=\"{kind}\"", test.extension_id)
    };
    let (add, spin, reach) = (of("add", "insertRow"), of("spin", "query"), of("reach", "action"));
    let calls = |of: &str, code: &str, status: u16| {
        scrape.value(&format!("rowgate_calls_total{{{of},code=\"{code}\",status=\"{status}\"}}"))
    };
    assert_eq!((calls(&add, "ok", 200), calls(&add, "arguments_invalid", 422)), (1.0, 1.0));
    assert_eq!(calls(&add, "access_denied", 403), 1.0);
    assert_eq!(scrape.value(&format!("rowgate_call_duration_seconds_count{{{add}}}")), 3.0);
    assert_eq!(calls(&spin, "script_cpu_exceeded", 504), 1.0);
    assert!(scrape.value(&format!("rowgate_script_cpu_seconds_total{{{spin}}}")) >= 0.02);
    assert_eq!(scrape.value("rowgate_script_terminations_total{reason=\"processor_time\"}"), 1.0);
    assert_eq!(scrape.value("rowgate_script_terminations_total{reason=\"memory\"}"), 0.0);
    assert_eq!(scrape.value("rowgate_script_memory_bytes_count{kind=\"query\"}"), 2.0);
    assert_eq!(calls(&reach, "ok", 200), 1.0);
    assert!(scrape.samples["rowgate_fetches_total"]["code"].len() == 1, "{}", scrape.text);
    let decided = |decision: &str, layer: &str| {
        let labels = format!("class=\"query_rows\",decision=\"{decision}\",layer=\"{layer}\"");
        scrape.value(&format!("rowgate_limit_decisions_total{{{labels}}}"))
    };
    // `get`, four times `list`; two of those behind them, and `again`.
    assert_eq!((decided("allowed", "all"), decided("refused", "caller")), (5.0, 3.0));
    assert_eq!(scrape.value("rowgate_refused_total{code=\"function_unknown\",status=\"404\"}"), 1.0);
    assert_eq!(scrape.value("rowgate_refused_total{code=\"token_missing\",status=\"401\"}"), 1.0);
    let again = "rowgate_calls_total{extension=\"other\",function=\"other\",kind=\"getRow\",code=\"quota_exceeded\",status=\"429\"}";
    assert_eq!(scrape.value(again), 1.0);
    assert_eq!(scrape.value("rowgate_statements_prepared_total{pool=\"write\"}"), 1.0);
    assert_eq!(scrape.value("rowgate_statements_kept{pool=\"write\"}"), 1.0);
    assert!(scrape.value("rowgate_statement_hits_total{pool=\"read\"}") >= 2.0);
    assert_eq!(scrape.value("rowgate_registry_revision"), 1.0);
    assert!(scrape.value("rowgate_registry_age_seconds") < 60.0);
    assert!(scrape.value("process_resident_memory_bytes") > 1e6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_and_dashboard_ask_for_what_is_told() {
    let (_test, scrape) = scraped().await;
    let alerts = std::fs::read_to_string(root().join("docs/operations/alerts.yaml")).unwrap();
    let mut queries: Vec<String> =
        alerts.lines().filter_map(|line| Some(line.trim().strip_prefix("expr: ")?.to_owned())).collect();
    assert_eq!(queries.len(), alerts.matches("- alert: ").count());
    let dashboard = std::fs::read_to_string(root().join("docs/operations/dashboard.json")).unwrap();
    let before = queries.len();
    gather(&serde_json::from_str(&dashboard).unwrap(), &mut queries);
    assert!(queries.len() > before + 30, "{queries:?}");
    let mut wrong = Vec::new();
    for query in &queries {
        if let Err(reason) = judge(query, &scrape) {
            wrong.push(format!("{query}\n    {reason}"));
        }
    }
    assert!(wrong.is_empty(), "{}\n\n{}", wrong.join("\n"), scrape.text);
    // The judge sees what is wrong.
    for query in [
        "sum(rate(rowgate_calls[5m]))",
        "rowgate_calls_total{install=\"a\"}",
        "rowgate_calls_total{code=\"okay\"}",
        "rowgate_calls_total{status=~\"6..\"}",
        "rowgate_calls_total{kind=~\"getRow|getRows\"}",
        "sum by (install) (rowgate_calls_total)",
        "rate(rowgate_calls_total[5m]",
        "sum(rowgate_calls_total{code=\"ok\")",
    ] {
        assert!(judge(query, &scrape).is_err(), "{query}");
    }
}

/// Every query in a dashboard.
fn gather(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "expr" || name == "definition" => queries.push(text.to_owned()),
                    _ => gather(value, queries),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| gather(value, queries)),
        _ => {}
    }
}

/// Whether each metric, label and value that `query` names is among what is told.
fn judge(query: &str, scrape: &Scrape) -> Result<(), String> {
    // Prometheus' own, of every target.
    let of_targets = ["instance", "job"];
    let token = Regex::new(
        r#"^(?:\s+|"(?:[^"\\]|\\.)*"|\[[0-9a-z$_:]+\]|[A-Za-z_:][\w:]*|[0-9.]+|[=!<>]=|=~|!~|[-+*/%<>=(){},])"#,
    )
    .unwrap();
    let (mut tokens, mut rest) = (Vec::new(), query);
    while let Some(found) = token.find(rest) {
        if !found.as_str().trim().is_empty() {
            tokens.push(found.as_str());
        }
        rest = &rest[found.end()..];
    }
    if !rest.is_empty() {
        return Err(format!("cannot be read from `{rest}`"));
    }
    let mut open = Vec::new();
    for token in &tokens {
        match *token {
            "(" | "{" => open.push(*token),
            ")" if open.pop() != Some("(") => return Err("a `)` too many".to_owned()),
            "}" if open.pop() != Some("{") => return Err("a `}` too many".to_owned()),
            _ => {}
        }
    }
    if !open.is_empty() {
        return Err("something is not closed".to_owned());
    }
    let (mut known, mut grouped, mut at) = (BTreeSet::from(["le"]), Vec::<&str>::new(), 0);
    known.extend(of_targets);
    while at < tokens.len() {
        let token = tokens[at];
        let next = tokens.get(at + 1).copied().unwrap_or_default();
        at += 1;
        // What stands between the `(` that comes next and its `)`.
        let inside: Vec<&str> = tokens.iter().skip(at + 1).take_while(|token| **token != ")").copied().collect();
        match token {
            "by" | "without" | "on" | "ignoring" | "group_left" | "group_right" => {
                grouped.extend(inside.iter().filter(|token| **token != ","));
                at += 1 + inside.len();
            }
            "label_values" => {
                let [metric, ",", label] = inside[..] else { return Err("label_values".to_owned()) };
                at += 1 + inside.len();
                let has = scrape.samples.get(metric).is_some_and(|labels| labels.contains_key(label));
                if !(has || scrape.samples.contains_key(metric) && of_targets.contains(&label)) {
                    return Err(format!("`{metric}` with a label `{label}` is not told"));
                }
            }
            "and" | "or" | "unless" | "bool" | "offset" => {}
            name if name.starts_with(|c: char| c.is_ascii_alphabetic()) && !["(", "by", "without"].contains(&next) => {
                let labels = scrape.samples.get(name);
                if labels.is_none() && name != "up" {
                    return Err(format!("`{name}` is not told"));
                }
                known.extend(labels.into_iter().flat_map(BTreeMap::keys).map(String::as_str));
                if next != "{" {
                    continue;
                }
                at += 1;
                while tokens[at] != "}" {
                    let [label, is, value] = tokens[at..at + 3] else { return Err("a matcher".to_owned()) };
                    at += 3 + usize::from(tokens[at + 3] == ",");
                    if of_targets.contains(&label) || value.contains('$') {
                        continue;
                    }
                    let values =
                        labels.and_then(|labels| labels.get(label)).ok_or(format!("`{name}` has no `{label}`"))?;
                    matches(label, is, value.trim_matches('"'), values)?;
                }
            }
            _ => {}
        }
    }
    match grouped.iter().find(|label| !known.contains(**label)) {
        Some(label) => Err(format!("nothing in it has a label `{label}`")),
        None => Ok(()),
    }
}

/// Whether there may be what a label is compared with; a gateway has a code before it is seen.
fn matches(label: &str, is: &str, value: &str, values: &BTreeSet<String>) -> Result<(), String> {
    let mut values: BTreeSet<String> = values.clone();
    for code in Code::ALL {
        match label {
            "code" => drop(values.insert(code.as_str().to_owned())),
            "status" => drop(values.insert(rowgate::problem::status(code).0.as_str().to_owned())),
            _ => {}
        }
    }
    let one_of = |is_one: &dyn Fn(&str) -> bool| values.iter().any(|value| is_one(value));
    let found = match is {
        "=" | "!=" => one_of(&|has| has == value),
        "=~" | "!~" => value.split('|').all(|each| {
            let each = Regex::new(&format!("^(?:{each})$")).unwrap();
            one_of(&|has| each.is_match(has))
        }),
        _ => return Err(format!("`{is}` compares no label")),
    };
    if found { Ok(()) } else { Err(format!("`{label}` is never `{value}`, but {values:?}")) }
}
