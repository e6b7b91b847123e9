//! Conditions on rows: their columns, operators and values, and how many of them there are.

use crate::check::arguments::{Arguments, Need, incomplete_pattern};
use crate::check::functions::aggregate::member;
use crate::check::functions::value_type;
use crate::check::ground::Ground;
use crate::check::operands::{self, Target};
use crate::column_type::ColumnType;
use crate::definition::{self, Comparison, Operand, Operator};
use crate::diagnostic::{Diagnostic, pointer_to};
use crate::function::{FILTER_COMPARISONS_MAX, FILTER_DEPTH_MAX, Filter, IN_ELEMENTS_MAX, Source};
use crate::like::{self, PATTERN_CHARACTERS_MAX};
use crate::model::{Column, Table};
use crate::value::Typed;

/// The filter at `pointer`, as far as it is sound.
pub(crate) fn filter<'a>(
    ground: Ground<'a>,
    table: &'a Table,
    declared: &definition::Filter,
    pointer: &str,
    arguments: &mut Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Filter> {
    of(Columns::Table { ground, table }, declared, pointer, arguments, diagnostics)
}

/// The condition on groups at `pointer`; `answered` has their members as columns.
pub(crate) fn having(
    answered: &Table,
    declared: &definition::Filter,
    pointer: &str,
    arguments: &mut Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Filter> {
    of(Columns::Answered(answered), declared, pointer, arguments, diagnostics)
}

fn of(
    columns: Columns<'_>,
    declared: &definition::Filter,
    pointer: &str,
    arguments: &mut Arguments<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Filter> {
    let comparisons = count(declared, 1);
    if comparisons > FILTER_COMPARISONS_MAX {
        let message =
            format!("the filter has {comparisons} comparisons; at most {FILTER_COMPARISONS_MAX} are accepted");
        let hint = "compare one column with many values by `in`";
        diagnostics.push(Diagnostic::new("filter_too_large", pointer, message).with_hint(hint));
        return None;
    }
    Reading { columns, arguments, diagnostics }.part(declared, 1, pointer)
}

/// Whose columns a condition is on.
#[derive(Clone, Copy)]
enum Columns<'a> {
    Table {
        ground: Ground<'a>,
        table: &'a Table,
    },
    /// Members of what an aggregateRows answers with.
    Answered(&'a Table),
}

impl<'a> Columns<'a> {
    fn table(self) -> &'a Table {
        match self {
            Columns::Table { table, .. } | Columns::Answered(table) => table,
        }
    }

    fn find(self, name: &str, pointer: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<&'a Column> {
        match self {
            Columns::Table { ground, table } => ground.column(table, name, pointer, diagnostics),
            Columns::Answered(answered) => member(answered, name, pointer, diagnostics),
        }
    }
}

/// What every part of one filter is read with.
struct Reading<'r, 'a, 'b> {
    columns: Columns<'a>,
    arguments: &'r mut Arguments<'b>,
    diagnostics: &'r mut Vec<Diagnostic>,
}

