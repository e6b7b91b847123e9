//! Random definitions that `check` accepts, for property tests of every later stage.
//!
//! A definition is a pure function of a list of numbers (the choices), each of which decides one
//! thing; a list that has run out decides everything for the simplest. So a property test draws
//! `vec(any::<u32>(), 0..N)`, and shrinking the list shrinks the definition.

use indexmap::IndexMap;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::aggregate::{Aggregate, AggregateFunction};
use crate::column_type::{ColumnType, Field, OnDelete};
use crate::definition::{
    Body, Column, Comparison, DefaultValue, Definition, Direction, Expand, Extension, FORMAT, Filter, Function,
    IdentityField, Limits, OnConflict, Operand, Operator, Order, Role, Scope, Table, Validator, When,
};
use crate::egress::Egress;
use crate::function::{EXPAND_MEMBERS_MAX, OFFSET_ROWS_MAX, OPTIONAL_ARGUMENTS_MAX, QUERY_ROWS_MAX, WRITE_ROWS_MAX};
use crate::pattern::Pattern;

/// A sound definition with up to four tables of up to ten columns, and up to eight functions.
pub fn definition(choices: &[u32]) -> Definition {
    let mut choices = Choices(choices.iter());
    let (high, low) = (u128::from(choices.next()) << 96, u128::from(choices.next()));
    let id = Uuid::from_u128(high | 0x4000_8000_0000_0000_0000 | (low + 1));
    let mut tables: IndexMap<String, Table> = IndexMap::new();
    for index in 0..1 + choices.below(4) {
        let table = table(&mut choices, &tables);
        tables.insert(format!("t{index}_{}", choices.word()), table);
    }
    let mut functions = IndexMap::new();
    for index in 0..1 + choices.below(8) {
        let which = choices.below(tables.len());
        if let Some((name, table)) = tables.get_index(which) {
            functions.insert(format!("f{index}{}", choices.word()), function(&mut choices, &tables, name, table));
        }
    }
    let extension = Extension {
        id,
        name: format!("the {} extension", choices.word()),
        version: format!("0.{}.0", choices.below(20)),
        egress: egress(&mut choices),
        secrets: (0..choices.below(3)).map(|index| format!("SECRET_{index}")).collect(),
        // Large enough for whatever is written to it.
        limits: Limits { bytes: (choices.below(4) == 3).then(|| (1 << 40) + choices.below(1_000) as u64) },
    };
    Definition { rowgate: FORMAT, extension, tables, functions, handlers: IndexMap::new(), sources: IndexMap::new() }
}

fn egress(choices: &mut Choices<'_>) -> Egress {
    let hosts = ["api.example.com", "*.example.org", "127.0.0.1"];
    Egress {
        allow_hosts: hosts.iter().take(choices.below(4)).map(|host| (*host).to_owned()).collect(),
        allow_ports: (0..choices.below(3)).map(|index| 8_443 + u16::try_from(index).unwrap_or_default()).collect(),
    }
}

