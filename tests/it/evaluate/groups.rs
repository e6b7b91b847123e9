//! Groups of rows, and what is made of each, as an evaluator in memory has them.

use std::cmp::Ordering;

use rowgate::gateway::Worker;
use rowgate_schema_dsl::value::Typed;
use serde_json::{Map, Value, json};

use super::{Offered, Random, Row, Tenant, accepts, columns, evaluate, filter, order, typed};
use crate::support::gateway::TestGateway;

/// Members that may be selected: what is made of which column.
const SELECTABLE: [(&str, &str, &str); 17] = [
    ("count", "count", ""),
    ("count_s", "count", "s"),
    ("sum_n", "sum", "n"),
    ("sum_x", "sum", "x"),
    ("sum_d", "sum", "d"),
    ("avg_n", "avg", "n"),
    ("avg_d", "avg", "d"),
    ("min_n", "min", "n"),
    ("max_x", "max", "x"),
    ("min_x", "min", "x"),
    ("max_s", "max", "s"),
    ("min_s", "min", "s"),
    ("max_d", "max", "d"),
    ("min_at", "min", "at"),
    ("max_at", "max", "at"),
    ("max_day", "max", "day"),
    ("min_kind", "min", "kind"),
];

/// Whether conditions and orders are put on the member: rounding has no say in them.
fn is_exact(member: &str) -> bool {
    !member.starts_with("sum_") && !member.starts_with("avg_")
}

/// A random aggregateRows.
pub(super) fn aggregate(random: &mut Random) -> (Value, Offered) {
    let mut offered = Offered::new();
    let filter = filter(random, 1, &mut offered);
    let groups: Vec<&str> =
        columns().iter().map(|(name, ..)| *name).filter(|name| *name != "j" && random.below(6) == 0).collect();
    let mut select = Map::new();
    for (member, function, column) in SELECTABLE {
        if random.below(3) == 0 {
            let of = if column.is_empty() { json!(true) } else { json!(column) };
            select.insert(member.to_owned(), json!({ function: of }));
        }
    }
    if select.is_empty() && groups.is_empty() {
        select.insert("count".to_owned(), json!({ "count": true }));
    }
    let mut members: Vec<&str> = select.keys().map(String::as_str).filter(|member| is_exact(member)).collect();
    members.extend(&groups);
    let mut query =
        json!({ "kind": "aggregateRows", "table": "rows", "filter": filter, "groupBy": groups, "orderBy": [] });
    if groups.is_empty() {
        query.as_object_mut().unwrap().remove("groupBy");
    }
    if random.below(3) == 0 {
        query["own"] = json!(true);
    }
    let mut having = Vec::new();
    for member in &members {
        let is_ordered = !matches!(*member, "y" | "l");
        if random.below(4) == 0 {
            let values = match *member {
                "count" | "count_s" => vec![json!(0), json!(1), json!(3)],
                other => {
                    let column = other.trim_start_matches("min_").trim_start_matches("max_");
                    columns().into_iter().find(|(name, ..)| *name == column).unwrap().2
                }
            };
            let op = *random.pick(if is_ordered { &["=", "!=", "<", ">=", "in"] as &[&str] } else { &["=", "!="] });
            let values = if op == "in" { vec![json!([]), json!(values[..2])] } else { values };
            let value = if random.below(2) == 0 {
                random.pick(&values).clone()
            } else {
                let name = format!("a{}", offered.len());
                offered.push((name.clone(), values));
                json!({ "arg": name })
            };
            having.push(json!({ "column": member, "op": op, "value": value }));
        }
        if is_ordered && random.below(3) == 0 {
            let dir = *random.pick(&["asc", "desc"]);
            query["orderBy"].as_array_mut().unwrap().push(json!({ "column": member, "dir": dir }));
        }
    }
    if !having.is_empty() {
        query["having"] = json!({ *random.pick(&["all", "any"]): having });
    }
    if random.below(2) == 0 {
        query["limit"] = json!(random.below(5) + 1);
    }
    query["select"] = Value::Object(select);
    (query, offered)
}

