//! The index that would bound a function: columns compared by `=` first, then the order's, or the
//! first that a range is asked of.

use rowgate_schema_dsl::aggregate::AggregateFunction;
use rowgate_schema_dsl::check::INDEX_COLUMNS_MAX;
use rowgate_schema_dsl::column_type::ColumnType;
use rowgate_schema_dsl::definition::{Direction, Operator};
use rowgate_schema_dsl::function::{Absence, Body, Expand, Filter, Function, Link, Order, Selected, Source};
use rowgate_schema_dsl::model::{Model, Table};
use rowgate_schema_dsl::name::{Name, OWNER_COLUMN};

/// What an author can do about a function without bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suggestion {
    /// Declare this index.
    Index { name: String, columns: Vec<String> },
    /// Order all columns in one direction.
    OneDirection,
    /// No index helps.
    None,
}

/// What would bound the statement of `function` for calls that give the optional arguments `given`.
pub fn suggestion(model: &Model, function: &Function, given: &[String]) -> Suggestion {
    let Some(table) = model.table(function.body.table().as_str()) else { return Suggestion::None };
    let order_of_extreme;
    let (filter, order) = match &function.body {
        Body::QueryRows { filter, order_by, .. } => (filter.as_ref(), Some(order_by.as_slice())),
        Body::CountRows { filter, .. } => (filter.as_ref(), None),
        Body::PatchRows { filter, .. } | Body::DeleteRows { filter, .. } => (Some(filter), None),
        Body::AggregateRows { filter, .. } => {
            let order = |column: &Name| [Order { column: column.clone(), direction: Direction::Asc }];
            order_of_extreme = extreme(&function.body).map(order);
            (filter.as_ref(), order_of_extreme.as_ref().map(<[Order; 1]>::as_slice))
        }
        Body::GetRow { .. }
        | Body::InsertRow { .. }
        | Body::InsertRows { .. }
        | Body::UpsertRow { .. }
        | Body::PatchRow { .. }
        | Body::DeleteRow { .. }
        | Body::Transaction { .. } => {
            return Suggestion::None;
        }
    };
    let conditions = conditions(function, filter);
    let mut columns: Vec<String> = Vec::new();
    for condition in conditions.iter().filter(|condition| condition.operator == Operator::Equal) {
        // Rows that an order yields are stopped by a LIMIT, so one index serves calls with and
        // without an optional argument; what is counted is counted to its end.
        let applies = match (condition.optional, order) {
            (None, _) => true,
            (Some(_), Some(_)) => false,
            (Some(argument), None) => given.iter().any(|name| name == argument),
        };
        if applies && !columns.contains(&condition.column) {
            columns.push(condition.column.clone());
        }
    }
    match order {
        Some(order) => {
            let rest = match rest_of_order(order, &columns) {
                Ok(rest) => rest,
                Err(Mixed) => return Suggestion::OneDirection,
            };
            columns.truncate(INDEX_COLUMNS_MAX.saturating_sub(rest.len()));
            columns.extend(rest);
        }
        None => {
            let range = conditions.iter().find(|condition| {
                condition.narrows()
                    // A range of two values is no range.
                    && table.column(&condition.column).is_some_and(|column| column.column_type != ColumnType::Boolean)
                    && condition.optional.is_none_or(|argument| given.iter().any(|name| name == argument))
                    && !columns.contains(&condition.column)
            });
            columns.truncate(INDEX_COLUMNS_MAX - 1);
            columns.extend(range.map(|condition| condition.column.clone()));
        }
    }
    if columns.is_empty() || columns.len() > INDEX_COLUMNS_MAX {
        return Suggestion::None;
    }
    Suggestion::Index { name: free_name(table, &columns), columns }
}

/// What would bound the list that `expand` embeds into each row.
pub fn list_suggestion(model: &Model, expand: &Expand) -> Suggestion {
    let Link::Rows { by, order_by, .. } = &expand.link else { return Suggestion::None };
    let Some(table) = model.table(expand.table.as_str()) else { return Suggestion::None };
    let mut columns = vec![by.to_string()];
    match rest_of_order(order_by, &columns) {
        Ok(rest) => columns.extend(rest),
        Err(Mixed) => return Suggestion::OneDirection,
    }
    if columns.len() > INDEX_COLUMNS_MAX {
        return Suggestion::None;
    }
    Suggestion::Index { name: free_name(table, &columns), columns }
}

