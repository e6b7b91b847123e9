//! Queries of random filters over random rows of two installs answer as an evaluator in memory
//! does, and neither install sees, counts, changes or deletes a row of the other.
//!
//! Text is ordered by its bytes: the servers that the gateway starts have such a collation, and
//! one that was given to it should have it too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod expand;
mod groups;

use std::cmp::Ordering;
use std::time::Duration;

use rowgate::auth::Identity;
use rowgate::db::connect::Connector;
use rowgate::error::Code;
use rowgate::gateway::{Call, Worker};
use rowgate::record;
use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::Role;
use rowgate_schema_dsl::function::OPTIONAL_ARGUMENTS_MAX;
use rowgate_schema_dsl::value::{self, Typed, compare_decimals};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::groups::{aggregate, groups_are_as_expected};
use crate::support::gateway::{TestGateway, deploy, document};

/// Functions deployed together; each is called thrice.
const BATCH: usize = 100;

/// A column, its validator, and the values that rows and filters take for it.
fn columns() -> Vec<(&'static str, Value, Vec<Value>)> {
    let (a, b) = ("0190a5c8-7d3a-7c4e-9b1f-2f6d8e4a1b3c", "ffffffff-7d3a-7c4e-9b1f-2f6d8e4a1b3c");
    vec![
        (
            "n",
            json!({ "type": "integer" }),
            vec![json!(0), json!(-1), json!(7), json!(i64::MAX), json!(i64::MIN), json!((1_i64 << 53) + 1)],
        ),
        (
            "x",
            json!({ "type": "number" }),
            vec![json!(0), json!(-0.0), json!(0.1), json!(-5), json!(1e300), json!(5e-324)],
        ),
        (
            "s",
            json!({ "type": "string" }),
            ["", "a", "A", "é", "z", "𝄞", "\u{ffff}", "it's", "a b", "_", "\\"].map(Value::from).to_vec(),
        ),
        (
            "d",
            json!({ "type": "decimal" }),
            ["0", "-0.50", "9", "10", "9.5", "9.50", "100000000000000000000000.1"].map(Value::from).to_vec(),
        ),
        ("t", json!({ "type": "boolean" }), vec![json!(true), json!(false)]),
        (
            "at",
            json!({ "type": "timestamp" }),
            [
                "0001-01-01T00:00:00Z",
                "2024-02-29T12:00:00.000001Z",
                "2024-02-29T13:00:00.000001+01:00",
                "9999-12-30T21:00:00Z",
            ]
            .map(Value::from)
            .to_vec(),
        ),
        ("day", json!({ "type": "date" }), ["0001-01-01", "2024-02-29", "9999-12-31"].map(Value::from).to_vec()),
        ("u", json!({ "type": "uuid" }), vec![json!(a), json!(b)]),
        (
            "kind",
            json!({ "type": "enum", "values": ["fun", "it's", "Z"] }),
            ["fun", "it's", "Z"].map(Value::from).to_vec(),
        ),
        ("y", json!({ "type": "bytes" }), ["", "AA==", "AP8="].map(Value::from).to_vec()),
        (
            "l",
            json!({ "type": "array", "items": { "type": "decimal" } }),
            vec![json!([]), json!(["1"]), json!(["1.0", "2"])],
        ),
        (
            "j",
            json!({ "type": "json" }),
            [r#"{"a":1,"b":["x"]}"#, r#"["x",{"a":1},[2]]"#, "\"x\"", "7", "{}", r#"{"a":{"a":null}}"#]
                .map(|text| serde_json::from_str(text).unwrap())
                .to_vec(),
        ),
    ]
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % count as u64) as usize
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// What one function may be called with: its arguments and their possible values.
type Offered = Vec<(String, Vec<Value>)>;

/// A random filter; its arguments are offered with values.
fn filter(random: &mut Random, depth: usize, offered: &mut Offered) -> Value {
    let parts = |random: &mut Random, offered: &mut Offered| -> Vec<Value> {
        (0..random.below(4)).map(|_| filter(random, depth + 1, offered)).collect()
    };
    match random.below(if depth < 3 { 6 } else { 3 }) {
        3 => json!({ "all": parts(random, offered) }),
        4 => json!({ "any": parts(random, offered) }),
        5 => json!({ "negate": filter(random, depth + 1, offered) }),
        _ => {
            let all = columns();
            let (column, validator, values) = random.pick(&all);
            let operators: &[&str] = match *column {
                "l" => &["=", "!=", "contains", "isNull"],
                "y" => &["=", "!=", "in", "isNull"],
                "j" => &["contains", "isNull"],
                "s" => &["=", "<", ">=", "in", "like", "ilike", "startsWith", "contains", "isNull"],
                _ => &["=", "!=", "<", "<=", ">", ">=", "in", "isNull"],
            };
            let op = *random.pick(operators);
            let lists = [json!([]), json!([values[0]]), json!([values[1], values[0], values[1]])];
            let texts = |texts: &[&str]| -> Vec<Value> { texts.iter().copied().map(Value::from).collect() };
            let (validator, values) = match (*column, op) {
                (_, "in") => (json!({ "type": "array", "items": validator, "max": 1000 }), lists.to_vec()),
                (_, "isNull") => (json!({ "type": "boolean" }), vec![json!(true), json!(false)]),
                (_, "like" | "ilike") => (
                    validator.clone(),
                    texts(&[
                        "", "%", "_", "a%", "%B", "a_b", "\\_", "%\\\\", "\\A", "%É%", "I%'S", "__%", "%𝄞", "%%a%%",
                    ]),
                ),
                ("s", "startsWith" | "contains") => {
                    (validator.clone(), texts(&["", "a", "%", "_", "\\", "t'", "it", "é", "b", "a%"]))
                }
                ("l", "contains") => (json!({ "type": "decimal" }), texts(&["1", "1.00", "2", "3"])),
                ("j", _) => (
                    validator.clone(),
                    [
                        r#"{"a":1}"#,
                        r#"["x"]"#,
                        "\"x\"",
                        "7",
                        "{}",
                        "[]",
                        r#"[{}]"#,
                        r#"{"b":[]}"#,
                        r#"{"a":{}}"#,
                        "[[]]",
                    ]
                    .map(|text| serde_json::from_str(text).unwrap())
                    .to_vec(),
                ),
                (_, _) => (validator.clone(), values.clone()),
            };
            let value = if random.below(2) == 0 {
                let value = random.pick(&values).clone();
                if value.is_object() { json!({ "literal": value }) } else { value }
            } else {
                let name = format!("a{}", offered.len());
                let is_optional = offered.len() < 6 && random.below(2) == 0;
                let mut operand = json!({ "arg": name });
                if is_optional {
                    operand["validator"] = validator;
                    operand["validator"]["optional"] = json!(true);
                }
                let absent = is_optional.then_some(Value::Null);
                offered.push((name, values.iter().cloned().chain(absent).collect()));
                operand
            };
            json!({ "column": column, "op": op, "value": value })
        }
    }
}

/// A row in memory: whose it is, its answer, and its values by the column's name.
struct Row {
    owner: &'static str,
    answer: Value,
    values: Map<String, Value>,
}

impl Row {
    fn id(&self) -> &str {
        self.answer["id"].as_str().unwrap()
    }

    fn typed(&self, column: &str) -> Option<Typed> {
        typed(column, self.values.get(column)?)
    }
}

fn column_type(column: &str) -> ColumnType {
    use ColumnType as T;
    match column.strip_prefix("min_").or(column.strip_prefix("max_")).unwrap_or(column) {
        "count" | "count_s" => T::Integer { min: None, max: None },
        "n" => T::Integer { min: None, max: None },
        "x" => T::Number { min: None, max: None },
        "d" => T::Decimal { min: None, max: None },
        "t" => T::Boolean,
        "at" => T::Timestamp,
        "day" => T::Date,
        "u" => T::Uuid,
        "y" => T::Bytes { min: None, max: None },
        "j" => T::Json,
        "l" => T::Array { items: Box::new(column_type("d")), min: None, max: None },
        _ => T::String { min: None, max: None, pattern: None },
    }
}

fn typed(column: &str, value: &Value) -> Option<Typed> {
    (!value.is_null()).then(|| value::parse(&column_type(column), &value.to_string()).unwrap())
}

fn order(a: &Typed, b: &Typed) -> Ordering {
    match (a, b) {
        (Typed::Numeric(a), Typed::Numeric(b)) => compare_decimals(a, b),
        (Typed::Int8(a), Typed::Int8(b)) | (Typed::Timestamptz(a), Typed::Timestamptz(b)) => a.cmp(b),
        (Typed::Float8(a), Typed::Float8(b)) => a.partial_cmp(b).unwrap(),
        (Typed::Text(a), Typed::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Typed::Bool(a), Typed::Bool(b)) => a.cmp(b),
        (Typed::Date(a), Typed::Date(b)) => a.cmp(b),
        (Typed::Uuid(a), Typed::Uuid(b)) => a.cmp(b),
        (Typed::Bytea(a), Typed::Bytea(b)) => a.cmp(b),
        (Typed::Array(_, a), Typed::Array(_, b)) => {
            let pairs = a.iter().zip(b).map(|(a, b)| order(a, b));
            pairs.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        _ => unreachable!("{a:?} {b:?}"),
    }
}

/// Whether the filter accepts the row; unknown as in SQL; nothing where the arguments leave
/// nothing of it.
fn evaluate(filter: &Value, row: &Row, arguments: &Value) -> Option<Option<bool>> {
    let group = |parts: &Value, decides: bool| {
        let parts = parts.as_array().unwrap();
        let left: Vec<Option<bool>> = parts.iter().filter_map(|part| evaluate(part, row, arguments)).collect();
        if left.is_empty() && !parts.is_empty() {
            None
        } else if left.contains(&Some(decides)) {
            Some(Some(decides))
        } else {
            Some(if left.contains(&None) { None } else { Some(!decides) })
        }
    };
    if let Some(parts) = filter.get("all") {
        return group(parts, false);
    } else if let Some(parts) = filter.get("any") {
        return group(parts, true);
    } else if let Some(part) = filter.get("negate") {
        return evaluate(part, row, arguments).map(|truth| truth.map(|truth| !truth));
    }
    let (column, op) = (filter["column"].as_str().unwrap(), filter["op"].as_str().unwrap());
    let right = match filter["value"].get("arg") {
        Some(name) => arguments.get(name.as_str().unwrap()).filter(|value| !value.is_null())?,
        None => filter["value"].get("literal").unwrap_or(&filter["value"]),
    };
    if op == "isNull" {
        return Some(Some(row.typed(column).is_none() == right.as_bool().unwrap()));
    }
    let Some(left) = row.typed(column) else {
        // Nothing is equal to one of none, not even null.
        return Some((op == "in" && right == &json!([])).then_some(false));
    };
    let matches = |pattern: &str| {
        let Typed::Text(text) = &left else { unreachable!("{left:?}") };
        like(&text.chars().collect::<Vec<char>>(), &pattern.chars().collect::<Vec<char>>())
    };
    let in_lower_case = |right: &Value| right.as_str().unwrap().to_ascii_lowercase();
    let compare = |right: &Value| order(&left, &typed(column, right).unwrap());
    Some(Some(match op {
        "=" => compare(right).is_eq(),
        "!=" => compare(right).is_ne(),
        "<" => compare(right).is_lt(),
        "<=" => compare(right).is_le(),
        ">" => compare(right).is_gt(),
        ">=" => compare(right).is_ge(),
        "like" => matches(right.as_str().unwrap()),
        "ilike" => {
            let Typed::Text(text) = &left else { unreachable!("{left:?}") };
            let lower: Vec<char> = text.to_ascii_lowercase().chars().collect();
            like(&lower, &in_lower_case(right).chars().collect::<Vec<char>>())
        }
        "startsWith" => row.values[column].as_str().unwrap().starts_with(right.as_str().unwrap()),
        "contains" => match &left {
            Typed::Text(text) => text.contains(right.as_str().unwrap()),
            Typed::Array(_, elements) => {
                elements.iter().any(|element| order(element, &typed("d", right).unwrap()).is_eq())
            }
            _ => has_part(&row.values[column], right, true),
        },
        _ => right.as_array().unwrap().iter().any(|right| compare(right).is_eq()),
    }))
}

/// Whether a pattern of `like` accepts the text.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', c, rest @ ..] | [c, rest @ ..] => text.first() == Some(c) && like(&text[1..], rest),
    }
}

