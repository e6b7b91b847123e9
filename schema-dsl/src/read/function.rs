//! Functions, their filters and their orders.
//!
//! A function of which a needed part is broken is left out whole: nothing refers to functions,
//! and half a function draws complaints that its author did not earn.

mod aggregate;
mod expand;
mod rate;
mod transaction;
mod when;
mod write;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::definition::{Body, Comparison, Direction, Filter, Function, Operand, Operator, Order, Role, Scan};
use crate::diagnostic::{Diagnostic, nearest, pointer_to};
use crate::read::complaints::{
    Choices, Complaints, array, choice, flag, object, quoted, refuse_unknown, required, text, wrong_type,
};
pub(super) use crate::read::function::rate::rate_limit;
use crate::read::operand::operand;

/// Filters nest this deep while being read; `check` has the smaller maximum that authors see.
const FILTER_DEPTH_READ_MAX: usize = 32;

#[derive(Clone, Copy)]
enum Kind {
    QueryRows,
    GetRow,
    CountRows,
    AggregateRows,
    InsertRow,
    InsertRows,
    UpsertRow,
    PatchRow,
    PatchRows,
    DeleteRow,
    DeleteRows,
    Transaction,
}

const KINDS: Choices<'static, Kind> = Choices {
    noun: "kind of function",
    code: "unknown_kind",
    all: &[
        ("queryRows", Kind::QueryRows),
        ("getRow", Kind::GetRow),
        ("countRows", Kind::CountRows),
        ("aggregateRows", Kind::AggregateRows),
        ("insertRow", Kind::InsertRow),
        ("insertRows", Kind::InsertRows),
        ("upsertRow", Kind::UpsertRow),
        ("patchRow", Kind::PatchRow),
        ("patchRows", Kind::PatchRows),
        ("deleteRow", Kind::DeleteRow),
        ("deleteRows", Kind::DeleteRows),
        ("transaction", Kind::Transaction),
    ],
    synonyms: &[
        ("select", "queryRows"),
        ("listrows", "queryRows"),
        ("findrow", "getRow"),
        ("count", "countRows"),
        ("aggregate", "aggregateRows"),
        ("grouprows", "aggregateRows"),
        ("insert", "insertRow"),
        ("createrow", "insertRow"),
        ("upsert", "upsertRow"),
        ("insertorupdate", "upsertRow"),
        ("update", "patchRow"),
        ("updaterow", "patchRow"),
        ("delete", "deleteRow"),
        ("removerow", "deleteRow"),
        ("insertmany", "insertRows"),
        ("createrows", "insertRows"),
        ("updaterows", "patchRows"),
        ("updatemany", "patchRows"),
        ("removerows", "deleteRows"),
        ("deletemany", "deleteRows"),
    ],
    later: &["query", "mutation", "action"],
};

const ROLES: Choices<'static, Role> = Choices {
    noun: "role",
    code: "unknown_role",
    all: &[("anonymous", Role::Anonymous), ("viewer", Role::Viewer), ("editor", Role::Editor), ("owner", Role::Owner)],
    synonyms: &[("public", "anonymous"), ("everyone", "anonymous"), ("user", "viewer"), ("admin", "owner")],
    later: &[],
};

const OPERATORS: Choices<'static, Operator> = Choices {
    noun: "operator",
    code: "unknown_operator",
    all: &[
        ("=", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
        ("in", Operator::In),
        ("like", Operator::Like),
        ("ilike", Operator::Ilike),
        ("startsWith", Operator::StartsWith),
        ("contains", Operator::Contains),
        ("isNull", Operator::IsNull),
    ],
    synonyms: &[
        ("==", "="),
        ("===", "="),
        ("eq", "="),
        ("is", "="),
        ("~=", "!="),
        ("<>", "!="),
        ("!==", "!="),
        ("ne", "!="),
        ("neq", "!="),
        ("lt", "<"),
        ("lte", "<="),
        ("=<", "<="),
        ("gt", ">"),
        ("gte", ">="),
        ("=>", ">="),
        ("any", "in"),
        ("starts_with", "startsWith"),
        ("prefix", "startsWith"),
        ("includes", "contains"),
        ("has", "contains"),
        ("@>", "contains"),
        ("is_null", "isNull"),
        ("null", "isNull"),
    ],
    later: &[],
};