/// A literal that `column_type` accepts, limits included; `None` for a reference, whose row would
/// have to be there.
pub fn literal(column_type: &ColumnType, choices: &mut Choices<'_>) -> Option<Value> {
    Some(match column_type {
        ColumnType::String { pattern: Some(_), .. } => json!("ab1"),
        ColumnType::String { min, max, pattern: None } => json!(choices.text(*min, *max)),
        ColumnType::Integer { min, max } => {
            let low = min.or(max.map(|max| max.saturating_sub(100))).unwrap_or(-7);
            let room = max.map_or(100, |max| max.saturating_sub(low)).clamp(0, 1_000);
            json!(low.saturating_add(choices.below(room as usize + 1) as i64))
        }
        ColumnType::Number { min, max } => json!(min.or(*max).unwrap_or(0.25)),
        ColumnType::Boolean => json!(choices.flag()),
        ColumnType::Decimal { min, max } => json!(min.clone().or(max.clone()).unwrap_or_else(|| "12.50".to_owned())),
        ColumnType::Timestamp => json!(format!("2026-01-{:02}T12:00:00Z", 1 + choices.below(28))),
        ColumnType::Date => json!(format!("2026-02-{:02}", 1 + choices.below(28))),
        ColumnType::Uuid => json!(Uuid::from_u128(u128::from(choices.next()) + 1)),
        ColumnType::Bytes { min, .. } => {
            use base64::Engine;
            json!(base64::engine::general_purpose::STANDARD.encode(vec![7; min.unwrap_or(0) as usize]))
        }
        ColumnType::Enum { values } => json!(values.get(choices.below(values.len()))?),
        ColumnType::Id { .. } => return None,
        ColumnType::Array { items, min, .. } => {
            let elements: Option<Vec<Value>> = (0..min.unwrap_or(1)).map(|_| literal(items, choices)).collect();
            Value::Array(elements?)
        }
        ColumnType::Object { fields } => {
            let members: Option<serde_json::Map<String, Value>> = fields
                .iter()
                .map(|(name, field)| Some((name.clone(), literal(&field.column_type, choices)?)))
                .collect();
            Value::Object(members?)
        }
        ColumnType::Json => json!({ "arg": [1, 2.5, null, { "deep": choices.flag() }] }),
    })
}

/// The choices that are left.
pub struct Choices<'a>(std::slice::Iter<'a, u32>);

impl<'a> Choices<'a> {
    pub fn new(choices: &'a [u32]) -> Self {
        Choices(choices.iter())
    }

    fn next(&mut self) -> u32 {
        self.0.next().copied().unwrap_or_default()
    }

    /// A number below `count`; 0 where there is none.
    fn below(&mut self, count: usize) -> usize {
        (self.next() as usize).checked_rem(count).unwrap_or_default()
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn some<T>(&mut self, value: T) -> Option<T> {
        self.flag().then_some(value)
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).cloned()
    }

    fn word(&mut self) -> &'static str {
        self.pick(&["rule", "vote", "Score", "dueAt", "x_9", "select", "order", "user"]).unwrap_or("rule")
    }

    fn text(&mut self, min: Option<u32>, max: Option<u32>) -> String {
        let low = min.unwrap_or(0) as usize;
        let high = max.map_or(low + 8, |max| max as usize).max(low);
        let length = low + self.below(high - low + 1);
        let alphabet = ['a', 'é', '\'', '"', '\\', '$', '日', ' '];
        (0..length).filter_map(|_| self.pick(&alphabet)).collect()
    }
}

fn table(choices: &mut Choices<'_>, before: &IndexMap<String, Table>) -> Table {
    let storage = choices.pick(&Scope::ALL).unwrap_or_default();
    let targets: Vec<&str> =
        before.iter().filter(|(_, table)| table.storage == storage).map(|(name, _)| name.as_str()).collect();
    let mut columns = IndexMap::new();
    for index in 0..1 + choices.below(10) {
        let column = column(choices, &targets);
        columns.insert(format!("c{index}_{}", choices.word()), column);
    }
    let keys: Vec<String> =
        columns.iter().filter(|(_, column)| is_key(column)).map(|(name, _)| String::clone(name)).collect();
    let owned = choices.below(3) == 2;
    let rows = choices.some(1_000).filter(|_| choices.flag());
    let (indexes, uniques) = (IndexMap::new(), IndexMap::new());
    let mut table = Table { columns, renamed_from: None, storage, owned, rows, indexes, uniques };
    for index in 0..choices.below(3) {
        if keys.is_empty() {
            break;
        }
        let mut of: Vec<String> = Vec::new();
        for _ in 0..1 + choices.below(3) {
            of.extend(choices.pick(&keys).filter(|key| !of.contains(key)));
        }
        if choices.flag() {
            table.uniques.insert(format!("one{index}_{}", choices.word()), of);
        } else {
            table.indexes.insert(format!("by{index}_{}", choices.word()), of);
        }
    }
    table
}