impl Reading<'_, '_, '_> {
    fn part(&mut self, declared: &definition::Filter, depth: usize, pointer: &str) -> Option<Filter> {
        if depth > FILTER_DEPTH_MAX {
            let message = format!("the filter nests more than {FILTER_DEPTH_MAX} deep");
            let hint = "join groups of the same kind";
            self.diagnostics.push(Diagnostic::new("filter_too_deep", pointer, message).with_hint(hint));
            return None;
        }
        match declared {
            definition::Filter::All { all } => self.group(all, depth, &pointer_to(pointer, "all")).map(Filter::All),
            definition::Filter::Any { any } => self.group(any, depth, &pointer_to(pointer, "any")).map(Filter::Any),
            definition::Filter::Negate { negate } => {
                let part = self.part(negate, depth + 1, &pointer_to(pointer, "negate"))?;
                Some(Filter::Negate(Box::new(part)))
            }
            definition::Filter::Compare(comparison) => self.comparison(comparison, pointer),
        }
    }

    /// Reads every part before it gives up on one, so that all are complained about.
    fn group(&mut self, parts: &[definition::Filter], depth: usize, pointer: &str) -> Option<Vec<Filter>> {
        let parts: Vec<Option<Filter>> = parts
            .iter()
            .enumerate()
            .map(|(index, part)| self.part(part, depth + 1, &pointer_to(pointer, index)))
            .collect();
        parts.into_iter().collect()
    }

    fn comparison(&mut self, comparison: &Comparison, pointer: &str) -> Option<Filter> {
        let Comparison { column, op, value } = comparison;
        let at_column = pointer_to(pointer, "column");
        let column = self.columns.find(column, &at_column, self.diagnostics)?;
        let asks_for_caller = match op {
            Operator::Equal => true,
            Operator::Contains => matches!(column.column_type, ColumnType::Array { .. }),
            Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual
            | Operator::In
            | Operator::Like
            | Operator::Ilike
            | Operator::StartsWith
            | Operator::IsNull => false,
        };
        if column.private && !(asks_for_caller && matches!(value, Operand::Identity(_))) {
            let message =
                format!("column `{}` is private: a caller could find out its values by filtering on it", column.name);
            let hint = "compare it by `=` with an identity, such as `identity(\"userId\")`";
            self.diagnostics.push(Diagnostic::new("private_column", at_column, message).with_hint(hint));
        }
        if !allows(&column.column_type, *op) {
            self.diagnostics.push(operator_refused(column, *op, &pointer_to(pointer, "op")));
            return None;
        }
        if *op == Operator::IsNull && !column.optional {
            let message = format!("column `{}` is never null", column.name);
            let diagnostic = Diagnostic::new("never_null", pointer_to(pointer, "op"), message);
            self.diagnostics.push(diagnostic.with_hint("remove the condition, or make the column optional"));
            return None;
        }
        let pointer = pointer_to(pointer, "value");
        if *op == Operator::In && !is_list(value) {
            let message = format!("`in` compares column `{}` with a list", column.name);
            let hint = "give a list of literals or an argument, or compare by `=`";
            self.diagnostics.push(Diagnostic::new("list_expected", pointer, message).with_hint(hint));
            return None;
        }
        if *op != Operator::In && is_literal_list(value) && takes_one_value(*op, &column.column_type) {
            let message = format!("`{}` compares column `{}` with one value, not a list", op.as_str(), column.name);
            let diagnostic = Diagnostic::new("value_expected", pointer, message);
            self.diagnostics.push(diagnostic.with_hint(one_value_hint(*op)));
            return None;
        }
        let column_type = compared_type(*op, value_type(self.columns.table(), column).without_limits());
        let what = format!("the comparison with column `{}`", column.name);
        let is_bounded = *op == Operator::In || is_pattern_of(*op, &column.column_type);
        if is_pattern_of(*op, &column.column_type) && matches!(value, Operand::Identity(_) | Operand::Row { .. }) {
            let message = format!("`{}` compares column `{}` with a text or an argument", op.as_str(), column.name);
            let diagnostic = Diagnostic::new("value_expected", pointer, message);
            self.diagnostics.push(diagnostic.with_hint("compare with an identity by `=`"));
            return None;
        }
        let target = Target { what, column_type, need: Need::Asked, nullable: false, is_bounded };
        let source = operands::source(value, target, &pointer, self.arguments, self.diagnostics)?;
        if matches!(op, Operator::Like | Operator::Ilike) {
            match (value, &source) {
                (Operand::Argument { name, .. }, _) => self.arguments.is_pattern(name),
                (_, Source::Literal(Typed::Text(pattern))) if !like::is_complete(pattern) => {
                    let what = format!("the value for the comparison with column `{}`", column.name);
                    self.diagnostics.push(incomplete_pattern(&what, &pointer));
                    return None;
                }
                (_, _) => {}
            }
        }
        Some(Filter::Compare { column: column.name.clone(), operator: *op, value: source })
    }
}

