//! `when`: conditions on the row that is written, and by column on the rows that it refers to.

use serde_json::{Map, Value};

use crate::deploy::notation::luau::draft::{Draft, Spot};
use crate::deploy::notation::luau::values::{condition, place_of};
use crate::deploy::notation::luau::written::Written;

/// Members by which a table is a condition as JSON has it, and not conditions by column.
const CONDITION: [&str; 4] = ["op", "all", "any", "negate"];

/// One condition, conditions by column, or a list of either: a list of them.
pub(super) fn when(draft: &mut Draft, spot: &Spot, written: &Written) -> Option<Value> {
    draft.mark(spot);
    let items = if let Written::List(items) = written { items.as_slice() } else { std::slice::from_ref(written) };
    let items = items.iter().enumerate();
    let items: Vec<Option<Value>> =
        items.map(|(index, item)| one(draft, &spot.member(index, place_of(item, spot)), item)).collect();
    items.into_iter().collect()
}

fn one(draft: &mut Draft, spot: &Spot, written: &Written) -> Option<Value> {
    let Written::Table(table) = written else { return condition(draft, spot, written) };
    let is_condition = table.iter().any(|(name, _)| CONDITION.contains(&name.as_str()));
    if table.is_empty() || is_condition {
        return condition(draft, spot, written);
    }
    draft.mark(spot);
    let mut conditions = Map::new();
    for member in draft.members(table, &spot.place) {
        let at = spot.member(member.name, &member.place);
        conditions.insert(member.name.to_owned(), condition(draft, &at, member.value)?);
    }
    Some(Value::Object(conditions))
}
