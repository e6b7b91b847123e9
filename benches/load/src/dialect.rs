//! How a workload is put to a server: path and body of the request, and what a sound answer is.
//!
//! The gateway and the hand-written peer speak the same: a function's arguments in, its answer out.
//! PostGraphile is asked in GraphQL, with the install as one more variable; its answer is unwrapped
//! and its numbers of 64 bits, which it writes as texts, are read, before the same check is made.

use serde_json::{Value, json};

use crate::workload::{INSERTED, Workload, parse, unexpected};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The gateway's endpoints and bodies.
    Functions,
    /// GraphQL as PostGraphile makes it from the tables.
    Graphql,
}

/// What is posted. In the body, a run of `#` stands for a number as [`Workload::body`] says.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) body: String,
}

/// The answer's columns, named as the gateway names them where the check reads them.
const COLUMNS: &str = "id: rowId category title score hits done seenAt createdAt updatedAt version";
/// Seeded ids have 7000 in the second place: those of rows that a run inserts lie behind them.
const INSERTED_PREFIX: &str = "00000000-0000-7001-8000-";

impl Dialect {
    /// Nothing where the workload cannot be put in this way.
    pub(crate) fn request(self, workload: Workload, install_id: &str) -> Option<Request> {
        match self {
            Dialect::Functions => {
                let function = match workload {
                    Workload::Batch => String::new(),
                    Workload::Select
                    | Workload::List
                    | Workload::Insert
                    | Workload::Patch
                    | Workload::Page
                    | Workload::Upsert
                    | Workload::Aggregate
                    | Workload::Expand => format!("/{}", workload.function()),
                };
                let path = format!("/v1/extension-functions/{install_id}{function}");
                Some(Request { path, body: workload.body() })
            }
            Dialect::Graphql => graphql(workload, install_id).map(|body| Request { path: "/graphql".to_owned(), body }),
        }
    }

    /// Says what is wrong with the answer to the call with number `number`.
    pub(crate) fn check(self, workload: Workload, number: u64, body: &[u8]) -> Result<(), String> {
        match self {
            Dialect::Functions => workload.check(number, body),
            Dialect::Graphql => {
                let answer = parse(body)?;
                let found = place(workload).and_then(|place| answer.pointer(place)).cloned().map(with_numbers);
                if found.is_some_and(|found| workload.is_answered_by(number, &found)) {
                    Ok(())
                } else {
                    Err(unexpected(number, body))
                }
            }
        }
    }

    /// Whether numbers ascend from call to call: where the caller makes the ids, none may come twice.
    pub(crate) fn ascends(self, workload: Workload) -> bool {
        self == Dialect::Graphql && workload == Workload::Insert
    }
}

fn graphql(workload: Workload, install_id: &str) -> Option<String> {
    let (query, mut variables) = match workload {
        Workload::Insert => (
            format!(
                "mutation Add($scope: UUID!, $id: UUID!, $category: String!, $title: String!, $score: BigInt!, \
                 $seen: Datetime!) {{ createItem(input: {{ item: {{ scopeKey: $scope, rowId: $id, category: $category, \
                 title: $title, score: $score, seenAt: $seen }} }}) {{ item {{ {COLUMNS} }} }} }}"
            ),
            json!({
                "id": format!("{INSERTED_PREFIX}############"), "category": INSERTED, "title": "############",
                "score": "#####", "seen": "2026-01-01T00:00:00Z",
            }),
        ),
        Workload::List => (
            format!(
                "query List($scope: UUID!, $category: String!) {{ allItems(condition: {{ scopeKey: $scope, \
                 category: $category }}, orderBy: [SCORE_DESC, ROW_ID_DESC], first: 20) {{ nodes {{ {COLUMNS} }} }} }}"
            ),
            json!({ "category": "####" }),
        ),
        Workload::Select => (
            format!(
                "query Get($scope: UUID!, $id: UUID!) {{ itemByScopeKeyAndRowId(scopeKey: $scope, rowId: $id) \
                 {{ {COLUMNS} }} }}"
            ),
            json!({ "id": format!("{}############", crate::workload::ID_PREFIX) }),
        ),
        Workload::Patch
        | Workload::Page
        | Workload::Upsert
        | Workload::Aggregate
        | Workload::Expand
        | Workload::Batch => return None,
    };
    if let Some(variables) = variables.as_object_mut() {
        variables.insert("scope".to_owned(), json!(install_id));
    }
    Some(json!({ "query": query, "variables": variables }).to_string())
}

/// Where in PostGraphile's answer the function's answer is.
const fn place(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::Insert => Some("/data/createItem/item"),
        Workload::List => Some("/data/allItems/nodes"),
        Workload::Select => Some("/data/itemByScopeKeyAndRowId"),
        Workload::Patch
        | Workload::Page
        | Workload::Upsert
        | Workload::Aggregate
        | Workload::Expand
        | Workload::Batch => None,
    }
}

fn with_numbers(value: Value) -> Value {
    match value {
        Value::Array(rows) => Value::Array(rows.into_iter().map(with_numbers).collect()),
        Value::Object(mut row) => {
            for name in ["score", "hits"] {
                if let Some(value) = row.get_mut(name)
                    && let Some(number) = value.as_str().and_then(|text| text.parse::<i64>().ok())
                {
                    *value = json!(number);
                }
            }
            Value::Object(row)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::workload::seeded_id;

    #[test]
    fn a_graphql_answer_is_checked_as_a_functions_is() {
        let row = |number| json!({ "id": seeded_id(number), "title": "t", "score": "7" });
        let answer = |number| json!({ "data": { "itemByScopeKeyAndRowId": row(number) } }).to_string();
        assert!(Dialect::Graphql.check(Workload::Select, 5, answer(5).as_bytes()).is_ok());
        assert!(Dialect::Graphql.check(Workload::Select, 5, answer(6).as_bytes()).is_err());
        let refused = br#"{"errors":[{"message":"no"}],"data":{"itemByScopeKeyAndRowId":null}}"#;
        assert!(Dialect::Graphql.check(Workload::Select, 5, refused).is_err());
        let nodes: Vec<Value> =
            (0..20).rev().map(|n| json!({ "category": "1007", "score": (n * 10).to_string() })).collect();
        let list = json!({ "data": { "allItems": { "nodes": nodes } } }).to_string();
        assert!(Dialect::Graphql.check(Workload::List, 7, list.as_bytes()).is_ok());
        assert!(Dialect::Graphql.check(Workload::List, 8, list.as_bytes()).is_err());
    }

    #[test]
    fn a_graphql_request_names_the_install_and_has_places_for_the_number() {
        let install = "01a201f1-587a-7093-8c25-7cecb6541d2c";
        for (workload, places) in [(Workload::Select, 1), (Workload::List, 1), (Workload::Insert, 3)] {
            let request = Dialect::Graphql.request(workload, install).unwrap();
            assert_eq!(request.path, "/graphql");
            assert!(request.body.contains(install), "{}", request.body);
            let runs = request.body.as_bytes().chunk_by(|left, right| (*left == b'#') == (*right == b'#'));
            assert_eq!(runs.filter(|run| run.first() == Some(&b'#')).count(), places);
        }
    }
}