/// Comparisons down to the depth that is read.
fn count(filter: &definition::Filter, depth: usize) -> usize {
    if depth > FILTER_DEPTH_MAX {
        return 0;
    }
    match filter {
        definition::Filter::All { all: parts } | definition::Filter::Any { any: parts } => {
            parts.iter().map(|part| count(part, depth + 1)).sum()
        }
        definition::Filter::Negate { negate } => count(negate, depth + 1),
        definition::Filter::Compare(_) => 1,
    }
}

fn allows(column_type: &ColumnType, operator: Operator) -> bool {
    match operator {
        Operator::Equal | Operator::NotEqual => column_type.is_comparable(),
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
            column_type.is_ordered()
        }
        Operator::In => column_type.is_scalar(),
        Operator::Like | Operator::Ilike | Operator::StartsWith => is_text(column_type),
        Operator::Contains => {
            is_text(column_type) || matches!(column_type, ColumnType::Array { .. }) || !column_type.is_comparable()
        }
        Operator::IsNull => true,
    }
}

fn is_text(column_type: &ColumnType) -> bool {
    matches!(column_type, ColumnType::String { .. })
}

/// Whether the value becomes a pattern that text is matched with.
fn is_pattern_of(operator: Operator, column_type: &ColumnType) -> bool {
    match operator {
        Operator::Like | Operator::Ilike | Operator::StartsWith | Operator::Contains => is_text(column_type),
        Operator::Equal
        | Operator::NotEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::In
        | Operator::IsNull => false,
    }
}

/// What a column of type `plain`, which has no limits, is compared with.
fn compared_type(operator: Operator, plain: ColumnType) -> ColumnType {
    if is_pattern_of(operator, &plain) {
        return ColumnType::String { min: None, max: Some(PATTERN_CHARACTERS_MAX), pattern: None };
    }
    match (operator, plain) {
        (Operator::In, plain) => {
            ColumnType::Array { items: Box::new(plain), min: None, max: u32::try_from(IN_ELEMENTS_MAX).ok() }
        }
        (Operator::Contains, ColumnType::Array { items, .. }) => *items,
        // A part of a document has not the document's shape.
        (Operator::Contains, _) => ColumnType::Json,
        (Operator::IsNull, _) => ColumnType::Boolean,
        (_, plain) => plain,
    }
}

fn operator_refused(column: &Column, operator: Operator, pointer: &str) -> Diagnostic {
    let word = column.column_type.word();
    let message = format!("`{}` has no meaning for column `{}` of type {word}", operator.as_str(), column.name);
    let allowed: Vec<String> = Operator::ALL
        .iter()
        .filter(|operator| allows(&column.column_type, **operator))
        .map(|operator| format!("`{}`", operator.as_str()))
        .collect();
    let hint = if allowed.is_empty() {
        "keep what you filter on in a column of its own".to_owned()
    } else {
        format!("use one of {}", allowed.join(", "))
    };
    Diagnostic::new("operator_type", pointer, message).with_hint(hint)
}

/// Whether a list as the value is a slip, where a list of them is not the column's own value.
fn takes_one_value(operator: Operator, column_type: &ColumnType) -> bool {
    column_type.is_scalar() || matches!((operator, column_type), (Operator::Contains, ColumnType::Array { .. }))
}

fn is_list(operand: &Operand) -> bool {
    match operand {
        Operand::Literal(value) => value.is_array(),
        Operand::Argument { .. } => true,
        Operand::Identity(_)
        | Operand::Now
        | Operand::Row { .. }
        | Operand::Increment(_)
        | Operand::Append(_)
        | Operand::Remove(_) => false,
    }
}

const fn one_value_hint(operator: Operator) -> &'static str {
    match operator {
        Operator::Contains => "give one element, and join several conditions by `all` or `any`",
        Operator::Equal
        | Operator::NotEqual
        | Operator::Less
        | Operator::LessOrEqual
        | Operator::Greater
        | Operator::GreaterOrEqual
        | Operator::In
        | Operator::Like
        | Operator::Ilike
        | Operator::StartsWith
        | Operator::IsNull => "use `in` to compare with any of a list",
    }
}

fn is_literal_list(operand: &Operand) -> bool {
    matches!(operand, Operand::Literal(value) if value.is_array())
}