/// Whether an index over it is sound whatever its values are: short, ordered values.
fn is_key(column: &Column) -> bool {
    let column_type = &column.validator.column_type;
    column_type.is_scalar() && column_type.is_ordered()
}

fn column(choices: &mut Choices<'_>, targets: &[&str]) -> Column {
    let mut optional = choices.flag();
    let column_type = column_type(choices, targets, &mut optional);
    let default = if column_type == ColumnType::Timestamp && choices.flag() {
        Some(DefaultValue::Now)
    } else {
        let literal = literal(&column_type, choices);
        literal.filter(|_| choices.flag()).map(DefaultValue::Literal)
    };
    let private = choices.below(5) == 4;
    let mut column =
        Column { validator: Validator { column_type, optional, default }, private, unique: false, renamed_from: None };
    column.unique = is_key(&column) && choices.below(5) == 4;
    column
}

fn column_type(choices: &mut Choices<'_>, targets: &[&str], optional: &mut bool) -> ColumnType {
    match choices.below(14) {
        10 => match choices.pick(targets) {
            Some(table) => {
                let on_delete = choices.pick(&[OnDelete::Restrict, OnDelete::Cascade, OnDelete::SetNull]);
                let on_delete = on_delete.unwrap_or_default();
                *optional |= on_delete == OnDelete::SetNull;
                ColumnType::Id { table: table.to_owned(), on_delete }
            }
            None => ColumnType::Uuid,
        },
        11 => {
            let kind = choices.below(10);
            let items = Box::new(scalar(kind, choices));
            ColumnType::Array { items, min: choices.some(1), max: choices.some(9) }
        }
        12 => object(choices, 0),
        13 => ColumnType::Json,
        kind => scalar(kind, choices),
    }
}

fn scalar(kind: usize, choices: &mut Choices<'_>) -> ColumnType {
    match kind {
        1 => ColumnType::Integer { min: choices.some(-5), max: choices.some(1_000_000_000_000) },
        2 => ColumnType::Number { min: choices.some(-0.5), max: choices.some(1e10) },
        3 => ColumnType::Boolean,
        4 => {
            let (min, max) = (choices.some("-1.50".to_owned()), choices.some("99999999999999999999.99".to_owned()));
            ColumnType::Decimal { min, max }
        }
        5 => ColumnType::Timestamp,
        6 => ColumnType::Date,
        7 => ColumnType::Uuid,
        8 => ColumnType::Bytes { min: choices.some(1), max: choices.some(64) },
        9 => {
            let values = ["fun", "serious", "it's", "", "π"].iter().take(1 + choices.below(5));
            ColumnType::Enum { values: values.map(|value| (*value).to_owned()).collect() }
        }
        _ if choices.below(4) == 3 => {
            ColumnType::String { min: None, max: None, pattern: Pattern::new("^[a-z]+[0-9]?$").ok() }
        }
        _ => ColumnType::String { min: choices.some(1), max: choices.some(40), pattern: None },
    }
}

fn object(choices: &mut Choices<'_>, depth: usize) -> ColumnType {
    let mut fields = IndexMap::new();
    for index in 0..choices.below(4) {
        let column_type = match choices.below(13) {
            10 if depth < 2 => object(choices, depth + 1),
            11 => ColumnType::Json,
            12 => ColumnType::Array { items: Box::new(ColumnType::Boolean), min: None, max: choices.some(3) },
            kind => scalar(kind, choices),
        };
        fields.insert(format!("{}{index}", choices.word()), Field { column_type, optional: choices.flag() });
    }
    ColumnType::Object { fields }
}

/// What one function has used up: names of arguments, and those it may still leave optional.
struct Budget {
    arguments: usize,
    optional: usize,
}