/// What `function` makes of the rows' values of `column`.
fn made(function: &str, column: &str, rows: &[&Row]) -> Value {
    let given = || rows.iter().filter(|row| row.typed(column).is_some());
    // Exact for integers and decimals, whose values have two digits behind the point at most.
    let sum = || -> f64 {
        let hundredths = |row: &&Row| -> Option<i128> {
            match row.typed(column).unwrap() {
                Typed::Int8(number) => Some(i128::from(number) * 100),
                Typed::Numeric(digits) => {
                    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
                    Some(format!("{whole}{fraction:0<2}").parse().unwrap())
                }
                _ => None,
            }
        };
        match given().map(hundredths).sum::<Option<i128>>() {
            Some(hundredths) => hundredths as f64 / 100.0,
            None => {
                let number =
                    |row: &&Row| if let Typed::Float8(number) = row.typed(column).unwrap() { number } else { 0.0 };
                given().map(number).sum()
            }
        }
    };
    let by = |a: &&&Row, b: &&&Row| order(&a.typed(column).unwrap(), &b.typed(column).unwrap());
    let count = given().count();
    match function {
        "count" if column.is_empty() => json!(rows.len()),
        "count" => json!(count),
        _ if count == 0 => Value::Null,
        "sum" => json!(sum()),
        "avg" => json!(sum() / count as f64),
        "min" => given().min_by(by).unwrap().values[column].clone(),
        _ => given().max_by(by).unwrap().values[column].clone(),
    }
}

/// The groups that an aggregateRows answers with, in order.
fn expected_groups(query: &Value, rows: &[Row], user: &str, arguments: &Value) -> Vec<Row> {
    let groups: Vec<&str> =
        query["groupBy"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap()).collect();
    let same = |a: &Row, b: &Row| {
        groups.iter().all(|column| match (a.typed(column), b.typed(column)) {
            (Some(a), Some(b)) => order(&a, &b).is_eq(),
            (a, b) => a.is_none() && b.is_none(),
        })
    };
    let mut found: Vec<Vec<&Row>> = if groups.is_empty() { vec![Vec::new()] } else { Vec::new() };
    for row in rows.iter().filter(|row| accepts(query, row, user, arguments)) {
        match found.iter_mut().find(|group| group.first().is_none_or(|first| same(first, row))) {
            Some(group) => group.push(row),
            None => found.push(vec![row]),
        }
    }
    let mut answered: Vec<Row> = found
        .iter()
        .map(|rows| {
            let mut values = Map::new();
            for column in &groups {
                values.insert((*column).to_owned(), rows[0].values.get(*column).cloned().unwrap_or(Value::Null));
            }
            for (member, aggregate) in query["select"].as_object().unwrap() {
                let (function, column) = aggregate.as_object().unwrap().iter().next().unwrap();
                values.insert(member.clone(), made(function, column.as_str().unwrap_or_default(), rows));
            }
            Row { owner: "", answer: Value::Null, values }
        })
        .filter(|group| match query.get("having") {
            Some(having) => evaluate(having, group, arguments).unwrap_or(Some(true)) == Some(true),
            None => true,
        })
        .collect();
    let orders = query["orderBy"].as_array().unwrap();
    let mut by: Vec<(&str, bool)> =
        orders.iter().map(|each| (each["column"].as_str().unwrap(), each["dir"] == "desc")).collect();
    let last = by.last().is_some_and(|(_, descending)| *descending);
    by.extend(groups.iter().map(|column| (*column, last)));
    answered.sort_by(|a, b| {
        by.iter().fold(Ordering::Equal, |so_far, (column, descending)| {
            let next = match (a.typed(column), b.typed(column)) {
                (Some(a), Some(b)) => order(&a, &b),
                (a, b) => a.is_none().cmp(&b.is_none()),
            };
            so_far.then(if *descending { next.reverse() } else { next })
        })
    });
    answered.truncate(query["limit"].as_u64().unwrap_or(1_000) as usize);
    answered
}

/// Whether an answered group is the expected one: sums to the digits that a double keeps.
fn is_group(answer: &Value, expected: &Row) -> bool {
    let members = answer.as_object().unwrap();
    members.keys().eq(expected.values.keys())
        && members.iter().all(|(member, value)| match (value, &expected.values[member]) {
            (Value::Null, expected) => expected.is_null(),
            (_, Value::Null) => false,
            (value, expected) if is_exact(member) => {
                order(&typed(member, value).unwrap(), &typed(member, expected).unwrap()).is_eq()
            }
            (value, expected) => {
                let value = value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap());
                let expected = expected.as_f64().unwrap();
                (value - expected).abs() <= 1e-12 * expected.abs() + 1e-12
            }
        })
}

pub(super) async fn groups_are_as_expected(
    test: &TestGateway,
    worker: &Worker,
    tenant: &Tenant,
    function: &str,
    query: &Value,
    arguments: &Value,
) {
    let answer = tenant.call(test, worker, function, arguments).await.unwrap();
    let user = tenant.identity.user_id.as_deref().unwrap_or_default();
    let expected = expected_groups(query, &tenant.rows, user, arguments);
    let groups = answer.as_array().unwrap();
    let are_same = groups.len() == expected.len()
        && groups.iter().zip(&expected).all(|(group, expected)| is_group(group, expected));
    let expected: Vec<&Map<String, Value>> = expected.iter().map(|row| &row.values).collect();
    assert!(are_same, "{query} {arguments}\n{answer}\n{expected:?}");
}
