//! Postgres's plan, `EXPLAIN (FORMAT JSON)`, as far as it is judged.

use serde::Serialize;
use serde_json::Value;

/// One node and what feeds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Node {
    /// As Postgres names it, such as `Index Scan`.
    pub name: String,
    #[serde(skip)]
    pub kind: Kind,
    pub relation: Option<String>,
    /// What the relation is called in the statement.
    #[serde(skip)]
    pub alias: Option<String>,
    pub index: Option<String>,
    /// The conditions an index is entered with, joined by AND; one for each index of a bitmap.
    pub conditions: Vec<String>,
    /// Whether rows are read that a condition then refuses.
    pub filters: bool,
    /// The columns of an incremental sort that its rows are in the order of already.
    pub presorted: Vec<String>,
    /// Whether it hands its rows to its parent one by one, and stops when the parent does.
    #[serde(skip)]
    pub feeds: bool,
    pub children: Vec<Node>,
}

/// What a node does with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Reads a table.
    Scan,
    /// Stops after a number of rows.
    Limit,
    Sort,
    /// Hands rows on as they come.
    Stream,
    /// Joins: its first child is read as it is asked for rows, the second for each of these.
    Join,
    /// Takes in all rows before it yields one, or nothing is known of it.
    Block,
}

/// The root of `EXPLAIN (FORMAT JSON)`'s answer; `None` where it is not one.
pub fn read(answer: &Value) -> Option<Node> {
    node(answer.get(0)?.get("Plan")?, true)
}

/// The plan as indented lines: the node, what it reads and by what.
pub fn lines(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    describe(node, 0, &mut lines);
    lines
}

fn node(plan: &Value, first: bool) -> Option<Node> {
    let text = |member: &str| plan.get(member).and_then(Value::as_str).map(str::to_owned);
    let name = text("Node Type")?;
    let relationship = text("Parent Relationship").unwrap_or_default();
    let inner: Vec<Node> = plan
        .get("Plans")
        .and_then(Value::as_array)
        .map(|plans| plans.iter().filter_map(|plan| node(plan, false)).collect())
        .unwrap_or_default();
    let kind = kind(&name, plan);
    let (children, conditions, index) = if name == "Bitmap Heap Scan" {
        (Vec::new(), bitmap_conditions(plan), bitmap_index(plan))
    } else {
        (inner, text("Index Cond").into_iter().collect(), text("Index Name"))
    };
    let presorted = plan
        .get("Presorted Key")
        .and_then(Value::as_array)
        .map_or_else(Vec::new, |keys| keys.iter().filter_map(Value::as_str).map(sorted_column).collect());
    Some(Node {
        kind,
        relation: text("Relation Name"),
        alias: text("Alias"),
        index,
        conditions,
        filters: plan.get("Filter").is_some(),
        presorted,
        feeds: first || matches!(relationship.as_str(), "Outer" | "Member" | "Subquery"),
        children,
        name,
    })
}

fn kind(name: &str, plan: &Value) -> Kind {
    match name {
        "Seq Scan" | "Index Scan" | "Index Only Scan" | "Bitmap Heap Scan" | "Tid Scan" | "Sample Scan" => Kind::Scan,
        "Limit" => Kind::Limit,
        "Sort" | "Incremental Sort" => Kind::Sort,
        "Result" | "Subquery Scan" | "LockRows" | "ModifyTable" | "Memoize" | "Append" | "Merge Append"
        | "ProjectSet" => Kind::Stream,
        "Nested Loop" | "Hash Join" | "Merge Join" => Kind::Join,
        // A CTE's rows come from a plan that is judged where it stands.
        "CTE Scan" | "WorkTable Scan" | "Values Scan" | "Function Scan" if plan.get("Plans").is_none() => Kind::Block,
        _ => Kind::Block,
    }
}

/// The conditions of every index under a bitmap; an index entered without one is a condition too.
fn bitmap_conditions(plan: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let plans = plan.get("Plans").and_then(Value::as_array).into_iter().flatten();
    for inner in plans {
        match inner.get("Node Type").and_then(Value::as_str) {
            Some("Bitmap Index Scan") => {
                let condition = inner.get("Index Cond").and_then(Value::as_str).unwrap_or_default();
                found.push(condition.to_owned());
            }
            // Of indexes that must all agree, each narrows; the first is as good as any.
            Some("BitmapAnd") => found.extend(bitmap_conditions(inner).into_iter().max_by_key(String::len)),
            Some(_) | None => found.extend(bitmap_conditions(inner)),
        }
    }
    found
}

fn bitmap_index(plan: &Value) -> Option<String> {
    let plans = plan.get("Plans")?.as_array()?;
    plans.iter().find_map(|inner| {
        let name = inner.get("Index Name").and_then(Value::as_str).map(str::to_owned);
        name.or_else(|| bitmap_index(inner))
    })
}

/// `rules.score DESC` is the column `score`.
fn sorted_column(key: &str) -> String {
    let mut key = key;
    for end in [" NULLS FIRST", " NULLS LAST", " DESC", " COLLATE \"C\""] {
        key = key.strip_suffix(end).unwrap_or(key);
    }
    let key = key.trim_matches(['(', ')']);
    let key = match key.strip_suffix('"').and_then(|key| key.rfind('"').map(|start| (key, start))) {
        Some((key, start)) => return key.get(start + 1..).unwrap_or_default().to_owned(),
        None => key,
    };
    key.rsplit('.').next().unwrap_or_default().to_owned()
}

fn describe(node: &Node, depth: usize, lines: &mut Vec<String>) {
    let mut line = format!("{}{}", "  ".repeat(depth), node.name);
    if let Some(relation) = &node.relation {
        line.push_str(&format!(" on {relation}"));
    }
    if let Some(index) = &node.index {
        line.push_str(&format!(" by {index}"));
    }
    lines.push(line);
    for condition in node.conditions.iter().filter(|condition| !condition.is_empty()) {
        lines.push(format!("{}  where {condition}", "  ".repeat(depth)));
    }
    if node.filters {
        lines.push(format!("{}  and a condition on the rows it reads", "  ".repeat(depth)));
    }
    for child in &node.children {
        describe(child, depth + 1, lines);
    }
}