const DIRECTIONS: Choices<'static, Direction> = Choices {
    noun: "direction",
    code: "unknown_direction",
    all: &[("asc", Direction::Asc), ("desc", Direction::Desc)],
    synonyms: &[("ascending", "asc"), ("descending", "desc")],
    later: &[],
};

const SCANS: Choices<'static, Scan> = Choices {
    noun: "word for `scan`",
    code: "unknown_scan",
    all: &[("allowed", Scan::Allowed)],
    synonyms: &[("allow", "allowed"), ("yes", "allowed"), ("ok", "allowed")],
    later: &[],
};

/// Options that later versions of the format know.
const LATER: &[&str] = &["description"];

const COMPARISON: &[&str] = &["column", "op", "value"];
const GROUPS: &[&str] = &["all", "any", "negate"];

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Kind::QueryRows => "queryRows",
            Kind::GetRow => "getRow",
            Kind::CountRows => "countRows",
            Kind::AggregateRows => "aggregateRows",
            Kind::InsertRow => "insertRow",
            Kind::InsertRows => "insertRows",
            Kind::UpsertRow => "upsertRow",
            Kind::PatchRow => "patchRow",
            Kind::PatchRows => "patchRows",
            Kind::DeleteRow => "deleteRow",
            Kind::DeleteRows => "deleteRows",
            Kind::Transaction => "transaction",
        }
    }

    const fn options(self) -> &'static [&'static str] {
        match self {
            Kind::QueryRows => &[
                "kind",
                "table",
                "filter",
                "orderBy",
                "orderDir",
                "limit",
                "offset",
                "page",
                "fields",
                "expand",
                "own",
                "scan",
                "access",
                "editorOnly",
            ],
            Kind::GetRow => &["kind", "table", "id", "fields", "expand", "own", "scan", "access", "editorOnly"],
            Kind::DeleteRow => &["kind", "table", "id", "version", "when", "own", "scan", "access", "editorOnly"],
            Kind::CountRows => &["kind", "table", "filter", "own", "scan", "access", "editorOnly"],
            Kind::AggregateRows => &[
                "kind",
                "table",
                "filter",
                "groupBy",
                "select",
                "having",
                "orderBy",
                "orderDir",
                "limit",
                "own",
                "scan",
                "access",
                "editorOnly",
            ],
            Kind::InsertRow => &[
                "kind",
                "table",
                "values",
                "onConflict",
                "unique",
                "when",
                "fields",
                "own",
                "scan",
                "access",
                "editorOnly",
            ],
            Kind::InsertRows => &[
                "kind",
                "table",
                "values",
                "maxRows",
                "onConflict",
                "unique",
                "when",
                "fields",
                "scan",
                "access",
                "editorOnly",
            ],
            Kind::UpsertRow => {
                &["kind", "table", "unique", "values", "when", "fields", "own", "scan", "access", "editorOnly"]
            }
            Kind::PatchRow => {
                &["kind", "table", "id", "values", "version", "when", "fields", "own", "scan", "access", "editorOnly"]
            }
            Kind::PatchRows => &[
                "kind",
                "table",
                "filter",
                "values",
                "maxRows",
                "when",
                "fields",
                "own",
                "scan",
                "access",
                "editorOnly",
            ],
            Kind::Transaction => &["kind", "steps", "access", "editorOnly"],
            Kind::DeleteRows => &["kind", "table", "filter", "maxRows", "when", "own", "scan", "access", "editorOnly"],
        }
    }
}