impl Budget {
    /// A name that no other argument of the function has, so that none is used with two types.
    fn name(&mut self, choices: &mut Choices<'_>) -> String {
        self.arguments += 1;
        format!("a{}{}", self.arguments, choices.word())
    }

    fn optional(&mut self) -> bool {
        self.optional += 1;
        self.optional <= OPTIONAL_ARGUMENTS_MAX
    }
}

fn function(choices: &mut Choices<'_>, tables: &IndexMap<String, Table>, name: &str, table: &Table) -> Function {
    let mut budget = Budget { arguments: 0, optional: 0 };
    let access = choices.pick(&Role::ALL).filter(|_| choices.flag());
    let name = name.to_owned();
    let body = match choices.below(9) {
        1 => {
            let (id, fields, expand) = (row(choices), fields(choices, table), expand(choices, tables, &name, table));
            Body::GetRow { table: name, id, fields, expand }
        }
        2 => Body::CountRows { table: name, filter: optional_filter(choices, table, &mut budget) },
        3 => insertion(choices, name, table, &mut budget),
        4 => {
            let id = row(choices);
            let values = patched(choices, table, &mut budget);
            // A table of references alone may offer nothing to patch but by argument.
            let version = version(choices, &mut budget);
            Body::PatchRow { table: name, id, values, version, fields: fields(choices, table) }
        }
        5 => Body::DeleteRow { table: name, id: row(choices), version: version(choices, &mut budget) },
        6 => aggregate(choices, name, table, &mut budget),
        7 => {
            let filter = needed_filter(choices, table, &mut budget);
            let max_rows = rows_max(choices);
            let values = patched(choices, table, &mut budget);
            Body::PatchRows { table: name, filter, values, max_rows, fields: fields(choices, table) }
        }
        8 => {
            let filter = needed_filter(choices, table, &mut budget);
            Body::DeleteRows { table: name, filter, max_rows: rows_max(choices) }
        }
        _ => {
            let filter = optional_filter(choices, table, &mut budget);
            let order_by = orders(choices, table);
            let limit = rows(choices, &mut budget, QUERY_ROWS_MAX);
            let offset = rows(choices, &mut budget, OFFSET_ROWS_MAX);
            let nullable = order_by.iter().filter_map(|order| table.columns.get(&order.column));
            let nullable = nullable.filter(|column| column.validator.optional).count();
            let page = offset.is_none() && budget.optional + nullable <= OPTIONAL_ARGUMENTS_MAX && choices.flag();
            let (fields, expand) = (fields(choices, table), expand(choices, tables, &name, table));
            Body::QueryRows { table: name, filter, order_by, limit, offset, page, fields, expand }
        }
    };
    let own = table.owned && choices.flag() && !matches!(body, Body::InsertRows { .. });
    let when = when(choices, tables, table, &body, &mut budget);
    Function { access, own, scan: None, rate_limit: None, when, body }
}

fn aggregate(choices: &mut Choices<'_>, name: String, table: &Table, budget: &mut Budget) -> Body {
    let visible = || table.columns.iter().filter(|(_, column)| !column.private);
    let group_by: Vec<String> = visible()
        .filter(|(_, column)| column.validator.column_type.is_comparable() && choices.below(4) == 3)
        .map(|(name, _)| name.clone())
        .collect();
    let mut select = IndexMap::from([("n".to_owned(), Aggregate { function: AggregateFunction::Count, column: None })]);
    let mut having = vec![Filter::Compare(Comparison {
        column: "n".to_owned(),
        op: Operator::GreaterOrEqual,
        value: Operand::Argument { name: budget.name(choices), validator: None },
    })];
    for (index, (name, column)) in visible().enumerate().take(8) {
        let Some(function) = choices.pick(&AggregateFunction::ALL) else { continue };
        let Some(result) = function.result(&column.validator.column_type) else { continue };
        let member = format!("m{index}");
        select.insert(member.clone(), Aggregate { function, column: Some(name.clone()) });
        if let Some(literal) = literal(&result.without_limits(), choices).filter(|_| choices.below(4) == 3) {
            let value = Operand::Literal(literal);
            having.push(Filter::Compare(Comparison { column: member, op: Operator::Less, value }));
        }
    }
    let order_by = choices.some(Order { column: "n".to_owned(), dir: Direction::Desc });
    Body::AggregateRows {
        filter: optional_filter(choices, table, budget),
        order_by: order_by.into_iter().collect(),
        having: choices.some(Filter::Any { any: having }),
        limit: rows(choices, budget, QUERY_ROWS_MAX),
        table: name,
        group_by,
        select,
    }
}

