//! Expressions: each form that is known is written with brackets of its own, so that Postgres reads
//! what was read here.

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CeilFloorKind, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgOperator, FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, Subscript,
    TrimWhereField, UnaryOperator, Value, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use crate::plan::foreign::lists::{FUNCTIONS, WORDS, binary, field, function, type_name};
use crate::plan::foreign::query::single;
use crate::plan::foreign::{Done, PARAMETERS_MAX, Refused, Writer, invalid, not_allowed};

impl Writer<'_> {
    pub(super) fn expression(&mut self, expression: &Expr) -> Done {
        self.deeper(|writer| writer.expression_here(expression))
    }

    pub(super) fn expressions(&mut self, expressions: &[Expr]) -> Done {
        self.listed(expressions, Writer::expression)
    }

    fn expression_here(&mut self, expression: &Expr) -> Done {
        match expression {
            Expr::Identifier(name) => self.name(name),
            Expr::CompoundIdentifier(names) => match names.as_slice() {
                [table, column] => {
                    self.name(table)?;
                    self.write(".");
                    self.name(column)
                }
                _ => Err(not_allowed("a column is named by its table's name at most".to_owned())),
            },
            Expr::Nested(inner) => self.expression(inner),
            Expr::Value(value) => self.value(&value.value),
            Expr::BinaryOp { .. } => self.chain(expression),
            Expr::UnaryOp { op, expr } => {
                self.write(match op {
                    UnaryOperator::Plus => "(+ ",
                    UnaryOperator::Minus => "(- ",
                    UnaryOperator::Not => "(NOT ",
                    _ => return Err(operator()),
                });
                self.expression(expr)?;
                self.write(")");
                Ok(())
            }
            Expr::IsNull(inner) => self.tested(inner, " IS NULL)"),
            Expr::IsNotNull(inner) => self.tested(inner, " IS NOT NULL)"),
            Expr::IsTrue(inner) => self.tested(inner, " IS TRUE)"),
            Expr::IsNotTrue(inner) => self.tested(inner, " IS NOT TRUE)"),
            Expr::IsFalse(inner) => self.tested(inner, " IS FALSE)"),
            Expr::IsNotFalse(inner) => self.tested(inner, " IS NOT FALSE)"),
            Expr::IsUnknown(inner) => self.tested(inner, " IS UNKNOWN)"),
            Expr::IsNotUnknown(inner) => self.tested(inner, " IS NOT UNKNOWN)"),
            Expr::IsDistinctFrom(left, right) => self.between(left, " IS DISTINCT FROM ", right),
            Expr::IsNotDistinctFrom(left, right) => self.between(left, " IS NOT DISTINCT FROM ", right),
            Expr::AtTimeZone { timestamp, time_zone } => self.between(timestamp, " AT TIME ZONE ", time_zone),
            Expr::InList { expr, list, negated } => {
                self.write("(");
                self.expression(expr)?;
                self.write(if *negated { " NOT IN (" } else { " IN (" });
                self.expressions(list)?;
                self.write("))");
                Ok(())
            }
            Expr::InSubquery { expr, subquery, negated } => {
                self.write("(");
                self.expression(expr)?;
                self.write(if *negated { " NOT IN (" } else { " IN (" });
                self.query(subquery)?;
                self.write("))");
                Ok(())
            }
            Expr::Exists { subquery, negated } => {
                self.write(if *negated { "(NOT EXISTS (" } else { "(EXISTS (" });
                self.query(subquery)?;
                self.write("))");
                Ok(())
            }
            Expr::Subquery(query) => {
                self.write("(");
                self.query(query)?;
                self.write(")");
                Ok(())
            }
            Expr::Between { expr, negated, low, high } => {
                self.write("(");
                self.expression(expr)?;
                self.write(if *negated { " NOT BETWEEN " } else { " BETWEEN " });
                self.expression(low)?;
                self.write(" AND ");
                self.expression(high)?;
                self.write(")");
                Ok(())
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                let word = if *negated { " NOT LIKE " } else { " LIKE " };
                self.pattern(expr, word, pattern, escape_char.as_deref())
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                let word = if *negated { " NOT ILIKE " } else { " ILIKE " };
                self.pattern(expr, word, pattern, escape_char.as_deref())
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let word = if *negated { " NOT SIMILAR TO " } else { " SIMILAR TO " };
                self.pattern(expr, word, pattern, escape_char.as_deref())
            }
            Expr::AnyOp { left, compare_op, right, is_some: _ } => self.of_many(left, compare_op, "ANY", right),
            Expr::AllOp { left, compare_op, right } => self.of_many(left, compare_op, "ALL", right),
            Expr::Case { case_token: _, end_token: _, operand, conditions, else_result } => {
                self.write("(CASE");
                if let Some(operand) = operand {
                    self.write(" ");
                    self.expression(operand)?;
                }
                for when in conditions {
                    self.write(" WHEN ");
                    self.expression(&when.condition)?;
                    self.write(" THEN ");
                    self.expression(&when.result)?;
                }
                if let Some(otherwise) = else_result {
                    self.write(" ELSE ");
                    self.expression(otherwise)?;
                }
                self.write(" END)");
                Ok(())
            }
            Expr::Tuple(values) => {
                self.write("ROW(");
                self.expressions(values)?;
                self.write(")");
                Ok(())
            }
            Expr::Array(array) if array.named => {
                self.write("ARRAY[");
                self.expressions(&array.elem)?;
                self.write("]");
                Ok(())
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.write("(");
                self.expression(root)?;
                self.write(")");
                access_chain.iter().try_for_each(|access| self.subscript(access))
            }
            Expr::GroupingSets(sets) => self.sets("GROUPING SETS", sets),
            Expr::Cube(sets) => self.sets("CUBE", sets),
            Expr::Rollup(sets) => self.sets("ROLLUP", sets),
            _ => self.called(expression),
        }
    }

    /// What looks like a call, or like a cast.
    fn called(&mut self, expression: &Expr) -> Done {
        match expression {
            Expr::Function(call) => self.call(call),
            Expr::Cast { kind: _, expr, data_type, format: None } => {
                let name = type_name(data_type)?;
                self.write("CAST(");
                self.expression(expr)?;
                self.write(" AS ");
                self.write(&name);
                self.write(")");
                Ok(())
            }
            Expr::TypedString(typed) if !typed.uses_odbc_syntax => {
                let name = type_name(&typed.data_type)?;
                self.write("CAST(");
                self.value(&typed.value.value)?;
                self.write(" AS ");
                self.write(&name);
                self.write(")");
                Ok(())
            }
            Expr::Interval(interval) => {
                let is_plain = interval.leading_field.is_none() && interval.fractional_seconds_precision.is_none();
                if !is_plain || !matches!(*interval.value, Expr::Value(_)) {
                    return Err(invalid("write an interval as one text, such as `interval '1 day'`".to_owned()));
                }
                self.write("CAST(");
                self.expression(&interval.value)?;
                self.write(" AS interval)");
                Ok(())
            }
            Expr::Extract { field: which, syntax: _, expr } => {
                let which = field(&which.to_string())?;
                self.write("EXTRACT(");
                self.write(which);
                self.write(" FROM ");
                self.expression(expr)?;
                self.write(")");
                Ok(())
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) } => {
                self.one("ceil(", expr)
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime) } => {
                self.one("floor(", expr)
            }
            Expr::Position { expr, r#in } => {
                self.write("POSITION(");
                self.expression(expr)?;
                self.write(" IN ");
                self.expression(r#in)?;
                self.write(")");
                Ok(())
            }
            Expr::Substring { expr, substring_from, substring_for, special: _, shorthand: _ } => {
                self.write("SUBSTRING(");
                self.expression(expr)?;
                for (word, place) in [(" FROM ", substring_from), (" FOR ", substring_for)] {
                    if let Some(place) = place {
                        self.write(word);
                        self.expression(place)?;
                    }
                }
                self.write(")");
                Ok(())
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters: None } => {
                self.write(match trim_where {
                    None | Some(TrimWhereField::Both) => "TRIM(BOTH ",
                    Some(TrimWhereField::Leading) => "TRIM(LEADING ",
                    Some(TrimWhereField::Trailing) => "TRIM(TRAILING ",
                });
                if let Some(what) = trim_what {
                    self.expression(what)?;
                }
                self.write(" FROM ");
                self.expression(expr)?;
                self.write(")");
                Ok(())
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                self.write("OVERLAY(");
                self.expression(expr)?;
                self.write(" PLACING ");
                self.expression(overlay_what)?;
                self.write(" FROM ");
                self.expression(overlay_from)?;
                if let Some(length) = overlay_for {
                    self.write(" FOR ");
                    self.expression(length)?;
                }
                self.write(")");
                Ok(())
            }
            _ => Err(invalid("the text has an expression that is not read here".to_owned())),
        }
    }

    /// Operators one behind the other lean to the left as deep as they are many, so they are not
    /// gone into one by one.
    fn chain(&mut self, expression: &Expr) -> Done {
        let (mut first, mut rest) = (expression, Vec::new());
        while let Expr::BinaryOp { left, op, right } = first {
            rest.push((binary(op).ok_or_else(operator)?, right));
            first = left;
        }
        self.write(&"(".repeat(rest.len()));
        self.expression(first)?;
        for (operator, right) in rest.into_iter().rev() {
            self.write(" ");
            self.write(operator);
            self.write(" ");
            self.expression(right)?;
            self.write(")");
        }
        Ok(())
    }

    fn one(&mut self, call: &str, argument: &Expr) -> Done {
        self.write(call);
        self.expression(argument)?;
        self.write(")");
        Ok(())
    }

    fn tested(&mut self, inner: &Expr, test: &str) -> Done {
        self.write("(");
        self.expression(inner)?;
        self.write(test);
        Ok(())
    }

    fn between(&mut self, left: &Expr, word: &str, right: &Expr) -> Done {
        self.write("(");
        self.expression(left)?;
        self.write(word);
        self.expression(right)?;
        self.write(")");
        Ok(())
    }

    fn pattern(&mut self, text: &Expr, word: &str, pattern: &Expr, escape: Option<&Expr>) -> Done {
        self.write("(");
        self.expression(text)?;
        self.write(word);
        self.expression(pattern)?;
        if let Some(escape) = escape {
            self.write(" ESCAPE ");
            self.expression(escape)?;
        }
        self.write(")");
        Ok(())
    }

    fn of_many(&mut self, left: &Expr, compare: &BinaryOperator, word: &str, right: &Expr) -> Done {
        let compare = binary(compare).ok_or_else(operator)?;
        self.write("(");
        self.expression(left)?;
        self.write(&format!(" {compare} {word} ("));
        match right {
            // Of its rows; in brackets of its own it would be one value.
            Expr::Subquery(query) => self.query(query)?,
            other => self.expression(other)?,
        }
        self.write("))");
        Ok(())
    }

    fn subscript(&mut self, access: &AccessExpr) -> Done {
        match access {
            AccessExpr::Subscript(Subscript::Index { index }) => {
                self.write("[");
                self.expression(index)?;
            }
            AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                self.write("[");
                if let Some(lower) = lower_bound {
                    self.expression(lower)?;
                }
                self.write(":");
                if let Some(upper) = upper_bound {
                    self.expression(upper)?;
                }
            }
            AccessExpr::Subscript(Subscript::Slice { .. }) | AccessExpr::Dot(_) => {
                return Err(invalid("the text has an expression that is not read here".to_owned()));
            }
        }
        self.write("]");
        Ok(())
    }

    fn sets(&mut self, word: &str, sets: &[Vec<Expr>]) -> Done {
        self.write(word);
        self.write(" (");
        self.listed(sets, |writer, set| {
            writer.write("(");
            writer.expressions(set)?;
            writer.write(")");
            Ok(())
        })?;
        self.write(")");
        Ok(())
    }

    fn call(&mut self, call: &Function) -> Done {
        let Function { name, uses_odbc_syntax, parameters, args, within_group, filter, null_treatment, over } = call;
        if *uses_odbc_syntax || !matches!(parameters, FunctionArguments::None) || null_treatment.is_some() {
            return Err(invalid("the text has an expression that is not read here".to_owned()));
        }
        match args {
            FunctionArguments::None => {
                self.write(function(name, WORDS)?);
                return Ok(());
            }
            FunctionArguments::Subquery(query) => {
                if !single(name)?.value.eq_ignore_ascii_case("array") {
                    return Err(invalid("put the query of a function's argument in brackets".to_owned()));
                }
                self.write("ARRAY(");
                self.query(query)?;
            }
            FunctionArguments::List(list) => {
                self.write(function(name, FUNCTIONS)?);
                self.write("(");
                self.arguments(list)?;
            }
        }
        self.write(")");
        if !within_group.is_empty() {
            self.write(" WITHIN GROUP (");
            self.order_by(within_group)?;
            self.write(")");
        }
        if let Some(filter) = filter {
            self.write(" FILTER (WHERE ");
            self.expression(filter)?;
            self.write(")");
        }
        match over {
            None => Ok(()),
            Some(WindowType::WindowSpec(window)) => {
                self.write(" OVER ");
                self.window(window)
            }
            Some(WindowType::NamedWindow(name)) => {
                self.write(" OVER ");
                self.name(name)
            }
        }
    }

    fn arguments(&mut self, list: &FunctionArgumentList) -> Done {
        let FunctionArgumentList { duplicate_treatment, args, clauses } = list;
        if matches!(duplicate_treatment, Some(DuplicateTreatment::Distinct)) {
            self.write("DISTINCT ");
        }
        self.listed(args, Writer::argument)?;
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(keys) => self.order_by(keys)?,
                _ => return Err(invalid("the text has an expression that is not read here".to_owned())),
            }
        }
        Ok(())
    }

    pub(super) fn argument(&mut self, argument: &FunctionArg) -> Done {
        let value = match argument {
            FunctionArg::Unnamed(value) => value,
            FunctionArg::Named { name, arg, operator } => {
                self.argument_name(name, operator)?;
                arg
            }
            FunctionArg::ExprNamed { name: Expr::Identifier(name), arg, operator } => {
                self.argument_name(name, operator)?;
                arg
            }
            FunctionArg::ExprNamed { .. } => return Err(operator()),
        };
        match value {
            FunctionArgExpr::Expr(value) => self.expression(value),
            FunctionArgExpr::Wildcard => {
                self.write("*");
                Ok(())
            }
            FunctionArgExpr::QualifiedWildcard(_) | FunctionArgExpr::WildcardWithOptions(_) => {
                Err(invalid("`*` is for `count(*)`".to_owned()))
            }
        }
    }

    fn argument_name(&mut self, name: &Ident, operator_of: &FunctionArgOperator) -> Done {
        if !matches!(operator_of, FunctionArgOperator::RightArrow | FunctionArgOperator::Assignment) {
            return Err(operator());
        }
        self.name(name)?;
        self.write(" => ");
        Ok(())
    }

    pub(super) fn window(&mut self, window: &WindowSpec) -> Done {
        let WindowSpec { window_name, partition_by, order_by, window_frame } = window;
        self.write("(");
        if let Some(name) = window_name {
            self.name(name)?;
        }
        if !partition_by.is_empty() {
            self.write(" PARTITION BY ");
            self.expressions(partition_by)?;
        }
        if !order_by.is_empty() {
            self.order_by(order_by)?;
        }
        if let Some(WindowFrame { units, start_bound, end_bound }) = window_frame {
            self.write(match units {
                WindowFrameUnits::Rows => " ROWS ",
                WindowFrameUnits::Range => " RANGE ",
                WindowFrameUnits::Groups => " GROUPS ",
            });
            match end_bound {
                None => self.bound(start_bound)?,
                Some(end) => {
                    self.write("BETWEEN ");
                    self.bound(start_bound)?;
                    self.write(" AND ");
                    self.bound(end)?;
                }
            }
        }
        self.write(")");
        Ok(())
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Done {
        let (distance, word) = match bound {
            WindowFrameBound::CurrentRow => {
                self.write("CURRENT ROW");
                return Ok(());
            }
            WindowFrameBound::Preceding(distance) => (distance, " PRECEDING"),
            WindowFrameBound::Following(distance) => (distance, " FOLLOWING"),
        };
        match distance {
            None => self.write("UNBOUNDED"),
            Some(distance) => self.expression(distance)?,
        }
        self.write(word);
        Ok(())
    }

    /// However a text was quoted, it is written in the one way that has no escapes.
    fn value(&mut self, value: &Value) -> Done {
        match value {
            Value::Number(digits, _) => {
                let known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
                if !digits.bytes().all(known) {
                    return Err(invalid("write numbers by decimal digits".to_owned()));
                }
                self.write(digits);
            }
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => self.literal(text)?,
            Value::DollarQuotedString(text) => self.literal(&text.value)?,
            Value::Boolean(true) => self.write("TRUE"),
            Value::Boolean(false) => self.write("FALSE"),
            Value::Null => self.write("NULL"),
            Value::Placeholder(placeholder) => {
                let number = placeholder.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
                match number {
                    Some(number @ 1..=PARAMETERS_MAX) => {
                        self.parameters.insert(number);
                        self.write(&format!("${number}"));
                    }
                    Some(_) => return Err(invalid(format!("parameters are `$1` to `${PARAMETERS_MAX}`"))),
                    None => return Err(invalid("write parameters as `$1`, `$2` and so on".to_owned())),
                }
            }
            _ => return Err(invalid("write texts in single quotes".to_owned())),
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) -> Done {
        if text.contains('\0') {
            return Err(invalid("the text has a U+0000".to_owned()));
        }
        self.text(text);
        Ok(())
    }
}

fn operator() -> Refused {
    invalid("the text has an operator that is not read here".to_owned())
}