/// The one column of which an aggregateRows asks nothing but the least and the greatest value of
/// all rows: Postgres takes them from the ends of an index.
pub fn extreme(body: &Body) -> Option<&Name> {
    let Body::AggregateRows { groups, select, .. } = body else { return None };
    let column = select.first()?.column.as_ref()?;
    let is_extreme = |selected: &Selected| {
        matches!(selected.function, AggregateFunction::Min | AggregateFunction::Max)
            && selected.column.as_ref() == Some(column)
    };
    (groups.is_empty() && select.iter().all(is_extreme)).then_some(column)
}

/// The columns of many values that every call compares by `=`.
pub fn demanded(table: &Table, function: &Function) -> Vec<String> {
    let (Body::QueryRows { filter, .. } | Body::AggregateRows { filter, .. }) = &function.body else {
        return Vec::new();
    };
    let wide = |name: &str| {
        table
            .column(name)
            .is_some_and(|column| !matches!(column.column_type, ColumnType::Boolean | ColumnType::Enum { .. }))
    };
    let conditions = conditions(function, filter.as_ref());
    let fixed = conditions.into_iter().filter(|one| one.operator == Operator::Equal && one.optional.is_none());
    let mut columns: Vec<String> = fixed.map(|condition| condition.column).filter(|column| wide(column)).collect();
    columns.truncate(INDEX_COLUMNS_MAX);
    columns
}

/// A comparison that every row of the answer passes.
struct Condition<'a> {
    column: String,
    operator: Operator,
    /// The optional argument without which it is left out.
    optional: Option<&'a str>,
}

impl Condition<'_> {
    fn narrows(&self) -> bool {
        match self.operator {
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual | Operator::In => {
                true
            }
            Operator::Equal | Operator::NotEqual => false,
            // Their patterns are not known when the statement is planned, and null is asked as a value.
            Operator::Like | Operator::Ilike | Operator::StartsWith | Operator::Contains | Operator::IsNull => false,
        }
    }
}

fn conditions<'a>(function: &'a Function, filter: Option<&Filter>) -> Vec<Condition<'a>> {
    let mut found = Vec::new();
    if function.own {
        found.push(Condition { column: OWNER_COLUMN.to_owned(), operator: Operator::Equal, optional: None });
    }
    if let Some(filter) = filter {
        collect(function, filter, &mut found);
    }
    found
}

fn collect<'a>(function: &'a Function, filter: &Filter, found: &mut Vec<Condition<'a>>) {
    match filter {
        Filter::All(filters) => filters.iter().for_each(|filter| collect(function, filter, found)),
        Filter::Any(_) | Filter::Negate(_) => {}
        Filter::Compare { column, operator, value } => {
            let optional = match value {
                Source::Argument(index) => function
                    .arguments
                    .get(*index)
                    .filter(|argument| argument.absence == Absence::Dropped)
                    .map(|argument| argument.name.as_str()),
                Source::Literal(_) | Source::Identity(_) | Source::Now | Source::Row { .. } => None,
            };
            found.push(Condition { column: column.to_string(), operator: *operator, optional });
        }
    }
}

/// The order runs both ways, and an index does not.
struct Mixed;

/// The columns of the order that follow those held to one value; `id` ends every index by itself.
fn rest_of_order(order: &[Order], equal: &[String]) -> Result<Vec<String>, Mixed> {
    let mut columns = Vec::new();
    let mut directions: Vec<Direction> = Vec::new();
    for Order { column, direction } in order {
        if equal.iter().any(|name| *column == **name) {
            continue;
        }
        directions.push(*direction);
        if *column == "id" {
            break;
        }
        columns.push(column.to_string());
    }
    // `id` follows in the direction of the order's last column, whichever that is.
    if !order.iter().any(|order| order.column == "id") {
        directions.extend(order.last().map(|last| last.direction));
    }
    directions.dedup();
    if directions.len() > 1 { Err(Mixed) } else { Ok(columns) }
}

/// `by_` and the columns, as no index, rule or unique column of the table is called.
fn free_name(table: &Table, columns: &[String]) -> String {
    let mut name = format!("by_{}", columns.join("_"));
    name.truncate(56);
    let taken = |name: &str| table.indexes.iter().any(|index| index.name.as_str().eq_ignore_ascii_case(name));
    if !taken(&name) {
        return name;
    }
    (2..=u32::MAX).map(|number| format!("{name}_{number}")).find(|name| !taken(name)).unwrap_or(name)
}