fn row(choices: &mut Choices<'_>) -> Operand {
    match choices.below(4) {
        3 => Operand::Literal(json!(Uuid::from_u128(u128::from(choices.next()) + 1))),
        _ => Operand::Argument { name: "id".to_owned(), validator: None },
    }
}

fn version(choices: &mut Choices<'_>, budget: &mut Budget) -> Option<Operand> {
    let column_type = ColumnType::Integer { min: Some(1), max: None };
    let optional = choices.flag();
    let validator = choices.some(Validator { column_type, optional, default: None });
    choices.flag().then(|| Operand::Argument { name: budget.name(choices), validator })
}

fn rows(choices: &mut Choices<'_>, budget: &mut Budget, max: u32) -> Option<Operand> {
    match choices.below(3) {
        1 => Some(Operand::Literal(json!(1 + choices.below(max as usize)))),
        2 => {
            let column_type = ColumnType::Integer { min: Some(1), max: choices.some(i64::from(max)) };
            let default = Some(DefaultValue::Literal(json!(1)));
            let validator = choices.some(Validator { column_type, optional: false, default });
            Some(Operand::Argument { name: budget.name(choices), validator })
        }
        _ => None,
    }
}

fn fields(choices: &mut Choices<'_>, table: &Table) -> Vec<String> {
    let visible = table.columns.iter().filter(|(_, column)| !column.private).map(|(name, _)| name.as_str());
    let visible = ["version", "id"].into_iter().chain(visible);
    if choices.below(3) < 2 { Vec::new() } else { visible.filter(|_| choices.flag()).map(str::to_owned).collect() }
}

/// How many rows a write may be of.
fn rows_max(choices: &mut Choices<'_>) -> Option<u32> {
    let rows = 1 + choices.below(WRITE_ROWS_MAX as usize);
    choices.some(u32::try_from(rows).unwrap_or(WRITE_ROWS_MAX))
}

/// What must hold for a write: of the row, and of those it refers to.
fn when(
    choices: &mut Choices<'_>,
    tables: &IndexMap<String, Table>,
    table: &Table,
    body: &Body,
    budget: &mut Budget,
) -> Vec<When> {
    // Of a new row a reference needs a value, of one that is there it must not get another.
    let (changes, values, is_new) = match body {
        Body::InsertRow { values, on_conflict, .. } | Body::InsertRows { values, on_conflict, .. } => {
            (*on_conflict == OnConflict::Update, Some(values), true)
        }
        Body::UpsertRow { values, .. } => (true, Some(values), true),
        Body::PatchRow { values, .. } | Body::PatchRows { values, .. } => (true, Some(values), false),
        Body::DeleteRow { .. } | Body::DeleteRows { .. } => (true, None, false),
        Body::QueryRows { .. }
        | Body::GetRow { .. }
        | Body::CountRows { .. }
        | Body::AggregateRows { .. }
        | Body::Transaction { .. } => {
            return Vec::new();
        }
    };
    // A condition on many rows is asked once, so it takes no argument of a row.
    let mut asked = |choices: &mut Choices<'_>, table: &Table| match body {
        Body::InsertRows { .. } => Filter::All { all: Vec::new() },
        _ => needed_filter(choices, table, budget),
    };
    let mut when = Vec::new();
    if changes && choices.flag() {
        when.push(When::Row(asked(choices, table)));
    }
    let mut referred = IndexMap::new();
    for (name, column) in &table.columns {
        let ColumnType::Id { table, .. } = &column.validator.column_type else { continue };
        let Some(target) = tables.get(table) else { continue };
        if values.is_some_and(|values| values.contains_key(name)) == is_new && choices.flag() {
            referred.insert(name.clone(), asked(choices, target));
        }
    }
    if !referred.is_empty() {
        when.push(When::Referred(referred));
    }
    when
}

