//! Rows within rows, as an evaluator in memory has them.

use std::cmp::Ordering;

use rowgate::gateway::Worker;
use serde_json::{Map, Value, json};

use super::{Random, Tenant, USERS, pages};
use crate::support::gateway::TestGateway;

/// The table whose rows refer to those of `rows` and to one another, and the function that inserts.
pub(super) fn parts() -> (Value, Value) {
    let reference = |table: &str| json!({ "type": "id", "table": table, "optional": true, "onDelete": "cascade" });
    let columns =
        json!({ "of": reference("rows"), "next_id": reference("parts"), "n": { "type": "integer", "optional": true } });
    let values = json!({ "of": { "arg": "of" }, "next_id": { "arg": "next" }, "n": { "arg": "n" } });
    (json!({ "columns": columns, "owned": true }), json!({ "kind": "insertRow", "table": "parts", "values": values }))
}

/// Fills `parts` of the tenant.
pub(super) async fn fill(random: &mut Random, test: &TestGateway, worker: &Worker, tenant: &mut Tenant) {
    for _ in 0..60 {
        let mut part = json!({ "n": random.pick(&[Value::Null, json!(1), json!(2), json!(3)]) });
        if random.below(5) > 0 {
            // Few rows have many parts, and some have none.
            part["of"] = json!(tenant.rows[random.below(10)].id());
        }
        if random.below(2) == 0 && !tenant.parts.is_empty() {
            part["next"] = random.pick(&tenant.parts).1["id"].clone();
        }
        let owner = *random.pick(&USERS);
        tenant.becomes(owner);
        let answer = tenant.call(test, worker, "addPart", &part).await.unwrap();
        tenant.parts.push((owner, answer));
    }
}

/// A random function that embeds.
pub(super) fn expanding(random: &mut Random) -> Value {
    let table = *random.pick(&["rows", "parts"]);
    let mut expand = Map::new();
    let fields = |random: &mut Random, one: &mut Value, all: &[&str]| {
        if random.below(2) == 0 {
            let mut fields: Vec<&str> = all.iter().copied().filter(|_| random.below(2) == 0).collect();
            fields.push("version");
            one["fields"] = json!(fields);
        }
    };
    for (column, target) in [("of", "rows"), ("next_id", "parts")] {
        if table == "parts" && random.below(2) == 0 {
            let mut one = json!({});
            fields(random, &mut one, if target == "rows" { &["id", "d", "at", "l", "j"] } else { &["n", "of", "id"] });
            if random.below(2) == 0 {
                one["as"] = json!(format!("{column}2"));
            }
            expand.insert(column.to_owned(), one);
        }
    }
    for number in 0..=random.below(3) {
        let by = if table == "rows" { "of" } else { "next_id" };
        let mut list = json!({ "table": "parts", "by": by, "limit": 1 + random.below(5) });
        fields(random, &mut list, &["n", "of", "next_id", "id"]);
        if random.below(2) == 0 {
            list["orderBy"] = json!([{ "column": "n", "dir": *random.pick(&["asc", "desc"]) }]);
        }
        expand.insert(format!("list{number}"), list);
    }
    let mut function = json!({ "table": table, "expand": expand, "own": random.below(3) == 0 });
    match random.below(3) {
        0 => {
            function["kind"] = json!("getRow");
            function["id"] = json!({ "arg": "id" });
        }
        1 => {
            function["kind"] = json!("queryRows");
            function["limit"] = json!({ "arg": "limit" });
            function["page"] = json!(true);
        }
        _ => {
            function["kind"] = json!("queryRows");
            function["limit"] = json!(1000);
        }
    }
    function
}

/// What `function` answers has within each row what the evaluator finds.
pub(super) async fn are_as_expected(
    random: &mut Random,
    test: &TestGateway,
    worker: &Worker,
    tenant: &mut Tenant,
    (name, function): (&str, &Value),
) {
    let user = *random.pick(&USERS);
    tenant.becomes(user);
    // What the function reaches: with `own` the user's rows, whichever way.
    let reaches = |(owner, _): &(&str, &Value)| function["own"] != true || *owner == user;
    let of_rows: Vec<&Value> =
        tenant.rows.iter().map(|row| (row.owner, &row.answer)).filter(reaches).map(|(_, row)| row).collect();
    let of_parts: Vec<&Value> =
        tenant.parts.iter().map(|(owner, part)| (*owner, part)).filter(reaches).map(|(_, part)| part).collect();
    let rows = if function["table"] == "rows" { &of_rows } else { &of_parts };
    let answer = if function["kind"] == "getRow" {
        let id = random.pick(rows)["id"].clone();
        json!([tenant.call(test, worker, name, &json!({ "id": id })).await.unwrap()])
    } else if function["page"] == true {
        let limit = 1 + random.below(40);
        pages(tenant, test, worker, name, &json!({}), limit).await
    } else {
        tenant.call(test, worker, name, &json!({})).await.unwrap()
    };
    let answer = answer.as_array().unwrap();
    assert!(function["kind"] == "getRow" || answer.len() == rows.len(), "{function}");
    for row in answer {
        let known = rows.iter().find(|known| known["id"] == row["id"]).unwrap();
        let mut expected = known.as_object().unwrap().clone();
        for (key, one) in function["expand"].as_object().unwrap() {
            let (member, value) = embedded((&of_rows, &of_parts), known, key, one);
            expected.insert(member, value);
        }
        assert_eq!(row.as_object().unwrap(), &expected, "{function}");
    }
}

/// The member that `one` of an `expand` is answered as, and its value.
fn embedded((rows, parts): (&[&Value], &[&Value]), row: &Value, key: &str, one: &Value) -> (String, Value) {
    let shown = |row: &Value| {
        let mut row = row.as_object().unwrap().clone();
        if let Some(fields) = one["fields"].as_array() {
            row.retain(|name, _| fields.iter().any(|field| field == name));
        }
        Value::Object(row)
    };
    if one.get("table").is_none() {
        let own = if key == "next_id" { "next" } else { "ofRow" };
        let member = one["as"].as_str().unwrap_or(own).to_owned();
        let mut all = rows.iter().chain(parts);
        return (member, all.find(|other| other["id"] == row[key]).map_or(Value::Null, |row| shown(row)));
    }
    let by = one["by"].as_str().unwrap();
    let mut list: Vec<&Value> = parts.iter().copied().filter(|part| part[by] == row["id"]).collect();
    let order = &one["orderBy"][0];
    list.sort_by(|a, b| {
        let id = a["id"].as_str().cmp(&b["id"].as_str());
        let of = |part: &Value| part["n"].as_i64().unwrap_or(i64::MAX);
        let by = if order.is_null() { Ordering::Equal } else { of(a).cmp(&of(b)) };
        if order["dir"] == "desc" { by.then(id).reverse() } else { by.then(id) }
    });
    list.truncate(one["limit"].as_u64().unwrap() as usize);
    (key.to_owned(), list.into_iter().map(shown).collect())
}