/// Whether `part` is in `whole`: an object has each member's part, an array has for each element
/// one that has it, and at the top an array has a single value.
fn has_part(whole: &Value, part: &Value, at_the_top: bool) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, part)| whole.get(name).is_some_and(|whole| has_part(whole, part, false)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            part.iter().all(|part| whole.iter().any(|whole| has_part(whole, part, false)))
        }
        (Value::Array(whole), part) if at_the_top && !part.is_object() => whole.contains(part),
        (whole, part) => whole == part,
    }
}

/// Whether the row is among those that a query or a count is about.
fn accepts(query: &Value, row: &Row, user: &str, arguments: &Value) -> bool {
    let is_reached = query["own"] != true || row.owner == user;
    is_reached && evaluate(&query["filter"], row, arguments).unwrap_or(Some(true)) == Some(true)
}

/// The ids that a query answers with, in order.
fn expected<'a>(query: &Value, rows: &'a [Row], user: &str, arguments: &Value) -> Vec<&'a str> {
    let number = |member: &str, otherwise: usize| match &query[member] {
        Value::Null => otherwise,
        Value::Object(operand) => arguments[operand["arg"].as_str().unwrap()].as_u64().unwrap() as usize,
        literal => literal.as_u64().unwrap() as usize,
    };
    let accepted = |row: &&Row| accepts(query, row, user, arguments);
    let mut rows: Vec<&Row> = rows.iter().filter(accepted).collect();
    let orders = query["orderBy"].as_array().unwrap();
    rows.sort_by(|a, b| {
        let mut by = Ordering::Equal;
        let mut last = false;
        for each in orders {
            let column = each["column"].as_str().unwrap();
            last = each["dir"] == "desc";
            let next = match (a.typed(column), b.typed(column)) {
                (Some(a), Some(b)) => order(&a, &b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            };
            by = by.then(if last { next.reverse() } else { next });
        }
        let next = a.id().cmp(b.id());
        by.then(if last { next.reverse() } else { next })
    });
    rows.iter().skip(number("offset", 0)).take(number("limit", 1_000)).map(|row| row.id()).collect()
}