/// A filter of a write, none of whose arguments may be left out.
fn needed_filter(choices: &mut Choices<'_>, table: &Table, budget: &mut Budget) -> Filter {
    let optional = std::mem::replace(&mut budget.optional, OPTIONAL_ARGUMENTS_MAX);
    let filter = filter(choices, table, budget, 0).unwrap_or(Filter::All { all: Vec::new() });
    budget.optional = optional;
    filter
}

/// Rows embedded into those of the table `name`, few enough for any number of these.
fn expand(
    choices: &mut Choices<'_>,
    tables: &IndexMap<String, Table>,
    name: &str,
    table: &Table,
) -> IndexMap<String, Expand> {
    let mut expand = IndexMap::new();
    if choices.below(3) < 2 {
        return expand;
    }
    let references = |table: &Table| -> Vec<(String, String)> {
        let visible = table.columns.iter().filter(|(_, column)| !column.private);
        visible
            .filter_map(|(name, column)| match &column.validator.column_type {
                ColumnType::Id { table, .. } => Some((name.clone(), table.clone())),
                _ => None,
            })
            .collect()
    };
    for (column, target) in references(table) {
        if let Some(target) = tables.get(&target).filter(|_| choices.flag()) {
            let member = choices.some(format!("e{}", expand.len()));
            expand.insert(column, Expand::Row { member, fields: fields(choices, target) });
        }
    }
    for (listed, of) in tables {
        for (by, _) in references(of).into_iter().filter(|(_, target)| target == name) {
            if choices.flag() {
                let (fields, order_by) = (fields(choices, of), orders(choices, of));
                let limit = Some(1 + choices.below(2) as u64);
                let list = Expand::List { table: listed.clone(), by, fields, order_by, limit };
                expand.insert(format!("l{}", expand.len()), list);
            }
        }
    }
    expand.truncate(EXPAND_MEMBERS_MAX);
    expand
}

fn orders(choices: &mut Choices<'_>, table: &Table) -> Vec<Order> {
    let mut orders: Vec<Order> = Vec::new();
    for (name, column) in &table.columns {
        if !column.private && column.validator.column_type.is_ordered() && choices.below(3) == 2 {
            let dir = choices.pick(&[Direction::Asc, Direction::Desc]).unwrap_or_default();
            orders.push(Order { column: name.clone(), dir });
        }
    }
    orders
}

fn optional_filter(choices: &mut Choices<'_>, table: &Table, budget: &mut Budget) -> Option<Filter> {
    if choices.flag() { filter(choices, table, budget, 0) } else { None }
}

fn filter(choices: &mut Choices<'_>, table: &Table, budget: &mut Budget, depth: usize) -> Option<Filter> {
    let group = if depth < 3 { choices.below(5) } else { 0 };
    let mut several = |choices: &mut Choices<'_>| -> Vec<Filter> {
        (0..choices.below(4)).filter_map(|_| filter(choices, table, budget, depth + 1)).collect()
    };
    match group {
        2 => Some(Filter::All { all: several(choices) }),
        3 => Some(Filter::Any { any: several(choices) }),
        4 => Some(Filter::Negate { negate: Box::new(filter(choices, table, budget, depth + 1)?) }),
        _ => comparison(choices, table, budget),
    }
}