/// Reads a function; `None` after a complaint about something it cannot be without.
pub(super) fn function(value: &Value, at: &str, complaints: &mut Complaints) -> Option<Function> {
    one(value, at, Place::Alone, complaints)
}

/// Where a function stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    /// Who may call is said of the transaction.
    Step,
}

fn one(value: &Value, at: &str, place: Place, complaints: &mut Complaints) -> Option<Function> {
    let map = object(value, at, "a function: an object with `kind` and `table`", complaints)?;
    let word = required(map, "kind", "a kind of function such as `queryRows`", at, complaints)?;
    let (kind, guessed) = match choice(word, &pointer_to(at, "kind"), &KINDS, complaints) {
        Ok(kind) => (kind, false),
        Err(Some(kind)) => (kind, true),
        Err(None) => return None,
    };
    let options: Vec<&str> =
        kind.options().iter().copied().chain(["rateLimit"]).filter(|option| place.has(option)).collect();
    let what = match place {
        Place::Alone => format!("`{}`", kind.word()),
        Place::Step => format!("the step `{}`", kind.word()),
    };
    if let (Kind::Transaction, Place::Step) = (kind, place) {
        let diagnostic = Diagnostic::new("misplaced_step", at, "a transaction cannot be a step of another");
        complaints.push(diagnostic.with_hint("write its steps among those of the whole"));
        return None;
    }
    refuse_unknown(map, at, &what, &options, LATER, complaints);
    let access = access(map, at, complaints);
    let own = flag(map, "own", at, complaints);
    let scan = map.get("scan").and_then(|scan| choice(scan, &pointer_to(at, "scan"), &SCANS, complaints).ok());
    let rate_limit = rate_limit(map, at, complaints);
    if let Kind::Transaction = kind {
        let steps = transaction::steps(map, at, complaints)?;
        return (!guessed).then_some(Function {
            access,
            own,
            scan,
            rate_limit,
            when: Vec::new(),
            body: Body::Transaction { steps },
        });
    }
    let table = required(map, "table", "a table's name", at, complaints)
        .and_then(|table| text(table, &pointer_to(at, "table"), "a table's name", complaints));
    // Read before `table` is asked for, so that everything wrong with the function is said.
    let when = when::when(map, at, complaints);
    let body = body(kind, map, table.unwrap_or_default(), at, complaints);
    if guessed || table.is_none() {
        return None;
    }
    body.map(|body| Function { access, own, scan, rate_limit, when, body })
}

impl Place {
    fn has(self, option: &str) -> bool {
        match self {
            Place::Alone => true,
            Place::Step => !["access", "editorOnly", "rateLimit"].contains(&option),
        }
    }
}