fn query(random: &mut Random) -> (Value, Offered) {
    let mut offered = Offered::new();
    let mut query =
        json!({ "kind": "queryRows", "table": "rows", "filter": filter(random, 0, &mut offered), "orderBy": [] });
    if random.below(3) == 0 {
        query["own"] = json!(true);
    }
    for (column, ..) in columns() {
        if !matches!(column, "y" | "l" | "j") && random.below(5) == 0 {
            let dir = *random.pick(&["asc", "desc"]);
            query["orderBy"].as_array_mut().unwrap().push(json!({ "column": column, "dir": dir }));
        }
    }
    // Every third answers pages, which begin at no offset; each column may be null.
    let dropped = offered.iter().filter(|(_, values)| values.contains(&Value::Null)).count();
    let ordered = query["orderBy"].as_array().map_or(0, Vec::len);
    let paged = random.below(3) == 0 && dropped + ordered <= OPTIONAL_ARGUMENTS_MAX;
    if paged {
        query["page"] = json!(true);
        // Each column here may be null, and doubles the statements as an optional argument does.
        let left_out = offered.iter().filter(|(_, values)| values.contains(&Value::Null)).count();
        query["orderBy"].as_array_mut().unwrap().truncate(OPTIONAL_ARGUMENTS_MAX.saturating_sub(left_out));
    }
    if random.below(2) == 0 {
        let mut fields = vec![json!("id")];
        fields.extend(columns().iter().filter(|_| random.below(3) == 0).map(|(name, ..)| json!(name)));
        query["fields"] = json!(fields);
    }
    for member in ["limit", "offset"] {
        if paged {
            // The limit of each is asked for below.
            query["limit"] = json!({ "arg": "limit" });
            break;
        }
        match random.below(3) {
            0 => query[member] = json!(random.below(12) + 1),
            1 => {
                query[member] = json!({ "arg": member });
                offered.push((member.to_owned(), [0, 1, 5, 100].map(Value::from).to_vec()));
            }
            _ => {}
        }
    }
    (query, offered)
}