fn comparison(choices: &mut Choices<'_>, table: &Table, budget: &mut Budget) -> Option<Filter> {
    let columns: Vec<(&String, &ColumnType, bool)> = table
        .columns
        .iter()
        .filter(|(_, column)| !column.private)
        .map(|(name, column)| (name, &column.validator.column_type, column.validator.optional))
        .collect();
    let (column, column_type, is_optional) = &choices.pick(&columns)?;
    let operators: Vec<Operator> = Operator::ALL
        .into_iter()
        .filter(|operator| match operator {
            Operator::Equal | Operator::NotEqual => column_type.is_comparable(),
            Operator::In => column_type.is_scalar(),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                column_type.is_ordered()
            }
            Operator::Like | Operator::Ilike | Operator::StartsWith => {
                matches!(column_type, ColumnType::String { pattern: None, .. })
            }
            Operator::Contains => {
                matches!(column_type, ColumnType::String { pattern: None, .. } | ColumnType::Array { .. })
                    || !column_type.is_comparable()
            }
            Operator::IsNull => *is_optional,
        })
        .collect();
    let op = choices.pick(&operators)?;
    let column_type = &match (op, *column_type) {
        (Operator::Contains, ColumnType::Array { items, .. }) => items.without_limits(),
        (Operator::Contains, ColumnType::Object { .. }) => ColumnType::Json,
        (Operator::IsNull, _) => ColumnType::Boolean,
        (_, column_type) => column_type.clone(),
    };
    let literal = literal(column_type, choices).filter(|_| choices.flag());
    let value = match literal {
        Some(value) if op == Operator::In => Operand::Literal(json!([value])),
        Some(Value::String(pattern)) if matches!(op, Operator::Like | Operator::Ilike) => {
            Operand::Literal(json!(pattern.trim_end_matches('\\')))
        }
        Some(value) => Operand::Literal(value),
        None => {
            let name = budget.name(choices);
            let optional = op != Operator::In && choices.below(3) == 2 && budget.optional();
            let validator = Validator { column_type: column_type.without_limits(), optional, default: None };
            Operand::Argument { name, validator: optional.then_some(validator) }
        }
    };
    Some(Filter::Compare(Comparison { column: String::clone(column), op, value }))
}

fn inserted(choices: &mut Choices<'_>, table: &Table, budget: &mut Budget) -> IndexMap<String, Operand> {
    let mut values = IndexMap::new();
    for (name, column) in &table.columns {
        let validator = &column.validator;
        let required = !validator.optional && validator.default.is_none();
        if required || choices.flag() {
            values.extend(assigned(choices, column, budget, !required).map(|operand| (name.clone(), operand)));
        }
    }
    values
}

/// An insert, by a unique rule whose columns all have values where there is one.
fn insertion(choices: &mut Choices<'_>, name: String, table: &Table, budget: &mut Budget) -> Body {
    let values = inserted(choices, table, budget);
    let columns = table.columns.iter().filter(|(name, column)| column.unique && values.contains_key(*name));
    let rules = table.uniques.iter().filter(|(_, rule)| rule.iter().all(|column| values.contains_key(column)));
    let known: Vec<String> = columns.map(|(name, _)| name.clone()).chain(rules.map(|(name, _)| name.clone())).collect();
    let fields = fields(choices, table);
    let required = |column: &String| table.columns.get(column).is_some_and(|column| !column.validator.optional);
    let of_rule = |unique: &String| match table.uniques.get(unique) {
        Some(rule) => rule.iter().all(required),
        None => required(unique),
    };
    let max_rows = rows_max(choices);
    match (choices.below(7), choices.pick(&known)) {
        (1, Some(unique)) => Body::UpsertRow { table: name, unique, values, fields },
        (2, unique @ Some(_)) => {
            Body::InsertRow { table: name, values, on_conflict: OnConflict::Ignore, unique, fields }
        }
        (3, unique @ Some(_)) => {
            Body::InsertRow { table: name, values, on_conflict: OnConflict::Update, unique, fields }
        }
        (4, Some(unique)) if of_rule(&unique) => {
            let unique = Some(unique);
            Body::InsertRows { table: name, values, on_conflict: OnConflict::Ignore, unique, max_rows, fields }
        }
        (5, unique @ Some(_)) => {
            Body::InsertRows { table: name, values, on_conflict: OnConflict::Update, unique, max_rows, fields }
        }
        (6, _) => {
            let on_conflict = OnConflict::Error;
            Body::InsertRows { table: name, values, on_conflict, unique: None, max_rows, fields }
        }
        _ => Body::InsertRow { table: name, values, on_conflict: OnConflict::Error, unique: None, fields },
    }
}