/// The role that `access` names, or `editor` for Lumio's `editorOnly`.
pub(super) fn access(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Role> {
    let editor_only = flag(map, "editorOnly", at, complaints);
    let Some(access) = map.get("access") else { return editor_only.then_some(Role::Editor) };
    let at_access = pointer_to(at, "access");
    if map.contains_key("editorOnly") {
        let message = "`access` and `editorOnly` say the same thing twice";
        complaints.push(Diagnostic::new("given_twice", at, message).with_hint("keep `access`"));
    }
    match choice(access, &at_access, &ROLES, complaints) {
        Ok(role) => Some(role),
        Err(meant) => meant,
    }
}

fn body(kind: Kind, map: &Map<String, Value>, table: &str, at: &str, complaints: &mut Complaints) -> Option<Body> {
    let table = table.to_owned();
    match kind {
        Kind::QueryRows => Some(Body::QueryRows {
            table,
            filter: optional_filter(map, "filter", at, complaints),
            order_by: orders(map, at, complaints),
            limit: map.get("limit").and_then(|limit| operand(limit, &pointer_to(at, "limit"), complaints)),
            offset: map.get("offset").and_then(|offset| operand(offset, &pointer_to(at, "offset"), complaints)),
            page: flag(map, "page", at, complaints),
            fields: names(map, "fields", at, complaints),
            expand: expand::expand(map, at, complaints),
        }),
        Kind::GetRow => {
            let fields = names(map, "fields", at, complaints);
            let expand = expand::expand(map, at, complaints);
            Some(Body::GetRow { table, id: id(map, at, complaints)?, fields, expand })
        }
        Kind::CountRows => Some(Body::CountRows { table, filter: optional_filter(map, "filter", at, complaints) }),
        Kind::AggregateRows => Some(Body::AggregateRows {
            table,
            filter: optional_filter(map, "filter", at, complaints),
            group_by: match map.get("groupBy") {
                Some(Value::String(column)) => vec![column.clone()],
                Some(_) | None => names(map, "groupBy", at, complaints),
            },
            select: aggregate::select(map, at, complaints),
            having: optional_filter(map, "having", at, complaints),
            order_by: orders(map, at, complaints),
            limit: map.get("limit").and_then(|limit| operand(limit, &pointer_to(at, "limit"), complaints)),
        }),
        Kind::InsertRow => {
            let fields = names(map, "fields", at, complaints);
            let (on_conflict, unique) = (write::on_conflict(map, at, complaints), write::unique(map, at, complaints));
            Some(Body::InsertRow { table, values: values(map, at, complaints)?, on_conflict, unique, fields })
        }
        Kind::InsertRows => {
            let (on_conflict, unique) = (write::on_conflict(map, at, complaints), write::unique(map, at, complaints));
            let max_rows = write::max_rows(map, at, complaints);
            let fields = names(map, "fields", at, complaints);
            Some(Body::InsertRows {
                table,
                values: values(map, at, complaints)?,
                on_conflict,
                unique,
                max_rows,
                fields,
            })
        }
        Kind::PatchRows => {
            let max_rows = write::max_rows(map, at, complaints);
            let fields = names(map, "fields", at, complaints);
            let (filter, values) = (required_filter(map, at, complaints), values(map, at, complaints));
            Some(Body::PatchRows { table, filter: filter?, values: values?, max_rows, fields })
        }
        Kind::DeleteRows => {
            let max_rows = write::max_rows(map, at, complaints);
            Some(Body::DeleteRows { table, filter: required_filter(map, at, complaints)?, max_rows })
        }
        Kind::UpsertRow => {
            let fields = names(map, "fields", at, complaints);
            let unique = write::required_unique(map, at, complaints);
            Some(Body::UpsertRow { table, values: values(map, at, complaints)?, unique: unique?, fields })
        }
        Kind::PatchRow => {
            let fields = names(map, "fields", at, complaints);
            let (id, values) = (id(map, at, complaints), values(map, at, complaints));
            let version = write::version(map, at, complaints);
            Some(Body::PatchRow { table, id: id?, values: values?, version, fields })
        }
        Kind::Transaction => None,
        Kind::DeleteRow => {
            let version = write::version(map, at, complaints);
            Some(Body::DeleteRow { table, id: id(map, at, complaints)?, version })
        }
    }
}

fn id(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Operand> {
    let id = required(map, "id", "which row, such as `{\"arg\": \"id\"}`", at, complaints)?;
    operand(id, &pointer_to(at, "id"), complaints)
}

/// Values by column; `None` when one is broken, since a column without its value draws more.
fn values(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<IndexMap<String, Operand>> {
    let values = required(map, "values", "values by column", at, complaints)?;
    let at = pointer_to(at, "values");
    let members = object(values, &at, "values by column: an object", complaints)?;
    let mut values = IndexMap::with_capacity(members.len());
    for (column, value) in members {
        if let Some(value) = operand(value, &pointer_to(&at, column), complaints) {
            values.insert(column.clone(), value);
        }
    }
    (values.len() == members.len()).then_some(values)
}

/// The columns that a list names; none where it is not given.
fn names(map: &Map<String, Value>, member: &str, at: &str, complaints: &mut Complaints) -> Vec<String> {
    let Some(value) = map.get(member) else { return Vec::new() };
    let at = pointer_to(at, member);
    let Some(elements) = array(value, &at, "an array of columns' names", complaints) else { return Vec::new() };
    if elements.is_empty() {
        let message = format!("`{member}` names no column");
        complaints.push(Diagnostic::new("missing_member", at.as_str(), message).with_hint("name one, or leave it out"));
    }
    let read = |(index, element)| text(element, &pointer_to(&at, index), "a column's name", complaints);
    elements.iter().enumerate().filter_map(read).map(str::to_owned).collect()
}

/// `orderBy` as a column, as `{"column", "dir"}`, or as a list of either; `orderDir` is the
/// direction of those that name none.
fn orders(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Vec<Order> {
    let at_dir = pointer_to(at, "orderDir");
    let direction = map.get("orderDir").map(|dir| direction(dir, &at_dir, complaints));
    let Some(order_by) = map.get("orderBy") else {
        if direction.is_some() {
            let message = "`orderDir` without `orderBy` orders nothing";
            complaints.push(Diagnostic::new("missing_member", at_dir, message).with_hint("add `orderBy`"));
        }
        return Vec::new();
    };
    let at = pointer_to(at, "orderBy");
    let mut orders = Vec::new();
    let mut directed = false;
    if let Value::Array(elements) = order_by {
        for (index, element) in elements.iter().enumerate() {
            let at = pointer_to(&at, index);
            orders.extend(order(element, &at, direction.unwrap_or_default(), &mut directed, complaints));
        }
    } else {
        orders.extend(order(order_by, &at, direction.unwrap_or_default(), &mut directed, complaints));
    }
    if directed && direction.is_some() {
        let message = "`orderDir` and `dir` say the direction twice";
        complaints.push(Diagnostic::new("given_twice", at_dir, message).with_hint("keep `dir`"));
    }
    orders
}

fn order(
    value: &Value,
    at: &str,
    otherwise: Direction,
    directed: &mut bool,
    complaints: &mut Complaints,
) -> Option<Order> {
    match value {
        Value::String(column) => Some(Order { column: column.clone(), dir: otherwise }),
        Value::Object(map) => {
            refuse_unknown(map, at, "`orderBy`", &["column", "dir"], &[], complaints);
            let dir = map.get("dir").map(|dir| direction(dir, &pointer_to(at, "dir"), complaints));
            *directed |= dir.is_some();
            let column = required(map, "column", "a column's name", at, complaints)?;
            let column = text(column, &pointer_to(at, "column"), "a column's name", complaints)?;
            Some(Order { column: column.to_owned(), dir: dir.unwrap_or(otherwise) })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            complaints.push(wrong_type(value, at, "a column's name, or an object with `column` and `dir`"));
            None
        }
    }
}

fn direction(value: &Value, at: &str, complaints: &mut Complaints) -> Direction {
    choice(value, at, &DIRECTIONS, complaints).unwrap_or_else(Option::unwrap_or_default)
}

fn optional_filter(map: &Map<String, Value>, member: &str, at: &str, complaints: &mut Complaints) -> Option<Filter> {
    map.get(member).and_then(|value| filter(value, &pointer_to(at, member), 0, complaints))
}

/// Which rows are meant: what changes rows does not mean all of them by saying nothing.
fn required_filter(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Filter> {
    required(map, "filter", "a condition on the rows; `[]` means every row", at, complaints)?;
    optional_filter(map, "filter", at, complaints)
}

/// Reads a condition; one that is broken is left out of its group.
fn filter(value: &Value, at: &str, depth: usize, complaints: &mut Complaints) -> Option<Filter> {
    if depth >= FILTER_DEPTH_READ_MAX {
        complaints.push(Diagnostic::new("too_deep", at, "the filter nests too deep").with_hint("write it flatter"));
        return None;
    }
    if value.is_array() {
        return Some(Filter::All { all: filters(value, at, depth, complaints)? });
    }
    let what = "a condition: an object with `column`, `op` and `value`, or a group";
    let map = object(value, at, what, complaints)?;
    let groups: Vec<&str> = GROUPS.iter().copied().filter(|group| map.contains_key(*group)).collect();
    let compares = COMPARISON.iter().any(|member| map.contains_key(*member));
    match groups.as_slice() {
        [] if compares => comparison(map, at, complaints),
        [] => {
            complaints.push(no_condition(map, at));
            None
        }
        [group] if !compares => {
            refuse_unknown(map, at, &format!("`{group}`"), &[group], &[], complaints);
            let inner = map.get(*group)?;
            let at = pointer_to(at, group);
            match *group {
                "all" => Some(Filter::All { all: filters(inner, &at, depth, complaints)? }),
                "any" => Some(Filter::Any { any: filters(inner, &at, depth, complaints)? }),
                _ => Some(Filter::Negate { negate: Box::new(filter(inner, &at, depth + 1, complaints)?) }),
            }
        }
        _ => {
            let message = "a condition is one comparison or one of `all`, `any` and `negate`, not several at once";
            complaints.push(Diagnostic::new("ambiguous_filter", at, message).with_hint("put them into one `all`"));
            None
        }
    }
}

fn filters(value: &Value, at: &str, depth: usize, complaints: &mut Complaints) -> Option<Vec<Filter>> {
    let elements = array(value, at, "an array of conditions", complaints)?;
    let read = |(index, element)| filter(element, &pointer_to(at, index), depth + 1, complaints);
    Some(elements.iter().enumerate().filter_map(read).collect())
}

fn comparison(map: &Map<String, Value>, at: &str, complaints: &mut Complaints) -> Option<Filter> {
    refuse_unknown(map, at, "a comparison", COMPARISON, &[], complaints);
    let column = required(map, "column", "a column's name", at, complaints)
        .and_then(|column| text(column, &pointer_to(at, "column"), "a column's name", complaints));
    let op = required(map, "op", "an operator such as `=`", at, complaints)
        .and_then(|op| choice(op, &pointer_to(at, "op"), &OPERATORS, complaints).ok());
    let value = match (op, map.get("value")) {
        (Some(Operator::IsNull), None) => Some(Operand::Literal(Value::Bool(true))),
        (_, _) => required(map, "value", "what the column is compared with", at, complaints)
            .and_then(|value| operand(value, &pointer_to(at, "value"), complaints)),
    };
    Some(Filter::Compare(Comparison { column: column?.to_owned(), op: op?, value: value? }))
}

/// An object that is neither a group nor a comparison: a slip, or columns with their values.
fn no_condition(map: &Map<String, Value>, at: &str) -> Diagnostic {
    let known = [GROUPS, COMPARISON].concat();
    let meant = map.keys().find_map(|name| Some((name, nearest(name, known.iter().copied())?)));
    match (meant, map.keys().next()) {
        (Some((name, meant)), _) => {
            let message = format!("{} is not an option of a condition", quoted(name));
            Diagnostic::new("unknown_option", pointer_to(at, name), message)
                .with_hint(format!("did you mean `{meant}`?"))
        }
        (None, Some(name)) => {
            let message = format!("{} is not part of a condition", quoted(name));
            let hint = "write each as `{\"column\": …, \"op\": \"=\", \"value\": …}`";
            Diagnostic::new("unknown_option", pointer_to(at, name), message).with_hint(hint)
        }
        (None, None) => {
            let hint = "leave it out, or write `{\"column\": …, \"op\": \"=\", \"value\": …}`";
            Diagnostic::new("missing_member", at, "the condition is empty").with_hint(hint)
        }
    }
}