/// The table and what is always there, with `more` functions.
fn definition(more: Map<String, Value>) -> Value {
    let optional = |validator: &Value| {
        let mut validator = validator.clone();
        validator["optional"] = json!(true);
        validator
    };
    let all: Map<String, Value> =
        columns().iter().map(|(name, validator, _)| ((*name).to_owned(), optional(validator))).collect();
    let values: Map<String, Value> =
        columns().iter().map(|(name, ..)| ((*name).to_owned(), json!({ "arg": name }))).collect();
    let mut functions = json!({
        "add": { "kind": "insertRow", "table": "rows", "values": values },
        "get": { "kind": "getRow", "table": "rows", "id": { "arg": "id" } },
        "all": { "kind": "queryRows", "table": "rows" },
        "count": { "kind": "countRows", "table": "rows" },
        "patch": { "kind": "patchRow", "table": "rows", "id": { "arg": "id" }, "values": { "s": { "arg": "s" } } },
        "getOwn": { "kind": "getRow", "table": "rows", "own": true, "id": { "arg": "id" } },
        "patchOwn": { "kind": "patchRow", "table": "rows", "own": true, "id": { "arg": "id" }, "values": { "s": { "arg": "s" } } },
        "removeOwn": { "kind": "deleteRow", "table": "rows", "own": true, "id": { "arg": "id" } },
        "remove": { "kind": "deleteRow", "table": "rows", "id": { "arg": "id" } },
    });
    functions.as_object_mut().unwrap().extend(more);
    let (parts, add_part) = expand::parts();
    functions["addPart"] = add_part;
    document(json!({ "rows": { "columns": all, "owned": true }, "parts": parts }), functions)
}