/// At least one column, and with it what it becomes.
fn patched(choices: &mut Choices<'_>, table: &Table, budget: &mut Budget) -> IndexMap<String, Operand> {
    let mut values = IndexMap::new();
    for (name, column) in &table.columns {
        if !values.is_empty() && choices.flag() {
            continue;
        }
        let by = match &column.validator.column_type {
            ColumnType::Integer { .. } => Some(json!(1)),
            ColumnType::Number { .. } => Some(json!(0.5)),
            ColumnType::Decimal { .. } => Some(json!("0.10")),
            ColumnType::String { .. }
            | ColumnType::Boolean
            | ColumnType::Timestamp
            | ColumnType::Date
            | ColumnType::Uuid
            | ColumnType::Bytes { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Id { .. }
            | ColumnType::Array { .. }
            | ColumnType::Object { .. }
            | ColumnType::Json => None,
        };
        let items =
            if let ColumnType::Array { items, .. } = &column.validator.column_type { Some(items) } else { None };
        let operand = match by.filter(|_| choices.flag()) {
            None if items.is_some() && choices.flag() => {
                let element = Box::new(Operand::Argument { name: budget.name(choices), validator: None });
                Some(if choices.flag() { Operand::Append(element) } else { Operand::Remove(element) })
            }
            Some(by) if choices.flag() => Some(Operand::Increment(Box::new(Operand::Literal(by)))),
            Some(_) => {
                let name = budget.name(choices);
                Some(Operand::Increment(Box::new(Operand::Argument { name, validator: None })))
            }
            None => assigned(choices, column, budget, column.validator.optional),
        };
        values.extend(operand.map(|operand| (name.clone(), operand)));
    }
    values
}

/// A value for the column; `None` where the budget of optional arguments is used up and there is
/// no literal. `droppable` says that an argument for it may be absent.
fn assigned(choices: &mut Choices<'_>, column: &Column, budget: &mut Budget, droppable: bool) -> Option<Operand> {
    let column_type = &column.validator.column_type;
    let literal = literal(column_type, choices);
    match (choices.below(4), column_type) {
        (1, ColumnType::Timestamp | ColumnType::Date) => return Some(Operand::Now),
        (1, ColumnType::String { min: None, max: None, pattern: None }) => {
            return choices.pick(&IdentityField::ALL).map(Operand::Identity);
        }
        (0 | 1, _) if literal.is_some() => return literal.map(Operand::Literal),
        _ => {}
    }
    if droppable && !budget.optional() {
        return literal.map(Operand::Literal);
    }
    let validator = choices.some(Validator {
        column_type: column_type.clone(),
        optional: column.validator.optional,
        default: None,
    });
    Some(Operand::Argument { name: budget.name(choices), validator: validator.filter(|_| !droppable) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::check::check;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn every_definition_is_sound(choices in prop::collection::vec(any::<u32>(), 0..600)) {
            let checked = check(&super::definition(&choices));
            prop_assert!(checked.is_ok(), "{:#?}", checked);
        }
    }
}
