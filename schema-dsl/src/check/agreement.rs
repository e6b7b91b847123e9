//! Whether one value can be of two types at once, and what it must be then.
//!
//! An argument used in two places has both places' types. One that the author gave a validator
//! has that type, and each place only asks whether it can take it.

use std::cmp::Ordering;

use crate::column_type::ColumnType;
use crate::value::compare_decimals;

/// The type of values that are both an `a` and a `b`; none when they are stored differently, are
/// ids of two tables, choices of two enums, or when their bounds leave nothing.
pub(crate) fn agreed(a: &ColumnType, b: &ColumnType) -> Option<ColumnType> {
    match (a, b) {
        (
            ColumnType::String { min: a_min, max: a_max, pattern: a_pattern },
            ColumnType::String { min: b_min, max: b_max, pattern: b_pattern },
        ) => {
            let (min, max) = narrowed((*a_min, *a_max), (*b_min, *b_max), u32::cmp)?;
            // Of two patterns the first is asked here, and the database asks both.
            Some(ColumnType::String { min, max, pattern: a_pattern.clone().or_else(|| b_pattern.clone()) })
        }
        (ColumnType::Integer { min: a_min, max: a_max }, ColumnType::Integer { min: b_min, max: b_max }) => {
            let (min, max) = narrowed((*a_min, *a_max), (*b_min, *b_max), i64::cmp)?;
            Some(ColumnType::Integer { min, max })
        }
        (ColumnType::Number { min: a_min, max: a_max }, ColumnType::Number { min: b_min, max: b_max }) => {
            let (min, max) =
                narrowed((*a_min, *a_max), (*b_min, *b_max), |a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal))?;
            Some(ColumnType::Number { min, max })
        }
        (ColumnType::Decimal { min: a_min, max: a_max }, ColumnType::Decimal { min: b_min, max: b_max }) => {
            let (a, b) = ((a_min.clone(), a_max.clone()), (b_min.clone(), b_max.clone()));
            let (min, max) = narrowed(a, b, |a, b| compare_decimals(a, b))?;
            Some(ColumnType::Decimal { min, max })
        }
        (ColumnType::Bytes { min: a_min, max: a_max }, ColumnType::Bytes { min: b_min, max: b_max }) => {
            let (min, max) = narrowed((*a_min, *a_max), (*b_min, *b_max), u32::cmp)?;
            Some(ColumnType::Bytes { min, max })
        }
        (
            ColumnType::Array { items: a_items, min: a_min, max: a_max },
            ColumnType::Array { items: b_items, min: b_min, max: b_max },
        ) => {
            let (min, max) = narrowed((*a_min, *a_max), (*b_min, *b_max), u32::cmp)?;
            Some(ColumnType::Array { items: Box::new(agreed(a_items, b_items)?), min, max })
        }
        (ColumnType::Enum { values: a_values }, ColumnType::Enum { values: b_values }) => {
            let same = a_values.len() == b_values.len() && a_values.iter().all(|value| b_values.contains(value));
            same.then(|| a.clone())
        }
        (ColumnType::Id { table: a_table, .. }, ColumnType::Id { table: b_table, .. }) => {
            (a_table == b_table).then(|| a.clone())
        }
        // The one that says more stands for both.
        (ColumnType::Enum { .. }, ColumnType::String { .. })
        | (ColumnType::Id { .. }, ColumnType::Uuid)
        | (ColumnType::Object { .. }, ColumnType::Json) => Some(a.clone()),
        (ColumnType::String { .. }, ColumnType::Enum { .. })
        | (ColumnType::Uuid, ColumnType::Id { .. })
        | (ColumnType::Json, ColumnType::Object { .. }) => Some(b.clone()),
        _ => (a == b).then(|| a.clone()),
    }
}

/// Whether a place of type `place` can take values that the author declared to be `declared`,
/// whose limits are then the author's business.
pub(crate) fn takes(place: &ColumnType, declared: &ColumnType) -> bool {
    match (place, declared) {
        (ColumnType::Enum { values }, ColumnType::Enum { values: declared }) => {
            declared.iter().all(|value| values.contains(value))
        }
        (ColumnType::Id { table, .. }, ColumnType::Id { table: declared, .. }) => table == declared,
        (ColumnType::Array { items, .. }, ColumnType::Array { items: declared, .. }) => takes(items, declared),
        _ => place.storage() == declared.storage(),
    }
}

/// Whether the bounds of `declared` lie within those of `place`, where it has any.
pub(crate) fn lies_within(place: &ColumnType, declared: &ColumnType) -> bool {
    match (place, declared) {
        (ColumnType::String { min, max, .. }, ColumnType::String { min: declared_min, max: declared_max, .. }) => {
            within((*min, *max), (*declared_min, *declared_max))
        }
        (ColumnType::Integer { min, max }, ColumnType::Integer { min: declared_min, max: declared_max }) => {
            within((*min, *max), (*declared_min, *declared_max))
        }
        (ColumnType::Array { min, max, .. }, ColumnType::Array { min: declared_min, max: declared_max, .. }) => {
            within((*min, *max), (*declared_min, *declared_max))
        }
        _ => true,
    }
}

/// `declared` with the bounds of `place` where it has none of its own.
pub(crate) fn filled(place: &ColumnType, declared: &ColumnType) -> ColumnType {
    match (place, declared) {
        (ColumnType::String { min, max, .. }, ColumnType::String { min: declared_min, max: declared_max, pattern }) => {
            ColumnType::String { min: declared_min.or(*min), max: declared_max.or(*max), pattern: pattern.clone() }
        }
        (ColumnType::Integer { min, max }, ColumnType::Integer { min: declared_min, max: declared_max }) => {
            ColumnType::Integer { min: declared_min.or(*min), max: declared_max.or(*max) }
        }
        (ColumnType::Array { min, max, .. }, ColumnType::Array { items, min: declared_min, max: declared_max }) => {
            ColumnType::Array { items: items.clone(), min: declared_min.or(*min), max: declared_max.or(*max) }
        }
        _ => declared.clone(),
    }
}

type Bounds<T> = (Option<T>, Option<T>);

fn narrowed<T: Clone>(a: Bounds<T>, b: Bounds<T>, order: impl Fn(&T, &T) -> Ordering) -> Option<Bounds<T>> {
    let min = match (a.0, b.0) {
        (Some(a), Some(b)) => Some(if order(&a, &b) == Ordering::Less { b } else { a }),
        (a, b) => a.or(b),
    };
    let max = match (a.1, b.1) {
        (Some(a), Some(b)) => Some(if order(&a, &b) == Ordering::Greater { b } else { a }),
        (a, b) => a.or(b),
    };
    let is_empty = matches!((&min, &max), (Some(min), Some(max)) if order(min, max) == Ordering::Greater);
    (!is_empty).then_some((min, max))
}

fn within<T: PartialOrd>(place: Bounds<T>, declared: Bounds<T>) -> bool {
    let inside =
        |bound: &T| place.0.as_ref().is_none_or(|min| bound >= min) && place.1.as_ref().is_none_or(|max| bound <= max);
    declared.0.as_ref().is_none_or(inside) && declared.1.as_ref().is_none_or(inside)
}