/// Those who insert and ask.
const USERS: [&str; 2] = ["ann", "bob"];

/// An install with its rows, called by one of its users.
struct Tenant {
    id: Uuid,
    identity: Identity,
    rows: Vec<Row>,
    /// Answers of what refers to them, each with its owner.
    parts: Vec<(&'static str, Value)>,
}

impl Tenant {
    fn new(id: Uuid) -> Tenant {
        let mut identity = Identity::anonymous(std::net::IpAddr::from([127, 0, 0, 1]));
        (identity.install_id, identity.role) = (Some(id), Role::Owner);
        Tenant { id, identity, rows: Vec::new(), parts: Vec::new() }
    }

    fn becomes(&mut self, user: &'static str) {
        self.identity.user_id = Some(user.into());
    }

    async fn call(
        &self,
        test: &TestGateway,
        worker: &Worker,
        function: &str,
        arguments: &Value,
    ) -> Result<Value, Code> {
        let arguments = arguments.to_string();
        let call = Call::new(self.id, function, &self.identity, arguments.as_bytes());
        match test.server.gateway.call(worker, call).await.result {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap()),
            Err(failure) => {
                assert!(failure.code != Code::Internal, "{failure} {:?}", failure.log);
                Err(failure.code)
            }
        }
    }
}

/// All pages of a function as one answer, read forwards and, page by page the same, back again.
async fn pages(
    tenant: &Tenant,
    test: &TestGateway,
    worker: &Worker,
    function: &str,
    arguments: &Value,
    limit: usize,
) -> Value {
    let mut arguments = arguments.clone();
    arguments["limit"] = json!(limit);
    let mut read = Vec::new();
    loop {
        let page = tenant.call(test, worker, function, &arguments).await.unwrap();
        let count = page["rows"].as_array().unwrap().len();
        assert!(count <= limit && (count == limit || page["cursor"].is_null()), "{page}");
        assert_eq!(page["previous"].is_null(), read.is_empty(), "{page}");
        arguments["cursor"] = page["cursor"].clone();
        read.push(page);
        if arguments["cursor"].is_null() {
            break;
        }
    }
    for pair in read.windows(2).rev() {
        arguments["cursor"] = pair[1]["previous"].clone();
        let back = tenant.call(test, worker, function, &arguments).await.unwrap();
        assert_eq!(back, pair[0], "{arguments}");
    }
    read.iter().flat_map(|page| page["rows"].as_array().unwrap().clone()).collect()
}

/// Each row of `answer` has the values it was inserted with, in the columns the query answers.
fn are_as_inserted(tenant: &Tenant, query: &Value, answer: &Value) {
    for row in answer.as_array().unwrap() {
        let known = tenant.rows.iter().find(|known| known.answer["id"] == row["id"]).unwrap();
        let mut known = known.answer.as_object().unwrap().clone();
        if let Some(fields) = query["fields"].as_array() {
            known.retain(|name, _| fields.iter().any(|field| field == name));
        }
        assert_eq!(Some(&known), row.as_object(), "it is not what was inserted");
    }
}

/// One of the possible values for each argument.
fn arguments(random: &mut Random, offered: &Offered) -> Value {
    offered.iter().map(|(name, values)| (name.clone(), random.pick(values).clone())).collect::<Map<_, _>>().into()
}

/// Every row is read, patched and deleted by each of the two; only its own install can.
async fn rows_are_their_own_installs(test: &TestGateway, worker: &Worker, tenants: &[Tenant; 2]) {
    for (caller, owner) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
        let caller = &tenants[caller];
        for row in &tenants[owner].rows {
            let id = json!({ "id": row.id() });
            let patch = json!({ "id": row.id(), "s": "patched" });
            let (got, patched) =
                (caller.call(test, worker, "get", &id).await, caller.call(test, worker, "patch", &patch).await);
            if caller.id == tenants[owner].id {
                assert_eq!(got.as_ref(), Ok(&row.answer));
                let patched = patched.unwrap();
                assert_eq!(
                    (&patched["s"], &patched["version"], &patched["n"]),
                    (&json!("patched"), &json!(2), &row.answer["n"])
                );
                assert_eq!(caller.call(test, worker, "remove", &id).await, Ok(id));
            } else {
                assert_eq!((got, patched), (Err(Code::RowNotFound), Err(Code::RowNotFound)));
                assert_eq!(caller.call(test, worker, "remove", &id).await, Err(Code::RowNotFound));
            }
        }
        let left = tenants[owner].call(test, worker, "count", &json!({})).await;
        assert_eq!(left, Ok(json!(if caller.id == tenants[owner].id { 0 } else { 30 })));
    }
}

/// Random rows of random users.
async fn fill(random: &mut Random, test: &TestGateway, worker: &Worker, tenant: &mut Tenant) {
    for _ in 0..30 {
        let mut values = Map::new();
        for (name, _, choices) in columns() {
            if random.below(4) > 0 {
                values.insert(name.to_owned(), random.pick(&choices).clone());
            }
        }
        let owner = *random.pick(&USERS);
        tenant.becomes(owner);
        let answer = tenant.call(test, worker, "add", &Value::Object(values.clone())).await.unwrap();
        tenant.rows.push(Row { owner, answer, values });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_answer_as_an_evaluator_in_memory() {
    let cases = std::env::var("ROWGATE_CASES").map_or(200, |cases| cases.parse().unwrap());
    let seed =
        std::env::var("ROWGATE_SEED").map_or_else(|_| Uuid::now_v7().as_u64_pair().1, |seed| seed.parse().unwrap());
    println!("ROWGATE_SEED={seed}");
    let mut random = Random(seed);
    let test = TestGateway::new(&definition(Map::new())).await;
    let other = record::Install { id: Uuid::now_v7(), ..test.install.clone() };
    record::insert_install(&test.database.client().await, &other).await.unwrap();
    test.server.reload().await.unwrap();
    let gateway = &test.server.gateway;
    let worker = Worker::open(&Connector::new(&gateway.config.database).unwrap(), gateway);
    while !worker.is_ready() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut tenants = [Tenant::new(test.install.id), Tenant::new(other.id)];

    for tenant in &mut tenants {
        fill(&mut random, &test, &worker, tenant).await;
        expand::fill(&mut random, &test, &worker, tenant).await;
    }

    for _ in 0..usize::div_ceil(cases, BATCH) {
        let queries: Vec<(Value, Offered)> = (0..BATCH).map(|_| query(&mut random)).collect();
        let aggregates: Vec<(Value, Offered)> = (0..BATCH).map(|_| aggregate(&mut random)).collect();
        let expanding = |index| (format!("e{index}"), expand::expanding(&mut random));
        let expansions: Vec<(String, Value)> = (0..BATCH / 4).map(expanding).collect();
        let mut functions: Map<String, Value> = expansions.iter().cloned().collect();
        for (index, (query, _)) in aggregates.iter().enumerate() {
            functions.insert(format!("g{index}"), query.clone());
        }
        for (index, (query, _)) in queries.iter().enumerate() {
            functions.insert(format!("q{index}"), query.clone());
            functions.insert(
                format!("c{index}"),
                json!({ "kind": "countRows", "table": "rows", "filter": query["filter"], "own": query["own"] == true }),
            );
        }
        deploy(&test.database, &definition(functions)).await.unwrap();
        test.server.reload().await.unwrap();
        for (name, function) in &expansions {
            for tenant in &mut tenants {
                expand::are_as_expected(&mut random, &test, &worker, tenant, (name, function)).await;
            }
        }
        for (index, (query, offered)) in aggregates.iter().enumerate() {
            for _ in 0..2 {
                let tenant = &mut tenants[random.below(2)];
                let user = *random.pick(&USERS);
                tenant.becomes(user);
                groups_are_as_expected(
                    &test,
                    &worker,
                    tenant,
                    &format!("g{index}"),
                    query,
                    &arguments(&mut random, offered),
                )
                .await;
            }
        }
        for (index, (query, offered)) in queries.iter().enumerate() {
            for _ in 0..3 {
                let tenant = random.below(2);
                let user = *random.pick(&USERS);
                tenants[tenant].becomes(user);
                let tenant = &tenants[tenant];
                let mut arguments = arguments(&mut random, offered);
                let mut counted = arguments.clone();
                counted.as_object_mut().unwrap().retain(|name, _| name.starts_with('a'));
                let answer = if query["page"] == true {
                    let limit = [1, 2, 7, 100][random.below(4)];
                    let whole = pages(tenant, &test, &worker, &format!("q{index}"), &arguments, limit).await;
                    arguments["limit"] = json!(1_000);
                    whole
                } else {
                    tenant.call(&test, &worker, &format!("q{index}"), &arguments).await.unwrap()
                };
                let ids: Vec<&str> = answer.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
                assert_eq!(
                    ids,
                    expected(query, &tenant.rows, user, &arguments),
                    "ROWGATE_SEED={seed} {query} {arguments}"
                );
                are_as_inserted(tenant, query, &answer);
                let accepts = |row: &&Row| accepts(query, row, user, &counted);
                let count = tenant.call(&test, &worker, &format!("c{index}"), &counted).await.unwrap();
                assert_eq!(
                    count,
                    json!(tenant.rows.iter().filter(accepts).count()),
                    "ROWGATE_SEED={seed} {query} {counted}"
                );
            }
        }
    }

    own_reaches_no_row_of_another_user(&mut tenants, &test, &worker).await;
    rows_are_their_own_installs(&test, &worker, &tenants).await;
    test.server.stop().await;
}

/// With `own` nobody reads, patches or deletes the row of another user of the install.
async fn own_reaches_no_row_of_another_user(tenants: &mut [Tenant], test: &TestGateway, worker: &Worker) {
    for tenant in tenants {
        for index in 0..tenant.rows.len() {
            let row = &tenant.rows[index];
            let other = *USERS.iter().find(|user| **user != row.owner).unwrap();
            let (id, owner) = (json!({ "id": row.id() }), row.owner);
            tenant.becomes(other);
            for (function, arguments) in [
                ("getOwn", id.clone()),
                ("patchOwn", json!({ "id": id["id"], "s": "taken" })),
                ("removeOwn", id.clone()),
            ] {
                assert_eq!(tenant.call(test, worker, function, &arguments).await, Err(Code::RowNotFound), "{function}");
            }
            tenant.becomes(owner);
            assert_eq!(tenant.call(test, worker, "getOwn", &id).await.as_ref(), Ok(&tenant.rows[index].answer));
        }
    }
}
